//! Every family of encoders against `PyTorch` (scripts/golden/encoders.py), and preparation of pictures against Pillow.

use candle_core::{DType, Device, Tensor};
use himacl_encode::encoder::registry::{self, EncoderSpec, Family, Fit, ImageSpec, Interpolation, PatchLimit, Pooling};
use himacl_encode::encoder::{Encoder, EncoderError, Pixels, Preprocessor, Tokens};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// How the names of folders begin whose encoders are not trained.
const FIXED: [&str; 4] = ["mobileclip-", "static-", "router", "jina-clip"];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/encoders")
}

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

/// Folders with a description, by name.
fn cases() -> Vec<(String, PathBuf)> {
    let folders = fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = folders
        .filter(|path| path.join("spec.toml").exists())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    cases.sort();
    cases
}

fn spec(name: &str, folder: &Path) -> EncoderSpec {
    registry::parse(name, &fs::read_to_string(folder.join("spec.toml")).unwrap()).unwrap()
}

fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
    tensor.to_vec2().unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    // A text of which a static model knows no token.
    if dot(a, a) == 0.0 && dot(b, b) == 0.0 {
        return 1.0;
    }
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Cosine above 0.99999 in every row, and every value as near as rounding allows.
fn check(name: &str, got: &Tensor, expected: &Tensor, tolerance: f32) {
    assert_eq!(got.dims(), expected.dims(), "{name}");
    for (row, (got, expected)) in rows(got).iter().zip(rows(expected)).enumerate() {
        let cosine = cosine(got, &expected);
        let worst = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{name} row {row}: cosine {cosine:.9}, largest difference {worst:.1e}");
        assert!(cosine > 0.99999, "{name} row {row}: cosine {cosine}");
        assert!(worst < tolerance, "{name} row {row}: largest difference {worst}, tolerance {tolerance}");
    }
}

fn texts() -> Vec<String> {
    serde_json::from_str(&fs::read_to_string(golden().join("texts.json")).unwrap()).unwrap()
}

fn pictures() -> Vec<Pixels> {
    let pictures = &tensors(&golden().join("pictures.safetensors"))["pictures"];
    (0..pictures.dim(0).unwrap())
        .map(|row| pictures.get(row).unwrap().flatten_all().unwrap().to_vec1().unwrap())
        .map(|values| Pixels { width: 32, values })
        .collect()
}

#[test]
fn as_pytorch() {
    let cases = cases();
    assert!(cases.len() >= 45, "the golden folders are there");
    for (name, folder) in cases {
        let spec = spec(&name, &folder);
        let expected = tensors(&folder.join("expected.safetensors"));
        let encoder =
            Encoder::load(&spec, &folder, &Device::Cpu, DType::F32).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(encoder.text.is_some(), expected.contains_key("text"), "{name}");
        assert_eq!(encoder.image.is_some(), expected.contains_key("image"), "{name}");
        // The second form has gradients to keep, and runs on Candle's own operations; some have none.
        let plain = match Encoder::load_trainable(&spec, &folder, &Device::Cpu) {
            Ok((plain, variables)) => {
                assert!(!variables.is_empty());
                Some(plain)
            }
            Err(EncoderError::NotTrainable { .. }) if FIXED.iter().any(|fixed| name.starts_with(fixed)) => None,
            Err(error) => panic!("{name}: {error}"),
        };
        for (form, encoder) in [("fused", Some(&encoder)), ("plain", plain.as_ref())] {
            let Some(encoder) = encoder else { continue };
            if let Some(text) = &encoder.text {
                let tokens: Vec<Tokens> = texts().iter().map(|line| text.tokenize(line).unwrap()).collect();
                let got = text.encode(&tokens).unwrap();
                check(&format!("{name} text, {form}"), &got, &expected["text"], 1e-4);
                assert_eq!(Some(text.dimension()), spec.dimension);
            }
            if let Some(image) = &encoder.image {
                let got = image.encode(&pictures()).unwrap();
                check(&format!("{name} image, {form}"), &got, &expected["image"], 1e-4);
                assert_eq!(image.dimension(), got.dim(1).unwrap());
            }
        }
    }
}

/// In half precision every family runs on Candle's own operations, as it does on other devices. (Candle's CPU multiplies no
/// bf16.)
#[test]
fn half_precision_is_near() {
    for (name, folder) in cases() {
        let (spec, expected) = (spec(&name, &folder), tensors(&folder.join("expected.safetensors")));
        let encoder = Encoder::load(&spec, &folder, &Device::Cpu, DType::F16).unwrap();
        let near = |kind: &str, got: &Tensor| {
            assert_eq!(got.dtype(), DType::F32, "{name}");
            for (row, (got, expected)) in rows(got).iter().zip(rows(&expected[kind])).enumerate() {
                let cosine = cosine(got, &expected);
                assert!(cosine > 0.9999, "{name} {kind} row {row}: {cosine}");
            }
        };
        if let Some(text) = &encoder.text {
            let tokens: Vec<Tokens> = texts().iter().map(|line| text.tokenize(line).unwrap()).collect();
            near("text", &text.encode(&tokens).unwrap());
        }
        if let Some(image) = &encoder.image {
            near("image", &image.encode(&pictures()).unwrap());
        }
    }
}

fn compare(name: &str, encoder: &Encoder, expected: &HashMap<String, Tensor>) {
    if let Some(text) = &encoder.text {
        let tokens: Vec<Tokens> = texts().iter().map(|line| text.tokenize(line).unwrap()).collect();
        check(&format!("{name} text"), &text.encode(&tokens).unwrap(), &expected["text"], 1e-4);
    }
    if let Some(image) = &encoder.image {
        check(&format!("{name} image"), &image.encode(&pictures()).unwrap(), &expected["image"], 1e-4);
    }
}

/// Of a repository that the registry does not have, only the family is told. The registry's encoders of these families
/// have other means, poolings, prompts, lengths and sizes.
#[test]
fn repositories_describe_themselves() {
    for (name, family) in [
        ("sentence-transformers", Family::SentenceTransformers),
        ("sentence-transformers", Family::Bert),
        ("bert", Family::Bert),
        ("qwen3", Family::Qwen3),
        ("clip-laion", Family::Clip),
        ("clip-open-clip", Family::Clip),
        ("metaclip2", Family::Clip),
        ("mobileclip-fastvit", Family::MobileClip),
        ("mobileclip-vit", Family::Clip),
        ("siglip2", Family::Siglip),
        ("embedding-gemma", Family::Gemma3),
        ("embedding-gemma", Family::SentenceTransformers),
        ("static-model2vec", Family::Static),
        ("static-sentence-transformers", Family::SentenceTransformers),
        ("siglip2-naflex", Family::Siglip),
        ("dinov2", Family::Dinov2),
        ("dinov3", Family::Dinov3),
        ("dinov3-timm-gated", Family::Dinov3),
        ("perception-encoder", Family::Clip),
        ("eva-clip", Family::Clip),
    ] {
        let folder = golden().join(name);
        let spec = registry::for_repo("org/model", "main", family);
        let encoder = Encoder::load(&spec, &folder, &Device::Cpu, DType::F32).unwrap();
        compare(&format!("{name} as {family:?}"), &encoder, &tensors(&folder.join("expected.safetensors")));
    }
    let refused = |name: &str, family| {
        let spec = registry::for_repo("org/model", "main", family);
        let refused = Encoder::load(&spec, &golden().join(name), &Device::Cpu, DType::F32).err();
        refused.unwrap_or_else(|| panic!("{name} is described nowhere")).to_string()
    };
    let error = refused("vit", Family::Vit);
    assert!(error.contains("says how pictures are prepared") && error.contains("preprocessor_config.json"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    for name in ["open_clip_model.safetensors", "tokenizer.json"] {
        fs::copy(golden().join("mobileclip-vit").join(name), folder.path().join(name)).unwrap();
    }
    let config = fs::read_to_string(golden().join("mobileclip-vit/open_clip_config.json")).unwrap();
    fs::write(folder.path().join("open_clip_config.json"), config.replace("vit_base_mci_224", "vit_base_r50")).unwrap();
    let error = refused(folder.path().to_str().unwrap(), Family::MobileClip);
    assert!(error.contains("`vit_base_r50`") && error.contains("vit_base_mci_224"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"] {
        fs::copy(golden().join("siglip2").join(name), folder.path().join(name)).unwrap();
    }
    let error = refused(folder.path().to_str().unwrap(), Family::Siglip);
    assert!(error.contains("no tokenizer_config.json"), "{error}");
}

#[test]
fn prompts_of_a_folder_are_put_before_texts() {
    let folder = golden().join("sentence-transformers");
    let spec = spec("sentence-transformers", &folder).with_prompt("query", &folder).unwrap();
    let encoder = Encoder::load(&spec, &folder, &Device::Cpu, DType::F32).unwrap();
    let text = encoder.text.unwrap();
    let tokens: Vec<Tokens> = texts().iter().map(|line| text.tokenize(line).unwrap()).collect();
    let expected = &tensors(&folder.join("expected.safetensors"))["query"];
    check("query", &text.encode(&tokens).unwrap(), expected, 1e-4);
}

/// Each of a model's ways for texts, and what a folder's prompts add to a static model.
#[test]
fn routes_and_prompts_as_sentence_transformers() {
    let folder = golden().join("router");
    let on = |route: &str| spec("router", &folder).with_route(route, &folder).unwrap();
    let compare = |name: &str, spec: &EncoderSpec, folder: &Path, key: &str| {
        let text = Encoder::load(spec, folder, &Device::Cpu, DType::F32).unwrap().text.unwrap();
        let tokens: Vec<Tokens> = texts().iter().map(|line| text.tokenize(line).unwrap()).collect();
        check(name, &text.encode(&tokens).unwrap(), &tensors(&folder.join("expected.safetensors"))[key], 1e-4);
    };
    compare("document", &on("document"), &folder, "text");
    compare("query", &on("query"), &folder, "query");
    let error = Encoder::load(&on("passage"), &folder, &Device::Cpu, DType::F32).err().unwrap().to_string();
    assert!(error.contains("no route `passage`, it has: document, query"), "{error}");
    let folder = golden().join("static-sentence-transformers");
    compare(
        "static",
        &spec("static-sentence-transformers", &folder).with_prompt("query", &folder).unwrap(),
        &folder,
        "query",
    );
    let folder = golden().join("embedding-gemma");
    compare("gemma", &spec("embedding-gemma", &folder).with_prompt("query", &folder).unwrap(), &folder, "query");
}

/// The first coordinates, of texts and of pictures.
#[test]
fn first_coordinates_are_kept() {
    let folder = golden().join("clip");
    let load = |first| {
        let spec = EncoderSpec { first, ..spec("clip", &folder) };
        Encoder::load(&spec, &folder, &Device::Cpu, DType::F32).map_err(|error| error.to_string())
    };
    let (whole, first) = (load(None).unwrap(), load(Some(5)).unwrap());
    let image = |encoder: &Encoder| encoder.image.as_ref().unwrap().encode(&pictures()).unwrap();
    let text = |encoder: &Encoder| {
        let text = encoder.text.as_ref().unwrap();
        text.encode(&[text.tokenize("the cat").unwrap()]).unwrap()
    };
    assert_eq!(rows(&image(&first)), rows(&image(&whole).narrow(1, 0, 5).unwrap()));
    assert_eq!(rows(&text(&first)), rows(&text(&whole).narrow(1, 0, 5).unwrap()));
    assert_eq!((first.image.unwrap().dimension(), first.text.unwrap().dimension()), (5, 5));
    for wrong in [0, 25] {
        let error = load(Some(wrong)).err().unwrap();
        assert!(error.contains(&format!("{wrong} coordinates of `clip`")) && error.contains("1 to 24"), "{error}");
    }
}

/// `include_prompt: false`: the mean is that of the text's own tokens, though the model has seen the prompt's.
#[test]
fn a_prompt_is_left_out_of_the_mean_where_the_files_say_so() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(golden().join("bert").join(name), folder.path().join(name)).unwrap();
    }
    fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#;
    fs::write(folder.path().join("modules.json"), modules).unwrap();
    let encode = |include: bool, last: usize| {
        let pooling = format!(r#"{{"pooling_mode_mean_tokens": true, "include_prompt": {include}}}"#);
        fs::write(folder.path().join("1_Pooling/config.json"), pooling).unwrap();
        let mut spec = registry::for_repo("org/model", "main", Family::Bert);
        spec.text.as_mut().unwrap().prefix = Some("a photo of ".to_owned());
        let text = Encoder::load(&spec, folder.path(), &Device::Cpu, DType::F32).unwrap().text.unwrap();
        let prompt = Encoder::load(
            &registry::for_repo("org/model", "main", Family::Bert),
            folder.path(),
            &Device::Cpu,
            DType::F32,
        );
        let alone = prompt.unwrap().text.unwrap().tokenize("a photo of").unwrap().0.len() - 1;
        let tokens = [text.tokenize("the red cat").unwrap()];
        (text.encode(&tokens).unwrap(), text.encode_before(&tokens, last).unwrap().remove(0), alone)
    };
    let (with, states, prompt) = encode(true, 0);
    let (without, _, _) = encode(false, 0);
    assert!(prompt > 1, "{prompt}");
    check("with", &with, &states.mean_keepdim(0).unwrap(), 1e-5);
    let own = states.narrow(0, prompt, states.dim(0).unwrap() - prompt).unwrap();
    check("without", &without, &own.mean_keepdim(0).unwrap(), 1e-5);
    assert_ne!(rows(&with), rows(&without));
}

/// What a description says goes before what the files say.
#[test]
fn descriptions_go_before_files() {
    let folder = golden().join("sentence-transformers");
    let encode = |change: &dyn Fn(&mut EncoderSpec)| {
        let mut spec = spec("sentence-transformers", &folder);
        change(&mut spec);
        let text = Encoder::load(&spec, &folder, &Device::Cpu, DType::F32).unwrap().text.unwrap();
        let tokens: Vec<Tokens> = texts().iter().map(|line| text.tokenize(line).unwrap()).collect();
        (tokens.iter().map(|tokens| tokens.0.len()).max().unwrap(), rows(&text.encode(&tokens).unwrap()))
    };
    let (longest, plain) = encode(&|_| ());
    assert_eq!(longest, 24);
    assert_eq!(encode(&|spec| spec.text.as_mut().unwrap().max_tokens = Some(9)).0, 9);
    let length = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!((length(&plain[0]) - 1.0).abs() < 1e-5);
    assert!((length(&encode(&|spec| spec.normalize = Some(false)).1[0]) - 1.0).abs() > 1e-2);
    assert_ne!(encode(&|spec| spec.pooling = Some(Pooling::Mean)).1, plain);
}

/// A tokenizer that tells large letters from small ones gets small ones where the description asks for it.
#[test]
fn texts_are_turned_to_lower_case() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden().join("bert").join(name), folder.path().join(name)).unwrap();
    }
    fs::copy(golden().join("siglip2/tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let tokens = |lowercase: bool, text: &str| {
        let mut spec = spec("bert", &golden().join("bert"));
        spec.text.as_mut().unwrap().lowercase = lowercase;
        Encoder::load(&spec, folder.path(), &Device::Cpu, DType::F32).unwrap().text.unwrap().tokenize(text).unwrap()
    };
    assert_ne!(tokens(false, "The CAT"), tokens(false, "the cat"));
    assert_eq!(tokens(true, "The CAT"), tokens(true, "the cat"));
    assert_eq!(tokens(true, "The CAT"), tokens(false, "the cat"));
}

#[test]
fn embeddings_do_not_depend_on_the_batch() {
    for (name, folder) in cases() {
        let encoder = Encoder::load(&spec(&name, &folder), &folder, &Device::Cpu, DType::F32).unwrap();
        let close = |all: &Tensor, row: usize, alone: &Tensor| {
            let worst = (all.narrow(0, row, 1).unwrap() - alone).unwrap().abs().unwrap().max_all().unwrap();
            assert!(worst.to_scalar::<f32>().unwrap() < 1e-5, "{name} row {row}");
        };
        if let Some(text) = &encoder.text {
            let tokens: Vec<Tokens> = texts().iter().map(|line| text.tokenize(line).unwrap()).collect();
            let all = text.encode(&tokens).unwrap();
            for row in 0..tokens.len() {
                close(&all, row, &text.encode(&tokens[row..=row]).unwrap());
            }
            assert_eq!(text.encode(&[]).unwrap().dims(), [0, text.dimension()]);
        }
        if let Some(image) = &encoder.image {
            let (pictures, all) = (pictures(), image.encode(&pictures()).unwrap());
            for row in 0..pictures.len() {
                close(&all, row, &image.encode(&pictures[row..=row]).unwrap());
            }
            assert_eq!(image.encode(&[]).unwrap().dims(), [0, image.dimension()]);
        }
    }
}

#[test]
fn pictures_are_prepared_as_pillow_does() {
    let folder = golden().join("pictures");
    let expected = tensors(&folder.join("expected.safetensors"));
    assert!(expected.len() >= 60);
    let from = registry::find("efficientnet-lite0").unwrap().image.unwrap();
    let mut wrong = Vec::new();
    for (key, expected) in expected {
        let [name, filter, fit] = key.split('.').collect::<Vec<_>>()[..] else { panic!("{key}") };
        let spec = ImageSpec {
            resize: 24,
            crop: 20,
            fit: if fit == "stretch" { Fit::Stretch } else { Fit::Shortest },
            interpolation: match filter {
                "bilinear" => Interpolation::Bilinear,
                "bicubic" => Interpolation::Bicubic,
                _ => Interpolation::Lanczos,
            },
            ..from.clone()
        };
        let picture = image::open(folder.join(format!("{name}.png"))).unwrap();
        let got = Preprocessor::new(spec).unwrap().apply(&picture).unwrap().values;
        let expected: Vec<u8> = expected.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(got.len(), expected.len(), "{key}");
        let worst = got.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        // Without transparency the arithmetic is Pillow's own, bit for bit.
        if worst > u8::from(name == "alpha") {
            wrong.push(format!("{key}: {worst}/255"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn part(picture: &Pixels, lines: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> Pixels {
    let lines = lines.flat_map(|line| &picture.values[line * picture.width * 3..][columns.start * 3..columns.end * 3]);
    Pixels { width: columns.len(), values: lines.copied().collect() }
}

/// Pictures of several sizes in one batch: each has the embedding that it has alone, and `PyTorch`'s.
#[test]
fn pictures_keep_their_proportions() {
    let folder = golden().join("siglip2-naflex");
    let (spec, expected) = (spec("siglip2-naflex", &folder), tensors(&folder.join("expected.safetensors")));
    let all = pictures();
    let parts = [part(&all[0], 0..16, 0..32), part(&all[1], 0..32, 0..24), all[2].clone(), part(&all[1], 8..16, 0..8)];
    let fused = Encoder::load(&spec, &folder, &Device::Cpu, DType::F32).unwrap().image.unwrap();
    let plain = Encoder::load_trainable(&spec, &folder, &Device::Cpu).unwrap().0.image.unwrap();
    for (form, image) in [("fused", &fused), ("plain", &plain)] {
        let together = image.encode(&parts).unwrap();
        check(&format!("parts, {form}"), &together, &expected["parts"], 1e-4);
        for (row, part) in parts.iter().enumerate() {
            let alone = image.encode(std::slice::from_ref(part)).unwrap();
            check(&format!("part {row} alone, {form}"), &alone, &together.narrow(0, row, 1).unwrap(), 1e-5);
        }
        for last in 0..=image.num_blocks() {
            let before = image.encode_before(&parts, last).unwrap();
            let after = image.encode_after(&before.iter().collect::<Vec<_>>(), last).unwrap();
            check(&format!("parts by way of {last} blocks, {form}"), &after, &together, 1e-5);
        }
    }
    for wrong in [part(&all[0], 0..16, 0..30), part(&all[0], 0..0, 0..8)] {
        assert!(matches!(fused.encode(&[wrong]), Err(EncoderError::Pixels { .. })));
    }
}

#[test]
fn pictures_of_their_own_proportions_have_the_sizes_of_the_original() {
    let expected = tensors(&golden().join("siglip2-naflex/expected.safetensors"));
    let from = registry::find("siglip2-base-patch16-naflex").unwrap().image.unwrap();
    for (side, most) in [(8, 16), (16, 256), (14, 729)] {
        let patches = Some(PatchLimit { side, most });
        let preprocessor = Preprocessor::new(ImageSpec { patches, ..from.clone() }).unwrap();
        let sizes = rows(&expected[&format!("sizes.{side}.{most}")]);
        assert_eq!(sizes.len(), 10);
        for size in sizes {
            let [height, width, new_height, new_width] = [0, 1, 2, 3].map(|place| size[place] as usize);
            let picture = image::DynamicImage::new_rgb8(width as u32, height as u32);
            let pixels = preprocessor.apply(&picture).unwrap();
            assert_eq!(pixels.size(), (new_height, new_width), "{width} by {height}, {most} patches of {side}");
        }
    }
    for (side, most, resize) in [(0, 1, 0), (16, 0, 0), (16, 256, 224), (16, 1 << 20, 0)] {
        let spec = ImageSpec { patches: Some(PatchLimit { side, most }), resize, ..from.clone() };
        assert!(matches!(Preprocessor::new(spec), Err(EncoderError::Patches { .. })), "{side} {most} {resize}");
    }
}

/// Large batches go through the model in parts that depend on the batch alone.
#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for name in ["bert", "clip", "mpnet", "efficientnet-lite", "mobileclip-fastvit", "dinov3", "eva-clip"] {
        let folder = golden().join(name);
        let encoder = Encoder::load(&spec(name, &folder), &folder, &Device::Cpu, DType::F32).unwrap();
        let on = |threads: usize, encode: &(dyn Fn() -> Tensor + Sync)| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            rows(&pool.install(encode))
        };
        let check = |encode: &(dyn Fn() -> Tensor + Sync), alone: &dyn Fn(usize) -> Tensor| {
            let one = on(1, encode);
            assert!(one == on(2, encode) && one == on(5, encode), "{name}");
            for (row, values) in one.iter().enumerate() {
                let alone = &rows(&alone(row))[0];
                let worst = values.iter().zip(alone).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-5, "{name} row {row}: {worst}");
            }
        };
        if let Some(text) = &encoder.text {
            let lines = texts();
            let tokens: Vec<Tokens> = (0..47).map(|row| text.tokenize(&lines[row * 5 % 6]).unwrap()).collect();
            check(&|| text.encode(&tokens).unwrap(), &|row| text.encode(&tokens[row..=row]).unwrap());
        }
        if let Some(image) = &encoder.image {
            let few = pictures();
            let pictures: Vec<Pixels> = (0..23).map(|row| few[row % few.len()].clone()).collect();
            check(&|| image.encode(&pictures).unwrap(), &|row| image.encode(&pictures[row..=row]).unwrap());
        }
    }
}
