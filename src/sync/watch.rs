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
use crate::calendar::Mirror;
use crate::entropy;
use crate::id::{AccountId, CollectionId, SourceId};
use crate::jobs::Priority;
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

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Something will be read.
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
/// Asked for; the provider may say less.
const LASTS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// At the latest it is looked after the channels again then.
const LOOK: Duration = Duration::from_hours(12);
/// A channel that could not be opened is tried again after this.
const TRY_AGAIN: Duration = Duration::from_mins(15);

impl Engine {
    /// A provider says that something has changed, or seems to.
    pub async fn heard(&self, id: &str, token: &Secret, is_news: bool) -> Result<Heard, SyncError> {
        let Some(Owner(account)) = ACCOUNTS_OF.get(&*self.store, &(BY_ID, id.to_owned())).await? else {
            return Ok(Heard::Unknown);
        };
        let watch = WATCHES.get(&*self.store, &(BY_ACCOUNT, account.clone(), id.to_owned())).await?;
        let watch = watch.filter(|watch| bool::from(watch.token.ct_eq(&hash(token))));
        let Some(watch) = watch else { return Ok(Heard::Unknown) };
        if !is_news {
            return Ok(Heard::Opened);
        }
        let subject = watch.source.as_ref().map_or(account.as_str(), SourceId::as_str);
        let due = after(self.clock.now(), self.messages.pause(subject, self.clock.monotonic()));
        let wish = match &watch.source {
            Some(source) => {
                let source = match self.accounts.source(source).await {
                    Ok(source) => source,
                    Err(crate::account::AccountError::NotFound) => return Ok(Heard::Unknown),
                    Err(error) => return Err(error.into()),
                };
                let (user, source) = (source.user.clone(), source.id);
                job::PullJob { user, account, source, full: false }.wish(due, Priority::High)
            }
            None => job::discover(&account, due, Priority::High),
        };
        self.queue.enqueue(wish).await?;
        Ok(Heard::News)
    }

    /// Opens what is missing, renews what ends soon, ends what is no longer wanted. When to look again; never where nobody may call.
    #[expect(clippy::match_same_arms, reason = "each arm stands for a case of its own")]
    pub(super) async fn watch(&self, account: &AccountId) -> Result<Option<Timestamp>, PullError> {
        let now = self.clock.now();
        let Some(hooks) = self.config.hooks.clone() else { return Ok(None) };
        let provider = self.accounts.provider(account).await.map_err(PullError::from)?;
        if !provider.can_watch() {
            return Ok(None);
        }
        let row = self.accounts.account(account).await.map_err(PullError::from)?;
        let url = format!("{}/api/webhooks/{}", hooks.public_url.trim_end_matches('/'), row.provider.name());
        let open = self.watches(account).await?;
        let mut wanted: Vec<Option<(SourceId, RemoteId)>> = vec![None];
        for source in self.accounts.sources_of(&row).await.map_err(PullError::from)? {
            let id = CollectionId::new(&source.user, source.collection.clone());
            let is_off = self.calendars.collection(&id).await?.is_none_or(|row| row.mirror == Mirror::Off);
            if !is_off && !source.missing {
                wanted.push(Some((source.id, source.remote)));
            }
        }
        let (mut next, mut kept) = (after(now, LOOK), HashSet::new());
        for target in &wanted {
            let source = target.as_ref().map(|(source, _)| source);
            let mine = || open.iter().filter(|watch| watch.source.as_ref() == source && watch.url == url);
            let fresh = mine().filter(|watch| renew_at(watch, &hooks) > now).max_by_key(|watch| watch.channel.expires);
            let watch = match fresh {
                Some(watch) => watch.clone(),
                None => match self.open(&*provider, (account, target.as_ref()), &url, mine().next()).await {
                    Ok(Some(watch)) => watch,
                    Ok(None) => continue,
                    // Calendars that can't be watched (holidays) are polled; the account itself may still be well.
                    Err(PullError::Fault(
                        Fault::Refused(_) | Fault::Forbidden(_) | Fault::CalendarGone | Fault::Gone,
                    )) => continue,
                    Err(PullError::Fault(fault @ Fault::Unauthorized(_))) => return Err(fault.into()),
                    Err(PullError::Fault(fault)) => {
                        tracing::warn!(account.id = %account, why = %fault, "a channel could not be opened; it is polled meanwhile");
                        next = next.min(after(now, TRY_AGAIN));
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            next = next.min(renew_at(&watch, &hooks));
            kept.insert(watch.channel.id);
        }
        for watch in open.iter().filter(|watch| !kept.contains(&watch.channel.id)) {
            self.close(&*provider, watch).await?;
        }
        Ok(Some(next))
    }

    /// Ends every channel of an account, as far as the provider still hears us.
    pub(super) async fn unwatch(&self, account: &AccountId) -> Result<(), SyncError> {
        let watches = self.watches(account).await?;
        if watches.is_empty() {
            return Ok(());
        }
        let provider = self.accounts.provider(account).await;
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

    /// When the first of an account's channels ends.
    pub(super) async fn webhook_expires(&self, account: &AccountId) -> Result<Option<Timestamp>, SyncError> {
        Ok(self.watches(account).await?.iter().map(|watch| watch.channel.expires).min())
    }

    async fn watches(&self, account: &AccountId) -> Result<Vec<Watch>, crate::store::StoreError> {
        let range = WATCHES.range(&(BY_ACCOUNT, account.clone()));
        Ok(WATCHES.scan(&*self.store, range, usize::MAX).await?.into_iter().map(|(_, watch)| watch).collect())
    }

    async fn open(
        &self,
        provider: &dyn Provider,
        (account, target): (&AccountId, Option<&(SourceId, RemoteId)>),
        url: &str,
        old: Option<&Watch>,
    ) -> Result<Option<Watch>, PullError> {
        let now = self.clock.now();
        let id = entropy::token(&*self.entropy, 32);
        let token = Secret::new(entropy::token(&*self.entropy, 40));
        let until = now.checked_add(LASTS).unwrap_or(Timestamp::MAX);
        let hook = Hook { url: url.to_owned(), id: id.clone(), token: token.clone(), until };
        let mut watch = Watch {
            account: account.clone(),
            source: target.map(|(source, _)| source.clone()),
            channel: Channel { id, resource: String::new(), expires: until },
            token: hash(&token),
            url: url.to_owned(),
            opened: now,
        };
        // Its first message may be here before the answer is.
        self.remember(&watch).await?;
        let remote = target.map(|(_, remote)| remote);
        let opened = match old {
            Some(old) => provider.renew(remote, &hook, &old.channel).await,
            None => provider.watch(remote, &hook).await,
        };
        match opened {
            Ok(Some(channel)) => {
                // One that was made longer keeps its id and what its messages say.
                if let Some(old) = old.filter(|old| old.channel.id == channel.id) {
                    watch.token = old.token;
                }
                if channel.id != watch.channel.id {
                    self.forget(&watch).await?;
                }
                watch.channel = channel;
                self.remember(&watch).await?;
                Ok(Some(watch))
            }
            Ok(None) => {
                self.forget(&watch).await?;
                Ok(None)
            }
            Err(fault) => {
                self.forget(&watch).await?;
                Err(fault.into())
            }
        }
    }

    async fn close(&self, provider: &dyn Provider, watch: &Watch) -> Result<(), PullError> {
        if let Err(fault) = provider.unwatch(&watch.channel).await {
            tracing::debug!(account.id = %watch.account, why = %fault, "a channel could not be ended; it ends by itself");
        }
        Ok(self.forget(watch).await?)
    }

    async fn remember(&self, watch: &Watch) -> Result<(), crate::store::StoreError> {
        let id = watch.channel.id.clone();
        let mut batch = Batch::new();
        WATCHES.put(&mut batch, &(BY_ACCOUNT, watch.account.clone(), id.clone()), watch);
        ACCOUNTS_OF.put(&mut batch, &(BY_ID, id), &Owner(watch.account.clone()));
        commit(self, batch).await
    }

    async fn forget(&self, watch: &Watch) -> Result<(), crate::store::StoreError> {
        let id = watch.channel.id.clone();
        let mut batch = Batch::new();
        WATCHES.delete(&mut batch, &(BY_ACCOUNT, watch.account.clone(), id.clone()));
        ACCOUNTS_OF.delete(&mut batch, &(BY_ID, id));
        commit(self, batch).await
    }
}

/// These rows have no condition, so only the store itself can fail.
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
