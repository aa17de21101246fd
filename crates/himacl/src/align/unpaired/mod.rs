//! A map between two spaces of which no pair is known.

mod agreement;
mod first_map;
mod k_means;
mod last_stage;
mod quadratic_assignment;
mod search;

use super::axes::{Axes, largest_dimension};
use super::error::AlignError;
use super::known_pairs::{FEWEST_ANCHORS, anchors_only, check_anchors};
use super::output::{Alignment, Ending};
use super::params::Aligner;
use super::refinement::{Sides, ridge_both_ways, select};
use super::report::{AlignmentReport, CombinedReport, LeftOut, SearchReport, StartReport, UnpairedReport, Verdict};
use crate::side::DataSide;
use candle_core::Tensor;
use hiref_core::Observer;
use last_stage::last_stage;
use search::{Problem, Search, is_enough};

/// Starts before other axes are looked at: whether two agree is what is asked.
const FIRST_STARTS: usize = 2;
/// Searches of one candidate in different axes that are carried out; the others have promised less.
const MOST_SEARCHES: usize = 3;

impl Aligner {
    /// Finds a map between two spaces without any known pair; `anchors` may name some, and then join the search.
    ///
    /// For each start: both sides are reduced to their principal axes; many times over, k-means centroids of both sides are
    /// matched by the permutation of largest linear CKA; the cross-covariances of the matched centroids, weighted by their
    /// consensus, are the first map; then the loop of [`Aligner::anchors`] couples, believes a growing share of the surest
    /// pairs, and refits. Starts end when two agree surely: when their maps have the same nearest partner for most items.
    /// Where they do not agree in all axes, those axes of either side are left out, one at a time, without which the first
    /// maps promise more. The search is kept whose starts agree most. Where that is not surely so, one more run starts
    /// from the consensus of the starts; the last stage then looks at more dimensions and believes all pairs, and is kept
    /// unless its pairing predicts itself worse (the mean cosine of the pairs of one half of the items under the map
    /// fitted to the other half). No true pair enters these choices.
    ///
    /// Two spaces whose geometries differ have no such map. [`UnpairedReport::agreement`] says so: independent starts then
    /// end in different maps. The last candidate is kept then, which should be the most cautious.
    ///
    /// *Shapes*: `source (n, d)`, `target (m, e)`, any float type. *Complexity*: for s starts in all and r rounds, (s + 1) r
    /// couplings of n with m items, and s · `restarts` clusterings of up to `clustered_items` items.
    /// *Determinism*: same bits for the same seed, whatever the number of threads.
    ///
    /// References: \[RS26\] "Shared Geometry as a Rosetta Stone", arXiv 2610.09411, 2026 (centroids matched by linear CKA,
    /// averaged over restarts); \[ALA18\] (the loop, and that a falling share of the scores is left out at random; here it is
    /// coordinates). We differ in the weights by consensus, in the growing share of believed pairs under a one-to-one
    /// coupling, in the choice by agreement and cross-fitted cosine, in combining starts.
    ///
    /// # Errors
    /// Embeddings that are empty or not finite; known pairs that repeat or name no item; [`AlignError::Interrupted`] once
    /// the observer asks to stop.
    pub fn unpaired(
        &self,
        source: &Tensor,
        target: &Tensor,
        anchors: &[(u32, u32)],
        observer: &dyn Observer,
    ) -> Result<Alignment, AlignError> {
        let params = &self.params;
        let candidates = &params.unpaired.candidates;
        let largest = largest_dimension(candidates).max(params.unpaired.final_dimension);
        let axes = Axes::leading(largest, params.seed, source, target)?;
        let (n, m) = (source.dim(0)?, target.dim(0)?);
        check_anchors(anchors, 0, n, m)?;
        if anchors.len() >= n.min(m) {
            // Nothing is left to be paired.
            return self.anchors(source, target, anchors, observer);
        }
        let problem = Problem { params, axes: &axes, source, target, anchors, observer };
        let Searched { mut search, searches, starts } = searched(problem)?;

        let (mut agreement, mut combined) = (search.agreement, None);
        let mut run = if search.is_sure() { None } else { Some(search.combined()?) };
        if let Some(again) = &run {
            let mut with_start = search.runs[0].agreement(again)?;
            for start in &search.runs[1..] {
                let other = start.agreement(again)?;
                if other.same_partners > with_start.same_partners {
                    with_start = other;
                }
            }
            let matched_cosine = again.report.matched_cosine;
            let kept = matched_cosine >= search.runs[0].report.matched_cosine;
            combined = Some(CombinedReport { matched_cosine, agreement: with_start, kept });
            if kept && with_start.same_partners > agreement.same_partners {
                agreement = with_start;
            }
        }
        if !combined.is_some_and(|combined| combined.kept) {
            run = Some(search.runs.swap_remove(0));
        }
        let enough = is_enough(params, agreement);
        let mut found = last_stage(&problem, &search, run.expect("a start, or all combined"), enough)?;

        let refinement = &search.candidate.refinement;
        let (x, y) = axes.whitened(found.dimension, refinement.whitening, source, target)?;
        let sides = Sides { x: &x, y: &y, anchors };
        let left_out = search.left_out;
        if left_out.is_some() {
            // The axis misled the search alone: once pairs are known, it takes part like any other.
            let free = sides.free()?;
            let pairs = free.pairs(&found.coupling).into_iter().chain(anchors.iter().copied());
            let (i, j): (Vec<u32>, Vec<u32>) = pairs.unzip();
            let (x, y) = sides.view(found.dimension)?;
            found.map = ridge_both_ways(&select(&x, &i)?, &select(&y, &j)?, None, refinement.penalty)?;
        }
        let unpaired = UnpairedReport {
            agreement,
            shares_too_little: !enough,
            verdict: match (enough, agreement.same_partners >= params.unpaired.sure_same_partners) {
                (false, _) => Verdict::Nothing,
                (true, false) => Verdict::Map,
                (true, true) => Verdict::Pairing,
            },
            left_out,
            searches,
            starts,
            combined,
            last_stage: found.report,
        };
        let ending = Ending {
            axes: &axes,
            sides: &sides,
            refinement,
            dimension: found.dimension,
            reference: params.reference(),
        };
        let some = anchors.len() >= FEWEST_ANCHORS;
        let baseline = some.then(|| anchors_only(source, target, anchors, params.baseline_penalty)).transpose()?;
        let report = AlignmentReport {
            chosen: search.candidate.name.clone(),
            rounds: found.rounds,
            unpaired: Some(unpaired),
            ..AlignmentReport::default()
        };
        ending.alignment(found.map, |_| Ok(Some(found.coupling)), baseline, report)
    }
}

/// The search that is kept, and what all came to.
struct Searched<'a> {
    search: Search<'a>,
    searches: Vec<SearchReport>,
    starts: Vec<StartReport>,
}

/// Searches in all axes; where starts do not agree surely there, in those axes that promise most too; keeps the search
/// whose starts agree most, if that is enough, with as many starts as allowed, else that of the last candidate.
fn searched(problem: Problem<'_>) -> Result<Searched<'_>, AlignError> {
    let params = &problem.params.unpaired;
    let mut first = Search::new(problem, &params.candidates[0], 0, None)?;
    first.until_sure(FIRST_STARTS.min(params.starts))?;
    let mut made = vec![first];
    if !made[0].is_sure() {
        made.extend(in_other_axes(problem, made[0].promise()?)?);
    }
    let by_agreement = |a: &usize, b: &usize| {
        made[*a].agreement.same_partners.total_cmp(&made[*b].agreement.same_partners).then(b.cmp(a))
    };
    let mut best = (0..made.len()).max_by(by_agreement).unwrap_or(0);
    // Two starts that failed say little: others may not.
    made[best].until_sure(params.starts)?;
    for candidate in &params.candidates[1..] {
        if made[best].is_enough() {
            break;
        }
        let number = 2 * params.axes_left_out + made.len();
        let mut search = Search::new(problem, candidate, number as u64 + 1, None)?;
        search.until_sure(params.starts)?;
        best = made.len();
        made.push(search);
    }
    let searches = made.iter().map(Search::report).collect();
    let starts = made.iter().flat_map(|search| search.runs.iter().map(|run| run.report.clone())).collect();
    Ok(Searched { search: made.swap_remove(best), searches, starts })
}

/// Searches by the first candidate without one of the first axes, those of most promise first, until starts agree surely
/// or no more than all axes together, `whole`, is promised.
fn in_other_axes(problem: Problem<'_>, whole: f64) -> Result<Vec<Search<'_>>, AlignError> {
    let params = &problem.params.unpaired;
    let left_out = (0..params.axes_left_out)
        .flat_map(|axis| [DataSide::Target, DataSide::Source].map(|side| LeftOut { side, axis }));
    let mut searches = Vec::new();
    for (number, left_out) in left_out.enumerate() {
        let search = Search::new(problem, &params.candidates[0], number as u64 + 1, Some(left_out))?;
        searches.push((search.promise()?, search));
    }
    searches.retain(|(promise, _)| *promise > whole);
    searches.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut made = Vec::new();
    for (_, mut search) in searches.into_iter().take(MOST_SEARCHES - 1) {
        search.until_sure(FIRST_STARTS.min(params.starts))?;
        let sure = search.is_sure();
        made.push(search);
        if sure {
            break;
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests;
