//! calendar-query (RFC 4791 7.8): the objects that match a filter.
//!
//! The index says which objects can have to do with the time asked for; those alone are looked at. A filter that asks
//! for a kind of component and nothing else (Evolution, calcurse) is answered without reading any object; one that asks
//! for events at a time reads only those of which the index leaves it open.

use std::collections::VecDeque;
use std::sync::Arc;

use http::Response;

use crate::calendar::{Collection, Entry};
use crate::dav::Precondition;
use crate::dav::report::CalendarQuery;
use crate::ical::{Budget, CompFilter, CompTest, ComponentKind, Object, Overrun, TimeRange, Zone, matches};
use crate::id::UserId;

use super::super::answer::{Item, Items};
use super::super::body::Body;
use super::super::path::Path;
use super::super::property::Plan;
use super::super::resource::{Resource, Subject};
use super::super::{Failure, Request, Service};

impl Service {
    pub(super) async fn calendar_query(
        &self,
        request: &Request<'_>,
        query: CalendarQuery,
    ) -> Result<Response<Body>, Failure> {
        self.check_range(query.filter.window().as_ref())?;
        if let Path::Inbox(user) = &request.path {
            return self.inbox_query(request, user, query).await;
        }
        let (row, candidates) = self.candidates(request, &query.filter).await?;
        let zone = self.zone(query.zone.as_ref(), &row).await?;
        let mut budget = Budget::request();
        let look = Look { filter: &query.filter, zone: &zone, bare: bare(&query.filter) };
        let mut found = VecDeque::new();
        let needs_data = Plan::new(query.asked.properties.clone(), query.asked.data.clone()).needs_data();
        for (index, entry) in candidates.into_iter().enumerate() {
            if !self.matches(&row, &entry, &look, &mut budget).await? {
                continue;
            }
            if needs_data && found.len() >= self.settings.max_query {
                return Err(Precondition::NumberOfMatchesWithinLimits.into());
            }
            found.push_back(Item::Entry(row.clone(), entry));
            if index % 64 == 63 {
                tokio::task::yield_now().await;
            }
        }
        self.tell(request, query.asked, Items::Known(found), zone.into()).await
    }

    /// The inbox answers the same report (RFC 6638 2.2); it is small, so each message is looked at.
    async fn inbox_query(
        &self,
        request: &Request<'_>,
        user: &UserId,
        query: CalendarQuery,
    ) -> Result<Response<Body>, Failure> {
        let zone = super::zone(query.zone.as_ref(), None)?;
        let mut budget = Budget::request();
        let mut found = VecDeque::new();
        for message in self.calendars.inbox(user).await.map_err(Failure::store)? {
            // What was delivered was an object; one that can't be read matches nothing.
            let Ok(object) = Object::parse(message.octets.clone()) else { continue };
            let matched = matches(&query.filter, &object, &zone, &mut budget);
            if matched.map_err(|Overrun { .. }| Precondition::NumberOfMatchesWithinLimits)? {
                found.push_back(Item::Subject(Box::new(Subject::message(user, message))));
            }
        }
        self.tell(request, query.asked, Items::Known(found), zone.into()).await
    }

    /// The objects that the request is about and that may match.
    async fn candidates(
        &self,
        request: &Request<'_>,
        filter: &CompFilter,
    ) -> Result<(Arc<Collection>, Vec<Arc<Entry>>), Failure> {
        match &request.path {
            Path::Calendar(id) => {
                let row = self.collection(id).await?;
                let view = self.calendars.view(id).await.map_err(Failure::store)?;
                Ok((Arc::new(row), view.candidates(&filter.window().unwrap_or(TimeRange::ALL))))
            }
            Path::Object(_) => match self.subject(&request.path).await?.resource {
                Resource::Object(row, entry) => Ok((row, vec![entry])),
                _ => Err(Failure::NotFound),
            },
            _ => Err(Precondition::SupportedReport.into()),
        }
    }

    async fn matches(
        &self,
        row: &Collection,
        entry: &Entry,
        look: &Look<'_>,
        budget: &mut Budget,
    ) -> Result<bool, Failure> {
        match look.bare {
            Bare::Anything => return Ok(true),
            Bare::Kind(kind) => return Ok(entry.component == kind),
            Bare::Events(range) => {
                if entry.component != ComponentKind::Event {
                    return Ok(false);
                }
                if entry.spans.surely_overlap(&range) {
                    return Ok(true);
                }
            }
            Bare::No => {}
        }
        let object = self.calendars.object(&row.id, entry).await.map_err(Failure::store)?;
        matches(look.filter, &object, look.zone, budget)
            .map_err(|Overrun { .. }| Precondition::NumberOfMatchesWithinLimits.into())
    }
}

/// A filter at work.
struct Look<'q> {
    filter: &'q CompFilter,
    zone: &'q Zone,
    bare: Bare,
}

/// What a filter asks for when it asks for next to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bare {
    /// Nothing: any object is right.
    Anything,
    /// That the object is of this kind.
    Kind(ComponentKind),
    /// That it is an event at that time.
    Events(TimeRange),
    /// More than that.
    No,
}

fn bare(filter: &CompFilter) -> Bare {
    match inside(filter).filter(|_| filter.name.eq_ignore_ascii_case("VCALENDAR")) {
        Some([]) => Bare::Anything,
        Some([one]) if inside(one).is_some_and(<[_]>::is_empty) => match ComponentKind::named(&one.name) {
            ComponentKind::Other => Bare::No,
            kind => Bare::Kind(kind),
        },
        Some([one]) if ComponentKind::named(&one.name) == ComponentKind::Event => match &one.test {
            CompTest::Defined { time_range: Some(range), properties, components }
                if properties.is_empty() && components.is_empty() =>
            {
                Bare::Events(*range)
            }
            _ => Bare::No,
        },
        _ => Bare::No,
    }
}

/// The filters inside one that has nothing else.
fn inside(filter: &CompFilter) -> Option<&[CompFilter]> {
    match &filter.test {
        CompTest::Defined { time_range: None, properties, components } if properties.is_empty() => Some(components),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comp(name: &str, components: Vec<CompFilter>) -> CompFilter {
        let test = CompTest::Defined { time_range: None, properties: Vec::new(), components };
        CompFilter { name: name.to_owned(), test }
    }

    #[test]
    fn only_a_bare_filter_is_answered_without_reading() {
        assert_eq!(bare(&comp("VCALENDAR", vec![])), Bare::Anything);
        assert_eq!(bare(&comp("VCALENDAR", vec![comp("VEVENT", vec![])])), Bare::Kind(ComponentKind::Event));
        assert_eq!(bare(&comp("VCALENDAR", vec![comp("VALARM", vec![])])), Bare::No);
        assert_eq!(bare(&comp("VCALENDAR", vec![comp("VEVENT", vec![comp("VALARM", vec![])])])), Bare::No);
        assert_eq!(bare(&comp("VEVENT", vec![])), Bare::No);
        let absent = CompFilter { name: "VEVENT".to_owned(), test: CompTest::NotDefined };
        assert_eq!(bare(&comp("VCALENDAR", vec![absent])), Bare::No);
        let ranged = |name: &str, components: Vec<CompFilter>| CompFilter {
            name: name.to_owned(),
            test: CompTest::Defined { time_range: Some(TimeRange::ALL), properties: vec![], components },
        };
        assert_eq!(bare(&comp("VCALENDAR", vec![ranged("vevent", vec![])])), Bare::Events(TimeRange::ALL));
        assert_eq!(bare(&comp("VCALENDAR", vec![ranged("VTODO", vec![])])), Bare::No);
        assert_eq!(bare(&comp("VCALENDAR", vec![ranged("VEVENT", vec![comp("VALARM", vec![])])])), Bare::No);
    }
}
