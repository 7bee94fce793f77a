"""The demo, as somebody starts it who wants to look: three accounts, a calendar that changes, and nothing left of it."""

import os
import re
import signal
from pathlib import Path

import pytest

from harness.client import Dav
from harness.gateway import BINARY
from harness.process import Program, answers, wait_until

pytestmark = pytest.mark.skipif(os.environ.get("LINEARTIME_FULL") != "1", reason="it fills three accounts, which takes long on a busy disk: with --full")
ROOT = Path(__file__).resolve().parents[2]
DEMO = Path(os.environ.get("LINEARTIME_DEMO", ROOT / "target" / "release" / "demo"))


class Demo(Program):
    def __init__(self, folder):
        super().__init__(folder / "demo.log")
        self.left = folder / "left"
        self.left.mkdir()

    def start(self):
        self.spawn([str(DEMO), "--every", "1.5"], env={**os.environ, "LINEARTIME_BINARY": str(BINARY), "TMPDIR": str(self.left)})

        def told():
            assert self.running(), f"the demo ended:\n{self.output()}"
            return "Ctrl-C ends all of it" in self.output()
        # Radicale syncs each of its files; on a busy disk that takes long.
        wait_until(told, seconds=240, what="the demo")
        return self

    def said(self, what):
        return re.search(what + r": +(.*)", self.output())[1]


@pytest.fixture
def demo(started, tmp_path):
    return started(Demo(tmp_path))


def met(text):
    """Where one of those that come and go is, or nothing."""
    lines = text.replace("\r\n ", "").splitlines()
    places = [line.partition(":")[2] for line in lines if line.startswith("LOCATION")]
    return places[0] if any(line.startswith("SUMMARY:Coffee with ") for line in lines) and places else None


def test_it_lives(demo):
    url = demo.said("CalDAV client")
    dav = Dav(url, demo.said("User name"), demo.said("Password"))
    unified = "/" + demo.said("The calendar itself").split("/", 3)[3]
    texts = list(dav.objects(unified).values())
    for title in ("Yoga", "Phone Grandma", "Stand-up", "Budget review", "Choir", "Swimming lesson"):
        assert any(f"SUMMARY:{title}" in text for text in texts), title
    assert len(texts) >= 80
    assert b"SUMMARY:Choir" in Dav(demo.said("To subscribe to"), None, None).get("").body
    # By notification from two of them, and by polling from the third.
    seen = set()
    for place in ("Café am Ufer", "Canteen", "At home"):
        def comes():
            seen.update(map(met, dav.objects(unified).values()))
            return place in seen
        wait_until(comes, seconds=60, what=f"a change ({place})")
    assert demo.running(), demo.output()
    demo.child.send_signal(signal.SIGINT)
    assert demo.child.wait(timeout=20) == 0, demo.output()
    assert not answers(url) and list(demo.left.iterdir()) == []
