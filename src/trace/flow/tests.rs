//! Loads whose kind is known, played on a house of workers that take batches.

use super::*;
use std::collections::VecDeque;
use std::time::Duration;

/// Draws that are the same each time (splitmix64).
struct Chance(u64);

impl Chance {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponentially distributed.
    fn gap(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }
}

/// Workers that take what waits, up to so many, for 2 ms and 0.5 ms a request, give or take a fifth.
#[derive(Clone, Copy)]
struct House {
    workers: usize,
    batch: usize,
}

impl House {
    /// Requests a second.
    fn capacity(self) -> f64 {
        self.workers as f64 * self.batch as f64 / (0.002 + 0.0005 * self.batch as f64)
    }

    /// Plays arrivals at these seconds; `again` is asked for the next one of a caller who is answered at a time.
    fn play(self, arrivals: Vec<f64>, mut again: impl FnMut(f64) -> Option<f64>) -> Flow {
        let (mut flow, mut chance) = (Flow::new(Time(0)), Chance(7));
        let at = |seconds: f64| Time(0) + Duration::from_secs_f64(seconds);
        let (mut due, mut waiting, mut inside) = (VecDeque::from(arrivals), 0_usize, 0_u64);
        let mut running: Vec<(f64, usize)> = Vec::new();
        let mut played = 0;
        while played < 6_000 {
            let ends = running.iter().map(|(end, _)| *end).fold(f64::INFINITY, f64::min);
            let comes = due.front().copied().unwrap_or(f64::INFINITY);
            let now = ends.min(comes);
            if now.is_infinite() {
                break;
            }
            if comes <= ends {
                due.pop_front();
                flow.arrived(at(now), inside);
                (inside, waiting, played) = (inside + 1, waiting + 1, played + 1);
            } else {
                let ended = running.iter().position(|(end, _)| *end == ends).unwrap();
                let (_, count) = running.swap_remove(ended);
                flow.answered(at(now), inside, inside - count as u64);
                inside -= count as u64;
                for next in (0..count).filter_map(|_| again(now)) {
                    let place = due.partition_point(|time| *time <= next);
                    due.insert(place, next);
                }
            }
            while waiting > 0 && running.len() < self.workers {
                let count = waiting.min(self.batch);
                let took = (0.002 + 0.0005 * count as f64) * (0.8 + 0.4 * chance.unit());
                running.push((now + took, count));
                waiting -= count;
            }
        }
        flow
    }

    /// Callers who do not wait, in bursts of so many, at a share of what the house can do.
    fn open(self, share: f64, burst: u32) -> Flow {
        let mut chance = Chance(u64::from(burst) + (share * 1e3) as u64);
        let mean = f64::from(burst) / (share * self.capacity());
        let mut at = 0.0;
        let mut times = Vec::new();
        while times.len() < 6_000 {
            at += chance.gap(mean);
            // A burst of one size or another, half as many on average as the largest, plus one half.
            let size = 1 + (chance.unit() * f64::from(2 * burst - 1)) as usize;
            times.extend(std::iter::repeat_n(at, size));
        }
        self.play(times, |_| None)
    }

    /// So many callers, each of whom asks again a fraction of a millisecond after an answer, or after a pause.
    fn closed(self, callers: usize, pause: f64) -> Flow {
        let mut chance = Chance(callers as u64);
        let first = (0..callers).map(|i| i as f64 * 1e-5).collect();
        self.play(first, move |now| {
            let thinks = if pause > 0.0 { chance.gap(pause) } else { 0.0 };
            Some(now + 0.0001 + 0.0003 * chance.unit() + thinks)
        })
    }
}

const HOUSES: [House; 4] = [
    House { workers: 1, batch: 1 },
    House { workers: 2, batch: 8 },
    House { workers: 1, batch: 32 },
    House { workers: 16, batch: 16 },
];

#[test]
fn callers_who_do_not_wait_are_an_open_loop() {
    for house in HOUSES {
        for share in [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95] {
            for burst in [1, 10] {
                let flow = house.open(share, burst);
                let place = (house.workers, house.batch, share, burst);
                assert_eq!(flow.load(), Load::Open, "{place:?} {:?}", flow.figures());
            }
        }
    }
}

#[test]
fn callers_who_wait_are_never_taken_for_an_open_loop() {
    let mut told = (0, 0);
    for house in HOUSES {
        for callers in [1, 2, 4, 8, 16, 32, 64, 128] {
            let flow = house.closed(callers, 0.0);
            let place = (house.workers, house.batch, callers);
            assert_ne!(flow.load(), Load::Open, "{place:?} {:?}", flow.figures());
            told = (told.0 + u32::from(flow.load() == Load::Closed), told.1 + 1);
        }
    }
    assert!(told.0 * 4 >= told.1 * 3, "{told:?}");
}

#[test]
fn callers_who_pause_for_about_as_long_as_they_wait_are_not_taken_for_an_open_loop() {
    for house in [HOUSES[0], HOUSES[1], HOUSES[3]] {
        for callers in [8, 32, 128] {
            let flow = house.closed(callers, 0.3 * callers as f64 / house.capacity());
            assert_ne!(flow.load(), Load::Open, "{} {callers} {:?}", house.workers, flow.figures());
        }
    }
}

#[test]
fn too_little_tells_nothing() {
    let flow = HOUSES[0].play((0..40).map(f64::from).collect(), |_| None);
    assert_eq!(flow.load(), Load::Unknown);
    assert_eq!(Flow::new(Time(5)).load(), Load::Unknown);
    // One a second, answered in milliseconds: their own pace.
    assert_eq!(HOUSES[0].play((0..200).map(f64::from).collect(), |_| None).load(), Load::Open);
}
