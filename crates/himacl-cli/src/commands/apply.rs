//! `himacl apply`: map embeddings with a finished run.

use crate::args::existing;
use crate::error::Error;
use crate::{Context, ExitStatus};
use clap::Args;
use himacl::data::output::{OutputDir, OutputFile, Plan};
use himacl::data::{Embeddings, Layout, write_like};
use himacl::train::Model;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  himacl apply --run runs/my --input images.npy --output mapped.npy
  himacl apply --run runs/my --input captions.npy --output back.npy --inverse";

/// Map embeddings by a finished run.
///
/// Mapped rows are unit vectors in the space of the other side's embeddings, to be compared with these by cosine. The run
/// itself compares more sharply, in prepared spaces (centred, projected, partly whitened): --prepared writes mapped rows
/// there, and --prepare-only brings embeddings of the other side there too. A learned cost maps both sides to a space of
/// its own, and needs these two.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "command line flags")]
#[command(after_help = EXAMPLES)]
pub(crate) struct ApplyArgs {
    /// The run's folder.
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    /// The embeddings: source rows, or target rows with --inverse.
    #[arg(long, value_name = "EMBEDDINGS")]
    input: PathBuf,

    /// The tensor to take from the input, where it is a .safetensors file with several, or `img_emb` or `text_emb` of a folder.
    #[arg(long, value_name = "NAME")]
    input_key: Option<String>,

    /// Where the mapped embeddings go, in the layout of the input.
    #[arg(long, short, value_name = "EMBEDDINGS")]
    output: PathBuf,

    /// Map target rows to the source side.
    #[arg(long)]
    inverse: bool,

    /// Leave mapped rows in the prepared space.
    #[arg(long)]
    prepared: bool,

    /// Do not map: the input is of the side that others are mapped to; bring it into the prepared space.
    #[arg(long)]
    prepare_only: bool,

    /// Replace the output of an earlier `apply`; what else lies in its folder stays.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub(crate) fn run(args: &ApplyArgs, context: &Context) -> Result<ExitStatus, Error> {
    let input = Embeddings::open(&args.input, args.input_key.as_deref())?;
    let mut output = Output::take(args, &input)?;
    let model = Model::load(&args.run, &context.device)?;
    if model.0.map.partner.is_some() && !(args.prepared || args.prepare_only) {
        return Err(Error::LearnedCost(args.run.clone()));
    }
    check_dimension(args, &input, &model)?;
    let rows = input.to_tensor(&context.device)?;
    let prepared = match (args.inverse, args.prepare_only) {
        (false, false) => model.forward(&rows)?,
        (true, false) => model.backward(&rows)?.ok_or_else(|| Error::NoInverse(args.run.clone()))?,
        (false, true) => model.targets(&rows)?,
        (true, true) => model.0.source.apply(&rows)?,
    };
    let mapped = match (args.prepared || args.prepare_only, args.inverse) {
        (true, _) => prepared,
        (false, false) => model.0.target.invert(&prepared)?,
        (false, true) => model.0.source.invert(&prepared)?,
    };
    output.begin()?;
    write_like(&input, &mapped, output.path())?;
    output.finish()?;
    context.printer.result(&format!(
        "{} rows of {} coordinates: {}",
        mapped.dims()[0],
        mapped.dims()[1],
        args.output.display()
    ));
    Ok(ExitStatus::Done)
}

/// Refuses an input that is not of the side that is mapped.
fn check_dimension(args: &ApplyArgs, input: &Embeddings, model: &Model) -> Result<(), Error> {
    let of_source = args.inverse == args.prepare_only;
    let sides = [("source", &model.0.source), ("target", &model.0.target)];
    let [(side, own), (_, other)] = if of_source { sides } else { [sides[1], sides[0]] };
    let (got, expected) = (input.dimension(), own.input_dimension());
    if got == expected {
        return Ok(());
    }
    let fits_other = got == other.input_dimension();
    let (input, run) = (args.input.clone(), args.run.clone());
    Err(Error::ApplyDimension { input, got, expected, side, run, fits_other })
}

/// What the output is: in the layout of the input.
enum Output {
    File(OutputFile),
    Folder(Box<OutputDir>, Plan),
}

impl Output {
    fn take(args: &ApplyArgs, input: &Embeddings) -> Result<Self, Error> {
        let existing = existing(args.force, false);
        let inputs = [args.input.as_path(), args.run.as_path()];
        let Layout::ClipFolder { kind, .. } = input.layout() else {
            return Ok(Self::File(OutputFile::open(&args.output, existing, inputs)?));
        };
        let folder = OutputDir::open(&args.output, "apply", existing)?;
        folder.refuse_inputs(inputs)?;
        let plan = Plan {
            command: "apply".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            files: vec![format!("{kind}/{kind}_#.npy"), "metadata/metadata_#.parquet".to_owned()],
            inputs: BTreeMap::new(),
            settings: toml::Table::new(),
        };
        Ok(Self::Folder(Box::new(folder), plan))
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(file) => file.path(),
            Self::Folder(folder, _) => folder.path(),
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        match self {
            Self::Folder(folder, plan) => Ok(folder.begin(plan)?),
            Self::File(_) => Ok(()),
        }
    }

    fn finish(self) -> Result<(), Error> {
        match self {
            Self::Folder(folder, _) => Ok(folder.finish()?),
            Self::File(_) => Ok(()),
        }
    }
}
