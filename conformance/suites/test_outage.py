"""An upstream goes away and comes back: `status` tells the truth, and nothing is lost meanwhile."""

import os
import time

from harness.client import uid_of
from harness.events import event
from harness.gateway import Gateway
from harness.laws import both_sides_are_equal, sync_to_rest
from harness.process import wait_until
from harness.proxy import Fault, Proxy

# How long the plug is out: two minutes with --full, else as long as shows the same.
UNPLUGGED = 120 if os.environ.get("LINEARTIME_FULL") else 15


def state(gateway, label):
    return next(a for a in gateway.json("status", "ana")["accounts"] if a["label"] == label)


def test_status_tells_when_an_upstream_stops_and_when_it_is_back(started, tmp_path, radicale, xandikos):
    gateway = started(Gateway(tmp_path, sync__poll_interval="1s", sync__backoff_max="2s", sync__backoff_base="200ms"))
    gateway.add_user()
    gateway.connect(radicale)
    gateway.connect(xandikos)
    gateway.sync()
    assert state(gateway, "radicale")["state"] == "healthy"
    assert state(gateway, "xandikos")["state"] == "healthy"

    radicale.stop()
    wait_until(lambda: state(gateway, "radicale")["state"] in ("degraded", "down"), what="the outage in status")
    assert state(gateway, "radicale")["reason"], "a state that is not healthy has its reason"
    assert state(gateway, "xandikos")["state"] == "healthy", "one account's trouble is not another's"
    dav = gateway.dav()
    source = next(s for s in gateway.json("source", "list", "ana") if s.get("label") == "radicale" or s["name"] == "Work")
    path = f"/dav/calendars/ana/{source['id']}/"
    for n in range(5):
        assert dav.put(f"{path}{n}.ics", event(f"meanwhile-{n}")).status == 201, "transient trouble is never an error"
    assert state(gateway, "radicale")["queue"] >= 1
    wait_until(lambda: state(gateway, "radicale")["state"] == "down", what="down")

    radicale.start()
    wait_until(lambda: state(gateway, "radicale")["state"] == "healthy", seconds=40, what="recovery in status")
    gateway.sync()
    upstream = radicale.dav().by_uid(radicale.calendar)
    assert {f"meanwhile-{n}" for n in range(5)} <= set(upstream)
    assert all(len(texts) == 1 for texts in upstream.values())
    assert state(gateway, "radicale")["queue"] == 0


def test_a_wrong_password_is_said_and_nothing_is_stored(gateway, radicale):
    done = gateway.run(
        "account", "add", "ana", "--provider", "caldav", "--url", radicale.url, "--username", "ana",
        "--password-stdin", text="wrong\n",
    )
    assert done.returncode == 1 and "password" in done.stderr.lower()
    assert len(done.stderr.strip().splitlines()) == 1
    assert gateway.json("account", "list", "ana") == []


def test_a_password_changed_upstream_needs_sign_in_and_loses_nothing(started, tmp_path, radicale):
    gateway = started(Gateway(tmp_path, sync__poll_interval="1s"))
    gateway.add_user()
    radicale.dav().put(radicale.calendar + "keep.ics", event("keep"))
    gateway.connect(radicale)
    gateway.sync()
    (radicale.folder / "users").write_text("ana:another\n")
    radicale.stop()
    radicale.start_again = radicale.password
    radicale.password = "another"
    radicale.start()
    wait_until(lambda: state(gateway, "radicale")["state"] == "needs_sign_in", what="needs sign-in")
    assert "keep" in gateway.dav().by_uid(gateway.unified())
    assert gateway.dav().put(gateway.unified() + "w.ics", event("while-signed-out")).status == 201


class Recorder(Proxy):
    """Keeps the order in which events arrive."""

    def __init__(self, upstream):
        super().__init__(upstream)
        self.writes, self.is_plugged = [], True

    def start(self):
        self.is_plugged = True
        return super().start()

    def kill(self):
        # What is connected already is cut off as well.
        self.is_plugged = False
        super().kill()

    def choose(self, method):
        return super().choose(method) or Fault("recorded", self.record)

    def record(self, exchange):
        if not self.is_plugged:
            return exchange.cut()
        status, headers, body = exchange.forward()
        # The first create asks twice, to see whether the server heeds its condition; it does, and refuses the second.
        if exchange.handler.command == "PUT" and status < 300:
            self.writes.append(uid_of(exchange.body.decode()))
        exchange.answer(status, headers, body)


def unplugged(gateway, dav, path, seconds):
    """A client goes on writing for so long while nothing is there; the UIDs in the order in which they were made."""
    end, n, put = time.monotonic() + seconds, 0, []
    while time.monotonic() < end:
        uid = f"dark-{n}"
        assert dav.put(f"{path}{uid}.ics", event(uid, "Made in the dark")).status == 201, "an outage is none of the client's"
        assert dav.put(f"{path}{uid}.ics", event(uid, f"Edited in the dark {n}")).status == 204
        put.append(uid)
        n += 1
        told = state(gateway, "radicale")
        assert told["queue"] >= n or told["state"] == "healthy", told
        # A person does not write without a pause; what is waited for here is time itself.
        time.sleep(min(1.0, max(0.0, end - time.monotonic())))
    return put


def test_an_unplugged_upstream_shows_as_down_queues_writes_and_drains_them_in_order(started, tmp_path, radicale, xandikos):
    proxy = started(Recorder(radicale))
    gateway = started(Gateway(tmp_path, sync__poll_interval="1s", sync__backoff_max="5s", sync__backoff_base="200ms", sync__write_through="200ms"))
    gateway.add_user()
    gateway.connect(proxy)
    gateway.connect(xandikos)
    theirs = radicale.dav()
    for n in range(3):
        theirs.put(f"{radicale.calendar}old-{n}.ics", event(f"old-{n}", "Before"))
    gateway.sync()
    healthy = state(gateway, "radicale")
    assert healthy["state"] == "healthy" and healthy["last_success"]
    source = next(s for s in gateway.json("source", "list", "ana") if s["account"] == healthy["id"])
    dav, path = gateway.dav(), f"/dav/calendars/ana/{source['id']}/"

    proxy.kill()
    assert dav.put(dav.href_of(path, "old-0"), event("old-0", "Edited in the dark")).status == 204
    assert dav.delete(dav.href_of(path, "old-1")).status == 204
    dark = unplugged(gateway, dav, path, UNPLUGGED)
    down = state(gateway, "radicale")
    assert down["state"] == "down" and down["reason"] and down["error_rate"] > 0
    assert down["queue"] == len(dark) + 2, "each event waits once, however often it was written"
    assert state(gateway, "xandikos")["state"] == "healthy" and gateway.json("status", "ana")["dead"] == 0
    # Meanwhile somebody works there too, by another way in.
    theirs.put(f"{radicale.calendar}old-2.ics", event("old-2", "Edited there"))
    theirs.put(f"{radicale.calendar}new.ics", event("new-there", "Made there"))

    proxy.start()
    # The longer it was away, the seldomer it is tried, every five minutes in the end.
    wait_until(lambda: state(gateway, "radicale")["state"] == "healthy", seconds=max(60, 3 * UNPLUGGED), what="recovery by itself")
    wait_until(lambda: state(gateway, "radicale")["queue"] == 0, seconds=60, what="an empty queue")
    arrived = [uid for uid in proxy.writes if uid.startswith("dark-")]
    assert arrived == dark, "in the order in which they were made, each once"
    sync_to_rest(gateway)
    held = both_sides_are_equal(gateway, [radicale])
    assert set(held) == {*dark, "old-0", "old-2", "new-there"}
    assert "SUMMARY:Edited in the dark" in held["old-0"] and "SUMMARY:Edited there" in held["old-2"]
    assert all(f"SUMMARY:Edited in the dark {n}" in held[uid] for n, uid in enumerate(dark))
    assert gateway.json("conflict", "list", "ana") == []
