//! The exponential function in f64, in a form that vectorises.

/// `e^x` for x <= 0, relative error below 1e-15; 0 below -708.
#[inline(always)]
pub(crate) fn exp_nonpositive(x: f64) -> f64 {
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
                *value = exp_nonpositive(*value);
            }
        }
    }
    pulp::Arch::new().dispatch(All(values));
}

#[cfg(test)]
mod tests {
    use super::exp_nonpositive;

    #[test]
    fn close_to_the_library_function() {
        for step in 0..=708_000 {
            let x = -f64::from(step) * 1e-3;
            let (got, expected) = (exp_nonpositive(x), x.exp());
            assert!((got - expected).abs() <= 1e-15 * expected, "exp({x}): {got:e} against {expected:e}");
        }
        assert_eq!(exp_nonpositive(0.0), 1.0);
        assert_eq!(exp_nonpositive(f64::NEG_INFINITY), 0.0);
    }
}
