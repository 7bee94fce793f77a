//! Vectors in both directions for every row of the mapping, and what holds for random series.
//!
//! A vector is the lines of an event (members separated by `----`), then `==> graph` and what Graph is sent or the
//! refusal, then `==> back` and what is read when Graph has filled in its own members. `BLESS=1` writes the answers.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::recurrence::{self, Start};
use super::wire::Event;
use super::write::{Mailbox, Projection, Slot, project};
use super::{read, times};
use crate::ical::{Budget, DateOrTime, Object, TimeRange, Zone, instances, same_meaning};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/microsoft")
}

fn mailbox() -> Mailbox {
    Mailbox { home: Zone::iana("Europe/Berlin").unwrap(), address: Some("ada@example.com".to_owned()) }
}

const OWN: &str = "BEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0117\nTZOFFSETTO:+0117\nEND:STANDARD\n";
const BERLIN: &str = "BEGIN:STANDARD\nDTSTART:16010101T030000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\nEND:STANDARD\nBEGIN:DAYLIGHT\nDTSTART:16010101T020000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\nEND:DAYLIGHT\n";

/// The object of a vector's lines.
fn object(lines: &str) -> Object {
    let mut text = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//x//EN\n".to_owned();
    let lines = match lines.strip_prefix("ZONE\n").or(lines.strip_prefix("ZONE Berlin\n")) {
        Some(rest) => {
            let (tzid, rules) = if lines.starts_with("ZONE Berlin") {
                ("Mine", format!("X-LIC-LOCATION:Europe/Berlin\n{BERLIN}"))
            } else {
                ("Own", OWN.to_owned())
            };
            write!(text, "BEGIN:VTIMEZONE\nTZID:{tzid}\n{rules}END:VTIMEZONE\n").unwrap();
            rest
        }
        None => lines,
    };
    for member in lines.split("----\n") {
        write!(text, "BEGIN:VEVENT\nUID:uid-1@client\nDTSTAMP:20260901T000000Z\n{member}END:VEVENT\n").unwrap();
    }
    text.push_str("END:VCALENDAR\n");
    Object::parse(text.into()).unwrap()
}

/// The event as Exchange answers it once it has stored what it was sent.
fn stored(sent: &Event, id: &str) -> Value {
    let mut value = serde_json::to_value(sent).unwrap();
    let zone = |name: &str| value[name]["timeZone"].clone();
    let (start, end) = (zone("start"), zone("end"));
    for name in ["start", "end"] {
        let at = times::instant(&serde_json::from_value(value[name].clone()).unwrap()).unwrap();
        value[name] = serde_json::to_value(times::wire(Zone::UTC.to_civil(at), "UTC")).unwrap();
    }
    let text = value["body"]["content"].as_str().unwrap_or_default().to_owned();
    if value["body"]["contentType"] == "text" {
        let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('\n', "<br>\r\n");
        value["body"] =
            json!({"contentType": "html", "content": format!("<html><head></head><body>{html}</body></html>")});
    }
    let fixed = json!({
        "id": id, "@odata.etag": format!("W/\"{id}\""), "type": "singleInstance", "isOrganizer": true, "isCancelled": false,
        "originalStartTimeZone": start, "originalEndTimeZone": end, "iCalUId": "040000008200E00074C5B7101A82E008",
        "createdDateTime": "2026-09-01T08:00:00Z", "lastModifiedDateTime": "2026-09-02T09:30:12.3456789Z",
        "organizer": {"emailAddress": {"name": "Ada", "address": "ada@example.com"}},
        "responseStatus": {"response": "organizer", "time": "0001-01-01T00:00:00Z"},
    });
    value.as_object_mut().unwrap().extend(fixed.as_object().unwrap().clone());
    for attendee in value["attendees"].as_array_mut().into_iter().flatten() {
        attendee["status"] = json!({"response": "none", "time": "0001-01-01T00:00:00Z"});
    }
    value
}

/// A whole projection as Exchange answers it.
fn stored_series(projection: &Projection) -> Event {
    let mut master = stored(&projection.event, "AAMkMASTER=");
    if projection.event.recurrence.is_some() {
        master["type"] = json!("seriesMaster");
        let cancelled: Vec<String> =
            projection.left_out.iter().map(|slot| format!("OID.AAMkMASTER=.{}", slot.date)).collect();
        master["cancelledOccurrences"] = json!(cancelled);
        let exceptions = projection.overrides.iter().enumerate().map(|(number, (slot, event))| {
            let mut value = stored(event, &format!("AAMkEXC{number}="));
            value["type"] = json!("exception");
            value["seriesMasterId"] = json!("AAMkMASTER=");
            value["originalStart"] = json!(slot.instant.to_string());
            value
        });
        master["exceptionOccurrences"] = Value::Array(exceptions.collect());
    }
    serde_json::from_value(master).unwrap()
}

/// What Graph is sent, as a vector shows it: the stash aside, it is tested by coming back.
fn shown(projection: &Projection) -> String {
    let value = |event: &Event| {
        let mut value = serde_json::to_value(event).unwrap();
        value.as_object_mut().unwrap().remove("singleValueExtendedProperties");
        value
    };
    let mut text = serde_json::to_string_pretty(&value(&projection.event)).unwrap();
    let slot = |slot: &Slot| format!("{} {}", slot.instant, slot.date);
    for (at, event) in &projection.overrides {
        write!(text, "\noverride {} {}", slot(at), serde_json::to_string_pretty(&value(event)).unwrap()).unwrap();
    }
    for at in &projection.left_out {
        write!(text, "\nleft out {}", slot(at)).unwrap();
    }
    text
}

fn answer(lines: &str) -> String {
    let given = object(lines);
    let projection = match project(&given, &mailbox()) {
        Ok(projection) => projection,
        Err(refusal) => return format!("==> graph\nrefused: {refusal:?} ({refusal})\n"),
    };
    let back = read::compose(&stored_series(&projection), &mailbox()).unwrap();
    let with_zones = back.as_text();
    let members: String = with_zones.replace("\r\n", "\n");
    let from = members.find("BEGIN:VEVENT").unwrap();
    let same = if same_meaning(&given, &back) { "the same" } else { "otherwise" };
    // Without the stash, as an event that was made in Outlook.
    let mut bare = stored_series(&projection);
    bare.single_value_extended_properties = None;
    for exception in bare.exception_occurrences.iter_mut().flatten() {
        exception.single_value_extended_properties = None;
    }
    let bare = read::compose(&bare, &mailbox()).unwrap().as_text().replace("\r\n", "\n");
    let bare_from = bare.find("BEGIN:VEVENT").unwrap();
    format!(
        "==> graph\n{}\n==> back, {same}\n{}==> without stash\n{}",
        shown(&projection),
        &members[from..],
        &bare[bare_from..]
    )
}

#[test]
fn every_row_of_the_mapping_both_ways() {
    let bless = std::option_env!("BLESS").is_some() || std::env::var_os("BLESS").is_some();
    let mut seen = 0;
    for entry in std::fs::read_dir(vectors().join("events")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let (lines, expected) = text.find("==> graph").map_or((text.as_str(), ""), |at| text.split_at(at));
        let found = answer(lines);
        if bless {
            std::fs::write(&path, format!("{lines}{found}")).unwrap();
        } else {
            assert_eq!(found, expected, "{}", path.display());
        }
        seen += 1;
    }
    assert!(seen >= 45, "{seen} vectors");
}

/// A pattern and range in a few words, as the table has it.
fn brief(recurrence: &super::wire::Recurrence) -> String {
    let pattern = &recurrence.pattern;
    let mut words = vec![format!("{}/{}", pattern.kind, pattern.interval)];
    words.extend(pattern.month.map(|month| month.to_string()));
    words.extend(pattern.day_of_month.map(|day| day.to_string()));
    let days = |days: &Vec<String>| days.iter().map(|day| day[..3].to_owned()).collect::<Vec<_>>().join(",");
    words.extend(pattern.days_of_week.as_ref().map(days));
    words.extend(pattern.first_day_of_week.clone());
    words.extend(pattern.index.clone());
    words.push(match recurrence.range.kind.as_str() {
        "noEnd" => "N".to_owned(),
        "numbered" => format!("C{}", recurrence.range.number_of_occurrences.unwrap()),
        _ => format!("U{}", recurrence.range.end_date.as_ref().unwrap()),
    });
    words.join(" ")
}

#[test]
fn the_recurrence_table_both_ways_with_every_refusal_named() {
    let text = std::fs::read_to_string(vectors().join("recurrence.txt")).unwrap();
    let zone = Zone::iana("Europe/Berlin").unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let parts: Vec<&str> = line.split(" | ").collect();
        let value = DateOrTime::parse_value(parts[0], Some("Europe/Berlin")).unwrap();
        let start =
            Start { local: value.civil(), all_day: value.is_date(), zone: &zone, windows: "W. Europe Standard Time" };
        match recurrence::to_graph(parts[1], &start) {
            Err(refusal) => assert_eq!(format!("{refusal:?}"), parts[2], "{line}"),
            Ok(found) => {
                assert_eq!(brief(&found), parts[2], "{line}");
                let back = recurrence::to_rrule(&found, &start).unwrap();
                let expected = parts.get(3).unwrap_or(&parts[1]);
                let rule = |rule: &str| format!("DTSTART;TZID=Europe/Berlin:20261005T090000\nRRULE:{rule}\n");
                assert!(same_meaning(&object(&rule(&back)), &object(&rule(expected))), "{line}\n{back}");
                assert_eq!(
                    recurrence::to_graph(&back, &start).map(|again| recurrence::canonical(&again)),
                    Ok(recurrence::canonical(&found)),
                    "{line}"
                );
            }
        }
    }
}

#[test]
fn samples_of_the_contract_are_read() {
    let cases = [
        (
            "a master with no end",
            json!({"type": "relativeMonthly", "interval": 1, "month": 0, "dayOfMonth": 0, "daysOfWeek": ["tuesday"], "firstDayOfWeek": "sunday", "index": "last"}),
            json!({"type": "noEnd", "startDate": "2026-10-27", "endDate": "0001-01-01", "numberOfOccurrences": 0}),
            "RRULE:FREQ=MONTHLY;BYDAY=-1TU",
        ),
        (
            "weekly to a date",
            json!({"type": "weekly", "interval": 1, "month": 0, "dayOfMonth": 0, "daysOfWeek": ["monday", "wednesday"], "firstDayOfWeek": "sunday", "index": "first"}),
            json!({"type": "endDate", "startDate": "2026-10-27", "endDate": "2026-12-31", "numberOfOccurrences": 0}),
            "RRULE:FREQ=WEEKLY;BYDAY=MO,WE;UNTIL=20261231T090000Z",
        ),
        (
            "the first day of the week counts",
            json!({"type": "weekly", "interval": 2, "daysOfWeek": ["tuesday"], "firstDayOfWeek": "sunday"}),
            json!({"type": "numbered", "startDate": "2026-10-27", "numberOfOccurrences": 3}),
            "RRULE:FREQ=WEEKLY;BYDAY=TU;INTERVAL=2;WKST=SU;COUNT=3",
        ),
        (
            "the 31st",
            json!({"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31}),
            json!({"type": "noEnd", "startDate": "2026-10-27"}),
            "RRULE:FREQ=MONTHLY;BYMONTHDAY=28,29,30,31;BYSETPOS=-1",
        ),
    ];
    for (name, pattern, range, expected) in cases {
        let event = json!({
            "id": "A=", "type": "seriesMaster", "originalStartTimeZone": "W. Europe Standard Time", "iCalUId": "u",
            "start": {"dateTime": "2026-10-27T09:00:00.0000000", "timeZone": "UTC"},
            "end": {"dateTime": "2026-10-27T10:00:00.0000000", "timeZone": "UTC"},
            "recurrence": {"pattern": pattern, "range": range},
        });
        let object = read::compose(&serde_json::from_value(event).unwrap(), &mailbox()).unwrap();
        assert!(object.as_text().contains(&format!("{expected}\r\n")), "{name}: {}", object.as_text());
    }
}

fn event(extra: &Value) -> Event {
    let mut value = json!({
        "id": "A=", "type": "singleInstance", "originalStartTimeZone": "W. Europe Standard Time", "iCalUId": "u", "subject": "s",
        "start": {"dateTime": "2026-10-27T09:00:00.0000000", "timeZone": "UTC"},
        "end": {"dateTime": "2026-10-27T10:00:00.0000000", "timeZone": "UTC"},
    });
    value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(value).unwrap()
}

fn read_text(extra: &Value) -> String {
    read::compose(&event(extra), &mailbox()).unwrap().as_text().into_owned()
}

#[test]
fn fault_62_a_custom_zone_falls_back_to_instants_and_refuses_a_series() {
    let custom =
        json!({"originalStartTimeZone": "tzone://Microsoft/Custom", "originalEndTimeZone": "tzone://Microsoft/Custom"});
    assert!(read_text(&custom).contains("DTSTART:20261027T090000Z"));
    let mut series = custom;
    series["type"] = json!("seriesMaster");
    series["recurrence"] =
        json!({"pattern": {"type": "daily", "interval": 1}, "range": {"type": "noEnd", "startDate": "2026-10-27"}});
    assert_eq!(read::compose(&event(&series), &mailbox()).unwrap_err(), super::refusal::Refusal::UnknownZone);
}

#[test]
fn fault_63_the_date_of_an_all_day_event_stays() {
    let day = |start: &str, end: &str, zone: &str| {
        json!({
            "isAllDay": true, "originalStartTimeZone": zone,
            "start": {"dateTime": start, "timeZone": "UTC"}, "end": {"dateTime": end, "timeZone": "UTC"},
        })
    };
    for (start, end, zone) in [
        ("2026-12-25T00:00:00.0000000", "2026-12-26T00:00:00.0000000", "Tonga Standard Time"),
        ("2026-12-24T11:00:00.0000000", "2026-12-25T11:00:00.0000000", "Tonga Standard Time"),
        ("2026-12-25T08:00:00", "2026-12-26T08:00:00", "Pacific Standard Time"),
    ] {
        let text = read_text(&day(start, end, zone));
        assert!(text.contains("DTSTART;VALUE=DATE:20261225") && text.contains("DTEND;VALUE=DATE:20261226"), "{text}");
    }
}

#[test]
#[expect(clippy::format_collect, reason = "short texts, written rarely")]
fn a_uid_that_exchange_has_wrapped_is_unwrapped() {
    let wrapped = "040000008200E00074C5B7101A82E0080000000000000000000000000000000000000000\
                   310000007643616C2D55696401000000";
    let uid: String = "abc@example.org\0".bytes().map(|octet| format!("{octet:02X}")).collect();
    assert!(read_text(&json!({"iCalUId": format!("{wrapped}{uid}")})).contains("UID:abc@example.org"));
    let own = "040000008200E00074C5B7101A82E00800000000AB";
    assert!(read_text(&json!({"iCalUId": own})).contains(&format!("UID:{own}")));
}

/// Found before anything is written: Exchange would have made the series by the time it refuses the instance.
#[test]
fn fault_46_an_instance_does_not_go_past_its_neighbours() {
    let series = |overrides: &[(&str, &str)]| {
        let mut lines = "DTSTART;TZID=Europe/Berlin:20261207T090000\nDTEND;TZID=Europe/Berlin:20261207T100000\nRRULE:FREQ=WEEKLY;COUNT=6\nEXDATE;TZID=Europe/Berlin:20261214T090000\n".to_owned();
        for (slot, place) in overrides {
            write!(
                lines,
                "----\nRECURRENCE-ID;TZID=Europe/Berlin:{slot}T090000\nDTSTART;TZID=Europe/Berlin:{place}\nDURATION:PT1H\n"
            )
            .unwrap();
        }
        project(&object(&lines), &mailbox()).map(|projection| projection.overrides.len())
    };
    let fine: [&[(&str, &str)]; 5] = [
        &[("20261221", "20261221T230000")],
        &[("20261221", "20261227T233000")],
        // The one before is left out.
        &[("20261221", "20261208T000000")],
        &[("20261221", "20261228T090000"), ("20261228", "20261229T090000")],
        &[("20270111", "20281231T090000")],
    ];
    for overrides in fine {
        assert_eq!(series(overrides), Ok(overrides.len()), "{overrides:?}");
    }
    let crossing: [&[(&str, &str)]; 5] = [
        &[("20261221", "20261228T000000")],
        &[("20261221", "20261229T090000")],
        &[("20261221", "20261207T200000")],
        &[("20261207", "20270401T090000")],
        &[("20261221", "20261230T090000"), ("20261228", "20261230T100000")],
    ];
    for overrides in crossing {
        assert_eq!(series(overrides), Err(super::refusal::Refusal::Crossing), "{overrides:?}");
    }
}

#[test]
fn an_invitation_shows_the_owners_own_answer() {
    let text = read_text(&json!({
        "isOrganizer": false, "responseStatus": {"response": "tentativelyAccepted"}, "isCancelled": true,
        "organizer": {"emailAddress": {"name": "Boss", "address": "boss@example.org"}},
        "attendees": [{"type": "required", "status": {"response": "none"}, "emailAddress": {"address": "Ada@example.com", "name": "Ada"}}],
        "onlineMeeting": {"joinUrl": "https://teams.microsoft.com/l/1"},
    }));
    let text = text.replace("\r\n ", "");
    for line in [
        "ORGANIZER;CN=Boss:mailto:boss@example.org",
        "ATTENDEE;CN=Ada;PARTSTAT=TENTATIVE:mailto:Ada@example.com",
        "STATUS:CANCELLED",
        "X-MICROSOFT-SKYPETEAMSMEETINGURL:https://teams.microsoft.com/l/1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn a_change_in_outlook_shows_in_its_part_and_the_rest_stays_as_written() {
    let given = object(
        "DTSTART;TZID=Europe/Vienna:20261005T090000\nDURATION:PT1H\nSUMMARY;LANGUAGE=de:alt\nPRIORITY:3\nX-OWN:1\nCOLOR:red\n",
    );
    let mut there = stored_series(&project(&given, &mailbox()).unwrap());
    there.subject = Some("neu".to_owned());
    let text = read::compose(&there, &mailbox()).unwrap().as_text().into_owned();
    for line in [
        "SUMMARY:neu",
        "DTSTART;TZID=Europe/Vienna:20261005T090000",
        "DURATION:PT1H",
        "PRIORITY:3",
        "X-OWN:1",
        "COLOR:red",
    ] {
        assert!(text.contains(&format!("{line}\r\n")), "{line}\n{text}");
    }
    assert!(!text.contains("LANGUAGE"));
    there.importance = Some("normal".to_owned());
    there.start.as_mut().unwrap().date_time = "2026-10-05T08:00:00.0000000".to_owned();
    let text = read::compose(&there, &mailbox()).unwrap().as_text().into_owned();
    assert!(!text.contains("PRIORITY") && text.contains("DTSTART;TZID=Europe/Berlin:20261005T100000\r\n"), "{text}");
}

/// The starts of all instances in a span, and their words; `None` where that is more than anybody reckons.
#[expect(clippy::redundant_closure_for_method_calls, reason = "the method's path is private")]
fn reckoned(object: &Object, until: &str) -> Option<Vec<(String, String)>> {
    let within = TimeRange { start: "2026-01-01T00:00:00Z".parse().unwrap(), end: until.parse().unwrap() };
    let mut budget = Budget::new(200_000, 2_000);
    let words = |component: usize| {
        let member = object.members().nth(component).unwrap();
        member.property("SUMMARY").map(|line| line.text()).unwrap_or_default()
    };
    let found = instances(object, &within, &Zone::UTC, &mut budget).ok()?;
    let mut found: Vec<_> =
        found.into_iter().map(|instance| (instance.start.to_string(), words(instance.component))).collect();
    found.sort();
    Some(found)
}

fn occurrences(object: &Object) -> Vec<(String, String)> {
    reckoned(object, "2028-01-01T00:00:00Z").unwrap()
}

#[test]
fn a_weekly_meeting_keeps_its_local_time_for_a_year_over_both_clock_changes() {
    let exdates = "20261026T090000,20270329T090000";
    let given = object(&format!(
        "DTSTART;TZID=W. Europe Standard Time:20260907T090000\nDTEND;TZID=W. Europe Standard Time:20260907T100000\nRRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=52\nEXDATE;TZID=W. Europe Standard Time:{exdates}\nSUMMARY:Weekly\n----\nRECURRENCE-ID;TZID=W. Europe Standard Time:20261102T090000\nDTSTART;TZID=W. Europe Standard Time:20261103T110000\nDTEND;TZID=W. Europe Standard Time:20261103T120000\nSUMMARY:Moved\n----\nRECURRENCE-ID;TZID=W. Europe Standard Time:20270405T090000\nDTSTART;TZID=W. Europe Standard Time:20270406T080000\nDTEND;TZID=W. Europe Standard Time:20270406T090000\nSUMMARY:Moved\n"
    ));
    let projection = project(&given, &mailbox()).unwrap();
    let mut there = stored_series(&projection);
    for bare in [false, true] {
        if bare {
            there.single_value_extended_properties = None;
            there
                .exception_occurrences
                .iter_mut()
                .flatten()
                .for_each(|event| event.single_value_extended_properties = None);
        }
        let back = read::compose(&there, &mailbox()).unwrap();
        let (found, wanted) = (occurrences(&back), occurrences(&given));
        assert_eq!(found, wanted);
        assert_eq!(found.len(), 50);
        let berlin = Zone::iana("Europe/Berlin").unwrap();
        for (start, words) in found.iter().filter(|(_, words)| words == "Weekly") {
            let local = berlin.to_civil(start.parse().unwrap());
            assert_eq!((local.hour(), local.weekday()), (9, jiff::civil::Weekday::Monday), "{start} {words}");
        }
    }
}

/// The refusals that are not of a rule; those are in the table of recurrence.
#[test]
fn what_is_no_event_or_more_than_outlook_takes_is_refused_by_name() {
    use super::refusal::Refusal;
    const START: &str = "DTSTART:20261207T090000Z\n";
    let refusal = |lines: &str| project(&object(lines), &mailbox()).map(drop).unwrap_err();
    let people: Vec<String> = (0..501).map(|number| format!("ATTENDEE:mailto:p{number}@example.com\n")).collect();
    let people = people.concat();
    let series = format!("{START}RRULE:FREQ=DAILY;COUNT=5\n");
    let table = [
        (format!("{START}ORGANIZER:mailto:ada@example.com\n{people}"), Refusal::TooManyPeople),
        // Only one instance of a series is here, or it is of none.
        (format!("RECURRENCE-ID:20261208T090000Z\n{START}"), Refusal::NoInstanceNamed),
        (format!("{START}----\nRECURRENCE-ID:20261208T090000Z\n{START}"), Refusal::NoInstanceNamed),
        (format!("{series}----\nRECURRENCE-ID;RANGE=THISANDFUTURE:20261208T090000Z\n{START}"), Refusal::ThisAndFuture),
        (format!("{START}DTEND;VALUE=DATE:20261208\n"), Refusal::NoStart),
        (format!("{START}DTEND:20261207T080000Z\n"), Refusal::EndsEarly),
    ];
    for (lines, expected) in table {
        assert_eq!(refusal(&lines), expected, "{}", lines.get(..200).unwrap_or(&lines));
    }
    let task = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//x//EN\nBEGIN:VTODO\nUID:t\nDTSTAMP:20260901T000000Z\nEND:VTODO\nEND:VCALENDAR\n";
    assert_eq!(project(&Object::parse(task.into()).unwrap(), &mailbox()).map(drop), Err(Refusal::NoEvent));
    let there = event(&json!({
        "type": "seriesMaster", "cancelledOccurrences": ["OID.A=.2026-12-09"],
        "recurrence": {"pattern": {"type": "daily", "interval": 1}, "range": {"type": "noEnd", "startDate": "2026-10-27"}},
    }));
    let wanted = project(&object(&series), &mailbox()).unwrap();
    assert_eq!(super::series::check_restorable(&wanted, &there), Err(Refusal::Restored));
}

fn rules() -> impl Strategy<Value = String> {
    let days = proptest::sample::subsequence(vec!["MO", "TU", "WE", "TH", "FR", "SA", "SU"], 1..4);
    let freq = prop_oneof![Just("DAILY"), Just("WEEKLY"), Just("MONTHLY"), Just("YEARLY"), Just("HOURLY")];
    let by = prop_oneof![
        Just(String::new()),
        days.clone().prop_map(|days| format!(";BYDAY={}", days.join(","))),
        (days.clone(), -2..6).prop_map(|(days, at)| format!(
            ";BYDAY={};BYSETPOS={}",
            days.join(","),
            if at == 0 { 1 } else { at }
        )),
        (days, prop_oneof![Just(-1), 1..6]).prop_map(|(days, at)| format!(";BYDAY={at}{}", days[0])),
        (1..32).prop_map(|day| format!(";BYMONTHDAY={day}")),
        (1..13, 1..32).prop_map(|(month, day)| format!(";BYMONTH={month};BYMONTHDAY={day}")),
    ];
    let end = prop_oneof![
        Just(String::new()),
        (1..40).prop_map(|count| format!(";COUNT={count}")),
        (1..12, 1..28, 0..24).prop_map(|(month, day, hour)| format!(";UNTIL=2027{month:02}{day:02}T{hour:02}0000Z")),
    ];
    let first = prop_oneof![Just(""), Just(";WKST=SU"), Just(";WKST=WE")];
    (freq, 1..4, by, end, first)
        .prop_map(|(freq, interval, by, end, first)| format!("FREQ={freq};INTERVAL={interval}{by}{end}{first}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_random_series_comes_back_with_the_same_instances_or_is_refused(
        rule in rules(), month in 1_u8..13, day in 1_u8..29, hour in 0_u8..24, zone in 0_usize..5, bare: bool, all_day: bool, leave in 0_usize..6,
    ) {
        let zone = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney", "UTC"][zone];
        let start = if all_day { format!("DTSTART;VALUE=DATE:2026{month:02}{day:02}") } else if zone == "UTC" {
            format!("DTSTART:2026{month:02}{day:02}T{hour:02}3000Z")
        } else { format!("DTSTART;TZID={zone}:2026{month:02}{day:02}T{hour:02}3000") };
        let plain = object(&format!("{start}\nRRULE:{rule}\nSUMMARY:s\n"));
        // Refused for its rule alone: nothing to compare.
        if project(&plain, &mailbox()).is_err() {
            return Ok(());
        }
        let Some(local) = reckoned(&plain, "2027-07-01T00:00:00Z").filter(|local| !local.is_empty()) else {
            return Ok(());
        };
        let left = local[leave % local.len()].0.parse().unwrap();
        let exdate = if all_day { format!("EXDATE;VALUE=DATE:{}", DateOrTime::Date(Zone::UTC.to_civil(left).date())) } else { format!("EXDATE:{}", DateOrTime::Utc(left)) };
        let given = object(&format!("{start}\nRRULE:{rule}\n{exdate}\nSUMMARY:s\n"));
        if let Ok(projection) = project(&given, &mailbox()) {
            let mut there = stored_series(&projection);
            if bare { there.single_value_extended_properties = None; }
            let back = read::compose(&there, &mailbox()).unwrap();
            prop_assert_eq!(reckoned(&back, "2027-07-01T00:00:00Z"), reckoned(&given, "2027-07-01T00:00:00Z"), "{}", back.as_text());
        }
    }
}
