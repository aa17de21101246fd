//! What the files of a folder say decides the embeddings: it is read, or refused by name.

use candle_core::{DType, Device, Tensor};
use himacl_encode::encoder::registry::{self, EncoderModality, Family};
use himacl_encode::encoder::{Encoder, EncoderError, TextEncoder, Tokens};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A copy of a golden folder, to be changed.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(golden: &str) -> Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/encoders").join(golden);
        let folder = Self(tempfile::tempdir().unwrap());
        for below in ["", "1_Pooling", "2_Dense", "3_Normalize", "3_Dense", "4_Normalize"] {
            let Ok(entries) = fs::read_dir(from.join(below)) else { continue };
            fs::create_dir_all(folder.path(below)).unwrap();
            for file in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
                fs::copy(&file, folder.path(below).join(file.file_name().unwrap())).unwrap();
            }
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a value under a key of a JSON file; of a list, into each entry with that key.
    fn set(&self, file: &str, key: &str, value: &Value) {
        let text = fs::read_to_string(self.path(file)).unwrap_or("{}".to_owned());
        let mut content: Value = serde_json::from_str(&text).unwrap();
        content[key] = value.clone();
        self.write(file, &content);
    }

    fn write(&self, file: &str, content: &Value) {
        fs::write(self.path(file), content.to_string()).unwrap();
    }

    fn load(&self) -> Result<Box<dyn TextEncoder>, Box<EncoderError>> {
        Ok(self.load_as(Family::SentenceTransformers)?.text.unwrap())
    }

    /// As an encoder of this family, its pictures prepared as the golden folder describes.
    fn load_as(&self, family: Family) -> Result<Encoder, Box<EncoderError>> {
        let mut spec = registry::for_repo("org/model", "main", family);
        let own = registry::parse("golden", &fs::read_to_string(self.path("spec.toml")).unwrap()).unwrap();
        spec.image = own.image.filter(|_| family.modality() != EncoderModality::Text);
        Ok(Encoder::load(&spec, self.0.path(), &Device::Cpu, DType::F32)?)
    }

    fn tokens(&self, text: &str) -> Tokens {
        self.load().unwrap().tokenize(text).unwrap()
    }

    fn embedding(&self, text: &str) -> Vec<f32> {
        let encoder = self.load().unwrap();
        encoder.encode(&[encoder.tokenize(text).unwrap()]).unwrap().get(0).unwrap().to_vec1().unwrap()
    }
}

fn module(kind: &str, path: &str) -> Value {
    json!({ "type": format!("sentence_transformers.models.{kind}"), "path": path })
}

#[test]
fn what_would_change_embeddings_is_refused_by_name() {
    let modules = |list: &[(&str, &str)]| list.iter().map(|(kind, path)| module(kind, path)).collect::<Value>();
    let (model, pooling) = (("Transformer", ""), ("Pooling", "1_Pooling"));
    let dense = ("Dense", "2_Dense");
    let files = [
        ("modules.json", json!({}), "expected a list of modules"),
        (
            "modules.json",
            json!([{ "type": "custom_st.Transformer", "path": "" }]),
            "`custom_st.Transformer` is not known",
        ),
        ("modules.json", modules(&[model, ("LSTM", "1_LSTM"), pooling]), "LSTM` is not known"),
        ("modules.json", modules(&[model]), "expected Transformer, Pooling"),
        ("modules.json", modules(&[model, pooling, pooling]), "expected Transformer, Pooling"),
        ("modules.json", modules(&[model, dense, pooling]), "Transformer, Dense, Pooling, expected"),
        ("modules.json", modules(&[("StaticEmbedding", ""), pooling]), "StaticEmbedding, Pooling, expected"),
        ("1_Pooling/config.json", json!({ "pooling_mode_cls_token": true }), "the pooling is `cls and mean`"),
        ("1_Pooling/config.json", json!({ "pooling_mode": "weightedmean" }), "the pooling is `weightedmean`"),
        ("1_Pooling/config.json", json!({ "pooling_mode": ["cls", "mean"] }), "the pooling is `[\"cls\",\"mean\"]`"),
        (
            "1_Pooling/config.json",
            json!({ "pooling_mode_mean_tokens": false, "pooling_mode_mean_sqrt_len_tokens": true }),
            "the pooling is `mean_sqrt_len`",
        ),
        (
            "1_Pooling/config.json",
            json!({ "pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true }),
            "the pooling is `max and mean`",
        ),
        ("config.json", json!({}), "`num_hidden_layers` is missing"),
        ("config.json", json!({ "model_type": "bert", "num_hidden_layers": 2 }), "`num_attention_heads` is missing"),
    ];
    for (file, content, expected) in files {
        let folder = Folder::new("sentence-transformers");
        folder.write(file, &content);
        let error = folder.load().err().unwrap_or_else(|| panic!("{file}: {content}")).to_string();
        assert!(error.contains(expected) && error.contains(file), "{content}: {error}");
    }
    let keys = [
        ("2_Dense/config.json", "module_input_name", json!("token_embeddings")),
        ("2_Dense/config.json", "bias", json!(false)),
        ("3_Normalize/config.json", "module_output_name", json!("token_embeddings")),
        ("2_Dense/config.json", "activation_function", json!("torch.nn.modules.activation.Mish")),
        ("config_sentence_transformers.json", "default_prompt_name", json!("absent")),
        ("config_sentence_transformers.json", "model_type", json!("SparseEncoder")),
        ("config_sentence_transformers.json", "truncate_dim", json!(16)),
        ("sentence_bert_config.json", "max_seq_length", json!("256")),
        ("sentence_bert_config.json", "mask_prompt", json!(true)),
        ("sentence_bert_config.json", "transformer_task", json!("fill-mask")),
        ("sentence_bert_config.json", "model_args", json!({ "num_hidden_layers": 1 })),
        ("tokenizer_config.json", "truncation_side", json!("middle")),
        ("config.json", "auto_map", json!({ "AutoModel": "modeling.Model" })),
        ("config.json", "position_embedding_type", json!("relative_key")),
        ("config.json", "is_decoder", json!(true)),
        ("config.json", "rope_scaling", json!({ "type": "yarn", "factor": 4.0 })),
        ("config.json", "quantization_config", json!({ "quant_method": "gptq" })),
    ];
    for (file, key, value) in keys {
        let folder = Folder::new("sentence-transformers");
        folder.set(file, key, &value);
        let error = folder.load().err().unwrap_or_else(|| panic!("{file}: {key} = {value}")).to_string();
        let named = if key == "rope_scaling" { "`rope_type` is `yarn`" } else { key };
        let named = if key == "model_args" { "`num_hidden_layers` in `model_args`" } else { named };
        assert!(error.contains(named) && error.contains(file), "{key}: {error}");
    }
}

/// What other families' configurations may say beyond what is computed.
#[test]
fn what_the_families_do_not_compute_is_refused_by_name() {
    for (golden, family, key, value) in [
        ("nomic-bert-own", Family::NomicBert, "prenorm", json!(true)),
        ("nomic-bert-own", Family::NomicBert, "causal", json!(true)),
        ("nomic-bert-own", Family::NomicBert, "rotary_emb_fraction", json!(0.5)),
        ("nomic-bert-own", Family::NomicBert, "rotary_emb_scale_base", json!(512)),
        ("nomic-bert-own", Family::NomicBert, "rotary_scaling_factor", json!(2)),
        ("nomic-bert-own", Family::NomicBert, "scale_attn_weights", json!(false)),
        ("nomic-bert-own", Family::NomicBert, "activation_function", json!("glu")),
        ("nomic-bert-own", Family::NomicBert, "n_head", json!(5)),
        (
            "nomic-bert-own",
            Family::NomicBert,
            "auto_map",
            json!({ "AutoModel": "someone/else--modeling.NomicBertModel" }),
        ),
        ("nomic-bert", Family::NomicBert, "rope_parameters", json!({ "rope_type": "linear", "factor": 2.0 })),
        ("nomic-bert-experts", Family::NomicBert, "moe_every_n_layers", json!(0)),
        ("nomic-bert-experts", Family::NomicBert, "moe_every_n_layers", json!(3)),
        ("nomic-bert-experts", Family::NomicBert, "num_shared_experts", json!(1)),
        ("nomic-bert-experts", Family::NomicBert, "expert_choice_router", json!(true)),
        ("nomic-bert-experts", Family::NomicBert, "moe_normalize_expert_weights", json!(1)),
        ("nomic-bert-experts", Family::NomicBert, "moe_top_k", json!(5)),
        ("gte-own", Family::Gte, "logn_attention_scale", json!(true)),
        ("gte-own", Family::Gte, "layer_norm_type", json!("rms_norm")),
        ("gte-own", Family::Gte, "position_embedding_type", json!("absolute")),
        ("gte-own", Family::Gte, "rope_scaling", json!({ "type": "dynamic", "factor": 2.0 })),
        ("gte-own", Family::Gte, "rope_scaling", json!({ "type": "ntk", "factor": 2.0, "mixed_b": 0.5 })),
        ("gte", Family::Gte, "rope_scaling", json!({ "type": "linear", "factor": 2.0 })),
        ("gte", Family::Gte, "head_dim", json!(16)),
        ("embedding-gemma", Family::Gemma3, "use_bidirectional_attention", json!(false)),
        ("embedding-gemma", Family::Gemma3, "attn_logit_softcapping", json!(50.0)),
        ("embedding-gemma", Family::Gemma3, "query_pre_attn_scalar", json!(32)),
        (
            "embedding-gemma",
            Family::Gemma3,
            "layer_types",
            json!(["full_attention", "chunked_attention", "full_attention"]),
        ),
    ] {
        let folder = Folder::new(golden);
        folder.load_as(family).unwrap_or_else(|error| panic!("{golden}: {error}"));
        folder.set("config.json", key, &value);
        let error = folder.load_as(family).err().unwrap_or_else(|| panic!("{golden}: {key} = {value}")).to_string();
        let named =
            if key == "rope_parameters" || golden == "gte" && key == "rope_scaling" { "`rope_type`" } else { key };
        assert!(error.contains(named) && error.contains("config.json"), "{key} = {value}: {error}");
    }
}

/// model2vec's switches, and tables that do not go together with their tokens.
#[test]
fn static_models_are_as_their_files_say() {
    let rows = |folder: &Folder, text: &str| {
        let encoder = folder.load_as(Family::Static).unwrap().text.unwrap();
        let tokens = encoder.tokenize(text).unwrap();
        let row: Vec<f32> = encoder.encode(std::slice::from_ref(&tokens)).unwrap().get(0).unwrap().to_vec1().unwrap();
        (tokens.0.len(), row.iter().map(|x| x * x).sum::<f32>().sqrt())
    };
    let folder = Folder::new("static-model2vec");
    let long = "the cat sat on the mat ".repeat(200);
    let (tokens, length) = rows(&folder, &long);
    // The median of the tokens' lengths is three letters: "the cat sat on the mat the c", cut before it is split.
    assert!(tokens == 7 && (length - 1.0).abs() < 1e-5, "{tokens} {length}");
    folder.set("config.json", "normalize", &json!(false));
    assert!((rows(&folder, &long).1 - 1.0).abs() > 1e-3);
    folder.set("config.json", "max_length", &Value::Null);
    assert_eq!(rows(&folder, &long).0, 1200);
    let mut config: Value = serde_json::from_str(&fs::read_to_string(folder.path("config.json")).unwrap()).unwrap();
    config.as_object_mut().unwrap().remove("max_length");
    folder.write("config.json", &config);
    // 512 tokens at most, and 1,536 letters.
    assert_eq!(rows(&folder, &long).0, 401);

    let path = folder.path("model.safetensors");
    let plain: HashMap<String, Tensor> = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let count = plain["embeddings"].dim(0).unwrap() as u32;
    let refused = |name: &str, tensor: Tensor| {
        let mut tensors = plain.clone();
        tensors.insert(name.to_owned(), tensor);
        candle_core::safetensors::save(&tensors, &path).unwrap();
        folder.load_as(Family::Static).err().unwrap_or_else(|| panic!("{name}")).to_string()
    };
    let cpu = &Device::Cpu;
    let error = refused("embeddings", Tensor::ones((count as usize - 1, 4), DType::F32, cpu).unwrap());
    assert!(error.contains(&format!("{} tokens have rows", count - 1)), "{error}");
    let error = refused("embeddings", Tensor::ones((count as usize, 4), DType::U8, cpu).unwrap());
    assert!(error.contains("`embeddings` has type U8"), "{error}");
    let error = refused("mapping", Tensor::full(count, count as usize, cpu).unwrap());
    assert!(error.contains(&format!("`mapping` has row {count}, and there are {count}")), "{error}");
    let error = refused("weights", Tensor::ones(3, DType::F32, cpu).unwrap());
    assert!(error.contains(&format!("`weights` has 3 values, expected {count}")), "{error}");
    for (golden, family) in [("static-model2vec", Family::Bert), ("bert", Family::Static)] {
        let error = Folder::new(golden).load_as(family).err().unwrap().to_string();
        assert!(error.contains("static"), "{error}");
    }
}

#[test]
fn what_changes_nothing_is_let_be() {
    let plain = Folder::new("sentence-transformers").embedding("the cat");
    for (file, key, value) in [
        ("sentence_bert_config.json", "model_args", json!({ "add_pooling_layer": false, "torch_dtype": "float16" })),
        ("sentence_bert_config.json", "max_seq_length", json!(20)),
        ("config_sentence_transformers.json", "similarity_fn_name", json!("dot")),
        ("config.json", "dtype", json!("bfloat16")),
        ("config.json", "rope_scaling", Value::Null),
        ("1_Pooling/config.json", "include_prompt", json!(false)),
    ] {
        let folder = Folder::new("sentence-transformers");
        folder.set(file, key, &value);
        assert_eq!(folder.embedding("the cat"), plain, "{file}: {key}");
    }
}

/// Snowflake's Arctic-embed m v2.0: Alibaba's model with code of its own, flags as texts, and a scaling of none.
#[test]
fn arctics_configuration_is_that_of_gte() {
    let embed = |folder: &Folder| {
        let text = folder.load_as(Family::Gte).unwrap().text.unwrap();
        let tokens = text.tokenize("the cat under the moon").unwrap();
        text.encode(&[tokens]).unwrap().get(0).unwrap().to_vec1::<f32>().unwrap()
    };
    let plain = Folder::new("gte");
    let arctic = Folder::new("gte");
    for (key, value) in [
        ("auto_map", json!({ "AutoModel": "modeling_hf_alibaba_nlp_gte.GteModel" })),
        ("rope_parameters", Value::Null),
        ("rope_theta", json!(160_000)),
        ("rope_scaling", Value::Null),
        ("position_embedding_type", json!("rope")),
        ("layer_norm_type", json!("layer_norm")),
        ("logn_attention_scale", json!(false)),
        ("logn_attention_clip1", json!(false)),
        ("pack_qkv", json!(true)),
        ("unpad_inputs", json!("true")),
        ("use_memory_efficient_attention", json!("true")),
        ("matryoshka_dimensions", json!([256])),
    ] {
        arctic.set("config.json", key, &value);
    }
    assert_eq!(embed(&arctic), embed(&plain));
    // Another base turns the positions otherwise: it is read.
    arctic.set("config.json", "rope_theta", &json!(1000));
    assert_ne!(embed(&arctic), embed(&plain));
    arctic.set("config.json", "logn_attention_scale", &json!("true"));
    assert!(arctic.load_as(Family::Gte).err().unwrap().to_string().contains("`logn_attention_scale`"));
}

#[test]
fn each_way_of_pooling_is_read() {
    let folder = Folder::new("sentence-transformers");
    folder.write("modules.json", &json!([module("Transformer", ""), module("Pooling", "1_Pooling")]));
    folder.write("config_sentence_transformers.json", &json!({}));
    let encoder = folder.load().unwrap();
    let states = encoder.encode_before(&[encoder.tokenize("the red cat").unwrap()], 0).unwrap().remove(0);
    let last = states.dim(0).unwrap() - 1;
    for (config, expected) in [
        (json!({ "pooling_mode": "cls" }), states.get(0)),
        (json!({ "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false }), states.get(0)),
        (json!({ "pooling_mode": "Mean" }), states.mean(0)),
        (json!({ "word_embedding_dimension": 32 }), states.mean(0)),
        (json!({ "pooling_mode_lasttoken": true, "pooling_mode_mean_tokens": false }), states.get(last)),
    ] {
        folder.write("1_Pooling/config.json", &config);
        let expected: Vec<f32> = expected.unwrap().to_vec1().unwrap();
        let got = folder.embedding("the red cat");
        let worst = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(got.len() == expected.len() && worst < 1e-5, "{config}: {worst}");
    }
}

#[test]
fn long_texts_are_cut_as_the_files_say() {
    let long = "the cat sat on the red mat and the dog";
    let folder = Folder::new("sentence-transformers");
    folder.write("config_sentence_transformers.json", &json!({}));
    let whole = folder.tokens(long).0;
    assert!(whole.len() > 12 && whole.len() < 24, "{}", whole.len());
    let ends = |from_front: bool, length: usize| {
        let (first, last) = (whole[0], whole[whole.len() - 1]);
        let inner = &whole[1..whole.len() - 1];
        let kept = if from_front { &inner[..length - 2] } else { &inner[inner.len() + 2 - length..] };
        [&[first], kept, &[last]].concat()
    };
    folder.set("tokenizer_config.json", "model_max_length", &json!(12));
    assert_eq!(folder.tokens(long).0, ends(true, 12), "by the tokenizer's length");
    folder.set("sentence_bert_config.json", "max_seq_length", &json!(9));
    assert_eq!(folder.tokens(long).0, ends(true, 9), "Sentence-Transformers' own goes first");
    folder.set("tokenizer_config.json", "truncation_side", &json!("left"));
    assert_eq!(folder.tokens(long).0, ends(false, 9), "the end of the text is kept");
    folder.set("tokenizer_config.json", "truncation_side", &Value::Null);
    let truncation = json!({ "direction": "Left", "max_length": 5, "strategy": "LongestFirst", "stride": 0 });
    folder.set("tokenizer.json", "truncation", &truncation);
    assert_eq!(folder.tokens(long).0, ends(false, 9), "tokenizer.json says the side, its length is that of training");
}

#[test]
fn letters_are_treated_as_the_files_say() {
    let folder = Folder::new("bert");
    fs::remove_file(folder.path("tokenizer.json")).unwrap();
    let vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "The", "the", "café", "cafe", "中", "中国"];
    fs::write(folder.path("vocab.txt"), vocabulary.join("\n")).unwrap();
    let ids = |text: &str| folder.tokens(text).0[1..].to_vec();
    assert_eq!(ids("The café 中国"), [5, 7, 8, 1, 3], "BERT's own way");
    folder.set("tokenizer_config.json", "do_lower_case", &json!(false));
    assert_eq!(ids("The café"), [4, 6, 3]);
    folder.set("tokenizer_config.json", "strip_accents", &json!(true));
    assert_eq!(ids("The café"), [4, 7, 3]);
    folder.set("tokenizer_config.json", "tokenize_chinese_chars", &json!(false));
    assert_eq!(ids("中国"), [9, 3]);
}

/// Gemma's tokenizers are told in `tokenizer_config.json` what to put around texts.
#[test]
fn ends_of_texts_are_as_the_files_say() {
    let folder = Folder::new("bert");
    let config = |first: &str, last: &Value| json!({ "add_bos_token": true, "bos_token": first, "add_eos_token": true, "eos_token": last });
    folder.write("tokenizer_config.json", &config("[CLS]", &json!({ "content": "[SEP]" })));
    folder.load().unwrap();
    for (first, last, said) in
        [("[SEP]", "[SEP]", "no `[SEP]` before texts"), ("[CLS]", "dog", "no `dog` behind texts")]
    {
        folder.write("tokenizer_config.json", &config(first, &json!(last)));
        let error = folder.load().err().unwrap().to_string();
        assert!(error.contains(said) && error.contains("tokenizer_config.json"), "{error}");
    }
}

#[test]
fn numbers_of_other_types_are_no_weights() {
    let folder = Folder::new("bert");
    let path = folder.path("model.safetensors");
    let mut tensors: HashMap<String, Tensor> = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let plain = folder.embedding("the cat");
    let save = |tensors: &HashMap<String, Tensor>| candle_core::safetensors::save(tensors, &path).unwrap();
    for tensor in tensors.values_mut() {
        *tensor = tensor.to_dtype(DType::BF16).unwrap();
    }
    save(&tensors);
    let half = folder.embedding("the cat");
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let cosine = dot(&plain, &half) / (dot(&plain, &plain) * dot(&half, &half)).sqrt();
    assert!(cosine > 0.999, "{cosine}");
    let name = "encoder.layer.0.output.dense.weight";
    let quantized = (&tensors[name] * 100.0).unwrap().to_dtype(DType::U8).unwrap();
    tensors.insert(name.to_owned(), quantized);
    save(&tensors);
    let error = folder.load().err().unwrap().to_string();
    assert!(error.contains(name) && error.contains("U8, expected F16"), "{error}");
}

#[test]
fn another_model_with_the_same_names_is_refused() {
    for (golden, family, architecture, fits) in [
        ("efficientnet-lite", Family::EfficientnetLite, "tf_efficientnet_lite0", true),
        ("efficientnet-lite", Family::EfficientnetLite, "efficientnet_lite0", false),
        ("efficientnet-lite", Family::MobilenetV2, "tf_efficientnet_lite0", false),
        ("mobilenet-v2", Family::MobilenetV2, "mobilenetv2_100", true),
        ("mobilenet-v2", Family::EfficientnetLite, "mobilenetv2_100", false),
        ("resnet-bottleneck", Family::Resnet, "resnet50", true),
        ("resnet-bottleneck", Family::Resnet, "resnetblur50", false),
    ] {
        let folder = Folder::new(golden);
        folder.set("config.json", "architecture", &json!(architecture));
        let error = folder.load_as(family).err().map(|error| error.to_string());
        assert_eq!(error.is_none(), fits, "{golden} as {family:?}: {error:?}");
        assert!(error.is_none_or(|error| error.contains(&format!("`{architecture}`"))));
    }
}

/// A block of which only a part would be computed.
#[test]
fn weights_that_nothing_reads_are_named() {
    for (golden, family, name) in [
        ("bert", Family::Bert, "encoder.layer.1.attention.self.distance_embedding.weight"),
        ("resnet-bottleneck", Family::Resnet, "layer1.0.se.fc1.weight"),
        ("dinov2", Family::Dinov2, "encoder.layer.0.mlp.gate.weight"),
        ("clip", Family::Clip, "text_model.encoder.layers.1.adapter.down.weight"),
        ("dinov3", Family::Dinov3, "layer.0.attention.q_norm.weight"),
        ("dinov3-timm", Family::Dinov3, "blocks.0.attn.k_bias"),
    ] {
        let folder = Folder::new(golden);
        let path = folder.path("model.safetensors");
        let mut tensors: HashMap<String, Tensor> = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        let one = Tensor::ones((2, 2), DType::F32, &Device::Cpu).unwrap();
        let harmless = ["classifier.weight", "encoder.layer.0.num_batches_tracked", "pooler.0.weight"];
        tensors.extend(harmless.map(|name| (name.to_owned(), one.clone())));
        candle_core::safetensors::save(&tensors, &path).unwrap();
        folder.load_as(family).unwrap();
        tensors.insert(name.to_owned(), one);
        candle_core::safetensors::save(&tensors, &path).unwrap();
        let error = folder.load_as(family).err().unwrap_or_else(|| panic!("{name}")).to_string();
        assert!(error.contains(&format!("`{name}` is part of a block")), "{error}");
    }
}

/// What configurations of picture towers say, and what the preparation of pictures says of their shape.
#[test]
fn towers_that_are_not_known_are_refused_by_name() {
    let vision = |key: &str, value: Value| {
        let text = fs::read_to_string(Folder::new("siglip2-naflex").path("config.json")).unwrap();
        let mut vision = serde_json::from_str::<Value>(&text).unwrap()["vision_config"].clone();
        vision[key] = value;
        vision
    };
    let tower = |name: &str, pool: &str| {
        let text = fs::read_to_string(Folder::new("eva-clip").path("open_clip_config.json")).unwrap();
        let mut model = serde_json::from_str::<Value>(&text).unwrap()["model_cfg"].clone();
        model["vision_cfg"]["timm_model_name"] = json!(name);
        model["vision_cfg"]["timm_pool"] = json!(pool);
        model
    };
    let other = tower("eva02_small_patch14_224", "token");
    for (golden, family, file, key, value, expected) in [
        ("dinov2", Family::Dinov2, "config.json", "model_type", json!("ijepa"), "`model_type` is `ijepa`"),
        ("dinov3", Family::Dinov3, "config.json", "model_type", json!("dinov2"), "`model_type` is `dinov2`"),
        ("dinov3", Family::Dinov3, "config.json", "hidden_act", json!("mish"), "`hidden_act` `mish`"),
        ("dinov3-convnext", Family::Dinov3, "config.json", "hidden_act", json!("relu"), "`hidden_act` is `relu`"),
        ("dinov3-convnext", Family::Dinov3, "config.json", "layer_norm_eps", json!(1e-5), "`layer_norm_eps`"),
        (
            "dinov3-timm",
            Family::Dinov3,
            "config.json",
            "architecture",
            json!("vit_7b_patch16_dinov3"),
            "vit_7b_patch16",
        ),
        ("dinov3-timm-gated", Family::Dinov3, "config.json", "global_pool", json!("max"), "`global_pool` is `max`"),
        (
            "siglip2-naflex",
            Family::Siglip,
            "config.json",
            "vision_config",
            vision("vision_use_head", json!(false)),
            "`vision_use_head` is false",
        ),
        (
            "siglip2-naflex",
            Family::Siglip,
            "config.json",
            "vision_config",
            vision("patch_size", json!(16)),
            "`patch_size` is 16, expected one of 192 values",
        ),
        ("eva-clip", Family::Clip, "open_clip_config.json", "model_cfg", other, "`eva02_small_patch14_224`"),
        (
            "eva-clip",
            Family::Clip,
            "open_clip_config.json",
            "model_cfg",
            tower("eva02_base_patch16_clip_224", "avg"),
            "`timm_pool` `avg`",
        ),
        (
            "clip",
            Family::Clip,
            "config.json",
            "auto_map",
            json!({ "AutoModel": "modeling.JinaCLIPModel" }),
            "`auto_map`",
        ),
    ] {
        let folder = Folder::new(golden);
        folder.set(file, key, &value);
        let error = folder.load_as(family).err().unwrap_or_else(|| panic!("{golden}: {key} = {value}")).to_string();
        assert!(error.contains(expected) && error.contains(file), "{golden} {key}: {error}");
    }
    let patches = |side: u32| format!("patches = {{ side = {side}, most = 16 }}");
    for (golden, family, from, to, expected) in [
        ("dinov3", Family::Dinov3, "resize = 32\ncrop = 32".to_owned(), patches(8), "which its family does not take"),
        ("siglip", Family::Siglip, "resize = 32\ncrop = 32".to_owned(), patches(8), "takes pictures of one size"),
        ("siglip2-naflex", Family::Siglip, patches(8), patches(16), "patches are 16 wide, expected 8"),
        (
            "dinov3",
            Family::Dinov3,
            "crop = 32".to_owned(),
            "crop = 20".to_owned(),
            "20 do not divide into patches of 8",
        ),
    ] {
        let folder = Folder::new(golden);
        let spec = fs::read_to_string(folder.path("spec.toml")).unwrap();
        assert!(spec.contains(&from), "{golden}");
        fs::write(folder.path("spec.toml"), spec.replace(&from, &to)).unwrap();
        let error = folder.load_as(family).err().unwrap_or_else(|| panic!("{golden}: {to}")).to_string();
        assert!(error.contains(expected), "{golden}: {error}");
    }
}

/// By its repository alone: sizes by `config.json`, pictures by the processor's own form of `preprocessor_config.json`.
#[test]
fn jina_clip_is_described_by_its_own_files() {
    let folder = Folder::new("jina-clip");
    let spec = registry::for_repo("jinaai/jina-clip-v2", "main", Family::JinaClip);
    let load = || Encoder::load(&spec, folder.0.path(), &Device::Cpu, DType::F32).map_err(Box::new);
    let error = load().err().unwrap().to_string();
    assert!(error.contains("preprocessor_config.json"), "{error}");
    let config: Value = serde_json::from_str(&fs::read_to_string(folder.path("config.json")).unwrap()).unwrap();
    let (half, size) = ([0.5; 3], &config["vision_config"]["image_size"]);
    let mut processor = json!({
        "image_processor_type": "JinaCLIPImageProcessor", "size": size, "resize_mode": "shortest", "fill_color": 0,
        "interpolation": "bicubic", "mean": half, "std": half,
    });
    folder.write("preprocessor_config.json", &processor);
    let encoder = load().unwrap();
    assert!(encoder.image.is_some() && encoder.text.is_some());
    processor["resize_mode"] = json!("longest");
    folder.write("preprocessor_config.json", &processor);
    let error = load().err().unwrap().to_string();
    assert!(error.contains("`resize_mode` is `longest`, expected shortest or squash"), "{error}");
}

/// jina-clip's code has more switches than its second version uses, and its adapters are in the weights alone.
#[test]
fn what_jina_clip_does_not_use_is_refused_by_name() {
    let load = |change: &dyn Fn(&mut Value)| {
        let folder = Folder::new("jina-clip");
        let mut config: Value = serde_json::from_str(&fs::read_to_string(folder.path("config.json")).unwrap()).unwrap();
        change(&mut config);
        folder.write("config.json", &config);
        folder.load_as(Family::JinaClip).map_err(|error| error.to_string())
    };
    for (section, key, value, expected) in [
        ("text_config", "hf_model_name_or_path", json!("jinaai/jina-bert-flash-implementation"), "jina-bert-flash"),
        ("text_config", "pooler_type", json!("cls_pooler"), "`pooler_type` is `cls_pooler`"),
        ("text_config", "proj_type", json!("linear"), "`proj_type`"),
        ("text_config", "default_instruction_task", json!("retrieval.query"), "`default_instruction_task`"),
        ("text_config", "default_lora_task", json!("separation"), "`default_lora_task` is \"separation\""),
        ("text_config", "hf_model_config_kwargs", json!({}), "`lora_adaptations` is missing"),
        (
            "text_config",
            "hf_model_config_kwargs",
            json!({ "lora_adaptations": ["retrieval.query"], "lora_alpha": 1, "lora_rank": 2, "num_attention_heads": 4 }),
            "adapters are [2, ",
        ),
        ("vision_config", "post_norm", json!(true), "`post_norm` is true"),
        ("vision_config", "intp_freq", json!(false), "`intp_freq` is false"),
        ("vision_config", "proj_type", json!("mlp"), "`proj_type`"),
        ("vision_config", "image_size", json!(40), "`image_size` is 40"),
        ("auto_map", "AutoModel", json!("someone/else--modeling.JinaCLIPModel"), "someone/else"),
    ] {
        let error = load(&|config| config[section][key] = value.clone()).err();
        let error = error.unwrap_or_else(|| panic!("{section}: {key} = {value}"));
        assert!(error.contains(expected), "{key} = {value}: {error}");
    }
    for key in ["add_projections", "truncate_dim"] {
        let error = load(&|config| config[key] = json!(16)).err().unwrap();
        assert!(error.contains(key), "{error}");
    }
    // Without a default task there is no adapter.
    let embed = |encoder: Encoder| {
        let text = encoder.text.unwrap();
        text.encode(&[text.tokenize("the red cat").unwrap()]).unwrap().get(0).unwrap().to_vec1::<f32>().unwrap()
    };
    let plain = load(&|config| config["text_config"]["default_lora_task"] = Value::Null).unwrap();
    let other = load(&|config| config["text_config"]["default_lora_task"] = json!("other")).unwrap();
    let (plain, other, own) = (embed(plain), embed(other), embed(load(&|_| ()).unwrap()));
    assert!(plain != other && other != own && plain != own);
}
