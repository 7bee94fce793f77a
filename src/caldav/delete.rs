//! DELETE: an object, or a calendar that a client made (RFC 4918 9.6).

use http::{Response, StatusCode};

use super::body::{Body, empty};
use super::invite::{Written, is_silent};
use super::path::Path;
use super::put::done;
use super::{Failure, Request, Service};
use crate::failpoint;

impl Service {
    pub(super) async fn delete(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        match &request.path {
            Path::Object(place) => {
                let conditions = self.conditions(request.headers, place).await?;
                let before = self.before(place).await?;
                failpoint::reach("delete.validated");
                let deleted = self.calendars.delete(place, &conditions, &request.visitor.author()).await;
                let deleted = deleted.map_err(|error| Failure::of_write(error, place))?;
                self.settle(&deleted.pending).await?;
                let silent = is_silent(request.headers);
                let written = Written { visitor: &request.visitor, event: deleted.event, before, after: None, silent };
                self.tell_participants(written).await;
                failpoint::reach("delete.before_response");
                Ok(done(false))
            }
            Path::Message(user, name) => {
                let there = self.calendars.inbox_remove(user, name).await.map_err(Failure::store)?;
                if there { Ok(done(false)) } else { Err(Failure::NotFound) }
            }
            Path::Registration(id, name) => self.push_unregister(id, name).await,
            Path::Calendar(id) => {
                // RFC 4918 9.6.1: it goes whole, as if Depth were infinity, whatever was sent: the library of
                // Nextcloud's calendar sends 0.
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
