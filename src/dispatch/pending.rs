//! A request the driver keeps until its last item is answered.

use super::Arriving;
use super::decisions::Member;
use crate::error::Error;
use crate::request::{Answer, BatchSummary, InferReply, InferRequest, Payload, Timing};
use crate::sched::Item;
use crate::types::{ShapeClass, Time};
use prometheus::IntGauge;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// One request between arrival and answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) request: Arc<InferRequest>,
    /// When it was decoded, and when the scheduler was told of it.
    pub(super) decoded: Time,
    pub(super) arrived: Time,
    /// Set when an item of it failed alone: what the model said.
    pub(super) failure: Option<String>,
    /// For log lines about it.
    pub(super) span: tracing::Span,
    /// What its policy aims at.
    pub(super) target: Option<Duration>,
    places: Vec<Place>,
    open: usize,
    batches: u32,
    /// Rows not yet dispatched, and the gauge that counts them.
    waiting: i64,
    gauge: IntGauge,
    reply: oneshot::Sender<Result<InferReply, Error>>,
}

/// Where one of its items is.
#[derive(Debug)]
enum Place {
    Waiting,
    Dispatched,
    Answered(Answer),
}

impl Pending {
    pub(super) fn new(arriving: Arriving, arrived: Time, target: Option<Duration>, gauge: IntGauge) -> Self {
        let Arriving { request, decoded, span, reply, .. } = arriving;
        let open = request.items.len();
        let waiting = request.items.iter().map(|p| i64::from(rows(p))).sum();
        gauge.add(waiting);
        let places = std::iter::repeat_with(|| Place::Waiting).take(open).collect();
        Self { request, decoded, arrived, failure: None, span, target, places, open, batches: 0, waiting, gauge, reply }
    }

    /// Takes note that one of its items left the queue; a second time, as after a failure, counts no more.
    pub(super) fn dispatched(&mut self, index: usize) {
        if let (Some(place @ Place::Waiting), Some(payload)) =
            (self.places.get_mut(index), self.request.items.get(index))
        {
            *place = Place::Dispatched;
            let rows = i64::from(rows(payload));
            self.waiting -= rows;
            self.gauge.sub(rows);
        }
    }

    /// Whether a row of it was not yet dispatched.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// The rows of one of its items.
    pub(super) fn rows(&self, index: usize) -> u32 {
        self.request.items.get(index).map_or(0, rows)
    }

    /// One of its items, for the record.
    pub(super) fn member(&self, index: usize) -> Option<Member> {
        let payload = self.request.items.get(index)?;
        let (request, tenant) = (Arc::clone(&self.request.id), Arc::clone(&self.request.tenant));
        Some(Member { request, tenant, len: len(payload), rows: rows(payload) })
    }

    /// Takes note of a batch that answered some of its items.
    pub(super) fn ran_in(&mut self) {
        self.batches += 1;
    }

    /// Keeps an answer; true once none is missing.
    pub(super) fn answer(&mut self, index: usize, answer: Answer) -> bool {
        if let Some(place @ (Place::Waiting | Place::Dispatched)) = self.places.get_mut(index) {
            *place = Place::Answered(answer);
            self.open -= 1;
        }
        self.open == 0
    }

    /// Answers the caller, if it is still there.
    pub(super) fn succeed(mut self, timing: Timing, batch: &BatchSummary) {
        let answers = std::mem::take(&mut self.places).into_iter().filter_map(|place| match place {
            Place::Answered(answer) => Some(answer),
            Place::Waiting | Place::Dispatched => None,
        });
        let answers = answers.collect();
        let batch = BatchSummary { batches: self.batches, ..batch.clone() };
        self.finish(Ok(InferReply { answers, timing, batch }));
    }

    /// Refuses the caller, if it is still there.
    pub(super) fn fail(self, error: Error) {
        self.finish(Err(error));
    }

    /// Forgets the caller.
    pub(super) fn forget(self) {
        self.gauge.sub(self.waiting);
    }

    fn finish(self, result: Result<InferReply, Error>) {
        self.gauge.sub(self.waiting);
        // A caller that went away is told nothing.
        drop(self.reply.send(result));
    }
}

/// What the scheduler must know of a payload.
pub(super) fn item(payload: &Payload, class_of: impl Fn(u32) -> ShapeClass) -> Item {
    let bytes = u32::try_from(payload.bytes()).unwrap_or(u32::MAX);
    match payload {
        Payload::Tokens(_) => Item { rows: 1, len: len(payload), bytes, class: class_of(len(payload)) },
        Payload::Tensors(tensors) => Item { rows: tensors.rows, len: tensors.len, bytes, class: tensors.class },
    }
}

fn len(payload: &Payload) -> u32 {
    match payload {
        Payload::Tokens(tokens) => u32::try_from(tokens.ids.len()).unwrap_or(u32::MAX),
        Payload::Tensors(tensors) => tensors.len,
    }
}

fn rows(payload: &Payload) -> u32 {
    match payload {
        Payload::Tokens(_) => 1,
        Payload::Tensors(tensors) => tensors.rows,
    }
}
