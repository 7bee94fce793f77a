"""An upstream goes away and comes back: `status` tells the truth, and nothing is lost meanwhile."""

from harness.events import event
from harness.gateway import Gateway
from harness.process import wait_until


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
