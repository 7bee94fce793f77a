//! The real listener against peers that are wrong, slow, silent or greedy: octets in, octets out.
//!
//! Our deadlines run on a manual clock, so nothing here waits for time to pass.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lineartime::caldav::{NoVerdicts, Settings};
use lineartime::clock::ManualClock;
use lineartime::server::{self, Config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::caldav::{ANA, Server, event};

/// A server on a port of this machine.
pub(crate) struct Edge {
    pub(crate) address: SocketAddr,
    pub(crate) clock: ManualClock,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Edge {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..config };
        let server = Server::with(config.clone(), Settings::default(), Arc::new(NoVerdicts)).await;
        let clock = server.clock.clone();
        let bound = server::Server::bind(Arc::new(server.router), config, Arc::new(clock.clone())).await.unwrap();
        let address = bound.address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(bound.serve(async move { drop(stopped.await) }));
        Self { address, clock, stop, serving }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends all of it, says that this is all, and reads to the end.
    pub(crate) async fn tell(&self, octets: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(octets).await.unwrap();
        stream.shutdown().await.unwrap();
        rest(stream).await
    }

    /// Waits until the server waits for this long at the least.
    pub(crate) async fn waits(&self, pause: Duration) {
        while self.clock.until_next() != Some(pause) {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn lives(&self) {
        let answer = self.tell(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(status(&answer), 200, "{answer}");
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
    }
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// The status of the first answer; 0 if there was none.
#[track_caller]
fn status(answer: &str) -> u16 {
    let Some(rest) = answer.strip_prefix("HTTP/1.1 ").or_else(|| answer.strip_prefix("HTTP/1.0 ")) else {
        assert_eq!(answer, "");
        return 0;
    };
    rest[..3].parse().unwrap()
}

fn put(headers: &str, body: &str) -> Vec<u8> {
    let path = "/dav/calendars/ana/unified/x.ics";
    format!("PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {ANA}\r\n{headers}\r\n\r\n{body}").into_bytes()
}

/// Sends everything before it reads anything, as Python's http.client does.
#[tokio::test]
async fn too_large_a_body_is_told_to_a_client_that_sends_first() {
    let edge = Edge::start().await;
    let large = "x".repeat(5 << 20);
    for (name, headers, authorized) in [
        ("declared", format!("Content-Length: {}", large.len()), true),
        ("chunked", "Transfer-Encoding: chunked".to_owned(), true),
        ("nobody's", format!("Content-Length: {}", large.len()), false),
    ] {
        let body = match name {
            "chunked" => format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len()),
            _ => large.clone(),
        };
        let mut request = put(&headers, &body);
        if !authorized {
            request = String::from_utf8(request).unwrap().replacen(ANA, "Basic eDp5", 1).into_bytes();
        }
        let mut stream = edge.connect().await;
        stream.write_all(&request).await.unwrap();
        let answer = rest(stream).await;
        assert_eq!(status(&answer), if authorized { 413 } else { 401 }, "{name}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{name}: {answer}");
    }
    edge.lives().await;
    edge.stop().await;
}

#[tokio::test]
async fn a_client_that_asks_first_is_not_told_to_send_what_is_too_large() {
    let edge = Edge::start().await;
    let mut stream = edge.connect().await;
    stream.write_all(&put("Content-Length: 9999999\r\nExpect: 100-continue", "")).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    assert_eq!(status(std::str::from_utf8(&answer[..read]).unwrap()), 413);
    let mut stream = edge.connect().await;
    let body = event("u", "20260310T090000Z", "x");
    let headers = format!("Content-Type: text/calendar\r\nContent-Length: {}\r\nExpect: 100-continue", body.len());
    stream.write_all(&put(&headers, "")).await.unwrap();
    let read = stream.read(&mut answer).await.unwrap();
    assert_eq!(status(std::str::from_utf8(&answer[..read]).unwrap()), 100);
    stream.write_all(body.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(status(&rest(stream).await), 201);
}

#[tokio::test]
async fn wrong_framing_is_an_error_and_never_a_short_body() {
    let edge = Edge::start().await;
    let chunked = "Content-Type: text/calendar\r\nTransfer-Encoding: chunked";
    let whole = event("u", "20260310T090000Z", "x");
    let half = &whole[..whole.len() / 2];
    let cases: &[(&str, Vec<u8>, u16)] = &[
        ("no size", put(chunked, "zz\r\nhello\r\n0\r\n\r\n"), 400),
        ("a size beyond all", put(chunked, "fffffffffffffffff\r\n"), 400),
        ("a negative size", put(chunked, "-1\r\nx\r\n0\r\n\r\n"), 400),
        ("a piece longer than said", put(chunked, "2\r\nhello\r\n0\r\n\r\n"), 400),
        ("cut in a piece", put(chunked, &format!("{:x}\r\n{half}", whole.len())), 400),
        ("cut before the last piece", put(chunked, &format!("{:x}\r\n{whole}\r\n", whole.len())), 400),
        ("cut before its length", put(&format!("Content-Length: {}", whole.len()), half), 400),
        ("two lengths", put("Content-Length: 3\r\nContent-Length: 4", "abcd"), 400),
        ("a length that is none", put("Content-Length: +3", "abc"), 400),
        ("a coding below chunked", put("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"), 400),
        ("a coding that is not chunked", put("Transfer-Encoding: gzip", "abc"), 400),
        ("whole", put(chunked, &format!("{:x}\r\n{whole}\r\n0\r\n\r\n", whole.len())), 201),
    ];
    for (name, request, expected) in cases {
        let answer = edge.tell(request).await;
        assert_eq!(status(&answer), *expected, "{name}: {answer}");
    }
    // What stands behind a request with two framings is not a second request.
    let smuggled =
        put("Content-Length: 4\r\nTransfer-Encoding: chunked", "0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(edge.tell(&smuggled).await.matches("HTTP/1.1 ").count(), 1);
    edge.stop().await;
}

#[tokio::test]
async fn heads_are_bounded_and_read_in_one_way() {
    let edge = Edge::start().await;
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let fields = |count: usize| {
        let fields = (0..count).fold(String::new(), |all, n| all + &format!("X-{n}: y\r\n"));
        format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
    };
    let with = |line: &str| format!("GET /healthz HTTP/1.1\r\n{line}\r\n\r\n");
    let method = |method: &str, target: &str| format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let cases = [
        ("as it should be", get("/healthz"), 200),
        ("absolute", get("http://x/healthz"), 200),
        ("of the server", method("OPTIONS", "*"), 200),
        ("1.0 without Host", "GET /healthz HTTP/1.0\r\n\r\n".to_owned(), 200),
        ("many fields", fields(60), 200),
        ("too many fields", fields(70), 431),
        ("far too many fields", fields(2000), 431),
        ("a flood", fields(40_000), 431),
        ("one long field", with(&format!("Host: x\r\nX: {}", "y".repeat(20_000))), 431),
        ("one endless field", with(&format!("Host: x\r\nX: {}", "y".repeat(300_000))), 431),
        ("a long target", get(&format!("/{}", "a".repeat(9000))), 414),
        ("no Host", with("X: y"), 400),
        ("two Hosts", with("Host: x\r\nHost: y"), 400),
        ("a Host with a path", with("Host: x/y"), 400),
        ("a folded field", with("Host: x\r\nX: a\r\n b"), 400),
        ("a space before the colon", with("Host: x\r\nX : a"), 400),
        ("a zero octet", with("Host: x\r\nX: a\0b"), 400),
        ("no HTTP", "hello\r\n\r\n".to_owned(), 400),
        ("TLS", "\u{16}\u{3}\u{1}\0\u{5}hello\r\n\r\n".to_owned(), 400),
        ("up and down", get("/dav/../healthz"), 400),
        ("up and down, hidden", get("/dav/%2e%2e/healthz"), 400),
        ("twice hidden", get("/dav/%252e%252e/healthz"), 401),
        ("a hidden separator", get("/dav/calendars/ana/unified/a%2fb.ics"), 400),
        ("a zero in the path", get("/dav/%00"), 400),
        ("no hex", get("/dav/%zz"), 400),
        ("an empty step", get("/dav//calendars"), 400),
        ("no path", get("*"), 400),
        ("a small method", method("get", "/healthz"), 405),
        ("no such method", method("FOO", "/dav/"), 405),
        ("an echo", method("TRACE", "/dav/"), 405),
        ("a post where none is", method("POST", "/healthz"), 405),
    ];
    for (name, request, expected) in cases {
        let mut stream = edge.connect().await;
        // The server may have answered and gone before a flood is over.
        let sent = stream.write_all(request.as_bytes()).await.is_ok() && stream.shutdown().await.is_ok();
        assert!(sent || expected == 431, "{name}");
        let answer = rest(stream).await;
        assert_eq!(status(&answer), expected, "{name}: {answer}");
    }
    let connect = edge.tell(method("CONNECT", "example.org:443").as_bytes()).await;
    assert!((400..500).contains(&status(&connect)), "{connect}");
    edge.lives().await;
    edge.stop().await;
}

#[tokio::test]
async fn connections_that_say_nothing_whole_are_ended() {
    let edge = Edge::start().await;
    for begun in ["", "G", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", "PRI * HTTP/2.0\r\n\r\nSM"] {
        let mut stream = edge.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        edge.waits(Duration::from_secs(10)).await;
        edge.clock.advance(Duration::from_secs(10));
        let mut end = Vec::new();
        // Reset or closed: either is an end.
        drop(stream.read_to_end(&mut end).await);
        assert!(!end.starts_with(b"HTTP/1.1 200"), "{begun:?}");
    }
    edge.stop().await;
}

#[tokio::test]
async fn connections_that_rest_give_way_and_those_at_work_do_not() {
    let edge = Edge::with(Config { max_connections: 4, ..Config::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(edge.connect().await);
        edge.lives().await;
    }
    // The first of them was let go long ago; it is not left to time out.
    assert_eq!(silent[0].read(&mut [0; 8]).await.unwrap_or(0), 0);
    let mut busy = Vec::new();
    for _ in 0..4 {
        let mut stream = edge.connect().await;
        stream
            .write_all(b"POST /setup/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .await
            .unwrap();
        // It is at work when it says that it waits for the body.
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).await.unwrap();
        assert!(go_on.starts_with(b"HTTP/1.1 100"));
        busy.push(stream);
    }
    let told = rest(edge.connect().await).await;
    assert_eq!(status(&told), 503, "{told}");
    assert!(told.contains("\r\nRetry-After: "), "{told}");
    for mut stream in busy {
        stream.write_all(b"user=").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(status(&rest(stream).await), 422);
    }
    edge.lives().await;
    edge.stop().await;
}

#[tokio::test]
async fn a_connection_that_has_asked_may_rest_and_no_longer() {
    let edge = Edge::start().await;
    let mut stream = edge.connect().await;
    let ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut answer = vec![0; 4096];
    for _ in 0..2 {
        stream.write_all(ask).await.unwrap();
        assert!(stream.read(&mut answer).await.unwrap() > 0);
        edge.clock.advance(Duration::from_secs(70));
    }
    edge.clock.advance(Duration::from_secs(80));
    assert_eq!(stream.read(&mut answer).await.unwrap(), 0);
    let address = edge.address;
    edge.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_body_that_stops_is_given_up_and_said_so() {
    let edge = Edge::start().await;
    let mut stream = edge.connect().await;
    let mut answer = vec![0; 4096];
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    stream.write_all(b"POST /setup/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nuser=").await.unwrap();
    let read = loop {
        tokio::select! {
            biased;
            read = stream.read(&mut answer) => break read.unwrap(),
            () = tokio::task::yield_now() => edge.clock.advance(Duration::from_secs(1)),
        }
    };
    assert_eq!(status(std::str::from_utf8(&answer[..read]).unwrap()), 408);
    drop(stream);
    edge.stop().await;
}

#[tokio::test]
async fn one_connection_takes_many_requests_and_a_half_closed_one_its_answer() {
    let edge = Edge::start().await;
    let get = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let refused = "PROPFIND /dav/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n<a/>\n";
    let mut stream = edge.connect().await;
    // The refused ones carry bodies, and leave the connection usable.
    stream.write_all([get, refused, get, refused, get].concat().as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answers = rest(stream).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 3, "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 401").count(), 2, "{answers}");
    edge.stop().await;
}

#[tokio::test]
async fn http_2_has_the_same_rules() {
    let edge = Edge::start().await;
    let stream = TokioIo::new(edge.connect().await);
    let (mut send, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let driving = tokio::spawn(connection);
    let request = |method: &str, path: &str, body: Vec<u8>| {
        let request = Request::builder().method(method).uri(format!("http://x{path}")).header("authorization", ANA);
        request.version(Version::HTTP_2).body(Full::new(Bytes::from(body))).unwrap()
    };
    let answer = send.send_request(request("GET", "/healthz", Vec::new())).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
    let path = "/dav/calendars/ana/unified/x.ics";
    for (method, path, body, expected) in [
        ("PUT", path, vec![b'x'; 5 << 20], 413),
        ("PUT", path, event("u", "20260310T090000Z", "x").into_bytes(), 403),
        ("get", "/dav/", Vec::new(), 405),
        ("GET", "/dav/%2e%2e/healthz", Vec::new(), 400),
        ("GET", "/healthz", Vec::new(), 200),
    ] {
        let mut request = request(method, path, body);
        if expected == 403 {
            request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        }
        let answer = send.send_request(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{method} {path}");
        assert!(!answer.headers().contains_key("connection"));
        drop(answer.into_body().collect().await);
    }
    // Given up at once, again and again: the peer may be told to go, the server stays.
    for _ in 0..300 {
        if send.ready().await.is_err() {
            break;
        }
        drop(send.send_request(request("PROPFIND", "/dav/", Vec::new())));
    }
    drop(send);
    drop(driving.await);
    edge.lives().await;
    edge.stop().await;
}
