//! Rates of the CUDA kernels beside what the device can do at most: a copy for those that move bytes, products for those that multiply.

use anyhow::{Context, ensure};
use candle_core::{DType, Device, Tensor};
use clap::Args;
use hiref_kernels::{
    Auction, Blocks, Buffer, Cost, DeviceRows, ExactSearch, NONE, Precision, Product, Projection, Queue, Scan, auction,
    block_means, block_products, exact_least, finish_costs, gather_centred, gather_rows, mirror_step, pair_costs,
    prepare_rows, scan_tile, split_digits,
};
use serde::Serialize;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `kernels`.
#[derive(Debug, Args)]
pub(crate) struct KernelsArgs {
    /// File for the rates, one JSON object.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Points a side; the default fills a card of 80 GB or more.
    #[arg(long, default_value_t = 1 << 18)]
    points: usize,
    /// Their coordinates.
    #[arg(long, default_value_t = 2048)]
    dimension: usize,
    /// Runs of each kernel, of which the median counts.
    #[arg(long, default_value_t = 9)]
    repeat: usize,
}

/// What one kernel reached.
#[derive(Debug, Serialize)]
struct Rate {
    name: &'static str,
    seconds: f64,
    /// Least bytes it must move, counting each input and output once.
    bytes: f64,
    /// Operations it must do.
    operations: f64,
    /// `bytes / seconds` over that of a copy.
    share_of_copy: f64,
    /// `operations / seconds` over those of a product in f32.
    share_of_f32_product: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    copy_bytes_per_second: f64,
    f32_product_per_second: f64,
    tf32_product_per_second: f64,
    bf16_product_per_second: f64,
    points: usize,
    dimension: usize,
    kernels: Vec<Rate>,
}

struct Bench {
    queue: Queue,
    repeat: usize,
    copy: f64,
    product: f64,
    rates: Vec<Rate>,
}

impl Bench {
    /// The median time of a run, the first one left out.
    fn time(&self, mut run: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
        run()?;
        self.queue.synchronize()?;
        let mut seconds = Vec::with_capacity(self.repeat);
        for _ in 0..self.repeat {
            let started = Instant::now();
            run()?;
            self.queue.synchronize()?;
            seconds.push(started.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        Ok(seconds[seconds.len() / 2])
    }

    fn add(
        &mut self,
        name: &'static str,
        [bytes, operations]: [f64; 2],
        run: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let seconds = self.time(run).with_context(|| format!("kernel {name}"))?;
        let share_of_copy = bytes / seconds / self.copy;
        let share_of_f32_product = operations / seconds / self.product;
        println!(
            "{name:24} {:9.3} ms  {:5.1}% of a copy  {:5.1}% of a product",
            seconds * 1e3,
            100.0 * share_of_copy,
            100.0 * share_of_f32_product
        );
        self.rates.push(Rate { name, seconds, bytes, operations, share_of_copy, share_of_f32_product });
        Ok(())
    }
}

/// Lets go of a result that only its making was measured of.
#[expect(clippy::unnecessary_wraps, reason = "the end of runs that can fail")]
fn done<T>(result: T) -> anyhow::Result<()> {
    drop(result);
    Ok(())
}

/// Measures and writes the table.
pub(crate) fn run(args: &KernelsArgs) -> anyhow::Result<()> {
    let device = Device::new_cuda_with_stream(0)?;
    let Device::Cuda(cuda) = &device else { unreachable!("a CUDA device was opened") };
    ensure!(args.points >= 4096 && args.repeat > 0, "expected at least 4096 points and one run");
    // SAFETY: the only queue, of the device's own stream.
    let queue = unsafe { Queue::cuda(cuda.cuda_stream()) };
    Queue::keep_freed_memory(cuda.cuda_stream().context())?;
    let mut bench = Bench { queue: queue.clone(), repeat: args.repeat, copy: 1.0, product: 1.0, rates: Vec::new() };
    let (n, d) = (args.points, args.dimension);

    // Ceilings. Random data: products of zeros run faster.
    let values = Tensor::randn(0.0_f32, 1.0, (n, d), &device)?;
    let copy = bench.time(|| done(values.copy()?))?;
    bench.copy = 8.0 * (n * d) as f64 / copy;
    let square = |dtype: DType| -> anyhow::Result<(Tensor, Tensor)> {
        let draw = || Tensor::randn(0.0_f32, 1.0, (8192, 8192), &device)?.to_dtype(dtype);
        Ok((draw()?, draw()?))
    };
    let operations = 2.0 * 8192_f64.powi(3);
    let (a, b) = square(DType::F32)?;
    bench.product = operations / bench.time(|| done(a.matmul(&b)?))?;
    candle_core::cuda::set_gemm_reduced_precision_f32(true);
    let tf32 = operations / bench.time(|| done(a.matmul(&b)?))?;
    candle_core::cuda::set_gemm_reduced_precision_f32(false);
    let (a, b) = square(DType::BF16)?;
    let bf16 = operations / bench.time(|| done(a.matmul(&b)?))?;
    drop((a, b));
    println!(
        "copy {:.2} TB/s, products: f32 {:.1}, TF32 {:.1}, bf16 {:.1} TFLOP/s",
        bench.copy * 1e-12,
        bench.product * 1e-12,
        tf32 * 1e-12,
        bf16 * 1e-12
    );

    let host: Vec<f32> = values.flatten_all()?.to_vec1()?;
    drop(values);
    measure_blocks(&mut bench, &host, n, d)?;
    measure_pricing(&mut bench, &host, n, d)?;
    let report = Report {
        copy_bytes_per_second: bench.copy,
        f32_product_per_second: bench.product,
        tf32_product_per_second: tf32,
        bf16_product_per_second: bf16,
        points: n,
        dimension: d,
        kernels: bench.rates,
    };
    fs::write(&args.output, serde_json::to_string_pretty(&report)?)
        .with_context(|| format!("cannot write {}", args.output.display()))
}

/// What a sweep over n pairs and a split run.
fn measure_blocks(bench: &mut Bench, host: &[f32], n: usize, d: usize) -> anyhow::Result<()> {
    const SIZE: usize = 256;
    let queue = bench.queue.clone();
    let points = queue.upload(host)?;
    let rows = DeviceRows { values: points.view(), dimension: d, scales: None };
    // A permutation that leaves no neighbours.
    let index: Vec<u32> = (0..n as u64).map(|i| (i * 48_271 % n as u64) as u32).collect();
    let index = queue.upload(&index)?;
    let cells = (n * d) as f64;
    let mut gathered: Buffer<f32> = queue.allocate(n * d)?;
    bench.add("gather_rows", [8.0 * cells, 0.0], || Ok(gather_rows(&queue, &rows, index.view(), &mut gathered)?))?;
    let centre = queue.zeros::<f64>(d)?;
    let mut squares = queue.allocate(n)?;
    bench.add("prepare_rows", [8.0 * cells, 3.0 * cells], || {
        Ok(prepare_rows(&queue, &rows, centre.view(), &mut gathered, &mut squares)?)
    })?;

    let blocks = n / SIZE;
    let sizes = queue.upload(&vec![SIZE as u32; blocks])?;
    let blocked = Blocks { index: index.view(), sizes: sizes.view(), stride: SIZE };
    bench.add("block_means", [4.0 * cells, cells], || done(block_means(&queue, &rows, &blocked, false)?))?;
    let means = block_means(&queue, &rows, &blocked, false)?;
    bench.add("gather_centred", [8.0 * cells, cells], || {
        Ok(gather_centred(&queue, &rows, &blocked, means.view(), false, &mut gathered)?)
    })?;
    let mut products: Buffer<f32> = queue.allocate(n * SIZE)?;
    let shape = Product { batch: blocks, rows: SIZE, columns: SIZE, inner: d, precision: Precision::Single };
    let tile = (n * SIZE) as f64;
    bench.add("block product (cuBLAS)", [8.0 * cells + 4.0 * tile, 2.0 * tile * d as f64], || {
        Ok(queue.multiply(&shape, points.view(), gathered.view(), &mut products)?)
    })?;
    let few = 16;
    bench.add("block_products, d = 16", [8.0 * (n * few) as f64 + 4.0 * tile, 2.0 * tile * few as f64], || {
        Ok(block_products(&queue, [points.view(), gathered.view()], (blocks, SIZE, few), false, &mut products)?)
    })?;
    let terms = queue.zeros::<f64>(n)?;
    queue.multiply(&shape, points.view(), gathered.view(), &mut products)?;
    // The next run finds costs in place of products: the same work.
    let mut held = Some(products);
    bench.add("finish_costs", [8.0 * tile, 4.0 * tile], || {
        let products = held.take().context("the costs of the run before")?;
        held = Some(finish_costs(&queue, Cost::SquaredEuclidean, products, terms.view(), &blocked, n)?.costs);
        Ok(())
    })?;
    let costs = held.context("the costs of the last run")?;
    let extent = 4.0 * (d as f32).sqrt();
    let (first, last) = (vec![extent / 4.0; blocks], vec![extent * 1e-4; blocks]);
    let (first, last) = (queue.upload(&first)?, queue.upload(&last)?);
    let auction_settings =
        Auction { first_epsilon: first.view(), epsilon: last.view(), reduction: 0.2, round_limit: 1 << 15 };
    let mut columns = queue.zeros(0)?;
    bench.add("auction, blocks of 256", [4.0 * tile, 2.0 * tile], || {
        let mut g = queue.zeros(n)?;
        columns = auction(&queue, costs.view(), &blocked, &auction_settings, &mut g)?.0;
        Ok(())
    })?;
    drop(costs);
    let pairs = queue.upload(&(0..n as u32).collect::<Vec<_>>())?;
    bench.add("pair_costs", [8.0 * cells, 3.0 * cells], || {
        done(pair_costs(&queue, Cost::SquaredEuclidean, &rows, &rows, pairs.view(), index.view())?)
    })?;

    let rank = 8;
    let (log_q, gain) = (points.view().range(0..n * rank), gathered.view().range(0..n * rank));
    let out = queue.allocate::<f32>(2 * n * rank)?;
    let shape = Projection { batch: 1, rank, size: n, step: 2.0, tolerance: 0.005, passes: 12 };
    bench.add("mirror_step, rank 8", [16.0 * (n * rank) as f64, 0.0], || {
        // SAFETY: `out` is a buffer of its own, which nobody reads.
        Ok(unsafe { mirror_step(&queue, &shape, log_q, gain, out.view()) }?)
    })
}

/// What a pass over all pairs runs.
fn measure_pricing(bench: &mut Bench, host: &[f32], n: usize, d: usize) -> anyhow::Result<()> {
    let queue = bench.queue.clone();
    let points = queue.upload(host)?;
    let rows = DeviceRows { values: points.view(), dimension: d, scales: None };
    let cells = (n * d) as f64;
    let side = n.min(1 << 13);
    let (x, y) = (points.view().range(0..side * d), points.view().range((n - side) * d..n * d));
    let mut products = queue.allocate(side * side)?;
    let (mut left, mut right) = (queue.allocate(3 * side * d)?, queue.allocate(3 * side * d)?);
    bench.add("split_digits", [16.0 * (side * d) as f64, 0.0], || Ok(split_digits(&queue, x, d, false, &mut left)?))?;
    split_digits(&queue, y, d, true, &mut right)?;
    let operations = 2.0 * (side * side) as f64 * d as f64;
    let single = Product { batch: 1, rows: side, columns: side, inner: d, precision: Precision::Single };
    bench.add("tile product, f32", [0.0, operations], || Ok(queue.multiply(&single, x, y, &mut products)?))?;
    let split = Product { inner: 3 * d, precision: Precision::TensorFloat, ..single };
    bench.add("tile product, split TF32", [0.0, operations], || {
        Ok(queue.multiply(&split, left.view(), right.view(), &mut products)?)
    })?;
    let (norms, prices) = (queue.zeros::<f64>(side)?, queue.zeros::<f32>(side)?);
    let width = 32;
    bench.add("scan_tile, 32 kept", [4.0 * (side * side) as f64, 0.0], || {
        let mut values = queue.upload(&vec![f32::INFINITY; side * width])?;
        let mut indices = queue.upload(&vec![NONE; side * width])?;
        let scan = Scan {
            cost: Cost::SquaredEuclidean,
            products: products.view(),
            x_squares: norms.view(),
            x_slack: norms.view(),
            y_squares: norms.view(),
            prices: prices.view(),
            first_column: 0,
            width,
        };
        Ok(scan_tile(&queue, &scan, &mut values, &mut indices)?)
    })?;
    let searched = queue.upload(&(0..132_u32).collect::<Vec<_>>())?;
    let g = queue.zeros::<f64>(n)?;
    bench.add("exact_least, 132 rows", [132.0 * 4.0 * cells, 132.0 * 3.0 * cells], || {
        let mut least = queue.upload(&[f64::INFINITY; 132])?;
        let mut columns = queue.upload(&[NONE; 132])?;
        let search = ExactSearch {
            cost: Cost::SquaredEuclidean,
            x: rows,
            y: rows,
            first_column: 0,
            prices: g.view(),
            rows: searched.view(),
        };
        Ok(exact_least(&queue, &search, &mut least, &mut columns)?)
    })
}
