//! PROPFIND (RFC 4918 9.1): what a resource and its members have.
//!
//! Depth infinity is refused by name. No Depth means 1 here: infinity would be the RFC's reading, and a client that
//! leaves it out (tsdav) does not want a refusal.

use std::collections::VecDeque;
use std::sync::Arc;

use http::Response;

use crate::dav::{Depth, Precondition, Prefer, Propfind};
use crate::ical::{Budget, DataRequest, Zone};
use crate::id::UserId;

use super::answer::{Answer, Item, Items};
use super::body::Body;
use super::path::Path;
use super::property::Plan;
use super::resource::{Resource, Subject};
use super::{Failure, Request, Service};

impl Service {
    pub(super) async fn propfind(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let depth = Depth::read(request.headers)?.unwrap_or(Depth::One);
        let asked = Propfind::parse(&request.body)?;
        let subject = self.subject(&request.path).await?;
        if depth == Depth::Infinity && request.path.is_collection() {
            return Err(Precondition::PropfindFiniteDepth.into());
        }
        let prefer = Prefer::read(request.headers);
        let members = depth == Depth::One;
        let items = self.members(subject, &request.visitor.user, members, members && prefer.no_root).await?;
        let answer = Answer {
            service: self.clone(),
            facts: self.facts(&request.visitor.user),
            plan: Plan::new(asked, DataRequest::default()),
            prefer,
            items,
            zone: Zone::UTC,
            budget: Budget::request(),
            token: None,
        };
        answer.send().await
    }

    /// The resource, and if wanted its members.
    async fn members(
        &self,
        subject: Subject,
        user: &UserId,
        members: bool,
        without_root: bool,
    ) -> Result<Items, Failure> {
        let (path, resource) = (subject.path.clone(), subject.resource.clone());
        let mut items = VecDeque::new();
        if !without_root {
            items.push_back(Item::Subject(Box::new(subject)));
        }
        if !members {
            return Ok(Items::Known(items));
        }
        if let (Path::Calendar(id), Resource::Calendar(state)) = (&path, &resource) {
            let view = self.calendars.view(id).await.map_err(Failure::store)?;
            return Ok(Items::Listing(items, Arc::new(state.row.clone()), view, None));
        }
        if let Path::Inbox(user) = &path {
            let messages = self.calendars.inbox(user).await.map_err(Failure::store)?;
            items.extend(messages.into_iter().map(|message| Item::Subject(Box::new(Subject::message(user, message)))));
            return Ok(Items::Known(items));
        }
        if let Path::Plain(user, folder) = &path {
            let below = self.plain_members(user, folder).await?;
            items.extend(below.into_iter().map(|subject| Item::Subject(Box::new(subject))));
            return Ok(Items::Known(items));
        }
        let below = match &path {
            Path::Root => vec![Path::Principals, Path::Homes],
            Path::Principals => vec![Path::Principal(user.clone())],
            Path::Homes => vec![Path::Home(user.clone())],
            Path::Home(user) => self.home_members(user).await?,
            _ => Vec::new(),
        };
        for member in below {
            match self.subject(&member).await {
                Ok(subject) => items.push_back(Item::Subject(Box::new(subject))),
                // It went while we were looking.
                Err(Failure::NotFound) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(Items::Known(items))
    }
}
