"""Subscriptions: what a publisher says is in the calendar, read only, and nothing that a publisher does hurts."""

import time
from datetime import date, timedelta

import pytest
from harness import feed as manners
from harness.feed import Publisher, feed
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
