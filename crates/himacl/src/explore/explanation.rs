//! Everything that can be said of one pair.

use super::counterfactual::{Removal, neighbourhood, removals};
use super::directions::{Direction, Directions};
use super::paired::{PairSide, Paired};
use super::path::{PathStep, path};
use super::rivals::{Rival, Rivals, margin, rivals};
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
    /// The other partners of x.
    pub other_partners_of_x: Vec<u32>,
    /// The other partners of y.
    pub other_partners_of_y: Vec<u32>,
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

/// An item without a partner, and what it might have had.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Single {
    /// Its side.
    pub side: PairSide,
    /// The item.
    pub item: u32,
    /// By how much at least the whole pairing gets dearer where it has a partner; infinite where it may have none.
    pub margin: f64,
    /// The item of the other side at the least cost, whoever has it.
    pub nearest: Rival,
    /// Those that it might have been paired with.
    pub runners_up: Vec<Rival>,
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

    /// Explains the pairs of an item; none where it has no partner. `count` runners-up and directions.
    ///
    /// *Complexity*: O((n + m) d), some hundred times for each pair.
    ///
    /// # Errors
    /// A failed tensor operation.
    ///
    /// # Panics
    /// For a row beyond the last.
    pub fn explain(&self, item: Item, count: usize) -> Result<Vec<Explanation>, Error> {
        let (side, item) = item.parts();
        self.paired
            .pairs_of(side, item)
            .iter()
            .map(|&pair| self.pair(self.paired.pairs()[pair as usize], count))
            .collect()
    }

    /// What an item without a partner might have had; `None` where it has one.
    ///
    /// # Errors
    /// A failed tensor operation.
    ///
    /// # Panics
    /// For a row beyond the last.
    pub fn single(&self, item: Item, count: usize) -> Result<Option<Single>, Error> {
        let (side, item) = item.parts();
        if !self.paired.pairs_of(side, item).is_empty() {
            return Ok(None);
        }
        let Rivals { nearest, runners_up } = rivals(&self.paired, side, &[item], count.max(1))?.remove(0);
        let margin = runners_up.first().map_or(f64::INFINITY, |rival| rival.reduced_cost);
        Ok(Some(Single { side, item, margin, nearest, runners_up }))
    }

    fn pair(&self, [i, j]: [u32; 2], count: usize) -> Result<Explanation, Error> {
        let paired = &self.paired;
        let one = |side: PairSide, item: u32| -> Result<Rivals, Error> {
            Ok(rivals(paired, side, &[item], count.max(AROUND_RIVALS))?.remove(0))
        };
        let (of_x, of_y) = (one(PairSide::X, i)?, one(PairSide::Y, j)?);
        let cut = |rivals: &[Rival]| rivals[..count.min(rivals.len())].to_vec();
        let others = |side: PairSide, item: u32, partner: u32| {
            paired.partners(side, item).filter(|&other| other != partner).collect()
        };
        Ok(Explanation {
            x: i,
            y: j,
            other_partners_of_x: others(PairSide::X, i, j),
            other_partners_of_y: others(PairSide::Y, j, i),
            cost: paired.between(i, j),
            reduced_cost: paired.reduced_cost(i, j),
            margin: margin(paired, [i, j], &of_x, &of_y),
            nearest_of_x: of_x.nearest,
            nearest_of_y: of_y.nearest,
            runners_up_of_x: cut(&of_x.runners_up),
            runners_up_of_y: cut(&of_y.runners_up),
            score: self.directions.score(paired, i, j),
            directions: self.carriers(i, j, count),
            removals: self.removals([i, j], of_x)?,
            path: path(paired, [i, j], STEPS, STEP_ITEMS)?,
        })
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

    /// Pairs the neighbourhood of a pair again, found ring by ring.
    fn removals(&self, pair: [u32; 2], of_i: Rivals) -> Result<Vec<Removal>, Error> {
        let mut known = HashMap::from([(pair[0], of_i)]);
        loop {
            let around = neighbourhood(&self.paired, pair, AROUND, |x| known.get(&x));
            let mut missing: Vec<u32> = around.iter().map(|pair| pair[0]).filter(|x| !known.contains_key(x)).collect();
            missing.dedup();
            if missing.is_empty() || around.len() >= AROUND {
                return Ok(removals(&self.paired, pair, &known[&pair[0]], &around));
            }
            let found = rivals(&self.paired, PairSide::X, &missing, AROUND_RIVALS)?;
            known.extend(missing.into_iter().zip(found));
        }
    }
}

impl Item {
    fn parts(self) -> (PairSide, u32) {
        match self {
            Self::X(item) => (PairSide::X, item),
            Self::Y(item) => (PairSide::Y, item),
        }
    }
}
