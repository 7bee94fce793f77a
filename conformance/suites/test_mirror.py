"""Two accounts behind, one calendar in front: what happens on one side happens on the other, once."""

import pytest
from harness.events import event, instances, series
from harness.process import wait_until


@pytest.fixture
def connected(gateway, radicale, xandikos):
    """A gateway with both accounts; each upstream holds an event of its own."""
    radicale.dav().put(radicale.calendar + "r.ics", event("from-radicale", "R"))
    xandikos.dav().put(xandikos.calendar + "x.ics", event("from-xandikos", "X"))
    gateway.connect(radicale)
    gateway.connect(xandikos)
    gateway.sync()
    return gateway


def collections(gateway):
    """Provider label -> path of its collection."""
    accounts = {account["id"]: account["label"] for account in gateway.json("account", "list", "ana")}
    return {
        accounts[source["account"]]: f"/dav/calendars/ana/{source['id']}/"
        for source in gateway.json("source", "list", "ana") if source.get("account")
    }


def test_every_event_of_both_is_in_the_unified_calendar_once(connected):
    found = connected.dav().by_uid(connected.unified())
    assert {uid: len(texts) for uid, texts in found.items()} == {"from-radicale": 1, "from-xandikos": 1}


def test_what_a_client_writes_reaches_the_right_upstream(connected, radicale, xandikos):
    dav = connected.dav()
    for upstream in (radicale, xandikos):
        path = collections(connected)[upstream.name] + f"new-{upstream.name}.ics"
        uid = f"new-{upstream.name}"
        assert dav.put(path, event(uid, "Created"), If_None_Match="*").status == 201
        connected.sync()
        assert uid in upstream.dav().by_uid(upstream.calendar)
        # In the unified calendar it is the same resource, and an edit there goes to the same place.
        unified = dav.href_of(connected.unified(), uid)
        current = dav.get(unified)
        assert dav.put(unified, event(uid, "Edited"), If_Match=current.etag).status == 204
        connected.sync()
        assert "SUMMARY:Edited" in upstream.dav().by_uid(upstream.calendar)[uid][0]
        assert dav.delete(unified).status == 204
        connected.sync()
        assert uid not in upstream.dav().by_uid(upstream.calendar)
    assert set(radicale.dav().by_uid(radicale.calendar)) == {"from-radicale"}
    assert set(xandikos.dav().by_uid(xandikos.calendar)) == {"from-xandikos"}


def test_a_new_event_in_the_unified_calendar_goes_to_the_default_source(connected, radicale, xandikos):
    source = next(s for s in connected.json("source", "list", "ana") if s.get("account") and s["id"] in collections(connected)["xandikos"])
    connected.cli("source", "set", "ana", source["id"], "--default")
    assert connected.dav().put(connected.unified() + "n.ics", event("n")).status == 201
    connected.sync()
    assert "n" in xandikos.dav().by_uid(xandikos.calendar)
    assert "n" not in radicale.dav().by_uid(radicale.calendar)


@pytest.mark.parametrize("name", ["radicale", "xandikos"])
def test_what_changes_at_an_upstream_reaches_the_client(connected, radicale, xandikos, name):
    upstream = {"radicale": radicale, "xandikos": xandikos}[name]
    theirs, dav, unified = upstream.dav(), connected.dav(), connected.unified()
    _, _, token = dav.sync(unified)

    assert theirs.put(upstream.calendar + "late.ics", event("late", "First")).status == 201
    connected.sync()
    changed, gone, token = dav.sync(unified, token)
    assert len(changed) == 1 and not gone
    assert "SUMMARY:First" in dav.get(next(iter(changed))).text

    assert theirs.put(upstream.calendar + "late.ics", event("late", "Second")).status in (200, 201, 204)
    connected.sync()
    changed, gone, token = dav.sync(unified, token)
    assert len(changed) == 1 and not gone
    assert "SUMMARY:Second" in dav.get(next(iter(changed))).text

    assert theirs.delete(upstream.calendar + "late.ics").status in (200, 204)
    connected.sync()
    again, gone, token = dav.sync(unified, token)
    assert not again and gone == set(changed)
    connected.sync()
    assert dav.sync(unified, token)[:2] == ({}, set()), "a quiet sync changes nothing"


@pytest.mark.parametrize("name", ["radicale", "xandikos"])
def test_a_series_with_moved_and_cancelled_instances_survives_both_ways(connected, radicale, xandikos, name):
    upstream = {"radicale": radicale, "xandikos": xandikos}[name]
    dav = connected.dav()
    path = collections(connected)[name] + "down.ics"
    assert dav.put(path, series("down")).status == 201
    assert upstream.dav().put(upstream.calendar + "up.ics", series("up", "Upstream")).status == 201
    connected.sync()
    assert instances(upstream.dav().by_uid(upstream.calendar)["down"][0]) == instances(series("down"))
    assert instances(dav.by_uid(connected.unified())["up"][0]) == instances(series("up", "Upstream"))
    # An edit of the client that cancels one more instance arrives as such.
    shorter = series("up", "Upstream").replace("EXDATE;", "EXDATE;TZID=Europe/Berlin:20261102T090000\r\nEXDATE;", 1)
    unified = dav.href_of(connected.unified(), "up")
    assert dav.put(unified, shorter).status == 204
    connected.sync()
    assert instances(upstream.dav().by_uid(upstream.calendar)["up"][0]) == instances(shorter)


def test_the_same_uid_in_both_accounts_is_one_resource(connected, radicale, xandikos):
    radicale.dav().put(radicale.calendar + "both.ics", event("both", "Same"))
    xandikos.dav().put(xandikos.calendar + "both.ics", event("both", "Same"))
    connected.sync()
    dav = connected.dav()
    assert len(dav.by_uid(connected.unified())["both"]) == 1
    unified = dav.href_of(connected.unified(), "both")
    assert dav.put(unified, event("both", "Changed")).status == 204
    connected.sync()
    for upstream in (radicale, xandikos):
        assert "SUMMARY:Changed" in upstream.dav().by_uid(upstream.calendar)["both"][0]
    assert dav.delete(unified).status == 204
    connected.sync()
    for upstream in (radicale, xandikos):
        assert "both" not in upstream.dav().by_uid(upstream.calendar)


def test_a_change_on_each_side_of_one_event_keeps_both(connected, radicale):
    dav, path = connected.dav(), collections(connected)["radicale"] + "merge.ics"
    assert dav.put(path, event("merge", "Before")).status == 201
    connected.sync()
    theirs = radicale.dav()
    href = theirs.href_of(radicale.calendar, "merge")
    radicale.stop()
    assert dav.put(path, event("merge", "Renamed by the client")).status == 204
    radicale.start()
    theirs.close()
    assert theirs.put(href, event("merge", "Before", extra="LOCATION:Moved by the provider\r\n")).status in (200, 201, 204)
    connected.sync()
    for text in (dav.get(path).text, theirs.get(href).text):
        assert "SUMMARY:Renamed by the client" in text and "LOCATION:Moved by the provider" in text


def test_a_move_between_collections_moves_it_between_providers(connected, radicale, xandikos):
    dav, places = connected.dav(), collections(connected)
    assert dav.put(places["radicale"] + "wander.ics", event("wander")).status == 201
    connected.sync()
    moved = dav.request("MOVE", places["radicale"] + "wander.ics", headers={"Destination": connected.url + places["xandikos"] + "wander.ics"})
    assert moved.status in (201, 204)
    connected.sync()
    assert "wander" not in radicale.dav().by_uid(radicale.calendar)
    assert "wander" in xandikos.dav().by_uid(xandikos.calendar)
    assert len(dav.by_uid(connected.unified())["wander"]) == 1


def test_nothing_is_written_upstream_when_nothing_changed(connected, radicale, xandikos):
    before = radicale.dav().listing(radicale.calendar), xandikos.dav().listing(xandikos.calendar)
    token = connected.dav().sync(connected.unified())[2]
    for _ in range(5):
        connected.sync()
    assert (radicale.dav().listing(radicale.calendar), xandikos.dav().listing(xandikos.calendar)) == before
    assert connected.dav().sync(connected.unified(), token)[:2] == ({}, set())


def test_polling_brings_changes_without_being_asked(started, tmp_path, radicale):
    from harness.gateway import Gateway

    gateway = started(Gateway(tmp_path, sync__poll_interval="1s"))
    gateway.add_user()
    gateway.connect(radicale)
    gateway.sync()
    radicale.dav().put(radicale.calendar + "p.ics", event("polled"))
    wait_until(lambda: "polled" in gateway.dav().by_uid(gateway.unified()), what="the poll")


def test_several_collections_of_an_account_are_several_sources(gateway, radicale):
    radicale.dav().mkcalendar("/ana/home/", "Home")
    radicale.dav().put("/ana/home/h.ics", event("at-home"))
    radicale.dav().put(radicale.calendar + "w.ics", event("at-work"))
    gateway.connect(radicale)
    gateway.sync()
    assert len([s for s in gateway.json("source", "list", "ana") if s.get("account")]) == 2
    assert set(gateway.dav().by_uid(gateway.unified())) == {"at-home", "at-work"}
    names = {dav_name(gateway, s) for s in gateway.json("source", "list", "ana") if s.get("account")}
    assert names == {"Home", "Work"}


def dav_name(gateway, source):
    answer = gateway.dav().propfind(f"/dav/calendars/ana/{source['id']}/", "<D:displayname/>")
    return next(iter(answer.responses().values())).findtext(".//{DAV:}displayname")
