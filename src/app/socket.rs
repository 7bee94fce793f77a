//! The admin socket: how a command reaches the process that owns the store.
//!
//! A Unix socket in the data folder, for its owner alone: whoever can open it could read the store as well. One
//! request is one line of JSON; the answer is lines of JSON, progress first and the end last. A client that goes away
//! ends what it asked for.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Gateway;
use crate::cli::admin::{self, Answer, Failure, Listener, Progress, Request};

/// What the server says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Frame {
    Progress(Progress),
    Done(Answer),
    Failed(String),
}

/// Longer than any file that is imported.
const LONGEST: u64 = 256 << 20;
/// Progress is told this often at most.
const BEAT: Duration = Duration::from_millis(100);

/// The most that a socket's address holds, with the NUL at its end (unix(7): 108 on Linux, 104 on BSD and macOS).
const ADDRESS: usize = 104;

/// A socket's address: its path, or on Linux a short one through the open folder where the path is too long for one.
struct Address {
    path: PathBuf,
    _folder: Option<fs::File>,
}

impl Address {
    fn of(path: &Path) -> io::Result<Self> {
        if cfg!(target_os = "linux")
            && path.as_os_str().len() >= ADDRESS
            && let (Some(folder), Some(name)) = (path.parent(), path.file_name())
        {
            let folder = fs::File::open(folder)?;
            let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
            return Ok(Self { path, _folder: Some(folder) });
        }
        Ok(Self { path: path.to_owned(), _folder: None })
    }
}

/// The server's end.
#[derive(Debug)]
pub(super) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Listens at `path`. Whatever lies there is left over: the store's lock says that no other server runs.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let address = Address::of(path)?;
        let listener = UnixListener::bind(&address.path)?;
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers commands until `stop`; those under way are given up then.
    pub(super) async fn serve(self, gateway: Arc<Gateway>, mut stop: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                () = async { drop(stop.wait_for(|stop| *stop).await) } => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let gateway = Arc::clone(&gateway);
                        running.spawn(async move { converse(&gateway, stream).await });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a command could not be accepted");
                        gateway.clock.sleep(BEAT).await;
                    }
                },
                Some(_) = running.join_next() => {}
            }
        }
        running.shutdown().await;
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the admin socket could not be removed");
        }
    }
}

/// One command. Nothing is logged when the client has gone: that is how people stop a command.
async fn converse(gateway: &Gateway, stream: UnixStream) {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(LONGEST));
    if read.read_line(&mut line).await.is_err() {
        return;
    }
    let Ok(request) = serde_json::from_str::<Request>(&line) else {
        let why = "the server does not know this command; is it of another version?".to_owned();
        drop(send(&mut write, &Frame::Failed(why)).await);
        return;
    };
    zeroize::Zeroize::zeroize(&mut line);
    let (told, mut heard) = watch::channel(None::<Progress>);
    let listener = move |progress| drop(told.send_replace(Some(progress)));
    let work = admin::execute(gateway, request, &listener);
    tokio::pin!(work);
    let mut rest = [0; 1];
    let end = loop {
        tokio::select! {
            end = &mut work => break end,
            gone = read.read(&mut rest) => match gone {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            },
            Ok(()) = heard.changed() => {
                let progress = heard.borrow_and_update().clone();
                if let Some(progress) = progress && send(&mut write, &Frame::Progress(progress)).await.is_err() {
                    return;
                }
                // Further progress meanwhile becomes one line; the work itself is not held up by this wait.
                tokio::select! {
                    end = &mut work => break end,
                    () = gateway.clock.sleep(BEAT) => {}
                }
            }
        }
    };
    let end = match end {
        Ok(answer) => Frame::Done(answer),
        Err(Failure(why)) => Frame::Failed(why),
    };
    drop(send(&mut write, &end).await);
}

async fn send(write: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    let mut line = serde_json::to_vec(frame)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    write.flush().await
}

/// Asks the server at `path`; `None` when none listens there.
pub(crate) async fn ask(path: &Path, request: &Request, progress: &Listener) -> Option<Result<Answer, Failure>> {
    let address = Address::of(path).ok()?;
    let stream = UnixStream::connect(&address.path).await.ok()?;
    Some(talk(stream, request, progress).await)
}

async fn talk(stream: UnixStream, request: &Request, progress: &Listener) -> Result<Answer, Failure> {
    let (read, mut write) = stream.into_split();
    let mut line = zeroize::Zeroizing::new(serde_json::to_vec(request)?);
    line.push(b'\n');
    write.write_all(&line).await?;
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str::<Frame>(&line)? {
            Frame::Progress(told) => progress(told),
            Frame::Done(answer) => return Ok(answer),
            Frame::Failed(why) => return Err(Failure(why)),
        }
    }
    Err(Failure("the server stopped before it had answered; run the command again".to_owned()))
}
