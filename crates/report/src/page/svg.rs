//! A few shapes as SVG text. Own, because a page that follows light and dark needs colours by CSS class, which plotting
//! libraries bake in, and these five charts need no more than lines, bars and cells.

use std::fmt::Write as _;

/// Text for HTML and SVG.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A chart with axes: data coordinates to picture coordinates.
pub(super) struct Chart {
    body: String,
    width: f64,
    height: f64,
    x: (f64, f64),
    y: (f64, f64),
    title: String,
}

/// Room around the plot for labels: left, top, right, bottom.
const ROOM: (f64, f64, f64, f64) = (60.0, 12.0, 12.0, 42.0);

impl Chart {
    pub(super) fn new(title: &str, (width, height): (f64, f64), x: (f64, f64), y: (f64, f64)) -> Self {
        Self { body: String::new(), width, height, x, y, title: title.to_owned() }
    }

    pub(super) fn at_x(&self, x: f64) -> f64 {
        ROOM.0 + (x - self.x.0) / (self.x.1 - self.x.0) * (self.width - ROOM.0 - ROOM.2)
    }

    pub(super) fn at_y(&self, y: f64) -> f64 {
        self.height - ROOM.3 - (y - self.y.0) / (self.y.1 - self.y.0) * (self.height - ROOM.1 - ROOM.3)
    }

    /// Axes with ticks and their names.
    pub(super) fn axes(
        &mut self,
        x_ticks: &[(f64, String)],
        x_name: &str,
        y_ticks: &[(f64, String)],
        y_name: &str,
    ) {
        for (y, label) in y_ticks {
            let at = self.at_y(*y);
            let _ = write!(
                self.body,
                "<line class=\"grid\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                ROOM.0,
                self.width - ROOM.2,
                ROOM.0 - 5.0,
                at + 3.5,
                escape(label)
            );
        }
        for (x, label) in x_ticks {
            let _ = write!(
                self.body,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                self.at_x(*x),
                self.height - ROOM.3 + 14.0,
                escape(label)
            );
        }
        let _ = write!(
            self.body,
            "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text><text class=\"name\" transform=\"translate(11 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (ROOM.0 + self.width - ROOM.2) / 2.0,
            self.height - 6.0,
            escape(x_name),
            (ROOM.1 + self.height - ROOM.3) / 2.0,
            escape(y_name)
        );
    }

    /// A line through points, with a class that names its colour and dash.
    pub(super) fn line(&mut self, points: &[(f64, f64)], class: &str, has_dots: bool) {
        let place = |(x, y): &(f64, f64)| format!("{:.1},{:.1}", self.at_x(*x), self.at_y(*y));
        let places: Vec<String> = points.iter().map(place).collect();
        let _ = write!(self.body, "<polyline class=\"{class}\" points=\"{}\"/>", places.join(" "));
        if has_dots {
            for (x, y) in points {
                let (x, y) = (self.at_x(*x), self.at_y(*y));
                let _ = write!(
                    self.body,
                    "<circle class=\"{class} dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.4\"/>"
                );
            }
        }
    }

    /// A vertical bar from `low` to `high`: an interval.
    pub(super) fn whisker(&mut self, x: f64, low: f64, high: f64, class: &str) {
        let x = self.at_x(x);
        let (low, high) = (self.at_y(low), self.at_y(high));
        let _ = write!(
            self.body,
            "<line class=\"{class} thin\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{low:.1}\" y2=\"{high:.1}\"/>"
        );
    }

    /// A filled box in data coordinates.
    pub(super) fn bar(&mut self, (x0, x1): (f64, f64), (y0, y1): (f64, f64), class: &str) {
        let (x0, x1, y0, y1) = (self.at_x(x0), self.at_x(x1), self.at_y(y0), self.at_y(y1));
        let (top, height) = (y0.min(y1), (y0 - y1).abs());
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{x0:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
            x1 - x0
        );
    }

    /// The picture.
    pub(super) fn finish(self) -> String {
        format!(
            "<svg style=\"max-width:{:.0}px\" viewBox=\"0 0 {:.0} {:.0}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>{}</svg>",
            self.width * 1.15,
            self.width,
            self.height,
            self.body,
            title = escape(&self.title)
        )
    }
}

/// Ticks in per cent between two fractions.
pub(super) fn percent_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let step =
        [0.01, 0.02, 0.05, 0.1, 0.2].into_iter().find(|step| (high - low) / step <= 7.0).unwrap_or(0.25);
    let mut ticks = Vec::new();
    let mut n = (low / step).ceil();
    while n * step <= high + 1e-9 {
        ticks.push((n * step, format!("{:.0}", 100.0 * n * step)));
        n += 1.0;
    }
    ticks
}

/// At most seven ticks at round numbers between two values.
pub(super) fn round_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let decade = 10_f64.powf((high - low).log10().floor());
    let steps = [0.1, 0.2, 0.5, 1.0, 2.0].map(|step| step * decade);
    let step = steps.into_iter().find(|step| (high - low) / step <= 6.0).unwrap_or(2.0 * decade);
    let digits = (-step.log10().floor()).max(0.0) as usize;
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    (0..=(last - first).max(0.0) as u32)
        .map(|n| (first + f64::from(n)) * step)
        .map(|value| (value, format!("{value:.digits$}")))
        .collect()
}

/// A difference of two shares in points, with its sign; one that rounds to nothing has none.
pub(super) fn points(difference: f64) -> String {
    let text = format!("{:+.1}", 100.0 * difference);
    if matches!(text.as_str(), "+0.0" | "-0.0") { "0.0".to_owned() } else { text }
}

/// What each class of line stands for.
pub(super) fn legend(entries: &[(&str, &str)]) -> String {
    let one = |(class, name): &(&str, &str)| {
        format!(
            "<span><svg class=\"key\" viewBox=\"0 0 22 8\" aria-hidden=\"true\"><line class=\"{class}\" x1=\"1\" x2=\"21\" y1=\"4\" y2=\"4\"/></svg>{}</span>",
            escape(name)
        )
    };
    format!("<p class=\"legend\">{}</p>", entries.iter().map(one).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let labels =
            |low, high| round_ticks(low, high).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(0.493, 0.575), ["0.50", "0.52", "0.54", "0.56"]);
        assert_eq!(labels(0.0, 0.606), ["0.0", "0.2", "0.4", "0.6"]);
        assert_eq!(labels(0.0, 30.0), ["0", "5", "10", "15", "20", "25", "30"]);
    }

    #[test]
    fn nothing_has_no_sign() {
        assert_eq!(
            ["-0.1", "0.0", "0.0", "+1.2"].map(str::to_owned),
            [-0.001, -0.0001, 0.0, 0.012].map(points)
        );
    }
}
