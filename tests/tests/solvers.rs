//! `himacl pair --solver ...`: every comparison solver leaves a pairing, its files and its figures; and no flag is ignored.

mod support;

use serde_json::Value;
use std::fs;
use support::{Scratch, cloud, himacl, read_u32};

const SOFT: [&str; 4] = ["sinkhorn", "progot", "lot", "frlc"];

/// Runs a solver on two sets, expects success; returns the permutation and the summary.
fn pair(scratch: &Scratch, sizes: (usize, usize), solver: &str, more: &[&str]) -> (Vec<u32>, Value) {
    let (x, y) = (scratch.npy("x.npy", &cloud(sizes.0, 1)), scratch.npy("y.npy", &cloud(sizes.1, 2)));
    let output = scratch.arg(solver);
    let arguments =
        [&["pair", "--x", &x, "--y", &y, "-o", &output, "--solver", solver, "--device", "cpu"], more].concat();
    let run = himacl(&arguments);
    let message = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(0), "{solver}: {message}");
    let folder = scratch.path(solver);
    let summary = fs::read_to_string(folder.join("summary.json")).unwrap();
    (read_u32(&folder.join("permutation.npy")), serde_json::from_str(&summary).unwrap())
}

fn refused(scratch: &Scratch, solver: &str, more: &[&str], expected: &[&str]) {
    let (x, y) = (scratch.npy("x.npy", &cloud(20, 1)), scratch.npy("y.npy", &cloud(20, 2)));
    let output = scratch.arg("refused");
    let arguments =
        [&["pair", "--x", &x, "--y", &y, "-o", &output, "--solver", solver, "--device", "cpu"], more].concat();
    let run = himacl(&arguments);
    let message = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{solver} {more:?}: {message}");
    for part in expected {
        assert!(message.contains(part), "{solver} {more:?}: no `{part}` in: {message}");
    }
    assert!(!scratch.path("refused").exists());
}

#[test]
fn every_solver_pairs_and_reports() {
    for sizes in [(60, 60), (40, 60), (60, 40)] {
        let scratch = Scratch::new();
        let (_, exact) = pair(&scratch, sizes, "exact", &[]);
        let optimum = exact["mean_cost"].as_f64().unwrap();
        for solver in SOFT.into_iter().chain(["minibatch"]) {
            let own = match solver {
                "lot" | "frlc" => ["--rank", "6"],
                "minibatch" => ["--batch-size", "16"],
                _ => ["--tolerance", "1e-3"],
            };
            let (y_of_x, summary) = pair(&scratch, sizes, solver, &own);
            let mut used: Vec<u32> = y_of_x.iter().copied().filter(|&y| y != u32::MAX).collect();
            used.sort_unstable();
            used.dedup();
            assert_eq!((y_of_x.len(), used.len()), (sizes.0, sizes.0.min(sizes.1)), "{solver}");
            assert_eq!(summary["solver"], solver);
            assert_eq!(summary["termination"], "converged", "{solver}: {summary}");
            assert_eq!(summary["bijection"], sizes.0 == sizes.1);
            assert!(summary["mean_cost"].as_f64().unwrap() >= optimum - 1e-9, "{solver} beats the optimum: {summary}");
            assert!(summary["coupling_cost"].as_f64().unwrap() > 0.0);
            assert!(summary["marginal_error"].as_f64().unwrap() <= 1e-3 + 1e-12, "{solver}: {summary}");
            assert!(summary["iterations"].as_u64().unwrap() > 0);
            let potentials = scratch.path(solver).join("potentials.npy");
            assert_eq!(potentials.exists(), ["sinkhorn", "progot"].contains(&solver), "{solver}");
            if potentials.exists() {
                let header = fs::read(potentials).unwrap();
                let shape = format!("'descr': '<f4', 'fortran_order': False, 'shape': ({},)", sizes.0 + sizes.1);
                assert!(String::from_utf8_lossy(&header[..128]).contains(&shape));
            }
            let config = fs::read_to_string(scratch.path(solver).join("config.toml")).unwrap();
            assert!(config.contains(&format!("[comparison.{solver}]")), "{config}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_pairing() {
    for solver in ["sinkhorn", "frlc", "minibatch"] {
        let scratch = Scratch::new();
        let (first, _) = pair(&scratch, (80, 80), solver, &["--seed", "3", "--threads", "1"]);
        let (second, _) = pair(&scratch, (80, 80), solver, &["--seed", "3", "--threads", "3", "--force"]);
        assert_eq!(first, second, "{solver}");
    }
}

#[test]
fn a_finished_comparison_is_not_run_again() {
    let scratch = Scratch::new();
    pair(&scratch, (30, 30), "sinkhorn", &[]);
    let before = fs::read(scratch.path("sinkhorn/summary.json")).unwrap();
    pair(&scratch, (30, 30), "sinkhorn", &["--resume"]);
    assert_eq!(fs::read(scratch.path("sinkhorn/summary.json")).unwrap(), before);
}

#[test]
fn a_comparison_that_ran_out_of_time_starts_over() {
    let scratch = Scratch::new();
    let (_, summary) = pair(&scratch, (60, 60), "lot", &["--rank", "6", "--time-limit", "0.000001"]);
    assert_eq!(summary["termination"], "time-limit");
    // What a run of the hierarchy would have left is not taken for this solver's state.
    fs::write(scratch.path("lot/checkpoint.safetensors"), "").unwrap();
    let (resumed, summary) = pair(&scratch, (60, 60), "lot", &["--rank", "6", "--resume"]);
    assert_eq!(summary["termination"], "converged");
    assert!(!scratch.path("lot/checkpoint.safetensors").exists());
    let (whole, _) = pair(&scratch, (60, 60), "lot", &["--rank", "6", "--force"]);
    assert_eq!(resumed, whole);
}

#[test]
fn flags_of_other_solvers_are_refused() {
    let scratch = Scratch::new();
    refused(
        &scratch,
        "hiref",
        &["--epsilon", "0.1"],
        &["--epsilon does not apply to --solver hiref", "sinkhorn, progot"],
    );
    refused(&scratch, "exact", &["--max-iterations", "5"], &["--max-iterations", "sinkhorn, progot, lot, frlc"]);
    refused(&scratch, "sinkhorn", &["--rank", "5"], &["--rank", "lot, frlc"]);
    refused(&scratch, "lot", &["--batch-size", "5"], &["--batch-size", "minibatch"]);
    refused(&scratch, "minibatch", &["--tolerance", "0.1"], &["--tolerance"]);
    refused(&scratch, "frlc", &["--quality", "best"], &["--quality", "hiref, exact"]);
    refused(&scratch, "progot", &["--warm-start", "nowhere"], &["--warm-start", "hiref, exact"]);
    refused(&scratch, "sinkhorn", &["--certify"], &["--certify does not apply to --solver sinkhorn", "hiref, exact"]);
    refused(&scratch, "minibatch", &["--checkpoint-every", "5"], &["--checkpoint-every", "hiref, exact"]);
}

#[test]
fn values_out_of_range_are_refused() {
    let scratch = Scratch::new();
    refused(&scratch, "sinkhorn", &["--epsilon", "0"], &["parameter `epsilon` is 0, expected a positive"]);
    refused(&scratch, "lot", &["--rank", "21"], &["the rank is 21, expected at most 20"]);
    refused(&scratch, "frlc", &["--rank", "0"], &["parameter `rank` is 0"]);
    refused(&scratch, "minibatch", &["--batch-size", "0"], &["parameter `batch_size` is 0"]);
    refused(&scratch, "progot", &["--cost", "cosine"], &["progot solver takes the cost sqeuclidean", "cosine"]);
    refused(&scratch, "sinkhorn", &["--max-memory", "0.01"], &["GiB of memory"]);
}
