//! The scheduler in a world of virtual time.

mod custom;
mod devices;
mod failure;
mod fleet;
mod golden;
mod histories;
mod invariants;
mod queueing;
mod saturation;
mod strategies;
mod world;
