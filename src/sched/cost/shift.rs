//! Whether the whole machine became slower or faster: most of the last runs are off the same way.
//!
//! Looks only at runs of shapes that are known well, so that what is off has changed with time. A change
//! that all runs share is a factor over everything that was learned, also over shapes that do not
//! run now; the best batch sizes stay what they are. Decides when there is such a factor and which.

/// Runs looked at.
const KEPT: usize = 16;
/// Runs before a change is believed.
const ENOUGH: usize = 12;
/// Of the runs looked at, those that have to be off the same way: three of four.
const MOST: (usize, usize) = (3, 4);
/// A run is off, as a logarithm, from here on; more where runs are uneven.
pub(super) const BAND: f64 = 0.15;
/// Runs before what was learned in an earlier life is believed or not.
const FIRST: usize = 3;
/// How far these are apart, as a logarithm, where it does not hold at all.
const APART: f64 = 0.5;

/// What to make of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// It says something of its shape.
    Learn,
    /// It may be the machine: nothing is learned of it.
    Hold,
    /// Everything takes so many times as long as was learned, this run included.
    Shift(f64),
    /// What was learned in an earlier life does not hold.
    Forget,
}

/// The last runs of well-known shapes.
#[derive(Debug, Clone, Default)]
pub(super) struct Shift {
    /// Logarithms of measured ÷ predicted, oldest overwritten first.
    off: [f64; KEPT],
    runs: usize,
    /// Whether all that is known comes from an earlier life of the program.
    untried: bool,
}

impl Shift {
    /// One for what was learned in an earlier life: the first runs tell whether it holds.
    pub(super) fn untried() -> Self {
        Self { untried: true, ..Self::default() }
    }

    /// Takes in a run that took `ratio` times as long as predicted, where an even one is off by less than
    /// `band`.
    pub(super) fn observe(&mut self, ratio: f64, band: f64) -> Verdict {
        let off = ratio.ln();
        self.off[self.runs % KEPT] = off;
        self.runs += 1;
        if self.untried
            && let Some(verdict) = self.first(band)
        {
            return verdict;
        }
        if off.abs() <= band {
            return Verdict::Learn;
        }
        let kept = self.runs.min(KEPT);
        if self.runs >= ENOUGH && self.alike(kept, off, band) * MOST.1 >= kept * MOST.0 {
            return self.shift();
        }
        if self.alike(4, off, band) >= 3 { Verdict::Hold } else { Verdict::Learn }
    }

    /// What the first runs say of an earlier life.
    fn first(&mut self, band: f64) -> Option<Verdict> {
        let known = &self.off[..self.runs.min(KEPT)];
        if known.iter().all(|off| off.abs() <= band) {
            self.untried = self.runs < ENOUGH;
            return Some(Verdict::Learn);
        }
        if self.runs < FIRST {
            return Some(Verdict::Hold);
        }
        self.untried = false;
        let (least, most) = known.iter().fold((f64::MAX, f64::MIN), |(a, b), off| (a.min(*off), b.max(*off)));
        if most - least > APART && self.runs <= 2 * FIRST {
            self.runs = 0;
            return Some(Verdict::Forget);
        }
        (least > band || most < -band).then(|| self.shift())
    }

    /// How many of the last `runs` are off on the same side as `off`.
    fn alike(&self, runs: usize, off: f64, band: f64) -> usize {
        let first = self.runs.saturating_sub(runs);
        (first..self.runs).map(|i| self.off[i % KEPT]).filter(|other| other.abs() > band && other * off > 0.0).count()
    }

    /// The median of all runs looked at, and a fresh start: that of those that are off alone would tell more of their
    /// unevenness than of the machine.
    fn shift(&mut self) -> Verdict {
        let mut off = self.off;
        let off = &mut off[..self.runs.min(KEPT)];
        off.sort_unstable_by(f64::total_cmp);
        self.runs = 0;
        Verdict::Shift(((off[off.len() / 2] + off[(off.len() - 1) / 2]) / 2.0).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a shared core, which has its share taken in turns: some runs take three times as long, some no longer.
    #[test]
    fn an_uneven_spell_is_as_slow_as_its_usual_run_not_as_those_that_suffer_most() {
        let mut shift = Shift::default();
        let slow = [3.0, 1.5, 3.0, 1.5, 3.0, 1.5, 3.0, 1.5, 3.0, 1.5, 3.0, 3.0];
        let mut verdicts = [1.0; 4].into_iter().chain(slow).map(|ratio| shift.observe(ratio, BAND));
        let shifted = verdicts.find_map(|verdict| if let Verdict::Shift(by) = verdict { Some(by) } else { None });
        let by = shifted.expect("twelve of sixteen were off");
        assert!((by - 1.5).abs() < 1e-9 && verdicts.next().is_none(), "{by}");
    }
}
