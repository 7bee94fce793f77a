"""The ways of services that can't be reached from a test, worn by a server that can: a proxy for each, by name.

What each does is in the field's collected experience (python-caldav's compatibility hints and the issues of other clients);
here it is done to the letter, so that a client which relies on the usual answer fails.
"""

import re
import threading
import time

from .client import uid_of
from .process import free_port
from .proxy import Fault, Handler, Proxy, Server


def header(headers, name):
    return next((value for key, value in headers if key.lower() == name), None)


def without(headers, *names):
    return [(key, value) for key, value in headers if key.lower() not in names]


class Disguise(Proxy):
    """An upstream that behaves as another service does."""

    kind = "caldav"
    moves = True

    def __init__(self, upstream):
        super().__init__(upstream)
        self.name = type(self).__name__.lower()
        self.seen, self.complaints = [], []
        self.start_at = self.url

    def choose(self, method):
        return super().choose(method) or Fault(self.name, self.carry)

    def carry(self, exchange):
        handler = exchange.handler
        self.seen.append((handler.command, handler.path))
        # What is packed can't be changed.
        del handler.headers["Accept-Encoding"]
        if "*" in handler.headers.get("If-Match", ""):
            self.complaints.append("If-Match: *")
        if b"<limit" in exchange.body or b":limit" in exchange.body:
            self.complaints.append("DAV:limit")
        answer = self.refuse(exchange, handler.command, handler.path)
        status, headers, body = answer or self.change(exchange, *exchange.forward())
        exchange.answer(status, headers, body)

    def refuse(self, exchange, method, path):
        """An answer of its own, in place of the server's."""

    def change(self, exchange, status, headers, body):
        """What becomes of the server's answer."""
        return status, headers, body

    def is_sync(self, exchange):
        return exchange.handler.command == "REPORT" and b"sync-collection" in exchange.body


class Yahoo(Disguise):
    """401 without a challenge, no sync-collection, RELATED-TO refused."""

    def refuse(self, exchange, method, path):
        if "Authorization" not in exchange.handler.headers:
            return 401, [], b""
        if self.is_sync(exchange):
            return 403, [("Content-Type", "text/plain")], b"Forbidden"
        if method == "PUT" and b"RELATED-TO" in exchange.body:
            return 400, [], b"RELATED-TO"


class Zoho(Disguise):
    """PROPFIND on the root not implemented, the well-known path answers by itself, multiget answers the first few."""

    MOST = 3

    def refuse(self, exchange, method, path):
        if method == "PROPFIND" and path == "/":
            return 501, [], b""
        if path.startswith("/.well-known/caldav"):
            exchange.handler.path = "/"

    def change(self, exchange, status, headers, body):
        if b"calendar-multiget" in exchange.body and status == 207:
            parts = re.split(rb"(?=<(?:\w+:)?response>)", body)
            end = re.search(rb"</(?:\w+:)?multistatus>", body).group()
            if len(parts) > self.MOST + 1:
                body = b"".join(parts[: self.MOST + 1]) + end
        return status, headers, body


class Gmx(Disguise):
    """A weak tag on PUT and a strong one on GET, no well-known path, sync-collection falls over with a token."""

    def refuse(self, exchange, method, path):
        if path.startswith("/.well-known/"):
            return 404, [], b""
        if self.is_sync(exchange) and re.search(rb"sync-token>[^<]+<", exchange.body):
            return 500, [], b"Internal error"

    def change(self, exchange, status, headers, body):
        if exchange.handler.command == "PUT":
            headers = [(key, "W/" + value if key.lower() == "etag" else value) for key, value in headers]
        return status, headers, body


class Nextcloud(Disguise):
    """Everything under /remote.php/dav, another header for the tag of a PUT, a refused token says nothing of why, and a bin that
    keeps the UIDs of what was deleted."""

    PREFIX = "/remote.php/dav"

    def __init__(self, upstream):
        super().__init__(upstream)
        self.bin, self.names, self.refusals = set(), {}, 0

    def refuse(self, exchange, method, path):
        if path.startswith("/.well-known/caldav"):
            return 301, [("Location", self.PREFIX + "/")], b""
        if not path.startswith(self.PREFIX):
            return 405, [], b""
        exchange.handler.path = path.removeprefix(self.PREFIX) or "/"
        exchange.body = exchange.body.replace(self.PREFIX.encode(), b"")
        if method == "PUT" and uid_of(exchange.body.decode()) in self.bin:
            self.refusals += 1
            return 400, [("Content-Type", "application/xml")], (
                b'<d:error xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns"><s:exception>Sabre\\DAV\\Exception\\BadRequest</s:exception>'
                b"<s:message>Deleted calendar object with uid already exists in this calendar collection.</s:message></d:error>")

    def change(self, exchange, status, headers, body):
        method, path = exchange.handler.command, exchange.handler.path
        if method == "PUT" and status < 300:
            self.names[path] = uid_of(exchange.body.decode())
        if method == "DELETE" and status < 300 and path in self.names:
            self.bin.add(self.names.pop(path))
        if exchange.handler.command == "PUT":
            headers = [("OC-ETag" if key.lower() == "etag" else key, value) for key, value in headers]
        if self.is_sync(exchange) and status >= 400:
            body = b""
        body = re.sub(rb"(href>)(/[^<]*)", rb"\1" + self.PREFIX.encode() + rb"\2", body)
        return status, without(headers, "location"), body


class Sogo(Disguise):
    """Tokens are the time in seconds, `If-None-Match: *` overwrites, a token that means nothing gets an empty answer."""

    def __init__(self, upstream):
        super().__init__(upstream)
        self.tokens = {}

    def refuse(self, exchange, method, path):
        if method == "PUT":
            del exchange.handler.headers["If-None-Match"]
        found = re.search(rb"sync-token>([^<]+)<", exchange.body) if self.is_sync(exchange) else None
        if found:
            asked = int(found[1])
            known = self.tokens.get(path, {})
            behind = known[max(at for at in known if at <= asked)] if any(at <= asked for at in known) else b""
            exchange.body = exchange.body.replace(b">" + found[1] + b"<", b">" + behind + b"<")

    def change(self, exchange, status, headers, body):
        if self.is_sync(exchange) and status == 207:
            token = re.search(rb"sync-token>([^<]+)<", body)[1]
            now = int(time.time())
            self.tokens.setdefault(exchange.handler.path, {}).setdefault(now, token)
            # The first answer of a second is the one that later ones of it look like.
            body = body.replace(b">" + token + b"<", b">" + str(now).encode() + b"<")
        return status, headers, body


class Google(Disguise):
    """What is stored is rewritten, and PUT does not tell its tag."""

    def refuse(self, exchange, method, path):
        if method == "PUT":
            text = exchange.body.replace(b"END:VEVENT\r\n", b"X-REWRITTEN:by the service\r\nEND:VEVENT\r\n")
            exchange.body = text if b"X-REWRITTEN" not in exchange.body else exchange.body

    def change(self, exchange, status, headers, body):
        return status, without(headers, "etag") if exchange.handler.command == "PUT" else headers, body


class ICloud(Disguise):
    """Apple's: a partition of its own for the calendars, one request at a time, DTEND on every event, a UID in one calendar
    only, `If-Match: *` the wrong way round, no tag on PUT, an unknown scheme first among the challenges."""

    kind = "icloud"

    def __init__(self, upstream):
        super().__init__(upstream)
        self.partition_port = free_port()
        self.partition = f"http://127.0.0.1:{self.partition_port}"
        self.running, self.second = threading.Semaphore(1), None
        self.homes, self.refusals, self.former = {}, 0, []
        self.password_is_good = True

    def start(self):
        super().start()
        self.open()
        return self

    def open(self):
        self.second = Server(("127.0.0.1", self.partition_port), Handler)
        self.second.proxy = self
        threading.Thread(target=self.second.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def move(self):
        """The account is on another partition from now on; the former one has never heard of it."""
        self.former.append(self.second)
        self.partition_port = free_port()
        self.partition = f"http://127.0.0.1:{self.partition_port}"
        self.open()

    def kill(self):
        super().kill()
        for server in (*self.former, self.second):
            if server:
                server.shutdown()
                server.server_close()
        self.second, self.former = None, []

    def carry(self, exchange):
        if not self.running.acquire(blocking=False):
            self.complaints.append(f"two at once: {exchange.handler.command} {exchange.handler.path}")
            return exchange.answer(503, [], b"")
        # Over when its answer goes out: the next request may be here before this thread comes back from writing.
        answer, rest = exchange.answer, [self.running.release]

        def answered(*told):
            while rest:
                rest.pop()()
            return answer(*told)

        exchange.answer = answered
        try:
            super().carry(exchange)
        finally:
            while rest:
                rest.pop()()

    def refuse(self, exchange, method, path):
        headers, is_partition = exchange.handler.headers, exchange.handler.server is self.second
        if "Authorization" not in headers or not self.password_is_good:
            self.refusals += 1
            challenge = 'X-MobileMe-AuthToken realm="MMCalDav", Basic realm="MMCalDav"'
            return 401, [("WWW-Authenticate", challenge)], b""
        if exchange.handler.server in self.former:
            return 404, [], b""
        if not is_partition and method != "PROPFIND":
            self.complaints.append(f"{method} at the entrance")
            return 404, [], b""
        if headers.get("If-Match") == "*":
            return 412, [], b""
        if method == "REPORT" and b"free-busy" in exchange.body:
            return 400, [], b""
        if self.is_sync(exchange) and headers.get("Depth") != "1":
            return 400, [], b""
        if method == "PUT":
            text = exchange.body.decode()
            event = text[text.index("BEGIN:VEVENT"):]
            if not re.search(r"^(DTEND|DURATION)", event, re.M):
                return 404, [], b""
            home = path.rsplit("/", 1)[0]
            if self.homes.get(uid_of(text), home) != home:
                return 403, [], b""

    def change(self, exchange, status, headers, body):
        method, path = exchange.handler.command, exchange.handler.path
        home = path.rsplit("/", 1)[0]
        if method == "PUT" and status < 300:
            self.homes[uid_of(exchange.body.decode())] = home
            self.homes[path] = uid_of(exchange.body.decode())
            headers = without(headers, "etag")
        if method == "DELETE" and status < 300 and path in self.homes:
            self.homes.pop(self.homes.pop(path), None)
        if self.is_sync(exchange) and status >= 400:
            status, body = 403, b'<?xml version="1.0"?><error xmlns="DAV:"><valid-sync-token/></error>'
        body = re.sub(rb"(calendar-home-set>\s*<[^>]*href>)(/[^<]*)", rb"\1" + self.partition.encode() + rb"\2", body)
        return status, headers, body


PROFILES = {profile.__name__.lower(): profile for profile in (ICloud, Yahoo, Zoho, Gmx, Nextcloud, Sogo, Google)}
