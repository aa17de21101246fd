//! `himacl train` with `train.encoders`, as a user runs it.

mod support;

use candle_core::{Device, Tensor};
use himacl::data::Embeddings;
use himacl::train::{CheckpointStore, Dataset, RecipeFile, Watch, run};
use hiref_core::{Event, Observer};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use support::encoder::{words, write_tiny_bert};
use support::hub::FakeHub;
use support::{Scratch, contents, kill_until_done, write_npy};

const BINARY: &str = env!("CARGO_BIN_EXE_himacl-under-test");
const ROWS: usize = 60;

const RECIPE: &str = "
[data]
source = 'emb'
target = 'y.npy'
source_encoder = 'bert'
hide_pairs = true
anchors = 30
held_out = 10

[alignment]
folds = 0

[coupling]
recompute_every = 2

[map]
kind = 'residual-mlp'
layers = 1
width = 8

[objective]
cosine_share = 1.0

[optimizer]
learning_rate = 1e-3
encoder_learning_rate = 3e-3

[train]
epochs = 6
batch_size = 16
seeds = [3]
ema = 0.5
encoders = 'full'

[eval]
every = 3

[checkpoint]
every_steps = 5
";

/// A tiny BERT, texts that it has embedded, and targets that tell which words are in a text.
struct Problem(Scratch);

impl Problem {
    fn new() -> Self {
        let scratch = Scratch::new();
        write_tiny_bert(&scratch.path("bert"));
        let picks = |row: usize| [row % 8, (row * 3 + row / 8) % 8, (row * 5 + row / 16) % 8];
        let line = |row: usize| picks(row).map(|word| words()[word]).join(" ") + "\n";
        fs::write(scratch.path("texts.txt"), (0..ROWS).map(line).collect::<String>()).unwrap();
        let directions = support::points(8, 6, 5);
        let target = |row: usize| -> Vec<f32> {
            (0..6).map(|at| picks(row).iter().map(|&word| directions[word][at] - 0.5).sum::<f32>() + 0.1).collect()
        };
        write_npy(&scratch.path("y.npy"), &(0..ROWS).map(target).collect::<Vec<_>>());
        fs::write(scratch.path("recipe.toml"), RECIPE).unwrap();
        let problem = Self(scratch);
        problem.embed("bert", "emb");
        problem
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).current_dir(self.0.path("")).stdin(Stdio::null());
        command
    }

    fn embed(&self, encoder: &str, output: &str) {
        self.embed_with(encoder, output, "texts.txt", &[]);
    }

    fn embed_with(&self, encoder: &str, output: &str, input: &str, more: &[&str]) {
        let from = ["--repo", "org/encoder", "--family", "bert", "--local", encoder];
        let to = ["--input", input, "--shard-size", "25", "-o", output];
        succeeded(&self.command(&[&["embed"], &from[..], &to[..], more].concat()).output().unwrap());
    }

    /// All rows of a set.
    fn rows(&self, set: &str) -> Vec<Vec<f32>> {
        let set = Embeddings::open(&self.0.path(set), None).unwrap();
        set.to_vec().unwrap().chunks(set.dimension()).map(<[f32]>::to_vec).collect()
    }

    fn train(&self, folder: &str, more: &[&str]) -> Command {
        let output = format!("output.dir={folder}");
        self.command(&[&["train", "--config", "recipe.toml", "--set", &output], more].concat())
    }

    fn trained(&self, folder: &str, more: &[&str]) {
        succeeded(&self.train(folder, more).output().unwrap());
    }

    fn refused(&self, more: &[&str]) -> String {
        let output = self.train("refused", &[&["--force"], more].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    }

    fn weights(&self, folder: &str) -> HashMap<String, Tensor> {
        let path = self.0.path(folder).join("model.safetensors");
        candle_core::safetensors::load(path, &Device::Cpu).unwrap()
    }

    fn summary(&self, run: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.0.path(run).join("summary.json")).unwrap()).unwrap()
    }
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// All that a run has learnt, to the byte.
fn assert_same_run(a: &Path, b: &Path) {
    for name in ["map.safetensors", "couplings/final.safetensors", "metrics.jsonl"] {
        assert_eq!(fs::read(a.join(name)).unwrap(), fs::read(b.join(name)).unwrap(), "{name}");
    }
    for name in ["encoder-source", "embeddings-source"] {
        let (a, b) = (contents(&a.join(name)), contents(&b.join(name)));
        assert!(a.keys().eq(b.keys()), "{name}: {:?} and {:?}", a.keys(), b.keys());
        for (file, bytes) in &a {
            assert_eq!(bytes, &b[file], "{name}: {}", file.display());
        }
    }
}

fn moved(before: &HashMap<String, Tensor>, after: &HashMap<String, Tensor>) -> Vec<String> {
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(before.len(), after.len());
    let mut moved: Vec<String> = before
        .iter()
        .filter(|(name, value)| values(value) != values(&after[*name]))
        .map(|(name, _)| name.clone())
        .collect();
    moved.sort();
    moved
}

#[test]
fn an_encoder_is_trained_and_can_be_used() {
    let problem = Problem::new();
    let longer = ["--set", "data.anchors=40", "--set", "train.epochs=40", "--set", "checkpoint.every_steps=0"];
    problem.trained("run", &longer);
    problem.trained("frozen", &[&longer[..], &["--set", "train.encoders=frozen"]].concat());
    let figure = |run: &str, name: &str| problem.summary(run)[name].as_f64().unwrap();
    let (with, without) = (figure("run", "partner_cosine"), figure("frozen", "partner_cosine"));
    assert!(with > without + 0.01, "held-out cosine {with}, frozen {without}");
    // Before training both are the same.
    assert_eq!(figure("run", "alignment.partner_cosine"), figure("frozen", "alignment.partner_cosine"));

    // The run's folder has the encoder by the Hub's names; with it `embed` gives what the run ended with.
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        assert!(problem.0.path("run/encoder-source").join(file).is_file(), "{file}");
    }
    problem.embed("run/encoder-source", "again");
    for shard in 0..3 {
        let name = format!("text_emb/text_emb_{shard}.npy");
        let bytes = |folder: &str| fs::read(problem.0.path(folder).join(&name)).unwrap();
        assert_eq!(bytes("again"), bytes("run/embeddings-source"), "{name}");
        assert_ne!(bytes("again"), bytes("emb"), "{name}");
    }
    assert!(!problem.0.path("frozen/encoder-source").exists());

    // `eval` takes the trained embeddings.
    let found: Value =
        serde_json::from_str(&succeeded(&problem.command(&["eval", "--run", "run"]).output().unwrap())).unwrap();
    for name in ["partner_cosine", "foscttm", "image_to_text_R@1"] {
        assert_eq!(found[name].as_f64().unwrap(), figure("run", name), "{name}");
    }

    // Every variable has moved but those that no text has reached, and those that no embedding depends on.
    let moved = moved(&problem.weights("bert"), &problem.weights("run/encoder-source"));
    assert_eq!(moved.len(), problem.weights("bert").len(), "{moved:?}");

    // What was trained can be trained on.
    let from = ["--set", "data.source=run/embeddings-source", "--set", "data.source_encoder=run/encoder-source"];
    problem.trained("further", &[&from[..], &["--set", "train.epochs=1"]].concat());
}

#[test]
fn the_last_blocks_are_trained_alone() {
    let problem = Problem::new();
    problem.trained("run", &["--set", "train.encoders=last-blocks", "--set", "train.encoder_blocks=1"]);
    let moved = moved(&problem.weights("bert"), &problem.weights("run/encoder-source"));
    assert!(moved.iter().all(|name| name.starts_with("encoder.layer.0.")), "{moved:?}");
    // The bias of keys has no effect, and next to no gradient.
    assert!(moved.len() >= problem.weights("bert").keys().filter(|name| name.contains("layer.0")).count() - 1);
}

#[test]
fn the_target_is_trained_by_the_map_back_or_by_contrast() {
    let problem = Problem::new();
    let swapped = [
        "--set",
        "data.source=y.npy",
        "--set",
        "data.target=emb",
        "--set",
        "data.target_encoder=bert",
        "--set",
        "train.encoders_of=target",
        "--set",
        "train.epochs=1",
    ];
    for more in [["--set", "map.inverse=true"], ["--set", "objective.kind=contrastive"]] {
        problem.trained(&format!("run-{}", more[1]), &[&swapped[..], &more[..]].concat());
        let folder = format!("run-{}/encoder-target", more[1]);
        assert!(!moved(&problem.weights("bert"), &problem.weights(&folder)).is_empty(), "{more:?}");
    }
    let error = problem.refused(&[&swapped[..], &["--set", "map.inverse=false"]].concat());
    assert!(error.contains("train.encoders_of") && error.contains("map.inverse"), "{error}");
    // Both sides at once, of which neither is a fixed aim.
    let both = ["--set", "data.target=emb", "--set", "data.target_encoder=bert", "--set", "train.encoders_of=both"];
    let error = problem.refused(&both);
    assert!(error.contains("contrastive"), "{error}");
    let contrast = ["--set", "objective.kind=contrastive", "--set", "train.epochs=1"];
    problem.trained("both", &[&both[..], &contrast[..]].concat());
    for side in ["source", "target"] {
        let folder = format!("both/encoder-{side}");
        assert!(!moved(&problem.weights("bert"), &problem.weights(&folder)).is_empty(), "{side}");
    }
}

#[test]
fn a_killed_run_ends_with_the_same_bits() {
    let problem = Problem::new();
    let epochs = ["--set", "train.epochs=20"];
    let started = Instant::now();
    problem.trained("whole", &epochs);
    let whole = started.elapsed();
    kill_until_done(whole, |first| {
        let more = if first { epochs.to_vec() } else { [&epochs[..], &["--resume"]].concat() };
        problem.train("killed", &more)
    });
    assert_same_run(&problem.0.path("killed"), &problem.0.path("whole"));
}

/// Asks to stop while the dataset is embedded after a step: the second time that it is asked since.
struct StopsAfter {
    step: u64,
    last: AtomicU64,
    asked: AtomicU64,
}

impl Observer for StopsAfter {
    fn on_event(&self, _event: &Event) {}

    fn should_stop(&self) -> bool {
        self.last.load(Ordering::Relaxed) == self.step && self.asked.fetch_add(1, Ordering::Relaxed) > 0
    }
}

impl Watch for StopsAfter {
    fn on_step(&self, step: u64, _total: u64, _loss: f64) {
        self.last.store(step, Ordering::Relaxed);
    }
    fn note(&self, _message: &str) {}
    fn warn(&self, _message: &str) {}
}

#[test]
fn a_run_that_is_stopped_while_it_embeds_has_saved_its_steps() {
    let problem = Problem::new();
    let input = format!("data.source_input='{}'", problem.0.arg("texts.txt"));
    let changes = ["checkpoint.every_steps=0", "checkpoint.every_epochs=100", &input].map(str::to_owned);
    let file = RecipeFile::read(&problem.0.path("recipe.toml"), &changes, None).unwrap();
    let recipe = file.problems[0].recipe.with_seed(3);
    let data = Dataset::load(&recipe, &Device::Cpu).unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| problem.0.path(name));
    for folder in [&whole, &stopped] {
        fs::create_dir(folder).unwrap();
    }
    assert!(run(&recipe, &data, &whole, &()).unwrap().is_some());
    // The ends of epochs 2 and 3: before a coupling, and for an evaluation.
    for step in [8, 12] {
        let watch = StopsAfter { step, last: AtomicU64::new(0), asked: AtomicU64::new(0) };
        assert!(run(&recipe, &data, &stopped, &watch).unwrap().is_none());
        let (saved, _) = CheckpointStore::new(stopped.join("checkpoints"), 3).latest().unwrap();
        assert_eq!(saved.expect("a checkpoint").progress.step, step);
    }
    assert!(run(&recipe, &data, &stopped, &()).unwrap().is_some());
    assert_same_run(&stopped, &whole);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let problem = Problem::new();
    for threads in ["1", "2"] {
        problem.trained(&format!("threads-{threads}"), &["--threads", threads]);
    }
    assert_same_run(&problem.0.path("threads-1"), &problem.0.path("threads-2"));
}

#[test]
fn mistakes_are_named() {
    let problem = Problem::new();
    let error = problem.refused(&["--set", "data.source=y.npy"]);
    assert!(error.contains("`himacl embed`") && error.contains("train.encoders=frozen"), "{error}");
    let error = problem.refused(&["--set", "train.encoder_memory=1e-9"]);
    assert!(error.contains("train.encoder_memory") && error.contains("GiB"), "{error}");
    let error = problem.refused(&["--set", "eval.source=emb", "--set", "eval.target=y.npy"]);
    assert!(error.contains("embed them afterwards with the run's encoder"), "{error}");
    fs::write(problem.0.path("other.txt"), "stars stars stars stars stars\n".repeat(ROWS)).unwrap();
    let error = problem.refused(&["--set", "data.source_input=other.txt"]);
    assert!(error.contains("is not what the encoder gives"), "{error}");
    fs::write(problem.0.path("short.txt"), "a cat\n".repeat(ROWS - 1)).unwrap();
    let error = problem.refused(&["--set", "data.source_input=short.txt"]);
    assert!(error.contains("59") && error.contains("60"), "{error}");
    let recipe = RECIPE.replace("source_encoder = 'bert'\n", "");
    fs::write(problem.0.path("recipe.toml"), recipe).unwrap();
    let error = problem.refused(&[]);
    assert!(error.contains("data.source_encoder=DIR"), "{error}");
    let mut weights = fs::read(problem.0.path("bert/model.safetensors")).unwrap();
    *weights.last_mut().unwrap() ^= 1;
    fs::create_dir(problem.0.path("changed")).unwrap();
    for file in ["config.json", "tokenizer.json"] {
        fs::copy(problem.0.path("bert").join(file), problem.0.path("changed").join(file)).unwrap();
    }
    fs::write(problem.0.path("changed/model.safetensors"), weights).unwrap();
    let error = problem.refused(&["--set", "data.source_encoder=changed"]);
    assert!(error.contains("checksum"), "{error}");
}

/// Chosen coordinates of rows, brought to unit length.
fn chosen(rows: &[Vec<f32>], coordinates: &[usize]) -> Vec<Vec<f32>> {
    let cut = |row: &Vec<f32>| {
        let part: Vec<f32> = coordinates.iter().map(|&at| row[at]).collect();
        let norm = part.iter().map(|value| value * value).sum::<f32>().sqrt();
        part.iter().map(|value| value / norm).collect()
    };
    rows.iter().map(cut).collect()
}

/// Up to the rounding of both to half precision.
fn assert_near(got: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!((got.len(), got[0].len()), (expected.len(), expected[0].len()));
    for (row, (got, expected)) in got.iter().zip(expected).enumerate() {
        let furthest = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(furthest < 3e-3, "row {row}: {got:?}, expected {expected:?}");
    }
}

#[test]
fn first_coordinates_are_trained_as_they_are_embedded() {
    let problem = Problem::new();
    let four = ["--dimensions", "4"];
    problem.embed_with("bert", "cut", "texts.txt", &four);
    assert_near(&problem.rows("cut"), &chosen(&problem.rows("emb"), &[0, 1, 2, 3]));
    problem.trained("run", &["--set", "data.source=cut"]);
    problem.embed_with("run/encoder-source", "again", "texts.txt", &four);
    assert_eq!(problem.rows("again"), problem.rows("run/embeddings-source"));
    assert_ne!(problem.rows("again"), problem.rows("cut"), "nothing was learnt");
    // The encoder itself gives all coordinates, of which these are the first.
    problem.embed("run/encoder-source", "whole");
    assert_near(&problem.rows("again"), &chosen(&problem.rows("whole"), &[0, 1, 2, 3]));
    let moved = moved(&problem.weights("bert"), &problem.weights("run/encoder-source"));
    assert_eq!(moved.len(), problem.weights("bert").len(), "{moved:?}");
}

#[test]
fn dense_layers_in_files_of_their_own_stay_as_they_are() {
    const CHOSEN: [usize; 5] = [6, 0, 3, 1, 7];
    let problem = Problem::new();
    let write = |name: &str, content: &[u8]| {
        let path = problem.0.path("dense").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let json = |name: &str, content: &Value| write(name, content.to_string().as_bytes());
    write_tiny_bert(&problem.0.path("dense"));
    let module = |at: usize, kind: &str, path: &str| serde_json::json!({ "idx": at, "name": at.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}") });
    let names = ["Transformer", "Pooling", "Dense", "Normalize"];
    let paths = ["", "1_Pooling", "2_Dense", "3_Normalize"];
    let modules: Vec<Value> = (0..4).map(|at| module(at, names[at], paths[at])).collect();
    json("modules.json", &modules.into());
    json(
        "1_Pooling/config.json",
        &serde_json::json!({ "word_embedding_dimension": 8, "pooling_mode_mean_tokens": true }),
    );
    let layer = serde_json::json!({
        "in_features": 8, "out_features": 5, "bias": false, "activation_function": "torch.nn.modules.linear.Identity"
    });
    json("2_Dense/config.json", &layer);
    // A layer that picks coordinates, so that its results are known.
    let rows: Vec<f32> =
        CHOSEN.iter().flat_map(|&one| (0..8).map(move |at| if at == one { 1.0 } else { 0.0 })).collect();
    let tensor = Tensor::from_vec(rows, (5, 8), &Device::Cpu).unwrap();
    let weights = problem.0.path("dense/2_Dense/model.safetensors");
    candle_core::safetensors::save(&HashMap::from([("linear.weight", tensor)]), weights).unwrap();

    problem.embed("dense", "dense-emb");
    assert_near(&problem.rows("dense-emb"), &chosen(&problem.rows("emb"), &CHOSEN));
    problem.trained("run", &["--set", "data.source=dense-emb", "--set", "data.source_encoder=dense"]);
    for name in ["modules.json", "2_Dense/config.json", "2_Dense/model.safetensors"] {
        let bytes = |folder: &str| fs::read(problem.0.path(folder).join(name)).unwrap();
        assert_eq!(bytes("dense"), bytes("run/encoder-source"), "{name}");
    }
    problem.embed("run/encoder-source", "again");
    assert_eq!(problem.rows("again"), problem.rows("run/embeddings-source"));
    assert_ne!(problem.rows("again"), problem.rows("dense-emb"), "nothing was learnt");
    let moved = moved(&problem.weights("dense"), &problem.weights("run/encoder-source"));
    assert_eq!(moved.len(), problem.weights("bert").len(), "{moved:?}");
    // Without its layer the trained model gives all coordinates, of which these are the chosen ones.
    fs::remove_file(problem.0.path("run/encoder-source/modules.json")).unwrap();
    problem.embed("run/encoder-source", "whole");
    assert_near(&problem.rows("again"), &chosen(&problem.rows("whole"), &CHOSEN));
}

#[test]
fn a_dataset_that_is_elsewhere_is_trained_on_in_two_steps() {
    let problem = Problem::new();
    let server = FakeHub::start(&[("texts.txt", fs::read(problem.0.path("texts.txt")).unwrap())]);
    let address = format!("{}/texts.txt", server.files);
    problem.embed_with("bert", "fetched", &address, &[]);
    assert_eq!(problem.rows("fetched"), problem.rows("emb"));
    server.seen();
    let error = problem.refused(&["--set", "data.source=fetched"]);
    assert!(error.contains(&format!("`curl --remote-name-all --create-dirs --output-dir data {address}`")), "{error}");
    assert!(error.contains("--set data.source_input='data/texts.txt'"), "{error}");
    assert!(server.seen().is_empty(), "refused before anything is asked for");
    fs::create_dir(problem.0.path("data")).unwrap();
    fs::copy(problem.0.path("texts.txt"), problem.0.path("data/texts.txt")).unwrap();
    problem.trained("two-steps", &["--set", "data.source=fetched", "--set", "data.source_input=data/texts.txt"]);
    problem.trained("local", &[]);
    for name in ["map.safetensors", "encoder-source/model.safetensors"] {
        let bytes = |run: &str| fs::read(problem.0.path(run).join(name)).unwrap();
        assert_eq!(bytes("two-steps"), bytes("local"), "{name}");
    }
    // An address in the recipe is refused as well, with the Hub's own command.
    let error = problem.refused(&["--set", "data.source_input=hf://datasets/org/data@abc/texts/*.txt"]);
    let command = "hf download org/data --repo-type dataset --revision abc --include 'texts/*.txt' --local-dir data";
    assert!(error.contains(command) && error.contains("data.source_input='data/texts/*.txt'"), "{error}");
}
