"""A provider that suddenly lacks much: nothing is deleted here before a second listing agrees and a person has said so, and people hear of it."""

import json
import re
import urllib.request

from harness.alerts import Listener
from harness.disguise import Disguise
from harness.events import event
from harness.gateway import Gateway
from harness.process import wait_until
from harness.shell import fails, plain

FAST = {"sync__poll_interval": "500ms", "sync__backoff_base": "50ms", "sync__backoff_max": "500ms"}
SLOW = FAST | {"sync__poll_interval": "1h"}


def fill(upstream, count, first=0):
    dav = upstream.dav()
    for n in range(first, first + count):
        assert dav.put(f"{upstream.calendar}{n}.ics", event(f"u{n}", f"Event {n}")).status == 201


def empty(upstream, count, first=0):
    dav = upstream.dav()
    for n in range(first, first + count):
        assert dav.delete(f"{upstream.calendar}{n}.ics").status in (200, 204)


def account(gateway):
    (one,) = gateway.json("status", "ana")["accounts"]
    return one


def events(gateway):
    """What the unified calendar has from the provider: notices aside."""
    return {uid for uid in gateway.dav().by_uid(gateway.unified()) if uid.startswith("u")}


def notices(gateway):
    found = gateway.dav().by_uid(gateway.unified())
    return [texts[0] for uid, texts in found.items() if uid.startswith("lineartime-notice")]


def held(gateway):
    return wait_until(lambda: account(gateway) if "held" in (account(gateway)["reason"] or "") else None, what="the brake")


def source(gateway):
    return next(one["id"] for one in gateway.json("source", "list", "ana") if one["account"])


def metrics(gateway):
    with urllib.request.urlopen(gateway.url + "/metrics", timeout=10) as page:
        return page.read().decode()


def test_what_is_held_is_told_everywhere_and_a_person_has_the_last_word(started, tmp_path, radicale):
    listener = started(Listener())
    listener.busy = 1  # the first alert finds nobody, and is told again
    # Looked at when it is said: what is deleted little by little between two looks is no mass.
    gateway = started(Gateway(tmp_path, alerts__webhook_url=listener.url, **SLOW))
    (tmp_path / "quiet").mkdir()
    quiet = started(Gateway(tmp_path / "quiet", alerts__notices="false", **SLOW))
    fill(radicale, 20)
    for each in (gateway, quiet):
        each.add_user()
        each.connect(radicale)
        each.sync()
        assert len(events(each)) == 20
    _, _, token = gateway.dav().sync(gateway.unified())
    id = source(gateway)
    fails(gateway, "source", "set", "ana", id, "--confirm-deletions", says="no deletions are held")
    empty(radicale, 11)

    for each in (gateway, quiet):
        stopped = each.run("sync", "ana", "--wait")
        assert stopped.returncode == 1 and "11 of 20 events are gone" in stopped.stderr and "--confirm-deletions" in stopped.stderr
    state = held(gateway)
    held(quiet)
    assert state["state"] == "degraded" and "11 of 20 events" in state["reason"] and "--confirm-deletions" in state["act"]
    assert f"source set {id} --confirm-deletions" in plain(gateway, "status", "ana")
    gateway.run("sync", "ana", "--full", "--wait")
    assert len(events(gateway)) == 20 and gateway.dav().sync(gateway.unified(), token)[1] == set(), "clients see nothing of it"
    # What is new there and here goes on.
    fill(radicale, 1, first=50)
    for each in (gateway, quiet):
        each.run("sync", "ana", "--wait")
        assert "u50" in events(each), "a new event, in spite of the brake"

    wait_until(lambda: listener.told, seconds=60, what="the alert")
    path, kind, told = listener.told[0]
    assert path == "/hooks/geheim" and kind == "application/json"
    assert (told["event"], told["user"], told["label"], told["state"], told["before"]) == ("account_state", "ana", "radicale", "degraded", "healthy")
    assert told["account"] == state["id"] and "11 of 20" in told["reason"] and "confirm" in told["act"] and told["at"].endswith("Z")
    assert listener.busy == 0 and len(listener.told) == 1, "told again until it was taken, and then no more"
    assert "geheim" not in gateway.output(), "the address may hold a secret"
    (notice,) = wait_until(lambda: notices(gateway), what="the notice")
    assert "DTSTART;VALUE=DATE:" in notice and "radicale waits for your word" in notice.replace("\r\n ", "") and "TRANSP:TRANSPARENT" in notice
    assert "lineartime-notice" not in json.dumps(sorted(radicale.dav().by_uid(radicale.calendar))), "it goes to no provider"
    assert re.search(r'lineartime_account_state\{[^}]*state="degraded"[^}]*\} 1', metrics(gateway))
    health = gateway.dav().request("GET", "/api/v1/health")
    assert health.status == 200 and "degraded" in health.text

    gateway.add_user("ben")
    fails(gateway, "source", "set", "ben", id, "--confirm-deletions", says="no calendar")
    assert plain(gateway, "source", "set", "ana", id, "--confirm-deletions")
    wait_until(lambda: events(gateway) == {f"u{n}" for n in range(11, 20)} | {"u50"}, what="the deletions")
    assert {record["uid"] for record in gateway.json("trash", "list", "ana")} == {f"u{n}" for n in range(11)}
    assert account(gateway)["state"] == "healthy"
    assert len(events(quiet)) == 21 and notices(quiet) == [], "another's word is another's, and notices can be switched off"
    wait_until(lambda: len(listener.told) == 2, seconds=60, what="the good news")
    assert listener.states() == [("healthy", "degraded"), ("degraded", "healthy")]
    wait_until(lambda: notices(gateway) == [], what="the end of the notice")
    assert set(radicale.dav().by_uid(radicale.calendar)) == {f"u{n}" for n in range(11, 20)} | {"u50"}


def test_the_larger_of_count_and_share_is_the_limit(started, tmp_path, radicale):
    gateway = started(Gateway(tmp_path, sync__mass_delete_guard="{ count = 3, fraction = 0.5 }", **SLOW))
    gateway.add_user()
    gateway.connect(radicale)
    fill(radicale, 12)
    gateway.sync()
    for gone, left in ((6, "six of twelve are not more than half"), (3, "three of six are not more than three")):
        empty(radicale, gone, first=12 - len(events(gateway)))
        gateway.sync()
        assert len(events(gateway)) == gone, left
    fill(radicale, 3, first=20)
    gateway.sync()
    empty(radicale, 3, first=20)
    empty(radicale, 1, first=9)
    gateway.run("sync", "ana", "--wait")
    assert "4 of 6 events" in held(gateway)["reason"] and len(events(gateway)) == 6, "four of six are more than three and more than half"
    # What was held comes back there: nothing is held any more, and nobody had to say anything.
    fill(radicale, 1, first=9)
    fill(radicale, 3, first=20)
    gateway.sync()
    assert account(gateway)["state"] == "healthy" and len(events(gateway)) == 6
    assert {record["uid"] for record in gateway.json("trash", "list", "ana")} == {f"u{n}" for n in range(9)}


class Liar(Disguise):
    """Lists nothing, or less than it has, for so many requests; single objects it gives."""

    def __init__(self, upstream):
        super().__init__(upstream)
        self.lies, self.told, self.keep = 0, 0, 0

    def change(self, exchange, status, headers, body):
        handler = exchange.handler
        is_listing = handler.command == "PROPFIND" and handler.headers.get("Depth") == "1" or self.is_sync(exchange)
        if self.lies > 0 and is_listing and handler.path == self.calendar and status == 207:
            self.lies, self.told = self.lies - 1, self.told + 1
            parts = re.split(rb"(?=<(?:\w+:)?response>)", body)
            is_member = [b".ics" in part for part in parts]
            kept = [part for part, member in zip(parts, is_member) if not member]
            members = [part for part, member in zip(parts, is_member) if member][: self.keep]
            end = re.search(rb"(<(?:\w+:)?sync-token>.*?)?</(?:\w+:)?multistatus>", body, re.S).group()
            body = b"".join(kept[:-1] if kept and kept[-1].strip().endswith(b"multistatus>") and len(kept) > 1 else kept[:1])
            body = body.replace(end, b"") + b"".join(part.replace(end, b"") for part in members) + end
        return status, headers, body


def test_a_listing_that_lies_deletes_nothing(started, tmp_path, radicale):
    """fault 21: a full listing has fewer members than there are, or none."""
    liar = started(Liar(radicale))
    gateway = started(Gateway(tmp_path, **SLOW))
    gateway.add_user()
    fill(radicale, 20)
    gateway.connect(liar)
    gateway.sync()
    for keep in (0, 5):
        liar.keep, liar.lies, liar.told = keep, 2, 0
        for _ in range(3):
            gateway.run("sync", "ana", "--full", "--wait")
        assert liar.told == 2, "the lie was heard"
        assert len(events(gateway)) == 20
        gateway.cli("sync", "ana", "--full", "--wait")
        assert account(gateway)["state"] == "healthy" and len(events(gateway)) == 20
    assert len(radicale.dav().by_uid(radicale.calendar)) == 20 and gateway.json("trash", "list", "ana") == []
