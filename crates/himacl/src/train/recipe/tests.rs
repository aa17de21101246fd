use super::*;

const MINIMAL: &str = "[data]\nsource = 'x.npy'\ntarget = '../y.npy'\n";

fn read(text: &str, overrides: &[&str]) -> Result<RecipeFile, RecipeError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    fs::write(&path, text).unwrap();
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    RecipeFile::read(&path, &overrides, None)
}

fn message(text: &str, overrides: &[&str]) -> String {
    read(text, overrides).unwrap_err().to_string()
}

#[test]
fn paths_are_resolved_against_their_origin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    fs::write(&path, MINIMAL).unwrap();
    let recipe = RecipeFile::read(&path, &[], None).unwrap().problems.remove(0).recipe;
    assert_eq!(recipe.data.source, folder.path().join("x.npy"));
    assert_eq!(recipe.data.target, folder.path().parent().unwrap().join("y.npy"));
    let recipe = RecipeFile::read(&path, &["data.source=z.npy".to_owned()], None).unwrap().problems.remove(0).recipe;
    assert_eq!(recipe.data.source, std::env::current_dir().unwrap().join("z.npy"));
}

#[test]
fn unknown_keys_name_the_nearest() {
    let with = |line: &str| format!("{MINIMAL}{line}");
    let error = message(&with("[optimizer]\nlerning_rate = 1"), &[]);
    assert!(
        error.contains("`optimizer.lerning_rate`") && error.contains("did you mean `optimizer.learning_rate`?"),
        "{error}"
    );
    let error = message(&with("[train]\nlearning_rate = 1"), &[]);
    assert!(error.contains("did you mean `optimizer.learning_rate`?"), "{error}");
    let error = message(&with("[optimiser]\nbeta1 = 0.5"), &[]);
    assert!(error.contains("`optimiser`") && error.contains("`optimizer."), "{error}");
    let error = message(MINIMAL, &["train.epoch=3"]);
    assert!(error.contains("did you mean `train.epochs`?"), "{error}");
    let error = message(&with("[variants.text]\n'data.taget' = 'z.npy'"), &[]);
    assert!(error.contains("[variants.text]") && error.contains("did you mean `data.target`?"), "{error}");
}

#[test]
fn wrong_types_and_ranges_name_their_key() {
    let error = message(MINIMAL, &["train.epochs=many"]);
    assert!(error.contains("epochs") && error.contains("many"), "{error}");
    let error = message(MINIMAL, &["train.batch_size=0"]);
    assert!(error.contains("`train.batch_size` is 0, expected at least 1"), "{error}");
    let error = message(MINIMAL, &["map.kind=residual-transformer", "map.width=40"]);
    assert!(error.contains("`map.width` is 40, expected at most 32 or a multiple of 32"), "{error}");
    assert!(read(MINIMAL, &["map.kind=mlp", "map.width=40"]).is_ok());
    let error = message(MINIMAL, &["map.kind=convex-gradient", "map.layers=2"]);
    assert!(error.contains("`map.layers` is 2, expected 1, or left out, where map.kind is convex-gradient"), "{error}");
    let error = message(MINIMAL, &["map.kind=convex-gradient", "map.tokens=4"]);
    assert!(error.contains("`map.tokens` is 4, expected left out"), "{error}");
    assert!(read(MINIMAL, &["map.kind=convex-gradient", "map.layers=1", "objective.klot_weight=0.5"]).is_ok());
    assert!(read(MINIMAL, &["map.kind=convex-gradient"]).is_ok());
    let error = message(MINIMAL, &["map.kind=convex"]);
    assert!(error.contains("convex-gradient"), "{error}");
    let error = message(MINIMAL, &["map.width=1000000000"]);
    assert!(error.contains("`map.width` is 1000000000, expected from 1 to 65536"), "{error}");
    let error = message(MINIMAL, &["map.validation_share=0.6"]);
    assert!(error.contains("`map.validation_share` is 0.6, expected a share in [0, 0.5]"), "{error}");
    let error = message(MINIMAL, &["optimizer.learning_rate=nan"]);
    assert!(error.contains("`optimizer.learning_rate` is NaN, expected a finite number, at least 0"), "{error}");
    let error = message(MINIMAL, &["map.kind=mlp", "objective.klot_weight=0.5"]);
    assert!(error.contains("`objective.klot_weight` is 0.5, expected 0 where map.kind is mlp"), "{error}");
    let error = message(MINIMAL, &["map.learned_cost=true"]);
    assert!(error.contains("`map.inverse` is true, expected false where map.learned_cost"), "{error}");
    let error = message(MINIMAL, &["map.learned_cost=true", "map.inverse=false"]);
    assert!(error.contains("`objective.kind` is regression, expected contrastive or both"), "{error}");
    assert!(read(MINIMAL, &["map.learned_cost=true", "map.inverse=false", "objective.kind=both"]).is_ok());
    let error = message(MINIMAL, &["coupling.softness=0.5", "objective.kind=contrastive"]);
    assert!(error.contains("`coupling.softness` is 0.5, expected 0 unless objective.kind = regression"), "{error}");
    let error = message(MINIMAL, &["coupling.confidence=dual-slack", "coupling.cost=sqeuclidean"]);
    assert!(error.contains("`coupling.confidence` is dual-slack, expected margin"), "{error}");
    assert!(error.contains("coupling.cost is not neg-dot"), "{error}");
    assert!(read(MINIMAL, &["coupling.confidence=dual-slack", "coupling.softness=0.5"]).is_ok());
    let error = message(MINIMAL, &["objective.klot_epsilon=0"]);
    assert!(error.contains("`objective.klot_epsilon` is 0"), "{error}");
    assert!(message("[train]\nepochs = 1", &[]).contains("`data.source` is missing"));
    assert!(message(MINIMAL, &["train.epochs"]).contains("key=value"));
    assert!(message("[data", &[]).contains("not valid TOML"));
    let error = message(MINIMAL, &["alignment.mode=anchor"]);
    assert!(error.contains("anchors") && error.contains("shared-space"), "{error}");
}

#[test]
fn variants_change_the_recipe() {
    let text = format!(
        "{MINIMAL}[train]\nseeds = [0, 1]\n[variants.text]\n'data.target' = 'z.npy'\n'train.epochs' = 3\nmap.layers = 1\n"
    );
    let file = read(&text, &["train.batch_size=7"]).unwrap();
    assert_eq!(file.problems.len(), 2);
    let variant = &file.problems[1];
    assert_eq!((variant.name.as_str(), variant.recipe.train.epochs, variant.recipe.map.layers), ("text", 3, 1));
    assert!(variant.recipe.data.target.ends_with("z.npy"));
    assert_eq!((variant.recipe.train.batch_size, variant.recipe.seeds()), (7, vec![0, 1]));
    assert_eq!(read(&text, &["variants={}"]).unwrap().problems.len(), 1);
    assert_eq!(read(&text, &["variants.text.train.epochs=9"]).unwrap().problems[1].recipe.train.epochs, 9);
}

#[test]
fn the_resolved_recipe_reads_back() {
    let known = ["data.hide_pairs=true", "data.anchors=5"];
    let file = read(&format!("{MINIMAL}[variants.text]\n'data.target' = 'z.npy'\n"), &known).unwrap();
    assert_eq!(read(&toml::to_string(&file.resolved).unwrap(), &[]).unwrap(), file);
}

#[test]
fn the_command_line_seed_replaces_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    fs::write(&path, format!("{MINIMAL}[train]\nseeds = [0, 1]\n")).unwrap();
    let file = RecipeFile::read(&path, &[], Some(5)).unwrap();
    assert_eq!(file.problems[0].recipe.seeds(), [5]);
}

#[test]
fn pairs_are_drawn_only_where_rows_correspond() {
    for (change, key) in [("data.anchors=50", "`data.anchors` is 50"), ("data.held_out=0.2", "`data.held_out` is 0.2")]
    {
        let error = message(MINIMAL, &[change]);
        assert!(error.contains(key) && error.contains("data.hide_pairs = false") && error.contains("hint:"), "{error}");
        assert!(read(MINIMAL, &[change, "data.hide_pairs=true"]).is_ok());
    }
    let error = message(MINIMAL, &["data.anchors=known.csv", "data.hide_pairs=true"]);
    assert!(error.contains("known.csv") && error.contains("a number is expected"), "{error}");
    for fine in ["data.anchors=known.csv", "data.anchors=0", "data.held_out=0"] {
        assert!(read(MINIMAL, &[fine]).is_ok(), "{fine}");
    }
}
