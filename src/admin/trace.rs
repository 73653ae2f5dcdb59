//! `POST /trace`: records arrivals for a while and answers with them.
//!
//! Decides what may be asked for, and what of the models goes with the arrivals. The format of a trace, and how
//! much one keeps, is the trace room's.

use super::{Admin, refuse};
use crate::clock;
use crate::dispatch::{CostReport, CurveReport, Report};
use crate::error::{Error, Reason};
use crate::model::Model;
use crate::trace::{Coefficients, Curve, Lines, Models, Place, Point, Refused, Served};
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
use std::sync::Arc;
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
    let seconds = seconds(body)?;
    let recorder = admin.handle.recorder();
    let recording = recorder.start(seconds, clock::now(), clock::wall_now()).map_err(refused)?;
    // What is known at the end is more, but a drain may end the driver before it tells.
    let before = admin.handle.report().await;
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
        () = recorder.closed() => {}
    }
    let ended = clock::now();
    let report = admin.handle.report().await.or(before);
    let models = report.map(|report| models(&admin.registry.list(), &report));
    Ok(recording.finish(models.unwrap_or_default(), ended))
}

/// What is known of the models whose cost is.
fn models(models: &[Arc<Model>], report: &Report) -> Models {
    let served = |model: &Arc<Model>| {
        let known = report.models.get(&model.id)?;
        let devices: Vec<Place> = known.costs.iter().filter_map(|cost| place(model, cost, report)).collect();
        let served = Served { batchable: model.spec.batchable, devices };
        (!served.devices.is_empty()).then(|| (Arc::clone(&model.name), served))
    };
    models.iter().filter_map(served).collect()
}

fn place(model: &Model, cost: &CostReport, report: &Report) -> Option<Place> {
    let there = report.workers.iter().filter(|w| w.model == model.id && w.device == cost.device);
    let workers = u32::try_from(there.count()).unwrap_or(u32::MAX);
    let costs: Vec<Curve> = cost.curves.iter().map(curve).collect();
    (workers > 0 && !costs.is_empty()).then(|| Place { device: Arc::clone(&cost.device), workers, costs })
}

fn curve(learned: &CurveReport) -> Curve {
    let [base, per_token, per_squared_token] = learned.coefficients.map(|ns| ns / 1e6);
    let points = learned.points.iter().map(|p| Point {
        rows: thousandths(p.rows),
        len: thousandths(p.len),
        measured_ms: thousandths(p.measured / 1e6),
    });
    let coefficients_ms = Coefficients { base, per_token, per_squared_token, least: 0.0 };
    Curve { busy_workers: learned.busy, coefficients_ms, points: points.collect() }
}

/// As precise as what was measured, and short.
fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// How long to record, of a body such as `{"seconds": 60}`; an empty one says nothing.
fn seconds(body: &[u8]) -> Result<u64, Error> {
    if body.trim_ascii().is_empty() {
        return Ok(DEFAULT_SECONDS);
    }
    let body = serde_json::from_slice(body).map_err(|e| Error::invalid(format!("the body is not JSON: {e}")))?;
    let Value::Object(fields) = body else {
        return Err(Error::invalid("the body must be an object such as {\"seconds\": 60}"));
    };
    let (least, most) = (SECONDS.start(), SECONDS.end());
    if let Some(unknown) = fields.keys().find(|key| *key != "seconds") {
        let allowed = format!("allowed is seconds, a whole number from {least} to {most}");
        return Err(Error::invalid(format!("field {unknown:?} is not known: {allowed}")));
    }
    match fields.get("seconds") {
        None => Ok(DEFAULT_SECONDS),
        Some(given) => given.as_u64().filter(|n| SECONDS.contains(n)).ok_or_else(|| {
            Error::invalid(format!("seconds is {given}: allowed is a whole number from {least} to {most}"))
        }),
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
    fn seconds_are_given_or_sixty() {
        for (body, expected) in [("", 60), ("{}", 60), ("{\"seconds\": 1}", 1), (" {\"seconds\":3600} ", 3600)] {
            assert_eq!(seconds(body.as_bytes()).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (body, expected) in [
            ("{", "the body is not JSON: EOF"),
            ("60", "the body must be an object such as {\"seconds\": 60}"),
            ("{\"second\": 1}", "field \"second\" is not known: allowed is seconds, a whole number from 1 to 3600"),
            ("{\"seconds\": 0}", "seconds is 0: allowed is a whole number from 1 to 3600"),
            ("{\"seconds\": 3601}", "seconds is 3601: allowed"),
            ("{\"seconds\": 1.5}", "seconds is 1.5: allowed"),
            ("{\"seconds\": \"1\"}", "seconds is \"1\": allowed"),
            ("{\"seconds\": null}", "seconds is null: allowed"),
        ] {
            let message = seconds(body.as_bytes()).unwrap_err().message;
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
