//! Which objects a `calendar-query` means: `CALDAV:filter` (RFC 4791 9.7 to 9.9; collations of RFC 4790 and 5051).
//!
//! All that a `comp-filter` asks must hold for one and the same component; a time range holds for a component if one of its
//! occurrences does. Never reads XML; never answers when the budget ran out.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use unicode_normalization::UnicodeNormalization as _;

use super::component::{Component, Object, Property};
use super::instances::{Budget, Occurrence, Overrun, Set, TimeRange};
use super::recur::Flow;
use super::spans::period_of;
use super::timing::{instant_of, zone_of};
use super::value::{DateOrTime, Duration, Period};
use super::zone::{Zone, Zones};

/// `CALDAV:comp-filter` (RFC 4791 9.7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompFilter {
    /// `VCALENDAR`, `VEVENT`, ...
    pub name: String,
    pub test: CompTest,
}

/// What a `comp-filter` asks of the component it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompTest {
    NotDefined,
    /// All of it, by one and the same component. With nothing in it: the component exists.
    Defined {
        time_range: Option<TimeRange>,
        properties: Vec<PropFilter>,
        components: Vec<CompFilter>,
    },
}

/// `CALDAV:prop-filter` (RFC 4791 9.7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropFilter {
    pub name: String,
    pub test: PropTest,
}

/// What a `prop-filter` asks of the property it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropTest {
    NotDefined,
    /// All of it, by one and the same property. With nothing in it: the property exists.
    Defined {
        value: Option<ValueTest>,
        params: Vec<ParamFilter>,
    },
}

/// What a property's value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueTest {
    TimeRange(TimeRange),
    Text(TextMatch),
}

/// `CALDAV:param-filter` (RFC 4791 9.7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamFilter {
    pub name: String,
    pub test: ParamTest,
}

/// What a `param-filter` asks of the parameter it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamTest {
    NotDefined,
    Defined { text: Option<TextMatch> },
}

/// `CALDAV:text-match` (RFC 4791 9.7.5): whether the value contains the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextMatch {
    pub collation: Collation,
    pub text: String,
    pub negate: bool,
}

/// The collations of RFC 4791 7.5, and that of RFC 5051.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Collation {
    #[default]
    AsciiCasemap,
    Octet,
    UnicodeCasemap,
}

impl Collation {
    pub const ALL: [Self; 3] = [Self::AsciiCasemap, Self::Octet, Self::UnicodeCasemap];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsciiCasemap => "i;ascii-casemap",
            Self::Octet => "i;octet",
            Self::UnicodeCasemap => "i;unicode-casemap",
        }
    }

    /// The collation of this name; `default` is the first. `None`: `supported-collation` is violated.
    pub fn named(name: &str) -> Option<Self> {
        if name == "default" {
            return Some(Self::default());
        }
        Self::ALL.into_iter().find(|collation| collation.name() == name)
    }
}

impl CompFilter {
    /// A range outside of which nothing can match, for an index to begin with; `None` if there is no telling.
    pub fn window(&self) -> Option<TimeRange> {
        let CompTest::Defined { components, time_range, .. } = &self.test else { return None };
        if time_range.is_some() {
            return *time_range;
        }
        let members = components.iter().filter(|filter| is_member(&filter.name));
        members.into_iter().find_map(|filter| match &filter.test {
            CompTest::Defined { time_range, .. } => *time_range,
            CompTest::NotDefined => None,
        })
    }
}

/// Whether the object matches. `default` is the zone of floating times and of days.
pub fn matches(filter: &CompFilter, object: &Object, default: &Zone, budget: &mut Budget) -> Result<bool, Overrun> {
    let mut query = Query { object, default, set: None, in_range: HashMap::new(), budget };
    let roots = std::slice::from_ref(object.root());
    query.any(filter, roots, Path::default())
}

/// Where a component stands: which member of the object it is or belongs to.
#[derive(Clone, Copy, Default)]
struct Path<'a> {
    member: Option<(usize, &'a Component)>,
}

/// One object under one filter.
struct Query<'a, 'b> {
    object: &'a Object,
    default: &'a Zone,
    /// Made when a time is first asked for.
    set: Option<Set<'a>>,
    /// Which members have an occurrence in a range.
    in_range: HashMap<(Timestamp, Timestamp), Vec<bool>>,
    budget: &'b mut Budget,
}

impl<'a> Query<'a, '_> {
    /// Whether one of `components` is what the filter asks for.
    fn any(&mut self, filter: &CompFilter, components: &'a [Component], path: Path<'a>) -> Result<bool, Overrun> {
        let mut member = 0;
        let CompTest::Defined { time_range, properties, components: nested } = &filter.test else {
            return Ok(!components.iter().any(|component| component.is(&filter.name)));
        };
        for component in components {
            let path = match path.member {
                None if is_member(component.name()) => {
                    member += 1;
                    Path { member: Some((member - 1, component)) }
                }
                _ => path,
            };
            if !component.is(&filter.name) {
                continue;
            }
            let fits = if component.is("VCALENDAR") {
                self.calendar_fits(properties, *time_range, component)?
            } else {
                self.all_properties(properties.iter(), component)?
                    && match time_range {
                        Some(range) => self.is_in_range(component, path, range)?,
                        None => true,
                    }
            };
            if !fits {
                continue;
            }
            let mut all = true;
            for nested in nested {
                all = all && self.any(nested, component.children(), path)?;
            }
            if all {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The tests of the VCALENDAR itself. A time range there, and a property that it does not have, can only be meant
    /// for what is in it: clients leave out the kind of component when they search all kinds (`caldav`, jmap bridges).
    /// RFC 4791 9.7.1 gives a VCALENDAR no time, so nothing else could be meant.
    fn calendar_fits(
        &mut self,
        properties: &[PropFilter],
        range: Option<TimeRange>,
        calendar: &'a Component,
    ) -> Result<bool, Overrun> {
        let lent = |filter: &&PropFilter| {
            matches!(filter.test, PropTest::Defined { .. }) && calendar.property(&filter.name).is_none()
        };
        let own = properties.iter().filter(|filter| !lent(filter));
        if !self.all_properties(own, calendar)? {
            return Ok(false);
        }
        if range.is_none() && !properties.iter().any(|filter| lent(&filter)) {
            return Ok(true);
        }
        let members = calendar.children().iter().filter(|component| is_member(component.name()));
        for (number, member) in members.enumerate() {
            let path = Path { member: Some((number, member)) };
            let in_range = match &range {
                Some(range) => self.is_in_range(member, path, range)?,
                None => true,
            };
            if in_range && self.all_properties(properties.iter().filter(lent), member)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn set(&mut self) -> &Set<'a> {
        let (object, default) = (self.object, self.default);
        self.set.get_or_insert_with(|| Set::of(object, default))
    }

    fn all_properties<'f>(
        &mut self,
        filters: impl Iterator<Item = &'f PropFilter>,
        component: &Component,
    ) -> Result<bool, Overrun> {
        for filter in filters {
            self.budget.spend(1)?;
            let mut found = component.all(&filter.name);
            let holds = match &filter.test {
                PropTest::NotDefined => found.next().is_none(),
                PropTest::Defined { value: None, params } => {
                    found.any(|property| params.iter().all(|filter| param_matches(filter, property)))
                }
                PropTest::Defined { value: Some(value), params } => {
                    let default = self.default;
                    let zones = self.set().zones();
                    found.any(|property| {
                        params.iter().all(|filter| param_matches(filter, property))
                            && value_matches(value, property, zones, default)
                    })
                }
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The tables of RFC 4791 9.9.
    fn is_in_range(&mut self, component: &'a Component, path: Path<'a>, range: &TimeRange) -> Result<bool, Overrun> {
        let Some((number, member)) = path.member else {
            // Other components have no time of their own.
            return Ok(false);
        };
        if component.is("VALARM") {
            return self.alarm_is_in_range(component, number, member, range);
        }
        if !std::ptr::eq(component, member) {
            return Ok(false);
        }
        let key = (range.start, range.end);
        if !self.in_range.contains_key(&key) {
            let found = self.members_in_range(range)?;
            self.in_range.insert(key, found);
        }
        Ok(self.in_range.get(&key).and_then(|found| found.get(number)).copied().unwrap_or(false))
    }

    fn members_in_range(&mut self, range: &TimeRange) -> Result<Vec<bool>, Overrun> {
        let mut budget = self.budget.clone();
        let default = self.default;
        let set = self.set();
        let mut found: Vec<bool> = set
            .timings()
            .map(|(member, timing)| timeless_is_in_range(member, timing.is_some(), range, set.zones(), default))
            .collect();
        // Ranges without an end are answered by the first occurrence found.
        let near = range.widened(1);
        let _stopped = set.visit(&near, &mut budget, &mut |occurrence, _| {
            if let Some(found) = found.get_mut(occurrence.component) {
                *found = *found || is_in_range(occurrence, range);
            }
            Ok(if found.iter().all(|found| *found) { Flow::Break(()) } else { Flow::Continue(()) })
        })?;
        *self.budget = budget;
        Ok(found)
    }

    fn alarm_is_in_range(
        &mut self,
        alarm: &Component,
        number: usize,
        member: &Component,
        range: &TimeRange,
    ) -> Result<bool, Overrun> {
        let Some(trigger) = Trigger::of(alarm) else { return Ok(false) };
        let offset = match trigger.at {
            TriggerAt::Instant(at) => return Ok(trigger.rings(at, range)),
            TriggerAt::Start(offset) | TriggerAt::End(offset) => offset,
        };
        let from_end = matches!(trigger.at, TriggerAt::End(_)) || member.property("DTSTART").is_none();
        let reach = offset.abs().as_secs().saturating_add(trigger.lasting());
        let near = range.widened(reach.saturating_add(86_400));
        let mut budget = self.budget.clone();
        let mut rings = false;
        let _stopped = self.set().visit(&near, &mut budget, &mut |occurrence, _| {
            if occurrence.component == number {
                let base = if from_end { occurrence.end } else { occurrence.start };
                rings = base.checked_add(offset).is_ok_and(|at| trigger.rings(at, range));
            }
            Ok(if rings { Flow::Break(()) } else { Flow::Continue(()) })
        })?;
        *self.budget = budget;
        Ok(rings)
    }
}

/// When an alarm goes off, and how often again.
struct Trigger {
    at: TriggerAt,
    repeats: i64,
    every: SignedDuration,
}

#[derive(Clone, Copy)]
enum TriggerAt {
    Instant(Timestamp),
    Start(SignedDuration),
    End(SignedDuration),
}

impl Trigger {
    fn of(alarm: &Component) -> Option<Self> {
        let line = alarm.property("TRIGGER")?;
        let at = match Duration::parse(line.value()) {
            Ok(offset) => {
                let offset = SignedDuration::from_secs(offset.total_seconds());
                let is_end = line.param("RELATED").is_some_and(|related| related.eq_ignore_ascii_case("END"));
                if is_end { TriggerAt::End(offset) } else { TriggerAt::Start(offset) }
            }
            Err(_) => TriggerAt::Instant(instant_of(&DateOrTime::parse(line).ok()?, &Zone::UTC)),
        };
        let repeats = alarm.property("REPEAT").and_then(|line| line.value().trim().parse::<i64>().ok()).unwrap_or(0);
        let every = alarm.property("DURATION").and_then(|line| Duration::parse(line.value()).ok());
        let every = SignedDuration::from_secs(every.map_or(0, |every| every.total_seconds().max(0)));
        let repeats = if every.is_zero() { 0 } else { repeats.clamp(0, MOST_REPEATS) };
        Some(Self { at, repeats, every })
    }

    /// From the first time to the last, in seconds.
    fn lasting(&self) -> i64 {
        self.every.as_secs().saturating_mul(self.repeats)
    }

    /// Whether one of the times, the first being `at`, is in the range.
    fn rings(&self, at: Timestamp, range: &TimeRange) -> bool {
        let (first, start, end) = (at.as_second(), range.start.as_second(), range.end.as_second());
        let every = self.every.as_secs();
        // The first of the times that isn't before the range.
        let skipped = if every == 0 || first >= start { 0 } else { (start - first + every - 1) / every };
        let rings = first.saturating_add(skipped.saturating_mul(every));
        skipped <= self.repeats && rings >= start && rings < end
    }
}

fn is_in_range(occurrence: &Occurrence<'_>, range: &TimeRange) -> bool {
    let (start, end, member) = (occurrence.start, occurrence.end, occurrence.member);
    if member.is("VTODO") {
        return todo_is_in_range(member, start, end, range);
    }
    if member.is("VFREEBUSY") {
        let has_both = member.property("DTSTART").is_some() && member.property("DTEND").is_some();
        return has_both && range.start <= end && range.end > start;
    }
    range.overlaps(start, end)
}

fn todo_is_in_range(member: &Component, start: Timestamp, end: Timestamp, range: &TimeRange) -> bool {
    let has = |name: &str| member.property(name).is_some();
    match (has("DTSTART"), has("DURATION"), has("DUE")) {
        (true, _, true) => (range.start < end || range.start <= start) && (range.end > start || range.end >= end),
        (true, true, false) => range.start <= end && (range.end > start || range.end >= end),
        (true, false, false) => range.start <= start && range.end > start,
        (false, ..) => range.start < end && range.end >= end,
    }
}

/// Members without a start that match nevertheless, or by something else.
fn timeless_is_in_range(member: &Component, is_timed: bool, range: &TimeRange, zones: &Zones, default: &Zone) -> bool {
    if member.is("VFREEBUSY") && !(member.property("DTSTART").is_some() && member.property("DTEND").is_some()) {
        let mut periods = member.all("FREEBUSY").filter_map(|line| Period::parse_all(line).ok()).flatten();
        return periods.any(|period| {
            let (start, end) = period_of(&period, zones, default);
            range.start < end && range.end > start
        });
    }
    if is_timed || !member.is("VTODO") {
        return false;
    }
    let at = |name: &str| {
        let value = member.property(name).and_then(|line| DateOrTime::parse(line).ok())?;
        Some(instant_of(&value, &zone_of(&value, zones, default).0))
    };
    match (at("COMPLETED"), at("CREATED")) {
        (Some(completed), Some(created)) => {
            (range.start <= created || range.start <= completed) && (range.end >= created || range.end >= completed)
        }
        (Some(completed), None) => range.start <= completed && range.end >= completed,
        (None, Some(created)) => range.end > created,
        (None, None) => true,
    }
}

fn value_matches(test: &ValueTest, property: &Property, zones: &Zones, default: &Zone) -> bool {
    match test {
        ValueTest::Text(wanted) => wanted.matches(&property.text()),
        ValueTest::TimeRange(range) => {
            if let Ok(periods) = Period::parse_all(property) {
                return periods.iter().any(|period| {
                    let (start, end) = period_of(period, zones, default);
                    range.overlaps(start, end)
                });
            }
            DateOrTime::parse_all(property).unwrap_or_default().iter().any(|value| {
                let zone = zone_of(value, zones, default).0;
                let start = instant_of(value, &zone);
                let end = match value {
                    DateOrTime::Date(date) => date.tomorrow().map_or(Timestamp::MAX, |next| {
                        zone.to_instant(next.to_datetime(jiff::civil::Time::midnight()))
                    }),
                    _ => start,
                };
                range.overlaps(start, end)
            })
        }
    }
}

fn param_matches(filter: &ParamFilter, property: &Property) -> bool {
    let mut found = property.params().filter(|param| param.name().eq_ignore_ascii_case(&filter.name));
    match &filter.test {
        ParamTest::NotDefined => found.next().is_none(),
        ParamTest::Defined { text: None } => found.next().is_some(),
        ParamTest::Defined { text: Some(text) } => found.any(|param| param.values().any(|value| text.matches(&value))),
    }
}

impl TextMatch {
    /// Whether the value contains the text, or, negated, doesn't.
    pub fn matches(&self, value: &str) -> bool {
        let found = match self.collation {
            Collation::Octet => value.contains(&self.text),
            Collation::AsciiCasemap => value.to_ascii_lowercase().contains(&self.text.to_ascii_lowercase()),
            Collation::UnicodeCasemap => unicode_casemap(value).contains(&unicode_casemap(&self.text)),
        };
        found != self.negate
    }
}

/// RFC 5051: simple title case, then decomposition.
fn unicode_casemap(text: &str) -> String {
    let upper = |c: char| {
        let mut upper = c.to_uppercase();
        // Where the case mapping isn't one to one, the simple one leaves the letter alone.
        upper.next().filter(|_| upper.next().is_none()).unwrap_or(c)
    };
    text.chars().map(upper).nfkd().collect()
}

fn is_member(name: &str) -> bool {
    let known = ["VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VAVAILABILITY", "VPOLL"];
    known.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Nobody can tell more rings apart.
const MOST_REPEATS: i64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn object(lines: &str) -> Object {
        Object::parse(format!("BEGIN:VCALENDAR\nVERSION:2.0\n{}\nEND:VCALENDAR\n", lines.trim()).into()).unwrap()
    }

    fn range(start: &str, end: &str) -> TimeRange {
        let at = |text: &str| instant_of(&DateOrTime::parse_value(text, None).unwrap(), &Zone::UTC);
        TimeRange { start: at(start), end: at(end) }
    }

    fn comp(name: &str, components: Vec<CompFilter>) -> CompFilter {
        let test = CompTest::Defined { time_range: None, properties: Vec::new(), components };
        CompFilter { name: name.to_owned(), test }
    }

    fn timed(name: &str, range: TimeRange) -> CompFilter {
        let test = CompTest::Defined { time_range: Some(range), properties: Vec::new(), components: Vec::new() };
        CompFilter { name: name.to_owned(), test }
    }

    fn with(name: &str, properties: Vec<PropFilter>) -> CompFilter {
        let test = CompTest::Defined { time_range: None, properties, components: Vec::new() };
        CompFilter { name: name.to_owned(), test }
    }

    fn text(name: &str, text: &str, negate: bool) -> PropFilter {
        let text = TextMatch { collation: Collation::AsciiCasemap, text: text.to_owned(), negate };
        PropFilter {
            name: name.to_owned(),
            test: PropTest::Defined { value: Some(ValueTest::Text(text)), params: Vec::new() },
        }
    }

    fn holds(filter: CompFilter, object: &Object) -> bool {
        matches(&comp("VCALENDAR", vec![filter]), object, &Zone::UTC, &mut Budget::request()).unwrap()
    }

    /// RFC 4791 appendix B.
    const ABCD2: &str = "BEGIN:VEVENT\nUID:00959BC664CA650E933C892C@example.com\nDTSTART;TZID=US/Eastern:20060102T120000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=5\nSUMMARY:Event #2\nEND:VEVENT\nBEGIN:VEVENT\nUID:00959BC664CA650E933C892C@example.com\nDTSTART;TZID=US/Eastern:20060104T140000\nDURATION:PT1H\nRECURRENCE-ID;TZID=US/Eastern:20060104T120000\nSUMMARY:Event #2 bis\nEND:VEVENT\nBEGIN:VEVENT\nUID:00959BC664CA650E933C892C@example.com\nDTSTART;TZID=US/Eastern:20060106T140000\nDURATION:PT1H\nRECURRENCE-ID;TZID=US/Eastern:20060106T120000\nSUMMARY:Event #2 bis bis\nEND:VEVENT";
    const ABCD3: &str = "BEGIN:VEVENT\nUID:DC6C50A017428C5216A2F1CD@example.com\nATTENDEE;PARTSTAT=ACCEPTED;ROLE=CHAIR:mailto:cyrus@example.com\nATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:lisa@example.com\nDTSTART;TZID=US/Eastern:20060104T100000\nDURATION:PT1H\nSUMMARY:Event #3\nEND:VEVENT";
    const ABCD5: &str = "BEGIN:VTODO\nUID:E10BA47467C5C69BB74E8720@example.com\nDUE;TZID=US/Eastern:20060106\nDTSTART:20060104T120000Z\nBEGIN:VALARM\nACTION:AUDIO\nTRIGGER;RELATED=START:-PT10M\nEND:VALARM\nEND:VTODO";

    #[test]
    fn the_queries_of_rfc_4791_7_8() {
        let (two, three, five) = (object(ABCD2), object(ABCD3), object(ABCD5));
        let day = || timed("VEVENT", range("20060104T000000Z", "20060105T000000Z"));
        assert!(holds(day(), &two) && holds(day(), &three) && !holds(day(), &five));
        let alarm = |start, end| comp("VTODO", vec![timed("VALARM", range(start, end))]);
        assert!(holds(alarm("20060104T110000Z", "20060105T000000Z"), &five));
        assert!(!holds(alarm("20060104T115100Z", "20060105T000000Z"), &five));
        assert!(!holds(alarm("20060106T100000Z", "20060107T100000Z"), &five));
        assert!(holds(with("VEVENT", vec![text("UID", "DC6C50A017428C5216A2F1CD@example.com", false)]), &three));
        let attending = |status: &str| {
            let status = TextMatch { collation: Collation::AsciiCasemap, text: status.to_owned(), negate: false };
            let mut lisa = text("ATTENDEE", "mailto:lisa@example.com", false);
            if let PropTest::Defined { params, .. } = &mut lisa.test {
                params
                    .push(ParamFilter { name: "PARTSTAT".to_owned(), test: ParamTest::Defined { text: Some(status) } });
            }
            with("VEVENT", vec![lisa])
        };
        assert!(holds(attending("needs-action"), &three));
        // ACCEPTED is said of somebody else.
        assert!(!holds(attending("ACCEPTED"), &three));
        let open = |name: &str| PropFilter { name: name.to_owned(), test: PropTest::NotDefined };
        assert!(holds(
            with("VTODO", vec![open("COMPLETED"), text("STATUS", "CANCELLED", false)]),
            &object("BEGIN:VTODO\nUID:1\nSTATUS:Cancelled\nEND:VTODO")
        ));
        assert!(!holds(with("VTODO", vec![open("DTSTART")]), &five));
        assert!(holds(CompFilter { name: "VTODO".to_owned(), test: CompTest::NotDefined }, &two));
    }

    #[test]
    fn all_of_it_holds_for_one_component() {
        let two = object(ABCD2);
        let both = |start, end, summary| {
            let properties = vec![text("SUMMARY", summary, false)];
            let time_range = Some(range(start, end));
            CompFilter {
                name: "VEVENT".to_owned(),
                test: CompTest::Defined { time_range, properties, components: Vec::new() },
            }
        };
        assert!(holds(both("20060104T000000Z", "20060105T000000Z", "bis"), &two));
        assert!(!holds(both("20060103T000000Z", "20060104T000000Z", "bis"), &two));
        // The date that was moved away isn't there any more.
        assert!(!holds(timed("VEVENT", range("20060104T170000Z", "20060104T180000Z")), &two));
        assert!(holds(timed("VEVENT", range("20060104T190000Z", "20060104T193000Z")), &two));
        assert!(holds(
            timed("VEVENT", TimeRange::ALL),
            &object("BEGIN:VEVENT\nUID:1\nDTSTART:20060102T120000Z\nRRULE:FREQ=SECONDLY\nEND:VEVENT")
        ));
    }

    #[test]
    fn the_tables_of_rfc_4791_9_9() {
        // Inside or outside of 10:00 to 12:00.
        let cases: &[(&str, &str, bool)] = &[
            ("VEVENT", "DTSTART:20260101T090000Z\nDTEND:20260101T100000Z", false),
            ("VEVENT", "DTSTART:20260101T090000Z\nDTEND:20260101T100001Z", true),
            ("VEVENT", "DTSTART:20260101T120000Z\nDTEND:20260101T130000Z", false),
            ("VEVENT", "DTSTART:20260101T100000Z\nDURATION:PT0S", true),
            ("VEVENT", "DTSTART:20260101T100000Z", true),
            ("VEVENT", "DTSTART:20260101T120000Z", false),
            ("VEVENT", "DTSTART;VALUE=DATE:20260101", true),
            ("VEVENT", "DTSTART;VALUE=DATE:20251231", false),
            ("VTODO", "SUMMARY:no time", true),
            ("VTODO", "DTSTART:20260101T090000Z\nDURATION:PT1H", true),
            ("VTODO", "DTSTART:20260101T090000Z\nDUE:20260101T100000Z", false),
            ("VTODO", "DTSTART:20260101T110000Z", true),
            ("VTODO", "DUE:20260101T120000Z", true),
            ("VTODO", "DUE:20260101T120001Z", false),
            ("VTODO", "DUE:20260101T100000Z", false),
            ("VTODO", "COMPLETED:20260101T100000Z\nCREATED:20250101T100000Z", true),
            ("VTODO", "COMPLETED:20260101T090000Z\nCREATED:20250101T100000Z", false),
            ("VTODO", "COMPLETED:20260101T120000Z", true),
            ("VTODO", "CREATED:20250101T100000Z", true),
            ("VTODO", "CREATED:20260101T120000Z", false),
            ("VJOURNAL", "DTSTART;VALUE=DATE:20260101", true),
            ("VJOURNAL", "SUMMARY:no time", false),
            ("VFREEBUSY", "DTSTART:20260101T080000Z\nDTEND:20260101T100000Z", true),
            ("VFREEBUSY", "FREEBUSY:20260101T080000Z/PT1H,20260101T113000Z/PT1H", true),
            ("VFREEBUSY", "FREEBUSY:20260101T080000Z/PT1H", false),
            ("VFREEBUSY", "SUMMARY:none", false),
        ];
        let asked = range("20260101T100000Z", "20260101T120000Z");
        for (name, lines, expected) in cases {
            let object = object(&format!("BEGIN:{name}\nUID:1\n{lines}\nEND:{name}"));
            assert_eq!(holds(timed(name, asked), &object), *expected, "{name} {lines}");
            let spans = crate::ical::summary(&object, &mut Budget::object()).spans;
            let (start, end) = (asked.start.as_second(), asked.end.as_second());
            let is_admitted = spans.iter().any(|span| span.0 < end && span.1 > start);
            assert!(is_admitted || !expected, "{name} {lines}: {spans:?}");
        }
    }

    #[test]
    fn alarms_repeat_and_follow_each_instance() {
        let event = object(
            "BEGIN:VEVENT\nUID:1\nDTSTART:20260101T100000Z\nDTEND:20260101T110000Z\nRRULE:FREQ=DAILY\nBEGIN:VALARM\nTRIGGER;RELATED=END:PT30M\nREPEAT:2\nDURATION:PT10M\nEND:VALARM\nEND:VEVENT",
        );
        let rings = |start, end| holds(comp("VEVENT", vec![timed("VALARM", range(start, end))]), &event);
        assert!(rings("20260301T113000Z", "20260301T113001Z"));
        assert!(rings("20260301T114500Z", "20260301T115001Z"));
        assert!(!rings("20260301T113001Z", "20260301T114000Z"));
        assert!(!rings("20260301T115001Z", "20260302T113000Z"));
    }

    #[test]
    fn collations() {
        let found = |collation, text: &str, value: &str| {
            TextMatch { collation, text: text.to_owned(), negate: false }.matches(value)
        };
        assert!(
            found(Collation::AsciiCasemap, "wORLD", "hello, World")
                && !found(Collation::AsciiCasemap, "\u{e4}", "\u{c4}")
        );
        assert!(!found(Collation::Octet, "world", "World"));
        assert!(
            found(Collation::UnicodeCasemap, "\u{e4}rger", "\u{c4}RGER")
                && found(Collation::UnicodeCasemap, "A\u{308}", "\u{e4}")
        );
        assert_eq!(Collation::named("default"), Some(Collation::AsciiCasemap));
        assert_eq!(Collation::named("i;ascii-numeric"), None);
    }

    #[test]
    fn a_query_without_a_kind_of_component_looks_at_all_kinds() {
        let event =
            "BEGIN:VEVENT\nUID:1\nDTSTART:20060104T100000Z\nDTEND:20060104T110000Z\nCATEGORIES:WORK\nEND:VEVENT";
        let alone = object(event);
        let holds = |time_range, properties: Vec<PropFilter>| {
            let test = CompTest::Defined { time_range, properties, components: Vec::new() };
            let filter = CompFilter { name: "VCALENDAR".to_owned(), test };
            matches(&filter, &alone, &Zone::UTC, &mut Budget::request()).unwrap()
        };
        let prop = |name: &str, text: &str| {
            let words = TextMatch { collation: Collation::default(), text: text.to_owned(), negate: false };
            let test = PropTest::Defined { value: Some(ValueTest::Text(words)), params: Vec::new() };
            PropFilter { name: name.to_owned(), test }
        };
        let day = range("20060104T000000Z", "20060105T000000Z");
        let next = range("20060105T000000Z", "20060106T000000Z");
        assert!(holds(Some(day), vec![]) && !holds(Some(next), vec![]));
        assert!(holds(None, vec![prop("CATEGORIES", "work")]) && !holds(None, vec![prop("CATEGORIES", "home")]));
        assert!(holds(Some(day), vec![prop("CATEGORIES", "work"), prop("VERSION", "2.0")]));
        assert!(!holds(Some(next), vec![prop("CATEGORIES", "work")]) && !holds(None, vec![prop("VERSION", "1.0")]));
    }

    #[test]
    fn the_window_is_that_of_the_member() {
        let day = range("20060104T000000Z", "20060105T000000Z");
        assert_eq!(comp("VCALENDAR", vec![timed("VEVENT", day)]).window(), Some(day));
        assert_eq!(comp("VCALENDAR", vec![comp("VEVENT", vec![timed("VALARM", day)])]).window(), None);
    }
}
