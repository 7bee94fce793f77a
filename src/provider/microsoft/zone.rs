//! Time zones by the names that Exchange has for them (MS-OXOCAL, CLDR 48 `windowsZones`).
//!
//! Graph takes Windows names and many IANA names, and answers with whichever the author used; `tzone://Microsoft/Utc`
//! is UTC, and `tzone://Microsoft/Custom` is a zone whose rules nobody tells.
//! Invariant: a name is only given to a zone whose clocks agree with that name's in the years that matter.

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};

use crate::ical::Zone;

/// The IANA name and rules of a zone as Graph names it; `None` for a custom or unknown one.
pub(super) fn zone_named(name: &str) -> Option<(String, Zone)> {
    let name = name.trim();
    if name.eq_ignore_ascii_case("UTC") || name.eq_ignore_ascii_case("tzone://Microsoft/Utc") {
        return Some(("UTC".to_owned(), Zone::UTC));
    }
    let iana = rows().find(|(windows, _)| windows.eq_ignore_ascii_case(name)).map(|(_, iana)| modern(main(iana)));
    let zone = Zone::iana(iana.unwrap_or(name))?;
    let known = zone.name().unwrap_or(name).to_owned();
    Some((known, zone))
}

/// The Windows name of a zone whose clocks agree with it from `from` on, for as long as rules are foreseeable.
pub(super) fn windows_name(zone: &Zone, from: DateTime) -> Option<&'static str> {
    let iana = zone.name()?;
    if iana == "UTC" {
        return Some("UTC");
    }
    let (windows, zones) = rows().find(|(_, zones)| zones.split(' ').any(|known| known.eq_ignore_ascii_case(iana)))?;
    let theirs = Zone::iana(modern(main(zones)))?;
    agree(zone, &theirs, from.date()).then_some(windows)
}

/// Whether two zones show the same time for three years, looked at every week.
fn agree(a: &Zone, b: &Zone, from: Date) -> bool {
    let noon = from.at(12, 0, 0, 0);
    (0..160_i64).all(|week| {
        let local = noon.saturating_add(week.weeks());
        a.to_instant(local) == b.to_instant(local)
    })
}

fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    ZONES.lines().filter_map(|line| line.split_once('='))
}

/// CLDR's choice for the whole world stands first.
fn main(zones: &'static str) -> &'static str {
    zones.split(' ').next().unwrap_or(zones)
}

/// CLDR keeps the older name of some zones; clients know the newer.
fn modern(name: &'static str) -> &'static str {
    MODERN.iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| new)
}

/// Generated from `windowsZones.json` of CLDR 48 and the links of the zone database: `Windows name=IANA names`.
const ZONES: &str = include_str!("zones.txt");
const MODERN: &[(&str, &str)] = &[
    ("Asia/Calcutta", "Asia/Kolkata"),
    ("Asia/Katmandu", "Asia/Kathmandu"),
    ("Asia/Rangoon", "Asia/Yangon"),
    ("America/Buenos_Aires", "America/Argentina/Buenos_Aires"),
    ("America/Godthab", "America/Nuuk"),
    ("America/Indianapolis", "America/Indiana/Indianapolis"),
    ("Europe/Kiev", "Europe/Kyiv"),
];

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn every_windows_name_leads_to_a_zone_and_back() {
        let from = date(2026, 1, 1).at(9, 0, 0, 0);
        assert_eq!(rows().count(), 139);
        for (windows, zones) in rows() {
            let (_, zone) = zone_named(windows).unwrap_or_else(|| panic!("{windows}"));
            assert_eq!(windows_name(&zone, from), Some(windows), "{windows} {zones}");
        }
    }

    #[test]
    fn names_of_all_kinds() {
        let table = [
            ("W. Europe Standard Time", Some("Europe/Berlin")),
            ("w. europe standard time", Some("Europe/Berlin")),
            ("India Standard Time", Some("Asia/Kolkata")),
            ("Europe/Vienna", Some("Europe/Vienna")),
            ("tzone://Microsoft/Utc", Some("UTC")),
            ("UTC", Some("UTC")),
            ("tzone://Microsoft/Custom", None),
            ("Nowhere", None),
        ];
        for (name, expected) in table {
            assert_eq!(zone_named(name).map(|(iana, _)| iana).as_deref(), expected, "{name}");
        }
        let from = date(2026, 1, 1).at(9, 0, 0, 0);
        for (iana, windows) in [
            ("Europe/Vienna", Some("W. Europe Standard Time")),
            ("Europe/Kyiv", Some("FLE Standard Time")),
            ("US/Eastern", Some("Eastern Standard Time")),
            ("Antarctica/Troll", None),
        ] {
            assert_eq!(windows_name(&Zone::iana(iana).unwrap(), from), windows, "{iana}");
        }
    }
}
