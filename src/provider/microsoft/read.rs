//! From Graph to iCalendar: a master with its exceptions and cancelled occurrences, or a single event, as one object.
//!
//! A line of the stash stands as it was written where Graph still says the same in its part; all other lines are made
//! of what Graph says. Lines for which Graph has nothing come from the stash alone.

use jiff::civil::Date;

use super::parts::Part;
use super::recurrence::{self, Start};
use super::refusal::Refusal;
use super::times::{self, Moment, When};
use super::wire::{Attendee, Event, Recipient};
use super::write::{Mailbox, project};
use super::zone::windows_name;
use super::{body, stash};
use crate::ical::{Component, DateOrTime, Draft, Line, Object, Property, Zone, as_vtimezone};

/// The object that an event is, exceptions and cancelled occurrences in it.
pub(super) fn compose(event: &Event, mailbox: &Mailbox) -> Result<Object, Refusal> {
    let when = When::of_event(event).ok_or(Refusal::NoStart)?;
    if event.recurrence.is_some() && !when.all_day {
        // A rule in a zone that nobody knows says nothing about when.
        event.original_start_time_zone.as_deref().and_then(super::zone::zone_named).ok_or(Refusal::UnknownZone)?;
    }
    let uid = uid(event);
    let mut composer = Composer { uid, mailbox, members: Vec::new(), zones: Vec::new() };
    let skeleton = skeleton(event, &when)?;
    let master = composer.member(event, skeleton)?;
    let tzid = master_tzid(&master, &when);
    for exception in event.exception_occurrences.iter().flatten() {
        composer.exception(exception, (&when, tzid.as_ref()))?;
    }
    let master = left_out(event, &when, tzid.as_ref()).into_iter().fold(master, Draft::line);
    composer.members.insert(0, master);
    composer.finish()
}

struct Composer<'a> {
    uid: String,
    mailbox: &'a Mailbox,
    members: Vec<Draft>,
    /// Octets of the VTIMEZONEs that came with a stash.
    zones: Vec<Vec<u8>>,
}

impl Composer<'_> {
    /// One VEVENT: `own` are the lines that only Graph knows.
    #[expect(clippy::unnecessary_wraps, reason = "one of several functions of this shape")]
    fn member(&mut self, event: &Event, own: Vec<(Part, Line)>) -> Result<Draft, Refusal> {
        let stashed = stash::unpack(event);
        let mut draft = Draft::new("VEVENT").line(Line::new("UID").text(&self.uid));
        draft = stamps(event).into_iter().fold(draft, Draft::line);
        let mut made = own;
        made.extend(lines(event, self.mailbox));
        let kept = stashed.as_ref().and_then(|object| {
            let component = object.members().next()?;
            Some((component, kept_parts(object, event, self.mailbox)))
        });
        let Some((component, kept)) = kept else {
            draft = made.into_iter().fold(draft, |draft, (_, line)| draft.line(line));
            return Ok(alarm(event).into_iter().fold(draft, Draft::child));
        };
        let is_kept = |part: Part| kept.contains(&part);
        for line in component.properties().iter().filter(|line| !OWN.iter().any(|name| line.is(name))) {
            if Part::of_line(line.name()).is_none_or(is_kept) {
                draft = draft.line(answered(line, event, self.mailbox));
            }
        }
        let present = |line: &Line| {
            component.all(line.name()).any(|old| old.line() == line.as_str()) && Part::of_line(line.name()).is_none()
        };
        draft = made
            .into_iter()
            .filter(|(part, line)| {
                let is_told = is_kept(*part) && Part::of_line(line.name()).is_some() && !OWN.contains(&line.name());
                !is_told && !present(line)
            })
            .fold(draft, |draft, (_, line)| draft.line(line));
        for child in component.children().iter().filter(|child| Part::of_line(child.name()).is_none_or(is_kept)) {
            draft = draft.child(copied(child));
        }
        if !is_kept(Part::Reminder) {
            draft = alarm(event).into_iter().fold(draft, Draft::child);
        }
        if let Some(object) = &stashed {
            self.zones.extend(object.timezones().map(|zone| copied(zone).octets()));
        }
        Ok(draft)
    }

    fn exception(&mut self, event: &Event, (series, tzid): (&When, Option<&String>)) -> Result<(), Refusal> {
        let when = When::of_event(event).ok_or(Refusal::NoStart)?;
        let original = event.original_start.as_deref().and_then(times::stamp).ok_or(Refusal::NoInstanceNamed)?;
        let id = if series.all_day {
            let author = event.original_start_time_zone.as_deref();
            DateOrTime::Date(times::all_day_of(original, author).ok_or(Refusal::NoInstanceNamed)?)
        } else {
            on_the_wall(series, tzid, series.start.zone.to_civil(original))
        };
        let mut own = vec![(Part::When, Line::at("RECURRENCE-ID", &id))];
        own.extend(skeleton(event, &when)?);
        let draft = self.member(event, own)?;
        self.members.push(draft);
        Ok(())
    }

    fn finish(self) -> Result<Object, Refusal> {
        let members = self.members.into_iter().fold(Draft::calendar(), Draft::child);
        let object = members.object().map_err(|_| Refusal::Unreadable)?;
        with_zones(&object, self.zones).map_err(|_| Refusal::Unreadable)
    }
}

/// DTSTART, DTEND and RRULE.
fn skeleton(event: &Event, when: &When) -> Result<Vec<(Part, Line)>, Refusal> {
    let mut lines = vec![
        (Part::When, Line::at("DTSTART", &when.start.value(when.all_day))),
        (Part::When, Line::at("DTEND", &when.end.value(when.all_day))),
    ];
    if let Some(rule) = event.recurrence.as_ref().filter(|_| !event.is_instance()) {
        let windows = windows_name(&when.start.zone, when.start.local).unwrap_or("UTC");
        let start = Start { local: when.start.local, all_day: when.all_day, zone: &when.start.zone, windows };
        lines.push((Part::Recurrence, Line::new("RRULE").value(&recurrence::to_rrule(rule, &start)?)));
    }
    Ok(lines)
}

/// The parts in which the stash still agrees with what Graph says.
fn kept_parts(object: &Object, event: &Event, mailbox: &Mailbox) -> Vec<Part> {
    let Ok(alone) = alone(object) else { return Vec::new() };
    let Ok(projection) = project(&alone, mailbox) else { return Vec::new() };
    let mut wanted = projection.event;
    if event.is_instance() {
        wanted.recurrence = None;
    }
    let mut kept: Vec<Part> = super::parts::all().filter(|part| part.agrees(&wanted, event)).collect();
    if event.is_cancelled == Some(true) {
        kept.retain(|part| *part != Part::Busy);
    }
    kept
}

/// The stashed component as an event of its own, so that it can be projected like one.
fn alone(object: &Object) -> Result<Object, crate::ical::EditError> {
    let at = crate::ical::At::Member(0);
    crate::ical::Edit::new(object).remove(&at, "RECURRENCE-ID").finish()
}

/// A stashed line as it is now: of people, their answers come from Graph.
fn answered(line: &Property, event: &Event, mailbox: &Mailbox) -> Line {
    if !line.is("ATTENDEE") {
        return Line::copy(line);
    }
    let Some(partstat) = super::write::address(line).and_then(|address| partstat_of(event, &address, mailbox)) else {
        return Line::copy(line);
    };
    let mut new = Line::new(line.name());
    for param in line.params().filter(|param| !param.name().eq_ignore_ascii_case("PARTSTAT")) {
        let values: Vec<_> = param.values().collect();
        let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        new = new.param_list(param.name(), &values);
    }
    let was = line.param("PARTSTAT").is_some();
    // Left out where the client left it out: it is the default.
    let new = if was || partstat != "NEEDS-ACTION" { new.param("PARTSTAT", partstat) } else { new };
    new.value(line.value())
}

/// What a person answered. The owner's own answer stands on the event before it stands in the list.
fn partstat_of(event: &Event, address: &str, mailbox: &Mailbox) -> Option<&'static str> {
    let is_me = !event.is_own() && mailbox.address.as_deref() == Some(address);
    let own = event.response_status.as_ref().and_then(|status| status.response.as_deref()).filter(|_| is_me);
    let attendee = event.attendees.iter().flatten().find(|attendee| attendee.address().as_deref() == Some(address));
    let listed = attendee?.status.as_ref().and_then(|status| status.response.as_deref());
    Some(partstat(own.or(listed)))
}

fn partstat(response: Option<&str>) -> &'static str {
    match response {
        Some("accepted" | "organizer") => "ACCEPTED",
        Some("declined") => "DECLINED",
        Some("tentativelyAccepted") => "TENTATIVE",
        _ => "NEEDS-ACTION",
    }
}

/// All other lines, each with the part it speaks for.
fn lines(event: &Event, mailbox: &Mailbox) -> Vec<(Part, Line)> {
    let mut lines = Vec::new();
    let mut say = |part: Part, name: &str, text: &str| {
        if !text.trim().is_empty() {
            lines.push((part, Line::new(name).text(text)));
        }
    };
    say(Part::Subject, "SUMMARY", event.subject.as_deref().unwrap_or_default());
    if let Some(found) = &event.body {
        say(Part::Body, "DESCRIPTION", &body::text_of(found));
    }
    if let Some(location) = &event.location {
        say(Part::Location, "LOCATION", location.display_name.as_deref().unwrap_or_default());
    }
    if let Some(html) = event.body.as_ref().and_then(body::rich_html) {
        lines.push((Part::Body, Line::new("X-ALT-DESC").param("FMTTYPE", "text/html").text(html)));
    }
    lines.extend(place(event));
    let categories: Vec<&str> = event.categories.iter().flatten().map(String::as_str).collect();
    if !categories.is_empty() {
        lines.push((Part::Categories, Line::new("CATEGORIES").list(&categories)));
    }
    lines.extend(words(event));
    lines.extend(people(event, mailbox));
    lines.extend(meeting_link(event));
    lines
}

fn place(event: &Event) -> Option<(Part, Line)> {
    let coordinates = event.location.as_ref()?.coordinates.as_ref()?;
    let (latitude, longitude) = coordinates.latitude.zip(coordinates.longitude)?;
    Some((Part::Location, Line::new("GEO").value(&format!("{latitude};{longitude}"))))
}

/// Members that take one of a few words.
fn words(event: &Event) -> Vec<(Part, Line)> {
    let mut lines = Vec::new();
    let mut say = |part: Part, name: &str, value: &str| lines.push((part, Line::new(name).value(value)));
    match event.sensitivity.as_deref() {
        Some("private" | "personal") => say(Part::Sensitivity, "CLASS", "PRIVATE"),
        Some("confidential") => say(Part::Sensitivity, "CLASS", "CONFIDENTIAL"),
        _ => {}
    }
    if event.show_as.as_deref() == Some("free") {
        say(Part::Busy, "TRANSP", "TRANSPARENT");
    }
    match event.show_as.as_deref() {
        Some("tentative") => say(Part::Busy, "X-MICROSOFT-CDO-BUSYSTATUS", "TENTATIVE"),
        Some("oof") => say(Part::Busy, "X-MICROSOFT-CDO-BUSYSTATUS", "OOF"),
        Some("workingElsewhere") => say(Part::Busy, "X-MICROSOFT-CDO-BUSYSTATUS", "WORKINGELSEWHERE"),
        _ => {}
    }
    if event.is_cancelled == Some(true) {
        say(Part::Busy, "STATUS", "CANCELLED");
    }
    match event.importance.as_deref() {
        Some("high") => say(Part::Importance, "PRIORITY", "1"),
        Some("low") => say(Part::Importance, "PRIORITY", "9"),
        _ => {}
    }
    if event.allow_new_time_proposals == Some(false) {
        say(Part::Proposals, "X-MICROSOFT-DISALLOW-COUNTER", "TRUE");
    }
    lines
}

/// ORGANIZER and ATTENDEEs. An appointment without others has an organiser in Graph, which says nothing.
fn people(event: &Event, mailbox: &Mailbox) -> Vec<(Part, Line)> {
    if !event.has_attendees() && event.is_own() {
        return Vec::new();
    }
    let mut lines = Vec::new();
    let organizer = event.organizer.as_ref().and_then(|organizer| person("ORGANIZER", organizer));
    lines.extend(organizer.map(|(line, address)| (Part::People, line.value(&format!("mailto:{address}")))));
    for attendee in event.attendees.iter().flatten() {
        lines.extend(invited(attendee, event, mailbox).map(|line| (Part::People, line)));
    }
    lines
}

fn person(name: &str, recipient: &Recipient) -> Option<(Line, String)> {
    let email = recipient.email_address.as_ref()?;
    let address = email.address.as_deref().map(str::trim).filter(|address| address.contains('@'))?;
    let line = Line::new(name);
    let name = email.name.as_deref().filter(|name| !name.trim().is_empty() && *name != address);
    Some((name.map_or(line.clone(), |name| line.param("CN", name)), address.to_owned()))
}

fn invited(attendee: &Attendee, event: &Event, mailbox: &Mailbox) -> Option<Line> {
    let recipient = Recipient { email_address: attendee.email_address.clone() };
    let (line, address) = person("ATTENDEE", &recipient)?;
    let line = match attendee.kind.as_deref() {
        Some("optional") => line.param("ROLE", "OPT-PARTICIPANT"),
        Some("resource") => line.param("CUTYPE", "RESOURCE"),
        _ => line,
    };
    let answer = partstat_of(event, &address.to_lowercase(), mailbox).unwrap_or("NEEDS-ACTION");
    let line = line.param("PARTSTAT", answer);
    let line = if event.response_requested == Some(true) { line.param("RSVP", "TRUE") } else { line };
    Some(line.value(&format!("mailto:{address}")))
}

/// The link to join an online meeting, where each client looks for it.
fn meeting_link(event: &Event) -> Vec<(Part, Line)> {
    let link = event.online_meeting.as_ref().and_then(|meeting| meeting.join_url.as_deref());
    let Some(link) = link.filter(|link| link.starts_with("https://")) else { return Vec::new() };
    let conference =
        Line::new("CONFERENCE").param("VALUE", "URI").param_list("FEATURE", &["AUDIO", "VIDEO"]).value(link);
    vec![(Part::Stash, conference), (Part::Stash, Line::new("X-MICROSOFT-SKYPETEAMSMEETINGURL").value(link))]
}

fn alarm(event: &Event) -> Option<Draft> {
    let minutes = event.reminder_minutes_before_start.filter(|_| event.is_reminder_on == Some(true))?.max(0);
    let trigger = if minutes == 0 { "PT0S".to_owned() } else { format!("-PT{minutes}M") };
    let shown = event.subject.as_deref().filter(|subject| !subject.trim().is_empty()).unwrap_or("Reminder");
    let draft = Draft::new("VALARM").line(Line::new("ACTION").value("DISPLAY"));
    Some(draft.line(Line::new("DESCRIPTION").text(shown)).line(Line::new("TRIGGER").value(&trigger)))
}

fn stamps(event: &Event) -> Vec<Line> {
    let utc = |text: &Option<String>| {
        let instant = text.as_deref().and_then(times::stamp)?;
        Some(DateOrTime::Utc(instant.round(jiff::Unit::Second).ok()?))
    };
    let changed = utc(&event.last_modified_date_time);
    let stamp = changed.clone().unwrap_or(DateOrTime::Utc(jiff::Timestamp::UNIX_EPOCH));
    let mut lines = vec![Line::at("DTSTAMP", &stamp)];
    lines.extend(utc(&event.created_date_time).map(|created| Line::at("CREATED", &created)));
    lines.extend(changed.map(|changed| Line::at("LAST-MODIFIED", &changed)));
    lines
}

/// EXDATEs of the cancelled occurrences, `OID.<master>.<yyyy-MM-dd>`: the date is that of the wall of the series.
fn left_out(event: &Event, when: &When, tzid: Option<&String>) -> Vec<Line> {
    let mut dates: Vec<Date> =
        event.cancelled_occurrences.iter().flatten().filter_map(|id| cancelled_date(id)).collect();
    dates.sort_unstable();
    dates.dedup();
    let value = |date: Date| {
        if when.all_day {
            DateOrTime::Date(date)
        } else {
            on_the_wall(when, tzid, date.to_datetime(when.start.local.time()))
        }
    };
    dates.into_iter().map(|date| Line::at("EXDATE", &value(date))).collect()
}

/// The date in the id of a cancelled occurrence.
pub(super) fn cancelled_date(id: &str) -> Option<Date> {
    id.get(id.len().checked_sub(10)?..)?.parse().ok()
}

fn on_the_wall(series: &When, tzid: Option<&String>, local: jiff::civil::DateTime) -> DateOrTime {
    let zone = series.start.zone.clone();
    let tzid = tzid.cloned().unwrap_or_else(|| series.start.tzid.clone());
    Moment { local, zone, tzid }.value(false)
}

/// The TZID that the master was given: the stash may spell it otherwise.
fn master_tzid(master: &Draft, when: &When) -> Option<String> {
    if when.all_day {
        return None;
    }
    let object = Draft::calendar().child(master.clone()).object().ok()?;
    let start = DateOrTime::parse(object.master()?.property("DTSTART")?).ok()?;
    Some(start.tzid().map_or_else(|| "UTC".to_owned(), ToOwned::to_owned))
}

/// The UID: the client's own from the stash; else the organiser's out of Exchange's; else Exchange's.
pub(super) fn uid(event: &Event) -> String {
    let stashed = stash::unpack(event).map(|object| object.uid().to_owned()).filter(|uid| !uid.is_empty());
    let server = event.ical_uid.as_deref().filter(|uid| !uid.trim().is_empty());
    stashed
        .or_else(|| server.map(|uid| wrapped_uid(uid).unwrap_or_else(|| uid.to_owned())))
        .unwrap_or_else(|| event.id.clone())
}

/// The UID of an invitation that came by mail, which Exchange wraps in one of its own (MS-OXOCAL 2.2.1.27).
fn wrapped_uid(uid: &str) -> Option<String> {
    let octets = data_encoding::HEXUPPER_PERMISSIVE.decode(uid.as_bytes()).ok()?;
    let data = octets.get(40..)?.strip_prefix(b"vCal-Uid\x01\x00\x00\x00")?;
    let text = data.strip_suffix(b"\0").unwrap_or(data);
    String::from_utf8(text.to_vec()).ok().filter(|uid| !uid.is_empty() && !uid.chars().any(char::is_control))
}

fn copied(component: &Component) -> Draft {
    let draft =
        component.properties().iter().fold(Draft::new(component.name()), |draft, line| draft.line(Line::copy(line)));
    component.children().iter().map(copied).fold(draft, Draft::child)
}

/// The object with a VTIMEZONE for each TZID in it: the client's own where it had one, else from the zone database.
fn with_zones(object: &Object, own: Vec<Vec<u8>>) -> Result<Object, crate::ical::EditError> {
    let at = crate::ical::At::Calendar;
    let mut edit = crate::ical::Edit::new(object);
    let mut done: Vec<String> = Vec::new();
    for octets in own {
        edit = edit.add_component(&at, &octets);
    }
    for tzid in object.members().flat_map(Component::properties).filter_map(|line| line.param("TZID")) {
        if done.iter().any(|known| *known == tzid) {
            continue;
        }
        if let Some(zone) = Zone::resolve(&tzid, None) {
            edit = edit.add_component(&at, &as_vtimezone(&tzid, &zone).octets());
        }
        done.push(tzid.into_owned());
    }
    edit.finish()
}

/// Lines that a member always has from elsewhere.
const OWN: &[&str] = &["UID", "DTSTAMP", "CREATED", "LAST-MODIFIED", "EXDATE", "RECURRENCE-ID"];
