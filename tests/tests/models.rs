//! The data under `models/` fits together.

use himacl::data::Embeddings;
use std::fs;
use std::path::{Path, PathBuf};

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

#[test]
fn quick_start_embeddings_have_the_dimension_of_their_encoder() {
    let mut seen = 0;
    for entry in fs::read_dir(models().join("quickstart")).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if path.extension().is_none_or(|extension| extension != "npy") {
            continue;
        }
        // emoji_WHAT_ENCODER.npy
        let encoder = stem.splitn(3, '_').nth(2).unwrap();
        let text = fs::read_to_string(models().join(format!("encoders/{encoder}.toml"))).unwrap();
        let facts: toml::Table = toml::from_str(&text).unwrap();
        let embeddings = Embeddings::open(&path, None).unwrap();
        assert_eq!(facts["dimension"].as_integer(), Some(embeddings.dimension() as i64), "{stem}");
        assert_eq!(embeddings.num_rows(), 1852, "{stem}");
        seen += 1;
    }
    assert_eq!(seen, 3);
}
