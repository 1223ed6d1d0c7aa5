"""The reference's model class, and a forward for training that works on whole batches at once.

Before: features.py makes batches.   After: train.py learns, export.py saves.
The weights live in transformers' own Qwen2_5_VLForConditionalGeneration. Its tower walks over every
window of every picture, and its layers are many small steps; here windows are gathered by tables
into one padded block, and on processors with bfloat16 tiles fast_layers.py computes the layers.
Tests hold this forward to the stock one, and the fast layers to the plain ones.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

import fast_layers
from features import COLOUR_COUNT, GLYPHS_PER_PATCH, KINDS, LETTERS, MERGE, ROWS, SIDE
from published import IMAGE_MEAN, IMAGE_STD, configuration


def build(size="demo", seed=1):
    """A fresh float32 model."""
    torch.manual_seed(seed)
    config = Qwen2_5_VLConfig(**configuration(size))
    config._attn_implementation = "eager"
    model = Qwen2_5_VLForConditionalGeneration(config).float()
    with torch.no_grad():
        # The stock start of 0.02 is meant for wide matrices; these are narrow.
        for name, weight in model.named_parameters():
            if weight.ndim >= 2 and "embed_tokens" not in name:
                weight.normal_(0, weight[0].numel() ** -0.5)
            if name.endswith(("o_proj.weight", "down_proj.weight", "attn.proj.weight")):
                weight.mul_(0.5)
    return model


class Helpers(nn.Module):
    """Linear heads that are taught what is drawn where; they are not part of the model.

    From scratch, answers alone tell the tower very little about where to look. What stands on each
    patch is known here, and taught to the tower's last states and to the merged tokens; where each
    merged token lies is taught to the states in the middle of the decoder, and a layer later, where
    the next token of an answer is to be read off; the first query head of each key head of that layer
    is taught to look there. To find the place, text and picture count alike: which text or thing it
    is, and which letter of it, is taught to both, and to answers the kind and colour of what is asked
    for. What is drawn must still be known a layer later.
    """

    def __init__(self, model):
        super().__init__()
        vision, text = model.config.vision_config, model.config.text_config
        self.patch = DrawnHead(vision.hidden_size, 1)
        self.merged = DrawnHead(text.hidden_size, MERGE**2)
        self.kept = DrawnHead(text.hidden_size, MERGE**2)
        self.token_order = nn.Linear(text.hidden_size, 2 * MERGE**2 * SIDE)
        self.answer_order = nn.Linear(text.hidden_size, 2 * SIDE)
        self.answer_what = nn.Linear(text.hidden_size, 2 * (len(KINDS) + 1))
        self.place = nn.Linear(text.hidden_size, 3 * SIDE)
        self.where = nn.Linear(text.hidden_size, 3 * SIDE)


class DrawnHead(nn.Linear):
    """What stands on `patches` patches; the outputs lie in the order of `classes`."""

    def __init__(self, width, patches):
        self.classes = {
            "glyphs": patches * GLYPHS_PER_PATCH * (len(LETTERS) + 1),
            "kind": patches * (len(KINDS) + 1),
            "colour": patches * (COLOUR_COUNT + 1),
            "edges": patches * 4,
        }
        super().__init__(width, sum(self.classes.values()))


def parameter_count(model):
    return sum(weight.numel() for weight in model.parameters())


def to_device(batch, device):
    """Numpy arrays to tensors on the device."""
    move = {"non_blocking": True} if device.type == "cuda" else {}
    return {name: torch.as_tensor(value).to(device, **move) for name, value in batch.items()}


class ToSegments(torch.autograd.Function):
    """Rows [n, …] to padded segments [segments, longest, …]; padding repeats the first row."""

    @staticmethod
    def forward(ctx, rows, gather, scatter):
        ctx.save_for_backward(scatter)
        return rows[gather]

    @staticmethod
    def backward(ctx, grad):
        (scatter,) = ctx.saved_tensors
        return grad.flatten(0, 1)[scatter], None, None


class ToRows(torch.autograd.Function):
    """Padded segments back to rows."""

    @staticmethod
    def forward(ctx, segments, gather, filled, scatter):
        ctx.save_for_backward(gather, filled)
        return segments.flatten(0, 1)[scatter]

    @staticmethod
    def backward(ctx, grad):
        gather, filled = ctx.saved_tensors
        rest = (1,) * (grad.ndim - 1)
        return grad[gather] * filled.view(*filled.shape, *rest), None, None, None


def linear(x, weight, bias=None):
    """A product in x's type; weights are kept in float32."""
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def rms_norm(x, weight, dtype):
    scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
    return (x * scale * weight).to(dtype)


def rotate(x, cos, sin):
    one, two = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-two, one], dim=-1) * sin


def gated(x, both, both_bias, down, down_bias):
    """SwiGLU; `both` holds the weights of gate and up."""
    gate, up = linear(x, both, both_bias).chunk(2, dim=-1)
    return linear(F.silu(gate) * up, down, down_bias)


def weigh(q, k, v, allowed):
    """Attention; q, k, v: [batch, heads, n, size], allowed: [batch, 1, n or 1, n]."""
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
    # Plain products: the fused kernel's backward is many times slower on a CPU.
    scores = (q @ k.transpose(2, 3)).float() * q.shape[-1] ** -0.5
    return scores.masked_fill(~allowed, -1e9).softmax(-1).to(v.dtype) @ v


def tower_block(x, weights, turn, tables, heads, dtype):
    """One block of the tower. x: [n, width] in float32; turn: cos and sin [n, size]."""
    norm1, norm2, qkv, qkv_bias, proj, proj_bias, *mlp = weights
    gather, filled, scatter = tables
    cos, sin = (part[:, None, None] for part in turn)
    rows = linear(rms_norm(x, norm1, dtype), qkv, qkv_bias).view(len(x), 3, heads, -1)
    turned = rotate(rows[:, :2].float(), cos, sin).to(dtype)
    blocks = ToSegments.apply(torch.cat([turned, rows[:, 2:]], dim=1), gather, scatter)
    q, k, v = blocks.permute(2, 0, 3, 1, 4).unbind(0)  # [segments, heads, longest, size]
    out = weigh(q, k, v, filled[:, None, None, :]).transpose(1, 2).flatten(2)
    x = x + linear(ToRows.apply(out, gather, filled, scatter), proj, proj_bias)
    return x + gated(rms_norm(x, norm2, dtype), *mlp)


def decoder_layer(x, weights, turn, branch, heads, dtype):
    """One layer of the decoder. x: [batch * n, width] in float32; turn: [batch * n, size];
    branch: [batch, n]."""
    norm1, norm2, qkv, qkv_bias, proj, _, *mlp = weights
    batch, length = branch.shape
    cos, sin = turn
    size = cos.shape[-1]
    rows = linear(rms_norm(x, norm1, dtype), qkv, qkv_bias).view(batch, length, -1, size)
    kept = (rows.shape[2] - heads) // 2
    cos, sin = (part.view(batch, length, 1, size) for part in turn)
    turned = rotate(rows[:, :, : heads + kept].float(), cos, sin).to(dtype)
    q, k = turned[:, :, :heads].transpose(1, 2), turned[:, :, heads:].transpose(1, 2)
    v = rows[:, :, heads + kept :].transpose(1, 2)
    order = torch.arange(length, device=x.device)
    allowed = (order[:, None] >= order) & (
        (branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :])
    )
    k, v = (part.repeat_interleave(heads // kept, dim=1) for part in (k, v))
    out = weigh(q, k, v, allowed[:, None]).transpose(1, 2).reshape(len(x), -1)
    x = x + linear(out, proj)
    return x + gated(rms_norm(x, norm2, dtype), *mlp)


def block_weights(block):
    """norms, then (weight, bias) of query-key-value, projection, gate with up, down."""
    attention, mlp = block.attn, block.mlp
    both = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
    both_bias = torch.cat([mlp.gate_proj.bias, mlp.up_proj.bias])
    layers = (attention.qkv, attention.proj, mlp.down_proj)
    qkv, proj, down = ((layer.weight, layer.bias) for layer in layers)
    return (block.norm1.weight, block.norm2.weight, *qkv, *proj, both, both_bias, *down)


def layer_weights(layer):
    """As block_weights."""
    attention, mlp = layer.self_attn, layer.mlp
    heads = (attention.q_proj, attention.k_proj, attention.v_proj)
    qkv, bias = torch.cat([part.weight for part in heads]), torch.cat([part.bias for part in heads])
    both = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
    norms = (layer.input_layernorm.weight, layer.post_attention_layernorm.weight)
    return (
        *norms,
        qkv,
        bias,
        attention.o_proj.weight,
        None,
        both,
        None,
        mlp.down_proj.weight,
        None,
    )


def is_fast(x, dtype):
    """Whether the layers in C++ compute this. They take widths of whole vectors of 16."""
    whole = x.shape[-1] % 64 == 0
    return dtype == torch.bfloat16 and whole and not x.is_cuda and fast_layers.load() is not None


def embed_patches(tower, batch, dtype):
    """(x/255 - mean) / std, then the patch embedding; 8-bit values are exact in bfloat16."""
    device = batch["patches"].device
    mean, std = (
        torch.tensor(v, device=device).repeat_interleave(2 * 14 * 14) * 255
        for v in (IMAGE_MEAN, IMAGE_STD)
    )
    weight = tower.patch_embed.proj.weight
    weight = (weight.view(weight.shape[0], -1) / std).to(dtype)
    return F.linear(batch["patches"].to(dtype), weight).float() - weight.float() @ mean


def see(tower, batch, dtype):
    """(states of the patches, merged tokens), both by window."""
    device = batch["patches"].device
    x = embed_patches(tower, batch, dtype)
    heads = tower.blocks[0].attn.num_heads
    size = x.shape[1] // heads
    exponent = torch.arange(0, size // 2, 2, device=device, dtype=torch.float32) / (size // 2)
    angles = (batch["patch_places"].float()[:, :, None] * 10000.0**-exponent).flatten(1)
    angles = torch.cat([angles, angles], dim=-1)
    turn = (angles.cos(), angles.sin())
    for index, block in enumerate(tower.blocks):
        name = "frame" if index in tower.fullatt_block_indexes else "window"
        weights = block_weights(block)
        if is_fast(x, dtype):
            layout = (batch[f"{name}_segments"], batch[f"{name}_groups"])
            x = fast_layers.Layer.apply(x, turn, *layout, (heads, heads, size, False), *weights)
        else:
            tables = [batch[f"{name}_{part}"] for part in ("gather", "filled", "scatter")]
            x = tower_block(x, weights, turn, tables, heads, dtype)
    merger = tower.merger
    merged = last_norm(x, merger.ln_q.weight, dtype).view(len(x) // MERGE**2, -1)
    merged = F.gelu(linear(merged, merger.mlp[0].weight, merger.mlp[0].bias))
    return x, linear(merged, merger.mlp[2].weight, merger.mlp[2].bias).float()


def last_norm(x, weight, dtype):
    return fast_layers.Norm.apply(x, weight) if is_fast(x, dtype) else rms_norm(x, weight, dtype)


def text_angles(model, positions):
    """cos and sin [batch * n, size] of M-RoPE: sections of channels turn by time, row, column."""
    config = model.config.text_config
    size = config.hidden_size // config.num_attention_heads
    exponent = torch.arange(0, size, 2, device=positions.device, dtype=torch.float32) / size
    angles = positions.float()[..., None] * float(config.rope_theta) ** -exponent
    parts = angles.split(config.rope_scaling["mrope_section"], dim=-1)
    angles = torch.cat([part[axis] for axis, part in enumerate(parts)], dim=-1)
    angles = torch.cat([angles, angles], dim=-1).flatten(0, 1)
    return angles.cos(), angles.sin()


def run(model, batch, dtype):
    """(decoder's last states [batch * n, width], its states in the middle and a layer later, patch
    states, merged tokens)."""
    core, config = model.model.language_model, model.config.text_config
    patch_states, merged = see(model.model.visual, batch, dtype)
    x = core.embed_tokens(batch["ids"]).flatten(0, 1)
    x = x.index_copy(0, batch["media_places"], merged[batch["merged_back"]])
    turn = text_angles(model, batch["positions"])
    count = len(x)
    if is_fast(x, dtype):
        x, *turn = (filled_up(rows) for rows in (x, *turn))
    heads, kept = config.num_attention_heads, config.num_key_value_heads
    inputs = []
    for layer in core.layers:
        inputs.append(x)
        if is_fast(x, dtype):
            layout = (batch["text_segments"], batch["text_groups"])
            shape = (heads, kept, turn[0].shape[1], True)
            x = fast_layers.Layer.apply(x, turn, *layout, shape, *layer_weights(layer))
        else:
            x = decoder_layer(x, layer_weights(layer), turn, batch["branch"], heads, dtype)
    middle, later = inputs[len(inputs) // 2], inputs[len(inputs) // 2 + 1]
    return last_norm(x, core.norm.weight, dtype)[:count], middle, later, patch_states, merged


def filled_up(rows, value=0):
    """Rows with a value below, up to a multiple of ROWS: see features.tower_tables."""
    return F.pad(rows, (0, 0) * (rows.ndim - 1) + (0, -len(rows) % ROWS), value=value)


def hidden_states(model, batch, dtype=torch.float32):
    """The decoder's last states [batch, n, width]."""
    return run(model, batch, dtype)[0].view(*batch["ids"].shape, -1)


def cross_entropy(logits, targets, weight, per_row=1):
    """(weighted sum of cross entropies, whether each target is the likeliest).

    logits: [rows, at least per_row * classes]; targets, weight: [rows * per_row]. Overwrites them.
    """
    classes = logits.shape[1] // per_row
    if logits.dtype == torch.bfloat16 and not logits.is_cuda and fast_layers.load():
        return fast_layers.CrossEntropy.apply(logits, targets, weight, classes, per_row)
    logits = logits.reshape(-1, classes).float()
    each = F.cross_entropy(logits, targets, reduction="none")
    return (each * weight).sum(), logits.argmax(-1) == targets


def read_answers(model, states, batch):
    """(weighted cross entropy, whether the likeliest token is right at each answer token).

    When every token of an answer is the likeliest after the true ones, greedy generation gives
    exactly this answer.
    """
    places, targets = filled_up(batch["answer_places"]), filled_up(batch["answer_targets"])
    logits = linear(states[places], model.lm_head.weight)
    total, right = cross_entropy(logits, targets, filled_up(batch["answer_weights"]))
    return total, right[: len(batch["answer_places"])]


def answers(model, batch, dtype=torch.float32):
    """Whether each answer token is the likeliest."""
    return read_answers(model, run(model, batch, dtype)[0], batch)[1]


def drawn_loss(states, head, batch):
    """(how far a helper head is from what is drawn, share of letters right).

    states: [n / k, width] for n patches.
    """
    weights = head.weight.split(list(head.classes.values()))
    biases = head.bias.split(list(head.classes.values()))
    glyphs, kind = batch["drawn_glyphs"].flatten(), batch["drawn_kind"]
    per_row = len(kind) // len(states)

    def found(index):
        return linear(states, weights[index], biases[index])

    # Most patches have no letter or thing: those count less.
    shown = torch.where(glyphs > 0, 1.0, 0.1)
    letter_loss, right = cross_entropy(found(0), glyphs, shown, GLYPHS_PER_PATCH * per_row)
    there = (kind > 0).float()
    kind_loss, _ = cross_entropy(found(1), kind, there + 0.1, per_row)
    colour_loss, _ = cross_entropy(found(2), batch["drawn_colour"], there + 0.1, per_row)
    sides = found(3).float().view(-1, 4)
    side_loss = F.smooth_l1_loss(sides, batch["drawn_edges"], reduction="none", beta=0.1)
    side_loss = (side_loss.sum(-1) * there).sum()
    letters = right[glyphs > 0].float().sum() / (glyphs > 0).sum().clamp(min=1)
    return (letter_loss + 0.5 * (kind_loss + colour_loss) + side_loss) / len(kind), letters


def where_loss(states, head, where):
    """How far a head is from k numbers for each row. states: [n, width]; where: [n, k], -1 unknown."""
    found = linear(states, head.weight, head.bias)
    there = (where >= 0).float().flatten()
    total, _ = cross_entropy(found, where.clamp(min=0).flatten(), there, where.shape[1])
    return total / there.sum().clamp(min=1)


def look_loss(model, batch, inputs):
    """How far heads are from looking at the merged token that an answer token is read off.

    inputs [batch * n, width] go into the layer after the middle; its first query head of each key
    head is compared with a look at nothing but that token, among all that the questions share.
    """
    layer = model.model.language_model.layers[len(model.model.language_model.layers) // 2 + 1]
    config = model.config.text_config
    kept, size = config.num_key_value_heads, config.hidden_size // config.num_attention_heads
    per, length = config.num_attention_heads // kept, batch["ids"].shape[1]
    turn = text_angles(model, batch["positions"])
    total, count, begin = 0.0, 0, 0
    for row, (answers, shared) in enumerate(
        zip(batch["answer_counts"].tolist(), batch["shared_counts"].tolist())
    ):
        source = batch["answer_source"][begin : begin + answers]
        known = source >= 0
        asking = batch["answer_places"][begin : begin + answers][known]
        seen = slice(row * length, row * length + shared)
        begin += answers
        if not len(asking):
            continue

        def head(x, part, places, step):
            x = rms_norm(x[places], layer.input_layernorm.weight, torch.float32)
            x = F.linear(x, part.weight, part.bias).view(len(x), -1, size)[:, ::step]
            return rotate(x, *(angles[places][:, None] for angles in turn)).transpose(0, 1)

        q = head(inputs, layer.self_attn.q_proj, asking, per)
        k = head(inputs, layer.self_attn.k_proj, seen, 1)
        scores = (q @ k.transpose(1, 2) * size**-0.5).flatten(0, 1)  # [kept * asking, shared]
        total = total + F.cross_entropy(scores, source[known].repeat(kept), reduction="sum")
        count += len(scores)
    return total / max(1, count)


def helper_loss(helpers, batch, middle, later, patch_states, merged, dtype):
    """How well the helper heads tell what is drawn and where."""
    tokens = middle[filled_up(batch["media_places"])].to(dtype)
    reading, counting = (x[filled_up(batch["answer_places"])].to(dtype) for x in (later, middle))
    kept = later[batch["media_places"][batch["merged_order"]]].to(dtype)
    kept = F.pad(kept, (0, 0, 0, len(merged) - len(kept)))
    return (
        drawn_loss(patch_states.to(dtype), helpers.patch, batch)[0]
        + drawn_loss(merged.to(dtype), helpers.merged, batch)[0]
        + drawn_loss(kept, helpers.kept, batch)[0]
        + where_loss(tokens, helpers.token_order, filled_up(batch["token_order"], -1))
        + where_loss(counting, helpers.answer_order, filled_up(batch["answer_order"], -1))
        + where_loss(counting, helpers.answer_what, filled_up(batch["answer_what"], -1))
        + where_loss(tokens, helpers.place, filled_up(batch["cells"], -1))
        + where_loss(reading, helpers.where, filled_up(batch["answer_where"], -1))
    )


def sight_loss(model, helpers, batch, dtype=torch.float32):
    """(loss of the helper heads on the tower, share of letters right), without the decoder."""
    patch_states, merged = see(model.model.visual, batch, dtype)
    by_patch, _ = drawn_loss(patch_states.to(dtype), helpers.patch, batch)
    by_token, letters = drawn_loss(merged.to(dtype), helpers.merged, batch)
    return by_patch + by_token, letters


def loss(model, helpers, batch, dtype=torch.float32):
    """(loss of the answers, loss of the helper heads, share of answer tokens that are likeliest)."""
    states, *seen = run(model, batch, dtype)
    total, right = read_answers(model, states, batch)
    taught = helper_loss(helpers, batch, *seen, dtype) + look_loss(model, batch, seen[1])
    return total / batch["answer_weights"].sum(), taught, right.float().mean()
