"""caldav-server-tester: every feature that it knows is there in full, except what is listed with its reason."""

import json
import os
import subprocess
import sys
from pathlib import Path

from harness.gateway import Gateway
from harness.process import free_port

# Feature -> (what the tester finds, why that is right).
EXCEPTIONS = {
    "create-calendar.auto": (
        "unsupported", "a PUT below a missing collection is 409 (RFC 4918 9.7.1); calendars are made by MKCALENDAR"),
    "url.encode-at.identity": (
        "unsupported", "%40 and @ name one resource: clients send both for the same one (clients.md Q12), and two would be doubles"),
}
# Says what is there, and has no level of support.
STATEMENTS = {"get-current-user-principal.has-calendar"}


def test_every_feature_is_full(started, tmp_path):
    # Not at 127.0.0.1, where the tester leaves out the well-known address; user names with @, which it tries too.
    port = free_port()
    gateway = Gateway(tmp_path, server__listen=f"127.0.0.2:{port}", server__public_url=f"http://127.0.0.2:{port}")
    gateway.url = f"http://127.0.0.2:{port}"
    started(gateway)
    users = ["ana@example.org", "bob@example.org", "cleo@example.org"]
    for user in users:
        gateway.add_user(user)
    config = tmp_path / "calendar.conf"
    sections = {
        user.split("@")[0]: {"caldav_url": gateway.url, "caldav_username": user, "caldav_password": gateway.password}
        for user in users
    }
    config.write_text(json.dumps(sections))
    program = Path(sys.executable).parent / "caldav-server-tester"
    done = subprocess.run(
        [program, "--caldav-url", gateway.url, "--caldav-username", users[0], "--caldav-password", gateway.password,
         "--config-section", "bob", "--config-section", "cleo", "--format", "hints"],
        capture_output=True, text=True, timeout=900,
        env=os.environ | {"CALDAV_CONFIG_FILE": str(config), "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = eval(done.stdout, {"__builtins__": {}})  # noqa: S307 - a literal with None and True, printed by the tester
    assert len(found) > 80, "the tester has looked at all that it knows"
    deviating = {}
    for feature, info in found.items():
        level = info.get("support")
        if feature not in STATEMENTS and level != EXCEPTIONS.get(feature, ("full",))[0]:
            deviating[feature] = info
    assert not deviating, deviating
