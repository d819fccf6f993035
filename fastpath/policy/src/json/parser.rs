//! The pass over the body. Nesting lives on a stack of its own, so that no input can exhaust the thread's.

use super::text::{scan, unescape, utf16_order, Form};
use super::tree::{Node, Tree};
use super::{number, JsonError, JsonLimits, DEPTH_HARD_MAX};
use dpu_types::Reason;

/// Positions and indices are 32 bits.
const BODY_BYTES_HARD_MAX: usize = u32::MAX as usize;
/// A chat request has about one value or key in so many bytes; more only makes the list grow.
const BYTES_PER_NODE: usize = 24;
/// Nodes that are allotted before anything is known about the body.
const NODES_AHEAD_MAX: usize = 4_096;

pub(super) fn parse(body: &[u8], limits: JsonLimits) -> Result<Tree<'_>, JsonError> {
    let bytes_max = limits.body_bytes_max.min(BODY_BYTES_HARD_MAX);
    if body.len() > bytes_max {
        return Err(JsonError { reason: Reason::HttpBodyTooLarge, at: bytes_max });
    }
    let text = std::str::from_utf8(body)
        .map_err(|error| JsonError { reason: Reason::JsonEncoding, at: error.valid_up_to() })?;
    let nodes = Vec::with_capacity((body.len() / BYTES_PER_NODE + 8).min(NODES_AHEAD_MAX));
    let tree = Tree { text, nodes, order: Vec::with_capacity(16), side: Vec::new() };
    let depth_max = limits.depth_max.min(DEPTH_HARD_MAX);
    let parser = Parser {
        bytes: body,
        at: 0,
        depth_max,
        tree,
        open: Vec::with_capacity(8),
        keys: Vec::with_capacity(16),
    };
    parser.run()
}

/// A container whose end has not been met.
struct Open {
    node: u32,
    /// Where its keys start in `Parser::keys`; None for an array.
    keys_from: Option<usize>,
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    depth_max: usize,
    tree: Tree<'a>,
    open: Vec<Open>,
    /// Keys of all open objects, as node indices.
    keys: Vec<u32>,
}

impl<'a> Parser<'a> {
    fn run(mut self) -> Result<Tree<'a>, JsonError> {
        loop {
            let opened = self.value()?;
            if !opened && !self.advance()? {
                return self.finish();
            }
        }
    }

    fn finish(mut self) -> Result<Tree<'a>, JsonError> {
        self.skip_space();
        if self.at < self.bytes.len() {
            Err(JsonError::syntax(self.at))
        } else {
            Ok(self.tree)
        }
    }

    /// Reads one value. True where it is a container that is not empty: then its first value is next.
    fn value(&mut self) -> Result<bool, JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => {
                let text = self.text()?;
                self.tree.nodes.push(text);
            }
            Some(b'{') => return self.open_container(Some(self.keys.len())),
            Some(b'[') => return self.open_container(None),
            Some(b'-' | b'0'..=b'9') => {
                let (value, end) = number::read(self.tree.text, self.at)?;
                self.tree.nodes.push(Node::Number(value));
                self.at = end;
            }
            Some(b't') => self.literal(b"true", Node::Bool(true))?,
            Some(b'f') => self.literal(b"false", Node::Bool(false))?,
            Some(b'n') => self.literal(b"null", Node::Null)?,
            _ => return Err(JsonError::syntax(self.at)),
        }
        Ok(false)
    }

    /// After a whole value: closes what ends here. True where another value follows, false after the outermost one.
    fn advance(&mut self) -> Result<bool, JsonError> {
        while let Some(open) = self.open.last() {
            let object = open.keys_from.is_some();
            self.skip_space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    if object {
                        self.key()?;
                    }
                    return Ok(true);
                }
                Some(b'}') if object => self.close()?,
                Some(b']') if !object => self.close()?,
                _ => return Err(JsonError::syntax(self.at)),
            }
        }
        Ok(false)
    }

    fn open_container(&mut self, keys_from: Option<usize>) -> Result<bool, JsonError> {
        if self.open.len() >= self.depth_max {
            return Err(JsonError { reason: Reason::JsonDepth, at: self.at });
        }
        self.open.push(Open { node: self.next_node(), keys_from });
        // Its end is known when it is closed.
        self.tree.nodes.push(Node::Array { end: 0 });
        self.at += 1;
        self.skip_space();
        let end = if keys_from.is_some() { b'}' } else { b']' };
        if self.peek() == Some(end) {
            self.close()?;
            return Ok(false);
        }
        if keys_from.is_some() {
            self.key()?;
        }
        Ok(true)
    }

    fn close(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        let end = self.next_node();
        // Called with a container open.
        let Some(Open { node, keys_from }) = self.open.pop() else { return Ok(()) };
        let closed = match keys_from {
            Some(from) => self.close_object(from, end)?,
            None => Node::Array { end },
        };
        if let Some(slot) = self.tree.nodes.get_mut(node as usize) {
            *slot = closed;
        }
        Ok(())
    }

    /// Sorts the object's keys once, for both the search of duplicates and the canonical form: O(n log n) whatever
    /// the keys are, with no hash to flood.
    fn close_object(&mut self, from: usize, end: u32) -> Result<Node, JsonError> {
        let tree = &mut self.tree;
        // The list of open keys ends with this object's.
        let keys = self.keys.get_mut(from..).unwrap_or_default();
        keys.sort_unstable_by(|a, b| utf16_order(tree.key_bytes(*a), tree.key_bytes(*b)).then(a.cmp(b)));
        if let Some(pair) = keys.windows(2).find(|pair| tree.key_bytes(pair[0]) == tree.key_bytes(pair[1])) {
            return Err(JsonError { reason: Reason::JsonDuplicateKey, at: tree.key_at(pair[1]) });
        }
        // Fewer keys than bytes, which are counted in 32 bits.
        let (first, count) = (tree.order.len() as u32, keys.len() as u32);
        tree.order.extend_from_slice(keys);
        self.keys.truncate(from);
        Ok(Node::Object { end, first, count })
    }

    fn key(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(JsonError::syntax(self.at));
        }
        let text = self.text()?;
        let node = self.resolved(text);
        self.keys.push(self.next_node());
        self.tree.nodes.push(node);
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(JsonError::syntax(self.at));
        }
        self.at += 1;
        Ok(())
    }

    /// A key with escapes is unescaped here once, because it is compared many times.
    fn resolved(&mut self, text: Node) -> Node {
        match text {
            Node::Text { start, bytes, form } if form != Form::Plain => {
                let mut key = String::with_capacity(bytes as usize);
                unescape(self.tree.raw(start, bytes), &mut key);
                self.tree.side.push((key.into(), start));
                // Fewer keys than bytes, which are counted in 32 bits.
                Node::Text { start: self.tree.side.len() as u32 - 1, bytes, form: Form::Side }
            }
            plain => plain,
        }
    }

    /// The string whose opening quote is next.
    fn text(&mut self) -> Result<Node, JsonError> {
        let start = self.at + 1;
        let (end, form) = scan(self.bytes, start)?;
        self.at = end + 1;
        // Positions fit into 32 bits: the body does.
        Ok(Node::Text { start: start as u32, bytes: (end - start) as u32, form })
    }

    fn literal(&mut self, word: &[u8], node: Node) -> Result<(), JsonError> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(JsonError::syntax(self.at));
        }
        self.at += word.len();
        self.tree.nodes.push(node);
        Ok(())
    }

    fn next_node(&self) -> u32 {
        // Fewer nodes than bytes, which are counted in 32 bits.
        self.tree.nodes.len() as u32
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }
}
