//! The closed loop: every connection sends its next request as soon as it has its answer.

use super::client::Client;
use super::tally::Sample;
use super::workload::Workload;
use super::{ANSWER_TIMEOUT, Error, LoadReport, Options, Report, Run, meter, progress};
use crate::clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// The pause before a lost connection is made again, so that a dead server is not hammered.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// Measures with `connections` connections, of which `first` is one.
pub(super) async fn run(
    options: &Options,
    workload: &Arc<Workload>,
    first: Client,
    connections: usize,
) -> Result<Report, Error> {
    let mut clients = vec![first];
    for _ in 1..connections {
        let mut client = Client::new(Arc::clone(workload));
        let reached = client.connect().await;
        reached.map_err(|source| Error::Unreachable { target: workload.target().to_string(), source })?;
        clients.push(client);
    }

    let run = Run::start(options);
    let bar = options.progress.then(|| progress::Bar::start(&run));
    let cost = meter::start(&run);
    // The first text was sent to prove that the server takes it.
    let next = Arc::new(AtomicUsize::new(1));
    let tasks: JoinSet<()> =
        clients.into_iter().map(|client| ask(client, Arc::clone(&run), Arc::clone(&next))).collect();
    tasks.join_all().await;
    drop(bar);
    let cost = cost.await.unwrap_or_default();
    Ok(run.tally().report(options.protocol, LoadReport::Closed { connections }, &cost))
}

async fn ask(mut client: Client, run: Arc<Run>, next: Arc<AtomicUsize>) {
    let mut sent = clock::now();
    while sent < run.measured.until {
        let outcome = client.exchange(next.fetch_add(1, Ordering::Relaxed), sent + ANSWER_TIMEOUT).await;
        let finished = clock::now();
        let sample = Sample { counts_by: finished, finished, latency: finished.since(sent), late: None };
        run.tally().record(&sample, &outcome);
        sent = finished;
        if outcome.is_err_and(|failure| failure.is_lost()) {
            tokio::time::sleep(RECONNECT_PAUSE).await;
            sent = clock::now();
        }
    }
}
