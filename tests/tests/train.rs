//! `himacl train`, `eval` and `apply` as a user runs them.

mod support;

use himacl::data::{Embeddings, write_npy_f32};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::kill_until_done;
use tempfile::TempDir;

/// A small problem with a known answer: y = x A plus a little noise.
struct Problem {
    folder: TempDir,
}

/// Numbers in [-1, 1) from a linear congruential generator: the tests need no quality, only the same numbers everywhere.
fn numbers(seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
    })
}

impl Problem {
    fn new(rows: usize, recipe: &str) -> Self {
        let (d, e) = (12, 10);
        let x: Vec<f32> = numbers(1).take(rows * d).collect();
        let a: Vec<f32> = numbers(2).take(d * e).collect();
        let noise: Vec<f32> = numbers(3).take(rows * e).collect();
        let mut y = vec![0.0; rows * e];
        for i in 0..rows {
            for j in 0..e {
                y[i * e + j] = (0..d).map(|k| x[i * d + k] * a[k * e + j]).sum::<f32>() + 0.02 * noise[i * e + j];
            }
        }
        let folder = tempfile::tempdir().unwrap();
        write_npy_f32(&folder.path().join("x.npy"), &x, &[rows, d]).unwrap();
        write_npy_f32(&folder.path().join("y.npy"), &y, &[rows, e]).unwrap();
        fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_himacl-under-test"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path(name)).unwrap()).unwrap()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

const RECIPE: &str = "
[data]
source = 'x.npy'
target = 'y.npy'
hide_pairs = true
anchors = 30
held_out = 0.25

[coupling]
recompute_every = 4

[map]
layers = 1
width = 16

[train]
epochs = 12
batch_size = 32

[checkpoint]
every_epochs = 2
every_steps = 5
";

fn figure(summary: &Value, name: &str) -> f64 {
    summary[name].as_f64().unwrap_or_else(|| panic!("no figure `{name}` in {summary:#}"))
}

#[test]
fn a_planted_linear_map_is_found() {
    let problem = Problem::new(240, RECIPE);
    let table = problem.succeed(&["train", "--config", "recipe.toml"]);
    assert!(table.contains("HiMACL") && table.contains("all pairs (ceiling)"), "{table}");
    assert!(table.contains("the trained map is the result, without a choice: 30 known pairs are too few"), "{table}");

    let summary = problem.json("runs/recipe/summary.json");
    assert!(figure(&summary, "image_to_text_R@1") > 0.8, "{summary:#}");
    assert!(figure(&summary, "foscttm") < 0.02, "{summary:#}");
    assert!(figure(&summary, "pairing_accuracy_bijection") > 0.9, "{summary:#}");
    for name in ["text_to_image_R@10", "anchors_only.image_to_text_R@10", "all_pairs.foscttm", "partner_cosine"] {
        figure(&summary, name);
    }
    for name in ["config.toml", "metrics.jsonl", "map.safetensors", "map.json", "couplings", "checkpoints"] {
        assert!(problem.path("runs/recipe").join(name).exists(), "no {name}");
    }
    let log = fs::read_to_string(problem.path("runs/recipe/metrics.jsonl")).unwrap();
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));

    // The run's folder is all that eval and apply need.
    let json = problem.succeed(&["eval", "--run", "runs/recipe", "--output", "evaluation"]);
    let evaluation: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(figure(&evaluation, "image_to_text_R@1"), figure(&summary, "image_to_text_R@1"));
    assert_eq!(problem.json("evaluation/summary.json")["foscttm"], evaluation["foscttm"]);
    assert!(problem.fail(&["eval", "--run", "runs/recipe", "--output", "evaluation"]).contains("--force"));
    let json = problem.succeed(&["eval", "--run", "runs/recipe", "--data", "x.npy", "y.npy"]);
    assert!(figure(&serde_json::from_str(&json).unwrap(), "image_to_text_R@10") > 0.9);

    problem.succeed(&["apply", "--run", "runs/recipe", "--input", "x.npy", "--output", "mapped.npy", "--prepared"]);
    problem.succeed(&[
        "apply",
        "--run",
        "runs/recipe",
        "--input",
        "y.npy",
        "--output",
        "prepared.npy",
        "--prepare-only",
    ]);
    problem.succeed(&["apply", "--run", "runs/recipe", "--input", "y.npy", "--output", "back.npy", "--inverse"]);
    let refused = |input: &str, output: &str, more: &[&str]| {
        problem.fail(&[&["apply", "--run", "runs/recipe", "--input", input, "--output", output], more].concat())
    };
    assert!(refused("x.npy", "mapped.npy", &[]).contains("--force"));
    let error = refused("y.npy", "wrong.npy", &[]);
    let expected =
        "`y.npy` has 10 coordinates, expected 12: those of the source side of the run `runs/recipe`\nhint: it fits";
    assert!(error.contains(expected) && !error.contains("tensor"), "{error}");
    write_npy_f32(&problem.path("narrow.npy"), &[1.0; 9], &[3, 3]).unwrap();
    let error = refused("narrow.npy", "wrong.npy", &["--inverse"]);
    assert!(
        error.contains("has 3 coordinates, expected 10: those of the target side") && error.contains("hint: embed"),
        "{error}"
    );
    let error = refused("x.npy", "nowhere/x.npy", &[]);
    assert!(error.contains("there is no folder `nowhere`\nhint: make it first"), "{error}");
    let rows = |name: &str| {
        let input = Embeddings::open(&problem.path(name), None).unwrap();
        assert_eq!(input.num_rows(), 240);
        (input.to_vec().unwrap(), input.dimension())
    };
    let ((mapped, k), (prepared, _)) = (rows("mapped.npy"), rows("prepared.npy"));
    let cosine = |i: usize| (0..k).map(|c| mapped[i * k + c] * prepared[i * k + c]).sum::<f32>();
    let mean = (0..240).map(cosine).sum::<f32>() / 240.0;
    assert!(mean > 0.8, "mean partner cosine {mean}");
    assert_eq!(rows("back.npy").0.len() % 240, 0);
}

#[test]
fn a_learned_cost_brings_both_sides_to_a_common_space() {
    let problem = Problem::new(240, RECIPE);
    let changes = ["map.learned_cost=true", "map.inverse=false", "objective.kind=contrastive"];
    let changes = changes.iter().flat_map(|change| ["--set", change]);
    problem.succeed(&["train", "--config", "recipe.toml"].into_iter().chain(changes).collect::<Vec<_>>());
    assert!(figure(&problem.json("runs/recipe/summary.json"), "image_to_text_R@1") > 0.8);
    let description = problem.json("runs/recipe/map.json");
    assert_eq!(description["learned_cost"], true);
    assert!(description["tensors"]["partner.hidden.0.weight"].is_array(), "{description:#}");

    let apply = ["apply", "--run", "runs/recipe", "--input"];
    let with = |rest: &[&'static str]| apply.iter().chain(rest).copied().collect::<Vec<&str>>();
    let error = problem.fail(&with(&["x.npy", "--output", "mapped.npy"]));
    assert!(error.contains("--prepared") && error.contains("--prepare-only"), "{error}");
    problem.succeed(&with(&["x.npy", "--output", "mapped.npy", "--prepared"]));
    problem.succeed(&with(&["y.npy", "--output", "targets.npy", "--prepare-only"]));
    let rows = |name: &str| Embeddings::open(&problem.path(name), None).unwrap().to_vec().unwrap();
    let (mapped, targets) = (rows("mapped.npy"), rows("targets.npy"));
    let k = mapped.len() / 240;
    let cosine = |i: usize, j: usize| {
        let (x, y) = (&mapped[i * k..(i + 1) * k], &targets[j * k..(j + 1) * k]);
        let length = |row: &[f32]| row.iter().map(|value| value * value).sum::<f32>().sqrt();
        x.iter().zip(y).map(|(a, b)| a * b).sum::<f32>() / (length(x) * length(y))
    };
    let first = |i: usize| (0..240).all(|j| cosine(i, j) <= cosine(i, i));
    assert!((0..240).filter(|&i| first(i)).count() > 190);
}

#[test]
fn training_ends_when_the_coupling_has_settled() {
    let problem = Problem::new(240, RECIPE);
    let epochs = |limit: &str| {
        let limit = format!("coupling.settled_churn={limit}");
        problem.succeed(&["train", "--config", "recipe.toml", "--force", "--set", &limit]);
        let log = fs::read_to_string(problem.path("runs/recipe/metrics.jsonl")).unwrap();
        let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let records: Vec<Value> = records.collect();
        let finished = records.iter().filter(|record| record["epoch_finished"].is_u64()).count();
        (finished, records.iter().filter_map(|record| record["churn"].as_f64()).collect::<Vec<_>>())
    };
    let (all, churn) = epochs("0");
    assert_eq!((all, churn.len()), (12, 2));
    // A limit just above what the first recoupling changes ends training there, after four epochs.
    let (some, same) = epochs(&(churn[0] + 1e-9).to_string());
    assert_eq!((some, same), (4, vec![churn[0]]));
    assert!(figure(&problem.json("runs/recipe/summary.json"), "image_to_text_R@1") > 0.8);
}

#[test]
fn nothing_is_overwritten_by_accident() {
    fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
        let short = ["train", "--config", "recipe.toml", "--set", "train.epochs=1", "--set", "data.anchors=10"];
        [&short[..], more].concat()
    }
    let problem = Problem::new(60, RECIPE);
    problem.succeed(&train(&[]));
    let first = problem.bytes("runs/recipe/map.safetensors");
    problem.succeed(&train(&["--seed", "9"])); // beside it
    assert_eq!(problem.bytes("runs/recipe/map.safetensors"), first);
    assert_ne!(problem.bytes("runs/recipe-2/map.safetensors"), first);

    problem.succeed(&train(&["--set", "output.dir=mine"]));
    let message = problem.fail(&train(&["--set", "output.dir=mine"]));
    assert!(message.contains("--force") && message.contains("--resume"), "{message}");
    problem.succeed(&train(&["--set", "output.dir=mine", "--force"]));
    let message = problem.fail(&train(&["--set", "output.dir=mine", "--set", "train.batch_size=7", "--resume"]));
    assert!(message.contains("train.batch_size = 32"), "{message}");
    // A finished run is resumed by doing nothing.
    problem.succeed(&train(&["--set", "output.dir=mine", "--resume"]));

    fs::create_dir(problem.path("precious")).unwrap();
    fs::write(problem.path("precious/file"), "work").unwrap();
    problem.fail(&train(&["--set", "output.dir=precious", "--force"]));
    assert_eq!(problem.bytes("precious/file"), b"work");
}

#[test]
fn mistakes_are_named() {
    let problem = Problem::new(60, RECIPE);
    let with = |setting: &str| problem.fail(&["train", "--config", "recipe.toml", "--set", setting]);
    assert!(with("optimizer.learning_rat=1").contains("did you mean `optimizer.learning_rate`?"));
    assert!(with("data.held_out=100").contains("`data.held_out` asks for 100 items, but there are only 60"));
    assert!(with("data.anchors=0").contains("alignment.mode"));
    assert!(with("data.source=missing.npy").contains("missing.npy"));
    // Known pairs are drawn only where rows are known to correspond.
    let apart = |settings: &[&str]| {
        let all: Vec<&str> = settings.iter().flat_map(|setting| ["--set", *setting]).collect();
        let base =
            ["train", "--config", "recipe.toml", "--set", "data.hide_pairs=false", "--set", "alignment.mode=unpaired"];
        problem.fail(&[&base, &all[..]].concat())
    };
    let error = apart(&["data.held_out=0"]);
    assert!(
        error.contains("`data.anchors` is 30 with data.hide_pairs = false") && error.contains("hint: name a file"),
        "{error}"
    );
    let error = apart(&["data.anchors=0", "data.held_out=20"]);
    assert!(
        error.contains("`data.held_out` is 20 with data.hide_pairs = false") && error.contains("eval.source"),
        "{error}"
    );
    assert!(problem.fail(&["train", "--config", "none.toml"]).contains("none.toml"));
    assert!(problem.fail(&["eval", "--run", "nowhere"]).contains("nowhere"));
    assert!(!problem.path("runs/recipe/summary.json").exists());
}

#[test]
fn seeds_and_variants_are_reported_together() {
    let recipe = format!("{RECIPE}\n[variants.back]\n'data.source' = 'y.npy'\n'data.target' = 'x.npy'\n");
    let problem = Problem::new(120, &recipe);
    let table = problem.succeed(&[
        "train",
        "--config",
        "recipe.toml",
        "--set",
        "train.seeds=[3, 4]",
        "--set",
        "output.dir=out",
    ]);
    assert!(table.contains("back") && table.contains('±'), "{table}");
    let summary = problem.json("out/summary.json");
    let each = |run: &str| figure(&problem.json(&format!("out/{run}/summary.json")), "foscttm");
    let mean = 0.5 * (each("main/seed-3") + each("main/seed-4"));
    assert!((figure(&summary, "foscttm") - mean).abs() < 1e-12);
    let back = 0.5 * (each("back/seed-3") + each("back/seed-4"));
    assert!((figure(&summary["variants"]["back"], "foscttm") - back).abs() < 1e-12);
    let hint = problem.fail(&["eval", "--run", "out"]);
    assert!(hint.contains("out/back/seed-3"), "{hint}");
}

#[test]
fn a_shared_space_needs_no_anchors() {
    let problem = Problem::new(100, RECIPE);
    let x = Embeddings::open(&problem.path("x.npy"), None).unwrap().to_vec().unwrap();
    let near: Vec<f32> = x.iter().zip(numbers(5)).map(|(value, noise)| value + 0.2 * noise).collect();
    write_npy_f32(&problem.path("near.npy"), &near, &[100, 12]).unwrap();
    let settings = ["--set", "data.target=near.npy", "--set", "data.anchors=0", "--set", "alignment.mode=shared-space"];
    problem.succeed(&[&["train", "--config", "recipe.toml"], &settings[..]].concat());
    let summary = problem.json("runs/recipe/summary.json");
    assert!(figure(&summary, "pairing_accuracy_bijection") > 0.95, "{summary:#}");
    assert!(figure(&summary, "image_to_text_R@1") > 0.9, "{summary:#}");
}

/// Everything that a run leaves must be the same, but for times and the like.
fn assert_same_run(problem: &Problem, run: &str, reference: &str) {
    let files = ["map.safetensors", "metrics.jsonl", "choice/metrics.jsonl", "couplings/final.safetensors"];
    for name in files.into_iter().filter(|name| problem.path(reference).join(name).exists()) {
        let (a, b) = (problem.bytes(&format!("{run}/{name}")), problem.bytes(&format!("{reference}/{name}")));
        assert!(a == b, "{run}/{name} differs from {reference}");
    }
}

#[test]
fn spaces_that_share_nothing_are_warned_of() {
    let problem = Problem::new(200, RECIPE);
    let unrelated: Vec<f32> = numbers(9).take(200 * 10).collect();
    write_npy_f32(&problem.path("noise.npy"), &unrelated, &[200, 10]).unwrap();
    let output = problem.run(&[
        "train",
        "--config",
        "recipe.toml",
        "--set",
        "data.target=noise.npy",
        "--set",
        "data.anchors=0",
        "--set",
        "alignment.mode=unpaired",
        "--set",
        "alignment.unpaired.restarts=6",
    ]);
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{messages}");
    assert!(messages.contains("share too little") && messages.contains("data.anchors"), "{messages}");
    let summary = problem.json("runs/recipe/summary.json");
    assert_eq!(summary["shares_too_little"], 1.0);
    assert!(summary["start_agreement"].as_f64().unwrap() < 0.8);
    assert!(summary.get("anchors_only.foscttm").is_none());
}

/// Of 240 training items 220 are known pairs, of which half are hidden to choose between the aligned and the trained map.
const CHOOSES: [&str; 4] = ["--set", "data.anchors=220", "--set", "map.validation_share=0.5"];

#[test]
fn the_aligned_map_is_the_result_where_training_adds_nothing() {
    let problem = Problem::new(320, RECIPE);
    let table = problem.succeed(&[&["train", "--config", "recipe.toml"], &CHOOSES[..]].concat());
    assert!(table.contains("the aligned map is the result: of 110 known pairs"), "{table}");
    let summary = problem.json("runs/recipe/summary.json");
    assert_eq!((&summary["map_choice"]["chosen"], &summary["counts"]["anchors"]), (&"aligned".into(), &220.into()));
    assert_eq!(problem.json("runs/recipe/map.json")["kind"], "linear");
    assert_eq!(figure(&summary, "foscttm"), figure(&summary, "alignment.foscttm"));
    let evaluated: Value = serde_json::from_str(&problem.succeed(&["eval", "--run", "runs/recipe"])).unwrap();
    assert_eq!(figure(&evaluated, "foscttm"), figure(&summary, "foscttm"));
    problem.succeed(&["apply", "--run", "runs/recipe", "--input", "x.npy", "--output", "mapped.npy"]);
    problem.succeed(&["explore", "--run", "runs/recipe", "--output", "explore.html"]);
    problem.succeed(&["report", "--run", "runs/recipe"]);
    let report = String::from_utf8(problem.bytes("runs/recipe/report.html")).unwrap();
    assert!(report.contains("The aligned map is the result: of 110 known pairs"));
    // The hidden pairs are known all the same: neither coupled nor in doubt.
    let coupled = candle_core::safetensors::load(
        problem.path("runs/recipe/couplings/final.safetensors"),
        &candle_core::Device::Cpu,
    );
    assert_eq!(coupled.unwrap()["source_row"].dims(), [20]);
}

#[test]
fn a_killed_run_ends_with_the_same_bits() {
    let problem = Problem::new(320, RECIPE);
    let train = |folder: &str, more: &[&str]| {
        let output = format!("output.dir={folder}");
        let mut command =
            problem.command(&["train", "--config", "recipe.toml", "--set", "train.epochs=60", "--set", &output]);
        command.args(CHOOSES);
        command.args(more).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let started = Instant::now();
    assert!(train("whole", &[]).status().unwrap().success());
    let whole = started.elapsed();

    kill_until_done(whole, |first| train("killed", if first { &[] } else { &["--resume"] }));
    assert_same_run(&problem, "killed", "whole");
    let choice = |run: &str| problem.json(&format!("{run}/summary.json"))["map_choice"].clone();
    assert_eq!((choice("killed"), &choice("whole")["hidden_pairs"]), (choice("whole"), &110.into()));
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    resumes_after_damage(&[]);
}

#[test]
fn softened_targets_and_weights_are_part_of_a_checkpoint() {
    resumes_after_damage(&[
        "--set",
        "coupling.softness=0.5",
        "--set",
        "coupling.weights=confidence",
        "--set",
        "coupling.confidence=dual-slack",
    ]);
}

#[test]
fn a_convex_gradient_is_trained_as_other_maps_are() {
    let settings = ["--set", "map.kind=convex-gradient", "--set", "map.freeze_linear=true"];
    resumes_after_damage(&settings);

    let problem = Problem::new(240, RECIPE);
    problem.succeed(&[&["train", "--config", "recipe.toml"], &settings[..]].concat());
    let summary = problem.json("runs/recipe/summary.json");
    assert!(figure(&summary, "image_to_text_R@1") > 0.8, "{summary:#}");
    assert_eq!(problem.json("runs/recipe/map.json")["kind"], "convex-gradient");
    let evaluated: Value = serde_json::from_str(&problem.succeed(&["eval", "--run", "runs/recipe"])).unwrap();
    assert_eq!(figure(&evaluated, "foscttm"), figure(&summary, "foscttm"));
    problem.succeed(&["apply", "--run", "runs/recipe", "--input", "x.npy", "--output", "mapped.npy"]);
    assert_eq!(Embeddings::open(&problem.path("mapped.npy"), None).unwrap().dimension(), 10);
    problem.succeed(&["report", "--run", "runs/recipe"]);
    // A linear map that is not trained is the aligned one, and is called that.
    let frozen = ["--set", "map.kind=linear", "--set", "map.freeze_linear=true", "--set", "output.dir=frozen"];
    let table = problem.succeed(&[&["train", "--config", "recipe.toml"], &frozen[..]].concat());
    assert!(table.contains("the aligned map is the result: nothing is trained, since map.kind is linear"), "{table}");
}

/// Damages the newest checkpoint of a run that broke off, and wants the bits of a whole one.
fn resumes_after_damage(settings: &[&str]) {
    let problem = Problem::new(240, RECIPE);
    let train = |folder: &str, more: &[&str]| {
        let output = format!("output.dir={folder}");
        problem.run(&[&["train", "--config", "recipe.toml", "--set", &output], settings, more].concat())
    };
    assert!(train("whole", &[]).status.success());
    assert!(train("damaged", &[]).status.success());
    // As a crash would leave it: no result, and the newest checkpoint cut short.
    for name in ["summary.json", "map.safetensors", "map.json"] {
        fs::remove_file(problem.path("damaged").join(name)).unwrap();
    }
    let step = |path: &Path| path.file_name()?.to_str()?.strip_prefix("step_")?.parse::<u64>().ok();
    let entries = fs::read_dir(problem.path("damaged/checkpoints")).unwrap();
    let newest = entries.map(|entry| entry.unwrap().path()).max_by_key(|path| step(path)).unwrap();
    let victim = newest.join("optimizer.safetensors");
    let bytes = fs::read(&victim).unwrap();
    fs::write(&victim, &bytes[..bytes.len() / 2]).unwrap();

    let output = train("damaged", &["--resume"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{message}");
    assert!(message.contains("optimizer.safetensors is not what was written"), "{message}");
    assert_same_run(&problem, "damaged", "whole");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let problem = Problem::new(240, RECIPE);
    for threads in ["1", "2"] {
        problem.succeed(&[
            "train",
            "--config",
            "recipe.toml",
            "--threads",
            threads,
            "--set",
            &format!("output.dir=threads-{threads}"),
        ]);
    }
    assert_same_run(&problem, "threads-1", "threads-2");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_how_to_go_on() {
    let problem = Problem::new(240, RECIPE);
    let arguments = ["train", "--config", "recipe.toml", "--set", "train.epochs=100000", "--set", "output.dir=long"];
    let mut child = problem.command(&arguments).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    while !problem.path("long/checkpoints").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended early");
        sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("--resume"), "{message}");
}
