//! How many calls a minute an account's provider is asked for at most (providers.md 10, rule 10).
//!
//! Jobs of one account run one after the other, so that there is one request at a time at any mailbox. This adds the rate: calls
//! beyond it wait for their turn, and keep nobody else waiting but their own account.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::Providers;
use crate::account::{AccountError, Accounts};
use crate::clock::Clock;
use crate::id::AccountId;
use crate::provider::{
    Change, Channel, Cursor, Fault, Hook, IdempotencyKey, Item, Page, Position, Provider, RemoteCalendar, RemoteId,
    Removal, Version, Written,
};

/// Calls in a burst, and the time in which one more becomes free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    burst: u32,
    every: Duration,
}

/// What a kind of provider bears of one mailbox; `None` where its own pauses (429, `Retry-After`) are all there is.
fn rate(provider: &str) -> Option<Rate> {
    match provider {
        // Five a second.
        "google" => Some(Rate { burst: 10, every: Duration::from_millis(200) }),
        // 900 in ten minutes.
        "microsoft" => Some(Rate { burst: 100, every: Duration::from_millis(667) }),
        _ => None,
    }
}

/// The accounts' providers, each within its budget.
#[derive(Debug)]
pub struct Budgets {
    accounts: Arc<Accounts>,
    clock: Arc<dyn Clock>,
    buckets: Mutex<HashMap<AccountId, Arc<Bucket>>>,
}

impl Budgets {
    /// Budgets for these accounts.
    pub fn new(accounts: Arc<Accounts>, clock: Arc<dyn Clock>) -> Self {
        Self { accounts, clock, buckets: Mutex::default() }
    }
}

#[async_trait]
impl Providers for Budgets {
    async fn provider(&self, account: &AccountId) -> Result<Arc<dyn Provider>, AccountError> {
        let provider = self.accounts.provider(account).await?;
        let known = self.buckets.lock().unwrap_or_else(PoisonError::into_inner).get(account).cloned();
        let bucket = if let Some(bucket) = known {
            bucket
        } else {
            let Some(rate) = rate(self.accounts.account(account).await?.provider.name()) else {
                return Ok(provider);
            };
            let new = || Arc::new(Bucket { rate, clock: self.clock.clone(), free_at: Mutex::default() });
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            buckets.entry(account.clone()).or_insert_with(new).clone()
        };
        Ok(Arc::new(Paced { provider, bucket }))
    }
}

/// A bucket of calls: when the next one is free, by the process's own clock.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    clock: Arc<dyn Clock>,
    /// By when all calls so far are paid for.
    free_at: Mutex<Duration>,
}

impl Bucket {
    /// Takes a call, once it is free.
    async fn take(&self) {
        let now = self.clock.monotonic();
        let wait = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            *free_at = (*free_at).max(now) + self.rate.every;
            free_at.saturating_sub(now + self.rate.every * self.rate.burst)
        };
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
    }
}

/// A provider within its budget.
#[derive(Debug)]
struct Paced {
    provider: Arc<dyn Provider>,
    bucket: Arc<Bucket>,
}

#[async_trait]
impl Provider for Paced {
    async fn calendars(&self) -> Result<Vec<RemoteCalendar>, Fault> {
        self.bucket.take().await;
        self.provider.calendars().await
    }

    async fn changes(&self, calendar: &RemoteId, from: &Position) -> Result<Page, Fault> {
        self.bucket.take().await;
        self.provider.changes(calendar, from).await
    }

    async fn fetch(&self, calendar: &RemoteId, ids: &[RemoteId]) -> Result<Vec<Item>, Fault> {
        self.bucket.take().await;
        self.provider.fetch(calendar, ids).await
    }

    fn identity(&self, calendar: &RemoteId, key: &IdempotencyKey) -> Option<RemoteId> {
        self.provider.identity(calendar, key)
    }

    async fn made(&self, calendar: &RemoteId, key: &IdempotencyKey, uid: &str) -> Result<Option<RemoteId>, Fault> {
        self.bucket.take().await;
        self.provider.made(calendar, key, uid).await
    }

    async fn find(&self, calendar: &RemoteId, key: &IdempotencyKey, uid: &str) -> Result<Option<RemoteId>, Fault> {
        self.bucket.take().await;
        self.provider.find(calendar, key, uid).await
    }

    async fn relocate(
        &self,
        places: (&RemoteId, &RemoteId),
        version: &Version,
        key: &IdempotencyKey,
        change: &Change<'_>,
    ) -> Result<Option<Written>, Fault> {
        self.bucket.take().await;
        self.provider.relocate(places, version, key, change).await
    }

    async fn changes_afresh(&self, calendar: &RemoteId, before: Option<&Cursor>) -> Result<Page, Fault> {
        self.bucket.take().await;
        self.provider.changes_afresh(calendar, before).await
    }

    fn poll_interval(&self, calendar: &RemoteId) -> Option<Duration> {
        self.provider.poll_interval(calendar)
    }

    fn renames(&self) -> bool {
        self.provider.renames()
    }

    fn deletes_first(&self) -> bool {
        self.provider.deletes_first()
    }

    async fn may_move(&self, from: &RemoteId) -> Result<(), Fault> {
        self.bucket.take().await;
        self.provider.may_move(from).await
    }

    fn lists_whole(&self) -> bool {
        self.provider.lists_whole()
    }

    async fn create(&self, calendar: &RemoteId, key: &IdempotencyKey, change: &Change<'_>) -> Result<Written, Fault> {
        self.bucket.take().await;
        self.provider.create(calendar, key, change).await
    }

    async fn update(&self, calendar: &RemoteId, version: &Version, change: &Change<'_>) -> Result<Written, Fault> {
        self.bucket.take().await;
        self.provider.update(calendar, version, change).await
    }

    async fn delete(&self, calendar: &RemoteId, version: &Version, removal: &Removal<'_>) -> Result<(), Fault> {
        self.bucket.take().await;
        self.provider.delete(calendar, version, removal).await
    }

    async fn addresses(&self) -> Result<Vec<String>, Fault> {
        self.bucket.take().await;
        self.provider.addresses().await
    }

    fn homes(&self) -> Vec<String> {
        self.provider.homes()
    }

    fn can_watch(&self) -> bool {
        self.provider.can_watch()
    }

    async fn watch(&self, calendar: Option<&RemoteId>, hook: &Hook) -> Result<Option<Channel>, Fault> {
        self.bucket.take().await;
        self.provider.watch(calendar, hook).await
    }

    async fn renew(
        &self,
        calendar: Option<&RemoteId>,
        hook: &Hook,
        channel: &Channel,
    ) -> Result<Option<Channel>, Fault> {
        self.bucket.take().await;
        self.provider.renew(calendar, hook, channel).await
    }

    async fn unwatch(&self, channel: &Channel) -> Result<(), Fault> {
        self.bucket.take().await;
        self.provider.unwatch(channel).await
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::clock::ManualClock;

    #[tokio::test]
    #[expect(clippy::duration_suboptimal_units, reason = "hours and days as they are counted elsewhere in this file")]
    async fn a_burst_goes_at_once_and_the_rest_one_by_one() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let rate = Rate { burst: 3, every: Duration::from_millis(200) };
        let bucket = Bucket { rate, clock: Arc::new(clock.clone()), free_at: Mutex::default() };
        for _ in 0..3 {
            bucket.take().await;
        }
        let mut fourth = Box::pin(bucket.take());
        assert!(futures_util::poll!(&mut fourth).is_pending(), "the fourth waits");
        clock.advance(Duration::from_millis(200));
        fourth.await;
        clock.advance(Duration::from_secs(60));
        for _ in 0..3 {
            bucket.take().await;
        }
        assert!(futures_util::poll!(Box::pin(bucket.take())).is_pending(), "what was not used is not saved up");
    }
}
