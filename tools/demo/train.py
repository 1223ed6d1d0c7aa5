#!/usr/bin/env python3
"""Trains the demo model, or goes on training it.

    train.py --work FOLDER [--minutes M] [--lessons N] ...

FOLDER (outside the repository) holds state.pt (weights, optimiser, place in the stream),
weights.pt (the same without the optimiser, a third of the bytes, to go on with a fresh one),
log.json and curves.png. A run with a FOLDER that has a state goes on from it. The length of the
plan is --lessons; --minutes only ends this run, and so does Ctrl-C or a plain kill, with the state
saved. Uses a GPU when there is one, else the CPU.
Before: curriculum.py.   After: export.py.
"""

import argparse
import json
import math
import os
import signal
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

# Threads that wait must not keep a processor from those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Products are prepared for each shape once.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")

import torch

import network
from curriculum import PLAN, batches
from features import collate, example
from generator import make_lesson
from muon import Optimiser
from plots import draw_curves


def parse():
    cores = os.cpu_count() or 1
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--work", type=Path, required=True, help="folder of the state, outside the repository")
    add("--size", choices=("demo", "tiny"), default="demo")
    add("--lessons", type=int, default=400_000, help="length of the plan")
    add(
        "--sight",
        type=int,
        help="first so many lessons teach only the tower what it sees: about twice as fast (40000, or "
        "as the run began)",
    )
    add("--minutes", type=float, default=math.inf, help="end this run after so long")
    add("--steps", type=int, default=0, help="end this run after so many steps (0: no limit)")
    add("--kinds", default=",".join(PLAN), help="only these lessons, separated by commas")
    add("--cycle", type=int, default=0, help="repeat the first N easy lessons (smoke test)")
    add("--batch-tokens", type=int, default=49152 if gpu else 6144, help="of each thread")
    add("--pool", type=int, default=768 if gpu else 160, help="lessons sorted by length at a time")
    add("--rate", type=float, default=0.9e-3, help="highest learning rate")
    add("--warm-up", type=int, default=150, help="steps until the highest rate")
    add("--decay", type=float, default=0.4, help="last share of the plan, with a falling rate")
    add("--report", type=int, default=100, help="steps between lines of the log")
    add("--score", type=int, default=1000, help="steps between held-out scores")
    add("--score-items", type=int, default=128 if gpu else 24, help="held-out lessons of each kind")
    add("--save-minutes", type=float, default=4)
    add("--workers", type=int, default=cores if gpu else max(1, cores - 1))
    add("--threads", type=int, default=1 if gpu else cores)
    add("--float32", dest="bfloat16", action="store_false", help="no bfloat16 in matrix products")
    add("--seed", type=int, default=1)
    return parser.parse_args()


KEPT = ("step", "number", "sight", "lessons", "seconds", "warm_from", "history", "scores")


class Run:
    """The model, the optimiser and where they are in the plan."""

    def __init__(self, options):
        self.options = options
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = torch.bfloat16 if options.bfloat16 else torch.float32
        self.model = network.build(options.size, options.seed).to(self.device).train()
        self.helpers = network.Helpers(self.model).to(self.device)
        self.weights = [weight for _, weight in self.named_parameters()]
        self.optimiser = Optimiser(self.named_parameters())
        self.step, self.number, self.lessons, self.seconds = 0, 0, 0, 0.0
        self.sight = 40_000
        self.warm_from = 0  # the step at which the optimiser was fresh
        self.history, self.scores = [], []
        options.work.mkdir(parents=True, exist_ok=True)
        for name in ("state.pt", "weights.pt"):
            if (options.work / name).exists():
                self.load(options.work / name)
                break
        if options.sight is not None:
            self.sight = options.sight

    def named_parameters(self):
        yield from self.model.named_parameters()
        yield from self.helpers.named_parameters("helpers")

    def load(self, path):
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["size"] != self.options.size:
            raise SystemExit(f"{path}: a {state['size']} model, expected {self.options.size}")
        self.model.load_state_dict(state["model"])
        self.helpers.load_state_dict(state["helpers"])
        for name in KEPT:
            setattr(self, name, state[name])
        if "optimiser" in state:
            self.optimiser.load_state_dict(state["optimiser"])
        else:
            self.warm_from = self.step
        print(f"{path}: going on at step {self.step}, {self.lessons} lessons", flush=True)

    def save(self):
        work = self.options.work
        state = {
            "size": self.options.size,
            "model": self.model.state_dict(),
            "helpers": self.helpers.state_dict(),
            **{name: getattr(self, name) for name in KEPT},
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
            "planned_lessons": self.options.lessons,
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
            "steps": self.step,
            "lessons": self.lessons,
            "seconds": round(self.seconds),
            "history": self.history,
            "scores": self.scores,
        }
        (work / "log.json").write_text(json.dumps(log, indent=1) + "\n")
        draw_curves(log, work / "curves.png")

    def done(self):
        """Share of the plan that is done, after the lessons of sight."""
        asked = self.options.lessons - self.sight
        return min(1.0, max(0, self.number - self.sight) / max(1, asked))

    def rate(self):
        """Linear warm-up, a level stretch, and a linear fall over the last share of the plan."""
        warm = min(1.0, (self.step - self.warm_from + 1) / self.options.warm_up)
        return (
            self.options.rate * warm * max(0.01, min(1.0, (1 - self.done()) / self.options.decay))
        )

    def helper_share(self):
        """The weight of the helper heads' loss: first most of all, then an aside."""
        return max(0.2, 1.5 - 3 * self.done())

    def gradients(self, batch):
        """(gradients of all parameters, [loss, loss of the helper heads, share of right tokens]).

        Without text, the share of right letters; gradients of the decoder are None.
        """
        batch = network.to_device(batch, self.device)
        if "ids" in batch:
            value, taught, right = network.loss(self.model, self.helpers, batch, self.dtype)
            whole = value + self.helper_share() * taught
        else:
            whole, right = network.sight_loss(self.model, self.helpers, batch, self.dtype)
            value, taught = torch.zeros_like(whole), whole
        found = torch.autograd.grad(whole, self.weights, allow_unused=True)
        return found, torch.stack([value.detach(), taught.detach(), right])

    def learn(self, batch):
        """One step; returns the measures of `gradients`. Several threads may be in here."""
        found, measures = self.gradients(batch)
        norm = torch.nn.utils.get_total_norm([part for part in found if part is not None])
        if not math.isfinite(norm):
            raise SystemExit(f"train: step {self.step}: a gradient is not finite")
        short = 1 / max(1.0, norm.item())
        found = [None if part is None else part * short for part in found]
        self.optimiser.step(found, self.rate())
        return measures

    @torch.no_grad()
    def score(self, examples):
        """Per group: share of questions answered exactly, and of answer tokens predicted right."""
        self.model.eval()
        result = {}
        for name, group in examples.items():
            exact, tokens, asked, count = 0, 0, 0, 0
            for start in range(0, len(group), 16):
                batch = network.to_device(collate(group[start : start + 16]), self.device)
                right = network.answers(self.model, batch, self.dtype)
                whole = torch.ones(int(batch["answer_questions"].max()) + 1, device=self.device)
                whole.scatter_reduce_(0, batch["answer_questions"], right.float(), "amin")
                exact, asked = exact + whole.sum().item(), asked + len(whole)
                tokens, count = tokens + right.sum().item(), count + len(right)
            result[name] = [round(exact / asked, 4), round(tokens / count, 4)]
        self.model.train()
        return result


def held_out(options, kinds):
    """What is scored during training: held-out lessons; with --cycle the lessons learnt."""
    if options.cycle:
        return {
            kind: [example(make_lesson(kind, i, 0.0)) for i in range(options.cycle)]
            for kind in kinds
        }
    return {
        kind: [example(make_lesson(kind, i, split="held_out")) for i in range(options.score_items)]
        for kind in kinds
    }


def steps(run, stream):
    """Yields (measures, lessons) of one step after the other, --threads of them under way.

    Side by side on one thread each, steps are faster than one after the other on all threads; with
    more than one, a run is no longer the same every time.
    """
    threads = run.options.threads
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    under_way = []
    with pool:
        while run.number < run.options.lessons or under_way:
            while run.number < run.options.lessons and len(under_way) < threads:
                batch = next(stream)
                run.number = max(run.number, batch.pop("next_number"))
                lessons = batch.pop("n_lessons")
                under_way.append((pool.submit(run.learn, batch), lessons))
            wait([future for future, _ in under_way], return_when=FIRST_COMPLETED)
            for entry in [entry for entry in under_way if entry[0].done()]:
                under_way.remove(entry)
                run.step, run.lessons = run.step + 1, run.lessons + entry[1]
                yield entry[0].result(), entry[1]


def loop(run, stream, examples):
    """Steps until the plan, the minutes or the steps are over."""
    options = run.options
    begin = last_save = last_report = time.monotonic()
    sums, seen, before = torch.zeros(3, device=run.device), 0, run.seconds
    first_step = last_step = run.step
    over = False
    for measures, n_lessons in steps(run, stream):
        sums, seen, now = sums + measures, seen + n_lessons, time.monotonic()
        run.seconds = before + now - begin
        if run.step % options.report == 0:
            loss, taught, right = (sums / (run.step - last_step)).tolist()
            pace = seen / (now - last_report)
            print(
                f"step {run.step:6d}  lessons {run.lessons:7d}  loss {loss:.4f}  helpers {taught:.3f}  "
                f"right {right:.4f}  rate {run.rate():.2e}  {pace:.1f} lessons/s",
                flush=True,
            )
            run.history.append([run.step, run.lessons, round(loss, 5), round(right, 5)])
            sums, seen = torch.zeros_like(sums), 0
            last_step, last_report = run.step, now
        over = now - begin > 60 * options.minutes
        over = over or bool(options.steps and run.step - first_step >= options.steps)
        if run.step % options.score == 0 or over:
            note_scores(run, examples)
        if now - last_save > 60 * options.save_minutes:
            run.save()
            last_save = now
        if over:
            break
    if not over:
        note_scores(run, examples)
    run.save()


def note_scores(run, examples):
    scores = run.score(examples)
    run.scores.append([run.step, run.lessons, scores])
    print("  exact " + "  ".join(f"{s} {e:.3f}" for s, (e, _) in scores.items()), flush=True)


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high")
    kinds = options.kinds.split(",")
    unknown = [kind for kind in kinds if kind not in PLAN]
    if unknown:
        raise SystemExit(f"train: no lesson {', '.join(unknown)}; there are {', '.join(PLAN)}")
    run = Run(options)
    print(f"{network.parameter_count(run.model)} parameters on {run.device}", flush=True)
    plan = {
        "seed": options.seed,
        "first": run.number,
        "sight": 0 if options.cycle else run.sight,
        "planned": options.lessons,
        "pool": options.pool,
        "batch_tokens": options.batch_tokens,
        "kinds": kinds,
        "cycle": options.cycle,
    }
    stream = batches(plan, options.workers)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        loop(run, stream, held_out(options, kinds))
    except KeyboardInterrupt:
        run.save()
        print(f"stopped at step {run.step}; the state is saved", flush=True)
    sys.stdout.flush()
    os._exit(0)  # without waiting for workers: they draw on for a plan that is over


if __name__ == "__main__":
    main()
