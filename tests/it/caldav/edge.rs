//! What the edge does beside CalDAV: pages, health, header fields, overload, streaming.

use lineartime::calendar::Mirror;

use super::*;

#[tokio::test]
async fn answers_carry_the_safe_header_fields() {
    let server = Server::start().await;
    for path in ["/", "/healthz", "/dav/", "/nowhere"] {
        let answer = server.raw("GET", path, &[], "").await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert!(answer.header("x-request-id").len() >= 16, "{path}");
    }
    server.raw("GET", "/healthz", &[], "").await.is(200);
    server.raw("GET", "/readyz", &[], "").await.is(200);
    server.raw("GET", "/metrics", &[], "").await.is(404);
    server.raw("GET", "/", &[], "").await.is(200).has("/dav/").lacks("<script>").lacks("style=");
}

#[tokio::test]
async fn the_first_administrator_is_made_once() {
    let server = Server::start().await;
    let link = server.users.setup_link().await.unwrap();
    let path = format!("/setup/{}", link.token.expose_str().unwrap());
    let form = server.raw("GET", &path, &[], "").await.is(200).has("<form method=\"post\">");
    assert!(form.header("content-security-policy").contains("form-action 'self'"));
    assert_eq!(form.header("cache-control"), "no-store");
    let submit = |user: &str, one: &str, two: &str| format!("user={user}&password={one}&again={two}");
    let strong = "tall+blue+ladder+41";
    server.raw("POST", &path, &[], &submit("eve", strong, "other")).await.is(422).has("differ");
    server.raw("POST", &path, &[], &submit("eve", "eve", "eve")).await.is(422).lacks("value=\"eve\" type");
    server.raw("POST", &path, &[], &submit("E%2FV", strong, strong)).await.is(422);
    server.raw("POST", &path, &[], &submit("%3Cscript%3E", strong, strong)).await.is(422).lacks("<script>");
    server.from("203.0.113.9:1", "POST", &path, &[], &submit("eve", strong, strong)).await.is(403);
    server.raw("POST", &path, &[], &submit("eve", strong, strong)).await.is(200).has("eve").lacks("ladder");
    server.raw("POST", &path, &[], &submit("mallory", strong, strong)).await.is(404);
    server.raw("GET", &path, &[], "").await.is(404);
    server.raw("GET", "/setup/guess", &[], "").await.is(404);
}

#[tokio::test]
async fn overload_is_told_with_a_time() {
    let config = Config { max_requests: 0, ..Config::default() };
    let server = Server::with(config, Settings::default(), Arc::new(NoVerdicts)).await;
    let answer = server.ask("PROPFIND", HOME, &[], "").await.is(503);
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn a_refused_verdict_reaches_the_client_in_words() {
    let refused = Arc::new(Always(Verdict::Refused("read-only over there".to_owned())));
    let server = Server::with(Config::default(), Settings::default(), refused).await;
    // Local events have no provider: nobody is asked.
    server.put("a.ics", &event("a", "20260310T090000Z", "A")).await;
    server.attach("s-work", Mirror::TwoWay).await;
    let path = "/dav/calendars/ana/s-work/b.ics";
    let answer = server.ask("PUT", path, &[], &event("b", "20260310T090000Z", "B")).await.is(403);
    answer.has("read-only over there");
}

/// Over a socket: a silent connection ends, a request is answered, stopping lets go.
#[tokio::test]
async fn connections_are_bounded_in_time_and_stop_in_good_order() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    let config = Config { listen: "127.0.0.1:0".parse().unwrap(), max_connections_per_address: 2, ..Config::default() };
    let server = Server::with(config.clone(), Settings::default(), Arc::new(NoVerdicts)).await;
    let clock = server.clock.clone();
    let bound =
        lineartime::server::Server::bind(Arc::new(server.router), config, Arc::new(clock.clone())).await.unwrap();
    let address = bound.address().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(bound.serve(async move { drop(stopped.await) }));

    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut busy = TcpStream::connect(address).await.unwrap();
    let ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    busy.write_all(ask).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = busy.read(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..read]).starts_with("HTTP/1.1 200"));

    // The third from the same address is told that there is no room.
    let mut third = TcpStream::connect(address).await.unwrap();
    let mut told = Vec::new();
    let read = third.read_buf(&mut told).await.unwrap();
    assert!(read > 0 && told.starts_with(b"HTTP/1.1 503"), "{}", String::from_utf8_lossy(&told));

    // The silent one is ended once its time is over; the other, which has asked, stays.
    while clock.until_next().is_none() {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(11));
    assert_eq!(silent.read(&mut answer).await.unwrap(), 0);
    busy.write_all(ask).await.unwrap();
    assert!(busy.read(&mut answer).await.unwrap() > 0);

    stop.send(()).unwrap();
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn long_listings_are_sent_in_pieces() {
    let server = Server::start().await;
    for n in 0..120 {
        server.put(&format!("{n}.ics"), &event(&format!("u{n}"), "20260310T090000Z", &"long ".repeat(60))).await;
    }
    let body = props(&["D:getetag", "C:calendar-data"]);
    let request = Request::builder()
        .method("PROPFIND")
        .uri(UNIFIED)
        .header("host", "x")
        .header("authorization", ANA)
        .header("depth", "1")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let peer = Peer { address: "127.0.0.1:1".parse().unwrap(), tls: false };
    let mut response = server.router.answer(peer, request).await;
    assert!(!response.headers().contains_key("content-length"));
    let (mut pieces, mut largest, mut whole) = (0, 0, Vec::new());
    while let Some(frame) = response.body_mut().frame().await {
        let piece = frame.unwrap().into_data().unwrap();
        pieces += 1;
        largest = largest.max(piece.len());
        whole.extend_from_slice(&piece);
    }
    let whole = String::from_utf8(whole).unwrap();
    assert_eq!(whole.matches("<D:response>").count(), 121);
    assert!(whole.ends_with("</D:multistatus>"));
    assert!(pieces > 2 && largest < 64 * 1024, "{pieces} pieces, the largest {largest}");
}
