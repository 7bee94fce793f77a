//! `/feeds/{token}.ics` and `.json`: calendars for those who only read, and have no login.
//!
//! RFC 5545 text that Google, Outlook, Apple and the rest take (with NAME, REFRESH-INTERVAL and UID of RFC 7986), or the
//! occurrences as JSON. An unchanged feed costs a 304 and no event is read; nothing of an event is shown that the feed's
//! rules, the calendar's privacy and the event's CLASS do not all allow (`redact`).
//! The token is the secret: it stands in no log, and guessing it is held up by address.

mod answer;
mod color;
mod redact;
mod rendering;
mod throttle;

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use self::rendering::Rendering;
use self::throttle::Guesses;
use crate::account::Accounts;
use crate::calendar::Calendars;
use crate::clock::Clock;
use crate::ical::Overrun;
use crate::subscription::{Feed, FeedId, Subscriptions};

pub use answer::{Format, Payload, Request};

/// Answers for feeds.
#[derive(Debug)]
pub struct Feeds {
    calendars: Arc<Calendars>,
    subscriptions: Arc<Subscriptions>,
    accounts: Option<Arc<Accounts>>,
    clock: Arc<dyn Clock>,
    /// By what they show.
    renderings: Cache<[u8; 32], Arc<Rendering>, ByWeight>,
    /// The last of each feed, from which the next takes what has not changed.
    latest: Cache<FeedId, Arc<Rendering>, ByWeight>,
    guesses: Guesses,
}

#[derive(Clone, Debug)]
struct ByWeight;

impl<K> Weighter<K, Arc<Rendering>> for ByWeight {
    fn weight(&self, _: &K, rendering: &Arc<Rendering>) -> u64 {
        512 + rendering.weight()
    }
}

/// Octets of feeds that are kept, twice: the two caches mostly hold the same.
const KEPT: u64 = 48 * 1024 * 1024;
const ABOUT_SO_MANY: usize = 64;

/// Why a feed could not be shown.
#[derive(Debug)]
pub(crate) enum FeedFault {
    /// Its occurrences are too many.
    Overrun,
    /// The store failed.
    Store(Box<dyn Error + Send + Sync>),
}

impl<E: Error + Send + Sync + 'static> From<E> for FeedFault {
    fn from(error: E) -> Self {
        let error: Box<dyn Error + Send + Sync> = Box::new(error);
        if error.is::<Overrun>() { Self::Overrun } else { Self::Store(error) }
    }
}

impl Feeds {
    /// The feeds in `subscriptions` over these calendars.
    pub fn new(calendars: Arc<Calendars>, subscriptions: Arc<Subscriptions>, clock: Arc<dyn Clock>) -> Self {
        let renderings = Cache::with_weighter(ABOUT_SO_MANY, KEPT, ByWeight);
        let latest = Cache::with_weighter(ABOUT_SO_MANY, KEPT, ByWeight);
        Self { calendars, subscriptions, accounts: None, clock, renderings, latest, guesses: Guesses::new() }
    }

    /// With the accounts, whose login names tell which attendee is the person.
    #[must_use]
    pub fn with_accounts(mut self, accounts: Arc<Accounts>) -> Self {
        self.accounts = Some(accounts);
        self
    }

    /// The calendar addresses of a feed's owner, in lower case.
    async fn own_addresses(&self, feed: &Feed) -> Result<BTreeSet<String>, FeedFault> {
        let mut own: BTreeSet<String> = BTreeSet::new();
        let mut add = |name: &str| {
            if name.contains('@') {
                own.insert(format!("mailto:{}", name.to_lowercase()));
            }
        };
        add(feed.user.as_str());
        if let Some(accounts) = &self.accounts {
            for account in accounts.list(&feed.user).await? {
                account.provider.username().into_iter().for_each(&mut add);
            }
        }
        Ok(own)
    }
}
