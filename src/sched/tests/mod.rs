//! The scheduler in a world of virtual time.

mod failure;
mod golden;
mod invariants;
mod queueing;
mod saturation;
mod strategies;
mod world;
