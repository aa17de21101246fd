//! Ctrl-C: the coupling reached so far is written, and `--resume` goes on from it.
#![cfg(unix)]

mod support;

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use support::{Scratch, cloud, himacl, read_u32};

/// Points a side: enough that a signal arrives well before the end.
const POINTS: usize = 30_000;

/// Runs the command, interrupts it when `task` begins; returns its exit status and the rest of its messages.
fn interrupt_at(task: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_himacl-under-test"));
    command.args(arguments).args(["--progress", "json", "--quiet"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let task = format!("\"task\":\"{task}\"");
    assert!(lines.any(|line| line.contains("\"started\"") && line.contains(&task)), "{task} begins");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    // The pipe is read to its end, so that the child never waits for it.
    let rest: Vec<String> = lines.collect();
    (child.wait().unwrap().code(), rest.join("\n"))
}

#[test]
fn an_interrupted_run_keeps_what_it_has_and_is_resumed() {
    let scratch = Scratch::new();
    let (x, y) = (scratch.npy("x.npy", &cloud(POINTS, 1)), scratch.npy("y.npy", &cloud(POINTS, 2)));
    let output = scratch.arg("out");
    let arguments = ["pair", "--x", &x, "--y", &y, "-o", &output, "--device", "cpu", "--quality", "best"];
    let (status, messages) = interrupt_at("polish", &arguments);
    assert_eq!(status, Some(1), "{messages}");

    let summary =
        || -> Value { serde_json::from_str(&fs::read_to_string(scratch.path("out/summary.json")).unwrap()).unwrap() };
    let first = summary();
    assert_eq!(first["termination"], "interrupted");
    let mut used = read_u32(&scratch.path("out/permutation.npy"));
    used.sort_unstable();
    assert!(used.iter().copied().eq(0..POINTS as u32), "a bijection all the same");

    let run = himacl(&[&arguments[..], &["--resume", "--time-limit", "1"]].concat());
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    let second = summary();
    assert_ne!(second["termination"], "interrupted");
    assert!(second["mean_cost"].as_f64() <= first["mean_cost"].as_f64());
}

#[test]
fn without_a_first_coupling_nothing_is_written() {
    let scratch = Scratch::new();
    let (x, y) = (scratch.npy("x.npy", &cloud(POINTS, 1)), scratch.npy("y.npy", &cloud(POINTS, 2)));
    let output = scratch.arg("deep/out");
    let (status, messages) = interrupt_at("split", &["pair", "--x", &x, "--y", &y, "-o", &output, "--device", "cpu"]);
    assert_eq!(status, Some(2), "{messages}");
    assert!(messages.contains("interrupted before a first coupling existed"), "{messages}");
    assert!(!scratch.path("deep").exists());
}
