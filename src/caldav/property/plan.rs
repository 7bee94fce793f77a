//! What a request asks of each resource, worked out once and applied to many.

use crate::calendar::DeadProperty;
use crate::dav::multistatus::{Detail, Member};
use crate::dav::name::caldav::{CALENDAR_DATA, SCHEDULE_TAG};
use crate::dav::{Element, Href, Limits, Propfind, QName};
use crate::ical::DataRequest;

use super::{Fragments, PROPERTIES, Property, Setting, live};
use crate::caldav::resource::{Facts, Subject};

/// The properties that an answer shall tell.
#[derive(Clone, Debug)]
pub struct Plan {
    asked: Asked,
    /// How calendar-data shall look.
    pub data: DataRequest,
}

#[derive(Clone, Debug)]
enum Asked {
    All(Vec<(QName, Option<&'static Property>)>),
    Names,
    These(Vec<(QName, Option<&'static Property>)>),
}

impl Plan {
    /// The plan for what a body asks.
    pub fn new(propfind: Propfind, data: DataRequest) -> Self {
        let resolve = |names: Vec<QName>| names.into_iter().map(|name| (name.clone(), live(&name))).collect();
        let asked = match propfind {
            Propfind::All { include } => Asked::All(resolve(include)),
            Propfind::PropName => Asked::Names,
            Propfind::Prop(names) => Asked::These(resolve(names)),
        };
        Self { asked, data }
    }

    /// Whether an object's content has to be read.
    pub fn needs_data(&self) -> bool {
        self.asks(&CALENDAR_DATA)
    }

    /// Whether an object's Schedule-Tag has to be worked out.
    pub fn needs_schedule_tag(&self) -> bool {
        self.asks(&SCHEDULE_TAG)
    }

    fn asks(&self, wanted: &QName) -> bool {
        match &self.asked {
            Asked::All(named) | Asked::These(named) => named.iter().any(|(name, _)| name == wanted),
            Asked::Names => false,
        }
    }

    /// Whether an object's dead properties have to be read.
    pub fn needs_dead(&self) -> bool {
        match &self.asked {
            Asked::All(_) | Asked::Names => true,
            Asked::These(named) => named.iter().any(|(_, live)| live.is_none()),
        }
    }

    /// The answer about the objects of `collection` with gaps, if what is asked allows it.
    pub fn fragments(&self, collection: &Href, detail: Detail) -> Option<Fragments> {
        match &self.asked {
            Asked::These(named) => Fragments::of(named, collection, detail),
            Asked::All(_) | Asked::Names => None,
        }
    }

    /// Tells about one resource: each property in exactly one state.
    pub fn tell(&self, facts: &Facts, subject: &Subject, member: &mut Member<'_>) {
        match &self.asked {
            Asked::These(named) => named.iter().for_each(|(name, live)| tell(facts, subject, name, *live, member)),
            Asked::Names => tell_names(facts, subject, member),
            Asked::All(include) => {
                let shown = |property: &&Property| property.allprop;
                for property in PROPERTIES.iter().filter(shown) {
                    if let Some(value) = property.value(facts, subject) {
                        member.found(&property.name, |writer| value.write(writer));
                    }
                }
                subject.dead.iter().filter(|dead| !shadows_live(dead)).for_each(|dead| {
                    member.stored(&dead.xml);
                });
                let more = include.iter().filter(|(_, live)| live.is_some_and(|property| !property.allprop));
                more.for_each(|(name, live)| tell(facts, subject, name, *live, member));
            }
        }
    }
}

fn tell(facts: &Facts, subject: &Subject, name: &QName, live: Option<&Property>, member: &mut Member<'_>) {
    let kept = kept(subject, name);
    // On a resource that does not have the live property, the name is free to be a dead one.
    let Some(property) = live.filter(|property| property.applies(subject)) else {
        match kept {
            Some(dead) => member.stored(&dead.xml),
            None => member.missing(name),
        };
        return;
    };
    match property.value(facts, subject) {
        None => {
            member.missing(name);
        }
        Some(value) => match kept.filter(|dead| says_the_same(dead, &value)) {
            Some(dead) => {
                member.stored(&dead.xml);
            }
            None => {
                member.found(name, |writer| value.write(writer));
            }
        },
    }
}

fn tell_names(facts: &Facts, subject: &Subject, member: &mut Member<'_>) {
    for property in PROPERTIES {
        let there = property.value(facts, subject).is_some();
        // The one property whose value is not at hand without being asked.
        if there || (property.name == CALENDAR_DATA && property.applies(subject)) {
            member.named(&property.name);
        }
    }
    for dead in subject.dead.iter().filter(|dead| !shadows_live(dead)) {
        if let Some(name) = QName::new(&dead.ns, &dead.name) {
            member.named(&name);
        }
    }
}

fn kept<'s>(subject: &'s Subject, name: &QName) -> Option<&'s DeadProperty> {
    subject.dead.iter().find(|dead| dead.ns == name.ns() && dead.name == name.local())
}

/// Whether this only keeps the spelling of a live property (its attributes) as the client sent it.
fn shadows_live(dead: &DeadProperty) -> bool {
    let name = QName::new(&dead.ns, &dead.name);
    name.and_then(|name| live(&name)).is_some_and(|property| matches!(property.set, Setting::Free(_)))
}

fn says_the_same(dead: &DeadProperty, value: &super::Value) -> bool {
    let super::Value::Text(text) = value else { return false };
    Element::parse(&dead.xml, Limits::REQUEST).is_ok_and(|element| element.trimmed() == text.trim())
}
