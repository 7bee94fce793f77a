//! From a property element that a client sends to the trait of a calendar that it means, for PROPPATCH and MKCALENDAR.
//!
//! What a live property can't hold (attributes: `symbolic-color`, `xml:lang`) is kept beside it as a dead one, so that
//! it comes back as it was sent.

use http::StatusCode;

use crate::calendar::{CollectionChange, DeadProperty, PropertyEdit};
use crate::dav::name::caldav;
use crate::dav::{Element, Precondition, QName};
use crate::ical::{ComponentKind, Object, Zone};
use crate::id::CollectionName;

use super::property::Trait;

/// Everything that a request wants changed about a calendar.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// The traits.
    pub(super) change: CollectionChange,
    /// The dead properties.
    pub(super) edits: Vec<PropertyEdit>,
}

/// Why one property can't be set.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) why: Option<Precondition>,
}

impl From<Precondition> for Refused {
    fn from(why: Precondition) -> Self {
        Self { status: why.status(), why: Some(why) }
    }
}

impl Refused {
    /// The value can't be understood.
    fn value() -> Self {
        Self { status: StatusCode::CONFLICT, why: None }
    }

    /// The property can't be changed.
    pub(super) fn protected() -> Self {
        Precondition::CannotModifyProtectedProperty.into()
    }

    /// Nothing can be stored on this resource.
    pub(super) fn nowhere() -> Self {
        Self { status: StatusCode::FORBIDDEN, why: None }
    }
}

impl Wishes {
    /// Stores a dead property.
    pub(super) fn keep(&mut self, element: &Element) {
        let (ns, name) = element.name().pair();
        let dead = DeadProperty { ns: ns.to_owned(), name: name.to_owned(), xml: element.to_bytes() };
        self.edits.push(PropertyEdit::Set(dead));
    }

    /// Forgets a dead property.
    pub(super) fn forget(&mut self, name: &QName) {
        self.edits.push(PropertyEdit::Remove { ns: name.ns().to_owned(), name: name.local().to_owned() });
    }

    /// Sets a trait.
    pub(super) fn set(&mut self, which: Trait, element: &Element) -> Result<(), Refused> {
        let change = &mut self.change;
        match which {
            Trait::Name => change.display_name = Some(element.text().into_owned()),
            Trait::Description => change.description = Some(Some(element.text().into_owned())),
            Trait::Timezone => {
                change.timezone = Some(Some(timezone(element)?));
                // From now on the id is the one in there.
                self.forget(&caldav::CALENDAR_TIMEZONE_ID);
            }
            Trait::TimezoneId => {
                let known = matches!(Zone::resolve(&element.trimmed(), None), Some(Zone::Iana(_)));
                if !known {
                    return Err(Precondition::ValidTimezone.into());
                }
                self.keep(element);
                return Ok(());
            }
            Trait::Components => change.components = Some(components(element)?),
            Trait::Transparency => change.transparent = Some(transparency(element)?),
            Trait::Color => change.color = Some(Some(color(element)?)),
            Trait::Order => change.order = Some(Some(order(element)?)),
        }
        if element.attributes().is_empty() {
            self.forget(element.name());
        } else if which != Trait::Components {
            self.keep(element);
        }
        Ok(())
    }

    /// Takes a trait back to what it is when nobody has set it.
    pub(super) fn reset(&mut self, which: Trait, name: &QName, collection: &CollectionName) {
        let change = &mut self.change;
        match which {
            Trait::Name => change.display_name = Some(collection.to_string()),
            Trait::Description => change.description = Some(None),
            Trait::Timezone => change.timezone = Some(None),
            Trait::Color => change.color = Some(None),
            Trait::Order => change.order = Some(None),
            Trait::Transparency => change.transparent = Some(false),
            Trait::TimezoneId | Trait::Components => {}
        }
        self.forget(name);
    }
}

fn timezone(element: &Element) -> Result<String, Refused> {
    let text = element.text().into_owned();
    let object = Object::parse(text.clone().into()).map_err(|_| Precondition::ValidCalendarData)?;
    let one = object.timezones().count() == 1 && object.members().next().is_none();
    if one { Ok(text) } else { Err(Precondition::ValidCalendarData.into()) }
}

fn components(element: &Element) -> Result<Vec<ComponentKind>, Refused> {
    let mut kinds = Vec::new();
    for comp in element.children().filter(|child| child.is(&caldav::COMP)) {
        let kind = ComponentKind::named(comp.attribute("name").unwrap_or_default());
        if !matches!(kind, ComponentKind::Event | ComponentKind::Todo | ComponentKind::Journal) {
            return Err(Precondition::SupportedCalendarComponent.into());
        }
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    if kinds.is_empty() { Err(Precondition::SupportedCalendarComponent.into()) } else { Ok(kinds) }
}

fn transparency(element: &Element) -> Result<bool, Refused> {
    match element.children().next().map(|child| child.name().local()) {
        Some("transparent") => Ok(true),
        Some("opaque") => Ok(false),
        _ => Err(Refused::value()),
    }
}

fn color(element: &Element) -> Result<String, Refused> {
    let text = element.trimmed();
    let fine = (1..=64).contains(&text.len()) && !text.chars().any(char::is_control);
    if fine { Ok(text) } else { Err(Refused::value()) }
}

fn order(element: &Element) -> Result<i64, Refused> {
    element.trimmed().parse().map_err(|_| Refused::value())
}
