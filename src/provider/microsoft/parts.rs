//! The parts of an event that change together, and whether two events agree in one.
//!
//! One table serves three purposes: a line of the stash stands where its part still agrees, a write sends only parts
//! that differ, and an event that agrees in all parts is not written at all.

use serde_json::{Map, Value};

use super::wire::Event;
use super::{body, recurrence, stash, times, zone};

/// A part of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Subject,
    Body,
    When,
    Recurrence,
    Location,
    Categories,
    Sensitivity,
    Busy,
    Importance,
    Reminder,
    People,
    Proposals,
    Stash,
}

impl Part {
    /// The part that a property or alarm belongs to; none: Graph has nothing like it.
    pub(super) fn of_line(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "SUMMARY" => Self::Subject,
            "DESCRIPTION" | "X-ALT-DESC" | "STYLED-DESCRIPTION" => Self::Body,
            "DTSTART" | "DTEND" | "DURATION" | "RECURRENCE-ID" => Self::When,
            "RRULE" | "RDATE" | "EXRULE" => Self::Recurrence,
            "LOCATION" | "GEO" | "X-APPLE-STRUCTURED-LOCATION" => Self::Location,
            "CATEGORIES" => Self::Categories,
            "CLASS" => Self::Sensitivity,
            "TRANSP"
            | "STATUS"
            | "X-MICROSOFT-CDO-BUSYSTATUS"
            | "X-MICROSOFT-CDO-INTENDEDSTATUS"
            | "X-APPLE-EWS-BUSYSTATUS" => Self::Busy,
            "PRIORITY" | "X-MICROSOFT-CDO-IMPORTANCE" => Self::Importance,
            "VALARM" => Self::Reminder,
            "ORGANIZER" | "ATTENDEE" => Self::People,
            "X-MICROSOFT-DISALLOW-COUNTER" => Self::Proposals,
            _ => return None,
        })
    }

    /// Nobody but the owner of the mailbox has it: attendees need not know.
    pub(super) fn is_personal(self) -> bool {
        matches!(
            self,
            Self::Categories | Self::Sensitivity | Self::Busy | Self::Reminder | Self::Importance | Self::Stash
        )
    }

    /// Whether `wanted`, a projection, says in this part what `there`, as it was read, says.
    pub(super) fn agrees(self, wanted: &Event, there: &Event) -> bool {
        let word = |of: fn(&Event) -> &Option<String>, default: &str| {
            let text = |event: &Event| of(event).as_deref().unwrap_or(default).to_ascii_lowercase();
            text(wanted) == text(there)
        };
        match self {
            Self::Subject => {
                let text = |event: &Event| event.subject.as_deref().unwrap_or_default().trim().to_owned();
                text(wanted) == text(there)
            }
            Self::Body => body::same_words(&words(wanted), &words(there)),
            Self::When => same_time(wanted, there),
            Self::Recurrence => {
                let rule = |event: &Event| event.recurrence.as_ref().map(recurrence::canonical);
                rule(wanted) == rule(there)
            }
            Self::Location => same_place(wanted, there),
            Self::Categories => sorted(wanted.categories.as_ref()) == sorted(there.categories.as_ref()),
            // Graph alone knows "personal"; a client can say only "private".
            Self::Sensitivity => {
                word(|event| &event.sensitivity, "normal")
                    || (wanted.sensitivity.as_deref() == Some("private")
                        && there.sensitivity.as_deref() == Some("personal"))
            }
            Self::Busy => word(|event| &event.show_as, "busy"),
            Self::Importance => word(|event| &event.importance, "normal"),
            Self::Reminder => reminder(wanted) == reminder(there),
            Self::People => people(wanted) == people(there),
            Self::Proposals => wanted
                .allow_new_time_proposals
                .is_none_or(|wanted| there.allow_new_time_proposals.unwrap_or(true) == wanted),
            Self::Stash => stash::same(wanted, there),
        }
    }

    /// The members of a part, as a PATCH sends them: whole, for Graph replaces nested values as a whole.
    pub(super) fn members(self, wanted: &Event, there: &Event, into: &mut Map<String, Value>) {
        let names: &[&str] = match self {
            Self::Subject => &["subject"],
            Self::Body => {
                let body = body::replacing(there, wanted.body.clone().unwrap_or_default());
                into.insert("body".to_owned(), serde_json::to_value(body).unwrap_or_default());
                return;
            }
            Self::When => &["start", "end", "isAllDay"],
            Self::Recurrence => {
                let rule = wanted.recurrence.as_ref().and_then(|rule| serde_json::to_value(rule).ok());
                into.insert("recurrence".to_owned(), rule.unwrap_or(Value::Null));
                return;
            }
            Self::Location => &["location"],
            Self::Categories => &["categories"],
            Self::Sensitivity => &["sensitivity"],
            Self::Busy => &["showAs"],
            Self::Importance => &["importance"],
            Self::Reminder => &["isReminderOn", "reminderMinutesBeforeStart"],
            Self::People => &["attendees"],
            Self::Proposals => &["allowNewTimeProposals"],
            Self::Stash => &["singleValueExtendedProperties"],
        };
        if let Ok(Value::Object(all)) = serde_json::to_value(wanted) {
            into.extend(all.into_iter().filter(|(name, _)| names.contains(&name.as_str())));
        }
    }
}

/// The parts in which `wanted` differs from `there`.
pub(super) fn differing(wanted: &Event, there: &Event) -> Vec<Part> {
    all().filter(|part| !part.agrees(wanted, there)).collect()
}

fn words(event: &Event) -> String {
    event.body.as_ref().map(body::text_of).unwrap_or_default()
}

fn same_time(wanted: &Event, there: &Event) -> bool {
    if wanted.is_all_day.unwrap_or(false) != there.is_all_day.unwrap_or(false) {
        return false;
    }
    let (Some(a), Some(b)) = (times::When::of_event(wanted), times::When::of_event(there)) else { return false };
    let same_instants = a.start.instant() == b.start.instant() && a.end.instant() == b.end.instant();
    // The zone of a single event is for show; that of a series says when its instances are.
    let is_series = wanted.recurrence.is_some() && there.recurrence.is_some();
    same_instants && (!is_series || a.all_day || same_zone(wanted, there))
}

fn same_zone(wanted: &Event, there: &Event) -> bool {
    let wanted = wanted.start.as_ref().and_then(|start| start.time_zone.as_deref());
    let (Some(wanted), Some(there)) = (wanted, there.original_start_time_zone.as_deref()) else { return true };
    match (zone::zone_named(wanted), zone::zone_named(there)) {
        (Some((_, a)), Some((_, b))) => {
            let from = jiff::civil::date(2024, 1, 1).at(0, 0, 0, 0);
            zone::windows_name(&a, from) == zone::windows_name(&b, from)
        }
        _ => false,
    }
}

fn same_place(wanted: &Event, there: &Event) -> bool {
    let name = |event: &Event| {
        let location = event.location.as_ref().and_then(|location| location.display_name.as_deref());
        location.unwrap_or_default().trim().to_owned()
    };
    let coordinates = |event: &Event| {
        let found = event.location.as_ref().and_then(|location| location.coordinates.as_ref());
        found.and_then(|found| found.latitude.zip(found.longitude))
    };
    let near = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() < 1e-5 && (a.1 - b.1).abs() < 1e-5;
    let same_point = match (coordinates(wanted), coordinates(there)) {
        (Some(a), Some(b)) => near(a, b),
        // Exchange adds the coordinates of places that it knows.
        (None, _) => true,
        (Some(_), None) => false,
    };
    name(wanted) == name(there) && same_point
}

fn sorted(categories: Option<&Vec<String>>) -> Vec<String> {
    let mut sorted = categories.cloned().unwrap_or_default();
    sorted.sort_unstable();
    sorted
}

fn reminder(event: &Event) -> Option<i64> {
    event.is_reminder_on.unwrap_or(false).then(|| event.reminder_minutes_before_start.unwrap_or_default())
}

/// Who is invited, as what. What each answered is theirs to write.
fn people(event: &Event) -> Vec<(String, String)> {
    let organizer = event.organizer.as_ref().and_then(|organizer| organizer.email_address.as_ref());
    let organizer =
        organizer.and_then(|organizer| organizer.address.as_ref()).map(|address| address.trim().to_lowercase());
    let mut people: Vec<(String, String)> = event
        .attendees
        .iter()
        .flatten()
        .filter_map(|attendee| {
            Some((attendee.address()?, attendee.kind.clone().unwrap_or_else(|| "required".to_owned())))
        })
        .filter(|(address, _)| organizer.as_ref() != Some(address))
        .collect();
    people.sort_unstable();
    people
}

pub(super) fn all() -> impl Iterator<Item = Part> {
    ALL.iter().copied()
}

const ALL: &[Part] = &[
    Part::Subject,
    Part::Body,
    Part::When,
    Part::Recurrence,
    Part::Location,
    Part::Categories,
    Part::Sensitivity,
    Part::Busy,
    Part::Importance,
    Part::Reminder,
    Part::People,
    Part::Proposals,
    Part::Stash,
];
