use std::sync::Arc;

use http::header::{AUTHORIZATION, IF_MODIFIED_SINCE, IF_NONE_MATCH};

use super::*;
use crate::clock::ManualClock;
use crate::entropy::SeededEntropy;
use crate::transport::TransportError;
use crate::transport::fake::{Answer, FakeTransport, answer};

fn means(fake: &FakeTransport) -> Means {
    let clock = ManualClock::new("2025-06-15T12:00:00Z".parse().unwrap());
    Means { transport: Arc::new(fake.clone()), clock: Arc::new(clock), entropy: Arc::new(SeededEntropy::new(1)) }
}

fn feed(fake: &FakeTransport) -> Feed {
    Feed::new("https://club.example/games.ics?key=geheim".parse().unwrap(), &means(fake))
}

fn file(rest: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nNAME:Games\r\nREFRESH-INTERVAL:PT2H\r\nBEGIN:VEVENT\r\nUID:a\r\n\
         DTSTAMP:20250101T000000Z\r\nDTSTART:20250701T100000Z\r\nSUMMARY:Game\r\nEND:VEVENT\r\n{rest}END:VCALENDAR\r\n"
    )
}

fn calendar() -> RemoteId {
    RemoteId::new(CALENDAR)
}

fn cursor(page: &Page) -> Cursor {
    match &page.then {
        Then::Done(cursor) => cursor.clone(),
        Then::Next(_) => panic!("a feed has one page"),
    }
}

#[tokio::test]
#[expect(clippy::duration_suboptimal_units, reason = "hours and days as they are counted elsewhere in this file")]
async fn a_quiet_feed_costs_one_conditional_request() {
    let fake = FakeTransport::script([
        answer(200, &[("etag", "\"1\""), ("last-modified", "Sun, 01 Jun 2025 00:00:00 GMT")], &file("")),
        answer(304, &[], ""),
        answer(200, &[("etag", "\"2\"")], &file("")),
    ]);
    let feed = feed(&fake);
    let first = feed.changes_afresh(&calendar(), None).await.unwrap();
    assert!(first.complete && first.items.len() == 1);
    assert_eq!(feed.poll_interval(&calendar()), Some(Duration::from_secs(7200)));
    let second = feed.changes(&calendar(), &Position::After(cursor(&first))).await.unwrap();
    assert!(!second.complete && second.items.is_empty() && cursor(&second) == cursor(&first));
    // A server whose tags say nothing sends the same file again.
    let third = feed.changes(&calendar(), &Position::After(cursor(&second))).await.unwrap();
    assert!(!third.complete && third.items.is_empty());
    let requests = fake.requests();
    assert_eq!(requests.len(), 3);
    assert!(!requests[0].headers().contains_key(IF_NONE_MATCH));
    assert_eq!(requests[1].headers()[IF_NONE_MATCH], "\"1\"");
    assert_eq!(requests[1].headers()[IF_MODIFIED_SINCE], "Sun, 01 Jun 2025 00:00:00 GMT");
}

#[tokio::test]
#[expect(clippy::type_complexity, reason = "spelled out once, here")]
async fn what_is_no_whole_calendar_is_a_fault_and_changes_nothing() {
    let host = || "club.example".to_owned();
    let table: [(Answer, fn(&Fault) -> bool); 9] = [
        (answer(200, &[("content-type", "text/html")], "<!DOCTYPE html><p>Sign in"), |f| {
            matches!(f, Fault::Garbled(_))
        }),
        (answer(200, &[], ""), |f| matches!(f, Fault::Garbled(_))),
        (answer(204, &[], ""), |f| matches!(f, Fault::Unreachable(_))),
        (answer(401, &[], ""), |f| matches!(f, Fault::Unreachable(_))),
        (answer(404, &[], ""), |f| matches!(f, Fault::Unreachable(_))),
        (answer(503, &[("retry-after", "60")], ""), |f| matches!(f, Fault::Throttled(Some(_)))),
        (Err(TransportError::TooLarge { host: host() }), |f| matches!(f, Fault::Unreachable(_))),
        (Err(TransportError::TimedOut { host: host() }), |f| matches!(f, Fault::Unreachable(_))),
        (Err(TransportError::RefusedAddress { host: host() }), |f| f.to_string().contains("allow_private_addresses")),
    ];
    for (bad, is_right) in table {
        let fake = FakeTransport::script([answer(200, &[], &file("")), bad.clone()]);
        let feed = feed(&fake);
        let first = feed.changes_afresh(&calendar(), None).await.unwrap();
        let fault = feed.changes(&calendar(), &Position::After(cursor(&first))).await.unwrap_err();
        assert!(is_right(&fault), "{bad:?}: {fault:?}");
        assert!(!fault.to_string().contains("geheim"));
        assert_eq!(feed.calendars().await.unwrap()[0].name, "Games", "what was known is still known");
    }
}

#[tokio::test]
async fn redirects_are_followed_so_far_and_with_the_password_only_at_home() {
    let fake = FakeTransport::script([
        answer(302, &[("location", "/there.ics")], ""),
        answer(302, &[("location", "https://cdn.example/x.ics")], ""),
        answer(200, &[], &file("")),
    ]);
    let url = "https://ana:geh%3Aeim@club.example/games.ics".parse().unwrap();
    Feed::new(url, &means(&fake)).changes(&calendar(), &Position::Start).await.unwrap();
    let requests = fake.requests();
    assert_eq!(requests[0].uri(), "https://club.example/games.ics");
    assert_eq!(requests[0].headers()[AUTHORIZATION], "Basic YW5hOmdlaDplaW0=");
    assert!(requests[1].headers().contains_key(AUTHORIZATION) && !requests[2].headers().contains_key(AUTHORIZATION));
    for to in ["http://club.example/x.ics", "ftp://club.example/", "https://club.example/games.ics?key=geheim"] {
        let to = to.to_owned();
        let fake = FakeTransport::serving(move |_| answer(302, &[("location", &to)], ""));
        assert!(matches!(feed(&fake).calendars().await, Err(Fault::Unreachable(_))));
        assert!(fake.requests().len() <= 6);
    }
}

#[tokio::test]
async fn webcal_means_https_first_and_what_answers_is_kept() {
    let fake = FakeTransport::serving(|request| match request.uri().scheme_str() {
        Some("http") => answer(200, &[], &file("")),
        _ => Err(TransportError::Cut { host: "club.example".to_owned() }),
    });
    let (feed, url, calendars) = subscribe(" webcal://club.example/x.ics#top ", &means(&fake)).await.unwrap();
    assert_eq!((url.as_str(), feed.host()), ("http://club.example/x.ics", "club.example"));
    assert!(calendars[0].read_only && calendars.len() == 1);
    assert_eq!(fake.lines(), ["GET https://club.example/x.ics", "GET http://club.example/x.ics"]);
    for bad in ["", "ftp://x/y.ics", "https://"] {
        assert!(subscribe(bad, &means(&fake)).await.is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_broken_event_is_set_aside_without_another_request() {
    let broken = "BEGIN:VEVENT\r\nno line at all\r\nEND:VEVENT\r\n";
    let fake = FakeTransport::script([answer(200, &[], &file(broken))]);
    let feed = feed(&fake);
    let page = feed.changes_afresh(&calendar(), None).await.unwrap();
    assert!(page.complete && page.items.len() == 2);
    let id = page.items[1].id().clone();
    let fault = feed.fetch(&calendar(), std::slice::from_ref(&id)).await.unwrap_err();
    assert!(matches!(&fault, Fault::Garbled(why) if why.starts_with("line ")), "{fault:?}");
    assert_eq!(feed.fetch(&calendar(), &[RemoteId::new("unknown.ics")]).await, Err(Fault::Gone));
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn a_full_look_still_knows_who_was_who() {
    let other = file("").replace("UID:a", "UID:b");
    let fake = FakeTransport::script([answer(200, &[], &file("")), answer(200, &[], &other)]);
    let first = feed(&fake).changes_afresh(&calendar(), None).await.unwrap();
    // Another process, which has the cursor alone.
    let second = feed(&fake).changes_afresh(&calendar(), Some(&cursor(&first))).await.unwrap();
    assert_eq!(first.items, second.items);
}

#[tokio::test]
async fn nothing_is_written_to_a_feed() {
    let fake = FakeTransport::script([]);
    let feed = feed(&fake);
    let version = Version { id: RemoteId::new("x"), tag: None };
    let refused = feed.delete(&calendar(), &version, &Removal::default()).await;
    assert!(matches!(refused, Err(Fault::Refused(_))));
    assert!(fake.requests().is_empty());
    assert!(!format!("{feed:?}").contains("geheim"));
}
