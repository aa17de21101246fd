//! Ctrl-C: the coupling reached so far is written, and `--resume` goes on from it.
#![cfg(unix)]

mod support;

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use support::{Scratch, cloud, himacl, read_u32};

#[test]
fn an_interrupted_run_keeps_what_it_has_and_is_resumed() {
    const POINTS: usize = 20_000;
    let scratch = Scratch::new();
    let (x, y) = (scratch.npy("x.npy", &cloud(POINTS, 1)), scratch.npy("y.npy", &cloud(POINTS, 2)));
    let output = scratch.arg("out");
    let arguments = ["pair", "--x", &x, "--y", &y, "-o", &output, "--device", "cpu", "--quality", "best"];

    let mut command = Command::new(env!("CARGO_BIN_EXE_himacl-under-test"));
    command.args(arguments).args(["--progress", "json", "--quiet"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("\"started\"") && line.contains("\"split\"")), "splitting begins");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    // The pipe is read to its end, so that the child never waits for it.
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest:?}");

    let summary = |scratch: &Scratch| -> Value {
        serde_json::from_str(&fs::read_to_string(scratch.path("out/summary.json")).unwrap()).unwrap()
    };
    let first = summary(&scratch);
    assert_eq!(first["termination"], "interrupted");
    let mut used = read_u32(&scratch.path("out/permutation.npy"));
    used.sort_unstable();
    assert!(used.iter().copied().eq(0..POINTS as u32), "a bijection all the same");

    let run = himacl(&[&arguments[..], &["--resume", "--time-limit", "1"]].concat());
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    let second = summary(&scratch);
    assert_ne!(second["termination"], "interrupted");
    assert!(second["mean_cost"].as_f64() <= first["mean_cost"].as_f64());
}
