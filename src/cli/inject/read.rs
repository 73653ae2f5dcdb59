//! YAML text to [`Node`]s.
//!
//! Decides that aliases and merge keys are written out, that a key may stand once in its map, and how much of
//! it there may be.

use super::node::Node;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// The deepest nesting, aliases written out.
const DEEPEST: usize = 128;
/// Most bytes that a document takes in memory, aliases written out: far more than a cluster takes as one object.
const MOST_BYTES: usize = 128 << 20;
/// What a node takes besides its characters.
const NODE_BYTES: usize = 64;

/// What is wrong with a text, and where: line and column, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

impl Fault {
    fn new(at: &Marker, message: impl Into<String>) -> Self {
        Self { line: at.line(), column: at.col() + 1, message: message.into() }
    }
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        Self::new(error.marker(), error.info())
    }
}

/// Reads a text that holds one document, or none.
pub(super) fn document(text: &str) -> Result<Option<Node>, Fault> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), bytes: 0 };
    let mut found = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(found),
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if found.is_some() => return Err(Fault::new(&span.start, "a second document without `---` before it")),
            event => found = Some(reader.node(event, span, 0)?),
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Node>,
    /// Of everything read so far.
    bytes: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Fault> {
        match self.parser.next() {
            Some(event) => Ok(event?),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// Makes room for a node, or for a copy of one.
    fn take(&mut self, bytes: usize, at: &Marker) -> Result<(), Fault> {
        self.bytes = self.bytes.saturating_add(bytes);
        match self.bytes > MOST_BYTES {
            true => Err(Fault::new(at, "this document is too large, its aliases written out")),
            false => Ok(()),
        }
    }

    /// The node behind an alias, which stands `depth` deep.
    fn alias(&mut self, anchor: usize, depth: usize, at: &Marker) -> Result<Node, Fault> {
        let known = self.anchors.get(&anchor).ok_or_else(|| Fault::new(at, "an alias within its own anchor"))?;
        let (bytes, deep) = measure(known);
        if depth + deep > DEEPEST {
            return Err(Fault::new(at, format!("nested deeper than {DEEPEST}, aliases written out")));
        }
        self.take(bytes, at)?;
        Ok(self.anchors[&anchor].clone())
    }

    /// Reads the node that `event` begins.
    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Fault> {
        let at = span.start;
        if depth > DEEPEST {
            return Err(Fault::new(&at, format!("nested deeper than {DEEPEST}")));
        }
        let (node, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, depth, &at),
            Event::Scalar(value, style, anchor, tag) => {
                self.take(NODE_BYTES + value.len(), &at)?;
                (scalar(value, style, tag.as_deref(), &at)?, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                self.take(NODE_BYTES, &at)?;
                (self.list(depth)?, anchor)
            }
            Event::MappingStart(anchor, _) => {
                self.take(NODE_BYTES, &at)?;
                (self.map(depth)?, anchor)
            }
            _ => return Err(Fault::new(&at, "a value is missing")),
        };
        if anchor > 0 {
            self.take(measure(&node).0, &at)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Node, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Node::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Node, Fault> {
        let (mut entries, mut merged) = (Vec::new(), Vec::new());
        let mut names = HashSet::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let Some(name) = key.as_str() else {
                return Err(Fault::new(&span.start, "a key that is not a scalar"));
            };
            let merges = matches!(&key, Node::Plain(name) if name == "<<");
            if !merges && !names.insert(name.to_owned()) {
                return Err(Fault::new(&span.start, format!("the key `{name}` stands twice in one map")));
            }
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth + 1)?;
            match merges {
                true => merged.push((value, value_span.start)),
                false => entries.push((key, value)),
            }
        }
        for (value, at) in merged {
            merge(&mut entries, &mut names, value, &at)?;
        }
        Ok(Node::Map(entries))
    }
}

/// Adds what a merge key brings: of each key, what stands in the map itself or was merged first stays.
fn merge(entries: &mut Vec<(Node, Node)>, names: &mut HashSet<String>, value: Node, at: &Marker) -> Result<(), Fault> {
    match value {
        Node::Map(brought) => {
            entries.extend(brought.into_iter().filter(|(key, _)| names.insert(key.as_str().unwrap_or("").to_owned())));
            Ok(())
        }
        Node::List(maps) => maps.into_iter().try_for_each(|map| merge(entries, names, map, at)),
        Node::Plain(_) | Node::Text(_) => Err(Fault::new(at, "`<<` takes a map or a list of maps")),
    }
}

fn scalar(value: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, at: &Marker) -> Result<Node, Fault> {
    let value = value.into_owned();
    let word = tag.map(|tag| (tag.is_yaml_core_schema(), tag.suffix.as_str()));
    match word {
        // A plain scalar of several lines is folded by the parser, and no keyword or number.
        None if style == ScalarStyle::Plain && !value.contains('\n') => Ok(Node::Plain(value)),
        None | Some((true, "str")) => Ok(Node::Text(value)),
        Some((true, "int" | "float" | "bool" | "null")) => Ok(Node::Plain(value)),
        Some((_, suffix)) => Err(Fault::new(at, format!("the tag `{suffix}` is not understood"))),
    }
}

/// The bytes that a node takes, and how many levels it has below itself.
fn measure(node: &Node) -> (usize, usize) {
    let all = |nodes: &mut dyn Iterator<Item = &Node>| {
        let (bytes, deep) =
            nodes.map(measure).fold((0, 0), |(sum, deepest), (bytes, deep)| (sum + bytes, deep.max(deepest)));
        (NODE_BYTES + bytes, 1 + deep)
    };
    match node {
        Node::Plain(value) | Node::Text(value) => (NODE_BYTES + value.len(), 0),
        Node::List(items) => all(&mut items.iter()),
        Node::Map(entries) => all(&mut entries.iter().flat_map(|(key, value)| [key, value])),
    }
}
