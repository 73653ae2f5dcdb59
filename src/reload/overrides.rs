//! Overrides as they stand: what each still holds for.
//!
//! Decides when an override ends: for a file when that or its script changes, and altogether when no request is left
//! under it. Says so in words for the log.

use super::read::position;
use crate::clock;
use crate::policy::{Override, PolicySet, Source, Strategy, Version};
use std::collections::HashMap;
use std::fmt;
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
        let version = |&at: &usize| {
            let name = policies.origins()[at].file.as_deref()?;
            let text = sources[position(sources, name)?].text.clone();
            Some((name.to_owned(), Version { text, script: policies.policies()[at].script.clone() }))
        };
        let files = reachable.iter().filter_map(version).collect();
        let builtin = takes_builtin(policies, model);
        let rule = Override { model: model.map(Into::into), strategy, files, builtin };
        Self { rule, since: clock::date(clock::now()) }
    }

    /// Lets go of files that are gone or hold something else, and of the built-in policy where no request
    /// falls under that any more; answers whether requests are left under it, `policies` being what the
    /// files say.
    pub(super) fn still_holds(&mut self, policies: &PolicySet, sources: &[Source]) -> bool {
        let with_script = policies.origins().iter().zip(policies.policies());
        let scripts: HashMap<&str, _> =
            with_script.filter_map(|(o, p)| Some((o.file.as_deref()?, &p.script))).collect();
        self.rule.files.retain(|name, was| {
            let is_text = position(sources, name).is_some_and(|at| sources[at].text == was.text);
            is_text && scripts.get(&**name) == Some(&&was.script)
        });
        self.rule.builtin &= takes_builtin(policies, self.rule.model.as_deref());
        self.covered(policies).next().is_some()
    }

    /// The policies it holds for, by their index in the set; a file it does not hold for any more must
    /// be gone from it.
    pub(super) fn covered(&self, policies: &PolicySet) -> impl Iterator<Item = usize> {
        let held = |at: &usize| {
            let file = policies.origins()[*at].file.as_deref();
            file.map_or(self.rule.builtin, |name| self.rule.files.contains_key(name))
        };
        policies.reachable(self.rule.model.as_deref()).into_iter().filter(held)
    }

    /// What it holds for, in words.
    fn held(&self) -> impl Iterator<Item = &str> {
        let files = self.rule.files.keys().map(|path| path.rsplit('/').next().unwrap_or_default());
        files.chain(self.rule.builtin.then_some("the built-in policy"))
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strategy = self.rule.strategy.name();
        match &self.rule.model {
            Some(model) => write!(f, "{strategy} for model {model}"),
            None => write!(f, "{strategy} for every model"),
        }
    }
}

/// Whether some request for `model` (`None`: any) falls under the built-in policy.
fn takes_builtin(policies: &PolicySet, model: Option<&str>) -> bool {
    policies.reachable(model).into_iter().any(|at| policies.origins()[at].file.is_none())
}

/// Says in words which overrides an order made and which it took back.
pub(super) fn ordered(old: &[Standing], new: &[Standing]) -> String {
    let beyond = |all: &[Standing], others: &[Standing], what: &str| {
        let of_its_own = |standing: &&Standing| !others.iter().any(|other| other.rule == standing.rule);
        all.iter().filter(of_its_own).map(|standing| format!("override {what}: {standing}")).collect()
    };
    let told: [Vec<String>; 2] = [beyond(old, new, "removed"), beyond(new, old, "set")];
    told.concat().join(", ")
}

/// Says in words that a folder changed, and which overrides ended for which of its files by that.
pub(super) fn overtaken(old: &[Standing], new: &[Standing]) -> String {
    let mut told = "folder changed".to_owned();
    for was in old {
        let is = new.iter().find(|is| is.rule.model == was.rule.model);
        let lost = was.held().filter(|held| !is.is_some_and(|is| is.held().any(|kept| kept == *held)));
        let lost: Vec<&str> = lost.collect();
        if !lost.is_empty() {
            told.push_str(&format!(", override ended for {}: {was}", lost.join(" and ")));
        }
    }
    told
}
