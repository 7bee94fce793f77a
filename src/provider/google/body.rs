//! What is sent of an event: the members that differ, an answer, a whole in place of what was deleted. Pure.

use serde_json::{Map, Value, json};

use super::group::text;
use super::map;
use crate::ical::{Budget, DateOrTime, Object, TimeRange, Zone, instances};

/// The whole of an event, for one that is new.
pub(super) fn full(mapped: &map::Mapped) -> Map<String, Value> {
    let mut body: Map<String, Value> =
        mapped.members.clone().into_iter().map(|(name, value)| (name, stripped(value))).collect();
    body.retain(|_, value| !matches!(value, Value::Null) && *value != json!("") && *value != json!([]));
    if !mapped.exdate_lines.is_empty()
        && let Some(Value::Array(lines)) = body.get_mut("recurrence")
    {
        lines.extend(mapped.exdate_lines.iter().map(|line| json!(line)));
    }
    body
}

/// Without the members of a start that say what it is not: in a new event there is nothing to take away.
fn stripped(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

/// The members that differ; all of them where nothing is known of before.
pub(super) fn differing(wanted: &map::Mapped, before: Option<&map::Mapped>) -> Map<String, Value> {
    let differs = |name: &String, value: &Value| {
        before.is_none_or(|before| before.members.get(name).is_some_and(|old| old != value))
    };
    wanted
        .members
        .iter()
        .filter(|(name, value)| differs(name, value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[expect(clippy::needless_pass_by_value, reason = "it is used up by what it stands for")]
pub(super) fn stash_into(body: &mut Map<String, Value>, kept: Map<String, Value>) {
    if !kept.is_empty() {
        body.insert("extendedProperties".to_owned(), json!({ "private": kept }));
    }
}

/// What a guest says for themselves, if that is not what is there. Google marks whose calendar it is.
pub(super) fn answer(ours: &[Value], there: &Value, email: &str) -> Option<Value> {
    let theirs = there.get("attendees")?.as_array()?;
    let is = |one: &Value, email: &str| text(one, "email").is_some_and(|own| own.eq_ignore_ascii_case(email));
    let marked = theirs.iter().find(|one| one.get("self") == Some(&json!(true)));
    let before = marked.or_else(|| theirs.iter().find(|one| is(one, email)))?;
    let mut entry = ours.iter().find(|one| is(one, text(before, "email").unwrap_or_default()))?.clone();
    if let Some(members) = entry.as_object_mut() {
        members.retain(|name, _| ["email", "responseStatus", "comment", "additionalGuests"].contains(&name.as_str()));
    }
    let says = |name: &str| before.get(name) != entry.get(name);
    ["responseStatus", "comment", "additionalGuests"].into_iter().any(says).then_some(entry)
}

/// The whole of an event in place of one that was deleted, which keeps all that a PATCH does not name.
pub(super) fn instead(there: &Value, full: Map<String, Value>, master: &map::Mapped) -> Map<String, Value> {
    let mut body = master.members.clone();
    body.extend(full.into_iter().filter(|(name, _)| !matches!(name.as_str(), "id" | "start" | "end")));
    let old = there.pointer("/extendedProperties/private").and_then(Value::as_object);
    let kept = body.get_mut("extendedProperties").and_then(|all| all.get_mut("private")).and_then(Value::as_object_mut);
    if let Some(kept) = kept {
        for name in old.into_iter().flat_map(Map::keys).filter(|name| name.starts_with("gwIcal")) {
            kept.entry(name.clone()).or_insert(Value::Null);
        }
    }
    body
}

/// Whether the object's rule gives an instance that begins at `key`.
pub(super) fn gives(object: &Object, key: &str, context: &map::Context) -> bool {
    let zone = context.calendar.zone.as_deref().and_then(Zone::iana).unwrap_or(Zone::UTC);
    let start = match DateOrTime::parse_value(key, None) {
        Ok(DateOrTime::Utc(at)) => at,
        Ok(DateOrTime::Date(date)) => zone.to_instant(date.at(0, 0, 0, 0)),
        _ => return true,
    };
    let end = start.checked_add(jiff::SignedDuration::from_secs(1)).unwrap_or(start);
    match instances(object, &TimeRange { start, end }, &zone, &mut Budget::request()) {
        Ok(found) => found
            .iter()
            .any(|one| one.recurrence_id.as_ref().is_some_and(|id| map::moment_key(id, object, context) == key)),
        // Not known: as if it were.
        Err(_) => true,
    }
}

/// Our attendees over what Google knows of them: members that iCalendar has no word for stay.
pub(super) fn with_what_is_there(ours: Vec<Value>, there: &Value) -> Vec<Value> {
    let theirs = there.get("attendees").and_then(Value::as_array).cloned().unwrap_or_default();
    let over = |one: Value| {
        let is_it = |known: &&Value| {
            text(known, "email").is_some_and(|a| text(&one, "email").is_some_and(|b| a.eq_ignore_ascii_case(b)))
        };
        let Some(Value::Object(mut entry)) = theirs.iter().find(is_it).cloned() else { return one };
        entry.retain(|name, _| {
            !["self", "organizer", "optional", "comment", "additionalGuests"].contains(&name.as_str())
        });
        if let Value::Object(one) = one {
            entry.extend(one);
        }
        Value::Object(entry)
    };
    ours.into_iter().map(over).collect()
}

/// Whether what is there says at least what was sent.
pub(super) fn covers(there: Option<&Value>, sent: &Value) -> bool {
    match (there, sent) {
        (None, sent) => sent.is_null() || ["confirmed", "opaque", "default", ""].iter().any(|usual| sent == usual),
        (Some(Value::Object(there)), Value::Object(sent)) if sent.get("dateTime").is_some_and(Value::is_string) => {
            let at = |value: Option<&Value>| value.and_then(Value::as_str)?.parse::<jiff::Timestamp>().ok();
            at(there.get("dateTime")) == at(sent.get("dateTime"))
        }
        (Some(Value::Object(there)), Value::Object(sent)) => {
            sent.iter().all(|(name, value)| covers(there.get(name), value))
        }
        (Some(Value::Array(there)), Value::Array(sent)) => {
            there.len() == sent.len() && sent.iter().all(|one| there.iter().any(|known| covers(Some(known), one)))
        }
        (Some(there), sent) => there == sent,
    }
}

/// Start and end of the instance of a series that began at `original`.
pub(super) fn times(master: &map::Mapped, original: &Value) -> Map<String, Value> {
    let at =
        |name: &str, member: &str| master.members.get(name).and_then(|point| text(point, member)).map(str::to_owned);
    let mut times = Map::from_iter([("start".to_owned(), original.clone())]);
    let instant = |text: Option<String>| text?.parse::<jiff::Timestamp>().ok();
    let day = |text: Option<String>| text?.parse::<jiff::civil::Date>().ok();
    if let (Some(start), Some(end), Some(moved)) = (
        instant(at("start", "dateTime")),
        instant(at("end", "dateTime")),
        instant(text(original, "dateTime").map(str::to_owned)),
    ) {
        let end = moved.checked_add(end.duration_since(start)).unwrap_or(moved);
        times.insert("end".to_owned(), json!({ "dateTime": end.to_string(), "timeZone": at("end", "timeZone") }));
    } else if let (Some(start), Some(end), Some(moved)) =
        (day(at("start", "date")), day(at("end", "date")), day(text(original, "date").map(str::to_owned)))
    {
        let end = moved.checked_add(end.duration_since(start)).unwrap_or(moved);
        times.insert("end".to_owned(), json!({ "date": end.to_string() }));
    }
    times
}

/// The original start as `events.instances` asks for it.
pub(super) fn original(key: &str) -> String {
    match DateOrTime::parse_value(key, None) {
        Ok(DateOrTime::Utc(at)) => at.to_string(),
        Ok(DateOrTime::Date(date)) => date.to_string(),
        _ => key.to_owned(),
    }
}
