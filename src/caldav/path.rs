//! Where a resource stands: paths under `/dav/` to types and back.
//!
//! The invariant: `Path::parse(path.href().as_str()) == path`, and two spellings of one place (`%40` and `@`, raw and
//! encoded letters, with and without the final slash) are one `Path`. Answers carry one spelling only, [`Path::href`].
//! A path is refused when any part of it could mean something else to another reader: dot segments, empty segments,
//! encoded slashes, control characters, broken escapes.
//!
//! What it never does: look whether the resource exists.

use percent_encoding::percent_decode_str;

use crate::calendar::plain::PlainPath;
use crate::dav::Href;
use crate::id::{CollectionId, CollectionName, Place, ResourceName, UserId};

/// A resource of the DAV tree, by its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// `/dav/`, and `/` for clients that start there.
    Root,
    /// `/dav/principals/`.
    Principals,
    /// `/dav/principals/{user}/`.
    Principal(UserId),
    /// `/dav/calendars/`.
    Homes,
    /// `/dav/calendars/{user}/`: the calendar home (RFC 4791 6.2.1).
    Home(UserId),
    /// `/dav/calendars/{user}/inbox/` (RFC 6638 2.2).
    Inbox(UserId),
    /// `/dav/calendars/{user}/outbox/` (RFC 6638 2.1).
    Outbox(UserId),
    /// `/dav/calendars/{user}/{name}/`: a calendar collection.
    Calendar(CollectionId),
    /// `/dav/calendars/{user}/{collection}/{name}`: a calendar object.
    Object(Place),
    /// `/dav/calendars/{user}/inbox/{name}`: a scheduling message.
    Message(UserId, ResourceName),
    /// `/dav/push/{user}/{collection}/{id}`: a subscription of `WebDAV-Push`, for DELETE alone.
    Registration(CollectionId, String),
    /// `/dav/files/{user}/...`: a plain file or folder.
    Plain(UserId, PlainPath),
}

/// A path that is refused before anybody asks what it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPath(&'static str);

impl Path {
    /// Reads the decoded segments after `/dav/`; `None` when no resource can ever stand there.
    pub fn from_segments(segments: &[String]) -> Option<Self> {
        let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
        match parts.as_slice() {
            [] => Some(Self::Root),
            ["principals"] => Some(Self::Principals),
            ["principals", user] => Some(Self::Principal(user.parse().ok()?)),
            ["calendars"] => Some(Self::Homes),
            ["calendars", user] => Some(Self::Home(user.parse().ok()?)),
            ["calendars", user, "inbox"] => Some(Self::Inbox(user.parse().ok()?)),
            ["calendars", user, "outbox"] => Some(Self::Outbox(user.parse().ok()?)),
            ["calendars", user, name] => Some(Self::Calendar(collection(user, name)?)),
            ["calendars", user, "inbox", name] => Some(Self::Message(user.parse().ok()?, name.parse().ok()?)),
            ["calendars", _, "outbox", _] => None,
            ["calendars", user, name, object] => {
                let name_in_it: ResourceName = object.parse().ok()?;
                Some(Self::Object(Place { collection: collection(user, name)?, name: name_in_it }))
            }
            ["push", user, name, id] => Some(Self::Registration(collection(user, name)?, (*id).to_owned())),
            ["files", user, rest @ ..] => {
                let names = rest.iter().map(|name| (*name).to_owned()).collect();
                Some(Self::Plain(user.parse().ok()?, PlainPath::new(names)?))
            }
            _ => None,
        }
    }

    /// Reads a path as sent, `/dav/...`; `Ok(None)` when it is well formed and leads nowhere.
    pub fn parse(raw: &str) -> Result<Option<Self>, BadPath> {
        let segments = segments(raw)?;
        Ok(match segments.split_first() {
            None => Some(Self::Root),
            Some((first, rest)) if first == "dav" => Self::from_segments(rest),
            Some(_) => None,
        })
    }

    /// Where an href of a request body or a Destination leads.
    pub fn of(href: &Href) -> Option<Self> {
        match href.segments().split_first() {
            None => Some(Self::Root),
            Some((first, rest)) if first == "dav" => Self::from_segments(rest),
            Some(_) => None,
        }
    }

    /// The one spelling of this path that answers carry.
    pub fn href(&self) -> Href {
        match self {
            Self::Root => Href::collection(["dav"]),
            Self::Principals => Href::collection(["dav", "principals"]),
            Self::Principal(user) => Href::collection(["dav", "principals", user.as_str()]),
            Self::Homes => Href::collection(["dav", "calendars"]),
            Self::Home(user) => Href::collection(["dav", "calendars", user.as_str()]),
            Self::Inbox(user) => Href::collection(["dav", "calendars", user.as_str(), "inbox"]),
            Self::Outbox(user) => Href::collection(["dav", "calendars", user.as_str(), "outbox"]),
            Self::Calendar(id) => Href::collection(["dav", "calendars", id.user.as_str(), id.name.as_str()]),
            Self::Object(Place { collection, name }) => {
                Href::resource(["dav", "calendars", collection.user.as_str(), collection.name.as_str(), name.as_str()])
            }
            Self::Message(user, name) => Href::resource(["dav", "calendars", user.as_str(), "inbox", name.as_str()]),
            Self::Registration(id, name) => {
                Href::resource(["dav", "push", id.user.as_str(), id.name.as_str(), name.as_str()])
            }
            Self::Plain(user, path) => {
                let names = path.names().iter().map(String::as_str);
                let names: Vec<&str> = ["dav", "files", user.as_str()].into_iter().chain(names).collect();
                if path.names().is_empty() { Href::collection(names) } else { Href::resource(names) }
            }
        }
    }

    /// Whose place this is; the upper collections belong to nobody.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Root | Self::Principals | Self::Homes => None,
            Self::Principal(user)
            | Self::Home(user)
            | Self::Inbox(user)
            | Self::Outbox(user)
            | Self::Message(user, _)
            | Self::Plain(user, _) => Some(user),
            Self::Calendar(id) | Self::Registration(id, _) => Some(&id.user),
            Self::Object(place) => Some(&place.collection.user),
        }
    }

    /// Whether the place can only be a collection.
    pub fn is_collection(&self) -> bool {
        match self {
            Self::Object(_) | Self::Message(..) | Self::Registration(..) => false,
            Self::Plain(_, path) => path.names().is_empty(),
            _ => true,
        }
    }
}

/// The decoded segments of an absolute path; a final slash makes no difference.
pub fn segments(raw: &str) -> Result<Vec<String>, BadPath> {
    let Some(inside) = raw.strip_prefix('/') else {
        return Err(BadPath("the path must begin with a slash"));
    };
    let inside = inside.strip_suffix('/').unwrap_or(inside);
    if inside.is_empty() {
        // `//` comes here too: its one slash too many is an empty segment.
        return if raw.len() > 1 { Err(EMPTY_SEGMENT) } else { Ok(Vec::new()) };
    }
    inside.split('/').map(segment).collect()
}

fn segment(raw: &str) -> Result<String, BadPath> {
    if raw.is_empty() {
        return Err(EMPTY_SEGMENT);
    }
    if !escapes_are_whole(raw) {
        return Err(BadPath("the path holds a broken percent escape"));
    }
    let decoded = percent_decode_str(raw).decode_utf8().map_err(|_| BadPath("the path is not UTF-8"))?;
    if decoded == "." || decoded == ".." {
        return Err(BadPath("the path holds a dot segment"));
    }
    if decoded.chars().any(|c| c == '/' || c == '\\' || c.is_control()) {
        return Err(BadPath("the path holds an encoded slash or a control character"));
    }
    Ok(decoded.into_owned())
}

fn escapes_are_whole(raw: &str) -> bool {
    raw.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes().take(2);
        digits.next().is_some_and(|b| b.is_ascii_hexdigit()) && digits.next().is_some_and(|b| b.is_ascii_hexdigit())
    })
}

fn collection(user: &str, name: &str) -> Option<CollectionId> {
    let name: CollectionName = name.parse().ok()?;
    Some(CollectionId { user: user.parse().ok()?, name })
}

const EMPTY_SEGMENT: BadPath = BadPath("the path holds an empty segment");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_place_are_one_path() {
        let same = [
            "/dav/calendars/ana@example.org/unified/a@b%20c.ics",
            "/dav/calendars/ana%40example.org/unified/a%40b%20c.ics",
            "/dav/calendars/%61na@example.org/unified/a@b%20c.ics/",
        ];
        let paths: Vec<_> = same.iter().map(|raw| Path::parse(raw).unwrap().unwrap()).collect();
        assert!(paths.iter().all(|path| path == &paths[0]));
        assert_eq!(paths[0].href().as_str(), "/dav/calendars/ana%40example.org/unified/a%40b%20c.ics");
    }

    #[test]
    fn every_kind_of_place_is_found() {
        for href in [
            "/dav/",
            "/dav/principals/",
            "/dav/principals/ana/",
            "/dav/calendars/",
            "/dav/calendars/ana/",
            "/dav/calendars/ana/inbox/",
            "/dav/calendars/ana/outbox/",
            "/dav/calendars/ana/unified/",
            "/dav/calendars/ana/unified/x.ics",
            "/dav/calendars/ana/inbox/x.ics",
            "/dav/files/ana/",
            "/dav/files/ana/a/b%20c",
        ] {
            let path = Path::parse(href).unwrap().unwrap();
            assert_eq!(path.href().as_str(), href);
            assert_eq!(path.is_collection(), href.ends_with('/'));
            assert_eq!(Path::parse(href.trim_end_matches('/')).unwrap(), Path::parse(href).unwrap());
        }
    }

    #[test]
    fn doubtful_paths_are_refused_and_others_lead_nowhere() {
        for bad in [
            "",
            "dav/",
            "//",
            "/dav//principals/",
            "/dav/../etc",
            "/dav/%2e%2e/x",
            "/dav/./x",
            "/dav/%00",
            "/dav/a%2Fb",
            "/dav/a%5Cb",
            "/dav/%zz",
            "/dav/%4",
            "/dav/%",
            "/dav/%ff",
            "/dav/x/%0d%0aSet-Cookie:a",
        ] {
            assert!(Path::parse(bad).is_err(), "{bad:?}");
        }
        for nowhere in ["/x", "/dav/x", "/dav/calendars/ANA/", "/dav/calendars/a/b/c/d", "/dav/calendars/a/outbox/x"] {
            assert_eq!(Path::parse(nowhere), Ok(None), "{nowhere:?}");
        }
    }

    proptest! {
        #[test]
        fn parse_and_href_are_inverse(user in "[a-z0-9._@+-]{1,20}", name in "\\PC{1,30}", object in "\\PC{1,60}") {
            let parsed = (|| Some(Path::Object(Place { collection: collection(&user, &name)?, name: object.parse().ok()? })))();
            let Some(path) = parsed else { return Ok(()) };
            prop_assume!(!name.contains('\\') && !object.contains('\\') && name != "inbox" && name != "outbox");
            prop_assert_eq!(Path::parse(path.href().as_str()), Ok(Some(path)));
        }

        #[test]
        fn any_text_is_answered_without_panic(raw in "\\PC{0,80}") {
            let _either = Path::parse(&raw).is_ok();
        }
    }
}
