//! Which policies of a set some request can fall under.
//!
//! Decides it by the patterns alone, leaving out what closer files take altogether. Does not know which
//! models are served: a request may come for any name.

use super::PolicySet;
use super::pattern::matches;
use super::set::Level;
use std::collections::BTreeSet;

impl PolicySet {
    /// The indices in [`policies`](Self::policies) that some request falls under, overrides for single
    /// models aside: some request for `model`, or with `None` any request at all.
    #[must_use]
    pub fn reachable(&self, model: Option<&str>) -> BTreeSet<usize> {
        match model {
            Some(_) => self.under(model),
            None => self.named().flat_map(|name| self.under(Some(name))).chain(self.under(None)).collect(),
        }
    }

    /// The indices in [`policies`](Self::policies) that [`lookup`](Self::lookup) can answer: what the
    /// others say is of no consequence.
    #[must_use]
    pub fn in_use(&self) -> BTreeSet<usize> {
        let looked_up = |name| {
            let stands_in = self.derived.get(name);
            self.under(Some(name))
                .into_iter()
                .map(move |at| stands_in.and_then(|by| by.get(&at)).copied().unwrap_or(at))
        };
        self.named().flat_map(looked_up).chain(self.under(None)).collect()
    }

    /// The models that a file or an override names.
    fn named(&self) -> impl Iterator<Item = &str> {
        self.index.exact.keys().chain(self.derived.keys()).map(|name| &**name)
    }

    /// What requests for `model` fall under, or with `None` those for models that nothing names.
    fn under(&self, model: Option<&str>) -> BTreeSet<usize> {
        let Level { exact, globs, any } = &self.index;
        let fits = |glob: &[char]| model.is_none_or(|name| matches(glob, name));
        let takes = |glob: &[char]| model.is_some() || is_any(glob);
        // Each level with whether it is for every model in question.
        let steps: [Vec<(&Level<usize>, bool)>; 3] = [
            model.and_then(|name| exact.get(name)).map(|level| (level, true)).into_iter().collect(),
            globs.iter().filter(|(glob, _)| fits(glob)).map(|(glob, level)| (level, takes(glob))).collect(),
            any.iter().map(|level| (level, true)).collect(),
        ];
        let mut found = BTreeSet::new();
        for step in steps {
            found.extend(step.iter().flat_map(|(level, _)| level.values()));
            // A closer step that takes every tenant leaves nothing to the next.
            if step.iter().any(|(level, is_for_all)| *is_for_all && level.takes_every_tenant()) {
                return found;
            }
        }
        found.insert(self.fallback);
        found
    }
}

impl Level<usize> {
    fn values(&self) -> impl Iterator<Item = usize> {
        let listed = self.exact.values().chain(self.globs.iter().map(|(_, index)| index));
        listed.chain(self.any.iter().filter(|_| !self.has_any_glob())).copied()
    }

    fn takes_every_tenant(&self) -> bool {
        self.any.is_some() || self.has_any_glob()
    }

    fn has_any_glob(&self) -> bool {
        self.globs.iter().any(|(glob, _)| is_any(glob))
    }
}

/// Whether a glob matches every name.
fn is_any(glob: &[char]) -> bool {
    glob.iter().all(|letter| *letter == '*')
}
