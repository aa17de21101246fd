//! Rounds of an encoder over fixed batches, beside which `scripts/peers/encoders.py` times `PyTorch` on the same weights.

use anyhow::{Context, ensure};
use candle_core::{DType, Device};
use clap::Args;
use himacl::encoder::registry::{self, Family};
use himacl::encoder::{Encoder, ImageEncoder, Pixels, TextEncoder, Tokens};
use serde::Serialize;
use std::fs;
use std::io::BufRead;
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `encoders`.
#[derive(Debug, Args)]
pub(crate) struct EncodersArgs {
    /// The family of the encoder.
    #[arg(long, value_enum)]
    family: Family,
    /// The folder with its files, by the Hub's names.
    #[arg(long)]
    folder: PathBuf,
    /// Texts, one a line; without them, made-up pictures.
    #[arg(long)]
    texts: Option<PathBuf>,
    /// Rows that go through the model at once.
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    /// Batches of pictures in a round.
    #[arg(long, default_value_t = 2)]
    batches: usize,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Timed rounds after one that is not timed; without it, one for each line on standard input.
    #[arg(long)]
    rounds: Option<usize>,
    /// Run on the first CUDA device, in bf16 with `--half`.
    #[arg(long)]
    cuda: bool,
    /// Compute in bf16.
    #[arg(long)]
    half: bool,
}

/// What is printed before the first timed round: what a round holds, and rows to compare with another program's.
#[derive(Debug, Serialize)]
struct Ready {
    rows: usize,
    batches: usize,
    first: Vec<Vec<f32>>,
}

#[derive(Debug, Serialize)]
struct Round {
    seconds: f64,
    rows_per_second: f64,
}

/// A round's batches.
enum Batches {
    Images(Vec<Vec<Pixels>>),
    Texts(Vec<Vec<Tokens>>),
}

/// Prints one JSON object for the preparation and one for each round.
pub(crate) fn run(args: &EncodersArgs) -> anyhow::Result<()> {
    ensure!(args.batch_size > 0 && args.batches > 0, "expected at least one row");
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).build_global()?;
    let device = if args.cuda { Device::new_cuda(0)? } else { Device::Cpu };
    let dtype = if args.half { DType::BF16 } else { DType::F32 };
    let spec = registry::for_repo("local", "main", args.family);
    let encoder = Encoder::load(&spec, &args.folder, &device, dtype)?;
    let batches = match &args.texts {
        Some(path) => texts(args, path, encoder.text.as_deref().context("the encoder reads no texts")?)?,
        None => pictures(args, encoder.image.as_deref().context("the encoder reads no pictures")?)?,
    };
    let count = |lengths: &mut dyn Iterator<Item = usize>| lengths.fold((0, 0), |(rows, n), row| (rows + row, n + 1));
    let (rows, count) = match &batches {
        Batches::Images(batches) => count(&mut batches.iter().map(Vec::len)),
        Batches::Texts(batches) => count(&mut batches.iter().map(Vec::len)),
    };
    let first = round(&encoder, &batches)?;
    println!("{}", serde_json::to_string(&Ready { rows, batches: count, first })?);
    let timed = || -> anyhow::Result<()> {
        let started = Instant::now();
        round(&encoder, &batches)?;
        let seconds = started.elapsed().as_secs_f64();
        println!("{}", serde_json::to_string(&Round { seconds, rows_per_second: rows as f64 / seconds })?);
        Ok(())
    };
    match args.rounds {
        Some(rounds) => (0..rounds).try_for_each(|_| timed()),
        None => std::io::stdin().lock().lines().try_for_each(|line| {
            line?;
            timed()
        }),
    }
}

/// All batches, one after the other; the first batch's embeddings.
fn round(encoder: &Encoder, batches: &Batches) -> anyhow::Result<Vec<Vec<f32>>> {
    let mut first = None;
    let mut keep = |rows: candle_core::Tensor| -> anyhow::Result<()> {
        // Fetches the values, so that a device has computed them.
        let rows = rows.to_vec2::<f32>()?;
        first.get_or_insert(rows);
        Ok(())
    };
    match (batches, &encoder.image, &encoder.text) {
        (Batches::Images(batches), Some(image), _) => {
            batches.iter().try_for_each(|batch| keep(image.encode(batch)?))?;
        }
        (Batches::Texts(batches), _, Some(text)) => batches.iter().try_for_each(|batch| keep(text.encode(batch)?))?,
        _ => {}
    }
    first.context("there are no batches")
}

/// Texts in batches of like length, the longest first.
fn texts(args: &EncodersArgs, path: &PathBuf, encoder: &dyn TextEncoder) -> anyhow::Result<Batches> {
    let content = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let tokens = content.lines().map(|line| anyhow::Ok(encoder.tokenize(line)?));
    let mut tokens = tokens.collect::<anyhow::Result<Vec<Tokens>>>()?;
    tokens.sort_by_key(|tokens| std::cmp::Reverse(tokens.0.len()));
    Ok(Batches::Texts(tokens.chunks(args.batch_size).map(<[Tokens]>::to_vec).collect()))
}

/// Pictures of a formula, which other programs can follow.
fn pictures(args: &EncodersArgs, encoder: &dyn ImageEncoder) -> anyhow::Result<Batches> {
    // The size that the encoder reads shows in what it makes of any picture.
    let Pixels { width, values } = encoder.preprocess(&image::DynamicImage::new_rgb8(64, 64))?;
    let value = |i: usize, j: usize| ((i * 31 + j * 17) % 251) as u8;
    let picture = |i: usize| Pixels { width, values: (0..values.len()).map(|j| value(i, j)).collect() };
    let rows: Vec<Pixels> = (0..args.batch_size * args.batches).map(picture).collect();
    Ok(Batches::Images(rows.chunks(args.batch_size).map(<[Pixels]>::to_vec).collect()))
}
