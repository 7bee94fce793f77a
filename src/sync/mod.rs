//! Keeping each source and its mirror alike: decide, then do.
//!
//! [`decide`] and `guard` are the rules, pure; `pull` reads a source, `push` writes to it, `worker` leases the
//! jobs that do so, `settle` and `status` tell people. What is agreed with a provider lies in links
//! (`record`), what must still go there in the calendar's intents.
//!
//! Invariants: an object reaches the calendar only through its write path, together with its link; a cursor never
//! passes what was not taken in; no provider is written to without somebody's change behind it.
//! Never here: HTTP, XML, what a provider's answers look like.

mod alert;
mod attempts;
mod budget;
pub mod check;
mod choice;
mod confirmed;
pub mod decide;
mod guard;
mod invitation;
mod item;
mod job;
mod look;
mod loss;
mod messages;
mod pull;
mod push;
mod rebind;
mod reconcile;
mod record;
mod relocate;
mod resolve;
mod settle;
mod status;
mod strategy;
mod take;
mod unmerge;
mod verdict;
mod watch;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::account::{AccountError, AccountState, Accounts, Source};
use crate::calendar::{Calendars, Mirror, Pending, PushJob};
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::id::{AccountId, CollectionId, SourceId};
use crate::jobs::{JobError, Priority, Queue};
use crate::provider::Provider;
use crate::store::{Batch, CommitError, Store, StoreError};

pub use alert::StateChange;
pub use budget::Budgets;
pub use choice::ChosenBy;
pub use guard::MassDelete;
pub use loss::HeldBack;
pub use record::{Held, Quarantined};
pub use resolve::ResolveError;
pub use settle::{Progress, Settled, Trouble};
pub use status::{AccountStatus, Health, Status};
pub use strategy::Strategy;
pub use unmerge::UnmergeError;
pub use verdict::Verdict;
pub use watch::{Heard, Hooks, Said};

use job::PullJob;
use pull::PullError;

/// The numbers by which synchronisation goes.
#[derive(Clone, Debug)]
pub struct Config {
    /// The usual pause between two looks at a source.
    pub poll_interval: Duration,
    /// The pause between two looks at an account's list of calendars.
    pub discover_interval: Duration,
    /// How often everything is compared although the provider tells of changes: some lie.
    pub compare_interval: Duration,
    /// How long a deletion waits for the other half of its move.
    pub move_wait: Duration,
    /// The brake on mass deletion.
    pub mass_delete_guard: MassDelete,
    /// Whose change stands when both sides changed the same thing.
    pub strategy: Strategy,
    /// Jobs that run side by side.
    pub workers: usize,
    /// Whether providers may call when something changes.
    pub hooks: Option<Hooks>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_mins(15),
            discover_interval: Duration::from_hours(6),
            compare_interval: Duration::from_hours(24),
            move_wait: Duration::from_secs(2),
            mass_delete_guard: MassDelete::default(),
            strategy: Strategy::default(),
            workers: 8,
            hooks: None,
        }
    }
}

/// Where the engine has the provider of an account from: the fifth door beside clock, chance, network and disk.
#[async_trait]
pub trait Providers: fmt::Debug + Send + Sync + 'static {
    /// The provider, ready for use.
    async fn provider(&self, account: &AccountId) -> Result<Arc<dyn Provider>, AccountError>;
}

#[async_trait]
impl Providers for Accounts {
    async fn provider(&self, account: &AccountId) -> Result<Arc<dyn Provider>, AccountError> {
        Self::provider(self, account).await
    }
}

/// What the engine works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The store that all the others live in.
    pub store: Arc<dyn Store>,
    /// The calendars.
    pub calendars: Arc<Calendars>,
    /// The accounts.
    pub accounts: Arc<Accounts>,
    /// Their providers: the accounts themselves, unless somebody stands in between.
    pub providers: Arc<dyn Providers>,
    /// The queue.
    pub queue: Arc<Queue>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

/// The engine. [`Engine::work`] runs it; everything else may be called from anywhere.
#[derive(Debug)]
pub struct Engine {
    store: Arc<dyn Store>,
    calendars: Arc<Calendars>,
    accounts: Arc<Accounts>,
    providers: Arc<dyn Providers>,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    config: Config,
    verdicts: verdict::Verdicts,
    attempts: attempts::Attempts,
    confirmed: confirmed::Confirmed,
    messages: messages::Messages,
}

/// A source with its provider, and where its events are kept.
#[derive(Clone, Debug)]
struct Target {
    source: Source,
    collection: CollectionId,
    mirror: Mirror,
    provider: Arc<dyn Provider>,
}

impl Engine {
    /// An engine at rest.
    pub fn new(parts: Parts, config: Config) -> Self {
        let Parts { store, calendars, accounts, providers, queue, clock, entropy } = parts;
        Self {
            store,
            calendars,
            accounts,
            providers,
            queue,
            clock,
            entropy,
            config,
            verdicts: verdict::Verdicts::default(),
            attempts: attempts::Attempts::default(),
            confirmed: confirmed::Confirmed::default(),
            messages: messages::Messages::default(),
        }
    }

    /// Waits up to `patience` for the providers' verdicts on changes that were just made. The first refusal is the
    /// answer; `None` if somebody has not answered in time, which is no refusal.
    pub async fn verdict(&self, pending: &[Pending], patience: Duration) -> Option<Verdict> {
        let waits: Vec<_> = pending.iter().map(|pending| self.verdicts.wait(pending)).collect();
        let all = async {
            for wait in waits {
                match wait.await {
                    Ok(Verdict::Accepted) => {}
                    Ok(refused) => return Some(refused),
                    Err(_) => return None,
                }
            }
            Some(Verdict::Accepted)
        };
        let patience = self.clock.sleep(patience);
        let answer = match futures_util::future::select(Box::pin(all), patience).await {
            futures_util::future::Either::Left((answer, _)) => answer,
            futures_util::future::Either::Right(_) => None,
        };
        for pending in pending {
            self.verdicts.give_up(pending);
        }
        answer
    }

    /// Makes the jobs of an account that was just connected or has to be worked for again, due now.
    pub async fn attend(&self, account: &AccountId) -> Result<(), SyncError> {
        let account = self.accounts.account(account).await?;
        self.queue.resume_lane(account.id.as_str()).await?;
        if let Err(error) = self.note_addresses(&account.id).await {
            tracing::debug!(%error, account.id = %account.id, "the addresses of an account could not be noted; the next look at its calendars does it");
        }
        let now = self.clock.now();
        self.queue
            .enqueue(job::discover(&account.id, job::after(now, self.config.discover_interval), Priority::Low))
            .await?;
        for source in self.accounts.sources_of(&account).await? {
            self.enqueue_pull(&source, false, Priority::Medium).await?;
        }
        self.wish_watch(&account.id).await
    }

    /// Stops working for an account until [`Engine::attend`].
    pub async fn pause(&self, account: &AccountId) -> Result<(), SyncError> {
        self.unwatch(account).await?;
        self.accounts.pause(account).await?;
        self.queue.pause_lane(account.as_str()).await?;
        Ok(())
    }

    /// Works for a paused account again.
    pub async fn resume(&self, account: &AccountId) -> Result<(), SyncError> {
        self.accounts.resume(account).await?;
        self.attend(account).await
    }

    /// Forgets an account with all that is known of it here. Nothing upstream is touched.
    pub async fn remove(&self, account: &AccountId) -> Result<(), SyncError> {
        let row = self.accounts.account(account).await?;
        self.queue.pause_lane(account.as_str()).await?;
        self.unwatch(account).await?;
        let sources = self.accounts.sources_of(&row).await?;
        let mut leaving = Vec::with_capacity(sources.len());
        for source in &sources {
            let links = record::links(&*self.store, &source.id).await?;
            leaving.push(links.into_iter().map(|linked| linked.link.event).collect());
        }
        self.accounts.remove(account).await?;
        self.queue.forget_lane(account.as_str()).await?;
        let mut batch = Batch::new();
        for (source, leaving) in sources.iter().zip(&leaving) {
            self.bequeath((&row.user, &source.id), leaving, &mut batch).await?;
            record::forget_source(&*self.store, &mut batch, &source.id).await?;
        }
        choice::forget(&mut batch, &row.user, account);
        alert::forget(&mut batch, account);
        self.store.commit(batch).await.map_err(SyncError::from)?;
        Ok(())
    }

    /// Says that the deletions which the brake holds for a source are meant. Whether any were held.
    pub async fn confirm_deletions(&self, source: &SourceId) -> Result<bool, SyncError> {
        let Some(held) = record::HELD.get(&*self.store, source).await? else { return Ok(false) };
        let mut batch = Batch::new();
        record::HELD.expect(&mut batch, source, &held);
        record::HELD.put(&mut batch, source, &Held { confirmed: true, ..held });
        self.store.commit(batch).await.map_err(SyncError::from)?;
        let source = self.accounts.source(source).await?;
        self.enqueue_pull(&source, true, Priority::High).await?;
        Ok(true)
    }

    /// Looks at a source soon: it was switched on, or somebody asks.
    pub async fn enqueue_pull(&self, source: &Source, full: bool, priority: Priority) -> Result<(), SyncError> {
        let job =
            PullJob { user: source.user.clone(), account: source.account.clone(), source: source.id.clone(), full };
        Ok(self.queue.enqueue(job.wish(self.clock.now(), priority)).await?)
    }

    /// At start: every account that is worked for has its jobs, and every intent somebody who looks at it.
    async fn ensure_jobs(&self) -> Result<(), SyncError> {
        for account in self.accounts.all().await? {
            if account.state != AccountState::Active {
                continue;
            }
            let due = job::after(self.clock.now(), self.config.discover_interval);
            self.queue.enqueue(job::discover(&account.id, due, Priority::Low)).await?;
            self.wish_watch(&account.id).await?;
            for source in self.accounts.sources_of(&account).await? {
                self.enqueue_pull(&source, false, Priority::Low).await?;
                if !self.calendars.intents(&source.id).await?.is_empty() {
                    let payload = PushJob {
                        user: source.user.clone(),
                        account: source.account.clone(),
                        source: source.id.clone(),
                    };
                    self.queue.enqueue(job::push(&payload, self.clock.now(), Priority::Medium)).await?;
                }
            }
        }
        Ok(())
    }

    /// Notes under which addresses an account is organizer or guest. A provider that does not tell keeps nothing from going on.
    async fn note_addresses(&self, account: &AccountId) -> Result<(), PullError> {
        let row = self.accounts.account(account).await.map_err(PullError::from)?;
        let provider = self.providers.provider(account).await.map_err(PullError::from)?;
        let mut addresses = provider.addresses().await.unwrap_or_default();
        addresses.extend(row.provider.username().filter(|name| name.contains('@')).map(str::to_owned));
        if addresses.is_empty() {
            return Ok(());
        }
        for source in self.accounts.sources_of(&row).await.map_err(PullError::from)? {
            let id = CollectionId::new(&source.user, source.collection.clone());
            self.calendars.set_addresses(&id, &addresses).await?;
        }
        Ok(())
    }

    /// A source is mirrored again: everything is compared, and its changes are listened for.
    pub async fn mirror_again(&self, source: &Source) -> Result<(), SyncError> {
        self.enqueue_pull(source, true, Priority::High).await?;
        self.wish_watch(&source.account).await
    }

    /// Has the channels of an account looked after, if providers may call.
    async fn wish_watch(&self, account: &AccountId) -> Result<(), SyncError> {
        if self.config.hooks.is_some() {
            self.queue.enqueue(job::watch(account, self.clock.now())).await?;
        }
        Ok(())
    }

    /// Looks which calendars an account has; new ones are read at once.
    async fn discover(&self, account: &AccountId) -> Result<(), PullError> {
        let mut refreshed = self.accounts.refresh_sources(account).await.map_err(PullError::from)?;
        self.settle_alike(account, &mut refreshed).await?;
        self.note_addresses(account).await?;
        if refreshed != crate::account::Refreshed::default() {
            self.wish_watch(account).await.map_err(|error| PullError::Account(error.to_string()))?;
        }
        for source in refreshed.new.iter().chain(&refreshed.changed) {
            let source = self.accounts.source(source).await.map_err(PullError::from)?;
            let pull = self.enqueue_pull(&source, false, Priority::Medium).await;
            pull.map_err(|error| PullError::Account(error.to_string()))?;
        }
        Ok(())
    }

    /// A source that is to be worked for.
    async fn target(&self, source: &SourceId) -> Result<Target, PullError> {
        let source = self.accounts.source(source).await.map_err(PullError::from)?;
        let collection = CollectionId::new(&source.user, source.collection.clone());
        let row = self.calendars.collection(&collection).await?.ok_or(PullError::NotMirrored)?;
        if row.mirror == Mirror::Off || source.missing {
            return Err(PullError::NotMirrored);
        }
        let provider = self.providers.provider(&source.account).await.map_err(PullError::from)?;
        Ok(Target { source, collection, mirror: row.mirror, provider })
    }
}

/// Why a call on the engine did not do what it says.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The account could not be read or changed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The queue could not be read or changed.
    #[error(transparent)]
    Queue(#[from] JobError),
    /// Others kept changing the same rows; trying again is right.
    #[error("the same rows are being changed by somebody else")]
    Stale,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CommitError> for SyncError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Stale(_) => Self::Stale,
            CommitError::Store(error) => Self::Store(error),
        }
    }
}

impl From<AccountError> for PullError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NotFound => Self::NotMirrored,
            AccountError::Provider(fault) => Self::Fault(fault),
            AccountError::Store(error) => Self::Store(error),
            error => Self::Account(error.to_string()),
        }
    }
}
