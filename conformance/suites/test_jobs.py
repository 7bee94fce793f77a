"""The queue from a shell: what is in it, what was given up and why, trying again and throwing away."""

import pytest
from harness.events import event
from harness.gateway import Gateway
from harness.process import wait_until
from harness.proxy import REFUSED_READING, Proxy
from harness.shell import both, fails, is_record, plain

FAST = {
    "sync__poll_interval": "500ms", "sync__backoff_base": "20ms", "sync__backoff_max": "100ms", "sync__write_through": "100ms",
    "sync__max_retries": "2",
}


@pytest.fixture
def proxy(started, radicale):
    return started(Proxy(radicale))


@pytest.fixture
def fast(started, tmp_path, proxy):
    gateway = started(Gateway(tmp_path, **FAST))
    gateway.add_user()
    gateway.connect(proxy)
    gateway.sync()
    source = next(one for one in gateway.json("source", "list", "ana") if one["account"])
    gateway.cli("source", "set", "ana", source["id"], "--default")
    return gateway


def state(gateway):
    (one,) = gateway.json("status", "ana")["accounts"]
    return one


def given_up(gateway, proxy):
    """The reading that is given up because the server says no for good."""
    proxy.hurt(REFUSED_READING)
    dead = wait_until(lambda: gateway.json("job", "list", "--dead"), seconds=40, what="a dead letter")
    proxy.heal()
    return dead


def test_the_queue_and_the_dead_letters_can_be_looked_at(fast, proxy):
    text, jobs = both(fast, "job", "list")
    assert {job["kind"] for job in jobs} >= {"pull", "discover"}
    for job in jobs:
        is_record(job, "id", "kind", "account", "priority", "state", "due", "attempts", "reason", "created")
        assert job["account"] == state(fast)["id"] and job["state"] in ("ready", "running") and job["priority"] in ("high", "medium", "low")
        assert job["id"] in text
    assert fast.json("job", "list", "--dead") == [] and plain(fast, "job", "list", "--dead").strip() == ""

    dead = given_up(fast, proxy)
    for job in dead:
        is_record(job, "id", "kind", "account", "state", "attempts", "reason", "created")
        assert (job["state"], job["due"]) == ("dead", None) and "400" in job["reason"] and job["attempts"] >= 2
    status = fast.json("status", "ana")
    assert status["dead"] == len(dead) and state(fast)["state"] in ("degraded", "down") and state(fast)["reason"]
    assert f"{len(dead)} jobs were given up" in plain(fast, "status", "ana")


def test_a_retry_lets_it_run_again(fast, proxy, radicale):
    dead = given_up(fast, proxy)
    radicale.dav().put(radicale.calendar + "late.ics", event("late"))
    for job in dead:
        assert fast.json("job", "retry", job["id"])["id"] == job["id"]
    wait_until(lambda: "late" in fast.dav().by_uid(fast.unified()), what="the reading")
    wait_until(lambda: state(fast)["state"] == "healthy", what="healthy")
    assert fast.json("job", "list", "--dead") == [] and fast.json("status")["dead"] == 0

    dead = given_up(fast, proxy)
    answer = fast.json("job", "retry", "--all-dead")
    assert set(answer["ids"]) >= {job["id"] for job in dead}
    wait_until(lambda: state(fast)["state"] == "healthy", what="healthy")
    radicale.dav().put(radicale.calendar + "later.ics", event("later"))
    wait_until(lambda: "later" in fast.dav().by_uid(fast.unified()), what="the polling, which goes on by itself")
    assert fast.json("job", "retry", "--all-dead") == {"ids": []}


def test_what_is_dropped_is_gone_and_no_event_with_it(fast, proxy, radicale):
    dead = given_up(fast, proxy)
    for job in dead:
        assert "dropped" in plain(fast, "job", "drop", job["id"])
    assert fast.json("job", "list", "--dead") == []
    for job in dead:
        fails(fast, "job", "drop", job["id"], says="no job")
    fast.sync()
    assert state(fast)["state"] == "healthy"

    # A push that waits is dropped: the change is still wished for, and goes out with the next sync.
    proxy.hurt("broken")
    assert fast.dav().put(fast.unified() + "kept.ics", event("kept")).status == 201
    def drop():
        waiting = [job for job in fast.json("job", "list") if job["kind"] == "push"]
        return waiting and fast.run("job", "drop", waiting[0]["id"]).returncode == 0
    wait_until(drop, what="a push that can be dropped")
    assert state(fast)["queue"] == 1
    proxy.heal()
    fast.sync()
    assert len(radicale.dav().by_uid(radicale.calendar)["kept"]) == 1 and state(fast)["queue"] == 0


def test_jobs_that_are_not_there_are_told_in_one_line(fast):
    for verb in ("retry", "drop"):
        fails(fast, "job", verb, "99999999", says="no job 99999999")
        fails(fast, "job", verb, "first", code=2)
        fails(fast, "job", verb, code=2)
    fails(fast, "job", "retry", "1", "--all-dead", code=2)
    fails(fast, "job", code=2)
    assert fast.stop() == 0
    fails(fast, "job", "drop", "99999999", says="no job 99999999")
    fast.start()
