//! The pages: what people see of the gateway, made on the server and whole without script.
//!
//! Nothing comes from elsewhere and nothing is inline, so the policy of each page forbids all but our own files. Every
//! form carries its session's token, and its answer is a redirect with a message, or the same form again with what was
//! typed and the field that is wrong. Text of events is text, whatever it holds.
//! Never here: how something is stored or sent; an account of another person.

mod accounts;
mod admin;
mod assets;
mod audit;
mod calendar;
mod conflicts;
mod devices;
mod find;
mod form;
mod front;
mod help;
mod history;
mod oidc;
mod page;
mod queue;
mod request;
mod selftest;
mod session;
mod setup;
mod sharing;
mod time;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};

use crate::account::Accounts;
use crate::calendar::{Calendars, Pending};
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::id::UserId;
use crate::identity::Users;
use crate::identity::oidc::Oidc;
use crate::jobs::Queue;
use crate::subscription::Subscriptions;
use crate::sync::{Engine, Verdict};

use page::Answer;
use request::Trouble;
pub use request::{Request, is_from_here, session_token};
pub use selftest::{Asked, Inside, Told};

/// What stands behind the pages of signed-in people.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The calendars.
    pub calendars: Arc<Calendars>,
    /// The accounts.
    pub accounts: Arc<Accounts>,
    /// The engine that keeps them alike.
    pub sync: Arc<Engine>,
    /// The queue.
    pub queue: Arc<Queue>,
    /// Feeds.
    pub subscriptions: Arc<Subscriptions>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// What only the whole program can do.
    pub house: Arc<dyn House>,
    /// How this server is set up.
    pub settings: Settings,
}

/// How this server is set up, as far as the pages tell it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its address for people and devices, without a slash at the end.
    pub public_url: String,
    /// Whether Google accounts can be connected.
    pub google: bool,
    /// Whether Microsoft accounts can be connected.
    pub microsoft: bool,
    /// How long a change waits for the provider's word before the page is shown.
    pub write_through: Duration,
    /// The limits that are set, with their values.
    pub limits: Vec<(&'static str, String)>,
}

/// What reaches through all floors.
#[async_trait::async_trait]
pub trait House: std::fmt::Debug + Send + Sync {
    /// Removes a person with all that is theirs here. Nothing upstream is touched.
    async fn remove_user(&self, user: &UserId) -> Result<(), String>;
    /// What there is to be said of the configuration: state, finding, advice.
    fn notes(&self) -> Vec<(String, String, String)>;
}

/// Makes the pages.
#[derive(Debug)]
pub struct Pages {
    users: Arc<Users>,
    entropy: Arc<dyn Entropy>,
    desk: Option<Desk>,
    oidc: Option<Oidc>,
}

impl Pages {
    /// Pages for signing in, and nothing behind them.
    pub fn new(users: Arc<Users>, entropy: Arc<dyn Entropy>) -> Self {
        Self { users, entropy, desk: None, oidc: None }
    }

    /// The same with what signed-in people use.
    #[must_use]
    pub fn with_desk(mut self, desk: Desk) -> Self {
        self.desk = Some(desk);
        self
    }

    /// The same with a company's own service to sign in at, if there is one.
    #[must_use]
    pub fn with_oidc(mut self, oidc: Option<Oidc>) -> Self {
        self.oidc = oidc;
        self
    }

    /// Whether a path is one of the pages'.
    pub fn owns(path: &[String]) -> bool {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            [] | ["oauth", "oidc", "start" | "callback"] => true,
            [first, ..] => OWN.contains(first),
        }
    }

    /// Answers a request for a page. `inside` asks this server itself.
    pub async fn answer(&self, request: &Request<'_>, inside: &dyn Inside) -> Response<Bytes> {
        let answer = match *request.method {
            Method::POST => self.post(request, inside).await,
            _ => self.get(request).await,
        };
        match answer {
            Ok(response) => response,
            Err(trouble) => self.tell(request, trouble),
        }
    }

    async fn get(&self, request: &Request<'_>) -> Answer {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            [] if request.who.is_some() && self.desk.is_some() => page::go("/calendar", "", ""),
            [] => self.front(request).await,
            ["sign-in"] => self.sign_in_form(request),
            ["oauth", "oidc", "start"] => self.oidc_start(request).await,
            ["oauth", "oidc", "callback"] => self.oidc_callback(request).await,
            ["setup", token] => self.setup_form(request, token).await,
            ["assets", name] => assets::file(name).ok_or(Trouble::NotFound),
            ["help"] => help::index(request),
            ["help", topic] => help::topic(request, topic),
            ["me"] => self.me(request, "").await,
            _ => {
                request.user()?;
                let desk = self.desk.as_ref().ok_or(Trouble::NotFound)?;
                self.get_behind(desk, request, &path).await
            }
        }
    }

    async fn get_behind(&self, desk: &Desk, request: &Request<'_>, path: &[&str]) -> Answer {
        match path {
            ["calendar", rest @ ..] => calendar::get(desk, request, rest).await,
            ["event", rest @ ..] => calendar::event::get(desk, request, rest).await,
            ["accounts", rest @ ..] => accounts::get(desk, request, rest).await,
            ["devices"] => self.devices(desk, request, None).await,
            ["sharing"] => sharing::get(desk, request).await,
            ["find-a-time"] => find::get(desk, request).await,
            ["conflicts", rest @ ..] => conflicts::get(desk, request, rest).await,
            ["history", rest @ ..] => history::get(desk, request, rest).await,
            ["queue"] => queue::get(desk, request).await,
            ["audit"] => audit::get(desk, request).await,
            ["admin"] => self.admin(desk, request, "").await,
            _ => Err(Trouble::NotFound),
        }
    }

    async fn post(&self, request: &Request<'_>, inside: &dyn Inside) -> Answer {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["sign-in"] => return self.sign_in(request).await,
            ["setup", token] => return self.setup(request, token).await,
            _ => {}
        }
        request.user()?;
        if !request.is_own_form(&request.form()) {
            return Err(Trouble::Foreign);
        }
        match path.as_slice() {
            ["sign-out"] => self.sign_out(request).await,
            ["me", "password"] => self.change_password(request).await,
            ["me", "sessions"] => self.end_sessions(request).await,
            ["me", "zone"] => self.choose_zone(request).await,
            ["me", "oidc"] => self.oidc_connect(request).await,
            _ => {
                let desk = self.desk.as_ref().ok_or(Trouble::NotFound)?;
                self.post_behind(desk, request, &path, inside).await
            }
        }
    }

    async fn post_behind(&self, desk: &Desk, request: &Request<'_>, path: &[&str], inside: &dyn Inside) -> Answer {
        match path {
            ["event", rest @ ..] => calendar::event::post(desk, request, rest).await,
            ["accounts", rest @ ..] => accounts::post(desk, request, rest).await,
            ["devices", "self-test"] => self.self_test(desk, request, inside).await,
            ["devices", rest @ ..] => self.post_devices(desk, request, rest).await,
            ["sharing", rest @ ..] => sharing::post(desk, request, rest).await,
            ["conflicts", id] => conflicts::post(desk, request, id).await,
            ["history", rest @ ..] => history::post(desk, request, rest).await,
            ["queue"] => queue::post(desk, request).await,
            ["admin", rest @ ..] => self.post_admin(desk, request, rest).await,
            _ => Err(Trouble::NotFound),
        }
    }

    /// The page about trouble, in words and with what to do next.
    fn tell(&self, request: &Request<'_>, trouble: Trouble) -> Response<Bytes> {
        let (status, title, words) = match trouble {
            Trouble::SignIn => return self.to_sign_in(request),
            Trouble::Foreign => (
                StatusCode::FORBIDDEN,
                "This form is not from here",
                "It was sent by another site, or by a page that was opened before you signed in again. \
                 Go back, load the page anew and send it once more."
                    .to_owned(),
            ),
            Trouble::NotFound => (
                StatusCode::NOT_FOUND,
                "There is nothing here",
                "The link is old, or it leads to something that is not yours.".to_owned(),
            ),
            Trouble::Forbidden => {
                (StatusCode::FORBIDDEN, "For administrators only", "Ask an administrator of this server.".to_owned())
            }
            Trouble::Refused(words) => (StatusCode::UNPROCESSABLE_ENTITY, "This can't be done", words),
            Trouble::Later(words) => {
                tracing::warn!(error = %words, "a page could not be made now");
                let words = "Something is busy or not available. Please try again in a moment.".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, "Not just now", words)
            }
            Trouble::Defect(words) => {
                tracing::error!(error = %words, "a page can't be made");
                let words = "It is in the log of the server.".to_owned();
                (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong here", words)
            }
        };
        front::trouble(request, status, title, &words)
    }

    #[expect(clippy::unused_self, reason = "called like its neighbours, which use it")]
    fn to_sign_in(&self, request: &Request<'_>) -> Response<Bytes> {
        let target = format!("/{}", request.path.join("/"));
        let to: String = if *request.method == Method::GET {
            url::form_urlencoded::byte_serialize(target.as_bytes()).collect()
        } else {
            String::new()
        };
        let words = if session::had_session(request) { "Your session has ended; please sign in again." } else { "" };
        let place = if to.is_empty() { "/sign-in".to_owned() } else { format!("/sign-in?to={to}") };
        page::go(&place, "bad", words).unwrap_or_else(|_| Response::new(Bytes::new()))
    }
}

impl Desk {
    /// Waits a moment for the providers' word on a change, so that the next page can tell of a refusal.
    async fn settle(&self, pending: &[Pending]) -> Result<(), Trouble> {
        match self.sync.verdict(pending, self.settings.write_through).await {
            Some(Verdict::Refused(why)) => {
                Err(Trouble::Refused(format!("The account behind this calendar refused the change: {why}")))
            }
            Some(Verdict::Accepted) | None => Ok(()),
        }
    }
}

/// The first segments of the pages' paths.
const OWN: &[&str] = &[
    "setup",
    "sign-in",
    "sign-out",
    "me",
    "assets",
    "help",
    "calendar",
    "event",
    "accounts",
    "devices",
    "sharing",
    "find-a-time",
    "conflicts",
    "history",
    "queue",
    "audit",
    "admin",
];
