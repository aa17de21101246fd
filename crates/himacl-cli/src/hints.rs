//! What the library says in general, in words of this command line.

use himacl::data::Error as DataError;
use himacl::embed::EmbedError;
use himacl::encoder::EncoderError;
use himacl::hub::HubError;
use himacl::readers::ReadError;
use himacl::train::{EncoderTrainingError, RecipeError};
use himacl::{EncodeError, Error};
use std::io::ErrorKind;
use std::path::Path;

const HINT: &str = "\nhint: ";

/// The library's message, with a hint that names flags in place of its own where there is one.
pub(crate) fn with_flags(error: &Error) -> String {
    let text = error.to_string();
    let Some(hint) = hint(error) else { return text };
    let what = text.split(HINT).next().unwrap_or_default();
    format!("{what}{HINT}{hint}")
}

/// The message of a run from files to files, with a hint that names flags in place of its own where there is one.
pub(crate) fn external(error: &hiref_external::Error) -> String {
    let text = error.to_string();
    let hint = match error {
        hiref_external::Error::DiskTooSmall { .. } => "--work-dir names a folder on another disk for them",
        hiref_external::Error::Broken { .. } => "--force starts over",
        hiref_external::Error::Data(inner) => match of_data(inner) {
            Some(hint) => hint,
            None => return text,
        },
        _ => return text,
    };
    let what = text.split(HINT).next().unwrap_or_default();
    format!("{what}{HINT}{hint}")
}

/// The Python package's message, with flags in place of its arguments.
pub(crate) fn of_python(message: &str) -> String {
    let flags = [
        ("resume=True", "--resume"),
        ("force=True", "--force"),
        ("resume and force", "--resume and --force"),
        ("max_memory", "--max-memory"),
        ("scratch_dir", "--scratch-dir"),
        (", or pass storage_options", ", or fsspec's own variables such as FSSPEC_S3_ENDPOINT_URL"),
    ];
    flags.into_iter().fold(message.to_owned(), |text, (argument, flag)| text.replace(argument, flag))
}

fn hint(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Data(error) => return of_data(error).map(str::to_owned),
        Error::Encode(error) => return of_encode(error),
        Error::Solver(hiref_core::Error::DimensionMismatch { .. }) => {
            "map one side into the other's space first (`himacl train` learns such a map)"
        }
        Error::Solver(hiref_core::Error::NoMatching { .. }) => {
            "--unmatched-cost or --pairs lets items stay single; or allow them more pairs"
        }
        Error::Solver(hiref_core::Error::NotTogether { first: "x_capacity", .. }) => {
            "give one side's items several partners: --x-capacity or --y-capacity"
        }
        Error::Solver(hiref_core::Error::Device(_)) => "`--device cpu` works without it",
        Error::Recipe(RecipeError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
            "the repository has recipes in models/recipes, with paths from its root: run them there, or name a recipe of your own"
        }
        Error::Recipe(RecipeError::Override { .. }) => "for example --set train.epochs=3",
        Error::EncoderTraining(EncoderTrainingError::NoWeights { side }) => {
            return Some(format!("name it: --set data.{side}_encoder=DIR"));
        }
        Error::EncoderTraining(EncoderTrainingError::Elsewhere { side, input }) => {
            let (command, files) = fetching(input);
            return Some(format!(
                "in two steps: `{command}`, then `himacl train` with --set data.{side}_input='{files}'"
            ));
        }
        Error::NoFinishedRun { run: None, .. } => "finish it with `himacl train --resume`",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// The command that fetches a dataset's files to the folder `data`, and what they are called there.
fn fetching(input: &str) -> (String, String) {
    let of_hub = |place: &str| {
        let (repo, pattern) = place.match_indices('/').nth(1).map(|(at, _)| (&place[..at], &place[at + 1..]))?;
        let (name, revision) = repo.split_once('@').unwrap_or((repo, "main"));
        let fetch = format!(
            "hf download {name} --repo-type dataset --revision {revision} --include '{pattern}' --local-dir data"
        );
        Some((fetch, format!("data/{pattern}")))
    };
    let others = || {
        let name = input.rsplit('/').next().unwrap_or_default();
        (format!("curl --remote-name-all --create-dirs --output-dir data {input}"), format!("data/{name}"))
    };
    let of_bucket = |place: &str| {
        let fixed = &place[..place.find(['*', '?', '[', '{']).unwrap_or(place.len())];
        let folder = fixed.rsplit_once('/').map_or(fixed, |(folder, _)| folder);
        let pattern = place.strip_prefix(folder)?.strip_prefix('/')?;
        Some((format!("aws s3 sync 's3://{folder}' data"), format!("data/{pattern}")))
    };
    match (input.strip_prefix("hf://datasets/"), input.strip_prefix("s3://")) {
        (Some(place), _) => of_hub(place).unwrap_or_else(others),
        (_, Some(place)) => of_bucket(place).unwrap_or_else(others),
        _ => others(),
    }
}

fn of_data(error: &DataError) -> Option<&'static str> {
    match error {
        DataError::OutputExists(_) => {
            Some("choose another one, pass --force to replace it, or --resume to go on with it")
        }
        DataError::OutputNotOurs { .. } => Some(
            "--force and --resume touch nothing else: choose another folder, or move this one away (results of earlier \
             versions, which wrote no such file, can still be read)",
        ),
        DataError::OutputOfOther { .. } => {
            Some("choose another folder: --force and --resume touch only what the same command made")
        }
        DataError::ResumeMismatch { .. } => Some("choose another output folder, or pass --force to start over"),
        DataError::ResumeInput { .. } => {
            Some("bring the data back, choose another output folder, or pass --force to start over")
        }
        DataError::OutputFileExists(_) => Some("choose another one, or pass --force to overwrite it"),
        DataError::Io { path, .. } if path.to_string_lossy().contains("://") => {
            Some("`himacl embed` reads addresses, as --input, and `himacl pair`, as --x and --y: fetch the file first")
        }
        DataError::Key { .. } => Some("name one of them with --x-key or --y-key"),
        DataError::Precision { .. } => Some(
            "`himacl pair --center`, in memory, subtracts each side's mean before they are rounded; or subtract the same offset from \
             both sides in float64, and write them again",
        ),
        _ => None,
    }
}

fn of_encode(error: &EncodeError) -> Option<String> {
    let hint = match error {
        EncodeError::Hub(HubError::Offline { .. }) => "unset it, or name a folder that has the files with --local",
        EncodeError::Hub(HubError::Network { .. }) => {
            "check the network, or HF_ENDPOINT; where there is none, copy the files and name their folder with --local"
        }
        EncodeError::Hub(HubError::NoWeights { found, .. })
            if found.iter().any(|name| Path::new(name).extension().is_none_or(|extension| extension != "onnx")) =>
        {
            "convert them with safetensors' convert.py, and name the folder with --local"
        }
        EncodeError::Hub(HubError::NoLocalFile { repo, .. }) => {
            return Some(format!("--local expects a folder with the files of {repo}, by the same names"));
        }
        EncodeError::Read(ReadError::Unreachable(_)) => {
            "check the address and the network; --resume goes on with the file that a run broke off in; or fetch the files first, \
             and name them on the disk"
        }
        EncodeError::Read(ReadError::TextOnly(_)) => "pass --modality text, or name a table, folder or shards",
        EncodeError::Read(ReadError::Column { what: "picture", .. }) => {
            "name it with --image-column; where the first line is no header, by its number: --image-column 1"
        }
        EncodeError::Read(ReadError::Column { .. }) => {
            "name it with --caption-column; where the first line is no header, by its number: --caption-column 1"
        }
        EncodeError::Embed(EmbedError::TooManySkipped { list, .. }) => {
            return Some(format!("`{}` lists them; --resume with a higher --max-error-rate goes on", list.display()));
        }
        EncodeError::Encoder(error) if matches!(**error, EncoderError::Unknown { .. }) => {
            "`himacl encoders` lists them; --repo with --family takes any other of a known family"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_take_the_place_of_the_librarys_hint() {
        let exists = Error::from(DataError::OutputExists("out".into()));
        let text = with_flags(&exists);
        assert!(
            text.starts_with("output folder `out` exists and is not empty\nhint: choose another one, pass --force")
        );
        assert_eq!(text.matches(HINT).count(), 1);
        let away = DataError::io("read", Path::new("https://host/x.npy"))(std::io::ErrorKind::NotFound.into());
        assert!(with_flags(&away.into()).ends_with("as --x and --y: fetch the file first"));
        let missing = RecipeError::Read { path: "my.toml".into(), source: ErrorKind::NotFound.into() };
        assert!(with_flags(&missing.into()).contains("hint: the repository has recipes in models/recipes"));
        let other = Error::from(DataError::UnknownFormat("x".into()));
        assert_eq!(with_flags(&other), other.to_string());
        let column = ReadError::Column { path: "t.csv".into(), what: "caption", available: vec!["a".to_owned()] };
        assert!(with_flags(&column.into()).contains("it has `a`\nhint: name it with --caption-column;"));
        let (url, reason) = ("https://host/a.tar".to_owned(), "refused".to_owned());
        let gone = ReadError::Unreachable(Box::new(HubError::Network { url, reason, attempts: 6 }));
        let text = with_flags(&gone.into());
        assert!(
            text.starts_with("cannot reach https://host/a.tar: refused (6 attempts)\nhint: check the address"),
            "{text}"
        );
        assert!(text.contains("--resume") && !text.contains("--local"), "{text}");
    }

    #[test]
    fn commands_fetch_files_from_where_they_are() {
        for (input, command, files) in [
            ("s3://bucket/a/b/{0..3}.tar", "aws s3 sync 's3://bucket/a/b' data", "data/{0..3}.tar"),
            ("s3://bucket/x.csv", "aws s3 sync 's3://bucket' data", "data/x.csv"),
            ("s3://bucket/a*/b.csv", "aws s3 sync 's3://bucket' data", "data/a*/b.csv"),
            (
                "hf://datasets/org/name@v1/data/*.parquet",
                "hf download org/name --repo-type dataset --revision v1 --include 'data/*.parquet' --local-dir data",
                "data/data/*.parquet",
            ),
            (
                "https://host/a/b.tar",
                "curl --remote-name-all --create-dirs --output-dir data https://host/a/b.tar",
                "data/b.tar",
            ),
        ] {
            assert_eq!(fetching(input), (command.to_owned(), files.to_owned()), "{input}");
        }
    }
}
