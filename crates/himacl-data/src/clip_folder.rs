//! clip-retrieval folders: `img_emb/img_emb_{i}.npy`, `text_emb/text_emb_{i}.npy`, `metadata/metadata_{i}.parquet`.

use super::npy;
use super::rows::StoredRows;
use crate::error::Error;
use crate::files::natural_order;
use std::fs;
use std::path::{Path, PathBuf};

/// The two kinds of embeddings of such a folder.
const KINDS: [&str; 2] = ["img_emb", "text_emb"];
/// The folder of the metadata.
const METADATA: &str = "metadata";

/// One kind of a clip-retrieval folder.
#[derive(Debug, Clone)]
pub(crate) struct ClipFolder {
    /// `img_emb` or `text_emb`.
    pub(crate) kind: String,
    /// The shards' numbers, as written in their names, in numeric order.
    pub(crate) numbers: Vec<String>,
    /// The shards, in the same order.
    pub(crate) shards: Vec<StoredRows>,
    /// The metadata file of each shard; empty without metadata.
    pub(crate) metadata: Vec<PathBuf>,
}

/// Opens `path`, the folder itself (with `key` to choose between its kinds) or its `img_emb` or `text_emb`.
pub(crate) fn open(path: &Path, key: Option<&str>) -> Result<ClipFolder, Error> {
    let (root, kind) = locate(path, key)?;
    check_shard_sets(&root)?;
    let folder = root.join(&kind);
    let numbered = numbered_files(&folder, &kind, "npy")?;
    if numbered.is_empty() {
        return Err(Error::Empty { path: folder, rows: 0, dimension: 0 });
    }
    warn_of_others(&folder, &format!("{kind}_NUMBER.npy"), &numbered)?;
    let shards: Vec<StoredRows> = numbered.iter().map(|(_, file)| npy::open_matrix(file)).collect::<Result<_, _>>()?;
    let metadata = metadata_files(&root.join(METADATA), &numbered);
    let numbers = numbered.into_iter().map(|(number, _)| number).collect();
    Ok(ClipFolder { kind, numbers, shards, metadata })
}

/// Says which files of a folder look like embeddings, too, and are not read; `read` is what is.
pub(crate) fn warn_of_others(folder: &Path, read: &str, chosen: &[(String, PathBuf)]) -> Result<(), Error> {
    const ENDINGS: [&str; 10] =
        [".npy", ".npz", ".safetensors", ".parquet", ".parq", ".npy.gz", ".arrow", ".feather", ".ipc", ".h5"];
    let mut others = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let looks_like = ENDINGS.iter().any(|ending| name.to_ascii_lowercase().ends_with(ending));
        if looks_like && !name.starts_with('.') && chosen.iter().all(|(_, file)| *file != path) {
            others.push(name);
        }
    }
    if !others.is_empty() {
        others.sort_by(|a, b| natural_order(a, b));
        let others = listed(&others.iter().map(String::as_str).collect::<Vec<_>>());
        tracing::warn!("of `{}` only {read} is read, and not {others}", folder.display());
    }
    Ok(())
}

/// The name of a shard, `img_emb/img_emb_{i}.npy`.
pub(crate) fn shard_name(kind: &str, number: &str) -> PathBuf {
    Path::new(kind).join(format!("{kind}_{number}.npy"))
}

fn locate(path: &Path, key: Option<&str>) -> Result<(PathBuf, String), Error> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if KINDS.contains(&name) && !numbered_files(path, name, "npy")?.is_empty() {
        return Ok((path.parent().unwrap_or(Path::new("")).to_path_buf(), name.to_owned()));
    }
    let available: Vec<String> = KINDS.into_iter().filter(|kind| path.join(kind).is_dir()).map(String::from).collect();
    let chosen = match (key, available.as_slice()) {
        (_, []) => return Err(Error::UnknownFormat(path.to_path_buf())),
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(key), _) => available.iter().find(|kind| *kind == key),
    };
    match chosen {
        Some(kind) => Ok((path.to_path_buf(), kind.clone())),
        None => Err(Error::Key { path: path.to_path_buf(), key: key.map(ToOwned::to_owned), available }),
    }
}

/// The files `{prefix}_{number}.{extension}` of a folder, by number.
fn numbered_files(folder: &Path, prefix: &str, extension: &str) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let number = stem.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
        let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(number) = number.filter(is_number)
            && path.extension().is_some_and(|found| found == extension)
        {
            found.push((number.to_owned(), path.clone()));
        }
    }
    found.sort_by(|(a, _), (b, _)| natural_order(a, b));
    Ok(found)
}

/// Refuses a folder whose parts have not all the same shards: rows of one number are of the same items.
fn check_shard_sets(root: &Path) -> Result<(), Error> {
    let mut parts = Vec::new();
    for (part, extension) in [(KINDS[0], "npy"), (KINDS[1], "npy"), (METADATA, "parquet")] {
        let folder = root.join(part);
        if folder.is_dir() {
            let numbers = numbered_files(&folder, part, extension)?.into_iter().map(|(number, _)| number);
            parts.push((part, numbers.collect::<Vec<_>>()));
        }
    }
    // A part without any shard is not there.
    parts.retain(|(_, numbers)| !numbers.is_empty());
    let mut all: Vec<&String> = parts.iter().flat_map(|(_, numbers)| numbers).collect();
    all.sort_by(|a, b| natural_order(a, b));
    all.dedup();
    let lacking = parts.iter().filter_map(|(part, numbers)| {
        let missing: Vec<&str> = all.iter().filter(|number| !numbers.contains(number)).map(|s| s.as_str()).collect();
        (!missing.is_empty()).then(|| format!("`{part}` has no shard {}", listed(&missing)))
    });
    let lacking: Vec<String> = lacking.collect();
    if lacking.is_empty() { Ok(()) } else { Err(Error::ShardSets { path: root.to_path_buf(), lacking }) }
}

/// Names, the first ten.
pub(crate) fn listed(names: &[&str]) -> String {
    let shown = names[..names.len().min(10)].join(", ");
    if names.len() > 10 { format!("{shown} and {} more", names.len() - 10) } else { shown }
}

/// The metadata of each shard, which are all there; none where there is no metadata.
fn metadata_files(folder: &Path, shards: &[(String, PathBuf)]) -> Vec<PathBuf> {
    let file = |(number, _): &(String, PathBuf)| folder.join(format!("metadata_{number}.parquet"));
    shards.iter().map(file).filter(|file| file.is_file()).collect()
}
