//! What is thrown away by age: lines of the change logs, events in the trash, set-up links, sessions.
//!
//! Small commits with others' between them; a failure is told, and the next round tries again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::Gateway;
use crate::account::oauth::GivenBack;
use crate::cli::admin::Failure;
use crate::id::UserId;

/// A start has better things to do.
const FIRST: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
/// A sweep in so many hours.
const SWEEP_HOURS: u64 = 24;
/// How long a deleted event can be brought back.
const TRASH: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What a round threw away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Lines of change logs.
    pub(crate) changes: u64,
    /// Events, with their history.
    pub(crate) events: u64,
    /// Set-up links.
    pub(crate) links: u64,
    /// Sessions of browsers.
    pub(crate) sessions: u64,
}

/// A round a day until `stop`, and every hour a word with providers that have not taken tokens back yet.
pub(super) async fn keep(gateway: &Gateway, mut stop: watch::Receiver<bool>) {
    let mut pause = FIRST;
    for hour in 0_u64.. {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = gateway.clock.sleep(pause) => {}
        }
        pause = HOUR;
        give_back(gateway).await;
        if hour % SWEEP_HOURS != 0 {
            continue;
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            swept = sweep(gateway) => match swept {
                Ok(swept) => tracing::info!(changes = swept.changes, events = swept.events, links = swept.links, "swept"),
                Err(Failure(error)) => tracing::warn!(error, "not everything old could be thrown away"),
            }
        }
    }
}

/// Tokens of removed accounts, which their providers have not taken back yet.
async fn give_back(gateway: &Gateway) {
    match gateway.accounts.give_back().await {
        Ok(given) if given == GivenBack::default() => {}
        Ok(given) => tracing::info!(done = given.done, waiting = given.waiting, "tokens were given back"),
        Err(error) => tracing::warn!(%error, "tokens of removed accounts could not be given back"),
    }
}

/// One round.
pub(crate) async fn sweep(gateway: &Gateway) -> Result<Swept, Failure> {
    let now = gateway.clock.now();
    let age = SignedDuration::try_from(gateway.config.limits.sync_token_age).unwrap_or(SignedDuration::MAX);
    let (changes, trash) = (before(now, age), before(now, TRASH));
    let mut swept = Swept { links: gateway.users.forget_expired_links().await?, ..Swept::default() };
    swept.sessions = gateway.users.forget_ended_sessions().await?;
    for user in gateway.users.list().await? {
        swept.changes += compact(gateway, &user.id, changes).await?;
        swept.events += gateway.calendars.purge(&user.id, trash).await? as u64;
    }
    Ok(swept)
}

async fn compact(gateway: &Gateway, user: &UserId, before: Timestamp) -> Result<u64, Failure> {
    let mut lines = 0;
    for collection in gateway.calendars.collections(user).await? {
        lines += gateway.calendars.compact(&collection.id, before).await?;
    }
    Ok(lines)
}

fn before(now: Timestamp, age: SignedDuration) -> Timestamp {
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::calendar::{Author, Conditions};
    use crate::clock::ManualClock;
    use crate::config::{Config, Engine};
    use crate::entropy::SeededEntropy;
    use crate::ical::Object;
    use crate::id::{CollectionId, CollectionName, Place};
    use crate::store::MemoryStore;
    use crate::vault::Secret;

    #[tokio::test]
    async fn what_is_old_goes_and_the_rest_stays() {
        let mut config = Config::default();
        config.storage.engine = Engine::Memory;
        config.limits.sync_token_age = Duration::from_hours(40 * 24);
        let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let (store, entropy) = (Arc::new(MemoryStore::new()), Arc::new(SeededEntropy::new(3)));
        let gateway = Gateway::over(config, Arc::new(clock.clone()), entropy, store).await.unwrap();
        let ana = UserId::parse("ana").unwrap();
        gateway.users.setup_link().await.unwrap();
        gateway.users.add(&ana, &Secret::new("tall blue ladder 41"), false).await.unwrap();
        let place = |name: &str| Place {
            collection: CollectionId::new(&ana, CollectionName::local()),
            name: name.parse().unwrap(),
        };
        let author = Author::Person(ana.clone());
        for uid in ["gone", "kept"] {
            let text = format!(
                "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260101T000000Z\r\n\
                 DTSTART:20260102T100000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
            );
            let object = Object::parse(text.into()).unwrap();
            let at = place(&format!("{uid}.ics"));
            gateway.calendars.put(&at, object, &Conditions::NONE, &author).await.unwrap();
        }
        gateway.calendars.delete(&place("gone.ics"), &Conditions::NONE, &author).await.unwrap();
        assert_eq!(sweep(&gateway).await.unwrap(), Swept::default());
        clock.advance(Duration::from_hours(31 * 24));
        assert_eq!(sweep(&gateway).await.unwrap(), Swept { events: 1, links: 1, ..Swept::default() });
        clock.advance(Duration::from_hours(10 * 24));
        let swept = sweep(&gateway).await.unwrap();
        assert!(swept.changes >= 3 && swept.events == 0, "{swept:?}");
        assert!(gateway.calendars.get(&place("kept.ics")).await.unwrap().is_some());
    }
}
