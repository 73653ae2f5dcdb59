//! Rows, shortest first, cut into batches.
//!
//! Decides which rows share a batch. Knows lengths only.

use std::ops::Range;

/// What a batch may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Rows × longest, unless one row alone is longer.
    pub(super) tokens: u32,
    pub(super) rows: usize,
}

/// Cuts rows, whose lengths ascend, into batches of neighbours within the limits, the most work first: what
/// is left for the end is small, and no session waits long for the last one.
pub(super) fn cut(lengths: &[u32], limits: Limits) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut first = 0;
    for (at, len) in lengths.iter().enumerate() {
        let rows = at - first + 1;
        if rows > 1 && (rows > limits.rows || rows as u64 * u64::from(*len) > u64::from(limits.tokens)) {
            batches.push(first..at);
            first = at;
        }
    }
    if first < lengths.len() {
        batches.push(first..lengths.len());
    }
    batches.sort_by_key(|batch| std::cmp::Reverse(padded(lengths, batch)));
    batches
}

/// Tokens of a batch, padding included.
pub(super) fn padded(lengths: &[u32], batch: &Range<usize>) -> u64 {
    batch.len() as u64 * u64::from(lengths[batch.end - 1])
}

/// `count` places of `of`, spread evenly; each of them several times where there are fewer. Ascending.
pub(super) fn spread(of: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |at| (at * of + of / 2) / count.max(1)).map(move |at| at.min(of - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_tokens_and_rows_and_come_heaviest_first() {
        let lengths = [2, 3, 3, 4, 8, 9, 30];
        let batches = cut(&lengths, Limits { tokens: 16, rows: 3 });
        assert_eq!(batches, [6..7, 3..5, 0..3, 5..6]);
        let batches = cut(&lengths, Limits { tokens: 20, rows: 64 });
        assert_eq!(batches, [6..7, 4..6, 0..4]);
        assert_eq!(cut(&[5; 4], Limits { tokens: 1000, rows: 1 }).len(), 4);
        assert!(cut(&[], Limits { tokens: 8, rows: 8 }).is_empty());
    }

    #[test]
    fn every_row_is_in_one_batch() {
        let mut lengths: Vec<u32> = (0..500).map(|i| 1 + i * 7919 % 256).collect();
        lengths.sort_unstable();
        for tokens in [1, 64, 700, 4096] {
            let batches = cut(&lengths, Limits { tokens, rows: 64 });
            let mut rows: Vec<usize> = batches.iter().cloned().flatten().collect();
            rows.sort_unstable();
            assert_eq!(rows, (0..500).collect::<Vec<_>>());
            let fits = |b: &Range<usize>| b.len() == 1 || padded(&lengths, b) <= u64::from(tokens);
            assert!(batches.iter().all(|b| b.len() <= 64 && fits(b)));
        }
    }

    #[test]
    fn a_sample_is_spread_over_all() {
        assert_eq!(spread(10, 5).collect::<Vec<_>>(), [1, 3, 5, 7, 9]);
        assert_eq!(spread(2, 6).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1]);
        assert_eq!(spread(3, 3).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
