//! The scheduler in a world of virtual time.

mod devices;
mod failure;
mod fleet;
mod golden;
mod histories;
mod invariants;
mod queueing;
pub(super) mod saturation;
mod strategies;
pub(super) mod world;
