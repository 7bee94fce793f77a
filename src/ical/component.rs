//! The tree over a resource's octets: [`Object`], [`Component`], [`Property`] (RFC 5545 3.1, 3.4, 3.6; RFC 4791 4.1).
//!
//! Invariant: `Object::parse(octets)?.octets() == octets`; the tree only points into them. Reading is iterative, within
//! [`ParseLimits`], so that no input can exhaust the stack. Never judges values: that is `validate`.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::text::{self, LogicalLine, Reach};

/// One calendar object resource: a VCALENDAR and the octets it was written in. A clone is cheap.
#[derive(Clone)]
pub struct Object(Arc<Inner>);

struct Inner {
    octets: Bytes,
    root: Component,
    uid: String,
    kind: ComponentKind,
}

impl Object {
    /// Reads one VCALENDAR. Several in a row, or none, are errors: [`split`](crate::ical::split) reads streams.
    pub fn parse(octets: Bytes) -> Result<Self, ParseError> {
        let mut roots = parse_components(&octets, &ParseLimits::OBJECT)?.into_iter();
        let (root, more) = (roots.next(), roots.next());
        let root = root.filter(|root| root.is("VCALENDAR")).ok_or(ParseError::new(1, "there is no VCALENDAR"))?;
        if more.is_some() {
            return Err(ParseError::new(1, "there is more than one VCALENDAR"));
        }
        let first = root.children().iter().find(|child| is_member(child));
        let kind = first.map_or(ComponentKind::Other, ComponentKind::of);
        let uid = root.children().iter().filter(|child| is_member(child)).find_map(|child| child.property("UID"));
        let uid = uid.map(Property::text).unwrap_or_default();
        Ok(Self(Arc::new(Inner { octets, root, uid, kind })))
    }

    /// The octets as they came.
    pub fn octets(&self) -> &Bytes {
        &self.0.octets
    }

    /// The octets as UTF-8, for an XML body or a JSON string. Where folds split characters (legal, RFC 5545 3.1) the
    /// lines are folded anew; otherwise these are the octets as they came.
    pub fn as_text(&self) -> Cow<'_, str> {
        if let Ok(text) = std::str::from_utf8(self.octets()) {
            return Cow::Borrowed(text);
        }
        let folded = text::unfold(self.octets(), ParseLimits::OBJECT.line).map(|unfolded| {
            let lines = unfolded.lines.iter();
            lines.flat_map(|line| text::fold_line(unfolded.text.get(line.text.range()).unwrap_or_default())).collect()
        });
        Cow::Owned(String::from_utf8(folded.unwrap_or_default()).unwrap_or_default())
    }

    /// The VCALENDAR.
    pub fn root(&self) -> &Component {
        &self.0.root
    }

    /// The first UID found; empty if there is none (`check_resource` refuses that).
    pub fn uid(&self) -> &str {
        &self.0.uid
    }

    /// What the resource holds, by its first member.
    pub fn kind(&self) -> ComponentKind {
        self.0.kind
    }

    /// The VEVENT, VTODO, ... components: masters and overrides in the order of the file.
    pub fn members(&self) -> impl Iterator<Item = &Component> {
        self.0.root.children().iter().filter(|child| is_member(child))
    }

    /// The member without RECURRENCE-ID.
    pub fn master(&self) -> Option<&Component> {
        self.members().find(|member| member.property("RECURRENCE-ID").is_none())
    }

    /// The VTIMEZONE components.
    pub fn timezones(&self) -> impl Iterator<Item = &Component> {
        self.0.root.children().iter().filter(|child| child.is("VTIMEZONE"))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({} octets)", self.octets().len())
    }
}

/// The kinds of component that a collection may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ComponentKind {
    Event,
    Todo,
    Journal,
    FreeBusy,
    /// VAVAILABILITY, VPOLL, or nothing at all.
    Other,
}

impl ComponentKind {
    /// The kind of one component.
    pub fn of(component: &Component) -> Self {
        Self::named(component.name())
    }

    /// The kind with this component name, in any case of letters.
    pub fn named(name: &str) -> Self {
        let known = [Self::Event, Self::Todo, Self::Journal, Self::FreeBusy];
        known.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name)).unwrap_or(Self::Other)
    }

    /// `VEVENT` and so on; empty for [`Self::Other`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "VEVENT",
            Self::Todo => "VTODO",
            Self::Journal => "VJOURNAL",
            Self::FreeBusy => "VFREEBUSY",
            Self::Other => "",
        }
    }
}

/// What stands between a BEGIN and its END.
#[derive(Clone)]
pub struct Component {
    begin: Property,
    properties: Vec<Property>,
    children: Vec<Component>,
    octets: Reach,
    end_line: Reach,
}

impl Component {
    /// The name as written.
    pub fn name(&self) -> &str {
        self.begin.value().trim()
    }

    /// Whether it has this name, in any case of letters.
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }

    pub fn properties(&self) -> &[Property] {
        &self.properties
    }

    pub fn children(&self) -> &[Component] {
        &self.children
    }

    /// The first property of this name.
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.is(name))
    }

    /// All properties of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Property> {
        self.properties.iter().filter(move |property| property.is(name))
    }

    /// The first sub-component of this name.
    pub fn child(&self, name: &str) -> Option<&Component> {
        self.children.iter().find(|child| child.is(name))
    }

    /// Where it stands in the object's octets, from its BEGIN to the end of its END line.
    pub fn span(&self) -> std::ops::Range<usize> {
        self.octets.range()
    }

    /// Where its END line starts in the object's octets.
    pub(super) fn end_line_start(&self) -> usize {
        self.end_line.range().start
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Component({} properties, {} children)", self.properties.len(), self.children.len())
    }
}

/// One content line, unfolded.
#[derive(Clone)]
pub struct Property {
    text: Arc<str>,
    line: Reach,
    name_end: u32,
    value_start: u32,
    octets: Reach,
}

impl Property {
    fn read(text: &Arc<str>, line: &LogicalLine) -> Result<Self, ParseError> {
        let content = text.get(line.text.range()).unwrap_or_default();
        let (name_end, value_start) = text::split_head(content).map_err(|what| ParseError::new(line.number, what))?;
        let start = line.text.range().start;
        let head = Reach::new(start + name_end, start + value_start);
        Ok(Self {
            text: Arc::clone(text),
            line: line.text,
            name_end: head.start,
            value_start: head.end,
            octets: line.octets,
        })
    }

    fn slice(&self, start: u32, end: u32) -> &str {
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    /// The name as written.
    pub fn name(&self) -> &str {
        self.slice(self.line.start, self.name_end)
    }

    /// Whether it has this name, in any case of letters.
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }

    /// The whole logical line, unfolded.
    pub fn line(&self) -> &str {
        self.slice(self.line.start, self.line.end)
    }

    /// The parameters in their order; a repeated one comes as often as it is written.
    pub fn params(&self) -> Params<'_> {
        Params { rest: self.slice(self.name_end, self.value_start.saturating_sub(1)) }
    }

    /// The first value of the first parameter of this name, decoded.
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        self.params().find(|param| param.name().eq_ignore_ascii_case(name)).map(|param| param.first())
    }

    /// The value as written, unfolded, still escaped.
    pub fn value(&self) -> &str {
        self.slice(self.value_start, self.line.end)
    }

    /// The value as one TEXT, unescaped.
    pub fn text(&self) -> String {
        text::unescape_text(self.value()).into_owned()
    }

    /// The values between unescaped commas, still escaped.
    pub fn list(&self) -> impl Iterator<Item = &str> {
        text::split_list(self.value())
    }

    /// Where the line stands in the object's octets, folds and line end included.
    pub fn span(&self) -> std::ops::Range<usize> {
        self.octets.range()
    }
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Property({}, {} octets)", self.name(), self.value().len())
    }
}

/// The parameters of a property.
#[derive(Clone)]
pub struct Params<'a> {
    rest: &'a str,
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Params({} octets)", self.rest.len())
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        let rest = self.rest.strip_prefix(';')?;
        let end = text::find_unquoted(rest, b';').unwrap_or(rest.len());
        let (param, rest) = rest.split_at_checked(end)?;
        self.rest = rest;
        let (name, raw) = param.split_once('=').unwrap_or((param, ""));
        Some(Param { name, raw })
    }
}

/// One parameter.
#[derive(Clone, Copy)]
pub struct Param<'a> {
    name: &'a str,
    raw: &'a str,
}

impl<'a> Param<'a> {
    /// The name as written.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The values as written: quotes, carets and commas.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// The values, decoded. At least one, which may be empty.
    pub fn values(&self) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
        let mut rest = Some(self.raw);
        std::iter::from_fn(move || {
            let text = rest?;
            let end = text::find_unquoted(text, b',').unwrap_or(text.len());
            rest = text.get(end + 1..);
            Some(text::decode_param(text.get(..end).unwrap_or_default()))
        })
    }

    /// The first value, decoded.
    pub fn first(&self) -> Cow<'a, str> {
        self.values().next().unwrap_or_default()
    }
}

impl fmt::Debug for Param<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Param({}, {} octets)", self.name, self.raw.len())
    }
}

/// Why octets aren't iCalendar. Holds none of the text, so it may be logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    /// The physical line, from 1.
    pub line: u32,
    pub what: &'static str,
}

impl ParseError {
    pub(super) const fn new(line: u32, what: &'static str) -> Self {
        Self { line, what }
    }
}

/// How much structure a file may have before it is read at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParseLimits {
    pub(super) depth: usize,
    pub(super) components: usize,
    pub(super) properties: usize,
    /// Octets of an unfolded line.
    pub(super) line: usize,
}

impl ParseLimits {
    pub(super) const OBJECT: Self = Self { depth: 8, components: 2_000, properties: 20_000, line: 256 * 1024 };
}

/// Reads the components that stand one after another. With a stack of its own, so depth costs no call stack.
pub(super) fn parse_components(octets: &[u8], limits: &ParseLimits) -> Result<Vec<Component>, ParseError> {
    let unfolded = text::unfold(octets, limits.line)?;
    let mut builder = Builder { limits: *limits, open: Vec::new(), closed: Vec::new(), components: 0, properties: 0 };
    for line in &unfolded.lines {
        builder.take(Property::read(&unfolded.text, line)?, line.number)?;
    }
    if builder.open.is_empty() {
        Ok(builder.closed)
    } else {
        Err(ParseError::new(unfolded.lines.last().map_or(1, |line| line.number), "a component has no END"))
    }
}

struct Builder {
    limits: ParseLimits,
    open: Vec<Component>,
    closed: Vec<Component>,
    components: usize,
    properties: usize,
}

impl Builder {
    fn take(&mut self, property: Property, number: u32) -> Result<(), ParseError> {
        let refuse = |what| Err(ParseError::new(number, what));
        if property.is("BEGIN") {
            self.components += 1;
            if self.open.len() >= self.limits.depth {
                return refuse("components are nested too deeply");
            }
            if self.components > self.limits.components {
                return refuse("there are too many components");
            }
            if property.value().trim().is_empty() {
                return refuse("a component has no name");
            }
            let octets = property.octets;
            self.open.push(Component {
                begin: property,
                properties: Vec::new(),
                children: Vec::new(),
                octets,
                end_line: octets,
            });
            return Ok(());
        }
        let Some(current) = self.open.last_mut() else {
            return refuse("a property stands outside of any component");
        };
        if property.is("END") {
            if !current.is(property.value().trim()) {
                return refuse("END doesn't match BEGIN");
            }
            self.close(property.octets);
            return Ok(());
        }
        self.properties += 1;
        if self.properties > self.limits.properties {
            return refuse("there are too many properties");
        }
        current.properties.push(property);
        Ok(())
    }

    fn close(&mut self, end_line: Reach) {
        let Some(mut component) = self.open.pop() else { return };
        component.octets.end = end_line.end;
        component.end_line = end_line;
        component.properties.shrink_to_fit();
        component.children.shrink_to_fit();
        match self.open.last_mut() {
            Some(parent) => parent.children.push(component),
            None => self.closed.push(component),
        }
    }
}

/// Whether a child of VCALENDAR is a calendar component proper: not a zone, and nothing unknown.
pub(super) fn is_member(component: &Component) -> bool {
    ["VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VAVAILABILITY", "VPOLL"].iter().any(|name| component.is(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Object, ParseError> {
        Object::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn fault(text: &str) -> (u32, &'static str) {
        let error = read(text).unwrap_err();
        (error.line, error.what)
    }

    #[test]
    fn a_resource_is_read_as_written() {
        let text = "\u{feff}begin:vcalendar\nVersion:2.0\nBEGIN:VTIMEZONE\nTZID:Z\nEND:VTIMEZONE\n\
            BEGIN:VEVENT\nUID:a\\,b\nRECURRENCE-ID:20250101\nEND:VEVENT\nBEGIN:Vevent\nX-P;X-P=1;x-p=\"2;3\",4:v\n\
            ATTENDEE;CN=a^'b:mailto:x@y\nCATEGORIES:A\\,B,C\nUID:a\\,b\nBEGIN:X-OWN\nX:1\nEND:X-OWN\nEND:VEVENT\n\
            END:VCALENDAR";
        let object = read(text).unwrap();
        assert_eq!(object.octets(), text.as_bytes());
        assert_eq!((object.uid(), object.kind()), ("a,b", ComponentKind::Event));
        assert_eq!((object.members().count(), object.timezones().count()), (2, 1));
        let master = object.master().unwrap();
        assert_eq!(master.name(), "Vevent");
        assert_eq!(&text[master.child("x-own").unwrap().span()], "BEGIN:X-OWN\nX:1\nEND:X-OWN\n");
        let params: Vec<_> =
            master.properties()[0].params().map(|p| (p.name(), p.values().collect::<Vec<_>>())).collect();
        assert_eq!(params, [("X-P", vec!["1".into()]), ("x-p", vec!["2;3".into(), Cow::from("4")])]);
        assert_eq!(master.property("attendee").unwrap().param("cn").as_deref(), Some("a\"b"));
        assert_eq!(master.property("CATEGORIES").unwrap().list().collect::<Vec<_>>(), ["A\\,B", "C"]);
        assert_eq!(&text[master.property("UID").unwrap().span()], "UID:a\\,b\n");
        assert_eq!(format!("{object:?}"), format!("Object({} octets)", text.len()));
    }

    #[test]
    fn folds_inside_of_a_character_are_kept_and_never_reach_a_string() {
        let octets = [&b"BEGIN:VCALENDAR\r\nX:\xe2\x82"[..], b"\r\n \xacuro\r\nEND:VCALENDAR\r\n"].concat();
        let object = Object::parse(Bytes::from(octets.clone())).unwrap();
        assert_eq!(object.octets(), &octets);
        assert_eq!(object.root().property("X").unwrap().value(), "€uro");
        assert_eq!(object.as_text(), "BEGIN:VCALENDAR\r\nX:€uro\r\nEND:VCALENDAR\r\n");
        let plain = read("BEGIN:VCALENDAR\nEND:VCALENDAR").unwrap();
        assert_eq!(plain.as_text().as_bytes(), plain.octets());
    }

    #[test]
    fn what_isnt_one_whole_calendar_is_refused() {
        assert_eq!(fault(""), (1, "there is no VCALENDAR"));
        assert_eq!(fault("BEGIN:VCARD\nEND:VCARD"), (1, "there is no VCALENDAR"));
        assert_eq!(fault("BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR"), (3, "END doesn't match BEGIN"));
        assert_eq!(fault("BEGIN:VCALENDAR\nVERSION:2.0"), (2, "a component has no END"));
        assert_eq!(fault("X:1\nBEGIN:VCALENDAR"), (1, "a property stands outside of any component"));
        assert_eq!(fault("BEGIN:VCALENDAR\n\nhello\nEND:VCALENDAR"), (3, "the line has no colon"));
        let one = "BEGIN:VCALENDAR\nEND:VCALENDAR\n";
        assert_eq!(fault(&[one, one].concat()), (1, "there is more than one VCALENDAR"));
    }

    #[test]
    fn structure_is_bounded_and_depth_costs_no_stack() {
        let nested = |depth: usize| {
            let open: String = (1..depth).map(|_| "BEGIN:X-A\n").collect();
            let close: String = (1..depth).map(|_| "END:X-A\n").collect();
            format!("BEGIN:VCALENDAR\n{open}{close}END:VCALENDAR\n")
        };
        assert!(read(&nested(8)).is_ok());
        assert_eq!(fault(&nested(9)).1, "components are nested too deeply");
        assert_eq!(fault(&nested(100_000)), (9, "components are nested too deeply"));
        let many = |what: &str, count| format!("BEGIN:VCALENDAR\n{}END:VCALENDAR\n", what.repeat(count));
        assert_eq!(fault(&many("BEGIN:A\nEND:A\n", 2_000)).1, "there are too many components");
        assert_eq!(fault(&many("A:1\n", 20_001)).1, "there are too many properties");
        assert!(read(&many("A:1\n", 20_000)).is_ok());
        assert_eq!(fault(&many(&format!("A:{}\n", "x".repeat(256 * 1024)), 1)).1, "the line is too long");
    }

    /// The same tree, by a library that reads independently of us.
    fn agrees(ours: &Component, theirs: &icalendar::parser::Component<'_>) -> bool {
        ours.is(theirs.name.as_str())
            && ours.properties().len() == theirs.properties.len()
            && ours.properties().iter().zip(&theirs.properties).all(|(a, b)| {
                // It takes the escapes out of what it thinks is TEXT.
                let same_value = a.value().contains('\\') || a.value() == b.val.as_str();
                a.name() == b.name.as_str() && same_value && a.params().count() == b.params.len()
            })
            && ours.children().len() == theirs.components.len()
            && ours.children().iter().zip(&theirs.components).all(|(a, b)| agrees(a, b))
    }

    fn line() -> impl Strategy<Value = String> {
        let value = prop_oneof!["[ -~]{0,100}", "[a-zä€😀 ,;\\\\]{0,90}", "20250101T1[0-9]0000Z"];
        let param = prop_oneof!["[A-Z]{1,8}=[a-zA-Z/ äß]{1,12}", "X-[A-Z]{1,5}=\"[a-z;:, ]{1,20}\"",];
        ("[A-Z][A-Z-]{1,12}", proptest::collection::vec(param, 0..3), value)
            .prop_filter("no component marks", |(name, ..)| name != "BEGIN" && name != "END")
            .prop_map(|(name, params, value)| {
                let head = [vec![name], params].concat().join(";");
                String::from_utf8(text::fold_line(&format!("{head}:{value}"))).unwrap()
            })
    }

    fn calendar() -> impl Strategy<Value = String> {
        let lines = || proptest::collection::vec(line(), 0..8).prop_map(|lines| lines.concat());
        let alarm = lines().prop_map(|lines| format!("BEGIN:VALARM\r\n{lines}END:VALARM\r\n"));
        let event = (lines(), proptest::option::of(alarm))
            .prop_map(|(lines, alarm)| format!("BEGIN:VEVENT\r\n{lines}{}END:VEVENT\r\n", alarm.unwrap_or_default()));
        let events = proptest::collection::vec(event, 0..4).prop_map(|events| events.concat());
        (lines(), events).prop_map(|(lines, events)| format!("BEGIN:VCALENDAR\r\n{lines}{events}END:VCALENDAR\r\n"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn well_formed_text_is_accepted_kept_and_read_as_the_library_reads_it(text in calendar()) {
            let object = read(&text).unwrap();
            prop_assert_eq!(object.octets(), text.as_bytes());
            let unfolded = icalendar::parser::unfold(&text);
            if let Ok(theirs) = icalendar::parser::read_calendar(&unfolded) {
                let components = theirs.components.len();
                prop_assert_eq!(object.root().children().len(), components);
                for (ours, theirs) in object.root().children().iter().zip(&theirs.components) {
                    prop_assert!(agrees(ours, theirs), "{}", text);
                }
            }
        }

        #[test]
        fn any_octets_are_kept_or_refused(
            pieces in proptest::collection::vec(prop_oneof![
                Just("BEGIN:VEVENT\r\n".to_owned()), Just("END:VEVENT\n".to_owned()), Just("\r\n ".to_owned()),
                Just("A;B=\"c\":d\n".to_owned()), Just("X:\u{20ac}\r\n".to_owned()), any::<String>(),
            ], 0..12)
        ) {
            let text = format!("BEGIN:VCALENDAR\r\n{}END:VCALENDAR", pieces.concat());
            if let Ok(object) = read(&text) {
                prop_assert_eq!(object.octets(), text.as_bytes());
                for property in object.members().flat_map(Component::properties) {
                    let _ = (property.param("B"), property.text(), property.list().count());
                }
            }
        }
    }
}
