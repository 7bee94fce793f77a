//! An appointment, and how each kind of account writes it.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};
use serde_json::{Value, json};

use crate::seed::BERLIN;

const ZONE: &str = "Europe/Berlin";
/// The same zone by the name that Exchange has for it.
const EXCHANGE_ZONE: &str = "W. Europe Standard Time";

/// How long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// Of a day.
    Minutes(i16),
    /// Whole ones; the time at which it starts means nothing.
    Days(i8),
}

/// Something in somebody's calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Appointment {
    /// What it is.
    pub(super) title: String,
    /// Where it is, if anywhere.
    pub(super) place: String,
    /// When it begins, in Berlin.
    pub(super) start: DateTime,
    /// How long it lasts.
    pub(super) length: Length,
    /// Whether it is each week, without an end.
    pub(super) is_weekly: bool,
}

impl Appointment {
    /// As an iCalendar object.
    pub(super) fn ics(&self, uid: &str) -> String {
        let (zone, times) = match self.length {
            Length::Minutes(_) => {
                let time = |at: DateTime| at.strftime("%Y%m%dT%H%M%S").to_string();
                (
                    BERLIN,
                    format!("DTSTART;TZID={ZONE}:{}\r\nDTEND;TZID={ZONE}:{}\r\n", time(self.start), time(self.end())),
                )
            }
            Length::Days(_) => {
                let day = |at: DateTime| at.strftime("%Y%m%d").to_string();
                ("", format!("DTSTART;VALUE=DATE:{}\r\nDTEND;VALUE=DATE:{}\r\n", day(self.start), day(self.end())))
            }
        };
        let rule = if self.is_weekly { "RRULE:FREQ=WEEKLY\r\n" } else { "" };
        let place =
            if self.place.is_empty() { String::new() } else { format!("LOCATION:{}\r\n", escaped(&self.place)) };
        format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//LinearTime//demo//EN\r\n{zone}BEGIN:VEVENT\r\nUID:{uid}\r\n\
             DTSTAMP:20260101T000000Z\r\n{times}{rule}SUMMARY:{}\r\n{place}END:VEVENT\r\nEND:VCALENDAR\r\n",
            escaped(&self.title)
        )
    }

    /// As Google Calendar has it.
    pub(super) fn google(&self) -> Value {
        let point = |at: DateTime| match self.length {
            Length::Minutes(_) => json!({"dateTime": with_offset(at), "timeZone": ZONE}),
            Length::Days(_) => json!({"date": at.date().to_string()}),
        };
        let mut event = json!({"summary": self.title, "start": point(self.start), "end": point(self.end())});
        if let Some(members) = event.as_object_mut() {
            if !self.place.is_empty() {
                members.insert("location".to_owned(), json!(self.place));
            }
            if self.is_weekly {
                members.insert("recurrence".to_owned(), json!(["RRULE:FREQ=WEEKLY"]));
            }
        }
        event
    }

    /// As Outlook has it.
    pub(super) fn graph(&self) -> Value {
        let point =
            |at: DateTime| json!({"dateTime": at.strftime("%Y-%m-%dT%H:%M:%S").to_string(), "timeZone": EXCHANGE_ZONE});
        let mut event = json!({
            "subject": self.title, "location": {"displayName": self.place}, "isReminderOn": false,
            "isAllDay": matches!(self.length, Length::Days(_)), "start": point(self.start), "end": point(self.end()),
        });
        if let (true, Some(members)) = (self.is_weekly, event.as_object_mut()) {
            let day = self.start.strftime("%A").to_string().to_lowercase();
            let recurrence = json!({
                "pattern": {"type": "weekly", "interval": 1, "daysOfWeek": [day], "firstDayOfWeek": "monday"},
                "range": {"type": "noEnd", "startDate": self.start.date().to_string()},
            });
            members.insert("recurrence".to_owned(), recurrence);
        }
        event
    }

    /// The same, so much later.
    #[must_use]
    pub(super) fn later(&self, by: Span) -> Self {
        Self { start: self.start.saturating_add(by), ..self.clone() }
    }

    /// When it begins, for people.
    pub(super) fn when(&self) -> String {
        self.start.strftime("%A %-d %B, %H:%M").to_string()
    }

    fn end(&self) -> DateTime {
        self.start.saturating_add(match self.length {
            Length::Minutes(minutes) => minutes.minutes(),
            Length::Days(days) => days.days(),
        })
    }
}

/// At this time of a day.
pub(super) fn at(day: Date, hour: i8, minute: i8) -> DateTime {
    day.at(hour.clamp(0, 23), minute.clamp(0, 59), 0, 0)
}

fn with_offset(at: DateTime) -> String {
    let zone = TimeZone::get(ZONE).unwrap_or(TimeZone::UTC);
    zone.to_ambiguous_zoned(at).compatible().map_or_else(
        |_| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        |moment| moment.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    )
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace(',', "\\,").replace(';', "\\;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choir() -> Appointment {
        let start = Date::constant(2026, 7, 1).at(19, 30, 0, 0);
        Appointment {
            title: "Choir, alto".to_owned(),
            place: String::new(),
            start,
            length: Length::Minutes(120),
            is_weekly: true,
        }
    }

    #[test]
    fn a_series_is_one_in_every_language() {
        let text = choir().ics("choir");
        assert!(
            text.contains("DTEND;TZID=Europe/Berlin:20260701T213000\r\nRRULE:FREQ=WEEKLY\r\nSUMMARY:Choir\\, alto\r\n")
        );
        assert!(!text.contains("LOCATION"));
        let google = choir().google();
        assert_eq!(google["end"]["dateTime"], "2026-07-01T21:30:00+02:00");
        assert_eq!(google["recurrence"], json!(["RRULE:FREQ=WEEKLY"]));
        let graph = choir().graph();
        assert_eq!(graph["recurrence"]["pattern"]["daysOfWeek"], json!(["wednesday"]));
        assert_eq!(graph["end"], json!({"dateTime": "2026-07-01T21:30:00", "timeZone": EXCHANGE_ZONE}));
    }

    #[test]
    fn days_have_no_time() {
        let fair = Appointment { length: Length::Days(2), is_weekly: false, ..choir() };
        assert!(fair.ics("fair").contains("DTSTART;VALUE=DATE:20260701\r\nDTEND;VALUE=DATE:20260703\r\nSUMMARY"));
        assert_eq!(fair.google()["end"], json!({"date": "2026-07-03"}));
        assert_eq!(fair.graph()["isAllDay"], json!(true));
    }
}
