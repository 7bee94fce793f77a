"""What a person decides and looks up from a shell: rules for conflicts, versions, the trash, routes, parting, and the record of it all."""

import json
import re

import pytest
from harness.disguise import Disguise
from harness.events import event
from harness.gateway import Gateway
from harness.laws import sync_to_rest
from harness.shell import both, fails, is_record, plain

REVISION = ("id", "uid", "revision", "created", "author", "by", "etag", "length", "current", "held_back", "explain")


@pytest.fixture
def one(gateway, radicale):
    """A gateway with one account, where new events go."""
    gateway.connect(radicale)
    gateway.sync()
    gateway.cli("source", "set", "ana", source(gateway)["id"], "--default")
    return gateway


@pytest.fixture
def two(gateway, radicale, xandikos):
    gateway.connect(radicale)
    gateway.connect(xandikos)
    gateway.sync()
    return gateway


def account(gateway, label="radicale"):
    return next(a for a in gateway.json("account", "list", "ana") if a["label"] == label)["id"]


def source(gateway, label="radicale"):
    of = account(gateway, label)
    return next(s for s in gateway.json("source", "list", "ana") if s["account"] == of)


def titles(text):
    return re.findall(r"^SUMMARY:(.*?)\r?$", text, re.M)


def clash(gateway, radicale, uid):
    """Both sides change the title of one event while they can't see one another; what stands here and there then."""
    dav, path, theirs = gateway.dav(), f"{gateway.unified()}{uid}.ics", radicale.dav()
    assert dav.put(path, event(uid, "Before")).status == 201
    gateway.sync()
    href = theirs.href_of(radicale.calendar, uid)
    radicale.stop()
    assert dav.put(path, event(uid, "Ours")).status == 204
    radicale.start()
    theirs.close()
    assert theirs.put(href, event(uid, "Theirs")).status in (200, 201, 204)
    gateway.run("sync", "ana", "--wait")
    return titles(dav.get(path).text) + titles(theirs.get(href).text)


def test_whose_change_stands_is_chosen_by_account_by_user_or_by_the_configuration(one, radicale):
    id = account(one)
    text, told = both(one, "conflict", "strategy", "ana")
    assert "last-write-wins" in text and (told["strategy"], told["chosen_by"]) == ("last-write-wins", "configuration")
    assert clash(one, radicale, "by-configuration") == ["Ours", "Ours"]

    told = one.json("conflict", "strategy", "ana", "provider-priority", "--priority", "radicale")
    assert (told["strategy"], told["priority"], told["chosen_by"]) == ("provider-priority", ["radicale"], "user")
    assert one.json("conflict", "strategy", "ana", "--account", id)["chosen_by"] == "user"
    assert clash(one, radicale, "by-user") == ["Theirs", "Theirs"]

    told = one.json("conflict", "strategy", "ana", "manual", "--account", id)
    assert (told["strategy"], told["account"], told["chosen_by"]) == ("manual", id, "account")
    assert one.json("conflict", "strategy", "ana")["strategy"] == "provider-priority", "for all others it is as before"
    assert clash(one, radicale, "by-account") == ["Ours", "Theirs"], "nothing moves before a person has chosen"
    text, conflicts = both(one, "conflict", "list", "ana")
    by_uid = {c["uid"]: c for c in conflicts}
    for conflict in conflicts:
        is_record(conflict, "id", "uid", "source", "created", "kind", "state", "decided", "rule", "properties", "base", "local", "remote")
        assert conflict["id"] in text and conflict["kind"] == "edit" and conflict["properties"] == ["SUMMARY"]
    assert {uid: c["state"] for uid, c in by_uid.items()} == {"by-configuration": "local", "by-user": "remote", "by-account": "open"}
    assert by_uid["by-account"]["decided"] is None and by_uid["by-user"]["decided"]

    one.add_user("ben")
    for wrong in (["ana", "0123456789abcdef"], ["ana", "nonsense"], ["ben", by_uid["by-account"]["id"]]):
        fails(one, "conflict", "resolve", *wrong, "--keep", "local", says="conflict")
    fails(one, "conflict", "resolve", "ana", by_uid["by-account"]["id"], code=2)
    fails(one, "conflict", "resolve", "ana", by_uid["by-account"]["id"], "--keep", "mine", code=2)
    fails(one, "conflict", "strategy", "ana", "by-dice", code=2)
    fails(one, "conflict", "strategy", "ana", "provider-priority", says="--priority")
    fails(one, "conflict", "strategy", "ben", "manual", "--account", id, says="no account")
    assert one.json("conflict", "list", "ben") == []

    assert "provider is kept" in plain(one, "conflict", "resolve", "ana", by_uid["by-account"]["id"], "--keep", "remote")
    sync_to_rest(one)
    assert titles(one.dav().by_uid(one.unified())["by-account"][0]) == ["Theirs"]
    assert one.json("conflict", "strategy", "ana", "inherit", "--account", id)["chosen_by"] == "user"
    assert one.json("conflict", "strategy", "ana", "inherit")["chosen_by"] == "configuration"


def test_every_version_is_kept_and_one_that_is_restored_goes_upstream(one, radicale):
    dav, path = one.dav(), one.unified() + "v.ics"
    for n, status in enumerate((201, 204, 204)):
        assert dav.put(path, event("v", f"Version {n}", extra=f"X-NUMBER:{n}\r\n")).status == status
    one.sync()
    text, history = both(one, "history", "ana", "v")
    for revision in history:
        is_record(revision, *REVISION)
        assert revision["author"] == "client" and revision["by"].startswith("ana")
    assert [revision["current"] for revision in history].count(True) == 1
    numbers = {titles(one.cli("history", "ana", "v", "--revision", str(r["revision"])))[0]: r["revision"] for r in history}
    assert set(numbers) == {"Version 0", "Version 1", "Version 2"} and "REVISION" in text
    shown = one.json("history", "ana", "v", "--revision", str(numbers["Version 0"]))
    assert shown["calendar"] == event("v", "Version 0", extra="X-NUMBER:0\r\n"), "octet by octet"

    _, _, token = dav.sync(one.unified())
    answer = one.json("restore-event", "ana", "v", "--revision", str(numbers["Version 0"]))
    assert (answer["uid"], answer["revision"]) == ("v", numbers["Version 0"])
    one.sync()
    theirs = radicale.dav().by_uid(radicale.calendar)
    assert titles(theirs["v"][0]) == ["Version 0"] and "X-NUMBER:0" in theirs["v"][0]
    changed, gone, _ = dav.sync(one.unified(), token)
    assert len(changed) == 1 and not gone, "clients see it as an edit"
    newest = one.json("audit", "ana", "--last", "1")[0]
    assert (newest["uid"], newest["author"], newest["cause"]) == ("v", "person", "restore")

    one.add_user("ben")
    fails(one, "history", "ana", "never", says="never had")
    fails(one, "history", "ben", "v", says="never had")
    fails(one, "history", "ana", "v", "--revision", "999", says="no revision 999")
    fails(one, "restore-event", "ana", "v", "--revision", "999", says="no revision 999")
    fails(one, "restore-event", "ben", "v", "--revision", "1")
    fails(one, "restore-event", "ana", "v", code=2)
    fails(one, "restore-event", "ana", "v", "--revision", "first", code=2)


def test_the_trash_lists_what_was_deleted_on_either_side_and_brings_it_back(one, radicale):
    dav, theirs = one.dav(), radicale.dav()
    assert both(one, "trash", "list", "ana")[1] == []
    for uid in ("here", "there", "stays"):
        assert dav.put(f"{one.unified()}{uid}.ics", event(uid, f"Title of {uid}")).status == 201
    one.sync()
    assert dav.delete(one.unified() + "here.ics").status == 204
    assert theirs.delete(theirs.href_of(radicale.calendar, "there")).status in (200, 204)
    one.sync()
    assert set(dav.by_uid(one.unified())) == set(theirs.by_uid(radicale.calendar)) == {"stays"}
    text, trash = both(one, "trash", "list", "ana")
    for record in trash:
        is_record(record, "id", "uid", "summary", "deleted", "revision", "calendars")
    assert {record["uid"]: record["summary"] for record in trash} == {"here": "Title of here", "there": "Title of there"}
    assert "Title of here" in text and trash[0]["uid"] == "there", "the latest deletion first"
    for uid in ("here", "there"):
        assert one.json("trash", "restore", "ana", uid)["uid"] == uid
    sync_to_rest(one)
    for held in (dav.by_uid(one.unified()), theirs.by_uid(radicale.calendar)):
        assert {uid: len(texts) for uid, texts in held.items()} == {"here": 1, "there": 1, "stays": 1}
        assert titles(held["there"][0]) == ["Title of there"]
    assert one.json("trash", "list", "ana") == []
    one.add_user("ben")
    assert one.json("trash", "list", "ben") == []
    for wrong in (["ana", "here"], ["ana", "never"], ["ben", "here"]):
        fails(one, "trash", "restore", *wrong, says="no deleted event")


def test_a_rule_sends_a_new_event_somewhere_and_the_history_says_why(two, radicale, xandikos):
    two.cli("source", "set", "ana", source(two)["id"], "--default")
    there = source(two, "xandikos")
    added = two.json("route", "add", "ana", "--category", "Club", "--to", there["id"])
    assert (added["when"], added["value"], added["to"]) == ("category", "Club", there["id"])
    assert "added" in plain(two, "route", "add", "ana", "--attendee-domain", "example.net", "--to", there["name"])
    text, rules = both(two, "route", "list", "ana")
    assert [(rule["id"], rule["when"]) for rule in rules] == [(1, "category"), (2, "attendee_domain")] and "example.net" in text
    dav = two.dav()
    people = "ORGANIZER:mailto:ana@example.org\r\nATTENDEE:mailto:bo@example.net\r\n"
    for uid, extra in {"club": "CATEGORIES:Sport,club\r\n", "guest": people, "plain": "CATEGORIES:Clubs\r\n"}.items():
        assert dav.put(f"{two.unified()}{uid}.ics", event(uid, extra=extra)).status == 201
    direct = f"/dav/calendars/ana/{source(two)['id']}/direct.ics"
    assert dav.put(direct, event("direct", extra="CATEGORIES:Club\r\n")).status == 201
    two.sync()
    assert set(xandikos.dav().by_uid(xandikos.calendar)) == {"club", "guest"}
    assert set(radicale.dav().by_uid(radicale.calendar)) == {"plain", "direct"}, "who writes into a source means it"

    def why(uid):
        return two.json("history", "ana", uid)[0]["explain"]

    assert "category Club" in why("club") and there["name"] in why("club")
    assert "example.net" in why("guest") and "default" in why("plain")
    # An edit that takes the category away moves nothing.
    assert dav.put(two.unified() + "club.ics", event("club", "Edited")).status == 204
    two.sync()
    assert set(xandikos.dav().by_uid(xandikos.calendar)) == {"club", "guest"}

    two.add_user("ben")
    fails(two, "route", "add", "ana", "--category", "x", "--to", "nowhere", says="no calendar")
    fails(two, "route", "add", "ben", "--category", "x", "--to", there["id"], says="no calendar")
    fails(two, "route", "remove", "ana", "7", says="no rule 7")
    fails(two, "route", "remove", "ana", "0", says="no rule 0")
    fails(two, "route", "add", "ana", "--to", there["id"], code=2)
    fails(two, "route", "add", "ana", "--category", "x", code=2)
    assert two.json("route", "remove", "ana", "1") == {"id": 1}
    assert [rule["when"] for rule in two.json("route", "list", "ana")] == ["attendee_domain"]
    assert dav.put(two.unified() + "club2.ics", event("club2", extra="CATEGORIES:Club\r\n")).status == 201
    two.sync()
    assert "club2" in radicale.dav().by_uid(radicale.calendar)


def test_rules_of_the_configuration_come_after_a_users_own(started, tmp_path, radicale, xandikos):
    rules = '[{ category = "work", to = "Work" }, { category = "both", to = "Work" }]'
    gateway = started(Gateway(tmp_path, routing__rules=rules))
    gateway.add_user()
    gateway.connect(radicale)
    gateway.connect(xandikos)
    gateway.sync()
    gateway.cli("source", "set", "ana", source(gateway, "xandikos")["id"], "--default")
    gateway.cli("route", "add", "ana", "--category", "both", "--to", source(gateway, "xandikos")["id"])
    for uid in ("work", "both"):
        assert gateway.dav().put(f"{gateway.unified()}{uid}.ics", event(uid, extra=f"CATEGORIES:{uid}\r\n")).status == 201
    gateway.sync()
    assert set(radicale.dav().by_uid(radicale.calendar)) == {"work"} and set(xandikos.dav().by_uid(xandikos.calendar)) == {"both"}


def test_what_shares_a_uid_is_parted_by_hand(two, radicale, xandikos):
    for upstream in (radicale, xandikos):
        upstream.dav().put(upstream.calendar + "same.ics", event("same", "Twice", extra="LOCATION:Here\r\n"))
    two.sync()
    dav = two.dav()
    assert {uid: len(texts) for uid, texts in dav.by_uid(two.unified()).items()} == {"same": 1}
    parted = two.json("unmerge", "ana", "same", "--source", source(two, "xandikos")["id"])
    assert parted["uid"] != "same" and parted["source"] == source(two, "xandikos")["id"]
    sync_to_rest(two)
    assert set(dav.by_uid(two.unified())) == {"same", parted["uid"]}
    assert set(radicale.dav().by_uid(radicale.calendar)) == {"same"}
    assert set(xandikos.dav().by_uid(xandikos.calendar)) == {parted["uid"]}
    # Each goes its own way from here on.
    href = dav.href_of(two.unified(), "same")
    assert dav.put(href, event("same", "Changed")).status == 204
    sync_to_rest(two)
    assert titles(radicale.dav().by_uid(radicale.calendar)["same"][0]) == ["Changed"]
    (left,) = xandikos.dav().by_uid(xandikos.calendar)[parted["uid"]]
    assert titles(left) == ["Twice"] and "LOCATION:Here" in left
    two.add_user("ben")
    fails(two, "unmerge", "ana", "same", "--source", source(two)["id"], says="nothing to part")
    fails(two, "unmerge", "ana", "same", "--source", source(two, "xandikos")["id"], says="holds no copy")
    fails(two, "unmerge", "ana", "never", "--source", source(two)["id"], says="no such event")
    fails(two, "unmerge", "ben", "same", "--source", source(two)["id"], says="holds no copy")
    fails(two, "unmerge", "ana", "same", "--source", "nonsense", says="")
    fails(two, "unmerge", "ana", "same", code=2)


def test_the_record_of_changes_says_who_and_why_and_can_be_taken_out(one, radicale):
    dav = one.dav()
    made = one.json("app-password", "add", "ana", "--label", "phone")
    from harness.client import Dav
    phone = Dav(one.url, "ana", made["password"])
    assert phone.put(one.unified() + "a.ics", event("a", "First")).status == 201
    assert dav.put(one.unified() + "a.ics", event("a", "Second")).status == 204
    one.sync()
    theirs = radicale.dav()
    href = theirs.href_of(radicale.calendar, "a")
    theirs.put(href, event("a", "Third"))
    one.sync()
    theirs.delete(href)
    one.sync()
    one.cli("trash", "restore", "ana", "a")
    one.sync()
    text, lines = both(one, "audit", "ana", "--all")
    for line in lines:
        is_record(line, "id", "created", "author", "by", "action", "cause", "uid", "revision", "calendars", "rule")
    told = [(line["action"], line["author"]) for line in reversed(lines)]
    assert told == [("created", "client"), ("edited", "client"), ("edited", "provider"), ("deleted", "provider"), ("restored", "person")]
    assert "phone" in lines[-1]["by"] and lines[-3]["by"] == source(one)["id"]
    assert lines[-1]["rule"] and source(one)["id"] in json.dumps(lines[-1]["calendars"])
    assert "restored" in text and len(one.json("audit", "ana", "--last", "2")) == 2
    numbers = [line["id"] for line in lines]
    assert numbers == sorted(numbers, reverse=True)
    # It is append-only: what came later changes nothing of what was there.
    assert dav.put(one.unified() + "b.ics", event("b")).status == 201
    assert one.json("audit", "ana", "--all")[-len(lines):] == lines
    one.add_user("ben")
    assert one.json("audit", "ben", "--all") == []
    fails(one, "audit", "ana", "--last", "some", code=2)
    fails(one, "audit", "ana", "--last", "3", "--all", code=2)


class Forgetful(Disguise):
    """Stores what it knows, and lets go of all X- properties and alarms without a word."""

    def refuse(self, exchange, method, path):
        if method == "PUT":
            text = re.sub(rb"BEGIN:VALARM.*?END:VALARM\r\n", b"", exchange.body, flags=re.S)
            exchange.body = re.sub(rb"^X-(?!REWRITTEN)[^\r]*\r\n", b"", text, flags=re.M)

    def change(self, exchange, status, headers, body):
        if exchange.handler.command == "PUT":
            headers = [(key, value) for key, value in headers if key.lower() != "etag"]
        return status, headers, body


def test_what_a_provider_could_not_take_is_told_in_the_history_and_kept_here(started, gateway, radicale):
    upstream = started(Forgetful(radicale))
    gateway.connect(upstream)
    gateway.sync()
    source_id = next(s["id"] for s in gateway.json("source", "list", "ana") if s["account"])
    gateway.cli("source", "set", "ana", source_id, "--default")
    alarm = "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:x\r\nTRIGGER:-PT10M\r\nEND:VALARM\r\n"
    text = event("rich", "Rich", extra="X-OWN;X-P=1:kept\r\n" + alarm)
    path = gateway.unified() + "rich.ics"
    assert gateway.dav().put(path, text).status == 201
    sync_to_rest(gateway)
    held = radicale.dav().by_uid(radicale.calendar)["rich"][0]
    assert "X-OWN" not in held and "VALARM" not in held
    assert gateway.dav().get(path).text == text, "what is here is as the client wrote it"
    (revision,) = gateway.json("history", "ana", "rich")
    (loss,) = revision["held_back"]
    assert loss["source"] == source_id and {"X-OWN", "VALARM"} <= set(loss["properties"]), loss
    assert "X-OWN" in plain(gateway, "history", "ana", "rich")
    # An edit at the provider takes nothing of it away.
    theirs = radicale.dav()
    href = theirs.href_of(radicale.calendar, "rich")
    theirs.put(href, held.replace("SUMMARY:Rich", "SUMMARY:Richer"))
    sync_to_rest(gateway)
    now = gateway.dav().get(path).text
    assert titles(now) == ["Richer"] and "X-OWN;X-P=1:kept" in now and "TRIGGER:-PT10M" in now
