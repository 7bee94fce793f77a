"""CalDAV, where an answer is lost, a server rewrites, or nobody can be reached at all."""

import re

import pytest
from harness.disguise import Disguise, ICloud, without
from harness.events import event
from harness.gateway import Gateway
from harness.laws import both_sides_are_equal, sync_to_rest
from harness.process import wait_until
from harness.proxy import Fault, Proxy

FAST = {"sync__poll_interval": "1h", "sync__backoff_base": "50ms", "sync__backoff_max": "500ms", "sync__write_through": "200ms"}


def connected(started, tmp_path, upstream, texts, **settings):
    """A gateway with one account at `upstream`, which holds these events."""
    for name, text in texts.items():
        assert upstream.dav().put(f"{upstream.calendar}{name}.ics", text).status == 201
    gateway = started(Gateway(tmp_path, **FAST | settings))
    gateway.add_user()
    gateway.connect(upstream)
    gateway.sync()
    source = next(one for one in gateway.json("source", "list", "ana") if one["account"])
    gateway.cli("source", "set", "ana", source["id"], "--default")
    return gateway


def answering(status, methods=None):
    return Fault(f"answers {status}", lambda exchange: exchange.answer(status, [("Content-Type", "text/plain")], b"not now"), methods)


def sync_when_it_is_back(gateway):
    # A try that was under way may still fail.
    wait_until(lambda: gateway.run("sync", "ana", "--wait").returncode == 0, seconds=60, what="the service again")
    sync_to_rest(gateway)


@pytest.mark.parametrize("status", [400, 403, 405])
def test_a_service_that_refuses_everything_has_refused_no_change(started, tmp_path, radicale, status):
    proxy = started(Proxy(radicale))
    gateway = connected(started, tmp_path, proxy, {f"{n}": event(f"u{n}", "Before") for n in range(3)})
    dav = gateway.dav()
    hrefs = [dav.href_of(gateway.unified(), f"u{n}") for n in range(3)]
    proxy.hurt(answering(status))
    made = dav.put(gateway.unified() + "made.ics", event("made", "Made"))
    edited = dav.put(hrefs[0], event("u0", "Edited"))
    deleted = dav.delete(hrefs[1])
    wait_until(lambda: proxy.strikes() >= 3, seconds=30, what="a few strikes")
    gateway.run("sync", "ana")
    proxy.heal()
    sync_when_it_is_back(gateway)
    assert [made.status, edited.status, deleted.status] == [201, 204, 204]
    held = both_sides_are_equal(gateway, [radicale])
    assert set(held) == {"u0", "u2", "made"} and "SUMMARY:Edited" in held["u0"]
    assert gateway.json("conflict", "list", "ana") == []


def test_a_rename_there_with_an_edit_there_before_our_push(started, tmp_path, radicale):
    gateway = connected(started, tmp_path, radicale, {"0": event("u0", "Before"), "1": event("u1", "Other")})
    dav, theirs = gateway.dav(), radicale.dav()
    moved = theirs.request("MOVE", radicale.calendar + "0.ics", headers={"Destination": f"{radicale.url}{radicale.calendar}elsewhere.ics"})
    assert moved.status in (201, 204)
    assert theirs.put(radicale.calendar + "elsewhere.ics", event("u0", "Before", extra="LOCATION:There\r\n")).status in (201, 204)
    href = dav.href_of(gateway.unified(), "u0")
    assert dav.put(href, event("u0", "Edited")).status == 204
    sync_to_rest(gateway)
    held = both_sides_are_equal(gateway, [radicale])
    assert "SUMMARY:Edited" in held["u0"] and "LOCATION:There" in held["u0"], held["u0"]
    assert gateway.json("conflict", "list", "ana") == []


class Forgetful(Disguise):
    """Drops what it does not know, and says no tag on PUT; its answers to writes may get lost."""

    loses, away = False, False

    def carry(self, exchange):
        if exchange.handler.command == "PUT":
            exchange.body = re.sub(rb"X-OURS:[^\r]*\r\n", b"", exchange.body)
        if self.loses and exchange.handler.command == "PUT":
            exchange.forward()
            self.seen.append(("lost", exchange.handler.path))
            self.loses, self.away = False, True
            return exchange.cut()
        if self.away:
            return exchange.cut()
        return super().carry(exchange)

    def change(self, exchange, status, headers, body):
        return status, headers if exchange.handler.command != "PUT" else without(headers, "etag"), body


def lost_put(upstream):
    return sum(1 for method, _ in upstream.seen if method == "lost")


def test_an_edit_whose_answer_was_lost_at_a_server_that_rewrites_and_then_a_deletion(started, tmp_path, radicale):
    upstream = started(Forgetful(radicale))
    gateway = connected(started, tmp_path, upstream, {"0": event("u0", "Before"), "1": event("u1", "Other")}, sync__backoff_base="2s", sync__backoff_max="2s")
    dav = gateway.dav()
    href = dav.href_of(gateway.unified(), "u0")
    upstream.loses = True
    assert dav.put(href, event("u0", "Edited", extra="X-OURS:kept\r\n")).status == 204
    wait_until(lambda: lost_put(upstream), what="the lost answer")
    assert dav.delete(href).status == 204
    upstream.away = False
    sync_to_rest(gateway)
    assert "u0" not in dav.by_uid(gateway.unified()), "it was deleted, and nobody else has touched it"
    assert "u0" not in radicale.dav().by_uid(radicale.calendar)
    assert gateway.json("conflict", "list", "ana") == []


def test_a_new_event_whose_answer_was_lost_at_a_server_that_rewrites(started, tmp_path, radicale):
    upstream = started(Forgetful(radicale))
    gateway = connected(started, tmp_path, upstream, {"1": event("u1", "Other")}, sync__backoff_base="2s", sync__backoff_max="2s")
    dav = gateway.dav()
    upstream.loses = True
    assert dav.put(gateway.unified() + "n.ics", event("n", "New", extra="X-OURS:kept\r\nLAST-MODIFIED:20261101T000000Z\r\n")).status == 201
    wait_until(lambda: lost_put(upstream), what="the lost answer")
    assert dav.put(gateway.unified() + "n.ics", event("n", "New", extra="X-OURS:kept\r\nLOCATION:Here\r\n")).status == 204
    upstream.away = False
    sync_to_rest(gateway)
    text = dav.by_uid(gateway.unified())["n"][0]
    assert "X-OURS:kept" in text and "LOCATION:Here" in text
    assert gateway.json("conflict", "list", "ana") == []


def test_a_move_whose_deletion_is_refused_keeps_what_was_edited_since(started, tmp_path, radicale, xandikos):
    proxy = started(Proxy(radicale))
    gateway = connected(started, tmp_path, proxy, {"0": event("u0", "Before"), "1": event("u1", "Other")})
    gateway.connect(xandikos)
    sync_to_rest(gateway)
    dav = gateway.dav()
    accounts = {one["id"]: one["label"] for one in gateway.json("account", "list", "ana")}
    places = {accounts[one["account"]]: f"/dav/calendars/ana/{one['id']}/" for one in gateway.json("source", "list", "ana") if one["account"]}
    href = dav.href_of(places["radicale"], "u0")
    proxy.hurt("cut_before")
    moved = dav.request("MOVE", href, headers={"Destination": gateway.url + places["xandikos"] + "u0.ics"})
    assert moved.status in (201, 204)
    assert dav.put(places["xandikos"] + "u0.ics", event("u0", "Edited after the move")).status == 204
    proxy.hurt(answering(403, ("DELETE",)))
    for _ in range(2):
        gateway.run("sync", "ana", "--wait")
    text = dav.by_uid(gateway.unified())["u0"][0]
    assert "SUMMARY:Edited after the move" in text, text
    assert "SUMMARY:Edited after the move" in xandikos.dav().by_uid(xandikos.calendar)["u0"][0]


def test_a_deletion_here_of_what_was_renamed_there(started, tmp_path, radicale):
    gateway = connected(started, tmp_path, radicale, {"0": event("u0", "Before"), "1": event("u1", "Other")})
    dav, theirs = gateway.dav(), radicale.dav()
    moved = theirs.request("MOVE", radicale.calendar + "0.ics", headers={"Destination": f"{radicale.url}{radicale.calendar}elsewhere.ics"})
    assert moved.status in (201, 204)
    assert dav.delete(dav.href_of(gateway.unified(), "u0")).status == 204
    sync_to_rest(gateway)
    assert "u0" not in dav.by_uid(gateway.unified())
    assert "u0" not in theirs.by_uid(radicale.calendar)


class Limited(Disguise):
    """Has had enough after a listing, and says so with a 403 that explains nothing."""

    armed, angry, refusals = False, False, 0

    def refuse(self, exchange, method, path):
        if self.angry:
            self.refusals += 1
            return 403, [("Content-Type", "text/plain")], b"Forbidden"

    def change(self, exchange, status, headers, body):
        if self.armed and self.is_sync(exchange):
            self.armed, self.angry = False, True
        return status, headers, body


def test_a_limit_in_the_middle_of_a_read_sets_nothing_aside(started, tmp_path, radicale):
    upstream = started(Limited(radicale))
    gateway = connected(started, tmp_path, upstream, {"0": event("u0", "Before")})
    theirs = radicale.dav()
    for n in range(1, 61):
        assert theirs.put(f"{radicale.calendar}{n}.ics", event(f"u{n}", "New")).status == 201
    upstream.armed = True
    gateway.run("sync", "ana", "--wait")
    assert upstream.refusals < 20, f"{upstream.refusals} requests to a server that has had enough"
    upstream.angry = False
    sync_when_it_is_back(gateway)
    assert len(gateway.dav().by_uid(gateway.unified())) == 61


def test_a_twin_whose_leading_account_is_removed_is_what_its_own_server_holds(started, tmp_path, radicale, xandikos):
    gateway = connected(started, tmp_path, radicale, {"0": event("u0", "At the first")})
    assert xandikos.dav().put(xandikos.calendar + "0.ics", event("u0", "At the second", extra="LOCATION:There\r\n")).status == 201
    gateway.connect(xandikos)
    sync_to_rest(gateway)
    dav = gateway.dav()
    assert "SUMMARY:At the first" in dav.by_uid(gateway.unified())["u0"][0]
    first = next(one["id"] for one in gateway.json("account", "list", "ana") if one["label"] == "radicale")
    gateway.cli("account", "remove", "ana", first, "--yes")
    sync_to_rest(gateway)
    assert "SUMMARY:At the second" in xandikos.dav().by_uid(xandikos.calendar)["u0"][0]
    assert "SUMMARY:At the second" in dav.by_uid(gateway.unified())["u0"][0]


@pytest.mark.parametrize("patience", ["200ms", "10s"])
def test_a_limit_between_the_halves_of_a_move_at_icloud_leaves_nothing_behind(started, tmp_path, radicale, patience):
    service = started(ICloud(radicale))
    theirs = radicale.dav()
    theirs.mkcalendar("/ana/home/", "Home")
    assert theirs.put(radicale.calendar + "0.ics", event("u0", "Wanders")).status == 201
    gateway = started(Gateway(tmp_path, **FAST | {"sync__write_through": patience}, providers__icloud__url=service.url))
    gateway.add_user()
    gateway.cli("account", "add", "ana", "--provider", "icloud", "--username", service.user, "--password-stdin", text=service.password + "\n")
    sync_to_rest(gateway)
    dav = gateway.dav()
    places = {one["name"]: f"/dav/calendars/ana/{one['id']}/" for one in gateway.json("source", "list", "ana") if one["account"]}
    service.hurt(answering(403, ("PUT",)))
    moved = dav.request("MOVE", dav.href_of(places["Work"], "u0"), headers={"Destination": gateway.url + places["Home"] + "u0.ics"})
    wait_until(service.strikes, seconds=30, what="the limit")
    gateway.run("sync", "ana")
    service.heal()
    sync_when_it_is_back(gateway)
    assert "u0" in dav.by_uid(gateway.unified()), f"answered {moved.status}, and it is nowhere"
    where = "/ana/home/" if moved.status < 300 else radicale.calendar
    assert "u0" in theirs.by_uid(where), f"{moved.status}: it left one calendar there and never came to the other"


@pytest.mark.parametrize("patience", ["200ms", "10s"])
def test_a_move_to_where_it_is_refused_deletes_nothing_where_it_was(started, tmp_path, radicale, xandikos, patience):
    proxy = started(Proxy(xandikos))
    gateway = connected(started, tmp_path, radicale, {"0": event("u0", "Wanders"), "1": event("u1", "Other")}, sync__write_through=patience)
    gateway.connect(proxy)
    sync_to_rest(gateway)
    dav = gateway.dav()
    labels = {one["id"]: one["label"] for one in gateway.json("account", "list", "ana")}
    places = {labels[one["account"]]: f"/dav/calendars/ana/{one['id']}/" for one in gateway.json("source", "list", "ana") if one["account"]}
    proxy.hurt(answering(415, ("PUT",)))
    moved = dav.request("MOVE", dav.href_of(places["radicale"], "u0"), headers={"Destination": gateway.url + places["xandikos"] + "u0.ics"})
    wait_until(proxy.strikes, seconds=30, what="the refusal")
    for _ in range(2):
        gateway.run("sync", "ana", "--wait")
    assert "u0" in radicale.dav().by_uid(radicale.calendar), f"{moved.status}: deleted where it was, and created nowhere"
    assert "u0" in dav.by_uid(gateway.unified()), f"answered {moved.status}, and it is nowhere"


def test_a_move_from_the_gateways_own_calendar_that_is_refused_loses_nothing(started, tmp_path, radicale):
    proxy = started(Proxy(radicale))
    gateway = connected(started, tmp_path, proxy, {"1": event("u1", "Other")}, sync__write_through="10s")
    dav = gateway.dav()
    dav.mkcalendar("/dav/calendars/ana/own/", "Own")
    source = next(one["id"] for one in gateway.json("source", "list", "ana") if one["account"])
    assert dav.put("/dav/calendars/ana/own/o.ics", event("o", "Ours alone")).status == 201
    proxy.hurt(answering(415, ("PUT",)))
    moved = dav.request("MOVE", "/dav/calendars/ana/own/o.ics", headers={"Destination": f"{gateway.url}/dav/calendars/ana/{source}/o.ics"})
    proxy.heal()
    gateway.run("sync", "ana", "--wait")
    assert "o" in dav.by_uid(gateway.unified()) or "o" in dav.by_uid("/dav/calendars/ana/own/"), f"answered {moved.status}, and it is nowhere"
