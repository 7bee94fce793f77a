//! Organizer and attendees.

use serde_json::{Map, Value, json};

use super::{Mapped, stash, string};
use crate::ical::{Component, Draft, Line, Property};

pub(super) fn lines(mut draft: Draft, event: &Value, kept: &stash::Kept) -> Draft {
    let attendees = event.get("attendees").and_then(Value::as_array).filter(|all| !all.is_empty());
    let others: Vec<&str> = kept.values("person").collect();
    let organizer = event.get("organizer").and_then(|organizer| Some((organizer, string(organizer, "email")?)));
    let is_meeting = attendees.is_some()
        || kept.has_property("ATTENDEE")
        || organizer.is_some_and(|(who, _)| who.get("self") != Some(&json!(true)));
    if let Some((who, email)) = organizer.filter(|_| is_meeting) {
        let line = named(Line::new("ORGANIZER"), string(who, "displayName"));
        draft = draft.line(extra(line, &others, "ORGANIZER", email).value(&format!("mailto:{email}")));
    }
    for one in attendees.into_iter().flatten() {
        let Some(email) = string(one, "email") else { continue };
        draft = draft.line(attendee(one, email, &others));
    }
    draft
}

fn attendee(one: &Value, email: &str, others: &[&str]) -> Line {
    let is = |name: &str| one.get(name) == Some(&json!(true));
    let mut line = named(Line::new("ATTENDEE"), string(one, "displayName"));
    let kept = others.iter().filter_map(|text| stash::property(text)).find(|holder| {
        holder.property("ATTENDEE").is_some_and(|property| email_of(property).as_deref() == Some(&email.to_lowercase()))
    });
    let says = |name: &str| {
        kept.as_ref()
            .and_then(|holder| holder.property("ATTENDEE")?.param(name).map(|value| value.to_ascii_uppercase()))
    };
    // The finer words of ours stand as long as Google's say the same of them.
    let role = match (says("ROLE"), is("optional")) {
        (Some(role), true) if role == "NON-PARTICIPANT" => role,
        (Some(role), false) if role == "CHAIR" => role,
        (_, true) => "OPT-PARTICIPANT".to_owned(),
        (_, false) => String::new(),
    };
    let kind = match (says("CUTYPE"), is("resource")) {
        (Some(kind), true) if kind == "ROOM" => kind,
        (Some(kind), false) if kind != "RESOURCE" => kind,
        (_, true) => "RESOURCE".to_owned(),
        (_, false) => String::new(),
    };
    let status = string(one, "responseStatus").and_then(|word| PARTSTAT.iter().find(|(known, _)| *known == word));
    let status = match (says("PARTSTAT"), status) {
        (Some(status), Some((_, "NEEDS-ACTION"))) if status == "DELEGATED" => status,
        (_, Some((_, status))) => (*status).to_owned(),
        (_, None) => String::new(),
    };
    for (name, value) in [("CUTYPE", kind), ("ROLE", role), ("PARTSTAT", status)] {
        if !value.is_empty() {
            line = line.param(name, &value);
        }
    }
    if let Some(guests) = one.get("additionalGuests").and_then(Value::as_u64).filter(|guests| *guests > 0) {
        line = line.param("X-NUM-GUESTS", &guests.to_string());
    }
    if let Some(comment) = string(one, "comment").filter(|comment| !comment.is_empty()) {
        line = line.param("X-RESPONSE-COMMENT", comment);
    }
    extra(line, others, "ATTENDEE", email).value(&format!("mailto:{email}"))
}

fn named(line: Line, name: Option<&str>) -> Line {
    match name.filter(|name| !name.is_empty()) {
        Some(name) => line.param("CN", name),
        None => line,
    }
}

/// The parameters that this person's line had and Google has no member for.
fn extra(line: Line, others: &[&str], name: &str, email: &str) -> Line {
    let holders = others.iter().filter_map(|text| stash::property(text));
    let mut lines = holders.filter_map(|holder| holder.property(name).cloned());
    let Some(own) = lines.find(|property| email_of(property).as_deref() == Some(&email.to_lowercase())) else {
        return line;
    };
    let params: Vec<_> = own.params().filter(|param| !is_mapped(param.name())).collect();
    params.into_iter().fold(line, |line, param| line.param(param.name(), &param.first()))
}

#[expect(clippy::single_match_else, reason = "both cases are of equal weight")]
pub(super) fn members(component: &Component, mapped: &mut Mapped) {
    let mut attendees = Vec::new();
    for property in component.all("ATTENDEE") {
        let is_copy = property.param("SCHEDULE-AGENT").is_some_and(|agent| !agent.eq_ignore_ascii_case("SERVER"));
        match email_of(property).filter(|_| !is_copy) {
            Some(email) => attendees.push(entry(property, &email)),
            // Nobody to write to: a copy of somebody else's meeting, or no mail address.
            None => {
                mapped.stash.push(property.line().to_owned());
                continue;
            }
        }
        if needs_more(property) {
            mapped.stash.push(format!("!person:{}", property.line()));
        }
    }
    attendees.sort_by(|a, b| string(a, "email").cmp(&string(b, "email")));
    mapped.members.insert("attendees".to_owned(), Value::Array(attendees));
    if let Some(organizer) = component.property("ORGANIZER").filter(|property| needs_more(property)) {
        mapped.stash.push(format!("!person:{}", organizer.line()));
    }
}

fn entry(property: &Property, email: &str) -> Value {
    let upper = |name: &str| property.param(name).map(|value| value.to_ascii_uppercase()).unwrap_or_default();
    let mut entry = Map::new();
    entry.insert("email".to_owned(), json!(email));
    if let Some(name) = property.param("CN").filter(|name| !name.is_empty()) {
        entry.insert("displayName".to_owned(), json!(name));
    }
    let status = upper("PARTSTAT");
    let status = PARTSTAT.iter().find(|(_, word)| *word == status).map_or("needsAction", |(word, _)| word);
    entry.insert("responseStatus".to_owned(), json!(status));
    if matches!(upper("ROLE").as_str(), "OPT-PARTICIPANT" | "NON-PARTICIPANT") {
        entry.insert("optional".to_owned(), json!(true));
    }
    if matches!(upper("CUTYPE").as_str(), "ROOM" | "RESOURCE") {
        entry.insert("resource".to_owned(), json!(true));
    }
    if let Some(guests) = property.param("X-NUM-GUESTS").and_then(|guests| guests.parse::<u32>().ok()) {
        entry.insert("additionalGuests".to_owned(), json!(guests));
    }
    if let Some(comment) = property.param("X-RESPONSE-COMMENT") {
        entry.insert("comment".to_owned(), json!(comment));
    }
    Value::Object(entry)
}

/// Whether the line says what no member holds.
fn needs_more(property: &Property) -> bool {
    property.params().any(|param| {
        let value = param.first().to_ascii_uppercase();
        match param.name().to_ascii_uppercase().as_str() {
            "ROLE" => matches!(value.as_str(), "NON-PARTICIPANT" | "CHAIR"),
            "CUTYPE" => matches!(value.as_str(), "ROOM" | "GROUP" | "UNKNOWN"),
            "PARTSTAT" => value == "DELEGATED",
            name => !is_mapped(name),
        }
    })
}

fn is_mapped(name: &str) -> bool {
    let known = ["CN", "ROLE", "CUTYPE", "PARTSTAT", "X-NUM-GUESTS", "X-RESPONSE-COMMENT", "SCHEDULE-STATUS"];
    let scheduling = ["SCHEDULE-AGENT", "SCHEDULE-FORCE-SEND"];
    known.iter().chain(&scheduling).any(|known| name.eq_ignore_ascii_case(known))
}

/// The mail address of a person, in lower case.
pub(super) fn email_of(property: &Property) -> Option<String> {
    let value = property.value().trim();
    let scheme = value.get(..7)?;
    let email = value.get(7..)?.trim();
    (scheme.eq_ignore_ascii_case("mailto:") && email.contains('@')).then(|| email.to_lowercase())
}

const PARTSTAT: &[(&str, &str)] =
    &[("needsAction", "NEEDS-ACTION"), ("accepted", "ACCEPTED"), ("declined", "DECLINED"), ("tentative", "TENTATIVE")];
