//! Keeps what was learned of costs from one life of the program to the next.
//!
//! Decides when it is written and that it never stands in the way: what cannot be read or written is said and
//! left. Where it lies and on what it was learned is `state`'s.

use crate::config::State;
use crate::dispatch::{CostState, Driver, Handle, LearnedCost};
use crate::sched::CostModel;
use crate::state::{self, Fingerprint, Kept, Learned};
use crate::types::{DeviceId, ModelId};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::sleep;

/// How often it is written, where something was learned.
const PERIOD: Duration = Duration::from_secs(60);

/// The files of all models, and what was in them.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    files: BTreeMap<ModelId, File>,
    /// Not yet handed to the driver.
    restored: Vec<Restored>,
}

/// The file of one model.
#[derive(Debug)]
struct File {
    model: String,
    path: PathBuf,
    /// Whether it lies in the model's folder, which need not be writable.
    beside: bool,
    devices: Vec<Fingerprint>,
    /// Runs that were learned from when it was last written.
    written: u64,
    failed: bool,
}

/// What an earlier life learned of one model on one device.
#[derive(Debug)]
struct Restored {
    model: ModelId,
    device: DeviceId,
    cost: CostState,
}

/// A model on its devices.
pub(super) struct Site<'a> {
    pub(super) id: ModelId,
    pub(super) model: &'a str,
    pub(super) folder: &'a Path,
    /// On what it would be learned.
    pub(super) devices: Vec<(DeviceId, Fingerprint)>,
}

impl Keeper {
    /// Takes a model in, and takes note of what an earlier life learned of it on these devices. Blocks.
    pub(super) fn open(&mut self, state: &State, site: Site<'_>) {
        let Site { id, model, folder, devices } = site;
        let path = match state {
            State::None => return,
            State::Folder(all) => state::in_folder(all, model),
            State::Beside => state::beside(folder),
        };
        let kept = match state::read::<Kept<CostState>>(&path) {
            Ok(kept) => kept.filter(|kept| kept.format == state::FORMAT),
            Err(error) => {
                tracing::warn!(model, path = %path.display(), "learned costs cannot be read, and are learned anew: {error}");
                None
            }
        };
        let mut kept = kept.map(|kept| kept.devices).unwrap_or_default();
        for (device, on) in &devices {
            let cost = find(&mut kept, on, model);
            self.restored.extend(cost.map(|cost| Restored { model: id, device: *device, cost }));
        }
        let (beside, devices) = (*state == State::Beside, devices.into_iter().map(|(_, on)| on).collect());
        let file = File { model: model.to_owned(), path, beside, devices, written: 0, failed: false };
        self.files.insert(id, file);
    }

    /// The cost of a model on a device as an earlier life learned it.
    pub(super) fn cost(&self, model: ModelId, device: DeviceId) -> Option<CostModel> {
        let found = self.restored.iter().find(|known| (known.model, known.device) == (model, device))?;
        let mut cost = CostModel::default();
        cost.restore(&found.cost).ok()?;
        Some(cost)
    }

    /// Hands over what earlier lives learned.
    pub(super) fn restore(&mut self, driver: &mut Driver) {
        for Restored { model, device, cost } in self.restored.drain(..) {
            let name = self.files.get(&model).map(|file| file.model.as_str());
            match driver.restore(model, device, &cost) {
                Ok(()) => tracing::info!(model = name, observations = cost.observations(), "learned costs restored"),
                Err(error) => tracing::warn!(model = name, "learned costs are learned anew: {error}"),
            }
        }
    }

    /// Writes what was learned once a minute, and a last time once told to stop.
    pub(super) async fn run(mut self, handle: Handle, stopped: impl Future<Output = ()>) {
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
    async fn save(&mut self, handle: &Handle) {
        if self.files.is_empty() {
            return;
        }
        let learned = handle.learned().await;
        let mut files = std::mem::take(&mut self.files);
        let writing = tokio::task::spawn_blocking(move || {
            for (id, file) in &mut files {
                file.write(learned.iter().filter(|learned| learned.model == *id));
            }
            files
        });
        // A panic in there has been told of; nothing is written from then on.
        self.files = writing.await.unwrap_or_default();
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

impl File {
    /// Writes what was learned, if that is more than what was written. Blocks.
    fn write<'a>(&mut self, learned: impl Iterator<Item = &'a LearnedCost> + Clone) {
        let runs = learned.clone().map(|learned| learned.cost.observations()).sum();
        if runs == self.written {
            return;
        }
        let on = |learned: &&LearnedCost| self.devices.iter().find(|on| *on.device == *learned.device);
        let devices = learned.filter_map(|learned| Some(Learned { on: on(&learned)?.clone(), learned: &learned.cost }));
        let kept = Kept { format: state::FORMAT, devices: devices.collect() };
        match state::write(&self.path, &kept) {
            Ok(()) => (self.written, self.failed) = (runs, false),
            Err(error) => self.tell_of(&error),
        }
    }

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
