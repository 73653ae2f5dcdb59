//! Files that match some request equally closely.
//!
//! Decides which two files cannot both be used. Compares only those that may compete: a folder may hold
//! a file for each of ten thousand tenants.

use super::Source;
use super::entry::Entry;
use super::pattern::Pattern;
use super::read::Rule;
use crate::document::Diagnostic;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

/// Finds every file that matches some request as closely as an earlier one does.
///
/// Two globs that share any name count as a tie, even where one of the files also lists that very
/// name and would win there.
pub(super) fn find(entries: &[Entry<'_>]) -> Vec<Diagnostic> {
    let files: Vec<(&Source, &Rule)> =
        entries.iter().filter_map(|entry| Some((entry.source?, &entry.written.rule))).collect();
    let mut rivals = Rivals::default();
    let first_tie = |position: usize| {
        let (later, rule) = files[position];
        let candidates = rivals.of(rule);
        rivals.add(position, rule);
        let (earlier, models, tenants) = candidates.into_iter().find_map(|at| {
            let (earlier, other) = files[at];
            let models = common(other.models.as_deref(), rule.models.as_deref())?;
            let tenants = common(other.tenants.as_deref(), rule.tenants.as_deref())?;
            Some((earlier, models, tenants))
        })?;
        let other = &earlier.name;
        let message = format!("this file and {other} match equally well: models {models}, tenants {tenants}");
        let help = "give one of them a closer [match]: a name is closer than a glob, a glob than none, and models \
                    count before tenants";
        Some(Diagnostic::at(&later.name, &later.text, rule.at.clone(), message, Some(help.to_owned())))
    };
    (0..files.len()).filter_map(first_tie).collect()
}

/// Earlier files, by how they tell tenants. A name competes with the same name alone, a glob with globs,
/// no mention with none.
#[derive(Default)]
struct Rivals<'p> {
    named: HashMap<&'p str, Vec<usize>>,
    globs: Vec<usize>,
    any: Vec<usize>,
}

impl<'p> Rivals<'p> {
    /// Those whose tenants may be this rule's too.
    fn of(&self, rule: &Rule) -> BTreeSet<usize> {
        let Some(tenants) = &rule.tenants else { return self.any.iter().copied().collect() };
        let named = tenants.iter().filter_map(|pattern| match pattern {
            Pattern::Exact(name) => self.named.get(&**name),
            Pattern::Glob(_) => None,
        });
        let globs = tenants.iter().any(Pattern::is_glob).then_some(&self.globs);
        named.chain(globs).flatten().copied().collect()
    }

    fn add(&mut self, position: usize, rule: &'p Rule) {
        let Some(tenants) = &rule.tenants else { return self.any.push(position) };
        for pattern in tenants {
            if let Pattern::Exact(name) = pattern {
                self.named.entry(name).or_default().push(position);
            }
        }
        if tenants.iter().any(Pattern::is_glob) {
            self.globs.push(position);
        }
    }
}

/// What two lists both match equally closely.
enum Common<'p> {
    /// Any name.
    Any,
    /// The names that a pattern of each matches.
    Named(&'p Pattern, &'p Pattern),
}

impl fmt::Display for Common<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Named(a, b) if a == b => write!(f, "\"{a}\""),
            Self::Named(a, b) => write!(f, "\"{a}\" and \"{b}\""),
        }
    }
}

/// Asked of many pairs of files: nothing is put in words before there is something to say.
fn common<'p>(earlier: Option<&'p [Pattern]>, later: Option<&'p [Pattern]>) -> Option<Common<'p>> {
    match (earlier, later) {
        (None, None) => Some(Common::Any),
        (Some(earlier), Some(later)) => {
            let mut pairs = earlier.iter().flat_map(|a| later.iter().map(move |b| (a, b)));
            pairs.find(|(a, b)| a.competes(b)).map(|(a, b)| Common::Named(a, b))
        }
        _ => None,
    }
}
