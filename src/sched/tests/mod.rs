//! The scheduler in a world of virtual time.

mod failure;
mod golden;
mod invariants;
mod queueing;
mod strategies;
mod world;
