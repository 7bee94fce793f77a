//! How durations, sizes and secrets are written in the file.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::transport::PrivateAddresses;
use crate::transport::egress::Exception;
use crate::vault::Secret;

/// Reads `500ms`, `2s`, `15m`, `24h`, `180d`.
pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse_duration(&text)
        .ok_or_else(|| D::Error::custom(format!("\"{text}\" is no duration such as 500ms, 2s, 15m, 24h or 180d")))
}

/// Reads `512B`, `64KiB`, `1MiB`, `1GiB`, or a plain number of octets.
pub(super) fn size<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Octets(usize),
        Text(String),
    }
    let wrong = |text: &str| D::Error::custom(format!("\"{text}\" is no size such as 64KiB or 1MiB"));
    match Size::deserialize(from).map_err(|_| D::Error::custom("a size is written as 64KiB or 1MiB"))? {
        Size::Octets(octets) => Ok(octets),
        Size::Text(text) => parse_size(&text).ok_or_else(|| wrong(&text)),
    }
}

/// Reads a secret. It is wiped when dropped, and never shown.
pub(super) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    // The text is not part of the error: only its kind is.
    let text = String::deserialize(from).map_err(|_| D::Error::custom("a secret is a text"))?;
    Ok(Some(Secret::from(text)))
}

/// Reads an http or https address.
pub(super) fn web_address<'de, D: Deserializer<'de>>(from: D) -> Result<url::Url, D::Error> {
    let text = String::deserialize(from)?;
    let wrong = |why: &str| D::Error::custom(format!("\"{text}\" {why}"));
    let url = url::Url::parse(&text).map_err(|_| wrong("is no URL such as https://calendar.example.org"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("is no http or https URL"));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must have no query, fragment or user name"));
    }
    Ok(url)
}

/// The same, where nothing means our own choice.
pub(super) fn some_web_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<url::Url>, D::Error> {
    web_address(from).map(Some)
}

/// Reads `false`, `true`, or a list of hosts and networks.
pub(super) fn private_addresses<'de, D: Deserializer<'de>>(from: D) -> Result<PrivateAddresses, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Private {
        All(bool),
        Only(Vec<String>),
    }
    let kinds = "true, false, or a list of hosts and networks is expected";
    match Private::deserialize(from).map_err(|_| D::Error::custom(kinds))? {
        Private::All(true) => Ok(PrivateAddresses::Allow),
        Private::All(false) => Ok(PrivateAddresses::Refuse),
        Private::Only(list) => {
            let list: Result<Vec<Exception>, String> = list.iter().map(|text| text.parse()).collect();
            list.map(PrivateAddresses::Only).map_err(D::Error::custom)
        }
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        "d" => seconds(86_400),
        _ => None,
    }
}

fn parse_size(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let each: u64 = match unit {
        "B" | "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number.checked_mul(each)?).ok()
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units() {
        for (text, millis) in
            [("500ms", 500), ("2s", 2000), ("15m", 900_000), ("24h", 86_400_000), ("0s", 0), ("1d", 86_400_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for (text, octets) in [("64KiB", 65_536), ("1MiB", 1_048_576), ("12", 12), ("3 B", 3), ("1GiB", 1 << 30)] {
            assert_eq!(parse_size(text), Some(octets), "{text}");
        }
        for bad in ["", "s", "2", "-2s", "2.5s", "2 weeks", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        for bad in ["", "KiB", "1KB", "1kib", "-1B", "18446744073709551615GiB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
