//! The pipeline with a model whose output tells on any change of batches.

use super::*;
use crate::error::Error;
use crate::readers::{Dataset, Modality, ReadOptions};
use himacl_data::Embeddings;
use himacl_data::output::Existing;
use image::DynamicImage;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Texts become (length, position in the batch, size of the batch): the last two change with the composition of batches.
struct Telltale {
    /// Batches after which the model fails; 0 for never.
    fail_after: usize,
    batches: AtomicUsize,
    /// Padding that a batch needs, and tokens in all.
    padded: AtomicU64,
    tokens: AtomicU64,
}

impl Telltale {
    fn new(fail_after: usize) -> Self {
        Self { fail_after, batches: AtomicUsize::new(0), padded: AtomicU64::new(0), tokens: AtomicU64::new(0) }
    }

    fn encode(&self, lengths: &[usize]) -> Result<Vec<f32>, Error> {
        let batch = self.batches.fetch_add(1, Ordering::SeqCst) + 1;
        if self.fail_after > 0 && batch > self.fail_after {
            return Err(candle_core::Error::Msg("killed".to_owned()).into());
        }
        // Batches overtake one another.
        std::thread::sleep(Duration::from_micros(if batch.is_multiple_of(2) { 300 } else { 0 }));
        let longest = lengths.iter().max().copied().unwrap_or_default();
        self.padded.fetch_add((longest * lengths.len()) as u64, Ordering::Relaxed);
        self.tokens.fetch_add(lengths.iter().sum::<usize>() as u64, Ordering::Relaxed);
        let row = |(position, &length): (usize, &usize)| [length as f32, position as f32, lengths.len() as f32];
        Ok(lengths.iter().enumerate().flat_map(row).collect())
    }
}

impl EmbedModel for Telltale {
    type Pixels = usize;
    type Tokens = usize;

    fn image_dimension(&self) -> Option<usize> {
        Some(3)
    }

    fn text_dimension(&self) -> Option<usize> {
        Some(3)
    }

    fn preprocess(&self, _: &[u8], image: &DynamicImage) -> Result<usize, Error> {
        Ok(image.width() as usize)
    }

    fn tokenize(&self, text: &str) -> Result<usize, Error> {
        Ok(text.len())
    }

    fn num_tokens(&self, tokens: &usize) -> usize {
        *tokens
    }

    fn encode_images(&self, batch: &[usize]) -> Result<Vec<f32>, Error> {
        self.encode(batch)
    }

    fn encode_texts(&self, batch: &[usize]) -> Result<Vec<f32>, Error> {
        self.encode(batch)
    }
}

fn options(modality: Modality) -> ReadOptions {
    ReadOptions { modality, image_column: None, caption_column: None }
}

/// Captions of lengths that jump about; every 37th line is empty.
fn captions(folder: &Path, count: usize) -> PathBuf {
    let line = |index: usize| if index % 37 == 36 { String::new() } else { "x".repeat(1 + index * 7919 % 97) };
    let path = folder.join("captions.txt");
    fs::write(&path, (0..count).map(|index| line(index) + "\n").collect::<String>()).unwrap();
    path
}

fn run(
    input: &Path,
    output: &Path,
    params: &EmbedParams,
    fail_after: usize,
    existing: Existing,
) -> Result<EmbedOutput, Error> {
    let dataset = Dataset::open(vec![input.to_path_buf()], options(params.modality)).unwrap();
    embed(&Telltale::new(fail_after), dataset, output, params, existing, &|_| (), &|| false)
}

/// Every file below a folder with its content.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                all.insert(path.strip_prefix(folder).unwrap().to_path_buf(), fs::read(&path).unwrap());
            }
        }
    }
    all
}

fn text_params() -> EmbedParams {
    let (batch_size, shard_size) = (4, 70);
    EmbedParams {
        modality: Modality::Text,
        batch_size,
        shard_size,
        max_error_rate: 0.1,
        normalize: false,
        ..EmbedParams::default()
    }
}

#[test]
fn rows_keep_the_order_of_the_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let input = captions(folder.path(), 300);
    let output = folder.path().join("out");
    let done = run(&input, &output, &text_params(), 0, Existing::Refuse).unwrap();
    assert_eq!((done.records, done.rows, done.skipped, done.shards), (300, 292, 8, 5));
    let embeddings = Embeddings::open(&output, None).unwrap();
    let expected: Vec<usize> = (0..300).filter(|index| index % 37 != 36).map(|index| 1 + index * 7919 % 97).collect();
    let lengths: Vec<usize> = embeddings.to_vec().unwrap().chunks(3).map(|row| row[0] as usize).collect();
    assert_eq!(lengths, expected);
    let metadata = embeddings.metadata().unwrap().unwrap();
    let columns = metadata.take(&[0, 36]).unwrap();
    let keys = arrow_array::cast::AsArray::as_string::<i32>(&columns[2]);
    assert_eq!((keys.value(0), keys.value(1)), ("0", "37"), "row 36 is line 37: line 36 is empty");
    let errors = fs::read_to_string(output.join("errors.jsonl")).unwrap();
    assert_eq!(errors.lines().count(), 8);
    assert_eq!(
        errors.lines().next().unwrap(),
        r#"{"position":36,"key":"36","reason":"no caption: the line is empty"}"#
    );
}

#[test]
fn killed_and_resumed_runs_give_the_same_bytes_with_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let input = captions(folder.path(), 300);
    let reference = folder.path().join("reference");
    run(&input, &reference, &text_params(), 0, Existing::Refuse).unwrap();
    let expected = contents(&reference);
    assert_eq!(expected.len(), 3 * 5 + 1);
    for (workers, parallel_batches) in [(1, 3), (4, 1), (3, 2)] {
        let output = folder.path().join(format!("out-{workers}"));
        let params = EmbedParams { workers, parallel_batches, ..text_params() };
        let mut attempts = 0;
        // Each attempt gets some shards further; without a new shard it would never end.
        while run(&input, &output, &params, 23, Existing::Resume).is_err() {
            attempts += 1;
            assert!(attempts < 5, "no progress");
        }
        assert!(attempts > 0, "the model must have failed");
        assert_eq!(contents(&output), expected);
        let again = run(&input, &output, &params, 1, Existing::Resume).unwrap();
        assert_eq!((again.records, again.records_now), (300, 0));
        assert_eq!(contents(&output), expected);
    }
}

#[test]
fn shards_that_are_made_apart_are_those_of_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let input = captions(folder.path(), 300);
    let (whole, together) = (folder.path().join("whole"), folder.path().join("together"));
    run(&input, &whole, &text_params(), 0, Existing::Refuse).unwrap();
    // One more than there are.
    for shard in (0..6).rev() {
        let apart = folder.path().join(format!("apart-{shard}"));
        let params = EmbedParams { shards: Some(shard..shard + 1), ..text_params() };
        let done = run(&input, &apart, &params, 0, Existing::Refuse).unwrap();
        assert_eq!(done.shards - shard, usize::from(shard < 5));
        for (name, content) in contents(&apart) {
            fs::create_dir_all(together.join(&name).parent().unwrap()).unwrap();
            fs::write(together.join(name), content).unwrap();
        }
    }
    let done = run(&input, &together, &text_params(), 1, Existing::Resume).unwrap();
    assert_eq!((done.records, done.records_now, done.skipped), (300, 0, 8));
    assert_eq!(contents(&together), contents(&whole));
}

#[test]
fn a_damaged_shard_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let input = captions(folder.path(), 300);
    let output = folder.path().join("out");
    run(&input, &output, &text_params(), 0, Existing::Refuse).unwrap();
    let expected = contents(&output);
    fs::remove_file(output.join("metadata/metadata_2.parquet")).unwrap();
    // What a kill in the middle of writing leaves.
    fs::write(output.join("text_emb/.himacl-x1y2.tmp"), "half").unwrap();
    fs::write(output.join(".himacl-z3.tmp"), "half").unwrap();
    run(&input, &output, &text_params(), 0, Existing::Resume).unwrap();
    assert_eq!(contents(&output), expected);
    // A shorter dataset leaves nothing of the longer one behind.
    run(&captions(folder.path(), 100), &output, &text_params(), 0, Existing::Overwrite).unwrap();
    assert_eq!(Embeddings::open(&output, None).unwrap().num_rows(), 98);
}

#[test]
fn texts_of_like_length_share_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let input = captions(folder.path(), 1000);
    let padding = |window: usize| {
        let model = Telltale::new(0);
        // Batches of as many texts as the window holds are not sorted to any effect.
        let params = EmbedParams { batch_size: window, shard_size: 1000, ..text_params() };
        let dataset = Dataset::open(vec![input.clone()], options(Modality::Text)).unwrap();
        embed(&model, dataset, &folder.path().join(format!("w{window}")), &params, Existing::Refuse, &|_| (), &|| {
            false
        })
        .unwrap();
        model.padded.load(Ordering::Relaxed) as f64 / model.tokens.load(Ordering::Relaxed) as f64
    };
    let (sorted, unsorted) = (padding(16), padding(1000));
    assert!(sorted < 1.1 && unsorted > 1.8, "{sorted} {unsorted}");
}

#[test]
fn too_many_errors_end_the_run_and_a_higher_limit_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let input = captions(folder.path(), 300);
    let output = folder.path().join("out");
    let strict = EmbedParams { max_error_rate: 0.01, ..text_params() };
    let error = run(&input, &output, &strict, 0, Existing::Refuse).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("1 of 70 samples cannot be used, 1.43% where 1.00% are allowed; the first: `36`"),
        "{text}"
    );
    assert!(output.join("errors.jsonl").is_file());
    run(&input, &output, &text_params(), 0, Existing::Resume).unwrap();
    let reference = folder.path().join("reference");
    run(&input, &reference, &text_params(), 0, Existing::Refuse).unwrap();
    assert_eq!(contents(&output), contents(&reference));
}

#[test]
fn pictures_and_captions_stay_together() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in");
    fs::create_dir_all(&input).unwrap();
    for width in 1..=20u32 {
        let path = input.join(format!("{width:02}.png"));
        image::RgbImage::new(width, 2).save(&path).unwrap();
        // One picture is broken, one has no caption.
        match width {
            5 => fs::write(&path, "not a picture").unwrap(),
            9 => continue,
            _ => {}
        }
        fs::write(path.with_extension("txt"), "y".repeat(100 + width as usize)).unwrap();
    }
    let params = EmbedParams { modality: Modality::Both, shard_size: 7, max_error_rate: 0.5, ..text_params() };
    let output = folder.path().join("out");
    let done = run(&input, &output, &params, 0, Existing::Refuse).unwrap();
    assert_eq!((done.records, done.rows), (20, 18));
    let side = |kind: &str| Embeddings::open(&output, Some(kind)).unwrap().to_vec().unwrap();
    let widths: Vec<f32> = side("img_emb").chunks(3).map(|row| row[0]).collect();
    let lengths: Vec<f32> = side("text_emb").chunks(3).map(|row| row[0] - 100.0).collect();
    assert_eq!(widths, lengths);
    assert_eq!(widths, (1..=20).filter(|width| ![5, 9].contains(width)).map(|width| width as f32).collect::<Vec<_>>());
}

#[test]
fn a_panic_in_the_model_ends_the_run() {
    struct Panics;
    impl EmbedModel for Panics {
        type Pixels = ();
        type Tokens = ();
        fn image_dimension(&self) -> Option<usize> {
            None
        }
        fn text_dimension(&self) -> Option<usize> {
            Some(1)
        }
        fn preprocess(&self, _: &[u8], _: &DynamicImage) -> Result<(), Error> {
            Ok(())
        }
        fn tokenize(&self, _: &str) -> Result<(), Error> {
            Ok(())
        }
        fn num_tokens(&self, (): &()) -> usize {
            1
        }
        fn encode_images(&self, _: &[()]) -> Result<Vec<f32>, Error> {
            Ok(Vec::new())
        }
        fn encode_texts(&self, _: &[()]) -> Result<Vec<f32>, Error> {
            panic!("deliberate")
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let dataset = Dataset::open(vec![captions(folder.path(), 300)], options(Modality::Text)).unwrap();
    let params = EmbedParams { parallel_batches: 3, workers: 3, ..text_params() };
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        embed(&Panics, dataset, &folder.path().join("out"), &params, Existing::Refuse, &|_| (), &|| false).map(drop)
    }));
    assert!(ended.is_err(), "neither a hang nor a result");
}
