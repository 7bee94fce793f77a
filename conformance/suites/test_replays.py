"""What macOS, iOS and DAVx5 send, in their order: those that can't run here. The bodies are after the request data of Apple's
ccs-calendarserver load test (OS X 10.11, iOS 5; the logs of iOS 18 and macOS 13 are alike) and the sources of DAVx5."""

import re

import pytest
from harness.client import NAMES, PROLOGUE, Dav
from harness.events import BERLIN, all_day, event, instances, series

DECLARED = ('xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:CS="http://calendarserver.org/ns/" '
            'xmlns:A="http://apple.com/ns/ical/" xmlns:M="http://me.com/_namespace/" xmlns:P="https://bitfire.at/webdav-push"')
ROOT = ["D:current-user-principal", "D:principal-URL", "D:resourcetype"]
PRINCIPAL = [
    "C:calendar-home-set", "C:calendar-user-address-set", "D:current-user-principal", "D:displayname", "CS:dropbox-home-URL",
    "CS:email-address-set", "CS:notification-URL", "D:principal-collection-set", "D:principal-URL", "D:resource-id",
    "C:schedule-inbox-URL", "C:schedule-outbox-URL", "D:supported-report-set",
]
HOME = [
    "D:add-member", "CS:allowed-sharing-modes", "A:autoprovisioned", "M:bulk-requests", "C:calendar-alarm", "A:calendar-color",
    "C:calendar-description", "C:calendar-free-busy-set", "A:calendar-order", "C:calendar-timezone",
    "D:current-user-privilege-set", "C:default-alarm-vevent-date", "C:default-alarm-vevent-datetime", "D:displayname",
    "CS:getctag", "CS:invite", "A:language-code", "A:location-code", "D:owner", "CS:pre-publish-url", "CS:publish-url",
    "CS:push-transports", "CS:pushkey", "D:quota-available-bytes", "D:quota-used-bytes", "A:refreshrate", "D:resource-id",
    "D:resourcetype", "C:schedule-calendar-transp", "C:schedule-default-calendar-URL", "CS:source",
    "CS:subscribed-strip-alarms", "CS:subscribed-strip-attachments", "CS:subscribed-strip-todos",
    "C:supported-calendar-component-set", "C:supported-calendar-component-sets", "D:supported-report-set", "D:sync-token",
    "CS:xmpp-server", "CS:xmpp-uri",
]
ZONE = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Apple Inc.//Mac OS X 10.11//EN\r\nCALSCALE:GREGORIAN\r\n{BERLIN}END:VCALENDAR\r\n"


class Device:
    """A client that keeps its login, and says who it is."""

    def __init__(self, gateway, **headers):
        self.gateway, self.headers = gateway, headers
        self.dav, self.stranger = gateway.dav(), Dav(gateway.url, None, None)

    def ask(self, method, path, body="", known=True, **more):
        """The answer; what a client asks on a new place it asks without a password first."""
        headers = self.headers | {"Content-Type": "text/xml"} | {name.replace("_", "-"): value for name, value in more.items()}
        return (self.dav if known else self.stranger).request(method, path, body and PROLOGUE + body, headers)

    def properties(self, path, names, depth="0", known=True):
        asked = "".join(f"<{name}/>" for name in names)
        return self.ask("PROPFIND", path, f"<D:propfind {DECLARED}><D:prop>{asked}</D:prop></D:propfind>", known, Depth=depth)

    def found(self, path, names):
        """Name -> element of what the resource has."""
        (response,) = self.properties(path, names).responses().values()
        parts = [p for p in response.findall("D:propstat", NAMES) if " 200" in p.findtext("D:status", namespaces=NAMES)]
        return {one.tag.split("}")[1]: one for part in parts for one in part.find("D:prop", NAMES)}

    def well_known(self, path):
        """Where it is sent from the well-known address, with and without a password."""
        moved = self.properties(path, ROOT, known=False)
        assert moved.status == 301, (moved.status, moved.body)
        place = re.sub(r"^https?://[^/]+", "", moved.header("location"))
        refused = self.properties(place, ROOT, known=False)
        assert refused.status == 401 and refused.header("www-authenticate").startswith("Basic")
        return place

    def patch(self, path, properties):
        return self.ask("PROPPATCH", path, f"<D:propertyupdate {DECLARED}><D:set><D:prop>{properties}</D:prop></D:set></D:propertyupdate>")

    def multiget(self, path, hrefs):
        body = "".join(f"<D:href>{href}</D:href>" for href in hrefs)
        answer = self.ask("REPORT", path, f"<C:calendar-multiget {DECLARED}><D:prop><D:getetag/><C:schedule-tag/><C:calendar-data/></D:prop>{body}"
                          "</C:calendar-multiget>", Depth="1")
        return {href: (r.findtext(".//D:getetag", namespaces=NAMES), r.findtext(".//C:calendar-data", namespaces=NAMES))
                for href, r in answer.responses().items()}

    def changes(self, path, token, depth, more="", limit=""):
        """Changed path -> tag, gone paths, the new token, and whether there is more."""
        answer = self.ask("REPORT", path, f"<D:sync-collection {DECLARED}><D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>"
                          f"{limit}<D:prop><D:getetag/>{more}</D:prop></D:sync-collection>", Depth=depth)
        changed, gone, cut = {}, set(), False
        for href, response in answer.responses().items():
            status = response.findtext("D:status", default="", namespaces=NAMES)
            if href == path:
                cut = " 507" in status
            elif " 404" in status:
                gone.add(href)
            else:
                changed[href] = response.findtext(".//D:getetag", namespaces=NAMES)
                assert changed[href], "every member has its tag"
        return changed, gone, answer.xml().findtext("D:sync-token", namespaces=NAMES), cut

    def since(self, path, start):
        """Path -> tag of what has an instance after a moment."""
        answer = self.ask("REPORT", path, f'<C:calendar-query {DECLARED}><D:prop><D:getetag/><D:getcontenttype/></D:prop><C:filter>'
                          f'<C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="{start}"/></C:comp-filter>'
                          "</C:comp-filter></C:filter></C:calendar-query>", Depth="1")
        assert all("text/calendar" in r.findtext(".//D:getcontenttype", namespaces=NAMES) for r in answer.responses().values())
        return {href: r.findtext(".//D:getetag", namespaces=NAMES) for href, r in answer.responses().items()}


def write_all(device, home):
    """An event, a day, a series: made, read back, one instance moved, one object deleted, each by the tag that was seen."""
    texts = {
        "0A-1.ics": event("0A-1", "Zahnärztin – 日本語 🎉"), "0A-2.ics": all_day("0A-2"),
        "0A-3.ics": series("0A-3", moved=False), "there.ics": event("there", "Von dort"),
    }
    for name in ("0A-1.ics", "0A-2.ics", "0A-3.ics"):
        assert device.dav.put(home + name, texts[name], If_None_Match="*").status == 201
    read = device.multiget(home, [home + name for name in texts])
    assert {href: text.replace("\r\n", "\n") for href, (_, text) in read.items()} == {home + n: t.replace("\r\n", "\n") for n, t in texts.items()}
    moved = series("0A-3")
    assert device.dav.put(home + "0A-3.ics", moved, If_Match=read[home + "0A-3.ics"][0]).status == 204
    assert instances(device.dav.get(home + "0A-3.ics").text) == instances(moved)
    stale = device.dav.put(home + "0A-3.ics", series("0A-3", "Late"), If_Match=read[home + "0A-3.ics"][0])
    assert stale.status == 412
    assert device.dav.delete(home + "0A-2.ics", If_Match=read[home + "0A-2.ics"][0]).status == 204


@pytest.mark.parametrize("system", ["macOS", "iOS"])
def test_apple(gateway, system):
    agent = {"macOS": "macOS/13.2 (22D49) CalendarAgent/1022", "iOS": "iOS/18.1 (22B83) dataaccessd/1.0"}[system]
    device = Device(gateway, User_Agent=agent, Brief="t", Prefer="return=minimal", Accept="*/*")
    device.headers = {name.replace("_", "-"): value for name, value in device.headers.items()}
    unified = gateway.unified()
    gateway.dav().put(unified + "there.ics", event("there", "Von dort"))

    place = device.well_known("/.well-known/caldav/")
    principal = device.found(place, ROOT)["current-user-principal"].findtext("D:href", namespaces=NAMES)
    told = device.found(principal, PRINCIPAL)
    (home,) = [one.text for one in told["calendar-home-set"]]
    addresses = told["calendar-user-address-set"]
    assert addresses[0].get("preferred") == "1" and addresses[0].text == addresses[-1].text
    inbox, outbox = (told[f"schedule-{box}-URL"].findtext("D:href", namespaces=NAMES) for box in ("inbox", "outbox"))
    (people,) = [one.text for one in told["principal-collection-set"]]
    assert device.ask("REPORT", people, f"<D:principal-search-property-set {DECLARED}/>", Depth="0").status == 200
    options = device.ask("OPTIONS", home)
    assert {"calendar-access", "calendar-auto-schedule"} <= {one.strip() for one in options.header("dav").split(",")}
    listed = device.properties(home, HOME, "1")
    kinds = {href: {one.tag.split("}")[1] for one in r.find(".//D:resourcetype", NAMES)} for href, r in listed.responses().items()}
    assert kinds[unified] == {"collection", "calendar"}, "anything else keeps an iPhone from asking on"
    assert kinds[inbox] == {"collection", "schedule-inbox"} and kinds[outbox] == {"collection", "schedule-outbox"}
    assert " 404" not in listed.text and "pushkey" not in listed.text

    # A refusal of the alarm is taken; the rest is not to be refused.
    assert device.patch(home, "<C:default-alarm-vevent-date/>").status in (200, 207, 403)
    for value in ("<A:calendar-order>2</A:calendar-order>", "<D:displayname>Mine</D:displayname>",
                  '<A:calendar-color symbolic-color="custom">#1BADF8FF</A:calendar-color>', f"<C:calendar-timezone>{ZONE}</C:calendar-timezone>"):
        answer = device.patch(unified, value)
        assert answer.status == 200 or " 200 OK" in answer.text and " 4" not in re.sub(r"<D:href>.*?</D:href>", "", answer.text), answer.text
    made = home + "4B4A6F0E-8E32-4E27-9C2B-0B3E5D6E7F80/"
    assert device.ask("MKCALENDAR", made, f"<C:mkcalendar {DECLARED}><D:set><D:prop><A:calendar-order>3</A:calendar-order>"
                      '<C:supported-calendar-component-set><C:comp name="VEVENT"/></C:supported-calendar-component-set>'
                      f'<A:calendar-color symbolic-color="orange">#FF9500FF</A:calendar-color><C:calendar-timezone>{ZONE}</C:calendar-timezone>'
                      "<D:displayname>Größe</D:displayname><C:schedule-calendar-transp><C:opaque/></C:schedule-calendar-transp></D:prop></D:set>"
                      "</C:mkcalendar>").status == 201

    ctag = lambda path: device.found(path, ["CS:getctag", "D:sync-token"])["getctag"].text
    before = (ctag(home), ctag(unified))
    if system == "iOS":
        assert list(device.since(unified, "20260901T000000Z")) == [unified + "there.ics"]
    else:
        assert device.properties(unified, ["D:getetag", "D:resourcetype"], "1").status == 207
    changed, _, token, _ = device.changes(unified, "", "1")
    assert list(changed) == [unified + "there.ics"]
    assert device.ask("REPORT", home, f"<D:sync-collection {DECLARED}><D:sync-token/><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>"
                      "</D:sync-collection>", Depth="1").status in (207, 403)
    write_all(device, unified)
    after = (ctag(home), ctag(unified))
    assert before[0] != after[0] and before[1] != after[1]
    # Somebody else deletes and adds.
    gateway.dav().delete(unified + "there.ics")
    gateway.dav().put(unified + "more.ics", event("more", "Mehr"))
    changed, gone, token, cut = device.changes(unified, token, "1")
    assert set(changed) == {unified + name for name in ("0A-1.ics", "0A-3.ics", "more.ics")} and not cut
    assert unified + "there.ics" in gone
    assert device.changes(unified, token, "1")[:2] == ({}, set())

    assert device.properties(inbox, ["CS:getctag", "D:sync-token"]).status == 207
    assert device.properties(inbox, ["D:getetag", "D:resourcetype"], "1").status == 207
    proxies = device.ask("REPORT", principal, f'<D:expand-property {DECLARED}><D:property name="calendar-proxy-read-for" namespace="{NAMES["CS"]}">'
                         '<D:property name="displayname"/></D:property><D:property name="calendar-proxy-write-for" '
                         f'namespace="{NAMES["CS"]}"><D:property name="displayname"/></D:property></D:expand-property>', Depth="0")
    assert proxies.status == 207
    asked = (f"BEGIN:VCALENDAR\r\nCALSCALE:GREGORIAN\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nPRODID:-//Apple Inc.//iCal//EN\r\nBEGIN:VFREEBUSY\r\n"
             f"UID:fb\r\nDTEND:20261202T000000Z\r\nATTENDEE:{addresses[0].text}\r\nDTSTART:20261201T000000Z\r\nDTSTAMP:20261101T000000Z\r\n"
             f"ORGANIZER:{addresses[0].text}\r\nEND:VFREEBUSY\r\nEND:VCALENDAR\r\n")
    busy = device.dav.request("POST", outbox, asked, {"Content-Type": "text/calendar"})
    assert busy.status == 200 and "2.0;Success" in busy.text and "FREEBUSY" in busy.text
    assert device.ask("DELETE", made).status == 204


def test_davx5(gateway):
    device = Device(gateway)
    device.headers = {"User-Agent": "DAVx5/4.5 (2026/08/01; dav4jvm; okhttp/5) Android/16"}
    unified = gateway.unified()
    gateway.dav().put(unified + "there.ics", event("there", "Von dort"))

    given = device.properties("/", ["C:calendar-home-set", "C:supported-calendar-component-set", "D:resourcetype", "D:displayname",
                                    "A:calendar-color", "C:calendar-description", "C:calendar-timezone", "D:current-user-privilege-set",
                                    "D:current-user-principal"])
    assert given.status == 207
    place = device.well_known("/.well-known/caldav")
    principal = device.found(place, ["D:current-user-principal"])["current-user-principal"].findtext("D:href", namespaces=NAMES)
    options = device.ask("OPTIONS", principal)
    assert "calendar-access" in options.header("dav")
    told = device.found(principal, ["D:displayname", "D:group-membership", "D:resourcetype", "C:calendar-home-set",
                                    "CS:calendar-proxy-read-for", "CS:calendar-proxy-write-for"])
    (home,) = [one.text for one in told["calendar-home-set"]]
    listed = device.properties(home, ["D:resourcetype", "D:displayname", "D:owner", "D:current-user-privilege-set", "A:calendar-color",
                                      "C:calendar-description", "C:calendar-timezone", "C:calendar-timezone-id", "CS:source",
                                      "C:supported-calendar-component-set", "P:transports", "P:topic"], "1")
    assert unified in listed.responses()
    able = device.found(unified, ["D:supported-report-set", "D:sync-token", "CS:getctag", "C:max-resource-size"])
    assert able["supported-report-set"].find(".//D:sync-collection", NAMES) is not None and int(able["max-resource-size"].text) > 0

    limit = "<D:limit><D:nresults>2</D:nresults></D:limit>"
    changed, gone, token, cut = device.changes(unified, "", "0", "<D:resourcetype/>", limit)
    assert list(changed) == [unified + "there.ics"] and not cut
    # By default it asks for 90 days back and no end.
    assert list(device.since(unified, "20260901T000000Z")) == [unified + "there.ics"]
    write_all(device, unified)
    gateway.dav().put(unified + "more.ics", event("more", "Mehr"))
    seen, pages = {}, 0
    while True:
        changed, gone, token, cut = device.changes(unified, token, "0", "<D:resourcetype/>", limit)
        # A page is what was so at its token: what came and went meanwhile may come on one and go on a later one.
        seen, pages = {href: tag for href, tag in (seen | changed).items() if href not in gone}, pages + 1
        assert pages < 10
        if not cut:
            break
    assert set(seen) == {unified + name for name in ("0A-1.ics", "0A-3.ics", "more.ics")} and pages > 1
    # An invitation among the users of one server has a schedule-tag, and then that is the condition.
    gateway.add_user("bob")
    invited = event("talk", extra="ORGANIZER:mailto:ana@127.0.0.1\r\nATTENDEE;PARTSTAT=ACCEPTED:mailto:ana@127.0.0.1\r\n"
                    "ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:bob@127.0.0.1\r\n")
    assert device.dav.put(unified + "talk.ics", invited, If_None_Match="*").status == 201
    tag = device.dav.get(unified + "talk.ics").header("schedule-tag")
    later = invited.replace("T100000Z", "T103000Z")
    assert device.dav.put(unified + "talk.ics", later, If_Schedule_Tag_Match=tag).status == 204
    assert device.dav.put(unified + "talk.ics", invited, If_Schedule_Tag_Match='"stale"').status == 412
    assert device.dav.delete(unified + "talk.ics", Push_Dont_Notify="*").status == 204

    stale = device.ask("REPORT", unified, f"<D:sync-collection {DECLARED}><D:sync-token>urn:stale</D:sync-token><D:sync-level>1</D:sync-level><D:prop>"
                       "<D:getetag/></D:prop></D:sync-collection>", Depth="0")
    assert stale.status in (403, 409) and stale.precondition() == ["{DAV:}valid-sync-token"]
    made = device.ask("MKCALENDAR", home + "5f1c/", f"<C:mkcalendar {DECLARED}><D:set><D:prop><D:resourcetype><D:collection/><C:calendar/></D:resourcetype>"
                      "<D:displayname>Größe</D:displayname><A:calendar-color>#ff9500ff</A:calendar-color><C:calendar-timezone-id>Europe/Vienna"
                      "</C:calendar-timezone-id><C:supported-calendar-component-set><C:comp name=\"VEVENT\"/></C:supported-calendar-component-set>"
                      "</D:prop></D:set></C:mkcalendar>")
    assert made.status == 201 and device.found(home + "5f1c/", ["C:calendar-timezone-id"])["calendar-timezone-id"].text == "Europe/Vienna"
    assert device.ask("DELETE", home + "5f1c/").status == 204
