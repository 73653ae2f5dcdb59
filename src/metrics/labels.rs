//! The values labels may take.

use crate::error::Reason;
use std::sync::Arc;

/// The protocol a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Open Inference Protocol, version 2, over REST.
    V2,
    /// OpenAI's API.
    OpenAi,
}

impl Protocol {
    /// Its label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::OpenAi => "openai",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Ok,
    /// It was refused.
    Refused(Reason),
}

impl Outcome {
    /// Its label: `ok`, or the refusal's reason.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused(reason) => reason.label(),
        }
    }
}

/// Whether a request came in under its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SloResult {
    /// In time.
    Met,
    /// Late.
    Missed,
}

impl SloResult {
    /// Its label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
        }
    }
}

/// A tenant's label: bounded, whatever names callers send.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TenantLabel {
    /// No tenant was given.
    Default,
    /// A tenant that no policy names.
    Other,
    /// A tenant that a policy names.
    Named(Arc<str>),
}

impl TenantLabel {
    /// The label's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Default => "default",
            Self::Other => "other",
            Self::Named(name) => name,
        }
    }
}
