//! `himacl serve`: a run to be searched from a browser or a program, on this machine.

use crate::error::Error;
use crate::explore::{ColourArgs, ItemsArgs, Opened, PairingArgs, Scene, SceneSettings, Which};
use crate::finder::{Finder, FinderArgs};
use crate::server::{Service, serve};
use crate::{Context, ExitStatus, page, report};
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const EXAMPLES: &str = "\
Examples:
  himacl serve --run runs/my
  himacl serve --run runs/my --port 1234 --x-images pictures --no-explorer
  himacl serve --run runs/my --colour category
  curl -d '{\"text\": \"a red bicycle\", \"modality\": \"image\", \"num_images\": 5}' localhost:1234/knn-service";

/// Megabytes of thumbnails in the explorer.
const PICTURE_BYTES: usize = 12_000_000;

/// Serve a run as a local web page with a search box and the explorer, and the call of clip-retrieval's client.
///
/// `ClipClient(url="http://127.0.0.1:PORT/knn-service", indice_name="himacl")` asks it. Only this machine is served
/// unless --listen says otherwise; there is no password.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    finder: FinderArgs,

    #[command(flatten)]
    items: ItemsArgs,

    #[command(flatten)]
    colours: ColourArgs,

    /// The port; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 1234)]
    port: u16,

    /// The address to listen on: whoever reaches it can search.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,

    /// Sides of more items than this are searched by an index, whose recall is measured first.
    #[arg(long, value_name = "ROWS", default_value_t = 1_000_000)]
    index_beyond: usize,

    /// Pairs of the explorer, at most.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    max_pairs: u32,

    /// Leave the explorer out, which takes time to be worked out: the search box alone.
    #[arg(long, conflicts_with = "colour")]
    no_explorer: bool,
}

/// Runs the command.
pub(crate) fn run(args: &ServeArgs, context: &Context) -> Result<ExitStatus, Error> {
    let printer = &context.printer;
    let mut finder = Finder::open(&args.finder, &args.items, [None, None], context)?;
    finder.index_beyond(args.index_beyond)?;
    let page = if args.no_explorer {
        page::render_served(&report::story(&args.finder.run)?, &())?
    } else {
        let pairing = PairingArgs { run: Some(args.finder.run.clone()), pairs: None };
        let opened =
            Opened::read(&pairing, &args.items, &args.colours.colour, Which::Kept(args.max_pairs as usize), context)?;
        let settings =
            SceneSettings { picture_bytes: PICTURE_BYTES, neighbours: false, seed: context.seed.unwrap_or_default() };
        page::render_served(&opened.report()?, &Scene::make(&opened, settings)?)?
    };
    if !args.listen.is_loopback() {
        printer.warn(&format!("whoever reaches {} can search this run and see its items", args.listen));
    }
    let service = Service { page, finder, name: "himacl".to_owned(), workers: context.threads };
    serve(service, SocketAddr::new(args.listen, args.port), |address| {
        printer.result(&format!("http://{address}/"));
    })?;
    Ok(ExitStatus::Done)
}
