//! What one person sees never depends on another: two worlds that differ in what Bob keeps, and one script of Ana's.
//!
//! Invariant I16 of the design: every octet of every answer is compared, but for the number that each request is given.

use std::time::Duration;

use lineartime::entropy::{self, Entropy, SeededEntropy};
use lineartime::id::UserId;
use lineartime::identity::Scope;

use super::caldav::{HOME, NS, PRINCIPAL, Server, UNIFIED, event, props};

const REQUESTS: usize = 300;

/// One request of Ana's.
struct Step {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

/// What Ana does: the same in both worlds, with all methods, and with guesses at what Bob may have.
fn script(seed: u64) -> Vec<Step> {
    let dice = SeededEntropy::new(seed);
    (0..REQUESTS).map(|n| step(n, &dice)).collect()
}

fn pick<T: Clone>(dice: &dyn Entropy, from: &[T]) -> T {
    let at = usize::try_from(entropy::number(dice) % from.len() as u64).unwrap();
    from[at].clone()
}

fn step(n: usize, dice: &dyn Entropy) -> Step {
    let file = format!("{}.ics", pick(dice, &["a", "b", "c", "d", "e", "bobs", "secret"]));
    let object = format!("{UNIFIED}{file}");
    let theirs = pick(
        dice,
        &[
            "/dav/calendars/bob/".to_owned(),
            "/dav/calendars/bob/unified/".to_owned(),
            "/dav/calendars/bob/local/".to_owned(),
            "/dav/calendars/bob/inbox/".to_owned(),
            "/dav/calendars/bob/holiday/".to_owned(),
            "/dav/calendars/bob/unified/secret.ics".to_owned(),
            "/dav/principals/bob/".to_owned(),
            "/dav/files/bob/".to_owned(),
            "/dav/calendars/nobody/unified/".to_owned(),
        ],
    );
    let plain = |method, path: String, body: String| Step { method, path, headers: Vec::new(), body };
    let depth = |method, path: String, body: String| Step {
        headers: vec![("depth", "1".to_owned())],
        ..plain(method, path, body)
    };
    let day = entropy::number(dice) % 28 + 1;
    let new = event(
        &format!("uid-{}", pick(dice, &["1", "2", "bobs-uid", "secret-uid"])),
        &format!("202603{day:02}T090000Z"),
        &format!("Ana {n}"),
    );
    let all =
        props(&["D:getetag", "D:displayname", "CS:getctag", "D:sync-token", "D:quota-used-bytes", "C:calendar-data"]);
    let range = "<C:time-range start=\"20260301T000000Z\" end=\"20260401T000000Z\"/>";
    let query = format!(
        "<C:calendar-query {NS}><D:prop><D:getetag/><C:calendar-data/></D:prop><C:filter><C:comp-filter name=\"VCALENDAR\"><C:comp-filter name=\"VEVENT\">{range}</C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"
    );
    match entropy::number(dice) % 18 {
        0 | 1 => plain("PUT", object, new),
        2 => plain("DELETE", object, String::new()),
        3 => plain("GET", object, String::new()),
        4 => depth("PROPFIND", UNIFIED.to_owned(), all),
        5 => depth("PROPFIND", HOME.to_owned(), all),
        6 => {
            depth("PROPFIND", pick(dice, &["/dav/", "/dav/principals/", "/dav/calendars/", PRINCIPAL]).to_owned(), all)
        }
        7 => depth("REPORT", UNIFIED.to_owned(), query),
        8 => plain("REPORT", UNIFIED.to_owned(), format!("<C:free-busy-query {NS}>{range}</C:free-busy-query>")),
        9 => plain(
            "REPORT",
            UNIFIED.to_owned(),
            format!(
                "<D:sync-collection {NS}><D:sync-token/><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop></D:sync-collection>"
            ),
        ),
        10 => plain(
            "REPORT",
            UNIFIED.to_owned(),
            format!(
                "<C:calendar-multiget {NS}><D:prop><D:getetag/></D:prop><D:href>{object}</D:href><D:href>{theirs}</D:href></C:calendar-multiget>"
            ),
        ),
        11 => plain(
            "REPORT",
            "/dav/principals/".to_owned(),
            format!(
                "<D:principal-property-search {NS}><D:property-search><D:prop><D:displayname/></D:prop><D:match>{}</D:match></D:property-search><D:prop><D:displayname/></D:prop></D:principal-property-search>",
                pick(dice, &["bob", "b", "ana", ""])
            ),
        ),
        12 => plain(pick(dice, &["GET", "DELETE", "OPTIONS"]), theirs, String::new()),
        13 => depth(pick(dice, &["PROPFIND", "REPORT"]), theirs, all),
        14 => plain("PUT", theirs, new),
        15 => Step {
            headers: vec![("destination", theirs)],
            ..plain(pick(dice, &["COPY", "MOVE"]), object, String::new())
        },
        16 => plain("MKCALENDAR", format!("{HOME}{}/", pick(dice, &["holiday", "work"])), String::new()),
        _ => plain(
            "PROPPATCH",
            UNIFIED.to_owned(),
            format!(
                "<D:propertyupdate {NS}><D:set><D:prop><D:displayname>Name {n}</D:displayname></D:prop></D:set></D:propertyupdate>"
            ),
        ),
    }
}

/// Every answer of the script, as one text each. Between any two requests, Bob does something, or nothing.
async fn live(bob_is_busy: bool) -> Vec<String> {
    let server = Server::start().await;
    server.add("bob").await;
    let mut answers = Vec::new();
    for (n, step) in script(11).into_iter().enumerate() {
        if bob_is_busy {
            bob_acts(&server, n).await;
        }
        let headers: Vec<(&str, &str)> = step.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = server.ask(step.method, &step.path, &headers, &step.body).await;
        let mut fields: Vec<String> = answer
            .headers
            .iter()
            .filter(|(name, _)| *name != "x-request-id")
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        fields.sort();
        answers.push(format!(
            "{} {}\n{}\n{}\n\n{}",
            step.method,
            step.path,
            answer.status,
            fields.join("\n"),
            answer.body
        ));
        server.clock.advance(Duration::from_secs(7));
    }
    answers
}

async fn bob_acts(server: &Server, n: usize) {
    let name = ["secret", "bobs", "a", "z"][n % 4];
    let path = format!("/dav/calendars/bob/unified/{name}.ics");
    let body = event(&format!("{name}-uid"), "20260315T100000Z", &format!("Bob's own {n}"));
    match n % 5 {
        0..3 => drop(server.ask_as_bob("PUT", &path, &[], &body).await),
        3 => drop(server.ask_as_bob("DELETE", &path, &[], "").await),
        _ => drop(server.ask_as_bob("MKCALENDAR", "/dav/calendars/bob/holiday/", &[], "").await),
    }
}

#[tokio::test]
async fn no_answer_depends_on_what_others_keep() {
    let (quiet, busy) = (live(false).await, live(true).await);
    assert_eq!(quiet.len(), REQUESTS);
    for (one, other) in quiet.iter().zip(&busy) {
        assert_eq!(one, other);
        assert!(!one.contains("Bob's own"));
    }
    let refused = quiet.iter().filter(|answer| answer.contains("\n404 ") || answer.contains("\n403 ")).count();
    let done = quiet.iter().filter(|answer| answer.contains("\n20")).count();
    assert!(refused > 30 && done > 120, "{refused} refused, {done} done: the script is too tame or too wild");
}

/// The word for a wrong password is the word for a name that nobody has, and neither costs less.
#[tokio::test]
async fn who_has_a_login_is_not_told() {
    let server = Server::start().await;
    server.add("bob").await;
    let login = |text: &str| format!("Basic {}", data_encoding::BASE64.encode(text.as_bytes()));
    let mut answers = Vec::new();
    for (name, password) in [
        ("bob", "wrong"),
        ("nobody", "wrong"),
        ("bob", "lt-abcdefgh-abcdefghijklmnopqrstuvwxyz"),
        ("nobody", "lt-abcdefgh-abcdefghijklmnopqrstuvwxyz"),
        ("a/b", "wrong"),
    ] {
        let answer =
            server.raw("PROPFIND", "/dav/", &[("authorization", &login(&format!("{name}:{password}")))], "").await;
        let mut fields: Vec<String> = answer
            .headers
            .iter()
            .filter(|(name, _)| *name != "x-request-id")
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        fields.sort();
        answers.push((answer.status, fields, answer.body));
    }
    assert_eq!(answers[0].0.as_u16(), 401);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
}

#[tokio::test]
async fn an_app_password_for_reading_reads_and_says_so() {
    let server = Server::start().await;
    server.put("a.ics", &event("a", "20260310T090000Z", "A")).await;
    let scope = Scope { read_only: true, collection: None };
    let login = device(&server, scope).await;
    let auth = [("authorization", login.as_str())];
    let object = format!("{UNIFIED}a.ics");
    server.raw("GET", &object, &auth, "").await.is(200).has("SUMMARY:A");
    let rights = server
        .raw("PROPFIND", UNIFIED, &[auth[0], ("depth", "1")], &props(&["D:current-user-privilege-set"]))
        .await
        .is(207);
    rights.has("<D:read/>").lacks("<D:write");
    let own =
        server.ask("PROPFIND", UNIFIED, &[("depth", "1")], &props(&["D:current-user-privilege-set"])).await.is(207);
    own.has("<D:write/>");
    let new = event("b", "20260310T090000Z", "B");
    for (method, path, body) in [
        ("PUT", object.as_str(), new.as_str()),
        ("PUT", "/dav/calendars/ana/unified/b.ics", &new),
        ("DELETE", &object, ""),
        ("MKCALENDAR", "/dav/calendars/ana/new/", ""),
        ("PROPPATCH", UNIFIED, ""),
        ("POST", "/dav/calendars/ana/outbox/", ""),
        ("DELETE", UNIFIED, ""),
    ] {
        server.raw(method, path, &auth, body).await.is(403).violates("need-privileges");
    }
    let copy = [auth[0], ("destination", "/dav/calendars/ana/local/a.ics")];
    server.raw("COPY", &object, &copy, "").await.is(403).violates("need-privileges");
    server.ask("GET", &object, &[], "").await.is(200).has("SUMMARY:A");
}

#[tokio::test]
async fn an_app_password_for_one_calendar_finds_that_one_alone() {
    let server = Server::start().await;
    server.ask("MKCALENDAR", "/dav/calendars/ana/club/", &[], "").await.is(201);
    server.put("a.ics", &event("a", "20260310T090000Z", "Private")).await;
    let scope = Scope { read_only: false, collection: Some("club".parse().unwrap()) };
    let login = device(&server, scope).await;
    let auth = [("authorization", login.as_str())];
    let list = server.raw("PROPFIND", HOME, &[auth[0], ("depth", "1")], &props(&["D:displayname"])).await.is(207);
    let list = list.has("/dav/calendars/ana/club/");
    list.lacks("unified").lacks("/local/").lacks("inbox");
    server.raw("PROPFIND", "/dav/", &auth, &props(&["D:current-user-principal"])).await.is(207);
    server.raw("PROPFIND", PRINCIPAL, &auth, &props(&["C:calendar-home-set"])).await.is(207).has(HOME);
    let (inside, new) = ("/dav/calendars/ana/club/b.ics", event("b", "20260310T090000Z", "Club"));
    server.raw("PUT", inside, &auth, &new).await.is(201);
    server.raw("GET", inside, &auth, "").await.is(200);
    for (method, path) in [
        ("GET", "/dav/calendars/ana/unified/a.ics"),
        ("PUT", "/dav/calendars/ana/unified/c.ics"),
        ("PROPFIND", UNIFIED),
        ("PROPFIND", "/dav/calendars/ana/inbox/"),
        ("POST", "/dav/calendars/ana/outbox/"),
        ("GET", "/dav/files/ana/"),
    ] {
        server.raw(method, path, &auth, &new).await.is(404);
    }
    let away = [auth[0], ("destination", "/dav/calendars/ana/local/b.ics")];
    server.raw("MOVE", inside, &away, "").await.is(409);
    server.raw("DELETE", "/dav/calendars/ana/club/", &auth, "").await.is(403);
    let expand = format!(
        "<D:expand-property {NS}><D:property name=\"principal-match\"/><D:property name=\"calendar-home-set\" namespace=\"urn:ietf:params:xml:ns:caldav\"><D:property name=\"displayname\"/></D:property></D:expand-property>"
    );
    server.raw("REPORT", PRINCIPAL, &auth, &expand).await.is(207).lacks("unified");
    server.raw("DELETE", inside, &auth, "").await.is(204);
}

/// Beside CalDAV as well: what a device may not, its password opens nowhere, and it makes no other passwords.
#[tokio::test]
async fn an_app_password_opens_no_more_of_the_api_than_it_is_good_for() {
    let server = Server::start().await;
    server.put("a.ics", &event("a", "20260310T090000Z", "Private")).await;
    let status = async |login: &str, method: &str, path: &str, body: &str| {
        let fields = [("authorization", login), ("content-type", "application/json")];
        server.raw(method, &format!("/api/v1{path}"), &fields, body).await.status.as_u16()
    };
    let all = device(&server, Scope::ALL).await;
    let reading = device(&server, Scope { read_only: true, collection: None }).await;
    let club = device(&server, Scope { read_only: false, collection: Some("club".parse().unwrap()) }).await;
    let new = r#"{"title":"x","start":"2026-03-02T09:00:00Z"}"#;
    let list = "/events?start=2026-03-01T00:00:00Z&end=2026-04-01T00:00:00Z";
    let table = [
        ("GET", "/me", "", [200, 200, 200]),
        ("GET", list, "", [200, 200, 403]),
        ("POST", "/events", new, [201, 403, 403]),
        ("POST", "/feeds", r#"{"name":"n"}"#, [201, 403, 403]),
        ("POST", "/sync", "{}", [202, 403, 403]),
        ("GET", "/audit", "", [200, 200, 403]),
        ("GET", "/app-passwords", "", [403, 403, 403]),
        ("POST", "/app-passwords", r#"{"label":"another"}"#, [403, 403, 403]),
        ("DELETE", "/app-passwords/1", "", [403, 403, 403]),
    ];
    for (method, path, body, wanted) in table {
        for (login, wanted) in [&all, &reading, &club].into_iter().zip(wanted) {
            assert_eq!(status(login, method, path, body).await, wanted, "{method} {path}");
        }
    }
}

/// The Authorization field of a device of Ana's.
async fn device(server: &Server, scope: Scope) -> String {
    let ana = UserId::parse("ana").unwrap();
    let (_, password) = server.users.app_password_add_within(&ana, "device", scope).await.unwrap();
    let login = format!("ana:{}", password.expose_str().unwrap());
    format!("Basic {}", data_encoding::BASE64.encode(login.as_bytes()))
}
