//! The stages of a request that ran, one after the other.

use crate::telemetry::Finished;
use crate::types::Time;
use std::time::Duration;

/// When each stage began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stages {
    /// When it began to wait: once it was decoded.
    pub(super) queued: Time,
    /// When its batch was taken up.
    pub(super) batched: Time,
    /// When the batch was assembled, and its run began.
    pub(super) computed: Time,
    /// When the run was over.
    pub(super) done: Time,
}

impl Stages {
    /// The stages of a request, if it ran; none ends after the request.
    pub(super) fn of(request: &Finished<'_>) -> Option<Self> {
        let (queued, timing) = (request.decoded?, request.ran?.timing);
        let after = |time: Time, stage: Duration| (time + stage).min(request.ended);
        let batched = after(queued, timing.queue);
        let computed = after(batched, timing.assemble);
        Some(Self { queued, batched, computed, done: after(computed, timing.compute) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{BatchSummary, Timing};
    use crate::telemetry::Ran;

    fn stages(timing: Option<[u64; 3]>) -> Option<[Time; 4]> {
        let ran = timing.map(|timing| {
            let [queue, assemble, compute] = timing.map(Duration::from_millis);
            Ran { timing: Timing { queue, assemble, compute }, batch: BatchSummary::default() }
        });
        let request = Finished {
            id: "",
            caller: None,
            protocol: "v2",
            model: None,
            tenant: "",
            outcome: "ok",
            failed: false,
            arrived: Time::from_millis(1),
            decoded: Some(Time::from_millis(3)),
            ran: ran.as_ref(),
            ended: Time::from_millis(20),
        };
        let stages = Stages::of(&request)?;
        Some([stages.queued, stages.batched, stages.computed, stages.done])
    }

    #[test]
    fn stages_follow_one_another_and_end_with_the_request() {
        assert_eq!(stages(Some([4, 1, 5])), Some([3, 7, 8, 13].map(Time::from_millis)));
        assert_eq!(stages(Some([4, 30, 5])), Some([3, 7, 20, 20].map(Time::from_millis)));
        assert_eq!(stages(None), None);
    }
}
