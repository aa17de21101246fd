//! Gradients of trainable encoders, family by family.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use himacl_encode::encoder::registry::{self, EncoderSpec};
use himacl_encode::encoder::{Encoder, EncoderError, Pixels, Tokens};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/encoders")
}

fn spec(name: &str) -> EncoderSpec {
    registry::parse(name, &fs::read_to_string(golden().join(name).join("spec.toml")).unwrap()).unwrap()
}

/// A family's small network with random weights.
struct Case {
    name: String,
    fused: Encoder,
    plain: Encoder,
    variables: BTreeMap<String, Var>,
    pictures: Vec<Pixels>,
    texts: Vec<String>,
}

/// How the names of folders begin whose encoders are not trained.
const FIXED: [&str; 4] = ["mobileclip-", "static-", "router", "jina-clip"];

/// Filters that are merged when they are read would not follow their variables; static models have no blocks; of a model
/// in a folder below others the new weights would have no place.
#[test]
fn what_is_not_trained_is_refused() {
    for (name, reason) in [
        ("mobileclip-fastvit", "MobileCLIP"),
        ("mobileclip-vit", "MobileCLIP"),
        ("static-model2vec", "static"),
        ("static-sentence-transformers", "folder of its own"),
        ("router", "folder of its own"),
    ] {
        let folder = golden().join(name);
        match Encoder::load_trainable(&spec(name), &folder, &Device::Cpu).err() {
            Some(EncoderError::NotTrainable { reason: said, .. }) => assert!(said.contains(reason), "{name}: {said}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

impl Case {
    fn open(name: &str) -> Self {
        let (spec, folder) = (spec(name), golden().join(name));
        let (plain, variables) = Encoder::load_trainable(&spec, &folder, &Device::Cpu).unwrap();
        let all = candle_core::safetensors::load(golden().join("pictures.safetensors"), &Device::Cpu).unwrap();
        let pictures = &all["pictures"];
        let values = |row| pictures.get(row).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let picture = |row| Pixels { width: 32, values: values(row) };
        let texts: Vec<String> =
            serde_json::from_str(&fs::read_to_string(golden().join("texts.json")).unwrap()).unwrap();
        Self {
            name: name.to_owned(),
            fused: Encoder::load(&spec, &folder, &Device::Cpu, DType::F32).unwrap(),
            plain,
            variables,
            pictures: (0..pictures.dim(0).unwrap()).map(picture).collect(),
            texts: texts.into_iter().take(4).collect(),
        }
    }

    fn all() -> Vec<Self> {
        let folders = fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<String> = folders
            .filter(|path| path.join("spec.toml").exists())
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .filter(|name| !FIXED.iter().any(|fixed| name.starts_with(fixed)))
            .collect();
        names.sort();
        assert!(names.len() >= 32, "the golden folders are there");
        names.iter().map(|name| Self::open(name)).collect()
    }

    fn tokens(&self) -> Vec<Tokens> {
        let Some(text) = &self.plain.text else { return Vec::new() };
        self.texts.iter().map(|line| text.tokenize(line).unwrap()).collect()
    }

    /// The embeddings of everything that the encoder reads.
    fn embed(&self) -> Vec<Tensor> {
        let texts = self.plain.text.iter().map(|text| text.encode(&self.tokens()).unwrap());
        texts.chain(self.plain.image.iter().map(|image| image.encode(&self.pictures).unwrap())).collect()
    }

    /// The same by way of what enters the last blocks, computed by the fused form; at most as many as there are.
    fn embed_after(&self, last: usize) -> Vec<Tensor> {
        let texts = self.plain.text.iter().zip(&self.fused.text).map(|(plain, fused)| {
            let before = fused.encode_before(&self.tokens(), last).unwrap();
            plain.encode_after(&before.iter().collect::<Vec<_>>(), last).unwrap()
        });
        let pictures = self.plain.image.iter().zip(&self.fused.image).map(|(plain, fused)| {
            let before = fused.encode_before(&self.pictures, last).unwrap();
            plain.encode_after(&before.iter().collect::<Vec<_>>(), last).unwrap()
        });
        texts.chain(pictures).collect()
    }

    fn num_blocks(&self) -> usize {
        let text = self.plain.text.as_ref().map_or(0, |text| text.num_blocks());
        text.max(self.plain.image.as_ref().map_or(0, |image| image.num_blocks()))
    }
}

/// A number that every coordinate of every embedding has its own share in.
fn figure(embeddings: &[Tensor]) -> Tensor {
    let figures = embeddings.iter().map(|rows| {
        let shares = (0..rows.elem_count()).map(|at| ((at * 7919 + 13) % 997) as f32 / 500.0 - 1.0);
        let shares = Tensor::from_iter(shares, &Device::Cpu).unwrap().reshape(rows.shape()).unwrap();
        (rows * shares).unwrap().sum_all().unwrap()
    });
    figures.reduce(|a, b| (a + b).unwrap()).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn largest(tensor: &Tensor) -> f32 {
    values(tensor).into_iter().map(f32::abs).fold(0.0, f32::max)
}

/// Softmax does not see what all keys have in common: this gradient is zero but for rounding.
fn has_no_effect(variable: &str) -> bool {
    variable.ends_with("key.bias") || variable.ends_with("k_proj.bias") || variable.ends_with("attn.k.bias")
}

#[test]
fn every_variable_has_a_gradient() {
    for case in Case::all() {
        let gradients = figure(&case.embed()).backward().unwrap();
        let scale =
            case.variables.values().map(|variable| largest(gradients.get(variable).unwrap())).fold(0.0, f32::max);
        assert!(scale.is_finite() && !case.variables.is_empty(), "{}", case.name);
        for (name, variable) in &case.variables {
            let gradient = gradients.get(variable).unwrap_or_else(|| panic!("{}: {name}", case.name));
            assert!(values(gradient).iter().all(|value| value.is_finite()), "{}: {name}", case.name);
            let size = largest(gradient) / scale;
            assert!(size > 1e-7 || has_no_effect(name), "{}: {name}: {size}", case.name);
        }
    }
}

#[test]
fn gradients_are_differences() {
    for name in [
        "bert",
        "modernbert",
        "qwen3",
        "nomic-bert-experts",
        "gte-own",
        "embedding-gemma",
        "vit",
        "siglip",
        "efficientnet-lite",
        "resnet-basic",
        "convnext-timm",
    ] {
        let case = Case::open(name);
        let gradients = figure(&case.embed()).backward().unwrap();
        let scale =
            case.variables.values().map(|variable| largest(gradients.get(variable).unwrap())).fold(0.0, f32::max);
        for (name, variable) in &case.variables {
            let gradient = values(gradients.get(variable).unwrap());
            let at = (0..gradient.len()).max_by(|&a, &b| gradient[a].abs().total_cmp(&gradient[b].abs())).unwrap();
            let before = variable.as_detached_tensor().copy().unwrap();
            let step = 1e-3 * largest(&before).max(0.1);
            let figure_at = |step: f32| {
                let mut moved = values(&before);
                moved[at] += step;
                variable.set(&Tensor::from_vec(moved, before.shape(), &Device::Cpu).unwrap()).unwrap();
                // In double precision from the embeddings on, to lose no more than the network does.
                let sum: f64 = case
                    .embed()
                    .iter()
                    .map(|rows| {
                        let rows = values(rows).into_iter().enumerate();
                        rows.map(|(at, x)| f64::from(x) * f64::from(((at * 7919 + 13) % 997) as f32 / 500.0 - 1.0))
                            .sum::<f64>()
                    })
                    .sum();
                sum
            };
            let difference = (figure_at(step) - figure_at(-step)) / (2.0 * f64::from(step));
            variable.set(&before).unwrap();
            let off = (difference - f64::from(gradient[at])).abs();
            println!("{} {name}[{at}]: {} by differences {difference}", case.name, gradient[at]);
            let allowed = 0.02 * f64::from(gradient[at].abs()) + 2e-3 * f64::from(scale);
            assert!(off < allowed, "{} {name}[{at}]: {} by differences {difference}", case.name, gradient[at]);
        }
    }
}

/// The last blocks get the same gradients whether what enters them was computed once or all of the encoder is
/// differentiated; blocks before them get none.
#[test]
fn last_blocks_are_trained_as_in_the_whole() {
    for case in Case::all() {
        let whole = case.embed();
        let gradients: GradStore = figure(&whole).backward().unwrap();
        let mut trained = Vec::new();
        for last in 0..=case.num_blocks() {
            let parts = case.embed_after(last);
            for (part, whole) in parts.iter().zip(&whole) {
                assert!(largest(&(part - whole).unwrap()) < 1e-4 * largest(whole), "{} {last}", case.name);
            }
            let own = figure(&parts).backward().unwrap();
            let scale =
                case.variables.values().filter_map(|variable| own.get(variable)).map(largest).fold(0.0, f32::max);
            let mut count = 0;
            for (name, variable) in &case.variables {
                let Some(gradient) = own.get(variable) else { continue };
                count += 1;
                // Relative positions and the like serve every block: the blocks before have a share in them.
                if name.contains("relative_attention_bias") {
                    continue;
                }
                let off = largest(&(gradient - gradients.get(variable).unwrap()).unwrap());
                assert!(off < 1e-3 * scale, "{} {last} {name}: {off} of {scale}", case.name);
            }
            trained.push(count);
        }
        assert!(trained.windows(2).all(|pair| pair[0] < pair[1]), "{}: {trained:?}", case.name);
        assert!(trained[case.num_blocks()] < case.variables.len(), "{}: the stem stays as it is", case.name);
    }
}

/// Variables are read whenever the encoder runs, normalisations and resized places among them.
#[test]
fn encoders_follow_their_variables() {
    for case in Case::all() {
        let before = case.embed();
        for (name, variable) in &case.variables {
            let value = variable.as_detached_tensor().copy().unwrap();
            variable.set(&(&value * 1.5).unwrap()).unwrap();
            let moved = case.embed().iter().zip(&before).map(|(a, b)| largest(&(a - b).unwrap())).fold(0.0, f32::max);
            variable.set(&value).unwrap();
            assert!(moved > 0.0 || largest(&value) == 0.0 || has_no_effect(name), "{}: {name}", case.name);
        }
        let after = case.embed();
        assert!(before.iter().zip(&after).all(|(a, b)| values(a) == values(b)), "{}", case.name);
    }
}
