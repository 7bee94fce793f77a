"""Signing in to the pages at a company's own service, by browsers that keep cookies, at a service that lies in every way."""

import http.cookiejar
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from harness.gateway import Gateway
from harness.oidc import Login, key
from harness.process import Program, answers, free_port, wait_until
from harness.tools import npm


class Browser:
    """Keeps cookies, and follows one redirect at a time. With `https` it comes through a proxy that speaks that."""

    def __init__(self, gateway, https=False):
        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_):
                return None
        policy = http.cookiejar.DefaultCookiePolicy(secure_protocols=("http", "https") if https else ("https",))
        self.gateway, self.jar = gateway, http.cookiejar.CookieJar(policy)
        self.always = {"X-Forwarded-Proto": "https"} if https else {}
        self.opener = urllib.request.build_opener(Stay, urllib.request.HTTPCookieProcessor(self.jar))

    def get(self, url, form=None, **headers):
        """Status, place and text."""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(urllib.parse.urljoin(self.gateway.url, url), data=data, headers=self.always | headers)
        try:
            answer = self.opener.open(request, timeout=30)
        except urllib.error.HTTPError as other:
            answer = other
        with answer:
            return answer.status, answer.headers.get("Location"), answer.read().decode()

    def begin(self, to=""):
        """To the service and as far as the answer that it gives."""
        status, place, text = self.get("/oauth/oidc/start" + (f"?to={to}" if to else ""))
        assert status == 303, text
        status, place, _ = self.get(place)
        assert status == 302
        return place

    def sign_in(self):
        """Status, place and text of the answer to what the service has said."""
        return self.get(self.begin())

    def who(self):
        """Who is signed in."""
        status, _, text = self.get("/me")
        return re.search(r"<h1>(.*?)</h1>", text)[1] if status == 200 else None

    def is_admin(self):
        return self.get("/admin")[0] == 200

    def csrf(self):
        return re.search(r'name="csrf" value="(\w+)"', self.get("/me")[2])[1]


@pytest.fixture
def login(started):
    service = started(Login())
    yield service
    assert service.violations == []


@pytest.fixture
def world(started, tmp_path, login):
    def world(**settings):
        gateway = Gateway(tmp_path, log__level="debug", **login.settings(), **settings)
        login.redirect = gateway.url + "/oauth/oidc/callback"
        return started(gateway)
    return world


def users(gateway):
    return {user["name"]: user["admin"] for user in gateway.json("user", "list")}


def test_a_person_comes_in_stays_the_same_and_goes(world, login):
    gateway = world(oidc__name="Example & Sons")
    gateway.add_user("local")
    browser = Browser(gateway)
    assert "Sign in with Example &#38; Sons" in browser.get("/sign-in")[2]
    status, place, _ = browser.get(browser.begin(to="/devices"))
    assert (status, place) == (303, "/devices") and browser.who() == "ana"
    assert users(gateway) == {"ana": False, "local": False}
    login.person["preferred_username"] = "renamed"
    second = Browser(gateway)
    assert second.sign_in()[0] == 303 and second.who() == "ana", "known by the subject"
    assert browser.get("/sign-out", {"csrf": browser.csrf()})[0] == 303
    assert browser.who() is None and second.who() == "ana"
    assert browser.begin(to="https://evil.example") and browser.begin(to="//evil.example")
    log = gateway.output()
    secrets = [login.client_secret, "renamed", "id_token", *login.used, *login.tokens]
    assert not [secret for secret in secrets if secret in log]


def test_a_device_uses_an_app_password_afterwards(world):
    gateway = world()
    assert Browser(gateway).sign_in()[0] == 303
    made = gateway.json("app-password", "add", "ana", "--label", "phone")
    assert made["password"] and gateway.json("app-password", "list", "ana")


LIES = {
    "nonce": {"false": {"nonce": "another"}},
    "no nonce": {"false": {"nonce": None}},
    "audience": {"false": {"aud": "another"}},
    "further audience": {"false": {"aud": ["lineartime", "another"]}},
    "expired": {"false": {"exp": 1_700_000_000}},
    "issuer": {"false": {"iss": "https://login.example.org"}},
    "no subject": {"false": {"sub": None}},
    "key": {"sign_with": "other_key"},
    "the client's secret as a key": {"algorithm": "HS256"},
    "no signature": {"algorithm": "none"},
    "mixed up": {"issued_by": "https://login.example.org"},
    "refused": {"refuse": True},
}


def test_what_is_not_true_makes_nobody(world, login):
    gateway = world()
    for name, lie in LIES.items():
        before = {what: getattr(login, what) for what in lie}
        for what, value in lie.items():
            setattr(login, what, login.other_key if value == "other_key" else value)
        browser = Browser(gateway)
        status, _, text = browser.sign_in()
        assert status in (400, 502) and "You are not signed in" in text, name
        assert browser.who() is None and users(gateway) == {}, name
        for what, value in before.items():
            setattr(login, what, value)
    assert Browser(gateway).sign_in()[0] == 303, "and nothing of it stays"


def test_an_answer_counts_once_and_in_its_own_browser(world, login):
    gateway = world()
    victim, attacker = Browser(gateway), Browser(gateway)
    answer = attacker.begin()
    status, _, text = victim.get(answer)
    assert status == 400 and "another browser" in text and victim.who() is None
    victim.begin()
    assert victim.get(answer)[0] == 400 and victim.who() is None, "also when it has begun one of its own"
    assert attacker.get(answer)[0] == 303
    status, _, text = attacker.get(answer)
    assert status == 400 and "used already" in text
    forged = answer.replace("state=", "state=x")
    assert attacker.get(forged)[0] == 400 and attacker.get("/oauth/oidc/callback")[0] == 400
    status, _, _ = victim.get("/oauth/oidc/start", **{"Sec-Fetch-Site": "cross-site"})
    assert status == 403


def test_groups_let_in_and_make_administrators(world, login):
    gateway = world(oidc__allowed_groups="staff", oidc__admin_group="it", oidc__admin_groups="chiefs")
    login.person["groups"] = ["guests", "Staff"]
    browser = Browser(gateway)
    status, _, text = browser.sign_in()
    assert status == 403 and "none of the groups" in text and users(gateway) == {}
    login.person["groups"] = ["staff", "it"]
    assert browser.sign_in()[0] == 303 and browser.is_admin() and users(gateway) == {"ana": True}
    login.person["groups"] = ["staff"]
    assert Browser(gateway).sign_in()[0] == 303
    assert not browser.is_admin() and users(gateway) == {"ana": False}, "at once, in every browser"
    login.person["groups"] = "chiefs"
    assert browser.sign_in()[0] == 303 and browser.is_admin(), "one group as a text"
    del login.person["groups"]
    assert Browser(gateway).sign_in()[0] == 403
    login.user_info = {"groups": ["it"], "sub": "8"}
    assert Browser(gateway).sign_in()[0] == 502, "another person's groups"
    login.user_info = {"groups": ["it"]}
    assert Browser(gateway).sign_in()[0] == 303, "groups that the user-info endpoint alone tells"


def test_a_local_user_is_nobody_elses_until_they_connect(world, login):
    gateway = world(oidc__create_users="true")
    gateway.add_user("ana")
    login.person |= {"email": "ana@example.org", "email_verified": True}
    status, _, text = Browser(gateway).sign_in()
    assert status == 409 and "There is a user ana" in text
    browser = Browser(gateway)
    assert browser.get("/sign-in", {"user": "ana", "password": gateway.password})[0] == 303
    assert browser.get("/me/oidc", {"csrf": "x"})[0] == 403
    page = browser.get("/me/oidc", {"csrf": browser.csrf()})[2]
    link = re.search(r'href="(http[^"]*/authorize[^"]*)"', page)[1].replace("&#38;", "&").replace("&amp;", "&")
    answer = browser.get(link)[1]
    assert browser.get("/sign-out", {"csrf": browser.csrf()})[0] == 303
    assert browser.get(answer)[0] == 400, "whoever is not signed in any more connects nothing"
    assert browser.get("/sign-in", {"user": "ana", "password": gateway.password})[0] == 303
    page = browser.get("/me/oidc", {"csrf": browser.csrf()})[2]
    link = re.search(r'href="(http[^"]*/authorize[^"]*)"', page)[1].replace("&#38;", "&").replace("&amp;", "&")
    assert browser.get(browser.get(link)[1])[:2] == (303, "/me")
    fresh = Browser(gateway)
    assert fresh.sign_in()[0] == 303 and fresh.who() == "ana"
    gateway.cli("user", "remove", "ana", "--yes")
    assert fresh.who() is None


def test_nobody_is_made_where_that_is_off(world, login):
    gateway = world(oidc__create_users="false")
    status, _, text = Browser(gateway).sign_in()
    assert status == 403 and "Nobody on this server" in text and users(gateway) == {}


def test_names_follow_the_rules_of_names(world, login):
    gateway = world()
    for name in ["../ana", "a" * 65, "..", "ana smith", "", None]:
        login.person["preferred_username"] = name
        assert Browser(gateway).sign_in()[0] == 400, name
    assert users(gateway) == {}


def test_a_service_may_change_its_keys(world, login):
    gateway = world()
    assert Browser(gateway).sign_in()[0] == 303
    browser = Browser(gateway)
    answer = browser.begin()
    login.key = key()
    assert browser.get(answer)[0] == 303, "the keys are those of this moment"


def test_a_service_that_is_away_is_said_so_and_is_back(world, login):
    gateway = world()
    login.kill()
    status, _, text = Browser(gateway).get("/oauth/oidc/start")
    assert status == 502 and "can&#39;t be reached" in text
    assert Browser(gateway).get("/sign-in")[0] == 200


def test_over_https_every_cookie_that_lets_in_is_this_hosts_alone(world, login):
    gateway = world(server__trusted_proxies="127.0.0.1")
    browser = Browser(gateway, https=True)
    answer = browser.begin()
    assert [cookie.name for cookie in browser.jar] == ["__Host-lineartime_oidc"]
    assert browser.get(answer)[0] == 303 and browser.who() == "ana"
    cookies = {cookie.name: cookie for cookie in browser.jar}
    own = cookies["__Host-lt_session"]
    assert own.secure and own.path == "/" and not own.domain_specified and "lt_session" not in cookies
    stranger = Browser(gateway, https=True)
    assert stranger.get("/me", Cookie="lt_session=" + own.value)[0] == 303, "what a neighbour could have set is not believed"
    assert browser.get("/sign-out", {"csrf": browser.csrf()})[0] == 303
    assert browser.who() is None and "__Host-lt_session" not in {cookie.name for cookie in browser.jar}


def test_without_settings_there_is_no_trace_of_it(gateway):
    browser = Browser(gateway)
    assert "oidc" not in browser.get("/sign-in")[2]
    for path in ["/oauth/oidc/start", "/oauth/oidc/callback?state=a&code=b"]:
        assert browser.get(path)[0] == 404


class Provider(Program):
    """npm's oidc-provider, which nobody of this project has written."""

    def __init__(self, folder, port, redirect):
        super().__init__(folder / "provider.log")
        self.port, self.redirect, self.url = port, redirect, f"http://127.0.0.1:{port}"

    def start(self):
        script = Path(__file__).parent / "node" / "oidc-provider.mjs"
        self.spawn(["node", str(script), str(self.port), self.redirect], env=os.environ | {"NODE_FOLDER": str(npm("oidc-provider@9.13.3"))})

        def up():
            assert self.running(), self.output()
            return answers(self.url + "/.well-known/openid-configuration")
        wait_until(up, what="the provider")
        return self


def walk(browser, url, forms):
    """Follows redirects from `url`, and fills in one form after the other; until it is back at the gateway."""
    forms = list(forms)
    while not url.startswith(browser.gateway.url):
        _, place, text = browser.get(url)
        if place is None:
            url = urllib.parse.urljoin(url, re.search(r'action="([^"]+)"', text)[1])
            _, place, text = browser.get(url, forms.pop(0))
        assert place, text
        url = urllib.parse.urljoin(url, place)
    return browser.get(url)


def test_a_provider_that_others_wrote(started, tmp_path):
    port = free_port()
    gateway = Gateway(
        tmp_path, oidc__issuer=f"http://127.0.0.1:{port}", oidc__client_id="lineartime", oidc__client_secret="hush hush",
        oidc__scopes="profile, groups", oidc__admin_groups="staff", oidc__allowed_groups="staff",
    )
    provider = started(Provider(tmp_path, port, gateway.url + "/oauth/oidc/callback"))
    started(gateway)
    browser = Browser(gateway)
    place = browser.get("/oauth/oidc/start")[1]
    status, place, text = walk(browser, place, [{"prompt": "login", "login": "ben", "password": "x"}, {"prompt": "consent"}])
    assert (status, place) == (303, "/"), text + provider.output()
    assert browser.who() == "ben" and browser.is_admin(), "the groups came from the user-info endpoint"
    # It knows the browser now, and asks nothing.
    assert walk(browser, browser.get("/oauth/oidc/start")[1], [])[0] == 303
    assert "refused" not in provider.output() and "error" not in provider.output(), provider.output()
