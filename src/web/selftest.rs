//! The self-test: discovery as clients walk it (RFC 6764, RFC 4791 6.2.1, RFC 5397), asked of this very server through its
//! own front door, with an app password that is made for it and taken away afterwards. It writes nothing.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION};
use http::request::Parts;
use http::{HeaderMap, Request as HttpRequest, StatusCode};

/// Asks this server itself, as a client on this machine would.
#[async_trait::async_trait]
pub trait Inside: Send + Sync {
    /// The answer to a request.
    async fn ask(&self, asked: Asked) -> Told;
}

/// A request.
#[derive(Debug)]
pub struct Asked {
    /// Its line and header.
    pub head: Parts,
    /// Its body.
    pub body: Bytes,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Told {
    /// Its status.
    pub status: StatusCode,
    /// Its header.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// One step of a walk, as the page tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) fine: bool,
    pub(super) what: String,
    pub(super) seen: String,
}

/// A client's walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    pub(super) client: &'static str,
    pub(super) steps: Vec<Step>,
}

impl Walk {
    /// Whether every step went as the client needs it.
    pub(super) fn is_green(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| step.fine)
    }
}

/// Where a client begins, and how it asks.
struct Client {
    name: &'static str,
    agent: &'static str,
    /// What it asks first.
    first: (&'static str, &'static str),
}

const CLIENTS: [Client; 3] = [
    Client {
        name: "iPhone, iPad and Mac",
        agent: "iOS/18.0 (22A3354) dataaccessd/1.0",
        first: ("PROPFIND", "/.well-known/caldav"),
    },
    Client { name: "Thunderbird", agent: "Thunderbird/140.0", first: ("PROPFIND", "/.well-known/caldav") },
    Client { name: "DAVx5 on Android", agent: "DAVx5/4.5-ose", first: ("OPTIONS", "/dav/") },
];

/// Walks as each client does.
pub(super) async fn walk_all(inside: &dyn Inside, host: &str, user: &str, password: &str) -> Vec<Walk> {
    let login = data_encoding::BASE64.encode(format!("{user}:{password}").as_bytes());
    let mut walks = Vec::new();
    for client in &CLIENTS {
        let mut walker = Walker { inside, client, host, login: &login, steps: Vec::new() };
        // A step that fails ends the walk, as it ends the client's.
        let _arrived = walker.walk().await;
        walks.push(Walk { client: client.name, steps: walker.steps });
    }
    walks
}

struct Walker<'a> {
    inside: &'a dyn Inside,
    client: &'a Client,
    host: &'a str,
    login: &'a str,
    steps: Vec<Step>,
}

impl Walker<'_> {
    async fn walk(&mut self) -> Option<()> {
        self.begin().await?;
        let anyone = self.ask("PROPFIND", "/dav/", ("0", PRINCIPAL), false).await;
        self.tell(anyone.status == StatusCode::UNAUTHORIZED, "asks without a password", "and is asked for one")?;
        let principal = self.ask("PROPFIND", "/dav/", ("0", PRINCIPAL), true).await;
        let principal = href_in(&principal, "current-user-principal");
        let principal = self.found(principal, "asks who is signed in")?;
        let home = self.ask("PROPFIND", &principal, ("0", HOME), true).await;
        let home = href_in(&home, "calendar-home-set");
        let home = self.found(home, "asks where the calendars are")?;
        let list = self.ask("PROPFIND", &home, ("1", CALENDARS), true).await;
        let text = String::from_utf8_lossy(&list.body).into_owned();
        let count = text.matches("calendar/>").count() + text.matches("calendar xmlns").count();
        let unified = format!("{home}unified/");
        let is_there = list.status == StatusCode::MULTI_STATUS && text.contains(&unified);
        self.tell(is_there, "lists the calendars", &format!("sees {count}, the unified one among them"))?;
        let sync = self.ask("REPORT", &unified, ("1", SYNC), true).await;
        let text = String::from_utf8_lossy(&sync.body).into_owned();
        let events = text.matches(".ics<").count();
        let fine = sync.status == StatusCode::MULTI_STATUS && text.contains("sync-token");
        self.tell(
            fine,
            "reads the unified calendar",
            &format!("gets {events} events in the first answer, and a sync token"),
        )
    }

    /// The first request: a redirect to follow, or what the server says it can do.
    async fn begin(&mut self) -> Option<()> {
        let (method, path) = self.client.first;
        let first = self.ask(method, path, ("0", PRINCIPAL), false).await;
        if method == "OPTIONS" {
            let dav = first.headers.get("dav").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
            return self.tell(dav.contains("calendar-access"), "asks what the server can do", &format!("hears: {dav}"));
        }
        let to = first.headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default().to_owned();
        let fine = first.status.is_redirection() && to.ends_with("/dav/");
        self.tell(fine, &format!("looks at {path}"), &format!("is sent to {to}"))
    }

    fn found(&mut self, href: Option<String>, what: &str) -> Option<String> {
        let seen = href.clone().unwrap_or_else(|| "no answer that it can use".to_owned());
        self.tell(href.is_some(), what, &seen)?;
        href
    }

    /// Notes a step; nothing if it went wrong.
    fn tell(&mut self, fine: bool, what: &str, seen: &str) -> Option<()> {
        let seen = if fine { seen.to_owned() } else { format!("not as it needs: {seen}") };
        self.steps.push(Step { fine, what: what.to_owned(), seen });
        fine.then_some(())
    }

    async fn ask(&self, method: &str, path: &str, (depth, body): (&str, &'static str), signed_in: bool) -> Told {
        let mut request = HttpRequest::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.host)
            .header("user-agent", self.client.agent)
            .header("depth", depth)
            .header(CONTENT_TYPE, "application/xml; charset=utf-8");
        if signed_in {
            request = request.header(AUTHORIZATION, format!("Basic {}", self.login));
        }
        match request.body(()) {
            Ok(request) => {
                let body = if method == "OPTIONS" { "" } else { body };
                self.inside.ask(Asked { head: request.into_parts().0, body: Bytes::from_static(body.as_bytes()) }).await
            }
            Err(_) => Told { status: StatusCode::BAD_REQUEST, headers: HeaderMap::new(), body: Bytes::new() },
        }
    }
}

/// The first href inside the named element of an answer.
fn href_in(told: &Told, element: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&told.body);
    let (_, inside) = text.split_once(element)?;
    let (_, href) = inside.split_once("href>").filter(|(before, _)| !before.contains(element))?;
    let (href, _) = href.split_once('<')?;
    (told.status == StatusCode::MULTI_STATUS && href.starts_with('/')).then(|| href.to_owned())
}

const PRINCIPAL: &str =
    r#"<?xml version="1.0"?><propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>"#;
const HOME: &str = r#"<?xml version="1.0"?><propfind xmlns="DAV:"><prop><C:calendar-home-set xmlns:C="urn:ietf:params:xml:ns:caldav"/></prop></propfind>"#;
const CALENDARS: &str =
    r#"<?xml version="1.0"?><propfind xmlns="DAV:"><prop><resourcetype/><displayname/><sync-token/></prop></propfind>"#;
const SYNC: &str = r#"<?xml version="1.0"?><sync-collection xmlns="DAV:"><sync-token/><sync-level>1</sync-level><limit><nresults>100</nresults></limit><prop><getetag/></prop></sync-collection>"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hrefs_are_found_inside_their_element() {
        let told = |body: &'static str| Told {
            status: StatusCode::MULTI_STATUS,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        };
        let good = told(
            "<r><href>/dav/</href><current-user-principal><href>/dav/principals/ana/</href></current-user-principal></r>",
        );
        assert_eq!(href_in(&good, "current-user-principal").as_deref(), Some("/dav/principals/ana/"));
        assert_eq!(href_in(&told("<current-user-principal/><href>/x</href>"), "calendar-home-set"), None);
    }
}
