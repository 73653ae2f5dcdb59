//! Policies: text in, validated settings out (docs/interface.md).
//!
//! Decides what an operator may write, what each key defaults to and which file a request falls
//! under. Does not know queues, models or tenants that exist. Pure: no files, no clock; a folder's
//! contents come in as strings.

mod compiled;
mod pattern;
mod read;
mod set;

#[cfg(test)]
mod tests;

pub use compiled::{BatchLimits, OnPredictedMiss, Policy, QueueLimits, Slo, Strategy};
pub use set::PolicySet;

use crate::document::Diagnostic;

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file as the operator knows it, a path or a bare name; its stem names the policy.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Compiles a whole folder, or nothing. The built-in policy comes last: it applies where no file
/// matches.
///
/// # Errors
/// All faults of all files, and every two files that match some request equally well.
pub fn compile(sources: &[Source], generation: u64) -> Result<PolicySet, Vec<Diagnostic>> {
    let mut sources: Vec<&Source> = sources.iter().collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    let mut faults = Vec::new();
    let mut files = Vec::new();
    for source in sources {
        match read::read(source) {
            Ok((policy, rule)) => files.push(set::File { source, policy, rule }),
            Err(more) => faults.extend(more),
        }
    }
    faults.extend(set::ties(&files));
    if faults.is_empty() { Ok(PolicySet::of(files, generation)) } else { Err(faults) }
}
