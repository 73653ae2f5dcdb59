//! The monitor: a thread that looks at every GPU each period, and publishes what it saw.
//!
//! Decides when the driver is away, and how often what is away is tried again. Does not know what runs on a
//! GPU.

use super::known::{Change, Known, Tell};
use super::library::{Gpu, Gpus, Session};
use super::sample::Reader;
use super::shown::Shown;
use super::visible::{Environment, visible};
use crate::clock;
use crate::types::{Device, Time};
use nvml_wrapper::error::NvmlError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The longest stay between two tries to find what is away.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// A running monitor. Dropped, it ends by itself soon; stopped, it has ended.
#[derive(Debug)]
pub struct Monitor {
    /// Its end wakes the thread.
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Monitor {
    /// Ends the thread, and waits for it: for as long as a call of NVML takes.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the monitor of GPUs had ended by itself: this is a fault of the program");
        }
    }
}

impl Gpus {
    /// Starts the monitor: it looks every `period`, and calls `tell` from its thread at each change of a
    /// device that CUDA sees.
    ///
    /// # Errors
    /// The operating system's, when it gives no thread.
    pub fn watch(
        self,
        period: Duration,
        tell: impl FnMut(Device, Change) + Send + 'static,
    ) -> io::Result<(Monitor, Shown)> {
        let shown = Shown::default();
        let mut watch = Watch::new(self, period, Box::new(tell), shown.clone());
        let (stop, stopped) = mpsc::channel();
        let run = move || {
            loop {
                watch.look();
                if stopped.recv_timeout(period) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("nvml".to_owned()).spawn(run)?;
        Ok((Monitor { stop, thread }, shown))
    }
}

/// What the thread knows.
struct Watch {
    path: PathBuf,
    environment: Environment,
    /// `None` while the driver is away.
    session: Option<Session>,
    /// Every GPU that was ever listed. CUDA numbers them once in the life of a process: the first list counts.
    known: Vec<Known>,
    numbered: bool,
    reader: Reader,
    period: Duration,
    retry: Retry,
    tell: Tell,
    shown: Shown,
}

impl Watch {
    fn new(gpus: Gpus, period: Duration, tell: Tell, shown: Shown) -> Self {
        let Gpus { path, session, environment } = gpus;
        let (reader, retry) = (Reader::default(), Retry::new(period));
        let (known, numbered) = (Vec::new(), false);
        let mut watch = Self { path, environment, session: None, known, numbered, reader, period, retry, tell, shown };
        if let Some(session) = session {
            watch.begin(session);
        }
        watch.publish();
        watch
    }

    /// One look at everything.
    fn look(&mut self) {
        let now = clock::now();
        if self.misses_any() && self.retry.is_due(now) {
            self.reopen();
        }
        if let Some(session) = &self.session {
            let looks = self.known.iter_mut().try_for_each(|k| k.look(session, &mut self.reader, &mut self.tell));
            if let Err(error) = looks {
                self.driver_away(&error);
            }
        }
        if !self.misses_any() {
            self.retry.rest(now);
        }
        self.publish();
    }

    fn misses_any(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.misses_some) || self.known.iter().any(Known::is_missing)
    }

    /// Starts NVML anew: what a session lost it does not find again.
    fn reopen(&mut self) {
        let was_away = self.session.take().is_none();
        match Session::open(&self.path) {
            Ok(session) => {
                if was_away {
                    tracing::info!(driver = session.driver, "NVML answers again");
                }
                self.begin(session);
            }
            Err(_) if was_away => {}
            Err(error) => self.driver_away(&error),
        }
    }

    /// Takes up a session: finds the known GPUs in it, and gets to know the others.
    fn begin(&mut self, session: Session) {
        let driver: Option<Arc<str>> = session.driver.as_deref().map(Arc::from);
        for known in &mut self.known {
            known.place = session.gpus.iter().find(|gpu| gpu.uuid == known.now.gpu.uuid).map(|gpu| gpu.index);
            known.now.driver.clone_from(&driver);
        }
        let is_known = |gpu: &Gpu, all: &[Known]| all.iter().any(|known| known.now.gpu.uuid == gpu.uuid);
        for gpu in &session.gpus {
            if !is_known(gpu, &self.known) {
                self.known.push(Known::new(gpu, driver.clone()));
            }
        }
        if !std::mem::replace(&mut self.numbered, true) {
            self.number(&session.gpus);
        }
        self.session = Some(session);
    }

    /// Takes note of which GPU is which of CUDA's devices.
    fn number(&mut self, gpus: &[Gpu]) {
        let visible = visible(gpus, &self.environment);
        if let Some(warning) = visible.warning {
            tracing::warn!("GPUs cannot be told apart: {warning}");
        }
        for (number, seen) in (0..).zip(visible.seen) {
            let gpu = &gpus[seen.gpu];
            // Of those under one UUID only the first is known.
            let Some(known) = self.known.iter_mut().find(|known| known.now.gpu.index == gpu.index) else {
                tracing::warn!(gpu = gpu.index, uuid = gpu.uuid, "NVML lists a GPU twice: only the first is watched");
                continue;
            };
            known.now.device = Some(Device::Cuda(number));
            known.instance = seen.instance.map(|at| gpu.instances[at].index);
        }
    }

    /// Nothing is known any more, until NVML starts again. What runs goes on for all that is known: a
    /// driver that was replaced serves those that hold it.
    fn driver_away(&mut self, error: &NvmlError) {
        tracing::warn!("NVML lost its driver, nothing is known of GPUs until it is back: {error}");
        self.session = None;
        for known in &mut self.known {
            known.forget(&mut self.tell);
        }
    }

    fn publish(&self) {
        let gpus = self.known.iter().map(|known| known.now.clone()).collect();
        self.shown.show(gpus, clock::now() + self.period);
    }
}

/// When to try again: after a period, then twice as long each time.
#[derive(Debug)]
struct Retry {
    period: Duration,
    wait: Duration,
    due: Time,
}

impl Retry {
    fn new(period: Duration) -> Self {
        Self { period, wait: period, due: Time(0) }
    }

    /// Nothing is away: the first try comes a period after something is.
    fn rest(&mut self, now: Time) {
        (self.wait, self.due) = (self.period, now + self.period);
    }

    fn is_due(&mut self, now: Time) -> bool {
        let due = now >= self.due;
        if due {
            self.due = now + self.wait;
            self.wait = (self.wait * 2).min(LONGEST_RETRY.max(self.period));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_ever_more_seldom_until_all_is_there() {
        let mut retry = Retry::new(Duration::from_secs(1));
        let tries = |retry: &mut Retry, from: u64| {
            (from..from + 300)
                .filter(|s| retry.is_due(Time::from_millis(s * 1000)))
                .map(|s| s - from)
                .collect::<Vec<_>>()
        };
        let expected: Vec<u64> = vec![0, 1, 3, 7, 15, 31, 63, 123, 183, 243];
        assert_eq!(tries(&mut retry, 0), expected);
        retry.rest(Time::from_millis(1_000_000));
        assert_eq!(tries(&mut retry, 1_001)[..3], expected[..3]);
    }
}
