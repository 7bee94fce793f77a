//! Subscriptions (providers.md 5.10): Graph posts a hint when a calendar changes. One per calendar, for `me/events` speaks
//! of the default calendar alone; renewed by PATCH and by the clock, for lifecycle messages may never come.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::Microsoft;
use super::session::{Aim, Ask, segment, unreadable};
use super::times;
use crate::provider::{Channel, Fault, Hook, RemoteId};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscription {
    id: String,
    #[serde(default)]
    resource: String,
    expiration_date_time: String,
}

impl Microsoft {
    pub(super) async fn subscribe(&self, calendar: Option<&RemoteId>, hook: &Hook) -> Result<Option<Channel>, Fault> {
        // The list of calendars can't be subscribed to.
        let Some(calendar) = calendar else { return Ok(None) };
        let body = json!({
            "changeType": "created,updated,deleted",
            "notificationUrl": hook.url,
            "lifecycleNotificationUrl": hook.url,
            "resource": format!("me/calendars/{}/events", segment(calendar.as_str())),
            "expirationDateTime": stamp(self.until(hook)),
            "clientState": hook.token.expose_str().unwrap_or_default(),
        });
        let reply = self.session.ask(&Ask::post(self.session.url("subscriptions"), body)).await?;
        if matches!(reply.status, 400 | 403) {
            // The address is not reachable from outside, or the mailbox offers none: polling goes on.
            let code = reply.code().unwrap_or_default();
            tracing::warn!(code, "Microsoft does not take a subscription; changes are found by asking");
            return Ok(None);
        }
        if !reply.is_success() {
            return Err(self.session.fault(&reply, Aim::Calendar));
        }
        channel(reply.read()?).map(Some)
    }

    pub(super) async fn prolong(
        &self,
        calendar: Option<&RemoteId>,
        hook: &Hook,
        known: &Channel,
    ) -> Result<Option<Channel>, Fault> {
        let url = self.session.url(&format!("subscriptions/{}", segment(&known.id)));
        let body = json!({"expirationDateTime": stamp(self.until(hook))});
        match self.session.succeed(&Ask::patch(url, body, None), Aim::Event).await {
            Ok(reply) => channel(reply.read()?).map(Some),
            // It has ended: a new one, and whoever asked reads the calendar.
            Err(Fault::Gone) => self.subscribe(calendar, hook).await,
            Err(fault) => Err(fault),
        }
    }

    pub(super) async fn unsubscribe(&self, known: &Channel) -> Result<(), Fault> {
        let url = self.session.url(&format!("subscriptions/{}", segment(&known.id)));
        match self.session.succeed(&Ask::delete(url, None), Aim::Event).await {
            Ok(_) | Err(Fault::Gone) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    fn until(&self, hook: &Hook) -> Timestamp {
        hook.until.min(self.session.now() + LONGEST)
    }
}

/// The time that Graph answers counts, not the one that was asked for.
fn channel(made: Subscription) -> Result<Channel, Fault> {
    let expires = times::stamp(&made.expiration_date_time).ok_or_else(unreadable)?;
    Ok(Channel { id: made.id, resource: made.resource, expires })
}

fn stamp(instant: Timestamp) -> String {
    crate::ical::Zone::UTC.to_civil(instant).strftime("%Y-%m-%dT%H:%M:%S.0000000Z").to_string()
}

/// 10,080 minutes are allowed.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 7 - 1);
