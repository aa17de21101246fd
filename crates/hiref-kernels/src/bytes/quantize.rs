//! Points as bytes.

/// The largest bytes of rows and of columns. AVX2 adds two products in 16 bits, where `2 · (63 + 64) · 127` fits, 64 being what makes rows positive; a bit more would
/// leave out few pairs more, and take one and a half times as long.
const LARGEST_OF_ROWS: f64 = 63.0;
const LARGEST_OF_COLUMNS: f64 = 127.0;
/// Rounding of a rotation, relative to the size of what is turned: less than 40 steps, each of two roundings.
const ROTATION_ROUNDING: f64 = 1e-13;

/// Added and taken away again, it leaves whole numbers: from here on f64 has no others.
const WHOLE: f64 = 1.5 * (1_u64 << 52) as f64;

/// Turns points of `d` coordinates by a random rotation, one for all, and rounds them to bytes.
///
/// With `v` the point and `q` its bytes, `v ≈ scale · q` after the rotation, which changes no inner product. Hence, by Cauchy and Schwarz,
///
/// `|<v, w> - scale_v scale_w <q_v, q_w>| <= error_v · size_w + norm_v · error_w`
///
/// with `error = |v - scale · q|`, `norm = |scale · q|` and `size = |v|`, all rounded up. The rotation spreads a point evenly over its
/// coordinates: a single large one would cost all others their digits.
///
/// The rotation: signs at random and a Walsh-Hadamard transform of the first `2^p` coordinates, then again of the last, `2^p <= d` the
/// largest power. O(d log d).
#[derive(Debug)]
pub struct Quantizer {
    /// Two signs of each coordinate.
    signs: [Vec<bool>; 2],
    /// The largest byte.
    largest: f64,
}

/// What is known of a point and its bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantizedRow {
    /// What the bytes are multiples of; 1 for a point of zeros.
    pub scale: f64,
    /// `|v - scale · q|` at most.
    pub error: f64,
    /// `|scale · q|` at most.
    pub norm: f64,
    /// `|v|` at most.
    pub size: f64,
}

impl Quantizer {
    /// For [rows](super::ByteRows) of `dimension` coordinates.
    pub fn of_rows(dimension: usize) -> Self {
        Self::up_to(LARGEST_OF_ROWS, dimension)
    }

    /// For [columns](super::ByteColumns) of `dimension` coordinates.
    pub fn of_columns(dimension: usize) -> Self {
        Self::up_to(LARGEST_OF_COLUMNS, dimension)
    }

    fn up_to(largest: f64, dimension: usize) -> Self {
        let mut state = dimension as u64;
        let mut sign = || {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) & 1 == 1
        };
        let mut signs = || (0..dimension).map(|_| sign()).collect();
        // Sums of d products are to fit an i32.
        let fitting = (f64::from(i32::MAX) / dimension.max(1) as f64).sqrt().floor();
        let largest = fitting.clamp(1.0, largest);
        Self { signs: [signs(), signs()], largest }
    }

    /// Rounds a point, `(d,)`, to bytes, `(d,)`; the point is turned in place.
    ///
    /// # Panics
    /// A point or bytes of another dimension.
    pub fn quantize(&self, point: &mut [f64], bytes: &mut [i8]) -> QuantizedRow {
        let d = self.signs[0].len();
        assert!(point.len() == d && bytes.len() == d, "a point and its bytes, of {d} coordinates");
        let up = 1.0 + 1e-12;
        let size = point.iter().map(|v| v * v).sum::<f64>().sqrt() * up;
        self.rotate(point);
        let extent = point.iter().fold(0.0_f64, |extent, v| extent.max(v.abs()));
        let scale = if extent > 0.0 { extent / self.largest } else { 1.0 };
        let (mut error, mut norm) = (0.0, 0.0);
        for (byte, v) in bytes.iter_mut().zip(point) {
            // To the nearest whole number, without a call: no quotient is beyond the range of bytes.
            let whole = ((*v / scale + WHOLE) - WHOLE).clamp(-self.largest, self.largest);
            *byte = whole as i8;
            error += (*v - scale * whole).powi(2);
            norm += whole * whole;
        }
        QuantizedRow {
            scale,
            error: error.sqrt() * up + ROTATION_ROUNDING * size,
            norm: norm.sqrt() * scale * up,
            size,
        }
    }

    fn rotate(&self, point: &mut [f64]) {
        let d = point.len();
        if d == 0 {
            return;
        }
        let part = 1 << d.ilog2();
        for (signs, start) in self.signs.iter().zip([0, d - part]) {
            for (v, &negative) in point.iter_mut().zip(signs) {
                *v = if negative { -*v } else { *v };
            }
            walsh_hadamard(&mut point[start..start + part]);
        }
    }
}

/// The orthogonal transform of a power of two values, in place.
fn walsh_hadamard(values: &mut [f64]) {
    let mut half = 1;
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    let scale = (values.len() as f64).sqrt().recip();
    values.iter_mut().for_each(|v| *v *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random, from -1 to 1.
    fn numbers(count: usize, mut state: u64) -> Vec<f64> {
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as f64 / (1_u64 << 30) as f64 - 1.0
            })
            .collect()
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn products_of_bytes_are_within_the_bound() {
        for d in [1, 2, 3, 16, 61, 384] {
            let [of_rows, of_columns] = [Quantizer::of_rows(d), Quantizer::of_columns(d)];
            let mut loosest: f64 = 0.0;
            for case in 0..40 {
                let (mut v, mut w) = (numbers(d, 2 * case), numbers(d, 2 * case + 1));
                // One large coordinate; points of very different size; nothing at all.
                v[0] *= if case % 3 == 0 { 1e3 } else { 1.0 };
                w.iter_mut().for_each(|w| *w *= [1e-30, 1.0, 1e12, 0.0][case as usize % 4]);
                let exact = dot(&v, &w);
                let (mut a, mut b) = (vec![0; d], vec![0; d]);
                let (x, y) = (of_rows.quantize(&mut v, &mut a), of_columns.quantize(&mut w, &mut b));
                assert!(a.iter().all(|byte| byte.abs() <= 63));
                let product: i32 = a.iter().zip(&b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
                let bound = x.error * y.size + x.norm * y.error;
                let off = (exact - x.scale * y.scale * f64::from(product)).abs();
                assert!(off <= bound, "{d} dimensions, case {case}: off by {off}, bound {bound}");
                assert!(bound <= 0.1 * x.size * y.size, "{d} dimensions, case {case}: a bound of {bound}");
                loosest = loosest.max(off / bound.max(f64::MIN_POSITIVE));
            }
            // A single coordinate is a whole multiple of its scale.
            assert!(d < 3 || loosest > 1e-3, "{d} dimensions: no product is off by more than {loosest} of the bound");
        }
    }

    #[test]
    fn a_rotation_keeps_lengths_and_spreads_a_single_coordinate() {
        for d in [1, 5, 64, 100, 384] {
            let mut point = vec![0.0; d];
            point[d / 2] = 1.0;
            Quantizer::of_rows(d).rotate(&mut point);
            assert!((dot(&point, &point) - 1.0).abs() < 1e-12);
            let largest = point.iter().fold(0.0_f64, |largest, v| largest.max(v.abs()));
            assert!(largest <= 3.0 / f64::from(1 << d.ilog2()).sqrt(), "{d} dimensions: {largest}");
        }
    }

    #[test]
    fn many_coordinates_take_smaller_bytes() {
        assert_eq!(Quantizer::of_columns(100_000).largest, LARGEST_OF_COLUMNS);
        for quantizer in [Quantizer::of_rows(1_000_000), Quantizer::of_columns(1_000_000)] {
            assert!(quantizer.largest.powi(2) * 1e6 <= f64::from(i32::MAX), "{}", quantizer.largest);
        }
    }
}
