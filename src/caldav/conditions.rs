//! The conditions of a request's header, for the write path: If-Match, If-None-Match, If-Unmodified-Since, If
//! (RFC 9110 13.1, 4918 10.4).
//!
//! A tag that means the current entity (a proxy may have marked it weak, or put `-gzip` on it, see `dav::Tag::means`)
//! is replaced by the exact current one; the write path compares again inside its commit, so nothing is lost between.
//! If-Schedule-Tag-Match (RFC 6638 8.3) and If-Unmodified-Since that hold become If-Match with the tag of that moment.

use http::HeaderMap;

use crate::calendar::{Conditions, Match};
use crate::dav::header::State;
use crate::dav::header::if_unmodified_since;
use crate::dav::{Href, IfHeader, Match as Asked};
use crate::id::{Etag, Place};

use super::path::Path;
use super::{Failure, Service};

impl Service {
    /// What a write to the object at `place` must find.
    pub(super) async fn conditions(&self, headers: &HeaderMap, place: &Place) -> Result<Conditions, Failure> {
        let if_match = Asked::if_match(headers)?;
        let if_none_match = Asked::if_none_match(headers)?;
        let scheduled = Asked::if_schedule_tag_match(headers)?;
        // RFC 9110 13.1.4: not beside If-Match, and not where there is no date to compare.
        let unmodified = if if_match.is_none() { if_unmodified_since(headers) } else { None };
        if if_match.is_none() && if_none_match.is_none() && scheduled.is_none() && unmodified.is_none() {
            return Ok(Conditions::NONE);
        }
        let stored = self.calendars.get(place).await.map_err(Failure::store)?;
        // A date counts whole seconds, as Last-Modified does.
        let modified = stored.as_ref().map(|stored| stored.modified.as_second());
        if unmodified.zip(modified).is_some_and(|(since, modified)| modified > since.as_second()) {
            return Err(Failure::ConditionFailed);
        }
        let current = stored.map(|stored| stored.etag);
        if let Some(asked) = &scheduled
            && !asked.means(self.schedule_tag_at(place).await?.as_deref())
        {
            return Err(Failure::ConditionFailed);
        }
        let exact = |asked: Asked| exactly(asked, current.as_ref());
        let if_match = if scheduled.is_some() || unmodified.is_some() {
            current.clone().map_or(scheduled.and(Some(Match::Any)), |etag| Some(Match::OneOf(vec![etag])))
        } else {
            if_match.map(exact)
        };
        Ok(Conditions { if_match, if_none_match: if_none_match.map(exact) })
    }

    /// Whether the If header, if there is one, holds for the request to `path`.
    pub(super) async fn check_if(&self, headers: &HeaderMap, path: &Path) -> Result<(), Failure> {
        let Some(asked) = IfHeader::read(headers)? else { return Ok(()) };
        let mut states = Vec::with_capacity(asked.lists.len());
        for list in &asked.lists {
            let tagged = list.resource.as_ref().map(Path::of);
            let Some(named) = tagged.as_ref().map_or(Some(path), Option::as_ref) else { continue };
            if named.user() == path.user() {
                states.push((list.resource.clone(), self.state_of(named).await?));
            }
        }
        let holds = asked.holds(|resource, state| {
            let same = |href: &Option<Href>| match (href, resource) {
                (Some(one), Some(other)) => one.same_resource(other),
                (None, None) => true,
                _ => false,
            };
            states.iter().any(|(href, now)| same(href) && now.is(state))
        });
        if holds { Ok(()) } else { Err(Failure::ConditionFailed) }
    }

    async fn state_of(&self, path: &Path) -> Result<Now, Failure> {
        Ok(match path {
            Path::Object(place) => {
                let stored = self.calendars.get(place).await.map_err(Failure::store)?;
                Now::Entity(stored.map(|stored| stored.etag))
            }
            Path::Plain(user, path) => Now::Entity(self.plain_etag(user, path).await?),
            Path::Calendar(id) => match self.calendars.collection(id).await.map_err(Failure::store)? {
                Some(_) => Now::Synced(self.calendars.token(id).await.map_err(Failure::store)?.to_string()),
                None => Now::Stateless,
            },
            _ => Now::Stateless,
        })
    }
}

/// What a resource is in now, as the If header can name it.
enum Now {
    /// A resource with a body.
    Entity(Option<Etag>),
    /// A calendar with its sync token (RFC 6578 5: it counts as a state token).
    Synced(String),
    /// Anything else. There are no locks, so no token names it.
    Stateless,
}

impl Now {
    fn is(&self, asked: &State) -> bool {
        match (self, asked) {
            (Self::Entity(Some(etag)), State::Entity(tag)) => tag.means(&etag.0),
            (Self::Synced(token), State::Token(asked)) => token == asked,
            _ => false,
        }
    }
}

fn exactly(asked: Asked, current: Option<&Etag>) -> Match {
    match asked {
        Asked::Any => Match::Any,
        Asked::OneOf(tags) => match current.filter(|etag| tags.iter().any(|tag| tag.means(&etag.0))) {
            Some(etag) => Match::OneOf(vec![etag.clone()]),
            None => Match::OneOf(tags.into_iter().map(|tag| Etag(tag.value)).collect()),
        },
    }
}
