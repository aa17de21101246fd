//! Sound small files of every format, and the readers that they are for.

use arrow_array::types::Float32Type;
use arrow_array::{
    ArrayRef, BinaryArray, FixedSizeListArray, ListArray, RecordBatch, StringArray, StructArray, UInt32Array,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::{DataType, Field};
use candle_core::{DType, Device};
use flate2::Compression;
use flate2::write::GzEncoder;
use himacl_data::{Embeddings, read_candidates, read_pairs, write_npy_f16, write_npy_f32};
use himacl_encode::encoder::{Encoder, registry};
use himacl_encode::readers::{Dataset, ImageSource, Modality, ReadOptions, Record, decode_image};
use image::{DynamicImage, ImageFormat, RgbImage};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::file::properties::WriterProperties;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Arc;

/// Whether a file was taken; the error's text is of no matter here, but it is written.
pub(crate) type Read = Result<(), String>;

/// A format, a sound file of it, and what reads it.
pub(crate) struct Format {
    pub(crate) name: &'static str,
    /// The damaged file, in a folder of its own.
    pub(crate) file: &'static str,
    pub(crate) good: Vec<u8>,
    /// Makes the folder with what has to be beside the file.
    pub(crate) prepare: fn(&Path),
    pub(crate) read: fn(&Path) -> Read,
    pub(crate) repair: fn(&mut [u8]),
    /// Whether a file takes milliseconds.
    pub(crate) is_slow: bool,
}

const WORDS: [&str; 6] = ["a cat", "the moon", "under stars", "and dogs", "é", "x\"y"];

fn rows() -> Vec<f32> {
    (0..24 * 6).map(|value| (value * 37 % 101) as f32 / 50.0 - 1.0).collect()
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(crate) fn embeddings(path: &Path, key: Option<&str>) -> Read {
    let set = Embeddings::open(path, key).map_err(said)?;
    set.check_metadata().map_err(said)?;
    set.to_vec().map(drop).map_err(said)
}

pub(crate) fn options(modality: Modality) -> ReadOptions {
    ReadOptions { modality, image_column: None, caption_column: None }
}

/// Reads a dataset to its end, pictures decoded, and again from its middle.
pub(crate) fn dataset(path: &Path, modality: Modality) -> Read {
    let options = options(modality);
    let mut records = 0;
    for record in Dataset::open(vec![path.to_path_buf()], options.clone()).map_err(said)? {
        records += 1;
        if let Record::Sample(sample) = record.map_err(said)?
            && let Some(image) = sample.image.filter(|image| !matches!(image, ImageSource::File(_)))
        {
            drop(image.decode_with(|_, image| image.width()));
        }
    }
    let mut dataset = Dataset::open(vec![path.to_path_buf()], options).map_err(said)?;
    dataset.skip_records(records / 2).map_err(said)?;
    let rest = dataset.take_while(Result::is_ok).count() as u64;
    assert_eq!(rest, records - records / 2, "passing over records gives those that follow");
    Ok(())
}

fn encoder(folder: &Path) -> Read {
    let spec = registry::find("all-minilm-l6-v2").map_err(said)?;
    let encoder = Encoder::load(&spec, folder, &Device::Cpu, DType::F32).map_err(said)?;
    let text = encoder.text.ok_or("no encoder of texts")?;
    let tokens = text.tokenize("a cat under the moon").map_err(said)?;
    text.encode(&[tokens]).map(drop).map_err(said)
}

fn written(write: impl FnOnce(&Path)) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    write(&path);
    fs::read(path).unwrap()
}

fn parquet(columns: Vec<(&str, ArrayRef)>, codec: Codec) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_compression(codec).build();
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    out
}

/// An Arrow file, or a stream of two batches.
fn arrow(columns: Vec<(&str, ArrayRef)>, packed: Option<CompressionType>, is_stream: bool) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let options = IpcWriteOptions::default().try_with_compression(packed).unwrap();
    let mut out = Vec::new();
    if is_stream {
        let mut writer = StreamWriter::try_new_with_options(&mut out, &batch.schema(), options).unwrap();
        [batch.slice(0, 10), batch.slice(10, 14)].iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new_with_options(&mut out, &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
    }
    out
}

fn texts() -> ArrayRef {
    Arc::new((0..24).map(|row| (row % 5 > 0).then_some(WORDS[row % 6])).collect::<StringArray>())
}

fn picture(format: ImageFormat) -> Vec<u8> {
    let pixels = RgbImage::from_fn(20, 16, |x, y| image::Rgb([(x * 12) as u8, (y * 15) as u8, (x * y) as u8]));
    let mut out = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(pixels).write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(content).unwrap();
    out.finish().unwrap()
}

/// Puts the checksums of headers right.
fn repair_tar(data: &mut [u8]) {
    for block in data.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

/// Puts the checksums of chunks right.
fn repair_png(data: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = data.get(at..at + 4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]])) {
        let end = at + 8 + length as usize;
        if data.len() < end.saturating_add(4) {
            return;
        }
        let mut sum = flate2::Crc::new();
        sum.update(&data[at + 4..end]);
        data[end..end + 4].copy_from_slice(&sum.sum().to_be_bytes());
        at = end + 4;
    }
}

fn safetensors(names: &[(&str, Vec<usize>)]) -> Vec<u8> {
    let data: Vec<Vec<u8>> = names
        .iter()
        .map(|(_, shape)| {
            (0..shape.iter().product::<usize>()).flat_map(|at| (at as f32 * 0.01).sin().to_le_bytes()).collect()
        })
        .collect();
    let views = names
        .iter()
        .zip(&data)
        .map(|((name, shape), data)| ((*name).to_owned(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn folder(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
}

fn clip_folder(folder: &Path) {
    for name in ["set/img_emb", "set/metadata"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    write_npy_f16(&folder.join("set/img_emb/img_emb_0.npy"), &rows(), &[24, 6]).unwrap();
}

const CONFIG: &str = r#"{"vocab_size": 12, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
"intermediate_size": 16, "max_position_embeddings": 32, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu",
"model_type": "bert"}"#;
const TOKENIZER: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
"pre_tokenizer": {"type": "Whitespace"}, "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id":
"[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}},
{"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}}},
"decoder": null, "model": {"type": "WordLevel", "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4, "cat": 5,
"dog": 6, "and": 7, "the": 8, "moon": 9, "under": 10, "stars": 11}, "unk_token": "[UNK]"}}"#;

fn bert_weights() -> Vec<u8> {
    let layer = "encoder.layer.0";
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![12, 8]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![32, 8]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, 8]),
    ];
    for (name, outputs, inputs) in [
        ("attention.self.query", 8, 8),
        ("attention.self.key", 8, 8),
        ("attention.self.value", 8, 8),
        ("attention.output.dense", 8, 8),
        ("intermediate.dense", 16, 8),
        ("output.dense", 8, 16),
    ] {
        shapes.push((format!("{layer}.{name}.weight"), vec![outputs, inputs]));
        shapes.push((format!("{layer}.{name}.bias"), vec![outputs]));
    }
    for name in [
        "embeddings.LayerNorm".to_owned(),
        format!("{layer}.attention.output.LayerNorm"),
        format!("{layer}.output.LayerNorm"),
    ] {
        shapes.extend(["weight", "bias"].map(|part| (format!("{name}.{part}"), vec![8])));
    }
    let named: Vec<(&str, Vec<usize>)> = shapes.iter().map(|(name, shape)| (name.as_str(), shape.clone())).collect();
    safetensors(&named)
}

fn encoder_folder(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("config.json"), CONFIG).unwrap();
    fs::write(folder.join("tokenizer.json"), TOKENIZER).unwrap();
    fs::write(folder.join("model.safetensors"), bert_weights()).unwrap();
}

fn none(_: &mut [u8]) {}

/// Reads the pictures at `x`.
fn decoded(folder: &Path) -> Read {
    decode_image(&fs::read(folder.join("x")).map_err(said)?).map(drop)
}

/// All formats.
pub(crate) fn formats() -> Vec<Format> {
    let plain =
        |name, file, good, read| Format { name, file, good, prepare: folder, read, repair: none, is_slow: false };
    let mut all = of_embeddings(&plain);
    all.extend(of_datasets(&plain));
    for (name, kind) in [
        ("jpeg", ImageFormat::Jpeg),
        ("gif", ImageFormat::Gif),
        ("webp", ImageFormat::WebP),
        ("bmp", ImageFormat::Bmp),
        ("tiff", ImageFormat::Tiff),
    ] {
        all.push(plain(name, "x", picture(kind), decoded));
    }
    all.push(Format { repair: repair_png, ..plain("png", "x", picture(ImageFormat::Png), decoded) });
    for (name, file, good) in [
        ("tokenizer", "tokenizer.json", TOKENIZER.as_bytes().to_vec()),
        ("config", "config.json", CONFIG.as_bytes().to_vec()),
        ("weights", "model.safetensors", bert_weights()),
    ] {
        all.push(Format { prepare: encoder_folder, is_slow: true, ..plain(name, file, good, encoder) });
    }
    all
}

type Plain<'a> = &'a dyn Fn(&'static str, &'static str, Vec<u8>, fn(&Path) -> Read) -> Format;

fn of_embeddings(plain: Plain<'_>) -> Vec<Format> {
    let npy = written(|path| write_npy_f32(path, &rows(), &[24, 6]).unwrap());
    let half = written(|path| write_npy_f16(path, &rows(), &[24, 6]).unwrap());
    let list = ListArray::from_iter_primitive::<Float32Type, _, _>(
        rows().chunks(6).map(|row| Some(row.iter().map(|value| Some(*value)).collect::<Vec<_>>())),
    );
    let fixed = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
        rows().chunks(6).map(|row| Some(row.iter().map(|value| Some(*value)).collect::<Vec<_>>())),
        6,
    );
    let zstd = Codec::ZSTD(ZstdLevel::try_new(1).unwrap());
    let (list, fixed): (ArrayRef, ArrayRef) = (Arc::new(list), Arc::new(fixed));
    let numbers: ArrayRef = Arc::new((0..24).collect::<UInt32Array>());
    let metadata = parquet(vec![("key", texts()), ("caption", texts()), ("width", numbers.clone())], Codec::SNAPPY);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("emb.npy", stored).unwrap();
    zip.write_all(&npy).unwrap();
    let npz = zip.finish().unwrap().into_inner();
    let pairs = (0..20).map(|row| format!("{row},{}", (row * 7) % 20)).collect::<Vec<_>>().join("\n");
    let costs: ArrayRef = Arc::new((0..24).map(|row| Some(row as f32)).collect::<arrow_array::Float32Array>());
    let candidates = parquet(vec![("i", numbers.clone()), ("j", numbers), ("cost", costs)], Codec::SNAPPY);
    vec![
        plain("npy", "x.npy", npy, |folder| embeddings(&folder.join("x.npy"), None)),
        plain("npy-f16", "x.npy", half, |folder| embeddings(&folder.join("x.npy"), None)),
        plain("npz", "x.npz", npz, |folder| embeddings(&folder.join("x.npz"), Some("emb"))),
        plain("safetensors", "x.safetensors", safetensors(&[("emb", vec![24, 6])]), |folder| {
            embeddings(&folder.join("x.safetensors"), Some("emb"))
        }),
        plain(
            "arrow-file",
            "x.feather",
            arrow(vec![("key", texts()), ("emb", list.clone())], Some(CompressionType::LZ4_FRAME), false),
            |folder| embeddings(&folder.join("x.feather"), Some("emb")),
        ),
        plain("arrow-stream", "x.arrow", arrow(vec![("key", texts()), ("emb", fixed.clone())], None, true), |folder| {
            embeddings(&folder.join("x.arrow"), Some("emb"))
        }),
        plain("parquet-zstd", "x.parquet", parquet(vec![("key", texts()), ("emb", list)], zstd), |folder| {
            embeddings(&folder.join("x.parquet"), Some("emb"))
        }),
        plain("parquet-plain", "x.parquet", parquet(vec![("emb", fixed)], Codec::UNCOMPRESSED), |folder| {
            embeddings(&folder.join("x.parquet"), Some("emb"))
        }),
        Format {
            prepare: clip_folder,
            ..plain("metadata", "set/metadata/metadata_0.parquet", metadata, |folder| {
                embeddings(&folder.join("set"), None)?;
                Embeddings::open(&folder.join("set"), None).map_err(said)?.metadata().map(drop).map_err(said)
            })
        },
        plain("pairs", "x.csv", pairs.into_bytes(), |folder| read_pairs(&folder.join("x.csv")).map(drop).map_err(said)),
        plain("candidates", "x.parquet", candidates, |folder| {
            read_candidates(&folder.join("x.parquet")).map(drop).map_err(said)
        }),
    ]
}

fn of_datasets(plain: Plain<'_>) -> Vec<Format> {
    let lines = WORDS.join("\n");
    let tsv = std::iter::once("filepath\ttitle\n".to_owned())
        .chain(WORDS.iter().enumerate().map(|(row, words)| format!("{row}.jpg\t{words}\n")))
        .collect::<String>();
    let csv = tsv.replace("x\"y", "\"x,\"\"y\"").replace('\t', ",");
    let jsonl = WORDS
        .iter()
        .enumerate()
        .map(|(row, words)| format!("{{\"filepath\": \"{row}.jpg\", \"title\": {words:?}, \"n\": [{row}, null]}}"))
        .collect::<Vec<_>>()
        .join("\n");
    let png = picture(ImageFormat::Png);
    let members: [(&str, &[u8]); 6] = [
        ("000.png", &png),
        ("000.txt", b"a cat"),
        ("001.png", &png),
        ("001.json", br#"{"caption": "the moon"}"#),
        ("002.txt", b"without a picture"),
        (
            "a/very/long/name/that/does/not/fit/into/one/hundred/bytes/and/so/has/a/header/of/its/own/in/front/of/it/003.txt",
            b"x",
        ),
    ];
    let shard = tar(&members);
    let bytes: ArrayRef = Arc::new((0..24).map(|row| (row % 3 > 0).then_some(png.as_slice())).collect::<BinaryArray>());
    let paths: ArrayRef = Arc::new((0..24).map(|row| Some(format!("{row}.png"))).collect::<StringArray>());
    let of_hub = StructArray::from(vec![
        (Arc::new(Field::new("bytes", DataType::Binary, true)), bytes),
        (Arc::new(Field::new("path", DataType::Utf8, true)), paths),
    ]);
    let of_hub: ArrayRef = Arc::new(of_hub);
    let packed = arrow(vec![("image", of_hub.clone()), ("caption", texts())], Some(CompressionType::ZSTD), true);
    let stream = arrow(vec![("image", of_hub.clone()), ("caption", texts())], None, true);
    let table = parquet(vec![("image", of_hub), ("caption", texts())], Codec::SNAPPY);
    let tars = |name, file, good, read| Format { repair: repair_tar, ..plain(name, file, good, read) };
    vec![
        plain("text", "x.txt", lines.into_bytes(), |folder| dataset(&folder.join("x.txt"), Modality::Text)),
        plain("tsv", "x.tsv", tsv.into_bytes(), |folder| dataset(&folder.join("x.tsv"), Modality::Both)),
        plain("csv-gzip", "x.csv.gz", gzip(csv.as_bytes()), |folder| dataset(&folder.join("x.csv.gz"), Modality::Text)),
        plain("csv", "x.csv", csv.into_bytes(), |folder| dataset(&folder.join("x.csv"), Modality::Text)),
        plain("jsonl", "x.jsonl", jsonl.into_bytes(), |folder| dataset(&folder.join("x.jsonl"), Modality::Both)),
        plain("tar-gzip", "x.tar.gz", gzip(&shard), |folder| dataset(&folder.join("x.tar.gz"), Modality::Text)),
        tars("tar", "x.tar", shard, |folder| dataset(&folder.join("x.tar"), Modality::Both)),
        plain("dataset-arrow", "x.arrow", stream, |folder| dataset(&folder.join("x.arrow"), Modality::Both)),
        plain("dataset-arrow-zstd", "x.arrow", packed, |folder| dataset(&folder.join("x.arrow"), Modality::Both)),
        plain("dataset-parquet", "x.parquet", table, |folder| dataset(&folder.join("x.parquet"), Modality::Both)),
    ]
}
