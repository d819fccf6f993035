//! The little of DER (X.690) that webpki keeps to itself: a certificate's validity and its subject's common name.
//!
//! Only certificates that webpki has parsed or verified come here; what is odd all the same gives `None`.

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// `version` of a TBSCertificate, which version 1 leaves out.
const CONTEXT_0: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// UTF8String, PrintableString, IA5String: the kinds of text that are one byte per ASCII character.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element: tag and content. Lengths have their shortest form and at most 4 bytes.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
                let shortest = bytes.first() != Some(&0) && length > 0x7f;
                (shortest.then_some(length)?, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }
}

/// `notBefore` and `notAfter` in seconds since 1970 (RFC 5280, 4.1.2.5).
pub(crate) fn validity(certificate: &[u8]) -> Option<(u64, u64)> {
    let mut tbs = Reader(Reader(Reader(certificate).expect(SEQUENCE)?).expect(SEQUENCE)?);
    let (tag, _) = tbs.next()?;
    if tag == CONTEXT_0 {
        tbs.expect(INTEGER)?; // serial number
    }
    tbs.expect(SEQUENCE)?; // signature algorithm
    tbs.expect(SEQUENCE)?; // issuer
    let mut validity = Reader(tbs.expect(SEQUENCE)?);
    let mut time = || validity.next().and_then(|(tag, text)| unix_s(tag, text));
    Some((time()?, time()?))
}

/// The common name of a subject (the content of its SEQUENCE); None where there is none, or more than one.
pub(crate) fn common_name(subject: &[u8]) -> Option<String> {
    let mut found = None;
    let mut names = Reader(subject);
    while !names.0.is_empty() {
        let mut set = Reader(names.expect(SET)?);
        while !set.0.is_empty() {
            let mut attribute = Reader(set.expect(SEQUENCE)?);
            if attribute.expect(OBJECT_IDENTIFIER)? != COMMON_NAME {
                continue;
            }
            let (tag, text) = attribute.next()?;
            if found.is_some() || !TEXTS.contains(&tag) {
                return None;
            }
            found = Some(std::str::from_utf8(text).ok()?.to_owned());
        }
    }
    found
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` beyond; the only forms that RFC 5280 allows.
fn unix_s(tag: u8, text: &[u8]) -> Option<u64> {
    let digits = text.strip_suffix(b"Z")?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2])?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4])?, &digits[4..]),
        _ => return None,
    };
    let mut fields = rest.chunks_exact(2).map(number);
    let mut field = |low: u64, high: u64| fields.next()?.filter(|value| (low..=high).contains(value));
    let (month, day) = (field(1, 12)?, field(1, 31)?);
    let (hour, minute, second) = (field(0, 23)?, field(0, 59)?, field(0, 59)?);
    // A certificate from before 1970 was always valid as far as we can tell.
    Some(
        days_since_1970(year, month, day)
            .map_or(0, |days| days * 86_400 + hour * 3600 + minute * 60 + second),
    )
}

fn number(digits: &[u8]) -> Option<u64> {
    let value = |sum: u64, byte: &u8| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'));
    digits.iter().try_fold(0, value)
}

/// Days of the Gregorian calendar; None before 1970.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    // Years from March on, so that the leap day is the last one.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "261123152643Z", Some(1_795_447_603)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(0)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "20000229000000Z", Some(951_782_400)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "2611231526Z", None),
            (UTC_TIME, "261323152643Z", None),
            (UTC_TIME, "26112315264aZ", None),
            (UTC_TIME, "261123152643", None),
            (GENERALIZED_TIME, "261123152643Z", None),
            (INTEGER, "261123152643Z", None),
        ] {
            assert_eq!(unix_s(tag, text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn common_name_is_the_only_one() {
        let attribute = |oid: u8, tag: u8, text: &str| {
            let mut inner = vec![0x06, 0x03, 0x55, 0x04, oid, tag, text.len() as u8];
            inner.extend_from_slice(text.as_bytes());
            let mut all = vec![SET, inner.len() as u8 + 2, SEQUENCE, inner.len() as u8];
            all.append(&mut inner);
            all
        };
        let (one, two) = (attribute(3, 0x0c, "gamma"), attribute(3, 0x13, "delta"));
        let country = attribute(6, 0x13, "DE");
        assert_eq!(common_name(&[country.clone(), one.clone()].concat()), Some("gamma".into()));
        assert_eq!(common_name(&country), None);
        assert_eq!(common_name(&[one.clone(), two].concat()), None);
        assert_eq!(common_name(&attribute(3, 0x1e, "bmp")), None);
        assert_eq!(common_name(&one[..one.len() - 1]), None);
    }

    #[test]
    fn no_bytes_panic() {
        for length in 0..64 {
            for fill in [0x00, 0x30, 0x31, 0x7f, 0x80, 0x81, 0x84, 0xa0, 0xff] {
                let bytes = vec![fill; length];
                assert_eq!(validity(&bytes), None);
                let _ = common_name(&bytes);
            }
        }
    }
}
