//! The mapping tables, a row a case.

use super::*;

fn context() -> Context {
    let calendar =
        Calendar { zone: Some("Europe/Paris".to_owned()), reminders: vec![json!({"method": "popup", "minutes": 30})] };
    Context { calendar, email: "ana@example.org".to_owned() }
}

fn event(start: &str, more: &Value) -> Value {
    let mut event = json!({
        "id": "e1", "iCalUID": "u@google.com", "status": "confirmed", "etag": "\"1\"", "updated": "2026-01-01T00:00:00.123Z",
        "start": { "dateTime": start, "timeZone": "Europe/Paris" },
        "end": { "dateTime": "2026-02-01T11:00:00+01:00", "timeZone": "Europe/Paris" },
        "reminders": { "useDefault": false },
    });
    let (Some(event_members), Some(more)) = (event.as_object_mut(), more.as_object()) else { return event };
    event_members.extend(more.clone());
    event
}

fn lines(event: &Value) -> String {
    to_ical(Some(event), &[], &context()).replace("\r\n ", "")
}

/// What Google says, and a line that is served for it.
#[test]
fn members_become_properties() {
    let at = "2026-02-01T10:00:00+01:00";
    let table: [(Value, &str); 16] = [
        (json!({}), "DTSTART;TZID=Europe/Paris:20260201T100000"),
        (json!({"start": {"date": "2026-02-01"}, "end": {"date": "2026-02-02"}}), "DTSTART;VALUE=DATE:20260201"),
        (
            json!({"start": {"dateTime": "2026-02-01T09:00:00Z", "timeZone": "Europe/Paris"}}),
            "DTSTART;TZID=Europe/Paris:20260201T100000",
        ),
        (json!({"start": {"dateTime": "2026-02-01T09:00:00Z", "timeZone": "UTC"}}), "DTSTART:20260201T090000Z"),
        (json!({"recurrence": ["RRULE:FREQ=WEEKLY;COUNT=3"]}), "RRULE:FREQ=WEEKLY;COUNT=3"),
        (
            json!({"recurrence": ["RRULE:FREQ=WEEKLY", "EXDATE:20260208T090000Z"]}),
            "EXDATE;TZID=Europe/Paris:20260208T100000",
        ),
        (json!({"visibility": "private"}), "CLASS:PRIVATE"),
        (json!({"status": "tentative"}), "STATUS:TENTATIVE"),
        (json!({"transparency": "transparent"}), "TRANSP:TRANSPARENT"),
        (json!({"description": "<b>One</b> &amp; two"}), "DESCRIPTION:One & two"),
        (json!({"colorId": "11"}), "COLOR:crimson"),
        (json!({"hangoutLink": "https://meet.example/x"}), "X-GOOGLE-CONFERENCE:https://meet.example/x"),
        (json!({"attachments": [{"fileUrl": "https://f.example/1", "title": "A"}]}), "FILENAME=A:https://f.example/1"),
        (json!({"reminders": {"useDefault": true}}), "TRIGGER:-PT30M"),
        (
            json!({"reminders": {"useDefault": false, "overrides": [{"method": "email", "minutes": 1440}]}}),
            "TRIGGER:-P1D",
        ),
        (
            json!({"organizer": {"email": "bo@example.org"}, "attendees": [{"email": "ana@example.org", "optional": true, "responseStatus": "declined", "future": 1}]}),
            "ATTENDEE;ROLE=OPT-PARTICIPANT;PARTSTAT=DECLINED:mailto:ana@example.org",
        ),
    ];
    for (more, wanted) in table {
        let text = lines(&event(at, &more));
        assert!(text.contains(wanted), "{more}: {text}");
        // Written back unchanged it says what it said.
        let object = Object::parse(text.into()).unwrap();
        let mapped = from_ical(object.master().unwrap(), &object, &context()).unwrap();
        for name in ["visibility", "status", "transparency", "description", "colorId", "recurrence"] {
            if let Some(value) = more.get(name).filter(|_| !more.to_string().contains("EXDATE")) {
                assert_eq!(mapped.members.get(name), Some(value), "{name}");
            }
        }
        assert!(mapped.stash.iter().all(|line| !line.contains("GOOGLE")), "{:?}", mapped.stash);
    }
}

/// What a client says, through Google's members and the stash and back, by meaning.
#[test]
fn properties_survive_the_way_there_and_back() {
    let when = "DTSTART;TZID=Europe/Paris:20260201T100000\r\nDTEND;TZID=Europe/Paris:20260201T110000\r\n";
    let alarm = |lines: &str| format!("{when}BEGIN:VALARM\r\n{lines}\r\nEND:VALARM\r\n");
    let person = |params: &str| {
        format!("{when}ORGANIZER;CN=Ana:mailto:ana@example.org\r\nATTENDEE{params}:mailto:bo@example.org\r\n")
    };
    let with = |line: &str| format!("{when}{line}\r\n");
    let table = [
        when.to_owned(),
        "DTSTART:20260201T100000Z\r\nDTEND:20260201T110000Z\r\n".to_owned(),
        "DTSTART;VALUE=DATE:20260201\r\nDTEND;VALUE=DATE:20260203\r\n".to_owned(),
        "DTSTART;VALUE=DATE:20260201\r\n".to_owned(),
        "DTSTART:20260201T100000\r\nDTEND:20260201T110000\r\n".to_owned(),
        "DTSTART:20260201T100000Z\r\n".to_owned(),
        "DTSTART:20260201T100000Z\r\nDTEND:20260201T100000Z\r\n".to_owned(),
        "DTSTART;TZID=Europe/Paris:20260328T100000\r\nDURATION:P1DT1H\r\n".to_owned(),
        "DTSTART;TZID=W. Europe Standard Time:20260201T100000\r\nDTEND;TZID=W. Europe Standard Time:20260201T110000\r\n".to_owned(),
        "DTSTART;TZID=Europe/Paris:20260201T100000\r\nDTEND;TZID=America/New_York:20260201T110000\r\n".to_owned(),
        with("RRULE:FREQ=WEEKLY;BYDAY=SU;UNTIL=20260301T090000Z"),
        with("RRULE:FREQ=DAILY;COUNT=5\r\nRDATE;TZID=Europe/Paris:20260301T100000\r\nEXDATE;TZID=Europe/Paris:20260202T100000"),
        with("SUMMARY;LANGUAGE=fr:Déjeuner\\, long\r\nDESCRIPTION:a\\nb\r\nLOCATION:Rue 1"),
        with("DESCRIPTION:One two\r\nX-ALT-DESC;FMTTYPE=text/html:<p>One <b>two</b></p>"),
        with("GEO:1.0;2.0\r\nURL:https://x.example/\r\nCATEGORIES:a,b\\,c\r\nPRIORITY:3"),
        with("CLASS:CONFIDENTIAL\r\nSTATUS:TENTATIVE\r\nTRANSP:TRANSPARENT\r\nCOLOR:crimson"),
        with("STATUS:CONFIRMED\r\nCOLOR:hotpink\r\nCOMMENT:x\r\nCONTACT:y\r\nRELATED-TO:z\r\nRESOURCES:r"),
        with("X-MICROSOFT-CDO-BUSYSTATUS:OOF\r\nX-APPLE-STRUCTURED-LOCATION;VALUE=URI;X-TITLE=\"a;b\":geo:1,2\r\nCONFERENCE;VALUE=URI:https://c.example/"),
        with("ATTACH;FMTTYPE=text/plain:https://f.example/1"),
        person(""),
        person(";CN=\"Bo, Jr\";ROLE=NON-PARTICIPANT;PARTSTAT=TENTATIVE;RSVP=TRUE"),
        person(";CUTYPE=ROOM;ROLE=CHAIR;X-NUM-GUESTS=2;X-RESPONSE-COMMENT=late"),
        person(";PARTSTAT=DELEGATED;DELEGATED-TO=\"mailto:cy@example.org\""),
        format!("{when}ORGANIZER:mailto:ana@example.org\r\nATTENDEE;SCHEDULE-AGENT=CLIENT:mailto:bo@example.org\r\nATTENDEE:urn:uuid:1\r\n"),
        alarm("ACTION:DISPLAY\r\nDESCRIPTION:Reminder\r\nTRIGGER:-PT15M"),
        alarm("ACTION:DISPLAY\r\nDESCRIPTION:Own words\r\nTRIGGER:-P1D\r\nUID:al1"),
        alarm("ACTION:AUDIO\r\nTRIGGER:PT0S"),
        alarm("ACTION:EMAIL\r\nSUMMARY:s\r\nDESCRIPTION:d\r\nATTENDEE:mailto:ana@example.org\r\nTRIGGER:-PT1H"),
        alarm("ACTION:DISPLAY\r\nDESCRIPTION:after\r\nTRIGGER;RELATED=END:PT5M"),
        alarm("ACTION:DISPLAY\r\nDESCRIPTION:x\r\nTRIGGER;VALUE=DATE-TIME:20260201T080000Z"),
    ];
    for lines in table {
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u@x\r\nDTSTAMP:20260101T000000Z\r\n{lines}\
             END:VEVENT\r\nEND:VCALENDAR\r\n"
        );
        let object = Object::parse(text.clone().into()).unwrap();
        let mapped = from_ical(object.master().unwrap(), &object, &context()).unwrap();
        let mut body = super::super::body::full(&mapped);
        super::super::body::stash_into(&mut body, stash_members(&mapped, "e1", Some("u@x")));
        body.insert("id".to_owned(), json!("e1"));
        body.insert("organizer".to_owned(), json!({"email": "ana@example.org", "displayName": "Ana", "self": true}));
        body.entry("status").or_insert(json!("confirmed"));
        let back = to_ical(Some(&Value::Object(body)), &[], &context());
        let mut told = Object::parse(back.clone().into()).unwrap();
        if !lines.contains("CN=Ana") {
            // The account's own name is Google's to say.
            told = Object::parse(back.replace("ORGANIZER;CN=Ana", "ORGANIZER").into()).unwrap();
        }
        assert!(crate::ical::same_meaning(&object, &told), "{text}\n{back}");
    }
}

/// What would happen at another time there is refused, and says why.
#[test]
fn what_cannot_be_held_is_refused() {
    for lines in [
        "DTSTART:20260201T100000\r\nRRULE:FREQ=DAILY\r\n",
        "DTSTART:20260201T100000Z\r\nRRULE:FREQ=HOURLY\r\n",
        "DTSTART;TZID=Nowhere/Special:20260201T100000\r\n",
        "DTSTART:20260201T100000Z\r\nRDATE;VALUE=PERIOD:20260202T100000Z/PT1H\r\n",
        "SUMMARY:no start\r\n",
    ] {
        let text = format!("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:u\r\n{lines}END:VEVENT\r\nEND:VCALENDAR\r\n");
        let object = Object::parse(text.into()).unwrap();
        assert!(from_ical(object.master().unwrap(), &object, &context()).is_err(), "{lines}");
    }
}

/// Fault catalogue 61 and 64.
#[test]
fn a_series_keeps_its_zone_and_its_last_instance() {
    let text = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTART;TZID=Europe/Paris:20260201T233000\r\n\
                DTEND;TZID=Europe/Paris:20260201T234500\r\nRRULE:FREQ=DAILY;UNTIL=20260210\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let object = Object::parse(text.into()).unwrap();
    let mapped = from_ical(object.master().unwrap(), &object, &context()).unwrap();
    assert_eq!(mapped.members["start"]["timeZone"], "Europe/Paris");
    assert_eq!(mapped.members["start"]["dateTime"], "2026-02-01T23:30:00+01:00");
    assert_eq!(mapped.members["recurrence"][0], "RRULE:FREQ=DAILY;UNTIL=20260210T225959Z");
    assert_eq!(instance_id("abc", "20260202T223000Z"), "abc_20260202T223000Z");
    assert_eq!(instance_id("abc_R20260101T000000", "20260202"), "abc_20260202");
}
