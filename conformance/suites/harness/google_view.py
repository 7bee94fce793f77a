"""What Google Calendar shows of its events: listings with their windows, order and tokens, the instances of a series, chosen members."""

import copy
import heapq
import itertools
import re
import zoneinfo

from dateutil import parser as dates
from dateutil.rrule import rrulestr

from .google_rules import DISCOVERY, UTC, Refused, key, moment

PAGE = 250
# Of a series without an end.
FAR = 1000
# What a sync token stands for is fixed by the first listing; these may not stand beside it (events.list).
NOT_WITH_A_TOKEN = {"iCalUID", "orderBy", "privateExtendedProperty", "q", "sharedExtendedProperty", "timeMin", "timeMax", "updatedMin"}
# A listing with one of these is a search, and ends without a token.
SEARCH = {"iCalUID", "orderBy", "privateExtendedProperty", "q", "sharedExtendedProperty", "updatedMin"}


class Views:
    """The reading half of the simulator."""

    def do_events_list(self, arguments, query, _body, _match):
        calendar = arguments["calendarId"]
        token, page = query.get("syncToken"), query.get("pageToken")
        if token and (set(query) & NOT_WITH_A_TOKEN or query.get("showDeleted") == "false"):
            raise Refused(400, "badRequest")
        if token and (token in self.expired or not token.startswith("sync-")):
            raise Refused(410, "fullSyncRequired", "calendar")
        if page and self.take("expire_between_pages"):
            raise Refused(410, "fullSyncRequired", "calendar")
        single = query.get("singleEvents") == "true"
        if query.get("orderBy") == "startTime" and not single:
            raise Refused(400, "badRequest")
        since, window = self.meaning(token, single) if token else (0, self.window(query))
        found = self.listed(calendar, query, since if token else None, window, single)
        entry = self.calendars[calendar]
        answer = {
            "kind": "calendar#events", "etag": f'"{self.number}"', "summary": entry["summary"],
            "timeZone": entry["timeZone"], "accessRole": entry["accessRole"], "defaultReminders": entry["defaultReminders"],
        }
        return self.paged(answer, found, query, None if set(query) & SEARCH else lambda: self.token_for(window, single))

    def meaning(self, token, single):
        """Since which change, and of which window; a token serves the kind of listing that it came from."""
        window, was_single = self.windows.get(token, (None, False))
        if was_single != single:
            raise Refused(400, "badRequest")
        return int(token.split("-")[1]), window

    def token_for(self, window, single):
        token = f"sync-{self.number}"
        if window or single:
            token += f"-{len(self.windows)}"
            self.windows[token] = (window, single)
        return token

    @staticmethod
    def window(query):
        """`timeMin` and `timeMax` as instants; both need an offset."""
        bounds = []
        for name in ("timeMin", "timeMax"):
            at = dates.isoparse(query[name]) if name in query else None
            if at is not None and at.tzinfo is None:
                raise Refused(400, "badRequest")
            bounds.append(at)
        if None not in bounds and bounds[1] <= bounds[0]:
            raise Refused(400, "timeRangeEmpty", "calendar")
        return tuple(bounds) if any(bounds) else None

    def listed(self, calendar, query, since, window, single):
        """The items of a listing, all pages of it."""
        stored, found = self.events[calendar], []
        for id, event in sorted(stored.items()):
            is_gone = event["status"] == "cancelled"
            if since is not None:
                wanted = self.changed[calendar][id] > since
            elif "updatedMin" in query:
                wanted = dates.isoparse(event["updated"]) >= dates.isoparse(query["updatedMin"])
            else:
                wanted = not is_gone or query.get("showDeleted") == "true" or ("recurringEventId" in event and not single)
            if not wanted or query.get("iCalUID", event["iCalUID"]) != event["iCalUID"] or not self.has_properties(event, query):
                continue
            if single and event.get("recurrence") and not is_gone:
                found += [one for one in self.instances(calendar, event, window and window[1]) if within(one, window)]
            elif is_gone or within(event, window) or (event.get("recurrence") and self.ever_within(calendar, event, window)):
                found.append(self.shown(event))
        if single:
            # A changed instance came with its master already.
            found = list({one["id"]: one for one in found}.values())
        if "q" in query:
            found = [one for one in found if query["q"].lower() in words(one)]
        if query.get("orderBy") == "startTime":
            found.sort(key=lambda one: moment(one.get("start") or one["originalStartTime"]))
        elif query.get("orderBy") == "updated":
            found.sort(key=lambda one: (one.get("updated", ""), int(one["etag"].strip('"'))))
        return found

    @staticmethod
    def has_properties(event, query):
        for kind in ("private", "shared"):
            wanted = query.get(kind + "ExtendedProperty")
            if wanted:
                name, _, value = wanted.partition("=")
                if event.get("extendedProperties", {}).get(kind, {}).get(name) != value:
                    return False
        return True

    def paged(self, answer, found, query, token):
        """One page of `found`; the last one has what `token` makes."""
        page = query.get("pageToken")
        start = int(page.split("-")[1]) if page else 0
        size = min(int(query.get("maxResults", PAGE)), self.faults.get("small_pages") or 2500)
        if size < 1:
            raise Refused(400, "badRequest")
        answer["items"] = found[start:start + size]
        if start == 0 and self.take("empty_page"):
            answer["items"] = []
            return {**answer, "nextPageToken": "page-0"}
        if start + size < len(found):
            answer["nextPageToken"] = "page-0" if self.faults.get("endless_pages") else f"page-{start + size}"
        elif token is not None and not self.take("no_sync_token"):
            answer["nextSyncToken"] = token()
        return answer

    def shown(self, event):
        if event["status"] != "cancelled":
            return copy.deepcopy(event)
        kept = ["kind", "etag", "id", "status", "recurringEventId", "originalStartTime"]
        return {name: event[name] for name in kept if name in event}

    def found(self, calendar, id):
        """The event with this id; an instance of a series is made of its master."""
        event = self.events[calendar].get(id)
        if event is None and "_" in id:
            master = self.events[calendar].get(id.rsplit("_", 1)[0])
            event = master and self.instance(calendar, master, id.rsplit("_", 1)[1])
        if event is None:
            raise Refused(404, "notFound")
        return event

    def do_events_get(self, arguments, *_):
        event = self.found(arguments["calendarId"], arguments["eventId"])
        return copy.deepcopy(event)

    def do_events_instances(self, arguments, query, *_):
        calendar = arguments["calendarId"]
        master = self.found(calendar, arguments["eventId"])
        answer = {"kind": "calendar#events", "timeZone": self.calendars[calendar]["timeZone"], "accessRole": self.calendars[calendar]["accessRole"]}
        if "originalStart" in query:
            wanted = dates.parse(query["originalStart"])
            wanted = wanted.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ") if wanted.tzinfo else wanted.strftime("%Y%m%d")
            one = self.instance(calendar, master, wanted)
            return {**answer, "items": [one] if one else []}
        if not master.get("recurrence"):
            raise Refused(400, "badRequest")
        window = self.window(query)
        found = [one for one in self.instances(calendar, master, window and window[1], query.get("showDeleted") == "true") if within(one, window)]
        return self.paged(answer, found, query, None)

    def instances(self, calendar, master, until, deleted=False):
        """The instances that begin before `until`, changed ones as they are; of an endless series the first thousand."""
        for wanted in itertools.islice(starts(master), FAR):
            if until is not None and moment(point_of(wanted)) >= until:
                return
            changed = self.events[calendar].get(f"{master['id']}_{wanted}")
            if changed is None:
                yield self.instance(calendar, master, wanted)
            elif changed["status"] != "cancelled" or deleted:
                yield self.shown(changed)

    def ever_within(self, calendar, master, window):
        return any(within(one, window) for one in self.instances(calendar, master, window[1]))

    def instance(self, calendar, master, wanted):
        if master["status"] == "cancelled" or not master.get("recurrence"):
            return None
        if not hits(master, wanted):
            return None
        event = {name: copy.deepcopy(value) for name, value in master.items() if name not in ("recurrence", "etag")}
        is_day, start, zone = anchor(master)
        length = moment(master["end"]) - start
        at = local(wanted, is_day, zone)
        begin = at.replace(tzinfo=zone)
        if is_day:
            event["start"], event["end"] = {"date": at.strftime("%Y-%m-%d")}, {"date": (at + length).strftime("%Y-%m-%d")}
        else:
            for name, value in (("start", begin), ("end", begin.astimezone(UTC) + length)):
                event[name] = {"dateTime": value.astimezone(zone).isoformat(), "timeZone": master[name]["timeZone"]}
        event["originalStartTime"] = copy.deepcopy(event["start"])
        event["recurringEventId"] = master["id"]
        event["id"] = f"{master['id']}_{wanted}"
        event["etag"] = master["etag"]
        return event


def within(event, window):
    """`timeMin` is compared with the end and `timeMax` with the start, both without what touches them."""
    if window is None or "start" not in event:
        return window is None
    least, most = window
    return (least is None or moment(event["end"]) > least) and (most is None or moment(event["start"]) < most)


def words(event):
    """What `q` is looked for in, in small letters."""
    people = [*event.get("attendees", []), event.get("organizer", {})]
    texts = [event.get("summary"), event.get("description"), event.get("location")]
    texts += [one.get(name) for one in people for name in ("displayName", "email")]
    return "\n".join(text for text in texts if text).lower()


def anchor(master):
    """Whether it lasts days, its start as an instant, and the zone in which its rule counts."""
    is_day = "date" in master["start"]
    zone = UTC if is_day else zoneinfo.ZoneInfo(master["start"]["timeZone"])
    return is_day, moment(master["start"]), zone


def local(wanted, is_day, zone):
    at = dates.parse(wanted)
    return at.replace(tzinfo=None) if is_day else at.astimezone(zone).replace(tzinfo=None)


def point_of(wanted):
    return {"dateTime": wanted} if "T" in wanted else {"date": wanted}


def rules(master):
    """Its rules, counted in local time."""
    _, start, zone = anchor(master)
    begin = start.astimezone(zone).replace(tzinfo=None)
    lines = [line for line in master["recurrence"] if line.startswith("RRULE")]
    return [rrulestr(re.sub(r"(UNTIL=\d{8})T\d{6}Z", r"\1T235959", line), dtstart=begin) for line in lines]


def named(master, kind):
    """The local starts that RDATE or EXDATE lines name, as they are written in ids."""
    is_day, _, zone = anchor(master)
    for line in master["recurrence"]:
        if line.startswith(kind):
            head, _, values = line.partition(":")
            given = re.search(r"TZID=([^;:]+)", head)
            for value in values.split(","):
                at = dates.parse(value)
                if not is_day and at.tzinfo is None:
                    at = at.replace(tzinfo=zoneinfo.ZoneInfo(given[1]) if given else zone)
                yield at.strftime("%Y%m%d") if is_day else at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def starts(master):
    """Where its instances begin, in order, as they are written in ids."""
    is_day, _, zone = anchor(master)

    def written(at):
        return at.strftime("%Y%m%d") if is_day else at.replace(tzinfo=zone).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")

    excluded, last = set(named(master, "EXDATE")), None
    for wanted in heapq.merge(*(map(written, rule) for rule in rules(master)), sorted(added(master))):
        if wanted != last and wanted not in excluded:
            yield wanted
        last = wanted


def added(master):
    """Starts beside those of its rules; without a rule its own is one of them."""
    return {*named(master, "RDATE"), *([] if rules(master) else [key(master["start"])])}


def hits(master, wanted):
    """Whether an instance begins there."""
    is_day, _, zone = anchor(master)
    if wanted in set(named(master, "EXDATE")):
        return False
    at = local(wanted, is_day, zone)
    return wanted in added(master) or any(at == rule.after(at, inc=True) for rule in rules(master))


def chosen(answer, fields, schema):
    """Of an answer what `fields` selects, as `a,b(c,d/e)`; a member that there is not is refused."""
    wanted, rest = selection(fields)
    if rest:
        raise Refused(400, "invalidParameter")
    return pick(answer, wanted, schema)


def selection(text):
    """The members that a selector names, each with the selection inside it; and what stands behind it."""
    wanted = {}
    while True:
        name, wanted_of_it, text = member(text)
        wanted[name] = wanted_of_it
        if not text.startswith(","):
            return wanted, text
        text = text[1:]


def member(text):
    name = re.match(r"\w+|\*", text)
    if not name:
        raise Refused(400, "invalidParameter")
    rest = text[name.end():]
    if rest.startswith("/"):
        inner, within_it, rest = member(rest[1:])
        return name[0], {inner: within_it}, rest
    if not rest.startswith("("):
        return name[0], None, rest
    inner, rest = selection(rest[1:])
    if not rest.startswith(")"):
        raise Refused(400, "invalidParameter")
    return name[0], inner, rest[1:]


def pick(value, wanted, schema):
    if isinstance(value, list):
        return [pick(one, wanted, schema.get("items", {})) for one in value]
    schema = DISCOVERY["schemas"][schema["$ref"]] if "$ref" in schema else schema
    known = schema.get("properties", {})
    if "*" in wanted:
        return value
    if set(wanted) - set(known) and "additionalProperties" not in schema:
        raise Refused(400, "invalidParameter")
    if not isinstance(value, dict):
        return value
    return {
        name: inner if wanted[name] is None else pick(inner, wanted[name], known.get(name, {}))
        for name, inner in value.items() if name in wanted
    }
