//! One connection from its acceptance to its end.
//!
//! Between accepting (or the end of the TLS handshake) and the first complete request head lies one deadline, which
//! covers silence, a slow preface and slow header fields alike. From then on a connection ends when it has rested for
//! too long, when nobody takes its answers, when its place is needed, or when the server stops; in all but the second
//! case HTTP says so first.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::{self, Builder};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

use super::config::Config;
use super::crowd::{Attended, Look, Pass, Seat};
use super::limit::within;
use super::peer::Peer;
use super::router::Router;
use super::wire::{Taken, Unread, Wire};
use crate::clock::Clock;

/// A peer that has a place.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) router: Arc<Router>,
    pub(super) config: Arc<Config>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seat: Seat,
    /// Whether the server stops.
    pub(super) stop: watch::Receiver<bool>,
}

/// Why a connection is to end.
enum End {
    /// Nobody took its answers.
    Stuck,
    /// It has rested for too long, or gives way.
    Leave,
    /// The server stops, and bounds the rest itself.
    Stop,
}

type Served<S> = auto::Connection<'static, TokioIo<Wire<S>>, Answering, TokioExecutor>;

impl Connection {
    /// Shakes hands if need be, and serves.
    pub(super) async fn run(self, stream: TcpStream, mut peer: Peer, tls: Option<TlsAcceptor>) {
        let Some(acceptor) = tls else { return self.serve(stream, peer).await };
        peer.tls = true;
        let mut stop = self.stop.clone();
        let shaken = tokio::select! {
            shaken = within(&*self.clock, self.config.header_timeout, acceptor.accept(stream)) => shaken,
            () = self.seat.dismissed() => None,
            () = stopped(&mut stop) => None,
        };
        if let Some(Ok(stream)) = shaken {
            self.serve(stream, peer).await;
        }
    }

    async fn serve<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = Wire::new(stream, self.clock.clone(), self.config.request_timeout);
        let (begun, taken) = (Arc::new(Notify::new()), stream.taken());
        let answering = Answering {
            router: self.router.clone(),
            begun: begun.clone(),
            unread: stream.unread(),
            pass: self.seat.pass(),
            peer,
        };
        let builder = builder(&self.config);
        let mut stop = self.stop.clone();
        let mut served: Pin<&mut Served<S>> =
            pin!(builder.serve_connection(TokioIo::new(stream), answering).into_owned());
        tokio::select! {
            ended = &mut served => return log_end(&ended),
            () = begun.notified() => {}
            () = self.seat.dismissed() => return,
            () = stopped(&mut stop) => return,
            () = self.clock.sleep(self.config.header_timeout) => {
                metrics::counter!("lineartime_connections_timed_out_total").increment(1);
                return;
            }
        }
        let end = tokio::select! {
            ended = &mut served => return log_end(&ended),
            () = self.seat.dismissed() => End::Leave,
            () = stopped(&mut stop) => End::Stop,
            end = self.over(&taken) => end,
        };
        self.finish(served, end, &taken).await;
    }

    /// Watches how the connection spends its time; resolves when it is to end.
    async fn over(&self, taken: &Taken) -> End {
        let (rest, patience) = (self.config.keep_alive, self.patience());
        let mut pause = rest;
        loop {
            self.clock.sleep(pause).await;
            let slow = is_slow(taken, pause);
            pause = match self.seat.look() {
                Look::Resting(long) if long < rest => rest.saturating_sub(long),
                Look::Working(long) if long < patience => patience.saturating_sub(long).min(rest),
                Look::Resting(_) if slow => return End::Leave,
                Look::Working(_) if slow => return End::Stuck,
                Look::Resting(_) => rest,
                Look::Working(_) => {
                    self.seat.moved();
                    rest
                }
            };
        }
    }

    async fn finish<S>(&self, mut served: Pin<&mut Served<S>>, end: End, taken: &Taken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if !matches!(end, End::Stuck) {
            served.as_mut().graceful_shutdown();
            tokio::select! {
                ended = &mut served => return log_end(&ended),
                () = self.unfinished(&end, taken) => {}
            }
        }
        metrics::counter!("lineartime_connections_timed_out_total").increment(1);
    }

    /// Resolves when what is left of the answers has been waited for long enough.
    async fn unfinished(&self, end: &End, taken: &Taken) {
        if matches!(end, End::Stop) {
            return std::future::pending().await;
        }
        // What was taken before does not count.
        let _before = taken.lately();
        loop {
            self.clock.sleep(self.config.request_timeout).await;
            if is_slow(taken, self.config.request_timeout) {
                return;
            }
        }
    }

    /// A request has its own time to be answered; then the peer has as long to take the answer.
    fn patience(&self) -> Duration {
        2 * self.config.request_timeout
    }
}

/// Whether the peer has taken less than a slow line would carry.
fn is_slow(taken: &Taken, within: Duration) -> bool {
    taken.lately() < SLOWEST * within.as_secs().max(1)
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever could say so is gone: that is a stop as well.
    drop(stop.wait_for(|stop| *stop).await);
}

/// What hyper calls for each request.
struct Answering {
    router: Arc<Router>,
    begun: Arc<Notify>,
    unread: Unread,
    pass: Pass,
    peer: Peer,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response<Attended>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.begun.notify_one();
        let working = self.pass.work();
        let (router, unread, peer) = (self.router.clone(), self.unread.clone(), self.peer);
        Box::pin(async move {
            let response = router.answer(peer, request).await;
            if response.headers().contains_key(CONNECTION) {
                unread.expect();
            }
            Ok(response.map(|body| Attended::new(body, working)))
        })
    }
}

fn builder(config: &Config) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        // A client that has said all it has to say still wants its answer.
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(config.keep_alive)
        .max_headers(config.max_headers)
        .max_buf_size((config.max_header_bytes + config.max_uri).max(16 << 10));
    let header_bytes = u32::try_from(config.max_header_bytes).unwrap_or(u32::MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        // Streams that the peer gave up before we looked at them (CVE-2023-44487), and our own refusals of bad frames.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(64)
        .max_header_list_size(header_bytes)
        .keep_alive_interval(config.keep_alive)
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

fn log_end<E: std::fmt::Display>(ended: &Result<(), E>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// Streams of one HTTP/2 connection.
const STREAMS: u32 = 64;
/// Octets a second.
const SLOWEST: u64 = 1024;
