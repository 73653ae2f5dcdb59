//! What is tried: a policy file alone, a folder as it stands, or what another server does.

use super::super::policy::told;
use crate::policy::{self, Policy, PolicySet, Strategy};
use crate::reload::{self, ReadError};
use crate::sim::{self, Baseline, Plan, Report};
use anyhow::{anyhow, bail};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What is tried, by the name of its figures.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) name: String,
    /// The server in the scheduler's place, if one is to be.
    baseline: Option<Baseline>,
    /// The policies, or those whose SLOs the baseline is held to.
    policies: Arc<PolicySet>,
}

impl Candidate {
    /// Reads the policies, then comes to the baselines; these are held to `slo`, or else to the SLOs of the first
    /// of the policies.
    pub(super) fn all(
        policies: &[PathBuf],
        baselines: &[Baseline],
        slo: Option<Duration>,
    ) -> anyhow::Result<Vec<Self>> {
        let mut all = policies.iter().map(|path| Self::read(path)).collect::<anyhow::Result<Vec<_>>>()?;
        let promised = slo.map(|target| Arc::new(promise(Some(target))));
        let first = || all.first().map(|first| Arc::clone(&first.policies));
        let goals = promised.clone().or_else(first);
        if let (Some(baseline), None) = (baselines.iter().find(|b| b.needs_slo()), &goals) {
            bail!(
                "--baseline {baseline} drops what misses its SLO: say which with --slo, or give a --policy that has one"
            );
        }
        let goals = goals.unwrap_or_else(|| Arc::new(promise(None)));
        all.extend(baselines.iter().map(|&baseline| Self {
            name: format!("baseline {baseline}"),
            baseline: Some(baseline),
            policies: Arc::clone(&goals),
        }));
        Ok(all)
    }

    /// Plays a plan.
    pub(super) fn play(&self, plan: &Plan) -> Report {
        let policies = Arc::clone(&self.policies);
        match self.baseline {
            Some(baseline) => sim::run_baseline(baseline, policies, plan),
            None => sim::run(policies, plan),
        }
    }

    /// Reads a file, which is then the policy of every request, or a folder, whose files match as they say.
    fn read(path: &Path) -> anyhow::Result<Self> {
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
        Ok(Self { name, baseline: None, policies: Arc::new(policies.unwrap_or(set)) })
    }
}

/// Policies that promise this to everybody.
fn promise(target: Option<Duration>) -> PolicySet {
    let mut policy = Policy::preset("slo", Strategy::Adaptive);
    policy.slo.target = target;
    PolicySet::single(policy, 1)
}
