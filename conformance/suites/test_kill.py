"""kill -9 between the acknowledgement and the push: after a restart every event is upstream exactly once."""

import random
import threading
import time

from harness.events import event
from harness.process import wait_until

ROUNDS = 20
# A real upstream takes its time for each; more would test its patience and not the gateway.
EVENTS_A_ROUND = 12


def test_every_acknowledged_event_reaches_the_upstream_once(gateway, radicale):
    gateway.connect(radicale)
    gateway.sync()
    gateway.stop()
    gateway.environment["LINEARTIME_SYNC__WRITE_THROUGH"] = "0s"
    chance = random.Random(2026)
    acknowledged = set()
    for attempt in range(ROUNDS):
        gateway.start()
        write_until_killed(gateway, attempt, chance.uniform(0.0, 0.25), acknowledged)
    gateway.start()
    gateway.sync()
    upstream = radicale.dav().by_uid(radicale.calendar)
    ours = gateway.dav().by_uid(gateway.unified())
    lost = acknowledged - set(upstream)
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged events are not upstream"
    assert all(len(texts) == 1 for texts in upstream.values()), "an event is upstream twice"
    assert set(ours) == set(upstream)
    assert len(acknowledged) >= ROUNDS, "too little was written for this to mean anything"


def write_until_killed(gateway, attempt, after, acknowledged):
    """Writes events until the server dies, `after` seconds from the first acknowledgement."""
    dav, path = gateway.dav(), gateway.unified()
    first = threading.Event()

    def killer():
        first.wait(20)
        time.sleep(after)  # the moment of the kill is what is being varied
        gateway.kill()

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        for n in range(EVENTS_A_ROUND):
            uid = f"kill-{attempt}-{n}"
            answer = dav.put(f"{path}{uid}.ics", event(uid))
            assert answer.status == 201, (answer.status, answer.body)
            acknowledged.add(uid)
            first.set()
    except (OSError, ConnectionError):
        pass
    except Exception as reason:  # http.client raises its own family when the peer dies in mid-answer
        if type(reason).__module__ != "http.client":
            raise
    finally:
        first.set()
        thread.join()
        dav.close()
