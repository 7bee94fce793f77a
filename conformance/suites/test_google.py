"""Google Calendar from outside: a simulator that is as strict as the discovery document, the gateway, a CalDAV client."""

import base64
import subprocess
import urllib.error
import urllib.request

import pytest

from harness.gateway import BINARY, Gateway
from harness.google import Google
from harness.process import wait_until


@pytest.fixture
def google(started):
    service = started(Google())
    yield service
    assert service.violations == []


@pytest.fixture
def world(started, tmp_path, google):
    """A gateway whose user has the account, with webhooks by which the simulator reaches it."""
    gateway = Gateway(tmp_path, sync__poll_interval="1h", webhooks__enabled="true", sync__write_through="10s", **google.settings())
    started(gateway)
    gateway.add_user()
    return gateway


def connect(gateway):
    added = gateway.json(
        "account", "add", "ana", "--provider", "google", "--refresh-token-stdin", text="refresh-1\n",
    )
    gateway.sync()
    return added


def objects(gateway, path=None):
    """The objects of a collection by name, unfolded."""
    dav = gateway.dav()
    path = path or gateway.unified()
    return {name: dav.get(name).text.replace("\r\n ", "") for name in dav.listing(path)}


def found(gateway, summary):
    hits = [(name, text) for name, text in objects(gateway).items() if f"SUMMARY:{summary}" in text]
    return hits[0] if hits else (None, None)


def timed(day, hour, zone="Europe/Paris"):
    return {"dateTime": f"2026-{day}T{hour:02}:00:00+01:00", "timeZone": zone}


def event(uid, lines):
    return (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\n"
        f"UID:{uid}\r\nDTSTAMP:20260101T000000Z\r\n" + "".join(line + "\r\n" for line in lines) + "END:VEVENT\r\nEND:VCALENDAR\r\n"
    )


def test_a_refresh_token_connects_and_events_are_seen(world, google):
    google.add_calendar("team@group.calendar.google.com", "Team", role="reader")
    google.add_calendar("busy@example.org", "Busy", role="freeBusyReader")
    google.put(summary="Lunch", start=timed("02-03", 12), end=timed("02-03", 13), location="Rue 1", hangoutLink="https://meet.google.com/x")
    google.put(summary="Day off", start={"date": "2026-02-04"}, end={"date": "2026-02-05"}, transparency="transparent")
    google.put(summary="Birthday of Bo", eventType="birthday", start={"date": "2026-03-04"}, end={"date": "2026-03-05"},
               recurrence=["RRULE:FREQ=YEARLY"], visibility="private", someday={"unknown": True})
    added = connect(world)
    assert added["username"] == google.email
    _, lunch = found(world, "Lunch")
    assert "DTSTART;TZID=Europe/Paris:20260203T120000" in lunch and "LOCATION:Rue 1" in lunch
    assert "X-GOOGLE-CONFERENCE:https://meet.google.com/x" in lunch and "TRIGGER:-PT10M" in lunch
    _, day = found(world, "Day off")
    assert "DTSTART;VALUE=DATE:20260204" in day and "TRANSP:TRANSPARENT" in day
    assert "X-GOOGLE-EVENT-TYPE:birthday" in found(world, "Birthday of Bo")[1]
    sources = {one["name"]: one for one in world.json("source", "list", "ana")}
    assert sources["Team"]["mirror"] == "read-only" and sources["Busy"]["unified"] is False
    assert google.mails == []


def test_a_quiet_source_costs_one_request(world, google):
    google.put(summary="Lunch", start=timed("02-03", 12), end=timed("02-03", 13))
    connect(world)
    before = len(google.requests)
    world.sync()
    asked = [one for one in google.requests[before:] if one[1].endswith("/events")]
    assert len(asked) == 1 and asked[0][2].get("syncToken")


def test_a_client_writes_and_nobody_is_mailed(world, google):
    connect(world)
    dav = world.dav()
    path = world.unified() + "one.ics"
    made = dav.put(path, event("one@x", [
        "DTSTART;TZID=Europe/Paris:20260210T100000", "DURATION:PT90M", "SUMMARY:Talk", "CATEGORIES:work,talks",
        "X-ODD;A=b:c", "CLASS:PRIVATE",
    ]))
    assert made.status == 201
    there = google.live()["Talk"]
    assert there["start"]["timeZone"] == "Europe/Paris" and there["visibility"] == "private"
    assert there["id"].startswith("lt")
    assert there["end"]["dateTime"] == "2026-02-10T11:30:00+01:00"
    assert there["reminders"]["useDefault"] is False and not there["reminders"].get("overrides")
    world.sync()
    served = dav.get(path).text
    assert "X-ODD;A=b:c" in served and "UID:one@x" in served and "DURATION:PT90M" in served
    changed = dav.put(path, served.replace("SUMMARY:Talk", "SUMMARY:Lecture"))
    assert changed.status == 204
    asked = [one for one in google.requests if one[0] == "PATCH"]
    assert google.live()["Lecture"]["id"] == there["id"] and len(asked) == 1
    assert dav.delete(path).status == 204
    assert google.live() == {} and google.mails == []


def test_what_google_has_survives_a_new_gateway(world, google, tmp_path, started):
    connect(world)
    lines = ["DTSTART:20260210T100000Z", "DTEND:20260210T110000Z", "SUMMARY:Talk", "CATEGORIES:a,b", "X-ODD:" + "é" * 900, "GEO:1.0;2.0"]
    world.dav().put(world.unified() + "one.ics", event("own-uid@x", lines))
    world.cli("account", "remove", "ana", world.json("account", "list", "ana")[0]["id"], "--yes")
    assert google.revoked == ["refresh-1"]
    google.refresh_tokens.add("refresh-1")
    connect(world)
    _, text = found(world, "Talk")
    assert "UID:own-uid@x" in text and "GEO:1.0;2.0" in text and "é" * 900 in text and "CATEGORIES:a,b" in text


def test_one_instance_of_a_series_is_edited_and_another_left_out(world, google):
    google.put(id="weekly1", summary="Standup", start=timed("03-02", 9), end=timed("03-02", 10), recurrence=["RRULE:FREQ=WEEKLY;COUNT=6"])
    connect(world)
    name, text = found(world, "Standup")
    override = (
        "BEGIN:VEVENT\r\nUID:weekly1@google.com\r\nDTSTAMP:20260101T000000Z\r\nRECURRENCE-ID;TZID=Europe/Paris:20260316T090000\r\n"
        "DTSTART;TZID=Europe/Paris:20260316T140000\r\nDTEND;TZID=Europe/Paris:20260316T150000\r\nSUMMARY:Late standup\r\nEND:VEVENT\r\n"
    )
    text = text.replace("END:VEVENT\r\n", "EXDATE;TZID=Europe/Paris:20260309T090000\r\nEND:VEVENT\r\n" + override)
    assert world.dav().put(name, text).status == 204
    events = google.events[google.email]
    assert events["weekly1_20260309T080000Z"]["status"] == "cancelled"
    moved = events["weekly1_20260316T080000Z"]
    assert moved["summary"] == "Late standup" and moved["start"]["dateTime"].startswith("2026-03-16T14:00")
    assert events["weekly1"]["recurrence"] == ["RRULE:FREQ=WEEKLY;COUNT=6"] and google.mails == []
    # And the other way: an instance is taken away in the web interface.
    google.put(id="weekly1_20260323T080000Z", recurringEventId="weekly1", summary="Standup", status="cancelled", iCalUID="weekly1@google.com",
               originalStartTime=timed("03-23", 9), start=timed("03-23", 9), end=timed("03-23", 10))
    wait_until(lambda: "20260323T090000" in found(world, "Standup")[1], what="the notification")
    assert "SUMMARY:Late standup" in found(world, "Standup")[1]


def test_an_invitation_is_accepted(world, google):
    google.put(id="invite1", summary="Review", start=timed("02-12", 9), end=timed("02-12", 10), organizer={"email": "bo@example.org"},
               attendees=[{"email": google.email, "responseStatus": "needsAction"}, {"email": "bo@example.org", "responseStatus": "accepted"}])
    connect(world)
    name, text = found(world, "Review")
    mine = [line for line in text.split("\r\n") if line.startswith("ATTENDEE") and google.email in line][0]
    assert world.dav().put(name, text.replace(mine, mine.replace("NEEDS-ACTION", "ACCEPTED"))).status == 204
    there = google.live()["Review"]
    assert {one["email"]: one["responseStatus"] for one in there["attendees"]} == {google.email: "accepted", "bo@example.org": "accepted"}
    assert google.mails == [("bo@example.org", "answered", "Review")]
    # What is the organizer's is not ours to change: the client is told, and has what is there (36).
    text = found(world, "Review")[1]
    assert world.dav().put(name, text.replace("SUMMARY:Review", "SUMMARY:Mine")).status == 403
    assert google.live()["Review"] and found(world, "Review")[1]


def test_attendees_are_told_of_what_they_must_know(world, google):
    connect(world)
    path, dav = world.unified() + "m.ics", world.dav()
    lines = ["DTSTART:20260210T100000Z", "DTEND:20260210T110000Z", "SUMMARY:Plan", f"ORGANIZER:mailto:{google.email}",
             f"ATTENDEE;PARTSTAT=ACCEPTED:mailto:{google.email}", "ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:bo@example.org"]
    assert dav.put(path, event("m@x", lines)).status == 201
    assert google.mails == [("bo@example.org", "invited", "Plan")]
    text = dav.get(path).text
    assert dav.put(path, text.replace("SUMMARY:Plan", "SUMMARY:Plans\r\nCATEGORIES:mine")).status == 204
    assert google.live()["Plans"] and len(google.mails) == 1
    assert dav.put(path, dav.get(path).text.replace("20260210T1", "20260211T1")).status == 204
    assert google.mails[-1] == ("bo@example.org", "updated", "Plans") and len(google.mails) == 2
    assert dav.delete(path).status == 204
    assert google.mails[-1] == ("bo@example.org", "cancelled", "Plans") and len(google.mails) == 3


def test_an_import_tells_nobody(world, google, tmp_path):
    connect(world)
    file = tmp_path / "in.ics"
    file.write_text(event("imported@x", ["DTSTART:20260210T100000Z", "DTEND:20260210T110000Z", "SUMMARY:Old plan",
                                         f"ORGANIZER:mailto:{google.email}", "ATTENDEE:mailto:bo@example.org"]))
    world.cli("import", "ana", str(file))
    world.sync()
    assert google.live()["Old plan"]["iCalUID"] == "imported@x" and google.mails == []


def test_changes_come_by_notification_and_a_burst_is_one_request(world, google):
    connect(world)
    wait_until(lambda: len(google.channels) == 2, what="the channels")
    assert world.json("status", "ana")["accounts"][0]["webhook_expires"]
    before = google.count("GET", "/events", syncToken=True)
    google.put(summary="New", start=timed("02-03", 12), end=timed("02-03", 13))
    google.notify(google.email, times=20)
    wait_until(lambda: found(world, "New")[0], what="the notification")
    assert google.count("GET", "/events", syncToken=True) - before <= 2


def test_a_forged_notification_does_nothing_and_a_lost_one_costs_the_poll(world, google):
    connect(world)
    wait_until(lambda: len(google.channels) == 2, what="the channels")
    channel = next(one for one in google.channels.values() if one["calendar"])
    before = len(google.requests)
    assert google.post(channel, "exists", token="wrong") == 202
    assert google.post({**channel, "id": "unknown"}, "exists") == 202
    google.faults["lose_notifications"] = 1
    google.put(summary="Quiet", start=timed("02-03", 12), end=timed("02-03", 13))
    world.sync()
    assert found(world, "Quiet")[0]
    asked = [one for one in google.requests[before:] if one[1].endswith("/events")]
    assert len(asked) == 1


def test_channels_are_renewed_before_they_end_and_stopped_with_the_account(world, google):
    google.faults["channel_seconds"] = 12
    account = connect(world)
    wait_until(lambda: len(google.channels) == 2, what="the channels")
    first = set(google.channels)
    wait_until(lambda: len(google.channels) >= 2 and not first & set(google.channels), seconds=30, what="new channels")
    google.faults["channel_seconds"] = 0
    world.cli("account", "remove", "ana", account["id"], "--yes")
    wait_until(lambda: not google.channels, what="the end of the channels")


def test_a_token_that_expires_leads_to_a_comparison(world, google):
    ids = [google.put(summary=f"E{n}", start=timed("02-03", 12), end=timed("02-03", 13)) for n in range(5)]
    connect(world)
    google.faults["lose_notifications"] = 1
    google.remove(ids[0])
    google.expired.add(f"sync-{google.number - 1}")
    google.expired.update(f"sync-{n}" for n in range(100, google.number))
    world.sync()
    assert len(objects(world)) == 4


def test_pages_that_are_empty_small_or_cut(world, google):
    for n in range(7):
        google.put(summary=f"E{n}", start=timed("02-03", 12), end=timed("02-03", 13))
    google.faults.update(small_pages=2, empty_page=1)
    connect(world)
    assert len(objects(world)) == 7
    google.faults.update(small_pages=0)
    google.put(summary="Late", start=timed("02-03", 12), end=timed("02-03", 13))
    google.faults.update(cut_body=1, html_502=1, rate_limit=1)
    wait_until(lambda: (world.run("sync", "ana", "--wait"), found(world, "Late")[0])[1], seconds=60, what="the change")
    assert len(objects(world)) == 8


def test_a_lost_answer_makes_no_second_event(world, google):
    connect(world)
    google.faults["lose_answer"] = 1
    world.dav().put(world.unified() + "one.ics", event("one@x", ["DTSTART:20260210T100000Z", "DTEND:20260210T110000Z", "SUMMARY:Once"]))
    wait_until(lambda: (world.run("sync", "ana", "--wait"), world.json("status", "ana")["queue"] == 0)[1], seconds=60, what="the push")
    assert len(google.events[google.email]) == 1 and len(objects(world)) == 1


def test_both_sides_change_and_both_changes_stay(world, google):
    google.put(id="both1", summary="Plan", start=timed("02-03", 12), end=timed("02-03", 13))
    connect(world)
    name, text = found(world, "Plan")
    google.faults["change_under_way"] = 1
    assert world.dav().put(name, text.replace("SUMMARY:Plan", "SUMMARY:New plan")).status == 204
    wait_until(lambda: "New plan" in google.live(), what="the merge")
    assert google.live()["New plan"]["location"] == "Elsewhere"
    assert "LOCATION:Elsewhere" in found(world, "New plan")[1]


def test_a_dead_token_needs_sign_in_and_loses_nothing(world, google):
    google.put(summary="Kept", start=timed("02-03", 12), end=timed("02-03", 13))
    connect(world)
    google.refresh_tokens.clear()
    google.access_tokens.clear()
    world.run("sync", "ana", "--wait")
    status = world.json("status", "ana")["accounts"][0]
    assert status["state"] == "needs_sign_in" and "7 days" in status["reason"]
    assert found(world, "Kept")[0]
    google.refresh_tokens.add("refresh-1")
    connect(world)
    assert world.json("status", "ana")["accounts"][0]["state"] == "healthy"
    assert len(world.json("account", "list", "ana")) == 1


class Stay(urllib.request.HTTPRedirectHandler):
    """Shows a redirect instead of following it."""

    def redirect_request(self, *_):
        return None


def browse(url):
    with urllib.request.urlopen(url, timeout=20) as page:
        return page.read().decode()


def begin(gateway):
    child = subprocess.Popen(
        [str(BINARY), "account", "connect", "ana", "--provider", "google"], env=gateway.environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    return child, child.stdout.readline().strip()


def test_the_link_connects_by_the_servers_own_address(world, google):
    child, link = begin(world)
    assert "is connected" in browse(link)
    assert child.wait(30) == 0
    assert world.json("account", "list", "ana")[0]["username"] == google.email


def test_the_address_can_be_pasted(world, google):
    child, link = begin(world)
    try:
        urllib.request.build_opener(Stay).open(link)
    except urllib.error.HTTPError as answer:
        back = answer.headers["location"]
    child.stdin.write(back.replace("state=", "state=x") + "\n")
    child.stdin.write(back + "\n")
    child.stdin.flush()
    assert child.wait(30) == 0
    # It worked once.
    with pytest.raises(urllib.error.HTTPError) as again:
        browse(back)
    assert again.value.code == 400


def test_a_box_that_was_not_ticked_is_named(world, google):
    google.faults["untick"] = 1
    child, link = begin(world)
    with pytest.raises(urllib.error.HTTPError) as page:
        browse(link)
    assert "see and change events" in page.value.read().decode()
    assert child.wait(30) == 1 and "see and change events" in child.stderr.read()


def test_a_sign_in_that_a_browser_began_ends_there(world, google):
    login = base64.b64encode(f"ana:{world.password}".encode()).decode()
    request = urllib.request.Request(world.url + "/oauth/google/start", headers={"Authorization": "Basic " + login})
    opener = urllib.request.build_opener(Stay)
    with pytest.raises(urllib.error.HTTPError) as first:
        opener.open(request)
    cookie = first.value.headers["set-cookie"].split(";")[0]
    with pytest.raises(urllib.error.HTTPError) as second:
        opener.open(first.value.headers["location"])
    back = second.value.headers["location"]
    with pytest.raises(urllib.error.HTTPError) as wrong:
        browse(back)
    assert wrong.value.code == 400 and world.json("account", "list", "ana") == []
    assert "is connected" in urllib.request.urlopen(urllib.request.Request(back, headers={"Cookie": cookie})).read().decode()


def test_an_event_moves_out_of_the_google_calendar(world, google):
    google.put(id="move1", summary="Elsewhere", start=timed("02-03", 12), end=timed("02-03", 13))
    account = connect(world)
    source = [one for one in world.json("source", "list", "ana") if one["account"] == account["id"]][0]
    name, _ = [one for one in objects(world, f"/dav/calendars/ana/{source['id']}/").items()][0]
    moved = world.dav().request("MOVE", name, headers={"Destination": world.url + "/dav/calendars/ana/local/moved.ics"})
    assert moved.status in (201, 204)
    wait_until(lambda: not google.live(), what="the move")
    assert "SUMMARY:Elsewhere" in world.dav().get("/dav/calendars/ana/local/moved.ics").text and google.mails == []
