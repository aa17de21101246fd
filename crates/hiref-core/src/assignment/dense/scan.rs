//! The row scans that assignment spends its time in, written so that the compiler vectorises them for f32 and f64.

/// Columns handled at once; rows are padded to a multiple of this.
pub(super) const LANES: usize = 16;

/// A floating type in which an assignment can be solved.
pub trait Scalar:
    Copy
    + PartialOrd
    + Send
    + Sync
    + std::fmt::Debug
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + 'static
{
    /// Positive infinity.
    const INFINITY: Self;
    /// Negative infinity.
    const NEG_INFINITY: Self;
    /// Zero.
    const ZERO: Self;
    /// Rounds from f64.
    fn from_f64(value: f64) -> Self;
    /// Widens to f64.
    fn to_f64(self) -> f64;
}

impl Scalar for f32 {
    const INFINITY: Self = f32::INFINITY;
    const NEG_INFINITY: Self = f32::NEG_INFINITY;
    const ZERO: Self = 0.0;
    fn from_f64(value: f64) -> Self {
        value as Self
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Scalar for f64 {
    const INFINITY: Self = f64::INFINITY;
    const NEG_INFINITY: Self = f64::NEG_INFINITY;
    const ZERO: Self = 0.0;
    fn from_f64(value: f64) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        self
    }
}

#[inline(always)]
fn smaller<T: Scalar>(a: T, b: T) -> T {
    if a < b { a } else { b }
}

#[inline(always)]
fn larger<T: Scalar>(a: T, b: T) -> T {
    if a > b { a } else { b }
}

#[inline(always)]
fn lanes<T>(values: &[T]) -> impl Iterator<Item = &[T; LANES]> {
    values.as_chunks::<LANES>().0.iter()
}

/// The index of the first entry for which `entry(j)` equals `value`; `usize::MAX` if none.
#[inline(always)]
fn first_equal<T: Scalar>(row: &[T], g: &[T], value: T) -> usize {
    for (chunk, (c, g)) in lanes(row).zip(lanes(g)).enumerate() {
        let mut any = false;
        for l in 0..LANES {
            any |= c[l] - g[l] == value;
        }
        if any {
            for l in 0..LANES {
                if c[l] - g[l] == value {
                    return chunk * LANES + l;
                }
            }
        }
    }
    usize::MAX
}

/// The least reduced cost `row_j - g_j`, its column, and the second least.
#[inline(always)]
pub(super) fn two_smallest<T: Scalar>(row: &[T], g: &[T]) -> (T, usize, T) {
    let (mut first, mut second) = ([T::INFINITY; LANES], [T::INFINITY; LANES]);
    for (c, g) in lanes(row).zip(lanes(g)) {
        for l in 0..LANES {
            let value = c[l] - g[l];
            second[l] = smaller(second[l], larger(first[l], value));
            first[l] = smaller(first[l], value);
        }
    }
    let (mut least, mut next) = (T::INFINITY, T::INFINITY);
    for l in 0..LANES {
        next = smaller(smaller(next, second[l]), larger(least, first[l]));
        least = smaller(least, first[l]);
    }
    (least, first_equal(row, g, least), next)
}

/// The least reduced cost `row_j - g_j`.
#[inline(always)]
pub(super) fn smallest<T: Scalar>(row: &[T], g: &[T]) -> T {
    let mut first = [T::INFINITY; LANES];
    for (c, g) in lanes(row).zip(lanes(g)) {
        for l in 0..LANES {
            first[l] = smaller(first[l], c[l] - g[l]);
        }
    }
    first.into_iter().fold(T::INFINITY, smaller)
}

/// The column of the least reduced cost.
#[inline(always)]
pub(super) fn column_of<T: Scalar>(row: &[T], g: &[T], least: T) -> usize {
    first_equal(row, g, least)
}

/// Relaxes all columns through one row: `distance_j <- min(distance_j, row_j - g_j + offset)`, noting `from` as the
/// predecessor where it improved. Columns already in the tree carry `g_j = -inf`, so they never improve. Returns the
/// least distance.
#[inline(always)]
pub(super) fn relax<T: Scalar>(
    row: &[T],
    g: &[T],
    offset: T,
    from: u32,
    distance: &mut [T],
    predecessor: &mut [u32],
) -> T {
    let mut least = [T::INFINITY; LANES];
    let columns = lanes(row)
        .zip(lanes(g))
        .zip(distance.as_chunks_mut::<LANES>().0.iter_mut())
        .zip(predecessor.as_chunks_mut::<LANES>().0.iter_mut());
    for (((c, g), distance), predecessor) in columns {
        for l in 0..LANES {
            let through = c[l] - g[l] + offset;
            let better = through < distance[l];
            distance[l] = if better { through } else { distance[l] };
            predecessor[l] = if better { from } else { predecessor[l] };
            least[l] = smaller(least[l], distance[l]);
        }
    }
    least.into_iter().fold(T::INFINITY, smaller)
}

/// The first index whose value equals `value`; `usize::MAX` if none.
#[inline(always)]
pub(super) fn position_of<T: Scalar>(values: &[T], value: T) -> usize {
    for (chunk, values) in lanes(values).enumerate() {
        let mut any = false;
        for v in values {
            any |= *v == value;
        }
        if any {
            for (l, v) in values.iter().enumerate() {
                if *v == value {
                    return chunk * LANES + l;
                }
            }
        }
    }
    usize::MAX
}
