"""Trains the model. Seeded, and resumable: the same command again goes on from the state in OUT.

    pip install -r requirements.txt
    python train.py OUT [--steps N | --minutes M]

Batches alternate between the causal and the block loss. The causal one costs a third for each conversation, so it has a
larger part at first, where the tasks are learned; later the block loss has most. OUT becomes a checkpoint. A CUDA
device is used where there is one.
"""

import argparse
import functools
import json
import random
import time
from pathlib import Path

import torch

import corpus
import evaluate
import objectives
from checkpoint import export
from data import batches, make_tokenizer
from mix import Mix
from model import BitLinear, Model, Shape
from muon import Muon

MUON_RATE, ADAM_RATE = 0.008, 1e-3
WARM_UP = 100  # Steps.
# From which share of the schedule on how many batches of four are causal.
CAUSAL = [(0.4, 1), (0.0, 2)]
# From this share of the schedule on, the rates fall to zero.
FALL = 0.2
# Seconds.
SAVE_EVERY, EVALUATE_EVERY = 240, 1200
MODES = [evaluate.ar, evaluate.adaptive]


class Run:
    """What training changes, and keeps in OUT/state.pt."""

    def __init__(self, model, file):
        matrices = [module.weight for module in model.modules() if isinstance(module, BitLinear)]
        known = set(map(id, matrices))
        others = [parameter for parameter in model.parameters() if id(parameter) not in known]
        self.file, self.step, self.spent = file, 0, 0.0
        self.parts = dict(
            model=model, muon=Muon(matrices, MUON_RATE),
            adam=torch.optim.AdamW(others, ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0), mix=Mix(),
        )

    def restore(self, device):
        if self.file.exists():
            state = torch.load(self.file, map_location=device)
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            self.step, self.spent = state["step"], state["spent"]

    def save(self):
        state = {name: part.state_dict() for name, part in self.parts.items()}
        unfinished = self.file.with_suffix(".tmp")
        torch.save(dict(**state, step=self.step, spent=self.spent), unfinished)
        unfinished.replace(self.file)

    def update(self, loss, factor):
        """One step down `loss`, at `factor` times the learning rates."""
        model, muon, adam, _ = self.parts.values()
        for group in adam.param_groups:
            group["lr"] = ADAM_RATE * factor
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step(factor)
        adam.step()
        self.step += 1


def causal_of_four(progress):
    return next(count for since, count in CAUSAL if progress >= since)


def rate(step, progress):
    """The factor of both learning rates."""
    return min(1, (step + 1) / WARM_UP, (1 - progress) / (1 - FALL))


def train(run, model, tokenizer, args, device):
    # All layers share what is compiled, once for each length.
    torch._dynamo.config.recompile_limit = 32
    run_layer = torch.compile(lambda layer, *inputs: layer(*inputs), dynamic=False)
    hidden = functools.partial(model.hidden, run=run_layer)
    cases = list(corpus.evaluation(seed=7))
    random.Random(7).shuffle(cases)
    mix = run.parts["mix"]
    source = batches(tokenizer, random.Random(f"{args.seed} {run.step}"), mix.weights)
    generator = torch.Generator().manual_seed(args.seed + run.step)
    averages, start, saved, evaluated = {}, time.time() - run.spent, run.spent, run.spent

    while (progress := run.spent / 60 / args.minutes if args.minutes else run.step / args.steps) < 1:
        batch = next(source)
        if run.step % 4 < causal_of_four(progress):
            objective = objectives.causal
        else:
            objective, batch = objectives.block, batch.half()
        loss, right = objective(hidden, model, batch.to(device), generator)
        run.update(loss, rate(run.step, progress))
        mix.watch(batch.tasks, right.tolist())
        run.spent = time.time() - start

        name, loss = objective.__name__, loss.item()
        averages[name] = 0.98 * averages.get(name, loss) + 0.02 * loss
        if run.step % 50 == 0:
            figures = (f"{name} {average:.3f}" for name, average in averages.items())
            wrong = (f"{task} {share:.0%}" for task, share in mix.wrong.items())
            print(f"{run.step} {run.spent / 60:.1f} min", *figures, "| wrong:", *wrong, flush=True)
        if run.spent - saved > SAVE_EVERY:
            saved = run.spent
            run.save()
        if run.spent - evaluated > EVALUATE_EVERY:
            evaluated = run.spent
            print(json.dumps(evaluate.accuracy(model, tokenizer, cases[:60], MODES)), flush=True)
    run.save()
    print(json.dumps(evaluate.accuracy(model, tokenizer, cases[:300], MODES)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=11000, help="length of the schedule")
    parser.add_argument("--minutes", type=float, help="the same as a time, instead of steps")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(args.seed)
    tokenizer = make_tokenizer(args.out / "tokenizer.json")
    model = Model(Shape(vocabulary=tokenizer.get_vocab_size())).to(device)
    print(f"{sum(parameter.numel() for parameter in model.parameters())} parameters, {device}", flush=True)
    run = Run(model, args.out / "state.pt")
    run.restore(device)
    train(run, model, tokenizer, args, device)
    export(model, args.out)


if __name__ == "__main__":
    main()
