//! Typed values: a format byte, then postcard. A later release reads what an older one wrote.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type that rows of a table hold.
///
/// postcard writes fields in order and without names, so any change to the fields is a new `FORMAT`, and
/// [`Record::upgrade`] reads the older ones.
pub trait Record: Serialize + DeserializeOwned {
    /// The format that this program writes.
    const FORMAT: u8;

    /// Reads a body written in an older format.
    #[expect(unused_variables, reason = "named for those who write their own; there is no older format here")]
    fn upgrade(format: u8, body: &[u8]) -> Option<Self> {
        None
    }
}

pub(super) fn encode<V: Record>(value: &V) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(value, vec![V::FORMAT])
}

pub(super) fn decode<V: Record>(bytes: &[u8]) -> Option<V> {
    let (&format, body) = bytes.split_first()?;
    if format == V::FORMAT { postcard::from_bytes(body).ok() } else { V::upgrade(format, body) }
}
