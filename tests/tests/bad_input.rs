//! `himacl pair` refuses what it cannot do: status 2, a message that helps, and nothing written.

mod support;

use std::fs;
use std::path::Path;
use support::{Scratch, cloud, himacl, npy_bytes, points};

/// Runs `himacl pair` on two paths with further arguments; expects a refusal that says all of `expected`.
fn refused(scratch: &Scratch, x: &str, y: &str, more: &[&str], expected: &[&str]) {
    refused_into(scratch, &scratch.arg("out"), x, y, more, expected);
}

fn refused_into(scratch: &Scratch, output: &str, x: &str, y: &str, more: &[&str], expected: &[&str]) {
    let before = scratch.tree();
    let arguments = [&["pair", "--x", x, "--y", y, "--output", output, "--device", "cpu"], more].concat();
    let run = himacl(&arguments);
    let message = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{message}");
    assert!(run.stdout.is_empty(), "{}", String::from_utf8_lossy(&run.stdout));
    for part in expected {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
    assert_eq!(scratch.tree(), before, "nothing is written");
}

#[test]
fn rows_that_are_not_finite_are_named() {
    let scratch = Scratch::new();
    let good = scratch.npy("good.npy", &cloud(9, 1));
    for (name, value, shown) in [("nan.npy", f32::NAN, "NaN"), ("inf.npy", f32::NEG_INFINITY, "-inf")] {
        let mut rows = cloud(9, 2);
        rows[4][1] = value;
        rows[7][0] = value;
        let bad = scratch.npy(name, &rows);
        let parts = [name, "2 rows with NaN or infinite", ": row 4, row 7; the first has", shown, "column 1", "hint: "];
        refused(&scratch, &bad, &good, &[], &parts);
        refused(&scratch, &good, &bad, &[], &parts);
    }
}

#[test]
fn empty_sets() {
    let scratch = Scratch::new();
    let good = scratch.npy("good.npy", &cloud(3, 1));
    let empty = scratch.npy("empty.npy", &[]);
    refused(&scratch, &empty, &good, &[], &["empty.npy` is empty: 0 rows of 2 coordinates", "hint: "]);
    refused(&scratch, &good, &empty, &[], &["empty.npy` is empty"]);
    fs::write(scratch.path("nothing.npy"), b"").unwrap();
    refused(&scratch, &scratch.arg("nothing.npy"), &good, &[], &["nothing.npy"]);
    fs::create_dir_all(scratch.path("folder/img_emb")).unwrap();
    refused(&scratch, &scratch.arg("folder"), &good, &[], &["img_emb` is empty"]);
}

#[test]
fn files_that_are_not_read_are_named_and_second_arrays_refused() {
    let scratch = Scratch::new();
    let good = scratch.npy("good.npy", &cloud(3, 1));
    fs::create_dir_all(scratch.path("folder")).unwrap();
    fs::create_dir_all(scratch.path("clip/img_emb")).unwrap();
    let array = fs::read(&good).unwrap();
    for file in ["folder/0.npy", "clip/img_emb/img_emb_0.npy", "clip/img_emb/extra.npy"] {
        fs::write(scratch.path(file), &array).unwrap();
    }
    for file in ["folder/1.npy.gz", "folder/notes.txt", "folder/2.safetensors"] {
        fs::write(scratch.path(file), "").unwrap();
    }
    for (folder, others) in [("folder", "and not 1.npy.gz, 2.safetensors"), ("clip", "and not extra.npy")] {
        let (x, output) = (scratch.arg(folder), scratch.arg(&format!("{folder}-out")));
        let run = himacl(&["pair", "--x", &x, "--y", &good, "--output", &output, "--device", "cpu"]);
        let message = String::from_utf8(run.stderr).unwrap();
        assert!(run.status.success() && message.contains(others) && !message.contains("notes"), "{message}");
    }
    fs::write(scratch.path("two.npy"), [&array[..], &array].concat()).unwrap();
    refused(&scratch, &scratch.arg("two.npy"), &good, &[], &["two.npy", "more than one array", "hint: "]);
}

#[test]
fn dimensions_that_differ() {
    let scratch = Scratch::new();
    let x = scratch.npy("x.npy", &cloud(3, 1));
    let y = scratch.npy("y.npy", &[vec![0.0; 3], vec![1.0; 3]]);
    refused(&scratch, &x, &y, &[], &["x.npy` has 2 coordinates", "y.npy` has 3", "hint: "]);
}

#[test]
fn malformed_npy_files() {
    let scratch = Scratch::new();
    let good = scratch.npy("good.npy", &cloud(3, 1));
    let full = [0u8; 24];
    let cases = [
        ("truncated.npy", npy_bytes("<f4", false, "(3, 2)", &full[..23]), "truncated: "),
        ("complex.npy", npy_bytes("<c8", false, "(3, 2)", &full), "type `<c8`, expected float16, float32"),
        ("bytes.npy", npy_bytes("|V4", false, "(3, 2)", &full), "type `|V4`"),
        ("flat.npy", npy_bytes("<f4", false, "(6,)", &full), "shape [6], expected two dimensions"),
        ("cube.npy", npy_bytes("<f4", false, "(3, 2, 1)", &full), "shape [3, 2, 1], expected two dimensions"),
        ("text.npy", b"1.0 2.0\n".to_vec(), "does not begin with the npy signature"),
        ("table.csv", b"1.0,2.0\n".to_vec(), "not in a known format"),
        ("broken.safetensors", b"1.0 2.0\n".to_vec(), "cannot be parsed"),
    ];
    for (name, bytes, message) in cases {
        fs::write(scratch.path(name), bytes).unwrap();
        refused(&scratch, &scratch.arg(name), &good, &[], &[name, message]);
    }
}

#[test]
fn missing_files() {
    let scratch = Scratch::new();
    let good = scratch.npy("good.npy", &cloud(3, 1));
    refused(
        &scratch,
        &scratch.arg("absent.npy"),
        &good,
        &[],
        &["cannot read `", "absent.npy`: No such file", "hint: check the path"],
    );
    refused(&scratch, &good, &scratch.arg("absent"), &[], &["absent`: No such file"]);
}

#[test]
fn outputs_that_cannot_be() {
    let scratch = Scratch::new();
    let good = scratch.npy("good.npy", &cloud(3, 1));
    let below_a_file = scratch.arg("good.npy/out");
    refused_into(
        &scratch,
        &below_a_file,
        &good,
        &good,
        &[],
        &["good.npy/out` cannot be made", "good.npy` is not a folder"],
    );
    refused_into(&scratch, &good, &good, &good, &["--force"], &["good.npy` is not a folder", "hint: name another"]);
}

#[test]
fn existing_output_is_kept() {
    let scratch = Scratch::new();
    let good = scratch.npy("good.npy", &cloud(3, 1));
    fs::create_dir(scratch.path("out")).unwrap();
    fs::write(scratch.path("out/permutation.npy"), b"precious").unwrap();
    refused(&scratch, &good, &good, &[], &["out` exists and is not empty", "--force", "--resume"]);
    assert_eq!(fs::read(scratch.path("out/permutation.npy")).unwrap(), b"precious");
}

#[test]
fn warm_starts_of_another_problem() {
    let scratch = Scratch::new();
    let good = scratch.npy("good.npy", &cloud(3, 1));
    let cases: [(&str, &[u32], &[&str]); 4] = [
        ("short", &[0, 1], &["has 2 entries, expected 3"]),
        ("twice", &[0, 1, 1], &["does not fit x and y: index 1 occurs twice"]),
        ("range", &[0, 1, 3], &["entry 2 of the permutation is 3, expected an index below 3"]),
        ("few", &[0, 1, u32::MAX], &["matches 2 pairs, expected 3"]),
    ];
    for (name, values, parts) in cases {
        fs::create_dir(scratch.path(name)).unwrap();
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let bytes = npy_bytes("<u4", false, &format!("({},)", values.len()), &data);
        fs::write(scratch.path(name).join("permutation.npy"), bytes).unwrap();
        refused(&scratch, &good, &good, &["--warm-start", &scratch.arg(name)], parts);
    }
    refused(&scratch, &good, &good, &["--warm-start", &scratch.arg("absent")], &["absent`: No such file"]);
    refused(&scratch, &good, &good, &["--warm-start", &good], &["good.npy", "type `<f4`, expected uint32"]);
}

#[test]
fn rows_without_a_direction() {
    let scratch = Scratch::new();
    let good = scratch.npy("good.npy", &cloud(3, 1));
    let zero = scratch.npy("zero.npy", &[vec![1.0, 0.0], vec![0.0, 0.0], vec![0.0, 1.0]]);
    refused(&scratch, &zero, &good, &["--normalize"], &["zero.npy` has 1 row of zeros: row 1", "--normalize needs"]);
    refused(
        &scratch,
        &good,
        &zero,
        &["--cost", "cosine"],
        &["zero.npy` has 1 row of zeros: row 1", "the cosine cost needs"],
    );
    let one = scratch.npy("one.npy", &[vec![3.0, 4.0]]);
    refused(&scratch, &one, &good, &["--center", "--normalize"], &["1 row of zeros after centring: row 0"]);
}

#[test]
fn settings_out_of_range() {
    let scratch = Scratch::new();
    let good = scratch.npy("good.npy", &cloud(3, 1));
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--solver", "emd"], &["'emd'", "hiref, exact, sinkhorn"]),
        (&["--cost", "l2"], &["unknown cost `l2`", "sqeuclidean, euclidean, cosine, neg-dot"]),
        (&["--quality", "perfect"], &["fast, balanced, best"]),
        (&["--time-limit", "0"], &["`time_limit` is 0, expected a positive number of seconds"]),
        (&["--max-memory", "0"], &["--max-memory"]),
        (&["--max-memory", "0.01"], &["GiB of memory, --max-memory allows 0.01 GiB"]),
        (&["--threads", "0"], &["--threads"]),
        (&["--threads", "65535"], &["--threads", "4096"]),
        (&["--device", "gpu"], &["expected auto, cpu, cuda or cuda:N"]),
    ];
    for (more, parts) in cases {
        let output = scratch.arg("out");
        let arguments = [&["pair", "--x", &good, "--y", &good, "-o", &output], more].concat();
        let run = himacl(&arguments);
        let message = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(2), "{message}");
        for part in parts {
            assert!(message.contains(part), "no `{part}` in: {message}");
        }
        assert!(!scratch.path("out").exists());
    }
}

#[test]
fn folders_whose_files_disagree() {
    let scratch = Scratch::new();
    let good = scratch.npy("good.npy", &cloud(3, 1));
    fs::create_dir_all(scratch.path("set/img_emb")).unwrap();
    fs::create_dir_all(scratch.path("set/text_emb")).unwrap();
    for kind in ["img", "text"] {
        scratch.npy(&format!("set/{kind}_emb/{kind}_emb_0.npy"), &cloud(2, 1));
    }
    let set = scratch.arg("set");
    refused(&scratch, &set, &good, &[], &["holds `img_emb`, `text_emb`", "--x-key"]);
    refused(&scratch, &set, &good, &["--x-key", "audio"], &["but no `audio`"]);
    scratch.npy("set/img_emb/img_emb_1.npy", &[vec![0.0; 5]]);
    let lacking = ["do not belong together", "`text_emb` has no shard 1"];
    refused(&scratch, &scratch.arg("set/img_emb"), &good, &[], &lacking);
    scratch.npy("set/text_emb/text_emb_1.npy", &cloud(1, 1));
    refused(&scratch, &scratch.arg("set/img_emb"), &good, &[], &["img_emb_1.npy` has 5 coordinates, expected 2"]);
    fs::create_dir(scratch.path("set/metadata")).unwrap();
    fs::write(scratch.path("set/metadata/metadata_0.parquet"), b"not parquet").unwrap();
    refused(&scratch, &scratch.arg("set/text_emb"), &good, &[], &["`metadata` has no shard 1"]);
    fs::write(scratch.path("set/metadata/metadata_1.parquet"), b"not parquet").unwrap();
    refused(&scratch, &scratch.arg("set/text_emb"), &good, &[], &["parquet file `", "metadata_0.parquet`"]);
}

/// Found among files damaged at random (`scripts/attack/mutations.py`): the library that reads parquet panics over this one.
#[test]
fn a_file_over_which_its_library_panics_is_named() {
    let scratch = Scratch::new();
    let rows = scratch.npy("rows.npy", &points(8, 6, 1));
    for folder in ["set", "set/img_emb", "set/metadata"] {
        fs::create_dir(scratch.path(folder)).unwrap();
    }
    fs::copy(&rows, scratch.path("set/img_emb/img_emb_0.npy")).unwrap();
    let damaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/damaged/page_of_no_width.parquet");
    fs::copy(damaged, scratch.path("set/metadata/metadata_0.parquet")).unwrap();
    let run = himacl(&["pair", "--x", &scratch.arg("set"), "--y", &rows, "--output", &scratch.arg("out")]);
    let message = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{message}");
    assert!(message.contains("metadata_0.parquet`") && message.contains("the file is damaged"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}
