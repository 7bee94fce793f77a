"""What Google does that others don't, by the numbers of docs/fault-catalogue.md, and random events there and back by meaning."""

import datetime
import os
import random
import re

import icalendar
import pytest

from harness.events import calendar, instances
from harness.gateway import Gateway
from harness.google import Google
from harness.process import wait_until


@pytest.fixture
def google(started):
    service = started(Google())
    yield service
    assert service.violations == []


@pytest.fixture
def gateway(started, tmp_path, google):
    return connected(started, tmp_path, google)


def connected(started, folder, google):
    gateway = Gateway(folder, sync__poll_interval="1h", sync__backoff_base="100ms", sync__write_through="10s", **google.settings())
    started(gateway)
    gateway.add_user()
    gateway.json("account", "add", "ana", "--provider", "google", "--refresh-token-stdin", text="refresh-1\n")
    gateway.sync()
    return gateway


def read_anew(started, tmp_path, google):
    """UID -> texts of what a gateway reads that has never seen any of it."""
    folder = tmp_path / "n"
    folder.mkdir()
    other = connected(started, folder, google)
    return other.dav().by_uid(other.unified())


def found(gateway, summary):
    for href, text in gateway.dav().objects(gateway.unified()).items():
        if f"SUMMARY:{summary}" in text:
            return href, text
    return None, ""


def at(day, hour):
    return {"dateTime": f"2026-02-{day:02}T{hour:02}:00:00+01:00", "timeZone": "Europe/Paris"}


def test_fault_38_a_list_of_attendees_that_was_cut_is_not_written_back(gateway, google):
    id = google.put(summary="Crowd", start=at(3, 9), end=at(3, 10), attendeesOmitted=True, attendees=[{"email": "bo@example.org"}])
    gateway.sync()
    # What the answer left out.
    google.events[google.email][id]["attendees"].append({"email": "cy@example.org", "responseStatus": "accepted"})
    href, text = found(gateway, "Crowd")
    assert gateway.dav().put(href, text.replace("SUMMARY:Crowd", "SUMMARY:Many")).status == 204
    assert {one["email"] for one in google.live()["Many"]["attendees"]} == {"bo@example.org", "cy@example.org"}
    assert google.mails == []


def test_fault_40_other_reminders_are_seen_though_nothing_else_changed(gateway, google):
    id = google.put(summary="Dentist", start=at(3, 9), end=at(3, 10))
    gateway.sync()
    before = google.live()["Dentist"]["updated"]
    google.put(id=id, reminders={"useDefault": False, "overrides": [{"method": "popup", "minutes": 45}]})
    google.events[google.email][id]["updated"] = before
    gateway.sync()
    assert "TRIGGER:-PT45M" in found(gateway, "Dentist")[1]


def test_fault_41_a_limit_in_the_middle_of_an_import_doubles_nothing(gateway, google, tmp_path):
    events = [f"BEGIN:VEVENT\r\nUID:in-{n}@x\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260210T{n:02}0000Z\r\nDURATION:PT1H\r\nSUMMARY:E{n}\r\nEND:VEVENT\r\n"
              for n in range(20)]
    file = tmp_path / "in.ics"
    file.write_text(calendar(*events), newline="")
    google.faults["quota"] = 3
    source = next(one["id"] for one in gateway.json("source", "list", "ana") if one["account"])
    gateway.cli("import", "ana", str(file), "--source", source)
    wait_until(lambda: (gateway.run("sync", "ana", "--wait"), len(google.live()) == 20)[1], seconds=60, what="the import")
    assert google.faults["quota"] == 0 and len(google.events[google.email]) == 20 and google.mails == []


def test_fault_42_of_a_birthday_only_what_may_be_is_written(gateway, google):
    google.put(summary="Birthday of Bo", eventType="birthday", start={"date": "2026-03-04"}, end={"date": "2026-03-05"},
               recurrence=["RRULE:FREQ=YEARLY"], visibility="private", transparency="transparent")
    gateway.sync()
    href, text = found(gateway, "Birthday of Bo")
    assert gateway.dav().put(href, text.replace("20260304", "20260305").replace("20260305\r\nRRULE", "20260306\r\nRRULE")).status == 403
    there = google.live()["Birthday of Bo"]
    assert there["start"] == {"date": "2026-03-04"} and found(gateway, "Birthday of Bo")[1] == text, "the client has what is there"
    alarm = "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:Reminder\r\nTRIGGER:-P1D\r\nEND:VALARM\r\n"
    bare = re.sub(r"BEGIN:VALARM.*?END:VALARM\r\n", "", text, flags=re.S)
    assert gateway.dav().put(href, bare.replace("END:VEVENT", alarm + "END:VEVENT")).status == 204
    assert google.live()["Birthday of Bo"]["reminders"]["overrides"] == [{"method": "popup", "minutes": 1440}]


def test_fault_69_days_added_and_left_out_in_other_zones_stay_themselves(gateway, google, started, tmp_path):
    text = calendar(
        "BEGIN:VEVENT\r\nUID:zones@x\r\nDTSTAMP:20260101T000000Z\r\nDTSTART;TZID=Europe/Paris:20260202T090000\r\n"
        "DTEND;TZID=Europe/Paris:20260202T100000\r\nRRULE:FREQ=DAILY;COUNT=5\r\nEXDATE:20260203T080000Z\r\n"
        "EXDATE;TZID=America/New_York:20260204T030000\r\nRDATE;TZID=America/New_York:20260220T110000\r\nSUMMARY:Zones\r\nEND:VEVENT\r\n")
    wanted = instances(text)
    assert len(wanted) == 4
    assert gateway.dav().put(gateway.unified() + "zones.ics", text).status == 201
    gateway.sync()
    master = google.live()["Zones"]
    shown = google.do_events_instances({"calendarId": google.email, "eventId": master["id"]}, {"maxResults": "50"}, None, None)
    assert sorted(one["id"].split("_")[1] for one in shown["items"]) == sorted(re.sub(r"[-:]|\+.*", "", start) + "Z" for start, _, _ in wanted)
    (anew,) = read_anew(started, tmp_path, google)["zones@x"]
    assert instances(anew) == wanted
    assert "EXDATE:20260203T080000Z" in gateway.dav().get(gateway.unified() + "zones.ics").text, "here it stays as it was written"


# Random events

ZONES = ["Europe/Paris", "America/New_York", "Asia/Tokyo", "Australia/Sydney"]
TEXTS = ["Übung", "a\\, b\\; c", "日本語", "🙂 " + "long " * 60, "x"]


def some_event(chance, uid):
    """An event that a client may write and Google can hold."""
    first = datetime.datetime(2026, 1, 1) + datetime.timedelta(days=chance.randrange(330), minutes=15 * chance.randrange(96))
    lines, kind = [], chance.choice(["utc", "zone", "day"])
    zone = chance.choice(ZONES)
    end = first + datetime.timedelta(minutes=chance.choice([15, 60, 90, 1500]))
    if kind == "day":
        last = first + datetime.timedelta(days=chance.randint(1, 4))
        lines += [f"DTSTART;VALUE=DATE:{first:%Y%m%d}", f"DTEND;VALUE=DATE:{last:%Y%m%d}"]
    elif kind == "utc":
        lines += [f"DTSTART:{first:%Y%m%dT%H%M%SZ}", f"DTEND:{end:%Y%m%dT%H%M%SZ}"]
    else:
        lines += [f"DTSTART;TZID={zone}:{first:%Y%m%dT%H%M%S}", chance.choice([f"DTEND;TZID={zone}:{end:%Y%m%dT%H%M%S}", "DURATION:PT45M"])]
    if chance.random() < 0.4:
        lines.append("RRULE:" + chance.choice(["FREQ=DAILY;COUNT=7", "FREQ=WEEKLY;INTERVAL=2;COUNT=6", "FREQ=MONTHLY;COUNT=4", "FREQ=YEARLY;COUNT=2"]))
    for name in ("SUMMARY", "LOCATION", "DESCRIPTION", "CATEGORIES", "X-OWN;P=\"a;b\"", "COMMENT"):
        if name == "SUMMARY" or chance.random() < 0.4:
            # Titles and places are of one line at Google.
            texts = TEXTS if name in ("SUMMARY", "LOCATION") else [*TEXTS, "line\\nline"]
            lines.append(f"{name}:{chance.choice(texts)}")
    for line in ("TRANSP:TRANSPARENT", "CLASS:PRIVATE", "STATUS:TENTATIVE", "PRIORITY:5", "GEO:1.5;-2.25", "URL:https://x.example/", "COLOR:crimson"):
        if chance.random() < 0.25:
            lines.append(line)
    # Google holds one reminder of a kind for a minute.
    for minutes in chance.sample([5, 30, 1440], chance.choice([0, 0, 1, 2])):
        lines += ["BEGIN:VALARM", "ACTION:DISPLAY", f"DESCRIPTION:{chance.choice(['Reminder', 'Own words'])}", f"TRIGGER:-PT{minutes}M", "END:VALARM"]
    body = "".join(line + "\r\n" for line in lines)
    return calendar(f"BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260101T000000Z\r\n{body}END:VEVENT\r\n")


def meaning(text):
    """Its instances, what else it says, and its alarms; how it is written does not count."""
    event = icalendar.Calendar.from_ical(text).walk("VEVENT")[0]
    ours = {"DTSTAMP", "CREATED", "LAST-MODIFIED", "SEQUENCE", "DTSTART", "DTEND", "DURATION", "RRULE"}
    said = sorted((name, str(getattr(value, "dt", None) or value.to_ical())) for name, value in event.property_items(recursive=False)
                  if name not in ours and name not in ("BEGIN", "END") and not name.startswith("X-GOOGLE"))
    alarms = sorted((str(one["TRIGGER"].dt), str(one["DESCRIPTION"])) for one in event.walk("VALARM"))
    return instances(text, (2025, 12, 1), (2029, 1, 1)), said, alarms


def test_random_events_go_to_google_and_come_back_by_meaning(gateway, google, started, tmp_path):
    seed = int(os.environ.get("LINEARTIME_SEED", "5"))
    count = 300 if os.environ.get("LINEARTIME_FULL") else 40
    chance, dav = random.Random(seed), gateway.dav()
    written = {f"random-{n}@x": some_event(chance, f"random-{n}@x") for n in range(count)}
    for n, text in enumerate(written.values()):
        answer = dav.put(f"{gateway.unified()}r{n}.ics", text)
        assert answer.status == 201, (seed, answer.status, answer.body, text)
    gateway.sync()
    assert len(google.live()) <= len(google.events[google.email]) == count
    anew = read_anew(started, tmp_path, google)
    assert set(anew) == set(written)
    for uid, text in written.items():
        (back,) = anew[uid]
        assert meaning(back) == meaning(text), f"seed {seed}\n{text}\n{back}"
    assert google.mails == []
