"""Thunderbird (Debian) itself: what its calendar tab calls, against our server. A large installation: with --full alone."""

import os

import pytest
from harness.events import event, instances
from harness.process import wait_until
from harness.thunderbird import BINARY, Thunderbird
from harness.tools import debian

pytestmark = pytest.mark.skipif(os.environ.get("LINEARTIME_FULL") != "1", reason="Thunderbird is a large installation: with --full")

DETECT = """
const found = await cal.provider.detection.detect(args[1], args[2], args[0], true, [], {});
return [...found.values()].flat().map(one => ({ name: one.name, url: one.uri.spec, readOnly: one.readOnly, disabled: one.getProperty("disabled") }));
"""
REGISTER = """
const found = await cal.provider.detection.detect(args[1], args[2], args[0], true, [], {});
const calendar = [...found.values()].flat().find(one => one.uri.spec == args[3]);
calendar.setProperty("cache.enabled", true);
cal.manager.registerCalendar(calendar);
return calendarAt(args[3]).id;
"""
REFRESH = "calendarAt(args[0]).refresh();"
STATE = """
const calendar = calendarAt(args[0]);
return { readOnly: calendar.readOnly, disabled: calendar.getProperty("disabled"), status: calendar.getProperty("currentStatus") };
"""
TITLES = """
const items = await calendarAt(args[0]).getItemsAsArray(Ci.calICalendar.ITEM_FILTER_TYPE_EVENT | Ci.calICalendar.ITEM_FILTER_ALL_ITEMS, 0, null, null);
return items.map(item => item.title).sort();
"""
OCCURRENCES = """
const filter = Ci.calICalendar.ITEM_FILTER_TYPE_EVENT | Ci.calICalendar.ITEM_FILTER_ALL_ITEMS | Ci.calICalendar.ITEM_FILTER_CLASS_OCCURRENCES;
const items = await calendarAt(args[0]).getItemsAsArray(filter, 0, moment(args[1]), moment(args[2]));
return items.map(item => `${item.startDate.isDate ? item.startDate.icalString : item.startDate.getInTimezone(cal.dtz.UTC).icalString} ${item.title}`).sort();
"""
ADD = """
const item = new CalEvent();
item.id = args[1];
item.title = args[2];
item.startDate = moment(args[3], args[5]);
item.endDate = moment(args[4], args[5]);
if (args[3].length == 8) { item.startDate.isDate = true; item.endDate.isDate = true; }
if (args[6]) {
  const { CalRecurrenceInfo } = ChromeUtils.importESModule("resource:///modules/CalRecurrenceInfo.sys.mjs");
  item.recurrenceInfo = new CalRecurrenceInfo(item);
  const rule = cal.createRecurrenceRule();
  rule.icalString = "RRULE:" + args[6];
  item.recurrenceInfo.appendRecurrenceItem(rule);
}
await calendarAt(args[0]).addItem(item);
"""
RENAME = """
const calendar = calendarAt(args[0]), old = await calendar.getItem(args[1]), item = old.clone();
item.title = args[2];
await calendar.modifyItem(item, old);
"""
EXCEPTION = """
const calendar = calendarAt(args[0]), old = await calendar.getItem(args[1]), item = old.clone();
const occurrence = item.recurrenceInfo.getOccurrenceFor(moment(args[2], args[5])).clone();
occurrence.title = args[3];
occurrence.startDate = moment(args[4], args[5]);
const end = occurrence.startDate.clone();
end.hour += 1;
occurrence.endDate = end;
item.recurrenceInfo.modifyException(occurrence, true);
await calendar.modifyItem(item, old);
"""
LEAVE_OUT = """
const calendar = calendarAt(args[0]), old = await calendar.getItem(args[1]), item = old.clone();
item.recurrenceInfo.removeOccurrenceAt(moment(args[2], args[3]));
await calendar.modifyItem(item, old);
"""
DELETE = "const calendar = calendarAt(args[0]); await calendar.deleteItem(await calendar.getItem(args[1]));"

ZONE = "Europe/Berlin"


@pytest.fixture
def thunderbird(started, tmp_path):
    debian(str(BINARY), "thunderbird")
    return started(Thunderbird(tmp_path))


def test_a_person_with_thunderbird(gateway, thunderbird):
    dav, home = gateway.dav(), gateway.unified()
    dav.put(home + "there.ics", event("there", "Von dort: Grüße 日本語"))
    login = (gateway.url + "/", "ana", gateway.password)
    found = {one["url"]: one for one in thunderbird.run(DETECT, *login)}
    url = gateway.url + home
    assert url in found and not found[url]["readOnly"], found

    assert thunderbird.run(REGISTER, *login, url)
    titles = lambda: thunderbird.run(TITLES, url)
    wait_until(lambda: titles() == ["Von dort: Grüße 日本語"], seconds=60, what="the first sync")
    state = thunderbird.run(STATE, url)
    assert not state["readOnly"] and not state["disabled"], state

    # A weekly series over the end of summer time (25 October 2026).
    thunderbird.run(ADD, url, "week", "Übung", "20261012T090000", "20261012T100000", ZONE, "FREQ=WEEKLY;COUNT=4")
    weekly = ["20261012T070000Z Übung", "20261019T070000Z Übung", "20261026T080000Z Übung", "20261102T080000Z Übung"]
    occurrences = lambda: thunderbird.run(OCCURRENCES, url, "20261001T000000", "20261115T000000")
    assert occurrences() == weekly
    held = lambda uid: dav.by_uid(home)[uid][0]
    meant = lambda uid: [(start[:16], title) for start, _, title in instances(held(uid))]
    assert [start for start, _ in meant("week")] == ["2026-10-12T07:00", "2026-10-19T07:00", "2026-10-26T08:00", "2026-11-02T08:00"]

    thunderbird.run(RENAME, url, "week", "Übung II")
    assert {title for _, title in meant("week")} == {"Übung II"}
    thunderbird.run(EXCEPTION, url, "week", "20261019T090000", "Verlegt", "20261020T140000", ZONE)
    assert ("2026-10-20T12:00", "Verlegt") in meant("week") and held("week").count("BEGIN:VEVENT") == 2
    thunderbird.run(LEAVE_OUT, url, "week", "20261102T090000", ZONE)
    assert [start for start, _ in meant("week")] == ["2026-10-12T07:00", "2026-10-20T12:00", "2026-10-26T08:00"]
    assert "20261020T120000Z Verlegt" in occurrences() and len(occurrences()) == 3

    thunderbird.run(ADD, url, "day", "Feiertag", "20261224", "20261226", None, None)
    assert "DTSTART;VALUE=DATE:20261224" in held("day") and "DTEND;VALUE=DATE:20261226" in held("day")

    # Somebody else edits, adds and deletes meanwhile.
    assert dav.put(home + "there.ics", event("there", "Anders")).status == 204
    assert dav.put(home + "more.ics", event("more", "Mehr")).status == 201
    assert dav.delete(dav.href_of(home, "day")).status == 204
    thunderbird.run(REFRESH, url)
    wait_until(lambda: titles() == ["Anders", "Mehr", "Übung II"], seconds=60, what="the others' changes")

    thunderbird.run(DELETE, url, "week")
    thunderbird.run(DELETE, url, "more")
    assert set(dav.by_uid(home)) == {"there"}
    thunderbird.run(REFRESH, url)
    wait_until(lambda: titles() == ["Anders"], seconds=60, what="the last sync")
    state = thunderbird.run(STATE, url)
    assert not state["readOnly"] and not state["disabled"], state
    print(f"Thunderbird {thunderbird.version()}")
