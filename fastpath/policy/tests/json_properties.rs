//! Properties of the JSON parser and the canonical form, over generated documents and plain noise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use dpu_policy::json::{canonical, JsonLimits, Tree};
use proptest::prelude::*;
use std::collections::BTreeMap;

const LIMITS: JsonLimits = JsonLimits { depth_max: 64, body_bytes_max: 1 << 20 };

/// A document as any other program might hold it.
#[derive(Clone, Debug)]
enum Document {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Array(Vec<Document>),
    Object(BTreeMap<String, Document>),
}

fn accepted(value: f64) -> bool {
    value.is_finite() && (value.abs() <= 9_007_199_254_740_992.0 || value.abs() >= 1e21)
}

fn numbers() -> impl Strategy<Value = f64> {
    let any = any::<u64>().prop_map(f64::from_bits).prop_filter("refused", |value| accepted(*value));
    prop_oneof![any, (-1_000_000_i64..1_000_000).prop_map(|value| value as f64), -10.0..10.0]
}

fn leaves() -> impl Strategy<Value = Document> {
    prop_oneof![
        Just(Document::Null),
        any::<bool>().prop_map(Document::Bool),
        numbers().prop_map(Document::Number),
        any::<String>().prop_map(Document::Text),
    ]
}

/// Always a container on the outside, so that no cut of its text is a document.
fn documents() -> impl Strategy<Value = Document> {
    let inner = leaves().prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Document::Array),
            prop::collection::btree_map(any::<String>(), inner, 0..8).prop_map(Document::Object),
        ]
    });
    prop::collection::btree_map(any::<String>(), inner, 0..8).prop_map(Document::Object)
}

/// Writes a document loosely: odd spaces, every escape there is, keys in code point order.
fn write(out: &mut String, document: &Document, style: u8) {
    let space = [" ", "", "\n\t", "\r\n"][usize::from(style % 4)];
    out.push_str(space);
    match document {
        Document::Null => out.push_str("null"),
        Document::Bool(value) => out.push_str(&value.to_string()),
        Document::Number(value) => out.push_str(&format!("{value:e}")),
        Document::Text(text) => write_text(out, text, style),
        Document::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                write(out, item, style);
            }
            out.push(']');
        }
        Document::Object(entries) => {
            out.push('{');
            for (i, (key, value)) in entries.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                write_text(out, key, style);
                out.push_str(space);
                out.push(':');
                write(out, value, style);
            }
            out.push('}');
        }
    }
    out.push_str(space);
}

fn write_text(out: &mut String, text: &str, style: u8) {
    out.push('"');
    for char in text.chars() {
        let plain = char >= ' ' && char != '"' && char != '\\';
        if plain && (style < 128 || char.is_ascii_lowercase()) {
            out.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            out.push_str(&if style % 2 == 0 { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") });
        }
    }
    out.push('"');
}

/// The canonical form by the shortest way: the definition of RFC 8785, with no regard to cost.
fn oracle(document: &Document) -> String {
    match document {
        Document::Null => "null".into(),
        Document::Bool(value) => value.to_string(),
        Document::Number(value) => ryu_js::Buffer::new().format(*value).into(),
        Document::Text(text) => oracle_text(text),
        Document::Array(items) => format!("[{}]", items.iter().map(oracle).collect::<Vec<_>>().join(",")),
        Document::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| key.encode_utf16().collect::<Vec<u16>>());
            let each = entries.iter().map(|(key, value)| format!("{}:{}", oracle_text(key), oracle(value)));
            format!("{{{}}}", each.collect::<Vec<_>>().join(","))
        }
    }
}

fn oracle_text(text: &str) -> String {
    let escaped = text.chars().map(|char| match char {
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\u{8}' => "\\b".into(),
        '\t' => "\\t".into(),
        '\n' => "\\n".into(),
        '\u{c}' => "\\f".into(),
        '\r' => "\\r".into(),
        '\0'..='\u{1f}' => format!("\\u{:04x}", u32::from(char)),
        other => other.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

fn canonical_of(body: &[u8]) -> Vec<u8> {
    canonical::to_vec(&Tree::parse(body, LIMITS).unwrap())
}

proptest! {
    #[test]
    fn however_a_document_is_written_it_has_one_canonical_form(document in documents(), style in any::<u8>()) {
        let mut text = String::new();
        write(&mut text, &document, style);
        let expected = oracle(&document);
        prop_assert_eq!(String::from_utf8(canonical_of(text.as_bytes())).unwrap(), expected.clone());
        prop_assert_eq!(String::from_utf8(canonical_of(expected.as_bytes())).unwrap(), expected);
    }

    #[test]
    fn a_document_cut_anywhere_is_an_error(document in documents()) {
        let text = oracle(&document).into_bytes();
        for cut in 0..text.len() {
            prop_assert!(Tree::parse(&text[..cut], LIMITS).is_err());
        }
    }

    #[test]
    fn a_number_comes_back_the_same_from_its_canonical_form(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        let mut form = Vec::new();
        canonical::write_number(&mut form, value);
        let tree = Tree::parse(&form, LIMITS);
        prop_assert_eq!(tree.as_ref().ok().and_then(|tree| tree.root().number()), accepted(value).then_some(value));
    }

    #[test]
    fn noise_never_panics(body in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = Tree::parse(&body, LIMITS);
    }

    #[test]
    fn noise_of_json_letters_never_panics_and_has_a_stable_form(
        body in "[\\[\\]{}:,\"\\\\ud8c0-9a-eE+.n tfrul-]{0,64}"
    ) {
        if let Ok(tree) = Tree::parse(body.as_bytes(), LIMITS) {
            let form = canonical::to_vec(&tree);
            prop_assert_eq!(canonical_of(&form), form);
        }
    }

    #[test]
    fn a_changed_byte_never_panics(document in documents(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = oracle(&document).into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(tree) = Tree::parse(&text, LIMITS) {
            let form = canonical::to_vec(&tree);
            prop_assert_eq!(canonical_of(&form), form);
        }
    }
}
