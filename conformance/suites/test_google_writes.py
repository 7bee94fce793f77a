"""Writes to Google that meet something else: a cut create, a deletion there, an instance of its own, an account out of reach."""

import re
import threading

import pytest
from harness.gateway import Gateway
from harness.google import Google, Refused
from harness.process import wait_until
from test_google import connect, event, found, timed


class Hooked(Google):
    """The simulator with a hook that may refuse a request before or after it is carried out."""

    hook = None

    def api(self, method, path, query, headers, body):
        if self.hook:
            self.hook(method, path, body)
        return super().api(method, path, query, headers, body)


@pytest.fixture
def google(started):
    service = started(Hooked())
    yield service
    assert service.violations == []


@pytest.fixture
def world(started, tmp_path, google):
    gateway = Gateway(tmp_path, sync__poll_interval="1h", webhooks__enabled="false", sync__write_through="10s", **google.settings())
    started(gateway)
    gateway.add_user()
    return gateway


def settle(world, times=3):
    for _ in range(times):
        world.run("sync", "ana", "--wait")


def override(uid, of, day, hour, summary, more=""):
    return (f"BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260101T000000Z\r\nRECURRENCE-ID;TZID=Europe/Paris:{of}\r\n"
            f"DTSTART;TZID=Europe/Paris:{day}T{hour:02}0000\r\nDTEND;TZID=Europe/Paris:{day}T{hour + 1:02}0000\r\n"
            f"SUMMARY:{summary}\r\n{more}END:VEVENT\r\n")


WEEKLY = dict(id="weekly1", summary="Standup", start=timed("02-02", 9), end=timed("02-02", 10), recurrence=["RRULE:FREQ=WEEKLY;COUNT=6"])


def living(google):
    return {id: one for id, one in google.events[google.email].items() if one["status"] != "cancelled"}


def test_an_event_that_is_called_off_stays_and_requests_end(world, google):
    google.put(id="single1", summary="Plan", start=timed("02-03", 12), end=timed("02-03", 13))
    connect(world)
    name, text = found(world, "Plan")
    text = text.replace("SUMMARY:Plan", "SUMMARY:Plan\r\nSTATUS:CANCELLED")
    answer = world.dav().put(name, text)
    settle(world)
    n = len(google.requests)
    settle(world)
    more = len(google.requests) - n
    assert found(world, "Plan")[0], (answer.status, google.events[google.email], world.json("conflict", "list", "ana"))
    assert world.json("status", "ana")["queue"] == 0 and more < 12, (more, google.requests[-12:])


def test_overrides_survive_a_create_that_was_cut(world, google):
    connect(world)
    patches = []
    state = {"insert": 0}

    def hook(method, path, body):
        if method == "POST" and path.endswith("/events"):
            state["insert"] += 1
            if state["insert"] == 1:
                raise Refused(503, "backendError")
        if method == "PATCH" and len(patches) < 3:
            patches.append(path)
            raise Refused(503, "backendError")

    google.hook = hook
    lines = ["DTSTART;TZID=Europe/Paris:20260202T090000", "DTEND;TZID=Europe/Paris:20260202T100000", "SUMMARY:Course", "RRULE:FREQ=WEEKLY;COUNT=4"]
    text = event("c@x", lines).replace("END:VCALENDAR\r\n", override("c@x", "20260209T090000", "20260210", 14, "Moved course") + "END:VCALENDAR\r\n")
    assert world.dav().put(world.unified() + "c.ics", text).status == 201
    wait_until(lambda: (world.run("sync", "ana", "--wait"), patches)[1], seconds=60, what="the cut create")
    google.hook = None
    settle(world)
    assert "Moved course" in google.live(), google.live().keys()
    assert "Moved course" in found(world, "Course")[1]


def test_a_recreated_event_has_nothing_of_the_old(world, google):
    connect(world)
    dav, path = world.dav(), world.unified() + "one.ics"
    dav.put(path, event("one@x", ["DTSTART;VALUE=DATE:20260210", "DTEND;VALUE=DATE:20260211", "SUMMARY:Talk", "LOCATION:Secret place", "CATEGORIES:a"]))
    world.sync()
    id = google.live()["Talk"]["id"]
    text = dav.get(path).text
    google.remove(id)
    # Before the deletion is read, the client makes it a timed event elsewhere.
    text = text.replace("DTSTART;VALUE=DATE:20260210", "DTSTART:20260210T100000Z").replace("DTEND;VALUE=DATE:20260211", "DTEND:20260210T110000Z")
    text = text.replace("LOCATION:Secret place\r\n", "").replace("SUMMARY:Talk", "SUMMARY:Lecture")
    answer = dav.put(path, text)
    settle(world)
    there = google.live()
    assert "Lecture" in there, (answer.status, there, world.json("conflict", "list", "ana"))
    assert not there["Lecture"].get("location"), there


def test_an_event_that_moves_there_and_back_has_nothing_of_the_old(world, google):
    google.add_calendar("team@group.calendar.google.com", "Team")
    connect(world)
    dav = world.dav()
    sources = {one["name"]: f"/dav/calendars/ana/{one['id']}/" for one in world.json("source", "list", "ana") if one["account"]}
    here, there = sources["Ana"], sources["Team"]
    team = "team@group.calendar.google.com"
    dav.put(here + "w.ics", event("w@x", ["DTSTART:20260210T100000Z", "DTEND:20260210T110000Z", "SUMMARY:Wander", "LOCATION:Old place"]))
    world.sync()
    assert dav.request("MOVE", here + "w.ics", headers={"Destination": world.url + there + "w.ics"}).status in (201, 204)
    settle(world)
    assert "Wander" in google.live(team) and "Wander" not in google.live(), (google.live(team), google.live())
    text = dav.get(there + "w.ics").text
    assert dav.put(there + "w.ics", text.replace("LOCATION:Old place\r\n", "")).status == 204
    settle(world)
    assert dav.request("MOVE", there + "w.ics", headers={"Destination": world.url + here + "w.ics"}).status in (201, 204)
    settle(world)
    assert "Wander" in google.live() and "Wander" not in google.live(team)
    assert not google.live()["Wander"].get("location"), google.live()


def test_an_event_is_copied_to_the_other_calendar(world, google):
    google.add_calendar("team@group.calendar.google.com", "Team")
    connect(world)
    dav = world.dav()
    sources = {one["name"]: f"/dav/calendars/ana/{one['id']}/" for one in world.json("source", "list", "ana") if one["account"]}
    here, there = sources["Ana"], sources["Team"]
    team = "team@group.calendar.google.com"
    dav.put(here + "w.ics", event("w@x", ["DTSTART:20260210T100000Z", "DTEND:20260210T110000Z", "SUMMARY:Wander"]))
    world.sync()
    assert dav.request("COPY", here + "w.ics", headers={"Destination": world.url + there + "w.ics"}).status in (201, 204)
    settle(world)
    assert "Wander" in google.live(team) and "Wander" in google.live()
    assert dav.delete(there + "w.ics").status == 204
    settle(world)
    assert "Wander" in google.live() and "Wander" not in google.live(team)


def test_a_series_that_moves_by_an_hour_brings_no_deleted_instance_back(world, google):
    google.put(**WEEKLY)
    google.put(id="weekly1_20260209T080000Z", recurringEventId="weekly1", summary="Standup", status="cancelled", iCalUID="weekly1@google.com",
               originalStartTime=timed("02-09", 9), start=timed("02-09", 9), end=timed("02-09", 10))
    connect(world)
    name, text = found(world, "Standup")
    assert "EXDATE" in text
    text = text.replace("20260202T090000", "20260202T100000X").replace("20260202T100000\r", "20260202T110000\r").replace("T100000X", "T100000")
    text = text.replace("EXDATE;TZID=Europe/Paris:20260209T090000", "EXDATE;TZID=Europe/Paris:20260209T100000")
    assert world.dav().put(name, text).status == 204
    settle(world)
    assert set(living(google)) == {"weekly1"}, living(google)
    assert google.events[google.email]["weekly1_20260209T090000Z"]["status"] == "cancelled"


def test_a_series_that_ends_earlier_brings_nothing_back(world, google):
    google.put(**WEEKLY)
    google.put(id="weekly1_20260302T080000Z", recurringEventId="weekly1", summary="Standup", status="cancelled", iCalUID="weekly1@google.com",
               originalStartTime=timed("03-02", 9), start=timed("03-02", 9), end=timed("03-02", 10))
    google.put(id="weekly1_20260223T080000Z", recurringEventId="weekly1", summary="Late standup", iCalUID="weekly1@google.com",
               originalStartTime=timed("02-23", 9), start=timed("02-23", 15), end=timed("02-23", 16))
    connect(world)
    name, text = found(world, "Standup")
    assert "Late standup" in text
    text = re.sub(r"EXDATE[^\r]*\r\n", "", text).replace("COUNT=6", "UNTIL=20260215T000000Z")
    first = text.index("BEGIN:VEVENT", text.index("BEGIN:VEVENT") + 1)
    text = text[:first] + "END:VCALENDAR\r\n"
    assert world.dav().put(name, text).status == 204
    settle(world)
    assert set(living(google)) == {"weekly1"}, living(google).keys()
    assert "RECURRENCE-ID" not in found(world, "Standup")[1]


def test_one_instance_of_an_invitation_is_answered(world, google):
    google.put(**{**WEEKLY, "summary": "Review"}, organizer={"email": "bo@example.org"},
               attendees=[{"email": google.email, "responseStatus": "needsAction"}, {"email": "bo@example.org", "responseStatus": "accepted"}])
    connect(world)
    name, text = found(world, "Review")
    people = "".join(line + "\r\n" for line in text.split("\r\n") if line.startswith(("ORGANIZER", "ATTENDEE")))
    mine = override("weekly1@google.com", "20260209T090000", "20260209", 9, "Review", people.replace("NEEDS-ACTION", "DECLINED"))
    answer = world.dav().put(name, text.replace("END:VCALENDAR", mine + "END:VCALENDAR"))
    settle(world)
    assert answer.status == 204, answer.text
    one = google.events[google.email]["weekly1_20260209T080000Z"]
    assert {a["email"]: a["responseStatus"] for a in one["attendees"]}[google.email] == "declined"
    master = google.events[google.email]["weekly1"]
    assert {a["email"]: a["responseStatus"] for a in master["attendees"]}[google.email] == "needsAction"
    assert google.mails == [("bo@example.org", "answered", "Review")], google.mails


@pytest.mark.parametrize("reason,status", [("html", 403), ("domainPolicy", 403), ("concurrentLimitExceeded", 403), ("html", 400), ("RATE_LIMIT_EXCEEDED", 403)])
def test_an_account_out_of_reach_refuses_nothing(world, google, reason, status):
    google.put(id="single1", summary="Plan", start=timed("02-03", 12), end=timed("02-03", 13))
    connect(world)
    name, text = found(world, "Plan")
    serve = google.serve
    down = [True]

    def closed(method, target, headers, body):
        if not down[0] or target.startswith(("/auth", "/token")):
            return serve(method, target, headers, body)
        if reason == "html":
            return status, {"content-type": "text/html"}, b"<html>We're sorry, but your computer may be sending automated queries</html>"
        content = b'{"error":{"code":%d,"message":"x","errors":[{"domain":"global","reason":"%s","message":"x"}]}}' % (status, reason.encode())
        if reason.isupper():
            content = b'{"error":{"code":403,"message":"x","status":"RESOURCE_EXHAUSTED","details":[{"reason":"RATE_LIMIT_EXCEEDED"}]}}'
        return status, {"content-type": "application/json"}, content

    google.serve = closed
    answer = world.dav().put(name, text.replace("SUMMARY:Plan", "SUMMARY:New plan"))
    down[0] = False
    google.refresh_tokens.add("refresh-1")
    connect(world)
    settle(world)
    assert answer.status == 204 and "New plan" in google.live(), (answer.status, google.live().keys(), world.json("conflict", "list", "ana"))


def test_a_deletion_does_not_take_an_edit_of_an_instance_along(world, google):
    google.put(**WEEKLY)
    connect(world)
    name, _ = found(world, "Standup")
    google.put(id="weekly1_20260209T080000Z", recurringEventId="weekly1", summary="Important standup", iCalUID="weekly1@google.com",
               originalStartTime=timed("02-09", 9), start=timed("02-09", 15), end=timed("02-09", 16))
    assert world.dav().delete(name).status == 204
    settle(world)
    assert "Important standup" in google.live(), google.live().keys()


def test_an_import_whose_answer_was_lost_is_found_again_when_it_is_to_go(world, google):
    connect(world)
    state = {"down": False}

    def hook(method, path, body):
        if state["down"]:
            raise Refused(503, "backendError")

    google.hook = hook
    google.faults["lose_answer"] = 1
    lines = ["DTSTART:20260210T100000Z", "DTEND:20260210T110000Z", "SUMMARY:Ghost", "ORGANIZER:mailto:bo@example.org",
             f"ATTENDEE;PARTSTAT=ACCEPTED:mailto:{google.email}"]
    writer = threading.Thread(target=lambda: world.dav().put(world.unified() + "g.ics", event("g@x", lines)))
    writer.start()
    wait_until(lambda: "Ghost" in google.live(), what="the import")
    state["down"] = True
    writer.join()
    dav = world.dav()
    name, _ = found(world, "Ghost")
    assert dav.delete(name).status == 204
    state["down"] = False
    for _ in range(3):
        world.run("sync", "ana", "--full", "--wait")
    assert "Ghost" not in google.live() and not found(world, "Ghost")[0]


def test_one_event_that_always_fails_holds_up_no_other(world, google):
    google.put(id="single1", summary="Bad", start=timed("02-03", 12), end=timed("02-03", 13))
    google.put(id="single2", summary="Good", start=timed("02-04", 12), end=timed("02-04", 13))
    connect(world)

    def hook(method, path, body):
        if method == "PATCH" and "single1" in path:
            raise Refused(500, "backendError")

    google.hook = hook
    name, text = found(world, "Bad")
    good, other = found(world, "Good")
    writer = threading.Thread(target=lambda: world.dav().put(name, text.replace("SUMMARY:Bad", "SUMMARY:Worse")))
    writer.start()
    wait_until(lambda: found(world, "Worse")[0], what="the first edit")
    world.dav().put(good, other.replace("SUMMARY:Good", "SUMMARY:Better"))
    writer.join()
    settle(world, 4)
    assert "Better" in google.live(), google.live().keys()


def test_a_meeting_that_is_called_off_is_mailed_about_once(world, google):
    google.put(id="single1", summary="Plan", start=timed("02-03", 12), end=timed("02-03", 13),
               attendees=[{"email": google.email, "responseStatus": "accepted"}, {"email": "bo@example.org", "responseStatus": "accepted"}])
    connect(world)
    name, text = found(world, "Plan")
    world.dav().put(name, text.replace("SUMMARY:Plan", "SUMMARY:Plan\r\nSTATUS:CANCELLED"))
    settle(world, 5)
    assert len(google.mails) <= 1, google.mails


def test_an_import_whose_answer_was_lost_is_found_again_before_anything_is_read(world, google):
    connect(world)
    state = {"down": True}
    google.faults["lose_answer"] = 1

    def hook(method, path, body):
        if state["down"] and path.endswith("/import") and "Ghost" in google.live():
            raise Refused(503, "backendError")

    google.hook = hook
    lines = ["DTSTART:20260210T100000Z", "DTEND:20260210T110000Z", "SUMMARY:Ghost", "ORGANIZER:mailto:bo@example.org",
             f"ATTENDEE;PARTSTAT=ACCEPTED:mailto:{google.email}"]
    writer = threading.Thread(target=lambda: world.dav().put(world.unified() + "g.ics", event("g@x", lines)))
    writer.start()
    wait_until(lambda: "Ghost" in google.live(), what="the import")
    dav = world.dav()
    name, _ = found(world, "Ghost")
    assert dav.delete(name).status == 204
    state["down"] = False
    # The push comes round by itself; nothing is read before.
    wait_until(lambda: world.json("status", "ana")["queue"] == 0, seconds=90, what="the push")
    writer.join()
    for _ in range(3):
        world.run("sync", "ana", "--full", "--wait")
    assert "Ghost" not in google.live() and not found(world, "Ghost")[0]


def test_both_sides_change_instances_of_a_series(world, google):
    google.put(**WEEKLY)
    connect(world)
    name, text = found(world, "Standup")
    google.put(id="weekly1_20260216T080000Z", recurringEventId="weekly1", summary="Theirs", iCalUID="weekly1@google.com",
               originalStartTime=timed("02-16", 9), start=timed("02-16", 15), end=timed("02-16", 16))
    google.put(id="weekly1", location="Room")
    more = override("weekly1@google.com", "20260209T090000", "20260209", 14, "Ours") + override("weekly1@google.com", "20260223T090000", "20260223", 14, "Ours too")
    text = text.replace("END:VEVENT\r\n", "EXDATE;TZID=Europe/Paris:20260302T090000\r\nEND:VEVENT\r\n" + more, 1)
    assert world.dav().put(name, text).status == 204
    settle(world)
    live = google.live()
    assert {"Standup", "Theirs", "Ours", "Ours too"} == set(live), live.keys()
    assert live["Standup"]["location"] == "Room"
    assert google.events[google.email]["weekly1_20260302T080000Z"]["status"] == "cancelled"
    text = found(world, "Standup")[1]
    assert "Theirs" in text and "LOCATION:Room" in text and "Ours too" in text
    assert not world.json("conflict", "list", "ana")


def test_the_owner_of_a_secondary_calendar_is_no_guest_in_it(world, google):
    team = "team@group.calendar.google.com"
    google.add_calendar(team, "Team")
    google.put(team, id="single1", summary="Plan", start=timed("02-03", 12), end=timed("02-03", 13),
               organizer={"email": team, "displayName": "Team", "self": True},
               attendees=[{"email": google.email, "responseStatus": "accepted"}, {"email": "bo@example.org", "responseStatus": "accepted"}])
    connect(world)
    name, text = found(world, "Plan")
    bo = [line for line in text.split("\r\n") if line.startswith("ATTENDEE") and "bo@" in line][0]
    answer = world.dav().put(name, text.replace(bo, bo.replace("ATTENDEE", "ATTENDEE;ROLE=OPT-PARTICIPANT")))
    settle(world)
    one = google.events[team]["single1"]
    assert answer.status == 204 and {a["email"]: a.get("optional") for a in one["attendees"]}["bo@example.org"] is True


def test_an_answer_is_the_guests_own_entry_whatever_else_a_client_leaves_out(world, google):
    google.put(id="invite1", summary="Review", start=timed("02-12", 9), end=timed("02-12", 10), organizer={"email": "bo@example.org"},
               attendees=[{"email": google.email, "responseStatus": "needsAction"}, {"email": "bo@example.org", "responseStatus": "accepted"},
                          {"email": "cy@example.org", "displayName": "Cy", "responseStatus": "accepted"}])
    connect(world)
    name, text = found(world, "Review")
    text = text.replace("NEEDS-ACTION", "ACCEPTED").replace("CN=Cy;", "")
    answer = world.dav().put(name, text)
    assert answer.status == 204, answer.text
    assert {a["email"]: a["responseStatus"] for a in google.live()["Review"]["attendees"]}[google.email] == "accepted"


def test_the_series_and_two_of_its_instances_are_changed_at_once(world, google):
    google.put(**WEEKLY)
    connect(world)
    name, text = found(world, "Standup")
    more = override("weekly1@google.com", "20260209T090000", "20260209", 14, "One") + override("weekly1@google.com", "20260216T090000", "20260216", 14, "Two")
    assert world.dav().put(name, text.replace("END:VCALENDAR", more + "END:VCALENDAR")).status == 204
    settle(world)
    text = found(world, "Standup")[1]
    text = text.replace("SUMMARY:One", "SUMMARY:Uno").replace("SUMMARY:Two", "SUMMARY:Due").replace("SUMMARY:Standup", "SUMMARY:Sit")
    assert world.dav().put(name, text).status == 204
    settle(world)
    assert set(google.live()) == {"Uno", "Due", "Sit"} and google.mails == []


def test_an_instance_that_is_called_off_does_not_come_back(world, google):
    google.put(**WEEKLY)
    connect(world)
    name, text = found(world, "Standup")
    more = override("weekly1@google.com", "20260209T090000", "20260209", 9, "Standup", "STATUS:CANCELLED\r\n")
    assert world.dav().put(name, text.replace("END:VCALENDAR", more + "END:VCALENDAR")).status == 204
    settle(world)
    n = len(google.requests)
    settle(world)
    assert google.events[google.email]["weekly1_20260209T080000Z"]["status"] == "cancelled"
    assert len(google.requests) - n < 12 and world.json("status", "ana")["queue"] == 0
    text = found(world, "Standup")[1]
    assert world.dav().put(name, text.replace("SUMMARY:Standup", "SUMMARY:Sit")).status == 204
    settle(world)
    assert set(google.live()) == {"Sit"}


def test_an_event_is_created_called_off(world, google):
    connect(world)
    lines = ["DTSTART:20260210T100000Z", "DTEND:20260210T110000Z", "SUMMARY:Off", "STATUS:CANCELLED"]
    answer = world.dav().put(world.unified() + "x.ics", event("x@x", lines))
    settle(world)
    n = len(google.requests)
    settle(world)
    assert found(world, "Off")[0], answer.status
    assert len(google.requests) - n < 12 and world.json("status", "ana")["queue"] == 0, (len(google.requests) - n)


@pytest.mark.parametrize("ours, more", [(True, {}), (False, {"recurrence": ["RRULE:FREQ=WEEKLY;COUNT=6"]})], ids=["ours", "theirs"])
def test_an_edit_follows_an_event_that_was_moved_there(world, google, ours, more):
    """In the web interface somebody moves the event to another calendar, while an edit of it waits here."""
    team = "team@group.calendar.google.com"
    google.add_calendar(team, "Team")
    connect(world)
    dav = world.dav()
    if ours:
        lines = ["DTSTART;TZID=Europe/Paris:20260202T090000", "DTEND;TZID=Europe/Paris:20260202T100000", "SUMMARY:Wander",
                 *more.get("recurrence", [])]
        assert dav.put(world.unified() + "w.ics", event("w@x", lines)).status == 201
    else:
        google.put(id="wander1", summary="Wander", start=timed("02-02", 9), end=timed("02-02", 10), **more)
    world.sync()
    name, text = found(world, "Wander")

    def hook(*_):
        raise Refused(503, "backendError")

    google.hook = hook
    answer = dav.put(name, text.replace("SUMMARY:Wander", "SUMMARY:Wander\r\nLOCATION:Edited here"))
    assert answer.status == 204
    google.hook = None
    query = {"destination": team, "sendUpdates": "none"}
    google.do_events_move({"calendarId": google.email, "eventId": google.live()["Wander"]["id"]}, query, None, None)
    settle(world)
    assert "Wander" not in google.live(), "it was made anew where it had left"
    assert google.live(team)["Wander"]["location"] == "Edited here"
    assert google.mails == []
    assert [name for name, text in {name: dav.get(name).text for name in dav.listing(world.unified())}.items() if "Edited here" in text] == [name]


def test_a_meeting_that_moves_within_the_account_stays_one(world, google):
    """Made anew and deleted, its guests would hear of one that is called off and of another one."""
    team = "team@group.calendar.google.com"
    google.add_calendar(team, "Team")
    connect(world)
    dav = world.dav()
    sources = {one["name"]: f"/dav/calendars/ana/{one['id']}/" for one in world.json("source", "list", "ana") if one["account"]}
    guest = [{"email": google.email, "self": True, "organizer": True, "responseStatus": "accepted"},
             {"email": "bo@example.org", "responseStatus": "accepted"}]
    google.put(**WEEKLY, attendees=guest)
    google.put(id="talk1", summary="Talk", start=timed("02-03", 9), end=timed("02-03", 10), attendees=guest)
    world.sync()
    for title in ("Standup", "Talk"):
        (name,) = [name for name in dav.listing(sources["Ana"]) if f"SUMMARY:{title}" in dav.get(name).text]
        target = sources["Team"] + name.rsplit("/", 1)[1]
        before = google.live()[title]
        assert dav.request("MOVE", name, headers={"Destination": world.url + target}).status in (201, 204)
        settle(world)
        after = google.live(team)[title]
        assert title not in google.live() and after["id"] == before["id"]
        assert [one["responseStatus"] for one in after["attendees"]] == ["accepted", "accepted"]
        # And back, with another title in the same breath.
        text = dav.get(target).text
        assert dav.request("MOVE", target, headers={"Destination": world.url + name}).status in (201, 204)
        assert dav.put(name, text.replace(f"SUMMARY:{title}", f"SUMMARY:{title} again")).status == 204
        settle(world)
        assert title not in google.live(team) and google.live()[f"{title} again"]["id"] == before["id"]
    told = [what for _, what in google.mails]
    assert not {"cancelled", "invited", "deleted", "moved"} & set(told), google.mails
    assert google.count("POST", "/move") == 4
