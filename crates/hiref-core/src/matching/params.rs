//! What a matching may look like.

use crate::error::{Error, Side};

/// How many partners an item may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Capacity {
    /// One each.
    #[default]
    One,
    /// So many each.
    All(u32),
    /// Its own number for each item, `(n,)`; 0 leaves an item out.
    Each(Vec<u32>),
}

impl Capacity {
    /// The capacity of each of `points` items, at most `limit`.
    pub(crate) fn resolve(&self, side: Side, points: usize, limit: usize) -> Result<Vec<u32>, Error> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let capacity = match self {
            Self::One => vec![1; points],
            Self::All(capacity) => vec![*capacity; points],
            Self::Each(capacity) if capacity.len() == points => capacity.clone(),
            Self::Each(capacity) => {
                return Err(Error::ItemCount { what: "capacities", side, got: capacity.len(), expected: points });
            }
        };
        if capacity.iter().all(|&capacity| capacity == 0) {
            let name = if side == Side::X { "x_capacity" } else { "y_capacity" };
            return Err(Error::Parameter { name, value: "0 throughout".to_owned(), expected: "at least 1 somewhere" });
        }
        Ok(capacity.into_iter().map(|capacity| capacity.min(limit)).collect())
    }

    /// The capacities of some items.
    pub(crate) fn of(&self, items: &[u32]) -> Self {
        match self {
            Self::Each(capacity) => Self::Each(items.iter().map(|&item| capacity[item as usize]).collect()),
            other => other.clone(),
        }
    }

    /// Whether every item may have one partner.
    pub(crate) fn is_one(&self) -> bool {
        match self {
            Self::One | Self::All(1) => true,
            Self::All(_) => false,
            Self::Each(capacity) => capacity.iter().all(|&capacity| capacity == 1),
        }
    }
}

/// What a matching may look like; by default one to one, as many pairs as there can be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MatchingParams {
    /// An item stays single where no pair is worth it: a pair costs c, two singles this much together (half of it each; of an item that may have
    /// several partners, each place that stays free and that there are partners for).
    pub unmatched_cost: Option<f64>,
    /// The best matching of exactly so many pairs; the price of singles is found. Not with `unmatched_cost`.
    pub num_pairs: Option<usize>,
    /// Partners of each x point. Several on one side only: a pair counts once.
    pub x_capacity: Capacity,
    /// Partners of each y point.
    pub y_capacity: Capacity,
    /// Pairs `[x, y]` that may not be.
    pub forbidden: Vec<[u32; 2]>,
    /// The category of each x and of each y: pairs are made inside categories only. Not with `num_pairs`.
    pub groups: Option<[Vec<u32>; 2]>,
}

impl MatchingParams {
    /// Whether it is the plain problem: one to one, every item of the smaller side paired.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// The same seen from the other side.
    pub(crate) fn turned(&self) -> Self {
        Self {
            x_capacity: self.y_capacity.clone(),
            y_capacity: self.x_capacity.clone(),
            forbidden: self.forbidden.iter().map(|&[x, y]| [y, x]).collect(),
            groups: self.groups.as_ref().map(|[x, y]| [y.clone(), x.clone()]),
            ..*self
        }
    }

    /// Refuses settings that contradict each other or do not fit n x and m y items.
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::NotTogether`], [`Error::PairOutOfRange`] and [`Error::ItemCount`].
    pub fn check(&self, n: usize, m: usize) -> Result<(), Error> {
        if let Some(cost) = self.unmatched_cost.filter(|cost| !cost.is_finite()) {
            let (value, expected) = (cost.to_string(), "a finite number");
            return Err(Error::Parameter { name: "unmatched_cost", value, expected });
        }
        if self.num_pairs == Some(0) {
            return Err(Error::Parameter { name: "num_pairs", value: "0".to_owned(), expected: "at least 1" });
        }
        if self.unmatched_cost.is_some() && self.num_pairs.is_some() {
            return Err(Error::NotTogether { first: "unmatched_cost", second: "num_pairs" });
        }
        if !self.x_capacity.is_one() && !self.y_capacity.is_one() {
            return Err(Error::NotTogether { first: "x_capacity", second: "y_capacity" });
        }
        let places = |capacity: &Capacity, side, points, others| {
            let each = capacity.resolve(side, points, others)?;
            Ok::<u64, Error>(each.into_iter().map(u64::from).sum())
        };
        let most = places(&self.x_capacity, Side::X, n, m)?.min(places(&self.y_capacity, Side::Y, m, n)?);
        if let Some(wanted) = self.num_pairs.filter(|&count| count as u64 > most) {
            return Err(Error::TooManyPairs { wanted, most: most as usize });
        }
        if let Some([x, y]) = &self.groups {
            if self.num_pairs.is_some() {
                return Err(Error::NotTogether { first: "groups", second: "num_pairs" });
            }
            for (side, labels, expected) in [(Side::X, x, n), (Side::Y, y, m)] {
                if labels.len() != expected {
                    return Err(Error::ItemCount { what: "categories", side, got: labels.len(), expected });
                }
            }
        }
        for (position, &[x, y]) in self.forbidden.iter().enumerate() {
            for (side, index, limit) in [(Side::X, x, n), (Side::Y, y, m)] {
                if index as usize >= limit {
                    return Err(Error::PairOutOfRange { position, side, index: index.into(), limit });
                }
            }
        }
        Ok(())
    }
}

/// The rows of a problem: items of one side, each as often as it may have partners.
#[derive(Debug, Clone)]
pub(crate) enum Rows {
    /// Every item once.
    Once(usize),
    /// Copies of items, side by side: their indices.
    Copies { items: Vec<u32>, num_items: usize, most: usize },
}

impl Rows {
    /// Each item as often as its capacity says.
    pub(crate) fn of_capacity(capacity: &[u32]) -> Self {
        if capacity.iter().all(|&capacity| capacity == 1) {
            return Self::Once(capacity.len());
        }
        let copies = |(item, &capacity): (usize, &u32)| std::iter::repeat_n(item as u32, capacity as usize);
        let most = capacity.iter().copied().max().unwrap_or(0) as usize;
        Self::Copies { items: capacity.iter().enumerate().flat_map(copies).collect(), num_items: capacity.len(), most }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Once(len) => *len,
            Self::Copies { items, .. } => items.len(),
        }
    }

    /// The item of a row.
    pub(crate) fn item(&self, row: u32) -> u32 {
        match self {
            Self::Once(_) => row,
            Self::Copies { items, .. } => items[row as usize],
        }
    }

    /// Copies of one item, at most.
    pub(crate) fn most_copies(&self) -> usize {
        match self {
            Self::Once(_) => 1,
            Self::Copies { most, .. } => *most,
        }
    }

    /// What the rows have, for each item: that of its last copy.
    pub(crate) fn of_items(&self, of_rows: &[u32]) -> Vec<u32> {
        match self {
            Self::Once(_) => of_rows.to_vec(),
            Self::Copies { items, num_items, .. } => {
                let mut of_items = vec![u32::MAX; *num_items];
                items.iter().zip(of_rows).for_each(|(&item, &value)| of_items[item as usize] = value);
                of_items
            }
        }
    }
    /// The least value of the rows of each item; minus infinity for an item without rows, which takes part in nothing.
    pub(crate) fn of_values(&self, of_rows: &[f64]) -> Vec<f64> {
        match self {
            Self::Once(_) => of_rows.to_vec(),
            Self::Copies { items, num_items, .. } => {
                let mut of_items = vec![f64::INFINITY; *num_items];
                for (&item, &value) in items.iter().zip(of_rows) {
                    let least = &mut of_items[item as usize];
                    *least = least.min(value);
                }
                of_items.iter_mut().filter(|value| value.is_infinite()).for_each(|value| *value = f64::NEG_INFINITY);
                of_items
            }
        }
    }
}
