//! Running as a server: start, serve, stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::socket::AdminSocket;
use super::{Gateway, alerts, edge, housekeeping, process, socket_path, vitals};
use crate::cli::admin::Failure;
use crate::config::{Config, LogFormat};
use crate::failpoint;
use crate::telemetry;

/// From the signal to the end, whatever hangs.
const STOPS_WITHIN: Duration = Duration::from_millis(9500);
/// Leaves time for the store.
const LONGEST_GRACE: Duration = Duration::from_millis(8500);

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn serve(config: Config) -> Result<(), Failure> {
    let format = match config.log.format {
        LogFormat::Text => telemetry::Format::Text,
        LogFormat::Json => telemetry::Format::Json,
    };
    telemetry::init(format, &config.log.level)?;
    process::prepare(config.server.max_connections);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let gateway = Arc::new(Gateway::open(config).await?);
    let started = start(&gateway).await;
    let running = match started {
        Ok(running) => running,
        Err(failure) => {
            // What failed is what the person must hear.
            drop(gateway.close().await);
            return Err(failure);
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    let clock = gateway.clock.clone();
    tokio::select! {
        stopped = running.stop(&gateway) => stopped,
        () = clock.sleep(STOPS_WITHIN) => {
            tracing::warn!("not everything stopped in time; what was acknowledged is safe");
            Ok(())
        }
    }
}

/// What runs, and how to stop it.
struct Running {
    stop: watch::Sender<bool>,
    edge: JoinHandle<()>,
    sync: JoinHandle<()>,
    admin: JoinHandle<()>,
    housekeeping: JoinHandle<()>,
    alerts: JoinHandle<()>,
    vitals: JoinHandle<()>,
    push: JoinHandle<()>,
}

async fn start(gateway: &Arc<Gateway>) -> Result<Running, Failure> {
    let server = edge::bind(gateway).await?;
    let address = server.address()?;
    let path = socket_path(&gateway.config);
    let socket = AdminSocket::bind(&path).map_err(|error| {
        let advice = "set storage.path to a folder with a shorter path, on a local disk";
        Failure(format!("the admin socket {} can't be made: {error}; {advice}", path.display()))
    })?;
    if gateway.users.is_empty().await? {
        print_setup_link(gateway).await?;
    }
    let (stop, stopped) = watch::channel(false);
    let admin = tokio::spawn(socket.serve(Arc::clone(gateway), stopped.clone()));
    let sync = tokio::spawn(Arc::clone(&gateway.sync).work(stopped.clone()));
    let (pushes, till) = (Arc::clone(&gateway.pushes), stopped.clone());
    let push = tokio::spawn(async move { pushes.work(till).await });
    let keeper = Arc::clone(gateway);
    let till = stopped.clone();
    let housekeeping = tokio::spawn(async move { housekeeping::keep(&keeper, till).await });
    let (teller, till) = (Arc::clone(gateway), stopped.clone());
    let alerts = tokio::spawn(async move { alerts::keep(&teller, till).await });
    let (watcher, till) = (Arc::clone(gateway), stopped.clone());
    let vitals = tokio::spawn(async move { vitals::watch(&watcher, till).await });
    let edge = tokio::spawn(server.serve(until(stopped)));
    tracing::info!(%address, public_url = %gateway.config.server.public_url, "serving");
    Ok(Running { stop, edge, sync, admin, housekeeping, alerts, vitals, push })
}

async fn until(mut stopped: watch::Receiver<bool>) {
    drop(stopped.wait_for(|stop| *stop).await);
}

impl Running {
    /// No new requests, no new jobs; what runs has the grace to end; then all is on disk.
    async fn stop(self, gateway: &Gateway) -> Result<(), Failure> {
        self.stop.send_replace(true);
        gateway.stopping.cancel();
        failpoint::reach("shutdown.draining");
        let (edge, sync, admin) = (self.edge.abort_handle(), self.sync.abort_handle(), self.admin.abort_handle());
        let (housekeeping, alerts) = (self.housekeeping.abort_handle(), self.alerts.abort_handle());
        let (vitals, push) = (self.vitals.abort_handle(), self.push.abort_handle());
        let all = async {
            let serving = async { tokio::join!(self.edge, self.sync, self.admin, self.push) };
            tokio::join!(serving, self.housekeeping, self.alerts, self.vitals)
        };
        tokio::select! {
            _ = all => {}
            () = gateway.clock.sleep(gateway.config.server.shutdown_grace.min(LONGEST_GRACE)) => {
                // Their leases end with the process, and the next start takes them over.
                tracing::info!("some work did not end in time; it is done again at the next start");
                for one in [edge, sync, admin, housekeeping, alerts, vitals, push] {
                    one.abort();
                }
            }
        }
        gateway.close().await
    }
}

/// Once, on stdout: whoever starts the first time reads it there.
#[expect(clippy::print_stdout, reason = "the link is a secret, so it is no matter for the log")]
async fn print_setup_link(gateway: &Gateway) -> Result<(), Failure> {
    let link = gateway.users.setup_link().await?;
    let public = gateway.config.server.public_url.as_str().trim_end_matches('/');
    println!("There is no user yet. Make the first administrator here, within 24 hours:");
    println!("{public}/setup/{}", link.token.expose_str().unwrap_or_default());
    Ok(())
}
