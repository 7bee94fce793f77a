//! What a form wants of an event, as edits of its iCalendar text: a new one, one occurrence, this and all later ones, or
//! all. Only the lines that the form names are touched; everything else of the event stays as its program wrote it.

use std::fmt;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};

use crate::agenda::repeats_on_fixed_days;
use crate::ical::{
    At, Budget, Component, DateOrTime, Draft, Edit, EditError, Instance, Line, Object, TimeRange, Zone, Zones,
    as_vtimezone, instances,
};

/// How far an edit reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// One occurrence.
    This,
    /// This one and all after it.
    Future,
    /// The whole series.
    All,
}

impl Scope {
    /// Reads the form's word.
    pub(super) fn named(text: &str) -> Self {
        match text {
            "this" => Self::This,
            "future" => Self::Future,
            _ => Self::All,
        }
    }
}

/// What the form says.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) title: String,
    pub(super) location: String,
    pub(super) description: String,
    pub(super) all_day: bool,
    /// On the clock of the page. Of a whole day the date counts.
    pub(super) start: DateTime,
    /// Not part of it any more; the day after, for whole days.
    pub(super) end: DateTime,
    /// A rule; empty for none; `None` leaves it.
    pub(super) rule: Option<String>,
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wanted({} octets of title, {} to {})", self.title.len(), self.start, self.end)
    }
}

/// Why an edit can't be made, for the person who wants it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Impossible {
    /// It would say something else than what was meant.
    #[error("{0}")]
    Unclear(&'static str),
    /// The event's own text does not allow it.
    #[error("the event can't be edited here: {0}")]
    Text(#[from] EditError),
    /// The same.
    #[error("the event can't be written: {0}")]
    Parse(#[from] crate::ical::ParseError),
    /// Its series is too long to count.
    #[error(transparent)]
    Overrun(#[from] crate::ical::Overrun),
}

/// The moment and the names that an edit needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) now: Timestamp,
    /// The page's zone.
    pub(super) zone: &'a Zone,
    /// For an event that comes to be.
    pub(super) uid: &'a str,
}

/// A new event.
pub(super) fn create(wanted: &Wanted, frame: &Frame<'_>) -> Result<Object, Impossible> {
    let at = |local: DateTime| written(local, wanted.all_day, frame.zone);
    let stamp = DateOrTime::Utc(frame.now);
    let mut event = Draft::new("VEVENT")
        .line(Line::new("UID").text(frame.uid))
        .line(Line::at("DTSTAMP", &stamp))
        .line(Line::at("CREATED", &stamp))
        .line(Line::at("DTSTART", &at(wanted.start)))
        .line(Line::at("DTEND", &at(wanted.end)))
        .line(Line::new("SUMMARY").text(&wanted.title));
    for (name, text) in [("LOCATION", &wanted.location), ("DESCRIPTION", &wanted.description)] {
        if !text.is_empty() {
            event = event.line(Line::new(name).text(text));
        }
    }
    if let Some(rule) = wanted.rule.as_ref().filter(|rule| !rule.is_empty()) {
        event = event.line(Line::new("RRULE").value(rule));
    }
    let mut calendar = Draft::calendar();
    if let DateOrTime::Zoned { tzid, .. } = at(wanted.start) {
        calendar = calendar.child(as_vtimezone(&tzid, frame.zone));
    }
    Ok(calendar.child(event).object()?)
}

/// A local time of the page as DTSTART is written.
fn written(local: DateTime, all_day: bool, zone: &Zone) -> DateOrTime {
    match zone.name() {
        _ if all_day => DateOrTime::Date(local.date()),
        Some(tzid) if tzid != "UTC" => DateOrTime::Zoned { local, tzid: tzid.to_owned() },
        _ => DateOrTime::Utc(zone.to_instant(local)),
    }
}

/// The whole series, seen from one of its occurrences.
pub(super) fn all(object: &Object, seen: &Instance, wanted: &Wanted, frame: &Frame<'_>) -> Result<Object, Impossible> {
    let Some(master) = object.master() else { return this(object, seen, wanted, frame) };
    let mut edit = words(Edit::new(object), &At::Master, wanted, frame);
    if let Some(rule) = &wanted.rule {
        edit = if rule.is_empty() {
            edit.remove(&At::Master, "RRULE").remove(&At::Master, "EXDATE").remove(&At::Master, "RDATE")
        } else {
            edit.set(&At::Master, &Line::new("RRULE").value(rule))
        };
    }
    let Some(moved) = Moved::of(object, master, seen, wanted, frame)? else { return Ok(edit.finish()?) };
    if moved.to_another_day && wanted.rule.is_none() && repeats_on_fixed_days(master) {
        return Err(Impossible::Unclear(
            "Start: this series repeats on fixed days, so moving it to another day needs its repetition chosen anew",
        ));
    }
    edit = moved.set(edit, &At::Master, &moved.start(master)?);
    for (index, member) in object.members().enumerate() {
        if let Some(id) = at(member, "RECURRENCE-ID") {
            edit = edit.set(&At::Member(index), &Line::at("RECURRENCE-ID", &moved.shift(&id)));
        }
    }
    for name in ["EXDATE", "RDATE"] {
        for property in master.all(name) {
            let Ok(values) = DateOrTime::parse_all(property) else { continue };
            edit = edit.remove_property(property);
            for value in values {
                edit = edit.add(&At::Master, &Line::at(name, &moved.shift(&value)));
            }
        }
    }
    Ok(edit.finish()?)
}

/// One occurrence.
pub(super) fn this(object: &Object, seen: &Instance, wanted: &Wanted, frame: &Frame<'_>) -> Result<Object, Impossible> {
    let Some(id) = &seen.recurrence_id else { return all(object, seen, wanted, frame) };
    let with_own = own_member(object, seen, id)?;
    let place = At::Override(id.clone());
    let edit = words(Edit::new(&with_own), &place, wanted, frame);
    let member = with_own.members().find(|member| at(member, "RECURRENCE-ID").as_ref() == Some(id));
    let Some(member) = member else { return Err(EditError::NoSuchComponent.into()) };
    match Moved::of(&with_own, member, seen, wanted, frame)? {
        None => Ok(edit.finish()?),
        Some(moved) => Ok(moved.set(edit, &place, &moved.start(member)?).finish()?),
    }
}

/// The object with a member of its own for this occurrence.
fn own_member(object: &Object, seen: &Instance, id: &DateOrTime) -> Result<Object, Impossible> {
    let member = object.members().nth(seen.component).ok_or(EditError::NoSuchComponent)?;
    if at(member, "RECURRENCE-ID").as_ref() == Some(id) {
        return Ok(object.clone());
    }
    let start = at(member, "DTSTART").ok_or(EditError::NoSuchComponent)?;
    let by = id.civil().duration_since(start.civil());
    let mut copy = copied(member, &["RRULE", "RDATE", "EXDATE", "EXRULE", "DTSTART", "DTEND", "RECURRENCE-ID"]);
    copy = copy.line(Line::at("RECURRENCE-ID", id)).line(Line::at("DTSTART", id));
    if let Some(end) = at(member, "DTEND") {
        copy = copy.line(Line::at("DTEND", &shifted(&end, by)));
    }
    Ok(Edit::new(object).add_component(&At::Calendar, &copy.octets()).finish()?)
}

/// This one and all later ones: what is left of the old series, and the new one, under a UID of its own.
pub(super) fn future(
    object: &Object,
    seen: &Instance,
    wanted: &Wanted,
    frame: &Frame<'_>,
) -> Result<(Option<Object>, Object), Impossible> {
    let (Some(master), Some(id)) = (object.master(), &seen.recurrence_id) else {
        return Ok((None, all(object, seen, wanted, frame)?));
    };
    if at(master, "DTSTART").as_ref() == Some(id) {
        return Ok((None, all(object, seen, wanted, frame)?));
    }
    if master.property("RDATE").is_some() || master.property("ATTENDEE").is_some() {
        return Err(Impossible::Unclear(
            "A meeting with guests, or a series with single added dates, can't be split; change one occurrence or all",
        ));
    }
    let left = before(object, seen)?;
    let copy = copied(master, &["RRULE", "EXDATE", "UID", "DTSTART", "DTEND"]);
    let start = at(master, "DTSTART").ok_or(EditError::NoSuchComponent)?;
    let by = id.civil().duration_since(start.civil());
    let mut copy = copy.line(Line::new("UID").text(frame.uid)).line(Line::at("DTSTART", id));
    if let Some(end) = at(master, "DTEND") {
        copy = copy.line(Line::at("DTEND", &shifted(&end, by)));
    }
    if let Some(rule) = master.property("RRULE") {
        copy = copy.line(Line::new("RRULE").value(&rest(object, rule.value(), seen, frame.zone)?));
    }
    for date in master.all("EXDATE").flat_map(|line| DateOrTime::parse_all(line).unwrap_or_default()) {
        if date.civil() >= id.civil() {
            copy = copy.line(Line::at("EXDATE", &date));
        }
    }
    let mut calendar = Draft::calendar();
    for zone in object.timezones() {
        calendar = calendar.child(copied(zone, &[]));
    }
    calendar = calendar.child(copy);
    for member in object.members() {
        if at(member, "RECURRENCE-ID").is_some_and(|own| own.civil() >= id.civil()) {
            calendar = calendar.child(copied(member, &["UID"]).line(Line::new("UID").text(frame.uid)));
        }
    }
    let series = calendar.object()?;
    // The first of the new series is the occurrence that the form was about.
    let first = Instance { component: 0, ..seen.clone() };
    Ok((Some(left), all(&series, &first, wanted, frame)?))
}

/// The series as it is before an occurrence.
pub(super) fn before(object: &Object, seen: &Instance) -> Result<Object, Impossible> {
    let (Some(master), Some(id)) = (object.master(), &seen.recurrence_id) else {
        return Err(EditError::NoSuchComponent.into());
    };
    let mut edit = Edit::new(object);
    if let Some(rule) = master.property("RRULE") {
        let until = match id {
            DateOrTime::Date(day) => DateOrTime::Date(day.yesterday().unwrap_or(*day)).to_string(),
            DateOrTime::Floating(_) => shifted(id, SignedDuration::from_secs(-1)).to_string(),
            _ => {
                let zones = Zones::of(object);
                let zone = id.tzid().and_then(|tzid| zones.get(tzid)).cloned().unwrap_or(Zone::UTC);
                let instant = zone.to_instant(id.civil()) - SignedDuration::from_secs(1);
                DateOrTime::Utc(instant).to_string()
            }
        };
        let rule = format!("{};UNTIL={until}", without(rule.value(), &["UNTIL", "COUNT"]));
        edit = edit.set(&At::Master, &Line::new("RRULE").value(&rule));
    }
    for (index, member) in object.members().enumerate() {
        if at(member, "RECURRENCE-ID").is_some_and(|own| own.civil() >= id.civil()) {
            edit = edit.remove_component(&At::Member(index));
        }
    }
    Ok(edit.finish()?)
}

/// The series without one occurrence.
pub(super) fn without_this(object: &Object, seen: &Instance) -> Result<Object, Impossible> {
    let (Some(_), Some(id)) = (object.master(), &seen.recurrence_id) else {
        return Err(Impossible::Unclear("this occurrence stands alone; delete the event"));
    };
    let mut edit = Edit::new(object).add(&At::Master, &Line::at("EXDATE", id));
    for (index, member) in object.members().enumerate() {
        if at(member, "RECURRENCE-ID").as_ref() == Some(id) {
            edit = edit.remove_component(&At::Member(index));
        }
    }
    Ok(edit.finish()?)
}

/// The rule of what comes from an occurrence on: a COUNT is what is left of it.
fn rest(object: &Object, rule: &str, seen: &Instance, zone: &Zone) -> Result<String, Impossible> {
    let Some(count) = rule.split(';').find_map(|part| part.strip_prefix("COUNT=")) else { return Ok(rule.to_owned()) };
    let count: u64 = count.parse().map_err(|_| Impossible::Unclear("the series has a count that can't be read"))?;
    let mut plain = Edit::new(object).remove(&At::Master, "EXDATE");
    for (index, member) in object.members().enumerate() {
        if member.property("RECURRENCE-ID").is_some() {
            plain = plain.remove_component(&At::Member(index));
        }
    }
    let range = TimeRange { start: Timestamp::MIN, end: seen.start };
    let gone = instances(&plain.finish()?, &range, zone, &mut Budget::request())?;
    let gone = gone.iter().filter(|one| one.start < seen.start).count() as u64;
    Ok(format!("{};COUNT={}", without(rule, &["COUNT"]), count.saturating_sub(gone).max(1)))
}

fn without(rule: &str, names: &[&str]) -> String {
    let is_named =
        |part: &&str| names.iter().any(|name| part.split('=').next().is_some_and(|own| own.eq_ignore_ascii_case(name)));
    rule.split(';').filter(|part| !is_named(part) && !part.is_empty()).collect::<Vec<_>>().join(";")
}

/// The parts that are words.
fn words<'a>(mut edit: Edit<'a>, place: &At, wanted: &Wanted, frame: &Frame<'_>) -> Edit<'a> {
    let texts = [("SUMMARY", &wanted.title), ("LOCATION", &wanted.location), ("DESCRIPTION", &wanted.description)];
    for (name, text) in texts {
        edit = if text.is_empty() { edit.remove(place, name) } else { edit.set(place, &Line::new(name).text(text)) };
    }
    let stamp = DateOrTime::Utc(frame.now);
    edit.set(place, &Line::at("LAST-MODIFIED", &stamp)).set(place, &Line::at("DTSTAMP", &stamp))
}

/// An occurrence that shall be at another time.
struct Moved {
    by: SignedDuration,
    length: SignedDuration,
    /// Becomes, or stays, one of whole days; `None` leaves the form.
    form: Option<DateOrTime>,
    sequence: i64,
    /// A rule may have fixed days.
    to_another_day: bool,
}

impl Moved {
    /// `None` if the form left the times as they are.
    fn of(
        object: &Object,
        member: &Component,
        seen: &Instance,
        wanted: &Wanted,
        frame: &Frame<'_>,
    ) -> Result<Option<Self>, Impossible> {
        let (shown_start, shown_end) = (frame.zone.to_civil(seen.start), frame.zone.to_civil(seen.end));
        if wanted.all_day == seen.all_day && wanted.start == shown_start && wanted.end == shown_end {
            return Ok(None);
        }
        let sequence = member.property("SEQUENCE").and_then(|line| line.value().parse::<i64>().ok()).unwrap_or(0) + 1;
        let length = wanted.end.duration_since(wanted.start);
        if wanted.all_day != seen.all_day {
            if object.members().count() > 1 || member.property("RRULE").is_some() {
                return Err(Impossible::Unclear(
                    "Whole day: a series can't become one of whole days, or cease to be; make a new event",
                ));
            }
            let form = Some(written(wanted.start, wanted.all_day, frame.zone));
            return Ok(Some(Self { by: SignedDuration::ZERO, length, form, sequence, to_another_day: false }));
        }
        // The event keeps its own zone; the way it moves is reckoned there, so that a series keeps its hour all year.
        let zone = if seen.all_day { frame.zone.clone() } else { own_zone(object, member, frame.zone) };
        let there = |local: DateTime| zone.to_civil(frame.zone.to_instant(local));
        let (from, to) = (zone.to_civil(seen.start), there(wanted.start));
        let to_another_day = from.date() != to.date();
        Ok(Some(Self { by: to.duration_since(from), length, form: None, sequence, to_another_day }))
    }

    fn start(&self, member: &Component) -> Result<DateOrTime, Impossible> {
        match &self.form {
            Some(form) => Ok(form.clone()),
            None => Ok(self.shift(&at(member, "DTSTART").ok_or(EditError::NoSuchComponent)?)),
        }
    }

    fn shift(&self, value: &DateOrTime) -> DateOrTime {
        shifted(value, self.by)
    }

    fn set<'a>(&self, edit: Edit<'a>, place: &At, start: &DateOrTime) -> Edit<'a> {
        edit.set(place, &Line::at("DTSTART", start))
            .remove(place, "DURATION")
            .set(place, &Line::at("DTEND", &shifted(start, self.length)))
            .set(place, &Line::new("SEQUENCE").value(&self.sequence.to_string()))
    }
}

fn own_zone(object: &Object, member: &Component, page: &Zone) -> Zone {
    match at(member, "DTSTART") {
        Some(DateOrTime::Utc(_)) => Zone::UTC,
        Some(DateOrTime::Zoned { tzid, .. }) => Zones::of(object).get(&tzid).cloned().unwrap_or_else(|| page.clone()),
        _ => page.clone(),
    }
}

fn at(member: &Component, name: &str) -> Option<DateOrTime> {
    member.property(name).and_then(|line| DateOrTime::parse(line).ok())
}

fn shifted(value: &DateOrTime, by: SignedDuration) -> DateOrTime {
    let local = |at: DateTime| at.checked_add(by).unwrap_or(at);
    match value {
        DateOrTime::Date(day) => DateOrTime::Date(local(day.to_datetime(jiff::civil::Time::midnight())).date()),
        DateOrTime::Floating(at) => DateOrTime::Floating(local(*at)),
        DateOrTime::Utc(at) => DateOrTime::Utc(at.checked_add(by).unwrap_or(*at)),
        DateOrTime::Zoned { local: at, tzid } => DateOrTime::Zoned { local: local(*at), tzid: tzid.clone() },
    }
}

/// A component with all that it holds, but for some properties.
fn copied(component: &Component, but: &[&str]) -> Draft {
    let kept = component.properties().iter().filter(|line| !but.iter().any(|name| line.is(name)));
    let copy = kept.fold(Draft::new(component.name()), |draft, property| draft.line(Line::copy(property)));
    component.children().iter().fold(copy, |draft, child| draft.child(copied(child, &[])))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::civil::date;

    use super::*;

    const SERIES: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\n\
        DTSTART:20260302T090000Z\r\nDTEND:20260302T100000Z\r\nRRULE:FREQ=DAILY;COUNT=5\r\nSUMMARY:Stand-up\r\nX-KEEP:1\r\n\
        EXDATE:20260305T090000Z\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

    fn object(text: &str) -> Object {
        Object::parse(Bytes::from(text.to_owned())).unwrap()
    }

    fn frame() -> Frame<'static> {
        Frame { now: "2026-03-01T00:00:00Z".parse().unwrap(), zone: Box::leak(Box::new(Zone::UTC)), uid: "new" }
    }

    fn all_of(object: &Object) -> Vec<Instance> {
        instances(object, &TimeRange::ALL, &Zone::UTC, &mut Budget::request()).unwrap()
    }

    fn starts(object: &Object) -> Vec<String> {
        all_of(object).iter().map(|one| one.start.to_string()).collect()
    }

    fn wanted(day: i8, hour: i8) -> Wanted {
        Wanted {
            title: "Other".to_owned(),
            location: String::new(),
            description: "a\nb;c".to_owned(),
            all_day: false,
            start: date(2026, 3, day).at(hour, 0, 0, 0),
            end: date(2026, 3, day).at(hour + 1, 0, 0, 0),
            rule: None,
        }
    }

    #[test]
    fn a_new_event_says_what_the_form_said() {
        let vienna = Zone::iana("Europe/Vienna").unwrap();
        let made =
            create(&Wanted { rule: Some("FREQ=WEEKLY".into()), ..wanted(2, 9) }, &Frame { zone: &vienna, ..frame() });
        let text = made.unwrap().as_text().into_owned();
        for line in [
            "DTSTART;TZID=Europe/Vienna:20260302T090000",
            "SUMMARY:Other",
            "RRULE:FREQ=WEEKLY",
            "DESCRIPTION:a\\nb\\;c",
            "BEGIN:VTIMEZONE",
        ] {
            assert!(text.contains(line), "{line} {text}");
        }
        let day = create(&Wanted { all_day: true, ..wanted(2, 9) }, &frame()).unwrap();
        assert!(day.as_text().contains("DTSTART;VALUE=DATE:20260302"));
    }

    #[test]
    fn words_alone_leave_the_times() {
        let series = object(SERIES);
        let seen = all_of(&series).remove(1);
        let edited = all(&series, &seen, &wanted(3, 9), &frame()).unwrap();
        assert_eq!(starts(&edited), starts(&series));
        let text = edited.as_text();
        assert!(text.contains("SUMMARY:Other") && text.contains("X-KEEP:1") && !text.contains("SEQUENCE"));
    }

    #[test]
    fn all_move_with_their_exceptions() {
        let series = object(SERIES);
        let seen = all_of(&series).remove(1);
        let edited = all(&series, &seen, &wanted(3, 11), &frame()).unwrap();
        let days = [2, 3, 4, 6].map(|day| format!("2026-03-0{day}T11:00:00Z"));
        assert_eq!(starts(&edited), days);
        assert!(edited.as_text().contains("SEQUENCE:1"));
    }

    #[test]
    fn one_moves_alone() {
        let series = object(SERIES);
        let seen = all_of(&series).remove(1);
        let edited = this(&series, &seen, &wanted(3, 15), &frame()).unwrap();
        let hours = [(2, 9), (3, 15), (4, 9), (6, 9)].map(|(day, hour)| format!("2026-03-0{day}T{hour:02}:00:00Z"));
        assert_eq!(starts(&edited), hours);
        assert_eq!(edited.as_text().matches("BEGIN:VALARM").count(), 2);
        let again = this(&edited, &all_of(&edited)[1], &wanted(3, 16), &frame()).unwrap();
        assert_eq!(again.members().count(), 2);
        let gone = without_this(&again, &all_of(&again)[1]).unwrap();
        assert_eq!(starts(&gone), [2, 4, 6].map(|day| format!("2026-03-0{day}T09:00:00Z")));
    }

    #[test]
    fn this_and_later_ones_become_a_series_of_their_own() {
        let series = object(SERIES);
        let seen = all_of(&series).remove(2);
        let (left, new) = future(&series, &seen, &wanted(4, 12), &frame()).unwrap();
        assert_eq!(starts(&left.unwrap()), [2, 3].map(|day| format!("2026-03-0{day}T09:00:00Z")));
        assert_eq!(new.uid(), "new");
        assert_eq!(starts(&new), [4, 6].map(|day| format!("2026-03-0{day}T12:00:00Z")));
        let first = all_of(&series).remove(0);
        assert!(future(&series, &first, &wanted(2, 9), &frame()).unwrap().0.is_none(), "all of it");
    }

    #[test]
    fn what_would_not_be_what_was_meant_is_refused() {
        let weekly = object(&SERIES.replace("FREQ=DAILY;COUNT=5", "FREQ=WEEKLY;BYDAY=MO"));
        let seen = all_of_first(&weekly);
        assert!(matches!(all(&weekly, &seen, &wanted(3, 9), &frame()), Err(Impossible::Unclear(_))));
        let whole = Wanted { all_day: true, ..wanted(2, 9) };
        assert!(matches!(all(&weekly, &seen, &whole, &frame()), Err(Impossible::Unclear(_))));
    }

    fn all_of_first(object: &Object) -> Instance {
        let range =
            TimeRange { start: "2026-03-01T00:00:00Z".parse().unwrap(), end: "2026-03-03T00:00:00Z".parse().unwrap() };
        instances(object, &range, &Zone::UTC, &mut Budget::request()).unwrap().remove(0)
    }
}
