//! The body of PROPPATCH (RFC 4918 9.2, 14.19): what to set and what to remove, in document order.
//!
//! A property is kept as the tree it came as, with its attributes and the language that holds for it.

use bytes::Bytes;

use super::element::Element;
use super::name::{self, QName, ns::DAV};
use super::precondition::Malformed;
use super::writer::Writer;
use super::xml::Limits;

/// Changes to the properties of one resource; all are made or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyUpdate {
    /// In the order in which they are to be made.
    pub updates: Vec<Update>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// The property with its new value.
    Set(Element),
    /// The property that is to go.
    Remove(QName),
}

impl Update {
    /// The property that it is about.
    pub fn name(&self) -> &QName {
        match self {
            Self::Set(property) => property.name(),
            Self::Remove(name) => name,
        }
    }
}

impl PropertyUpdate {
    /// Reads a request body.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let root = Element::parse(body, Limits::REQUEST)?;
        if root.name().pair() != (DAV, "propertyupdate") {
            return Err(Malformed::Unexpected("the body of PROPPATCH is DAV:propertyupdate"));
        }
        let mut updates = Vec::new();
        let lang = root.lang().map(str::to_owned);
        for instruction in root.into_children() {
            match instruction.name().pair() {
                (DAV, "set") => updates.extend(set_properties(instruction, lang.as_deref()).map(Update::Set)),
                (DAV, "remove") => {
                    updates.extend(properties(instruction, None).map(|p| Update::Remove(p.name().clone())));
                }
                _ => {}
            }
        }
        if updates.is_empty() {
            return Err(Malformed::Unexpected("DAV:propertyupdate names no property"));
        }
        Ok(Self { updates })
    }

    /// A request body.
    pub fn write(&self) -> Bytes {
        let root = QName::fixed(DAV, "propertyupdate");
        let mut writer = Writer::document(&root);
        for update in &self.updates {
            match update {
                Update::Set(property) => write_set(&mut writer, std::slice::from_ref(property)),
                Update::Remove(name) => {
                    let remove = QName::fixed(DAV, "remove");
                    writer.start(&remove).start(&name::dav::PROP).empty(name).end(&name::dav::PROP).end(&remove);
                }
            }
        }
        writer.end(&root);
        writer.finish()
    }
}

/// The properties inside `set`, each with the language in force around it.
pub(super) fn set_properties(set: Element, outer: Option<&str>) -> impl Iterator<Item = Element> {
    properties(set, outer)
}

/// `<D:set><D:prop>...</D:prop></D:set>`
pub(super) fn write_set(writer: &mut Writer, properties: &[Element]) {
    let set = QName::fixed(DAV, "set");
    writer.start(&set).start(&name::dav::PROP);
    for property in properties {
        property.write_into(writer);
    }
    writer.end(&name::dav::PROP).end(&set);
}

fn properties(instruction: Element, outer: Option<&str>) -> impl Iterator<Item = Element> {
    let lang = instruction.lang().or(outer).map(str::to_owned);
    instruction.into_children().filter(|child| child.is(&name::dav::PROP)).flat_map(move |prop| {
        let lang = prop.lang().map(str::to_owned).or_else(|| lang.clone());
        prop.into_children().map(move |mut property| {
            property.inherit_lang(lang.as_deref());
            property
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_attributes_and_language_are_kept() {
        let body = "<D:propertyupdate xmlns:D='DAV:' xmlns:A='http://apple.com/ns/ical/' xml:lang='en'>\
            <D:set><D:prop><A:calendar-color symbolic-color='red'>#FF2968FF</A:calendar-color></D:prop></D:set>\
            <D:remove><D:prop><D:displayname/><x/></D:prop></D:remove>\
            <D:set><D:prop xml:lang='de'><D:displayname>Büro</D:displayname><y xml:lang='fr'/></D:prop></D:set>\
            </D:propertyupdate>";
        let update = PropertyUpdate::parse(body.as_bytes()).unwrap();
        let names: Vec<_> = update.updates.iter().map(|u| u.name().local()).collect();
        assert_eq!(names, ["calendar-color", "displayname", "x", "displayname", "y"]);
        let langs: Vec<_> = update
            .updates
            .iter()
            .filter_map(|u| match u {
                Update::Set(property) => property.lang(),
                Update::Remove(_) => None,
            })
            .collect();
        assert_eq!(langs, ["en", "de", "fr"]);
        let Some(Update::Set(color)) = update.updates.first() else { panic!("a set comes first") };
        assert_eq!(color.attribute("symbolic-color"), Some("red"));
        assert_eq!(PropertyUpdate::parse(&update.write()), Ok(update));
    }

    #[test]
    fn a_body_without_changes_is_refused() {
        for body in [
            "",
            "<a/>",
            "<propertyupdate xmlns='DAV:'/>",
            "<propertyupdate xmlns='DAV:'><set><prop/></set></propertyupdate>",
        ] {
            assert_eq!(PropertyUpdate::parse(body.as_bytes()).unwrap_err().status(), 400, "{body}");
        }
    }
}
