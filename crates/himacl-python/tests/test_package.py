"""The command, the types, the documentation and the examples of the package."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import himacl
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "crates" / "himacl-python" / "examples").glob("*.py"))
#: What an example needs beside numpy.
NEEDS = {"flow_matching": ["torch", "torchcfm"], "cells": ["anndata"], "pot_and_scipy": ["ot", "scipy"], "scikit_learn": ["sklearn"], "first_plot": ["matplotlib"]}


def modules() -> list[str]:
    names = [f"himacl.{module.name}" for module in pkgutil.iter_modules(himacl.__path__)]
    return ["himacl", *(name for name in names if name not in ("himacl._himacl", "himacl.__main__"))]


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings(name: str) -> None:
    if name in ("himacl.torch", "himacl.anndata"):
        pytest.importorskip(name.partition(".")[2])
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples(path: Path, tmp_path: Path) -> None:
    for needed in NEEDS.get(path.stem, []):
        pytest.importorskip(needed)
    subprocess.run([sys.executable, path], check=True, cwd=tmp_path, timeout=600)


def test_every_public_name_is_documented() -> None:
    for name in himacl.__all__:
        if name != "__version__":
            assert getattr(himacl, name).__doc__, name


def test_the_command(tmp_path: Path) -> None:
    for command in (["himacl"], [sys.executable, "-m", "himacl"]):
        version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
        assert version.split() == ["himacl", himacl.__version__]
        wrong = subprocess.run([*command, "pair", "--x", "none.npy", "--y", "none.npy", "-o", tmp_path / "o"], capture_output=True, text=True)
        assert wrong.returncode == 2 and "none.npy" in wrong.stderr
        assert subprocess.run(command, capture_output=True).returncode == 2


def test_the_command_stops_on_ctrl_c(tmp_path: Path) -> None:
    for name in "xy":
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(ord(name)).normal(size=(60_000, 64)).astype(np.float32))
    command = ["himacl", "--progress", "json", "pair", "--x", tmp_path / "x.npy", "--y", tmp_path / "y.npy", "--quality", "best", "-o", tmp_path / "out"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if '"split"' in line:
            break
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    process.stderr.read()
    assert process.wait(timeout=120) in (1, 2)


def test_types() -> None:
    pytest.importorskip("mypy")
    checked = subprocess.run([sys.executable, "-m", "mypy", "--strict"], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_stubs_name_what_there_is() -> None:
    import ast

    from himacl import _himacl

    stub = Path(himacl.__file__).with_name("_himacl.pyi").read_text()
    named = {node.name for node in ast.parse(stub).body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    public = {name for name in dir(_himacl) if not name.startswith("__")}
    assert named == public


def test_import_is_quick_and_light() -> None:
    script = "import sys, himacl; print([name for name in ('torch', 'scipy', 'sklearn', 'anndata', 'tqdm') if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
