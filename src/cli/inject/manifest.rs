//! A manifest of several documents: what each of its objects becomes.
//!
//! Decides what stands before an object, and that everything without pods is left alone, letter for letter.

use super::kinds::{self, Pods, Type};
use super::node::{Node, map, text};
use super::sidecar::{self, Sidecar};
use super::survey::{self, Place, Survey};
use super::{names, pod, read, write};
use std::borrow::Cow;
use std::collections::HashMap;

/// A manifest with the sidecar in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Injected {
    pub(super) text: String,
    /// The objects that got it, as `Kind/name`.
    pub(super) objects: Vec<String>,
    /// What is worth knowing of the objects, in their order.
    pub(super) remarks: Vec<Remark>,
}

/// A sentence about an object, which begins with `Kind/name`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Remark {
    /// What was changed besides, or is as it should be.
    Note(String),
    /// What its pods may suffer from.
    Warning(String),
    /// Why its pods get no sidecar.
    LeftOut(String),
}

/// Puts the sidecar into every pod of `text`, which is called `file` in messages. `instance` names the
/// ConfigMaps; without it they are named after the object.
///
/// # Errors
/// What is wrong, with its place: nothing is injected then.
pub(super) fn inject(text: &str, file: &str, sidecar: &Sidecar, instance: Option<&str>) -> Result<Injected, String> {
    let parts = parts(text.trim_start_matches('\u{feff}'));
    let place = |line: usize, column: usize| format!("{file}:{line}:{column}: ");
    // Read twice and not kept: written out, many documents may be far larger than their text.
    let read = |part: &Part<'_>| {
        let read = read::document(part.text);
        read.map_err(|f| place(part.line + f.line - 1, f.column) + f.message.as_str())
    };
    let mut survey = Survey::default();
    for part in &parts {
        read(part)?.iter().for_each(|object| survey.add(object, None, instance));
    }
    let mut work = Work { sidecar, instance, survey, made: HashMap::new(), objects: Vec::new(), remarks: Vec::new() };
    let mut documents = Vec::new();
    for part in &parts {
        let Some(node) = read(part)? else {
            documents.push(Cow::Borrowed(part.text));
            continue;
        };
        let known = work.objects.len();
        let nodes = work.object(node.clone(), None).map_err(|fault| place(part.line, 1) + fault.as_str())?;
        match work.objects.len() == known && nodes.len() == 1 && nodes[0] == node {
            true => documents.push(Cow::Borrowed(part.text)),
            false => documents.extend(render(part.text, &nodes).into_iter().map(Cow::Owned)),
        }
    }
    Ok(Injected { text: join(&documents), objects: work.objects, remarks: work.remarks })
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
    survey: Survey,
    /// The ConfigMaps so far, by their data.
    made: HashMap<Place, Node>,
    objects: Vec<String>,
    remarks: Vec<Remark>,
}

impl Work<'_> {
    /// What stands in place of an object: itself, with ConfigMaps before it where it has pods; nothing where
    /// it is a ConfigMap that an earlier injection added and this one replaces.
    fn object(&mut self, object: Node, list: Option<&Type>) -> Result<Vec<Node>, String> {
        let of = Type::of(&object, list);
        let at = survey::place(&object);
        let called = called(&object, &of);
        match kinds::pods(&object, &of) {
            Pods::List => self.items(object, &of),
            Pods::Template(path) => self.workload(object, &of, path).map_err(|fault| format!("{called}: {fault}")),
            Pods::Owned(kind, name) => {
                let told = format!("{called}: left as it is, because {kind}/{name} makes it");
                let has_it = of.pod(&object).is_some_and(pod::is_marked);
                self.remarks.push(match self.survey.has(&kind, &(at.0, name)) {
                    true => Remark::Note(format!("{told}, which is in the manifest too")),
                    false if has_it => Remark::Note(format!("{told}; it has the sidecar already")),
                    false => Remark::LeftOut(format!("{told}: inject into that")),
                });
                Ok(vec![object])
            }
            Pods::LeftOut(why) => {
                self.remarks.push(Remark::LeftOut(format!("{called}: left without the sidecar: {why}")));
                Ok(vec![object])
            }
            Pods::None if of.is_config_map() && self.survey.is_replaced(&at, self.sidecar) => {
                let policies = object.get("data").filter(|data| data.get("inferneo.toml").is_none());
                let holds_some = policies.is_some_and(|data| matches!(data, Node::Map(files) if !files.is_empty()));
                if self.sidecar.policies.is_some() && holds_some {
                    let dropped = "dropped with the policies in it, because --policies-config-map names another";
                    self.remarks.push(Remark::Note(format!("{called}: {dropped}")));
                }
                Ok(Vec::new())
            }
            Pods::None => Ok(vec![object]),
        }
    }

    /// A list with what stands in place of its items. One of a single type holds no ConfigMaps: they come before it.
    fn items(&mut self, mut list: Node, of: &Type) -> Result<Vec<Node>, String> {
        let (mut before, mut kept) = (Vec::new(), Vec::new());
        for item in std::mem::take(list.list("items")?) {
            let mut nodes = self.object(item, Some(of))?;
            let item = nodes.pop();
            if of.kind == "List" { &mut kept } else { &mut before }.append(&mut nodes);
            kept.extend(item);
        }
        *list.list("items")? = kept;
        before.push(list);
        Ok(before)
    }

    /// An object whose pod template is at `path`, with the sidecar in it and the ConfigMaps before it.
    fn workload(&mut self, mut object: Node, of: &Type, path: &[&str]) -> Result<Vec<Node>, String> {
        let (at, called) = (survey::place(&object), called(&object, of));
        if self.sidecar.plain && matches!(of.kind.as_str(), "Job" | "CronJob") {
            return Err("with --plain it would never complete: the sidecar does not end".to_owned());
        }
        let instance = match self.instance {
            Some(instance) => instance.to_owned(),
            None if at.1.is_empty() => return Err("it has no metadata.name; --name names its ConfigMaps".to_owned()),
            None => names::instance(&of.kind, &at.1)?,
        };
        let namespace = object.get("metadata").and_then(|metadata| metadata.get("namespace")).cloned();
        let mut pod = &mut object;
        for key in path {
            pod = pod.entry(key)?;
        }
        let earlier = pod::mounted(pod, sidecar::POLICIES).map(|name| (at.0.clone(), name.to_owned()));
        let note = pod::inject(pod, self.sidecar, &instance)?;
        self.remarks.extend(note.map(|note| Remark::Note(format!("{called}: {note}"))));
        let note = of.note(!self.sidecar.plain);
        self.remarks.extend(note.map(|note| Remark::Note(format!("{called}: {note}"))));
        let warning = pod::warning(pod, self.sidecar);
        self.remarks.extend(warning.map(|warning| Remark::Warning(format!("{called}: {warning}"))));
        let mut objects = self.config_maps(&instance, &at.0, namespace.as_ref(), earlier.as_ref())?;
        objects.push(object);
        self.objects.push(called);
        Ok(objects)
    }

    /// The ConfigMaps that are not there yet. The policies are those that an earlier injection's `earlier` holds
    /// by now; without a file the built-in policy applies.
    fn config_maps(
        &mut self,
        instance: &str,
        within: &str,
        namespace: Option<&Node>,
        earlier: Option<&Place>,
    ) -> Result<Vec<Node>, String> {
        let config = map([("inferneo.toml", text(self.sidecar.config() + "\n"))]);
        let mut wanted = vec![(sidecar::config_name(instance), config)];
        match &self.sidecar.policies {
            Some(name) if *name == wanted[0].0 => {
                return Err(format!("--policies-config-map names {name}, which is the ConfigMap of inferneo.toml"));
            }
            Some(_) => {}
            None => {
                let at = (within.to_owned(), sidecar::policies_name(instance));
                let kept = self.survey.policies(&at).or_else(|| self.survey.policies(earlier?));
                let policies = kept.cloned().unwrap_or_else(|| Node::Map(Vec::new()));
                wanted.push((at.1, policies));
            }
        }
        let mut objects = Vec::new();
        for (name, data) in wanted {
            let at = (within.to_owned(), name.clone());
            if self.survey.is_foreign(&at) {
                return Err(format!(
                    "the manifest already has a ConfigMap {name} that this command did not add; --name names others"
                ));
            }
            match self.made.get(&at) {
                Some(made) if *made == data => continue,
                Some(_) => return Err(format!("its policies are not those that the ConfigMap {name} has already")),
                None => _ = self.made.insert(at, data.clone()),
            }
            objects.push(pod::config_map(name, namespace, data));
        }
        Ok(objects)
    }
}

/// An object as messages call it.
fn called(object: &Node, of: &Type) -> String {
    let name = object.get("metadata").map_or("", |metadata| match metadata.str_at("name") {
        "" => metadata.str_at("generateName"),
        name => name,
    });
    format!("{}/{name}", if of.kind.is_empty() { "(no kind)" } else { &of.kind })
}
