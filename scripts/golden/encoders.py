"""Small models with random weights and what PyTorch makes of them: crates/himacl-encode/tests/golden/encoders.

    scripts/golden/encoders.sh

Each folder holds what a repository on the Hub would (config.json, model.safetensors, tokenizer.json, ...), a description
for the registry (spec.toml), and expected.safetensors: the embeddings of texts.json and of pictures.npy by transformers,
timm or sentence-transformers. Texts are padded to one length and masked there; here they are packed. The seeds are fixed.
"""

import json
import sys
import zlib

import PIL
from safetensors.torch import save_file
import timm
import torch
import transformers as tr

from networks.pictures import convolutional, dinov2, dinov2_registers, dinov3, pictures, vit
from networks.shared import OUT, PICTURES, TEXTS
from networks.texts import bert, gemma3, modernbert, mpnet, nomic_experts, qwen3, qwen3_parts, rotary, router, sentence_transformers, static_embedding, static_tables, xlm_roberta
from networks.towers import chinese_clip, clip, clip_laion, clip_open_clip, metaclip2, mobileclip, siglip, siglip2, siglip2_naflex, timm_towers, eva_giants, jina_clip

if __name__ == "__main__":
    assert int(PIL.__version__.split(".")[0]) < 13, "Pillow 13 has another order of passes: scripts/golden/encoders.sh"
    print("torch", torch.__version__, "transformers", tr.__version__, "timm", timm.__version__)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "texts.json").write_text(json.dumps(TEXTS) + "\n")
    save_file({"pictures": torch.from_numpy(PICTURES)}, OUT / "pictures.safetensors")
    only = sys.argv[2:]
    for make in [bert, xlm_roberta, mpnet, modernbert, qwen3, clip, chinese_clip, siglip, vit, dinov2, convolutional, pictures]:
        if not only or make.__name__ in only:
            make()
    # Each with a seed of its own, so that others may join without changing them.
    for make in [clip_laion, clip_open_clip, siglip2, sentence_transformers, mobileclip, dinov2_registers, dinov3, siglip2_naflex, metaclip2, timm_towers, static_tables, static_embedding, router,
                 rotary, nomic_experts, gemma3, qwen3_parts, eva_giants, jina_clip]:
        if not only or make.__name__ in only:
            torch.manual_seed(zlib.crc32(make.__name__.encode()))
            make()
