//! The one error type of the crate: every variant says what was expected, what was found and where.

use crate::cost::CostKind;
use std::fmt;

/// Which of the two supports a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The source support `x`.
    X,
    /// The target support `y`.
    Y,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::X => "x",
            Self::Y => "y",
        })
    }
}

/// Why a problem, a parameter set or a coupling was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A support is not a matrix.
    #[error("support `{side}` has shape {shape:?}, expected two dimensions (points, coordinates)")]
    NotAMatrix {
        /// The side in question.
        side: Side,
        /// The shape found.
        shape: Vec<usize>,
    },
    /// Coordinates that do not make whole points.
    #[error("support `{side}` has {values} coordinates, expected a multiple of {dimension} (coordinates of a point)")]
    RaggedRows {
        /// The side in question.
        side: Side,
        /// Coordinates of all points.
        values: usize,
        /// Coordinates of each.
        dimension: usize,
    },
    /// A support has no points or no coordinates.
    #[error("support `{side}` is empty: {points} points of {dimension} coordinates")]
    EmptySupport {
        /// The side in question.
        side: Side,
        /// Number of rows.
        points: usize,
        /// Number of columns.
        dimension: usize,
    },
    /// More points than a `u32` index can name.
    #[error("support `{side}` has {points} points, at most {limit} are supported")]
    TooManyPoints {
        /// The side in question.
        side: Side,
        /// Number of rows.
        points: usize,
        /// The limit.
        limit: usize,
    },
    /// The two supports live in spaces of different dimension.
    #[error(
        "support `x` has {x} coordinates and support `y` has {y}: the cost needs the same space\n\
         hint: map one side into the other's space first"
    )]
    DimensionMismatch {
        /// Coordinates of x.
        x: usize,
        /// Coordinates of y.
        y: usize,
    },
    /// The two supports are on different devices.
    #[error(
        "support `x` is on {x:?} and support `y` on {y:?}, expected one device\nhint: move one side to the other's device"
    )]
    DeviceMismatch {
        /// Where x is.
        x: candle_core::DeviceLocation,
        /// Where y is.
        y: candle_core::DeviceLocation,
    },
    /// A coordinate is NaN or infinite.
    #[error(
        "support `{side}` has the value `{value}` at row {row}, column {column}: coordinates must be finite\nhint: drop or mend that row"
    )]
    NotFinite {
        /// The side in question.
        side: Side,
        /// Row of the first offending value.
        row: usize,
        /// Column of the first offending value.
        column: usize,
        /// The value.
        value: f32,
    },
    /// A coordinate is so large that sums of its squares would leave the range of f32.
    #[error(
        "support `{side}` has the value {value:e} at row {row}, column {column}, expected at most {limit:e} in size: squares of larger ones \
         overflow\nhint: drop that row, or scale both sides by a common factor"
    )]
    TooLarge {
        /// The side in question.
        side: Side,
        /// Row of the first offending value.
        row: usize,
        /// Column of the first offending value.
        column: usize,
        /// The value.
        value: f32,
        /// The largest size allowed.
        limit: f32,
    },
    /// The cosine distance of a zero vector is undefined.
    #[error(
        "support `{side}` has a zero vector at row {row}: the cosine distance is undefined there\nhint: drop that row, or use another cost"
    )]
    ZeroVector {
        /// The side in question.
        side: Side,
        /// The row.
        row: usize,
    },
    /// A target index lies outside the other support.
    #[error("entry {position} of the permutation is {value}, expected an index below {limit}")]
    IndexOutOfRange {
        /// Position in the permutation.
        position: usize,
        /// The value found there.
        value: u32,
        /// Number of points of the other side.
        limit: usize,
    },
    /// A target index occurs twice.
    #[error("index {value} occurs twice in the permutation, at entries {first} and {second}")]
    RepeatedIndex {
        /// The repeated value.
        value: u32,
        /// First position.
        first: usize,
        /// Second position.
        second: usize,
    },
    /// Not every point of the smaller side is matched.
    #[error("the permutation matches {found} pairs, expected {expected} (all points of the smaller side)")]
    WrongPairCount {
        /// Pairs found.
        found: usize,
        /// Pairs expected.
        expected: usize,
    },
    /// A warm start belongs to another problem.
    #[error("the warm start pairs {warm_x} with {warm_y} points, the problem has {x} and {y}")]
    WarmStartMismatch {
        /// x points of the warm start.
        warm_x: usize,
        /// y points of the warm start.
        warm_y: usize,
        /// x points of the problem.
        x: usize,
        /// y points of the problem.
        y: usize,
    },
    /// A warm start cannot be read.
    #[error("the warm start cannot be used: {what}")]
    BrokenWarmStart {
        /// What is wrong with it.
        what: String,
    },
    /// A checkpoint cannot be read.
    #[error("the checkpoint cannot be used: {what}")]
    BrokenCheckpoint {
        /// What is wrong with it.
        what: String,
    },
    /// A checkpoint was made from other points, another cost or with other parameters.
    #[error(
        "the checkpoint was made with another {what}\nhint: repeat the interrupted run's inputs and settings, or start over"
    )]
    CheckpointMismatch {
        /// What differs.
        what: &'static str,
    },
    /// A parameter is outside its range.
    #[error("parameter `{name}` is {value}, expected {expected}")]
    Parameter {
        /// Name of the field.
        name: &'static str,
        /// The value found.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A weight of a marginal is zero, negative, NaN or infinite.
    #[error(
        "the marginal of `{side}` has the weight {value} at entry {position}, expected a positive finite number\n\
         hint: drop points that carry no mass"
    )]
    Weight {
        /// The side in question.
        side: Side,
        /// Position of the first offending weight.
        position: usize,
        /// The value.
        value: f64,
    },
    /// A marginal has another length than its support.
    #[error("the marginal of `{side}` has {weights} entries, expected {points} (the points of that support)")]
    MarginalLength {
        /// The side in question.
        side: Side,
        /// Entries found.
        weights: usize,
        /// Points of the support.
        points: usize,
    },
    /// A solver that pairs points one to one was given marginals.
    #[error("the {solver} solver gives every point the same mass, this problem has marginals of its own")]
    MarginalsNotTaken {
        /// The solver.
        solver: &'static str,
    },
    /// A low-rank coupling cannot have a higher rank than the smaller side has points.
    #[error("the rank is {rank}, expected at most {limit} (the points of the smaller side)")]
    RankTooLarge {
        /// The rank asked for.
        rank: usize,
        /// The number of points of the smaller side.
        limit: usize,
    },
    /// A solver is defined for other costs only.
    #[error(
        "the {solver} solver takes the cost {expected}, this problem has {cost}\nhint: sinkhorn, lot and frlc take every cost"
    )]
    UnsupportedCost {
        /// The solver.
        solver: &'static str,
        /// The cost of the problem.
        cost: CostKind,
        /// The cost that it is defined for.
        expected: CostKind,
    },
    /// A matrix of costs is empty, or its rows are not whole.
    #[error("there are {values} costs, expected at least one row of {columns}, and whole rows")]
    CostShape {
        /// Costs found.
        values: usize,
        /// Costs of a row.
        columns: usize,
    },
    /// A cost is no number.
    #[error(
        "the cost matrix has the value `{value}` at row {row}, column {column}, expected numbers\n\
         hint: positive infinity stands for a pair that may not be"
    )]
    CostValue {
        /// Row of the first offending value.
        row: usize,
        /// Column of the first offending value.
        column: usize,
        /// The value.
        value: f64,
    },
    /// A candidate pair's cost is not finite.
    #[error(
        "candidate {position}, x {x} with y {y}, has the cost `{cost}`, expected a finite number\n\
         hint: leave out pairs that may not be"
    )]
    CandidateCost {
        /// Position in the list.
        position: usize,
        /// Its x.
        x: u32,
        /// Its y.
        y: u32,
        /// The cost.
        cost: f64,
    },
    /// A listed pair names an item that there is not.
    #[error("pair {position} of the list has the {side} index {index}, expected one from 0 below {limit}")]
    PairOutOfRange {
        /// Position in the list.
        position: usize,
        /// The side in question.
        side: Side,
        /// The index.
        index: u64,
        /// Items of that side.
        limit: usize,
    },
    /// A list that should have an entry for each item of a side has another length.
    #[error("there are {got} {what} for `{side}`, expected {expected} (one for each of its items)")]
    ItemCount {
        /// What is listed.
        what: &'static str,
        /// The side in question.
        side: Side,
        /// Entries found.
        got: usize,
        /// Items of that side.
        expected: usize,
    },
    /// Two settings contradict each other.
    #[error("`{first}` and `{second}` cannot be had together\nhint: choose one of them")]
    NotTogether {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// More pairs are asked for than there can be.
    #[error(
        "{wanted} pairs are asked for, there can be {most} at most (the places of the smaller side)\nhint: ask for {most} or fewer"
    )]
    TooManyPairs {
        /// Pairs asked for.
        wanted: usize,
        /// The limit.
        most: usize,
    },
    /// Not all items that must be paired can be.
    #[error(
        "no matching pairs all that must be paired: {items} {side} items ({}{}) need {wanted} places, and all their candidates together have \
         {places}\nhint: let items stay single, or allow them more pairs", list(first), if *items > first.len() { ", …" } else { "" }
    )]
    NoMatching {
        /// The side in question.
        side: Side,
        /// Items that are in each other's way.
        items: usize,
        /// Partners that they need together.
        wanted: usize,
        /// Partners that there are for them.
        places: usize,
        /// The first of them.
        first: Vec<u32>,
    },
    /// The interface was asked to stop before any coupling existed.
    #[error("interrupted before a first coupling existed")]
    Interrupted,
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// A device ran out of memory, or failed.
    #[error("{0}\nhint: the CPU works without it")]
    Device(#[from] hiref_kernels::Error),
}

/// What kind of thing went wrong, for those who treat all errors of a kind alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The points, masses, warm start or pairing handed in.
    Input,
    /// A parameter, or a solver that does not fit the problem.
    Parameter,
    /// A checkpoint that cannot be gone on from.
    Checkpoint,
    /// The solve was asked to stop before there was a result.
    Interrupted,
    /// A device, its memory, or an operation on it.
    Device,
}

impl Error {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAMatrix { .. }
            | Self::RaggedRows { .. }
            | Self::EmptySupport { .. }
            | Self::TooManyPoints { .. }
            | Self::DimensionMismatch { .. }
            | Self::DeviceMismatch { .. }
            | Self::NotFinite { .. }
            | Self::TooLarge { .. }
            | Self::ZeroVector { .. }
            | Self::IndexOutOfRange { .. }
            | Self::RepeatedIndex { .. }
            | Self::WrongPairCount { .. }
            | Self::WarmStartMismatch { .. }
            | Self::BrokenWarmStart { .. }
            | Self::Weight { .. }
            | Self::MarginalLength { .. }
            | Self::CostShape { .. }
            | Self::CostValue { .. }
            | Self::CandidateCost { .. }
            | Self::PairOutOfRange { .. }
            | Self::ItemCount { .. }
            | Self::NoMatching { .. } => ErrorKind::Input,
            Self::Parameter { .. }
            | Self::NotTogether { .. }
            | Self::TooManyPairs { .. }
            | Self::RankTooLarge { .. }
            | Self::UnsupportedCost { .. }
            | Self::MarginalsNotTaken { .. } => ErrorKind::Parameter,
            Self::BrokenCheckpoint { .. } | Self::CheckpointMismatch { .. } => ErrorKind::Checkpoint,
            Self::Interrupted => ErrorKind::Interrupted,
            Self::Tensor(_) | Self::Device(_) => ErrorKind::Device,
        }
    }
}

fn list(items: &[u32]) -> String {
    items.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
