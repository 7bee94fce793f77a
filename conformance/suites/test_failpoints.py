"""The process ends at each moment that has a name, and the next start holds what was promised.

The names are those of `src/failpoint.rs`. The rest of them is where an older store or a clock of its own can be had: in `tests/it`.
"""

import http.client
import re
import signal

import pytest
from harness.events import event
from harness.gateway import BINARY, ROOT, Gateway
from harness.google import Google
from harness.laws import both_sides_are_equal, sync_to_rest
from harness.process import answers, wait_until
from harness.upstream import Radicale

FAST = {"sync__backoff_base": "50ms", "sync__backoff_max": "500ms", "sync__poll_interval": "1h", "sync__write_through": "2s"}

# Where a write may be lost, as nobody was told that it is safe; where it must not be; and where either is right.
LOST, KEPT = False, True
WRITES = {
    "validated": LOST,
    "tx.begin": LOST,
    "tx.before_flush": None,
    "tx.after_flush": KEPT,
    "before_response": KEPT,
}
OUTBOX = ["outbox.picked", "outbox.before_send", "outbox.sent_no_reply", "outbox.reply_before_persist", "outbox.persisted"]
PULL = ["pull.page.received", "pull.page.staged", "pull.before_cursor", "pull.after_cursor", "apply.item"]
OTHERS = ["move.between_src_dst", "conflict.loser_saved", "rekey.item", "backup.copying", "shutdown.draining"]
GOOGLE = [
    "oauth.code_exchanged", "oauth.refresh.before_call", "oauth.refresh.reply_before_persist", "watch.created_before_persist",
    "watch.renew",
]
AGED = ["gc.tombstone"]
# `tests/it/cli.rs` has the store of an older release.
ELSEWHERE = ["migrate.step"]


class Crowd:
    """Another calendar of a server, as an upstream of its own."""

    def __init__(self, server, calendar):
        self.name, self.calendar, self.dav = calendar, calendar, server.dav


def end_at(gateway, name, provoke):
    """Starts the gateway, which ends itself when it comes to the moment; what `provoke` is answered in between is returned."""
    gateway.stop()
    answer = None
    gateway.spawn([str(BINARY), "serve"], env=gateway.environment | {"LINEARTIME_FAILPOINT": name})
    wait_until(lambda: not gateway.running() or answers(gateway.url + "/readyz"), what="the gateway, or its end")
    try:
        answer = provoke()
    except (OSError, http.client.HTTPException):
        pass
    wait_until(lambda: not gateway.running(), seconds=100, what=f"the end at {name}")
    assert gateway.child.returncode == -signal.SIGABRT, f"it did not end at {name}:\n{gateway.output()[-2000:]}"
    gateway.child = None
    assert gateway.run("doctor").returncode == 0
    gateway.start()
    return answer


@pytest.fixture
def google(started):
    service = started(Google())
    yield service
    assert service.violations == []


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A gateway with two calendars of a server, for all the moments one after the other."""
    folder = tmp_path_factory.mktemp("failpoints")
    radicale, gateway = Radicale(folder), Gateway(folder, **FAST)
    try:
        radicale.start()
        radicale.dav().mkcalendar("/ana/home/", "Home")
        gateway.start()
        gateway.add_user()
        gateway.connect(radicale)
        gateway.sync()
        yield gateway, radicale
    finally:
        gateway.kill()
        radicale.kill()


def settle(gateway, radicale):
    """Everything comes to rest; returns UID -> text of what is on both sides, once."""
    sync_to_rest(gateway)
    return both_sides_are_equal(gateway, [radicale, Crowd(radicale, "/ana/home/")])


def collections(gateway):
    """The paths of the two calendars by their names."""
    sources = gateway.json("source", "list", "ana")
    return {one["name"]: f"/dav/calendars/ana/{one['id']}/" for one in sources if one["account"]}


def test_every_moment_of_the_program_has_its_test():
    text = (ROOT / "src" / "failpoint.rs").read_text()
    names = re.findall(r'^    "([a-z_.]+)",$', text, re.MULTILINE)
    tested = [f"{kind}.{moment}" for kind in ("put", "delete") for moment in WRITES]
    assert sorted(names) == sorted(tested + OUTBOX + PULL + OTHERS + GOOGLE + AGED + ELSEWHERE)
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.rs") if path.name != "failpoint.rs")
    for name in names:
        spoken = name if ".tx." not in name else name.split(".")[-1] if name.endswith("flush") else f'transaction("{name.split(".")[0]}")'
        assert spoken in source, f"nothing reaches {name}"


def test_a_moment_that_is_not_there_is_refused(gateway):
    gateway.stop()
    gateway.environment["LINEARTIME_FAILPOINT"] = "put.nowhere"
    done = gateway.run("user", "list")
    assert done.returncode == 1 and "put.nowhere" in done.stderr


@pytest.mark.parametrize("moment", WRITES)
def test_put(world, moment):
    gateway, radicale = world
    uid = f"put-{moment}"
    path = f"{gateway.unified()}{uid}.ics"
    answer = end_at(gateway, f"put.{moment}", lambda: gateway.dav().put(path, event(uid)))
    assert answer is None, "it ends before it answers"
    there = uid in settle(gateway, radicale)
    assert WRITES[moment] in (None, there)


@pytest.mark.parametrize("moment", WRITES)
def test_delete(world, moment):
    gateway, radicale = world
    uid = f"delete-{moment}"
    path = f"{gateway.unified()}{uid}.ics"
    assert gateway.dav().put(path, event(uid)).status == 201
    gateway.sync()
    answer = end_at(gateway, f"delete.{moment}", lambda: gateway.dav().delete(path))
    assert answer is None, "it ends before it answers"
    gone = uid not in settle(gateway, radicale)
    assert WRITES[moment] in (None, gone)


@pytest.mark.parametrize("name", OUTBOX)
@pytest.mark.parametrize("kind", ["create", "edit", "delete"])
def test_push(world, name, kind):
    gateway, radicale = world
    uid = f"{name}-{kind}"
    path = f"{gateway.unified()}{uid}.ics"
    if kind != "create":
        assert gateway.dav().put(path, event(uid)).status == 201
        gateway.sync()
    dav = gateway.dav
    provoke = (lambda: dav().delete(path)) if kind == "delete" else lambda: dav().put(path, event(uid, summary=f"After {kind}"))
    end_at(gateway, name, provoke)
    held = settle(gateway, radicale)
    assert (uid in held) == (kind != "delete")
    assert kind == "delete" or f"SUMMARY:After {kind}" in held[uid]


@pytest.mark.parametrize("name", PULL)
def test_pull(world, name):
    gateway, radicale = world
    radicale.dav().put(f"{radicale.calendar}{name}.ics", event(name))
    gone = f"{name}-gone"
    assert gateway.dav().put(f"{collections(gateway)['Work']}{gone}.ics", event(gone)).status == 201
    gateway.sync()
    radicale.dav().delete(radicale.dav().href_of(radicale.calendar, gone))
    radicale.dav().put(f"{radicale.calendar}{name}-2.ics", event(f"{name}-2"))
    end_at(gateway, name, lambda: gateway.run("sync", "ana"))
    held = settle(gateway, radicale)
    assert {name, f"{name}-2"} <= set(held) and gone not in held


def test_move_between_two_calendars(world):
    gateway, radicale = world
    paths, uid = collections(gateway), "moved"
    assert gateway.dav().put(f"{paths['Work']}{uid}.ics", event(uid)).status == 201
    gateway.sync()
    target = {"Destination": f"{gateway.url}{paths['Home']}{uid}.ics"}
    end_at(gateway, "move.between_src_dst", lambda: gateway.dav().request("MOVE", f"{paths['Work']}{uid}.ics", headers=target))
    assert uid in settle(gateway, radicale)
    assert uid in radicale.dav().by_uid("/ana/home/") and uid not in radicale.dav().by_uid(radicale.calendar)


def test_move_between_two_calendars_of_google(started, tmp_path, google):
    """What left is told first after the restart: the event is looked for where it went before it is made anew."""
    team = "team@group.calendar.google.com"
    google.add_calendar(team, "Team")
    for n in range(3):
        google.put(id=f"wander{n}", summary=f"Wander {n}", start={"date": "2026-02-03"}, end={"date": "2026-02-04"})
    gateway = started(Gateway(tmp_path, **FAST, **google.settings()))
    gateway.add_user()
    assert add_google(gateway).returncode == 0
    gateway.sync()
    paths, dav = collections(gateway), gateway.dav()
    for path in list(dav.listing(paths["Ana"])):
        target = {"Destination": gateway.url + paths["Team"] + path.rsplit("/", 1)[1]}
        end_at(gateway, "move.between_src_dst", lambda: gateway.dav().request("MOVE", path, headers=target))
        gateway.sync()
    assert google.live() == {} and sorted(google.live(team)) == ["Wander 0", "Wander 1", "Wander 2"]
    assert all(len(texts) == 1 for texts in gateway.dav().by_uid(gateway.unified()).values())


def test_a_conflict_whose_loser_was_just_kept(world):
    gateway, radicale = world
    uid = "clash"
    path = f"{gateway.unified()}{uid}.ics"
    assert gateway.dav().put(path, event(uid)).status == 201
    gateway.sync()
    theirs = radicale.dav().href_of(radicale.calendar, uid)

    def provoke():
        radicale.dav().put(theirs, event(uid, summary="Theirs"))
        gateway.dav().put(path, event(uid, summary="Ours"))

    end_at(gateway, "conflict.loser_saved", provoke)
    held = settle(gateway, radicale)
    assert "SUMMARY:Ours" in held[uid] or "SUMMARY:Theirs" in held[uid]
    assert len(gateway.json("history", "ana", uid)) >= 3, "the version that lost is kept"


def test_a_key_half_way_replaced(world):
    gateway, radicale = world
    end_at(gateway, "rekey.item", lambda: gateway.run("key", "rotate"))
    settle(gateway, radicale)
    gateway.cli("key", "rotate")
    settle(gateway, radicale)


def test_a_backup_half_way_written(world):
    gateway, radicale = world
    folder = gateway.folder / "backup"
    end_at(gateway, "backup.copying", lambda: gateway.run("backup", str(folder)))
    (gateway.folder / "other").mkdir()
    other = Gateway(gateway.folder / "other")
    assert other.run("restore", str(folder)).returncode == 1, "half a backup is none"
    gateway.cli("backup", str(folder))
    settle(gateway, radicale)
    assert other.run("restore", str(folder)).returncode == 0


def test_a_stop_that_does_not_come_to_its_end(world):
    gateway, radicale = world
    uid = "draining"

    def provoke():
        assert gateway.dav().put(f"{gateway.unified()}{uid}.ics", event(uid)).status == 201
        gateway.signal(signal.SIGTERM)

    end_at(gateway, "shutdown.draining", provoke)
    assert uid in settle(gateway, radicale)


def test_old_lines_of_the_change_log_half_way_thrown_away(world):
    gateway, radicale = world
    gateway.environment["LINEARTIME_LIMITS__SYNC_TOKEN_AGE"] = "1s"
    try:
        end_at(gateway, "gc.tombstone", lambda: None)
    finally:
        del gateway.environment["LINEARTIME_LIMITS__SYNC_TOKEN_AGE"]
    settle(gateway, radicale)


@pytest.fixture
def hooked(started, tmp_path, google):
    """A gateway that Google can call."""
    gateway = started(Gateway(tmp_path, webhooks__enabled="true", **FAST, **google.settings()))
    gateway.add_user()
    google.put(summary="Lunch", start={"date": "2026-02-03"}, end={"date": "2026-02-04"})
    return gateway


def add_google(gateway):
    return gateway.run("account", "add", "ana", "--provider", "google", "--refresh-token-stdin", text="refresh-1\n")


def is_well(gateway):
    """One account, healthy, and its event once."""
    gateway.sync()
    (account,) = gateway.json("status", "ana")["accounts"]
    held = gateway.dav().by_uid(gateway.unified())
    return account["state"] == "healthy" and [len(texts) for texts in held.values()] == [1]


def test_signed_in_and_not_yet_stored(hooked):
    end_at(hooked, "oauth.code_exchanged", lambda: add_google(hooked))
    assert hooked.json("account", "list", "ana") == []
    assert add_google(hooked).returncode == 0
    wait_until(lambda: is_well(hooked), what="a healthy account")


@pytest.mark.parametrize("name", ["oauth.refresh.before_call", "oauth.refresh.reply_before_persist"])
def test_a_refresh_that_does_not_come_to_its_end(hooked, name):
    assert add_google(hooked).returncode == 0
    hooked.sync()
    end_at(hooked, name, lambda: hooked.run("sync", "ana"))
    wait_until(lambda: is_well(hooked), what="a healthy account")


@pytest.mark.parametrize("name", ["watch.created_before_persist", "watch.renew"])
def test_a_channel_half_way_opened(hooked, google, name):
    google.faults["channel_seconds"] = 6 if name == "watch.renew" else 0
    end_at(hooked, name, lambda: add_google(hooked))
    wait_until(lambda: is_well(hooked), what="a healthy account")
    google.faults["channel_seconds"] = 0
    wait_until(lambda: hooked.json("status", "ana")["accounts"][0]["webhook_expires"], what="a channel")
    google.put(summary="Lunch at one", id=next(iter(google.events[google.email])))
    wait_until(lambda: "Lunch at one" in str(hooked.dav().by_uid(hooked.unified())), what="the notification")
