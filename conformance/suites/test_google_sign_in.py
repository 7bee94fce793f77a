"""Signing in at another double of Google's OAuth than our own: that of @emulators/google, in front of the simulator's calendars."""

import html
import os
import re
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from harness.gateway import BINARY, Gateway
from harness.google import Google
from harness.process import Program, wait_until
from harness.tools import npm

# Later ones ask for a core that the registry does not have.
PACKAGES = ["@emulators/google@0.4.1", "@emulators/core@0.4.1"]


class Tokens:
    """The simulator takes every token of the other double, save those that were called expired."""

    def __init__(self):
        self.seen, self.expired = set(), set()

    def __contains__(self, token):
        if token.startswith("google_"):
            self.seen.add(token)
        return token.startswith("google_") and token not in self.expired


class Double(Program):
    def __init__(self, folder, redirect):
        super().__init__(folder / "double.log")
        self.redirect = redirect

    def start(self):
        script = Path(__file__).parent / "node" / "google-sign-in.mjs"
        self.spawn(["node", str(script), self.redirect], env=os.environ | {"NODE_FOLDER": str(npm(*PACKAGES))})

        def up():
            assert self.running(), self.output()
            return self.output().startswith("http")
        wait_until(up, what="the double")
        self.url = self.output().split()[0]
        return self

    def settings(self):
        return {"auth_url": "/o/oauth2/v2/auth", "token_url": "/oauth2/token", "revoke_url": "/oauth2/revoke"}


@pytest.fixture
def world(started, tmp_path):
    google = started(Google())
    google.access_tokens = Tokens()
    google.put(summary="Lunch", start={"date": "2026-02-03"}, end={"date": "2026-02-04"})
    gateway = Gateway(tmp_path, sync__poll_interval="1h", **google.settings())
    double = started(Double(tmp_path, gateway.url + "/oauth/google/callback"))
    for name, path in double.settings().items():
        gateway.environment["LINEARTIME_PROVIDERS__GOOGLE__" + name.upper()] = double.url + path
    started(gateway)
    gateway.add_user()
    yield google, double, gateway
    assert google.violations == [] and google.codes == {}, "nobody signed in at the simulator"


def agree(link, double):
    """Chooses the user on the page behind the link, and follows to where that leads."""
    with urllib.request.urlopen(link, timeout=20) as answer:
        page = answer.read().decode()
    fields = {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', page)}
    assert fields["email"] == "ana@example.org" and fields["code_challenge_method"] == "S256"
    data = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(double.url + "/o/oauth2/v2/auth/callback", data=data, timeout=20) as answer:
        return answer.read().decode()


def test_another_double_is_signed_in_to_asked_again_and_left(world):
    google, double, gateway = world
    child = subprocess.Popen([str(BINARY), "account", "connect", "ana", "--provider", "google"], env=gateway.environment,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "is connected" in agree(child.stdout.readline().strip(), double)
    assert child.wait(30) == 0
    gateway.sync()
    assert any("SUMMARY:Lunch" in text for text in gateway.dav().objects(gateway.unified()).values())
    first = set(google.access_tokens.seen)
    google.access_tokens.expired |= first
    google.put(summary="Dinner", start={"date": "2026-02-05"}, end={"date": "2026-02-06"})
    gateway.sync()
    assert any("SUMMARY:Dinner" in text for text in gateway.dav().objects(gateway.unified()).values())
    assert google.access_tokens.seen > first
    account = gateway.json("account", "list", "ana")[0]
    gateway.cli("account", "remove", "ana", account["id"], "--yes")
    assert "POST /oauth2/revoke 200" in double.output() and " 4" not in double.output(), "it refused nothing"
