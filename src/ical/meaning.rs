//! Do two objects say the same? A canonical form and its hash, for recognising echoes and for merging.
//!
//! Left out: order, folding, case of names and of enumerated values, needless quotes and escapes, defaults written out
//! (RFC 5545 3.2, 3.8), time stamps and SEQUENCE, who wrote the file, and the text of VTIMEZONEs (the zone's name stays).
//! Two objects of the same meaning may differ in octets; two of different meaning have different hashes.

use std::borrow::Cow;

use jiff::{SignedDuration, Span};
use sha2::{Digest, Sha256};

use super::component::{Component, Object, Param, Property};
use super::text;
use super::value::{DateOrTime, Duration};
use super::windows_zones::iana_name;

/// The hash of what an object says.
pub fn meaning(object: &Object) -> [u8; 32] {
    Sha256::digest(canonical_component(object.root())).into()
}

/// Whether two objects say the same.
pub fn same_meaning(a: &Object, b: &Object) -> bool {
    a.octets() == b.octets() || canonical_component(a.root()) == canonical_component(b.root())
}

/// A component with all that it holds. Depth is bounded by the reader.
pub(super) fn canonical_component(component: &Component) -> String {
    let mut lines: Vec<String> = component.properties().iter().flat_map(canonical_property).collect();
    settle_end(component, &mut lines);
    lines.sort_unstable();
    // CATEGORIES, EXDATE and the like are sets.
    lines.dedup();
    let children = component.children().iter().filter(|child| !child.is("VTIMEZONE"));
    let mut children: Vec<String> = children.map(canonical_component).collect();
    children.sort_unstable();
    let name = component.name().to_ascii_uppercase();
    format!("BEGIN:{name}\n{}\n{}END:{name}\n", lines.join("\n"), children.concat())
}

/// A property, one string for each value of a list; none if it says nothing. Line breaks are escaped.
pub(super) fn canonical_property(property: &Property) -> Vec<String> {
    let name = property.name().to_ascii_uppercase();
    if SILENT.contains(&name.as_str()) {
        return Vec::new();
    }
    let params = canonical_params(property, &name);
    let values = canonical_values(property, &name);
    let says_something = |value: &String| !value.is_empty() || !EMPTY_IS_ABSENT.contains(&name.as_str());
    let isnt_default = |value: &String| !DEFAULTS.contains(&(name.as_str(), value.as_str()));
    let line = |value: String| format!("{name}{params}:{}", value.replace('\n', "\\n"));
    values.into_iter().filter(says_something).filter(isnt_default).map(line).collect()
}

fn canonical_values(property: &Property, name: &str) -> Vec<String> {
    let value = property.value();
    match name {
        "CATEGORIES" | "RESOURCES" => property.list().map(|item| unescape(item.trim())).collect(),
        "EXDATE" | "RDATE" => {
            let tzid = property.param("TZID");
            let items = value.split(',').filter(|item| !item.trim().is_empty());
            items.map(|item| canonical_moment(item, tzid.as_deref())).collect()
        }
        "FREEBUSY" => value.split(',').map(|item| item.trim().to_ascii_uppercase()).collect(),
        "DTSTART" | "DTEND" | "DUE" | "RECURRENCE-ID" | "COMPLETED" | "ACKNOWLEDGED" => {
            vec![canonical_moment(value, property.param("TZID").as_deref())]
        }
        "DURATION" | "TRIGGER" | "REFRESH-INTERVAL" => vec![canonical_trigger(value)],
        "RRULE" | "EXRULE" => vec![canonical_rule(value)],
        "ATTENDEE" | "ORGANIZER" => vec![address(value)],
        "STATUS" | "CLASS" | "TRANSP" | "ACTION" | "METHOD" => vec![value.trim().to_ascii_uppercase()],
        "PRIORITY" | "PERCENT-COMPLETE" | "REPEAT" => {
            vec![value.trim().parse::<i64>().map_or_else(|_| value.to_owned(), |number| number.to_string())]
        }
        "GEO" => vec![canonical_position(value)],
        _ if name.starts_with("X-") || OPAQUE.contains(&name) => vec![value.to_owned()],
        _ => vec![unescape(value)],
    }
}

/// A calendar address as it is compared: mail addresses and schemes know no case.
pub(super) fn address(value: &str) -> String {
    let value = value.trim();
    let is_mail = value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("mailto:"));
    if is_mail { value.to_lowercase() } else { value.to_owned() }
}

/// A date or time with its zone's plain name; the text itself if it is none.
pub(super) fn canonical_moment(text: &str, tzid: Option<&str>) -> String {
    match DateOrTime::parse_value(text, tzid) {
        Ok(DateOrTime::Zoned { local, tzid }) => {
            let zone = zone_name(&tzid);
            let time = DateOrTime::Floating(local);
            if UTC_NAMES.contains(&zone.as_ref()) { format!("{time}Z") } else { format!("{time}[{zone}]") }
        }
        Ok(value) => value.to_string(),
        Err(_) => text.trim().to_owned(),
    }
}

/// The IANA name behind `/mozilla.org/20050126_1/Europe/Berlin` and `W. Europe Standard Time`; else the TZID itself.
fn zone_name(tzid: &str) -> Cow<'_, str> {
    if let Some(path) = tzid.strip_prefix('/') {
        let mut starts = path.match_indices('/').filter_map(|(at, _)| path.get(at + 1..));
        return starts.find(|name| jiff::tz::db().get(name).is_ok()).map_or(Cow::Borrowed(tzid), Cow::Borrowed);
    }
    iana_name(tzid).map_or(Cow::Borrowed(tzid), Cow::Borrowed)
}

fn canonical_trigger(value: &str) -> String {
    Duration::parse(value).map_or_else(|_| canonical_moment(value, None), |duration| duration.to_string())
}

fn canonical_rule(value: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in value.trim().to_ascii_uppercase().split(';').filter(|part| !part.is_empty()) {
        let (name, list) = part.split_once('=').unwrap_or((part, ""));
        if matches!((name, list), ("INTERVAL", "1") | ("WKST", "MO")) {
            continue;
        }
        let mut items: Vec<&str> = list.split(',').map(|item| item.strip_prefix('+').unwrap_or(item)).collect();
        items.sort_unstable();
        parts.push(format!("{name}={}", items.join(",")));
    }
    parts.sort_unstable();
    parts.join(";")
}

fn canonical_position(value: &str) -> String {
    let number = |part: &str| part.trim().parse::<f64>().map_or_else(|_| part.to_owned(), |n| n.to_string());
    value.split(';').map(number).collect::<Vec<_>>().join(";")
}

/// `;NAME=VALUE` of each parameter that says something, sorted.
pub(super) fn canonical_params(property: &Property, property_name: &str) -> String {
    let mut params: Vec<String> =
        property.params().filter_map(|param| canonical_param(&param, property_name)).collect();
    params.sort_unstable();
    params.concat()
}

fn canonical_param(param: &Param<'_>, property_name: &str) -> Option<String> {
    let name = param.name().to_ascii_uppercase();
    let is_moment = MOMENTS.contains(&property_name);
    if is_moment && (name == "TZID" || (name == "VALUE" && !param.first().eq_ignore_ascii_case("PERIOD"))) {
        return None;
    }
    let mut values: Vec<String> = param.values().map(Cow::into_owned).collect();
    if ENUMERATED.contains(&name.as_str()) {
        values = values.iter().map(|value| value.to_ascii_uppercase()).collect();
    } else if ADDRESSES.contains(&name.as_str()) {
        values = values.iter().map(|value| address(value)).collect();
    }
    values.sort_unstable();
    let value = values.join(",");
    let is_default = DEFAULT_PARAMS.contains(&(name.as_str(), value.as_str()))
        || (name == "VALUE" && value == "URI" && matches!(property_name, "ATTACH" | "URL"));
    (!is_default).then(|| format!(";{name}={}", text::encode_param(&value)))
}

/// A DURATION that can be reckoned without a zone is written as the end; an all-day event has one in any case.
pub(super) fn settle_end(component: &Component, lines: &mut Vec<String>) {
    if !component.is("VEVENT") || component.property("DTEND").is_some() {
        return;
    }
    let Some(Ok(start)) = component.property("DTSTART").map(DateOrTime::parse) else { return };
    let duration = component.property("DURATION").map(|property| Duration::parse(property.value()));
    let (days, seconds) = match duration {
        Some(Ok(duration)) => (duration.nominal_days(), duration.exact_seconds()),
        Some(Err(_)) => return,
        None => (i64::from(start.is_date()), 0),
    };
    let end = match &start {
        DateOrTime::Date(date) if seconds == 0 => {
            Span::new().try_days(days).ok().and_then(|span| date.checked_add(span).ok()).map(DateOrTime::Date)
        }
        DateOrTime::Floating(local) if days == 0 => {
            local.checked_add(SignedDuration::from_secs(seconds)).ok().map(DateOrTime::Floating)
        }
        DateOrTime::Utc(instant) if days == 0 => {
            instant.checked_add(SignedDuration::from_secs(seconds)).ok().map(DateOrTime::Utc)
        }
        _ => None,
    };
    if let Some(end) = end
        && (start.is_date() || duration.is_some())
    {
        lines.retain(|line| !line.starts_with("DURATION"));
        lines.push(format!("DTEND:{end}"));
    }
}

fn unescape(value: &str) -> String {
    text::unescape_text(value).into_owned()
}

/// Say who wrote the file and when, and not what is in the calendar.
pub(super) const SILENT: &[&str] =
    &["DTSTAMP", "LAST-MODIFIED", "CREATED", "SEQUENCE", "PRODID", "VERSION", "CALSCALE", "METHOD"];
const MOMENTS: &[&str] =
    &["DTSTART", "DTEND", "DUE", "RECURRENCE-ID", "COMPLETED", "ACKNOWLEDGED", "EXDATE", "RDATE", "TRIGGER"];
/// Not TEXT, so a backslash in them is one.
const OPAQUE: &[&str] =
    &["ATTACH", "URL", "IMAGE", "CONFERENCE", "SOURCE", "TZURL", "STRUCTURED-DATA", "REQUEST-STATUS"];
const EMPTY_IS_ABSENT: &[&str] =
    &["SUMMARY", "DESCRIPTION", "LOCATION", "COMMENT", "CONTACT", "CATEGORIES", "RESOURCES", "URL", "RRULE"];
const DEFAULTS: &[(&str, &str)] = &[("TRANSP", "OPAQUE"), ("CLASS", "PUBLIC"), ("PRIORITY", "0")];
const ENUMERATED: &[&str] = &[
    "CUTYPE", "ROLE", "PARTSTAT", "RSVP", "VALUE", "RELATED", "RELTYPE", "FBTYPE", "RANGE", "ENCODING", "DISPLAY",
    "FEATURE",
];
const ADDRESSES: &[&str] = &["DELEGATED-FROM", "DELEGATED-TO", "MEMBER", "SENT-BY"];
const DEFAULT_PARAMS: &[(&str, &str)] = &[
    ("CUTYPE", "INDIVIDUAL"),
    ("ROLE", "REQ-PARTICIPANT"),
    ("PARTSTAT", "NEEDS-ACTION"),
    ("RSVP", "FALSE"),
    ("RELATED", "START"),
    ("RELTYPE", "PARENT"),
    ("FBTYPE", "BUSY"),
    ("VALUE", "TEXT"),
    ("VALUE", "DURATION"),
    ("VALUE", "DATE-TIME"),
    ("VALUE", "CAL-ADDRESS"),
    ("VALUE", "RECUR"),
    ("VALUE", "INTEGER"),
    ("ENCODING", "8BIT"),
];
const UTC_NAMES: &[&str] = &["UTC", "Etc/UTC", "Z", "GMT", "Etc/GMT", "Etc/Zulu", "Zulu"];

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn event(lines: &str) -> Object {
        let text = format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\n{lines}\nEND:VEVENT\nEND:VCALENDAR\n");
        Object::parse(Bytes::from(text)).unwrap()
    }

    #[test]
    fn these_say_the_same() {
        for (a, b) in [
            ("SUMMARY:a\nLOCATION:b", "location:b\nSummary:a"),
            ("SUMMARY:ab", "SUM\n MARY:a\n b"),
            ("SUMMARY:a\\Nb\\;c", "SUMMARY:a\\nb;c"),
            ("X:1\nDTSTAMP:20250101T000000Z\nSEQUENCE:3", "X:1\nLAST-MODIFIED:20250101T000000Z"),
            (
                "ATTENDEE;CN=A;ROLE=REQ-PARTICIPANT;PARTSTAT=accepted:MAILTO:A@x",
                "ATTENDEE;PARTSTAT=ACCEPTED;CN=\"A\":mailto:a@x",
            ),
            ("CATEGORIES:A,B", "CATEGORIES:B\nCATEGORIES:A"),
            ("TRANSP:OPAQUE\nDESCRIPTION:\nPRIORITY:0\nX:1", "CLASS:public\nX:1"),
            ("RRULE:FREQ=WEEKLY;BYDAY=MO,TU;INTERVAL=1", "RRULE:BYDAY=TU,MO;FREQ=weekly;WKST=MO"),
            ("DTSTART;VALUE=DATE:20250101", "DTSTART;VALUE=DATE:20250101\nDTEND;VALUE=DATE:20250102"),
            ("DTSTART:20250101T100000Z\nDURATION:PT90M", "DTSTART:20250101T100000Z\nDTEND:20250101T113000Z"),
            (
                "DTSTART;TZID=Europe/Berlin:20250101T100000",
                "DTSTART;TZID=\"/mozilla.org/20050126_1/Europe/Berlin\":20250101T100000",
            ),
            ("DTSTART;TZID=W. Europe Standard Time:20250101T100000", "DTSTART;TZID=Europe/Berlin:20250101T100000"),
            ("DTSTART;TZID=UTC:20250101T100000", "DTSTART:20250101T100000Z"),
            (
                "EXDATE:20250101T100000Z,20250102T100000Z",
                "EXDATE;VALUE=DATE-TIME:20250102T100000Z\nEXDATE:20250101T100000Z",
            ),
            (
                "BEGIN:VALARM\nTRIGGER:-PT60M\nEND:VALARM",
                "BEGIN:VALARM\nTRIGGER;RELATED=START;VALUE=DURATION:-PT1H\nEND:VALARM",
            ),
            ("GEO:52.50;13.4", "GEO:52.5;13.400"),
        ] {
            let (a, b) = (event(a), event(b));
            assert!(same_meaning(&a, &b), "{}\n{}", canonical_component(a.root()), canonical_component(b.root()));
            assert_eq!(meaning(&a), meaning(&b));
        }
    }

    #[test]
    fn these_do_not() {
        for (a, b) in [
            ("SUMMARY:a", "SUMMARY:b"),
            ("SUMMARY:a", "SUMMARY;LANGUAGE=de:a"),
            ("SUMMARY:a\\nLOCATION:b", "SUMMARY:a\nLOCATION:b"),
            ("X-A:1", "X-A:1\nX-A:2"),
            ("X-A:a\\,b", "X-A:a,b"),
            ("ATTENDEE;PARTSTAT=ACCEPTED:mailto:a@x", "ATTENDEE;PARTSTAT=DECLINED:mailto:a@x"),
            ("DTSTART:20250101T100000Z", "DTSTART:20250101T100000"),
            ("DTSTART;TZID=Europe/Berlin:20250101T100000", "DTSTART;TZID=Europe/Paris:20250101T100000"),
            ("DTSTART;VALUE=DATE:20250101", "DTSTART;VALUE=DATE:20250101\nDURATION:P2D"),
            ("DTSTART:20250101T100000Z", "DTSTART:20250101T100000Z\nDURATION:PT1H"),
            ("CATEGORIES:A,B", "CATEGORIES:A\\,B"),
            ("TRIGGER;RELATED=END:PT0S", "TRIGGER:PT0S"),
            ("RRULE:FREQ=DAILY;COUNT=2", "RRULE:FREQ=DAILY;COUNT=3"),
            ("BEGIN:VALARM\nACTION:AUDIO\nEND:VALARM", "ACTION:AUDIO"),
        ] {
            let (a, b) = (event(a), event(b));
            assert!(!same_meaning(&a, &b), "{}", canonical_component(a.root()));
            assert_ne!(meaning(&a), meaning(&b));
        }
    }
}
