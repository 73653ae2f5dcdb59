//! The scheduler's refusals in the caller's words.

use super::gate::draining;
use crate::error::{Error, Reason};
use crate::model::{Model, ModelState};
use crate::request::{InferRequest, Payload};
use crate::sched::{FailReason, Reject};
use std::fmt;
use std::time::Duration;

/// Why a request was not queued.
pub(super) fn rejected(reject: Reject, model: &Model) -> Error {
    let name = &*model.name;
    match reject {
        // It was looked up by its name: another has taken its place since.
        Reject::UnknownModel if model.state() == ModelState::Unloaded => replaced(name),
        Reject::UnknownModel => Error::new(Reason::UnknownModel, format_args!("there is no model `{name}`")),
        Reject::NotReady => not_ready(name),
        Reject::Draining => draining(),
        Reject::RowsOverBatch { rows, limit } => {
            large(format_args!("the request has {rows} rows; a batch takes at most {limit} (max_batch_size)"))
        }
        Reject::TokensOverBatch { tokens, limit } => {
            large(format_args!("a row or tensor has {tokens} tokens; a batch takes at most {limit} (max_batch_tokens)"))
        }
        Reject::OverQueue { rows, limit } => {
            large(format_args!("the request has {rows} rows; the queue takes at most {limit} (queue.max_rows)"))
        }
        Reject::BytesOverQueue { bytes, limit } => {
            large(format_args!("the request keeps {bytes} bytes; the queue takes at most {limit} (queue.max_bytes)"))
        }
        Reject::QueueFull { drain } => {
            Error::new(Reason::Overloaded, "the queue is full; retry later").retry_after(drain)
        }
        Reject::BytesFull { bytes, waiting, limit, drain } => {
            let message = format_args!(
                "the request keeps {bytes} bytes and {waiting} wait already; the queue takes at most {limit} \
                 (queue.max_bytes); retry later"
            );
            Error::new(Reason::Overloaded, message).retry_after(drain)
        }
        Reject::PredictedMiss { drain } => predicted_miss(drain),
        Reject::RateLimited { limit, retry } => {
            let message = format_args!("the tenant's rate limit is {limit} (tenancy.rate_limit); retry later");
            Error::new(Reason::RateLimited, message).retry_after(retry)
        }
        Reject::OverRate { rows, limit } => {
            large(format_args!("the request has {rows} rows; the tenant's rate limit is {limit} (tenancy.rate_limit)"))
        }
        Reject::TenantFull { limit, drain } => {
            let message =
                format_args!("{limit} rows of the tenant wait already (tenancy.max_waiting_rows); retry later");
            Error::new(Reason::RateLimited, message).retry_after(drain)
        }
        Reject::OverTenant { rows, limit } => large(format_args!(
            "the request has {rows} rows; {limit} of the tenant may wait (tenancy.max_waiting_rows)"
        )),
        Reject::DeadlinePassed => Error::new(Reason::DeadlineExceeded, "the deadline had passed on arrival"),
    }
}

/// Whether the fault is the program's, or its load's, and not the request's own.
pub(super) fn is_ours(reject: &Reject) -> bool {
    match reject {
        Reject::NotReady
        | Reject::Draining
        | Reject::QueueFull { .. }
        | Reject::BytesFull { .. }
        | Reject::PredictedMiss { .. }
        | Reject::DeadlinePassed => true,
        Reject::UnknownModel
        | Reject::RowsOverBatch { .. }
        | Reject::TokensOverBatch { .. }
        | Reject::RateLimited { .. }
        | Reject::OverRate { .. }
        | Reject::TenantFull { .. }
        | Reject::OverTenant { .. }
        | Reject::OverQueue { .. }
        | Reject::BytesOverQueue { .. } => false,
    }
}

/// Why a queued request ends without an answer; `detail` is what the model said, if it did.
pub(super) fn failed(reason: FailReason, request: &InferRequest, detail: Option<&str>) -> Error {
    let model = &*request.model.name;
    let irregular = request.items.iter().find_map(Payload::irregular);
    match reason {
        FailReason::DeadlineExceeded => {
            Error::new(Reason::DeadlineExceeded, "the deadline passed before the answer was ready")
        }
        FailReason::PredictedMiss { drain } => predicted_miss(drain),
        FailReason::ExecutionFailed => {
            let detail = detail.unwrap_or("no detail");
            match irregular {
                // It was let through because some models take such input.
                Some(why) => Error::invalid(format!("{why}; model `{model}` fails on that: {detail}")),
                None => Error::new(
                    Reason::ExecutionFailed,
                    format_args!("model `{model}` failed on this request: {detail}"),
                ),
            }
        }
        FailReason::NotReady => not_ready(model),
        FailReason::UnknownModel => Error::new(Reason::UnknownModel, format_args!("model `{model}` was unloaded")),
    }
}

fn large(message: fmt::Arguments<'_>) -> Error {
    Error::new(Reason::TooLarge, message)
}

fn predicted_miss(drain: Duration) -> Error {
    let message = "the answer is predicted to come after the deadline; retry later or allow more time";
    Error::new(Reason::Overloaded, message).retry_after(drain)
}

fn replaced(model: &str) -> Error {
    Error::new(Reason::NotReady, format_args!("model `{model}` was loaded anew while the request was read; retry"))
        .retry_after(Duration::from_secs(1))
}

fn not_ready(model: &str) -> Error {
    Error::new(Reason::NotReady, format_args!("model `{model}` has no worker that could answer; retry later"))
        .retry_after(Duration::from_secs(1))
}
