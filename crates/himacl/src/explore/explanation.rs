//! Everything that can be said of one pair.

use super::counterfactual::{Removal, neighbourhood, removals};
use super::directions::{Direction, Directions};
use super::paired::Paired;
use super::path::{PathStep, path};
use super::rivals::{PairSide, Rival, Rivals, rivals};
use super::words::Vocabulary;
use crate::error::Error;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

/// Runners-up of an item whose pairs may change with its own.
const AROUND_RIVALS: usize = 12;
/// Pairs that are paired again for a counterfactual.
const AROUND: usize = 192;
/// Directions of most agreement.
const DIRECTIONS: usize = 32;
/// Items shown at an end of a direction.
const END_ITEMS: usize = 5;
/// Steps of a path, and items at each.
const STEPS: usize = 5;
const STEP_ITEMS: usize = 3;

/// Why two items are partners.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The x item.
    pub x: u32,
    /// The y item.
    pub y: u32,
    /// The cost of the pair.
    pub cost: f64,
    /// `c_ij - f_i - g_j`: 0 in an optimal pairing.
    pub reduced_cost: f64,
    /// By how much at least the whole pairing gets dearer without this pair.
    pub margin: f64,
    /// The y item at the least cost of x, whoever has it.
    pub nearest_of_x: Rival,
    /// The x item at the least cost of y.
    pub nearest_of_y: Rival,
    /// What else x might have been paired with.
    pub runners_up_of_x: Vec<Rival>,
    /// What else y might have been paired with.
    pub runners_up_of_y: Vec<Rival>,
    /// The inner product of both items, each less its side's mean.
    pub score: f64,
    /// The directions that carry it, the largest contribution first.
    pub directions: Vec<Carrier>,
    /// The single removals of an x item that would give x another partner.
    pub removals: Vec<Removal>,
    /// What lies between both items.
    pub path: Vec<PathStep>,
}

/// A direction and what it contributes to one pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Carrier {
    /// Its part of the score.
    pub contribution: f64,
    /// Whether the items lie towards its positive end.
    pub positive: bool,
    /// What lies at its ends.
    #[serde(flatten)]
    pub ends: Direction,
}

/// Which pair is asked about: by an item of either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A row of x.
    X(u32),
    /// A row of y.
    Y(u32),
}

/// What all explanations of one pairing share.
#[derive(Debug, Clone)]
pub struct Explainer {
    paired: Arc<Paired>,
    directions: Directions,
    vocabulary: Vocabulary,
}

impl Explainer {
    /// Finds the directions; `texts` has those of x, then those of y, or is empty.
    ///
    /// # Errors
    /// As [`Directions::find`].
    pub fn new(paired: impl Into<Arc<Paired>>, texts: &[Option<String>], seed: u64) -> Result<Self, Error> {
        let paired = paired.into();
        let directions = Directions::find(&paired, DIRECTIONS, seed)?;
        let total = paired.sizes().iter().sum();
        let vocabulary = Vocabulary::new((0..total).map(|at| texts.get(at).and_then(|text| text.as_deref())));
        Ok(Self { paired, directions, vocabulary })
    }

    /// The pairing.
    pub fn paired(&self) -> &Paired {
        &self.paired
    }

    /// The directions that carry its matches.
    pub fn directions(&self) -> &Directions {
        &self.directions
    }

    /// The words of its texts.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Explains the pair of an item; `None` where it has no partner. `count` runners-up and directions.
    ///
    /// *Complexity*: O((n + m) d), some hundred times.
    ///
    /// # Errors
    /// A failed tensor operation.
    ///
    /// # Panics
    /// For a row beyond the last.
    pub fn explain(&self, item: Item, count: usize) -> Result<Option<Explanation>, Error> {
        let paired = &self.paired;
        let pair = match item {
            Item::X(i) => paired.y_of_x(i).map(|j| (i, j)),
            Item::Y(j) => paired.x_of_y(j).map(|i| (i, j)),
        };
        let Some((i, j)) = pair else { return Ok(None) };
        let one = |side: PairSide, item: u32| -> Result<Rivals, Error> {
            Ok(rivals(paired, side, &[item], count.max(AROUND_RIVALS))?.remove(0))
        };
        let (of_x, of_y) = (one(PairSide::X, i)?, one(PairSide::Y, j)?);
        let cut = |rivals: &[Rival]| rivals[..count.min(rivals.len())].to_vec();
        let directions = self.carriers(i, j, count);
        let (f, g) = paired.potentials();
        let [n, m] = paired.sizes();
        let least = |rivals: &Rivals, free: Option<f64>| {
            let first = rivals.runners_up.first().map_or(f64::INFINITY, |rival| rival.reduced_cost);
            first.min(free.unwrap_or(f64::INFINITY))
        };
        let x_way = least(&of_x, (n > m).then(|| -f[i as usize]));
        let y_way = least(&of_y, (m > n).then(|| -g[j as usize]));
        let reduced_cost = paired.reduced_cost(i, j);
        Ok(Some(Explanation {
            x: i,
            y: j,
            cost: paired.between(i, j),
            reduced_cost,
            margin: x_way + y_way - reduced_cost,
            nearest_of_x: of_x.nearest,
            nearest_of_y: of_y.nearest,
            runners_up_of_x: cut(&of_x.runners_up),
            runners_up_of_y: cut(&of_y.runners_up),
            score: self.directions.score(paired, i, j),
            directions,
            removals: self.removals(i, of_x)?,
            path: path(paired, i, STEPS, STEP_ITEMS)?,
        }))
    }

    /// The directions of largest contribution to the score of i and j.
    fn carriers(&self, i: u32, j: u32, count: usize) -> Vec<Carrier> {
        let contributions = self.directions.contributions(i, j);
        let mut order: Vec<usize> = (0..contributions.len()).collect();
        order.sort_by(|&a, &b| contributions[b].total_cmp(&contributions[a]));
        let width = self.directions.len();
        let carrier = |direction: usize| Carrier {
            contribution: contributions[direction],
            positive: self.directions.coordinates(0)[i as usize * width + direction] >= 0.0,
            ends: self.directions.describe(direction, END_ITEMS, &self.vocabulary),
        };
        order.into_iter().take(count).filter(|&k| contributions[k] > 0.0).map(carrier).collect()
    }

    /// Pairs the neighbourhood of i again, found ring by ring.
    fn removals(&self, i: u32, of_i: Rivals) -> Result<Vec<Removal>, Error> {
        let mut known = HashMap::from([(i, of_i)]);
        loop {
            let around = neighbourhood(&self.paired, i, AROUND, |x| known.get(&x));
            let missing: Vec<u32> = around.iter().map(|pair| pair.0).filter(|x| !known.contains_key(x)).collect();
            if missing.is_empty() || around.len() >= AROUND {
                return Ok(removals(&self.paired, i, &known[&i], &around));
            }
            let found = rivals(&self.paired, PairSide::X, &missing, AROUND_RIVALS)?;
            known.extend(missing.into_iter().zip(found));
        }
    }
}
