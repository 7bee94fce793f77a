//! Signing in at a CalDAV server: Basic (RFC 7617) and Digest (RFC 7616, 2617), as the server challenges; or by a bearer
//! token (RFC 6750), where a person has one.
//!
//! Invariant: the strongest scheme that the server offers is used; a password that was refused is not sent a
//! second time (repeated failures lock accounts); a password is never part of a `Debug` or an error.
//! It does not decide which hosts may be given credentials: that is the session's trust list.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use digest_auth::{Algorithm, AlgorithmType, AuthContext, Charset, HttpMethod, Qop, WwwAuthenticateHeader};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, Method};
use url::{Origin, Url};
use zeroize::Zeroizing;

use crate::entropy::Entropy;

/// A name and a password, or a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name. Empty: the password is a bearer token.
    pub username: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// Makes `Authorization` headers, and learns from challenges.
pub(super) struct Authenticator {
    login: Login,
    entropy: Arc<dyn Entropy>,
    schemes: Mutex<HashMap<Origin, Scheme>>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator(..)")
    }
}

#[derive(Clone)]
enum Scheme {
    Basic,
    Digest(Box<WwwAuthenticateHeader>),
}

impl Authenticator {
    pub(super) fn new(login: Login, entropy: Arc<dyn Entropy>) -> Self {
        Self { login, entropy, schemes: Mutex::default() }
    }

    /// The header for a request, if it should carry one: what this origin is known to want, else Basic over
    /// TLS unasked (some servers answer the unnamed instead of asking), else nothing until challenged.
    pub(super) fn authorization(&self, method: &Method, url: &Url) -> Option<HeaderValue> {
        let mut schemes = self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        if self.login.username.is_empty() {
            let is_asked_for = url.scheme() == "https" || schemes.contains_key(&url.origin());
            return is_asked_for.then(|| self.bearer()).flatten();
        }
        match schemes.get_mut(&url.origin()) {
            Some(Scheme::Digest(prompt)) => self.digest(prompt, method, url),
            Some(Scheme::Basic) => self.basic(),
            None if url.scheme() == "https" => self.basic(),
            None => None,
        }
    }

    /// Takes in a 401's challenges. Whether the request is worth sending again with what was learned.
    pub(super) fn challenged(&self, url: &Url, headers: &HeaderMap, sent: Option<&HeaderValue>) -> bool {
        let mut schemes = self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        if self.login.username.is_empty() {
            // Whatever is asked for, a token is all there is; which scheme is noted makes no difference.
            schemes.insert(url.origin(), Scheme::Basic);
            return sent.is_none();
        }
        let sent_digest = sent.is_some_and(|value| value.as_bytes().starts_with(b"Digest"));
        match strongest(&challenges(headers)) {
            Some(Scheme::Digest(prompt)) => {
                // A refused digest is worth a second try only when nothing but its nonce was too old.
                let again = !sent_digest || prompt.stale;
                schemes.insert(url.origin(), Scheme::Digest(prompt));
                again
            }
            // Some servers send a 401 without any challenge and mean Basic (Yahoo).
            Some(Scheme::Basic) | None => {
                schemes.insert(url.origin(), Scheme::Basic);
                sent.is_none()
            }
        }
    }

    /// From now on this origin gets Basic unasked. Whether that is news.
    pub(super) fn insist(&self, url: &Url) -> bool {
        let mut schemes = self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        if url.scheme() == "https" || schemes.contains_key(&url.origin()) {
            return false;
        }
        schemes.insert(url.origin(), Scheme::Basic);
        true
    }

    fn bearer(&self) -> Option<HeaderValue> {
        sensitive(&Zeroizing::new(format!("Bearer {}", self.login.password.as_str())))
    }

    fn basic(&self) -> Option<HeaderValue> {
        let pair = Zeroizing::new(format!("{}:{}", self.login.username, self.login.password.as_str()));
        let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        sensitive(&text)
    }

    fn digest(&self, prompt: &mut WwwAuthenticateHeader, method: &Method, url: &Url) -> Option<HeaderValue> {
        let uri = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let mut nonce = [0; 16];
        self.entropy.fill(&mut nonce);
        let method = HttpMethod(method.as_str().into());
        let mut context = AuthContext::new_with_method(
            self.login.username.as_str(),
            self.login.password.as_str(),
            uri.as_str(),
            Option::<&[u8]>::None,
            method,
        );
        context.set_custom_cnonce(HEXLOWER.encode(&nonce));
        sensitive(&prompt.respond(&context).ok()?.to_header_string())
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// One challenge of a `WWW-Authenticate` header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Challenge {
    /// In lower case.
    scheme: String,
    /// Names in lower case.
    params: Vec<(String, String)>,
}

impl Challenge {
    fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// The best scheme among `challenges` that we can speak: Digest with SHA-256, Digest with MD5, Basic.
fn strongest(challenges: &[Challenge]) -> Option<Scheme> {
    let digests = challenges.iter().filter_map(digest_prompt);
    let best = digests.max_by_key(|prompt| match prompt.algorithm.algo {
        AlgorithmType::MD5 => 0,
        AlgorithmType::SHA2_256 => 1,
        AlgorithmType::SHA2_512_256 => 2,
    });
    best.map(|prompt| Scheme::Digest(Box::new(prompt)))
        .or_else(|| challenges.iter().any(|c| c.scheme == "basic").then_some(Scheme::Basic))
}

fn digest_prompt(challenge: &Challenge) -> Option<WwwAuthenticateHeader> {
    if challenge.scheme != "digest" {
        return None;
    }
    let algorithm = match challenge.param("algorithm") {
        // Read without regard to case, which the library insists on.
        Some(name) => Algorithm::from_str(&name.to_ascii_uppercase().replace("-SESS", "-sess")).ok()?,
        None => Algorithm::new(AlgorithmType::MD5, false),
    };
    let qop = match challenge.param("qop") {
        // Only `auth` is spoken: `auth-int` protects a body that TLS protects better.
        Some(list) => Some(list.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")).then(|| vec![Qop::AUTH])?),
        None => None,
    };
    let is_true = |name| challenge.param(name).is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let utf8 = challenge.param("charset").is_some_and(|v| v.eq_ignore_ascii_case("utf-8"));
    Some(WwwAuthenticateHeader {
        domain: None,
        realm: challenge.param("realm")?.to_owned(),
        nonce: challenge.param("nonce")?.to_owned(),
        opaque: challenge.param("opaque").map(ToOwned::to_owned),
        stale: is_true("stale"),
        algorithm,
        qop,
        userhash: is_true("userhash"),
        charset: if utf8 { Charset::UTF8 } else { Charset::ASCII },
        nc: 0,
    })
}

/// Every challenge of an answer: several header lines, several in one line, unknown schemes, `token68` values.
fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut found = Vec::new();
    for line in headers.get_all(WWW_AUTHENTICATE) {
        // Realms in Latin-1 occur; what is not ASCII only matters inside a realm.
        let text: String = match std::str::from_utf8(line.as_bytes()) {
            Ok(text) => text.to_owned(),
            Err(_) => line.as_bytes().iter().copied().map(char::from).collect(),
        };
        read_line(&text, &mut found);
    }
    found
}

/// `1#challenge` of RFC 9110 11.6.1. Commas separate challenges and parameters alike; a piece that begins
/// with two words, or with one word and no `=`, opens a new challenge.
fn read_line(text: &str, found: &mut Vec<Challenge>) {
    for piece in pieces(text) {
        let piece = piece.trim();
        if piece.is_empty() {
            continue;
        }
        let (word, rest) = piece.split_once(char::is_whitespace).unwrap_or((piece, ""));
        let rest = rest.trim_start();
        let opens = !word.contains('=') && !rest.starts_with('=');
        let param = if opens {
            found.push(Challenge { scheme: word.to_ascii_lowercase(), params: Vec::new() });
            rest
        } else {
            piece
        };
        if let (Some(challenge), Some((name, value))) = (found.last_mut(), param.split_once('=')) {
            challenge.params.push((name.trim().to_ascii_lowercase(), unquoted(value.trim())));
        }
    }
}

/// Splits at commas outside quotes.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        if c == ',' && !quoted {
            pieces.push(String::new());
            continue;
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && quoted && !escaped;
        if let Some(last) = pieces.last_mut() {
            last.push(c);
        }
    }
    pieces
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (WWW_AUTHENTICATE, HeaderValue::from_str(line).unwrap())).collect()
    }

    fn kind(lines: &[&str]) -> Option<String> {
        strongest(&challenges(&headers(lines))).map(|scheme| match scheme {
            Scheme::Basic => "Basic".to_owned(),
            Scheme::Digest(prompt) => format!("Digest {} {}", prompt.algorithm, prompt.realm),
        })
    }

    fn authenticator() -> Authenticator {
        let login = Login { username: "ana".to_owned(), password: Zeroizing::new("geheim:1".to_owned()) };
        Authenticator::new(login, Arc::new(SeededEntropy::new(1)))
    }

    #[test]
    fn the_strongest_known_scheme_is_taken_whatever_stands_beside_it() {
        let table: &[(&[&str], Option<&str>)] = &[
            (&["Basic realm=\"x\""], Some("Basic")),
            (&["basic"], Some("Basic")),
            (&["X-MobileMe-AuthToken realm=\"MMCalDav\", Basic realm=\"MMCalDav\""], Some("Basic")),
            (&["Negotiate", "NTLM TlRMTVNTUAAC==", "Basic realm=\"a, b\", charset=\"UTF-8\""], Some("Basic")),
            (&["Negotiate YII=, Basic realm=x"], Some("Basic")),
            (
                &["Basic realm=\"x\", Digest realm=\"r, \\\"q\\\"\", nonce=\"n=1,2\", qop=\"auth,auth-int\""],
                Some("Digest MD5 r, \"q\""),
            ),
            (
                &[
                    "Digest realm=r, nonce=n, algorithm=md5, qop=auth",
                    "Digest realm=r, nonce=n, algorithm=SHA-256, qop=\"auth\"",
                ],
                Some("Digest SHA-256 r"),
            ),
            (&["Digest realm=r, nonce=n, algorithm=SHA-3, qop=auth", "Basic realm=r"], Some("Basic")),
            (&["Digest realm=r, nonce=n, qop=auth-int"], None),
            (&["Digest realm = \"r\" , nonce = \"n\""], Some("Digest MD5 r")),
            (&["Bearer realm=\"x\", error=\"invalid_token\""], None),
            (&[",,, ,"], None),
            (&["Basic realm=\"never closed, Digest"], Some("Basic")),
            (&[], None),
        ];
        for (lines, expect) in table {
            assert_eq!(kind(lines).as_deref(), *expect, "{lines:?}");
        }
    }

    #[test]
    fn a_refused_password_is_not_sent_twice() {
        let url: Url = "https://dav.example.org/x".parse().unwrap();
        let auth = authenticator();
        let sent = auth.authorization(&Method::GET, &url);
        assert_eq!(sent.as_ref().unwrap(), "Basic YW5hOmdlaGVpbTox");
        assert!(!auth.challenged(&url, &headers(&["Basic realm=x"]), sent.as_ref()));
        assert!(!auth.challenged(&url, &headers(&[]), sent.as_ref()));
        // A digest challenge to a Basic attempt is new: answer it once.
        let digest = headers(&["Digest realm=r, nonce=n, qop=auth"]);
        assert!(auth.challenged(&url, &digest, sent.as_ref()));
        let sent = auth.authorization(&Method::GET, &url);
        assert!(sent.as_ref().unwrap().to_str().unwrap().starts_with("Digest "));
        assert!(!auth.challenged(&url, &digest, sent.as_ref()));
        assert!(auth.challenged(&url, &headers(&["Digest realm=r, nonce=m, stale=TRUE, qop=auth"]), sent.as_ref()));
    }

    #[test]
    fn over_plain_http_nothing_is_sent_unasked() {
        let url: Url = "http://10.0.0.1/x".parse().unwrap();
        let auth = authenticator();
        assert_eq!(auth.authorization(&Method::GET, &url), None);
        assert!(auth.challenged(&url, &headers(&[]), None));
        assert!(auth.authorization(&Method::GET, &url).unwrap().is_sensitive());
    }

    #[test]
    fn a_token_without_a_name_is_a_bearers_and_is_sent_once() {
        let login = Login { username: String::new(), password: Zeroizing::new("t0ken".to_owned()) };
        let auth = Authenticator::new(login, Arc::new(SeededEntropy::new(1)));
        let url: Url = "https://dav.example.org/x".parse().unwrap();
        let sent = auth.authorization(&Method::GET, &url);
        assert_eq!(sent.as_ref().unwrap(), "Bearer t0ken");
        assert!(!auth.challenged(&url, &headers(&["Bearer error=\"invalid_token\", Basic realm=x"]), sent.as_ref()));
        let url: Url = "http://10.0.0.1/x".parse().unwrap();
        assert_eq!(auth.authorization(&Method::GET, &url), None);
        assert!(auth.challenged(&url, &headers(&["Bearer realm=x"]), None));
        assert_eq!(auth.authorization(&Method::GET, &url).unwrap(), "Bearer t0ken");
    }

    #[test]
    fn a_digest_counts_its_uses_and_covers_method_and_target() {
        let url: Url = "http://10.0.0.1/cal/?a=b".parse().unwrap();
        let auth = authenticator();
        assert!(auth.challenged(&url, &headers(&["Digest realm=r, nonce=n, qop=auth, algorithm=SHA-256"]), None));
        let method = Method::from_bytes(b"PROPFIND").unwrap();
        let first = auth.authorization(&method, &url).unwrap();
        let second = auth.authorization(&method, &url).unwrap();
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        assert!(text(&first).contains("nc=00000001") && text(&second).contains("nc=00000002"));
        assert!(text(&first).contains("uri=\"/cal/?a=b\"") && text(&first).contains("qop=auth"));
        assert!(!text(&first).contains("geheim") && !format!("{auth:?}").contains("geheim"));
    }

    proptest::proptest! {
        #[test]
        fn no_challenge_breaks_the_reader(text in r#"[ -~]{0,80}|([A-Za-z]{1,8} ?=? ?"?[,=a-z\\ ]{0,9}"?,? ?){0,6}"#) {
            let found = challenges(&headers(&[&text]));
            proptest::prop_assert!(found.len() <= text.len());
        }
    }
}
