#!/usr/bin/env python3
"""Figures of the sync engine, from outside, against upstreams on this machine. Nothing fails here: it prints what it measures.

    PYTHON conformance/figures.py [--events 10000] [--accounts 0] [--minutes 3] [--cyrus 10000]

PYTHON is that of target/conformance/venv, which conformance/run makes; the release binary has to be there. With --accounts so many
accounts are connected and polled, each at the rate at which ten thousand are when all are asked every quarter of an hour. With --cyrus
so many events are imported from Cyrus IMAP (Debian's; as root) and nothing else is measured; to fill it takes minutes.
"""

import argparse
import concurrent.futures
import datetime
import os
import queue
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parent / "suites"))

from harness.client import DECLARED
from harness.events import calendar, event
from harness.gateway import Gateway
from harness.google import Google
from harness.process import wait_until
from harness.static import Static
from harness.system import Cyrus

TICKS = os.sysconf("SC_CLK_TCK")


def processor(gateway):
    """Seconds of processor time that the server has used."""
    fields = Path(f"/proc/{gateway.child.pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def spread(count):
    """So many events of an hour each, over three years."""
    first = datetime.datetime(2026, 1, 1, 8)
    for n in range(count):
        start = first + datetime.timedelta(hours=n * 26280 / max(count, 1))
        end = start + datetime.timedelta(hours=1)
        yield event(f"event-{n}@example.org", f"Event {n}", f"{start:%Y%m%dT%H%M%SZ}", f"{end:%Y%m%dT%H%M%SZ}",
                    "LOCATION:There\r\nDESCRIPTION:Something to say about it\\, in a line of its own\r\n")


class World:
    """Programs that end with the block."""

    def __enter__(self):
        self.folder, self.programs = tempfile.TemporaryDirectory(), []
        return self

    def __exit__(self, *_):
        for program in reversed(self.programs):
            program.kill()
        self.folder.cleanup()

    def start(self, program):
        self.programs.append(program)
        return program.start()

    def gateway(self, **settings):
        running = self.start(Gateway(Path(self.folder.name), **settings))
        running.add_user()
        return running


def visible(gateway):
    """How many resources a client sees in the unified calendar."""
    return len(gateway.dav().sync(gateway.unified())[0])


def first_import(count):
    with World() as world:
        upstream = world.start(Static(spread(count)))
        gateway = world.gateway()
        # The calendar is read by and by while the account is being connected, so the clock starts before.
        used, began = processor(gateway), time.monotonic()
        gateway.connect(upstream)
        gateway.cli("sync", "ana", "--wait")
        took, used = time.monotonic() - began, processor(gateway) - used
        seen = visible(gateway)
        assert seen == count, f"{seen} of {count} are to be seen"
        downloaded = [at for _, _, kind, at in upstream.asked if kind == "multiget"]
        after = max(0.0, began + took - downloaded[-1])
        rest = took - upstream.busy
        print(f"first import of {count} events: {took:.2f} s in all, {count / took:.0f} events/s with the upstream's part and two commands;")
        print(f"  the upstream was busy for {upstream.busy:.2f} s of it ({len(downloaded)} multigets), so {count / rest:.0f} events/s beside it;")
        print(f"  everything is visible {after * 1000:.0f} ms after the last download; processor {used:.2f} s, memory {gateway.memory():.0f} MiB")


class Unsynced(Cyrus):
    """Does not wait for the disk, where Debian's eatmydata is installed: what is measured is reading."""

    environment = {"LD_PRELOAD": "libeatmydata.so"} if shutil.which("eatmydata") else {}


def fill(upstream, events):
    """By POST of many at once (Cyrus takes them as the field's calendar-import draft has it)."""
    dav, bodies = upstream.dav(), [text[text.index("BEGIN:VEVENT"):text.index("END:VCALENDAR")] for text in events]
    for at in range(0, len(bodies), 200):
        answer = dav.request("POST", upstream.calendar, calendar(*bodies[at:at + 200]), {"Content-Type": "text/calendar; charset=utf-8"})
        assert answer.status in (200, 207), (answer.status, answer.text[:300])


def download(upstream, connections):
    """Seconds that it takes to list the calendar and to download all bodies by multigets of fifty, and to do nothing with them."""
    began = time.monotonic()
    hrefs = list(upstream.dav().listing(upstream.calendar))
    clients = queue.SimpleQueue()
    for _ in range(connections):
        clients.put(upstream.dav())

    def get(batch):
        named = "".join(f"<D:href>{quote(href)}</D:href>" for href in batch)
        dav = clients.get()
        answer = dav.report(upstream.calendar, f"<C:calendar-multiget {DECLARED}><D:prop><D:getetag/><C:calendar-data/></D:prop>{named}</C:calendar-multiget>")
        clients.put(dav)
        assert answer.status == 207 and answer.body.count(b"BEGIN:VEVENT") == len(batch)

    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        list(pool.map(get, [hrefs[at:at + 50] for at in range(0, len(hrefs), 50)]))
    return time.monotonic() - began


def cyrus_import(count):
    with World() as world:
        upstream = world.start(Unsynced())
        fill(upstream, spread(count))
        # The first reading fills the caches of the machine; the others are before and after the import.
        alone = [download(upstream, 2) for _ in range(2)][1:]
        gateway = world.gateway(sync__poll_interval="1h")
        used, began = processor(gateway), time.monotonic()
        gateway.connect(upstream)
        gateway.cli("sync", "ana", "--wait")
        took, used = time.monotonic() - began, processor(gateway) - used
        alone += [download(upstream, 2) for _ in range(2)]
        seen = visible(gateway)
        assert seen == count, f"{seen} of {count} are to be seen"
        bodies = statistics.median(alone)
        print(f"import of {count} events from Cyrus: {took:.2f} s with discovery and two commands; the bodies alone, by multigets of fifty over two")
        print(f"  connections: {', '.join(f'{one:.2f}' for one in alone)} s, median {bodies:.2f} s; so {took / bodies:.2f} times that; processor {used:.2f} s")


def quiet(count):
    with World() as world:
        upstream = world.start(Static(spread(count)))
        gateway = world.gateway(sync__poll_interval="1h")
        gateway.connect(upstream)
        gateway.sync()
        asked = len(upstream.asked)
        for _ in range(20):
            gateway.sync()
        polls = upstream.asked[asked:]
        print(f"a quiet source of {count} events: {len(polls)} requests for 20 polls ({sorted({f'{m} {k}' for m, _, k, _ in polls})})")


class Timed(Google):
    """Knows when it was asked for changes and when it had answered."""

    def __init__(self):
        super().__init__()
        self.lists = []

    def serve(self, method, target, headers, body):
        began = time.monotonic()
        answer = super().serve(method, target, headers, body)
        if "/events" in target and method == "GET":
            self.lists.append((began, time.monotonic()))
        return answer


def webhook(rounds):
    with World() as world:
        google = world.start(Timed())
        # A calendar for each time: of those who keep calling, the next calls are gathered.
        calendars = [f"c{n}@group.calendar.google.com" for n in range(rounds)]
        for calendar in calendars:
            google.add_calendar(calendar, calendar)
        gateway = world.gateway(webhooks__enabled="true", sync__poll_interval="1h", **google.settings())
        gateway.cli("account", "add", "ana", "--provider", "google", "--refresh-token-stdin", text="refresh-1\n")
        gateway.sync()
        wait_until(lambda: len(google.channels) == rounds + 2, seconds=60, what="the channels")
        time.sleep(5)
        dav, unified = gateway.dav(), gateway.unified()
        _, _, token = dav.sync(unified)
        whole, beside = [], []
        for n, calendar in enumerate(calendars):
            # The budget of an account is five calls a second; what is measured is not that.
            time.sleep(0.5)
            google.lists.clear()
            google.faults["lose_notifications"] = 1
            google.put(calendar, summary=f"N{n}", start={"date": "2026-12-24"}, end={"date": "2026-12-25"})
            channel = next(one for one in google.channels.values() if one["calendar"] == calendar)
            began = time.monotonic()
            google.post(channel, "exists")
            changed = {}
            while not changed:
                changed, _, token = dav.sync(unified, token)
            ended = time.monotonic()
            whole.append((ended - began) * 1000)
            beside.append((ended - began - sum(b - a for a, b in google.lists)) * 1000)
        print(f"webhook to visible in sync-collection, {rounds} times: median {statistics.median(whole):.1f} ms, worst {max(whole):.1f} ms;")
        print(f"  without the provider's own time: median {statistics.median(beside):.1f} ms, worst {max(beside):.1f} ms")


def many(accounts, minutes):
    """`accounts` of as many users, asked as often together as ten thousand are every quarter of an hour."""
    interval = 900 * accounts / 10_000
    with World() as world:
        upstream = world.start(Static(spread(20)))
        gateway = world.gateway(sync__poll_interval=f"{interval:.0f}s")

        def add(n):
            gateway.cli("account", "add", "ana", "--provider", "caldav", "--url", upstream.url, "--username", f"user{n}", "--password-stdin",
                        "--label", f"a{n}", text="secret\n")

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(accounts)))
        gateway.sync()
        # Every account is asked at least once before the clock starts.
        time.sleep(interval * 1.2)
        used, asked, began = processor(gateway), len(upstream.asked), time.monotonic()
        time.sleep(minutes * 60)
        took, used, asked = time.monotonic() - began, processor(gateway) - used, len(upstream.asked) - asked
        print(f"{accounts} accounts asked every {interval:.0f} s for {took:.0f} s: {asked} requests ({asked / took:.1f}/s; ten thousand every")
        print(f"  quarter of an hour are {10_000 / 900:.1f}/s), {used / took * 100:.2f} % of one core, memory {gateway.memory():.0f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--accounts", type=int, default=0, help="so many accounts are polled, too (0: that is left out)")
    parser.add_argument("--minutes", type=float, default=3.0, help="for so long")
    parser.add_argument("--cyrus", type=int, default=0, help="only this: import of so many events from Cyrus IMAP")
    options = parser.parse_args()
    if options.cyrus:
        return cyrus_import(options.cyrus)
    first_import(options.events)
    quiet(1000)
    webhook(20)
    if options.accounts:
        many(options.accounts, options.minutes)


if __name__ == "__main__":
    main()
