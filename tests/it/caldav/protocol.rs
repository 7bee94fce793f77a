//! Single promises of the RFCs, each by its section.

use lineartime::calendar::Mirror;

use super::*;

/// RFC 4918 9.2.
#[tokio::test]
async fn proppatch_is_all_or_nothing() {
    let server = Server::start().await;
    let mixed = format!(
        "<D:propertyupdate {NS} xmlns:X=\"urn:x\"><D:set><D:prop><D:displayname>New</D:displayname><X:kept>1</X:kept>\
         <D:getetag>no</D:getetag></D:prop></D:set></D:propertyupdate>"
    );
    let answer = server.ask("PROPPATCH", UNIFIED, &[], &mixed).await.is(207);
    let answer = answer.has("403 Forbidden").has("<D:cannot-modify-protected-property/>").has("424 Failed Dependency");
    answer.lacks("200 OK");
    let both = format!("<D:propfind {NS} xmlns:X=\"urn:x\"><D:prop><D:displayname/><X:kept/></D:prop></D:propfind>");
    server.ask("PROPFIND", UNIFIED, &[("depth", "0")], &both).await.is(207).lacks(">New<").has("404");
    let fine = mixed.replace("<D:getetag>no</D:getetag>", "");
    server.ask("PROPPATCH", UNIFIED, &[], &fine).await.is(207).has("200 OK").lacks("40");
    server.ask("PROPFIND", UNIFIED, &[("depth", "0")], &both).await.is(207).has(">New<").has("kept").lacks("404");
    let remove = format!(
        "<D:propertyupdate {NS} xmlns:X=\"urn:x\"><D:remove><D:prop><X:kept/></D:prop></D:remove></D:propertyupdate>"
    );
    let minimal = server.ask("PROPPATCH", UNIFIED, &[("prefer", "return=minimal")], &remove).await.is(200);
    assert_eq!(minimal.body, "");
    server.ask("PROPFIND", UNIFIED, &[("depth", "0")], &both).await.is(207).has("404");
}

/// RFC 4918 4.3, 9.8.2, 9.9.1: dead properties keep names, attributes and language, and travel.
#[tokio::test]
async fn dead_properties_of_objects_come_back_and_travel() {
    let server = Server::start().await;
    server.put("a.ics", &event("a", "20260310T090000Z", "A")).await;
    let path = format!("{UNIFIED}a.ics");
    let update = "<d:propertyupdate xmlns:d=\"DAV:\"><d:set><d:prop xml:lang=\"de\"><note xmlns=\"urn:n\" k=\"v\">Hallo \
                 <b>du</b></note></d:prop></d:set></d:propertyupdate>";
    server.ask("PROPPATCH", &path, &[], update).await.is(207).has("200 OK");
    let ask = "<d:propfind xmlns:d=\"DAV:\"><d:prop><note xmlns=\"urn:n\"/></d:prop></d:propfind>";
    let told = server.ask("PROPFIND", &path, &[("depth", "0")], ask).await.is(207);
    told.has("k=\"v\"").has("xml:lang=\"de\"").has("Hallo ").has("du");
    let there = [("destination", "/dav/calendars/ana/unified/b.ics")];
    server.ask("MOVE", &path, &there, "").await.is(201);
    server.ask("PROPFIND", &format!("{UNIFIED}b.ics"), &[("depth", "0")], ask).await.is(207).has("Hallo ");
    let all = server.ask("PROPFIND", &format!("{UNIFIED}b.ics"), &[("depth", "0")], "").await.is(207);
    all.has("Hallo ").has("<D:getetag>");
}

/// RFC 4918 9.1: every asked name in exactly one propstat.
#[tokio::test]
async fn every_asked_property_is_answered_once_everywhere() {
    let server = Server::start().await;
    server.put("a.ics", &event("a", "20260310T090000Z", "A")).await;
    let names: Vec<String> = lineartime::caldav::property::PROPERTIES
        .iter()
        .map(|property| format!("<p:{0} xmlns:p=\"{1}\"/>", property.name.local(), property.name.ns()))
        .collect();
    let body = format!("<D:propfind {NS}><D:prop>{}</D:prop></D:propfind>", names.concat());
    let object = format!("{UNIFIED}a.ics");
    let inbox = format!("{HOME}inbox/");
    let outbox = format!("{HOME}outbox/");
    for path in ["/dav/", "/dav/principals/", PRINCIPAL, "/dav/calendars/", HOME, &inbox, &outbox, UNIFIED, &object] {
        let answer = server.ask("PROPFIND", path, &[("depth", "0")], &body).await.is(207);
        assert_eq!(answer.count("<D:response>"), 1);
        for property in lineartime::caldav::property::PROPERTIES {
            let local = property.name.local();
            // At the top level of a prop; the same name may stand inside a value (calendar-data, owner hrefs).
            let tags = [format!(":{local}>"), format!(":{local}/>"), format!(":{local} ")];
            let found: usize = tags.iter().map(|tag| answer.count(tag)).sum();
            assert!(found >= 1, "{path}: {local} is not answered: {}", answer.body);
        }
    }
}

/// RFC 4918 9.1: Depth 1 lists the members, each level.
#[tokio::test]
async fn the_tree_can_be_walked_from_the_root() {
    let server = Server::start().await;
    let body = props(&["D:resourcetype"]);
    let one = [("depth", "1")];
    server.ask("PROPFIND", "/dav/", &one, &body).await.is(207).has("/dav/principals/").has("/dav/calendars/");
    server.ask("PROPFIND", "/dav/principals/", &one, &body).await.is(207).has(PRINCIPAL);
    server.ask("PROPFIND", "/dav/calendars/", &one, &body).await.is(207).has(HOME);
    let home = server.ask("PROPFIND", HOME, &one, &body).await.is(207);
    let home =
        home.has("<C:schedule-inbox/>").has("<C:schedule-outbox/>").has(UNIFIED).has("/dav/calendars/ana/local/");
    assert_eq!(home.count("<D:response>"), 5);
    let no_root = [("depth", "1"), ("prefer", "return=minimal, depth-noroot")];
    let home = server.ask("PROPFIND", HOME, &no_root, &body).await.is(207);
    assert_eq!(home.count("<D:response>"), 4);
    assert_eq!(home.header("preference-applied"), "return=minimal, depth-noroot");
}

/// RFC 9110 13.1, with what a compressing proxy does to tags (clients.md Q28).
#[tokio::test]
async fn conditions_hold_through_a_proxy_that_marks_tags() {
    let server = Server::start().await;
    let etag = server.put("a.ics", &event("a", "20260310T090000Z", "A")).await;
    let path = format!("{UNIFIED}a.ics");
    let gzip = etag.replacen('"', "W/\"", 1).replace("\"\"", "\"");
    let gzip = format!("{}-gzip\"", gzip.trim_end_matches('"'));
    server.ask("GET", &path, &[("if-none-match", &gzip)], "").await.is(304);
    server.ask("GET", &path, &[("if-none-match", "\"other\"")], "").await.is(200);
    server.ask("PUT", &path, &[("if-match", &gzip)], &event("a", "20260310T100000Z", "A")).await.is(204);
    let head = server.ask("HEAD", &path, &[], "").await.is(200);
    assert_eq!(head.body, "");
    assert!(head.header("content-length").parse::<usize>().unwrap() > 100);
    assert!(head.header("last-modified").ends_with(" GMT"));
    assert!(head.header("cache-control").contains("no-transform"));
}

/// RFC 4918 10.4: tagged lists, entity tags, tokens that nothing has.
#[tokio::test]
async fn the_if_header_is_honoured() {
    let server = Server::start().await;
    let etag = server.put("a.ics", &event("a", "20260310T090000Z", "A")).await;
    let path = format!("{UNIFIED}a.ics");
    let next = event("a", "20260310T100000Z", "A");
    server.ask("PUT", &path, &[("if", "([\"stale\"])")], &next).await.is(412);
    server.ask("PUT", &path, &[("if", "(<urn:uuid:x>)")], &next).await.is(412);
    server.ask("PUT", &path, &[("if", "garbage")], &next).await.is(400);
    let other = format!("<{UNIFIED}a.ics> ([{etag}])");
    server
        .ask("PUT", &format!("{UNIFIED}b.ics"), &[("if", &other)], &event("b", "20260310T090000Z", "B"))
        .await
        .is(201);
    server.ask("PUT", &path, &[("if", &format!("(Not <DAV:no-lock> [{etag}])"))], &next).await.is(204);
}

/// RFC 4918 10.4: every method is conditional by it, those that only read as well.
#[tokio::test]
async fn the_if_header_counts_for_reading_too() {
    let server = Server::start().await;
    let etag = server.put("a.ics", &event("a", "20260310T090000Z", "A")).await;
    let path = format!("{UNIFIED}a.ics");
    for method in ["GET", "HEAD", "PROPFIND", "REPORT", "DELETE", "COPY"] {
        server.ask(method, &path, &[("if", "([\"stale\"])")], "").await.is(412);
    }
    server.ask("GET", &path, &[("if", &format!("([{etag}])"))], "").await.is(200);
    let never = [("if", "(<DAV:no-lock>)")];
    server.ask("PROPFIND", UNIFIED, &never, "").await.is(412);
}

/// RFC 6578 5: the sync token of a collection is a state token.
#[tokio::test]
async fn a_sync_token_is_a_state_that_the_if_header_names() {
    let server = Server::start().await;
    server.put("a.ics", &event("a", "20260310T090000Z", "A")).await;
    let find = props(&["D:sync-token"]);
    let listing = server.ask("PROPFIND", UNIFIED, &[("depth", "0")], &find).await.is(207);
    let token = listing.between("<D:sync-token>", "</D:sync-token>");
    let unchanged = format!("<{UNIFIED}> (<{token}>)");
    let path = format!("{UNIFIED}b.ics");
    server.ask("PUT", &path, &[("if", &unchanged)], &event("b", "20260311T090000Z", "B")).await.is(201);
    server.ask("DELETE", &path, &[("if", &unchanged)], "").await.is(412);
    server.ask("GET", &path, &[], "").await.is(200);
}

/// RFC 4918 9.3.1, 9.7.1, 4791 5.3.1: what has no collection above it can't be made.
#[tokio::test]
async fn nothing_is_made_where_there_is_no_collection() {
    let server = Server::start().await;
    let body = event("a", "20260310T090000Z", "A");
    for path in ["/dav/calendars/ana/none/a.ics", "/dav/calendars/ana/unified/sub/a.ics"] {
        server.ask("PUT", path, &[], &body).await.is(409);
    }
    for method in ["MKCALENDAR", "MKCOL"] {
        server.ask(method, "/dav/calendars/ana/none/inner/", &[], "").await.is(409);
        server.ask(method, "/dav/calendars/ana/unified/sub/inner/", &[], "").await.is(409);
    }
    server.ask("GET", "/dav/calendars/ana/unified/sub/a.ics", &[], "").await.is(404);
}

/// RFC 4791 7.3, 7809 5.2: floating times are in the calendar's zone, also when that was set by its name.
#[tokio::test]
async fn a_zone_set_by_name_holds_for_floating_times() {
    let server = Server::start().await;
    server.put("a.ics", &event("a", "20260310T233000", "A")).await;
    let query = |start: &str, end: &str| {
        format!(
            "<C:calendar-query {NS}><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name=\"VCALENDAR\">\
             <C:comp-filter name=\"VEVENT\"><C:time-range start=\"{start}\" end=\"{end}\"/></C:comp-filter></C:comp-filter>\
             </C:filter></C:calendar-query>"
        )
    };
    let (utc, tokyo) = (query("20260310T233000Z", "20260310T234500Z"), query("20260310T143000Z", "20260310T144500Z"));
    server.ask("REPORT", UNIFIED, &[], &utc).await.is(207).has("a.ics");
    server.ask("REPORT", UNIFIED, &[], &tokyo).await.is(207).lacks("a.ics");
    let set = format!(
        "<D:propertyupdate {NS}><D:set><D:prop><C:calendar-timezone-id>Asia/Tokyo</C:calendar-timezone-id></D:prop></D:set>\
         </D:propertyupdate>"
    );
    server.ask("PROPPATCH", UNIFIED, &[], &set).await.is(207);
    server.ask("REPORT", UNIFIED, &[], &tokyo).await.is(207).has("a.ics");
    server.ask("REPORT", UNIFIED, &[], &utc).await.is(207).lacks("a.ics");
}

/// RFC 4791 7.9: missing hrefs are answered, spelled our way, doubled ones once.
#[tokio::test]
async fn multiget_answers_each_href_once() {
    let server = Server::start().await;
    server.put("a%40b.ics", &event("a", "20260310T090000Z", "A")).await;
    let body = format!(
        "<C:calendar-multiget {NS}><D:prop><D:getetag/></D:prop><D:href>{UNIFIED}a@b.ics</D:href><D:href>{UNIFIED}a%40b.ics\
         </D:href><D:href>{UNIFIED}none.ics</D:href><D:href>/dav/calendars/bob/unified/x.ics</D:href></C:calendar-multiget>"
    );
    let answer = server.ask("REPORT", UNIFIED, &[], &body).await.is(207).has("a%40b.ics").lacks("a@b.ics");
    assert_eq!(answer.count("<D:response>"), 3);
    assert_eq!(answer.count("404 Not Found"), 2);
}

/// RFC 4791 7.8 on an object, and time ranges against a series whose later instance is in range (Radicale#31).
#[tokio::test]
async fn queries_see_later_instances() {
    let server = Server::start().await;
    let weekly = event("w", "20200106T090000Z", "Weekly").replace("DURATION", "RRULE:FREQ=WEEKLY\r\nDURATION");
    server.put("w.ics", &weekly).await;
    server.put("old.ics", &event("old", "20200106T090000Z", "Old")).await;
    let query = format!(
        "<C:calendar-query {NS}><D:prop><D:getetag/><D:getcontenttype/></D:prop><C:filter><C:comp-filter name=\"VCALENDAR\">\
         <C:comp-filter name=\"VEVENT\"><C:time-range start=\"20260302T000000Z\" end=\"20260309T000000Z\"/></C:comp-filter>\
         </C:comp-filter></C:filter></C:calendar-query>"
    );
    let found = server.ask("REPORT", UNIFIED, &[], &query).await.is(207).has("w.ics").has("text/calendar");
    found.lacks("old.ics");
    server.ask("REPORT", &format!("{UNIFIED}w.ics"), &[("depth", "0")], &query).await.is(207).has("w.ics");
    server.ask("REPORT", &format!("{UNIFIED}old.ics"), &[("depth", "0")], &query).await.is(207).lacks("old.ics");
}

/// RFC 3744 9: reports about principals.
#[tokio::test]
async fn principals_find_themselves() {
    let server = Server::start().await;
    let own = format!("<D:principal-match {NS}><D:self/><D:prop><D:displayname/></D:prop></D:principal-match>");
    server.ask("REPORT", "/dav/principals/", &[("depth", "0")], &own).await.is(207).has(PRINCIPAL).has(">ana<");
    let owned = format!(
        "<D:principal-match {NS}><D:principal-property><D:owner/></D:principal-property><D:prop><D:displayname/></D:prop>\
         </D:principal-match>"
    );
    server.ask("REPORT", HOME, &[("depth", "0")], &owned).await.is(207).has(UNIFIED);
    let acl = format!("<D:acl-principal-prop-set {NS}><D:prop><D:displayname/></D:prop></D:acl-principal-prop-set>");
    server.ask("REPORT", UNIFIED, &[("depth", "0")], &acl).await.is(207).has(PRINCIPAL);
    let nobody = format!(
        "<D:principal-property-search {NS}><D:property-search><D:prop><D:displayname/></D:prop><D:match>zoe</D:match>\
         </D:property-search><D:prop><D:displayname/></D:prop></D:principal-property-search>"
    );
    server.ask("REPORT", "/dav/principals/", &[("depth", "0")], &nobody).await.is(207).lacks("<D:response>");
}

/// Local calendars hold tasks; a refused verdict is told in words.
#[tokio::test]
async fn local_calendars_hold_tasks() {
    let server = Server::start().await;
    let todo = event("t", "20260310T090000Z", "T").replace("VEVENT", "VTODO");
    server.ask("PUT", "/dav/calendars/ana/local/t.ics", &[], &todo).await.is(201);
    let told = server.ask("GET", "/dav/calendars/ana/local/t.ics", &[], "").await.is(200);
    assert!(told.header("content-type").contains("component=VTODO"));
    server.ask("GET", &format!("{UNIFIED}t.ics"), &[], "").await.is(404);
}

/// RFC 3744 5.4: what cannot be written says so, and a write names the missing right (clients.md Q14, DAVx5 Q20).
#[tokio::test]
async fn a_read_only_source_says_so_and_refuses_by_name() {
    let server = Server::start().await;
    server.attach("s-theirs1", Mirror::ReadOnly).await;
    let source = "/dav/calendars/ana/s-theirs1/";
    let body = props(&["D:current-user-privilege-set"]);
    server.ask("PROPFIND", source, &[("depth", "0")], &body).await.is(207).has("<D:read/>").lacks("<D:write");
    let put = server.ask("PUT", &format!("{source}x.ics"), &[], &event("x", "20260310T090000Z", "X")).await.is(403);
    put.violates("<D:need-privileges>").has("<D:write-content/>");
    server.ask("DELETE", source, &[], "").await.is(403).violates("<D:need-privileges>");
}
