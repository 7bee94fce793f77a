"""The commands do what they say, with the server running and without it."""

import json
import os
import socket
import stat
import urllib.error
import urllib.parse
import urllib.request

from harness.client import Dav
from harness.events import event
from harness.gateway import ROOT, Gateway


def test_commands_work_while_the_server_runs_and_while_it_does_not(started, tmp_path):
    gateway = Gateway(tmp_path)
    gateway.add_user("ana")
    assert [u["name"] for u in gateway.json("user", "list")] == ["ana"]
    started(gateway)
    gateway.add_user("ben")
    assert {u["name"] for u in gateway.json("user", "list")} == {"ana", "ben"}
    made = gateway.json("app-password", "add", "ana", "--label", "phone")
    listed = gateway.json("app-password", "list", "ana")
    assert listed[0]["label"] == "phone" and made["password"] not in json.dumps(listed)
    phone = Dav(gateway.url, "ana", made["password"])
    assert phone.put(gateway.unified() + "p.ics", event("p")).status == 201
    gateway.cli("app-password", "revoke", "ana", listed[0]["id"])
    assert phone.get(gateway.unified() + "p.ics").status == 401
    assert gateway.stop() == 0
    assert {u["name"] for u in gateway.json("user", "list")} == {"ana", "ben"}
    gateway.cli("user", "remove", "ben", "--yes")
    assert [u["name"] for u in gateway.json("user", "list")] == ["ana"]


def test_the_first_start_prints_a_link_that_makes_the_first_administrator(started, tmp_path):
    gateway = started(Gateway(tmp_path))
    link = next(word for word in gateway.output().split() if "/setup/" in word)
    assert link.startswith(gateway.url)
    folder = tmp_path / "data"
    assert stat.S_IMODE(os.stat(folder / "master.key").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(folder / "admin.sock").st_mode) == 0o600
    page = urllib.request.urlopen(link).read().decode()
    assert "<form" in page
    form = urllib.parse.urlencode({"user": "root", "password": Gateway.password, "again": Gateway.password}).encode()
    urllib.request.urlopen(urllib.request.Request(link, data=form, method="POST", headers={"Origin": gateway.url})).read()
    assert [(u["name"], u["admin"]) for u in gateway.json("user", "list")] == [("root", True)]
    try:
        urllib.request.urlopen(link)
        raise AssertionError("the link works twice")
    except urllib.error.HTTPError as refused:
        assert refused.code in (404, 410)


def one_line(done):
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def test_trouble_at_start_is_one_line_that_says_what_to_do(started, tmp_path):
    running = started(Gateway(tmp_path / "a" if (tmp_path / "a").mkdir() is None else tmp_path))
    second = Gateway(tmp_path / "b" if (tmp_path / "b").mkdir() is None else tmp_path)
    second.environment["LINEARTIME_STORAGE__PATH"] = str(running.data)
    assert "another" in one_line(second.run("serve"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        second.environment["LINEARTIME_STORAGE__PATH"] = str(second.data)
        second.environment["LINEARTIME_SERVER__LISTEN"] = f"127.0.0.1:{taken.getsockname()[1]}"
        assert "server.listen" in one_line(second.run("serve"))
    second.environment["LINEARTIME_STORAGE__PATH"] = "/proc/nowhere"
    assert "storage.path" in one_line(second.run("serve"))
    running.add_user()
    running.stop()
    (running.data / "master.key").unlink()
    running.environment["LINEARTIME_SECURITY__MASTER_KEY"] = "00" * 32
    assert "key" in one_line(running.run("serve"))


def test_a_wrong_configuration_names_key_file_and_line(tmp_path):
    gateway = Gateway(tmp_path)
    file = tmp_path / "config.toml"
    file.write_text("[server]\nlisten = '127.0.0.1:1'\nlistne = 'x'\n")
    error = gateway.run("--config", str(file), "check-config")
    assert error.returncode == 1 and "listne" in error.stderr and "config.toml" in error.stderr and "3" in error.stderr
    assert gateway.run("nonsense").returncode == 2
    assert gateway.run("version").stdout.strip()
    file.write_text("")
    assert gateway.run("--config", str(file), "check-config").returncode == 0


def test_the_example_configuration_is_valid(tmp_path):
    gateway = Gateway(tmp_path)
    assert gateway.run("--config", str(ROOT / "config.toml"), "check-config").returncode == 0
