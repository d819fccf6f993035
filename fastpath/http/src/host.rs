//! Host and `:authority`: a strict subset of RFC 3986, 3.2.2 (names, IPv4, bracketed IPv6; no userinfo, no
//! percent-coding, no zone), because what two readers could take differently is not worth having.

use crate::limits::HOST_BYTES_MAX;
use std::net::Ipv6Addr;

/// A valid host, lower case, and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    pub host: String,
    pub port: Option<u16>,
}

impl Authority {
    /// Whether both name the same place, where `default` is the port that goes without saying.
    pub(crate) fn agrees(&self, other: &Self, default: u16) -> bool {
        self.host == other.host && self.port.unwrap_or(default) == other.port.unwrap_or(default)
    }
}

/// None where it is not valid.
pub(crate) fn parse(value: &[u8]) -> Option<Authority> {
    if value.is_empty() || value.len() > HOST_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(value).ok()?;
    let (host, port) = split(text)?;
    let port = match port {
        None | Some("") => None, // "name:" is allowed by the grammar and means the default
        Some(digits) if digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        Some(_) => return None,
    };
    Some(Authority { host: host.to_ascii_lowercase(), port })
}

/// Host, brackets kept, and the text after the colon.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(inner) = text.strip_prefix('[') {
        let (address, rest) = inner.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        let host = &text[..address.len() + 2];
        return match rest {
            "" => Some((host, None)),
            _ => rest.strip_prefix(':').map(|port| (host, Some(port))),
        };
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let valid = !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    valid.then_some((host, port))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn valid_hosts_are_lower_case_with_their_port() {
        for (value, host, port) in [
            ("example.com", "example.com", None),
            ("API.Example.com:8443", "api.example.com", Some(8443)),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("[::1]", "[::1]", None),
            ("[2001:DB8::1]:443", "[2001:db8::1]", Some(443)),
            ("name:", "name", None),
            ("a_b", "a_b", None),
        ] {
            assert_eq!(parse(value.as_bytes()).unwrap(), Authority { host: host.into(), port }, "{value}");
        }
    }

    #[test]
    fn doubtful_hosts_are_refused() {
        let long = "a".repeat(HOST_BYTES_MAX + 1);
        for value in [
            "",
            ":80",
            "a b",
            "a,b",
            "u@h",
            "h:80:80",
            "h:65536",
            "h:+1",
            "h:8x",
            "h:000080",
            "a/b",
            "a?b",
            "a%41",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "::1",
            "é",
            "a\\b",
            &long,
        ] {
            assert_eq!(parse(value.as_bytes()), None, "{value}");
        }
    }
}
