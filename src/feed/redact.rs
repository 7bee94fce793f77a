//! What a feed lets through of one event (RFC 5545 3.6.1): every property is named here or hidden.
//!
//! Invariant: a property whose field is not shown is not in the result, nor is a parameter that could repeat it; values
//! of times, rules and states are written anew from what was understood of them, so nothing hides in those either. What
//! is new to us counts as [`Field::Other`].
//!
//! Each TZID gets the IANA name of its zone, which all readers know, and so one VTIMEZONE serves the whole feed. Zones of
//! nobody's knowledge are named by their rules' fingerprint. Reminders that would send mail are never passed on.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use crate::ical::{
    Component, DateOrTime, Draft, Duration, Line, Object, Period, Property, Rule, UtcOffset, Zone, Zones,
};
use crate::subscription::{Detail, Feed, Field};

/// By what an event is judged.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    /// The feed.
    pub(super) feed: &'a Feed,
    /// The most that the event's calendar allows.
    pub(super) allowed: Detail,
    /// The person's own addresses, in lower case: whose "declined" counts.
    pub(super) own: &'a BTreeSet<String>,
}

/// A zone that an event needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ZoneUse {
    /// One of the zone database.
    Iana(String),
    /// Rules of its own: its name here, and its definition.
    Own(String, Vec<u8>),
}

/// What is shown of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    /// Its VEVENTs.
    pub(super) octets: Vec<u8>,
    /// The zones they name.
    pub(super) zones: BTreeSet<ZoneUse>,
}

impl Judge<'_> {
    /// What is shown of an event; `None` if nothing is.
    pub(super) fn fragment(&self, object: &Object) -> Option<Fragment> {
        let leading = object.master().or_else(|| object.members().next())?;
        let class = allowed_by_class(leading, self.feed.rules.private);
        if !leading.is("VEVENT") || !self.wants(leading, leading) || self.is_free(leading, self.allowed.max(class)) {
            return None;
        }
        let zones = zones(object);
        let (mut octets, mut hidden) = (Vec::new(), Vec::new());
        for member in object.members().filter(|member| member.property("RECURRENCE-ID").is_some()) {
            let allowed = self.allowed.max(class).max(allowed_by_class(member, self.feed.rules.private));
            if !self.wants(member, leading) || self.is_free(member, allowed) {
                hidden.extend(member.property("RECURRENCE-ID").and_then(|line| DateOrTime::parse(line).ok()));
                continue;
            }
            octets.extend(self.member(member, allowed, &zones, &[]).octets());
        }
        if let Some(master) = object.master() {
            let first = self.member(master, self.allowed.max(class), &zones, &hidden).octets();
            octets.splice(0..0, first);
        }
        let used = zones.into_values().flatten().map(|(_, used)| used).collect();
        (!octets.is_empty()).then_some(Fragment { octets, zones: used })
    }

    /// Whether the feed's filters let an event pass, or one occurrence that differs: what that does not say itself, its
    /// series says.
    fn wants(&self, event: &Component, series: &Component) -> bool {
        let rules = &self.feed.rules;
        let said_by = |name: &str| if event.property(name).is_some() { event } else { series };
        let is_all_day =
            event.property("DTSTART").is_some_and(|line| DateOrTime::parse(line).is_ok_and(|at| at.is_date()));
        let categories: Vec<String> = said_by("CATEGORIES")
            .all("CATEGORIES")
            .flat_map(|line| line.list().map(|one| crate::ical::unescape_text(one).into_owned()).collect::<Vec<_>>())
            .collect();
        let title = said_by("SUMMARY").property("SUMMARY").map(Property::text).unwrap_or_default();
        rules.wants_all_day(is_all_day)
            && rules.wants_categories(&categories)
            && rules.wants_title(&title)
            && !self.is_declined(event)
    }

    fn is_declined(&self, event: &Component) -> bool {
        let own = |line: &Property| self.own.contains(&line.value().trim().to_lowercase());
        let declined =
            |line: &Property| line.param("PARTSTAT").is_some_and(|said| said.eq_ignore_ascii_case("DECLINED"));
        !self.feed.rules.declined && event.all("ATTENDEE").any(|line| own(line) && declined(line))
    }

    /// Where nothing but "busy" is told, there is nothing to tell of time that is free.
    fn is_free(&self, event: &Component, allowed: Detail) -> bool {
        let says = |name: &str, word: &str| {
            event.property(name).is_some_and(|line| line.value().trim().eq_ignore_ascii_case(word))
        };
        self.feed.rules.fields(allowed).is_empty()
            && (says("TRANSP", "TRANSPARENT")
                || says("STATUS", "CANCELLED")
                || says("X-MICROSOFT-CDO-BUSYSTATUS", "FREE"))
    }

    fn member(&self, member: &Component, allowed: Detail, zones: &Renamed, gone: &[DateOrTime]) -> Draft {
        let fields = self.feed.rules.fields(allowed);
        let whole = fields.len() == Field::ALL.len();
        let mut event = Draft::new("VEVENT");
        let mut has_title = false;
        for property in member.properties() {
            let line = match Known::of(property) {
                // Some programs make UIDs of titles and addresses.
                Known::Uid if fields.contains(&Field::Other) && fields.contains(&Field::Title) => {
                    Some(Line::copy(property))
                }
                Known::Uid => Some(Line::new("UID").value(&self.feed.alias(&property.text()))),
                Known::Time => times(property, zones),
                Known::Word(words) => word(property, words),
                Known::Rule => rule(property),
                Known::Length => Duration::parse(property.value())
                    .ok()
                    .map(|length| Line::new("DURATION").value(&length.to_string())),
                Known::Count => property
                    .value()
                    .trim()
                    .parse::<u32>()
                    .ok()
                    .map(|count| Line::new(property.name()).value(&count.to_string())),
                Known::Never => None,
                Known::Part(field) if !fields.contains(&field) => None,
                Known::Part(_) if whole => Some(Line::copy(property)),
                Known::Part(_) => Some(bare(property)),
            };
            has_title |= property.is("SUMMARY");
            event = line.into_iter().fold(event, Draft::line);
        }
        if !fields.contains(&Field::Title) {
            event = event.line(Line::new("SUMMARY").text(BUSY));
        } else if !has_title {
            event = event.line(Line::new("SUMMARY").text(UNTITLED));
        }
        event =
            gone.iter().filter_map(|at| moved(at, zones)).fold(event, |event, at| event.line(Line::at("EXDATE", &at)));
        let alarms = member.children().iter().filter(|child| self.feed.rules.alarms && child.is("VALARM"));
        alarms.filter_map(|alarm| reminder(alarm, whole)).fold(event, Draft::child)
    }
}

/// The most that CLASS allows (RFC 5545 3.8.1.3): words that nobody knows mean private.
fn allowed_by_class(event: &Component, private: Detail) -> Detail {
    match event.property("CLASS") {
        None => Detail::Full,
        Some(class) if class.value().trim().eq_ignore_ascii_case("PUBLIC") => Detail::Full,
        Some(_) => private,
    }
}

/// TZIDs as written, with the names they get here; `None` where nobody knows the zone.
type Renamed = BTreeMap<String, Option<(String, ZoneUse)>>;

fn zones(object: &Object) -> Renamed {
    let known = Zones::of(object);
    let lines = object.members().flat_map(Component::properties).filter(|line| matches!(Known::of(line), Known::Time));
    let mut renamed = Renamed::new();
    for tzid in lines.filter_map(|line| line.param("TZID")) {
        renamed.entry(tzid.to_string()).or_insert_with(|| {
            let zone = known.get(&tzid)?;
            if let Some(name) = zone.name() {
                return Some((name.to_owned(), ZoneUse::Iana(name.to_owned())));
            }
            let definition =
                object.timezones().find(|zone| zone.property("TZID").is_some_and(|line| line.text() == tzid));
            own_zone(definition?)
        });
    }
    renamed
}

/// A definition that no name stands for: its offsets and rules, under a name made of them.
fn own_zone(definition: &Component) -> Option<(String, ZoneUse)> {
    let mut parts = Vec::new();
    for part in definition.children().iter().filter(|part| part.is("STANDARD") || part.is("DAYLIGHT")) {
        let kind = if part.is("DAYLIGHT") { "DAYLIGHT" } else { "STANDARD" };
        let mut draft = Draft::new(kind);
        for name in ["DTSTART", "TZOFFSETFROM", "TZOFFSETTO", "RRULE", "RDATE"] {
            for property in part.all(name) {
                let line = match name {
                    "DTSTART" | "RDATE" => times(property, &Renamed::new()),
                    "RRULE" => rule(property),
                    _ => {
                        UtcOffset::parse(property.value()).ok().map(|_| Line::new(name).value(property.value().trim()))
                    }
                };
                draft = line.into_iter().fold(draft, Draft::line);
            }
        }
        parts.push(draft);
    }
    let body: Vec<u8> = parts.iter().flat_map(Draft::octets).collect();
    let digest = Sha256::digest(&body);
    let name = format!("Zone-{}", data_encoding::HEXLOWER.encode(digest.get(..6)?));
    let zone = Draft::new("VTIMEZONE").line(Line::new("TZID").text(&name));
    let octets = parts.into_iter().fold(zone, Draft::child).octets();
    Some((name.clone(), ZoneUse::Own(name, octets)))
}

/// What is known of a property by its name.
enum Known {
    Uid,
    Time,
    Word(&'static [&'static str]),
    Rule,
    Length,
    Count,
    /// Made for one reader alone, or of no use to any.
    Never,
    Part(Field),
}

impl Known {
    fn of(property: &Property) -> Self {
        let name = property.name().to_ascii_uppercase();
        match name.as_str() {
            "UID" => Self::Uid,
            "DTSTAMP" | "DTSTART" | "DTEND" | "RECURRENCE-ID" | "RDATE" | "EXDATE" => Self::Time,
            "STATUS" => Self::Word(&["TENTATIVE", "CONFIRMED", "CANCELLED"]),
            "TRANSP" => Self::Word(&["OPAQUE", "TRANSPARENT"]),
            "X-MICROSOFT-CDO-BUSYSTATUS" => Self::Word(&["FREE", "TENTATIVE", "BUSY", "OOF", "WORKINGELSEWHERE"]),
            "X-MICROSOFT-CDO-ALLDAYEVENT" => Self::Word(&["TRUE", "FALSE"]),
            "RRULE" => Self::Rule,
            "DURATION" => Self::Length,
            "SEQUENCE" => Self::Count,
            // Old rules that readers of today refuse the whole file for, and what is about a copy and not the event.
            "EXRULE" | "X-MOZ-GENERATION" | "X-MOZ-LASTACK" | "X-MOZ-SNOOZE-TIME" | "REQUEST-STATUS" => Self::Never,
            "SUMMARY" => Self::Part(Field::Title),
            "LOCATION" | "GEO" | "X-APPLE-STRUCTURED-LOCATION" | "X-MICROSOFT-LOCATIONS" => Self::Part(Field::Location),
            "DESCRIPTION" | "COMMENT" | "X-ALT-DESC" | "STYLED-DESCRIPTION" => Self::Part(Field::Description),
            "ORGANIZER" | "ATTENDEE" | "CONTACT" => Self::Part(Field::People),
            "URL" | "ATTACH" | "CONFERENCE" | "IMAGE" | "X-GOOGLE-CONFERENCE" => Self::Part(Field::Links),
            "CATEGORIES" | "COLOR" | "PRIORITY" => Self::Part(Field::Categories),
            _ => Self::Part(Field::Other),
        }
    }
}

/// A property without the parameters that may repeat what is hidden (ALTREP, X-ADDRESS, ...).
fn bare(property: &Property) -> Line {
    const HARMLESS: &[&str] =
        &["LANGUAGE", "VALUE", "FMTTYPE", "ENCODING", "CN", "CUTYPE", "ROLE", "PARTSTAT", "RSVP", "FEATURE", "LABEL"];
    let harmless = |name: &str| HARMLESS.iter().any(|one| name.eq_ignore_ascii_case(one));
    let params = property.params().filter(|param| harmless(param.name()));
    let line = params.fold(Line::new(property.name()), |line, param| line.param(param.name(), &param.first()));
    line.value(property.value())
}

/// A line of times, written anew; nothing if it can't be read.
fn times(property: &Property, zones: &Renamed) -> Option<Line> {
    let name = property.name().to_ascii_uppercase();
    if property.param("VALUE").is_some_and(|value| value.eq_ignore_ascii_case("PERIOD")) {
        return periods(&name, property, zones);
    }
    let mut values = DateOrTime::parse_all(property).ok()?.into_iter().filter_map(|value| moved(&value, zones));
    let first = values.next()?;
    let and_future = property.param("RANGE").is_some_and(|range| range.eq_ignore_ascii_case("THISANDFUTURE"));
    let line = if and_future && name == "RECURRENCE-ID" {
        let line = Line::new(&name).param("RANGE", "THISANDFUTURE");
        let line = first.tzid().into_iter().fold(line, |line, tzid| line.param("TZID", tzid));
        if first.is_date() { line.param("VALUE", "DATE") } else { line }.value(&first.to_string())
    } else {
        Line::at(&name, &first)
    };
    Some(values.fold(line, |line, value| line.value(",").value(&value.to_string())))
}

fn periods(name: &str, property: &Property, zones: &Renamed) -> Option<Line> {
    let mut line = Line::new(name).param("VALUE", "PERIOD");
    for (number, period) in Period::parse_all(property).ok()?.into_iter().enumerate() {
        let start = moved(period.start(), zones)?;
        let end = match &period {
            Period::Explicit { end, .. } => moved(end, zones)?.to_string(),
            Period::Starting { duration, .. } => duration.to_string(),
        };
        if number == 0 {
            line = start.tzid().map(str::to_owned).into_iter().fold(line, |line, tzid| line.param("TZID", &tzid));
        } else {
            line = line.value(",");
        }
        line = line.value(&format!("{start}/{end}"));
    }
    Some(line)
}

/// The same time under the zone's name here. A zone that nobody knows is left out: a reader takes the time as local.
#[expect(clippy::unnecessary_wraps, reason = "one of several functions of this shape")]
fn moved(value: &DateOrTime, zones: &Renamed) -> Option<DateOrTime> {
    Some(match value {
        DateOrTime::Zoned { local, tzid } => match zones.get(tzid.as_str()).and_then(Option::as_ref) {
            Some((name, _)) if name == "UTC" => DateOrTime::Utc(Zone::UTC.to_instant(*local)),
            Some((name, _)) => DateOrTime::Zoned { local: *local, tzid: name.clone() },
            None => DateOrTime::Floating(*local),
        },
        other => other.clone(),
    })
}

fn word(property: &Property, words: &[&'static str]) -> Option<Line> {
    let said = property.value().trim();
    let known = words.iter().find(|word| said.eq_ignore_ascii_case(word))?;
    Some(Line::new(property.name()).value(known))
}

/// A rule of the parts that RFC 5545 3.3.10 knows; others, which nobody here reads either, are left out.
fn rule(property: &Property) -> Option<Line> {
    const PARTS: &[&str] = &[
        "FREQ",
        "UNTIL",
        "COUNT",
        "INTERVAL",
        "BYSECOND",
        "BYMINUTE",
        "BYHOUR",
        "BYDAY",
        "BYMONTHDAY",
        "BYYEARDAY",
        "BYWEEKNO",
        "BYMONTH",
        "BYSETPOS",
        "WKST",
    ];
    let value = property.value().trim().to_ascii_uppercase();
    Rule::parse(&value).ok()?;
    let known = |part: &str| {
        let (name, list) = part.split_once('=').unwrap_or((part, ""));
        PARTS.contains(&name)
            && list.len() < 400
            && list.chars().all(|c| c.is_ascii_alphanumeric() || "+-,".contains(c))
    };
    let kept: Vec<&str> = value.split(';').filter(|part| known(part)).collect();
    Some(Line::new("RRULE").value(&kept.join(";")))
}

/// A reminder that shows something on the reader's screen; others send mail or start programs.
fn reminder(alarm: &Component, whole: bool) -> Option<Draft> {
    let action = alarm.property("ACTION").map(Property::text).unwrap_or_default();
    if !action.eq_ignore_ascii_case("DISPLAY") && !action.eq_ignore_ascii_case("AUDIO") {
        return None;
    }
    let trigger = alarm.property("TRIGGER")?;
    let line = Line::new("TRIGGER");
    let from_end = trigger.param("RELATED").is_some_and(|related| related.eq_ignore_ascii_case("END"));
    let line = if from_end { line.param("RELATED", "END") } else { line };
    let line = match (Duration::parse(trigger.value()), DateOrTime::parse(trigger)) {
        (Ok(before), _) => line.value(&before.to_string()),
        (_, Ok(at @ DateOrTime::Utc(_))) => Line::new("TRIGGER").param("VALUE", "DATE-TIME").value(&at.to_string()),
        _ => return None,
    };
    let text = alarm.property("DESCRIPTION").filter(|_| whole).map_or_else(|| REMINDER.to_owned(), Property::text);
    let draft = Draft::new("VALARM").line(Line::new("ACTION").value("DISPLAY")).line(line);
    Some(draft.line(Line::new("DESCRIPTION").text(&text)))
}

/// The object that a reader makes of a fragment.
pub(super) fn as_object(fragment: &Fragment) -> Option<Object> {
    let calendar = Draft::calendar().object().ok()?;
    let mut octets = calendar.octets().to_vec();
    let end = b"END:VCALENDAR\r\n".len();
    octets.truncate(octets.len().checked_sub(end)?);
    for zone in &fragment.zones {
        octets.extend(definition(zone));
    }
    octets.extend_from_slice(&fragment.octets);
    octets.extend_from_slice(b"END:VCALENDAR\r\n");
    Object::parse(octets.into()).ok()
}

/// The VTIMEZONE of a zone.
pub(super) fn definition(zone: &ZoneUse) -> Vec<u8> {
    match zone {
        ZoneUse::Own(_, octets) => octets.clone(),
        ZoneUse::Iana(name) if name == "UTC" => Vec::new(),
        ZoneUse::Iana(name) => {
            Zone::iana(name).map(|zone| crate::ical::as_vtimezone(name, &zone).octets()).unwrap_or_default()
        }
    }
}

const BUSY: &str = "Busy";
const UNTITLED: &str = "(no title)";
const REMINDER: &str = "Reminder";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;
    use crate::entropy::SeededEntropy;
    use crate::id::UserId;
    use crate::store::MemoryStore;
    use crate::subscription::{Rules, Subscriptions};

    async fn shown(text: &str, rules: Rules) -> Option<String> {
        let clock = ManualClock::new(jiff::Timestamp::UNIX_EPOCH);
        let all = Subscriptions::new(Arc::new(MemoryStore::new()), Arc::new(clock), Arc::new(SeededEntropy::new(1)));
        let (feed, _) = all.add(&UserId::parse("ana").unwrap(), "x", rules, None).await.unwrap();
        let own = BTreeSet::from(["mailto:ana@example.org".to_owned()]);
        let object = Object::parse(format!("BEGIN:VCALENDAR\n{text}\nEND:VCALENDAR\n").into()).unwrap();
        let fragment = Judge { feed: &feed, allowed: Detail::Full, own: &own }.fragment(&object)?;
        let whole = as_object(&fragment).unwrap();
        Some(String::from_utf8(whole.octets().to_vec()).unwrap().replace("\r\n ", "").replace("\r\n", "\n"))
    }

    const DECLINED: &str = "ATTENDEE;PARTSTAT=DECLINED:MAILTO:Ana@example.org";

    #[tokio::test]
    async fn what_the_person_declined_is_not_there() {
        let once = format!("BEGIN:VEVENT\nUID:u\nDTSTART:20260101T090000Z\n{DECLINED}\nEND:VEVENT");
        assert_eq!(shown(&once, Rules::default()).await, None);
        assert!(shown(&once, Rules { declined: true, ..Rules::default() }).await.is_some());
        let series = format!(
            "BEGIN:VEVENT\nUID:u\nDTSTART:20260101T090000Z\nRRULE:FREQ=DAILY\nEND:VEVENT\nBEGIN:VEVENT\nUID:u\n\
             RECURRENCE-ID:20260102T090000Z\nDTSTART:20260102T100000Z\n{DECLINED}\nEND:VEVENT"
        );
        let text = shown(&series, Rules::default()).await.unwrap();
        assert!(text.contains("EXDATE:20260102T090000Z") && !text.contains("RECURRENCE-ID"), "{text}");
    }

    #[tokio::test]
    async fn one_occurrence_that_the_filters_leave_out_is_not_there() {
        let series = "BEGIN:VEVENT\nUID:u\nDTSTART:20260101T090000Z\nRRULE:FREQ=DAILY\nSUMMARY:Walk\nEND:VEVENT\nBEGIN:VEVENT\n\
             UID:u\nRECURRENCE-ID:20260102T090000Z\nDTSTART:20260102T100000Z\nSUMMARY:Clinic\nCATEGORIES:private\nEND:VEVENT";
        let title = Rules { pattern: Some("!clinic".to_owned()), ..Rules::default() };
        let category = Rules { categories: vec!["!private".to_owned()], ..Rules::default() };
        for rules in [title, category] {
            let text = shown(series, rules).await.unwrap();
            assert!(text.contains("EXDATE:20260102T090000Z") && !text.contains("Clinic"), "{text}");
        }
    }

    #[tokio::test]
    async fn reminders_that_send_mail_are_never_passed_on() {
        let alarm = |action| format!("BEGIN:VALARM\nACTION:{action}\nTRIGGER:-PT5M\nDESCRIPTION:x\nEND:VALARM");
        let (mail, show) = (alarm("EMAIL"), alarm("DISPLAY"));
        let event = format!("BEGIN:VEVENT\nUID:u\nDTSTART:20260101T090000Z\n{mail}\n{show}\nEND:VEVENT");
        let text = shown(&event, Rules { alarms: true, ..Rules::default() }).await.unwrap();
        assert_eq!((text.matches("BEGIN:VALARM").count(), text.contains("EMAIL")), (1, false));
        assert!(!shown(&event, Rules::default()).await.unwrap().contains("VALARM"));
    }

    #[tokio::test]
    async fn rules_of_nobodys_knowledge_go_along_under_a_name_of_their_own() {
        let zone = "BEGIN:VTIMEZONE\nTZID:Ana's time\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0123\n\
                    TZOFFSETTO:+0123\nTZNAME:Secret\nEND:STANDARD\nEND:VTIMEZONE";
        let event = "BEGIN:VEVENT\nUID:u\nDTSTART;TZID=Ana's time:20260101T090000\nEND:VEVENT";
        let text =
            shown(&format!("{zone}\n{event}"), Rules { detail: Detail::Busy, ..Rules::default() }).await.unwrap();
        assert!(text.contains("TZID:Zone-") && text.contains("DTSTART;TZID=Zone-"), "{text}");
        assert!(text.contains("TZOFFSETTO:+0123") && !text.contains("Ana") && !text.contains("Secret"), "{text}");
    }
}
