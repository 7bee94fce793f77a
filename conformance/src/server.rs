//! The release binary as a child, with a folder and a port of its own.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::client::Client;

/// The login of the one user.
pub const USER: &str = "ana";
/// The password of that user.
pub const PASSWORD: &str = "correct horse battery staple";

/// What it says is kept in its folder.
const LOG: &str = "log";

/// How a gateway is started.
#[derive(Clone, Debug)]
pub struct Setting {
    /// `storage.engine`.
    pub engine: String,
    /// Further variables of the environment.
    pub environment: Vec<(String, String)>,
}

impl Setting {
    /// On this engine, and otherwise as usual.
    pub fn on(engine: &str) -> Self {
        Self { engine: engine.to_owned(), environment: Vec::new() }
    }
}

/// A running gateway. It is killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    folder: TempDir,
    binary: PathBuf,
    setting: Setting,
    /// `address:port`.
    pub host: String,
}

impl Gateway {
    /// Starts `binary` with an empty store below `parent`, and makes the user.
    pub async fn start(binary: &Path, parent: &Path, setting: Setting) -> Result<Self> {
        let folder = TempDir::new_in(parent)?;
        let host = free_address()?;
        let child = serve(binary, folder.path(), &host, &setting)?;
        let gateway = Self { child, folder, binary: binary.to_owned(), setting, host };
        gateway.wait_until_ready().await?;
        gateway.add_user().await?;
        Ok(gateway)
    }

    /// Stops in good order and starts again with the same data; says how long it took until the first answer.
    #[expect(clippy::disallowed_methods, reason = "it measures real time")]
    pub async fn restart(&mut self) -> Result<Duration> {
        let id = self.child.id().context("the server has ended")?;
        ensure!(Command::new("kill").arg(id.to_string()).status().await?.success(), "it could not be asked to stop");
        self.child.wait().await?;
        let begun = Instant::now();
        self.child = serve(&self.binary, self.folder.path(), &self.host, &self.setting)?;
        self.wait_until_ready().await?;
        Ok(begun.elapsed())
    }

    /// A new connection as the user.
    pub async fn connect(&self) -> Result<Client> {
        Client::connect(&self.host, USER, PASSWORD).await
    }

    /// The number of the process.
    pub fn process(&self) -> Result<u32> {
        self.child.id().context("the server has ended")
    }

    /// Resident memory in MiB, now and at its highest.
    pub fn memory(&self) -> Result<(u64, u64)> {
        memory(self.process()?)
    }

    /// Lets the highest resident memory be what it is now.
    pub fn forget_peak(&self) -> Result<()> {
        // proc(5): 5 resets the peak.
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.process()?), "5")?)
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let ready = wait_until_answers(&self.host, "/readyz").await;
        ready.with_context(|| {
            let said = std::fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
            format!("the gateway did not start: {}", said.lines().last().unwrap_or_default())
        })
    }

    /// What a command prints that is given `input`; it must succeed.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut running = command(&self.binary, self.folder.path(), &self.host, &self.setting)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut pipe = running.stdin.take().context("a pipe")?;
        pipe.write_all(input.as_bytes()).await?;
        drop(pipe);
        let done = running.wait_with_output().await?;
        let why = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "{} failed: {}", arguments.join(" "), why.trim());
        Ok(String::from_utf8(done.stdout)?)
    }

    /// Ends it, and waits until it has ended.
    pub async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    async fn add_user(&self) -> Result<()> {
        self.run(&["user", "add", USER, "--password-stdin"], &format!("{PASSWORD}\n")).await.map(drop)
    }
}

/// Resident memory of a process in MiB, now and at its highest.
pub fn memory(process: u32) -> Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let field = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? / 1024)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// The processor time that a process has used, and all that it has started, in the system's ticks of 10 ms.
pub fn processor_time(process: u32) -> Result<Duration> {
    let ticks: u64 = family(process)?.iter().filter_map(|one| Stat::of(*one)).map(|stat| stat.ticks).sum();
    ensure!(ticks > 0 || Stat::of(process).is_some(), "the process {process} has ended");
    Ok(Duration::from_millis(ticks * 10))
}

/// A process with its children and theirs.
pub fn family(process: u32) -> Result<Vec<u32>> {
    let numbers = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u32)> = numbers.filter_map(|one| Some((one, Stat::of(one)?.parent))).collect();
    let mut family = vec![process];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(one, _)| *one));
        next += 1;
    }
    Ok(family)
}

/// What of `/proc/*/stat` is needed.
struct Stat {
    parent: u32,
    /// Its own, and those of children that have ended.
    ticks: u64,
}

impl Stat {
    /// `None` once it has ended.
    fn of(process: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
        Some(Self { parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

/// An address that nobody listens on.
pub fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Waits until somebody answers there.
#[expect(clippy::disallowed_methods, reason = "a real process in real time")]
pub async fn wait_until_answers(host: &str, path: &str) -> Result<()> {
    for _ in 0..3_000 {
        if let Ok(mut client) = Client::connect(host, "", "").await
            && client.send("GET", path, &[], "").await.is_ok_and(|answer| !answer.status.is_server_error())
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("the server did not become ready")
}

fn serve(binary: &Path, folder: &Path, host: &str, setting: &Setting) -> Result<Child> {
    command(binary, folder, host, setting)
        .arg("serve")
        .stdout(Stdio::null())
        .stderr(File::options().create(true).append(true).open(folder.join(LOG))?)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))
}

fn command(binary: &Path, folder: &Path, host: &str, setting: &Setting) -> Command {
    let mut command = Command::new(binary);
    command
        .env("LINEARTIME_SERVER__LISTEN", host)
        .env("LINEARTIME_SERVER__PUBLIC_URL", format!("http://{host}"))
        .env("LINEARTIME_LIMITS__MAX_RESOURCES", "2000000")
        .env("LINEARTIME_STORAGE__PATH", folder.join("data"))
        .env("LINEARTIME_STORAGE__ENGINE", &setting.engine)
        .envs(setting.environment.iter().map(|(name, value)| (name, value)));
    command
}
