//! clip-retrieval folders: `img_emb/img_emb_{i}.npy`, `text_emb/text_emb_{i}.npy`, `metadata/metadata_{i}.parquet`.

use super::npy;
use super::rows::MappedRows;
use crate::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// The two kinds of embeddings of such a folder.
const KINDS: [&str; 2] = ["img_emb", "text_emb"];

/// One kind of a clip-retrieval folder.
#[derive(Debug, Clone)]
pub(crate) struct ClipFolder {
    /// `img_emb` or `text_emb`.
    pub(crate) kind: String,
    /// The shards' numbers, as written in their names, in numeric order.
    pub(crate) numbers: Vec<String>,
    /// The shards, in the same order.
    pub(crate) shards: Vec<MappedRows>,
    /// The metadata file of each shard; empty without metadata.
    pub(crate) metadata: Vec<PathBuf>,
}

/// Opens `path`, the folder itself (with `key` to choose between its kinds) or its `img_emb` or `text_emb`.
pub(crate) fn open(path: &Path, key: Option<&str>) -> Result<ClipFolder, Error> {
    let (root, kind) = locate(path, key)?;
    let folder = root.join(&kind);
    let numbered = numbered_files(&folder, &kind, "npy")?;
    if numbered.is_empty() {
        return Err(Error::Empty { path: folder, rows: 0, dimension: 0 });
    }
    let shards: Vec<MappedRows> = numbered.iter().map(|(_, file)| npy::open_matrix(file)).collect::<Result<_, _>>()?;
    for shard in &shards {
        if shard.dimension != shards[0].dimension {
            return Err(Error::Disagree {
                path: shard.path.clone(),
                quantity: "coordinates",
                got: shard.dimension,
                expected: shards[0].dimension,
                reference: shards[0].path.clone(),
            });
        }
    }
    let metadata = metadata_files(&root.join("metadata"), &numbered)?;
    let numbers = numbered.into_iter().map(|(number, _)| number).collect();
    Ok(ClipFolder { kind, numbers, shards, metadata })
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
    // Numbers may or may not have leading zeros and any length: compare by value.
    found.sort_by_key(|(number, _)| {
        let digits = number.trim_start_matches('0').to_owned();
        (digits.len(), digits)
    });
    Ok(found)
}

fn metadata_files(folder: &Path, shards: &[(String, PathBuf)]) -> Result<Vec<PathBuf>, Error> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let file = |(number, shard): &(String, PathBuf)| {
        let missing = folder.join(format!("metadata_{number}.parquet"));
        if missing.is_file() { Ok(missing) } else { Err(Error::MissingShard { missing, present: shard.clone() }) }
    };
    shards.iter().map(file).collect()
}
