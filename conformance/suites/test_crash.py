"""The gateway killed at random while two clients write through it and both upstreams change: the laws of sync hold.

25 kills by default; 100 with LINEARTIME_CRASHES=100, which `conformance/run --full` sets. LINEARTIME_SEED varies what is done.
"""

import http.client
import os
import random
import threading
import time

from harness.events import event
from harness.gateway import Gateway
from harness.laws import both_sides_are_equal, sync_to_rest
from harness.process import answers

KILLS = int(os.environ.get("LINEARTIME_CRASHES", "25"))
SEED = int(os.environ.get("LINEARTIME_SEED", "4"))
SHARED = 6


class Writer(threading.Thread):
    """Somebody who writes until told to stop, and remembers what was acknowledged."""

    def __init__(self, name, url, seed):
        super().__init__(daemon=True)
        self.url = url
        self.who, self.chance, self.ended = name, random.Random(seed), threading.Event()
        self.trouble, self.count = None, 0

    def run(self):
        try:
            while not self.ended.is_set():
                self.count += 1
                try:
                    self.step()
                except (OSError, http.client.HTTPException):
                    # Killed in the middle: whether the write was taken is not known, and nothing was promised.
                    self.lost_touch()
                    while not self.ended.is_set() and not answers(self.url):
                        time.sleep(0.02)
        except BaseException as reason:  # told to whoever joins
            self.trouble = reason

    def lost_touch(self):
        pass

    def end(self):
        self.ended.set()
        self.join(60)
        assert not self.is_alive()
        if self.trouble:
            raise self.trouble


class Client(Writer):
    """A CalDAV client of the gateway. `stubborn` re-reads after a 412 and writes again, as Apple's does; the other
    drops its edit and takes the server's version, as DAVx5 does."""

    def __init__(self, gateway, name, seed, stubborn, homes):
        super().__init__(name, gateway.url, seed)
        self.gateway, self.stubborn, self.homes = gateway, stubborn, homes
        self.dav = gateway.dav()
        self.alive, self.deleted, self.unsure, self.etags = {}, set(), set(), {}
        self.touching = None

    def lost_touch(self):
        if self.touching:
            self.unsure.add(self.touching)
            self.alive.pop(self.touching, None)
            self.touching = None
        self.dav.close()

    def step(self):
        mine = [uid for uid in self.alive if uid.startswith(self.who)]
        kind = self.chance.choices(["create", "edit", "shared", "delete"], [4, 4, 4, 1])[0]
        if kind == "create" or not mine:
            self.create(f"{self.who}-{self.count}")
        elif kind == "edit":
            self.edit(self.chance.choice(mine))
        elif kind == "shared":
            self.edit(f"shared-{self.chance.randrange(SHARED)}")
        else:
            self.delete(self.chance.choice(mine))

    def words(self):
        return f"{self.who} {self.count}"

    def create(self, uid):
        self.touching = uid
        path = self.chance.choice([self.gateway.unified(), *self.homes]) + uid + ".ics"
        answer = self.dav.put(path, event(uid, self.words()), If_None_Match="*")
        assert answer.status == 201, (answer.status, answer.body)
        self.acknowledged(uid, path, answer)

    def edit(self, uid):
        path = self.alive.get(uid) or self.gateway.unified() + uid + ".ics"
        for _ in range(3):
            current = self.dav.get(path)
            if current.status == 404:
                self.alive.pop(uid, None)
                return
            assert current.status == 200, (current.status, current.body)
            self.touching = uid if uid.startswith(self.who) else None
            answer = self.dav.put(path, event(uid, self.words()), If_Match=current.etag)
            if answer.status == 412:
                self.touching = None
                if self.stubborn:
                    continue
                return
            assert answer.status == 204, (answer.status, answer.body)
            self.acknowledged(uid, path, answer)
            return

    def delete(self, uid):
        self.touching = uid
        answer = self.dav.delete(self.alive[uid])
        assert answer.status == 204, (answer.status, answer.body)
        del self.alive[uid]
        self.deleted.add(uid)
        self.touching = None

    def acknowledged(self, uid, path, answer):
        assert answer.etag, "what is stored is what was sent, so its tag is told"
        self.etags.setdefault(uid, set()).add(answer.etag.strip('"'))
        if uid.startswith(self.who):
            self.alive[uid] = path
        self.touching = None


class Stranger(Writer):
    """Somebody who changes an upstream directly, past the gateway."""

    # What Xandikos answers to a write that meets another, having done it or not.
    busy = (423, 500, 503)

    def __init__(self, upstream, seed):
        super().__init__(upstream.name, upstream.url, seed)
        self.upstream, self.dav = upstream, upstream.dav()
        self.alive, self.deleted, self.last = set(), set(), {}

    def lost_touch(self):
        self.dav.close()

    def step(self):
        time.sleep(self.chance.uniform(0.0, 0.1))
        kind = self.chance.choices(["create", "edit", "shared", "delete"], [3, 3, 2, 1])[0]
        mine = sorted(self.alive)
        words = f"{self.who} {self.count}"
        if kind == "create" or not mine:
            uid = f"{self.who}-{self.count}"
            answer = self.dav.put(f"{self.upstream.calendar}{uid}.ics", event(uid, words), If_None_Match="*")
            assert answer.status in (201, *self.busy), (answer.status, answer.body)
            self.noted(uid, answer, lambda: self.alive.add(uid))
        elif kind == "edit":
            uid = self.chance.choice(mine)
            answer = self.dav.put(f"{self.upstream.calendar}{uid}.ics", event(uid, words))
            assert answer.status in (200, 201, 204, *self.busy), (answer.status, answer.body)
            self.noted(uid, answer, lambda: self.last.update({uid: words}))
        elif kind == "shared":
            self.place(f"shared-{self.chance.randrange(SHARED)}", words)
        else:
            uid = self.chance.choice(mine)
            answer = self.dav.delete(f"{self.upstream.calendar}{uid}.ics")
            assert answer.status in (200, 204, *self.busy), (answer.status, answer.body)
            self.alive.discard(uid)
            self.last.pop(uid, None)
            self.noted(uid, answer, lambda: self.deleted.add(uid))

    def noted(self, uid, answer, note):
        """Notes what was done, or that nothing is known of this event any more."""
        if answer.status in self.busy:
            self.alive.discard(uid)
            self.last.pop(uid, None)
        else:
            note()

    def place(self, uid, words):
        """Changes another property than the clients do, so that both changes must stand."""
        path = f"{self.upstream.calendar}{uid}.ics"
        current = self.dav.get(path)
        if current.status != 200:
            return
        lines = [line for line in current.text.replace("\r\n", "\n").split("\n") if line and not line.startswith("LOCATION")]
        lines.insert(lines.index("END:VEVENT"), f"LOCATION:{words}")
        answer = self.dav.put(path, "\r\n".join(lines) + "\r\n", If_Match=current.etag)
        self.noted(uid, answer, lambda: answer.status in (200, 201, 204) and self.last.update({uid: words}))


def test_killed_at_random_while_everybody_writes(started, tmp_path, radicale, xandikos):
    chance = random.Random(SEED)
    gateway = Gateway(tmp_path, sync__poll_interval="300ms", sync__backoff_base="50ms", sync__backoff_max="500ms", sync__write_through="50ms")
    started(gateway)
    gateway.add_user()
    for upstream in (radicale, xandikos):
        gateway.connect(upstream)
        for n in range(SHARED // 2):
            uid = f"shared-{n if upstream is radicale else SHARED // 2 + n}"
            assert upstream.dav().put(f"{upstream.calendar}{uid}.ics", event(uid, "Before")).status == 201
    gateway.sync()
    homes = [f"/dav/calendars/ana/{source['id']}/" for source in gateway.json("source", "list", "ana") if source.get("account")]
    gateway.cli("source", "set", "ana", homes[0].split("/")[-2], "--default")

    clients = [Client(gateway, "phone", SEED + 1, False, homes), Client(gateway, "mac", SEED + 2, True, homes)]
    strangers = [Stranger(radicale, SEED + 3), Stranger(xandikos, SEED + 4)]
    writers = clients + strangers
    for writer in writers:
        writer.start()
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.05, 0.6))  # the moment of the kill is what is being varied
        assert all(writer.trouble is None for writer in writers), [writer.trouble for writer in writers]
        gateway.kill()
        gateway.start()
    for writer in writers:
        writer.end()
    sync_to_rest(gateway)

    held = both_sides_are_equal(gateway, [radicale, xandikos])
    for client in clients:
        lost = set(client.alive) - set(held)
        assert not lost, f"{client.who} was promised {lost}"
        back = (client.deleted - client.unsure) & set(held)
        assert not back, f"{client.who} deleted {back}"
        written = sum(len(etags) for etags in client.etags.values())
        assert written >= KILLS, "too little was written for this to mean anything"
    for stranger in strangers:
        assert stranger.alive <= set(held), f"{stranger.who} holds no more {stranger.alive - set(held)}"
        assert not stranger.deleted & set(held), f"deleted at {stranger.who} and back: {stranger.deleted & set(held)}"
    every_word_is_kept(gateway, clients, strangers, held)


def every_word_is_kept(gateway, clients, strangers, held):
    """Each acknowledged write is served, or a revision that somebody can go back to."""
    promised = {}
    for client in clients:
        for uid, etags in client.etags.items():
            if uid in held:
                promised.setdefault(uid, set()).update(etags)
    for uid, etags in promised.items():
        kept = {revision["etag"] for revision in gateway.json("history", "ana", uid)}
        assert etags <= kept, f"{uid}: {len(etags - kept)} of {len(etags)} acknowledged versions are in no history"
    for stranger in strangers:
        for uid, words in stranger.last.items():
            if f":{words}" not in held[uid]:
                revisions = gateway.json("history", "ana", uid)
                texts = [gateway.cli("history", "ana", uid, "--revision", str(one["revision"])) for one in revisions]
                assert any(f":{words}" in text for text in texts), f"{stranger.who}'s last word on {uid} is lost: {words}"
