#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Facts about bodies that are taken and refused.

use super::*;

const LIMITS: JsonLimits = JsonLimits { depth_max: 8, body_bytes_max: 1 << 20 };

fn canonical_of(body: &[u8]) -> Result<String, (Reason, usize)> {
    let tree = Tree::parse(body, LIMITS).map_err(|error| (error.reason, error.at))?;
    Ok(String::from_utf8(canonical::to_vec(&tree)).unwrap())
}

#[test]
fn each_body_has_its_canonical_form() {
    let table = [
        (" {} ", "{}"),
        ("[ ]", "[]"),
        ("\t[1 ,2\r\n, [3], {\"a\" : [] }]\n", "[1,2,[3],{\"a\":[]}]"),
        (r#"{"b":1,"a":2,"":3}"#, r#"{"":3,"a":2,"b":1}"#),
        ("-0", "0"),
        ("-0.0", "0"),
        ("1.0", "1"),
        ("-1e2", "-100"),
        ("1e21", "1e+21"),
        ("0.1e-6", "1e-7"),
        ("1e-400", "0"),
        ("9007199254740992", "9007199254740992"),
        ("-9007199254740992", "-9007199254740992"),
        ("123456789012345", "123456789012345"),
        (r#""\u0041\/\u00e9\u20AC""#, "\"A/é€\""),
        (r#""\n\t\b\f\r\"\\\u001f""#, r#""\n\t\b\f\r\"\\\u001f""#),
        (r#""\u000a\u001F\u007f""#, "\"\\n\\u001f\u{7f}\""),
        (r#""\ud83d\ude00""#, "\"😀\""),
        (r#"{"\u0061":1}"#, r#"{"a":1}"#),
        // U+10000 sorts as D800 DC00, before U+E000 and U+FFFD.
        (
            "{\"\u{e000}\":1,\"\u{10000}\":2,\"\u{fffd}\":3,\"\u{d7ff}\":4}",
            "{\"\u{d7ff}\":4,\"\u{10000}\":2,\"\u{e000}\":1,\"\u{fffd}\":3}",
        ),
        ("true", "true"),
        (" null", "null"),
        ("false", "false"),
    ];
    for (body, expected) in table {
        assert_eq!(canonical_of(body.as_bytes()).as_deref(), Ok(expected), "{body}");
    }
}

#[test]
fn each_refused_body_has_its_reason_and_place() {
    use Reason::{JsonDepth, JsonDuplicateKey, JsonEncoding, JsonNumber, JsonSurrogate, JsonSyntax};
    let table: &[(&[u8], Reason, usize)] = &[
        (b"", JsonSyntax, 0),
        (b"  ", JsonSyntax, 2),
        (b"\xef\xbb\xbf{}", JsonSyntax, 0),
        (b"{} {}", JsonSyntax, 3),
        (b"[1,]", JsonSyntax, 3),
        (b"{\"a\":1,}", JsonSyntax, 7),
        (b"[1}", JsonSyntax, 2),
        (b"{\"a\" 1}", JsonSyntax, 5),
        (b"{a:1}", JsonSyntax, 1),
        (b"\"\x1f\"", JsonSyntax, 1),
        (b"\"\\x\"", JsonSyntax, 1),
        (b"\"\\u12g4\"", JsonSyntax, 1),
        (b"nul", JsonSyntax, 0),
        (b"NaN", JsonSyntax, 0),
        (b"[Infinity]", JsonSyntax, 1),
        (b"-", JsonSyntax, 0),
        (b"01", JsonSyntax, 0),
        (b"1.", JsonSyntax, 0),
        (b"1e+", JsonSyntax, 0),
        (b"+1", JsonSyntax, 0),
        (b".5", JsonSyntax, 0),
        (b"\"\xff\"", JsonEncoding, 1),
        (b"\"\xed\xa0\x80\"", JsonEncoding, 1),
        (b"\"\\ud800\"", JsonSurrogate, 1),
        (b"\"\\ud800\\n\"", JsonSurrogate, 1),
        (b"\"\\ud800\\ud800\"", JsonSurrogate, 1),
        (b"\"a\\udc00\"", JsonSurrogate, 2),
        (b"[9007199254740993]", JsonNumber, 1),
        (b"-9007199254740993", JsonNumber, 0),
        (b"9007199254740993.0", JsonNumber, 0),
        (b"-9007199254740992.5", JsonNumber, 0),
        (b"9007199254740992.00000000000000000000000000001", JsonNumber, 0),
        (b"0.9007199254740993e16", JsonNumber, 0),
        (b"[9007199254740993e0]", JsonNumber, 1),
        (b"900719925474099300E-2", JsonNumber, 0),
        (b"1000000000000000000000000", JsonNumber, 0),
        (b"1e400", JsonNumber, 0),
        (b"1e20", JsonNumber, 0),
        (b"{\"a\":1,\"b\":2,\"a\":3}", JsonDuplicateKey, 14),
        (b"{\"a\":1,\"\\u0061\":3}", JsonDuplicateKey, 8),
        (b"[{\"x\":{\"a\":1,\"a\":1}}]", JsonDuplicateKey, 14),
        (b"[[[[[[[[[]]]]]]]]]", JsonDepth, 8),
    ];
    for (body, reason, at) in table {
        assert_eq!(canonical_of(body), Err((*reason, *at)), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn what_is_two_to_the_53_is_taken_however_it_is_written() {
    let ways = [
        "9007199254740992",
        "9007199254740992.000",
        "9007199254740991.5",
        "9.007199254740992e15",
        "900719925474099200e-2",
        "0.0009007199254740992E+19",
    ];
    for way in ways {
        assert_eq!(canonical_of(way.as_bytes()).as_deref(), Ok("9007199254740992"), "{way}");
        assert_eq!(canonical_of(format!("-{way}").as_bytes()).as_deref(), Ok("-9007199254740992"), "-{way}");
    }
}

#[test]
fn special_bytes_are_found_at_every_place_of_a_long_string() {
    for length in 0..100 {
        let plain = "é".repeat(length / 2) + if length % 2 == 1 { "x" } else { "" };
        let body = format!("[\"{plain}\",\"{plain}\\n\"]");
        assert_eq!(canonical_of(body.as_bytes()).unwrap(), body);
        let control = format!("\"{plain}\u{1}{plain}\"");
        assert_eq!(canonical_of(control.as_bytes()), Err((Reason::JsonSyntax, 1 + plain.len())));
    }
}

#[test]
fn a_body_above_its_limit_is_refused_before_it_is_read() {
    let limits = JsonLimits { depth_max: 8, body_bytes_max: 3 };
    assert!(Tree::parse(b"[1]", limits).is_ok());
    let error = Tree::parse(b"\xff\xff\xff\xff", limits).unwrap_err();
    assert_eq!(error, JsonError { reason: Reason::HttpBodyTooLarge, at: 3 });
}

#[test]
fn depth_is_bounded_however_it_is_configured() {
    let limits = JsonLimits { depth_max: usize::MAX, body_bytes_max: usize::MAX };
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert!(Tree::parse(&nested(DEPTH_HARD_MAX), limits).is_ok());
    assert_eq!(Tree::parse(&nested(DEPTH_HARD_MAX + 1), limits).unwrap_err().reason, Reason::JsonDepth);
    assert_eq!(Tree::parse(&vec![b'['; 1 << 20], limits).unwrap_err().reason, Reason::JsonDepth);
}

#[test]
fn many_keys_in_any_order_cost_no_more_than_sorting_them() {
    let body = |keys: &mut dyn Iterator<Item = usize>| {
        format!("{{{}}}", keys.map(|key| format!("\"{key:06}\":0")).collect::<Vec<_>>().join(","))
    };
    let (up, down) = (body(&mut (0..20_000)), body(&mut (0..20_000).rev()));
    assert_eq!(canonical_of(down.as_bytes()).unwrap(), up);
}

#[test]
fn entries_are_found_by_name() {
    let tree = Tree::parse(br#"{"b":[1,{"c":"\u0078"}],"a\n":true,"z":null}"#, LIMITS).unwrap();
    let root = tree.root().object().unwrap();
    assert_eq!(root.count(), 3);
    assert_eq!(root.get("a\n").unwrap().boolean(), Some(true));
    assert!(root.get("z").unwrap().is_null());
    assert!(root.get("y").is_none());
    let mut items = root.get("b").unwrap().items().unwrap();
    assert_eq!(items.next().unwrap().integer(), Some(1));
    let inner = items.next().unwrap();
    assert_eq!((inner.nodes(), inner.object().unwrap().get("c").unwrap().text().as_deref()), (3, Some("x")));
    assert!(items.next().is_none());
    assert_eq!(root.entries().map(|(key, _)| key).collect::<Vec<_>>(), ["a\n", "b", "z"]);
}
