//! `himacl pair` from files to files: its results, kills at any moment, what is refused.

mod support;

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::{Scratch, contents, himacl, kill_until_done, points, read_u32};

fn message(run: &Output) -> String {
    String::from_utf8_lossy(&run.stderr).into_owned()
}

/// Two sets, and the arguments that pair them from files in small blocks.
fn sets(n: usize, m: usize) -> (Scratch, Vec<String>) {
    let scratch = Scratch::new();
    let (x, y) = (scratch.npy("x.npy", &points(n, 5, 1)), scratch.npy("y.npy", &points(m, 5, 2)));
    let fixed = ["pair", "--x", &x, "--y", &y, "--device", "cpu", "--external", "--block-rows", "500", "--certify"];
    let arguments = fixed.into_iter().chain(["sampled:200"]).map(str::to_owned).collect();
    (scratch, arguments)
}

fn run(arguments: &[String], more: &[&str]) -> Output {
    let all: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
    himacl(&all)
}

#[test]
fn sets_are_paired_and_nothing_else_is_left() {
    for (n, m) in [(2000, 2000), (2000, 1500)] {
        let (scratch, arguments) = sets(n, m);
        let done = run(&arguments, &["-o", &scratch.arg("out")]);
        assert_eq!(done.status.code(), Some(0), "{}", message(&done));
        assert!(message(&done).contains("temporary files in"), "{}", message(&done));
        let mut names: Vec<String> =
            contents(&scratch.path("out")).into_keys().map(|path| path.to_string_lossy().into_owned()).collect();
        names.sort();
        let expected = [".himacl.toml", "config.toml", "pairs/part-00000.parquet", "permutation.npy", "summary.json"];
        assert_eq!(names, expected);
        assert!(!scratch.path("out/work").exists());
        let y_of_x = read_u32(&scratch.path("out/permutation.npy"));
        let mut used: Vec<u32> = y_of_x.iter().copied().filter(|&y| y != u32::MAX).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!((y_of_x.len(), used.len()), (n, n.min(m)));
        let summary: Value =
            serde_json::from_str(&fs::read_to_string(scratch.path("out/summary.json")).unwrap()).unwrap();
        assert_eq!((summary["n"].as_u64(), summary["m"].as_u64()), (Some(n as u64), Some(m as u64)));
        assert!(summary["gap_estimate"]["high"].as_f64() > Some(0.0) && summary["mean_cost"].as_f64() > Some(0.0));
        // With temporary files elsewhere and more workers: the same bytes.
        let work = scratch.arg("disk");
        let again = run(&arguments, &["-o", &scratch.arg("again"), "--work-dir", &work, "--workers", "2"]);
        assert_eq!(again.status.code(), Some(0), "{}", message(&again));
        for file in ["permutation.npy", "pairs/part-00000.parquet"] {
            let read = |folder: &str| fs::read(scratch.path(folder).join(file)).unwrap();
            assert!(read("out") == read("again"), "{file}");
        }
        assert_eq!(fs::read_dir(scratch.path("disk")).unwrap().count(), 0);
    }
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_bytes() {
    let (scratch, arguments) = sets(3000, 3000);
    let started = Instant::now();
    let whole = run(&arguments, &["-o", &scratch.arg("whole")]);
    let time = started.elapsed();
    assert_eq!(whole.status.code(), Some(0), "{}", message(&whole));
    kill_until_done(time.max(Duration::from_millis(200)), |first| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_himacl-under-test"));
        command.args(&arguments).args(["-o", &scratch.arg("killed")]);
        if !first {
            command.arg("--resume");
        }
        command
    });
    let read = |folder: &str| {
        let mut all = contents(&scratch.path(folder));
        // Paths, times and dates of the run.
        all.retain(|path, _| path.extension().is_some_and(|end| end == "npy" || end == "parquet"));
        (all, contents(&scratch.path(folder)).len())
    };
    assert!(read("whole") == read("killed"), "the results, and nothing beside them");
    let finished = run(&arguments, &["-o", &scratch.arg("killed"), "--resume"]);
    assert_eq!(finished.status.code(), Some(0), "{}", message(&finished));
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_written() {
    let (scratch, arguments) = sets(600, 600);
    let other = |more: &[&str], expected: &str| {
        let refused = run(&arguments, &[more, &["-o", &scratch.arg("out")]].concat());
        assert_eq!(refused.status.code(), Some(2), "{}", message(&refused));
        assert!(message(&refused).contains(expected), "{}", message(&refused));
        assert!(!scratch.path("out").exists());
    };
    other(&["--solver", "exact"], "--external and --solver cannot be had together");
    other(&["--max-cost-quantile", "0.5"], "--external and --max-cost-quantile cannot be had together");
    other(&["--margin"], "--external and --margin cannot be had together");
    let plain: Vec<String> =
        arguments.iter().filter(|a| !["--certify", "sampled:200"].contains(&a.as_str())).cloned().collect();
    fs::write(scratch.path("never.csv"), "0,5\n").unwrap();
    for [flag, value] in [["--unmatched-cost", "3"], ["--forbidden", &scratch.arg("never.csv")]] {
        let refused = run(&plain, &[flag, value, "-o", &scratch.arg("out")]);
        assert_eq!(refused.status.code(), Some(2), "{}", message(&refused));
        let expected = format!("--external and {flag} cannot be had together");
        assert!(message(&refused).contains(&expected) && !scratch.path("out").exists(), "{}", message(&refused));
    }
    other(&["--time-limit", "1"], "--external and --time-limit cannot be had together");
    // Without blocks of a given size, those that fit are none.
    let small: Vec<String> =
        arguments.iter().filter(|a| !["--block-rows", "500"].contains(&a.as_str())).cloned().collect();
    let refused = run(&small, &["--max-memory", "0.01", "-o", &scratch.arg("out")]);
    assert!(message(&refused).contains("GiB of memory, --max-memory allows 0.01 GiB"), "{}", message(&refused));
    // The hint names a limit that is enough.
    let text = message(&refused);
    let enough = text.split("hint: --max-memory ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(enough.ends_with("MiB"), "{text}");
    assert!(!scratch.path("out").exists());
    let fits = run(&small, &["--max-memory", enough, "-o", &scratch.arg("fits")]);
    assert_eq!(fits.status.code(), Some(0), "{}", message(&fits));
    assert!(!scratch.path("out").exists());
}

/// Runs the command, interrupts it when `step` begins; returns its exit status.
#[cfg(unix)]
fn interrupt_at(step: &str, arguments: &[String], more: &[&str]) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_himacl-under-test"));
    command.args(arguments).args(more).args(["--progress", "json", "--quiet"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let begins = |line: String| line.contains("\"started\"") && line.contains(&format!("\"task\":\"{step}"));
    assert!(lines.any(begins), "the run ended before its time");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    lines.for_each(drop);
    child.wait().unwrap().code()
}

#[test]
#[cfg(unix)]
fn an_interrupt_leaves_what_is_resumed_wherever_temporary_files_are() {
    let (scratch, arguments) = sets(12_000, 12_000);
    let whole = run(&arguments, &["-o", &scratch.arg("whole")]);
    assert_eq!(whole.status.code(), Some(0), "{}", message(&whole));
    let work = scratch.arg("disk");
    for (step, place) in [("solve", &["--work-dir", &work][..]), ("sweep", &["--work-dir", &work]), ("solve", &[])] {
        let name = format!("{step}{}", place.len());
        let output = scratch.arg(&name);
        let more = [place, &["-o", &output]].concat();
        assert_eq!(interrupt_at(step, &arguments, &more), Some(1), "{name}");
        assert!(scratch.path(&name).join(".himacl.toml").is_file(), "{name}: the mark stays");
        let again = run(&arguments, &more);
        assert!(message(&again).contains("exists and is not empty"), "{name}: {}", message(&again));
        let resumed = run(&arguments, &[&more[..], &["--resume", "--progress", "json"]].concat());
        assert_eq!(resumed.status.code(), Some(0), "{name}: {}", message(&resumed));
        assert!(!message(&resumed).contains("\"task\":\"scan\""), "{name}: begins where it stopped");
        for file in ["permutation.npy", "pairs/part-00000.parquet"] {
            let read = |folder: &str| fs::read(scratch.path(folder).join(file)).unwrap();
            assert!(read("whole") == read(&name), "{name}: {file}");
        }
        assert!(!scratch.path("disk").exists() || fs::read_dir(scratch.path("disk")).unwrap().count() == 0);
    }
}

#[test]
fn rows_that_cannot_be_paired_leave_nothing_wherever_temporary_files_are() {
    let (scratch, arguments) = sets(600, 600);
    let mut rows = points(600, 5, 2);
    rows[7][1] = f32::NAN;
    scratch.npy("y.npy", &rows);
    for place in [&["--work-dir", &scratch.arg("disk")][..], &[]] {
        let refused = run(&arguments, &[place, &["-o", &scratch.arg("out")]].concat());
        assert_eq!(refused.status.code(), Some(2), "{}", message(&refused));
        assert!(message(&refused).contains("NaN"), "{}", message(&refused));
        assert!(!scratch.path("out").exists());
        assert!(!scratch.path("disk").exists() || fs::read_dir(scratch.path("disk")).unwrap().count() == 0);
    }
}
