//! Ctrl-C and sudden death: what a run has is kept, and `--resume` ends with the result of a run that was not interrupted.
#![cfg(unix)]

mod support;

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use support::{Scratch, cloud, himacl, points, read_u32};

/// Points a side: enough that a signal arrives well before the end.
const POINTS: usize = 20_000;

/// Runs the command, interrupts it when `task` begins; returns its exit status and the rest of its messages.
fn interrupt_at(task: &str, arguments: &[&str]) -> (Option<i32>, String) {
    signal_when("-INT", arguments, |line| {
        line.contains("\"started\"") && line.contains(&format!("\"task\":\"{task}\""))
    })
}

/// Runs the command and sends it a signal once a line of its progress says so.
fn signal_when(signal: &str, arguments: &[&str], mut now: impl FnMut(&str) -> bool) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_himacl-under-test"));
    command.args(arguments).args(["--progress", "json", "--quiet"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| now(&line)), "the run ended before its time");
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
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

    let run = himacl(&[&arguments[..], &["--resume"]].concat());
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    let second = summary();
    assert_ne!(second["termination"], "interrupted");
    assert!(second["mean_cost"].as_f64() <= first["mean_cost"].as_f64());
    assert!(!scratch.path("out/checkpoint.safetensors").exists(), "a finished run leaves no checkpoint");
    let whole = scratch.arg("whole");
    let arguments = ["pair", "--x", &x, "--y", &y, "-o", &whole, "--device", "cpu", "--quality", "best"];
    assert_eq!(himacl(&arguments).status.code(), Some(0));
    same_results(&scratch, "out", "whole");
}

/// Fails unless two runs wrote the same bytes.
fn same_results(scratch: &Scratch, a: &str, b: &str) {
    for file in ["permutation.npy", "pairs.parquet", "potentials.npy"] {
        let read = |folder: &str| fs::read(scratch.path(&format!("{folder}/{file}"))).ok();
        assert!(read(a) == read(b), "{file} differs between {a} and {b}");
    }
}

#[test]
fn a_killed_run_is_resumed_to_the_same_bytes() {
    let scratch = Scratch::new();
    for (set, rows) in [("square", (6000, 6000)), ("wide", (4000, 5000))] {
        let (x, y) = (
            scratch.npy(&format!("{set}_x.npy"), &points(rows.0, 6, 1)),
            scratch.npy(&format!("{set}_y.npy"), &points(rows.1, 6, 2)),
        );
        let common = ["--x", &x, "--y", &y, "--device", "cpu", "--certify", "--checkpoint-every", "0.001"];
        let whole = format!("{set}_whole");
        let run = himacl(&[&["pair", "-o", &scratch.arg(&whole)], &common[..]].concat());
        assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
        for event in ["level", "sweep", "round"] {
            let folder = format!("{set}_{event}");
            let output = scratch.arg(&folder);
            let arguments = [&["pair", "-o", &output], &common[..]].concat();
            let event = format!("\"event\":\"{event}\"");
            let (status, _) = signal_when("-KILL", &arguments, |line| line.contains(&event));
            assert_eq!(status, None, "the signal ends the process");
            let run = himacl(&[&arguments[..], &["--resume"]].concat());
            assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
            same_results(&scratch, &folder, &whole);
        }
    }
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

#[test]
fn a_comparison_solver_stops_inside_an_iteration_and_leaves_nothing() {
    let scratch = Scratch::new();
    let (x, y) = (scratch.npy("x.npy", &points(POINTS, 6, 1)), scratch.npy("y.npy", &points(POINTS, 6, 2)));
    let output = scratch.arg("out");
    for solver in ["sinkhorn", "progot", "lot", "frlc"] {
        let arguments = ["pair", "--x", &x, "--y", &y, "-o", &output, "--device", "cpu", "--solver", solver];
        let (status, messages) = interrupt_at("iterations", &arguments);
        assert_eq!(status, Some(2), "{solver}: {messages}");
        assert!(
            messages.contains("keeps nothing of a run") && messages.contains("--time-limit"),
            "{solver}: {messages}"
        );
        assert!(!scratch.path("out").exists());
    }
}

#[test]
fn an_interrupted_run_is_not_told_to_certify() {
    let scratch = Scratch::new();
    let (x, y) = (scratch.npy("x.npy", &cloud(POINTS, 1)), scratch.npy("y.npy", &cloud(POINTS, 2)));
    let output = scratch.arg("out");
    let mut command = Command::new(env!("CARGO_BIN_EXE_himacl-under-test"));
    let arguments = ["pair", "--x", &x, "--y", &y, "-o", &output, "--device", "cpu", "--quality", "best", "--certify"];
    command.args(arguments).args(["--progress", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("\"started\"") && line.contains("\"task\":\"polish\"")));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    lines.for_each(drop);
    let told = child.wait_with_output().unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.code() == Some(1) && text.contains("--resume") && !text.contains("--certify proves"), "{text}");
}
