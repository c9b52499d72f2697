//! Where the labels of a plot go: beside their points, and never over each other.
//!
//! Labels are placed one after the other, the important ones first. Each takes the first of a few
//! places around its point that lies within the plot and is free of points and of the labels before
//! it.

/// Mean width of a character and height of a line of the plot's 12-pixel font, in pixels, on the
/// generous side.
const CHARACTER: f64 = 6.7;
pub(super) const LINE: f64 = 13.0;

/// How far from its point's center a label begins.
const GAP: f64 = 8.0;

/// Half the width of a point.
const POINT: f64 = 5.0;

/// A rectangle by its edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Rect {
    fn around(x: f64, y: f64, width: f64, height: f64) -> Self {
        Self { left: x - width / 2.0, right: x + width / 2.0, top: y - height / 2.0, bottom: y + height / 2.0 }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    fn contains(&self, other: &Self) -> bool {
        self.left <= other.left && other.right <= self.right && self.top <= other.top && other.bottom <= self.bottom
    }

    /// The middle of the rectangle.
    pub(super) fn center(&self) -> (f64, f64) {
        (f64::midpoint(self.left, self.right), f64::midpoint(self.top, self.bottom))
    }
}

/// The places for a label of `text` at a point, the best first: above, below, at the sides, at the
/// corners.
fn places(x: f64, y: f64, text: &str) -> impl Iterator<Item = Rect> {
    let width = CHARACTER * text.chars().count() as f64;
    let (across, down) = (GAP + width / 2.0, GAP + LINE / 2.0);
    [(0.0, -down), (0.0, down), (across, 0.0), (-across, 0.0)]
        .into_iter()
        .chain([(across, -down), (-across, -down), (across, down), (-across, down)])
        .map(move |(dx, dy)| Rect::around(x + dx, y + dy, width, LINE))
}

/// Places labels, each a text and the point that it belongs to, within `area`. A label without a
/// free place has none.
pub(super) fn place(labels: &[(&str, (f64, f64))], area: Rect) -> Vec<Option<Rect>> {
    let mut taken: Vec<Rect> = labels.iter().map(|&(_, (x, y))| Rect::around(x, y, 2.0 * POINT, 2.0 * POINT)).collect();
    let place = |&(text, (x, y)): &(&str, (f64, f64))| {
        let free = |rect: &Rect| area.contains(rect) && !taken.iter().any(|other| other.overlaps(rect));
        let found = places(x, y, text).find(free)?;
        taken.push(found);
        Some(found)
    };
    labels.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Rect = Rect { left: 0.0, right: 200.0, top: 0.0, bottom: 100.0 };

    #[test]
    fn labels_stay_inside_and_clear_of_each_other_and_of_points() {
        let points: Vec<(f64, f64)> = (0..12).map(|i| (8.0 * f64::from(i), 50.0 + f64::from(i % 3))).collect();
        let labels: Vec<(&str, (f64, f64))> = points.iter().map(|&point| ("0.5", point)).collect();
        let placed: Vec<Rect> = place(&labels, AREA).into_iter().flatten().collect();
        assert!(placed.len() > 4, "{placed:?}");
        for (i, rect) in placed.iter().enumerate() {
            assert!(AREA.contains(rect), "{rect:?}");
            assert!(!placed[..i].iter().any(|other| other.overlaps(rect)), "{placed:?}");
            assert!(!points.iter().any(|&(x, y)| Rect::around(x, y, 8.0, 8.0).overlaps(rect)), "{rect:?}");
        }
    }

    #[test]
    fn a_label_is_above_its_point_where_there_is_room() {
        let top = |y| place(&[("a", (100.0, y))], AREA)[0].unwrap().center().1;
        assert!(top(50.0) < 50.0 && top(5.0) > 5.0);
        assert_eq!(place(&[("a", (100.0, 500.0))], AREA), [None]);
    }
}
