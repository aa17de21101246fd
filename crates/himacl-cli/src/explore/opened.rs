//! A pairing from the folder of `pair` or of a training run.

use super::columns::Column;
use super::items::{Items, ItemsArgs};
use crate::error::Error;
use crate::matching::MatchingArgs;
use crate::progress::SolveProgress;
use crate::{Context, report};
use candle_core::{Device, Tensor};
use clap::Args;
use himacl::data::files::{read_json, read_toml};
use himacl::data::{Embeddings, normalize_rows, read_candidates, read_npy_floats, read_npy_u32};
use himacl::explore::Paired;
use himacl::train::{self, Dataset, Model};
use hiref_core::matching::{Capacity, MatchingParams};
use hiref_core::{CostKind, Permutation, UNMATCHED, WarmStart, rng};
use rand::seq::SliceRandom;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
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

/// What `config.toml` of `pair` says of the points, and of the kind of matching.
#[derive(Debug, Deserialize)]
struct PairSettings {
    x: PathBuf,
    y: PathBuf,
    x_key: Option<String>,
    y_key: Option<String>,
    cost: CostKind,
    center: bool,
    normalize: bool,
    matching: Option<MatchingArgs>,
    #[serde(default)]
    selection: PairSelection,
}

/// What it says of which pairs are kept.
#[derive(Debug, Default, Deserialize)]
struct PairSelection {
    max_cost_quantile: Option<f64>,
    keep_by_margin: Option<f64>,
}

/// What `summary.json` of `pair` says of single items.
#[derive(Debug, Deserialize)]
struct PairSummary {
    unmatched_cost: Option<f64>,
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
    /// Rows that the input files have.
    pub(crate) sizes: [usize; 2],
    /// The pairs that were kept, by rows, where some were not and all are looked at.
    pub(crate) kept: Option<HashSet<[u32; 2]>>,
    /// Pairs that were not kept.
    pub(crate) rejected: usize,
}

/// Which pairs are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    /// All.
    All,
    /// Those that were kept; of more than so many a random sample.
    Kept(usize),
}

/// Both sides, before they are priced.
struct Sides {
    points: [Tensor; 2],
    cost: CostKind,
    rows: [Vec<u32>; 2],
    items: [Items; 2],
    /// By x item.
    confidence: Option<Vec<f32>>,
    /// `[x, y]`, by x.
    pairs: Vec<[u32; 2]>,
    params: MatchingParams,
    prices: Prices,
    /// Rows of the input files.
    sizes: [usize; 2],
    /// The pairs that were kept, by rows, where some were not.
    kept: Option<HashSet<[u32; 2]>>,
}

/// Where the potentials come from.
enum Prices {
    /// They are there.
    Known(Vec<f64>, Vec<f64>),
    /// From a solve that starts from the pairing, which is one to one.
    From(WarmStart),
    /// From a solve of the matching.
    Solve,
}

impl Opened {
    /// Opens a pairing.
    ///
    /// # Errors
    /// A folder without a pairing; inputs that changed; texts and pictures that do not fit.
    pub(crate) fn read(
        pairing: &PairingArgs,
        items: &ItemsArgs,
        columns: &[String],
        which: Which,
        context: &Context,
    ) -> Result<Self, Error> {
        let wanted = Wanted { items, columns };
        let (folder, sides) = match (&pairing.run, &pairing.pairs) {
            (Some(run), _) => (run, Sides::of_run(run, wanted, &context.device)?),
            (None, Some(pairs)) => (pairs, Sides::of_pairs(pairs, wanted)?),
            (None, None) => unreachable!("clap asks for one of them"),
        };
        let (sizes, whole) = (sides.sizes, sides.pairs.len());
        let (kept, sides) = match which {
            Which::All => (sides.kept.clone(), sides),
            Which::Kept(_) => (None, sides.only_kept()?),
        };
        let all_pairs = sides.pairs.len();
        let tables = Column::all(columns, &sides.items)?.iter().map(|column| column.table(&sides.pairs)).collect();
        let sides = match which {
            Which::Kept(most) if all_pairs > most => sides.sample(most, context.seed.unwrap_or_default())?,
            _ => sides,
        };
        let columns = Column::all(columns, &sides.items)?;
        let Sides { points: [x, y], cost, rows, items, confidence, pairs, params, prices, .. } = sides;
        let observer = SolveProgress::new(&context.printer);
        let paired = match prices {
            Prices::Known(f, g) => Paired::new((&x, &y), cost, pairs, params, (f, g))?,
            Prices::From(start) => Paired::priced((&x, &y), cost, &start, &observer)?,
            Prices::Solve => Paired::matched((&x, &y), cost, pairs, params, &observer)?,
        };
        let paired = Arc::new(paired);
        let (folder, rejected) = (folder.clone(), whole - all_pairs);
        Ok(Self { folder, paired, rows, items, columns, tables, confidence, all_pairs, sizes, kept, rejected })
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
    Ok(columns.iter().map(|column| column.table(&sides.pairs)).collect())
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
        let settings = settings_of(folder)?;
        let x = Embeddings::open(&settings.x, settings.x_key.as_deref())?;
        let y = Embeddings::open(&settings.y, settings.y_key.as_deref())?;
        let sizes = [x.num_rows(), y.num_rows()];
        let proved = folder.join("potentials.npy");
        let potentials = || -> Result<Option<Prices>, Error> {
            if !proved.is_file() {
                return Ok(None);
            }
            let mut f = read_npy_floats(&proved)?;
            let g = f.split_off(sizes[0].min(f.len()));
            Ok(Some(Prices::Known(f, g)))
        };
        let another = settings.matching.as_ref().filter(|matching| matching.any());
        let (rows, pairs, params, prices) = if let Some(matching) = another {
            let params = matching_params(folder, matching, [&x, &y])?;
            let pairs = matched_pairs(folder, sizes)?;
            ([all(sizes[0]), all(sizes[1])], pairs, params, potentials()?.unwrap_or(Prices::Solve))
        } else {
            let (rows, start) = one_to_one(folder, sizes)?;
            let pairs = start.permutation().pairs().map(|(i, j)| [i as u32, j as u32]).collect();
            let is_partial = rows[0].len().min(rows[1].len()) < sizes[0].min(sizes[1]);
            let known = if is_partial { None } else { potentials()? };
            (rows, pairs, MatchingParams::default(), known.unwrap_or(Prices::From(start)))
        };
        let points = |side: &Embeddings, rows: &[u32]| -> Result<Tensor, Error> {
            let mut values = if settings.center { side.to_centered_vec()? } else { side.to_vec()? };
            if settings.normalize {
                // Rows of length zero were refused when the pairing was made.
                let _ = normalize_rows(&mut values, side.dimension());
            }
            let all = Tensor::from_vec(values, (side.num_rows(), side.dimension()), &Device::Cpu)?;
            Ok(if rows.len() < side.num_rows() { all.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)? } else { all })
        };
        let items = |side: usize, embeddings: &Embeddings| -> Result<Items, Error> {
            let all = wanted.read(side, embeddings)?;
            Ok(if rows[side].len() < sizes[side] { all.of_rows(&rows[side]) } else { all })
        };
        let PairSelection { max_cost_quantile, keep_by_margin } = settings.selection;
        let selects = max_cost_quantile.is_some() || keep_by_margin.is_some();
        Ok(Self {
            points: [points(&x, &rows[0])?, points(&y, &rows[1])?],
            cost: settings.cost,
            items: [items(0, &x)?, items(1, &y)?],
            confidence: None,
            rows,
            pairs,
            params,
            prices,
            sizes,
            kept: selects.then(|| listed_pairs(folder, sizes).map(HashSet::from_iter)).transpose()?,
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
            pairs: pairs.permutation.pairs().map(|(i, j)| [i as u32, j as u32]).collect(),
            params: MatchingParams::default(),
            prices: Prices::From(WarmStart::from(pairs.permutation)),
            sizes: [source.num_rows(), target.num_rows()],
            kept: None,
        })
    }

    /// Some of the pairs, chosen at random, and as large a share of the single items.
    fn sample(self, most: usize, seed: u64) -> Result<Self, Error> {
        let generator = &mut rng::stream(seed, &[SAMPLE]);
        let mut pairs = self.pairs.clone();
        pairs.shuffle(generator);
        pairs.truncate(most);
        let singles = [0, 1].map(|side| {
            let mut singles = self.singles(side);
            singles.shuffle(generator);
            singles.truncate(singles.len() * most / self.pairs.len());
            singles
        });
        self.only(&pairs, &singles)
    }

    /// The pairs that were kept, without the items of the others, and all single items.
    fn only_kept(mut self) -> Result<Self, Error> {
        let Some(kept) = self.kept.take() else { return Ok(self) };
        let of_rows = |&[x, y]: &[u32; 2]| [self.rows[0][x as usize], self.rows[1][y as usize]];
        let pairs: Vec<[u32; 2]> = self.pairs.iter().copied().filter(|pair| kept.contains(&of_rows(pair))).collect();
        let singles = [0, 1].map(|side| self.singles(side));
        if pairs.len() == self.pairs.len() { Ok(self) } else { self.only(&pairs, &singles) }
    }

    /// The items of a side without a partner.
    fn singles(&self, side: usize) -> Vec<u32> {
        let mut paired = vec![false; self.rows[side].len()];
        self.pairs.iter().for_each(|pair| paired[pair[side] as usize] = true);
        (0..paired.len() as u32).filter(|&item| !paired[item as usize]).collect()
    }

    /// Some of the pairs and of the single items.
    fn only(self, pairs: &[[u32; 2]], singles: &[Vec<u32>; 2]) -> Result<Self, Error> {
        let kept = [0, 1].map(|side: usize| {
            let mut kept: Vec<u32> = pairs.iter().map(|pair| pair[side]).chain(singles[side].iter().copied()).collect();
            kept.sort_unstable();
            kept.dedup();
            kept
        });
        let place = |side: usize, item: u32| kept[side].binary_search(&item).ok().map(|at| at as u32);
        let placed = |[x, y]: &[u32; 2]| Some([place(0, *x)?, place(1, *y)?]);
        let params = restricted(&self.params, [&self.pairs, pairs], &kept, placed);
        let mut pairs: Vec<[u32; 2]> = pairs.iter().filter_map(placed).collect();
        pairs.sort_unstable();
        let rows = |side: usize| kept[side].iter().map(|&at| self.rows[side][at as usize]).collect();
        let points =
            |side: usize| self.points[side].index_select(&Tensor::new(kept[side].as_slice(), &Device::Cpu)?, 0);
        let prices = match self.prices {
            Prices::Known(f, g) => {
                let of = |all: &[f64], kept: &[u32]| kept.iter().map(|&at| all[at as usize]).collect();
                Prices::Known(of(&f, &kept[0]), of(&g, &kept[1]))
            }
            Prices::From(_) => {
                let mut y_of_x = vec![UNMATCHED; kept[0].len()];
                pairs.iter().for_each(|&[x, y]| y_of_x[x as usize] = y);
                Prices::From(WarmStart::from(Permutation::new(y_of_x, kept[1].len())?))
            }
            Prices::Solve => Prices::Solve,
        };
        Ok(Self {
            points: [points(0)?, points(1)?],
            cost: self.cost,
            rows: [rows(0), rows(1)],
            items: [self.items[0].of_rows(&kept[0]), self.items[1].of_rows(&kept[1])],
            confidence: self.confidence.map(|all| kept[0].iter().map(|&i| all[i as usize]).collect()),
            pairs,
            params,
            prices,
            sizes: self.sizes,
            kept: None,
        })
    }
}

/// The pairing of a folder, and the rows that it is of: of a partial one the pairs alone, because prices are those of items that
/// all have partners.
fn one_to_one(folder: &Path, [n, m]: [usize; 2]) -> Result<([Vec<u32>; 2], WarmStart), Error> {
    let path = folder.join("permutation.npy");
    let y_of_x = read_npy_u32(&path)?;
    if y_of_x.len() != n {
        return Err(Error::WarmStartLength { path, got: y_of_x.len(), expected: n });
    }
    let permutation = match Permutation::new(y_of_x.clone(), m) {
        Ok(permutation) => permutation,
        Err(hiref_core::Error::WrongPairCount { found, .. }) if found > 0 => {
            let paired = (0..).zip(&y_of_x).filter(|&(_, &partner)| partner != UNMATCHED);
            let (x_rows, y_rows) = paired.map(|(x, &partner)| (x, partner)).unzip();
            return Ok(([x_rows, y_rows], WarmStart::from(Permutation::identity(found))));
        }
        Err(source) => return Err(Error::WarmStart { path, source }),
    };
    let warm = folder.join("warm-start.safetensors");
    let start = if warm.is_file() {
        let bytes = fs::read(&warm).map_err(Error::io("read", &warm))?;
        WarmStart::from_bytes(&bytes).ok().filter(|start| *start.permutation() == permutation)
    } else {
        None
    };
    Ok(([all(n), all(m)], start.unwrap_or_else(|| WarmStart::from(permutation))))
}

/// What a matching of another kind may look like; a number of pairs is said by the price that was found for it.
fn matching_params(folder: &Path, matching: &MatchingArgs, sides: [&Embeddings; 2]) -> Result<MatchingParams, Error> {
    let mut params = matching.resolve(sides.map(Embeddings::num_rows), Some(sides))?.params;
    if params.num_pairs.is_some() {
        let summary: PairSummary = read_json(&folder.join("summary.json"))?;
        params.unmatched_cost = summary.unmatched_cost;
        params.num_pairs = params.num_pairs.filter(|_| params.unmatched_cost.is_none());
    }
    Ok(params)
}

/// The pairs of a matching of another kind.
fn matched_pairs(folder: &Path, [n, m]: [usize; 2]) -> Result<Vec<[u32; 2]>, Error> {
    let path = folder.join("permutation.npy");
    if path.is_file() {
        let y_of_x = read_npy_u32(&path)?;
        if y_of_x.len() != n {
            return Err(Error::WarmStartLength { path, got: y_of_x.len(), expected: n });
        }
        return Ok((0..).zip(y_of_x).filter(|&(_, y)| y != UNMATCHED).map(|(x, y)| [x, y]).collect());
    }
    // Items with several partners are listed alone.
    listed_pairs(folder, [n, m])
}

/// What config.toml says of the pairing in a folder.
fn settings_of(folder: &Path) -> Result<PairSettings, Error> {
    let path = folder.join("config.toml");
    if folder.join("permutation.npy").is_file() && !path.exists() {
        return Err(Error::NoPoints { folder: folder.to_path_buf(), given_costs: false });
    }
    let settings: toml::Table = read_toml(&path)?;
    let matching = settings.get("matching").and_then(toml::Value::as_table);
    if matching.is_some_and(|matching| ["cost_matrix", "candidates"].iter().any(|key| matching.contains_key(*key))) {
        return Err(Error::NoPoints { folder: folder.to_path_buf(), given_costs: true });
    }
    read_toml(&path).map_err(Error::from)
}

/// The pairs of pairs.parquet, by rows.
fn listed_pairs(folder: &Path, [n, m]: [usize; 2]) -> Result<Vec<[u32; 2]>, Error> {
    let path = folder.join("pairs.parquet");
    let listed = read_candidates(&path)?;
    for (got, expected) in listed.sizes.into_iter().zip([n, m]) {
        if got > expected {
            let (path, reference) = (path.clone(), folder.join("config.toml"));
            return Err(himacl::data::Error::Disagree { path, quantity: "rows", got, expected, reference }.into());
        }
    }
    Ok(listed.pairs.into_iter().map(|(x, y, _)| [x, y]).collect())
}

/// The same kind of matching of some of the items: places that pairs beyond `[all, chosen]` take are taken.
fn restricted(
    params: &MatchingParams,
    [all, chosen]: [&[[u32; 2]]; 2],
    kept: &[Vec<u32>; 2],
    placed: impl Fn(&[u32; 2]) -> Option<[u32; 2]>,
) -> MatchingParams {
    let capacity = |capacity: &Capacity, side: usize| {
        let mut taken: HashMap<u32, u32> = HashMap::new();
        all.iter().for_each(|pair| *taken.entry(pair[side]).or_default() += 1);
        chosen.iter().for_each(|pair| *taken.entry(pair[side]).or_default() -= 1);
        let of = |item: &u32| {
            let places = match capacity {
                Capacity::One => 1,
                Capacity::All(each) => *each,
                Capacity::Each(each) => each[*item as usize],
            };
            places - taken.get(item).copied().unwrap_or_default().min(places)
        };
        if *capacity == Capacity::One { Capacity::One } else { Capacity::Each(kept[side].iter().map(of).collect()) }
    };
    let groups = params
        .groups
        .as_ref()
        .map(|groups| [0, 1].map(|side: usize| kept[side].iter().map(|&item| groups[side][item as usize]).collect()));
    MatchingParams {
        unmatched_cost: params.unmatched_cost,
        num_pairs: params.num_pairs.map(|_| chosen.len()),
        x_capacity: capacity(&params.x_capacity, 0),
        y_capacity: capacity(&params.y_capacity, 1),
        forbidden: params.forbidden.iter().filter_map(placed).collect(),
        groups,
    }
}

fn all(count: usize) -> Vec<u32> {
    debug_assert!(count < UNMATCHED as usize, "checked when the pairing was made");
    (0..count as u32).collect()
}
