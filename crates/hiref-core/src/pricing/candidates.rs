//! The y points of least reduced cost for each x point, as they are found.

/// The least reduced costs of every x point under prices g.
pub(crate) struct Pricing {
    /// Candidates per x point, k.
    pub(crate) width: usize,
    /// `(n, k)`: y points with the least `c_ij - g_j`, by rising order.
    pub(crate) columns: Vec<u32>,
    /// `(n, k)`: their costs `c_ij`, in f64 from the points.
    pub(crate) costs: Vec<f64>,
    /// `(n,)`: never above `min_j (c_ij - g_j)`, over all j.
    pub(crate) floor: Vec<f64>,
}

impl Pricing {
    pub(crate) fn new(num_x: usize, width: usize) -> Self {
        Self { width, columns: vec![0; num_x * width], costs: vec![0.0; num_x * width], floor: vec![0.0; num_x] }
    }
}

/// A reduced cost as computed from points in f64, lowered by more than its rounding; `d` terms.
pub(crate) fn lowered(value: f64, cost: f64, d: usize) -> f64 {
    value - (d + 32) as f64 * f64::EPSILON * (cost.abs() + (cost - value).abs())
}

/// The `width` least values seen so far, by rising order.
pub(crate) struct Least {
    width: usize,
    entries: Vec<(f64, u32)>,
}

impl Least {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, entries: Vec::with_capacity(width + 1) }
    }

    /// How many values are kept.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// A value at least as large as this would not be kept.
    #[inline(always)]
    pub(crate) fn threshold(&self) -> f64 {
        if self.entries.len() < self.width { f64::INFINITY } else { self.entries[self.width - 1].0 }
    }

    #[inline(always)]
    pub(crate) fn offer(&mut self, value: f64, column: u32) {
        if value >= self.threshold() {
            return;
        }
        let at = self.entries.partition_point(|&(v, _)| v <= value);
        self.entries.insert(at, (value, column));
        self.entries.truncate(self.width);
    }

    pub(crate) fn entries(&self) -> &[(f64, u32)] {
        &self.entries
    }
}
