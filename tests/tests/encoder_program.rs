//! `himacl embed --encoder-command`: programs that embed, and programs that do not.

mod support;

use himacl::data::Embeddings;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::{Scratch, contents, himacl};

/// An encoder in Python's standard library: a text's length and first letter, a picture's size and first byte. Its argument
/// says what goes wrong.
const ENCODER: &str = r#"
import json, os, struct, sys, time
fault = sys.argv[1] if len(sys.argv) > 1 else ""
out, sys.stdout = sys.stdout.buffer, sys.stderr
def say(line): out.write(line.encode() + b"\n"); out.flush()
print("loading the weights")
if fault == "junk": say("Loading 3 shards")
if fault == "exit": sys.exit("no weights here")
if fault == "silent": time.sleep(600)
say(json.dumps({"himacl_encoder": 1, "name": "letters", "version": "2" if fault == "newer" else "1",
                "text_dimension": 3, "image_dimension": 2}))
count = 0
for line in sys.stdin.buffer:
    batch, count = json.loads(line), count + 1
    if "images" in batch:
        rows = [[float(len(file)), float(file[0])] for file in (sys.stdin.buffer.read(n) for n in batch["images"])]
    else:
        rows = [[float(len(text)), float(ord(text[0])), float("nan") if fault == "nan" and text[0] == "c" else 1.0]
                for text in batch["texts"]]
    if fault == "hang" and count == 2:
        open(sys.argv[2], "w").write(str(os.getpid())); time.sleep(600)
    if fault == "die" and count == 2: os.abort()
    if fault == "error": say(json.dumps({"error": "CUDA out of memory"})); continue
    if fault == "fewer": rows = rows[1:]
    if fault == "narrow": rows = [row[:2] for row in rows]
    if fault == "noise": say("42%")
    say(json.dumps({"shape": [len(rows), len(rows[0])]}))
    values = b"".join(struct.pack("<%df" % len(row), *row) for row in rows)
    out.write(values[:5] if fault == "cut" else values); out.flush()
    if fault == "cut": sys.exit(3)
"#;

struct Place {
    scratch: Scratch,
}

impl Place {
    fn new() -> Self {
        let scratch = Scratch::new();
        fs::write(scratch.path("my encoder.py"), ENCODER).unwrap();
        let line = |index: usize| format!("{}\n", "abcdefghij".repeat(1 + index % 7).split_at(index % 5).1);
        fs::write(scratch.path("captions.txt"), (0..100).map(line).collect::<String>()).unwrap();
        Self { scratch }
    }

    fn command(&self, fault: &str, output: &str, more: &[&str]) -> Command {
        let program = format!("python3 '{}' {fault}", self.scratch.arg("my encoder.py"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_himacl-under-test"));
        command.args(["embed", "--encoder-command", &program, "-o", &self.scratch.arg(output)]);
        command.args(["--batch-size", "8", "--shard-size", "30"]).args(more);
        command
    }

    fn texts(&self, fault: &str, output: &str, more: &[&str]) -> Output {
        let input = self.scratch.arg("captions.txt");
        self.command(fault, output, &[&["--modality", "text", "--input", &input], more].concat()).output().unwrap()
    }
}

/// A black picture.
fn bmp(width: u32, height: u32) -> Vec<u8> {
    let size = (3 * width).next_multiple_of(4) * height;
    let header = [40, width, height, 1 | 24 << 16, 0, size, 0, 0, 0, 0];
    let head = [&b"BM"[..], &(54 + size).to_le_bytes(), &[0; 4], &54_u32.to_le_bytes()].concat();
    [head, header.iter().flat_map(|word| word.to_le_bytes()).collect(), vec![0; size as usize]].concat()
}

/// The rows of a folder.
fn rows(folder: &Path) -> Vec<f32> {
    Embeddings::open(folder, None).unwrap().to_vec().unwrap()
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_program_embeds_texts_and_pictures() {
    let place = Place::new();
    succeeded(&place.texts("", "texts", &["--no-normalize"]));
    let all = rows(&place.scratch.path("texts"));
    assert_eq!(all.len(), 300);
    let text = fs::read_to_string(place.scratch.path("captions.txt")).unwrap();
    for (row, line) in all.chunks_exact(3).zip(text.lines()) {
        assert_eq!(row, [line.len() as f32, f32::from(line.as_bytes()[0]), 1.0], "{line}");
    }
    let config: toml::Table =
        toml::from_str(&fs::read_to_string(place.scratch.path("texts/config.toml")).unwrap()).unwrap();
    assert_eq!(
        (config["program"]["name"].as_str(), config["program"]["version"].as_str()),
        (Some("letters"), Some("1"))
    );

    let pictures = place.scratch.path("pictures");
    fs::create_dir(&pictures).unwrap();
    for index in 0..10_u32 {
        fs::write(pictures.join(format!("{index}.bmp")), bmp(3 + index, 4)).unwrap();
    }
    fs::write(pictures.join("torn.bmp"), &fs::read(pictures.join("1.bmp")).unwrap()[..40]).unwrap();
    let (input, rate) = (place.scratch.arg("pictures"), ["--max-error-rate", "0.2"]);
    let run = |output: &str| {
        let more = ["--modality", "image", "--no-normalize", "--input", &input];
        place.command("", output, &[&more[..], &rate[..]].concat()).output().unwrap()
    };
    succeeded(&run("images"));
    for (index, row) in rows(&place.scratch.path("images")).chunks_exact(2).enumerate() {
        let file = fs::read(pictures.join(format!("{index}.bmp"))).unwrap();
        assert_eq!(row, [file.len() as f32, f32::from(file[0])], "the file as it is");
    }
    let skipped = fs::read_to_string(place.scratch.path("images/errors.jsonl")).unwrap();
    assert_eq!(skipped.lines().count(), 1, "{skipped}");
}

#[test]
fn a_run_that_broke_off_goes_on_to_the_same_bytes() {
    let place = Place::new();
    succeeded(&place.texts("", "whole", &[]));
    // Four batches make a shard: the fifth is never answered.
    let input = place.scratch.arg("captions.txt");
    let dies = place.command("die", "broken", &["--modality", "text", "--input", &input]).output().unwrap();
    let error = refused(&dies);
    assert!(error.contains("my encoder.py' die` has closed its standard output (signal: 6"), "{error}");
    assert!(error.contains("the end of its standard error:\n  | loading the weights"), "{error}");
    // Another program, or another version of one, is another encoder.
    let error = refused(&place.texts("newer", "whole", &["--resume"]));
    assert!(error.contains("program.command") || error.contains("program.version"), "{error}");
    fs::remove_file(place.scratch.path("whole/stats/2.json")).unwrap();
    fs::remove_file(place.scratch.path("whole/summary.json")).unwrap();
    let before = contents(&place.scratch.path("whole/text_emb"));
    succeeded(&place.texts("", "whole", &["--resume"]));
    assert_eq!(contents(&place.scratch.path("whole/text_emb")), before);
}

#[test]
fn what_is_no_encoder_is_named() {
    let place = Place::new();
    for (fault, expected) in [
        ("junk", "wrote to its standard output what is no greeting in JSON: `Loading 3 shards`"),
        (
            "exit",
            "has closed its standard output (exit status: 1); the end of its standard error:\n  | loading the weights\n  | no weights here",
        ),
        ("error", "reports an error: CUDA out of memory"),
        ("fewer", "gave embeddings of shape [7, 3], expected [8, 3]"),
        ("narrow", "gave embeddings of shape [8, 2], expected [8, 3]"),
        ("noise", "wrote `42%` to its standard output, expected `{\"shape\": [8, 3]}`"),
        ("cut", "ended within its answer, expected 96 bytes of values"),
    ] {
        let error = refused(&place.texts(fault, "out", &[]));
        assert!(error.contains(expected) && error.contains("the encoder program `python3 "), "{fault}: {error}");
        assert!(!place.scratch.path("out/summary.json").exists());
        let _ = fs::remove_dir_all(place.scratch.path("out"));
    }
    let error = refused(&place.texts("silent", "out", &["--encoder-timeout", "1"]));
    assert!(error.contains("has not greeted within 1 s"), "{error}");
    let input = place.scratch.arg("captions.txt");
    let run = |command: &str| refused(&himacl(&["embed", "--encoder-command", command, "--input", &input, "-o", "x"]));
    assert!(run("no-such-program-anywhere").contains("cannot be started: "));
    assert!(run("python3 'x").contains("cannot be read: a quote does not end"));
    assert!(run("true").contains("has closed its standard output (exit status: 0); it wrote nothing"));
}

#[test]
fn values_that_are_no_numbers_cost_their_rows() {
    let place = Place::new();
    succeeded(&place.texts("nan", "out", &["--max-error-rate", "0.5"]));
    let skipped = fs::read_to_string(place.scratch.path("out/errors.jsonl")).unwrap();
    assert_eq!(skipped.lines().count(), 20);
    assert!(skipped.contains("values that are not finite in float16"), "{skipped}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_ends_the_program_too() {
    let place = Place::new();
    let (input, sign) = (place.scratch.arg("captions.txt"), place.scratch.path("pid"));
    let mut command =
        place.command(&format!("hang '{}'", sign.display()), "out", &["--modality", "text", "--input", &input]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    let program = loop {
        match fs::read_to_string(&sign) {
            Ok(text) if !text.is_empty() => break text,
            _ => assert!(Instant::now() < deadline, "the program has not got there"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1), "what is done is kept");
    assert!(!Path::new(&format!("/proc/{program}")).exists());
    let run = Command::new("kill").args(["-0", &program]).stderr(Stdio::null()).status().unwrap();
    assert!(!run.success(), "the program runs no longer");
}
