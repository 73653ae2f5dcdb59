//! What the program tells of its work: log lines, and what became of each request, as spans.
//!
//! Decides the form of log lines, what a trace context is, and how a finished request is told. Does not
//! decide what is worth a line: that is each room's own business, with one rule for all: ids, never payloads.

mod context;
mod logs;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
#[path = "no_otlp.rs"]
mod otlp;
mod tracer;

pub use context::{TRACEPARENT, TRACESTATE, TraceContext, TraceId};
pub use logs::{LogFormat, UnknownFormat, init, understands};
pub use otlp::StartError;
pub use tracer::{Finished, Ran, Tracer};

/// Whether this build can export spans.
pub const HAS_OTLP: bool = cfg!(feature = "otlp");
