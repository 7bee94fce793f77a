"""What must hold once everything has come to rest, whatever happened on the way."""

from .events import instances
from .client import uid_of


def meaning(text):
    """What an event says to a person: instances with their times and titles, and where it takes place."""
    lines = text.replace("\r\n ", "").replace("\n ", "").splitlines()
    told = sorted(line for line in lines if line.split(":")[0].split(";")[0] in ("LOCATION", "DESCRIPTION", "STATUS", "RRULE"))
    return instances(text), told


def nothing_is_doubled(where, collection):
    """No UID stands twice in a collection; returns UID -> text."""
    found = collection
    doubled = {uid: len(texts) for uid, texts in found.items() if len(texts) != 1}
    assert not doubled, f"{where}: {doubled}"
    return {uid: texts[0] for uid, texts in found.items()}


def both_sides_are_equal(gateway, upstreams):
    """The unified calendar holds what the upstreams hold together, once and by meaning; returns UID -> text."""
    ours = nothing_is_doubled("unified", gateway.dav().by_uid(gateway.unified()))
    theirs = {}
    for upstream in upstreams:
        held = nothing_is_doubled(upstream.name, upstream.dav().by_uid(upstream.calendar))
        for uid, text in held.items():
            assert uid_of(text) == uid
            theirs[uid] = text
            assert uid in ours, f"{uid} is at {upstream.name} and not here"
            assert meaning(ours[uid]) == meaning(text), f"{uid} differs from {upstream.name}:\n{ours[uid]}\n{text}"
    assert set(ours) == set(theirs), f"only here: {set(ours) - set(theirs)}"
    return ours


def sync_to_rest(gateway, rounds=5):
    """Syncs until a whole sync changes nothing."""
    token = None
    for _ in range(rounds):
        gateway.sync()
        changed, gone, token = gateway.dav().sync(gateway.unified(), token or "")
        if not changed and not gone:
            return
    raise AssertionError("the gateway does not come to rest")
