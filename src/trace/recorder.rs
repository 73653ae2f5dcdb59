//! Recordings under way: bounded in number and in the bytes they keep.

use super::chunks::{Allowance, Chunks};
use super::{Arrival, Footer, Header, Models, VERSION};
use crate::types::{Time, locked};
use serde::Serialize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// Most recordings at a time.
const MOST_RECORDINGS: usize = 4;
/// Most bytes that all of them keep together.
const MOST_BYTES: usize = 64 << 20;

/// Hands every arrival to the recordings under way. One atomic load where there is none.
#[derive(Debug)]
pub struct Recorder {
    /// Recordings that still take arrivals.
    taking: AtomicUsize,
    tapes: Mutex<Vec<Arc<Tape>>>,
    allowance: Arc<Allowance>,
    closed: watch::Sender<bool>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::keeping(MOST_BYTES)
    }
}

/// Why a recording does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Those under way are as many, or keep as much, as may be; the first of them ends at this time.
    Full(Time),
    /// Nothing arrives any more.
    Closed,
}

/// One recording; gives its place up when it is dropped.
#[derive(Debug)]
pub struct Recording {
    recorder: Arc<Recorder>,
    tape: Arc<Tape>,
}

#[derive(Debug)]
struct Tape {
    header: Header,
    started: Time,
    ends: Time,
    taken: Mutex<Taken>,
}

/// What a recording keeps: lines, because they are smaller than what they are made of.
#[derive(Debug)]
struct Taken {
    lines: Chunks,
    arrivals: u64,
    rows: u64,
    truncated: bool,
    /// Whether it takes nothing more.
    ended: bool,
}

impl Recorder {
    /// Builds one whose recordings keep so many bytes together.
    pub(super) fn keeping(bytes: usize) -> Self {
        let (taking, closed) = (AtomicUsize::new(0), watch::Sender::new(false));
        Self { taking, tapes: Mutex::default(), allowance: Arc::new(Allowance::of(bytes)), closed }
    }

    /// Begins a recording that is to last `seconds` from `now`, which is the date `started_at`.
    ///
    /// # Errors
    /// When there are too many, or the recorder was closed.
    pub fn start(self: &Arc<Self>, seconds: u64, now: Time, started_at: SystemTime) -> Result<Recording, Refused> {
        let mut tapes = locked(&self.tapes);
        if *self.closed.borrow() {
            return Err(Refused::Closed);
        }
        if tapes.len() >= MOST_RECORDINGS || self.allowance.is_used_up() {
            return Err(Refused::Full(tapes.iter().map(|tape| tape.ends).min().unwrap_or(now)));
        }
        let header = Header { trace: VERSION, started_at, seconds, models: Models::new() };
        let ends = now + Duration::from_secs(seconds);
        let lines = Chunks::new(Arc::clone(&self.allowance));
        let taken = Mutex::new(Taken { lines, arrivals: 0, rows: 0, truncated: false, ended: false });
        let tape = Arc::new(Tape { header, started: now, ends, taken });
        tapes.push(Arc::clone(&tape));
        self.taking.fetch_add(1, Ordering::Relaxed);
        Ok(Recording { recorder: Arc::clone(self), tape })
    }

    /// Takes an arrival at `now`, made only if anybody records; its own time is set here.
    pub fn record(&self, now: Time, arrival: impl FnOnce() -> Arrival) {
        if self.taking.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut arrival = arrival();
        for tape in &*locked(&self.tapes) {
            tape.take(now, &mut arrival);
        }
    }

    /// Ends every recording with what it has, and lets none begin.
    pub fn close(&self) {
        // In the same lock in which a recording looks before it begins.
        let _tapes = locked(&self.tapes);
        self.closed.send_replace(true);
    }

    /// Completes once the recorder is closed. Cancel safe.
    pub async fn closed(&self) {
        // The sender is this recorder's own: it outlives the wait.
        drop(self.closed.subscribe().wait_for(|closed| *closed).await);
    }

    /// Whether a recording is under way or still being read.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        !locked(&self.tapes).is_empty()
    }
}

impl Recording {
    /// Ends the recording and answers its lines, which tell of these models.
    #[must_use]
    pub fn finish(self, models: Models, now: Time) -> Lines {
        self.end();
        let taken = locked(&self.tape.taken);
        let footer = Footer {
            arrivals: taken.arrivals,
            rows: taken.rows,
            duration_us: now.micros_since(self.tape.started),
            truncated: taken.truncated,
        };
        drop(taken);
        let header = Header { models, ..self.tape.header.clone() };
        Lines { header: Some(line(&header)), footer: Some(line(&footer)), recording: self }
    }

    fn end(&self) {
        if !std::mem::replace(&mut locked(&self.tape.taken).ended, true) {
            self.recorder.taking.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.end();
        locked(&self.recorder.tapes).retain(|tape| !Arc::ptr_eq(tape, &self.tape));
    }
}

impl Tape {
    fn take(&self, now: Time, arrival: &mut Arrival) {
        let mut taken = locked(&self.taken);
        if taken.ended || taken.truncated {
            return;
        }
        arrival.at_us = now.micros_since(self.started);
        if taken.lines.push(&line(arrival)) {
            taken.arrivals += 1;
            taken.rows += arrival.rows();
        } else {
            taken.truncated = true;
        }
    }
}

/// The lines of a recording in parts of whole lines, its place kept until they are dropped.
#[derive(Debug)]
pub struct Lines {
    header: Option<Vec<u8>>,
    footer: Option<Vec<u8>>,
    recording: Recording,
}

impl Iterator for Lines {
    type Item = Vec<u8>;

    /// The next part; what was handed out is no longer kept here.
    fn next(&mut self) -> Option<Vec<u8>> {
        let taken = || locked(&self.recording.tape.taken).lines.pop();
        self.header.take().or_else(taken).or_else(|| self.footer.take())
    }
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = Vec::new();
    // Writing numbers and strings to memory does not fail.
    drop(serde_json::to_writer(&mut line, value));
    line.push(b'\n');
    line
}
