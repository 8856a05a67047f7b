//! The ratios as a chart.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::Result;
use crate::report::{Line, ratios};
use crate::results::Results;

const SIZE: (u32, u32) = (900, 420);
/// Readable on a white page and on a dark one; the background is transparent.
const TEXT: RGBColor = RGBColor(122, 122, 122);
const GRID: RGBAColor = RGBAColor(122, 122, 122, 0.25);
const NONE: RGBAColor = RGBAColor(0, 0, 0, 0.0);
const COLORS: [RGBColor; 4] =
    [RGBColor(31, 119, 180), RGBColor(230, 110, 10), RGBColor(110, 170, 220), RGBColor(240, 170, 100)];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// The errors of the backend are not `'static`.
type Drawn<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Draws the operator's wall time and CPU time, divided by those of the floors.
pub(crate) fn draw(results: &Results, file: &Path) -> Result {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    let (left, right) = root.split_horizontally(SIZE.0 / 2);
    panel(&left, "Wall time of the operator, compared with", &ratios(results, |run| run.wall_ms))?;
    panel(&right, "CPU time of the operator, compared with", &ratios(results, |run| run.cpu_ms))?;
    root.present()?;
    Ok(())
}

fn panel(area: &Area<'_>, title: &str, lines: &[Line]) -> Drawn {
    let text = |size: i32| ("sans-serif", size).into_font().color(&TEXT);
    let points = || lines.iter().flat_map(|line| &line.points);
    let most = points().map(|(objects, _)| *objects).fold(10.0, f64::max);
    // The legend is above the lines.
    let top = points().map(|(_, ratio)| *ratio).fold(1.0, f64::max) * 1.6;
    let mut chart = ChartBuilder::on(area)
        .caption(title, text(17))
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(54)
        .build_cartesian_2d((0.8..most * 1.5).log_scale(), 0.0..top)?;
    chart
        .configure_mesh()
        .axis_style(TEXT)
        .bold_line_style(GRID)
        .light_line_style(NONE)
        .label_style(text(13))
        .axis_desc_style(text(14))
        .x_desc("objects deleted at once")
        .y_desc("ratio")
        .x_label_formatter(&|objects| format!("{objects:.0}"))
        .y_label_formatter(&|ratio| format!("{ratio:.1}"))
        .draw()?;
    chart.draw_series(LineSeries::new([(0.8, 1.0), (most * 1.5, 1.0)], TEXT))?;
    for (line, color) in lines.iter().zip(COLORS) {
        let style = color.stroke_width(2);
        let label = chart.draw_series(LineSeries::new(line.points.clone(), style).point_size(3))?;
        label.label(&line.name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(NONE)
        .border_style(NONE)
        .label_font(text(13))
        .draw()?;
    Ok(())
}
