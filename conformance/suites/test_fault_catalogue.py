"""Lines of the fault catalogue for servers that speak CalDAV, each as a server that does it. The numbers are those of docs/fault-catalogue.md."""

import re
import threading

from harness.client import NAMES, uid_of
from harness.disguise import Disguise, without
from harness.events import BERLIN, calendar, event, instances
from harness.gateway import Gateway
from harness.google import Google
from harness.laws import both_sides_are_equal, sync_to_rest
from harness.process import wait_until
from harness.tools import WrongClock

FAST = {"sync__poll_interval": "1h", "sync__backoff_base": "50ms", "sync__backoff_max": "500ms", "sync__write_through": "2s"}


def connected(started, tmp_path, upstream, events=4, **settings):
    """A gateway with one account at `upstream`, which holds so many events."""
    for n in range(events):
        assert upstream.dav().put(f"{upstream.calendar}{n}.ics", event(f"u{n}", f"E{n}")).status == 201
    gateway = started(Gateway(tmp_path, **FAST | settings))
    gateway.add_user()
    gateway.connect(upstream)
    gateway.sync()
    source = next(one for one in gateway.json("source", "list", "ana") if one["account"])
    gateway.cli("source", "set", "ana", source["id"], "--default")
    assert len(shown(gateway)) == events
    return gateway


def shown(gateway):
    found = gateway.dav().by_uid(gateway.unified())
    assert all(len(texts) == 1 for texts in found.values()), found
    return {uid: texts[0] for uid, texts in found.items()}


def state(gateway):
    return gateway.json("status", "ana")["accounts"][0]


def responses(body):
    """Head, responses and tail of a multistatus."""
    parts = re.split(rb"(?=<(?:\w+:)?response>)", body)
    last = re.search(rb"</(?:\w+:)?response>", parts[-1]).end() if len(parts) > 1 else 0
    return (parts[0], [*parts[1:-1], parts[-1][:last]], parts[-1][last:]) if last else (body, [], b"")


class Silent(Disguise):
    """Forgets what changed: every token is answered as if nothing had (22)."""

    silent = False

    def change(self, exchange, status, headers, body):
        if self.silent and self.is_sync(exchange) and status == 207 and re.search(rb"sync-token>[^<]+<", exchange.body):
            head, _, tail = responses(body)
            body = head + tail
        return status, headers, body


def test_fault_22_a_token_that_hears_of_nothing_is_found_out_by_a_full_look(started, tmp_path, radicale):
    upstream = started(Silent(radicale))
    gateway = connected(started, tmp_path, upstream)
    upstream.silent = True
    theirs = radicale.dav()
    theirs.put(radicale.calendar + "new.ics", event("new"))
    theirs.delete(radicale.calendar + "0.ics")
    theirs.put(radicale.calendar + "1.ics", event("u1", "Changed"))
    gateway.sync()
    assert set(shown(gateway)) == {"u0", "u1", "u2", "u3"}, "what the server does not tell can't be known"
    gateway.cli("sync", "ana", "--full", "--wait")
    assert set(shown(gateway)) == {"u1", "u2", "u3", "new"} and "SUMMARY:Changed" in shown(gateway)["u1"]


def test_fault_22_a_day_later_everything_is_compared_unasked(started, tmp_path, radicale):
    upstream = started(Silent(radicale))
    gateway = connected(started, tmp_path, upstream)
    upstream.silent = True
    radicale.dav().put(radicale.calendar + "new.ics", event("new"))
    radicale.dav().delete(radicale.calendar + "0.ics")
    clock = WrongClock(tmp_path)
    gateway.environment |= clock.environment
    for hours in (2, 20):
        clock.set(f"+{hours}h")
        gateway.stop()
        gateway.start()
        gateway.sync()
        assert "new" not in shown(gateway), f"{hours} hours are no day"
    clock.set("+25h")
    gateway.stop()
    gateway.start()
    wait_until(lambda: set(shown(gateway)) == {"u1", "u2", "u3", "new"}, seconds=60, what="the daily look at everything")


class Paged(Disguise):
    """Tells two changes at a time, and by 507 for the collection itself that there are more (23; RFC 6578 3.6)."""

    def __init__(self, upstream):
        super().__init__(upstream)
        self.rest = {}

    def refuse(self, exchange, method, path):
        if self.is_sync(exchange):
            token = re.search(rb"sync-token>([^<]*)<", exchange.body)
            if token and token[1] in self.rest:
                return 207, [("Content-Type", "application/xml")], self.page(*self.rest[token[1]])

    def change(self, exchange, status, headers, body):
        if self.is_sync(exchange) and status == 207:
            head, members, tail = responses(body)
            if len(members) > 2:
                body = self.page(head, members, tail)
        return status, headers, body

    def page(self, head, members, tail):
        if len(members) <= 2:
            return head + b"".join(members) + tail
        token = f"http://paged.example/{len(self.rest)}".encode()
        self.rest[token] = (head, members[2:], tail)
        more = (
            f'<response xmlns="DAV:"><href>{self.calendar}</href><status>HTTP/1.1 507 Insufficient Storage</status>'
            "<error><number-of-matches-within-limits/></error></response>"
        ).encode()
        tail = re.sub(rb"(sync-token[^>]*>)[^<]*(<)", rb"\1" + token + rb"\2", tail) if b"sync-token" in tail else tail
        head = re.sub(rb"(sync-token[^>]*>)[^<]*(<)", rb"\1" + token + rb"\2", head)
        return head + b"".join(members[:2]) + more + tail


def test_fault_23_a_507_inside_means_there_is_more(started, tmp_path, radicale):
    upstream = started(Paged(radicale))
    gateway = connected(started, tmp_path, upstream, events=7)
    assert len(upstream.rest) >= 2, "it was paged"
    for n in range(7, 12):
        radicale.dav().put(f"{radicale.calendar}{n}.ics", event(f"u{n}"))
    radicale.dav().delete(radicale.calendar + "0.ics")
    gateway.sync()
    assert set(shown(gateway)) == {f"u{n}" for n in range(1, 12)} and state(gateway)["state"] == "healthy"


class Nested(Disguise):
    """Lists itself and a folder among its members (26)."""

    def change(self, exchange, status, headers, body):
        is_listing = self.is_sync(exchange) or exchange.handler.command == "PROPFIND" and exchange.handler.headers.get("Depth") == "1"
        if is_listing and status == 207 and exchange.handler.path == self.calendar:
            more = b"".join(
                f'<response xmlns="DAV:"><href>{href}</href><propstat><prop><getetag>"folder"</getetag>{kind}</prop>'
                "<status>HTTP/1.1 200 OK</status></propstat></response>".encode()
                for href, kind in (
                    (self.calendar, "<resourcetype><collection/></resourcetype>"),
                    (self.calendar + "attachments/", "<resourcetype><collection/></resourcetype>"),
                )
            )
            head, members, tail = responses(body)
            body = head + more + b"".join(members) + tail if members else body
        return status, headers, body


def test_fault_26_a_collection_among_the_members_is_none_of_them(started, tmp_path, radicale):
    upstream = started(Nested(radicale))
    gateway = connected(started, tmp_path, upstream)
    upstream.seen.clear()
    gateway.cli("sync", "ana", "--full", "--wait")
    assert state(gateway)["state"] == "healthy" and len(shown(gateway)) == 4
    assert not any("attachments" in path for _, path in upstream.seen), upstream.seen
    assert gateway.dav().delete(gateway.dav().href_of(gateway.unified(), "u0")).status == 204
    gateway.sync()
    assert set(radicale.dav().by_uid(radicale.calendar)) == {"u1", "u2", "u3"}


class Odd(Disguise):
    """Says in another status what became of a member (27)."""

    gone, trouble = 404, {}

    def change(self, exchange, status, headers, body):
        if self.is_sync(exchange) and status == 207:
            body = re.sub(rb"HTTP/1.1 404 [^<]*", f"HTTP/1.1 {self.gone} Odd".encode(), body)
            for href, code in self.trouble.items():
                member = f'<response xmlns="DAV:"><href>{href}</href><status>HTTP/1.1 {code} Odd</status></response>'.encode()
                head, members, tail = responses(body)
                kept = [one for one in members if href.encode() not in one]
                body = head + b"".join(kept) + member + tail if members else body.replace(b"</multistatus>", member + b"</multistatus>")
        return status, headers, body


def test_fault_27_a_member_that_is_gone_is_gone_in_every_dress_and_one_in_trouble_is_not(started, tmp_path, radicale):
    upstream = started(Odd(radicale))
    gateway = connected(started, tmp_path, upstream, events=6)
    left = {f"u{n}" for n in range(6)}
    for n, gone in enumerate((404, 410, 418)):
        upstream.gone = gone
        upstream.trouble = {radicale.calendar + "4.ics": 403, radicale.calendar + "5.ics": 500}
        radicale.dav().delete(f"{radicale.calendar}{n}.ics")
        left.remove(f"u{n}")
        gateway.run("sync", "ana", "--wait")
        wait_until(lambda: f"u{n}" not in shown(gateway), what=f"the deletion told by {gone}")
        assert set(shown(gateway)) == left
        gateway.run("sync", "ana", "--full", "--wait")
        assert set(shown(gateway)) == left, "what can't be had is not gone"
    upstream.trouble = {}
    gateway.cli("sync", "ana", "--full", "--wait")
    assert set(shown(gateway)) == left and state(gateway)["state"] == "healthy"


class Tagless(Disguise):
    """Knows no entity tags (28)."""

    def refuse(self, exchange, method, path):
        for condition in ("If-Match", "If-None-Match"):
            if exchange.handler.headers.get(condition, "*") != "*":
                self.complaints.append(f"{condition}: {exchange.handler.headers[condition]}")

    def change(self, exchange, status, headers, body):
        body = re.sub(rb"<(\w+:)?getetag>[^<]*</(\w+:)?getetag>", b"", body)
        return status, without(headers, "etag"), body


def test_fault_28_without_tags_contents_are_compared(started, tmp_path, radicale):
    upstream = started(Tagless(radicale))
    gateway = connected(started, tmp_path, upstream)
    assert gateway.dav().put(gateway.unified() + "n.ics", event("n", "New")).status == 201
    gateway.sync()
    radicale.dav().put(radicale.calendar + "0.ics", event("u0", "Changed there"))
    gateway.sync()
    assert "SUMMARY:Changed there" in shown(gateway)["u0"]
    href = gateway.dav().href_of(gateway.unified(), "u1")
    assert gateway.dav().put(href, event("u1", "Changed here")).status == 204
    gateway.sync()
    before = radicale.dav().listing(radicale.calendar)
    for _ in range(3):
        gateway.sync()
    sync_to_rest(gateway)
    held = both_sides_are_equal(gateway, [radicale])
    assert "SUMMARY:Changed here" in held["u1"] and radicale.dav().listing(radicale.calendar) == before
    assert upstream.complaints == [] and gateway.json("conflict", "list", "ana") == []


class Slow(Disguise):
    """Gives objects only while it is allowed to."""

    def __init__(self, upstream):
        super().__init__(upstream)
        self.allowed, self.given = threading.Event(), 0
        self.allowed.set()
        self.most = None

    def change(self, exchange, status, headers, body):
        if b"calendar-multiget" in exchange.body or exchange.handler.command == "GET":
            if self.most is not None and self.given >= self.most:
                self.allowed.clear()
                self.allowed.wait(60)
            self.given += 1
        return status, headers, body


def test_fault_30_a_first_read_that_is_interrupted_ends_whole(started, tmp_path, radicale):
    for n in range(120):
        radicale.dav().put(f"{radicale.calendar}{n}.ics", event(f"u{n}", f"E{n}"))
    upstream = started(Slow(radicale))
    gateway = started(Gateway(tmp_path, **FAST))
    gateway.add_user()
    upstream.most = 1
    gateway.connect(upstream)
    wait_until(lambda: not upstream.allowed.is_set(), what="the middle of the first read")
    assert gateway.dav().put(gateway.unified() + "n.ics", event("n", "Meanwhile")).status == 201
    gateway.kill()
    upstream.most = None
    upstream.allowed.set()
    # Somebody deletes there what may have been read and what may not.
    for n in (0, 60, 119):
        assert radicale.dav().delete(f"{radicale.calendar}{n}.ics").status in (200, 204)
    gateway.start()
    sync_to_rest(gateway)
    there = {f"u{n}" for n in range(120)} - {"u0", "u60", "u119"}
    assert set(shown(gateway)) - {"n"} == there and "n" in shown(gateway)
    assert there <= set(radicale.dav().by_uid(radicale.calendar)), "nothing was deleted there"


class OneUid(Disguise):
    """A UID once, and a refusal in one of the field's dresses (55)."""

    status, names_holder = 409, True

    def refuse(self, exchange, method, path):
        if method != "PUT":
            return None
        uid = uid_of(exchange.body.decode())
        for href, text in self.upstream.dav().objects(self.calendar).items():
            if uid_of(text) == uid and href != path:
                holder = f"<D:href>{href}</D:href>" if self.names_holder else ""
                body = f'<D:error xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><C:no-uid-conflict>{holder}</C:no-uid-conflict></D:error>'
                self.complaints.append(path)
                return self.status, [("Content-Type", "application/xml")], body.encode()


def test_fault_55_a_uid_that_is_taken_leads_to_its_holder(started, tmp_path, radicale):
    upstream = started(OneUid(radicale))
    gateway = connected(started, tmp_path, upstream)
    dav, theirs, uids = gateway.dav(), radicale.dav(), set()
    for status, names_holder in ((409, True), (403, True), (403, False), (409, False), (412, True)):
        upstream.status, upstream.names_holder, upstream.complaints = status, names_holder, []
        uid = f"meeting-{status}-{names_holder}"
        uids.add(uid)
        # Somebody else brings the same invitation in, under a name of their own.
        there = f"{radicale.calendar}their-{uid}.ics"
        assert theirs.put(there, event(uid, "Meeting", extra="LOCATION:There\r\n")).status == 201
        assert dav.put(f"{gateway.unified()}{uid}.ics", event(uid, "Meeting")).status == 201
        sync_to_rest(gateway)
        assert len(upstream.complaints) <= 3, f"{uid}: it is not tried for ever"
        held = both_sides_are_equal(gateway, [radicale])
        assert set(held) == uids | {"u0", "u1", "u2", "u3"}
        href = dav.href_of(gateway.unified(), uid)
        assert dav.put(href, event(uid, "Edited")).status == 204
        sync_to_rest(gateway)
        assert "SUMMARY:Edited" in theirs.get(there).text, uid


def test_fault_56_an_object_that_moves_to_another_name_stays_itself(started, tmp_path, radicale):
    gateway = connected(started, tmp_path, radicale)
    dav, theirs = gateway.dav(), radicale.dav()
    before = dav.listing(gateway.unified())
    for n in range(2):
        moved = theirs.request("MOVE", f"{radicale.calendar}{n}.ics", headers={"Destination": f"{radicale.url}{radicale.calendar}elsewhere-{n}.ics"})
        assert moved.status in (201, 204)
    gateway.sync()
    assert dav.listing(gateway.unified()) == before, "clients see nothing of it"
    href = dav.href_of(gateway.unified(), "u0")
    assert dav.put(href, event("u0", "Edited")).status == 204
    sync_to_rest(gateway)
    assert "SUMMARY:Edited" in theirs.get(radicale.calendar + "elsewhere-0.ics").text
    assert set(theirs.listing(radicale.calendar)) == {radicale.calendar + name for name in ("elsewhere-0.ics", "elsewhere-1.ics", "2.ics", "3.ics")}
    assert gateway.json("trash", "list", "ana") == []


UNTIL = {
    "in UTC, to the second": ("DTSTART;TZID=Europe/Berlin:20261001T220000", "DTEND;TZID=Europe/Berlin:20261001T230000", "UNTIL=20261031T210000Z", 31),
    "in UTC, a second short": ("DTSTART;TZID=Europe/Berlin:20261001T220000", "DTEND;TZID=Europe/Berlin:20261001T230000", "UNTIL=20261031T205959Z", 30),
    "a late evening, whose day in UTC is the next": ("DTSTART;TZID=Europe/Berlin:20261001T003000", "DTEND;TZID=Europe/Berlin:20261001T013000", "UNTIL=20261004T223000Z", 5),
    "a date for days": ("DTSTART;VALUE=DATE:20261001", "DTEND;VALUE=DATE:20261002", "UNTIL=20261004", 4),
    "floating": ("DTSTART:20261001T220000", "DTEND:20261001T230000", "UNTIL=20261004T220000", 4),
}


def test_fault_64_the_last_instance_of_a_series_is_kept_exactly(started, tmp_path, radicale):
    gateway = connected(started, tmp_path, radicale, events=0)
    wanted = {}
    for n, (start, end, until, count) in enumerate(UNTIL.values()):
        text = calendar(
            f"BEGIN:VEVENT\r\nUID:here-{n}\r\nDTSTAMP:20260901T000000Z\r\n{start}\r\n{end}\r\nRRULE:FREQ=DAILY;{until}\r\nSUMMARY:Daily\r\nEND:VEVENT\r\n",
            zones=BERLIN if "TZID" in start else "",
        )
        assert gateway.dav().put(f"{gateway.unified()}here-{n}.ics", text).status == 201
        assert radicale.dav().put(f"{radicale.calendar}there-{n}.ics", text.replace("UID:here", "UID:there")).status == 201
        wanted |= {f"here-{n}": count, f"there-{n}": count}
    sync_to_rest(gateway)
    held = both_sides_are_equal(gateway, [radicale])
    assert {uid: len(instances(one)) for uid, one in held.items()} == wanted
    # And as the gateway itself counts them.
    expanded = gateway.dav().report(gateway.unified(), (
        '<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><C:calendar-data>'
        '<C:expand start="20260901T000000Z" end="20261201T000000Z"/></C:calendar-data></D:prop>'
        '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="20260901T000000Z" end="20261201T000000Z"/>'
        "</C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"))
    texts = [one.findtext(".//C:calendar-data", namespaces=NAMES) for one in expanded.responses().values()]
    assert {uid_of(text): text.count("BEGIN:VEVENT") for text in texts} == wanted


# RFC 5545 3.3.5: what falls into a gap has the offset from before it, and what comes twice is the first of the two.
SHIFTS = {
    "gap": ("20270328T023000", None, ["20270328T013000Z"]),
    "fold": ("20261025T023000", None, ["20261025T003000Z"]),
    "over the gap": ("20270327T023000", "DAILY;COUNT=3", ["20270327T013000Z", "20270328T013000Z", "20270329T003000Z"]),
    "over the fold": ("20261024T023000", "DAILY;COUNT=3", ["20261024T003000Z", "20261025T003000Z", "20261026T013000Z"]),
}


def test_fault_68_a_start_in_the_gap_or_the_fold_of_a_clock_change(started, tmp_path, radicale):
    gateway = connected(started, tmp_path, radicale, events=0)
    wanted = {}
    for n, (start, rule, starts) in enumerate(SHIFTS.values()):
        rule = f"RRULE:FREQ={rule}\r\n" if rule else ""
        text = calendar(
            f"BEGIN:VEVENT\r\nUID:here-{n}\r\nDTSTAMP:20260901T000000Z\r\nDTSTART;TZID=Europe/Berlin:{start}\r\nDURATION:PT1H\r\n{rule}"
            "SUMMARY:At night\r\nEND:VEVENT\r\n", zones=BERLIN)
        assert gateway.dav().put(f"{gateway.unified()}here-{n}.ics", text).status == 201
        assert radicale.dav().put(f"{radicale.calendar}there-{n}.ics", text.replace("UID:here", "UID:there")).status == 201
        wanted |= {f"here-{n}": starts, f"there-{n}": starts}
    sync_to_rest(gateway)
    held = both_sides_are_equal(gateway, [radicale])
    for n, (start, _, _) in enumerate(SHIFTS.values()):
        assert all(f"DTSTART;TZID=Europe/Berlin:{start}" in held[uid] for uid in (f"here-{n}", f"there-{n}")), "what was written stays as it was"
    expanded = gateway.dav().report(gateway.unified(), (
        '<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><C:calendar-data>'
        '<C:expand start="20260901T000000Z" end="20270501T000000Z"/></C:calendar-data></D:prop>'
        '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="20260901T000000Z" end="20270501T000000Z"/>'
        "</C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"))
    texts = [one.findtext(".//C:calendar-data", namespaces=NAMES) for one in expanded.responses().values()]
    assert {uid_of(text): sorted(re.findall(r"^DTSTART:(\w+)", text, re.M)) for text in texts} == wanted


def test_fault_70_a_series_of_ten_years_and_one_without_an_end_cost_no_more_than_they_show(started, tmp_path, radicale):
    gateway = connected(started, tmp_path, radicale, events=1)
    before = gateway.memory()
    daily = "DTSTART:20200101T080000Z\r\nDTEND:20200101T090000Z\r\nRRULE:FREQ={}\r\nSUMMARY:{}\r\n"
    for uid, rule in {"ten-years": "DAILY;COUNT=3653", "endless": "DAILY", "minutely": "MINUTELY;INTERVAL=7"}.items():
        text = calendar(f"BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260901T000000Z\r\n{daily.format(rule, uid)}END:VEVENT\r\n")
        assert radicale.dav().put(f"{radicale.calendar}{uid}.ics", text).status == 201
    gateway.sync()
    assert set(shown(gateway)) == {"u0", "ten-years", "endless", "minutely"}
    found = gateway.dav().report(gateway.unified(), (
        '<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/></D:prop>'
        '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="20301001T000000Z" end="20301101T000000Z"/>'
        "</C:comp-filter></C:comp-filter></C:filter></C:calendar-query>")).responses()
    assert len(found) == 2, "the one of ten years has ended by then"
    assert gateway.memory() < before + 100 and state(gateway)["state"] == "healthy"


class Refreshing(Google):
    """Counts how often a new access token is asked for."""

    refreshed = 0

    def serve(self, method, target, headers, body):
        self.refreshed += b"grant_type=refresh_token" in (body if isinstance(body, bytes) else body.encode())
        return super().serve(method, target, headers, body)


def test_fault_85_a_clock_that_is_wrong_by_hours_causes_no_storm(started, tmp_path, radicale):
    google = started(Refreshing())
    google.put(summary="There", start={"date": "2026-12-24"}, end={"date": "2026-12-25"})
    gateway = connected(started, tmp_path, radicale, **google.settings())
    gateway.cli("account", "add", "ana", "--provider", "google", "--refresh-token-stdin", text="refresh-1\n")
    gateway.sync()
    clock = WrongClock(tmp_path)
    gateway.environment |= clock.environment
    gateway.stop()
    clock.set("-9h")
    google.refreshed = 0
    gateway.start()
    # Wrong from the start, then set by more than is right while it runs.
    for offset in ("-9h", "+9h"):
        clock.set(offset)
        for _ in range(3):
            gateway.sync()
        assert google.refreshed == 1, "one token serves for its hour, whatever the clock on the wall says"
        assert {one["state"] for one in gateway.json("status", "ana")["accounts"]} == {"healthy"}
        assert gateway.dav().put(f"{gateway.unified()}n{offset}.ics", event(f"n{offset}")).status == 201
        sync_to_rest(gateway)
        assert f"n{offset}" in radicale.dav().by_uid(radicale.calendar)


class Bulky(Disguise):
    """Answers with more than anybody can want (86)."""

    SIZE, is_bulky = 200 << 20, False

    def carry(self, exchange):
        if self.is_bulky and exchange.handler.command == "REPORT":
            handler = exchange.handler
            handler.send_response_only(207)
            handler.send_header("Content-Type", "application/xml")
            handler.send_header("Connection", "close")
            handler.close_connection = True
            handler.end_headers()
            handler.wfile.write(b'<?xml version="1.0"?><multistatus xmlns="DAV:">')
            piece = b"<!-- " + b"a" * 65_000 + b" -->"
            for _ in range(self.SIZE // len(piece)):
                handler.wfile.write(piece)
            handler.wfile.write(b"</multistatus>")
            return
        super().carry(exchange)


def test_fault_86_an_answer_without_bounds_is_given_up(started, tmp_path, radicale):
    upstream = started(Bulky(radicale))
    gateway = connected(started, tmp_path, upstream)
    before, memory = gateway.dav().listing(gateway.unified()), gateway.memory()
    upstream.is_bulky = True
    gateway.run("sync", "ana", "--full", "--wait")
    told = wait_until(lambda: state(gateway) if state(gateway)["state"] != "healthy" else None, what="the trouble")
    assert "too large" in told["reason"], told
    assert gateway.memory() < memory + 150 and gateway.dav().listing(gateway.unified()) == before
    upstream.is_bulky = False
    wait_until(lambda: (gateway.run("sync", "ana", "--full", "--wait"), state(gateway)["state"] == "healthy")[1], seconds=60, what="healthy")
    assert gateway.dav().listing(gateway.unified()) == before


class Listless(Disguise):
    """Lists no calendars for a while, or for ever (87)."""

    empty = 0

    def change(self, exchange, status, headers, body):
        handler = exchange.handler
        if self.empty and handler.command == "PROPFIND" and handler.headers.get("Depth") == "1" and handler.path != self.calendar and status == 207:
            self.empty -= 1
            head, members, tail = responses(body)
            body = head + members[0] + tail
        return status, headers, body


def test_fault_87_a_list_without_calendars_takes_none_away(started, tmp_path, radicale):
    upstream = started(Listless(radicale))
    gateway = connected(started, tmp_path, upstream)
    before = gateway.dav().listing(gateway.unified())
    for empty in (1, 1000):
        upstream.empty = empty
        for _ in range(3):
            gateway.run("sync", "ana", "--full", "--wait")
        assert gateway.dav().listing(gateway.unified()) == before
        assert len([one for one in gateway.json("source", "list", "ana") if one["account"]]) == 1
    upstream.empty = 0
    gateway.run("sync", "ana", "--full", "--wait")
    wait_until(lambda: (gateway.run("sync", "ana", "--wait"), state(gateway)["state"] == "healthy")[1], seconds=60, what="healthy")
    assert gateway.dav().listing(gateway.unified()) == before
    assert len(radicale.dav().by_uid(radicale.calendar)) == 4


def test_fault_90_a_lost_message_costs_the_poll(started, tmp_path):
    google = started(Google())
    gateway = started(Gateway(tmp_path, webhooks__enabled="true", **FAST | {"sync__poll_interval": "1s"}, **google.settings()))
    gateway.add_user()
    gateway.cli("account", "add", "ana", "--provider", "google", "--refresh-token-stdin", text="refresh-1\n")
    gateway.sync()
    google.faults["lose_notifications"] = 1
    google.put(summary="Unsaid", start={"date": "2026-12-24"}, end={"date": "2026-12-25"})
    wait_until(lambda: any("Unsaid" in text for text in shown(gateway).values()), what="the poll")


def test_fault_92_100_channels_that_ended_or_lead_elsewhere_are_made_anew(started, tmp_path):
    """A gateway that was down, or has another address by now: new channels, and what happened meanwhile is there."""
    google = started(Google())
    gateway = started(Gateway(tmp_path, webhooks__enabled="true", **FAST, **google.settings()))
    gateway.add_user()
    gateway.cli("account", "add", "ana", "--provider", "google", "--refresh-token-stdin", text="refresh-1\n")
    gateway.sync()
    wait_until(lambda: len(google.channels) == 2, what="the channels")
    old = set(google.channels)
    assert gateway.stop() == 0
    google.put(summary="Meanwhile", start={"date": "2026-12-24"}, end={"date": "2026-12-25"})
    gateway.environment["LINEARTIME_SERVER__PUBLIC_URL"] = other = f"http://localhost:{gateway.port}"
    gateway.start()
    new = lambda: [one for id, one in google.channels.items() if id not in old]
    wait_until(lambda: len(new()) == 2 and all(one["address"].startswith(other) for one in new()), seconds=40, what="channels with the new address")
    wait_until(lambda: not old & set(google.channels), seconds=40, what="the end of the old ones")
    gateway.sync()
    assert any("Meanwhile" in text for text in shown(gateway).values())
    google.put(summary="By message", start={"date": "2026-12-26"}, end={"date": "2026-12-27"})
    wait_until(lambda: any("By message" in text for text in shown(gateway).values()), what="the message by the new channel")
