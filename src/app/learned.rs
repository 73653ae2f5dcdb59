//! Keeps what was learned of costs from one life of the program to the next.
//!
//! Decides when it is written and that it never stands in the way: what cannot be read or written is said and
//! left. Where it lies and on what it was learned is `state`'s.

use crate::config::State;
use crate::dispatch::{CostState, Driver, Handle, LearnedCost};
use crate::sched::CostModel;
use crate::state::{self, Fingerprint, Kept, Learned};
use crate::types::{DeviceId, ModelId, locked};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// How often it is written, where something was learned.
const PERIOD: Duration = Duration::from_secs(60);

/// The models that are served, on what they run, and their files. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Keeper {
    models: Arc<Mutex<BTreeMap<ModelId, Known>>>,
}

/// One model on its devices.
#[derive(Debug)]
pub(super) struct Known {
    /// On what it is learned.
    on: Vec<(DeviceId, Fingerprint)>,
    /// `None` where nothing is kept.
    file: Option<File>,
}

/// The file of one model.
#[derive(Debug)]
struct File {
    model: String,
    path: PathBuf,
    /// Whether it lies in the model's folder, which need not be writable.
    beside: bool,
    /// Runs that were learned from when it was last written.
    written: u64,
    failed: bool,
}

/// What was learned before of one model, by device.
pub(super) type Costs = Vec<(DeviceId, CostState)>;

/// A model on its devices.
pub(super) struct Site<'a> {
    pub(super) model: &'a str,
    pub(super) folder: &'a Path,
    /// On what it would be learned.
    pub(super) devices: Vec<(DeviceId, Fingerprint)>,
}

/// A model that another is to take the place of, and what is known of costs by now.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    pub(super) model: ModelId,
    pub(super) learned: &'a [LearnedCost],
}

impl Site<'_> {
    /// Opens a model's file, and finds what was learned of it on these devices: by the one that is served now, if that
    /// is the same, or by an earlier life of the program. Blocks.
    pub(super) fn open(self, state: &State, keeper: &Keeper, before: Option<Before<'_>>) -> (Known, Costs) {
        let Site { model, folder, devices } = self;
        let path = match state {
            State::None => None,
            State::Folder(all) => Some(state::in_folder(all, model)),
            State::Beside => Some(state::beside(folder)),
        };
        let mut kept = path.as_deref().map(|path| read(path, model)).unwrap_or_default();
        let cost = |(device, on): &(DeviceId, Fingerprint)| {
            let live = before.and_then(|before| keeper.live(before, on));
            Some((*device, live.or_else(|| find(&mut kept, on, model))?))
        };
        let costs = devices.iter().filter_map(cost).collect();
        let beside = *state == State::Beside;
        let file = path.map(|path| File { model: model.to_owned(), path, beside, written: 0, failed: false });
        (Known { on: devices, file }, costs)
    }
}

/// What an earlier life left.
fn read(path: &Path, model: &str) -> Vec<Learned<CostState>> {
    let kept = match state::read::<Kept<CostState>>(path) {
        Ok(kept) => kept.filter(|kept| kept.format == state::FORMAT),
        Err(error) => {
            tracing::warn!(model, path = %path.display(), "learned costs cannot be read, and are learned anew: {error}");
            None
        }
    };
    kept.map(|kept| kept.devices).unwrap_or_default()
}

/// A cost model that knows what was learned of a device; `None` where nothing was that can be believed.
pub(super) fn cost(costs: &Costs, device: DeviceId) -> Option<CostModel> {
    let (_, found) = costs.iter().find(|(on, _)| *on == device)?;
    let mut cost = CostModel::default();
    cost.restore(found).ok()?;
    Some(cost)
}

/// Hands the driver what earlier lives learned of a model.
pub(super) fn restore(driver: &mut Driver, id: ModelId, model: &str, costs: &Costs) {
    for (device, cost) in costs {
        match driver.restore(id, *device, cost) {
            Ok(()) => tracing::info!(model, observations = cost.observations(), "learned costs restored"),
            Err(error) => tracing::warn!(model, "learned costs are learned anew: {error}"),
        }
    }
}

impl Keeper {
    /// Takes a model in.
    pub(super) fn take(&self, model: ModelId, known: Option<Known>) {
        if let Some(known) = known {
            locked(&self.models).insert(model, known);
        }
    }

    /// Takes a model in, in the place of another.
    pub(super) fn replace(&self, old: ModelId, new: ModelId, known: Option<Known>) {
        locked(&self.models).remove(&old);
        self.take(new, known);
    }

    /// Whether a model was read from the same file as one that was taken in.
    pub(super) fn is_same(&self, model: ModelId, known: &Known) -> bool {
        let print = |known: &Known| known.on.first().map(|(_, on)| on.model.clone());
        let before = locked(&self.models).get(&model).and_then(print);
        before.is_some() && before == print(known)
    }

    /// What is being learned of a model that runs on the same.
    fn live(&self, before: Before<'_>, on: &Fingerprint) -> Option<CostState> {
        let models = locked(&self.models);
        models.get(&before.model)?.on.iter().find(|(_, known)| known == on)?;
        let same = |learned: &&LearnedCost| learned.model == before.model && *learned.device == on.device;
        before.learned.iter().find(same).map(|learned| learned.cost.clone())
    }

    /// Writes what was learned once a minute, and a last time once told to stop.
    pub(super) async fn run(self, handle: Handle, stopped: impl Future<Output = ()>) {
        let mut stopped = std::pin::pin!(stopped);
        loop {
            let ends = tokio::select! {
                () = sleep(PERIOD) => false,
                () = &mut stopped => true,
            };
            self.save(&handle).await;
            if ends {
                return;
            }
        }
    }

    /// Writes what was learned since it was last written.
    async fn save(&self, handle: &Handle) {
        if locked(&self.models).is_empty() {
            return;
        }
        let (learned, models) = (handle.learned().await, Arc::clone(&self.models));
        let writing = tokio::task::spawn_blocking(move || {
            for (id, known) in &mut *locked(&models) {
                known.write(learned.iter().filter(|learned| learned.model == *id));
            }
        });
        // A panic in there has been told of.
        drop(writing.await);
    }
}

/// What was learned on the same; says so where there is something, but not on the same.
fn find(kept: &mut Vec<Learned<CostState>>, on: &Fingerprint, model: &str) -> Option<CostState> {
    if let Some(at) = kept.iter().position(|learned| learned.on == *on) {
        return Some(kept.swap_remove(at).learned);
    }
    let other = kept.iter().find(|learned| learned.on.device == on.device)?;
    let what = other.on.differs(on).unwrap_or("nothing");
    tracing::info!(model, device = %on.device, "learned costs are not used: {what} is not what they were learned on");
    None
}

impl Known {
    /// Writes what was learned, if that is more than what was written. Blocks.
    fn write<'a>(&mut self, learned: impl Iterator<Item = &'a LearnedCost> + Clone) {
        let Self { on, file: Some(file) } = self else { return };
        let runs = learned.clone().map(|learned| learned.cost.observations()).sum();
        if runs == file.written {
            return;
        }
        let on = |learned: &&LearnedCost| on.iter().map(|(_, on)| on).find(|on| *on.device == *learned.device);
        let devices = learned.filter_map(|learned| Some(Learned { on: on(&learned)?.clone(), learned: &learned.cost }));
        let kept = Kept { format: state::FORMAT, devices: devices.collect() };
        match state::write(&file.path, &kept) {
            Ok(()) => (file.written, file.failed) = (runs, false),
            Err(error) => file.tell_of(&error),
        }
    }
}

impl File {
    /// Says once that a file cannot be written; aloud where somebody asked for it.
    fn tell_of(&mut self, error: &std::io::Error) {
        let expected = matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied);
        let (model, path) = (&self.model, self.path.display());
        match std::mem::replace(&mut self.failed, true) {
            true => {}
            false if self.beside && expected => tracing::debug!(model, %path, "learned costs are not kept: {error}"),
            false => tracing::warn!(model, %path, "learned costs cannot be written: {error}"),
        }
    }
}
