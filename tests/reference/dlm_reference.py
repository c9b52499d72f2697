"""Decodes with a SubLN block-diffusion checkpoint (two norms, ternary master weights) in plain torch: every pass runs the whole
sequence in float32 under its mask, without a cache.

    pip install torch safetensors
    python tests/reference/dlm_reference.py CHECKPOINT_DIR CASES.jsonl [--limit N]

A line of CASES has `tokens`, the prompt, and `out`, the ids that each mode gave. Prints where this decoder differs from them, with
the narrowest decision it took: the distance of a probability from the threshold, or of a best logit from the second. Rounding
to int8 makes steps of the last bits of a float, so two correct implementations part where a decision is narrow enough.
"""

import argparse
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

SUB_EPSILON = 1e-6
MODES = {  # kind, threshold, sub-block
    "greedy": ("greedy", -math.inf, 8), "iterative-0.9": ("iterative", 0.9, 8), "adaptive-0.9": ("adaptive", 0.9, 8),
    "iterative-0.7-sub32": ("iterative", 0.7, 32),
}


def norm(x, gain, epsilon):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * gain


def rotate(x, position):
    """x: [heads, rows, head_dim]."""
    half = x.shape[-1] // 2
    angles = position[:, None] * 10000.0 ** (-torch.arange(half) / half)
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Model:
    def __init__(self, folder):
        read = lambda name: json.loads((folder / name).read_text())
        config, dlm = read("config.json"), read("dlm_config.json")
        self.heads, self.kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        self.layers, self.epsilon = config["num_hidden_layers"], config["rms_norm_eps"]
        self.stop, self.mask, self.block = config["eos_token_id"], dlm["mask_token_id"], dlm["bd_size"]
        self.weights = load_file(folder / "model.safetensors")
        self.ternary = {}
        for name, weight in self.weights.items():
            if "_proj" in name and weight.ndim == 2:
                scale = weight.abs().mean().clamp(min=1e-5)
                self.ternary[name] = ((weight / scale).round().clamp(-1, 1), scale.half().float())

    def bit_linear(self, x, name):
        codes, scale = self.ternary[name]
        factor = 127 / x.abs().amax(-1, keepdim=True).clamp(min=1e-5)
        return F.linear((x * factor).round(), codes) / factor * scale

    def logits(self, ids, causal=False):
        w, position = self.weights, torch.arange(len(ids))
        unit = position if causal else position // self.block
        seen = unit[None] <= unit[:, None]
        x = w["model.embed_tokens.weight"][ids]
        for layer in range(self.layers):
            prefix = f"model.layers.{layer}."
            sub_layer = lambda h, name: self.bit_linear(norm(h, w[prefix + name + ".0.weight"], SUB_EPSILON), prefix + name + ".1.weight")
            linear = lambda h, name: self.bit_linear(h, prefix + name + ".weight")
            split = lambda h, heads: h.unflatten(-1, (heads, -1)).transpose(0, 1)
            h = norm(x, w[prefix + "input_layernorm.weight"], self.epsilon)
            q = rotate(split(linear(h, "self_attn.q_proj"), self.heads), position)
            k = rotate(split(linear(h, "self_attn.k_proj"), self.kv_heads), position)
            v = split(linear(h, "self_attn.v_proj"), self.kv_heads)
            k, v = (t.repeat_interleave(self.heads // self.kv_heads, 0) for t in (k, v))
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
            x = x + sub_layer(attended.transpose(0, 1).flatten(1), "self_attn.o_proj")
            h = norm(x, w[prefix + "post_attention_layernorm.weight"], self.epsilon)
            x = x + sub_layer(F.silu(linear(h, "mlp.gate_proj")) * linear(h, "mlp.up_proj"), "mlp.down_proj")
        logits = norm(x, w["model.norm.weight"], self.epsilon) @ w["model.embed_tokens.weight"].T
        logits[:, self.mask] = -math.inf
        return logits


class Decoder:
    def __init__(self, model):
        self.model = model
        self.narrowest = math.inf

    def best(self, logits):
        """Id and probability of the best token of a row."""
        first, second = logits.topk(2).values.tolist()
        self.narrowest = min(self.narrowest, first - second)
        return int(logits.argmax()), float(logits.softmax(-1).max())

    def autoregressive(self, prompt, limit=48):
        out = []
        while len(out) < limit and self.model.stop not in out:
            out.append(self.best(self.model.logits(prompt + out, causal=True)[-1])[0])
        return out

    def diffusion(self, prompt, kind, threshold, sub_block, limit=96):
        size = self.model.block
        ids = list(prompt)
        while True:
            if len(ids) % size == 0:
                ids.append(self.best(self.model.logits(ids)[-1])[0])
            start = len(ids) // size * size
            masked = list(range(len(ids), start + size))
            ids += [self.model.mask] * len(masked)
            self.fill(ids, masked, kind, threshold, sub_block)
            out = ids[len(prompt):]
            if self.model.stop in out:
                return out[:out.index(self.model.stop) + 1][:limit]
            if len(out) >= limit:
                return out[:limit]

    def fill(self, ids, masked, kind, last_threshold, sub_block):
        passes = {}
        while masked:
            sub = masked[0] // sub_block
            passes[sub] = passes.get(sub, 0) + 1
            threshold = last_threshold
            if kind == "adaptive" and passes[sub] <= 2:
                least, less = [(0.5, 0.4), (0.7, 0.2)][passes[sub] - 1]
                threshold = min(threshold, max(least, threshold - less))
            rows = masked if kind == "greedy" else [i for i in masked if i // sub_block == sub]
            logits = self.model.logits(ids)
            chosen = {i: self.best(logits[i - 1]) for i in rows}
            surest = max(rows, key=lambda i: chosen[i][1])
            for i, (token, probability) in chosen.items():
                self.narrowest = min(self.narrowest, abs(probability - threshold))
                if probability > threshold or i == surest:
                    ids[i] = token
                    masked.remove(i)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("checkpoint", type=Path)
    arguments.add_argument("cases", type=Path)
    arguments.add_argument("--limit", type=int)
    arguments = arguments.parse_args()
    model = Model(arguments.checkpoint)
    runs = differ = 0
    for line in arguments.cases.read_text().splitlines()[: arguments.limit]:
        case = json.loads(line)
        for mode, expected in case["out"].items():
            decoder = Decoder(model)
            out = decoder.autoregressive(case["tokens"]) if mode == "ar" else decoder.diffusion(case["tokens"], *MODES[mode])
            runs += 1
            if out != expected:
                differ += 1
                print(f"{mode}: {case['prompt']} (narrowest decision {decoder.narrowest:.4f})\n  {expected}\n  {out}")
    print(f"{differ} of {runs} runs differ")


if __name__ == "__main__":
    with torch.no_grad():
        main()
