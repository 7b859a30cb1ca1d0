//! Outlines of cells: a wobbly, squashed circle with a signed distance.

use super::rng::{Draws, ease};

/// A closed outline around a centre.
///
/// Units: pixels; `squash` and `wobble` are fractions of the radius.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blob {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) radius: f32,
    /// How much shorter the short axis is: 0 is a circle.
    squash: f32,
    /// Amplitudes of the 2nd, 3rd and 5th harmonic of the outline.
    wobble: [f32; 3],
    /// Unit vector along the long axis.
    axis: (f32, f32),
}

impl Blob {
    /// A blob of random orientation whose outline departs from an ellipse by at most about `wobble`.
    pub(super) fn new(x: f32, y: f32, radius: f32, squash: f32, wobble: f32, draws: &mut Draws) -> Self {
        let axis = draws.direction();
        let squash = draws.range(0.0, squash);
        let wobble = [0.5, 0.35, 0.25].map(|share| wobble * share * draws.range(-1.0, 1.0));
        Self { x, y, radius, squash, wobble, axis }
    }

    /// The same outline with its radius multiplied by `factor`.
    pub(super) fn scaled(mut self, factor: f32) -> Self {
        self.radius *= factor;
        self
    }

    /// Distance from the outline at a point: negative inside, about exact near the edge.
    pub(super) fn distance(&self, x: f32, y: f32) -> f32 {
        let (dx, dy) = (x - self.x, y - self.y);
        let along = dx * self.axis.0 + dy * self.axis.1;
        let across = (dy * self.axis.0 - dx * self.axis.1) / (1.0 - self.squash);
        let length = (along * along + across * across).sqrt();
        length - self.radius * (1.0 + self.outline(along, across, length))
    }

    /// Share of the pixel that the blob covers; the edge is `softness` pixels wide.
    pub(super) fn cover(&self, x: f32, y: f32, softness: f32) -> f32 {
        ease(0.5 - self.distance(x, y) / softness)
    }

    /// Sum of the harmonics; the cosines of multiples come from the cosine itself.
    fn outline(&self, along: f32, across: f32, length: f32) -> f32 {
        if length < 1e-3 {
            return 0.0;
        }
        let (c, s) = (along / length, across / length);
        let c2 = 2.0 * c * c - 1.0;
        let c3 = c * (2.0 * c2 - 1.0);
        // The 5th harmonic is taken as a sine, so that outlines are not mirror images.
        let s5 = s * (16.0 * c * c * c * c - 12.0 * c * c + 1.0);
        self.wobble[0] * c2 + self.wobble[1] * c3 + self.wobble[2] * s5
    }
}

/// Turns a unit vector by the angle whose tangent is `tangent`.
pub(super) fn turned((x, y): (f32, f32), tangent: f32) -> (f32, f32) {
    let cos = 1.0 / (1.0 + tangent * tangent).sqrt();
    let sin = tangent * cos;
    (x * cos - y * sin, x * sin + y * cos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_has_an_exact_distance() {
        let circle = Blob::new(10.0, 20.0, 5.0, 0.0, 0.0, &mut Draws::new(0, 0));
        for (x, y, wanted) in [(10.0, 20.0, -5.0), (15.0, 20.0, 0.0), (10.0, 28.0, 3.0)] {
            assert!((circle.distance(x, y) - wanted).abs() < 1e-5);
        }
        assert_eq!((circle.cover(10.0, 20.0, 1.0), circle.cover(30.0, 20.0, 1.0)), (1.0, 0.0));
    }

    #[test]
    fn turning_keeps_the_length() {
        let (x, y) = turned((0.6, 0.8), 1.7);
        assert!((x * x + y * y - 1.0).abs() < 1e-6);
    }
}
