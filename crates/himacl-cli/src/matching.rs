//! The kinds of matching beyond one to one: their flags, and what the files that these name hold.

use crate::error::Error;
use clap::Args;
use himacl::data::{Embeddings, read_npy_floats, read_npy_integers, read_npy_labels, read_pairs};
use hiref_core::matching::{Capacity, MatchingParams};
use hiref_core::{Marginals, Side};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a matching may look like, on the command line.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Kinds of matching")]
#[serde(deny_unknown_fields)]
pub(crate) struct MatchingArgs {
    /// Let items stay single where no pair is worth it: two singles together cost this much, in units of the cost, half of it each. What
    /// lies far off on either side then takes part in nothing.
    #[arg(long, value_name = "COST", allow_negative_numbers = true, conflicts_with = "pairs")]
    pub(crate) unmatched_cost: Option<f64>,

    /// Make the best pairs of this number and leave the other items single; the price of a single is found.
    #[arg(long, value_name = "K", conflicts_with = "x_groups")]
    pub(crate) pairs: Option<usize>,

    /// How many partners an x may have: a number, or a .npy file with one for each x. On one side only.
    #[arg(long, value_name = "N|FILE")]
    pub(crate) x_capacity: Option<String>,

    /// As --x-capacity, for y.
    #[arg(long, value_name = "N|FILE")]
    pub(crate) y_capacity: Option<String>,

    /// Pair inside a category only: a .npy file of integers or texts, one for each x, or a column of the metadata of X, or of the .parquet or
    /// .arrow file that X is. Each category is a problem of its own.
    #[arg(long, value_name = "FILE|COLUMN", requires = "y_groups")]
    pub(crate) x_groups: Option<String>,

    /// As --x-groups, for y.
    #[arg(long, value_name = "FILE|COLUMN", requires = "x_groups")]
    pub(crate) y_groups: Option<String>,

    /// Pairs that may not be: a .npy file of integers, (k, 2), or .csv, .tsv or .txt with an x and a y row a line (y first where a first line of names
    /// says so).
    #[arg(long, value_name = "FILE")]
    pub(crate) forbidden: Option<PathBuf>,

    /// Pair by given costs, exactly, in place of X and Y: a .npy file of numbers, (n, m), where infinity stands for a pair that may not be. float32 and
    /// float64 in C order are read where they lie.
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_POINTS)]
    pub(crate) cost_matrix: Option<PathBuf>,

    /// Pair among given candidates, exactly: a .parquet or .arrow file with the columns i, j and cost, or a sparse matrix of scipy's `save_npz` (csr or coo).
    #[arg(long, value_name = "FILE", conflicts_with = "cost_matrix", conflicts_with_all = OF_POINTS)]
    pub(crate) candidates: Option<PathBuf>,

    /// How much mass each x carries: a .npy file of positive numbers, scaled to sum one; sinkhorn, progot, lot and frlc.
    #[arg(long, value_name = "FILE")]
    pub(crate) x_weights: Option<PathBuf>,

    /// As --x-weights, for y.
    #[arg(long, value_name = "FILE")]
    pub(crate) y_weights: Option<PathBuf>,
}

/// What is said of points, and nothing to given costs.
const OF_POINTS: [&str; 27] = [
    "x",
    "y",
    "x_key",
    "y_key",
    "cost",
    "quality",
    "solver",
    "time_limit",
    "center",
    "normalize",
    "warm_start",
    "certify",
    "checkpoint_every",
    "max_memory",
    "x_groups",
    "y_groups",
    "x_weights",
    "y_weights",
    "max_cost_quantile",
    "margin",
    "keep_by_margin",
    "uids",
    "epsilon",
    "rank",
    "batch_size",
    "max_iterations",
    "tolerance",
];

/// Categories by name, as many as are shown.
const NAMED_GROUPS: usize = 10;

/// What the flags come to: settings of the solver, and names of the categories.
pub(crate) struct Resolved {
    pub(crate) params: MatchingParams,
    /// By the number of the category.
    group_names: Vec<String>,
}

impl MatchingArgs {
    /// Whether another matching is asked for than one to one.
    pub(crate) fn any(&self) -> bool {
        self.kind().is_some()
    }

    /// The first flag that asks for another matching than one to one.
    pub(crate) fn kind(&self) -> Option<&'static str> {
        let flags = [
            ("--unmatched-cost", self.unmatched_cost.is_some()),
            ("--pairs", self.pairs.is_some()),
            ("--x-capacity", self.x_capacity.is_some()),
            ("--y-capacity", self.y_capacity.is_some()),
            ("--x-groups", self.x_groups.is_some()),
            ("--forbidden", self.forbidden.is_some()),
        ];
        flags.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }

    /// The first of these flags that is given.
    pub(crate) fn first_flag(&self) -> Option<&'static str> {
        self.kind().or_else(|| self.files().first().map(|(flag, _)| *flag))
    }

    /// The file of given costs, if that is what is paired.
    pub(crate) fn given(&self) -> Option<&Path> {
        self.cost_matrix.as_deref().or(self.candidates.as_deref())
    }

    /// The same with files by their absolute paths.
    pub(crate) fn absolute(&self) -> Result<Self, Error> {
        let absolute = |path: &Option<PathBuf>| {
            path.as_deref().map(|path| std::path::absolute(path).map_err(Error::io("resolve", path))).transpose()
        };
        let [forbidden, cost_matrix, candidates] = [&self.forbidden, &self.cost_matrix, &self.candidates].map(absolute);
        let [x_weights, y_weights] = [&self.x_weights, &self.y_weights].map(absolute);
        // Of a number and of a column's name nothing is to be made.
        let named = |text: &Option<String>| match text.as_deref().and_then(npy_file) {
            Some(path) => Ok::<_, Error>(absolute(&Some(path))?.map(|path| path.to_string_lossy().into_owned())),
            None => Ok(text.clone()),
        };
        Ok(Self {
            forbidden: forbidden?,
            cost_matrix: cost_matrix?,
            candidates: candidates?,
            x_weights: x_weights?,
            y_weights: y_weights?,
            x_capacity: named(&self.x_capacity)?,
            y_capacity: named(&self.y_capacity)?,
            x_groups: named(&self.x_groups)?,
            y_groups: named(&self.y_groups)?,
            ..self.clone()
        })
    }

    /// The files that are read, by the flags that name them.
    pub(crate) fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let paths = [
            ("--cost-matrix", &self.cost_matrix),
            ("--candidates", &self.candidates),
            ("--forbidden", &self.forbidden),
            ("--x-weights", &self.x_weights),
            ("--y-weights", &self.y_weights),
        ];
        let texts = [
            ("--x-capacity", &self.x_capacity),
            ("--y-capacity", &self.y_capacity),
            ("--x-groups", &self.x_groups),
            ("--y-groups", &self.y_groups),
        ];
        let named = paths.into_iter().filter_map(|(flag, path)| Some((flag, path.clone()?)));
        let files = texts.into_iter().filter_map(|(flag, text)| Some((flag, npy_file(text.as_deref()?)?)));
        named.chain(files).collect()
    }

    /// Reads what the flags name, for n x and m y, with the metadata of both sides where there are any.
    pub(crate) fn resolve(&self, [n, m]: [usize; 2], sides: Option<[&Embeddings; 2]>) -> Result<Resolved, Error> {
        let forbidden = self.forbidden.as_deref().map_or(Ok(Vec::new()), |path| {
            let index = |position: usize, side: Side, value: i64, limit: usize| {
                let is_there = |index: &u32| (*index as usize) < limit;
                u32::try_from(value).ok().filter(is_there).ok_or_else(|| Error::ForbiddenPair {
                    path: path.to_path_buf(),
                    position,
                    side,
                    value,
                    limit,
                })
            };
            let pair = |(position, (x, y)): (usize, (i64, i64))| {
                Ok::<_, Error>([index(position, Side::X, x, n)?, index(position, Side::Y, y, m)?])
            };
            read_pairs(path)?.into_iter().enumerate().map(pair).collect()
        })?;
        let (groups, group_names) = match (&self.x_groups, &self.y_groups, sides) {
            (Some(x), Some(y), Some(sides)) => numbered(&[labels(x, sides[0])?, labels(y, sides[1])?])?,
            _ => (None, Vec::new()),
        };
        let params = MatchingParams {
            unmatched_cost: self.unmatched_cost,
            num_pairs: self.pairs,
            x_capacity: capacity("--x-capacity", self.x_capacity.as_deref())?,
            y_capacity: capacity("--y-capacity", self.y_capacity.as_deref())?,
            forbidden,
            groups,
        };
        params.check(n, m)?;
        Ok(Resolved { params, group_names })
    }

    /// The masses of the items, where any are given.
    pub(crate) fn marginals(&self, [n, m]: [usize; 2]) -> Result<Option<Marginals>, Error> {
        if self.x_weights.is_none() && self.y_weights.is_none() {
            return Ok(None);
        }
        let read = |path: &Option<PathBuf>, count: usize| match path {
            Some(path) => read_npy_floats(path).map_err(Error::from),
            None => Ok(vec![1.0; count]),
        };
        let (a, b) = (read(&self.x_weights, n)?, read(&self.y_weights, m)?);
        for (side, weights, points) in [(Side::X, &a, n), (Side::Y, &b, m)] {
            if weights.len() != points {
                return Err(hiref_core::Error::MarginalLength { side, weights: weights.len(), points }.into());
            }
        }
        Ok(Some(Marginals::new(a, b)?))
    }
}

impl Resolved {
    /// Names of categories by number: so many, and the first of them.
    pub(crate) fn named(&self, groups: &[u32]) -> NamedGroups {
        let names = groups.iter().take(NAMED_GROUPS).map(|&group| self.group_names[group as usize].clone());
        NamedGroups { count: groups.len(), names: names.collect() }
    }
}

/// Some categories, the first of them by name.
#[derive(Debug, Serialize)]
pub(crate) struct NamedGroups {
    pub(crate) count: usize,
    pub(crate) names: Vec<String>,
}

/// A path, if the text is that of a .npy file.
fn npy_file(text: &str) -> Option<PathBuf> {
    let path = PathBuf::from(text);
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy")).then_some(path)
}

fn capacity(flag: &'static str, text: Option<&str>) -> Result<Capacity, Error> {
    let Some(text) = text else { return Ok(Capacity::One) };
    let wrong = |got: String| Error::Capacity { flag, got };
    if let Some(path) = npy_file(text) {
        let whole = read_npy_integers(&path)?;
        let each = whole.into_iter().map(|value| u32::try_from(value).map_err(|_| wrong(value.to_string())));
        return Ok(Capacity::Each(each.collect::<Result<_, _>>()?));
    }
    text.parse().map(Capacity::All).map_err(|_| wrong(text.to_owned()))
}

/// The category of each row, by name.
fn labels(text: &str, side: &Embeddings) -> Result<Vec<String>, Error> {
    if let Some(path) = npy_file(text) {
        return Ok(read_npy_labels(&path)?);
    }
    let path = || side.path().to_path_buf();
    let Some(column) = side.labels(text)? else {
        let got = side.columns()?;
        return Err(Error::NoColumn { path: path(), column: text.to_owned(), expected: "categories", got });
    };
    let named = |(row, label): (usize, Option<String>)| {
        label.ok_or_else(|| Error::NoCategory { path: path(), column: text.to_owned(), row })
    };
    column.into_iter().enumerate().map(named).collect()
}

/// Categories of both sides as numbers, by name; and the names. An error where none is on both sides: nothing could be paired.
fn numbered(labels: &[Vec<String>; 2]) -> Result<Numbered, Error> {
    let [of_x, of_y] = [0, 1].map(|side: usize| labels[side].iter().map(String::as_str).collect::<BTreeSet<&str>>());
    if of_x.is_disjoint(&of_y) && !of_x.is_empty() && !of_y.is_empty() {
        let some = |names: &BTreeSet<&str>| names.iter().take(NAMED_GROUPS).map(|&name| name.to_owned()).collect();
        return Err(Error::NoCommonCategory { x: some(&of_x), y: some(&of_y) });
    }
    let numbers: BTreeMap<&str, u32> = of_x.union(&of_y).copied().zip(0..).collect();
    let groups = [0, 1].map(|side: usize| labels[side].iter().map(|label| numbers[label.as_str()]).collect());
    Ok((Some(groups), numbers.into_keys().map(str::to_owned).collect()))
}

/// The number of each row's category on either side, and the names.
type Numbered = (Option<[Vec<u32>; 2]>, Vec<String>);
