"""The .ics files that two libraries test themselves with: kept octet for octet or refused by name, and expanded as they expand them."""

import datetime
import subprocess
import sys
import tarfile
from pathlib import Path
from xml.sax.saxutils import escape

import icalendar
import pytest
import recurring_ical_events
from harness.client import DECLARED, NAMES
from harness.tools import ROOT, alone, missing

ARCHIVES = {"icalendar": "7.3.2", "recurring-ical-events": "3.8.2"}
FOLDER = ROOT / "target" / "conformance" / "corpora"
KNOWN = Path(__file__).with_name("corpora-expected.txt")
WINDOW = datetime.datetime(2018, 1, 1, tzinfo=datetime.UTC), datetime.datetime(2022, 1, 1, tzinfo=datetime.UTC)


def files():
    """Name -> octets of every .ics file in the source archives."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = {}
    with alone():
        for name, version in ARCHIVES.items():
            pattern = f"{name.replace('-', '_')}-{version}.tar.gz"
            if not list(FOLDER.glob(pattern)):
                done = subprocess.run(
                    [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
                     "--dest", FOLDER, f"{name}=={version}"], capture_output=True, text=True, timeout=600)
                if done.returncode != 0:
                    missing(f"the source archive of {name} {version}: {done.stderr[-200:]}")
            for archive in FOLDER.glob(pattern):
                with tarfile.open(archive) as tar:
                    members = [m for m in tar.getmembers() if m.isfile() and m.name.endswith(".ics")]
                    found |= {f"{name}/{Path(m.name).name}": tar.extractfile(m).read() for m in members}
    assert len(found) > 150, len(found)
    return found


def known():
    """File -> why it may expand otherwise here than in the library."""
    lines = [line for line in KNOWN.read_text().splitlines() if line and not line.startswith("#")]
    pairs = [line.split(None, 1) for line in lines]
    assert all(len(pair) == 2 for pair in pairs), "every line has its reason"
    return dict(pairs)


@pytest.fixture
def taken(gateway):
    """File -> what was sent, what came back, and its instances, for the files that are calendar object resources."""
    dav, home, taken = gateway.dav(), "/dav/calendars/ana/corpus/", {}
    for name, octets in sorted(files().items()):
        # What one file does must not depend on another with the same UID.
        dav.mkcalendar(home, "Corpus")
        answer = dav.put(home + "one.ics", octets)
        assert answer.status in (201, 403), (name, answer.status, answer.body)
        if answer.status == 403:
            assert answer.precondition(), name
        else:
            taken[name] = octets, dav.get(home + "one.ics"), expanded(dav, home + "one.ics")
        dav.delete(home)
    return taken


def test_octets_come_back_and_instances_are_those_of_the_library(taken):
    assert len(taken) > 60, f"only {len(taken)} files are calendar object resources"
    wrong, expected = {}, known()
    for name, (octets, got, instances) in taken.items():
        assert (got.status, got.body) == (200, octets), name
        try:
            theirs = library(octets)
        except Exception:  # noqa: BLE001  (whatever it says: what the library can't expand, it can't judge)
            continue
        ours = starts(instances)
        if ours != theirs:
            wrong[name] = f"ours only {sorted(ours - theirs)[:3]}, theirs only {sorted(theirs - ours)[:3]}"
    unexplained = {name: what for name, what in wrong.items() if name not in expected}
    assert not unexplained, "\n".join(f"{name}: {what}" for name, what in unexplained.items())
    assert not expected.keys() - wrong.keys(), f"they agree by now: {sorted(expected.keys() - wrong.keys())}"


def instant(value):
    """A start that can be compared: a day as it is, a time in UTC, a floating one as if in UTC."""
    if not isinstance(value, datetime.datetime):
        return value.isoformat()
    if value.tzinfo is None:
        value = value.replace(tzinfo=datetime.UTC)
    return value.astimezone(datetime.UTC).isoformat()


def library(octets):
    calendar = icalendar.Calendar.from_ical(octets)
    return {instant(event["DTSTART"].dt) for event in recurring_ical_events.of(calendar).between(*WINDOW)}


def expanded(dav, path):
    start, end = (f"{moment:%Y%m%dT%H%M%SZ}" for moment in WINDOW)
    body = (
        f'<C:calendar-multiget {DECLARED}><D:prop><C:calendar-data><C:expand start="{start}" end="{end}"/></C:calendar-data>'
        f"</D:prop><D:href>{escape(path)}</D:href></C:calendar-multiget>"
    )
    (response,) = dav.report(path.rsplit("/", 1)[0] + "/", body).responses().values()
    return response.findtext(".//C:calendar-data", default="", namespaces=NAMES)


def starts(text):
    if "BEGIN:VEVENT" not in text:
        return set()
    return {instant(event["DTSTART"].dt) for event in icalendar.Calendar.from_ical(text).walk("VEVENT")}
