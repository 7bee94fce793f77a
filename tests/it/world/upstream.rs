//! A CalDAV server of our own (RFC 4791, RFC 6578): strict about conditions, with switches for what real ones do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use bytes::Bytes;
use http::{Request, Response};
use lineartime::dav::{Element, Limits};

/// What a server is like.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// It speaks sync-collection.
    pub sync: bool,
    /// It cuts a sync-collection after so many members.
    pub page: Option<usize>,
    /// It drops `X-` properties.
    pub rewrites: bool,
    /// It answers a PUT with the entity tag of what it stored.
    pub tag_on_put: bool,
    /// It refuses a UID that another object of the calendar has.
    pub unique_uids: bool,
    /// What its entity tags are like.
    pub tags: Tags,
    /// It names members twice, and in no order.
    pub scrambles: bool,
    /// It gives a multiget no more than so many.
    pub multiget: usize,
    /// It has MOVE.
    pub moves: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    Strong,
    Weak,
    /// None in listings and answers.
    None,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            sync: true,
            page: None,
            rewrites: false,
            tag_on_put: true,
            unique_uids: true,
            tags: Tags::Strong,
            scrambles: false,
            multiget: usize::MAX,
            moves: true,
        }
    }
}

#[derive(Clone, Debug)]
struct Stored {
    octets: Bytes,
    version: u64,
}

/// One calendar.
#[derive(Clone, Debug, Default)]
pub struct Calendar {
    pub name: String,
    pub read_only: bool,
    items: BTreeMap<String, Stored>,
    log: Vec<String>,
    epoch: u64,
}

/// The server.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub manners: Manners,
    pub calendars: BTreeMap<String, Calendar>,
    /// Objects with this text are refused for good.
    pub refuses: Option<String>,
    /// Names of objects whose content it can't serve.
    pub unservable: BTreeSet<String>,
    /// Successful writes by clients, each as `METHOD calendar/name`.
    pub writes: Vec<String>,
    versions: u64,
}

pub struct Answer {
    pub status: u16,
    pub tag: Option<String>,
    pub body: String,
}

impl Answer {
    fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, tag: None, body: body.into() }
    }

    fn error(status: u16, condition: &str) -> Self {
        let xml = format!("<D:error xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\">{condition}</D:error>");
        Self::new(status, xml)
    }

    pub fn into_response(self) -> Response<Bytes> {
        let mut builder = Response::builder().status(self.status);
        if let Some(tag) = &self.tag {
            builder = builder.header("etag", tag);
        }
        builder.body(Bytes::from(self.body)).unwrap()
    }
}

/// The value of the first `UID` line.
pub fn uid_of(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    text.lines().find_map(|line| line.strip_prefix("UID:")).unwrap_or_default().to_owned()
}

impl Upstream {
    pub fn new(manners: Manners, calendars: &[&str]) -> Self {
        let calendars = calendars
            .iter()
            .map(|name| ((*name).to_owned(), Calendar { name: (*name).to_owned(), ..Calendar::default() }));
        Self {
            manners,
            calendars: calendars.collect(),
            refuses: None,
            unservable: BTreeSet::new(),
            writes: Vec::new(),
            versions: 0,
        }
    }

    /// Somebody else writes here.
    pub fn put(&mut self, calendar: &str, name: &str, octets: impl Into<Bytes>) {
        self.versions += 1;
        let version = self.versions;
        let calendar = self.calendars.get_mut(calendar).unwrap();
        calendar.items.insert(name.to_owned(), Stored { octets: octets.into(), version });
        calendar.log.push(name.to_owned());
    }

    /// Somebody else deletes here.
    pub fn delete(&mut self, calendar: &str, name: &str) {
        let calendar = self.calendars.get_mut(calendar).unwrap();
        if calendar.items.remove(name).is_some() {
            calendar.log.push(name.to_owned());
        }
    }

    /// The same content under a new tag.
    pub fn touch(&mut self, calendar: &str, name: &str) {
        let octets = self.octets(calendar, name).unwrap();
        self.put(calendar, name, octets);
    }

    /// All sync tokens die.
    pub fn forget_tokens(&mut self, calendar: &str) {
        self.calendars.get_mut(calendar).unwrap().epoch += 1;
    }

    pub fn octets(&self, calendar: &str, name: &str) -> Option<Bytes> {
        Some(self.calendars[calendar].items.get(name)?.octets.clone())
    }

    pub fn names(&self, calendar: &str) -> Vec<String> {
        self.calendars[calendar].items.keys().cloned().collect()
    }

    /// Name and content of every object.
    pub fn items(&self, calendar: &str) -> Vec<(String, Bytes)> {
        self.calendars[calendar].items.iter().map(|(name, item)| (name.clone(), item.octets.clone())).collect()
    }

    /// The object with this UID.
    pub fn find(&self, calendar: &str, uid: &str) -> Option<(String, Bytes)> {
        self.items(calendar).into_iter().find(|(_, octets)| uid_of(octets) == uid)
    }

    pub fn answer(&mut self, request: &Request<Bytes>) -> Answer {
        let path = percent_encoding::percent_decode_str(request.uri().path()).decode_utf8().unwrap().into_owned();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match parts[..] {
            ["home"] => self.home(request),
            ["home", calendar] => self.calendar(request, calendar),
            ["home", calendar, name] => self.object(request, calendar, name),
            _ => Answer::new(404, ""),
        }
    }

    fn home(&self, request: &Request<Bytes>) -> Answer {
        if request.method() != "PROPFIND" {
            return Answer::new(405, "");
        }
        let mut xml = response("/home/", "<D:resourcetype><D:collection/></D:resourcetype>");
        if depth(request) == "1" {
            for (name, calendar) in &self.calendars {
                xml += &response(&format!("/home/{name}/"), &describe(calendar));
            }
        }
        multistatus(&xml)
    }

    fn calendar(&mut self, request: &Request<Bytes>, name: &str) -> Answer {
        let Some(calendar) = self.calendars.get(name) else { return Answer::new(404, "") };
        let body = String::from_utf8_lossy(request.body());
        match request.method().as_str() {
            "PROPFIND" => {
                let ctag = format!("<CS:getctag>{}-{}</CS:getctag>", calendar.epoch, calendar.log.len());
                let mut xml = response(&format!("/home/{name}/"), &(describe(calendar) + &ctag));
                if depth(request) == "1" {
                    let all: Vec<&String> = calendar.items.keys().collect();
                    xml += &self.members(name, calendar, &all);
                }
                multistatus(&xml)
            }
            "REPORT" if body.contains("sync-collection") && self.manners.sync => self.sync(name, calendar, request),
            "REPORT" if body.contains("calendar-multiget") => self.multiget(name, calendar, request),
            "REPORT" => Answer::error(403, "<D:supported-report/>"),
            _ => Answer::new(405, ""),
        }
    }

    fn members(&self, name: &str, calendar: &Calendar, members: &[&String]) -> String {
        let mut list: Vec<String> = Vec::new();
        for member in members {
            let href = href(name, member);
            list.push(match calendar.items.get(*member) {
                Some(item) => response(&href, &self.getetag(item)),
                None => format!(
                    "<D:response><D:href>{href}</D:href><D:status>HTTP/1.1 404 Not Found</D:status></D:response>"
                ),
            });
        }
        if self.manners.scrambles {
            let again: Vec<String> = list.iter().step_by(3).cloned().collect();
            list.extend(again);
            list.reverse();
        }
        list.concat()
    }

    fn tag(&self, item: &Stored) -> Option<String> {
        match self.manners.tags {
            Tags::Strong => Some(format!("\"{}\"", item.version)),
            Tags::Weak => Some(format!("W/\"{}\"", item.version)),
            Tags::None => None,
        }
    }

    fn getetag(&self, item: &Stored) -> String {
        self.tag(item).map(|tag| format!("<D:getetag>{tag}</D:getetag>")).unwrap_or_default()
    }

    fn sync(&self, name: &str, calendar: &Calendar, request: &Request<Bytes>) -> Answer {
        let Ok(root) = Element::parse(request.body(), Limits::ANSWER) else { return Answer::new(400, "") };
        let token =
            root.children().find(|child| child.name().local() == "sync-token").map(|t| t.text()).unwrap_or_default();
        let token = token.trim();
        let prefix = format!("urn:x:{}:", calendar.epoch);
        let from = if token.is_empty() { Some(0) } else { token.strip_prefix(&prefix).and_then(|n| n.parse().ok()) };
        let Some(from) = from.filter(|from: &usize| *from <= calendar.log.len()) else {
            return Answer::error(403, "<D:valid-sync-token/>");
        };
        // Each object where it changed last.
        let mut last: BTreeMap<&String, usize> = BTreeMap::new();
        for (index, member) in calendar.log.iter().enumerate().skip(from) {
            last.insert(member, index);
        }
        let mut changed: Vec<(usize, &String)> = last.into_iter().map(|(member, index)| (index, member)).collect();
        changed.sort_unstable();
        if token.is_empty() {
            changed.retain(|(_, member)| calendar.items.contains_key(*member));
        }
        let (mut end, mut cut) = (calendar.log.len(), false);
        if let Some(page) = self.manners.page.filter(|page| changed.len() > *page) {
            changed.truncate(page);
            end = changed.last().map_or(end, |(index, _)| index + 1);
            cut = true;
        }
        let members: Vec<&String> = changed.into_iter().map(|(_, member)| member).collect();
        let mut xml = self.members(name, calendar, &members);
        if cut {
            write!(xml, "<D:response><D:href>/home/{name}/</D:href><D:status>HTTP/1.1 507 Insufficient Storage</D:status></D:response>").unwrap();
        }
        write!(xml, "<D:sync-token>{prefix}{end}</D:sync-token>").unwrap();
        multistatus(&xml)
    }

    fn multiget(&self, name: &str, calendar: &Calendar, request: &Request<Bytes>) -> Answer {
        let Ok(root) = Element::parse(request.body(), Limits::ANSWER) else { return Answer::new(400, "") };
        let mut xml = String::new();
        for wanted in root.children().filter(|child| child.name().local() == "href").take(self.manners.multiget) {
            let wanted = wanted.text();
            let last = wanted.trim().rsplit('/').next().unwrap_or_default();
            let member = percent_encoding::percent_decode_str(last).decode_utf8().unwrap().into_owned();
            let href = href(name, &member);
            xml += &match calendar.items.get(&member) {
                Some(_) if self.unservable.contains(&member) => {
                    format!("<D:response><D:href>{href}</D:href><D:status>HTTP/1.1 500 Oops</D:status></D:response>")
                }
                Some(item) => {
                    let data = escape(&String::from_utf8_lossy(&item.octets));
                    response(&href, &format!("{}<C:calendar-data>{data}</C:calendar-data>", self.getetag(item)))
                }
                None => format!(
                    "<D:response><D:href>{href}</D:href><D:status>HTTP/1.1 404 Not Found</D:status></D:response>"
                ),
            };
        }
        multistatus(&xml)
    }

    fn object(&mut self, request: &Request<Bytes>, calendar: &str, name: &str) -> Answer {
        let Some(there) = self.calendars.get(calendar) else { return Answer::new(404, "") };
        let item = there.items.get(name);
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let current = item.map(|item| format!("\"{}\"", item.version));
        if let Some(wanted) = header("if-match")
            && current.as_ref() != Some(&wanted)
        {
            return Answer::error(412, "");
        }
        if header("if-none-match").as_deref() == Some("*") && current.is_some() {
            return Answer::error(412, "");
        }
        match request.method().as_str() {
            "GET" => match item {
                Some(_) if self.unservable.contains(name) => Answer::new(500, ""),
                Some(item) => Answer {
                    status: 200,
                    tag: self.tag(item),
                    body: String::from_utf8_lossy(&item.octets).into_owned(),
                },
                None => Answer::new(404, ""),
            },
            "DELETE" if there.read_only => Answer::error(403, "<D:need-privileges/>"),
            "DELETE" if item.is_none() => Answer::new(404, ""),
            "DELETE" => {
                self.writes.push(format!("DELETE {calendar}/{name}"));
                self.delete(calendar, name);
                Answer::new(204, "")
            }
            "PUT" => self.store(request.body(), calendar, name),
            "MOVE" if self.manners.moves => {
                let destination = header("destination").unwrap_or_default();
                self.relocate((calendar, name), &destination, header("overwrite").as_deref() == Some("F"))
            }
            _ => Answer::new(405, ""),
        }
    }

    fn relocate(&mut self, (calendar, name): (&str, &str), destination: &str, keeps: bool) -> Answer {
        let path = destination.parse::<http::Uri>().map(|uri| uri.path().to_owned()).unwrap_or_default();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let ["home", to, new] = parts[..] else { return Answer::new(502, "") };
        let Some(octets) = self.octets(calendar, name) else { return Answer::new(404, "") };
        let Some(there) = self.calendars.get(to) else { return Answer::new(409, "") };
        if there.read_only || self.calendars[calendar].read_only {
            return Answer::error(403, "<D:need-privileges/>");
        }
        if there.items.contains_key(new) && keeps {
            return Answer::new(412, "");
        }
        self.writes.push(format!("MOVE {calendar}/{name} {to}/{new}"));
        self.delete(calendar, name);
        self.put(to, new, octets);
        Answer::new(201, "")
    }

    fn store(&mut self, octets: &Bytes, calendar: &str, name: &str) -> Answer {
        let there = &self.calendars[calendar];
        let text = String::from_utf8_lossy(octets).into_owned();
        if there.read_only {
            return Answer::error(403, "<D:need-privileges/>");
        }
        if self.refuses.as_ref().is_some_and(|refused| text.contains(refused)) {
            return Answer::error(403, "<C:valid-calendar-data/>");
        }
        let uid = uid_of(octets);
        let holder = there.items.iter().find(|(other, item)| *other != name && uid_of(&item.octets) == uid);
        if let Some((holder, _)) = holder.filter(|_| self.manners.unique_uids) {
            let href = href(calendar, holder);
            return Answer::error(409, &format!("<C:no-uid-conflict><D:href>{href}</D:href></C:no-uid-conflict>"));
        }
        let status = if there.items.contains_key(name) { 204 } else { 201 };
        let kept = if self.manners.rewrites {
            text.split_inclusive('\n').filter(|line| !line.starts_with("X-")).collect::<String>().into()
        } else {
            octets.clone()
        };
        self.writes.push(format!("PUT {calendar}/{name}"));
        self.put(calendar, name, kept);
        let tag = Some(format!("\"{}\"", self.versions)).filter(|_| self.manners.tag_on_put);
        Answer { status, tag: tag.filter(|_| self.manners.tags == Tags::Strong), body: String::new() }
    }
}

const ENCODED: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#');

fn depth(request: &Request<Bytes>) -> &str {
    request.headers().get("depth").map_or("infinity", |value| value.to_str().unwrap())
}

fn describe(calendar: &Calendar) -> String {
    let right = if calendar.read_only { "read" } else { "write" };
    format!(
        "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype><D:displayname>{}</D:displayname>\
         <D:current-user-privilege-set><D:privilege><D:{right}/></D:privilege></D:current-user-privilege-set>",
        calendar.name
    )
}

fn href(calendar: &str, name: &str) -> String {
    format!("/home/{calendar}/{}", percent_encoding::utf8_percent_encode(name, ENCODED))
}

fn response(href: &str, props: &str) -> String {
    format!(
        "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{props}</D:prop>\
         <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )
}

fn multistatus(inside: &str) -> Answer {
    let xml = format!(
        "<D:multistatus xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\" \
         xmlns:CS=\"http://calendarserver.org/ns/\">{inside}</D:multistatus>"
    );
    Answer::new(207, xml)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\r', "&#13;")
}
