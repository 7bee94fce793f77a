//! THE table of live properties: what each is called, where it is defined, what has it, how it is read and set.
//!
//! RFC 4918 15, 3744 4-5, 4791 5.2 and 6.2, 5397, 6578 4, 6638 2.4 and 9, 7809 5.2, Apple's `getctag` and colours.
//! PROPFIND, `propname`, `allprop`, PROPPATCH, MKCALENDAR and the compliance page are answered from it; a property that
//! is not in it is dead, and whatever clients store under such a name comes back as it was sent.
//!
//! Invariant: a name stands once in the table.

mod fragment;
mod plan;
mod privilege;
mod table;
mod value;

pub use fragment::Fragments;
pub use plan::Plan;
pub use table::PROPERTIES;
pub(super) use table::named_timezone;
pub use value::Value;

use crate::dav::QName;

use super::path::Path;
use super::resource::{Facts, Resource, Subject};

/// A live property.
#[derive(Debug)]
pub struct Property {
    /// Its name.
    pub name: QName,
    /// Where it is defined.
    pub rfc: &'static str,
    /// What has it.
    pub on: On,
    /// Whether `allprop` shows it (RFC 4918 9.1: those of that RFC; RFC 4791 5.2 keeps its own out).
    pub allprop: bool,
    /// Reads it; `None` when this one resource has none.
    pub get: fn(&Facts, &Subject) -> Option<Value>,
    /// How clients may set it.
    pub set: Setting,
}

/// How a live property can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Not at all (`DAV:cannot-modify-protected-property`).
    Protected,
    /// When the calendar is made, not later.
    AtCreation(Trait),
    /// At any time, on calendars.
    Free(Trait),
}

/// The trait of a calendar behind a property that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trait {
    /// `DAV:displayname`
    Name,
    /// `CALDAV:calendar-description`
    Description,
    /// `CALDAV:calendar-timezone`
    Timezone,
    /// `CALDAV:calendar-timezone-id`
    TimezoneId,
    /// `CALDAV:supported-calendar-component-set`
    Components,
    /// `CALDAV:schedule-calendar-transp`
    Transparency,
    /// `calendar-color`
    Color,
    /// `calendar-order`
    Order,
}

/// Kinds of resources, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct On(u16);

impl On {
    /// The root, the collections of principals and of homes.
    pub const UPPER: Self = Self(1);
    /// Principals.
    pub const PRINCIPAL: Self = Self(2);
    /// Calendar homes.
    pub const HOME: Self = Self(4);
    /// Scheduling inboxes.
    pub const INBOX: Self = Self(8);
    /// Scheduling outboxes.
    pub const OUTBOX: Self = Self(16);
    /// Calendars.
    pub const CALENDAR: Self = Self(32);
    /// Calendar objects.
    pub const OBJECT: Self = Self(64);
    /// Plain files.
    pub const FILE: Self = Self(128);
    /// Plain folders.
    pub const FOLDER: Self = Self(256);
    /// Scheduling messages.
    pub const MESSAGE: Self = Self(512);
    /// Inbox and outbox.
    pub const SCHEDULING: Self = Self::INBOX.and(Self::OUTBOX);
    /// What belongs to a user.
    pub const OWNED: Self = Self::PRINCIPAL.and(Self::HOME).and(Self::SCHEDULING).and(Self::CALENDAR).and(Self::OBJECT);
    /// Plain files and folders.
    pub const PLAIN: Self = Self::FILE.and(Self::FOLDER);
    /// Everything.
    pub const ANY: Self = Self::UPPER.and(Self::OWNED).and(Self::PLAIN).and(Self::MESSAGE);

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the sets share a kind.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The kind of this resource.
    pub fn of(resource: &Resource) -> Self {
        match resource {
            Resource::Upper => Self::UPPER,
            Resource::Principal => Self::PRINCIPAL,
            Resource::Home { .. } => Self::HOME,
            Resource::Inbox { .. } => Self::INBOX,
            Resource::Outbox => Self::OUTBOX,
            Resource::Calendar(_) => Self::CALENDAR,
            Resource::Object(..) => Self::OBJECT,
            Resource::Message(_) => Self::MESSAGE,
            Resource::Plain(node) if node.is_folder() => Self::FOLDER,
            Resource::Plain(_) => Self::FILE,
        }
    }
}

/// The live property of this name.
pub fn live(name: &QName) -> Option<&'static Property> {
    PROPERTIES.iter().find(|property| property.name == *name)
}

impl Property {
    /// Whether the resource can have it.
    pub fn applies(&self, subject: &Subject) -> bool {
        self.on.meets(On::of(&subject.resource))
    }

    /// Its value, if the resource has it.
    pub fn value(&self, facts: &Facts, subject: &Subject) -> Option<Value> {
        if self.applies(subject) { (self.get)(facts, subject) } else { None }
    }
}

/// The principal of the one who asks.
fn principal(facts: &Facts) -> Path {
    Path::Principal(facts.user.clone())
}

#[cfg(test)]
mod tests;
