"""The way to an upstream: what a person may type, how the gateway signs in, what a company's network wants, and where it never goes."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness.disguise import Disguise
from harness.events import event
from harness.gateway import Gateway
from harness.laws import both_sides_are_equal, sync_to_rest
from harness.process import free_port, wait_until
from harness.tls import Authority, SecureRadicale

FAST = {"sync__poll_interval": "1h", "sync__backoff_base": "50ms", "sync__backoff_max": "500ms"}


def add(gateway, url, password, user="ana", label="there"):
    name = ["--username", user] if user else []
    return gateway.run("account", "add", "ana", "--provider", "caldav", "--url", url, *name, "--password-stdin", "--label", label, text=password + "\n")


def is_connected(done):
    assert done.returncode == 0, done.stderr


def is_refused(done, *words):
    """One line for the person who typed, with the reason, and nothing that is secret."""
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert "geheim" not in done.stderr


def state(gateway):
    return gateway.json("status", "ana")["accounts"][0]


def lives(gateway, upstream):
    """An event goes each way."""
    sync_to_rest(gateway)
    source = next(one for one in gateway.json("source", "list", "ana") if one["account"] and one["name"] == "Work")
    assert gateway.dav().put(f"/dav/calendars/ana/{source['id']}/here.ics", event("here", "From here")).status == 201
    upstream.dav().put(upstream.calendar + "there.ics", event("there", "From there"))
    sync_to_rest(gateway)
    assert set(both_sides_are_equal(gateway, [upstream])) == {"here", "there"}


@pytest.fixture
def gateway_with(started, tmp_path):
    """A gateway with so many settings, and the user `ana`."""

    def make(**settings):
        gateway = started(Gateway(tmp_path, **FAST | settings))
        gateway.add_user()
        return gateway

    return make


def test_a_private_authority_is_believed_when_it_is_named(started, tmp_path, gateway_with):
    company = Authority(tmp_path / "company", "Company CA")
    upstream = started(SecureRadicale(tmp_path, company))
    gateway = gateway_with()
    is_refused(add(gateway, upstream.secure_url, upstream.password), "localhost", "certificate", "providers.tls.ca_file")
    assert gateway.json("account", "list", "ana") == []
    gateway.stop()
    gateway.environment["LINEARTIME_PROVIDERS__TLS__CA_FILE"] = str(company.certificate)
    gateway.start()
    # As a host name is typed, without https.
    is_connected(add(gateway, f"localhost:{upstream.secure_port}", upstream.password))
    lives(gateway, upstream)
    # 84: another authority's certificate one day. The password is not blamed, nothing is lost, what is written waits.
    gateway.stop()
    gateway.environment["LINEARTIME_PROVIDERS__TLS__CA_FILE"] = str(Authority(tmp_path / "other", "Another CA").certificate)
    gateway.start()
    gateway.run("sync", "ana", "--wait")
    wait_until(lambda: state(gateway)["state"] in ("down", "degraded"), what="the trouble")
    assert "certificate" in state(gateway)["reason"], state(gateway)
    assert set(gateway.dav().by_uid(gateway.unified())) == {"here", "there"}
    assert gateway.dav().put(gateway.dav().href_of(gateway.unified(), "there"), event("there", "Edited meanwhile")).status == 204
    gateway.stop()
    gateway.environment["LINEARTIME_PROVIDERS__TLS__CA_FILE"] = str(company.certificate)
    gateway.start()
    wait_until(lambda: gateway.run("sync", "ana", "--wait").returncode == 0 and state(gateway)["state"] == "healthy", seconds=60, what="healthy")
    assert "Edited meanwhile" in both_sides_are_equal(gateway, [upstream])["there"]


def test_a_certificate_of_ours_is_shown_to_the_hosts_that_are_named_and_to_no_other(started, tmp_path, gateway_with):
    company, people = Authority(tmp_path / "company", "Company CA"), Authority(tmp_path / "people", "People CA")
    upstream = started(SecureRadicale(tmp_path, company, people))
    certificate, key = people.issue("gateway", usage="clientAuth")
    gateway = gateway_with(providers__tls__ca_file=company.certificate, providers__tls__client_cert=certificate,
                           providers__tls__client_key=key, providers__tls__client_cert_hosts='["dav.example.com"]')
    is_refused(add(gateway, upstream.secure_url, upstream.password), "localhost")
    # TLS 1.3 tells it after the handshake, when the request is on its way already: the end of the connection may overtake it.
    wait_until(lambda: "providers.tls.client_cert" in add(gateway, upstream.secure_url, upstream.password).stderr, seconds=60, what="the reason")
    gateway.stop()
    gateway.environment["LINEARTIME_PROVIDERS__TLS__CLIENT_CERT_HOSTS"] = '["dav.example.com", "localhost"]'
    gateway.start()
    is_connected(add(gateway, upstream.secure_url, upstream.password))
    lives(gateway, upstream)


def test_no_such_name_is_no_verdict_on_anything(gateway):
    done = add(gateway, "https://nobody.invalid", "geheim")
    is_refused(done, "nobody.invalid")
    assert "password" not in done.stderr.lower(), done.stderr


class Token(Disguise):
    """Knows a bearer token, and passes on under the name that it stands for (RFC 6750)."""

    good, behind, refusals = "t0ken", "", 0

    def refuse(self, exchange, method, path):
        sent = exchange.handler.headers.get("Authorization")
        if sent != f"Bearer {self.good}":
            self.refusals += sent is not None
            return 401, [("WWW-Authenticate", 'Bearer realm="calendars", error="invalid_token"')], b""
        del exchange.handler.headers["Authorization"]
        exchange.handler.headers["Authorization"] = self.upstream.dav().credentials


def test_a_bearer_token_is_a_way_in(started, radicale, gateway_with):
    upstream, gateway = started(Token(radicale)), gateway_with()
    is_refused(add(gateway, upstream.url, "geheim", user=None), "refuses")
    assert upstream.refusals == 1, "a refused token is not sent again"
    is_connected(add(gateway, upstream.url, "t0ken", user=None))
    lives(gateway, radicale)
    upstream.good, upstream.refusals = "another", 0
    gateway.run("sync", "ana", "--wait")
    wait_until(lambda: state(gateway)["state"] == "needs_sign_in", what="the refusal")
    assert upstream.refusals == 1 and set(gateway.dav().by_uid(gateway.unified())) == {"here", "there"}
    assert "t0ken" not in gateway.output()


class Stranger:
    """Another server, which keeps what is sent to it."""

    def __init__(self):
        self.heard, self.port = [], free_port()
        self.url = f"http://localhost:{self.port}"

    def start(self):
        stranger = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                stranger.heard.append((self.command, self.headers.get("Authorization")))
                self.send_response_only(401)
                self.send_header("WWW-Authenticate", 'Basic realm="calendars"')
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_PROPFIND = do_REPORT = do_GET = do_PUT = do_DELETE = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def kill(self):
        self.server.shutdown()
        self.server.server_close()


class Leading(Disguise):
    """Leads somewhere else: always, or once somebody has moved in."""

    to = None

    def refuse(self, exchange, method, path):
        if self.to:
            return 302, [("Location", self.to + path)], b""


def test_a_redirect_to_a_stranger_gets_no_password(started, radicale, gateway_with):
    upstream, stranger, gateway = started(Leading(radicale)), started(Stranger()), gateway_with()
    upstream.to = stranger.url
    is_refused(add(gateway, upstream.url, "geheim"), "localhost", "trust")
    is_connected(add(gateway, radicale.url, radicale.password, label="straight"))
    upstream.to = None
    is_connected(add(gateway, upstream.url, radicale.password))
    sync_to_rest(gateway)
    before = gateway.dav().listing(gateway.unified())
    upstream.to, stranger.heard = stranger.url, []
    gateway.run("sync", "ana", "--wait")
    wait_until(lambda: stranger.heard, what="the redirect")
    assert {secret for _, secret in stranger.heard} == {None}
    assert gateway.dav().listing(gateway.unified()) == before


INSIDE = (
    "http://127.0.0.1:{port}", "http://localhost:{port}", "http://[::1]:{port}", "http://[::ffff:127.0.0.1]:{port}", "http://2130706433:{port}",
    "http://0x7f.1:{port}", "http://0.0.0.0:{port}", "http://10.0.0.1", "http://192.168.1.1", "http://169.254.169.254", "http://[fd00:ec2::254]",
)


def test_the_own_network_is_out_of_reach_until_it_is_named(started, radicale, gateway_with):
    upstream = started(Leading(radicale))
    gateway = gateway_with(providers__allow_private_addresses="false")
    for url in INSIDE:
        url = url.format(port=upstream.port)
        is_refused(add(gateway, url, "geheim"), "providers.allow_private_addresses")
        feed = gateway.run("account", "add", "ana", "--provider", "ics", "--url", url + "/club.ics")
        is_refused(feed, "providers.allow_private_addresses")
    assert upstream.seen == [], "nobody was asked"
    # A list lets in what it names, and redirects are looked at like first requests.
    gateway.stop()
    gateway.environment["LINEARTIME_PROVIDERS__ALLOW_PRIVATE_ADDRESSES"] = '["127.0.0.1"]'
    gateway.start()
    is_connected(add(gateway, upstream.url, radicale.password))
    lives(gateway, radicale)
    before = gateway.dav().listing(gateway.unified())
    for to in ("http://10.0.0.1", "http://169.254.169.254/latest", "http://[::1]:1"):
        upstream.to = to
        gateway.run("sync", "ana", "--wait")
        wait_until(lambda: "allow_private_addresses" in (state(gateway)["reason"] or ""), what=f"the reason, led to {to}")
        is_refused(add(gateway, upstream.url, "geheim", label="again"), "allow_private_addresses")
        upstream.to = None
        wait_until(lambda: gateway.run("sync", "ana", "--wait").returncode == 0 and state(gateway)["state"] == "healthy", seconds=60, what="healthy")
    assert gateway.dav().listing(gateway.unified()) == before


def test_metadata_services_stay_out_of_reach_though_all_else_is_allowed(gateway):
    for url in ("http://169.254.169.254", "http://[::ffff:169.254.169.254]", "http://[fd00:ec2::254]", "http://100.100.100.200"):
        is_refused(add(gateway, url, "geheim"), "allow_private_addresses")
        is_refused(gateway.run("account", "add", "ana", "--provider", "ics", "--url", url + "/latest/meta-data/"), "allow_private_addresses")


def test_a_password_goes_to_no_public_address_without_encryption(gateway):
    """Refused before anything is sent: there need not be anybody at the address. A name given in the URL is not used."""
    done = gateway.run("account", "add", "ana", "--provider", "ics", "--url", "http://ana:geheim@198.41.0.4/club.ics")
    is_refused(done, "198.41.0.4", "https only")


class Bad(Disguise):
    """A CalDAV server that has become something else."""

    manner = None

    def carry(self, exchange):
        if self.manner is None or exchange.handler.command != "REPORT":
            return super().carry(exchange)
        self.manner(exchange.handler)


def begin(handler, *headers):
    handler.close_connection = True
    handler.send_response_only(207)
    for name, value in (("Content-Type", "application/xml"), ("Connection", "close"), *headers):
        handler.send_header(name, value)
    handler.end_headers()


def bomb(handler):
    """Small on the wire, two hundred megabytes when unpacked."""
    import gzip

    begin(handler, ("Content-Encoding", "gzip"))
    handler.wfile.write(gzip.compress(b'<?xml version="1.0"?><multistatus xmlns="DAV:">' + b" " * (200 << 20) + b"</multistatus>", 1))


def entities(handler):
    """A billion laughs."""
    begin(handler)
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    handler.wfile.write(f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]><multistatus xmlns="DAV:">&l9;</multistatus>'.encode())


def deep(handler):
    """Elements in elements without end."""
    begin(handler)
    handler.wfile.write(b'<?xml version="1.0"?><multistatus xmlns="DAV:">' + b"<a>" * 1_000_000)


@pytest.mark.parametrize("manner", [bomb, entities, deep])
def test_what_is_no_answer_is_refused_in_bounded_memory(started, radicale, gateway_with, manner):
    upstream, gateway = started(Bad(radicale)), gateway_with()
    radicale.dav().put(radicale.calendar + "a.ics", event("a"))
    is_connected(add(gateway, upstream.url, radicale.password))
    sync_to_rest(gateway)
    before, memory = gateway.dav().listing(gateway.unified()), gateway.memory()
    upstream.manner = manner
    gateway.run("sync", "ana", "--full", "--wait")
    told = wait_until(lambda: state(gateway) if state(gateway)["state"] != "healthy" else None, seconds=60, what="the trouble")
    assert told["reason"] and not re.search("ha{3}|password", told["reason"]), told
    assert gateway.memory() < memory + 150 and gateway.dav().listing(gateway.unified()) == before
    upstream.manner = None
    wait_until(lambda: gateway.run("sync", "ana", "--full", "--wait").returncode == 0 and state(gateway)["state"] == "healthy", seconds=60, what="healthy")
    assert gateway.dav().listing(gateway.unified()) == before
