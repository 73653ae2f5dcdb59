//! Which sessions serve a model best, as it was measured: one JSON file a model, with an entry a machine.
//!
//! Decides how many machines are remembered and what is believed. Does not know how it was measured.

use super::fingerprint::Machine;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The layout of the file; one of another is of no use.
const FORMAT: u32 = 1;

/// Most entries: a folder may be shared by machines of several kinds. The oldest go first.
const MOST: usize = 16;

/// Most sessions, and most threads of one: more cannot be set either.
const MOST_WORKERS: usize = 1024;

/// A model's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tunings {
    format: u32,
    /// The newest last.
    tuned: Vec<Tuned>,
}

/// The sessions of a model on a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    /// On what it was measured.
    pub on: Machine,
    /// Sessions.
    pub instances: usize,
    /// Threads of each.
    pub threads: usize,
    /// Whether those spin when idle.
    pub spin: bool,
    /// Who measured.
    pub by: TunedBy,
}

/// Who measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TunedBy {
    /// `inferneo tune`, which takes its time.
    Tune,
    /// A start of the server, which does not.
    Start,
}

impl Default for Tunings {
    fn default() -> Self {
        Self { format: FORMAT, tuned: Vec::new() }
    }
}

impl Tunings {
    /// The entry of a machine. Where there is none but one of another: what differs, in words.
    ///
    /// # Errors
    /// Those words.
    pub fn find(&self, on: &Machine) -> Result<Option<&Tuned>, &'static str> {
        let own = |tuned: &&Tuned| tuned.on == *on;
        let sound = |tuned: &&Tuned| [tuned.instances, tuned.threads].iter().all(|n| (1..=MOST_WORKERS).contains(n));
        match self.tuned.iter().rev().find(own) {
            Some(tuned) => Some(tuned).filter(sound).ok_or("a number of instances or threads").map(Some),
            None if self.format != FORMAT => Err("the layout of the file"),
            None => self.tuned.last().and_then(|tuned| tuned.on.differs(on)).map_or(Ok(None), Err),
        }
    }

    /// Adds an entry; an older one of the same machine goes.
    pub fn put(&mut self, tuned: Tuned) {
        if self.format != FORMAT {
            *self = Self::default();
        }
        self.tuned.retain(|known| known.on != tuned.on);
        self.tuned.push(tuned);
        self.tuned.drain(..self.tuned.len().saturating_sub(MOST));
    }
}

/// The tuning of a model in a folder for all models.
#[must_use]
pub fn tuning_in_folder(folder: &Path, model: &str) -> PathBuf {
    folder.join(format!("{model}.tuning.json"))
}

/// The tuning of a model in its own folder.
#[must_use]
pub fn tuning_beside(model_folder: &Path) -> PathBuf {
    model_folder.join(".inferneo").join("tuning.json")
}

#[cfg(test)]
mod tests {
    use super::super::fingerprint::ModelPrint;
    use super::*;

    fn machine(processor: &str) -> Machine {
        let model = ModelPrint { bytes: 3, sha256: "00".into() };
        Machine { model, runtime: "1.23".into(), device: "cpu".into(), processor: processor.into() }
    }

    fn tuned(processor: &str, instances: usize) -> Tuned {
        Tuned { on: machine(processor), instances, threads: 1, spin: false, by: TunedBy::Tune }
    }

    #[test]
    fn each_machine_finds_its_own() {
        let mut all = Tunings::default();
        assert_eq!(all.find(&machine("a")), Ok(None));
        all.put(tuned("a", 2));
        all.put(tuned("b", 3));
        all.put(tuned("a", 4));
        assert_eq!(all.find(&machine("a")).unwrap().unwrap().instances, 4);
        assert_eq!(all.find(&machine("b")).unwrap().unwrap().instances, 3);
        assert_eq!(all.find(&machine("c")), Err("the processor"));
        for number in 0..40 {
            all.put(tuned(&number.to_string(), 1));
        }
        assert_eq!(all.tuned.len(), MOST);
        assert!(all.find(&machine("39")).unwrap().is_some());
    }

    #[test]
    fn what_cannot_be_is_not_believed() {
        let mut all = Tunings::default();
        all.put(tuned("a", 0));
        assert!(all.find(&machine("a")).is_err());
        all.put(tuned("a", 5000));
        assert!(all.find(&machine("a")).is_err());
        let other = Tunings { format: FORMAT + 1, tuned: Vec::new() };
        assert_eq!(other.find(&machine("a")), Err("the layout of the file"));
    }
}
