//! From what a person types to the calendars behind it (RFC 6764, RFC 5397, RFC 4791 6.2.1).
//!
//! An e-mail address, a host name, or any URL of the server: of a calendar, a home, a principal, or something that
//! leads to one. Every candidate is tried in turn, since each step is missing or broken somewhere; the first that
//! leads to calendars wins. A refused password ends the search at once: trying on locks accounts.
//! It never sends credentials to a host that only DNS or a redirect has named outside the person's own domain.

use std::collections::HashSet;
use std::fmt;

use jiff::Timestamp;
use url::Url;

use super::fault::{Aim, fault};
use super::request::{self, Listed, Listing};
use super::session::{Reply, Session};
use crate::clock::Clock;
use crate::dav::name::{apple, caldav, dav};
use crate::ical::ComponentKind;
use crate::provider::{CalendarDetails, Fault, RemoteCalendar, RemoteId};
use crate::transport::TransportError;

/// Why no calendars were found, in words for the person who typed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoverError {
    /// What was typed is no address.
    #[error("{0:?} is neither an e-mail address nor a host name nor a URL")]
    BadAddress(String),
    /// Wrong name or password.
    #[error("{host} refuses the user name or the password")]
    Unauthorized {
        /// Who refuses.
        host: String,
    },
    /// A server was found, and there is no calendar on it.
    #[error("no calendars were found at {at}; create one there first")]
    NoCalendars {
        /// Where they should be.
        at: String,
    },
    /// The way leads to somebody else's server, which must not get the password unasked.
    #[error(
        "{given} points to the server {host}, which is not of the same domain; if you trust it, give its address instead"
    )]
    Elsewhere {
        /// What was typed.
        given: String,
        /// Where it leads.
        host: String,
    },
    /// The guard refuses the connection, or it would not be encrypted.
    #[error("{0}")]
    NotAllowed(String),
    /// Something answers, and it speaks no CalDAV.
    #[error("{given} is not a CalDAV server, or its calendars can't be found from that address")]
    NotCalDav {
        /// What was typed.
        given: String,
    },
    /// Nobody answers, or not in a way that tells anything.
    #[error("{0}")]
    Unreachable(String),
}

impl DiscoverError {
    /// The same as a fault of an account that once worked: only a refused password is a verdict.
    pub(super) fn into_fault(self) -> Fault {
        let words = self.to_string();
        match self {
            Self::Unauthorized { .. } => Fault::Unauthorized(words),
            _ => Fault::Unreachable(words),
        }
    }

    /// Which of two reasons helps the person more.
    fn weight(&self) -> u8 {
        match self {
            Self::Unauthorized { .. } => 6,
            Self::NoCalendars { .. } => 5,
            Self::NotAllowed(_) => 4,
            Self::Elsewhere { .. } => 3,
            Self::NotCalDav { .. } => 2,
            Self::Unreachable(_) => 1,
            Self::BadAddress(_) => 0,
        }
    }
}

/// A collection of calendars, or one calendar alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) url: Url,
    pub(super) is_calendar: bool,
}

impl Home {
    /// Reads the text form: the URL, with the fragment `calendar` for a calendar alone.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut url: Url = text.parse().ok()?;
        let is_calendar = url.fragment() == Some(CALENDAR);
        url.set_fragment(None);
        Some(Self { url, is_calendar })
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_calendar { CALENDAR } else { "" };
        let hash = if self.is_calendar { "#" } else { "" };
        write!(f, "{}{hash}{mark}", self.url)
    }
}

/// A calendar that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) url: Url,
    name: String,
    color: Option<String>,
    description: Option<String>,
    read_only: bool,
    components: Vec<ComponentKind>,
}

impl Found {
    fn of(member: &Listed) -> Self {
        let last =
            member.url.path_segments().and_then(|mut parts| parts.rfind(|part| !part.is_empty())).unwrap_or("calendar");
        let last = percent_encoding::percent_decode_str(last).decode_utf8_lossy().into_owned();
        Self {
            url: member.url.clone(),
            name: member.text(&dav::DISPLAYNAME).unwrap_or(last),
            color: member.text(&apple::CALENDAR_COLOR),
            description: member.text(&caldav::CALENDAR_DESCRIPTION),
            read_only: member.is_read_only(),
            components: member.components(),
        }
    }

    /// The same under its id.
    pub(super) fn named(self, id: RemoteId) -> RemoteCalendar {
        let Self { name, color, description, read_only, components, .. } = self;
        let details = CalendarDetails::default();
        RemoteCalendar { id, name, color, read_only, components, description, details }
    }
}

/// The homes behind `given`, and the calendars in them: at least one.
pub(super) async fn discover(
    session: &Session,
    given: &str,
    clock: &dyn Clock,
) -> Result<(Vec<Home>, Vec<Found>), DiscoverError> {
    let starts = starts(given);
    if starts.is_empty() {
        return Err(DiscoverError::BadAddress(given.to_owned()));
    }
    for start in &starts {
        session.trust_neighbourhood(start);
    }
    let mut reason: Option<DiscoverError> = None;
    let search = Search { session, given, clock };
    for candidate in candidates(session, given, starts).await {
        match search.from(&candidate).await {
            Ok(found) => return Ok(found),
            Err(stop @ DiscoverError::Unauthorized { .. }) => return Err(stop),
            Err(other) if reason.as_ref().is_none_or(|reason| other.weight() > reason.weight()) => reason = Some(other),
            Err(_) => {}
        }
    }
    Err(reason.unwrap_or_else(|| DiscoverError::BadAddress(given.to_owned())))
}

/// The calendars in `homes`. One home that fails fails all: a short list would look like removed calendars.
pub(super) async fn list(session: &Session, homes: &[Home], now: Timestamp) -> Result<Vec<Found>, Fault> {
    let mut found: Vec<Found> = Vec::new();
    for home in homes {
        let depth = if home.is_calendar { "0" } else { "1" };
        let reply = session.ask(request::calendars(&home.url, depth)).await.map_err(|e| super::fault::unsent(&e))?;
        let listing = Listing::read(&reply, Aim::Calendar, now)?;
        if listing.about(&reply.url).is_none() {
            return Err(Fault::Garbled("the list of calendars does not name their home".to_owned()));
        }
        session.trust(&reply.url);
        for member in listing.members.iter().filter(|member| member.is_calendar()) {
            // Homes may overlap, and a shared calendar may be in two.
            if !found.iter().any(|known| super::place::same_resource(&known.url, &member.url)) {
                found.push(Found::of(member));
            }
        }
    }
    Ok(found)
}

/// What the text itself names, best first: the URL as it stands, or the host.
pub(super) fn starts(given: &str) -> Vec<Url> {
    let given = given.trim();
    if given.contains("://") {
        let url = given.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        return url.into_iter().map(cleaned).collect();
    }
    if let Some((_, domain)) = given.rsplit_once('@') {
        let known = SERVERS.iter().filter(|(domains, _)| domains.split(' ').any(|d| d.eq_ignore_ascii_case(domain)));
        let urls = known.map(|(_, url)| (*url).to_owned()).chain([format!("https://{domain}/")]);
        return urls.filter_map(|text| host_url(&text)).collect();
    }
    host_url(&format!("https://{given}")).into_iter().collect()
}

fn host_url(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let host = url.host_str()?;
    let plausible = !host.is_empty() && !text.chars().any(char::is_whitespace);
    plausible.then(|| cleaned(url))
}

fn cleaned(mut url: Url) -> Url {
    url.set_fragment(None);
    // A name or password in a URL is ignored: they are asked for by themselves. These fail on URLs without host alone.
    let _no_host = url.set_username("").is_err() || url.set_password(None).is_err();
    url
}

/// Every place to look, best first.
async fn candidates(session: &Session, given: &str, starts: Vec<Url>) -> Vec<Url> {
    let mut all: Vec<Url> = Vec::new();
    let bare = !given.contains("://");
    all.extend(starts.iter().filter(|start| !bare || start.path() != "/").cloned());
    for start in &starts {
        if let (true, Some(host), None) = (bare, start.domain(), start.port()) {
            all.extend(by_dns(session, host).await);
        }
        all.extend(["/.well-known/caldav", "/"].iter().filter_map(|path| start.join(path).ok()));
    }
    for start in &starts {
        all.extend(PATHS.iter().filter_map(|path| start.join(path).ok()));
    }
    let mut seen = HashSet::new();
    all.retain(|url| seen.insert(url.clone()));
    all
}

/// SRV and TXT records (RFC 6764 6): the path given there, else the well-known one.
async fn by_dns(session: &Session, domain: &str) -> Vec<Url> {
    let transport = session.transport();
    let mut found = Vec::new();
    for (service, scheme) in [("_caldavs._tcp", "https"), ("_caldav._tcp", "http")] {
        let name = format!("{service}.{domain}");
        for service in transport.services(&name).await {
            let Ok(base) = format!("{scheme}://{}:{}/", service.host, service.port).parse::<Url>() else { continue };
            let texts = transport.texts(&name).await;
            let path = texts.iter().find_map(|text| text.strip_prefix("path="));
            found.extend(path.and_then(|path| base.join(path).ok()).filter(|url| url.origin() == base.origin()));
            found.extend(base.join("/.well-known/caldav"));
            found.push(base);
        }
    }
    found
}

struct Search<'a> {
    session: &'a Session,
    given: &'a str,
    clock: &'a dyn Clock,
}

impl Search<'_> {
    /// The homes and calendars that are found from `start`.
    async fn from(&self, start: &Url) -> Result<(Vec<Home>, Vec<Found>), DiscoverError> {
        let (homes, at) = self.homes(start).await?;
        for home in &homes {
            self.session.trust(&home.url);
        }
        let found = match list(self.session, &homes, self.clock.now()).await {
            Ok(found) => found,
            Err(Fault::Unauthorized(_)) => return Err(DiscoverError::Unauthorized { host: host(&at) }),
            Err(Fault::Unreachable(why)) => return Err(DiscoverError::Unreachable(why)),
            Err(_) => return Err(self.not_caldav()),
        };
        if found.is_empty() {
            let at = homes.first().map_or_else(|| at.to_string(), Home::to_string);
            return Err(DiscoverError::NoCalendars { at });
        }
        Ok((homes, found))
    }

    /// The homes to which `start` leads, and the URL that answered.
    async fn homes(&self, start: &Url) -> Result<(Vec<Home>, Url), DiscoverError> {
        let (listing, at) = self.probe(start).await?;
        let Some(itself) = listing.about(&at).or(listing.members.first()) else { return Err(self.not_caldav()) };
        if itself.is_calendar() {
            return Ok((vec![Home { url: itself.url.clone(), is_calendar: true }], at));
        }
        let homes = homes_in(itself, &at);
        if !homes.is_empty() {
            return Ok((homes, at));
        }
        // The URL of a home itself: what the person named goes before what the server would lead to.
        if start.path() != "/" && !start.path().starts_with("/.well-known/") {
            let home = Home { url: at.clone(), is_calendar: false };
            if let Ok(found) = list(self.session, std::slice::from_ref(&home), self.clock.now()).await
                && !found.is_empty()
            {
                return Ok((vec![home], at));
            }
        }
        let names = [dav::CURRENT_USER_PRINCIPAL, dav::PRINCIPAL_URL];
        for principal in names.iter().flat_map(|name| itself.urls(&at, name)) {
            self.session.trust(&principal);
            let (listing, at) = self.probe(&principal).await?;
            let homes = listing.about(&at).map(|member| homes_in(member, &at)).unwrap_or_default();
            if !homes.is_empty() {
                return Ok((homes, at));
            }
        }
        Err(self.not_caldav())
    }

    async fn probe(&self, url: &Url) -> Result<(Listing, Url), DiscoverError> {
        let mut reply = self.ask(url).await?;
        if reply.status.as_u16() == 207 && is_unnamed(&reply) && self.session.insist(&reply.url) {
            reply = self.ask(&reply.url).await?;
        }
        if matches!(reply.status.as_u16(), 207 | 401) && !self.session.trusts(&reply.url) {
            return Err(DiscoverError::Elsewhere { given: self.given.to_owned(), host: host(&reply.url) });
        }
        let listing = Listing::read(&reply, Aim::Calendar, self.clock.now()).map_err(|_| self.explain(&reply))?;
        Ok((listing, reply.url))
    }

    async fn ask(&self, url: &Url) -> Result<Reply, DiscoverError> {
        self.session.ask(request::probe(url)).await.map_err(|error| match error {
            TransportError::RefusedAddress { .. } | TransportError::ClearText { .. } => {
                DiscoverError::NotAllowed(error.to_string())
            }
            _ => DiscoverError::Unreachable(error.to_string()),
        })
    }

    fn explain(&self, reply: &Reply) -> DiscoverError {
        match fault(reply, Aim::Calendar, self.clock.now()) {
            Fault::Unauthorized(_) => DiscoverError::Unauthorized { host: host(&reply.url) },
            Fault::Throttled(_) => DiscoverError::Unreachable(format!("{} asks to wait; try later", host(&reply.url))),
            Fault::Unreachable(why) if reply.status.is_server_error() => {
                DiscoverError::Unreachable(format!("{}: {why}", host(&reply.url)))
            }
            _ => self.not_caldav(),
        }
    }

    fn not_caldav(&self) -> DiscoverError {
        DiscoverError::NotCalDav { given: self.given.to_owned() }
    }
}

fn homes_in(member: &Listed, at: &Url) -> Vec<Home> {
    let urls = member.urls(at, &caldav::CALENDAR_HOME_SET);
    urls.into_iter().map(|url| Home { url, is_calendar: false }).collect()
}

/// Whether the server answers us as nobody in particular (RFC 5397 3), or does not say whom.
fn is_unnamed(reply: &Reply) -> bool {
    let Ok(listing) = Listing::read(reply, Aim::Calendar, Timestamp::UNIX_EPOCH) else { return false };
    !listing.members.iter().any(|member| !member.urls(&reply.url, &dav::CURRENT_USER_PRINCIPAL).is_empty())
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

const CALENDAR: &str = "calendar";

/// Where servers have their entrance when no well-known path leads there.
const PATHS: [&str; 6] = ["/dav/", "/remote.php/dav/", "/caldav/", "/caldav.php/", "/dav.php/", "/SOGo/dav/"];

/// Entrances of large services whose mail domains lead nowhere.
const SERVERS: [(&str, &str); 9] = [
    ("icloud.com me.com mac.com", "https://caldav.icloud.com/"),
    ("fastmail.com fastmail.fm", "https://caldav.fastmail.com/"),
    ("gmx.net gmx.de gmx.at gmx.ch", "https://caldav.gmx.net/"),
    ("web.de", "https://caldav.web.de/"),
    ("mailbox.org", "https://dav.mailbox.org/"),
    ("posteo.de posteo.net", "https://posteo.de:8443/"),
    ("yahoo.com ymail.com", "https://caldav.calendar.yahoo.com/"),
    ("zoho.com zohomail.com", "https://calendar.zoho.com/"),
    ("infomaniak.com ik.me", "https://sync.infomaniak.com/"),
];
