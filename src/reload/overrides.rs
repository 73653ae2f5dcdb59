//! Overrides as they stand: what each still holds for.
//!
//! Decides when an override ends: for a file when that changes, and altogether when no request is left
//! under it.

use super::read::position;
use crate::clock;
use crate::policy::{Override, PolicySet, Source, Strategy};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// An override in force.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) rule: Override,
    pub(super) since: SystemTime,
}

impl Standing {
    /// Makes one over every policy that requests for `model` (`None`: any) fall under now.
    pub(super) fn new(model: Option<&str>, strategy: Strategy, policies: &PolicySet, sources: &[Source]) -> Self {
        let reachable = policies.reachable(model);
        let names = reachable.iter().filter_map(|&at| policies.origins()[at].file.as_deref());
        let source = |name: &str| position(sources, name).map(|at| &sources[at]);
        let files: BTreeMap<_, _> = names.filter_map(source).map(|s| (s.name.clone(), s.text.clone())).collect();
        let rule = Override { model: model.map(Into::into), strategy, files };
        Self { rule, since: clock::date(clock::now()) }
    }

    /// Lets go of files that are gone or hold something else; answers whether requests are left under
    /// it, `policies` being what the files say.
    pub(super) fn still_holds(&mut self, policies: &PolicySet, sources: &[Source]) -> bool {
        self.rule.files.retain(|name, text| position(sources, name).is_some_and(|at| sources[at].text == *text));
        self.covered(policies).next().is_some()
    }

    /// The policies it holds for, by their index in the set; a file it does not hold for any more must
    /// be gone from it.
    pub(super) fn covered(&self, policies: &PolicySet) -> impl Iterator<Item = usize> {
        let held = |at: &usize| {
            let file = policies.origins()[*at].file.as_deref();
            file.is_none_or(|name| self.rule.files.contains_key(name))
        };
        policies.reachable(self.rule.model.as_deref()).into_iter().filter(held)
    }
}
