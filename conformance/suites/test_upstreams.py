"""The same life with every upstream that can be had: Radicale, Xandikos, Cyrus IMAP, Radicale behind the Digest of Apache (MD5) and
of lighttpd (SHA-256), and another LinearTime."""

import re

import pytest
from harness.client import Dav
from harness.events import event, instances, series
from harness.gateway import Gateway
from harness.laws import nothing_is_doubled, sync_to_rest
from harness.process import wait_until
from harness.proxy import Fault, Proxy
from harness.system import ApacheDigest, Cyrus, LighttpdDigest
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


UPSTREAMS = ["radicale", "xandikos", "cyrus", "apache", "lighttpd", "lineartime"]


@pytest.fixture(params=UPSTREAMS)
def upstream(request, started, tmp_path):
    folder = tmp_path / "upstream"
    folder.mkdir()
    makers = {"radicale": lambda: Radicale(folder), "xandikos": lambda: Xandikos(folder), "cyrus": Cyrus, "apache": ApacheDigest, "lighttpd": LighttpdDigest,
              "lineartime": lambda: Second(folder)}
    return started(makers[request.param]())


def connect(gateway, upstream, calendar=None, url=None):
    # A LinearTime has the unified calendar beside the others: each of these is connected by itself.
    where = (url or upstream.url) + ((calendar or upstream.calendar) if upstream.name == "lineartime" else "")
    gateway.cli("account", "add", "ana", "--provider", "caldav", "--url", where, "--username", upstream.user, "--password-stdin",
                "--label", f"{upstream.name} {calendar or ''}", text=upstream.password + "\n")


@pytest.fixture
def connected(gateway, upstream):
    upstream.dav().put(upstream.calendar + "there.ics", event("there", "There first"))
    connect(gateway, upstream)
    sync_to_rest(gateway)
    return gateway


def place(gateway, upstream, is_home=False):
    for source in gateway.json("source", "list", "ana"):
        is_work = source["name"] == "Work" or upstream.name in ("xandikos", "apache", "lighttpd") and source["name"] != "Home"
        if source.get("account") and (source["name"] == "Home" if is_home else is_work):
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

    def renamed():
        # What stands in front of a server may answer before that does.
        done = connected.run("sync", "ana", "--wait").returncode == 0
        return done and "Renamed here" in held(upstream)["new"][0]

    wait_until(renamed, seconds=90, what="the end of the outage")
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


def test_a_move_between_two_calendars(gateway, upstream):
    """Cyrus has a UID once in an account, and a LinearTime stands for two accounts here: nothing is lost between, and nothing doubled."""
    home = upstream.calendar.rstrip("/").rsplit("/", 1)[0] + "/home/"
    upstream.dav().mkcalendar(home, "Home")
    connect(gateway, upstream)
    if upstream.name == "lineartime":
        connect(gateway, upstream, home)
    sync_to_rest(gateway)
    dav, work, other = gateway.dav(), place(gateway, upstream), place(gateway, upstream, is_home=True)
    for uid, text in (("wander", event("wander")), ("series", series("series"))):
        assert dav.put(f"{work}{uid}.ics", text).status == 201
    sync_to_rest(gateway)
    for uid in ("wander", "series"):
        moved = dav.request("MOVE", dav.href_of(work, uid), headers={"Destination": f"{gateway.url}{other}{uid}.ics"})
        assert moved.status in (201, 204), moved.text
    there = lambda: upstream.dav().by_uid(home)
    wait_until(lambda: gateway.sync() or {"wander", "series"} <= set(there()) and not held(upstream), seconds=90, what="the move")
    sync_to_rest(gateway)
    assert set(nothing_is_doubled("home", there())) == {"wander", "series"} and held(upstream) == {}
    assert instances(there()["series"][0]) == instances(series("series"))
    assert set(nothing_is_doubled("unified", dav.by_uid(gateway.unified()))) == {"wander", "series"}
    # And back by whoever works there.
    theirs = upstream.dav()
    text = theirs.get(theirs.href_of(home, "wander")).text
    assert theirs.delete(theirs.href_of(home, "wander")).status in (200, 204)
    assert theirs.put(upstream.calendar + "back.ics", text).status in (201, 204)
    sync_to_rest(gateway)
    assert set(dav.by_uid(work)) == {"wander"} and set(dav.by_uid(other)) == {"series"} and set(held(upstream)) == {"wander"}


def test_a_whole_linear_time_behind_another(gateway, started, tmp_path):
    """By its host alone: its unified calendar and those that are in it show the same events, and each stays one."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    second = started(Second(folder))
    second.dav().put(second.unified() + "u.ics", series("u"))
    second.dav().put(second.calendar + "w.ics", event("w"))
    gateway.cli("account", "add", "ana", "--provider", "caldav", "--url", second.url, "--username", "ana", "--password-stdin",
                "--label", "second", text=second.password + "\n")
    sync_to_rest(gateway)
    dav, theirs = gateway.dav(), second.dav()
    ours = lambda: nothing_is_doubled("here", dav.by_uid(gateway.unified()))
    there = lambda: nothing_is_doubled("there", theirs.by_uid(second.unified()))
    assert set(ours()) == {"u", "w"}
    assert dav.put(gateway.unified() + "n.ics", event("n")).status == 201
    assert dav.put(dav.href_of(gateway.unified(), "u"), series("u", "Edited here")).status == 204
    sync_to_rest(gateway)
    # The calendar that was made there belongs to its unified one only when somebody says so.
    assert set(ours()) == {"n", "u", "w"} and set(there()) == {"n", "u"}
    assert instances(there()["u"]) == instances(series("u", "Edited here"))
    assert theirs.put(theirs.href_of(second.unified(), "n"), event("n", "Edited there")).status == 204
    assert dav.delete(dav.href_of(gateway.unified(), "u")).status == 204
    sync_to_rest(gateway)
    assert set(ours()) == {"n", "w"} and "Edited there" in ours()["n"] and set(there()) == {"n"}
    tokens = dav.sync(gateway.unified())[2], theirs.sync(second.unified())[2]
    for _ in range(100):
        gateway.sync()
    assert dav.sync(gateway.unified(), tokens[0])[:2] == ({}, set()) and theirs.sync(second.unified(), tokens[1])[:2] == ({}, set())
    for each in (gateway, second):
        assert each.json("conflict", "list", "ana") == []


class Listening(Proxy):
    """Keeps what is asked and by which right."""

    def __init__(self, upstream):
        super().__init__(upstream)
        self.seen = []

    def choose(self, method):
        return super().choose(method) or Fault("heard", self.hear)

    def hear(self, exchange):
        self.seen.append((exchange.handler.command, exchange.handler.path, exchange.handler.headers.get("Authorization")))
        exchange.answer(*exchange.forward())


def test_a_quiet_source_costs_one_request_a_poll(gateway, started, upstream):
    listening = started(Listening(upstream))
    connect(gateway, upstream, url=listening.url)
    sync_to_rest(gateway)
    sources = len([one for one in gateway.json("source", "list", "ana") if one["account"]])
    listening.seen.clear()
    for _ in range(10):
        gateway.sync()
    asked = [(method, path) for method, path, _ in listening.seen]
    assert len(asked) == 10 * sources, asked


@pytest.mark.parametrize("maker, algorithm", [(ApacheDigest, "MD5"), (LighttpdDigest, "SHA-256")])
def test_digest_keeps_the_password_to_itself(gateway, started, maker, algorithm):
    server = started(maker())
    listening = started(Listening(server))
    challenge = Dav(server.url, None, None).get("/").header("www-authenticate")
    assert challenge.startswith("Digest ") and algorithm in challenge, challenge
    refused = gateway.run("account", "add", "ana", "--provider", "caldav", "--url", listening.url, "--username", server.user,
                          "--password-stdin", text="wrong\n")
    assert refused.returncode == 1 and "password" in refused.stderr
    assert len([one for *_, one in listening.seen if one]) == 1, "a refused password is not sent twice"
    listening.seen.clear()
    connect(gateway, server, url=listening.url)
    sync_to_rest(gateway)
    sent = [secret for *_, secret in listening.seen if secret]
    assert all(secret.startswith("Digest ") and f"algorithm={algorithm}" in secret.replace('"', "") for secret in sent), sent
    # A nonce serves many requests, each counted once (RFC 7616 3.4).
    counts = [(re.search(r'[ ,]nonce="([^"]*)"', secret)[1], re.search(r"nc=(\w+)", secret)[1]) for secret in sent]
    assert len(set(counts)) == len(counts) and len({nonce for nonce, _ in counts}) < len(counts), counts
    assert len([one for *_, one in listening.seen if not one]) == 1, "asked without credentials once, to be challenged"
