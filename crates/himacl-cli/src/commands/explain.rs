//! `himacl explain`: why two items are partners, as data.

use crate::error::Error;
use crate::explore::{ItemsArgs, Opened, PairingArgs, Which, in_words};
use crate::{Context, ExitStatus};
use clap::{ArgGroup, Args};
use himacl::explore::{Explainer, Item};
use serde_json::Value;

const EXAMPLES: &str = "\
Examples:
  himacl explain --pairs pairing --x 17
  himacl explain --pairs pairing --x 17 --y 4 --x-texts captions.txt --json | jq '.[0].removals'
  himacl explain --run runs/quickstart/main/seed-11 --x 340 --x-texts models/quickstart/names.txt";

/// Explain pairs: runners-up, directions that carry the match, what removal would change it, what lies between.
///
/// The same as one pair of `himacl explore`, in all coordinates and among all pairs; of a pair that `himacl pair` did not keep
/// (--max-cost-quantile, --keep-by-margin) it says so.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("rows").required(true).multiple(true))]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pairing: PairingArgs,

    #[command(flatten)]
    items: ItemsArgs,

    /// Rows of x whose pairs are explained.
    #[arg(long, value_name = "ROW", num_args = 1.., group = "rows")]
    x: Vec<u32>,

    /// Rows of y whose pairs are explained.
    #[arg(long, value_name = "ROW", num_args = 1.., group = "rows")]
    y: Vec<u32>,

    /// Runners-up and directions of each.
    #[arg(long, short, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    k: u16,

    /// Write a list of explanations as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &ExplainArgs, context: &Context) -> Result<ExitStatus, Error> {
    let opened = Opened::read(&args.pairing, &args.items, &[], Which::All, context)?;
    let asked = [(0, &args.x), (1, &args.y)];
    let asked = asked.into_iter().flat_map(|(side, rows)| rows.iter().map(move |&row| (side, row)));
    let items = asked.map(|(side, row)| {
        let item = opened.item_of_row(side, row);
        let missing = || {
            let (name, rows, folder) = (["x", "y"][side], opened.sizes[side], opened.folder.clone());
            if row as usize >= rows {
                Error::NoRow { side: name, row, rows, folder }
            } else {
                Error::NoPair { side: name, row, folder }
            }
        };
        item.map(|item| (row, side, item)).ok_or_else(missing)
    });
    let items = items.collect::<Result<Vec<_>, Error>>()?;
    let texts = opened.texts();
    let explainer = Explainer::new(opened.paired.clone(), &texts, context.seed.unwrap_or_default())?;
    let mut found: Vec<Value> = Vec::new();
    for (row, side, item) in items {
        let of = if side == 0 { Item::X(item) } else { Item::Y(item) };
        let pairs = explainer.explain(of, usize::from(args.k))?;
        found.extend(pairs.iter().map(|pair| opened.explanation(pair)));
        if pairs.is_empty() {
            let missing = || Error::NoPair { side: ["x", "y"][side], row, folder: opened.folder.clone() };
            found.push(opened.single(&explainer.single(of, usize::from(args.k))?.ok_or_else(missing)?));
        }
    }
    let text = if args.json {
        format!("{:#}", Value::Array(found))
    } else {
        found.iter().map(in_words).collect::<Vec<_>>().join("\n\n")
    };
    context.printer.result(&text);
    Ok(ExitStatus::Done)
}
