//! All policies of a folder, and which of them a request falls under.

use super::entry::Entry;
use super::pattern::{Pattern, matches};
use super::read::Written;
use super::{Policy, Strategy};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// All policies of a folder, swapped as a whole.
#[derive(Debug, Clone)]
pub struct PolicySet {
    /// Counts swaps, from 1.
    pub generation: u64,
    policies: Vec<Arc<Policy>>,
    /// One for each policy.
    origins: Vec<Origin>,
    pub(super) index: Level<Level<usize>>,
    /// The policy for what no file matches.
    pub(super) fallback: usize,
    /// For a model with an override of its own: what stands in for which policy.
    pub(super) derived: HashMap<Box<str>, HashMap<usize, usize>>,
    names_tenants: bool,
    /// The tenants that some policy names, globs aside.
    named: HashSet<Box<str>>,
}

/// Where a policy of a set comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The [`Source::name`](super::Source::name) of its file; `None` for the built-in policy.
    pub file: Option<Box<str>>,
    /// The strategy it has without overrides.
    pub own: Strategy,
    /// The only model whose requests get it, where an override for that model derived it from the
    /// policy of the same name.
    pub model: Option<Box<str>>,
    pub(super) written: Arc<Written>,
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
        let written = Arc::new(Written::NOTHING);
        let origins = vec![Origin { file: None, own: policy.strategy, model: None, written }];
        let (index, derived, named) = Default::default();
        let policies = vec![Arc::new(policy)];
        Self { generation, policies, origins, index, fallback: 0, derived, names_tenants: false, named }
    }

    /// The entries in order of their files, and last the built-in one.
    pub(super) fn of(entries: Vec<Entry<'_>>, generation: u64) -> Self {
        let mut set = Self { policies: Vec::new(), origins: Vec::new(), ..Self::builtin(generation) };
        set.fallback = entries.len().saturating_sub(1);
        let mut derived = Vec::new();
        for (position, Entry { source, written, own, policy, derived: more }) in entries.into_iter().enumerate() {
            if source.is_some() {
                let rule = &written.rule;
                set.names_tenants |= rule.tenants.is_some();
                set.index.fill(rule.models.as_deref(), |level| {
                    level.fill(rule.tenants.as_deref(), |index| *index = position);
                });
            }
            let file = source.map(|source| source.name.as_str().into());
            let origin = Origin { file, own, model: None, written: Arc::new(written) };
            derived.extend(more.into_iter().map(|(model, policy)| (position, origin.clone(), model, policy)));
            set.push(policy, origin);
        }
        let levels = set.index.exact.values().chain(set.index.globs.iter().map(|(_, level)| level));
        set.named = levels.chain(&set.index.any).flat_map(|level| level.exact.keys().cloned()).collect();
        for (base, origin, model, policy) in derived {
            set.derived.entry(model.clone()).or_default().insert(base, set.policies.len());
            set.push(policy, Origin { model: Some(model), ..origin });
        }
        set
    }

    fn push(&mut self, policy: Policy, origin: Origin) {
        self.policies.push(Arc::new(policy));
        self.origins.push(origin);
    }

    /// The policies: those of the files in order of their names, the one for what no file matches,
    /// and those that overrides derived for single models.
    #[must_use]
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// Where each of [`policies`](Self::policies) comes from, in the same order.
    #[must_use]
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// The tenants that some policy names, globs aside.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(|name| &**name)
    }

    /// Whether some policy names this tenant, globs aside.
    #[must_use]
    pub fn names(&self, tenant: &str) -> bool {
        self.named.contains(tenant)
    }

    /// Whether the answer of [`lookup`](Self::lookup) may depend on the tenant.
    #[must_use]
    pub fn names_tenants(&self) -> bool {
        self.names_tenants
    }

    /// The index in [`policies`](Self::policies) of the most specific match: by model first (a name
    /// before a glob before none), then the same by tenant; or what stands in for it for this model.
    /// Names cost one table look-up each, globs are tried one by one.
    #[must_use]
    pub fn lookup(&self, model: &str, tenant: &str) -> usize {
        let by_name = || self.index.exact.get(model).and_then(|level| level.find(tenant));
        let by_glob = || {
            let globs = self.index.globs.iter().filter(|(glob, _)| matches(glob, model));
            globs.filter_map(|(_, level)| level.find(tenant)).min_by_key(|found| found.0)
        };
        let by_any = || self.index.any.as_ref().and_then(|level| level.find(tenant));
        let found = by_name().or_else(by_glob).or_else(by_any).map_or(self.fallback, |found| found.1);
        self.derived.get(model).and_then(|stands_in| stands_in.get(&found)).copied().unwrap_or(found)
    }
}

impl Origin {
    /// The patterns of its file by which a request falls under it: for the model and for the tenant,
    /// `None` where the file is for any.
    #[must_use]
    pub fn matched(&self, model: &str, tenant: &str) -> [Option<String>; 2] {
        self.written.rule.closest(model, tenant).map(|pattern| pattern.map(ToString::to_string))
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
pub(super) struct Level<T> {
    pub(super) exact: HashMap<Box<str>, T>,
    pub(super) globs: Vec<(Box<[char]>, T)>,
    pub(super) any: Option<T>,
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
