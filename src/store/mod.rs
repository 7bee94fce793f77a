//! Ordered, durable key-value storage behind one small trait.

mod key;

pub use key::KeyParts;
