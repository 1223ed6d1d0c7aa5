"""Which skill is trained when, how hard, and the batches that come of it.

Before: generator.py and features.py.   After: train.py. Lesson number n of a run is a function of the
seed, n and the planned length, so a run that goes on continues the same stream.
"""

import random
import signal

import torch

from features import collate, example, padded_length, sight
from generator import make_lesson

# Kind of lesson: (share of the plan after which it begins, weight).
PLAN = {
    "page": (0.0, 4.5),
    "scene": (0.0, 5.0),
    "street_clip": (0.005, 0.2),
    "event_clip": (0.01, 0.8),
    "paper": (0.015, 1.6),
    "table": (0.02, 1.6),
    "screen": (0.02, 2.4),
}
EASY_SHARE = 0.12  # of the plan, over which the level rises from 0 to 1
FADE = 0.01  # of the plan, over which a new kind reaches its weight


def level(progress):
    return min(1.0, progress / EASY_SHARE)


def weights(progress, kinds):
    return [
        PLAN[kind][1] * min(1.0, max(0.0, (progress - PLAN[kind][0]) / FADE + 0.02))
        for kind in kinds
    ]


class Batches(torch.utils.data.IterableDataset):
    """Batches of lessons of like length, drawn by each worker from its own numbers."""

    def __init__(self, plan):
        self.plan = plan  # seed, first, sight, planned, pool, batch_tokens, kinds, cycle

    def make(self, number):
        plan = self.plan
        rng = random.Random(f"{plan['seed']}/{number}")
        if plan["cycle"]:
            return example(make_lesson(rng.choice(plan["kinds"]), number % plan["cycle"], 0.0))
        if number < plan["sight"]:  # only pictures, of every kind and difficulty
            kind = rng.choices(plan["kinds"], [PLAN[kind][1] for kind in plan["kinds"]])[0]
            return sight(make_lesson(kind, number, 1.0 if rng.random() < 0.8 else rng.random()))
        progress = (number - plan["sight"]) / max(1, plan["planned"] - plan["sight"])
        chances = weights(progress, plan["kinds"])
        kind = rng.choices(plan["kinds"], chances if sum(chances) else None)[0]
        # One lesson in five is easier than the present level, so that easy ones stay in the mix.
        hardness = level(progress) if rng.random() < 0.8 else rng.uniform(0, level(progress))
        return example(make_lesson(kind, number, hardness))

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        here, count = (worker.id, worker.num_workers) if worker else (0, 1)
        if worker:  # a kill of the whole group must leave the run time to save its state
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        pool, turn = self.plan["pool"], 0
        while True:
            start = self.plan["first"] + (turn * count + here) * pool
            examples = [self.make(number) for number in range(start, start + pool)]
            seen = [e for e in examples if not e.ids]
            asked = sorted((e for e in examples if e.ids), key=lambda e: len(e.ids), reverse=True)
            groups = [group for part in (seen, asked) if part for group in self.split(part)]
            random.Random(start).shuffle(groups)
            for group in groups:
                counts = {"next_number": start + pool, "n_lessons": len(group)}
                yield {**collate(group), **counts}
            turn += 1

    def split(self, examples):
        """Groups of like length whose padded tokens (without text: patches) stay in the budget.

        `examples` go from long to short, and a small rest joins its neighbours: a step on one item
        would weigh as much as a step on a hundred.
        """
        budget, groups = self.plan["batch_tokens"], [[]]
        for e in examples:
            if groups[-1] and size(groups[-1] + [e]) > budget:
                groups.append([])
            groups[-1].append(e)
        if len(groups) > 1 and size(groups[-1]) < budget / 4:
            rest = groups.pop()
            groups[-1] += rest
        return groups


def size(group):
    if not group[0].ids:
        return sum(len(e.patches) for e in group)
    return padded_length(group) * len(group)


def batches(plan, workers):
    return iter(
        torch.utils.data.DataLoader(
            Batches(plan),
            batch_size=None,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            multiprocessing_context="fork" if workers else None,
        )
    )
