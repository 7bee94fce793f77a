//! What is malformed, too much, misplaced or forbidden, and the exact answer (`reliability.md` 2.5).

use super::*;

#[tokio::test]
async fn paths_and_methods() {
    let server = Server::start().await;
    let bad_paths = ["/dav/../etc", "/dav//x", "/dav/%00", "/dav/a%2fb", "/dav/%zz", "//", "/dav/%2e%2e/"];
    for path in bad_paths {
        server.ask("PROPFIND", path, &[], "").await.is(400);
    }
    for path in ["/dav/nothing", "/dav/calendars/ana/unified/a/b", "/dav/calendars/ana/nosuch/", "/nowhere"] {
        server.ask("PROPFIND", path, &[("depth", "0")], "").await.is(404);
    }
    // Another user's and nobody's look the same.
    for path in ["/dav/calendars/bob/", "/dav/calendars/bob/unified/x.ics", "/dav/principals/bob/"] {
        server.ask("PROPFIND", path, &[("depth", "0")], "").await.is(404);
    }
    let cases = [
        ("PUT", UNIFIED, "GET"),
        ("POST", HOME, "REPORT"),
        ("LOCK", "/dav/calendars/ana/unified/x.ics", "PUT"),
        ("PATCH", "/dav/", "PROPFIND"),
        ("FOO", HOME, "PROPFIND"),
        ("get", HOME, "GET"),
        ("DELETE", HOME, "GET"),
        ("POST", "/healthz", "GET"),
        ("PUT", "/", "GET"),
    ];
    for (method, path, allowed) in cases {
        let answer = server.ask(method, path, &[], "").await.is(405);
        assert!(answer.header("allow").contains(allowed), "{method} {path}: {}", answer.header("allow"));
    }
}

#[tokio::test]
async fn credentials() {
    let server = Server::start().await;
    for field in [None, Some("Basic"), Some("Basic !!!"), Some("Bearer x"), Some("Basic YW5hOndyb25n")] {
        let headers: Vec<_> = field.map(|value| ("authorization", value)).into_iter().collect();
        let answer = server.raw("PROPFIND", HOME, &headers, "<x/>").await.is(401);
        assert!(answer.header("www-authenticate").contains("Basic"));
    }
    // A password in the clear from the network is not looked at.
    let far = server.from("203.0.113.5:1000", "PROPFIND", HOME, &[("authorization", ANA)], "").await.is(403);
    far.has("https");
    let claimed = [("authorization", ANA), ("x-forwarded-proto", "https")];
    server.from("203.0.113.5:1000", "PROPFIND", HOME, &claimed, "").await.is(403);
    let config = Config { trusted_proxies: vec!["203.0.113.0/24".parse().unwrap()], ..Config::default() };
    let behind = Server::with(config, Settings::default(), Arc::new(NoVerdicts)).await;
    behind.from("203.0.113.5:1000", "PROPFIND", HOME, &claimed, "").await.is(207);
    behind.from("203.0.113.5:1000", "PROPFIND", HOME, &[("authorization", ANA)], "").await.is(403);
    let config = Config { allow_plain_passwords: true, ..Config::default() };
    let relaxed = Server::with(config, Settings::default(), Arc::new(NoVerdicts)).await;
    relaxed.from("203.0.113.5:1000", "PROPFIND", HOME, &[("authorization", ANA)], "").await.is(207);
}

#[tokio::test]
async fn guessing_is_slowed_and_told() {
    let server = Server::start().await;
    let wrong = [("authorization", "Basic YW5hOndyb25n")];
    let mut last = 0;
    for _ in 0..8 {
        let answer = server.raw("PROPFIND", HOME, &wrong, "").await;
        last = answer.status.as_u16();
        if last == 429 {
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        }
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn heads_and_bodies() {
    let server = Server::start().await;
    server.ask("PROPFIND", HOME, &[("host", "a b")], "").await.is(400);
    server.ask("PROPFIND", &format!("/{}", "a".repeat(9000)), &[], "").await.is(414);
    let long = "x".repeat(20_000);
    server.ask("PROPFIND", HOME, &[("x-long", &long)], "").await.is(431);
    server.ask("PROPFIND", HOME, &[("content-length", "99999999")], "").await.is(413);
    server.ask("PROPFIND", HOME, &[("content-length", "abc")], "").await.is(400);
    let huge = "x".repeat(1_100_000);
    server.ask("PROPFIND", HOME, &[], &huge).await.is(413);
    let fat = event("fat", "20260310T090000Z", &"y".repeat(1_100_000));
    server.ask("PUT", &format!("{UNIFIED}fat.ics"), &[], &fat).await.is(403).violates("<C:max-resource-size/>");
    let object = format!("{UNIFIED}p.ics");
    server.ask("PUT", &object, &[("content-range", "bytes 0-1/2")], "x").await.is(400);
    server.ask("PUT", &object, &[("content-encoding", "gzip")], "x").await.is(415);
    server.ask("PROPFIND", HOME, &[("depth", "2")], "").await.is(400);
    // RFC 4918 8.4: a body that would be passed over.
    for method in ["GET", "DELETE", "COPY", "MOVE"] {
        server.ask(method, &object, &[], "<x/>").await.is(415);
    }
}

#[tokio::test]
async fn xml() {
    let server = Server::start().await;
    for broken in
        ["<", "<a>", "not xml", "<D:propfind/>", "<propfind xmlns='DAV:'/>", "\u{feff}<x/>", "<a xmlns='DAV:'/>"]
    {
        server.ask("PROPFIND", HOME, &[("depth", "0")], broken).await.is(400);
    }
    let doctype = "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><D:propfind xmlns:D='DAV:'><D:prop>&e;</D:prop></D:propfind>";
    server.ask("PROPFIND", HOME, &[("depth", "0")], doctype).await.is(403).violates("<D:no-external-entities/>");
    let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
    let answer = server.ask("PROPFIND", HOME, &[("depth", "0")], &deep).await;
    assert!(answer.status.is_client_error());
    server.ask("PROPFIND", HOME, &[("depth", "infinity")], "").await.is(403).violates("<D:propfind-finite-depth/>");
    let unknown = "<x:report xmlns:x='urn:x'/>";
    server.ask("REPORT", UNIFIED, &[], unknown).await.is(403).violates("<D:supported-report/>");
    server.ask("REPORT", UNIFIED, &[], "").await.is(400);
}

#[tokio::test]
async fn objects() {
    let server = Server::start().await;
    let path = format!("{UNIFIED}o.ics");
    let good = event("o", "20260310T090000Z", "O");
    let todo = good.replace("VEVENT", "VTODO");
    let two = good.replace(
        "END:VCALENDAR",
        "BEGIN:VEVENT\r\nUID:other\r\nDTSTART:20260310T090000Z\r\nEND:VEVENT\r\nEND:VCALENDAR",
    );
    let method = good.replace("VERSION:2.0", "VERSION:2.0\r\nMETHOD:REQUEST");
    let counted = good.replace("DURATION", "RRULE:FREQ=DAILY;COUNT=3001\r\nDURATION");
    let cases = [
        ("", 403, "<C:valid-calendar-data/>"),
        ("nonsense", 403, "<C:valid-calendar-data/>"),
        ("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n", 403, "<C:valid-calendar-data/>"),
        (todo.as_str(), 403, "<C:supported-calendar-component/>"),
        (two.as_str(), 403, "<C:valid-calendar-object-resource/>"),
        (method.as_str(), 403, "<C:valid-calendar-object-resource/>"),
        (counted.as_str(), 403, "<C:max-instances/>"),
    ];
    for (body, status, element) in cases {
        server.ask("PUT", &path, &[], body).await.is(status).violates(element);
    }
    server
        .ask("PUT", &path, &[("content-type", "text/plain")], &good)
        .await
        .is(403)
        .violates("<C:supported-calendar-data/>");
    server.ask("PUT", "/dav/calendars/ana/nosuch/o.ics", &[], &good).await.is(409);
    server.ask("GET", &path, &[], "").await.is(404);
    server.put("o.ics", &good).await;
    let taken = server.ask("PUT", &format!("{UNIFIED}second.ics"), &[], &good).await.is(403);
    taken.violates("<C:no-uid-conflict>").has("/dav/calendars/ana/unified/o.ics");
    let renamed = good.replace("UID:o", "UID:p");
    server.ask("PUT", &path, &[], &renamed).await.is(403).violates("<C:no-uid-conflict>");
    server.ask("DELETE", &format!("{UNIFIED}none.ics"), &[], "").await.is(404);
    server.ask("DELETE", UNIFIED, &[], "").await.is(403).violates("<D:need-privileges>");
    server.ask("DELETE", UNIFIED, &[("depth", "0")], "").await.is(403).violates("need-privileges");
}

#[tokio::test]
async fn destinations() {
    let server = Server::start().await;
    server.put("d.ics", &event("d", "20260310T090000Z", "D")).await;
    let from = format!("{UNIFIED}d.ics");
    let cases = [
        ("", 400),
        ("http://other.example/dav/calendars/ana/unified/e.ics", 502),
        ("/dav/calendars/ana/nosuch/e.ics", 409),
        ("/dav/calendars/bob/unified/e.ics", 409),
        ("/dav/calendars/ana/unified/", 403),
        ("/dav/calendars/ana/unified/d.ics", 403),
        ("not a path", 400),
    ];
    for (destination, status) in cases {
        let headers: Vec<_> =
            Some(("destination", destination)).filter(|(_, value)| !value.is_empty()).into_iter().collect();
        server.ask("MOVE", &from, &headers, "").await.is(status);
    }
    let odd = [("destination", "/dav/calendars/ana/unified/e.ics"), ("overwrite", "x")];
    server.ask("COPY", &from, &odd, "").await.is(400);
    server.ask("COPY", UNIFIED, &[("destination", "/dav/calendars/ana/copy/")], "").await.is(403);
}

#[tokio::test]
async fn collections() {
    let server = Server::start().await;
    let make =
        format!("<C:mkcalendar {NS}><D:set><D:prop><D:displayname>X</D:displayname></D:prop></D:set></C:mkcalendar>");
    let inside = format!("{UNIFIED}inner/");
    server.ask("MKCALENDAR", &inside, &[], &make).await.is(403).violates("<C:calendar-collection-location-ok/>");
    server.ask("MKCALENDAR", UNIFIED, &[], &make).await.is(403).violates("<D:resource-must-be-null/>");
    server.ask("MKCALENDAR", "/dav/calendars/bob/x/", &[], &make).await.is(404);
    server.ask("MKCALENDAR", "/dav/calendars/ana/x/", &[], "<broken").await.is(400);
    server.ask("MKCOL", "/dav/calendars/ana/plain/", &[], "").await.is(403).violates("<D:valid-resourcetype/>");
    server.ask("MKCOL", "/dav/calendars/ana/plain/", &[("content-type", "text/plain")], "hello").await.is(415);
    let with = |property: &str| format!("<C:mkcalendar {NS}><D:set><D:prop>{property}</D:prop></D:set></C:mkcalendar>");
    let cases = [
        ("<D:getetag>x</D:getetag>", 403, "<D:cannot-modify-protected-property/>"),
        (
            "<C:supported-calendar-component-set><C:comp name=\"VPOLL\"/></C:supported-calendar-component-set>",
            403,
            "<C:supported-calendar-component/>",
        ),
        ("<C:calendar-timezone>x</C:calendar-timezone>", 403, "<C:valid-calendar-data/>"),
        ("<C:calendar-timezone-id>Mars/Base</C:calendar-timezone-id>", 403, "<C:valid-timezone/>"),
    ];
    for (property, status, element) in cases {
        server.ask("MKCALENDAR", "/dav/calendars/ana/x/", &[], &with(property)).await.is(status).violates(element);
        server.ask("PROPFIND", "/dav/calendars/ana/x/", &[("depth", "0")], "").await.is(404);
    }
}

#[tokio::test]
async fn queries() {
    let server = Server::start().await;
    server.put("q.ics", &event("q", "20260310T090000Z", "Q")).await;
    let query =
        |filter: &str| format!("<C:calendar-query {NS}><D:prop><D:getetag/></D:prop>{filter}</C:calendar-query>");
    server.ask("REPORT", UNIFIED, &[], &query("")).await.is(403).violates("<C:valid-filter/>");
    let collation = "<C:filter><C:comp-filter name=\"VCALENDAR\"><C:comp-filter name=\"VEVENT\"><C:prop-filter name=\"SUMMARY\">\
                     <C:text-match collation=\"i;klingon\">x</C:text-match></C:prop-filter></C:comp-filter></C:comp-filter></C:filter>";
    server.ask("REPORT", UNIFIED, &[], &query(collation)).await.is(403).violates("<C:supported-collation/>");
    let many = (0..1001).fold(String::new(), |all, n| all + "<D:href>" + UNIFIED + &n.to_string() + ".ics</D:href>");
    let multiget = format!("<C:calendar-multiget {NS}><D:prop><D:getetag/></D:prop>{many}</C:calendar-multiget>");
    let answer = server.ask("REPORT", UNIFIED, &[], &multiget).await.is(507);
    answer.violates("<D:number-of-matches-within-limits/>");
    server.ask("REPORT", HOME, &[], &query(collation)).await.is(403);
    let one = format!(
        "<C:calendar-multiget {NS}><D:prop><D:getetag/></D:prop><D:href>{UNIFIED}q.ics</D:href></C:calendar-multiget>"
    );
    server.ask("REPORT", &format!("{UNIFIED}none.ics"), &[], &one).await.is(404);
    let busy = format!("<C:free-busy-query {NS}/>");
    server.ask("REPORT", UNIFIED, &[], &busy).await.is(400);
}

/// RFC 4791 7.8 and 7.10: `min-date-time` and `max-date-time` hold for the times that are asked for, too.
#[tokio::test]
async fn times_beyond_what_is_held() {
    let server = Server::start().await;
    let early = ("start=\"15000101T000000Z\" end=\"16000101T000000Z\"", "<C:min-date-time/>");
    let late = ("start=\"25000101T000000Z\" end=\"26000101T000000Z\"", "<C:max-date-time/>");
    for (range, element) in [early, late] {
        let filter = |inside: &str| {
            format!(
                "<C:filter><C:comp-filter name=\"VCALENDAR\"><C:comp-filter name=\"VEVENT\">{inside}</C:comp-filter>\
                 </C:comp-filter></C:filter>"
            )
        };
        let (within, plain) = (filter(&format!("<C:time-range {range}/>")), filter(""));
        let query = format!("<C:calendar-query {NS}><D:prop><D:getetag/></D:prop>{within}</C:calendar-query>");
        server.ask("REPORT", UNIFIED, &[], &query).await.is(403).violates(element);
        let data = format!("<D:prop><C:calendar-data><C:expand {range}/></C:calendar-data></D:prop>");
        let expand = format!("<C:calendar-query {NS}>{data}{plain}</C:calendar-query>");
        server.ask("REPORT", UNIFIED, &[], &expand).await.is(403).violates(element);
        let busy = format!("<C:free-busy-query {NS}><C:time-range {range}/></C:free-busy-query>");
        server.ask("REPORT", UNIFIED, &[], &busy).await.is(403).violates(element);
    }
    // A range that reaches beyond is no error: clients ask for "since 1970" and "for ever".
    let open = "<C:filter><C:comp-filter name=\"VCALENDAR\"><C:comp-filter name=\"VEVENT\">\
                <C:time-range start=\"15000101T000000Z\"/></C:comp-filter></C:comp-filter></C:filter>";
    let query = format!("<C:calendar-query {NS}><D:prop><D:getetag/></D:prop>{open}</C:calendar-query>");
    server.ask("REPORT", UNIFIED, &[], &query).await.is(207);
}

/// RFC 4918 9.3.1, 9.7.1: what lacks a parent collection is a conflict, however deep it is.
#[tokio::test]
async fn nothing_is_made_below_what_is_not_there() {
    let server = Server::start().await;
    for method in ["PUT", "MKCOL", "MKCALENDAR"] {
        server.ask(method, "/dav/calendars/ana/nosuch/deeper/x", &[], "").await.is(409);
    }
    server.ask("DELETE", "/dav/calendars/ana/nosuch/deeper/x", &[], "").await.is(404);
}
