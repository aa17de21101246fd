//! How good and how fast the index is: `cargo run --release --example index_recall -- ROWS DIMENSION`.
//!
//! Rows are drawn as embeddings lie: topics within topics, variances that fall along the axes, unit length. Queries are drawn alike.

use candle_core::{Device, Tensor};
use himacl::search::{Gallery, IndexParams};
use hiref_core::rng;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::time::Instant;

/// Topics, and subjects within each.
const TOPICS: u64 = 300;
const SUBJECTS: u64 = 40;
/// Queries that are timed one by one, as they come.
const QUERIES: usize = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let rows = arguments.next().unwrap_or(Ok(100_000))?;
    let dimension = arguments.next().unwrap_or(Ok(384))?;
    let gallery = Gallery::new(&drawn(rows, dimension, 1)?)?;
    let queries = drawn(2000, dimension, 2)?;
    let started = Instant::now();
    let indexed = gallery.clone().indexed(&queries.narrow(0, 0, 1000)?, IndexParams::default())?;
    let built = started.elapsed().as_secs_f64();
    let index = indexed.index().ok_or("no index")?;
    let (lists, probes) = index.lists();
    println!("{rows} rows of {dimension}: built and tuned in {built:.1} s, {probes} of {lists} lists for each query");
    println!("recall@10 on queries that nothing was chosen by: {:.4}", index.recall());
    let mut seconds = [0.0; 2];
    let (mut found, mut total) = (0, 0);
    for at in 0..QUERIES {
        let query = queries.narrow(0, 1000 + at, 1)?;
        let started = Instant::now();
        let exact = gallery.search(&query, 10)?.remove(0);
        seconds[0] += started.elapsed().as_secs_f64();
        let started = Instant::now();
        let near = indexed.search(&query, 10)?.remove(0);
        seconds[1] += started.elapsed().as_secs_f64();
        total += exact.len();
        found += exact.iter().filter(|hit| near.iter().any(|other| other.item == hit.item)).count();
    }
    let [exact, near] = seconds.map(|seconds| 1e3 * seconds / QUERIES as f64);
    println!("recall@10 on {QUERIES} more: {:.4}", found as f64 / f64::from(total as u32));
    println!("one query: exact {exact:.2} ms, index {near:.2} ms, {:.1} times as fast", exact / near);
    Ok(())
}

fn drawn(rows: usize, dimension: usize, seed: u64) -> candle_core::Result<Tensor> {
    let place = |stream: &[u64], scale: f32, row: &mut [f32]| {
        let mut generator = rng::stream(7, stream);
        for (k, value) in row.iter_mut().enumerate() {
            let draw: f32 = StandardNormal.sample(&mut generator);
            *value += scale * draw / (1.0 + k as f32 / 20.0).sqrt();
        }
    };
    let mut values = vec![0.0f32; rows * dimension];
    values.par_chunks_mut(dimension).enumerate().for_each(|(at, row)| {
        let mut generator = rng::stream(seed, &[at as u64]);
        let topic = generator.random_range(0..TOPICS);
        let subject = generator.random_range(0..SUBJECTS);
        place(&[1, topic], 0.6, row);
        place(&[2, topic, subject], 0.55, row);
        place(&[3, seed, at as u64], 0.6, row);
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        row.iter_mut().for_each(|value| *value /= length);
    });
    Tensor::from_vec(values, (rows, dimension), &Device::Cpu)
}
