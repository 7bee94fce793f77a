"""Both ways with each service's own ways: an event is created, edited, moved, deleted on either side, and nothing is lost,
doubled or written without need."""

import pytest
from harness.disguise import PROFILES
from harness.events import event, instances, series
from harness.gateway import Gateway
from harness.laws import both_sides_are_equal, meaning, sync_to_rest
from harness.process import wait_until


@pytest.fixture(params=sorted(PROFILES))
def service(request, started, radicale):
    radicale.dav().mkcalendar("/ana/home/", "Home")
    return started(PROFILES[request.param](radicale))


@pytest.fixture
def connected(started, tmp_path, service, radicale):
    settings = {"providers__icloud__url": service.url} if service.kind == "icloud" else {}
    gateway = started(Gateway(tmp_path, **settings))
    gateway.add_user()
    for number in range(8):
        radicale.dav().put(radicale.calendar + f"e{number}.ics", event(f"e{number}", f"Event {number}"))
    where = [] if service.kind == "icloud" else ["--url", service.url]
    gateway.cli("account", "add", "ana", "--provider", service.kind, *where, "--username", service.user, "--password-stdin",
                "--label", service.name, text=service.password + "\n")
    sync_to_rest(gateway)
    return gateway


def place(gateway, name):
    for source in gateway.json("source", "list", "ana"):
        if source.get("account") and source["name"] == name:
            return f"/dav/calendars/ana/{source['id']}/"
    raise AssertionError(f"no source {name}")


def held(upstream, calendar=None):
    return upstream.dav().by_uid(calendar or upstream.calendar)


def test_both_ways(connected, service, radicale):
    dav, work = connected.dav(), place(connected, "Work")
    assert set(dav.by_uid(connected.unified())) == {f"e{number}" for number in range(8)}
    # From the client: create, edit, a series with one instance changed, delete.
    assert dav.put(work + "new.ics", event("new", "Created"), If_None_Match="*").status == 201
    assert dav.put(work + "series.ics", series("series")).status == 201
    sync_to_rest(connected)
    assert "SUMMARY:Created" in held(radicale)["new"][0]
    assert instances(held(radicale)["series"][0]) == instances(series("series"))
    assert dav.put(dav.href_of(work, "new"), event("new", "Edited")).status == 204
    assert dav.delete(dav.href_of(work, "e0")).status == 204
    shorter = series("series").replace("EXDATE;", "EXDATE;TZID=Europe/Berlin:20261102T090000\r\nEXDATE;", 1)
    assert dav.put(dav.href_of(work, "series"), shorter).status == 204
    sync_to_rest(connected)
    assert "SUMMARY:Edited" in held(radicale)["new"][0] and "e0" not in held(radicale)
    assert instances(held(radicale)["series"][0]) == instances(shorter)
    # From the other side.
    theirs = radicale.dav()
    assert theirs.put(radicale.calendar + "late.ics", event("late", "First")).status == 201
    assert theirs.put(radicale.calendar + "e1.ics", event("e1", "Changed there")).status in (201, 204)
    assert theirs.delete(radicale.calendar + "e2.ics").status in (200, 204)
    sync_to_rest(connected)
    found = dav.by_uid(connected.unified())
    assert "late" in found and "Changed there" in found["e1"][0] and "e2" not in found
    # A conflict of two properties: both stay.
    href = theirs.href_of(radicale.calendar, "e3")
    assert theirs.put(href, event("e3", "Event 3", extra="LOCATION:There\r\n")).status in (201, 204)
    assert dav.put(dav.href_of(work, "e3"), event("e3", "Renamed here")).status in (204, 201)
    sync_to_rest(connected)
    for text in (held(radicale)["e3"][0], dav.by_uid(connected.unified())["e3"][0]):
        assert "SUMMARY:Renamed here" in text and "LOCATION:There" in text
    both_sides_are_equal(connected, [radicale])
    assert not service.complaints


def test_a_move_between_two_calendars_of_the_account(connected, service, radicale):
    dav = connected.dav()
    work, home = place(connected, "Work"), place(connected, "Home")
    assert dav.put(work + "wander.ics", event("wander")).status == 201
    sync_to_rest(connected)
    moved = dav.request("MOVE", dav.href_of(work, "wander"), headers={"Destination": connected.url + home + "wander.ics"})
    assert moved.status in (201, 204)
    wait_until(lambda: connected.sync() or "wander" in held(radicale, "/ana/home/"), seconds=60, what="the move")
    sync_to_rest(connected)
    assert "wander" not in held(radicale) and "wander" in held(radicale, "/ana/home/")
    assert len(dav.by_uid(connected.unified())["wander"]) == 1
    assert not service.complaints


def test_an_event_without_an_end_and_one_in_an_outage(connected, service, radicale):
    dav, work = connected.dav(), place(connected, "Work")
    endless = event("endless").replace("DTEND", "X-NOTHING")
    assert dav.put(work + "endless.ics", endless).status == 201
    sync_to_rest(connected)
    assert "endless" in held(radicale)
    service.hurt("unavailable")
    assert dav.put(work + "meanwhile.ics", event("meanwhile")).status == 201
    service.heal()
    wait_until(lambda: connected.run("sync", "ana", "--wait").returncode == 0 and "meanwhile" in held(radicale), seconds=90, what="the outage's end")
    sync_to_rest(connected)
    both_sides_are_equal(connected, [radicale])


def test_it_stays_quiet(connected, service, radicale):
    before, token = radicale.dav().listing(radicale.calendar), connected.dav().sync(connected.unified())[2]
    writes = lambda: [one for one in service.seen if one[0] in ("PUT", "DELETE")]
    count, asked = len(writes()), len(service.seen)
    for _ in range(10):
        connected.sync()
    assert len(writes()) == count
    # One request for each of the two calendars. A server that refuses each of its tokens is first tried with one more of them.
    trials = 2 * 5 if service.name == "gmx" else 0
    assert len(service.seen) - asked <= 10 * 2 + trials, service.seen[asked:]
    assert radicale.dav().listing(radicale.calendar) == before
    assert connected.dav().sync(connected.unified(), token)[:2] == ({}, set())


def test_icloud_stops_at_the_first_refusal(started, tmp_path, radicale):
    service = started(PROFILES["icloud"](radicale))
    gateway = started(Gateway(tmp_path, providers__icloud__url=service.url, sync__poll_interval="1s"))
    gateway.add_user()
    gateway.cli("account", "add", "ana", "--provider", "icloud", "--username", service.user, "--password-stdin", text=service.password + "\n")
    gateway.sync()
    service.password_is_good, service.refusals = False, 0
    wait_until(lambda: gateway.json("status", "ana")["accounts"][0]["state"] == "needs_sign_in", seconds=60, what="the refusal")
    seen = len(service.seen)
    gateway.run("sync", "ana")
    wait_until(lambda: True)
    assert service.refusals == 1 and len(service.seen) == seen
    refused = gateway.run("account", "add", "ana", "--provider", "icloud", "--username", "other@example.org", "--password-stdin", text="wrong\n")
    assert refused.returncode == 1 and "app-specific" in refused.stderr


def test_icloud_moves_the_account_to_another_partition(started, tmp_path, radicale):
    service = started(PROFILES["icloud"](radicale))
    gateway = started(Gateway(tmp_path, providers__icloud__url=service.url))
    gateway.add_user()
    radicale.dav().put(radicale.calendar + "a.ics", event("a"))
    gateway.cli("account", "add", "ana", "--provider", "icloud", "--username", service.user, "--password-stdin", text=service.password + "\n")
    sync_to_rest(gateway)
    before = gateway.dav().listing(gateway.unified())
    service.move()
    wait_until(lambda: gateway.run("sync", "ana", "--wait").returncode == 0 and gateway.json("status", "ana")["accounts"][0]["state"] == "healthy",
               seconds=60, what="the new partition")
    assert gateway.dav().listing(gateway.unified()) == before, "the same events under the same names"
    assert gateway.dav().put(place(gateway, "Work") + "b.ics", event("b")).status == 201
    sync_to_rest(gateway)
    assert set(held(radicale)) == {"a", "b"} and gateway.json("trash", "list", "ana") == []
    # Remembered: the next start goes there at once.
    gateway.stop()
    service.seen.clear()
    entrance = []
    heard, service.refuse = service.refuse, lambda exchange, *told: entrance.append(exchange.handler.server is service.server) or heard(exchange, *told)
    gateway.start()
    radicale.dav().put(radicale.calendar + "c.ics", event("c"))
    sync_to_rest(gateway)
    assert set(gateway.dav().by_uid(gateway.unified())) == {"a", "b", "c"}
    assert entrance and not any(entrance) and not service.complaints, (entrance, service.complaints)


def test_a_uid_that_lies_in_the_bin_of_nextcloud_is_refused_in_words_and_kept_here(started, tmp_path, radicale):
    """Its bin keeps the UID of what was deleted (nextcloud/server#30096): what is restored here can't go there before it is emptied."""
    service = started(PROFILES["nextcloud"](radicale))
    gateway = started(Gateway(tmp_path, sync__poll_interval="1h", sync__backoff_base="50ms", sync__backoff_max="500ms"))
    gateway.add_user()
    gateway.cli("account", "add", "ana", "--provider", "caldav", "--url", service.url, "--username", service.user, "--password-stdin",
                text=service.password + "\n")
    sync_to_rest(gateway)
    dav, work = gateway.dav(), place(gateway, "Work")
    assert dav.put(work + "a.ics", event("a")).status == 201
    sync_to_rest(gateway)
    assert dav.delete(work + "a.ics").status == 204
    sync_to_rest(gateway)
    assert held(radicale) == {} and service.bin == {"a"}
    service.refusals = 0
    refused = dav.put(work + "again.ics", event("a", "Once more"))
    assert refused.status == 403 and "400" in refused.text and service.refusals == 1, "who writes it is told, and it is not tried again"
    (binned,) = gateway.json("trash", "list", "ana")
    assert binned["uid"] == "a" and binned["summary"] == "Once more", "what was written is not lost"
    # Brought back where nobody waits for the answer: it is here, and a conflict tells that it is only here.
    gateway.cli("trash", "restore", "ana", "a")
    assert dav.put(work + "other.ics", event("other")).status == 201
    for _ in range(5):
        gateway.cli("sync", "ana", "--wait")
    assert set(held(radicale)) == {"other"}, "it holds up nothing else"
    assert service.refusals <= 3 and set(dav.by_uid(gateway.unified())) == {"a", "other"}
    (conflict,) = gateway.json("conflict", "list", "ana")
    assert conflict["uid"] == "a" and "400" in str(conflict), conflict
