//! The tree of a parsed body: a flat list of nodes in the order of the text, strings borrowed from it.

use super::number::INTEGER_MAX;
use super::text::{unescape, utf16_order, Form};
use super::{parser, JsonError, JsonLimits};
use std::borrow::Cow;

/// Up to here, looking at each key's length beats a binary search.
const FEW_KEYS: usize = 16;

/// A parsed body. Each node is 16 bytes; a container is followed by its content.
#[derive(Debug)]
pub struct Tree<'a> {
    pub(super) text: &'a str,
    pub(super) nodes: Vec<Node>,
    /// Keys of all objects as node indices, sorted within each object; the value is the node after its key.
    pub(super) order: Vec<u32>,
    /// Keys that had escapes, and where they were.
    pub(super) side: Vec<(Box<str>, u32)>,
}

/// One value or key. Positions are bytes of the body, `end` is the index of the first node after the container.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(f64),
    Text { start: u32, bytes: u32, form: Form },
    Array { end: u32 },
    Object { end: u32, first: u32, count: u32 },
}

impl<'a> Tree<'a> {
    /// Parses a whole body.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(body: &'a [u8], limits: JsonLimits) -> Result<Self, JsonError> {
        parser::parse(body, limits)
    }

    /// The outermost value.
    #[must_use]
    pub const fn root(&self) -> Value<'_> {
        Value { tree: self, index: 0 }
    }

    /// Bytes of the whole body.
    pub(crate) const fn text_bytes(&self) -> usize {
        self.text.len()
    }

    pub(super) fn node(&self, index: u32) -> Node {
        // Indices come from the parser, which made these nodes.
        self.nodes.get(index as usize).copied().unwrap_or(Node::Null)
    }

    /// What stands between the quotes.
    pub(super) fn raw(&self, start: u32, bytes: u32) -> &str {
        let start = start as usize;
        self.text.get(start..start + bytes as usize).unwrap_or_default()
    }

    pub(super) fn side_text(&self, start: u32) -> &str {
        self.side.get(start as usize).map_or("", |(text, _)| text)
    }

    /// The text of a key; keys never need unescaping.
    pub(super) fn key(&self, index: u32) -> &str {
        match self.node(index) {
            Node::Text { start, form: Form::Side, .. } => self.side_text(start),
            Node::Text { start, bytes, .. } => self.raw(start, bytes),
            _ => "",
        }
    }

    /// The same in bytes, for comparing: without the search for character borders.
    pub(super) fn key_bytes(&self, index: u32) -> &[u8] {
        match self.node(index) {
            Node::Text { start, form: Form::Side, .. } => self.side_text(start).as_bytes(),
            Node::Text { start, bytes, .. } => {
                let start = start as usize;
                self.text.as_bytes().get(start..start + bytes as usize).unwrap_or_default()
            }
            _ => b"",
        }
    }

    /// Where a key's text starts in the body.
    pub(super) fn key_at(&self, index: u32) -> usize {
        match self.node(index) {
            Node::Text { start, form: Form::Side, .. } => {
                self.side.get(start as usize).map_or(0, |(_, at)| *at as usize)
            }
            Node::Text { start, .. } => start as usize,
            _ => 0,
        }
    }

    fn after(&self, index: u32) -> u32 {
        match self.node(index) {
            Node::Array { end } | Node::Object { end, .. } => end,
            _ => index + 1,
        }
    }
}

/// One value of a tree.
#[derive(Clone, Copy, Debug)]
pub struct Value<'t> {
    pub(super) tree: &'t Tree<'t>,
    pub(super) index: u32,
}

/// A value by its type.
#[derive(Clone, Debug)]
pub enum View<'t> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// Finite.
    Number(f64),
    /// Without its escapes.
    Text(Cow<'t, str>),
    /// In order.
    Array(Items<'t>),
    /// By name.
    Object(Object<'t>),
}

impl<'t> Value<'t> {
    /// The value by its type.
    #[must_use]
    pub fn view(self) -> View<'t> {
        match self.tree.node(self.index) {
            Node::Null => View::Null,
            Node::Bool(value) => View::Bool(value),
            Node::Number(value) => View::Number(value),
            Node::Text { .. } => View::Text(self.text().unwrap_or_default()),
            Node::Array { end } => View::Array(Items { tree: self.tree, next: self.index + 1, end }),
            Node::Object { first, count, .. } => View::Object(Object { tree: self.tree, first, count }),
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        matches!(self.tree.node(self.index), Node::Null)
    }

    /// Whether it is a string, without looking into it.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self.tree.node(self.index), Node::Text { .. })
    }

    /// Its text, if it is a string; borrowed from the body unless it has escapes.
    #[must_use]
    pub fn text(self) -> Option<Cow<'t, str>> {
        let Node::Text { start, bytes, form } = self.tree.node(self.index) else { return None };
        Some(match form {
            Form::Plain => Cow::Borrowed(self.tree.raw(start, bytes)),
            Form::Side => Cow::Borrowed(self.tree.side_text(start)),
            Form::Canonical | Form::Escaped => {
                let mut out = String::with_capacity(bytes as usize);
                unescape(self.tree.raw(start, bytes), &mut out);
                Cow::Owned(out)
            }
        })
    }

    /// Its value, if it is `true` or `false`.
    #[must_use]
    pub fn boolean(self) -> Option<bool> {
        if let Node::Bool(value) = self.tree.node(self.index) {
            Some(value)
        } else {
            None
        }
    }

    /// Its value, if it is a number.
    #[must_use]
    pub fn number(self) -> Option<f64> {
        if let Node::Number(value) = self.tree.node(self.index) {
            Some(value)
        } else {
            None
        }
    }

    /// Its value, if it is a whole number; 1.0 and 1e0 are, as in their canonical form.
    #[must_use]
    pub fn integer(self) -> Option<i64> {
        let value = self.number()?;
        // Within 2^53 the cast is exact.
        (value.fract() == 0.0 && value.abs() <= INTEGER_MAX).then_some(value as i64)
    }

    /// Its elements, if it is an array.
    #[must_use]
    pub fn items(self) -> Option<Items<'t>> {
        if let View::Array(items) = self.view() {
            Some(items)
        } else {
            None
        }
    }

    /// Its entries, if it is an object.
    #[must_use]
    pub fn object(self) -> Option<Object<'t>> {
        if let View::Object(object) = self.view() {
            Some(object)
        } else {
            None
        }
    }

    /// Values and keys in it, itself included: a measure of its size.
    #[must_use]
    pub fn nodes(self) -> u32 {
        self.tree.after(self.index) - self.index
    }
}

/// The elements of an array.
#[derive(Clone, Debug)]
pub struct Items<'t> {
    tree: &'t Tree<'t>,
    next: u32,
    end: u32,
}

impl<'t> Iterator for Items<'t> {
    type Item = Value<'t>;

    fn next(&mut self) -> Option<Value<'t>> {
        if self.next >= self.end {
            return None;
        }
        let index = self.next;
        self.next = self.tree.after(index);
        Some(Value { tree: self.tree, index })
    }
}

/// The entries of an object.
#[derive(Clone, Copy, Debug)]
pub struct Object<'t> {
    tree: &'t Tree<'t>,
    first: u32,
    count: u32,
}

impl<'t> Object<'t> {
    /// How many.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Entries in canonical order.
    pub fn entries(self) -> impl Iterator<Item = (&'t str, Value<'t>)> {
        let tree = self.tree;
        self.keys().iter().map(move |key| (tree.key(*key), Value { tree, index: key + 1 }))
    }

    /// The value of a key.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Value<'t>> {
        let (keys, name) = (self.keys(), name.as_bytes());
        let key = if keys.len() <= FEW_KEYS {
            keys.iter().find(|key| self.tree.key_bytes(**key) == name)
        } else {
            let order = |key: &u32| utf16_order(self.tree.key_bytes(*key), name);
            keys.binary_search_by(order).ok().and_then(|at| keys.get(at))
        };
        key.map(|key| Value { tree: self.tree, index: key + 1 })
    }

    fn keys(self) -> &'t [u32] {
        let first = self.first as usize;
        self.tree.order.get(first..first + self.count as usize).unwrap_or_default()
    }
}
