"""A map trained on a coupling that is recomputed as the map improves."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import _himacl
from ._aligner import Mapper, Mode
from ._arguments import sections as checked_sections
from ._arrays import as_pairs, as_rows
from ._errors import FileError, InputError
from ._arguments import seed as _seed
from ._arguments import threads as _threads
from ._progress import Progress, listener


class MongeMap(Mapper):
    """A neural Monge map T between two spaces, and one back.

    Alignment gives a first linear map and a one-to-one coupling; a network learns what the linear map lacks from the coupled
    pairs; every few epochs the coupling is recomputed in the mapped space. The same as ``himacl train``.

    Parameters
    ----------
    kind : {'residual-mlp', 'linear', 'mlp', 'residual-transformer', 'convex-gradient'}
        The map.
    mode : {'anchors', 'unpaired', 'shared-space'}
        What is known of the two sides, as for :class:`Aligner`.
    objective : {'regression', 'contrastive', 'both'}
        What training minimises.
    epochs, batch_size, learning_rate, layers, width :
        As in a recipe's ``[train]``, ``[optimizer]`` and ``[map]``.
    recompute_every : int
        Epochs between two couplings; 0 keeps the first.
    inverse : bool
        Train a map back as well.
    recipe : mapping of mappings, optional
        Any other key of a recipe by its section: ``{"coupling": {"keep": 0.5}}``.
    folder : path, optional
        Keep checkpoints and metrics here; a run that was interrupted goes on there. A temporary folder by default.
    seed, threads, progress :
        As for :func:`himacl.pair`.

    Attributes
    ----------
    report_ : dict
        ``metrics``, ``seconds``, ``counts`` and ``map_choice``, as in the command line's ``summary.json``.
    """

    report_: dict[str, Any]
    n_features_in_: int

    def __init__(
        self,
        kind: Literal["residual-mlp", "linear", "mlp", "residual-transformer", "convex-gradient"] = "residual-mlp",
        *,
        mode: Mode = "anchors",
        objective: Literal["regression", "contrastive", "both"] = "regression",
        epochs: int = 20,
        batch_size: int = 2048,
        learning_rate: float = 1e-3,
        layers: int = 3,
        width: int = 512,
        recompute_every: int = 5,
        inverse: bool = True,
        recipe: Mapping[str, Mapping[str, Any]] | None = None,
        folder: str | os.PathLike[str] | None = None,
        seed: int = 0,
        threads: int | None = None,
        progress: Progress = None,
    ) -> None:
        self.kind = kind
        self.mode = mode
        self.objective = objective
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.layers = layers
        self.width = width
        self.recompute_every = recompute_every
        self.inverse = inverse
        self.recipe = recipe
        self.folder = folder
        self.seed = seed
        self.threads = threads
        self.progress = progress

    def fit(self, X: Any, y: Any = None, *, anchors: Any = None, evaluation: tuple[Any, Any] | None = None) -> MongeMap:
        """Learns the map from the source ``X (n, d)`` to the target ``y (m, e)``.

        ``anchors`` are the known pairs, ``(k, 2)``. ``evaluation`` are paired rows of both sides to judge by:
        ``report_["metrics"]`` has their figures, of the map and of what it is compared with.
        """
        if y is None:
            raise InputError("fit takes both sides: fit(x, y)")
        rows = (as_rows(X, "X"), as_rows(y, "y"))
        known = as_pairs(anchors, "anchors")
        paired = None if evaluation is None else (as_rows(evaluation[0], "evaluation[0]"), as_rows(evaluation[1], "evaluation[1]"))
        with tempfile.TemporaryDirectory(prefix="himacl-") as temporary:
            folder = Path(temporary) / "run" if self.folder is None else Path(self.folder)
            recipe = Path(temporary) / "recipe.toml"
            recipe.write_text(_toml(self._recipe()))
            same = self._same_run(folder, rows, known)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _INPUTS).write_text(same)
            self._map, report = _himacl.train(
                *rows, known, paired, recipe, folder, _threads(self.threads), listener(self.progress)
            )
        self._anchors_only = None
        self.report_ = json.loads(report)
        self.n_features_in_ = rows[0].shape[1]
        return self

    def fit_transform(self, X: Any, y: Any = None, *, anchors: Any = None) -> NDArray[np.float32]:
        """:meth:`fit`, then :meth:`transform`."""
        return self.fit(X, y, anchors=anchors).transform(X)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes ``map.safetensors`` and ``map.json``, as a run's folder has them, into a folder that is made."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._fitted().save(Path(folder))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> MongeMap:
        """The map of a folder that :meth:`save` or ``himacl train`` wrote."""
        loaded = cls()
        loaded._map, loaded._anchors_only = _himacl.Map.load(Path(folder)), None
        return loaded

    def _recipe(self) -> dict[str, dict[str, Any]]:
        sections: dict[str, dict[str, Any]] = {
            # The arrays are handed over as they are; a recipe must name something.
            "data": {"source": "source", "target": "target"},
            "alignment": {"mode": self.mode},
            "coupling": {"recompute_every": self.recompute_every},
            "map": {"kind": self.kind, "layers": self.layers, "width": self.width, "inverse": bool(self.inverse)},
            "objective": {"kind": self.objective},
            "optimizer": {"learning_rate": float(self.learning_rate)},
            "train": {"epochs": self.epochs, "batch_size": self.batch_size, "seed": _seed(self.seed)},
        }
        for section, keys in checked_sections({} if self.recipe is None else self.recipe).items():
            sections.setdefault(section, {}).update(keys)
        return sections

    def _same_run(self, folder: Path, rows: tuple[NDArray[Any], ...], known: NDArray[np.int64] | None) -> str:
        """What tells whether a folder holds this very run; refuses one that holds another."""
        import hashlib

        digest = hashlib.sha256(_toml(self._recipe()).encode())
        for array in (*rows, *([] if known is None else [known])):
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(array.data)
        mark = f"sha256 of settings and arrays: {digest.hexdigest()}\n"
        if folder.exists() and any(folder.iterdir()):
            there = folder / _INPUTS
            if not there.is_file() or there.read_text() != mark:
                raise FileError(f"`{folder}` holds something else than a run of these settings on these arrays\nhint: choose another folder")
        return mark


#: The file that says what a run's folder was made from.
_INPUTS = "inputs.txt"


def _toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """A recipe as TOML: JSON's strings, numbers, lists and booleans are TOML's, too."""
    lines = []
    for section, keys in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{name} = {_value(value, f'{section}.{name}')}" for name, value in keys.items() if value is not None]
    return "\n".join(lines) + "\n"


def _value(value: Any, name: str) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {_value(item, f'{name}.{key}')}" for key, item in value.items() if item is not None)
        return f"{{ {inner} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(item, name) for item in value)}]"
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"`{name}` is {value!r}, which a recipe cannot hold") from error
