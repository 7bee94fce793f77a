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
        let code = reply.code().unwrap_or_default();
        if reply.status == 400 && code.starts_with("validation") {
            return Err(Fault::Unreachable(format!(
                "Microsoft can't reach {} from outside, or does not get its answer: see server.public_url",
                hook.url
            )));
        }
        if reply.status == 400 {
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
        // It also answers `reauthorizationRequired`.
        let body = json!({"expirationDateTime": stamp(self.until(hook))});
        match self.session.succeed(&Ask::patch(url, body, None), Aim::Event).await {
            Ok(reply) => channel(reply.read()?).map(Some),
            // It has ended, or is no longer ours to change: a new one, and whoever asked reads the calendar.
            Err(Fault::Gone | Fault::CursorExpired | Fault::Refused(_)) => self.subscribe(calendar, hook).await,
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use serde_json::Value;
    use url::Url;

    use super::*;
    use crate::clock::ManualClock;
    use crate::provider::{Provider as _, Tokens};
    use crate::transport::fake::{Answer, FakeTransport, answer};
    use crate::vault::Secret;

    #[derive(Debug)]
    struct Fixed;

    #[async_trait]
    impl Tokens for Fixed {
        async fn access(&self) -> Result<Secret, Fault> {
            Ok(Secret::new("token"))
        }

        async fn refused(&self, _token: &Secret) {}
    }

    fn noon() -> Timestamp {
        "2026-11-01T12:00:00Z".parse().unwrap()
    }

    fn account(transport: &FakeTransport) -> Microsoft {
        let api = Url::parse("https://graph.example/v1.0").unwrap();
        Microsoft::new(api, Arc::new(transport.clone()), Arc::new(Fixed), Arc::new(ManualClock::new(noon())), None)
    }

    fn hook() -> Hook {
        Hook {
            url: "https://cal.example/api/webhooks/microsoft".to_owned(),
            id: "ours".to_owned(),
            token: Secret::new("state"),
            until: noon() + SignedDuration::from_hours(24 * 30),
        }
    }

    fn calendar() -> RemoteId {
        RemoteId::new("AAMk/+A=")
    }

    fn open() -> Channel {
        Channel { id: "s1".to_owned(), resource: String::new(), expires: noon() }
    }

    fn reply(status: u16, body: &Value) -> Answer {
        answer(status, &[("content-type", "application/json")], &body.to_string())
    }

    fn made(id: &str) -> Answer {
        reply(
            201,
            &json!({"id": id, "resource": "r", "expirationDateTime": "2026-11-03T18:23:45.9356913Z", "someday": 1}),
        )
    }

    fn error(status: u16, code: &str) -> Answer {
        reply(status, &json!({"error": {"code": code, "message": "no"}}))
    }

    fn sent(transport: &FakeTransport, number: usize) -> Value {
        serde_json::from_slice(transport.requests()[number].body()).unwrap()
    }

    #[tokio::test]
    async fn a_subscription_is_for_one_calendar_and_ends_when_graph_says() {
        let transport = FakeTransport::serving(|_| made("s1"));
        let microsoft = account(&transport);
        assert_eq!(microsoft.watch(None, &hook()).await, Ok(None));
        let channel = microsoft.watch(Some(&calendar()), &hook()).await.unwrap().unwrap();
        assert_eq!(channel.id, "s1");
        assert_eq!(channel.expires.as_second(), "2026-11-03T18:23:45Z".parse::<Timestamp>().unwrap().as_second());
        let body = sent(&transport, 0);
        assert_eq!(body["resource"], "me/calendars/AAMk%2F%2BA%3D/events");
        assert_eq!(body["clientState"], "state");
        assert_eq!(body["notificationUrl"], body["lifecycleNotificationUrl"]);
        // At most 10,080 minutes from now, whatever is wanted.
        let asked: Timestamp = body["expirationDateTime"].as_str().unwrap().parse().unwrap();
        assert!(asked > noon() + SignedDuration::from_hours(24 * 6));
        assert!(asked <= noon() + SignedDuration::from_mins(10_080));
        assert!(transport.requests()[0].headers()["prefer"].to_str().unwrap().contains("ImmutableId"));
    }

    #[tokio::test]
    async fn what_graph_says_to_a_new_one() {
        type Case = (u16, &'static str, fn(&Result<Option<Channel>, Fault>) -> bool);
        let cases: [Case; 5] = [
            (
                400,
                "ValidationError",
                |said| matches!(said, Err(Fault::Unreachable(why)) if why.contains("server.public_url")),
            ),
            (400, "ExtensionError", |said| *said == Ok(None)),
            (403, "ErrorAccessDenied", |said| matches!(said, Err(Fault::Forbidden(_)))),
            (429, "ApplicationThrottled", |said| matches!(said, Err(Fault::Throttled(_)))),
            (503, "ServiceUnavailable", |said| matches!(said, Err(Fault::Unreachable(_)))),
        ];
        for (status, code, expected) in cases {
            let transport = FakeTransport::serving(move |_| error(status, code));
            let said = account(&transport).watch(Some(&calendar()), &hook()).await;
            assert!(expected(&said), "{status} {code}: {said:?}");
        }
    }

    #[tokio::test]
    async fn a_renewal_moves_the_end_and_what_has_ended_is_made_anew() {
        let transport = FakeTransport::script([made("s1"), error(404, "ResourceNotFound"), made("s2"), error(503, "")]);
        let microsoft = account(&transport);
        let renewed = microsoft.renew(Some(&calendar()), &hook(), &open()).await.unwrap().unwrap();
        assert_eq!(renewed.id, "s1");
        assert_eq!(sent(&transport, 0).as_object().unwrap().keys().collect::<Vec<_>>(), ["expirationDateTime"]);
        let renewed = microsoft.renew(Some(&calendar()), &hook(), &open()).await.unwrap().unwrap();
        assert_eq!(renewed.id, "s2");
        assert!(matches!(microsoft.renew(Some(&calendar()), &hook(), &open()).await, Err(Fault::Unreachable(_))));
        let lines = transport.lines();
        let base = "https://graph.example/v1.0/subscriptions";
        assert_eq!(
            lines,
            [
                format!("PATCH {base}/s1"),
                format!("PATCH {base}/s1"),
                format!("POST {base}"),
                format!("PATCH {base}/s1")
            ]
        );
    }

    #[tokio::test]
    async fn the_end_of_what_has_ended_is_success() {
        let transport = FakeTransport::script([answer(204, &[], ""), error(404, "ResourceNotFound"), error(503, "")]);
        let microsoft = account(&transport);
        assert_eq!(microsoft.unwatch(&open()).await, Ok(()));
        assert_eq!(microsoft.unwatch(&open()).await, Ok(()));
        assert!(microsoft.unwatch(&open()).await.is_err());
    }
}
