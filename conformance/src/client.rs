//! One kept HTTP/1.1 connection with one login.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ETAG, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A connection.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    credentials: String,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The entity tag, if there is one.
    pub etag: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// What a request says beside its method and path.
pub type Headers<'a> = &'a [(&'a str, &'a str)];

impl Client {
    /// Connects to `host` (`address:port`) as `user`.
    pub async fn connect(host: &str, user: &str, password: &str) -> Result<Self> {
        let credentials = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        Ok(Self { sender: open(host).await?, host: host.to_owned(), credentials })
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let response = self.begin(method, path, headers, body.into()).await?;
        let status = response.status();
        let etag = response.headers().get(ETAG).map(HeaderValue::to_str).transpose()?.map(str::to_owned);
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Answer { status, etag, body })
    }

    /// A REPORT or PROPFIND that must answer 207: its body piece by piece, none of it kept.
    pub async fn pieces(&mut self, method: &str, path: &str, depth: &str, body: &str) -> Result<Pieces> {
        let headers = [("Content-Type", "application/xml"), ("Depth", depth)];
        let response = self.begin(method, path, &headers, body.to_owned().into()).await?;
        ensure!(response.status() == StatusCode::MULTI_STATUS, "{method} {path}: {}", response.status());
        Ok(Pieces(response.into_body()))
    }

    async fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes())?)
            .uri(path)
            .header("Host", &self.host)
            .header("Authorization", &self.credentials);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if self.sender.ready().await.is_err() {
            // Some servers end the connection after each answer.
            self.sender = open(&self.host).await?;
        }
        Ok(self.sender.send_request(request.body(Full::new(body))?).await?)
    }

    /// PUTs an iCalendar object.
    pub async fn put(&mut self, path: &str, body: impl Into<Bytes>) -> Result<Answer> {
        let answer = self.send("PUT", path, &[("Content-Type", ICALENDAR)], body).await?;
        ensure!(answer.status.is_success(), "PUT {path}: {} {:?}", answer.status, answer.body);
        Ok(answer)
    }

    /// A REPORT or PROPFIND that must answer 207.
    pub async fn multistatus(&mut self, method: &str, path: &str, depth: &str, body: &str) -> Result<Bytes> {
        let headers = [("Content-Type", "application/xml"), ("Depth", depth)];
        let answer = self.send(method, path, &headers, body.to_owned()).await?;
        ensure!(answer.status == StatusCode::MULTI_STATUS, "{method} {path}: {} {:?}", answer.status, answer.body);
        Ok(answer.body)
    }
}

/// A body on its way.
#[derive(Debug)]
pub struct Pieces(Incoming);

impl Pieces {
    /// The octets of the next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<usize>> {
        while let Some(frame) = self.0.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data.len()));
            }
        }
        Ok(None)
    }
}

/// What an object is sent as.
pub const ICALENDAR: &str = "text/calendar; charset=utf-8";

async fn open(host: &str) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(host).await.with_context(|| format!("connecting to {host}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with the sender; whoever sends sees why.
    drop(tokio::spawn(connection));
    Ok(sender)
}
