"""Which skill is trained when, how hard, and the batches that come of it.

Before: generator.py and features.py.   After: train.py. Item number n of a run is a function of the
seed, n and the planned length, so a run that goes on continues the same stream.
"""

import random

import torch

from features import collate, example, padded_length
from generator import make_item

# Skill: (share of the plan after which it begins, weight).
PLAN = {
    "read": (0.0, 3.0),
    "counting": (0.02, 1.0),
    "describing": (0.02, 1.5),
    "grounding": (0.04, 2.0),
    "spotting": (0.06, 2.0),
    "key_values": (0.08, 2.0),
    "table": (0.10, 2.0),
    "screen": (0.10, 1.5),
    "clip_when": (0.08, 1.0),
    "clip_events": (0.12, 1.0),
    "clip_abnormal": (0.08, 0.7),
}
EASY_SHARE = 0.4  # of the plan, over which the level rises from 0 to 1
FADE = 0.04  # of the plan, over which a new skill reaches its weight


def level(progress):
    return min(1.0, progress / EASY_SHARE)


def weights(progress, skills):
    return [
        PLAN[skill][1] * min(1.0, max(0.0, (progress - PLAN[skill][0]) / FADE + 0.02))
        for skill in skills
    ]


class Batches(torch.utils.data.IterableDataset):
    """Batches of items of like length, drawn by each worker from its own numbers."""

    def __init__(self, plan):
        self.plan = plan  # seed, first, planned, pool, batch_tokens, skills, cycle

    def make(self, number):
        plan = self.plan
        progress = number / plan["planned"]
        rng = random.Random(f"{plan['seed']}/{number}")
        if plan["cycle"]:
            item = make_item(rng.choice(plan["skills"]), "train", number % plan["cycle"], 0.0)
            return example(item)
        chances = weights(progress, plan["skills"])
        skill = rng.choices(plan["skills"], chances if sum(chances) else None)[0]
        # One item in five is easier than the present level, so that easy ones stay in the mix.
        hardness = level(progress) if rng.random() < 0.8 else rng.uniform(0, level(progress))
        return example(make_item(skill, "train", number, hardness))

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        here, count = (worker.id, worker.num_workers) if worker else (0, 1)
        pool, turn = self.plan["pool"], 0
        while True:
            start = self.plan["first"] + (turn * count + here) * pool
            examples = [self.make(number) for number in range(start, start + pool)]
            examples.sort(key=lambda e: len(e.ids), reverse=True)
            groups = self.split(examples)
            random.Random(start).shuffle(groups)
            for group in groups:
                yield {**collate(group), "next_number": start + pool, "n_items": len(group)}
            turn += 1

    def split(self, examples):
        """Groups of like length whose padded tokens stay within the budget.

        `examples` go from long to short, and a small rest joins its neighbours: a step on one item
        would weigh as much as a step on a hundred.
        """
        budget, groups = self.plan["batch_tokens"], [[]]
        for e in examples:
            if groups[-1] and padded_length(groups[-1]) * (len(groups[-1]) + 1) > budget:
                groups.append([])
            groups[-1].append(e)
        if len(groups) > 1 and padded_length(groups[-1]) * len(groups[-1]) < budget / 4:
            rest = groups.pop()
            groups[-1] += rest
        return groups


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
