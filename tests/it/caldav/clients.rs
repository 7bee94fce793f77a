//! What each client sends, in its order (clients.md section 6).

use super::*;

#[expect(clippy::too_many_lines, reason = "one recorded session, in its order")]
#[tokio::test]
async fn thunderbird_finds_registers_syncs_and_edits() {
    let server = Server::start().await;
    let detect = props(&[
        "D:resourcetype",
        "D:owner",
        "D:displayname",
        "D:current-user-principal",
        "D:current-user-privilege-set",
        "A:calendar-color",
        "C:calendar-home-set",
    ]);
    let found = server.raw("PROPFIND", "/.well-known/caldav", &[("depth", "0")], &detect).await.is(301);
    assert_eq!(found.header("location"), "/dav/");
    let asked = server.raw("PROPFIND", "/dav/", &[("depth", "0")], &detect).await.is(401);
    assert!(asked.header("www-authenticate").starts_with("Basic realm="));
    assert_eq!(asked.header("connection"), "", "a 401 keeps the connection");
    server.ask("PROPFIND", "/dav/", &[("depth", "0")], &detect).await.is(207).has(PRINCIPAL);
    let home = props(&["C:calendar-home-set"]);
    server.ask("PROPFIND", PRINCIPAL, &[("depth", "0")], &home).await.is(207).has(HOME);
    let list = props(&["D:resourcetype", "D:displayname", "D:current-user-privilege-set", "A:calendar-color"]);
    let listed = server.ask("PROPFIND", HOME, &[("depth", "1")], &list).await.is(207).has(UNIFIED);
    assert!(listed.body.contains("<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>"));
    let open = props(&[
        "D:resourcetype",
        "D:supported-report-set",
        "C:supported-calendar-component-set",
        "CS:getctag",
        "D:current-user-privilege-set",
    ]);
    server
        .ask("PROPFIND", UNIFIED, &[("depth", "0")], &open)
        .await
        .is(207)
        .has("<D:sync-collection/>")
        .has("<D:write/>")
        .has("name=\"VEVENT\"")
        .lacks("VTODO");
    let options = server.raw("OPTIONS", HOME, &[], "").await.is(200);
    assert!(options.header("dav").contains("calendar-auto-schedule"));
    let sync = |token: &str| {
        format!(
            "<D:sync-collection {NS}><D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>\
             <D:prop><D:getcontenttype/><D:getetag/></D:prop></D:sync-collection>"
        )
    };
    let first = server.ask("REPORT", UNIFIED, &[("depth", "1")], &sync("")).await.is(207);
    let token = first.between("<D:sync-token>", "</D:sync-token>");
    let path = format!("{UNIFIED}a.ics");
    let text = event("a", "20260310T090000Z", "Über & <unter>");
    let put = server
        .ask("PUT", &path, &[("if-none-match", "*"), ("content-type", "text/calendar; charset=utf-8")], &text)
        .await
        .is(201);
    let etag = put.header("etag");
    let multiget = format!(
        "<C:calendar-multiget {NS}><D:prop><D:getetag/><C:calendar-data/></D:prop><D:href>{path}</D:href>\
         </C:calendar-multiget>"
    );
    let got = server.ask("REPORT", UNIFIED, &[("depth", "1")], &multiget).await.is(207);
    assert!(got.body.contains(&etag.replace('"', "&quot;")) || got.body.contains(&etag), "{}", got.body);
    assert!(got.body.contains("Über &amp; &lt;unter&gt;"));
    let changed = server.ask("REPORT", UNIFIED, &[("depth", "1")], &sync(&token)).await.is(207).has(&path);
    assert!(changed.body.contains("text/calendar"));
    let token = changed.between("<D:sync-token>", "</D:sync-token>");
    server.ask("PUT", &path, &[("if-none-match", "*")], &text).await.is(412);
    server.ask("PUT", &path, &[("if-match", "\"stale\"")], &event("a", "20260311T090000Z", "x")).await.is(412);
    let moved = event("a", "20260311T090000Z", "Moved");
    let put = server.ask("PUT", &path, &[("if-match", &etag)], &moved).await.is(204);
    assert_ne!(put.header("etag"), etag);
    server.ask("DELETE", &path, &[("if-match", &etag)], "").await.is(412);
    server.ask("DELETE", &path, &[("if-match", &put.header("etag"))], "").await.is(204);
    let gone = server.ask("REPORT", UNIFIED, &[("depth", "1")], &sync(&token)).await.is(207);
    assert!(gone.body.contains("404 Not Found"), "{}", gone.body);
}

#[tokio::test]
async fn evolution_starts_at_the_root_and_lives_by_ctags() {
    let server = Server::start().await;
    let first = props(&[
        "D:resourcetype",
        "D:current-user-principal",
        "D:principal-URL",
        "C:calendar-home-set",
        "C:calendar-user-address-set",
    ]);
    server.raw("PROPFIND", "/", &[("depth", "0")], &first).await.is(401);
    server.ask("PROPFIND", "/", &[("depth", "0")], &first).await.is(207).has(PRINCIPAL);
    let principal = server.ask("PROPFIND", PRINCIPAL, &[("depth", "0")], &first).await.is(207);
    assert!(principal.body.contains("preferred=\"1\""));
    server.raw("OPTIONS", UNIFIED, &[], "").await.is(200);
    let ctag = props(&["CS:getctag"]);
    let poll = || server.ask("PROPFIND", UNIFIED, &[("depth", "0")], &ctag);
    let before = poll().await.is(207).between("<CS:getctag>", "<");
    let range = format!(
        "<C:calendar-query {NS}><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name=\"VCALENDAR\">\
         <C:comp-filter name=\"VEVENT\"><C:time-range start=\"20260301T000000Z\" end=\"20260510T000000Z\"/>\
         </C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"
    );
    server.ask("REPORT", UNIFIED, &[("depth", "1")], &range).await.is(207).lacks("<D:response>");
    let name = format!("{UNIFIED}uid%40conf.ics");
    let headers =
        [("if-none-match", "*"), ("prefer", "return=minimal"), ("content-type", "text/calendar; charset=\"utf-8\"")];
    let put = server.ask("PUT", &name, &headers, &event("uid@conf", "20260310T090000Z", "E")).await.is(201);
    assert!(!put.header("etag").is_empty(), "Evolution misses an ETag");
    server.ask("REPORT", UNIFIED, &[("depth", "1")], &range).await.is(207).has("uid%40conf.ics");
    let after = poll().await.between("<CS:getctag>", "<");
    assert_ne!(before, after);
    server.ask("PUT", &name, &[], &event("uid@conf", "20260311T090000Z", "E2")).await.is(204);
    server.ask("DELETE", &name, &[], "").await.is(204);
    server.ask("GET", &name, &[], "").await.is(404);
    let search = format!(
        "<D:principal-property-search {NS}><D:apply-to-principal-collection-set/><D:property-search><D:prop>\
         <D:displayname/></D:prop><D:match>an</D:match></D:property-search><D:prop><D:displayname/></D:prop>\
         </D:principal-property-search>"
    );
    server.ask("REPORT", UNIFIED, &[("depth", "0")], &search).await.is(207).has(PRINCIPAL);
}

#[tokio::test]
async fn vdirsyncer_keeps_octets_and_makes_calendars_without_a_slash() {
    let server = Server::start().await;
    let mkcol = format!(
        "<D:mkcol {NS}><D:set><D:prop><D:resourcetype><D:collection/><C:calendar/></D:resourcetype></D:prop></D:set>\
         </D:mkcol>"
    );
    server.ask("MKCOL", "/dav/calendars/ana/work", &[], &mkcol).await.is(201);
    server.ask("MKCOL", "/dav/calendars/ana/work/", &[], &mkcol).await.is(405);
    let odd = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nX-ODD;P=\"a;b\":c\nBEGIN:VEVENT\nUID:o\nDTSTAMP:20260101T000000Z\nDTSTART:20260310T090000Z\nSUMMARY:fo\n lded ü\nEND:VEVENT\nEND:VCALENDAR\n";
    let path = "/dav/calendars/ana/work/o.ics";
    let put = server.ask("PUT", path, &[("if-none-match", "*"), ("content-type", "text/calendar")], odd).await.is(201);
    let got = server.ask("GET", path, &[], "").await.is(200);
    assert_eq!(got.body, odd);
    assert_eq!(got.header("etag"), put.header("etag"));
    let list = props(&["D:resourcetype", "D:getcontenttype", "D:getetag"]);
    server.ask("PROPFIND", "/dav/calendars/ana/work/", &[("depth", "1")], &list).await.is(207).has(path);
    let headers = [("if-match", put.header("etag")), ("content-type", "text/calendar".to_owned())];
    let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let update = format!(
        "<D:propertyupdate {NS}><D:set><D:prop><D:displayname>Work</D:displayname><A:calendar-color>#ff0000</A:calendar-color>\
         <C:calendar-description>All of it</C:calendar-description></D:prop></D:set></D:propertyupdate>"
    );
    server.ask("PROPPATCH", "/dav/calendars/ana/work/", &[], &update).await.is(207).has("200 OK").lacks("40");
    let meta = props(&["D:displayname", "A:calendar-color", "C:calendar-description"]);
    let told = server.ask("PROPFIND", "/dav/calendars/ana/work/", &[("depth", "0")], &meta).await.is(207);
    told.has(">Work<").has("#ff0000").has("All of it");
    server.ask("DELETE", path, &headers, "").await.is(204);
    server.ask("DELETE", "/dav/calendars/ana/work/", &[], "").await.is(204);
    server.ask("PROPFIND", "/dav/calendars/ana/work/", &[("depth", "0")], &meta).await.is(404);
}

#[tokio::test]
async fn apple_makes_a_calendar_with_everything_at_once() {
    let server = Server::start().await;
    server.raw("PROPFIND", "/.well-known/caldav/", &[], "").await.is(301);
    let zone = "BEGIN:VCALENDAR&#13;\nVERSION:2.0&#13;\nPRODID:x&#13;\nBEGIN:VTIMEZONE&#13;\nTZID:Europe/Berlin&#13;\nBEGIN:STANDARD&#13;\nDTSTART:19701025T030000&#13;\nTZOFFSETFROM:+0200&#13;\nTZOFFSETTO:+0100&#13;\nEND:STANDARD&#13;\nEND:VTIMEZONE&#13;\nEND:VCALENDAR&#13;\n";
    let make = format!(
        "<C:mkcalendar {NS}><D:set><D:prop><A:calendar-order>5</A:calendar-order><C:supported-calendar-component-set>\
         <C:comp name=\"VEVENT\"/></C:supported-calendar-component-set><A:calendar-color symbolic-color=\"custom\">#1BADF8FF\
         </A:calendar-color><C:calendar-timezone>{zone}</C:calendar-timezone><D:displayname>Sport</D:displayname>\
         <C:schedule-calendar-transp><C:transparent/></C:schedule-calendar-transp></D:prop></D:set></C:mkcalendar>"
    );
    let path = "/dav/calendars/ana/0A1B/";
    server.ask("MKCALENDAR", path, &[], &make).await.is(201);
    server.ask("MKCALENDAR", path, &[], &make).await.is(403).violates("<D:resource-must-be-null/>");
    let asked = props(&[
        "A:calendar-order",
        "A:calendar-color",
        "C:calendar-timezone",
        "C:calendar-timezone-id",
        "C:schedule-calendar-transp",
        "CS:push-transports",
        "CS:pushkey",
        "D:quota-used-bytes",
        "CS:pushkey",
    ]);
    let told = server.ask("PROPFIND", path, &[("depth", "0")], &asked).await.is(207);
    let told = told.has("symbolic-color=\"custom\"").has("#1BADF8FF").has("<C:transparent/>").has(">5<");
    assert!(told.body.contains("Europe/Berlin"));
    assert_eq!(told.count("<CS:pushkey/>"), 1, "a property asked twice is told once");
    let brief = [("depth", "0"), ("brief", "t")];
    let told = server.ask("PROPFIND", path, &brief, &asked).await.is(207).lacks("pushkey").lacks("404");
    assert_eq!(told.header("preference-applied"), "return=minimal");
    let search_set = format!("<D:principal-search-property-set {NS}/>");
    server.ask("REPORT", "/dav/principals/", &[("depth", "0")], &search_set).await.is(200).has("<D:displayname/>");
    let expand = format!(
        "<D:expand-property {NS}><D:property name=\"calendar-proxy-read-for\" namespace=\"http://calendarserver.org/ns/\">\
         <D:property name=\"displayname\"/></D:property><D:property name=\"calendar-home-set\" \
         namespace=\"urn:ietf:params:xml:ns:caldav\"><D:property name=\"displayname\"/></D:property></D:expand-property>"
    );
    server
        .ask("REPORT", PRINCIPAL, &[("depth", "0")], &expand)
        .await
        .is(207)
        .has("<CS:calendar-proxy-read-for>")
        .has(HOME)
        .has(">ana<");
    // The home's ctag moves with any calendar in it (Q10).
    let ctag = props(&["CS:getctag"]);
    let before = server.ask("PROPFIND", HOME, &[("depth", "0")], &ctag).await.between("<CS:getctag>", "<");
    server.put("x.ics", &event("x", "20260310T090000Z", "X")).await;
    let after = server.ask("PROPFIND", HOME, &[("depth", "0")], &ctag).await.between("<CS:getctag>", "<");
    assert_ne!(before, after);
    // No sync on the home: refused by name, and not advertised.
    let sync = format!(
        "<D:sync-collection {NS}><D:sync-token/><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop></D:sync-collection>"
    );
    server.ask("REPORT", HOME, &[("depth", "1")], &sync).await.is(403).violates("<D:supported-report/>");
}

#[tokio::test]
async fn apple_asks_for_free_time_by_the_outbox() {
    let server = Server::start().await;
    server.put("busy.ics", &event("busy", "20260310T090000Z", "Secret")).await;
    let ask = |organizer: &str| {
        format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nMETHOD:REQUEST\r\nBEGIN:VFREEBUSY\r\nUID:fb-1\r\n\
             DTSTAMP:20260302T000000Z\r\nDTSTART:20260310T000000Z\r\nDTEND:20260311T000000Z\r\nORGANIZER:{organizer}\r\n\
             ATTENDEE:mailto:ana@localhost\r\nATTENDEE:mailto:bob@elsewhere.example\r\nEND:VFREEBUSY\r\nEND:VCALENDAR\r\n"
        )
    };
    let outbox = "/dav/calendars/ana/outbox/";
    let own =
        server.ask("POST", outbox, &[("content-type", "text/calendar")], &ask("mailto:ana@localhost")).await.is(200);
    let own = own.has("2.0;Success").has("3.7;Invalid").has("20260310T090000Z").has("UID:fb-1").lacks("Secret");
    assert_eq!(own.count("<C:response>"), 2);
    server.ask("POST", outbox, &[], &ask("/dav/principals/ana/")).await.is(200);
    server.ask("POST", outbox, &[], &ask("mailto:eve@x")).await.is(403).violates("<C:valid-organizer/>");
    server.ask("POST", outbox, &[], "nonsense").await.is(403).violates("<C:valid-calendar-data/>");
}

#[tokio::test]
async fn davx5_discovers_pages_and_sees_a_stale_token() {
    let server = Server::start().await;
    for n in 0..5 {
        server.put(&format!("e{n}.ics"), &event(&format!("e{n}"), "20260310T090000Z", "E")).await;
    }
    let options = server.raw("OPTIONS", PRINCIPAL, &[], "").await.is(200);
    assert!(options.header("dav").contains("calendar-access"));
    let capabilities = props(&["D:supported-report-set", "D:sync-token", "CS:getctag", "C:max-resource-size"]);
    let told = server.ask("PROPFIND", UNIFIED, &[("depth", "0")], &capabilities).await.is(207);
    assert!(told.body.contains(">1048576<"));
    let sync = |token: &str| {
        format!(
            "<D:sync-collection {NS}><D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level><D:limit>\
             <D:nresults>2</D:nresults></D:limit><D:prop><D:getetag/><D:resourcetype/></D:prop></D:sync-collection>"
        )
    };
    let mut token = String::new();
    let mut seen = Vec::new();
    for page in 0..10 {
        let answer = server.ask("REPORT", UNIFIED, &[("depth", "0")], &sync(&token)).await.is(207);
        token = answer.between("<D:sync-token>", "</D:sync-token>");
        let more = answer.body.contains("507 Insufficient Storage");
        for part in answer.body.split("<D:href>").skip(1) {
            let href = part.split('<').next().unwrap();
            if href != UNIFIED {
                assert!(part.contains("<D:getetag>"), "every member carries its tag");
                seen.push(href.to_owned());
            }
        }
        if !more {
            break;
        }
        assert!(page < 9, "paging comes to an end");
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
    for stale in ["https://example.com/other", "urn:x", "https://lineartime.example/ns/sync/0000000000000000-1"] {
        let answer = server.ask("REPORT", UNIFIED, &[("depth", "0")], &sync(stale)).await.is(403);
        answer.violates("<D:valid-sync-token/>");
    }
    let query = format!(
        "<C:calendar-query {NS}><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name=\"VCALENDAR\">\
         <C:comp-filter name=\"VEVENT\"><C:time-range start=\"20260201T000000Z\"/></C:comp-filter></C:comp-filter>\
         </C:filter></C:calendar-query>"
    );
    let found = server.ask("REPORT", UNIFIED, &[], &query).await.is(207);
    assert_eq!(found.count("<D:response>"), 5);
    let make = format!(
        "<C:mkcalendar {NS}><D:set><D:prop><D:resourcetype><D:collection/><C:calendar/></D:resourcetype>\
         <D:displayname>D</D:displayname><C:calendar-timezone-id>Europe/Vienna</C:calendar-timezone-id></D:prop></D:set>\
         </C:mkcalendar>"
    );
    server.ask("MKCALENDAR", "/dav/calendars/ana/dx", &[], &make).await.is(201);
    let id = props(&["C:calendar-timezone-id"]);
    server.ask("PROPFIND", "/dav/calendars/ana/dx/", &[("depth", "0")], &id).await.is(207).has("Europe/Vienna");
}

#[tokio::test]
async fn tsdav_leaves_out_depth_and_wants_data_in_sync() {
    let server = Server::start().await;
    server.raw("PROPFIND", "/.well-known/caldav", &[], &props(&["D:current-user-principal"])).await.is(301);
    server.ask("PROPFIND", "/dav/", &[], &props(&["D:current-user-principal"])).await.is(207).has(PRINCIPAL);
    let weekly = event("w", "20260302T090000Z", "Weekly").replace("DURATION", "RRULE:FREQ=WEEKLY;COUNT=10\r\nDURATION");
    server.put("w.ics", &weekly).await;
    let expand = format!(
        "<C:calendar-query {NS}><D:prop><D:getetag/><C:calendar-data><C:expand start=\"20260301T000000Z\" \
         end=\"20260315T000000Z\"/></C:calendar-data></D:prop><C:filter><C:comp-filter name=\"VCALENDAR\">\
         <C:comp-filter name=\"VEVENT\"><C:time-range start=\"20260301T000000Z\" end=\"20260315T000000Z\"/></C:comp-filter>\
         </C:comp-filter></C:filter></C:calendar-query>"
    );
    let told = server.ask("REPORT", UNIFIED, &[("depth", "1")], &expand).await.is(207);
    assert_eq!(told.count("RECURRENCE-ID"), 2, "{}", told.body);
    let sync = format!(
        "<D:sync-collection {NS}><D:sync-token/><D:sync-level>1</D:sync-level><D:prop><D:getetag/><C:calendar-data/>\
         <D:displayname/></D:prop></D:sync-collection>"
    );
    server.ask("REPORT", UNIFIED, &[], &sync).await.is(207).has("RRULE:FREQ=WEEKLY");
    let busy = format!(
        "<C:free-busy-query {NS}><C:time-range start=\"20260301T000000Z\" end=\"20260310T000000Z\"/></C:free-busy-query>"
    );
    let told = server.ask("REPORT", UNIFIED, &[], &busy).await.is(200).has("BEGIN:VFREEBUSY").has("20260302T090000Z");
    assert!(told.header("content-type").starts_with("text/calendar"));
}

#[tokio::test]
async fn nextcloud_asks_for_data_in_propfind_and_copies_by_path() {
    let server = Server::start().await;
    server.put("n.ics", &event("n", "20260310T090000Z", "N")).await;
    let data = props(&["D:getetag", "C:calendar-data"]);
    server.ask("PROPFIND", UNIFIED, &[("depth", "1")], &data).await.is(207).has("SUMMARY:N");
    server.ask("PROPFIND", &format!("{UNIFIED}n.ics"), &[("depth", "0")], &data).await.is(207).has("SUMMARY:N");
    let mkcol = format!(
        "<D:mkcol {NS} xmlns:O=\"http://owncloud.org/ns\"><D:set><D:prop><D:resourcetype><D:collection/><C:calendar/>\
         </D:resourcetype><D:displayname>P</D:displayname><O:calendar-enabled>1</O:calendar-enabled></D:prop></D:set></D:mkcol>"
    );
    server.ask("MKCOL", "/dav/calendars/ana/p", &[], &mkcol).await.is(201);
    let dead = format!(
        "<D:propfind {NS} xmlns:O=\"http://owncloud.org/ns\"><D:prop><O:calendar-enabled/></D:prop></D:propfind>"
    );
    server.ask("PROPFIND", "/dav/calendars/ana/p", &[("depth", "0")], &dead).await.is(207).has(">1<").has("200 OK");
    let kind = "text/calendar;charset=utf-8;component=VEVENT; charset=utf-8";
    let path = "/dav/calendars/ana/p/q.ics";
    server
        .ask("PUT", path, &[("depth", "0"), ("content-type", kind)], &event("q", "20260310T090000Z", "Q"))
        .await
        .is(201);
    let copy = [("destination", "/dav/calendars/ana/local/q.ics"), ("overwrite", "F")];
    server.ask("COPY", path, &copy, "").await.is(201);
    server.ask("COPY", path, &copy, "").await.is(412);
    server.ask("GET", "/dav/calendars/ana/local/q.ics", &[], "").await.is(200).has("SUMMARY:Q");
}

#[tokio::test]
async fn cadaver_and_calcurse_send_little() {
    let server = Server::start().await;
    let bare = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nBEGIN:VEVENT\nUID:c\nDTSTART:20260310T090000Z\nSUMMARY:C\nEND:VEVENT\nEND:VCALENDAR\n";
    server.ask("PUT", &format!("{UNIFIED}c.ics"), &[], bare).await.is(201);
    let all = server.ask("PROPFIND", &format!("{UNIFIED}c.ics"), &[("depth", "0")], "").await.is(207);
    all.has("<D:getetag>").has("<D:getlastmodified>").lacks("calendar-data");
    let names = format!("<D:propfind {NS}><D:propname/></D:propfind>");
    server.ask("PROPFIND", UNIFIED, &[("depth", "0")], &names).await.is(207).has("<CS:getctag/>");
    let renamed = format!("http://cal.example.org{UNIFIED}moved.ics");
    let absolute = [("destination", renamed.as_str()), ("overwrite", "T")];
    server.ask("MOVE", &format!("{UNIFIED}c.ics"), &absolute, "").await.is(201);
    server.ask("GET", &format!("{UNIFIED}c.ics"), &[], "").await.is(404);
    server.ask("GET", &format!("{UNIFIED}moved.ics"), &[], "").await.is(200);
    let query = format!(
        "<C:calendar-query {NS}><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name=\"VCALENDAR\"/></C:filter>\
         </C:calendar-query>"
    );
    server.ask("REPORT", UNIFIED, &[("depth", "1")], &query).await.is(207).has("moved.ics");
}
