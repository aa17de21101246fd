//! Where embeddings come from, by what `himacl embed` left beside them.

use super::tower::Reads;
use crate::error::EncoderTrainingError;
use crate::error::Error;
use crate::side::DataSide;
use crate::train::Watch;
use crate::train::recipe::DataSection;
use himacl_data::files::read_toml;
use himacl_data::{Embeddings, Layout};
use himacl_encode::embed::{EmbedParams, skipped_positions};
use himacl_encode::encoder::registry::{self, EncoderModality, EncoderSpec, Family};
use himacl_encode::encoder::weight_files;
use himacl_encode::hub::{Hub, HubSettings, files_sha256, local_snapshot};
use himacl_encode::readers::{Dataset, Modality, ReadOptions, Record as Row, Sample, expand_input, is_address};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The settings of an embedding run, in its folder.
pub(super) const CONFIG: &str = "config.toml";
/// In the place of a commit where weights came from a folder.
pub(super) const LOCAL: &str = "local";

/// What is needed of config.toml.
#[derive(Debug, Clone, Deserialize)]
struct Record {
    input: String,
    modality: Modality,
    batch_size: usize,
    shard_size: usize,
    normalize: bool,
    image_column: Option<String>,
    caption_column: Option<String>,
    prompt: Option<String>,
    route: Option<String>,
    dimensions: Option<usize>,
    encoders: Vec<EncoderRecord>,
}

#[derive(Debug, Clone, Deserialize)]
struct EncoderRecord {
    name: String,
    repo: String,
    revision: String,
    weights_sha256: String,
    family: Option<Family>,
}

/// The encoder and the dataset behind a set of embeddings.
#[derive(Debug)]
pub(super) struct Origin {
    side: DataSide,
    /// The folder of the embeddings.
    pub(super) embeddings: PathBuf,
    /// Of their two kinds, `img_emb` or `text_emb`.
    pub(super) kind: String,
    pub(super) reads: Reads,
    pub(super) spec: EncoderSpec,
    /// The encoder's files.
    pub(super) encoder: PathBuf,
    /// The dataset's path or pattern.
    pub(super) input: String,
    record: Record,
}

impl Origin {
    /// Reads what the embeddings of a side say of themselves, and finds the encoder and the dataset.
    pub(super) fn find(side: DataSide, section: &DataSection, watch: &dyn Watch) -> Result<Self, Error> {
        let (path, key, encoder, input) = match side {
            DataSide::Source => (&section.source, &section.source_key, &section.source_encoder, &section.source_input),
            DataSide::Target => (&section.target, &section.target_key, &section.target_encoder, &section.target_input),
        };
        let unknown =
            |reason: &str| EncoderTrainingError::NotEmbedded { side, path: path.clone(), reason: reason.to_owned() };
        let embeddings = Embeddings::open(path, key.as_deref())?;
        let Layout::ClipFolder { kind, .. } = embeddings.layout() else { return Err(unknown("it is a file").into()) };
        // The folder itself may have been named, or that of one kind in it.
        let root = match path.file_name() {
            Some(name) if name == kind.as_str() => path.parent().unwrap_or(path),
            _ => path.as_path(),
        };
        let config = root.join(CONFIG);
        let text = fs::read_to_string(&config).map_err(|error| unknown(&format!("{CONFIG}: {error}")))?;
        let record: Record =
            toml::from_str(&text).map_err(|source| himacl_data::Error::Config { path: config.clone(), source })?;
        let (reads, reader) = match kind.as_str() {
            "img_emb" => (Reads::Pictures, EncoderModality::Image),
            _ => (Reads::Texts, EncoderModality::Text),
        };
        let mut found = None;
        for encoder in &record.encoders {
            let spec = spec(encoder)?;
            // Of two encoders the last one of a kind was used.
            if spec.modality == reader || spec.modality == EncoderModality::Both {
                found = Some((spec, encoder));
            }
        }
        let (spec, known) = found.ok_or_else(|| unknown("no encoder is on record"))?;
        let folder = encoder_folder(side, &spec, known, encoder.as_deref(), watch)?;
        let got = files_sha256(&weight_files(&folder)?)?;
        if got != known.weights_sha256 {
            let (embeddings, expected) = (path.clone(), known.weights_sha256.clone());
            return Err(EncoderTrainingError::OtherWeights { side, folder, got, embeddings, expected }.into());
        }
        let spec = match &record.prompt {
            Some(prompt) if spec.text.is_some() => spec.with_prompt(prompt, &folder)?,
            _ => spec,
        };
        let spec = match &record.route {
            Some(route) if spec.modality == EncoderModality::Text => spec.with_route(route, &folder)?,
            _ => spec,
        };
        let spec = EncoderSpec { first: record.dimensions, ..spec };
        Ok(Self {
            side,
            embeddings: root.to_path_buf(),
            kind: kind.clone(),
            reads,
            spec,
            encoder: folder,
            input: input.as_ref().map_or_else(|| record.input.clone(), |input| input.to_string_lossy().into_owned()),
            record,
        })
    }

    /// The dataset from its start.
    pub(super) fn dataset(&self) -> Result<Dataset, Error> {
        let options = ReadOptions {
            modality: self.record.modality,
            image_column: self.record.image_column.clone(),
            caption_column: self.record.caption_column.clone(),
        };
        Ok(Dataset::open(self.files()?, options)?)
    }

    /// The dataset's files.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, Error> {
        if is_address(&self.input) {
            return Err(EncoderTrainingError::Elsewhere { side: self.side, input: self.input.clone() }.into());
        }
        Ok(expand_input(&self.input)?)
    }

    /// The first sample that has a row.
    pub(super) fn first_sample(&self, side: DataSide) -> Result<Sample, Error> {
        let skipped = self.skipped()?;
        for (position, record) in self.dataset()?.enumerate() {
            if let (false, Row::Sample(sample)) = (skipped.contains(&(position as u64)), record?) {
                return Ok(sample);
            }
        }
        Err(EncoderTrainingError::OtherInput { side, input: self.input.clone(), got: 0, expected: 1 }.into())
    }

    /// Positions of records that have no row.
    pub(super) fn skipped(&self) -> Result<BTreeSet<u64>, Error> {
        Ok(skipped_positions(&self.embeddings)?)
    }

    /// The settings of the run that embedded the dataset.
    pub(super) fn embed_params(&self, threads: usize) -> EmbedParams {
        let modality = match self.reads {
            Reads::Pictures => Modality::Image,
            Reads::Texts => Modality::Text,
        };
        EmbedParams {
            modality,
            batch_size: self.record.batch_size,
            shard_size: self.record.shard_size,
            normalize: self.record.normalize,
            // The number of rows is compared with what it was.
            max_error_rate: 1.0,
            shards: None,
            workers: threads,
            parallel_batches: threads,
        }
    }

    /// config.toml for embeddings of the same dataset by another version of the encoder.
    pub(super) fn config_with(&self, weights_sha256: &str) -> Result<String, Error> {
        let path = self.embeddings.join(CONFIG);
        let mut table: toml::Table = read_toml(&path)?;
        let modality = if self.reads == Reads::Pictures { Modality::Image } else { Modality::Text };
        table.insert("modality".to_owned(), modality.to_string().into());
        table.insert("input".to_owned(), self.input.clone().into());
        let encoder = toml::Table::from_iter([
            ("name".to_owned(), self.spec.name.clone().into()),
            ("repo".to_owned(), self.spec.repo.clone().into()),
            ("family".to_owned(), toml::Value::try_from(self.spec.family)?),
            ("revision".to_owned(), LOCAL.into()),
            ("weights_sha256".to_owned(), weights_sha256.into()),
        ]);
        table.insert("encoders".to_owned(), toml::Value::Array(vec![encoder.into()]));
        Ok(toml::to_string(&table)?)
    }
}

/// What is known of an encoder: the registry's description, or that of any repository of its family.
fn spec(record: &EncoderRecord) -> Result<EncoderSpec, Error> {
    match (registry::find(&record.name), record.family) {
        (Ok(spec), _) => Ok(spec),
        (Err(_), Some(family)) => Ok(registry::for_repo(&record.repo, &record.revision, family)),
        (Err(error), None) => Err(error.into()),
    }
}

/// The encoder's files: in the folder that the recipe names, or by the commit on record in the Hub's cache.
fn encoder_folder(
    side: DataSide,
    spec: &EncoderSpec,
    record: &EncoderRecord,
    named: Option<&Path>,
    watch: &dyn Watch,
) -> Result<PathBuf, Error> {
    let files = spec.needed_files();
    if let Some(folder) = named {
        return Ok(local_snapshot(folder, &record.repo, &files)?.folder);
    }
    if record.revision == LOCAL {
        return Err(EncoderTrainingError::NoWeights { side }.into());
    }
    let hub = Hub::new(HubSettings::from_env())?;
    Ok(hub.fetch(&record.repo, &record.revision, &files, &|_| (), &|| watch.should_stop())?.folder)
}
