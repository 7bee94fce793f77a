//! Keys that sort as their parts do.
//!
//! Every part is written so that the order of the bytes is the order of the values, and so that no written
//! part is the beginning of another one: then the keys that start with some parts form one range.

use std::sync::Arc;

/// Something that can stand in a key.
pub trait KeyParts: Sized {
    /// Appends the ordered, prefix-free form.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads what [`KeyParts::write`] wrote and moves `input` past it; `None` when it is something else.
    fn read(input: &mut &[u8]) -> Option<Self>;
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*head)
}

impl KeyParts for u8 {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        take::<1>(input).map(|[byte]| byte)
    }
}

impl KeyParts for u32 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        take(input).map(Self::from_be_bytes)
    }
}

impl KeyParts for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        take(input).map(Self::from_be_bytes)
    }
}

impl KeyParts for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        // With the sign bit turned, negative numbers sort before the others.
        (self.cast_unsigned() ^ (1 << 63)).write(out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        u64::read(input).map(|n| (n ^ (1 << 63)).cast_signed())
    }
}

impl KeyParts for () {
    fn write(&self, _: &mut Vec<u8>) {}

    fn read(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

/// A zero inside is written as `00 FF`, the end as `00 01`: shorter sorts first, and nothing is a prefix.
impl KeyParts for String {
    fn write(&self, out: &mut Vec<u8>) {
        write_text(self, out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        let mut bytes = Vec::new();
        loop {
            match take::<1>(input)? {
                [0] => match take::<1>(input)? {
                    [0xff] => bytes.push(0),
                    [1] => return Self::from_utf8(bytes).ok(),
                    _ => return None,
                },
                [byte] => bytes.push(byte),
            }
        }
    }
}

impl KeyParts for Arc<str> {
    fn write(&self, out: &mut Vec<u8>) {
        write_text(self, out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        String::read(input).map(Self::from)
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    for (index, part) in text.split('\0').enumerate() {
        if index > 0 {
            out.extend_from_slice(&[0, 0xff]);
        }
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(&[0, 1]);
}

impl<A: KeyParts, B: KeyParts> KeyParts for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        Some((A::read(input)?, B::read(input)?))
    }
}

impl<A: KeyParts, B: KeyParts, C: KeyParts> KeyParts for (A, B, C) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
        self.2.write(out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        Some((A::read(input)?, B::read(input)?, C::read(input)?))
    }
}

impl<A: KeyParts, B: KeyParts, C: KeyParts, D: KeyParts> KeyParts for (A, B, C, D) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
        self.2.write(out);
        self.3.write(out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        Some((A::read(input)?, B::read(input)?, C::read(input)?, D::read(input)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written<P: KeyParts>(parts: &P) -> Vec<u8> {
        let mut out = Vec::new();
        parts.write(&mut out);
        out
    }

    /// Texts in which zeros, FFs and shared beginnings are common.
    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(prop_oneof!["\0", "\u{1}", "a", "b", "\u{ff}", "é", "\u{10ffff}"], 0..6)
            .prop_map(|pieces| pieces.concat())
    }

    type Parts = (String, i64, (u32, u8), (String, u64));

    fn parts() -> impl Strategy<Value = Parts> {
        let number = prop_oneof![any::<i64>(), -2..3_i64];
        (text(), number, (0..3_u32, 0..3_u8), (text(), prop_oneof![any::<u64>(), 0..3_u64]))
    }

    proptest! {
        #[test]
        fn bytes_sort_as_the_parts_do(a in parts(), b in parts()) {
            prop_assert_eq!(written(&a).cmp(&written(&b)), a.cmp(&b));
        }

        #[test]
        fn what_was_written_is_read_and_no_more(a in parts(), rest in any::<Vec<u8>>()) {
            let bytes = [written(&a), rest.clone()].concat();
            let mut input = bytes.as_slice();
            prop_assert_eq!(Parts::read(&mut input), Some(a));
            prop_assert_eq!(input, rest);
        }

        #[test]
        fn no_part_is_the_beginning_of_another(a in text(), b in text()) {
            prop_assert_eq!(written(&b).starts_with(&written(&a)), a == b);
        }

        #[test]
        fn other_bytes_are_refused_or_read_back(bytes in any::<Vec<u8>>()) {
            let mut input = bytes.as_slice();
            if let Some(read) = Parts::read(&mut input) {
                let used = bytes.len() - input.len();
                prop_assert_eq!(&written(&read), &bytes[..used]);
            }
        }
    }
}
