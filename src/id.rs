//! What things are called: names and numbers of records, parsed once at the edge and never wrong afterwards.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::entropy::{self, Entropy};
use crate::store::KeyParts;

/// A name that is not allowed, with the reason in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadName(&'static str);

// The one macro of the crate: five types with the same twelve lines would hide what differs, the check. The text is
// shared, since names are copied wherever rows and answers are made.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                let check: fn(&str) -> Result<(), BadName> = $check;
                check(&text)?;
                Ok(Self(text.into()))
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                let check: fn(&str) -> Result<(), BadName> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl KeyParts for $name {
            fn write(&self, out: &mut Vec<u8>) {
                self.0.write(out);
            }

            fn read(input: &mut &[u8]) -> Option<Self> {
                Self::try_from(String::read(input)?).ok()
            }
        }
    };
}

text_id!(
    /// A login name: 1 to 64 of `a-z 0-9 . _ @ + -`, in lower case.
    UserId,
    |text| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._@+-".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
            return Err(BadName("a user name has 1 to 64 of the characters a-z 0-9 . _ @ + -"));
        }
        if text.chars().all(|c| c == '.') {
            return Err(BadName("a user name can't be made of dots alone"));
        }
        Ok(())
    }
);

text_id!(
    /// A connected login at a provider, `a-` and random text.
    AccountId,
    |text| record_id(text, "a-", "an account id starts with a-")
);

text_id!(
    /// One remote calendar of an account, `s-` and random text. Its collection bears the same name.
    SourceId,
    |text| record_id(text, "s-", "a source id starts with s-")
);

text_id!(
    /// The path segment of a collection, decoded: `unified`, `local`, a source id, or what a client chose.
    CollectionName,
    |text| segment(text, 128)
);

text_id!(
    /// The path segment of a calendar object, decoded, at most 255 octets.
    ResourceName,
    |text| segment(text, 255)
);

impl UserId {
    /// Reads a login name as a person types it: surrounding space and upper case are forgiven.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        Self::try_from(text.trim().to_ascii_lowercase())
    }
}

impl AccountId {
    /// A new account's id.
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(format!("a-{}", entropy::token(entropy, 8)).into())
    }
}

impl SourceId {
    /// A new source's id.
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(format!("s-{}", entropy::token(entropy, 8)).into())
    }

    /// The name of the collection that shows this source alone.
    pub fn collection(&self) -> CollectionName {
        CollectionName(self.0.clone())
    }
}

impl CollectionName {
    /// THE unified calendar.
    pub fn unified() -> Self {
        Self("unified".into())
    }

    /// The calendar for events that no provider holds.
    pub fn local() -> Self {
        Self("local".into())
    }

    /// The collection of notices, which no listing names.
    pub fn notices() -> Self {
        Self("lineartime-notices".into())
    }

    /// Whether this is the collection of notices.
    pub fn is_notices(&self) -> bool {
        &*self.0 == "lineartime-notices"
    }

    /// Whether this is the unified calendar.
    pub fn is_unified(&self) -> bool {
        &*self.0 == "unified"
    }
}

/// The number of an event, given once per user and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId(pub u64);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl KeyParts for EventId {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        u64::read(input).map(Self)
    }
}

/// A calendar collection of a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CollectionId {
    /// Whose it is.
    pub user: UserId,
    /// Its path segment.
    pub name: CollectionName,
}

impl CollectionId {
    /// The collection `name` of `user`.
    pub fn new(user: &UserId, name: CollectionName) -> Self {
        Self { user: user.clone(), name }
    }
}

impl KeyParts for CollectionId {
    fn write(&self, out: &mut Vec<u8>) {
        self.user.write(out);
        self.name.write(out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        Some(Self { user: UserId::read(input)?, name: CollectionName::read(input)? })
    }
}

/// Where a calendar object is found: a collection and a name in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The collection.
    pub collection: CollectionId,
    /// The object's name in it.
    pub name: ResourceName,
}

/// A strong entity tag, without its quotes (RFC 9110 8.8.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Etag(pub String);

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

fn record_id(text: &str, prefix: &str, why: &'static str) -> Result<(), BadName> {
    match text.strip_prefix(prefix) {
        Some(rest) if !rest.is_empty() && rest.len() <= 32 && rest.chars().all(|c| c.is_ascii_alphanumeric()) => Ok(()),
        _ => Err(BadName(why)),
    }
}

fn segment(text: &str, max: usize) -> Result<(), BadName> {
    if text.is_empty() || text == "." || text == ".." {
        return Err(BadName("a name can't be empty or made of dots alone"));
    }
    if text.len() > max {
        return Err(BadName("the name is too long"));
    }
    if text.chars().any(|c| c == '/' || c.is_control()) {
        return Err(BadName("a name can't hold a slash or control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_the_door() {
        assert_eq!(UserId::parse(" Ana@Example.org ").unwrap().as_str(), "ana@example.org");
        for bad in ["", "a/b", "a b", "ä", "..", &"x".repeat(65)] {
            assert!(UserId::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", ".", "..", "a/b", "a\nb", &"x".repeat(256)] {
            assert!(ResourceName::from_str(bad).is_err(), "{bad:?}");
        }
        assert!(ResourceName::from_str("Grüße @home.ics").is_ok());
    }

    #[test]
    fn keys_sort_and_read_back() {
        let id = |user: &str, name: &str| CollectionId::new(&UserId::parse(user).unwrap(), name.parse().unwrap());
        let bytes = |id: &CollectionId| {
            let mut out = Vec::new();
            id.write(&mut out);
            out
        };
        let (a, b, c) = (id("a", "z"), id("a", "zz"), id("ab", "a"));
        assert!(bytes(&a) < bytes(&b) && bytes(&b) < bytes(&c));
        assert_eq!(CollectionId::read(&mut bytes(&b).as_slice()), Some(b));
    }
}
