//! Checkpoints and warm starts made by hand: whatever they hold, they are refused or gone on from. No panic, no memory beyond the problem's.

use hiref_core::{Checkpoint, CostKind, Error, Event, HirefOutput, HirefParams, Observer, Problem, Quality, WarmStart};
use hiref_testkit::{Claim, Cost, Instance, check_coupling, problems};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The largest piece of memory asked for at once.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

struct Watched;

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // Pages that are never touched are never taken.
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// Far more than a problem of a few hundred points needs.
const LIMIT: usize = 64 << 20;

/// A file in parts: arrays by name, facts.
#[derive(Clone)]
struct Parts {
    arrays: Vec<(String, Dtype, Vec<u8>)>,
    facts: serde_json::Value,
}

impl Parts {
    fn of(bytes: &[u8]) -> Self {
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let facts = serde_json::from_str(&header.metadata().as_ref().unwrap()["hiref"]).unwrap();
        let tensors = SafeTensors::deserialize(bytes).unwrap();
        let mut arrays: Vec<_> =
            tensors.tensors().into_iter().map(|(name, view)| (name, view.dtype(), view.data().to_vec())).collect();
        arrays.sort_by(|a, b| a.0.cmp(&b.0));
        Self { arrays, facts }
    }

    fn bytes(&self) -> Vec<u8> {
        let views = self.arrays.iter().map(|(name, dtype, data)| {
            let size = if *dtype == Dtype::U32 { 4 } else { 8 };
            (name.clone(), TensorView::new(*dtype, vec![data.len() / size], data).unwrap())
        });
        safetensors::serialize(views, Some(HashMap::from([("hiref".to_owned(), self.facts.to_string())]))).unwrap()
    }
}

/// Every file that differs from `bytes` by one change to one array or to one fact.
fn changed(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let whole = Parts::of(bytes);
    let mut files = Vec::new();
    let mut add = |what: String, parts: &Parts| files.push((what, parts.bytes()));
    for (at, (name, dtype, data)) in whole.arrays.iter().enumerate() {
        let words: Vec<Vec<u8>> = match dtype {
            Dtype::U32 => {
                [0, 1, 119, 120, 121, 1 << 20, u32::MAX - 1, u32::MAX].map(|v: u32| v.to_le_bytes().to_vec()).to_vec()
            }
            _ => [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e307, -1e307, 1e90, -1e12, 1e9, -1e7, 5e-324]
                .map(|v: f64| v.to_le_bytes().to_vec())
                .to_vec(),
        };
        let size = words[0].len();
        let mut with = |what: String, data: Vec<u8>| {
            let mut parts = whole.clone();
            parts.arrays[at].2 = data;
            add(format!("{name}: {what}"), &parts);
        };
        for word in &words {
            for place in [0, 1, data.len() / size / 2, (data.len() / size).saturating_sub(1)] {
                let mut one = data.clone();
                if let Some(slot) = one.get_mut(place * size..(place + 1) * size) {
                    slot.copy_from_slice(word);
                    with(format!("{word:?} at {place}"), one);
                }
            }
            with(format!("all {word:?}"), word.repeat(data.len() / size));
        }
        with("empty".to_owned(), Vec::new());
        with("one less".to_owned(), data[..data.len().saturating_sub(size)].to_vec());
        with("one more".to_owned(), [&data[..], &words[0]].concat());
        with("twice".to_owned(), data.repeat(2));
        with("backwards".to_owned(), data.chunks(size).rev().flatten().copied().collect());
        let mut parts = whole.clone();
        parts.arrays.remove(at);
        add(format!("{name}: missing"), &parts);
    }
    let values =
        ["0", "1", "-1", "7", "1000000000000000000", "18446744073709551615", "1e308", "null", "[]", "\"\"", "true"];
    for path in places(&whole.facts) {
        for value in values {
            let mut parts = whole.clone();
            *parts.facts.pointer_mut(&path).unwrap() = serde_json::from_str(value).unwrap();
            add(format!("fact {path}: {value}"), &parts);
        }
    }
    files
}

/// The JSON pointers of all values below.
fn places(value: &serde_json::Value) -> Vec<String> {
    let below: Vec<(String, &serde_json::Value)> = match value {
        serde_json::Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), value)).collect(),
        // The entries of a list are alike.
        serde_json::Value::Array(values) => {
            values.last().map(|value| ((values.len() - 1).to_string(), value)).into_iter().collect()
        }
        _ => Vec::new(),
    };
    below
        .into_iter()
        .flat_map(|(key, value)| {
            let own = format!("/{key}");
            let inner = places(value).into_iter().map(|path| format!("{own}{path}")).collect::<Vec<_>>();
            std::iter::once(own.clone()).chain(inner)
        })
        .collect()
}

/// Keeps every state offered.
#[derive(Default)]
struct Keep(Mutex<Vec<Vec<u8>>>);

impl Observer for Keep {
    fn on_event(&self, _event: &Event) {}

    fn on_checkpoint(&self, encode: &dyn Fn() -> Vec<u8>, _last: bool) {
        self.0.lock().unwrap().push(encode());
    }

    fn should_stop(&self) -> bool {
        false
    }
}

fn params() -> HirefParams {
    HirefParams {
        leaf_size: 16,
        polish_block_size: Some(16),
        exact_limit: Some(1000),
        quality: Quality::Best,
        max_sweeps: Some(2),
        certify: true,
        ..HirefParams::default()
    }
}

fn problem(instance: &Instance) -> Problem<'_> {
    let d = instance.dimension;
    let rows =
        |side: &[f32]| candle_core::Tensor::from_slice(side, (side.len() / d, d), &candle_core::Device::Cpu).unwrap();
    Problem::new(rows(&instance.x), rows(&instance.y), CostKind::SquaredEuclidean).unwrap()
}

/// Tries every changed file; returns how many were tried and how many gone on from.
fn attack(instance: &Instance, bytes: &[u8], use_it: &dyn Fn(&[u8]) -> Result<HirefOutput, Error>) -> [usize; 2] {
    let mut counts = [0; 2];
    for (what, file) in changed(bytes) {
        LARGEST.store(0, Ordering::Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| use_it(&file)));
        let largest = LARGEST.load(Ordering::Relaxed);
        assert!(largest < LIMIT, "{what}: {largest} bytes at once");
        counts[0] += 1;
        let Ok(outcome) = outcome else { panic!("{what}: a panic") };
        if let Ok(output) = outcome {
            counts[1] += 1;
            let claim = Claim {
                supports: Some((&instance.x, &instance.y)),
                dimension: Some(instance.dimension),
                cost: Some(Cost::SquaredEuclidean),
                y_of_x: Some(output.permutation.y_of_x()),
                num_pairs: Some(output.permutation.num_pairs()),
                mean_cost: Some(output.mean_cost),
            };
            check_coupling(&claim).unwrap_or_else(|fault| panic!("{what}: {fault}"));
        }
    }
    counts
}

#[test]
fn checkpoints() {
    for (n, m) in [(120, 120), (80, 120)] {
        let instance = problems::mixture(n, m, 6, 1);
        let (problem, solver, states) = (problem(&instance), params().check().unwrap(), Keep::default());
        solver.solve(&problem, None, &states).unwrap();
        let states = states.0.into_inner().unwrap();
        assert!(states.len() >= 3, "{} states", states.len());
        let first_pairing = states.iter().position(|state| state.windows(6).any(|name| name == b"y_of_x")).unwrap();
        for state in [&states[0], &states[first_pairing - 1], &states[first_pairing], states.last().unwrap()] {
            let resume = |file: &[u8]| solver.resume(&problem, Checkpoint::from_bytes(file)?, &());
            assert!(resume(state).is_ok());
            let [tried, gone_on] = attack(&instance, state, &resume);
            assert!(tried > 100 && gone_on < tried, "{gone_on} of {tried}");
        }
    }
}

#[test]
fn warm_starts() {
    for (n, m) in [(120, 120), (80, 120), (120, 80)] {
        let instance = problems::mixture(n, m, 6, 1);
        let (problem, solver) = (problem(&instance), params().check().unwrap());
        let bytes = solver.solve(&problem, None, &()).unwrap().warm_start().to_bytes();
        let start = |file: &[u8]| solver.solve(&problem, Some(&WarmStart::from_bytes(file)?), &());
        assert!(start(&bytes).is_ok());
        let [tried, gone_on] = attack(&instance, &bytes, &start);
        assert!(tried > 100 && gone_on < tried, "{gone_on} of {tried}");
    }
}
