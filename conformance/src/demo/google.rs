//! The simulator of Google Calendar as a child, and its owner at work in the web interface.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A running simulator. It ends with its input, and so with whoever started it.
#[derive(Debug)]
pub(super) struct Google {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// The settings of a gateway that has it for Google.
    pub(super) settings: BTreeMap<String, String>,
}

impl Google {
    /// Starts `program` with `python`.
    pub(super) async fn start(python: &Path, program: &Path) -> Result<Self> {
        let mut child = Command::new(python)
            .arg(program)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let input = child.stdin.take().context("a pipe")?;
        let mut output = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        let first = output.next_line().await?.context("the simulator of Google did not start")?;
        Ok(Self { child, input, output, settings: serde_json::from_str(&first)? })
    }

    /// Makes an event, or changes the one with this `id`.
    pub(super) async fn write(&mut self, id: Option<&str>, mut event: Value) -> Result<String> {
        if let (Some(id), Some(members)) = (id, event.as_object_mut()) {
            members.insert("id".to_owned(), json!(id));
        }
        self.ask(&json!({"put": event})).await
    }

    /// Takes an event away.
    pub(super) async fn remove(&mut self, id: &str) -> Result<()> {
        self.ask(&json!({"remove": id})).await.map(drop)
    }

    /// Ends it, and waits until it has ended.
    pub(super) async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    async fn ask(&mut self, what: &Value) -> Result<String> {
        self.input.write_all(format!("{what}\n").as_bytes()).await?;
        let answer = self.output.next_line().await?.context("the simulator of Google has ended")?;
        Ok(serde_json::from_str(&answer)?)
    }
}
