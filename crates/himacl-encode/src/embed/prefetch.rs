//! Records prepared ahead of the model: read by one thread, decoded and tokenised by several, handed over in order.

use super::model::EmbedModel;
use crate::error::Error;
use crate::readers::{Modality, Record, Sample};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

/// What becomes of a record.
pub(super) enum Prepared<M: EmbedModel> {
    /// Ready for the model.
    Ready { row: Row, pixels: Option<M::Pixels>, tokens: Option<M::Tokens> },
    /// Skipped.
    Unusable { key: String, reason: String, is_rest: bool },
}

/// A row's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) image_path: Option<String>,
    pub(super) caption: Option<String>,
    /// Of the picture's bytes, or of the caption where there is no picture.
    pub(super) sha256: String,
}

/// A record on its way, and where its result goes.
type Job<M> = (Record, SyncSender<Prepared<M>>);
/// The results' places, in the order of the records.
type Queue<M> = Receiver<Result<Receiver<Prepared<M>>, Error>>;

/// Starts the threads; at most `capacity` records are under way or wait. They end when the queue is dropped.
pub(super) fn start<'scope, M: EmbedModel>(
    scope: &'scope Scope<'scope, '_>,
    model: &'scope M,
    records: impl Iterator<Item = Result<Record, Error>> + Send + 'scope,
    modality: Modality,
    workers: usize,
    capacity: usize,
) -> Queue<M> {
    let (jobs_in, jobs) = sync_channel::<Job<M>>(capacity);
    // Besides those that wait here, one is at each end.
    let (places_in, places) = sync_channel(capacity);
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..workers {
        let jobs = jobs.clone();
        scope.spawn(move || {
            loop {
                let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((record, place)) = job else { return };
                // The consumer may have gone: then nobody wants this.
                drop(place.send(prepare(model, record, modality)));
            }
        });
    }
    scope.spawn(move || {
        for record in records {
            let sent = match record {
                Ok(record) => {
                    let (place_in, place) = sync_channel(1);
                    places_in.send(Ok(place)).is_ok() && jobs_in.send((record, place_in)).is_ok()
                }
                Err(error) => {
                    drop(places_in.send(Err(error)));
                    false
                }
            };
            if !sent {
                return;
            }
        }
    });
    places
}

fn prepare<M: EmbedModel>(model: &M, record: Record, modality: Modality) -> Prepared<M> {
    let sample = match record {
        Record::Sample(sample) => sample,
        Record::Unusable { key, reason, is_rest } => return Prepared::Unusable { key, reason, is_rest },
    };
    let key = sample.key.clone();
    ready(model, sample, modality).unwrap_or_else(|reason| Prepared::Unusable { key, reason, is_rest: false })
}

fn ready<M: EmbedModel>(model: &M, sample: Sample, modality: Modality) -> Result<Prepared<M>, String> {
    let Sample { key, image_path, image, caption } = sample;
    let mut digest = Sha256::new();
    let pixels = match image.filter(|_| modality.has_image()) {
        None => None,
        Some(image) => {
            let pixels = image.decode_with(|bytes, decoded| {
                digest.update(bytes);
                model.preprocess(bytes, &decoded).map_err(|error| error.to_string())
            })?;
            Some(pixels?)
        }
    };
    let tokens = match caption.as_deref().filter(|_| modality.has_text()) {
        None => None,
        Some(caption) => {
            if pixels.is_none() {
                digest.update(caption.as_bytes());
            }
            Some(model.tokenize(caption).map_err(|error| error.to_string())?)
        }
    };
    let sha256 = digest.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    Ok(Prepared::Ready { row: Row { key, image_path, caption, sha256 }, pixels, tokens })
}
