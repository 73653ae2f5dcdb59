//! One plot as SVG: axes with ticks, titles and units, lines, points and bars.
//!
//! Decides scales and ticks. Knows nothing of what is plotted.

use super::{escape, put};
use std::fmt::Write;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 44.0;

/// Percentiles that have a tick, where the values reach them.
const PERCENTILES: [f64; 8] = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999];

/// How values become places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// From zero.
    Linear,
    /// By factors; values are > 0.
    Log,
    /// Percentiles from 0 to less than 100, by what is missing to 100.
    Percentile,
}

/// One axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// With its unit.
    pub(super) label: &'static str,
    pub(super) scale: Scale,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Line,
    Points,
    Bars,
}

/// Points that belong together.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) mark: Mark,
    /// The number of its colour, from 1 to 3.
    pub(super) colour: u8,
    pub(super) points: Vec<(f64, f64)>,
}

/// A plot with its title.
#[derive(Debug, Clone)]
pub(super) struct Plot {
    pub(super) title: &'static str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
}

impl Plot {
    /// Draws it; nothing where there is no point.
    pub(super) fn svg(&self) -> String {
        let all = || self.series.iter().flat_map(|series| &series.points);
        if all().next().is_none() {
            return String::new();
        }
        let bars = self.series.iter().any(|series| series.mark == Mark::Bars);
        let x = Range::of(self.x.scale, all().map(|point| point.0), bars);
        let y = Range::of(self.y.scale, all().map(|point| point.1), false);
        let place = |(px, py): (f64, f64)| {
            (LEFT + x.place(px) * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y.place(py) * height())
        };
        let title = escape(self.title);
        let mut svg = format!(
            "<figure>\n<figcaption>{title}</figcaption>\n\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n"
        );
        self.axes(&mut svg, &x, &y);
        for series in &self.series {
            series.draw(&mut svg, place, x.span());
        }
        self.legend(&mut svg);
        svg + "</svg>\n</figure>\n"
    }

    fn axes(&self, svg: &mut String, x: &Range, y: &Range) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in y.ticks() {
            let at = bottom - y.place(tick) * height();
            put!(svg, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\n");
            let (left, base) = (LEFT - 8.0, at + 4.0);
            put!(svg, "<text x=\"{left}\" y=\"{base:.1}\" text-anchor=\"end\">{}</text>\n", number(tick));
        }
        for tick in x.ticks() {
            let at = LEFT + x.place(tick) * (right - LEFT);
            put!(svg, "<line class=\"axis\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{bottom}\" y2=\"{}\"/>\n", bottom + 5.0);
            let base = bottom + 18.0;
            put!(svg, "<text x=\"{at:.1}\" y=\"{base}\" text-anchor=\"middle\">{}</text>\n", number(tick));
        }
        put!(svg, "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\n");
        let (middle, base) = ((LEFT + right) / 2.0, HEIGHT - 6.0);
        put!(svg, "<text x=\"{middle}\" y=\"{base}\" text-anchor=\"middle\">{}</text>\n", escape(self.x.label));
        put!(svg, "<text x=\"4\" y=\"12\">{}</text>\n", escape(self.y.label));
    }

    /// The names of the series, at the right above the plot; none for one alone.
    fn legend(&self, svg: &mut String) {
        if self.series.len() < 2 {
            return;
        }
        let mut right = WIDTH - RIGHT;
        for series in self.series.iter().rev() {
            put!(svg, "<text x=\"{right}\" y=\"12\" text-anchor=\"end\">{}</text>\n", escape(series.name));
            right -= series.name.chars().count() as f64 * 6.5 + 16.0;
            put!(svg, "<rect class=\"f{}\" x=\"{right}\" y=\"3\" width=\"10\" height=\"10\"/>\n", series.colour);
            right -= 16.0;
        }
    }
}

impl Series {
    /// `span` is the width of the x axis in values.
    fn draw(&self, svg: &mut String, place: impl Fn((f64, f64)) -> (f64, f64), span: f64) {
        let colour = self.colour;
        match self.mark {
            Mark::Line => {
                let places = self.points.iter().map(|point| place(*point));
                let places: Vec<_> = places.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
                put!(svg, "<polyline class=\"line s{colour}\" points=\"{}\"/>\n", places.join(" "));
                if let [only] = self.points[..] {
                    let (x, y) = place(only);
                    put!(svg, "<circle class=\"f{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>\n");
                }
            }
            Mark::Points => {
                for (x, y) in self.points.iter().map(|point| place(*point)) {
                    put!(svg, "<circle class=\"f{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>\n");
                }
            }
            Mark::Bars => {
                let width = ((WIDTH - LEFT - RIGHT) / span * 0.8).clamp(1.0, 48.0);
                for (x, y) in self.points.iter().map(|point| place(*point)) {
                    let (left, tall) = (x - width / 2.0, HEIGHT - BOTTOM - y);
                    put!(svg, "<rect class=\"f{colour}\" x=\"{left:.1}\" y=\"{y:.1}\" ");
                    put!(svg, "width=\"{width:.1}\" height=\"{tall:.1}\"/>\n");
                }
            }
        }
    }
}

fn height() -> f64 {
    HEIGHT - BOTTOM - TOP
}

/// The values an axis shows.
#[derive(Debug, Clone, Copy)]
struct Range {
    scale: Scale,
    /// Ticks stand at whole numbers.
    whole: bool,
    low: f64,
    high: f64,
}

impl Range {
    /// `around` leaves half a unit at both ends, for bars at whole numbers.
    fn of(scale: Scale, values: impl Iterator<Item = f64>, around: bool) -> Self {
        let (least, most) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = match scale {
            Scale::Linear if around => (0.5_f64.min(least - 0.5), most + 0.5),
            Scale::Linear => (0.0, if most > 0.0 { most * 1.05 } else { 1.0 }),
            Scale::Log => log_bounds(least, most),
            Scale::Percentile => (0.0, most.max(90.0)),
        };
        Self { scale, whole: around, low, high }
    }

    fn span(&self) -> f64 {
        self.high - self.low
    }

    /// Where a value stands, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let on = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(self.low).ln(),
            Scale::Percentile => -(1.0 - value / 100.0).max(1e-9).ln(),
        };
        (on(value) - on(self.low)) / (on(self.high) - on(self.low))
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let step = nice_step(self.span() / 8.0).max(if self.whole { 1.0 } else { 0.0 });
                let first = (self.low / step).ceil() as i64;
                (first..).map(|n| n as f64 * step).take_while(|tick| *tick <= self.high).collect()
            }
            Scale::Log => log_steps(self.low, self.high),
            Scale::Percentile => PERCENTILES.into_iter().filter(|tick| *tick <= self.high + 1e-9).collect(),
        }
    }
}

/// The numbers 1, 2 and 5 of each decade, from just below `least` to just above `most`.
fn log_bounds(least: f64, most: f64) -> (f64, f64) {
    let least = if least > 0.0 { least } else { 1e-3 };
    let steps = log_steps(least / 10.0, most.max(least) * 10.0);
    let low = steps.iter().rev().find(|step| **step <= least).copied().unwrap_or(least);
    let high = steps.iter().find(|step| **step >= most && **step > low).copied().unwrap_or(most * 2.0);
    (low, high)
}

fn log_steps(low: f64, high: f64) -> Vec<f64> {
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let steps = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)));
    steps.filter(|step| (low * 0.999..=high * 1.001).contains(step)).collect()
}

/// The smallest of 1, 2, 5, 10, … times a power of ten that is at least `least`.
fn nice_step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * decade >= least);
    digit.unwrap_or(10.0) * decade
}

/// A tick's number without the dust of binary fractions.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        let linear = Range::of(Scale::Linear, [3.0, 97.0].into_iter(), false);
        assert_eq!(linear.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        let log = Range::of(Scale::Log, [0.3, 7.0].into_iter(), false);
        assert_eq!((log.low, log.high), (0.2, 10.0));
        assert_eq!(log.ticks().len(), 6);
        let percentile = Range::of(Scale::Percentile, [0.0, 99.95].into_iter(), false);
        assert_eq!(percentile.ticks(), [0.0, 50.0, 90.0, 99.0, 99.9]);
        assert_eq!([0.2, 1500.0, 99.99].map(number), ["0.2", "1500", "99.99"]);
    }

    #[test]
    fn places_lie_on_the_plot_whatever_the_values() {
        for scale in [Scale::Linear, Scale::Log, Scale::Percentile] {
            for values in [&[0.0][..], &[5.0], &[0.0, 50.0, 99.99], &[0.001, 0.001]] {
                let range = Range::of(scale, values.iter().copied(), false);
                for value in values {
                    let place = range.place(*value);
                    assert!((-1e-9..=1.0 + 1e-9).contains(&place), "{scale:?} {values:?}: {place}");
                }
            }
        }
    }
}
