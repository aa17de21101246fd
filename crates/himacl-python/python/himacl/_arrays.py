"""Arrays of any library as rows that the compiled module reads without a copy."""

from __future__ import annotations

import logging
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._errors import InputError, OutOfMemoryError

log = logging.getLogger("himacl")

#: What is read as it lies in memory.
_KEPT = (np.dtype(np.float32), np.dtype(np.float16))


def as_array(value: Any, name: str) -> NDArray[Any]:
    """The numpy array behind ``value``: itself, or what ``__array__`` or ``__dlpack__`` give."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise InputError(f"{name} is a sparse matrix, expected a dense one\nhint: {name}.toarray(), or reduce it first, for example by PCA")
    if type(value).__module__.partition(".")[0] == "torch":
        return _of_torch(value)
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.from_dlpack(value)
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be read as an array: {error}") from error


def _of_torch(tensor: Any) -> NDArray[Any]:
    """Shares a tensor's memory where numpy has its type; moves it to the host if need be."""
    tensor = tensor.detach()
    if tensor.device.type != "cpu":
        log.info("copying a tensor from %s to the host", tensor.device)
        tensor = tensor.cpu()
    if str(tensor.dtype) == "torch.bfloat16":
        import torch

        # numpy has no bfloat16: its bits travel as uint16, as in _bits.
        return np.asarray(tensor.contiguous().view(torch.uint16).numpy()).view(_BF16)
    return np.asarray(tensor.numpy())


#: bfloat16 as it travels: a structured type nobody else uses, two bytes wide.
_BF16 = np.dtype([("bfloat16", np.uint16)])


def as_rows(value: Any, name: str, *, apart: bool = False) -> NDArray[Any]:
    """``value`` as C-ordered rows of float32, float16 or, as uint16, bfloat16; shares its memory where it can.

    With ``apart``, rows that float32 does not tell apart are refused. Other kinds of numbers, other orders and foreign byte orders are copied, once, and said so at log level INFO.
    """
    if value is None or isinstance(value, (str, bytes, os.PathLike)):
        hint = "" if value is None else f"\nhint: np.load({name}) reads a .npy file; `himacl pair` takes paths"
        raise InputError(f"{name} is {value!r}, expected an array of points, (points, coordinates){hint}")
    array = as_array(value, name)
    if array.ndim == 1 and array.dtype.kind == "O" and len(array) and np.ndim(array[0]) == 1:
        raise InputError(f"{name} has one list or array for each row, expected one array of two dimensions (points, coordinates)\nhint: np.stack({name})")
    if array.ndim != 2:
        raise InputError(f"{name} has shape {array.shape}, expected two dimensions (points, coordinates)" + _hint(array, name))
    if array.dtype == _BF16:
        return array.view(np.uint16)
    if array.dtype.name == "bfloat16":
        return np.ascontiguousarray(array).view(np.uint16)
    if array.dtype in _KEPT and array.dtype.isnative:
        if array.flags.c_contiguous and array.flags.aligned:
            return array
        log.info("%s is not in C order: copying it", name)
        return _copied(array, array.dtype, name)
    kind = array.dtype.kind
    if kind not in "fiub" or array.dtype.itemsize > 16:
        raise InputError(
            f"{name} has type {array.dtype}, expected numbers: float16, float32, float64, bfloat16 or integers{_type_hint(array, name)}"
        )
    log.info("%s is %s: copying it to float32", name, array.dtype)
    with np.errstate(over="ignore"):
        rows = _copied(array, np.dtype(np.float32), name)
    _refuse_overflow(array, rows, name)
    if apart:
        _refuse_rounding(array, name)
    return rows


def _copied(array: NDArray[Any], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """A C-ordered copy of another type."""
    try:
        return np.ascontiguousarray(array, dtype=dtype)
    except MemoryError as error:
        size = array.size * dtype.itemsize / 2**30
        raise OutOfMemoryError(
            f"a copy of {name} as {dtype} takes {size:.2f} GiB, which cannot be had\n"
            f"hint: hand it over as float32 or float16 in C order, which is read where it lies"
        ) from error


def _hint(array: NDArray[Any], name: str) -> str:
    if array.ndim == 1:
        return f"\nhint: {name}[:, None] makes points of one coordinate"
    if array.ndim > 2:
        return f"\nhint: {name}.reshape(len({name}), -1) makes one row of each item"
    return ""


def _type_hint(array: NDArray[Any], name: str) -> str:
    if array.dtype.kind == "c":
        return f"\nhint: np.concatenate([{name}.real, {name}.imag], axis=1) keeps both parts"
    if array.dtype.kind == "O":
        return f"\nhint: {name}.astype(np.float32), if all entries are numbers"
    return ""


def _refuse_overflow(before: NDArray[Any], after: NDArray[np.float32], name: str) -> None:
    if before.dtype.kind != "f" or before.dtype.itemsize <= 4:
        return
    lost = np.argwhere(np.isinf(after) & np.isfinite(before))
    if len(lost):
        row, column = lost[0]
        raise InputError(f"{name} has the value {before[row, column]} at row {row}, column {column}, which float32 cannot hold\nhint: scale the points")


def _refuse_rounding(before: NDArray[Any], name: str) -> None:
    """Rows that are nearer to one another than float32 can tell at their distance from zero; as ``himacl pair`` judges it."""
    if np.can_cast(before.dtype, np.float32):
        return
    some = before[:: len(before) // 512 + 1].astype(np.float64)
    some = some[np.isfinite(some).all(axis=1)]
    if not some.size:
        return
    spread = np.median(np.square(some - np.median(some, axis=0)).sum(axis=1))
    seen = np.abs(some) >= np.finfo(np.float32).tiny
    moved = np.median(np.square(np.where(seen, some - some.astype(np.float32), 0)).sum(axis=1))
    if moved > 1e-6 * spread > 0:
        raise InputError(
            f"the rows of {name} are too near to one another, and too far from zero, for float32, in which they are compared: rounding moves them "
            f"by {100 * np.sqrt(moved / spread):.2f}% of their distances from the middle\n"
            f"hint: subtract the same offset from both sides in {before.dtype} first"
        )


def as_pairs(value: Any, name: str) -> NDArray[np.int64] | None:
    """Known pairs, ``(k, 2)`` int64."""
    if value is None:
        return None
    array = as_array(value, name)
    if array.size == 0:
        return None
    if array.ndim != 2 or array.shape[1] != 2:
        raise InputError(f"{name} have shape {array.shape}, expected (k, 2): a row of the source and a row of the target each")
    return as_integers(array, name)


def as_integers(value: Any, name: str) -> NDArray[np.int64]:
    """Indices, int64; whole numbers of any kind."""
    array = as_array(value, name)
    if array.dtype.kind not in "iu":
        raise InputError(f"{name} has type {array.dtype}, expected integers")
    if array.dtype == np.uint64 and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise InputError(f"{name} holds {array.max()}, expected indices of rows")
    return np.ascontiguousarray(array, dtype=np.int64)


def as_weights(value: Any, name: str, points: int) -> NDArray[np.float64] | None:
    """Weights of points, ``(points,)``."""
    if value is None:
        return None
    array = np.ascontiguousarray(as_array(value, name), dtype=np.float64)
    if array.shape != (points,):
        raise InputError(f"{name} has shape {array.shape}, expected ({points},): a weight for each point")
    return array
