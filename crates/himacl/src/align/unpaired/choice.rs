//! Which search makes the next group of starts: in all axes, or without one of the first.

use super::search::{Coordinates, Found, Problem, Search};
use crate::align::error::AlignError;
use crate::align::report::{Agreement, CombinedReport, LeftOut, SearchReport, StartReport};
use crate::side::DataSide;

/// Groups of starts made where starts in all axes do not agree, in units of the most that one search makes.
const GROUPS_OF_SEARCHES: usize = 3;

/// What the search came to that is kept, and what all came to.
pub(super) struct Searched<'a> {
    pub(super) left_out: Option<LeftOut>,
    pub(super) coordinates: Coordinates<'a>,
    pub(super) found: Found,
    pub(super) agreement: Agreement,
    pub(super) searches: Vec<SearchReport>,
    pub(super) starts: Vec<StartReport>,
    pub(super) combined: Option<CombinedReport>,
}

/// Searches in all axes; where starts do not agree surely there, also without one of the first axes, until they do where
/// both sides match best; the last resort is the consensus of all starts there.
pub(super) fn searched(problem: Problem<'_>) -> Result<Searched<'_>, AlignError> {
    let params = &problem.params.unpaired;
    let mut whole = Search::new(problem, 0, None);
    whole.until_sure(2)?;
    if whole.is_enough() {
        // One of the two may have been unlucky; the axes are not to blame.
        whole.until_sure(params.groups)?;
    }
    let mut searches = vec![whole];
    if !searches[0].is_sure()? {
        in_other_axes(problem, &mut searches)?;
    }
    let reports = searches.iter().map(Search::report).collect();
    let starts = searches.iter().flat_map(Search::starts).collect();
    let mut search = searches.swap_remove(best_matched(&searches).unwrap_or(0));
    let (mut agreement, mut combined) = (search.agreement, None);
    let all = if search.is_sure()? { None } else { Some(search.combined()?) };
    let mut found = search.groups.swap_remove(0);
    if let Some(all) = all {
        let with_group = all.agreement(&found)?;
        let kept = all.score >= found.score;
        combined = Some(CombinedReport { score: all.score, agreement: with_group, kept });
        if kept {
            found = all;
        }
        // All together match better than any group, and the best group had been on the same way.
        if kept && problem.is_sure(with_group)? {
            agreement = with_group;
        }
    }
    let (left_out, coordinates) = (search.left_out, search.coordinates()?);
    Ok(Searched { left_out, coordinates, found, agreement, searches: reports, starts, combined })
}

/// What speaks for the search that has the next turn.
#[derive(Clone, Copy)]
enum Turn {
    /// Its centroids match best: an axis that one side alone has keeps them from it.
    Centroids,
    /// Its best group matches best.
    Items,
    /// It has made no group yet; the one whose centroids match best.
    Untried,
}

/// Adds searches without one of the first axes of either side, and makes groups of starts in all in turns, until two agree
/// surely in the search in which both sides match best.
///
/// Neither sign is enough by itself: centroids may match better by chance, and a wrong map may match a little better in one
/// set of axes than wrong maps in another.
fn in_other_axes<'a>(problem: Problem<'a>, searches: &mut Vec<Search<'a>>) -> Result<(), AlignError> {
    let params = &problem.params.unpaired;
    let left_out = (0..params.axes_left_out)
        .flat_map(|axis| [DataSide::Target, DataSide::Source].map(|side| LeftOut { side, axis }));
    searches.extend((1..).zip(left_out).map(|(number, left_out)| Search::new(problem, number, Some(left_out))));
    let mut alignments = searches.iter_mut().map(Search::centroid_alignment).collect::<Result<Vec<f64>, _>>()?;
    let turns = [Turn::Centroids, Turn::Items, Turn::Untried].into_iter().cycle();
    for turn in turns.take(GROUPS_OF_SEARCHES * params.groups) {
        let open = (0..searches.len()).filter(|&at| searches[at].groups.len() < params.groups);
        let by_centroids = |a: &usize, b: &usize| alignments[*a].total_cmp(&alignments[*b]).then(b.cmp(a));
        let next = match turn {
            Turn::Centroids => open.max_by(by_centroids),
            Turn::Untried => open.filter(|&at| searches[at].groups.is_empty()).max_by(by_centroids),
            Turn::Items => best_of(searches, open),
        };
        let Some(next) = next else { continue };
        searches[next].make_group()?;
        alignments[next] = searches[next].centroid_alignment()?;
        if let Some(best) = best_matched(searches)
            && searches[best].is_sure()?
        {
            break;
        }
    }
    searches.retain(|search| !search.groups.is_empty());
    Ok(())
}

/// The search whose best group matches best, if any made one.
fn best_matched(searches: &[Search<'_>]) -> Option<usize> {
    best_of(searches, 0..searches.len())
}

fn best_of(searches: &[Search<'_>], among: impl Iterator<Item = usize>) -> Option<usize> {
    let tried = among.filter(|&at| !searches[at].groups.is_empty());
    tried.max_by(|&a, &b| searches[a].score().total_cmp(&searches[b].score()).then(b.cmp(&a)))
}
