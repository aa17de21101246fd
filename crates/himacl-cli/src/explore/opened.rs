//! A pairing from the folder of `pair` or of a training run.

use super::columns::Column;
use super::items::{Items, ItemsArgs};
use crate::error::Error;
use crate::progress::SolveProgress;
use crate::{Context, report};
use candle_core::{Device, Tensor};
use clap::Args;
use himacl::data::files::read_toml;
use himacl::data::{Embeddings, center, normalize_rows, read_npy_floats, read_npy_u32};
use himacl::explore::Paired;
use himacl::train::{self, Dataset, Model};
use hiref_core::{CostKind, Permutation, UNMATCHED, WarmStart, rng};
use rand::seq::SliceRandom;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names the stream of a sample.
const SAMPLE: u64 = 0x7365_6521;

/// Which pairing, on the command line.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct PairingArgs {
    /// The folder of a finished training run.
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,

    /// The folder that `himacl pair` wrote.
    #[arg(long, value_name = "DIR")]
    pub(crate) pairs: Option<PathBuf>,
}

/// What `config.toml` of `pair` says of the points.
#[derive(Debug, Deserialize)]
struct PairSettings {
    x: PathBuf,
    y: PathBuf,
    x_key: Option<String>,
    y_key: Option<String>,
    cost: CostKind,
    center: bool,
    normalize: bool,
}

/// A pairing with its items and what was said of it when it was made.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Points, pairing, potentials.
    pub(crate) paired: Arc<Paired>,
    /// Rows of the input files, of x and of y.
    pub(crate) rows: [Vec<u32>; 2],
    /// Texts and pictures of x and of y.
    pub(crate) items: [Items; 2],
    /// Columns to colour by, and what they say of all pairs.
    pub(crate) columns: Vec<Column>,
    pub(crate) tables: Vec<report::Table>,
    /// How sure a run is of each x item's pair.
    pub(crate) confidence: Option<Vec<f32>>,
    /// Pairs that there are; fewer are looked at if it says so.
    pub(crate) all_pairs: usize,
}

/// Both sides, before they are priced.
struct Sides {
    points: [Tensor; 2],
    cost: CostKind,
    rows: [Vec<u32>; 2],
    items: [Items; 2],
    confidence: Option<Vec<f32>>,
    start: WarmStart,
    potentials: Option<(Vec<f64>, Vec<f64>)>,
}

impl Opened {
    /// Opens a pairing; of more than `most` pairs a random sample of so many.
    ///
    /// # Errors
    /// A folder without a pairing; inputs that changed; texts and pictures that do not fit.
    pub(crate) fn read(
        pairing: &PairingArgs,
        items: &ItemsArgs,
        columns: &[String],
        most: usize,
        context: &Context,
    ) -> Result<Self, Error> {
        let wanted = Wanted { items, columns };
        let (folder, sides) = match (&pairing.run, &pairing.pairs) {
            (Some(run), _) => (run, Sides::of_run(run, wanted, &context.device)?),
            (None, Some(pairs)) => (pairs, Sides::of_pairs(pairs, wanted)?),
            (None, None) => unreachable!("clap asks for one of them"),
        };
        let all_pairs = sides.start.permutation().num_pairs();
        let tables =
            Column::all(columns, &sides.items)?.iter().map(|column| column.table(sides.start.permutation())).collect();
        let sides = if all_pairs > most { sides.sample(most, context.seed.unwrap_or_default())? } else { sides };
        let columns = Column::all(columns, &sides.items)?;
        let Sides { points: [x, y], cost, rows, items, confidence, start, potentials } = sides;
        let paired = match potentials {
            Some(potentials) => Paired::new((&x, &y), cost, start.permutation().clone(), potentials)?,
            None => Paired::priced((&x, &y), cost, &start, &SolveProgress::new(&context.printer))?,
        };
        let paired = Arc::new(paired);
        Ok(Self { folder: folder.clone(), paired, rows, items, columns, tables, confidence, all_pairs })
    }

    /// Texts of x, then of y, as explanations take them; a side without any has none.
    pub(crate) fn texts(&self) -> Vec<Option<String>> {
        let sizes = self.paired.sizes();
        self.items
            .iter()
            .zip(sizes)
            .flat_map(|(items, size)| (0..size).map(|at| items.texts.get(at).cloned().flatten()))
            .collect()
    }

    /// The training runs' curves and figures, or what `pair` found, for the page.
    pub(crate) fn report(&self) -> Result<report::Story, Error> {
        let mut story = report::story(&self.folder)?;
        story.tables.extend(self.tables.iter().cloned());
        Ok(story)
    }
}

/// What columns say of the pairs of a run: a table of each.
///
/// # Errors
/// A folder without a finished run; columns that neither side has.
pub(crate) fn column_tables(
    run: &Path,
    items: &ItemsArgs,
    columns: &[String],
    context: &Context,
) -> Result<Vec<report::Table>, Error> {
    let sides = Sides::of_run(run, Wanted { items, columns }, &context.device)?;
    let columns = Column::all(columns, &sides.items)?;
    Ok(columns.iter().map(|column| column.table(sides.start.permutation())).collect())
}

/// What is wanted of the items of both sides.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    items: &'a ItemsArgs,
    columns: &'a [String],
}

impl Wanted<'_> {
    fn read(self, side: usize, embeddings: &Embeddings) -> Result<Items, Error> {
        Items::read(self.items, self.columns, side, embeddings)
    }
}

impl Sides {
    fn of_pairs(folder: &Path, wanted: Wanted<'_>) -> Result<Self, Error> {
        let config = folder.join("config.toml");
        let settings: PairSettings = read_toml(&config)?;
        let path = folder.join("permutation.npy");
        let y_of_x = read_npy_u32(&path)?;
        let x = Embeddings::open(&settings.x, settings.x_key.as_deref())?;
        let y = Embeddings::open(&settings.y, settings.y_key.as_deref())?;
        if y_of_x.len() != x.num_rows() {
            return Err(Error::WarmStartLength { path, got: y_of_x.len(), expected: x.num_rows() });
        }
        let (rows, permutation) = match Permutation::new(y_of_x.clone(), y.num_rows()) {
            Ok(permutation) => ([all(x.num_rows()), all(y.num_rows())], permutation),
            // A partial pairing: its pairs alone, because prices are those of items that all have partners.
            Err(hiref_core::Error::WrongPairCount { found, .. }) if found > 0 => {
                let paired = (0..).zip(&y_of_x).filter(|&(_, &partner)| partner != UNMATCHED);
                let (x_rows, y_rows) = paired.map(|(x, &partner)| (x, partner)).unzip();
                ([x_rows, y_rows], Permutation::identity(found))
            }
            Err(source) => return Err(Error::WarmStart { path, source }),
        };
        let is_partial = permutation.num_x() < x.num_rows().min(y.num_rows());
        let warm = folder.join("warm-start.safetensors");
        let start = if warm.is_file() && !is_partial {
            let bytes = fs::read(&warm).map_err(Error::io("read", &warm))?;
            WarmStart::from_bytes(&bytes).ok().filter(|start| *start.permutation() == permutation)
        } else {
            None
        };
        let proved = folder.join("potentials.npy");
        let potentials = if proved.is_file() && !is_partial {
            let mut f = read_npy_floats(&proved)?;
            let g = f.split_off(x.num_rows().min(f.len()));
            Some((f, g))
        } else {
            None
        };
        let points = |side: &Embeddings, rows: &[u32]| -> Result<Tensor, Error> {
            let mut values = side.to_vec()?;
            if settings.center {
                center(&mut values, side.dimension());
            }
            if settings.normalize {
                // Rows of length zero were refused when the pairing was made.
                let _ = normalize_rows(&mut values, side.dimension());
            }
            let all = Tensor::from_vec(values, (side.num_rows(), side.dimension()), &Device::Cpu)?;
            Ok(if is_partial { all.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)? } else { all })
        };
        let items = |side: usize, embeddings: &Embeddings| -> Result<Items, Error> {
            let all = wanted.read(side, embeddings)?;
            Ok(if is_partial { all.of_rows(&rows[side]) } else { all })
        };
        Ok(Self {
            points: [points(&x, &rows[0])?, points(&y, &rows[1])?],
            cost: settings.cost,
            items: [items(0, &x)?, items(1, &y)?],
            confidence: None,
            rows,
            start: start.unwrap_or_else(|| WarmStart::from(permutation)),
            potentials,
        })
    }

    fn of_run(folder: &Path, wanted: Wanted<'_>, device: &Device) -> Result<Self, Error> {
        let model = Model::load(folder, device)?;
        let recipe = train::recipe_of_run(folder)?;
        let data = Dataset::load_of_run(&recipe, folder, device)?;
        let pairs = train::pairs_of_run(&recipe, &data, folder)?;
        let of = |side: &Tensor, rows: &[u32]| side.index_select(&Tensor::new(rows, side.device())?, 0);
        let (x, y) = model.0.joint(&of(&data.source, &pairs.source)?, &of(&data.target, &pairs.target)?)?;
        let section = &recipe.data;
        let source = Embeddings::open(&section.source, section.source_key.as_deref())?;
        let target = Embeddings::open(&section.target, section.target_key.as_deref())?;
        let items = [wanted.read(0, &source)?.of_rows(&pairs.source), wanted.read(1, &target)?.of_rows(&pairs.target)];
        Ok(Self {
            points: [x.to_device(&Device::Cpu)?, y.to_device(&Device::Cpu)?],
            cost: CostKind::Cosine,
            rows: [pairs.source, pairs.target],
            items,
            confidence: Some(pairs.confidence),
            start: WarmStart::from(pairs.permutation),
            potentials: None,
        })
    }

    /// Some of the pairs, chosen at random.
    fn sample(self, most: usize, seed: u64) -> Result<Self, Error> {
        let mut pairs: Vec<(u32, u32)> = self.start.permutation().pairs().map(|(i, j)| (i as u32, j as u32)).collect();
        pairs.shuffle(&mut rng::stream(seed, &[SAMPLE]));
        pairs.truncate(most);
        pairs.sort_unstable();
        let (x, y): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
        let rows = |side: usize, kept: &[u32]| kept.iter().map(|&at| self.rows[side][at as usize]).collect();
        let points = |side: usize, kept: &[u32]| self.points[side].index_select(&Tensor::new(kept, &Device::Cpu)?, 0);
        let confidence = self.confidence.as_ref().map(|all| x.iter().map(|&i| all[i as usize]).collect());
        Ok(Self {
            points: [points(0, &x)?, points(1, &y)?],
            cost: self.cost,
            rows: [rows(0, &x), rows(1, &y)],
            items: [self.items[0].of_rows(&x), self.items[1].of_rows(&y)],
            confidence,
            start: WarmStart::from(Permutation::identity(x.len())),
            potentials: self.potentials.map(|(f, g)| {
                let of = |all: &[f64], kept: &[u32]| kept.iter().map(|&at| all[at as usize]).collect();
                (of(&f, &x), of(&g, &y))
            }),
        })
    }
}

fn all(count: usize) -> Vec<u32> {
    debug_assert!(count < UNMATCHED as usize, "checked when the pairing was made");
    (0..count as u32).collect()
}
