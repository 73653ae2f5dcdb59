//! inferneo: a batching sidecar for ML inference.
//!
//! The crate is a library with a thin binary on top. `types`, `document`, `script`, `policy`,
//! `sched` and `sim` are pure: no clock, no thread, no I/O; they build with `--no-default-features`. Everything else
//! belongs to the `server` feature. ARCHITECTURE.md maps the rooms and says who may import whom.

pub mod document;
pub mod policy;
pub mod sched;
pub mod script;
pub mod sim;
pub mod types;

#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod bench;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod dispatch;
#[cfg(feature = "server")]
pub mod error;
#[cfg(feature = "server")]
pub mod exec;
#[cfg(feature = "server")]
pub mod front;
#[cfg(feature = "server")]
pub mod gpu;
#[cfg(feature = "server")]
pub mod graph;
#[cfg(feature = "server")]
pub mod keys;
#[cfg(feature = "server")]
pub mod listener;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod model;
#[cfg(feature = "server")]
pub mod offline;
#[cfg(feature = "server")]
pub mod readiness;
#[cfg(feature = "server")]
pub mod reload;
#[cfg(feature = "server")]
pub mod remote;
#[cfg(feature = "server")]
pub mod request;
#[cfg(feature = "server")]
pub mod shutdown;
#[cfg(feature = "server")]
pub mod state;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
pub mod text;
#[cfg(feature = "server")]
pub mod trace;
