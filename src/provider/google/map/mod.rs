//! Between Google's events and iCalendar, purely and in both directions.
//!
//! `time` reads and writes starts, ends and rules; `people` organizer and attendees; `alarm` reminders; `stash` what Google
//! has no member for and keeps for us; `text` descriptions that may be HTML. What only Google knows (a Meet link, an
//! attachment, the type of an event) is shown under names that are skipped on the way back, so a PATCH leaves it alone.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::ical::{Component, DateOrTime, Draft, Line, Object, Zones};

mod alarm;
mod people;
mod stash;
mod text;
mod time;

pub use time::{instance_id, instance_key, moment_key};

/// What is known of a calendar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    /// Its zone.
    pub zone: Option<String>,
    /// Its usual reminders.
    pub reminders: Vec<Value>,
}

/// Whose calendar events are read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The calendar.
    pub calendar: Calendar,
    /// The account's address.
    pub email: String,
}

/// An event in Google's words: every member that iCalendar has a word for, `null` where there is nothing to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapped {
    /// The members.
    pub members: Map<String, Value>,
    /// The EXDATEs, by instance key; in a rule's lines only where a series is made anew.
    pub exdates: Vec<String>,
    /// The EXDATE lines as they stand in `recurrence`.
    pub exdate_lines: Vec<String>,
    /// What goes into the stash.
    pub stash: Vec<String>,
}

/// Why an object can't be held.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub &'static str);

/// The object of a single event, or of a series with its exceptions.
pub fn to_ical(master: Option<&Value>, exceptions: &[Value], context: &Context) -> String {
    let all = || master.into_iter().chain(exceptions);
    let uid =
        all().find_map(stash::uid).or_else(|| all().find_map(|event| string(event, "iCalUID").map(str::to_owned)));
    let uid = uid.or_else(|| all().find_map(|event| string(event, "id").map(str::to_owned))).unwrap_or_default();
    let mut calendar = Draft::calendar();
    if let Some(master) = master {
        calendar = calendar.child(component(master, None, &uid, exceptions, context));
    }
    let mut exceptions: Vec<&Value> =
        exceptions.iter().filter(|one| string(one, "status") != Some("cancelled")).collect();
    exceptions.sort_by_key(|one| instance_key(one));
    for exception in exceptions {
        calendar = calendar.child(component(exception, Some(master), &uid, &[], context));
    }
    String::from_utf8(calendar.octets()).unwrap_or_default()
}

/// One VEVENT. `of` is the master that an exception belongs to, if that is there.
#[expect(clippy::option_option, reason = "not given, given as none, and given are three things")]
fn component(event: &Value, of: Option<Option<&Value>>, uid: &str, exceptions: &[Value], context: &Context) -> Draft {
    let kept = stash::read(event);
    let stamp = |name: &str| string(event, name).and_then(|text| text.parse::<Timestamp>().ok()).map(whole);
    let mut draft = Draft::new("VEVENT").line(Line::new("UID").text(uid));
    let updated = stamp("updated").unwrap_or(Timestamp::UNIX_EPOCH);
    draft = draft.line(Line::at("DTSTAMP", &DateOrTime::Utc(updated)));
    draft = draft.line(Line::at("LAST-MODIFIED", &DateOrTime::Utc(updated)));
    if let Some(created) = stamp("created") {
        draft = draft.line(Line::at("CREATED", &DateOrTime::Utc(created)));
    }
    if let Some(sequence) = event.get("sequence").and_then(Value::as_i64).filter(|n| *n > 0) {
        draft = draft.line(Line::new("SEQUENCE").value(&sequence.to_string()));
    }
    draft = time::lines(draft, event, of, exceptions, (context, &kept));
    draft = simple(draft, event, &kept);
    draft = people::lines(draft, event, &kept);
    draft = foreign(draft, event);
    for line in kept.plain() {
        draft = draft.line(line);
    }
    alarm::components(draft, event, (context, &kept))
}

/// Members that are one property each.
fn simple(mut draft: Draft, event: &Value, kept: &stash::Kept) -> Draft {
    for (member, name) in [("summary", "SUMMARY"), ("location", "LOCATION")] {
        if let Some(text) = string(event, member).filter(|text| !text.is_empty()) {
            draft = draft.line(kept.with_params(name, Line::new(name)).text(text));
        }
    }
    if let Some(description) = string(event, "description").filter(|text| !text.is_empty()) {
        if text::is_html(description) {
            draft = draft.line(Line::new("DESCRIPTION").text(&text::plain(description)));
            draft = draft.line(Line::new("X-ALT-DESC").param("FMTTYPE", "text/html").text(description));
        } else {
            draft = draft.line(kept.with_params("DESCRIPTION", Line::new("DESCRIPTION")).text(description));
        }
    }
    for (member, name, values) in WORDS {
        let said = string(event, member).and_then(|value| values.iter().find(|(word, _)| *word == value));
        if let Some((_, value)) = said.filter(|(_, value)| !value.is_empty()) {
            draft = draft.line(Line::new(name).value(value));
        }
    }
    for (flag, value) in [("confirmed", "CONFIRMED"), (CALLED_OFF, "CANCELLED")] {
        if kept.has_flag(flag) && string(event, "status") == Some("confirmed") {
            draft = draft.line(Line::new("STATUS").value(value));
        }
    }
    if let Some((_, color)) = string(event, "colorId").and_then(|id| COLORS.iter().find(|(known, _)| *known == id)) {
        draft = draft.line(Line::new("COLOR").value(color));
    }
    draft
}

/// What only Google knows, shown and skipped on the way back.
fn foreign(mut draft: Draft, event: &Value) -> Draft {
    if let Some(kind) = string(event, "eventType").filter(|kind| *kind != "default") {
        draft = draft.line(Line::new(EVENT_TYPE).text(kind));
    }
    if let Some(link) = string(event, "hangoutLink") {
        draft = draft.line(Line::new("X-GOOGLE-CONFERENCE").value(link));
    }
    let entries = event.pointer("/conferenceData/entryPoints").and_then(Value::as_array);
    for uri in entries.into_iter().flatten().filter_map(|entry| string(entry, "uri")) {
        draft = draft.line(Line::new("CONFERENCE").param("VALUE", "URI").param(OWN, "TRUE").value(uri));
    }
    for file in event.get("attachments").and_then(Value::as_array).into_iter().flatten() {
        let Some(url) = string(file, "fileUrl") else { continue };
        let mut line = Line::new("ATTACH").param(OWN, "TRUE");
        if let Some(kind) = string(file, "mimeType") {
            line = line.param("FMTTYPE", kind);
        }
        if let Some(title) = string(file, "title") {
            line = line.param("FILENAME", title);
        }
        draft = draft.line(line.value(url));
    }
    draft
}

/// The event that one component says.
///
/// # Errors
/// When Google can't hold *when* it happens; everything else finds a place.
pub fn from_ical(component: &Component, object: &Object, context: &Context) -> Result<Mapped, Unfit> {
    if !component.is("VEVENT") {
        return Err(Unfit("a Google calendar holds events only, no tasks or notes"));
    }
    let zones = Zones::of(object);
    let mut mapped = Mapped::default();
    time::members(component, (object, &zones, context), &mut mapped)?;
    texts(component, &mut mapped);
    for (member, name, values) in WORDS {
        let said = component.property(name).map(|property| property.value().trim().to_ascii_uppercase());
        let word = said.and_then(|said| values.iter().find(|(_, value)| *value == said).map(|(word, _)| *word));
        let usual = values.first().map_or("", |(word, _)| *word);
        mapped.members.insert((*member).to_owned(), json!(word.unwrap_or(usual)));
    }
    if component.property("STATUS").is_some_and(|status| status.value().trim().eq_ignore_ascii_case("CONFIRMED")) {
        mapped.stash.push("!confirmed".to_owned());
    }
    // A cancelled event is a deleted one there. That it was called off is kept beside it; a single instance may be deleted.
    if component.property("RECURRENCE-ID").is_none() && mapped.members.get("status") == Some(&json!("cancelled")) {
        mapped.members.insert("status".to_owned(), json!("confirmed"));
        mapped.stash.push(format!("!{CALLED_OFF}"));
    }
    let color = component.property("COLOR").map(|color| color.value().trim().to_ascii_lowercase());
    let color_id = color.as_ref().and_then(|color| COLORS.iter().find(|(_, name)| name == color)).map(|(id, _)| *id);
    mapped.members.insert("colorId".to_owned(), json!(color_id));
    people::members(component, &mut mapped);
    alarm::members(component, &mut mapped);
    rest(component, color_id.is_some(), &mut mapped);
    Ok(mapped)
}

fn texts(component: &Component, mapped: &mut Mapped) {
    for (member, name) in [("summary", "SUMMARY"), ("location", "LOCATION"), ("description", "DESCRIPTION")] {
        let property = component.property(name);
        let said = property.map(crate::ical::Property::text);
        // A summary is one line there.
        let said = said.map(|text| if member == "description" { text } else { text.replace(['\r', '\n'], " ") });
        mapped.members.insert(member.to_owned(), json!(said.unwrap_or_default()));
        if property.is_some_and(|property| property.params().next().is_some()) {
            mapped.stash.extend(property.map(|property| format!("!params:{}", property.line())));
        }
        // LOCATION may come several times (RFC 9073): Google has room for the first.
        mapped.stash.extend(component.all(name).skip(1).map(|property| property.line().to_owned()));
    }
    let html = component
        .property("X-ALT-DESC")
        .filter(|html| html.param("FMTTYPE").is_some_and(|kind| kind.eq_ignore_ascii_case("text/html")));
    let Some(html) = html else { return };
    let (html, plain) = (html.text(), mapped.members.get("description").and_then(Value::as_str).unwrap_or_default());
    // The HTML wins only if it says the same as the text.
    if text::is_html(&html) && text::same(&text::plain(&html), plain) {
        mapped.members.insert("description".to_owned(), json!(html));
    }
}

/// Everything that has no member.
fn rest(component: &Component, has_color: bool, mapped: &mut Mapped) {
    for property in component.properties() {
        let name = property.name().to_ascii_uppercase();
        let is_ours = property.param(OWN).is_some();
        if is_ours || MAPPED.contains(&name.as_str()) || SHADOW.contains(&name.as_str()) || name == EVENT_TYPE {
            continue;
        }
        if (name == "COLOR" && has_color) || (name == "ATTACH" && property.value().len() > LONGEST_LINE) {
            continue;
        }
        mapped.stash.push(property.line().to_owned());
    }
}

pub(super) fn string<'a>(event: &'a Value, name: &str) -> Option<&'a str> {
    event.get(name).and_then(Value::as_str)
}

fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// The stash of an event as members, chunked; `id` is the event's own.
pub fn stash_members(mapped: &Mapped, id: &str, uid: Option<&str>) -> Map<String, Value> {
    stash::write(mapped, id, uid)
}

/// The UID that an event bears here, where its stash says so.
pub fn kept_uid(event: &Value) -> Option<String> {
    stash::uid(event)
}

/// The type of an event that was read, if it is no usual one.
pub fn special_type(component: &Component) -> Option<String> {
    component.property(EVENT_TYPE).map(crate::ical::Property::text)
}

/// Marks what is shown of Google's own and not written back.
const OWN: &str = "X-GOOGLE-OWN";
const EVENT_TYPE: &str = "X-GOOGLE-EVENT-TYPE";
/// The flag of an event that was called off.
const CALLED_OFF: &str = "cancelled";
/// A line that is longer stays in the gateway's own copy.
const LONGEST_LINE: usize = 8 << 10;

/// Member, property, and the words of both; the first is the default.
#[expect(clippy::type_complexity, reason = "a table, spelled out once")]
const WORDS: &[(&str, &str, &[(&str, &str)])] = &[
    ("status", "STATUS", &[("confirmed", ""), ("tentative", "TENTATIVE"), ("cancelled", "CANCELLED")]),
    ("transparency", "TRANSP", &[("opaque", ""), ("transparent", "TRANSPARENT")]),
    (
        "visibility",
        "CLASS",
        &[("default", ""), ("public", "PUBLIC"), ("private", "PRIVATE"), ("confidential", "CONFIDENTIAL")],
    ),
];

/// Properties with members of their own, and those that are made anew on each read.
const MAPPED: &[&str] = &[
    "UID",
    "DTSTAMP",
    "LAST-MODIFIED",
    "CREATED",
    "SEQUENCE",
    "DTSTART",
    "DTEND",
    "DURATION",
    "RECURRENCE-ID",
    "RRULE",
    "EXRULE",
    "RDATE",
    "EXDATE",
    "SUMMARY",
    "DESCRIPTION",
    "LOCATION",
    "STATUS",
    "TRANSP",
    "CLASS",
    "ORGANIZER",
    "ATTENDEE",
    "X-ALT-DESC",
    "X-GOOGLE-CONFERENCE",
    "REQUEST-STATUS",
];

/// What changes with every look at an alarm stays here: it is no reason to write upstream.
const SHADOW: &[&str] = &["X-MOZ-LASTACK", "X-MOZ-SNOOZE-TIME", "X-MOZ-GENERATION", "ACKNOWLEDGED"];

/// The event colours, by the nearest CSS name (RFC 7986 5.9).
const COLORS: &[(&str, &str)] = &[
    ("1", "lavender"),
    ("2", "mediumseagreen"),
    ("3", "mediumorchid"),
    ("4", "lightcoral"),
    ("5", "gold"),
    ("6", "orangered"),
    ("7", "deepskyblue"),
    ("8", "dimgray"),
    ("9", "royalblue"),
    ("10", "green"),
    ("11", "crimson"),
];

#[cfg(test)]
mod tests;
