"""calcurse-caldav and cadaver (Debian), and khal on vdirsyncer's folder (PyPI)."""

import subprocess
import sys
from pathlib import Path

from harness.events import all_day, event, instances, series
from harness.tools import debian


def test_calcurse(gateway, tmp_path):
    """Two-way: what calcurse has goes up, what is written elsewhere comes down, edits and deletions travel."""
    program = debian("calcurse-caldav", "calcurse", "python3-httplib2")
    folder, settings = tmp_path / "calcurse", tmp_path / "settings"
    folder.mkdir()
    settings.mkdir()
    dav = gateway.dav()
    dav.mkcalendar("/dav/calendars/ana/calcurse/", "Calcurse")
    (settings / "config").write_text(
        f"[General]\nHostname = 127.0.0.1:{gateway.port}\nPath = dav/calendars/ana/calcurse/\nHTTPS = No\nDryRun = No\n"
        f"[Auth]\nUsername = ana\nPassword = {gateway.password}\n")

    def sync(*more):
        done = subprocess.run(
            ["/usr/bin/python3", program, "--config", settings / "config", "--datadir", folder, "--lockfile", tmp_path / "lock",
             "--syncdb", tmp_path / "sync.db", *more], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    home = "/dav/calendars/ana/calcurse/"
    dav.put(home + "there.ics", event("there", "Grüße von dort"))
    dav.put(home + "day.ics", all_day("day"))
    (folder / "apts").write_text("12/01/2026 @ 10:00 -> 12/01/2026 @ 11:00 |From calcurse\n", encoding="utf-8")
    (folder / "todo").write_text("[3] Buy paper\n", encoding="utf-8")
    sync("--init", "two-way")
    found = dav.objects(home)
    assert len(found) == 4, found.keys()
    assert any("SUMMARY:From calcurse" in text for text in found.values())
    assert any("BEGIN:VTODO" in text for text in found.values())
    apts = (folder / "apts").read_text(encoding="utf-8")
    assert "Grüße von dort" in apts and "Holiday" in apts
    sync()
    assert len(dav.objects(home)) == 4
    (folder / "apts").write_text(apts.replace("From calcurse", "Edited"), encoding="utf-8")
    assert dav.delete(home + "there.ics").status == 204
    sync()
    found = dav.objects(home)
    assert len(found) == 3 and any("SUMMARY:Edited" in text for text in found.values())
    assert "Grüße" not in (folder / "apts").read_text(encoding="utf-8")


def test_cadaver(gateway, tmp_path):
    """A WebDAV shell in a calendar: it lists, reads, writes, copies, moves, sets properties and deletes."""
    program = debian("cadaver", "cadaver")
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login ana password {gateway.password.replace(' ', chr(92) + ' ')}\n")
    (tmp_path / ".netrc").chmod(0o600)
    (tmp_path / "new.ics").write_text(event("new", "Über cadaver"), newline="")
    gateway.cli("user", "passwd", "ana", "--password-stdin", text="one-word\n")
    gateway.password = "one-word"
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ana password one-word\n")
    dav = gateway.dav()
    dav.put(gateway.unified() + "there.ics", series("there"))

    def shell(*commands):
        done = subprocess.run(
            [program, gateway.url + gateway.unified()], input="\n".join(commands) + "\nquit\n", capture_output=True, text=True,
            timeout=60, cwd=tmp_path, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "TERM": "dumb"})
        return done.stdout + done.stderr

    assert "there.ics" in shell("ls")
    shell("put new.ics", "get there.ics got.ics", "move new.ics moved.ics")
    assert (tmp_path / "got.ics").read_bytes().decode() == series("there")
    assert dav.get(gateway.unified() + "moved.ics").text == event("new", "Über cadaver")
    told = shell("propnames there.ics", "propset there.ics colour blue", "propget there.ics colour")
    assert "blue" in told, told
    shell("delete moved.ics")
    assert list(dav.listing(gateway.unified())) == [gateway.unified() + "there.ics"]


def test_khal(gateway, tmp_path):
    """khal shows and writes what vdirsyncer carries: a series with a moved instance, an all-day event, other alphabets."""
    binary = Path(sys.executable).parent
    vdirs = tmp_path / "calendars"
    (vdirs / "unified").mkdir(parents=True)
    (tmp_path / "vdirsyncer.conf").write_text(f"""
[general]
status_path = "{tmp_path}/status/"
[pair calendar]
a = "here"
b = "there"
collections = ["unified"]
[storage here]
type = "filesystem"
path = "{vdirs}"
fileext = ".ics"
[storage there]
type = "caldav"
url = "{gateway.url}/"
username = "ana"
password = "{gateway.password}"
""")
    (tmp_path / "khal.conf").write_text(f"""
[calendars]
[[unified]]
path = {vdirs}/unified
[locale]
timeformat = %H:%M
dateformat = %Y-%m-%d
longdateformat = %Y-%m-%d
datetimeformat = %Y-%m-%d %H:%M
longdatetimeformat = %Y-%m-%d %H:%M
default_timezone = Europe/Berlin
local_timezone = Europe/Berlin
[default]
default_calendar = unified
[sqlite]
path = {tmp_path}/khal.db
""")

    def run(program, *arguments):
        done = subprocess.run([binary / program, *arguments], capture_output=True, text=True, timeout=120,
                              env={"HOME": str(tmp_path), "PATH": f"{binary}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    config = ["-c", str(tmp_path / "vdirsyncer.conf")]
    khal = ["-c", str(tmp_path / "khal.conf")]
    dav, home = gateway.dav(), gateway.unified()
    dav.put(home + "week.ics", series("week", "Grüße 日本語"))
    dav.put(home + "day.ics", all_day("day"))
    run("vdirsyncer", *config, "discover")
    run("vdirsyncer", *config, "sync")
    assert (vdirs / "unified").is_dir() and len(list((vdirs / "unified").glob("*.ics"))) == 2
    shown = run("khal", *khal, "list", "--format", "{start} {title}", "2026-10-12", "1d")
    assert "2026-10-12 15:30 Grüße 日本語 (moved)" in shown, shown
    assert "Holiday" in run("khal", *khal, "list", "2026-12-24", "1d")
    run("khal", *khal, "new", "2026-12-01", "10:00", "11:00", "Zahnärztin")
    run("vdirsyncer", *config, "sync")
    found = dav.objects(home)
    assert len(found) == 3 and any("Zahnärztin" in text for text in found.values())
    stored = dav.by_uid(home)["week"][0]
    assert instances(stored) == instances(series("week", "Grüße 日本語"))
