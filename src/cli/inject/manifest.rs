//! A manifest of several documents: which of its objects have pods, and where their templates are.
//!
//! Decides what is left alone, which is everything else, letter for letter.

use super::node::{Node, map, text};
use super::sidecar::{self, NAME, Sidecar};
use super::{pod, read, write};
use std::borrow::Cow;

/// Room for `-policies` behind it, in names that other objects take over.
const LONGEST_NAME: usize = 50;

/// A manifest with the sidecar in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Injected {
    pub(super) text: String,
    /// The objects that got it, as `Kind/name`.
    pub(super) objects: Vec<String>,
    /// What is worth knowing of them, each with the object before it.
    pub(super) warnings: Vec<String>,
}

/// Puts the sidecar into every pod of `text`, which is called `file` in messages. `instance` names the
/// ConfigMaps; without it they are named after the object.
///
/// # Errors
/// What is wrong, with its place: nothing is injected then.
pub(super) fn inject(text: &str, file: &str, sidecar: &Sidecar, instance: Option<&str>) -> Result<Injected, String> {
    let mut work = Work { sidecar, instance, objects: Vec::new(), warnings: Vec::new() };
    let mut documents = Vec::new();
    for Part { line, text } in parts(text.trim_start_matches('\u{feff}')) {
        let place = |line: usize, column: usize| format!("{file}:{line}:{column}: ");
        let read = read::document(text).map_err(|f| place(line + f.line - 1, f.column) + f.message.as_str())?;
        match read {
            Some(node) => {
                let known = work.objects.len();
                let nodes = work.object(node.clone()).map_err(|fault| place(line, 1) + fault.as_str())?;
                match work.objects.len() == known && nodes.len() == 1 && nodes[0] == node {
                    true => documents.push(Cow::Borrowed(text)),
                    false => documents.extend(render(text, &nodes).into_iter().map(Cow::Owned)),
                }
            }
            None => documents.push(Cow::Borrowed(text)),
        }
    }
    Ok(Injected { text: join(&documents), objects: work.objects, warnings: work.warnings })
}

/// A document as it is written, with the `---` before it.
struct Part<'t> {
    /// Of its first character, from 1.
    line: usize,
    text: &'t str,
}

/// Splits a stream before each `---`, which at the start of a line is nothing else.
fn parts(text: &str) -> Vec<Part<'_>> {
    let (mut parts, mut start, mut first, mut at) = (Vec::new(), 0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if at > start && is_separator(line) {
            parts.push(Part { line: first, text: &text[start..at] });
            (start, first) = (at, index + 1);
        }
        at += line.len();
    }
    parts.push(Part { line: first, text: &text[start..] });
    parts
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// New documents in place of one, the comments above it kept.
fn render(original: &str, nodes: &[Node]) -> Vec<String> {
    let mut documents: Vec<String> = nodes.iter().map(write::document).collect();
    let lines = original.split_inclusive('\n').skip_while(|line| is_separator(line));
    let comments: String = lines.take_while(|line| line.starts_with('#')).collect();
    if let Some(last) = documents.last_mut() {
        last.insert_str(0, &comments);
    }
    documents
}

/// Puts documents behind each other: all but the first begin with `---`.
fn join(documents: &[Cow<'_, str>]) -> String {
    let mut joined = String::new();
    for document in documents {
        if !joined.is_empty() && !joined.ends_with('\n') {
            joined.push('\n');
        }
        if !joined.is_empty() && !document.lines().next().is_some_and(is_separator) {
            joined.push_str("---\n");
        }
        joined.push_str(document);
    }
    joined
}

struct Work<'s> {
    sidecar: &'s Sidecar,
    instance: Option<&'s str>,
    objects: Vec<String>,
    warnings: Vec<String>,
}

impl Work<'_> {
    /// What stands in place of an object: itself, with ConfigMaps before it where it has pods; nothing where
    /// it is a ConfigMap of an earlier injection.
    fn object(&mut self, mut object: Node) -> Result<Vec<Node>, String> {
        let (group, kind) = (group(&object).to_owned(), object.str_at("kind").to_owned());
        if (group.as_str(), kind.as_str()) == ("", "ConfigMap") && pod::is_marked(&object) {
            return Ok(Vec::new());
        }
        if (group.as_str(), kind.as_str()) == ("", "List") && object.items("items").next().is_some() {
            let items = std::mem::take(object.list("items")?);
            let items = items.into_iter().map(|item| self.object(item)).collect::<Result<Vec<_>, _>>()?;
            *object.list("items")? = items.concat();
            return Ok(vec![object]);
        }
        let Some(path) = template(&group, &kind) else { return Ok(vec![object]) };
        let metadata = object.get("metadata");
        let name = metadata.map_or("", |metadata| metadata.str_at("name")).to_owned();
        let namespace = metadata.and_then(|metadata| metadata.get("namespace")).cloned();
        let called = format!("{kind}/{name}");
        let fault = |fault: String| format!("{called}: {fault}");
        if self.sidecar.plain && matches!(kind.as_str(), "Job" | "CronJob") {
            return Err(fault("with --plain it would never complete: the sidecar does not end".to_owned()));
        }
        let instance = match self.instance {
            Some(instance) => instance.to_owned(),
            None if name.is_empty() => return Err(fault("it has no name; --name names its ConfigMaps".to_owned())),
            None => instance_of(&name),
        };
        let mut pod = &mut object;
        for key in path {
            pod = pod.entry(key).map_err(fault)?;
        }
        pod::inject(pod, self.sidecar, &instance).map_err(fault)?;
        self.warnings.extend(pod::warning(pod, self.sidecar).map(fault));
        let mut objects = self.config_maps(&instance, namespace.as_ref());
        objects.push(object);
        self.objects.push(called);
        Ok(objects)
    }

    fn config_maps(&self, instance: &str, namespace: Option<&Node>) -> Vec<Node> {
        let config = map([("inferneo.toml", text(self.sidecar.config() + "\n"))]);
        let mut objects = vec![pod::config_map(sidecar::config_name(instance), namespace, config)];
        if self.sidecar.policies.is_none() {
            // Without a file the built-in policy applies.
            objects.push(pod::config_map(sidecar::policies_name(instance), namespace, Node::Map(Vec::new())));
        }
        objects
    }
}

/// The API group of an object; empty for the core.
fn group(object: &Node) -> &str {
    object.str_at("apiVersion").rsplit_once('/').map_or("", |(group, _)| group)
}

/// Where an object of this kind has its pod template; `None` for one without pods, or whose pods are made
/// by somebody else's rules.
fn template(group: &str, kind: &str) -> Option<&'static [&'static str]> {
    match (group, kind) {
        ("", "Pod") => Some(&[]),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet") | ("batch", "Job") => Some(&["spec", "template"]),
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

/// The object's name with ours behind it, unless the one holds the other.
fn instance_of(name: &str) -> String {
    let whole = if name.contains(NAME) { name.to_owned() } else { format!("{name}-{NAME}") };
    let cut: String = whole.chars().take(LONGEST_NAME).collect();
    cut.strip_suffix('-').unwrap_or(&cut).to_owned()
}
