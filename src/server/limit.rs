//! What a request may use up: time, octets.
//!
//! Bodies are refused by their declared length before an octet is read, and counted while they come otherwise. A body
//! that breaks off is an error and never a short body.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt as _;

use crate::clock::Clock;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// More octets than allowed.
    TooLarge,
    /// Content-Length is no number.
    BadLength,
    /// The next piece did not come in time.
    TooSlow,
    /// The peer went away, or broke the framing.
    Broken,
}

/// A body that knows whether it was read to its end.
#[derive(Debug)]
pub(super) struct Tracked<B> {
    inner: B,
    ended: bool,
}

impl<B: http_body::Body> Tracked<B> {
    pub(super) fn new(inner: B) -> Self {
        Self { ended: inner.is_end_stream(), inner }
    }

    /// Whether nothing of it is left to read.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }
}

impl<B: http_body::Body + Unpin> http_body::Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.ended = frame.is_none() || self.inner.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

/// Waits for `work`, at most so long.
pub(super) async fn within<T>(clock: &dyn Clock, time: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = clock.sleep(time) => None,
    }
}

/// Reads a body of at most `max` octets, each piece within `idle`, and all of it at no less than [`SLOWEST`] after that.
pub(super) async fn read_body<B>(
    headers: &HeaderMap,
    body: B,
    max: usize,
    idle: Duration,
    clock: &dyn Clock,
) -> Result<Bytes, BodyError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let declared = declared_length(headers)?;
    if declared.is_some_and(|length| length > max as u64) || body.size_hint().lower() > max as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut body = body;
    let mut octets = BytesMut::with_capacity(declared.map_or(0, |length| usize::try_from(length).unwrap_or(0)));
    let begun = clock.monotonic();
    while let Some(frame) = within(clock, idle, body.frame()).await.ok_or(BodyError::TooSlow)? {
        let due = idle + Duration::from_secs(octets.len() as u64 / SLOWEST);
        if clock.monotonic().saturating_sub(begun) > due {
            return Err(BodyError::TooSlow);
        }
        let Ok(piece) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if octets.len() + piece.len() > max {
            return Err(BodyError::TooLarge);
        }
        octets.extend_from_slice(&piece);
    }
    Ok(octets.freeze())
}

/// Reads and forgets a small body, so that an early answer does not cost the connection (a client sends its first
/// request without credentials, with a body, and repeats it on the same connection).
pub(super) async fn drain<B>(headers: &HeaderMap, body: B, clock: &dyn Clock)
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let waits_for_leave = headers.contains_key(http::header::EXPECT);
    let small = declared_length(headers).is_ok_and(|length| length.is_none_or(|length| length <= DRAINED as u64));
    if small && !waits_for_leave {
        let _whole = read_body(headers, body, DRAINED, DRAIN_TIME, clock).await.is_ok();
    }
}

fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, BodyError> {
    let Some(value) = headers.get(http::header::CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    length.map(Some).ok_or(BodyError::BadLength)
}

/// Octets a second: whoever sends a body more slowly only holds a place.
const SLOWEST: u64 = 1024;
const DRAINED: usize = 64 << 10;
const DRAIN_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};
    use jiff::Timestamp;

    use super::*;
    use crate::clock::ManualClock;

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::UNIX_EPOCH)
    }

    fn length(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(http::header::CONTENT_LENGTH, text.parse().unwrap())])
    }

    #[tokio::test]
    async fn a_declared_length_is_refused_before_reading() {
        let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let refused = read_body(&length("11"), never, 10, Duration::from_secs(1), &clock()).await;
        assert_eq!(refused, Err(BodyError::TooLarge));
        let body = Full::new(Bytes::from_static(b"x"));
        assert_eq!(read_body(&length("x"), body, 10, Duration::ZERO, &clock()).await, Err(BodyError::BadLength));
    }

    #[tokio::test]
    async fn a_body_is_counted_while_it_comes_and_a_broken_one_is_an_error() {
        let pieces = |count: usize| {
            let piece = || Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"1234")));
            StreamBody::new(stream::iter((0..count).map(move |_| piece())))
        };
        let idle = Duration::from_secs(1);
        assert_eq!(read_body(&HeaderMap::new(), pieces(2), 8, idle, &clock()).await.unwrap().len(), 8);
        assert_eq!(read_body(&HeaderMap::new(), pieces(3), 8, idle, &clock()).await, Err(BodyError::TooLarge));
        let broken = StreamBody::new(stream::iter([Err::<Frame<Bytes>, _>(std::io::Error::other("cut"))]));
        assert_eq!(read_body(&HeaderMap::new(), broken, 8, idle, &clock()).await, Err(BodyError::Broken));
    }

    #[tokio::test]
    async fn a_silent_body_ends_in_time() {
        let clock = clock();
        let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let headers = HeaderMap::new();
        let read = read_body(&headers, never, 8, Duration::from_secs(15), &clock);
        tokio::pin!(read);
        assert!(futures_util::poll!(&mut read).is_pending());
        clock.advance(Duration::from_secs(16));
        assert_eq!(read.await, Err(BodyError::TooSlow));
    }

    #[tokio::test]
    async fn a_body_that_trickles_ends_in_time() {
        let clock = clock();
        let ticking = clock.clone();
        let pieces = stream::iter(0..).map(move |_: u32| {
            ticking.advance(Duration::from_secs(5));
            Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"x")))
        });
        let headers = HeaderMap::new();
        let body = StreamBody::new(pieces);
        let read = read_body(&headers, body, 1 << 20, Duration::from_secs(15), &clock).await;
        assert_eq!(read, Err(BodyError::TooSlow));
        let ticking = clock.clone();
        let pieces = stream::iter(0..20).map(move |_| {
            ticking.advance(Duration::from_secs(5));
            Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'x'; 5 << 10])))
        });
        let body = StreamBody::new(pieces);
        let read = read_body(&headers, body, 1 << 20, Duration::from_secs(15), &clock).await;
        assert_eq!(read.unwrap().len(), 100 << 10, "slow, and fast enough");
    }
}
