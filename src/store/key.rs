//! Keys that sort as their parts do.
//!
//! Every part is written so that the order of the bytes is the order of the values, and so that no written
//! part is the beginning of another one: then the keys that start with some parts form one range.

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
        for &byte in self.as_bytes() {
            out.push(byte);
            if byte == 0 {
                out.push(0xff);
            }
        }
        out.extend_from_slice(&[0, 1]);
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
