#!/usr/bin/env python3
"""Trains the demo model, or goes on training it.

    train.py --work FOLDER [--minutes M] [--items N] ...

FOLDER (outside the repository) holds state.pt (weights, optimiser, place in the stream),
weights.pt (the same without the optimiser, a third of the bytes, to go on with a fresh one),
log.json and curves.png. A run with a FOLDER that has a state goes on from it. The length of the
plan is --items; --minutes only ends this run, and so does Ctrl-C or a plain kill, with the state
saved. Uses a GPU when there is one, else the CPU.
Before: curriculum.py.   After: export.py.
"""

import argparse
import json
import math
import os
import signal
import time
from pathlib import Path

import torch

import network
from curriculum import PLAN, batches
from features import collate, example
from generator import make_item
from plots import draw_curves


def parse():
    cores = os.cpu_count() or 1
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--work", type=Path, required=True, help="folder of the state, outside the repository")
    add("--size", choices=("demo", "tiny"), default="demo")
    add("--items", type=int, default=2_000_000, help="length of the plan")
    add("--minutes", type=float, default=math.inf, help="end this run after so long")
    add("--steps", type=int, default=0, help="end this run after so many steps (0: no limit)")
    add("--skills", default=",".join(PLAN), help="only these, separated by commas")
    add("--cycle", type=int, default=0, help="repeat the first N easy items (smoke test)")
    add("--batch-tokens", type=int, default=49152 if gpu else 4096)
    add("--pool", type=int, default=768 if gpu else 64, help="items sorted by length at a time")
    add("--rate", type=float, default=1.2e-3 if gpu else 8e-4, help="highest learning rate")
    add("--warm-up", type=int, default=300, help="steps until the highest rate")
    add("--report", type=int, default=100, help="steps between lines of the log")
    add("--score", type=int, default=1000, help="steps between held-out scores")
    add("--score-items", type=int, default=128 if gpu else 24, help="held-out items of each skill")
    add("--save-minutes", type=float, default=4)
    add("--workers", type=int, default=cores if gpu else max(1, cores - 1))
    add("--threads", type=int, default=1 if gpu else cores)
    add("--float32", dest="bfloat16", action="store_false", help="no bfloat16 in matrix products")
    add(
        "--compile",
        action="store_true",
        help="compile the decoder's layers: a minute's wait, then a third faster",
    )
    add("--seed", type=int, default=1)
    return parser.parse_args()


class Run:
    """The model, the optimiser and where they are in the plan."""

    def __init__(self, options):
        self.options = options
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        on_gpu = self.device.type == "cuda"
        self.model = network.build(options.size, options.seed, fused_attention=on_gpu)
        self.model = self.model.to(self.device).train()
        self.optimiser = self.make_optimiser()
        self.step, self.number, self.items, self.seconds = 0, 0, 0, 0.0
        self.warm_from = 0  # the step at which the optimiser was fresh
        self.history, self.scores = [], []
        options.work.mkdir(parents=True, exist_ok=True)
        for name in ("state.pt", "weights.pt"):
            if (options.work / name).exists():
                self.load(options.work / name)
                break
        if options.compile:
            for layer in self.model.model.language_model.layers:
                layer.compile(dynamic=True)

    def make_optimiser(self):
        wide = [p for p in self.model.parameters() if p.ndim >= 2]
        narrow = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": wide, "weight_decay": 0.05}, {"params": narrow, "weight_decay": 0.0}]
        fused = self.device.type == "cuda"
        return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=fused)

    def load(self, path):
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["size"] != self.options.size:
            raise SystemExit(f"{path}: a {state['size']} model, expected {self.options.size}")
        self.model.load_state_dict(state["model"])
        for name in ("step", "number", "items", "seconds", "warm_from", "history", "scores"):
            setattr(self, name, state[name])
        if "optimiser" in state:
            self.optimiser.load_state_dict(state["optimiser"])
        else:
            self.warm_from = self.step
        print(f"{path}: going on at step {self.step}, {self.items} items", flush=True)

    def save(self):
        work = self.options.work
        state = {
            "size": self.options.size,
            "model": self.model.state_dict(),
            **{
                name: getattr(self, name)
                for name in ("step", "number", "items", "seconds", "warm_from", "history", "scores")
            },
        }
        for name, extra in (
            ("weights.pt", {}),
            ("state.pt", {"optimiser": self.optimiser.state_dict()}),
        ):
            torch.save({**state, **extra}, work / "part.tmp")
            os.replace(work / "part.tmp", work / name)
        log = {
            "size": self.options.size,
            "parameters": network.parameter_count(self.model),
            "planned_items": self.options.items,
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
            "steps": self.step,
            "items": self.items,
            "seconds": round(self.seconds),
            "history": self.history,
            "scores": self.scores,
        }
        (work / "log.json").write_text(json.dumps(log, indent=1) + "\n")
        draw_curves(log, work / "curves.png")

    def rate(self):
        """Linear warm-up, then a cosine from the highest rate to a fiftieth of it."""
        warm = min(1.0, (self.step - self.warm_from + 1) / self.options.warm_up)
        done = min(1.0, self.number / self.options.items)
        return self.options.rate * warm * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, self.options.bfloat16)

    def learn(self, batch):
        """One step; returns (loss, share of right tokens) on the device."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        with self.autocast():
            value, right = network.loss(self.model, network.to_device(batch, self.device))
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        return value.detach(), right

    @torch.no_grad()
    def score(self, examples):
        """Per skill: share of items answered exactly, and of answer tokens predicted right."""
        self.model.eval()
        result = {}
        for skill, group in examples.items():
            exact, tokens, count = 0, 0, 0
            for start in range(0, len(group), 16):
                batch = network.to_device(collate(group[start : start + 16]), self.device)
                with self.autocast():
                    _, right = network.answers(self.model, batch)
                whole = torch.ones(len(group[start : start + 16]), device=self.device)
                whole.scatter_reduce_(0, batch["answer_items"], right.float(), "amin")
                exact += whole.sum().item()
                tokens += right.sum().item()
                count += len(right)
            result[skill] = [round(exact / len(group), 4), round(tokens / count, 4)]
        self.model.train()
        return result


def held_out(options, skills):
    """The items that are scored during training; with --cycle the trained ones themselves."""
    if options.cycle:
        return {
            s: [example(make_item(s, "train", i, 0.0)) for i in range(options.cycle)]
            for s in skills
        }
    return {
        s: [example(make_item(s, "held_out", i)) for i in range(options.score_items)]
        for s in skills
    }


def loop(run, stream, examples):
    """Steps until the plan, the minutes or the steps are over."""
    options = run.options
    begin = last_save = last_report = time.monotonic()
    sums, seen, before = torch.zeros(2, device=run.device), 0, run.seconds
    first_step = last_step = run.step
    while run.number < options.items:
        batch = next(stream)
        number, n_items = batch.pop("next_number"), batch.pop("n_items")
        sums += torch.stack(run.learn(batch))
        run.step, run.items, seen = run.step + 1, run.items + n_items, seen + n_items
        run.number = max(run.number, number)
        now = time.monotonic()
        run.seconds = before + now - begin
        if run.step % options.report == 0:
            loss, right = (sums / (run.step - last_step)).tolist()
            pace = seen / (now - last_report)
            print(
                f"step {run.step:6d}  items {run.items:8d}  loss {loss:.4f}  "
                f"tokens right {right:.4f}  rate {run.rate():.2e}  {pace:.1f} items/s",
                flush=True,
            )
            run.history.append([run.step, run.items, round(loss, 5), round(right, 5)])
            sums, seen = torch.zeros_like(sums), 0
            last_step, last_report = run.step, time.monotonic()
        over = now - begin > 60 * options.minutes
        over = over or (options.steps and run.step - first_step >= options.steps)
        if run.step % options.score == 0 or over or run.number >= options.items:
            scores = run.score(examples)
            run.scores.append([run.step, run.items, scores])
            print(
                "  exact " + "  ".join(f"{s} {e:.3f}" for s, (e, _) in scores.items()), flush=True
            )
        if now - last_save > 60 * options.save_minutes:
            run.save()
            last_save = now
        if over:
            break
    run.save()


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high")
    skills = options.skills.split(",")
    unknown = [skill for skill in skills if skill not in PLAN]
    if unknown:
        raise SystemExit(f"train: no skill {', '.join(unknown)}; there are {', '.join(PLAN)}")
    run = Run(options)
    print(f"{network.parameter_count(run.model)} parameters on {run.device}", flush=True)
    plan = {
        "seed": options.seed,
        "first": run.number,
        "planned": options.items,
        "pool": options.pool,
        "batch_tokens": options.batch_tokens,
        "skills": skills,
        "cycle": options.cycle,
    }
    stream = batches(plan, options.workers)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        loop(run, stream, held_out(options, skills))
    except KeyboardInterrupt:
        run.save()
        print(f"stopped at step {run.step}; the state is saved", flush=True)


if __name__ == "__main__":
    main()
