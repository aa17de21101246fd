//! Chooses a setting of the anchors' loop for each problem of a recipe by the known pairs alone.

use crate::development::{DevelopmentArgs, Problem, Scored, choose, print_head};
use clap::Args;
use himacl::align::{AlignParams, Candidate, RefinementParams};

/// Arguments of `choose-alignment`.
#[derive(Debug, Args)]
pub(crate) struct ChooseAlignmentArgs {
    #[command(flatten)]
    development: DevelopmentArgs,
    /// Times that every field is gone through; 0 = only compare the start with the settings in force.
    #[arg(long, default_value_t = 1)]
    passes: usize,
}

/// The values tried of one field, simplest first.
struct Coordinate {
    name: &'static str,
    values: &'static [f64],
    set: fn(&mut RefinementParams, f64),
}

/// Fields in the order in which they are gone through.
const GRID: [Coordinate; 12] = [
    Coordinate { name: "last_dimension", values: &[128.0, 256.0], set: |p, v| p.last_dimension = v as usize },
    Coordinate { name: "whitening", values: &[0.0, 0.15, 0.3, 0.5], set: |p, v| p.whitening = v },
    Coordinate { name: "kernel_width", values: &[0.0, 0.25, 0.5, 1.0], set: with_kernel },
    Coordinate { name: "penalty", values: &[1.0, 0.5, 2.0, 0.25], set: |p, v| p.penalty = v },
    Coordinate { name: "softness", values: &[0.0, 0.5, 1.0], set: |p, v| p.softness = v },
    Coordinate { name: "temperature", values: &[0.1, 0.05, 0.25, 0.025], set: |p, v| p.temperature = v },
    Coordinate { name: "candidates", values: &[30.0, 10.0, 100.0], set: |p, v| p.candidates = v as usize },
    Coordinate { name: "first_dimension", values: &[32.0, 24.0, 16.0], set: from_dimension },
    Coordinate { name: "first_share", values: &[0.25, 0.15, 0.1], set: |p, v| p.first_share = v },
    Coordinate { name: "anchor_share", values: &[0.5, 0.3, 0.1], set: |p, v| p.anchor_share = v },
    Coordinate { name: "structure", values: &[0.0, 0.2, 0.4], set: |p, v| p.structure = v },
    Coordinate { name: "rounds", values: &[8.0, 12.0, 16.0], set: |p, v| p.rounds = v as usize },
];

/// With a kernel there are all dimensions from the start.
fn with_kernel(params: &mut RefinementParams, width: f64) {
    params.kernel_width = width;
    from_dimension(params, params.first_dimension as f64);
}

fn from_dimension(params: &mut RefinementParams, dimension: f64) {
    params.first_dimension = if params.kernel_width > 0.0 { params.last_dimension } else { dimension as usize };
}

/// Where the search starts: round numbers, nothing fitted to any problem.
fn neutral() -> RefinementParams {
    RefinementParams {
        whitening: 0.0,
        kernel_width: 0.0,
        first_dimension: 32,
        last_dimension: 128,
        penalty: 1.0,
        rounds: 8,
        first_share: 0.25,
        last_share: 1.0,
        anchor_share: 0.5,
        neighbours: 10, // of [CSLS]; not searched
        candidates: 30,
        temperature: 0.1,
        structure: 0.0,
        softness: 0.5,
        dropout: 0.0,
    }
}

/// One field after the other, each with the others as chosen so far.
pub(crate) fn run(args: &ChooseAlignmentArgs) -> anyhow::Result<()> {
    for problem in args.development.problems()? {
        let mut search = Search { problem: &problem, known: Vec::new() };
        let mut chosen = neutral();
        print_head(&problem);
        for _ in 0..args.passes {
            for Coordinate { name, values, set } in &GRID {
                let tried: Vec<RefinementParams> = values
                    .iter()
                    .map(|&value| {
                        let mut params = chosen.clone();
                        set(&mut params, value);
                        params
                    })
                    .collect();
                let scores = search.scores(&tried)?;
                let named = values.iter().zip(scores);
                let scored: Vec<Scored> =
                    named.map(|(value, scores)| Scored { value: value.to_string(), scores }).collect();
                chosen = tried[choose(name, &scored)].clone();
            }
        }
        println!("\nChosen: `{chosen:?}`");
        // How the settings in force compare on the same splits; the choice does not depend on it.
        let mut settings = vec![("search".to_owned(), chosen)];
        settings.extend(problem.recipe.alignment.candidates.iter().map(|c| (c.name.clone(), c.refinement.clone())));
        let scores = search.scores(&settings.iter().map(|(_, params)| params.clone()).collect::<Vec<_>>())?;
        println!("\n| setting | mean log rank | standard deviation over splits |\n|---|---|---|");
        for ((value, _), scores) in settings.into_iter().zip(scores) {
            let scored = Scored { value, scores };
            println!("| {} | {:.3} | {:.3} |", scored.value, scored.mean(), scored.deviation());
        }
    }
    Ok(())
}

/// Scores settings, each at most once.
struct Search<'a> {
    problem: &'a Problem,
    known: Vec<(RefinementParams, Vec<f64>)>,
}

impl Search<'_> {
    /// For each setting the mean log rank of the hidden known pairs on every split.
    fn scores(&mut self, tried: &[RefinementParams]) -> anyhow::Result<Vec<Vec<f64>>> {
        let new: Vec<&RefinementParams> =
            tried.iter().filter(|params| self.known.iter().all(|(known, _)| known != *params)).collect();
        let mut scores = vec![Vec::new(); new.len()];
        if !new.is_empty() {
            for split in &self.problem.splits {
                let candidate =
                    |params: &&RefinementParams| Candidate { name: String::new(), refinement: (*params).clone() };
                let aligner = AlignParams {
                    candidates: new.iter().map(candidate).collect(),
                    selection_rounds: usize::MAX,
                    seed: split.seed,
                    ..self.problem.recipe.align_params()
                };
                let reports = aligner.check()?.cross_validate(&split.source, &split.target, &split.anchors, &())?;
                scores.iter_mut().zip(reports).for_each(|(scores, report)| scores.push(report.mean_log_rank));
            }
        }
        self.known.extend(new.into_iter().cloned().zip(scores));
        let score = |params: &RefinementParams| self.known.iter().find(|(known, _)| known == params);
        Ok(tried.iter().filter_map(|params| Some(score(params)?.1.clone())).collect())
    }
}
