//! Recordings under way: bounded in number and in what each keeps.

use super::{Arrival, Footer, Header, VERSION};
use crate::types::Time;
use serde::Serialize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// Most recordings at a time.
const MOST_RECORDINGS: usize = 4;
/// Most arrivals of a recording, and most runs of items of all of them.
const MOST_ARRIVALS: usize = 1_000_000;
const MOST_RUNS: usize = 2_000_000;

/// Hands every arrival to the recordings under way. One atomic load where there is none.
#[derive(Debug)]
pub struct Recorder {
    /// Recordings that still take arrivals.
    taking: AtomicUsize,
    tapes: Mutex<Vec<Arc<Tape>>>,
    closed: watch::Sender<bool>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { taking: AtomicUsize::new(0), tapes: Mutex::default(), closed: watch::Sender::new(false) }
    }
}

/// Why a recording does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// As many as may be are under way; the first of them ends at this time.
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

/// What a recording keeps.
#[derive(Debug, Default)]
struct Taken {
    arrivals: Vec<Arrival>,
    runs: usize,
    rows: u64,
    truncated: bool,
    /// Set once it takes nothing more.
    ended: Option<Time>,
}

impl Recorder {
    /// Begins a recording that is to last `seconds` from `now`, which is the date `started_at`.
    ///
    /// # Errors
    /// When there are too many, or the recorder was closed.
    pub fn start(self: &Arc<Self>, seconds: u64, now: Time, started_at: SystemTime) -> Result<Recording, Refused> {
        let mut tapes = lock(&self.tapes);
        if *self.closed.borrow() {
            return Err(Refused::Closed);
        }
        if tapes.len() >= MOST_RECORDINGS {
            return Err(Refused::Full(tapes.iter().map(|tape| tape.ends).min().unwrap_or(now)));
        }
        let header = Header { trace: VERSION, started_at, seconds };
        let ends = now + Duration::from_secs(seconds);
        let tape = Arc::new(Tape { header, started: now, ends, taken: Mutex::default() });
        tapes.push(Arc::clone(&tape));
        self.taking.fetch_add(1, Ordering::Relaxed);
        Ok(Recording { recorder: Arc::clone(self), tape })
    }

    /// Takes an arrival at `now`, made only if anybody records; its own time is set here.
    pub fn record(&self, now: Time, arrival: impl FnOnce() -> Arrival) {
        if self.taking.load(Ordering::Relaxed) == 0 {
            return;
        }
        let arrival = arrival();
        for tape in &*lock(&self.tapes) {
            tape.take(now, &arrival);
        }
    }

    /// Ends every recording with what it has, and lets none begin.
    pub fn close(&self) {
        // In the same lock in which a recording looks before it begins.
        let _tapes = lock(&self.tapes);
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
        !lock(&self.tapes).is_empty()
    }
}

impl Recording {
    /// Ends the recording and answers its lines.
    #[must_use]
    pub fn finish(self, now: Time) -> Lines {
        let mut taken = lock(&self.tape.taken);
        let arrivals = std::mem::take(&mut taken.arrivals);
        let footer = Footer {
            arrivals: arrivals.len() as u64,
            rows: taken.rows,
            duration_us: micros(now.since(self.tape.started)),
            truncated: taken.truncated,
        };
        drop(taken);
        self.end(now);
        let header = Some(self.tape.header.clone());
        Lines { header, arrivals: arrivals.into_iter(), footer: Some(footer), _recording: self }
    }

    fn end(&self, now: Time) {
        if lock(&self.tape.taken).ended.replace(now).is_none() {
            self.recorder.taking.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.end(self.tape.ends);
        lock(&self.recorder.tapes).retain(|tape| !Arc::ptr_eq(tape, &self.tape));
    }
}

impl Tape {
    fn take(&self, now: Time, arrival: &Arrival) {
        let mut taken = lock(&self.taken);
        if taken.ended.is_some() || taken.truncated {
            return;
        }
        let runs = taken.runs + arrival.items.len();
        taken.truncated = taken.arrivals.len() >= MOST_ARRIVALS || runs > MOST_RUNS;
        if !taken.truncated {
            taken.runs = runs;
            taken.rows += arrival.rows();
            taken.arrivals.push(Arrival { at_us: micros(now.since(self.started)), ..arrival.clone() });
        }
    }
}

/// The lines of a recording, its place kept until they are dropped.
#[derive(Debug)]
pub struct Lines {
    header: Option<Header>,
    arrivals: std::vec::IntoIter<Arrival>,
    footer: Option<Footer>,
    _recording: Recording,
}

impl Lines {
    /// Writes the next lines, whole ones, until `into` holds `bytes`; false when there was none left.
    pub fn write(&mut self, into: &mut Vec<u8>, bytes: usize) -> bool {
        let before = into.len();
        if let Some(header) = self.header.take() {
            line(&header, into);
        }
        while into.len() < bytes {
            let Some(arrival) = self.arrivals.next() else {
                if let Some(footer) = self.footer.take() {
                    line(&footer, into);
                }
                break;
            };
            line(&arrival, into);
        }
        into.len() > before
    }
}

fn line(value: &impl Serialize, into: &mut Vec<u8>) {
    // Writing numbers and strings to memory does not fail.
    drop(serde_json::to_writer(&mut *into, value));
    into.push(b'\n');
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
