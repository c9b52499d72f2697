"""A plain decoder without a cache, to watch training with. Results are measured with `webtern eval`."""

import collections

import torch

from data import BLOCK, END, MASK

LIMIT, SUB_BLOCK = 96, 8


def prompt(tokenizer, messages):
    text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return tokenizer.encode(f"{text}<|im_start|>assistant\n").ids


@torch.no_grad()
def logits(model, tokens, mask):
    device = next(model.parameters()).device
    positions = torch.arange(len(tokens), device=device)
    logits = model.logits(model.hidden(torch.tensor([tokens], device=device), positions, mask.to(device)))[0].cpu()
    logits[:, MASK] = -torch.inf
    return logits


def ar(model, tokens):
    """New tokens, and the passes they took."""
    tokens, start = list(tokens), len(tokens)
    while len(tokens) - start < LIMIT and END not in tokens[start:]:
        mask = torch.ones(len(tokens), len(tokens), dtype=torch.bool).tril()
        tokens.append(int(logits(model, tokens, mask)[-1].argmax()))
    return tokens[start:], len(tokens) - start


def adaptive(model, tokens, threshold=0.9):
    """New tokens, and the passes they took, in the mode of that name; src/decode has the algorithm in words."""
    thresholds = [min(threshold, max(0.5, threshold - 0.4)), min(threshold, max(0.7, threshold - 0.2)), threshold]
    tokens, start, passes = list(tokens), len(tokens), 0

    def run():
        blocks = torch.arange(len(tokens)) // BLOCK
        return logits(model, tokens, blocks[None] <= blocks[:, None])

    while len(tokens) - start < LIMIT:
        if len(tokens) % BLOCK == 0:
            tokens.append(int(run()[-1].argmax()))
        begin = len(tokens) // BLOCK * BLOCK
        tokens += [MASK] * (begin + BLOCK - len(tokens))
        for at in range(begin, begin + BLOCK, SUB_BLOCK):
            turn = 0
            while masked := [i for i in range(at, at + SUB_BLOCK) if tokens[i] == MASK]:
                sure, token = run().softmax(-1).max(-1)
                surest = max(masked, key=lambda i: float(sure[i - 1]))
                for i in masked:
                    if i == surest or sure[i - 1] > thresholds[min(turn, 2)]:
                        tokens[i] = int(token[i - 1])
                turn, passes = turn + 1, passes + 1
                new = tokens[start:]
                if END in new and MASK not in new[: new.index(END)]:
                    return new[: new.index(END) + 1], passes
    return tokens[start:], passes


def accuracy(model, tokenizer, cases, modes):
    """For each mode the share of right answers, right answers of those asked by task, and tokens per pass."""
    report = {}
    for decode in modes:
        right, asked, made, passes = collections.Counter(), collections.Counter(), 0, 0
        for case in cases:
            new, count = decode(model, prompt(tokenizer, case["messages"]))
            asked[case["task"]] += 1
            right[case["task"]] += tokenizer.decode(new) == case["answer"]
            made, passes = made + len(new), passes + count
        report[decode.__name__] = dict(
            exact=round(right.total() / len(cases), 3), tokens_per_pass=round(made / passes, 2),
            tasks={task: f"{right[task]}/{asked[task]}" for task in asked},
        )
    return report
