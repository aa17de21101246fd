//! Resampling as Pillow does it: separable filters, widened when a picture becomes smaller, in fixed point.
//!
//! Lines come first, then columns, as in Pillow up to 12, with which the models were trained. Pillow 13 begins with the
//! axis that shrinks more; values between the passes are bytes, so the order shows.

use super::super::registry::Interpolation;
use image::RgbImage;
use std::ops::Range;

/// Bits behind the point: 8 of a value and 2 for sums of filters with negative lobes leave so many.
const PRECISION: u32 = 32 - 8 - 2;

/// How a side of a picture becomes another length.
struct Weights {
    source: usize,
    target: usize,
    interpolation: Interpolation,
}

fn filter(interpolation: Interpolation) -> (fn(f64) -> f64, f64) {
    fn triangle(x: f64) -> f64 {
        (1.0 - x.abs()).max(0.0)
    }
    /// Keys' cubic with a = -0.5.
    fn cubic(x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        if x < 1.0 {
            ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
        } else if x < 2.0 {
            (((x - 5.0) * x + 8.0) * x - 4.0) * A
        } else {
            0.0
        }
    }
    fn lanczos(x: f64) -> f64 {
        let sinc = |x: f64| {
            let x = x * std::f64::consts::PI;
            if x == 0.0 { 1.0 } else { x.sin() / x }
        };
        if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
    }
    match interpolation {
        Interpolation::Bilinear => (triangle, 1.0),
        Interpolation::Bicubic => (cubic, 2.0),
        Interpolation::Lanczos => (lanczos, 3.0),
    }
}

impl Weights {
    fn new(source: usize, target: usize, interpolation: Interpolation) -> Self {
        Self { source, target, interpolation }
    }

    /// For some places of the result, the first source place and the weights from there.
    fn part(&self, places: Range<usize>) -> Vec<(usize, Vec<i32>)> {
        if self.source == self.target {
            return places.map(|place| (place, vec![1 << PRECISION])).collect();
        }
        let fixed = |weight: f64| {
            let weight = weight * f64::from(1 << PRECISION);
            (weight + if weight < 0.0 { -0.5 } else { 0.5 }) as i32
        };
        let taps = taps((self.source, self.target), places, self.interpolation);
        taps.into_iter().map(|(first, weights)| (first, weights.into_iter().map(fixed).collect())).collect()
    }
}

/// For some places of an axis that gets another length, the first source place and the weights from there, their sum one.
pub(super) fn taps(
    (source, target): (usize, usize),
    places: Range<usize>,
    interpolation: Interpolation,
) -> Vec<(usize, Vec<f64>)> {
    let (filter, support) = filter(interpolation);
    let step = source as f64 / target as f64;
    let scale = step.max(1.0);
    let support = support * scale;
    let span = |place: usize| {
        let centre = (place as f64 + 0.5) * step;
        let first = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(source);
        let weights: Vec<f64> =
            (first..end).map(|place| filter((place as f64 - centre + 0.5) * (1.0 / scale))).collect();
        let sum: f64 = weights.iter().sum();
        (first, weights.into_iter().map(|weight| weight / sum).collect())
    };
    places.map(span).collect()
}

fn clipped(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Part of a picture in another size, bit for bit as Pillow's `resize`: `columns` and `rows` of the result, which is
/// `size`, `(rows, columns, 3)`. What the part does not need is not computed.
///
/// # Complexity
/// O(w' h f + w' h' f) for a part of w' by h', where f is the filter's support, which grows with the reduction.
pub(super) fn resize(
    picture: &RgbImage,
    size: (usize, usize),
    columns: Range<usize>,
    rows: Range<usize>,
    interpolation: Interpolation,
) -> Vec<u8> {
    const HALF: i32 = 1 << (PRECISION - 1);
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let vertical = Weights::new(height, size.1, interpolation).part(rows);
    // The lines that the second pass reads.
    let top = vertical.iter().map(|(first, _)| *first).min().unwrap_or(0);
    let bottom = vertical.iter().map(|(first, weights)| first + weights.len()).max().unwrap_or(0);
    let lines = &picture.as_raw()[top * width * 3..bottom * width * 3];
    let row = columns.len() * 3;
    let mut narrowed = Vec::with_capacity((bottom - top) * row);
    if width == size.0 {
        lines.chunks_exact(width * 3).for_each(|line| narrowed.extend_from_slice(&line[columns.start * 3..][..row]));
    } else {
        let horizontal = Weights::new(width, size.0, interpolation).part(columns);
        for line in lines.chunks_exact(width * 3) {
            for (first, weights) in &horizontal {
                let mut sums = [HALF; 3];
                for (pixel, &weight) in line[first * 3..].chunks_exact(3).zip(weights) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += i32::from(value) * weight);
                }
                narrowed.extend(sums.map(clipped));
            }
        }
    }
    if height == size.1 {
        return narrowed;
    }
    let mut out = Vec::with_capacity(vertical.len() * row);
    let mut sums = vec![HALF; row];
    for (first, weights) in &vertical {
        sums.fill(HALF);
        for (line, &weight) in narrowed[(first - top) * row..].chunks_exact(row).zip(weights) {
            sums.iter_mut().zip(line).for_each(|(sum, &value)| *sum += i32::from(value) * weight);
        }
        out.extend(sums.iter().map(|&sum| clipped(sum)));
    }
    out
}
