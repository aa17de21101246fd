//! Sides on which the same points occur many times: one column for each, which takes as many rows.

use super::pairing::Pairing;
use crate::geometry::Supports;
use crate::points::{Distinct, Rows};
use crate::pricing::{DualBound, PricedRounds, Pricer};

/// So many copies of a point on average make it worth while.
const COPIES: usize = 2;

/// A problem whose y points (x points, where those repeat more, and n = m) are few distinct ones.
///
/// A sparse solve that knows eight y points of a row knows eight copies of one place where each occurs a hundred times, and rounds hardly gain.
/// Measured on two sets of 10,000 points at 500 and 700 places, 16 dimensions: stopped after 33 rounds .18% above the optimum, with a gap of 4%;
/// over the places optimal after 4 rounds, in a twentieth of the time.
pub(crate) struct Repeated {
    /// Whether the columns are x points.
    turned: bool,
    columns: Distinct,
}

impl Repeated {
    /// `None` where points hardly repeat; for points alone, without restrictions. O((n + m) d).
    pub(crate) fn of(supports: Supports<'_>) -> Option<Self> {
        if supports.restrictions.is_some() {
            return None;
        }
        let equal = supports.num_x() == supports.num_y();
        let y = Distinct::new(supports.y);
        let x = equal.then(|| Distinct::new(supports.x)).filter(|x| x.len() < y.len());
        let (turned, columns) = x.map_or((false, y), |x| (true, x));
        (columns.len() * COPIES <= supports.num_y()).then_some(Self { turned, columns })
    }

    /// The distinct points.
    pub(crate) fn num_columns(&self) -> usize {
        self.columns.len()
    }

    /// Their coordinates, `(k, d)`.
    pub(crate) fn values(&self, supports: Supports<'_>) -> Vec<f32> {
        self.rows_of(supports).y.gather(&self.columns.first)
    }

    /// Rounds over `values` with the rows of some supports.
    pub(crate) fn rounds<'a>(
        &self,
        supports: Supports<'a>,
        values: &'a [f32],
        pairing: &Pairing,
        g: Vec<f64>,
    ) -> PricedRounds<'a> {
        let rows = self.rows_of(supports);
        let places = Supports { y: Rows::of(values, rows.dimension()), ..rows };
        let partners = self.turn(pairing).y_of_x;
        let column_of_row = partners[..rows.num_x()].iter().map(|&j| self.columns.of_point[j as usize]).collect();
        PricedRounds::with_capacity(Pricer::new(places, None), self.columns.copies.clone(), column_of_row, g)
    }

    /// What each column costs under consistent prices of the y points, `(k,)`.
    pub(crate) fn prices(&self, supports: Supports<'_>, pairing: &Pairing) -> Vec<f64> {
        let of_y = |y: u32| pairing.g[y as usize];
        let of_x = |x: u32| supports.between(x, pairing.y_of_x[x as usize]) - of_y(pairing.y_of_x[x as usize]);
        self.columns.first.iter().map(|&first| if self.turned { of_x(first) } else { of_y(first) }).collect()
    }

    /// The pairing that rounds have led to, which keeps the partners of `before` where it can, and the bound. Without a bound nothing has changed.
    pub(crate) fn finish(&self, rounds: PricedRounds<'_>, before: &Pairing) -> (Pairing, Option<DualBound>) {
        let PricedRounds { y_of_x: column_of_row, g, bound, .. } = rounds;
        let Some(DualBound { value, f, g: of_bound }) = bound else { return (before.fork(), None) };
        let of_point = &self.columns.of_point;
        let of_all = |prices: Vec<f64>| of_point.iter().map(|&column| prices[column as usize]).collect::<Vec<f64>>();
        let y_of_x = self.partners(&column_of_row, &self.turn(before).y_of_x);
        // The y points are rows where sides are turned: theirs are the prices of the bound.
        let (f, g_of_bound, g) =
            if self.turned { (of_all(of_bound), f.clone(), f) } else { (f, of_all(of_bound), of_all(g)) };
        let priced = Pairing { y_of_x, shadow: before.shadow.clone(), block: vec![0; g.len()], g };
        (self.turn(&priced), Some(DualBound { value, f, g: g_of_bound }))
    }

    /// One copy for each row, and what is left for the stand-ins, `(m,)`.
    fn partners(&self, column_of_row: &[u32], before: &[u32]) -> Vec<u32> {
        let of_point = &self.columns.of_point;
        let mut partners = vec![u32::MAX; before.len()];
        let mut taken = vec![false; before.len()];
        for (row, &column) in column_of_row.iter().enumerate() {
            if of_point[before[row] as usize] == column {
                (partners[row], taken[before[row] as usize]) = (before[row], true);
            }
        }
        let mut left: Vec<Vec<u32>> = vec![Vec::new(); self.columns.len()];
        for j in (0..of_point.len()).rev().filter(|&j| !taken[j]) {
            left[of_point[j] as usize].push(j as u32);
        }
        for (partner, &column) in partners.iter_mut().zip(column_of_row).filter(|(partner, _)| **partner == u32::MAX) {
            *partner = left[column as usize].pop().expect("no column has more rows than copies");
        }
        let stand_ins = partners[column_of_row.len()..].iter_mut();
        stand_ins.zip(left.into_iter().flatten()).for_each(|(partner, j)| *partner = j);
        partners
    }

    /// The supports whose y points are the columns.
    pub(crate) fn rows_of<'a>(&self, supports: Supports<'a>) -> Supports<'a> {
        if self.turned { supports.turned() } else { supports }
    }

    /// The prices of the distinct points of all, `(k,)`.
    pub(crate) fn of_distinct(&self, prices: &[f64]) -> Vec<f64> {
        self.columns.first.iter().map(|&first| prices[first as usize]).collect()
    }

    /// A pairing as the other side sees it, where that is the side of the columns; prices stay as they are.
    pub(crate) fn turn(&self, pairing: &Pairing) -> Pairing {
        let mut turned = pairing.fork();
        if self.turned {
            pairing.y_of_x.iter().enumerate().for_each(|(x, &y)| turned.y_of_x[y as usize] = x as u32);
        }
        turned
    }
}
