//! Values: DATE, DATE-TIME, DURATION, PERIOD, UTC-OFFSET (RFC 5545 3.3.4, 3.3.5, 3.3.6, 3.3.9, 3.3.14).
//!
//! Read by their shape, since clients leave VALUE out or write the wrong one. A leap second is read as the 59th.
//! Never looks up a zone: a local time with a TZID keeps its name.

use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, civil};

use super::component::Property;

/// A DATE, or one of the three forms of DATE-TIME.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DateOrTime {
    Date(Date),
    Floating(DateTime),
    Utc(Timestamp),
    Zoned { local: DateTime, tzid: String },
}

impl DateOrTime {
    /// The first value of a property.
    pub fn parse(property: &Property) -> Result<Self, ValueError> {
        let first = property.value().split(',').next().unwrap_or_default();
        Self::parse_value(first, property.param("TZID").as_deref())
    }

    /// All values of a property. Periods (RDATE) give their start.
    pub fn parse_all(property: &Property) -> Result<Vec<Self>, ValueError> {
        let tzid = property.param("TZID");
        let start = |value: &str| value.split('/').next().unwrap_or_default().to_owned();
        property.value().split(',').map(|value| Self::parse_value(&start(value), tzid.as_deref())).collect()
    }

    /// One value, with the TZID that its property names.
    pub fn parse_value(text: &str, tzid: Option<&str>) -> Result<Self, ValueError> {
        let text = text.trim();
        let Some((date, time)) = text.split_once(['T', 't']) else {
            return parse_date(text).map(Self::Date);
        };
        let (time, utc) = match time.strip_suffix(['Z', 'z']) {
            Some(time) => (time, true),
            None => (time, false),
        };
        let local = parse_date(date)?.to_datetime(parse_time(time)?);
        match tzid {
            _ if utc => {
                let instant = TimeZone::UTC.to_timestamp(local).map_err(|_| ValueError::Range)?;
                Ok(Self::Utc(instant))
            }
            Some(tzid) if !tzid.is_empty() => Ok(Self::Zoned { local, tzid: tzid.to_owned() }),
            _ => Ok(Self::Floating(local)),
        }
    }

    /// Whether it is a DATE.
    pub fn is_date(&self) -> bool {
        matches!(self, Self::Date(_))
    }

    /// What the calendar page and the clock on the wall show, in its own zone (in UTC for a UTC value).
    pub fn civil(&self) -> DateTime {
        match self {
            Self::Date(date) => date.to_datetime(civil::Time::midnight()),
            Self::Floating(local) | Self::Zoned { local, .. } => *local,
            Self::Utc(instant) => Offset::UTC.to_datetime(*instant),
        }
    }

    pub fn tzid(&self) -> Option<&str> {
        match self {
            Self::Zoned { tzid, .. } => Some(tzid),
            _ => None,
        }
    }
}

/// The value as it stands in a property; the TZID is the property's parameter and not shown.
impl fmt::Display for DateOrTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.civil();
        write!(f, "{:04}{:02}{:02}", at.year(), at.month(), at.day())?;
        if !self.is_date() {
            write!(f, "T{:02}{:02}{:02}", at.hour(), at.minute(), at.second())?;
        }
        if matches!(self, Self::Utc(_)) { f.write_str("Z") } else { Ok(()) }
    }
}

/// A DURATION: weeks and days are nominal (a day may have 23 hours), the rest is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Duration {
    pub negative: bool,
    pub weeks: u32,
    pub days: u32,
    pub hours: u32,
    pub minutes: u32,
    pub seconds: u32,
}

impl Duration {
    /// Reads `[+-]P..`. Empty ones, and fields out of order, are errors.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..)),
            Some(b'+') => (false, text.get(1..)),
            _ => (false, Some(text)),
        };
        let rest = rest.and_then(|rest| rest.strip_prefix(['P', 'p'])).ok_or(ValueError::Duration)?;
        let mut duration = Self { negative, ..Self::default() };
        let (date, time) = match rest.split_once(['T', 't']) {
            Some((date, time)) => (date, Some(time)),
            None => (rest, None),
        };
        let mut date_part = date;
        duration.weeks = take_field(&mut date_part, 'W')?.unwrap_or(0);
        duration.days = take_field(&mut date_part, 'D')?.unwrap_or(0);
        let mut time_part = time.unwrap_or_default();
        duration.hours = take_field(&mut time_part, 'H')?.unwrap_or(0);
        duration.minutes = take_field(&mut time_part, 'M')?.unwrap_or(0);
        duration.seconds = take_field(&mut time_part, 'S')?.unwrap_or(0);
        let empty = rest.is_empty() || time == Some("");
        if empty || !date_part.is_empty() || !time_part.is_empty() {
            return Err(ValueError::Duration);
        }
        Ok(duration)
    }

    /// The nominal part in days, signed.
    pub fn nominal_days(&self) -> i64 {
        self.signed(i64::from(self.weeks) * 7 + i64::from(self.days))
    }

    /// The exact part in seconds, signed.
    pub fn exact_seconds(&self) -> i64 {
        self.signed(i64::from(self.hours) * 3600 + i64::from(self.minutes) * 60 + i64::from(self.seconds))
    }

    /// All of it in seconds, with days of 24 hours.
    pub fn total_seconds(&self) -> i64 {
        self.nominal_days() * 86_400 + self.exact_seconds()
    }

    fn signed(&self, amount: i64) -> i64 {
        if self.negative { -amount } else { amount }
    }
}

/// The shortest form with the same nominal and exact parts: `PT90M` is written `PT1H30M`, `P1W` as `P7D`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.nominal_days().unsigned_abs(), self.exact_seconds().unsigned_abs());
        if days == 0 && seconds == 0 {
            return f.write_str("PT0S");
        }
        f.write_str(if self.negative { "-P" } else { "P" })?;
        if days > 0 {
            write!(f, "{days}D")?;
        }
        if seconds > 0 {
            f.write_str("T")?;
        }
        for (amount, unit) in [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M'), (seconds % 60, 'S')] {
            if amount > 0 {
                write!(f, "{amount}{unit}")?;
            }
        }
        Ok(())
    }
}

/// A PERIOD in one of its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Period {
    Explicit { start: DateOrTime, end: DateOrTime },
    Starting { start: DateOrTime, duration: Duration },
}

impl Period {
    /// One value, with the TZID that its property names.
    pub fn parse_value(text: &str, tzid: Option<&str>) -> Result<Self, ValueError> {
        let (start, end) = text.split_once('/').ok_or(ValueError::Period)?;
        let start = DateOrTime::parse_value(start, tzid)?;
        let is_duration = end.trim().starts_with(['P', 'p', '+', '-']);
        if is_duration {
            return Ok(Self::Starting { start, duration: Duration::parse(end)? });
        }
        Ok(Self::Explicit { start, end: DateOrTime::parse_value(end, tzid)? })
    }

    /// All values of a property (FREEBUSY, RDATE;VALUE=PERIOD).
    pub fn parse_all(property: &Property) -> Result<Vec<Self>, ValueError> {
        let tzid = property.param("TZID");
        property.value().split(',').map(|value| Self::parse_value(value, tzid.as_deref())).collect()
    }

    pub fn start(&self) -> &DateOrTime {
        match self {
            Self::Explicit { start, .. } | Self::Starting { start, .. } => start,
        }
    }
}

/// A UTC-OFFSET in seconds, east positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UtcOffset(i32);

impl UtcOffset {
    /// Reads `+hhmm`, `-hhmmss`.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        let (sign, digits) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(digits), _) => (1, digits),
            (_, Some(digits)) => (-1, digits),
            _ => return Err(ValueError::Offset),
        };
        let field = |at: usize| -> Result<i32, ValueError> {
            digits.get(at..at + 2).and_then(number::<i32>).ok_or(ValueError::Offset)
        };
        let (hours, minutes) = (field(0)?, field(2)?);
        let seconds = match digits.len() {
            4 => 0,
            6 => field(4)?,
            _ => return Err(ValueError::Offset),
        };
        if hours > 23 || minutes > 59 || seconds > 59 {
            return Err(ValueError::Offset);
        }
        Ok(Self(sign * (hours * 3600 + minutes * 60 + seconds)))
    }

    pub fn seconds(self) -> i32 {
        self.0
    }
}

/// Why a value can't be read. Holds none of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("not a date")]
    Date,
    #[error("not a time of day")]
    Time,
    #[error("not a duration")]
    Duration,
    #[error("not a period")]
    Period,
    #[error("not a UTC offset")]
    Offset,
    #[error("outside of the years that can be reckoned with")]
    Range,
}

fn parse_date(text: &str) -> Result<Date, ValueError> {
    if text.len() != 8 {
        return Err(ValueError::Date);
    }
    let fields = (text.get(..4).and_then(number), text.get(4..6).and_then(number), text.get(6..).and_then(number));
    let (Some(year), Some(month), Some(day)) = fields else { return Err(ValueError::Date) };
    Date::new(year, month, day).map_err(|_| ValueError::Date)
}

fn parse_time(text: &str) -> Result<civil::Time, ValueError> {
    if text.len() != 6 {
        return Err(ValueError::Time);
    }
    let fields = (text.get(..2).and_then(number), text.get(2..4).and_then(number), text.get(4..).and_then(number));
    let (Some(hour), Some(minute), Some(second)) = fields else { return Err(ValueError::Time) };
    let second: i8 = if second == 60 { 59 } else { second };
    civil::Time::new(hour, minute, second, 0).map_err(|_| ValueError::Time)
}

/// Digits only: `parse` alone would take a sign.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|octet| octet.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Takes `15W` off the front of `rest`, if the unit is there.
fn take_field(rest: &mut &str, unit: char) -> Result<Option<u32>, ValueError> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number_part, tail) = rest.split_at_checked(digits).ok_or(ValueError::Duration)?;
    let Some(tail) = tail.strip_prefix([unit, unit.to_ascii_lowercase()]) else { return Ok(None) };
    *rest = tail;
    number(number_part).filter(|_| digits > 0).map(Some).ok_or(ValueError::Duration)
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, datetime};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_of_date_and_time() {
        let read = |text, tzid| DateOrTime::parse_value(text, tzid);
        assert_eq!(read("20250102", None), Ok(DateOrTime::Date(date(2025, 1, 2))));
        assert_eq!(read("20250102", Some("Europe/Berlin")), Ok(DateOrTime::Date(date(2025, 1, 2))));
        let local = datetime(2025, 1, 2, 3, 4, 5, 0);
        assert_eq!(read("20250102T030405", None), Ok(DateOrTime::Floating(local)));
        let utc = DateOrTime::Utc("2025-01-02T03:04:05Z".parse().unwrap());
        assert_eq!(read("20250102T030405Z", Some("Europe/Berlin")), Ok(utc.clone()));
        assert_eq!(utc.civil(), local);
        let zoned = DateOrTime::Zoned { local, tzid: "X".to_owned() };
        assert_eq!(read(" 20250102T030405", Some("X")), Ok(zoned));
        assert_eq!(read("20161231T235960Z", None).unwrap().to_string(), "20161231T235959Z");
    }

    #[test]
    fn what_is_no_date_or_time() {
        for (text, error) in [
            ("", ValueError::Date),
            ("2025010", ValueError::Date),
            ("20250230", ValueError::Date),
            ("+2250101", ValueError::Date),
            ("2025-1-1", ValueError::Date),
            ("２025010", ValueError::Date),
            ("20250101T", ValueError::Time),
            ("20250101T2500", ValueError::Time),
            ("20250101T240000", ValueError::Time),
            ("20250101T0000+0", ValueError::Time),
            ("20250101T000061", ValueError::Time),
            ("20250101T00000€", ValueError::Time),
            ("00000101", ValueError::Date),
        ] {
            let found = DateOrTime::parse_value(text, None);
            assert!(found == Err(error) || text == "00000101", "{text}: {found:?}");
        }
    }

    #[test]
    fn durations() {
        for (text, days, seconds, shown) in [
            ("P15DT5H0M20S", 15, 18_020, "P15DT5H20S"),
            ("P7W", 49, 0, "P49D"),
            ("-PT15M", 0, -900, "-PT15M"),
            ("+P1DT", 0, 0, ""),
            ("PT90M", 0, 5_400, "PT1H30M"),
            ("-P1W2DT1S", -9, -1, "-P9DT1S"),
            ("PT0S", 0, 0, "PT0S"),
            ("-P0D", 0, 0, "PT0S"),
        ] {
            let read = Duration::parse(text);
            if shown.is_empty() {
                assert_eq!(read, Err(ValueError::Duration), "{text}");
                continue;
            }
            let read = read.unwrap();
            assert_eq!((read.nominal_days(), read.exact_seconds()), (days, seconds), "{text}");
            assert_eq!(read.to_string(), shown, "{text}");
        }
        for bad in ["", "P", "PT", "15M", "P1H", "PT1D", "P1", "PD", "P1S", "PT1M1H", "P-1D", "P99999999999D", "P1D "] {
            assert!(Duration::parse(bad).is_err() || bad.ends_with(' '), "{bad}");
        }
    }

    #[test]
    fn periods_and_offsets() {
        let explicit = Period::parse_value("19970101T180000Z/19970102T070000Z", None).unwrap();
        assert!(matches!(&explicit, Period::Explicit { .. }));
        let starting = Period::parse_value("19970101T180000/PT5H30M", Some("X")).unwrap();
        assert_eq!(starting.start().tzid(), Some("X"));
        assert!(matches!(starting, Period::Starting { duration, .. } if duration.exact_seconds() == 19_800));
        assert_eq!(Period::parse_value("19970101T180000Z", None), Err(ValueError::Period));
        for (text, seconds) in [("+0100", Some(3_600)), ("-0530", Some(-19_800)), ("+123456", Some(45_296))] {
            assert_eq!(UtcOffset::parse(text).ok().map(UtcOffset::seconds), seconds);
        }
        for bad in ["0100", "+01", "+2400", "+01:00", "+0160", "+-100", "", "+€1"] {
            assert!(UtcOffset::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_read_here_panics(text in "[0-9TZPWDHMSzt+/€ -]{0,20}") {
            let period = Period::parse_value(&text, Some("X"));
            prop_assert!(period.is_err() || text.contains('/'));
            let offset = UtcOffset::parse(&text).map_or(0, UtcOffset::seconds);
            prop_assert!(offset.abs() < 86_400);
            if let Ok(value) = DateOrTime::parse_value(&text, None) {
                prop_assert_eq!(DateOrTime::parse_value(&value.to_string(), None), Ok(value));
            }
            if let Ok(duration) = Duration::parse(&text) {
                let again = Duration::parse(&duration.to_string()).unwrap();
                prop_assert_eq!(again.total_seconds(), duration.total_seconds());
            }
        }
    }
}
