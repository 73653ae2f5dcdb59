//! A policy as a flat list of its keys, and what changed between two sets.
//!
//! Decides what counts as a change and how it is told.

use super::keys::{KEYS, Key};
use super::{Policy, PolicySet, Strategy};
use std::collections::BTreeMap;
use std::fmt;

/// One key of a policy after defaults.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The key.
    pub key: &'static Key,
    /// Its value as TOML; `None` where only the key's absence says it, as for any model.
    pub value: Option<String>,
    /// Who chose it.
    pub from: Provenance,
}

/// Who chose a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// The policy's file, at this line.
    Line(usize),
    /// An override.
    Override,
    /// Nobody: it is the default.
    Default,
}

impl PolicySet {
    /// Every key of a policy, by its index in [`policies`](Self::policies); none for an unknown index.
    #[must_use]
    pub fn settings(&self, index: usize) -> Vec<Setting> {
        let (Some(policy), Some(origin)) = (self.policies().get(index), self.origins().get(index)) else {
            return Vec::new();
        };
        let setting = |(key, line): (&'static Key, Option<usize>)| {
            let is_overridden = key.path() == "strategy" && policy.strategy != origin.own;
            let from = match line {
                _ if is_overridden => Provenance::Override,
                Some(line) => Provenance::Line(line),
                None => Provenance::Default,
            };
            Setting { key, value: key.value(policy, &origin.written.rule), from }
        };
        KEYS.iter().zip(origin.written.lines).map(setting).collect()
    }

    /// The policies that requests can fall under by what they are told as; one whose every request another
    /// stands in for is still there. A file may have the name of the built-in policy.
    fn by_name(&self) -> BTreeMap<Name<'_>, usize> {
        let named = |at: usize| {
            let (policy, origin) = (&self.policies()[at], &self.origins()[at]);
            ((&*policy.name, origin.model.as_deref(), origin.file.is_none()), at)
        };
        self.reachable(None).into_iter().chain(self.in_use()).map(named).collect()
    }
}

/// A policy's name, the model it is derived for, and whether it is the built-in one.
type Name<'s> = (&'s str, Option<&'s str>, bool);

/// What changed from one set of policies to another; displays one line a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyDiff {
    /// The changes, in order of the policies' names.
    pub changes: Vec<Change>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The policy's name.
    pub policy: String,
    /// The model it is derived for, if it is.
    pub model: Option<String>,
    /// What changed.
    pub what: What,
}

/// What changed of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It is new, with this strategy.
    Added(Strategy),
    /// It is gone.
    Removed,
    /// A key has another value, as TOML or `any`.
    Set {
        /// The key's path.
        key: String,
        /// The value it had.
        old: String,
        /// The value it has.
        new: String,
    },
    /// The file that a key names has another text.
    Rewritten {
        /// The key's path.
        key: String,
    },
}

impl PolicyDiff {
    /// Whether every request is treated as before.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Compares two sets, policy by policy of the same name; policies that no request can fall under do not
/// count.
#[must_use]
pub fn diff(old: &PolicySet, new: &PolicySet) -> PolicyDiff {
    let (before, after) = (old.by_name(), new.by_name());
    let mut names: Vec<_> = before.keys().chain(after.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let mut changes = Vec::new();
    for name in names {
        let (policy, model) = (name.0.to_owned(), name.1.map(str::to_owned));
        let mut tell = |what| changes.push(Change { policy: policy.clone(), model: model.clone(), what });
        match (before.get(&name), after.get(&name)) {
            (Some(&was), Some(&is)) => {
                changed(&old.settings(was), &new.settings(is)).for_each(&mut tell);
                rewritten(&old.policies()[was], &new.policies()[is]).into_iter().for_each(tell);
            }
            (None, Some(&is)) => tell(What::Added(new.policies()[is].strategy)),
            (_, None) => tell(What::Removed),
        }
    }
    PolicyDiff { changes }
}

fn changed(old: &[Setting], new: &[Setting]) -> impl Iterator<Item = What> {
    let pairs = old.iter().zip(new).filter(|(old, new)| old.value != new.value);
    let shown = |setting: &Setting| setting.value.clone().unwrap_or_else(|| "any".to_owned());
    pairs.map(move |(old, new)| What::Set { key: new.key.path(), old: shown(old), new: shown(new) })
}

/// Whether the script has another text under the same name.
fn rewritten(old: &Policy, new: &Policy) -> Option<What> {
    let (old, new) = (old.script.as_ref()?, new.script.as_ref()?);
    (old.name() == new.name() && old != new).then(|| What::Rewritten { key: "custom.script".to_owned() })
}

impl fmt::Display for PolicyDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, change) in self.changes.iter().enumerate() {
            f.write_str(if index > 0 { "\n" } else { "" })?;
            change.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.policy)?;
        if let Some(model) = &self.model {
            write!(f, " for {model}")?;
        }
        match &self.what {
            What::Added(strategy) => write!(f, ": added ({})", strategy.name()),
            What::Removed => f.write_str(": removed"),
            What::Set { key, old, new } => write!(f, ": {key} {old} → {new}"),
            What::Rewritten { key } => write!(f, ": {key} has another text"),
        }
    }
}
