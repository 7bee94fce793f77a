//! A gateway to look at, with three accounts that live: `demo [--every SECONDS]`. It ends with Ctrl-C and leaves nothing behind.

#![expect(clippy::print_stdout, reason = "it tells the person in front of it where to look")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use conformance::demo::{Demo, Needs};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<()> {
    let every = every(std::env::args().skip(1))?;
    let stopping = asked_to_stop();
    tokio::pin!(stopping);
    let parent = TempDir::new()?;
    let mut demo = tokio::select! {
        asked = &mut stopping => return asked,
        demo = begin(parent.path()) => demo?,
    };
    println!(
        "\n{}\n\nEvery {} s something changes at a provider. Ctrl-C ends all of it.\n",
        demo.told(),
        every.as_secs_f64()
    );
    let mut ticks = tokio::time::interval(every);
    ticks.tick().await;
    let lived = loop {
        tokio::select! {
            asked = &mut stopping => break asked,
            _ = ticks.tick() => match demo.step().await {
                Ok(said) => println!("{said}"),
                Err(error) => break Err(error),
            },
        }
    };
    demo.stop().await?;
    lived
}

fn every(mut arguments: impl Iterator<Item = String>) -> Result<Duration> {
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (None, ..) => Ok(Duration::from_secs(5)),
        (Some("--every"), Some(seconds), None) => {
            let seconds: f64 = seconds.parse().context("--every needs a number of seconds")?;
            ensure!((0.1..86_400.0).contains(&seconds), "--every needs a number of seconds, from 0.1 on");
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => bail!("usage: demo [--every SECONDS]"),
    }
}

/// Ends when Ctrl-C is pressed, or somebody ends this program in good order.
async fn asked_to_stop() -> Result<()> {
    let mut ended = signal(SignalKind::terminate())?;
    tokio::select! {
        asked = tokio::signal::ctrl_c() => asked?,
        _ = ended.recv() => {}
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the calendars lie around the real day")]
async fn begin(parent: &Path) -> Result<Demo> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate is in the repository")?;
    let (binary, venv) = (binary(root).await?, venv(root).await?);
    let simulate_google = root.join("conformance/simulate-google");
    println!("Starting the accounts, and the gateway that reads them …");
    let needs = Needs { binary: &binary, venv: &venv, simulate_google: &simulate_google, parent };
    Demo::start(needs, jiff::Zoned::now().date()).await
}

/// The gateway's program, built if it is not there.
async fn binary(root: &Path) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("LINEARTIME_BINARY") {
        return Ok(named.into());
    }
    let binary = root.join("target/release/lineartime");
    if !binary.exists() {
        println!("Building the gateway, which takes some minutes …");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut build = Command::new(cargo);
        build.args(["build", "--release", "--package", "lineartime"]).current_dir(root);
        ensure!(build.status().await?.success(), "the gateway could not be built");
        ensure!(binary.exists(), "the gateway was not built at {}; name it by LINEARTIME_BINARY", binary.display());
    }
    Ok(binary)
}

/// The virtual environment with Radicale, made if it is not there.
async fn venv(root: &Path) -> Result<PathBuf> {
    let venv = root.join("target/conformance/venv");
    if !venv.join("bin/python").exists() {
        println!("Getting Radicale from PyPI …");
        let mut making = Command::new("python3");
        making.arg(root.join("conformance/run")).arg("--venv");
        let made = making.status().await.context("the accounts need Python 3 (python3)")?;
        ensure!(made.success(), "the virtual environment could not be made: conformance/run --venv says why");
    }
    Ok(venv)
}
