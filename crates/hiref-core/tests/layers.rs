//! The order of the layers that ARCHITECTURE.md describes: a module imports from those before it alone.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the crate, lowest first.
const CRATE: [&str; 21] = [
    "rng",
    "math",
    "ops",
    "cost",
    "error",
    "report",
    "control",
    "points",
    "marginals",
    "restrictions",
    "problem",
    "permutation",
    "mean_cost",
    "geometry",
    "assignment",
    "pricing",
    "refine",
    "device",
    "hiref",
    "matching",
    "pair",
];
/// Those of the larger folders.
const FOLDERS: [(&str, &[&str]); 5] = [
    ("assignment", &["dense", "sparse"]),
    (
        "pricing",
        &[
            "candidates",
            "tree",
            "tiles",
            "bytes",
            "search",
            "clusters",
            "probe",
            "pricer",
            "align",
            "damping",
            "unlisted",
            "rounds",
        ],
    ),
    (
        "refine",
        &[
            "archive",
            "params",
            "ranks",
            "partition",
            "pairing",
            "repeated",
            "warm_start",
            "output",
            "stage",
            "checkpoint",
            "blocks",
            "session",
            "split",
            "multiscale",
            "sweeps",
            "samples",
            "exact",
            "certify",
            "gap",
            "direct",
            "solve",
        ],
    ),
    ("matching", &["params", "costs", "rounds", "output", "given", "hierarchy", "groups", "points"]),
    ("device", &["points", "pricing", "blocks"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The module of a source file, from the crate's root.
fn module_of(file: &Path, root: &Path) -> Vec<String> {
    let path = file.strip_prefix(root).unwrap().with_extension("");
    let parts = path.iter().map(|part| part.to_str().unwrap().to_owned());
    parts.filter(|part| part != "mod" && part != "lib").collect()
}

/// What the code of a module names by `crate::` or `super::`, from the crate's root; its tests do not count.
fn named(source: &str, module: &[String]) -> Vec<Vec<String>> {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut found = Vec::new();
    for line in code.lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
        for (at, _) in line.match_indices("crate::").chain(line.match_indices("super::")) {
            if line[..at].ends_with("super::") || line[..at].ends_with("pub(in ") {
                continue;
            }
            let path: Vec<&str> = line[at..]
                .split("::")
                .map(|part| part.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap())
                .collect();
            let ups = path.iter().take_while(|part| **part == "super").count();
            let base = if ups == 0 { &[] } else { &module[..module.len() - ups] };
            let rest = path[ups.max(1)..].iter().take_while(|part| !part.is_empty()).map(|part| (*part).to_owned());
            found.push(base.iter().cloned().chain(rest).collect());
        }
    }
    found
}

/// Where a module of `folder` stands among its neighbours.
fn rank(folder: &[&str], module: &str) -> usize {
    let found = folder.iter().position(|name| *name == module);
    found.unwrap_or_else(|| {
        panic!("`{module}` has no place in the order of the layers: give it one here and in ARCHITECTURE.md")
    })
}

#[test]
fn modules_import_from_those_before_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut upward = Vec::new();
    let mut seen = 0;
    for file in sources(&root) {
        let module = module_of(&file, &root);
        if module.is_empty() || module.last().is_some_and(|name| name == "tests") {
            continue;
        }
        for path in named(&fs::read_to_string(&file).unwrap(), &module) {
            seen += 1;
            let line = || format!("{} uses {}", module.join("::"), path.join("::"));
            let Some(top) = path.first() else {
                upward.push(line());
                continue;
            };
            if *top != module[0] {
                if rank(&CRATE, top) > rank(&CRATE, &module[0]) {
                    upward.push(line());
                }
                continue;
            }
            let Some((_, folder)) = FOLDERS.iter().find(|(name, _)| top == name) else { continue };
            match (module.get(1), path.get(1)) {
                // What a folder itself defines, its children may use.
                (Some(_), Some(name)) if name.starts_with(char::is_uppercase) => {}
                (Some(from), Some(to)) if rank(folder, to) > rank(folder, from) => upward.push(line()),
                _ => {}
            }
        }
    }
    assert!(seen > 150, "only {seen} imports were found");
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn an_upward_import_would_be_found() {
    let module = ["refine", "split", "level"].map(str::to_owned);
    let source = "use crate::device::Accelerator;\nuse super::super::solve::First;\n// use crate::pair;\nlet a = super::ranks::b();";
    let paths: Vec<String> = named(source, &module).iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["device::Accelerator", "refine::solve::First", "refine::split::ranks::b"]);
    assert!(rank(&CRATE, "device") > rank(&CRATE, "refine"));
}
