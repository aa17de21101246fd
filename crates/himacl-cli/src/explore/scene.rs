//! All that the page shows of a pairing.

use super::layout::by_neighbours;
use super::opened::Opened;
use super::pack::{Pack, base64};
use crate::error::Error;
use crate::pictures::Sheets;
use himacl::explore::{
    Directions, PairSide, Paired, Removal, Rival, Rivals, Tree, Vocabulary, margins, neighbourhood, removals, rivals,
};
use hiref_core::UNMATCHED;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

/// Runners-up of each item.
const RIVALS: usize = 5;
/// Directions, and items at their ends.
const DIRECTIONS: usize = 32;
const END_ITEMS: usize = 6;
/// Pairs that are paired again for a counterfactual.
const AROUND: usize = 16;
/// Characters of a text; what follows is cut, and that is said.
const LONGEST_TEXT: usize = 12_000;

/// What the page may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SceneSettings {
    /// Bytes of all thumbnails.
    pub(crate) picture_bytes: usize,
    /// Whether the map has a second layout, by t-SNE.
    pub(crate) neighbours: bool,
    /// Seed of directions and tree.
    pub(crate) seed: u64,
}

/// A pairing as texts that a page carries.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Scene {
    /// Numbers and texts.
    pub(crate) data: String,
    /// Sheets of thumbnails.
    pub(crate) sheets: Vec<String>,
}

/// What is found of all pairs.
struct Found {
    of_x: Vec<Rivals>,
    of_y: Vec<Rivals>,
    margins: Vec<f64>,
    removals: Vec<Vec<Removal>>,
    directions: Directions,
    vocabulary: Vocabulary,
    tree: Tree,
}

impl Scene {
    /// Works everything out; O((n + m) m d).
    ///
    /// # Errors
    /// A failed tensor operation.
    pub(crate) fn make(opened: &Opened, settings: SceneSettings) -> Result<Self, Error> {
        let paired = &opened.paired;
        let found = Found::of(opened, settings.seed)?;
        let mut pack = Pack::default();
        facts(&mut pack, opened);
        pairs(&mut pack, opened, &found);
        let columns = opened.columns.iter().enumerate().map(|(at, column)| column.pack(&mut pack, at));
        let columns: Vec<Value> = columns.collect();
        pack.json("columns", &columns.into());
        alternatives(&mut pack, paired, &found);
        places(&mut pack, &found.directions);
        if settings.neighbours {
            plane(&mut pack, "near", &by_neighbours(&found.directions));
        }
        pack.json("directions", &json!(found.directions.describe_all(END_ITEMS, &found.vocabulary)));
        pack.json("tree", &json!(found.tree.nodes));
        pack.whole("treeOrder", &found.tree.order);
        let sheets = opened.pictures(&mut pack, &found.margins, settings.picture_bytes);
        Ok(Self { data: pack.finish(), sheets })
    }
}

impl Found {
    fn of(opened: &Opened, seed: u64) -> Result<Self, Error> {
        let paired = &opened.paired;
        let all = |side: usize| (0..paired.sizes()[side] as u32).collect::<Vec<u32>>();
        let of_x = rivals(paired, PairSide::X, &all(0), RIVALS)?;
        let of_y = rivals(paired, PairSide::Y, &all(1), RIVALS)?;
        let texts = opened.texts();
        let vocabulary = Vocabulary::new(texts.iter().map(|text| text.as_deref()));
        let directions = Directions::find(paired, DIRECTIONS, seed)?;
        let tree = Tree::grow(paired, &directions, &vocabulary, seed);
        let removal = |&pair: &[u32; 2]| {
            let around = neighbourhood(paired, pair, AROUND, |x| Some(&of_x[x as usize]));
            removals(paired, pair, &of_x[pair[0] as usize], &around)
        };
        let removals = paired.pairs().par_iter().map(removal).collect();
        let margins = margins(paired, &of_x, &of_y);
        Ok(Self { of_x, of_y, margins, removals, directions, vocabulary, tree })
    }
}

fn facts(pack: &mut Pack, opened: &Opened) {
    let paired = &opened.paired;
    let [n, m] = paired.sizes();
    let (mean, bound) = (paired.mean_cost(), paired.dual_bound());
    pack.fact("n", n);
    pack.fact("m", m);
    pack.fact("allPairs", opened.all_pairs);
    pack.fact("pairs", paired.pairs().len());
    pack.fact("costKind", paired.cost().name());
    pack.fact("meanCost", mean);
    pack.fact("bound", bound);
    pack.whole("rowsX", &opened.rows[0]);
    pack.whole("rowsY", &opened.rows[1]);
    for (name, items) in [("textsX", &opened.items[0]), ("textsY", &opened.items[1])] {
        let cut = |text: &Option<String>| {
            let text = text.as_ref()?;
            let end = text.char_indices().nth(LONGEST_TEXT).map(|(at, _)| at);
            Some(end.map_or_else(|| text.clone(), |end| format!("{} …", &text[..end])))
        };
        pack.texts(name, &items.texts.iter().map(cut).collect::<Vec<_>>());
    }
}

/// What each pair is: partner, cost, margin, confidence, disagreement with the nearest neighbour.
fn pairs(pack: &mut Pack, opened: &Opened, found: &Found) {
    let paired = &opened.paired;
    let of_pair = |value: &dyn Fn(u32, u32) -> f64| -> Vec<f32> {
        paired.pairs().iter().map(|&[i, j]| value(i, j) as f32).collect()
    };
    pack.whole("pairX", &paired.pairs().iter().map(|pair| pair[0]).collect::<Vec<_>>());
    pack.whole("pairY", &paired.pairs().iter().map(|pair| pair[1]).collect::<Vec<_>>());
    pack.floats("cost", of_pair(&|i, j| paired.between(i, j)));
    pack.floats("reduced", of_pair(&|i, j| paired.reduced_cost(i, j)));
    pack.floats("margin", found.margins.iter().map(|&margin| margin as f32));
    pack.floats("beyondNearest", of_pair(&|i, j| paired.between(i, j) - found.of_x[i as usize].nearest.cost));
    if let Some(confidence) = &opened.confidence {
        pack.floats("confidence", of_pair(&|i, _| f64::from(confidence[i as usize])));
    }
}

/// Nearest items, runners-up, counterfactuals.
fn alternatives(pack: &mut Pack, paired: &Paired, found: &Found) {
    for (name, all) in [("X", &found.of_x), ("Y", &found.of_y)] {
        pack.whole(&format!("nearest{name}"), &all.iter().map(|rivals| rivals.nearest.item).collect::<Vec<_>>());
        pack.floats(&format!("nearestCost{name}"), all.iter().map(|rivals| rivals.nearest.cost as f32));
        let slots = all.iter().flat_map(|rivals| (0..RIVALS).map(|at| rivals.runners_up.get(at)));
        let slots: Vec<_> = slots.collect();
        let items: Vec<u32> = slots.iter().map(|rival| rival.map_or(UNMATCHED, |rival| rival.item)).collect();
        pack.whole(&format!("rivals{name}"), &items);
        let of = |value: fn(&Rival) -> f64| -> Vec<f32> {
            slots.iter().map(|rival| rival.map_or(f32::NAN, |rival| value(rival) as f32)).collect()
        };
        pack.floats(&format!("rivals{name}Cost"), of(|rival| rival.cost));
        pack.floats(&format!("rivals{name}Reduced"), of(|rival| rival.reduced_cost));
    }
    pack.fact("rivals", RIVALS);
    let mut starts = vec![0u32];
    for removals in &found.removals {
        starts.push(starts[starts.len() - 1] + removals.len() as u32);
    }
    let all = || found.removals.iter().flatten();
    pack.whole("removalStart", &starts);
    pack.whole("removed", &all().map(|removal| removal.removed).collect::<Vec<_>>());
    pack.whole("removalPartner", &all().map(|removal| removal.partner).collect::<Vec<_>>());
    pack.whole("removalOthers", &all().map(|removal| removal.others).collect::<Vec<_>>());
    pack.fact("around", AROUND.min(paired.pairs().len()));
}

/// Where all items lie: on the map, and along the directions.
fn places(pack: &mut Pack, directions: &Directions) {
    plane(pack, "plane", &[directions.plane(0), directions.plane(1)]);
    let width = directions.len();
    let scale = |k: usize| {
        let largest = [0, 1].into_iter().flat_map(|side| directions.coordinates(side).iter().skip(k).step_by(width));
        largest.fold(0.0f32, |largest, value| largest.max(value.abs())) / 127.0
    };
    let scales: Vec<f32> = (0..width).map(scale).collect();
    pack.fact("width", width);
    pack.bytes("alongX", directions.coordinates(0), &scales);
    pack.bytes("alongY", directions.coordinates(1), &scales);
    pack.floats("scales", scales);
    pack.fact("meanContributions", directions.mean_contributions().iter().map(|&v| json!(v)).collect::<Vec<Value>>());
}

/// Places of both sides in one square.
fn plane(pack: &mut Pack, name: &str, planes: &[impl AsRef<[f32]>; 2]) {
    let values = || planes.iter().flat_map(|plane| plane.as_ref().iter().copied());
    let (least, most) = (values().fold(f32::INFINITY, f32::min), values().fold(f32::NEG_INFINITY, f32::max));
    for (plane, side) in planes.iter().zip(["X", "Y"]) {
        pack.places(&format!("{name}{side}"), plane.as_ref(), least, most);
    }
}

impl Opened {
    /// Adds the thumbnails of both sides: where all of them do not fit, those of the most doubtful and the surest pairs.
    fn pictures(&self, pack: &mut Pack, margins: &[f64], budget: usize) -> Vec<String> {
        let pairs = self.paired.pairs();
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        order.sort_by(|&a, &b| margins[a].total_cmp(&margins[b]));
        let (doubtful, sure) = order.split_at(order.len() / 2);
        let mut ends: Vec<usize> = Vec::with_capacity(order.len());
        let mut sure = sure.iter().rev();
        for &pair in doubtful {
            ends.push(pair);
            ends.extend(sure.next());
        }
        ends.extend(sure);
        let has = self.items.each_ref().map(|items| !items.pictures.is_empty());
        let share = budget / has.iter().filter(|&&has| has).count().max(1);
        let mut files = Vec::new();
        for (side, name) in ["X", "Y"].into_iter().enumerate() {
            let mut in_pairs = vec![false; self.paired.sizes()[side]];
            let mut wanted: Vec<u32> = ends.iter().map(|&at| pairs[at][side]).collect();
            wanted.retain(|&item| !std::mem::replace(&mut in_pairs[item as usize], true));
            wanted.extend((0..in_pairs.len() as u32).filter(|&item| !in_pairs[item as usize]));
            let sheets = Sheets::make(&self.items[side].pictures, &wanted, share);
            pack.fact(
                &format!("pictures{name}"),
                json!({ "size": sheets.size, "first": files.len(), "perSide": Sheets::PER_SIDE, "placed": sheets.placed,
                        "shown": sheets.count(), "all": self.items[side].pictures.iter().flatten().count() }),
            );
            pack.whole(&format!("picture{name}"), &sheets.place);
            files.extend(sheets.files.iter().map(|sheet| base64(sheet)));
        }
        files
    }
}
