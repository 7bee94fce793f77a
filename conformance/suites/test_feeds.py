"""Subscriptions: what a publisher says is in the calendar, read only, and nothing that a publisher does hurts."""

import time
from datetime import date, timedelta

import pytest
from harness import feed as manners
from harness.feed import Publisher, feed
from harness.gateway import Gateway
from harness.process import wait_until

GAMES = [("g1", "20300101T100000Z", "One"), ("g2", "20300102T100000Z", "Two"), ("g3", "20300103T100000Z", "Three")]


@pytest.fixture
def publisher(started):
    return started(Publisher(feed(*GAMES)))


@pytest.fixture
def subscribed(gateway, publisher):
    gateway.cli("account", "add", "ana", "--provider", "ics", "--url", publisher.url, "--label", "club")
    gateway.sync()
    return gateway


def shown(gateway):
    return gateway.dav().listing(gateway.unified())


def reason(gateway):
    return gateway.json("status", "ana")["accounts"][0]["reason"] or ""


def subscribe(gateway, publisher, label):
    return gateway.json("account", "add", "ana", "--provider", "ics", "--url", publisher.url, "--label", label)


def test_what_is_published_is_shown_and_follows(subscribed, publisher):
    dav = subscribed.dav()
    assert set(dav.by_uid(subscribed.unified())) == {"g1", "g2", "g3"}
    publisher.publish(feed(("g1", "20300101T110000Z", "One, later"), *GAMES[1:], ("g4", "20300104T100000Z", "Four")))
    subscribed.sync()
    found = dav.by_uid(subscribed.unified())
    assert set(found) == {"g1", "g2", "g3", "g4"} and "One, later" in found["g1"][0]
    publisher.publish(feed(*GAMES[1:], ("g4", "20300104T100000Z", "Four")))
    subscribed.sync()
    assert set(dav.by_uid(subscribed.unified())) == {"g2", "g3", "g4"}


def test_a_feed_is_read_only_in_every_client(subscribed):
    source = next(s for s in subscribed.json("source", "list", "ana") if s.get("account"))
    assert source["mirror"] == "read-only" and source["name"] == "Games"
    dav = subscribed.dav()
    for home in (f"/dav/calendars/ana/{source['id']}/", subscribed.unified()):
        href = dav.href_of(home, "g1")
        before = dav.get(href)
        assert dav.put(href, before.text.replace("One", "Mine"), If_Match=before.etag).status == 403
        assert dav.delete(href).status == 403
        assert dav.get(href).text == before.text
    assert subscribed.run("source", "set", "ana", source["id"], "--mirror", "two-way").returncode == 1


def test_a_quiet_feed_costs_one_conditional_request(subscribed, publisher):
    count, unchanged = len(publisher.requests), publisher.unchanged
    before = shown(subscribed)
    for _ in range(5):
        subscribed.sync()
    assert len(publisher.requests) - count == publisher.unchanged - unchanged == 5
    assert shown(subscribed) == before


def test_new_uids_at_every_download_do_not_flicker(subscribed, publisher):
    before = shown(subscribed)
    for number in range(3):
        publisher.publish(feed(*((f"{uid}-{number}", start, title) for uid, start, title in reversed(GAMES))))
        subscribed.sync()
        assert shown(subscribed) == before, number
    subscribed.cli("sync", "ana", "--full", "--wait")
    assert shown(subscribed) == before


def test_a_window_that_moves_on_deletes_nothing(subscribed, publisher):
    past = ("old", f"{date.today() - timedelta(days=90):%Y%m%d}T100000Z", "A while ago")
    publisher.publish(feed(past, *GAMES))
    subscribed.sync()
    publisher.publish(feed(*GAMES))
    subscribed.sync()
    assert set(subscribed.dav().by_uid(subscribed.unified())) == {"old", "g1", "g2", "g3"}
    subscribed.cli("sync", "ana", "--full", "--wait")
    assert "old" in subscribed.dav().by_uid(subscribed.unified())


def test_a_broken_calendar_is_read_as_far_as_it_goes(subscribed, publisher):
    publisher.publish(feed(*GAMES, "BEGIN:VEVENT\r\nUID:bad\r\nno line\r\nEND:VEVENT\r\n", ("g4", "20300104T100000Z", "Four")))
    subscribed.sync()
    assert set(subscribed.dav().by_uid(subscribed.unified())) == {"g1", "g2", "g3", "g4"}
    assert "can't be taken in" in reason(subscribed) and "line " in reason(subscribed)
    # Cut off in the middle: what is missing is not gone.
    text = feed(*GAMES)
    publisher.publish(text[: text.index("UID:g2")])
    subscribed.sync()
    assert {"g1", "g2", "g3"} <= set(subscribed.dav().by_uid(subscribed.unified()))


@pytest.mark.parametrize("manner, words", [
    ("huge", "too large"), ("bomb", "too large"), ("login_page", "web page"), ("metadata", "allow_private_addresses"),
])
def test_what_is_no_feed_is_refused_with_the_reason(subscribed, publisher, manner, words):
    before, memory = shown(subscribed), subscribed.memory()
    publisher.manner = getattr(manners, manner)
    begun = time.monotonic()
    subscribed.run("sync", "ana")
    wait_until(lambda: words in reason(subscribed), seconds=60, what=f"the reason {words!r}")
    assert time.monotonic() - begun < 60
    assert subscribed.memory() < memory + 200
    assert shown(subscribed) == before
    assert "geheim" not in subscribed.output() + reason(subscribed)
    refused = subscribed.run("account", "add", "ana", "--provider", "ics", "--url", publisher.url + "&again", "--label", "again")
    assert refused.returncode == 1 and words in refused.stderr


def test_one_that_drips_is_given_up(subscribed, publisher):
    before = shown(subscribed)
    publisher.manner = manners.drip
    subscribed.run("sync", "ana")
    wait_until(lambda: "in time" in reason(subscribed), seconds=100, what="the reason")
    assert shown(subscribed) == before


def test_webcal_and_a_feed_subscribed_twice(gateway, publisher):
    address = publisher.url.replace("http://", "webcal://")
    gateway.cli("account", "add", "ana", "--provider", "ics", "--url", address)
    again = gateway.run("account", "add", "ana", "--provider", "ics", "--url", publisher.url)
    assert again.returncode == 1 and "already" in again.stderr
    assert "geheim" not in gateway.cli("account", "list", "ana", "--json")


def test_a_feed_is_looked_at_as_often_as_it_wishes_within_bounds(started, tmp_path):
    """RFC 7986 5.7 and its elder: an hour is heeded, a year is too long and a second too short. The usual interval is a second here."""
    wishes = {"hour": "REFRESH-INTERVAL;VALUE=DURATION:PT1H", "elder": "X-PUBLISHED-TTL:PT1H", "none": "X-NOTHING:1", "nonsense": "REFRESH-INTERVAL:often"}
    gateway = started(Gateway(tmp_path, sync__poll_interval="1s"))
    gateway.add_user()
    publishers = {name: started(Publisher(feed(*GAMES, head=head + "\r\n"))) for name, head in wishes.items()}
    for name, publisher in publishers.items():
        subscribe(gateway, publisher, name)
    gateway.sync()
    wait_until(lambda: all(len(publishers[name].requests) >= 2 for name in wishes), what="the first looks")
    before = {name: len(publisher.requests) for name, publisher in publishers.items()}
    often = ("none", "nonsense")
    wait_until(lambda: all(len(publishers[name].requests) >= before[name] + 4 for name in often), seconds=60, what="four more looks")
    for name in ("hour", "elder"):
        assert len(publishers[name].requests) <= before[name] + 1, name
    # One that changes its mind is followed when it is next looked at.
    publishers["hour"].publish(feed(*GAMES))
    gateway.sync()
    before = len(publishers["hour"].requests)
    wait_until(lambda: len(publishers["hour"].requests) >= before + 3, seconds=60, what="the usual interval")


def test_without_an_entity_tag_the_date_is_asked_for_and_without_both_the_content_counts(subscribed, publisher):
    dated = "Sat, 03 Oct 2026 10:00:00 GMT"
    publisher.publish(feed(*GAMES))
    publisher.manner = manners.dated(dated)
    subscribed.sync()
    subscribed.sync()
    assert publisher.requests[-1].get("If-Modified-Since", publisher.requests[-1].get("if-modified-since")) == dated and publisher.unchanged >= 1
    before = shown(subscribed)
    publisher.manner = manners.forgetful
    for _ in range(3):
        subscribed.sync()
    assert shown(subscribed) == before and publisher.requests[-1].get("if-none-match") is None
    publisher.text = feed(*GAMES[:2], ("g3", "20300103T100000Z", "Three, and more"))
    subscribed.sync()
    assert "Three, and more" in subscribed.dav().by_uid(subscribed.unified())["g3"][0]


def test_a_name_and_a_password_in_the_address_are_used_and_kept_secret(gateway, publisher):
    publisher.manner = manners.locked("ana", "geheim")
    refused = gateway.run("account", "add", "ana", "--provider", "ics", "--url", publisher.url)
    assert refused.returncode == 1 and "does not give out" in refused.stderr
    gateway.cli("account", "add", "ana", "--provider", "ics", "--url", publisher.url.replace("http://", "http://ana:geheim@"), "--label", "locked")
    gateway.sync()
    assert set(gateway.dav().by_uid(gateway.unified())) == {"g1", "g2", "g3"}
    assert "geheim" not in gateway.output() + gateway.cli("account", "list", "ana", "--json") + gateway.cli("status", "ana", "--json")
