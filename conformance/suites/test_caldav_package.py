"""The `caldav` package finds the server, and can do its work there."""

import datetime

import caldav
import pytest
from harness.events import all_day, event, instances, series


@pytest.fixture
def principal(gateway):
    with caldav.DAVClient(url=gateway.url, username="ana", password=gateway.password) as client:
        yield client.principal()


@pytest.fixture
def calendar(principal):
    return next(c for c in principal.calendars() if str(c.url).endswith("/unified/"))


def test_discovery_lists_the_calendars(principal):
    assert any(str(c.url).endswith("/unified/") for c in principal.calendars())
    assert principal.get_vcal_address()


def test_an_event_is_saved_found_changed_and_deleted(calendar):
    saved = calendar.save_event(event("one", "First"))
    assert [e.icalendar_component["uid"] for e in calendar.events()] == ["one"]
    found = calendar.event_by_uid("one")
    with found.edit_icalendar_instance() as text:
        text.subcomponents[0]["summary"] = "Second"
    found.save()
    assert "Second" in calendar.event_by_uid("one").data
    saved.delete()
    assert calendar.events() == []
    with pytest.raises(caldav.lib.error.NotFoundError):
        calendar.event_by_uid("one")


def test_a_search_expands_a_series(calendar):
    calendar.save_event(series("weekly"))
    found = calendar.search(
        start=datetime.datetime(2026, 10, 1), end=datetime.datetime(2026, 11, 1), event=True, expand=True)
    utc = datetime.timezone.utc
    starts = sorted(e.icalendar_component["dtstart"].dt.astimezone(utc).isoformat() for e in found)
    assert [s[:16] for s in starts] == ["2026-10-05T07:00", "2026-10-12T13:30", "2026-10-19T07:00"]


def test_one_instance_of_a_series_is_edited(calendar):
    saved = calendar.save_event(series("weekly", "Übung 日本語", moved=False, cancelled=False))
    start = datetime.datetime(2026, 10, 12)
    (one,) = calendar.search(start=start, end=start + datetime.timedelta(days=1), event=True, expand=True)
    one.icalendar_component["summary"] = "Verlegt"
    one.save()
    saved.load()
    assert [title for _, _, title in instances(saved.data)].count("Verlegt") == 1
    assert len(instances(saved.data)) == 10 and "日本語" in saved.data


def test_a_day(calendar):
    calendar.save_event(all_day("day", "Heiligabend – 日本語"))
    (found,) = calendar.search(start=datetime.datetime(2026, 12, 24), end=datetime.datetime(2026, 12, 25), event=True)
    assert found.icalendar_component["dtstart"].dt == datetime.date(2026, 12, 24)
    assert found.icalendar_component["summary"] == "Heiligabend – 日本語"


def test_sync_by_token(calendar):
    calendar.save_event(event("one"))
    first = calendar.objects_by_sync_token(load_objects=True)
    assert len(list(first)) == 1
    calendar.save_event(event("two"))
    later = calendar.objects_by_sync_token(sync_token=first.sync_token, load_objects=True)
    assert [o.icalendar_component["uid"] for o in later] == ["two"]


def test_free_busy(calendar):
    calendar.save_event(event("one", start="20261201T100000Z", end="20261201T110000Z"))
    utc = datetime.timezone.utc
    answer = calendar.freebusy_request(
        datetime.datetime(2026, 12, 1, tzinfo=utc), datetime.datetime(2026, 12, 2, tzinfo=utc))
    assert "20261201T100000Z/" in answer.data.replace("\r\n ", "")


def test_a_calendar_is_made_and_removed(principal):
    made = principal.make_calendar(name="Garden", cal_id="garden")
    made.save_event(event("g"))
    assert len(made.events()) == 1
    made.delete()
    assert not any(str(c.url).endswith("/garden/") for c in principal.calendars())
