//! All policies of a folder, and which of them a request falls under.

use super::pattern::{Pattern, matches};
use super::read::Rule;
use super::{Policy, Source, Strategy};
use crate::document::Diagnostic;
use std::collections::HashMap;
use std::sync::Arc;

/// All policies of a folder, swapped as a whole.
#[derive(Debug, Clone)]
pub struct PolicySet {
    /// Counts swaps, from 1.
    pub generation: u64,
    policies: Vec<Arc<Policy>>,
    index: Level<Level<usize>>,
    names_tenants: bool,
}

/// A file that was read without fault.
pub(super) struct File<'s> {
    pub(super) source: &'s Source,
    pub(super) policy: Policy,
    pub(super) rule: Rule,
}

impl PolicySet {
    /// The built-in policy alone: adaptive, named `default`, for every model and tenant.
    #[must_use]
    pub fn builtin(generation: u64) -> Self {
        Self::single(Policy::preset("default", Strategy::Adaptive), generation)
    }

    /// One policy for every model and tenant.
    #[must_use]
    pub fn single(policy: Policy, generation: u64) -> Self {
        Self { generation, policies: vec![Arc::new(policy)], index: Level::default(), names_tenants: false }
    }

    pub(super) fn of(files: Vec<File<'_>>, generation: u64) -> Self {
        let mut set = Self::builtin(generation);
        let builtin = std::mem::take(&mut set.policies);
        for (position, File { policy, rule, .. }) in files.into_iter().enumerate() {
            set.names_tenants |= rule.tenants.is_some();
            set.index.fill(rule.models.as_deref(), |level| {
                level.fill(rule.tenants.as_deref(), |index| *index = position);
            });
            set.policies.push(Arc::new(policy));
        }
        set.policies.extend(builtin);
        set
    }

    /// The policies, in file-name order, and last the one for what no file matches.
    #[must_use]
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// The tenants that some policy names, globs aside.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        let levels = self.index.exact.values().chain(self.index.globs.iter().map(|(_, level)| level));
        levels.chain(&self.index.any).flat_map(|level| level.exact.keys()).map(|name| &**name)
    }

    /// Whether the answer of [`lookup`](Self::lookup) may depend on the tenant.
    #[must_use]
    pub fn names_tenants(&self) -> bool {
        self.names_tenants
    }

    /// The index in [`policies`](Self::policies) of the most specific match: by model first (a name
    /// before a glob before none), then the same by tenant. Names cost one table look-up each, globs
    /// are tried one by one.
    #[must_use]
    pub fn lookup(&self, model: &str, tenant: &str) -> usize {
        let by_name = || self.index.exact.get(model).and_then(|level| level.find(tenant));
        let by_glob = || {
            let globs = self.index.globs.iter().filter(|(glob, _)| matches(glob, model));
            globs.filter_map(|(_, level)| level.find(tenant)).min_by_key(|found| found.0)
        };
        let by_any = || self.index.any.as_ref().and_then(|level| level.find(tenant));
        by_name().or_else(by_glob).or_else(by_any).map_or(self.policies.len() - 1, |found| found.1)
    }
}

/// How closely a pattern fits, closest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Name,
    Glob,
    Any,
}

/// One name of a match (the model's or the tenant's), and what lies behind each pattern for it.
#[derive(Debug, Clone, Default)]
struct Level<T> {
    exact: HashMap<Box<str>, T>,
    globs: Vec<(Box<[char]>, T)>,
    any: Option<T>,
}

impl<T: Default> Level<T> {
    /// Visits what lies behind each of these patterns; no patterns is any name.
    fn fill(&mut self, patterns: Option<&[Pattern]>, mut visit: impl FnMut(&mut T)) {
        let Some(patterns) = patterns else {
            return visit(self.any.get_or_insert_default());
        };
        for pattern in patterns {
            match pattern {
                Pattern::Exact(name) => visit(self.exact.entry(name.clone()).or_default()),
                Pattern::Glob(glob) => {
                    let mut behind = T::default();
                    visit(&mut behind);
                    self.globs.push((glob.clone(), behind));
                }
            }
        }
    }
}

impl Level<usize> {
    fn find(&self, name: &str) -> Option<(Fit, usize)> {
        let by_name = self.exact.get(name).map(|index| (Fit::Name, *index));
        let by_glob = || self.globs.iter().find(|(glob, _)| matches(glob, name)).map(|(_, index)| (Fit::Glob, *index));
        by_name.or_else(by_glob).or_else(|| self.any.map(|index| (Fit::Any, index)))
    }
}

/// Finds every file that matches some request as closely as an earlier one does.
///
/// Two globs that share any name count as a tie, even where one of the files also lists that very
/// name and would win there.
pub(super) fn ties(files: &[File<'_>]) -> Vec<Diagnostic> {
    let first_tie = |(position, later): (usize, &File<'_>)| {
        let (earlier, models, tenants) = files[..position].iter().find_map(|earlier| {
            let models = shared(earlier.rule.models.as_deref(), later.rule.models.as_deref())?;
            let tenants = shared(earlier.rule.tenants.as_deref(), later.rule.tenants.as_deref())?;
            Some((earlier, models, tenants))
        })?;
        let other = &earlier.source.name;
        let message = format!("this file and {other} match equally well: models {models}, tenants {tenants}");
        let help = "give one of them a closer [match]: a name is closer than a glob, a glob than none, and models \
                    count before tenants";
        let Source { name, text } = later.source;
        Some(Diagnostic::at(name, text, later.rule.at.clone(), message, Some(help.to_owned())))
    };
    files.iter().enumerate().filter_map(first_tie).collect()
}

/// What two lists both match equally closely, in words.
fn shared(earlier: Option<&[Pattern]>, later: Option<&[Pattern]>) -> Option<String> {
    let (Some(earlier), Some(later)) = (earlier, later) else {
        return (earlier.is_none() && later.is_none()).then(|| "any".to_owned());
    };
    let pairs = || earlier.iter().flat_map(|a| later.iter().map(move |b| (a, b)));
    let (a, b) = pairs().find(|(a, b)| a.competes(b))?;
    Some(if a == b { format!("\"{a}\"") } else { format!("\"{a}\" and \"{b}\"") })
}
