//! Starts, ends and rules (RFC 5545 3.8.2, 3.8.5).
//!
//! Google keeps an instant and, beside it, the zone in which a rule goes on; the name is what matters for a series, so it is
//! never lost on the way. What is floating there is written in the calendar's own zone and marked in the stash.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde_json::{Value, json};

use super::{Context, Mapped, Unfit, stash, string};
use crate::ical::{Component, DateOrTime, Draft, Duration, Line, Object, Period, Property, Zone, Zones};

/// What an instance is known by: its original start in UTC, or its date.
pub fn instance_key(event: &Value) -> Option<String> {
    let original = event.get("originalStartTime")?;
    if let Some(date) = string(original, "date") {
        return Some(date.replace('-', ""));
    }
    let at = string(original, "dateTime")?;
    if let Ok(instant) = at.parse::<Timestamp>() {
        return Some(DateOrTime::Utc(instant).to_string());
    }
    let zone = Zone::iana(string(original, "timeZone")?)?;
    Some(DateOrTime::Utc(zone.to_instant(at.parse().ok()?)).to_string())
}

/// The id of the instance of a series that begins at `key`. Opaque by the letter, and the same for years.
pub fn instance_id(master: &str, key: &str) -> String {
    // A series that was split off bears its first instance in its id, and its instances do not.
    let base = master.rsplit_once("_R").map_or(master, |(base, _)| base);
    format!("{base}_{key}")
}

/// The key of a moment of an object.
pub fn moment_key(moment: &DateOrTime, object: &Object, context: &Context) -> String {
    match moment {
        DateOrTime::Date(_) | DateOrTime::Utc(_) => moment.to_string(),
        other => DateOrTime::Utc(instant(other, &Zones::of(object), context)).to_string(),
    }
}

fn instant(moment: &DateOrTime, zones: &Zones, context: &Context) -> Timestamp {
    match moment {
        DateOrTime::Utc(instant) => *instant,
        DateOrTime::Zoned { local, tzid } => zones.get(tzid).unwrap_or(&Zone::UTC).to_instant(*local),
        other => usual(context).1.to_instant(other.civil()),
    }
}

/// The zone of the calendar.
fn usual(context: &Context) -> (String, Zone) {
    let name = context.calendar.zone.as_deref().unwrap_or("UTC");
    match Zone::iana(name) {
        Some(zone) => (name.to_owned(), zone),
        None => ("UTC".to_owned(), Zone::UTC),
    }
}

/// Reads `{date | dateTime, timeZone}`, in the zone that it names, else in `zone`.
fn point(value: &Value, zone: Option<&str>, kept: &stash::Kept) -> Option<DateOrTime> {
    if let Some(date) = string(value, "date") {
        return Some(DateOrTime::Date(date.parse().ok()?));
    }
    let text = string(value, "dateTime")?;
    let name = string(value, "timeZone").or(zone);
    let named = name.and_then(|name| Some((name, Zone::iana(name)?)));
    let (local, at) = match (text.parse::<Timestamp>(), &named) {
        (Ok(instant), Some((_, zone))) => (zone.to_civil(instant), instant),
        (Ok(instant), None) => (Offset::UTC.to_datetime(instant), instant),
        (Err(_), named) => {
            let local: DateTime = text.parse().ok()?;
            (local, named.as_ref().map_or(&Zone::UTC, |(_, zone)| zone).to_instant(local))
        }
    };
    let local = local.with().subsec_nanosecond(0).build().unwrap_or(local);
    if kept.has_flag("floating") {
        return Some(DateOrTime::Floating(local));
    }
    match named {
        Some((name, _)) if !is_utc(name) => {
            let spelled = kept.values("tzid").find_map(|kept| kept.strip_prefix(name)?.strip_prefix('='));
            Some(DateOrTime::Zoned { local, tzid: spelled.unwrap_or(name).to_owned() })
        }
        _ => Some(DateOrTime::Utc(Timestamp::from_second(at.as_second()).unwrap_or(at))),
    }
}

fn is_utc(name: &str) -> bool {
    ["UTC", "Etc/UTC", "GMT", "Etc/GMT", "Z"].contains(&name)
}

/// `moment` in the form of `like`: the value type and the zone of the start that it belongs to.
fn in_form_of(moment: DateOrTime, like: &DateOrTime, at: impl Fn(&DateOrTime) -> Timestamp) -> DateOrTime {
    let zone = |tzid: &str| Zone::resolve(tzid, None);
    match like {
        DateOrTime::Date(_) => DateOrTime::Date(moment.civil().date()),
        _ if moment.is_date() => moment,
        DateOrTime::Utc(_) => DateOrTime::Utc(at(&moment)),
        DateOrTime::Floating(_) => DateOrTime::Floating(moment.civil()),
        DateOrTime::Zoned { tzid, .. } if moment.tzid() != Some(tzid) => match zone(tzid) {
            Some(zone) => DateOrTime::Zoned { local: zone.to_civil(at(&moment)), tzid: tzid.clone() },
            None => moment,
        },
        DateOrTime::Zoned { .. } => moment,
    }
}

#[expect(clippy::option_option, reason = "not given, given as none, and given are three things")]
pub(super) fn lines(
    mut draft: Draft,
    event: &Value,
    of: Option<Option<&Value>>,
    exceptions: &[Value],
    (context, kept): (&Context, &stash::Kept),
) -> Draft {
    let usual_zone = context.calendar.zone.as_deref();
    let none = stash::Kept::default();
    let master = of.flatten();
    let start_of = |event: &Value, kept: &stash::Kept| point(event.get("start")?, usual_zone, kept);
    let Some(start) = start_of(event, kept) else { return draft };
    let rule_start = master.and_then(|master| start_of(master, &stash::read(master))).unwrap_or_else(|| start.clone());
    let read = |moment: &DateOrTime| match moment {
        DateOrTime::Utc(instant) => *instant,
        DateOrTime::Zoned { local, tzid } => Zone::resolve(tzid, None).unwrap_or(Zone::UTC).to_instant(*local),
        other => usual(context).1.to_instant(other.civil()),
    };
    let original = |event: &Value| {
        let moment = point(event.get("originalStartTime")?, usual_zone, &none)?;
        Some(in_form_of(moment, &rule_start, read))
    };
    if of.is_some()
        && let Some(id) = original(event)
    {
        draft = draft.line(Line::at("RECURRENCE-ID", &id));
    }
    draft = draft.line(Line::at("DTSTART", &start));
    draft = end(draft, event, &start, (usual_zone, kept));
    let mut left_out = Vec::new();
    for text in event.get("recurrence").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        let Some(holder) = stash::property(text) else { continue };
        for property in holder.properties() {
            if !property.is("EXDATE") && !property.is("RDATE") {
                draft = draft.line(Line::copy(property));
                continue;
            }
            for moment in DateOrTime::parse_all(property).unwrap_or_default() {
                let moment = in_form_of(moment, &rule_start, read);
                if property.is("EXDATE") {
                    left_out.push(moment);
                } else {
                    draft = draft.line(Line::at("RDATE", &moment));
                }
            }
        }
    }
    left_out.extend(exceptions.iter().filter(|one| string(one, "status") == Some("cancelled")).filter_map(original));
    left_out.sort();
    left_out.dedup();
    left_out.iter().fold(draft, |draft, moment| draft.line(Line::at("EXDATE", moment)))
}

fn end(draft: Draft, event: &Value, start: &DateOrTime, (zone, kept): (Option<&str>, &stash::Kept)) -> Draft {
    let start_zone = event.get("start").and_then(|start| string(start, "timeZone")).or(zone);
    let Some(end) = event.get("end").and_then(|end| point(end, start_zone, kept)) else { return draft };
    // The stash tells how it was written, as long as that still comes to the same.
    if kept.has_flag("noend") && end == implied(start) {
        return draft;
    }
    if kept.has_flag("zero") && end == implied(start) {
        return draft.line(Line::at("DTEND", start));
    }
    let written = kept.value("duration").and_then(|text| Some((text, Duration::parse(text).ok()?)));
    if let Some((text, _)) = written.filter(|(_, duration)| after(start, duration) == end) {
        return draft.line(Line::new("DURATION").value(text));
    }
    draft.line(Line::at("DTEND", &end))
}

/// The end that is written where there is none.
fn implied(start: &DateOrTime) -> DateOrTime {
    let one = if start.is_date() { Duration { days: 1, ..Duration::default() } } else { MINUTE };
    after(start, &one)
}

/// Days by the calendar, the rest by the clock (RFC 5545 3.3.6).
fn after(start: &DateOrTime, duration: &Duration) -> DateOrTime {
    let days = |local: DateTime| local.checked_add(duration.nominal_days().days()).unwrap_or(local);
    let exact = SignedDuration::from_secs(duration.exact_seconds());
    match start {
        DateOrTime::Date(date) => DateOrTime::Date(days(date.at(0, 0, 0, 0)).date()),
        DateOrTime::Utc(at) => {
            let all = SignedDuration::from_secs(duration.total_seconds());
            DateOrTime::Utc(at.checked_add(all).unwrap_or(*at))
        }
        DateOrTime::Floating(local) => DateOrTime::Floating(days(*local).checked_add(exact).unwrap_or(*local)),
        DateOrTime::Zoned { local, tzid } => {
            let zone = Zone::resolve(tzid, None).unwrap_or(Zone::UTC);
            let at = zone.to_instant(days(*local));
            let end = zone.to_civil(at.checked_add(exact).unwrap_or(at));
            DateOrTime::Zoned { local: end, tzid: tzid.clone() }
        }
    }
}

pub(super) fn members(
    component: &Component,
    (object, zones, context): (&Object, &Zones, &Context),
    mapped: &mut Mapped,
) -> Result<(), Unfit> {
    let read = |name: &str| component.property(name).map(DateOrTime::parse).transpose().map_err(|_| BAD_TIME);
    let start = read("DTSTART")?.ok_or(Unfit("an event without a start can't be written to Google"))?;
    let is_series = ["RRULE", "RDATE", "EXRULE"].iter().any(|name| component.property(name).is_some());
    let place = |moment: &DateOrTime, mapped: &mut Mapped| place(moment, is_series, (zones, context), mapped);
    let end = match (read("DTEND")?, component.property("DURATION")) {
        (Some(end), _) if end == start => {
            mapped.stash.push("!zero".to_owned());
            implied(&start)
        }
        (Some(end), _) => end,
        (None, Some(duration)) => {
            mapped.stash.push(format!("!duration:{}", duration.value().trim()));
            after(&start, &Duration::parse(duration.value()).map_err(|_| BAD_TIME)?)
        }
        (None, None) => {
            mapped.stash.push("!noend".to_owned());
            implied(&start)
        }
    };
    for (member, moment) in [("start", &start), ("end", &end)] {
        let value = place(moment, mapped)?;
        mapped.members.insert(member.to_owned(), value);
    }
    if component.property("RECURRENCE-ID").is_none() {
        rules(component, &start, (object, zones, context), mapped)?;
    }
    Ok(())
}

fn place(
    moment: &DateOrTime,
    is_series: bool,
    (zones, context): (&Zones, &Context),
    mapped: &mut Mapped,
) -> Result<Value, Unfit> {
    let timed = |at: Timestamp, zone: &Zone, name: &str| {
        let local = zone.to_civil(at);
        let offset = Offset::UTC.to_timestamp(local).map_or(0, |shown| shown.duration_since(at).as_secs());
        let sign = if offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
        let text = local.strftime("%Y-%m-%dT%H:%M:%S");
        json!({ "date": null, "dateTime": format!("{text}{sign}{hours:02}:{minutes:02}"), "timeZone": name })
    };
    let mut flag = |text: String| {
        if !mapped.stash.contains(&text) {
            mapped.stash.push(text);
        }
    };
    Ok(match moment {
        DateOrTime::Date(date) => json!({ "date": date.to_string(), "dateTime": null, "timeZone": null }),
        DateOrTime::Utc(at) => json!({ "date": null, "dateTime": at.to_string(), "timeZone": "UTC" }),
        DateOrTime::Floating(_) if is_series => {
            return Err(Unfit("Google has no series of floating times: give the event a time zone"));
        }
        DateOrTime::Floating(local) => {
            flag("!floating".to_owned());
            let (name, zone) = usual(context);
            timed(zone.to_instant(*local), &zone, &name)
        }
        DateOrTime::Zoned { local, tzid } => {
            let zone = zones.get(tzid).ok_or(Unfit("the event's time zone is not known"))?;
            let at = zone.to_instant(*local);
            match zone.name() {
                Some(name) => {
                    if name != tzid {
                        flag(format!("!tzid:{name}={tzid}"));
                    }
                    timed(at, zone, name)
                }
                None if is_series => {
                    return Err(Unfit("the series is in a time zone of its own that Google does not know"));
                }
                None => timed(at, &Zone::UTC, "UTC"),
            }
        }
    })
}

fn rules(
    component: &Component,
    start: &DateOrTime,
    (object, zones, context): (&Object, &Zones, &Context),
    mapped: &mut Mapped,
) -> Result<(), Unfit> {
    let mut lines = Vec::new();
    for property in component.properties() {
        let name = property.name().to_ascii_uppercase();
        match name.as_str() {
            "RRULE" | "EXRULE" => {
                let value = rule(property, start, zones)?;
                lines.push(format!("{name}:{value}"));
            }
            "RDATE" if Period::parse_all(property).is_ok() => {
                return Err(Unfit("Google holds no periods as extra dates of a series"));
            }
            "RDATE" | "EXDATE" => {
                for moment in DateOrTime::parse_all(property).map_err(|_| BAD_TIME)? {
                    let line = listed(&name, &moment, zones);
                    if name == "RDATE" {
                        lines.push(line);
                    } else {
                        mapped.exdate_lines.push(line);
                        let moment = in_form_of(moment, start, |moment| instant(moment, zones, context));
                        mapped.exdates.push(moment_key(&moment, object, context));
                    }
                }
            }
            _ => {}
        }
    }
    lines.sort_unstable();
    mapped.members.insert("recurrence".to_owned(), if lines.is_empty() { Value::Null } else { json!(lines) });
    Ok(())
}

/// A rule as Google takes it: UNTIL is a date in series of days, and in UTC in all others.
fn rule(property: &Property, start: &DateOrTime, zones: &Zones) -> Result<String, Unfit> {
    let value = property.value().trim().to_ascii_uppercase();
    let mut parts = Vec::new();
    for part in value.split(';').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("FREQ", "HOURLY" | "MINUTELY" | "SECONDLY")) => {
                return Err(Unfit("Google has no series that go on by the hour or faster"));
            }
            Some(("UNTIL", until)) => {
                let moment = DateOrTime::parse_value(until, start.tzid()).map_err(|_| BAD_TIME)?;
                parts.push(format!("UNTIL={}", until_of(&moment, start, zones)));
            }
            _ => parts.push(part.to_owned()),
        }
    }
    Ok(parts.join(";"))
}

fn until_of(until: &DateOrTime, start: &DateOrTime, zones: &Zones) -> String {
    let zone = start.tzid().and_then(|tzid| zones.get(tzid)).unwrap_or(&Zone::UTC);
    match (until, start) {
        (DateOrTime::Utc(at), DateOrTime::Date(_)) => DateOrTime::Date(zone.to_civil(*at).date()).to_string(),
        (until, DateOrTime::Date(_)) => DateOrTime::Date(until.civil().date()).to_string(),
        (DateOrTime::Utc(_), _) => until.to_string(),
        // A date means all of that day: the last instance stays in.
        (DateOrTime::Date(date), _) => DateOrTime::Utc(zone.to_instant(date.at(23, 59, 59, 0))).to_string(),
        (local, _) => DateOrTime::Utc(zone.to_instant(local.civil())).to_string(),
    }
}

fn listed(name: &str, moment: &DateOrTime, zones: &Zones) -> String {
    match moment {
        DateOrTime::Date(_) => format!("{name};VALUE=DATE:{moment}"),
        DateOrTime::Zoned { tzid, .. } => {
            let zone = zones.get(tzid).and_then(Zone::name).unwrap_or(tzid);
            format!("{name};TZID={zone}:{moment}")
        }
        _ => format!("{name}:{moment}"),
    }
}

const MINUTE: Duration = Duration { negative: false, weeks: 0, days: 0, hours: 0, minutes: 1, seconds: 0 };
const BAD_TIME: Unfit = Unfit("a time of the event can't be read");
