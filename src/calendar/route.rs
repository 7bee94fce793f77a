//! Where a new event of the unified calendar goes: the first rule that fits it, else the default.
//!
//! A rule names a category or the domain of somebody invited, and the calendar to write to. A user's own rules come before those of the
//! configuration. Which rule it was stands in the audit log, and so in the history of the event.

use serde::{Deserialize, Serialize};

use crate::calendar::collection::{Collection, can_be_default};
use crate::calendar::record::ROUTES;
use crate::calendar::{Calendars, PutError};
use crate::ical::Object;
use crate::id::UserId;
use crate::store::{Batch, Record, StoreError};

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// What an event must be like.
    pub when: Criterion,
    /// The id of a calendar, or its name.
    pub to: String,
}

/// What an event must be like for a rule to fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Criterion {
    /// It has this category, in whatever case.
    Category(String),
    /// Somebody with an address in this domain is invited.
    AttendeeDomain(String),
}

/// A user's own rules, the first that fits counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoutesRow {
    routes: Vec<Route>,
}

impl Record for RoutesRow {
    const FORMAT: u8 = 1;
}

impl Criterion {
    /// Whether an event is like that.
    pub fn fits(&self, object: &Object) -> bool {
        object.members().any(|member| match self {
            Self::Category(wanted) => member
                .all("CATEGORIES")
                .any(|property| property.list().any(|one| one.trim().eq_ignore_ascii_case(wanted))),
            Self::AttendeeDomain(wanted) => member
                .all("ATTENDEE")
                .filter_map(|property| property.value().rsplit_once('@'))
                .any(|(_, domain)| domain.trim().eq_ignore_ascii_case(wanted)),
        })
    }

    /// In words.
    fn words(&self) -> String {
        match self {
            Self::Category(name) => format!("events of the category {name}"),
            Self::AttendeeDomain(domain) => format!("events with somebody of {domain}"),
        }
    }
}

impl Calendars {
    /// The same calendars with rules for those who have none of their own that fit.
    #[must_use]
    pub fn with_routes(mut self, routes: Vec<Route>) -> Self {
        self.routes = routes;
        self
    }

    /// A user's own rules.
    pub async fn routes(&self, user: &UserId) -> Result<Vec<Route>, StoreError> {
        Ok(ROUTES.get(&*self.store, user).await?.unwrap_or_default().routes)
    }

    /// Puts other rules in place of a user's own.
    pub async fn set_routes(&self, user: &UserId, routes: Vec<Route>) -> Result<(), PutError> {
        let mut batch = Batch::new();
        ROUTES.put(&mut batch, user, &RoutesRow { routes });
        self.store.commit(batch).await?;
        Ok(())
    }

    /// Where the rules send a new event, and why. `None`: no rule fits, or what it names takes no events.
    pub(crate) async fn route(
        &self,
        user: &UserId,
        object: &Object,
    ) -> Result<Option<(Collection, String)>, StoreError> {
        let own = self.routes(user).await?;
        let fitting: Vec<&Route> = own.iter().chain(&self.routes).filter(|route| route.when.fits(object)).collect();
        if fitting.is_empty() {
            return Ok(None);
        }
        let collections = self.collections(user).await?;
        for route in fitting {
            let is_meant = |one: &&Collection| one.id.name.as_str() == route.to || one.display_name == route.to;
            if let Some(found) = collections.iter().filter(|one| can_be_default(one)).find(is_meant) {
                let why = format!("a rule sends {} to {}", route.when.words(), found.display_name);
                return Ok(Some((found.clone(), why)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_rule_fits_by_category_or_by_the_domain_of_somebody_invited() {
        let text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\n\
                    DTSTART:20260101T100000Z\r\nCATEGORIES:Family,Work\r\nATTENDEE;CN=\"B\":mailto:b@Example.ORG\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        let object = Object::parse(Bytes::from(text)).unwrap();
        for (criterion, fits) in [
            (Criterion::Category("work".to_owned()), true),
            (Criterion::Category("wor".to_owned()), false),
            (Criterion::AttendeeDomain("example.org".to_owned()), true),
            (Criterion::AttendeeDomain("ample.org".to_owned()), false),
        ] {
            assert_eq!(criterion.fits(&object), fits, "{criterion:?}");
        }
    }
}
