//! Independent starts of one setting, until two agree.

use super::agreement::{Probe, matched_cosine, worth_of_anchors};
use super::first_map::{self, FirstMap};
use crate::align::axes::Axes;
use crate::align::error::AlignError;
use crate::align::joint::ReferenceItems;
use crate::align::params::{AlignParams, Candidate, CouplingParams, RefinementParams};
use crate::align::refinement::{Sides, joint, refine_from};
use crate::align::report::{Agreement, LeftOut, RoundReport, SearchReport, StartReport};
use crate::align::warm_coupling::{WarmCoupler, announce};
use crate::map::TwoWayMap;
use candle_core::Tensor;
use hiref_core::{HirefParams, Observer, Permutation, Quality, rng};
use rand::Rng;
use rayon::prelude::*;

/// Names the streams of the loop's own draws.
const RUN: u64 = 0x7275_6e73;
/// Starts that run side by side, whatever the number of threads.
const SIDE_BY_SIDE: usize = 2;
/// Items of a side beyond which the search couples quickly, not exactly, and in fewer rounds: the first map comes from
/// more items, and of many pairs the wrong ones cancel.
const FEW_ITEMS: usize = 2048;
/// The fewest rounds of the search, as a share of a candidate's.
const LEAST_ROUNDS: f64 = 0.4;

/// What all searches of one problem share.
#[derive(Clone, Copy)]
pub(super) struct Problem<'a> {
    pub(super) params: &'a AlignParams,
    pub(super) axes: &'a Axes,
    pub(super) source: &'a Tensor,
    pub(super) target: &'a Tensor,
    pub(super) anchors: &'a [(u32, u32)],
    pub(super) observer: &'a dyn Observer,
}

/// One run of the loop.
pub(super) struct Run {
    /// Between the views in the candidate's last dimension.
    pub(super) map: TwoWayMap,
    pub(super) rounds: Vec<RoundReport>,
    /// Of the free items.
    pub(super) coupling: Permutation,
    pub(super) report: StartReport,
    promise: f64,
    probe: Probe,
}

impl Run {
    pub(super) fn agreement(&self, other: &Self) -> Result<Agreement, AlignError> {
        self.probe.agreement(&other.probe)
    }
}

/// One candidate, in all axes or without one.
pub(super) struct Search<'a> {
    problem: Problem<'a>,
    pub(super) candidate: &'a Candidate,
    /// The candidate's setting, for so many items.
    refinement: RefinementParams,
    /// How couplings are found while searching.
    coupling: CouplingParams,
    /// Tells its streams from those of other searches.
    number: u64,
    pub(super) left_out: Option<LeftOut>,
    /// Both sides' whitened coordinates, in as many dimensions as the last stage needs.
    x: Tensor,
    y: Tensor,
    /// Its starts so far, the better of the two that agree most first.
    pub(super) runs: Vec<Run>,
    /// How far these two agree.
    pub(super) agreement: Agreement,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        problem: Problem<'a>,
        candidate: &'a Candidate,
        number: u64,
        left_out: Option<LeftOut>,
    ) -> Result<Self, AlignError> {
        let RefinementParams { last_dimension, whitening, .. } = candidate.refinement;
        let dimension = last_dimension.max(problem.params.unpaired.final_dimension);
        let whitened = |axes: &Axes| axes.whitened(dimension, whitening, problem.source, problem.target);
        let (x, y) = match left_out {
            None => whitened(problem.axes)?,
            Some(left_out) => whitened(&problem.axes.without(left_out)?)?,
        };
        let few = (FEW_ITEMS as f64 / x.dim(0)?.max(y.dim(0)?) as f64).clamp(LEAST_ROUNDS, 1.0);
        let rounds = (few * candidate.refinement.rounds as f64).round() as usize;
        let sides = Sides { x: &x, y: &y, anchors: problem.anchors };
        let most = candidate.refinement.anchor_share;
        let anchor_share = worth_of_anchors(problem.params.unpaired.anchor_worth, &sides, most)?;
        let refinement = RefinementParams { rounds: rounds.max(1), anchor_share, ..candidate.refinement.clone() };
        let coupling = quick(&problem.params.coupling);
        let (runs, agreement) = (Vec::new(), Agreement::default());
        Ok(Self { problem, candidate, refinement, coupling, number, left_out, x, y, runs, agreement })
    }

    /// All items, in this search's coordinates.
    pub(super) fn sides(&self) -> Sides<'_> {
        Sides { x: &self.x, y: &self.y, anchors: self.problem.anchors }
    }

    /// Makes starts until two agree surely, or there are `most`.
    pub(super) fn until_sure(&mut self, most: usize) -> Result<(), AlignError> {
        while self.runs.len() < most && !self.is_sure() {
            let made = self.runs.len();
            let starts = made..most.min(made + SIDE_BY_SIDE);
            announce(self.problem.observer, starts.len() * self.refinement.rounds);
            let runs: Vec<Run> = starts.into_par_iter().map(|start| self.start(start)).collect::<Result<_, _>>()?;
            self.runs.extend(runs);
            self.put_best_first()?;
        }
        Ok(())
    }

    /// Whether two starts agree as far as is asked for.
    pub(super) fn is_enough(&self) -> bool {
        is_enough(self.problem.params, self.agreement)
    }

    /// Whether two starts agree so far that further ones would say the same.
    pub(super) fn is_sure(&self) -> bool {
        self.is_enough() && self.agreement.same_partners >= self.problem.params.unpaired.sure_same_partners
    }

    /// What it came to.
    pub(super) fn report(&self) -> SearchReport {
        SearchReport {
            candidate: self.candidate.name.clone(),
            left_out: self.left_out,
            agreement: self.agreement,
            matched_cosine: self.runs[0].report.matched_cosine,
        }
    }

    /// One more run, from the consensus of what all starts ended in.
    pub(super) fn combined(&self) -> Result<Run, AlignError> {
        announce(self.problem.observer, self.refinement.rounds);
        let sides = self.sides();
        let free = sides.free()?;
        let pairs: Vec<Vec<(u32, u32)>> = self.runs.iter().map(|run| free.pairs(&run.coupling)).collect();
        let (x, y) = sides.view(self.refinement.first_dimension)?;
        let weight = self.problem.params.unpaired.anchor_weight;
        let map = first_map::combined((&x, &y), &pairs, self.problem.anchors, weight)?;
        self.run("starts combined", self.runs.len(), map)
    }

    /// Of all pairs of starts, the one that agrees most goes first, the better of the two before the other.
    fn put_best_first(&mut self) -> Result<(), AlignError> {
        let mut best: Option<(usize, usize, Agreement)> = None;
        for (first, run) in self.runs.iter().enumerate() {
            for (second, other) in self.runs.iter().enumerate().skip(first + 1) {
                let agreement = run.agreement(other)?;
                let more = |best: &(usize, usize, Agreement)| agreement.same_partners > best.2.same_partners;
                if best.as_ref().is_none_or(more) {
                    best = Some((first, second, agreement));
                }
            }
        }
        let Some((first, second, agreement)) = best else { return Ok(()) };
        self.agreement = agreement;
        let cosine = |at: usize| self.runs[at].report.matched_cosine;
        let better = if cosine(second) > cosine(first) { second } else { first };
        self.runs.swap(0, better);
        Ok(())
    }

    /// How far the restarts of a first map agree, times their best alignment: what is promised before anything is coupled.
    pub(super) fn promise(&self) -> Result<f64, AlignError> {
        let (promised, known) = match &self.runs[..] {
            [] => (self.first_map(0)?.promise(), 1),
            runs => (runs.iter().map(|run| run.promise).sum::<f64>(), runs.len()),
        };
        Ok(promised / known as f64)
    }

    fn first_map(&self, number: usize) -> Result<FirstMap, AlignError> {
        let params = self.problem.params;
        let (x, y) = self.sides().view(self.refinement.first_dimension)?;
        let reference = ReferenceItems { limit: params.unpaired.clustered_items, ..params.reference() };
        let path = [self.number, number as u64];
        first_map::first_map((&x, &y), self.problem.anchors, &params.unpaired, reference, &path, self.problem.observer)
    }

    fn start(&self, number: usize) -> Result<Run, AlignError> {
        let first = self.first_map(number)?;
        let promise = first.promise();
        let mut run = self.run(&self.stage(number), number, first.map)?;
        run.report.centroid_alignment = first.alignment;
        run.report.restart_agreement = first.agreement;
        Ok(Run { promise, ..run })
    }

    /// Draws of its own for each run, so that runs err in different ways.
    fn reference(&self, number: usize) -> ReferenceItems {
        let AlignParams { seed, reference_items, .. } = *self.problem.params;
        let seed = rng::stream(seed, &[RUN, self.number, number as u64]).random();
        ReferenceItems { limit: reference_items, seed }
    }

    fn stage(&self, number: usize) -> String {
        let name = &self.candidate.name;
        match self.left_out {
            None => format!("{name}, start {}", number + 1),
            Some(LeftOut { side, axis }) => {
                format!("{name} without axis {} of the {side}, start {}", axis + 1, number + 1)
            }
        }
    }

    /// The loop from a first map, and how well what it finds predicts itself.
    fn run(&self, stage: &str, number: usize, map: TwoWayMap) -> Result<Run, AlignError> {
        let params = self.problem.params;
        let sides = self.sides();
        let reference = self.reference(number);
        let refinement = &self.refinement;
        let mut coupler = WarmCoupler::new(&self.coupling, self.problem.observer, stage);
        let refined = refine_from(&sides, refinement, map, refinement.rounds, reference, &mut coupler)?;
        let view = sides.view(refinement.last_dimension)?;
        let free = sides.free()?;
        let coupling = coupler.couple(&joint(&refined.map, (&view.0, &view.1), &free, reference)?)?;
        let (matched_cosine, fitted) = matched_cosine((&view.0, &view.1), refinement.penalty, &free.pairs(&coupling))?;
        let probe = Probe::new(&fitted, (&view.0, &view.1), params.reference())?;
        let report = StartReport {
            candidate: self.candidate.name.clone(),
            left_out: self.left_out,
            start: number + 1,
            centroid_alignment: 0.0,
            restart_agreement: 0.0,
            matched_cosine,
        };
        Ok(Run { map: refined.map, rounds: refined.rounds, coupling, report, promise: 0.0, probe })
    }
}

/// Couplings as good as a search needs them.
pub(super) fn quick(params: &CouplingParams) -> CouplingParams {
    let solver = HirefParams { quality: Quality::Fast, ..params.solver.clone() };
    CouplingParams { exact_limit: params.exact_limit.min(FEW_ITEMS), solver }
}

/// Whether two maps agree as far as is asked for.
pub(super) fn is_enough(params: &AlignParams, agreement: Agreement) -> bool {
    agreement.cosine >= params.unpaired.least_agreement
        && agreement.same_partners >= params.unpaired.least_same_partners
}
