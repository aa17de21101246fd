//! What a run reads: where it lies, and whether it is still what it was.

use super::encoders;
use super::recipe::{Anchors, Recipe};
use crate::error::Error;
use himacl_data::Embeddings;
use himacl_data::output::{Depth, fingerprint};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

impl Recipe {
    /// The files and folders that a run by this recipe reads; the inputs and the folders of encoders only where it names
    /// them.
    pub fn inputs(&self) -> Vec<&Path> {
        let Self { data, eval, .. } = self;
        let anchors = match &data.anchors {
            Anchors::File(path) => Some(path),
            Anchors::Count(_) => None,
        };
        let named = [&data.source_encoder, &data.target_encoder, &data.source_input, &data.target_input];
        let named = named.into_iter().chain([&eval.source, &eval.target]).flatten();
        [&data.source, &data.target].into_iter().chain(anchors).chain(named).map(PathBuf::as_path).collect()
    }

    /// Fingerprints of all that a run by this recipe reads, by names for people: embeddings, anchors, and where encoders
    /// are trained their datasets and descriptions; those that are in `found` already are not read again.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn fingerprints(&self, found: &mut BTreeMap<String, String>) -> Result<(), Error> {
        let Self { data, eval, .. } = self;
        let mut sets = vec![(&data.source, data.source_key.as_deref()), (&data.target, data.target_key.as_deref())];
        sets.extend([&eval.source, &eval.target].into_iter().flatten().map(|path| (path, None)));
        let mut add = |name: String, depth, files: &dyn Fn() -> Result<Vec<PathBuf>, Error>| -> Result<(), Error> {
            if let Entry::Vacant(entry) = found.entry(name) {
                entry.insert(fingerprint(&files()?, None, depth)?);
            }
            Ok(())
        };
        for (path, key) in sets {
            let name = format!("{}{}", path.display(), key.map_or_else(String::new, |key| format!(" ({key})")));
            add(name, Depth::Whole, &|| Ok(Embeddings::open(path, key)?.files()))?;
        }
        if let Anchors::File(path) = &data.anchors {
            add(path.display().to_string(), Depth::Whole, &|| Ok(vec![path.clone()]))?;
        }
        for (name, files) in encoders::inputs(self)? {
            add(name, Depth::Sampled, &|| Ok(files.clone()))?;
        }
        Ok(())
    }
}
