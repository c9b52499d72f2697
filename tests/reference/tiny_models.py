"""Tiny models of `transformers` with random weights: what model_golden.py and checkpoint_golden.py share."""

import os

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # BitLinear layers would compile C++ for a few multiplications.

import math
import re
import zlib

import numpy as np
import torch
from transformers.integrations.bitnet import AutoBitLinear, BitLinear

VOCAB, CONTEXT, LAYERS = 64, 96, 2
# Large, so that a norm with a wrong one is far off.
EPSILON, SUB_EPSILON = 1e-3, 0.25
# Of an int8 step; far above the error of a float.
MARGIN = 1e-3


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


def seeded(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def linears(model):
    kinds = (torch.nn.Linear, BitLinear)
    return [(name, layer) for name, layer in model.named_modules() if isinstance(layer, kinds) and "layers." in name]


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


def random_tokens(model, rng, count):
    """Random tokens; with BitLinear layers, such that no activation is rounded to int8 from within `MARGIN` of a tie.

    A rounding that is nearly a tie would turn the last bit of a float into a whole step."""
    quantised = [layer for _, layer in linears(model) if isinstance(layer, (AutoBitLinear, BitLinear))]
    if not quantised:
        return rng.integers(0, VOCAB, count)
    margins = torch.full((VOCAB,), 0.5)

    def note(layer, inputs):
        x = inputs[0][:, -1]
        scaled = x * 127 / x.abs().amax(-1, keepdim=True)
        margins.copy_(margins.minimum(((scaled - scaled.floor()) - 0.5).abs().amin(-1)))

    hooks = [layer.register_forward_pre_hook(note) for layer in quantised]
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


def logits(model, ids, block=None):
    """One row a token. Under Fast-dLLM's mask (arXiv:2509.26328), a position sees its whole `block` and all before it."""
    position = torch.arange(len(ids))
    mask = None
    if block:
        seen = position[None] // block <= position[:, None] // block
        mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)[None, None]
    with torch.no_grad():
        return model(torch.from_numpy(ids)[None], attention_mask=mask).logits[0].numpy()
