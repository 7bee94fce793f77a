"""The Google simulator, checked with a client that we did not write: google-api-python-client with the discovery document."""

import pytest

from harness.google import DISCOVERY, Google

pytest.importorskip("googleapiclient", reason="google-api-python-client is not installed")

import httplib2  # noqa: E402
from googleapiclient import discovery, errors  # noqa: E402


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


def timed(hour):
    return {"dateTime": f"2026-02-03T{hour:02}:00:00Z", "timeZone": "UTC"}


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
