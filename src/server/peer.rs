//! Who is at the other end of a connection, and whether what they say can be overheard.
//!
//! `X-Forwarded-For` and `X-Forwarded-Proto` are believed from trusted proxies alone, and of the addresses named only
//! the last one that is no trusted proxy itself: everything before it is what the stranger claimed.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use super::config::Network;

/// The connection that a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address at its other end.
    pub address: SocketAddr,
    /// Whether it is TLS.
    pub tls: bool,
}

/// Who sent a request, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The address that failures are counted for.
    pub address: IpAddr,
    /// Whether the request reached us without passing a network in the clear.
    pub private: bool,
    /// Whether the person at the other end speaks https.
    pub https: bool,
}

impl Peer {
    /// Works out where a request with these header fields came from.
    pub fn origin(&self, headers: &HeaderMap, trusted: &[Network]) -> Origin {
        let own = self.address.ip().to_canonical();
        if !is_trusted(own, trusted) {
            return Origin { address: own, private: self.tls || own.is_loopback(), https: self.tls };
        }
        let https = match forwarded_proto(headers) {
            Some(proto) => proto.eq_ignore_ascii_case("https"),
            None => self.tls,
        };
        let address = forwarded_for(headers, trusted);
        // A trusted proxy that names nobody speaks for itself: a health check, a script beside it.
        let private = https || address.unwrap_or(own).is_loopback();
        Origin { address: address.unwrap_or(own), private, https }
    }
}

fn forwarded_proto(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get_all("x-forwarded-proto").iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim)
}

fn forwarded_for(headers: &HeaderMap, trusted: &[Network]) -> Option<IpAddr> {
    let values = headers.get_all("x-forwarded-for");
    let named: Vec<&str> = values.iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).collect();
    named.into_iter().rev().map_while(address).find(|address| !is_trusted(*address, trusted))
}

/// An address with or without a port, as proxies write them.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let plain = text.trim_start_matches('[').trim_end_matches(']');
    let parsed = plain.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    parsed.map(|address| address.to_canonical())
}

fn is_trusted(address: IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(peer: &str, tls: bool, fields: &[(&'static str, &'static str)]) -> Origin {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let trusted: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap()];
        Peer { address: peer.parse().unwrap(), tls }.origin(&headers, &trusted)
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let https = [("x-forwarded-proto", "https"), ("x-forwarded-for", "203.0.113.9")];
        let from = |peer, tls, fields| {
            let origin = origin(peer, tls, fields);
            (origin.address.to_string(), origin.private)
        };
        assert_eq!(from("198.51.100.1:9", false, &https), ("198.51.100.1".into(), false));
        assert_eq!(from("10.1.1.1:9", false, &https), ("203.0.113.9".into(), true));
        assert_eq!(from("198.51.100.1:9", true, &[]), ("198.51.100.1".into(), true));
        assert_eq!(from("127.0.0.1:9", false, &[]), ("127.0.0.1".into(), true));
        assert_eq!(from("[::ffff:127.0.0.1]:9", false, &[]), ("127.0.0.1".into(), true));
        assert_eq!(from("10.1.1.1:9", false, &[]), ("10.1.1.1".into(), false));
        let http = [("x-forwarded-proto", "http"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(from("10.1.1.1:9", true, &http), ("203.0.113.9".into(), false));
    }

    #[test]
    fn the_last_address_that_is_no_proxy_counts() {
        let fields = [("x-forwarded-for", "1.1.1.1, 203.0.113.9:443, 10.0.0.7"), ("x-forwarded-proto", "https")];
        assert_eq!(origin("10.1.1.1:9", false, &fields).address.to_string(), "203.0.113.9");
        let broken = [("x-forwarded-for", "1.1.1.1, unknown")];
        assert_eq!(origin("10.1.1.1:9", false, &broken).address.to_string(), "10.1.1.1");
    }
}
