"""The compiled module. Private: everything here may change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ConvexGradient",
    "Coupling",
    "Encoder",
    "Explainer",
    "ExternalJob",
    "Map",
    "__version__",
    "align",
    "baseline",
    "command_line",
    "encoders",
    "fit_convex_gradient",
    "match_candidates",
    "match_costs",
    "match_points",
    "pair",
    "pairing_accuracy",
    "retrieval",
    "sinkhorn_divergence",
    "train",
]
__version__: str

_Listener = Callable[[str], None] | None
_Rows = NDArray[Any]
_Matrix = NDArray[np.float32]
_Integers = NDArray[np.int64]

@final
class Coupling:
    def y_of_x(self) -> _Integers: ...
    def figures(self) -> str: ...
    def potentials(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None: ...
    def factors(self) -> tuple[_Matrix, _Matrix, NDArray[np.float64]] | None: ...
    def matrix(self) -> _Matrix: ...
    def barycentric_projection(self, y: _Rows) -> _Matrix: ...
    def entropic_map(self, points: _Rows) -> _Matrix: ...

@final
class Map:
    def forward(self, rows: _Rows, threads: int | None) -> _Matrix: ...
    def backward(self, rows: _Rows, threads: int | None) -> _Matrix: ...
    def forward_prepared(self, rows: _Rows, threads: int | None) -> _Matrix: ...
    def target_prepared(self, rows: _Rows, threads: int | None) -> _Matrix: ...
    def joint(self, source: _Rows, target: _Rows, threads: int | None) -> tuple[_Matrix, _Matrix]: ...
    def has_inverse(self) -> bool: ...
    def to_bytes(self) -> bytes: ...
    @staticmethod
    def from_bytes(bytes: bytes) -> Map: ...
    def save(self, folder: Path) -> None: ...
    @staticmethod
    def load(folder: Path) -> Map: ...

@final
class ConvexGradient:
    def forward(self, rows: _Rows, threads: int | None) -> _Matrix: ...
    def backward(self, rows: _Rows, threads: int | None) -> _Matrix: ...
    def potential(self, rows: _Rows, threads: int | None) -> NDArray[np.float32]: ...
    def dimension(self) -> int: ...
    def to_bytes(self) -> bytes: ...
    @staticmethod
    def from_bytes(bytes: bytes) -> ConvexGradient: ...
    def save(self, path: Path) -> None: ...
    @staticmethod
    def load(path: Path) -> ConvexGradient: ...

@final
class Explainer:
    def __new__(
        cls,
        x: _Rows,
        y: _Rows,
        y_of_x: _Integers,
        matching: tuple[_Integers, _Kind] | None,
        cost: str,
        potentials: tuple[list[float], list[float]] | None,
        texts: list[str | None],
        seed: int,
        threads: int | None,
        on_event: _Listener,
    ) -> Explainer: ...
    def explain(self, row: int, of_y: bool, count: int, threads: int | None) -> str: ...
    def single(self, row: int, of_y: bool, count: int, threads: int | None) -> str | None: ...

@final
class Encoder:
    def __new__(
        cls,
        name: str | None,
        repo: str | None,
        family: str | None,
        revision: str | None,
        local: Path | None,
        prompt: str | None,
        route: str | None,
        dimensions: int | None,
        device: str,
        threads: int | None,
        on_event: _Listener,
    ) -> Encoder: ...
    @property
    def name(self) -> str: ...
    @property
    def commit(self) -> str | None: ...
    @property
    def text_dimension(self) -> int | None: ...
    @property
    def image_dimension(self) -> int | None: ...
    def encode_texts(
        self, texts: list[str], batch_size: int, normalize: bool, threads: int | None, on_event: _Listener
    ) -> _Matrix: ...
    def encode_pictures(
        self,
        pictures: list[bytes | tuple[int, int, bytes]],
        batch_size: int,
        normalize: bool,
        threads: int | None,
        on_event: _Listener,
    ) -> _Matrix: ...

@final
class ExternalJob:
    def __new__(cls, work: Path, device: str, places: tuple[Path, Path, Path] | None) -> ExternalJob: ...
    @staticmethod
    def plan(settings: str, work: Path) -> None: ...
    @property
    def memory(self) -> int: ...
    @property
    def disk_bytes(self) -> int: ...
    @property
    def task_bytes(self) -> int: ...
    def opens(self, step: str, task: int) -> list[Path]: ...
    def reads(self, step: str, task: int) -> list[tuple[Path, list[tuple[int, int]]]]: ...
    def writes(self, step: str, task: int) -> list[Path]: ...
    def noted(self, step: str) -> list[Path]: ...
    def next_step(self) -> str | None: ...
    def tasks(self, step: str) -> int: ...
    def open_tasks(self, step: str) -> list[int]: ...
    def run(self, step: str, task: int, threads: int | None) -> None: ...
    def complete(self, step: str, seconds: float) -> str: ...
    def remove_unfinished(self) -> None: ...
    def outcome(self) -> str: ...

_Kind = tuple[float | None, int | None, _Integers, _Integers, _Integers, tuple[_Integers, _Integers] | None]

def match_points(
    x: _Rows, y: _Rows, cost: str, params: str, kind: _Kind, threads: int | None, on_event: _Listener
) -> dict[str, Any]: ...
def match_costs(costs: NDArray[Any], kind: _Kind, threads: int | None, on_event: _Listener) -> dict[str, Any]: ...
def match_candidates(
    shape: tuple[int, int],
    x: _Integers,
    y: _Integers,
    costs: NDArray[np.float64],
    kind: _Kind,
    threads: int | None,
    on_event: _Listener,
) -> dict[str, Any]: ...
def pair(
    x: _Rows,
    y: _Rows,
    cost: str,
    params: str,
    warm_start: bytes | _Integers | None,
    device: str,
    threads: int | None,
    on_event: _Listener,
) -> dict[str, Any]: ...
def baseline(
    x: _Rows,
    y: _Rows,
    cost: str,
    solver: str,
    params: str,
    a: NDArray[np.float64] | None,
    b: NDArray[np.float64] | None,
    seed: int,
    threads: int | None,
    on_event: _Listener,
) -> Coupling: ...
def align(
    source: _Rows,
    target: _Rows,
    mode: str,
    anchors: _Integers | None,
    params: str,
    threads: int | None,
    on_event: _Listener,
) -> tuple[Map, _Integers, NDArray[np.float32], str, Map | None]: ...
def fit_convex_gradient(
    source: _Rows,
    target: _Rows,
    units: int,
    steps: int,
    batch_size: int,
    seed: int,
    threads: int | None,
    on_event: _Listener,
) -> tuple[ConvexGradient, bool, float, float]: ...
def train(
    source: _Rows,
    target: _Rows,
    anchors: _Integers | None,
    evaluation: tuple[_Rows, _Rows] | None,
    recipe: Path,
    folder: Path,
    threads: int | None,
    on_event: _Listener,
) -> tuple[Map, str]: ...
def retrieval(x: _Rows, y: _Rows, csls_neighbours: int, threads: int | None) -> str: ...
def pairing_accuracy(
    x: _Rows, y: _Rows, truth: _Integers, pairing: _Integers | None, threads: int | None
) -> str: ...
def sinkhorn_divergence(a: _Rows, b: _Rows, threads: int | None) -> float: ...
def encoders() -> str: ...
def command_line(arguments: list[str]) -> int: ...
