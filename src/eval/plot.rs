//! Accuracy against speed as an SVG plot: one line a mode, one point a threshold.

#![forbid(unsafe_code)]

use super::Score;
use crate::decode::Mode;
use crate::error::Result;
use minijinja::{AutoEscape, Environment, Value, context};

/// Size of the picture, in pixels, and the edges of the plot in it.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 696.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 384.0;

/// Every mode, in the order of the legend, with a colour that shows on white and on black.
const MODES: [(Mode, &str, &str); 5] = [
    (Mode::Ar, "ar", "#bc4c00"),
    (Mode::Greedy, "greedy", "#bf3989"),
    (Mode::Iterative, "iterative", "#1f6feb"),
    (Mode::Adaptive, "adaptive", "#1a7f37"),
    (Mode::Auto, "auto", "#6e7781"),
];

/// A range of values and where its ends are drawn.
struct Axis {
    values: (f64, f64),
    ends: (f64, f64),
}

impl Axis {
    /// In tenths of a pixel.
    fn at(&self, value: f64) -> f64 {
        let share = (value - self.values.0) / (self.values.1 - self.values.0);
        rounded(self.ends.0 + share * (self.ends.1 - self.ends.0), 0.1)
    }

    /// Where values at whole steps are, and the values.
    fn ticks(&self, step: f64) -> Vec<Value> {
        let count = ((self.values.1 - self.values.0) / step).round() as usize;
        let values = (0..=count).map(|index| self.values.0 + step * index as f64);
        values.map(|value| context! { at => self.at(value), value => rounded(value, 1e-3).to_string() }).collect()
    }
}

fn rounded(value: f64, to: f64) -> f64 {
    let parts = to.recip();
    (value * parts).round() / parts
}

/// A step of 1, 2 or 5 times a power of ten, of which at most ten reach `max`.
fn step(max: f64) -> f64 {
    let power = 10f64.powf((max / 10.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| step * 10.0 >= max).unwrap_or(max)
}

/// Draws `scores` under a title. Points are in the order of the scores; each shows its figures when pointed at.
///
/// # Errors
///
/// None in practice: the template is part of the program.
pub fn plot(title: &str, scores: &[Score]) -> Result<String> {
    let fastest = scores.iter().map(|score| score.tokens_per_second).fold(1.0, f64::max);
    let worst = scores.iter().map(|score| score.total.percent()).fold(100.0, f64::min);
    let across = step(fastest);
    let x = Axis { values: (0.0, (fastest / across).ceil() * across), ends: (LEFT, RIGHT) };
    // From the ten below the worst, and at least the upper fifth.
    let floor = ((worst - 0.1) / 10.0).floor().clamp(0.0, 8.0) * 10.0;
    let y = Axis { values: (floor, 100.0), ends: (BOTTOM, TOP) };
    let modes = MODES.iter().filter_map(|&(mode, name, colour)| {
        let points = scores.iter().filter(|score| score.setting.mode == mode).map(|score| {
            let (speed, percent) = (score.tokens_per_second, score.total.percent());
            let threshold = score.setting.threshold.map_or_else(String::new, |threshold| format!(" {threshold}"));
            let label = format!("{name}{threshold}: {percent:.1} % at {speed:.0} tokens per second");
            context! { x => x.at(speed), y => y.at(percent), label }
        });
        let points: Vec<_> = points.collect();
        let path = scores.iter().filter(|score| score.setting.mode == mode).enumerate().map(|(index, score)| {
            let command = if index == 0 { 'M' } else { 'L' };
            format!("{command}{} {}", x.at(score.tokens_per_second), y.at(score.total.percent()))
        });
        let path: String = path.collect();
        (!points.is_empty()).then(|| context! { name, colour, points, path })
    });
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let figure = context! {
        title, width => WIDTH, height => HEIGHT, left => LEFT, right => RIGHT, top => TOP, bottom => BOTTOM,
        columns => x.ticks(across), rows => y.ticks(if floor < 60.0 { 10.0 } else { 5.0 }), modes => modes.collect::<Vec<_>>(),
    };
    environment
        .render_str(include_str!("plot.svg"), figure)
        .map_err(|error| err!(Crashed, "the plot cannot be drawn: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Count, Setting};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn score(mode: Mode, threshold: Option<f64>, exact: usize, tokens_per_second: f64) -> Score {
        Score {
            setting: Setting { mode, threshold, dual_cache: false },
            total: Count { cases: 100, exact },
            tasks: Vec::new(),
            new_tokens: 0,
            passes: 0,
            blocks: 0,
            commits: 0,
            decode_ms: 0.0,
            tokens_per_second,
            tokens_per_pass: 0.0,
            passes_per_block: None,
        }
    }

    #[test]
    fn draws_a_line_a_mode_and_a_point_a_score() {
        let scores = [
            score(Mode::Adaptive, Some(0.5), 80, 400.0),
            score(Mode::Adaptive, Some(0.9), 100, 200.0),
            score(Mode::Ar, None, 90, 100.0),
        ];
        let svg = plot("a <b> & \"c\"", &scores).unwrap();
        assert!(svg.starts_with("<svg ") && svg.contains("a &lt;b&gt; &amp;"), "{svg}");
        // 0..400 tokens/s lie at 56..696, 70..100 % at 384..64.
        assert!(svg.contains("d=\"M696 277.3L376 64\""), "{svg}");
        assert!(svg.contains("<title>adaptive 0.5: 80.0 % at 400 tokens per second</title>"), "{svg}");
        assert_eq!((svg.matches("<title>").count(), svg.matches("class=\"line\"").count()), (3, 2));
    }

    #[test]
    fn steps_are_round_and_few() {
        for (max, expected) in [(1.0, 0.1), (400.0, 50.0), (1000.0, 100.0), (1001.0, 200.0), (61_000.0, 10_000.0)] {
            let step = step(max);
            assert!((step - expected).abs() < 1e-9 * expected, "{max}: {step}");
        }
    }
}
