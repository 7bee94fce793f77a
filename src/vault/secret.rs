//! Bytes that are wiped when they are no longer needed, and that no log ever shows.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A password, token or key. Comparing takes the same time wherever the difference is.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; the caller's buffer is the secret's now, and is wiped with it.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_not_even_the_length() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2".to_vec())), format!("{:?}", Secret::new(vec![])));
    }

    #[test]
    fn equal_is_equal_in_content() {
        assert_eq!(Secret::new("a"), Secret::from(String::from("a")));
        assert_ne!(Secret::new("a"), Secret::new("ab"));
        assert_eq!(Secret::new(vec![0xff]).expose_str(), None);
    }
}
