//! `himacl pair` where the matching is not one to one, or the costs are given.

mod support;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt32Type};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use hiref_testkit::exact_of_matrix;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use std::fs::{self, File};
use std::sync::Arc;
use support::{Scratch, himacl, npy_bytes, points, read_u32};

/// Runs `himacl pair`, expects success; returns the pairs and the summary.
fn pair(scratch: &Scratch, arguments: &[&str]) -> (Vec<(u32, u32, f32)>, Value) {
    let output = scratch.arg("out");
    let run = himacl(&[&["pair", "--force", "-o", &output, "--device", "cpu"], arguments].concat());
    assert_eq!(run.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    let out = scratch.path("out");
    let file = File::open(out.join("pairs.parquet")).unwrap();
    let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut pairs = Vec::new();
    for batch in batches.map(Result::unwrap) {
        let [x, y] = [0, 1].map(|column| batch.column(column).as_primitive::<UInt32Type>().values().to_vec());
        let cost = batch.column(2).as_primitive::<Float32Type>().values().to_vec();
        pairs.extend(x.into_iter().zip(y).zip(cost).map(|((x, y), cost)| (x, y, cost)));
    }
    let summary: Value = serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["num_pairs"], pairs.len());
    (pairs, summary)
}

/// Runs `himacl pair`, expects a refusal; returns what it says.
fn refused(scratch: &Scratch, arguments: &[&str]) -> String {
    let output = scratch.arg("refused");
    let run = himacl(&[&["pair", "-o", &output, "--device", "cpu"], arguments].concat());
    assert_eq!(run.status.code(), Some(2), "{arguments:?}");
    assert!(!scratch.path("refused").join("config.toml").exists(), "{arguments:?}: refused after work began");
    String::from_utf8(run.stderr).unwrap()
}

fn integers(scratch: &Scratch, name: &str, shape: &str, values: &[i64]) -> String {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(scratch.path(name), npy_bytes("<i8", false, shape, &data)).unwrap();
    scratch.arg(name)
}

fn floats(scratch: &Scratch, name: &str, fortran: bool, shape: &str, values: &[f64]) -> String {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(scratch.path(name), npy_bytes("<f8", fortran, shape, &data)).unwrap();
    scratch.arg(name)
}

/// Six x with four exact partners among six y, and two outliers on each side that lie far off in opposite directions.
fn with_outliers(scratch: &Scratch) -> [String; 2] {
    let x: Vec<Vec<f32>> = [0.0, 1.0, 2.0, 3.0, 100.0, 101.0].map(|v| vec![v]).to_vec();
    let y: Vec<Vec<f32>> = [-100.0, -101.0, 3.0, 2.0, 1.0, 0.0].map(|v| vec![v]).to_vec();
    [scratch.npy("x.npy", &x), scratch.npy("y.npy", &y)]
}

#[test]
fn outliers_stay_single_and_shift_no_pair() {
    let scratch = Scratch::new();
    let [x, y] = with_outliers(&scratch);
    let expected = [(0, 5, 0.0), (1, 4, 0.0), (2, 3, 0.0), (3, 2, 0.0)];
    for kind in [["--unmatched-cost", "5"], ["--pairs", "4"]] {
        let (pairs, summary) = pair(&scratch, &["--x", &x, "--y", &y, kind[0], kind[1], "--certify"]);
        assert_eq!(pairs, expected, "{kind:?}");
        let none = u32::MAX;
        assert_eq!(read_u32(&scratch.path("out").join("permutation.npy")), [5, 4, 3, 2, none, none]);
        assert_eq!((&summary["singles"]["x"], &summary["singles"]["y"]), (&2.into(), &2.into()));
        assert_eq!(
            (&summary["mean_cost"], &summary["exact"], &summary["bijection"]),
            (&0.0.into(), &true.into(), &false.into())
        );
        assert!(summary["relative_gap"].as_f64().unwrap() < 1e-9);
        assert!(scratch.path("out").join("potentials.npy").exists());
    }
    let (_, summary) = pair(&scratch, &["--x", &x, "--y", &y, "--unmatched-cost", "5"]);
    // Four singles, half of the price each.
    assert_eq!((summary["objective"].as_f64(), summary["unmatched_cost"].as_f64()), (Some(10.0), Some(5.0)));
    assert!(!scratch.path("out").join("potentials.npy").exists());
    let (pairs, summary) = pair(&scratch, &["--x", &x, "--y", &y]);
    assert_eq!((pairs.len(), &summary["bijection"]), (6, &true.into()));
}

#[test]
fn several_captions_to_a_picture() {
    let scratch = Scratch::new();
    let (x, y) = (points(5, 3, 1), points(12, 3, 2));
    let (x_path, y_path) = (scratch.npy("x.npy", &x), scratch.npy("y.npy", &y));
    let squared =
        |i: usize, j: usize| x[i].iter().zip(&y[j]).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>();
    let (pairs, summary) = pair(&scratch, &["--x", &x_path, "--y", &y_path, "--x-capacity", "2"]);
    let matrix: Vec<f64> = (0..10 * 12).map(|at| squared(at / 12 / 2, at % 12)).collect();
    let least: f64 = exact_of_matrix(&matrix, 10, 12).into_iter().enumerate().map(|(i, j)| matrix[i * 12 + j]).sum();
    assert_eq!(pairs.len(), 10);
    let total = summary["total_cost"].as_f64().unwrap();
    assert!((total - least).abs() < 1e-6, "{total} against {least}");
    assert!(!scratch.path("out").join("permutation.npy").exists(), "there are several partners");
    // The numbers of a file; x 0 takes part in nothing.
    let capacity = integers(&scratch, "capacity.npy", "(5,)", &[0, 1, 3, 1, 2]);
    let (pairs, _) = pair(&scratch, &["--x", &x_path, "--y", &y_path, "--x-capacity", &capacity]);
    let of = |item: u32| pairs.iter().filter(|pair| pair.0 == item).count();
    assert_eq!([0, 1, 2, 3, 4].map(of), [0, 1, 3, 1, 2]);
    for (flags, fault) in [
        (vec!["--x-capacity", "2", "--y-capacity", "2"], "`x_capacity` and `y_capacity` cannot be had together"),
        (vec!["--x-capacity", "1.5"], "--x-capacity has `1.5`"),
        (vec!["--x-capacity", "many"], "--x-capacity has `many`"),
        (vec!["--y-capacity", &capacity], "5 capacities for `y`, expected 12"),
    ] {
        let error = refused(&scratch, &[&["--x", &x_path[..], "--y", &y_path], &flags[..]].concat());
        assert!(error.contains(fault), "{flags:?}: {error}");
    }
}

#[test]
fn categories_are_paired_on_their_own() {
    let scratch = Scratch::new();
    let [x, y] = with_outliers(&scratch);
    let (x_labels, y_labels) = ([7, 7, 7, 8, 8, 9], [7, 8, 8, 7, 7, 3]);
    let x_groups = integers(&scratch, "xg.npy", "(6,)", &x_labels);
    let y_groups = integers(&scratch, "yg.npy", "(6,)", &y_labels);
    let (pairs, summary) = pair(&scratch, &["--x", &x, "--y", &y, "--x-groups", &x_groups, "--y-groups", &y_groups]);
    assert!(pairs.iter().all(|&(i, j, _)| x_labels[i as usize] == y_labels[j as usize]), "{pairs:?}");
    assert_eq!((pairs.len(), &summary["exact"]), (5, &true.into()));
    assert_eq!(summary["groups_of_x_only"], serde_json::json!({"count": 1, "names": ["9"]}));
    assert_eq!(summary["groups_of_y_only"], serde_json::json!({"count": 1, "names": ["3"]}));
    // Hashes that no signed number holds.
    let hash = |label: i64| u64::MAX - label as u64;
    let hashes = |name: &str, labels: [i64; 6]| {
        let data: Vec<u8> = labels.into_iter().flat_map(|label| hash(label).to_le_bytes()).collect();
        fs::write(scratch.path(name), npy_bytes("<u8", false, "(6,)", &data)).unwrap();
        scratch.arg(name)
    };
    let (x_hashes, y_hashes) = (hashes("xh.npy", x_labels), hashes("yh.npy", y_labels));
    let (hashed, _) = pair(&scratch, &["--x", &x, "--y", &y, "--x-groups", &x_hashes, "--y-groups", &y_hashes]);
    assert_eq!(hashed, pairs);
    let error = refused(&scratch, &["--x", &x, "--y", &y, "--x-groups", "label", "--y-groups", "label"]);
    assert!(error.contains("have no column `label` of categories"), "{error}");
    let error = refused(&scratch, &["--x", &x, "--y", &y, "--x-groups", &x_groups]);
    assert!(error.contains("--y-groups"), "{error}");
    let error = refused(&scratch, &["--x", &x, "--y", &y, "--x-groups", "a", "--y-groups", "b", "--pairs", "3"]);
    assert!(error.contains("cannot be used with"), "{error}");
}

#[test]
fn categories_are_columns_of_metadata() {
    let scratch = Scratch::new();
    let folder = |name: &str, values: &[f32], labels: ArrayRef| {
        let root = scratch.path(name);
        fs::create_dir_all(root.join("img_emb")).unwrap();
        fs::create_dir_all(root.join("metadata")).unwrap();
        let rows: Vec<Vec<f32>> = values.iter().map(|&v| vec![v, 1.0]).collect();
        support::write_npy(&root.join("img_emb/img_emb_0.npy"), &rows);
        let batch = RecordBatch::try_from_iter([("label", labels)]).unwrap();
        let file = File::create(root.join("metadata/metadata_0.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        scratch.arg(name)
    };
    let text = |labels: [&str; 3]| Arc::new(StringArray::from(labels.to_vec())) as ArrayRef;
    let x = folder("x", &[0.0, 1.0, 2.0], text(["a", "b", "1"]));
    let y = folder("y", &[0.0, 1.0, 2.0], text(["b", "1", "a"]));
    let groups = ["--x-groups", "label", "--y-groups", "label"];
    let (pairs, _) = pair(&scratch, &[&["--x", &x, "--y", &y][..], &groups].concat());
    assert_eq!(pairs.iter().map(|pair| (pair.0, pair.1)).collect::<Vec<_>>(), [(0, 2), (1, 0), (2, 1)]);
    // Numbers are categories by their digits.
    let z = folder("z", &[0.0, 1.0, 2.0], Arc::new(Int64Array::from(vec![2, 1, 1])));
    let (pairs, _) = pair(&scratch, &[&["--x", &x, "--y", &z][..], &groups].concat());
    assert_eq!(pairs.iter().map(|pair| (pair.0, pair.1)).collect::<Vec<_>>(), [(2, 2)]);
    // And so are those of a column that had missing values once.
    let floats = folder("floats", &[0.0, 1.0, 2.0], Arc::new(Float64Array::from(vec![2.0, 1.0, 1.0])));
    let (pairs, _) = pair(&scratch, &[&["--x", &x, "--y", &floats][..], &groups].concat());
    assert_eq!(pairs.iter().map(|pair| (pair.0, pair.1)).collect::<Vec<_>>(), [(2, 2)]);
    let other = folder("other", &[0.0, 1.0, 2.0], text(["c", "d", "e"]));
    let error = refused(&scratch, &[&["--x", &x, "--y", &other][..], &groups].concat());
    assert!(error.contains("no category in common") && error.contains("x has 1, a, b, y has c, d, e"), "{error}");
    let nulls = folder("nulls", &[0.0, 1.0, 2.0], Arc::new(Int64Array::from(vec![Some(1), None, Some(1)])));
    let error = refused(&scratch, &[&["--x", &x, "--y", &nulls][..], &groups].concat());
    assert!(error.contains("row 1 of the metadata of") && error.contains("has no `label`"), "{error}");
}

#[test]
fn forbidden_pairs_are_avoided_or_the_run_fails() {
    let scratch = Scratch::new();
    let [x, y] = with_outliers(&scratch);
    fs::write(scratch.path("never.csv"), "x,y\n0,5\n1,4\n").unwrap();
    let never = scratch.arg("never.csv");
    let (pairs, summary) = pair(&scratch, &["--x", &x, "--y", &y, "--forbidden", &never]);
    assert!(pairs.iter().all(|pair| ![(0, 5), (1, 4)].contains(&(pair.0, pair.1))) && pairs.len() == 6);
    assert_eq!(summary["exact"], true);
    let all = integers(&scratch, "all.npy", "(6, 2)", &[2, 0, 2, 1, 2, 2, 2, 3, 2, 4, 2, 5]);
    let output = scratch.arg("none");
    let run = himacl(&["pair", "--x", &x, "--y", &y, "--forbidden", &all, "-o", &output, "--device", "cpu"]);
    let error = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{error}");
    assert!(error.contains("1 x items (2) need 1 places, and all their candidates together have 0"), "{error}");
    assert!(error.contains("hint: --unmatched-cost or --pairs"), "{error}");
    fs::write(scratch.path("outside.csv"), "0,6\n").unwrap();
    let error = refused(&scratch, &["--x", &x, "--y", &y, "--forbidden", &scratch.arg("outside.csv")]);
    assert!(
        error.contains("pair 0 of `") && error.contains("outside.csv` has the y index 6, expected one from 0 below 6"),
        "{error}"
    );
    let negative = integers(&scratch, "negative.npy", "(2, 2)", &[0, 1, 2, -1]);
    let error = refused(&scratch, &["--x", &x, "--y", &y, "--forbidden", &negative]);
    assert!(error.contains("negative.npy` has the y index -1, expected one from 0 below 6"), "{error}");
}

#[test]
fn a_matrix_of_costs() {
    let scratch = Scratch::new();
    let inf = f64::INFINITY;
    let values = [4.0, 1.0, inf, 2.0, inf, 5.0, 3.0, 2.0, 2.0, 1.0, 6.0, 1.0];
    let costs = floats(&scratch, "c.npy", false, "(3, 4)", &values);
    let transposed: Vec<f64> = (0..12).map(|at| values[at % 3 * 4 + at / 3]).collect();
    let fortran = floats(&scratch, "f.npy", true, "(3, 4)", &transposed);
    let (pairs, summary) = pair(&scratch, &["--cost-matrix", &costs]);
    assert_eq!(pairs, [(0, 1, 1.0), (1, 3, 2.0), (2, 0, 2.0)]);
    assert_eq!((summary["n"].as_u64(), summary["m"].as_u64(), &summary["exact"]), (Some(3), Some(4), &true.into()));
    assert_eq!(summary["total_cost"], 5.0);
    assert!(summary["relative_gap"].as_f64().unwrap() < 1e-9);
    assert_eq!(pair(&scratch, &["--cost-matrix", &fortran]).0, pairs);
    let (few, _) = pair(&scratch, &["--cost-matrix", &costs, "--pairs", "2"]);
    assert_eq!(few.iter().map(|pair| pair.2).sum::<f32>(), 2.0);
    // A finished run is not repeated.
    let output = scratch.arg("out");
    let again = himacl(&["pair", "--cost-matrix", &costs, "--pairs", "2", "-o", &output, "--resume"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("is finished already"));
    let nan = floats(&scratch, "nan.npy", false, "(2, 2)", &[0.0, 1.0, f64::NAN, 0.0]);
    let error = refused(&scratch, &["--cost-matrix", &nan]);
    assert!(error.contains("the value `NaN` at row 1, column 0"), "{error}");
    let error = refused(&scratch, &["--cost-matrix", &costs, "--x", &costs, "--y", &costs]);
    assert!(error.contains("cannot be used with"), "{error}");
    let error = refused(&scratch, &["--cost-matrix", &costs, "--quality", "best"]);
    assert!(error.contains("cannot be used with"), "{error}");
    assert!(refused(&scratch, &[]).contains("--x <PATH|ADDRESS>"));
}

#[test]
fn candidate_pairs() {
    let scratch = Scratch::new();
    let write = |name: &str, columns: [&str; 3], pairs: &[(i64, i64, f64)]| {
        let i: ArrayRef = Arc::new(Int64Array::from_iter_values(pairs.iter().map(|pair| pair.0)));
        let j: ArrayRef = Arc::new(Int64Array::from_iter_values(pairs.iter().map(|pair| pair.1)));
        let cost: ArrayRef = Arc::new(Float64Array::from_iter_values(pairs.iter().map(|pair| pair.2)));
        let batch = RecordBatch::try_from_iter(columns.into_iter().zip([i, j, cost])).unwrap();
        let file = File::create(scratch.path(name)).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        scratch.arg(name)
    };
    let listed = [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 1.5), (2, 2, 0.0)];
    for columns in [["i", "j", "cost"], ["x_index", "y_index", "cost"]] {
        let path = write("c.parquet", columns, &listed);
        let (pairs, summary) = pair(&scratch, &["--candidates", &path]);
        assert_eq!(pairs, [(0, 1, 2.0), (1, 0, 1.5), (2, 2, 0.0)]);
        assert_eq!(summary["cost"], "candidates");
    }
    let crowded = write(
        "crowded.parquet",
        ["i", "j", "cost"],
        &[
            (0, 0, 1.0),
            (1, 0, 1.0),
            (1, 1, 1.0),
            (2, 1, 3.0),
            (0, 2, 0.0),
            (3, 0, 0.0),
            (2, 0, 0.0),
            (3, 3, 9.0),
            (3, 1, 0.5),
        ],
    );
    assert_eq!(pair(&scratch, &["--candidates", &crowded]).0.len(), 4);
    let never = write("never.parquet", ["i", "j", "cost"], &[(0, 0, 1.0), (1, 0, 1.0), (2, 1, 3.0)]);
    // Three x share two y: those are all paired, and an x stays single.
    assert_eq!(pair(&scratch, &["--candidates", &never]).0.len(), 2);
    let stuck = write("stuck.parquet", ["i", "j", "cost"], &[(0, 0, 1.0), (1, 0, 1.0), (2, 1, 3.0), (2, 2, 3.0)]);
    let output = scratch.arg("stuck");
    let run = himacl(&["pair", "--candidates", &stuck, "-o", &output]);
    let error = String::from_utf8(run.stderr).unwrap();
    assert!(run.status.code() == Some(2) && error.contains("2 x items (0, 1) need 2 places"), "{error}");
    let error = refused(&scratch, &["--candidates", &write("names.parquet", ["a", "b", "cost"], &listed)]);
    assert!(error.contains("has the columns a, b, cost, expected i, j, cost"), "{error}");
    let error = refused(&scratch, &["--candidates", &write("bad.parquet", ["i", "j", "cost"], &[(-1, 0, 1.0)])]);
    assert!(error.contains("pair 0 has the index -1"), "{error}");
}

#[test]
fn weights_are_for_solvers_that_take_them() {
    let scratch = Scratch::new();
    let (x, y) = (scratch.npy("x.npy", &points(6, 2, 3)), scratch.npy("y.npy", &points(4, 2, 4)));
    let weights = floats(&scratch, "w.npy", false, "(6,)", &[1.0, 2.0, 3.0, 1.0, 1.0, 1.0]);
    let plain = pair(&scratch, &["--x", &x, "--y", &y, "--solver", "sinkhorn"]).1;
    for solver in ["sinkhorn", "progot", "lot", "frlc"] {
        let (_, summary) = pair(&scratch, &["--x", &x, "--y", &y, "--solver", solver, "--x-weights", &weights]);
        assert!(summary["coupling_cost"].as_f64().unwrap() > 0.0, "{solver}");
        if solver == "sinkhorn" {
            assert_ne!(summary["coupling_cost"], plain["coupling_cost"]);
        }
    }
    let error = refused(&scratch, &["--x", &x, "--y", &y, "--x-weights", &weights]);
    assert!(error.contains("--x-weights does not apply to --solver hiref\nhint: it belongs to sinkhorn"), "{error}");
    let error = refused(&scratch, &["--x", &x, "--y", &y, "--solver", "lot", "--y-weights", &weights]);
    assert!(error.contains("the marginal of `y` has 6 entries, expected 4"), "{error}");
    let zero = floats(&scratch, "z.npy", false, "(6,)", &[1.0, 0.0, 3.0, 1.0, 1.0, 1.0]);
    let error = refused(&scratch, &["--x", &x, "--y", &y, "--solver", "lot", "--x-weights", &zero]);
    assert!(error.contains("the weight 0 at entry 1"), "{error}");
}

#[test]
fn what_cannot_be_had_together_is_refused() {
    let scratch = Scratch::new();
    let [x, y] = with_outliers(&scratch);
    let base = ["--x", &x[..], "--y", &y, "--unmatched-cost", "5"];
    for (more, fault) in [
        (vec!["--pairs", "3"], "cannot be used with"),
        (vec!["--solver", "sinkhorn"], "--unmatched-cost does not apply to --solver sinkhorn"),
        (vec!["--warm-start", &x], "--unmatched-cost and --warm-start cannot be had together"),
        (vec!["--certify", "sampled"], "--unmatched-cost and --certify sampled cannot be had together"),
        (vec!["--checkpoint-every", "5"], "--unmatched-cost and --checkpoint-every cannot be had together"),
    ] {
        let error = refused(&scratch, &[&base[..], &more].concat());
        assert!(error.contains(fault), "{more:?}: {error}");
    }
    let error = refused(&scratch, &["--x", &x, "--y", &y, "--pairs", "7"]);
    assert!(error.contains("7 pairs are asked for, there can be 6 at most"), "{error}");
    assert!(error.contains("hint: ask for 6 or fewer"), "{error}");
    let error = refused(&scratch, &["--x", &x, "--y", &y, "--unmatched-cost", "-1"]);
    assert!(error.contains("--unmatched-cost is -1, expected 0 or more: the cost sqeuclidean"), "{error}");
    pair(&scratch, &["--x", &x, "--y", &y, "--unmatched-cost", "-1", "--cost", "neg-dot"]);
}
