//! The edge: listens, bounds, signs in, routes, answers, stops.
//!
//! RFC 9110 and 9112 as far as hyper leaves them to us, RFC 7617 (Basic), RFC 6764 5 (well-known).
//! Invariants: nothing a peer sends ends the process or holds more than the limits of [`Config`]; every request gets
//! exactly one answer and one line in the log; only `respond` chooses the status of a failure.
//! Never here: what a calendar is.

mod authenticate;
mod config;
mod connection;
mod crowd;
mod expiry;
mod frames;
mod limit;
mod listen;
mod peer;
mod respond;
mod route;
mod router;
mod tls;
mod wire;

pub use config::{BadNetwork, Config, Network, TlsFiles};
pub use listen::{ListenError, Server};
pub use peer::{Origin, Peer};
pub use router::{AlwaysReady, Figures, Parties, Readiness, Router};
pub use tls::{TlsError, certificate_end};
