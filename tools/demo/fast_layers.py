"""Layers of the tower and of the decoder for x86 processors with bfloat16 tiles.

Before: fast_layers.cpp, compiled here.   After: network.py, when `load` finds such a processor.
Whole-layer products are torch's; the rest of a layer, forward and backward, is in C++. Values are
bfloat16, sums along the residual path float32. A test holds it to the plain layers of network.py.
"""

import ctypes
import functools
import hashlib
import subprocess
import tempfile
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("fast_layers.cpp")
FLAGS = "-std=c++20 -O3 -march=sapphirerapids -fopenmp -fPIC -shared -Wno-maybe-uninitialized"
PARTS = 32  # sums of gradients are added up in so many parts, whatever the number of threads


@functools.lru_cache(maxsize=1)
def load():
    """The compiled functions, or None when this machine has no bfloat16 tiles or no compiler."""
    if " amx_bf16 " not in Path("/proc/cpuinfo").read_text().partition("\n\n")[0]:
        return None
    digest = hashlib.sha256(SOURCE.read_bytes() + FLAGS.encode()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"qwenvl_fast_layers_{digest}.so"
    if not library.exists():
        part = library.with_suffix(".tmp")
        try:
            subprocess.run(["g++", *FLAGS.split(), SOURCE, "-o", part], check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        part.replace(library)
    functions = ctypes.CDLL(str(library))
    return None if functions.fast_layers_start() else functions


def call(name, *arguments):
    """Calls a C++ function: tensors as pointers, numbers as ints."""
    passed = []
    for value in arguments:
        if isinstance(value, torch.Tensor):
            assert value.is_contiguous(), name
            passed.append(ctypes.c_void_p(value.data_ptr()))
        else:
            passed.append(ctypes.c_int(value))
    getattr(load(), name)(*passed)


def half(x):
    return x.to(torch.bfloat16)


def product(x, weight, bias=None):
    return x @ weight.t() if bias is None else torch.addmm(half(bias), x, weight.t())


def sum_rows(x):
    ones = torch.ones(1, len(x), dtype=torch.bfloat16)
    return (ones @ x)[0].float()


class Norm(torch.autograd.Function):
    """RMSNorm of float32 rows to bfloat16."""

    @staticmethod
    def forward(ctx, x, weight):
        out, scale = norm(x, weight)
        ctx.save_for_backward(x, weight, scale)
        return out

    @staticmethod
    def backward(ctx, d_out):
        x, weight, scale = ctx.saved_tensors
        d_x = torch.zeros_like(x)
        return d_x, norm_backward(x, weight, scale, d_out.contiguous(), d_x)


def norm(x, weight):
    out, scale = torch.empty(x.shape, dtype=torch.bfloat16), torch.empty(len(x))
    call("norm_forward", x, weight, *x.shape, out, scale)
    return out, scale


def norm_backward(x, weight, scale, d_out, d_x):
    """Adds to d_x; returns the gradient of the weight."""
    d_weight = torch.empty(PARTS, x.shape[1])
    call("norm_backward", x, weight, scale, d_out, *x.shape, PARTS, d_x, d_weight)
    return d_weight.sum(0)


class Layer(torch.autograd.Function):
    """x + attention(norm(x)), then x + SwiGLU(norm(x)). x: [n, width] in float32.

    shape: (query heads, key heads, channels of a head, causal). turn: cos and sin [n, channels].
    segments, groups: see fast_layers.cpp. Biases may be None.
    """

    @staticmethod
    def forward(
        ctx,
        x,
        turn,
        segments,
        groups,
        shape,
        norm1,
        norm2,
        qkv,
        qkv_bias,
        proj,
        proj_bias,
        both,
        both_bias,
        down,
        down_bias,
    ):
        cos, sin = turn
        heads, kept, size, causal = shape
        layout = (segments, groups, len(groups), heads, kept, size, int(causal))
        weights = [half(weight) for weight in (qkv, proj, both, down)]
        h1, scale1 = norm(x, norm1)
        rows = product(h1, weights[0], qkv_bias)
        seen = torch.zeros(len(x), heads * size, dtype=torch.bfloat16)
        log_sum = torch.empty(len(x), heads)
        call("attention_forward", rows, cos, sin, *layout, seen, log_sum)
        middle = x + product(seen, weights[1], proj_bias)
        h2, scale2 = norm(middle, norm2)
        gates = product(h2, weights[2], both_bias)
        gated = torch.empty(len(x), gates.shape[1] // 2, dtype=torch.bfloat16)
        call("gate_forward", gates, *gated.shape, gated)
        ctx.save_for_backward(
            x,
            norm1,
            h1,
            scale1,
            rows,
            seen,
            log_sum,
            middle,
            norm2,
            h2,
            scale2,
            gates,
            gated,
            *weights,
            cos,
            sin,
        )
        ctx.layout = layout
        ctx.biases = [bias is not None for bias in (qkv_bias, proj_bias, both_bias, down_bias)]
        return middle + product(gated, weights[3], down_bias)

    @staticmethod
    def backward(ctx, d_out):
        (
            x,
            norm1,
            h1,
            scale1,
            rows,
            seen,
            log_sum,
            middle,
            norm2,
            h2,
            scale2,
            gates,
            gated,
            qkv,
            proj,
            both,
            down,
            cos,
            sin,
        ) = ctx.saved_tensors
        d_x, d_biases = d_out.clone(), [None] * 4

        def weight_gradient(index, d_result, x):
            if ctx.biases[index]:
                d_biases[index] = sum_rows(d_result)
            return (d_result.t() @ x).float()

        d = half(d_x)
        d_down = weight_gradient(3, d, gated)
        d_gates = torch.empty_like(gates)
        call("gate_backward", gates, d @ down, *gated.shape, d_gates)
        d_both = weight_gradient(2, d_gates, h2)
        d_norm2 = norm_backward(middle, norm2, scale2, d_gates @ both, d_x)
        d = half(d_x)
        d_proj = weight_gradient(1, d, seen)
        d_rows = torch.zeros_like(rows)
        call("attention_backward", rows, cos, sin, *ctx.layout, seen, d @ proj, log_sum, d_rows)
        d_qkv = weight_gradient(0, d_rows, h1)
        d_norm1 = norm_backward(x, norm1, scale1, d_rows @ qkv, d_x)
        return (
            d_x,
            None,
            None,
            None,
            None,
            d_norm1,
            d_norm2,
            d_qkv,
            d_biases[0],
            d_proj,
            d_biases[1],
            d_both,
            d_biases[2],
            d_down,
            d_biases[3],
        )


class CrossEntropy(torch.autograd.Function):
    """(sum of weight · cross entropy, whether each target is the likeliest).

    logits: bfloat16 [rows, columns]; each row holds `per_row` sets of `classes` logits from its
    first column on. targets, weight: [rows * per_row]. The logits are overwritten.
    """

    @staticmethod
    def forward(ctx, logits, targets, weight, classes, per_row):
        gradient = logits.detach()
        loss = torch.empty(len(targets))
        right = torch.empty(len(targets), dtype=torch.bool)
        load().cross_entropy(
            *(ctypes.c_void_p(t.data_ptr()) for t in (gradient, targets, weight)),
            ctypes.c_int(len(targets)),
            ctypes.c_int(classes),
            ctypes.c_int64(gradient.stride(0)),
            ctypes.c_int(per_row),
            ctypes.c_void_p(loss.data_ptr()),
            ctypes.c_void_p(right.data_ptr()),
        )
        ctx.gradient, ctx.used = gradient, classes * per_row
        ctx.mark_non_differentiable(right)
        return (loss * weight).sum(), right

    @staticmethod
    def backward(ctx, d_loss, _):
        gradient = ctx.gradient * d_loss.to(torch.bfloat16)
        gradient[:, ctx.used :] = 0
        return gradient, None, None, None, None
