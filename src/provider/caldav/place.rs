//! Hrefs of a server as URLs to ask and as ids to remember (RFC 3986, RFC 4918 8.3).
//!
//! Servers spell one path in several ways (`%40` and `@`, `%7e` and `~`, with and without host), some even
//! within one answer, and a few know only the spelling that they made themselves.
//! Invariant: the id of a path is one spelling whatever was sent, so ids can be compared as text; the
//! server's own spelling is what requests are made with, once it was seen.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use url::Url;

use crate::provider::{RemoteId, RemoteTag};

/// The URL that `href` means in an answer to a request to `base`.
pub(super) fn resolve(base: &Url, href: &str) -> Option<Url> {
    let mut url = base.join(href.trim()).ok()?;
    url.set_fragment(None);
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    // Behind a proxy that ends TLS, servers name themselves with http.
    if base.scheme() == "https" && url.scheme() == "http" && url.host() == base.host() {
        url.set_scheme("https").ok()?;
        url.set_port(base.port()).ok()?;
    }
    // What a server names is never a way to hand it other credentials.
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(url)
}

/// The id of `url` for an account whose first home is at `home`: its path in one spelling, with the origin in
/// front only where that is another one (so that ids outlive a move of the server).
pub(super) fn id_of(home: &Url, url: &Url) -> RemoteId {
    let path = canonical_path(url);
    if url.origin() == home.origin() {
        RemoteId::new(path)
    } else {
        RemoteId::new(format!("{}{path}", url.origin().ascii_serialization()))
    }
}

/// Whether two URLs name the same resource, the final slash of a collection being optional.
pub(super) fn same_resource(a: &Url, b: &Url) -> bool {
    a.origin() == b.origin() && canonical_path(a).trim_end_matches('/') == canonical_path(b).trim_end_matches('/')
}

/// The path with every segment decoded and encoded again in one way, and its query if it has one.
fn canonical_path(url: &Url) -> String {
    let segments: Vec<String> = url
        .path()
        .split('/')
        .map(|segment| percent_encode(&percent_decode_str(segment).collect::<Vec<u8>>(), ENCODED).to_string())
        .collect();
    let path = segments.join("/");
    match url.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

/// How the server itself spells the paths behind ids, where that is not the canonical spelling.
#[derive(Debug, Default)]
pub(super) struct Spellings(Mutex<HashMap<RemoteId, Url>>);

impl Spellings {
    /// The id of `url`, whose spelling is remembered.
    pub(super) fn learn(&self, home: &Url, url: &Url) -> RemoteId {
        let id = id_of(home, url);
        if canonical_path(url) != spelled_path(url) {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= SPELLINGS {
                // Forgetting costs a second request, no more.
                known.clear();
            }
            known.insert(id.clone(), url.clone());
        }
        id
    }

    /// The URL to ask for `id`.
    pub(super) fn url(&self, home: &Url, id: &RemoteId) -> Option<Url> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(id).cloned().or_else(|| home.join(id.as_str()).ok())
    }

    /// Another spelling to try when the first is not found: everything encoded that may be.
    pub(super) fn second_url(&self, home: &Url, id: &RemoteId) -> Option<Url> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains_key(id) {
            return None;
        }
        drop(known);
        let url = home.join(id.as_str()).ok()?;
        let encode = |segment| percent_encode(&percent_decode_str(segment).collect::<Vec<u8>>(), STRICT).to_string();
        let path = url.path().split('/').map(encode).collect::<Vec<_>>().join("/");
        let mut other = url.clone();
        other.set_path(&path);
        (other != url).then_some(other)
    }
}

fn spelled_path(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

/// An entity tag as this server must be sent it again, or none if `text` is empty. The quotes stay as they
/// are, or are missing as they are; what servers and proxies add on the way is taken off.
pub(super) fn tag(text: &str) -> Option<RemoteTag> {
    let text = text.trim();
    let text = text.strip_prefix("W/").unwrap_or(text);
    let bare = |suffix| text.strip_suffix('"')?.strip_suffix(suffix).map(|rest: &str| format!("{rest}\""));
    let text = bare("-gzip").or_else(|| bare(";gzip")).unwrap_or_else(|| text.to_owned());
    (!text.is_empty() && text != "\"\"").then(|| RemoteTag::new(text))
}

/// What stays encoded in an id: everything that could be read as something else than a path's octet.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// All but the unreserved characters of RFC 3986.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const SPELLINGS: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn one_path_has_one_id_however_spelled() {
        let home = url("https://p07.example.org/1/calendars/");
        let same = [
            "/1/calendars/ana@x/a%20b.ics",
            "/1/calendars/ana%40x/a b.ics",
            "https://p07.example.org:443/1/calendars/ana%40x/%61%20b.ics",
            "http://p07.example.org/1/calendars/ana@x/a%20b.ics",
            "ana@x/a%20b.ics",
        ];
        for href in same {
            let id = id_of(&home, &resolve(&home, href).unwrap());
            assert_eq!(id.as_str(), "/1/calendars/ana@x/a%20b.ics", "{href}");
        }
        let elsewhere = id_of(&home, &resolve(&home, "https://p09.example.org/x/").unwrap());
        assert_eq!(elsewhere.as_str(), "https://p09.example.org/x/");
        // A slash inside a segment is not a slash between two, and octets that are no UTF-8 survive.
        assert_eq!(id_of(&home, &url("https://p07.example.org/a%2fb/%e4%FF")).as_str(), "/a%2Fb/%E4%FF");
        assert_eq!(resolve(&home, "mailto:x@y"), None);
        assert_eq!(resolve(&home, "https://u:p@evil.org/").unwrap().as_str(), "https://evil.org/");
    }

    #[test]
    fn the_servers_own_spelling_is_used_once_seen() {
        let home = url("https://example.org/");
        let spellings = Spellings::default();
        let id = spellings.learn(&home, &url("https://example.org/ana%40x/1.ics"));
        assert_eq!(spellings.url(&home, &id).unwrap().path(), "/ana%40x/1.ics");
        assert_eq!(spellings.second_url(&home, &id), None);
        let plain = spellings.learn(&home, &url("https://example.org/ana@x/2.ics"));
        assert_eq!(spellings.url(&home, &plain).unwrap().path(), "/ana@x/2.ics");
        assert_eq!(spellings.second_url(&home, &plain).unwrap().path(), "/ana%40x/2.ics");
        let simple = RemoteId::new("/a/b-1.ics");
        assert_eq!(spellings.second_url(&home, &simple), None);
    }

    #[test]
    fn tags_are_kept_as_sent_but_for_what_the_way_added() {
        let table = [
            ("\"a\"", Some("\"a\"")),
            ("W/\"a\"", Some("\"a\"")),
            (" \"a-gzip\" ", Some("\"a\"")),
            ("W/\"a;gzip\"", Some("\"a\"")),
            ("http://www.open-xchange.com/etags/703-1", Some("http://www.open-xchange.com/etags/703-1")),
            ("\"C=103@U=x%22\"", Some("\"C=103@U=x%22\"")),
            ("", None),
            ("\"\"", None),
        ];
        for (text, expect) in table {
            assert_eq!(tag(text).as_ref().map(RemoteTag::as_str), expect, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn an_id_leads_back_to_itself(path in "(/([a-z@:% ~!]|%[0-9a-fA-F]{2}|é){0,12}){1,3}/?") {
            let home = url("https://example.org/");
            if let Some(found) = resolve(&home, &path).filter(|found| found.origin() == home.origin()) {
                let id = id_of(&home, &found);
                let spellings = Spellings::default();
                let again = spellings.url(&home, &id).unwrap();
                proptest::prop_assert_eq!(id_of(&home, &again), id.clone());
                proptest::prop_assert!(same_resource(&found, &again));
                let second = spellings.second_url(&home, &id);
                proptest::prop_assert!(second.is_none_or(|second| id_of(&home, &second) == id));
            }
        }
    }
}
