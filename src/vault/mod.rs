//! Secrets at rest: sealed under a ring of keys, bound to the record that holds them.
//!
//! NIST SP 800-38D (AES-256-GCM) with random 96-bit nonces. A sealed value opens only under the key that its header
//! names and only with the additional data it was sealed with, so it cannot be moved to another record. Keys
//! are never tried in turn. Nothing here logs, and `Debug` shows no secret.

mod keyring;
mod seal;
mod secret;

pub use keyring::{KeyError, KeyRing, MasterKey};
pub use seal::{KeyId, Sealed, VaultError};
pub use secret::Secret;
