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
}
