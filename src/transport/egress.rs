//! The egress guard: which addresses this program may connect to.
//!
//! A URL comes from a person and a host name from anybody's DNS, so both could point inwards: to the
//! machine itself, its network, or a cloud's metadata service. Every address is checked after resolving and
//! before connecting, those inside an IPv6 wrapping too.
//! Invariant: a special-purpose address (IANA registries) passes only if the setting allows it.
//! It never resolves anything itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// The setting `providers.allow_private_addresses`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PrivateAddresses {
    /// `false`: none is allowed.
    #[default]
    Refuse,
    /// `true`: all are, but for metadata services.
    Allow,
    /// A list of hosts and networks: these are.
    Only(Vec<Exception>),
}

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exception {
    /// A host by name, in lower case.
    Host(String),
    /// A network or a single address.
    Network(IpNet),
}

impl FromStr for Exception {
    type Err = String;

    /// Reads `192.168.1.0/24`, `fd00::/8`, `10.0.0.7` or `nas.home.arpa`.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_start_matches('[').trim_end_matches(']');
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(IpNet::from(address)));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if text.is_empty() || !text.chars().all(allowed) {
            return Err(format!("{text:?} is neither a host name nor a network like 192.168.1.0/24"));
        }
        Ok(Self::Host(normal_host(text)))
    }
}

impl PrivateAddresses {
    /// Whether a connection to `address`, which `host` resolved to, may be made.
    pub fn admits(&self, host: &str, address: IpAddr) -> bool {
        match self {
            // A cloud's metadata service hands out the machine's own keys: only by name.
            Self::Allow => !is_metadata(address),
            Self::Refuse => !is_special(address),
            Self::Only(list) => !is_special(address) || list.iter().any(|entry| entry.covers(host, address)),
        }
    }
}

impl Exception {
    fn covers(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Host(name) => *name == normal_host(host),
            Self::Network(network) => network.contains(&unwrapped(address)) || network.contains(&address),
        }
    }
}

/// Whether `address` is anything but a public unicast one.
pub fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_special_v4(v4),
        IpAddr::V6(v6) => embedded(v6).map_or_else(|| is_special_v6(v6), is_special_v4),
    }
}

/// Whether a cloud's metadata service is at `address`: AWS, Azure, Google and most others; AWS by IPv6; Alibaba; Oracle.
fn is_metadata(address: IpAddr) -> bool {
    match unwrapped(address) {
        IpAddr::V4(v4) => {
            matches!(v4.octets(), [169, 254, 169, 254] | [169, 254, 170, 2] | [100, 100, 100, 200] | [192, 0, 0, 192])
        }
        IpAddr::V6(v6) => v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254],
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_special_v6(address: Ipv6Addr) -> bool {
    // Global unicast is 2000::/3 alone (RFC 4291 2.4); all else is loopback, local, multicast or unassigned.
    let [a, b, ..] = address.segments();
    !matches!(a, 0x2000..=0x3fff)
        // 2001::/23, IETF protocol assignments, Teredo among them; 2001:db8::/32 and 3fff::/20, documentation.
        || (a == 0x2001 && (b < 0x0200 || b == 0x0db8))
        || (a == 0x3fff && b < 0x1000)
}

/// The IPv4 address that an IPv6 one carries: mapped (`::ffff:0:0/96`), NAT64 (`64:ff9b::/96`), 6to4 (`2002::/16`).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let pair = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(pair(high, low))
        }
        _ => None,
    }
}

fn unwrapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => embedded(v6).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn normal_host(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn special_addresses_are_known_in_every_wrapping() {
        let special = "0.0.0.0 10.1.2.3 100.64.0.1 100.127.255.255 127.0.0.1 169.254.169.254 172.16.0.1 172.31.255.255 \
            192.0.0.8 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.1 198.51.100.7 203.0.113.9 224.0.0.1 \
            240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::a00:1 64:ff9b:1::1 \
            2002:7f00:1:: 2002:c0a8:101:: 2001::1 2001:db8::1 fc00::1 fd12::1 fe80::1 ff02::1 ::7f00:1 100::1";
        for text in special.split_whitespace() {
            assert!(is_special(ip(text)), "{text}");
            assert!(!PrivateAddresses::Refuse.admits("h", ip(text)), "{text}");
            assert!(PrivateAddresses::Allow.admits("h", ip(text)) != is_metadata(ip(text)), "{text}");
        }
        let metadata = "169.254.169.254 169.254.170.2 100.100.100.200 192.0.0.192 fd00:ec2::254 ::ffff:169.254.169.254 \
            64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1";
        for text in metadata.split_whitespace() {
            assert!(!PrivateAddresses::Allow.admits("h", ip(text)), "{text}");
            let named = PrivateAddresses::Only(vec![text.parse().unwrap()]);
            assert!(named.admits("h", ip(text)), "{text}");
        }
        let public = "1.1.1.1 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 192.0.1.1 192.167.1.1 198.17.0.1 \
            198.20.0.1 223.255.255.255 2606:4700::1111 2a00:1450::1 2001:4860::8888 ::ffff:1.1.1.1 64:ff9b::101:101 \
            2002:101:101::1";
        for text in public.split_whitespace() {
            assert!(!is_special(ip(text)), "{text}");
            assert!(PrivateAddresses::Refuse.admits("h", ip(text)), "{text}");
        }
    }

    #[test]
    fn a_list_allows_hosts_and_networks_and_nothing_else() {
        let entry = |text: &str| text.parse::<Exception>().unwrap();
        let only = PrivateAddresses::Only(vec![entry("NAS.home.arpa."), entry("10.1.2.3/16"), entry("[::1]")]);
        assert!(only.admits("nas.home.arpa", ip("192.168.1.5")));
        assert!(only.admits("x", ip("10.1.200.1")) && only.admits("x", ip("::ffff:10.1.0.1")));
        assert!(only.admits("x", ip("::1")));
        assert!(!only.admits("x", ip("10.2.0.1")) && !only.admits("evil.nas.home.arpa", ip("127.0.0.1")));
        assert!(only.admits("x", ip("8.8.8.8")));
        for bad in ["", "http://x", "10.0.0.0/99", "a b", "*"] {
            assert!(bad.parse::<Exception>().is_err(), "{bad}");
        }
    }
}
