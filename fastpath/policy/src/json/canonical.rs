//! RFC 8785, the JSON canonicalisation scheme: one body has one form, byte for byte, in every language.

use super::number::INTEGER_MAX;
use super::text::Form;
use super::tree::{Node, Tree};
use super::Value;

/// Appends the canonical form of a value.
///
/// Recurses as deep as the value nests, which the parser has bounded by [`super::DEPTH_HARD_MAX`].
pub fn write_value(out: &mut Vec<u8>, value: Value<'_>) {
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
fn write_node(out: &mut Vec<u8>, tree: &Tree<'_>, index: u32) -> u32 {
    match tree.node(index) {
        Node::Null => out.extend_from_slice(b"null"),
        Node::Bool(true) => out.extend_from_slice(b"true"),
        Node::Bool(false) => out.extend_from_slice(b"false"),
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

fn write_array(out: &mut Vec<u8>, tree: &Tree<'_>, mut index: u32, end: u32) {
    out.push(b'[');
    while index < end {
        index = write_node(out, tree, index);
        if index < end {
            out.push(b',');
        }
    }
    out.push(b']');
}

fn write_object(out: &mut Vec<u8>, tree: &Tree<'_>, first: u32, count: u32) {
    let keys = tree.order.get(first as usize..(first + count) as usize).unwrap_or_default();
    out.push(b'{');
    for (i, key) in keys.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_node(out, tree, *key);
        out.push(b':');
        write_node(out, tree, key + 1);
    }
    out.push(b'}');
}

fn write_text(out: &mut Vec<u8>, tree: &Tree<'_>, start: u32, bytes: u32, form: Form) {
    match form {
        Form::Plain | Form::Canonical => {
            out.push(b'"');
            out.extend_from_slice(tree.raw(start, bytes).as_bytes());
            out.push(b'"');
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
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut plain_from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(bytes.get(plain_from..at).unwrap_or_default());
        write_escape(out, *byte);
        plain_from = at + 1;
    }
    out.extend_from_slice(bytes.get(plain_from..).unwrap_or_default());
    out.push(b'"');
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        b'"' | b'\\' => byte,
        _ => {
            const HEX: [u8; 16] = *b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

/// Appends a finite number as ECMAScript writes it (RFC 8785 section 3.2.2.3); -0 is written 0.
pub fn write_number(out: &mut Vec<u8>, value: f64) {
    if value.fract() == 0.0 && value.abs() <= INTEGER_MAX {
        // Within 2^53 the cast is exact; it also drops the sign of -0.
        write_integer(out, value as i64);
    } else {
        out.extend_from_slice(ryu_js::Buffer::new().format_finite(value).as_bytes());
    }
}

/// Appends a whole number; within 2^53 that is its canonical form.
pub fn write_integer(out: &mut Vec<u8>, value: i64) {
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
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}
