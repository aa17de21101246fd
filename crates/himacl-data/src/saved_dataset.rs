//! Folders as Hugging Face's `datasets` saves them: `data-*.arrow` that `state.json` lists, beside `dataset_info.json`.

use crate::error::Error;
use crate::files::{natural_order, read_json};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

const STATE: &str = "state.json";
const INFO: &str = "dataset_info.json";
const PARTS: &str = "dataset_dict.json";

/// `state.json`, as far as it matters.
#[derive(Deserialize)]
struct State {
    #[serde(rename = "_data_files")]
    files: Vec<DataFile>,
    /// Which rows are meant in which order, as former versions noted it.
    #[serde(rename = "_indices_data_files", default)]
    indices: Option<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
struct DataFile {
    filename: String,
}

#[derive(Deserialize)]
struct Parts {
    splits: Vec<String>,
}

/// The files of a dataset that was saved in a folder, in their order; nothing where the folder is another one.
///
/// # Errors
/// [`Error::DatasetParts`] for a folder of several datasets; [`Error::Json`], [`Error::Arrow`] for a list that cannot be read.
pub fn saved_files(folder: &Path) -> Result<Option<Vec<PathBuf>>, Error> {
    let parts = folder.join(PARTS);
    if parts.is_file() {
        let Parts { splits } = read_json(&parts)?;
        return Err(Error::DatasetParts { path: folder.to_path_buf(), parts: splits });
    }
    let state = folder.join(STATE);
    if !state.is_file() || !folder.join(INFO).is_file() {
        return parts_below(folder)
            .map_or(Ok(None), |parts| Err(Error::DatasetParts { path: folder.to_path_buf(), parts }));
    }
    let State { files, indices } = read_json(&state)?;
    let wrong = |problem: &str| Error::Arrow { path: state.clone(), problem: problem.to_owned() };
    if indices.is_some_and(|indices| !indices.is_empty()) {
        return Err(wrong(
            "the rows are listed in a file of their own, which is not read\nhint: `dataset.flatten_indices()` before it is saved",
        ));
    }
    let is_name = |name: &str| !name.is_empty() && !name.contains(['/', '\\']);
    let paths = files.iter().map(|file| is_name(&file.filename).then(|| folder.join(&file.filename)));
    let paths: Vec<PathBuf> = paths.collect::<Option<_>>().ok_or_else(|| wrong("a file that is not in the folder"))?;
    if paths.is_empty() { Err(wrong("it lists no files")) } else { Ok(Some(paths)) }
}

/// The folders in a folder that are saved datasets, where there is nothing else.
fn parts_below(folder: &Path) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if !path.join(STATE).is_file() || !path.join(INFO).is_file() {
            return None;
        }
        parts.push(entry.file_name().to_string_lossy().into_owned());
    }
    parts.sort_by(|a, b| natural_order(a, b));
    (!parts.is_empty()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_text;

    fn save(folder: &Path, state: &str) {
        fs::create_dir_all(folder).unwrap();
        write_text(&folder.join(STATE), state).unwrap();
        write_text(&folder.join(INFO), "{}").unwrap();
    }

    #[test]
    fn the_files_that_the_state_lists() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("set");
        fs::create_dir(&folder).unwrap();
        assert_eq!(saved_files(&folder).unwrap(), None);
        save(
            &folder,
            r#"{"_data_files": [{"filename": "data-1.arrow"}, {"filename": "data-0.arrow"}], "_split": null}"#,
        );
        write_text(&folder.join("cache-1.arrow"), "").unwrap();
        let files = saved_files(&folder).unwrap().unwrap();
        assert_eq!(files, [folder.join("data-1.arrow"), folder.join("data-0.arrow")]);
        let refused = |state: &str| {
            save(&folder, state);
            saved_files(&folder).unwrap_err().to_string()
        };
        assert!(refused(r#"{"_data_files": [{"filename": "../x.arrow"}]}"#).contains("not in the folder"));
        assert!(refused(r#"{"_data_files": []}"#).contains("lists no files"));
        assert!(refused("{}").contains("json file"));
        let indices = r#"{"_data_files": [{"filename": "a.arrow"}], "_indices_data_files": [{"filename": "i.arrow"}]}"#;
        assert!(refused(indices).contains("flatten_indices"));
    }

    #[test]
    fn several_datasets_are_refused_by_their_names() {
        let place = tempfile::tempdir().unwrap();
        for part in ["train", "test"] {
            save(&place.path().join(part), r#"{"_data_files": [{"filename": "data-0.arrow"}]}"#);
        }
        let error = saved_files(place.path()).unwrap_err().to_string();
        assert!(error.contains("the parts `test`, `train`") && error.contains("name the folder"), "{error}");
        write_text(&place.path().join(PARTS), r#"{"splits": ["train", "test"]}"#).unwrap();
        let error = saved_files(place.path()).unwrap_err().to_string();
        assert!(error.contains("the parts `train`, `test`"), "{error}");
    }
}
