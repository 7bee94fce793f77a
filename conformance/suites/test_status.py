"""How the accounts fare, from a shell: every state with its word and its reason; pausing, removing, and what becomes of what waits."""

import json

import pytest
from harness.events import event
from harness.gateway import Gateway
from harness.process import wait_until
from harness.proxy import DENIED, Proxy
from harness.shell import both, fails, is_record, plain, without_server

FAST = {"sync__poll_interval": "500ms", "sync__backoff_base": "50ms", "sync__backoff_max": "500ms", "sync__write_through": "200ms"}
ACCOUNT = ("id", "label", "provider", "state", "reason", "last_success", "next_run", "queue", "error_rate", "webhook_expires")


@pytest.fixture
def proxy(started, radicale):
    return started(Proxy(radicale))


@pytest.fixture
def fast(started, tmp_path, proxy, xandikos):
    """Two accounts, one of them behind a proxy."""
    gateway = started(Gateway(tmp_path, **FAST))
    gateway.add_user()
    gateway.connect(proxy)
    gateway.connect(xandikos)
    gateway.sync()
    return gateway


def account(gateway, label="radicale", user="ana"):
    return next(one for one in gateway.json("status", user)["accounts"] if one["label"] == label)


def collection(gateway, label="radicale"):
    of = account(gateway, label)["id"]
    source = next(one for one in gateway.json("source", "list", "ana") if one["account"] == of)
    return f"/dav/calendars/ana/{source['id']}/"


def api_health(gateway):
    answer = gateway.dav().request("GET", "/api/v1/health")
    assert answer.status == 200, answer.body
    return json.loads(answer.text)


def test_every_state_has_its_word_and_its_reason(fast, proxy):
    status = fast.json("status")
    assert set(status) == {"accounts", "queue", "dead"} and (status["queue"], status["dead"]) == (0, 0)
    assert {one["label"] for one in status["accounts"]} == {"radicale", "xandikos"}
    for one in status["accounts"]:
        is_record(one, *ACCOUNT)
        assert (one["state"], one["reason"], one["provider"], one["queue"]) == ("healthy", None, "caldav", 0)
        assert one["last_success"] and one["next_run"] and one["error_rate"] == 0.0 and one["latency_ms"] >= 0

    fast.cli("account", "pause", "ana", account(fast, "xandikos")["id"])
    paused = account(fast, "xandikos")
    assert paused["state"] == "paused" and paused["reason"]

    proxy.hurt("broken")
    down = wait_until(lambda: account(fast) if account(fast)["state"] == "down" else None, what="down")
    assert "500" in down["reason"] and 0 < down["error_rate"] <= 1 and down["last_success"]
    assert fast.dav().put(collection(fast) + "w.ics", event("waits")).status == 201
    assert account(fast)["queue"] == 1 and fast.json("status", "ana")["queue"] == 1
    text = plain(fast, "status", "ana")
    assert "radicale (caldav, " in text and "is down: " in text and "is paused" in text and "1 changes wait" in text

    proxy.hurt(DENIED)
    def refused():
        fast.run("sync", "ana")
        one = account(fast)
        return one if one["state"] == "needs_sign_in" else None
    signed_out = wait_until(refused, what="needs_sign_in")
    assert "password" in signed_out["reason"] and "sign in" in signed_out["act"] and signed_out["queue"] == 1
    assert {(one["label"], one["state"]) for one in fast.json("status")["accounts"]} == {("radicale", "needs_sign_in"), ("xandikos", "paused")}
    health = api_health(fast)
    assert "needs_sign_in" in json.dumps(health) and "paused" in json.dumps(health)

    # Connecting it again is signing in: the same account, and what waited goes out.
    proxy.heal()
    assert fast.connect(proxy) == signed_out["id"]
    wait_until(lambda: account(fast)["state"] == "healthy" and account(fast)["queue"] == 0, what="healthy")
    assert "waits" in proxy.upstream.dav().by_uid(proxy.calendar)
    assert fast.stop() == 0
    there = without_server(fast, "status", "ana")
    assert {one["state"] for one in there["accounts"]} == {"healthy", "paused"}, "the store tells it without a server too"


def test_a_calendar_that_goes_away_is_degraded_and_keeps_its_events(fast, proxy, radicale):
    """fault 88: access to one calendar is lost; it is frozen, and nothing of it is deleted."""
    theirs = radicale.dav()
    theirs.mkcalendar("/ana/home/", "Home")
    theirs.put("/ana/home/h.ics", event("at-home"))
    fast.cli("sync", "ana", "--full", "--wait")
    assert "at-home" in fast.dav().by_uid(fast.unified()), "a full sync looks for new calendars, too"
    kept = theirs.get("/ana/home/h.ics").text
    assert theirs.delete("/ana/home/").status in (200, 204)
    degraded = wait_until(lambda: account(fast) if account(fast)["state"] == "degraded" else None, seconds=40, what="degraded")
    assert "Home" in degraded["reason"]
    missing = next(one for one in fast.json("source", "list", "ana") if one["name"] == "Home")
    assert missing["count"] == 1 and "at-home" in fast.dav().by_uid(fast.unified())
    theirs.mkcalendar("/ana/home/", "Home")
    theirs.put("/ana/home/h.ics", kept)
    def well():
        fast.run("sync", "ana", "--wait")
        return account(fast)["state"] == "healthy"
    wait_until(well, seconds=40, what="healthy")
    assert len(fast.dav().by_uid(fast.unified())["at-home"]) == 1
    assert len([one for one in fast.json("source", "list", "ana") if one["name"] == "Home"]) == 1


def test_a_paused_account_rests_queues_and_drains_when_it_is_resumed(fast, proxy, radicale):
    id = account(fast)["id"]
    radicale.dav().put(radicale.calendar + "old.ics", event("old", "Before"))
    fast.sync()
    assert is_record(fast.json("account", "pause", "ana", id), "id", "label", "state")["state"] == "paused"
    proxy.hurt("slow")  # only to count what comes
    dav, path = fast.dav(), collection(fast)
    for n in range(3):
        assert dav.put(f"{path}p{n}.ics", event(f"p{n}", "First")).status == 201
        assert dav.put(f"{path}p{n}.ics", event(f"p{n}", f"Second {n}")).status == 204
    radicale.dav().put(radicale.calendar + "old.ics", event("old", "There"))
    fast.cli("sync", "ana")
    wait_until(lambda: account(fast, "xandikos")["state"] == "healthy", what="the other account")
    assert account(fast)["queue"] == 3 and account(fast)["state"] == "paused"
    assert set(radicale.dav().by_uid(radicale.calendar)) == {"old"}
    assert proxy.strikes() == 0, "nothing is asked of a paused account"
    # A restart does not wake it.
    assert fast.stop() == 0
    fast.start()
    assert account(fast)["state"] == "paused" and account(fast)["queue"] == 3 and proxy.strikes() == 0
    proxy.heal()
    assert plain(fast, "account", "resume", "ana", id)
    fast.sync()
    theirs = radicale.dav().by_uid(radicale.calendar)
    assert {uid: len(texts) for uid, texts in theirs.items()} == {"old": 1, "p0": 1, "p1": 1, "p2": 1}
    assert all(f"SUMMARY:Second {n}" in theirs[f"p{n}"][0] for n in range(3))
    assert "SUMMARY:There" in fast.dav().by_uid(fast.unified())["old"][0]
    assert account(fast)["state"] == "healthy" and account(fast)["queue"] == 0


def test_a_removed_account_leaves_its_events_where_they_are(fast, proxy, radicale, xandikos):
    id = account(fast)["id"]
    radicale.dav().put(radicale.calendar + "theirs.ics", event("theirs"))
    for upstream in (radicale, xandikos):
        upstream.dav().put(upstream.calendar + "shared.ics", event("shared", "Both"))
    assert fast.dav().put(collection(fast) + "ours.ics", event("ours")).status == 201
    fast.sync()
    assert set(fast.dav().by_uid(fast.unified())) == {"theirs", "ours", "shared"}
    before = radicale.dav().listing(radicale.calendar)
    fails(fast, "account", "remove", "ana", id, code=2)
    assert "stay at the provider" in plain(fast, "account", "remove", "ana", id, "--yes")
    assert radicale.dav().listing(radicale.calendar) == before
    assert [one["label"] for one in fast.json("account", "list", "ana")] == ["xandikos"]
    assert all(one["account"] != id for one in fast.json("source", "list", "ana") + fast.json("job", "list"))
    assert set(fast.dav().by_uid(fast.unified())) == {"shared"}, "what the other account has too is still here"
    fast.sync()
    assert radicale.dav().listing(radicale.calendar) == before
    fails(fast, "account", "remove", "ana", id, "--yes", says="no account")
    # Connected again it is as new, and nothing is doubled.
    fast.connect(proxy)
    fast.sync()
    found = fast.dav().by_uid(fast.unified())
    assert {uid: len(texts) for uid, texts in found.items()} == {"theirs": 1, "ours": 1, "shared": 1}


def test_a_calendar_is_mirrored_one_way_both_ways_or_not(fast, radicale):
    radicale.dav().put(radicale.calendar + "a.ics", event("a", "There"))
    fast.sync()
    text, listed = both(fast, "source", "list", "ana")
    source = next(one for one in listed if one["account"] == account(fast)["id"])
    is_record(source, "id", "name", "account", "mirror", "default", "color", "privacy", "count", "missing", "read_only", "created")
    assert source["id"] in text and source["count"] == 1
    dav, path = fast.dav(), collection(fast)

    changed = fast.json("source", "set", "ana", source["id"], "--mirror", "read-only", "--name", "Büro", "--color", "#336699", "--privacy", "busy")
    assert (changed["mirror"], changed["name"], changed["color"], changed["privacy"]) == ("read-only", "Büro", "#336699", "busy")
    assert dav.put(path + "n.ics", event("n")).status == 403
    href = dav.href_of(fast.unified(), "a")
    assert dav.put(href, event("a", "Mine")).status == 403 and dav.delete(href).status == 403
    radicale.dav().put(radicale.calendar + "a.ics", event("a", "Changed there"))
    fast.sync()
    assert "SUMMARY:Changed there" in dav.by_uid(fast.unified())["a"][0]

    assert fast.json("source", "set", "ana", source["id"], "--mirror", "off")["mirror"] == "off"
    radicale.dav().put(radicale.calendar + "b.ics", event("b", "Unseen"))
    fast.sync()
    assert "b" not in dav.by_uid(fast.unified())
    assert set(radicale.dav().by_uid(radicale.calendar)) == {"a", "b"}, "turning a mirror off deletes nothing there"

    assert fast.json("source", "set", "ana", source["id"], "--mirror", "two-way")["mirror"] == "two-way"
    fast.sync()
    assert set(dav.by_uid(fast.unified())) == {"a", "b"}
    assert dav.put(dav.href_of(fast.unified(), "a"), event("a", "Mine")).status == 204
    fast.sync()
    assert "SUMMARY:Mine" in radicale.dav().by_uid(radicale.calendar)["a"][0]


def test_what_is_wrong_is_told_in_one_line(fast):
    fast.add_user("ben")
    id = account(fast)["id"]
    source = next(one["id"] for one in fast.json("source", "list", "ana") if one["account"] == id)
    for command in (["status", "nobody"], ["account", "list", "nobody"], ["source", "list", "nobody"], ["sync", "nobody"],
                    ["history", "nobody", "a"], ["conflict", "list", "nobody"], ["trash", "list", "nobody"], ["audit", "nobody"]):
        fails(fast, *command, says="no user")
    for verb in ("pause", "resume"):
        fails(fast, "account", verb, "ana", "a-unknown", says="no account")
        fails(fast, "account", verb, "ben", id, says="no account")
    fails(fast, "account", "remove", "ben", id, "--yes", says="no account")
    fails(fast, "sync", "ben", "--account", id, says="no account")
    fails(fast, "source", "set", "ben", source, "--default", says="no calendar")
    fails(fast, "source", "set", "ana", "s-unknown", "--default", says="no calendar")
    fails(fast, "source", "set", "ana", "unified", "--default", says="unified")
    fails(fast, "source", "set", "ana", "local", "--mirror", "off", says="local")
    fails(fast, "source", "set", "ana", source, "--color", "blue", says="colour")
    fails(fast, "source", "set", "ana", source, "--confirm-deletions", says="no deletions are held")
    fails(fast, "source", "set", "ana", source, code=2)
    fails(fast, "source", "set", "ana", source, "--mirror", "sideways", code=2)
    fails(fast, "account", "pause", "ana", code=2)
    assert account(fast)["state"] == "healthy"
    assert fast.json("status", "ben") == {"accounts": [], "queue": 0, "dead": 0}
    assert fast.json("account", "list", "ben") == []
