//! The exponential function in a form that vectorises.

/// `e^x` for x <= 0, relative error below 3e-7; 0 below -87.
///
/// Range reduction to |r| <= ln 2 / 2 and a polynomial of degree 6; no branches, so loops over it become vector code.
#[inline(always)]
pub fn exp_nonpositive(x: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer without a call.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, so that the product with a small integer is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x < -87.0 { -87.0 } else { x };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = clamped - whole * LN2_HIGH - whole * LN2_LOW;
    let tail = 1.388_889e-3 * r + 8.333_333e-3;
    let tail = tail * r + 4.166_666_6e-2;
    let tail = tail * r + 0.166_666_67;
    let tail = tail * r + 0.5;
    let series = (tail * r + 1.0) * r + 1.0;
    // The low bits of `shifted` hold the rounded integer; moved into the exponent they are a power of two.
    let power =
        f32::from_bits((shifted.to_bits().wrapping_sub(ROUND.to_bits())).wrapping_shl(23).wrapping_add(127 << 23));
    if x < -87.0 { 0.0 } else { series * power }
}

#[cfg(test)]
mod tests {
    use super::exp_nonpositive;

    #[test]
    fn close_to_the_library_function() {
        for step in 0..=870_000 {
            let x = -(step as f32) * 1e-4;
            let (got, expected) = (f64::from(exp_nonpositive(x)), f64::from(x).exp());
            assert!((got - expected).abs() <= 3e-7 * expected, "exp({x}): {got:e} against {expected:e}");
        }
        assert_eq!(exp_nonpositive(0.0), 1.0);
        assert_eq!(exp_nonpositive(-1e30), 0.0);
        assert_eq!(exp_nonpositive(f32::NEG_INFINITY), 0.0);
    }
}
