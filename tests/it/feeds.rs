//! Feeds as their readers see them, and what they must never see.

use std::sync::Arc;

use bytes::Bytes;
use lineartime::calendar::{Author, CollectionChange, Conditions, Privacy};
use lineartime::ical::Object;
use lineartime::id::{CollectionId, Place, UserId};
use lineartime::subscription::{Detail, Feed, Field, Kind, Rules};

use super::caldav::{Answer, Server};

const SECRET: &str = "S3CRET";

async fn server_with(events: &[(&str, String)]) -> Server {
    let server = Server::start().await;
    for (name, lines) in events {
        put(&server, "local", name, lines).await;
    }
    server
}

async fn put(server: &Server, collection: &str, name: &str, lines: &str) {
    let text = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nDTSTAMP:20260101T000000Z\r\n{}\r\nEND:VEVENT\r\n\
         END:VCALENDAR\r\n",
        lines.trim().replace('\n', "\r\n")
    );
    let user = UserId::parse("ana").unwrap();
    let place = Place {
        collection: CollectionId::new(&user, collection.parse().unwrap()),
        name: format!("{name}.ics").parse().unwrap(),
    };
    let author = Author::Client { user, device: None };
    let object = Object::parse(Bytes::from(text)).unwrap();
    server.calendars.put(&place, object, &Conditions::NONE, &author).await.unwrap();
}

fn plain(uid: &str, more: &str) -> (&'static str, String) {
    let name: &'static str = Box::leak(uid.to_owned().into_boxed_str());
    (name, format!("UID:{uid}\nDTSTART:20260310T090000Z\nDTEND:20260310T100000Z\nSUMMARY:Lunch {uid}\n{more}"))
}

async fn feed(server: &Server, rules: Rules) -> (Feed, String) {
    let ana = UserId::parse("ana").unwrap();
    let (feed, token) = server.subscriptions.add(&ana, "Ana's week", rules, None).await.unwrap();
    (feed, token.expose_str().unwrap().to_owned())
}

async fn get(server: &Server, token: &str, headers: &[(&str, &str)]) -> Answer {
    server.raw("GET", &format!("/feeds/{token}.ics"), headers, "").await
}

fn unfolded(answer: &Answer) -> String {
    answer.body.replace("\r\n ", "")
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_feed_is_a_calendar_that_readers_take() {
    let server = server_with(&[plain("a", "LOCATION:Rossi\nORGANIZER:mailto:x@y.org"), plain("b", "")]).await;
    let (_, token) = feed(&server, Rules { hide: [Field::People].into(), ..Rules::default() }).await;
    let answer = get(&server, &token, &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(header(&answer, "content-type"), "text/calendar; charset=utf-8");
    let text = unfolded(&answer);
    for line in [
        "METHOD:PUBLISH",
        "NAME:Ana's week",
        "X-WR-CALNAME:Ana's week",
        "REFRESH-INTERVAL;VALUE=DURATION:PT15M",
        "X-PUBLISHED-TTL:PT15M",
        "UID:a",
        "LOCATION:Rossi",
        "SUMMARY:Lunch b",
    ] {
        assert!(text.contains(&format!("{line}\r\n")), "{line} in {text}");
    }
    assert!(!text.contains("ORGANIZER"));
    assert!(Object::parse(answer.body.clone().into()).is_ok());
    assert_eq!(header(&answer, "content-length"), answer.body.len().to_string());
    assert_eq!(header(&answer, "access-control-allow-origin"), "*");
}

#[tokio::test]
async fn an_unchanged_feed_costs_a_304_and_a_changed_one_does_not() {
    let server = server_with(&[plain("a", "")]).await;
    let (_, token) = feed(&server, Rules::default()).await;
    let first = get(&server, &token, &[]).await;
    let (etag, date) = (header(&first, "etag").to_owned(), header(&first, "last-modified").to_owned());
    let known = get(&server, &token, &[("if-none-match", &etag)]).await;
    assert_eq!((known.status.as_u16(), known.body.as_str(), header(&known, "etag")), (304, "", etag.as_str()));
    assert_eq!(get(&server, &token, &[("if-modified-since", &date)]).await.status, 304);
    // The tag decides, whatever the date says.
    let other = [("if-none-match", "\"other\""), ("if-modified-since", date.as_str())];
    assert_eq!(get(&server, &token, &other).await.status, 200);
    put(&server, "local", "b", &plain("b", "").1).await;
    let changed = get(&server, &token, &[("if-none-match", &etag)]).await;
    assert_eq!(changed.status, 200);
    assert!(changed.body.contains("UID:a") && changed.body.contains("UID:b"));
    // In the same second, so only a later date tells it apart.
    assert_eq!(get(&server, &token, &[("if-modified-since", &date)]).await.status, 200);
    let head = server.raw("HEAD", &format!("/feeds/{token}.ics"), &[], "").await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""));
    assert_eq!(header(&head, "content-length"), changed.body.len().to_string());
    assert_eq!(header(&head, "etag"), header(&changed, "etag"));
}

#[tokio::test]
async fn what_is_large_is_packed_for_those_who_unpack() {
    let events: Vec<_> = (0..30).map(|n| plain(&format!("event-{n}"), "")).collect();
    let server = server_with(&events).await;
    let (_, token) = feed(&server, Rules::default()).await;
    let whole = get(&server, &token, &[]).await;
    let request = [("accept-encoding", "br, gzip")];
    let packed = server.octets("GET", &format!("/feeds/{token}.ics"), &request).await;
    assert_eq!(packed.1.get("content-encoding").unwrap(), "gzip");
    assert_ne!(packed.1.get("etag"), whole.headers.get("etag"), "other octets have another strong tag");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed.2[..]), &mut text).unwrap();
    assert_eq!(text, whole.body);
    for refused in ["gzip;q=0", "identity", "*;q=0"] {
        let answer = get(&server, &token, &[("accept-encoding", refused)]).await;
        assert_eq!(header(&answer, "content-encoding"), "", "{refused}");
    }
}

#[tokio::test]
async fn addresses_that_open_nothing_say_so_and_guessing_is_held_up() {
    let server = server_with(&[plain("a", "")]).await;
    let (made, token) = feed(&server, Rules::default()).await;
    server.subscriptions.revoke(&UserId::parse("ana").unwrap(), &made.id).await.unwrap();
    assert_eq!(get(&server, &token, &[]).await.status, 410);
    let (_, token) = feed(&server, Rules::default()).await;
    for _ in 0..20 {
        assert_eq!(get(&server, "nonsense", &[]).await.status, 404);
    }
    let held = get(&server, &token, &[]).await;
    assert_eq!((held.status.as_u16(), header(&held, "retry-after")), (429, "60"));
    let elsewhere = server.from("192.0.2.9:1", "GET", &format!("/feeds/{token}.ics"), &[], "").await;
    assert_eq!(elsewhere.status, 200);
    assert_eq!(server.raw("POST", &format!("/feeds/{token}.ics"), &[], "").await.status, 405);
}

/// Every property and parameter that RFC 5545, 7986 and the large clients know, each holding the secret where it can.
fn full_of_secrets(class: &str) -> String {
    let s = SECRET;
    let mut lines = vec![
        format!("UID:{s}-uid"),
        format!("DTSTART;X-NOTE={s};TZID=Zone of {s}:20260310T090000"),
        format!("DTEND;X-NOTE={s};TZID=Europe/Berlin:20260310T100000"),
        format!("RRULE:FREQ=DAILY;COUNT=3;X-{s}=1"),
        format!("EXDATE;X-NOTE={s};TZID=Europe/Berlin:20260311T090000"),
        format!("RDATE;X-NOTE={s}:20260320T090000Z"),
        format!("STATUS:X-{s}"),
        format!("TRANSP:X-{s}"),
        format!("SEQUENCE:7;{s}"),
        format!("X-MICROSOFT-CDO-BUSYSTATUS:{s}"),
        format!("X-MICROSOFT-CDO-ALLDAYEVENT:{s}"),
        format!("GEO:1;2;{s}"),
        format!("SUMMARY;ALTREP=\"https://x/{s}\":{s}"),
        format!("ATTENDEE;CN={s};X-NUM-GUESTS={s}:mailto:{s}@example.org"),
        format!("ORGANIZER;CN={s};SENT-BY=\"mailto:{s}@example.org\":mailto:{s}@example.org"),
    ];
    for name in [
        "LOCATION",
        "DESCRIPTION",
        "COMMENT",
        "CONTACT",
        "CATEGORIES",
        "RESOURCES",
        "URL",
        "ATTACH",
        "RELATED-TO",
        "REQUEST-STATUS",
        "CREATED",
        "LAST-MODIFIED",
        "PRIORITY",
        "COLOR",
        "IMAGE",
        "CONFERENCE",
        "STRUCTURED-DATA",
        "STYLED-DESCRIPTION",
        "X-ALT-DESC",
        "X-APPLE-STRUCTURED-LOCATION",
        "X-APPLE-TRAVEL-ADVISORY-BEHAVIOR",
        "X-GOOGLE-CONFERENCE",
        "X-MICROSOFT-LOCATIONS",
        "X-MICROSOFT-SKYPETEAMSMEETINGURL",
        "X-WHATEVER",
        "EXRULE",
        "X-MOZ-GENERATION",
        "BRAND-NEW",
    ] {
        lines.push(format!("{name};X-NOTE={s};LANGUAGE=en:{s}"));
    }
    if !class.is_empty() {
        lines.push(format!("CLASS:{class}"));
    }
    lines.push(format!(
        "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER;X-NOTE={s}:-PT5M\nSUMMARY:{s}\nDESCRIPTION:{s}\nATTACH:https://x/{s}\nX-{s}:{s}\nEND:VALARM"
    ));
    lines.push(format!("BEGIN:PARTICIPANT\nUID:{s}\nDESCRIPTION:{s}\nEND:PARTICIPANT"));
    lines.join("\n")
}

#[tokio::test]
async fn no_property_leaks_more_than_the_feed_allows() {
    let busy = || Rules { detail: Detail::Busy, alarms: true, ..Rules::default() };
    let full = || Rules { alarms: true, ..Rules::default() };
    // What is told is decided by the feed, by the class, or by the calendar: each alone must be enough.
    for (class, privacy, rules) in [
        ("", Privacy::Full, busy()),
        ("PRIVATE", Privacy::Full, full()),
        ("CONFIDENTIAL", Privacy::Full, full()),
        ("X-UNHEARD-OF", Privacy::Full, full()),
        ("", Privacy::Busy, full()),
    ] {
        let server = server_with(&[("x", full_of_secrets(class))]).await;
        let id = CollectionId::new(&UserId::parse("ana").unwrap(), "local".parse().unwrap());
        let change = CollectionChange { privacy: Some(privacy), ..CollectionChange::default() };
        server.calendars.update(&id, change).await.unwrap();
        let (_, token) = feed(&server, rules).await;
        let ics = get(&server, &token, &[]).await;
        assert!(ics.body.contains("BEGIN:VEVENT") && ics.body.contains("SUMMARY:Busy"), "{}", ics.body);
        assert!(ics.body.contains("BEGIN:VALARM") && ics.body.contains("DTSTART"), "{}", ics.body);
        assert!(!unfolded(&ics).to_uppercase().contains(SECRET), "{class:?} {privacy:?}: {}", unfolded(&ics));
        let json = server.raw("GET", &format!("/feeds/{token}.json"), &[], "").await;
        assert!(json.body.contains("\"title\":\"Busy\""), "{}", json.body);
        assert!(!json.body.to_uppercase().contains(SECRET), "{class:?} {privacy:?}: {}", json.body);
    }
}

#[tokio::test]
async fn single_fields_are_shown_and_hidden() {
    let server = server_with(&[("x", full_of_secrets(""))]).await;
    for field in Field::ALL {
        let (_, token) = feed(&server, Rules { detail: Detail::Busy, show: [field].into(), ..Rules::default() }).await;
        let alone = unfolded(&get(&server, &token, &[]).await);
        let (_, token) = feed(&server, Rules { hide: [field].into(), ..Rules::default() }).await;
        let without = unfolded(&get(&server, &token, &[]).await);
        let sample = match field {
            Field::Title => "SUMMARY:S3CRET",
            Field::Location => "LOCATION",
            Field::Description => "DESCRIPTION",
            Field::People => "ATTENDEE",
            Field::Links => "CONFERENCE",
            Field::Categories => "CATEGORIES",
            Field::Other => "X-WHATEVER",
        };
        assert!(alone.contains(sample), "{field:?}: {alone}");
        assert!(!without.contains(&format!("\r\n{sample}")), "{field:?}: {without}");
    }
}

#[tokio::test]
async fn every_zone_that_is_named_is_defined() {
    let zoned = "UID:z\nDTSTART;TZID=W. Europe Standard Time:20260310T090000\nDTEND;TZID=America/New_York:20260310T100000\nSUMMARY:z";
    let server = server_with(&[("z", zoned.to_owned())]).await;
    let (_, token) = feed(&server, Rules::default()).await;
    let text = unfolded(&get(&server, &token, &[]).await);
    assert!(text.contains("DTSTART;TZID=Europe/Berlin:20260310T090000"), "{text}");
    let named: Vec<&str> = text.split("TZID=").skip(1).map(|rest| rest.split([':', ';']).next().unwrap()).collect();
    assert_eq!(named.len(), 2);
    for zone in named {
        assert_eq!(text.matches(&format!("TZID:{zone}\r\n")).count(), 1, "{zone} in {text}");
    }
}

#[tokio::test]
async fn filters_and_windows_choose_events() {
    let declined = "ATTENDEE;PARTSTAT=DECLINED:mailto:ana@example.org";
    let server = server_with(&[
        plain("lunch", "CATEGORIES:Food,Fun"),
        plain("dinner", ""),
        ("day", "UID:day\nDTSTART;VALUE=DATE:20260311\nSUMMARY:Holiday".to_owned()),
        ("old", "UID:old\nDTSTART:20250110T090000Z\nSUMMARY:Past".to_owned()),
        plain("no", declined),
    ])
    .await;
    let shown = async |rules: Rules| {
        let (_, token) = feed(&server, rules).await;
        let text = get(&server, &token, &[]).await.body;
        let mut uids: Vec<String> = text
            .split("BEGIN:VEVENT")
            .skip(1)
            .map(|one| one.split("UID:").nth(1).unwrap().lines().next().unwrap().to_owned())
            .collect();
        uids.sort();
        uids.join(" ")
    };
    let all = Rules::default;
    assert_eq!(shown(all()).await, "day dinner lunch no old");
    assert_eq!(shown(Rules { past: Some(30), future: Some(30), ..all() }).await, "day dinner lunch no");
    assert_eq!(shown(Rules { categories: vec!["food".into()], ..all() }).await, "lunch");
    assert_eq!(shown(Rules { categories: vec!["!fun".into()], ..all() }).await, "day dinner no old");
    assert_eq!(shown(Rules { pattern: Some("lunch*d*".into()), ..all() }).await, "dinner");
    assert_eq!(shown(Rules { all_day: lineartime::subscription::AllDay::Only, ..all() }).await, "day");
    assert_eq!(
        shown(Rules { all_day: lineartime::subscription::AllDay::Without, past: Some(9), ..all() }).await,
        "dinner lunch no"
    );
}

#[tokio::test]
async fn a_free_busy_feed_tells_when_and_nothing_else() {
    let server = server_with(&[
        plain("a", ""),
        plain("b", "STATUS:TENTATIVE"),
        (
            "free",
            "UID:f\nDTSTART:20260312T090000Z\nDTEND:20260312T100000Z\nTRANSP:TRANSPARENT\nSUMMARY:Free".to_owned(),
        ),
    ])
    .await;
    let (_, token) = feed(&server, Rules { kind: Kind::FreeBusy, ..Rules::default() }).await;
    let text = unfolded(&get(&server, &token, &[]).await);
    assert!(
        text.contains("BEGIN:VFREEBUSY") && text.contains("FREEBUSY;FBTYPE=BUSY:20260310T090000Z/20260310T100000Z"),
        "{text}"
    );
    assert!(text.contains("METHOD:PUBLISH") && !text.contains("Lunch") && !text.contains("20260312T0"), "{text}");
    let json = server.raw("GET", &format!("/feeds/{token}.json"), &[], "").await;
    assert!(json.body.contains("Busy") && !json.body.contains("Lunch"), "{}", json.body);
}

#[tokio::test]
async fn json_is_what_full_calendar_asks_for() {
    let series =
        "UID:s\nDTSTART;TZID=Europe/Berlin:20260327T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=5\nSUMMARY:Daily";
    let server = server_with(&[("s", series.to_owned())]).await;
    let (_, token) = feed(&server, Rules::default()).await;
    let query = "start=2026-03-28T00:00:00Z&end=2026-03-30T00:00:00%2B00:00&timeZone=Europe/Berlin";
    let answer = server.raw("GET", &format!("/feeds/{token}.json?{query}"), &[], "").await;
    let events: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let starts: Vec<_> = events.as_array().unwrap().iter().map(|one| one["start"].as_str().unwrap()).collect();
    assert_eq!(starts, ["2026-03-28T09:00:00+01:00", "2026-03-29T09:00:00+02:00"]);
    assert_eq!(events[0]["groupId"], events[1]["groupId"]);
    assert_ne!(events[0]["id"], events[1]["id"]);
    let bad = server.raw("GET", &format!("/feeds/{token}.json?start=yesterday"), &[], "").await;
    assert_eq!(bad.status, 400);
    let known = server
        .raw("GET", &format!("/feeds/{token}.json?{query}"), &[("if-none-match", header(&answer, "etag"))], "")
        .await;
    assert_eq!(known.status, 304);
}

#[tokio::test]
async fn readers_at_once_and_writers_between_see_whole_feeds() {
    let server = Arc::new(server_with(&[plain("a", "")]).await);
    let (_, token) = feed(&server, Rules::default()).await;
    let second = plain("b", "").1;
    let reads = (0..8).map(|_| get(&server, &token, &[]));
    let (all, ()) = tokio::join!(futures_util::future::join_all(reads), put(&server, "local", "b", &second));
    for answer in all {
        assert!(answer.body.ends_with("END:VEVENT\r\nEND:VCALENDAR\r\n"), "{}", answer.body);
    }
    assert!(get(&server, &token, &[]).await.body.contains("UID:b"));
}
