"""Encoders against the golden values of PyTorch that the repository has, and against the command line."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

import himacl
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "crates" / "himacl-encode" / "tests" / "golden" / "encoders"


def tensors(path: Path) -> dict[str, np.ndarray]:
    """A safetensors file of float32 and uint8."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    types = {"F32": np.float32, "U8": np.uint8}
    return {
        name: np.frombuffer(data[8 + length :][slice(*entry["data_offsets"])], types[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def texts() -> list[str]:
    return list(json.loads((GOLDEN / "texts.json").read_text()))


@pytest.fixture(scope="module")
def sentences() -> himacl.Encoder:
    return himacl.Encoder(repo="golden/sentence-transformers", family="sentence-transformers", local=GOLDEN / "sentence-transformers")


def test_texts_are_pytorchs(sentences: himacl.Encoder) -> None:
    expected = tensors(GOLDEN / "sentence-transformers" / "expected.safetensors")["text"]
    got = sentences.encode(texts(), normalize=False)
    assert got.dtype == np.float32 and np.abs(got - expected).max() < 1e-5
    assert sentences.text_dimension == 24 and sentences.image_dimension is None
    unit = sentences.encode(texts())
    assert np.allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    # What shares a batch with a text changes nothing but the order of sums.
    assert np.abs(sentences.encode(texts()[1]) - unit[1]).max() < 1e-6
    assert np.abs(sentences.encode(texts() * 40, batch_size=7)[-6:] - unit).max() < 1e-6


def test_prompts(sentences: himacl.Encoder) -> None:
    folder = GOLDEN / "sentence-transformers"
    asked = himacl.Encoder(repo="golden/sentence-transformers", family="sentence-transformers", local=folder, prompt="query")
    expected = tensors(folder / "expected.safetensors")["query"]
    assert np.abs(asked.encode(texts(), normalize=False) - expected).max() < 1e-5


def test_first_coordinates() -> None:
    folder = GOLDEN / "static-model2vec"
    told = {"repo": "golden/static-model2vec", "family": "static", "local": folder}
    whole, first = himacl.Encoder(**told), himacl.Encoder(**told, dimensions=8)
    assert whole.text_dimension == 24 and first.text_dimension == 8
    lines = [text for text in texts() if text]
    expected = whole.encode(lines)[:, :8]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(first.encode(lines) - expected).max() < 1e-6
    with pytest.raises(ValueError, match="25 coordinates .* expected 1 to 24"):
        himacl.Encoder(**told, dimensions=25)


def test_the_same_as_the_command_line(sentences: himacl.Encoder, tmp_path: Path) -> None:
    lines = [text.replace("\n", " ") for text in texts() if text.strip()]
    (tmp_path / "captions.txt").write_text("\n".join(lines) + "\n")
    command = ["himacl", "embed", "--repo", "golden/sentence-transformers", "--family", "sentence-transformers"]
    command += ["--local", GOLDEN / "sentence-transformers", "--input", tmp_path / "captions.txt", "--modality", "text"]
    subprocess.run([*command, "-o", tmp_path / "out"], check=True, capture_output=True)
    theirs = np.load(tmp_path / "out" / "text_emb" / "text_emb_0.npy")
    assert (sentences.encode(lines).astype(np.float16) == theirs).all()


def test_pictures_of_every_kind(tmp_path: Path) -> None:
    folder = GOLDEN / "dinov2"
    encoder = himacl.Encoder(repo="golden/dinov2", family="dinov2", local=folder)
    pictures = tensors(GOLDEN / "pictures.safetensors")["pictures"]
    expected = tensors(folder / "expected.safetensors")["image"]
    got = encoder.encode_images(list(pictures), normalize=False)
    assert got.shape == expected.shape and encoder.image_dimension == 32
    cosines = (got * expected).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.9999
    pil = pytest.importorskip("PIL.Image")
    images = [pil.fromarray(picture) for picture in pictures]
    for at, image in enumerate(images):
        image.save(tmp_path / f"{at}.png")
    paths = [tmp_path / f"{at}.png" for at in range(len(images))]
    for same in (images, paths, [str(path) for path in paths], [path.read_bytes() for path in paths]):
        assert (encoder.encode_images(same, normalize=False) == got).all()


def test_the_registry() -> None:
    known = {spec["name"] for spec in himacl.encoders()}
    assert {"all-minilm-l6-v2", "clip-vit-b-32", "dinov2-base"} <= known


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda e: himacl.Encoder("all-minilm-l6-v3", local="."), "all-minilm-l6-v2"),
        (lambda e: himacl.Encoder(), "name of an encoder"),
        (lambda e: himacl.Encoder(repo="a/b", family="alexnet", local="."), "alexnet"),
        (lambda e: e.encode(["a", 3]), "text 1 is int"),
        (lambda e: e.encode(["a"], batch_size=0), "batch_size"),
        (lambda e: e.encode_images([b""]), "does not see pictures"),
    ],
)
def test_refusals(sentences: himacl.Encoder, call: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call(sentences)  # type: ignore[operator]


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(himacl.Error, match="config.json|weights|safetensors"):
        himacl.Encoder(repo="a/b", family="bert", local=tmp_path)
    encoder = himacl.Encoder(repo="golden/dinov2", family="dinov2", local=GOLDEN / "dinov2")
    with pytest.raises(OSError, match="cannot read"):
        encoder.encode_images([tmp_path / "none.png"])
    with pytest.raises(ValueError, match="picture 0"):
        encoder.encode_images([b"not a picture"])
    with pytest.raises(ValueError, match="expected .height, width, 3."):
        encoder.encode_images([np.zeros((4, 4), np.uint8)])
