"""Writes tests/golden/model/*.gguf: tiny models with random weights, and their logits by `transformers` in float32.

    pip install gguf numpy torch transformers
    python tests/reference/model_golden.py

These are files that `webtern convert` does not make, but others do; for those that it makes, see checkpoint_golden.py. Every
weight is exact in the type it is stored as, so that the only difference left is arithmetic. A file carries its own
expectation in two keys: `golden.tokens` and `golden.logits`, one row a token.
"""

import math
import re
from pathlib import Path

from ternary import I2_S, Q2_0, i2_s, q2_0
from tiny_models import CONTEXT, LAYERS, SUB_EPSILON, VOCAB, config, linears, logits, random_tokens, randomise, rope, seeded

import gguf
import numpy as np
import torch
import transformers as hf
from gguf.constants import GGMLQuantizationType as T
from gguf.gguf_writer import TensorInfo
from transformers.integrations.bitnet import AutoBitLinear

OUT = Path(__file__).resolve().parents[1] / "golden" / "model"
FILE_TYPE_I2_S = 40

TABLES = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
PARTS = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.attn_sub_norm": "attn_sub_norm", "mlp.ffn_sub_norm": "ffn_sub_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}


def ternarise(model, rng):
    """Replaces every linear layer by a BitLinear."""
    for name, old in linears(model):
        layer = AutoBitLinear(old.in_features, old.out_features, bias=False)
        codes = rng.choice([-1, 0, 1], (old.out_features, old.in_features), p=[0.35, 0.3, 0.35])
        layer.weight.data = torch.from_numpy(codes.astype("<f4"))
        scale = 1.5 * rng.uniform(0.8, 1.2) / math.sqrt(old.in_features)
        layer.weight_scale.data[0] = float(np.float16(scale))
        model.set_submodule(name, layer)


def sub_epsilon(model):
    for name, module in model.named_modules():
        if name.endswith("sub_norm"):
            module.variance_epsilon = SUB_EPSILON


def permute(weight, heads):
    """Rows of a head from [first halves | second halves] to pairs: what converters do for `llama` and `mistral`."""
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def gguf_name(name):
    if name in TABLES:
        return TABLES[name]
    layer, part, kind = re.fullmatch(r"model\.layers\.(\d+)\.([a-z_.]+)\.(\w+)", name).groups()
    return f"blk.{layer}.{PARTS[part]}.{kind}"


def tensors(model):
    """Name, weights and, of a ternary layer, scale, of every tensor of the GGUF."""
    scales = {name + ".weight": layer.weight_scale.item() for name, layer in linears(model) if isinstance(layer, AutoBitLinear)}
    heads = {"q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads}
    for name, parameter in model.named_parameters():
        weight = parameter.detach().numpy()
        if "gate_up_proj" in name:
            for half, rows in zip(("gate_proj", "up_proj"), np.split(weight, 2)):
                yield gguf_name(name.replace("gate_up_proj", half)), rows, None
            continue
        projection = re.search(r"[qk]_proj", name)
        if model.config.model_type == "mistral" and projection:
            weight = permute(weight, heads[projection.group()])
        yield gguf_name(name), weight, scales.get(name)


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
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    if I2_S in types:
        writer.add_file_type(FILE_TYPE_I2_S)
    p = c.rope_parameters
    writer.add_rope_freq_base(p["rope_theta"])
    writer.add_rope_dimension_count(int(c.head_dim * p.get("partial_rotary_factor", 1)))
    if c.model_type == "mistral":
        writer.add_sliding_window(c.sliding_window)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary())
    writer.add_token_types([gguf.TokenType.NORMAL] * (VOCAB - 1) + [gguf.TokenType.CONTROL])


def case(name, arch, model_class, c, *, count=28, linear=(T.F16,), prepare=lambda m: None, extra=lambda w: None):
    rng = seeded(name)
    model = model_class(c).eval()
    prepare(model)
    randomise(model, rng, torch.float16)
    if linear != (T.F16,):
        ternarise(model, rng)
    ids = random_tokens(model, rng, count)
    values = logits(model, ids)

    path = OUT / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, arch)
    write_metadata(writer, c, linear)
    writer.add_array("golden.tokens", ids.tolist())
    writer.add_array("golden.logits", values.ravel().tolist())
    extra(writer)
    matrices = 0
    for tensor, weight, scale in tensors(model):
        if weight.ndim == 1:
            ty = T.F32
        elif "blk" not in tensor:
            ty = T.F16
        else:
            fits = [ty for ty in linear if weight.shape[1] % (256 if ty in (T.TQ1_0, T.TQ2_0) else 1) == 0]
            ty = fits[matrices % len(fits)]
            matrices += 1
        add(writer, tensor, weight, scale, ty)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{name:20} {path.stat().st_size:6} bytes, logits of spread {values.std():.2f}")


def with_sub_epsilon(writer):
    writer.add_float32("bitnet.attention.sub_norm_epsilon", SUB_EPSILON)


def with_other_head(writer):
    writer.add_tensor("output.weight", np.ones((VOCAB, wide["hidden_size"]), "<f2"))


OUT.mkdir(parents=True, exist_ok=True)
case("llama-partial-rope", "llama", hf.GlmForCausalLM, config(
    hf.GlmConfig, head_dim=8, hidden_size=32, attention_bias=True,
    rope_parameters=rope("default", partial_rotary_factor=0.5)))
case("mistral-window", "mistral", hf.MistralForCausalLM, config(hf.MistralConfig, sliding_window=7))
bitnet = hf.BitNetForCausalLM
case("bitnet-float", "bitnet", bitnet, config(hf.BitNetConfig, hidden_act="silu"), prepare=sub_epsilon, extra=with_sub_epsilon)
wide = dict(hidden_size=64, intermediate_size=128, num_attention_heads=4, num_key_value_heads=2, head_dim=16)
case("bitnet-25", "bitnet-25", bitnet, config(hf.BitNetConfig, **wide), linear=(Q2_0,), extra=with_other_head)
case("bitnet-b1.58", "bitnet-b1.58", bitnet, config(hf.BitNetConfig, **(wide | dict(intermediate_size=256))),
     linear=(I2_S, T.TQ1_0, Q2_0, T.TQ2_0))
