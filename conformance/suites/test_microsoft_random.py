"""Random series on their way to Microsoft 365 and back: the same instances everywhere, by an independent library, or a refusal."""

import datetime
import os
import random

from harness.events import calendar, instances
from harness.gateway import Gateway
from test_microsoft import add, connected, gateway, graph, texts

__all__ = ["connected", "gateway", "graph"]

ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney", "UTC"]
DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
SPAN = ((2025, 12, 1), (2028, 1, 1))


def some_rule(chance, first):
    """A rule, as often as not one that Outlook can't hold; its first instance is mostly the event's own start."""
    day = DAYS[first.weekday()]
    rule = chance.choice([
        "FREQ=DAILY", f"FREQ=WEEKLY;BYDAY={day}", f"FREQ=WEEKLY;BYDAY={','.join(sorted({day, chance.choice(DAYS)}))};WKST=SU",
        f"FREQ=MONTHLY;BYMONTHDAY={first.day}", f"FREQ=MONTHLY;BYDAY={(first.day - 1) // 7 + 1}{day}",
        f"FREQ=YEARLY;BYMONTH={first.month};BYMONTHDAY={first.day}", f"FREQ=YEARLY;BYMONTH={first.month};BYDAY={(first.day - 1) // 7 + 1}{day}",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "FREQ=MONTHLY;BYMONTHDAY=-1", "FREQ=HOURLY", "FREQ=YEARLY;BYWEEKNO=20",
        f"FREQ=DAILY;BYMONTH={first.month}", "FREQ=MONTHLY;BYMONTHDAY=1,15",
    ])
    if chance.random() < 0.5:
        rule += f";INTERVAL={chance.randint(2, 3)}"
    until = first + datetime.timedelta(days=chance.randint(30, 300))
    return rule + chance.choice([f";COUNT={chance.randint(1, 12)}", f";UNTIL={until:%Y%m%d}"])


def some_series(chance, uid):
    first = datetime.datetime(2026, 1, 1) + datetime.timedelta(days=chance.randrange(330), minutes=30 * chance.randrange(46))
    rule, zone, is_day = some_rule(chance, first), chance.choice(ZONES), chance.random() < 0.3

    def at(name, moment):
        if is_day:
            return f"{name};VALUE=DATE:{moment:%Y%m%d}"
        return f"{name}:{moment:%Y%m%dT%H%M%SZ}" if zone == "UTC" else f"{name};TZID={zone}:{moment:%Y%m%dT%H%M%S}"

    if not is_day and "UNTIL=" in rule:
        rule += "T235959Z"
    end = first + (datetime.timedelta(days=1) if is_day else datetime.timedelta(minutes=chance.choice([30, 90])))
    head = f"BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260101T000000Z\r\n"
    master = f"{at('DTSTART', first)}\r\n{at('DTEND', end)}\r\nRRULE:{rule}\r\nSUMMARY:{uid}\r\n"
    plain = calendar(f"{head}{master}END:VEVENT\r\n")
    own = [datetime.datetime.fromisoformat(start).date() for start, _, _ in instances(plain, *SPAN)]
    if rule.startswith(("FREQ=DAILY", "FREQ=WEEKLY")) and zone in ("UTC", "Europe/Berlin") and 6 <= first.hour <= 20 and len(own) > 3:
        left = datetime.datetime.combine(own[1], first.time())
        master += at("EXDATE", left) + "\r\n"
        changed = datetime.datetime.combine(own[2], first.time())
        later = changed if is_day else changed + datetime.timedelta(minutes=45)
        override = f"{head}{at('RECURRENCE-ID', changed)}\r\n{at('DTSTART', later)}\r\n{at('DTEND', later + (end - first))}\r\nSUMMARY:{uid} changed\r\nEND:VEVENT\r\n"
        return calendar(f"{head}{master}END:VEVENT\r\n", override)
    return plain


def shown(graph, id):
    """Start and subject of each instance, as the service has them."""
    rows = graph.instances(id, "2025-12-01T00:00:00Z", "2028-01-01T00:00:00Z")
    return sorted((row["start"]["dateTime"][:19], row["subject"]) for row in rows)


def expected(text):
    rows = instances(text, *SPAN)
    return sorted((start[:19] if "T" in start else f"{start}T00:00:00", summary) for start, _, summary in rows)


def test_random_series_have_the_same_instances_everywhere_or_are_refused(connected, graph, started, tmp_path):
    seed = int(os.environ.get("LINEARTIME_SEED", "7"))
    count = 150 if os.environ.get("LINEARTIME_FULL") else 60
    chance, dav = random.Random(seed), connected.dav()
    written, refused = {}, 0
    for n in range(count):
        uid = f"random-{n}"
        text = some_series(chance, uid)
        answer = dav.put(f"{connected.unified()}{uid}.ics", text)
        if answer.status == 201:
            written[uid] = text
        else:
            assert answer.status == 403 and "Outlook" in answer.text, (seed, answer.status, answer.text, text)
            refused += 1
    connected.sync()
    there = graph.events()
    # What is refused is nowhere, and there is some of both.
    assert set(there) == set(written), seed
    assert min(len(written), refused) > count / 6, (len(written), refused)
    (tmp_path / "anew").mkdir()
    anew = started(Gateway(tmp_path / "anew", sync__poll_interval="1h", **graph.settings()))
    anew.add_user()
    assert add(anew).returncode == 0
    anew.sync()
    back = texts(anew)
    assert set(back) == set(written), seed
    for uid, text in written.items():
        assert shown(graph, there[uid]["id"]) == expected(text), f"seed {seed}\n{text}"
        assert instances(back[uid], *SPAN) == instances(text, *SPAN), f"seed {seed}\n{text}\n{back[uid]}"
    assert not graph.mails()
