//! `himacl pair` on small sets: the results, their files, and what they agree with.

mod support;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt32Type};
use arrow_array::{ArrayRef, ListArray, RecordBatch, StringArray, StructArray};
use arrow_ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use support::{Scratch, cloud, himacl, read_u32};

/// Runs `himacl pair`, expects success; returns the permutation and the summary.
fn pair(scratch: &Scratch, x: &str, y: &str, more: &[&str]) -> (Vec<u32>, Value) {
    let output = scratch.arg("out");
    let arguments = [&["pair", "--x", x, "--y", y, "--output", &output, "--device", "cpu"], more].concat();
    let run = himacl(&arguments);
    let message = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(0), "{message}");
    let out = scratch.path("out");
    let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let expected =
        [".himacl.toml", "config.toml", "pairs.parquet", "permutation.npy", "summary.json", "warm-start.safetensors"];
    assert_eq!(names.into_iter().filter(|name| name != "uids.npy").collect::<Vec<_>>(), expected);
    let summary = fs::read_to_string(out.join("summary.json")).unwrap();
    (read_u32(&out.join("permutation.npy")), serde_json::from_str(&summary).unwrap())
}

fn pairs(path: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

fn squared(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}

/// Doubles around a large number, which have next to nothing in common as floats.
#[test]
fn doubles_far_from_zero_are_refused_or_centred_first() {
    let scratch = Scratch::new();
    let write = |name: &str, rows: &[Vec<f32>]| {
        let data: Vec<u8> = rows.iter().flatten().flat_map(|&value| (1e9 + f64::from(value)).to_le_bytes()).collect();
        fs::write(scratch.path(name), support::npy_bytes("<f8", false, &format!("({}, 2)", rows.len()), &data))
            .unwrap();
        scratch.arg(name)
    };
    let x = cloud(60, 1);
    let mut y = x.clone();
    y.reverse();
    let (x, y) = (write("x.npy", &x), write("y.npy", &y));
    let (output, more) = (scratch.arg("out"), ["--device", "cpu"]);
    for external in [&[][..], &["--external"]] {
        let fixed = ["pair", "--x", &x, "--y", &y, "-o", &output];
        let run = himacl(&[&fixed[..], &more, external].concat());
        let message = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(2), "{message}");
        assert!(message.contains("too far from zero, for float32") && message.contains("--center"), "{message}");
    }
    let (y_of_x, _) = pair(&scratch, &x, &y, &["--center"]);
    assert_eq!(y_of_x, (0..60).rev().collect::<Vec<u32>>());
}

#[test]
fn small_sets_of_equal_and_different_sizes() {
    for (n, m) in [(1, 1), (2, 2), (3, 3), (101, 101), (1, 4), (4, 1), (30, 47), (47, 30)] {
        let scratch = Scratch::new();
        let (x, y) = (cloud(n, 1), cloud(m, 2));
        let (x_path, y_path) = (scratch.npy("x.npy", &x), scratch.npy("y.npy", &y));
        let (y_of_x, summary) = pair(&scratch, &x_path, &y_path, &["--seed", "5"]);

        let matched: Vec<(usize, usize)> =
            y_of_x.iter().enumerate().filter(|(_, y)| **y != u32::MAX).map(|(x, &y)| (x, y as usize)).collect();
        let mut used: Vec<usize> = matched.iter().map(|&(_, y)| y).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!((y_of_x.len(), matched.len(), used.len()), (n, n.min(m), n.min(m)), "{n} x {m}");

        let mean = matched.iter().map(|&(i, j)| squared(&x[i], &y[j])).sum::<f64>() / matched.len() as f64;
        let reported = summary["mean_cost"].as_f64().unwrap();
        assert!((reported - mean).abs() <= 1e-9 * mean.abs().max(1.0), "{reported} is not {mean}");
        assert_eq!(summary["n"], n);
        assert_eq!(summary["m"], m);
        assert_eq!(summary["d"], 2);
        assert_eq!(summary["seed"], 5);
        assert_eq!(summary["cost"], "sqeuclidean");
        assert_eq!(summary["quality"], "balanced");
        assert_eq!(summary["bijection"], n == m);
        for key in ["dual_bound", "relative_gap", "gap_estimate"] {
            assert!(summary.as_object().unwrap()[key].is_null());
        }
        for key in ["load", "split", "leaves", "polish", "certify", "write"] {
            assert!(summary["seconds"].as_object().unwrap().contains_key(key), "{key}");
        }
        assert!(summary["levels"].is_array() && summary["polish"].is_array() && summary["termination"].is_string());
        assert!(summary["peak_rss_bytes"].as_u64().unwrap() > 1 << 20);

        let batch = &pairs(&scratch.path("out/pairs.parquet"))[0];
        assert_eq!(batch.num_rows(), matched.len());
        let (x_index, y_index) =
            (batch.column(0).as_primitive::<UInt32Type>(), batch.column(1).as_primitive::<UInt32Type>());
        let cost = batch.column(2).as_primitive::<Float32Type>();
        for (row, &(i, j)) in matched.iter().enumerate() {
            assert_eq!((x_index.value(row) as usize, y_index.value(row) as usize), (i, j));
            assert!((f64::from(cost.value(row)) - squared(&x[i], &y[j])).abs() < 1e-6);
        }
        let config: toml::Table =
            toml::from_str(&fs::read_to_string(scratch.path("out/config.toml")).unwrap()).unwrap();
        assert_eq!(config["hiref"]["seed"].as_integer(), Some(5));
    }
}

#[test]
fn a_hidden_permutation_is_found_by_each_solver_and_cost() {
    let scratch = Scratch::new();
    let x: Vec<Vec<f32>> = (0..60u8).map(|i| vec![f32::from(i) + 1.0, (f32::from(i) * 0.4).sin() * 8.0]).collect();
    let hidden: Vec<usize> = (0..60).map(|i| i * 7 % 60).collect();
    let y: Vec<Vec<f32>> = (0..60).map(|j| x[hidden.iter().position(|&to| to == j).unwrap()].clone()).collect();
    let (x, y) = (scratch.npy("x.npy", &x), scratch.npy("y.npy", &y));
    for solver in ["hiref", "exact"] {
        for cost in ["sqeuclidean", "euclidean"] {
            let (found, summary) = pair(&scratch, &x, &y, &["--solver", solver, "--cost", cost, "--force"]);
            assert!(found.iter().zip(&hidden).all(|(&found, &hidden)| found as usize == hidden), "{solver} {cost}");
            assert_eq!(summary["mean_cost"], 0.0);
        }
    }
}

#[test]
fn the_distance_from_the_optimum_is_told_as_estimate_or_proof() {
    let scratch = Scratch::new();
    let (x, y) = (scratch.npy("x.npy", &cloud(1500, 1)), scratch.npy("y.npy", &cloud(1500, 2)));
    let run = |more: &[&str]| {
        let output = scratch.arg("out");
        let common = ["pair", "--x", &x, "--y", &y, "--output", &output, "--device", "cpu", "--force"];
        let run = himacl(&[&common[..], more].concat());
        let said = [run.stdout, run.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(run.status.code(), Some(0), "{said}");
        let summary = fs::read_to_string(scratch.path("out/summary.json")).unwrap();
        (said, serde_json::from_str::<Value>(&summary).unwrap())
    };
    for (more, rows) in [(&["--certify", "sampled"][..], 1024), (&["--certify", "sampled:200"], 200)] {
        let (said, summary) = run(&[&["--quality", "fast"], more].concat());
        let estimate = &summary["gap_estimate"];
        assert_eq!((&estimate["rows"], &estimate["confidence"]), (&rows.into(), &0.999.into()), "{more:?}: {estimate}");
        assert!(estimate["value"].as_f64() <= estimate["high"].as_f64() && summary["dual_bound"].is_null());
        assert!(said.contains(&format!("(estimated from {rows} rows)")) && !said.contains("proved"), "{said}");
    }
    let (said, summary) = run(&["--quality", "fast", "--certify"]);
    assert!(summary["gap_estimate"].is_null() && summary["relative_gap"].is_number() && said.contains("(proved)"));
    // Without the flag as with `sampled`.
    let (said, summary) = run(&["--quality", "fast"]);
    assert!(summary["gap_estimate"]["value"].is_number() && said.contains("(estimated from 1024 rows)"), "{said}");
    let (said, summary) = run(&["--quality", "fast", "--certify", "none"]);
    assert!(
        summary["gap_estimate"].is_null()
            && summary["relative_gap"].is_null()
            && said.contains("is not known: --certify"),
        "{said}"
    );
    // The exact end has proved it already.
    let (said, summary) = run(&[]);
    assert!(summary["gap_estimate"].is_null() && summary["relative_gap"].as_f64() < Some(1e-3), "{said}");
}

#[test]
fn the_same_seed_gives_the_same_bits_and_a_warm_start_keeps_the_optimum() {
    let scratch = Scratch::new();
    let (x, y) = (scratch.npy("x.npy", &cloud(300, 1)), scratch.npy("y.npy", &cloud(300, 2)));
    let (first, summary) = pair(&scratch, &x, &y, &["--threads", "1"]);
    let (second, _) = pair(&scratch, &x, &y, &["--threads", "2", "--force"]);
    assert_eq!(first, second);
    fs::rename(scratch.path("out"), scratch.path("before")).unwrap();
    let (_, warm) = pair(&scratch, &x, &y, &["--warm-start", &scratch.arg("before")]);
    assert!(warm["mean_cost"].as_f64().unwrap() <= summary["mean_cost"].as_f64().unwrap() * (1.0 + 1e-12));
}

#[test]
fn metadata_of_clip_retrieval_folders_goes_along() {
    let scratch = Scratch::new();
    // Eleven shards, so that shard 10 comes after shard 9 only in numeric order.
    for folder in ["img_emb", "text_emb", "metadata"] {
        fs::create_dir_all(scratch.path("set").join(folder)).unwrap();
    }
    for shard in 0..11u8 {
        let place = |row: u8| f32::from(shard * 2 + row);
        scratch.npy(&format!("set/img_emb/img_emb_{shard}.npy"), &[vec![place(0), 0.0], vec![place(1), 0.0]]);
        scratch.npy(
            &format!("set/text_emb/text_emb_{shard}.npy"),
            &[vec![21.0 - place(0), 1.0], vec![21.0 - place(1), 1.0]],
        );
        let names = |what: &str| {
            Arc::new(StringArray::from_iter_values((0..2).map(|row| format!("{what}{}", shard * 2 + row)))) as ArrayRef
        };
        let batch =
            RecordBatch::try_from_iter([("caption", names("caption ")), ("image_path", names("image "))]).unwrap();
        let file = File::create(scratch.path(&format!("set/metadata/metadata_{shard}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
    let (x, y) = (scratch.arg("set/img_emb"), scratch.arg("set"));
    let (found, _) = pair(&scratch, &x, &y, &["--y-key", "text_emb"]);
    assert_eq!(found, (0..22).rev().collect::<Vec<u32>>());
    let batches = pairs(&scratch.path("out/pairs.parquet"));
    let batch = &batches[0];
    let names: Vec<String> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["x_index", "y_index", "cost", "x_caption", "x_image_path", "y_caption", "y_image_path"]);
    let (images, captions) = (batch.column(4).as_string::<i32>(), batch.column(5).as_string::<i32>());
    for row in 0..22 {
        assert_eq!(images.value(row), format!("image {row}"));
        assert_eq!(captions.value(row), format!("caption {}", 21 - row));
    }
}

#[test]
fn columns_beside_the_embeddings_of_tables_go_along() {
    let scratch = Scratch::new();
    let lists = |rows: &[[f32; 2]]| {
        let rows = rows.iter().map(|row| Some(row.map(Some)));
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows)) as ArrayRef
    };
    let texts = |texts: [&str; 3]| Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
    let x = [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]];
    let columns = [("caption", texts(["a", "b", "c"])), ("emb", lists(&x)), ("other", lists(&x))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(scratch.path("x.parquet")).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let both = StructArray::from(RecordBatch::try_from_iter([("name", texts(["p", "q", "r"]))]).unwrap());
    let y = [[2.0, 1.0], [0.0, 1.0], [1.0, 1.0]];
    let columns = [("emb", lists(&y)), ("caption", texts(["u", "v", "w"])), ("both", Arc::new(both) as ArrayRef)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = FileWriter::try_new(File::create(scratch.path("y.arrow")).unwrap(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();

    let (x, y) = (scratch.arg("x.parquet"), scratch.arg("y.arrow"));
    let (found, _) = pair(&scratch, &x, &y, &["--x-key", "emb"]);
    assert_eq!(found, [1, 2, 0]);
    let batches = pairs(&scratch.path("out/pairs.parquet"));
    let names: Vec<String> = batches[0].schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["x_index", "y_index", "cost", "x_caption", "y_caption", "both"]);
    let captions = |column: usize| batches[0].column(column).as_string::<i32>().iter().flatten().collect::<String>();
    assert_eq!([captions(3), captions(4)], ["abc", "vwu"]);
    let names = batches[0].column(5).as_struct().column(0).as_string::<i32>();
    assert_eq!(names.iter().flatten().collect::<String>(), "qrp");
    // What cannot be read is refused before work.
    let whole = fs::read(scratch.path("y.arrow")).unwrap();
    fs::write(scratch.path("y.arrow"), &whole[..whole.len() / 2]).unwrap();
    let run = himacl(&["pair", "--x", &x, "--x-key", "emb", "--y", &y, "-o", &scratch.arg("other")]);
    let message = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{message}");
    assert!(message.contains("y.arrow`: its footer is missing") && !scratch.path("other").exists(), "{message}");
}

#[test]
fn dear_pairs_are_rejected_and_the_rest_is_listed_by_id() {
    let scratch = Scratch::new();
    for folder in ["img_emb", "metadata"] {
        fs::create_dir_all(scratch.path("set").join(folder)).unwrap();
    }
    // Points on a line; every tenth has its partner far away, above it.
    let n: u16 = 40;
    let far = |i: u16| i % 10 == 9;
    let x: Vec<Vec<f32>> = (0..n).map(|i| vec![f32::from(i), 0.0]).collect();
    let y: Vec<Vec<f32>> = (0..n).map(|i| vec![f32::from(i), if far(i) { 0.4 } else { 0.1 }]).collect();
    scratch.npy("set/img_emb/img_emb_0.npy", &x);
    let y = scratch.npy("y.npy", &y);
    let write_ids = |id: &dyn Fn(u16) -> String| {
        let ids = Arc::new(StringArray::from_iter_values((0..n).map(id))) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("uid", ids)]).unwrap();
        let file = File::create(scratch.path("set/metadata/metadata_0.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    };
    // Falling ids, so that they have to be sorted.
    write_ids(&|i| format!("{:016x}{:016x}", 1, 1000 - i));
    let more = ["--max-cost-quantile", "0.9", "--uids", "x"];
    let (found, summary) = pair(&scratch, &scratch.arg("set"), &y, &more);
    assert_eq!(found, (0..u32::from(n)).collect::<Vec<u32>>(), "the permutation stays whole");
    assert_eq!((&summary["rejection"]["num_kept"], &summary["num_pairs"]), (&36.into(), &40.into()));
    let kept = summary["rejection"]["mean_cost"].as_f64().unwrap();
    assert!((kept - 0.01).abs() < 1e-6 && summary["mean_cost"].as_f64().unwrap() > 0.02, "{summary}");
    let batches = pairs(&scratch.path("out/pairs.parquet"));
    let listed: Vec<u32> =
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<UInt32Type>().values().to_vec()).collect();
    assert_eq!(listed, (0..u32::from(n)).filter(|&i| !far(i as u16)).collect::<Vec<_>>());
    // As `numpy.save` writes the type "u8,u8": a header that ends at byte 128, then the pairs.
    let bytes = fs::read(scratch.path("out/uids.npy")).unwrap();
    assert!(String::from_utf8_lossy(&bytes[..128]).contains("'descr': [('f0', '<u8'), ('f1', '<u8')]"));
    let words: Vec<u64> = bytes[128..].as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let expected = (0..n).rev().filter(|&i| !far(i)).flat_map(|i| [1, 1000 - u64::from(i)]);
    assert_eq!(words, expected.collect::<Vec<_>>());

    write_ids(&|i| if i == 3 { "12".to_owned() } else { format!("{i:032x}") });
    let refuse = |more: &[&str]| {
        let (x, output) = (scratch.arg("set"), scratch.arg("refused"));
        let run = himacl(&[&["pair", "--x", &x, "--y", &y, "--output", &output, "--device", "cpu"], more].concat());
        assert_eq!(run.status.code(), Some(2));
        assert!(!scratch.path("refused").exists(), "nothing is written");
        String::from_utf8(run.stderr).unwrap()
    };
    assert!(refuse(&["--uids", "x"]).contains("row 3"));
    assert!(refuse(&["--uids", "y"]).contains("no column `uid`"));
    assert!(refuse(&["--max-cost-quantile", "1.5"]).contains("at most 1"));
}

/// A heap in which everything is near to everything, and ten pairs far from all others, somewhat apart.
#[test]
fn pairs_that_stand_out_are_kept_by_margin() {
    let scratch = Scratch::new();
    let heap = |step: u16| (0..30u16).map(move |i| vec![0.01 * f32::from(i * step % 31), 0.01 * f32::from(i % 7)]);
    let alone = |above: f32| (1..=10u16).map(move |i| vec![100.0 * f32::from(i), above]);
    let x = scratch.npy("x.npy", &heap(5).chain(alone(0.0)).collect::<Vec<_>>());
    let y = scratch.npy("y.npy", &heap(11).chain(alone(1.0)).collect::<Vec<_>>());
    let (found, summary) = pair(&scratch, &x, &y, &["--keep-by-margin", "0.25"]);
    assert_eq!(found[30..], (30..40).collect::<Vec<u32>>());
    let rejection = &summary["rejection"];
    assert_eq!((&rejection["by"], &rejection["num_kept"]), (&"margin".into(), &10.into()));
    assert!(rejection["largest_cost"].is_null() && rejection["least_margin"].as_f64().unwrap() > 1e4, "{rejection}");
    let batches = pairs(&scratch.path("out/pairs.parquet"));
    let listed = batches[0].column_by_name("x_index").unwrap().as_primitive::<UInt32Type>().values().to_vec();
    assert_eq!(listed, (30..40).collect::<Vec<u32>>());
    let margins = batches[0].column_by_name("margin").unwrap().as_primitive::<Float32Type>();
    assert!(margins.values().iter().all(|&margin| margin > 1e4));

    // Alone, the flag keeps all pairs; without it there is no such column.
    let columns = |more: &[&str]| {
        pair(&scratch, &x, &y, &[more, &["--force"]].concat());
        let batches = pairs(&scratch.path("out/pairs.parquet"));
        (batches[0].num_rows(), batches[0].column_by_name("margin").is_some())
    };
    assert_eq!((columns(&["--margin"]), columns(&[])), ((40, true), (40, false)));
}

#[test]
fn safetensors_half_precision_and_transforms() {
    use safetensors::{Dtype, serialize_to_file, tensor::TensorView};
    let scratch = Scratch::new();
    let (x, shift) = (cloud(40, 3), 100.0);
    let y: Vec<Vec<f32>> = x.iter().rev().map(|row| row.iter().map(|value| value + shift).collect()).collect();
    let bytes: Vec<u8> = x.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    let view = || TensorView::new(Dtype::F32, vec![40, 2], &bytes).unwrap();
    serialize_to_file([("a", view()), ("b", view())], None, &scratch.path("x.safetensors")).unwrap();
    let y = scratch.npy("y.npy", &y);
    let (found, summary) = pair(&scratch, &scratch.arg("x.safetensors"), &y, &["--x-key", "b", "--center"]);
    assert_eq!(found, (0..40).rev().collect::<Vec<u32>>());
    assert!(summary["mean_cost"].as_f64().unwrap() < 1e-8);
}

#[test]
fn force_overwrites_and_a_finished_run_is_not_resumed() {
    let scratch = Scratch::new();
    let (x, y) = (scratch.npy("x.npy", &cloud(20, 1)), scratch.npy("y.npy", &cloud(20, 2)));
    let (first, _) = pair(&scratch, &x, &y, &[]);
    let (again, _) = pair(&scratch, &x, &y, &["--force"]);
    assert_eq!(first, again);
    let output = scratch.arg("out");
    let before = fs::read(scratch.path("out/summary.json")).unwrap();
    let arguments = ["pair", "--x", &x, "--y", &y, "-o", &output, "--device", "cpu", "--resume"];
    let run = himacl(&arguments);
    assert_eq!(run.status.code(), Some(0));
    assert!(String::from_utf8(run.stdout).unwrap().contains("is finished already"));
    assert_eq!(fs::read(scratch.path("out/summary.json")).unwrap(), before);
    let other = himacl(&[&arguments[..], &["--cost", "euclidean"]].concat());
    assert_eq!(other.status.code(), Some(2));
    let message = String::from_utf8(other.stderr).unwrap();
    assert!(message.contains("was made with cost = \"sqeuclidean\", this run has cost = \"euclidean\""), "{message}");
}

#[test]
fn progress_as_json_is_one_object_a_line() {
    let scratch = Scratch::new();
    let (x, y) = (scratch.npy("x.npy", &cloud(50, 1)), scratch.npy("y.npy", &cloud(50, 2)));
    let output = scratch.arg("out");
    let run =
        himacl(&["pair", "--x", &x, "--y", &y, "-o", &output, "--device", "cpu", "--progress", "json", "--quiet"]);
    assert_eq!(run.status.code(), Some(0));
    let text = String::from_utf8(run.stderr).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(events.iter().any(|event| event["event"] == "finished" && event["task"] == "leaves"), "{text}");
}
