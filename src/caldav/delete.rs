//! DELETE: an object, or a calendar that a client made (RFC 4918 9.6).

use http::{Response, StatusCode};

use crate::dav::Depth;

use super::body::{Body, empty};
use super::path::Path;
use super::put::done;
use super::{Failure, Request, Service};

impl Service {
    pub(super) async fn delete(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        self.check_if(request.headers, &request.path).await?;
        match &request.path {
            Path::Object(place) => {
                let conditions = self.conditions(request.headers, place).await?;
                let deleted = self.calendars.delete(place, &conditions, &request.visitor.author()).await;
                let deleted = deleted.map_err(|error| Failure::of_write(error, place))?;
                self.settle(&deleted.pending).await?;
                Ok(done(false))
            }
            Path::Calendar(id) => {
                // RFC 4918 9.6.1: a collection goes whole or not at all.
                if !matches!(Depth::read(request.headers)?, None | Some(Depth::Infinity)) {
                    return Err(Failure::Bad("A calendar is deleted with all that is in it: Depth must be infinity."));
                }
                let href = request.path.href();
                self.calendars.delete_collection(id).await.map_err(|error| Failure::of_collection(error, &href))?;
                let mut response = Response::new(empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                Ok(response)
            }
            _ => Err(Failure::NotAllowed),
        }
    }
}
