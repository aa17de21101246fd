//! From records to shards.

use super::model::EmbedModel;
use super::params::EmbedParams;
use super::prefetch::{self, Prepared};
use super::shard::Shard;
use super::store::{ShardStats, Store};
use crate::error::EmbedError;
use crate::error::Error;
use crate::readers::Dataset;
use himacl_data::ErrorKind;
use himacl_data::output::Existing;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

/// So many batches of texts are sorted by length at a time: enough for batches of like length, little to hold.
const WINDOW_BATCHES: usize = 16;

/// What happens while a dataset is embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbedEvent {
    /// So many records are done by an earlier run.
    Resumed(u64),
    /// So many more records have gone through the model.
    Advanced(u64),
}

/// What was embedded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmbedOutput {
    /// Records seen, those of earlier runs included.
    pub records: u64,
    /// Rows written.
    pub rows: u64,
    /// Samples skipped.
    pub skipped: u64,
    /// Shards.
    pub shards: usize,
    /// Records seen by this run alone.
    pub records_now: u64,
    /// Whether the run was stopped before its end.
    pub interrupted: bool,
    /// Files of the dataset that ended before their time, among what was skipped.
    pub cut_files: u64,
    /// The first sample skipped, its key and why.
    first_skipped: Option<(String, String)>,
}

impl EmbedOutput {
    fn add(&mut self, stats: &ShardStats) {
        self.records += stats.records;
        self.rows += stats.rows;
        self.skipped += stats.skipped.len() as u64;
        self.cut_files += stats.skipped.iter().filter(|skipped| skipped.is_rest).count() as u64;
        self.shards += 1;
        if let (None, Some(first)) = (&self.first_skipped, stats.skipped.first()) {
            self.first_skipped = Some((first.key.clone(), first.reason.clone()));
        }
    }
}

/// Embeds a dataset into a clip-retrieval folder; of some shards alone ([`EmbedParams::shards`]) no list of skipped samples is written.
///
/// Shard i holds the rows of records `i * shard_size ..`, fewer where samples were skipped; `img_emb`, `text_emb` and
/// metadata agree row by row.
///
/// # Shapes
/// Each shard: `(rows, d)`, float16, C order.
///
/// # Complexity
/// Memory: one shard's embeddings, a bounded queue of prepared samples, `parallel_batches` batches in the model; none of
/// them grows with the dataset.
///
/// # Termination
/// Once `should_stop` says so the run ends after the batches under way; shards that are done stay.
///
/// # Errors
/// [`EmbedError::TooManySkipped`] at the end of a shard (all shards so far are kept); what the reader, the model and the
/// disk say.
///
/// # Determinism
/// Which rows share a batch depends on the shard's records alone, so that any number of threads, and any number of runs
/// killed and resumed, give the same bytes.
pub fn embed<M: EmbedModel>(
    model: &M,
    mut dataset: Dataset,
    output: &Path,
    params: &EmbedParams,
    existing: Existing,
    observe: &(dyn Fn(EmbedEvent) + Sync),
    should_stop: &(dyn Fn() -> bool + Sync),
) -> Result<EmbedOutput, Error> {
    params.check()?;
    let store = Store::new(output, params.modality.has_image(), params.modality.has_text());
    store.create()?;
    let last = params.shards.as_ref().map_or(usize::MAX, |shards| shards.end);
    let done = if existing == Existing::Resume && params.shards.is_none() { store.done()? } else { Vec::new() };
    store.remove_shards(done.len())?;
    let mut total = EmbedOutput::default();
    done.iter().for_each(|stats| total.add(stats));
    if let Some(shards) = &params.shards {
        (total.shards, total.records) = (shards.start, (shards.start * params.shard_size) as u64);
    }
    // A short last shard means that the dataset ended there; it is only passed over like the others.
    let known: Vec<u64> = done.iter().flat_map(|stats| stats.input_files.iter().copied()).collect();
    dataset.skip_files(&known);
    dataset.skip_records(total.records - known.iter().sum::<u64>())?;
    let ended_files = dataset.ended_files();
    let mut recorded =
        if params.shards.is_some() { ended_before(&ended_files, 0, total.records).len() } else { known.len() };
    observe(EmbedEvent::Resumed(total.records));
    let earlier = total.records;
    drop(done);

    let window = params.batch_size * WINDOW_BATCHES;
    let capacity = if params.modality.has_image() { 2 * params.batch_size.max(params.workers) } else { window };
    let ran = std::thread::scope(|scope| -> Result<(), Error> {
        let queue = prefetch::start(scope, model, dataset, params.modality, params.workers, capacity);
        let mut encoders = Encoders::start(scope, model, params.parallel_batches);
        while total.shards < last {
            let (image, text) = (model.image_dimension(), model.text_dimension());
            let mut shard = Shard::new(total.shards, params, image, text);
            let mut batcher = Batcher::new(params.batch_size, window);
            let mut ended = false;
            while shard.records < params.shard_size as u64 {
                if should_stop() {
                    total.interrupted = true;
                    return Ok(());
                }
                let Ok(place) = queue.recv() else {
                    ended = true;
                    break;
                };
                // A worker only goes without an answer when it panics, which ends the scope anyway.
                let Ok(prepared) = place?.recv() else { return Ok(()) };
                observe(EmbedEvent::Advanced(1));
                match prepared {
                    Prepared::Unusable { key, reason, is_rest } => shard.skip(key, reason, is_rest),
                    Prepared::Ready { row, pixels, tokens } => {
                        let row = shard.push(row);
                        let batches = batcher.push(model, row, pixels, tokens);
                        batches.into_iter().try_for_each(|batch| encoders.submit(batch, &mut shard))?;
                    }
                }
            }
            if shard.records > 0 {
                batcher.flush(model).into_iter().try_for_each(|batch| encoders.submit(batch, &mut shard))?;
                encoders.finish(&mut shard)?;
                shard.finish(params.normalize);
                let input_files = ended_before(&ended_files, recorded, shard.first + shard.records);
                recorded += input_files.len();
                total.add(&store.write(&shard, input_files)?);
                if params.shards.is_none() {
                    check_rate(&total, params, &store)?;
                }
            }
            if ended {
                return Ok(());
            }
        }
        Ok(())
    });
    match ran {
        // Whoever was waited for has noticed the stop first.
        Err(error) if error.kind() == ErrorKind::Interrupted => total.interrupted = true,
        ran => ran?,
    }
    total.records_now = total.records - earlier;
    if params.shards.is_some() {
        return Ok(total);
    }
    if total.records == 0 && !total.interrupted {
        return Err(EmbedError::NoSamples { modality: params.modality.to_string() }.into());
    }
    // Shards that were made apart have not been asked.
    check_rate(&total, params, &store)?;
    store.write_errors(total.shards)?;
    Ok(total)
}

/// Of the input's files from number `from` on, the records of those that have surely ended when record `position - 1` has been
/// read: those that end before it. So that is the same in every run.
fn ended_before(ended: &Mutex<Vec<u64>>, from: usize, position: u64) -> Vec<u64> {
    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
    let mut end = 0;
    let before = ended.iter().take_while(|&&records| {
        end += records;
        end < position
    });
    before.skip(from).copied().collect()
}

fn check_rate(total: &EmbedOutput, params: &EmbedParams, store: &Store) -> Result<(), Error> {
    if total.skipped as f64 <= params.max_error_rate * total.records as f64 {
        return Ok(());
    }
    let list = store.write_errors(total.shards)?;
    let (key, reason) = total.first_skipped.clone().unwrap_or_default();
    let (skipped, records, allowed) = (total.skipped, total.records, params.max_error_rate);
    Err(EmbedError::TooManySkipped { skipped, records, allowed, key, reason, list }.into())
}

/// Inputs that go through the model at once, and their rows.
enum Batch<M: EmbedModel> {
    Images(Vec<usize>, Vec<M::Pixels>),
    Texts(Vec<usize>, Vec<M::Tokens>),
}

/// Collects rows into batches: pictures as they come, texts by length within windows.
struct Batcher<M: EmbedModel> {
    batch_size: usize,
    window: usize,
    image_rows: Vec<usize>,
    images: Vec<M::Pixels>,
    texts: Vec<(usize, M::Tokens)>,
}

impl<M: EmbedModel> Batcher<M> {
    fn new(batch_size: usize, window: usize) -> Self {
        Self { batch_size, window, image_rows: Vec::new(), images: Vec::new(), texts: Vec::new() }
    }

    fn push(&mut self, model: &M, row: usize, pixels: Option<M::Pixels>, tokens: Option<M::Tokens>) -> Vec<Batch<M>> {
        if let Some(pixels) = pixels {
            self.image_rows.push(row);
            self.images.push(pixels);
        }
        if let Some(tokens) = tokens {
            self.texts.push((row, tokens));
        }
        let mut batches = Vec::new();
        if self.images.len() == self.batch_size {
            batches.extend(self.image_batch());
        }
        if self.texts.len() == self.window {
            batches.extend(self.text_batches(model));
        }
        batches
    }

    /// What is left at the end of a shard.
    fn flush(&mut self, model: &M) -> Vec<Batch<M>> {
        self.image_batch().into_iter().chain(self.text_batches(model)).collect()
    }

    fn image_batch(&mut self) -> Option<Batch<M>> {
        let (rows, images) = (std::mem::take(&mut self.image_rows), std::mem::take(&mut self.images));
        (!rows.is_empty()).then_some(Batch::Images(rows, images))
    }

    /// Longest first: the largest batch shows at once whether memory suffices.
    fn text_batches(&mut self, model: &M) -> Vec<Batch<M>> {
        let mut texts = std::mem::take(&mut self.texts);
        texts.sort_by_key(|(row, tokens)| (std::cmp::Reverse(model.num_tokens(tokens)), *row));
        let (mut batches, mut texts) = (Vec::new(), texts.into_iter());
        loop {
            let (rows, tokens): (Vec<usize>, Vec<M::Tokens>) = texts.by_ref().take(self.batch_size).unzip();
            if rows.is_empty() {
                return batches;
            }
            batches.push(Batch::Texts(rows, tokens));
        }
    }
}

/// A batch's output; a panic of the model goes on in the thread that takes it.
struct Encoded {
    of_images: bool,
    rows: Vec<usize>,
    values: std::thread::Result<Result<Vec<f32>, Error>>,
}

/// Threads that take batches through the model.
struct Encoders<M: EmbedModel> {
    batches: SyncSender<Batch<M>>,
    results: Receiver<Encoded>,
    /// Batches whose results have not been taken.
    under_way: usize,
    limit: usize,
}

impl<M: EmbedModel> Encoders<M> {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, model: &'scope M, threads: usize) -> Self {
        let (batches, jobs) = sync_channel::<Batch<M>>(threads);
        let (results_in, results) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..threads {
            let (jobs, results): (_, Sender<Encoded>) = (jobs.clone(), results_in.clone());
            scope.spawn(move || {
                loop {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(batch) = job else { return };
                    // The batch is not looked at again after a panic, and the model only lends itself.
                    let values = catch_unwind(AssertUnwindSafe(|| match &batch {
                        Batch::Images(_, images) => model.encode_images(images),
                        Batch::Texts(_, texts) => model.encode_texts(texts),
                    }));
                    let (of_images, rows) = match batch {
                        Batch::Images(rows, _) => (true, rows),
                        Batch::Texts(rows, _) => (false, rows),
                    };
                    let encoded = Encoded { of_images, rows, values };
                    if results.send(encoded).is_err() {
                        return;
                    }
                }
            });
        }
        Self { batches, results, under_way: 0, limit: 2 * threads }
    }

    /// Hands a batch over; waits for an earlier one where too many are under way.
    fn submit(&mut self, batch: Batch<M>, shard: &mut Shard) -> Result<(), Error> {
        while self.under_way >= self.limit {
            self.take(shard)?;
        }
        // The threads live as long as this sender.
        self.under_way += usize::from(self.batches.send(batch).is_ok());
        Ok(())
    }

    /// Waits for all batches.
    fn finish(&mut self, shard: &mut Shard) -> Result<(), Error> {
        while self.under_way > 0 {
            self.take(shard)?;
        }
        Ok(())
    }

    fn take(&mut self, shard: &mut Shard) -> Result<(), Error> {
        self.under_way -= 1;
        let Ok(Encoded { of_images, rows, values }) = self.results.recv() else { return Ok(()) };
        let values = values.unwrap_or_else(|panic| resume_unwind(panic))?;
        let target = if of_images { &mut shard.images } else { &mut shard.texts };
        if let Some(target) = target {
            target.place(&rows, &values)?;
        }
        Ok(())
    }
}
