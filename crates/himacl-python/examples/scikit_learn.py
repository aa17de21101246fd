"""The aligner as a step of a scikit-learn pipeline: scaled, aligned from forty known pairs, pickled."""

import pickle

import himacl
import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

rng = np.random.default_rng(0)
x = (rng.normal(size=(600, 24)) * np.linspace(2, 0.3, 24)).astype(np.float32)
y = np.tanh(x @ (rng.normal(size=(24, 32)) * 0.2)).astype(np.float32)
order = rng.permutation(600)
target, truth = y[order], np.argsort(order)
known = np.stack([np.arange(40), truth[:40]], axis=1)

pipeline = Pipeline([("centre", StandardScaler(with_std=False)), ("align", himacl.Aligner(seed=1))])
pipeline.fit(x, target, align__anchors=known)
found = pipeline["align"].pairs_
print(f"{(truth[found[:, 0]] == found[:, 1]).mean():.1%} of all pairs are right, from {len(known)} known ones")

restored = pickle.loads(pickle.dumps(pipeline))
assert (restored.transform(x) == pipeline.transform(x)).all()
back = pipeline["align"].inverse_transform(target)
print("mapped", pipeline.transform(x).shape, "and back", back.shape, "-", clone(pipeline["align"]))
assert (truth[found[:, 0]] == found[:, 1]).mean() > 0.9
