//! How many sessions a model gets on a device, and of how many threads.
//!
//! Decides whose word counts: the settings', else what was measured on this machine (`inferneo tune`, an earlier start,
//! this one), else a rule by cores. Measuring is `offline`'s.

use crate::config::{ModelConfig, State};
use crate::model::{ChosenBy, Sessions};
use crate::offline::{self, Layout, Source};
use crate::state::{self, Machine, Tuned, TunedBy, Tunings};
use crate::types::Device;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most sessions a model gets by default: each costs memory of its own.
const MAX_INSTANCES: usize = 4;

/// Sessions a model gets on each GPU by default.
const GPU_INSTANCES: usize = 2;

/// How long layouts are compared at a start that finds no tuning.
const COMPARING: Duration = Duration::from_millis(2500);

/// A model that takes longer to open is not compared: its sessions would take long to make, too.
const SLOW: Duration = Duration::from_secs(1);

/// What is known of a model when its sessions are chosen.
pub(super) struct Chooser<'a> {
    pub(super) state: &'a State,
    pub(super) settings: &'a ModelConfig,
    pub(super) source: Source,
    /// How long it took to open.
    pub(super) opened_in: Duration,
    /// Cores of this process.
    pub(super) cores: usize,
    /// Those of the model that is served now, where one is: what suits it is the best guess for one that replaces it.
    pub(super) before: Vec<Sessions>,
    /// Parts of the CPU that the model runs on, each with its share of the cores.
    pub(super) parts: usize,
}

impl Chooser<'_> {
    /// The sessions on a device; `on` says which that is, where it is known. May measure where no model is served yet, and
    /// then blocks for two or three seconds.
    pub(super) fn choose(&self, device: Device, on: Option<&Machine>) -> Sessions {
        let (layout, chosen_by) = self.layout(device, on);
        let spin = self.settings.spin.unwrap_or(layout.spin);
        Sessions { device, instances: layout.instances, threads: layout.threads, spin, chosen_by }
    }

    fn layout(&self, device: Device, on: Option<&Machine>) -> (Layout, ChosenBy) {
        let cores = (self.cores / self.parts.max(1)).max(1);
        let (instances, threads) = sizes(self.settings, device, cores);
        let usual = Layout::new(instances, threads);
        if self.settings.instances.or(self.settings.threads).is_some() {
            return (usual, ChosenBy::Settings);
        }
        // What was measured was measured with all cores.
        let whole = matches!(device, Device::Cpu(_)) && self.parts == 1;
        let found = on.filter(|_| whole).zip(self.file()).and_then(|(on, path)| {
            let mut tunings = self.read(&path);
            let kept = kept(&self.settings.name, &tunings, on);
            match self.before.is_empty() {
                true => kept.or_else(|| self.compare(usual, on, &mut tunings, &path)),
                false => kept,
            }
        });
        found.or_else(|| self.as_before(device)).unwrap_or((usual, ChosenBy::Default))
    }

    /// As the model runs that is served now.
    fn as_before(&self, device: Device) -> Option<(Layout, ChosenBy)> {
        let &Sessions { instances, threads, spin, chosen_by, .. } = self.before.iter().find(|s| s.device == device)?;
        Some((Layout { instances, threads, spin }, chosen_by))
    }

    /// Where what was measured lies; `None` where nothing may be kept.
    fn file(&self) -> Option<PathBuf> {
        match self.state {
            State::None => None,
            State::Folder(all) => Some(state::tuning_in_folder(all, &self.settings.name)),
            State::Beside => Some(state::tuning_beside(&self.settings.path)),
        }
    }

    fn read(&self, path: &Path) -> Tunings {
        let read = state::read(path).inspect_err(|error| {
            tracing::warn!(model = %self.settings.name, path = %path.display(), "the tuning cannot be read: {error}");
        });
        read.ok().flatten().unwrap_or_default()
    }

    /// Compares the usual layout with one session of all cores, and keeps what came of it.
    fn compare(&self, usual: Layout, on: &Machine, tunings: &mut Tunings, path: &Path) -> Option<(Layout, ChosenBy)> {
        let (model, other) = (&self.settings.name, Layout::new(1, self.cores));
        if usual == other || self.opened_in > SLOW {
            return None;
        }
        let found = offline::prefer(&self.source, usual, other, COMPARING);
        let Some(found) = found.unwrap_or_else(|error| {
            tracing::debug!(%model, "layouts are not compared: {error}");
            None
        }) else {
            tracing::debug!(%model, "layouts are not compared: that would take long; `inferneo tune` takes its time");
            return None;
        };
        tracing::info!(
            %model, chosen = %found.layout, "compared instances × threads on made-up rows: {usual} does {:.0} rows/s, \
            {other} {:.0}; `inferneo tune` looks closer", found.usual, found.other
        );
        let Layout { instances, threads, spin } = found.layout;
        tunings.put(Tuned { on: on.clone(), instances, threads, spin, by: TunedBy::Start });
        if let Err(error) = state::write(path, tunings) {
            tracing::debug!(%model, path = %path.display(), "what was measured is not kept: {error}");
        }
        Some((found.layout, ChosenBy::Start))
    }
}

/// What was measured on this machine before; says so where there is something, but of another.
fn kept(model: &str, tunings: &Tunings, on: &Machine) -> Option<(Layout, ChosenBy)> {
    let tuned = tunings.find(on).unwrap_or_else(|what| {
        tracing::info!(model, "a tuning is not used: {what} is not what it was measured on");
        None
    })?;
    let by = match tuned.by {
        TunedBy::Tune => ChosenBy::Tune,
        TunedBy::Start => ChosenBy::Start,
    };
    Some((Layout { instances: tuned.instances, threads: tuned.threads, spin: tuned.spin }, by))
}

/// Instances and threads of a device: as set, else on the CPU one thread a session and a session a core of
/// those that are its own.
///
/// On a GPU two sessions of one thread: while one computes, the other's rows are padded, copied and split.
/// More would only share the same arithmetic, and each keeps the weights and an arena.
fn sizes(settings: &ModelConfig, device: Device, cores: usize) -> (usize, usize) {
    let given = |n: Option<u32>| n.map(|n| n as usize);
    if matches!(device, Device::Cuda(_)) {
        return (given(settings.instances).unwrap_or(GPU_INSTANCES), given(settings.threads).unwrap_or(1));
    }
    match (given(settings.instances), given(settings.threads)) {
        (Some(instances), Some(threads)) => (instances, threads),
        (Some(instances), None) => (instances, (cores / instances).max(1)),
        (None, Some(threads)) => ((cores / threads).clamp(1, MAX_INSTANCES), threads),
        (None, None) => {
            let instances = cores.min(MAX_INSTANCES);
            (instances, (cores / instances).max(1))
        }
    }
}
