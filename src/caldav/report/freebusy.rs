//! free-busy-query (RFC 4791 7.10): when time is taken in one calendar.

use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};

use crate::dav::Precondition;
use crate::ical::{Budget, Busy, Overrun, TimeRange, busy, merge_busy, vfreebusy};
use crate::id::{CollectionId, CollectionName};

use super::super::body::{Body, whole};
use super::super::path::Path;
use super::super::{Failure, Request, Service};

impl Service {
    pub(super) async fn free_busy_query(
        &self,
        request: &Request<'_>,
        range: TimeRange,
    ) -> Result<Response<Body>, Failure> {
        let Path::Calendar(id) = &request.path else { return Err(Precondition::SupportedReport.into()) };
        self.check_range(Some(&range))?;
        let mut budget = Budget::request();
        let taken = self.busy_times(id, &range, &mut budget).await?;
        // RFC 5545 3.6.4 wants a UID; asked again for the same time, it is the same.
        let uid = format!("{}-{}-{}", id.name, range.start.as_second(), range.end.as_second());
        let data = vfreebusy(&uid, &merge_busy(taken), &range, self.clock.now());
        let mut response = Response::new(whole(data));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/calendar; charset=utf-8"));
        Ok(response)
    }

    /// When the calendar's events take time. In the unified one, those of transparent calendars do not.
    pub(in crate::caldav) async fn busy_times(
        &self,
        id: &CollectionId,
        range: &TimeRange,
        budget: &mut Budget,
    ) -> Result<Vec<Busy>, Failure> {
        let row = self.collection(id).await?;
        let zone = self.zone(None, &row).await?;
        let rows = self.calendars.collections(&id.user).await.map_err(Failure::store)?;
        let free = |name: &CollectionName| {
            id.name.is_unified() && rows.iter().any(|row| row.id.name == *name && row.transparent)
        };
        let view = self.calendars.view(id).await.map_err(Failure::store)?;
        let mut taken = Vec::new();
        for entry in view.candidates(range) {
            if free(entry.leader()) {
                continue;
            }
            let object = self.calendars.object(id, &entry).await.map_err(Failure::store)?;
            let found = busy(&object, range, &zone, budget);
            taken.extend(found.map_err(|Overrun { .. }| Precondition::NumberOfMatchesWithinLimits)?);
        }
        Ok(taken)
    }
}
