//! What is known of one model on one device: what batches cost there, and which of them fit.
//!
//! Keeps what was measured and what follows from it. Does not choose a device: that is `place`.

use super::cost::CostModel;
use super::event::{DeviceCondition, Grid};
use crate::types::DeviceId;
use std::collections::HashSet;

/// Most shapes remembered as run.
const MOST_SHAPES: usize = 4096;

/// One model on one device.
#[derive(Debug)]
pub(super) struct Learned {
    pub(super) device: DeviceId,
    /// How padded lengths are rounded there.
    pub(super) grid: Grid,
    pub(super) cost: CostModel,
    /// From this length on, at most so many rows: learned from running out of memory.
    memory: Vec<(u32, u32)>,
    /// Padded tokens of the largest batch that ran well; 0 before any.
    largest: u32,
    /// Whether batches keep within what ran well.
    scarce: bool,
    /// Changes with everything but the cost that limits a batch here.
    pub(super) version: u32,
    /// (rows, padded length) of what ran; only where new shapes cost.
    shapes: HashSet<(u32, u32)>,
}

impl Learned {
    pub(super) fn new(device: DeviceId) -> Self {
        Self {
            device,
            grid: Grid::Exact,
            cost: CostModel::default(),
            memory: Vec::new(),
            largest: 0,
            scarce: false,
            version: 0,
            shapes: HashSet::new(),
        }
    }

    /// The length that rows of at most `len` tokens are padded to here.
    pub(super) fn padded(&self, len: u32) -> u32 {
        self.grid.padded(len)
    }

    /// Takes note of a shape that ran well.
    pub(super) fn ran(&mut self, rows: u32, len: u32) {
        let tokens = rows.saturating_mul(len);
        if tokens > self.largest {
            self.largest = tokens;
            self.version += u32::from(self.scarce);
        }
        if self.grid == Grid::Stepped && self.shapes.len() < MOST_SHAPES {
            self.shapes.insert((rows, len));
        }
    }

    /// Whether running this shape may need what no shape before it did.
    pub(super) fn is_new(&self, rows: u32, len: u32) -> bool {
        self.grid == Grid::Stepped && !self.shapes.contains(&(rows, len))
    }

    /// Caps what ran out of memory at half its rows, for its length and all longer ones.
    pub(super) fn out_of_memory(&mut self, rows: u32, len: u32) {
        let most = (rows / 2).max(1);
        self.memory.retain(|&(from, capped)| from < len || capped < most);
        self.memory.push((len, most));
        self.version += 1;
    }

    /// Takes note of how the device is.
    pub(super) fn set_condition(&mut self, condition: DeviceCondition) {
        self.version += u32::from(self.scarce != condition.memory_scarce);
        self.scarce = condition.memory_scarce;
        self.cost.set_throttled(condition.throttled);
    }

    pub(super) fn is_scarce(&self) -> bool {
        self.scarce
    }

    /// Whether a batch needs more than any that ran well.
    pub(super) fn exceeds(&self, rows: u32, len: u32) -> bool {
        rows.saturating_mul(len) > self.largest
    }

    /// Most rows of a batch of this length that its memory is known to hold.
    pub(super) fn rows_in_memory(&self, len: u32) -> u32 {
        self.memory.iter().filter(|(from, _)| len >= *from).map(|(_, rows)| *rows).min().unwrap_or(u32::MAX)
    }

    /// Most rows of a batch of this length while memory is scarce: no more padded tokens than ever ran
    /// well; one row where nothing did. No bound while it is not.
    pub(super) fn rows_while_scarce(&self, len: u32) -> u32 {
        if self.scarce { (self.largest / len.max(1)).max(1) } else { u32::MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_memory_is_scarce_batches_keep_within_what_ran_well() {
        let mut learned = Learned::new(DeviceId(0));
        let scarce = DeviceCondition { memory_scarce: true, throttled: false };
        assert_eq!(learned.rows_while_scarce(8), u32::MAX);
        learned.set_condition(scarce);
        assert_eq!(learned.rows_while_scarce(8), 1, "nothing ran yet");
        learned.ran(8, 16);
        assert_eq!([8, 16, 64, 500].map(|len| learned.rows_while_scarce(len)), [16, 8, 2, 1]);
        learned.set_condition(DeviceCondition::default());
        assert_eq!(learned.rows_while_scarce(8), u32::MAX);
    }

    #[test]
    fn what_ran_out_of_memory_is_halved_for_all_longer_rows() {
        let mut learned = Learned::new(DeviceId(0));
        learned.out_of_memory(32, 100);
        learned.out_of_memory(8, 200);
        assert_eq!([99, 100, 200].map(|len| learned.rows_in_memory(len)), [u32::MAX, 16, 4]);
        learned.out_of_memory(4, 50);
        assert_eq!([49, 50, 200].map(|len| learned.rows_in_memory(len)), [u32::MAX, 2, 2]);
    }

    #[test]
    fn only_stepped_devices_know_new_shapes() {
        let mut learned = Learned::new(DeviceId(0));
        assert!(!learned.is_new(1, 8));
        learned.grid = Grid::Stepped;
        assert!(learned.is_new(1, 8));
        learned.ran(1, 8);
        assert!(!learned.is_new(1, 8) && learned.is_new(2, 8));
        assert_eq!([learned.padded(9), learned.padded(64), learned.padded(65)], [16, 64, 80]);
    }
}
