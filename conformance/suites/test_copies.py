"""One meeting in two accounts: one copy leads and its server may invite; the other invites nobody. And who did what is on record."""

from harness.events import event
from harness.laws import sync_to_rest

PEOPLE = "ORGANIZER;CN=Ana:mailto:ana@example.org\r\nATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:bo@example.org\r\nATTENDEE:mailto:cy@example.org\r\n"


def unfolded(text):
    return text.replace("\r\n ", "").replace("\n ", "")


def test_a_copy_invites_nobody_and_its_mark_never_reaches_the_one_that_leads(gateway, radicale, xandikos):
    for upstream in (radicale, xandikos):
        assert upstream.dav().put(upstream.calendar + "meet.ics", event("meet", "First", extra=PEOPLE)).status == 201
        gateway.connect(upstream)
        gateway.sync()
    dav = gateway.dav()
    path = dav.href_of(gateway.unified(), "meet")
    assert dav.put(path, event("meet", "Edited here", extra=PEOPLE)).status == 204
    sync_to_rest(gateway)

    def held(upstream):
        return unfolded(upstream.dav().by_uid(upstream.calendar)["meet"][0])

    assert "SUMMARY:Edited here" in held(radicale) and "SCHEDULE-AGENT" not in held(radicale)
    assert "SUMMARY:Edited here" in held(xandikos) and held(xandikos).count("SCHEDULE-AGENT=CLIENT") == 3, held(xandikos)
    # Somebody edits the copy where it is: the edit comes round, the mark does not.
    theirs = xandikos.dav()
    href = theirs.href_of(xandikos.calendar, "meet")
    assert theirs.put(href, theirs.get(href).text.replace("Edited here", "Edited there")).status in (200, 201, 204)
    sync_to_rest(gateway)
    for text in (unfolded(dav.get(path).text), held(radicale)):
        assert "SUMMARY:Edited there" in text and "SCHEDULE-AGENT" not in text, text
    assert held(xandikos).count("SCHEDULE-AGENT=CLIENT") == 3


def test_every_change_is_on_record_with_who_and_why(gateway, radicale):
    gateway.connect(radicale)
    dav, path = gateway.dav(), gateway.unified() + "a.ics"
    assert dav.put(path, event("a", "First")).status == 201
    assert dav.put(path, event("a", "Second")).status == 204
    assert dav.delete(path).status == 204
    radicale.dav().put(radicale.calendar + "b.ics", event("b"))
    gateway.sync()
    lines = gateway.json("audit", "ana")
    told = [(line["uid"], line["action"], line["author"]) for line in reversed(lines)]
    assert told == [("a", "created", "client"), ("a", "edited", "client"), ("a", "deleted", "client"), ("b", "created", "provider")]
    assert all(line["by"] and line["created"] and line["calendars"] for line in lines)
    assert "default" in next(line for line in lines if line["action"] == "created" and line["uid"] == "a")["rule"]
    assert len(gateway.json("audit", "ana", "--last", "2")) == 2


def test_what_a_server_rewrites_is_told_in_the_history(gateway, radicale):
    gateway.connect(radicale)
    assert gateway.dav().put(gateway.unified() + "a.ics", event("a", "Whole")).status == 201
    gateway.sync()
    (revision,) = gateway.json("history", "ana", "a")
    assert revision["held_back"] == [], "Radicale takes everything"
