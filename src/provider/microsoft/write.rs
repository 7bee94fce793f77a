//! From iCalendar to Graph: what each part of an event becomes there (providers.md 8).
//!
//! Pure. What has no place in Graph is left to the stash; what would happen at another time is refused.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::recurrence::{self, Start};
use super::refusal::Refusal;
use super::times::{self, When};
use super::wire::{Attendee, Coordinates, EmailAddress, Event, ItemBody, Location, Recurrence};
use super::zone::windows_name;
use super::{body, stash};
use crate::ical::{
    self, Budget, Component, ComponentKind, DateOrTime, Duration, Object, Property, TimeRange, Zone, Zones,
};

/// An object as Graph would hold it.
#[derive(Debug)]
pub(super) struct Projection {
    /// The event, or the master of the series.
    pub(super) event: Event,
    /// Instances that differ, by what they are instances of.
    pub(super) overrides: Vec<(Slot, Event)>,
    /// Instances that are left out.
    pub(super) left_out: Vec<Slot>,
}

/// One instance of a series, by when the rule has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) instant: Timestamp,
    /// On the wall of the series.
    pub(super) date: Date,
}

/// What of the mailbox a mapping needs.
#[derive(Clone, Debug)]
pub(super) struct Mailbox {
    /// The zone of times that name none.
    pub(super) home: Zone,
    /// The owner's address in small letters, where it is known.
    pub(super) address: Option<String>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self { home: Zone::UTC, address: None }
    }
}

/// The object for Graph, its stash with it.
pub(super) fn project(object: &Object, mailbox: &Mailbox) -> Result<Projection, Refusal> {
    if object.kind() != ComponentKind::Event {
        return Err(Refusal::NoEvent);
    }
    let zones = Zones::of(object);
    let master = object.master().ok_or(Refusal::NoInstanceNamed)?;
    let (mut event, when) = member(master, &zones, mailbox)?;
    event.single_value_extended_properties = Some(stash::pack(object, master));
    let mut projection = Projection { event, overrides: Vec::new(), left_out: Vec::new() };
    let rule = recurrence_of(master, &when)?;
    if rule.is_none() && object.members().count() > 1 {
        return Err(Refusal::NoInstanceNamed);
    }
    projection.event.recurrence = rule;
    if projection.event.recurrence.is_some() {
        instances(object, master, (&when, &zones, mailbox), &mut projection)?;
    }
    Ok(projection)
}

/// EXDATEs and overrides of a series.
fn instances(
    object: &Object,
    master: &Component,
    (when, zones, mailbox): (&When, &Zones, &Mailbox),
    into: &mut Projection,
) -> Result<(), Refusal> {
    for line in master.all("EXDATE") {
        for value in DateOrTime::parse_all(line).map_err(|_| Refusal::NoInstanceNamed)? {
            into.left_out.push(slot(&value, when, zones)?);
        }
    }
    let mut moved = Vec::new();
    for other in object.members().filter(|member| member.property("RECURRENCE-ID").is_some()) {
        let id = other.property("RECURRENCE-ID").ok_or(Refusal::NoInstanceNamed)?;
        if id.param("RANGE").is_some() {
            return Err(Refusal::ThisAndFuture);
        }
        let value = DateOrTime::parse(id).map_err(|_| Refusal::NoInstanceNamed)?;
        let slot = slot(&value, when, zones)?;
        if status(other).eq_ignore_ascii_case("CANCELLED") {
            into.left_out.push(slot);
            continue;
        }
        let (mut event, placed) = member(other, zones, mailbox)?;
        event.single_value_extended_properties = Some(stash::pack(object, other));
        into.overrides.push((slot, event));
        if day(placed.start.instant(), when) != slot.date {
            moved.extend([slot.instant, placed.start.instant()]);
        }
    }
    into.left_out.sort_unstable();
    into.left_out.dedup();
    check_order(object, when, &moved)
}

/// Refuses an instance that is moved to or past the day of the one before or after it: Exchange holds no such series, and would
/// take everything else of it before it says so (fault catalogue 46). `moved` is where such instances come from and go to.
fn check_order(object: &Object, when: &When, moved: &[Timestamp]) -> Result<(), Refusal> {
    let (Some(first), Some(last)) = (moved.iter().min(), moved.iter().max()) else { return Ok(()) };
    let (Ok(start), Ok(end)) = (first.checked_sub(NEIGHBOURS), last.checked_add(NEIGHBOURS)) else { return Ok(()) };
    let zone = if when.all_day { &Zone::UTC } else { &when.start.zone };
    let found = ical::instances(object, &TimeRange { start, end }, zone, &mut Budget::object());
    // One that nobody can reckon is left to Exchange.
    let Ok(mut found) = found else { return Ok(()) };
    found.sort_by_key(|instance| instance.recurrence_id.as_ref().map(DateOrTime::civil));
    let is_in_order = found.windows(2).all(|pair| match pair {
        [before, after] => day(before.start, when) < day(after.start, when),
        _ => true,
    });
    if is_in_order { Ok(()) } else { Err(Refusal::Crossing) }
}

/// The day on the wall of the series.
fn day(instant: Timestamp, when: &When) -> Date {
    let zone = if when.all_day { &Zone::UTC } else { &when.start.zone };
    zone.to_civil(instant).date()
}

/// The instance that a RECURRENCE-ID or EXDATE names. A date in a timed series means the instance of that day.
fn slot(value: &DateOrTime, when: &When, zones: &Zones) -> Result<Slot, Refusal> {
    if when.all_day {
        let date = value.civil().date();
        return Ok(Slot { instant: Zone::UTC.to_instant(date.at(0, 0, 0, 0)), date });
    }
    let zone = &when.start.zone;
    if let DateOrTime::Date(date) = value {
        return Ok(Slot { instant: zone.to_instant(date.to_datetime(when.start.local.time())), date: *date });
    }
    let instant = times::at(value, zones, zone).ok_or(Refusal::UnknownZone)?.instant();
    Ok(Slot { instant, date: zone.to_civil(instant).date() })
}

fn recurrence_of(master: &Component, when: &When) -> Result<Option<Recurrence>, Refusal> {
    if master.property("RDATE").is_some() {
        return Err(Refusal::Dates);
    }
    if master.property("EXRULE").is_some() {
        return Err(Refusal::ExcludingRule);
    }
    let mut rules = master.all("RRULE");
    let Some(rule) = rules.next() else { return Ok(None) };
    if rules.next().is_some() {
        return Err(Refusal::SeveralRules);
    }
    let is_floating = matches!(master.property("DTSTART").map(DateOrTime::parse), Some(Ok(DateOrTime::Floating(_))));
    if is_floating {
        return Err(Refusal::FloatingSeries);
    }
    let windows = if when.all_day { Some("UTC") } else { windows_name(&when.start.zone, when.start.local) };
    let start = Start {
        local: when.start.local,
        all_day: when.all_day,
        zone: &when.start.zone,
        windows: windows.ok_or(Refusal::UnknownZone)?,
    };
    recurrence::to_graph(rule.value(), &start).map(Some)
}

fn member(component: &Component, zones: &Zones, mailbox: &Mailbox) -> Result<(Event, When), Refusal> {
    let when = When::of_component(component, zones, &mailbox.home)?;
    let (start, end) = when.wire();
    let (is_on, minutes) = reminder(component);
    let attendees = attendees(component)?;
    let wants_reply = |line: &Property| line.param("RSVP").is_some_and(|rsvp| rsvp.eq_ignore_ascii_case("TRUE"));
    let event = Event {
        subject: Some(text(component, "SUMMARY").replace(['\r', '\n'], " ")),
        body: Some(body_of(component)?),
        start: Some(start),
        end: Some(end),
        is_all_day: Some(when.all_day),
        importance: Some(importance(component).to_owned()),
        sensitivity: Some(sensitivity(component).to_owned()),
        show_as: Some(show_as(component).to_owned()),
        categories: Some(categories(component)),
        is_reminder_on: Some(is_on),
        reminder_minutes_before_start: minutes,
        location: Some(location(component)),
        response_requested: (!attendees.is_empty()).then(|| component.all("ATTENDEE").any(wants_reply)),
        allow_new_time_proposals: component
            .property("X-MICROSOFT-DISALLOW-COUNTER")
            .map(|line| !line.value().trim().eq_ignore_ascii_case("TRUE")),
        attendees: Some(attendees),
        ..Event::default()
    };
    Ok((event, when))
}

fn text(component: &Component, name: &str) -> String {
    component.property(name).map(Property::text).unwrap_or_default()
}

pub(super) fn status(component: &Component) -> String {
    text(component, "STATUS").trim().to_owned()
}

/// HTML is sent if it says the same as the text.
fn body_of(component: &Component) -> Result<ItemBody, Refusal> {
    let words = text(component, "DESCRIPTION");
    let html = component
        .all("X-ALT-DESC")
        .find(|line| line.param("FMTTYPE").is_some_and(|kind| kind.eq_ignore_ascii_case("text/html")))
        .map(|line| ItemBody { content_type: Some("html".to_owned()), content: Some(line.text()) });
    let body =
        html.filter(|html| body::same_words(&body::text_of(html), &words)).unwrap_or_else(|| body::plain(&words));
    if body.content.as_ref().is_some_and(|content| content.len() > LONGEST_BODY) {
        return Err(Refusal::TooLong);
    }
    Ok(body)
}

fn importance(component: &Component) -> &'static str {
    let number = |name: &str| component.property(name).and_then(|line| line.value().trim().parse::<u8>().ok());
    match (number("PRIORITY"), number("X-MICROSOFT-CDO-IMPORTANCE")) {
        (Some(1..=4), _) | (None | Some(0), Some(2)) => "high",
        (Some(6..=9), _) | (None | Some(0), Some(0)) => "low",
        _ => "normal",
    }
}

fn sensitivity(component: &Component) -> &'static str {
    match text(component, "CLASS").trim().to_ascii_uppercase().as_str() {
        "PRIVATE" => "private",
        "CONFIDENTIAL" => "confidential",
        _ => "normal",
    }
}

/// X-MICROSOFT-CDO-BUSYSTATUS counts if it agrees with TRANSP on free or busy.
fn show_as(component: &Component) -> &'static str {
    let is_free = text(component, "TRANSP").trim().eq_ignore_ascii_case("TRANSPARENT");
    let hint = ["X-MICROSOFT-CDO-BUSYSTATUS", "X-MICROSOFT-CDO-INTENDEDSTATUS", "X-APPLE-EWS-BUSYSTATUS"]
        .iter()
        .find_map(|name| component.property(name))
        .map(|line| line.value().trim().to_ascii_uppercase());
    match (is_free, hint.as_deref()) {
        (true, _) => "free",
        (false, Some("TENTATIVE")) => "tentative",
        (false, Some("OOF" | "UNAVAILABLE")) => "oof",
        (false, Some("WORKINGELSEWHERE")) => "workingElsewhere",
        (false, Some("BUSY")) => "busy",
        _ if status(component).eq_ignore_ascii_case("TENTATIVE") => "tentative",
        _ => "busy",
    }
}

fn categories(component: &Component) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for value in component.all("CATEGORIES").flat_map(Property::list) {
        let category = crate::ical::unescape_text(value).trim().to_owned();
        if !category.is_empty() && !found.contains(&category) {
            found.push(category);
        }
    }
    found
}

/// The first alarm that Outlook can hold: shown or heard, whole minutes before the start.
fn reminder(component: &Component) -> (bool, Option<i64>) {
    let minutes = component.children().iter().filter(|child| child.is("VALARM")).find_map(|alarm| {
        let action = alarm.property("ACTION").map(Property::text).unwrap_or_default();
        let trigger = alarm.property("TRIGGER")?;
        let is_end = trigger.param("RELATED").is_some_and(|related| related.eq_ignore_ascii_case("END"));
        let duration = Duration::parse(trigger.value()).ok()?;
        let seconds = -duration.total_seconds();
        let is_held = ["DISPLAY", "AUDIO"].iter().any(|known| action.trim().eq_ignore_ascii_case(known));
        (is_held && !is_end && seconds >= 0 && seconds % 60 == 0).then_some(seconds / 60)
    });
    (minutes.is_some(), minutes)
}

fn location(component: &Component) -> Location {
    let name = text(component, "LOCATION");
    let coordinates = component.property("GEO").filter(|_| !name.is_empty()).and_then(|line| {
        let (latitude, longitude) = line.value().split_once(';')?;
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        Some(Coordinates { latitude: Some(number(latitude)?), longitude: Some(number(longitude)?) })
    });
    Location { display_name: Some(name), coordinates }
}

/// Those whom Exchange shall invite. Whoever the client invites by itself (RFC 6638 7.1) is left out, for Exchange
/// mails everybody whom it knows of.
fn attendees(component: &Component) -> Result<Vec<Attendee>, Refusal> {
    let organizer = component.property("ORGANIZER").and_then(address);
    let mut found: Vec<Attendee> = Vec::new();
    for line in component.all("ATTENDEE") {
        let Some(address) = address(line) else { continue };
        let is_ours = line.param("SCHEDULE-AGENT").is_none_or(|agent| agent.eq_ignore_ascii_case("SERVER"));
        let is_twin = found.iter().any(|known| known.address().as_deref() == Some(&address));
        if !is_ours || is_twin || organizer.as_deref() == Some(&address) {
            continue;
        }
        let name = line.param("CN").map(std::borrow::Cow::into_owned).filter(|name| !name.is_empty());
        found.push(Attendee {
            kind: Some(kind(line).to_owned()),
            status: None,
            email_address: Some(EmailAddress { address: Some(address), name }),
        });
    }
    if found.len() > MOST_PEOPLE { Err(Refusal::TooManyPeople) } else { Ok(found) }
}

fn kind(line: &Property) -> &'static str {
    let is = |param: &str, values: &[&str]| {
        line.param(param).is_some_and(|value| values.iter().any(|known| value.eq_ignore_ascii_case(known)))
    };
    if is("CUTYPE", &["ROOM", "RESOURCE"]) {
        "resource"
    } else if is("ROLE", &["OPT-PARTICIPANT", "NON-PARTICIPANT"]) {
        "optional"
    } else {
        "required"
    }
}

/// The mail address of a person, in small letters.
pub(super) fn address(line: &Property) -> Option<String> {
    let value = line.value().trim();
    let scheme = value.get(..7)?;
    let address = value.get(7..).filter(|_| scheme.eq_ignore_ascii_case("mailto:"))?;
    address.contains('@').then(|| address.to_lowercase())
}

/// What the person with this address answered, in the words of Graph.
pub(super) fn response(component: &Component, of: &str) -> Option<&'static str> {
    let line = component.all("ATTENDEE").find(|line| address(line).as_deref() == Some(of))?;
    match line.param("PARTSTAT")?.to_ascii_uppercase().as_str() {
        "ACCEPTED" => Some("accepted"),
        "DECLINED" => Some("declined"),
        "TENTATIVE" => Some("tentativelyAccepted"),
        _ => None,
    }
}

const MOST_PEOPLE: usize = 500;
/// So far the instances before and after one are looked for: a year and some.
const NEIGHBOURS: SignedDuration = SignedDuration::from_hours(24 * 400);
const LONGEST_BODY: usize = 4 * 1024 * 1024;
