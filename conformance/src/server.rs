//! The release binary as a child, with a folder and a port of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::client::Client;

/// The login of the one user.
pub const USER: &str = "ana";
/// The password of that user.
pub const PASSWORD: &str = "correct horse battery staple";

/// A running gateway. It is killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    folder: TempDir,
    binary: PathBuf,
    /// `address:port`.
    pub host: String,
}

impl Gateway {
    /// Starts `binary` with an empty store below `parent`, and makes the user.
    pub async fn start(binary: &Path, parent: &Path, engine: &str) -> Result<Self> {
        let folder = TempDir::new_in(parent)?;
        let host = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let child = command(binary, folder.path(), &host, engine)
            .arg("serve")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let gateway = Self { child, folder, binary: binary.to_owned(), host };
        gateway.wait_until_ready().await?;
        gateway.add_user(engine).await?;
        Ok(gateway)
    }

    /// A new connection as the user.
    pub async fn connect(&self) -> Result<Client> {
        Client::connect(&self.host, USER, PASSWORD).await
    }

    /// Resident memory in MiB, now and at its highest.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let id = self.child.id().context("the server has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
            Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? / 1024)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    #[expect(clippy::disallowed_methods, reason = "a real process in real time")]
    async fn wait_until_ready(&self) -> Result<()> {
        for _ in 0..200 {
            if let Ok(mut client) = Client::connect(&self.host, "", "").await
                && client.send("GET", "/readyz", &[], "").await.is_ok_and(|answer| answer.status.is_success())
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the server did not become ready")
    }

    async fn add_user(&self, engine: &str) -> Result<()> {
        let mut add = command(&self.binary, self.folder.path(), &self.host, engine)
            .args(["user", "add", USER, "--password-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let mut input = add.stdin.take().context("a pipe")?;
        input.write_all(format!("{PASSWORD}\n").as_bytes()).await?;
        drop(input);
        ensure!(add.wait().await?.success(), "adding the user failed");
        Ok(())
    }
}

fn command(binary: &Path, folder: &Path, host: &str, engine: &str) -> Command {
    let mut command = Command::new(binary);
    command
        .env("LINEARTIME_SERVER__LISTEN", host)
        .env("LINEARTIME_SERVER__PUBLIC_URL", format!("http://{host}"))
        .env("LINEARTIME_STORAGE__PATH", folder.join("data"))
        .env("LINEARTIME_STORAGE__ENGINE", engine);
    command
}
