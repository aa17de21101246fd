//! Formats that are not read, and what makes of them one that is.

use std::fs;
use std::path::Path;

/// What helps with a file of a format that embeddings are not read from, or with a folder of such; none where nothing is known of it.
pub(crate) fn instead(path: &Path) -> Option<String> {
    let inside = || {
        let entries = fs::read_dir(path).ok()?.flatten().map(|entry| entry.path());
        entries.filter(|path| path.is_file()).find_map(|path| of_file(&path))
    };
    if path.is_dir() { inside() } else { of_file(path) }
}

fn of_file(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    let ending = path.extension()?.to_string_lossy().to_ascii_lowercase();
    let array =
        |expression: &str| Some(format!("in Python `numpy.save('x.npy', {expression})` makes one that is read"));
    match ending.as_str() {
        "csv" => array(&format!("numpy.loadtxt('{name}', delimiter=',')")),
        "tsv" => array(&format!(r"numpy.loadtxt('{name}', delimiter='\t')")),
        "txt" | "vec" => array(&format!("numpy.loadtxt('{name}')")),
        "pt" | "pth" | "bin" | "ckpt" => array(&format!("torch.load('{name}').float().numpy()")),
        "pkl" | "pickle" => array(&format!("numpy.asarray(pickle.load(open('{name}', 'rb')))")),
        "h5" | "hdf5" => array(&format!("h5py.File('{name}')['NAME'][:]")),
        "h5ad" => array(&format!("anndata.read_h5ad('{name}').obsm['NAME']")),
        "zarr" => array(&format!("zarr.open('{name}')[:]")),
        "json" | "jsonl" | "ndjson" => {
            array(&format!("numpy.array([json.loads(line)['embedding'] for line in open('{name}')])"))
        }
        "gz" | "zst" | "bz2" | "xz" | "lz4" | "zip" | "tar" | "7z" => Some("unpack it first".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_of_other_formats() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(instead(folder.path()), None);
        fs::write(folder.path().join("a.h5"), "").unwrap();
        assert!(instead(folder.path()).unwrap().contains("h5py.File('a.h5')"));
        let told = |name: &str| instead(Path::new(name));
        assert!(told("d/x.Pt").unwrap().contains("torch.load('x.Pt')"));
        assert!(told("x.tsv").unwrap().contains("delimiter='\\t'"));
        assert_eq!(told("x.npy.gz").as_deref(), Some("unpack it first"));
        assert_eq!([told("x"), told("x.odd")], [None, None]);
    }
}
