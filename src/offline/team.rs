//! The bare sessions of one layout, and batches run by all of them at once.
//!
//! Decides that each session takes the next batch as soon as it is done with one: nothing but ONNX Runtime takes time
//! here. Draws no conclusions.

use super::rows::Batches;
use super::stage::Crew;
use super::{Error, Layout, Source};
use crate::clock;
use crate::exec::{Failure, OnnxBackend, Prepared, SessionSettings};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Sessions that share batches.
#[derive(Debug)]
pub(super) struct Team {
    sessions: Vec<OnnxBackend>,
}

impl Crew for Team {
    fn start(source: &Source, layout: Layout) -> Result<Self, Error> {
        let settings = SessionSettings { spin: layout.spin, ..SessionSettings::cpu(layout.threads) };
        let session = |_| OnnxBackend::new(&source.file, &source.model.spec, &settings);
        Ok(Self { sessions: (0..layout.instances).map(session).collect::<Result<_, _>>()? })
    }

    fn pass(&mut self, batches: &Batches, rounds: usize) -> Result<Duration, Error> {
        let (next, batches) = (AtomicUsize::new(0), &batches.ready);
        let most = batches.len().saturating_mul(rounds);
        let work = |session: &mut OnnxBackend| {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= most {
                    return Ok(());
                }
                // One that fails ends the pass for all.
                batches[at % batches.len()].run(session).inspect_err(|_| next.store(most, Ordering::Relaxed))?;
            }
        };
        let start = clock::now();
        let ends: Vec<Result<(), Failure>> = thread::scope(|scope| {
            let workers: Vec<_> = self.sessions.iter_mut().map(|session| scope.spawn(|| work(session))).collect();
            let lost = |_| Err(Failure::Failed("a session's thread ended".to_owned()));
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(lost)).collect()
        });
        let took = clock::now().since(start);
        ends.into_iter().collect::<Result<(), _>>()?;
        Ok(took)
    }

    fn alone(&mut self, batch: &Prepared, _: (u32, u32)) -> Result<Duration, Error> {
        let Some(session) = self.sessions.first_mut() else { return Ok(Duration::ZERO) };
        let start = clock::now();
        batch.run(session)?;
        Ok(clock::now().since(start))
    }
}
