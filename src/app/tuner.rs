//! Measures a model on this machine at an operator's word, and keeps what was found where a start looks for it.
//!
//! Decides what is kept: the sessions, and the costs of their batches. How it is measured is `offline`'s.

use super::AppError;
use super::load::machine;
use crate::config::{ModelConfig, State};
use crate::exec::{Runtime, Sample};
use crate::offline::{self, Options, Source, Tuning};
use crate::sched::CostModel;
use crate::state::{self, Fingerprint, Kept, Learned, Tuned, TunedBy, Tunings};
use crate::types::Device;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What was found, and where it lies now.
#[derive(Debug)]
pub struct Found {
    /// It.
    pub tuning: Tuning,
    /// Where; `None` where nothing is to be kept.
    pub kept_in: Option<KeptIn>,
}

/// The files that a start reads.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KeptIn {
    /// Of the sessions.
    pub tuning: PathBuf,
    /// Of what batches cost.
    pub costs: PathBuf,
}

impl KeptIn {
    fn new(state: &State, settings: &ModelConfig) -> Option<Self> {
        let (name, folder) = (&settings.name, &settings.path);
        match state {
            State::None => None,
            State::Folder(all) => {
                Some(Self { tuning: state::tuning_in_folder(all, name), costs: state::in_folder(all, name) })
            }
            State::Beside => Some(Self { tuning: state::tuning_beside(folder), costs: state::beside(folder) }),
        }
    }
}

/// Measures which sessions serve a model best on the CPU, for about `limit`, and keeps that. Blocks.
///
/// # Errors
/// [`AppError::Model`] where the model is not one, [`AppError::Tune`] where it cannot be measured, [`AppError::State`]
/// where nothing can be kept, which is tried before anything is measured.
pub fn tune(
    runtime: &Arc<Runtime>,
    settings: &ModelConfig,
    state: &State,
    texts: Vec<String>,
    limit: Duration,
) -> Result<Found, AppError> {
    let name = || settings.name.clone();
    let kept_in = KeptIn::new(state, settings);
    let unwritable = |path: &PathBuf| {
        let path = path.clone();
        |source| AppError::State { path, source }
    };
    if let Some(files) = &kept_in {
        state::check(&files.tuning).map_err(unwritable(&files.tuning))?;
    }
    let source = Source::open(runtime, &settings.name, &settings.path)
        .map_err(|error| AppError::Model { name: name(), message: error.to_string() })?;
    let print = state::model_print(source.file.path()).map_err(AppError::system("the model's file"))?;
    let on = machine(print, runtime.version().unwrap_or("unknown"), Device::Cpu(0), None);
    let options = Options { limit, ..Options::new(source, texts) };
    let tuning = offline::tune(&options).map_err(|source| AppError::Tune { name: name(), source })?;
    if let Some(files) = &kept_in {
        let offline::Layout { instances, threads, spin } = tuning.chosen;
        let mut tunings: Tunings = state::read(&files.tuning).ok().flatten().unwrap_or_default();
        tunings.put(Tuned { on: on.clone(), instances, threads, spin, by: TunedBy::Tune });
        state::write(&files.tuning, &tunings).map_err(unwritable(&files.tuning))?;
        let costs = seed(on.with(instances, threads, spin), &tuning.samples);
        state::write(&files.costs, &costs).map_err(unwritable(&files.costs))?;
    }
    Ok(Found { tuning, kept_in })
}

/// What batches cost, as a server that had run these would have learned it.
fn seed(on: Fingerprint, samples: &[Sample]) -> Kept<crate::sched::CostState> {
    let mut cost = CostModel::default();
    for Sample { rows, len, busy, compute } in samples {
        cost.observe(*rows, *len, *busy, *compute);
    }
    Kept { format: state::FORMAT, devices: vec![Learned { on, learned: cost.state() }] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ModelPrint;

    #[test]
    fn costs_are_seeded_by_what_was_measured() {
        let model = ModelPrint { bytes: 3, sha256: "00".into() };
        let (device, processor) = ("cpu".into(), "x".into());
        let on = state::Machine { model, runtime: "1".into(), device, processor }.with(2, 1, false);
        let sample = |rows: u32| {
            let compute = Duration::from_micros(u64::from(rows) * 100);
            Sample { rows, len: 16, busy: 2, compute }
        };
        let samples: Vec<Sample> = (0..40).flat_map(|_| [1, 4, 16].map(sample)).collect();
        let kept = seed(on.clone(), &samples);
        assert_eq!((kept.format, &kept.devices[0].on), (state::FORMAT, &on));
        let mut cost = CostModel::default();
        cost.restore(&kept.devices[0].learned).unwrap();
        assert_eq!(cost.observations(), 120);
        let predicted = cost.predict(16, 16, 2);
        assert!((1.4e6..1.8e6).contains(&predicted), "{predicted} ns");
    }
}
