"""What the attacks share: tiny inputs, command lines, and what counts as the same result. Standard library only."""

import json
import os
import random
import resource
import shutil
import struct
import subprocess
from pathlib import Path

HIDDEN = 8
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "dog", "and", "the", "moon", "under", "stars"]
# Times and the like differ from run to run, and the order of the facts in the alignment's header.
OF_THE_RUN = {"config.toml", "summary.json", ".himacl.toml", "alignment.json", "alignment.safetensors"}

RECIPE = """
[data]
source = '{x}'
target = '{y}'
hide_pairs = true
anchors = 20
held_out = 0.25
[coupling]
recompute_every = 1
[map]
layers = 1
width = 8
[train]
epochs = 2
batch_size = 32
seeds = {seeds}
[checkpoint]
every_epochs = 1
[output]
dir = 'out'
"""


def write_npy(path, rows, dimension, seed):
    numbers = random.Random(seed)
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dimension}), }}"
    header += " " * (-(11 + len(header)) % 64) + "\n"
    data = b"".join(struct.pack("<f", numbers.random()) for _ in range(rows * dimension))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)


def write_encoder(folder):
    """A BERT of one layer with made-up weights."""
    folder.mkdir(parents=True)
    config = dict(
        vocab_size=len(WORDS), hidden_size=HIDDEN, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32, type_vocab_size=2, layer_norm_eps=1e-12, hidden_act="gelu", model_type="bert",
    )
    (folder / "config.json").write_text(json.dumps(config))
    special = lambda token, at: {"id": token, "ids": [at], "tokens": [token]}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": special("[CLS]", 2), "[SEP]": special("[SEP]", 3)},
        },
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {word: at for at, word in enumerate(WORDS)}, "unk_token": "[UNK]"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    layer = "encoder.layer.0."
    shapes = {
        "embeddings.word_embeddings.weight": [len(WORDS), HIDDEN],
        "embeddings.position_embeddings.weight": [32, HIDDEN],
        "embeddings.token_type_embeddings.weight": [2, HIDDEN],
    }
    linear = [(f"{layer}attention.{part}", HIDDEN, HIDDEN) for part in ("self.query", "self.key", "self.value", "output.dense")]
    linear += [(f"{layer}intermediate.dense", 16, HIDDEN), (f"{layer}output.dense", HIDDEN, 16)]
    for name, outputs, inputs in linear:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = [outputs, inputs], [outputs]
    for name in ("embeddings.LayerNorm", f"{layer}attention.output.LayerNorm", f"{layer}output.LayerNorm"):
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = [HIDDEN]
    numbers, header, data = random.Random(7), {}, b""
    for name, shape in shapes.items():
        size = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = b"".join(struct.pack("<f", numbers.uniform(-1, 1)) for _ in range(size))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


class Place:
    """A folder with inputs, of which a and b are two sorts, and the command lines that read them and write `out`."""

    def __init__(self, binary, root, memory=None):
        """`memory` bounds the address space of every process, in GiB."""
        self.memory = memory
        self.binary, self.root = str(Path(binary).resolve()), Path(root).resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        write_encoder(self.root / "encoder")
        numbers = random.Random(3)
        for seed, sort in enumerate("ab"):
            write_npy(self.root / f"x-{sort}.npy", 80, 6, 10 + seed)
            write_npy(self.root / f"y-{sort}.npy", 80, 6, 20 + seed)
            lines = (" ".join(numbers.choices(WORDS[4:], k=numbers.randint(1, 6))) for _ in range(18 + 5 * seed))
            (self.root / f"captions-{sort}.txt").write_text("\n".join(lines))
            for shard in range(3 - 2 * seed):
                write_npy(self.root / f"set-{sort}/text_emb/text_emb_{shard}.npy", 8, 6, 30 + shard)
            for name, seeds in (("one", "[1]"), ("two", "[1, 2]")):
                text = RECIPE.format(x=f"x-{sort}.npy", y=f"y-{sort}.npy", seeds=seeds)
                (self.root / f"{name}-{sort}.toml").write_text(text)
        done = self.run(self.command("train", "a"))
        assert done.returncode == 0, done.stderr
        (self.root / "out").rename(self.root / "run")

    def command(self, name, sort, *more):
        words = {
            "pair": f"pair --x x-{sort}.npy --y y-{sort}.npy --certify --checkpoint-every 0.000001 -o out",
            "pair-external": f"pair --x x-{sort}.npy --y y-{sort}.npy --external --block-rows 30"
            " --external-sweeps 2 --certify sampled:20 -o out",
            "train": f"train --config one-{sort}.toml",
            "train-two": f"train --config two-{sort}.toml",
            "embed": "embed --encoder all-minilm-l6-v2 --local encoder --shard-size 5"
            f" --input captions-{sort}.txt -o out",
            "apply": f"apply --run run --input set-{sort} --output out",
            "apply-file": f"apply --run run --input x-{sort}.npy --output out.npy",
            "eval": f"eval --run run --data x-{sort}.npy y-{sort}.npy --output out",
        }[name]
        return [*words.split(), "--device", "cpu", "--threads", "1", *more]

    def limit_memory(self):
        bytes_allowed = int(self.memory * (1 << 30))
        resource.setrlimit(resource.RLIMIT_AS, (bytes_allowed, bytes_allowed))

    def start(self, words, before=()):
        return subprocess.Popen(
            [*before, self.binary, *words],
            cwd=self.root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=self.limit_memory if self.memory else None,
        )

    def run(self, words, before=()):
        process = self.start(words, before)
        _, messages = process.communicate(timeout=120)
        return subprocess.CompletedProcess(words, process.returncode, None, messages)

    def clear(self):
        shutil.rmtree(self.root / "out", ignore_errors=True)
        for path in [*self.root.glob("out.npy"), *self.root.glob(".himacl-*")]:
            path.unlink()

    def files(self):
        """Every file of the output with its content."""
        found = {path.name: path.read_bytes() for path in [*self.root.glob("out.npy"), *self.root.glob(".himacl-*")]}
        for folder, _, names in os.walk(self.root / "out"):
            for name in names:
                path = Path(folder) / name
                found[str(path.relative_to(self.root / "out"))] = path.read_bytes()
        return found

    def restore(self, files):
        self.clear()
        for name, content in files.items():
            path = self.root / name if name.startswith("out.npy") else self.root / "out" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def result(files):
    """What must be the same after kills as without them."""
    def counts(name):
        last = name.rsplit("/", 1)[-1]
        return last not in OF_THE_RUN and not last.startswith(("events.", "mine")) and "checkpoints/" not in name
    return {name: content for name, content in files.items() if counts(name)}


def leftovers(files):
    """Temporary files, locks, results set aside."""
    return [name for name in files if ".himacl-" in name or ".partial" in name]
