//! The request target (RFC 9112, 3.2): which form it has, and its path without the query.

/// A target in one of the forms that a server meets; CONNECT's authority form is refused before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// `/path?query`
    Origin { path: &'a str },
    /// `https://host/path?query`
    Absolute { authority: &'a str, default_port: u16, path: &'a str },
    /// `*`
    Asterisk,
}

/// None where it has no valid form.
pub(crate) fn parse(target: &str) -> Option<Target<'_>> {
    if target == "*" {
        return Some(Target::Asterisk);
    }
    if target.starts_with('/') {
        return Some(Target::Origin { path: path_of(target)? });
    }
    let (scheme, rest) = target.split_once("://")?;
    let default_port = match scheme {
        _ if scheme.eq_ignore_ascii_case("https") => 443,
        _ if scheme.eq_ignore_ascii_case("http") => 80,
        _ => return None,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    Some(Target::Absolute { authority, default_port, path: path_of(path)? })
}

/// The part before `?`, if everything is made of the characters that RFC 3986 allows there, percent-coding whole.
pub(crate) fn path_of(target: &str) -> Option<&str> {
    let bytes = target.as_bytes();
    let mut query = None;
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        match byte {
            b'?' if query.is_none() => query = Some(index),
            b'%' if !is_percent_coded(&bytes[index..]) => return None,
            _ if !ALLOWED[usize::from(byte)] => return None,
            _ => {}
        }
        index += 1;
    }
    Some(&target[..query.unwrap_or(target.len())])
}

fn is_percent_coded(rest: &[u8]) -> bool {
    matches!(rest, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// pchar, "/", "?" and "%" (RFC 3986, 3.3 and 3.4).
const ALLOWED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(
            byte as u8,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'('
                | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/' | b'?' | b'%'
        );
        byte += 1;
    }
    table
};
