//! The aligned map stays where training adds nothing, the trained one is taken where it does, and what they are judged by
//! is seen by neither.

use super::choice::{CHOICE, ChosenMap, nothing_is_trained, number_to_hide};
use super::recipe::{MapKind, Recipe};
use super::split::Split;
use super::{Dataset, Model, Outcome, run};
use candle_core::{Device, Tensor};
use hiref_core::rng;
use rand_distr::{Distribution, StandardNormal};
use std::fs;
use tempfile::TempDir;

const ITEMS: usize = 1500;
const DIMENSION: usize = 6;
const RECIPE: &str = "
    alignment.folds = 0
    map.layers = 1
    map.width = 64
    map.validation_share = 0.2
    optimizer.learning_rate = 3e-3
    train.epochs = 30
    train.batch_size = 100
    train.ema = 0.9
    train.log_every = 0
";

fn recipe() -> Recipe {
    toml::from_str(RECIPE).unwrap()
}

fn normal(count: usize, stream: u64) -> Vec<f32> {
    let mut generator = rng::stream(stream, &[]);
    (0..count).map(|_| StandardNormal.sample(&mut generator)).collect()
}

/// Normal sources, with targets that `image` makes of each; every item of the first `known` is a known pair, and so is its
/// row.
fn data(known: u32, image: impl Fn(&[f32]) -> Vec<f32>) -> Dataset {
    let x = normal(ITEMS * DIMENSION, 1);
    let y: Vec<f32> = x.chunks(DIMENSION).flat_map(image).collect();
    let tensor = |values: Vec<f32>| {
        let columns = values.len() / ITEMS;
        Tensor::from_vec(values, (ITEMS, columns), &Device::Cpu).unwrap()
    };
    let anchors = (0..known).map(|row| (row, row)).collect();
    Dataset { source: tensor(x), target: tensor(y), anchors, evaluation: None }
}

/// The coordinates turned, with signs: a rotation.
fn rotated(x: &[f32]) -> Vec<f32> {
    (0..DIMENSION).map(|at| if at % 2 == 0 { -x[(at + 1) % DIMENSION] } else { x[(at + 1) % DIMENSION] }).collect()
}

fn noisy(dataset: Dataset, deviation: f64) -> Dataset {
    let noise = Tensor::from_vec(normal(ITEMS * DIMENSION, 2), (ITEMS, DIMENSION), &Device::Cpu).unwrap();
    let target = (dataset.target + (noise * deviation).unwrap()).unwrap();
    Dataset { target, ..dataset }
}

/// What a run found, the kind of the map that it left, and its folder.
fn outcome(recipe: &Recipe, data: &Dataset) -> (Outcome, &'static str, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let found = run(recipe, data, folder.path(), &()).unwrap().unwrap();
    let kind = Model::load(folder.path(), &Device::Cpu).unwrap().0.map.forward.kind();
    (found, kind, folder)
}

#[test]
fn a_linear_map_stays_linear() {
    let (found, kind, _) = outcome(&recipe(), &noisy(data(ITEMS as u32, rotated), 0.3));
    assert_eq!((found.choice.chosen, kind, found.choice.hidden_pairs), (ChosenMap::Aligned, "linear", 300));
    let ranks = found.choice.ranks.unwrap();
    assert!(ranks.gain <= ranks.standard_error, "{ranks:?}");
}

#[test]
fn bends_are_left_to_the_network() {
    // Mostly the sizes of the sources' coordinates, which no linear map sees.
    let bent = |x: &[f32]| (0..DIMENSION).map(|at| 0.3 * x[at] + 2.0 * x[(at + 1) % DIMENSION].abs()).collect();
    let (found, kind, _) = outcome(&recipe(), &data(ITEMS as u32, bent));
    assert_eq!((found.choice.chosen, kind), (ChosenMap::Trained, "residual-mlp"));
    let ranks = found.choice.ranks.unwrap();
    assert!(
        ranks.gain > 2.0 * ranks.standard_error && ranks.trained_come_first > ranks.aligned_come_first,
        "{ranks:?}"
    );
}

/// Other embeddings of the hidden items change nothing that alignment and training do before the choice, to the last bit.
#[test]
fn hidden_pairs_are_not_seen() {
    let mut recipe = recipe();
    (recipe.train.epochs, recipe.coupling.recompute_every) = (4, 2);
    recipe.alignment.candidates[0].refinement.rounds = 3;
    let data = noisy(data(1400, rotated), 0.3);
    let [hidden, _] = Split::of_all(ITEMS, ITEMS, data.anchors.clone()).some_known(280, recipe.train.seed);
    let with_other = |changed: &[(u32, u32)]| {
        let side = |side: &Tensor| {
            let mut values = side.to_vec2::<f32>().unwrap();
            for &(row, _) in changed {
                values[row as usize].iter_mut().for_each(|value| *value = 1.0 - 3.0 * *value);
            }
            Tensor::new(values, &Device::Cpu).unwrap()
        };
        outcome(&recipe, &Dataset { source: side(&data.source), target: side(&data.target), ..data.clone() })
    };
    let (first, _, at) = with_other(&[]);
    let (second, _, other_at) = with_other(&hidden);
    let same = |other: &TempDir, file: &str| {
        let read = |folder: &TempDir| fs::read(folder.path().join(CHOICE).join(file)).unwrap();
        read(&at) == read(other)
    };
    assert_ne!(first.choice.ranks, second.choice.ranks);
    assert!(same(&other_at, "metrics.jsonl") && same(&other_at, &last_map(&at)));
    // One pair that is not hidden is seen.
    let seen = data.anchors.iter().find(|pair| !hidden.contains(pair)).unwrap();
    let (_, _, other_at) = with_other(&[*seen]);
    assert!(!same(&other_at, "metrics.jsonl") && !same(&other_at, &last_map(&at)));
}

#[test]
fn without_enough_pairs_nothing_is_hidden() {
    let reason = |settings: &str, known: usize| number_to_hide(&toml::from_str(settings).unwrap(), known).unwrap_err();
    assert_eq!(number_to_hide(&Recipe::default(), 500), Ok(100));
    assert!(reason("", 490).contains("490 known pairs are too few to hide 100 of them"));
    assert!(reason("map.validation_share = 0.0", 1000).contains("validation_share is 0"));
    assert!(reason("train.encoders = 'full'", 1000).contains("encoders are trained too"));
    assert!(reason("map.learned_cost = true", 1000).contains("learnt cost"));
    assert!(reason("train.epochs = 0", 1000).contains("the map at its start"));

    let mut recipe = recipe();
    recipe.train.epochs = 1;
    let (found, kind, folder) = outcome(&recipe, &noisy(data(400, rotated), 0.3));
    assert_eq!((found.choice.chosen, kind, found.choice.hidden_pairs), (ChosenMap::Trained, "residual-mlp", 0));
    assert!(
        found
            .choice
            .to_string()
            .contains("the trained map is the result, without a choice: 400 known pairs are too few")
    );
    assert!(!folder.path().join(CHOICE).exists());
}

/// Where nothing is trained the result is the aligned map, and is said to be.
#[test]
fn an_untrained_map_is_the_aligned_one() {
    let untrained = |settings: &str| nothing_is_trained(&toml::from_str(settings).unwrap());
    assert!(untrained("train.epochs = 0").unwrap().contains("train.epochs is 0"));
    assert!(
        untrained("map = { kind = 'linear', freeze_linear = true }").unwrap().contains("map.freeze_linear is true")
    );
    for trained in ["map.kind = 'linear'", "map.freeze_linear = true", "map.kind = 'mlp'\ntrain.epochs = 0"] {
        assert_eq!(untrained(trained), None, "{trained}");
    }

    let mut recipe = recipe();
    (recipe.map.kind, recipe.map.freeze_linear) = (MapKind::Linear, true);
    let (found, kind, _) = outcome(&recipe, &noisy(data(400, rotated), 0.3));
    assert_eq!((found.choice.chosen, kind), (ChosenMap::Aligned, "linear"));
    let words = found.choice.to_string();
    assert!(
        words.starts_with("the aligned map is the result: nothing is trained, since map.kind is linear"),
        "{words}"
    );
}

#[test]
fn bends_are_left_to_a_convex_gradient_too() {
    // The gradient of a convex function, as T is to be: coordinates that grow faster than they are.
    let bent = |x: &[f32]| x.iter().map(|&value| value.powi(3)).collect();
    let mut recipe = recipe();
    recipe.map.kind = MapKind::ConvexGradient;
    let (found, kind, _) = outcome(&recipe, &data(ITEMS as u32, bent));
    assert_eq!((found.choice.chosen, kind), (ChosenMap::Trained, "convex-gradient"), "{}", found.choice);
}

/// The map of the last checkpoint of the training before the choice.
fn last_map(folder: &TempDir) -> String {
    let names = fs::read_dir(folder.path().join(CHOICE).join("checkpoints")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let last = names.max_by_key(|name| name.trim_start_matches("step_").parse::<u64>().ok()).unwrap();
    format!("checkpoints/{last}/map.safetensors")
}
