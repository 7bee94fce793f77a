//! How the gateway fares, as figures: looked at once a minute, for `/metrics` and whoever watches it.
//!
//! The names are documented in `docs/operations.md` and stay. What can be counted where it happens is counted there;
//! here is what has a state: the disk, the queue, the accounts.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::Gateway;
use crate::cli::admin::Failure;
use crate::jobs::State;
use crate::store;
use crate::sync::Health;

const EVERY: Duration = Duration::from_mins(1);

/// Every minute until `stop`.
pub(super) async fn watch(gateway: &Gateway, mut stop: watch::Receiver<bool>) {
    loop {
        if let Err(Failure(error)) = look(gateway).await {
            tracing::warn!(error, "how the gateway fares can't be read");
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = gateway.clock.sleep(EVERY) => {}
        }
    }
}

async fn look(gateway: &Gateway) -> Result<(), Failure> {
    if let Some(free) = store::free_octets(&gateway.config.storage.path) {
        gauge("lineartime_disk_free_bytes", free);
    }
    if let Some(size) = gateway.store.size_on_disk() {
        gauge("lineartime_store_bytes", size);
    }
    let now = gateway.clock.now();
    let jobs = gateway.queue.list().await?;
    let overdue = jobs.iter().filter_map(|job| match job.standing.state {
        State::Ready { at } => Some(seconds_since(now, at)),
        _ => None,
    });
    gauge("lineartime_jobs_overdue_seconds", overdue.max().unwrap_or_default());
    let status = gateway.sync.status(None).await?;
    gauge("lineartime_jobs_waiting", status.queue as u64);
    gauge("lineartime_jobs_dead", status.dead as u64);
    for state in STATES {
        let count = status.accounts.iter().filter(|account| account.state == state).count();
        metrics::gauge!("lineartime_accounts", "state" => state.as_str()).set(to_float(count as u64));
    }
    Ok(())
}

fn seconds_since(now: Timestamp, at: Timestamp) -> u64 {
    u64::try_from(now.duration_since(at).as_secs()).unwrap_or_default()
}

fn gauge(name: &'static str, value: u64) {
    metrics::gauge!(name).set(to_float(value));
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers, and nobody counts octets by eye")]
fn to_float(value: u64) -> f64 {
    value as f64
}

const STATES: [Health; 5] = [Health::Healthy, Health::Degraded, Health::Down, Health::NeedsSignIn, Health::Paused];
