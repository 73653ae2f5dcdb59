//! YAML text to [`Node`]s.
//!
//! Decides that aliases and merge keys are written out, and that a key may stand once in its map.

use super::node::Node;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// The deepest nesting that is read.
const DEEPEST: usize = 128;
/// Most nodes of a document; only aliases of aliases come near.
const MOST_NODES: usize = 1_000_000;

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
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
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
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Fault> {
        match self.parser.next() {
            Some(event) => Ok(event?),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// Reads the node that `event` begins.
    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Fault> {
        let at = span.start;
        if depth > DEEPEST {
            return Err(Fault::new(&at, format!("nested deeper than {DEEPEST}")));
        }
        let (node, anchor) = match event {
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                (known.ok_or_else(|| Fault::new(&at, "an alias within its own anchor"))?, 0)
            }
            Event::Scalar(value, style, anchor, tag) => (scalar(value, style, tag.as_deref(), &at)?, anchor),
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(depth)?, anchor),
            _ => return Err(Fault::new(&at, "a value is missing")),
        };
        self.nodes += count(&node);
        if self.nodes > MOST_NODES {
            return Err(Fault::new(&at, "aliases make this document too large"));
        }
        if anchor > 0 {
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
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let Some(name) = key.as_str() else {
                return Err(Fault::new(&span.start, "a key that is not a scalar"));
            };
            if entries.iter().any(|(other, _)| other.as_str() == Some(name)) {
                return Err(Fault::new(&span.start, format!("the key `{name}` stands twice in one map")));
            }
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth + 1)?;
            match key == Node::Plain("<<".to_owned()) {
                true => merged.push((value, value_span.start)),
                false => entries.push((key, value)),
            }
        }
        for (value, at) in merged {
            merge(&mut entries, value, &at)?;
        }
        Ok(Node::Map(entries))
    }
}

/// Adds what a merge key brings: of each key, what stands in the map itself or was merged first stays.
fn merge(entries: &mut Vec<(Node, Node)>, value: Node, at: &Marker) -> Result<(), Fault> {
    match value {
        Node::Map(brought) => {
            for (key, value) in brought {
                if entries.iter().all(|(other, _)| other.as_str() != key.as_str()) {
                    entries.push((key, value));
                }
            }
            Ok(())
        }
        Node::List(maps) => maps.into_iter().try_for_each(|map| merge(entries, map, at)),
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

fn count(node: &Node) -> usize {
    1 + match node {
        Node::Plain(_) | Node::Text(_) => 0,
        Node::List(items) => items.iter().map(count).sum(),
        Node::Map(entries) => entries.iter().map(|(_, value)| 1 + count(value)).sum(),
    }
}
