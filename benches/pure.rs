//! What is computed without disk or network: ten operations on the same data each time.
//!
//! `cargo bench --bench pure` times them. `OPERATION=name TIMES=n` does one of them so often and nothing else, for an instruction
//! counter; `conformance/instructions` holds the counts to its table.

#![expect(clippy::disallowed_methods, reason = "a program of its own reads its own environment")]

use std::hint::black_box;

use bytes::Bytes;
use divan::Bencher;
use lineartime::dav::multistatus::Detail;
use lineartime::dav::{Href, Multistatus, MultistatusWriter, Report, name};
use lineartime::ical::{self, Budget, DataRequest, Object, TimeRange, Zone};
use lineartime::provider::google::map;
use serde_json::{Value, json};

#[path = "../conformance/src/seed.rs"]
#[expect(unused_imports, unreachable_pub, reason = "it is the load generator's")]
mod seed;

/// Prepared once, done often.
type Work = Box<dyn Fn()>;
/// An operation by its name, with what prepares it.
type Operation = (&'static str, fn() -> Work);

const OPERATIONS: [Operation; 10] = [
    ("parse", parse),
    ("meaning", meaning),
    ("expand", expand),
    ("merge", merge),
    ("filter", filter),
    ("busy", busy),
    ("render", render),
    ("read_report", read_report),
    ("multistatus", multistatus),
    ("google", google),
];

fn main() {
    let Ok(wanted) = std::env::var("OPERATION") else { return divan::main() };
    let times: u32 = std::env::var("TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let (_, prepare) = OPERATIONS.iter().find(|(name, _)| *name == wanted).expect("the name of an operation");
    let work = prepare();
    (0..times).for_each(|_| work());
}

#[divan::bench(args = OPERATIONS.map(|(name, _)| name))]
fn operation(bencher: Bencher<'_, '_>, name: &str) {
    let (_, prepare) = OPERATIONS.iter().find(|(known, _)| *known == name).expect("one of them");
    let work = prepare();
    bencher.bench_local(work);
}

const OBJECTS: u32 = 200;

fn octets() -> Vec<Bytes> {
    let spread = seed::Spread { every_28_days: 70 };
    (0..OBJECTS).map(|n| Bytes::from(seed::event(n, spread).1)).collect()
}

fn object(octets: &Bytes) -> Object {
    Object::parse(octets.clone()).expect("an object of ours")
}

fn objects() -> Vec<Object> {
    octets().iter().map(object).collect()
}

/// March 2026, in the middle of what is seeded.
fn month() -> TimeRange {
    let at = |text: &str| text.parse().expect("a time");
    TimeRange { start: at("2026-03-01T00:00:00Z"), end: at("2026-04-01T00:00:00Z") }
}

/// Octets of 200 objects to objects.
fn parse() -> Work {
    let octets = octets();
    Box::new(move || octets.iter().for_each(|octets| drop(black_box(object(octets)))))
}

/// What 200 objects mean, as sync compares it.
fn meaning() -> Work {
    let objects = objects();
    Box::new(move || objects.iter().for_each(|object| assert_ne!(black_box(ical::meaning(object)), [0; 32])))
}

/// Ten years of a weekly series in a zone with clock changes, from one of its last months.
fn expand() -> Work {
    let (_, text) = seed::endless(3, seed::Spread { every_28_days: 70 });
    let series = object(&text.into());
    Box::new(move || {
        let found = ical::instances(&series, &month(), &Zone::UTC, &mut Budget::object());
        assert_eq!(found.map(|found| found.len()), Ok(4));
    })
}

/// A title changed here and a guest added there.
fn merge() -> Work {
    let base = octets().swap_remove(5);
    let text = String::from_utf8(base.to_vec()).expect("text");
    let ours = object(&text.replace("SUMMARY:", "SUMMARY:Moved ").into());
    let guest = "ATTENDEE;CN=New:mailto:new@example.org\r\nBEGIN:VALARM";
    let theirs = object(&text.replacen("BEGIN:VALARM", guest, 1).into());
    let base = object(&base);
    Box::new(move || {
        for _ in 0..20 {
            assert!(matches!(ical::merge(&base, &ours, &theirs), ical::Merged::Clean(_)));
        }
    })
}

/// A calendar-query over one month, asked of each of 200 objects.
fn filter() -> Work {
    let body = "<C:calendar-query xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\"><D:prop><D:getetag/></D:prop>\
        <C:filter><C:comp-filter name=\"VCALENDAR\"><C:comp-filter name=\"VEVENT\">\
        <C:time-range start=\"20260301T000000Z\" end=\"20260401T000000Z\"/></C:comp-filter></C:comp-filter></C:filter>\
        </C:calendar-query>";
    let Ok(Report::CalendarQuery(query)) = Report::parse(body.as_bytes()) else { panic!("a query") };
    let objects = objects();
    Box::new(move || {
        let is_match = |object: &&Object| ical::matches(&query.filter, object, &Zone::UTC, &mut Budget::object());
        black_box(objects.iter().filter(|object| is_match(object).unwrap_or_default()).count());
    })
}

/// When somebody with 200 objects is busy in a month.
fn busy() -> Work {
    let objects = objects();
    Box::new(move || {
        let all = objects.iter().flat_map(|one| ical::busy(one, &month(), &Zone::UTC, &mut Budget::object()));
        let merged = ical::merge_busy(all.flatten().collect());
        black_box(ical::vfreebusy("u", &merged, &month(), month().start));
    })
}

/// 200 objects with their recurrences expanded over a month.
fn render() -> Work {
    let objects = objects();
    let request = DataRequest { expand: Some(month()), ..DataRequest::default() };
    Box::new(move || {
        for object in &objects {
            drop(black_box(ical::render(object, &request, &Zone::UTC, &mut Budget::object())));
        }
    })
}

fn hrefs() -> Vec<Href> {
    (0..500).map(|n| Href::parse(&format!("/dav/calendars/ana/unified/seed-{n}.ics")).expect("a path")).collect()
}

/// A multiget of 500 names.
fn read_report() -> Work {
    let asked: Vec<String> = hrefs().iter().map(|href| format!("<D:href>{}</D:href>", href.as_str())).collect();
    let asked = asked.concat();
    let body = format!(
        "<C:calendar-multiget xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\"><D:prop><D:getetag/></D:prop>{asked}\
         </C:calendar-multiget>"
    );
    Box::new(move || assert!(black_box(Report::parse(body.as_bytes())).is_ok()))
}

/// 500 names and tags, written as we answer and read as we read an upstream's answer.
fn multistatus() -> Work {
    let (hrefs, gone) = (hrefs(), Href::parse("/dav/calendars/ana/unified/gone.ics").expect("a path"));
    Box::new(move || {
        let mut answer = MultistatusWriter::new(Detail::Full);
        for href in &hrefs {
            answer.member(href).text(&name::dav::GETETAG, "\"0123456789abcdef\"").missing(&name::dav::DISPLAYNAME);
        }
        answer.gone(&gone);
        let read = Multistatus::parse(&answer.finish(Some("token")));
        assert!(black_box(read).is_ok());
    })
}

/// A series with a moved instance from Google's words, and back into them.
fn google() -> Work {
    let calendar = map::Calendar { zone: Some("Europe/Paris".to_owned()), reminders: Vec::new() };
    let context = map::Context { calendar, email: "ana@example.org".to_owned() };
    let at = |hour: u32| json!({ "dateTime": format!("2026-03-02T{hour:02}:00:00+01:00"), "timeZone": "Europe/Paris" });
    let event = |id: &str, hour: u32, more: &Value| {
        let mut event = json!({
            "id": id, "iCalUID": "u@google.com", "status": "confirmed", "etag": "\"1\"", "updated": "2026-01-01T00:00:00.123Z",
            "summary": "Standup", "description": "What, why and how", "start": at(hour), "end": at(hour + 1),
            "attendees": [{ "email": "ben@example.org", "responseStatus": "accepted" }],
        });
        if let (Some(members), Some(more)) = (event.as_object_mut(), more.as_object()) {
            members.extend(more.clone());
        }
        event
    };
    let master = event("e1", 9, &json!({ "recurrence": ["RRULE:FREQ=WEEKLY;COUNT=40"] }));
    let moved = event("e1_x", 11, &json!({ "recurringEventId": "e1", "originalStartTime": at(9) }));
    Box::new(move || {
        for _ in 0..20 {
            let text = map::to_ical(Some(&master), std::slice::from_ref(&moved), &context);
            let object = object(&text.into());
            for member in object.members() {
                assert!(black_box(map::from_ical(member, &object, &context)).is_ok());
            }
        }
    })
}
