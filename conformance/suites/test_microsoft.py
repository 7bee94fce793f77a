"""Microsoft 365 from outside: the release build in front of the simulator of Graph. Numbers are those of the fault catalogue."""

import datetime
import json
import os
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import requests
from harness.events import BERLIN, calendar, event, instances
from harness.gateway import Gateway
from harness.microsoft import Graph, at, weekly
from harness.process import wait_until
from harness.tools import npm


@pytest.fixture
def graph(started, tmp_path):
    return started(Graph(tmp_path))


@pytest.fixture
def gateway(started, tmp_path, graph):
    running = started(Gateway(tmp_path, sync__write_through="5s", sync__backoff_base="1s", **graph.settings()))
    running.add_user()
    return running


def add(gateway, token="M.C5_first"):
    return gateway.run("account", "add", "ana", "--provider", "microsoft", "--refresh-token-stdin", "--label", "outlook", text=token + "\n")


@pytest.fixture
def connected(gateway, graph):
    done = add(gateway)
    assert done.returncode == 0, done.stderr
    source = next(s for s in gateway.json("source", "list", "ana") if s.get("account"))
    gateway.cli("source", "set", "ana", source["id"], "--default")
    gateway.sync()
    graph.requests()
    return gateway


def texts(gateway):
    """UID -> the one text of each event in the unified calendar."""
    found = gateway.dav().by_uid(gateway.unified())
    assert all(len(all_of) == 1 for all_of in found.values()), found
    return {uid: all_of[0] for uid, all_of in found.items()}


def by_summary(gateway):
    """Summary of the first member -> text."""
    return {re.search(r"\nSUMMARY[^:]*:(.*?)\r?\n", text).group(1): text for text in texts(gateway).values()}


def sync(gateway):
    gateway.sync()
    return by_summary(gateway)


def put(gateway, uid, text, **conditions):
    answer = gateway.dav().put(gateway.unified() + uid + ".ics", text, **conditions)
    assert answer.status in (201, 204), (answer.status, answer.body)
    return answer


def edit(gateway, uid, change):
    """Changes an event as a client does: reads it, writes it back under its tag."""
    dav = gateway.dav()
    href = dav.href_of(gateway.unified(), uid)
    current = dav.get(href)
    return dav.put(href, change(current.text), If_Match=current.etag)


# Connecting

def test_an_account_is_connected_by_a_refresh_token_and_shows_its_calendars(gateway, graph):
    graph.control("calendar", name="Birthdays", canEdit=False)
    assert add(gateway).returncode == 0
    sources = {s["name"]: s for s in gateway.json("source", "list", "ana") if s.get("account")}
    assert set(sources) == {"Calendar", "Birthdays"}
    account = gateway.json("account", "list", "ana")[0]
    assert (account["provider"], account["state"]) == ("microsoft", "active") or account["provider"] == "microsoft"


def test_fault_73_the_rotated_refresh_token_is_stored_before_use(gateway, graph):
    graph.fault("rotation-strict")
    assert add(gateway).returncode == 0
    gateway.sync()
    gateway.kill()
    graph.control("expire")
    gateway.start()
    gateway.sync()
    assert graph.state()["refreshes"] >= 2


def test_fault_74_one_refresh_serves_all_who_wait(connected, graph):
    for number in range(5):
        graph.control("calendar", name=f"Calendar {number}")
    before = graph.state()["refreshes"]
    graph.control("expire")
    connected.cli("sync", "ana", "--full", "--wait")
    assert graph.state()["refreshes"] == before + 1


@pytest.mark.parametrize(("error", "words"), [
    ("invalid_grant:70008", "sign in again"), ("invalid_grant:700082", "sign in again"), ("invalid_grant:50173", "sign in again"),
    ("invalid_grant:700084", "single-page"), ("invalid_grant:65001", "administrator"), ("invalid_grant:90094", "administrator"),
    ("interaction_required:50076", "sign in again"), ("interaction_required:53003", "sign in again"),
    ("invalid_client:7000222", "client_secret"), ("invalid_client:7000215", "client_secret"),
    ("interaction_required:50076", "second factor"), ("interaction_required:50079", "second factor"),
    ("interaction_required:53003", "conditional access"), ("invalid_request:50011", "/oauth/microsoft/callback"),
    ("invalid_request:50194", "providers.microsoft.tenant"), ("invalid_grant:50020", "not in the organization"),
    ("invalid_grant:50057", "disabled"),
])
def test_fault_75_refusals_of_the_sign_in_are_told_in_words(gateway, graph, error, words):
    graph.fault("token-error", 1, error)
    done = add(gateway)
    assert done.returncode == 1 and words in done.stderr, done.stderr


def test_fault_75_a_dead_refresh_token_stops_the_account_and_keeps_the_data(connected, graph):
    graph.create(subject="kept")
    assert "kept" in sync(connected)
    graph.control("revoke")
    connected.run("sync", "ana", "--wait")
    status = connected.json("status", "ana")["accounts"][0]
    assert status["state"] == "needs_sign_in", status
    assert "kept" in by_summary(connected)


def test_fault_72_a_right_that_was_not_given_is_named_and_nothing_is_connected(gateway, graph):
    graph.fault("scopes", 5, "https://graph.microsoft.com/User.Read")
    done = add(gateway)
    assert done.returncode == 1 and "see and change calendars" in done.stderr, done.stderr
    assert gateway.json("account", "list", "ana") == []


def test_fault_76_a_claims_challenge_needs_a_person(connected, graph):
    graph.fault("claims", 3)
    connected.run("sync", "ana", "--wait")
    assert connected.json("status", "ana")["accounts"][0]["state"] == "needs_sign_in"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def follow(url):
    """Where the consent page sends the browser."""
    try:
        urllib.request.build_opener(_NoRedirect).open(url)
    except urllib.error.HTTPError as answer:
        return answer.headers["Location"]


def test_the_device_code_is_shown_and_waited_for(gateway, graph):
    done = gateway.run("account", "connect", "ana", "--provider", "microsoft", "--device")
    assert done.returncode == 0, done.stderr
    assert "EXAMPLE12" in done.stdout + done.stderr
    assert gateway.json("account", "list", "ana")[0]["provider"] == "microsoft"


# Reading

def test_events_of_outlook_show_in_the_unified_calendar(connected, graph):
    graph.create(subject="single", categories=["Red"], showAs="oof", sensitivity="private", body={"contentType": "text", "content": "one\ntwo"})
    graph.create(subject="day", start="2026-12-24T00:00:00", end="2026-12-25T00:00:00", zone="Tonga Standard Time", isAllDay=True)
    found = sync(connected)
    single = found["single"]
    for line in ("DTSTART;TZID=Europe/Berlin:20261207T090000", "CATEGORIES:Red", "X-MICROSOFT-CDO-BUSYSTATUS:OOF", "CLASS:PRIVATE", "DESCRIPTION:one\\ntwo", "BEGIN:VTIMEZONE"):
        assert line in single, (line, single)
    # 63: the date of a mailbox far in the east stays.
    assert "DTSTART;VALUE=DATE:20261224" in found["day"]


def test_a_series_with_moved_and_cancelled_instances_keeps_its_local_time_over_both_clock_changes(connected, graph):
    id = graph.create(subject="weekly", start="2026-12-07T09:00:00", end="2026-12-07T10:00:00", recurrence=weekly(52))
    rows = {row["start"]["dateTime"][:10]: row["id"] for row in graph.instances(id)}
    graph.delete(rows["2027-03-29"])
    graph.patch(rows["2027-04-05"], subject="moved", start=at("2027-04-06T14:00:00"), end=at("2027-04-06T15:00:00"))
    graph.delete(rows["2027-11-01"])
    text = sync(connected)["weekly"]
    found = instances(text, (2026, 12, 1), (2028, 1, 31))
    assert len(found) == 50
    assert ("2027-04-06T12:00:00+00:00", "2027-04-06T13:00:00+00:00", "moved") in found
    hours = {(start[5:7] in ("12", "01", "02", "11"), start[11:16]) for start, _, summary in found if summary == "weekly" and start[5:7] not in ("03", "10")}
    assert hours == {(True, "08:00"), (False, "07:00")}, hours


def test_fault_11_12_empty_pages_and_repeated_items(connected, graph):
    graph.create(subject="once")
    graph.fault("empty-page")
    graph.fault("repeats")
    assert set(sync(connected)) == {"once"}


def test_fault_13_14_19_a_removal_is_believed_after_a_look(connected, graph):
    id = graph.create(subject="still there")
    sync(connected)
    graph.fault("says-removed", 1, id)
    assert "still there" in sync(connected)
    graph.fault("says-removed", 1, "AAMkNEVERSEEN=")
    assert "still there" in sync(connected)
    # Out of the window: not a deletion.
    graph.patch(id, start=at("2031-01-06T09:00:00"), end=at("2031-01-06T10:00:00"))
    assert "DTSTART;TZID=Europe/Berlin:20310106T090000" in sync(connected)["still there"]
    graph.delete(id)
    connected.cli("sync", "ana", "--full", "--wait")
    assert by_summary(connected) == {}


def test_fault_15_a_stub_never_overwrites_with_blanks(connected, graph):
    id = graph.create(subject="weekly", recurrence=weekly(5), body={"contentType": "text", "content": "words"})
    sync(connected)
    row = graph.instances(id)[2]
    graph.patch(row["id"], subject="third")
    text = sync(connected)["weekly"]
    assert "DESCRIPTION:words" in text and "SUMMARY:third" in text


@pytest.mark.parametrize("fault", ["delta-expired", "delta-expired-400", "next-link-expired"])
def test_fault_16_17_18_an_expired_link_starts_over_and_deletes_nothing(connected, graph, fault):
    kept, gone = graph.create(subject="kept"), graph.create(subject="gone")
    graph.create(subject="old", start="2024-12-07T09:00:00", end="2024-12-07T10:00:00")
    put(connected, "far", event("far", "far", "20350101T100000Z", "20350101T110000Z"))
    sync(connected)
    graph.delete(gone)
    if fault == "next-link-expired":
        graph.fault("empty-page")
    graph.fault(fault)
    connected.run("sync", "ana", "--wait")
    connected.cli("sync", "ana", "--full", "--wait")
    assert {"kept", "far"} <= set(by_summary(connected)) and "gone" not in by_summary(connected)
    assert kept


def test_fault_20_a_calendar_under_another_id_is_the_same_calendar(connected, graph):
    graph.create(subject="single")
    series = graph.create(subject="series", recurrence=weekly(3))
    put(connected, "mine", event("mine", "mine"))
    connected.sync()
    before = {uid: text.count("BEGIN:VEVENT") for uid, text in texts(connected).items()}
    (source,) = [s["id"] for s in connected.json("source", "list", "ana") if s.get("account")]
    graph.control("calendar-id")
    graph.create(subject="after")
    graph.requests()
    wait_until(lambda: (connected.run("sync", "ana", "--wait"), "after" in by_summary(connected))[1], seconds=60, what="the calendar under its new id")
    assert [s["id"] for s in connected.json("source", "list", "ana") if s.get("account")] == [source]
    assert before.items() <= {uid: text.count("BEGIN:VEVENT") for uid, text in texts(connected).items()}.items()
    assert [line for line in graph.requests() if not line.startswith("GET") and "$batch" not in line] == []
    # It is written to as before.
    assert edit(connected, "mine", lambda text: text.replace("SUMMARY:mine", "SUMMARY:still mine")).status == 204
    connected.sync()
    assert set(graph.events()) == {"single", "series", "still mine", "after"} and graph.event(series)


@pytest.mark.parametrize("name", ["tzone://Microsoft/Custom", "Customized Time Zone"])
def test_fault_62_a_series_in_a_zone_that_nobody_knows_is_told_of_and_never_shifted(connected, graph, name):
    series = graph.create(subject="series", recurrence=weekly(20))
    known = sync(connected)["series"]
    single = graph.create(subject="single", start="2026-12-08T09:00:00", end="2026-12-08T10:00:00")
    fresh = graph.create(subject="fresh", recurrence=weekly(20))
    for id in (series, single, fresh):
        graph.control("zone-name", id=id, name=name)
    graph.requests()
    connected.run("sync", "ana", "--wait")
    shown = by_summary(connected)
    # One event is an instant, whatever its zone is called.
    assert "DTSTART:20261208T080000Z" in shown["single"]
    # Of a series what was known before is shown, and nothing made up.
    assert shown["series"] == known and "fresh" not in shown
    assert "zone" in connected.cli("status", "ana")
    assert not [line for line in graph.requests() if line.split()[0] in ("PATCH", "DELETE")]
    # It comes when the zone has a name again.
    for id in (series, fresh):
        graph.control("zone-name", id=id, name="W. Europe Standard Time")
    assert {"series", "fresh", "single"} == set(sync(connected))


def sources(gateway):
    return {source["name"]: source for source in gateway.json("source", "list", "ana") if source["account"]}


def test_calendars_of_all_groups_and_those_of_others_are_found(gateway, graph):
    other = {"name": "Bob", "address": "bob@example.com"}
    club = graph.control("calendar", name="Club", group="Hobby")["id"]
    graph.control("calendar", name="Holidays", canEdit=False, group="Other calendars")
    graph.control("calendar", name="Bob's", group="People", owner=other)
    assert add(gateway).returncode == 0
    gateway.sync()
    found = sources(gateway)
    assert set(found) == {"Calendar", "Club", "Holidays", "Bob's (Bob)"}
    # They are calendars like any other.
    graph.create(club, subject="match")
    assert "match" in sync(gateway)
    path = f"/dav/calendars/ana/{found['Holidays']['id']}/"
    assert gateway.dav().put(path + "h.ics", event("h", "mine")).status == 403
    assert gateway.dav().put(f"/dav/calendars/ana/{found['Club']['id']}/c.ics", event("c", "training")).status == 201
    gateway.sync()
    assert set(graph.events(club)) == {"match", "training"}


def test_groups_that_can_not_be_listed_take_no_calendar_away(gateway, graph):
    graph.control("calendar", name="Club", group="Hobby")
    assert add(gateway).returncode == 0
    gateway.sync()
    # For a moment.
    graph.fault("groups-unavailable", 1)
    gateway.run("sync", "ana", "--full", "--wait")
    assert set(sources(gateway)) == {"Calendar", "Club"}


def test_a_mailbox_without_groups_shows_its_calendars(gateway, graph):
    graph.fault("no-groups", 1000)
    graph.control("calendar", name="Team")
    assert add(gateway).returncode == 0
    gateway.sync()
    assert set(sources(gateway)) == {"Calendar", "Team"}


def test_fault_83_87_a_login_page_and_an_empty_list_delete_nothing(connected, graph):
    graph.create(subject="kept")
    sync(connected)
    for fault in ("login-page", "no-calendars", "mailbox-gone", "unavailable"):
        graph.fault(fault, 2)
        connected.run("sync", "ana", "--wait")
        assert "kept" in by_summary(connected), fault
        graph.fault(fault, 0)


def test_fault_77_78_throttling_is_obeyed_also_inside_a_batch(connected, graph):
    for number in range(30):
        graph.create(subject=f"series {number}", recurrence=weekly(3))
    graph.fault("batch-throttle", 3, "1")
    connected.cli("sync", "ana", "--full", "--wait")
    for id in [e["id"] for e in graph.events().values()]:
        graph.patch(id, importance="high")
    graph.fault("throttle", 1, "1")
    graph.fault("batch-throttle", 5, "1")
    connected.run("sync", "ana", "--wait")
    found = sync(connected)
    assert len(found) == 30 and all("PRIORITY:1" in text for text in found.values())


def test_fault_77_a_long_pause_is_kept_by_the_whole_mailbox_and_no_other_account_waits(started, tmp_path, graph, radicale):
    gateway = connect_hooked(started, tmp_path, graph, webhooks__enabled="false", sync__poll_interval="1s")
    gateway.connect(radicale)
    graph.fault("throttle", 1, "600")
    def pause():
        account = next(one for one in gateway.json("status", "ana")["accounts"] if one["provider"] == "microsoft")
        waits = moment(account["next_run"]) - datetime.datetime.now(datetime.timezone.utc)
        return waits > datetime.timedelta(minutes=5) and account
    account = wait_until(pause, what="the pause")
    assert account["state"] in ("degraded", "down") and account["reason"]
    graph.requests()
    assert radicale.dav().put(radicale.calendar + "other.ics", event("other", "of the other account")).status == 201
    wait_until(lambda: "of the other account" in by_summary(gateway), what="the other account")
    assert graph.requests() == []


# Writing

def test_an_event_of_a_client_reaches_outlook_and_comes_back_as_it_was(connected, graph):
    extra = "X-OWN;X-P=1:kept\r\nPRIORITY:3\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:x\r\nTRIGGER:-PT30M\r\nEND:VALARM\r\n"
    put(connected, "mine", event("mine", "mine", extra=extra))
    connected.sync()
    there = graph.events()["mine"]
    assert (there["isReminderOn"], there["reminderMinutesBeforeStart"], there["importance"]) == (True, 30, "high")
    graph.patch(there["id"], subject="renamed in Outlook")
    text = sync(connected)["renamed in Outlook"]
    assert all(line in text for line in ("X-OWN;X-P=1:kept", "PRIORITY:3", "TRIGGER:-PT30M", "UID:mine"))
    assert edit(connected, "mine", lambda text: text.replace("renamed in Outlook", "renamed here")).status == 204
    connected.sync()
    assert "renamed here" in graph.events()
    dav = connected.dav()
    assert dav.delete(dav.href_of(connected.unified(), "mine")).status == 204
    connected.sync()
    assert graph.events() == {} and graph.mails() == []


SERIES = (
    "BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20261101T000000Z\r\nDTSTART;TZID=Europe/Berlin:20261207T090000\r\n"
    "DTEND;TZID=Europe/Berlin:20261207T100000\r\nRRULE:FREQ=WEEKLY;COUNT=6\r\nSUMMARY:{summary}\r\n{extra}END:VEVENT\r\n"
)
OVERRIDE = (
    "BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20261101T000000Z\r\nRECURRENCE-ID;TZID=Europe/Berlin:20261221T090000\r\n"
    "DTSTART;TZID=Europe/Berlin:20261222T150000\r\nDTEND;TZID=Europe/Berlin:20261222T160000\r\nSUMMARY:moved\r\nEND:VEVENT\r\n"
)


def test_a_series_with_exceptions_reaches_outlook_and_an_instance_is_edited(connected, graph):
    master = SERIES.format(uid="s", summary="series", extra="EXDATE;TZID=Europe/Berlin:20261214T090000\r\n")
    put(connected, "s", calendar(master, OVERRIDE.format(uid="s"), zones=BERLIN))
    connected.sync()
    id = graph.events()["series"]["id"]
    starts = {row["start"]["dateTime"][:16]: row["subject"] for row in graph.instances(id)}
    assert starts == {
        "2026-12-07T08:00": "series", "2026-12-22T14:00": "moved", "2026-12-28T08:00": "series",
        "2027-01-04T08:00": "series", "2027-01-11T08:00": "series",
    }
    assert edit(connected, "s", lambda text: text.replace("SUMMARY:moved", "SUMMARY:moved again")).status == 204
    connected.sync()
    assert "moved again" in {row["subject"] for row in graph.instances(id)}
    # 47: another time of the whole series makes Exchange forget the exceptions; they are made again.
    assert edit(connected, "s", lambda text: text.replace("20261207T100000", "20261207T103000")).status == 204
    connected.sync()
    rows = {row["start"]["dateTime"][:16]: row["subject"] for row in graph.instances(id)}
    assert len(rows) == 5 and "moved again" in rows.values() and "2026-12-14T08:00" not in rows


def test_fault_46_an_instance_that_outlook_can_not_move_so_far_is_refused_before_anything_is_written(connected, graph):
    far = OVERRIDE.format(uid="far").replace("DTSTART;TZID=Europe/Berlin:20261222", "DTSTART;TZID=Europe/Berlin:20261229").replace("DTEND;TZID=Europe/Berlin:20261222", "DTEND;TZID=Europe/Berlin:20261229")
    text = calendar(SERIES.format(uid="far", summary="series", extra=""), far, zones=BERLIN)
    answer = connected.dav().put(connected.unified() + "far.ics", text)
    assert answer.status == 403 and "Outlook" in answer.text, (answer.status, answer.body)
    connected.sync()
    assert graph.events() == {} and texts(connected) == {}
    # The same for a series that is there: it stays as it was.
    put(connected, "far", calendar(SERIES.format(uid="far", summary="series", extra=""), zones=BERLIN))
    connected.sync()
    answer = edit(connected, "far", lambda text: text.replace("END:VCALENDAR", far + "END:VCALENDAR"))
    assert answer.status == 403, (answer.status, answer.body)
    assert len(instances(sync(connected)["series"])) == 6
    assert len(graph.instances(graph.events()["series"]["id"])) == 6
    assert connected.json("conflict", "list", "ana") == []


def test_fault_45_a_text_that_is_taken_away_is_written_as_an_empty_one(connected, graph):
    put(connected, "t", event("t", "text", extra="DESCRIPTION:words\r\nLOCATION:Room 7\r\n"))
    connected.sync()
    assert edit(connected, "t", lambda text: re.sub(r"(DESCRIPTION|LOCATION):.*\r\n", "", text)).status == 204
    connected.sync()
    there = graph.events()["text"]
    assert "words" not in there["body"]["content"] and there["location"]["displayName"] == ""
    assert "words" not in sync(connected)["text"] and "Room 7" not in by_summary(connected)["text"]


@pytest.mark.parametrize("rule", ["FREQ=MONTHLY;BYMONTHDAY=31", "FREQ=HOURLY", "FREQ=MONTHLY;BYMONTHDAY=-1", "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO"])
def test_fault_66_a_rule_that_outlook_would_bend_is_refused_with_the_reason(connected, graph, rule):
    text = calendar(SERIES.format(uid="r", summary="bent", extra="").replace("FREQ=WEEKLY;COUNT=6", rule).replace("20261207", "20261231"), zones=BERLIN)
    answer = connected.dav().put(connected.unified() + "r.ics", text)
    connected.run("sync", "ana", "--wait")
    assert graph.events() == {}
    assert answer.status == 403 and "Outlook" in answer.text, (answer.status, answer.body)


@pytest.mark.parametrize("faults", [["lost-create"], ["lost-create", "duplicate-400"], ["lost-create", "duplicate-without-id"]])
def test_fault_43_a_create_whose_answer_was_lost_is_adopted(connected, graph, faults):
    for fault in faults:
        graph.fault(fault)
    put(connected, "once", event("once", "once"))
    connected.sync()
    path = f"/v1.0/me/calendars/{urllib.parse.quote(graph.calendar(), safe='')}/events?$top=100"
    assert [e["subject"] for e in graph.call("GET", path)[1]["value"]] == ["once"]
    assert set(sync(connected)) == {"once"}


def test_fault_44_a_tag_that_moves_after_our_own_write_is_no_conflict(connected, graph):
    graph.fault("etag-moves", 5)
    put(connected, "t", event("t", "first"))
    connected.sync()
    assert edit(connected, "t", lambda text: text.replace("first", "second")).status == 204
    connected.sync()
    assert set(graph.events()) == {"second"}
    assert connected.json("conflict", "list", "ana") == []


def test_fault_49_a_body_that_comes_back_as_html_causes_no_echo(connected, graph):
    put(connected, "b", event("b", "body", extra="DESCRIPTION:one\\ntwo <three> & four\r\n"))
    connected.sync()
    graph.requests()
    for _ in range(3):
        connected.sync()
    assert [line for line in graph.requests() if line.startswith(("PATCH", "POST /v1.0/me/calendars"))] == []


def test_fault_34_both_sides_changed_different_things_and_both_survive(connected, graph):
    put(connected, "c", event("c", "title"))
    connected.sync()
    id = graph.events()["title"]["id"]
    graph.patch(id, location={"displayName": "Room 7"})
    assert edit(connected, "c", lambda text: text.replace("SUMMARY:title", "SUMMARY:new title")).status == 204
    text = sync(connected)["new title"]
    assert "LOCATION:Room 7" in text
    there = graph.events()["new title"]
    assert there["location"]["displayName"] == "Room 7"


# People

PEOPLE = "ORGANIZER:mailto:ada@example.com\r\nATTENDEE;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:bob@example.com\r\n"


def test_fault_48_nobody_is_mailed_for_what_only_the_owner_cares_about(connected, graph):
    graph.create(subject="meeting", attendees=[{"type": "required", "emailAddress": {"address": "bob@example.com"}}])
    before = len(graph.mails())
    uid = next(iter(texts_after_sync(connected)))
    alarm = "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:x\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\nEND:VEVENT"
    assert edit(connected, uid, lambda text: text.replace("END:VEVENT", alarm).replace("SUMMARY", "CATEGORIES:Mine\r\nSUMMARY")).status == 204
    connected.run("sync", "ana", "--wait")
    assert len(graph.mails()) == before
    assert "TRIGGER:-PT5M" in texts(connected)[uid]


def texts_after_sync(gateway):
    gateway.sync()
    return texts(gateway)


def test_a_sync_of_meetings_mails_nobody(connected, graph):
    graph.create(subject="meeting", attendees=[{"type": "required", "emailAddress": {"address": "bob@example.com"}}])
    before = graph.mails()
    for _ in range(2):
        connected.cli("sync", "ana", "--full", "--wait")
    assert graph.mails() == before


def invitation(graph, subject="invited", **members):
    event = {
        "subject": subject, "start": at("2026-12-08T09:00:00"), "end": at("2026-12-08T10:00:00"), "isReminderOn": False,
        "attendees": [{"type": "required", "emailAddress": {"address": "ada@example.com", "name": "Ada"}}],
    } | members
    return graph.control("invite", organizer="boss@example.org", event=event)["id"]


@pytest.mark.parametrize(("said", "expected"), [("ACCEPTED", "accepted"), ("TENTATIVE", "tentativelyAccepted")])
def test_an_invitation_is_answered_by_action_once(connected, graph, said, expected):
    id = invitation(graph)
    text = sync(connected)["invited"]
    uid = re.search(r"UID:(\S+)", text.replace("\r\n ", "")).group(1)
    assert "PARTSTAT=NEEDS-ACTION" in text.replace("\r\n ", "")
    answer = lambda text: text.replace("\r\n ", "").replace("PARTSTAT=NEEDS-ACTION", f"PARTSTAT={said}")
    assert edit(connected, uid, answer).status == 204
    connected.sync()
    assert graph.event(id)["responseStatus"]["response"] == expected
    asked = [line for line in graph.requests() if "/accept" in line or "/tentativelyAccept" in line]
    assert len(asked) == 1, asked


def test_fault_50_a_queued_answer_is_not_repeated(connected, graph):
    invitation(graph)
    text = sync(connected)["invited"].replace("\r\n ", "")
    uid = re.search(r"UID:(\S+)", text).group(1)
    graph.fault("slow-action")
    assert edit(connected, uid, lambda text: text.replace("\r\n ", "").replace("PARTSTAT=NEEDS-ACTION", "PARTSTAT=ACCEPTED")).status == 204
    for _ in range(3):
        connected.run("sync", "ana", "--wait")
    assert len([line for line in graph.requests() if "/accept" in line]) == 1


def test_a_guest_can_not_change_what_the_organizer_decides(connected, graph):
    id = invitation(graph)
    text = sync(connected)["invited"].replace("\r\n ", "")
    uid = re.search(r"UID:(\S+)", text).group(1)
    edit(connected, uid, lambda text: text.replace("SUMMARY:invited", "SUMMARY:hijacked"))
    connected.run("sync", "ana", "--wait")
    assert graph.event(id)["subject"] == "invited"
    assert "invited" in by_summary(connected)


# Numbers

def test_a_first_import_costs_pages_and_batches_and_a_quiet_source_one_request(gateway, graph):
    count = 10_000 if os.environ.get("LINEARTIME_FULL") else 1_000
    graph.control("events", count=count, each={
        "start": at("2026-12-07T09:00:00"), "end": at("2026-12-07T10:00:00"), "isReminderOn": False, "body": {"contentType": "text", "content": "words"},
    })
    for number in range(25):
        id = graph.create(subject=f"series {number}", recurrence=weekly(4))
        graph.patch(graph.instances(id)[1]["id"], subject="changed")
    for number in range(10):
        graph.create(subject=f"plain series {number}", recurrence=weekly(4))
    graph.requests()
    assert add(gateway).returncode == 0
    gateway.sync()
    asked = graph.requests()
    pages = [line for line in asked if "delta" in line]
    batches = [line for line in asked if "$batch" in line]
    others = [line for line in asked if line not in pages and line not in batches]
    assert len(gateway.dav().listing(gateway.unified())) == count + 35
    # Pages of 200 rows, with four stubs and the master of each series; series with exceptions by 20.
    assert len(pages) <= count // 200 + 2 and len(batches) <= 2, (len(pages), len(batches))
    assert all("/me/calendar" in line for line in others), others
    gateway.sync()
    graph.requests()
    gateway.sync()
    assert len(graph.requests()) == 1


# Notifications

HOOK = "/api/webhooks/microsoft"


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def is_quiet(gateway):
    """Whether no job runs or is about to."""
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5)
    return all(job["state"] == "ready" and moment(job["due"]) > soon for job in gateway.json("job", "list"))


def quiet(gateway):
    wait_until(lambda: is_quiet(gateway), seconds=30, what="a quiet queue")


def connect_hooked(started, tmp_path, graph, **settings):
    settings = {"webhooks__enabled": "true", "sync__poll_interval": "1h", "sync__backoff_base": "1s"} | settings
    running = started(Gateway(tmp_path, **graph.settings(), **settings))
    running.add_user()
    done = add(running)
    assert done.returncode == 0, done.stderr
    running.sync()
    return running


@pytest.fixture
def hooked(started, tmp_path, graph):
    """A gateway that Graph reaches, with the account, at rest; it polls once an hour."""
    running = connect_hooked(started, tmp_path, graph)
    wait_until(lambda: graph.subscriptions(), what="the subscription")
    quiet(running)
    graph.requests()
    return running


def post(gateway, body, query="", kind="application/json"):
    """Status, headers and body of a POST to the address of the notifications."""
    answer = requests.post(gateway.url + HOOK + query, data=body, headers={"Content-Type": kind}, timeout=20)
    return answer.status_code, answer.headers, answer.content.decode(errors="replace")


def heard(gateway):
    """What has been counted of notifications, by what came of them."""
    text = requests.get(gateway.url + "/metrics", timeout=20).text
    found = re.findall(r'^lineartime_notifications_total\{heard="(\w+)"\} (\d+)', text, re.MULTILINE)
    return {word: int(count) for word, count in found}


def status(gateway):
    return gateway.json("status", "ana")["accounts"][0]


def seen(gateway, *summaries):
    wait_until(lambda: set(by_summary(gateway)) == set(summaries), what=f"{summaries} by notification")


def readings(graph):
    return [line for line in graph.requests() if "delta" in line]


def test_fault_94_a_subscription_is_made_with_its_handshakes_and_its_end_is_told(hooked, graph):
    (made,) = graph.subscriptions()
    assert made["resource"] == f"me/calendars/{urllib.parse.quote(graph.calendar(), safe='')}/events"
    assert set(made["changeType"].split(",")) == {"created", "updated", "deleted"}
    assert made["notificationUrl"] == made["lifecycleNotificationUrl"] == hooked.url + HOOK
    assert len(made["clientState"]) >= 32 and graph.state()["handshakes"] == 2
    days = (moment(made["expirationDateTime"]) - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86_400
    assert 6 < days <= 7
    assert abs((moment(status(hooked)["webhook_expires"]) - moment(made["expirationDateTime"])).total_seconds()) < 1
    # What proves the sender is in no log and no message.
    assert made["clientState"] not in hooked.output() + json.dumps(hooked.json("job", "list")) + json.dumps(status(hooked))


def test_fault_99_every_calendar_has_a_subscription_of_its_own(started, tmp_path, graph):
    team = graph.control("calendar", name="Team")["id"]
    gateway = connect_hooked(started, tmp_path, graph)
    wait_until(lambda: len({one["resource"] for one in graph.subscriptions()}) == 2, what="the subscriptions")
    quiet(gateway)
    graph.create(team, subject="of the team")
    seen(gateway, "of the team")
    assert len({one["clientState"] for one in graph.subscriptions()}) == 2


def test_changes_come_by_notification(hooked, graph):
    id = graph.create(subject="new")
    seen(hooked, "new")
    graph.patch(id, subject="renamed")
    seen(hooked, "renamed")
    graph.delete(id)
    seen(hooked)
    statuses = graph.state()["answers"]["statuses"]
    assert set(statuses) == {"202"}, statuses


def test_a_change_that_is_told_before_the_list_of_changes_has_it_is_looked_for_again(hooked, graph):
    graph.fault("delta-lags")
    graph.create(subject="told early")
    seen(hooked, "told early")
    assert len(readings(graph)) >= 2


@pytest.mark.parametrize("token", [
    "Validation: Testing client application reachability for subscription Request-Id: 1f9a", "a+b&c=d/e", "<script>alert(1)</script>", "é" * 100,
])
def test_a_handshake_gets_its_token_back_as_plain_text(gateway, token):
    status_, headers, body = post(gateway, "", "?validationToken=" + urllib.parse.quote_plus(token), "text/plain")
    assert (status_, body) == (200, token)
    assert headers["Content-Type"] == "text/plain" and headers["X-Content-Type-Options"] == "nosniff"


def test_only_a_handshake_is_echoed(gateway):
    path = gateway.url + HOOK
    assert requests.get(path + "?validationToken=x", timeout=20).status_code == 405
    for query in ("?validationToken=", "?validationToken=" + "x" * 2_000, "?validationToken=a%0d%0ab"):
        code, _, body = post(gateway, "", query)
        assert code == 400 and "xx" not in body, query
    for query in ("?token=echo-me", "?ValidationToken=echo-me"):
        code, _, body = post(gateway, "", query)
        assert code == 400 and "echo-me" not in body, query


@pytest.mark.parametrize(("body", "code"), [
    ("", 400), ("{", 400), ("[]", 400), ("null", 400), ("{}", 400), ('{"value": 7}', 400), ('{"value": [7]}', 400), ("\x00\xff", 400),
    ("[" * 100_000, 400), ('{"value": []}', 202), ('{"value": [{}]}', 202), ('{"value": [{"subscriptionId": 7, "clientState": []}]}', 202),
    ('{"value": [{"subscriptionId": "' + "x" * 100_000 + '"}]}', 202), ('{"value": [], "x": "' + "x" * 300_000 + '"}', 413),
], ids=range(14))
def test_what_is_no_notification_is_refused_and_nothing_is_done(gateway, body, code):
    assert post(gateway, body)[0] == code
    assert gateway.json("job", "list") == []


def test_fault_93_a_forged_notification_does_nothing_and_is_answered_like_any_other(hooked, graph):
    for what in ("state", "subscription"):
        assert graph.forge(what)[0] == {202: 1}
    assert heard(hooked).get("unknown") == 2 and "news" not in heard(hooked)
    # Nothing is to be read, now or soon.
    assert is_quiet(hooked) and readings(graph) == []
    # The right one among wrong ones counts, and alone.
    graph.fault("lose-notifications")
    graph.create(subject="told beside lies")
    assert graph.forge("mixed")[0] == {202: 1}
    seen(hooked, "told beside lies")
    assert heard(hooked) == {"unknown": 4, "news": 1}


def test_fault_90_a_lost_notification_costs_the_time_until_the_next_look(hooked, graph):
    graph.fault("lose-notifications")
    graph.create(subject="quiet")
    assert "quiet" in sync(hooked)


def test_fault_95_a_storm_is_answered_at_once_and_leads_to_few_readings(hooked, graph):
    graph.fault("lose-notifications")
    graph.create(subject="in the storm")
    statuses, slowest = graph.notify("updated", count=3_000)
    assert statuses == {202: 3_000}, statuses
    assert slowest < 3_000
    seen(hooked, "in the storm")
    quiet(hooked)
    # One at once, then ever more rarely; the machine decides how long the storm was.
    assert 1 <= len(readings(graph)) <= 12
    assert heard(hooked)["news"] == 3_000


def test_a_gateway_that_was_away_for_a_moment_hears_of_it_again(hooked, graph):
    hooked.kill()
    graph.create(subject="meanwhile")
    hooked.start()
    wait_until(lambda: "202" in graph.state()["answers"]["statuses"], what="the notification, sent again")
    seen(hooked, "meanwhile")
    assert len(graph.subscriptions()) == 1


def test_subscriptions_are_made_longer_by_patch_before_they_end(started, tmp_path, graph):
    graph.fault("subscription-seconds", 1_000, "12")
    gateway = connect_hooked(started, tmp_path, graph)
    (first,) = wait_until(graph.subscriptions, what="the subscription")
    later = wait_until(lambda: [one for one in graph.subscriptions() if one["expirationDateTime"] > first["expirationDateTime"]], seconds=30, what="the renewal")
    # The same one, and its old state is still believed.
    assert [(one["id"], one["clientState"]) for one in later] == [(first["id"], first["clientState"])]
    assert len(graph.subscriptions()) == 1
    graph.create(subject="after the renewal")
    seen(gateway, "after the renewal")
    # One that can't be renewed now goes on until its end.
    graph.requests()
    graph.fault("renewal-unavailable", 1)
    wait_until(lambda: not is_waiting(graph, "renewal-unavailable"), seconds=30, what="the failed renewal")
    quiet(gateway)
    assert [line for line in graph.requests() if line.startswith("DELETE")] == []


def is_waiting(graph, fault):
    """Whether a fault that was switched on has not happened yet."""
    return graph.state()["faults"].get(fault, 0) > 0


def test_fault_97_a_renewal_that_finds_nothing_leads_to_a_new_one_and_a_reading(started, tmp_path, graph):
    graph.fault("subscription-seconds", 1_000, "12")
    gateway = connect_hooked(started, tmp_path, graph)
    (first,) = wait_until(graph.subscriptions, what="the subscription")
    graph.fault("renewal-fails")
    graph.fault("lose-notifications")
    graph.create(subject="between two")
    wait_until(lambda: graph.subscriptions() and first["id"] not in [one["id"] for one in graph.subscriptions()], seconds=30, what="another subscription")
    # Nobody told of it: it was read because there was a gap.
    seen(gateway, "between two")


def test_fault_92_a_subscription_that_ended_while_the_gateway_was_down_is_made_anew(started, tmp_path, graph):
    graph.fault("subscription-seconds", 1, "5")
    gateway = connect_hooked(started, tmp_path, graph)
    (first,) = wait_until(graph.subscriptions, what="the subscription")
    gateway.kill()
    graph.create(subject="while down")
    wait_until(lambda: not graph.subscriptions(), what="the end of the subscription")
    gateway.start()
    seen(gateway, "while down")
    (second,) = wait_until(graph.subscriptions, what="another subscription")
    assert second["id"] != first["id"]
    graph.create(subject="after")
    seen(gateway, "while down", "after")


def test_lifecycle_reauthorization_is_answered_by_a_renewal(hooked, graph):
    (first,) = graph.subscriptions()
    assert graph.notify("reauthorizationRequired")[0] == {202: 1}
    asked = []
    def renewed():
        asked.extend(graph.requests())
        return [line for line in asked if line.startswith(("PATCH", "POST")) and first["id"] in line]
    wait_until(renewed, what="the renewal")
    # Until then Graph is silent; now it speaks again.
    graph.create(subject="heard again")
    seen(hooked, "heard again")
    assert [one["id"] for one in graph.subscriptions()] == [first["id"]]


def test_fault_96_a_removed_subscription_is_made_anew_and_the_calendar_read(hooked, graph):
    (first,) = graph.subscriptions()
    graph.fault("lose-notifications")
    graph.create(subject="missed meanwhile")
    assert graph.notify("subscriptionRemoved")[0] == {202: 1}
    seen(hooked, "missed meanwhile")
    (second,) = wait_until(graph.subscriptions, what="another subscription")
    assert second["id"] != first["id"] and second["clientState"] != first["clientState"]
    graph.create(subject="by the new one")
    seen(hooked, "missed meanwhile", "by the new one")


def test_fault_96_missed_notifications_lead_to_a_reading(hooked, graph):
    graph.fault("lose-notifications")
    graph.create(subject="missed")
    assert graph.notify("missed")[0] == {202: 1}
    seen(hooked, "missed")


def test_fault_98_without_lifecycle_messages_the_clock_renews_and_the_poll_reads(started, tmp_path, graph):
    graph.fault("subscription-seconds", 1_000, "12")
    graph.fault("lose-notifications", 1_000)
    gateway = connect_hooked(started, tmp_path, graph, sync__poll_interval="2s")
    (first,) = wait_until(graph.subscriptions, what="the subscription")
    graph.create(subject="by the clock")
    seen(gateway, "by the clock")
    wait_until(lambda: graph.subscriptions() and graph.subscriptions()[0]["expirationDateTime"] > first["expirationDateTime"], seconds=30, what="the renewal")


def test_an_address_that_can_not_be_reached_leaves_the_poll_and_is_tried_again(started, tmp_path, graph):
    graph.fault("handshake-fails", 1)
    gateway = connect_hooked(started, tmp_path, graph, sync__poll_interval="2s")
    wait_until(lambda: not is_waiting(graph, "handshake-fails"), what="the failed handshake")
    graph.create(subject="polled")
    seen(gateway, "polled")
    assert status(gateway)["webhook_expires"] is None and status(gateway)["state"] == "healthy"
    assert "server.public_url" in gateway.output()
    # The next start tries again at the latest.
    gateway.kill()
    gateway.start()
    wait_until(graph.subscriptions, what="the subscription")


def test_without_a_public_address_nothing_is_subscribed_and_the_poll_goes_on(started, tmp_path, graph):
    gateway = connect_hooked(started, tmp_path, graph, webhooks__enabled="false", sync__poll_interval="1s")
    graph.create(subject="polled")
    seen(gateway, "polled")
    assert not [line for line in graph.requests() if "subscriptions" in line]
    assert status(gateway)["webhook_expires"] is None


@pytest.mark.parametrize("end", ["remove", "pause"])
def test_subscriptions_end_with_the_account(hooked, graph, end):
    account = hooked.json("account", "list", "ana")[0]["id"]
    confirmed = ("--yes",) if end == "remove" else ()
    hooked.cli("account", end, "ana", account, *confirmed)
    assert graph.subscriptions() == []
    assert [line for line in graph.requests() if line.startswith("DELETE /v1.0/subscriptions/")]
    if end == "pause":
        hooked.cli("account", "resume", "ana", account)
        wait_until(graph.subscriptions, what="the subscription")


def test_fault_100_another_public_address_makes_all_subscriptions_anew(hooked, graph):
    (first,) = graph.subscriptions()
    hooked.kill()
    hooked.environment["LINEARTIME_SERVER__PUBLIC_URL"] = hooked.url.replace("127.0.0.1", "localhost")
    hooked.start()
    wait_until(lambda: [one["notificationUrl"] for one in graph.subscriptions()] == [hooked.url.replace("127.0.0.1", "localhost") + HOOK], what="the new address")
    assert first["id"] not in [one["id"] for one in graph.subscriptions()]
    graph.create(subject="at the new address")
    seen(hooked, "at the new address")


# Clients that others wrote

class Plain:
    """O365's connection without its sign-in, which speaks to Microsoft alone."""

    default_headers = {}
    timezone = None

    def request(self, method, url, **options):
        options = {name: value for name, value in options.items() if name in ("params", "json", "data", "headers")}
        if isinstance(options.get("data"), dict):
            options["json"] = options.pop("data")
        options["headers"] = (options.get("headers") or {}) | {"Authorization": "Bearer person"}
        answer = requests.request(method, url, timeout=30, **options)
        answer.raise_for_status()
        return answer

    def __getattr__(self, method):
        return lambda url, **options: self.request(method.upper(), url, **options)


def test_the_simulator_answers_o365(graph):
    from O365 import MSGraphProtocol
    from O365.calendar import Schedule

    protocol = MSGraphProtocol(default_resource="me")
    protocol.service_url = graph.url + "/v1.0/"
    schedule = Schedule(con=Plain(), protocol=protocol, main_resource="me")
    graph.create(subject="seen", categories=["Red"], recurrence=weekly(3))
    outlook = schedule.get_default_calendar()
    assert outlook.name == "Calendar" and len(list(schedule.list_calendars())) == 1
    found = list(outlook.get_events(include_recurring=False))
    assert [(e.subject, list(e.categories)) for e in found] == [("seen", ["Red"])]
    assert found[0].recurrence is not None


def test_the_simulator_answers_the_sdk_of_microsoft(graph):
    pytest.importorskip("msgraph")
    from kiota_abstractions.serialization import ParseNodeFactoryRegistry
    from kiota_serialization_json.json_parse_node_factory import JsonParseNodeFactory
    from msgraph.generated.models.event import Event

    ParseNodeFactoryRegistry().CONTENT_TYPE_ASSOCIATED_FACTORIES["application/json"] = JsonParseNodeFactory()
    id = graph.create(subject="weekly", recurrence=weekly(3), attendees=[{"type": "required", "emailAddress": {"address": "bob@example.com"}}])
    raw = json.dumps(graph.event(id)).encode()
    event_ = JsonParseNodeFactory().get_root_parse_node("application/json", raw).get_object_value(Event)
    assert event_.subject == "weekly" and event_.recurrence.pattern.type.value == "weekly"
    assert event_.attendees[0].email_address.address == "bob@example.com" and event_.start.time_zone == "UTC"
    # Nothing that the typed model does not know.
    assert set(event_.additional_data) <= {"@odata.etag"}, event_.additional_data


def test_the_simulator_answers_the_client_of_microsoft_for_javascript(graph):
    folder = npm("@microsoft/microsoft-graph-client@3.0.7")
    script = Path(__file__).parent / "node" / "graph.mjs"
    done = subprocess.run(["node", script, graph.url], capture_output=True, text=True, timeout=120, env=os.environ | {"NODE_FOLDER": str(folder)})
    assert done.returncode == 0 and done.stdout.strip() == "ok", done.stdout[-2000:] + done.stderr[-3000:]
