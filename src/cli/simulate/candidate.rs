//! What is tried: a policy file alone, or a folder as it stands.

use super::super::policy::told;
use crate::policy::{self, PolicySet};
use crate::reload::{self, ReadError};
use anyhow::{anyhow, bail};
use std::path::Path;
use std::sync::Arc;

/// A set of policies, and the path it was given as.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) policies: Arc<PolicySet>,
}

impl Candidate {
    /// Reads a file, which is then the policy of every request, or a folder, whose files match as they say.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let (is_folder, name) = (path.is_dir(), path.display().to_string());
        let sources = if is_folder { reload::read_folder(path) } else { reload::read_policy(path) };
        let sources = sources.map_err(|error| match error {
            ReadError::NotText(faults) => anyhow!("{}", told(&faults)),
            ReadError::Unreadable { .. } => anyhow!("--policy: {error}"),
        })?;
        if sources.iter().all(policy::Source::is_script) {
            bail!("--policy {name}: there is no *.toml in this folder");
        }
        let set = policy::compile(&sources, &[], 1).map_err(|faults| anyhow!("{}", told(&faults)))?;
        let only = set.policies().first().filter(|_| !is_folder);
        let policies = only.map(|policy| PolicySet::single(policy.as_ref().clone(), 1));
        Ok(Self { name, policies: Arc::new(policies.unwrap_or(set)) })
    }
}
