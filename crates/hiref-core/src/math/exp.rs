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

/// As [`exp_nonpositive`] in f64, relative error below 1e-15; 0 below -708.
#[inline(always)]
pub(crate) fn exp_nonpositive_f64(x: f64) -> f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    // 1 / k! for k = 2 to 12.
    const C: [f64; 11] = [
        0.5,
        0.166_666_666_666_666_66,
        4.166_666_666_666_666_4e-2,
        8.333_333_333_333_333e-3,
        1.388_888_888_888_889e-3,
        1.984_126_984_126_984e-4,
        2.480_158_730_158_73e-5,
        2.755_731_922_398_589_3e-6,
        2.755_731_922_398_589e-7,
        2.505_210_838_544_172e-8,
        2.087_675_698_786_81e-9,
    ];
    let clamped = if x < -708.0 { -708.0 } else { x };
    let shifted = clamped * std::f64::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = clamped - whole * LN2_HIGH - whole * LN2_LOW;
    // Estrin's scheme: short chains of dependent operations.
    let (r2, r4) = (r * r, (r * r) * (r * r));
    let low = ((1.0 + r) + (C[0] + C[1] * r) * r2) + ((C[2] + C[3] * r) + (C[4] + C[5] * r) * r2) * r4;
    let high = ((C[6] + C[7] * r) + (C[8] + C[9] * r) * r2) + C[10] * r4;
    let series = low + high * (r4 * r4);
    let power =
        f64::from_bits((shifted.to_bits().wrapping_sub(ROUND.to_bits())).wrapping_shl(52).wrapping_add(1023 << 52));
    if x < -708.0 { 0.0 } else { series * power }
}

/// Replaces numbers x <= 0 by `e^x`, with the machine's best vector instructions.
pub(crate) fn exp_all(values: &mut [f64]) {
    struct All<'a>(&'a mut [f64]);
    // Not a closure: the compiler may put a closure's body into a function of its own, without the vector instructions.
    impl pulp::NullaryFnOnce for All<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            for value in self.0 {
                *value = exp_nonpositive_f64(*value);
            }
        }
    }
    pulp::Arch::new().dispatch(All(values));
}

#[cfg(test)]
mod tests {
    use super::{exp_nonpositive, exp_nonpositive_f64};

    #[test]
    fn close_to_the_library_function_in_f64() {
        for step in 0..=708_000 {
            let x = -f64::from(step) * 1e-3;
            let (got, expected) = (exp_nonpositive_f64(x), x.exp());
            assert!((got - expected).abs() <= 1e-15 * expected, "exp({x}): {got:e} against {expected:e}");
        }
        assert_eq!(exp_nonpositive_f64(0.0), 1.0);
        assert_eq!(exp_nonpositive_f64(f64::NEG_INFINITY), 0.0);
    }

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
