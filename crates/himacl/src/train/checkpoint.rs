//! Checkpoints: everything a run needs to go on, in one folder that exists either whole or not at all.
//!
//! `step_N/` holds `map.safetensors` (the live parameters), `ema.safetensors`, `optimizer.safetensors`,
//! `coupling.safetensors`, `progress.json` and, written last, `manifest.json` with the size and checksum of the others.
//! The folder is filled under a temporary name and renamed into place, so a crash leaves no half checkpoint; one that
//! was damaged afterwards fails its checksums and is passed over for the one before.

use super::coupling::Coupling;
use crate::error::CheckpointError;
use crate::map::{Tensors, decode, encode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The layout's version, raised whenever older checkpoints can no longer be read.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
/// More steps, epochs or couplings than any run has.
const MOST_STEPS: u64 = 1 << 53;

/// Where a run stands. Batch order and initial weights come from the seed and these counters alone, so no other
/// generator state exists.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// Optimiser steps taken.
    pub step: u64,
    /// The epoch under way, from 0.
    pub epoch: u64,
    /// Batches of that epoch already used.
    pub batch: u64,
    /// How often the coupling has been recomputed; names the coupling in force.
    pub coupling: u64,
    /// Sum of the losses of that epoch's batches so far.
    pub loss_sum: f32,
    /// Bytes of `metrics.jsonl` written when the checkpoint was made.
    pub metrics_bytes: u64,
    /// The best checkpoint so far.
    pub best: Option<Best>,
}

/// The best value of the metric that checkpoints are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Step of that checkpoint.
    pub step: u64,
    /// Its value.
    pub value: f32,
}

/// Everything a run needs to go on.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Counters.
    pub progress: Counters,
    /// The parameters.
    pub map: Tensors,
    /// Their moving averages.
    pub ema: Tensors,
    /// The optimiser's moments.
    pub optimizer: Tensors,
    /// The coupling in force.
    pub coupling: Coupling,
}

/// The checkpoints of one run.
#[derive(Debug)]
pub struct CheckpointStore {
    folder: PathBuf,
    keep: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    files: BTreeMap<String, Entry>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    bytes: u64,
    fnv1a: String,
}

impl CheckpointStore {
    /// The checkpoints in `folder`, of which the last `keep` (at least 1) and the best are kept.
    pub fn new(folder: PathBuf, keep: usize) -> Self {
        Self { folder, keep: keep.max(1) }
    }

    /// Writes `step_N/`, then removes what is no longer kept.
    ///
    /// # Errors
    /// A file that cannot be written; the folder of that step then does not exist.
    ///
    /// # Panics
    /// Never: the plain data of a checkpoint always serialise.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<PathBuf, CheckpointError> {
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |source| CheckpointError::File { path, source }
        };
        fs::create_dir_all(&self.folder).map_err(at(&self.folder))?;
        let target = self.path(checkpoint.progress.step);
        let partial = target.with_extension("partial");
        remove_folder(&partial)?;
        fs::create_dir(&partial).map_err(at(&partial))?;

        let progress = serde_json::to_vec_pretty(&checkpoint.progress).expect("plain data serialises");
        let contents = [
            ("map.safetensors", encode(&checkpoint.map)?),
            ("ema.safetensors", encode(&checkpoint.ema)?),
            ("optimizer.safetensors", encode(&checkpoint.optimizer)?),
            ("coupling.safetensors", encode(&checkpoint.coupling.tensors()?)?),
            ("progress.json", progress),
        ];
        let mut manifest = Manifest { format: FORMAT, files: BTreeMap::new() };
        for (name, bytes) in &contents {
            write_durably(&partial.join(name), bytes)?;
            manifest.files.insert((*name).to_owned(), Entry::of(bytes));
        }
        let manifest = serde_json::to_vec_pretty(&manifest).expect("plain data serialises");
        write_durably(&partial.join(MANIFEST), &manifest)?;
        remove_folder(&target)?;
        fs::rename(&partial, &target).map_err(at(&target))?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(at(&self.folder))?;
        self.prune(&checkpoint.progress)?;
        Ok(target)
    }

    /// The newest checkpoint that is whole, and the damaged ones that were passed over.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn latest(&self) -> Result<(Option<Checkpoint>, Vec<CheckpointError>), CheckpointError> {
        self.remove_partial()?;
        let mut damaged = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            match read(&self.path(step), step) {
                Ok(checkpoint) => return Ok((Some(checkpoint), damaged)),
                Err(problem) => damaged.push(problem),
            }
        }
        Ok((None, damaged))
    }

    /// Removes what a run that was killed was writing.
    fn remove_partial(&self) -> Result<(), CheckpointError> {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "partial") {
                remove_folder(&path)?;
            }
        }
        Ok(())
    }

    fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step_{step}"))
    }

    /// The steps that have a folder, in order.
    fn steps(&self) -> Result<Vec<u64>, CheckpointError> {
        let at = |source| CheckpointError::File { path: self.folder.clone(), source };
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(at)?,
        };
        let mut steps = Vec::new();
        for entry in entries {
            let name = entry.map_err(at)?.file_name();
            steps.extend(
                name.to_str().and_then(|name| name.strip_prefix("step_")).and_then(|step| step.parse::<u64>().ok()),
            );
        }
        steps.sort_unstable();
        Ok(steps)
    }

    fn prune(&self, progress: &Counters) -> Result<(), CheckpointError> {
        let steps = self.steps()?;
        // Steps after the present one were left by a run that a damaged checkpoint has set back.
        let (past, future): (Vec<u64>, Vec<u64>) = steps.into_iter().partition(|&step| step <= progress.step);
        let kept = past.len().saturating_sub(self.keep);
        let best = progress.best.map(|best| best.step);
        for step in past[..kept].iter().copied().filter(|&step| Some(step) != best).chain(future) {
            remove_folder(&self.path(step))?;
        }
        Ok(())
    }
}

impl Entry {
    fn of(bytes: &[u8]) -> Self {
        // FNV-1a: tells damage, not malice.
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self { bytes: bytes.len() as u64, fnv1a: format!("{hash:016x}") }
    }
}

/// Puts other bytes in the place of a file of a checkpoint, with a checksum that fits.
#[cfg(test)]
pub(super) fn seal_by_hand(folder: &Path, name: &str, bytes: &[u8]) {
    let mut manifest: Manifest = serde_json::from_slice(&fs::read(folder.join(MANIFEST)).unwrap()).unwrap();
    manifest.files.insert(name.to_owned(), Entry::of(bytes));
    fs::write(folder.join(name), bytes).unwrap();
    fs::write(folder.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
}

fn read(folder: &Path, step: u64) -> Result<Checkpoint, CheckpointError> {
    let damaged = |problem: String| CheckpointError::Damaged { path: folder.to_path_buf(), problem };
    let file = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).map_err(|source| CheckpointError::File { path, source })
    };
    let manifest: Manifest =
        serde_json::from_slice(&file(MANIFEST)?).map_err(|error| damaged(format!("{MANIFEST}: {error}")))?;
    if manifest.format != FORMAT {
        return Err(damaged(format!("it has format {}, expected {FORMAT}", manifest.format)));
    }
    let checked = |name: &str| {
        let bytes = file(name)?;
        match manifest.files.get(name) {
            Some(entry) if *entry == Entry::of(&bytes) => Ok(bytes),
            _ => Err(damaged(format!("{name} is not what was written"))),
        }
    };
    let tensors = |name: &str| Ok::<_, CheckpointError>(decode(&checked(name)?)?);
    let progress: Counters = serde_json::from_slice(&checked("progress.json")?)
        .map_err(|error| damaged(format!("progress.json: {error}")))?;
    let counts = [progress.step, progress.epoch, progress.batch, progress.coupling];
    if progress.step != step || counts.into_iter().any(|count| count > MOST_STEPS) {
        return Err(damaged(format!("progress.json counts what {step} steps cannot have led to")));
    }
    Ok(Checkpoint {
        progress,
        map: tensors("map.safetensors")?,
        ema: tensors("ema.safetensors")?,
        optimizer: tensors("optimizer.safetensors")?,
        coupling: Coupling::from_tensors(&tensors("coupling.safetensors")?)?,
    })
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| CheckpointError::File { path: path.to_path_buf(), source })
}

fn remove_folder(path: &Path) -> Result<(), CheckpointError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CheckpointError::File { path: path.to_path_buf(), source: error })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};
    use hiref_core::Permutation;

    fn checkpoint(step: u64) -> Checkpoint {
        let tensors = |value: f32| {
            let tensor = Tensor::new(&[[value, 1.0 / 3.0], [f32::MIN_POSITIVE, -0.0]], &Device::Cpu).unwrap();
            Tensors::from([("linear.weight".to_owned(), tensor)])
        };
        Checkpoint {
            progress: Counters {
                step,
                epoch: 3,
                batch: 1,
                coupling: 2,
                loss_sum: 0.3,
                metrics_bytes: 77,
                best: Some(Best { step: 10, value: 0.1 }),
            },
            map: tensors(1.0),
            ema: tensors(2.0),
            optimizer: tensors(3.0),
            coupling: Coupling { permutation: Permutation::identity(2), confidence: vec![0.25, 1.0], soft: None },
        }
    }

    fn steps_in(store: &CheckpointStore) -> Vec<u64> {
        store.steps().unwrap()
    }

    #[test]
    fn what_is_saved_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(folder.path().join("checkpoints"), 2);
        assert!(store.latest().unwrap().0.is_none());
        let saved = checkpoint(12);
        store.save(&saved).unwrap();
        let (found, damaged) = store.latest().unwrap();
        let found = found.unwrap();
        assert!(damaged.is_empty());
        assert_eq!((&found.progress, &found.coupling), (&saved.progress, &saved.coupling));
        for (a, b) in [(&found.map, &saved.map), (&found.ema, &saved.ema), (&found.optimizer, &saved.optimizer)] {
            assert_eq!(encode(a).unwrap(), encode(b).unwrap());
        }
    }

    #[test]
    fn the_last_ones_and_the_best_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(folder.path().to_path_buf(), 2);
        for step in [5, 10, 15, 20, 25] {
            store.save(&checkpoint(step)).unwrap();
        }
        assert_eq!(steps_in(&store), [10, 20, 25]);
        // Set back to step 20 by damage at 25, the run writes 21 and forgets the other future.
        store.save(&checkpoint(21)).unwrap();
        assert_eq!(steps_in(&store), [10, 20, 21]);
    }

    #[test]
    fn damage_is_noticed_and_the_one_before_is_used() {
        for (name, cut) in
            [("ema.safetensors", true), ("optimizer.safetensors", false), ("progress.json", false), (MANIFEST, true)]
        {
            let folder = tempfile::tempdir().unwrap();
            let store = CheckpointStore::new(folder.path().to_path_buf(), 3);
            store.save(&checkpoint(1)).unwrap();
            let path = store.save(&checkpoint(2)).unwrap().join(name);
            let mut bytes = fs::read(&path).unwrap();
            if cut {
                bytes.truncate(bytes.len() / 2);
            } else {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            fs::write(&path, bytes).unwrap();
            let (found, damaged) = store.latest().unwrap();
            assert_eq!(found.unwrap().progress.step, 1, "{name}");
            assert_eq!(damaged.len(), 1, "{name}");
        }
    }
}
