"""Two changes of the same thing: each rule decides as it says, nothing that lost is gone, and a person has the last word."""

import pytest
from harness.events import event
from harness.gateway import Gateway
from harness.laws import both_sides_are_equal, sync_to_rest


def connected(started, tmp_path, radicale, **settings):
    gateway = started(Gateway(tmp_path, **settings))
    gateway.add_user()
    gateway.connect(radicale)
    (source,) = [s for s in gateway.json("source", "list", "ana") if s.get("account")]
    gateway.cli("source", "set", "ana", source["id"], "--default")
    return gateway


def clash(gateway, radicale, uid="both"):
    """Both sides change the title of one event while they can't see one another."""
    dav, path = gateway.dav(), f"{gateway.unified()}{uid}.ics"
    assert dav.put(path, event(uid, "Before")).status == 201
    gateway.sync()
    theirs = radicale.dav()
    href = theirs.href_of(radicale.calendar, uid)
    radicale.stop()
    assert dav.put(path, event(uid, "Ours")).status == 204
    radicale.start()
    theirs.close()
    assert theirs.put(href, event(uid, "Theirs")).status in (200, 201, 204)
    gateway.run("sync", "ana", "--wait")
    return dav, path, theirs, href


def titles(text):
    return [line for line in text.split("\r\n") if line.startswith("SUMMARY")]


def revisions(gateway, uid="both"):
    """Title -> number, of all that the history holds."""
    listed = gateway.json("history", "ana", uid)
    return {titles(gateway.json("history", "ana", uid, "--revision", str(one["revision"]))["calendar"])[0]: one["revision"] for one in listed}


@pytest.mark.parametrize("settings, winner, rule", [
    ({}, "Ours", "last write wins"),
    ({"conflict__strategy": "provider-priority", "conflict__priority": '["radicale"]'}, "Theirs", "provider priority"),
    ({"conflict__strategy": "provider-priority", "conflict__priority": '["another"]'}, "Ours", "provider priority"),
])
def test_a_rule_decides_and_the_loser_can_be_had_back(started, tmp_path, radicale, settings, winner, rule):
    gateway = connected(started, tmp_path, radicale, **settings)
    dav, path, theirs, href = clash(gateway, radicale)
    assert titles(dav.get(path).text) == titles(theirs.get(href).text) == [f"SUMMARY:{winner}"]
    (conflict,) = gateway.json("conflict", "list", "ana")
    assert conflict["state"] == {"Ours": "local", "Theirs": "remote"}[winner]
    assert conflict["rule"].startswith(rule) and conflict["decided"] and conflict["properties"] == ["SUMMARY"]
    kept = revisions(gateway)
    assert {"SUMMARY:Before", "SUMMARY:Ours", "SUMMARY:Theirs"} <= set(kept)
    assert kept["SUMMARY:Ours"] >= conflict["local"] and conflict["base"] and conflict["remote"]
    loser = {"Ours": "Theirs", "Theirs": "Ours"}[winner]
    gateway.cli("restore-event", "ana", "both", "--revision", str(kept[f"SUMMARY:{loser}"]))
    gateway.sync()
    assert titles(dav.get(path).text) == titles(theirs.get(href).text) == [f"SUMMARY:{loser}"], "restoring goes upstream"


@pytest.mark.parametrize("keep", ["local", "remote", "both"])
def test_by_hand_nothing_moves_until_a_person_has_chosen(started, tmp_path, radicale, keep):
    gateway = connected(started, tmp_path, radicale, conflict__strategy="manual")
    dav, path, theirs, href = clash(gateway, radicale)
    for _ in range(2):
        assert titles(dav.get(path).text) == ["SUMMARY:Ours"]
        assert titles(theirs.get(href).text) == ["SUMMARY:Theirs"]
        gateway.sync()
    (conflict,) = gateway.json("conflict", "list", "ana")
    assert conflict["state"] == "open" and conflict["decided"] is None
    # Both go on living: what is written later takes the place of what was there when they met.
    assert dav.put(path, event("both", "Ours later")).status == 204
    assert theirs.put(href, event("both", "Theirs later")).status in (200, 201, 204)
    gateway.sync()
    assert titles(dav.get(path).text) == ["SUMMARY:Ours later"]
    assert titles(theirs.get(href).text) == ["SUMMARY:Theirs later"]
    assert [one["id"] for one in gateway.json("conflict", "list", "ana")] == [conflict["id"]]

    gateway.cli("conflict", "resolve", "ana", conflict["id"], "--keep", keep)
    sync_to_rest(gateway)
    held = both_sides_are_equal(gateway, [radicale])
    assert titles(held["both"]) == [{"local": "SUMMARY:Ours later", "remote": "SUMMARY:Theirs later", "both": "SUMMARY:Ours later"}[keep]]
    others = [titles(text) for uid, text in held.items() if uid != "both"]
    assert others == ([["SUMMARY:Theirs later"]] if keep == "both" else [])
    (resolved,) = gateway.json("conflict", "list", "ana")
    assert resolved["state"] == {"local": "local", "remote": "remote", "both": "other"}[keep]
    assert resolved["decided"] and "person" in resolved["rule"]
    assert dav.put(path, event("both", "As ever")).status == 204
    gateway.sync()
    assert titles(theirs.get(href).text) == ["SUMMARY:As ever"], "nothing is held back any more"


def test_deleting_what_waits_for_a_choice_brings_theirs_back(started, tmp_path, radicale):
    gateway = connected(started, tmp_path, radicale, conflict__strategy="manual")
    dav, path, theirs, href = clash(gateway, radicale)
    assert dav.delete(path).status == 204
    sync_to_rest(gateway)
    held = both_sides_are_equal(gateway, [radicale])
    assert titles(held["both"]) == ["SUMMARY:Theirs"], "nobody here has agreed to delete what they wrote"


def test_a_deleted_event_comes_back_from_the_trash_on_both_sides(started, tmp_path, radicale):
    gateway = connected(started, tmp_path, radicale)
    dav, path = gateway.dav(), gateway.unified() + "gone.ics"
    assert dav.put(path, event("gone", "Dear")).status == 201
    gateway.sync()
    assert dav.delete(path).status == 204
    gateway.sync()
    assert radicale.dav().by_uid(radicale.calendar) == {}
    (revision,) = gateway.json("history", "ana", "gone")
    gateway.cli("restore-event", "ana", "gone", "--revision", str(revision["revision"]))
    sync_to_rest(gateway)
    assert titles(both_sides_are_equal(gateway, [radicale])["gone"]) == ["SUMMARY:Dear"]


def test_what_can_not_be_resolved_says_so(started, tmp_path, radicale):
    gateway = connected(started, tmp_path, radicale)
    for wrong in ("nonsense", "0123456789abcdef"):
        done = gateway.run("conflict", "resolve", "ana", wrong, "--keep", "local")
        assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1, done.stderr
