//! Alignments and checkpoints made by hand, with checksums that fit: whatever they hold, a run is refused or goes on. No panic.

use super::checkpoint::seal_by_hand;
use super::recipe::Recipe;
use super::starting_point::ALIGNMENT_STATE;
use super::{Dataset, Watch, run};
use crate::map::{decode, encode};
use candle_core::{DType, Device, Tensor};
use himacl_data::{seal, sealed_facts};
use hiref_core::{Event, Observer};
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const SOURCES: usize = 40;

pub(super) const RECIPE: &str = "
    data.source = 'x'
    data.target = 'y'
    data.hide_pairs = true
    data.anchors = 12
    coupling.recompute_every = 1
    coupling.softness = 0.5
    coupling.candidates = 3
    map.layers = 1
    map.width = 4
    map.inverse = true
    train.epochs = 3
    train.batch_size = 16
    checkpoint.every_epochs = 1
";

/// Puts a file in its place in a run's folder.
type Write = Box<dyn FnOnce(&Path)>;

/// Stops a run after some steps.
struct StopAt(u64, AtomicU64);

impl Observer for StopAt {
    fn on_event(&self, _event: &Event) {}

    fn should_stop(&self) -> bool {
        self.1.load(Ordering::Relaxed) >= self.0
    }
}

impl Watch for StopAt {
    fn on_step(&self, step: u64, _total: u64, _loss: f64) {
        self.1.store(step, Ordering::Relaxed);
    }
    fn note(&self, _message: &str) {}
    fn warn(&self, _message: &str) {}
}

pub(super) fn data() -> Dataset {
    let rows = |columns: usize, step: usize| {
        let values = (0..SOURCES * columns).map(|at| ((at * step + at * at) % 97) as f32 / 97.0 - 0.5);
        Tensor::from_iter(values, &Device::Cpu).unwrap().reshape((SOURCES, columns)).unwrap()
    };
    Dataset { source: rows(5, 13), target: rows(4, 29), anchors: Vec::new(), evaluation: None }
}

/// Tensors that differ from these by one change.
fn changed(tensors: &BTreeMap<String, Tensor>) -> Vec<(String, BTreeMap<String, Tensor>)> {
    let mut all = Vec::new();
    for (name, tensor) in tensors {
        let mut with = |what: &str, changed: Option<Tensor>| {
            let mut copy = tensors.clone();
            copy.remove(name);
            copy.extend(changed.map(|changed| (name.clone(), changed)));
            all.push((format!("{name} {:?}: {what}", tensor.dims()), copy));
        };
        with("missing", None);
        let flat = tensor.flatten_all().unwrap();
        let len = flat.dim(0).unwrap();
        let one = |at: usize, value: f32| {
            if tensor.dtype() == DType::U32 {
                let mut values = flat.to_vec1::<u32>().unwrap();
                values[at] = value as u32;
                Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap()
            } else {
                let mut values = flat.to_vec1::<f32>().unwrap();
                values[at] = value;
                Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap()
            }
        };
        if len > 0 {
            let numbers = [f32::NAN, f32::INFINITY, 1e38, -1e30, 0.0];
            let whole = [0.0, 1.0, 39.0, 1e6, 4_294_967_040.0];
            for value in if tensor.dtype() == DType::U32 { whole } else { numbers } {
                with(&format!("{value} at 0"), Some(one(0, value)));
                with(&format!("{value} at the end"), Some(one(len - 1, value)));
            }
            with("one less", Some(flat.narrow(0, 0, len - 1).unwrap()));
        }
        with("flat", Some(flat.clone()));
        with("twice", Some(Tensor::cat(&[tensor, tensor], 0).unwrap()));
        with("a dimension more", Some(tensor.unsqueeze(0).unwrap()));
        with("empty", Some(flat.narrow(0, 0, 0).unwrap()));
        let other = if tensor.dtype() == DType::U32 { DType::F32 } else { DType::U32 };
        with("another type", Some(tensor.to_dtype(other).unwrap()));
        if tensor.rank() == 2 {
            with("turned", Some(tensor.t().unwrap().contiguous().unwrap()));
        }
    }
    all
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (source, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if source.is_dir() { copy(&source, &target) } else { fs::copy(&source, &target).map(drop).unwrap() }
    }
}

/// Runs to the end from an interrupted run whose file `path` has other bytes; what went wrong, if it panicked.
fn panics(recipe: &Recipe, data: &Dataset, start: &Path, write: impl FnOnce(&Path)) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    copy(start, folder.path());
    write(folder.path());
    let ended = catch_unwind(AssertUnwindSafe(|| run(recipe, data, folder.path(), &())));
    ended.err().map(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

#[test]
fn some_files_made_by_hand() {
    check_every(9);
}

#[test]
#[ignore = "a minute and a half"]
fn all_files_made_by_hand() {
    assert!(check_every(1) > 500);
}

/// Takes every k-th file; how many there are in all.
fn check_every(stride: usize) -> usize {
    let recipe: Recipe = toml::from_str(RECIPE).unwrap();
    let (data, start) = (data(), tempfile::tempdir().unwrap());
    let interrupted = run(&recipe, &data, start.path(), &StopAt(4, AtomicU64::new(0))).unwrap();
    assert!(interrupted.is_none());

    let mut files: Vec<(String, Write)> = Vec::new();
    let bytes = fs::read(start.path().join(ALIGNMENT_STATE)).unwrap();
    let report = sealed_facts(&bytes).unwrap().remove("report").unwrap();
    for (what, tensors) in changed(&decode(&bytes).unwrap()) {
        let bytes = seal(&encode(&tensors).unwrap(), &[("report", &report)]).unwrap();
        let write = |folder: &Path| {
            fs::write(folder.join(ALIGNMENT_STATE), bytes).unwrap();
            // Without checkpoints, so that training starts from the alignment.
            fs::remove_dir_all(folder.join("checkpoints")).unwrap();
        };
        files.push((format!("alignment, {what}"), Box::new(write)));
    }
    let checkpoints = start.path().join("checkpoints");
    let last: PathBuf = fs::read_dir(&checkpoints).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let step = last.strip_prefix(start.path()).unwrap().to_path_buf();
    let mut of_checkpoint = |name: &'static str, what: String, bytes: Vec<u8>| {
        let step = step.clone();
        files.push((what, Box::new(move |folder: &Path| seal_by_hand(&folder.join(&step), name, &bytes))));
    };
    for name in ["map.safetensors", "ema.safetensors", "optimizer.safetensors", "coupling.safetensors"] {
        for (what, tensors) in changed(&decode(&fs::read(last.join(name)).unwrap()).unwrap()) {
            of_checkpoint(name, format!("{name}, {what}"), encode(&tensors).unwrap());
        }
    }
    let progress: serde_json::Value = serde_json::from_slice(&fs::read(last.join("progress.json")).unwrap()).unwrap();
    for key in progress.as_object().unwrap().keys() {
        for value in ["0", "1", "18446744073709551615", "-1", "1e308", "null", "[]", "{\"step\": 9, \"value\": null}"] {
            let mut other = progress.clone();
            other[key] = serde_json::from_str(value).unwrap();
            of_checkpoint("progress.json", format!("{key} = {value}"), serde_json::to_vec(&other).unwrap());
        }
    }
    let count = files.len();
    let some = files.into_iter().step_by(stride);
    let wrong: Vec<String> = some
        .filter_map(|(what, write)| Some(format!("{what}: {}", panics(&recipe, &data, start.path(), write)?)))
        .collect();
    assert!(wrong.is_empty(), "{} of {count} files:\n{}", wrong.len(), wrong.join("\n"));
    count
}
