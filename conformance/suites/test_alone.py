"""A person without any account uses the server as their only calendar."""

from harness.events import all_day, event, instances, series
from harness.process import wait_until


def test_create_read_edit_delete_and_sync(gateway):
    dav, home = gateway.dav(), gateway.unified()
    _, _, token = dav.sync(home)

    created = dav.put(home + "one.ics", event("one@example.org"), If_None_Match="*")
    assert created.status == 201 and created.etag
    assert dav.put(home + "one.ics", event("one@example.org"), If_None_Match="*").status == 412
    read = dav.get(home + "one.ics")
    assert read.text == event("one@example.org"), "octets are kept"
    assert read.etag == created.etag

    edited = dav.put(home + "one.ics", event("one@example.org", summary="Später – ☕"), If_Match=created.etag)
    assert edited.status == 204 and edited.etag != created.etag
    assert dav.put(home + "one.ics", event("one@example.org"), If_Match=created.etag).status == 412
    changed, gone, token2 = dav.sync(home, token)
    assert changed == {home + "one.ics": edited.etag} and not gone and token2 != token

    assert dav.delete(home + "one.ics", If_Match=created.etag).status == 412
    assert dav.delete(home + "one.ics", If_Match=edited.etag).status == 204
    assert dav.get(home + "one.ics").status == 404
    changed, gone, _ = dav.sync(home, token2)
    assert not changed and gone == {home + "one.ics"}


def test_a_series_keeps_its_meaning(gateway):
    dav, home = gateway.dav(), gateway.unified()
    assert dav.put(home + "weekly.ics", series("weekly")).status == 201
    assert dav.put(home + "day.ics", all_day("day")).status == 201
    assert instances(dav.get(home + "weekly.ics").text) == instances(series("weekly"))
    assert len(instances(series("weekly"))) == 9


def test_a_uid_is_used_once(gateway):
    dav, home = gateway.dav(), gateway.unified()
    assert dav.put(home + "a.ics", event("same")).status == 201
    refused = dav.put(home + "b.ics", event("same"))
    assert refused.status in (403, 409)
    assert refused.precondition() == ["{urn:ietf:params:xml:ns:caldav}no-uid-conflict"]
    assert dav.get(home + "b.ics").status == 404


def test_everything_is_there_after_a_restart(gateway):
    dav, home = gateway.dav(), gateway.unified()
    for n in range(30):
        assert dav.put(f"{home}{n}.ics", event(f"uid-{n}")).status == 201
    before, _, token = dav.sync(home)
    dav.close()
    assert gateway.stop() == 0, gateway.output()
    gateway.start()
    assert dav.listing(home) == before
    assert dav.sync(home, token)[0] == {}, "a token outlives a restart"


def test_a_kill_loses_nothing_that_was_acknowledged(gateway):
    dav, home = gateway.dav(), gateway.unified()
    for n in range(20):
        assert dav.put(f"{home}{n}.ics", event(f"uid-{n}")).status == 201
    gateway.kill()
    dav.close()
    gateway.start()
    assert len(dav.listing(home)) == 20


def test_a_calendar_of_ones_own(gateway):
    dav = gateway.dav()
    mine = "/dav/calendars/ana/garden/"
    dav.mkcalendar(mine, "Garden")
    todo = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y//EN\r\nBEGIN:VTODO\r\nUID:t\r\nDTSTAMP:20261101T000000Z\r\nSUMMARY:Water\r\nEND:VTODO\r\nEND:VCALENDAR\r\n"
    assert dav.put(mine + "t.ics", todo).status == 201
    assert dav.put(gateway.unified() + "t.ics", todo).status == 403
    assert dav.delete(mine).status == 204
    assert dav.propfind(mine).status == 404


def test_export_and_import(gateway, tmp_path):
    dav, home = gateway.dav(), gateway.unified()
    dav.put(home + "weekly.ics", series("weekly"))
    dav.put(home + "one.ics", event("one"))
    file = tmp_path / "all.ics"
    file.write_text(gateway.cli("export", "ana"), newline="")
    gateway.add_user("ben")
    gateway.cli("import", "ben", str(file))
    theirs = wait_until(lambda: gateway.dav("ben").by_uid(gateway.unified("ben")), what="the import")
    assert set(theirs) == {"weekly", "one"}
    assert instances(theirs["weekly"][0]) == instances(series("weekly"))


def test_nobody_sees_anothers_calendar(gateway):
    gateway.add_user("ben")
    dav = gateway.dav()
    dav.put(gateway.unified() + "one.ics", event("one"))
    stranger = gateway.dav("ben")
    assert stranger.get(gateway.unified() + "one.ics").status in (403, 404)
    assert stranger.put(gateway.unified() + "two.ics", event("two")).status in (403, 404)
    assert stranger.propfind("/dav/calendars/ana/").status in (403, 404)
