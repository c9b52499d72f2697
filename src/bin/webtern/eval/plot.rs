//! Accuracy against speed as an SVG plot: one line a mode, one point a threshold.

use super::labels::{LINE, Rect, place};
use super::score::Score;
use minijinja::{AutoEscape, Environment, Value, context};
use webtern::decode::Mode;
use webtern::{Error, ErrorCode, Result};

/// Size of the picture, in pixels, and the edges of the plot in it.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 696.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 384.0;

/// How a mode is drawn: its name, a color that shows on white and one that shows on black.
struct Style {
    mode: Mode,
    name: &'static str,
    on_light: &'static str,
    on_dark: &'static str,
}

/// Every mode, in the order in which they are drawn.
const STYLES: [Style; 6] = [
    Style { mode: Mode::Ar, name: "ar", on_light: "#bc4c00", on_dark: "#f0883e" },
    Style { mode: Mode::Greedy, name: "greedy", on_light: "#bf3989", on_dark: "#f778ba" },
    Style { mode: Mode::Iterative, name: "iterative", on_light: "#1f6feb", on_dark: "#79c0ff" },
    Style { mode: Mode::Adaptive, name: "adaptive", on_light: "#1a7f37", on_dark: "#56d364" },
    Style { mode: Mode::Speculative, name: "speculative", on_light: "#8250df", on_dark: "#bc8cff" },
    Style { mode: Mode::Auto, name: "auto", on_light: "#6e7781", on_dark: "#9198a1" },
];

/// How far below the best a score may be, in percentage points, to count for the range of the plot.
const SPREAD: f64 = 30.0;

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

/// Where the axis of accuracy begins, and its step. It begins at the five below the worst score and
/// at 90 at most; scores more than [`SPREAD`] below the best do not count, so that one bad mode
/// does not press the others together.
fn accuracies(scores: &[Score]) -> (f64, f64) {
    let percents = || scores.iter().map(|score| score.total.percent());
    let best = percents().fold(0.0, f64::max);
    let worst = percents().filter(|percent| *percent >= best - SPREAD).fold(100.0, f64::min);
    let floor = ((worst - 0.1) / 5.0).floor().clamp(0.0, 18.0) * 5.0;
    let step = match 100.0 - floor {
        ..=10.0 => 2.0,
        ..=50.0 => 5.0,
        _ => 10.0,
    };
    // Whole steps up to 100.
    (100.0 - ((100.0 - floor) / step).ceil() * step, step)
}

/// A score in the picture.
struct Point<'a> {
    mode: &'static str,
    score: &'a Score,
    at: (f64, f64),
    /// Whether it is its mode's first, which stands for the mode.
    first: bool,
    /// Whether it lies below the plot, and is drawn on its edge.
    below: bool,
}

impl Point<'_> {
    fn threshold(&self) -> Option<String> {
        self.score.setting.threshold.map(|threshold| threshold.to_string())
    }

    /// The mode with its threshold.
    fn setting(&self) -> String {
        self.threshold().map_or_else(|| self.mode.to_owned(), |threshold| format!("{} {threshold}", self.mode))
    }

    /// The words beside it.
    fn label(&self) -> String {
        let words = if self.first { self.setting() } else { self.threshold().unwrap_or_default() };
        if self.below { format!("{words} ↓ {:.0} %", self.score.total.percent()) } else { words }
    }

    /// What is shown when it is pointed at.
    fn title(&self) -> String {
        let (percent, speed) = (self.score.total.percent(), self.score.tokens_per_second);
        format!("{}: {percent:.1} % at {speed:.0} tokens per second", self.setting())
    }
}

/// Draws `scores` under a title, but for those of a rule of acceptance other than the model's own.
/// The points of a mode are joined in the order of the scores. Its first is labelled with its name,
/// the others with their thresholds where there is room.
///
/// # Errors
///
/// None in practice: the template is part of the program.
pub(super) fn plot(title: &str, scores: &[Score]) -> Result<String> {
    let fastest = scores.iter().map(|score| score.tokens_per_second).fold(1.0, f64::max);
    let across = step(fastest);
    let x = Axis { values: (0.0, (fastest / across).ceil() * across), ends: (LEFT, RIGHT) };
    let (floor, up) = accuracies(scores);
    let y = Axis { values: (floor, 100.0), ends: (BOTTOM, TOP) };
    let lines = STYLES.map(|style| (points(&style, scores, &x, &y), style));
    let modes = lines.iter().filter(|(points, _)| !points.is_empty()).map(|(points, style)| {
        let marks = points.iter().map(|point| context! { x => point.at.0, y => point.at.1, title => point.title() });
        let Style { name, on_light, on_dark, .. } = *style;
        context! { name, on_light, on_dark, points => marks.collect::<Vec<_>>(), path => path(points) }
    });
    let points: Vec<&Point<'_>> = lines.iter().flat_map(|(points, _)| points).collect();
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let figure = context! {
        title, width => WIDTH, height => HEIGHT, left => LEFT, right => RIGHT, top => TOP, bottom => BOTTOM,
        columns => x.ticks(across), rows => y.ticks(up), modes => modes.collect::<Vec<_>>(),
        thresholds => points.iter().any(|point| point.threshold().is_some()), labels => labels(&points),
    };
    environment
        .render_str(include_str!("plot.svg"), figure)
        .map_err(|error| Error::new(ErrorCode::Crashed, format!("the plot cannot be drawn: {error}")))
}

/// The scores of one mode in the picture.
fn points<'a>(style: &Style, scores: &'a [Score], x: &Axis, y: &Axis) -> Vec<Point<'a>> {
    let drawn = |score: &&Score| score.setting.mode == style.mode && score.setting.acceptance.is_none();
    let scores = scores.iter().filter(drawn);
    let point = |(place, score): (usize, &'a Score)| {
        let (percent, lowest) = (score.total.percent(), y.values.0);
        let at = (x.at(score.tokens_per_second), y.at(percent.max(lowest)));
        Point { mode: style.name, score, at, first: place == 0, below: percent < lowest }
    };
    scores.enumerate().map(point).collect()
}

fn path(points: &[Point<'_>]) -> String {
    let commands = std::iter::once('M').chain(std::iter::repeat('L'));
    points.iter().zip(commands).map(|(Point { at: (x, y), .. }, command)| format!("{command}{x} {y}")).collect()
}

/// The labels of all points that have room for one, names before thresholds.
fn labels(points: &[&Point<'_>]) -> Vec<Value> {
    let (names, thresholds): (Vec<_>, Vec<_>) = points.iter().partition(|point| point.first);
    let points: Vec<&Point<'_>> = names.into_iter().chain(thresholds).collect();
    let texts: Vec<String> = points.iter().map(|point| point.label()).collect();
    let area = Rect { left: LEFT, right: RIGHT, top: TOP - LINE, bottom: BOTTOM };
    let labels: Vec<_> = points.iter().zip(&texts).map(|(point, text)| (text.as_str(), point.at)).collect();
    let drawn = points.iter().zip(&texts).zip(place(&labels, area)).filter_map(|((point, text), rect)| {
        let (x, y) = rect?.center();
        Some(context! { x => rounded(x, 0.1), y => rounded(y, 0.1), mode => point.mode, bold => point.first, text => text.as_str() })
    });
    drawn.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::score::{Count, Setting};

    fn score(mode: Mode, threshold: Option<f64>, exact: usize, tokens_per_second: f64) -> Score {
        Score {
            setting: Setting { mode, acceptance: None, threshold, dual_cache: false },
            total: Count { cases: 100, exact },
            tasks: Vec::new(),
            new_tokens: 0,
            passes: 0,
            blocks: 0,
            commits: 0,
            evaluated_rows: 0,
            decode_ms: 0.0,
            tokens_per_second,
            tokens_per_pass: 0.0,
            rows_per_token: 0.0,
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
        // 0..400 tokens/s lie at 56..696, 75..100 % at 384..64.
        assert!(svg.contains("d=\"M696 320L376 64\""), "{svg}");
        assert!(svg.contains("<title>adaptive 0.5: 80.0 % at 400 tokens per second</title>"), "{svg}");
        assert_eq!((svg.matches("<title>").count(), svg.matches("class=\"line\"").count()), (3, 2));
    }

    #[test]
    fn labels_a_mode_by_name_and_its_other_points_by_threshold() {
        let scores = [
            score(Mode::Ar, None, 95, 100.0),
            score(Mode::Adaptive, Some(0.5), 80, 400.0),
            score(Mode::Adaptive, Some(0.9), 90, 200.0),
            // On the same spot: one of the labels has to move.
            score(Mode::Iterative, Some(0.5), 90, 200.0),
        ];
        let svg = plot("plot", &scores).unwrap();
        for label in [">ar<", ">adaptive 0.5<", ">iterative 0.5<", ">0.9<"] {
            assert_eq!(svg.matches(label).count(), 1, "{label}: {svg}");
        }
        assert!(svg.contains("probability above which"), "{svg}");
        assert!(!plot("plot", &scores[..1]).unwrap().contains("probability above which"));
    }

    #[test]
    fn a_score_far_below_the_others_is_on_the_edge_and_says_what_it_is() {
        let scores = [score(Mode::Greedy, None, 12, 400.0), score(Mode::Ar, None, 96, 100.0)];
        assert_eq!(accuracies(&scores), (90.0, 2.0));
        let svg = plot("plot", &scores).unwrap();
        assert!(svg.contains(">greedy ↓ 12 %<") && svg.contains("cx=\"696.0\" cy=\"384.0\""), "{svg}");
        assert_eq!(accuracies(&[score(Mode::Ar, None, 41, 1.0)]), (40.0, 10.0));
        assert_eq!(accuracies(&[score(Mode::Ar, None, 83, 1.0)]), (80.0, 5.0));
        assert_eq!(accuracies(&[score(Mode::Ar, None, 0, 1.0)]), (0.0, 10.0));
    }

    #[test]
    fn steps_are_round_and_few() {
        for (max, expected) in [(1.0, 0.1), (400.0, 50.0), (1000.0, 100.0), (1001.0, 200.0), (61_000.0, 10_000.0)] {
            let step = step(max);
            assert!((step - expected).abs() < 1e-9 * expected, "{max}: {step}");
        }
    }
}
