"""Ten calendar libraries from npm show what the JSON API answers, each in a page of its own in headless Chromium.

Chromium is a large installation, so these run with --full alone. The pages are in ../libraries.
"""

import base64
import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest
from harness.tools import debian, npm

LIBRARIES = Path(__file__).resolve().parents[1] / "libraries"
PAGES = sorted(page.stem for page in (LIBRARIES / "pages").glob("*.jsx"))
PACKAGES = [
    "esbuild@0.28.2", "playwright-core@1.65.1", "react@18.3.1", "react-dom@18.3.1", "@fullcalendar/core@6.1.22",
    "@fullcalendar/daygrid@6.1.22", "@toast-ui/calendar@2.1.3", "react-big-calendar@1.20.0",
    "react-infinite-calendar@2.3.1", "primereact@10.9.9", "@mui/x-date-pickers@7.29.4", "@mui/material@6.5.0",
    "@emotion/react@11.14.0", "@emotion/styled@11.14.1", "dayjs@1.11.23", "react-calendar@6.0.1",
    "react-datepicker@9.1.0", "react-day-picker@10.0.2",
]
EVENTS = [
    {"title": "Lunch", "start": "2026-03-10T12:30:00", "timeZone": "Europe/Berlin"},
    {"title": "Trip", "start": "2026-03-16", "end": "2026-03-17"},
    # Summer time begins between the two.
    {"title": "Daily", "start": "2026-03-27T09:00:00", "timeZone": "Europe/Berlin", "rrule": "FREQ=DAILY;INTERVAL=3;COUNT=2"},
]
SHOWN = ["2026-03-10 Lunch", "2026-03-16 Trip", "2026-03-27 Daily", "2026-03-30 Daily"]

full = pytest.mark.skipif(os.environ.get("LINEARTIME_FULL") != "1", reason="a browser and ten libraries: with --full")


def post(gateway, event):
    secret = base64.b64encode(f"ana:{gateway.password}".encode()).decode()
    request = urllib.request.Request(
        gateway.url + "/api/v1/events", data=json.dumps(event).encode(), method="POST",
        headers={"authorization": f"Basic {secret}", "content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201


@full
@pytest.mark.parametrize("page", PAGES)
def test_page(gateway, page):
    chromium, folder = debian("chromium", "chromium"), npm(*PACKAGES)
    for event in EVENTS:
        post(gateway, event)
    pictures = folder.parent / "pictures"
    pictures.mkdir(exist_ok=True)
    done = subprocess.run(
        ["node", LIBRARIES / "run.mjs", page, gateway.url, "ana", gateway.password],
        capture_output=True, text=True, timeout=120,
        env=os.environ | {"NODE_FOLDER": str(folder), "CHROMIUM": chromium, "SCREENSHOT": str(pictures / f"{page}.png")})
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    # Toast UI writes the time before the title.
    shown = [line.replace(" 12:30 ", " ").replace(" 09:00 ", " ") for line in done.stdout.split("\n") if line]
    assert shown == SHOWN, done.stderr
