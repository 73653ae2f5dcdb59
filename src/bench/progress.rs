//! How a measurement is going, on stderr: a bar where that is a terminal, and a line for each step of a ramp.

use super::report::Step;
use super::{Run, table};
use crate::clock;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

const REDRAW: Duration = Duration::from_millis(200);

/// Writes a line about a step that is over.
pub(super) fn say(step: &Step) {
    eprintln!("{}", table::step(step));
}

/// A bar that follows a measurement until it is dropped.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    task: Option<JoinHandle<()>>,
}

impl Bar {
    /// Starts drawing.
    pub(super) fn start(run: &Arc<Run>) -> Self {
        let window = &run.measured;
        let length = window.until.since(window.start).as_millis();
        let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX));
        if let Ok(style) = ProgressStyle::with_template("{prefix:>9} [{bar:32}] {elapsed} of {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        // What nobody sees costs nothing.
        let task = (!bar.is_hidden()).then(|| tokio::spawn(follow(bar.clone(), Arc::clone(run))));
        Self { bar, task }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        self.bar.finish_and_clear();
    }
}

async fn follow(bar: ProgressBar, run: Arc<Run>) {
    let window = &run.measured;
    let total = window.until.since(window.start).as_secs();
    let mut ticks = tokio::time::interval(REDRAW);
    loop {
        ticks.tick().await;
        let now = clock::now();
        let (requests, errors) = {
            let tally = run.tally();
            (tally.requests(), tally.errors())
        };
        let stage = if now < window.from { "warm-up" } else { "measuring" };
        bar.set_prefix(if now > window.until { "awaiting" } else { stage });
        bar.set_position(u64::try_from(now.since(window.start).as_millis()).unwrap_or(u64::MAX));
        bar.set_message(format!("{total}s, {requests} answered, {errors} errors"));
    }
}
