//! MKCALENDAR (RFC 4791 5.3.1) and extended MKCOL (RFC 5689): a calendar of the user's own, with all its properties
//! or not at all.
//!
//! What is not a calendar is not made: a home holds calendars only.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use crate::calendar::{NewCollection, Owner, PutError};
use crate::dav::multistatus::write_creation_response;
use crate::dav::name::dav;
use crate::dav::{Element, ExtendedMkcol, MkCalendar, Precondition, QName};
use crate::id::CollectionId;

use super::answer::XML;
use super::body::{Body, empty, whole};
use super::path::Path;
use super::property::{Setting, live};
use super::setting::{Refused, Wishes};
use super::{Failure, Request, Service};

impl Service {
    pub(super) async fn mkcalendar(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let asked = MkCalendar::parse(&request.body)?;
        let id = self.place(request).await?;
        let wishes = match wishes(&asked.properties) {
            Ok(wishes) => wishes,
            // RFC 4791 5.3.1.2: the condition by its element.
            Err(results) => return Err(first_refusal(results)),
        };
        self.make(request, id, wishes).await?;
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
            return Ok(refused(&[(dav::RESOURCETYPE, Err(Precondition::ValidResourcetype.into()))]));
        }
        let wishes = match wishes(&asked.properties) {
            Ok(wishes) => wishes,
            Err(results) => return Ok(refused(&results)),
        };
        match self.make(request, id, wishes).await {
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

    async fn make(&self, request: &Request<'_>, id: &CollectionId, wishes: Wishes) -> Result<(), Failure> {
        let href = request.path.href();
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

/// What became of each property, in the document's order.
type Results = Vec<(QName, Result<(), Refused>)>;

/// All that is asked for, or what became of each if one can't be had.
fn wishes(properties: &[Element]) -> Result<Wishes, Results> {
    let mut wishes = Wishes::default();
    let results: Results =
        properties.iter().map(|property| (property.name().clone(), wish(&mut wishes, property))).collect();
    if results.iter().all(|(_, result)| result.is_ok()) { Ok(wishes) } else { Err(results) }
}

fn wish(wishes: &mut Wishes, property: &Element) -> Result<(), Refused> {
    match live(property.name()).map(|live| live.set) {
        Some(Setting::Free(which) | Setting::AtCreation(which)) => wishes.set(which, property),
        Some(Setting::Protected) => Err(Refused::protected()),
        None => {
            wishes.keep(property);
            Ok(())
        }
    }
}

fn first_refusal(results: Results) -> Failure {
    match results.into_iter().find_map(|(_, result)| result.err()).and_then(|refused| refused.why) {
        Some(why) => why.into(),
        None => Failure::Conflict("The value of a property can't be understood."),
    }
}

/// Which property was refused why, and that nothing was made (RFC 5689 3, 5.2). The status is that of the first.
fn refused(results: &[(QName, Result<(), Refused>)]) -> Response<Body> {
    let body = write_creation_response(&dav::MKCOL_RESPONSE, |answer| {
        for (name, result) in results {
            match result {
                Ok(()) => answer.refused(name, StatusCode::FAILED_DEPENDENCY, None),
                Err(refused) => answer.refused(name, refused.status, refused.why.as_ref()),
            };
        }
    });
    let status = results.iter().find_map(|(_, result)| result.as_ref().err()).map(|refused| refused.status);
    let mut response = Response::new(whole(body));
    *response.status_mut() = status.unwrap_or(StatusCode::FORBIDDEN);
    response.headers_mut().insert(CONTENT_TYPE, XML);
    response
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
