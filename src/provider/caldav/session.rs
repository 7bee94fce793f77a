//! One account's conversation with its servers: credentials, redirects, at most two requests at a time.
//!
//! Invariant: credentials go only to origins on the trust list (the host that the person named, hosts of the
//! same domain over https, and hosts that an already trusted server named as the account's homes); a
//! redirect keeps method, headers and body, is checked again like a first request, and ends after five.
//! It does not judge answers: [`super::fault`] does.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use tokio::sync::Semaphore;
use url::{Host, Origin, Url};

use super::authenticate::{Authenticator, Login};
use crate::entropy::Entropy;
use crate::transport::{SendRules, Transport, TransportError};

/// A request before it has credentials.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Ask {
    pub(super) fn new(method: Method, url: &Url) -> Self {
        Self { method, url: url.clone(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A request of a method that `http` has no name for.
    pub(super) fn dav(method: &'static str, url: &Url) -> Self {
        // The names are constants of ours and are valid; GET would be refused as harmless.
        Self::new(Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET), url)
    }

    #[must_use]
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    #[must_use]
    pub(super) fn depth(self, depth: &str) -> Self {
        self.header(HeaderName::from_static("depth"), depth)
    }

    #[must_use]
    pub(super) fn xml(mut self, body: Bytes) -> Self {
        self.body = body;
        self.header(CONTENT_TYPE, "application/xml; charset=utf-8")
    }

    #[must_use]
    pub(super) fn calendar(mut self, body: Bytes) -> Self {
        self.body = body;
        self.header(CONTENT_TYPE, "text/calendar; charset=utf-8")
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// Where it came from, after redirects.
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The conversation.
#[derive(Debug)]
pub(super) struct Session {
    transport: Arc<dyn Transport>,
    authenticator: Authenticator,
    trust: Mutex<Trust>,
    budget: Semaphore,
}

#[derive(Debug, Default)]
struct Trust {
    domains: HashSet<String>,
    origins: HashSet<Origin>,
}

impl Session {
    pub(super) fn new(transport: Arc<dyn Transport>, login: Login, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            transport,
            authenticator: Authenticator::new(login, entropy),
            trust: Mutex::default(),
            budget: Semaphore::new(AT_ONCE),
        }
    }

    /// From now on no two requests at once.
    pub(super) fn one_at_a_time(&mut self) {
        self.budget = Semaphore::new(1);
    }

    pub(super) fn transport(&self) -> &dyn Transport {
        self.transport.as_ref()
    }

    /// Lets credentials go to this origin, and over https to its neighbours in the same domain.
    pub(super) fn trust_neighbourhood(&self, url: &Url) {
        let mut trust = self.trust.lock().unwrap_or_else(PoisonError::into_inner);
        trust.origins.insert(url.origin());
        if let Some(Host::Domain(host)) = url.host() {
            trust.domains.insert(host.to_owned());
            trust.domains.extend(parent_domain(host).map(ToOwned::to_owned));
        }
    }

    /// Lets credentials go to this origin, which a trusted server has named.
    pub(super) fn trust(&self, url: &Url) {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner).origins.insert(url.origin());
    }

    /// Whether credentials may go there.
    pub(super) fn trusts(&self, url: &Url) -> bool {
        let trust = self.trust.lock().unwrap_or_else(PoisonError::into_inner);
        let of_domain = |host: &str| {
            trust
                .domains
                .iter()
                .any(|d| host.strip_suffix(d.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
        };
        trust.origins.contains(&url.origin())
            || (url.scheme() == "https" && matches!(url.host(), Some(Host::Domain(host)) if of_domain(host)))
    }

    /// Sends Basic to this origin unasked from now on, for servers that answer the unnamed. Whether that is new.
    pub(super) fn insist(&self, url: &Url) -> bool {
        self.trusts(url) && self.authenticator.insist(url)
    }

    /// The answer to `ask`, redirects followed and challenges answered.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Reply, TransportError> {
        // Closed never: the semaphore lives as long as the session.
        let _permit = self.budget.acquire().await.ok();
        let mut url = ask.url.clone();
        let mut seen = HashSet::from([url.clone()]);
        loop {
            let reply = self.ask_signed(&ask, &url).await?;
            match redirect(&reply) {
                Some(next) if seen.len() <= REDIRECTS && seen.insert(next.clone()) => url = next,
                _ => return Ok(reply),
            }
        }
    }

    async fn ask_signed(&self, ask: &Ask, url: &Url) -> Result<Reply, TransportError> {
        let mut tries = 0;
        loop {
            let trusted = self.trusts(url);
            let sent = trusted.then(|| self.authenticator.authorization(&ask.method, url)).flatten();
            let reply = self.ask_once(ask, url, sent.clone()).await?;
            tries += 1;
            let again = reply.status == StatusCode::UNAUTHORIZED
                && trusted
                && tries < 3
                && self.authenticator.challenged(url, &reply.headers, sent.as_ref());
            if !again {
                return Ok(reply);
            }
        }
    }

    async fn ask_once(&self, ask: &Ask, url: &Url, sent: Option<HeaderValue>) -> Result<Reply, TransportError> {
        let mut request = Request::new(ask.body.clone());
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = url.as_str().parse().map_err(|_| TransportError::Invalid("the URL is not valid"))?;
        *request.headers_mut() = ask.headers.clone();
        if let Some(value) = sent {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let answer = self.transport.send(request, &SendRules::default()).await?;
        let (parts, body) = answer.into_parts();
        Ok(Reply { url: url.clone(), status: parts.status, headers: parts.headers, body })
    }
}

/// Where a redirect leads. 303 is none: it says that the answer is something else than what was asked for.
fn redirect(reply: &Reply) -> Option<Url> {
    if !matches!(reply.status.as_u16(), 301 | 302 | 307 | 308) {
        return None;
    }
    let mut next = reply.url.join(reply.headers.get(LOCATION)?.to_str().ok()?).ok()?;
    next.set_fragment(None);
    let clean = matches!(next.scheme(), "http" | "https") && next.username().is_empty() && next.password().is_none();
    clean.then_some(next)
}

/// `example.org` of `dav.example.org`, as far as that is one owner's domain: not a bare suffix like `co.uk`.
fn parent_domain(host: &str) -> Option<&str> {
    let (_, parent) = host.split_once('.')?;
    let (label, suffix) = parent.split_once('.')?;
    let is_public_suffix = label.len() <= 3 && !suffix.contains('.') && suffix.len() == 2;
    (!label.is_empty() && !is_public_suffix).then_some(parent)
}

const AT_ONCE: usize = 2;
const REDIRECTS: usize = 5;

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::entropy::SeededEntropy;
    use crate::transport::fake::{FakeTransport, answer};

    fn session(fake: &FakeTransport, given: &str) -> Session {
        let login = Login { username: "ana".to_owned(), password: Zeroizing::new("geheim".to_owned()) };
        let session = Session::new(Arc::new(fake.clone()), login, Arc::new(SeededEntropy::new(1)));
        session.trust_neighbourhood(&given.parse().unwrap());
        session
    }

    fn propfind(url: &str) -> Ask {
        Ask::dav("PROPFIND", &url.parse().unwrap()).depth("0").xml(Bytes::from_static(b"<x/>"))
    }

    #[tokio::test]
    async fn a_redirect_keeps_method_headers_and_body() {
        for status in [301, 302, 307, 308] {
            let fake = FakeTransport::script([answer(status, &[("location", "/dav/")], ""), answer(207, &[], "ok")]);
            let reply = session(&fake, "https://example.org")
                .ask(propfind("https://example.org/.well-known/caldav"))
                .await
                .unwrap();
            assert_eq!((reply.status.as_u16(), reply.url.as_str()), (207, "https://example.org/dav/"));
            let requests = fake.requests();
            assert_eq!(requests[1].method(), "PROPFIND");
            assert_eq!(requests[1].body(), requests[0].body());
            assert_eq!(requests[1].headers()["depth"], "0");
            assert!(requests[1].headers().contains_key(AUTHORIZATION));
        }
    }

    #[tokio::test]
    async fn a_stranger_is_asked_without_credentials() {
        for (to, trusted) in [
            ("https://dav.example.org/", true),
            ("https://evil.org/", false),
            ("https://notexample.org/", false),
            ("http://example.org/", false),
        ] {
            let fake = FakeTransport::script([
                answer(302, &[("location", to)], ""),
                answer(401, &[("www-authenticate", "Basic")], ""),
            ]);
            let reply = session(&fake, "https://caldav.example.org")
                .ask(propfind("https://caldav.example.org/"))
                .await
                .unwrap();
            assert_eq!(reply.status, 401);
            let requests = fake.requests();
            assert_eq!(requests.len(), 2, "{to}");
            assert_eq!(requests[1].headers().contains_key(AUTHORIZATION), trusted, "{to}");
        }
    }

    #[tokio::test]
    async fn a_loop_of_redirects_ends() {
        let fake = FakeTransport::serving(|request| {
            let next = format!("{}x", request.uri().path());
            answer(302, &[("location", &next)], "")
        });
        let reply = session(&fake, "https://example.org").ask(propfind("https://example.org/")).await.unwrap();
        assert_eq!(reply.status, 302);
        assert_eq!(fake.requests().len(), 6);
        let fake = FakeTransport::serving(|_| answer(302, &[("location", "/")], ""));
        session(&fake, "https://example.org").ask(propfind("https://example.org/")).await.unwrap();
        assert_eq!(fake.requests().len(), 1);
    }

    #[tokio::test]
    async fn one_refusal_ends_it() {
        let fake = FakeTransport::serving(|_| {
            answer(401, &[("www-authenticate", "X-Token realm=\"a\", Basic realm=\"a\"")], "")
        });
        let reply = session(&fake, "https://example.org").ask(propfind("https://example.org/")).await.unwrap();
        assert_eq!(reply.status, 401);
        assert_eq!(fake.requests().len(), 1);
    }

    #[tokio::test]
    async fn over_http_the_password_waits_for_the_challenge() {
        let fake = FakeTransport::serving(|request| match request.headers().get(AUTHORIZATION) {
            None => answer(401, &[], ""),
            Some(_) => answer(207, &[], ""),
        });
        let reply = session(&fake, "http://10.0.0.1:5232").ask(propfind("http://10.0.0.1:5232/")).await.unwrap();
        assert_eq!(reply.status, 207);
        assert_eq!(fake.requests().len(), 2);
    }

    #[test]
    fn the_parent_domain_is_one_owners() {
        let table = [
            ("caldav.icloud.com", Some("icloud.com")),
            ("dav.example.co.uk", Some("example.co.uk")),
            ("example.co.uk", None),
            ("example.org", None),
            ("localhost", None),
            ("mail.gmx.net", Some("gmx.net")),
        ];
        for (host, parent) in table {
            assert_eq!(parent_domain(host), parent, "{host}");
        }
    }
}
