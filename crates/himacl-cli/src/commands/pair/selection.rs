//! Which of the pairs are kept, and their ids.

use super::PairArgs;
use crate::error::Error;
use crate::table::counted;
use clap::{Args, ValueEnum};
use himacl::align::{ReferenceItems, pair_margins};
use himacl::data::Embeddings;
use hiref_core::{Permutation, Problem};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The metadata column with a sample's id.
const UID_COLUMN: &str = "uid";
/// Neighbours from which a pair stands out.
const NEIGHBOURS: usize = 10;
/// Items of a side among which they are looked for.
const REFERENCE_ITEMS: usize = 16_384;

/// What to keep, on the command line.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection of pairs")]
pub(super) struct SelectionArgs {
    /// Reject the pairs whose cost is above this quantile of all pairs' costs: 0.9 keeps the cheapest 90%. pairs.parquet then lists
    /// the kept pairs alone; permutation.npy stays whole.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_cost_quantile: Option<f64>,

    /// Add a column `margin` to pairs.parquet: how far each pair stands out from the neighbourhoods of both items, the mean cost of
    /// either with its 10 nearest items of the other side, together, less twice the pair's cost. Of larger sides the nearest of 16,384
    /// random items.
    #[arg(long)]
    margin: bool,

    /// Keep this share of the pairs, those of the largest margins; the cost alone prefers items that are near to everything.
    #[arg(long, value_name = "SHARE", value_parser = share, conflicts_with = "max_cost_quantile")]
    keep_by_margin: Option<f64>,

    /// Write the kept pairs' ids to uids.npy, sorted, as `DataComp` lists a subset (two uint64 each): those of this side, from the column
    /// `uid` of its metadata, 32 hexadecimal digits each.
    #[arg(long, value_enum, value_name = "SIDE")]
    uids: Option<SideArg>,
}

/// One of the two sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SideArg {
    /// The source set.
    X,
    /// The target set.
    Y,
}

/// What to keep, as part of a run's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    max_cost_quantile: Option<f64>,
    #[serde(default)]
    margin: bool,
    #[serde(default)]
    keep_by_margin: Option<f64>,
    uids: Option<SideArg>,
}

impl SelectionArgs {
    /// Whether anything is selected.
    pub(super) fn is_any(&self) -> bool {
        self.first_flag().is_some()
    }

    /// The first of its flags that is given.
    pub(super) fn first_flag(&self) -> Option<&'static str> {
        let Self { max_cost_quantile, margin, keep_by_margin, uids } = self;
        let flags = [
            ("--max-cost-quantile", max_cost_quantile.is_some()),
            ("--margin", *margin),
            ("--keep-by-margin", keep_by_margin.is_some()),
            ("--uids", uids.is_some()),
        ];
        flags.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }
}

impl Rejection {
    /// How many of all pairs are kept, and by what, for people.
    pub(super) fn describe(&self, all: usize) -> String {
        let limit = match (self.largest_cost, self.least_margin) {
            (Some(cost), _) => format!("cost at most {cost:.6}"),
            (None, Some(margin)) => format!("margin at least {margin:.6}"),
            (None, None) => String::new(),
        };
        format!(
            "{} of {} kept ({limit}), mean cost {:.6}: pairs.parquet has these alone",
            self.num_kept,
            counted(all, "pair"),
            self.mean_cost
        )
    }
}

impl From<&PairArgs> for Selection {
    fn from(args: &PairArgs) -> Self {
        let &SelectionArgs { max_cost_quantile, margin, keep_by_margin, uids } = &args.selection;
        Self { max_cost_quantile, margin, keep_by_margin, uids }
    }
}

/// The pairs that were kept, by x index.
pub(super) struct Kept {
    pub(super) x: Vec<u32>,
    pub(super) y: Vec<u32>,
    pub(super) cost: Vec<f32>,
    /// How far each stands out, where that was asked for.
    pub(super) margin: Option<Vec<f32>>,
    pub(super) rejection: Option<Rejection>,
}

/// The part of summary.json about rejected pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Rejection {
    /// What was kept by: `cost` or `margin`.
    by: &'static str,
    /// The share asked for.
    quantile: f64,
    /// Pairs that cost more were rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    largest_cost: Option<f64>,
    /// Pairs of a smaller margin were rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    least_margin: Option<f64>,
    num_kept: usize,
    /// Of the kept pairs, in f64.
    mean_cost: f64,
}

/// A sample's id, as two numbers: the order of their pairs is that of the digits.
pub(super) type Uid = (u64, u64);

impl Selection {
    /// Reads the ids of the side whose ids are asked for.
    ///
    /// # Errors
    /// [`Error::NoColumn`] and [`Error::Uid`].
    pub(super) fn uids(&self, sides: [&Embeddings; 2]) -> Result<Option<Vec<Uid>>, Error> {
        let Some(side) = self.uids else { return Ok(None) };
        let side = sides[side as usize];
        let path = || side.path().to_path_buf();
        let metadata = side.metadata()?;
        let column = metadata.as_ref().and_then(|metadata| metadata.text_column(UID_COLUMN));
        let Some(column) = column else {
            let fields = metadata.iter().flat_map(|metadata| metadata.schema().fields());
            let got = fields.map(|field| format!("{}: {}", field.name(), field.data_type())).collect();
            return Err(Error::NoColumn { path: path(), column: UID_COLUMN.to_owned(), expected: "text", got });
        };
        let read = |(row, text): (usize, &Option<String>)| {
            text.as_deref().and_then(parse_uid).ok_or_else(|| Error::Uid { path: path(), row, got: text.clone() })
        };
        column.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// The kept ones of `ids`, one for each row of the side that they were read of, sorted.
    pub(super) fn kept_uids(&self, ids: &[Uid], kept: &Kept) -> Vec<Uid> {
        let rows = if self.uids == Some(SideArg::Y) { &kept.y } else { &kept.x };
        let mut uids: Vec<Uid> = rows.iter().map(|&row| ids[row as usize]).collect();
        uids.par_sort_unstable();
        uids
    }

    /// Prices every pair and drops those that are not kept.
    pub(super) fn apply(&self, problem: &Problem, permutation: &Permutation, seed: u64) -> Result<Kept, Error> {
        let (x_rows, y_rows) = (problem.x().rows(), problem.y().rows());
        let (x_rows, y_rows) = (x_rows.view(), y_rows.view());
        let (x, y): (Vec<u32>, Vec<u32>) = permutation.pairs().map(|(x, y)| (x as u32, y as u32)).unzip();
        let between = |(&i, &j): (&u32, &u32)| problem.cost().between(&x_rows.row(i as usize), &y_rows.row(j as usize));
        let costs: Vec<f64> = x.par_iter().zip(&y).map(between).collect();
        let margin = self.margins(problem, (&x, &y), seed)?;
        Ok(self.keep((x, y), &costs, margin))
    }

    /// How far pairs stand out, where that was asked for.
    pub(super) fn margins(
        &self,
        problem: &Problem,
        pairs: (&[u32], &[u32]),
        seed: u64,
    ) -> Result<Option<Vec<f32>>, Error> {
        if !self.margin && self.keep_by_margin.is_none() {
            return Ok(None);
        }
        let reference = ReferenceItems { limit: REFERENCE_ITEMS, seed };
        Ok(Some(pair_margins(problem, pairs, NEIGHBOURS, reference)?))
    }

    /// Drops the pairs whose cost is above the quantile, or whose margin is below. A pair equal to it is kept, so that at least
    /// `⌈quantile · pairs⌉` pairs are.
    pub(super) fn keep(&self, (x, y): (Vec<u32>, Vec<u32>), costs: &[f64], margin: Option<Vec<f32>>) -> Kept {
        let costs_as_f32 = |kept: &mut dyn Iterator<Item = usize>| kept.map(|pair| costs[pair] as f32).collect();
        // What is kept by, the less the better.
        let (by, quantile, measure) = match (self.max_cost_quantile, self.keep_by_margin, &margin) {
            (Some(quantile), ..) => ("cost", quantile, costs.to_vec()),
            (None, Some(share), Some(margin)) => {
                ("margin", share, margin.iter().map(|&value| -f64::from(value)).collect())
            }
            _ => return Kept { cost: costs_as_f32(&mut (0..costs.len())), x, y, margin, rejection: None },
        };
        let mut sorted = measure.clone();
        sorted.par_sort_unstable_by(f64::total_cmp);
        let last = sorted[((quantile * costs.len() as f64).ceil() as usize).clamp(1, costs.len()) - 1];
        let keep: Vec<usize> = (0..costs.len()).filter(|&pair| measure[pair] <= last).collect();
        let mean_cost = keep.iter().map(|&pair| costs[pair]).sum::<f64>() / keep.len() as f64;
        let (largest_cost, least_margin) = if by == "cost" { (Some(last), None) } else { (None, Some(-last)) };
        Kept {
            x: keep.iter().map(|&pair| x[pair]).collect(),
            y: keep.iter().map(|&pair| y[pair]).collect(),
            cost: costs_as_f32(&mut keep.iter().copied()),
            margin: margin.map(|margin| keep.iter().map(|&pair| margin[pair]).collect()),
            rejection: Some(Rejection { by, quantile, largest_cost, least_margin, num_kept: keep.len(), mean_cost }),
        }
    }
}

/// 32 hexadecimal digits as two numbers.
fn parse_uid(text: &str) -> Option<Uid> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let half = |digits| u64::from_str_radix(digits, 16).ok();
    Some((half(&text[..16])?, half(&text[16..])?))
}

fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if value > 0.0 && value <= 1.0 { Ok(value) } else { Err("expected a share above 0 and at most 1".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};
    use hiref_core::CostKind;

    #[test]
    fn the_dearest_pairs_go() {
        let x = Tensor::new(&[[0.0_f32], [1.0], [2.0], [3.0]], &Device::Cpu).unwrap();
        let y = Tensor::new(&[[0.5_f32], [1.0], [2.0], [5.0]], &Device::Cpu).unwrap();
        let problem = Problem::new(&x, &y, CostKind::SquaredEuclidean).unwrap();
        let none = Selection { max_cost_quantile: None, margin: false, keep_by_margin: None, uids: Some(SideArg::Y) };
        let apply = |selection: Selection| selection.apply(&problem, &Permutation::identity(4), 0).unwrap();
        let keep = |max_cost_quantile| apply(Selection { max_cost_quantile, ..none.clone() });
        assert_eq!((keep(None).x, keep(None).rejection), (vec![0, 1, 2, 3], None));
        let kept = keep(Some(0.75));
        assert_eq!((kept.x, kept.y, kept.cost), (vec![0, 1, 2], vec![0, 1, 2], vec![0.25, 0.0, 0.0]));
        let expected = Rejection {
            by: "cost",
            quantile: 0.75,
            largest_cost: Some(0.25),
            least_margin: None,
            num_kept: 3,
            mean_cost: 0.25 / 3.0,
        };
        assert_eq!((kept.rejection, kept.margin), (Some(expected), None));
        // Ties stay together.
        assert_eq!(keep(Some(0.1)).x, [1, 2]);
        assert_eq!(keep(Some(1.0)).x.len(), 4);
        // The last pair is the dearest, but its y is far from everything else; the third is free, and both are near to all.
        let kept = apply(Selection { keep_by_margin: Some(0.75), ..none.clone() });
        assert_eq!((kept.x, kept.margin.map(|margin| margin.len())), (vec![0, 1, 3], Some(3)));
        assert_eq!(apply(Selection { margin: true, ..none.clone() }).margin.map(|margin| margin.len()), Some(4));
    }

    #[test]
    fn an_id_is_two_numbers() {
        assert_eq!(parse_uid("000000000000000a00000000000000FF"), Some((10, 255)));
        for wrong in ["", "12", "000000000000000g00000000000000ff", "000000000000000a00000000000000ff0"] {
            assert_eq!(parse_uid(wrong), None);
        }
        let selection =
            Selection { max_cost_quantile: None, margin: false, keep_by_margin: None, uids: Some(SideArg::Y) };
        let kept = Kept { x: vec![0, 1], y: vec![2, 0], cost: vec![0.0; 2], margin: None, rejection: None };
        assert_eq!(selection.kept_uids(&[(7, 1), (0, 0), (7, 0)], &kept), [(7, 0), (7, 1)]);
    }
}
