//! What an administrator can say about listening, and the limits of one request.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The server's part of the configuration. [`Config::default`] is what an empty file means.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Certificate and key, to serve TLS.
    pub tls: Option<TlsFiles>,
    /// Proxies whose `X-Forwarded-*` fields are believed.
    pub trusted_proxies: Vec<Network>,
    /// Take passwords over plain HTTP from anywhere. For networks that encrypt below.
    pub allow_plain_passwords: bool,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address (IPv6: one /64); trusted proxies are not counted.
    pub max_connections_per_address: usize,
    /// Requests worked on at once; more are told to come again.
    pub max_requests: usize,
    /// From accepting a connection to the end of its TLS handshake, and from there to its first request.
    pub header_timeout: Duration,
    /// How long a connection may be silent between requests.
    pub keep_alive: Duration,
    /// How long the next piece of a body may take.
    pub body_idle_timeout: Duration,
    /// How long a request may take until its answer begins.
    pub request_timeout: Duration,
    /// How long open requests have when the server stops.
    pub shutdown_grace: Duration,
    /// Octets of a PUT.
    pub max_request_body: usize,
    /// Octets of an XML body.
    pub max_xml_body: usize,
    /// Octets of a form.
    pub max_form_body: usize,
    /// Octets of all header fields.
    pub max_header_bytes: usize,
    /// Header fields.
    pub max_headers: usize,
    /// Octets of the request target.
    pub max_uri: usize,
}

/// Where certificate chain and private key lie, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8008)),
            tls: None,
            trusted_proxies: Vec::new(),
            allow_plain_passwords: false,
            max_connections: 1024,
            max_connections_per_address: 64,
            max_requests: 512,
            header_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_mins(1),
            shutdown_grace: Duration::from_secs(8),
            max_request_body: 4 << 20,
            max_xml_body: 1 << 20,
            max_form_body: 64 << 10,
            max_header_bytes: 16 << 10,
            max_headers: 64,
            max_uri: 8 << 10,
        }
    }
}

/// An address, or all addresses with the same leading bits: `10.0.0.0/8`, `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

/// Text that names no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address and no network such as 10.0.0.0/8")]
pub struct BadNetwork(String);

impl Network {
    /// Whether `address` lies in it. An IPv4 address written as IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same_start(u128::from(own.to_bits()) << 96, u128::from(other.to_bits()) << 96, self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same_start(own.to_bits(), other.to_bits(), self.bits),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(all);
        if bits > all { Err(bad()) } else { Ok(Self { address, bits }) }
    }
}

fn same_start(a: u128, b: u128, bits: u32) -> bool {
    (a ^ b).leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_they_say() {
        let cases = [
            ("10.0.0.0/8", "10.200.3.4", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("2001:db8::/32", "2001:db8:5::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ];
        for (network, address, expected) in cases {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network:?} {address}");
        }
        for bad in ["", "x", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "10.0.0/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
