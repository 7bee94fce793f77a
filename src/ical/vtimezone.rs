//! A VTIMEZONE for a zone of the zone database (RFC 5545 3.6.5), for objects that were made here.
//!
//! It tells the offsets from 1990 on, as rules where there is a rule ("the last Sunday in October at 3 o'clock"), as
//! single onsets where there is none. What holds at the end of the data holds on.

use jiff::civil::{DateTime, Weekday, date};
use jiff::tz::Offset;

use super::edit::{Draft, Line};
use super::value::DateOrTime;
use super::zone::Zone;

/// The definition of `zone` under this TZID.
#[must_use]
pub fn as_vtimezone(tzid: &str, zone: &Zone) -> Draft {
    let start = Zone::UTC.to_instant(FROM);
    let first = offset_at(zone, start);
    let mut runs = vec![Run::begin(Onset { local: FROM, from: first, to: first, dst: false })];
    if let Zone::Iana(rules) = zone {
        let end = Zone::UTC.to_instant(TO);
        for change in rules.following(start).take_while(|change| change.timestamp() < end) {
            let from = offset_at(zone, change.timestamp() - jiff::SignedDuration::from_secs(1));
            let onset = Onset {
                local: from.to_datetime(change.timestamp()),
                from,
                to: change.offset(),
                dst: change.dst().is_dst(),
            };
            // A change of name alone changes no clock.
            if onset.from == onset.to {
                continue;
            }
            if !runs.iter_mut().any(|run| run.take(&onset)) {
                runs.push(Run::begin(onset));
            }
        }
    }
    let draft = Draft::new("VTIMEZONE").line(Line::new("TZID").text(tzid));
    runs.iter().map(Run::draft).fold(draft, Draft::child)
}

/// A change of the clocks, on the wall before it.
#[derive(Clone, Copy)]
struct Onset {
    local: DateTime,
    from: Offset,
    to: Offset,
    dst: bool,
}

/// Onsets that one rule yields, one in each year.
struct Run {
    first: Onset,
    last: Onset,
    /// Ordinals of the weekday in its month that fit all of them: counted from the front, from the end.
    ordinals: Vec<i8>,
}

impl Run {
    fn begin(onset: Onset) -> Self {
        Self { first: onset, last: onset, ordinals: ordinals(onset.local) }
    }

    /// Takes the onset up if it is what the rule yields next.
    fn take(&mut self, onset: &Onset) -> bool {
        let alike = |a: &Onset, b: &Onset| {
            (a.from, a.to, a.dst, a.local.month(), a.local.weekday(), a.local.time())
                == (b.from, b.to, b.dst, b.local.month(), b.local.weekday(), b.local.time())
        };
        let fits: Vec<i8> = ordinals(onset.local).into_iter().filter(|known| self.ordinals.contains(known)).collect();
        let is_next = onset.local.year() == self.last.local.year() + 1 && alike(&self.last, onset);
        if is_next && !fits.is_empty() {
            self.last = *onset;
            self.ordinals = fits;
        }
        is_next && self.last.local == onset.local
    }

    fn draft(&self) -> Draft {
        let name = if self.first.dst { "DAYLIGHT" } else { "STANDARD" };
        let draft = Draft::new(name)
            .line(Line::at("DTSTART", &DateOrTime::Floating(self.first.local)))
            .line(Line::new("TZOFFSETFROM").value(&offset_text(self.first.from)))
            .line(Line::new("TZOFFSETTO").value(&offset_text(self.first.to)));
        match self.rule() {
            Some(rule) => draft.line(Line::new("RRULE").value(&rule)),
            None => draft,
        }
    }

    fn rule(&self) -> Option<String> {
        if self.first.local == self.last.local {
            return None;
        }
        let (month, ordinal) = (self.first.local.month(), self.ordinals.last()?);
        let rule = format!("FREQ=YEARLY;BYMONTH={month};BYDAY={ordinal}{}", short(self.first.local.weekday()));
        if self.last.local.year() + 1 >= TO.year() {
            return Some(rule);
        }
        let until = self.last.from.to_timestamp(self.last.local).ok()?;
        Some(format!("{rule};UNTIL={}", DateOrTime::Utc(until)))
    }
}

fn ordinals(local: DateTime) -> Vec<i8> {
    let date = local.date();
    let mut fits = vec![(date.day() - 1) / 7 + 1];
    if date.day() + 7 > date.days_in_month() {
        fits.push(-1);
    }
    fits
}

fn offset_at(zone: &Zone, instant: jiff::Timestamp) -> Offset {
    let local = zone.to_civil(instant);
    let seconds = local.duration_since(Zone::UTC.to_civil(instant)).as_secs();
    Offset::from_seconds(i32::try_from(seconds).unwrap_or_default()).unwrap_or(Offset::UTC)
}

fn offset_text(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    let text = format!("{sign}{:02}{:02}", seconds / 3600, seconds / 60 % 60);
    if seconds % 60 == 0 { text } else { format!("{text}{:02}", seconds % 60) }
}

fn short(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "MO",
        Weekday::Tuesday => "TU",
        Weekday::Wednesday => "WE",
        Weekday::Thursday => "TH",
        Weekday::Friday => "FR",
        Weekday::Saturday => "SA",
        Weekday::Sunday => "SU",
    }
}

const FROM: DateTime = date(1990, 1, 1).at(0, 0, 0, 0);
const TO: DateTime = date(2038, 1, 1).at(0, 0, 0, 0);

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;
    use crate::ical::Object;

    /// The zone that a reader makes of the definition alone, without knowing the name.
    fn read(name: &str) -> (Zone, Zone, String) {
        let known = Zone::iana(name).unwrap();
        let draft = as_vtimezone("Own", &known);
        let octets = String::from_utf8(draft.octets()).unwrap();
        let object = Draft::calendar().child(draft).object().unwrap();
        let zone = Zone::resolve("Own", object.timezones().next()).unwrap();
        assert!(Object::parse(object.octets().clone()).is_ok());
        (known, zone, octets)
    }

    #[test]
    fn a_definition_says_what_the_zone_does() {
        for name in [
            "Europe/Berlin",
            "America/New_York",
            "Asia/Kolkata",
            "Australia/Lord_Howe",
            "America/Santiago",
            "Asia/Tehran",
            "Africa/Casablanca",
            "Pacific/Apia",
            "Europe/Moscow",
        ] {
            let (known, read, octets) = read(name);
            let mut instant = Zone::UTC.to_instant(date(1996, 1, 1).at(0, 30, 0, 0));
            let end = Zone::UTC.to_instant(date(2036, 1, 1).at(0, 0, 0, 0));
            while instant < end {
                assert_eq!(known.to_civil(instant), read.to_civil(instant), "{name} {instant}\n{octets}");
                instant += 31.hours();
            }
        }
    }

    #[test]
    fn a_rule_is_told_as_a_rule() {
        let (.., berlin) = read("Europe/Berlin");
        assert!(berlin.contains("RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\r\n"), "{berlin}");
        assert!(berlin.len() < 1_000, "{berlin}");
        let (.., kolkata) = read("Asia/Kolkata");
        assert!(!kolkata.contains("RRULE") && kolkata.contains("TZOFFSETTO:+0530"), "{kolkata}");
    }
}
