//! The DAV tree as clients see it: requests through the router, in process, no socket.
//!
//! Each client's sequence is the one recorded in the design's `clients.md` section 6; the tables of bad input name
//! status and precondition exactly.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use jiff::Timestamp;
use lineartime::account::{Accounts, Means};
use lineartime::api::{self, Api};
use lineartime::caldav::{NoVerdicts, Service, Settings, Verdict, Verdicts};
use lineartime::calendar::plain::Plain;
use lineartime::calendar::{Calendars, Limits, Mirror, NewSourceCollection, Pending, SourceRef};
use lineartime::clock::{Clock, ManualClock};
use lineartime::entropy::{Entropy, SeededEntropy};
use lineartime::feed::Feeds;
use lineartime::ical::ComponentKind;
use lineartime::id::UserId;
use lineartime::identity::{self, Users};
use lineartime::jobs::{Policy, Queue};
use lineartime::push::{self as pushing, Pushes};
use lineartime::server::{AlwaysReady, Config, Parties, Peer, Router};
use lineartime::store::Store;
use lineartime::store::memory::MemoryStore;
use lineartime::subscription::Subscriptions;
use lineartime::sync;
use lineartime::transport::fake::{FakeTransport, answer};
use lineartime::vault::{KeyRing, MasterKey, Secret};
use lineartime::web::{Desk, House, Pages};
use lineartime::webhook;
use tokio_util::sync::CancellationToken;

mod bad_input;
mod clients;
mod edge;
mod plain;
mod protocol;
mod push;
mod schedule;

/// A server with one user, `ana`, and everything in memory.
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) users: Arc<Users>,
    pub(crate) calendars: Arc<Calendars>,
    pub(crate) subscriptions: Arc<Subscriptions>,
    pub(crate) clock: ManualClock,
    pub(crate) pushes: Arc<Pushes>,
    /// Everything that was sent outwards.
    pub(crate) outside: FakeTransport,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default(), Settings::default(), Arc::new(NoVerdicts)).await
    }

    pub(crate) async fn with(config: Config, settings: Settings, verdicts: Arc<dyn Verdicts>) -> Self {
        let clock = ManualClock::new("2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap());
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(7));
        let queue = Arc::new(Queue::new(store.clone(), shared.clone(), entropy.clone(), Policy::default()));
        let users = Arc::new(Users::new(store.clone(), shared.clone(), entropy.clone(), identity::Config::default()));
        let ana = UserId::parse("ana").unwrap();
        users.add(&ana, &Secret::new(b"correct horse".as_slice()), true).await.unwrap();
        let plain = Arc::new(Plain::new(store.clone(), shared.clone()));
        let feed_store = store.clone();
        let calendars =
            Arc::new(Calendars::new(store.clone(), queue.clone(), shared.clone(), entropy.clone(), Limits::default()));
        let subscriptions = Arc::new(Subscriptions::new(feed_store.clone(), shared.clone(), entropy.clone()));
        let keys = Arc::new(KeyRing::load(&MasterKey::generate(entropy.as_ref())));
        let means =
            Means { transport: Arc::new(FakeTransport::script([])), clock: shared.clone(), entropy: entropy.clone() };
        let accounts = Arc::new(Accounts::new(feed_store.clone(), keys.clone(), calendars.clone(), means));
        let engine = sync::Parts {
            store: feed_store,
            calendars: calendars.clone(),
            accounts: accounts.clone(),
            providers: accounts.clone(),
            queue: queue.clone(),
            clock: shared.clone(),
            entropy: entropy.clone(),
        };
        let engine = Arc::new(sync::Engine::new(engine, sync::Config::default()));
        let webhook = webhook::Service::new(engine.clone());
        let desk = Desk {
            calendars: calendars.clone(),
            accounts: accounts.clone(),
            sync: engine.clone(),
            queue: queue.clone(),
            subscriptions: subscriptions.clone(),
            clock: shared.clone(),
            entropy: entropy.clone(),
            house: Arc::new(Nobody),
            settings: lineartime::web::Settings {
                public_url: "http://127.0.0.1:8008".to_owned(),
                google: false,
                microsoft: false,
                write_through: Duration::ZERO,
                limits: Vec::new(),
            },
        };
        let parts = api::Parts {
            calendars: calendars.clone(),
            accounts,
            sync: engine,
            queue: queue.clone(),
            users: users.clone(),
            subscriptions: subscriptions.clone(),
            clock: shared.clone(),
            entropy: entropy.clone(),
        };
        let api_settings = api::Settings {
            write_through: Duration::ZERO,
            public_url: "https://cal.example.org".to_owned(),
            origins: vec!["https://page.example.org".to_owned()],
        };
        let api = Api::new(parts, api_settings, CancellationToken::new());
        let outside = FakeTransport::serving(|_| answer(201, &[], ""));
        let push_parts = pushing::Parts {
            store: store.clone(),
            calendars: calendars.clone(),
            transport: Arc::new(outside.clone()),
            clock: shared.clone(),
            entropy: entropy.clone(),
        };
        let pushes = Arc::new(Pushes::open(push_parts, keys.clone(), "https://cal.example".to_owned()).await.unwrap());
        let parties = Parties {
            oauth: None,
            webhook: Some(webhook),
            caldav: Service::new(calendars.clone(), verdicts, shared.clone(), settings)
                .with_users(users.clone())
                .with_push(pushes.clone())
                .with_plain(plain),
            api,
            feeds: Feeds::new(calendars.clone(), subscriptions.clone(), shared.clone()),
            web: Pages::new(users.clone(), entropy.clone()).with_desk(desk),
            users: users.clone(),
            readiness: Arc::new(AlwaysReady),
            metrics: None,
        };
        Self {
            router: Router::new(parties, config, shared, entropy),
            users,
            calendars,
            subscriptions,
            clock,
            pushes,
            outside,
        }
    }

    /// A request as ana.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = vec![("authorization", ANA)];
        all.extend_from_slice(headers);
        self.raw(method, path, &all, body).await
    }

    /// Another user, with the same password.
    pub(crate) async fn add(&self, name: &str) {
        let name = UserId::parse(name).unwrap();
        self.users.add(&name, &Secret::new(b"correct horse".as_slice()), false).await.unwrap();
    }

    /// A request as bob.
    pub(crate) async fn ask_as_bob(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = vec![("authorization", BOB)];
        all.extend_from_slice(headers);
        self.raw(method, path, &all, body).await
    }

    /// A request exactly so, from the same machine.
    pub(crate) async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.from("127.0.0.1:40000", method, path, headers, body).await
    }

    /// A request from some address, over plain HTTP.
    #[expect(clippy::too_many_arguments, reason = "a request in one line reads best in a test")]
    pub(crate) async fn from(
        &self,
        address: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let (status, headers, body) = self.octets_from(address, method, path, headers, body).await;
        Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// The same for answers that are no text.
    pub(crate) async fn octets(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (StatusCode, HeaderMap, Bytes) {
        self.octets_from("127.0.0.1:40000", method, path, headers, "").await
    }

    #[expect(clippy::too_many_arguments, reason = "a request in one line reads best in a test")]
    async fn octets_from(
        &self,
        address: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (StatusCode, HeaderMap, Bytes) {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "cal.example.org");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let peer = Peer { address: address.parse().unwrap(), tls: false };
        let response = Box::pin(self.router.answer(peer, request)).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, body)
    }

    /// A remote calendar of ana's.
    pub(crate) async fn attach(&self, source: &str, mirror: Mirror) {
        let source = SourceRef { account: "a-test".parse().unwrap(), source: source.parse().unwrap() };
        let new = NewSourceCollection {
            user: UserId::parse("ana").unwrap(),
            source,
            display_name: "Theirs".to_owned(),
            color: None,
            description: None,
            components: vec![ComponentKind::Event],
            mirror,
            unify: true,
        };
        self.calendars.attach(new).await.unwrap();
    }

    /// Stores an event in the unified calendar and gives its tag.
    pub(crate) async fn put(&self, name: &str, body: &str) -> String {
        let path = format!("{UNIFIED}{name}");
        let answer = self.ask("PUT", &path, &[("content-type", "text/calendar")], body).await;
        assert!(answer.status.is_success(), "{} {}", answer.status, answer.body);
        answer.header("etag")
    }
}

#[derive(Debug)]
struct Nobody;

#[async_trait::async_trait]
impl House for Nobody {
    async fn remove_user(&self, _: &UserId) -> Result<(), String> {
        Err("not in this test".to_owned())
    }

    fn notes(&self) -> Vec<(String, String, String)> {
        Vec::new()
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    /// Fails unless the status is this one.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    /// Fails unless the body holds this text.
    #[track_caller]
    pub(crate) fn has(self, text: &str) -> Self {
        assert!(self.body.contains(text), "no {text:?} in {}", self.body);
        self
    }

    /// Fails if the body holds this text.
    #[track_caller]
    pub(crate) fn lacks(self, text: &str) -> Self {
        assert!(!self.body.contains(text), "{text:?} in {}", self.body);
        self
    }

    /// Fails unless the error names this condition.
    #[track_caller]
    pub(crate) fn violates(self, element: &str) -> Self {
        assert!(self.header("content-type").contains("xml"), "{} {}", self.header("content-type"), self.body);
        self.has("<D:error").has(element)
    }

    /// The text between two marks.
    #[track_caller]
    pub(crate) fn between(&self, from: &str, to: &str) -> String {
        let start = self.body.find(from).unwrap_or_else(|| panic!("no {from:?} in {}", self.body)) + from.len();
        let rest = &self.body[start..];
        rest[..rest.find(to).unwrap()].to_owned()
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        self.body.matches(text).count()
    }
}

/// A verdict that was decided before.
#[derive(Debug)]
pub(crate) struct Always(pub(crate) Verdict);

#[async_trait::async_trait]
impl Verdicts for Always {
    async fn verdict(&self, _pending: &[Pending], _wait: Duration) -> Verdict {
        self.0.clone()
    }
}

/// An event of one hour.
pub(crate) fn event(uid: &str, start: &str, summary: &str) -> String {
    let lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//test//EN",
        "BEGIN:VEVENT",
        &format!("UID:{uid}"),
        "DTSTAMP:20260101T000000Z",
        &format!("DTSTART:{start}"),
        "DURATION:PT1H",
        &format!("SUMMARY:{summary}"),
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ];
    lines.join("\r\n")
}

/// A PROPFIND body for these properties, with the prefixes D, C, CS and A.
pub(crate) fn props(names: &[&str]) -> String {
    let names = names.iter().fold(String::new(), |all, name| all + "<" + name + "/>");
    format!("<D:propfind {NS}><D:prop>{names}</D:prop></D:propfind>")
}

pub(crate) const NS: &str = "xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\" \
    xmlns:CS=\"http://calendarserver.org/ns/\" xmlns:A=\"http://apple.com/ns/ical/\"";
pub(crate) const ANA: &str = "Basic YW5hOmNvcnJlY3QgaG9yc2U=";
pub(crate) const BOB: &str = "Basic Ym9iOmNvcnJlY3QgaG9yc2U=";
pub(crate) const HOME: &str = "/dav/calendars/ana/";
pub(crate) const UNIFIED: &str = "/dav/calendars/ana/unified/";
pub(crate) const PRINCIPAL: &str = "/dav/principals/ana/";
