//! The accept loop: takes connections, bounds them, hands them to hyper, and stops in good order.
//!
//! hyper has no limit of its own on connections, on the time to a first request, or on what happens when file
//! descriptors run out; all of that is here. Between accepting (or the end of the TLS handshake) and the first complete
//! request head lies one deadline, which covers silence, a slow preface and slow header fields alike.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::config::Config;
use super::limit::{Addresses, Seat, within};
use super::peer::Peer;
use super::router::Router;
use super::tls::{Certificate, TlsError};
use super::wire::Wire;
use crate::clock::Clock;

/// Why the server could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address can't be listened on.
    #[error("can't listen on {address}: {source}{}", hint(.source))]
    Address {
        /// Which one.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate can't be used.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
}

/// A server that holds its port and has not begun to answer.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    certificate: Option<Arc<Certificate>>,
    shared: Shared,
}

/// What every connection needs.
#[derive(Clone, Debug)]
struct Shared {
    router: Arc<Router>,
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    addresses: Arc<Addresses>,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

/// What a connection occupies while it is open.
struct Held {
    _place: OwnedSemaphorePermit,
    _seat: Option<Seat>,
}

impl Server {
    /// Takes the port and reads the certificate.
    pub async fn bind(router: Arc<Router>, config: Config, clock: Arc<dyn Clock>) -> Result<Self, ListenError> {
        let address = config.listen;
        let listener = TcpListener::bind(address).await.map_err(|source| ListenError::Address { address, source })?;
        let certificate = match config.tls.clone() {
            Some(files) => Some(Arc::new(Certificate::load(files).await?)),
            None => None,
        };
        let shared = Shared {
            router,
            places: Arc::new(Semaphore::new(config.max_connections)),
            config: Arc::new(config),
            clock,
            addresses: Arc::default(),
            refusals: Arc::new(Semaphore::new(64)),
        };
        Ok(Self { listener, certificate, shared })
    }

    /// Where it listens (the port, when it was left to the system).
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` resolves, then lets open requests finish within the configured grace.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let graceful = GracefulShutdown::new();
        {
            let mut stop = pin!(stop);
            let mut watch = pin!(watch(self.certificate.clone(), self.shared.clock.clone()));
            let mut pause = FIRST_PAUSE;
            loop {
                let accepted = tokio::select! {
                    () = &mut stop => break,
                    () = &mut watch => continue,
                    accepted = self.listener.accept() => accepted,
                };
                match accepted {
                    Ok((stream, address)) => {
                        pause = FIRST_PAUSE;
                        self.admit(stream, address, &graceful);
                    }
                    Err(error) if concerns_one_connection(&error) => {}
                    Err(error) => {
                        // Out of file descriptors or memory: trying again at once would only burn the processor.
                        tracing::warn!(%error, "no connection can be accepted for now");
                        self.shared.clock.sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
        }
        drop(self.listener);
        let grace = self.shared.config.shutdown_grace;
        if within(&*self.shared.clock, grace, graceful.shutdown()).await.is_none() {
            tracing::warn!("some requests were cut off: they took longer than the grace at stopping");
        }
    }

    fn admit(&self, stream: TcpStream, address: SocketAddr, graceful: &GracefulShutdown) {
        let shared = self.shared.clone();
        let tls = self.certificate.as_ref().map(|certificate| certificate.acceptor());
        let Some(held) = shared.room_for(address) else {
            metrics::counter!("lineartime_connections_refused_total").increment(1);
            shared.refuse(stream, tls.is_some());
            return;
        };
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            // Small answers must not wait for more; failing to say so costs time only.
            let _ok = stream.set_nodelay(true).is_ok();
            let open = metrics::gauge!("lineartime_connections_open");
            open.increment(1.0);
            match tls {
                None => shared.connection(stream, Peer { address, tls: false }, watcher).await,
                Some(acceptor) => {
                    let shaken = within(&*shared.clock, shared.config.header_timeout, acceptor.accept(stream)).await;
                    if let Some(Ok(stream)) = shaken {
                        shared.connection(stream, Peer { address, tls: true }, watcher).await;
                    }
                }
            }
            open.decrement(1.0);
            drop(held);
        });
    }
}

impl Shared {
    fn room_for(&self, address: SocketAddr) -> Option<Held> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let ip = address.ip();
        let seat = if self.config.trusted_proxies.iter().any(|proxy| proxy.contains(ip)) {
            None
        } else {
            Some(self.addresses.take(ip, self.config.max_connections_per_address)?)
        };
        Some(Held { _place: place, _seat: seat })
    }

    /// Says in plain HTTP that there is no room, if that costs little. Over TLS the connection just ends.
    fn refuse(&self, mut stream: TcpStream, tls: bool) {
        let Ok(permit) = self.refusals.clone().try_acquire_owned() else { return };
        if tls {
            return;
        }
        let clock = self.clock.clone();
        tokio::spawn(async move {
            let talk = async {
                stream.write_all(NO_ROOM).await?;
                stream.shutdown().await?;
                // Closing over unread octets would make the system throw away the answer.
                let mut sink = [0; 1024];
                while stream.read(&mut sink).await? > 0 {}
                io::Result::Ok(())
            };
            let _told = within(&*clock, Duration::from_secs(1), talk).await.is_some();
            drop(permit);
        });
    }

    async fn connection<S>(self, stream: S, peer: Peer, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let begun = Arc::new(Notify::new());
        let stream = Wire::new(stream, self.clock.clone(), self.config.request_timeout);
        let service = {
            let (router, begun, unread) = (self.router.clone(), begun.clone(), stream.unread());
            hyper::service::service_fn(move |request| {
                begun.notify_one();
                let (router, unread) = (router.clone(), unread.clone());
                async move {
                    let response = router.answer(peer, request).await;
                    if response.headers().contains_key(CONNECTION) {
                        unread.expect();
                    }
                    Ok::<_, Infallible>(response)
                }
            })
        };
        let builder = self.builder();
        let connection = watcher.watch(builder.serve_connection(TokioIo::new(stream), service));
        let mut connection = pin!(connection);
        tokio::select! {
            ended = &mut connection => return log_end(&ended),
            () = begun.notified() => {}
            () = self.clock.sleep(self.config.header_timeout) => {
                metrics::counter!("lineartime_connections_timed_out_total").increment(1);
                return;
            }
        }
        log_end(&connection.await);
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let config = &self.config;
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
            .max_concurrent_streams(64)
            .max_header_list_size(header_bytes)
            .keep_alive_interval(config.keep_alive)
            .keep_alive_timeout(Duration::from_secs(20));
        builder
    }
}

async fn watch(certificate: Option<Arc<Certificate>>, clock: Arc<dyn Clock>) {
    match certificate {
        Some(certificate) => certificate.watch(&*clock).await,
        None => std::future::pending().await,
    }
}

/// Errors of accept(2) that say something about that one connection, not about the listener.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn log_end<E: std::fmt::Display>(ended: &Result<(), E>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => " (another program has this port; stop it or set server.listen)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need a right; set server.listen to a higher one)",
        io::ErrorKind::AddrNotAvailable => " (this machine has no such address; set server.listen)",
        _ => "",
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nContent-Type: text/plain\r\n\
Content-Length: 26\r\nConnection: close\r\n\r\nToo many open connections\n";
