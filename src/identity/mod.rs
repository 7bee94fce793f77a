//! Who is this, and may they come in.
//!
//! Users sign in with a password of their own (Argon2id) or, better, with an app password for each device
//! (128 random bits, so a plain SHA-256 is enough). A password that was verified a moment ago is remembered
//! under a keyed hash, so that a client which sends it with every request costs one slow hash and not hundreds.
//!
//! Invariants: no secret is stored or logged in the clear; a wrong user costs the same time as a wrong password;
//! changing or removing a password holds at once; nobody can lock a user out by failing under their name, for
//! failures count per user *and* address. Or they sign in at their company's service (`oidc`). Never here: what a user may see of calendars.

mod app_password;
mod authenticate;
pub mod basic;
pub mod oidc;
pub mod password;
mod scope;
mod session;
mod setup;
mod throttle;
mod user;

pub use app_password::{AppPassword, AppPasswordId};
pub use authenticate::{AuthError, Via, Who};
pub use scope::Scope;
pub use session::{LONGEST as LONGEST_SESSION, Session, SessionId};
pub use setup::{RedeemError, SetupLink};
pub use user::{User, UserError, Users};

use std::time::Duration;

/// How hard it is to guess, and how long a guess that was right is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Failures a minute from one address (an IPv6 /64) under one name.
    pub failures_per_minute: u32,
    /// Failures a minute from one address under any name.
    pub failures_per_minute_per_address: u32,
    /// How long a verified password is remembered, from when it was verified.
    pub remember: Duration,
    /// Slow hashes that run at the same time.
    pub hashes_at_once: usize,
    /// Slow hashes that may wait; beyond that the caller is told to come back.
    pub hashes_waiting: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            failures_per_minute: 5,
            failures_per_minute_per_address: 20,
            remember: Duration::from_mins(10),
            hashes_at_once: 2,
            hashes_waiting: 64,
        }
    }
}
