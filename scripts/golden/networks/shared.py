"""What all golden networks share: small tokenizers, texts and pictures, random weights that matter, how a folder is written."""

import json
import pathlib
import sys

import numpy as np
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
import torch
import transformers as tr

OUT = pathlib.Path(sys.argv[1])
SIDE = 32
VOCABULARY = ["[PAD]", "<s>", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz0123456789.,!?'-", *("##" + c for c in "abcdefghijklmnopqrstuvwxyz0123456789"),
              "the", "cat", "dog", "sat", "on", "mat", "red", "##ing", "##s", "##ed", "photo", "of"]
TEXTS = ["a photo of the cat", "dog", "", "The cats sat on the red mat, barking and singing at 12 dogs!", "x" * 10, "the " * 60]
REAL = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
UNCHANGED = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
torch.manual_seed(20261123)
torch.set_grad_enabled(False)
rng = np.random.default_rng(20261123)
PICTURES = rng.integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
# Smooth beside noise: a gradient and a disc.
yy, xx = np.mgrid[0:SIDE, 0:SIDE]
PICTURES[1] = np.stack([xx * 8, yy * 8, 255 - xx * 4], -1)
PICTURES[2] = ((xx - 16) ** 2 + (yy - 12) ** 2 < 90)[..., None] * np.array([250, 120, 30], dtype=np.uint8)
SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
V = len(VOCABULARY)


def pixels(prepared=REAL):
    x = torch.from_numpy(PICTURES).float() / 255
    return ((x - torch.tensor(prepared["mean"])) / torch.tensor(prepared["std"])).permute(0, 3, 1, 2)


def tokenizer(around=("[CLS]", "[SEP]"), lowercase=True):
    made = Tokenizer(models.WordPiece({token: i for i, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    first, last = around
    template = " ".join(token for token in (first, "$A", last) if token)
    specials = [(token, VOCABULARY.index(token)) for token in around if token]
    made.post_processor = processors.TemplateProcessing(single=template, special_tokens=specials)
    return made


def tokens(made, length, pad=0, fill=False, texts=TEXTS):
    made.enable_truncation(length)
    ids = [encoding.ids for encoding in made.encode_batch(texts)]
    made.no_truncation()
    longest = length if fill else max(map(len, ids))
    padded = torch.tensor([row + [pad] * (longest - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    return padded, mask


def shaken(model):
    """Random weights that matter: norms away from one, biases and statistics away from zero."""
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            parameter.add_(torch.randn_like(parameter) * 0.2)
        else:
            parameter.copy_(torch.randn_like(parameter) * 1.0 / max(1, parameter[0].numel()) ** 0.5)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model.eval()


def save(name, model, family, dimension, expected, made=None, text="", image=False, pooling=None, modality="text"):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, tr.PreTrainedModel):
        model.save_pretrained(folder)
    else:
        save_file({k: v.contiguous() for k, v in model.state_dict().items() if "num_batches" not in k}, folder / "model.safetensors")
    if made is not None:
        made.save(str(folder / "tokenizer.json"), pretty=False)
    lines = [f'family = "{family}"', f'modality = "{modality}"', f'repo = "golden/{name}"', 'licence = "MIT OR Apache-2.0"', f"dimension = {dimension}"]
    if pooling:
        lines.append(f'pooling = "{pooling}"')
    if image:
        prepared = image if isinstance(image, dict) and "mean" in image else REAL
        sizes = [f"resize = {SIDE}", f"crop = {SIDE}"]
        if isinstance(image, dict) and "patches" in image:
            sizes = ["patches = { side = %d, most = %d }" % image["patches"]]
        lines += ["[image]", *sizes, 'interpolation = "bicubic"', 'background = "ignore"', f"mean = {prepared['mean']}", f"std = {prepared['std']}"]
    if made is not None:
        lines += ["[text]", text]
    (folder / "spec.toml").write_text("\n".join(lines) + "\n")
    save_file({k: v.float().contiguous() for k, v in expected.items()}, folder / "expected.safetensors")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{name}: {size / 1024:.0f} KiB, {', '.join(f'{k} {tuple(v.shape)} norm {v.norm(dim=-1).mean():.3f}' for k, v in expected.items())}")


def processor(name, **more):
    """How pictures are prepared, as transformers' processors save it."""
    described = {"do_normalize": True, "do_resize": True, "image_mean": REAL["mean"], "image_std": REAL["std"], "resample": 3, **more}
    (OUT / name / "preprocessor_config.json").write_text(json.dumps(described, indent=2) + "\n")


def mean(states, mask):
    mask = mask[..., None].float()
    return (states * mask).sum(1) / mask.sum(1)


def last(states, mask):
    return states[torch.arange(len(states)), mask.sum(1) - 1]


def ended():
    """A tokenizer whose end of text has the largest number, by which open_clip finds it."""
    made = tokenizer()
    end = ("[END]", V)
    made.add_special_tokens([end[0]])
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [END]", special_tokens=[("[CLS]", 3), end])
    return made


def describe(name, family, dimension, expected, more=""):
    """The description and the expected values of a folder that another program has written."""
    lines = [f'family = "{family}"', 'modality = "text"', f'repo = "golden/{name}"', 'licence = "MIT OR Apache-2.0"', f"dimension = {dimension}", "[text]", more]
    (OUT / name / "spec.toml").write_text("\n".join(lines).strip() + "\n")
    save_file({key: torch.as_tensor(value).float().contiguous() for key, value in expected.items()}, OUT / name / "expected.safetensors")
    print(name, sorted(str(path.relative_to(OUT / name)) for path in (OUT / name).rglob("*") if path.is_file()))
