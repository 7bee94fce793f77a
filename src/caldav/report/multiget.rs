//! calendar-multiget (RFC 4791 7.9): the objects with these hrefs, each answered, the missing ones by 404.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use http::Response;

use crate::dav::Precondition;
use crate::dav::report::CalendarMultiget;
use crate::ical::Zone;
use crate::id::{CollectionId, UserId};

use super::super::answer::{Item, Items};
use super::super::body::Body;
use super::super::path::Path;
use super::super::{Failure, Request, Service};

impl Service {
    pub(super) async fn calendar_multiget(
        &self,
        request: &Request<'_>,
        multiget: CalendarMultiget,
    ) -> Result<Response<Body>, Failure> {
        if multiget.hrefs.len() > self.settings.max_multiget {
            return Err(Precondition::NumberOfMatchesWithinLimits.into());
        }
        let id: &CollectionId = match &request.path {
            Path::Calendar(id) => id,
            Path::Object(place) => &place.collection,
            Path::Inbox(user) => return self.inbox_multiget(request, user, multiget).await,
            _ => return Err(Precondition::SupportedReport.into()),
        };
        let row = Arc::new(self.collection(id).await?);
        let view = self.calendars.view(id).await.map_err(Failure::store)?;
        if matches!(&request.path, Path::Object(place) if view.get(&place.name).is_none()) {
            return Err(Failure::NotFound);
        }
        let base = request.path.href();
        let mut seen = HashSet::new();
        let mut items = VecDeque::with_capacity(multiget.hrefs.len());
        for asked in multiget.hrefs {
            let href = asked.against(&base).canonical();
            let path = Path::of(&href);
            if !seen.insert(href.as_str().to_owned()) {
                continue;
            }
            let entry = match &path {
                Some(Path::Object(place)) if place.collection == *id => view.get(&place.name),
                _ => None,
            };
            items.push_back(match entry {
                Some(entry) => Item::Entry(row.clone(), entry.clone()),
                None => Item::Gone(href),
            });
        }
        let zone = self.zone(None, &row).await?;
        self.tell(request, multiget.asked, Items::Known(items), zone.into()).await
    }

    /// Apple reads its inbox so.
    async fn inbox_multiget(
        &self,
        request: &Request<'_>,
        user: &UserId,
        multiget: CalendarMultiget,
    ) -> Result<Response<Body>, Failure> {
        let base = request.path.href();
        let mut items = VecDeque::with_capacity(multiget.hrefs.len());
        for asked in multiget.hrefs {
            let href = asked.against(&base).canonical();
            let path = Path::of(&href).filter(|path| matches!(path, Path::Message(owner, _) if owner == user));
            let subject = match path {
                Some(path) => self.subject(&path).await,
                None => Err(Failure::NotFound),
            };
            items.push_back(match subject {
                Ok(subject) => Item::Subject(Box::new(subject)),
                Err(Failure::NotFound) => Item::Gone(href),
                Err(failure) => return Err(failure),
            });
        }
        self.tell(request, multiget.asked, Items::Known(items), Zone::UTC.into()).await
    }
}
