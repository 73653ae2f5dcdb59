//! One file of a folder, or the built-in policy, with what overrides make of it.
//!
//! Decides which policies one file stands for. Does not know the other files.

use super::overrides::{self, Override};
use super::read::{Written, read};
use super::scripts::Scripts;
use super::{Policy, Source, Strategy};
use crate::document::Diagnostic;

/// What a set is made of.
pub(super) struct Entry<'s> {
    /// The file; `None` is the built-in policy.
    pub(super) source: Option<&'s Source>,
    /// What else the file says.
    pub(super) written: Written,
    /// The strategy it has without overrides.
    pub(super) own: Strategy,
    /// What requests under its rule get.
    pub(super) policy: Policy,
    /// What those for these models get instead.
    pub(super) derived: Vec<(Box<str>, Policy)>,
}

impl<'s> Entry<'s> {
    /// Reads a file under overrides; without one, the built-in policy: adaptive, named `default`,
    /// for every model and tenant.
    ///
    /// # Errors
    /// All faults of the file alone, else those that an override brings about.
    pub(super) fn read(
        source: Option<&'s Source>,
        overrides: &[Override],
        scripts: &Scripts<'_>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let read_as = |strategy: Option<Strategy>| match source {
            Some(source) => read(source, scripts, strategy),
            None if strategy == Some(Strategy::Custom) => Err(vec![scriptless()]),
            None => Ok((Policy::preset("default", strategy.unwrap_or(Strategy::Adaptive)), Written::NOTHING)),
        };
        let (mut policy, written) = read_as(None)?;
        let own = policy.strategy;
        let script = policy.script.clone();
        let strategy_for = |model| overrides::strategy_of(overrides, source, script.as_ref(), model);
        if let Some(strategy) = strategy_for(None) {
            policy = read_as(Some(strategy))?.0;
        }
        let mut derived = Vec::new();
        for model in overrides::models(overrides).into_iter().filter(|model| written.rule.takes_model(model)) {
            match strategy_for(Some(model)) {
                Some(strategy) if strategy != policy.strategy => {
                    derived.push((model.into(), read_as(Some(strategy))?.0));
                }
                _ => {}
            }
        }
        Ok(Self { source, written, own, policy, derived })
    }
}

/// What an override by which the built-in policy would be `custom` is told.
fn scriptless() -> Diagnostic {
    let help = "a policy file for these requests that names one, as `script` in [custom]";
    Diagnostic::whole("the built-in policy", "custom needs a script, and this policy has none", Some(help.to_owned()))
}
