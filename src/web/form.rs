//! A submitted form, or a query: `application/x-www-form-urlencoded`, in order.

use std::fmt;

use crate::vault::Secret;

/// What came, decoded.
#[derive(Clone, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads it. Anything can be read; what is missing is empty.
    pub(super) fn parse(body: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// A field as it was typed; empty if it is missing.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    /// A field without the space around it.
    pub(super) fn word(&self, name: &str) -> &str {
        self.get(name).trim()
    }

    /// A password: kept from logs from here on.
    pub(super) fn secret(&self, name: &str) -> Secret {
        Secret::new(self.get(name).as_bytes())
    }

    /// Whether a box is ticked, or a button of this name was pressed.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// All values of a field.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a field came more than once.
    pub(super) fn repeats(&self, name: &str) -> bool {
        self.0.iter().filter(|(known, _)| known == name).count() > 1
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Form({} fields)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_repeats_are_seen() {
        let form = Form::parse(b"user=+ana&password=a%26b+c%C3%A9&x=1&x=2");
        assert_eq!((form.word("user"), form.secret("password").expose_str()), ("ana", Some("a&b cé")));
        assert!(form.repeats("x") && !form.repeats("user") && form.has("x") && form.get("none").is_empty());
    }
}
