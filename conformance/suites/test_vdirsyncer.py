"""vdirsyncer keeps a folder and the unified calendar alike, and has nothing to do when nothing changed."""

import subprocess
import sys
from pathlib import Path

import pytest
from harness.events import all_day, event, instances, series

PROGRAM = Path(sys.executable).parent / "vdirsyncer"


@pytest.fixture
def vdirsyncer(tmp_path, gateway):
    folder = tmp_path / "folder"
    (folder / "unified").mkdir(parents=True)
    config = tmp_path / "vdirsyncer.conf"
    config.write_text(f"""
[general]
status_path = "{tmp_path}/status/"

[pair calendar]
a = "here"
b = "there"
collections = ["unified"]
conflict_resolution = "a wins"

[storage here]
type = "filesystem"
path = "{folder}"
fileext = ".ics"

[storage there]
type = "caldav"
url = "{gateway.url}/"
username = "ana"
password = "{gateway.password}"
""")

    def run(*arguments):
        done = subprocess.run([PROGRAM, "-c", config, *arguments], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    run("discover")
    run.folder = folder / "unified"
    return run


def test_two_way_and_quiet(vdirsyncer, gateway):
    dav, home = gateway.dav(), gateway.unified()
    for n in range(20):
        (vdirsyncer.folder / f"here-{n}.ics").write_text(event(f"here-{n}"), newline="")
    (vdirsyncer.folder / "weekly.ics").write_text(series("weekly"), newline="")
    for n in range(20):
        dav.put(f"{home}there-{n}.ics", event(f"there-{n}", "Grüße"))
    dav.put(home + "day.ics", all_day("day"))
    vdirsyncer("sync")
    assert len(dav.listing(home)) == 42
    assert len(list(vdirsyncer.folder.glob("*.ics"))) == 42
    stored = dav.by_uid(home)["weekly"][0]
    assert instances(stored) == instances(series("weekly"))

    for _ in range(5):
        told = vdirsyncer("sync")
        assert "Copying" not in told and "Deleting" not in told, told

    (vdirsyncer.folder / "here-3.ics").write_text(event("here-3", "Edited here"), newline="")
    (vdirsyncer.folder / "here-4.ics").unlink()
    dav.put(home + "there-5.ics", event("there-5", "Edited there"))
    dav.delete(home + "there-6.ics")
    vdirsyncer("sync")
    found = dav.by_uid(home)
    assert "SUMMARY:Edited here" in found["here-3"][0] and "here-4" not in found
    texts = [f.read_text() for f in vdirsyncer.folder.glob("*.ics")]
    assert sum("SUMMARY:Edited there" in t for t in texts) == 1
    assert not any("UID:there-6\n" in t for t in texts)
    told = vdirsyncer("sync")
    assert "Copying" not in told and "Deleting" not in told, told


def test_it_makes_a_calendar_of_its_own_and_sets_its_colour(vdirsyncer, gateway, tmp_path):
    (tmp_path / "folder" / "garden").mkdir()
    config = tmp_path / "vdirsyncer.conf"
    config.write_text(config.read_text().replace('collections = ["unified"]', 'collections = ["garden"]\nmetadata = ["displayname", "color"]'))
    done = subprocess.run([PROGRAM, "-c", config, "discover"], input="y\ny\n", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "folder" / "garden" / "color").write_text("#aabbcc")
    (tmp_path / "folder" / "garden" / "displayname").write_text("Garten")
    vdirsyncer("metasync")
    vdirsyncer("sync")
    answer = gateway.dav().propfind(
        "/dav/calendars/ana/garden/", '<D:displayname/><A:calendar-color xmlns:A="http://apple.com/ns/ical/"/>')
    text = answer.text
    assert "Garten" in text and "#aabbcc" in text.lower()
