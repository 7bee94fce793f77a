//! calendar-query (RFC 4791 7.8): the objects that match a filter.
//!
//! The index says which objects can have to do with the time asked for; those alone are looked at. A filter that asks
//! for a kind of component and nothing else (Evolution, calcurse) is answered without reading any object.

use std::collections::VecDeque;
use std::sync::Arc;

use http::Response;

use crate::calendar::{Collection, Entry};
use crate::dav::Precondition;
use crate::dav::report::CalendarQuery;
use crate::ical::{Budget, CompFilter, CompTest, ComponentKind, Overrun, TimeRange, Zone, matches};

use super::super::answer::{Item, Items};
use super::super::body::Body;
use super::super::path::Path;
use super::super::property::Plan;
use super::super::resource::Resource;
use super::super::{Failure, Request, Service};

impl Service {
    pub(super) async fn calendar_query(
        &self,
        request: &Request<'_>,
        query: CalendarQuery,
    ) -> Result<Response<Body>, Failure> {
        let (row, candidates) = self.candidates(request, &query.filter).await?;
        let zone = super::zone(query.zone.as_ref(), row.timezone.as_deref())?;
        let mut budget = Budget::request();
        let mut found = VecDeque::new();
        let needs_data = Plan::new(query.asked.properties.clone(), query.asked.data.clone()).needs_data();
        for (index, entry) in candidates.into_iter().enumerate() {
            if !self.matches(&row, &entry, &query.filter, &zone, &mut budget).await? {
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
        self.tell(request, query.asked, Items::Known(found), zone, None).await
    }

    /// The objects that the request is about and that may match.
    async fn candidates(
        &self,
        request: &Request<'_>,
        filter: &CompFilter,
    ) -> Result<(Arc<Collection>, Vec<Entry>), Failure> {
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
        filter: &CompFilter,
        zone: &Zone,
        budget: &mut Budget,
    ) -> Result<bool, Failure> {
        match of_kind(filter) {
            Some(None) => return Ok(true),
            Some(Some(kind)) => return Ok(entry.component == kind),
            None => {}
        }
        let object = self.calendars.object(&row.id, entry).await.map_err(Failure::store)?;
        matches(filter, &object, zone, budget)
            .map_err(|Overrun { .. }| Precondition::NumberOfMatchesWithinLimits.into())
    }
}

/// The kind that a filter asks for when it asks for nothing else; `Some(None)` when it asks for nothing at all.
fn of_kind(filter: &CompFilter) -> Option<Option<ComponentKind>> {
    let bare = |filter: &CompFilter| match &filter.test {
        CompTest::Defined { time_range: None, properties, components } if properties.is_empty() => {
            Some(components.clone())
        }
        _ => None,
    };
    if !filter.name.eq_ignore_ascii_case("VCALENDAR") {
        return None;
    }
    match bare(filter)?.as_slice() {
        [] => Some(None),
        [inner] if bare(inner)?.is_empty() => match ComponentKind::named(&inner.name) {
            ComponentKind::Other => None,
            kind => Some(Some(kind)),
        },
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
        assert_eq!(of_kind(&comp("VCALENDAR", vec![])), Some(None));
        assert_eq!(of_kind(&comp("VCALENDAR", vec![comp("VEVENT", vec![])])), Some(Some(ComponentKind::Event)));
        assert_eq!(of_kind(&comp("VCALENDAR", vec![comp("VALARM", vec![])])), None);
        assert_eq!(of_kind(&comp("VCALENDAR", vec![comp("VEVENT", vec![comp("VALARM", vec![])])])), None);
        assert_eq!(of_kind(&comp("VEVENT", vec![])), None);
        let absent = CompFilter { name: "VEVENT".to_owned(), test: CompTest::NotDefined };
        assert_eq!(of_kind(&comp("VCALENDAR", vec![absent])), None);
        let ranged = CompFilter {
            name: "VEVENT".to_owned(),
            test: CompTest::Defined { time_range: Some(TimeRange::ALL), properties: vec![], components: vec![] },
        };
        assert_eq!(of_kind(&comp("VCALENDAR", vec![ranged])), None);
    }
}
