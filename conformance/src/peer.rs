//! Other CalDAV servers as peers: started with a folder of their own, and filled from behind, since through their
//! front it would take hours.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::seed::{Spread, event};
use crate::server::{PASSWORD, USER, free_address, wait_until_answers};

/// The servers from `PyPI`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Radicale: files in folders.
    Radicale,
    /// Xandikos: a git repository. It asks nobody for a password.
    Xandikos,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Radicale, Self::Xandikos];

    /// Its name on `PyPI`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Radicale => "radicale",
            Self::Xandikos => "xandikos",
        }
    }

    /// The path of its one calendar.
    pub fn collection(self) -> &'static str {
        match self {
            Self::Radicale => "/ana/work/",
            Self::Xandikos => "/ana/calendars/calendar/",
        }
    }

    /// The path of the calendar's home.
    pub fn home(self) -> &'static str {
        match self {
            Self::Radicale => "/ana/",
            Self::Xandikos => "/ana/calendars/",
        }
    }
}

/// A running peer. It is killed when dropped.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    /// Goes with it.
    folder: TempDir,
    /// `address:port`.
    pub host: String,
}

impl Peer {
    /// Starts it from the virtual environment `venv` with `events` events in its calendar.
    pub async fn start(kind: Kind, venv: &Path, parent: &Path, events: u32, spread: Spread) -> Result<Self> {
        let folder = TempDir::new_in(parent)?;
        let host = free_address()?;
        let child = match kind {
            Kind::Radicale => {
                let calendar = folder.path().join("collection-root/ana/work");
                fs::create_dir_all(&calendar)?;
                fs::write(calendar.join(".Radicale.props"), "{\"tag\": \"VCALENDAR\"}")?;
                fill(&calendar, events, spread)?;
                radicale(venv, folder.path(), &host)?
            }
            Kind::Xandikos => xandikos(venv, folder.path(), &host)?,
        };
        let peer = Self { child, folder, host };
        wait_until_answers(&peer.host, "/").await?;
        if kind == Kind::Xandikos {
            let calendar = peer.folder.path().join("data").join("ana/calendars/calendar");
            fill(&calendar, events, spread)?;
            git(&calendar, &["add", "."]).await?;
            git(&calendar, &["-c", "user.name=seed", "-c", "user.email=seed@example.org", "commit", "-qm", "seed"])
                .await?;
        }
        Ok(peer)
    }

    /// Ends it, and waits until it has ended.
    pub async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// The number of the process.
    pub fn process(&self) -> Result<u32> {
        self.child.id().context("the peer has ended")
    }
}

/// A server that somebody else has started, as a file describes it.
///
/// ```toml
/// name = "cyrus"
/// host = "127.0.0.1:8080"
/// user = "ana"
/// password = "secret"
/// home = "/dav/calendars/user/ana/"
/// collection = "/dav/calendars/user/ana/Work/"
/// process = 4711                  # to see what processor time and memory it takes; may be left out
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Described {
    /// What the table calls it.
    pub name: String,
    /// `address:port`; plain HTTP.
    pub host: String,
    /// Who asks.
    pub user: String,
    /// Their password.
    pub password: String,
    /// The path of the calendar's home.
    pub home: String,
    /// The path of a calendar that is empty.
    pub collection: String,
    /// Its process.
    pub process: Option<u32>,
}

impl Described {
    /// Reads such a file.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        toml::from_str(&text).with_context(|| format!("{} describes no server", file.display()))
    }
}

/// What the virtual environment says that it has.
pub async fn version(venv: &Path, kind: Kind) -> Result<String> {
    let program = format!("import importlib.metadata as m; print(m.version('{}'))", kind.name());
    let said = Command::new(venv.join("bin/python")).args(["-c", &program]).output().await?;
    ensure!(said.status.success(), "{} is not installed in {}", kind.name(), venv.display());
    Ok(String::from_utf8(said.stdout)?.trim().to_owned())
}

fn radicale(venv: &Path, folder: &Path, host: &str) -> Result<Child> {
    let users = folder.join("users");
    fs::write(&users, format!("{USER}:{PASSWORD}\n"))?;
    let mut command = Command::new(venv.join("bin/python"));
    command.args(["-m", "radicale", "--config", "", "--server-hosts", host, "--storage-filesystem-folder"]).arg(folder);
    command.args(["--auth-type", "htpasswd", "--auth-htpasswd-encryption", "plain", "--auth-htpasswd-filename"]);
    command.arg(users).args(["--auth-delay", "0", "--server-max-connections", "200", "--logging-level", "warning"]);
    spawn(command)
}

fn xandikos(venv: &Path, folder: &Path, host: &str) -> Result<Child> {
    let (address, port) = host.rsplit_once(':').context("an address with a port")?;
    let mut command = Command::new(venv.join("bin/xandikos"));
    command.args(["serve", "--listen-address", address, "--port", port, "--current-user-principal", "/ana/"]);
    command.args(["--defaults", "--no-detect-systemd", "--directory"]).arg(folder.join("data"));
    command.arg("--state-dir").arg(folder.join("state"));
    spawn(command)
}

fn spawn(mut command: Command) -> Result<Child> {
    Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()?)
}

fn fill(calendar: &Path, events: u32, spread: Spread) -> Result<()> {
    for n in 0..events {
        let (name, text) = event(n, spread);
        fs::write(calendar.join(name), text)?;
    }
    Ok(())
}

async fn git(folder: &Path, arguments: &[&str]) -> Result<()> {
    let done = Command::new("git").arg("-C").arg(folder).args(arguments).stdout(Stdio::null()).status().await?;
    ensure!(done.success(), "git {} failed", arguments.join(" "));
    Ok(())
}
