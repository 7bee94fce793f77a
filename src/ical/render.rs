//! What `CALDAV:calendar-data` makes of an object (RFC 4791 9.6): some of its parts, its occurrences in UTC, or the
//! overrides and busy times that concern a time range.
//!
//! Invariant: when nothing is asked for, the object's own octets come out. What is written is folded anew.

use bytes::Bytes;

use super::component::{Component, Object, Property};
use super::instances::{Budget, Occurrence, Overrun, Set, TimeRange};
use super::recur::Flow;
use super::spans::period_of;
use super::text::fold_line;
use super::timing::{instant_of, zone_of};
use super::value::{DateOrTime, Duration, Period};
use super::zone::{Zone, Zones};

/// What a `CALDAV:calendar-data` element asks for (RFC 4791 9.6). By default all, untouched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataRequest {
    pub comp: Option<CompSelect>,
    pub expand: Option<TimeRange>,
    pub limit_recurrence_set: Option<TimeRange>,
    pub limit_freebusy_set: Option<TimeRange>,
}

/// `CALDAV:comp` (RFC 4791 9.6.1): which parts of a component to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompSelect {
    pub name: String,
    pub properties: Select<PropSelect>,
    pub components: Select<CompSelect>,
}

/// All of a kind (`allprop`, `allcomp`), or the listed ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select<T> {
    All,
    Only(Vec<T>),
}

/// `CALDAV:prop` inside of `comp` (RFC 4791 9.6.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropSelect {
    pub name: String,
    pub novalue: bool,
}

/// The object as asked for. When nothing is asked for: its own octets.
pub fn render(object: &Object, request: &DataRequest, default: &Zone, budget: &mut Budget) -> Result<Bytes, Overrun> {
    if *request == DataRequest::default() {
        return Ok(object.octets().clone());
    }
    let set = Set::of(object, default);
    let drafts = match &request.expand {
        Some(range) => expanded(object, &set, range, default, budget)?,
        None => selected(object, &set, request, default),
    };
    let root = request.comp.as_ref().filter(|select| select.name.eq_ignore_ascii_case("VCALENDAR"));
    let mut out = Vec::with_capacity(object.octets().len());
    let lines: Vec<Line<'_>> = object.root().properties().iter().map(Line::Kept).collect();
    begin(object.root(), &lines, root, &mut out);
    for draft in drafts {
        if let Some(select) = chosen(root, draft.component) {
            budget.spend(1)?;
            begin(draft.component, &draft.lines, select, &mut out);
            children(draft.component, select, &mut out);
            end(draft.component, &mut out);
        }
    }
    end(object.root(), &mut out);
    Ok(out.into())
}

/// A component with other lines than it has.
struct Draft<'a> {
    component: &'a Component,
    lines: Vec<Line<'a>>,
}

enum Line<'a> {
    Kept(&'a Property),
    /// Name, and the whole logical line.
    New(&'static str, String),
}

impl<'a> Draft<'a> {
    fn of(component: &'a Component) -> Self {
        Self { component, lines: component.properties().iter().map(Line::Kept).collect() }
    }
}

/// The components of the object, without what the limits leave out.
fn selected<'a>(object: &'a Object, set: &Set<'a>, request: &DataRequest, default: &Zone) -> Vec<Draft<'a>> {
    let mut drafts = Vec::new();
    for component in object.root().children() {
        let number = object.members().position(|member| std::ptr::eq(member, component));
        if let (Some(number), Some(range)) = (number, &request.limit_recurrence_set)
            && !set.concerns(number, range)
        {
            continue;
        }
        let mut draft = Draft::of(component);
        if let (Some(range), true) = (&request.limit_freebusy_set, component.is("VFREEBUSY")) {
            draft.lines = component
                .properties()
                .iter()
                .filter_map(|line| {
                    if line.is("FREEBUSY") {
                        limited(line, range, set.zones(), default)
                    } else {
                        Some(Line::Kept(line))
                    }
                })
                .collect();
        }
        drafts.push(draft);
    }
    drafts
}

/// The periods of a FREEBUSY property that overlap the range.
fn limited<'a>(line: &'a Property, range: &TimeRange, zones: &Zones, default: &Zone) -> Option<Line<'a>> {
    let tzid = line.param("TZID");
    let overlaps = |value: &&str| match Period::parse_value(value, tzid.as_deref()) {
        Ok(period) => {
            let (start, end) = period_of(&period, zones, default);
            range.start < end && range.end > start
        }
        Err(_) => true,
    };
    let kept: Vec<&str> = line.value().split(',').filter(overlaps).collect();
    let head = line.line().strip_suffix(line.value()).unwrap_or("FREEBUSY:");
    if kept.is_empty() { None } else { Some(Line::New("FREEBUSY", format!("{head}{}", kept.join(",")))) }
}

/// The occurrences in the range, each a component of its own; no rules, no zones.
fn expanded<'a>(
    object: &'a Object,
    set: &Set<'a>,
    range: &TimeRange,
    default: &Zone,
    budget: &mut Budget,
) -> Result<Vec<Draft<'a>>, Overrun> {
    let members: Vec<&'a Component> = object.members().collect();
    let mut found = Vec::new();
    let _stopped = set.visit(range, budget, &mut |occurrence, budget| {
        let member = members.get(occurrence.component).copied();
        if let Some(member) = member.filter(|_| range.overlaps(occurrence.start, occurrence.end)) {
            budget.keep()?;
            // Copies cost memory by their size, whatever their number.
            budget.spend(u64::try_from(member.span().len() / 16).unwrap_or(0))?;
            let lines = instance_lines(member, occurrence, set.zones(), default);
            found.push((occurrence.start, Draft { component: member, lines }));
        }
        Ok(Flow::Continue(()))
    })?;
    found.sort_by_key(|(start, _)| *start);
    // What is at no time can't be expanded, and isn't in any range either.
    let others = object
        .root()
        .children()
        .iter()
        .filter(|child| !child.is("VTIMEZONE") && !members.iter().any(|member| std::ptr::eq(*member, *child)));
    Ok(others.map(Draft::of).chain(found.into_iter().map(|(_, draft)| draft)).collect())
}

fn instance_lines<'a>(
    member: &'a Component,
    occurrence: &Occurrence<'_>,
    zones: &Zones,
    default: &Zone,
) -> Vec<Line<'a>> {
    let timing = occurrence.timing;
    let (start, end) = match &timing.start {
        DateOrTime::Date(_) => {
            (DateOrTime::Date(occurrence.local.date()), DateOrTime::Date(timing.zone.to_civil(occurrence.end).date()))
        }
        DateOrTime::Floating(_) => {
            (DateOrTime::Floating(occurrence.local), DateOrTime::Floating(timing.zone.to_civil(occurrence.end)))
        }
        _ => (DateOrTime::Utc(occurrence.start), DateOrTime::Utc(occurrence.end)),
    };
    let end_name = if member.is("VTODO") { "DUE" } else { "DTEND" };
    let id = occurrence.recurrence_id_in_utc();
    let mut lines = Vec::with_capacity(member.properties().len() + 1);
    for line in member.properties() {
        if ["RRULE", "RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID"].iter().any(|name| line.is(name)) {
            continue;
        }
        if line.is("DTSTART") {
            lines.push(dated("DTSTART", Some(line), &start));
        } else if line.is("DTEND") {
            lines.push(dated("DTEND", Some(line), &end));
        } else if line.is("DUE") {
            lines.push(dated("DUE", Some(line), &end));
        } else if line.is("DURATION") && !is_exactly(line, occurrence) {
            lines.push(dated(end_name, None, &end));
        } else {
            lines.push(in_utc(line, zones, default));
        }
    }
    lines.extend(id.map(|id| dated("RECURRENCE-ID", None, &id)));
    lines
}

/// Whether the DURATION may stay: from the start in UTC it leads to the same end.
fn is_exactly(line: &Property, occurrence: &Occurrence<'_>) -> bool {
    let length = occurrence.end.duration_since(occurrence.start).as_secs();
    Duration::parse(line.value()).is_ok_and(|duration| duration.total_seconds() == length)
}

/// A line with another value, and the parameters of the old one that don't belong to its value.
fn dated<'a>(name: &'static str, old: Option<&Property>, value: &DateOrTime) -> Line<'a> {
    let mut line = String::from(name);
    for param in old.into_iter().flat_map(Property::params) {
        if !["TZID", "VALUE"].iter().any(|own| param.name().eq_ignore_ascii_case(own)) {
            line.push(';');
            line.push_str(param.name());
            line.push('=');
            line.push_str(param.raw());
        }
    }
    if value.is_date() {
        line.push_str(";VALUE=DATE");
    }
    line.push(':');
    line.push_str(&value.to_string());
    Line::New(name, line)
}

/// Other lines with a zone get UTC too, for no VTIMEZONE goes with them.
fn in_utc<'a>(line: &'a Property, zones: &Zones, default: &Zone) -> Line<'a> {
    let Ok(value @ DateOrTime::Zoned { .. }) = DateOrTime::parse(line) else { return Line::Kept(line) };
    let own = ["COMPLETED", "CREATED", "LAST-MODIFIED", "DTSTAMP"];
    let Some(name) = own.into_iter().find(|name| line.is(name)) else { return Line::Kept(line) };
    let instant = instant_of(&value, &zone_of(&value, zones, default).0);
    dated(name, Some(line), &DateOrTime::Utc(instant))
}

/// Whether a component is to be given, and what of it.
#[expect(clippy::option_option, reason = "not at all, or all of it, or some of it")]
fn chosen<'s>(parent: Option<&'s CompSelect>, component: &Component) -> Option<Option<&'s CompSelect>> {
    match parent.map(|parent| &parent.components) {
        None | Some(Select::All) => Some(None),
        Some(Select::Only(wanted)) => wanted.iter().find(|select| component.is(&select.name)).map(Some),
    }
}

fn begin(component: &Component, lines: &[Line<'_>], select: Option<&CompSelect>, out: &mut Vec<u8>) {
    out.extend(fold_line(&format!("BEGIN:{}", component.name())));
    for line in lines {
        let (name, text) = match line {
            Line::Kept(property) => (property.name(), property.line()),
            Line::New(name, text) => (*name, text.as_str()),
        };
        match select.map(|select| &select.properties) {
            None | Some(Select::All) => out.extend(fold_line(text)),
            Some(Select::Only(wanted)) => match wanted.iter().find(|wanted| wanted.name.eq_ignore_ascii_case(name)) {
                Some(PropSelect { novalue: true, .. }) => out.extend(fold_line(&format!("{name}:"))),
                Some(_) => out.extend(fold_line(text)),
                None => {}
            },
        }
    }
}

/// As deep as parsing allows, which isn't deep.
fn children(component: &Component, select: Option<&CompSelect>, out: &mut Vec<u8>) {
    for child in component.children() {
        if let Some(select) = chosen(select, child) {
            let lines: Vec<Line<'_>> = child.properties().iter().map(Line::Kept).collect();
            begin(child, &lines, select, out);
            children(child, select, out);
            end(child, out);
        }
    }
}

fn end(component: &Component, out: &mut Vec<u8>) {
    out.extend(fold_line(&format!("END:{}", component.name())));
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART;X-A=b;TZID=Europe/Berlin:20260328T100000\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY;COUNT=3\r\nSUMMARY:S\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nUID:1\r\nRECURRENCE-ID;TZID=Europe/Berlin:20260330T100000\r\nDTSTART;TZID=Europe/Berlin:20260401T100000\r\nSUMMARY:T\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

    fn rendered(request: &DataRequest) -> String {
        let object = Object::parse(EVENT.into()).unwrap();
        let octets = render(&object, request, &Zone::UTC, &mut Budget::request()).unwrap();
        String::from_utf8(octets.to_vec()).unwrap()
    }

    fn days(start: i8, end: i8) -> TimeRange {
        let at = |day| Zone::UTC.to_instant(jiff::civil::date(2026, 3, day).at(0, 0, 0, 0));
        TimeRange { start: at(start), end: at(end) }
    }

    #[test]
    fn nothing_asked_is_nothing_changed() {
        assert_eq!(rendered(&DataRequest::default()), EVENT);
    }

    #[test]
    fn expanded_instances_are_in_utc_and_keep_their_id() {
        let expand = DataRequest { expand: Some(days(28, 31)), ..DataRequest::default() };
        let instance = |day: &str, hour: &str| {
            format!(
                "BEGIN:VEVENT\r\nUID:1\r\nDTSTART;X-A=b:202603{day}T{hour}0000Z\r\nDURATION:PT1H\r\nSUMMARY:S\r\nRECURRENCE-ID:202603{day}T{hour}0000Z\r\nEND:VEVENT\r\n"
            )
        };
        let expected = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}{}END:VCALENDAR\r\n",
            instance("28", "09"),
            instance("29", "08")
        );
        assert_eq!(rendered(&expand), expected);
    }

    #[test]
    fn overrides_outside_of_the_limit_are_left_out() {
        let limit = |start, end| {
            rendered(&DataRequest { limit_recurrence_set: Some(days(start, end)), ..DataRequest::default() })
        };
        assert_eq!(
            limit(1, 29),
            EVENT.split("BEGIN:VEVENT\r\nUID:1\r\nREC").next().unwrap().to_owned() + "END:VCALENDAR\r\n"
        );
        // Whoever looks at the day it was moved from must hear of it.
        assert_eq!(limit(30, 31), EVENT);
    }

    #[test]
    fn parts_are_chosen() {
        let prop = |name: &str, novalue| PropSelect { name: name.to_owned(), novalue };
        let event = CompSelect {
            name: "VEVENT".to_owned(),
            properties: Select::Only(vec![prop("uid", false), prop("SUMMARY", true)]),
            components: Select::Only(Vec::new()),
        };
        let comp =
            CompSelect { name: "VCALENDAR".to_owned(), properties: Select::All, components: Select::Only(vec![event]) };
        let one = "BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:\r\nEND:VEVENT\r\n";
        let expected = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{one}{one}END:VCALENDAR\r\n");
        assert_eq!(rendered(&DataRequest { comp: Some(comp), ..DataRequest::default() }), expected);
    }
}
