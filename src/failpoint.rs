//! Named moments at which a test ends the process as a power cut would: nothing is answered, flushed or tidied up.
//!
//! `LINEARTIME_FAILPOINT=NAME` makes `serve` and the commands abort when they come to that moment for the first time,
//! `NAME@3` for the third. Without the variable a moment costs one load. The suites go through every name and see that the
//! next start holds what was promised.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Every moment that has a name.
pub const NAMES: &[&str] = &[
    "put.validated",
    "put.tx.begin",
    "put.tx.before_flush",
    "put.tx.after_flush",
    "put.before_response",
    "delete.validated",
    "delete.tx.begin",
    "delete.tx.before_flush",
    "delete.tx.after_flush",
    "delete.before_response",
    "move.between_src_dst",
    "outbox.picked",
    "outbox.before_send",
    "outbox.sent_no_reply",
    "outbox.reply_before_persist",
    "outbox.persisted",
    "pull.page.received",
    "pull.page.staged",
    "pull.before_cursor",
    "pull.after_cursor",
    "apply.item",
    "oauth.code_exchanged",
    "oauth.refresh.before_call",
    "oauth.refresh.reply_before_persist",
    "watch.created_before_persist",
    "watch.renew",
    "conflict.loser_saved",
    "gc.tombstone",
    "migrate.step",
    "rekey.item",
    "backup.copying",
    "shutdown.draining",
];

/// What [`arm`] reads.
pub const VARIABLE: &str = "LINEARTIME_FAILPOINT";

static ARMED: OnceLock<Armed> = OnceLock::new();

struct Armed {
    name: &'static str,
    left: AtomicU32,
    /// Whether the write that [`transaction`] spoke of is on its way to the store.
    is_committing: AtomicBool,
}

/// A name that is not in [`NAMES`], or a count that is no number above nought.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE}: there is no moment called {0}")]
pub struct Unknown(String);

/// Arms the moment that the environment names, if it names one.
#[expect(clippy::disallowed_methods, reason = "no setting: a test sets it, and it is in no file")]
pub fn arm() -> Result<(), Unknown> {
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(()) };
    let armed = read(&text)?;
    tracing::warn!(name = armed.name, "a failpoint is armed: this process is going to abort");
    // A second call finds the first one's.
    drop(ARMED.set(armed));
    Ok(())
}

fn read(text: &str) -> Result<Armed, Unknown> {
    let unknown = || Unknown(text.to_owned());
    let (name, count) = text.split_once('@').unwrap_or((text, "1"));
    let name = NAMES.iter().copied().find(|known| *known == name).ok_or_else(unknown)?;
    let count: u32 = count.parse().ok().filter(|count| *count > 0).ok_or_else(unknown)?;
    Ok(Armed { name, left: AtomicU32::new(count), is_committing: AtomicBool::new(false) })
}

/// The moment `name` has come.
pub(crate) fn reach(name: &str) {
    if let Some(armed) = ARMED.get() {
        armed.reach(name);
    }
}

/// What is committed next is the write of `kind`, `put` or `delete`.
pub(crate) fn transaction(kind: &str) {
    if let Some(armed) = ARMED.get() {
        armed.reach(&format!("{kind}.tx.begin"));
        if armed.name.strip_suffix("_flush").is_some_and(|name| name.starts_with(kind)) {
            armed.is_committing.store(true, Ordering::SeqCst);
        }
    }
}

/// The store is about to make durable what was applied, or has just done so.
pub(crate) fn flush(moment: &str) {
    if let Some(armed) = ARMED.get()
        && armed.is_committing.load(Ordering::SeqCst)
        && armed.name.ends_with(moment)
    {
        armed.reach(armed.name);
    }
}

impl Armed {
    fn reach(&self, name: &str) {
        if self.name == name && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_those_there_are_and_may_have_a_count() {
        let read = |text| read(text).map(|armed| (armed.name, armed.left.into_inner())).ok();
        assert_eq!(read("put.validated"), Some(("put.validated", 1)));
        assert_eq!(read("pull.page.received@3"), Some(("pull.page.received", 3)));
        for wrong in ["", "put", "put.validated@", "put.validated@0", "put.validated@x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
