//! Reports about properties and principals: `expand-property` (RFC 3253 3.8), `principal-property-search`,
//! `principal-search-property-set`, `principal-match` (RFC 3744 9).

use std::fmt;

use bytes::Bytes;

use super::super::element::Element;
use super::super::name::{self, QName, ns::DAV};
use super::super::precondition::Malformed;
use super::super::propfind::{Propfind, names, write_names};
use super::super::writer::Writer;

/// `DAV:expand-property`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpandProperty {
    pub properties: Vec<Expanded>,
}

/// A property, and what is asked of the resources that its hrefs name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    pub name: QName,
    /// Empty: the property as it is.
    pub properties: Vec<Expanded>,
}

/// `DAV:principal-property-search`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalPropertySearch {
    pub test: Test,
    /// None asks for all.
    pub searches: Vec<PropertySearch>,
    pub asked: Propfind,
    /// Search below the `principal-collection-set` of the resource, not below the resource.
    pub everywhere: bool,
}

/// How several searches go together (Apple's and `CardDAV`'s `test` attribute; RFC 3744 knows all only).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Test {
    #[default]
    All,
    Any,
}

/// Text that each of these properties must have, without regard to case.
#[derive(Clone, PartialEq, Eq)]
pub struct PropertySearch {
    pub properties: Vec<QName>,
    pub text: String,
    pub kind: TextKind,
}

/// Where the text must stand (`match-type`, an extension of Apple's).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextKind {
    #[default]
    Contains,
    StartsWith,
    EndsWith,
    Equals,
}

/// `DAV:principal-match`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalMatch {
    pub whose: Matching,
    pub asked: Propfind,
}

/// Which resources match the current user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matching {
    /// Principals that are the user, or a group the user is in.
    Principal,
    /// Resources that name the user in this property.
    Property(QName),
}

/// A property that principals can be searched by, with its description for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalSearchProperty {
    pub name: QName,
    pub description: &'static str,
}

impl ExpandProperty {
    pub(super) fn read(root: &Element) -> Result<Self, Malformed> {
        Ok(Self { properties: Expanded::read_all(root)? })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        Expanded::write_all(&self.properties, writer);
    }
}

impl Expanded {
    // Depth is bounded by the limits of reading, so recursion is.
    fn read_all(parent: &Element) -> Result<Vec<Self>, Malformed> {
        let properties = parent.children().filter(|child| child.is(&PROPERTY));
        properties
            .map(|property| Ok(Self { name: property_name(property)?, properties: Self::read_all(property)? }))
            .collect()
    }

    fn write_all(properties: &[Self], writer: &mut Writer) {
        for property in properties {
            let attributes = [("name", property.name.local()), ("namespace", property.name.ns())];
            if property.properties.is_empty() {
                writer.empty_with(&PROPERTY, &attributes);
            } else {
                writer.start_with(&PROPERTY, &attributes);
                Self::write_all(&property.properties, writer);
                writer.end(&PROPERTY);
            }
        }
    }
}

impl PrincipalPropertySearch {
    pub(super) fn read(root: &Element) -> Result<Self, Malformed> {
        let test = match root.attribute("test") {
            None | Some("allof") => Test::All,
            Some("anyof") => Test::Any,
            Some(_) => return Err(Malformed::Unexpected("the test of a search is allof or anyof")),
        };
        let searches = root.children().filter(|child| child.is(&PROPERTY_SEARCH));
        let searches: Vec<_> = searches.map(PropertySearch::read).collect::<Result<_, _>>()?;
        let everywhere = root.child(&EVERYWHERE).is_some();
        Ok(Self { test, searches, asked: wanted(root)?, everywhere })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        for search in &self.searches {
            search.write(writer);
        }
        self.asked.write_into(writer);
        if self.everywhere {
            writer.empty(&EVERYWHERE);
        }
    }
}

/// The properties that the answer shall hold. The `caldav` package (3.6) writes their names beside an empty
/// `DAV:prop`, and no `DAV:property-search` when it wants everybody; both have one possible meaning.
fn wanted(root: &Element) -> Result<Propfind, Malformed> {
    let asked = super::asked_or_nothing(root)?;
    if asked != Propfind::Prop(Vec::new()) {
        return Ok(asked);
    }
    let own = [PROPERTY_SEARCH, EVERYWHERE, name::dav::PROP];
    let beside = names(root).into_iter().filter(|name| !own.contains(name));
    Ok(Propfind::Prop(beside.collect()))
}

impl PropertySearch {
    /// Whether a property's value holds the text.
    pub fn matches(&self, value: &str) -> bool {
        let (value, text) = (value.to_lowercase(), self.text.to_lowercase());
        match self.kind {
            TextKind::Contains => value.contains(&text),
            TextKind::StartsWith => value.starts_with(&text),
            TextKind::EndsWith => value.ends_with(&text),
            TextKind::Equals => value == text,
        }
    }

    fn read(element: &Element) -> Result<Self, Malformed> {
        let properties = element.child(&name::dav::PROP).map(names).unwrap_or_default();
        let text = element.child(&MATCH).ok_or(Malformed::Unexpected("DAV:property-search holds no DAV:match"))?;
        if properties.is_empty() {
            return Err(Malformed::Unexpected("DAV:property-search names no property"));
        }
        let kind = match text.attribute("match-type") {
            None | Some("contains") => TextKind::Contains,
            Some("starts-with") => TextKind::StartsWith,
            Some("ends-with") => TextKind::EndsWith,
            Some("equals") => TextKind::Equals,
            Some(_) => return Err(Malformed::Unexpected("an unknown match-type")),
        };
        Ok(Self { properties, text: text.text().into_owned(), kind })
    }

    fn write(&self, writer: &mut Writer) {
        let kind = match self.kind {
            TextKind::Contains => None,
            TextKind::StartsWith => Some("starts-with"),
            TextKind::EndsWith => Some("ends-with"),
            TextKind::Equals => Some("equals"),
        };
        let attributes: Vec<_> = kind.map(|kind| ("match-type", kind)).into_iter().collect();
        writer.start(&PROPERTY_SEARCH);
        write_names(writer, &name::dav::PROP, &self.properties);
        writer.start_with(&MATCH, &attributes).text(&self.text).end(&MATCH).end(&PROPERTY_SEARCH);
    }
}

impl fmt::Debug for PropertySearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PropertySearch({:?} {:?} {} octets)", self.properties, self.kind, self.text.len())
    }
}

impl PrincipalMatch {
    pub(super) fn read(root: &Element) -> Result<Self, Malformed> {
        let property = root.child(&PRINCIPAL_PROPERTY).map(|p| p.children().next().map(|c| c.name().clone()));
        let whose = match (root.child(&SELF).is_some(), property) {
            (true, None) => Matching::Principal,
            (false, Some(Some(name))) => Matching::Property(name),
            _ => return Err(Malformed::Unexpected("DAV:principal-match holds DAV:self or one DAV:principal-property")),
        };
        Ok(Self { whose, asked: super::asked_or_nothing(root)? })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        match &self.whose {
            Matching::Principal => {
                writer.empty(&SELF);
            }
            Matching::Property(name) => write_names(writer, &PRINCIPAL_PROPERTY, std::slice::from_ref(name)),
        }
        self.asked.write_into(writer);
    }
}

/// The whole answer to `principal-search-property-set` (RFC 3744 9.5).
pub fn write_principal_search_property_set(properties: &[PrincipalSearchProperty]) -> Bytes {
    let (root, one) =
        (QName::fixed(DAV, "principal-search-property-set"), QName::fixed(DAV, "principal-search-property"));
    let description = QName::fixed(DAV, "description");
    let mut writer = Writer::document(&root);
    for property in properties {
        writer.start(&one);
        write_names(&mut writer, &name::dav::PROP, std::slice::from_ref(&property.name));
        writer.start_with(&description, &[("xml:lang", "en")]).text(property.description).end(&description).end(&one);
    }
    writer.end(&root);
    writer.finish()
}

fn property_name(property: &Element) -> Result<QName, Malformed> {
    let namespace = property.attribute("namespace").unwrap_or(DAV);
    let local = property.attribute("name").unwrap_or_default();
    QName::new(namespace, local).ok_or(Malformed::Unexpected("a DAV:property has no usable name"))
}

const PROPERTY: QName = QName::fixed(DAV, "property");
const PROPERTY_SEARCH: QName = QName::fixed(DAV, "property-search");
const MATCH: QName = QName::fixed(DAV, "match");
const SELF: QName = QName::fixed(DAV, "self");
const PRINCIPAL_PROPERTY: QName = QName::fixed(DAV, "principal-property");
const EVERYWHERE: QName = QName::fixed(DAV, "apply-to-principal-collection-set");

#[cfg(test)]
mod tests {
    use super::super::Report;
    use super::*;

    fn round_trip(body: &str) -> Report {
        let read = Report::parse(body.as_bytes()).unwrap();
        assert_eq!(Report::parse(&read.write()), Ok(read.clone()), "{body}");
        read
    }

    #[test]
    fn properties_are_expanded_in_layers() {
        let read = round_trip(
            "<expand-property xmlns='DAV:'><property name='calendar-proxy-read-for' namespace='http://calendarserver.org/ns/'>\
             <property name='displayname'/><property name='principal-URL' namespace='DAV:'/></property></expand-property>",
        );
        let Report::ExpandProperty(expand) = read else { panic!("expand-property") };
        let [proxy] = expand.properties.as_slice() else { panic!("one property") };
        assert_eq!(proxy.name, name::apple::CALENDAR_PROXY_READ_FOR);
        assert_eq!(proxy.properties[0].name, name::dav::DISPLAYNAME);
        let nameless = "<expand-property xmlns='DAV:'><property/></expand-property>";
        assert_eq!(Report::parse(nameless.as_bytes()).unwrap_err().status(), 400);
    }

    #[test]
    fn principals_are_searched() {
        let read = round_trip(
            "<principal-property-search xmlns='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'><property-search><prop><displayname/>\
             <C:calendar-user-address-set/></prop><match match-type='starts-with'>Ana</match></property-search><prop><displayname/></prop>\
             <apply-to-principal-collection-set/></principal-property-search>",
        );
        let Report::PrincipalPropertySearch(search) = read else { panic!("a search") };
        assert!(search.everywhere && search.test == Test::All);
        assert!(search.searches[0].matches("ANABEL") && !search.searches[0].matches("Joana"));
        let stray = "<principal-property-search xmlns='DAV:'><prop/><displayname/></principal-property-search>";
        let Ok(Report::PrincipalPropertySearch(all)) = Report::parse(stray.as_bytes()) else { panic!("a search") };
        assert_eq!(all.asked, Propfind::Prop(vec![name::dav::DISPLAYNAME]));
        assert!(all.searches.is_empty());
        for broken in [
            "<principal-property-search xmlns='DAV:'><property-search><match>x</match></property-search></principal-property-search>",
            "<principal-property-search xmlns='DAV:'><property-search><prop><displayname/></prop></property-search></principal-property-search>",
        ] {
            assert_eq!(Report::parse(broken.as_bytes()).unwrap_err().status(), 400, "{broken}");
        }
    }

    #[test]
    fn the_smaller_reports() {
        round_trip("<principal-match xmlns='DAV:'><self/><prop><displayname/></prop></principal-match>");
        round_trip("<principal-match xmlns='DAV:'><principal-property><owner/></principal-property></principal-match>");
        round_trip("<acl-principal-prop-set xmlns='DAV:'><prop><displayname/></prop></acl-principal-prop-set>");
        round_trip("<principal-search-property-set xmlns='DAV:'/>");
        let both =
            "<principal-match xmlns='DAV:'><self/><principal-property><owner/></principal-property></principal-match>";
        assert_eq!(Report::parse(both.as_bytes()).unwrap_err().status(), 400);
        let set = write_principal_search_property_set(&[PrincipalSearchProperty {
            name: name::dav::DISPLAYNAME,
            description: "Full name",
        }]);
        assert!(String::from_utf8_lossy(&set).contains("<D:description xml:lang=\"en\">Full name</D:description>"));
    }
}
