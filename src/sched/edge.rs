//! Edges: the lengths that waiting rows are told apart by, and that stepped devices pad to.

use super::event::Grid;

/// The edge a length rounds up to.
///
/// Exact grids keep every length to 512 and then go by 1/64; stepped ones go by 8 to 64, 16 to 128,
/// 32 to 256, 64 to 512, then by about an eighth.
pub(super) fn edge(grid: Grid, len: u32) -> u32 {
    let step = match (grid, len) {
        (Grid::Exact, 0..=512) => 1,
        (Grid::Exact, _) => (len.next_power_of_two() / 128).max(1),
        (Grid::Stepped, 0..=64) => 8,
        (Grid::Stepped, 65..=128) => 16,
        (Grid::Stepped, 129..=256) => 32,
        (Grid::Stepped, 257..=512) => 64,
        (Grid::Stepped, _) => (len.next_power_of_two() / 16).max(64),
    };
    len.max(1).div_ceil(step).saturating_mul(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_never_shrink_a_length_and_stay_few() {
        for grid in [Grid::Exact, Grid::Stepped] {
            let mut edges = std::collections::BTreeSet::new();
            for len in 1..=512 {
                let e = edge(grid, len);
                assert!(e >= len && edge(grid, e) == e, "{grid:?} {len} -> {e}");
                edges.insert(e);
            }
            assert_eq!(edges.len(), if grid == Grid::Exact { 512 } else { 8 + 4 + 4 + 4 });
        }
        for len in [513, 1000, 5000, 100_000] {
            assert!(edge(Grid::Exact, len) as f64 <= len as f64 * 1.02);
            assert!(edge(Grid::Stepped, len) as f64 <= len as f64 * 1.15);
        }
    }
}
