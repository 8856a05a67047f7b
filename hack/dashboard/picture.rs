//! The picture: each panel at its place in Grafana's grid.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels, letters and lines are small positive numbers"
)]

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::panel::{Panel, Place};
use crate::prometheus::STEP;
use crate::test_bed::Result;

/// Pixels of a column and a row of the grid, and between two panels.
const CELL: (u32, u32) = (50, 38);
const GAP: u32 = 8;
const LEGEND_ROW: u32 = 15;
/// The panels have a background of their own, so the picture is readable on a white page and on a dark one.
const BACKGROUND: RGBColor = RGBColor(27, 31, 36);
const BORDER: RGBColor = RGBColor(87, 96, 106);
const TEXT: RGBColor = RGBColor(208, 215, 222);
const GRID: RGBColor = RGBColor(50, 56, 63);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws the panels of a run that ended after this number of seconds.
pub(crate) fn draw(panels: &[Panel], end: i64, file: &Path) -> Result {
    let rows = panels.iter().map(|panel| panel.grid_pos.y + panel.grid_pos.h).max().unwrap_or_default();
    let root = SVGBackend::new(file, (24 * CELL.0, rows * CELL.1)).into_drawing_area();
    for panel in panels {
        let Place { x, y, w, h } = panel.grid_pos;
        let area = root.clone().shrink((x * CELL.0, y * CELL.1), (w * CELL.0 - GAP, h * CELL.1 - GAP));
        area.fill(&BACKGROUND)?;
        let (width, height) = area.dim_in_pixel();
        area.draw(&Rectangle::new([(0, 0), (pixels(width) - 1, pixels(height) - 1)], BORDER))?;
        // A long title gets smaller letters.
        let size = (f64::from(width - 20) / (panel.title.chars().count() as f64 * 0.5)).min(15.0);
        area.draw_text(&panel.title, &font(size, TEXT), (10, 9))?;
        let area = area.margin(30, 6, 10, 10);
        match panel.kind.as_str() {
            "timeseries" => time_series(&area, panel, end)?,
            "stat" => stat(&area, panel, end)?,
            "table" => table(&area, panel)?,
            other => return Err(format!("the picture has no panel of the type {other}").into()),
        }
    }
    root.present()?;
    Ok(())
}

fn time_series(area: &Area<'_>, panel: &Panel, end: i64) -> Result {
    let lines = &panel.lines;
    let (width, height) = area.dim_in_pixel();
    let longest = lines.iter().map(|line| line.legend.chars().count()).max().unwrap_or_default();
    let columns = (f64::from(width) / (longest as f64 * 6.4 + 30.0)).max(1.0) as usize;
    let legend_height = u32::try_from(lines.len().div_ceil(columns))? * LEGEND_ROW;
    let (above, legend) = area.split_vertically(height.checked_sub(legend_height).ok_or("the legend does not fit")?);
    chart(&above, panel, end, true)?;
    for (at, line) in lines.iter().enumerate() {
        let x = pixels(width / u32::try_from(columns)?) * i32::try_from(at % columns)?;
        let y = pixels(LEGEND_ROW) * i32::try_from(at / columns)? + 7;
        legend.draw(&PathElement::new([(x, y), (x + 14, y)], color(at).stroke_width(3)))?;
        legend.draw_text(&line.legend, &font(12.0, TEXT).pos(Pos::new(HPos::Left, VPos::Center)), (x + 20, y))?;
    }
    Ok(())
}

/// The last number, above its history.
fn stat(area: &Area<'_>, panel: &Panel, end: i64) -> Result {
    let (width, height) = area.dim_in_pixel();
    let (number, history) = area.split_vertically(height * 2 / 3);
    let last = panel.lines.first().and_then(|line| line.points.last()).ok_or("a stat without a number")?.1;
    let color = match panel.color(last) {
        Some("green") => RGBColor(115, 191, 105),
        Some("red") => RGBColor(242, 73, 92),
        None => TEXT,
        Some(other) => return Err(format!("{}: the picture has no color {other}", panel.title).into()),
    };
    let style = font(64.0, color).pos(Pos::new(HPos::Center, VPos::Center));
    number.draw_text(&panel.show(last)?, &style, (pixels(width / 2), pixels(height / 3)))?;
    chart(&history, panel, end, false)
}

fn table(area: &Area<'_>, panel: &Panel) -> Result {
    let middle = pixels(area.dim_in_pixel().0 / 2);
    for (y, line) in (6..).step_by(24).zip(&panel.lines) {
        let last = line.points.last().ok_or("a row without a number")?.1;
        area.draw_text(&line.legend, &font(14.0, TEXT), (10, y))?;
        area.draw_text(&panel.show(last)?, &font(14.0, TEXT), (middle, y))?;
    }
    Ok(())
}

fn chart(area: &Area<'_>, panel: &Panel, end: i64, axes: bool) -> Result {
    let top = panel.lines.iter().flat_map(|line| &line.points).map(|(_, number)| *number).fold(0.0, f64::max);
    let top = if top == 0.0 { 1.0 } else { top * 1.08 };
    // An unknown unit is an error, and not an empty label.
    panel.show(top)?;
    let minutes = (0..=end).step_by(60).collect();
    let mut chart = ChartBuilder::on(area)
        .margin_right(6)
        .x_label_area_size(if axes { 24 } else { 0 })
        .y_label_area_size(if axes { 66 } else { 0 })
        .build_cartesian_2d((0..end).with_key_points(minutes), 0.0..top)?;
    if axes {
        chart
            .configure_mesh()
            .axis_style(GRID)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(font(11.0, TEXT))
            .y_labels(5)
            .x_label_formatter(&|time| format!("{}:{:02}", time / 60, time % 60))
            .y_label_formatter(&|number| panel.show(*number).unwrap_or_default())
            .draw()?;
    }
    for (at, line) in panel.lines.iter().enumerate() {
        // A line ends where the series has no number.
        for part in line.points.chunk_by(|(before, _), (after, _)| after - before <= STEP) {
            let style = color(at).stroke_width(2);
            chart.draw_series(LineSeries::new(part.iter().copied(), style))?;
            if let [point] = part {
                chart.draw_series([Circle::new(*point, 2, color(at).filled())])?;
            }
        }
    }
    Ok(())
}

/// As many different colors as there are lines: the hue moves on by the golden ratio.
fn color(at: usize) -> HSLColor {
    HSLColor((0.58 + at as f64 * 0.618).fract(), 0.65, 0.65)
}

/// A font of this size in pixels, which the SVG backend divides by 1.24.
fn font<'a>(size: f64, color: RGBColor) -> TextStyle<'a> {
    ("sans-serif", size * 1.24).into_font().color(&color)
}

fn pixels(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
