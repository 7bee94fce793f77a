//! The headers of `WebDAV` and of conditional requests, read leniently where real clients are lax.
//!
//! RFC 4918 10 (Depth, Destination, If, Overwrite, Timeout), 9110 8.8.3 and 13.1 (entity tags, If-Match,
//! If-None-Match), 6638 8 (If-Schedule-Tag-Match, Schedule-Reply), 7240 and 8144 (Prefer), and Apple's Brief.
//!
//! It never decides whether a condition holds for a resource: it is told the state and compares.

use http::HeaderMap;

use super::href::Href;
use super::multistatus::Detail;

/// A header whose value can't be read: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header {0} can't be read")]
pub struct BadHeader(pub &'static str);

/// How far below the resource a request reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    Zero,
    One,
    Infinity,
}

impl Depth {
    /// The header, if it was sent. Each method knows its own default.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, BadHeader> {
        match text(headers, "Depth")? {
            None => Ok(None),
            Some("0") => Ok(Some(Self::Zero)),
            Some("1") => Ok(Some(Self::One)),
            // With `noroot` only Exchange asks; the root is left out by `Prefer: depth-noroot`.
            Some(text) if text.eq_ignore_ascii_case("infinity") => Ok(Some(Self::Infinity)),
            Some(_) => Err(BadHeader("Depth")),
        }
    }

    /// As the header's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zero => "0",
            Self::One => "1",
            Self::Infinity => "infinity",
        }
    }
}

/// Whether COPY and MOVE may replace what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    Allowed,
    Forbidden,
}

impl Overwrite {
    /// The header; allowed when it was not sent (RFC 4918 10.6).
    pub fn read(headers: &HeaderMap) -> Result<Self, BadHeader> {
        match text(headers, "Overwrite")? {
            None | Some("T" | "t") => Ok(Self::Allowed),
            Some("F" | "f") => Ok(Self::Forbidden),
            Some(_) => Err(BadHeader("Overwrite")),
        }
    }
}

/// Where COPY and MOVE shall put it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// On this server.
    Here(Href),
    /// On another one: 502.
    Elsewhere,
}

impl Destination {
    /// The header, a path or a URL. `is_here` tells whether an authority (`host[:port]`, lower-case) is ours.
    pub fn read(headers: &HeaderMap, is_here: impl Fn(&str) -> bool) -> Result<Self, BadHeader> {
        let text = text(headers, "Destination")?.ok_or(BadHeader("Destination"))?;
        let href = Href::parse(text).map_err(|_| BadHeader("Destination"))?;
        match href.origin().and_then(|origin| origin.split_once("://")) {
            Some((_, authority)) if !is_here(authority) => Ok(Self::Elsewhere),
            _ => Ok(Self::Here(href.canonical())),
        }
    }
}

/// An entity tag as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// Whether it was marked `W/`.
    pub weak: bool,
    /// Without the quotes.
    pub value: String,
}

impl Tag {
    /// Reads one tag: quoted as it should be, weak, or bare as some servers send it.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (weak, text) = match text.strip_prefix("W/").or_else(|| text.strip_prefix("w/")) {
            Some(text) => (true, text),
            None => (false, text),
        };
        let value = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
        (!value.is_empty() || text.len() == 2).then(|| Self { weak, value: value.to_owned() })
    }

    /// Whether it means the entity with the strong tag `etag` (without quotes). A proxy that compresses marks the tag
    /// weak or puts a suffix on it, and hands both back to us: that is the same entity.
    pub fn means(&self, etag: &str) -> bool {
        let bare = |text: &str| {
            let suffix =
                ["--gzip", "-gzip", ";gzip", "-br", "-zstd", "-deflate"].into_iter().find(|s| text.ends_with(s));
            text.len() - suffix.map_or(0, str::len)
        };
        self.value == etag || self.value.get(..bare(&self.value)).is_some_and(|value| value == etag)
    }
}

/// `*` or a list of entity tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// Any entity.
    Any,
    /// One of these.
    OneOf(Vec<Tag>),
}

impl Match {
    /// `If-Match`, if it was sent.
    pub fn if_match(headers: &HeaderMap) -> Result<Option<Self>, BadHeader> {
        Self::read(headers, "If-Match")
    }

    /// `If-None-Match`, if it was sent.
    pub fn if_none_match(headers: &HeaderMap) -> Result<Option<Self>, BadHeader> {
        Self::read(headers, "If-None-Match")
    }

    /// `If-Schedule-Tag-Match` (RFC 6638 8.3), if it was sent.
    pub fn if_schedule_tag_match(headers: &HeaderMap) -> Result<Option<Self>, BadHeader> {
        Self::read(headers, "If-Schedule-Tag-Match")
    }

    /// Whether it means an entity: `None` for one that does not exist.
    pub fn means(&self, etag: Option<&str>) -> bool {
        match (self, etag) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::OneOf(tags), Some(etag)) => tags.iter().any(|tag| tag.means(etag)),
        }
    }

    fn read(headers: &HeaderMap, name: &'static str) -> Result<Option<Self>, BadHeader> {
        let mut tags = Vec::new();
        let mut present = false;
        for value in headers.get_all(name) {
            present = true;
            let text = value.to_str().map_err(|_| BadHeader(name))?;
            if text.trim() == "*" {
                return Ok(Some(Self::Any));
            }
            tags.extend(split_tags(text).ok_or(BadHeader(name))?);
        }
        match (present, tags.is_empty()) {
            (false, _) => Ok(None),
            (true, true) => Err(BadHeader(name)),
            (true, false) => Ok(Some(Self::OneOf(tags))),
        }
    }
}

/// What the client would like (RFC 7240), as far as it is known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    /// What shall be returned.
    pub give: Give,
    /// Leave the collection itself out of a listing (RFC 8144 2.2).
    pub no_root: bool,
}

/// What a client wants back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Give {
    #[default]
    Default,
    /// `return=minimal`
    Minimal,
    /// `return=representation`
    Representation,
}

impl Prefer {
    /// All `Prefer` headers together with `Brief`; unknown preferences are passed over, as the RFC says.
    pub fn read(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        let values = headers.get_all("Prefer").into_iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            let preference = preference.split(';').next().unwrap_or_default();
            let plain: String = preference.chars().filter(|c| !c.is_ascii_whitespace() && *c != '"').collect();
            match plain.to_ascii_lowercase().as_str() {
                "return=minimal" | "return-minimal" => prefer.give = Give::Minimal,
                "return=representation" | "return-representation" => prefer.give = Give::Representation,
                "depth-noroot" => prefer.no_root = true,
                _ => {}
            }
        }
        if prefer.give == Give::Default && Brief::read(headers).0 {
            prefer.give = Give::Minimal;
        }
        prefer
    }

    /// How much a multistatus shall say.
    pub fn detail(self) -> Detail {
        if self.give == Give::Minimal { Detail::Minimal } else { Detail::Full }
    }
}

/// `Brief: t`, what Apple's clients said before there was `Prefer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief(pub bool);

impl Brief {
    /// Whether it was asked.
    pub fn read(headers: &HeaderMap) -> Self {
        Self(matches!(text(headers, "Brief"), Ok(Some("t" | "T"))))
    }
}

/// If-Unmodified-Since (RFC 9110 13.1.4). What is no date is as if it were not there, as that section wants it.
pub fn if_unmodified_since(headers: &HeaderMap) -> Option<jiff::Timestamp> {
    let date = text(headers, "If-Unmodified-Since").ok()??;
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()
}

/// Whether the deletion of a scheduling object shall be told to the organiser (RFC 6638 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleReply {
    Send,
    Suppress,
}

impl ScheduleReply {
    /// The header; a reply is sent when it is missing.
    pub fn read(headers: &HeaderMap) -> Result<Self, BadHeader> {
        match text(headers, "Schedule-Reply")? {
            None | Some("T" | "t") => Ok(Self::Send),
            Some("F" | "f") => Ok(Self::Suppress),
            Some(_) => Err(BadHeader("Schedule-Reply")),
        }
    }
}

/// The `If` header (RFC 4918 10.4): lists of conditions, each for one resource; one list that holds is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfHeader {
    /// In order; never empty.
    pub lists: Vec<ConditionList>,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionList {
    /// The tagged resource; none for that of the request.
    pub resource: Option<Href>,
    /// Never empty.
    pub conditions: Vec<Condition>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether it is turned round by `Not`.
    pub not: bool,
    /// What the resource shall have.
    pub state: State,
}

/// What a resource can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// A lock or other token.
    Token(String),
    /// This entity.
    Entity(Tag),
}

impl IfHeader {
    /// The header, if it was sent.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, BadHeader> {
        let Some(text) = text(headers, "If")? else { return Ok(None) };
        Self::parse(text).ok_or(BadHeader("If")).map(Some)
    }

    /// Whether one list holds. `has` tells whether a resource (none: that of the request) is in a state now.
    pub fn holds(&self, has: impl Fn(Option<&Href>, &State) -> bool) -> bool {
        self.lists.iter().any(|list| {
            list.conditions.iter().all(|condition| has(list.resource.as_ref(), &condition.state) != condition.not)
        })
    }

    /// All tokens that the client shows it knows, be they under `Not` or not (RFC 4918 10.4.1).
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.lists.iter().flat_map(|list| &list.conditions).filter_map(|condition| match &condition.state {
            State::Token(token) => Some(token.as_str()),
            State::Entity(_) => None,
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim_start();
        let mut resource = None;
        let mut tagged_without_list = false;
        let mut lists = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('<') {
                let (href, after) = after.split_once('>')?;
                resource = Some(Href::parse(href).ok()?);
                // A mix of tagged and untagged lists is not in the grammar.
                if tagged_without_list || lists.iter().any(|list: &ConditionList| list.resource.is_none()) {
                    return None;
                }
                tagged_without_list = true;
                rest = after.trim_start();
            } else {
                let (conditions, after) = parse_conditions(rest.strip_prefix('(')?)?;
                lists.push(ConditionList { resource: resource.clone(), conditions });
                tagged_without_list = false;
                rest = after.trim_start();
            }
        }
        (!lists.is_empty() && !tagged_without_list).then_some(Self { lists })
    }
}

fn parse_conditions(text: &str) -> Option<(Vec<Condition>, &str)> {
    let mut rest = text.trim_start();
    let mut conditions = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(')') {
            return (!conditions.is_empty()).then_some((conditions, after));
        }
        let after_not = rest.get(..3).filter(|not| not.eq_ignore_ascii_case("not")).and_then(|_| rest.get(3..));
        let not = after_not.is_some();
        rest = after_not.unwrap_or(rest).trim_start();
        let (state, after) = if let Some(inner) = rest.strip_prefix('<') {
            let (token, after) = inner.split_once('>')?;
            (State::Token(token.to_owned()), after)
        } else {
            let (tag, after) = rest.strip_prefix('[')?.split_once(']')?;
            (State::Entity(Tag::parse(tag)?), after)
        };
        conditions.push(Condition { not, state });
        rest = after.trim_start();
    }
}

/// Splits at the commas outside quotes.
fn split_tags(text: &str) -> Option<Vec<Tag>> {
    let mut quoted = false;
    let parts = text.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).map(Tag::parse).collect()
}

/// The one value of a header, without the blanks around it.
fn text<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, BadHeader> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().map(|text| Some(text.trim())).map_err(|_| BadHeader(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>()
    }

    fn tag(value: &str) -> Tag {
        Tag { weak: false, value: value.to_owned() }
    }

    #[test]
    fn depth_is_one_of_three() {
        let read = |value: &str| Depth::read(&headers(&[("Depth", value)]));
        assert_eq!(read("0"), Ok(Some(Depth::Zero)));
        assert_eq!(read(" 1 "), Ok(Some(Depth::One)));
        assert_eq!(read("Infinity"), Ok(Some(Depth::Infinity)));
        for bad in ["2", "", "one", "-1"] {
            assert_eq!(read(bad), Err(BadHeader("Depth")), "{bad}");
        }
        assert_eq!(Depth::read(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn destination_is_a_path_or_a_url() {
        let read = |value: &str| Destination::read(&headers(&[("Destination", value)]), |host| host == "cal.example");
        let here = Ok(Destination::Here(Href::parse("/dav/a@b.ics").unwrap()));
        for value in ["/dav/a%40b.ics", "https://Cal.Example/dav/a@b.ics"] {
            assert_eq!(read(value), here, "{value}");
        }
        assert_eq!(read("https://other.example/dav/a.ics"), Ok(Destination::Elsewhere));
        for bad in ["", "a.ics", "/dav/../x", "/dav/%ff", "ftp://x/y"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(Destination::read(&HeaderMap::new(), |_| true).is_err());
    }

    #[test]
    fn entity_tags_are_taken_as_proxies_leave_them() {
        for same in ["\"abc\"", "W/\"abc\"", "abc", "\"abc-gzip\"", "W/\"abc-gzip\"", "\"abc;gzip\"", " \"abc--gzip\" "]
        {
            assert!(Tag::parse(same).unwrap().means("abc"), "{same}");
        }
        for other in ["\"abcd\"", "\"ab\"", "\"abc-\"", "\"\""] {
            assert!(!Tag::parse(other).unwrap().means("abc"), "{other}");
        }
        assert_eq!(Tag::parse(""), None);
        assert!(Tag::parse("\"x-gzip\"").unwrap().means("x-gzip"));
    }

    #[test]
    fn match_lists_are_split_outside_quotes() {
        let read = |value: &str| Match::if_match(&headers(&[("If-Match", value)]));
        assert_eq!(read("*"), Ok(Some(Match::Any)));
        assert_eq!(
            read("\"a,b\", W/\"c\" ,d"),
            Ok(Some(Match::OneOf(vec![tag("a,b"), Tag { weak: true, value: "c".to_owned() }, tag("d"),])))
        );
        for bad in ["", ","] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Match::if_none_match(&HeaderMap::new()), Ok(None));
        assert!(!Match::Any.means(None) && Match::Any.means(Some("x")));
        let mut two = headers(&[("If-Match", "\"a\"")]);
        two.append("If-Match", "\"b\"".parse().unwrap());
        assert_eq!(Match::if_match(&two), Ok(Some(Match::OneOf(vec![tag("a"), tag("b")]))));
    }

    #[test]
    fn preferences_are_gathered() {
        let read = |pairs: &[(&'static str, &str)]| Prefer::read(&headers(pairs));
        let both = read(&[("Prefer", "return=minimal, depth-noroot")]);
        assert_eq!(both, Prefer { give: Give::Minimal, no_root: true });
        assert_eq!(read(&[("Brief", "t")]).detail(), Detail::Minimal);
        assert_eq!(read(&[("Brief", "f")]).detail(), Detail::Full);
        assert_eq!(read(&[("Prefer", "wait=10; x=y, Return = \"representation\"")]).give, Give::Representation);
        assert_eq!(read(&[]), Prefer::default());
    }

    #[test]
    fn the_if_header_of_rfc_4918() {
        let parse = |text: &str| IfHeader::read(&headers(&[("If", text)]));
        // 10.4.6
        let no_tag = parse("(<urn:uuid:181d4fae> [\"I am an ETag\"]) ([\"I am another ETag\"])").unwrap().unwrap();
        assert_eq!(no_tag.lists.len(), 2);
        assert_eq!(no_tag.tokens().collect::<Vec<_>>(), ["urn:uuid:181d4fae"]);
        assert!(no_tag.holds(|_, state| *state == State::Entity(tag("I am another ETag"))));
        assert!(!no_tag.holds(|_, state| *state == State::Entity(tag("I am an ETag"))));
        // 10.4.7
        let not = parse("(Not <urn:uuid:181d4fae> <urn:uuid:58f202ac>)").unwrap().unwrap();
        assert!(not.holds(|_, state| *state == State::Token("urn:uuid:58f202ac".to_owned())));
        assert!(!not.holds(|_, _| true));
        // 10.4.8
        let always = parse("(<urn:uuid:181d4fae>) (Not <DAV:no-lock>)").unwrap().unwrap();
        assert!(always.holds(|_, _| false));
        // 10.4.9
        let tagged =
            parse("</resource1> (<urn:uuid:181d4fae> [W/\"A weak ETag\"]) ([\"strong ETag\"])").unwrap().unwrap();
        assert!(tagged.lists.iter().all(|list| list.resource == Some(Href::parse("/resource1").unwrap())));
        // 10.4.10
        let member = parse("<http://www.example.com/specs/> (<urn:uuid:181d4fae>)").unwrap().unwrap();
        assert_eq!(member.lists[0].resource, Some(Href::parse("/specs/").unwrap()));
        for bad in ["", "()", "(", "(<a>", "</x>", "</x> </y> (<a>)", "(<a>) </x> (<b>)", "(a)", "[\"a\"]", "(Not)"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
