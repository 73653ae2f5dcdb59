//! The one error a caller can meet, and its mapping to HTTP and gRPC.
//!
//! Decides the status of each refusal (docs/interface.md). Does not know any protocol's error shape: that
//! is `front/respond`.

use std::fmt;
use std::time::Duration;

/// Why a request was not answered. Closed: every protocol maps all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Malformed, wrong datatype, shape or name, over the model's length, not UTF-8.
    InvalidRequest,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The body did not arrive in time.
    BodyTimeout,
    /// A content type or encoding that is not understood.
    UnsupportedMediaType,
    /// The model cannot do this task.
    Unsupported,
    /// No known credentials.
    Unauthenticated,
    /// Known credentials, not allowed.
    Forbidden,
    /// No such model.
    UnknownModel,
    /// No such path.
    NotFound,
    /// One request that no batch could ever hold, or a body over the limit.
    TooLarge,
    /// The tenant's own quota.
    RateLimited,
    /// The queue is full, or the predicted finish is past the deadline.
    Overloaded,
    /// The program is shutting down.
    Draining,
    /// The model is loading, or no device is left.
    NotReady,
    /// The upstream is unreachable or answered nonsense.
    UpstreamFailed,
    /// Expired while waiting, or passed while its batch ran.
    DeadlineExceeded,
    /// The model failed on this request alone.
    ExecutionFailed,
}

/// What a [`Reason`] means on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// HTTP status code.
    pub http: u16,
    /// gRPC status code (`google.rpc.Code`).
    pub grpc: u8,
    /// Whether the same request may succeed later; such answers carry `Retry-After`.
    pub retryable: bool,
}

impl Reason {
    /// The stable word for `x-inferneo-reason`, error bodies and metric labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::InvalidRequest | Self::MethodNotAllowed | Self::BodyTimeout | Self::UnsupportedMediaType => {
                "invalid_request"
            }
            Self::Unsupported => "unsupported",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::UnknownModel => "unknown_model",
            Self::NotFound => "not_found",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::NotReady => "not_ready",
            Self::UpstreamFailed => "upstream_failed",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::ExecutionFailed => "execution_failed",
        }
    }

    /// The wire statuses of this reason.
    #[must_use]
    pub const fn status(self) -> Status {
        let (http, grpc, retryable) = match self {
            Self::InvalidRequest | Self::Unsupported => (400, 3, false),
            Self::MethodNotAllowed => (405, 12, false),
            Self::BodyTimeout => (408, 4, false),
            Self::UnsupportedMediaType => (415, 3, false),
            Self::Unauthenticated => (401, 16, false),
            Self::Forbidden => (403, 7, false),
            Self::UnknownModel | Self::NotFound => (404, 5, false),
            Self::TooLarge => (413, 3, false),
            Self::RateLimited => (429, 8, true),
            Self::Overloaded | Self::Draining | Self::NotReady => (503, 14, true),
            Self::UpstreamFailed => (502, 14, false),
            Self::DeadlineExceeded => (504, 4, false),
            Self::ExecutionFailed => (500, 13, false),
        };
        Status { http, grpc, retryable }
    }
}

/// What `retry-after` says: whole seconds, rounded up, at least one.
#[must_use]
pub fn retry_seconds(after: Duration) -> u64 {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    seconds.max(1)
}

/// A refusal: its reason, a sentence that names the field and what is allowed, and when to retry.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The class of refusal.
    pub reason: Reason,
    /// For the caller: names the field and what is allowed.
    pub message: String,
    /// When a retry may succeed; only sent where the reason is retryable.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// Builds a refusal without a retry hint.
    pub fn new(reason: Reason, message: impl fmt::Display) -> Self {
        Self { reason, message: message.to_string(), retry_after: None }
    }

    /// Builds an `invalid_request`.
    pub fn invalid(message: impl fmt::Display) -> Self {
        Self::new(Reason::InvalidRequest, message)
    }

    /// Adds when a retry may succeed.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}
