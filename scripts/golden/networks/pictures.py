"""Golden networks that read pictures, and how pictures are prepared."""

from functools import partial
import json

from PIL import Image
import numpy as np
from safetensors.torch import save_file
import timm
import torch
import transformers as tr

from .shared import OUT, REAL, SIDE, SMALL, pixels, processor, rng, save, shaken


def vit():
    model = shaken(tr.ViTModel(tr.ViTConfig(image_size=SIDE, patch_size=8, **SMALL), add_pooling_layer=False))
    save("vit", model, "vit", 32, {"image": model(pixels()).last_hidden_state[:, 0]}, image=True, modality="image")


def dinov2():
    small = {k: v for k, v in SMALL.items() if k != "intermediate_size"}
    # Trained for 7 by 7 patches, run on 4 by 4: places are interpolated.
    model = shaken(tr.Dinov2Model(tr.Dinov2Config(image_size=56, patch_size=8, mlp_ratio=2, **small)))
    save("dinov2", model, "dinov2", 32, {"image": model(pixels()).last_hidden_state[:, 0]}, image=True, modality="image")
    processor("dinov2", image_processor_type="BitImageProcessor", size={"shortest_edge": SIDE}, do_center_crop=True, crop_size={"height": SIDE, "width": SIDE})


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
