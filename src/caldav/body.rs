//! The body of an answer: whole, or made piece by piece while it is sent.
//!
//! A streamed body holds one piece in memory at a time; the next is made only when the peer has taken the last. When
//! making it fails half way, the body ends with [`Cut`], so the peer sees a broken transfer and never a short answer
//! that looks whole.

use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt as _;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};

/// What every answer of the server carries.
pub type Body = UnsyncBoxBody<Bytes, Cut>;

/// The rest of the answer could not be made; the connection must end without a proper close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off")]
pub struct Cut;

/// A body that is known whole.
pub fn whole(octets: impl Into<Bytes>) -> Body {
    Full::new(octets.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    whole(Bytes::new())
}

/// A body made of pieces, each when the one before has been taken.
pub fn streamed(pieces: impl Stream<Item = Result<Bytes, Cut>> + Send + 'static) -> Body {
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
}
