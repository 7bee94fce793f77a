"""A bad network and bad answers between the gateway and its upstreams: clients keep writing, and after healing nothing is lost or doubled."""

import os

import pytest
from harness.events import event, series
from harness.gateway import Gateway
from harness.laws import both_sides_are_equal, sync_to_rest
from harness.process import wait_until
from harness.proxy import FAULTS, Proxy

FAST = {"sync__poll_interval": "500ms", "sync__backoff_base": "50ms", "sync__backoff_max": "500ms", "sync__write_through": "200ms"}


@pytest.fixture(params=["radicale", "xandikos"])
def upstream(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def faulty(started, tmp_path, upstream):
    """A gateway that reaches an upstream through the proxy; the upstream holds six events."""
    proxy = started(Proxy(upstream))
    theirs = upstream.dav()
    for n in range(5):
        assert theirs.put(f"{upstream.calendar}old-{n}.ics", event(f"old-{n}", "Before")).status == 201
    assert theirs.put(f"{upstream.calendar}weekly.ics", series("weekly")).status == 201
    gateway = started(Gateway(tmp_path, **FAST))
    gateway.add_user()
    gateway.connect(proxy)
    gateway.sync()
    assert len(gateway.dav().by_uid(gateway.unified())) == 6
    source = next(s for s in gateway.json("source", "list", "ana") if s.get("account"))
    gateway.cli("source", "set", "ana", source["id"], "--default")
    return gateway, proxy


def live_through(gateway, proxy, upstream, strikes):
    """Both sides write while the proxy does its worst; then it is healed and everything comes to rest."""
    dav, unified, theirs = gateway.dav(), gateway.unified(), upstream.dav()
    for n in range(6):
        answer = dav.put(f"{unified}new-{n}.ics", event(f"new-{n}", "Made here"), If_None_Match="*")
        assert answer.status == 201, f"trouble upstream is none of the client's: {answer.status} {answer.body}"
    for n in range(2):
        href = dav.href_of(unified, f"old-{n}")
        assert dav.put(href, event(f"old-{n}", f"Edited here {n}"), If_Match=dav.get(href).etag).status == 204
    for n in range(3):
        assert dav.put(f"{unified}new-5.ics", event("new-5", f"Again {n}")).status == 204
    assert dav.delete(dav.href_of(unified, "old-2")).status == 204
    assert theirs.put(f"{upstream.calendar}late.ics", event("late", "Made there")).status == 201
    assert theirs.put(f"{upstream.calendar}old-3.ics", event("old-3", "Edited there")).status in (200, 201, 204)
    assert theirs.delete(f"{upstream.calendar}old-4.ics").status in (200, 204)
    wait_until(lambda: proxy.strikes() >= strikes, seconds=60, what=f"{strikes} strikes")
    proxy.heal()
    sync_to_rest(gateway)
    held = both_sides_are_equal(gateway, [upstream])
    expected = {f"new-{n}" for n in range(6)} | {"old-0", "old-1", "old-3", "late", "weekly"}
    assert set(held) == expected, f"lost: {expected - set(held)}, come back: {set(held) - expected}"
    for uid, words in {"old-0": "Edited here 0", "old-1": "Edited here 1", "old-3": "Edited there", "new-5": "Again 2"}.items():
        assert f"SUMMARY:{words}" in held[uid], held[uid]
    assert gateway.json("conflict", "list", "ana") == [], "nobody changed what somebody else had changed"
    return held


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_on_every_request(faulty, upstream, fault):
    gateway, proxy = faulty
    proxy.hurt(fault)
    live_through(gateway, proxy, upstream, strikes=4)


if "LINEARTIME_CRASHES" in os.environ:  # set by conformance/run --full: this takes its time

    @pytest.mark.parametrize("seed", [1, 2])
    def test_all_faults_at_once_on_half_of_the_requests(faulty, upstream, seed):
        gateway, proxy = faulty
        proxy.chance.seed(seed)
        proxy.hurt(*FAULTS, share=0.5)
        live_through(gateway, proxy, upstream, strikes=15)


def test_trouble_is_seen_in_status_and_gone_after_healing(faulty):
    gateway, proxy = faulty

    def state():
        (account,) = gateway.json("status", "ana")["accounts"]
        return account

    for fault in ("throttled", "html", "cut_before"):
        proxy.hurt(fault)
        wait_until(lambda: state()["state"] in ("degraded", "down"), what=f"{fault} in status")
        assert state()["reason"]
        proxy.heal()
        wait_until(lambda: state()["state"] == "healthy", seconds=40, what=f"recovery from {fault}")
