//! Recordings under way: bounded in number and in the bytes they keep.

use super::chunks::{Allowance, Chunks, Part};
use super::meter::{Answered, Meter, Ran};
use super::tape::{Tape, line};
use super::{Arrival, Footer, Header, Load, Models, VERSION};
use crate::types::{Time, locked};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tokio::sync::watch;

/// Most recordings at a time, but for the one into files.
const MOST_RECORDINGS: usize = 4;
/// Most bytes that all of them keep together.
const MOST_BYTES: usize = 64 << 20;
/// Most bytes that wait for the file they go to.
const MOST_UNWRITTEN: usize = 8 << 20;

/// Hands every arrival to the recordings under way. One atomic load where there is none.
#[derive(Debug)]
pub struct Recorder {
    /// Recordings that still take arrivals.
    taking: AtomicUsize,
    tapes: Mutex<Tapes>,
    allowance: Arc<Allowance>,
    closed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Tapes {
    /// Those that were asked for, and end.
    asked: Vec<Arc<Tape>>,
    /// The one that goes into files for as long as the program runs.
    filed: Option<Arc<Tape>>,
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
    load: Option<Load>,
}

impl Recorder {
    /// Builds one whose recordings keep so many bytes together.
    pub(super) fn keeping(bytes: usize) -> Self {
        let (taking, closed) = (AtomicUsize::new(0), watch::Sender::new(false));
        Self { taking, tapes: Mutex::default(), allowance: Arc::new(Allowance::of(bytes)), closed }
    }

    /// Begins a recording that is to last `seconds` from `now`, which is the date `started_at`. Who knows
    /// whether its callers wait for answers says so with `load`; else it is told from what comes and goes.
    ///
    /// # Errors
    /// When there are too many, or the recorder was closed.
    pub fn start(
        self: &Arc<Self>,
        seconds: u64,
        load: Option<Load>,
        now: Time,
        started_at: SystemTime,
    ) -> Result<Recording, Refused> {
        let mut tapes = locked(&self.tapes);
        if *self.closed.borrow() {
            return Err(Refused::Closed);
        }
        if tapes.asked.len() >= MOST_RECORDINGS || self.allowance.is_used_up() {
            return Err(Refused::Full(tapes.asked.iter().map(|tape| tape.ends()).min().unwrap_or(now)));
        }
        let header = Header { trace: VERSION, started_at, seconds, models: Models::new() };
        let tape = Arc::new(Tape::new(header, now, Chunks::new(Arc::clone(&self.allowance)), None));
        tapes.asked.push(Arc::clone(&tape));
        self.taking.fetch_add(1, Ordering::Relaxed);
        Ok(Recording { recorder: Arc::clone(self), tape, load })
    }

    /// Begins the recording that goes into files of about `max_bytes` each, one tape a file.
    pub(super) fn file(&self, max_bytes: u64, now: Time, started_at: SystemTime) -> Arc<Tape> {
        let header = Header { trace: VERSION, started_at, seconds: 0, models: Models::new() };
        let lines = Chunks::new(Arc::new(Allowance::of(MOST_UNWRITTEN)));
        let tape = Arc::new(Tape::new(header, now, lines, Some(max_bytes)));
        locked(&self.tapes).filed = Some(Arc::clone(&tape));
        self.taking.fetch_add(1, Ordering::Relaxed);
        tape
    }

    /// Ends the recording that goes into files.
    pub(super) fn end_file(&self) {
        if let Some(tape) = locked(&self.tapes).filed.take() {
            tape.end();
            self.taking.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Takes an arrival at `now` that finds `inside` others without an answer; made only if anybody records. Its own time is set here.
    pub fn record(&self, now: Time, inside: usize, arrival: impl FnOnce() -> Arrival) {
        if self.is_idle() {
            return;
        }
        let mut arrival = arrival();
        let mut tapes = locked(&self.tapes);
        tapes.asked.iter().for_each(|tape| drop(tape.take(now, inside, &mut arrival)));
        let next = tapes.filed.as_ref().and_then(|tape| tape.take(now, inside, &mut arrival));
        tapes.filed = next.or(tapes.filed.take());
    }

    /// Takes note that answers leave together at `now`: how many requests have none before and after.
    pub fn leave(&self, now: Time, before: usize, after: usize) {
        self.measure(Time::default(), |meter| meter.flow.answered(now, before as u64, after as u64));
    }

    /// Takes note of a request that was answered.
    pub fn answered(&self, answered: &Answered<'_>) {
        self.measure(answered.arrived, |meter| meter.answered(answered));
    }

    /// Takes note of a request, arrived at that time, that was refused or failed.
    pub fn refused(&self, model: &Arc<str>, arrived: Time) {
        self.measure(arrived, |meter| meter.refused(model));
    }

    /// Takes note of a batch that ended well.
    pub fn ran(&self, ran: &Ran<'_>) {
        self.measure(ran.started, |meter| meter.ran(ran));
    }

    /// Measures something that began at a time, on the tapes that ran by then.
    fn measure(&self, began: Time, mut what: impl FnMut(&mut Meter)) {
        if self.is_idle() {
            return;
        }
        let tapes = locked(&self.tapes);
        tapes.asked.iter().chain(&tapes.filed).for_each(|tape| tape.measure(began, &mut what));
    }

    /// Whether nobody records.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.taking.load(Ordering::Relaxed) == 0
    }

    /// Ends every recording that was asked for with what it has, and lets none begin.
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

    /// Whether a recording that was asked for is under way or still being read.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        !locked(&self.tapes).asked.is_empty()
    }
}

impl Recording {
    /// Ends the recording and answers its lines, which tell of these models.
    #[must_use]
    pub fn finish(self, mut models: Models, now: Time) -> Lines {
        self.end();
        let (footer, header) = self.tape.summary(&mut models, now);
        let footer = Footer { load: self.load.unwrap_or(footer.load), ..footer };
        let header = Header { models, ..header };
        Lines { header: Some(line(&header)), footer: Some(line(&footer)), recording: self }
    }

    fn end(&self) {
        if self.tape.end() {
            self.recorder.taking.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.end();
        locked(&self.recorder.tapes).asked.retain(|tape| !Arc::ptr_eq(tape, &self.tape));
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
        let taken = || self.recording.tape.pop().map(|Part { bytes, .. }| bytes);
        self.header.take().or_else(taken).or_else(|| self.footer.take())
    }
}
