//! Policies: text in, validated settings out (contract 5).
//!
//! Decides what an operator may write and what each key defaults to. Pure: no files, no clock; a
//! folder's contents come in as strings.

mod compiled;

pub use compiled::{BatchLimits, OnPredictedMiss, Policy, PolicySet, QueueLimits, Slo, Strategy};
