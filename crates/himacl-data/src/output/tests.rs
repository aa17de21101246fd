use super::*;
use crate::files::write_text;
use std::collections::BTreeMap;

fn plan(command: &str, seed: i64) -> Plan {
    Plan {
        command: command.to_owned(),
        version: "1".to_owned(),
        files: ["config.toml", "result", "parts/part_#.npy"].map(ToOwned::to_owned).to_vec(),
        inputs: BTreeMap::from([("x".to_owned(), "sha256:7".to_owned())]),
        settings: toml::Table::from_iter([("seed".to_owned(), seed.into())]),
    }
}

fn open(path: &Path, existing: Existing) -> Result<OutputDir, Error> {
    OutputDir::open(path, "pair", existing)
}

/// A run from begin to end.
fn run(path: &Path, existing: Existing, seed: i64, parts: usize) {
    let mut output = open(path, existing).unwrap();
    output.begin(&plan("pair", seed)).unwrap();
    fs::create_dir_all(output.file("parts")).unwrap();
    for part in 0..parts {
        write_text(&output.file(format!("parts/part_{part}.npy")), &seed.to_string()).unwrap();
    }
    write_text(&output.file("result"), &seed.to_string()).unwrap();
    output.finish().unwrap();
}

/// Every file below a folder with its content.
fn contents(root: &Path) -> BTreeMap<PathBuf, String> {
    let (mut all, mut open) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                all.insert(path.strip_prefix(root).unwrap().to_path_buf(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    all
}

#[test]
fn output_is_a_place_on_this_machine() {
    for address in ["s3://bucket/out", "gs://b", "file:///tmp/out"] {
        let refused = [open(Path::new(address), Existing::Refuse).err(), {
            OutputFile::open(Path::new(address), Existing::Refuse, []).err()
        }];
        for error in refused {
            assert!(matches!(error, Some(Error::OutputAddress(_))), "{address}: {error:?}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    open(&folder.path().join("a:b//c"), Existing::Refuse).unwrap();
}

#[test]
fn existing_output_needs_a_flag_and_a_mark() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    run(&path, Existing::Refuse, 1, 2);
    assert!(matches!(open(&path, Existing::Refuse), Err(Error::OutputExists(_))));
    open(&path, Existing::Overwrite).unwrap();
    open(&path, Existing::Resume).unwrap();
    let other = OutputDir::open(&path, "train", Existing::Overwrite).unwrap_err().to_string();
    assert!(other.contains("`himacl pair`") && other.contains("`himacl train`"), "{other}");

    let site = folder.path().join("site");
    fs::create_dir(&site).unwrap();
    fs::write(site.join("config.toml"), "mine").unwrap();
    for existing in [Existing::Overwrite, Existing::Resume] {
        assert!(matches!(open(&site, existing), Err(Error::OutputNotOurs { .. })));
    }
    assert_eq!(fs::read_dir(&site).unwrap().count(), 1);
}

#[test]
fn a_file_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("deep/er")] {
        match open(&path, Existing::Overwrite).unwrap_err() {
            Error::OutputNotAFolder { obstacle, .. } => assert_eq!(obstacle, file),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn an_unused_folder_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let mut output = open(&path, Existing::Refuse).unwrap();
    output.begin(&plan("pair", 1)).unwrap();
    write_text(&output.file("config.toml"), "seed = 1").unwrap();
    drop(output);
    assert!(!folder.path().join("a").exists());

    let mut output = open(&path, Existing::Refuse).unwrap();
    output.begin(&plan("pair", 1)).unwrap();
    write_text(&output.file("result"), "1").unwrap();
    drop(output);
    assert!(path.join("result").exists());
    assert!(open(&path, Existing::Resume).unwrap().goes_on(&plan("pair", 1), &|_| false).unwrap());
}

#[test]
fn force_replaces_its_own_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    run(&path, Existing::Refuse, 1, 3);
    fs::write(path.join("parts/notes"), "mine").unwrap();
    fs::write(path.join("parts/.himacl-part_9.npy-x.tmp"), "killed").unwrap();
    run(&path, Existing::Overwrite, 2, 1);
    let mut left = contents(&path);
    left.remove(Path::new(MARK)).unwrap();
    let expected = [("parts/notes", "mine"), ("parts/part_0.npy", "2"), ("result", "2")];
    assert_eq!(left, expected.map(|(name, text)| (PathBuf::from(name), text.to_owned())).into());
}

#[test]
fn the_old_result_comes_back_where_the_new_run_fails_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    run(&path, Existing::Refuse, 1, 3);
    let before = contents(&path);
    let mut output = open(&path, Existing::Overwrite).unwrap();
    output.begin(&plan("pair", 2)).unwrap();
    assert!(!path.join("result").exists());
    drop(output);
    assert_eq!(contents(&path), before);
}

#[test]
fn an_unfinished_replacement_is_gone_on_with_or_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    run(&path, Existing::Refuse, 1, 3);
    let mut output = open(&path, Existing::Overwrite).unwrap();
    output.begin(&plan("pair", 2)).unwrap();
    fs::create_dir_all(output.file("parts")).unwrap();
    write_text(&output.file("parts/part_7.npy"), "2").unwrap();
    drop(output);
    // Only the run that was begun goes on.
    let output = open(&path, Existing::Resume).unwrap();
    assert!(output.goes_on(&plan("pair", 1), &|_| false).is_err());
    assert!(output.goes_on(&plan("pair", 2), &|_| false).unwrap());
    drop(output);
    run(&path, Existing::Overwrite, 3, 1);
    let names: Vec<PathBuf> = contents(&path).into_keys().collect();
    assert_eq!(names, [MARK, "parts/part_0.npy", "result"].map(PathBuf::from));
}

/// Stops in the middle of every sequence of renames, as a kill would, by doing them by hand.
#[test]
fn whatever_was_going_on_the_old_result_is_whole() {
    let previous = Path::new(".himacl-previous");
    let moved = ["config.toml", "parts/part_0.npy", "parts/part_1.npy", "result", MARK];
    for stop in 0..=moved.len() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        run(&path, Existing::Refuse, 1, 2);
        fs::write(path.join("config.toml"), "seed = 1").unwrap();
        let before = contents(&path);
        for name in &moved[..stop] {
            let target = path.join(previous).join(name);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::rename(path.join(name), target).unwrap();
        }
        if stop == moved.len() {
            // The rest of a run that was given up, with a plan of its own.
            plan("pair", 2).write(&path.join(previous).join(".himacl-given-up.toml")).unwrap();
            fs::write(path.join("parts/part_9.npy"), "2").unwrap();
        }
        let output = open(&path, Existing::Resume).unwrap();
        assert!(output.goes_on(&plan("pair", 1), &|_| false).unwrap(), "stopped at {stop}");
        assert!(output.goes_on(&plan("pair", 2), &|_| false).is_err(), "stopped at {stop}");
        drop(output);
        assert_eq!(contents(&path), before, "stopped at {stop}");
    }
}

#[test]
fn inputs_inside_the_output_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    run(&path, Existing::Refuse, 1, 1);
    let output = open(&path, Existing::Overwrite).unwrap();
    output.refuse_inputs([folder.path()]).unwrap();
    for input in [path.clone(), path.join("parts"), path.join("parts/../result")] {
        let refused = output.refuse_inputs([input.as_path()]).unwrap_err();
        assert!(matches!(refused, Error::InputInOutput { .. }), "{refused}");
    }
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let first = open(&path, Existing::Refuse).unwrap();
    for existing in [Existing::Refuse, Existing::Overwrite, Existing::Resume] {
        let refused = open(&path, existing).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    }
    drop(first);
    assert!(!path.exists());
}

#[test]
fn one_writer_of_a_file_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let first = OutputFile::open(&path, Existing::Refuse, []).unwrap();
    assert!(matches!(OutputFile::open(&path, Existing::Refuse, []), Err(Error::OutputInUse { .. })));
    drop(first);
    fs::write(folder.path().join(".himacl-x.npy-AbC123.tmp"), "killed").unwrap();
    fs::write(folder.path().join(".himacl-x.npy-y.npy-AbC123.tmp"), "another file's").unwrap();
    drop(OutputFile::open(&path, Existing::Refuse, []).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    crate::write_npy_f32(&path, &[1.0], &[1, 1]).unwrap();
    assert!(matches!(OutputFile::open(&path, Existing::Refuse, []), Err(Error::OutputFileExists(_))));
    OutputFile::open(&path, Existing::Overwrite, []).unwrap();
    let same = folder.path().join("./x.npy");
    let refused = OutputFile::open(&path, Existing::Overwrite, [same.as_path()]);
    assert!(matches!(refused, Err(Error::InputInOutput { .. })));
    let text = folder.path().join("thesis.npy");
    fs::write(&text, "mine").unwrap();
    assert!(matches!(OutputFile::open(&text, Existing::Overwrite, []), Err(Error::NotEmbeddings(_))));
}

#[test]
fn a_run_that_made_nothing_but_folders_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let mut output = open(&path, Existing::Refuse).unwrap();
    output.begin(&plan("pair", 1)).unwrap();
    fs::create_dir_all(output.file("parts")).unwrap();
    drop(output);
    assert!(!path.exists());
    // One that holds a file of the user's keeps it, and the folder.
    fs::create_dir_all(&path).unwrap();
    let mut output = open(&path, Existing::Refuse).unwrap();
    output.begin(&plan("pair", 1)).unwrap();
    fs::create_dir_all(output.file("parts")).unwrap();
    fs::write(output.file("parts/mine"), "mine").unwrap();
    drop(output);
    assert_eq!(contents(&path), BTreeMap::from([(PathBuf::from("parts/mine"), "mine".to_owned())]));
}

#[test]
fn inputs_that_came_before_a_run_are_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let fetched = path.join(FETCHED).join("x.npy");
    fs::create_dir_all(fetched.parent().unwrap()).unwrap();
    write_text(&fetched, "7").unwrap();
    for existing in [Existing::Refuse, Existing::Resume, Existing::Overwrite] {
        drop(open(&path, existing).unwrap());
        assert!(fetched.is_file(), "{existing:?}");
    }
    write_text(&path.join("mine"), "7").unwrap();
    assert!(matches!(open(&path, Existing::Refuse), Err(Error::OutputExists(_))));
    assert!(matches!(open(&path, Existing::Resume), Err(Error::OutputNotOurs { .. })));
}

#[test]
fn another_input_is_told_before_the_plan_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    run(&path, Existing::Refuse, 1, 1);
    let resumed = open(&path, Existing::Resume).unwrap();
    resumed.check_input("x", "sha256:7").unwrap();
    resumed.check_input("y", "sha256:8").unwrap();
    let error = resumed.check_input("x", "sha256:8").unwrap_err();
    assert!(matches!(&error, Error::ResumeInput { input, .. } if input == "x"), "{error}");
    drop(resumed);
    open(&path, Existing::Overwrite).unwrap().check_input("x", "sha256:8").unwrap();
}

#[test]
fn a_run_that_keeps_its_work_elsewhere_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let (path, work) = (folder.path().join("out"), folder.path().join("disk/work"));
    let stopped = |existing: Existing, has_work: bool| {
        let mut output = open(&path, existing).unwrap();
        output.begin(&plan("pair", 1)).unwrap();
        output.keeps_work_in(&work);
        write_text(&output.file("config.toml"), "seed = 1").unwrap();
        if has_work {
            fs::create_dir_all(&work).unwrap();
            write_text(&work.join("plan.json"), "{}").unwrap();
        }
    };
    stopped(Existing::Refuse, false);
    assert!(!path.exists(), "nothing was done");
    stopped(Existing::Refuse, true);
    assert!(open(&path, Existing::Resume).unwrap().goes_on(&plan("pair", 1), &|_| false).unwrap());
    stopped(Existing::Resume, true);
    fs::remove_dir_all(&work).unwrap();
    // A result that such a run is to replace comes back only where nothing was done.
    let other = folder.path().join("other");
    run(&other, Existing::Refuse, 1, 1);
    let before = contents(&other);
    for (has_work, comes_back) in [(false, true), (true, false)] {
        let mut output = open(&other, Existing::Overwrite).unwrap();
        output.begin(&plan("pair", 2)).unwrap();
        output.keeps_work_in(&work);
        if has_work {
            fs::create_dir_all(&work).unwrap();
            write_text(&work.join("plan.json"), "{}").unwrap();
        }
        drop(output);
        assert_eq!(contents(&other) == before, comes_back);
    }
    assert!(open(&other, Existing::Resume).unwrap().goes_on(&plan("pair", 2), &|_| false).unwrap());
}
