//! The scripts of a folder, for the policies that name them.
//!
//! Decides what a script's name may be and how a fault in one is told. A script is compiled once, when
//! the first policy names it; one that none names is passed over.

use super::Source;
use super::keys::LONGEST_NAME;
use crate::document::{Diagnostic, Table, quote};
use crate::script::Script;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the name of a script ends with.
pub(super) const ENDING: &str = ".rhai";

/// The scripts, by [`Source::name`].
#[derive(Default)]
pub(super) struct Scripts<'s> {
    files: BTreeMap<&'s str, (&'s Source, Compiled)>,
}

/// What came of a script, once a policy named it.
type Compiled = OnceCell<Result<Arc<Script>, Box<Diagnostic>>>;

impl<'s> Scripts<'s> {
    pub(super) fn of(sources: impl Iterator<Item = &'s Source>) -> Self {
        Self { files: sources.map(|source| (&*source.name, (source, OnceCell::new()))).collect() }
    }

    /// Reads the `script` of the policy in `file`. `None` where none is named, after a fault, and for a script
    /// whose own fault [`faults`](Self::faults) tells.
    pub(super) fn read(&self, table: &mut Table<'_>, file: &str) -> Option<Arc<Script>> {
        let expected = "the name of a script beside this file, such as \"mine.rhai\"";
        let name = table.parsed("script", expected, |name| is_name(name).then(|| name.to_owned()))?;
        let folder = folder(file);
        let Some((source, compiled)) = self.files.get(&*format!("{folder}{name}")) else {
            let beside: Vec<&str> = self.files.keys().filter_map(|path| path.strip_prefix(folder)).collect();
            let help = if beside.is_empty() {
                "no script is there".to_owned()
            } else {
                format!("there: {}", beside.join(", "))
            };
            table.fault("script", format!("there is no {} beside this file", quote(&name)), Some(help));
            return None;
        };
        compiled.get_or_init(|| compile_script(source).map(Arc::new)).clone().ok()
    }

    /// The faults of the scripts that were named.
    pub(super) fn faults(self) -> impl Iterator<Item = Diagnostic> {
        self.files.into_values().filter_map(|(_, compiled)| compiled.into_inner()?.err()).map(|fault| *fault)
    }
}

impl Source {
    /// Its name without its folder.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.name[folder(&self.name).len()..]
    }

    /// Whether it is a script, and no policy.
    #[must_use]
    pub fn is_script(&self) -> bool {
        self.name.ends_with(ENDING)
    }
}

/// Compiles a script as a policy that names it would.
///
/// # Errors
/// Its first fault.
pub fn compile_script(source: &Source) -> Result<Script, Box<Diagnostic>> {
    Script::compile(source.file_name(), &source.text).map_err(|fault| {
        let at = byte(&source.text, fault.line, fault.column);
        Box::new(Diagnostic::at(&source.name, &source.text, at..at + 1, fault.message, fault.help))
    })
}

/// A path up to and with its last slash.
fn folder(path: &str) -> &str {
    path.rfind(['/', '\\']).map_or("", |slash| &path[..=slash])
}

fn is_name(name: &str) -> bool {
    let plain = !name.contains(|letter: char| letter.is_control() || ['/', '\\'].contains(&letter));
    plain && name.ends_with(ENDING) && !name.starts_with('.') && name.len() <= LONGEST_NAME
}

/// Where a place in a text is, in bytes.
fn byte(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = text[start..].split('\n').next().unwrap_or_default();
    start + rest.char_indices().nth(column - 1).map_or(rest.len(), |(at, _)| at)
}
