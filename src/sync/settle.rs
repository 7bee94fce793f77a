//! Syncing now, and waiting until nothing is left to do: what `sync --wait` and its progress are.

use std::collections::HashMap;

use super::attempts::Kind;
use super::{Engine, SyncError, job};
use crate::account::{Account, AccountState, Source};
use crate::calendar::Mirror;
use crate::id::{AccountId, CollectionId, SourceId, UserId};
use crate::jobs::{Breaker, Hold, Priority};

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Sources that were read since it was asked.
    pub sources_done: usize,
    /// Sources that are to be read.
    pub sources: usize,
    /// Objects looked at so far.
    pub objects: u64,
    /// Changes that still have to go to a provider.
    pub pending: usize,
}

/// What stands in the way of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The account's label.
    pub account: String,
    /// The source's name.
    pub source: String,
    /// What is the matter.
    pub why: String,
}

/// How it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The last progress.
    pub progress: Progress,
    /// What could not be done. Empty: everything is alike on both sides.
    pub troubles: Vec<Trouble>,
}

/// One source that is waited for.
struct Watched {
    account: AccountId,
    label: String,
    source: Source,
    /// Tries begun before it was asked.
    pulls: u64,
    pushes: u64,
}

impl Engine {
    /// Wishes that every source of `user`, or of one account, be read now, and forgets pauses that stand in the way.
    pub async fn sync_now(&self, user: &UserId, account: Option<&AccountId>, full: bool) -> Result<(), SyncError> {
        for account in self.chosen(user, account).await? {
            if account.state != AccountState::Active {
                continue;
            }
            for source in self.accounts.sources_of(&account).await? {
                self.enqueue_pull(&source, full, Priority::High).await?;
                if let Ok(target) = self.target(&source.id).await
                    && !self.calendars.intents(&source.id).await?.is_empty()
                {
                    self.queue.enqueue(self.push_wish(&target)).await?;
                }
            }
            self.queue.nudge_lane(account.id.as_str()).await?;
        }
        Ok(())
    }

    /// Wishes that it be looked now which calendars the accounts of `user` have, or one of them. New ones are read at once.
    pub async fn discover_now(&self, user: &UserId, account: Option<&AccountId>) -> Result<(), SyncError> {
        for account in self.chosen(user, account).await? {
            if account.state == AccountState::Active {
                self.queue.enqueue(job::discover(&account.id, self.clock.now(), Priority::High)).await?;
            }
        }
        Ok(())
    }

    /// Syncs now and waits until everything has been read and written, or can't be. `tell` hears of progress.
    pub async fn settle(
        &self,
        user: &UserId,
        account: Option<&AccountId>,
        full: bool,
        mut tell: impl FnMut(&Progress) + Send,
    ) -> Result<Settled, SyncError> {
        let mut bell = self.attempts.bell();
        let (watched, mut idle) = self.watched(user, account).await?;
        self.sync_now(user, account, full).await?;
        let mut settled = Settled::default();
        loop {
            bell.mark_unchanged();
            let mut troubles = HashMap::new();
            settled.progress = self.progress(&watched, &mut troubles).await?;
            tell(&settled.progress);
            let Progress { sources_done, sources, pending, .. } = settled.progress;
            if sources_done == sources && (pending == 0 || self.is_stuck(&watched, &troubles).await?) {
                break;
            }
            if bell.changed().await.is_err() {
                break;
            }
        }
        let mut troubles = HashMap::new();
        self.progress(&watched, &mut troubles).await?;
        for watched in watched {
            let held = super::record::HELD.get(&*self.store, &watched.source.id).await?;
            let held = held.map(|held| {
                format!(
                    "{} of {} events are gone there; the deletions are held. If that is meant: lineartime source set {user} {} --confirm-deletions",
                    held.gone.len(), held.known, watched.source.id
                )
            });
            if let Some(why) = troubles.remove(&watched.source.id).or(held) {
                settled.troubles.push(Trouble { account: watched.label, source: watched.source.name, why });
            }
        }
        settled.troubles.append(&mut idle);
        Ok(settled)
    }

    async fn chosen(&self, user: &UserId, account: Option<&AccountId>) -> Result<Vec<Account>, SyncError> {
        let mut accounts = self.accounts.list(user).await?;
        accounts.retain(|known| account.is_none_or(|wanted| *wanted == known.id));
        Ok(accounts)
    }

    /// The sources to wait for, and what is the matter with those that nobody works for.
    async fn watched(
        &self,
        user: &UserId,
        account: Option<&AccountId>,
    ) -> Result<(Vec<Watched>, Vec<Trouble>), SyncError> {
        let (mut watched, mut idle) = (Vec::new(), Vec::new());
        for account in self.chosen(user, account).await? {
            let why = match &account.state {
                AccountState::Active => None,
                AccountState::Paused => Some("the account is paused".to_owned()),
                AccountState::NeedsSignIn { why } => Some(format!("the account needs a new sign-in: {why}")),
            };
            for source in self.accounts.sources_of(&account).await? {
                if let Some(why) = &why {
                    let (account, source) = (account.label.clone(), source.name.clone());
                    idle.push(Trouble { account, source, why: why.clone() });
                    continue;
                }
                let id = CollectionId::new(&source.user, source.collection.clone());
                let is_off = self.calendars.collection(&id).await?.is_none_or(|row| row.mirror == Mirror::Off);
                if is_off || source.missing {
                    continue;
                }
                let pulls = self.attempts.of(&source.id, Kind::Pull).begun;
                let pushes = self.attempts.of(&source.id, Kind::Push).begun;
                let (account, label) = (account.id.clone(), account.label.clone());
                watched.push(Watched { account, label, source, pulls, pushes });
            }
        }
        Ok((watched, idle))
    }

    async fn progress(
        &self,
        watched: &[Watched],
        troubles: &mut HashMap<SourceId, String>,
    ) -> Result<Progress, SyncError> {
        let mut progress = Progress { sources: watched.len(), ..Progress::default() };
        for one in watched {
            let pull = self.attempts.of(&one.source.id, Kind::Pull);
            let push = self.attempts.of(&one.source.id, Kind::Push);
            progress.objects += pull.objects + push.objects;
            progress.pending += self.calendars.intents(&one.source.id).await?.len();
            if pull.ended > one.pulls {
                progress.sources_done += 1;
                let push_trouble = push.trouble.filter(|_| push.ended > one.pushes);
                if let Some(why) = pull.trouble.or(push_trouble) {
                    troubles.insert(one.source.id.clone(), why);
                }
            } else if let Some(why) = self.barred(&one.account).await? {
                progress.sources_done += 1;
                troubles.insert(one.source.id.clone(), why);
            }
        }
        Ok(progress)
    }

    /// Why no job of the account is begun for now, if so: another of its sources has met what stops them all.
    async fn barred(&self, account: &AccountId) -> Result<Option<String>, SyncError> {
        let health = self.queue.health(account.as_str()).await?;
        Ok(match (health.hold, health.breaker) {
            (Some(Hold::Paused), _) => Some("the account is paused".to_owned()),
            (Some(Hold::NeedsSignIn { why }), _) => Some(format!("the account needs a new sign-in: {why}")),
            (None, Breaker::Open { until, .. }) => {
                let why = health.last_error.unwrap_or_default();
                Some(format!("nothing is tried before {until}, after several failures: {why}"))
            }
            (None, Breaker::Closed { .. } | Breaker::HalfOpen { .. }) => None,
        })
    }

    /// Whether every change that waits belongs to a source in trouble, or waits for one.
    async fn is_stuck(&self, watched: &[Watched], troubles: &HashMap<SourceId, String>) -> Result<bool, SyncError> {
        for one in watched.iter().filter(|one| !troubles.contains_key(&one.source.id)) {
            for (_, intent) in self.calendars.intents(&one.source.id).await? {
                if intent.after.is_none_or(|first| !troubles.contains_key(&first)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watched({})", self.source.id)
    }
}
