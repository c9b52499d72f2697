"""Decodes two of the checkpoints in tests/golden/checkpoints by block diffusion, in float32 and without a cache, and writes
tests/golden/block-diffusion.json.

    pip install numpy
    python tests/reference/block_diffusion.py

Every pass runs the whole sequence under the block mask. Rows predict the next position (`shift`, Fast-dLLM v2) or their own
(SDAR, Tiny-A2D). The rules of acceptance are those of the papers: Fast-dLLM (arXiv:2505.22618, 2509.26328) and SDAR
(arXiv:2510.06303). Cases with a decision that rounding could turn are left out.
"""

import json
import math
import struct
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
MASK, STOP = 1, 0
# The narrowest decision that counts: a distance of logits or probabilities.
CLEAR = 1e-3
# Checkpoint, class, block size, whether logits are shifted.
MODELS = [
    ("fast-dllm", "Fast_dLLM_QwenForCausalLM", 8, True),
    ("fast-dllm", "A2DQwen2LMHeadModel", 8, False),
    ("qwen3", "SDARForCausalLM", 4, False),
    ("qwen3", "A2DQwen3LMHeadModel", 16, False),
]
# Rule, threshold, steps, sub-block (None: the whole block).
RULES = [("threshold", 0.3, None, 4), ("dynamic", 0.3, None, None), ("dynamic", 0.3, 2, None), ("static", 0.9, 3, None)]


def read(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, info in header.items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in info["data_offsets"])
            bits = np.frombuffer(data[begin:end], "<u2").astype(np.uint32) << 16
            tensors[name] = bits.view(np.float32).reshape(info["shape"])
    return tensors


def norm(x, weight, epsilon):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(epsilon)) * weight


def rotate(x, base):
    """x: [rows, heads, head_dim]."""
    half = x.shape[-1] // 2
    angles = np.arange(len(x), dtype=np.float32)[:, None] * base ** (-np.arange(half, dtype=np.float32) / half)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1).astype(np.float32)


def softmax(x):
    weights = np.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


class Model:
    def __init__(self, name, block):
        folder = GOLDEN / "checkpoints" / name
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = read(folder / "model.safetensors")
        self.block = block

    def linear(self, x, name):
        y = x @ self.weights[name + ".weight"].T
        bias = self.weights.get(name + ".bias")
        return y if bias is None else y + bias

    def logits(self, ids):
        """Of every row; the mask token's is minus infinity."""
        c, w = self.config, self.weights
        heads, groups = c["num_attention_heads"], c["num_key_value_heads"]
        epsilon, base = c["rms_norm_eps"], c["rope_parameters"]["rope_theta"]
        unit = np.arange(len(ids)) // self.block
        seen = unit[None] <= unit[:, None]
        x = w["model.embed_tokens.weight"][ids]
        for layer in range(c["num_hidden_layers"]):
            p = f"model.layers.{layer}."
            h = norm(x, w[p + "input_layernorm.weight"], epsilon)
            q, k, v = (
                self.linear(h, p + f"self_attn.{part}_proj").reshape(len(ids), -1, c["head_dim"]) for part in "qkv"
            )
            if p + "self_attn.q_norm.weight" in w:
                q = norm(q, w[p + "self_attn.q_norm.weight"], epsilon)
                k = norm(k, w[p + "self_attn.k_norm.weight"], epsilon)
            q, k = rotate(q, base), rotate(k, base)
            k, v = np.repeat(k, heads // groups, 1), np.repeat(v, heads // groups, 1)
            scores = np.einsum("qhd,khd->hqk", q, k) / np.float32(math.sqrt(c["head_dim"]))
            weights = softmax(np.where(seen, scores, -np.inf))
            x = x + self.linear(np.einsum("hqk,khd->qhd", weights, v).reshape(len(ids), -1), p + "self_attn.o_proj")
            h = norm(x, w[p + "post_attention_layernorm.weight"], epsilon)
            gate = self.linear(h, p + "mlp.gate_proj")
            gated = gate / (1 + np.exp(-gate)) * self.linear(h, p + "mlp.up_proj")
            x = x + self.linear(gated, p + "mlp.down_proj")
        head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
        logits = norm(x, w["model.norm.weight"], epsilon) @ head.T
        logits[:, MASK] = -np.inf
        return logits


class Decoder:
    def __init__(self, model, shift):
        self.model, self.shift = model, shift
        self.narrowest = math.inf

    def best(self, logits):
        first, second = np.sort(logits)[-1:-3:-1]
        self.narrowest = min(self.narrowest, float(first - second))
        return int(logits.argmax()), float(softmax(logits.astype(np.float64)).max())

    def decode(self, prompt, limit, rule, threshold, steps, sub):
        size = self.model.block
        ids = list(prompt)
        while True:
            if self.shift and len(ids) % size == 0:
                ids.append(self.best(self.model.logits(ids)[-1])[0])
            start = len(ids) // size * size if len(ids) % size or not self.shift else len(ids) - size
            ids += [MASK] * (start + size - len(ids))
            masked = {i for i in range(max(start, len(prompt)), start + size) if ids[i] == MASK}
            for window in range(start, start + size, sub or size):
                self.fill(ids, {i for i in masked if window <= i < window + (sub or size)}, sub or size, rule, threshold, steps)
            out = ids[len(prompt) :]
            if STOP in out:
                return out[: out.index(STOP) + 1][:limit]
            if len(out) >= limit:
                return out[:limit]

    def fill(self, ids, masked, size, rule, threshold, steps):
        steps, number = steps or size, 0
        while masked:
            share = size // steps + (number < size % steps) if rule != "threshold" else 1
            number += 1
            logits = self.model.logits(ids)
            found = {i: self.best(logits[i - self.shift]) for i in masked}
            order = sorted(found, key=lambda i: (-found[i][1], i))
            taken = [i for i in order if found[i][1] > threshold]
            if rule != "static":
                self.narrowest = min([self.narrowest] + [abs(p - threshold) for _, p in found.values()])
            if rule == "static" or len(taken) < share:
                taken = order[:share]
                if len(order) > share:
                    self.narrowest = min(self.narrowest, found[order[share - 1]][1] - found[order[share]][1])
            for i in taken:
                ids[i] = found[i][0]
                masked.remove(i)


def main():
    cases = []
    for checkpoint, name, block, shift in MODELS:
        model = Model(checkpoint, block)
        for rule, threshold, steps, sub in RULES:
            kept = 0
            for seed in range(100):
                rng = np.random.default_rng([seed, block, len(rule)])
                prompt = rng.integers(2, 64, size=int(rng.integers(1, 20))).tolist()
                decoder = Decoder(model, int(shift))
                out = decoder.decode(prompt, 20, rule, threshold, steps, sub)
                if decoder.narrowest > CLEAR:
                    cases.append(dict(checkpoint=checkpoint, **{"class": name}, block=block, shift=shift, rule=rule,
                                      threshold=threshold, steps=steps, sub=sub or block, prompt=prompt, out=out))
                    kept += 1
                if kept == 3:
                    break
            assert kept == 3, (name, rule, kept)
    lines = ",\n".join(json.dumps(case) for case in cases)
    (GOLDEN / "block-diffusion.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
