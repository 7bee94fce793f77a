//! Scheduling between the users of one server (RFC 6638): invitations, answers, cancellations, the Schedule-Tag.

use super::*;

fn meeting(bob: &str, summary: &str) -> String {
    event("meet", "20260310T090000Z", summary).replace(
        "END:VEVENT",
        &format!(
            "ORGANIZER:mailto:ana@localhost\r\nATTENDEE;PARTSTAT=ACCEPTED:mailto:ana@localhost\r\n\
             ATTENDEE;PARTSTAT={bob};RSVP=TRUE:mailto:bob@localhost\r\nATTENDEE:mailto:stranger@example.net\r\n\
             BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:x\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\nEND:VEVENT"
        ),
    )
}

async fn bobs_copy(server: &Server) -> Option<(String, Answer)> {
    let list = server.ask_as_bob("PROPFIND", BOBS, &[("depth", "1")], &props(&["D:getetag"])).await.is(207);
    let path =
        list.body.split("<D:href>").filter_map(|part| part.split('<').next()).find(|href| href.ends_with(".ics"))?;
    let path = path.to_owned();
    let got = server.ask_as_bob("GET", &path, &[], "").await.is(200);
    Some((path, got))
}

async fn inbox(server: &Server, bob: bool) -> Vec<String> {
    let user = if bob { "bob" } else { "ana" };
    let path = format!("/dav/calendars/{user}/inbox/");
    let depth = [("depth", "1")];
    let body = props(&["C:calendar-data"]);
    let list = if bob {
        server.ask_as_bob("PROPFIND", &path, &depth, &body).await
    } else {
        server.ask("PROPFIND", &path, &depth, &body).await
    };
    let methods = list.is(207).body;
    methods
        .split("METHOD:")
        .skip(1)
        .filter_map(|rest| rest.split(['\r', '&', '\n']).next())
        .map(str::to_owned)
        .collect()
}

/// How many messages in bob's inbox are about something at or after `start`.
async fn inbox_query(server: &Server, start: &str) -> usize {
    let body = format!(
        "<C:calendar-query {NS}><D:prop><C:calendar-data/></D:prop><C:filter><C:comp-filter name=\"VCALENDAR\">\
         <C:comp-filter name=\"VEVENT\"><C:time-range start=\"{start}\"/></C:comp-filter></C:comp-filter></C:filter>\
         </C:calendar-query>"
    );
    let found = server.ask_as_bob("REPORT", "/dav/calendars/bob/inbox/", &[("depth", "1")], &body).await.is(207);
    found.count("BEGIN:VEVENT")
}

/// RFC 6638 3.2.1, 3.2.2.
#[tokio::test]
async fn an_invitation_reaches_the_attendee_and_the_answer_the_organizer() {
    let server = Server::start().await;
    server.add("bob").await;
    let path = format!("{UNIFIED}meet.ics");
    let put = server.ask("PUT", &path, &[], &meeting("NEEDS-ACTION", "Plan")).await.is(201);
    let tag = put.header("schedule-tag");
    assert!(tag.starts_with('"') && put.header("etag").starts_with('"'));
    let (theirs, copy) = bobs_copy(&server).await.expect("bob is invited");
    assert!(copy.body.contains("SUMMARY:Plan") && !copy.body.contains("VALARM") && !copy.body.contains("METHOD"));
    assert_eq!(inbox(&server, true).await, ["REQUEST"]);
    assert_eq!(inbox_query(&server, "20260101T000000Z").await, 1, "RFC 6638 2.2: an inbox answers calendar-query");
    assert_eq!(inbox_query(&server, "20300101T000000Z").await, 0);

    let bobs_tag = copy.header("schedule-tag");
    let answer = copy.body.replace("PARTSTAT=NEEDS-ACTION;RSVP=TRUE", "PARTSTAT=ACCEPTED");
    let put = server.ask_as_bob("PUT", &theirs, &[("if-schedule-tag-match", &bobs_tag)], &answer).await.is(204);
    assert_eq!(put.header("schedule-tag"), bobs_tag, "an answer changes no Schedule-Tag");
    let got = server.ask("GET", &path, &[], "").await.is(200);
    assert!(got.body.contains("ATTENDEE;PARTSTAT=ACCEPTED:mailto:bob@localhost"), "{}", got.body);
    assert!(got.body.contains("VALARM"), "the organizer keeps their alarm");
    assert_eq!(got.header("schedule-tag"), tag);
    assert_eq!(inbox(&server, false).await, ["REPLY"]);

    let stale = [("if-schedule-tag-match", "\"other\"")];
    server.ask("PUT", &path, &stale, &meeting("ACCEPTED", "Other")).await.is(412);
    server.ask("PUT", &path, &[("if-schedule-tag-match", &tag)], &meeting("ACCEPTED", "Later")).await.is(204);
    let (_, copy) = bobs_copy(&server).await.unwrap();
    assert!(copy.body.contains("SUMMARY:Later") && copy.header("schedule-tag") != bobs_tag);
    let shown = server.ask("PROPFIND", &path, &[("depth", "0")], &props(&["C:schedule-tag"])).await.is(207);
    assert!(shown.body.contains("schedule-tag>") && !shown.body.contains(&tag));
}

/// RFC 6638 3.2.1.3, 3.2.2.3, 8.1.
#[tokio::test]
async fn calling_off_and_declining_are_told_unless_nobody_shall_know() {
    let server = Server::start().await;
    server.add("bob").await;
    let path = format!("{UNIFIED}meet.ics");
    server.ask("PUT", &path, &[], &meeting("NEEDS-ACTION", "Plan")).await.is(201);
    let (theirs, _) = bobs_copy(&server).await.unwrap();
    server.ask_as_bob("DELETE", &theirs, &[("schedule-reply", "F")], "").await.is(204);
    assert!(server.ask("GET", &path, &[], "").await.body.contains("PARTSTAT=NEEDS-ACTION"));
    server.ask("PUT", &path, &[], &meeting("NEEDS-ACTION", "Again")).await.is(204);
    let (theirs, _) = bobs_copy(&server).await.expect("an update brings it back");
    server.ask_as_bob("DELETE", &theirs, &[], "").await.is(204);
    assert!(server.ask("GET", &path, &[], "").await.body.contains("PARTSTAT=DECLINED:mailto:bob@localhost"));
    server.ask("PUT", &path, &[], &meeting("NEEDS-ACTION", "Once more")).await.is(204);
    server.ask("DELETE", &path, &[], "").await.is(204);
    let (_, copy) = bobs_copy(&server).await.unwrap();
    assert!(copy.body.contains("STATUS:CANCELLED"));
    assert_eq!(inbox(&server, true).await, ["REQUEST", "REQUEST", "REQUEST", "CANCEL"]);
}

/// A UID is no secret: it must not be a way into what another keeps under it.
#[tokio::test]
async fn nobody_writes_over_what_another_has_under_the_same_uid() {
    let server = Server::start().await;
    server.add("bob").await;
    let (own, path) = (format!("{BOBS}own.ics"), format!("{UNIFIED}meet.ics"));
    server.ask_as_bob("PUT", &own, &[], &event("meet", "20260401T090000Z", "Doctor")).await.is(201);
    server.ask("PUT", &path, &[], &meeting("NEEDS-ACTION", "Mine")).await.is(201);
    server.ask("DELETE", &path, &[], "").await.is(204);
    let got = server.ask_as_bob("GET", &own, &[], "").await.is(200);
    assert!(got.body.contains("SUMMARY:Doctor") && !got.body.contains("CANCELLED"), "{}", got.body);
    assert!(inbox(&server, true).await.is_empty());
}

/// RFC 5546 3.2.3: an answer says what the attendee says, and not what they noted for themselves.
#[tokio::test]
async fn an_answer_holds_none_of_the_attendees_notes() {
    let server = Server::start().await;
    server.add("bob").await;
    server.ask("PUT", &format!("{UNIFIED}meet.ics"), &[], &meeting("NEEDS-ACTION", "Plan")).await.is(201);
    let (theirs, copy) = bobs_copy(&server).await.expect("bob is invited");
    let answer = copy.body.replace("PARTSTAT=NEEDS-ACTION;RSVP=TRUE", "PARTSTAT=ACCEPTED");
    let answer = answer.replace("END:VEVENT", "DESCRIPTION:my own note\r\nEND:VEVENT");
    server.ask_as_bob("PUT", &theirs, &[], &answer).await.is(204);
    let told =
        server.ask("PROPFIND", "/dav/calendars/ana/inbox/", &[("depth", "1")], &props(&["C:calendar-data"])).await;
    assert!(told.body.contains("METHOD:REPLY") && told.body.contains("PARTSTAT=ACCEPTED"), "{}", told.body);
    assert!(!told.body.contains("my own note"), "{}", told.body);
}

/// Messages are read and deleted by their owner only; what a provider holds is left to the provider.
#[tokio::test]
async fn messages_are_private_and_providers_invite_themselves() {
    let server = Server::start().await;
    server.add("bob").await;
    server.ask("PUT", &format!("{UNIFIED}meet.ics"), &[], &meeting("NEEDS-ACTION", "Plan")).await.is(201);
    let list =
        server.ask_as_bob("PROPFIND", "/dav/calendars/bob/inbox/", &[("depth", "1")], &props(&["D:getetag"])).await;
    let message = list.between("/inbox/</D:href>", "</D:href>");
    let message = message.rsplit("<D:href>").next().unwrap().to_owned();
    server.ask("GET", &message, &[], "").await.is(404);
    server.ask_as_bob("GET", &message, &[], "").await.is(200).has("METHOD:REQUEST");
    let multiget = format!(
        "<C:calendar-multiget {NS}><D:prop><D:getetag/><C:calendar-data/></D:prop><D:href>{message}</D:href></C:calendar-multiget>"
    );
    server.ask_as_bob("REPORT", "/dav/calendars/bob/inbox/", &[], &multiget).await.is(207).has("METHOD:REQUEST");
    server.ask_as_bob("DELETE", &message, &[], "").await.is(204);
    server.ask_as_bob("DELETE", &message, &[], "").await.is(404);

    server.attach("s-theirs", Mirror::TwoWay).await;
    let provided = meeting("NEEDS-ACTION", "Elsewhere").replace("UID:meet", "UID:provided");
    let put = server.ask("PUT", "/dav/calendars/ana/s-theirs/p.ics", &[], &provided).await.is(201);
    assert_eq!(put.header("schedule-tag"), "");
    assert!(inbox(&server, true).await.is_empty(), "nobody is invited twice");
}

/// RFC 6638 5: other users of the server, and strangers.
#[tokio::test]
async fn free_busy_of_the_servers_users_is_told() {
    let server = Server::start().await;
    server.add("bob").await;
    let busy = event("b", "20260310T120000Z", "secret");
    server.ask_as_bob("PUT", &format!("{BOBS}b.ics"), &[], &busy).await.is(201);
    let ask = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nMETHOD:REQUEST\r\nBEGIN:VFREEBUSY\r\nUID:q\r\n\
               DTSTAMP:20260301T000000Z\r\nDTSTART:20260310T000000Z\r\nDTEND:20260311T000000Z\r\n\
               ORGANIZER:mailto:ana@localhost\r\nATTENDEE:mailto:bob@localhost\r\nATTENDEE:mailto:x@example.net\r\n\
               END:VFREEBUSY\r\nEND:VCALENDAR\r\n";
    let answer = server.ask("POST", &format!("{HOME}outbox/"), &[("content-type", "text/calendar")], ask).await.is(200);
    answer.has("20260310T120000Z/").has("2.0;").has("3.7;").lacks("secret");
}

const BOBS: &str = "/dav/calendars/bob/unified/";
