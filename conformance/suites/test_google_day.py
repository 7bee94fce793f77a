"""A day with a Google account, from outside: a CalDAV client that we did not write in front, the simulator behind, and every mail counted."""

import datetime

import caldav
import pytest

from harness.gateway import Gateway
from harness.google import Google
from harness.process import wait_until

UTC = datetime.timezone.utc


@pytest.fixture
def google(started):
    service = started(Google())
    yield service
    assert service.violations == []


@pytest.fixture(params=["webhook", "polling"])
def day(request, started, tmp_path, google):
    """The gateway with the account, which hears of changes or asks for them, and the client."""
    by_webhook = request.param == "webhook"
    gateway = Gateway(tmp_path, sync__poll_interval="1h" if by_webhook else "1s", webhooks__enabled=str(by_webhook).lower(),
                      sync__write_through="10s", **google.settings())
    started(gateway)
    gateway.add_user()
    google.put(id="lunch1", summary="Lunch", start=at(3, 12), end=at(3, 13))
    google.put(id="standup1", summary="Standup", start=at(2, 9), end=at(2, 10), recurrence=["RRULE:FREQ=DAILY;COUNT=5"],
               attendees=[{"email": google.email, "responseStatus": "accepted"}, {"email": "bo@example.org"}])
    google.put(id="review1", summary="Review", start=at(4, 14), end=at(4, 15), organizer={"email": "bo@example.org"},
               attendees=[{"email": google.email}, {"email": "bo@example.org", "responseStatus": "accepted"}])
    gateway.json("account", "add", "ana", "--provider", "google", "--refresh-token-stdin", text="refresh-1\n")
    gateway.sync()
    if by_webhook:
        wait_until(lambda: len(google.channels) == 2, what="the channels")
    with caldav.DAVClient(url=gateway.url, username="ana", password=gateway.password) as client:
        yield Day(gateway, client.principal())
    if not by_webhook:
        assert google.channels == {}


class Day:
    def __init__(self, gateway, principal):
        self.gateway, self.principal = gateway, principal
        self.calendar = self.named("/unified/")

    def named(self, ending):
        return next(one for one in self.principal.calendars() if str(one.url).endswith(ending))

    def found(self, title, calendar=None):
        events = [one for one in (calendar or self.calendar).events() if title in one.data]
        return events[0] if events else None


def at(day, hour):
    return {"dateTime": f"2026-02-{day:02}T{hour:02}:00:00+01:00", "timeZone": "Europe/Paris"}


def test_what_happens_at_google_is_seen(day, google):
    first = day.calendar.objects_by_sync_token(load_objects=True)
    assert {str(one.icalendar_component["summary"]) for one in first} == {"Lunch", "Standup", "Review"}
    google.put(id="lunch1", location="Rue 1")
    wait_until(lambda: "LOCATION:Rue 1" in day.found("Lunch").data, what="the change")
    google.put(id="standup1_20260203T080000Z", recurringEventId="standup1", summary="Late standup", iCalUID="standup1@google.com",
               originalStartTime=at(3, 9), start=at(3, 11), end=at(3, 12))
    wait_until(lambda: "Late standup" in day.found("Standup").data, what="the changed instance")
    google.remove("review1")
    wait_until(lambda: day.found("Review") is None, what="the deletion")
    later = day.calendar.objects_by_sync_token(sync_token=first.sync_token, load_objects=True)
    assert {str(one.icalendar_component["summary"]) for one in later if one.data} >= {"Lunch", "Standup"}, "the client is told what changed"
    assert google.mails == []


def test_one_instance_is_moved_and_whoever_comes_is_told_once(day, google):
    begin = datetime.datetime(2026, 2, 4, tzinfo=UTC)
    (one,) = [event for event in day.calendar.search(start=begin, end=begin + datetime.timedelta(days=1), event=True, expand=True)
              if str(event.icalendar_component["summary"]) == "Standup"]
    for name in ("dtstart", "dtend"):
        value = one.icalendar_component.pop(name).dt + datetime.timedelta(hours=2)
        one.icalendar_component.add(name, value)
    one.save()
    moved = google.events[google.email]["standup1_20260204T080000Z"]
    assert moved["start"]["dateTime"].startswith("2026-02-04T11:00") and moved["status"] == "confirmed"
    assert google.events[google.email]["standup1"]["start"]["dateTime"] == at(2, 9)["dateTime"]
    assert google.mails == [("bo@example.org", "updated", "Standup")]
    shown = day.calendar.search(start=begin, end=begin + datetime.timedelta(days=1), event=True, expand=True)
    starts = [event.icalendar_component["dtstart"].dt.astimezone(UTC).hour for event in shown if "Standup" in event.data]
    assert starts == [10]


def test_an_invitation_is_accepted(day, google):
    event = day.found("Review")
    event.change_attendee_status(attendee="mailto:" + google.email, PARTSTAT="ACCEPTED")
    event.save()
    answers = {one["email"]: one["responseStatus"] for one in google.live()["Review"]["attendees"]}
    assert answers == {google.email: "accepted", "bo@example.org": "accepted"}
    assert google.mails == [("bo@example.org", "answered", "Review")]


def test_an_event_goes_to_another_calendar(day, google):
    local = day.principal.make_calendar(name="At home", cal_id="home")
    source = next(one["id"] for one in day.gateway.json("source", "list", "ana") if one["account"])
    event = day.found("Lunch", day.named(f"/{source}/"))
    answer = event.client.request(str(event.url), "MOVE", headers={"Destination": str(local.url) + "lunch.ics"})
    assert answer.status in (201, 204)
    wait_until(lambda: "Lunch" not in google.live(), what="the move")
    assert "SUMMARY:Lunch" in day.found("Lunch", local).data and day.found("Lunch", day.named(f"/{source}/")) is None
    assert set(google.live()) == {"Standup", "Review"} and google.mails == []
