//! What takes place in a range of days, as pages show it.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashSet};

use jiff::civil::{Date, DateTime};

use crate::calendar::{CollectionKind, Entry};
use crate::ical::{Budget, Component, ComponentKind, Instance, Object, TimeRange, Zone, instances};
use crate::id::{CollectionId, CollectionName, UserId};
use crate::web::page::shown;
use crate::web::request::Trouble;
use crate::web::{Desk, time};

/// A calendar as a legend shows it.
#[derive(Clone, Debug)]
pub(in crate::web) struct Calendar {
    pub(in crate::web) name: CollectionName,
    pub(in crate::web) title: String,
    pub(in crate::web) class: String,
    pub(in crate::web) color: String,
    pub(in crate::web) writable: bool,
    pub(in crate::web) unify: bool,
}

/// One occurrence.
#[derive(Clone)]
pub(in crate::web) struct Happening {
    pub(in crate::web) title: String,
    pub(in crate::web) location: String,
    /// The calendar that leads it.
    pub(in crate::web) calendar: String,
    pub(in crate::web) class: String,
    pub(in crate::web) start: DateTime,
    pub(in crate::web) end: DateTime,
    pub(in crate::web) all_day: bool,
    /// Cancelled.
    pub(in crate::web) off: bool,
    /// Whether the person is busy then (TRANSP, RFC 5545 3.8.2.7).
    pub(in crate::web) takes_time: bool,
    /// Its page.
    pub(in crate::web) href: String,
}

impl Happening {
    /// The last day that it touches.
    pub(in crate::web) fn last_day(&self) -> Date {
        let ends_at_midnight = self.end.time() == jiff::civil::Time::midnight() && self.end > self.start;
        let day = self.end.date();
        if ends_at_midnight { day.yesterday().unwrap_or(day) } else { day }
    }

    /// Whether it is on this day.
    pub(in crate::web) fn is_on(&self, day: Date) -> bool {
        self.start.date() <= day && self.last_day() >= day
    }

    /// Whether it is shown as a bar over days.
    pub(in crate::web) fn is_long(&self) -> bool {
        self.all_day || self.start.date() != self.last_day()
    }

    /// Its times on a day.
    pub(in crate::web) fn when(&self, day: impl Borrow<Date>) -> String {
        let day: &Date = day.borrow();
        let day = *day;
        if self.all_day {
            return "all day".to_owned();
        }
        let time = |at: DateTime| at.strftime("%H:%M").to_string();
        match (self.start.date() == day, self.last_day() == day) {
            (true, true) if self.start == self.end => time(self.start),
            (true, true) => format!("{}–{}", time(self.start), time(self.end)),
            (true, false) => format!("from {}", time(self.start)),
            (false, true) => format!("until {}", time(self.end)),
            (false, false) => "all day".to_owned(),
        }
    }
}

/// The person's calendars but the unified one, in the order that gives each its colour class.
pub(in crate::web) async fn calendars(desk: &Desk, user: &UserId) -> Result<Vec<Calendar>, Trouble> {
    let all = desk.calendars.collections(user).await.map_err(Trouble::later)?;
    let shown = all.into_iter().enumerate().filter(|(_, one)| !matches!(one.kind, CollectionKind::Unified));
    Ok(shown
        .map(|(index, one)| Calendar {
            class: super::class(index),
            color: color(one.color.as_deref(), index),
            writable: one.is_writable() && one.holds(ComponentKind::Event),
            unify: one.unify,
            title: crate::web::page::shown(&one.display_name),
            name: one.id.name,
        })
        .collect())
}

/// The calendar's own colour, or one of ours. What is no colour never reaches a style sheet.
fn color(own: Option<&str>, index: usize) -> String {
    let digits = own.and_then(|own| own.strip_prefix('#')).and_then(|digits| digits.get(..6));
    match digits.filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit())) {
        Some(digits) => format!("#{digits}"),
        None => PALETTE.get(index % PALETTE.len()).copied().unwrap_or("#5b6b7b").to_owned(),
    }
}

const PALETTE: [&str; 8] = ["#3867d6", "#d9534f", "#2f9e63", "#c77700", "#8854d0", "#0f8b8d", "#b83280", "#6b7280"];

/// All that takes place from `first` up to and including `last`, in order.
pub(in crate::web) async fn read(
    desk: &Desk,
    user: &UserId,
    zone: &Zone,
    (first, last): (Date, Date),
) -> Result<Vec<Happening>, Trouble> {
    let after = last.tomorrow().unwrap_or(last);
    let range = TimeRange { start: time::begins(first, zone), end: time::begins(after, zone) };
    let known = calendars(desk, user).await?;
    let by_name: BTreeMap<&CollectionName, &Calendar> = known.iter().map(|one| (&one.name, one)).collect();
    let unified = CollectionName::unified();
    let places = known.iter().filter(|one| !one.unify).map(|one| &one.name).chain([&unified]);
    let (mut budget, mut seen, mut found) = (Budget::request(), HashSet::new(), Vec::new());
    for name in places {
        let id = CollectionId::new(user, name.clone());
        let view = desk.calendars.view(&id).await.map_err(Trouble::later)?;
        for entry in view.candidates(&range) {
            if entry.component != ComponentKind::Event || !seen.insert(entry.event) {
                continue;
            }
            let object = desk.calendars.object(&id, &entry).await.map_err(Trouble::later)?;
            let calendar = if name.is_unified() { by_name.get(entry.leader()) } else { by_name.get(name) };
            let happened = instances(&object, &range, zone, &mut budget);
            let happened = happened.map_err(|overrun| Trouble::Refused(overrun.to_string()))?;
            let one = |instance| happening(&object, &instance, zone, (name, &*entry, calendar.copied()));
            found.extend(happened.into_iter().filter_map(one));
        }
    }
    found.sort_by(|a, b| (a.start, !a.all_day, b.end, &a.title).cmp(&(b.start, !b.all_day, a.end, &b.title)));
    Ok(found)
}

fn happening(
    object: &Object,
    instance: &Instance,
    zone: &Zone,
    (name, entry, calendar): (&CollectionName, &Entry, Option<&Calendar>),
) -> Option<Happening> {
    let member = object.members().nth(instance.component)?;
    let at = instance.recurrence_id.as_ref().map(ToString::to_string);
    Some(Happening {
        title: title(member),
        location: text(member, "LOCATION"),
        calendar: calendar.map(|one| one.title.clone()).unwrap_or_default(),
        class: calendar.map(|one| one.class.clone()).unwrap_or_default(),
        start: zone.to_civil(instance.start),
        end: zone.to_civil(instance.end),
        all_day: instance.all_day,
        off: member.property("STATUS").is_some_and(|status| status.value().eq_ignore_ascii_case("CANCELLED")),
        takes_time: !member.property("TRANSP").is_some_and(|line| line.value().eq_ignore_ascii_case("TRANSPARENT")),
        href: event_href(name, entry.name.as_str(), at.as_deref()),
    })
}

/// The page of an event, or of one occurrence.
pub(in crate::web) fn event_href(calendar: &CollectionName, name: &str, at: Option<&str>) -> String {
    let part = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let at = at.map(|at| format!("?at={}", part(at))).unwrap_or_default();
    format!("/event/{}/{}{at}", part(calendar.as_str()), part(name))
}

/// What an event is called.
pub(in crate::web) fn title(member: &Component) -> String {
    let title = text(member, "SUMMARY");
    if title.trim().is_empty() { "(no title)".to_owned() } else { title }
}

/// A property's text as it may be shown.
pub(in crate::web) fn text(member: &Component, name: &str) -> String {
    member.property(name).map(|property| shown(&property.text())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_reach_the_style_sheet() {
        assert_eq!(color(Some("#AABBCCDD"), 0), "#AABBCC");
        for bad in [None, Some("red"), Some("#12345"), Some("#}body{x"), Some("#ääää")] {
            assert_eq!(color(bad, 9), PALETTE[1], "{bad:?}");
        }
    }

    #[test]
    fn paths_hold_any_name() {
        let name = CollectionName::unified();
        assert_eq!(
            event_href(&name, "a b/ü?.ics", Some("20260101T1")),
            "/event/unified/a%20b%2F%C3%BC%3F%2Eics?at=20260101T1"
        );
    }
}
