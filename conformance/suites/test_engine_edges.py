"""The engine where two things meet: an edit and a rename, a person's word and more deletions, twins and their turns."""

from pathlib import Path

from harness.events import event
from harness.gateway import Gateway
from harness.process import wait_until


def folder_of(radicale):
    return Path(radicale.folder) / "radicale" / "collection-root" / "ana" / "work"


def holding(started, tmp_path, radicale, files):
    """A gateway in front of a calendar with these files, which is read only when it is asked to."""
    gateway = started(Gateway(tmp_path, sync__poll_interval="1h", sync__backoff_base="1s"))
    gateway.add_user()
    radicale.stop()
    for name, text in files.items():
        (folder_of(radicale) / name).write_text(text)
    radicale.start()
    gateway.connect(radicale)
    gateway.sync()
    return gateway


def shown(gateway):
    return gateway.dav().by_uid(gateway.unified())


def remove(radicale, *names):
    radicale.stop()
    for name in names:
        (folder_of(radicale) / name).unlink()
    radicale.start()


def test_a_word_for_some_deletions_is_no_word_for_others(started, tmp_path, radicale):
    gateway = holding(started, tmp_path, radicale, {f"{n}.ics": event(f"u{n}", f"E{n}") for n in range(40)})
    remove(radicale, *(f"{n}.ics" for n in range(15)))
    gateway.run("sync", "ana", "--full", "--wait")
    assert len(shown(gateway)) == 40
    source = next(one["id"] for one in gateway.json("source", "list", "ana") if one["account"])
    # Before the word is acted upon, all others go as well.
    radicale.stop()
    gateway.cli("source", "set", "ana", source, "--confirm-deletions")
    for file in folder_of(radicale).glob("*.ics"):
        file.unlink()
    radicale.start()
    gateway.run("sync", "ana", "--full", "--wait")
    assert {f"u{n}" for n in range(15, 40)} == set(shown(gateway))
    # And they too go when that is meant.
    gateway.cli("source", "set", "ana", source, "--confirm-deletions")
    gateway.cli("sync", "ana", "--full", "--wait")
    assert not shown(gateway)


def test_each_that_was_set_aside_has_its_turn(started, tmp_path, radicale):
    files = {"0first.ics": event("dup", "Dup"), "m.ics": event("u5", "First"), "z.ics": event("u5", "Second")}
    files |= {f"a{n:02}.ics": event("dup", "Dup") for n in range(20)}
    gateway = holding(started, tmp_path, radicale, files)
    remove(radicale, "z.ics" if "Second" in shown(gateway)["u5"][0] else "m.ics")
    for _ in range(2):
        gateway.run("sync", "ana", "--full", "--wait")
    assert "u5" in shown(gateway)


def test_an_edit_that_waits_survives_a_rename_there(started, tmp_path, radicale):
    gateway = started(Gateway(tmp_path, sync__poll_interval="1h", sync__backoff_base="40s", sync__write_through="300ms"))
    gateway.add_user()
    theirs = radicale.dav()
    for name, text in (("0.ics", event("u0", "Before")), ("1.ics", event("u1", "Other"))):
        assert theirs.put(radicale.calendar + name, text).status == 201
    gateway.connect(radicale)
    gateway.sync()
    radicale.stop()
    # The look that fails holds the account back, so that the edit waits and the next look comes before it.
    gateway.run("sync", "ana")
    wait_until(lambda: gateway.json("status")["accounts"][0]["state"] != "healthy", seconds=30, what="the failure")
    dav = gateway.dav()
    href = dav.href_of(gateway.unified(), "u0")
    assert dav.put(href, event("u0", "Edited")).status == 204
    (folder_of(radicale) / "0.ics").rename(folder_of(radicale) / "elsewhere.ics")
    radicale.start()
    for _ in range(2):
        gateway.run("sync", "ana", "--full", "--wait")
    assert "SUMMARY:Edited" in dav.get(href).text
    assert "SUMMARY:Edited" in radicale.dav().by_uid(radicale.calendar)["u0"][0]
    assert not gateway.json("conflict", "list", "ana")
