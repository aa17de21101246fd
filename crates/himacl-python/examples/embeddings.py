"""Embeddings of sentence-transformers or open_clip into `pair` and `Aligner`.

Any array of embeddings will do: the commented lines show where those of the two libraries come from. Here the emoji of two vendors,
embedded by one picture encoder, that the repository has.
"""

from pathlib import Path

import himacl
import numpy as np

# from sentence_transformers import SentenceTransformer
# x = SentenceTransformer("all-MiniLM-L6-v2").encode(texts)                       # numpy, float32
# model, _, preprocess = open_clip.create_model_and_transforms("ViT-B-32", pretrained="laion2b_s34b_b79k")
# y = model.encode_image(torch.stack([preprocess(image) for image in images]))     # a tensor is taken as it is
folder = Path(__file__).resolve().parents[3] / "models" / "quickstart"
x = np.load(folder / "emoji_fluent_efficientnet-lite0.npy", mmap_mode="r")
y = np.load(folder / "emoji_noto_efficientnet-lite0.npy", mmap_mode="r")

# One model embedded both sides: the space is shared, and each side's mean is all that keeps them apart.
centred = [np.float32(side) - np.float32(side).mean(0) for side in (x, y)]
shared = himacl.pair(*centred, cost="cosine")
print("one space:", shared, f"- {np.mean(shared.y_of_x == np.arange(len(x))):.1%} of the pairs are right")

# Two spaces, fifty known pairs.
rng = np.random.default_rng(0)
known = rng.choice(len(x), 50, replace=False)
aligner = himacl.Aligner(settings={"folds": 0}).fit(x, y, anchors=np.stack([known, known], axis=1))
scores = himacl.metrics.retrieval(*aligner.joint(x, y), csls_neighbours=10)
print(f"aligned from 50 pairs: R@1 {scores['image_to_text_R@1']:.3f}, R@10 {scores['image_to_text_R@10']:.3f}, FOSCTTM {scores['foscttm']:.4f}")
assert scores["image_to_text_R@10"] > 0.8
