//! The adapter against a scripted API: lines of the fault catalogue that are about its answers.

use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;
use crate::provider::{Cursor, Then};
use crate::transport::fake::{Answer, FakeTransport, answer};

#[derive(Debug)]
struct Fixed;

#[async_trait]
impl Tokens for Fixed {
    async fn access(&self) -> Result<Secret, Fault> {
        Ok(Secret::new("token"))
    }

    async fn refused(&self, _token: &Secret) {}
}

fn google(transport: &FakeTransport) -> Google {
    let means = GoogleMeans {
        api: Url::parse("https://api.example/calendar/v3").unwrap(),
        transport: Arc::new(transport.clone()),
        clock: Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH)),
        tokens: Arc::new(Fixed),
    };
    Google::new("ana@example.org", means)
}

fn reply(value: &Value) -> Answer {
    answer(200, &[("content-type", "application/json")], &value.to_string())
}

fn work() -> RemoteId {
    RemoteId::new("work@group")
}

fn event(id: &str, more: &Value) -> Value {
    let mut event = json!({
        "id": id, "etag": format!("\"{id}\""), "status": "confirmed", "iCalUID": format!("{id}@google.com"),
        "start": {"dateTime": "2026-02-01T10:00:00Z", "timeZone": "UTC"}, "end": {"dateTime": "2026-02-01T11:00:00Z", "timeZone": "UTC"},
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

fn cursor() -> Position {
    Position::After(Cursor(br#"{"shape":1,"token":"t1"}"#.to_vec().into()))
}

/// 1, 4, 5 and HTML at the edge.
#[tokio::test]
async fn a_round_that_does_not_end_well_concludes_nothing() {
    let gone = json!({"error": {"code": 410, "errors": [{"reason": "fullSyncRequired"}]}});
    #[expect(clippy::items_after_statements, reason = "next to where it is used")]
    type Case = (Answer, fn(&Fault) -> bool);
    let cases: [Case; 6] = [
        (answer(410, &[], &gone.to_string()), |f| *f == Fault::CursorExpired),
        (reply(&json!({"items": []})), |f| matches!(f, Fault::Garbled(_))),
        (reply(&json!({"nextSyncToken": "x"})), |f| matches!(f, Fault::Garbled(_))),
        (answer(200, &[], "<html>Sign in</html>"), |f| matches!(f, Fault::Garbled(_))),
        (answer(502, &[], "<html>"), |f| matches!(f, Fault::Unreachable(_))),
        (reply(&json!({"items": [], "nextPageToken": "same"})), |f| matches!(f, Fault::Garbled(_))),
    ];
    for (scripted, expected) in cases {
        let transport = FakeTransport::serving(move |_| scripted.clone());
        let fault = google(&transport).changes(&work(), &cursor()).await.unwrap_err();
        assert!(expected(&fault), "{fault:?}");
    }
    let transport = FakeTransport::serving(|_| reply(&json!({"items": [], "nextSyncToken": "t2"})));
    let other = Position::After(Cursor(br#"{"shape":0,"token":"t1"}"#.to_vec().into()));
    assert_eq!(google(&transport).changes(&work(), &other).await, Err(Fault::CursorExpired));
    google(&transport).changes(&work(), &cursor()).await.unwrap();
    let asked = transport.requests();
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0].uri().to_string().ends_with("/calendars/work@group/events?maxResults=2500&syncToken=t1"),
        "{}",
        asked[0].uri()
    );
}

/// 3, 6, 7: an empty page goes on; exceptions find their master pages away; one without a master stands alone.
#[tokio::test]
async fn a_listing_joins_series_over_its_pages() {
    let original = json!({"dateTime": "2026-02-08T10:00:00Z", "timeZone": "UTC"});
    let transport = FakeTransport::serving(move |request| {
        let uri = request.uri().to_string();
        let orphan =
            event("lost_20260208T100000Z", &json!({"recurringEventId": "lost", "originalStartTime": original}));
        let exception = json!({"recurringEventId": "s1", "originalStartTime": original, "status": "cancelled"});
        reply(&if uri.contains("pageToken=p3") {
            json!({"items": [event("s1", &json!({"recurrence": ["RRULE:FREQ=WEEKLY"]}))], "nextSyncToken": "t"})
        } else if uri.contains("pageToken=p2") {
            json!({"items": [], "nextPageToken": "p3"})
        } else {
            json!({"items": [event("s1_20260208T100000Z", &exception), orphan], "nextPageToken": "p2"})
        })
    });
    let page = google(&transport).changes(&work(), &Position::Start).await.unwrap();
    assert!(page.complete && matches!(page.then, Then::Done(_)));
    let texts: Vec<String> = page
        .items
        .iter()
        .map(|item| match item {
            Item::Full { object, .. } => String::from_utf8(object.to_vec()).unwrap(),
            Item::Stub { .. } => String::new(),
        })
        .collect();
    assert_eq!(page.items.len(), 2);
    assert!(texts.iter().any(|text| text.contains("RRULE") && text.contains("EXDATE:20260208T100000Z")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("RECURRENCE-ID:20260208T100000Z") && !text.contains("RRULE")));
}

/// 8 and 9: a tombstone is a deletion, and what came back is there.
#[tokio::test]
async fn tombstones_and_what_came_back() {
    let transport = FakeTransport::serving(|_| {
        let gone = json!({"id": "a", "status": "cancelled", "etag": "\"x\""});
        reply(
            &json!({"items": [gone, {"id": "b", "status": "cancelled"}, event("b", &json!({})), event("s", &json!({"recurrence": ["RRULE:FREQ=DAILY"]}))], "nextSyncToken": "t"}),
        )
    });
    let page = google(&transport).changes(&work(), &cursor()).await.unwrap();
    assert_eq!(page.gone, [RemoteId::new("a")]);
    assert!(!page.complete);
    assert!(matches!(&page.items[0], Item::Full { version, .. } if version.id == RemoteId::new("b")));
    assert!(matches!(&page.items[1], Item::Stub { id, .. } if *id == RemoteId::new("s")));
}

/// 39, and a 404 that is no proof as long as the calendar is not looked at.
#[tokio::test]
async fn a_deletion_that_was_done_is_done() {
    let gone = json!({"error": {"code": 410, "errors": [{"reason": "deleted"}]}});
    let transport = FakeTransport::serving(move |request| match request.method().as_str() {
        "DELETE" => answer(410, &[], &gone.to_string()),
        _ => reply(&json!({"id": "work@group"})),
    });
    let version = Version { id: RemoteId::new("a"), tag: Some(crate::provider::RemoteTag::new("\"1\"")) };
    assert_eq!(google(&transport).delete(&work(), &version, &Removal::default()).await, Ok(()));
    let sent = &transport.requests()[0];
    assert_eq!(sent.headers().get("if-match").unwrap(), "\"1\"");
    assert!(sent.uri().to_string().ends_with("sendUpdates=none"));
    let transport = FakeTransport::serving(|_| answer(404, &[], "{}"));
    assert_eq!(google(&transport).delete(&work(), &version, &Removal::default()).await, Err(Fault::CalendarGone));
}

#[test]
fn ids_follow_from_keys_and_are_of_the_alphabet() {
    let id = write::event_id(&IdempotencyKey::new("lineartime-7"));
    assert_eq!(id, write::event_id(&IdempotencyKey::new("lineartime-7")));
    assert_ne!(id, write::event_id(&IdempotencyKey::new("lineartime-8")));
    assert!(id.len() == 34 && id.chars().all(|c| matches!(c, 'a'..='v' | '0'..='9')), "{id}");
}
