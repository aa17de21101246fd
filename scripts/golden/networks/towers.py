"""Golden networks of two towers: pictures and texts in one space."""

import copy
from functools import partial
import json

import open_clip as oc
import timm
import torch
import transformers as tr

from .shared import OUT, REAL, SIDE, SMALL, TEXTS, UNCHANGED, V, ended, mean, pixels, processor, save, shaken, tokenizer, tokens


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
        _timm_tower(name, trunk, model_name, pool, length)


def eva_giants():
    """EVA-CLIP's largest picture towers: places instead of turned heads, queries and values with a bias, and in the enormous
    one normalisations between the parts and their sums."""
    large = dict(img_size=SIDE, patch_size=8, embed_dim=64, depth=2, num_heads=16, mlp_ratio=1.5, num_classes=24, global_pool="token")
    _timm_tower("eva-clip-giant", timm.models.eva.Eva(**large), "eva_giant_patch14_224", "token", 20)
    _timm_tower("eva-clip-enormous", timm.models.eva.Eva(use_post_norm=True, **large), "eva02_enormous_patch14_clip_224", "token", 20)


def jina_clip():
    """jina-clip-v2 by its own names: timm's EVA-02 at a size that its patches do not divide, and transformers' model of
    jina-embeddings-v3 with an adapter added to its weights, as jinaai/xlm-roberta-flash-implementation adds it."""
    name, tasks, rank, alpha = "jina-clip", ["other", "retrieval.query"], 2, 3
    config = tr.JinaEmbeddingsV3Config(vocab_size=V, max_position_embeddings=80, **SMALL)
    words = shaken(tr.JinaEmbeddingsV3Model(config, add_pooling_layer=False))
    eva = timm.models.eva
    vision = shaken(eva.Eva(img_size=SIDE, patch_size=6, embed_dim=32, depth=2, num_heads=2, mlp_ratio=1.5, num_classes=0, global_pool="token", qkv_fused=False, swiglu_mlp=True, scale_mlp=True, scale_attn_inner=True, use_rot_pos_emb=True, ref_feat_shape=(16, 16)))

    weights = {"logit_scale": torch.tensor(2.6592)}
    own = [("mlp.fc1_g", "mlp.w1"), ("mlp.fc1_x", "mlp.w2"), ("mlp.fc2", "mlp.w3"), ("mlp.norm", "mlp.ffn_ln"), ("attn.norm", "attn.inner_attn_ln"), ("q_proj.bias", "q_bias"), ("v_proj.bias", "v_bias")]
    named = {}
    for key, value in vision.state_dict().items():
        for timms, evas in own:
            key = key.replace(timms, evas)
        named[key] = value
    # timm reads these names itself.
    again = eva.checkpoint_filter_fn(dict(named), vision)
    assert all(torch.equal(again[key], value) for key, value in vision.state_dict().items())
    weights |= {f"vision_model.{key}": value for key, value in named.items()}

    def adapted(key, weight, is_table):
        """A weight in parts: what an adapter is added to, and the adapters of all tasks."""
        outputs, inputs = weight.shape
        a = torch.randn(len(tasks), *((outputs, rank) if is_table else (rank, inputs))) * 0.3
        b = torch.randn(len(tasks), *((rank, inputs) if is_table else (outputs, rank))) * 0.3
        product = a[1] @ b[1] if is_table else b[1] @ a[1]
        parts = f"text_model.transformer.roberta.{key}.parametrizations.weight"
        weights.update({f"{parts}.original": weight - alpha / rank * product, f"{parts}.0.lora_A": a, f"{parts}.0.lora_B": b})

    state = words.state_dict()
    for table in ("word_embeddings", "token_type_embeddings"):
        adapted(f"embeddings.{table}", state[f"embeddings.{table}.weight"], True)
    plain = {f"emb_ln.{end}": state[f"embeddings.LayerNorm.{end}"] for end in ("weight", "bias")}
    for layer in range(SMALL["num_hidden_layers"]):
        ours, theirs = f"encoder.layers.{layer}", f"layers.{layer}"
        joined = {end: torch.cat([state[f"{theirs}.self_attn.{part}_proj.{end}"] for part in "qkv"]) for end in ("weight", "bias")}
        adapted(f"{ours}.mixer.Wqkv", joined["weight"], False)
        plain[f"{ours}.mixer.Wqkv.bias"] = joined["bias"]
        for mine, other in [("mixer.out_proj", "self_attn.o_proj"), ("mlp.fc1", "mlp.fc1"), ("mlp.fc2", "mlp.fc2")]:
            adapted(f"{ours}.{mine}", state[f"{theirs}.{other}.weight"], False)
            plain[f"{ours}.{mine}.bias"] = state[f"{theirs}.{other}.bias"]
        for mine, other in [("norm1", "post_attention_layernorm"), ("norm2", "post_mlp_layernorm")]:
            plain |= {f"{ours}.{mine}.{end}": state[f"{theirs}.{other}.{end}"] for end in ("weight", "bias")}
    weights |= {f"text_model.transformer.roberta.{key}": value for key, value in plain.items()}

    made = tokenizer()
    ids, mask = tokens(made, 80, pad=1)
    expected = {"text": mean(words(ids, attention_mask=mask).last_hidden_state, mask), "image": vision(pixels())}
    holder = torch.nn.Module()
    holder.state_dict = lambda: weights
    save(name, holder, "jina-clip", 32, expected, made, image=True, modality="both")
    described = {
        "model_type": "jina_clip", "add_projections": False, "truncate_dim": None,
        "auto_map": {"AutoModel": "jinaai/jina-clip-implementation--modeling_clip.JinaCLIPModel"},
        "text_config": {
            "default_instruction_task": None, "default_lora_task": "retrieval.query", "embed_dim": 32,
            "hf_model_config_kwargs": {"lora_adaptations": tasks, "lora_alpha": alpha, "lora_rank": rank, "lora_dropout_p": 0.0, "num_attention_heads": SMALL["num_attention_heads"], "max_position_embeddings": 80},
            "hf_model_name_or_path": "jinaai/jina-embeddings-v3", "pooler_type": None, "proj_type": None,
        },
        "vision_config": {"embed_dim": 32, "head_width": 16, "image_size": SIDE, "intp_freq": True, "layers": 2, "ls_init_value": None, "mlp_ratio": 1.5, "naive_swiglu": True, "patch_size": 6, "post_norm": False, "proj_type": None, "pt_hw_seq_len": 16, "qkv_bias": True, "rope_embeddings": True, "subln": True, "width": 32},
    }
    (OUT / name / "config.json").write_text(json.dumps(described, indent=2) + "\n")


def _timm_tower(name, trunk, model_name, pool, length):
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
