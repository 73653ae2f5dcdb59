//! The live policies, and the one place where they are swapped.
//!
//! Decides what goes live and what is said about it. The order of a swap: compile everything, tell
//! those who work under it, then show it.

use super::overrides::{self, Standing};
use super::read::{self, Content, QUIET};
use super::status::{LastError, Status};
use super::watch::Watched;
use crate::clock;
use crate::document::Diagnostic;
use crate::metrics::{Metrics, NamedBy};
use crate::policy::{self, Override, PolicySet, Source, Strategy};
use crate::types::locked;
use arc_swap::ArcSwap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Most changes or faults that one line of the log names, and most letters of one.
const LOGGED: usize = 10;
const LONGEST: usize = 400;

/// The live policies. Readers never wait; one change is made at a time.
pub struct Live {
    folder: Option<PathBuf>,
    metrics: Arc<Metrics>,
    tell: Box<dyn Fn(Arc<PolicySet>) + Send + Sync>,
    status: ArcSwap<Status>,
    /// Held from reading the folder to taking it up: what was read earlier never follows what was read later.
    looking: Mutex<()>,
    changing: Mutex<State>,
}

/// What the next change starts from.
struct State {
    /// What is live, in the order of their names.
    sources: Vec<Source>,
    overrides: Vec<Standing>,
    /// What the folder held when it was last read, live or refused: it is not taken up twice.
    seen: Content,
}

/// What is to be live next.
struct Next {
    sources: Vec<Source>,
    overrides: Vec<Standing>,
    policies: Arc<PolicySet>,
}

impl Live {
    /// Reads and compiles a folder, or without one takes the built-in policy, as generation 1. Blocks.
    ///
    /// # Errors
    /// What keeps the folder from being read, or all faults in it.
    pub fn open(folder: Option<&Path>, metrics: Arc<Metrics>) -> Result<Self, Vec<Diagnostic>> {
        let sources = folder.map_or(Ok(Vec::new()), read::content)?;
        let policies = Arc::new(policy::compile(&sources, &[], 1)?);
        publish(&metrics, &policies);
        if let Some(folder) = folder {
            tracing::info!(folder = %folder.display(), files = sources.len(), "policies read");
        }
        let now = clock::date(clock::now());
        let status = Status::of(policies, &sources, &[], |_, _| now);
        Ok(Self {
            folder: folder.map(Path::to_owned),
            metrics,
            tell: Box::new(drop),
            status: ArcSwap::from_pointee(status),
            looking: Mutex::default(),
            changing: Mutex::new(State { seen: Ok(sources.clone()), sources, overrides: Vec::new() }),
        })
    }

    /// Sets who is told of each set that goes live, before it is shown.
    #[must_use]
    pub fn telling(self, tell: impl Fn(Arc<PolicySet>) + Send + Sync + 'static) -> Self {
        Self { tell: Box::new(tell), ..self }
    }

    /// What is live now.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        self.status.load_full()
    }

    /// Puts `strategy` in place of the files' own, for requests for one model or (`None`) for all, which
    /// ends every other override. It holds for each file until that changes; what was saved before is taken
    /// up before, if the folder comes to rest. Blocks.
    ///
    /// # Errors
    /// The faults of files that do not go together with the strategy; nothing has changed then.
    pub fn set_override(&self, model: Option<&str>, strategy: Strategy) -> Result<(), Vec<Diagnostic>> {
        self.refresh(QUIET);
        let mut state = self.change();
        let made = Standing::new(model, strategy, &self.status().policies, &state.sources);
        let mut overrides = state.overrides.clone();
        overrides.retain(|standing| model.is_some() && standing.rule.model != made.rule.model);
        if overrides.len() + 1 == state.overrides.len() && state.overrides.iter().any(|old| old.rule == made.rule) {
            return Ok(());
        }
        overrides.push(made);
        self.override_with(&mut state, overrides)
    }

    /// Ends the override for one model, or (`None`) every override; what was saved before is taken up before,
    /// if the folder comes to rest. Blocks.
    ///
    /// # Errors
    /// As [`set_override`](Self::set_override).
    pub fn clear_overrides(&self, model: Option<&str>) -> Result<(), Vec<Diagnostic>> {
        self.refresh(QUIET);
        let mut state = self.change();
        let mut overrides = state.overrides.clone();
        overrides.retain(|standing| model.is_some() && standing.rule.model.as_deref() != model);
        if overrides.len() == state.overrides.len() {
            return Ok(());
        }
        self.override_with(&mut state, overrides)
    }

    /// Brings what is live up to the folder's state; answers whether that was at rest, its readings
    /// `gap` apart. Blocks.
    pub(super) fn refresh(&self, gap: Duration) -> bool {
        let Some(folder) = &self.folder else { return true };
        let _looking = locked(&self.looking);
        let Some(content) = read::settled(|| read::content(folder), gap, |content| self.change().seen == *content)
        else {
            return false;
        };
        let mut state = self.change();
        if state.seen != content {
            match content.clone().and_then(|sources| self.compile(sources, state.overrides.clone())) {
                Ok(next) => {
                    self.metrics.policy_reloaded(true);
                    let cause = overrides::overtaken(&state.overrides, &next.overrides);
                    self.go_live(&mut state, next, &cause, None);
                }
                Err(faults) => self.refuse(&faults),
            }
            state.seen = content;
        }
        true
    }

    fn change(&self) -> MutexGuard<'_, State> {
        locked(&self.changing)
    }

    /// Puts the live files under other overrides; a folder that is refused stays so.
    fn override_with(&self, state: &mut State, overrides: Vec<Standing>) -> Result<(), Vec<Diagnostic>> {
        let next = self.compile(state.sources.clone(), overrides)?;
        let cause = overrides::ordered(&state.overrides, &next.overrides);
        self.go_live(state, next, &cause, self.status().last_error.clone());
        Ok(())
    }

    /// Compiles what is to be live next.
    fn compile(&self, sources: Vec<Source>, mut overrides: Vec<Standing>) -> Result<Next, Vec<Diagnostic>> {
        let generation = self.status().generation + 1;
        let plain = policy::compile(&sources, &[], generation)?;
        overrides.retain_mut(|standing| standing.still_holds(&plain, &sources));
        if overrides.is_empty() {
            return Ok(Next { sources, overrides, policies: Arc::new(plain) });
        }
        let rules: Vec<Override> = overrides.iter().map(|standing| standing.rule.clone()).collect();
        let policies = Arc::new(policy::compile(&sources, &rules, generation)?);
        Ok(Next { sources, overrides, policies })
    }

    fn go_live(&self, state: &mut State, next: Next, cause: &str, last_error: Option<LastError>) {
        let Next { sources, overrides, policies } = next;
        let old = self.status();
        let changes = match policy::diff(&old.policies, &policies).changes {
            none if none.is_empty() => "no setting has changed".to_owned(),
            changes => brief(&changes, ToString::to_string),
        };
        tracing::info!(generation = policies.generation, files = sources.len(), cause, "policies live: {changes}");
        (self.tell)(Arc::clone(&policies));
        publish(&self.metrics, &policies);
        let now = clock::date(clock::now());
        let loaded_at = |source: &Source, hash: &str| {
            let unchanged = read::position(&state.sources, &source.name).is_some_and(|at| state.sources[at] == *source);
            let same = old.file(source.file_name()).filter(|file| unchanged && file.hash == hash);
            same.map_or(now, |file| file.loaded_at)
        };
        let status = Status { last_error, ..Status::of(policies, &sources, &overrides, loaded_at) };
        self.status.store(Arc::new(status));
        (state.sources, state.overrides) = (sources, overrides);
    }

    fn refuse(&self, faults: &[Diagnostic]) {
        let old = self.status();
        let heads = brief(faults, head);
        tracing::error!(generation = old.generation, "policies refused, the last good ones stay: {heads}");
        self.metrics.policy_reloaded(false);
        let text = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let last_error = Some(LastError { text, at: clock::date(clock::now()) });
        self.status.store(Arc::new(Status { last_error, ..Status::clone(&old) }));
    }
}

impl Watched for Live {
    fn path(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    fn refresh(&self, gap: Duration) -> bool {
        Live::refresh(self, gap)
    }
}

/// What one line of the log can hold of a list.
pub(super) fn brief<T>(list: &[T], shown: impl Fn(&T) -> String) -> String {
    let cut = |text: String| match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    let mut first: Vec<String> = list.iter().take(LOGGED).map(|item| cut(shown(item))).collect();
    if list.len() > LOGGED {
        first.push(format!("and {} more", list.len() - LOGGED));
    }
    first.join("; ")
}

/// A fault in one line: its place, what is wrong and what is allowed.
pub(super) fn head(fault: &Diagnostic) -> String {
    let shown = fault.to_string();
    let place = shown.lines().next().unwrap_or_default();
    fault.help.as_ref().map_or_else(|| place.to_owned(), |help| format!("{place} ({help})"))
}

/// Publishes which policies are in use.
fn publish(metrics: &Metrics, policies: &PolicySet) {
    metrics.set_tenants(NamedBy::Policies, policies.tenants().map(Into::into));
    let in_use = policies.in_use().into_iter().map(|at| &policies.policies()[at]);
    let rows: Vec<_> = in_use.map(|p| (&*p.name, p.strategy.name(), format!("{:016x}", p.hash()))).collect();
    metrics.set_policies(policies.generation, rows.iter().map(|(name, strategy, hash)| [name, strategy, &**hash]));
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("folder", &self.folder).field("status", &self.status()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_the_log_stays_short_however_much_has_changed() {
        let shown = |n: &usize| "é".repeat(*n);
        assert_eq!(brief(&[1, 2], shown), "é; éé");
        let all = brief(&[1_000; 5_000], shown);
        assert_eq!(all.chars().filter(|letter| *letter == 'é').count(), LOGGED * LONGEST);
        assert!(all.ends_with("é…; and 4990 more"), "{all}");
    }
}
