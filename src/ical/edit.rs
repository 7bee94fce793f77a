//! Changing an object in place: only the lines that an edit names are written anew (RFC 5545 3.1), in the file's own
//! line ends; every other octet stays. New lines and components come from [`Line`] and [`Draft`], which can't hold
//! anything that would break out of its line (names are filtered, values cleaned, parameters encoded by RFC 6868).
//!
//! Invariant: what [`Edit::finish`] returns has been read again by [`Object::parse`].

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::component::{Component, Object, ParseError, ParseLimits, Property, parse_components};
use super::text::{self, PhysicalLines};
use super::value::DateOrTime;

/// Which component an edit is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// The VCALENDAR itself.
    Calendar,
    /// The member without RECURRENCE-ID.
    Master,
    /// The n-th of [`Object::members`], from 0.
    Member(usize),
    /// The member with this RECURRENCE-ID.
    Override(DateOrTime),
    /// Child indexes from the VCALENDAR down: `[2, 0]` is the first child of its third.
    Path(Vec<usize>),
}

/// A list of changes to one object. Of two changes to the same line or component the later one counts.
#[derive(Debug)]
pub struct Edit<'a> {
    object: &'a Object,
    end_of_line: &'static [u8],
    splices: Vec<Splice>,
    failed: Option<EditError>,
}

struct Splice {
    range: Range<usize>,
    with: Vec<u8>,
    /// For a property that wasn't there: whose it is (offset of the component) and its name.
    inserts: Option<(usize, String)>,
}

impl fmt::Debug for Splice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Splice({:?}, {} octets)", self.range, self.with.len())
    }
}

impl<'a> Edit<'a> {
    pub fn new(object: &'a Object) -> Self {
        Self { object, end_of_line: end_of_line(object.octets()), splices: Vec::new(), failed: None }
    }

    /// Puts `line` in place of the first property of its name and removes the others; adds it if there is none.
    #[must_use]
    pub fn set(mut self, at: &At, line: &Line) -> Self {
        let Some(component) = self.find(at) else { return self };
        let with = text::fold_line_with(&line.text, self.end_of_line);
        let mut present = component.all(line.name());
        if let Some(first) = present.next() {
            self.splice(first.span(), with, None);
            for other in present {
                self.splice(other.span(), Vec::new(), None);
            }
        } else {
            let inserts = Some((component.span().start, line.name().to_ascii_uppercase()));
            self.splices.retain(|splice| splice.inserts != inserts);
            self.insert_property(component, with, inserts);
        }
        self
    }

    /// Adds `line` after the properties that are there.
    #[must_use]
    pub fn add(mut self, at: &At, line: &Line) -> Self {
        let Some(component) = self.find(at) else { return self };
        let with = text::fold_line_with(&line.text, self.end_of_line);
        self.insert_property(component, with, None);
        self
    }

    /// Removes all properties of this name.
    #[must_use]
    pub fn remove(self, at: &At, name: &str) -> Self {
        self.remove_where(at, |property| property.is(name))
    }

    /// Removes the properties that `unwanted` says yes to.
    #[must_use]
    pub fn remove_where(mut self, at: &At, unwanted: impl Fn(&Property) -> bool) -> Self {
        let Some(component) = self.find(at) else { return self };
        for property in component.properties().iter().filter(|property| unwanted(property)) {
            self.splice(property.span(), Vec::new(), None);
        }
        self
    }

    /// Puts `line` in place of exactly this property, which must be one of the object's.
    #[must_use]
    pub fn replace(mut self, property: &Property, line: &Line) -> Self {
        let with = text::fold_line_with(&line.text, self.end_of_line);
        self.splice(property.span(), with, None);
        self
    }

    /// Removes exactly this property, which must be one of the object's.
    #[must_use]
    pub fn remove_property(mut self, property: &Property) -> Self {
        self.splice(property.span(), Vec::new(), None);
        self
    }

    /// Adds a component (its octets, one BEGIN to END) as the last in `parent`; a VTIMEZONE as the first.
    #[must_use]
    pub fn add_component(mut self, parent: &At, octets: &[u8]) -> Self {
        let Some(parent) = self.find(parent) else { return self };
        let Some((is_zone, with)) = self.read_component(octets) else { return self };
        let place = if is_zone { first_child_or_end(parent) } else { parent.end_line_start() };
        self.splice(place..place, with, None);
        self
    }

    /// Puts a component (its octets, one BEGIN to END) in place of another.
    #[must_use]
    pub fn replace_component(mut self, at: &At, octets: &[u8]) -> Self {
        let Some(component) = self.find(at) else { return self };
        let Some((_, with)) = self.read_component(octets) else { return self };
        self.splice(component.span(), with, None);
        self
    }

    /// Removes a component with all that it holds.
    #[must_use]
    pub fn remove_component(mut self, at: &At) -> Self {
        let Some(component) = self.find(at) else { return self };
        self.splice(component.span(), Vec::new(), None);
        self
    }

    /// The object with all changes made. Without any, the same object.
    pub fn finish(mut self) -> Result<Object, EditError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        if self.splices.is_empty() {
            return Ok(self.object.clone());
        }
        // Stable: what is inserted at one place keeps the order of the calls, and stands before what is replaced there.
        self.splices.sort_by_key(|splice| (splice.range.start, !splice.range.is_empty()));
        let octets = self.object.octets();
        let mut out = Vec::with_capacity(octets.len() + 256);
        let mut at = 0;
        for splice in &self.splices {
            out.extend_from_slice(octets.get(at..splice.range.start).unwrap_or_default());
            out.extend_from_slice(&splice.with);
            at = splice.range.end;
        }
        out.extend_from_slice(octets.get(at..).unwrap_or_default());
        Ok(Object::parse(Bytes::from(out))?)
    }

    fn find(&mut self, at: &At) -> Option<&'a Component> {
        let found = find(self.object, at);
        if found.is_none() {
            self.failed.get_or_insert(EditError::NoSuchComponent);
        }
        found
    }

    fn read_component(&mut self, octets: &[u8]) -> Option<(bool, Vec<u8>)> {
        if let Ok([component]) = parse_components(octets, &ParseLimits::OBJECT).as_deref() {
            return Some((component.is("VTIMEZONE"), with_line_ends(octets, self.end_of_line)));
        }
        self.failed.get_or_insert(EditError::NotAComponent);
        None
    }

    fn insert_property(&mut self, component: &Component, with: Vec<u8>, inserts: Option<(usize, String)>) {
        let place = first_child_or_end(component);
        self.splice(place..place, with, inserts);
    }

    fn splice(&mut self, range: Range<usize>, with: Vec<u8>, inserts: Option<(usize, String)>) {
        let holds = |outer: &Range<usize>, inner: &Range<usize>| {
            if inner.is_empty() {
                outer.start < inner.start && inner.start < outer.end
            } else {
                outer.start <= inner.start && inner.end <= outer.end
            }
        };
        if self.splices.iter().any(|splice| splice.range != range && holds(&splice.range, &range)) {
            return;
        }
        self.splices.retain(|splice| !holds(&range, &splice.range));
        self.splices.push(Splice { range, with, inserts });
    }
}

/// Why an edit can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("there is no such component")]
    NoSuchComponent,
    #[error("what was to be added isn't one component")]
    NotAComponent,
    #[error("the result can't be read: {0}")]
    Parse(#[from] ParseError),
}

/// A content line in the making. Whatever strings it is made of, it stays one line with this one property.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    text: String,
    name_length: usize,
}

impl Line {
    /// A line without value yet. What can't stand in a name is left out.
    pub fn new(name: &str) -> Self {
        let mut text = clean_name(name);
        let name_length = text.len();
        text.push(':');
        Self { text, name_length }
    }

    /// A date or time, with VALUE=DATE or TZID as it needs.
    pub fn at(name: &str, value: &DateOrTime) -> Self {
        let line = Self::new(name);
        let line = match value {
            DateOrTime::Date(_) => line.param("VALUE", "DATE"),
            DateOrTime::Zoned { tzid, .. } => line.param("TZID", tzid),
            DateOrTime::Floating(_) | DateOrTime::Utc(_) => line,
        };
        line.value(&value.to_string())
    }

    /// The same line as an existing property's, unfolded.
    pub fn copy(property: &Property) -> Self {
        Self { text: property.line().to_owned(), name_length: property.name().len() }
    }

    /// The same name and parameters with another value, given as it shall stand there.
    pub(super) fn with_value_of(property: &Property, value: &str) -> Self {
        let line = property.line();
        let head = line.get(..line.len() - property.value().len()).unwrap_or_default();
        Self { text: head.to_owned(), name_length: property.name().len() }.value(value)
    }

    /// Adds a parameter. To be called before the value is set.
    #[must_use]
    pub fn param(self, name: &str, value: &str) -> Self {
        self.param_list(name, &[value])
    }

    /// Adds a parameter with several values. To be called before the value is set.
    #[must_use]
    pub fn param_list(mut self, name: &str, values: &[&str]) -> Self {
        let values: Vec<String> = values.iter().map(|value| text::encode_param(value)).collect();
        self.text.truncate(self.text.len() - 1);
        self.text.extend([";", &clean_name(name), "=", &values.join(","), ":"]);
        self
    }

    /// Sets the value to a TEXT, escaped.
    #[must_use]
    pub fn text(mut self, value: &str) -> Self {
        self.text.push_str(&text::escape_text(value));
        self
    }

    /// Sets the value to a list of TEXT (CATEGORIES), each escaped.
    #[must_use]
    pub fn list(mut self, values: &[&str]) -> Self {
        let values: Vec<String> = values.iter().map(|value| text::escape_text(value)).collect();
        self.text.push_str(&values.join(","));
        self
    }

    /// Sets the value as it shall stand there: escaped already, or of a type without escapes. Controls are left out.
    #[must_use]
    pub fn value(mut self, value: &str) -> Self {
        self.text.extend(value.chars().filter(|&character| !text::is_forbidden(character)));
        self
    }

    pub fn name(&self) -> &str {
        self.text.get(..self.name_length).unwrap_or_default()
    }

    /// The whole line, unfolded.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({}, {} octets)", self.name(), self.text.len())
    }
}

/// A component in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    name: String,
    lines: Vec<Line>,
    children: Vec<Draft>,
}

impl Draft {
    pub fn new(name: &str) -> Self {
        Self { name: clean_name(name), lines: Vec::new(), children: Vec::new() }
    }

    /// A VCALENDAR with VERSION and our PRODID.
    pub fn calendar() -> Self {
        Self::new("VCALENDAR").line(Line::new("VERSION").value("2.0")).line(Line::new("PRODID").value(PRODID))
    }

    #[must_use]
    pub fn line(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    #[must_use]
    pub fn child(mut self, child: Draft) -> Self {
        self.children.push(child);
        self
    }

    /// The component as octets, folded, with CRLF.
    pub fn octets(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// The VCALENDAR as an object.
    pub fn object(&self) -> Result<Object, ParseError> {
        Object::parse(Bytes::from(self.octets()))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(text::fold_line(&format!("BEGIN:{}", self.name)));
        for line in &self.lines {
            out.extend(text::fold_line(&line.text));
        }
        for child in &self.children {
            child.write(out);
        }
        out.extend(text::fold_line(&format!("END:{}", self.name)));
    }
}

/// What we call ourselves in files that we make.
pub const PRODID: &str = "-//LinearTime//Gateway//EN";

/// The component that `at` names.
pub(super) fn find<'a>(object: &'a Object, at: &At) -> Option<&'a Component> {
    match at {
        At::Calendar => Some(object.root()),
        At::Master => object.master(),
        At::Member(index) => object.members().nth(*index),
        At::Override(wanted) => object.members().find(|member| {
            member.property("RECURRENCE-ID").and_then(|id| DateOrTime::parse(id).ok()).as_ref() == Some(wanted)
        }),
        At::Path(indexes) => {
            indexes.iter().try_fold(object.root(), |component, &index| component.children().get(index))
        }
    }
}

/// The same lines, each with this line end, also the last; without a byte order mark.
pub(super) fn with_line_ends(octets: &[u8], end_of_line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + 2);
    for line in PhysicalLines::new(octets) {
        out.extend_from_slice(octets.get(line.content).unwrap_or_default());
        out.extend_from_slice(end_of_line);
    }
    out
}

/// Properties stand before the components.
fn first_child_or_end(component: &Component) -> usize {
    component.children().first().map_or(component.end_line_start(), |child| child.span().start)
}

/// What the file's first line ends with; CRLF if it has no line break at all.
fn end_of_line(octets: &[u8]) -> &'static [u8] {
    let first = octets.iter().position(|&octet| octet == b'\n');
    match first.and_then(|at| at.checked_sub(1)).map(|before| octets.get(before)) {
        Some(Some(octet)) if *octet != b'\r' => b"\n",
        _ => b"\r\n",
    }
}

fn clean_name(name: &str) -> String {
    let clean: String = name.chars().filter(|c| u8::try_from(*c).is_ok_and(text::is_name_octet)).collect();
    if clean.is_empty() { "X-UNNAMED".to_owned() } else { clean }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "BEGIN:VCALENDAR\nversion:2.0\n\nBEGIN:VEVENT\nUID:1\nX-Long:aaa\n  bbb\nSUMMARY:old\nATTENDEE:a\n\
        summary:older\nBEGIN:VALARM\nTRIGGER:PT0S\nEND:VALARM\nEND:VEVENT\nBEGIN:VEVENT\nUID:1\n\
        RECURRENCE-ID;VALUE=DATE:20250102\nEND:VEVENT\nEND:VCALENDAR";

    fn object() -> Object {
        Object::parse(Bytes::from_static(TEXT.as_bytes())).unwrap()
    }

    fn text_of(object: &Object) -> &str {
        std::str::from_utf8(object.octets()).unwrap()
    }

    #[test]
    fn an_edit_touches_only_its_lines_and_keeps_the_line_ends() {
        let object = object();
        let edited =
            Edit::new(&object).set(&At::Master, &Line::new("SUMMARY").text("new; one\r\nX:1")).finish().unwrap();
        let expected = TEXT.replace("SUMMARY:old\n", "SUMMARY:new\\; one\\nX:1\n").replace("summary:older\n", "");
        assert_eq!(text_of(&edited), expected);
    }

    #[test]
    fn lines_and_components_come_and_go() {
        let object = object();
        let second = At::Override(DateOrTime::Date(jiff::civil::date(2025, 1, 2)));
        let edited = Edit::new(&object)
            .add(&At::Master, &Line::new("COMMENT").text(&"ä".repeat(50)))
            .set(&second, &Line::new("STATUS").value("TENTATIVE"))
            .set(&second, &Line::new("STATUS").value("CANCELLED"))
            .remove(&At::Member(0), "x-long")
            .remove_where(&At::Path(vec![0]), |property| property.value() == "a")
            .remove_component(&At::Path(vec![0, 0]))
            .set(&At::Path(vec![0, 0]), &Line::new("TRIGGER").value("PT1S"))
            .add_component(&At::Calendar, b"BEGIN:VTIMEZONE\r\nTZID:X\r\nEND:VTIMEZONE")
            .add_component(&second, &Draft::new("VALARM").line(Line::new("ACTION").value("DISPLAY")).octets())
            .finish()
            .unwrap();
        let folded = format!("COMMENT:{}\n {}\n", "ä".repeat(33), "ä".repeat(17));
        let expected = TEXT
            .replace("X-Long:aaa\n  bbb\n", "")
            .replace("ATTENDEE:a\n", "")
            .replace("BEGIN:VALARM\nTRIGGER:PT0S\nEND:VALARM\n", &folded)
            .replace("0102\nEND", "0102\nSTATUS:CANCELLED\nBEGIN:VALARM\nACTION:DISPLAY\nEND:VALARM\nEND")
            .replacen("BEGIN:VEVENT", "BEGIN:VTIMEZONE\nTZID:X\nEND:VTIMEZONE\nBEGIN:VEVENT", 1);
        assert_eq!(text_of(&edited), expected);
    }

    #[test]
    fn what_cant_be_done_is_said() {
        let object = object();
        let line = Line::new("X").value("1");
        assert_eq!(Edit::new(&object).set(&At::Member(2), &line).finish().unwrap_err(), EditError::NoSuchComponent);
        for bad in ["", "X:1", "BEGIN:A\nEND:A\nBEGIN:A\nEND:A", "BEGIN:A"] {
            let edit = Edit::new(&object).add_component(&At::Calendar, bad.as_bytes());
            assert_eq!(edit.finish().unwrap_err(), EditError::NotAComponent, "{bad}");
        }
        assert_eq!(Edit::new(&object).finish().unwrap().octets(), object.octets());
        let all = Edit::new(&object).remove_component(&At::Master).set(&At::Master, &line).finish().unwrap();
        assert_eq!(all.members().count(), 1);
    }

    proptest! {
        #[test]
        fn no_string_breaks_out_of_its_line(name in any::<String>(), param in any::<String>(), value in any::<String>()) {
            let line = Line::new(&name).param(&name, &param).value(&value);
            let text = Line::new("X-TEXT").param_list("P", &[&param, "b"]).list(&[&value, "b"]);
            prop_assume!(!line.name().eq_ignore_ascii_case("BEGIN") && !line.name().eq_ignore_ascii_case("END"));
            let object = object();
            let edited = Edit::new(&object).add(&At::Calendar, &line).set(&At::Calendar, &text).finish().unwrap();
            prop_assert_eq!(edited.root().properties().len(), object.root().properties().len() + 2);
            let read = edited.root().property("X-TEXT").unwrap();
            prop_assert_eq!(read.param("P").unwrap(), text::clean_text(&param));
            prop_assert_eq!(read.list().map(|item| text::unescape_text(item).into_owned()).collect::<Vec<_>>(),
                [text::clean_text(&value).into_owned(), "b".to_owned()]);
        }
    }
}
