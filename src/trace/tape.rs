//! One recording while it takes arrivals: their lines, and what is measured beside them.

use super::chunks::{Chunks, Part};
use super::meter::Meter;
use super::{Arrival, Footer, Header, Models};
use crate::types::{Time, locked};
use serde::Serialize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Lines of arrivals, and what goes around them.
#[derive(Debug)]
pub(super) struct Tape {
    header: Header,
    started: Time,
    /// Bytes of lines after which another tape goes on; `None`: it stops where no more may be kept.
    max_bytes: Option<u64>,
    taken: Mutex<Taken>,
}

/// What a tape keeps: lines, because they are smaller than what they are made of.
#[derive(Debug)]
struct Taken {
    lines: Chunks,
    bytes: u64,
    arrivals: u64,
    rows: u64,
    dropped: u64,
    meter: Meter,
    ended: bool,
    /// The tape that goes on where this one ended.
    next: Option<Arc<Tape>>,
}

impl Tape {
    pub(super) fn new(header: Header, started: Time, lines: Chunks, max_bytes: Option<u64>) -> Self {
        let meter = Meter::new(started);
        let (bytes, arrivals, rows, dropped, ended, next) = Default::default();
        let taken = Mutex::new(Taken { lines, bytes, arrivals, rows, dropped, meter, ended, next });
        Self { header, started, max_bytes, taken }
    }

    /// When it is to end.
    pub(super) fn ends(&self) -> Time {
        self.started + Duration::from_secs(self.header.seconds)
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Takes an arrival; answers the tape that goes on, where this one is full.
    pub(super) fn take(&self, now: Time, inside: usize, arrival: &mut Arrival) -> Option<Arc<Tape>> {
        let mut taken = locked(&self.taken);
        let is_stopped = self.max_bytes.is_none() && taken.dropped > 0;
        if taken.ended || is_stopped {
            return None;
        }
        taken.meter.flow.arrived(now, inside as u64);
        arrival.at_us = now.micros_since(self.started);
        let (line, rows) = (line(arrival), arrival.rows());
        if !taken.lines.push(&line, rows) {
            taken.dropped += 1;
            return None;
        }
        taken.bytes += line.len() as u64;
        taken.arrivals += 1;
        taken.rows = taken.rows.saturating_add(rows);
        let max_bytes = self.max_bytes.filter(|max| taken.bytes >= *max)?;
        let started_at = self.header.started_at + now.since(self.started);
        let next = Tape::new(Header { started_at, ..self.header.clone() }, now, taken.lines.another(), Some(max_bytes));
        taken.ended = true;
        taken.next = Some(Arc::new(next));
        taken.next.clone()
    }

    /// Measures something that began at a time, if this tape ran by then.
    pub(super) fn measure(&self, began: Time, what: impl FnOnce(&mut Meter)) {
        let mut taken = locked(&self.taken);
        if !taken.ended && (began == Time::default() || began >= self.started) {
            what(&mut taken.meter);
        }
    }

    /// Takes nothing more; whether it did until now.
    pub(super) fn end(&self) -> bool {
        !std::mem::replace(&mut locked(&self.taken).ended, true)
    }

    /// The tape that goes on, once this one is full: then nothing more is added to it.
    pub(super) fn next(&self) -> Option<Arc<Tape>> {
        locked(&self.taken).next.clone()
    }

    /// The next lines.
    pub(super) fn pop(&self) -> Option<Part> {
        locked(&self.taken).lines.pop()
    }

    /// What goes after its lines, and before; adds what was measured to the models they are about.
    pub(super) fn summary(&self, models: &mut Models, now: Time) -> (Footer, Header) {
        let taken = locked(&self.taken);
        let now = taken.next.as_ref().map_or(now, |next| next.started);
        taken.meter.add_to(models, self.started, now.since(self.started));
        let footer = Footer {
            arrivals: taken.arrivals,
            rows: taken.rows,
            duration_us: now.micros_since(self.started),
            truncated: self.max_bytes.is_none() && taken.dropped > 0,
            dropped: if self.max_bytes.is_some() { taken.dropped } else { 0 },
            load: taken.meter.load(),
            measured: taken.meter.measured(),
            models: Models::new(),
        };
        (footer, self.header.clone())
    }
}

pub(super) fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = Vec::new();
    // Writing numbers and strings to memory does not fail.
    drop(serde_json::to_writer(&mut line, value));
    line.push(b'\n');
    line
}
