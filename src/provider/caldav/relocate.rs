//! Moving an object between two calendars of a server (RFC 4918 9.9). To one that schedules (RFC 6638) a DELETE and a PUT are
//! a meeting that is called off and another that is called; a MOVE is neither.

use http::StatusCode;
use http::header::HeaderName;

use super::CalDav;
use super::fault::{Aim, fault};
use super::session::{Ask, Reply};
use super::write::{answered, member_url};
use crate::provider::{Fault, IdempotencyKey, RemoteId, Version, Written};

impl CalDav {
    /// Moves the object to where [`CalDav::create_object`] with `key` would put it. `None` where the server does not, or something
    /// is in the way.
    pub(super) async fn move_object(
        &self,
        version: &Version,
        to: &RemoteId,
        key: &IdempotencyKey,
    ) -> Result<Option<Written>, Fault> {
        if self.takes_a_uid_once() || !self.moves() {
            return Ok(None);
        }
        let (from, target) = (self.url(&version.id)?, member_url(&self.url(to)?, key)?);
        if from.origin() != target.origin() {
            return Ok(None);
        }
        let id = self.learn(&target)?;
        let ask = Ask::dav("MOVE", &from)
            .header(HeaderName::from_static("destination"), target.as_str())
            .header(HeaderName::from_static("overwrite"), "F");
        let ask = self.conditional(ask, version).await?;
        let reply = self.ask_about(&version.id, ask).await?;
        if reply.status == StatusCode::MULTI_STATUS {
            // RFC 4918 9.9.4: it says what could not be moved.
            return Ok(None);
        }
        let reply = answered(reply)?;
        if reply.status.is_success() {
            return self.read_back(&id, &bytes::Bytes::new()).await.map(Some);
        }
        self.unmoved(version, &reply).await.map(|()| None)
    }

    /// Why a MOVE came to nothing. `Ok`: the object is where it was, and has to go another way.
    async fn unmoved(&self, version: &Version, reply: &Reply) -> Result<(), Fault> {
        if matches!(reply.status, StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED) {
            self.learn_ability(|abilities| abilities.moves_not = true);
        }
        match fault(reply, Aim::Object, self.now()) {
            Fault::Gone if self.version_if_there(&version.id).await?.is_none() => Err(Fault::Gone),
            other @ (Fault::Throttled(_) | Fault::Unreachable(_) | Fault::Unauthorized(_)) if !is_refusal(reply) => {
                Err(other)
            }
            _ => Ok(()),
        }
    }
}

/// 501, and 502, by which a server says that the destination is none of its own (RFC 4918 9.9.4).
fn is_refusal(reply: &Reply) -> bool {
    matches!(reply.status, StatusCode::NOT_IMPLEMENTED | StatusCode::BAD_GATEWAY)
}
