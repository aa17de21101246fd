//! Points that occur several times, told apart once.

use super::rows::Rows;
use rayon::prelude::*;
use std::hash::{DefaultHasher, Hasher};

/// The points of a set without repetition, in the order of their first occurrence.
pub(crate) struct Distinct {
    /// `(k,)`: the first point of each.
    pub(crate) first: Vec<u32>,
    /// `(n,)`: which of them each point is.
    pub(crate) of_point: Vec<u32>,
    /// `(k,)`: how many points each is.
    pub(crate) copies: Vec<u32>,
}

impl Distinct {
    /// O(n d + n log n) time, O(n + d) memory.
    pub(crate) fn new(rows: Rows<'_>) -> Self {
        let n = rows.num_points();
        let hashes: Vec<u64> = (0..n)
            .into_par_iter()
            .map(|i| {
                let mut hasher = DefaultHasher::new();
                rows.row(i).iter().for_each(|value| hasher.write_u32(value.to_bits()));
                hasher.finish()
            })
            .collect();
        let mut order: Vec<u32> = (0..n as u32).collect();
        order.par_sort_unstable_by_key(|&i| (hashes[i as usize], i));
        // The first point like each one, among those of the same hash.
        let mut first_like: Vec<u32> = (0..n as u32).collect();
        let mut firsts: Vec<u32> = Vec::new();
        for (at, &i) in order.iter().enumerate() {
            if at == 0 || hashes[order[at - 1] as usize] != hashes[i as usize] {
                firsts.clear();
            }
            match firsts.iter().find(|&&first| same(rows, first, i)) {
                Some(&first) => first_like[i as usize] = first,
                None => firsts.push(i),
            }
        }
        let mut distinct = Self { first: Vec::new(), of_point: vec![0; n], copies: Vec::new() };
        for (i, &first) in first_like.iter().enumerate() {
            if first as usize == i {
                distinct.of_point[i] = distinct.first.len() as u32;
                distinct.first.push(first);
                distinct.copies.push(0);
            } else {
                distinct.of_point[i] = distinct.of_point[first as usize];
            }
            distinct.copies[distinct.of_point[i] as usize] += 1;
        }
        distinct
    }

    pub(crate) fn len(&self) -> usize {
        self.first.len()
    }
}

fn same(rows: Rows<'_>, a: u32, b: u32) -> bool {
    let (a, b) = (rows.row(a as usize), rows.row(b as usize));
    a.iter().zip(b.iter()).all(|(a, b)| a.to_bits() == b.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_point_is_one_of_them() {
        let values = [1.0_f32, 2.0, 0.0, 5.0, 1.0, 2.0, 1.0, 5.0, 0.0, 5.0, 1.0, 2.0];
        let distinct = Distinct::new(Rows::of(&values, 2));
        assert_eq!(distinct.first, [0, 1, 3]);
        assert_eq!(distinct.of_point, [0, 1, 0, 2, 1, 0]);
        assert_eq!(distinct.copies, [3, 2, 1]);
        assert_eq!(Distinct::new(Rows::of(&values, 12)).len(), 1);
    }
}
