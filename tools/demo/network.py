"""The reference's model class, and a forward for training that works on whole batches at once.

Before: features.py makes batches.   After: train.py learns, export.py saves.
The weights live in transformers' own Qwen2_5_VLForConditionalGeneration. Its tower walks over every
window of every picture; here windows are gathered by tables into one padded block. A test holds
this forward to the stock one.
"""

import torch
import torch.nn.functional as F
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from published import IDS, IMAGE_MEAN, IMAGE_STD, configuration


def build(size="demo", seed=1, fused_attention=False):
    """A fresh float32 model. Fused attention is for GPUs."""
    torch.manual_seed(seed)
    config = Qwen2_5_VLConfig(**configuration(size))
    config._attn_implementation = "sdpa" if fused_attention else "eager"
    model = Qwen2_5_VLForConditionalGeneration(config).float()
    with torch.no_grad():
        # The stock start of 0.02 is meant for wide matrices; these are narrow.
        for name, weight in model.named_parameters():
            if weight.ndim >= 2 and "embed_tokens" not in name:
                weight.normal_(0, weight[0].numel() ** -0.5)
            if name.endswith(("o_proj.weight", "down_proj.weight", "attn.proj.weight")):
                weight.mul_(0.5)
    return model


def parameter_count(model):
    return sum(weight.numel() for weight in model.parameters())


def to_device(batch, device):
    """Numpy arrays to tensors on the device."""
    move = {"non_blocking": True} if device.type == "cuda" else {}
    return {name: torch.as_tensor(value).to(device, **move) for name, value in batch.items()}


def rotate_half(x):
    one, two = x.chunk(2, dim=-1)
    return torch.cat([-two, one], dim=-1)


def attend(attention, x, turn, table, filled, scatter):
    """Attention within segments. x: [n, width]; table, filled: [segments, longest]."""
    heads = attention.num_heads
    q, k, v = attention.qkv(x).view(len(x), 3, heads, -1).unbind(1)
    cos, sin = turn
    q = (q.float() * cos + rotate_half(q.float()) * sin).to(v.dtype)
    k = (k.float() * cos + rotate_half(k.float()) * sin).to(v.dtype)
    q, k, v = (part[table].transpose(1, 2) for part in (q, k, v))
    if x.is_cuda:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=filled[:, None, None, :])
    else:
        # Plain products: the fused kernel's backward is many times slower on a CPU.
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
        scores = scores.masked_fill(~filled[:, None, None, :], float("-inf"))
        out = scores.softmax(-1).to(v.dtype) @ v
    out = out.transpose(1, 2).reshape(-1, heads * out.shape[-1])[scatter]
    return attention.proj(out)


def see(tower, batch):
    """Features [n_merged, width] of all pictures, in reading order."""
    device = batch["patches"].device
    mean, std = (
        torch.tensor(v, device=device).repeat_interleave(2 * 14 * 14) * 255
        for v in (IMAGE_MEAN, IMAGE_STD)
    )
    weight = tower.patch_embed.proj.weight
    # The sums along the residual path stay in float32 under autocast.
    x = F.linear((batch["patches"].float() - mean) / std, weight.view(weight.shape[0], -1)).float()
    size = tower.blocks[0].attn.qkv.weight.shape[1] // tower.blocks[0].attn.num_heads
    exponent = torch.arange(0, size // 2, 2, device=device, dtype=torch.float32) / (size // 2)
    angles = (batch["patch_places"].float()[:, :, None] * 10000.0**-exponent).flatten(1)
    angles = torch.cat([angles, angles], dim=-1)[:, None]
    turn = (angles.cos(), angles.sin())
    for index, block in enumerate(tower.blocks):
        name = "frame" if index in tower.fullatt_block_indexes else "window"
        tables = [batch[f"{name}_{part}"] for part in ("gather", "filled", "scatter")]
        x = x + attend(block.attn, block.norm1(x), turn, *tables)
        x = x + block.mlp(block.norm2(x))
    return tower.merger(x)[batch["merged_back"]]


def hidden_states(model, batch):
    """The decoder's last states [batch, length, width]."""
    core = model.model
    features = see(core.visual, batch)
    x = core.language_model.embed_tokens(batch["ids"])
    is_media = (batch["ids"] == IDS["<|image_pad|>"]) | (batch["ids"] == IDS["<|video_pad|>"])
    x = x.masked_scatter(is_media[..., None], features.to(x.dtype))
    # Padding stands on the right, where a causal mask hides it.
    out = core.language_model(inputs_embeds=x, position_ids=batch["positions"], use_cache=False)
    return out.last_hidden_state


def answers(model, batch):
    """(cross entropy, whether the likeliest token is right) at every token of the answers.

    When every token of an answer is the likeliest after the true ones, greedy generation gives
    exactly this answer.
    """
    states = hidden_states(model, batch).flatten(0, 1)[batch["answer_places"]]
    logits = model.lm_head(states).float()
    targets = batch["answer_targets"]
    return F.cross_entropy(logits, targets, reduction="none"), logits.argmax(-1) == targets


def loss(model, batch):
    """(weighted loss, share of answer tokens that are likeliest)."""
    each, right = answers(model, batch)
    weights = batch["answer_weights"]
    return (each * weights).sum() / weights.sum(), right.float().mean()
