//! `himacl pair --ray` with addresses of object stores: `himacl.ray.pair` of the Python package does all of it, the output's marks included.
//! Without a cluster --x and --y alone may be addresses.

use super::external::{self, driver};
use super::{Certify, PairArgs};
use crate::error::Error;
use crate::interrupt;
use crate::{Context, ExitStatus};
use himacl::hub::HubSettings;
use himacl::readers::is_readable;
use hiref_core::{CostKind, Quality};
use hiref_external::Gap;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The arguments of `himacl.ray.pair`.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags there")]
struct Request<'a> {
    x: &'a Path,
    y: &'a Path,
    output: &'a Path,
    address: &'a str,
    max_memory: Option<f64>,
    work_dir: Option<&'a Path>,
    scratch_dir: Option<&'a Path>,
    resume: bool,
    force: bool,
    x_key: Option<&'a str>,
    y_key: Option<&'a str>,
    cost: CostKind,
    quality: Quality,
    seed: u64,
    center: bool,
    normalize: bool,
    certify: String,
    block_rows: Option<u32>,
    external_sweeps: Option<u16>,
    threads: u16,
}

/// What the driver says at its end.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Summary(Summary),
    Error(String),
}

/// The part of summary.json that is told.
#[derive(Deserialize)]
struct Summary {
    num_pairs: usize,
    mean_cost: f64,
    cost: CostKind,
    gap_estimate: Option<Gap>,
}

/// Pairs on Ray if one of the places is an address and a cluster is named.
///
/// # Errors
/// Addresses in places where none is read; what cannot be had with them; the driver's.
pub(super) fn run(args: &PairArgs, context: &Context) -> Option<Result<ExitStatus, Error>> {
    let places = [args.x.as_ref(), args.y.as_ref(), Some(&args.output.output), args.external.work_dir.as_ref()];
    let found = places.into_iter().flatten().find(|path| is_address(path));
    match (found, &args.external.ray) {
        (Some(place), Some(cluster)) => Some(on_ray(args, place, cluster, context)),
        (None, _) if args.external.scratch_dir.is_some() => Some(Err(Error::NoAddress("--scratch-dir"))),
        (None, Some(_)) => None,
        (_, None) => refused(args).map(Err),
    }
}

fn is_address(path: &Path) -> bool {
    path.to_string_lossy().contains("://")
}

/// The first address that nobody reads without a cluster.
fn refused(args: &PairArgs) -> Option<Error> {
    let settings = HubSettings::from_env();
    let is_read = |path: &Path| path.to_str().is_some_and(|address| is_readable(address, &settings));
    let sides = [("--x", &args.x), ("--y", &args.y)];
    let sides = sides.into_iter().filter_map(|(flag, path)| Some((flag, path.clone().filter(|path| !is_read(path))?)));
    let others = [
        ("--output", Some(&args.output.output)),
        ("--work-dir", args.external.work_dir.as_ref()),
        ("--warm-start", args.warm_start.as_ref()),
    ];
    let others = others.into_iter().filter_map(|(flag, path)| Some((flag, path?.clone())));
    let others = others.chain(args.matching.files()).map(|found| (found, false));
    let mut all = sides.map(|found| (found, true)).chain(others);
    let ((flag, address), is_side) = all.find(|((_, path), _)| is_address(path))?;
    Some(Error::Address { flag, address, is_side })
}

fn on_ray(args: &PairArgs, place: &Path, cluster: &str, context: &Context) -> Result<ExitStatus, Error> {
    if let Some(second) = external::obstacle(args) {
        return Err(Error::FlagsNotTogether { first: "--ray", second });
    }
    if args.external.workers.is_some() {
        return Err(Error::FlagsNotTogether { first: "--workers", second: "addresses" });
    }
    // Without x and y there are costs, which are refused above.
    let (Some(x), Some(y)) = (&args.x, &args.y) else { return Err(Error::Ray) };
    let request = serde_json::to_string(&request(args, [x, y], cluster, context)).map_err(|_| not_text(place))?;
    let mut driver = driver();
    let run = driver.arg("--pair").arg(request).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let said = run.map_err(Error::io("run", Path::new(driver.get_program())))?;
    let answer = String::from_utf8_lossy(&said.stdout);
    match answer.lines().last().and_then(|line| serde_json::from_str(line).ok()) {
        Some(Answer::Summary(found)) => {
            let Summary { num_pairs, mean_cost, cost, gap_estimate } = found;
            let output = args.output.output.display();
            context.printer.result(&external::result(mean_cost, gap_estimate, num_pairs, cost, &output));
            Ok(ExitStatus::Done)
        }
        _ if interrupt::requested() => {
            context.printer.result(external::INTERRUPTED);
            Ok(ExitStatus::Partial)
        }
        Some(Answer::Error(message)) => Err(Error::Store(message)),
        None => Err(Error::Ray),
    }
}

fn request<'a>(args: &'a PairArgs, [x, y]: [&'a PathBuf; 2], cluster: &'a str, context: &Context) -> Request<'a> {
    let certify = match args.certify {
        Some(Certify::No) => "none".to_owned(),
        Some(Certify::Sampled(Some(rows))) => format!("sampled:{rows}"),
        _ => "sampled".to_owned(),
    };
    let more = &args.external;
    Request {
        x,
        y,
        output: &args.output.output,
        address: cluster,
        max_memory: args.max_memory,
        work_dir: more.work_dir.as_deref(),
        scratch_dir: more.scratch_dir.as_deref(),
        resume: args.output.resume,
        // Of both, --resume goes first.
        force: args.output.force && !args.output.resume,
        x_key: args.x_key.as_deref(),
        y_key: args.y_key.as_deref(),
        cost: args.cost,
        quality: args.quality.into(),
        seed: context.seed.unwrap_or(0),
        center: args.center,
        normalize: args.normalize,
        certify,
        block_rows: more.block_rows,
        external_sweeps: more.external_sweeps,
        threads: context.asked_threads.unwrap_or(1),
    }
}

/// Paths that are no text cannot be handed on.
fn not_text(place: &Path) -> Error {
    Error::io("hand on the paths beside", place)(std::io::ErrorKind::InvalidData.into())
}
