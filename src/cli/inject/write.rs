//! [`Node`]s to YAML text, in block style.
//!
//! Decides when text may stand without quotes: only where no version of YAML reads anything else into it.

use super::node::Node;

/// Words that are not text in some version of YAML, in small letters.
const KEYWORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];

/// Writes a document, its end a line's end.
pub(super) fn document(node: &Node) -> String {
    let mut out = String::new();
    match node {
        Node::List(items) if !items.is_empty() => list(&mut out, items, 0),
        Node::Map(entries) if !entries.is_empty() => map(&mut out, entries, 0),
        node => {
            scalar(&mut out, node, 0);
            out.push('\n');
        }
    }
    out
}

fn map(out: &mut String, entries: &[(Node, Node)], indent: usize) {
    for (index, (key, value)) in entries.iter().enumerate() {
        // The first stands where its parent's line has come to.
        if index > 0 || out.is_empty() || out.ends_with('\n') {
            margin(out, indent);
        }
        let mut name = String::new();
        match key {
            Node::Text(key) if key.contains('\n') => quoted(&mut name, key),
            key => scalar(&mut name, key, 0),
        }
        out.push_str(&name);
        out.push(':');
        match value {
            Node::List(items) if !items.is_empty() => {
                out.push('\n');
                list(out, items, indent);
            }
            Node::Map(entries) if !entries.is_empty() => {
                out.push('\n');
                map(out, entries, indent + 2);
            }
            value => {
                out.push(' ');
                scalar(out, value, indent + 2);
                out.push('\n');
            }
        }
    }
}

fn list(out: &mut String, items: &[Node], indent: usize) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || out.is_empty() || out.ends_with('\n') {
            margin(out, indent);
        }
        out.push_str("- ");
        match item {
            Node::List(items) if !items.is_empty() => list(out, items, indent + 2),
            Node::Map(entries) if !entries.is_empty() => map(out, entries, indent + 2),
            item => {
                scalar(out, item, indent + 2);
                out.push('\n');
            }
        }
    }
}

/// Writes what fits behind a key: a scalar, or an empty list or map.
fn scalar(out: &mut String, node: &Node, indent: usize) {
    match node {
        Node::Plain(value) => out.push_str(value),
        Node::Text(value) if is_safe(value) => out.push_str(value),
        Node::Text(value) if is_block(value) => block(out, value, indent),
        Node::Text(value) => quoted(out, value),
        Node::List(_) => out.push_str("[]"),
        Node::Map(_) => out.push_str("{}"),
    }
}

/// Whether every reader takes it for text without quotes.
fn is_safe(value: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || "_./@:-".contains(c);
    value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_')
        && value.chars().all(sound)
        && !value.ends_with(':')
        && !KEYWORDS.contains(&value.to_ascii_lowercase().as_str())
}

/// Whether it can be written as lines below its key.
fn is_block(value: &str) -> bool {
    let odd = |line: &str| line.ends_with([' ', '\t']) || line.chars().any(|c| is_escaped(c) || c == '\r');
    value.contains('\n') && !value.starts_with([' ', '\t', '\n']) && !value.split('\n').any(odd)
}

fn block(out: &mut String, value: &str, indent: usize) {
    let body = value.trim_end_matches('\n');
    out.push_str(match value.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in value.strip_suffix('\n').unwrap_or(value).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            margin(out, indent);
            out.push_str(line);
        }
    }
}

fn quoted(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_escaped(c) => out.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whether a character would not print, or break a line.
fn is_escaped(c: char) -> bool {
    (c.is_control() && c != '\t' && c != '\n')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn margin(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}
