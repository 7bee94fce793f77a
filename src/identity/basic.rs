//! The credentials of an `Authorization: Basic` header (RFC 7617), read once at the edge.

use http_auth_basic::Credentials;

use crate::vault::Secret;

/// A name and a password as a client sent them. Neither is known to be right.
#[derive(Clone, Debug)]
pub struct Login {
    /// The name, as sent.
    pub user: String,
    /// The password, as sent.
    pub password: Secret,
}

/// A header that holds no usable credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCredentials {
    /// Another scheme, or no base64, no UTF-8, no colon.
    #[error("the Authorization header holds no Basic credentials")]
    Malformed,
    /// Longer than any credentials of ours.
    #[error("the credentials are too long")]
    TooLong,
    /// Control characters, which RFC 7617 forbids.
    #[error("the credentials hold control characters")]
    ControlCharacters,
}

const MAX_HEADER: usize = 1024;
const MAX_USER: usize = 128;
const MAX_PASSWORD: usize = 256;

/// Reads the value of an `Authorization` header.
pub fn parse(header: &[u8]) -> Result<Login, BadCredentials> {
    if header.len() > MAX_HEADER {
        return Err(BadCredentials::TooLong);
    }
    let header = std::str::from_utf8(header).map_err(|_| BadCredentials::Malformed)?;
    let read = Credentials::from_header(header.trim().to_owned()).map_err(|_| BadCredentials::Malformed)?;
    // From here on the password is wiped when it is dropped.
    let login = Login { user: read.user_id, password: Secret::from(read.password) };
    let password = login.password.expose_str().unwrap_or_default();
    if login.user.len() > MAX_USER || password.len() > MAX_PASSWORD {
        return Err(BadCredentials::TooLong);
    }
    if login.user.chars().chain(password.chars()).any(char::is_control) {
        return Err(BadCredentials::ControlCharacters);
    }
    Ok(login)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    fn header(plain: &str) -> Vec<u8> {
        format!("Basic {}", BASE64_STANDARD.encode(plain)).into_bytes()
    }

    #[test]
    fn names_and_passwords_are_read() {
        for (plain, user, password) in [
            ("ana:secret", "ana", "secret"),
            ("ana:a:b:", "ana", "a:b:"),
            (":", "", ""),
            ("ana:grün €", "ana", "grün €"),
        ] {
            let login = parse(&header(plain)).unwrap();
            assert_eq!((login.user.as_str(), login.password.expose_str()), (user, Some(password)));
            assert!(!format!("{login:?}").contains("secret"));
        }
        assert!(parse(b"bAsIc YTpi").is_ok());
    }

    #[test]
    fn everything_else_is_refused() {
        use BadCredentials::{ControlCharacters, Malformed, TooLong};
        let long = |user, password| header(&format!("{}:{}", "u".repeat(user), "p".repeat(password)));
        for (bad, why) in [
            (b"".to_vec(), Malformed),
            (b"Basic".to_vec(), Malformed),
            (b"Bearer YTpi".to_vec(), Malformed),
            (b"Basic ???".to_vec(), Malformed),
            (b"Basic /////w==".to_vec(), Malformed),
            (b"Basic YTpi YTpi".to_vec(), Malformed),
            (b"Basic \xff".to_vec(), Malformed),
            (header("no colon"), Malformed),
            (header("a:b\n"), ControlCharacters),
            (header("a\0:b"), ControlCharacters),
            (header("a:\u{7f}"), ControlCharacters),
            (long(129, 1), TooLong),
            (long(1, 257), TooLong),
            (long(1, 2000), TooLong),
        ] {
            assert_eq!(parse(&bad).err(), Some(why));
        }
    }
}
