//! Running as a server: start, serve, stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::socket::AdminSocket;
use super::{Gateway, socket_path};
use crate::cli::admin::Failure;
use crate::config::{Config, LogFormat};
use crate::telemetry;

/// From the signal to the end, whatever hangs.
const STOPS_WITHIN: Duration = Duration::from_millis(9500);

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn serve(config: Config) -> Result<(), Failure> {
    let format = match config.log.format {
        LogFormat::Text => telemetry::Format::Text,
        LogFormat::Json => telemetry::Format::Json,
    };
    telemetry::init(format, &config.log.level)?;
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
    admin: tokio::task::JoinHandle<()>,
}

async fn start(gateway: &Arc<Gateway>) -> Result<Running, Failure> {
    let path = socket_path(&gateway.config);
    let wrong = |error| {
        Failure(format!(
            "the admin socket {} can't be made: {error}; set storage.path to a folder with a shorter path, on a local disk",
            path.display()
        ))
    };
    let socket = AdminSocket::bind(&path).map_err(wrong)?;
    let (stop, stopped) = watch::channel(false);
    let admin = tokio::spawn(socket.serve(Arc::clone(gateway), stopped));
    if gateway.users.is_empty().await? {
        print_setup_link(gateway).await?;
    }
    Ok(Running { stop, admin })
}

impl Running {
    /// First no new requests, then no new jobs, then all is on disk.
    async fn stop(self, gateway: &Gateway) -> Result<(), Failure> {
        self.stop.send_replace(true);
        drop(self.admin.await);
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
