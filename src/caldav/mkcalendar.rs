//! MKCALENDAR (RFC 4791 5.3.1) and extended MKCOL (RFC 5689): a calendar of the user's own, with all its properties
//! or not at all.
//!
//! What is not a calendar is not made: a home holds calendars only.

use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Response, StatusCode};

use crate::calendar::{NewCollection, Owner, PutError};
use crate::dav::{Element, ExtendedMkcol, MkCalendar, Precondition};
use crate::id::CollectionId;

use super::body::{Body, empty};
use super::path::Path;
use super::property::{Setting, live};
use super::setting::{Refused, Wishes};
use super::{Failure, Request, Service};

impl Service {
    pub(super) async fn mkcalendar(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let asked = MkCalendar::parse(&request.body)?;
        let id = self.place(request).await?;
        self.make(request, id, &asked.properties).await?;
        Ok(created())
    }

    pub(super) async fn mkcol(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let asked = match ExtendedMkcol::parse(&request.body) {
            Ok(asked) => asked,
            // RFC 4918 9.3: a body that is not understood.
            Err(_) if !is_xml(request) => return Err(Failure::MediaType("MKCOL takes an XML body or none.")),
            Err(malformed) => return Err(malformed.into()),
        };
        let id = match self.place(request).await {
            Ok(id) => id,
            Err(Failure::Violated(Precondition::ResourceMustBeNull)) => return Err(Failure::NotAllowed),
            Err(failure) => return Err(failure),
        };
        if self.calendars.collection(id).await.map_err(Failure::store)?.is_some() {
            return Err(Failure::NotAllowed);
        }
        if !asked.is_calendar() {
            return Err(Precondition::ValidResourcetype.into());
        }
        match self.make(request, id, &asked.properties).await {
            Err(Failure::Violated(Precondition::ResourceMustBeNull)) => Err(Failure::NotAllowed),
            made => made.map(|()| created()),
        }
    }

    /// Where a calendar can be made.
    async fn place<'r>(&self, request: &'r Request<'_>) -> Result<&'r CollectionId, Failure> {
        match &request.path {
            Path::Calendar(id) => Ok(id),
            Path::Object(place) => {
                let parent = self.calendars.collection(&place.collection).await.map_err(Failure::store)?;
                match parent {
                    // RFC 4791 4.2: no calendar inside a calendar.
                    Some(_) => Err(Precondition::CalendarCollectionLocationOk.into()),
                    None => Err(Failure::Conflict("There is no collection to make it in.")),
                }
            }
            _ => Err(Precondition::ResourceMustBeNull.into()),
        }
    }

    async fn make(&self, request: &Request<'_>, id: &CollectionId, properties: &[Element]) -> Result<(), Failure> {
        let href = request.path.href();
        let mut wishes = Wishes::default();
        for property in properties {
            wish(&mut wishes, property)?;
        }
        let change = wishes.change;
        let new = NewCollection {
            display_name: change.display_name,
            color: change.color.flatten(),
            order: change.order.flatten(),
            description: change.description.flatten(),
            timezone: change.timezone.flatten(),
            components: change.components.unwrap_or_default(),
            transparent: change.transparent.unwrap_or_default(),
        };
        let made = self.calendars.create_local(id, new).await;
        made.map_err(|error| Failure::of_collection(error, &href))?;
        let kept = self.calendars.set_properties(&Owner::Collection(id.clone()), &wishes.edits).await;
        if let Err(error) = kept {
            // Nothing half made: who was told that it failed will try the same name again.
            let undone = self.calendars.delete_collection(id).await;
            if let Err(PutError::Store(error)) = undone {
                tracing::error!(%error, "a calendar whose properties were refused could not be taken back");
            }
            return Err(Failure::of_collection(error, &href));
        }
        Ok(())
    }
}

fn wish(wishes: &mut Wishes, property: &Element) -> Result<(), Failure> {
    let set = match live(property.name()).map(|live| live.set) {
        Some(Setting::Free(which) | Setting::AtCreation(which)) => wishes.set(which, property),
        Some(Setting::Protected) => Err(Refused::protected()),
        None => {
            wishes.keep(property);
            Ok(())
        }
    };
    set.map_err(|refused| match refused.why {
        Some(why) => why.into(),
        None => Failure::Conflict("The value of a property can't be understood."),
    })
}

fn is_xml(request: &Request<'_>) -> bool {
    let kind = request.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_none_or(|kind| kind.to_ascii_lowercase().contains("xml"))
}

fn created() -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::CREATED;
    // RFC 4791 5.3.1: answers to MKCALENDAR must not be cached.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
