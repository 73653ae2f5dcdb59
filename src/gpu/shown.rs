//! What the monitor saw last, for whoever asks: nobody ever waits for NVML.
//!
//! Decides from when on that is too old to be shown.

use super::known::GpuNow;
use crate::clock;
use crate::types::Time;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;

/// How long after a look was due its call of NVML counts as one that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// All GPUs as they were last seen.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// In NVML's order, those that are gone too.
    pub gpus: Vec<GpuNow>,
    /// When this is too old to be believed.
    pub stale: Time,
}

/// Where the last snapshot is. Clones share it; the default is one without GPUs.
#[derive(Debug, Clone, Default)]
pub struct Shown(Arc<ArcSwap<Snapshot>>);

impl Shown {
    /// Shows another, after which the next look is due at `due`.
    pub(super) fn show(&self, gpus: Vec<GpuNow>, due: Time) {
        self.0.store(Arc::new(Snapshot { gpus, stale: due + PATIENCE }));
    }

    /// The last snapshot. Where the driver hangs no other comes: then no GPU can be reached.
    #[must_use]
    pub fn now(&self) -> Arc<Snapshot> {
        let last = self.0.load_full();
        match last.gpus.is_empty() || clock::now() < last.stale {
            true => last,
            false => Arc::new(Snapshot { gpus: last.gpus.iter().map(GpuNow::out_of_reach).collect(), ..*last }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::known::Known;
    use super::super::library::Gpu;
    use super::super::sample::Sample;
    use super::*;

    #[test]
    fn what_was_seen_too_long_ago_is_not_shown_as_if_it_were_so() {
        let uuid = "GPU-a".to_owned();
        let gpu = Gpu { index: 0, uuid, name: None, memory_total: None, mig: None, instances: Vec::new() };
        let mut seen = Known::new(&gpu, None).now;
        seen.sample.power = Some(9.0);
        let shown = |stale| Shown(Arc::new(ArcSwap::from_pointee(Snapshot { gpus: vec![seen.clone()], stale }))).now();
        let (fresh, old) = (shown(clock::now() + PATIENCE), shown(Time(0)));
        assert_eq!((fresh.gpus[0].up, fresh.gpus[0].sample.power), (true, Some(9.0)));
        assert_eq!((old.gpus[0].up, old.gpus[0].sample, &*old.gpus[0].gpu), (false, Sample::default(), &gpu));
    }
}
