//! Rotary position embedding.

use super::{Sequences, fused, parallel, with_values};
use candle_core::{Result, Tensor};

/// Which two coordinates of a head are turned against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::encoder) enum Pairs {
    /// One of the first half and one of the second.
    Halves,
    /// Two that follow one another.
    Neighbours,
}

/// Rotary position embedding: pairs of coordinates of each head are turned by angles that depend on the token's place.
pub(in crate::encoder) struct Rope {
    cos: Tensor, // (places, width / 2)
    sin: Tensor,
    pairs: Pairs,
}

impl Rope {
    /// Angles `place theta^(-2 i / width)`, in halves.
    pub(in crate::encoder) fn new(theta: f64, width: usize, places: usize, like: &Tensor) -> Result<Self> {
        Self::scaled(1.0, theta, width, places, like)
    }

    /// The same times a number.
    pub(in crate::encoder) fn scaled(
        scale: f64,
        theta: f64,
        width: usize,
        places: usize,
        like: &Tensor,
    ) -> Result<Self> {
        let frequencies: Vec<f64> =
            (0..width / 2).map(|i| scale * theta.powf(-2.0 * i as f64 / width as f64)).collect();
        let angles = (0..places).flat_map(|place| frequencies.iter().map(move |frequency| place as f64 * frequency));
        Self::of_angles(&angles.collect::<Vec<_>>(), width, Pairs::Halves, like)
    }

    /// Given angles, `width / 2` for each place.
    pub(in crate::encoder) fn of_angles(angles: &[f64], width: usize, pairs: Pairs, like: &Tensor) -> Result<Self> {
        let half = width / 2;
        let table = |of: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|&angle| of(angle) as f32).collect();
            Tensor::from_vec(values, (angles.len() / half.max(1), half), like.device())?.to_dtype(like.dtype())
        };
        Ok(Self { cos: table(f64::cos)?, sin: table(f64::sin)?, pairs })
    }

    /// `(tokens, heads, width)`, turned by each token's place in its sequence.
    pub(super) fn turn(&self, x: &Tensor, sequences: &Sequences) -> Result<Tensor> {
        let (tokens, heads, width) = x.dims3()?;
        let (places, half) = self.cos.dims2()?;
        if width != 2 * half || sequences.longest() > places {
            let got = format!("heads of {width} in sequences of {}", sequences.longest());
            candle_core::bail!(
                "rotary positions got {got}, expected heads of {} and {places} places at most",
                2 * half
            );
        }
        if !fused(&[x, &self.cos]) {
            return self.turn_plain(x, &sequences.positions(0)?);
        }
        let places: Vec<usize> = sequences.spans().flat_map(|(_, length)| 0..length).collect();
        let row = heads * width;
        let mut out = vec![0f32; tokens * row];
        with_values(&x.contiguous()?, |x| {
            with_values(&self.cos, |cos| {
                with_values(&self.sin, |sin| {
                    parallel::numbered_rows(x, &mut out, row, |first, x, out| {
                        let places = &places[first..][..x.len() / row];
                        pulp::Arch::new().dispatch(Turn { x, out, places, cos, sin, width, pairs: self.pairs });
                    });
                })
            })
        })???;
        Tensor::from_vec(out, (tokens, heads, width), x.device())
    }

    fn turn_plain(&self, x: &Tensor, places: &Tensor) -> Result<Tensor> {
        let (tokens, heads, width) = x.dims3()?;
        let half = width / 2;
        let (cos, sin) = (self.cos.index_select(places, 0)?, self.sin.index_select(places, 0)?);
        // The two of a pair, `(tokens, heads, width / 2)` each.
        let (a, b) = match self.pairs {
            Pairs::Halves => (x.narrow(2, 0, half)?, x.narrow(2, half, half)?),
            Pairs::Neighbours => {
                let x = x.reshape((tokens, heads, half, 2))?;
                (x.narrow(3, 0, 1)?.squeeze(3)?, x.narrow(3, 1, 1)?.squeeze(3)?)
            }
        };
        let (cos, sin) = (cos.unsqueeze(1)?, sin.unsqueeze(1)?);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        match self.pairs {
            Pairs::Halves => Tensor::cat(&[first, second], 2),
            Pairs::Neighbours => Tensor::stack(&[first, second], 3)?.reshape((tokens, heads, width)),
        }
    }
}

struct Turn<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
    places: &'a [usize],
    cos: &'a [f32],
    sin: &'a [f32],
    width: usize,
    pairs: Pairs,
}

impl pulp::NullaryFnOnce for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let half = self.width / 2;
        let row = self.x.len() / self.places.len();
        let rows = self.x.chunks_exact(row).zip(self.out.chunks_exact_mut(row));
        for ((x, out), &place) in rows.zip(self.places) {
            let (cos, sin) = (&self.cos[place * half..][..half], &self.sin[place * half..][..half]);
            for (x, out) in x.chunks_exact(self.width).zip(out.chunks_exact_mut(self.width)) {
                match self.pairs {
                    Pairs::Halves => {
                        let ((a, b), (first, second)) = (x.split_at(half), out.split_at_mut(half));
                        for i in 0..half {
                            first[i] = a[i] * cos[i] - b[i] * sin[i];
                            second[i] = b[i] * cos[i] + a[i] * sin[i];
                        }
                    }
                    Pairs::Neighbours => {
                        for i in 0..half {
                            out[2 * i] = x[2 * i] * cos[i] - x[2 * i + 1] * sin[i];
                            out[2 * i + 1] = x[2 * i + 1] * cos[i] + x[2 * i] * sin[i];
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn fused_as_plain() {
        let values: Vec<f32> = (0..903 * 3 * 8).map(|i| ((i * 7919) % 997) as f32 / 500.0 - 1.0).collect();
        let x = Tensor::from_vec(values, (903, 3, 8), &Device::Cpu).unwrap();
        let sequences = Sequences::new(vec![3, 800, 100], &Device::Cpu);
        for pairs in [Pairs::Halves, Pairs::Neighbours] {
            let rope = Rope { pairs, ..Rope::new(100.0, 8, 800, &x).unwrap() };
            let plain = rope.turn_plain(&x, &sequences.positions(0).unwrap()).unwrap();
            let worst = (plain - rope.turn(&x, &sequences).unwrap()).unwrap().abs().unwrap().max_all().unwrap();
            assert!(worst.to_scalar::<f32>().unwrap() < 1e-6, "{pairs:?}");
        }
        let short = Rope::new(100.0, 8, 799, &x).unwrap().turn(&x, &sequences).unwrap_err().to_string();
        assert!(short.contains("799 places at most"), "{short}");
    }
}
