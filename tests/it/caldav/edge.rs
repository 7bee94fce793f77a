//! What the edge does beside CalDAV: pages, health, header fields, overload, streaming.

use lineartime::calendar::Mirror;

use super::*;

#[tokio::test]
async fn answers_carry_the_safe_header_fields() {
    let server = Server::start().await;
    for path in ["/", "/healthz", "/dav/", "/nowhere"] {
        let answer = server.raw("GET", path, &[], "").await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        // A page's forms are told from another site's by their Origin, which no-referrer would take from them.
        let policy = if path == "/" { "same-origin" } else { "no-referrer" };
        assert_eq!(answer.header("referrer-policy"), policy, "{path}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert!(answer.header("x-request-id").len() >= 16, "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{path}");
        assert!(!answer.headers.contains_key("strict-transport-security"), "{path}: it came over plain HTTP");
    }
    server.raw("GET", "/healthz", &[], "").await.is(200);
    server.raw("GET", "/readyz", &[], "").await.is(200);
    server.raw("GET", "/metrics", &[], "").await.is(404);
    server.raw("GET", "/", &[], "").await.is(200).has("/dav/").lacks("<script>").lacks("style=");
}

#[tokio::test]
async fn an_answer_over_https_says_that_the_next_must_be_too() {
    let config = Config { trusted_proxies: vec!["127.0.0.1".parse().unwrap()], ..Config::default() };
    let server = Server::with(config, Settings::default(), Arc::new(NoVerdicts)).await;
    let answer = server.raw("GET", "/healthz", &[("x-forwarded-proto", "https")], "").await;
    assert_eq!(answer.header("strict-transport-security"), "max-age=31536000");
    server.raw("GET", "/healthz", &[("expect", "wonders")], "").await.is(417);
    server.raw("GET", "/healthz", &[("expect", "100-Continue")], "").await.is(200);
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
