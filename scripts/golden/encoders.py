"""Small models with random weights and what PyTorch makes of them: crates/himacl-encode/tests/golden/encoders.

    scripts/golden/encoders.sh

Each folder holds what a repository on the Hub would (config.json, model.safetensors, tokenizer.json, ...), a description
for the registry (spec.toml), and expected.safetensors: the embeddings of texts.json and of pictures.npy by transformers,
timm or sentence-transformers. Texts are padded to one length and masked there; here they are packed. The seeds are fixed.
"""

import copy
import json
import pathlib
import sys
import tempfile
import zlib
from functools import partial

import model2vec
from model2vec.persistence import save_pretrained as save_model2vec
import numpy as np
import open_clip as oc
import PIL
from sentence_transformers import SentenceTransformer, models as modules_of
import timm
import torch
import transformers as tr
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

OUT = pathlib.Path(sys.argv[1])
SIDE = 32
VOCABULARY = ["[PAD]", "<s>", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz0123456789.,!?'-", *("##" + c for c in "abcdefghijklmnopqrstuvwxyz0123456789"),
              "the", "cat", "dog", "sat", "on", "mat", "red", "##ing", "##s", "##ed", "photo", "of"]
TEXTS = ["a photo of the cat", "dog", "", "The cats sat on the red mat, barking and singing at 12 dogs!", "x" * 10, "the " * 60]
REAL = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
UNCHANGED = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
torch.manual_seed(20261123)
torch.set_grad_enabled(False)
rng = np.random.default_rng(20261123)
PICTURES = rng.integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
# Smooth beside noise: a gradient and a disc.
yy, xx = np.mgrid[0:SIDE, 0:SIDE]
PICTURES[1] = np.stack([xx * 8, yy * 8, 255 - xx * 4], -1)
PICTURES[2] = ((xx - 16) ** 2 + (yy - 12) ** 2 < 90)[..., None] * np.array([250, 120, 30], dtype=np.uint8)


def pixels(prepared=REAL):
    x = torch.from_numpy(PICTURES).float() / 255
    return ((x - torch.tensor(prepared["mean"])) / torch.tensor(prepared["std"])).permute(0, 3, 1, 2)


def tokenizer(around=("[CLS]", "[SEP]"), lowercase=True):
    made = Tokenizer(models.WordPiece({token: i for i, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    first, last = around
    template = " ".join(token for token in (first, "$A", last) if token)
    specials = [(token, VOCABULARY.index(token)) for token in around if token]
    made.post_processor = processors.TemplateProcessing(single=template, special_tokens=specials)
    return made


def tokens(made, length, pad=0, fill=False, texts=TEXTS):
    made.enable_truncation(length)
    ids = [encoding.ids for encoding in made.encode_batch(texts)]
    made.no_truncation()
    longest = length if fill else max(map(len, ids))
    padded = torch.tensor([row + [pad] * (longest - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    return padded, mask


def shaken(model):
    """Random weights that matter: norms away from one, biases and statistics away from zero."""
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            parameter.add_(torch.randn_like(parameter) * 0.2)
        else:
            parameter.copy_(torch.randn_like(parameter) * 1.0 / max(1, parameter[0].numel()) ** 0.5)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model.eval()


def save(name, model, family, dimension, expected, made=None, text="", image=False, pooling=None, modality="text"):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, tr.PreTrainedModel):
        model.save_pretrained(folder)
    else:
        save_file({k: v.contiguous() for k, v in model.state_dict().items() if "num_batches" not in k}, folder / "model.safetensors")
    if made is not None:
        made.save(str(folder / "tokenizer.json"), pretty=False)
    lines = [f'family = "{family}"', f'modality = "{modality}"', f'repo = "golden/{name}"', 'licence = "MIT OR Apache-2.0"', f"dimension = {dimension}"]
    if pooling:
        lines.append(f'pooling = "{pooling}"')
    if image:
        prepared = image if isinstance(image, dict) and "mean" in image else REAL
        sizes = [f"resize = {SIDE}", f"crop = {SIDE}"]
        if isinstance(image, dict) and "patches" in image:
            sizes = ["patches = { side = %d, most = %d }" % image["patches"]]
        lines += ["[image]", *sizes, 'interpolation = "bicubic"', 'background = "ignore"', f"mean = {prepared['mean']}", f"std = {prepared['std']}"]
    if made is not None:
        lines += ["[text]", text]
    (folder / "spec.toml").write_text("\n".join(lines) + "\n")
    save_file({k: v.float().contiguous() for k, v in expected.items()}, folder / "expected.safetensors")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{name}: {size / 1024:.0f} KiB, {', '.join(f'{k} {tuple(v.shape)} norm {v.norm(dim=-1).mean():.3f}' for k, v in expected.items())}")


def processor(name, **more):
    """How pictures are prepared, as transformers' processors save it."""
    described = {"do_normalize": True, "do_resize": True, "image_mean": REAL["mean"], "image_std": REAL["std"], "resample": 3, **more}
    (OUT / name / "preprocessor_config.json").write_text(json.dumps(described, indent=2) + "\n")


def mean(states, mask):
    mask = mask[..., None].float()
    return (states * mask).sum(1) / mask.sum(1)


def last(states, mask):
    return states[torch.arange(len(states)), mask.sum(1) - 1]


SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
V = len(VOCABULARY)


def bert():
    model = shaken(tr.BertModel(tr.BertConfig(vocab_size=V, max_position_embeddings=40, **SMALL), add_pooling_layer=False))
    made = tokenizer()
    ids, mask = tokens(made, 40)
    out = model(ids, attention_mask=mask).last_hidden_state
    save("bert", model, "bert", 32, {"text": mean(out, mask)}, made, pooling="mean")
    save("bert-cls", model, "bert", 32, {"text": out[:, 0]}, made, pooling="cls")


def xlm_roberta():
    config = tr.XLMRobertaConfig(vocab_size=V, max_position_embeddings=42, pad_token_id=1, type_vocab_size=1, **SMALL)
    model = shaken(tr.XLMRobertaModel(config, add_pooling_layer=False))
    made = tokenizer()
    ids, mask = tokens(made, 40, pad=1)
    save("xlm-roberta", model, "xlm-roberta", 32, {"text": mean(model(ids, attention_mask=mask).last_hidden_state, mask)}, made, pooling="mean")


def mpnet():
    config = tr.MPNetConfig(vocab_size=V, max_position_embeddings=82, pad_token_id=1, **SMALL)
    model = shaken(tr.MPNetModel(config, add_pooling_layer=False))
    made = tokenizer()
    ids, mask = tokens(made, 80, pad=1)
    save("mpnet", model, "mpnet", 32, {"text": mean(model(ids, attention_mask=mask).last_hidden_state, mask)}, made, pooling="mean")


def modernbert():
    config = tr.ModernBertConfig(vocab_size=V, max_position_embeddings=80, local_attention=8, pad_token_id=0, cls_token_id=3, sep_token_id=4, bos_token_id=3, eos_token_id=4, **SMALL | dict(num_hidden_layers=4))
    config._attn_implementation = "eager"
    model = shaken(tr.ModernBertModel(config))
    made = tokenizer()
    ids, mask = tokens(made, 80)
    save("modernbert", model, "modernbert", 32, {"text": mean(model(ids, attention_mask=mask).last_hidden_state, mask)}, made, pooling="mean")


def qwen3():
    config = tr.Qwen3Config(vocab_size=V, max_position_embeddings=80, num_key_value_heads=2, head_dim=16, **SMALL)
    model = shaken(tr.Qwen3Model(config))
    made = tokenizer((None, "[SEP]"))
    ids, mask = tokens(made, 80)
    save("qwen3", model, "qwen3", 32, {"text": last(model(ids, attention_mask=mask).last_hidden_state, mask)}, made)


def clip():
    vision = dict(image_size=SIDE, patch_size=8, **SMALL)
    text = dict(vocab_size=V, max_position_embeddings=20, eos_token_id=4, bos_token_id=3, pad_token_id=4, **SMALL)
    model = shaken(tr.CLIPModel(tr.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)))
    made = tokenizer()
    ids, mask = tokens(made, 20, pad=4)
    made_text = model.text_projection(model.text_model(ids, attention_mask=mask).pooler_output)
    made_image = model.visual_projection(model.vision_model(pixels()).pooler_output)
    save("clip", model, "clip", 24, {"text": made_text, "image": made_image}, made, image=True, modality="both")


def chinese_clip():
    vision = dict(image_size=SIDE, patch_size=8, **SMALL)
    text = dict(vocab_size=V, max_position_embeddings=40, pad_token_id=0, **SMALL)
    model = shaken(tr.ChineseCLIPModel(tr.ChineseCLIPConfig(text_config=text, vision_config=vision, projection_dim=24)))
    made = tokenizer()
    ids, mask = tokens(made, 40)
    made_text = model.text_projection(model.text_model(ids, attention_mask=mask)[0][:, 0])
    made_image = model.visual_projection(model.vision_model(pixels()).pooler_output)
    save("chinese-clip", model, "chinese-clip", 24, {"text": made_text, "image": made_image}, made, image=True, modality="both")


def siglip():
    vision = dict(image_size=SIDE, patch_size=8, **SMALL)
    text = dict(vocab_size=V, max_position_embeddings=24, pad_token_id=1, eos_token_id=1, bos_token_id=3, **SMALL)
    model = shaken(tr.SiglipModel(tr.SiglipConfig(text_config=text, vision_config=vision)))
    made = tokenizer((None, "<s>"))
    ids, _ = tokens(made, 24, pad=1, fill=True)
    expected = {"text": model.text_model(ids).pooler_output, "image": model.vision_model(pixels()).pooler_output}
    save("siglip", model, "siglip", 32, expected, made, "fill = 1", image=True, modality="both")


def vit():
    model = shaken(tr.ViTModel(tr.ViTConfig(image_size=SIDE, patch_size=8, **SMALL), add_pooling_layer=False))
    save("vit", model, "vit", 32, {"image": model(pixels()).last_hidden_state[:, 0]}, image=True, modality="image")


def dinov2():
    small = {k: v for k, v in SMALL.items() if k != "intermediate_size"}
    # Trained for 7 by 7 patches, run on 4 by 4: places are interpolated.
    model = shaken(tr.Dinov2Model(tr.Dinov2Config(image_size=56, patch_size=8, mlp_ratio=2, **small)))
    save("dinov2", model, "dinov2", 32, {"image": model(pixels()).last_hidden_state[:, 0]}, image=True, modality="image")
    processor("dinov2", image_processor_type="BitImageProcessor", size={"shortest_edge": SIDE}, do_center_crop=True, crop_size={"height": SIDE, "width": SIDE})


def clip_laion():
    """CLIP of LAION: the plain GELU."""
    vision = dict(image_size=SIDE, patch_size=8, hidden_act="gelu", **SMALL)
    text = dict(vocab_size=V, max_position_embeddings=20, eos_token_id=4, bos_token_id=3, pad_token_id=4, hidden_act="gelu", **SMALL)
    model = shaken(tr.CLIPModel(tr.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)))
    made = tokenizer()
    ids, mask = tokens(made, 20, pad=4)
    made_text = model.text_projection(model.text_model(ids, attention_mask=mask).pooler_output)
    made_image = model.visual_projection(model.vision_model(pixels()).pooler_output)
    save("clip-laion", model, "clip", 24, {"text": made_text, "image": made_image}, made, image=True, modality="both")
    processor("clip-laion", feature_extractor_type="CLIPFeatureExtractor", size=SIDE, do_center_crop=True, crop_size=SIDE)


def clip_open_clip():
    """CLIP by open_clip's own names; the end of a text has the largest number, by which open_clip finds it."""
    for name, quick in [("clip-open-clip", False), ("clip-open-clip-quick", True)]:
        vision = dict(layers=2, width=32, head_width=8, patch_size=8, image_size=SIDE)
        text = dict(context_length=20, vocab_size=V + 1, width=32, heads=4, layers=2)
        model = shaken(oc.CLIP(embed_dim=24, vision_cfg=vision, text_cfg=text, quick_gelu=quick))
        made = ended()
        ids, _ = tokens(made, 20, pad=0, fill=True)
        expected = {"text": model.encode_text(ids), "image": model.encode_image(pixels())}
        save(name, model, "clip", 24, expected, made, image=True, modality="both")
        described = {
            "model_cfg": {"embed_dim": 24, "quick_gelu": quick, "vision_cfg": vision, "text_cfg": text},
            "preprocess_cfg": {**REAL, "interpolation": "bicubic", "resize_mode": "shortest"},
        }
        (OUT / name / "open_clip_config.json").write_text(json.dumps(described, indent=2) + "\n")
        (OUT / name / "model.safetensors").rename(OUT / name / "open_clip_model.safetensors")


def ended():
    """A tokenizer whose end of text has the largest number, by which open_clip finds it."""
    made = tokenizer()
    end = ("[END]", V)
    made.add_special_tokens([end[0]])
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [END]", special_tokens=[("[CLS]", 3), end])
    return made


def mobileclip():
    """MobileCLIP by open_clip's names: FastViT with branches, merged, and in the form of the large ones; both ViTs."""
    form = partial(timm.models.fastvit.RepConditionalPosEnc, spatial_shape=(7, 7))
    small = dict(embed_dims=(16, 32, 64), mlp_ratios=(3, 3, 3), downsamples=(False, True, True), lkc_use_act=True, num_classes=24)
    net = timm.models.fastvit.FastVit
    fastvit = net(layers=(1, 2, 1), se_downsamples=(False, False, True), pos_embs=(None, None, form), token_mixers=("repmixer", "repmixer", "attention"), **small)
    large = net(layers=(1, 1, 1), se_downsamples=(False, False, False), pos_embs=(None, form, form), token_mixers=("repmixer", "attention", "attention"), stem_use_scale_branch=False, norm_layer=partial(timm.layers.LayerNorm2d, eps=1e-5), **small)
    hybrid = timm.models.vision_transformer_hybrid
    stem = hybrid.ConvStem(channels=(16, 16, 128), stride=(4, 2, 2), kernel_size=(4, 2, 2), padding=0, act_layer=torch.nn.GELU)
    vit = dict(img_size=SIDE, embed_dim=128, depth=1, num_heads=2, mlp_ratio=0.5, num_classes=24, global_pool="token")
    base = hybrid._create_vision_transformer_hybrid("vit_base_mci_224", backbone=stem, embed_args=dict(proj=False), no_embed_class=True, **vit)
    norm = partial(timm.layers.LayerNorm, eps=1e-5)
    clip = timm.models.vision_transformer.VisionTransformer(patch_size=8, pre_norm=True, norm_layer=norm, **vit)
    for name, trunk, model_name, pool, sees_all in [
        ("mobileclip-fastvit", fastvit, "fastvit_mci1", "avg", True),
        ("mobileclip-fastvit-large", large, "fastvit_mci3", "avg", True),
        ("mobileclip-vit", base, "vit_base_mci_224", "token", False),
        ("mobileclip-vit-clip", clip, "vit_large_patch14_clip_224", "token", True),
    ]:
        text = dict(context_length=20, vocab_size=V + 1, width=32, heads=4, layers=2, no_causal_mask=sees_all)
        model = torch.nn.Module()
        model.visual, model.text = torch.nn.Module(), oc.transformer.TextTransformer(output_dim=24, **text)
        model.visual.trunk = trunk
        shaken(model)
        made = ended()
        ids, _ = tokens(made, 20, pad=0, fill=True)
        expected = {"text": model.text(ids), "image": model.visual.trunk(pixels(UNCHANGED))}
        vision = dict(timm_model_name=model_name, timm_model_pretrained=False, timm_pool=pool, timm_proj=None, timm_drop=0.0, timm_drop_path=0.0, image_size=SIDE)
        described = {
            "model_cfg": {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text, "custom_text": True},
            "preprocess_cfg": {**UNCHANGED, "interpolation": "bilinear", "resize_mode": "shortest"},
        }
        forms = [(name, model)]
        if name == "mobileclip-fastvit":
            merged = copy.deepcopy(model)
            merged.visual.trunk = timm.utils.reparameterize_model(merged.visual.trunk)
            forms.append(("mobileclip-fastvit-merged", merged))
        for name, model in forms:
            save(name, model, "mobile-clip", 24, expected, made, image=UNCHANGED, modality="both")
            (OUT / name / "open_clip_config.json").write_text(json.dumps(described, indent=2) + "\n")
            (OUT / name / "model.safetensors").rename(OUT / name / "open_clip_model.safetensors")


def siglip2():
    """SigLIP2 with pictures of one size: SigLIP's net, texts in lower case, another token that fills them."""
    vision = dict(image_size=SIDE, patch_size=8, **SMALL)
    text = dict(vocab_size=V, max_position_embeddings=24, pad_token_id=0, eos_token_id=1, bos_token_id=3, **SMALL)
    model = shaken(tr.SiglipModel(tr.SiglipConfig(text_config=text, vision_config=vision)))
    made = tokenizer((None, "<s>"), lowercase=False)
    ids, _ = tokens(made, 24, pad=0, fill=True, texts=[text.lower() for text in TEXTS])
    expected = {"text": model.text_model(ids).pooler_output, "image": model.vision_model(pixels()).pooler_output}
    save("siglip2", model, "siglip", 32, expected, made, "fill = 0\nlowercase = true", image=True, modality="both")
    processor("siglip2", image_processor_type="SiglipImageProcessor", size={"height": SIDE, "width": SIDE}, do_rescale=True, rescale_factor=1 / 255)
    described = {"do_lower_case": True, "pad_token": {"content": "[PAD]", "special": True}, "tokenizer_class": "GemmaTokenizer"}
    (OUT / "siglip2" / "tokenizer_config.json").write_text(json.dumps(described, indent=2) + "\n")


def sentence_transformers():
    """A folder of Sentence-Transformers: modules.json with pooling, a dense layer, unit length; prompts; a shorter length."""
    name = "sentence-transformers"
    with tempfile.TemporaryDirectory() as folder:
        model = shaken(tr.BertModel(tr.BertConfig(vocab_size=V, max_position_embeddings=40, **SMALL), add_pooling_layer=False))
        model.save_pretrained(folder)
        specials = dict(unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]")
        tr.PreTrainedTokenizerFast(tokenizer_object=tokenizer(lowercase=False), **specials).save_pretrained(folder)
        modules = [
            modules_of.Transformer(folder, max_seq_length=24, do_lower_case=True),
            modules_of.Pooling(32, pooling_mode="cls"),
            modules_of.Dense(32, 24),
            modules_of.Normalize(),
        ]
        prompts = {"query": "the red ", "passage": "a photo of "}
        model = SentenceTransformer(modules=modules, prompts=prompts, default_prompt_name="passage", device="cpu")
    shaken(model[2])
    model.save(str(OUT / name), create_model_card=False)
    expected = {"text": torch.from_numpy(model.encode(TEXTS)), "query": torch.from_numpy(model.encode(TEXTS, prompt_name="query"))}
    save_file(expected, OUT / name / "expected.safetensors")
    lines = ['family = "sentence-transformers"', 'modality = "text"', f'repo = "golden/{name}"', 'licence = "MIT OR Apache-2.0"', "dimension = 24", "[text]"]
    (OUT / name / "spec.toml").write_text("\n".join(lines) + "\n")
    print(name, sorted(str(path.relative_to(OUT / name)) for path in (OUT / name).rglob("*") if path.is_file()))


def describe(name, family, dimension, expected, more=""):
    """The description and the expected values of a folder that another program has written."""
    lines = [f'family = "{family}"', 'modality = "text"', f'repo = "golden/{name}"', 'licence = "MIT OR Apache-2.0"', f"dimension = {dimension}", "[text]", more]
    (OUT / name / "spec.toml").write_text("\n".join(lines).strip() + "\n")
    save_file({key: torch.as_tensor(value).float().contiguous() for key, value in expected.items()}, OUT / name / "expected.safetensors")
    print(name, sorted(str(path.relative_to(OUT / name)) for path in (OUT / name).rglob("*") if path.is_file()))


def static_tables():
    """model2vec's models: words with unknown ones left out, cut texts; a quantized vocabulary with factors, unigrams."""
    words = [word for word in dict.fromkeys(VOCABULARY) if word not in "!12"]
    made = Tokenizer(models.WordPiece({token: i for i, token in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = tokenizer().post_processor
    vectors = torch.randn(len(words), 24).numpy()
    model = model2vec.StaticModel(vectors, made, {"model_type": "model2vec"}, normalize=True, max_length=9)
    name = "static-model2vec"
    save_static(name, model)
    describe(name, "static", 24, {"text": model.encode(TEXTS)})

    pieces = [("<unk>", 0.0), *((token.replace("##", ""), -2.0 - 0.1 * i) for i, token in enumerate(sorted(set(VOCABULARY[5:41]) | {"▁", "▁the", "▁cat", "ing"})))]
    made = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    mapping = np.array([i % 17 for i in range(len(pieces))], dtype=np.int64)
    factors = rng_of("static").uniform(0.2, 2.0, len(pieces))
    model = model2vec.StaticModel(torch.randn(17, 20).numpy(), made, {"model_type": "model2vec"}, weights=factors, token_mapping=mapping, max_length=None)
    name = "static-model2vec-quantized"
    save_static(name, model)
    describe(name, "static", 20, {"text": model.encode(TEXTS)})


def rng_of(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def save_static(name, model):
    """Without the card, which would be filled in from elsewhere."""
    save_model2vec(OUT / name, model.embedding, model.tokenizer, model.config, create_model_card=False, weights=model.weights, mapping=model.token_mapping)


def static_embedding():
    """Sentence-Transformers' StaticEmbedding in a folder of its own, as the models of 2025 have it, and a layer behind."""
    name = "static-sentence-transformers"
    made = tokenizer()
    modules = [modules_of.StaticEmbedding(made, torch.randn(V, 24).numpy()), modules_of.Dense(24, 20, bias=False, activation_function=torch.nn.GELU()), modules_of.Normalize()]
    prompts = {"query": "the red ", "document": ""}
    model = SentenceTransformer(modules=modules, prompts=prompts, device="cpu")
    shaken(model[1])
    model.save(str(OUT / name), create_model_card=False)
    (OUT / name / "0_StaticEmbedding").mkdir(exist_ok=True)
    for file in ["model.safetensors", "tokenizer.json"]:
        (OUT / name / file).rename(OUT / name / "0_StaticEmbedding" / file)
    listed = json.loads((OUT / name / "modules.json").read_text())
    listed[0] |= {"path": "0_StaticEmbedding", "type": "sentence_transformers.models.StaticEmbedding"}
    (OUT / name / "modules.json").write_text(json.dumps(listed, indent=2) + "\n")
    describe(name, "static", 20, {"text": model.encode(TEXTS), "query": model.encode(TEXTS, prompt_name="query")})


def router():
    """Two ways for texts, a static one and BERT, and modules of all kinds behind them."""
    name = "router"
    with tempfile.TemporaryDirectory() as folder:
        config = tr.BertConfig(vocab_size=V, max_position_embeddings=40, **SMALL | dict(num_hidden_layers=1))
        shaken(tr.BertModel(config, add_pooling_layer=False)).save_pretrained(folder)
        specials = dict(unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]")
        tr.PreTrainedTokenizerFast(tokenizer_object=tokenizer(), **specials).save_pretrained(folder)
        document = [modules_of.Transformer(folder, max_seq_length=24), modules_of.Pooling(32, pooling_mode="mean"), modules_of.Dense(32, 24, use_residual=True)]
        query = [modules_of.StaticEmbedding(tokenizer(), torch.randn(V, 24).numpy())]
        behind = [modules_of.LayerNorm(24), modules_of.Dense(24, 24, activation_function=torch.nn.Identity(), use_residual=True), modules_of.Normalize()]
        ways = modules_of.Router({"query": query, "document": document}, default_route="document")
        model = SentenceTransformer(modules=[ways, *behind], device="cpu")
    for module in [document[-1], *behind[:2]]:
        shaken(module)
    model.save(str(OUT / name), create_model_card=False)
    expected = {"text": model.encode(TEXTS), "query": model.encode(TEXTS, task="query")}
    describe(name, "sentence-transformers", 24, expected)


def rotary():
    """Nomic's BERT and Alibaba's, which transformers has since version 5 and stores by the names of the Hub's repositories;
    their own configurations, too. Alibaba's fixed scaling of positions is not in transformers: its frequencies are set."""
    def text(model, made, pad):
        ids, mask = tokens(made, 80, pad=pad)
        return model(ids, attention_mask=mask).last_hidden_state, mask

    made = tokenizer()
    model = shaken(tr.NomicBertModel(tr.NomicBertConfig(vocab_size=V, max_position_embeddings=80, **SMALL)))
    states, mask = text(model, made, 0)
    save("nomic-bert", model, "nomic-bert", 32, {"text": mean(states, mask)}, made, pooling="mean")
    own = {"model_type": "nomic_bert", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 48, "n_positions": 80, "layer_norm_epsilon": 1e-12, "activation_function": "swiglu", "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": False, "rotary_emb_scale_base": None, "rotary_scaling_factor": None, "qkv_proj_bias": False, "causal": False, "prenorm": False, "scale_attn_weights": True, "parallel_block": False, "use_rms_norm": False}
    own["auto_map"] = {"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"}
    save("nomic-bert-own", model, "nomic-bert", 32, {"text": mean(states, mask)}, made, pooling="mean")
    (OUT / "nomic-bert-own" / "config.json").write_text(json.dumps(own, indent=2) + "\n")

    model = shaken(tr.GteModel(tr.GteConfig(vocab_size=V, max_position_embeddings=80, **SMALL)))
    states, _ = text(model, made, 1)
    save("gte", model, "gte", 32, {"text": states[:, 0]}, made, pooling="cls")
    factor, base, width = 8.0, 20_000.0, 8
    frequencies = (base * factor) ** (-torch.arange(0, width, 2).float() / width) / factor ** (2 / width)
    model.rotary_emb.inv_freq.copy_(frequencies)
    states, _ = text(model, made, 1)
    save("gte-own", model, "gte", 32, {"text": states[:, 0]}, made, pooling="cls")
    own = json.loads((OUT / "gte-own" / "config.json").read_text())
    del own["rope_parameters"]
    own |= {"model_type": "new", "position_embedding_type": "rope", "rope_theta": base, "rope_scaling": {"factor": factor, "type": "ntk"}, "layer_norm_type": "layer_norm", "logn_attention_scale": False}
    own["auto_map"] = {"AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"}
    (OUT / "gte-own" / "config.json").write_text(json.dumps(own, indent=2) + "\n")


class ExpertBlock(torch.nn.Module):
    """A block of nomic-embed-text-v2-moe, written here from what its published code computes (nomic-ai/contrastors and the
    Hub's modeling_hf_nomic_bert.py), since transformers has no experts in this model: attention with biases and rotary
    positions, then experts in every second block or two plain layers, each followed by a normalisation of the sum."""

    def __init__(self, width, inner, heads, experts, chosen):
        super().__init__()
        self.heads, self.chosen = heads, chosen
        self.attn = torch.nn.ModuleDict({"Wqkv": torch.nn.Linear(width, 3 * width), "out_proj": torch.nn.Linear(width, width)})
        self.norm1, self.norm2 = torch.nn.LayerNorm(width, eps=1e-5), torch.nn.LayerNorm(width, eps=1e-5)
        if experts:
            self.mlp = torch.nn.ModuleDict({"router": torch.nn.ModuleDict({"layer": torch.nn.Linear(width, experts, bias=False)})})
            inside = torch.nn.ParameterDict({"w1": torch.nn.Parameter(torch.empty(experts * inner, width)), "w2": torch.nn.Parameter(torch.empty(experts * inner, width))})
            holder = torch.nn.Module()
            holder.mlp, holder.bias = inside, torch.nn.Parameter(torch.zeros(width))
            self.mlp["experts"] = holder
        else:
            self.mlp = torch.nn.ModuleDict({"fc1": torch.nn.Linear(width, inner), "fc2": torch.nn.Linear(inner, width)})

    def forward(self, x):
        n, length, width = x.shape
        query, key, value = self.attn["Wqkv"](x).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        size = query.shape[-1]
        angles = torch.arange(length)[:, None] * 10_000.0 ** (-torch.arange(0, size, 2) / size)
        cos, sin = (torch.cat([f(angles)] * 2, -1) for f in (torch.cos, torch.sin))
        turned = [x * cos + torch.cat([-x[..., size // 2:], x[..., : size // 2]], -1) * sin for x in (query, key)]
        mixed = torch.nn.functional.scaled_dot_product_attention(*turned, value).transpose(1, 2).reshape(n, length, width)
        x = self.norm1(x + self.attn["out_proj"](mixed))
        return self.norm2(x + self.layers(x.view(-1, width)).view(x.shape))

    def layers(self, x):
        gelu = torch.nn.functional.gelu
        if "fc1" in self.mlp:
            return self.mlp["fc2"](gelu(self.mlp["fc1"](x)))
        shares = self.mlp["router"]["layer"](x).softmax(-1)
        best, which = shares.topk(self.chosen, -1)
        holder = self.mlp["experts"]
        up, down = (holder.mlp[name].view(shares.shape[1], -1, x.shape[1]) for name in ("w1", "w2"))
        parts = [best[:, i, None] * torch.einsum("tf,tfh->th", gelu(torch.einsum("th,tfh->tf", x, up[which[:, i]])), down[which[:, i]]) for i in range(self.chosen)]
        return sum(parts) + holder.bias


def nomic_experts():
    model = torch.nn.Module()
    model.embeddings = torch.nn.ModuleDict({"word_embeddings": torch.nn.Embedding(V, 32), "token_type_embeddings": torch.nn.Embedding(1, 32)})
    model.emb_ln = torch.nn.LayerNorm(32, eps=1e-5)
    model.encoder = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([ExpertBlock(32, 24, 4, experts, 2) for experts in (0, 4, 0, 4)])})
    shaken(model)
    for block in model.encoder["layers"]:
        # Experts that matter, and are chosen clearly.
        if "experts" in block.mlp:
            block.mlp["experts"].mlp["w2"].mul_(2.0)
            block.mlp["router"]["layer"].weight.mul_(4.0)
    made = tokenizer()
    rows = []
    for ids in (encoding.ids for encoding in made.encode_batch(TEXTS)):
        x = model.emb_ln(model.embeddings["word_embeddings"](torch.tensor([ids])) + model.embeddings["token_type_embeddings"].weight[0])
        for block in model.encoder["layers"]:
            x = block(x)
        rows.append(x[0].mean(0))
    name = "nomic-bert-experts"
    save(name, model, "nomic-bert", 32, {"text": torch.stack(rows)}, made, pooling="mean")
    config = {"model_type": "nomic_bert", "n_embd": 32, "n_layer": 4, "n_head": 4, "n_inner": 24, "n_positions": 80, "layer_norm_epsilon": 1e-5, "activation_function": "gelu", "rotary_emb_base": 10000, "rotary_emb_fraction": 1.0, "moe_every_n_layers": 2, "moe_top_k": 2, "num_experts": 4, "num_shared_experts": 0, "expert_choice_router": False, "moe_normalize_expert_weights": False}
    (OUT / name / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def gemma3():
    """EmbeddingGemma: windows of attention that look both ways, two dense layers behind the mean."""
    name = "embedding-gemma"
    with tempfile.TemporaryDirectory() as folder:
        config = tr.Gemma3TextConfig(vocab_size=V, max_position_embeddings=80, num_key_value_heads=2, head_dim=16, query_pre_attn_scalar=16, sliding_window=8, use_bidirectional_attention=True, layer_types=["sliding_attention", "full_attention", "sliding_attention"], pad_token_id=0, bos_token_id=3, eos_token_id=4, **SMALL | dict(num_hidden_layers=3))
        shaken(tr.Gemma3TextModel(config)).save_pretrained(folder)
        specials = dict(unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]")
        tr.PreTrainedTokenizerFast(tokenizer_object=tokenizer(), **specials).save_pretrained(folder)
        dense = [modules_of.Dense(32, 40, bias=False, activation_function=torch.nn.Identity()), modules_of.Dense(40, 24, bias=False, activation_function=torch.nn.Identity())]
        modules = [modules_of.Transformer(folder, max_seq_length=60, model_args={"attn_implementation": "eager"}), modules_of.Pooling(32, pooling_mode="mean"), *dense, modules_of.Normalize()]
        prompts = {"query": "the red ", "document": "a photo of "}
        model = SentenceTransformer(modules=modules, prompts=prompts, device="cpu")
    for layer in dense:
        shaken(layer)
    model.save(str(OUT / name), create_model_card=False)
    describe(name, "gemma3", 24, {"text": model.encode(TEXTS), "query": model.encode(TEXTS, prompt_name="query")})


def qwen3_parts():
    """Weights in several files, in bf16, as the large ones have them."""
    config = tr.Qwen3Config(vocab_size=V, max_position_embeddings=80, num_key_value_heads=2, head_dim=16, **SMALL)
    model = shaken(tr.Qwen3Model(config))
    for parameter in model.parameters():
        parameter.copy_(parameter.bfloat16())
    name = "qwen3-parts"
    made = tokenizer((None, "[SEP]"))
    ids, mask = tokens(made, 80)
    expected = {"text": last(model(ids, attention_mask=mask).last_hidden_state, mask)}
    save(name, model, "qwen3", 32, expected, made)
    (OUT / name / "model.safetensors").unlink()
    model.to(torch.bfloat16).save_pretrained(OUT / name, max_shard_size="20KB")


def timm_model(name, family, model):
    model = shaken(model)
    out = model.forward_head(model.forward_features(pixels()), pre_logits=True)
    save(name, model, family, out.shape[1], {"image": out}, image=True, modality="image")


def convolutional():
    config = tr.ResNetConfig(embedding_size=8, hidden_sizes=[16, 24, 32, 40], depths=[1, 2, 1, 1], layer_type="bottleneck")
    model = shaken(tr.ResNetModel(config))
    save("resnet-transformers", model, "resnet", 40, {"image": model(pixels()).pooler_output[:, :, 0, 0]}, image=True, modality="image")
    blocks = timm.models.resnet
    timm_model("resnet-basic", "resnet", blocks.ResNet(blocks.BasicBlock, [1, 2, 1, 1], num_classes=3, channels=(8, 16, 24, 32)))
    timm_model("resnet-bottleneck", "resnet", blocks.ResNet(blocks.Bottleneck, [1, 2, 1, 1], num_classes=3, channels=(4, 8, 8, 12)))
    config = tr.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 2, 1, 1])
    model = shaken(tr.ConvNextModel(config))
    save("convnext-transformers", model, "convnext", 32, {"image": model(pixels()).pooler_output}, image=True, modality="image")
    timm_model("convnext-timm", "convnext", timm.models.convnext.ConvNeXt(num_classes=3, depths=(1, 2, 1, 1), dims=(8, 16, 24, 32)))
    timm_model("efficientnet-lite", "efficientnet-lite", small_lite())
    timm_model("mobilenet-v2", "mobilenet-v2", small_mobilenet())


def small(generate, name, **extra):
    """timm's own definition with few channels: rounding to multiples of two in the place of eight."""
    net = timm.models.efficientnet
    kept = net.round_channels
    net.round_channels = lambda channels, multiplier=1.0, divisor=8, **_: max(4, int(channels * multiplier / 2) * 2)
    try:
        return generate(name, channel_multiplier=0.12, num_classes=3, **extra)
    finally:
        net.round_channels = kept


def small_lite():
    net = timm.models.efficientnet
    return small(net._gen_efficientnet_lite, "tf_efficientnet_lite0", depth_multiplier=0.6, pad_type="same", bn_eps=1e-3)


def small_mobilenet():
    return small(timm.models.efficientnet._gen_mobilenet_v2, "mobilenetv2_100", depth_multiplier=0.6)


def pictures():
    """What Pillow makes of pictures of many shapes: shorter side to 24 or both sides, square of 20 from the centre.

    Pillow before 13, which models were trained with: it resizes lines first, whatever the shape.
    """
    rng = np.random.default_rng(7)
    folder = OUT / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    cases = {}
    for name, (width, height) in {"odd": (61, 47), "tiny": (5, 3), "portrait": (33, 120), "wide": (300, 31), "huge": (1800, 1400), "one": (1, 1), "same": (24, 24)}.items():
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        y, x = np.mgrid[0:height, 0:width]
        smooth = np.stack([(x * 255) // max(1, width - 1), (y * 255) // max(1, height - 1), ((x // 4 + y // 4) % 2) * 255], -1).astype(np.uint8)
        array = smooth if name == "huge" else np.where((x + y)[..., None] % 3 == 0, noise, smooth).astype(np.uint8)
        image = Image.fromarray(array)
        image.save(folder / f"{name}.png", optimize=True)
        cases[name] = image
    alpha = np.dstack([rng.integers(0, 256, (40, 30, 3), dtype=np.uint8), (np.mgrid[0:40, 0:30][1] * 8).astype(np.uint8)])
    image = Image.fromarray(alpha)
    image.save(folder / "alpha.png", optimize=True)
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    cases["alpha"] = Image.alpha_composite(white, image).convert("RGB")
    palette = cases["odd"].quantize(16)
    palette.save(folder / "palette.png", optimize=True)
    cases["palette"] = palette.convert("RGB")
    grey = Image.fromarray(rng.integers(0, 256, (40, 50), dtype=np.uint8))
    grey.save(folder / "grey.png", optimize=True)
    cases["grey"] = grey.convert("RGB")
    filters = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
    expected = {}
    for name, image in cases.items():
        for filter_name, resample in filters.items():
            for fit in ("shortest", "stretch"):
                width, height = image.size
                size = (24, 24)
                if fit == "shortest":
                    size = (24, int(24 * height / width)) if width <= height else (int(24 * width / height), 24)
                resized = image.resize(size, resample)
                left, top = (round((side - 20) / 2.0) for side in size)
                expected[f"{name}.{filter_name}.{fit}"] = torch.from_numpy(np.asarray(resized.crop((left, top, left + 20, top + 20))).copy())
    save_file(expected, folder / "expected.safetensors")


def dinov2_registers():
    """DINOv2 with registers, its places moved in another way, and the gated layers of its giant."""
    small = {k: v for k, v in SMALL.items() if k != "intermediate_size"}
    model = shaken(tr.Dinov2WithRegistersModel(tr.Dinov2WithRegistersConfig(image_size=56, patch_size=8, mlp_ratio=2, num_register_tokens=3, **small)))
    save("dinov2-registers", model, "dinov2", 32, {"image": model(pixels()).last_hidden_state[:, 0]}, image=True, modality="image")
    model = shaken(tr.Dinov2Model(tr.Dinov2Config(image_size=SIDE, patch_size=8, mlp_ratio=2, use_swiglu_ffn=True, **small)))
    save("dinov2-gated", model, "dinov2", 32, {"image": model(pixels()).last_hidden_state[:, 0]}, image=True, modality="image")


def dinov3():
    """DINOv3: rotary positions, registers, no bias of keys; the gated layers of the larger ones; ConvNeXt."""
    for name, gated in [("dinov3", False), ("dinov3-gated", True)]:
        config = tr.DINOv3ViTConfig(image_size=64, patch_size=8, num_register_tokens=4, use_gated_mlp=gated, hidden_act="silu" if gated else "gelu", **SMALL)
        model = shaken(tr.DINOv3ViTModel(config))
        save(name, model, "dinov3", 32, {"image": model(pixels()).pooler_output}, image=True, modality="image")
        processor(name, image_processor_type="DINOv3ViTImageProcessorFast", resample=2, size={"height": SIDE, "width": SIDE}, do_rescale=True, rescale_factor=1 / 255)
    tower = dict(patch_size=8, dynamic_img_size=True, embed_dim=64, depth=1, num_heads=1, mlp_ratio=1, qkv_bias=False, init_values=1e-5, rope_type="dinov3", rope_temperature=100, rope_rotate_half=True, use_rot_pos_emb=True, use_abs_pos_emb=False, num_reg_tokens=4, use_fc_norm=False, norm_layer=partial(timm.layers.LayerNorm, eps=1e-5), num_classes=0, img_size=SIDE)
    for name, gated, size in [("dinov3-timm", False, "small"), ("dinov3-timm-gated", True, "small_plus")]:
        model = shaken(timm.models.eva.Eva(swiglu_mlp=gated, swiglu_align_to=8 if gated else 0, **tower))
        features = model.forward_features(pixels())
        kept = {"image": model.forward_head(features)} if gated else {"image": features[:, 0]}
        save(name, model, "dinov3", 64, kept, image=True, modality="image", pooling=None if gated else "cls")
        described = {
            "architecture": f"vit_{size}_patch16_dinov3",
            "global_pool": "avg",
            "pretrained_cfg": {"input_size": [3, SIDE, SIDE], "crop_pct": 1.0, "crop_mode": "center", "interpolation": "bicubic", **REAL},
        }
        (OUT / name / "config.json").write_text(json.dumps(described, indent=2) + "\n")
    config = tr.DINOv3ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 2, 1, 1])
    model = shaken(tr.DINOv3ConvNextModel(config))
    save("dinov3-convnext", model, "dinov3", 32, {"image": model(pixels()).pooler_output}, image=True, modality="image")


def siglip2_naflex():
    """SigLIP2 with pictures of their own proportions: what its processor makes of sizes, and embeddings of such grids."""
    name = "siglip2-naflex"
    vision = dict(num_patches=36, patch_size=8, **SMALL)
    text = dict(vocab_size=V, max_position_embeddings=24, pad_token_id=0, eos_token_id=1, bos_token_id=3, **SMALL)
    model = shaken(tr.Siglip2Model(tr.Siglip2Config(text_config=text, vision_config=vision)))
    made = tokenizer((None, "<s>"), lowercase=False)
    ids, _ = tokens(made, 24, pad=0, fill=True, texts=[text.lower() for text in TEXTS])
    patches = tr.models.siglip2.image_processing_siglip2.convert_image_to_patches

    def embed(images):
        """Each as large as it is: patches, padded to as many as the largest has."""
        rows = [patches(image, 8) for image in images]
        most = max(map(len, rows))
        padded = torch.stack([torch.nn.functional.pad(row, (0, 0, 0, most - len(row))) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (most - len(row)) for row in rows])
        shapes = torch.tensor([[image.shape[1] // 8, image.shape[2] // 8] for image in images])
        return model.vision_model(padded, mask, shapes).pooler_output

    everywhere = pixels()
    parts = [everywhere[0, :, :16, :], everywhere[1, :, :, :24], everywhere[2], everywhere[1, :, 8:16, :8]]
    expected = {"text": model.text_model(ids).pooler_output, "image": embed(list(everywhere)), "parts": embed(parts)}
    size = tr.models.siglip2.image_processing_siglip2.get_image_size_for_max_num_patches
    shapes = [(480, 640), (64, 64), (1, 1), (1000, 30), (31, 333), (7, 5), (3000, 2000), (4000, 100), (1, 5000), (768, 1024)]
    for patch, most in [(8, 16), (16, 256), (14, 729)]:
        made_sizes = [(*shape, *size(*shape, patch, most)) for shape in shapes]
        expected[f"sizes.{patch}.{most}"] = torch.tensor(made_sizes, dtype=torch.float32)
    save(name, model, "siglip", 32, expected, made, "fill = 0\nlowercase = true", image={"patches": (8, 16)}, modality="both")
    processor(name, image_processor_type="Siglip2ImageProcessorFast", resample=2, patch_size=8, max_num_patches=16, do_rescale=True, rescale_factor=1 / 255)
    described = {"do_lower_case": True, "pad_token": "[PAD]"}
    (OUT / name / "tokenizer_config.json").write_text(json.dumps(described, indent=2) + "\n")


def metaclip2():
    """MetaCLIP 2: CLIP with a tokenizer of many languages, a text read at its end token."""
    vision = dict(image_size=SIDE, patch_size=8, **SMALL)
    text = dict(vocab_size=V, max_position_embeddings=20, eos_token_id=4, bos_token_id=1, pad_token_id=0, **SMALL)
    model = shaken(tr.MetaClip2Model(tr.MetaClip2Config(text_config=text, vision_config=vision, projection_dim=24)))
    made = tokenizer(("<s>", "[SEP]"))
    ids, mask = tokens(made, 20, pad=0)
    made_text = model.text_projection(model.text_model(ids, attention_mask=mask).pooler_output)
    made_image = model.visual_projection(model.vision_model(pixels()).pooler_output)
    save("metaclip2", model, "clip", 24, {"text": made_text, "image": made_image}, made, image=True, modality="both")
    processor("metaclip2", image_processor_type="CLIPImageProcessorFast", size={"shortest_edge": SIDE}, do_center_crop=True, crop_size={"height": SIDE, "width": SIDE})


def timm_towers():
    """Perception Encoder and EVA-CLIP by open_clip's names: rotary positions of neighbours, pooling by attention, gated
    layers with normalisations inside; text towers as CLIP's."""
    eva = timm.models.eva
    norm = partial(timm.layers.LayerNorm, eps=1e-5)
    core = dict(img_size=SIDE, patch_size=4, embed_dim=64, depth=1, num_heads=1, mlp_ratio=0.5, num_classes=24, global_pool="map", attn_type="rope", use_pre_transformer_norm=True, use_rot_pos_emb=True, rope_grid_indexing="xy", attn_pool_num_heads=8, attn_pool_mlp_ratio=0.5, norm_layer=norm)
    base = eva.Eva(ref_feat_shape=(14, 14), rope_grid_offset=1.0, **core)
    gigantic = eva.Eva(ref_feat_shape=(32, 32), class_token=False, **core | dict(num_heads=16))
    clip = eva.Eva(img_size=SIDE, patch_size=8, embed_dim=64, depth=1, num_heads=1, mlp_ratio=1, num_classes=24, global_pool="token", qkv_fused=False, swiglu_mlp=True, scale_mlp=True, scale_attn_inner=True, use_rot_pos_emb=True, ref_feat_shape=(16, 16))
    for name, trunk, model_name, pool, length in [
        ("perception-encoder", base, "vit_pe_core_base_patch16_224", "map", 12),
        ("perception-encoder-gigantic", gigantic, "vit_pe_core_gigantic_patch14_448", "map", 12),
        ("eva-clip", clip, "eva02_base_patch16_clip_224", "token", 20),
    ]:
        text = dict(context_length=length, vocab_size=V + 1, width=32, heads=4, layers=1)
        model = torch.nn.Module()
        model.visual, model.text = torch.nn.Module(), oc.transformer.TextTransformer(output_dim=24, **text)
        model.visual.trunk = trunk
        shaken(model)
        made = ended()
        ids, _ = tokens(made, length, pad=0, fill=True)
        expected = {"text": model.text(ids), "image": model.visual.trunk(pixels())}
        vision = dict(timm_model_name=model_name, timm_model_pretrained=False, timm_pool=pool, timm_proj=None, image_size=SIDE)
        save(name, model, "clip", 24, expected, made, image=True, modality="both")
        described = {
            "model_cfg": {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text, "custom_text": True},
            "preprocess_cfg": {**REAL, "interpolation": "bicubic", "resize_mode": "shortest"},
        }
        (OUT / name / "open_clip_config.json").write_text(json.dumps(described, indent=2) + "\n")
        (OUT / name / "model.safetensors").rename(OUT / name / "open_clip_model.safetensors")


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
                 rotary, nomic_experts, gemma3, qwen3_parts]:
        if not only or make.__name__ in only:
            torch.manual_seed(zlib.crc32(make.__name__.encode()))
            make()
