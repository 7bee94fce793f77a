//! What Google has no member for, kept in the private extended properties of the event.
//!
//! Keys of more than 44 characters are dropped there and values of more than 1,024 cut, without a word, so the text goes in
//! chunks with their number, a checksum, and the id of the event that it belongs to: a copy that another tool has made
//! carries our properties along and is no such event. What is not whole counts as lost; the gateway's own copy fills in.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Mapped, string};
use crate::ical::Line;

/// What was read of a stash.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    lines: Vec<String>,
}

/// The UID that an event bears here, if its stash says so.
pub(super) fn uid(event: &Value) -> Option<String> {
    read(event).value("uid").map(str::to_owned)
}

/// The stash of an event; empty when there is none, or it is not whole, or is another event's.
pub(super) fn read(event: &Value) -> Kept {
    let text = whole(event).unwrap_or_default();
    Kept { lines: text.lines().map(str::to_owned).collect() }
}

fn whole(event: &Value) -> Option<String> {
    let kept = event.pointer("/extendedProperties/private")?;
    let of = string(kept, "gwIcalId")?;
    if string(event, "id") != Some(of) && string(event, "recurringEventId") != Some(of) {
        return None;
    }
    let count: usize = string(kept, "gwIcalN")?.parse().ok().filter(|count| *count <= MOST_CHUNKS)?;
    let mut text = String::new();
    for number in 0..count {
        text.push_str(string(kept, &format!("gwIcal{number}"))?);
    }
    (string(kept, "gwIcalSum")? == checksum(&text)).then_some(text)
}

/// The members that hold a stash: chunks, their number, the sum and the id. What is too much stays out altogether.
pub(super) fn write(mapped: &Mapped, id: &str, uid: Option<&str>) -> Map<String, Value> {
    let mut lines = mapped.stash.clone();
    lines.extend(uid.map(|uid| format!("!uid:{uid}")));
    lines.sort_unstable();
    let mut text = lines.join("\n");
    if text.len() > MOST_CHUNKS * CHUNK {
        // All but the flags, without which the event would mean something else.
        lines.retain(|line| line.starts_with('!') && line.len() < CHUNK);
        text = lines.join("\n");
    }
    let mut members = Map::new();
    if text.is_empty() {
        return members;
    }
    let chunks = chunks(&text);
    members.insert("gwIcalId".to_owned(), json!(id));
    members.insert("gwIcalN".to_owned(), json!(chunks.len().to_string()));
    members.insert("gwIcalSum".to_owned(), json!(checksum(&text)));
    for (number, chunk) in chunks.into_iter().enumerate() {
        members.insert(format!("gwIcal{number}"), json!(chunk));
    }
    members
}

/// Pieces of at most [`CHUNK`] octets, cut between characters.
fn chunks(text: &str) -> Vec<&str> {
    let (mut chunks, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let mut end = rest.len().min(CHUNK);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (chunk, after) = rest.split_at(end);
        chunks.push(chunk);
        rest = after;
    }
    chunks
}

fn checksum(text: &str) -> String {
    let sum = data_encoding::HEXLOWER.encode(&Sha256::digest(text));
    sum.get(..16).unwrap_or(&sum).to_owned()
}

impl Kept {
    /// Whether a flag stands in it.
    pub(super) fn has_flag(&self, name: &str) -> bool {
        self.lines.iter().any(|line| line.strip_prefix('!') == Some(name))
    }

    /// The value of a flag.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix('!')?.strip_prefix(name)?.strip_prefix(':'))
    }

    /// All values of a flag.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter_map(move |line| line.strip_prefix('!')?.strip_prefix(name)?.strip_prefix(':'))
    }

    /// Whether a whole property of this name is kept.
    pub(super) fn has_property(&self, name: &str) -> bool {
        self.lines.iter().any(|line| line.split([';', ':']).next().is_some_and(|own| own.eq_ignore_ascii_case(name)))
    }

    /// The lines that are whole properties.
    pub(super) fn plain(&self) -> impl Iterator<Item = Line> {
        self.lines.iter().filter(|line| !line.starts_with('!')).filter_map(|line| parse(line))
    }

    /// `line` with the parameters that the property of this name had, other than those with a member.
    pub(super) fn with_params(&self, name: &str, line: Line) -> Line {
        let kept = self.values("params").find(|kept| kept.split([';', ':']).next() == Some(name));
        kept.and_then(property).map_or(line.clone(), |property| {
            property
                .property(name)
                .into_iter()
                .flat_map(|p| p.params().collect::<Vec<_>>())
                .fold(line, |line, param| line.param(param.name(), &param.first()))
        })
    }
}

/// A content line as a line to be written.
fn parse(line: &str) -> Option<Line> {
    let holder = property(line)?;
    holder.properties().first().map(Line::copy)
}

/// A component with this one line in it.
pub(super) fn property(line: &str) -> Option<crate::ical::Component> {
    component(&format!("BEGIN:X-HOLDER\r\n{line}\r\nEND:X-HOLDER\r\n"))
}

/// The component that a text is.
pub(super) fn component(text: &str) -> Option<crate::ical::Component> {
    let text = format!("BEGIN:VCALENDAR\r\n{text}END:VCALENDAR\r\n");
    let object = crate::ical::Object::parse(text.into()).ok()?;
    object.root().children().first().cloned()
}

/// Values of 1,024 characters are cut; octets are counted, to be sure.
const CHUNK: usize = 1_000;
/// Of the 32 kB that all properties may have.
const MOST_CHUNKS: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn event(private: &Map<String, Value>) -> Value {
        json!({ "id": "e1", "extendedProperties": { "private": private } })
    }

    /// Fault catalogue 37: a value that was cut, a key that was dropped, and another event's stash are no stash.
    #[test]
    fn a_stash_is_whole_or_none() {
        let lines: Vec<String> = (0..9).map(|n| format!("X-{n}:{}", "é".repeat(200))).collect();
        let mapped = Mapped { stash: lines.clone(), ..Mapped::default() };
        let members = write(&mapped, "e1", Some("u@x"));
        assert!(
            members.len() > 5
                && members.iter().all(|(key, value)| { key.len() <= 44 && value.as_str().unwrap().len() <= 1_000 })
        );
        let kept = read(&event(&members));
        assert_eq!((kept.plain().count(), kept.value("uid")), (9, Some("u@x")));
        let mut cut = members.clone();
        cut.insert("gwIcal1".to_owned(), json!("short"));
        let mut dropped = members.clone();
        dropped.remove("gwIcal0");
        let mut other = members.clone();
        other.insert("gwIcalId".to_owned(), json!("e2"));
        for bad in [cut, dropped, other] {
            assert_eq!(read(&event(&bad)).plain().count(), 0);
        }
        let huge = Mapped { stash: vec![format!("X:{}", "a".repeat(40_000))], ..Mapped::default() };
        let kept = read(&event(&write(&huge, "e1", Some("u@x"))));
        assert_eq!((kept.plain().count(), kept.value("uid")), (0, Some("u@x")));
    }
}
