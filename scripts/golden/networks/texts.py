"""Golden networks that read texts."""

import json
import tempfile
import zlib

import model2vec
from model2vec.persistence import save_pretrained as save_model2vec
import numpy as np
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer, models as modules_of
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
import torch
import transformers as tr

from .shared import OUT, SMALL, TEXTS, V, VOCABULARY, describe, last, mean, save, shaken, tokenizer, tokens


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
