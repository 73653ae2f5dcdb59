//! The scheduler in a world of virtual time.

mod company;
mod converge;
mod curves;
mod custom;
mod deadlines;
mod devices;
mod failure;
mod fleet;
mod golden;
mod histories;
mod invariants;
mod overload;
mod queueing;
mod quotas;
mod regret;
mod rig;
pub(super) mod saturation;
mod strategies;
mod tenants;
pub(super) mod world;
