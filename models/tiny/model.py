"""The model: a Llama whose projections are BitLinear, with SubLN as WrinkleFree lays it out.

BitLinear (BitNet b1.58, arXiv:2402.17764) keeps weights in full precision and computes with their ternary form, one
scale a matrix, on activations rounded to int8, one scale a row. SubLN is an RMSNorm before the output and down
projections: each is a `Sequential` of the two, so that the checkpoint's names are `o_proj.0.weight` and
`o_proj.1.weight`.
"""

from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    hidden: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 512
    context: int = 512
    epsilon: float = 1e-5
    sub_epsilon: float = 1e-6
    rope_base: float = 10_000.0

    @property
    def head_dim(self):
        return self.hidden // self.heads


class RMSNorm(nn.Module):
    def __init__(self, size, epsilon):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon) * self.weight


def ternary(weight):
    """The scale, and {-1, 0, 1}."""
    scale = weight.abs().mean().clamp(min=1e-5)
    return scale, (weight / scale).round().clamp(-1, 1)


class BitProduct(torch.autograd.Function):
    """Activations [..., inputs] times weights [outputs, inputs], both rounded; gradients pass straight through that.

    Integers up to 256 are exact in bfloat16, whose products are fast. The sums are rounded to bfloat16, which a
    runtime that adds integers does not do.
    """

    @staticmethod
    def forward(ctx, x, weight):
        scale, codes = ternary(weight)
        codes = codes.bfloat16()
        inverse = 127 / x.abs().amax(-1, keepdim=True).clamp(min=1e-5)
        rounded = (x * inverse).round().clamp(-127, 127)
        ctx.save_for_backward((rounded / inverse).bfloat16(), codes, scale)
        return F.linear(rounded.bfloat16(), codes).float() / inverse * scale

    @staticmethod
    def backward(ctx, gradient):
        x, codes, scale = ctx.saved_tensors
        gradient = gradient.bfloat16()
        to_weight = gradient.reshape(-1, gradient.shape[-1]).T @ x.reshape(-1, x.shape[-1])
        return (gradient @ codes).float() * scale, to_weight.float()


class BitLinear(nn.Linear):
    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x):
        return BitProduct.apply(x, self.weight)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        width, kv_width = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.q_proj = BitLinear(shape.hidden, width)
        self.k_proj = BitLinear(shape.hidden, kv_width)
        self.v_proj = BitLinear(shape.hidden, kv_width)
        self.o_proj = nn.Sequential(RMSNorm(width, shape.sub_epsilon), BitLinear(width, shape.hidden))

    def forward(self, x, rotation, mask):
        rows, length, _ = x.shape
        q, k, v = (
            projection(x).view(rows, length, -1, self.shape.head_dim).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        queries = self.shape.heads // self.shape.kv_heads
        k, v = rotate(k, *rotation).repeat_interleave(queries, 1), v.repeat_interleave(queries, 1)
        out = F.scaled_dot_product_attention(rotate(q, *rotation), k, v, attn_mask=mask)
        return self.o_proj(out.transpose(1, 2).reshape(rows, length, -1))


class FeedForward(nn.Module):
    def __init__(self, shape):
        super().__init__()
        hidden, wide = shape.hidden, shape.feed_forward
        self.gate_proj = BitLinear(hidden, wide)
        self.up_proj = BitLinear(hidden, wide)
        self.down_proj = nn.Sequential(RMSNorm(wide, shape.sub_epsilon), BitLinear(wide, hidden))

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.self_attn, self.mlp = Attention(shape), FeedForward(shape)
        self.input_layernorm = RMSNorm(shape.hidden, shape.epsilon)
        self.post_attention_layernorm = RMSNorm(shape.hidden, shape.epsilon)

    def forward(self, x, rotation, mask):
        x = x + self.self_attn(self.input_layernorm(x), rotation, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.hidden, shape.epsilon)


class Model(nn.Module):
    """Modules are named as in `transformers`. The output head is the embedding."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        nn.init.normal_(self.model.embed_tokens.weight, std=0.05)

    def hidden(self, tokens, positions, mask, run=Layer.__call__):
        """Final states [rows, length, hidden] of tokens [rows, length] at positions [length].

        The mask [length, length] is true where a row may see a column; `run` runs a layer.
        """
        dimensions = torch.arange(0, self.shape.head_dim, 2, device=tokens.device)
        angles = positions[:, None].float() * self.shape.rope_base ** (-dimensions / self.shape.head_dim)
        rotation = angles.cos(), angles.sin()
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            x = run(layer, x, rotation, mask)
        return self.model.norm(x)

    def logits(self, hidden):
        return hidden @ self.model.embed_tokens.weight.T
