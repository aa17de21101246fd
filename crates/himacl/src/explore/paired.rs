//! Two sides in one space, who is paired with whom, and what each item is worth.

use crate::error::Error;
use crate::map::unit_rows;
use candle_core::{DType, Device, Tensor};
use hiref_core::{CostKind, HirefParams, Observer, Permutation, Problem, UNMATCHED, WarmStart};

/// A pairing with all that its explanations are read off.
#[derive(Debug, Clone)]
pub struct Paired {
    cost: CostKind,
    dimension: usize,
    x: Vec<f32>,
    y: Vec<f32>,
    permutation: Permutation,
    x_of_y: Vec<u32>,
    f: Vec<f64>,
    g: Vec<f64>,
}

impl Paired {
    /// A pairing of the rows of `x (n, d)` and `y (m, d)` with its potentials, those of x first: `f_i + g_j <= c_ij`.
    ///
    /// Rows are made unit vectors where the cost is the cosine's, which changes no cost.
    ///
    /// # Errors
    /// Sides of different dimension, potentials or a pairing of another length.
    pub fn new(
        (x, y): (&Tensor, &Tensor),
        cost: CostKind,
        permutation: Permutation,
        (f, g): (Vec<f64>, Vec<f64>),
    ) -> Result<Self, Error> {
        let ((n, d), (m, e)) = (x.dims2()?, y.dims2()?);
        let sizes = [(d, e), (permutation.num_x(), n), (permutation.num_y(), m), (f.len(), n), (g.len(), m)];
        if let Some((got, expected)) = sizes.into_iter().find(|(got, expected)| got != expected) {
            let what = format!("a pairing of {n} and {m} rows: a part of it has {got} entries, expected {expected}");
            return Err(candle_core::Error::Msg(what).into());
        }
        let values = |side: &Tensor| -> Result<Vec<f32>, Error> {
            let side = side.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
            let side = if cost == CostKind::Cosine { unit_rows(&side)? } else { side };
            Ok(side.flatten_all()?.to_vec1()?)
        };
        let (x, y) = (values(x)?, values(y)?);
        Ok(Self { cost, dimension: d, x, y, x_of_y: permutation.x_of_y(), permutation, f, g })
    }

    /// The same with potentials of its own: those that a certificate proves, from a short solve that starts from the
    /// pairing. They are potentials of the problem whether or not the pairing is optimal.
    ///
    /// *Complexity*: O(n m d), less where `warm_start` has prices.
    ///
    /// # Errors
    /// What the solver refuses; asked to stop.
    pub fn priced(
        (x, y): (&Tensor, &Tensor),
        cost: CostKind,
        warm_start: &WarmStart,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let host = |side: &Tensor| side.to_device(&Device::Cpu);
        let problem = Problem::new(host(x)?, host(y)?, cost)?;
        let params = HirefParams { certify: true, ..HirefParams::default() };
        let solved = params.check()?.solve(&problem, Some(warm_start), observer)?;
        let certificate = solved.certificate.ok_or(crate::align::AlignError::Interrupted)?;
        Self::new((x, y), cost, warm_start.permutation().clone(), (certificate.f, certificate.g))
    }

    /// The cost that the pairing makes small.
    pub fn cost(&self) -> CostKind {
        self.cost
    }

    /// Coordinates of an item, d.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Items of x and of y.
    pub fn sizes(&self) -> [usize; 2] {
        [self.permutation.num_x(), self.permutation.num_y()]
    }

    /// Who is paired with whom.
    pub fn permutation(&self) -> &Permutation {
        &self.permutation
    }

    /// Coordinates of an x item, `(d,)`.
    pub fn x(&self, i: u32) -> &[f32] {
        &self.x[i as usize * self.dimension..][..self.dimension]
    }

    /// Coordinates of a y item, `(d,)`.
    pub fn y(&self, j: u32) -> &[f32] {
        &self.y[j as usize * self.dimension..][..self.dimension]
    }

    /// The partner of an x item.
    pub fn y_of_x(&self, i: u32) -> Option<u32> {
        Some(self.permutation.y_of_x()[i as usize]).filter(|&j| j != UNMATCHED)
    }

    /// The partner of a y item.
    pub fn x_of_y(&self, j: u32) -> Option<u32> {
        Some(self.x_of_y[j as usize]).filter(|&i| i != UNMATCHED)
    }

    /// Potentials of x, `(n,)`, and y, `(m,)`, in units of the cost.
    pub fn potentials(&self) -> (&[f64], &[f64]) {
        (&self.f, &self.g)
    }

    /// The cost of any pair.
    pub fn between(&self, i: u32, j: u32) -> f64 {
        self.cost.between(self.x(i), self.y(j))
    }

    /// `c_ij - f_i - g_j`: by how much at least the whole pairing gets dearer where i and j are made partners; 0 for pairs of
    /// an optimal pairing.
    pub fn reduced_cost(&self, i: u32, j: u32) -> f64 {
        self.between(i, j) - self.f[i as usize] - self.g[j as usize]
    }

    /// A bound of the mean cost of every pairing of the two sides: what the potentials prove.
    pub fn dual_bound(&self) -> f64 {
        let total = self.f.iter().sum::<f64>() + self.g.iter().sum::<f64>();
        total / self.permutation.num_pairs().max(1) as f64
    }

    /// The mean cost of the pairs.
    pub fn mean_cost(&self) -> f64 {
        let total: f64 = self.permutation.pairs().map(|(i, j)| self.between(i as u32, j as u32)).sum();
        total / self.permutation.num_pairs().max(1) as f64
    }

    /// Both sides as tensors, `(n, d)` and `(m, d)`.
    pub(super) fn tensors(&self) -> candle_core::Result<(Tensor, Tensor)> {
        let [n, m] = self.sizes();
        let of = |values: &[f32], rows: usize| Tensor::from_slice(values, (rows, self.dimension), &Device::Cpu);
        Ok((of(&self.x, n)?, of(&self.y, m)?))
    }
}
