//! The ratios as a chart.

use std::path::Path;

use plotters::coord::ranged1d::{KeyPointHint, Ranged};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;
use crate::report::{Line, ratios};
use crate::results::Results;

const SIZE: (u32, u32) = (860, 420);
/// Readable on white and on the dark grey of a page at night.
const TEXT: RGBColor = RGBColor(128, 128, 128);
const GRID: RGBAColor = RGBAColor(128, 128, 128, 0.25);
const COLORS: [RGBColor; 4] =
    [RGBColor(31, 119, 180), RGBColor(44, 160, 44), RGBColor(255, 127, 14), RGBColor(214, 39, 40)];

/// Draws the operator's wall and CPU time, divided by the floor's.
pub(crate) fn draw(results: &Results, file: &Path) -> Result {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    let (left, right) = root.split_horizontally(SIZE.0 / 2);
    for (area, title, lines) in [
        (left, "wall time, operator / floor", ratios(results, |run| run.wall_ms)),
        (right, "CPU time, operator / floor", ratios(results, |run| run.cpu_ms)),
    ] {
        panel(&area, title, &lines)?;
    }
    root.present()?;
    Ok(())
}
