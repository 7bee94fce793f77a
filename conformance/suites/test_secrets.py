"""Secrets that the test plants, or reads where they are shown once, are looked for wherever they have no business."""

import base64
import hashlib
import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from harness.events import event
from harness.gateway import Gateway
from harness.google import Google
from harness.process import wait_until

PAGES = ["/", "/calendar", "/accounts", "/devices", "/sharing", "/conflicts", "/history", "/queue", "/audit", "/admin", "/me", "/help"]
COMMANDS = [
    ["status", "ana"], ["account", "list", "ana"], ["source", "list", "ana"], ["job", "list"], ["conflict", "list", "ana"],
    ["feed", "list", "ana"], ["app-password", "list", "ana"], ["user", "list"], ["doctor"], ["check-config"],
]


def canary(name):
    """A secret that nothing else looks like."""
    return hashlib.sha256(name.encode()).hexdigest()[:40]


class Telltale(Google):
    """Its secrets are canaries, and it remembers what it was told."""

    client_secret = canary("client secret")

    def __init__(self):
        super().__init__()
        self.heard = {}

    def settings(self):
        return super().settings() | {"providers__google__client_secret": self.client_secret}

    def authorize(self, query):
        status, headers, content = super().authorize(query)
        (code,) = self.codes
        self.codes[canary(code)] = self.codes.pop(code)
        return status, {"location": headers["location"].replace(f"code={code}", f"code={canary(code)}")}, content

    def token(self, form):
        assert form["client_secret"] == self.client_secret
        for name in ("code", "code_verifier", "refresh_token"):
            if name in form:
                self.heard[name] = form[name]
        status, headers, content = super().token(form | {"client_secret": "hush"})
        reply = json.loads(content)
        for name in ("access_token", "refresh_token"):
            if name in reply:
                reply[name] = canary(reply[name])
                self.heard[name] = reply[name]
        with self.lock:
            self.access_tokens.add(reply.get("access_token"))
            self.refresh_tokens.add(self.heard.get("refresh_token"))
        return status, headers, json.dumps(reply).encode()


@pytest.fixture
def google(started):
    service = started(Telltale())
    yield service
    assert service.violations == []


def spellings(secret):
    """The ways in which a secret is written down by accident."""
    octets = secret.encode()
    return {
        "as it is": octets,
        "its first 12 characters": octets[:12],
        "base64": base64.b64encode(octets).rstrip(b"="),
        "base64 for addresses": base64.urlsafe_b64encode(octets).rstrip(b"="),
        "percent-encoded": urllib.parse.quote(secret, safe="").encode(),
        "hexadecimal": octets.hex().encode(),
    }


def look(secrets, where, content):
    """Fails if any secret is in the content, however it is spelt."""
    if isinstance(content, str):
        content = content.encode()
    for name, secret in secrets.items():
        assert len(secret) >= 12, f"{name} is too short to be looked for"
        for how, octets in spellings(secret).items():
            assert octets not in content, f"the {name}, {how}, is in {where}"


def login(user, password):
    """As Basic authentication sends it."""
    return base64.b64encode(f"{user}:{password}".encode()).decode().rstrip("=")


def test_what_is_planted_is_found():
    secrets = {"one": canary("one")}
    look(secrets, "nowhere", b"nothing at all")
    for octets in spellings(secrets["one"]).values():
        with pytest.raises(AssertionError):
            look(secrets, "here", b"before " + octets + b" after")


class Browser:
    """Somebody who is signed in at the pages."""

    def __init__(self, gateway):
        self.gateway, self.opener = gateway, urllib.request.build_opener(Stay)
        form = urllib.parse.urlencode({"user": "ana", "password": gateway.password}).encode()
        answer = self.ask("/sign-in", form)
        assert answer.status == 303, answer.status
        self.cookie = answer.headers["set-cookie"].split(";")[0]

    def ask(self, path, form=None):
        headers = {"Origin": self.gateway.url, "Cookie": getattr(self, "cookie", "")}
        request = urllib.request.Request(self.gateway.url + path, data=form, headers=headers)
        try:
            return self.opener.open(request, timeout=20)
        except urllib.error.HTTPError as answer:
            return answer


class Stay(urllib.request.HTTPRedirectHandler):
    """Shows a redirect instead of following it."""

    def redirect_request(self, *_):
        return None


def connect_in_browser(gateway, browser):
    """The code flow from the page to the callback, by hand; returns the cookie that binds it."""
    first = browser.ask("/oauth/google/start")
    cookie = first.headers["set-cookie"].split(";")[0]
    try:
        browser.opener.open(first.headers["location"])
        raise AssertionError("the provider does not redirect")
    except urllib.error.HTTPError as second:
        back = second.headers["location"]
    request = urllib.request.Request(back, headers={"Cookie": f"{cookie}; {browser.cookie}"})
    assert "is connected" in urllib.request.urlopen(request, timeout=20).read().decode()
    return cookie.split("=", 1)[1], urllib.parse.parse_qs(urllib.parse.urlsplit(back).query)["state"][0]


@pytest.mark.parametrize("style", ["text", "json"])
def test_no_secret_is_where_it_has_no_business(started, tmp_path, google, radicale, style):
    gateway = Gateway(tmp_path, log__level="trace", log__format=style, webhooks__enabled="true", **google.settings())
    gateway.password = "canary of the person's own password"
    started(gateway)
    gateway.add_user()
    radicale_account = gateway.connect(radicale)
    browser = Browser(gateway)
    binding, state = connect_in_browser(gateway, browser)
    wait_until(lambda: len(google.channels) == 2, what="the channels")
    google.put(summary="Lunch", start={"date": "2026-02-03"}, end={"date": "2026-02-04"})
    gateway.sync()
    device = gateway.json("app-password", "add", "ana", "--label", "phone")["password"]
    feed = gateway.json("feed", "add", "ana", "--name", "team")["url"]
    secrets = dict(google.heard) | {
        "client secret": google.client_secret,
        "own password": gateway.password,
        "password of the upstream": radicale.password,
        "session": browser.cookie.split("=", 1)[1],
        "state": state,
        "cookie of the sign-in": binding,
        "app password": device,
        "feed token": urllib.parse.urlsplit(feed).path.split("/")[-1].removesuffix(".ics"),
        "login of the client": login("ana", gateway.password),
        "login at the upstream": login(radicale.user, radicale.password),
        "master key": (gateway.data / "master.key").read_text().strip(),
    }
    secrets |= {f"channel token {n}": one["token"] for n, one in enumerate(google.channels.values())}

    # Each is used, rightly and wrongly.
    dav = gateway.dav()
    assert dav.put(f"{gateway.unified()}x.ics", event("x")).status == 201
    assert urllib.request.urlopen(feed, timeout=20).status == 200
    google.faults["html_502"] = 1
    gateway.run("sync", "ana", "--full", "--wait")
    google.access_tokens.clear()
    gateway.sync()
    secrets |= {f"{name} after a refresh": value for name, value in google.heard.items()}
    google.refresh_tokens.clear()
    google.access_tokens.clear()
    gateway.run("sync", "ana", "--wait")
    radicale.kill()
    gateway.run("sync", "ana", "--wait")

    for command in COMMANDS:
        done = gateway.run(*command)
        look(secrets, f"the answer to {command}", done.stdout + done.stderr)
        look(secrets, f"the JSON of {command}", gateway.run(*command, "--json").stdout)
    for page in PAGES:
        look(secrets, page, browser.ask(page).read())
    account = gateway.json("account", "list", "ana")[0]["id"]
    for account in (account, radicale_account):
        look(secrets, "the page of an account", browser.ask(f"/accounts/{account}").read())
    for path in ("/metrics", "/healthz", "/readyz", "/api/v1/health", "/oauth/google/callback?state=forged&code=x"):
        look(secrets, path, browser.ask(path).read())
    look(secrets, "the arguments of the process", Path(f"/proc/{gateway.child.pid}/cmdline").read_bytes())
    gateway.cli("backup", str(tmp_path / "backup"))
    gateway.stop()
    log = gateway.log.read_bytes()
    assert b"trace" in log.lower() and len(log) > 100_000, "it tells much"
    look(secrets, "the log", log)
    for file in [*(tmp_path / "backup").rglob("*"), *gateway.data.rglob("*")]:
        if file.is_file() and file.name != "master.key":
            look(secrets, str(file.relative_to(tmp_path)), file.read_bytes())
