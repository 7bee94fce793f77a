//! Time zones of times in iCalendar (RFC 5545 3.2.19, 3.3.5, 3.6.5): from a TZID to the rules.
//!
//! A TZID is read as an IANA name (jiff's bundled data), as a path that ends in one (`/mozilla.org/../Europe/Berlin`), by the
//! VTIMEZONE's X-LIC-LOCATION, or as a Windows name; the VTIMEZONE's own rules hold where no name is known or where they say
//! otherwise. Local times that are skipped take the offset before the gap, those that come twice are the first.
//! Never asks the host for its zone or its zone data.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use jiff::civil::{DateTime, date};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, ToSpan as _};
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::component::{Component, Object, Property};
use super::instances::Budget;
use super::recur::{Anchor, Flow, expand};
use super::repeat::Rule;
use super::value::{DateOrTime, UtcOffset};
use super::windows_zones;

/// The rules that turn a clock on the wall into an instant.
#[derive(Clone, Debug)]
pub enum Zone {
    Iana(TimeZone),
    Custom(Arc<CustomZone>),
    Fixed(Offset),
    /// Nobody said where; reckoned as UTC.
    Floating,
}

impl Zone {
    pub const UTC: Self = Self::Fixed(Offset::UTC);

    /// The zone of an IANA name, in any case of letters.
    pub fn iana(name: &str) -> Option<Self> {
        // jiff knows "Unknown" as a zone of its own; nobody means that.
        if name.is_empty() || name.eq_ignore_ascii_case("Etc/Unknown") {
            return None;
        }
        database().get(name).ok().map(Self::Iana)
    }

    /// The zone that a TZID means, with the VTIMEZONE of the same object if there is one.
    pub fn resolve(tzid: &str, definition: Option<&Component>) -> Option<Self> {
        // Clients send the same few definitions for ever, and reading one is work.
        static KNOWN: OnceLock<Cache<[u8; 32], Option<Zone>>> = OnceLock::new();
        let tzid = tzid.trim();
        let Some(definition) = definition else { return by_name(tzid) };
        let known = KNOWN.get_or_init(|| Cache::new(256));
        let key = fingerprint(tzid, definition);
        if let Some(zone) = known.get(&key) {
            return zone;
        }
        let zone = Self::work_out(tzid, definition);
        known.insert(key, zone.clone());
        zone
    }

    fn work_out(tzid: &str, definition: &Component) -> Option<Self> {
        let location = definition.property("X-LIC-LOCATION").map(Property::text);
        let named = by_name(tzid).or_else(|| location.as_deref().and_then(by_name));
        match (named, CustomZone::work_out(definition).map(Arc::new)) {
            (Some(named), Some(own)) if !own.agrees_with(&named) => Some(Self::Custom(own)),
            (Some(named), _) => Some(named),
            (None, Some(own)) => Some(Self::Custom(own)),
            (None, None) => None,
        }
    }

    /// By RFC 5545 3.3.5: the offset before a gap, the first of two.
    pub fn to_instant(&self, local: DateTime) -> Timestamp {
        let found = match self {
            Self::Iana(zone) => zone.to_ambiguous_timestamp(local).compatible().ok(),
            Self::Custom(zone) => zone.offset_at_local(local).to_timestamp(local).ok(),
            Self::Fixed(offset) => offset.to_timestamp(local).ok(),
            Self::Floating => Offset::UTC.to_timestamp(local).ok(),
        };
        found.unwrap_or(if local.year() < 0 { Timestamp::MIN } else { Timestamp::MAX })
    }

    /// What the clock shows.
    pub fn to_civil(&self, instant: Timestamp) -> DateTime {
        match self {
            Self::Iana(zone) => zone.to_datetime(instant),
            Self::Custom(zone) => zone.offset_at(instant).to_datetime(instant),
            Self::Fixed(offset) => offset.to_datetime(instant),
            Self::Floating => Offset::UTC.to_datetime(instant),
        }
    }

    /// The IANA name, if it has one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Iana(zone) => zone.iana_name(),
            Self::Fixed(offset) if *offset == Offset::UTC => Some("UTC"),
            _ => None,
        }
    }
}

/// The zones that an object's TZIDs mean.
#[derive(Clone, Debug, Default)]
pub struct Zones {
    by_tzid: BTreeMap<String, Zone>,
}

impl Zones {
    /// Reads the VTIMEZONEs, and the TZIDs that the members' times name.
    pub fn of(object: &Object) -> Self {
        let mut zones = Self::default();
        let timed =
            object.members().flat_map(Component::properties).filter(|line| TIMED.iter().any(|name| line.is(name)));
        for tzid in timed.filter_map(|line| line.param("TZID")) {
            if !zones.by_tzid.contains_key(tzid.as_ref()) {
                let is_it =
                    |zone: &&Component| zone.property("TZID").is_some_and(|line| line.text().trim() == tzid.trim());
                if let Some(zone) = Zone::resolve(&tzid, object.timezones().find(is_it)) {
                    zones.by_tzid.insert(tzid.into_owned(), zone);
                }
            }
        }
        zones
    }

    /// The zone of a TZID that the object uses; `None` if nobody knows it.
    pub fn get(&self, tzid: &str) -> Option<&Zone> {
        self.by_tzid.get(tzid)
    }
}

/// The data that jiff ships: the host's may be years old.
fn database() -> &'static TimeZoneDatabase {
    static BUNDLED: OnceLock<TimeZoneDatabase> = OnceLock::new();
    BUNDLED.get_or_init(TimeZoneDatabase::bundled)
}

fn by_name(tzid: &str) -> Option<Zone> {
    let tzid = tzid.trim();
    let suffix = || {
        // `/citadel.org/20210210_1/Europe/Berlin`, `/freeassociation.sourceforge.net/America/Indiana/Knox`
        let parts: Vec<&str> = tzid.split('/').filter(|part| !part.is_empty()).collect();
        (1..parts.len()).find_map(|from| parts.get(from..).and_then(|rest| Zone::iana(&rest.join("/"))))
    };
    Zone::iana(tzid)
        .or_else(|| if tzid.contains('/') { suffix() } else { None })
        .or_else(|| windows_zones::iana_name(tzid).and_then(Zone::iana))
}

/// The rules of a VTIMEZONE, worked out up to 2100.
#[derive(Debug, PartialEq, Eq)]
pub struct CustomZone {
    /// Before the first onset.
    first: Offset,
    /// By instant.
    onsets: Vec<Onset>,
    /// The year of the newest rule: from here on it may be compared with others.
    since: i16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Onset {
    at: Timestamp,
    offset: Offset,
}

impl CustomZone {
    /// `None` if there is no observance that can be read.
    fn work_out(definition: &Component) -> Option<Self> {
        let mut budget = Budget::new(BUDGET, BUDGET);
        let mut onsets = Vec::new();
        let mut first: Option<(Timestamp, Offset)> = None;
        let mut since = FROM.year();
        let observances = definition.children().iter().filter(|child| child.is("STANDARD") || child.is("DAYLIGHT"));
        for observance in observances.take(OBSERVANCES) {
            let Some(found) = Observance::read(observance) else { continue };
            since = since.max(found.start.year());
            let before = onsets.len();
            found.lay_out(observance, &mut budget, &mut onsets);
            let start = onsets.get(before).map(|onset: &Onset| onset.at);
            first = start.map(|at| (at, found.from)).into_iter().chain(first).min_by_key(|(at, _)| *at);
        }
        onsets.sort_unstable();
        onsets.dedup_by_key(|onset| onset.at);
        Some(Self { first: first?.1, onsets, since })
    }

    fn offset_at(&self, instant: Timestamp) -> Offset {
        let instant = Self::folded(instant);
        let after = self.onsets.partition_point(|onset| onset.at <= instant);
        self.offset_before(after)
    }

    fn offset_at_local(&self, local: DateTime) -> Offset {
        // Beyond the rules that were laid out the year is exchanged for one that is like it.
        let local = match i64::from(local.year() - LAST_YEAR) {
            beyond if beyond > 0 => local.saturating_sub((CYCLE_DAYS * (beyond / CYCLE_YEARS + 1)).days()),
            _ => local,
        };
        // A new offset holds from where the clock shows a time that it never showed before: after the gap, after the fold.
        let mut place =
            self.onsets.partition_point(|onset| Offset::UTC.to_datetime(onset.at) <= local.saturating_add(1.day()));
        while let Some(onset) = place.checked_sub(1).and_then(|last| self.onsets.get(last)) {
            let higher = onset.offset.max(self.offset_before(place - 1));
            if local >= higher.to_datetime(onset.at) {
                break;
            }
            place -= 1;
        }
        self.offset_before(place)
    }

    /// The offset before the onset of this number.
    fn offset_before(&self, place: usize) -> Offset {
        place.checked_sub(1).and_then(|last| self.onsets.get(last)).map_or(self.first, |onset| onset.offset)
    }

    fn folded(instant: Timestamp) -> Timestamp {
        let beyond = i64::from(Offset::UTC.to_datetime(instant).year() - LAST_YEAR);
        if beyond <= 0 {
            return instant;
        }
        let days = CYCLE_DAYS * (beyond / CYCLE_YEARS + 1);
        instant.saturating_sub(SignedDuration::from_hours(days * 24)).unwrap_or(instant)
    }

    /// Whether it shows the same time as `other` in two years for which it was surely made, a wrong day at a change aside.
    fn agrees_with(&self, other: &Zone) -> bool {
        let start = date(self.since.max(COMPARED_FROM), 1, 15).at(12, 0, 0, 0);
        let same = |month: i64| {
            let instant = Zone::UTC.to_instant(start.saturating_add(month.months()));
            self.offset_at(instant).to_datetime(instant) == other.to_civil(instant)
        };
        (0..24).filter(|month| !same(*month)).count() <= 2
    }
}

/// One STANDARD or DAYLIGHT.
struct Observance {
    start: DateTime,
    from: Offset,
    to: Offset,
}

impl Observance {
    fn read(component: &Component) -> Option<Self> {
        let offset = |name: &str| {
            let offset = UtcOffset::parse(component.property(name)?.value()).ok()?;
            Offset::from_seconds(offset.seconds()).ok()
        };
        let start = DateOrTime::parse(component.property("DTSTART")?).ok()?.civil();
        Some(Self { start, from: offset("TZOFFSETFROM")?, to: offset("TZOFFSETTO")? })
    }

    /// Its onsets from DTSTART, RDATE and RRULE. What costs too much is left out.
    fn lay_out(&self, component: &Component, budget: &mut Budget, onsets: &mut Vec<Onset>) {
        let zone = Zone::Fixed(self.from);
        let onset = |local: DateTime| Onset { at: zone.to_instant(local), offset: self.to };
        onsets.push(onset(self.start));
        for line in component.all("RDATE") {
            let dates = DateOrTime::parse_all(line).unwrap_or_default();
            onsets.extend(dates.iter().take(ONSETS).map(|date| onset(date.civil())));
        }
        let anchor = Anchor { local: self.start, zone: &zone, all_day: false };
        let within = (Zone::UTC.to_instant(FROM), Zone::UTC.to_instant(date(LAST_YEAR + 1, 1, 1).at(0, 0, 0, 0)));
        let rules = component.all("RRULE").filter_map(|line| Rule::parse(line.value()).ok());
        for rule in rules.take(2) {
            let laid_out = expand(&rule, &anchor, within, budget, &mut |beat, _| {
                onsets.push(Onset { at: beat.instant, offset: self.to });
                Ok(if onsets.len() < ONSETS { Flow::Continue(()) } else { Flow::Break(()) })
            });
            if laid_out.is_err() {
                return;
            }
        }
    }
}

fn fingerprint(tzid: &str, component: &Component) -> [u8; 32] {
    fn add(component: &Component, hash: &mut Sha256) {
        hash.update(component.name());
        for line in component.properties() {
            hash.update(line.line());
            hash.update([0]);
        }
        for child in component.children() {
            hash.update([1]);
            add(child, hash);
        }
        hash.update([2]);
    }
    let mut hash = Sha256::new();
    hash.update(tzid);
    hash.update([0]);
    add(component, &mut hash);
    hash.finalize().into()
}

/// The properties whose TZID matters.
const TIMED: [&str; 8] = ["DTSTART", "DTEND", "DUE", "RECURRENCE-ID", "EXDATE", "RDATE", "COMPLETED", "CREATED"];
/// Outlook's rules begin in 1601.
const FROM: DateTime = date(1900, 1, 1).at(0, 0, 0, 0);
const LAST_YEAR: i16 = 2099;
/// Dates fall on the same days of the week again after 28 years, from 1901 to 2099.
const CYCLE_YEARS: i64 = 28;
const CYCLE_DAYS: i64 = 10_227;
const COMPARED_FROM: i16 = 2020;
const OBSERVANCES: usize = 200;
const ONSETS: usize = 4_000;
const BUDGET: u64 = 150_000;

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "BEGIN:STANDARD\nDTSTART:16010101T030000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\nEND:STANDARD\nBEGIN:DAYLIGHT\nDTSTART:16010101T020000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\nEND:DAYLIGHT\n";

    fn resolve(tzid: &str, definition: &str) -> Option<Zone> {
        let text = format!("BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nTZID:{tzid}\n{definition}END:VTIMEZONE\nEND:VCALENDAR\n");
        let object = Object::parse(text.into()).unwrap();
        Zone::resolve(tzid, object.timezones().next())
    }

    #[test]
    fn names_of_all_kinds() {
        let cases = [
            ("Europe/Berlin", "", Some("Europe/Berlin")),
            ("europe/berlin", "", Some("Europe/Berlin")),
            ("W. Europe Standard Time", "", Some("Europe/Berlin")),
            ("/mozilla.org/20050126_1/America/Indiana/Knox", "", Some("America/Indiana/Knox")),
            ("My zone", "X-LIC-LOCATION:Asia/Tokyo\n", Some("Asia/Tokyo")),
            ("Europe/Berlin", OWN, Some("Europe/Berlin")),
            ("W. Europe Standard Time", OWN, Some("Europe/Berlin")),
            ("America/New_York", OWN, None),
            ("Customized Time Zone", OWN, None),
        ];
        for (tzid, definition, expected) in cases {
            assert_eq!(resolve(tzid, definition).unwrap().name(), expected, "{tzid}");
        }
        assert!(resolve("Nowhere", "").is_none());
    }

    #[test]
    fn own_rules_agree_with_the_zone_they_describe_in_gaps_and_folds_too() {
        let (own, berlin) = (resolve("Own", OWN).unwrap(), Zone::iana("Europe/Berlin").unwrap());
        assert!(matches!(own, Zone::Custom(_)));
        let mut local = date(2026, 1, 1).at(0, 30, 0, 0);
        while local.year() < 2027 {
            assert_eq!(own.to_instant(local), berlin.to_instant(local), "{local}");
            let instant = berlin.to_instant(local);
            assert_eq!(own.to_civil(instant), berlin.to_civil(instant), "{local}");
            local = local.saturating_add(1.hour());
        }
        let far = date(2187, 7, 1).at(12, 0, 0, 0);
        assert_eq!(own.to_civil(own.to_instant(far)), far);
        assert_eq!(own.to_instant(far), Zone::UTC.to_instant(far.saturating_sub(2.hours())));
    }

    #[test]
    fn gaps_take_the_offset_before_and_folds_the_first() {
        let cases = [
            ("Europe/Berlin", date(2026, 3, 29).at(2, 30, 0, 0), "2026-03-29T01:30:00Z"),
            ("Europe/Berlin", date(2026, 10, 25).at(2, 30, 0, 0), "2026-10-25T00:30:00Z"),
            ("America/New_York", date(2026, 3, 8).at(2, 30, 0, 0), "2026-03-08T07:30:00Z"),
            ("America/New_York", date(2026, 11, 1).at(1, 30, 0, 0), "2026-11-01T05:30:00Z"),
        ];
        for (name, local, expected) in cases {
            assert_eq!(Zone::iana(name).unwrap().to_instant(local).to_string(), expected, "{name}");
        }
    }

    #[test]
    fn rules_with_an_end_dates_and_floods() {
        let dated = "BEGIN:STANDARD\nDTSTART:20200101T000000\nTZOFFSETFROM:+0000\nTZOFFSETTO:+0500\nRDATE:20220101T000000\nEND:STANDARD\nBEGIN:DAYLIGHT\nDTSTART:20210101T000000\nTZOFFSETFROM:+0500\nTZOFFSETTO:+0600\nRRULE:FREQ=YEARLY;UNTIL=20201231T190000Z\nEND:DAYLIGHT\n";
        let zone = resolve("Own", dated).unwrap();
        let hour = |year| zone.to_civil(Zone::UTC.to_instant(date(year, 6, 1).at(0, 0, 0, 0))).hour();
        assert_eq!([hour(2019), hour(2020), hour(2021), hour(2022), hour(2023)], [0, 5, 6, 5, 5]);
        let flood = "BEGIN:STANDARD\nDTSTART:19000101T000000\nTZOFFSETFROM:+0000\nTZOFFSETTO:+0100\nRRULE:FREQ=SECONDLY\nEND:STANDARD\n";
        assert!(resolve("Flood", flood).is_some());
    }
}
