//! What each fuzz target does with its input: parse it, and hold the parser to its promises.
//!
//! `cargo test` includes this file and runs every target over its corpus (`tests/it/corpus.rs`), so what was found once
//! stays found. To look for more: `cargo +nightly fuzz run TARGET` (https://rust-fuzz.github.io/book/).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use lineartime::caldav::Path;
use lineartime::dav::{
    Brief, Depth, Destination, ExtendedMkcol, Href, IfHeader, MkCalendar, Multistatus, Overwrite, Prefer,
    PropertyUpdate, Propfind, Report, multistatus,
};
use lineartime::ical::{self, Budget, Limits, Merged, Object, TimeRange, Zone};
use lineartime::identity::basic;

/// A target by its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them; each has a folder of this name in `corpus`.
pub const TARGETS: &[Target] = &[
    ("object", object),
    ("merge", merge),
    ("rule", rule),
    ("requests", requests),
    ("answers", answers),
    ("headers", headers),
    ("path", path),
    ("login", login),
    ("text", text),
];

/// A calendar object from a client, a provider or a feed: read, checked, expanded within its budget, rendered.
pub fn object(data: &[u8]) {
    for part in ical::split(data).into_iter().flatten() {
        look_at(&part);
    }
    if let Ok(object) = Object::parse(Bytes::copy_from_slice(data)) {
        assert_eq!(object.octets().as_ref(), data, "octets are served as they came");
        look_at(&object);
    }
}

fn look_at(object: &Object) {
    let sound = object.check_resource(&Limits::default()).is_ok();
    let mut budget = Budget::object();
    let _ = ical::instances(object, &window(), &Zone::UTC, &mut budget);
    let _ = ical::busy(object, &window(), &Zone::UTC, &mut Budget::object());
    let _ = ical::summary(object, &mut Budget::object());
    let _ = ical::meaning(object);
    assert!(ical::same_meaning(object, object));
    let _ = object.as_text();
    let whole = ical::render(object, &ical::DataRequest::default(), &Zone::UTC, &mut Budget::object());
    if let (true, Ok(whole)) = (sound, whole) {
        Object::parse(whole).expect("what is served can be read");
    }
    let joined = ical::join([object], &[]);
    for part in ical::split(&joined) {
        part.expect("what is exported can be read");
    }
}

/// Three objects, with a zero octet between: what came of the first on either side.
pub fn merge(data: &[u8]) {
    let mut parts = data.splitn(3, |octet| *octet == 0).map(|part| Object::parse(Bytes::copy_from_slice(part)));
    let (Some(Ok(base)), Some(Ok(ours)), Some(Ok(theirs))) = (parts.next(), parts.next(), parts.next()) else { return };
    match ical::merge(&base, &ours, &theirs) {
        Merged::Clean(merged) => reads_again(&merged),
        Merged::Clash { ours_wins, theirs_wins, .. } => {
            reads_again(&ours_wins);
            reads_again(&theirs_wins);
        }
    }
}

fn reads_again(object: &Object) {
    Object::parse(object.octets().clone()).expect("what is merged can be read");
}

/// A recurrence rule, before the library sees it, and in the library.
pub fn rule(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = ical::Rule::parse(text);
    if text.contains(['\r', '\n']) || ical::check_rule(text).is_err() {
        return;
    }
    let event = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\n\
         DTSTART:19700101T000000Z\r\nDURATION:PT1H\r\nRRULE:{text}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    );
    if let Ok(object) = Object::parse(event.into()) {
        let _ = ical::instances(&object, &window(), &Zone::UTC, &mut Budget::object());
    }
}

/// The XML bodies that clients send; the first octet says which.
pub fn requests(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    match kind % 5 {
        0 => drop(Propfind::parse(body)),
        1 => drop(PropertyUpdate::parse(body)),
        2 => drop(MkCalendar::parse(body)),
        3 => drop(ExtendedMkcol::parse(body)),
        _ => drop(Report::parse(body)),
    }
}

/// The XML bodies that upstream servers answer with.
pub fn answers(data: &[u8]) {
    let _ = Multistatus::parse(data);
    let asked = Href::parse("/dav/calendars/ana/work/").expect("a path");
    let _ = Multistatus::parse_for(&asked, data);
    let _ = multistatus::parse_error(data);
}

/// The header fields of WebDAV: all of them with the same value.
pub fn headers(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let names = ["depth", "destination", "if", "overwrite", "prefer", "brief", "if-match", "if-none-match"];
    let fields: HeaderMap = names.into_iter().map(|name| (HeaderName::from_static(name), value.clone())).collect();
    let _ = Depth::read(&fields);
    let _ = Destination::read(&fields, |authority| authority == "x");
    let _ = IfHeader::read(&fields);
    let _ = Overwrite::read(&fields);
    let (_, _) = (Prefer::read(&fields), Brief::read(&fields));
    let now = Timestamp::UNIX_EPOCH;
    if let Ok(text) = value.to_str() {
        let _ = lineartime::transport::retry_after::parse(text, now);
    }
}

/// A request target: one place has one spelling, and that spelling leads back.
pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(Some(path)) = Path::parse(text) {
        assert_eq!(Path::parse(path.href().as_str()), Ok(Some(path)), "the spelling of answers leads back");
    }
    let _ = Href::parse(text);
    let _ = Href::parse_answer(text);
}

/// The Authorization field.
pub fn login(data: &[u8]) {
    let _ = basic::parse(data);
}

/// Text from outside, on its way into a line, a parameter or a header field.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let clean = ical::clean_text(text);
    assert!(!clean.contains('\r') && !clean.contains('\0'), "no line can be begun from within");
    let escaped = ical::escape_text(&clean);
    assert!(!escaped.contains('\n'), "no line can be begun from within");
    let param = ical::encode_param(&clean);
    let inner = param.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&param);
    assert!(!inner.contains(['\n', '\r', '"']), "no parameter can be ended from within");
    for line in ical::fold_line(&escaped).split(|octet| *octet == b'\n') {
        assert!(line.len() <= 76, "a folded line is short");
    }
    let _ = ical::split_list(text).map(ical::unescape_text).count();
}

fn window() -> TimeRange {
    let at = |text: &str| text.parse().expect("a time");
    TimeRange { start: at("2026-01-01T00:00:00Z"), end: at("2027-01-01T00:00:00Z") }
}
