//! Subscriptions as Graph keeps them (providers.md 5.10): refused unless they are as the documents say, at an end when
//! their time has come, silent after `reauthorizationRequired` until they are renewed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::contract;
use super::mailbox::Item;

/// One subscription.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    /// As it is answered.
    pub(super) body: Map<String, Value>,
    expires: Timestamp,
    /// Whoever made it has to say again that they may.
    pub(super) lapses: bool,
}

/// Those of one mailbox.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    all: BTreeMap<String, Subscription>,
    made: u64,
}

/// A refusal: status, code, message.
pub(super) type Refusal = (u16, &'static str, String);

fn bad(why: &str) -> Refusal {
    (400, "InvalidRequest", why.to_owned())
}

impl Subscription {
    pub(super) fn text(&self, name: &str) -> &str {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The calendar it is about, of those there are; `me/events` speaks of the default calendar alone.
    pub(super) fn calendar(&self, default: &str) -> String {
        calendar_of(self.text("resource")).unwrap_or_else(|| default.to_owned())
    }

    /// What a notification of a kind of change, or a lifecycle notification, says of it.
    pub(super) fn notification(&self, member: &str, what: &str, event: Option<(&str, &str)>) -> Value {
        let mut value = json!({
            "subscriptionId": self.text("id"), "subscriptionExpirationDateTime": self.text("expirationDateTime"),
            member: what, "resource": format!("Users/{OWNER}/Events"), "tenantId": TENANT,
        });
        if let Some(object) = value.as_object_mut() {
            if let Some(state) = self.body.get("clientState") {
                object.insert("clientState".to_owned(), state.clone());
            }
            if let Some((id, etag)) = event {
                let path = format!("Users/{OWNER}/Events/{id}");
                let data =
                    json!({"@odata.type": "#Microsoft.Graph.Event", "@odata.id": path, "@odata.etag": etag, "id": id});
                object.insert("resource".to_owned(), json!(path));
                object.insert("resourceData".to_owned(), data);
            }
        }
        assert_eq!(contract::defect(&value, "changeNotification"), None, "the simulator says what Graph does not");
        value
    }
}

impl Subscriptions {
    /// What is wrong with a wish for a subscription, before its addresses are tried.
    pub(super) fn defect(&self, body: &Value, calendars: &[String], now: Timestamp) -> Option<Refusal> {
        if let Some(why) = contract::defect(body, "subscription") {
            return Some((400, "BadRequest", why));
        }
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        for name in ["changeType", "notificationUrl", "resource", "expirationDateTime"] {
            if text(name).is_none_or(str::is_empty) {
                return Some(bad(&format!("{name} is required.")));
            }
        }
        let mut kinds = text("changeType").unwrap_or_default().split(',').map(str::trim);
        if !kinds.all(|kind| ["created", "updated", "deleted"].contains(&kind)) {
            return Some(bad("changeType has a value that is not supported."));
        }
        if text("clientState").is_some_and(|state| state.chars().count() > LONGEST_STATE) {
            return Some(bad("clientState has at most 128 characters."));
        }
        let resource = text("resource").unwrap_or_default().trim_start_matches('/');
        if resource != "me/events" && !calendar_of(resource).is_some_and(|id| calendars.contains(&id)) {
            return Some((400, "ExtensionError", "The resource is not supported.".to_owned()));
        }
        if self.all.values().filter(|one| one.expires > now).count() >= MOST {
            return Some((403, "ExtensionError", "Subscription limit of the mailbox is reached.".to_owned()));
        }
        until(body, now).err()
    }

    /// Makes what [`Subscriptions::defect`] has nothing against. `most` is the longest life, in seconds, where a fault cuts it.
    pub(super) fn make(&mut self, body: &Value, now: Timestamp, most: Option<i64>) -> Result<Value, Refusal> {
        let expires = shortened(until(body, now)?, now, most);
        self.made += 1;
        let id = format!("7f105c7d-2dc5-4530-97cd-{:012}", self.made);
        let mut made = body.as_object().cloned().unwrap_or_default();
        made.insert("id".to_owned(), json!(id));
        made.insert("applicationId".to_owned(), json!("24d3b144-21ae-4080-943f-7067b395b913"));
        made.insert("creatorId".to_owned(), json!(OWNER));
        made.insert("expirationDateTime".to_owned(), json!(stamp(expires)));
        let answer = Value::Object(made.clone());
        self.all.insert(id, Subscription { body: made, expires, lapses: false });
        Ok(answer)
    }

    /// PATCH: only the end can be moved, and only of what has not ended.
    pub(super) fn renew(
        &mut self,
        id: &str,
        body: &Value,
        now: Timestamp,
        most: Option<i64>,
    ) -> Result<Value, Refusal> {
        let known = self.live(id, now)?;
        let named = body.as_object().into_iter().flat_map(Map::keys);
        if let Some(other) = named.into_iter().find(|name| *name != "expirationDateTime") {
            return Err(bad(&format!("{other} can't be changed.")));
        }
        known.expires = shortened(until(body, now)?, now, most);
        known.lapses = false;
        known.body.insert("expirationDateTime".to_owned(), json!(stamp(known.expires)));
        Ok(Value::Object(known.body.clone()))
    }

    pub(super) fn reauthorize(&mut self, id: &str, now: Timestamp) -> Result<(), Refusal> {
        self.live(id, now)?.lapses = false;
        Ok(())
    }

    pub(super) fn delete(&mut self, id: &str, now: Timestamp) -> Result<(), Refusal> {
        self.live(id, now)?;
        self.all.remove(id);
        Ok(())
    }

    pub(super) fn lapse(&mut self, id: &str) {
        if let Some(known) = self.all.get_mut(id) {
            known.lapses = true;
        }
    }

    /// Ends one, or all, without a word.
    pub(super) fn end(&mut self, id: Option<&str>) {
        self.all.retain(|known, _| id.is_some_and(|id| id != known));
    }

    /// Those that have not ended.
    pub(super) fn open(&self, now: Timestamp) -> Vec<Subscription> {
        self.all.values().filter(|one| one.expires > now).cloned().collect()
    }

    fn live(&mut self, id: &str, now: Timestamp) -> Result<&mut Subscription, Refusal> {
        let gone = || (404, "ResourceNotFound", "The object was not found.".to_owned());
        self.all.get_mut(id).filter(|one| one.expires > now).ok_or_else(gone)
    }
}

/// What has happened to an item, as notifications call it.
pub(super) fn kind(item: &Item) -> &'static str {
    match item {
        Item { gone: true, .. } => "deleted",
        Item { version: 1, .. } => "created",
        _ => "updated",
    }
}

fn calendar_of(resource: &str) -> Option<String> {
    let id = resource.trim_start_matches('/').strip_prefix("me/calendars/")?.strip_suffix("/events")?;
    Some(percent_encoding::percent_decode_str(id).decode_utf8_lossy().into_owned())
}

/// The end that is asked for: at most seven days ahead, and at least 45 minutes.
fn until(body: &Value, now: Timestamp) -> Result<Timestamp, Refusal> {
    let text = body.get("expirationDateTime").and_then(Value::as_str);
    let wanted: Timestamp =
        text.and_then(|text| text.parse().ok()).ok_or_else(|| bad("expirationDateTime is no time."))?;
    if wanted <= now {
        return Err(bad("expirationDateTime is in the past."));
    }
    if wanted > now + LONGEST {
        return Err(bad("Subscription expiration can only be 10080 minutes in the future."));
    }
    Ok(wanted.max(now + SHORTEST))
}

fn shortened(wanted: Timestamp, now: Timestamp, most: Option<i64>) -> Timestamp {
    most.map_or(wanted, |seconds| wanted.min(now + SignedDuration::from_secs(seconds)))
}

fn stamp(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// The time, as Graph has it.
#[expect(clippy::disallowed_methods, reason = "a simulator runs in real time")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

const OWNER: &str = "8ee44408-0679-472c-bc2a-692812af3437";
const TENANT: &str = "84bd8158-6d4d-4958-8b9f-9d6445542f95";
const LONGEST: SignedDuration = SignedDuration::from_mins(10_080);
const SHORTEST: SignedDuration = SignedDuration::from_mins(45);
const LONGEST_STATE: usize = 128;
const MOST: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(more: &Value) -> Value {
        let mut wish = json!({
            "changeType": "created,updated,deleted", "notificationUrl": "http://x/", "resource": "me/calendars/AAMkCAL1%3D/events",
            "expirationDateTime": "2026-11-08T00:00:00.0000000Z", "clientState": "secret",
        });
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wish
    }

    fn noon() -> Timestamp {
        "2026-11-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn what_graph_refuses() {
        let subscriptions = Subscriptions::default();
        let cases = [
            (json!({}), None),
            (json!({"resource": "me/events"}), None),
            (json!({"resource": "me/calendars/other/events"}), Some("ExtensionError")),
            (json!({"resource": "me/calendars/AAMkCAL1%3D/events/x"}), Some("ExtensionError")),
            (json!({"changeType": "created,moved"}), Some("InvalidRequest")),
            (json!({"clientState": "x".repeat(129)}), Some("InvalidRequest")),
            (json!({"expirationDateTime": "2026-11-08T12:00:01Z"}), Some("InvalidRequest")),
            (json!({"expirationDateTime": "2026-11-01T11:00:00Z"}), Some("InvalidRequest")),
            (json!({"expirationDateTime": null}), Some("InvalidRequest")),
            (json!({"surprise": true}), Some("BadRequest")),
        ];
        for (more, expected) in cases {
            let defect = subscriptions.defect(&wish(&more), &["AAMkCAL1=".to_owned()], noon());
            assert_eq!(defect.map(|(_, code, _)| code), expected, "{more}");
        }
    }

    #[test]
    fn a_short_life_is_raised_and_an_ended_one_is_not_found() {
        let mut subscriptions = Subscriptions::default();
        let made =
            subscriptions.make(&wish(&json!({"expirationDateTime": "2026-11-01T12:01:00Z"})), noon(), None).unwrap();
        assert_eq!(made["expirationDateTime"], "2026-11-01T12:45:00.000000Z");
        let id = made["id"].as_str().unwrap();
        let later: Timestamp = "2026-11-01T12:46:00Z".parse().unwrap();
        let body = json!({"expirationDateTime": "2026-11-02T12:00:00Z"});
        assert_eq!(subscriptions.renew(id, &body, later, None).unwrap_err().0, 404);
        assert_eq!(subscriptions.delete(id, later).unwrap_err().0, 404);
        let other = json!({"lifecycleNotificationUrl": "http://y/"});
        assert_eq!(subscriptions.renew(id, &other, noon(), None).unwrap_err().0, 400);
        assert_eq!(
            subscriptions.renew(id, &body, noon(), None).unwrap()["expirationDateTime"],
            "2026-11-02T12:00:00.000000Z"
        );
    }
}
