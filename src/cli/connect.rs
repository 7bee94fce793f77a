//! `account connect`: prints a link, and waits until somebody has signed in there.
//!
//! With a server the browser comes back to it. Without one the command listens on loopback itself (RFC 8252 7.3). In both
//! cases, and where the browser is on another machine, the address that it ended at can be pasted.

use std::io::BufRead as _;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::admin::{self, Answer, Failure, Password, Request};
use super::args::Provider;
use crate::account::oauth::OAuthService;
use crate::app::{self, Gateway, socket};
use crate::config::Config;

/// What is to be connected.
pub(super) struct Wish {
    pub(super) user: String,
    pub(super) service: OAuthService,
    pub(super) device: bool,
    pub(super) label: Option<String>,
}

/// The service of a provider that signs in by itself.
pub(super) fn service(provider: Provider) -> Result<OAuthService, Failure> {
    match provider {
        Provider::Google => Ok(OAuthService::Google),
        Provider::Microsoft => Ok(OAuthService::Microsoft),
        _ => Err(Failure("this provider signs in with a password: `lineartime account add`".to_owned())),
    }
}

/// Who has the store.
#[expect(clippy::large_enum_variant, reason = "made once for a command")]
enum Owner {
    Server(Config),
    Here(Box<Gateway>),
}

impl Owner {
    async fn ask(&self, request: Request) -> Result<Answer, Failure> {
        match self {
            Self::Here(gateway) => admin::execute(gateway, request, &|_| {}).await,
            Self::Server(config) => match socket::ask(&app::socket_path(config), &request, &|_| {}).await {
                Some(answer) => answer,
                None => Err(Failure("the server has stopped; run the command again".to_owned())),
            },
        }
    }
}

/// Connects an account.
pub(super) async fn connect(config: Config, wish: Wish, json: bool) -> Result<Answer, Failure> {
    let has_server = super::ready(&config).await.is_ok();
    let owner = if has_server { Owner::Server(config) } else { Owner::Here(Box::new(Gateway::open(config).await?)) };
    let done = run(&owner, wish, json).await;
    if let Owner::Here(gateway) = owner {
        gateway.close().await?;
    }
    done
}

async fn run(owner: &Owner, wish: Wish, json: bool) -> Result<Answer, Failure> {
    let listener = match owner {
        Owner::Here(_) if !wish.device => Some(TcpListener::bind("127.0.0.1:0").await?),
        _ => None,
    };
    let redirect = listener.as_ref().and_then(|listener| {
        // Microsoft knows loopback by its name alone, Google by its number.
        let host = if wish.service == OAuthService::Google { "127.0.0.1" } else { "localhost" };
        Some(format!("http://{host}:{}/oauth/{}/callback", listener.local_addr().ok()?.port(), wish.service.name()))
    });
    let Wish { user, service, device, label } = wish;
    let begun = owner.ask(Request::AccountConnect { user, service, device, label, redirect }).await?;
    let id = begun.document.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    tell(begun.text.as_deref().unwrap_or_default(), json)?;
    let mut pasted = lines();
    let waiting = owner.ask(Request::AccountConnectWait { id, device });
    tokio::pin!(waiting);
    loop {
        let answer = tokio::select! {
            done = &mut waiting => return done,
            Some(line) = pasted.recv() => line,
            Some(target) = returned(listener.as_ref()) => target,
        };
        if let Err(Failure(why)) = owner.ask(Request::AccountConnectAnswer { answer: Password(answer) }).await {
            eprintln!("lineartime: {why}");
        }
    }
}

/// The link goes where people read: with `--json` stdout is for the document alone.
#[expect(clippy::print_stdout, reason = "whoever waits for the link reads it there, before the command ends")]
fn tell(text: &str, json: bool) -> Result<(), Failure> {
    if json {
        eprintln!("{text}");
    } else {
        println!("{text}");
        std::io::Write::flush(&mut std::io::stdout())?;
        eprintln!("lineartime: open this, sign in, and come back; or paste the address that the browser ends at");
    }
    Ok(())
}

/// The lines of standard input, as they come. The thread ends with the process.
fn lines() -> mpsc::Receiver<Zeroizing<String>> {
    let (told, heard) = mpsc::channel(4);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if !line.trim().is_empty() && told.blocking_send(Zeroizing::new(line)).is_err() {
                return;
            }
        }
    });
    heard
}

/// What a browser asks of the command's own address.
async fn returned(listener: Option<&TcpListener>) -> Option<Zeroizing<String>> {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        let (mut stream, _) = listener.accept().await.ok()?;
        let target = target(&mut stream).await;
        let text = if target.is_some() { "Done. You can close this page." } else { "Nothing is here." };
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        );
        drop(stream.write_all(answer.as_bytes()).await);
        if target.is_some() {
            return target;
        }
    }
}

async fn target(stream: &mut TcpStream) -> Option<Zeroizing<String>> {
    let mut head = Zeroizing::new(Vec::new());
    let mut piece = [0; 1024];
    while !head.windows(2).any(|end| end == b"\r\n") && head.len() < LONGEST {
        match stream.read(&mut piece).await.ok()? {
            0 => return None,
            read => head.extend_from_slice(piece.get(..read)?),
        }
    }
    let line = std::str::from_utf8(&head).ok()?.lines().next()?;
    let target = line.strip_prefix("GET ")?.split(' ').next()?;
    target.contains("state=").then(|| Zeroizing::new(target.to_owned()))
}

const LONGEST: usize = 16 << 10;
