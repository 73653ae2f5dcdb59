//! The live table of models.

use super::readers::{Earlier, Readers, Reading};
use super::{Batching, ModelSpec, Placed};
use crate::text::Tokenizer;
use crate::types::ModelId;
use arc_swap::{ArcSwap, ArcSwapOption};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

/// A model being served.
#[derive(Debug)]
pub struct Model {
    /// Its number in this process.
    pub id: ModelId,
    /// The name callers use.
    pub name: Arc<str>,
    /// What its tensors mean.
    pub spec: ModelSpec,
    /// For text; `None` where the folder has no `tokenizer.json`.
    pub tokenizer: Option<Tokenizer>,
    /// Unix seconds of loading.
    pub created: u64,
    state: AtomicU8,
    beyond_help: AtomicBool,
    ailment: ArcSwapOption<String>,
    batching: ArcSwap<Batching>,
    placed: ArcSwap<Placed>,
}

/// Where a model is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ModelState {
    /// Sessions are being made or warmed.
    Loading = 0,
    /// It answers.
    Ready = 1,
    /// No worker is left that could answer.
    Failed = 2,
    /// It was taken out of service on request.
    Unloaded = 3,
}

impl ModelState {
    /// Its word in what operators are shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Unloaded => "unloaded",
        }
    }
}

impl Model {
    /// Builds a model in state [`ModelState::Loading`].
    #[must_use]
    pub fn new(id: ModelId, name: &str, spec: ModelSpec, tokenizer: Option<Tokenizer>, created: u64) -> Self {
        let (state, beyond_help) = (AtomicU8::new(0), AtomicBool::new(false));
        let (ailment, placed) = (ArcSwapOption::empty(), ArcSwap::default());
        let batching = ArcSwap::from_pointee(spec.batching.clone());
        Self { id, name: name.into(), spec, tokenizer, created, state, beyond_help, ailment, batching, placed }
    }

    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> ModelState {
        match self.state.load(Ordering::Acquire) {
            0 => ModelState::Loading,
            1 => ModelState::Ready,
            2 => ModelState::Failed,
            _ => ModelState::Unloaded,
        }
    }

    /// Moves it to `state`.
    pub fn set_state(&self, state: ModelState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Whether nothing that this process does is expected to bring it back: every device that it runs on is
    /// gone, and has been for a while.
    #[must_use]
    pub fn is_beyond_help(&self) -> bool {
        self.beyond_help.load(Ordering::Acquire)
    }

    /// Says whether it is beyond help; answers whether it was.
    pub fn set_beyond_help(&self, beyond_help: bool) -> bool {
        self.beyond_help.swap(beyond_help, Ordering::AcqRel)
    }

    /// Why its answers are not to be counted on though it has sessions; `None` while it is well. Requests
    /// that come all the same are still tried.
    #[must_use]
    pub fn ailment(&self) -> Option<Arc<String>> {
        self.ailment.load_full()
    }

    /// Says what it suffers from, or that it is well again.
    pub fn set_ailment(&self, why: Option<String>) {
        self.ailment.store(why.map(Arc::new));
    }

    /// How its requests run, and why.
    #[must_use]
    pub fn batching(&self) -> Arc<Batching> {
        self.batching.load_full()
    }

    /// Says how its requests run from now on.
    pub fn set_batching(&self, batching: Batching) {
        self.batching.store(Arc::new(batching));
    }

    /// Where it came to run.
    #[must_use]
    pub fn placed(&self) -> Arc<Placed> {
        self.placed.load_full()
    }

    /// Says where it runs.
    pub fn set_placed(&self, placed: Placed) {
        self.placed.store(Arc::new(placed));
    }

    /// Says which execution providers run how many of its graph's nodes.
    pub fn set_providers(&self, providers: &BTreeMap<String, u64>) {
        self.placed.rcu(|placed| Placed { providers: Some(providers.clone()), ..(**placed).clone() });
    }
}

/// The live table: read without locks, replaced whole.
///
/// A model that is taken out of it may have been looked up before. Whoever sends requests holds a [`Reading`]
/// meanwhile, so that the model goes on until they have their answers.
#[derive(Debug, Default)]
pub struct Registry {
    models: ArcSwap<Vec<Arc<Model>>>,
    /// Bytes of a body that holds one row of the model with the widest rows.
    widest: AtomicUsize,
    readers: Readers,
}

impl Registry {
    /// Builds a table of these models.
    #[must_use]
    pub fn new(models: Vec<Arc<Model>>) -> Self {
        let this = Self { models: ArcSwap::from_pointee(models), ..Self::default() };
        this.measure();
        this
    }

    /// Bytes that a body has room for if it is to hold one row of any model that is served, written as JSON.
    #[must_use]
    pub fn widest_row(&self) -> usize {
        self.widest.load(Ordering::Relaxed)
    }

    fn measure(&self) {
        let widest = self.models.load().iter().map(|model| model.spec.row_body()).max();
        self.widest.store(widest.unwrap_or(0), Ordering::Relaxed);
    }

    /// All models, in the order of their configuration.
    #[must_use]
    pub fn list(&self) -> Arc<Vec<Arc<Model>>> {
        self.models.load_full()
    }

    /// The model with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Model>> {
        self.models.load().iter().find(|m| &*m.name == name).cloned()
    }

    /// Begins a reading: what is looked up from now on takes requests until it is dropped.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.readers.begin()
    }

    /// Puts a model in the place of the one with its name. Returns the readings that may still use that one.
    pub fn replace(&self, model: &Arc<Model>) -> Earlier {
        let new = |old: &Arc<Model>| Arc::clone(if old.name == model.name { model } else { old });
        self.models.rcu(|models| models.iter().map(new).collect::<Vec<_>>());
        self.measure();
        self.readers.turn()
    }
}
