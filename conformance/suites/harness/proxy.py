"""A proxy of our own between the gateway and an upstream, which breaks what it carries as it is told.

It speaks just enough HTTP to know where a request and an answer begin and end. A fault is chosen for each request; those
that strike after the upstream has acted are the ones that lose and double events in careless programs.
"""

import http.client
import random
import socketserver
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from .process import free_port

WRITES = ("PUT", "DELETE", "POST", "MKCALENDAR", "PROPPATCH", "MOVE")
# What belongs to one connection and not to the message.
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "proxy-connection", "te", "trailer", "upgrade"}


class Fault:
    """What may happen to a request. `strike` carries it out; the proxy does the rest."""

    def __init__(self, name, strike, methods=None):
        self.name, self.strike, self.methods = name, strike, methods

    def hits(self, method):
        return self.methods is None or method in self.methods


def cut_before(exchange):
    """The connection ends before the upstream has heard of the request."""
    exchange.cut()


def cut_after(exchange):
    """The upstream has acted; its answer never arrives."""
    exchange.forward()
    exchange.cut()


def slow(exchange):
    """Everything arrives, late."""
    time.sleep(exchange.chance.uniform(0.05, 0.5))
    exchange.answer(*exchange.forward())


def truncated(exchange):
    """The answer ends in the middle of its body, and its length had promised more."""
    status, headers, body = exchange.forward()
    exchange.answer(status, headers, body[: len(body) // 2], length=len(body) + 1)
    exchange.cut()


def truncated_unseen(exchange):
    """The answer ends in the middle, and no length says so."""
    status, headers, body = exchange.forward()
    exchange.answer(status, headers, body[: len(body) // 2], length=None)


def corrupt(exchange):
    """Octets in the middle of the answer are not those that were sent."""
    status, headers, body = exchange.forward()
    if body:
        at = exchange.chance.randrange(len(body))
        body = body[:at] + b"\xff\x00\xfe<" + body[at + 4:]
    exchange.answer(status, headers, body)


def throttled(exchange):
    """Too many requests, and when to come back."""
    exchange.answer(429, [("Retry-After", "1")], b"slow down")


def unavailable(exchange):
    """Not now, and when to come back."""
    exchange.answer(503, [("Retry-After", "1"), ("Content-Type", "text/html")], b"<html><body>maintenance</body></html>")


def broken(exchange):
    """The server fell over."""
    exchange.answer(500, [("Content-Type", "text/plain")], b"Internal Server Error")


def denied(exchange):
    """The password is good no longer."""
    exchange.answer(401, [("WWW-Authenticate", 'Basic realm="calendars"')], b"")


def refused(exchange):
    """The server understands, and will not, however often it is asked."""
    exchange.answer(400, [("Content-Type", "text/plain")], b"Bad Request")


def html(exchange):
    """A captive portal: success, and a page instead of an answer."""
    exchange.answer(200, [("Content-Type", "text/html")], b"<!DOCTYPE html><html><head><title>Welcome</title></head><body><p>Sign in to the network<br></body></html>")


FAULTS = {
    fault.__name__: Fault(fault.__name__, fault)
    for fault in (cut_before, cut_after, slow, truncated, truncated_unseen, corrupt, throttled, unavailable, broken, html)
}

# Not trouble that passes: these want a person.
DENIED = Fault("denied", denied)
REFUSED_READING = Fault("refused", refused, ("PROPFIND", "REPORT"))
REFUSED_WRITING = Fault("refused", refused, ("PUT", "DELETE"))


class Exchange:
    """One request on its way."""

    def __init__(self, handler, proxy, body):
        self.handler, self.proxy, self.body = handler, proxy, body
        self.chance = proxy.chance

    def forward(self):
        """Asks the upstream; status, headers and whole body of its answer."""
        upstream = http.client.HTTPConnection(self.proxy.host, self.proxy.port_behind, timeout=30)
        try:
            headers = {name: value for name, value in self.handler.headers.items() if name.lower() not in HOP}
            upstream.request(self.handler.command, self.handler.path, body=self.body or None, headers=headers)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def answer(self, status, headers, body, length=-1):
        """Answers; `length` is what to claim for the body's, `None` to claim nothing and end with the connection."""
        handler = self.handler
        handler.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP:
                handler.send_header(name, value)
        if length is None:
            handler.send_header("Connection", "close")
            handler.close_connection = True
        else:
            handler.send_header("Content-Length", str(len(body) if length == -1 else length))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)
            handler.wfile.flush()

    def cut(self):
        """Ends the connection as a lost network would: a reset, no goodbye."""
        self.handler.close_connection = True
        self.handler.connection.setsockopt(socketserver.socket.SOL_SOCKET, socketserver.socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.handler.connection.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def one_request(self):
        proxy = self.server.proxy
        length = self.headers.get("Content-Length")
        if length is not None:
            body = self.rfile.read(int(length))
        elif "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = b""
        exchange = Exchange(self, proxy, body)
        fault = proxy.choose(self.command)
        try:
            if fault is None:
                exchange.answer(*exchange.forward())
            else:
                fault.strike(exchange)
        except (OSError, http.client.HTTPException):
            # Whoever was to hear of it is gone, or the upstream is: for the gateway both are a lost connection.
            self.close_connection = True

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.one_request
        raise AttributeError(name)

    def log_message(self, *_):
        pass

    def finish(self):
        try:
            super().finish()
        except OSError:
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


class Proxy:
    """Stands in front of an upstream and looks like it."""

    def __init__(self, upstream, seed=1):
        self.upstream = upstream
        self.name, self.user, self.password, self.calendar = upstream.name, upstream.user, upstream.password, upstream.calendar
        parts = urlsplit(upstream.url)
        self.host, self.port_behind = parts.hostname, parts.port
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.chance = random.Random(seed)
        self.faults, self.share, self.struck = [], 0.0, {}
        self.lock = threading.Lock()
        self.server = None

    def start(self):
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.proxy = self
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def kill(self):
        self.server.shutdown()
        self.server.server_close()

    def dav(self):
        """By another way in."""
        return self.upstream.dav()

    def hurt(self, *faults, share=1.0):
        """From now on so great a share of the requests meets one of these faults, each by its name or made by hand."""
        with self.lock:
            self.faults, self.share, self.struck = [FAULTS.get(fault, fault) for fault in faults], share, {}

    def heal(self):
        with self.lock:
            self.faults, self.share = [], 0.0

    def choose(self, method):
        with self.lock:
            faults = [fault for fault in self.faults if fault.hits(method)]
            if not faults or self.chance.random() >= self.share:
                return None
            fault = self.chance.choice(faults)
            self.struck[fault.name] = self.struck.get(fault.name, 0) + 1
            return fault

    def strikes(self):
        """Requests that a fault has met since `hurt`."""
        with self.lock:
            return sum(self.struck.values())
