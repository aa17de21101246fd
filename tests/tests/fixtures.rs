//! The stored sets, paired by the command at its default quality, against their exact optima (tests/fixtures/exact.json).

mod support;

use hiref_testkit::{Claim, Cost, check_coupling};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use support::{Scratch, himacl, read_u32};

/// Within this share of the optimum, as the command promises.
const EXCESS: f64 = 0.01;
/// Optima are stored with at least this relative precision; nothing may fall below them by more.
const ROUNDING: f64 = 1e-6;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The values of an f32 npy file of two dimensions.
fn read_f32(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..start]).unwrap();
    assert!(header.contains("'descr': '<f4', 'fortran_order': False"), "{header}");
    bytes[start..].chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

/// Pairs one set under one cost and checks the result; returns a line for the table, and whether it is good enough.
fn pair(name: &str, facts: &Value, cost: &str) -> Option<(String, bool)> {
    let optimum = facts[cost].as_f64()?;
    let dimension = facts["d"].as_u64().unwrap() as usize;
    let scratch = Scratch::new();
    let path = |side: &str| folder().join(format!("{name}_{side}.npy"));
    let (x, y, output) = (path("x"), path("y"), scratch.arg("out"));
    let (x_arg, y_arg) = (x.to_str().unwrap(), y.to_str().unwrap());
    let run = himacl(&[
        "pair", "--x", x_arg, "--y", y_arg, "--cost", cost, "--output", &output, "--device", "cpu", "--quiet",
    ]);
    assert_eq!(run.status.code(), Some(0), "{name} {cost}: {}", String::from_utf8_lossy(&run.stderr));
    let out = scratch.path("out");
    let summary: Value = serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!((&summary["quality"], &summary["bijection"]), (&"balanced".into(), &true.into()), "{name} {cost}");

    let (x, y, y_of_x) = (read_f32(&x), read_f32(&y), read_u32(&out.join("permutation.npy")));
    let claim = Claim {
        supports: Some((&x, &y)),
        dimension: Some(dimension),
        cost: Some(Cost::of_name(cost)),
        y_of_x: Some(&y_of_x),
        num_pairs: facts["n"].as_u64().map(|n| n as usize),
        mean_cost: summary["mean_cost"].as_f64(),
    };
    let found = check_coupling(&claim).unwrap_or_else(|fault| panic!("{name} {cost}: {fault}"));
    let excess = found.mean_cost / optimum - 1.0;
    let line = format!("{name} {cost}: {:.6}, {:+.4}% above the optimum {optimum:.6}", found.mean_cost, 100.0 * excess);
    println!("{line}");
    Some((line, (-ROUNDING..=EXCESS).contains(&excess)))
}

#[test]
fn every_set_and_cost_is_within_one_percent_of_its_optimum() {
    let exact: Value = serde_json::from_str(&fs::read_to_string(folder().join("exact.json")).unwrap()).unwrap();
    let mut lines = Vec::new();
    for (name, facts) in exact.as_object().unwrap() {
        for cost in ["sqeuclidean", "euclidean"] {
            lines.extend(pair(name, facts, cost));
        }
    }
    assert!(lines.len() >= 21, "only {} optima are stored", lines.len());
    let misses: Vec<&String> = lines.iter().filter(|(_, good)| !good).map(|(line, _)| line).collect();
    assert!(misses.is_empty(), "{misses:#?}");
}
