//! Channels by which providers tell of changes: opened for every calendar that is mirrored and for the list of calendars,
//! renewed before they end, believed by a token.
//!
//! Invariants: a new channel is stored before the old one is ended, so that none is missed; a message that is lost costs the
//! time until the next poll and nothing else; an account's channels end with it.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::job::{self, after};
use super::pull::PullError;
use super::{Engine, SyncError};
use crate::account::Account;
use crate::calendar::Mirror;
use crate::entropy;
use crate::failpoint;
use crate::id::{AccountId, CollectionId, SourceId};
use crate::jobs::{NewJob, Priority};
use crate::provider::{Channel, Fault, Hook, Provider, RemoteId};
use crate::store::{Batch, Record, Table, tables};
use crate::vault::Secret;

/// Whether and where providers may call.
#[derive(Clone, Debug)]
pub struct Hooks {
    /// How this server is reached from outside.
    pub public_url: String,
    /// So long before its end a channel is renewed.
    pub renew_before: Duration,
}

/// What a message says. All of it is a hint: what has changed is read, never believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    /// The channel is open.
    Opened,
    /// Something has changed, or a message about it was lost.
    Changed,
    /// The channel ends unless it is renewed now (Graph's `reauthorizationRequired`).
    Lapses,
    /// The channel has ended (Graph's `subscriptionRemoved`).
    Ended,
}

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Something will be read, or the channel looked after.
    News,
    /// The channel is open.
    Opened,
    /// No such channel, or not its token.
    Unknown,
}

impl Heard {
    /// Its word in figures.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::News => "news",
            Self::Opened => "opened",
            Self::Unknown => "unknown",
        }
    }
}

/// An open channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Watch {
    account: AccountId,
    /// The source watched; `None`: the list of calendars.
    source: Option<SourceId>,
    channel: Channel,
    /// The hash of what its messages must say.
    token: [u8; 32],
    /// Where they are sent.
    url: String,
    opened: Timestamp,
}

impl Record for Watch {
    const FORMAT: u8 = 1;
}

/// Channels by account and id.
const WATCHES: Table<(u8, AccountId, String), Watch> = Table::new(tables::CHANNEL);
/// Which account's channel an id is.
const ACCOUNTS_OF: Table<(u8, String), Owner> = Table::new(tables::CHANNEL);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner(AccountId);

impl Record for Owner {
    const FORMAT: u8 = 1;
}

const BY_ID: u8 = 0;
const BY_ACCOUNT: u8 = 1;
/// So long after a channel was opened what may have been missed is read.
const GATHER: Duration = Duration::from_secs(1);
/// Asked for; the provider may say less.
const LASTS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// At the latest it is looked after the channels again then.
const LOOK: Duration = Duration::from_hours(12);
/// No provider's ids of channels are longer.
const LONGEST_ID: usize = 128;
/// A channel that could not be opened is tried again after this.
const TRY_AGAIN: Duration = Duration::from_mins(15);

impl Engine {
    /// A provider says something of a channel, or seems to. Nothing is done about it here but wishing for it.
    pub async fn heard(&self, id: &str, token: &Secret, said: Said) -> Result<Heard, SyncError> {
        let Some(watch) = self.believed(id, token).await? else { return Ok(Heard::Unknown) };
        match said {
            Said::Opened => Ok(Heard::Opened),
            Said::Changed => self.read_soon(&watch).await,
            Said::Lapses => self.renew_soon(watch).await,
            Said::Ended => self.reopen_soon(&watch).await,
        }
    }

    /// The channel with this id, if the message knows its token.
    async fn believed(&self, id: &str, token: &Secret) -> Result<Option<Watch>, SyncError> {
        if id.is_empty() || id.len() > LONGEST_ID {
            return Ok(None);
        }
        let Some(Owner(account)) = ACCOUNTS_OF.get(&*self.store, &(BY_ID, id.to_owned())).await? else {
            return Ok(None);
        };
        let watch = WATCHES.get(&*self.store, &(BY_ACCOUNT, account, id.to_owned())).await?;
        Ok(watch.filter(|watch| bool::from(watch.token.ct_eq(&hash(token)))))
    }

    async fn read_soon(&self, watch: &Watch) -> Result<Heard, SyncError> {
        let Some(wish) = self.reading(watch, self.clock.now()).await? else { return Ok(Heard::Unknown) };
        let key = wish.key.clone();
        let Some(pause) = self.messages.pause(&key, self.clock.monotonic()) else { return Ok(Heard::News) };
        let wish = NewJob { due: after(self.clock.now(), pause), ..wish };
        if let Err(error) = self.queue.enqueue(wish).await {
            self.messages.begun(&key);
            return Err(error.into());
        }
        Ok(Heard::News)
    }

    /// The wish to read what a channel is about; `None` if that is no longer wanted.
    async fn reading(&self, watch: &Watch, due: Timestamp) -> Result<Option<NewJob>, SyncError> {
        let Some(source) = &watch.source else {
            return Ok(Some(job::discover(&watch.account, due, Priority::High)));
        };
        match self.accounts.source(source).await {
            Ok(source) => {
                let (user, account, source) = (source.user.clone(), source.account.clone(), source.id);
                Ok(Some(job::PullJob { user, account, source, full: false }.wish(due, Priority::High)))
            }
            Err(crate::account::AccountError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes that the channel has ended for all we know, so that the next look at it renews it, and has it looked at.
    async fn renew_soon(&self, watch: Watch) -> Result<Heard, SyncError> {
        let now = self.clock.now();
        if watch.channel.expires <= now {
            return Ok(Heard::News);
        }
        let key = (BY_ACCOUNT, watch.account.clone(), watch.channel.id.clone());
        let mut batch = Batch::new();
        WATCHES.expect(&mut batch, &key, &watch);
        let account = watch.account.clone();
        let channel = Channel { expires: now, ..watch.channel };
        WATCHES.put(&mut batch, &key, &Watch { channel, ..watch });
        self.queue.enqueue_into(&mut batch, &job::watch(&account, now));
        // Stale: it was looked after just now.
        commit(self, batch).await?;
        Ok(Heard::News)
    }

    /// Forgets the channel, has another one opened, and reads what was missed.
    async fn reopen_soon(&self, watch: &Watch) -> Result<Heard, SyncError> {
        let now = self.clock.now();
        let mut batch = Batch::new();
        forget(&mut batch, watch);
        self.queue.enqueue_into(&mut batch, &job::watch(&watch.account, now));
        if let Some(wish) = self.reading(watch, after(now, GATHER)).await? {
            self.queue.enqueue_into(&mut batch, &wish);
        }
        commit(self, batch).await?;
        Ok(Heard::News)
    }

    /// Opens what is missing, renews what ends soon, ends what is no longer wanted. When to look again; never where nobody may call.
    pub(super) async fn watch(&self, account: &AccountId) -> Result<Option<Timestamp>, PullError> {
        let now = self.clock.now();
        let Some(hooks) = self.config.hooks.clone() else { return Ok(None) };
        let provider = self.providers.provider(account).await.map_err(PullError::from)?;
        if !provider.can_watch() {
            return Ok(None);
        }
        let row = self.accounts.account(account).await.map_err(PullError::from)?;
        let url = format!("{}/api/webhooks/{}", hooks.public_url.trim_end_matches('/'), row.provider.name());
        let open = self.watches(account).await?;
        let (mut next, mut kept) = (after(now, LOOK), HashSet::new());
        for target in self.wanted(&row).await? {
            let source = target.as_ref().map(|(source, _)| source);
            let mine: Vec<&Watch> =
                open.iter().filter(|watch| watch.source.as_ref() == source && watch.url == url).collect();
            let old = mine.iter().copied().max_by_key(|watch| watch.channel.expires);
            let opened = match old.filter(|watch| renew_at(watch, &hooks) > now) {
                Some(fresh) => Ok(Some(fresh.clone())),
                None => self.open(&*provider, Opening { account, target: target.as_ref(), url: &url, old }).await,
            };
            match opened {
                Ok(Some(watch)) => {
                    next = next.min(renew_at(&watch, &hooks));
                    kept.insert(watch.channel.id);
                }
                Ok(None) => {}
                Err(PullError::Fault(fault)) if is_of_the_calendar(&fault) => {}
                Err(PullError::Fault(fault @ Fault::Unauthorized(_))) => return Err(fault.into()),
                Err(PullError::Fault(fault)) => {
                    tracing::warn!(account.id = %account, why = %fault, "a channel could not be opened or renewed; it is polled meanwhile");
                    next = next.min(after(now, TRY_AGAIN));
                    // What is open there still speaks.
                    kept.extend(mine.iter().map(|watch| watch.channel.id.clone()));
                }
                Err(error) => return Err(error),
            }
        }
        for watch in open.iter().filter(|watch| !kept.contains(&watch.channel.id)) {
            self.close(&*provider, watch).await?;
        }
        Ok(Some(next))
    }

    /// What is to be watched of an account: its list of calendars, and every calendar that is mirrored.
    async fn wanted(&self, account: &Account) -> Result<Vec<Option<(SourceId, RemoteId)>>, PullError> {
        let mut wanted = vec![None];
        for source in self.accounts.sources_of(account).await.map_err(PullError::from)? {
            let id = CollectionId::new(&source.user, source.collection.clone());
            let is_off = self.calendars.collection(&id).await?.is_none_or(|row| row.mirror == Mirror::Off);
            if !is_off && !source.missing {
                wanted.push(Some((source.id, source.remote)));
            }
        }
        Ok(wanted)
    }

    /// Ends every channel of an account, as far as the provider still hears us.
    pub(super) async fn unwatch(&self, account: &AccountId) -> Result<(), SyncError> {
        let watches = self.watches(account).await?;
        if watches.is_empty() {
            return Ok(());
        }
        let provider = self.providers.provider(account).await;
        for watch in &watches {
            if let Ok(provider) = &provider
                && let Err(fault) = provider.unwatch(&watch.channel).await
            {
                tracing::debug!(account.id = %account, why = %fault, "a channel could not be ended; it ends by itself");
            }
            self.forget(watch).await?;
        }
        Ok(())
    }

    /// Ends the channels of one source: it stands for another calendar.
    pub(super) async fn unwatch_source(
        &self,
        provider: &dyn Provider,
        account: &AccountId,
        source: &SourceId,
    ) -> Result<(), PullError> {
        for watch in self.watches(account).await?.iter().filter(|watch| watch.source.as_ref() == Some(source)) {
            self.close(provider, watch).await?;
        }
        Ok(())
    }

    /// When the first of an account's channels ends; never where nobody may call.
    pub(super) async fn webhook_expires(&self, account: &AccountId) -> Result<Option<Timestamp>, SyncError> {
        if self.config.hooks.is_none() {
            return Ok(None);
        }
        let watches = self.watches(account).await?;
        let open = watches.iter().filter(|watch| watch.channel.expires > watch.opened);
        Ok(open.map(|watch| watch.channel.expires).min())
    }

    async fn watches(&self, account: &AccountId) -> Result<Vec<Watch>, crate::store::StoreError> {
        let range = WATCHES.range(&(BY_ACCOUNT, account.clone()));
        Ok(WATCHES.scan(&*self.store, range, usize::MAX).await?.into_iter().map(|(_, watch)| watch).collect())
    }

    async fn open(&self, provider: &dyn Provider, wish: Opening<'_>) -> Result<Option<Watch>, PullError> {
        let now = self.clock.now();
        let id = entropy::token(&*self.entropy, 32);
        let token = Secret::new(entropy::token(&*self.entropy, 40));
        let until = now.checked_add(LASTS).unwrap_or(Timestamp::MAX);
        let hook = Hook { url: wish.url.to_owned(), id: id.clone(), token: token.clone(), until };
        let mut watch = Watch {
            account: wish.account.clone(),
            source: wish.target.map(|(source, _)| source.clone()),
            // It counts as ended until the provider says how long it lasts: whoever dies in between opens it again.
            channel: Channel { id, resource: String::new(), expires: now },
            token: hash(&token),
            url: wish.url.to_owned(),
            opened: now,
        };
        // Its first message may be here before the answer is.
        self.remember(&watch).await?;
        let remote = wish.target.map(|(_, remote)| remote);
        let opened = match wish.old {
            Some(old) => {
                failpoint::reach("watch.renew");
                provider.renew(remote, &hook, &old.channel).await
            }
            None => provider.watch(remote, &hook).await,
        };
        let channel = match opened {
            Ok(Some(channel)) => channel,
            Ok(None) => {
                self.forget(&watch).await?;
                return Ok(None);
            }
            Err(fault) => {
                self.forget(&watch).await?;
                return Err(fault.into());
            }
        };
        let is_same = wish.old.is_some_and(|old| old.channel.id == channel.id);
        // One that was made longer keeps its id and what its messages say.
        if let Some(old) = wish.old.filter(|_| is_same) {
            watch.token = old.token;
        }
        let is_named_there = channel.id != watch.channel.id;
        if is_named_there {
            self.forget(&watch).await?;
        }
        watch.channel = channel;
        failpoint::reach("watch.created_before_persist");
        // A word that it has ended, which may have come meanwhile, stands.
        self.remember_over(&watch, wish.old.filter(|_| is_same)).await?;
        let has_gap = wish.old.is_some_and(|old| old.channel.expires <= now);
        // Messages that came before we knew its name, or after the old one's end, were not heard.
        if has_gap || (is_named_there && !is_same) {
            let wish = self.reading(&watch, after(self.clock.now(), GATHER)).await.map_err(trouble)?;
            if let Some(wish) = wish {
                self.queue.enqueue(wish).await.map_err(trouble)?;
            }
        }
        Ok(Some(watch))
    }

    async fn close(&self, provider: &dyn Provider, watch: &Watch) -> Result<(), PullError> {
        if let Err(fault) = provider.unwatch(&watch.channel).await {
            tracing::debug!(account.id = %watch.account, why = %fault, "a channel could not be ended; it ends by itself");
        }
        Ok(self.forget(watch).await?)
    }

    async fn remember(&self, watch: &Watch) -> Result<(), crate::store::StoreError> {
        self.remember_over(watch, None).await
    }

    /// In place of `before`, if that is still there as it was.
    async fn remember_over(&self, watch: &Watch, before: Option<&Watch>) -> Result<(), crate::store::StoreError> {
        let id = watch.channel.id.clone();
        let mut batch = Batch::new();
        let key = (BY_ACCOUNT, watch.account.clone(), id.clone());
        if let Some(before) = before {
            WATCHES.expect(&mut batch, &key, before);
        }
        WATCHES.put(&mut batch, &key, watch);
        ACCOUNTS_OF.put(&mut batch, &(BY_ID, id), &Owner(watch.account.clone()));
        commit(self, batch).await
    }

    async fn forget(&self, watch: &Watch) -> Result<(), crate::store::StoreError> {
        let mut batch = Batch::new();
        forget(&mut batch, watch);
        commit(self, batch).await
    }
}

/// What is to be opened.
struct Opening<'a> {
    account: &'a AccountId,
    /// The calendar; `None`: the list of calendars.
    target: Option<&'a (SourceId, RemoteId)>,
    url: &'a str,
    /// The channel that it follows.
    old: Option<&'a Watch>,
}

fn forget(batch: &mut Batch, watch: &Watch) {
    let id = watch.channel.id.clone();
    WATCHES.delete(batch, &(BY_ACCOUNT, watch.account.clone(), id.clone()));
    ACCOUNTS_OF.delete(batch, &(BY_ID, id));
}

/// Calendars that can't be watched (holidays) are polled; the account itself may still be well.
fn is_of_the_calendar(fault: &Fault) -> bool {
    matches!(fault, Fault::Refused(_) | Fault::Forbidden(_) | Fault::CalendarGone | Fault::Gone)
}

fn trouble(error: impl Into<SyncError>) -> PullError {
    PullError::Account(error.into().to_string())
}

/// Somebody else may have changed the row meanwhile, which is as good; only the store itself can fail.
async fn commit(engine: &Engine, batch: Batch) -> Result<(), crate::store::StoreError> {
    match engine.store.commit(batch).await {
        Ok(_) | Err(crate::store::CommitError::Stale(_)) => Ok(()),
        Err(crate::store::CommitError::Store(error)) => Err(error),
    }
}

/// When a channel is to be renewed: some time before its end, for short ones half-way.
fn renew_at(watch: &Watch, hooks: &Hooks) -> Timestamp {
    let life = watch.channel.expires.duration_since(watch.opened);
    let before = SignedDuration::try_from(hooks.renew_before).unwrap_or(SignedDuration::MAX).min(life / 2);
    watch.channel.expires.checked_sub(before).unwrap_or(Timestamp::MIN)
}

fn hash(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.expose()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_renewed_before_it_ends_and_a_short_one_half_way() {
        let hooks = Hooks { public_url: "https://x".to_owned(), renew_before: Duration::from_hours(24) };
        let opened: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let watch = |expires: &str| Watch {
            account: "a-x1".parse().unwrap(),
            source: None,
            channel: Channel { id: "c".into(), resource: "r".into(), expires: expires.parse().unwrap() },
            token: [0; 32],
            url: "https://x/api/webhooks/google".to_owned(),
            opened,
        };
        assert_eq!(renew_at(&watch("2026-01-08T00:00:00Z"), &hooks), "2026-01-07T00:00:00Z".parse().unwrap());
        assert_eq!(renew_at(&watch("2026-01-01T02:00:00Z"), &hooks), "2026-01-01T01:00:00Z".parse().unwrap());
    }
}
