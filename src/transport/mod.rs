//! One HTTP request outwards, safely (RFC 9110): the only way by which this program speaks to other servers.
//!
//! Invariant: every connection goes to an address that was resolved once, passed the egress guard, and is
//! the address connected to; an answer is whole and within its bound, or it is an error.
//! It never follows a redirect, never uses a proxy, never retries, and no error of it shows a credential.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};

pub mod client;
pub mod egress;
#[doc(hidden)]
pub mod fake;
pub mod retry_after;

pub use self::client::{HttpTransport, Outfit};
pub use self::egress::PrivateAddresses;

/// Sends single requests to other servers.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// The whole answer to `request` (its URI absolute), whatever its status, within `rules`.
    async fn send(&self, request: Request<Bytes>, rules: &SendRules) -> Result<Response<Bytes>, TransportError>;

    /// The SRV records of `name` (RFC 2782), best first; none when there are none or nobody could tell.
    async fn services(&self, _name: &str) -> Vec<Service> {
        Vec::new()
    }

    /// The TXT records of `name`, each as one text; none when there are none or nobody could tell.
    async fn texts(&self, _name: &str) -> Vec<String> {
        Vec::new()
    }
}

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendRules {
    /// From the first attempt to connect until the last octet of the answer.
    pub total: Duration,
    /// The most octets of the decoded body.
    pub max_body: usize,
}

impl Default for SendRules {
    fn default() -> Self {
        Self { total: Duration::from_mins(2), max_body: 32 << 20 }
    }
}

/// Where a service is offered, from an SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Host name, without a dot at its end.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Why no whole answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection.
    #[error("can't reach {host}: {kind}")]
    Unreachable {
        /// Which host.
        host: String,
        /// How it failed.
        kind: Unreachable,
    },
    /// It took too long.
    #[error("{host} did not answer in time")]
    TimedOut {
        /// Which host.
        host: String,
    },
    /// The answer is longer than allowed.
    #[error("the answer of {host} is too large")]
    TooLarge {
        /// Which host.
        host: String,
    },
    /// The guard does not let us go there.
    #[error(
        "{host} has a loopback, link-local or private address, and the setting \
         providers.allow_private_addresses does not allow that"
    )]
    RefusedAddress {
        /// Which host.
        host: String,
    },
    /// Credentials would have travelled unencrypted over a public network.
    #[error("{host} is asked for over http: a password is sent over https only")]
    ClearText {
        /// Which host.
        host: String,
    },
    /// The encrypted connection could not be made: certificate or protocol.
    #[error("no secure connection to {host}: {why}")]
    Tls {
        /// Which host.
        host: String,
        /// What is wrong with it.
        why: String,
    },
    /// The connection ended in the middle of the exchange.
    #[error("{host} broke off the connection")]
    Cut {
        /// Which host.
        host: String,
    },
    /// The request can't be sent at all: our mistake or a URL that makes no sense.
    #[error("not a request that can be sent: {0}")]
    Invalid(&'static str),
}

/// How a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The name has no address, or nobody could tell.
    #[error("its name can't be resolved")]
    Name,
    /// Nobody answers at the address.
    #[error("no connection")]
    Connect,
}
