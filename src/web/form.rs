//! A submitted form: `application/x-www-form-urlencoded`, each field once.

use crate::vault::Secret;

/// What the set-up form sends.
pub(super) struct SetupForm {
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) again: Secret,
}

impl SetupForm {
    /// Reads it; a missing field is empty, a repeated one refuses the form.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut form = Self { user: String::new(), password: Secret::new([]), again: Secret::new([]) };
        let mut seen = Vec::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            match name.as_ref() {
                "user" => form.user = value.into_owned(),
                "password" => form.password = Secret::new(value.into_owned().into_bytes()),
                "again" => form.again = Secret::new(value.into_owned().into_bytes()),
                _ => continue,
            }
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
        }
        Some(form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_come_once() {
        let form = SetupForm::parse(b"user=ana&password=a%26b+c%C3%A9&again=x&other=1").unwrap();
        assert_eq!((form.user.as_str(), form.password.expose_str()), ("ana", Some("a&b cé")));
        assert!(SetupForm::parse(b"user=ana&user=bob").is_none());
        assert!(SetupForm::parse(b"").unwrap().password.is_empty());
    }
}
