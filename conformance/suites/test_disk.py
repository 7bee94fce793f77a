"""A full disk: changes are refused with 507 and nothing else stops; a start on a full disk succeeds."""

import os
import subprocess

import pytest
from harness.events import event
from harness.gateway import Gateway

ROOM = 192  # MiB


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM}m", "tmpfs", folder], capture_output=True
    ).returncode == 0
    if not mounted:
        pytest.skip("a small file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder):
    """Takes all the room that is left."""
    with (folder / "filler").open("ab", buffering=0) as filler:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while filler.write(b"\0" * size) == size:
                    pass
            except OSError:
                pass


@pytest.mark.parametrize("engine", ["sled", "redb"])
def test_a_full_disk_refuses_changes_and_nothing_else(small_disk, engine):
    gateway = Gateway(small_disk, storage__engine=engine)
    gateway.log = small_disk.parent / "gateway.log"
    gateway.start()
    try:
        gateway.add_user()
        path = gateway.unified()
        dav = gateway.dav()
        assert dav.put(f"{path}before.ics", event("before")).status == 201
        fill(small_disk)
        refused = dav.put(f"{path}full.ics", event("full"))
        assert refused.status == 507, (refused.status, refused.body)
        assert dav.request("GET", f"{path}before.ics").status == 200
        dav.close()
        # It starts although the disk is full, by what it keeps in reserve.
        gateway.kill()
        fill(small_disk)
        gateway.start()
        dav = gateway.dav()
        assert dav.request("GET", f"{path}before.ics").status == 200
        assert dav.put(f"{path}full.ics", event("full")).status == 507
        # With room again it goes on by itself.
        (small_disk / "filler").unlink()
        assert dav.put(f"{path}full.ics", event("full")).status == 201
        dav.close()
        assert gateway.stop() == 0
        gateway.start()
        assert gateway.dav().request("GET", f"{path}full.ics").status == 200
    finally:
        gateway.kill()
