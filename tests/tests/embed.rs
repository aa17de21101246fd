//! `himacl encoders`, `download` and `embed` as a user runs them.

mod support;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use himacl::data::Embeddings;
use parquet::arrow::ArrowWriter;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use support::encoder::{tiny_bert, words, write_tiny_bert};
use support::hub::FakeHub;
use support::{Scratch, contents, himacl};

const BINARY: &str = env!("CARGO_BIN_EXE_himacl-under-test");

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Captions of one to nine words.
fn captions(path: &Path, count: usize) {
    let word = |index: usize| words()[index % words().len()];
    let line =
        |index: usize| (0..=index * 31 % 9).map(|place| word(index * 7 + place * place)).collect::<Vec<_>>().join(" ");
    fs::write(path, (0..count).map(|index| line(index) + "\n").collect::<String>()).unwrap();
}

#[test]
fn encoders_are_listed() {
    let table = succeeded(&himacl(&["encoders"]));
    assert!(table.starts_with("NAME") && table.contains("all-minilm-l6-v2"), "{table}");
    let json = succeeded(&himacl(&["encoders", "--json"]));
    let listed: serde_json::Value = serde_json::from_str(&json).unwrap();
    let minilm = listed.as_array().unwrap().iter().find(|spec| spec["name"] == "all-minilm-l6-v2").unwrap();
    assert_eq!(minilm["dimension"], 384);
    assert_eq!(minilm["revision"].as_str().unwrap().len(), 40, "pinned");
}

#[test]
fn a_repository_is_fetched_and_found_again() {
    let (scratch, server) = (Scratch::new(), FakeHub::start(&tiny_bert()));
    let run = |arguments: &[&str], offline: &str| {
        let mut command = Command::new(BINARY);
        command.args(arguments).env("HF_ENDPOINT", &server.endpoint).env("HF_HOME", scratch.path("hf"));
        command.env("HF_HUB_OFFLINE", offline).env_remove("HF_TOKEN").env_remove("HF_HUB_CACHE").output().unwrap()
    };
    let download = ["download", "--repo", "org/encoder", "--family", "bert"];
    let error = refused(&run(&download, "1"));
    assert!(error.contains("HF_HUB_OFFLINE is set"), "{error}");
    let folder = succeeded(&run(&download, "0"));
    assert!(Path::new(folder.trim()).join("model.safetensors").is_file(), "{folder}");
    assert!(!server.seen().is_empty());

    captions(&scratch.path("captions.txt"), 10);
    let (input, output) = (scratch.arg("captions.txt"), scratch.arg("out"));
    succeeded(&run(&["embed", "--repo", "org/encoder", "--family", "bert", "--input", &input, "-o", &output], "1"));
    assert!(server.seen().is_empty());
    let config: toml::Table = toml::from_str(&fs::read_to_string(scratch.path("out/config.toml")).unwrap()).unwrap();
    let encoder = config["encoders"][0].as_table().unwrap();
    assert_eq!(encoder["revision"].as_str(), Some(support::hub::COMMIT), "outputs tell the exact weights");
    let sum = support::hub::sha256(&tiny_bert()[2].1);
    assert_eq!(encoder["weights_sha256"].as_str(), Some(sum.as_str()));
}

/// The files of a folder and of those below it, by their names from there.
fn files_below(root: &Path, below: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            files.extend(files_below(root, &format!("{name}/")));
        } else {
            files.push((name, fs::read(entry.path()).unwrap()));
        }
    }
    files.sort();
    files
}

/// Models in folders below that of `modules.json`, without a configuration or with several ways for texts.
#[test]
fn models_in_folders_below_are_fetched_whole() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/himacl-encode/tests/golden/encoders");
    for (name, family, more) in [
        ("static-sentence-transformers", "static", [].as_slice()),
        ("router", "sentence-transformers", &["--route", "query"]),
    ] {
        let mut files = files_below(&golden.join(name), "");
        files.retain(|(name, _)| !matches!(name.as_str(), "spec.toml" | "expected.safetensors"));
        let needed = files.len();
        files.push(("onnx/model.onnx".to_owned(), b"other weights".to_vec()));
        let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        let (scratch, server) = (Scratch::new(), FakeHub::start(&files));
        let run = |arguments: &[&str], offline: &str| {
            let mut command = Command::new(BINARY);
            command.args(arguments).env("HF_ENDPOINT", &server.endpoint).env("HF_HOME", scratch.path("hf"));
            command.env("HF_HUB_OFFLINE", offline).env_remove("HF_TOKEN").env_remove("HF_HUB_CACHE").output().unwrap()
        };
        let folder = succeeded(&run(&["download", "--repo", "org/encoder", "--family", family], "0"));
        assert_eq!(files_below(Path::new(folder.trim()), "").len(), needed, "{name}");
        fs::write(scratch.path("texts.txt"), "the cat\nthe dog\n").unwrap();
        let (input, output) = (scratch.arg("texts.txt"), scratch.arg("out"));
        let fixed = ["embed", "--repo", "org/encoder", "--family", family, "--input", &input, "-o", &output];
        succeeded(&run(&fixed.iter().chain(more).copied().collect::<Vec<_>>(), "1"));
        let config = fs::read_to_string(scratch.path("out/config.toml")).unwrap();
        assert!(more.is_empty() || config.contains("route = \"query\""), "{config}");
    }
}

#[test]
fn killed_runs_resume_to_the_same_bytes() {
    let scratch = Scratch::new();
    write_tiny_bert(&scratch.path("encoder"));
    captions(&scratch.path("captions.txt"), 6000);
    let (encoder, input) = (scratch.arg("encoder"), scratch.arg("captions.txt"));
    let arguments = |output: &str| {
        let fixed = ["embed", "--encoder", "all-minilm-l6-v2", "--local", &encoder, "--input", &input];
        let sizes = ["--batch-size", "8", "--shard-size", "150", "--output", output, "--resume", "--quiet"];
        fixed.iter().chain(&sizes).map(ToString::to_string).collect::<Vec<String>>()
    };
    let whole = scratch.arg("whole");
    let started = std::time::Instant::now();
    succeeded(&Command::new(BINARY).args(arguments(&whole)).output().unwrap());
    let seconds = started.elapsed().as_secs_f64();
    let output = scratch.arg("killed");
    let mut kills = 0;
    for attempt in 0..8 {
        let mut child = Command::new(BINARY).args(arguments(&output)).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(seconds * (0.15 + 0.1 * f64::from(attempt))));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        child.wait().unwrap();
    }
    assert!(kills > 0, "nothing was interrupted");
    // Another number of threads goes on where the killed ones ended.
    let mut last = arguments(&output);
    last.extend(["--threads".to_owned(), "1".to_owned()]);
    succeeded(&Command::new(BINARY).args(last).output().unwrap());
    let of_the_run =
        |path: &Path| [".himacl.toml", "config.toml", "summary.json"].iter().any(|name| path == Path::new(name));
    let bytes = |folder: &str| {
        let mut all = contents(Path::new(folder));
        all.retain(|path, _| !of_the_run(path));
        all
    };
    let (expected, got) = (bytes(&whole), bytes(&output));
    assert_eq!(expected.len(), 3 * 40 + 1);
    assert_eq!(got.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert!(got == expected, "the bytes differ");
    let embeddings = Embeddings::open(Path::new(&output), None).unwrap();
    assert_eq!((embeddings.num_rows(), embeddings.dimension()), (6000, 8));
}

/// The first coordinates of the whole, in the settings of the run, with a word where nobody says that they hold most.
#[test]
fn first_coordinates_are_a_setting() {
    let scratch = Scratch::new();
    write_tiny_bert(&scratch.path("encoder"));
    captions(&scratch.path("captions.txt"), 20);
    let (encoder, input) = (scratch.arg("encoder"), scratch.arg("captions.txt"));
    let run = |output: &str, more: &[&str]| {
        let output = scratch.arg(output);
        let fixed = ["embed", "--encoder", "all-minilm-l6-v2", "--local", &encoder, "--input", &input, "-o", &output];
        himacl(&fixed.iter().chain(more).copied().collect::<Vec<_>>())
    };
    succeeded(&run("whole", &["--no-normalize"]));
    let first = run("first", &["--no-normalize", "--dimensions", "3"]);
    succeeded(&first);
    let advice = String::from_utf8(first.stderr).unwrap();
    assert!(advice.contains("`all-minilm-l6-v2` is not known to be trained for a part"), "{advice}");
    let rows = |folder: &str| {
        let embeddings = Embeddings::open(&scratch.path(folder), None).unwrap();
        let rows = embeddings.to_vec().unwrap();
        rows.chunks_exact(embeddings.dimension()).map(|row| row[..3].to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(rows("first"), rows("whole"));
    succeeded(&run("unit", &["--dimensions", "3"]));
    for (unit, row) in rows("unit").iter().zip(rows("whole")) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!(unit.iter().zip(row).all(|(unit, x)| (unit - x / length).abs() < 2e-3));
    }
    let error = refused(&run("first", &["--no-normalize", "--dimensions", "4", "--resume"]));
    assert!(error.contains("dimensions"), "{error}");
    let error = refused(&run("other", &["--dimensions", "9"]));
    assert!(error.contains("9 coordinates of `all-minilm-l6-v2` are asked for, expected 1 to 8"), "{error}");
    let error = refused(&run("other", &["--route", "query"]));
    assert!(error.contains("no route `query`, it has: none"), "{error}");
}

#[test]
fn what_comes_before_a_cut_is_embedded_and_the_last_line_tells() {
    let scratch = Scratch::new();
    write_tiny_bert(&scratch.path("encoder"));
    captions(&scratch.path("captions.txt"), 4000);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut packed, &fs::read(scratch.path("captions.txt")).unwrap()).unwrap();
    let packed = packed.finish().unwrap();
    fs::write(scratch.path("cut.txt.gz"), &packed[..packed.len() / 2]).unwrap();
    let (encoder, input, output) = (scratch.arg("encoder"), scratch.arg("cut.txt.gz"), scratch.arg("out"));
    let line = succeeded(&himacl(&[
        "embed",
        "--encoder",
        "all-minilm-l6-v2",
        "--local",
        &encoder,
        "--input",
        &input,
        "-o",
        &output,
    ]));
    let told = ", 1 samples skipped (errors.jsonl), among them the rest of a file that ends before its time;";
    assert!(line.contains(told), "{line}");
    let errors = fs::read_to_string(scratch.path("out/errors.jsonl")).unwrap();
    assert!(errors.contains("cut.txt.gz") && errors.contains("what came before is used"), "{errors}");
    let rows = Embeddings::open(Path::new(&output), None).unwrap().num_rows();
    assert!(rows > 1000 && rows < 3000, "{rows}");
}

#[test]
fn a_table_of_several_that_cannot_be_opened_is_told_and_the_others_are_embedded() {
    let scratch = Scratch::new();
    write_tiny_bert(&scratch.path("encoder"));
    let words = words();
    for number in 0..3 {
        let captions = (0..100).map(|row| words[(number + row) % words.len()]);
        let column = Arc::new(StringArray::from_iter_values(captions)) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("caption", column)]).unwrap();
        let file = fs::File::create(scratch.path(&format!("{number}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
    let whole = fs::read(scratch.path("1.parquet")).unwrap();
    fs::write(scratch.path("1.parquet"), &whole[..whole.len() - 20]).unwrap();
    let embed = |input: &str, output: &str| {
        let (encoder, input, output) = (scratch.arg("encoder"), scratch.arg(input), scratch.arg(output));
        let fixed = ["embed", "--encoder", "all-minilm-l6-v2", "--local", &encoder];
        himacl(&[&fixed[..], &["--input", &input, "-o", &output]].concat())
    };
    let line = succeeded(&embed("*.parquet", "out"));
    let told = "200 rows in 1 shards, 1 samples skipped (errors.jsonl), among them the rest of a file";
    assert!(line.contains(told), "{line}");
    let errors = fs::read_to_string(scratch.path("out/errors.jsonl")).unwrap();
    assert!(errors.contains("1.parquet") && errors.contains("\"is_rest\":true"), "{errors}");
    let summary = fs::read_to_string(scratch.path("out/summary.json")).unwrap();
    assert!(summary.contains("\"cut_files\": 1"), "{summary}");
    let error = refused(&embed("1.parquet", "alone"));
    assert!(error.contains("parquet file `") && !scratch.path("alone").exists(), "{error}");
}

#[test]
fn other_settings_are_no_resumption() {
    let scratch = Scratch::new();
    write_tiny_bert(&scratch.path("encoder"));
    captions(&scratch.path("captions.txt"), 20);
    let (encoder, input, output) = (scratch.arg("encoder"), scratch.arg("captions.txt"), scratch.arg("out"));
    let run = |more: &[&str]| {
        let fixed = ["embed", "--encoder", "all-minilm-l6-v2", "--local", &encoder, "--input", &input, "-o", &output];
        himacl(&fixed.iter().chain(more).copied().collect::<Vec<_>>())
    };
    succeeded(&run(&[]));
    assert!(refused(&run(&[])).contains("exists and is not empty"));
    fs::remove_file(scratch.path("out/summary.json")).unwrap();
    let error = refused(&run(&["--resume", "--batch-size", "4"]));
    assert!(error.contains("batch_size = 32, this run has batch_size = 4"), "{error}");
    succeeded(&run(&["--resume"]));
    assert!(succeeded(&run(&["--resume"])).contains("finished already"));
    let error = refused(&run(&["--force", "--modality", "image"]));
    assert!(error.contains("the encoders read text"), "{error}");
    let error = refused(&himacl(&["embed", "--encoder", "minilm", "--input", &input, "-o", &output]));
    assert!(error.contains("there is no encoder `minilm`"), "{error}");
}
