"""The Google simulator, checked with clients that we did not write: google-api-python-client, gcal-sync and gcsa."""

import asyncio
import datetime
import json
import threading
import urllib.request
import webbrowser

import aiohttp
import gcal_sync.api
import gcal_sync.auth
import gcal_sync.exceptions
import gcal_sync.model
import gcal_sync.sync
import gcsa.event
import gcsa.google_calendar
import httplib2
import pytest
from google.auth.exceptions import RefreshError
from googleapiclient import discovery, errors

from harness.google import Google
from harness.google_rules import DISCOVERY, UTC
from harness.process import free_port


class Signed(httplib2.Http):
    """Adds the token that the simulator knows."""

    def request(self, uri, method="GET", body=None, headers=None, **more):
        headers = {**(headers or {}), "Authorization": "Bearer test-token"}
        return super().request(uri, method=method, body=body, headers=headers, **more)


@pytest.fixture
def world(started):
    google = started(Google())
    google.access_tokens.add("test-token")
    document = {**DISCOVERY, "rootUrl": google.url + "/", "baseUrl": google.url + "/calendar/v3/"}
    yield google, discovery.build_from_document(document, http=Signed())
    assert google.violations == []


def timed(hour, day=3):
    return {"dateTime": f"2026-02-{day:02}T{hour:02}:00:00Z", "timeZone": "UTC"}


def code(call):
    with pytest.raises(errors.HttpError) as refused:
        call.execute()
    return refused.value.resp.status


def test_reading_in_pages_and_from_a_token(world):
    google, api = world
    for n in range(7):
        google.put(summary=f"E{n}", start=timed(9), end=timed(10))
    assert api.calendarList().list().execute()["items"][0]["primary"]
    events, request = [], api.events().list(calendarId=google.email, maxResults=3)
    while request is not None:
        page = request.execute()
        events += page["items"]
        token = page.get("nextSyncToken")
        request = api.events().list_next(request, page)
    assert len(events) == 7 and token
    google.remove(events[0]["id"])
    changed = api.events().list(calendarId=google.email, syncToken=token).execute()["items"]
    assert [(one["id"], one["status"]) for one in changed] == [(events[0]["id"], "cancelled")]
    google.expired.add(token)
    assert code(api.events().list(calendarId=google.email, syncToken=token)) == 410
    assert code(api.events().list(calendarId=google.email, syncToken=token, q="x")) == 400


def test_writing_under_a_condition(world):
    google, api = world
    body = {"summary": "A", "start": timed(9), "end": timed(10), "id": "abc12345", "attendees": [{"email": "bo@example.org"}]}
    made = api.events().insert(calendarId=google.email, body=body, sendUpdates="all").execute()
    assert google.mails == [("bo@example.org", "invited", "A")]
    assert code(api.events().insert(calendarId=google.email, body=body)) == 409
    stale = api.events().patch(calendarId=google.email, eventId=made["id"], body={"summary": "B"}, sendUpdates="none")
    stale.headers["If-Match"] = '"0"'
    assert code(stale) == 412
    changed = api.events().patch(calendarId=google.email, eventId=made["id"], body={"summary": "B"}, sendUpdates="none").execute()
    assert changed["summary"] == "B" and changed["attendees"] and changed["etag"] != made["etag"]
    zero = api.events().patch(calendarId=google.email, eventId=made["id"], body={"end": timed(9)})
    assert code(zero) == 400
    api.events().delete(calendarId=google.email, eventId=made["id"], sendUpdates="none").execute()
    assert code(api.events().delete(calendarId=google.email, eventId=made["id"])) == 410
    assert len(google.mails) == 1


def test_series_imports_moves_and_channels(world):
    google, api = world
    google.add_calendar("other@group", "Other")
    body = {"summary": "S", "start": timed(9), "end": timed(10), "recurrence": ["RRULE:FREQ=DAILY;COUNT=3"]}
    series = api.events().insert(calendarId=google.email, body=body).execute()
    second = api.events().instances(calendarId=google.email, eventId=series["id"], originalStart="2026-02-04T09:00:00Z").execute()
    second = second["items"][0]
    assert second["recurringEventId"] == series["id"]
    api.events().delete(calendarId=google.email, eventId=second["id"]).execute()
    assert api.events().get(calendarId=google.email, eventId=second["id"]).execute()["status"] == "cancelled"
    copy = {"summary": "I", "start": timed(9), "end": timed(10), "iCalUID": "uid@x", "organizer": {"email": "cy@example.org"}}
    first = api.events().import_(calendarId=google.email, body=copy).execute()
    assert api.events().import_(calendarId=google.email, body=copy).execute()["id"] == first["id"]
    moved = api.events().move(calendarId=google.email, eventId=first["id"], destination="other@group").execute()
    assert moved["iCalUID"] == "uid@x" and "I" in google.live("other@group") and "I" not in google.live()
    assert code(api.events().move(calendarId=google.email, eventId=second["id"], destination="other@group")) == 404, "it is cancelled"
    hook = {"id": "c1", "type": "web_hook", "address": google.url + "/nowhere", "token": "t"}
    channel = api.events().watch(calendarId=google.email, body=hook).execute()
    api.channels().stop(body={"id": "c1", "resourceId": channel["resourceId"]}).execute()
    assert google.channels == {} and google.mails == []


def test_what_the_document_does_not_allow_is_counted(started):
    google = started(Google())
    google.access_tokens.add("test-token")
    api = discovery.build_from_document({**DISCOVERY, "rootUrl": google.url + "/", "baseUrl": google.url + "/"}, http=Signed())
    body = {"summary": "A", "start": timed(9), "end": timed(10), "colour": "red"}
    assert code(api.events().insert(calendarId=google.email, body=body)) == 400
    assert google.violations == ["calendar.events.insert.colour is no member"]


def test_windows_order_and_instances(world):
    google, api = world
    series = google.put(summary="S", start=timed(9, 2), end=timed(10, 2), recurrence=["RRULE:FREQ=DAILY", "EXDATE:20260204T090000Z"])
    google.put(summary="Late", start=timed(18), end=timed(19), location="Rue de Q")
    google.put(summary="Early", start=timed(7), end=timed(8))
    window = {"timeMin": "2026-02-03T00:00:00Z", "timeMax": "2026-02-06T00:00:00+00:00"}
    shown = api.events().list(calendarId="primary", singleEvents=True, orderBy="startTime", **window).execute()
    assert [one["summary"] for one in shown["items"]] == ["Early", "S", "Late", "S"] and "nextSyncToken" not in shown
    masters = api.events().list(calendarId="primary", **window).execute()
    assert {one["summary"] for one in masters["items"]} == {"Early", "S", "Late"}
    google.put(summary="Outside", start=timed(9, 20), end=timed(10, 20))
    changed = api.events().list(calendarId="primary", syncToken=masters["nextSyncToken"]).execute()
    assert changed["items"] == [], "a token covers what the listing before it covered"
    found = api.events().list(calendarId="primary", q="rue", fields="items(summary,start/dateTime)").execute()
    assert found == {"items": [{"summary": "Late", "start": {"dateTime": timed(18)["dateTime"]}}]}
    days = api.events().instances(calendarId="primary", eventId=series, maxResults=2, **window)
    page = days.execute()
    assert [one["id"] for one in page["items"]] == [f"{series}_20260203T090000Z", f"{series}_20260205T090000Z"]
    assert "nextPageToken" not in page and api.events().instances_next(days, page) is None
    assert code(api.events().list(calendarId="primary", orderBy="startTime")) == 400
    assert code(api.events().list(calendarId="primary", timeMin="2026-02-03T00:00:00")) == 400, "an instant has an offset"
    assert code(api.events().list(calendarId="primary", timeMin=window["timeMax"], timeMax=window["timeMin"])) == 400
    assert code(api.events().list(calendarId="primary", fields="items(colour)")) == 400


def test_a_series_moves_with_its_instances(world):
    google, api = world
    google.add_calendar("other@group", "Other")
    google.add_calendar("seen@group", "Seen", role="reader")
    series = google.put(summary="S", start=timed(9), end=timed(10), recurrence=["RRULE:FREQ=DAILY;COUNT=3"])
    second = f"{series}_20260204T090000Z"
    api.events().patch(calendarId="primary", eventId=second, body={"summary": "Changed"}).execute()
    assert code(api.events().move(calendarId="primary", eventId=second, destination="other@group")) == 400
    assert code(api.events().move(calendarId="primary", eventId=series, destination="seen@group")) == 403
    assert code(api.events().move(calendarId="primary", eventId=series, destination="nowhere@group")) == 404
    moved = api.events().move(calendarId="primary", eventId=series, destination="other@group").execute()
    assert moved["id"] == series and moved["organizer"]["email"] == "other@group"
    assert api.events().get(calendarId="other@group", eventId=second).execute()["summary"] == "Changed"
    assert api.events().get(calendarId="primary", eventId=series).execute()["status"] == "cancelled"
    birthday = google.put(summary="B", eventType="birthday", start={"date": "2026-02-04"}, end={"date": "2026-02-05"})
    assert code(api.events().move(calendarId="primary", eventId=birthday, destination="other@group")) == 400


def test_a_batch_answers_each_of_its_parts(world):
    google, api = world
    body = {"summary": "A", "start": timed(9), "end": timed(10)}
    answers = {}

    def keep(name, answer, error):
        answers[name] = answer if error is None else error.resp.status

    batch = api.new_batch_http_request(callback=keep)
    batch.add(api.events().insert(calendarId="primary", body={**body, "id": "first0"}), request_id="first")
    batch.add(api.events().insert(calendarId="primary", body={**body, "summary": "Ä", "id": "second0"}), request_id="second")
    batch.add(api.events().insert(calendarId="primary", body={**body, "end": timed(9)}), request_id="empty")
    batch.add(api.events().get(calendarId="primary", eventId="nothing"), request_id="missing")
    batch.add(api.calendarList().list(), request_id="list")
    batch.execute()
    assert answers["first"]["id"] == "first0" and answers["second"]["summary"] == "Ä"
    assert answers["empty"] == 400 and answers["missing"] == 404 and answers["list"]["items"][0]["primary"]
    again = api.new_batch_http_request(callback=keep)
    again.add(api.events().delete(calendarId="primary", eventId="first0"), request_id="gone")
    again.add(api.events().insert(calendarId="primary", body={**body, "id": "second0"}), request_id="twice")
    again.execute()
    assert answers["twice"] == 409 and set(google.live()) == {"Ä"}
    many = api.new_batch_http_request()
    for _ in range(51):
        many.add(api.events().list(calendarId="primary"))
    with pytest.raises(errors.HttpError) as refused:
        many.execute()
    assert refused.value.resp.status == 400


def test_what_is_known_is_not_sent_again(world):
    google, api = world
    id = google.put(summary="A", start=timed(9), end=timed(10))
    known = api.events().get(calendarId="primary", eventId=id).execute()
    again = api.events().get(calendarId="primary", eventId=id)
    again.headers["If-None-Match"] = known["etag"]
    assert code(again) == 304


# gcal-sync, the client of Home Assistant


class Token(gcal_sync.auth.AbstractAuth):
    """The token that the simulator knows."""

    async def async_get_access_token(self):
        return "test-token"


def synced(google, act):
    """Runs `act` with gcal-sync's service."""
    google.access_tokens.add("test-token")

    async def run():
        async with aiohttp.ClientSession() as session:
            return await act(gcal_sync.api.GoogleCalendarService(Token(session, google.url + "/calendar/v3")))

    return asyncio.run(run())


@pytest.fixture
def google_alone(started):
    google = started(Google())
    yield google
    assert google.violations == []


def test_gcal_sync_keeps_a_copy(google_alone):
    google = google_alone
    google.faults["small_pages"] = 2
    ids = [google.put(summary=f"E{n}", start=timed(9 + n), end=timed(10 + n)) for n in range(5)]
    series = google.put(summary="S", start=timed(9, 2), end=timed(10, 2), recurrence=["RRULE:FREQ=DAILY;COUNT=4"])

    async def act(api):
        manager = gcal_sync.sync.CalendarEventSyncManager(api, google.email)

        async def copy():
            await manager.run()
            timeline = await manager.store_service.async_get_timeline(UTC)
            return sorted(event.summary for event in timeline)

        assert await copy() == ["E0", "E1", "E2", "E3", "E4", "S", "S", "S", "S"]
        google.remove(ids[0])
        google.put(id=f"{series}_20260203T090000Z", recurringEventId=series, status="cancelled", iCalUID=series + "@google.com",
                   originalStartTime=timed(9), start=timed(9), end=timed(10))
        before = google.count("GET", "/events")
        assert await copy() == ["E1", "E2", "E3", "E4", "S", "S", "S"]
        assert google.count("GET", "/events", syncToken=True) == google.count("GET", "/events") - before == 1
        # 410: it lists everything anew by itself.
        google.remove(ids[1])
        google.expired.update(f"sync-{number}" for number in range(google.number))
        assert await copy() == ["E2", "E3", "E4", "S", "S", "S"]
        lists = gcal_sync.sync.CalendarListSyncManager(api)
        await lists.run()
        google.add_calendar("other@group", "Other")
        await lists.run()
        assert [one.summary for one in (await lists.store_service.async_list_calendars()).calendars] == ["Ana", "Other"]

    synced(google, act)


def test_gcal_sync_writes_and_looks(google_alone):
    google = google_alone

    async def act(api):
        day = gcal_sync.model.DateOrDatetime(date=datetime.date(2026, 2, 3))
        next_day = gcal_sync.model.DateOrDatetime(date=datetime.date(2026, 2, 4))
        await api.async_create_event(google.email, gcal_sync.model.Event(summary="Day", start=day, end=next_day))
        id = google.live()["Day"]["id"]
        await api.async_patch_event(google.email, id, {"summary": "Other day"})
        assert (await api.async_get_event(google.email, id)).summary == "Other day"
        assert (await api.async_get_calendar(google.email)).timezone == "Europe/Paris"
        google.faults["small_pages"] = 1
        google.put(summary="S", start=timed(9), end=timed(10), recurrence=["RRULE:FREQ=DAILY;COUNT=2"])
        asked = gcal_sync.api.ListEventsRequest(calendar_id=google.email, start_time=datetime.datetime(2026, 2, 1, tzinfo=UTC))
        pages = [page async for page in await api.async_list_events(asked)]
        assert [one.summary for page in pages for one in page.items] == ["Other day", "S", "S"] and len(pages) == 3
        await api.async_delete_event(google.email, id)
        with pytest.raises(gcal_sync.exceptions.ApiForbiddenException):
            google.faults["rate_limit"] = 1
            await api.async_list_calendars()
        google.access_tokens.clear()
        with pytest.raises(gcal_sync.exceptions.AuthException):
            await api.async_list_calendars()

    synced(google, act)
    assert set(google.live()) == {"S"} and google.mails == []


# gcsa, which signs in by itself


class Browser:
    """A person who agrees to everything."""

    def open(self, url, **_):
        threading.Thread(target=lambda: urllib.request.urlopen(url, timeout=20).close(), daemon=True).start()
        return True


@pytest.fixture
def person(started, tmp_path, monkeypatch):
    """The simulator, and gcsa signed in to it with the file of a client."""
    google = started(Google())
    monkeypatch.setattr(webbrowser, "get", lambda *_: Browser())
    # The simulator speaks plain HTTP.
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    client = {"client_id": "client-1", "client_secret": "hush", "auth_uri": google.url + "/auth", "token_uri": google.url + "/token",
              "redirect_uris": ["http://localhost"]}
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps({"installed": client}))
    calendar = gcsa.google_calendar.GoogleCalendar(
        google.email, credentials_path=str(file), authentication_flow_port=free_port(), authentication_flow_bind_addr="127.0.0.1")
    document = {**DISCOVERY, "rootUrl": google.url + "/", "baseUrl": google.url + "/calendar/v3/"}
    calendar.service = discovery.build_from_document(document, credentials=calendar.credentials)
    yield google, calendar
    assert google.violations == []


def test_gcsa_signs_in_with_pkce_and_renews_its_token(person):
    google, calendar = person
    assert calendar.credentials.refresh_token in google.refresh_tokens and calendar.credentials.token in google.access_tokens
    google.access_tokens.clear()
    assert [one.summary for one in calendar.get_calendar_list()] == ["Ana"]
    assert calendar.credentials.token in google.access_tokens
    google.access_tokens.clear()
    google.refresh_tokens.clear()
    with pytest.raises(RefreshError) as dead:
        list(calendar.get_calendar_list())
    assert "invalid_grant" in str(dead.value)


def test_gcsa_writes_reads_imports_and_moves(person):
    google, calendar = person
    google.add_calendar("other@group", "Other")
    begin = datetime.datetime(2026, 2, 3, 9, tzinfo=UTC)
    made = calendar.add_event(gcsa.event.Event(
        "Talk", start=begin, end=begin + datetime.timedelta(hours=1), timezone="Europe/Paris", attendees=["bo@example.org"],
        minutes_before_popup_reminder=10, recurrence=["RRULE:FREQ=WEEKLY;COUNT=3"]), send_updates="all")
    assert google.mails == [("bo@example.org", "invited", "Talk")]
    made.summary = "Lecture"
    calendar.update_event(made)
    assert google.live()["Lecture"]["reminders"]["overrides"] == [{"method": "popup", "minutes": 10}] and len(google.mails) == 1
    window = {"time_min": datetime.datetime(2026, 2, 1, tzinfo=UTC), "time_max": datetime.datetime(2026, 3, 1, tzinfo=UTC)}
    shown = calendar.get_events(**window, single_events=True, order_by="startTime")
    assert [one.start.day for one in shown] == [3, 10, 17]
    assert [one.start.day for one in calendar.get_instances(made, **window)] == [3, 10, 17]
    assert [one.summary for one in calendar.get_events(**window, query="lect")] == ["Lecture"]
    copied = calendar.import_event(gcsa.event.Event("Copy", start=begin, end=begin + datetime.timedelta(hours=1), iCalUID="uid@x"))
    assert copied.other["iCalUID"] == "uid@x"
    calendar.move_event(copied, "other@group")
    assert set(google.live()) == {"Lecture"} and set(google.live("other@group")) == {"Copy"}
    calendar.delete_event(made)
    assert google.live() == {} and len(google.mails) == 1
    with pytest.raises(errors.HttpError) as gone:
        calendar.delete_event(made)
    assert gone.value.resp.status == 410
