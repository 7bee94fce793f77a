//! Times as people read them, in the zone that their browser is in.

use jiff::Timestamp;
use jiff::civil::{Date, Time};

use super::request::Request;
use crate::ical::Zone;

/// The person's zone: chosen, or their browser's, or UTC.
pub(super) fn zone(request: &Request<'_>) -> Zone {
    Zone::iana(&request.zone_name()).unwrap_or(Zone::UTC)
}

/// `5 Mar 2026 09:30`
pub(super) fn moment(at: Timestamp, zone: &Zone) -> String {
    zone.to_civil(at).strftime("%-d %b %Y %H:%M").to_string()
}

/// The same, or a dash.
pub(super) fn maybe(at: Option<Timestamp>, zone: &Zone) -> String {
    at.map_or_else(|| "–".to_owned(), |at| moment(at, zone))
}

/// When a day begins.
pub(super) fn begins(day: Date, zone: &Zone) -> Timestamp {
    zone.to_instant(day.to_datetime(Time::midnight()))
}

/// `Thursday 5 March 2026`
pub(super) fn long_day(day: Date) -> String {
    day.strftime("%A %-d %B %Y").to_string()
}
