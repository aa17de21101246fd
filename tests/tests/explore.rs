//! `himacl explore`, `explain`, `search` and `plot` as a user runs them; pages are opened in a browser by `scripts/browser/test.sh`.

use himacl::data::files::read_json;
use himacl::data::{Embeddings, write_npy_f32};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

const ROWS: usize = 90;

/// Three kinds of items on both sides, with texts; and their pairing.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let mut state = 7u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let at = |row: usize, k: usize| if row % 3 == k { 4.0 } else { 0.0 } + (row * (k + 3) % 17) as f32 / 17.0;
        let mut side = || (0..ROWS * 4).map(|at_| at(at_ / 4, at_ % 4) + 0.2 * noise()).collect::<Vec<f32>>();
        for name in ["x.npy", "y.npy"] {
            write_npy_f32(&place.path(name), &side(), &[ROWS, 4]).unwrap();
        }
        let texts: Vec<String> = (0..ROWS).map(|row| format!("a {} {row}", ["cat", "dog", "boat"][row % 3])).collect();
        fs::write(place.path("texts.txt"), texts.join("\n")).unwrap();
        place.succeed("pair --x x.npy --y y.npy --output pairs");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_himacl-under-test"));
        command.args(line.split(' ')).current_dir(self.0.path()).output().unwrap()
    }

    fn succeed(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refuse(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn explanations_are_data_with_texts_and_rows() {
    let place = Place::new();
    let text = place.succeed("explain --pairs pairs --x 4 --y 8 --x-texts texts.txt --y-texts texts.txt --json -k 3");
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let [of_x, of_y] = &all[..] else { panic!("{all:?}") };
    assert_eq!((&of_x["x"]["row"], &of_x["x"]["text"]), (&4.into(), &"a dog 4".into()));
    assert_eq!(of_y["y"]["row"], 8);
    for found in &all {
        assert_eq!(found["runners_up_of_x"].as_array().unwrap().len(), 3);
        assert!(found["reduced_cost"].as_f64().unwrap().abs() < 1e-6 && found["margin"].as_f64().unwrap() > -1e-6);
        assert_eq!(found["path"].as_array().unwrap().len(), 5);
        let first = &found["directions"][0];
        let words = first[first["towards"].as_str().unwrap()]["words"].to_string();
        let kind = found["x"]["text"].as_str().unwrap().split(' ').nth(1).unwrap();
        assert!(words.contains(kind), "{words} do not name the kind {kind}");
    }
    let told = place.succeed("explain --pairs pairs --x 4 --x-texts texts.txt");
    assert!(told.starts_with("x row 4 `a dog 4`\ny row ") && told.contains("x might have had"), "{told}");
    let error = place.refuse("explain --pairs pairs --x 90");
    assert!(error.contains("row 90 of x is not there: x of `pairs` has 90 rows") && error.contains("hint:"), "{error}");
    let error = place.refuse("explain --pairs pairs");
    assert!(error.contains("--x <ROW>") && error.contains("--y <ROW>"), "{error}");
    let error = place.refuse("explain --pairs pairs --x 1 --x-texts pairs/permutation.npy");
    assert!(error.contains("lines") && error.contains("expected 90"), "{error}");
    assert!(place.refuse("explain --pairs pairs --x 1 --y-images nowhere").contains("have no column `nowhere`"));
}

#[test]
fn a_page_and_a_table_are_written_and_nothing_else_is_replaced() {
    let place = Place::new();
    place.succeed("explore --pairs pairs --x-texts texts.txt --atlas items.parquet -o page.html");
    place.succeed("explore --pairs pairs --max-pairs 20 -o page.html");
    let html = fs::read_to_string(place.path("page.html")).unwrap();
    assert!(html.contains("id=\"data\"") && html.contains("90 pairs of 90 x and 90 y points"));
    assert!(place.refuse("explore --pairs pairs -o texts.txt").contains("is not a page of"));
    assert!(place.refuse("explore --pairs pairs --atlas items.parquet -o page.html").contains("exists"));
    place.succeed("explore --pairs pairs --atlas items.parquet --force -o page.html");
    // Places of 90 items on either side.
    let rows = himacl::data::Table::open_file(&place.path("items.parquet")).unwrap();
    let names: Vec<&str> = rows.schema().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "side", "row", "x", "y", "text", "image", "partner", "partner_text", "cost"]);
    assert_eq!(rows.num_rows(), 180);
    assert!(place.refuse("explore --pairs . -o page2.html").contains("config.toml"));
}

/// A table with one row for each item: three kinds as a dictionary, their weights, of which one is missing.
fn write_metadata(path: &std::path::Path) {
    use arrow_array::types::Int32Type;
    use arrow_array::{ArrayRef, BooleanArray, DictionaryArray, Float64Array, RecordBatch};
    let kinds: DictionaryArray<Int32Type> = (0..ROWS).map(|row| ["cat", "dog", "boat"][row % 3]).collect();
    let weights: Float64Array = (0..ROWS).map(|row| (row > 0).then_some(row as f64 / 8.0)).collect();
    let old: BooleanArray = (0..ROWS).map(|row| Some(row % 2 == 0)).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("kind", std::sync::Arc::new(kinds)),
        ("cost", std::sync::Arc::new(weights)),
        ("old", std::sync::Arc::new(old)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn columns_of_the_metadata_are_shown_and_compared() {
    let place = Place::new();
    write_metadata(&place.path("table.parquet"));
    let both = "--x-metadata table.parquet --y-metadata table.parquet";
    place.succeed(&format!(
        "explore --pairs pairs {both} --colour kind --color cost --colour old --atlas items.parquet -o page.html"
    ));
    let html = fs::read_to_string(place.path("page.html")).unwrap();
    // The kinds are apart in space, so that every partner is of the same kind.
    let same = "90 of 90 pairs (100.0%) have the same value on both sides; of pairs made at random 33.3% would.";
    assert!(html.contains("By kind") && html.contains(same) && html.contains("Over 8"), "{}", &html[html.len() / 2..]);
    let rows = himacl::data::Table::open_file(&place.path("items.parquet")).unwrap();
    let names: Vec<&str> = rows.schema().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names[9..], ["cost", "kind", "cost (metadata)", "old"]);
    let items = himacl::data::Metadata::open(&place.path("items.parquet")).unwrap();
    let kinds = items.text_column("kind").unwrap();
    assert_eq!((kinds[1].as_deref(), kinds[ROWS + 2].as_deref()), (Some("dog"), Some("boat")));
    let Some(himacl::data::ColumnValues::Numbers(weights)) = items.values("cost (metadata)") else {
        panic!("no numbers")
    };
    assert_eq!((weights[0], weights[ROWS + 4]), (None, Some(0.5)));

    place.succeed("explore --pairs pairs --x-metadata table.parquet --colour old -o page.html");
    let html = fs::read_to_string(place.path("page.html")).unwrap();
    assert!(html.contains("By old") && !html.contains("have the same value"));
    let error = place.refuse(&format!("explore --pairs pairs {both} --colour colour -o page.html"));
    assert!(error.contains("no metadata have a column `colour`") && error.contains("`old: Boolean`"), "{error}");
    let error = place.refuse("explore --pairs pairs --colour kind -o page.html");
    assert!(error.contains("those of x have: nothing") && error.contains("--x-metadata"), "{error}");
    himacl::data::files::write_text(&place.path("short.txt"), "no table").unwrap();
    place.refuse("explore --pairs pairs --x-metadata short.txt --colour kind -o page.html");
    let error = place.refuse("explore --pairs pairs --x-metadata pairs/nowhere.parquet --colour kind -o page.html");
    assert!(error.contains("nowhere.parquet"), "{error}");
}

#[test]
fn single_items_of_a_partial_pairing_are_shown_with_what_they_might_have_had() {
    let place = Place::new();
    place.succeed("pair --x x.npy --y y.npy --pairs 60 --output some");
    let partners = himacl::data::read_npy_u32(&place.path("some/permutation.npy")).unwrap();
    let single = partners.iter().position(|&partner| partner == u32::MAX).unwrap();
    let paired = partners.iter().position(|&partner| partner != u32::MAX).unwrap();
    place.succeed("explore --pairs some --atlas items.parquet -o page.html");
    let html = fs::read_to_string(place.path("page.html")).unwrap();
    assert!(html.contains("60 pairs of 90 x and 90 y points"), "{}", &html[..2000.min(html.len())]);
    let items = himacl::data::Metadata::open(&place.path("items.parquet")).unwrap();
    let Some(himacl::data::ColumnValues::Numbers(of_items)) = items.values("partner") else { panic!("no partners") };
    assert_eq!(of_items[single], None);
    assert_eq!(of_items.iter().flatten().count(), 120);
    let explain = |side: &str, row: usize| -> Vec<Value> {
        serde_json::from_str(&place.succeed(&format!("explain --pairs some --{side} {row} --json"))).unwrap()
    };
    let found = &explain("x", paired)[0];
    assert_eq!((&found["x"]["row"], &found["y"]["row"]), (&paired.into(), &partners[paired].into()));
    // A partner is dearer than the price of two singles; half of it is what the item costs as it is.
    let summary: Value = read_json(&place.path("some/summary.json")).unwrap();
    let found = &explain("x", single)[0];
    assert_eq!((&found["single"], &found["x"]["row"], &found["y"]), (&"x".into(), &single.into(), &Value::Null));
    let runners_up = found["runners_up_of_x"].as_array().unwrap();
    assert!(runners_up.len() == 5 && found["margin"] == runners_up[0]["reduced_cost"]);
    for rival in runners_up {
        let (cost, dearer) = (rival["cost"].as_f64().unwrap(), rival["reduced_cost"].as_f64().unwrap());
        // The rival is single or has a partner that is worth more.
        assert!(dearer > -1e-4 && cost - dearer <= summary["unmatched_cost"].as_f64().unwrap() + 1e-4, "{rival}");
    }
    let told = place.succeed(&format!("explain --pairs some --x {single}"));
    assert!(told.contains("single, margin") && told.contains("x might have had"), "{told}");
    place.succeed("explore --pairs some --max-pairs 30 -o page.html");
}

#[test]
fn all_partners_of_an_item_are_shown() {
    let place = Place::new();
    // Thirty x, three around each of ten y; two of them far from all, which stay single.
    let x: Vec<f32> = (0..30).flat_map(|i| [10.0 * (i / 3) as f32 + 0.1 * (i % 3) as f32, 0.0]).collect();
    let y: Vec<f32> = (0..10).flat_map(|j| [10.0 * j as f32, 0.0]).chain([500.0, 0.0]).collect();
    let x = [x, vec![0.0, 900.0, 0.0, 901.0]].concat();
    write_npy_f32(&place.path("a.npy"), &x, &[32, 2]).unwrap();
    write_npy_f32(&place.path("b.npy"), &y, &[11, 2]).unwrap();
    let texts: Vec<String> = (0..11).map(|j| format!("place {j}")).collect();
    fs::write(place.path("places.txt"), texts.join("\n")).unwrap();
    for (certify, folder) in [("", "several"), (" --certify", "proved")] {
        place.succeed(&format!(
            "pair --x a.npy --y b.npy --y-capacity 3 --unmatched-cost 50{certify} --output {folder}"
        ));
        assert!(!place.path(folder).join("permutation.npy").exists());
        let explain = |what: &str| -> Vec<Value> {
            let line = format!("explain --pairs {folder} --y-texts places.txt {what} --json");
            serde_json::from_str(&place.succeed(&line)).unwrap()
        };
        let found = explain("--y 4");
        let rows = |found: &[Value]| found.iter().map(|pair| pair["x"]["row"].as_u64().unwrap()).collect::<Vec<_>>();
        assert_eq!(rows(&found), [12, 13, 14]);
        let others = found[0]["other_partners_of_y"].as_array().unwrap();
        assert_eq!((rows(&found[1..]), others.len()), (vec![13, 14], 2));
        assert_eq!((&others[0]["row"], &others[1]["row"]), (&13.into(), &14.into()));
        assert_eq!(found[0]["other_partners_of_x"], Value::Array(Vec::new()));
        // Without it the x is single and costs half of 50, the y's place as much again: nothing else is as near.
        let margin = found[0]["margin"].as_f64().unwrap();
        assert!((margin - 50.0).abs() < 0.1, "{margin}");
        let single = &explain("--x 31")[0];
        assert_eq!((&single["single"], &single["nearest_of_x"]["text"]), (&"x".into(), &"place 0".into()));
        let told = place.succeed(&format!("explain --pairs {folder} --y 4"));
        assert!(told.contains("other partners of y: row 13; row 14"), "{told}");
        place.succeed(&format!("explore --pairs {folder} -o {folder}.html"));
        place.succeed(&format!("explore --pairs {folder} --max-pairs 12 -o sample.html"));
        place.succeed(&format!("plot --pairs {folder} --kind levels -o {folder}.svg"));
    }
}

#[test]
fn pictures_of_every_kind_are_drawn() {
    let place = Place::new();
    for (kind, file) in [("lines", "a.svg"), ("displacement", "b.png"), ("levels", "c.svg")] {
        place.succeed(&format!("plot --pairs pairs --kind {kind} -o {file}"));
    }
    let lines = fs::read_to_string(place.path("a.svg")).unwrap();
    // With those that say what discs and rings are.
    assert_eq!(lines.matches("<circle").count(), 2 * ROWS + 2);
    assert!(lines.matches("<polyline").count() >= ROWS);
    // Where each x is mapped to, which is a row for each row of x.
    let flat: Vec<f32> = (0..2 * ROWS).map(|at| at as f32).collect();
    for name in ["p.npy", "q.npy"] {
        write_npy_f32(&place.path(name), &flat, &[ROWS, 2]).unwrap();
    }
    write_npy_f32(&place.path("short.npy"), &flat[..60], &[30, 2]).unwrap();
    place.succeed("pair --x p.npy --y q.npy --output plane");
    place.succeed("plot --pairs plane --mapped q.npy -o mapped.svg");
    let error = place.refuse("plot --pairs plane --mapped short.npy -o short.svg");
    assert!(error.contains("`short.npy` has 30 rows, expected 90"), "{error}");
    let error = place.refuse("plot --pairs plane --mapped x.npy -o wide.svg");
    assert!(error.contains("`x.npy` has 4 coordinates, expected 2"), "{error}");
    let error = place.refuse("plot --pairs pairs --mapped y.npy -o wide.svg");
    assert!(error.contains("`y.npy` has 4 coordinates: places can be drawn in 3 at most"), "{error}");
    assert!(!place.path("short.svg").exists() && !place.path("wide.svg").exists());
    assert!(place.refuse("plot --pairs pairs -o a.svg").contains("exists"));
    assert!(place.refuse("plot --pairs pairs -o a.jpg").contains("neither .svg nor .png"));
}

#[test]
fn search_finds_what_the_map_leads_to() {
    let place = Place::new();
    let recipe = "[data]\nsource = \"x.npy\"\ntarget = \"y.npy\"\nhide_pairs = true\nanchors = 30\nheld_out = 20\n\
        [alignment]\nmode = \"anchors\"\n[map]\ninverse = true\n[train]\nepochs = 1\n[output]\ndir = \"run\"\n";
    fs::write(place.path("recipe.toml"), recipe).unwrap();
    place.succeed("train --config recipe.toml");
    let found: Vec<Value> =
        serde_json::from_str(&place.succeed(
            "search --run run --embedding x.npy --side source --y-texts texts.txt -k 5 --json --html hits.html",
        ))
        .unwrap();
    assert_eq!(found.len(), ROWS);
    let same = |(row, answer): (usize, &Value)| answer["hits"][0]["row"].as_u64().unwrap() as usize % 3 == row % 3;
    let right = found.iter().enumerate().filter(|&entry| same(entry)).count();
    assert!(right > 80, "{right} of 90 found an item of their kind first");
    assert!(found[1]["hits"][0]["text"].as_str().unwrap().starts_with("a "));
    assert!(fs::read_to_string(place.path("hits.html")).unwrap().contains("x.npy, row 7"));
    // Rows of one side in the place of the run's own.
    let x = Embeddings::open(&place.path("y.npy"), None).unwrap().to_vec().unwrap();
    write_npy_f32(&place.path("few.npy"), &x[..12], &[3, 4]).unwrap();
    let line = "search --run run --embedding few.npy --side target --over few.npy -k 9 --json";
    let found: Vec<Value> = serde_json::from_str(&place.succeed(line)).unwrap();
    assert_eq!(found[0]["hits"].as_array().unwrap().len(), 3);
    assert!(place.refuse("search --run run --embedding few.npy").contains("may be of either"));
    assert!(place.refuse("search --run run --text word").contains("--source-encoder"));
    let summary: Value = read_json(&place.path("run/summary.json")).unwrap();
    assert!(summary.is_object());
    place.succeed("explain --run run --x 3");
    place.succeed("explore --run run -o run.html");
    write_metadata(&place.path("table.parquet"));
    place.succeed("report --run run --x-metadata table.parquet --y-metadata table.parquet --colour kind -o told.html");
    let html = fs::read_to_string(place.path("told.html")).unwrap();
    assert!(html.contains("By kind") && html.contains("have the same value on both sides"));
}

#[test]
fn what_was_not_kept_is_told_or_left_out() {
    let place = Place::new();
    for (flags, folder) in [("--max-cost-quantile 0.8", "cheap"), ("--keep-by-margin 0.5", "clear")] {
        let told = place.succeed(&format!("pair --x x.npy --y y.npy {flags} --output {folder}"));
        let summary: Value = read_json(&place.path(&format!("{folder}/summary.json"))).unwrap();
        let kept = summary["rejection"]["num_kept"].as_u64().unwrap();
        assert!(told.contains("90 pairs, mean") && told.contains(&format!("{kept} of 90 pairs kept (")), "{told}");
        let listed = himacl::data::read_candidates(&place.path(&format!("{folder}/pairs.parquet"))).unwrap().pairs;
        assert_eq!(listed.len() as u64, kept);
        let of_x: Vec<u32> = listed.iter().map(|pair| pair.0).collect();
        let out = (0..ROWS as u32).find(|row| !of_x.contains(row)).unwrap();
        for (row, is_kept) in [(of_x[0], true), (out, false)] {
            let line = format!("explain --pairs {folder} --x {row}");
            let found: Vec<Value> = serde_json::from_str(&place.succeed(&format!("{line} --json"))).unwrap();
            assert_eq!(found[0]["kept"], is_kept, "{folder} {row}");
            assert_eq!(place.succeed(&line).contains("not kept: left out of pairs.parquet"), !is_kept);
        }
        let told = place.succeed(&format!("explore --pairs {folder} --atlas {folder}.parquet -o {folder}.html"));
        assert!(told.contains(&format!("{kept} pairs ({} pairs not kept and left out)", 90 - kept)), "{told}");
        let items = himacl::data::Metadata::open(&place.path(&format!("{folder}.parquet"))).unwrap();
        let Some(himacl::data::ColumnValues::Numbers(rows)) = items.values("row") else { panic!("no rows") };
        assert_eq!(rows.len() as u64, 2 * kept);
        assert!(!rows[..kept as usize].contains(&Some(f64::from(out))));
        let told = place.succeed(&format!("plot --pairs {folder} -o {folder}.svg"));
        assert!(told.contains(&format!("{kept} of {kept} pairs")), "{told}");
    }
    assert!(!place.succeed("explain --pairs pairs --x 3 --json").contains("kept"));
}

#[test]
fn pairings_without_points_are_named_as_such() {
    let place = Place::new();
    write_npy_f32(&place.path("costs.npy"), &[1.0, 2.0, 3.0, 1.0], &[2, 2]).unwrap();
    place.succeed("pair --cost-matrix costs.npy --output given");
    fs::create_dir(place.path("saved")).unwrap();
    for file in ["permutation.npy", "summary.json"] {
        fs::copy(place.path("pairs").join(file), place.path("saved").join(file)).unwrap();
    }
    for command in ["explore", "explain --x 0", "plot -o a.svg"] {
        let error = place.refuse(&format!("{command} --pairs given"));
        assert!(error.contains("`given` holds a matching of given costs, without points"), "{error}");
        let error = place.refuse(&format!("{command} --pairs saved"));
        assert!(
            error.contains("`saved` does not say of which points") && error.contains("himacl.Explainer"),
            "{error}"
        );
    }
}
