//! Telling people how accounts fare: figures, the alert webhook, notices in the unified calendar.
//!
//! A change of state is noted as told once the webhook took it, so an end of the process in between tells it again rather than never.
//! A webhook that does not answer keeps nothing else from going on.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::json;
use tokio::sync::watch;

use super::Gateway;
use crate::cli::admin::Failure;
use crate::ical::Object;
use crate::id::ResourceName;
use crate::sync::{AccountStatus, Health, StateChange};
use crate::transport::SendRules;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(15);
/// One part of so many of a core goes into looking, at most.
const SHARE: u32 = 50;
/// How long the webhook may take, and how much it may say.
const RULES: SendRules = SendRules { total: Duration::from_secs(10), max_body: 64 << 10 };

/// A look every few seconds until `stop`; where there are very many accounts, seldomer.
pub(super) async fn keep(gateway: &Gateway, mut stop: watch::Receiver<bool>) {
    let mut pause = EVERY;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = gateway.clock.sleep(pause) => {}
        }
        let began = gateway.clock.monotonic();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            told = look(gateway) => if let Err(Failure(error)) = told {
                tracing::warn!(error, "not every change of an account's state could be told; it is tried again");
            }
        }
        pause = EVERY.max(gateway.clock.monotonic().saturating_sub(began) * SHARE);
    }
}

/// One look.
pub(crate) async fn look(gateway: &Gateway) -> Result<(), Failure> {
    let (accounts, changes) = gateway.sync.untold().await?;
    for account in &accounts {
        measure(account);
        let is_news = changes.iter().any(|change| change.now.id == account.id);
        notify(gateway, account, is_news).await?;
    }
    for change in &changes {
        tracing::info!(account.id = %change.now.id, before = change.before.as_str(), now = change.now.state.as_str(), "an account fares otherwise");
        post(gateway, change).await?;
        gateway.sync.note_told(change).await?;
    }
    Ok(())
}

fn measure(account: &AccountStatus) {
    let label = |name: &'static str| metrics::gauge!(name, "account" => account.id.to_string());
    let states = [Health::Healthy, Health::Degraded, Health::Down, Health::NeedsSignIn, Health::Paused];
    for state in states {
        let gauge =
            metrics::gauge!("lineartime_account_state", "account" => account.id.to_string(), "state" => state.as_str());
        gauge.set(if state == account.state { 1.0 } else { 0.0 });
    }
    label("lineartime_account_queue").set(u32::try_from(account.queue).unwrap_or(u32::MAX));
    label("lineartime_account_error_rate").set(account.error_rate);
    if let Some(latency) = account.latency {
        label("lineartime_account_latency_seconds").set(latency.as_secs_f64());
    }
}

/// Tells the alert webhook, where there is one.
async fn post(gateway: &Gateway, change: &StateChange) -> Result<(), Failure> {
    let Some(url) = gateway.config.alerts.webhook_url.as_ref().and_then(|url| url.expose_str()) else { return Ok(()) };
    let now = &change.now;
    let body = json!({
        "event": "account_state", "user": now.user, "account": now.id, "label": now.label, "provider": now.provider,
        "state": now.state.as_str(), "before": change.before.as_str(), "reason": now.reason, "act": now.act, "at": change.at,
    });
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("lineartime/", env!("CARGO_PKG_VERSION")))
        .body(Bytes::from(body.to_string()))
        .map_err(|_| Failure("alerts.webhook_url is no address that can be posted to".to_owned()))?;
    let answer = gateway.transport.send(request, &RULES).await;
    // The address may hold a secret, so the error, which names the host alone, is all that is said.
    let status = answer.map_err(|error| Failure(format!("the alert webhook: {error}")))?.status();
    if status.is_success() { Ok(()) } else { Err(Failure(format!("the alert webhook answers {status}"))) }
}

/// Shows a notice where a person must act, today's as long as it is neither read nor settled.
async fn notify(gateway: &Gateway, account: &AccountStatus, is_news: bool) -> Result<(), Failure> {
    let name = notice_name(account)?;
    let Some(act) = account.act.as_ref().filter(|_| gateway.config.alerts.notices) else {
        if gateway.calendars.notice(&account.user, &name).await?.is_some() {
            gateway.calendars.withdraw_notice(&account.user, &name).await?;
        }
        return Ok(());
    };
    let shown = gateway.calendars.notice(&account.user, &name).await?;
    let notice = notice(account, act, gateway.clock.now().to_zoned(TimeZone::UTC).date())?;
    let is_old = shown.is_some_and(|shown| shown.octets() != notice.octets());
    if is_news || is_old {
        gateway.calendars.post_notice(&account.user, &name, notice).await?;
    }
    Ok(())
}

fn notice_name(account: &AccountStatus) -> Result<ResourceName, Failure> {
    Ok(format!("lineartime-{}.ics", account.id).parse()?)
}

fn notice(account: &AccountStatus, act: &str, day: Date) -> Result<Object, Failure> {
    let date = |day: Date| day.strftime("%Y%m%d").to_string();
    let next = day.tomorrow()?;
    let what = if account.state == Health::NeedsSignIn { "needs a new sign-in" } else { "waits for your word" };
    let text = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//LinearTime//Gateway//EN\r\nBEGIN:VEVENT\r\n\
         UID:lineartime-notice-{id}\r\nDTSTAMP:{day}T000000Z\r\nDTSTART;VALUE=DATE:{day}\r\nDTEND;VALUE=DATE:{next}\r\n\
         SUMMARY:{summary}\r\nDESCRIPTION:{description}\r\nTRANSP:TRANSPARENT\r\nX-LINEARTIME-NOTICE:TRUE\r\n\
         END:VEVENT\r\nEND:VCALENDAR\r\n",
        id = account.id,
        day = date(day),
        next = date(next),
        summary = escaped(&format!("LinearTime: {} {what}", account.label)),
        description = escaped(act),
    );
    Ok(Object::parse(Bytes::from(text))?)
}

/// As a TEXT value is written (RFC 5545 3.3.11).
fn escaped(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;
    use crate::config::{Config, Engine};
    use crate::entropy::SeededEntropy;
    use crate::id::{AccountId, UserId};
    use crate::store::MemoryStore;

    fn account(state: Health, act: Option<&str>) -> AccountStatus {
        AccountStatus {
            id: "a-x1".parse::<AccountId>().unwrap(),
            user: UserId::parse("ana").unwrap(),
            label: "Work, home".to_owned(),
            provider: "caldav",
            state,
            reason: act.map(str::to_owned),
            last_success: None,
            next_run: None,
            queue: 0,
            error_rate: 0.0,
            latency: None,
            webhook_expires: None,
            act: act.map(str::to_owned),
        }
    }

    async fn gateway(notices: bool) -> (Gateway, ManualClock) {
        let mut config = Config::default();
        config.storage.engine = Engine::Memory;
        config.alerts.notices = notices;
        let clock = ManualClock::new("2026-01-01T10:00:00Z".parse().unwrap());
        let (store, entropy) = (Arc::new(MemoryStore::new()), Arc::new(SeededEntropy::new(3)));
        (Gateway::over(config, Arc::new(clock.clone()), entropy, store).await.unwrap(), clock)
    }

    async fn shown(gateway: &Gateway) -> Vec<String> {
        let id = crate::id::CollectionId::new(&UserId::parse("ana").unwrap(), crate::id::CollectionName::unified());
        let view = gateway.calendars.view(&id).await.unwrap();
        let mut all = Vec::new();
        for entry in view.entries() {
            assert!(entry.is_notice());
            all.push(gateway.calendars.object(&id, entry).await.unwrap().as_text().into_owned());
        }
        all
    }

    #[tokio::test]
    async fn a_notice_comes_goes_on_to_the_next_day_stays_away_when_read_and_ends_with_its_cause() {
        let (gateway, clock) = gateway(true).await;
        let bad = account(Health::NeedsSignIn, Some("sign in again: no"));
        notify(&gateway, &bad, true).await.unwrap();
        let text = shown(&gateway).await.pop().unwrap();
        assert!(
            text.contains("DTSTART;VALUE=DATE:20260101") && text.contains(r"Work\, home needs a new sign-in"),
            "{text}"
        );
        clock.advance(Duration::from_hours(24));
        notify(&gateway, &bad, false).await.unwrap();
        assert!(shown(&gateway).await.pop().unwrap().contains("DTSTART;VALUE=DATE:20260102"));
        gateway.calendars.withdraw_notice(&bad.user, &notice_name(&bad).unwrap()).await.unwrap();
        notify(&gateway, &bad, false).await.unwrap();
        assert!(shown(&gateway).await.is_empty(), "whoever deleted it has read it");
        notify(&gateway, &bad, true).await.unwrap();
        assert_eq!(shown(&gateway).await.len(), 1, "there is something new to say");
        notify(&gateway, &account(Health::Healthy, None), true).await.unwrap();
        assert!(shown(&gateway).await.is_empty());
        let listed = gateway.calendars.collections(&bad.user).await.unwrap();
        assert!(listed.iter().all(|one| !one.id.name.is_notices()), "no listing names it");
    }

    #[tokio::test]
    async fn notices_can_be_switched_off() {
        let (gateway, _) = gateway(false).await;
        notify(&gateway, &account(Health::NeedsSignIn, Some("sign in")), true).await.unwrap();
        assert!(shown(&gateway).await.is_empty());
    }
}
