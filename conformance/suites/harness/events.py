"""Events to write, and what they mean to a library that we did not write."""

import datetime

import icalendar
import recurring_ical_events

BERLIN = """BEGIN:VTIMEZONE\r
TZID:Europe/Berlin\r
BEGIN:DAYLIGHT\r
TZOFFSETFROM:+0100\r
TZOFFSETTO:+0200\r
TZNAME:CEST\r
DTSTART:19700329T020000\r
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\r
END:DAYLIGHT\r
BEGIN:STANDARD\r
TZOFFSETFROM:+0200\r
TZOFFSETTO:+0100\r
TZNAME:CET\r
DTSTART:19701025T030000\r
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\r
END:STANDARD\r
END:VTIMEZONE\r
"""


def calendar(*components, zones=""):
    return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//LinearTime//conformance//EN\r\n" + zones + "".join(components) + "END:VCALENDAR\r\n"


def event(uid, summary="Meeting", start="20261201T100000Z", end="20261201T110000Z", extra=""):
    """A single event."""
    return calendar(
        f"BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20261101T000000Z\r\nDTSTART:{start}\r\nDTEND:{end}\r\n"
        f"SUMMARY:{summary}\r\n{extra}END:VEVENT\r\n"
    )


def all_day(uid, summary="Holiday", day="20261224", after="20261225"):
    """An event on a day, in no zone."""
    return calendar(
        f"BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20261101T000000Z\r\nDTSTART;VALUE=DATE:{day}\r\n"
        f"DTEND;VALUE=DATE:{after}\r\nSUMMARY:{summary}\r\nEND:VEVENT\r\n"
    )


def series(uid, summary="Weekly", moved=True, cancelled=True):
    """Ten Mondays over a clock change, the third moved to another hour, the fifth cancelled."""
    master = (
        f"BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260901T000000Z\r\nDTSTART;TZID=Europe/Berlin:20260928T090000\r\n"
        f"DTEND;TZID=Europe/Berlin:20260928T100000\r\nRRULE:FREQ=WEEKLY;COUNT=10\r\nSUMMARY:{summary}\r\n"
        + ("EXDATE;TZID=Europe/Berlin:20261026T090000\r\n" if cancelled else "")
        + "END:VEVENT\r\n"
    )
    override = (
        f"BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260901T000000Z\r\nRECURRENCE-ID;TZID=Europe/Berlin:20261012T090000\r\n"
        f"DTSTART;TZID=Europe/Berlin:20261012T153000\r\nDTEND;TZID=Europe/Berlin:20261012T163000\r\n"
        f"SUMMARY:{summary} (moved)\r\nEND:VEVENT\r\n"
    )
    return calendar(master, override if moved else "", zones=BERLIN)


def instances(text, start=(2026, 1, 1), end=(2027, 12, 31)):
    """(start in UTC or date, end, summary) of every instance, by an independent library."""
    found = recurring_ical_events.of(icalendar.Calendar.from_ical(text)).between(start, end)
    return sorted((when(e["DTSTART"].dt), when(e["DTEND"].dt), str(e.get("SUMMARY", ""))) for e in found)


def when(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat() if value.tzinfo else value.isoformat()
    return value.isoformat()
