//! What the operating system lets this process do: enough open files, and no dump of its memory.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside connections: the store, the admin socket, connections to providers, and room for both ends of a spare.
const BESIDE: u64 = 512;

/// Lets the process open as many files as its connections need, as far as it may; says so when that is too few. Keys
/// and tokens are in the memory of this process, so it is not written to disk when it dies.
pub(super) fn prepare(max_connections: usize) {
    let wanted = max_connections as u64 + BESIDE;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let current = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum });
        if raised.is_err() || current < wanted {
            let have = if raised.is_ok() { current } else { limit.current.unwrap_or_default() };
            tracing::warn!(
                have,
                wanted,
                "too few open files are allowed for server.max_connections; raise the limit (LimitNOFILE, ulimit -n)"
            );
        }
    }
    let none = Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum };
    let kept_in = setrlimit(Resource::Core, none).is_ok() & dump_nothing();
    if !kept_in {
        tracing::warn!("the memory of this process may be written to disk if it crashes");
    }
}

#[cfg(target_os = "linux")]
fn dump_nothing() -> bool {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn dump_nothing() -> bool {
    true
}
