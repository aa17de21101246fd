#!/usr/bin/env python3
"""Times encoders beside PyTorch: the same weights, the same batches, the same number of threads, in alternating rounds.

usage: encoders.py HIREF_BENCH WORK_FOLDER [--minilm FOLDER --texts TEXTS.txt] [--rounds 9] [--threads 2] [--batch-size 32]
                   [--lines N] [--only CASE ...]

MiniLM has its real weights (scripts/fetch-emoji.sh); EfficientNet-Lite0, a vision transformer of the size of CLIP's B/32
and the others' pictures have random ones, which WORK_FOLDER keeps. Models alone: tokens and pixels are prepared before. Texts are in batches of like
length on both sides; PyTorch pads within a batch. On a machine that others use, read the
rates by processor time with --threads 1: by the clock, PyTorch's threads lose time waiting for each other. Install scripts/golden/encoders-requirements.txt first.
"""

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
import open_clip
import timm
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def picture_batches(batch_size, batches, side=224, mean=MEAN, std=STD):
    """The pictures of `hiref-bench encoders`, as a network of PyTorch wants them."""
    places = np.arange(side * side * 3)
    rows = np.stack([(i * 31 + places * 17) % 251 for i in range(batch_size * batches)]).astype(np.float32) / 255
    rows = (rows.reshape(-1, side, side, 3) - np.float32(mean)) / np.float32(std)
    return torch.from_numpy(rows.transpose(0, 3, 1, 2).copy()).split(batch_size)


def text_batches(args, ids):
    """In batches of like length, padded within a batch."""
    ids = sorted(ids, key=len, reverse=True)
    batches = []
    for start in range(0, len(ids), args.batch_size):
        rows = ids[start : start + args.batch_size]
        longest = max(map(len, rows))
        batches.append((torch.tensor([row + [0] * (longest - len(row)) for row in rows]),
                        torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])))
    return batches


def texts(args, model, folder, family):
    """A model of transformers over the texts, split by MiniLM's tokenizer; the mean of all tokens."""
    tokenizer = Tokenizer.from_file(str(args.minilm / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.no_padding()
    lines = args.texts.read_text(encoding="utf-8").splitlines()[: args.lines]
    path = args.work / "texts.txt"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")

    def run(batch):
        states = model(batch[0], attention_mask=batch[1]).last_hidden_state
        mask = batch[1][..., None].float()
        return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))

    batches = text_batches(args, [encoding.ids for encoding in tokenizer.encode_batch(lines)])
    return run, batches, ["--family", family, "--folder", str(folder), "--texts", str(path)]


def minilm(args):
    model = transformers.BertModel.from_pretrained(args.minilm, add_pooling_layer=False).eval()
    return texts(args, model, args.minilm, "sentence-transformers")


def random_text(args, name, family, model):
    """A model with random weights, MiniLM's tokenizer beside it."""
    folder = args.work / name
    model = model.eval()
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((args.minilm / "tokenizer.json").read_bytes())
    return texts(args, model, folder, family)


def nomic(args):
    torch.manual_seed(0)
    return random_text(args, "nomic", "nomic-bert", transformers.NomicBertModel(transformers.NomicBertConfig()))


def gte(args):
    torch.manual_seed(0)
    return random_text(args, "gte", "gte", transformers.GteModel(transformers.GteConfig(vocab_size=30522, pad_token_id=0)))


def gemma(args):
    """Of EmbeddingGemma's size but for the vocabulary."""
    torch.manual_seed(0)
    config = transformers.Gemma3TextConfig(vocab_size=30522, hidden_size=768, num_hidden_layers=24, num_attention_heads=3, num_key_value_heads=1, intermediate_size=1152, sliding_window=512, use_bidirectional_attention=True)
    return random_text(args, "gemma", "gemma3", transformers.Gemma3TextModel(config))


def static(args):
    """Of potion-base-8M's size, beside model2vec: rows alone, tokens are made before."""
    import model2vec
    from model2vec.persistence import save_pretrained

    folder = args.work / "static"
    tokenizer = Tokenizer.from_file(str(args.minilm / "tokenizer.json"))
    vectors = np.random.default_rng(0).standard_normal((tokenizer.get_vocab_size(), 256)).astype(np.float32)
    model = model2vec.StaticModel(vectors, tokenizer, {"model_type": "model2vec"}, normalize=True)
    save_pretrained(folder, model.embedding, model.tokenizer, model.config, create_model_card=False)
    lines = args.texts.read_text(encoding="utf-8").splitlines()[: args.lines]
    (args.work / "texts.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    ids = sorted(model.tokenize(lines), key=len, reverse=True)
    batches = [(ids[start : start + args.batch_size],) for start in range(0, len(ids), args.batch_size)]
    model.tokenize = lambda sentences: sentences
    run = lambda batch: torch.from_numpy(model._encode_batch(batch[0], True))
    return run, batches, ["--family", "static", "--folder", str(folder), "--texts", str(args.work / "texts.txt")]


def described(folder):
    config = {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 224}, "do_center_crop": True,
              "crop_size": 224, "resample": 3, "image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))


def lite0(args):
    folder = args.work / "lite0"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0").eval()
    save_file({k: v.contiguous() for k, v in model.state_dict().items() if "num_batches" not in k}, folder / "model.safetensors")
    described(folder)
    run = lambda x: model.forward_head(model.forward_features(x), pre_logits=True)
    return run, picture_batches(args.batch_size, 2), ["--family", "efficientnet-lite", "--folder", str(folder)]


def lite0_channels_last(args):
    run, batches, more = lite0(args)
    return run, [batch.to(memory_format=torch.channels_last) for batch in batches], more


def vit(args):
    folder = args.work / "vit-b-32"
    torch.manual_seed(0)
    model = transformers.ViTModel(transformers.ViTConfig(patch_size=32), add_pooling_layer=False).eval()
    model.save_pretrained(folder)
    described(folder)
    return lambda x: model(x).last_hidden_state[:, 0], picture_batches(args.batch_size, 2), ["--family", "vit", "--folder", str(folder)]


def mobileclip(args, name):
    folder = args.work / name.lower()
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = open_clip.create_model(name).eval()
    # Statistics and factors that matter: as they are made, blocks would hardly change what goes in.
    for key, value in model.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_(0, 0.2)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif key.endswith("gamma"):
            value.normal_(0, 0.3)
    save_file({k: v.contiguous() for k, v in model.state_dict().items() if "num_batches" not in k}, folder / "open_clip_model.safetensors")
    config, unchanged = open_clip.get_model_config(name), {"mean": [0.0] * 3, "std": [1.0] * 3}
    described = {"model_cfg": config, "preprocess_cfg": {**unchanged, "interpolation": "bilinear", "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))
    batches = picture_batches(args.batch_size, 2, side=config["vision_cfg"]["image_size"], **unchanged)
    return model.encode_image, batches, ["--family", "mobile-clip", "--folder", str(folder)]


def mobileclip_s1(args):
    return mobileclip(args, "MobileCLIP-S1")


def mobileclip_s2(args):
    return mobileclip(args, "MobileCLIP-S2")


def mobileclip_b(args):
    return mobileclip(args, "MobileCLIP-B")


def dinov3(args):
    folder = args.work / "dinov3-s-16"
    torch.manual_seed(0)
    model = transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(num_register_tokens=4)).eval()
    model.save_pretrained(folder)
    described(folder)
    return lambda x: model(x).pooler_output, picture_batches(args.batch_size, 2), ["--family", "dinov3", "--folder", str(folder)]


def siglip2(args, keeps_proportions=False):
    """Pictures alone: the text tower is there for the sake of the files."""
    folder = args.work / ("siglip2-naflex" if keeps_proportions else "siglip2-base")
    torch.manual_seed(0)
    words = dict(vocab_size=4, num_hidden_layers=1, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    kind = "Siglip2" if keeps_proportions else "Siglip"
    model, config = getattr(transformers, f"{kind}Model"), getattr(transformers, f"{kind}Config")
    model = model(config(text_config=words, vision_config=dict(patch_size=16))).eval()
    model.save_pretrained(folder)
    sizes = {"patch_size": 16, "max_num_patches": 256} if keeps_proportions else {"size": {"height": 224, "width": 224}}
    half = [0.5] * 3
    prepared = {"image_processor_type": f"{kind}ImageProcessor", "resample": 2, "image_mean": half, "image_std": half, **sizes}
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[UNK]"}))
    batches = picture_batches(args.batch_size, 2, side=256 if keeps_proportions else 224, mean=half, std=half)

    def in_patches(x):
        n = len(x)
        patches = x.reshape(n, 3, 16, 16, 16, 16).permute(0, 2, 4, 3, 5, 1).reshape(n, 256, 768)
        return model.vision_model(patches, torch.ones(n, 256, dtype=torch.long), torch.tensor([[16, 16]] * n)).pooler_output

    run = in_patches if keeps_proportions else lambda x: model.vision_model(x).pooler_output
    return run, batches, ["--family", "siglip", "--folder", str(folder)]


def siglip2_naflex(args):
    return siglip2(args, keeps_proportions=True)


def perception(args):
    return of_open_clip(args, "PE-Core-B-16")


def eva(args):
    return of_open_clip(args, "EVA02-B-16")


def of_open_clip(args, name):
    folder = args.work / name.lower()
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = open_clip.create_model(name).eval()
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    half = {"mean": [0.5] * 3, "std": [0.5] * 3}
    described = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {**half, "interpolation": "bilinear", "resize_mode": "squash"}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))
    return model.encode_image, picture_batches(args.batch_size, 2, **half), ["--family", "clip", "--folder", str(folder)]


def processor_seconds(process):
    """What a process has used so far, all threads together."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compare(name, case, args):
    run, batches, more = case(args)
    count = sum(len(batch[0]) if isinstance(batch, tuple) else len(batch) for batch in batches)
    command = [args.hiref_bench, "encoders", *more, "--threads", str(args.threads), "--batch-size", str(args.batch_size)]
    ours = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ready = json.loads(ours.stdout.readline())
    assert (ready["rows"], ready["batches"]) == (count, len(batches)), (ready["rows"], count)
    first = run(batches[0]).numpy()
    got = np.array(ready["first"])
    cosine = ((first * got).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(got, axis=1)).min()
    assert cosine > 0.9999, cosine
    rates = []
    for _ in range(args.rounds):
        used = processor_seconds(ours.pid)
        ours.stdin.write("\n")
        ours.stdin.flush()
        here = json.loads(ours.stdout.readline())["rows_per_second"]
        here_used = count / (processor_seconds(ours.pid) - used)
        started, used = time.perf_counter(), time.process_time()
        for batch in batches:
            run(batch)
        rates.append((here, count / (time.perf_counter() - started), here_used, count / (time.process_time() - used)))
    ours.stdin.close()
    ours.wait()
    cells = [f"{statistics.median(side):.1f}" for side in zip(*rates)]
    for here, there in ((0, 1), (2, 3)):
        ratios = sorted(row[here] / row[there] for row in rates)
        cells.insert(3 * (here // 2) + 2, f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    print(f"| {name} | {count} | {' | '.join(cells)} | {cosine:.7f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("hiref_bench")
    parser.add_argument("work", type=Path)
    parser.add_argument("--minilm", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lines", type=int)
    parser.add_argument("--only", nargs="*", default=[])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    args.work.mkdir(parents=True, exist_ok=True)
    print(f"PyTorch {torch.__version__}, transformers {transformers.__version__}, timm {timm.__version__}; rows a second, "
          f"medians of {args.rounds} alternating rounds, {args.threads} threads each, batches of {args.batch_size}\n")
    print("| model | rows | himacl, a second | PyTorch | ratio (least to most) | himacl, a processor second | PyTorch | ratio | least cosine |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, case in {"MiniLM-L6": minilm, "EfficientNet-Lite0": lite0, "EfficientNet-Lite0, channels last": lite0_channels_last,
                       "ViT-B/32": vit, "MobileCLIP-S1": mobileclip_s1, "MobileCLIP-S2": mobileclip_s2,
                       "MobileCLIP-B": mobileclip_b, "DINOv3 ViT-S/16": dinov3, "SigLIP2 B/16, 224": siglip2,
                       "SigLIP2 B/16, 256 patches": siglip2_naflex, "Perception Encoder B/16": perception,
                       "EVA-CLIP B/16": eva, "static, 256 coordinates": static, "Nomic BERT": nomic, "GTE base": gte,
                       "Gemma 3, 24 blocks": gemma}.items():
        if not args.only or case.__name__ in args.only:
            compare(name, case, args)


if __name__ == "__main__":
    main()
