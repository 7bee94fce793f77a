"""evolution-data-server (Debian), which stands behind Evolution and GNOME Calendar, by its own D-Bus interface. With --full alone."""

import os

import pytest
from harness.events import event, instances
from harness.evolution import Evolution
from harness.process import wait_until

pytestmark = pytest.mark.skipif(os.environ.get("LINEARTIME_FULL") != "1", reason="evolution-data-server is a large installation: with --full")


def component(uid, title, *lines):
    return "\r\n".join(["BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20261101T000000Z", *lines, f"SUMMARY:{title}", "END:VEVENT", ""])


@pytest.fixture
def evolution(started, tmp_path):
    return started(Evolution(tmp_path))


def test_a_person_with_evolution(gateway, evolution):
    dav, home = gateway.dav(), gateway.unified()
    dav.put(home + "there.ics", event("there", "Von dort: Grüße 日本語"))
    login = ("ana", gateway.password)
    found, addresses = evolution.run("discover", gateway.url + "/", *login)
    assert [gateway.url + home, "All calendars"] in found and addresses, (found, addresses)
    assert evolution.run("open", gateway.url + home, *login), "it can be written to"
    titles = lambda: evolution.run("titles")
    wait_until(lambda: titles() == ["Von dort: Grüße 日本語"], seconds=60, what="the first listing")

    held = lambda uid: dav.by_uid(home)[uid][0]
    meant = lambda uid: [(start[:16], title) for start, _, title in instances(held(uid))]
    uid = evolution.run("create", component("one@conf", "Zahnärztin", "DTSTART:20261201T100000Z", "DTEND:20261201T110000Z"))
    assert uid == "one@conf" and meant(uid) == [("2026-12-01T10:00", "Zahnärztin")]
    evolution.run("rename", uid, "Zahnärztin, später")
    assert meant(uid) == [("2026-12-01T10:00", "Zahnärztin, später")]
    assert "später" in evolution.run("get", uid)

    evolution.run("create", component("day", "Feiertag", "DTSTART;VALUE=DATE:20261224", "DTEND;VALUE=DATE:20261226"))
    assert "DTSTART;VALUE=DATE:20261224" in held("day") and "DTEND;VALUE=DATE:20261226" in held("day")

    # A weekly series; one of it at another hour, one left out.
    week = ["2026-11-10T09:00", "2026-11-17T09:00", "2026-11-24T09:00", "2026-12-01T09:00"]
    evolution.run("create", component(
        "week", "Übung", "DTSTART:20261110T090000Z", "DTEND:20261110T100000Z", "RRULE:FREQ=WEEKLY;COUNT=4"))
    assert [start for start, _ in meant("week")] == week
    evolution.run("override", component(
        "week", "Verlegt", "RECURRENCE-ID:20261117T090000Z", "DTSTART:20261118T140000Z", "DTEND:20261118T150000Z"))
    assert ("2026-11-18T14:00", "Verlegt") in meant("week") and held("week").count("BEGIN:VEVENT") == 2
    evolution.run("leave_out", "week", "20261124T090000Z")
    assert [start for start, _ in meant("week")] == ["2026-11-10T09:00", "2026-11-18T14:00", "2026-12-01T09:00"]
    rest_of_year = (1793491200, 1798761600)
    shown = [title for _, title in evolution.run("instances", *rest_of_year)]
    assert sorted(shown) == sorted(["Feiertag", "Von dort: Grüße 日本語", "Verlegt", "Zahnärztin, später", "Übung", "Übung"])

    # Somebody else edits, adds and deletes meanwhile; it looks at the ctag.
    assert dav.put(home + "there.ics", event("there", "Anders")).status == 204
    assert dav.put(home + "more.ics", event("more", "Mehr")).status == 201
    assert dav.delete(dav.href_of(home, "day")).status == 204
    evolution.run("refresh")
    wait_until(lambda: set(titles()) == {"Anders", "Mehr", "Übung", "Verlegt", "Zahnärztin, später"}, seconds=60, what="the others' changes")

    for uid in ("week", "one@conf", "more"):
        evolution.run("remove", uid)
    assert set(dav.by_uid(home)) == {"there"}
    evolution.run("refresh")
    wait_until(lambda: titles() == ["Anders"], seconds=60, what="the last refresh")
    assert meant("there") == [("2026-12-01T10:00", "Anders")]
