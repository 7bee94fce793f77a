"""A CalDAV server that costs as little as it can: everything from memory, one calendar for whoever signs in, nothing is written.

For figures: what a gateway needs is measured, and not what its upstream does. It counts what it is asked and how long it took.
"""

import base64
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

HEAD = '<?xml version="1.0"?><D:multistatus xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:CS="http://calendarserver.org/ns/">'
OK = "<D:status>HTTP/1.1 200 OK</D:status>"


def response(href, properties):
    return f"<D:response><D:href>{href}</D:href><D:propstat><D:prop>{properties}</D:prop>{OK}</D:propstat></D:response>"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave together: else the network waits for the one to be taken before it sends the other.
    wbufsize, disable_nagle_algorithm = 1 << 20, True

    def answered(self):
        began = time.monotonic()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        status, headers, content = self.server.static.answer(self.command, self.path, self.headers, body)
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.server.static.note(self.command, self.path, body, began)

    do_PROPFIND = do_REPORT = do_GET = do_OPTIONS = do_PUT = do_DELETE = answered

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class Static:
    """Every user who signs in has the same calendar."""

    name, user, password = "static", "ana", "secret"

    def __init__(self, events):
        """`events`: the iCalendar texts, all of them."""
        self.texts = {f"{n}.ics": text for n, text in enumerate(events)}
        self.given = {name: self.entry(name, text) for name, text in self.texts.items()}
        self.asked, self.busy, self.lock = [], 0.0, threading.Lock()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.static = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def start(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def kill(self):
        self.server.shutdown()
        self.server.server_close()

    @staticmethod
    def entry(name, text):
        data = text.replace("&", "&amp;").replace("<", "&lt;").replace("\r", "&#13;")
        return f"<D:getetag>\"{name}\"</D:getetag>", data

    def note(self, method, path, body, began):
        with self.lock:
            ended = time.monotonic()
            self.asked.append((method, path, "multiget" if "multiget" in body else "sync" if "sync-collection" in body else "", ended))
            self.busy += ended - began

    def answer(self, method, path, headers, body):
        user = self.who(headers)
        if user is None:
            return 401, [("WWW-Authenticate", 'Basic realm="static"')], b""
        xml, home = self.found(method, unquote(path), headers.get("Depth"), body, user), f"/{user}/"
        if xml is None:
            return 404, [], b""
        return 207, [("Content-Type", "application/xml; charset=utf-8"), ("DAV", "1, calendar-access"), ("X-Home", home)], (HEAD + xml + "</D:multistatus>").encode()

    @staticmethod
    def who(headers):
        scheme, _, secret = (headers.get("Authorization") or "").partition(" ")
        return base64.b64decode(secret).decode().split(":")[0] if scheme == "Basic" else None

    def found(self, method, path, depth, body, user):
        home, calendar = f"/{user}/", f"/{user}/work/"
        here = (
            f"<D:current-user-principal><D:href>{home}</D:href></D:current-user-principal>"
            f"<C:calendar-home-set><D:href>{home}</D:href></C:calendar-home-set>"
        )
        kind = (
            "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype><D:displayname>Work</D:displayname>"
            "<D:current-user-privilege-set><D:privilege><D:write/></D:privilege></D:current-user-privilege-set>"
            "<D:supported-report-set><D:supported-report><D:report><D:sync-collection/></D:report></D:supported-report></D:supported-report-set>"
            "<CS:getctag>1</CS:getctag><D:sync-token>urn:x:1</D:sync-token>"
        )
        if method == "PROPFIND" and path == calendar:
            return response(calendar, kind) + (self.listing(calendar) if depth == "1" else "")
        if method == "PROPFIND":
            folder = response(path, here + "<D:resourcetype><D:collection/></D:resourcetype>")
            return folder + (response(calendar, kind) if depth == "1" and path == home else "")
        if method == "REPORT" and "sync-collection" in body:
            is_first = re.search(r"sync-token\s*/>|sync-token>\s*<", body)
            return (self.listing(calendar) if is_first else "") + "<D:sync-token>urn:x:1</D:sync-token>"
        if method == "REPORT" and "multiget" in body:
            names = [unquote(href).rsplit("/", 1)[1] for href in re.findall(r"href>([^<]+)<", body)]
            given = ((name, self.given[name]) for name in names)
            return "".join(response(calendar + name, f"{tag}<C:calendar-data>{data}</C:calendar-data>") for name, (tag, data) in given)
        return None

    def listing(self, calendar):
        return "".join(response(calendar + name, tag) for name, (tag, _) in self.given.items())
