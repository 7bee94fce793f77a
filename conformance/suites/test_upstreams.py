"""The same life with every upstream that can be had: Radicale, Xandikos, Cyrus IMAP, Radicale behind Apache's Digest, and
another LinearTime."""

import pytest
from harness.client import Dav
from harness.events import event, instances, series
from harness.gateway import Gateway
from harness.laws import nothing_is_doubled, sync_to_rest
from harness.process import wait_until
from harness.system import ApacheDigest, Cyrus
from harness.upstream import Radicale, Xandikos


class Second(Gateway):
    """A LinearTime as somebody's upstream."""

    name, user = "lineartime", "ana"
    calendar = "/dav/calendars/ana/work/"

    def start(self):
        is_first = not self.data.exists()
        super().start()
        if is_first:
            self.add_user()
            self.dav().mkcalendar(self.calendar, "Work")
        return self

    def dav(self, user="ana"):
        return Dav(self.url, user, self.password)


UPSTREAMS = ["radicale", "xandikos", "cyrus", "apache", "lineartime"]


@pytest.fixture(params=UPSTREAMS)
def upstream(request, started, tmp_path):
    folder = tmp_path / "upstream"
    folder.mkdir()
    makers = {"radicale": lambda: Radicale(folder), "xandikos": lambda: Xandikos(folder), "cyrus": Cyrus, "apache": ApacheDigest,
              "lineartime": lambda: Second(folder)}
    return started(makers[request.param]())


@pytest.fixture
def connected(gateway, upstream):
    upstream.dav().put(upstream.calendar + "there.ics", event("there", "There first"))
    where = upstream.url + upstream.calendar if upstream.name == "lineartime" else upstream.url
    gateway.cli("account", "add", "ana", "--provider", "caldav", "--url", where, "--username", upstream.user, "--password-stdin",
                "--label", upstream.name, text=upstream.password + "\n")
    sync_to_rest(gateway)
    return gateway


def place(gateway, upstream):
    for source in gateway.json("source", "list", "ana"):
        if source.get("account") and (source["name"] == "Work" or upstream.name in ("xandikos", "apache")):
            return f"/dav/calendars/ana/{source['id']}/"
    raise AssertionError("the calendar is not among the sources")


def held(upstream):
    return upstream.dav().by_uid(upstream.calendar)


def test_create_edit_delete_one_instance_conflict_and_outage(connected, upstream):
    dav, work = connected.dav(), place(connected, upstream)
    assert "there" in dav.by_uid(connected.unified())
    assert dav.put(work + "new.ics", event("new", "Created"), If_None_Match="*").status == 201
    assert dav.put(work + "series.ics", series("series")).status == 201
    sync_to_rest(connected)
    assert "SUMMARY:Created" in held(upstream)["new"][0]
    assert instances(held(upstream)["series"][0]) == instances(series("series"))
    assert dav.put(dav.href_of(work, "new"), event("new", "Edited")).status == 204
    shorter = series("series").replace("EXDATE;", "EXDATE;TZID=Europe/Berlin:20261102T090000\r\nEXDATE;", 1)
    assert dav.put(dav.href_of(work, "series"), shorter).status == 204
    sync_to_rest(connected)
    assert "SUMMARY:Edited" in held(upstream)["new"][0]
    assert instances(held(upstream)["series"][0]) == instances(shorter)
    # The other way.
    theirs = upstream.dav()
    assert theirs.put(upstream.calendar + "late.ics", event("late", "First")).status in (201, 204)
    href = theirs.href_of(upstream.calendar, "there")
    assert theirs.put(href, event("there", "Changed there")).status in (200, 201, 204)
    sync_to_rest(connected)
    found = dav.by_uid(connected.unified())
    assert "late" in found and "Changed there" in found["there"][0]
    # Both sides at once, while nobody answers.
    upstream_href = theirs.href_of(upstream.calendar, "new")
    assert theirs.put(upstream_href, event("new", "Edited", extra="LOCATION:There\r\n")).status in (200, 201, 204)
    theirs.close()
    upstream.stop()
    assert dav.put(dav.href_of(work, "new"), event("new", "Renamed here")).status == 204
    upstream.start()
    wait_until(lambda: connected.sync() or "Renamed here" in held(upstream)["new"][0], seconds=90, what="the end of the outage")
    sync_to_rest(connected)
    for text in (held(upstream)["new"][0], dav.by_uid(connected.unified())["new"][0]):
        assert "SUMMARY:Renamed here" in text and "LOCATION:There" in text
    assert dav.delete(dav.href_of(work, "late")).status == 204
    theirs = upstream.dav()
    assert theirs.delete(theirs.href_of(upstream.calendar, "there")).status in (200, 204)
    sync_to_rest(connected)
    assert "late" not in held(upstream) and "there" not in dav.by_uid(connected.unified())
    ours, there = nothing_is_doubled("unified", dav.by_uid(connected.unified())), nothing_is_doubled(upstream.name, held(upstream))
    assert set(ours) == set(there)
    assert {uid: instances(text) for uid, text in ours.items()} == {uid: instances(text) for uid, text in there.items()}


def test_a_hundred_polls_bring_no_echo(connected, upstream):
    before, token = upstream.dav().listing(upstream.calendar), connected.dav().sync(connected.unified())[2]
    for _ in range(100 if upstream.name == "lineartime" else 10):
        connected.sync()
    assert upstream.dav().listing(upstream.calendar) == before
    assert connected.dav().sync(connected.unified(), token)[:2] == ({}, set())
