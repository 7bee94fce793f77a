"""Google Calendar and its sign-in, as strict as the discovery document: what that does not allow is refused and counted."""

import base64
import copy
import datetime
import hashlib
import json
import re
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import google_batch
from .google_rules import METHODS, UTC, Refused, check_body, check_query, merge, moment
from .google_view import Views, chosen


class Google(Views):
    """One account with its calendars. Tests change things by its methods and look at its attributes."""

    email = "ana@example.org"
    name = "google"

    def __init__(self):
        self.lock = threading.RLock()
        self.calendars = {}
        self.events = {}        # calendar -> id -> event
        self.changed = {}       # calendar -> id -> number of the change
        self.number = 100
        self.mails = []         # (who, what)
        self.requests = []      # (method, path, query)
        self.violations = []    # what the discovery document does not allow
        self.faults = {}        # name -> how often
        self.channels = {}
        self.notifications = 0
        self.refresh_tokens = {"refresh-1"}
        self.access_tokens = set()
        self.codes = {}
        self.revoked = []
        self.expired = set()    # sync tokens that are answered with 410
        self.windows = {}       # sync token -> what the listing before it was restricted to
        self.has_consented = False
        self.add_calendar(self.email, "Ana", primary=True, role="owner")
        self.server = None

    # Life

    def start(self):
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body leave together, and nobody waits for the network to send the second.
            wbufsize, disable_nagle_algorithm = 1 << 20, True

            def log_message(self, *_):
                pass

            def answer(self):
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                status, headers, content = service.serve(self.command, self.path, self.headers, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        return self

    def kill(self):
        self.server.shutdown()
        self.server.server_close()

    def settings(self):
        """What the gateway is configured with."""
        return {
            "providers__google__client_id": "client-1",
            "providers__google__client_secret": "hush",
            "providers__google__auth_url": self.url + "/auth",
            "providers__google__token_url": self.url + "/token",
            "providers__google__revoke_url": self.url + "/revoke",
            "providers__google__api_url": self.url + "/calendar/v3",
        }

    # What happens at the provider

    def add_calendar(self, id, summary, primary=False, role="owner", **more):
        entry = {
            "kind": "calendar#calendarListEntry", "etag": '"1"', "id": id, "summary": summary, "timeZone": "Europe/Paris",
            "accessRole": role, "backgroundColor": "#9fe1e7", "foregroundColor": "#000000", "selected": True,
            "defaultReminders": [{"method": "popup", "minutes": 10}], **more,
        }
        if primary:
            entry["primary"] = True
        with self.lock:
            self.calendars[id] = entry
            self.events.setdefault(id, {})
            self.changed.setdefault(id, {})

    def put(self, calendar=None, **event):
        """Somebody makes or changes an event in the web interface."""
        calendar = calendar or self.email
        with self.lock:
            id = event.get("id") or f"evt{self.number:06d}"
            event = {**self.events[calendar].get(id, {}), **event, "id": id}
            self.store(calendar, event)
        self.notify(calendar)
        return id

    def remove(self, id, calendar=None):
        calendar = calendar or self.email
        with self.lock:
            self.cancel(calendar, self.events[calendar][id])
        self.notify(calendar)

    def live(self, calendar=None):
        """The events that are there, by summary."""
        with self.lock:
            events = self.events[calendar or self.email].values()
            return {one.get("summary", ""): copy.deepcopy(one) for one in events if one["status"] != "cancelled"}

    def store(self, calendar, event):
        self.number += 1
        now = datetime.datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        event.setdefault("kind", "calendar#event")
        event.setdefault("status", "confirmed")
        event.setdefault("created", now)
        event.setdefault("iCalUID", event["id"] + "@google.com")
        event.setdefault("organizer", {"email": self.email, "self": True})
        event.setdefault("creator", {"email": self.email, "self": True})
        event.setdefault("reminders", {"useDefault": True})
        event.setdefault("eventType", "default")
        event.setdefault("sequence", 0)
        event["updated"] = now
        event["etag"] = f'"{self.number}"'
        for kind in event.get("extendedProperties", {}).values():
            for name in [name for name in kind if len(name) > 44]:
                del kind[name]
            for name in kind:
                kind[name] = kind[name][:1024]
        for one in event.get("attendees", []):
            if one["email"].lower() == self.email:
                one["self"] = True
            one.setdefault("responseStatus", "needsAction")
        self.events[calendar][event["id"]] = event
        self.changed[calendar][event["id"]] = self.number
        return event

    def cancel(self, calendar, event):
        event["status"] = "cancelled"
        self.store(calendar, event)
        for child in list(self.events[calendar].values()):
            if child.get("recurringEventId") == event["id"] and child["status"] != "cancelled":
                self.cancel(calendar, child)

    def notify(self, calendar, times=1):
        """Posts to every channel of the calendar."""
        with self.lock:
            channels = [one for one in self.channels.values() if one["calendar"] == calendar]
        if self.take("lose_notifications"):
            return
        for channel in channels:
            for _ in range(times):
                self.post(channel, "exists")

    def post(self, channel, state, token=None):
        self.notifications += 1
        request = urllib.request.Request(channel["address"], data=b"", method="POST", headers={
            "X-Goog-Channel-ID": channel["id"], "X-Goog-Resource-ID": channel["resource"],
            "X-Goog-Resource-State": state, "X-Goog-Message-Number": str(self.notifications),
            "X-Goog-Channel-Token": channel["token"] if token is None else token,
        })
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except OSError:
            # A message that finds nobody is lost.
            return None

    def count(self, method, ending, **query):
        """How many requests were made to paths that end so, with at least these parameters."""
        with self.lock:
            return sum(
                1 for m, path, asked in self.requests
                if m == method and path.endswith(ending) and all(asked.get(k) for k in query)
            )

    def take(self, fault):
        with self.lock:
            left = self.faults.get(fault, 0)
            if left:
                self.faults[fault] = left - 1
            return bool(left)

    # HTTP

    def serve(self, method, target, headers, body):
        url = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        form = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace"))) if url.path in ("/token", "/revoke") else {}
        if url.path == "/auth":
            return self.authorize(query)
        if url.path == "/token":
            return self.token({**basic(headers), **form})
        if url.path == "/revoke":
            with self.lock:
                self.revoked.append(form.get("token"))
                self.refresh_tokens.discard(form.get("token"))
            return 200, {}, b""
        if self.take("html_502"):
            return 502, {"content-type": "text/html"}, b"<html>Bad gateway</html>"
        if method == "POST" and url.path == google_batch.PATH:
            return google_batch.answer(headers, body, self.serve)
        try:
            with self.lock:
                self.requests.append((method, urllib.parse.unquote(url.path), query))
                answer = self.api(method, url.path, query, headers, body)
            if answer is None:
                return 204, {}, b""
            if method == "GET" and headers.get("if-none-match") and headers["if-none-match"] == answer.get("etag"):
                return 304, {}, b""
            content = json.dumps(answer).encode()
            if self.take("cut_body"):
                content = content[: len(content) // 2]
            if method == "POST" and self.take("lose_answer") or self.take(f"lose_answer_of_{method.lower()}"):
                return 503, {}, b""
            return 200, {"content-type": "application/json; charset=UTF-8"}, content
        except Refused as why:
            error = {"domain": why.domain, "reason": why.reason, "message": why.reason}
            content = json.dumps({"error": {"errors": [error], "code": why.status, "message": why.reason}}).encode()
            return why.status, {"content-type": "application/json"}, content

    def authorize(self, query):
        needed = {"client_id", "redirect_uri", "response_type", "scope", "state", "code_challenge", "code_challenge_method", "access_type"}
        if not needed <= set(query) or query["access_type"] != "offline" or query["code_challenge_method"] != "S256":
            self.violations.append(f"authorization without {needed - set(query)}")
            return 400, {}, b"invalid_request"
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        back = {"state": query["state"], "code": code, "scope": query["scope"]}
        if self.take("deny"):
            back = {"state": query["state"], "error": "access_denied"}
        return 302, {"location": query["redirect_uri"] + "?" + urllib.parse.urlencode(back)}, b""

    def token(self, form):
        def answer(status, document):
            return status, {"content-type": "application/json"}, json.dumps(document).encode()

        if (form.get("client_id"), form.get("client_secret")) != ("client-1", "hush"):
            return answer(401, {"error": "invalid_client"})
        scope = "https://www.googleapis.com/auth/calendar.events https://www.googleapis.com/auth/calendar.calendarlist.readonly"
        reply = {"token_type": "Bearer", "expires_in": 3599, "scope": scope}
        with self.lock:
            if form.get("grant_type") == "authorization_code":
                asked = self.codes.pop(form.get("code"), None)
                digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
                proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
                if not asked or asked["redirect_uri"] != form.get("redirect_uri") or asked["code_challenge"] != proof:
                    return answer(400, {"error": "invalid_grant"})
                # Only the first consent yields one, and each that was asked for anew.
                if asked.get("prompt") == "consent" or not self.has_consented:
                    reply["refresh_token"] = f"refresh-{len(self.refresh_tokens) + 10}"
                    self.refresh_tokens.add(reply["refresh_token"])
                self.has_consented = True
                reply["scope"] = scope.split()[1] if self.take("untick") else asked["scope"]
            elif form.get("refresh_token") not in self.refresh_tokens:
                return answer(400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
            reply["access_token"] = f"access-{self.number}-{len(self.access_tokens)}"
            self.access_tokens.add(reply["access_token"])
        return answer(200, reply)

    def api(self, method, path, query, headers, body):
        token = (headers.get("authorization") or "").removeprefix("Bearer ")
        if token not in self.access_tokens:
            raise Refused(401, "authError")
        for name, (status, reason) in FAULTS.items():
            if self.take(name):
                raise Refused(status, reason, "usageLimits" if "xceeded" in reason else "global")
        path = path.removeprefix("/calendar/v3/")
        for verb, pattern, description in METHODS:
            match = pattern.match(path)
            if verb == method and match:
                break
        else:
            self.violations.append(f"{method} {path}")
            raise Refused(404, "notFound")
        try:
            check_query(description, query)
        except ValueError as error:
            self.violations.append(f"{description['id']}: {error}")
            raise Refused(400, "badRequest") from error
        content = None
        if body:
            content = json.loads(body)
            try:
                check_body(description.get("request", {"type": "object"}), content, description["id"])
            except ValueError as error:
                self.violations.append(str(error))
                raise Refused(400, "invalid") from error
        arguments = {name: urllib.parse.unquote(value) for name, value in match.groupdict().items()}
        calendar = arguments.get("calendarId")
        if calendar == "primary":
            arguments["calendarId"] = calendar = self.email
        if calendar is not None and calendar not in self.calendars:
            raise Refused(404, "notFound")
        name = description["id"].removeprefix("calendar.").replace(".", "_")
        action = getattr(self, "do_" + name, None)
        if action is None:
            raise Refused(501, "notImplemented")
        answer = action(arguments, query, content, headers.get("if-match"))
        return chosen(answer, query["fields"], description["response"]) if answer and "fields" in query else answer

    # Calendars

    def do_calendarList_list(self, _arguments, query, _body, _match):
        entries = [one for one in self.calendars.values() if query.get("showHidden") == "true" or not one.get("hidden")]
        return {"kind": "calendar#calendarList", "items": entries, "nextSyncToken": f"list-{self.number}"}

    def do_calendarList_get(self, arguments, *_):
        return self.calendars[arguments["calendarId"]]

    def do_calendars_get(self, arguments, *_):
        entry = self.calendars[arguments["calendarId"]]
        kept = ["etag", "id", "summary", "description", "location", "timeZone"]
        return {"kind": "calendar#calendar", **{name: entry[name] for name in kept if name in entry}}

    def do_calendarList_watch(self, _arguments, _query, body, _match):
        return self.open(None, body)

    # Events

    def do_events_insert(self, arguments, query, body, _match):
        calendar = arguments["calendarId"]
        self.writable(calendar)
        self.check_event(body)
        if "id" in body and "iCalUID" in body:
            raise Refused(400, "invalid")
        id = body.get("id") or f"evt{self.number:06d}"
        if not re.fullmatch(r"[a-v0-9]{5,1024}", id):
            raise Refused(400, "invalid")
        if id in self.events[calendar]:
            raise Refused(409, "duplicate")
        event = {}
        merge(event, {**body, "id": id})
        self.mail(query, event, "invited", [one["email"] for one in event.get("attendees", [])])
        return copy.deepcopy(self.store(calendar, event))

    def do_events_import(self, arguments, _query, body, _match):
        calendar = arguments["calendarId"]
        self.writable(calendar)
        if "iCalUID" not in body:
            raise Refused(400, "required")
        self.check_event(body)
        old = [one for one in self.events[calendar].values() if one["iCalUID"] == body["iCalUID"]]
        event = old[0] if old else {"id": "imp" + hashlib.sha256(body["iCalUID"].encode()).hexdigest()[:20].translate(str.maketrans("", "", "wxyz"))}
        merge(event, body)
        if event.get("organizer", {}).get("email") == self.email:
            event["organizer"]["self"] = True
        event["status"] = body.get("status", "confirmed")
        return copy.deepcopy(self.store(calendar, event))

    def do_events_patch(self, arguments, query, body, match):
        calendar = arguments["calendarId"]
        self.writable(calendar)
        old = self.found(calendar, arguments["eventId"])
        if match and match != old["etag"]:
            raise Refused(412, "conditionNotMet")
        if self.take("change_under_way"):
            self.store(calendar, {**old, "location": "Elsewhere"})
            raise Refused(412, "conditionNotMet")
        shared = {"summary", "description", "location", "start", "end", "recurrence", "status", "visibility"}
        if not old["organizer"].get("self") and (shared & set(body) or ("attendees" in body and not body.get("attendeesOmitted"))):
            raise Refused(403, "forbiddenForNonOrganizer", "calendar")
        event = copy.deepcopy(old)
        if body.get("attendeesOmitted"):
            for answer in body.pop("attendees"):
                mine = [one for one in event["attendees"] if one["email"].lower() == answer["email"].lower()]
                if not mine or not mine[0].get("self"):
                    raise Refused(403, "forbiddenForNonOrganizer", "calendar")
                mine[0].update(answer)
            body.pop("attendeesOmitted")
            self.mail(query, event, "answered", [event["organizer"]["email"]])
            merge(event, body)
        else:
            before = {one["email"] for one in event.get("attendees", [])}
            merge(event, body)
            self.mail(query, event, "updated", sorted(before | {one["email"] for one in event.get("attendees", [])}))
        self.check_event(event)
        return copy.deepcopy(self.store(calendar, event))

    def do_events_delete(self, arguments, query, _body, match):
        calendar = arguments["calendarId"]
        self.writable(calendar)
        event = self.found(calendar, arguments["eventId"])
        if event["status"] == "cancelled":
            raise Refused(410, "deleted")
        if match and match != event["etag"]:
            raise Refused(412, "conditionNotMet")
        self.mail(query, event, "cancelled", [one["email"] for one in event.get("attendees", [])])
        self.cancel(calendar, event)

    def do_events_update(self, arguments, query, body, match):
        """PUT: what is not named is gone."""
        old = self.found(arguments["calendarId"], arguments["eventId"])
        kept = ["id", "iCalUID", "kind", "created", "creator", "organizer", "etag", "eventType", "sequence", "recurringEventId", "originalStartTime"]
        cleared = {name: None for name in old if name not in kept}
        return self.do_events_patch(arguments, query, {**cleared, **body}, match)

    def do_events_move(self, arguments, query, body, _match):
        """The calendar that it comes into organizes it from then on; where it was a cancelled stub stays."""
        calendar, destination = arguments["calendarId"], query["destination"]
        destination = self.email if destination == "primary" else destination
        event = self.found(calendar, arguments["eventId"])
        if body is not None or destination == calendar:
            raise Refused(400, "invalid")
        if destination not in self.calendars or event["status"] == "cancelled":
            raise Refused(404, "notFound")
        if event["eventType"] != "default" or "recurringEventId" in event:
            raise Refused(400, "cannotChangeOrganizer", "calendar")
        self.writable(calendar)
        self.writable(destination)
        self.mail(query, event, "moved", [one["email"] for one in event.get("attendees", [])])
        family = [event, *(one for one in self.events[calendar].values() if one.get("recurringEventId") == event["id"])]
        family = copy.deepcopy(family)
        self.cancel(calendar, event)
        for one in family:
            if one["organizer"].get("self"):
                one["organizer"] = {"email": destination, "displayName": self.calendars[destination]["summary"], "self": True}
            self.store(destination, one)
        return copy.deepcopy(family[0])

    def do_events_watch(self, arguments, _query, body, _match):
        return self.open(arguments["calendarId"], body)

    def open(self, calendar, body):
        if body["type"] != "web_hook" or len(body["id"]) > 64 or len(body.get("token", "")) > 256:
            raise Refused(400, "invalid")
        if body["id"] in self.channels:
            raise Refused(400, "channelIdNotUnique")
        life = self.faults.get("channel_seconds") or 604_800
        expires = int((datetime.datetime.now(UTC).timestamp() + life) * 1000)
        channel = {"id": body["id"], "calendar": calendar, "address": body["address"], "token": body.get("token", ""),
                   "resource": f"resource-{calendar}"}
        self.channels[body["id"]] = channel
        threading.Timer(0.05, lambda: self.post(channel, "sync")).start()
        return {"kind": "api#channel", "id": body["id"], "resourceId": channel["resource"],
                "resourceUri": self.url, "expiration": str(expires)}

    def do_channels_stop(self, _arguments, _query, body, _match):
        if self.channels.pop(body["id"], None) is None:
            raise Refused(404, "channelIdNotFound")

    # Rules

    def writable(self, calendar):
        if self.calendars[calendar]["accessRole"] not in ("owner", "writer"):
            raise Refused(403, "requiredAccessLevel", "calendar")

    def check_event(self, event):
        if "start" not in event or "end" not in event:
            raise Refused(400, "required")
        for point in (event["start"], event["end"]):
            if ("date" in point and point["date"]) and point.get("dateTime"):
                raise Refused(400, "invalid")
        begin, end = moment(self.bare(event["start"])), moment(self.bare(event["end"]))
        if end <= begin:
            raise Refused(400, "timeRangeEmpty", "calendar")
        if event.get("recurrence") and "dateTime" in event["start"] and not event["start"].get("timeZone"):
            raise Refused(400, "invalid")

    @staticmethod
    def bare(point):
        return {name: value for name, value in point.items() if value is not None}

    def mail(self, query, event, what, whom):
        if query.get("sendUpdates") == "all":
            self.mails.extend((who, what, event.get("summary")) for who in whom if who.lower() != self.email)


def basic(headers):
    """A client may say who it is by Basic as well as in the form (token_endpoint_auth_methods_supported)."""
    kind, _, value = (headers.get("authorization") or "").partition(" ")
    if kind.lower() != "basic":
        return {}
    name, _, secret = base64.b64decode(value).decode().partition(":")
    return {"client_id": urllib.parse.unquote_plus(name), "client_secret": urllib.parse.unquote_plus(secret)}


FAULTS = {
    "rate_limit": (403, "rateLimitExceeded"),
    "quota": (403, "quotaExceeded"),
    "not_organizer": (403, "forbiddenForNonOrganizer"),
    "backend": (503, "backendError"),
    "not_enabled": (403, "accessNotConfigured"),
}
