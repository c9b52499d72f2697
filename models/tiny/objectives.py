"""The two losses. Both are cross-entropies over the assistant's tokens, predicted from the row before (token shift).

Each takes `hidden`, which is `Model.hidden`, the model, a `Batch` and a random generator, and returns the loss and for
every row whether all its predictions were right.
"""

import torch
import torch.nn.functional as F

from data import BLOCK, MASK

SUB_BLOCK = 8
ORDERED = 0.7  # The share of blocks that are masked in the order of decoding.


def causal(hidden, model, batch, generator):
    """Next-token prediction."""
    length, device = batch.tokens.shape[1], batch.tokens.device
    mask = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    states = hidden(batch.tokens, torch.arange(length, device=device), mask)
    return score(model, states, batch.tokens, batch.answer)


def block(hidden, model, batch, generator):
    """Block diffusion as in Fast-dLLM v2 (arXiv:2509.26328).

    In every block a part of the answer is masked, and in a second view another (see `noise`). Both noisy views and one clean
    copy run as one sequence: a noisy block sees itself and the clean blocks before it, a clean one itself and those
    before. The noisy rows predict what is masked. The clean copy's last row of a block predicts the next block's first
    token, as it does after the runtime's commit.
    """
    tokens, answer = batch.tokens, batch.answer
    rows, length = tokens.shape
    device = tokens.device
    chosen = noise(rows, length, generator).to(device)
    positions = torch.arange(length, device=device)
    blocks = positions // BLOCK
    wanted = [answer & chosen[0], answer & chosen[1], answer & (positions % BLOCK == 0)]
    views = [tokens.masked_fill(masked, MASK) for masked in wanted[:2]] + [tokens]

    same, before = blocks[:, None] == blocks[None], blocks[None] < blocks[:, None]
    none = torch.zeros_like(same)
    seen = torch.cat([
        torch.cat([same, none, before], 1), torch.cat([none, same, before], 1), torch.cat([none, none, same | before], 1),
    ])
    states = hidden(torch.cat(views, 1), positions.repeat(3), seen).view(rows, 3, length, -1)
    return score(model, states, tokens[:, None].expand(-1, 3, -1), torch.stack(wanted, 1))


def noise(rows, length, generator):
    """What the two views mask, [2, rows, length].

    In some blocks a random share and its complement. In the others what decoding from left to right meets: everything
    behind the current sub-block and a random share of that, for another sub-block in each view.
    """
    blocks = 2, rows, length // BLOCK, 1
    share = torch.rand(blocks, generator=generator).clamp(0.02, 1)
    random = torch.rand(2, rows, length // BLOCK, BLOCK, generator=generator) < share
    current = torch.randint(BLOCK // SUB_BLOCK, blocks, generator=generator)
    at = torch.arange(BLOCK) // SUB_BLOCK
    ordered = (at > current) | (at == current) & random
    complementary = torch.stack([random[0], ~random[0]])
    is_ordered = torch.rand(blocks[1:], generator=generator) < ORDERED
    return torch.where(is_ordered, ordered, complementary).view(2, rows, length)


def score(model, states, tokens, wanted):
    """Loss and right rows of states [rows, ..., length, hidden]; `wanted` says which of the tokens count."""
    states, tokens, wanted = states[..., :-1, :], tokens[..., 1:], wanted[..., 1:]
    logits, targets = model.logits(states[wanted]), tokens[wanted]
    wrong = torch.zeros(wanted.shape, dtype=torch.bool, device=wanted.device)
    wrong[wanted] = logits.argmax(-1) != targets
    return F.cross_entropy(logits, targets), ~wrong.flatten(1).any(1)
