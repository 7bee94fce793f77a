//! When a certificate ends: the one field of X.509 (RFC 5280 4.1.2.5) that an alarm needs, read without the rest.

use jiff::Timestamp;
use jiff::civil::DateTime;

/// The end of the certificate's validity; `None` when it can't be found.
pub(super) fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (_, whole, _) = element(certificate)?;
    let (_, mut signed, _) = element(whole)?;
    // The version stands there or not; serial number, algorithm and issuer come before the validity.
    if signed.first() == Some(&VERSION) {
        signed = element(signed)?.2;
    }
    for _ in 0..3 {
        signed = element(signed)?.2;
    }
    let (_, validity, _) = element(signed)?;
    let (_, _, rest) = element(validity)?;
    let (kind, text, _) = element(rest)?;
    let text = std::str::from_utf8(text).ok()?;
    let digits = match kind {
        // Two digits of the year: from 1950 to 2049.
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let at = DateTime::strptime("%Y%m%d%H%M%SZ", digits).ok()?;
    at.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp())
}

/// Tag, content, and what follows (X.690 8.1).
fn element(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = octets.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (length, rest) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(length, _)| length.len() <= 4)?;
        (length.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
        [head, content.to_vec()].concat()
    }

    fn certificate(with_version: bool, kind: u8, end: &str) -> Vec<u8> {
        let validity = [wrap(UTC_TIME, b"250101000000Z"), wrap(kind, end.as_bytes())].concat();
        let version = if with_version { wrap(VERSION, &wrap(2, &[2])) } else { Vec::new() };
        let before = [version, wrap(2, &[9; 16]), wrap(0x30, &[5; 9]), wrap(0x30, &[6; 100])].concat();
        let signed = wrap(0x30, &[before, wrap(0x30, &validity)].concat());
        wrap(0x30, &[signed, wrap(0x30, &[])].concat())
    }

    #[test]
    fn the_end_is_found_in_all_spellings() {
        for (with_version, kind, end, expected) in [
            (true, UTC_TIME, "261128235959Z", "2026-11-28T23:59:59Z"),
            (false, UTC_TIME, "491231235959Z", "2049-12-31T23:59:59Z"),
            (true, GENERALIZED_TIME, "20500101000000Z", "2050-01-01T00:00:00Z"),
        ] {
            let found = not_after(&certificate(with_version, kind, end)).unwrap();
            assert_eq!(found.to_string(), expected);
        }
    }

    #[test]
    fn what_is_cut_or_strange_has_none() {
        let whole = certificate(true, UTC_TIME, "261128235959Z");
        for length in 0..whole.len() {
            let found = not_after(&whole[..length]);
            assert_eq!(found, None, "cut to {length}");
        }
        assert_eq!(not_after(&certificate(true, UTC_TIME, "yesterday")), None);
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
