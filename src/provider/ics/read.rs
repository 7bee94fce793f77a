//! A file as objects: as far as it can be read, each event by itself.
//!
//! Publishers' files break every rule somewhere. What is repaired here is only what keeps whole files from being read:
//! the encoding, a UID that all events share. The rest is for the one event that has it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::Fault;
use crate::ical::{self, Component, Object, Property, fold_line, unescape_text};

/// What a file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) color: Option<String>,
    pub(super) time_zone: Option<String>,
    /// Seconds after which it wants to be looked at again.
    pub(super) refresh: Option<u64>,
    /// The kinds of components that it holds.
    pub(super) kinds: Vec<String>,
}

/// A file, read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) header: Header,
    pub(super) objects: Vec<Object>,
    /// Why each of the parts that can't be read can't be.
    pub(super) broken: Vec<String>,
    /// It has its end: what it does not name is not in it.
    pub(super) whole: bool,
}

/// Reads a file.
///
/// # Errors
/// [`Fault::Garbled`] if it is no calendar at all.
pub(super) fn read(octets: &[u8]) -> Result<Reading, Fault> {
    let text = decoded(octets);
    let body = calendar(&text)?;
    let mut header = header(body);
    let (mut objects, mut broken) = (Vec::new(), Vec::new());
    for found in ical::split(body) {
        match found {
            Ok(object) => objects.extend(apart(object)),
            Err(error) => broken.push(error.to_string()),
        }
    }
    let kinds: BTreeSet<&str> = objects.iter().map(|object| object.kind().name()).collect();
    header.kinds = kinds.into_iter().map(ToOwned::to_owned).collect();
    Ok(Reading { header, objects, broken, whole: is_whole(body) })
}

/// UTF-8 as RFC 5545 3.1.4 has it; what is none was written by a program that knew only Latin-1. Folding may cut
/// through the middle of a character.
fn decoded(octets: &[u8]) -> Cow<'_, [u8]> {
    let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    if std::str::from_utf8(octets).is_ok() || std::str::from_utf8(&unfolded(octets)).is_ok() {
        return Cow::Borrowed(octets);
    }
    let text: String = octets.iter().copied().map(char::from).collect();
    Cow::Owned(text.into_bytes())
}

fn unfolded(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        if let [b' ' | b'\t', rest @ ..] = line {
            while matches!(out.last(), Some(b'\r' | b'\n')) {
                out.pop();
            }
            out.extend_from_slice(rest);
        } else {
            out.extend_from_slice(line);
        }
    }
    out
}

/// The part that is a calendar. Some servers write messages of their own in front.
fn calendar(octets: &[u8]) -> Result<&[u8], Fault> {
    let start = octets.trim_ascii_start();
    if start.first() == Some(&b'<') {
        return Err(Fault::Garbled(
            "the address gives a web page instead of a calendar; it may want a sign-in".to_owned(),
        ));
    }
    let head = start.get(..PREAMBLE).unwrap_or(start);
    let begins = |at: &usize| {
        let is_line = *at == 0 || start.get(at.wrapping_sub(1)) == Some(&b'\n');
        is_line
            && start.get(*at..).and_then(|rest| rest.get(..BEGIN.len())).is_some_and(|b| b.eq_ignore_ascii_case(BEGIN))
    };
    let at = (0..head.len()).find(begins);
    at.and_then(|at| start.get(at..)).ok_or_else(|| Fault::Garbled("what the address gives is no calendar".to_owned()))
}

fn is_whole(octets: &[u8]) -> bool {
    let end = octets.trim_ascii_end();
    let last = end.len().checked_sub(END.len()).and_then(|at| end.get(at..));
    last.is_some_and(|last| last.eq_ignore_ascii_case(END))
}

/// The properties before the first component.
fn header(octets: &[u8]) -> Header {
    let mut found = Header::default();
    let mut lines: Vec<String> = Vec::new();
    for line in octets.split(|octet| *octet == b'\n').take(LINES) {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some(last)) if last.len() < LONGEST => last.push_str(rest),
            (Some(_), _) => {}
            (None, _) => lines.push(line),
        }
        let component =
            lines.last().and_then(|line| line.get(..6)).filter(|start| start.eq_ignore_ascii_case("BEGIN:"));
        if component.is_some() && lines.len() > 1 {
            break;
        }
    }
    for line in &lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let name = name.split(';').next().unwrap_or_default().to_ascii_uppercase();
        let text =
            || Some(unescape_text(value).trim().chars().take(LONGEST).collect()).filter(|t: &String| !t.is_empty());
        match name.as_str() {
            "NAME" => found.name = text().or(found.name),
            "X-WR-CALNAME" => found.name = found.name.or_else(text),
            "DESCRIPTION" => found.description = text().or(found.description),
            "X-WR-CALDESC" => found.description = found.description.or_else(text),
            "X-APPLE-CALENDAR-COLOR" | "COLOR" => found.color = found.color.or_else(|| color(value)),
            "X-WR-TIMEZONE" => found.time_zone = text(),
            "REFRESH-INTERVAL" => found.refresh = seconds(value).or(found.refresh),
            "X-PUBLISHED-TTL" => found.refresh = found.refresh.or_else(|| seconds(value)),
            _ => {}
        }
    }
    found
}

fn color(value: &str) -> Option<String> {
    let digits = value.trim().strip_prefix('#')?;
    (matches!(digits.len(), 6 | 8) && digits.chars().all(|c| c.is_ascii_hexdigit())).then(|| format!("#{digits}"))
}

fn seconds(value: &str) -> Option<u64> {
    let total = ical::Duration::parse(value.trim()).ok()?.total_seconds();
    u64::try_from(total).ok().filter(|seconds| *seconds > 0)
}

/// Events that share one UID without being one event each become an object of their own. Of several states of one event
/// the last is it.
fn apart(object: Object) -> Vec<Object> {
    let is_master = |member: &&Component| member.property("RECURRENCE-ID").is_none();
    if object.members().filter(is_master).count() < 2 {
        return vec![object];
    }
    let masters: Vec<&Component> = object.members().filter(is_master).collect();
    let is_last =
        |at: usize, master: &Component| !masters.iter().skip(at + 1).any(|later| start(later) == start(master));
    let latest = masters.iter().enumerate().filter(|(at, master)| is_last(*at, master));
    let latest: Vec<&Component> = latest.map(|(_, master)| *master).collect();
    let is_one = latest.len() == 1;
    let alone = |master: &&Component| {
        let others: Vec<&Component> = object
            .members()
            .filter(|member| member.span() != master.span() && !(is_one && member.property("RECURRENCE-ID").is_some()))
            .collect();
        let octets = without(object.octets(), &others);
        let alone = Object::parse(octets).ok()?;
        if is_one { Some(alone) } else { with_uid(&alone, &format!("{}-{}", object.uid(), short(&line_text(master)))) }
    };
    latest.iter().filter_map(alone).collect()
}

fn start(component: &Component) -> Option<&str> {
    component.property("DTSTART").map(Property::line)
}

/// What tells one of several events of the same UID from the others.
fn line_text(component: &Component) -> String {
    ["DTSTART", "SUMMARY"].iter().filter_map(|name| component.property(name)).map(Property::line).collect()
}

fn short(text: &str) -> String {
    HEXLOWER.encode(Sha256::digest(text).get(..8).unwrap_or_default())
}

fn without(octets: &Bytes, components: &[&Component]) -> Bytes {
    let mut out = Vec::with_capacity(octets.len());
    let mut at = 0;
    for component in components {
        let span = component.span();
        out.extend_from_slice(octets.get(at..span.start).unwrap_or_default());
        at = span.end;
    }
    out.extend_from_slice(octets.get(at..).unwrap_or_default());
    out.into()
}

/// The object under another UID.
pub(super) fn with_uid(object: &Object, uid: &str) -> Option<Object> {
    let line = fold_line(&format!("UID:{}", ical::escape_text(uid)));
    let octets = object.octets();
    let (mut out, mut at) = (Vec::with_capacity(octets.len()), 0);
    for property in object.members().filter_map(|member| member.property("UID")) {
        let span = property.span();
        out.extend_from_slice(octets.get(at..span.start)?);
        out.extend_from_slice(&line);
        at = span.end;
    }
    out.extend_from_slice(octets.get(at..)?);
    Object::parse(out.into()).ok().filter(|object| object.uid() == uid)
}

const BEGIN: &[u8] = b"BEGIN:VCALENDAR";
const END: &[u8] = b"END:VCALENDAR";
/// So far into a file a calendar may begin.
const PREAMBLE: usize = 64 << 10;
const LINES: usize = 500;
const LONGEST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn event(uid: &str, rest: &str) -> String {
        format!("BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20250101T000000Z\r\n{rest}\r\nEND:VEVENT\r\n")
    }

    fn file(events: &str) -> String {
        format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//club//EN\r\n{events}END:VCALENDAR\r\n")
    }

    #[test]
    fn a_file_tells_of_itself() {
        let text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nX-WR-CALNAME:Old\\, name\r\nNAME:The\r\n  club\r\nX-WR-CALDESC:All games\r\n\
            REFRESH-INTERVAL;VALUE=DURATION:P1D\r\nX-PUBLISHED-TTL:PT5M\r\nX-APPLE-CALENDAR-COLOR:#FF0000\r\nCOLOR:red\r\n\
            BEGIN:VEVENT\r\nUID:1\r\nNAME:no\r\nDTSTART:20250101\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        let header = read(text.as_bytes()).unwrap().header;
        assert_eq!(header.name.as_deref(), Some("The club"));
        assert_eq!(header.description.as_deref(), Some("All games"));
        assert_eq!((header.color.as_deref(), header.refresh), (Some("#FF0000"), Some(86_400)));
        assert_eq!(header.kinds, ["VEVENT"]);
    }

    #[test]
    fn what_is_no_calendar_is_garbled_and_never_empty() {
        for body in ["", "<!DOCTYPE html><html>BEGIN:VCALENDAR", " \n<html>", "{\"error\":1}", "xBEGIN:VCALENDAR"] {
            assert!(matches!(read(body.as_bytes()), Err(Fault::Garbled(_))), "{body}");
        }
        let noisy = format!("Warning: something in line 3\n\n\u{feff}{}", "");
        assert!(read(noisy.as_bytes()).is_err());
        let noisy = format!("\u{feff}Warning: something\n{}", file(&event("1", "DTSTART:20250101")));
        assert_eq!(read(noisy.as_bytes()).unwrap().objects.len(), 1);
    }

    #[test]
    fn one_bad_event_costs_itself_and_a_cut_file_proves_nothing() {
        let good = event("1", "DTSTART:20250101");
        let text =
            file(&format!("{good}BEGIN:VEVENT\r\nthis is no line\r\nEND:VEVENT\r\n{}", event("2", "DTSTART:20250102")));
        let reading = read(text.as_bytes()).unwrap();
        assert_eq!((reading.objects.len(), reading.broken.len(), reading.whole), (2, 1, true));
        assert!(reading.broken[0].starts_with("line "), "{:?}", reading.broken);
        let cut = &text[..text.len() - 40];
        assert!(!read(cut.as_bytes()).unwrap().whole);
    }

    #[test]
    fn latin_1_is_read_and_utf_8_folded_inside_a_character_too() {
        let latin: Vec<u8> =
            file(&event("1", "DTSTART:20250101\r\nSUMMARY:M\u{fc}nchen")).chars().map(|c| c as u8).collect();
        let object = &read(&latin).unwrap().objects[0];
        assert!(object.as_text().contains("München"));
        let mut folded = file(&event("1", "DTSTART:20250101\r\nSUMMARY:München")).into_bytes();
        let at = folded.iter().position(|octet| *octet == 0xc3).unwrap() + 1;
        folded.splice(at..at, *b"\r\n ");
        let object = &read(&folded).unwrap().objects[0];
        assert_eq!(object.master().unwrap().property("SUMMARY").unwrap().text(), "München");
    }

    #[test]
    fn events_that_share_a_uid_come_apart_and_states_of_one_do_not() {
        let text = file(&format!(
            "{}{}",
            event("x", "DTSTART:20250101\r\nSUMMARY:a"),
            event("x", "DTSTART:20250102\r\nSUMMARY:b")
        ));
        let objects = read(text.as_bytes()).unwrap().objects;
        assert_eq!(objects.len(), 2);
        assert_ne!(objects[0].uid(), objects[1].uid());
        assert!(objects.iter().all(|object| object.members().count() == 1));
        let text = file(&format!(
            "{}{}",
            event("x", "DTSTART:20250101\r\nSUMMARY:a"),
            event("x", "DTSTART:20250101\r\nSUMMARY:b")
        ));
        let objects = read(text.as_bytes()).unwrap().objects;
        assert_eq!((objects.len(), objects[0].uid()), (1, "x"));
        assert!(objects[0].as_text().contains("SUMMARY:b"));
    }
}
