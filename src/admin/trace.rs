//! `POST /trace`: records arrivals for a while and answers with them.
//!
//! Decides what may be asked for. The format of a trace, and how
//! much one keeps, is the trace room's.

use super::{Admin, refuse};
use crate::clock;
use crate::dispatch::recorded_models;
use crate::error::{Error, Reason};
use crate::trace::{Lines, Load, Refused};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header;
use http_body::Frame;
use serde_json::Value;
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Seconds that a recording may last, and how long it lasts when nothing is said.
const SECONDS: RangeInclusive<u64> = 1..=3600;
const DEFAULT_SECONDS: u64 = 60;

/// Answers with the trace once its time is over, or once a drain begins. Its place is given up when
/// the answer is read, or the client goes away.
pub(super) async fn record(State(admin): State<Admin>, body: Bytes) -> Response {
    match recorded(&admin, &body).await {
        Ok(lines) => ([(header::CONTENT_TYPE, "application/jsonl")], Body::new(Parts(lines))).into_response(),
        Err(error) => refuse(&error),
    }
}

async fn recorded(admin: &Admin, body: &[u8]) -> Result<Lines, Error> {
    let Wanted { seconds, load } = Wanted::read(body)?;
    let recorder = admin.handle.recorder();
    let recording = recorder.start(seconds, load, clock::now(), clock::wall_now()).map_err(refused)?;
    // What is known at the end is more, but a drain may end the driver before it tells.
    let before = admin.handle.report().await;
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
        () = recorder.closed() => {}
    }
    let ended = clock::now();
    let report = admin.handle.report().await.or(before);
    let models = report.map(|report| recorded_models(&admin.registry.list(), &report));
    Ok(recording.finish(models.unwrap_or_default(), ended))
}

/// What is to be recorded, of a body such as `{"seconds": 60, "load": "open"}`; an empty one says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    seconds: u64,
    load: Option<Load>,
}

impl Wanted {
    fn read(body: &[u8]) -> Result<Self, Error> {
        let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
        let body = serde_json::from_slice(body).map_err(|e| Error::invalid(format!("the body is not JSON: {e}")))?;
        let Value::Object(fields) = body else {
            return Err(Error::invalid("the body must be an object such as {\"seconds\": 60}"));
        };
        let (least, most) = (SECONDS.start(), SECONDS.end());
        if let Some(unknown) = fields.keys().find(|key| !["seconds", "load"].contains(&key.as_str())) {
            let allowed =
                format!("allowed are seconds, a whole number from {least} to {most}, and load, \"open\" or \"closed\"");
            return Err(Error::invalid(format!("field {unknown:?} is not known: {allowed}")));
        }
        let seconds = fields.get("seconds").map_or(Ok(DEFAULT_SECONDS), |given| {
            given.as_u64().filter(|n| SECONDS.contains(n)).ok_or_else(|| {
                Error::invalid(format!("seconds is {given}: allowed is a whole number from {least} to {most}"))
            })
        })?;
        let load = fields.get("load").map(|given| match given.as_str() {
            Some("open") => Ok(Load::Open),
            Some("closed") => Ok(Load::Closed),
            _ => Err(Error::invalid(format!("load is {given}: allowed are \"open\" and \"closed\""))),
        });
        Ok(Self { seconds, load: load.transpose()? })
    }
}

fn refused(why: Refused) -> Error {
    match why {
        Refused::Full(ends) => Error::new(Reason::Overloaded, "too many recordings are under way; retry later")
            .retry_after(ends.since(clock::now())),
        Refused::Closed => Error::new(Reason::Draining, "the server is shutting down: nothing arrives any more")
            .retry_after(Duration::from_secs(1)),
    }
}

/// A body of lines, given up as they are sent.
struct Parts(Lines);

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|part| Ok(Frame::data(part.into()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_given_or_sixty_and_the_load_where_it_is_known() {
        let (open, closed) = (Some(Load::Open), Some(Load::Closed));
        for (body, seconds, load) in [
            ("", 60, None),
            ("{}", 60, None),
            ("{\"seconds\": 1}", 1, None),
            (" {\"seconds\":3600,\"load\":\"open\"} ", 3600, open),
            ("{\"load\":\"closed\"}", 60, closed),
        ] {
            assert_eq!(Wanted::read(body.as_bytes()).unwrap(), Wanted { seconds, load }, "{body}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (body, expected) in [
            ("{", "the body is not JSON: EOF"),
            ("60", "the body must be an object such as {\"seconds\": 60}"),
            (
                "{\"second\": 1}",
                "field \"second\" is not known: allowed are seconds, a whole number from 1 to 3600, and load",
            ),
            ("{\"load\": \"half\"}", "load is \"half\": allowed are \"open\" and \"closed\""),
            ("{\"seconds\": 0}", "seconds is 0: allowed is a whole number from 1 to 3600"),
            ("{\"seconds\": 3601}", "seconds is 3601: allowed"),
            ("{\"seconds\": 1.5}", "seconds is 1.5: allowed"),
            ("{\"seconds\": \"1\"}", "seconds is \"1\": allowed"),
            ("{\"seconds\": null}", "seconds is null: allowed"),
        ] {
            let message = Wanted::read(body.as_bytes()).unwrap_err().message;
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
