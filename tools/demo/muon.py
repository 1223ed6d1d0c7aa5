"""The optimiser: Muon for the matrices of the layers, AdamW for everything else.

Before: network.py gives the parameters.   After: train.py steps, from several threads at a time.
Muon (Jordan et al., 2024) replaces the momentum of a matrix by the nearest matrix with equal
singular values, found by five steps of a Newton-Schulz iteration; scaled by 0.2 · sqrt(longer side)
its elements are as large as AdamW's (Liu et al., 2025); it bears twice the learning rate.
"""

import threading

import torch

STEPS = 5
A, B, C = 3.4445, -4.7750, 2.0315  # of the quintic that drives singular values towards one
MOMENTUM = 0.98  # of Muon: batches are small
MEAN, SQUARE = 0.9, 0.98  # of AdamW


def orthogonal(x):
    """The nearest matrix with equal singular values. x: [rows, columns], rows <= columns."""
    x = (x / (x.norm() + 1e-7)).to(torch.bfloat16)
    for _ in range(STEPS):
        square = x @ x.t()
        factor = (square @ square).mul_(C).add_(square, alpha=B)
        factor.diagonal().add_(A)
        x = factor @ x
    return x.float()


def is_layer_matrix(name, weight):
    return weight.ndim == 2 and (".layers." in name or ".blocks." in name or ".merger." in name)


def as_matrices(name, weight):
    """The matrices of a weight [count, rows, columns]: query, key and value may stand together."""
    return weight.view(3, -1, weight.shape[1]) if ".qkv." in name else weight[None]


class Optimiser:
    """Each weight is changed under a lock of its own: a thread that steps never sees it half done.

    A thread whose gradients are being computed may see some weights before and some after another
    thread's step; the weights' data is changed beside autograd's back for that reason.
    """

    def __init__(self, named, weight_decay=0.05):
        self.weights = dict(named)
        self.weight_decay = weight_decay
        self.locks = {name: threading.Lock() for name in self.weights}
        self.state = {name: self.fresh(name, weight) for name, weight in self.weights.items()}

    @staticmethod
    def fresh(name, weight):
        state = {"momentum": torch.zeros_like(weight.data)}
        if not is_layer_matrix(name, weight):
            state.update(square=torch.zeros_like(weight.data), steps=0)
        return state

    @torch.no_grad()
    def step(self, gradients, rate):
        """One step with gradients in the order of the weights; None leaves a weight as it is."""
        for (name, weight), gradient in zip(self.weights.items(), gradients):
            if gradient is not None:
                turn = self.muon if is_layer_matrix(name, weight) else self.adam
                with self.locks[name]:
                    turn(name, weight.data, gradient, rate)

    def muon(self, name, weight, gradient, rate):
        kept = self.state[name]["momentum"].lerp_(gradient, 1 - MOMENTUM)
        update = gradient.lerp(kept, MOMENTUM)
        weight.mul_(1 - rate * self.weight_decay)
        for part, step in zip(as_matrices(name, weight), as_matrices(name, update)):
            step = orthogonal(step) if len(step) <= step.shape[1] else orthogonal(step.t()).t()
            part.sub_(step, alpha=rate * 0.2 * max(step.shape) ** 0.5)

    def adam(self, name, weight, gradient, rate):
        state, rate = self.state[name], rate / 2
        state["steps"] += 1
        mean = state["momentum"].lerp_(gradient, 1 - MEAN)
        square = state["square"].mul_(SQUARE).addcmul_(gradient, gradient, value=1 - SQUARE)
        scale = (square / (1 - SQUARE ** state["steps"])).sqrt_().add_(1e-8)
        if weight.ndim >= 2:
            weight.mul_(1 - rate * self.weight_decay)
        weight.addcdiv_(mean, scale, value=-rate / (1 - MEAN ** state["steps"]))

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state
