//! One request from its head to its answer, whatever connection it came by (tests call [`Router::answer`] directly).
//!
//! The order is the promise: what is malformed is refused before anybody is asked who they are, nobody is asked for
//! what needs no name, no body is read for nobody, and a body is bounded before it is read. One line of log a request,
//! without bodies, addresses or tokens. A defect in one request is a 500 and ends nothing else.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Collected, Full};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;
use tracing::field::Empty;

use super::authenticate::{SignIn, session, sign_in};
use super::config::Config;
use super::limit::{Tracked, drain, read_body, within};
use super::peer::{Origin, Peer};
use super::respond::{OVERHEARD, Problem, failed, harden, plain};
use super::route::Route;
use crate::account::oauth::OAuthService;
use crate::api::{self, Api};
use crate::caldav;
use crate::caldav::Visitor;
use crate::caldav::body::{Body, streamed, whole};
use crate::clock::Clock;
use crate::entropy::{self, Entropy};
use crate::feed::{self, Feeds, Payload};
use crate::identity::{Users, Via, Who};
use crate::oauth;
use crate::web;
use crate::webhook;

/// What the router hands requests to.
#[derive(Debug)]
pub struct Parties {
    /// The DAV tree.
    pub caldav: caldav::Service,
    /// The pages.
    pub web: web::Pages,
    /// JSON.
    pub api: Api,
    /// What those read who have no login.
    pub feeds: Feeds,
    /// Connecting accounts in a browser.
    pub oauth: Option<oauth::Service>,
    /// Notifications from providers.
    pub webhook: Option<webhook::Service>,
    /// Who may sign in.
    pub users: Arc<Users>,
    /// Whether the parts behind can work.
    pub readiness: Arc<dyn Readiness>,
    /// Where the figures are, if they are kept.
    pub metrics: Option<Figures>,
}

/// Says whether the gateway can do its work now, for `/readyz`.
#[async_trait::async_trait]
pub trait Readiness: std::fmt::Debug + Send + Sync {
    /// `Err` says what is wrong, without secrets.
    async fn check(&self) -> Result<(), String>;
}

/// Always ready: for tests, and until there is something to ask.
#[derive(Clone, Copy, Debug)]
pub struct AlwaysReady;

#[async_trait::async_trait]
impl Readiness for AlwaysReady {
    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The figures of the process, rendered for Prometheus.
#[derive(Clone)]
pub struct Figures(pub PrometheusHandle);

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Figures(..)")
    }
}

/// Answers requests.
#[derive(Debug)]
pub struct Router {
    parties: Parties,
    config: Config,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    places: Semaphore,
}

impl Router {
    /// A router with the limits of `config`.
    pub fn new(parties: Parties, config: Config, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let places = Semaphore::new(config.max_requests);
        Self { parties, config, clock, entropy, places }
    }

    /// Answers one request.
    pub async fn answer<B>(&self, peer: Peer, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let begun = self.clock.monotonic();
        let id = entropy::token(&*self.entropy, 10);
        let (parts, body) = request.into_parts();
        let route = Route::of(&parts.method, &parts.uri);
        let https = peer.origin(&parts.headers, &self.config.trusted_proxies).https;
        let label = route.as_ref().map_or("refused", Route::label);
        let span = tracing::info_span!("request", request.id = %id, user = Empty);
        let mut body = Tracked::new(body);
        let work = tracing::Instrument::instrument(self.guarded(peer, &parts, &mut body, route), span.clone());
        let mut response = work.await;
        harden(response.headers_mut(), &id, https);
        set_connection(&parts, response.headers_mut(), body.ended());
        let took = self.clock.monotonic().saturating_sub(begun);
        span.in_scope(|| log(&parts.method, label, response.status(), took));
        response
    }

    /// The answer in any case: in time, and if a part of ours panics.
    async fn guarded<B>(
        &self,
        peer: Peer,
        parts: &Parts,
        body: B,
        route: Result<Route, caldav::path::BadPath>,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let Ok(_place) = self.places.try_acquire() else { return failed(Problem::Overload, None) };
        let Ok(route) = route else { return failed(Problem::Request("The path can't be read."), None) };
        let allow = route.allow();
        let work = AssertUnwindSafe(self.dispatch(peer, parts, body, route)).catch_unwind();
        let done = match within(&*self.clock, self.config.request_timeout, work).await {
            None => Err(Problem::TimedOut),
            Some(Err(_panic)) => Err(Problem::Defect),
            Some(Ok(done)) => done,
        };
        done.unwrap_or_else(|problem| failed(problem, allow))
    }

    async fn dispatch<B>(&self, peer: Peer, parts: &Parts, body: B, route: Route) -> Result<Response<Body>, Problem>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        self.check_head(parts)?;
        let origin = peer.origin(&parts.headers, &self.config.trusted_proxies);
        if let Some(allow) = route.allow().filter(|_| !route.takes(&parts.method)) {
            drain(&parts.headers, body, &*self.clock).await;
            return Err(Problem::Method(allow));
        }
        match route {
            Route::WellKnown => {
                drain(&parts.headers, body, &*self.clock).await;
                Ok(to_dav_root())
            }
            Route::Dav(_) if parts.method == Method::OPTIONS => {
                drain(&parts.headers, body, &*self.clock).await;
                Ok(options(route.allow().unwrap_or_default()))
            }
            Route::Dav(path) => Box::pin(self.dav(origin, parts, body, path)).await,
            Route::Compliance => Ok(caldav::compliance::page()),
            Route::Health => Ok(plain(StatusCode::OK, "alive")),
            Route::Ready => Ok(match self.parties.readiness.check().await {
                Ok(()) => plain(StatusCode::OK, "ready"),
                Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, why),
            }),
            Route::Metrics => self.figures(),
            Route::Api(path) => Box::pin(self.api(origin, parts, body, &path)).await,
            Route::Feed(token, format) => {
                drain(&parts.headers, body, &*self.clock).await;
                Ok(Box::pin(self.feed(origin, parts, &token, format)).await)
            }
            Route::Front => Box::pin(self.page(origin, parts, body, &[])).await,
            Route::Page(path) => Box::pin(self.page(origin, parts, body, &path)).await,
            Route::OAuthStart(service) => self.oauth_start(origin, parts, body, service).await,
            Route::OAuthCallback(service) => {
                drain(&parts.headers, body, &*self.clock).await;
                Box::pin(self.oauth_callback(origin, parts, service)).await
            }
            Route::GoogleHook => {
                drain(&parts.headers, body, &*self.clock).await;
                let webhook = self.parties.webhook.as_ref().ok_or(Problem::NotFound)?;
                Ok(webhook.google(&parts.headers).await.map(whole))
            }
            Route::MicrosoftHook => Box::pin(self.microsoft_hook(parts, body)).await,
            Route::Nowhere => {
                drain(&parts.headers, body, &*self.clock).await;
                Err(Problem::NotFound)
            }
        }
    }

    /// What hyper lets pass and we do not.
    fn check_head(&self, parts: &Parts) -> Result<(), Problem> {
        let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if target > self.config.max_uri {
            return Err(Problem::TargetTooLong);
        }
        let octets: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if octets > self.config.max_header_bytes || parts.headers.len() > self.config.max_headers {
            return Err(Problem::HeaderTooLarge);
        }
        check_host(parts)?;
        let mut expected = parts.headers.get_all(header::EXPECT).iter();
        if !expected.all(|word| word.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            return Err(Problem::Expectation);
        }
        let mut codings = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
        let odd = codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if odd { Err(Problem::Request("This transfer coding is not supported.")) } else { Ok(()) }
    }

    async fn dav<B>(
        &self,
        origin: Origin,
        parts: &Parts,
        body: B,
        path: Option<caldav::Path>,
    ) -> Result<Response<Body>, Problem>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let plain_is_fine = self.config.allow_plain_passwords;
        let who = match sign_in(&self.parties.users, &parts.headers, &origin, plain_is_fine).await {
            Ok(who) => who,
            Err(why) => {
                drain(&parts.headers, body, &*self.clock).await;
                return Err(why.into());
            }
        };
        tracing::Span::current().record("user", who.user.as_str());
        let max = self.max_body(&parts.method);
        let body = read_body(&parts.headers, body, max, self.config.body_idle_timeout, &*self.clock).await?;
        let path = path.ok_or_else(|| nowhere(&parts.method))?;
        let request = caldav::Request {
            method: &parts.method,
            path,
            headers: &parts.headers,
            body,
            visitor: visitor(who),
            authority: authority(parts),
        };
        Ok(self.parties.caldav.answer(request).await?)
    }

    fn max_body(&self, method: &Method) -> usize {
        match method.as_str() {
            "PUT" | "POST" => self.config.max_request_body,
            _ => self.config.max_xml_body,
        }
    }

    async fn page<B>(&self, origin: Origin, parts: &Parts, body: B, path: &[String]) -> Result<Response<Body>, Problem>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let plain_is_fine = self.config.allow_plain_passwords;
        let is_secret = !matches!(path.first().map(String::as_str), None | Some("assets" | "help"));
        if is_secret && !origin.private && !plain_is_fine {
            return Err(Problem::SignIn(super::authenticate::SignIn::Overheard));
        }
        let who = match session(&self.parties.users, &parts.headers, &origin, plain_is_fine).await {
            Err(super::authenticate::SignIn::Store) => return Err(super::authenticate::SignIn::Store.into()),
            known => known.ok(),
        };
        if let Some(who) = &who {
            tracing::Span::current().record("user", who.user.as_str());
        }
        let (max, idle) = (self.config.max_form_body, self.config.body_idle_timeout);
        let body = read_body(&parts.headers, body, max, idle, &*self.clock).await?;
        let request = web::Request {
            method: &parts.method,
            path,
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            body,
            address: origin.address,
            https: origin.https,
            who,
        };
        Ok(self.parties.web.answer(&request, self).await.map(whole))
    }

    async fn api<B>(&self, origin: Origin, parts: &Parts, body: B, path: &[String]) -> Result<Response<Body>, Problem>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let api = &self.parties.api;
        let needs_no_name = parts.method == Method::OPTIONS || *path == ["openapi.json"];
        if needs_no_name {
            drain(&parts.headers, body, &*self.clock).await;
            let described = parts.method != Method::OPTIONS;
            return Ok(sent(if described { Api::description() } else { api.preflight(&parts.headers) }));
        }
        let who = match self.who(&origin, parts).await {
            Ok(who) => who,
            Err(why) => {
                drain(&parts.headers, body, &*self.clock).await;
                return Ok(sent(api.refusal(&parts.headers, why)));
            }
        };
        tracing::Span::current().record("user", who.user.as_str());
        let (max, idle) = (self.config.max_request_body, self.config.body_idle_timeout);
        let body = read_body(&parts.headers, body, max, idle, &*self.clock).await?;
        let request = api::Request {
            method: &parts.method,
            path,
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            body,
            who,
        };
        Ok(sent(api.answer(&request).await))
    }

    /// Whose request it is.
    async fn who(&self, origin: &Origin, parts: &Parts) -> Result<Who, api::Problem> {
        let signed_in = self.signed_in(origin, parts).await;
        signed_in.map_err(|why| api_refusal(&why, &parts.headers))
    }

    /// Who asks, by a password or by the session of a browser. A session counts for what its own pages ask alone.
    async fn signed_in(&self, origin: &Origin, parts: &Parts) -> Result<Who, SignIn> {
        let (users, plain_is_fine) = (&self.parties.users, self.config.allow_plain_passwords);
        if !parts.headers.contains_key(header::AUTHORIZATION)
            && is_from_own_page(parts)
            && let Ok(who) = session(users, &parts.headers, origin, plain_is_fine).await
        {
            return Ok(who);
        }
        sign_in(users, &parts.headers, origin, plain_is_fine).await
    }

    async fn feed(&self, origin: Origin, parts: &Parts, token: &str, format: feed::Format) -> Response<Body> {
        let request = feed::Request {
            method: &parts.method,
            token,
            format,
            headers: &parts.headers,
            query: parts.uri.query().unwrap_or_default(),
            peer: origin.address,
        };
        self.parties.feeds.answer(&request).await.map(|payload| match payload {
            Payload::Whole(octets) => whole(octets),
            Payload::Pieces(pieces) => streamed(futures_util::stream::iter(pieces.map(Ok))),
        })
    }

    /// Whoever is signed in begins to connect an account.
    async fn oauth_start<B>(
        &self,
        origin: Origin,
        parts: &Parts,
        body: B,
        service: OAuthService,
    ) -> Result<Response<Body>, Problem>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        drain(&parts.headers, body, &*self.clock).await;
        // A page of another site can send the browser here, and its cookie comes along.
        if !web::is_from_here(&parts.headers) {
            return Err(
                caldav::Failure::Forbidden("Another site sent you here; begin on the page of your accounts.").into()
            );
        }
        let who = self.signed_in(&origin, parts).await?;
        // A device's password must not bring an account of somebody else's in.
        if matches!(who.via, Via::AppPassword(..)) {
            return Err(Problem::SignIn(SignIn::Needed));
        }
        let oauth = self.parties.oauth.as_ref().ok_or(Problem::NotFound)?;
        Ok(oauth.start(&who.user, service).await.map(whole))
    }

    async fn oauth_callback(
        &self,
        origin: Origin,
        parts: &Parts,
        service: OAuthService,
    ) -> Result<Response<Body>, Problem> {
        let oauth = self.parties.oauth.as_ref().ok_or(Problem::NotFound)?;
        let plain_is_fine = self.config.allow_plain_passwords;
        let present = session(&self.parties.users, &parts.headers, &origin, plain_is_fine).await.ok();
        let (query, present) = (parts.uri.query().unwrap_or_default(), present.map(|who| who.user));
        Ok(oauth.callback(service, query, &parts.headers, present.as_ref()).await.map(whole))
    }

    async fn microsoft_hook<B>(&self, parts: &Parts, body: B) -> Result<Response<Body>, Problem>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let Some(webhook) = &self.parties.webhook else {
            drain(&parts.headers, body, &*self.clock).await;
            return Err(Problem::NotFound);
        };
        if let Some(echo) = webhook::handshake(parts.uri.query().unwrap_or_default()) {
            drain(&parts.headers, body, &*self.clock).await;
            return Ok(echo.map(whole));
        }
        let idle = self.config.body_idle_timeout;
        let body = read_body(&parts.headers, body, webhook::LARGEST, idle, &*self.clock).await?;
        Ok(webhook.microsoft(&body).await.map(whole))
    }

    fn figures(&self) -> Result<Response<Body>, Problem> {
        let Figures(handle) = self.parties.metrics.as_ref().ok_or(Problem::NotFound)?;
        let mut response = Response::new(whole(handle.render()));
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(PROMETHEUS));
        Ok(response)
    }
}

/// What a request is told for a place where nothing can stand: to make something there, a collection that can't be is
/// missing (RFC 4918 9.3.1, 9.7.1).
fn nowhere(method: &Method) -> Problem {
    match method.as_str() {
        "PUT" | "MKCOL" | "MKCALENDAR" => caldav::Failure::Conflict("There is no collection to put it in.").into(),
        _ => Problem::NotFound,
    }
}

/// Whether a page of another site can have made the browser send this: such a request carries the cookie too. Reading is
/// harmless, since that site does not get to see the answer.
fn is_from_own_page(parts: &Parts) -> bool {
    if parts.method.is_safe() {
        return true;
    }
    let site = parts.headers.get("sec-fetch-site").map(header::HeaderValue::as_bytes);
    let from = parts.headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let host = authority(parts);
    let same = from.and_then(|from| from.split_once("://")).map(|(_, from)| from.to_ascii_lowercase()) == host;
    matches!(site, None | Some(b"same-origin")) && from.is_some() && same
}

fn sent(response: Response<api::Payload>) -> Response<Body> {
    response.map(|payload| match payload {
        api::Payload::Whole(octets) => whole(octets),
        api::Payload::Stream(pieces) => streamed(pieces.map(Ok)),
    })
}

/// Why nobody is signed in, as the API says it.
fn api_refusal(why: &SignIn, headers: &HeaderMap) -> api::Problem {
    match why {
        // A page's own script shows a form; a browser's question for a password would stand in its way.
        SignIn::Needed => api::Problem::unauthorized(!headers.contains_key("sec-fetch-site")),
        SignIn::Overheard => api::Problem::new(StatusCode::FORBIDDEN, OVERHEARD),
        SignIn::Throttled(wait) => {
            api::Problem::later(StatusCode::TOO_MANY_REQUESTS, *wait, "Too many failed sign-ins; please wait.")
        }
        SignIn::Busy | SignIn::Store => {
            let wait = Duration::from_secs(5);
            api::Problem::later(StatusCode::SERVICE_UNAVAILABLE, wait, "Please try again in a moment.")
        }
    }
}

/// The self-test of the pages asks as any client does, from this machine.
#[async_trait::async_trait]
impl web::Inside for Router {
    async fn ask(&self, asked: web::Asked) -> web::Told {
        let web::Asked { mut head, body } = asked;
        head.version = Version::HTTP_11;
        let request = Request::from_parts(head, Full::new(body));
        let peer = Peer { address: SocketAddr::from(([127, 0, 0, 1], 0)), tls: true };
        // Boxed: an answer may ask again, and a future can't hold itself.
        let response = Box::pin(self.answer(peer, request)).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
        web::Told { status: head.status, headers: head.headers, body }
    }
}

/// One Host field (RFC 9112 3.2), whatever it names: the gateway may be reached by many names.
fn check_host(parts: &Parts) -> Result<(), Problem> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(Problem::Request("There is more than one Host field.")),
        (Some(host), None) => {
            let fine = host.to_str().is_ok_and(|host| host.parse::<http::uri::Authority>().is_ok());
            if fine { Ok(()) } else { Err(Problem::Request("The Host field can't be read.")) }
        }
        (None, None) if parts.version == Version::HTTP_11 && parts.uri.authority().is_none() => {
            Err(Problem::Request("The Host field is missing."))
        }
        (None, None) => Ok(()),
    }
}

/// The name by which the client reached us: what an absolute Destination must name.
fn authority(parts: &Parts) -> Option<String> {
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str)).map(str::to_ascii_lowercase)
}

/// HTTP/1: what is left of a body can't be told from a next request, so there is none. HTTP/2 has no such field.
fn set_connection(parts: &Parts, headers: &mut HeaderMap, read_whole: bool) {
    if parts.version >= Version::HTTP_2 {
        headers.remove(header::CONNECTION);
    } else if !read_whole {
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
}

fn visitor(who: Who) -> Visitor {
    let scope = who.scope().clone();
    let device = match who.via {
        Via::Password | Via::Session(_) => None,
        Via::AppPassword(id, _) => Some(id.to_string()),
    };
    Visitor { user: who.user, device, scope }
}

/// Permanent, and kept by clients; the method and body go along on a 308, which old clients don't know, so 301.
fn to_dav_root() -> Response<Body> {
    let mut response = plain(StatusCode::MOVED_PERMANENTLY, "CalDAV is at /dav/");
    response.headers_mut().insert(header::LOCATION, header::HeaderValue::from_static("/dav/"));
    response
}

/// What Thunderbird and Evolution ask before they sign in. It tells of kinds of resources, not of resources.
fn options(allow: &'static str) -> Response<Body> {
    let mut response = Response::new(caldav::body::empty());
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::ALLOW, header::HeaderValue::from_static(allow));
    headers.insert("dav", header::HeaderValue::from_static(caldav::COMPLIANCE));
    response
}

fn log(method: &Method, route: &'static str, status: StatusCode, took: Duration) {
    let method = known(method);
    metrics::counter!("lineartime_http_requests_total", "method" => method, "route" => route, "status" => status.as_str().to_owned())
        .increment(1);
    metrics::histogram!("lineartime_http_request_seconds", "method" => method, "route" => route)
        .record(took.as_secs_f64());
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if status.is_server_error() {
        tracing::warn!(method, route, status = status.as_u16(), duration_ms, "answered");
    } else {
        tracing::info!(method, route, status = status.as_u16(), duration_ms, "answered");
    }
}

/// The method as a word of ours: a stranger must not make new figures or write into the log.
fn known(method: &Method) -> &'static str {
    METHODS.iter().find(|known| **known == method.as_str()).unwrap_or(&"other")
}

const METHODS: [&str; 16] = [
    "OPTIONS",
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "COPY",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "REPORT",
    "ACL",
    "MKCALENDAR",
    "MKCOL",
    "LOCK",
];
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
