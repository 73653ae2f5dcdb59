//! When a GPU counts as short of memory or throttled.
//!
//! Decides the thresholds, and how they are kept from flapping. Is told what was sampled.

use super::sample::{Memory, Sample};

/// Free memory below which it is scarce, whatever the share: less than one batch of a larger model needs.
const SCARCE_BYTES: u64 = 256 << 20;
/// Free memory from which it may be ample again.
const AMPLE_BYTES: u64 = 512 << 20;
/// Percent of all memory, as the two above.
const SCARCE_PERCENT: u64 = 5;
const AMPLE_PERCENT: u64 = 10;

/// How a GPU is. The default is one in order, or of which nothing is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Condition {
    /// At most a twentieth of its memory is free, or less than 256 MiB; until a tenth is, and 512 MiB.
    pub memory_scarce: bool,
    /// Heat, a power brake or a fault slows it down.
    pub throttled: bool,
}

/// Makes conditions of samples.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Judge {
    condition: Condition,
    /// The last look at the clocks disagreed with the condition.
    doubt: bool,
}

impl Judge {
    /// The condition as of the last sample.
    pub(super) fn condition(&self) -> Condition {
        self.condition
    }

    /// Takes in a sample. What it does not know stays as it was.
    ///
    /// Memory changes at once. Throttling changes when two samples in a row say so: NVML reports a hardware
    /// slowdown for a moment at a mere change of clocks, too.
    pub(super) fn look(&mut self, sample: &Sample) {
        if let Some(memory) = sample.memory {
            self.condition.memory_scarce = is_scarce(memory, self.condition.memory_scarce);
        }
        if let Some(reasons) = sample.reasons {
            let differs = reasons.slow_down() != self.condition.throttled;
            self.condition.throttled ^= differs && self.doubt;
            self.doubt = differs && !self.doubt;
        }
    }
}

/// `used` leaves out what the driver keeps for itself, so what is free decides.
fn is_scarce(memory: Memory, was: bool) -> bool {
    let (bytes, percent) = if was { (AMPLE_BYTES, AMPLE_PERCENT) } else { (SCARCE_BYTES, SCARCE_PERCENT) };
    let (free, total) = (u128::from(memory.free), u128::from(memory.total));
    memory.free < bytes || free * 100 <= total * u128::from(percent)
}

#[cfg(test)]
mod tests {
    use super::super::sample::Reasons;
    use super::*;

    const GIB: u64 = 1 << 30;

    fn scarce_after(total: u64, free: &[u64]) -> Vec<bool> {
        let mut judge = Judge::default();
        let look = |free: &u64| {
            let memory = Some(Memory { used: total - free, free: *free, total });
            judge.look(&Sample { memory, ..Sample::default() });
            judge.condition().memory_scarce
        };
        free.iter().map(look).collect()
    }

    #[test]
    fn memory_is_scarce_late_and_ample_later() {
        let free = [3 * GIB, GIB + GIB / 2, GIB, 2 * GIB, 2 * GIB + GIB / 4, 3 * GIB, 2 * GIB];
        assert_eq!(scarce_after(20 * GIB, &free), [false, false, true, true, false, false, false]);
        // On a small one bytes decide: an eighth of 2 GiB is 256 MiB.
        let small = [GIB, 255 << 20, 511 << 20, 512 << 20];
        assert_eq!(scarce_after(2 * GIB, &small), [false, true, true, false]);
        assert_eq!(scarce_after(GIB, &[0]), [true]);
    }

    #[test]
    fn throttling_is_believed_at_the_second_look() {
        let mut judge = Judge::default();
        let mut look = |bits: Option<u64>| {
            judge.look(&Sample { reasons: bits.map(Reasons), ..Sample::default() });
            judge.condition().throttled
        };
        let (hot, idle) = (Some(0x20), Some(0x1));
        assert!(!look(hot) && !look(idle) && !look(hot));
        assert!(look(hot), "twice in a row");
        assert!(look(idle) && look(hot) && look(idle) && look(None));
        assert!(!look(idle));
    }
}
