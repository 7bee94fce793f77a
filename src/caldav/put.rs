//! PUT (RFC 4791 5.3.2): one object, octet for octet, in one commit; then a moment's wait for the providers.

use http::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use crate::dav::Precondition;
use crate::failpoint;
use crate::ical::{Object, itip};
use crate::id::Etag;

use super::body::{Body, empty};
use super::invite::{Written, set_schedule_tag};
use super::path::Path;
use super::{Failure, Request, Service};

impl Service {
    pub(super) async fn put(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let Path::Object(place) = &request.path else { return Err(Failure::NotAllowed) };
        check_kind(request.headers)?;
        let conditions = self.conditions(request.headers, place).await?;
        if request.body.len() > self.calendars.limits().object.size {
            return Err(Precondition::MaxResourceSize.into());
        }
        let object = Object::parse(request.body.clone()).map_err(|_| Precondition::ValidCalendarData)?;
        let before = self.before(place).await?;
        let after = self.schedules().then(|| object.clone());
        // Most objects invite nobody: then there is no tag, and nothing has to be looked up for it.
        let invites = after.as_ref().is_some_and(|object| itip::organizer(object).is_some());
        failpoint::reach("put.validated");
        let put = self.calendars.put(place, object, &conditions, &request.visitor.author()).await;
        let put = put.map_err(|error| Failure::of_write(error, place))?;
        self.settle(&put.pending).await?;
        let written = Written { visitor: &request.visitor, event: put.event, before, after, silent: false };
        self.tell_participants(written).await;
        let mut response = done(put.created);
        if put.octets_as_sent {
            // RFC 4791 5.3.4: a strong tag only if what is stored is what was sent.
            set_etag(response.headers_mut(), &put.etag);
        }
        if invites {
            set_schedule_tag(response.headers_mut(), self.schedule_tag_at(place).await?);
        }
        failpoint::reach("put.before_response");
        Ok(response)
    }
}

/// 201 or 204.
pub(super) fn done(created: bool) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = if created { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    response
}

pub(super) fn set_etag(headers: &mut HeaderMap, etag: &Etag) {
    if let Ok(value) = HeaderValue::from_str(&etag.to_string()) {
        headers.insert(ETAG, value);
    }
}

/// A body that says it is something else than a whole calendar is refused; one that says nothing is tried.
pub(super) fn check_kind(headers: &HeaderMap) -> Result<(), Failure> {
    if headers.contains_key(CONTENT_RANGE) {
        return Err(Failure::Bad("A part of an object can't be stored (Content-Range)."));
    }
    let coded =
        headers.get(CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if coded {
        return Err(Failure::MediaType("The body must come without Content-Encoding."));
    }
    let Some(kind) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.is_empty() || essence.eq_ignore_ascii_case("text/calendar") {
        Ok(())
    } else {
        Err(Precondition::SupportedCalendarData.into())
    }
}
