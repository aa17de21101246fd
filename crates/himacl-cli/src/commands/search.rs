//! `himacl search`: from texts to pictures and back, by a run's map.

use crate::error::Error;
use crate::explore::ItemsArgs;
use crate::finder::{Answer, Finder, FinderArgs, Query};
use crate::{Context, ExitStatus, page};
use clap::{Args, ValueEnum};
use himacl::data::Embeddings;
use himacl::data::files::write_text;
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  himacl search --run runs/my --text 'a red bicycle' -k 5
  himacl search --run runs/my --image photo.jpg --html found.html
  himacl search --run runs/my --embedding queries.npy --side target --json > found.json
  himacl search --run runs/my --text 'a red bicycle' --over new_images_folder";

/// One of the two sides of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SideArg {
    /// What is mapped.
    Source,
    /// What it is mapped to.
    Target,
}

/// Search among a run's items: texts find pictures, pictures find texts, through the map and its inverse.
///
/// Every query is compared with all items of the other side, as `himacl eval` compares them: by the mean cosine of both
/// directions, less what items have that are near everything. `himacl serve` does it for many queries.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    finder: FinderArgs,

    /// A text to look for.
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["image", "embedding"])]
    text: Vec<String>,

    /// A picture to look for.
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,

    /// Embeddings to look for, one a row, as the run's side was embedded.
    #[arg(long, value_name = "EMBEDDINGS")]
    embedding: Option<PathBuf>,

    /// The side that the queries are of [default: the one whose encoder reads them, or that has their dimension].
    #[arg(long, value_enum, value_name = "SIDE")]
    side: Option<SideArg>,

    /// Embeddings to search in the place of the run's own, of the side that the queries are not of.
    #[arg(long, value_name = "EMBEDDINGS")]
    over: Option<PathBuf>,

    /// Hits of each query.
    #[arg(long, short, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    k: u16,

    #[command(flatten)]
    items: ItemsArgs,

    /// Write the hits as JSON.
    #[arg(long)]
    json: bool,

    /// Write them as a page with pictures, too; an earlier page is replaced.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &SearchArgs, context: &Context) -> Result<ExitStatus, Error> {
    if let Some(html) = &args.html {
        page::check_output(html)?;
    }
    let queries = queries(args)?;
    let finder = Finder::open(&args.finder, &args.items, [None, None], context)?;
    let asked = args.side.map(|side| side as usize);
    // What replaces a side depends on the queries' side, which depends on the run.
    let side = finder.side_of(&queries[0].1, asked)?;
    let finder = match &args.over {
        None => finder,
        Some(over) if side == 0 => Finder::open(&args.finder, &args.items, [None, Some(over)], context)?,
        Some(over) => Finder::open(&args.finder, &args.items, [Some(over), None], context)?,
    };
    let mut found = Vec::new();
    for (name, query) in &queries {
        let side = finder.side_of(query, asked)?;
        let answers = finder.find(query, side, 1 - side, usize::from(args.k))?;
        let several = answers.len() > 1;
        let name = |row: usize| if several { format!("{name}, row {row}") } else { name.clone() };
        found.extend(answers.iter().enumerate().map(|(row, answer)| described(&finder, &name(row), answer)));
    }
    if let Some(html) = &args.html {
        write_text(html, &page::render_hits(&found)?)?;
    }
    let text = if args.json { format!("{:#}", Value::Array(found)) } else { in_words(&found) };
    context.printer.result(&text);
    Ok(ExitStatus::Done)
}

fn queries(args: &SearchArgs) -> Result<Vec<(String, Query)>, Error> {
    let mut queries: Vec<(String, Query)> =
        args.text.iter().map(|text| (text.clone(), Query::Text(text.clone()))).collect();
    for path in &args.image {
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        queries.push((path.display().to_string(), Query::Image(bytes)));
    }
    if let Some(path) = &args.embedding {
        let rows = Embeddings::open(path, None)?.to_tensor(&candle_core::Device::Cpu)?;
        queries.push((path.display().to_string(), Query::Rows(rows)));
    }
    Ok(queries)
}

/// One query's hits with their texts and pictures.
fn described(finder: &Finder, query: &str, answer: &Answer) -> Value {
    let items = finder.items(answer.side);
    let hits = answer.hits.iter().map(|hit| {
        let mut facts = json!({ "row": hit.item, "score": hit.score });
        if let Some(text) = items.texts.get(hit.item as usize).and_then(Option::as_ref) {
            facts["text"] = text.as_str().into();
        }
        if let Some(picture) = items.pictures.get(hit.item as usize).and_then(Option::as_ref) {
            facts["image"] = picture.to_string_lossy().into();
        }
        facts
    });
    let sides = ["source", "target"];
    json!({ "query": query, "query_side": sides[answer.asked], "side": sides[answer.side], "hits": hits.collect::<Vec<_>>() })
}

fn in_words(found: &[Value]) -> String {
    let mut text = String::new();
    for answer in found {
        let _ = writeln!(text, "{}: among the {}", plain(&answer["query"]), plain(&answer["side"]));
        for hit in answer["hits"].as_array().into_iter().flatten() {
            let name = if hit["text"].is_null() { &hit["image"] } else { &hit["text"] };
            let score = hit["score"].as_f64().unwrap_or_default();
            let _ = writeln!(text, "{:>9} {score:>8.4}  {}", hit["row"].to_string(), plain(name));
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// A text in one line, without what would control a terminal.
fn plain(value: &Value) -> String {
    value.as_str().unwrap_or_default().chars().filter(|c| !c.is_control()).take(100).collect()
}
