"""The curves of a training run. Before: train.py keeps the log.   After: the model card."""

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402 - the back end is chosen first


def draw_curves(log, path):
    """Loss, and the share of held-out questions answered exactly, over the lessons seen."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5))
    if log["history"]:
        left.plot([h[1] for h in log["history"]], [h[2] for h in log["history"]])
        left.set_yscale("log")
    left.set(xlabel="lessons", ylabel="loss", title="training loss")
    skills = list(log["scores"][-1][2]) if log["scores"] else []
    for skill in skills:
        points = [(s[1], s[2][skill][0]) for s in log["scores"] if skill in s[2]]
        right.plot(*zip(*points), marker=".", label=skill)
    right.set(
        xlabel="lessons",
        ylabel="share",
        title="held-out questions answered exactly",
        ylim=(0, 1.02),
    )
    if skills:
        right.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
