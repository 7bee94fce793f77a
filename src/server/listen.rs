//! The accept loop: takes connections, finds places for them, and stops in good order.
//!
//! hyper has no limit of its own on connections or on what happens when file descriptors run out; all of that is here
//! and in `crowd`. What one connection may do is in `connection`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::config::Config;
use super::connection::Connection;
use super::crowd::Crowd;
use super::limit::within;
use super::peer::Peer;
use super::router::Router;
use super::tls::{Certificate, TlsError};
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
    crowd: Arc<Crowd>,
    refusals: Arc<Semaphore>,
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
            crowd: Arc::new(Crowd::new(clock.clone(), config.max_connections, config.max_connections_per_address)),
            config: Arc::new(config),
            clock,
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
        let (stopping, _) = watch::channel(false);
        let open = TaskTracker::new();
        {
            let mut stop = pin!(stop);
            let mut watch = pin!(watch_certificate(self.certificate.clone(), self.shared.clock.clone()));
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
                        self.admit(stream, address, &open, stopping.subscribe());
                    }
                    Err(error) if concerns_one_connection(&error) => {}
                    Err(error) => {
                        // Out of file descriptors or memory: trying again at once would only burn the processor.
                        tracing::warn!(%error, "no connection can be accepted for now");
                        metrics::counter!("lineartime_accept_errors_total").increment(1);
                        self.shared.crowd.dismiss_one();
                        self.shared.clock.sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
        }
        drop(self.listener);
        stopping.send_replace(true);
        open.close();
        let grace = self.shared.config.shutdown_grace;
        if within(&*self.shared.clock, grace, open.wait()).await.is_none() {
            tracing::warn!("some requests were cut off: they took longer than the grace at stopping");
        }
    }

    fn admit(&self, stream: TcpStream, address: SocketAddr, open: &TaskTracker, stop: watch::Receiver<bool>) {
        let shared = &self.shared;
        let tls = self.certificate.as_ref().map(|certificate| certificate.acceptor());
        let Some(seat) = shared.crowd.enter(shared.counted(address.ip())) else {
            metrics::counter!("lineartime_connections_refused_total").increment(1);
            return shared.refuse(stream, tls.is_some());
        };
        let (router, config, clock) = (shared.router.clone(), shared.config.clone(), shared.clock.clone());
        let connection = Connection { router, config, clock, seat, stop };
        open.spawn(async move {
            // Small answers must not wait for more; failing to say so costs time only.
            let _ok = stream.set_nodelay(true).is_ok();
            let open = metrics::gauge!("lineartime_connections_open");
            open.increment(1.0);
            connection.run(stream, Peer { address, tls: false }, tls).await;
            open.decrement(1.0);
        });
    }
}

impl Shared {
    /// The address that a connection counts for. Proxies and this machine itself stand for many people.
    fn counted(&self, address: IpAddr) -> Option<IpAddr> {
        let stands_for_many = address.to_canonical().is_loopback()
            || self.config.trusted_proxies.iter().any(|proxy| proxy.contains(address));
        (!stands_for_many).then_some(address)
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
}

async fn watch_certificate(certificate: Option<Arc<Certificate>>, clock: Arc<dyn Clock>) {
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
