//! The point sets of a benchmark: stored ones by name, generated ones by kind and size.

use anyhow::{Context, bail, ensure};
use candle_core::{Device, Tensor};
use clap::{Args, ValueEnum};
use himacl::data::{Embeddings, write_npy_f16, write_npy_f32};
use hiref_core::CostKind;
use hiref_testkit::{Cost, Instance, problems};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The generated sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A half moon and an S curve, two dimensions.
    HalfMoon,
    /// Five and four Gaussians on a square, two dimensions.
    Checkerboard,
    /// A bent Gaussian and four rings, two dimensions.
    MoonToRings,
    /// Points that move away from both axes, two dimensions; the optimum under the squared distance is 8.
    ToyOde,
    /// Two samples of one mixture of ten Gaussians, any number of dimensions.
    Mixture,
    /// Two samples of a thousand long clusters on the unit sphere, any number of dimensions; written in f16.
    Embeddings,
    /// Two samples on the unit sphere whose principal variances and distances are those of a sentence encoder, any number of dimensions; written
    /// in f16.
    TextEmbeddings,
}

impl Kind {
    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn in_any_dimension(self) -> bool {
        matches!(self, Self::Mixture | Self::Embeddings | Self::TextEmbeddings)
    }

    /// `n` points a side; `dimension` is for the kinds that leave it open.
    pub(crate) fn generate(self, n: usize, dimension: usize, seed: u64) -> Instance {
        match self {
            Self::HalfMoon => problems::half_moon_s_curve(n, seed),
            Self::Checkerboard => problems::checkerboard(n, seed),
            Self::MoonToRings => problems::moon_to_rings(n, seed),
            Self::ToyOde => problems::toy_ode(n, seed),
            Self::Mixture => problems::mixture(n, n, dimension, seed),
            Self::Embeddings => problems::embeddings(n, n, dimension, seed),
            Self::TextEmbeddings => problems::text_embeddings(n, n, dimension, seed),
        }
    }
}

/// The optimum of an instance, where its construction tells.
pub(crate) fn known_optimum(instance: &Instance, cost: CostKind) -> Option<f64> {
    let cost = Cost::of_name(cost.name());
    instance.optimal_for.contains(&cost).then(|| instance.optimal_cost(cost))
}

/// One set as named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SetSpec {
    /// `NAME`: the files `NAME_x.npy` and `NAME_y.npy` of the fixtures folder.
    Stored(String),
    /// `KIND:N` or `KIND:N:D`.
    Generated { kind: Kind, n: usize, dimension: usize },
}

impl FromStr for SetSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((kind, sizes)) = text.split_once(':') else {
            return Ok(Self::Stored(text.to_owned()));
        };
        let kind = Kind::from_str(kind, false)?;
        let (n, dimension) = sizes.split_once(':').unwrap_or((sizes, if kind.in_any_dimension() { "64" } else { "2" }));
        let size = |text: &str| match text.parse::<usize>() {
            Ok(size) if size > 0 => Ok(size),
            _ => Err(format!("`{text}` is no size; expected NAME, KIND:N or KIND:N:D")),
        };
        let (n, dimension) = (size(n)?, size(dimension)?);
        if !kind.in_any_dimension() && dimension != 2 {
            return Err(format!("{} has 2 dimensions, not {dimension}", kind.name()));
        }
        Ok(Self::Generated { kind, n, dimension })
    }
}

/// Where stored sets are, and how generated ones are drawn.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// A stored set by name, or a generated one as KIND:N or KIND:N:D, such as half-moon:65536 or mixture:4096:16. The
    /// kinds: half-moon, checkerboard, moon-to-rings, toy-ode, mixture, embeddings,
    /// text-embeddings.
    #[arg(long = "set", value_name = "SET", required = true, value_delimiter = ',')]
    pub(crate) sets: Vec<SetSpec>,
    /// Folder with the stored sets, `NAME_x.npy` and `NAME_y.npy`, and their optima in exact.json.
    #[arg(long, value_name = "DIR", default_value = "tests/fixtures")]
    pub(crate) fixtures: PathBuf,
    /// Seed of the generated sets.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) data_seed: u64,
}

/// A set on disk.
#[derive(Debug)]
pub(crate) struct StoredSet {
    pub(crate) name: String,
    pub(crate) x: PathBuf,
    pub(crate) y: PathBuf,
    optima: Vec<(CostKind, f64)>,
}

impl SetArgs {
    /// Makes sure that the set is on disk: generated ones are written into `folder`.
    pub(crate) fn store(&self, spec: &SetSpec, folder: &Path) -> anyhow::Result<StoredSet> {
        match spec {
            SetSpec::Stored(name) => {
                let file = |side: &str| self.fixtures.join(format!("{name}_{side}.npy"));
                let (x, y) = (file("x"), file("y"));
                if !x.is_file() {
                    bail!(
                        "no file {}\nhint: --set takes the name of a stored set, or KIND:N, or KIND:N:D",
                        x.display()
                    );
                }
                Ok(StoredSet { name: name.clone(), x, y, optima: stored_optima(&self.fixtures, name)? })
            }
            &SetSpec::Generated { kind, n, dimension } => {
                let instance = kind.generate(n, dimension, self.data_seed);
                let name = format!("{}_{n}_d{dimension}", kind.name());
                let (x, y) = (folder.join(format!("{name}_x.npy")), folder.join(format!("{name}_y.npy")));
                let write =
                    if matches!(kind, Kind::Embeddings | Kind::TextEmbeddings) { write_npy_f16 } else { write_npy_f32 };
                write(&x, &instance.x, &[n, dimension])?;
                write(&y, &instance.y, &[n, dimension])?;
                let optimum = |&cost: &CostKind| known_optimum(&instance, cost).map(|optimum| (cost, optimum));
                let optima = CostKind::ALL.iter().filter_map(optimum).collect();
                Ok(StoredSet { name: format!("{} {n} d={dimension}", kind.name()), x, y, optima })
            }
        }
    }
}

impl StoredSet {
    /// Loads both sides, `(n, d)` and `(m, d)`.
    pub(crate) fn load(&self) -> anyhow::Result<(Tensor, Tensor)> {
        Ok((load_points(&self.x)?, load_points(&self.y)?))
    }

    /// The least mean cost, where it is known.
    pub(crate) fn optimum(&self, cost: CostKind) -> Option<f64> {
        self.optima.iter().find(|(of, _)| *of == cost).map(|&(_, optimum)| optimum)
    }
}

/// Reads points, `(n, d)`, into host memory.
pub(crate) fn load_points(path: &Path) -> anyhow::Result<Tensor> {
    Ok(Embeddings::open(path, None)?.to_stored_tensor(&Device::Cpu)?)
}

fn stored_optima(fixtures: &Path, name: &str) -> anyhow::Result<Vec<(CostKind, f64)>> {
    let path = fixtures.join("exact.json");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(Vec::new()) };
    let facts: Value = serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
    let optimum = |cost: CostKind| facts[name][cost.name()].as_f64().map(|optimum| (cost, optimum));
    Ok(CostKind::ALL.into_iter().filter_map(optimum).collect())
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    sets: SetArgs,
    /// Folder for the files.
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
}

/// Writes generated sets as `KIND_N_dD_x.npy` and `KIND_N_dD_y.npy`.
pub(crate) fn generate(args: &GenerateArgs) -> anyhow::Result<()> {
    fs::create_dir_all(&args.output).with_context(|| format!("cannot make {}", args.output.display()))?;
    for spec in &args.sets.sets {
        ensure!(matches!(spec, SetSpec::Generated { .. }), "a stored set needs no generating");
        let set = args.sets.store(spec, &args.output)?;
        println!("{}\n{}", set.x.display(), set.y.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_a_name_or_a_kind_with_sizes() {
        let parse = |text: &str| text.parse::<SetSpec>();
        assert_eq!(parse("checkerboard_512"), Ok(SetSpec::Stored("checkerboard_512".to_owned())));
        let generated = |kind, n, dimension| Ok(SetSpec::Generated { kind, n, dimension });
        assert_eq!(parse("half-moon:1024"), generated(Kind::HalfMoon, 1024, 2));
        assert_eq!(parse("mixture:65536"), generated(Kind::Mixture, 65536, 64));
        assert_eq!(parse("mixture:4096:16"), generated(Kind::Mixture, 4096, 16));
        for wrong in ["moon:12", "mixture:many", "mixture:0", "toy-ode:12:3"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_toy_flow_has_a_known_optimum() {
        let instance = Kind::ToyOde.generate(100, 2, 1);
        assert_eq!(known_optimum(&instance, CostKind::SquaredEuclidean), Some(8.0));
        assert_eq!(known_optimum(&instance, CostKind::Euclidean), None);
    }
}
