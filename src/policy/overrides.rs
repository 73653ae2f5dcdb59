//! Overrides: another strategy for files as they stand, until they change.
//!
//! Decides which file an override holds for and which of several wins. Does not know who set it or
//! when: that is `reload`.

use super::{Source, Strategy};
use crate::script::Script;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A strategy that is put in place of the files' own.
///
/// A file under an override is read again with its strategy replaced: the keys it names keep their
/// values, all others default by the new strategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The only model whose requests are concerned; `None` is every model. One for a model goes
    /// before one for every model, and a later one before an earlier one.
    pub model: Option<Box<str>>,
    /// The strategy.
    pub strategy: Strategy,
    /// The files it holds for, by [`Source::name`], as they were when it was set: it holds for a file as
    /// long as that is unchanged.
    pub files: BTreeMap<String, Version>,
    /// Whether it holds for the built-in policy: whether requests could fall under that when it was set.
    pub builtin: bool,
}

/// A policy file at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its text.
    pub text: String,
    /// The script that it names.
    pub script: Option<Arc<Script>>,
}

impl Override {
    /// Whether it holds for a file with this script; `None` is the built-in policy.
    #[must_use]
    fn holds_for(&self, source: Option<&Source>, script: Option<&Arc<Script>>) -> bool {
        let Some(source) = source else { return self.builtin };
        self.files.get(&source.name).is_some_and(|was| was.text == source.text && was.script.as_ref() == script)
    }
}

/// The strategy that a file is to have for one model, or for every model; `None` is its own.
pub(super) fn strategy_of(
    overrides: &[Override],
    source: Option<&Source>,
    script: Option<&Arc<Script>>,
    model: Option<&str>,
) -> Option<Strategy> {
    let in_force = |found: &&Override| found.model.as_deref() == model && found.holds_for(source, script);
    overrides.iter().rev().find(in_force).map(|found| found.strategy)
}

/// The models that have an override of their own.
pub(super) fn models(overrides: &[Override]) -> BTreeSet<&str> {
    overrides.iter().filter_map(|found| found.model.as_deref()).collect()
}
