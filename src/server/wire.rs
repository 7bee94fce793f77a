//! A connection's octets below HTTP: an answer that nobody takes ends it, so does a flood of frames without a purpose, and
//! it closes so that the last answer arrives.
//!
//! Closing a socket over octets that were not read makes the system reset the connection, and the peer loses an answer
//! that it has not read yet: a client that sends its whole body first never sees the 413. So where more may be coming,
//! this end says that it is done, then reads and throws away, bounded in octets and time (as nginx's lingering close).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use crate::clock::{Clock, Sleep};

/// Octets in both directions, with the rules of the module.
pub(super) struct Wire<S> {
    inner: S,
    clock: Arc<dyn Clock>,
    /// How long the peer may leave an answer where it is.
    patience: Duration,
    stalled: Option<Sleep>,
    unread: Unread,
    taken: Taken,
    frames: Frames,
    closing: Closing,
}

/// Says that the peer may still be sending when its connection is closed.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

impl Unread {
    /// From now on, closing waits for the peer.
    pub(super) fn expect(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How many octets the peer's system has taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken(Arc<AtomicU64>);

impl Taken {
    /// How many since the last time that somebody asked.
    pub(super) fn lately(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }

    fn more(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = written {
            self.0.fetch_add(*count as u64, Ordering::Relaxed);
        }
    }
}

enum Closing {
    Open,
    Lingering { left: usize, end: Sleep, silence: Sleep },
    Closed,
}

impl<S> Wire<S> {
    pub(super) fn new(inner: S, clock: Arc<dyn Clock>, patience: Duration) -> Self {
        let (unread, taken) = (Unread::default(), Taken::default());
        Self { inner, clock, patience, stalled: None, unread, taken, frames: Frames::default(), closing: Closing::Open }
    }

    pub(super) fn unread(&self) -> Unread {
        self.unread.clone()
    }

    pub(super) fn taken(&self) -> Taken {
        self.taken.clone()
    }

    /// Passes `written` on, unless nothing could be written for too long.
    fn patient<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| self.clock.sleep(self.patience));
        ready!(stalled.as_mut().poll(cx));
        metrics::counter!("lineartime_connections_timed_out_total").increment(1);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Throws away what comes, until the peer closes, is silent, or has sent enough. Errors are an end as well.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scrap = [0; SCRAP];
        loop {
            let mut buffer = ReadBuf::new(&mut scrap);
            let read = Pin::new(&mut self.inner).poll_read(cx, &mut buffer);
            let count = buffer.filled().len();
            let more = match read {
                Poll::Ready(Ok(())) if count > 0 => true,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => false,
            };
            if matches!(self.closing, Closing::Open) {
                if !more && !self.unread.0.load(Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                let (end, silence) = (self.clock.sleep(LONGEST), self.clock.sleep(SILENCE));
                self.closing = Closing::Lingering { left: MOST, end, silence };
            }
            let Closing::Lingering { left, end, silence } = &mut self.closing else { return Poll::Ready(()) };
            if more {
                *left = left.saturating_sub(count);
                *silence = self.clock.sleep(SILENCE);
            }
            if *left == 0 || end.as_mut().poll(cx).is_ready() || silence.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if !more {
                return Poll::Pending;
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let (read, now) = (buffer.filled().get(before..).unwrap_or_default(), self.clock.monotonic());
        if self.frames.note(read, now) {
            return Poll::Ready(Ok(()));
        }
        metrics::counter!("lineartime_connections_flooding_total").increment(1);
        Poll::Ready(Err(io::Error::other("more HTTP/2 frames than anybody needs")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, octets);
        self.taken.more(&written);
        self.patient(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, pieces);
        self.taken.more(&written);
        self.patient(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.patient(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.closing, Closing::Open) {
            let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
            ready!(self.patient(cx, shut))?;
        }
        if !matches!(self.closing, Closing::Closed) {
            ready!(self.linger(cx));
            self.closing = Closing::Closed;
        }
        Poll::Ready(Ok(()))
    }
}

const SCRAP: usize = 16 << 10;
/// Most that is thrown away.
const MOST: usize = 32 << 20;
/// Longest that it takes.
const LONGEST: Duration = Duration::from_secs(10);
/// A peer that sends nothing for so long has nothing more to send.
const SILENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use jiff::Timestamp;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::clock::ManualClock;

    fn wire(buffer: usize) -> (Wire<DuplexStream>, DuplexStream, ManualClock) {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let (ours, theirs) = duplex(buffer);
        (Wire::new(ours, Arc::new(clock.clone()), Duration::from_mins(1)), theirs, clock)
    }

    #[tokio::test]
    async fn a_connection_without_more_to_come_closes_at_once() {
        let (mut wire, _peer, _clock) = wire(64);
        wire.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn what_a_peer_still_sends_is_read_before_the_end() {
        let (mut wire, mut peer, _clock) = wire(64);
        wire.unread().expect();
        let close = wire.shutdown();
        tokio::pin!(close);
        assert!(poll!(&mut close).is_pending());
        let send = async {
            peer.write_all(&vec![7; 100_000]).await.unwrap();
            // The end of our side reached it meanwhile.
            assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
            drop(peer);
        };
        let (closed, ()) = tokio::join!(close, send);
        closed.unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_neither_sends_nor_closes_is_left() {
        let (mut wire, _peer, clock) = wire(64);
        wire.unread().expect();
        let close = wire.shutdown();
        tokio::pin!(close);
        assert!(poll!(&mut close).is_pending());
        clock.advance(SILENCE);
        close.await.unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_sends_for_ever_is_left() {
        let (mut wire, mut peer, _clock) = wire(1 << 20);
        wire.unread().expect();
        let send = tokio::spawn(async move { while peer.write_all(&vec![7; 1 << 20]).await.is_ok() {} });
        wire.shutdown().await.unwrap();
        drop(wire);
        send.await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_ends_the_connection() {
        let (mut wire, _peer, clock) = wire(4);
        let write = wire.write_all(b"longer than four");
        tokio::pin!(write);
        assert!(poll!(&mut write).is_pending());
        clock.advance(Duration::from_secs(61));
        assert_eq!(write.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
