//! The path of a resource as it stands in `DAV:href`, the request line and `Destination` (RFC 4918 8.3, RFC 3986).
//!
//! Two hrefs are equal when their decoded segments are: `%40` is `@`, `%7e` is `~`. What we make ourselves has one
//! spelling; what a server sent keeps its own, since some servers know no other.
//!
//! Invariant: no `.` or `..` segment, no NUL or other control character, no empty segment save the last; segments are
//! UTF-8. Only the last part of a path may be empty: that is the final slash of a collection.
//!
//! It never maps a path to anything: that is routing.

use std::fmt;
use std::hash::{Hash, Hasher};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

/// A path, absolute or (only in answers of other servers) relative to the request.
#[derive(Clone)]
pub struct Href {
    /// As it is written: by us, or by whom it came from; with the origin if it had one.
    text: String,
    /// `scheme://host:port` as written, lower-case.
    origin: Option<String>,
    segments: Vec<String>,
    slash: bool,
    relative: bool,
}

/// A text that names no resource, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadHref(&'static str);

impl Href {
    /// The path with these decoded segments; `collection` puts the final slash.
    pub fn collection<'a>(segments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::build(segments, true)
    }

    /// The same without final slash.
    pub fn resource<'a>(segments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::build(segments, false)
    }

    /// Reads a path or an absolute URL; a query or fragment is left out.
    pub fn parse(text: &str) -> Result<Self, BadHref> {
        let href = Self::read(text, Decoding::Strict)?;
        if href.relative { Err(BadHref("the path does not start with a slash")) } else { Ok(href) }
    }

    /// Reads what another server wrote: relative too, and with octets that are no UTF-8 (those stay encoded).
    pub fn parse_answer(text: &str) -> Result<Self, BadHref> {
        Self::read(text, Decoding::Forgiving)
    }

    /// As it is written. For our own: the one encoded spelling.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `scheme://host[:port]` in lower case, if it came as an absolute URL.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The decoded segments, without the empty one that a final slash makes.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The last decoded segment.
    pub fn name(&self) -> Option<&str> {
        self.segments.last().map(String::as_str)
    }

    /// Whether it ends in a slash, as those of collections do.
    pub fn has_slash(&self) -> bool {
        self.slash
    }

    /// Whether both name the same path, be it with or without final slash and origin.
    pub fn same_resource(&self, other: &Self) -> bool {
        self.segments == other.segments && self.relative == other.relative
    }

    /// Whether it lies right below `parent`.
    pub fn is_child_of(&self, parent: &Self) -> bool {
        self.segments.split_last().is_some_and(|(_, above)| above == parent.segments.as_slice())
    }

    /// The member `name` of this collection, in our spelling.
    #[must_use]
    pub fn member(&self, name: &str) -> Self {
        Self::resource(self.segments.iter().map(String::as_str).chain([name]))
    }

    /// The same path without origin, in our spelling.
    #[must_use]
    pub fn canonical(&self) -> Self {
        Self::build(self.segments.iter().map(String::as_str), self.slash)
    }

    /// A relative one made absolute against the href that was asked (RFC 3986 5.2.3).
    #[must_use]
    pub fn against(&self, base: &Self) -> Self {
        if !self.relative {
            return self.clone();
        }
        let kept = if base.slash { base.segments.len() } else { base.segments.len().saturating_sub(1) };
        let above = base.segments.iter().take(kept).map(String::as_str);
        let mut whole = Self::build(above.chain(self.segments.iter().map(String::as_str)), self.slash);
        // Their spelling of the name is kept; the folder's is that of the request.
        let folder = path_of(&base.text).1;
        let folder = if base.slash { folder } else { folder.rsplit_once('/').map_or("", |(folder, _)| folder) };
        whole.text = format!("{}/{}", folder.trim_end_matches('/'), self.text.trim_start_matches("./"));
        whole
    }

    /// The URL that it means in an answer to a request to `base`.
    pub fn to_url(&self, base: &Url) -> Option<Url> {
        base.join(&self.text).ok()
    }

    fn build<'a>(segments: impl IntoIterator<Item = &'a str>, slash: bool) -> Self {
        let segments: Vec<String> = segments.into_iter().map(str::to_owned).collect();
        let slash = slash || segments.is_empty();
        let mut text = String::with_capacity(segments.iter().map(|s| s.len() + 1).sum::<usize>() + 1);
        for segment in &segments {
            text.push('/');
            text.extend(utf8_percent_encode(segment, ENCODED));
        }
        if slash {
            text.push('/');
        }
        Self { text, origin: None, segments, slash, relative: false }
    }

    fn read(text: &str, decoding: Decoding) -> Result<Self, BadHref> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        if text.len() > MAX_LENGTH {
            return Err(BadHref("the path is too long"));
        }
        let end = text.find(['?', '#']).unwrap_or(text.len());
        let text = text.get(..end).unwrap_or_default();
        let (origin, path) = path_of(text);
        if path.is_empty() && origin.is_none() {
            return Err(BadHref("the path is empty"));
        }
        if origin.is_none() && path.starts_with("//") {
            return Err(BadHref("a path can't start with two slashes"));
        }
        let relative = origin.is_none() && !path.starts_with('/');
        if relative && has_scheme(path) {
            return Err(BadHref("a URI of another kind"));
        }
        let inner = path.strip_prefix('/').unwrap_or(path);
        let inner = if relative { inner.trim_start_matches("./") } else { inner };
        let (inner, slash) = match inner.strip_suffix('/') {
            Some(inner) => (inner, true),
            None => (inner, inner.is_empty()),
        };
        let segments = match inner {
            "" => Vec::new(),
            _ => inner.split('/').map(|raw| segment(raw, decoding)).collect::<Result<_, _>>()?,
        };
        let origin = origin.map(str::to_ascii_lowercase);
        Ok(Self { text: text.to_owned(), origin, segments, slash, relative })
    }
}

impl PartialEq for Href {
    fn eq(&self, other: &Self) -> bool {
        self.slash == other.slash && self.same_resource(other)
    }
}

impl Eq for Href {}

impl Hash for Href {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.segments.hash(state);
        self.slash.hash(state);
    }
}

impl fmt::Display for Href {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Href {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Href({})", self.text)
    }
}

#[derive(Clone, Copy)]
enum Decoding {
    Strict,
    Forgiving,
}

/// Splits `http://host:1/path` into origin and path; a path alone has no origin.
fn path_of(text: &str) -> (Option<&str>, &str) {
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let Some(scheme) = scheme else { return (None, text) };
    let path = text.get(scheme.len()..).and_then(|rest| rest.find('/')).map_or(text.len(), |at| at + scheme.len());
    let (origin, path) = text.split_at(path);
    (Some(origin), path)
}

/// Whether it is a whole URI, as `mailto:` and `urn:` are (RFC 3986 3.1).
fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    let letters = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(letters)
}

fn segment(raw: &str, decoding: Decoding) -> Result<String, BadHref> {
    let well_encoded =
        raw.split('%').skip(1).all(|after| after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2);
    let decoded = match percent_decode_str(raw).decode_utf8() {
        Ok(decoded) if well_encoded => decoded.into_owned(),
        _ if matches!(decoding, Decoding::Forgiving) => raw.to_ascii_uppercase(),
        Ok(_) => return Err(BadHref("a percent sign without two hexadecimal digits")),
        Err(_) => return Err(BadHref("the path is not UTF-8")),
    };
    match decoded.as_str() {
        "" => Err(BadHref("a part of the path is empty")),
        "." | ".." => Err(BadHref("the path has a part made of dots")),
        text if text.chars().any(char::is_control) => Err(BadHref("the path has control characters")),
        _ => Ok(decoded),
    }
}

/// A segment as it stands in an href, in parts.
pub fn encoded(segment: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(segment, ENCODED)
}

/// Everything but the unreserved characters of RFC 3986 2.3, so that no client has to guess.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const MAX_LENGTH: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_resource_are_equal() {
        let plain = Href::parse("/dav/calendars/ana@example.org/unified/a b~.ics").unwrap();
        for other in [
            "/dav/calendars/ana%40example.org/unified/a%20b%7E.ics",
            "/dav/calendars/ana%40example%2eorg/unified/a%20b%7e.ics?x=1#y",
            " https://Cal.Example:8443/dav/calendars/ana@example.org/unified/a%20b~.ics ",
        ] {
            assert_eq!(Href::parse(other).unwrap(), plain, "{other}");
        }
        assert_eq!(plain.canonical().as_str(), "/dav/calendars/ana%40example.org/unified/a%20b~.ics");
        assert_ne!(Href::parse("/a/").unwrap(), Href::parse("/a").unwrap());
        assert!(Href::parse("/a/").unwrap().same_resource(&Href::parse("/a").unwrap()));
        assert_ne!(Href::parse("/a%2Fb").unwrap(), Href::parse("/a/b").unwrap());
    }

    #[test]
    fn what_names_no_resource_is_refused() {
        for bad in [
            "",
            "a",
            "../a",
            "/a/../b",
            "/a/%2e%2E/b",
            "/./a",
            "/a//b",
            "//host/a",
            "/a%00b",
            "/%0a",
            "/%ff",
            "/%zz",
            "/%4",
        ] {
            assert!(Href::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Href::parse(&format!("/{}", "x".repeat(9000))).is_err());
    }

    #[test]
    fn the_root_is_a_collection() {
        for root in ["/", "http://host/", "http://host"] {
            let href = Href::parse(root).unwrap();
            assert!(href.segments().is_empty() && href.has_slash(), "{root}");
        }
        assert_eq!(Href::collection([]).as_str(), "/");
    }

    #[test]
    fn answers_keep_their_spelling() {
        let base = Href::parse("/cal/ana%40x/").unwrap();
        let relative = Href::parse_answer("one%2Bmore.ics").unwrap().against(&base);
        assert_eq!(relative.as_str(), "/cal/ana%40x/one%2Bmore.ics");
        assert_eq!(relative, Href::parse("/cal/ana@x/one+more.ics").unwrap());
        let latin1 = Href::parse_answer("/cal/caf%e9.ics").unwrap();
        assert_eq!(latin1.as_str(), "/cal/caf%e9.ics");
        assert_eq!(latin1, Href::parse_answer("/cal/caf%E9.ics").unwrap());
        for other in ["/cal/../../secret", "mailto:ana@example.org", "urn:uuid:1", "ftp://x/y"] {
            assert!(Href::parse_answer(other).is_err(), "{other}");
        }
        assert_eq!(Href::parse_answer("2020-01-01T10:00.ics").unwrap().name(), Some("2020-01-01T10:00.ics"));
        let absolute = Href::parse_answer("https://p42-caldav.icloud.com:443/1/calendars/").unwrap();
        assert_eq!(absolute.origin(), Some("https://p42-caldav.icloud.com:443"));
        let url = absolute.to_url(&"https://caldav.icloud.com/".parse().unwrap()).unwrap();
        assert_eq!(url.as_str(), "https://p42-caldav.icloud.com/1/calendars/");
    }

    #[test]
    fn members_lie_below_their_collection() {
        let calendar = Href::collection(["dav", "calendars", "ana", "unified"]);
        let member = calendar.member("uid@host.ics");
        assert_eq!(member.as_str(), "/dav/calendars/ana/unified/uid%40host.ics");
        assert!(member.is_child_of(&calendar) && !calendar.is_child_of(&calendar));
        assert_eq!(member.name(), Some("uid@host.ics"));
    }

    proptest! {
        #[test]
        fn our_spelling_reads_back(segments in prop::collection::vec("[^/\\p{Cc}]{1,12}", 0..5), slash: bool) {
            prop_assume!(segments.iter().all(|s| s != "." && s != ".."));
            let href = Href::build(segments.iter().map(String::as_str), slash);
            let again = Href::parse(href.as_str()).unwrap();
            prop_assert_eq!(again.segments(), segments.as_slice());
            prop_assert_eq!(&again, &href);
            let canonical = again.canonical();
            prop_assert_eq!(canonical.as_str(), href.as_str());
            prop_assert!(href.as_str().is_ascii());
        }

        #[test]
        fn nothing_panics(text in "[/a.%0-9eE:?#é@ -]{0,40}") {
            let _either_way_is_fine = Href::parse(&text);
            if let Ok(href) = Href::parse_answer(&text) {
                let _joined = href.against(&Href::collection(["x"]));
            }
        }
    }
}
