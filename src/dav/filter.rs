//! The parts of a query that speak of calendar contents, from XML to the types of [`crate::ical`] and back
//! (RFC 4791 9.6 `calendar-data`, 9.7 `filter`, 9.9 `time-range`).
//!
//! What breaks the grammar of a filter is `valid-filter`; what is well-formed but can't be applied is
//! `supported-filter`, with the element in question; an unknown collation is `supported-collation`.
//!
//! It never looks into an object: that is [`crate::ical::matches`] and [`crate::ical::render`].

use jiff::Timestamp;

use super::element::Element;
use super::name::{QName, caldav, ns::CALDAV};
use super::precondition::{Malformed, Precondition, Unsupported};
use super::writer::Writer;
use crate::ical::{
    Collation, CompFilter, CompSelect, CompTest, DataRequest, DateOrTime, ParamFilter, ParamTest, PropFilter,
    PropSelect, PropTest, Select, TextMatch, TimeRange, ValueTest,
};

/// The one `comp-filter` inside `CALDAV:filter`, which must be that of VCALENDAR.
pub(super) fn parse_filter(filter: &Element) -> Result<CompFilter, Malformed> {
    let mut filters = filter.children().filter(|child| child.is(&COMP_FILTER));
    let (Some(top), None) = (filters.next(), filters.next()) else { return invalid() };
    let top = parse_comp(top)?;
    if !top.name.eq_ignore_ascii_case("VCALENDAR") {
        return invalid();
    }
    Ok(top)
}

/// `CALDAV:filter` with its one `comp-filter`.
pub(super) fn write_filter(writer: &mut Writer, filter: &CompFilter) {
    writer.start(&FILTER);
    write_comp(writer, filter);
    writer.end(&FILTER);
}

/// What a `CALDAV:calendar-data` element inside of `DAV:prop` asks for.
pub(super) fn parse_data(element: &Element) -> Result<DataRequest, Malformed> {
    let media_type = element.attribute("content-type").unwrap_or("text/calendar");
    let version = element.attribute("version").unwrap_or("2.0");
    if !media_type.eq_ignore_ascii_case("text/calendar") || version != "2.0" {
        return Err(Precondition::SupportedCalendarData.into());
    }
    let mut request = DataRequest::default();
    for child in element.children() {
        let slot = match child.name().pair() {
            (CALDAV, "comp") if request.comp.is_none() => {
                request.comp = Some(parse_select(child)?);
                continue;
            }
            (CALDAV, "expand") => &mut request.expand,
            (CALDAV, "limit-recurrence-set") => &mut request.limit_recurrence_set,
            (CALDAV, "limit-freebusy-set") => &mut request.limit_freebusy_set,
            (CALDAV, _) => return Err(Malformed::Unexpected("CALDAV:calendar-data holds something that it can't")),
            _ => continue,
        };
        let range = parse_range(child).ok().filter(|range| range.start != Timestamp::MIN);
        if slot.is_some() || child.attribute("end").is_none() || range.is_none() {
            return Err(Malformed::Unexpected("expand and the limits of a set are given once, with start and end"));
        }
        *slot = range;
    }
    if request.expand.is_some() && request.limit_recurrence_set.is_some() {
        return Err(Malformed::Unexpected("only one of expand and limit-recurrence-set can be asked"));
    }
    Ok(request)
}

/// `CALDAV:calendar-data` with all that is asked of it.
pub(super) fn write_data(writer: &mut Writer, request: &DataRequest) {
    if *request == DataRequest::default() {
        writer.empty(&caldav::CALENDAR_DATA);
        return;
    }
    writer.start(&caldav::CALENDAR_DATA);
    if let Some(comp) = &request.comp {
        write_select(writer, comp);
    }
    let ranges = [
        ("expand", &request.expand),
        ("limit-recurrence-set", &request.limit_recurrence_set),
        ("limit-freebusy-set", &request.limit_freebusy_set),
    ];
    for (local, range) in ranges {
        if let Some(range) = range {
            write_range(writer, &QName::fixed(CALDAV, local), range);
        }
    }
    writer.end(&caldav::CALENDAR_DATA);
}

/// The range of a `time-range`, `expand` or `limit-` element: UTC, one end may be open, not empty.
pub(super) fn parse_range(element: &Element) -> Result<TimeRange, Malformed> {
    let (start, end) = (element.attribute("start"), element.attribute("end"));
    if start.is_none() && end.is_none() {
        return invalid();
    }
    let range = TimeRange {
        start: start.map_or(Ok(Timestamp::MIN), parse_instant)?,
        end: end.map_or(Ok(Timestamp::MAX), parse_instant)?,
    };
    if range.start < range.end { Ok(range) } else { invalid() }
}

/// An element with the range's ends as attributes.
pub(super) fn write_range(writer: &mut Writer, name: &QName, range: &TimeRange) {
    let instant = |at: Timestamp| at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let start = (range.start != Timestamp::MIN).then(|| instant(range.start));
    let end = (range.end != Timestamp::MAX).then(|| instant(range.end));
    let ends = [("start", start.as_deref()), ("end", end.as_deref())];
    let attributes: Vec<_> = ends.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    writer.empty_with(name, &attributes);
}

fn parse_instant(text: &str) -> Result<Timestamp, Malformed> {
    match DateOrTime::parse_value(text, None) {
        Ok(DateOrTime::Utc(at)) => Ok(at),
        // The last day that can be written lies just beyond what is counted: people mean "for ever".
        Err(_) if text.starts_with("99991231T") && text.ends_with('Z') && text.len() == 16 => Ok(Timestamp::MAX),
        _ => invalid(),
    }
}

fn parse_comp(element: &Element) -> Result<CompFilter, Malformed> {
    let name = name_of(element)?;
    let (mut not_defined, mut time_range, mut properties, mut components) = (false, None, Vec::new(), Vec::new());
    for child in element.children() {
        match child.name().pair() {
            (CALDAV, "is-not-defined") => not_defined = true,
            (CALDAV, "time-range") if time_range.is_none() => time_range = Some(parse_range(child)?),
            (CALDAV, "prop-filter") => properties.push(parse_prop(child)?),
            (CALDAV, "comp-filter") => components.push(parse_comp(child)?),
            (CALDAV, _) => return invalid(),
            _ => {}
        }
    }
    let alone = time_range.is_none() && properties.is_empty() && components.is_empty();
    if not_defined {
        return if alone { Ok(CompFilter { name, test: CompTest::NotDefined }) } else { invalid() };
    }
    let timed = ["VCALENDAR", "VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VALARM"];
    if time_range.is_some() && !timed.iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return Err(Precondition::SupportedFilter(Some(Unsupported::Component(name))).into());
    }
    Ok(CompFilter { name, test: CompTest::Defined { time_range, properties, components } })
}

fn parse_prop(element: &Element) -> Result<PropFilter, Malformed> {
    let name = name_of(element)?;
    let (mut not_defined, mut value, mut params) = (false, None, Vec::new());
    for child in element.children() {
        match child.name().pair() {
            (CALDAV, "is-not-defined") => not_defined = true,
            (CALDAV, "time-range") if value.is_none() => value = Some(ValueTest::TimeRange(parse_range(child)?)),
            (CALDAV, "text-match") if value.is_none() => {
                value = Some(ValueTest::Text(parse_text(child, || Unsupported::Property(name.clone()))?));
            }
            (CALDAV, "param-filter") => params.push(parse_param(child)?),
            (CALDAV, _) => return invalid(),
            _ => {}
        }
    }
    let test = match not_defined {
        true if value.is_some() || !params.is_empty() => return invalid(),
        true => PropTest::NotDefined,
        false => PropTest::Defined { value, params },
    };
    Ok(PropFilter { name, test })
}

fn parse_param(element: &Element) -> Result<ParamFilter, Malformed> {
    let name = name_of(element)?;
    let (mut not_defined, mut text) = (false, None);
    for child in element.children() {
        match child.name().pair() {
            (CALDAV, "is-not-defined") => not_defined = true,
            (CALDAV, "text-match") if text.is_none() => {
                text = Some(parse_text(child, || Unsupported::Parameter(name.clone()))?);
            }
            (CALDAV, _) => return invalid(),
            _ => {}
        }
    }
    let asked = match not_defined {
        true if text.is_some() => return invalid(),
        true => ParamTest::NotDefined,
        false => ParamTest::Defined { text },
    };
    Ok(ParamFilter { name, test: asked })
}

fn parse_text(element: &Element, inside: impl Fn() -> Unsupported) -> Result<TextMatch, Malformed> {
    let collation = match element.attribute("collation") {
        None => Collation::default(),
        Some(name) => Collation::named(name).ok_or(Precondition::SupportedCollation)?,
    };
    let negate = match element.attribute("negate-condition") {
        None | Some("no") => false,
        Some("yes") => true,
        Some(_) => return invalid(),
    };
    // Only CardDAV has other kinds; to take them as "contains" would give wrong answers silently.
    if element.attribute("match-type").is_some_and(|kind| kind != "contains") {
        return Err(Precondition::SupportedFilter(Some(inside())).into());
    }
    Ok(TextMatch { collation, text: element.text().into_owned(), negate })
}

fn parse_select(element: &Element) -> Result<CompSelect, Malformed> {
    let name = data_name(element)?;
    let (mut properties, mut components) = (None, None);
    for child in element.children() {
        match child.name().pair() {
            (CALDAV, "allprop") => properties = Some(Select::All),
            (CALDAV, "allcomp") => components = Some(Select::All),
            (CALDAV, "prop") => {
                let novalue = child.attribute("novalue") == Some("yes");
                add(&mut properties, PropSelect { name: data_name(child)?, novalue });
            }
            (CALDAV, "comp") => add(&mut components, parse_select(child)?),
            _ => {}
        }
    }
    let (properties, components) = match (properties, components) {
        // An empty `comp` gives the whole of it (RFC 4791 9.6.1 leaves it open; a bare VTIMEZONE in 7.8.1 means all).
        (None, None) => (Select::All, Select::All),
        (properties, components) => {
            (properties.unwrap_or(Select::Only(Vec::new())), components.unwrap_or(Select::Only(Vec::new())))
        }
    };
    Ok(CompSelect { name, properties, components })
}

fn add<T>(selected: &mut Option<Select<T>>, one: T) {
    match selected {
        Some(Select::All) => {}
        Some(Select::Only(list)) => list.push(one),
        None => *selected = Some(Select::Only(vec![one])),
    }
}

fn write_select(writer: &mut Writer, select: &CompSelect) {
    writer.start_with(&caldav::COMP, &[("name", &select.name)]);
    match &select.properties {
        Select::All => {
            writer.empty(&QName::fixed(CALDAV, "allprop"));
        }
        Select::Only(properties) => {
            for property in properties {
                let novalue = property.novalue.then_some(("novalue", "yes"));
                let attributes: Vec<_> = [("name", property.name.as_str())].into_iter().chain(novalue).collect();
                writer.empty_with(&QName::fixed(CALDAV, "prop"), &attributes);
            }
        }
    }
    match &select.components {
        Select::All => {
            writer.empty(&QName::fixed(CALDAV, "allcomp"));
        }
        Select::Only(components) => {
            for component in components {
                write_select(writer, component);
            }
        }
    }
    writer.end(&caldav::COMP);
}

fn write_comp(writer: &mut Writer, filter: &CompFilter) {
    writer.start_with(&COMP_FILTER, &[("name", &filter.name)]);
    match &filter.test {
        CompTest::NotDefined => {
            writer.empty(&IS_NOT_DEFINED);
        }
        CompTest::Defined { time_range, properties, components } => {
            if let Some(range) = time_range {
                write_range(writer, &TIME_RANGE, range);
            }
            for property in properties {
                write_prop(writer, property);
            }
            for component in components {
                write_comp(writer, component);
            }
        }
    }
    writer.end(&COMP_FILTER);
}

fn write_prop(writer: &mut Writer, filter: &PropFilter) {
    let element = QName::fixed(CALDAV, "prop-filter");
    writer.start_with(&element, &[("name", &filter.name)]);
    match &filter.test {
        PropTest::NotDefined => {
            writer.empty(&IS_NOT_DEFINED);
        }
        PropTest::Defined { value, params } => {
            match value {
                Some(ValueTest::TimeRange(range)) => write_range(writer, &TIME_RANGE, range),
                Some(ValueTest::Text(text)) => write_text(writer, text),
                None => {}
            }
            for param in params {
                write_param(writer, param);
            }
        }
    }
    writer.end(&element);
}

fn write_param(writer: &mut Writer, filter: &ParamFilter) {
    let element = QName::fixed(CALDAV, "param-filter");
    writer.start_with(&element, &[("name", &filter.name)]);
    match &filter.test {
        ParamTest::NotDefined => {
            writer.empty(&IS_NOT_DEFINED);
        }
        ParamTest::Defined { text: Some(text) } => write_text(writer, text),
        ParamTest::Defined { text: None } => {}
    }
    writer.end(&element);
}

fn write_text(writer: &mut Writer, text: &TextMatch) {
    let element = QName::fixed(CALDAV, "text-match");
    let negate = if text.negate { "yes" } else { "no" };
    writer.start_with(&element, &[("collation", text.collation.name()), ("negate-condition", negate)]);
    writer.text(&text.text).end(&element);
}

fn name_of(element: &Element) -> Result<String, Malformed> {
    match element.attribute("name") {
        Some(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        _ => invalid(),
    }
}

fn data_name(element: &Element) -> Result<String, Malformed> {
    name_of(element).map_err(|_| Malformed::Unexpected("a part of CALDAV:calendar-data has no name"))
}

fn invalid<T>() -> Result<T, Malformed> {
    Err(Precondition::ValidFilter.into())
}

pub(super) const FILTER: QName = QName::fixed(CALDAV, "filter");
pub(super) const TIME_RANGE: QName = QName::fixed(CALDAV, "time-range");
const COMP_FILTER: QName = QName::fixed(CALDAV, "comp-filter");
const IS_NOT_DEFINED: QName = QName::fixed(CALDAV, "is-not-defined");

#[cfg(test)]
mod tests {
    use super::super::xml::Limits;
    use super::*;

    fn element(inner: &str) -> Element {
        Element::parse(inner.as_bytes(), Limits::REQUEST).unwrap()
    }

    fn filter(inner: &str) -> Result<CompFilter, Malformed> {
        parse_filter(&element(&format!("<filter xmlns='{CALDAV}'>{inner}</filter>")))
    }

    fn event(inner: &str) -> Result<CompFilter, Malformed> {
        filter(&format!("<comp-filter name='VCALENDAR'><comp-filter name='VEVENT'>{inner}</comp-filter></comp-filter>"))
    }

    fn violated(error: &Malformed) -> Precondition {
        error.precondition().expect("a condition is named")
    }

    #[test]
    fn filters_are_read_and_written() {
        for inner in [
            "",
            "<is-not-defined/>",
            "<time-range start='20060104T000000Z' end='20060105T000000Z'/>",
            "<time-range start='20060104T000000Z'/>",
            "<time-range end='99991231T235959Z' start='20060104T000000Z'/>",
            "<prop-filter name='UID'><text-match collation='i;octet'> a &amp; b </text-match></prop-filter>",
            "<prop-filter name='ATTENDEE'><text-match>mailto:lisa</text-match><param-filter name='PARTSTAT'>\
             <text-match negate-condition='yes'>NEEDS-ACTION</text-match></param-filter></prop-filter>",
            "<prop-filter name='X'><is-not-defined/></prop-filter><comp-filter name='VALARM'><time-range end='20060105T000000Z'/></comp-filter>",
            "<prop-filter name='X'><param-filter name='Y'><is-not-defined/></param-filter><param-filter name='Z'/></prop-filter>",
            "<prop-filter name='CREATED'><time-range start='20060104T000000Z'/></prop-filter>",
        ] {
            let read = event(inner).unwrap();
            let mut writer = Writer::document(&QName::fixed(CALDAV, "all"));
            write_filter(&mut writer, &read);
            writer.end(&QName::fixed(CALDAV, "all"));
            let all = Element::parse(&writer.finish(), Limits::REQUEST).unwrap();
            assert_eq!(parse_filter(all.child(&FILTER).unwrap()), Ok(read), "{inner}");
        }
    }

    #[test]
    fn broken_filters_violate_valid_filter() {
        for broken in [
            "",
            "<comp-filter name='VEVENT'/>",
            "<comp-filter/>",
            "<comp-filter name='VCALENDAR'/><comp-filter name='VCALENDAR'/>",
        ] {
            assert_eq!(violated(&filter(broken).unwrap_err()), Precondition::ValidFilter, "{broken}");
        }
        for broken in [
            "<time-range/>",
            "<time-range start='20060104'/>",
            "<time-range start='20060104T000000'/>",
            "<time-range start='2006-01-04T00:00:00Z'/>",
            "<time-range start='20060104T000000Z' end='20060104T000000Z'/>",
            "<time-range start='20060105T000000Z' end='20060104T000000Z'/>",
            "<time-range start='20061304T000000Z'/>",
            "<time-range start='20060104T000000Z'/><time-range start='20060104T000000Z'/>",
            "<is-not-defined/><prop-filter name='UID'/>",
            "<prop-filter/>",
            "<prop-filter name='UID'><is-not-defined/><text-match>x</text-match></prop-filter>",
            "<prop-filter name='UID'><time-range start='20060104T000000Z'/><text-match>x</text-match></prop-filter>",
            "<prop-filter name='UID'><text-match negate-condition='maybe'>x</text-match></prop-filter>",
            "<param-filter name='X'/>",
            "<nonsense/>",
        ] {
            assert_eq!(violated(&event(broken).unwrap_err()), Precondition::ValidFilter, "{broken}");
        }
    }

    #[test]
    fn what_cannot_be_applied_is_named() {
        let unknown = "<prop-filter name='UID'><text-match collation='i;klingon'>x</text-match></prop-filter>";
        assert_eq!(violated(&event(unknown).unwrap_err()), Precondition::SupportedCollation);
        let kind = "<prop-filter name='UID'><text-match match-type='equals'>x</text-match></prop-filter>";
        let part = Unsupported::Property("UID".to_owned());
        assert_eq!(violated(&event(kind).unwrap_err()), Precondition::SupportedFilter(Some(part)));
        let zone = "<comp-filter name='VCALENDAR'><comp-filter name='VTIMEZONE'><time-range start='20060104T000000Z'/>\
            </comp-filter></comp-filter>";
        let part = Unsupported::Component("VTIMEZONE".to_owned());
        assert_eq!(violated(&filter(zone).unwrap_err()), Precondition::SupportedFilter(Some(part)));
    }

    #[test]
    fn parts_of_the_data_are_read_and_written() {
        for inner in [
            "",
            "<expand start='20060104T000000Z' end='20060105T000000Z'/>",
            "<comp name='VCALENDAR'><prop name='VERSION'/><comp name='VEVENT'><prop name='SUMMARY' novalue='yes'/></comp>\
             <comp name='VTIMEZONE'/></comp><limit-recurrence-set start='20060104T000000Z' end='20060105T000000Z'/>",
            "<comp name='VCALENDAR'><allprop/><allcomp/></comp><limit-freebusy-set start='20060104T000000Z' end='20060105T000000Z'/>",
        ] {
            let data = element(&format!("<calendar-data xmlns='{CALDAV}'>{inner}</calendar-data>"));
            let read = parse_data(&data).unwrap();
            let mut writer = Writer::document(&QName::fixed(CALDAV, "all"));
            write_data(&mut writer, &read);
            writer.end(&QName::fixed(CALDAV, "all"));
            let all = Element::parse(&writer.finish(), Limits::REQUEST).unwrap();
            assert_eq!(parse_data(all.child(&caldav::CALENDAR_DATA).unwrap()), Ok(read), "{inner}");
        }
        let foreign = element(&format!("<calendar-data xmlns='{CALDAV}' content-type='application/calendar+json'/>"));
        assert_eq!(violated(&parse_data(&foreign).unwrap_err()), Precondition::SupportedCalendarData);
        for broken in [
            "<expand start='20060104T000000Z'/>",
            "<expand start='20060104T000000Z' end='20060105T000000Z'/><limit-recurrence-set start='20060104T000000Z' end='20060105T000000Z'/>",
            "<expand start='x' end='20060105T000000Z'/>",
            "<comp/>",
        ] {
            let data = element(&format!("<calendar-data xmlns='{CALDAV}'>{broken}</calendar-data>"));
            assert_eq!(parse_data(&data).unwrap_err().status(), 400, "{broken}");
        }
    }
}
