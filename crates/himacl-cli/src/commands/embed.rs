//! `himacl embed`: encoders over a dataset.

use crate::encoder_files::{RepoArgs, obtain};
use crate::error::Error;
use crate::interrupt;
use crate::report::{RunReport, write_config, write_summary};
use crate::{Context, ExitStatus};
use candle_core::DType;
use clap::{Args, ValueEnum};
use himacl::data::output::{Depth, Existing, OutputDir, Plan, fingerprint};
use himacl::embed::{EMBED_FILES, EmbedEvent, EmbedModel, EmbedOutput, EmbedParams, Greeting, Program, Towers, embed};
use himacl::encoder::registry::{EncoderSpec, Family};
use himacl::encoder::{Encoder, EncoderError, weight_files};
use himacl::hub::{HubSettings, Snapshot, descriptions, files_sha256};
use himacl::readers::{Dataset, Input, Modality, ReadOptions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  himacl embed --encoder all-minilm-l6-v2 --input captions.txt -o text
  himacl embed --encoder efficientnet-lite0 --input photos/ -o photos-emb
  himacl embed --encoder efficientnet-lite0 --encoder all-minilm-l6-v2 --input 'shards/{00000..00099}.tar' -o pairs
  himacl embed --encoder all-minilm-l6-v2 --local models/minilm --input pairs.tsv --caption-column title -o text
  himacl embed --encoder all-minilm-l6-v2 --input captions.txt -o text --resume
  himacl embed --encoder potion-retrieval-32m --dimensions 256 --input captions.txt -o text
  himacl embed --encoder-command 'python3 encoder.py' --input captions.txt -o text";

/// Settings that may differ between an interrupted run and its resumption.
const FREE_KEYS: [&str; 2] = ["threads", "max_error_rate"];

/// Embed pictures, texts or both with pretrained encoders.
///
/// Reads a folder of pictures (captions in .txt or .json files of the same name), webdataset .tar shards, .parquet,
/// .arrow, .csv, .tsv and .jsonl tables, a folder as Hugging Face saves datasets, or a .txt file with a caption a line.
/// Writes a clip-retrieval folder: `img_emb/img_emb_I.npy`, `text_emb/text_emb_I.npy` (float16),
/// `metadata/metadata_I.parquet`, stats/I.json when a shard is done, errors.jsonl for samples that were skipped. A run that
/// was killed goes on with --resume, to the same bytes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EmbedArgs {
    /// The encoder's name (`himacl encoders` lists them); two for one of pictures and one of texts.
    #[arg(long, value_name = "NAME", required_unless_present_any = ["repo", "encoder_command"])]
    encoder: Vec<String>,

    /// A program of yours as the encoder, with its arguments: it is started once, and speaks by its standard input and
    /// output (docs/embedding.md).
    #[arg(long, value_name = "PROGRAM ARGS", conflicts_with_all = ["encoder", "repo", "local", "revision", "prompt", "route", "dimensions", "precision"])]
    encoder_command: Option<String>,

    /// Seconds that the program may take to start, and for each batch.
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, requires = "encoder_command", value_parser = clap::value_parser!(u64).range(1..))]
    encoder_timeout: u64,

    #[command(flatten)]
    repo: RepoArgs,

    /// A folder with the encoder's files instead of the Hub; one for each encoder, in the same order.
    #[arg(long, value_name = "DIR")]
    local: Vec<PathBuf>,

    /// The dataset: a path or pattern, such as 'shards/{000..099}.tar'; or addresses, `'https://host/{000..099}.tar'`,
    /// `'s3://BUCKET/data/*.tar'`, `'hf://datasets/ORG/NAME@REVISION/data/*.parquet'`.
    #[arg(long, value_name = "PATH|GLOB|ADDRESS")]
    input: String,

    /// What to embed [default: what the encoders read].
    #[arg(long, value_enum, value_name = "MODALITY")]
    modality: Option<Modality>,

    #[command(flatten)]
    output: crate::args::OutputArgs,

    /// Rows that go through a model at once.
    #[arg(long, value_name = "N", default_value_t = EmbedParams::default().batch_size)]
    batch_size: usize,

    /// Samples of the dataset that become one shard.
    #[arg(long, value_name = "N", default_value_t = EmbedParams::default().shard_size)]
    shard_size: usize,

    /// Make these shards only, FIRST..END, and no summary.json: for schedulers that divide the work, each task with a folder of its own. When
    /// the files of all shards are in one folder that a run with 0..0 has begun, --resume there completes it.
    #[arg(long, value_name = "FIRST..END", value_parser = shards, conflicts_with = "resume")]
    shards: Option<Range<usize>>,

    /// Share of samples that may be skipped because they cannot be used.
    #[arg(long, value_name = "SHARE", default_value_t = EmbedParams::default().max_error_rate)]
    max_error_rate: f64,

    /// Write embeddings as the encoder gives them, not brought to unit length.
    #[arg(long)]
    no_normalize: bool,

    /// The prompt to put before every text, by its name: one of the encoder's own.
    #[arg(long, value_name = "NAME")]
    prompt: Option<String>,

    /// The way of texts through a model that has several (query, document): one of the encoder's own [default: the
    /// model's].
    #[arg(long, value_name = "NAME")]
    route: Option<String>,

    /// Keep the first D coordinates of each embedding, for encoders that are trained for it (Matryoshka).
    #[arg(long, value_name = "D")]
    dimensions: Option<usize>,

    /// Number format that the models compute in.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    precision: Precision,

    /// The column, key or member that holds the picture, where it has no usual name (filepath, image, jpg, ...).
    #[arg(long, value_name = "NAME")]
    image_column: Option<String>,

    /// The column, key or member that holds the caption, where it has no usual name (title, caption, text, ...).
    #[arg(long, value_name = "NAME")]
    caption_column: Option<String>,
}

/// Number formats of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Precision {
    #[default]
    F32,
    F16,
    Bf16,
}

/// Everything that a run depends on.
#[derive(Debug, Clone, Serialize)]
struct EmbedConfig {
    input: String,
    #[serde(flatten)]
    params: EmbedParams,
    precision: Precision,
    device: String,
    threads: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_column: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption_column: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
    encoders: Vec<EncoderConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<ProgramConfig>,
}

/// A program in an encoder's place.
#[derive(Debug, Clone, Serialize)]
struct ProgramConfig {
    command: String,
    #[serde(flatten)]
    greeting: Greeting,
}

/// An encoder and exactly which weights it has.
#[derive(Debug, Clone, Serialize)]
struct EncoderConfig {
    name: String,
    repo: String,
    family: Family,
    /// The full commit, or `local`.
    revision: String,
    weights_sha256: String,
}

/// summary.json.
#[derive(Debug, Serialize)]
struct EmbedSummary<'a> {
    #[serde(flatten)]
    report: RunReport,
    /// As in config.toml.
    settings: &'a EmbedConfig,
    records: u64,
    rows: u64,
    skipped: u64,
    /// Files of the dataset that ended before their time.
    cut_files: u64,
    shards: usize,
    image_dimension: Option<usize>,
    text_dimension: Option<usize>,
    /// Of this run, from the first sample read to the last shard written; null where nothing was left to do.
    samples_per_second: Option<f64>,
}

/// Runs the command.
pub(crate) fn run(args: &EmbedArgs, context: &Context) -> Result<ExitStatus, Error> {
    let printer = &context.printer;
    let mut recorder = context.recorder();
    let specs = specs(args, context)?;

    // All that can be refused is refused before work starts or anything is written.
    let mut output = OutputDir::open(&args.output.output, "embed", args.output.existing())?;
    let read = |modality| ReadOptions {
        modality,
        image_column: args.image_column.clone(),
        caption_column: args.caption_column.clone(),
    };
    let input = Input::find(&args.input, HubSettings::from_env(), interrupt::requested)?;
    output.refuse_inputs(input.files.iter().chain(&args.local).map(PathBuf::as_path))?;
    let local = |index: usize| args.local.get(index).map(PathBuf::as_path);
    let snapshots: Vec<Snapshot> = recorder.time("fetch", || {
        specs.iter().enumerate().map(|(index, spec)| obtain(spec, local(index), context)).collect::<Result<_, Error>>()
    })?;
    let specs = prompted(specs, &snapshots, args.prompt.as_deref())?;
    let specs = routed(specs, &snapshots, args)?;
    let model = recorder.time("load", || load(args, &specs, &snapshots, context))?;
    let modality = modality(args.modality, &model)?;
    let mut dataset = Dataset::of(&input, read(modality))?;
    let config = config(args, &input, modality, &model, &specs, &snapshots, context)?;
    config.params.check().map_err(Error::from)?;
    let plan = recorder.time("fingerprint", || plan(&config, &input, &snapshots, output.path()))?;
    let goes_on = output.goes_on(&plan, &|name| FREE_KEYS.contains(&name))?;
    if goes_on && output.file("summary.json").is_file() {
        let folder = output.path().display().to_string();
        output.finish()?;
        printer.result(&format!("`{folder}` is finished already"));
        return Ok(ExitStatus::Done);
    }
    if !goes_on {
        dataset.begin()?;
    }
    output.begin(&plan)?;
    write_config(&output, &config)?;

    announce(args, &dataset, &specs, &config, context);
    let started = Instant::now();
    let task = printer.task("embed", "samples", 0);
    let existing = if args.output.resume { Existing::Resume } else { Existing::Overwrite };
    let observe = |progress| match progress {
        EmbedEvent::Resumed(records) => task.set_done(records),
        EmbedEvent::Advanced(records) => task.advance(records),
    };
    let (folder, params) = (output.path(), &config.params);
    let done = match &model {
        Model::Towers(towers) => embed(towers, dataset, folder, params, existing, &observe, &interrupt::requested),
        Model::Program(program) => {
            embed(&**program, dataset, folder, params, existing, &observe, &interrupt::requested)
        }
    }?;
    drop(task);
    let seconds = started.elapsed().as_secs_f64();
    recorder.note("embed", Some(seconds));
    if done.interrupted {
        printer.warn(&format!("interrupted after {} samples; the same command with --resume goes on", done.records));
        return Ok(ExitStatus::Partial);
    }
    if let Some(shards) = &args.shards {
        let made = done.shards - shards.start;
        printer.result(&format!("{} rows in {made} shards: {}", done.rows, output.path().display()));
        output.finish()?;
        return Ok(ExitStatus::Done);
    }
    let summary = summary(recorder.report(), &config, &model, &done, seconds);
    write_summary(&output, &summary)?;
    let line = describe(&done, seconds, output.path());
    output.finish()?;
    printer.result(&line);
    Ok(ExitStatus::Done)
}

/// A range of shards.
fn shards(text: &str) -> Result<Range<usize>, String> {
    let range = text.split_once("..").and_then(|(first, end)| Some(first.parse().ok()?..end.parse().ok()?));
    range.filter(|range| range.start <= range.end).ok_or_else(|| "expected FIRST..END, such as 3..4".to_owned())
}

/// The encoders asked for, where they go together with the other arguments.
fn specs(args: &EmbedArgs, context: &Context) -> Result<Vec<EncoderSpec>, Error> {
    let specs = args.repo.specs(&args.encoder)?;
    if !args.local.is_empty() && args.local.len() != specs.len() {
        return Err(Error::LocalFolders { got: args.local.len(), expected: specs.len() });
    }
    if args.precision == Precision::Bf16 && context.device.is_cpu() {
        return Err(Error::Bf16OnCpu);
    }
    Ok(specs)
}

fn announce(args: &EmbedArgs, dataset: &Dataset, specs: &[EncoderSpec], config: &EmbedConfig, context: &Context) {
    let program = config.program.as_ref().map(|program| program.greeting.name.as_str());
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).chain(program).collect();
    let advice = |dimensions: usize| specs.iter().filter_map(move |spec| spec.advice(dimensions));
    args.dimensions.into_iter().flat_map(advice).for_each(|advice| context.printer.warn(&advice));
    context.printer.info(&format!(
        "embedding `{}` ({}) with {} on {} with {} threads",
        config.input,
        dataset.format(),
        names.join(" and "),
        context.device_name(),
        context.threads
    ));
}

fn summary<'a>(
    report: RunReport,
    settings: &'a EmbedConfig,
    model: &Model,
    done: &EmbedOutput,
    seconds: f64,
) -> EmbedSummary<'a> {
    let modality = settings.params.modality;
    let (image, text) = model.dimensions();
    EmbedSummary {
        report,
        settings,
        records: done.records,
        rows: done.rows,
        skipped: done.skipped,
        cut_files: done.cut_files,
        shards: done.shards,
        image_dimension: image.filter(|_| modality.has_image()),
        text_dimension: text.filter(|_| modality.has_text()),
        samples_per_second: (done.records_now > 0).then_some(done.records_now as f64 / seconds),
    }
}

/// What the run makes, and of what: the dataset's files, sampled where they are large, and all files of the encoders but
/// the weights, which the settings tell of. Pictures that a table names by their paths are not looked at.
fn plan(config: &EmbedConfig, input: &Input, snapshots: &[Snapshot], output: &Path) -> Result<Plan, Error> {
    let of_input = input.fingerprint().map_or_else(|| fingerprint(&input.files, Some(output), Depth::Sampled), Ok)?;
    let mut inputs = BTreeMap::from([("--input".to_owned(), of_input)]);
    for (encoder, Snapshot { folder, .. }) in config.encoders.iter().zip(snapshots) {
        for name in descriptions(folder)? {
            let print = fingerprint(&[folder.join(&name)], None, Depth::Whole)?;
            inputs.insert(format!("{name} of the encoder {}", encoder.name), print);
        }
    }
    let mut settings = toml::Table::try_from(config)?;
    // The same words mean another place in another folder.
    if input.fingerprint().is_none() {
        let place = std::path::absolute(&config.input).map_err(Error::io("resolve", Path::new(&config.input)))?;
        settings.insert("input_path".to_owned(), place.to_string_lossy().into_owned().into());
    }
    Ok(Plan {
        command: "embed".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        files: EMBED_FILES.map(ToOwned::to_owned).to_vec(),
        inputs,
        settings,
    })
}

/// The encoders with the prompt that was asked for, those of texts.
fn prompted(specs: Vec<EncoderSpec>, snapshots: &[Snapshot], prompt: Option<&str>) -> Result<Vec<EncoderSpec>, Error> {
    let Some(prompt) = prompt else { return Ok(specs) };
    if let Some(spec) = specs.iter().find(|_| specs.iter().all(|spec| spec.text.is_none())) {
        let (name, known) = (spec.name.clone(), "none".to_owned());
        return Err(EncoderError::UnknownPrompt { name, prompt: prompt.to_owned(), known }.into());
    }
    let with = |(spec, snapshot): (EncoderSpec, &Snapshot)| match spec.text {
        Some(_) => Ok(spec.with_prompt(prompt, &snapshot.folder)?),
        None => Ok(spec),
    };
    specs.into_iter().zip(snapshots).map(with).collect()
}

/// The encoders with the route and the number of coordinates that were asked for.
fn routed(specs: Vec<EncoderSpec>, snapshots: &[Snapshot], args: &EmbedArgs) -> Result<Vec<EncoderSpec>, Error> {
    let alone = specs.len() == 1;
    let with = |(spec, snapshot): (EncoderSpec, &Snapshot)| {
        let spec = match &args.route {
            // Beside an encoder of texts one of pictures has no say.
            Some(route) if alone || spec.text.is_some() => spec.with_route(route, &snapshot.folder)?,
            _ => spec,
        };
        Ok(EncoderSpec { first: args.dimensions, ..spec })
    };
    specs.into_iter().zip(snapshots).map(with).collect()
}

fn describe(done: &EmbedOutput, seconds: f64, output: &Path) -> String {
    let speed = if done.records_now > 0 { done.records_now as f64 / seconds } else { 0.0 };
    let cut = match done.cut_files {
        0 => String::new(),
        1 => ", among them the rest of a file that ends before its time".to_owned(),
        files => format!(", among them the rests of {files} files that end before their time"),
    };
    let skipped = match done.skipped {
        0 => String::new(),
        skipped => format!(", {skipped} samples skipped (errors.jsonl){cut}"),
    };
    format!("{} rows in {} shards{skipped}; {speed:.1} samples/s: {}", done.rows, done.shards, output.display())
}

/// What embeds.
enum Model {
    Towers(Towers),
    Program(Box<Program>),
}

impl Model {
    /// Coordinates of pictures' and of texts' embeddings.
    fn dimensions(&self) -> (Option<usize>, Option<usize>) {
        match self {
            Self::Towers(towers) => (towers.image_dimension(), towers.text_dimension()),
            Self::Program(program) => (program.image_dimension(), program.text_dimension()),
        }
    }
}

fn load(args: &EmbedArgs, specs: &[EncoderSpec], snapshots: &[Snapshot], context: &Context) -> Result<Model, Error> {
    if let Some(command) = &args.encoder_command {
        context.printer.info(&format!("starting `{command}`"));
        let limit = Duration::from_secs(args.encoder_timeout);
        return Ok(Model::Program(Box::new(Program::start(command, limit, interrupt::requested)?)));
    }
    let dtype = match args.precision {
        Precision::F32 => DType::F32,
        Precision::F16 => DType::F16,
        Precision::Bf16 => DType::BF16,
    };
    let towers = specs.iter().zip(snapshots).try_fold(Towers::default(), |towers, (spec, snapshot)| {
        Ok::<_, Error>(towers.with(Encoder::load(spec, &snapshot.folder, &context.device, dtype)?))
    })?;
    Ok(Model::Towers(towers))
}

/// What is embedded: what was asked for, if the encoders read it, or all that they read.
fn modality(asked: Option<Modality>, model: &Model) -> Result<Modality, Error> {
    let reads = match model.dimensions() {
        (Some(_), Some(_)) => Modality::Both,
        (Some(_), None) => Modality::Image,
        _ => Modality::Text,
    };
    match asked {
        None => Ok(reads),
        Some(asked) if reads == Modality::Both || asked == reads => Ok(asked),
        Some(asked) => Err(Error::Modality { asked, reads }),
    }
}

fn config(
    args: &EmbedArgs,
    input: &Input,
    modality: Modality,
    model: &Model,
    specs: &[EncoderSpec],
    snapshots: &[Snapshot],
    context: &Context,
) -> Result<EmbedConfig, Error> {
    let program = match (model, &args.encoder_command) {
        (Model::Program(program), Some(command)) => {
            Some(ProgramConfig { command: command.clone(), greeting: program.greeting().clone() })
        }
        _ => None,
    };
    let encoders = specs.iter().zip(snapshots).map(|(spec, snapshot)| {
        Ok(EncoderConfig {
            name: spec.name.clone(),
            repo: spec.repo.clone(),
            family: spec.family,
            revision: snapshot.commit.clone().unwrap_or_else(|| "local".to_owned()),
            weights_sha256: files_sha256(&weight_files(&snapshot.folder)?)?,
        })
    });
    // On the CPU whole batches run side by side; another device and a program have parallelism of their own.
    let parallel_batches = if context.device.is_cpu() && program.is_none() { context.threads } else { 1 };
    Ok(EmbedConfig {
        input: input.name.clone(),
        params: EmbedParams {
            modality,
            batch_size: args.batch_size,
            shard_size: args.shard_size,
            normalize: !args.no_normalize,
            max_error_rate: args.max_error_rate,
            shards: args.shards.clone(),
            workers: context.threads,
            parallel_batches,
        },
        precision: args.precision,
        device: context.device_name(),
        threads: context.threads,
        image_column: args.image_column.clone(),
        caption_column: args.caption_column.clone(),
        prompt: args.prompt.clone(),
        route: args.route.clone(),
        dimensions: args.dimensions,
        encoders: encoders.collect::<Result<_, Error>>()?,
        program,
    })
}
