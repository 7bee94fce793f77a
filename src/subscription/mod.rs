//! Feeds: what each shows of a user's calendars, and whose secret opens it.
//!
//! The token is 192 random bits, shown once and kept as its SHA-256 alone, so a stolen store opens nothing and a lookup
//! tells a stranger nothing by the time it takes. A revoked or expired token stays known as such, so that whoever still
//! has its address is told plainly.
//! Never here: events, and what is made of them.

mod rules;

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::clock::Clock;
use crate::entropy::{self, Entropy};
use crate::id::UserId;
use crate::store::{Batch, CommitError, Record, Store, StoreError, Table, tables};
use crate::vault::Secret;

pub use rules::{AllDay, Detail, Field, Kind, Rules, UnknownWord, word};

/// The public part of a feed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FeedId(pub String);

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A feed, without its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Feed {
    /// Its public part.
    pub id: FeedId,
    /// Whose calendars it shows.
    pub user: UserId,
    /// Its name, for its owner and for its readers.
    pub name: String,
    /// What it shows.
    pub rules: Rules,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it shows nothing.
    pub expires: Option<Timestamp>,
    /// When it was last fetched, to the hour.
    pub last_used: Option<Timestamp>,
    /// Mixed into the names that hidden events get, so that two feeds can't be compared.
    salt: [u8; 16],
}

impl Feed {
    /// A name for an event whose UID is not to be told: the same at every fetch, another in every feed.
    pub fn alias(&self, uid: &str) -> String {
        let digest = Sha256::new().chain_update(self.salt).chain_update(uid).finalize();
        format!("{}@lineartime", data_encoding::HEXLOWER.encode(digest.get(..16).unwrap_or_default()))
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Feed({} of {})", self.id, self.user)
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Row {
    name: String,
    rules: Rules,
    created: Timestamp,
    expires: Option<Timestamp>,
    last_used: Option<Timestamp>,
    salt: [u8; 16],
    token: [u8; 32],
}

impl Record for Row {
    const FORMAT: u8 = 1;
}

#[derive(Clone, Serialize, Deserialize)]
struct TokenRow {
    user: UserId,
    feed: String,
    revoked: bool,
}

impl Record for TokenRow {
    const FORMAT: u8 = 1;
}

const FEEDS: Table<(UserId, String), Row> = Table::new(tables::FEED);
const TOKENS: Table<String, TokenRow> = Table::new(tables::FEED_TOKEN);
/// 192 bits.
const TOKEN: usize = 24;
const MAX_NAME: usize = 100;
/// Feeds of one user.
const MANY: usize = 200;

/// Why a feed was not made, found or changed.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// There is no feed of that id.
    #[error("there is no feed {0}")]
    Unknown(FeedId),
    /// A name that nobody could read.
    #[error("a feed's name has 1 to 100 characters, none of them a control character")]
    BadName,
    /// More feeds than one person can keep apart.
    #[error("this user has 200 feeds; revoke one first")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CommitError> for FeedError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => Self::Store(error),
            CommitError::Stale(_) => Self::Unknown(FeedId(String::new())),
        }
    }
}

/// What a token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// This feed.
    Feed(Box<Feed>),
    /// A feed that there was once.
    Gone,
    /// Nothing.
    Unknown,
}

/// All feeds of all users.
#[derive(Debug)]
pub struct Subscriptions {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Subscriptions {
    /// The feeds in `store`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { store, clock, entropy }
    }

    /// Makes a feed. The token is not kept; this is the only time that it can be seen.
    pub async fn add(
        &self,
        user: &UserId,
        name: &str,
        rules: Rules,
        expires: Option<Timestamp>,
    ) -> Result<(Feed, Secret), FeedError> {
        let name = checked_name(name)?;
        if FEEDS.scan(&*self.store, FEEDS.range(user), MANY).await?.len() >= MANY {
            return Err(FeedError::TooMany);
        }
        let id = format!("f-{}", entropy::token(&*self.entropy, 5));
        let token = entropy::token(&*self.entropy, TOKEN);
        let mut salt = [0; 16];
        self.entropy.fill(&mut salt);
        let created = self.clock.now();
        let row = Row { name, rules, created, expires, last_used: None, salt, token: hash(&token) };
        let key = (user.clone(), id.clone());
        let mut batch = Batch::new();
        FEEDS.expect_absent(&mut batch, &key);
        FEEDS.put(&mut batch, &key, &row);
        let opens = TokenRow { user: user.clone(), feed: id, revoked: false };
        TOKENS.put(&mut batch, &written(&row.token), &opens);
        self.store.commit(batch).await?;
        Ok((feed(key, row), Secret::from(token)))
    }

    /// A user's feeds, oldest first.
    pub async fn list(&self, user: &UserId) -> Result<Vec<Feed>, FeedError> {
        let rows = FEEDS.scan(&*self.store, FEEDS.range(user), usize::MAX).await?;
        let mut feeds: Vec<Feed> = rows.into_iter().map(|(key, row)| feed(key, row)).collect();
        feeds.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(feeds)
    }

    /// One feed.
    pub async fn get(&self, user: &UserId, id: &FeedId) -> Result<Feed, FeedError> {
        let key = (user.clone(), id.0.clone());
        let row = FEEDS.get(&*self.store, &key).await?.ok_or_else(|| FeedError::Unknown(id.clone()))?;
        Ok(feed(key, row))
    }

    /// Changes what a feed is called, shows, or until when. Its address stays.
    #[expect(clippy::too_many_arguments, reason = "all that a person sets about a feed")]
    pub async fn change(
        &self,
        user: &UserId,
        id: &FeedId,
        name: &str,
        rules: Rules,
        expires: Option<Timestamp>,
    ) -> Result<Feed, FeedError> {
        let name = checked_name(name)?;
        let key = (user.clone(), id.0.clone());
        for _ in 0..4 {
            let row = FEEDS.get(&*self.store, &key).await?.ok_or_else(|| FeedError::Unknown(id.clone()))?;
            let changed = Row { name: name.clone(), rules: rules.clone(), expires, ..row.clone() };
            let mut batch = Batch::new();
            FEEDS.expect(&mut batch, &key, &row);
            FEEDS.put(&mut batch, &key, &changed);
            match self.store.commit(batch).await {
                Ok(_) => return Ok(feed(key, changed)),
                Err(CommitError::Stale(_)) => {}
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(FeedError::Unknown(id.clone()))
    }

    /// Takes a feed away, at once. Its address is answered with "gone" from then on.
    pub async fn revoke(&self, user: &UserId, id: &FeedId) -> Result<(), FeedError> {
        let key = (user.clone(), id.0.clone());
        let row = FEEDS.get(&*self.store, &key).await?.ok_or_else(|| FeedError::Unknown(id.clone()))?;
        let mut batch = Batch::new();
        FEEDS.expect_present(&mut batch, &key);
        FEEDS.delete(&mut batch, &key);
        let gone = TokenRow { user: user.clone(), feed: id.0.clone(), revoked: true };
        TOKENS.put(&mut batch, &written(&row.token), &gone);
        match self.store.commit(batch).await {
            Ok(_) => Ok(()),
            Err(CommitError::Stale(_)) => Err(FeedError::Unknown(id.clone())),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    /// Takes all feeds of a user away: the user is removed.
    pub async fn revoke_all(&self, user: &UserId) -> Result<(), FeedError> {
        for one in self.list(user).await? {
            self.revoke(user, &one.id).await?;
        }
        Ok(())
    }

    /// What a token opens now. Notes the use of a feed, once an hour.
    pub async fn open(&self, token: &str) -> Result<Opened, StoreError> {
        let Some(opens) = TOKENS.get(&*self.store, &written(&hash(token))).await? else { return Ok(Opened::Unknown) };
        let key = (opens.user, opens.feed);
        let Some(row) = FEEDS.get(&*self.store, &key).await? else { return Ok(Opened::Gone) };
        let now = self.clock.now();
        if opens.revoked || row.expires.is_some_and(|end| end <= now) {
            return Ok(Opened::Gone);
        }
        if row.last_used.is_none_or(|at| now.duration_since(at) >= SignedDuration::from_hours(1)) {
            self.note_use(&key, &row, now).await;
        }
        Ok(Opened::Feed(Box::new(feed(key, row))))
    }

    /// A reader is not held up because this can't be noted: a full disk, or somebody else was faster.
    async fn note_use(&self, key: &(UserId, String), row: &Row, now: Timestamp) {
        let mut batch = Batch::new();
        FEEDS.expect(&mut batch, key, row);
        FEEDS.put(&mut batch, key, &Row { last_used: Some(now), ..row.clone() });
        if let Err(CommitError::Store(error)) = self.store.commit(batch).await {
            tracing::warn!(%error, "the use of a feed could not be noted");
        }
    }
}

fn feed((user, id): (UserId, String), row: Row) -> Feed {
    Feed {
        id: FeedId(id),
        user,
        name: row.name,
        rules: row.rules,
        created: row.created,
        expires: row.expires,
        last_used: row.last_used,
        salt: row.salt,
    }
}

fn checked_name(name: &str) -> Result<String, FeedError> {
    let name = name.trim();
    let fine = !name.is_empty() && name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
    if fine { Ok(name.to_owned()) } else { Err(FeedError::BadName) }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn written(hash: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(hash)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;
    use crate::entropy::SeededEntropy;
    use crate::store::MemoryStore;

    fn bench() -> (Subscriptions, ManualClock, UserId) {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let store = Arc::new(MemoryStore::new());
        let all = Subscriptions::new(store, Arc::new(clock.clone()), Arc::new(SeededEntropy::new(3)));
        (all, clock, UserId::parse("ana").unwrap())
    }

    async fn opened(all: &Subscriptions, token: &Secret) -> Opened {
        all.open(token.expose_str().unwrap()).await.unwrap()
    }

    #[tokio::test]
    #[expect(clippy::duration_suboptimal_units, reason = "hours and days as they are counted elsewhere in this file")]
    async fn a_token_opens_its_feed_until_it_is_revoked() {
        let (all, clock, ana) = bench();
        let (made, token) = all.add(&ana, " Work ", Rules::default(), None).await.unwrap();
        assert!(token.expose_str().unwrap().len() >= 32, "160 bits or more");
        assert_eq!((made.name.as_str(), made.last_used), ("Work", None));
        let Opened::Feed(found) = opened(&all, &token).await else { panic!("it opens") };
        assert_eq!(found.id, made.id);
        let noted = all.get(&ana, &made.id).await.unwrap().last_used;
        assert_eq!(noted, Some(Timestamp::UNIX_EPOCH));
        clock.advance(Duration::from_secs(3600));
        opened(&all, &token).await;
        assert_ne!(all.get(&ana, &made.id).await.unwrap().last_used, noted);
        all.revoke(&ana, &made.id).await.unwrap();
        assert_eq!(opened(&all, &token).await, Opened::Gone);
        assert!(matches!(all.revoke(&ana, &made.id).await, Err(FeedError::Unknown(_))));
        assert_eq!(all.open("nonsense").await.unwrap(), Opened::Unknown);
    }

    #[tokio::test]
    async fn a_feed_ends_when_it_was_said_to() {
        let (all, clock, ana) = bench();
        let end = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(10);
        let (_, token) = all.add(&ana, "short", Rules::default(), Some(end)).await.unwrap();
        assert!(matches!(opened(&all, &token).await, Opened::Feed(_)));
        clock.advance(Duration::from_secs(10));
        assert_eq!(opened(&all, &token).await, Opened::Gone);
    }

    #[tokio::test]
    async fn two_feeds_call_the_same_event_by_two_names() {
        let (all, _, ana) = bench();
        let (one, _) = all.add(&ana, "a", Rules::default(), None).await.unwrap();
        let (other, _) = all.add(&ana, "b", Rules::default(), None).await.unwrap();
        assert_eq!(one.alias("u"), one.alias("u"));
        assert_ne!(one.alias("u"), other.alias("u"));
        for bad in ["", "  ", "a\nb", &"x".repeat(101)] {
            assert!(matches!(all.add(&ana, bad, Rules::default(), None).await, Err(FeedError::BadName)));
        }
    }
}
