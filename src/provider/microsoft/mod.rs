//! One Microsoft 365 or Outlook.com account, through Microsoft Graph v1.0 (providers.md 4, 5), as a [`Provider`].
//!
//! The parts: `wire` are the members of an event as Graph writes them; `zone`, `times`, `recurrence`, `body` translate
//! one matter each; `write` makes of an object what Graph holds, `read` the object again; `parts` tells what differs;
//! `stash` keeps with the event what Graph has no room for. `session` is the conversation; `groups` finds the calendars,
//! `pull` reads, `push`, `series` and `guest` write, `lookup` finds what has another id now, `watch` subscribes.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use url::Url;

use crate::clock::Clock;
use crate::ical::{ComponentKind, Zone};
use crate::transport::Transport;

mod body;
mod groups;
mod guest;
mod lookup;
mod parts;
mod pull;
mod push;
mod read;
mod recurrence;
mod refusal;
mod series;
mod session;
mod stash;
mod times;
mod watch;
mod wire;
mod write;
mod zone;

use self::session::Session;
use self::wire::Calendar;
use self::write::Mailbox;
use super::{
    CalendarDetails, Change, Channel, Fault, Hook, IdempotencyKey, Item, Page, Position, Provider, RemoteCalendar,
    RemoteId, Removal, Tokens, Version, Written,
};

/// A Microsoft account.
pub struct Microsoft {
    session: Session,
    known: Mutex<Known>,
    has_batch: AtomicBool,
}

/// What was learned of the mailbox; all of it can be learned again.
#[derive(Default)]
struct Known {
    address: Option<String>,
    /// Which events are masters of series.
    masters: HashMap<String, bool>,
    rounds: HashMap<RemoteId, pull::Round>,
}

impl fmt::Debug for Microsoft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Microsoft").finish_non_exhaustive()
    }
}

impl Microsoft {
    /// The account that `tokens` open, behind the API at `api`. `address` is the owner's, as far as it is known.
    pub fn new(
        api: Url,
        transport: Arc<dyn Transport>,
        tokens: Arc<dyn Tokens>,
        clock: Arc<dyn Clock>,
        address: Option<&str>,
    ) -> Self {
        let address = address.map(|address| address.trim().to_lowercase()).filter(|address| !address.is_empty());
        Self {
            session: Session::new(api, transport, tokens, clock),
            known: Mutex::new(Known { address, ..Known::default() }),
            has_batch: AtomicBool::new(true),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mailbox(&self) -> Mailbox {
        Mailbox { home: Zone::UTC, address: self.known().address.clone() }
    }

    fn rounds(&self) -> RoundsGuard<'_> {
        RoundsGuard(self.known())
    }

    fn is_master(&self, id: &str) -> bool {
        self.known().masters.get(id).copied().unwrap_or(false)
    }

    fn remember_kind(&self, id: &str, is_master: bool) {
        let mut known = self.known();
        if known.masters.len() > MOST_KNOWN {
            known.masters.clear();
        }
        known.masters.insert(id.to_owned(), is_master);
    }

    fn can_batch(&self) -> bool {
        self.has_batch.load(Ordering::Relaxed)
    }

    fn no_batch(&self) {
        self.has_batch.store(false, Ordering::Relaxed);
    }

    /// Learns whose mailbox it is from its calendars.
    fn learn(&self, calendars: &[Calendar]) {
        let main = calendars.iter().find(|calendar| calendar.is_default_calendar == Some(true)).or(calendars.first());
        let address = main.and_then(|calendar| calendar.owner.as_ref()?.address.as_deref());
        let mut known = self.known();
        if let (None, Some(address)) = (&known.address, address.filter(|address| address.contains('@'))) {
            known.address = Some(address.trim().to_lowercase());
        }
    }

    fn described(&self, calendar: Calendar) -> RemoteCalendar {
        let own = self.known().address.clone();
        let owner = calendar.owner.as_ref();
        let is_others = owner.is_some_and(|owner| owner.address.as_ref().map(|address| address.to_lowercase()) != own);
        let whose = owner.and_then(|owner| owner.name.clone().or_else(|| owner.address.clone())).filter(|_| is_others);
        let name = calendar.name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| "Calendar".to_owned());
        RemoteCalendar {
            id: RemoteId::new(calendar.id),
            name: whose.map_or(name.clone(), |whose| format!("{name} ({whose})")),
            color: color(calendar.hex_color.as_deref(), calendar.color.as_deref()),
            read_only: calendar.can_edit == Some(false),
            components: vec![ComponentKind::Event],
            description: None,
            details: CalendarDetails {
                primary: calendar.is_default_calendar == Some(true),
                ..CalendarDetails::default()
            },
        }
    }
}

/// The rounds under way, under the lock.
struct RoundsGuard<'a>(MutexGuard<'a, Known>);

impl RoundsGuard<'_> {
    fn remove(&mut self, calendar: &RemoteId) -> Option<pull::Round> {
        self.0.rounds.remove(calendar)
    }

    fn insert(&mut self, calendar: RemoteId, round: pull::Round) {
        self.0.rounds.insert(calendar, round);
    }
}

/// `#RRGGBB`: as the person chose it, or what Outlook shows for the name.
fn color(hex: Option<&str>, name: Option<&str>) -> Option<String> {
    let is_hex =
        |text: &&str| text.len() == 7 && text.starts_with('#') && text.bytes().skip(1).all(|c| c.is_ascii_hexdigit());
    hex.filter(is_hex)
        .map(str::to_ascii_uppercase)
        .or_else(|| COLORS.iter().find(|(known, _)| name == Some(known)).map(|(_, hex)| (*hex).to_owned()))
}

#[async_trait]
impl Provider for Microsoft {
    async fn calendars(&self) -> Result<Vec<RemoteCalendar>, Fault> {
        let calendars = self.all_calendars().await?;
        self.learn(&calendars);
        Ok(calendars
            .into_iter()
            .filter(|calendar| !calendar.id.is_empty())
            .map(|found| self.described(found))
            .collect())
    }

    async fn changes(&self, calendar: &RemoteId, from: &Position) -> Result<Page, Fault> {
        self.page(calendar, from).await
    }

    async fn fetch(&self, _calendar: &RemoteId, ids: &[RemoteId]) -> Result<Vec<Item>, Fault> {
        self.items(ids).await
    }

    fn lists_whole(&self) -> bool {
        // A round of changes has no stashes in it.
        false
    }

    async fn made(&self, calendar: &RemoteId, _key: &IdempotencyKey, uid: &str) -> Result<Option<RemoteId>, Fault> {
        Ok(self.find_anywhere(calendar, uid).await?.map(RemoteId::new))
    }

    async fn create(&self, calendar: &RemoteId, key: &IdempotencyKey, change: &Change<'_>) -> Result<Written, Fault> {
        self.create_event(calendar, key, change).await
    }

    async fn update(&self, _calendar: &RemoteId, version: &Version, change: &Change<'_>) -> Result<Written, Fault> {
        self.update_event(version, change).await
    }

    async fn delete(&self, calendar: &RemoteId, version: &Version, removal: &Removal<'_>) -> Result<(), Fault> {
        self.delete_event(calendar, version, removal).await
    }

    async fn may_move(&self, from: &RemoteId) -> Result<(), Fault> {
        self.check_movable(from).await
    }

    async fn addresses(&self) -> Result<Vec<String>, Fault> {
        if self.known().address.is_none() {
            let calendars = self.all_calendars().await?;
            self.learn(&calendars);
        }
        Ok(self.known().address.clone().into_iter().collect())
    }

    fn can_watch(&self) -> bool {
        true
    }

    async fn watch(&self, calendar: Option<&RemoteId>, hook: &Hook) -> Result<Option<Channel>, Fault> {
        self.subscribe(calendar, hook).await
    }

    async fn renew(
        &self,
        calendar: Option<&RemoteId>,
        hook: &Hook,
        channel: &Channel,
    ) -> Result<Option<Channel>, Fault> {
        self.prolong(calendar, hook, channel).await
    }

    async fn unwatch(&self, channel: &Channel) -> Result<(), Fault> {
        self.unsubscribe(channel).await
    }
}

const MOST_KNOWN: usize = 100_000;
/// What Outlook on the web shows for each.
const COLORS: &[(&str, &str)] = &[
    ("lightBlue", "#A6D1F5"),
    ("lightGreen", "#87D28E"),
    ("lightOrange", "#FCAB73"),
    ("lightGray", "#C0C0C0"),
    ("lightYellow", "#F5F27A"),
    ("lightTeal", "#4ADACC"),
    ("lightPink", "#F08CC0"),
    ("lightBrown", "#CBA287"),
    ("lightRed", "#F88C9B"),
];

#[cfg(test)]
mod tests;
