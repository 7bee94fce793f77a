//! REPORT (RFC 3253 3.6): which report, on which resource.
//!
//! Depth is read leniently: clients send 0, 1 or none to the same report (clients.md, the union, 1).

mod expand;
mod freebusy;
mod multiget;
mod principal;
mod query;
mod sync;

use http::Response;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::calendar::{Collection, Owner};
use crate::dav::Precondition;
use crate::dav::report::{Asked, QueryZone};
use crate::dav::{Prefer, Report};
use crate::ical::{Budget, Object, TimeRange, Zone};

use super::answer::{Answer, Items};
use super::body::Body;
use super::property::{Plan, named_timezone};
use super::{Failure, Request, Service};

impl Service {
    pub(super) async fn report(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        match Report::parse(&request.body)? {
            Report::CalendarQuery(query) => self.calendar_query(request, query).await,
            Report::CalendarMultiget(multiget) => self.calendar_multiget(request, multiget).await,
            Report::FreeBusyQuery(range) => self.free_busy_query(request, range).await,
            Report::SyncCollection(sync) => self.sync_collection(request, sync).await,
            Report::ExpandProperty(expand) => self.expand_property(request, expand).await,
            Report::PrincipalPropertySearch(search) => self.principal_property_search(request, search).await,
            Report::PrincipalSearchPropertySet => Ok(principal::search_property_set()),
            Report::PrincipalMatch(matching) => self.principal_match(request, matching).await,
            Report::AclPrincipalPropSet(asked) => self.acl_principal_prop_set(request, asked).await,
        }
    }

    /// A time that lies beyond everything held here is refused by its name (RFC 4791 7.8, 7.10).
    fn check_range(&self, range: Option<&TimeRange>) -> Result<(), Failure> {
        let Some(range) = range else { return Ok(()) };
        let limits = &self.calendars.limits().object;
        let begins = |day: Date| day.to_zoned(TimeZone::UTC).map_or(Timestamp::MIN, |zoned| zoned.timestamp());
        if range.end <= begins(limits.earliest) {
            return Err(Precondition::MinDateTime.into());
        }
        if range.start >= begins(limits.latest) {
            return Err(Precondition::MaxDateTime.into());
        }
        Ok(())
    }

    /// An answer about these items.
    async fn tell(
        &self,
        request: &Request<'_>,
        asked: Asked,
        items: Items,
        ending: Ending,
    ) -> Result<Response<Body>, Failure> {
        let data = &asked.data;
        for range in [&data.expand, &data.limit_recurrence_set, &data.limit_freebusy_set] {
            self.check_range(range.as_ref())?;
        }
        let answer = Answer {
            service: self.clone(),
            facts: self.facts(&request.visitor.user),
            plan: Plan::new(asked.properties, asked.data),
            prefer: Prefer::read(request.headers),
            items,
            zone: ending.zone,
            budget: Budget::request(),
            token: ending.token,
        };
        answer.send().await
    }

    /// The zone of floating times for a report on this calendar (RFC 4791 7.3). One that was set by name (RFC 7809 5.2) has
    /// taken the place of an older definition.
    async fn zone(&self, asked: Option<&QueryZone>, calendar: &Collection) -> Result<Zone, Failure> {
        if asked.is_none() {
            let owner = Owner::Collection(calendar.id.clone());
            let dead = self.calendars.properties(&owner).await.map_err(Failure::store)?;
            if let Some(named) = named_timezone(&dead).and_then(|id| Zone::resolve(&id, None)) {
                return Ok(named);
            }
        }
        zone(asked, calendar.timezone.as_deref())
    }
}

/// What an answer needs beside what is asked.
struct Ending {
    /// For floating times and days in the calendar data.
    zone: Zone,
    /// What sync-collection gives back.
    token: Option<String>,
}

impl From<Zone> for Ending {
    fn from(zone: Zone) -> Self {
        Self { zone, token: None }
    }
}

/// The zone of floating times: what the query says, else the calendar's, else UTC (RFC 4791 7.3).
fn zone(asked: Option<&QueryZone>, calendar: Option<&str>) -> Result<Zone, Failure> {
    match asked {
        Some(QueryZone::Id(id)) => Ok(Zone::resolve(id, None).ok_or(Precondition::ValidTimezone)?),
        Some(QueryZone::Text(text)) => Ok(zone_of(text).ok_or(Precondition::ValidCalendarData)?),
        None => Ok(calendar.and_then(zone_of).unwrap_or(Zone::UTC)),
    }
}

fn zone_of(text: &str) -> Option<Zone> {
    let object = Object::parse(text.to_owned().into()).ok()?;
    let definition = object.timezones().next()?;
    Zone::resolve(&definition.property("TZID")?.text(), Some(definition))
}
