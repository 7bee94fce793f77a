"""A company's sign-in service: OpenID Connect Core 1.0 with the code flow, strict with the client, and false on request.

Tokens are signed by PyJWT. What a client must not do is refused and kept in `violations`.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa


def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Login:
    """Whoever comes to the page of this service is `person`, without being asked."""

    client_id, client_secret = "lineartime", "a secret: with/signs + that must be escaped"

    def __init__(self):
        self.key, self.other_key = key(), key()
        self.person = {"sub": "7", "preferred_username": "Ana", "groups": ["staff"]}
        self.user_info = {}         # what is told there alone
        self.false = {}             # claims of the ID token that are not as they should be; None leaves one out
        self.sign_with = None       # another key
        self.algorithm = "RS256"
        self.issued_by = None       # another `iss` in the answer
        self.refuse = False
        self.codes, self.tokens, self.used = {}, {}, set()
        self.violations, self.requests = [], []
        self.redirect = None

    def start(self):
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                service.answer(self, b"")

            def do_POST(self):
                service.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def kill(self):
        self.server.shutdown()
        self.server.server_close()

    def settings(self):
        return {"oidc__issuer": self.url, "oidc__client_id": self.client_id, "oidc__client_secret": self.client_secret}

    def answer(self, handler, body):
        path, _, query = handler.path.partition("?")
        self.requests.append((handler.command, path))
        form = dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=bool(body)))
        routes = {
            "/.well-known/openid-configuration": lambda: self.configuration(),
            "/keys": lambda: {"keys": [self.public()]},
            "/token": lambda: self.token(handler.headers.get("Authorization", ""), form),
            "/userinfo": lambda: self.info(handler.headers.get("Authorization", "")),
            "/authorize": lambda: self.authorize(dict(urllib.parse.parse_qsl(query, keep_blank_values=True))),
        }
        if path not in routes:
            self.violations.append(path)
        status, value, place = 200, None, None
        try:
            value = routes[path]()
        except (KeyError, ValueError) as wrong:
            self.violations.append(f"{path}: {wrong}")
            status, value = 400, {"error": "invalid_request"}
        if path == "/authorize" and status == 200:
            status, place, value = 302, value, {}
        octets = json.dumps(value).encode()
        handler.send_response(status)
        if place:
            handler.send_header("Location", place)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(octets)))
        handler.end_headers()
        handler.wfile.write(octets)

    def configuration(self):
        return {
            "issuer": self.url, "authorization_endpoint": self.url + "/authorize", "token_endpoint": self.url + "/token",
            "userinfo_endpoint": self.url + "/userinfo", "jwks_uri": self.url + "/keys", "response_types_supported": ["code"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }

    def public(self):
        return json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key())) | {"kid": "one", "use": "sig", "alg": "RS256"}

    def authorize(self, ask):
        wanted = {"client_id": self.client_id, "response_type": "code", "code_challenge_method": "S256", "redirect_uri": self.redirect}
        for name, value in wanted.items():
            if ask[name] != value:
                raise ValueError(f"{name} is {ask[name]}")
        if "openid" not in ask["scope"].split() or len(ask["state"]) < 32 or len(ask["nonce"]) < 32:
            raise ValueError("scope, state or nonce")
        if {ask["state"], ask["nonce"], ask["code_challenge"]} & self.used:
            raise ValueError("used before")
        self.used |= {ask["state"], ask["nonce"], ask["code_challenge"]}
        answer = {"state": ask["state"], "iss": self.issued_by or self.url}
        if self.refuse:
            answer["error"] = "access_denied"
        else:
            answer["code"] = secrets.token_urlsafe(24)
            self.codes[answer["code"]] = ask
        return self.redirect + "?" + urllib.parse.urlencode(answer)

    def token(self, authorization, form):
        kind, _, text = authorization.partition(" ")
        name, _, secret = base64.b64decode(text).decode().partition(":")
        if (kind, *map(urllib.parse.unquote_plus, (name, secret))) != ("Basic", self.client_id, self.client_secret):
            raise ValueError("not the client")
        ask = self.codes.pop(form["code"])
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if challenge != ask["code_challenge"] or form["redirect_uri"] != self.redirect or form["grant_type"] != "authorization_code":
            raise ValueError("not who asked")
        now = int(time.time())
        claims = {"iss": self.url, "aud": self.client_id, "iat": now, "exp": now + 300, "nonce": ask["nonce"], **self.person, **self.false}
        claims = {name: value for name, value in claims.items() if value is not None}
        signer = {"RS256": self.sign_with or self.key, "HS256": self.client_secret, "none": None}[self.algorithm]
        access = secrets.token_urlsafe(24)
        self.tokens[access] = {"sub": claims.get("sub"), **self.user_info}
        return {
            "access_token": access, "token_type": "Bearer", "expires_in": 300,
            "id_token": jwt.encode(claims, signer, algorithm=self.algorithm, headers={"kid": "one"}),
        }

    def info(self, authorization):
        return self.tokens[authorization.removeprefix("Bearer ")]
