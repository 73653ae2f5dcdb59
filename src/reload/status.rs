//! What is live, as it is shown.

use super::overrides::Standing;
use crate::policy::{Policy, PolicySet, Source, Strategy};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

/// What is live.
#[derive(Debug, Clone)]
pub struct Status {
    /// Counts the sets that went live, from 1; that of `policies`.
    pub generation: u64,
    /// The policy files, in the order of their names.
    pub files: Vec<FileStatus>,
    /// The overrides in force; a later one for the same requests goes before an earlier one.
    pub overrides: Vec<OverrideStatus>,
    /// Why the folder as it is now is not live; `None` where it is.
    pub last_error: Option<LastError>,
    /// The set itself.
    pub policies: Arc<PolicySet>,
}

/// One live policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// The file's name, without its folder.
    pub name: String,
    /// The policy's name: the file's stem.
    pub policy: Arc<str>,
    /// Its strategy, that of an override for every model included.
    pub strategy: Strategy,
    /// Tells two settings apart, in 16 hexadecimal digits.
    pub hash: String,
    /// When this content went live, that of its script included.
    pub loaded_at: SystemTime,
}

/// One override in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverrideStatus {
    /// The model whose requests are concerned; `None` is every model.
    pub model: Option<Box<str>>,
    /// The strategy put in place.
    pub strategy: Strategy,
    /// Since when.
    pub since: SystemTime,
    /// The policies it holds for.
    pub policies: Vec<Arc<str>>,
}

/// Why a folder is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// Every fault, with its file, line and column.
    pub text: String,
    /// When it was found.
    pub at: SystemTime,
}

impl Status {
    /// A policy file by its name without its folder.
    pub(super) fn file(&self, name: &str) -> Option<&FileStatus> {
        self.files.binary_search_by(|file| (*file.name).cmp(name)).ok().map(|at| &self.files[at])
    }

    /// Describes a set and what it was compiled from.
    pub(super) fn of(
        policies: Arc<PolicySet>,
        sources: &[Source],
        overrides: &[Standing],
        loaded_at: impl Fn(&Source, &str) -> SystemTime,
    ) -> Self {
        let with_origin = policies.origins().iter().zip(policies.policies());
        let own = with_origin.filter(|(origin, _)| origin.model.is_none());
        let by_file: HashMap<&str, &Arc<Policy>> =
            own.filter_map(|(o, policy)| Some((o.file.as_deref()?, policy))).collect();
        let file = |source: &Source| {
            let policy = by_file.get(&*source.name)?;
            let hash = format!("{:016x}", policy.hash());
            Some(FileStatus {
                name: source.file_name().to_owned(),
                policy: Arc::clone(&policy.name),
                strategy: policy.strategy,
                loaded_at: loaded_at(source, &hash),
                hash,
            })
        };
        let shown = |standing: &Standing| OverrideStatus {
            model: standing.rule.model.clone(),
            strategy: standing.rule.strategy,
            since: standing.since,
            policies: standing.covered(&policies).map(|at| Arc::clone(&policies.policies()[at].name)).collect(),
        };
        Self {
            generation: policies.generation,
            files: sources.iter().filter_map(file).collect(),
            overrides: overrides.iter().map(shown).collect(),
            last_error: None,
            policies: Arc::clone(&policies),
        }
    }
}
