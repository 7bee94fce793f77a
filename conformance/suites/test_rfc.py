"""The texts of RFC 4918, 4791 and 6578 themselves, by their sections: the requests that they print, with the data of
RFC 4791 Appendix B, and each MUST that shows on the wire and that no client asks for. docs/rfc-coverage.md has the list."""

import email.utils
import itertools
import re
from pathlib import Path

import pytest
from harness.client import DECLARED, NAMES, PROLOGUE, Dav
from harness.events import BERLIN, calendar, event
from harness.gateway import Gateway

CALDAV = "{urn:ietf:params:xml:ns:caldav}"
DAV = "{DAV:}"
HOME = "/dav/calendars/ana/"
EASTERN = """BEGIN:VTIMEZONE\r
LAST-MODIFIED:20040110T032845Z\r
TZID:US/Eastern\r
BEGIN:DAYLIGHT\r
DTSTART:20000404T020000\r
RRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=4\r
TZNAME:EDT\r
TZOFFSETFROM:-0500\r
TZOFFSETTO:-0400\r
END:DAYLIGHT\r
BEGIN:STANDARD\r
DTSTART:20001026T020000\r
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\r
TZNAME:EST\r
TZOFFSETFROM:-0400\r
TZOFFSETTO:-0500\r
END:STANDARD\r
END:VTIMEZONE\r
"""


def component(kind, *lines):
    return "\r\n".join([f"BEGIN:{kind}", *lines, f"END:{kind}", ""])


def alarm(*lines):
    return component("VALARM", "ACTION:AUDIO", *lines).rstrip("\r\n")


SECOND = ("UID:00959BC664CA650E933C892C@example.com", "DTSTAMP:20060206T001121Z")
APPENDIX_B = {
    "abcd1.ics": calendar(component(
        "VEVENT", "DTSTAMP:20060206T001102Z", "DTSTART;TZID=US/Eastern:20060102T100000", "DURATION:PT1H", "SUMMARY:Event #1",
        "DESCRIPTION:Go Steelers!", "UID:74855313FA803DA593CD579A@example.com"), zones=EASTERN),
    "abcd2.ics": calendar(
        component("VEVENT", *SECOND, "DTSTART;TZID=US/Eastern:20060102T120000", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=5",
                  "SUMMARY:Event #2"),
        component("VEVENT", *SECOND, "DTSTART;TZID=US/Eastern:20060104T140000", "DURATION:PT1H",
                  "RECURRENCE-ID;TZID=US/Eastern:20060104T120000", "SUMMARY:Event #2 bis"),
        component("VEVENT", *SECOND, "DTSTART;TZID=US/Eastern:20060106T140000", "DURATION:PT1H",
                  "RECURRENCE-ID;TZID=US/Eastern:20060106T120000", "SUMMARY:Event #2 bis bis"), zones=EASTERN),
    "abcd3.ics": calendar(component(
        "VEVENT", "ATTENDEE;PARTSTAT=ACCEPTED;ROLE=CHAIR:mailto:cyrus@example.com",
        "ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:lisa@example.com", "DTSTAMP:20060206T001220Z",
        "DTSTART;TZID=US/Eastern:20060104T100000", "DURATION:PT1H", "LAST-MODIFIED:20060206T001330Z",
        "ORGANIZER:mailto:cyrus@example.com", "SEQUENCE:1", "STATUS:TENTATIVE", "SUMMARY:Event #3",
        "UID:DC6C50A017428C5216A2F1CD@example.com", "X-ABC-GUID:E1CX5Dr-0007ym-Hz@example.com"), zones=EASTERN),
    "abcd4.ics": calendar(component(
        "VTODO", "DTSTAMP:20060205T235335Z", "DUE;VALUE=DATE:20060104", "STATUS:NEEDS-ACTION", "SUMMARY:Task #1",
        "UID:DDDEEB7915FA61233B861457@example.com", alarm("TRIGGER;RELATED=START:-PT10M"))),
    "abcd5.ics": calendar(component(
        "VTODO", "DTSTAMP:20060205T235300Z", "DUE;TZID=US/Eastern:20060106T120000", "LAST-MODIFIED:20060205T235308Z",
        "SEQUENCE:1", "STATUS:NEEDS-ACTION", "SUMMARY:Task #2", "UID:E10BA47467C5C69BB74E8720@example.com",
        alarm("TRIGGER;RELATED=START:-PT10M")), zones=EASTERN),
    "abcd6.ics": calendar(component(
        "VTODO", "COMPLETED:20051223T122322Z", "DTSTAMP:20060205T235400Z", "DUE;VALUE=DATE:20051225",
        "LAST-MODIFIED:20060205T235308Z", "SEQUENCE:1", "STATUS:COMPLETED", "SUMMARY:Task #3",
        "UID:E10BA47467C5C69BB74E8722@example.com")),
    "abcd7.ics": calendar(component(
        "VTODO", "DTSTAMP:20060205T235600Z", "DUE;VALUE=DATE:20060101", "LAST-MODIFIED:20060205T235308Z", "SEQUENCE:1",
        "STATUS:CANCELLED", "SUMMARY:Task #4", "UID:E10BA47467C5C69BB74E8725@example.com")),
}
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for the whole file; each test makes a calendar of its own."""
    running = Gateway(tmp_path_factory.mktemp("rfc"), dav__plain_collections="true").start()
    running.add_user()
    yield running
    running.kill()


@pytest.fixture
def dav(server):
    return server.dav()


@pytest.fixture
def place(dav):
    """An empty calendar."""
    path = f"{HOME}rfc{next(numbers)}/"
    dav.mkcalendar(path, "Work")
    return path


@pytest.fixture(scope="module")
def work(server):
    """The calendar of RFC 4791 Appendix B; tests read it and leave it as it is."""
    dav, path = server.dav(), HOME + "appendix-b/"
    dav.mkcalendar(path, "Work")
    for name, text in APPENDIX_B.items():
        answer = dav.put(path + name, text, If_None_Match="*")
        assert answer.status == 201, (name, answer.status, answer.text)
    return path


def query(dav, path, filtered, data="", more="", depth="1"):
    """Name -> iCalendar text of what a calendar-query finds below VCALENDAR."""
    body = (f"<C:calendar-query {DECLARED}><D:prop><D:getetag/><C:calendar-data>{data}</C:calendar-data></D:prop><C:filter>"
            f'<C:comp-filter name="VCALENDAR">{filtered}</C:comp-filter></C:filter>{more}</C:calendar-query>')
    return texts(dav.report(path, body, depth))


def texts(answer):
    return {href.rsplit("/", 1)[-1]: response.findtext(".//C:calendar-data", namespaces=NAMES)
            for href, response in answer.responses().items()}


def within(kind, start, end, inside=""):
    return f'<C:comp-filter name="{kind}"><C:time-range start="{start}" end="{end}"/>{inside}</C:comp-filter>'


def value_of(answer, name):
    """The element of a property in the 200 part of the only response."""
    (response,) = answer.responses().values()
    for part in response.findall("D:propstat", NAMES):
        if " 200 " in part.findtext("D:status", namespaces=NAMES) + " ":
            return part.find("D:prop/" + name, NAMES)
    return None


def status_of(answer, name):
    (response,) = answer.responses().values()
    (found,) = [part for part in response.findall("D:propstat", NAMES) if part.find("D:prop/" + name, NAMES) is not None]
    return int(found.findtext("D:status", namespaces=NAMES).split()[1])


def lines(text):
    return text.replace("\r\n ", "").replace("\n ", "").splitlines()


# RFC 4918


def test_4918_5_2_a_collection_answers_without_its_slash(dav, place):
    found = dav.propfind(place.rstrip("/"), "<D:resourcetype/>")
    assert list(found.responses()) == [place]
    assert found.header("content-location") in (None, place)


def test_4918_8_2_bodies_are_xml_with_namespaces(dav, place):
    unbound = '<D:propfind><D:prop><D:getetag/></D:prop></D:propfind>'
    empty = '<D:propfind xmlns:D="DAV:"><D:prop><x:a xmlns:x=""/></D:prop></D:propfind>'
    for body in (unbound, empty, "<a><b></a></b>", "\x00"):
        for method in ("PROPFIND", "PROPPATCH", "REPORT"):
            assert dav.request(method, place, body, {"Depth": "0"}).status == 400, (method, body)


def test_4918_8_2_utf_16_is_read_and_attributes_and_comments_are_passed_over(dav, place):
    body = '<?xml version="1.0" encoding="utf-16"?><D:propfind xmlns:D="DAV:"><D:prop><D:displayname/></D:prop></D:propfind>'
    answer = dav.request("PROPFIND", place, body.encode("utf-16"), {"Depth": "0", "Content-Type": "application/xml"})
    assert value_of(answer, "D:displayname").text == "Work"
    body = ('<!-- a --><D:propfind xmlns:D="DAV:" D:x="y"><!-- b --><?pi c?><D:prop foo="bar"><D:displayname><!-- d -->'
            '</D:displayname></D:prop></D:propfind><!-- e -->')
    assert value_of(dav.request("PROPFIND", place, body, {"Depth": "0"}), "D:displayname").text == "Work"


@pytest.mark.parametrize("method", ["DELETE", "COPY", "MOVE"])
def test_4918_8_4_a_body_where_none_is_expected_is_415(server, dav, place, method):
    assert dav.put(place + "a.ics", event("a")).status == 201
    headers = {"Content-Type": "application/xml", "Destination": server.url + place + "b.ics"}
    answer = dav.request(method, place + "a.ics", "<D:unknown xmlns:D='urn:x'/>", headers)
    assert answer.status == 415, (answer.status, answer.text)
    assert list(dav.listing(place)) == [place + "a.ics"]


def test_4918_8_8_the_tag_stays_when_only_dead_properties_change(dav, place):
    etag = dav.put(place + "a.ics", event("a")).etag
    update = f'<D:propertyupdate {DECLARED}><D:set><D:prop><x:a xmlns:x="urn:x">1</x:a></D:prop></D:set></D:propertyupdate>'
    assert dav.request("PROPPATCH", place + "a.ics", update).status == 207
    assert dav.get(place + "a.ics").etag == etag


def test_4918_9_1_depth_that_is_no_depth_is_400(dav, place):
    for depth in ("2", "-1", "one", "0,1"):
        assert dav.request("PROPFIND", place, headers={"Depth": depth}).status == 400, depth


def test_4918_9_1_a_property_that_is_not_there_is_404_in_its_propstat(dav, place):
    answer = dav.propfind(place, '<D:displayname/><x:none xmlns:x="urn:x"/>')
    assert status_of(answer, "D:displayname") == 200
    (response,) = answer.responses().values()
    missing = [p for p in response.findall("D:propstat", NAMES) if p.find("D:prop/{urn:x}none", NAMES) is not None]
    assert len(missing) == 1 and " 404" in missing[0].findtext("D:status", namespaces=NAMES)
    assert answer.header("content-type").split(";")[0] in ("application/xml", "text/xml")


def test_4918_9_1_propname_has_names_and_no_values(dav, place):
    answer = dav.request("PROPFIND", place, f"{PROLOGUE}<D:propfind {DECLARED}><D:propname/></D:propfind>", {"Depth": "0"})
    (response,) = answer.responses().values()
    (part,) = response.findall("D:propstat", NAMES)
    names = {one.tag for one in part.find("D:prop", NAMES)}
    assert {DAV + "resourcetype", DAV + "displayname", CALDAV + "supported-calendar-component-set"} <= names
    assert all(one.text is None and len(one) == 0 for one in part.find("D:prop", NAMES))


def test_4918_9_1_allprop_has_live_and_dead_properties_and_what_is_included(dav, place):
    update = f'<D:propertyupdate {DECLARED}><D:set><D:prop><x:dead xmlns:x="urn:x">1</x:dead></D:prop></D:set></D:propertyupdate>'
    assert dav.request("PROPPATCH", place, update).status == 207
    bodies = {
        "": False,
        f"<D:propfind {DECLARED}><D:allprop/></D:propfind>": False,
        f"<D:propfind {DECLARED}><D:allprop/><D:include><D:supported-report-set/></D:include></D:propfind>": True,
    }
    for body, included in bodies.items():
        answer = dav.request("PROPFIND", place, body, {"Depth": "0"})
        for name in ("D:resourcetype", "D:displayname", "D:creationdate", "{urn:x}dead"):
            assert value_of(answer, name) is not None, name
        assert (value_of(answer, "D:supported-report-set") is not None) == included
        # RFC 4791 5.2, 6578 4, 3744 5: these are not to be in allprop.
        for name in ("C:calendar-timezone", "C:supported-calendar-data", "C:max-resource-size", "D:sync-token", "D:acl"):
            assert value_of(answer, name) is None, name


def test_4918_9_2_instructions_are_followed_in_the_order_of_the_document(dav, place):
    one = '<D:set><D:prop><x:a xmlns:x="urn:x">1</x:a></D:prop></D:set>'
    none = '<D:remove><D:prop><x:a xmlns:x="urn:x"/></D:prop></D:remove>'
    for body, kept in ((one + none, False), (none + one, True)):
        answer = dav.request("PROPPATCH", place, f"<D:propertyupdate {DECLARED}>{body}</D:propertyupdate>")
        assert status_of(answer, "{urn:x}a") == 200
        assert (value_of(dav.propfind(place, '<x:a xmlns:x="urn:x"/>'), "{urn:x}a") is not None) == kept
    # RFC 4918 9.2: removing what is not there is no error.
    gone = f'<D:propertyupdate {DECLARED}><D:remove><D:prop><x:never xmlns:x="urn:x"/></D:prop></D:remove></D:propertyupdate>'
    assert status_of(dav.request("PROPPATCH", place, gone), "{urn:x}never") == 200


@pytest.mark.parametrize("name", [
    "D:resourcetype", "D:getetag", "D:getcontentlength", "D:getlastmodified", "D:sync-token", "D:supported-report-set",
    "D:current-user-principal", "D:current-user-privilege-set", "D:owner", "C:supported-calendar-data", "C:max-resource-size",
    "C:min-date-time", "C:max-date-time", "C:max-instances", "C:max-attendees-per-instance", "C:supported-collation-set",
])
def test_4918_9_2_protected_properties_are_refused_by_name(dav, place, name):
    answer = dav.request("PROPPATCH", place, f"<D:propertyupdate {DECLARED}><D:set><D:prop><{name}>x</{name}></D:prop></D:set></D:propertyupdate>")
    assert status_of(answer, name) == 403
    assert answer.xml().find(".//D:error/D:cannot-modify-protected-property", NAMES) is not None


def test_4918_9_4_head_is_get_without_its_body(dav, place):
    dav.put(place + "a.ics", event("a"))
    get, head = dav.get(place + "a.ics"), dav.request("HEAD", place + "a.ics")
    assert head.body == b"" and head.status == get.status == 200
    for name in ("etag", "content-type", "content-length", "last-modified"):
        assert head.header(name) == get.header(name) is not None, name


def test_4918_9_6_1_a_deleted_collection_takes_its_members_along(dav, place):
    dav.put(place + "a.ics", event("a"))
    assert dav.delete(place).status == 204
    assert dav.get(place + "a.ics").status == 404 and dav.propfind(place).status == 404
    assert place not in dav.propfind(HOME, "<D:resourcetype/>", "1").responses()


def test_4918_9_8_copy_is_new_or_replaces_and_honours_overwrite(server, dav, place):
    dav.put(place + "a.ics", event("a", "Source"))
    other = place.rstrip("/") + "-other/"
    dav.mkcalendar(other, "Other")

    def copy(method, source, target, **more):
        return dav.request(method, source, headers={"Destination": server.url + target, **more}).status

    assert copy("COPY", place + "a.ics", other + "a.ics") == 201
    assert copy("COPY", place + "a.ics", other + "a.ics") == 204
    assert copy("COPY", place + "a.ics", other + "a.ics", Overwrite="F") == 412
    assert copy("COPY", place + "a.ics", place + "a.ics") == 403
    assert copy("MOVE", place + "a.ics", other + "a.ics", Overwrite="F") == 412
    assert copy("MOVE", place + "a.ics", other + "a.ics", Overwrite="T") == 204
    assert dav.get(place + "a.ics").status == 404 and dav.get(other + "a.ics").text == event("a", "Source")
    assert copy("COPY", place + "none.ics", other + "b.ics") == 404
    # RFC 4791 5.3.2.1: a second object of the same UID.
    answer = dav.request("COPY", other + "a.ics", headers={"Destination": other + "b.ics"})
    assert answer.status in (403, 409) and answer.precondition() == [CALDAV + "no-uid-conflict"]
    assert answer.xml().findtext(".//D:href", namespaces=NAMES) == other + "a.ics"


def test_4918_10_1_options_tell_the_classes_and_methods(server, dav, place):
    for path in ("/dav/", "/dav/principals/ana/", HOME, place):
        answer = dav.request("OPTIONS", path)
        classes = [one.strip() for one in answer.header("dav").split(",")]
        assert answer.status == 200 and {"1", "3", "access-control", "calendar-access"} <= set(classes), (path, classes)
        assert "2" not in classes
        assert {"OPTIONS", "PROPFIND", "REPORT"} <= {one.strip() for one in answer.header("allow").split(",")}


def test_4918_10_4_an_if_header_without_a_true_list_is_412(server, dav, place):
    etag = dav.put(place + "a.ics", event("a")).etag
    url = server.url + place
    cases = {
        f'(["nope"]) ([{etag}])': 204,
        f'<{url}a.ics> (["nope"]) <{url}none.ics> (["nope"])': 412,
        f'<{url}a.ics> ([{etag}])': 204,
        f'(Not ["nope"] [{etag}])': 204,
        f'(Not [{etag}])': 412,
        "(<urn:uuid:181d4fae-7d8c-11d0-a765-00a0c91e6bf2>)": 412,
    }
    for field, status in cases.items():
        assert dav.request("PROPPATCH", place + "a.ics", f'<D:propertyupdate {DECLARED}><D:set><D:prop><x:a xmlns:x="urn:x"/></D:prop></D:set></D:propertyupdate>',
                           {"If": field}).status == {204: 207}.get(status, status), field


def test_4918_14_7_each_href_stands_once_and_all_are_of_one_form(dav, work):
    root = dav.propfind(work, "<D:getetag/>", "1").xml()
    hrefs = [one.findtext("D:href", namespaces=NAMES) for one in root.findall("D:response", NAMES)]
    assert len(hrefs) == len(set(hrefs)) == 8
    assert all(href.startswith("/") for href in hrefs)


def test_4918_15_live_properties_say_what_get_says(dav, place):
    put = dav.put(place + "a.ics", event("a", "Grüße"))
    got = dav.get(place + "a.ics")
    answer = dav.propfind(place + "a.ics", "<D:getetag/><D:getcontentlength/><D:getcontenttype/><D:getlastmodified/><D:creationdate/><D:resourcetype/>")
    assert value_of(answer, "D:getetag").text == got.etag == put.etag
    assert value_of(answer, "D:getcontentlength").text == got.header("content-length") == str(len(event("a", "Grüße").encode()))
    assert value_of(answer, "D:getcontenttype").text == got.header("content-type")
    assert value_of(answer, "D:getlastmodified").text == got.header("last-modified")
    assert email.utils.parsedate_to_datetime(got.header("last-modified"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value_of(answer, "D:creationdate").text)
    assert list(value_of(answer, "D:resourcetype")) == []
    assert re.fullmatch(r'"[^"]+"', got.etag), "a strong entity tag"


def test_4918_17_what_is_unknown_in_a_body_is_passed_over(dav, place):
    body = (f'<D:propfind {DECLARED}><x:leave-out xmlns:x="urn:x"><D:prop><D:getetag/></D:prop></x:leave-out><D:prop>'
            '<D:displayname/></D:prop></D:propfind>')
    answer = dav.request("PROPFIND", place, body, {"Depth": "0"})
    assert value_of(answer, "D:displayname").text == "Work"
    update = (f'<D:propertyupdate {DECLARED} xmlns:x="urn:x"><x:what/><D:set><x:what/><D:prop><D:displayname>New</D:displayname></D:prop>'
              '</D:set></D:propertyupdate>')
    assert status_of(dav.request("PROPPATCH", place, update), "D:displayname") == 200


# RFC 4791


def test_4791_4_1_one_uid_and_one_kind_in_an_object(dav, place):
    todo = component("VTODO", "UID:a", "DTSTAMP:20060101T000000Z", "SUMMARY:x")
    one = component("VEVENT", "UID:a", "DTSTAMP:20060101T000000Z", "DTSTART:20060101T000000Z")
    two = one.replace("UID:a", "UID:b")
    twice = one  # Two masters of one series.
    for parts in ((one, todo), (one, two), (one, twice), ()):
        answer = dav.put(place + "a.ics", calendar(*parts))
        assert answer.status in (403, 409), (parts, answer.status)
        assert answer.precondition()[0] in (CALDAV + "valid-calendar-object-resource", CALDAV + "valid-calendar-data"), parts
    assert dav.listing(place) == {}


def test_4791_4_1_overrides_without_their_series_are_an_object(dav, place):
    alone = calendar(component("VEVENT", "UID:a", "DTSTAMP:20060101T000000Z", "RECURRENCE-ID:20060104T120000Z", "DTSTART:20060104T140000Z"))
    assert dav.put(place + "a.ics", alone).status == 201
    assert "a.ics" in query(dav, place, within("VEVENT", "20060104T140000Z", "20060104T150000Z"))


def test_4791_4_2_a_calendar_says_so_and_holds_no_calendar(dav, place):
    kinds = {one.tag for one in value_of(dav.propfind(place), "D:resourcetype")}
    assert kinds == {DAV + "collection", CALDAV + "calendar"}
    for inside in (place + "inner/", place + "a/b/"):
        answer = dav.request("MKCALENDAR", inside)
        assert answer.status in (403, 409), answer.status
    assert dav.request("MKCALENDAR", place + "inner/").precondition() == [CALDAV + "calendar-collection-location-ok"]


def test_4791_5_2_calendar_properties(dav, place):
    update = (f'<D:propertyupdate {DECLARED}><D:set><D:prop><C:calendar-description xml:lang="fr-CA">Calendrier de Mathilde '
              f'Desruisseaux</C:calendar-description><C:calendar-timezone>{calendar(zones=EASTERN)}</C:calendar-timezone></D:prop></D:set>'
              '</D:propertyupdate>')
    assert status_of(dav.request("PROPPATCH", place, update), "C:calendar-timezone") == 200
    answer = dav.propfind(place, "<C:calendar-description/><C:calendar-timezone/><C:supported-calendar-component-set/>"
                          "<C:supported-calendar-data/><C:max-resource-size/><C:min-date-time/><C:max-date-time/><C:max-instances/>"
                          "<C:max-attendees-per-instance/><C:supported-collation-set/>")
    described = value_of(answer, "C:calendar-description")
    assert described.text == "Calendrier de Mathilde Desruisseaux"
    assert described.get("{http://www.w3.org/XML/1998/namespace}lang") == "fr-CA"
    assert "TZID:US/Eastern" in value_of(answer, "C:calendar-timezone").text
    assert {one.get("name") for one in value_of(answer, "C:supported-calendar-component-set")} == {"VEVENT", "VTODO", "VJOURNAL"}
    assert ("text/calendar", "2.0") in {(one.get("content-type"), one.get("version", "2.0")) for one in value_of(answer, "C:supported-calendar-data")}
    assert int(value_of(answer, "C:max-resource-size").text) > 0 and int(value_of(answer, "C:max-instances").text) > 0
    assert int(value_of(answer, "C:max-attendees-per-instance").text) > 0
    for name in ("C:min-date-time", "C:max-date-time"):
        assert re.fullmatch(r"\d{8}T\d{6}Z", value_of(answer, name).text)
    assert {"i;ascii-casemap", "i;octet"} <= {one.text for one in value_of(answer, "C:supported-collation-set")}


def test_4791_5_2_2_a_zone_that_is_none_is_refused(dav, place):
    for text in ("nonsense", calendar(), calendar(zones=EASTERN + BERLIN), event("a")):
        update = f"<D:propertyupdate {DECLARED}><D:set><D:prop><C:calendar-timezone>{text}</C:calendar-timezone></D:prop></D:set></D:propertyupdate>"
        answer = dav.request("PROPPATCH", place, update)
        assert status_of(answer, "C:calendar-timezone") in (403, 409), text
        assert answer.xml().find(".//D:error/C:valid-calendar-data", NAMES) is not None, text


def test_4791_5_3_1_the_request_of_the_rfc_makes_a_calendar(dav):
    path = HOME + "events/"
    body = f"""{PROLOGUE}<C:mkcalendar xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:set><D:prop>
       <D:displayname>Lisa's Events</D:displayname>
       <C:calendar-description xml:lang="en">Calendar restricted to events.</C:calendar-description>
       <C:supported-calendar-component-set><C:comp name="VEVENT"/></C:supported-calendar-component-set>
       <C:calendar-timezone><![CDATA[{calendar(zones=EASTERN)}]]></C:calendar-timezone></D:prop></D:set></C:mkcalendar>"""
    answer = dav.request("MKCALENDAR", path, body, {"Content-Type": 'application/xml; charset="utf-8"'})
    assert answer.status == 201, answer.text
    assert "no-cache" in answer.header("cache-control")
    again = dav.request("MKCALENDAR", path, body)
    assert again.status in (403, 405) and again.precondition() == [DAV + "resource-must-be-null"]
    told = dav.propfind(path, "<D:displayname/><C:supported-calendar-component-set/>")
    assert value_of(told, "D:displayname").text == "Lisa's Events"
    assert [one.get("name") for one in value_of(told, "C:supported-calendar-component-set")] == ["VEVENT"]
    refused = dav.put(path + "t.ics", APPENDIX_B["abcd4.ics"])
    assert refused.status == 403 and refused.precondition() == [CALDAV + "supported-calendar-component"]
    assert dav.delete(path).status == 204


def test_4791_5_3_1_a_refused_property_refuses_the_calendar(dav):
    path = HOME + "never/"
    body = (f"<C:mkcalendar {DECLARED}><D:set><D:prop><D:displayname>x</D:displayname><D:getetag>x</D:getetag></D:prop></D:set></C:mkcalendar>")
    answer = dav.request("MKCALENDAR", path, body)
    assert 400 <= answer.status < 500 or answer.status == 207
    assert dav.propfind(path).status == 404


def test_4791_5_3_2_1_preconditions_of_put(dav, place):
    many = "".join(f"ATTENDEE:mailto:p{n}@example.com\r\n" for n in range(400))
    cases = {
        "max-instances": event("a", extra="RRULE:FREQ=DAILY;COUNT=3001\r\n"),
        "max-attendees-per-instance": event("a", extra="ORGANIZER:mailto:ana@example.com\r\n" + many),
        "min-date-time": event("a", start="05000101T100000Z", end="05000101T110000Z"),
        "max-date-time": event("a", start="99990101T100000Z", end="99990101T110000Z"),
        "supported-calendar-component": calendar(component(
            "VFREEBUSY", "UID:f", "DTSTAMP:20060101T000000Z", "DTSTART:20060101T000000Z", "DTEND:20060102T000000Z")),
    }
    for name, text in cases.items():
        answer = dav.put(place + "a.ics", text)
        assert answer.status in (403, 409), (name, answer.status)
        assert answer.precondition() == [CALDAV + name]
    answer = dav.request("PUT", place + "a.ics", event("a"), {"Content-Type": "application/calendar+json"})
    assert answer.status in (403, 415) and answer.precondition() == [CALDAV + "supported-calendar-data"]
    assert dav.listing(place) == {}
    # A move into a calendar is held to the same conditions, here the kinds of component of the target.
    only = place.rstrip("/") + "-events/"
    body = f'<C:mkcalendar {DECLARED}><D:set><D:prop><C:supported-calendar-component-set><C:comp name="VEVENT"/></C:supported-calendar-component-set></D:prop></D:set></C:mkcalendar>'
    assert dav.request("MKCALENDAR", only, body).status == 201
    assert dav.put(place + "t.ics", APPENDIX_B["abcd4.ics"]).status == 201
    for method in ("COPY", "MOVE"):
        answer = dav.request(method, place + "t.ics", headers={"Destination": only + "t.ics"})
        assert answer.status in (403, 409) and answer.precondition() == [CALDAV + "supported-calendar-component"], method


def test_4791_5_3_2_1_a_calendar_is_not_moved_into_a_calendar(dav, place):
    other = place.rstrip("/") + "-other/"
    dav.mkcalendar(other, "Other")
    for method in ("COPY", "MOVE"):
        answer = dav.request(method, other, headers={"Destination": place + "inner/"})
        assert answer.status in (403, 409), (method, answer.status)
    assert place + "inner/" not in dav.listing(place)


def test_4791_5_3_3_what_is_not_standard_is_kept(dav, place):
    odd = calendar(
        "X-WR-CALNAME:Mine\r\n",
        component("VEVENT", "UID:a", "DTSTAMP:20060101T000000Z", "DTSTART;X-P=\"1;2\":20060101T000000Z", "X-PROP;X-PARAM=v:value",
                  "BEGIN:X-COMP", "X-A:1", "END:X-COMP"))
    assert dav.put(place + "a.ics", odd).status == 201
    assert dav.get(place + "a.ics").text == odd
    for inside in ('<C:prop-filter name="X-PROP"><C:param-filter name="X-PARAM"><C:text-match>v</C:text-match></C:param-filter></C:prop-filter>',
                   '<C:comp-filter name="X-COMP"/>'):
        answer = dav.report(place, f'<C:calendar-query {DECLARED}><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR">'
                            f'<C:comp-filter name="VEVENT">{inside}</C:comp-filter></C:comp-filter></C:filter></C:calendar-query>')
        # RFC 4791 7.7: matched, or refused by supported-filter.
        assert list(answer.responses()) == [place + "a.ics"], inside
    none = query(dav, place, '<C:comp-filter name="VEVENT"><C:prop-filter name="X-OTHER"/></C:comp-filter>')
    assert none == {}


def test_4791_6_1_free_busy_is_a_privilege_below_read(dav, place):
    answer = dav.propfind(place, "<D:supported-privilege-set/><D:current-user-privilege-set/>")
    read = next(one for one in value_of(answer, "D:supported-privilege-set").iter(DAV + "supported-privilege")
                if one.find("D:privilege/D:read", NAMES) is not None)
    assert read.find(".//D:privilege/C:read-free-busy", NAMES) is not None
    mine = {right.tag for one in value_of(answer, "D:current-user-privilege-set") for right in one}
    assert {DAV + "read", DAV + "write", CALDAV + "read-free-busy"} <= mine


def test_4791_6_2_1_the_principal_names_its_home(dav):
    found = dav.propfind("/dav/", "<D:current-user-principal/>")
    principal = value_of(found, "D:current-user-principal").findtext("D:href", namespaces=NAMES)
    home = value_of(dav.propfind(principal, "<C:calendar-home-set/>"), "C:calendar-home-set")
    assert [one.text for one in home] == [HOME]


def test_4791_7_1_reports_are_advertised_on_calendars_and_objects(dav, work):
    wanted = {CALDAV + name for name in ("calendar-query", "calendar-multiget", "free-busy-query")}
    for path, more in ((work, {DAV + "sync-collection", DAV + "expand-property"}), (work + "abcd1.ics", set())):
        told = value_of(dav.propfind(path, "<D:supported-report-set/>"), "D:supported-report-set")
        names = {one.tag for report in told.iter(DAV + "report") for one in report}
        expected = wanted | more if path == work else wanted - {CALDAV + "free-busy-query"}
        assert expected <= names, (path, names)


def test_4791_7_8_1_partial_data_by_time_range(dav, work):
    data = ('<C:comp name="VCALENDAR"><C:prop name="VERSION"/><C:comp name="VEVENT"><C:prop name="SUMMARY"/><C:prop name="UID"/>'
            '<C:prop name="DTSTART"/><C:prop name="DTEND"/><C:prop name="DURATION"/><C:prop name="RRULE"/><C:prop name="RDATE"/>'
            '<C:prop name="EXRULE"/><C:prop name="EXDATE"/><C:prop name="RECURRENCE-ID"/></C:comp><C:comp name="VTIMEZONE"/></C:comp>')
    found = query(dav, work, within("VEVENT", "20060104T000000Z", "20060105T000000Z"), data)
    assert set(found) == {"abcd2.ics", "abcd3.ics"}
    second, third = found["abcd2.ics"], found["abcd3.ics"]
    assert second.count("BEGIN:VEVENT") == 3 and "BEGIN:VTIMEZONE" in second and "TZNAME:EDT" in second
    assert "SUMMARY:Event #2 bis bis" in second and "RRULE:FREQ=DAILY;COUNT=5" in second
    for text in (second, third):
        for name in ("DTSTAMP", "PRODID", "ATTENDEE", "ORGANIZER", "SEQUENCE", "STATUS", "X-ABC-GUID"):
            assert not any(line.startswith(name) for line in lines(text)), (name, text)


def test_4791_7_8_2_overrides_are_limited(dav, work):
    found = query(dav, work, within("VEVENT", "20060103T000000Z", "20060105T000000Z"),
                  '<C:limit-recurrence-set start="20060103T000000Z" end="20060105T000000Z"/>')
    assert set(found) == {"abcd2.ics", "abcd3.ics"}
    second = found["abcd2.ics"]
    assert second.count("BEGIN:VEVENT") == 2 and "Event #2 bis\r" in second.replace("\n", "\r\n").replace("\r\r", "\r")
    assert "bis bis" not in second and "RRULE" in second


def test_4791_7_8_3_instances_are_expanded(dav, work):
    found = query(dav, work, within("VEVENT", "20060103T000000Z", "20060105T000000Z"),
                  '<C:expand start="20060103T000000Z" end="20060105T000000Z"/>')
    assert set(found) == {"abcd2.ics", "abcd3.ics"}
    second = lines(found["abcd2.ics"])
    assert second.count("BEGIN:VEVENT") == 2
    assert {"DTSTART:20060103T170000Z", "DTSTART:20060104T190000Z", "RECURRENCE-ID:20060103T170000Z", "RECURRENCE-ID:20060104T170000Z"} <= set(second)
    for text in found.values():
        assert not re.search(r"^(RRULE|EXRULE|RDATE|EXDATE|BEGIN:VTIMEZONE)", text, re.M) and "TZID" not in text
    assert "DTSTART:20060104T150000Z" in lines(found["abcd3.ics"]) and "RECURRENCE-ID" not in found["abcd3.ics"]


def test_4791_7_8_5_tasks_by_their_alarms(dav, work):
    inside = '<C:comp-filter name="VTODO">' + within("VALARM", "20060106T100000Z", "20060107T100000Z") + "</C:comp-filter>"
    assert set(query(dav, work, inside)) == {"abcd5.ics"}


def test_4791_7_8_6_an_event_by_its_uid(dav, work):
    def by(uid):
        return ('<C:comp-filter name="VEVENT"><C:prop-filter name="UID"><C:text-match collation="i;octet">'
                f"{uid}</C:text-match></C:prop-filter></C:comp-filter>")
    assert set(query(dav, work, by("DC6C50A017428C5216A2F1CD@example.com"))) == {"abcd3.ics"}
    assert query(dav, work, by("dc6c50a017428c5216a2f1cd@example.com")) == {}


def test_4791_7_8_7_events_by_an_attendees_answer(dav, work):
    inside = ('<C:comp-filter name="VEVENT"><C:prop-filter name="ATTENDEE"><C:text-match collation="i;ascii-casemap">mailto:LISA@example.com'
              '</C:text-match><C:param-filter name="PARTSTAT"><C:text-match collation="i;ascii-casemap">needs-action</C:text-match>'
              "</C:param-filter></C:prop-filter></C:comp-filter>")
    assert set(query(dav, work, inside)) == {"abcd3.ics"}
    # Both must hold for one property: Cyrus has accepted.
    assert query(dav, work, inside.replace("LISA", "cyrus")) == {}


def test_4791_7_8_8_all_events(dav, work):
    assert set(query(dav, work, '<C:comp-filter name="VEVENT"/>')) == {"abcd1.ics", "abcd2.ics", "abcd3.ics"}


def test_4791_7_8_9_all_open_tasks(dav, work):
    inside = ('<C:comp-filter name="VTODO"><C:prop-filter name="COMPLETED"><C:is-not-defined/></C:prop-filter><C:prop-filter name="STATUS">'
              '<C:text-match negate-condition="yes">CANCELLED</C:text-match></C:prop-filter></C:comp-filter>')
    assert set(query(dav, work, inside)) == {"abcd4.ics", "abcd5.ics"}


def test_4791_7_8_all_properties_and_names_can_be_asked(dav, work):
    inside = '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"/></C:comp-filter></C:filter>'
    for asked in ("<D:allprop/>", "<D:propname/>"):
        answer = dav.report(work, f"<C:calendar-query {DECLARED}>{asked}{inside}</C:calendar-query>")
        assert len(answer.responses()) == 3
        for response in answer.responses().values():
            assert response.find(".//D:getetag", NAMES) is not None
            # RFC 4791 9.6: calendar-data is not one of all properties.
            assert asked == "<D:propname/>" or response.find(".//C:calendar-data", NAMES) is None


def test_4791_5_3_4_one_strong_tag_everywhere(dav, place):
    tags = {dav.put(place + "a.ics", event("a")).etag, dav.get(place + "a.ics").etag, dav.request("HEAD", place + "a.ics").etag}
    tags.add(dav.listing(place)[place + "a.ics"])
    tags.add(changes(dav, place).responses()[place + "a.ics"].findtext(".//D:getetag", namespaces=NAMES))
    multiget = f"<C:calendar-multiget {DECLARED}><D:prop><D:getetag/></D:prop><D:href>{place}a.ics</D:href></C:calendar-multiget>"
    tags.add(dav.report(place, multiget).responses()[place + "a.ics"].findtext(".//D:getetag", namespaces=NAMES))
    (tag,) = tags
    assert re.fullmatch(r'"[^"]+"', tag)
    assert dav.put(place + "a.ics", event("a", "Second")).etag not in (tag, None)


@pytest.mark.parametrize("name", ["a b.ics", "ü.ics", "a;b+c&d=e.ics", "%23x.ics", "a%3Fb.ics", "~x!.ics", "no-ending", "a,b'(c).ics", "a:b.ics"])
def test_4918_8_3_any_name_is_kept(dav, place, name):
    assert dav.put(place + name, event("a")).status == 201
    (href,) = dav.listing(place)
    assert href == place + name.replace("%23", "#").replace("%3F", "?") and dav.get(place + name).status == 200
    assert dav.delete(place + name).status == 204 and dav.listing(place) == {}


def test_4791_7_8_10_an_unsupported_collation_is_named(dav, work):
    body = (f'<C:calendar-query {DECLARED}><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">'
            '<C:prop-filter name="X-ABC-GUID"><C:text-match collation="i;unknown-collation">ABC</C:text-match></C:prop-filter></C:comp-filter>'
            "</C:comp-filter></C:filter></C:calendar-query>")
    answer = dav.report(work, body)
    assert answer.status == 403 and answer.precondition()[0] == CALDAV + "supported-collation"


def test_4791_7_8_what_is_no_filter_is_named(dav, work):
    cases = {
        "<C:filter/>": "valid-filter",
        '<C:filter><C:comp-filter name="VEVENT"/></C:filter>': None,
        '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range/></C:comp-filter></C:comp-filter></C:filter>': "valid-filter",
        '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="20060104T000000"/></C:comp-filter></C:comp-filter></C:filter>': "valid-filter",
        '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="20060105T000000Z" end="20060104T000000Z"/></C:comp-filter></C:comp-filter></C:filter>': "valid-filter",
        '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter/></C:comp-filter></C:filter>': "valid-filter",
        '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:is-not-defined/><C:time-range start="20060104T000000Z"/></C:comp-filter></C:comp-filter></C:filter>': "valid-filter",
    }
    for text, name in cases.items():
        answer = dav.report(work, f"<C:calendar-query {DECLARED}><D:prop><D:getetag/></D:prop>{text}</C:calendar-query>")
        if name is None:
            # RFC 4791 9.7.1 has VCALENDAR at the top; without it nothing matches, or it is no valid filter.
            assert answer.status == 403 or answer.responses() == {}, text
        else:
            assert answer.status in (400, 403) and answer.precondition()[0] == CALDAV + name, (text, answer.status, answer.text)


def test_4791_7_8_a_zone_in_a_query_holds_for_floating_times(dav, place):
    dav.put(place + "a.ics", event("a", start="20060104T000000", end="20060104T010000"))
    zone = f"<C:timezone>{calendar(zones=EASTERN)}</C:timezone>"
    assert set(query(dav, place, within("VEVENT", "20060104T050000Z", "20060104T060000Z"), more=zone)) == {"a.ics"}
    assert query(dav, place, within("VEVENT", "20060104T000000Z", "20060104T010000Z"), more=zone) == {}
    body = (f'<C:calendar-query {DECLARED}><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR"/></C:filter>'
            "<C:timezone>nonsense</C:timezone></C:calendar-query>")
    answer = dav.report(place, body)
    assert answer.status in (400, 403) and answer.precondition()[0] == CALDAV + "valid-calendar-data"


def test_4791_7_8_unsupported_data_is_named(dav, work):
    for report in ("calendar-query", "calendar-multiget"):
        inside = '<C:filter><C:comp-filter name="VCALENDAR"/></C:filter>' if report == "calendar-query" else f"<D:href>{work}abcd1.ics</D:href>"
        for attributes in ('content-type="application/calendar+xml" version="2.0"', 'content-type="text/calendar" version="9.0"'):
            answer = dav.report(work, f"<C:{report} {DECLARED}><D:prop><C:calendar-data {attributes}/></D:prop>{inside}</C:{report}>")
            assert answer.status == 403 and answer.precondition() == [CALDAV + "supported-calendar-data"], (report, attributes)


def test_4791_7_9_multiget_by_path_and_url(server, dav, work):
    hrefs = [work + "abcd1.ics", server.url + work + "abcd2.ics", work + "mtg1.ics"]
    body = (f"<C:calendar-multiget {DECLARED}><D:prop><D:getetag/><C:calendar-data/></D:prop>"
            + "".join(f"<D:href>{href}</D:href>" for href in hrefs) + "</C:calendar-multiget>")
    for depth in ("0", "1", "infinity"):
        found = dav.report(work, body, depth).responses()
        assert set(found) == {work + "abcd1.ics", work + "abcd2.ics", work + "mtg1.ics"}, depth
        assert " 404" in found[work + "mtg1.ics"].findtext("D:status", namespaces=NAMES)
        assert found[work + "abcd1.ics"].findtext(".//C:calendar-data", namespaces=NAMES).replace("\r\n", "\n") == APPENDIX_B["abcd1.ics"].replace("\r\n", "\n")
    # RFC 4791 7.9: on an object, for itself.
    single = f"<C:calendar-multiget {DECLARED}><D:prop><D:getetag/></D:prop><D:href>{work}abcd1.ics</D:href></C:calendar-multiget>"
    assert list(dav.report(work + "abcd1.ics", single, "0").responses()) == [work + "abcd1.ics"]


def test_4791_7_9_a_report_on_nothing_is_404(dav, work):
    body = f"<C:calendar-multiget {DECLARED}><D:prop><D:getetag/></D:prop><D:href>{work}abcd1.ics</D:href></C:calendar-multiget>"
    assert dav.report(work + "none.ics", body, "0").status == 404
    assert dav.report(HOME + "nosuch/", body).status == 404


def busy(dav, path, start="20060104T000000Z", end="20060105T000000Z"):
    answer = dav.report(path, f'<C:free-busy-query {DECLARED}><C:time-range start="{start}" end="{end}"/></C:free-busy-query>')
    assert answer.status == 200 and answer.header("content-type").startswith("text/calendar"), (answer.status, answer.text)
    found = set()
    for line in lines(answer.text):
        if line.startswith("FREEBUSY"):
            kind = re.search(r"FBTYPE=([A-Z-]+)", line)
            found |= {(kind.group(1) if kind else "BUSY", one) for one in line.split(":", 1)[1].split(",")}
    return answer.text, found


def test_4791_7_10_free_busy(dav, work):
    text, found = busy(dav, work, "20060104T140000Z", "20060105T220000Z")
    plain = {(kind, when.split("/")[0]) for kind, when in found}
    assert plain == {("BUSY-TENTATIVE", "20060104T150000Z"), ("BUSY", "20060104T190000Z"), ("BUSY", "20060105T170000Z")}, text
    assert text.count("BEGIN:VFREEBUSY") == 1 and "Event" not in text
    # RFC 5545 3.6.4: these two are required, once.
    assert text.count("\r\nUID:") == 1 and text.count("\r\nDTSTAMP:") == 1
    assert "DTSTART:20060104T140000Z" in lines(text) and "DTEND:20060105T220000Z" in lines(text)


def test_4791_7_10_free_busy_leaves_out_what_takes_no_time(dav, place):
    hour = lambda n: {"start": f"200601{n:02}T100000Z", "end": f"200601{n:02}T110000Z"}
    dav.put(place + "1.ics", event("1", extra="TRANSP:TRANSPARENT\r\n", **hour(1)))
    dav.put(place + "2.ics", event("2", extra="STATUS:CANCELLED\r\n", **hour(2)))
    dav.put(place + "3.ics", event("3", extra="STATUS:TENTATIVE\r\n", **hour(3)))
    dav.put(place + "4.ics", event("4", extra="STATUS:CONFIRMED\r\nTRANSP:OPAQUE\r\n", **hour(4)))
    dav.put(place + "5.ics", calendar(component("VTODO", "UID:5", "DTSTAMP:20060101T000000Z", "DTSTART:20060105T100000Z", "DUE:20060105T110000Z")))
    dav.put(place + "6.ics", event("6", start="20051231T230000Z", end="20060101T010000Z"))
    text, found = busy(dav, place, "20060101T000000Z", "20060110T000000Z")
    whole = {(kind, when.split("/")[0]) for kind, when in found}
    assert whole == {("BUSY-TENTATIVE", "20060103T100000Z"), ("BUSY", "20060104T100000Z"), ("BUSY", "20060101T000000Z")}, text
    text, found = busy(dav, place, "20070101T000000Z", "20070102T000000Z")
    assert found == set() and text.count("BEGIN:VFREEBUSY") == 1, text


def test_4791_7_10_free_busy_wants_a_whole_range_and_one_collection(dav, work):
    for inside in ("", "<C:time-range/>", '<C:time-range start="20060104T000000"/>'):
        assert dav.report(work, f"<C:free-busy-query {DECLARED}>{inside}</C:free-busy-query>").status in (400, 403), inside
    assert dav.report(HOME + "nosuch/", f'<C:free-busy-query {DECLARED}><C:time-range start="20060104T000000Z"/></C:free-busy-query>').status == 404


def test_4791_9_6_4_names_without_values(dav, work):
    data = ('<C:comp name="VCALENDAR"><C:prop name="VERSION"/><C:comp name="VEVENT"><C:prop name="UID"/><C:prop name="SUMMARY" novalue="yes"/>'
            "</C:comp></C:comp>")
    inside = '<C:comp-filter name="VEVENT"><C:prop-filter name="DESCRIPTION"/></C:comp-filter>'
    text = query(dav, work, inside, data)["abcd1.ics"]
    assert "SUMMARY:" in lines(text) and "Event #1" not in text and "BEGIN:VTIMEZONE" not in text
    everything = '<C:comp name="VCALENDAR"><C:allprop/><C:comp name="VEVENT"><C:allprop/></C:comp></C:comp>'
    text = query(dav, work, inside, everything)["abcd1.ics"]
    assert "DESCRIPTION:Go Steelers!" in text and "PRODID" in text and "BEGIN:VTIMEZONE" not in text


def test_4791_9_6_5_expansion_keeps_days_days_and_floating_times_floating(dav, place):
    dav.put(place + "day.ics", calendar(component(
        "VEVENT", "UID:day", "DTSTAMP:20060101T000000Z", "DTSTART;VALUE=DATE:20060102", "RRULE:FREQ=DAILY;COUNT=3")))
    found = query(dav, place, within("VEVENT", "20060103T000000Z", "20060104T000000Z"), '<C:expand start="20060103T000000Z" end="20060104T000000Z"/>')
    got = lines(found["day.ics"])
    assert "DTSTART;VALUE=DATE:20060103" in got and "RECURRENCE-ID;VALUE=DATE:20060103" in got and got.count("BEGIN:VEVENT") == 1


def test_4791_9_6_7_busy_periods_are_limited_to_the_range(dav, work):
    found = query(dav, work, '<C:comp-filter name="VEVENT"/>', '<C:limit-freebusy-set start="20060103T000000Z" end="20060104T000000Z"/>')
    assert len(found) == 3


# (DTSTART and end or nothing, range, whether it matches): the table for VEVENT of RFC 4791 9.9, on its edges.
RANGES = [
    (("DTSTART:20060104T100000Z", "DTEND:20060104T110000Z"), ("20060104T110000Z", "20060104T120000Z"), False),
    (("DTSTART:20060104T100000Z", "DTEND:20060104T110000Z"), ("20060104T090000Z", "20060104T100000Z"), False),
    (("DTSTART:20060104T100000Z", "DTEND:20060104T110000Z"), ("20060104T105959Z", "20060104T120000Z"), True),
    (("DTSTART:20060104T100000Z", "DURATION:PT1H"), ("20060104T103000Z", "20060104T120000Z"), True),
    (("DTSTART:20060104T100000Z", "DURATION:PT0S"), ("20060104T100000Z", "20060104T120000Z"), True),
    (("DTSTART:20060104T100000Z", "DURATION:PT0S"), ("20060104T090000Z", "20060104T100000Z"), False),
    (("DTSTART:20060104T100000Z",), ("20060104T100000Z", "20060104T100001Z"), True),
    (("DTSTART:20060104T100000Z",), ("20060104T100001Z", "20060104T120000Z"), False),
    (("DTSTART;VALUE=DATE:20060104",), ("20060104T230000Z", "20060105T000000Z"), True),
    (("DTSTART;VALUE=DATE:20060104",), ("20060105T000000Z", "20060106T000000Z"), False),
]


def test_4791_9_9_the_table_for_events(dav, place):
    for number, (times, (start, end), matches) in enumerate(RANGES):
        name = f"{number}.ics"
        assert dav.put(place + name, calendar(component("VEVENT", f"UID:{number}", "DTSTAMP:20060101T000000Z", *times))).status == 201
        assert (name in query(dav, place, within("VEVENT", start, end))) == matches, (times, start, end)
        # One edge left open.
        open_end = query(dav, place, f'<C:comp-filter name="VEVENT"><C:time-range start="{start}"/></C:comp-filter>')
        assert name in open_end or not matches, (times, start)


TASKS = [
    (("DTSTART:20060104T100000Z", "DURATION:PT1H"), ("20060104T110000Z", "20060104T120000Z"), True),
    (("DTSTART:20060104T100000Z", "DURATION:PT1H"), ("20060104T110001Z", "20060104T120000Z"), False),
    (("DTSTART:20060104T100000Z", "DUE:20060104T110000Z"), ("20060104T110000Z", "20060104T120000Z"), False),
    (("DTSTART:20060104T100000Z", "DUE:20060104T110000Z"), ("20060104T105959Z", "20060104T120000Z"), True),
    (("DTSTART:20060104T100000Z",), ("20060104T100000Z", "20060104T120000Z"), True),
    (("DUE:20060104T100000Z",), ("20060104T090000Z", "20060104T100000Z"), True),
    (("DUE:20060104T100000Z",), ("20060104T100000Z", "20060104T110000Z"), False),
    (("COMPLETED:20060104T120000Z", "CREATED:20060104T100000Z"), ("20060104T110000Z", "20060104T113000Z"), True),
    (("COMPLETED:20060104T120000Z", "CREATED:20060104T100000Z"), ("20060104T123000Z", "20060104T133000Z"), False),
    (("COMPLETED:20060104T120000Z",), ("20060104T120000Z", "20060104T133000Z"), True),
    (("CREATED:20060104T100000Z",), ("20060105T100000Z", "20060106T133000Z"), True),
    (("CREATED:20060104T100000Z",), ("20060102T100000Z", "20060103T133000Z"), False),
    ((), ("20060102T100000Z", "20060103T133000Z"), True),
]


def test_4791_9_9_the_table_for_tasks_and_journals(dav, place):
    for number, (times, (start, end), matches) in enumerate(TASKS):
        name = f"{number}.ics"
        assert dav.put(place + name, calendar(component("VTODO", f"UID:{number}", "DTSTAMP:20060101T000000Z", *times))).status == 201
        assert (name in query(dav, place, within("VTODO", start, end))) == matches, (times, start, end)
    for name, times, matches in (("j1", ["DTSTART:20060104T100000Z"], True), ("j2", ["DTSTART;VALUE=DATE:20060104"], True), ("j3", [], False)):
        assert dav.put(place + name, calendar(component("VJOURNAL", f"UID:{name}", "DTSTAMP:20060101T000000Z", *times))).status == 201
        assert (name in query(dav, place, within("VJOURNAL", "20060104T100000Z", "20060104T110000Z"))) == matches, name


def test_4791_9_9_time_ranges_of_properties(dav, work):
    inside = ('<C:comp-filter name="VTODO"><C:prop-filter name="COMPLETED"><C:time-range start="20051223T000000Z" end="20051224T000000Z"/>'
              "</C:prop-filter></C:comp-filter>")
    assert set(query(dav, work, inside)) == {"abcd6.ics"}
    assert query(dav, work, inside.replace("20051224", "20051223").replace('start="20051223', 'start="20051222')) == {}


def test_4791_9_7_1_components_that_are_not_there(dav, work):
    inside = '<C:comp-filter name="VTODO"><C:comp-filter name="VALARM"><C:is-not-defined/></C:comp-filter></C:comp-filter>'
    assert set(query(dav, work, inside)) == {"abcd6.ics", "abcd7.ics"}
    without = '<C:comp-filter name="VTODO"><C:is-not-defined/></C:comp-filter>'
    assert set(query(dav, work, without)) == {"abcd1.ics", "abcd2.ics", "abcd3.ics"}


def test_4791_9_7_5_text_matches_are_parts_and_by_default_without_case(dav, work):
    def by(text, attributes=""):
        return set(query(dav, work, f'<C:comp-filter name="VEVENT"><C:prop-filter name="SUMMARY"><C:text-match {attributes}>{text}</C:text-match></C:prop-filter></C:comp-filter>'))
    assert by("EVENT") == {"abcd1.ics", "abcd2.ics", "abcd3.ics"}
    assert by("EVENT", 'collation="i;octet"') == set()
    assert by("#2 BIS") == {"abcd2.ics"}
    assert by("#3", 'negate-condition="yes"') == {"abcd1.ics", "abcd2.ics"}


def test_4791_9_7_3_parameters_that_are_not_there(dav, work):
    def by(name, inside, property="ATTENDEE"):
        return set(query(dav, work, f'<C:comp-filter name="VEVENT"><C:prop-filter name="{property}"><C:param-filter name="{name}">{inside}'
                         "</C:param-filter></C:prop-filter></C:comp-filter>"))
    assert by("ROLE", "") == by("ROLE", "<C:is-not-defined/>") == {"abcd3.ics"}, "one attendee has it, and the other has not"
    assert by("CN", "") == set() and by("CN", "<C:is-not-defined/>") == {"abcd3.ics"}
    # Where the property is missing no condition on it holds, a negated one neither.
    assert by("CN", "<C:is-not-defined/>", "CONTACT") == set()
    assert by("PARTSTAT", '<C:text-match negate-condition="yes">ACCEPTED</C:text-match>') == {"abcd3.ics"}
    negated = ('<C:comp-filter name="VEVENT"><C:prop-filter name="DESCRIPTION"><C:text-match negate-condition="yes">x</C:text-match>'
               "</C:prop-filter></C:comp-filter>")
    assert set(query(dav, work, negated)) == {"abcd1.ics"}


def test_4791_9_9_tasks_and_journals_recur(dav, place):
    rule = "RRULE:FREQ=MONTHLY;COUNT=3"
    dav.put(place + "t.ics", calendar(component(
        "VTODO", "UID:t", "DTSTAMP:20060101T000000Z", "DTSTART:20060104T100000Z", "DUE:20060104T110000Z", rule)))
    dav.put(place + "j.ics", calendar(component("VJOURNAL", "UID:j", "DTSTAMP:20060101T000000Z", "DTSTART;VALUE=DATE:20060104", rule)))
    for kind, name in (("VTODO", "t.ics"), ("VJOURNAL", "j.ics")):
        assert set(query(dav, place, within(kind, "20060304T103000Z", "20060304T120000Z"))) == {name}
        assert query(dav, place, within(kind, "20060305T000000Z", "20060306T000000Z")) == {}
        assert query(dav, place, within(kind, "20060404T000000Z", "20060406T000000Z")) == {}


# RFC 6578


def changes(dav, path, token="", level="1", limit="", depth="0", properties="<D:getetag/>"):
    limited = f"<D:limit><D:nresults>{limit}</D:nresults></D:limit>" if limit else ""
    return dav.report(path, f"<D:sync-collection {DECLARED}><D:sync-token>{token}</D:sync-token><D:sync-level>{level}</D:sync-level>{limited}"
                      f"<D:prop>{properties}</D:prop></D:sync-collection>", depth)


def token_of(answer):
    return answer.xml().findtext("D:sync-token", namespaces=NAMES)


def test_6578_3_4_the_first_sync_tells_all_and_nothing_removed(dav, place):
    dav.put(place + "a.ics", event("a"))
    dav.put(place + "b.ics", event("b"))
    dav.delete(place + "b.ics")
    answer = changes(dav, place)
    assert set(answer.responses()) == {place + "a.ics"}
    response = answer.responses()[place + "a.ics"]
    assert response.find("D:status", NAMES) is None and response.find("D:propstat", NAMES) is not None
    assert token_of(answer).split(":")[0] in ("http", "https", "data", "urn", "opaquelocktoken"), "a URI"


def test_6578_3_5_each_change_is_told_once_by_its_last_state(dav, place):
    token = token_of(changes(dav, place))
    for n in range(3):
        dav.put(place + "a.ics", event("a", f"Round {n}"))
    dav.put(place + "b.ics", event("b"))
    dav.delete(place + "b.ics")
    dav.put(place + "c.ics", event("c"))
    dav.delete(place + "c.ics")
    dav.put(place + "c.ics", event("c"))
    answer = changes(dav, place, token)
    root = answer.xml()
    hrefs = [one.findtext("D:href", namespaces=NAMES) for one in root.findall("D:response", NAMES)]
    assert len(hrefs) == len(set(hrefs)) and {place + "a.ics", place + "c.ics"} <= set(hrefs)
    for href, response in answer.responses().items():
        if href.endswith("b.ics"):
            assert " 404" in response.findtext("D:status", namespaces=NAMES) and response.find("D:propstat", NAMES) is None
    token = token_of(answer)
    dav.delete(place + "a.ics")
    gone = changes(dav, place, token).responses()
    assert set(gone) == {place + "a.ics"}
    assert " 404" in gone[place + "a.ics"].findtext("D:status", namespaces=NAMES) and gone[place + "a.ics"].find("D:propstat", NAMES) is None
    later = changes(dav, place, token_of(changes(dav, place, token)))
    assert later.responses() == {} and token_of(later)


def test_6578_3_5_a_moved_object_is_one_gone_and_one_new(server, dav, place):
    dav.put(place + "a.ics", event("a"))
    token = token_of(changes(dav, place))
    assert dav.request("MOVE", place + "a.ics", headers={"Destination": server.url + place + "z.ics"}).status == 201
    found = changes(dav, place, token).responses()
    assert set(found) == {place + "a.ics", place + "z.ics"}
    assert " 404" in found[place + "a.ics"].findtext("D:status", namespaces=NAMES)


def test_6578_3_6_a_cut_answer_says_so_and_its_token_goes_on(dav, place):
    for n in range(5):
        dav.put(f"{place}{n}.ics", event(str(n)))
    token, seen = "", []
    for _ in range(5):
        answer = changes(dav, place, token, limit="2")
        token, found = token_of(answer), answer.responses()
        members = [href for href in found if href != place]
        assert len(members) <= 2
        seen += members
        if place not in found:
            break
        assert " 507" in found[place].findtext("D:status", namespaces=NAMES)
        assert found[place].find("D:error/D:number-of-matches-within-limits", NAMES) is not None
    assert sorted(seen) == [f"{place}{n}.ics" for n in range(5)]


def test_6578_3_2_what_is_no_sync_request_is_refused(dav, place):
    for level in ("2", "one"):
        assert changes(dav, place, level=level).status == 400, level
    assert changes(dav, place, limit="none").status == 400
    assert changes(dav, place, depth="infinity").status == 400
    for token in ("http://example.com/other", "garbage", "urn:x:1"):
        answer = changes(dav, place, token=token)
        assert answer.status in (403, 409) and answer.precondition() == [DAV + "valid-sync-token"], token
    dav.put(place + "a.ics", event("a"))
    answer = changes(dav, place + "a.ics")
    assert answer.status in (403, 409) and answer.precondition() == [DAV + "supported-report"]


def test_6578_3_2_a_token_of_another_calendar_is_refused(dav, place):
    other = place.rstrip("/") + "-other/"
    dav.mkcalendar(other, "Other")
    dav.put(other + "a.ics", event("a"))
    answer = changes(dav, place, token=token_of(changes(dav, other)))
    assert answer.status in (403, 409) and answer.precondition() == [DAV + "valid-sync-token"]


def test_6578_4_the_token_is_a_property_and_that_of_the_report(dav, place):
    dav.put(place + "a.ics", event("a"))
    token = value_of(dav.propfind(place, "<D:sync-token/>"), "D:sync-token").text
    assert token == token_of(changes(dav, place))
    assert changes(dav, place, token).responses() == {}
    dav.put(place + "a.ics", event("a", "Changed"))
    assert value_of(dav.propfind(place, "<D:sync-token/>"), "D:sync-token").text != token
    assert set(changes(dav, place, token).responses()) == {place + "a.ics"}


def test_6578_3_3_properties_of_members_are_told_by_propstat(dav, place):
    dav.put(place + "a.ics", event("a"))
    answer = changes(dav, place, level="infinite", properties='<D:getetag/><C:calendar-data/><x:none xmlns:x="urn:x"/>')
    response = answer.responses()[place + "a.ics"]
    assert response.findtext(".//C:calendar-data", namespaces=NAMES).replace("\r\n", "\n") == event("a").replace("\r\n", "\n")
    assert [p.findtext("D:status", namespaces=NAMES).split()[1] for p in response.findall("D:propstat", NAMES)] == ["200", "404"]


# RFC 3744 and 5397, as far as RFC 4791 2 asks for them


def test_3744_9_reports_about_principals_and_expanded_properties(dav, place):
    answer = dav.report(HOME, f'<D:expand-property {DECLARED}><D:property name="owner"><D:property name="displayname"/></D:property></D:expand-property>', "0")
    assert answer.responses()[HOME].findtext(".//D:owner/D:response/D:href", namespaces=NAMES) == "/dav/principals/ana/"
    answer = dav.report("/dav/principals/", f"<D:principal-search-property-set {DECLARED}/>", "0")
    assert answer.status == 200 and answer.xml().tag == DAV + "principal-search-property-set"
    told = dav.propfind(place, "<D:owner/><D:acl/><D:acl-restrictions/><D:principal-collection-set/><D:inherited-acl-set/>")
    assert value_of(told, "D:owner").findtext("D:href", namespaces=NAMES) == "/dav/principals/ana/"
    assert value_of(told, "D:acl").find("D:ace", NAMES) is not None
    assert value_of(told, "D:principal-collection-set").findtext("D:href", namespaces=NAMES) == "/dav/principals/"


def test_3744_8_1_rights_are_not_changed_here_and_that_is_said_by_name(dav, place):
    grant = f"""{PROLOGUE}<D:acl xmlns:D="DAV:"><D:ace><D:principal><D:all/></D:principal><D:grant><D:privilege><D:read/></D:privilege></D:grant>
        </D:ace></D:acl>"""
    dav.put(place + "a.ics", event("a"))
    for path in (HOME, place, place + "a.ics", "/dav/principals/ana/"):
        assert "ACL" in dav.request("OPTIONS", path).header("allow")
        answer = dav.request("ACL", path, grant)
        assert answer.status == 403 and answer.precondition() == [DAV + "need-privileges"], answer.text
        assert answer.xml().find(".//D:need-privileges/D:resource/D:privilege/D:write-acl", NAMES) is not None
        told = dav.propfind(path, "<D:current-user-privilege-set/>", depth="0")
        assert value_of(told, "D:current-user-privilege-set").find(".//D:write-acl", NAMES) is None
    assert dav.request("ACL", place + "none.ics", grant).status == 404
    assert dav.request("ACL", place, "<D:acl").status == 400
    assert dav.request("ACL", place, '<D:other xmlns:D="DAV:"/>').status == 400


def test_5689_3_a_refusal_tells_of_each_property_and_makes_nothing(dav):
    path = HOME + "made/"
    def ask(kind, properties):
        return dav.request("MKCOL", path, f"""{PROLOGUE}<D:mkcol {DECLARED}><D:set><D:prop>
            <D:resourcetype><D:collection/>{kind}</D:resourcetype>{properties}</D:prop></D:set></D:mkcol>""")
    answer = ask("<C:calendar/>", "<D:displayname>n</D:displayname><C:calendar-timezone>none</C:calendar-timezone>")
    assert answer.status == 403 and answer.xml().tag == DAV + "mkcol-response", answer.text
    said = {prop.tag: group.find("D:status", NAMES).text.split()[1]
            for group in answer.xml().findall("D:propstat", NAMES) for prop in group.find("D:prop", NAMES)}
    assert said == {DAV + "displayname": "424", CALDAV + "calendar-timezone": "403"}
    assert answer.xml().find("D:propstat/D:error/C:valid-calendar-data", NAMES) is not None
    assert dav.propfind(path, "<D:displayname/>", depth="0").status == 404
    # Section 5.4.2 of the RFC: a kind of collection that is not made here.
    answer = ask("<E:special xmlns:E='http://example.com/ns/'/>", "<D:displayname>n</D:displayname>")
    assert answer.status == 403 and answer.xml().tag == DAV + "mkcol-response", answer.text
    assert answer.xml().find("D:propstat/D:prop/D:resourcetype", NAMES) is not None
    assert answer.xml().find("D:propstat/D:error/D:valid-resourcetype", NAMES) is not None
    assert ask("<C:calendar/>", "<D:displayname>n</D:displayname>").status == 201
    assert dav.delete(path).status == 204


def test_9110_13_1_4_a_date_is_a_condition_where_no_tag_is(dav, place):
    path = place + "a.ics"
    assert dav.put(path, event("a")).status == 201
    tag, date = (dav.get(path).header(name) for name in ("etag", "last-modified"))
    early = "Sat, 29 Oct 1994 19:43:31 GMT"
    for method, body in (("PUT", event("a", "changed")), ("DELETE", "")):
        assert dav.request(method, path, body, {"If-Unmodified-Since": early}).status == 412
    assert dav.get(path).header("etag") == tag
    # What is no date, and one beside a tag, is passed over.
    assert dav.request("PUT", path, event("a", "1"), {"If-Unmodified-Since": "yesterday"}).status == 204
    tag = dav.get(path).header("etag")
    assert dav.request("PUT", path, event("a", "2"), {"If-Unmodified-Since": early, "If-Match": tag}).status == 204
    now = dav.get(path).header("last-modified")
    assert email.utils.parsedate_to_datetime(now) >= email.utils.parsedate_to_datetime(date)
    assert dav.request("PUT", path, event("a", "3"), {"If-Unmodified-Since": now}).status == 204
    assert dav.request("DELETE", path, headers={"If-Unmodified-Since": dav.get(path).header("last-modified")}).status == 204


def test_5397_nobody_is_unauthenticated_only_where_it_may_be_asked(server):
    answer = Dav(server.url, None, None).propfind("/dav/", "<D:current-user-principal/>")
    assert answer.status == 401 and answer.header("www-authenticate").startswith("Basic")


def test_the_list_names_tests_that_are_there():
    root = Path(__file__).resolve().parents[2]
    text = (root / "docs" / "rfc-coverage.md").read_text(encoding="utf-8")
    listed = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    named = set(re.findall(r"\b([a-z]\w*)::(\w+)", re.sub(r"`[^`]*`", "", listed)))
    own = set(re.findall(r"^def test_(\w+)", Path(__file__).read_text(encoding="utf-8"), re.M))
    assert len(named) > 100
    for module, name in sorted(named):
        if module == "rfc":
            assert name in own, name
        else:
            source = (root / "tests" / "it" / "caldav" / f"{module}.rs").read_text(encoding="utf-8")
            assert f"async fn {name}(" in source, (module, name)
    for suite in re.findall(r"\btest_\w+", listed):
        assert (root / "conformance" / "suites" / f"{suite}.py").exists(), suite
    # And the other way: no test here is missing in the list.
    missing = {name for name in own if re.match(r"\d", name)} - {name for module, name in named if module == "rfc"}
    assert not missing, missing
