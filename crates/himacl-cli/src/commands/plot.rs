//! `himacl plot`: a pairing of points in the plane or in space, as a picture.

use crate::args::refuse_existing;
use crate::error::Error;
use crate::explore::{ItemsArgs, Opened, PairingArgs, Which};
use crate::plot::{Picture, Place};
use crate::{Context, ExitStatus};
use clap::{Args, ValueEnum};
use himacl::data::files::write_atomic;
use himacl::data::{Embeddings, Error as DataError};
use himacl::explore::{Directions, PairSide, Paired, Tree, Vocabulary};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  himacl plot --pairs pairing -o pairing.svg
  himacl plot --pairs pairing --kind displacement -o field.png
  himacl plot --pairs pairing --kind levels --level 2 -o levels.svg
  himacl plot --pairs pairing --mapped barycentric.npy -o map.svg";

/// Directions that levels are divided by.
const DIRECTIONS: usize = 8;

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A line from each x to its partner.
    Lines,
    /// An arrow from each x towards its partner, without the points.
    Displacement,
    /// Both sides in the colours of their co-clusters.
    Levels,
}

/// Draw a pairing: lines to partners, a map, the displacement field, co-clusters; as SVG or PNG.
///
/// Points of two or three coordinates are drawn where they are; of more coordinates, in the two directions in which the pairs
/// agree most.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PlotArgs {
    #[command(flatten)]
    pairing: PairingArgs,

    /// What to draw.
    #[arg(long, value_enum, value_name = "KIND", default_value = "lines")]
    kind: Kind,

    /// Where each x is mapped to, in the place of its partner: a barycentric projection for example. A row for each row of x, of as many
    /// coordinates, three at most.
    #[arg(long, value_name = "EMBEDDINGS")]
    mapped: Option<PathBuf>,

    /// The level of the co-clusters: 1 is the coarsest.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=6))]
    level: u8,

    /// Pairs that are drawn, at most: a random sample of more.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    max_pairs: u32,

    /// Pixels of a side.
    #[arg(long, value_name = "PIXELS", default_value_t = 800, value_parser = clap::value_parser!(u32).range(100..=8000))]
    size: u32,

    /// The file: .svg or .png by its ending.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    /// Replace the file where it is there: a picture is not known for one of ours, as pages are.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub(crate) fn run(args: &PlotArgs, context: &Context) -> Result<ExitStatus, Error> {
    let end = args.output.extension().and_then(|end| end.to_str()).unwrap_or_default().to_ascii_lowercase();
    let png = match end.as_str() {
        "png" => true,
        "svg" => false,
        _ => return Err(Error::PictureKind(args.output.clone())),
    };
    refuse_existing(&args.output, args.force)?;
    let opened =
        Opened::read(&args.pairing, &ItemsArgs::default(), &[], Which::Kept(args.max_pairs as usize), context)?;
    let picture = picture(args, &opened, context.seed.unwrap_or_default())?;
    let file = picture.file(args.size, png)?;
    write_atomic(&args.output, |out| out.write_all(&file))?;
    let pairs = opened.paired.pairs().len();
    context.printer.result(&format!("{pairs} of {} pairs: {}", opened.all_pairs, args.output.display()));
    Ok(ExitStatus::Done)
}

fn picture(args: &PlotArgs, opened: &Opened, seed: u64) -> Result<Picture, Error> {
    let paired = &opened.paired;
    let [n, m] = paired.sizes();
    let directions = Directions::find(paired, DIRECTIONS, seed)?;
    let place = |side: usize, item: u32| -> Place {
        let row = if side == 0 { paired.x(item) } else { paired.y(item) };
        match *row {
            [x] => [f64::from(x), 0.0, 0.0],
            [x, y] => [f64::from(x), f64::from(y), 0.0],
            [x, y, z] => [f64::from(x), f64::from(y), f64::from(z)],
            _ => {
                let at = &directions.plane(side)[2 * item as usize..][..2];
                [f64::from(at[0]), f64::from(at[1]), 0.0]
            }
        }
    };
    let (shown, all) = (paired.pairs().len(), opened.all_pairs);
    let what = match args.kind {
        Kind::Lines if args.mapped.is_some() => "each x and where it is mapped to",
        Kind::Lines => "each x and its partner",
        Kind::Displacement => "from each x towards its partner",
        Kind::Levels => "the groups of the pairs",
    };
    let axis = |number: usize| {
        let kind = if paired.dimension() <= 3 { "coordinate" } else { "direction of agreement" };
        format!("{kind} {number}")
    };
    let mut picture = Picture {
        title: format!("{what}, {shown}{} pairs", if shown < all { format!(" of {all}") } else { String::new() }),
        axes: [axis(1), axis(2)],
        solid: paired.dimension() == 3,
        ..Picture::default()
    };
    let pairs = paired.pairs();
    let ends: Vec<(Place, Place)> = match &args.mapped {
        None => pairs.iter().map(|&[i, j]| (place(0, i), place(1, j))).collect(),
        Some(path) => {
            let mapped = mapped(path, opened)?;
            pairs.iter().map(|&[i, _]| (place(0, i), mapped[i as usize])).collect()
        }
    };
    let groups = if args.kind == Kind::Levels { groups(paired, &directions, args.level, seed) } else { vec![0; n] };
    match args.kind {
        Kind::Displacement => picture.arrows = ends,
        Kind::Lines => picture.lines = ends.into_iter().map(|(from, to)| (from, to, None)).collect(),
        Kind::Levels => {}
    }
    if args.kind != Kind::Displacement {
        let of_y = |j: u32| match (args.kind, paired.partners(PairSide::Y, j).next()) {
            (Kind::Levels, Some(i)) => groups[i as usize],
            _ => 1,
        };
        picture.points[0] = (0..n as u32).map(|i| (place(0, i), groups[i as usize])).collect();
        picture.points[1] = (0..m as u32).map(|j| (place(1, j), of_y(j))).collect();
    }
    Ok(picture)
}

/// The places that a file maps the rows of x to, one for each row of the input file.
fn mapped(path: &std::path::Path, opened: &Opened) -> Result<Vec<Place>, Error> {
    let mapped = Embeddings::open(path, None)?;
    let got = mapped.dimension();
    for (quantity, got, expected) in
        [("coordinates", got, opened.paired.dimension()), ("rows", mapped.num_rows(), opened.sizes[0])]
    {
        if got != expected {
            let (path, reference) = (path.to_path_buf(), opened.folder.clone());
            return Err(DataError::Disagree { path, quantity, got, expected, reference }.into());
        }
    }
    if got > 3 {
        return Err(Error::MappedTooWide { path: path.to_path_buf(), got });
    }
    let values = mapped.to_vec()?;
    let row = |&row: &u32| {
        let mut place = [0.0; 3];
        let from = &values[row as usize * got..(row as usize + 1) * got];
        place.iter_mut().zip(from).for_each(|(out, value)| *out = f64::from(*value));
        place
    };
    Ok(opened.rows[0].iter().map(row).collect())
}

/// The co-cluster of each x item at a level, or the last one above that was not divided.
fn groups(paired: &Paired, directions: &Directions, level: u8, seed: u64) -> Vec<usize> {
    let [n, m] = paired.sizes();
    let vocabulary = Vocabulary::new((0..n + m).map(|_| None));
    let tree = Tree::grow(paired, directions, &vocabulary, seed);
    let mut groups = vec![0; n];
    for (at, node) in tree.nodes.iter().enumerate().filter(|(_, node)| node.level <= u64::from(level)) {
        tree.pairs(node).iter().for_each(|&pair| groups[paired.pairs()[pair as usize][0] as usize] = at);
    }
    groups
}
