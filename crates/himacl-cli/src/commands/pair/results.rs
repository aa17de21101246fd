//! What a run leaves in its output folder.

use super::config::PairConfig;
use super::names::{PAIRS, PERMUTATION, POTENTIALS, UIDS, WARM_START};
use super::selection::{Kept, Rejection, Uid};
use crate::distance;
use crate::error::Error;
use crate::report::{self, Recorder, RunReport};
use crate::table::counted;
use arrow_array::{ArrayRef, Float32Array, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use himacl::data::files::{remove_if_present, write_atomic, write_atomic_with};
use himacl::data::output::OutputDir;
use himacl::data::{Embeddings, Metadata, write_npy_f32, write_npy_u32, write_npy_uids};
use hiref_core::{
    Certificate, CostKind, GapEstimate, HirefOutput, LevelReport, Permutation, Problem, Quality, RoundReport,
    SweepReport, Termination, WarmStart,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// The columns that a pairs.parquet has; the last one where margins were asked for.
const OWN_COLUMNS: [&str; 4] = ["x_index", "y_index", "cost", "margin"];
/// Pairs written at a time.
const BATCH: usize = 65_536;

/// summary.json.
#[derive(Serialize)]
struct Summary<'a> {
    command: &'static str,
    n: usize,
    m: usize,
    d: usize,
    cost: CostKind,
    solver: super::Solver,
    seed: u64,
    quality: Quality,
    num_pairs: usize,
    mean_cost: f64,
    bijection: bool,
    exact: bool,
    termination: Termination,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejection: Option<Rejection>,
    levels: &'a [LevelReport],
    polish: &'a [SweepReport],
    rounds: &'a [RoundReport],
    dual_bound: Option<f64>,
    relative_gap: Option<f64>,
    /// Only where nothing is proved.
    gap_estimate: Option<GapEstimate>,
    #[serde(flatten)]
    run: RunReport,
}

/// What a run writes, and where.
pub(super) struct Files<'a> {
    pub(super) config: &'a PairConfig,
    pub(super) problem: &'a Problem<'a>,
    pub(super) output: &'a OutputDir,
    /// x and y.
    pub(super) sides: [&'a Embeddings; 2],
    /// The ids of one side's rows, where they were asked for.
    pub(super) uids: Option<Vec<Uid>>,
}

impl Files<'_> {
    /// Writes permutation.npy, pairs.parquet and what else there is, and removes what an earlier run left of the rest.
    pub(super) fn write(
        &self,
        permutation: &Permutation,
        warm_start: Option<&WarmStart>,
        potentials: Option<&[f32]>,
    ) -> Result<Option<Rejection>, Error> {
        let Self { config, problem, output, sides, uids } = self;
        // An earlier run's summary must not vouch for a mixture of its files and ours.
        for file in ["summary.json", WARM_START, POTENTIALS, UIDS] {
            remove_if_present(&output.file(file))?;
        }
        write_npy_u32(&output.file(PERMUTATION), permutation.y_of_x())?;
        if let Some(warm_start) = warm_start {
            write_atomic(&output.file(WARM_START), |file| file.write_all(&warm_start.to_bytes()))?;
        }
        if let Some(potentials) = potentials {
            write_npy_f32(&output.file(POTENTIALS), potentials, &[potentials.len()])?;
        }
        let kept = config.selection.apply(problem, permutation, config.hiref.seed)?;
        if let Some(uids) = uids {
            write_npy_uids(&output.file(UIDS), &config.selection.kept_uids(uids, &kept))?;
        }
        let metadata = [sides[0].metadata()?, sides[1].metadata()?];
        let path = output.file(PAIRS);
        write_atomic_with(&path, |file| {
            write_pairs(file, &kept, &metadata).map_err(himacl::data::Error::parquet(&path))
        })?;
        Ok(kept.rejection)
    }

    /// Writes summary.json.
    pub(super) fn write_summary(
        &self,
        solved: &HirefOutput,
        rejection: Option<Rejection>,
        recorder: &Recorder,
    ) -> Result<(), Error> {
        let Self { config, problem, .. } = self;
        let summary = Summary {
            command: "pair",
            n: problem.x().num_points(),
            m: problem.y().num_points(),
            d: problem.x().dimension(),
            cost: problem.cost(),
            solver: config.solver,
            seed: config.hiref.seed,
            quality: config.hiref.quality,
            num_pairs: solved.permutation.num_pairs(),
            // By the definition of the cost, whatever the solver kept account of.
            mean_cost: hiref_core::mean_cost(problem, &solved.permutation),
            // `Permutation` checks on construction that no index occurs twice and that all are used.
            bijection: solved.permutation.is_bijection(),
            exact: solved.exact,
            termination: solved.termination,
            rejection,
            levels: &solved.levels,
            polish: &solved.sweeps,
            rounds: &solved.rounds,
            dual_bound: solved.dual_bound,
            relative_gap: solved.relative_gap(),
            gap_estimate: solved.gap_estimate,
            run: recorder.report(),
        };
        report::write_summary(self.output, &summary)
    }
}

/// The potentials of a certificate, those of x first, rounded so that they still satisfy every constraint.
pub(super) fn potentials(certificate: &Certificate) -> Vec<f32> {
    certificate.f.iter().chain(&certificate.g).map(|&value| rounded_down(value)).collect()
}

/// The result in a line or two, for people.
pub(super) fn describe(problem: &Problem, solved: &HirefOutput, kept: Option<String>, folder: &Path) -> String {
    let ending = match solved.termination {
        Termination::Converged if solved.exact => "optimal",
        Termination::Converged => "converged",
        Termination::MaxIterations => "all sweeps done",
        Termination::TimeLimit => "stopped at the time limit",
        Termination::Interrupted => "interrupted: go on with --resume",
    };
    let (pairs, cost, mean) = (counted(solved.permutation.num_pairs(), "pair"), problem.cost(), solved.mean_cost);
    let unknown = "how far above the optimum is not known: --certify proves it, in O(n m d) time";
    let mut lines = vec![format!("{pairs}, mean {cost} cost {mean:.6} ({ending})")];
    lines.extend([proved_distance(solved), estimated_distance(solved)].into_iter().flatten());
    if lines.len() == 1 && !solved.exact && solved.termination != Termination::Interrupted {
        lines.push(unknown.to_owned());
    }
    lines.extend(kept);
    lines.push(format!("written to {}", folder.display()));
    lines.join("\n")
}

/// How far the result is above the optimum at most, where something is proved.
fn proved_distance(solved: &HirefOutput) -> Option<String> {
    let bound = solved.dual_bound.filter(|_| solved.certificate.is_some() || !solved.exact)?;
    let bound = format!("no pairing costs less than {bound:.6}");
    let proved = solved.relative_gap().and_then(|gap| distance::proved(solved.mean_cost, gap));
    Some(proved.map_or(bound.clone(), |proved| format!("{bound}: {proved}")))
}

/// The same, as a sample of rows tells.
fn estimated_distance(solved: &HirefOutput) -> Option<String> {
    let GapEstimate { value, high, confidence, rows, .. } = solved.gap_estimate?;
    Some(distance::estimated(solved.mean_cost, (value, high), confidence, rows))
}

/// The largest f32 that is no larger: potentials rounded so still satisfy every constraint.
pub(super) fn rounded_down(value: f64) -> f32 {
    let rounded = value as f32;
    if f64::from(rounded) > value { rounded.next_down() } else { rounded }
}

/// Writes pairs.parquet.
pub(super) fn write_pairs(
    file: &mut std::fs::File,
    kept: &Kept,
    metadata: &[Option<Metadata>; 2],
) -> Result<(), ParquetError> {
    let own_columns = if kept.margin.is_some() { &OWN_COLUMNS[..] } else { &OWN_COLUMNS[..3] };
    let schema = Arc::new(pairs_schema(metadata, own_columns));
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))?;
    for (batch, ((x, y), cost)) in
        kept.x.chunks(BATCH).zip(kept.y.chunks(BATCH)).zip(kept.cost.chunks(BATCH)).enumerate()
    {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(x.to_vec())),
            Arc::new(UInt32Array::from(y.to_vec())),
            Arc::new(Float32Array::from(cost.to_vec())),
        ];
        if let Some(margin) = &kept.margin {
            columns.push(Arc::new(Float32Array::from(margin[batch * BATCH..][..x.len()].to_vec())));
        }
        for (side, rows) in metadata.iter().zip([x, y]) {
            if let Some(side) = side {
                columns.extend(side.take(rows)?);
            }
        }
        writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
    }
    writer.close()?;
    Ok(())
}

/// Our columns, then x's metadata, then y's; a name that is not unique gets the prefix of its side.
fn pairs_schema(metadata: &[Option<Metadata>; 2], own_columns: &[&'static str]) -> Schema {
    let fields = |side: &Option<Metadata>| side.as_ref().map_or(Vec::new(), |side| side.schema().fields().to_vec());
    let sides = metadata.each_ref().map(fields);
    let taken: Vec<&str> =
        own_columns.iter().copied().chain(sides.iter().flatten().map(|field| field.name().as_str())).collect();
    let unique = |name: &str, prefix: &str| {
        let mut name = name.to_owned();
        if taken.iter().filter(|other| **other == name).count() > 1 {
            while taken.contains(&name.as_str()) {
                name.insert_str(0, prefix);
            }
        }
        name
    };
    let own = own_columns.iter().map(|&name| {
        let kind = if name.ends_with("_index") { DataType::UInt32 } else { DataType::Float32 };
        Arc::new(Field::new(name, kind, false))
    });
    let named =
        sides.iter().zip(["x_", "y_"]).flat_map(|(fields, prefix)| fields.iter().map(move |field| (field, prefix)));
    let named = named.map(|(field, prefix)| Arc::new(field.as_ref().clone().with_name(unique(field.name(), prefix))));
    Schema::new(own.chain(named).collect::<Vec<_>>())
}
