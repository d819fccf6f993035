//! RFC 8785, the JSON canonicalisation scheme: one body has one form, byte for byte, in every language.

use super::number::INTEGER_MAX;
use super::text::Form;
use super::tree::{Node, Tree};
use super::Value;

/// What takes a canonical form, piece by piece: a buffer, or a hash that needs no buffer.
pub trait Sink {
    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Appends the canonical form of a value.
///
/// Recurses as deep as the value nests, which the parser has bounded by [`super::DEPTH_HARD_MAX`].
pub fn write_value(out: &mut impl Sink, value: Value<'_>) {
    write_node(out, value.tree, value.index);
}

/// The canonical form of a whole body.
#[must_use]
pub fn to_vec(tree: &Tree<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(tree.text.len());
    write_value(&mut out, tree.root());
    out
}

/// Writes the node and what is in it; the index of the first node after it.
fn write_node(out: &mut impl Sink, tree: &Tree<'_>, index: u32) -> u32 {
    match tree.node(index) {
        Node::Null => out.put(b"null"),
        Node::Bool(true) => out.put(b"true"),
        Node::Bool(false) => out.put(b"false"),
        Node::Number(value) => write_number(out, value),
        Node::Text { start, bytes, form } => write_text(out, tree, start, bytes, form),
        Node::Array { end } => {
            write_array(out, tree, index + 1, end);
            return end;
        }
        Node::Object { end, first, count } => {
            write_object(out, tree, first, count);
            return end;
        }
    }
    index + 1
}

fn write_array(out: &mut impl Sink, tree: &Tree<'_>, mut index: u32, end: u32) {
    out.put(b"[");
    while index < end {
        index = write_node(out, tree, index);
        if index < end {
            out.put(b",");
        }
    }
    out.put(b"]");
}

fn write_object(out: &mut impl Sink, tree: &Tree<'_>, first: u32, count: u32) {
    let keys = tree.order.get(first as usize..(first + count) as usize).unwrap_or_default();
    out.put(b"{");
    for (i, key) in keys.iter().enumerate() {
        if i > 0 {
            out.put(b",");
        }
        write_node(out, tree, *key);
        out.put(b":");
        write_node(out, tree, key + 1);
    }
    out.put(b"}");
}

fn write_text(out: &mut impl Sink, tree: &Tree<'_>, start: u32, bytes: u32, form: Form) {
    match form {
        Form::Plain | Form::Canonical => {
            out.put(b"\"");
            out.put(tree.raw(start, bytes).as_bytes());
            out.put(b"\"");
        }
        Form::Side => write_string(out, tree.side_text(start)),
        Form::Escaped => {
            let mut text = String::with_capacity(bytes as usize);
            super::text::unescape(tree.raw(start, bytes), &mut text);
            write_string(out, &text);
        }
    }
}

/// Appends a string with its quotes (RFC 8785 section 3.2.2.2): escapes only where JSON demands them.
pub fn write_string(out: &mut impl Sink, text: &str) {
    let bytes = text.as_bytes();
    out.put(b"\"");
    let mut plain_from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.put(bytes.get(plain_from..at).unwrap_or_default());
        write_escape(out, *byte);
        plain_from = at + 1;
    }
    out.put(bytes.get(plain_from..).unwrap_or_default());
    out.put(b"\"");
}

fn write_escape(out: &mut impl Sink, byte: u8) {
    let letter = match byte {
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        b'"' | b'\\' => byte,
        _ => {
            const HEX: [u8; 16] = *b"0123456789abcdef";
            out.put(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.put(&[b'\\', letter]);
}

/// Appends a finite number as ECMAScript writes it (RFC 8785 section 3.2.2.3); -0 is written 0.
pub fn write_number(out: &mut impl Sink, value: f64) {
    if value.fract() == 0.0 && value.abs() <= INTEGER_MAX {
        // Within 2^53 the cast is exact; it also drops the sign of -0.
        write_integer(out, value as i64);
    } else {
        out.put(ryu_js::Buffer::new().format_finite(value).as_bytes());
    }
}

/// Appends a whole number; within 2^53 that is its canonical form.
pub fn write_integer(out: &mut impl Sink, value: i64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        // A remainder by ten fits into a byte.
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.put(b"-");
    }
    out.put(digits.get(at..).unwrap_or_default());
}
