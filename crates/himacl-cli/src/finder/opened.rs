//! A run opened to be searched.

use super::encoders::{Query, SideEncoder, may_read};
use crate::Context;
use crate::error::Error;
use crate::explore::{Items, ItemsArgs};
use candle_core::Tensor;
use clap::Args;
use himacl::data::Embeddings;
use himacl::encoder::registry;
use himacl::search::{Gallery, Hit, IndexParams};
use himacl::train::{self, DataSide, Dataset, Model, Recipe};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Products of rows with references that corrections may take: beyond it fewer references stand for all.
const CORRECTION_PRODUCTS: usize = 1 << 31;
/// References that are enough, in any case.
const FEWEST_REFERENCES: usize = 512;
/// The sides, as positions.
const SIDES: [DataSide; 2] = [DataSide::Source, DataSide::Target];

/// Which run, and how queries are embedded.
#[derive(Debug, Clone, Args)]
pub(crate) struct FinderArgs {
    /// The folder of a finished training run.
    #[arg(long, value_name = "DIR")]
    pub(crate) run: PathBuf,

    /// The encoder of the source side [default: the one on record beside its embeddings].
    #[arg(long, value_name = "NAME")]
    pub(crate) source_encoder: Option<String>,

    /// A folder with its files.
    #[arg(long, value_name = "DIR", requires = "source_encoder")]
    pub(crate) source_local: Option<PathBuf>,

    /// The encoder of the target side [default: the one on record beside its embeddings].
    #[arg(long, value_name = "NAME")]
    pub(crate) target_encoder: Option<String>,

    /// A folder with its files.
    #[arg(long, value_name = "DIR", requires = "target_encoder")]
    pub(crate) target_local: Option<PathBuf>,

    /// Scores are plain cosines: nothing is taken off those of items that are near everything.
    #[arg(long)]
    pub(crate) plain: bool,
}

/// One side's items.
#[derive(Debug)]
struct FinderSide {
    gallery: Gallery,
    items: Items,
    encoder: Mutex<Option<SideEncoder>>,
}

/// A run's map, and the items of both sides in joint coordinates.
pub(crate) struct Finder {
    args: FinderArgs,
    recipe: Recipe,
    model: Model,
    sides: [FinderSide; 2],
    context: Context,
}

/// What was found for one query.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The side of the query: 0 is the source, 1 the target.
    pub(crate) asked: usize,
    /// The side of the hits.
    pub(crate) side: usize,
    /// The best first.
    pub(crate) hits: Vec<Hit>,
}

impl Finder {
    /// Opens a run; `over` replaces the items of a side by others of that side's space.
    ///
    /// # Errors
    /// A folder without a finished run; data that are not there any more.
    pub(crate) fn open(
        args: &FinderArgs,
        items: &ItemsArgs,
        over: [Option<&PathBuf>; 2],
        context: &Context,
    ) -> Result<Self, Error> {
        let model = Model::load(&args.run, &context.device)?;
        let recipe = train::recipe_of_run(&args.run)?;
        let data = Dataset::load_of_run(&recipe, &args.run, &context.device)?;
        let section = &recipe.data;
        let files = [(&section.source, &section.source_key), (&section.target, &section.target_key)];
        let mut opened = Vec::new();
        for (side, (path, key)) in files.into_iter().enumerate() {
            let embeddings = match over[side] {
                Some(path) => Embeddings::open(path, None)?,
                None => Embeddings::open(path, key.as_deref())?,
            };
            let rows = match (over[side], side) {
                (Some(_), _) => embeddings.to_tensor(&context.device)?,
                (None, 0) => data.source.clone(),
                (None, _) => data.target.clone(),
            };
            opened.push((joint(&model, side, &rows)?, Items::read(items, &[], side, &embeddings)?));
        }
        let [(source, source_items), (target, target_items)]: [(Tensor, Items); 2] =
            opened.try_into().unwrap_or_else(|_| unreachable!("two sides were opened"));
        let neighbours = if args.plain { 0 } else { recipe.eval.csls_neighbours };
        let side = |own: &Tensor, other: &Tensor, items: Items| -> Result<FinderSide, Error> {
            let reference = references(other, own.dims()[0])?;
            let gallery = Gallery::new(own)?.corrected(&reference, neighbours)?;
            Ok(FinderSide { gallery, items, encoder: Mutex::new(None) })
        };
        let sides = [side(&source, &target, source_items)?, side(&target, &source, target_items)?];
        Ok(Self { args: args.clone(), recipe, model, sides, context: context.clone() })
    }

    /// Adds an index to each side of more than `rows` items, if it is faster than an exact search, and says how good it is.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub(crate) fn index_beyond(&mut self, rows: usize) -> Result<(), Error> {
        for (side, name) in SIDES.iter().enumerate() {
            if self.sides[side].gallery.len() <= rows {
                continue;
            }
            let queries = self.sides[1 - side].gallery.rows().clone();
            let gallery = self.sides[side].gallery.clone().indexed(&queries, IndexParams::default())?;
            let Some(index) = gallery.index() else { continue };
            let (lists, probes) = index.lists();
            let found = format!("{probes} of {lists} lists for each query, recall@10 {:.4}", index.recall());
            if index.is_faster() {
                self.context.printer.info(&format!("index of the {name}: {found}"));
                self.sides[side].gallery = gallery;
            } else {
                self.context.printer.info(&format!("the {name} are searched exactly: an index is no faster ({found})"));
            }
        }
        Ok(())
    }

    /// Items of a side.
    pub(crate) fn items(&self, side: usize) -> &Items {
        &self.sides[side].items
    }

    /// How many there are.
    pub(crate) fn len(&self, side: usize) -> usize {
        self.sides[side].gallery.len()
    }

    /// The side that a query is of: the one asked for, else the first whose encoder reads it, or that has its dimension.
    ///
    /// # Errors
    /// Neither does, or an encoder cannot be had.
    pub(crate) fn side_of(&self, query: &Query, asked: Option<usize>) -> Result<usize, Error> {
        if let Some(side) = asked {
            return Ok(side);
        }
        if let Query::Rows(rows) = query {
            let columns = rows.dims()[1];
            let fits = [self.model.0.source.input_dimension(), self.model.0.target.input_dimension()];
            return match fits.map(|dimension| dimension == columns) {
                [true, false] => Ok(0),
                [false, true] => Ok(1),
                [true, true] => Err(Error::EitherSide { columns }),
                [false, false] => Err(Error::NeitherSide { columns, of_source: fits[0], of_target: fits[1] }),
            };
        }
        let mut refused = None;
        for side in 0..2 {
            match self.with_encoder(side, query, |encoder| Ok(encoder.reads(query))) {
                Ok(true) => return Ok(side),
                Ok(false) | Err(Error::NoReader) => {}
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or(Error::NoReader))
    }

    /// The best `count` items of `among` for each row of a query of side `side`, by default of the other side.
    ///
    /// # Errors
    /// A query that cannot be embedded, or has not the side's dimension.
    pub(crate) fn find(&self, query: &Query, side: usize, among: usize, count: usize) -> Result<Vec<Answer>, Error> {
        let rows = match query {
            Query::Rows(rows) => rows.clone(),
            _ => self.with_encoder(side, query, |encoder| encoder.embed(query))?,
        };
        let found = self.sides[among].gallery.search(&joint(&self.model, side, &rows)?, count)?;
        Ok(found.into_iter().map(|hits| Answer { asked: side, side: among, hits }).collect())
    }

    fn with_encoder<T>(
        &self,
        side: usize,
        query: &Query,
        action: impl FnOnce(&SideEncoder) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let named = [
            (self.args.source_encoder.as_deref(), self.args.source_local.as_deref()),
            (self.args.target_encoder.as_deref(), self.args.target_local.as_deref()),
        ][side];
        if let Some(spec) = named.0.and_then(|name| registry::find(name).ok())
            && !may_read(spec.modality, query)
        {
            return Err(Error::NoReader);
        }
        let mut encoder = self.sides[side].encoder.lock().unwrap_or_else(PoisonError::into_inner);
        if encoder.is_none() {
            let of_run = (&self.recipe, self.args.run.as_path(), SIDES[side]);
            *encoder = Some(SideEncoder::load(named.0, named.1, of_run, &self.context)?);
        }
        encoder.as_ref().map_or(Err(Error::NoReader), action)
    }
}

/// Rows of a side in joint coordinates.
fn joint(model: &Model, side: usize, rows: &Tensor) -> Result<Tensor, Error> {
    let rows = rows.to_device(model.0.source.device())?;
    Ok(if side == 0 { model.0.joint_sources(&rows)? } else { model.0.joint_targets(&rows)? })
}

/// Items that stand for all of a side where corrections of `others` rows would take too long by all of them.
fn references(rows: &Tensor, others: usize) -> Result<Tensor, Error> {
    let n = rows.dims()[0];
    let count = (CORRECTION_PRODUCTS / others.max(1)).max(FEWEST_REFERENCES).min(n);
    let chosen: Vec<u32> = (0..count).map(|at| (at * n / count) as u32).collect();
    Ok(rows.index_select(&Tensor::new(chosen, rows.device())?, 0)?)
}
