"""Writes tests/golden/model/*.gguf: tiny models with random weights, and their logits by `transformers` in float32.

    pip install gguf numpy torch transformers
    python tests/reference/model_golden.py

Every weight is exact in the type it is stored as, so that the only difference left is arithmetic. A file carries its own
expectation in three keys: `golden.tokens`, `golden.logits` (one row a token) and, under the block-causal mask of Fast-dLLM v2
(arXiv:2509.26328), `golden.block`, the size of a block.

Ternary layers are `AutoBitLinear` of transformers, which rounds activations to int8 as the runtime does. A rounding that is nearly
a tie would turn the last bit of a float into a whole step, so the tokens are chosen such that there is none.
"""

import os

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # AutoBitLinear would compile C++ for a few multiplications.

import math
import re
import zlib
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers as hf
from gguf.constants import GGMLQuantizationType as T
from gguf.gguf_writer import TensorInfo
from transformers.integrations.bitnet import AutoBitLinear
from transformers.models.bitnet.modeling_bitnet import BitNetRMSNorm

OUT = Path(__file__).resolve().parents[1] / "golden" / "model"
VOCAB, CONTEXT, LAYERS = 64, 96, 2
Q2_0, I2_S = 42, 36  # Not in the package: see quant_golden.py.
FILE_TYPE_I2_S = 40
# Large, so that a norm with the wrong one of the two is far off.
EPSILON, SUB_EPSILON = 1e-3, 0.25
# Of an int8 step; far above the error of a float.
MARGIN = 1e-3

PARTS = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "self_attn.attn_sub_norm": "attn_sub_norm", "mlp.ffn_sub_norm": "ffn_sub_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}


def config(cls, **changes):
    usual = dict(
        vocab_size=VOCAB, hidden_size=24, intermediate_size=28, num_hidden_layers=LAYERS, num_attention_heads=4,
        num_key_value_heads=2, head_dim=6, max_position_embeddings=CONTEXT, rms_norm_eps=EPSILON,
        tie_word_embeddings=True, pad_token_id=0, bos_token_id=0, eos_token_id=0, rope_theta=1000.0,
        attn_implementation="eager", dtype="float32",
    )
    return cls(**(usual | changes))


def rope(kind, **parameters):
    return {"rope_type": kind, "rope_theta": 1000.0} | parameters


def linears(model):
    return [(name, layer) for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear) and "layers." in name]


def randomise(model, rng, exact):
    """Weights that make attention uneven and every layer matter, rounded to the type they are stored as."""
    for name, parameter in model.named_parameters():
        random = torch.from_numpy(rng.standard_normal(parameter.shape).astype("<f4"))
        if "norm" in name or re.search(r"proj\.0\.", name):
            random = 1 + 0.3 * random
        elif name.endswith("bias"):
            random = 0.3 * random
        elif "embed" not in name:
            random = 1.5 * random / math.sqrt(parameter.shape[-1])
        parameter.data = random.to(exact).float()


def ternarise(model, rng):
    """Replaces every linear layer by a BitLinear."""
    for name, old in linears(model):
        layer = AutoBitLinear(old.in_features, old.out_features, bias=False)
        codes = rng.choice([-1, 0, 1], (old.out_features, old.in_features), p=[0.35, 0.3, 0.35])
        layer.weight.data = torch.from_numpy(codes.astype("<f4"))
        scale = 1.5 * rng.uniform(0.8, 1.2) / math.sqrt(old.in_features)
        layer.weight_scale.data[0] = float(np.float16(scale))
        model.set_submodule(name, layer)


def tokens_without_ties(model, rng, count):
    """Random tokens under which no activation is rounded from within `MARGIN` of a tie."""
    margins = torch.full((VOCAB,), 0.5)

    def note(layer, inputs):
        x = inputs[0][:, -1]
        scaled = x * 127 / x.abs().amax(-1, keepdim=True)
        margins.copy_(margins.minimum(((scaled - scaled.floor()) - 0.5).abs().amin(-1)))

    hooks = [layer.register_forward_pre_hook(note) for _, layer in linears(model)]
    ids = np.zeros((VOCAB, 0), dtype=int)
    for _ in range(count):
        candidates = np.concatenate([ids, np.arange(VOCAB)[:, None]], axis=1)
        margins.fill_(0.5)
        with torch.no_grad():
            model(torch.from_numpy(candidates))
        ids = np.repeat(candidates[rng.choice(np.flatnonzero(margins > MARGIN))][None], VOCAB, axis=0)
    for hook in hooks:
        hook.remove()
    return ids[0]


def seven_norms(model):
    """A norm before each projection: BitNet has those before the output and the down projection already."""
    for name, layer in linears(model):
        if not re.search("o_proj|down_proj", name):
            model.set_submodule(name, torch.nn.Sequential(BitNetRMSNorm(layer.in_features, SUB_EPSILON), layer))


def sub_epsilon(model):
    for name, module in model.named_modules():
        if name.endswith("sub_norm"):
            module.variance_epsilon = SUB_EPSILON


def permute(weight, heads):
    """Rows of a head from [first halves | second halves] to pairs: what converters do for `llama`."""
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def gguf_name(name, seven):
    names = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if name in names:
        return names[name]
    layer, part, norm, kind = re.fullmatch(r"model\.layers\.(\d+)\.([a-z_.]+?)(?:\.([01]))?\.(\w+)", name).groups()
    part = PARTS[part]
    if norm == "0":
        part += "_norm_in"
    elif seven:
        part = {"attn_sub_norm": "attn_output_norm_in", "ffn_sub_norm": "ffn_down_norm_in"}.get(part, part)
    return f"blk.{layer}.{part}.{kind}"


def tensors(model, arch, seven):
    """Name, weights and, of a ternary layer, scale, of every tensor of the GGUF."""
    scales = {name + ".weight": layer.weight_scale.item() for name, layer in linears(model) if isinstance(layer, AutoBitLinear)}
    heads = {"q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads}
    for name, parameter in model.named_parameters():
        weight = parameter.detach().numpy()
        if "gate_up_proj" in name:
            for half, rows in zip(("gate_proj", "up_proj"), np.split(weight, 2)):
                yield gguf_name(name.replace("gate_up_proj", half), seven), rows, None
            continue
        projection = re.search(r"[qk]_proj", name)
        if arch in ("llama", "mistral") and projection and model.config.model_type != "glm":
            weight = permute(weight, heads[projection.group()])
        yield gguf_name(name, seven), weight, scales.get(name)


def q2_0(codes, scale):
    fields = (codes.reshape(-1, 64) + 1).astype(np.uint8)
    bits = np.stack([fields & 1, fields >> 1], axis=2).reshape(len(fields), 128)
    d = np.full((len(fields), 1), scale, "<f2").view(np.uint8)
    return np.hstack([d, np.packbits(bits, axis=1, bitorder="little")]).ravel()


def i2_s(codes, scale):
    fields = (codes.reshape(-1, 4, 32) + 1).astype(np.uint8).transpose(0, 2, 1)
    bits = np.stack([fields >> 1, fields & 1], axis=3).reshape(len(fields), 256)
    tail = np.zeros(32, np.uint8)
    tail[:4] = np.array([scale], "<f4").view(np.uint8)
    return np.concatenate([np.packbits(bits, axis=1).ravel(), tail])


def add(writer, name, weight, scale, ty):
    if scale is None:
        data = gguf.quants.quantize(weight, ty)
        writer.add_tensor(name, data, raw_dtype=ty)
        return
    if ty in (Q2_0, I2_S):
        data = {Q2_0: q2_0, I2_S: i2_s}[ty](weight, scale)
    else:
        data = gguf.quants.quantize(weight * np.float32(scale), ty)
    writer.tensors[-1][name] = TensorInfo(shape=weight.shape, dtype=ty, nbytes=data.nbytes, tensor=data)


def llama3_factors(config):
    """The divisors that converters write as rope_freqs for Llama 3's scaling."""
    p = config.rope_parameters
    old, low, high = p["original_max_position_embeddings"], p["low_freq_factor"], p["high_freq_factor"]
    frequencies = 1.0 / p["rope_theta"] ** (np.arange(0, config.head_dim, 2, dtype="<f4") / config.head_dim)
    for wavelength in 2 * math.pi / frequencies:
        if wavelength < old / high:
            yield 1.0
        elif wavelength > old / low:
            yield p["factor"]
        else:
            smooth = (old / wavelength - low) / (high - low)
            yield 1 / ((1 - smooth) / p["factor"] + smooth)


def vocabulary():
    """Byte-level tokens without merges, the last one a mask token."""
    return [chr(33 + i) for i in range(VOCAB - 1)] + ["|<MASK>|"]


def write_metadata(writer, c, types):
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    if c.head_dim * c.num_attention_heads != c.hidden_size:
        writer.add_key_length(c.head_dim)
        writer.add_value_length(c.head_dim)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    if I2_S in types:
        writer.add_file_type(FILE_TYPE_I2_S)
    p = c.rope_parameters
    writer.add_rope_freq_base(p["rope_theta"])
    writer.add_rope_dimension_count(int(c.head_dim * p.get("partial_rotary_factor", 1)))
    if p["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(p["rope_type"]))
        writer.add_rope_scaling_factor(p["factor"])
    if p["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(p["original_max_position_embeddings"])
        if "attention_factor" in p:
            writer.add_rope_scaling_yarn_attn_factor(p["attention_factor"])
            writer.add_rope_scaling_yarn_beta_fast(p["beta_fast"])
            writer.add_rope_scaling_yarn_beta_slow(p["beta_slow"])
    if c.model_type == "mistral":
        writer.add_sliding_window(c.sliding_window)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary())
    writer.add_token_types([gguf.TokenType.NORMAL] * (VOCAB - 1) + [gguf.TokenType.CONTROL])


def case(name, arch, model_class, c, *, count=28, block=None, linear=(T.F16,), table=T.F16, exact=torch.float16, prepare=(), extra=lambda w: None):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    model = model_class(c).eval()
    ternary = not set(linear) <= {T.F16, T.BF16, T.F32}
    for step in prepare:
        step(model)
    randomise(model, rng, exact)
    if ternary:
        ternarise(model, rng)

    ids = tokens_without_ties(model, rng, count) if ternary else rng.integers(0, VOCAB, count)
    position = torch.arange(count)
    mask = None
    if block:
        seen = position[None] // block <= position[:, None] // block
        mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)[None, None]
    with torch.no_grad():
        logits = model(torch.from_numpy(ids)[None], attention_mask=mask).logits[0].numpy()

    path = OUT / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, arch)
    write_metadata(writer, c, linear)
    if block:
        writer.add_uint32("diffusion.block_size", block)
        writer.add_uint32("golden.block", block)
    writer.add_array("golden.tokens", ids.tolist())
    writer.add_array("golden.logits", logits.ravel().tolist())
    extra(writer)
    if c.rope_parameters["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", np.array(list(llama3_factors(c)), "<f4"))
    seven = seven_norms in prepare
    matrices = 0
    for tensor, weight, scale in tensors(model, arch, seven):
        if weight.ndim == 1:
            ty = T.F32
        elif "blk" not in tensor:
            ty = table
        else:
            fits = [ty for ty in linear if weight.shape[1] % (256 if ty in (T.TQ1_0, T.TQ2_0) else 1) == 0]
            ty = fits[matrices % len(fits)]
            matrices += 1
        add(writer, tensor, weight, scale, ty)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{name:20} {path.stat().st_size:6} bytes, logits of spread {logits.std():.2f}")


OUT.mkdir(parents=True, exist_ok=True)
LLAMA = hf.LlamaForCausalLM
case("llama-untied", "llama", LLAMA, config(hf.LlamaConfig, tie_word_embeddings=False), count=76)
case("llama-biases", "llama", LLAMA, config(hf.LlamaConfig, attention_bias=True, mlp_bias=True), table=T.F32)
case("llama-linear", "llama", LLAMA, config(hf.LlamaConfig, rope_parameters=rope("linear", factor=4.0)))
case("llama-llama3", "llama", LLAMA, config(
    hf.LlamaConfig, num_attention_heads=2, num_key_value_heads=1, head_dim=12,
    rope_parameters=rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)))
yarn = dict(factor=4.0, original_max_position_embeddings=64)
case("llama-yarn", "llama", LLAMA, config(
    hf.LlamaConfig, num_attention_heads=2, num_key_value_heads=1, head_dim=12, rope_parameters=rope("yarn", **yarn)))
case("qwen2-yarn", "qwen2", hf.Qwen2ForCausalLM, config(
    hf.Qwen2Config, num_attention_heads=2, num_key_value_heads=1, head_dim=12,
    rope_parameters=rope("yarn", attention_factor=0.8, beta_fast=8.0, beta_slow=0.5, **yarn)))
case("llama-partial-rope", "llama", hf.GlmForCausalLM, config(
    hf.GlmConfig, head_dim=8, hidden_size=32, attention_bias=True,
    rope_parameters=rope("default", partial_rotary_factor=0.5)))
for arch in ("llama", "mistral"):
    case(f"{arch}-window", arch, hf.MistralForCausalLM, config(hf.MistralConfig, sliding_window=7))
case("qwen2", "qwen2", hf.Qwen2ForCausalLM, config(hf.Qwen2Config), linear=(T.BF16,), exact=torch.bfloat16)
case("qwen2-block", "qwen2", hf.Qwen2ForCausalLM, config(hf.Qwen2Config, tie_word_embeddings=False), block=8, count=76)
case("qwen3", "qwen3", hf.Qwen3ForCausalLM, config(hf.Qwen3Config, head_dim=10))

BITNET = hf.BitNetForCausalLM
wide = dict(hidden_size=64, intermediate_size=128, num_attention_heads=4, num_key_value_heads=2, head_dim=16)
eps = lambda w: w.add_float32(f"{w.arch}.attention.sub_norm_epsilon", SUB_EPSILON)
case("bitnet-float", "bitnet", BITNET, config(hf.BitNetConfig, hidden_act="silu"), prepare=(sub_epsilon,), extra=eps)
case("bitnet-silu", "bitnet", BITNET, config(hf.BitNetConfig, hidden_act="silu", **wide), linear=(Q2_0,))


def relu2(writer):
    eps(writer)
    writer.add_string("bitnet.hidden_activation", "relu2")


case("bitnet-relu2", "bitnet", BITNET, config(hf.BitNetConfig, **wide), linear=(Q2_0,), prepare=(sub_epsilon,), extra=relu2)
case("bitnet-seven-norms", "bitnet", BITNET, config(hf.BitNetConfig, hidden_act="silu", **wide), linear=(Q2_0,),
     prepare=(sub_epsilon, seven_norms), extra=eps)


def other_head(writer):
    writer.add_tensor("output.weight", np.ones((VOCAB, wide["hidden_size"]), "<f2"))


case("bitnet-25", "bitnet-25", BITNET, config(hf.BitNetConfig, **wide), linear=(Q2_0,), extra=other_head)
case("bitnet-b1.58", "bitnet-b1.58", BITNET, config(hf.BitNetConfig, **(wide | dict(intermediate_size=256))),
     linear=(I2_S, T.TQ1_0, Q2_0, T.TQ2_0))
