//! Files with many events: cut into one object per UID (RFC 4791 4.1) and put together again, for import, export,
//! feeds that we read and feeds that we give.
//!
//! Cutting works on lines and reads each component alone, so one broken event costs that event and not the file.
//! Invariant: the octets of a component pass through unchanged; a file that is one object already passes as a whole.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::component::{Component, Object, ParseError, ParseLimits, Property, is_member, parse_components};
use super::edit::{Line, PRODID, with_line_ends};
use super::text::{PhysicalLines, fold_line};

/// One object per UID, in the order of the file, each with the VTIMEZONEs it uses and without METHOD. What can't be
/// read comes as an error in its place; a file that was cut off ends with one. A component without UID gets one made
/// of its octets, so that it keeps it as long as it doesn't change. Unknown components at the top are left out.
pub fn split(octets: &[u8]) -> Vec<Result<Object, ParseError>> {
    let mut sorter = Sorter::new(octets);
    let mut reader = StreamReader { depth: 0, open: None, calendars: 0 };
    let mut logical: Option<(Range<usize>, u32)> = None;
    for line in PhysicalLines::new(octets) {
        let folded = octets.get(line.content.start).is_some_and(|octet| matches!(octet, b' ' | b'\t'));
        match &mut logical {
            _ if line.content.is_empty() => {}
            Some((range, _)) if folded => range.end = line.end,
            _ => {
                if let Some((range, number)) = logical.replace((line.content.start..line.end, line.number)) {
                    reader.take(&mut sorter, range, number);
                }
            }
        }
    }
    if let Some((range, number)) = logical {
        reader.take(&mut sorter, range, number);
    }
    if reader.calendars == 0 {
        return vec![Err(ParseError::new(1, "there is no VCALENDAR"))];
    }
    if reader.depth > 0 {
        let line = reader.open.map_or(1, |(_, number)| number);
        sorter.found.push(Found::Broken(ParseError::new(line, "the file is cut off: a component has no END")));
    }
    sorter.objects(reader.calendars == 1)
}

/// One VCALENDAR with `properties` and the members of all `objects`; each VTIMEZONE once, the first of its TZID.
pub fn join<'a>(objects: impl IntoIterator<Item = &'a Object>, properties: &[Line]) -> Bytes {
    let (mut zones, mut members, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for object in objects {
        for zone in object.timezones() {
            if seen.insert(zone.property("TZID").map(Property::text).unwrap_or_default()) {
                zones.extend(lines_of(object, zone));
            }
        }
        for member in object.members() {
            members.extend(lines_of(object, member));
        }
    }
    let mut out = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n".to_vec();
    if !properties.iter().any(|line| line.name().eq_ignore_ascii_case("PRODID")) {
        out.extend(fold_line(&format!("PRODID:{PRODID}")));
    }
    for line in properties {
        out.extend(fold_line(line.as_str()));
    }
    out.append(&mut zones);
    out.append(&mut members);
    out.extend_from_slice(END);
    Bytes::from(out)
}

fn lines_of(object: &Object, component: &Component) -> Vec<u8> {
    with_line_ends(object.octets().get(component.span()).unwrap_or_default(), b"\r\n")
}

/// Follows BEGIN and END only, so it can't be stopped by what stands between them.
struct StreamReader {
    depth: usize,
    /// Where the component right below VCALENDAR starts, and on which line.
    open: Option<(usize, u32)>,
    calendars: usize,
}

impl StreamReader {
    fn take(&mut self, sorter: &mut Sorter<'_>, range: Range<usize>, number: u32) {
        match (marker(sorter.octets.get(range.clone()).unwrap_or_default()), self.depth) {
            (Marker::Begin(name), 0) if name == "VCALENDAR" => {
                self.depth = 1;
                self.calendars += 1;
                sorter.calendar();
            }
            (_, 0) => {}
            (Marker::Begin(_), depth) => {
                if depth == 1 {
                    self.open = Some((range.start, number));
                }
                self.depth += 1;
            }
            (Marker::End, depth) => {
                self.depth -= 1;
                if let (2, Some((start, number))) = (depth, self.open) {
                    self.open = None;
                    sorter.component(start..range.end, number);
                }
            }
            (Marker::Neither, 1) => sorter.property(range),
            (Marker::Neither, _) => {}
        }
    }
}

enum Marker {
    Begin(String),
    End,
    Neither,
}

/// Reads a logical line only as far as it takes to know.
fn marker(octets: &[u8]) -> Marker {
    if !octets.first().is_some_and(|octet| matches!(octet, b'B' | b'b' | b'E' | b'e')) || octets.len() > LONGEST_MARKER
    {
        return Marker::Neither;
    }
    let mut line = String::new();
    for (at, physical) in PhysicalLines::new(octets).enumerate() {
        let content = octets.get(physical.content).unwrap_or_default();
        let content = content.get(usize::from(at > 0)..).unwrap_or_default();
        line.push_str(&String::from_utf8_lossy(content));
    }
    let (name, value) = line.split_once(':').unwrap_or_default();
    match name.split(';').next().unwrap_or_default().to_ascii_uppercase().as_str() {
        "BEGIN" => Marker::Begin(value.trim().to_ascii_uppercase()),
        "END" => Marker::End,
        _ => Marker::Neither,
    }
}

/// Collects what belongs together.
struct Sorter<'a> {
    octets: &'a [u8],
    /// The lines that every object of the present VCALENDAR gets.
    header: Vec<Range<usize>>,
    found: Vec<Found>,
    by_uid: HashMap<String, usize>,
    zones: HashMap<String, Range<usize>>,
    has_method: bool,
}

enum Found {
    Group(Group),
    Broken(ParseError),
}

struct Group {
    header: Vec<Range<usize>>,
    members: Vec<Vec<u8>>,
    zones: BTreeSet<String>,
}

impl<'a> Sorter<'a> {
    fn new(octets: &'a [u8]) -> Self {
        Self {
            octets,
            header: Vec::new(),
            found: Vec::new(),
            by_uid: HashMap::new(),
            zones: HashMap::new(),
            has_method: false,
        }
    }

    fn slice(&self, range: &Range<usize>) -> &'a [u8] {
        self.octets.get(range.clone()).unwrap_or_default()
    }

    fn calendar(&mut self) {
        self.header.clear();
    }

    /// Only what an object needs: a feed's name or time stamp would make every object new whenever it changes.
    fn property(&mut self, range: Range<usize>) {
        let line = self.slice(&range);
        let length = line.iter().position(|octet| matches!(octet, b':' | b';')).unwrap_or_default();
        let name = line.get(..length).unwrap_or_default();
        self.has_method |= name.eq_ignore_ascii_case(b"METHOD");
        let known: [&[u8]; 3] = [b"VERSION", b"PRODID", b"CALSCALE"];
        if known.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            self.header.push(range);
        }
    }

    fn component(&mut self, range: Range<usize>, number: u32) {
        let parsed = parse_components(self.slice(&range), &ParseLimits::OBJECT);
        let component = match parsed.map(|components| components.into_iter().next()) {
            Ok(Some(component)) => component,
            Ok(None) => return,
            Err(error) => {
                let line = error.line.saturating_add(number).saturating_sub(1);
                self.found.push(Found::Broken(ParseError::new(line, error.what)));
                return;
            }
        };
        if component.is("VTIMEZONE") {
            let tzid = component.property("TZID").map(Property::text).unwrap_or_default();
            self.zones.entry(tzid).or_insert(range);
        } else if is_member(&component) {
            self.member(&component, &range);
        }
    }

    fn member(&mut self, component: &Component, range: &Range<usize>) {
        let octets = self.slice(range);
        let uid = component.property("UID").map(Property::text).filter(|uid| !uid.is_empty());
        let (uid, octets) = uid.map_or_else(|| with_uid(component, octets), |uid| (uid, octets.to_vec()));
        let at = *self.by_uid.entry(uid).or_insert_with(|| {
            let (header, members, zones) = (self.header.clone(), Vec::new(), BTreeSet::new());
            self.found.push(Found::Group(Group { header, members, zones }));
            self.found.len() - 1
        });
        if let Some(Found::Group(group)) = self.found.get_mut(at) {
            collect_zones(component, &mut group.zones);
            if !group.members.contains(&octets) {
                group.members.push(octets);
            }
        }
    }

    fn objects(self, is_one_calendar: bool) -> Vec<Result<Object, ParseError>> {
        if let ([Found::Group(_)], true, false) = (self.found.as_slice(), is_one_calendar, self.has_method)
            && let Ok(object) = Object::parse(Bytes::copy_from_slice(self.octets))
            && !object.uid().is_empty()
        {
            return vec![Ok(object)];
        }
        let object = |found: &Found| match found {
            Found::Group(group) => self.object(group),
            Found::Broken(error) => Err(error.clone()),
        };
        self.found.iter().map(object).collect()
    }

    fn object(&self, group: &Group) -> Result<Object, ParseError> {
        let mut out = b"BEGIN:VCALENDAR\r\n".to_vec();
        let mut add = |octets: &[u8]| {
            out.extend_from_slice(octets);
            if !octets.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        };
        let has = |name: &[u8]| {
            let mut lines = group.header.iter().map(|range| self.slice(range));
            lines.any(|line| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
        };
        if !has(b"VERSION") {
            add(b"VERSION:2.0");
        }
        if !has(b"PRODID") {
            add(format!("PRODID:{PRODID}").as_bytes());
        }
        group.header.iter().for_each(|range| add(self.slice(range)));
        for zone in group.zones.iter().filter_map(|tzid| self.zones.get(tzid)) {
            add(self.slice(zone));
        }
        group.members.iter().for_each(|member| add(member));
        out.extend_from_slice(END);
        Object::parse(Bytes::from(out))
    }
}

/// The component with a UID made of its octets.
fn with_uid(component: &Component, octets: &[u8]) -> (String, Vec<u8>) {
    let digest = HEXLOWER.encode(&Sha256::digest(octets));
    let uid = digest.get(..32).unwrap_or_default().to_owned();
    let after_begin = PhysicalLines::new(octets).next().map_or(0, |line| line.end);
    let place = component.properties().first().map_or(after_begin, |property| property.span().start);
    let (head, tail) = octets.split_at_checked(place).unwrap_or((octets, &[]));
    (uid.clone(), [head, &fold_line(&format!("UID:{uid}")), tail].concat())
}

/// The TZIDs that a component names. Depth is bounded by the reader's limits.
pub(super) fn collect_zones(component: &Component, zones: &mut BTreeSet<String>) {
    let named = component.properties().iter().filter_map(|property| property.param("TZID"));
    zones.extend(named.map(std::borrow::Cow::into_owned));
    component.children().iter().for_each(|child| collect_zones(child, zones));
}

const END: &[u8] = b"END:VCALENDAR\r\n";
/// No name of a component is longer than this, folded or not.
const LONGEST_MARKER: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ical::Limits;

    const FEED: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//X//EN\r\nMETHOD:PUBLISH\r\nX-WR-CALNAME:Feed\r\n\
        BEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\nEND:VTIMEZONE\r\nBEGIN:VTIMEZONE\r\nTZID:Other\r\nEND:VTIMEZONE\r\n\
        BEGIN:VEVENT\r\nUID:a\r\nDTSTART;TZID=Europe/Berlin:20250101T090000\r\nRRULE:FREQ=DAILY\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nUID:b\r\nthis isn't a line\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nUI\r\n D:a\r\nRECURRENCE-ID:20250102T080000Z\r\nDTSTART:20250102T100000Z\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nDTSTART:20250102T100000Z\r\nSUMMARY:no uid\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

    #[test]
    fn a_feed_becomes_one_object_per_uid_and_one_bad_event_costs_itself() {
        let found = split(FEED.as_bytes());
        assert_eq!(found.len(), 3);
        let first = found[0].as_ref().unwrap();
        assert_eq!((first.uid(), first.members().count(), first.timezones().count()), ("a", 2, 1));
        assert_eq!(first.check_resource(&Limits::default()), Ok(()));
        assert!(first.root().property("X-WR-CALNAME").is_none());
        assert_eq!(found[1].as_ref().unwrap_err().line, 19);
        let last = found[2].as_ref().unwrap();
        assert_eq!(last.uid().len(), 32);
        assert_eq!(last.check_resource(&Limits::default()), Ok(()));
        assert_eq!(split(FEED.as_bytes())[2].as_ref().unwrap().octets(), last.octets(), "the made UID stays");
    }

    #[test]
    fn several_calendars_in_a_row_and_a_lone_object() {
        let one =
            "BEGIN:VCALENDAR\nVERSION:2.0\nX-A:1\nBEGIN:VEVENT\nUID:1\nDTSTART:20250101\nEND:VEVENT\nEND:VCALENDAR";
        let alone = split(one.as_bytes());
        assert_eq!(alone.len(), 1);
        assert_eq!(alone[0].as_ref().unwrap().octets(), one.as_bytes(), "octets unchanged");
        let two = format!("{one}\r\n{}", one.replace("UID:1", "UID:2"));
        let uids: Vec<String> = split(two.as_bytes()).into_iter().map(|o| o.unwrap().uid().to_owned()).collect();
        assert_eq!(uids, ["1", "2"]);
        let doubled = split(format!("{one}\n{one}\n").as_bytes());
        assert_eq!(doubled.len(), 1);
        assert_eq!(doubled[0].as_ref().unwrap().members().count(), 1, "the same event twice is one");
    }

    #[test]
    fn a_file_that_is_cut_off_says_so() {
        let at = FEED.find("SUMMARY:no uid").unwrap();
        let found = split(&FEED.as_bytes()[..at]);
        assert!(found.last().unwrap().is_err());
        let without_end = FEED.strip_suffix("END:VCALENDAR\r\n").unwrap();
        assert!(split(without_end.as_bytes()).last().unwrap().is_err());
        for nothing in ["", "<html></html>", "BEGIN:VCARD\r\nEND:VCARD\r\n"] {
            assert!(matches!(split(nothing.as_bytes()).as_slice(), [Err(_)]), "{nothing}");
        }
    }

    #[test]
    fn joined_objects_split_into_the_same_ones() {
        let objects: Vec<Object> = split(FEED.as_bytes()).into_iter().flatten().collect();
        let joined = join(&objects, &[Line::new("X-WR-CALNAME").text("All, of it")]);
        let again: Vec<Object> = split(&joined).into_iter().map(Result::unwrap).collect();
        assert_eq!(again.len(), objects.len());
        for (a, b) in again.iter().zip(&objects) {
            assert_eq!(a.uid(), b.uid());
            assert!(crate::ical::same_meaning(a, b));
        }
        assert_eq!(Object::parse(joined).unwrap().timezones().count(), 1);
    }
}
