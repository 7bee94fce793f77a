"""A soak: clients and two upstreams write, the network misbehaves, and the server is killed every minute. At the end all
laws hold. `conformance/run --soak MINUTES` runs it and prints its summary; without that it is not run."""

import os
import random
import threading
import time
from collections import Counter

import pytest
from harness.events import event, series
from harness.gateway import Gateway
from harness.laws import both_sides_are_equal, sync_to_rest
from harness.proxy import FAULTS, Proxy

MINUTES = float(os.environ.get("LINEARTIME_SOAK_MINUTES", "0"))
SEED = int(os.environ.get("LINEARTIME_SOAK_SEED", "2026"))
BETWEEN_KILLS = 60
FAST = {"sync__poll_interval": "5s", "sync__backoff_base": "100ms", "sync__backoff_max": "5s", "sync__write_through": "200ms"}


class Life:
    """What was done, and what must therefore be there at the end: UID -> words of its last acknowledged version."""

    def __init__(self):
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.done = Counter()
        self.settled, self.unsure = {}, set()
        self.trouble = []

    def guarded(self, act):
        """Runs `act` until the end; a lost connection is part of the life."""
        while not self.stop.is_set():
            try:
                act()
            except OSError:
                self.stop.wait(0.2)
            except Exception as reason:
                # http.client raises its own family when the peer dies in mid-answer.
                if type(reason).__module__ != "http.client":
                    self.trouble.append(reason)
                    self.stop.set()


def client(gateway, life, chance, number):
    """A device: makes, edits and deletes events of its own in the unified calendar."""
    dav, made = gateway.dav(), 0

    def act():
        nonlocal made
        with life.lock:
            own = [uid for uid in life.settled if uid.startswith(f"client-{number}-") and uid not in life.unsure]
        what = chance.random()
        if what < 0.5 or not own:
            made += 1
            uid = f"client-{number}-{made}"
            text = series(uid, f"Made {made}") if made % 10 == 0 else event(uid, f"Made {made}")
            path, words = f"{gateway.unified()}{uid}.ics", f"Made {made}"
        else:
            uid = chance.choice(own)
            path, words = f"{gateway.unified()}{uid}.ics", None if what > 0.85 else f"Edited {time.monotonic_ns()}"
            text = event(uid, words or "")
        with life.lock:
            life.unsure.add(uid)
        answer = dav.delete(path) if words is None else dav.put(path, text)
        if answer.status in (503, 507):
            life.stop.wait(0.5)
            return
        assert answer.status in (200, 201, 204, 404), f"trouble is none of the client's: {answer.status} {answer.body}"
        with life.lock:
            life.unsure.discard(uid)
            life.settled.pop(uid, None)
            if words is not None:
                life.settled[uid] = words
            life.done["deleted here" if words is None else "written here"] += 1
        life.stop.wait(chance.uniform(0.05, 0.4))

    return lambda: life.guarded(act)


def owner(upstream, life, chance):
    """Somebody who writes at the upstream itself."""
    dav, made = upstream.dav(), 0

    def act():
        nonlocal made
        made += 1
        uid = f"{upstream.name}-{made}"
        answer = dav.put(f"{upstream.calendar}{uid}.ics", event(uid, f"There {made}"))
        assert answer.status in (200, 201, 204), (answer.status, answer.body)
        with life.lock:
            life.settled[uid] = f"There {made}"
            life.done[f"written at {upstream.name}"] += 1
        if made > 5 and chance.random() < 0.4:
            again = f"{upstream.name}-{chance.randrange(1, made)}"
            answer = dav.put(f"{upstream.calendar}{again}.ics", event(again, f"There again {made}"))
            assert answer.status in (200, 201, 204), (answer.status, answer.body)
            with life.lock:
                life.settled[again] = f"There again {made}"
                life.done[f"edited at {upstream.name}"] += 1
        life.stop.wait(chance.uniform(0.5, 2.0))

    return lambda: life.guarded(act)


@pytest.mark.skipif(not MINUTES, reason="a soak takes its time: conformance/run --soak MINUTES")
def test_soak(started, tmp_path, radicale, xandikos):
    chance, life = random.Random(SEED), Life()
    upstreams = [radicale, xandikos]
    proxies = [started(Proxy(upstream)) for upstream in upstreams]
    gateway = started(Gateway(tmp_path, **FAST))
    gateway.add_user()
    for proxy in proxies:
        gateway.connect(proxy)
    gateway.sync()
    source = next(source for source in gateway.json("source", "list", "ana") if source.get("account"))
    gateway.cli("source", "set", "ana", source["id"], "--default")
    actors = [client(gateway, life, random.Random(SEED + n), n) for n in (1, 2)]
    actors += [owner(upstream, life, random.Random(SEED + 10 + n)) for n, upstream in enumerate(upstreams)]
    threads = [threading.Thread(target=actor) for actor in actors]
    for thread in threads:
        thread.start()
    begun, kills, strikes, peak = time.monotonic(), 0, 0, 0.0
    try:
        while time.monotonic() - begun < 60 * MINUTES and not life.stop.is_set():
            faults = chance.sample(sorted(FAULTS), 3)
            for proxy in proxies:
                strikes += proxy.strikes()
                proxy.hurt(*faults, share=0.2)
            life.stop.wait(min(BETWEEN_KILLS, 60 * MINUTES) * chance.uniform(0.7, 1.3))
            peak = max(peak, gateway.memory())
            gateway.kill()
            kills += 1
            gateway.start()
    finally:
        life.stop.set()
        for thread in threads:
            thread.join()
    assert not life.trouble, f"SEED={SEED}: {life.trouble[0]!r}"
    strikes += sum(proxy.strikes() for proxy in proxies)
    for proxy in proxies:
        proxy.heal()
    sync_to_rest(gateway, rounds=20)
    held = both_sides_are_equal(gateway, upstreams)
    lost = {uid for uid, words in life.settled.items() if uid not in life.unsure and (uid not in held or f"SUMMARY:{words}" not in held[uid])}
    assert not lost, f"SEED={SEED}: lost or outdated: {sorted(lost)[:10]} of {len(life.settled)}"
    wrong = [finding for finding in gateway.json("doctor") if finding["state"] == "error"]
    assert not wrong, f"SEED={SEED}: {wrong}"
    conflicts = len(gateway.json("conflict", "list", "ana"))
    print(
        f"\nSOAK seed {SEED}: {(time.monotonic() - begun) / 60:.1f} minutes, {kills} kills, {strikes} faults that struck; "
        + ", ".join(f"{count} {what}" for what, count in sorted(life.done.items()))
        + f"; {len(held)} events at the end, on both sides, each once; {conflicts} conflicts; at most {peak:.0f} MiB; all laws hold"
    )
