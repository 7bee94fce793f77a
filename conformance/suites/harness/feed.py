"""A publisher of feeds, as kind or as broken as it is told to be."""

import base64
import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .process import free_port

STAMP = "DTSTAMP:20260101T000000Z\r\n"


def feed(*events, head=""):
    """A VCALENDAR of (uid, start, summary) triples or of raw components."""
    parts = [
        part if isinstance(part, str)
        else f"BEGIN:VEVENT\r\nUID:{part[0]}\r\n{STAMP}DTSTART:{part[1]}\r\nDURATION:PT1H\r\nSUMMARY:{part[2]}\r\nEND:VEVENT\r\n"
        for part in events
    ]
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Club//EN\r\nX-WR-CALNAME:Games\r\n{head}{''.join(parts)}END:VCALENDAR\r\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        publisher = self.server.publisher
        publisher.requests.append(dict(self.headers.items()))
        try:
            publisher.manner(self, publisher)
        except OSError:
            pass  # The reader has had enough.
        if publisher.manner is not plain:
            self.close_connection = True

    def reply(self, status, headers, body=b""):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin(self, *headers):
        self.send_response_only(200)
        for name, value in (("Content-Type", "text/calendar"), ("Connection", "close"), *headers):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


def plain(handler, publisher):
    """A good server: an entity tag, and 304 when it is still the same."""
    tag = f'"{publisher.version}"'
    if handler.headers.get("If-None-Match") == tag:
        publisher.unchanged += 1
        return handler.reply(304, [("ETag", tag)])
    handler.reply(200, [("Content-Type", "text/calendar"), ("ETag", tag)], publisher.text.encode())


def dated(when):
    """A server that knows no entity tags, and the date of its file."""

    def answer(handler, publisher):
        if handler.headers.get("If-Modified-Since") == when:
            publisher.unchanged += 1
            return handler.reply(304, [("Last-Modified", when)])
        handler.reply(200, [("Content-Type", "text/calendar"), ("Last-Modified", when)], publisher.text.encode())

    return answer


def forgetful(handler, publisher):
    """A server that knows neither, and makes the file anew for everybody."""
    handler.reply(200, [("Content-Type", "text/plain")], publisher.text.encode())


def locked(user, password):
    """A server that wants a name and a password."""
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def answer(handler, publisher):
        if handler.headers.get("Authorization") != wanted:
            return handler.reply(401, [("WWW-Authenticate", 'Basic realm="club"')])
        plain(handler, publisher)

    return answer


def huge(handler, _):
    """A hundred megabytes and more, with no length said beforehand."""
    handler.begin()
    handler.wfile.write(b"BEGIN:VCALENDAR\r\n")
    line = b"X-NOISE:" + b"a" * 65_000 + b"\r\n"
    for _ in range(1_700):
        handler.wfile.write(line)


def drip(handler, publisher):
    """One octet a second."""
    handler.begin()
    for octet in publisher.text.encode() * 100:
        handler.wfile.write(bytes([octet]))
        handler.wfile.flush()
        time.sleep(1)


def bomb(handler, _):
    """Small on the wire, a hundred megabytes and more when unpacked."""
    handler.reply(200, [("Content-Type", "text/calendar"), ("Content-Encoding", "gzip")], gzip.compress(b"BEGIN:VCALENDAR\r\n" + b"X" * (128 << 20), 1))


def login_page(handler, _):
    """Success, and a page that wants a name."""
    handler.reply(200, [("Content-Type", "text/html")], b"<!DOCTYPE html><html><body><form>Sign in</form></body></html>")


def metadata(handler, _):
    """Leads to where a cloud keeps the machine's own keys."""
    handler.reply(302, [("Location", "http://169.254.169.254/latest/meta-data/")])


class Publisher:
    """One feed at one address."""

    def __init__(self, text=""):
        self.text, self.version, self.manner = text, 1, plain
        self.requests, self.unchanged = [], 0
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/games.ics?key=geheim"
        self.server = None

    def start(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.server.publisher = self
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def publish(self, text):
        self.text, self.version, self.manner = text, self.version + 1, plain

    def kill(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
