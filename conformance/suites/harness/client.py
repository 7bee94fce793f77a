"""A CalDAV client as small as it can be, so that a suite says on the wire exactly what it means."""

import base64
import http.client
import xml.etree.ElementTree as ElementTree
from urllib.parse import quote, unquote, urlsplit

NAMES = {"D": "DAV:", "C": "urn:ietf:params:xml:ns:caldav", "CS": "http://calendarserver.org/ns/"}
PROLOGUE = '<?xml version="1.0" encoding="utf-8"?>'
DECLARED = 'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:CS="http://calendarserver.org/ns/"'


class Answer:
    """Status, headers and body of a response."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        return self.headers.get(name.lower())

    @property
    def etag(self):
        return self.header("etag")

    @property
    def text(self):
        return self.body.decode("utf-8")

    def xml(self):
        return ElementTree.fromstring(self.body)

    def precondition(self):
        """The elements inside DAV:error, as `{namespace}name`."""
        root = self.xml()
        assert root.tag == "{DAV:}error", self.body
        return [child.tag for child in root]

    def responses(self):
        """Decoded path -> the response element, of a multistatus."""
        assert self.status == 207, (self.status, self.body[:500])
        return {
            unquote(urlsplit(response.findtext("D:href", namespaces=NAMES)).path): response
            for response in self.xml().findall("D:response", NAMES)
        }


class Dav:
    """One connection with one login."""

    def __init__(self, url, user, password):
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port
        self.base = parts.path.rstrip("/")
        self.connection = None
        self.credentials = None
        if user is not None:
            self.credentials = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def request(self, method, path, body=None, headers=None):
        sent = dict(headers or {})
        if self.credentials:
            sent.setdefault("Authorization", self.credentials)
        if isinstance(body, str):
            body = body.encode()
        target = quote(path, safe="/:@%?=&+,;!$'()*~-._")
        for attempt in (1, 2):
            fresh = self.connection is None
            if fresh:
                self.connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
            try:
                self.connection.request(method, self.base + target, body=body, headers=sent)
                response = self.connection.getresponse()
                answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
                if response.will_close:
                    self.close()
                return answer
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                # A kept connection may have been closed between two requests; a fresh one has no such excuse.
                self.close()
                if fresh or attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def get(self, path):
        return self.request("GET", path)

    def put(self, path, body, **conditions):
        headers = {"Content-Type": "text/calendar; charset=utf-8"}
        headers |= {name.replace("_", "-"): value for name, value in conditions.items()}
        return self.request("PUT", path, body, headers)

    def delete(self, path, **conditions):
        return self.request("DELETE", path, headers={name.replace("_", "-"): v for name, v in conditions.items()})

    def mkcalendar(self, path, name):
        body = f"{PROLOGUE}<C:mkcalendar {DECLARED}><D:set><D:prop><D:displayname>{name}</D:displayname></D:prop></D:set></C:mkcalendar>"
        answer = self.request("MKCALENDAR", path, body, {"Content-Type": "application/xml"})
        assert answer.status == 201, (answer.status, answer.body)

    def propfind(self, path, properties="<D:resourcetype/>", depth="0"):
        body = f"{PROLOGUE}<D:propfind {DECLARED}><D:prop>{properties}</D:prop></D:propfind>"
        return self.request("PROPFIND", path, body, {"Depth": depth, "Content-Type": "application/xml"})

    def report(self, path, body, depth="1"):
        return self.request("REPORT", path, PROLOGUE + body, {"Depth": depth, "Content-Type": "application/xml"})

    def listing(self, path):
        """Path -> etag of the members of a collection."""
        found = self.propfind(path, "<D:getetag/>", "1").responses()
        return {
            href: response.findtext(".//D:getetag", namespaces=NAMES)
            for href, response in found.items()
            if href.rstrip("/") != path.rstrip("/")
        }

    def sync(self, path, token="", limit=None):
        """Changed path -> etag, gone paths, new token of a sync-collection report."""
        limited = f"<D:limit><D:nresults>{limit}</D:nresults></D:limit>" if limit else ""
        body = (
            f"<D:sync-collection {DECLARED}><D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>"
            f"{limited}<D:prop><D:getetag/></D:prop></D:sync-collection>"
        )
        answer = self.report(path, body, depth="0")
        changed, gone = {}, set()
        for href, response in answer.responses().items():
            status = response.findtext("D:status", default="", namespaces=NAMES)
            if " 404" in status:
                gone.add(href)
            elif href.rstrip("/") != path.rstrip("/"):
                changed[href] = response.findtext(".//D:getetag", namespaces=NAMES)
        return changed, gone, answer.xml().findtext("D:sync-token", namespaces=NAMES)

    def objects(self, path):
        """Every member's iCalendar text by path, by one calendar-query."""
        body = (
            f"<C:calendar-query {DECLARED}><D:prop><D:getetag/><C:calendar-data/></D:prop>"
            '<C:filter><C:comp-filter name="VCALENDAR"/></C:filter></C:calendar-query>'
        )
        found = self.report(path, body).responses()
        return {href: r.findtext(".//C:calendar-data", namespaces=NAMES) for href, r in found.items()}

    def href_of(self, path, uid):
        """The path of the one object with this UID."""
        (href,) = [href for href, text in self.objects(path).items() if uid_of(text) == uid]
        return href

    def by_uid(self, path):
        """UID -> list of iCalendar texts with it. More than one in a list is a double."""
        found = {}
        for text in self.objects(path).values():
            found.setdefault(uid_of(text), []).append(text)
        return found


def uid_of(text):
    """The UID of an iCalendar object."""
    for line in text.replace("\r\n ", "").replace("\n ", "").splitlines():
        if line.upper().startswith("UID:"):
            return line[4:].strip()
    raise AssertionError("an object without UID")
