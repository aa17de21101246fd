"""A first pairing and a picture of it: two clouds in the plane, partners joined by lines."""

import himacl
import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

rng = np.random.default_rng(0)
angle = rng.uniform(0, 2 * np.pi, 500)
x = rng.normal(size=(500, 2)) * 0.3
y = np.stack([2 * np.cos(angle), 2 * np.sin(angle)], axis=1) + rng.normal(size=(500, 2)) * 0.05

result = himacl.pair(x, y, certify=True)
print(result)

partners = y[result.y_of_x]
plt.plot(*np.stack([x, partners], axis=1).transpose(2, 1, 0), color="0.8", linewidth=0.5)
plt.scatter(*x.T, s=4)
plt.scatter(*y.T, s=4)
plt.gca().set_aspect("equal")
plt.savefig("pairing.png", dpi=150)
