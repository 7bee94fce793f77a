//! COPY and MOVE of objects between the calendars of one user (RFC 4918 9.8, 9.9).
//!
//! Whole calendars are not copied or moved: the unified one and those of sources are what they are by their accounts.

use http::Response;

use crate::calendar::Overwrite;
use crate::dav;
use crate::dav::Destination;
use crate::id::Place;

use super::body::Body;
use super::path::Path;
use super::put::done;
use super::{Failure, Request, Service};

impl Service {
    pub(super) async fn copy_or_move(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let Path::Object(from) = &request.path else {
            return Err(Failure::Forbidden("Whole calendars can't be copied or moved."));
        };
        let to = destination(request)?;
        if !self.sees(&Path::Object(to.clone())) {
            return Err(Failure::Conflict(NOWHERE));
        }
        let overwrite = match dav::Overwrite::read(request.headers)? {
            dav::Overwrite::Allowed => Overwrite::Allowed,
            dav::Overwrite::Forbidden => Overwrite::Forbidden,
        };
        let conditions = self.conditions(request.headers, from).await?;
        let author = request.visitor.author();
        let written = if request.method.as_str() == "COPY" {
            self.calendars.copy(from, &to, overwrite, &conditions, &author).await
        } else {
            self.calendars.move_to(from, &to, overwrite, &conditions, &author).await
        };
        let put = written.map_err(|error| Failure::of_write(error, &to))?;
        self.settle(&put.pending).await?;
        Ok(done(put.created))
    }
}

fn destination(request: &Request<'_>) -> Result<Place, Failure> {
    let is_here = |authority: &str| request.authority.as_deref().is_none_or(|own| same_host(own, authority));
    let href = match Destination::read(request.headers, is_here)? {
        Destination::Elsewhere => return Err(Failure::Elsewhere),
        Destination::Here(href) => href,
    };
    match Path::of(&href) {
        Some(Path::Object(place)) if place.collection.user == request.visitor.user => Ok(place),
        Some(Path::Calendar(id)) if id.user == request.visitor.user => {
            Err(Failure::Forbidden("A calendar can't be replaced by an object."))
        }
        _ => Err(Failure::Conflict(NOWHERE)),
    }
}

/// A client behind a proxy may name the port that it sees, or leave out the usual one.
pub(super) fn same_host(own: &str, other: &str) -> bool {
    let bare = |authority: &str| {
        let authority = authority.rsplit('@').next().unwrap_or_default();
        authority.trim_end_matches(":443").trim_end_matches(":80").to_owned()
    };
    bare(own) == bare(other)
}

const NOWHERE: &str = "There is no calendar at the destination.";
