//! The data under `models/` fits together.

use himacl::data::Embeddings;
use himacl::train::RecipeFile;
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

#[test]
fn recipes_are_read() {
    let mut seen = 0;
    for entry in fs::read_dir(models().join("recipes")).unwrap() {
        let path = entry.unwrap().path();
        // The user's own sets, as docs/translate.md names them.
        let own = ["data.source=old.npy".to_owned(), "data.target=new.npy".to_owned()];
        let overrides = if path.ends_with("translate.toml") { &own[..] } else { &[] };
        let file = RecipeFile::read(&path, overrides, None).unwrap_or_else(|error| panic!("{error}"));
        if path.ends_with("translate.toml") {
            assert!(file.problems.len() == 1 && file.problems[0].recipe.data.target.ends_with("new.npy"));
            assert!(RecipeFile::read(&path, &[], None).unwrap_err().to_string().contains("`data.source` is missing"));
        }
        seen += 1;
    }
    assert_eq!(seen, 7);
}
