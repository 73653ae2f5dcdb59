//! The ramp: open loops at rising rates, for the highest that holds an objective.
//!
//! Decides which rate is tried next, what holding is, and when the server is ready for the next step.

use super::client::Client;
use super::workload::Workload;
use super::{ANSWER_TIMEOUT, Error, Options, RampReport, Report, Step, open, progress};
use crate::clock;
use std::sync::Arc;
use std::time::Duration;

/// Two rates closer than this are the same answer.
const PRECISION: f64 = 1.05;

/// Refusals that a request brings upon itself at any rate, as a text that is too long for the model does.
const OWN_FAULT: [&str; 6] = ["invalid_request", "too_large", "unsupported", "http 400", "http 413", "http 422"];
/// A step fails above this share of other errors.
const MOST_ERRORS: f64 = 0.001;

/// A step fails below this share of the rate that was planned.
const LEAST_THROUGHPUT: f64 = 0.95;

/// A step's requests are given up after so many times the objective: the step has failed long before.
const PATIENCE: u32 = 10;

/// What is tried, and what a rate has to hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) slo: Duration,
    pub(super) connections: usize,
}

/// Measures step by step; `first` asks between the steps whether the server is idle again.
pub(super) async fn run(
    options: &Options,
    workload: &Arc<Workload>,
    mut first: Client,
    terms: &Terms,
) -> Result<Report, Error> {
    let timeout = (terms.slo * PATIENCE).clamp(Duration::from_secs(1), ANSWER_TIMEOUT);
    let calm = calm(&mut first).await.max(terms.slo);
    let mut search = Search::new(terms.from, terms.to);
    let mut steps = Vec::new();
    let mut best: Option<Report> = None;
    while let Some(rate) = search.next() {
        let open = open::Terms { rate, connections: terms.connections, timeout };
        let report = open::measure(options, workload, open).await?;
        let step = Step::of(rate, &report, fault(&report, terms.slo));
        if options.progress {
            progress::say(&step);
        }
        search.note(rate, step.held);
        if step.held || best.is_none() {
            best = Some(report);
        }
        steps.push(step);
        settle(&mut first, calm).await;
    }
    let ramp = RampReport { slo_ms: terms.slo.as_secs_f64() * 1000.0, highest_rate: search.held, steps };
    let report = best.ok_or_else(|| Error::Usage("a ramp has at least one step".to_owned()))?;
    Ok(Report { ramp: Some(ramp), ..report })
}

/// Why a measurement does not hold the objective; `None` where it does.
fn fault(report: &Report, slo: Duration) -> Option<&'static str> {
    let all = (report.requests + report.errors) as f64;
    let late = report.latency_ms.is_none_or(|latency| latency.p99 > slo.as_secs_f64() * 1000.0);
    let at_fault = report.errors_by_reason.iter().filter(|(reason, _)| !OWN_FAULT.contains(&reason.as_str()));
    if at_fault.map(|(_, count)| *count as f64).sum::<f64>() > all * MOST_ERRORS {
        Some("errors")
    } else if report.requests == 0 {
        Some("nothing to measure")
    } else if late {
        Some("p99")
    } else if report.throughput_rps < report.offered_rps.unwrap_or_default() * LEAST_THROUGHPUT {
        Some("throughput")
    } else {
        None
    }
}

/// Twice what one request takes on the idle server.
async fn calm(client: &mut Client) -> Duration {
    probe(client).await.saturating_mul(2)
}

/// Waits until a single request is answered as fast as before the first step, for a minute at most: a server may go on
/// with what nobody waits for any more.
async fn settle(client: &mut Client, calm: Duration) {
    let until = clock::now() + ANSWER_TIMEOUT;
    while probe(client).await > calm && clock::now() < until {}
}

/// What one request takes.
async fn probe(client: &mut Client) -> Duration {
    let sent = clock::now();
    match client.exchange(0, sent + ANSWER_TIMEOUT).await {
        Ok(_) => clock::now().since(sent),
        Err(_) => {
            // Refused or lost: not idle yet, and not to be hammered.
            tokio::time::sleep(Duration::from_millis(50)).await;
            Duration::MAX
        }
    }
}

/// Which rate comes next: doubled while it holds, then halfway between what held and what did not.
#[derive(Debug, Clone, PartialEq)]
struct Search {
    from: f64,
    to: f64,
    /// The highest rate that held.
    held: Option<f64>,
    /// The lowest rate that did not.
    failed: Option<f64>,
}

impl Search {
    fn new(from: f64, to: f64) -> Self {
        Self { from, to, held: None, failed: None }
    }

    /// The next rate; `None` once the answer is found.
    fn next(&self) -> Option<f64> {
        match (self.held, self.failed) {
            (None, None) => Some(self.from),
            (None, Some(_)) => None,
            (Some(held), None) => (held < self.to).then(|| (held * 2.0).min(self.to)),
            // Halfway by ratio: rates differ by factors.
            (Some(held), Some(failed)) => (failed > held * PRECISION).then(|| (held * failed).sqrt()),
        }
    }

    fn note(&mut self, rate: f64, held: bool) {
        if held {
            self.held = Some(rate);
        } else {
            self.failed = Some(rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    /// Searches on a server that holds every rate up to `capacity`.
    fn search(from: f64, to: f64, capacity: f64) -> (Option<f64>, usize) {
        let (mut search, mut steps) = (Search::new(from, to), 0);
        while let Some(rate) = search.next() {
            assert!((from..=to).contains(&rate) && steps < 100);
            search.note(rate, rate <= capacity);
            steps += 1;
        }
        (search.held, steps)
    }

    #[test]
    fn a_ramp_finds_the_capacity_within_five_per_cent() {
        for capacity in [50.0, 51.0, 333.0, 1024.0, 1900.0] {
            let (found, steps) = search(50.0, 2000.0, capacity);
            let found = found.unwrap();
            assert!(found <= capacity && capacity <= found * PRECISION, "{capacity}: {found}");
            assert!(steps <= 12, "{capacity}: {steps}");
        }
    }

    #[test]
    fn a_ramp_ends_at_its_ends() {
        assert_eq!(search(50.0, 2000.0, 10.0), (None, 1));
        assert_eq!(search(50.0, 2000.0, 1e9), (Some(2000.0), 7));
        assert_eq!(search(50.0, 50.0, 1e9), (Some(50.0), 1));
    }

    #[test]
    fn a_step_fails_by_its_tail_its_errors_or_its_throughput() {
        let with = |edit: &dyn Fn(&mut Report)| {
            let mut report = report();
            edit(&mut report);
            fault(&report, Duration::from_millis(100))
        };
        let held = |edit: fn(&mut Report)| with(&edit);
        assert_eq!(held(|_| {}), None);
        let refused = |report: &mut Report, reason: &str, count| {
            report.errors += count;
            report.errors_by_reason.insert(reason.to_owned(), count);
        };
        assert_eq!(with(&|report: &mut Report| refused(report, "overloaded", 1)), None);
        assert_eq!(with(&|report: &mut Report| refused(report, "overloaded", 2)), Some("errors"));
        assert_eq!(
            with(&|report: &mut Report| refused(report, "invalid_request", 50)),
            None,
            "no rate could change that"
        );
        assert_eq!(held(|report| report.latency_ms.as_mut().unwrap().p99 = 100.1), Some("p99"));
        assert_eq!(held(|report| report.throughput_rps = 94.0), Some("throughput"));
        assert_eq!(held(|report| (report.requests, report.latency_ms) = (0, None)), Some("nothing to measure"));
    }
}
