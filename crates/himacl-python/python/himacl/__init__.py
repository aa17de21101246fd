"""Pairs two huge sets of embeddings one to one, and learns the map between them.

>>> import himacl, numpy as np
>>> x = np.float32([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
>>> y = np.float32([[0.0, 3.1], [0.1, 0.0], [1.0, 0.1]])
>>> himacl.pair(x, y).y_of_x
array([1, 2, 0])
"""

import os as _os

# The tensor library's own pool of threads waits by spinning, and does not survive a fork: work is parallel without it.
_os.environ.setdefault("CANDLE_NUM_THREADS", "1")

from . import baselines, metrics
from ._aligner import Aligner
from ._convex import ConvexGradient
from ._encoder import Encoder, encoders
from ._errors import Error, FileError, InputError, OutOfMemoryError
from ._estimator import NotFittedError
from ._explain import Explainer
from ._himacl import __version__
from ._matching import pair_candidates, pair_costs
from ._monge import MongeMap
from ._pair import Pairing, load, pair

__all__ = [
    "Aligner",
    "ConvexGradient",
    "Encoder",
    "Error",
    "Explainer",
    "FileError",
    "InputError",
    "MongeMap",
    "NotFittedError",
    "OutOfMemoryError",
    "Pairing",
    "__version__",
    "baselines",
    "encoders",
    "load",
    "metrics",
    "pair",
    "pair_candidates",
    "pair_costs",
]
