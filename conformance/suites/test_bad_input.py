"""What is wrong gets a clear refusal in the right form; nothing is half-written and the process stays up."""

import http.server
import threading

import pytest
from harness.client import Dav
from harness.events import event
from harness.process import free_port, wait_until

CALDAV = "{urn:ietf:params:xml:ns:caldav}"


def test_broken_calendars_are_refused_by_their_precondition(gateway):
    dav, path = gateway.dav(), gateway.unified() + "bad.ics"
    cases = [
        ("not a calendar", "valid-calendar-data"),
        (event("a").replace("END:VEVENT\r\n", ""), "valid-calendar-data"),
        (event("a").replace("UID:a\r\n", ""), "valid-calendar-object-resource"),
        (event("a").replace("VERSION:2.0\r\n", "VERSION:2.0\r\nMETHOD:REQUEST\r\n"), "valid-calendar-object-resource"),
        (event("a", extra="RRULE:FREQ=SOMETIMES\r\n"), "valid-calendar-data"),
        (event("a", extra="DESCRIPTION:" + "x" * 1_100_000 + "\r\n"), "max-resource-size"),
    ]
    for body, name in cases:
        answer = dav.put(path, body)
        assert answer.status == 403, (name, answer.status, answer.body[:300])
        assert answer.precondition() == [CALDAV + name]
    assert dav.get(path).status == 404
    assert dav.listing(gateway.unified()) == {}


def test_wrong_requests_get_the_right_status(gateway):
    dav, home = gateway.dav(), gateway.unified()
    assert dav.request("PROPFIND", home, "<broken", {"Depth": "0"}).status == 400
    assert dav.request("REPORT", home, "<D:nonsense xmlns:D='DAV:'/>", {"Depth": "0"}).status in (400, 403)
    assert dav.request("PROPFIND", home, headers={"Depth": "infinity"}).status == 403
    wrong = dav.request("PATCH", home)
    assert wrong.status == 405 and "PROPFIND" in wrong.header("allow")
    assert dav.put("/dav/calendars/ana/nowhere/x.ics", event("x")).status in (403, 404, 409)
    assert dav.request("GET", "/dav/nothing/here").status == 404
    assert dav.request("PUT", home + "big.ics", b"x" * (5 * 1024 * 1024), {"Content-Type": "text/calendar"}).status == 413
    assert Dav(gateway.url, None, None).get(home).status == 401
    assert Dav(gateway.url, "ana", "wrong").get(home).status == 401
    assert Dav(gateway.url, "nobody", "wrong").get(home).status == 401
    assert dav.put(home + "fine.ics", event("fine")).status == 201, "the process stays up"


def test_an_unknown_sync_token_is_refused_by_its_precondition(gateway):
    answer = gateway.dav().report(
        gateway.unified(),
        '<D:sync-collection xmlns:D="DAV:"><D:sync-token>http://example.org/no</D:sync-token>'
        "<D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop></D:sync-collection>", depth="0")
    assert answer.status == 403 and answer.precondition() == ["{DAV:}valid-sync-token"]


ANSWERS = {
    "html": (200, "text/html", b"<html>Please sign in</html>"),
    "error": (500, "text/plain", b"oops"),
    "cut": (207, "application/xml", b'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:"><D:response><D:href>/a</D:hr'),
    "empty": (207, "application/xml", b'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:"/>'),
}


@pytest.mark.parametrize("kind", sorted(ANSWERS))
def test_an_upstream_that_answers_nonsense_is_a_state_and_not_a_loss(started, tmp_path, radicale, kind):
    """The address of a working upstream is taken over by something else, as a captive portal does."""
    from harness.gateway import Gateway

    gateway = started(Gateway(tmp_path, sync__poll_interval="1s"))
    gateway.add_user()
    for n in range(12):
        radicale.dav().put(f"{radicale.calendar}{n}.ics", event(f"keep-{n}"))
    gateway.connect(radicale)
    gateway.sync()
    radicale.stop()
    portal = Portal(radicale.port, ANSWERS[kind])
    try:
        wait_until(lambda: portal.asked >= 1, seconds=30, what="a question to the false upstream")
        account = wait_until(
            lambda: next((a for a in gateway.json("status", "ana")["accounts"] if a["state"] != "healthy"), None), what="a state")
        assert account["reason"]
        assert len(gateway.dav().by_uid(gateway.unified())) == 12
    finally:
        portal.close()
    radicale.start()
    wait_until(lambda: gateway.json("status", "ana")["accounts"][0]["state"] == "healthy", seconds=60, what="recovery")
    assert len(gateway.dav().by_uid(gateway.unified())) == 12
    assert len(radicale.dav().by_uid(radicale.calendar)) == 12


class Portal:
    """A server that gives the same wrong answer to everything."""

    def __init__(self, port, answer):
        status, kind, body = answer
        outer = self
        self.asked = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def reply(self):
                outer.asked += 1
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PROPFIND = do_REPORT = do_PUT = do_DELETE = do_OPTIONS = reply

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
