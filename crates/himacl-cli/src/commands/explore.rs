//! `himacl explore`: a pairing as one page to look at.

use crate::args::refuse_existing;
use crate::error::Error;
use crate::explore::{ColourArgs, ItemsArgs, Opened, PairingArgs, Scene, SceneSettings, Which};
use crate::table::counted;
use crate::{Context, ExitStatus, page};
use clap::Args;
use himacl::data::files::write_text;
use himacl::explore::Directions;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  himacl explore --pairs pairing --x-texts captions.txt --y-images pictures -o explore.html
  himacl explore --run runs/quickstart/main/seed-11 --x-texts models/quickstart/names.txt -o explore.html
  himacl explore --pairs pairing --images dataset -o explore.html        # paths and captions from the metadata
  himacl explore --pairs pairing --x-metadata metadata.parquet --colour category --colour similarity -o explore.html
  himacl explore --pairs pairing --x-texts captions.txt --tsne -o explore.html
  himacl explore --pairs pairing --x-texts captions.txt --atlas items.parquet && embedding-atlas items.parquet --x x --y y --text text";

/// Write a pairing as one HTML file that opens offline: a map of both sides, the pairs, why each was made, what lies between.
///
/// Of more pairs than --max-pairs a random sample is taken, and the page says so. Pairs that `himacl pair` did not keep (--max-cost-quantile,
/// --keep-by-margin) are left out, with their items. Runners-up, margins and counterfactuals are then those within what is shown.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExploreArgs {
    #[command(flatten)]
    pairing: PairingArgs,

    #[command(flatten)]
    items: ItemsArgs,

    #[command(flatten)]
    colours: ColourArgs,

    /// The file; an earlier page is replaced.
    #[arg(long, short, value_name = "FILE", default_value = "explore.html")]
    output: PathBuf,

    /// Write a table of the items for Embedding Atlas and other viewers, too.
    #[arg(long, value_name = "FILE.parquet")]
    atlas: Option<PathBuf>,

    /// Replace the table where it is there; a page of ours is replaced in any case.
    #[arg(long, requires = "atlas")]
    force: bool,

    /// Pairs on the page, at most.
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..))]
    max_pairs: u32,

    /// A second layout of the map to choose, by t-SNE: neighbours stay together, distances say little. On one thread: seconds for
    /// thousands of items, minutes for tens of thousands.
    #[arg(long)]
    tsne: bool,

    /// Megabytes of thumbnails, at most: they get smaller, then fewer.
    #[arg(long, value_name = "MB", default_value_t = 12)]
    max_picture_megabytes: u16,
}

/// Runs the command.
pub(crate) fn run(args: &ExploreArgs, context: &Context) -> Result<ExitStatus, Error> {
    page::check_output(&args.output)?;
    if let Some(atlas) = &args.atlas {
        refuse_existing(atlas, args.force)?;
    }
    let opened =
        Opened::read(&args.pairing, &args.items, &args.colours.colour, Which::Kept(args.max_pairs as usize), context)?;
    let settings = SceneSettings {
        picture_bytes: usize::from(args.max_picture_megabytes) * 1_000_000,
        neighbours: args.tsne,
        seed: context.seed.unwrap_or_default(),
    };
    let scene = Scene::make(&opened, settings)?;
    if let Some(atlas) = &args.atlas {
        opened.write_atlas(atlas, &Directions::find(&opened.paired, 2, settings.seed)?)?;
    }
    let html = page::render(&opened.report()?, &scene)?;
    write_text(&args.output, &html)?;
    let megabytes = html.len() as f64 / 1e6;
    let pairs = opened.paired.pairs().len();
    let left_out = match opened.rejected {
        0 => String::new(),
        rejected => format!(" ({} not kept and left out)", counted(rejected, "pair")),
    };
    let pairs = counted(pairs, "pair");
    context.printer.result(&format!("{pairs}{left_out}, {megabytes:.1} MB: {}", args.output.display()));
    Ok(ExitStatus::Done)
}
