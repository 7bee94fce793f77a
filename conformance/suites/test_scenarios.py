"""What went wrong elsewhere, by the names under which the field knows it, at the services where it went wrong."""

import concurrent.futures
import datetime
import os
import tempfile
import time
from pathlib import Path

import pytest
from harness import feed as manners
from harness.events import BERLIN, all_day, calendar, event, instances, series
from harness.feed import Publisher, feed
from harness.gateway import Gateway
from harness.google import Google
from harness.laws import sync_to_rest
from harness.microsoft import Graph
from harness.process import wait_until

FAST = {"sync__backoff_base": "50ms", "sync__backoff_max": "500ms", "sync__poll_interval": "1h", "sync__write_through": "5s"}


@pytest.fixture
def google(started):
    service = started(Google())
    yield service
    assert service.violations == []


@pytest.fixture
def world(started, tmp_path, google):
    """A gateway with a Google account, which new events go to."""
    gateway = started(Gateway(tmp_path, webhooks__enabled="true", **FAST, **google.settings()))
    gateway.add_user()
    add_google(gateway)
    return gateway


def add_google(gateway):
    gateway.cli("account", "add", "ana", "--provider", "google", "--refresh-token-stdin", text="refresh-1\n")
    gateway.sync()


def shown(gateway):
    """UID -> the one text in the unified calendar."""
    found = gateway.dav().by_uid(gateway.unified())
    assert all(len(texts) == 1 for texts in found.values()), found
    return {uid: texts[0] for uid, texts in found.items()}


def at_rest(gateway):
    """Syncs until nobody waits and nothing is wrong."""
    def quiet():
        gateway.run("sync", "ana", "--wait")
        status = gateway.json("status", "ana")
        return status["queue"] == 0 and all(one["state"] == "healthy" for one in status["accounts"])
    wait_until(quiet, seconds=60, what="rest")


def timed(day, hour, zone="Europe/Paris"):
    return {"dateTime": f"2026-{day}T{hour:02}:00:00+01:00", "timeZone": zone}


def state(gateway):
    return gateway.json("status", "ana")["accounts"][0]


def broken(status, kind="text/plain", text=b"no"):
    def manner(handler, _):
        handler.reply(status, [("Content-Type", kind)], text)
    return manner


def cut(handler, publisher):
    """Half of the file, and the connection ends."""
    handler.begin(("Content-Length", str(len(publisher.text))))
    handler.wfile.write(publisher.text.encode()[: len(publisher.text) // 2])


FETCH_ERRORS = {
    "500": broken(500), "503": broken(503), "404": broken(404), "410": broken(410), "403": broken(403), "401": broken(401),
    "429": broken(429), "nothing": broken(200, "text/calendar", b""), "a page": manners.login_page, "cut": cut,
    "half": broken(200, "text/calendar", feed(("g1", "20300101T100000Z", "One")).encode()[:150]),
    "json": broken(200, "application/json", b'{"error":"no"}'),
}


def test_ics_fetch_error_keeps_events(started, gateway):
    """keeper#383: a feed that can't be had for a while took all its events away."""
    games = [(f"g{n}", f"203001{n:02}T100000Z", f"Game {n}") for n in range(1, 6)]
    publisher = started(Publisher(feed(*games)))
    gateway.cli("account", "add", "ana", "--provider", "ics", "--url", publisher.url, "--label", "club")
    gateway.sync()
    before = gateway.dav().listing(gateway.unified())
    assert len(before) == 5
    for name, manner in FETCH_ERRORS.items():
        publisher.manner, asked = manner, len(publisher.requests)
        gateway.run("sync", "ana", "--full", "--wait")
        assert len(publisher.requests) > asked, name
        assert gateway.dav().listing(gateway.unified()) == before, name
        assert state(gateway)["state"] != "healthy" and state(gateway)["reason"], name
    publisher.kill()
    gateway.run("sync", "ana", "--full", "--wait")
    assert gateway.dav().listing(gateway.unified()) == before
    publisher.start()
    publisher.publish(feed(*games, ("g6", "20300106T100000Z", "Game 6")))
    def well():
        gateway.run("sync", "ana", "--wait")
        return state(gateway)["state"] == "healthy"
    wait_until(well, seconds=60, what="the feed")
    after = gateway.dav().listing(gateway.unified())
    assert len(after) == 6 and before.items() <= after.items(), "nothing of it was written again"


def test_window_slides_no_mass_delete(started, gateway):
    """A publisher shows the last weeks and the next ones; what leaves the window was not called off."""
    today = datetime.date.today()
    def window(first):
        days = [today + datetime.timedelta(days=n) for n in range(first, first + 60)]
        return feed(*((f"day-{day}", f"{day:%Y%m%d}T100000Z", f"On {day}") for day in days))
    publisher = started(Publisher(window(-30)))
    gateway.cli("account", "add", "ana", "--provider", "ics", "--url", publisher.url, "--label", "club")
    gateway.sync()
    assert len(shown(gateway)) == 60
    for slid in (1, 2, 14, 28):
        publisher.publish(window(-30 + slid))
        gateway.sync()
        assert len(shown(gateway)) == 60 + slid and state(gateway)["state"] == "healthy", f"{slid}: {state(gateway)}"
    gateway.cli("sync", "ana", "--full", "--wait")
    assert len(shown(gateway)) == 88 and gateway.json("trash", "list", "ana") == []


class Everything:
    """All sync tokens are expired."""

    def __contains__(self, _):
        return True


def test_410_swallowed_as_empty(world, google):
    """twenty#24095: an expired token was taken for "nothing changed", or for "nothing there"."""
    ids = {n: google.put(summary=f"E{n}", start=timed("02-03", 12), end=timed("02-03", 13)) for n in range(8)}
    at_rest(world)
    assert len(shown(world)) == 8
    google.faults["lose_notifications"] = 3
    google.remove(ids[0])
    google.put(id=ids[1], summary="E1 changed")
    google.put(summary="E8", start=timed("02-03", 12), end=timed("02-03", 13))
    google.expired, expired = Everything(), google.expired
    at_rest(world)
    titles = sorted(text.split("SUMMARY:")[1].split("\r\n")[0] for text in shown(world).values())
    assert titles == ["E1 changed", *(f"E{n}" for n in range(2, 9))]
    # And in the middle of a paged round, which then proves nothing.
    google.expired = expired
    at_rest(world)
    google.faults.update(lose_notifications=7, small_pages=2, expire_between_pages=1)
    for n in range(2, 8):
        google.put(id=ids[n], summary=f"E{n} again")
    google.remove(ids[1])
    at_rest(world)
    titles = sorted(text.split("SUMMARY:")[1].split("\r\n")[0] for text in shown(world).values())
    assert titles == sorted([*(f"E{n} again" for n in range(2, 8)), "E8"])
    assert world.json("conflict", "list", "ana") == []


MEETING = [
    "DTSTART:20260210T100000Z", "DTEND:20260210T110000Z", "ORGANIZER:mailto:ana@example.org",
    "ATTENDEE;PARTSTAT=ACCEPTED:mailto:ana@example.org", "ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:bo@example.org",
    "ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:cy@example.org",
]


def meeting(uid, summary):
    lines = [f"UID:{uid}", "DTSTAMP:20260101T000000Z", f"SUMMARY:{summary}", *MEETING]
    return calendar("BEGIN:VEVENT\r\n" + "".join(line + "\r\n" for line in lines) + "END:VEVENT\r\n")


def test_retry_does_not_remail_attendees(world, google):
    """OGCS#121: each try of a write whose answer was lost mailed everybody again."""
    dav, path = world.dav(), world.unified() + "m.ics"
    google.faults["lose_answer_of_post"] = 1
    assert dav.put(path, meeting("m@x", "Plan")).status == 201
    at_rest(world)
    assert sorted(google.mails) == [("bo@example.org", "invited", "Plan"), ("cy@example.org", "invited", "Plan")]
    assert len(google.live()) == 1

    google.mails.clear()
    google.faults["lose_answer_of_patch"] = 1
    assert dav.put(path, dav.get(path).text.replace("T100000Z", "T090000Z")).status == 204
    at_rest(world)
    assert sorted(google.mails) == [("bo@example.org", "updated", "Plan"), ("cy@example.org", "updated", "Plan")]

    google.mails.clear()
    google.faults["lose_answer_of_delete"] = 1
    assert dav.delete(path).status == 204
    at_rest(world)
    assert sorted(google.mails) == [("bo@example.org", "cancelled", "Plan"), ("cy@example.org", "cancelled", "Plan")]
    assert google.live() == {} and shown(world) == {}
    # The same once more takes up the id that was deleted, and is a new invitation.
    google.mails.clear()
    assert dav.put(path, meeting("m@x", "Again")).status == 201
    at_rest(world)
    assert sorted(who for who, _, _ in google.mails) == ["bo@example.org", "cy@example.org"] and set(google.live()) == {"Again"}
    # A restart and a full comparison are no edits.
    google.mails.clear()
    world.kill()
    world.start()
    world.cli("sync", "ana", "--full", "--wait")
    assert google.mails == []


def split(text, uid, until, start, summary):
    """How a client changes "this and all that follow": the old series ends, a new one begins."""
    master = text.replace("RRULE:FREQ=WEEKLY;COUNT=10", f"RRULE:FREQ=WEEKLY;UNTIL={until}")
    assert master != text
    rest = (
        f"BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260901T000000Z\r\nDTSTART;TZID=Europe/Berlin:{start}T110000\r\n"
        f"DTEND;TZID=Europe/Berlin:{start}T120000\r\nRRULE:FREQ=WEEKLY;COUNT=5\r\nSUMMARY:{summary}\r\nEND:VEVENT\r\n"
    )
    return master, calendar(rest, zones=BERLIN)


@pytest.fixture(params=["radicale", "xandikos", "google"])
def place(request, started, tmp_path):
    """A gateway with one account of a kind; new events go there."""
    if request.param == "google":
        return request.getfixturevalue("world"), request.getfixturevalue("google")
    upstream = request.getfixturevalue(request.param)
    gateway = started(Gateway(tmp_path, **FAST))
    gateway.add_user()
    gateway.connect(upstream)
    gateway.sync()
    source = next(one for one in gateway.json("source", "list", "ana") if one["account"])
    gateway.cli("source", "set", "ana", source["id"], "--default")
    return gateway, upstream


def read_anew(gateway, place, started, tmp_path):
    """What another gateway reads that has never seen any of it."""
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    other = started(Gateway(folder, **FAST, **(place.settings() if isinstance(place, Google) else {})))
    other.add_user()
    add_google(other) if isinstance(place, Google) else (other.connect(place), other.sync())
    found = shown(other)
    other.kill()
    return found


def test_recurrence_split_this_and_following(place, started, tmp_path):
    gateway, upstream = place
    dav, unified = gateway.dav(), gateway.unified()
    whole = series("old", "Weekly", moved=False, cancelled=False)
    assert dav.put(unified + "old.ics", whole).status == 201
    at_rest(gateway)
    text = dav.get(unified + "old.ics").text
    # Monday 2 November is the sixth of ten; from there on at eleven, under another name.
    first, rest = split(text, "new", "20261101T225959Z", "20261102", "Weekly later")
    assert dav.put(unified + "old.ics", first).status == 204
    assert dav.put(unified + "new.ics", rest).status == 201
    at_rest(gateway)
    wanted = instances(whole)[:5] + instances(rest)
    assert len(wanted) == 10
    for found in (shown(gateway), read_anew(gateway, upstream, started, tmp_path)):
        told = sorted(one for text in found.values() for one in instances(text))
        assert told == sorted(wanted), "each week once, before and after"
    assert gateway.json("conflict", "list", "ana") == []


def test_recurrence_split_this_and_following_at_google(world, google):
    """As the web interface does it: the master ends, and a new one has the first of its days in its id."""
    google.put(id="weekly1", summary="Standup", start=timed("03-02", 9), end=timed("03-02", 10), recurrence=["RRULE:FREQ=WEEKLY;COUNT=6"])
    at_rest(world)
    before = instances(next(iter(shown(world).values())))
    google.put(id="weekly1", recurrence=["RRULE:FREQ=WEEKLY;UNTIL=20260322T225959Z"])
    google.put(id="weekly1_R20260323T080000", iCalUID="weekly1_R20260323T080000@google.com", summary="Standup late", start=timed("03-23", 14),
               end=timed("03-23", 15), recurrence=["RRULE:FREQ=WEEKLY;COUNT=3"])
    at_rest(world)
    told = sorted(one for text in shown(world).values() for one in instances(text))
    assert len(told) == 6 and told[:3] == before[:3] and {summary for _, _, summary in told[3:]} == {"Standup late"}


def test_exdate_vs_deleted_override(place, started, tmp_path):
    """An override that is taken back gives the instance its usual time again; an EXDATE takes the instance away."""
    gateway, upstream = place
    dav, path = gateway.dav(), gateway.unified() + "s.ics"
    plain, moved = series("s", moved=False, cancelled=False), series("s", moved=True, cancelled=False)
    assert dav.put(path, moved).status == 201
    at_rest(gateway)

    def everywhere(wanted):
        at_rest(gateway)
        for found in (shown(gateway), read_anew(gateway, upstream, started, tmp_path)):
            (text,) = found.values()
            assert instances(text) == wanted

    everywhere(instances(moved))
    assert dav.put(path, plain).status == 204
    everywhere(instances(plain))
    assert dav.put(path, moved).status == 204
    at_rest(gateway)
    left_out = plain.replace("SUMMARY:Weekly\r\n", "EXDATE;TZID=Europe/Berlin:20261012T090000\r\nSUMMARY:Weekly\r\n")
    assert dav.put(path, left_out).status == 204
    everywhere(instances(left_out))
    assert len(instances(left_out)) == 9


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_all_day_tz_shift_roundtrip(started, tmp_path, radicale, zone):
    """A day is a day, wherever the gateway, the mailbox and the calendars are."""
    google, graph = started(Google()), started(Graph(tmp_path))
    gateway = Gateway(tmp_path, **FAST, **google.settings(), **graph.settings())
    gateway.environment["TZ"] = zone
    started(gateway)
    gateway.add_user()
    add_google(gateway)
    gateway.cli("account", "add", "ana", "--provider", "microsoft", "--refresh-token-stdin", "--label", "outlook", text="M.C5_first\n")
    gateway.connect(radicale)
    # Made at each service, and made here for each service.
    google.put(summary="Day at google", start={"date": "2026-12-24"}, end={"date": "2026-12-25"})
    graph.create(subject="Day at outlook", start="2026-12-24T00:00:00", end="2026-12-25T00:00:00", zone="UTC", isAllDay=True)
    radicale.dav().put(radicale.calendar + "d.ics", all_day("d", "Day at radicale"))
    gateway.sync()
    accounts = {one["id"]: one["label"] for one in gateway.json("account", "list", "ana")}
    sources = {one["account"]: one["id"] for one in gateway.json("source", "list", "ana") if one["account"]}
    for account, label in accounts.items():
        path = f"/dav/calendars/ana/{sources[account]}/"
        assert gateway.dav().put(f"{path}{account}.ics", all_day(f"one-{account}", f"One for {label}")).status == 201
        text = all_day(f"three-{account}", f"Three for {label}", after="20261227").replace("SUMMARY:", "RRULE:FREQ=YEARLY;COUNT=3\r\nSUMMARY:")
        assert gateway.dav().put(f"{path}{account}-3.ics", text).status == 201
    gateway.sync()
    gateway.cli("sync", "ana", "--full", "--wait")
    found = shown(gateway).values()
    assert len(found) == 9
    for text in found:
        days = [(start, end) for start, end, _ in instances(text, end=(2029, 12, 31))]
        after = "27" if "Three for" in text else "25"
        assert days[0] == ("2026-12-24", f"2026-12-{after}") and len(days) == (3 if "Three for" in text else 1), text
    for title, one in google.live().items():
        assert one["start"]["date"] == "2026-12-24" and one["end"]["date"] == f"2026-12-{'27' if 'Three' in title else '25'}"
    for title, one in graph.events().items():
        assert one["isAllDay"] and one["start"]["dateTime"].startswith("2026-12-24T00:00"), one
        assert one["end"]["dateTime"].startswith(f"2026-12-{'27' if 'Three' in title else '25'}T00:00"), one
    for texts in radicale.dav().by_uid(radicale.calendar).values():
        assert "DTSTART;VALUE=DATE:20261224" in texts[0]
    assert google.violations == []


def test_webhook_flood_coalesced(world, google):
    """Each notification asks for the same: one look. A flood of them is a few, and others are served meanwhile."""
    count = 5000 if os.environ.get("LINEARTIME_FULL") else 500
    wait_until(lambda: len(google.channels) == 2, what="the channels")
    at_rest(world)
    channel = next(one for one in google.channels.values() if one["calendar"])
    google.faults["lose_notifications"] = 1
    google.put(summary="In the flood", start=timed("02-03", 12), end=timed("02-03", 13))
    before, began = google.count("GET", "/events"), time.monotonic()
    most = 0
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        posts = [pool.submit(google.post, channel, "exists") for _ in range(count)]
        while not all(post.done() for post in posts):
            jobs = world.json("job", "list")
            most = max(most, len(jobs))
        answers = {post.result() for post in posts}
    assert answers <= {200, 202, 204, 429}, "each is answered, or told to slow down"
    wait_until(lambda: any("In the flood" in text for text in shown(world).values()), what="what it was about")
    at_rest(world)
    looks = google.count("GET", "/events") - before
    assert most <= 8, "the queue is bounded by what there is to look at"
    assert looks <= time.monotonic() - began + 3, f"{looks} looks for {count} notifications: more than one a second"
