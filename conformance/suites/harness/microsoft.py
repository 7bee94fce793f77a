"""The simulator of Microsoft Graph, and its owner at work in Outlook."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

from .process import Program, wait_until

ROOT = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("SIMULATE_MICROSOFT", ROOT / "target" / "release" / "simulate-microsoft"))


class Graph(Program):
    """One mailbox, ada@example.com."""

    owner = "ada@example.com"

    def __init__(self, folder: Path):
        super().__init__(folder / "graph.log")
        self.url = None

    def start(self):
        self.log.unlink(missing_ok=True)
        self.spawn([str(BINARY)])
        wait_until(lambda: self.log.exists() and self.log.read_text().startswith("http"), what="the simulator")
        self.url = self.log.read_text().split()[0]
        return self

    def settings(self):
        """What a gateway needs to know of it."""
        return {
            "providers__microsoft__client_id": "simulated",
            "providers__microsoft__authority_url": self.url,
            "providers__microsoft__api_url": self.url + "/v1.0",
        }

    def call(self, method, path, body=None, token="person", **headers):
        """Status and JSON of a request as the owner makes it."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Authorization", f"Bearer {token}")
        request.add_header("Content-Type", "application/json")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, json.loads(text) if text else None

    def control(self, path, **body):
        return self.call("POST", "/_control/" + path, body)[1]

    def fault(self, name, times=1, value=None):
        """Lets a fault of the catalogue happen the next `times` times."""
        self.control("fault", name=name, times=times, value=value)

    def mails(self):
        """What it would have mailed."""
        return self.control("mails")

    def requests(self):
        """What it was asked since this was asked last, sign-in aside."""
        return self.control("requests")

    def state(self):
        return self.control("state")

    def subscriptions(self):
        """The subscriptions that have not ended."""
        return self.state()["subscriptions"]

    def notify(self, event="updated", count=1):
        """Sends a change or a lifecycle event to every subscriber: the statuses it was answered with, and the slowest."""
        return answered(self.control("notify", event=event, count=count))

    def forge(self, what, count=1, body=""):
        """Sends what somebody else would send: `state`, `subscription`, `mixed`, or any `body`."""
        return answered(self.control("forge", what=what, count=count, body=body))

    def calendar(self):
        return self.call("GET", "/v1.0/me/calendar")[1]["id"]

    def events(self, calendar=None):
        """Subject -> event, single ones and masters, with what Outlook would show."""
        path = f"/v1.0/me/calendars/{quote(calendar or self.calendar(), safe='')}/events?$top=1000"
        return {event["subject"]: event for event in self.call("GET", path)[1]["value"]}

    def event(self, id, query=""):
        status, event = self.call("GET", f"/v1.0/me/events/{quote(id, safe='')}{query}")
        return event if status == 200 else None

    def create(self, calendar=None, **members):
        path = f"/v1.0/me/calendars/{quote(calendar or self.calendar(), safe='')}/events"
        status, made = self.call("POST", path, body(**members))
        assert status == 201, made
        return made["id"]

    def patch(self, id, **members):
        status, answer = self.call("PATCH", f"/v1.0/me/events/{quote(id, safe='')}", members)
        assert status == 200, answer

    def delete(self, id):
        assert self.call("DELETE", f"/v1.0/me/events/{quote(id, safe='')}")[0] == 204

    def instances(self, id, start="2026-01-01T00:00:00Z", end="2028-01-01T00:00:00Z"):
        query = f"?startDateTime={start}&endDateTime={end}&$select=id,type,subject,start,end,originalStart"
        return self.call("GET", f"/v1.0/me/events/{quote(id, safe='')}/instances{query}")[1]["value"]


def answered(told):
    return {int(status): count for status, count in told["statuses"].items()}, told["slowest_ms"]


def at(text, zone="W. Europe Standard Time"):
    return {"dateTime": text, "timeZone": zone}


def body(subject="Meeting", start="2026-12-07T09:00:00", end="2026-12-07T10:00:00", zone="W. Europe Standard Time", **members):
    """An event as Outlook makes it."""
    return {"subject": subject, "start": at(start, zone), "end": at(end, zone), "isReminderOn": False} | members


def weekly(count=None, days=("monday",), start="2026-12-07"):
    span = {"type": "numbered", "numberOfOccurrences": count} if count else {"type": "noEnd"}
    return {
        "pattern": {"type": "weekly", "interval": 1, "daysOfWeek": list(days), "firstDayOfWeek": "monday"},
        "range": span | {"startDate": start},
    }
