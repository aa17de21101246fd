//! What a run leaves in its output folder.

use super::config::PairConfig;
use crate::data::{Embeddings, Metadata, write_npy_f32, write_npy_u32};
use crate::error::Error;
use crate::files::{OutputDir, remove_if_present, write_atomic_with};
use crate::report::{self, Recorder, RunReport};
use arrow_array::{ArrayRef, Float32Array, RecordBatch, UInt32Array};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use hiref_core::{CostKind, HirefOutput, LevelReport, Problem, Quality, RoundReport, SweepReport, Termination};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use rayon::prelude::*;
use serde::Serialize;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The name of the coupling's file.
pub(super) const PERMUTATION: &str = "permutation.npy";
/// The name of the certificate's file.
pub(super) const POTENTIALS: &str = "potentials.npy";
/// The columns that every pairs.parquet has.
const OWN_COLUMNS: [&str; 3] = ["x_index", "y_index", "cost"];
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
    levels: &'a [LevelReport],
    polish: &'a [SweepReport],
    rounds: &'a [RoundReport],
    dual_bound: Option<f64>,
    relative_gap: Option<f64>,
    #[serde(flatten)]
    run: RunReport,
}

/// Writes permutation.npy, pairs.parquet, config.toml and, where certified, potentials.npy; `sides` are x and y.
pub(super) fn write(
    output: &OutputDir,
    config: &PairConfig,
    problem: &Problem,
    solved: &HirefOutput,
    sides: [&Embeddings; 2],
) -> Result<(), Error> {
    // An earlier run's summary must not vouch for a mixture of its files and ours.
    remove_if_present(&output.file("summary.json"))?;
    report::write_config(output, config)?;
    write_npy_u32(&output.file(PERMUTATION), solved.permutation.y_of_x())?;
    match &solved.certificate {
        Some(certificate) => {
            let potentials: Vec<f32> =
                certificate.f.iter().chain(&certificate.g).map(|&value| rounded_down(value)).collect();
            write_npy_f32(&output.file(POTENTIALS), &potentials, &[potentials.len()])?;
        }
        None => remove_if_present(&output.file(POTENTIALS))?,
    }
    let metadata = [sides[0].metadata()?, sides[1].metadata()?];
    let path = output.file("pairs.parquet");
    write_atomic_with(&path, |file| {
        write_pairs(file, problem, solved, &metadata).map_err(|error| parquet_error(&path, error))
    })
}

/// Writes summary.json.
pub(super) fn write_summary(
    output: &OutputDir,
    config: &PairConfig,
    problem: &Problem,
    solved: &HirefOutput,
    recorder: &Recorder,
) -> Result<(), Error> {
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
        levels: &solved.levels,
        polish: &solved.sweeps,
        rounds: &solved.rounds,
        dual_bound: solved.certificate.as_ref().map(|certificate| certificate.dual_bound),
        relative_gap: solved.certificate.as_ref().map(|certificate| certificate.relative_gap),
        run: recorder.report(),
    };
    report::write_summary(output, &summary)
}

/// The result in a line or two, for people.
pub(super) fn describe(problem: &Problem, solved: &HirefOutput, folder: &Path) -> String {
    let ending = match solved.termination {
        Termination::Converged if solved.exact => "optimal",
        Termination::Converged => "converged",
        Termination::MaxIterations => "all sweeps done",
        Termination::TimeLimit => "stopped at the time limit",
        Termination::Interrupted => "interrupted: go on with --resume",
    };
    let (pairs, cost, mean) = (solved.permutation.num_pairs(), problem.cost(), solved.mean_cost);
    let proof = solved.certificate.as_ref().map_or(String::new(), |certificate| {
        let bound = format!("\nno pairing costs less than {:.6}", certificate.dual_bound);
        // A cost of zero has no shares.
        match certificate.relative_gap {
            gap if gap.is_finite() => format!("{bound}: at most {:.4}% from the optimum", 100.0 * gap),
            _ => bound,
        }
    });
    format!("{pairs} pairs, mean {cost} cost {mean:.6} ({ending}){proof}\nwritten to {}", folder.display())
}

/// The largest f32 that is no larger: potentials rounded so still satisfy every constraint.
fn rounded_down(value: f64) -> f32 {
    let rounded = value as f32;
    if f64::from(rounded) > value { rounded.next_down() } else { rounded }
}

fn write_pairs(
    file: &mut std::fs::File,
    problem: &Problem,
    solved: &HirefOutput,
    metadata: &[Option<Metadata>; 2],
) -> Result<(), ParquetError> {
    let (x_index, y_index): (Vec<u32>, Vec<u32>) =
        solved.permutation.pairs().map(|(x, y)| (x as u32, y as u32)).unzip();
    let schema = Arc::new(pairs_schema(metadata));
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))?;
    for (x_index, y_index) in x_index.chunks(BATCH).zip(y_index.chunks(BATCH)) {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(x_index.to_vec())),
            Arc::new(UInt32Array::from(y_index.to_vec())),
            Arc::new(Float32Array::from(costs(problem, x_index, y_index))),
        ];
        for (side, rows) in metadata.iter().zip([x_index, y_index]) {
            if let Some(side) = side {
                columns.extend(side.take(rows)?);
            }
        }
        writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
    }
    writer.close()?;
    Ok(())
}

fn costs(problem: &Problem, x_index: &[u32], y_index: &[u32]) -> Vec<f32> {
    let (x, y) = (problem.x().rows(), problem.y().rows());
    let (x, y) = (x.view(), y.view());
    let cost = |(&i, &j): (&u32, &u32)| problem.cost().between(&x.row(i as usize), &y.row(j as usize)) as f32;
    x_index.par_iter().zip(y_index).map(cost).collect()
}

/// Our columns, then x's metadata, then y's; a name that is not unique gets the prefix of its side.
fn pairs_schema(metadata: &[Option<Metadata>; 2]) -> Schema {
    let fields = |side: &Option<Metadata>| side.as_ref().map_or(Vec::new(), |side| side.schema().fields().to_vec());
    let sides = metadata.each_ref().map(fields);
    let taken: Vec<&str> =
        OWN_COLUMNS.into_iter().chain(sides.iter().flatten().map(|field| field.name().as_str())).collect();
    let unique = |name: &str, prefix: &str| {
        let mut name = name.to_owned();
        if taken.iter().filter(|other| **other == name).count() > 1 {
            while taken.contains(&name.as_str()) {
                name.insert_str(0, prefix);
            }
        }
        name
    };
    let own = OWN_COLUMNS.into_iter().map(|name| {
        let kind = if name == "cost" { DataType::Float32 } else { DataType::UInt32 };
        Arc::new(Field::new(name, kind, false))
    });
    let named =
        sides.iter().zip(["x_", "y_"]).flat_map(|(fields, prefix)| fields.iter().map(move |field| (field, prefix)));
    let named = named.map(|(field, prefix)| Arc::new(field.as_ref().clone().with_name(unique(field.name(), prefix))));
    Schema::new(own.chain(named).collect::<Vec<_>>())
}

/// Brings a full disk to light from inside the writer's error.
fn parquet_error(path: &Path, error: ParquetError) -> Error {
    let source = match error {
        ParquetError::External(inner) => match inner.downcast::<ArrowError>() {
            Ok(arrow) => match *arrow {
                ArrowError::IoError(_, source) => return Error::io("write", path)(source),
                other => ParquetError::External(Box::new(other)),
            },
            Err(inner) => match inner.downcast::<io::Error>() {
                Ok(source) => return Error::io("write", path)(*source),
                Err(inner) => ParquetError::External(inner),
            },
        },
        other => other,
    };
    Error::Parquet { path: path.to_path_buf(), source }
}
