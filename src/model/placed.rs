//! Where a model came to run, for whoever asks.
//!
//! Decides nothing.

use crate::types::Device;
use std::collections::BTreeMap;

/// Where a model came to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placed {
    /// Its devices, in the order of its configuration.
    pub devices: Vec<Device>,
    /// Why these are not all that was asked for; `None` where they are.
    pub fallback: Option<String>,
    /// Nodes of its graph by the execution provider that runs them; `None` where nobody looked.
    pub providers: Option<BTreeMap<String, u64>>,
    /// Its sessions, by device in the same order.
    pub sessions: Vec<Sessions>,
}

/// The sessions of a model on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// Where.
    pub device: Device,
    /// How many.
    pub instances: usize,
    /// Threads of each.
    pub threads: usize,
    /// Whether those spin when idle.
    pub spin: bool,
    /// Whose word that is.
    pub chosen_by: ChosenBy,
}

/// Whose word a number of sessions is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenBy {
    /// The settings'.
    Settings,
    /// `inferneo tune`'s.
    Tune,
    /// A measurement's at this start or an earlier one.
    Start,
    /// Nobody's: it follows from the device.
    Default,
}

impl ChosenBy {
    /// As it is shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Tune => "tune",
            Self::Start => "start",
            Self::Default => "default",
        }
    }
}
