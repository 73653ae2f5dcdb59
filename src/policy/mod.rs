//! Policies: text in, validated settings out (docs/interface.md).
//!
//! Decides what an operator may write, what each key defaults to and which file a request falls
//! under. Does not know queues, models or tenants that exist. Pure: no files, no clock; a folder's
//! contents come in as strings. What a script may say is `script`.

mod compiled;
mod entry;
mod keys;
mod overrides;
mod pattern;
mod reach;
mod read;
mod scripts;
mod set;
mod settings;
mod ties;

#[cfg(test)]
mod tests;

pub use compiled::{
    BatchLimits, NotARate, OnPredictedMiss, Policy, QueueBytes, QueueLimits, Reuse, RowRate, Slo, Strategy, Tenancy,
};
pub use keys::{KEYS, Key, Kind, LONGEST_NAME, TABLES};
pub use overrides::{Override, Version};
pub use scripts::compile_script;
pub use set::{Origin, PolicySet};
pub use settings::{Change, PolicyDiff, Provenance, Setting, What, diff};

use crate::document::Diagnostic;
use entry::Entry;
use scripts::Scripts;

/// One file of a policy folder: a policy, or a script (`*.rhai`) that policies may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file as the operator knows it, a path or a bare name; a policy is named by its stem.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Compiles a whole folder under these overrides, or nothing. The built-in policy applies where no
/// file matches.
///
/// # Errors
/// All faults of all files, those that only an override brings about and those of named scripts included,
/// and every two files that match some request equally well.
pub fn compile(sources: &[Source], overrides: &[Override], generation: u64) -> Result<PolicySet, Vec<Diagnostic>> {
    let (scripts, mut sources): (Vec<&Source>, Vec<&Source>) = sources.iter().partition(|source| source.is_script());
    let scripts = Scripts::of(scripts.into_iter());
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut entries, mut faults) = (Vec::new(), Vec::new());
    for source in sources.into_iter().map(Some).chain([None]) {
        match Entry::read(source, overrides, &scripts) {
            Ok(entry) => entries.push(entry),
            Err(more) => faults.extend(more),
        }
    }
    faults.extend(ties::find(&entries));
    faults.extend(scripts.faults());
    if faults.is_empty() { Ok(PolicySet::of(entries, generation)) } else { Err(faults) }
}
