"""The two losses. Both are cross-entropies over the assistant's tokens, predicted from the row before (token shift).

Each takes `hidden`, which is `Model.hidden`, the model, and a batch: tokens and what the assistant wrote of them,
[rows, length] each.
"""

import torch
import torch.nn.functional as F

from data import BLOCK, MASK


def causal(hidden, model, tokens, answer, generator):
    """Next-token prediction."""
    length, device = tokens.shape[1], tokens.device
    mask = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    states = hidden(tokens, torch.arange(length, device=device), mask)
    wanted = answer[:, 1:]
    return F.cross_entropy(model.logits(states[:, :-1][wanted]), tokens[:, 1:][wanted])


def block(hidden, model, tokens, answer, generator):
    """Block diffusion as in Fast-dLLM v2 (arXiv:2509.26328).

    In every block a random share of the answer is masked; a second view masks exactly the rest. Both noisy views and one
    clean copy run as one sequence: a noisy block sees itself and the clean blocks before it, a clean one itself and those
    before. The noisy rows predict what is masked. The clean copy's last row of a block predicts the next block's first
    token, as it does after the runtime's commit.
    """
    rows, length = tokens.shape
    device = tokens.device
    share = torch.rand(rows, length // BLOCK, generator=generator).clamp(0.02, 1).repeat_interleave(BLOCK, 1)
    chosen = (torch.rand(rows, length, generator=generator) < share).to(device)
    positions = torch.arange(length, device=device)
    blocks = positions // BLOCK
    wanted = [answer & chosen, answer & ~chosen, answer & (positions % BLOCK == 0)]
    views = [tokens.masked_fill(masked, MASK) for masked in wanted[:2]] + [tokens]

    same, before = blocks[:, None] == blocks[None], blocks[None] < blocks[:, None]
    none = torch.zeros_like(same)
    seen = torch.cat([
        torch.cat([same, none, before], 1), torch.cat([none, same, before], 1), torch.cat([none, none, same | before], 1),
    ])
    states = hidden(torch.cat(views, 1), positions.repeat(3), seen).view(rows, 3, length, -1)
    wanted = torch.stack(wanted, 1)[..., 1:]
    targets = tokens[:, None, 1:].expand_as(wanted)[wanted]
    return F.cross_entropy(model.logits(states[:, :, :-1][wanted]), targets)
