//! `DAV:multistatus` (RFC 4918 13 and 14.16, 6578 3, 8144 2): written piece by piece, and read from other servers.
//!
//! Writing: properties go into the answer as they are found; those of other states wait in small buffers until the
//! response ends. Nothing is held longer than that, so an answer of any length needs little memory: take what is ready
//! with [`MultistatusWriter::take_ready`] and go on.
//!
//! Reading: one `DAV:response` at a time, so that a big answer is never held as a tree. What other servers do is
//! taken: any prefix, relative hrefs, status lines without reason, several hrefs, missing statuses. A document that
//! does not come to its end is an error and never an empty answer, since absence means deletion.

use std::fmt;

use bytes::Bytes;
use http::StatusCode;

use super::element::Element;
use super::href::Href;
use super::name::{self, QName, ns::DAV};
use super::precondition::{Malformed, Precondition};
use super::writer::Writer;
use super::xml::{Document, Limits, decode};

/// An answer as another server gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Multistatus {
    /// One for each resource, in order.
    pub responses: Vec<Response>,
    /// The token of RFC 6578, if there is one.
    pub sync_token: Option<String>,
    /// Responses whose href could not be read. Absence proves nothing while there are any.
    pub unreadable: usize,
}

/// What is said about one resource, or about several that share a status.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// At least one; more than one only with a status.
    pub hrefs: Vec<Href>,
    /// The state of the whole resource, where the server says it instead of properties.
    pub status: Option<StatusCode>,
    /// Properties by state.
    pub propstats: Vec<Propstat>,
    /// The names of the conditions in `DAV:error`.
    pub errors: Vec<QName>,
    /// `DAV:responsedescription`, for people.
    pub description: Option<String>,
}

/// Properties of one state.
#[derive(Clone, PartialEq, Eq)]
pub struct Propstat {
    /// Their state; 200 where the server forgot to say.
    pub status: StatusCode,
    /// The properties.
    pub properties: Vec<Element>,
    /// The names of the conditions in `DAV:error`.
    pub errors: Vec<QName>,
}

impl Multistatus {
    /// Reads an answer. Relative hrefs stay relative: see [`Multistatus::parse_for`].
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let text = decode(body, Limits::ANSWER)?;
        let mut document = Document::open(&text, Limits::ANSWER)?;
        if !document.root().is(&name::dav::MULTISTATUS) {
            return Err(Malformed::Unexpected("the answer is no DAV:multistatus"));
        }
        let mut answer = Self::default();
        while let Some(child) = document.next_child()? {
            if child.is(&name::dav::SYNC_TOKEN) {
                answer.sync_token = Some(child.trimmed()).filter(|token| !token.is_empty());
            } else if child.is(&name::dav::RESPONSE) {
                match Response::from_element(child) {
                    Some(response) => answer.responses.push(response),
                    None => answer.unreadable += 1,
                }
            }
        }
        Ok(answer)
    }

    /// Reads the answer to a request to `asked`, against which relative hrefs are resolved.
    pub fn parse_for(asked: &Href, body: &[u8]) -> Result<Self, Malformed> {
        let mut answer = Self::parse(body)?;
        for href in answer.responses.iter_mut().flat_map(|response| &mut response.hrefs) {
            *href = href.against(asked);
        }
        Ok(answer)
    }

    /// The response about `href`, whatever its spelling.
    pub fn about(&self, href: &Href) -> Option<&Response> {
        self.responses.iter().find(|response| response.hrefs.iter().any(|h| h.same_resource(href)))
    }

    /// Whether the server says that more follows (RFC 6578 3.6): 507 on the collection asked, or on anything.
    pub fn is_truncated(&self) -> bool {
        self.responses.iter().any(|response| response.status == Some(StatusCode::INSUFFICIENT_STORAGE))
    }
}

impl Response {
    /// The resource.
    pub fn href(&self) -> Option<&Href> {
        self.hrefs.first()
    }

    /// The value of a property that the resource has.
    pub fn property(&self, name: &QName) -> Option<&Element> {
        self.found().find(|property| property.is(name))
    }

    /// All properties that the resource has.
    pub fn found(&self) -> impl Iterator<Item = &Element> {
        self.propstats.iter().filter(|propstat| propstat.status.is_success()).flat_map(|propstat| &propstat.properties)
    }

    /// The text of a property, blanks around it left out; none if it is empty.
    pub fn text(&self, name: &QName) -> Option<String> {
        self.property(name).map(Element::trimmed).filter(|text| !text.is_empty())
    }

    /// The hrefs inside a property.
    pub fn hrefs_in(&self, name: &QName) -> Vec<Href> {
        let inner = self.property(name).into_iter().flat_map(Element::children);
        inner.filter(|child| child.is(&name::dav::HREF)).filter_map(|h| Href::parse_answer(&h.text()).ok()).collect()
    }

    /// Whether the resource is gone: a state of the whole resource, which is 404, 410, or 418 (Infomaniak). A property
    /// that was not found says nothing about the resource.
    pub fn is_gone(&self) -> bool {
        self.status.is_some_and(|status| matches!(status.as_u16(), 404 | 410 | 418))
    }

    fn from_element(element: Element) -> Option<Self> {
        let mut response =
            Self { hrefs: Vec::new(), status: None, propstats: Vec::new(), errors: Vec::new(), description: None };
        for child in element.into_children() {
            match child.name().pair() {
                (DAV, "href") => response.hrefs.push(Href::parse_answer(&child.text()).ok()?),
                (DAV, "status") => response.status = parse_status(&child.text()),
                (DAV, "propstat") => response.propstats.push(Propstat::from_element(child)),
                (DAV, "error") => response.errors = child.children().map(|e| e.name().clone()).collect(),
                (DAV, "responsedescription") => response.description = Some(child.trimmed()),
                _ => {}
            }
        }
        (!response.hrefs.is_empty()).then_some(response)
    }
}

impl Propstat {
    fn from_element(element: Element) -> Self {
        let mut propstat = Self { status: StatusCode::OK, properties: Vec::new(), errors: Vec::new() };
        for child in element.into_children() {
            match child.name().pair() {
                (DAV, "prop") => propstat.properties.extend(child.into_children()),
                // A line that says nothing readable must not turn a failure into a success.
                (DAV, "status") => {
                    propstat.status = parse_status(&child.text()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                }
                (DAV, "error") => propstat.errors = child.children().map(|e| e.name().clone()).collect(),
                _ => {}
            }
        }
        propstat
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("hrefs", &self.hrefs)
            .field("status", &self.status)
            .field("propstats", &self.propstats)
            .field("errors", &self.errors)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Propstat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Propstat({}, {:?})", self.status.as_u16(), self.properties)
    }
}

/// The names of the conditions in a `DAV:error` body (RFC 4918 16); none if it is anything else.
pub fn parse_error(body: &[u8]) -> Vec<QName> {
    match Element::parse(body, Limits::ANSWER) {
        Ok(root) if root.is(&name::dav::ERROR) => root.children().map(|child| child.name().clone()).collect(),
        _ => Vec::new(),
    }
}

/// `HTTP/1.1 200 OK`, `HTTP/2 200`, `200`.
fn parse_status(line: &str) -> Option<StatusCode> {
    let mut words = line.split_ascii_whitespace();
    let first = words.next()?;
    let code = if first.get(..5).is_some_and(|p| p.eq_ignore_ascii_case("HTTP/")) { words.next()? } else { first };
    StatusCode::from_bytes(code.as_bytes()).ok()
}

/// An answer of ours in the making.
pub struct MultistatusWriter {
    out: Writer,
    /// Names of properties that a resource has not; written at the end of its response.
    missing: Writer,
    /// Properties in other states, each group as it was started.
    others: Vec<Group>,
    minimal: bool,
}

struct Group {
    status: StatusCode,
    error: Option<Precondition>,
    properties: Writer,
}

impl MultistatusWriter {
    /// A new answer. `Prefer: return=minimal` leaves out what was not found (RFC 8144 2.1).
    pub fn new(preference: Detail) -> Self {
        Self::within(Writer::document(&name::dav::MULTISTATUS), preference)
    }

    fn within(out: Writer, preference: Detail) -> Self {
        Self { out, missing: Writer::new(), others: Vec::new(), minimal: preference == Detail::Minimal }
    }

    /// Starts the properties of one resource; they end when the member is dropped.
    pub fn member(&mut self, href: &Href) -> Member<'_> {
        self.out.start(&name::dav::RESPONSE).href(href);
        Member { answer: self, within: Some(name::dav::RESPONSE), open: false, grouped: false }
    }

    /// A whole response, written by `write` as [`nested_response`] would.
    pub fn response(&mut self, write: impl FnOnce(&mut Writer)) {
        write(&mut self.out);
    }

    /// Says the state of a whole resource.
    pub fn status(&mut self, href: &Href, status: StatusCode) {
        self.failed(href, status, None, None);
    }

    /// Says that a member was removed (RFC 6578 3.4) or never was.
    pub fn gone(&mut self, href: &Href) {
        self.status(href, StatusCode::NOT_FOUND);
    }

    /// Says that more members follow, to be fetched with the token at the end (RFC 6578 3.6).
    pub fn truncated(&mut self, collection: &Href) {
        let limits = Precondition::NumberOfMatchesWithinLimits;
        self.failed(collection, StatusCode::INSUFFICIENT_STORAGE, Some(&limits), None);
    }

    /// Says why nothing else is said about a resource.
    pub fn failed(&mut self, href: &Href, status: StatusCode, error: Option<&Precondition>, why: Option<&str>) {
        self.out.start(&name::dav::RESPONSE).href(href);
        write_status(&mut self.out, status);
        if let Some(error) = error {
            error.write_error(&mut self.out);
        }
        if let Some(why) = why {
            self.out.text_element(&name::dav::RESPONSEDESCRIPTION, why);
        }
        self.out.end(&name::dav::RESPONSE);
    }

    /// What is written, once it is worth sending.
    pub fn take_ready(&mut self) -> Option<Bytes> {
        (self.out.len() >= PIECE).then(|| self.out.take())
    }

    /// The last piece; with the token of RFC 6578, if it is an answer to sync-collection.
    pub fn finish(mut self, sync_token: Option<&str>) -> Bytes {
        if let Some(token) = sync_token {
            self.out.text_element(&name::dav::SYNC_TOKEN, token);
        }
        self.out.end(&name::dav::MULTISTATUS);
        self.out.finish()
    }
}

impl fmt::Debug for MultistatusWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MultistatusWriter({} octets waiting)", self.out.len())
    }
}

/// The body of an answer to MKCOL or MKCALENDAR that tells what became of each property: `DAV:mkcol-response`
/// (RFC 5689 3.2) or `CALDAV:mkcalendar-response`, with the states that `tell` gives.
pub fn write_creation_response(root: &QName, tell: impl FnOnce(&mut Member<'_>)) -> Bytes {
    let mut answer = MultistatusWriter::within(Writer::document(root), Detail::Full);
    tell(&mut Member { answer: &mut answer, within: None, open: false, grouped: false });
    answer.out.end(root);
    answer.out.finish()
}

/// One response alone, for the value of an expanded property (RFC 3253 3.8). For [`Writer::raw`].
pub fn nested_response(href: &Href, preference: Detail, tell: impl FnOnce(&mut Member<'_>)) -> Bytes {
    let mut answer = MultistatusWriter::within(Writer::new(), preference);
    tell(&mut answer.member(href));
    answer.out.finish()
}

/// How much an answer shall say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// All states.
    #[default]
    Full,
    /// Not what was not found.
    Minimal,
}

/// The properties of one resource in the making. Each asked property goes into exactly one state.
pub struct Member<'a> {
    answer: &'a mut MultistatusWriter,
    /// What ends with it.
    within: Option<QName>,
    /// Whether the group of found properties is open.
    open: bool,
    /// Whether any group was written.
    grouped: bool,
}

impl Member<'_> {
    /// A property with text.
    pub fn text(&mut self, name: &QName, text: &str) -> &mut Self {
        self.found(name, |writer| {
            writer.text(text);
        })
    }

    /// A property that holds one href.
    pub fn href(&mut self, name: &QName, href: &Href) -> &mut Self {
        self.found(name, |writer| {
            writer.href(href);
        })
    }

    /// A property whose value is written by `value`.
    pub fn found(&mut self, name: &QName, value: impl FnOnce(&mut Writer)) -> &mut Self {
        self.open_found();
        let out = &mut self.answer.out;
        out.start(name);
        value(out);
        out.end(name);
        self
    }

    /// A property without value, as `propname` and the answer to PROPPATCH want it.
    pub fn named(&mut self, name: &QName) -> &mut Self {
        self.open_found();
        self.answer.out.empty(name);
        self
    }

    /// A whole property as it was stored: its own element, with the prefixes it needs.
    pub fn stored(&mut self, xml: &[u8]) -> &mut Self {
        self.open_found();
        self.answer.out.raw(xml);
        self
    }

    /// A property that the resource has not.
    pub fn missing(&mut self, name: &QName) -> &mut Self {
        if !self.answer.minimal {
            self.answer.missing.empty(name);
        }
        self
    }

    /// A property in another state, with the condition that it violates.
    pub fn refused(&mut self, name: &QName, status: StatusCode, error: Option<&Precondition>) -> &mut Self {
        let others = &mut self.answer.others;
        if let Some(group) = others.iter_mut().find(|g| g.status == status && g.error.as_ref() == error) {
            group.properties.empty(name);
        } else {
            let mut properties = Writer::new();
            properties.empty(name);
            others.push(Group { status, error: error.cloned(), properties });
        }
        self
    }

    fn open_found(&mut self) {
        if !self.open {
            self.open = true;
            self.answer.out.start(&name::dav::PROPSTAT).start(&name::dav::PROP);
        }
    }

    fn close_found(&mut self) {
        self.open = false;
        self.grouped = true;
        let out = &mut self.answer.out;
        out.end(&name::dav::PROP);
        write_status(out, StatusCode::OK);
        out.end(&name::dav::PROPSTAT);
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if self.open {
            self.close_found();
        }
        if !self.answer.missing.is_empty() {
            let missing = self.answer.missing.take();
            write_group(&mut self.answer.out, StatusCode::NOT_FOUND, None, &missing);
            self.grouped = true;
        }
        for mut group in std::mem::take(&mut self.answer.others) {
            let properties = group.properties.take();
            write_group(&mut self.answer.out, group.status, group.error.as_ref(), &properties);
            self.grouped = true;
        }
        if !self.grouped {
            // A response without a status would be invalid: an empty found group (RFC 8144 2.1).
            self.open_found();
            self.close_found();
        }
        if let Some(response) = &self.within {
            self.answer.out.end(response);
        }
    }
}

impl fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Member of {:?}", self.answer)
    }
}

fn write_group(out: &mut Writer, status: StatusCode, error: Option<&Precondition>, properties: &[u8]) {
    out.start(&name::dav::PROPSTAT).start(&name::dav::PROP).raw(properties).end(&name::dav::PROP);
    write_status(out, status);
    if let Some(error) = error {
        error.write_error(out);
    }
    out.end(&name::dav::PROPSTAT);
}

pub(super) fn write_status(out: &mut Writer, status: StatusCode) {
    out.start(&name::dav::STATUS).text("HTTP/1.1 ").text(status.as_str());
    out.text(" ").text(status.canonical_reason().unwrap_or_default()).end(&name::dav::STATUS);
}

/// Small enough to start soon, large enough not to chop.
const PIECE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn href(path: &str) -> Href {
        Href::parse(path).unwrap()
    }

    #[test]
    fn properties_are_grouped_by_state() {
        let mut answer = MultistatusWriter::new(Detail::Full);
        answer
            .member(&href("/cal/a.ics"))
            .missing(&name::dav::OWNER)
            .text(&name::dav::GETETAG, "\"1\"")
            .refused(&name::dav::ACL, StatusCode::FORBIDDEN, Some(&Precondition::CannotModifyProtectedProperty))
            .named(&name::dav::RESOURCETYPE)
            .stored(b"<X:y xmlns:X=\"urn:x\"/>");
        let text = String::from_utf8(answer.finish(None).to_vec()).unwrap();
        let expected = "<D:response><D:href>/cal/a.ics</D:href>\
            <D:propstat><D:prop><D:getetag>\"1\"</D:getetag><D:resourcetype/><X:y xmlns:X=\"urn:x\"/></D:prop>\
            <D:status>HTTP/1.1 200 OK</D:status></D:propstat>\
            <D:propstat><D:prop><D:owner/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>\
            <D:propstat><D:prop><D:acl/></D:prop><D:status>HTTP/1.1 403 Forbidden</D:status>\
            <D:error><D:cannot-modify-protected-property/></D:error></D:propstat></D:response></D:multistatus>";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn a_refused_creation_tells_of_each_property() {
        let body = write_creation_response(&name::caldav::MKCALENDAR_RESPONSE, |answer| {
            let protected = Precondition::CannotModifyProtectedProperty;
            answer.refused(&name::dav::GETETAG, StatusCode::FORBIDDEN, Some(&protected));
            answer.refused(&name::dav::DISPLAYNAME, StatusCode::FAILED_DEPENDENCY, None);
        });
        let root = Element::parse(&body, Limits::REQUEST).unwrap();
        assert!(root.is(&name::caldav::MKCALENDAR_RESPONSE));
        assert_eq!(root.children().filter(|child| child.is(&name::dav::PROPSTAT)).count(), 2);
    }

    #[test]
    fn an_expanded_property_holds_responses() {
        let inner = nested_response(&href("/p/ana/"), Detail::Full, |member| {
            member.text(&name::dav::DISPLAYNAME, "Ana").missing(&name::dav::OWNER);
        });
        let mut answer = MultistatusWriter::new(Detail::Full);
        answer.member(&href("/p/all/")).found(&name::dav::GROUP_MEMBER_SET, |writer| {
            writer.raw(&inner);
        });
        let read = Multistatus::parse(&answer.finish(None)).unwrap();
        let set = read.responses[0].property(&name::dav::GROUP_MEMBER_SET).unwrap();
        let response = set.child(&name::dav::RESPONSE).unwrap();
        assert_eq!(response.child(&name::dav::HREF).unwrap().text(), "/p/ana/");
        assert_eq!(response.children().filter(|child| child.is(&name::dav::PROPSTAT)).count(), 2);
    }

    #[test]
    fn minimal_leaves_out_what_was_not_found() {
        let mut answer = MultistatusWriter::new(Detail::Minimal);
        answer.member(&href("/a")).missing(&name::dav::OWNER);
        let text = String::from_utf8(answer.finish(None).to_vec()).unwrap();
        let expected = "<D:propstat><D:prop></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>";
        assert!(text.contains(expected) && !text.contains("404"), "{text}");
    }

    #[test]
    fn what_is_written_is_read() {
        let mut answer = MultistatusWriter::new(Detail::Full);
        let data = "BEGIN:VCALENDAR\r\nSUMMARY:a & <b>\r\nEND:VCALENDAR\r\n";
        answer
            .member(&href("/cal/ana%40x/a.ics"))
            .text(&name::dav::GETETAG, "\"x\"")
            .text(&name::caldav::CALENDAR_DATA, data)
            .missing(&name::dav::OWNER);
        answer.gone(&href("/cal/ana%40x/b.ics"));
        answer.truncated(&href("/cal/ana%40x/"));
        let read = Multistatus::parse(&answer.finish(Some("urn:sync:1&2"))).unwrap();
        assert_eq!(read.sync_token.as_deref(), Some("urn:sync:1&2"));
        assert_eq!((read.responses.len(), read.unreadable), (3, 0));
        let first = read.about(&href("/cal/ana@x/a.ics")).unwrap();
        assert_eq!(first.property(&name::caldav::CALENDAR_DATA).unwrap().text(), data);
        assert_eq!(first.text(&name::dav::GETETAG).as_deref(), Some("\"x\""));
        assert!(first.property(&name::dav::OWNER).is_none() && !first.is_gone());
        assert!(read.about(&href("/cal/ana@x/b.ics")).unwrap().is_gone());
        assert!(read.is_truncated());
        let collection = read.about(&href("/cal/ana@x/")).unwrap();
        assert_eq!(collection.errors, [Precondition::NumberOfMatchesWithinLimits.element()]);
    }

    #[test]
    fn pieces_make_the_whole() {
        let mut whole = Vec::new();
        let mut answer = MultistatusWriter::new(Detail::Full);
        let mut pieces = 0;
        for number in 0..1000 {
            answer.member(&href(&format!("/cal/{number}.ics"))).text(&name::dav::GETETAG, "\"x\"");
            if let Some(piece) = answer.take_ready() {
                pieces += 1;
                assert!(piece.len() < 2 * PIECE);
                whole.extend_from_slice(&piece);
            }
        }
        whole.extend_from_slice(&answer.finish(None));
        assert!(pieces > 5);
        assert_eq!(Multistatus::parse(&whole).unwrap().responses.len(), 1000);
    }

    #[test]
    fn other_servers_are_understood() {
        let body = "\u{feff}<?xml version='1.0' encoding='UTF-8'?>\n<multistatus xmlns='DAV:' xmlns:cal='urn:ietf:params:xml:ns:caldav'>\n\
            <response><href>one%40x.ics</href><propstat><prop><getetag>W/abc</getetag>\
            <cal:calendar-data><![CDATA[BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n]]></cal:calendar-data></prop><status>HTTP/1.1 200</status></propstat></response>\n\
            <response><href>https://Host:8443/cal/two.ics</href><status>HTTP/2 418</status></response>\
            <response><href>/cal/three.ics</href><propstat><prop><getetag/></prop><status>HTTP/1.1 404 Not Found</status></propstat></response>\
            <response><href>/cal/four.ics</href><href>/cal/five.ics</href><status>410 Gone</status></response>\
            <response><href>/cal/six.ics</href><propstat><prop><getetag>6</getetag></prop></propstat></response>\
            <response><href>/cal/../x</href><status>HTTP/1.1 404</status></response>\
            <sync-token> t </sync-token></multistatus>";
        let read = Multistatus::parse_for(&href("/cal/"), body.as_bytes()).unwrap();
        let gone: Vec<_> = read.responses.iter().map(Response::is_gone).collect();
        assert_eq!(gone, [false, true, false, true, false]);
        assert_eq!(read.unreadable, 1);
        assert_eq!(read.sync_token.as_deref(), Some("t"));
        let one = read.about(&href("/cal/one@x.ics")).unwrap();
        assert_eq!(one.href().unwrap().as_str(), "/cal/one%40x.ics");
        assert_eq!(one.property(&name::caldav::CALENDAR_DATA).unwrap().text(), "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n");
        assert_eq!(read.about(&href("/cal/six.ics")).unwrap().text(&name::dav::GETETAG).as_deref(), Some("6"));
        assert!(read.about(&href("/cal/two.ics")).is_some());
    }

    #[test]
    fn half_an_answer_is_no_answer() {
        let whole = "<D:multistatus xmlns:D='DAV:'><D:response><D:href>/a</D:href></D:response></D:multistatus>";
        assert!(Multistatus::parse(whole.as_bytes()).is_ok());
        for end in 0..whole.len() {
            assert!(Multistatus::parse(&whole.as_bytes()[..end]).is_err(), "{end}");
        }
        assert!(Multistatus::parse(b"<html><body>Sign in</body></html>").is_err());
    }

    #[test]
    fn errors_are_named() {
        assert_eq!(parse_error(&Precondition::ValidSyncToken.body()), [Precondition::ValidSyncToken.element()]);
        assert_eq!(parse_error(b"<html/>"), []);
        assert_eq!(parse_error(b"Forbidden"), []);
    }
}
