"""The pages in a real browser: from an empty data folder to a phone-ready account without a shell, seen and listened to.

The walk is in node/pages.mjs (playwright-core with Debian's Chromium, axe-core). Pictures of each page at phone and
desktop width are kept under target/pages/.
"""

import os
import subprocess
from pathlib import Path

from harness.events import event, series
from harness.gateway import ROOT, Gateway
from harness.google import Google
from harness.microsoft import Graph
from harness.process import wait_until
from harness.tools import debian, npm

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> & \\\"quotes\\\""


def test_from_nothing_to_a_phone(started, tmp_path, radicale):
    google, graph = started(Google()), started(Graph(tmp_path))
    google.put(summary="From Google", start={"date": "2026-12-10"}, end={"date": "2026-12-11"})
    graph.call("POST", "/v1.0/me/events", {
        "subject": "From Microsoft", "start": {"dateTime": "2026-12-11T09:00:00", "timeZone": "UTC"},
        "end": {"dateTime": "2026-12-11T10:00:00", "timeZone": "UTC"},
    })
    debian("chromium", "chromium")
    folder = npm("playwright-core@1.56.1", "axe-core@4.11.0")
    theirs = radicale.dav()
    theirs.put(radicale.calendar + "weekly.ics", series("weekly"))
    theirs.put(radicale.calendar + "hostile.ics", event("hostile", HOSTILE))
    gateway = started(Gateway(tmp_path, sync__poll_interval="2s", **google.settings(), **graph.settings()))
    link = next(word for word in gateway.output().split() if "/setup/" in word)
    pictures = ROOT / "target" / "pages"
    pictures.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "NODE_FOLDER": str(folder), "PICTURES": str(pictures), "SETUP": link, "GATEWAY": gateway.url,
        "UPSTREAM": radicale.url, "UPSTREAM_USER": radicale.user, "UPSTREAM_PASSWORD": radicale.password,
        "UPSTREAM_NAME": radicale.name, "UPSTREAM_CALENDAR": radicale.url + radicale.calendar,
    }
    script = Path(__file__).parent / "node" / "pages.mjs"
    done = subprocess.run(["node", script], capture_output=True, text=True, timeout=1200, env=environment)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    # What was made on the page with the password that the page gave reached the provider.
    wait_until(lambda: any("Made in the browser" in text for texts in theirs.by_uid(radicale.calendar).values() for text in texts),
               what="the event at the provider")
    assert google.violations == [] and google.mails == []
