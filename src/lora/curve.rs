//! The losses of a run as a picture.

use std::fmt::Write;

/// A loss after so many steps.
pub type Point = (u64, f64);

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const MARGIN: f64 = 56.0;
const GRID_LINES: usize = 5;

/// An SVG of the losses of batches and of the held-out examples, each by step.
#[must_use]
pub fn svg(batches: &[Point], held_out: &[Point]) -> String {
    let all = || batches.iter().chain(held_out).filter(|(_, loss)| loss.is_finite());
    let last = all().map(|(step, _)| *step).max().unwrap_or(0).max(1) as f64;
    let highest = all().map(|(_, loss)| *loss).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let x = |step: u64| MARGIN + (WIDTH - 2.0 * MARGIN) * step as f64 / last;
    let y = |loss: f64| HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * loss / highest;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for line in 0..=GRID_LINES {
        let loss = highest * line as f64 / GRID_LINES as f64;
        let (left, right, at) = (MARGIN, WIDTH - MARGIN, y(loss));
        // A String takes everything.
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{loss:.2}</text>",
            left - 6.0,
            at + 4.0
        );
    }
    for (points, color, name, row) in
        [(batches, "#888", "batch", 0.0), (held_out, "#c30", "held out", 1.0)]
    {
        let place = |(step, loss): &Point| format!("{:.1},{:.1}", x(*step), y(*loss));
        let finite = points.iter().filter(|(_, loss)| loss.is_finite());
        let line: Vec<String> = finite.map(place).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{color}\">{name}</text>",
            line.join(" "),
            WIDTH - MARGIN - 60.0,
            MARGIN / 2.0 + 16.0 * row
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">step (of {last:.0})</text>\n</svg>",
        WIDTH / 2.0,
        HEIGHT - MARGIN / 3.0
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_has_a_point_for_each_loss() {
        let svg = svg(&[(1, 2.0), (2, 1.0), (3, f64::NAN)], &[(0, 2.5), (3, 1.5)]);
        let counts: Vec<usize> = svg
            .split("points=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap_or("").split_whitespace().count())
            .collect();
        assert_eq!(counts, [2, 2]);
        assert!(!svg.contains("NaN"));
    }
}
