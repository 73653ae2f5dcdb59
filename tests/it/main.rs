//! The program as a whole: the real binary is started, driven over its sockets, and stopped.
//!
//! Needs what `make setup` fetches into `.cache/`. Nothing here sleeps a guess: every wait is for an
//! answer, a metric or a process, and is bounded.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod auth;
mod binding;
mod client;
mod commands;
mod context;
mod cuda;
mod custom;
mod decisions;
mod devices;
mod doctor;
mod environment;
mod exec;
mod exposition;
mod flags;
mod gpus;
mod graphs;
mod harness;
mod images;
mod inject;
mod learned;
mod memory;
mod metrics;
mod nets;
#[cfg(feature = "otlp")]
mod otlp;
mod outputs;
mod overrides;
mod policies_page;
mod readme;
mod refusals;
mod reload;
mod repository;
mod reuse;
mod scaling_page;
mod shared;
mod shutdown;
mod siege;
mod simulate;
mod startup;
mod stats;
mod strategies;
mod tenancy;
mod tensors;
mod trace;
mod tune;
mod upstream;
mod watch;
