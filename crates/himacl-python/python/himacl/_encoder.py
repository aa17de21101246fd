"""Pretrained encoders: texts and pictures to embeddings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _himacl
from ._errors import FileError, InputError
from ._arguments import threads as _threads
from ._progress import Progress, listener


def encoders() -> list[dict[str, Any]]:
    """What is known of each encoder of the registry: name, repository, family, dimension, licence."""
    return list(json.loads(_himacl.encoders()))


class Encoder:
    """A pretrained encoder, computed by the compiled module.

    Parameters
    ----------
    name : str, optional
        An encoder of the registry, such as ``all-minilm-l6-v2``: see :func:`encoders`.
    repo, family : str, optional
        Any repository of the Hugging Face Hub whose encoder is of a known family, instead of a name.
    revision : str, optional
        Its branch, tag or commit.
    local : path, optional
        A folder with the Hub's file names, for machines without a network.
    prompt : str, optional
        One of the prompts of the repository, for texts.
    route : str, optional
        The way of texts through a model that has several, such as ``query`` and ``document``.
    dimensions : int, optional
        Keep so many first coordinates of each embedding, for encoders that are trained for it (Matryoshka).
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    threads : int, optional
        Worker threads; one for each core by default.
    progress : bool or callable, optional
        As for :func:`himacl.pair`.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        repo: str | None = None,
        family: str | None = None,
        revision: str | None = None,
        local: str | os.PathLike[str] | None = None,
        prompt: str | None = None,
        route: str | None = None,
        dimensions: int | None = None,
        device: str = "auto",
        threads: int | None = None,
        progress: Progress = None,
    ) -> None:
        self.threads = threads
        self.progress = progress
        folder = None if local is None else Path(local)
        self._encoder = _himacl.Encoder(
            name, repo, family, revision, folder, prompt, route, dimensions, device, _threads(threads), listener(progress)
        )

    @property
    def name(self) -> str:
        """The encoder's name."""
        return self._encoder.name

    @property
    def commit(self) -> str | None:
        """The commit of the Hub's repository, where the files came from there."""
        return self._encoder.commit

    @property
    def text_dimension(self) -> int | None:
        """Coordinates of a text's embedding; ``None`` if it does not read texts."""
        return self._encoder.text_dimension

    @property
    def image_dimension(self) -> int | None:
        """Coordinates of a picture's embedding; ``None`` if it does not see pictures."""
        return self._encoder.image_dimension

    def encode(self, texts: str | Iterable[str], *, batch_size: int = 32, normalize: bool = True) -> NDArray[np.float32]:
        """The embeddings of texts, ``(n, d)``, float32; of one text, ``(d,)``. Unit rows unless ``normalize=False``.

        A text's embedding does not depend on what shares its batch, up to rounding.
        """
        if isinstance(texts, str):
            alone: NDArray[np.float32] = self.encode([texts], batch_size=batch_size, normalize=normalize)[0]
            return alone
        all_texts = list(texts)
        for at, text in enumerate(all_texts):
            if not isinstance(text, str):
                raise InputError(f"text {at} is {type(text).__name__}, expected str")
        return self._encoder.encode_texts(all_texts, _positive(batch_size), normalize, _threads(self.threads), listener(self.progress))

    def encode_images(self, images: Iterable[Any], *, batch_size: int = 32, normalize: bool = True) -> NDArray[np.float32]:
        """The embeddings of pictures, ``(n, d)``, float32. Unit rows unless ``normalize=False``.

        A picture is a path, the bytes of a file, a PIL image, or an array ``(height, width, 3)`` of uint8.
        """
        pictures = [_picture(image, at) for at, image in enumerate(images)]
        return self._encoder.encode_pictures(pictures, _positive(batch_size), normalize, _threads(self.threads), listener(self.progress))

    def __repr__(self) -> str:
        return f"Encoder({self.name!r})"


def _positive(batch_size: int) -> int:
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}, expected at least 1")
    return batch_size


def _picture(image: Any, at: int) -> bytes | tuple[int, int, bytes]:
    """A picture as the compiled module takes it."""
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, (str, os.PathLike)):
        try:
            return Path(image).read_bytes()
        except OSError as error:
            raise FileError(f"picture {at}: cannot read `{image}`: {error.strerror}") from error
    if hasattr(image, "convert") and hasattr(image, "tobytes") and hasattr(image, "size"):
        # As a lossless file: modes, transparency and orientation are then judged as for any other picture.
        import io

        buffer = io.BytesIO()
        image.save(buffer, format="PNG", compress_level=1, exif=image.getexif())
        return buffer.getvalue()
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise InputError(
            f"picture {at} has shape {array.shape} and type {array.dtype}, expected (height, width, 3) of uint8, a path, bytes or a PIL image"
        )
    return array.shape[0], array.shape[1], np.ascontiguousarray(array).tobytes()
