//! Care with what lies in output folders: whose it is, who is at work in it, what it was made of.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::encoder::write_tiny_bert;
use support::{Scratch, contents, points};

const RECIPE: &str = "
[data]
source = 'x.npy'
target = 'y.npy'
hide_pairs = true
anchors = 20
held_out = 0.25

[coupling]
recompute_every = 2

[map]
layers = 1
width = 16

[train]
epochs = 4
batch_size = 16

[checkpoint]
every_epochs = 1

[output]
dir = 'run'
";

/// A scratch folder that commands run in.
struct Place(Scratch);

impl Place {
    fn new() -> Self {
        let scratch = Scratch::new();
        let x = points(80, 6, 1);
        let y: Vec<Vec<f32>> = x.iter().map(|row| row.iter().rev().map(|value| 1.0 - value).collect()).collect();
        scratch.npy("x.npy", &x);
        scratch.npy("y.npy", &y);
        fs::write(scratch.path("recipe.toml"), RECIPE).unwrap();
        Self(scratch)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    fn contents(&self, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        contents(&self.path(name))
    }

    /// Runs a command line, its words parted by spaces.
    fn run(&self, line: &str) -> Output {
        self.run_in("", line)
    }

    fn run_in(&self, folder: &str, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_himacl-under-test"));
        command.args(line.split(' ')).args(["--device", "cpu"]).current_dir(self.path(folder)).output().unwrap()
    }

    fn succeed(&self, line: &str) {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn refuse(&self, line: &str) -> String {
        refused(line, &self.run(line))
    }

    /// Embeds captions into `out`, four to a shard.
    fn embed(&self) -> &'static str {
        write_tiny_bert(&self.path("encoder"));
        let lines: Vec<&str> = ["a cat", "the moon", "under stars", "a dog and a cat"].repeat(5);
        fs::write(self.path("captions.txt"), lines.join("\n")).unwrap();
        "embed --encoder all-minilm-l6-v2 --local encoder --input captions.txt --shard-size 4 -o out"
    }
}

fn refused(line: &str, output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{line}: {message}");
    assert!(!message.contains("panicked"), "{line}: {message}");
    message
}

#[test]
fn a_mistake_beside_force_costs_nothing() {
    let place = Place::new();
    place.succeed("train --config recipe.toml");
    fs::write(place.path("run/notes.txt"), "mine").unwrap();
    let before = place.contents("run");
    place.refuse("train --config recipe.toml --force --set data.source=missing.npy");
    // Known only when the data are at hand.
    place.refuse("train --config recipe.toml --force --set data.held_out=1000");
    assert!(place.contents("run") == before, "the finished run is as it was");
    place.succeed("train --config recipe.toml --force --seed 5");
    assert_eq!(fs::read_to_string(place.path("run/notes.txt")).unwrap(), "mine");
    let hidden = place.contents("run").into_keys().filter(|path| path.to_string_lossy().contains(".himacl-")).count();
    assert_eq!(hidden, 0, "nothing is left of the old run");
}

#[test]
fn what_another_made_is_never_replaced() {
    let place = Place::new();
    fs::create_dir(place.path("site")).unwrap();
    fs::write(place.path("site/config.toml"), "theme = 'plain'").unwrap();
    let embed = place.embed();
    place.succeed(embed);
    let (site, out) = (place.contents("site"), place.contents("out"));
    for flag in ["--force", "--resume"] {
        let train =
            |folder: &str| place.refuse(&format!("train --config recipe.toml --set output.dir={folder} {flag}"));
        assert!(train("site").contains("`site` was not made by this version of `himacl train`"), "{flag}");
        assert!(train("out").contains("holds the output of `himacl embed`"), "{flag}");
        place.refuse(&format!("pair --x x.npy --y y.npy -o out {flag}"));
        place.refuse(&format!("pair --x x.npy --y y.npy -o site {flag}"));
    }
    let input = place.refuse("train --config recipe.toml --set output.dir=. --force");
    assert!(input.contains("hint"), "{input}");
    assert!(place.contents("site") == site && place.contents("out") == out);
    assert!(place.path("x.npy").exists());
    // The page of a run takes the place of no other file.
    place.succeed("train --config recipe.toml");
    assert!(place.refuse("report --run run --output site/config.toml").contains("is not a page of"));
    place.succeed("report --run run --output page.html");
    place.succeed("report --run run --output page.html");
    assert!(place.contents("site") == site);
}

#[test]
fn folders_of_earlier_versions_are_told_apart() {
    let place = Place::new();
    place.succeed("pair --x x.npy --y y.npy -o pairs");
    fs::remove_file(place.path("pairs/.himacl.toml")).unwrap();
    let before = place.contents("pairs");
    for flag in ["--force", "--resume"] {
        let message = place.refuse(&format!("pair --x x.npy --y y.npy -o pairs {flag}"));
        assert!(message.contains("results of earlier versions") && message.contains("move this one away"), "{message}");
    }
    assert!(place.contents("pairs") == before);
}

#[test]
fn apply_never_writes_over_its_input() {
    let place = Place::new();
    let embed = place.embed();
    place.succeed(embed);
    place.succeed("train --config recipe.toml");
    let row = |seed: u64| points(8, 6, seed);
    for (set, shards) in [("many", 3_u64), ("few", 1)] {
        fs::create_dir_all(place.path(&format!("{set}/text_emb"))).unwrap();
        for shard in 0..shards {
            support::write_npy(&place.path(&format!("{set}/text_emb/text_emb_{shard}.npy")), &row(shard));
        }
    }
    let before = place.contents("many");
    for output in ["many", "many/text_emb", "./few/../many"] {
        place.refuse(&format!("apply --run run --input many --output {output} --force"));
    }
    let message = place.refuse("apply --run run --input x.npy --output x.npy --force");
    assert!(message.contains("input `x.npy` lies in the output"), "{message}");
    let run = place.contents("run");
    place.refuse("apply --run run --input many --output run --force");
    place.refuse("apply --run run --input x.npy --output run/map.safetensors --force");
    place.refuse("apply --run run --input x.npy --output recipe.toml --force");
    assert!(place.contents("many") == before && place.contents("run") == run);

    place.succeed("apply --run run --input many --output mapped");
    fs::write(place.path("mapped/text_emb/notes"), "mine").unwrap();
    place.refuse("apply --run run --input few --output mapped");
    place.succeed("apply --run run --input few --output mapped --force");
    let left: Vec<PathBuf> = place.contents("mapped").into_keys().collect();
    assert_eq!(left, [".himacl.toml", "text_emb/notes", "text_emb/text_emb_0.npy"].map(PathBuf::from));
}

#[test]
fn embeddings_of_other_data_are_not_gone_on_with() {
    let place = Place::new();
    let embed = place.embed();
    place.succeed(embed);
    // As a kill in the middle leaves it.
    for name in ["out/summary.json", "out/stats/4.json", "out/stats/3.json"] {
        fs::remove_file(place.path(name)).unwrap();
    }
    let resume = format!("{embed} --resume");
    let captions = fs::read_to_string(place.path("captions.txt")).unwrap();
    fs::write(place.path("captions.txt"), format!("one more\n{captions}")).unwrap();
    assert!(place.refuse(&resume).contains("--input is not what it was"));
    fs::write(place.path("captions.txt"), &captions).unwrap();

    fs::create_dir(place.path("elsewhere")).unwrap();
    fs::write(place.path("elsewhere/captions.txt"), &captions).unwrap();
    let from_there = resume.replace("-o out", "-o ../out").replace("--local encoder", "--local ../encoder");
    let message = refused(&from_there, &place.run_in("elsewhere", &from_there));
    assert!(message.contains("input_path"), "{message}");

    let tokenizer = fs::read_to_string(place.path("encoder/tokenizer.json")).unwrap();
    fs::write(place.path("encoder/tokenizer.json"), tokenizer.replace("\"cat\"", "\"cap\"")).unwrap();
    assert!(place.refuse(&resume).contains("tokenizer.json of the encoder"));
    fs::write(place.path("encoder/tokenizer.json"), tokenizer).unwrap();

    place.succeed(&resume);
    // Nor is a finished one of other data taken for done.
    fs::write(place.path("captions.txt"), captions.replace("moon", "dog")).unwrap();
    assert!(place.refuse(&resume).contains("--input is not what it was"));
}

#[test]
fn a_pairing_of_other_data_is_not_taken_for_done() {
    let place = Place::new();
    let pair = "pair --x x.npy --y y.npy -o pairs --resume";
    place.succeed(pair);
    // A kill after the summary may leave the solver's state; whoever comes next removes it.
    fs::write(place.path("pairs/checkpoint.safetensors"), "state").unwrap();
    fs::write(place.path("pairs/.himacl-pairs.parquet-abcdef.tmp"), "half").unwrap();
    place.succeed(pair);
    let names: Vec<String> = place.contents("pairs").into_keys().map(|path| path.display().to_string()).collect();
    assert!(names.iter().all(|name| !name.contains("checkpoint") && !name.contains("tmp")), "{names:?}");
    place.0.npy("y.npy", &points(80, 6, 9));
    assert!(place.refuse(pair).contains("--y is not what it was"));
    let version = fs::read_to_string(place.path("pairs/.himacl.toml")).unwrap();
    let other = version.replace(&format!("version = \"{}\"", env!("CARGO_PKG_VERSION")), "version = \"0.0.1\"");
    fs::write(place.path("pairs/.himacl.toml"), other).unwrap();
    assert!(place.refuse(pair).contains("version = 0.0.1"));
}

#[test]
fn a_run_on_other_data_is_not_gone_on_with() {
    let place = Place::new();
    let train = "train --config recipe.toml --resume";
    place.succeed(train);
    // As a kill near the end leaves it.
    for name in ["summary.json", "map.safetensors", "map.json"] {
        fs::remove_file(place.path("run").join(name)).unwrap();
    }
    let mut rows = points(80, 6, 1);
    rows.reverse();
    place.0.npy("x.npy", &rows);
    assert!(place.refuse(train).contains("x.npy is not what it was"));
    rows.truncate(30);
    place.0.npy("x.npy", &rows);
    place.0.npy("y.npy", &rows);
    place.refuse(train);
    // Without its settings a folder is nobody's.
    fs::remove_file(place.path("run/.himacl.toml")).unwrap();
    place.refuse(train);
}

#[test]
fn a_flipped_bit_of_the_state_is_found() {
    let place = Place::new();
    place.succeed("train --config recipe.toml");
    let expected = place.contents("run");
    for bit in [2000 * 8 + 3, 3500 * 8 + 6] {
        for name in ["summary.json", "map.safetensors", "map.json"] {
            fs::remove_file(place.path("run").join(name)).unwrap();
        }
        fs::remove_dir_all(place.path("run/checkpoints")).unwrap();
        let state = place.path("run/alignment.safetensors");
        let mut bytes = fs::read(&state).unwrap();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&state, bytes).unwrap();
        let output = place.run("train --config recipe.toml --resume");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && message.contains("is damaged"), "{message}");
        let map = fs::read(place.path("run/map.safetensors")).unwrap();
        assert!(map == expected[Path::new("map.safetensors")], "bit {bit}");
    }
}

#[test]
fn names_of_variants_and_seeds_are_checked() {
    let place = Place::new();
    for name in ["main", "../out", "/tmp/out", "", ".hidden", "a/b", "config.toml"] {
        let recipe = format!("{RECIPE}\n[variants.'{name}']\n'train.epochs' = 1\n");
        fs::write(place.path("recipe.toml"), recipe).unwrap();
        assert!(place.refuse("train --config recipe.toml").contains("has a variant named"), "{name}");
    }
    fs::write(place.path("recipe.toml"), RECIPE).unwrap();
    let message = place.refuse("train --config recipe.toml --set train.seeds=[3,4,3]");
    assert!(message.contains("`train.seeds` is [3, 4, 3]"), "{message}");
    assert!(!place.path("run").exists());
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let place = Place::new();
    fs::create_dir(place.path("pairs")).unwrap();
    let lock = fs::File::create(place.path("pairs/.himacl-lock")).unwrap();
    fs::write(place.path("pairs/.himacl-lock"), "process 77 on another-host\n").unwrap();
    lock.lock().unwrap();
    for flag in ["", " --force", " --resume"] {
        let message = place.refuse(&format!("pair --x x.npy --y y.npy -o pairs{flag}"));
        assert!(message.contains("in use by process 77 on another-host"), "{message}");
    }
    // Its owner has gone, however: what it wrote into the lock holds nobody up.
    drop(lock);
    place.succeed("pair --x x.npy --y y.npy -o pairs --resume");
    assert!(!place.path("pairs/.himacl-lock").exists());
}
