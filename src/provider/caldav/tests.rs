//! The adapter against scripted servers: the lines of the fault catalogue (`providers.md` 9) named C and All, and the
//! quirks of 7.4, each as a server that does just that.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use zeroize::Zeroizing;

use super::*;
use crate::clock::ManualClock;
use crate::entropy::SeededEntropy;
use crate::ical::Object;
use crate::provider::{Cursor, Notify, RemoteTag, Stored, Then};
use crate::transport::TransportError;
use crate::transport::fake::{Answer, FakeTransport, answer};

type Verdict = fn(&Fault) -> bool;

const HOME: &str = "https://dav.example.org/ana/";

fn login() -> Login {
    Login { username: "ana".to_owned(), password: Zeroizing::new("geheim".to_owned()) }
}

fn means(transport: &FakeTransport) -> Means {
    Means {
        transport: Arc::new(transport.clone()),
        clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)),
        entropy: Arc::new(SeededEntropy::new(5)),
    }
}

fn account(transport: &FakeTransport) -> CalDav {
    CalDav::known(HOME, &[HOME.to_owned()], login(), &means(transport))
}

fn work() -> RemoteId {
    RemoteId::new("/ana/work/")
}

fn multistatus(inside: &str) -> Answer {
    let ns = "xmlns=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\" xmlns:S=\"http://calendarserver.org/ns/\"";
    answer(207, &[], &format!("<multistatus {ns}>{inside}</multistatus>"))
}

fn found(href: &str, props: &str) -> String {
    format!(
        "<response><href>{href}</href><propstat><prop>{props}</prop><status>HTTP/1.1 200 OK</status></propstat></response>"
    )
}

fn tagged(name: &str, tag: &str) -> String {
    found(&format!("/ana/work/{name}"), &format!("<getetag>{tag}</getetag>"))
}

fn state(href: &str, status: u16) -> String {
    format!("<response><href>{href}</href><status>HTTP/1.1 {status} X</status></response>")
}

fn token(token: &str) -> String {
    format!("<sync-token>{token}</sync-token>")
}

fn itself(props: &str) -> String {
    found("/ana/work/", &format!("<resourcetype><collection/><C:calendar/></resourcetype>{props}"))
}

fn error(status: u16, condition: &str) -> Answer {
    answer(
        status,
        &[],
        &format!("<D:error xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\">{condition}</D:error>"),
    )
}

fn octets(uid: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260101T000000Z\r\nDTEND:20260101T010000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

fn object(uid: &str) -> Object {
    Object::parse(octets(uid).into()).unwrap()
}

fn cursor(page: &Page) -> Cursor {
    match &page.then {
        Then::Done(cursor) => cursor.clone(),
        Then::Next(_) => panic!("the round is not over"),
    }
}

fn names(page: &Page) -> Vec<&str> {
    page.items.iter().map(|item| item.id().as_str()).collect()
}

fn body(request: &Request<Bytes>) -> String {
    String::from_utf8(request.body().to_vec()).unwrap()
}

fn version(name: &str, tag: Option<&str>) -> Version {
    Version { id: RemoteId::new(format!("/ana/work/{name}")), tag: tag.map(RemoteTag::new) }
}

// Cursor and listing

#[tokio::test]
async fn a_round_of_sync_collection_and_the_next() {
    let first =
        [itself(""), tagged("a.ics", "\"1\""), found("/ana/work/sub/", "<getetag>\"x\"</getetag>"), token("t1")]
            .concat();
    let second = [tagged("b.ics", "W/\"2\""), state("/ana/work/a.ics", 404), token("t2")].concat();
    let fake = FakeTransport::script([multistatus(&first), multistatus(&second)]);
    let provider = account(&fake);
    let page = provider.changes(&work(), &Position::Start).await.unwrap();
    assert!(page.complete && page.gone.is_empty());
    assert_eq!(names(&page), ["/ana/work/a.ics"], "26: neither itself nor folders are members");
    let page = provider.changes(&work(), &Position::After(cursor(&page))).await.unwrap();
    assert!(!page.complete);
    assert_eq!(page.items[0].tag(), Some(&RemoteTag::new("\"2\"")));
    assert_eq!(page.gone, [RemoteId::new("/ana/work/a.ics")]);
    let asked: Vec<String> = fake.requests().iter().map(body).collect();
    assert!(asked[1].contains(">t1<") && asked.iter().all(|body| !body.contains("limit")));
}

#[tokio::test]
async fn a_507_inside_means_go_on_with_the_new_token() {
    let first = [tagged("a.ics", "\"1\""), state("/ana/work/", 507), token("t1")].concat();
    let second = [tagged("b.ics", "\"2\""), token("t2")].concat();
    let fake = FakeTransport::script([multistatus(&first), multistatus(&second)]);
    let provider = account(&fake);
    let page = provider.changes(&work(), &Position::Start).await.unwrap();
    assert_eq!(names(&page), ["/ana/work/a.ics"]);
    let Then::Next(next) = page.then else { panic!("not the end") };
    let page = provider.changes(&work(), &Position::Next(next)).await.unwrap();
    assert!(page.complete, "still the same full listing");
    cursor(&page);
}

#[tokio::test]
async fn a_listing_that_does_not_advance_is_no_loop() {
    let same = [state("/ana/work/", 507), token("t1")].concat();
    let fake = FakeTransport::script([multistatus(&same), multistatus(&same)]);
    let provider = account(&fake);
    let Then::Next(next) = provider.changes(&work(), &Position::Start).await.unwrap().then else { panic!() };
    assert!(matches!(provider.changes(&work(), &Position::Next(next)).await, Err(Fault::Garbled(_))));
}

#[tokio::test]
async fn deleted_members_in_every_dress_and_failed_ones() {
    let body = [404, 410, 418, 403, 500].map(|s| state(&format!("/ana/work/{s}.ics"), s)).concat() + &token("t");
    let fake = FakeTransport::script([multistatus(&token("t0")), multistatus(&body), multistatus(&body)]);
    let provider = account(&fake);
    let page = provider.changes(&work(), &Position::Start).await.unwrap();
    let page = provider.changes(&work(), &Position::After(cursor(&page))).await.unwrap();
    assert_eq!(page.gone.len(), 3);
    assert_eq!(names(&page), Vec::<&str>::new(), "unknown is neither there nor gone");
    let page = provider.changes(&work(), &Position::Start).await.unwrap();
    assert_eq!(names(&page), ["/ana/work/403.ics", "/ana/work/500.ics"], "in a full listing silence would mean gone");
}

#[tokio::test]
async fn a_stale_token_is_recognised_whatever_the_status() {
    let start = || multistatus(&token("t1"));
    for refusal in [
        error(403, "<D:valid-sync-token/>"),
        error(409, "<D:valid-sync-token/>"),
        answer(400, &[], ""),
        answer(404, &[], ""),
        answer(412, &[], ""),
        answer(403, &[], ""),
        answer(500, &[], "Internal Server Error"),
        answer(200, &[], "<html/>"),
    ] {
        let fake = FakeTransport::script([start(), refusal.clone(), multistatus(&itself(""))]);
        let provider = account(&fake);
        let page = provider.changes(&work(), &Position::Start).await.unwrap();
        let found = provider.changes(&work(), &Position::After(cursor(&page))).await;
        assert_eq!(found, Err(Fault::CursorExpired), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_server_that_refuses_each_of_its_tokens_is_asked_for_its_tag() {
    let fake = FakeTransport::serving(|request| match (request.method().as_str(), body(request)) {
        ("REPORT", asked) if asked.contains(">t1<") => answer(500, &[], "Internal Server Error"),
        ("REPORT", _) => multistatus(&[tagged("a.ics", "\"1\""), token("t1")].concat()),
        _ => multistatus(&[itself("<S:getctag>c1</S:getctag>"), tagged("a.ics", "\"1\"")].concat()),
    });
    let provider = account(&fake);
    for _ in 0..2 {
        let page = provider.changes(&work(), &Position::Start).await.unwrap();
        let next = provider.changes(&work(), &Position::After(cursor(&page))).await;
        assert_eq!(next, Err(Fault::CursorExpired), "it may have been stale");
    }
    let page = provider.changes(&work(), &Position::Start).await.unwrap();
    assert!(page.complete && names(&page) == ["/ana/work/a.ics"]);
    let before = fake.requests().len();
    let quiet = provider.changes(&work(), &Position::After(cursor(&page))).await.unwrap();
    assert!(quiet.items.is_empty());
    assert_eq!(fake.requests().len() - before, 1);
}

#[tokio::test]
async fn trouble_is_no_stale_token_and_a_lost_calendar_neither() {
    let expect: [(Answer, Answer, Verdict); 7] = [
        (answer(401, &[], ""), answer(401, &[], ""), |f| matches!(f, Fault::Unauthorized(_))),
        (answer(503, &[("retry-after", "60")], ""), answer(500, &[], ""), |f| matches!(f, Fault::Throttled(Some(_)))),
        (answer(502, &[], ""), answer(502, &[], ""), |f| matches!(f, Fault::Unreachable(_))),
        (answer(500, &[], ""), answer(500, &[], ""), |f| matches!(f, Fault::Unreachable(_))),
        (answer(404, &[], ""), answer(404, &[], ""), |f| *f == Fault::CalendarGone),
        (answer(403, &[], ""), answer(403, &[], ""), |f| matches!(f, Fault::Forbidden(_))),
        (answer(403, &[], ""), multistatus(&state("/ana/work/", 404)), |f| *f == Fault::CalendarGone),
    ];
    for (refusal, then, is_right) in expect {
        let fake = FakeTransport::script([multistatus(&token("t1")), refusal.clone(), then]);
        let provider = account(&fake);
        let page = provider.changes(&work(), &Position::Start).await.unwrap();
        let fault = provider.changes(&work(), &Position::After(cursor(&page))).await.unwrap_err();
        assert!(is_right(&fault), "{refusal:?}: {fault:?}");
    }
}

#[tokio::test]
async fn what_is_not_a_whole_answer_is_never_a_page() {
    let answers = [
        answer(200, &[("content-type", "text/html")], "<html>Sign in</html>"),
        answer(207, &[], ""),
        answer(207, &[], "<html>Sign in</html>"),
        answer(207, &[], "<multistatus xmlns=\"DAV:\"><response><href>/ana/work/a.ics</href>"),
        answer(204, &[], ""),
        Err(TransportError::Cut { host: "x".to_owned() }),
        Err(TransportError::TooLarge { host: "x".to_owned() }),
        Err(TransportError::TimedOut { host: "x".to_owned() }),
        Err(TransportError::Tls { host: "x".to_owned(), why: "expired".to_owned() }),
    ];
    for one in answers {
        let always = one.clone();
        let fake = FakeTransport::serving(move |_| always.clone());
        let fault = account(&fake).changes(&work(), &Position::Start).await.unwrap_err();
        assert!(matches!(fault, Fault::Garbled(_) | Fault::Unreachable(_)), "{one:?}: {fault:?}");
        let fault = account(&fake).calendars().await.unwrap_err();
        assert!(matches!(fault, Fault::Garbled(_) | Fault::Unreachable(_)), "{one:?}: {fault:?}");
        let fault = account(&fake).fetch(&work(), &[RemoteId::new("/a"), RemoteId::new("/b")]).await.unwrap_err();
        assert!(matches!(fault, Fault::Garbled(_) | Fault::Unreachable(_)), "{one:?}: {fault:?}");
    }
}

#[tokio::test]
async fn a_server_without_sync_collection_is_asked_for_its_tag() {
    let listing = [itself(""), tagged("a.ics", "\"1\"")].concat();
    let ctag = |tag: &str| multistatus(&itself(&format!("<S:getctag>{tag}</S:getctag>")));
    let fake = FakeTransport::script([
        answer(501, &[], ""),
        answer(400, &[], ""),
        ctag("c1"),
        multistatus(&listing),
        ctag("c1"),
        ctag("c2"),
        multistatus(&itself("")),
    ]);
    let provider = account(&fake);
    let page = provider.changes(&work(), &Position::Start).await.unwrap();
    assert!(page.complete && names(&page) == ["/ana/work/a.ics"]);
    let quiet = provider.changes(&work(), &Position::After(cursor(&page))).await.unwrap();
    assert!(!quiet.complete && quiet.items.is_empty(), "same tag: nothing new, and one request");
    assert_eq!(fake.requests().len(), 5);
    let page = provider.changes(&work(), &Position::After(cursor(&quiet))).await.unwrap();
    assert!(page.complete && page.items.is_empty(), "the calendar named itself: now it is empty indeed");
}

#[tokio::test]
async fn the_second_depth_is_tried_and_remembered() {
    let fake = FakeTransport::script([answer(400, &[], ""), multistatus(&token("t1")), multistatus(&token("t2"))]);
    let provider = account(&fake);
    let page = provider.changes(&work(), &Position::Start).await.unwrap();
    provider.changes(&work(), &Position::After(cursor(&page))).await.unwrap();
    let depths: Vec<_> = fake.requests().iter().map(|r| r.headers()["depth"].to_str().unwrap().to_owned()).collect();
    assert_eq!(depths, ["0", "1", "1"]);
}

#[tokio::test]
async fn a_listing_that_does_not_name_its_calendar_proves_nothing() {
    let refused = || answer(501, &[], "");
    let fake = FakeTransport::script([refused(), refused(), multistatus(&itself("")), multistatus("")]);
    assert!(matches!(account(&fake).changes(&work(), &Position::Start).await, Err(Fault::Garbled(_))));
}

#[tokio::test]
async fn a_folder_too_big_to_list_is_queried() {
    let refused = || answer(501, &[], "");
    let limits = || error(403, "<D:number-of-matches-within-limits/>");
    let fake = FakeTransport::script([
        refused(),
        refused(),
        multistatus(&itself("")),
        limits(),
        multistatus(&tagged("a.ics", "\"1\"")),
    ]);
    let page = account(&fake).changes(&work(), &Position::Start).await.unwrap();
    assert!(page.complete && names(&page) == ["/ana/work/a.ics"]);
    let fake = FakeTransport::script([
        refused(),
        refused(),
        multistatus(&itself("")),
        limits(),
        answer(400, &[], ""),
        multistatus(&tagged("a.ics", "\"1\"")),
    ]);
    let page = account(&fake).changes(&work(), &Position::Start).await.unwrap();
    assert!(!page.complete, "events alone prove nothing about tasks");
}

#[tokio::test]
async fn a_missing_tag_means_look_at_the_content() {
    let body = found("/ana/work/a.ics", "") + &token("t");
    let fake = FakeTransport::script([multistatus(&body)]);
    let page = account(&fake).changes(&work(), &Position::Start).await.unwrap();
    assert_eq!(page.items[0].tag(), None);
}

// Fetching

/// A server of the objects `0.ics` to `9.ics`.. whose multiget stops after `cap`.
fn objects(cap: usize, absent: &'static str) -> FakeTransport {
    FakeTransport::serving(move |request| {
        if request.method() == "GET" {
            let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            return if name == absent {
                answer(404, &[], "")
            } else {
                answer(200, &[("etag", "\"g\"")], &octets(&name))
            };
        }
        let body = body(request);
        let hrefs = body.match_indices("href>/").map(|(at, _)| body[at + 5..].split('<').next().unwrap().to_owned());
        let full: String = hrefs
            .filter(|href| !href.ends_with(absent))
            .take(cap)
            .map(|href| {
                found(&href, &format!("<getetag>\"m\"</getetag><C:calendar-data>{}</C:calendar-data>", octets(&href)))
            })
            .collect::<Vec<_>>()
            .concat();
        multistatus(&full)
    })
}

#[tokio::test]
async fn what_a_multiget_leaves_out_is_asked_for_again() {
    for (cap, requests) in [(1000, 3), (45, 5), (0, 3 + 12 + 120)] {
        let fake = objects(cap, "none");
        let ids: Vec<RemoteId> = (0..120).map(|n| RemoteId::new(format!("/ana/work/{n}.ics"))).collect();
        let items = account(&fake).fetch(&work(), &ids).await.unwrap();
        assert_eq!(items.len(), 120, "{cap}");
        assert!(fake.requests().len() <= requests, "{cap}: {}", fake.requests().len());
        let multigets = fake.requests().into_iter().filter(|r| r.method() == "REPORT");
        assert!(multigets.map(|r| body(&r).matches("href>/").count()).all(|n| n <= 50));
    }
}

#[tokio::test]
async fn gone_is_proven_one_by_one() {
    let fake = objects(1000, "b.ics");
    let provider = account(&fake);
    let ids = ["a.ics", "b.ics"].map(|name| RemoteId::new(format!("/ana/work/{name}")));
    let items = provider.fetch(&work(), &ids).await.unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(fake.requests().last().unwrap().method(), "GET");
    assert_eq!(provider.fetch(&work(), &ids[1..]).await, Err(Fault::Gone));
}

#[tokio::test]
async fn a_sign_in_page_is_no_object() {
    let fake = FakeTransport::serving(|_| answer(200, &[], "<html>"));
    let found = account(&fake).fetch(&work(), &[RemoteId::new("/ana/work/a.ics")]).await;
    assert!(matches!(found, Err(Fault::Garbled(_))));
}

#[tokio::test]
async fn another_spelling_is_tried_before_an_object_counts_as_gone() {
    let fake = FakeTransport::serving(|request| match request.uri().path() {
        "/ana/work/a%40b.ics" => answer(200, &[], &octets("a")),
        _ => answer(404, &[], ""),
    });
    let id = RemoteId::new("/ana/work/a@b.ics");
    let provider = account(&fake);
    assert_eq!(provider.fetch(&work(), std::slice::from_ref(&id)).await.unwrap()[0].id(), &id);
    provider.fetch(&work(), &[id]).await.unwrap();
    assert_eq!(fake.requests().len(), 3, "remembered");
}

// Writing

/// Answers by method and the value of a condition, in order per method.
fn script(answers: Vec<(&'static str, Answer)>) -> FakeTransport {
    let mut answers = answers;
    FakeTransport::serving(move |request| {
        let at = answers.iter().position(|(method, _)| request.method() == *method);
        at.map_or_else(|| Err(TransportError::Cut { host: request.method().to_string() }), |at| answers.remove(at).1)
    })
}

fn key() -> IdempotencyKey {
    IdempotencyKey::new("k1")
}

#[tokio::test]
async fn a_create_is_conditional_and_its_server_is_put_to_the_test_once() {
    let sent = octets("u1");
    let fake = script(vec![
        ("GET", answer(404, &[], "")),
        ("PUT", answer(201, &[("etag", "\"1\"")], "")),
        ("PUT", answer(412, &[], "")),
        ("GET", answer(200, &[("etag", "\"1\"")], &sent)),
        ("PUT", answer(201, &[("etag", "\"2\"")], "")),
    ]);
    let provider = account(&fake);
    let written = provider.create(&work(), &key(), &Change::of(&object("u1"))).await.unwrap();
    assert_eq!(written, Written { version: version("k1.ics", Some("\"1\"")), stored: Stored::AsSent });
    provider.create(&work(), &IdempotencyKey::new("k2"), &Change::of(&object("u1"))).await.unwrap();
    let requests = fake.requests();
    assert_eq!(requests.len(), 5, "from then on one request is enough");
    assert!(requests.iter().filter(|r| r.method() == "PUT").all(|r| r.headers()["if-none-match"] == "*"));
    assert_eq!(requests[1].uri().path(), "/ana/work/k1.ics");
}

#[tokio::test]
async fn a_server_that_overwrites_is_looked_at_before_every_create() {
    let fake = script(vec![
        ("GET", answer(404, &[], "")),
        ("PUT", answer(201, &[("etag", "\"1\"")], "")),
        ("PUT", answer(204, &[("etag", "\"2\"")], "")),
        ("GET", answer(200, &[("etag", "\"2\"")], &octets("u1"))),
        ("GET", answer(200, &[("etag", "\"9\"")], &octets("u1"))),
    ]);
    let provider = account(&fake);
    let written = provider.create(&work(), &key(), &Change::of(&object("u1"))).await.unwrap();
    assert_eq!(written.version.tag, Some(RemoteTag::new("\"2\"")));
    let again = provider.create(&work(), &key(), &Change::of(&object("u1"))).await;
    assert_eq!(again, Err(Fault::Exists(Some(version("k1.ics", Some("\"9\""))))));
    assert_eq!(fake.requests().len(), 5);
}

#[tokio::test]
async fn no_tag_or_a_weak_one_or_another_place_means_read_back() {
    let stored = octets("u1").replace("PRODID:x", "PRODID:server");
    for (headers, place) in [
        (vec![], "u.ics"),
        (vec![("etag", "W/\"1\"")], "u.ics"),
        (vec![("etag", "\"1\""), ("location", "/ana/work/moved.ics")], "moved.ics"),
        (vec![("content-location", "https://dav.example.org/ana/work/moved.ics")], "moved.ics"),
    ] {
        let fake =
            script(vec![("PUT", answer(204, &headers, "")), ("GET", answer(200, &[("etag", "\"7\"")], &stored))]);
        let written =
            account(&fake).update(&work(), &version("u.ics", Some("\"0\"")), &Change::of(&object("u1"))).await.unwrap();
        assert_eq!(written.version, version(place, Some("\"7\"")), "{headers:?}");
        assert_eq!(written.stored, Stored::Different(stored.clone().into()));
        assert_eq!(fake.requests()[0].headers()["if-match"], "\"0\"");
        assert_eq!(fake.requests()[1].uri().path(), format!("/ana/work/{place}"));
    }
}

#[tokio::test]
async fn a_failed_condition_says_changed_or_gone() {
    let put = || ("PUT", answer(412, &[], ""));
    let fake = script(vec![put(), ("GET", answer(200, &[], &octets("u"))), put(), ("GET", answer(404, &[], ""))]);
    let provider = account(&fake);
    for expect in [Fault::Changed, Fault::Gone] {
        let found = provider.update(&work(), &version("u.ics", Some("\"0\"")), &Change::of(&object("u"))).await;
        assert_eq!(found, Err(expect));
    }
}

#[tokio::test]
async fn without_a_known_tag_the_server_is_asked_first() {
    let fake = script(vec![("GET", answer(200, &[("etag", "raw-5")], &octets("u"))), ("DELETE", answer(204, &[], ""))]);
    account(&fake).delete(&work(), &version("u.ics", None), &Removal::default()).await.unwrap();
    assert_eq!(fake.requests()[1].headers()["if-match"], "raw-5", "unquoted as the server has it");
}

#[tokio::test]
async fn a_delete_of_what_is_gone_says_so() {
    for answers in [
        vec![("DELETE", answer(404, &[], ""))],
        vec![("DELETE", answer(410, &[], ""))],
        vec![("DELETE", answer(412, &[], "")), ("GET", answer(404, &[], ""))],
    ] {
        let fake = script(answers);
        assert_eq!(
            account(&fake).delete(&work(), &version("u.ics", Some("\"0\"")), &Removal::default()).await,
            Err(Fault::Gone)
        );
    }
    let fake = script(vec![("DELETE", answer(412, &[], "")), ("GET", answer(200, &[], &octets("u")))]);
    assert_eq!(
        account(&fake).delete(&work(), &version("u.ics", Some("\"0\"")), &Removal::default()).await,
        Err(Fault::Changed)
    );
    let fake = script(vec![("GET", answer(404, &[], ""))]);
    assert_eq!(account(&fake).delete(&work(), &version("u.ics", None), &Removal::default()).await, Err(Fault::Gone));
}

#[tokio::test]
async fn a_taken_uid_leads_to_its_holder() {
    let got = || ("GET", answer(200, &[("etag", "\"h\"")], &octets("u1")));
    let named = "<C:no-uid-conflict><D:href>/ana/work/holder.ics</D:href></C:no-uid-conflict>";
    for status in [403, 409, 412] {
        let fake = script(vec![("GET", answer(404, &[], "")), ("PUT", error(status, named)), got()]);
        let found = account(&fake).create(&work(), &key(), &Change::of(&object("u1"))).await;
        assert_eq!(found, Err(Fault::Exists(Some(version("holder.ics", Some("\"h\""))))), "{status}");
    }
    // Not named: found by its UID among all.
    let listing = [tagged("x.ics", "\"1\""), tagged("holder.ics", "\"2\""), token("t")].concat();
    let data = |name: &str, uid: &str| {
        found(
            &format!("/ana/work/{name}"),
            &format!("<getetag>\"2\"</getetag><C:calendar-data>{}</C:calendar-data>", octets(uid)),
        )
    };
    let all = [data("x.ics", "other"), data("holder.ics", "u1")].concat();
    let fake = script(vec![
        ("GET", answer(404, &[], "")),
        ("PUT", error(409, "<C:no-uid-conflict/>")),
        ("REPORT", multistatus(&listing)),
        ("REPORT", multistatus(&all)),
    ]);
    let found = account(&fake).create(&work(), &key(), &Change::of(&object("u1"))).await;
    assert_eq!(found, Err(Fault::Exists(Some(version("holder.ics", Some("\"2\""))))));
}

#[tokio::test]
async fn refusals_are_told_from_trouble() {
    let table: [(Answer, Verdict); 7] = [
        (error(403, "<C:max-resource-size/>"), |f| matches!(f, Fault::Refused(_))),
        (error(403, "<D:need-privileges/>"), |f| matches!(f, Fault::Forbidden(_))),
        (answer(415, &[], ""), |f| matches!(f, Fault::Refused(_))),
        (answer(507, &[], ""), |f| matches!(f, Fault::Throttled(Some(_)))),
        (answer(423, &[], ""), |f| matches!(f, Fault::Throttled(_))),
        (answer(401, &[], ""), |f| matches!(f, Fault::Unauthorized(_))),
        (Err(TransportError::Cut { host: "x".to_owned() }), |f| matches!(f, Fault::Unreachable(_))),
    ];
    for (put, is_right) in table {
        let fake = script(vec![("PUT", put.clone()), ("PROPFIND", multistatus(&found("/ana/work/", "")))]);
        let fault = account(&fake)
            .update(&work(), &version("u.ics", Some("\"0\"")), &Change::of(&object("u")))
            .await
            .unwrap_err();
        assert!(is_right(&fault), "{put:?}: {fault:?}");
        assert!(!fault.to_string().contains("geheim"));
        let puts = fake.requests().iter().filter(|request| request.method() == "PUT").count();
        assert_eq!(puts, 1, "80: no second try");
    }
}

// Discovery

fn entrance(request: &Request<Bytes>) -> Answer {
    let calendar = found(
        "/cal/ana/work/",
        "<resourcetype><collection/><C:calendar/></resourcetype><displayname>Work</displayname>",
    );
    match request.uri().path() {
        "/p/ana/" => {
            multistatus(&found("/p/ana/", "<C:calendar-home-set><href>/cal/ana/</href></C:calendar-home-set>"))
        }
        "/cal/ana/" if request.headers()["depth"] == "1" => {
            multistatus(&(found("/cal/ana/", "<resourcetype><collection/></resourcetype>") + &calendar))
        }
        "/cal/ana/" => multistatus(&found("/cal/ana/", "<resourcetype><collection/></resourcetype>")),
        "/cal/ana/work/" => multistatus(&calendar),
        "/dav/" => {
            multistatus(&found("/dav/", "<current-user-principal><href>/p/ana/</href></current-user-principal>"))
        }
        _ => answer(404, &[], ""),
    }
}

#[tokio::test]
async fn every_way_in_leads_to_the_calendars() {
    let table = [
        ("https://dav.example.org/", "https://dav.example.org/cal/ana/"),
        ("https://dav.example.org/dav/", "https://dav.example.org/cal/ana/"),
        ("https://dav.example.org/p/ana/", "https://dav.example.org/cal/ana/"),
        ("https://dav.example.org/cal/ana/", "https://dav.example.org/cal/ana/"),
        ("https://dav.example.org/cal/ana/work/", "https://dav.example.org/cal/ana/work/#calendar"),
        ("dav.example.org", "https://dav.example.org/cal/ana/"),
        ("dav.example.org/dav/", "https://dav.example.org/cal/ana/"),
        ("ana@dav.example.org", "https://dav.example.org/cal/ana/"),
        ("https://someone:else@dav.example.org/dav/#x", "https://dav.example.org/cal/ana/"),
    ];
    for (given, home) in table {
        // Once with a useful well-known address, once without.
        for redirect in [true, false] {
            let fake = FakeTransport::serving(move |request| match request.uri().path() {
                "/.well-known/caldav" if redirect => answer(301, &[("location", "/dav/")], ""),
                "/" => answer(501, &[], ""),
                _ => entrance(request),
            });
            let (provider, calendars) = CalDav::discover(given, login(), &means(&fake)).await.unwrap();
            assert_eq!(provider.homes(), [home], "{given}");
            assert_eq!((calendars.len(), calendars[0].name.as_str()), (1, "Work"), "{given}");
            let known = CalDav::known(given, &provider.homes(), login(), &means(&fake));
            assert_eq!(known.calendars().await.unwrap(), calendars, "{given}");
        }
    }
}

#[tokio::test]
async fn srv_and_txt_records_lead_within_the_domain() {
    let fake = FakeTransport::serving(|request| match request.uri().host() {
        Some("dav.example.org") => entrance(request),
        _ => Err(TransportError::TimedOut { host: "example.org".to_owned() }),
    })
    .with_service("_caldavs._tcp.example.org", "dav.example.org", 8443)
    .with_text("_caldavs._tcp.example.org", "path=/dav/");
    let (provider, _) = CalDav::discover("ana@example.org", login(), &means(&fake)).await.unwrap();
    assert_eq!(provider.homes(), ["https://dav.example.org:8443/cal/ana/"]);
}

#[tokio::test]
async fn a_stranger_named_by_dns_gets_no_password() {
    let fake = FakeTransport::serving(|request| match request.uri().host() {
        Some("dav.hoster.net") => {
            assert!(!request.headers().contains_key("authorization"));
            answer(401, &[("www-authenticate", "Basic")], "")
        }
        _ => answer(404, &[], ""),
    })
    .with_service("_caldavs._tcp.example.org", "dav.hoster.net", 443);
    let error = CalDav::discover("ana@example.org", login(), &means(&fake)).await.unwrap_err();
    assert_eq!(
        error,
        DiscoverError::Elsewhere { given: "ana@example.org".to_owned(), host: "dav.hoster.net".to_owned() }
    );
}

#[tokio::test]
async fn failures_are_told_in_plain_words() {
    let table: [(Answer, &str); 5] = [
        (answer(401, &[], ""), "refuses the user name or the password"),
        (answer(404, &[], ""), "is not a CalDAV server"),
        (answer(200, &[], "<html/>"), "is not a CalDAV server"),
        (Err(TransportError::RefusedAddress { host: "h".to_owned() }), "providers.allow_private_addresses"),
        (Err(TransportError::TimedOut { host: "h".to_owned() }), "did not answer in time"),
    ];
    for (one, words) in table {
        let always = one.clone();
        let fake = FakeTransport::serving(move |_| always.clone());
        let error =
            CalDav::discover("https://dav.example.org/x/", login(), &means(&fake)).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        if words.contains("password") {
            assert_eq!(fake.requests().len(), 1, "a refused password is not tried elsewhere");
        }
    }
    let fake = FakeTransport::script([]);
    for bad in ["", "a b", "ftp://x/", "https://", "@"] {
        let error = CalDav::discover(bad, login(), &means(&fake)).await.unwrap_err();
        assert!(matches!(error, DiscoverError::BadAddress(_)), "{bad}: {error}");
    }
}

#[tokio::test]
async fn homes_that_moved_are_found_again() {
    let fake = FakeTransport::serving(entrance);
    let gone = CalDav::known(
        "https://dav.example.org/dav/",
        &["https://dav.example.org/old/".to_owned()],
        login(),
        &means(&fake),
    );
    assert_eq!(gone.calendars().await.unwrap().len(), 1);
    assert_eq!(gone.homes(), ["https://dav.example.org/cal/ana/"]);
}

#[tokio::test]
async fn only_calendars_are_calendars() {
    let kind = |name: &str, inside: &str| {
        found(&format!("/ana/{name}/"), &format!("<resourcetype><collection/>{inside}</resourcetype>"))
    };
    let body = [
        found("/ana/", "<resourcetype><collection/></resourcetype>"),
        kind("book", "<A:addressbook xmlns:A=\"urn:ietf:params:xml:ns:carddav\"/>"),
        kind("inbox", "<C:schedule-inbox/><C:calendar/>"),
        kind("feed", "<C:calendar/><S:subscribed/>"),
        kind("trash", "<C:calendar/><N:deleted-calendar xmlns:N=\"http://nextcloud.com/ns\"/>"),
        kind("real", "<C:calendar/>"),
    ];
    let fake = FakeTransport::script([multistatus(&body.concat())]);
    let calendars = account(&fake).calendars().await.unwrap();
    assert_eq!(calendars.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["/ana/real/"]);
    assert_eq!(calendars[0].name, "real");
}

#[tokio::test]
async fn an_event_without_an_end_gets_it_where_the_server_wants_one() {
    let endless = |start: &str| {
        let text = octets("u1").replace("DTSTART:20260101T000000Z\r\nDTEND:20260101T010000Z", start);
        Object::parse(text.into()).unwrap()
    };
    let fake = script(vec![
        ("PUT", answer(404, &[], "")),
        ("PUT", answer(204, &[], "")),
        ("GET", answer(200, &[("etag", "\"1\"")], &octets("u1"))),
        ("PUT", answer(204, &[], "")),
        ("GET", answer(200, &[("etag", "\"2\"")], &octets("u1"))),
    ]);
    let provider = account(&fake);
    for start in ["DTSTART;VALUE=DATE:20261231", "DTSTART;TZID=Europe/Berlin:20260101T100000"] {
        provider.update(&work(), &version("u.ics", Some("\"0\"")), &Change::of(&endless(start))).await.unwrap();
    }
    let sent: Vec<String> = fake
        .requests()
        .iter()
        .filter(|request| request.method() == "PUT")
        .map(|request| String::from_utf8(request.body().to_vec()).unwrap())
        .collect();
    assert_eq!(sent.len(), 3, "once found out, it is known");
    assert!(!sent[0].contains("DTEND"));
    assert!(sent[1].contains("DTSTART;VALUE=DATE:20261231\r\nDTEND;VALUE=DATE:20270101\r\n"));
    assert!(sent[2].contains("DTEND;TZID=Europe/Berlin:20260101T100000\r\n"));
}

#[tokio::test]
async fn a_deletion_that_nobody_shall_hear_of_says_so() {
    for (notify, flag) in [(Notify::Nobody, Some("F")), (Notify::Attendees, None)] {
        let fake = script(vec![("DELETE", answer(204, &[], ""))]);
        let removal = Removal { notify, ..Removal::default() };
        account(&fake).delete(&work(), &version("u.ics", Some("\"0\"")), &removal).await.unwrap();
        let requests = fake.requests();
        let sent = requests[0].headers().get("schedule-reply").map(|value| value.to_str().unwrap());
        assert_eq!(sent, flag);
    }
}

#[tokio::test]
async fn a_uid_that_another_calendar_has_is_learned_from() {
    let elsewhere = "<C:no-uid-conflict><D:href>/ana/home/holder.ics</D:href></C:no-uid-conflict>";
    let fake = script(vec![("GET", answer(404, &[], "")), ("PUT", error(403, elsewhere))]);
    let provider = account(&fake);
    assert!(!provider.deletes_first());
    assert_eq!(provider.create(&work(), &key(), &Change::of(&object("u1"))).await, Err(Fault::Exists(None)));
    assert!(provider.deletes_first(), "a move has to delete first");
}
