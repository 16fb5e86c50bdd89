"""Clipped sums of per-unit gradients, exact, without ever holding one gradient a unit ("ghost clipping").

A unit (a flow, or all flows of a host) owns many rows of a batch: a row of metadata, and its records. Its gradient is
the sum over all of them, and it is the norm of that sum, over all weights of a net, that is clipped. For a linear layer
with inputs a and gradients b at its outputs the unit's gradient is sum_r b_r a_r^T, so that

    |sum_r b_r a_r^T|^2 = sum_rs (a_r . a_s) (b_r . b_s),

and the sum of all units' gradients, each scaled by its own factor, is one matrix product of scaled b with a. One
backward pass to the layers' outputs gives all of it; the weights' own gradients are never formed. After Li, Tramer,
Liang, Hashimoto, "Large language models can be strong differentially private learners" (2022) for the norms, and Bu,
Wang, Zha, Karypis, "Differentially private optimization on large model at small cost" (2023) for using one pass.

    tape = Tape(net)
    with tape:
        tape.rows = units            # int64[n], the unit of each row that enters the next layers
        loss = functional.cross_entropy(net(x), y, reduction="sum")
    gradients, norms = tape.clipped(loss, units=8, clip_norm=1.0)

Every learnt weight must belong to a layer that the tape knows (linear, embedding, embedding bag, tables and heads of
tokens, a stepped GRU) and be used by one call of it: anything else is an error, never a silent gap.

Private: rows, losses and units. Public: weights and clip norm. Sensitivity: each unit's gradient, over all weights of the
net, is scaled to a norm of at most `clip_norm`, so that adding or removing a unit changes the sum by at most that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from netshare.generators.autoregressive.token_table import Scale, TokenHead, TokenTable

ROUNDING = 1000  # machine epsilons by which clipping stays below the clip norm, for rounding in norms and sums
MAX_NUMBERS_AT_ONCE = 2**24  # in the per-unit matrices, to bound memory


@dataclass
class _Linear:
    """A call of y = x W^T + b; its rows may come in several pieces. With `fold` (float[outputs, k]) the weight is a
    factor of the matrix, fold W: its gradient is that of a layer whose output gradients are b fold."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]
    units: torch.Tensor
    fold: torch.Tensor | None = None


@dataclass
class _Lookup:
    """A call that adds up rows of a table: entry e adds scale[e] * weight[index[e]] to output row[e]."""

    weight: torch.Tensor
    index: torch.Tensor
    row: torch.Tensor
    scale: torch.Tensor | None
    outputs: list[torch.Tensor]
    units: torch.Tensor


class Tape:
    """Records the layers that a net's forward pass goes through, and which unit each row belongs to."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.rows: torch.Tensor | None = None
        self._calls: list[_Linear | _Lookup] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> Tape:
        self._calls = []
        for module in self.net.modules():
            hook = HOOKS.get(type(module))
            if isinstance(module, TokenTable):
                module.__dict__["total"] = self._total_of(module)
            if hook is not None:
                self._hooks.append(module.register_forward_hook(self._recorder(hook), with_kwargs=True))
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()
        for module in self.net.modules():
            module.__dict__.pop("total", None)
        self._hooks = []

    def clipped(
        self, loss: torch.Tensor, *, units: int, clip_norm: float
    ) -> tuple[dict[torch.Tensor, torch.Tensor], torch.Tensor]:
        """The sum over units of their gradients, each scaled down to a norm of at most `clip_norm`.

        Args:
            loss: the sum of all rows' losses; a row may only depend on rows of its own unit.
            units: how many there are; rows name them by 0 .. units - 1.

        Returns:
            a gradient for each weight that the pass used, and float[units]: the norms before clipping. A unit whose
            gradient is not finite contributes nothing.

        Raises:
            RuntimeError: a learnt weight was used outside the layers that are known, or twice.
        """
        self._check_complete()
        outputs = [part for call in self._calls for part in call.outputs]
        found = torch.autograd.grad(loss, outputs, allow_unused=True) if loss.requires_grad else [None] * len(outputs)
        backward, position = [], 0
        for call in self._calls:
            own = found[position : position + len(call.outputs)]
            position += len(call.outputs)
            whole = torch.cat([_rows_of(o, g) for o, g in zip(call.outputs, own, strict=True)])
            backward.append(whole @ call.fold if isinstance(call, _Linear) and call.fold is not None else whole)
        with torch.no_grad():
            squares = torch.zeros(units, dtype=loss.dtype, device=loss.device)
            for call, b in zip(self._calls, backward, strict=True):
                squares += (
                    _linear_squares(call, b, units) if isinstance(call, _Linear) else _lookup_squares(call, b, units)
                )
            norms = squares.sqrt()
            target = clip_norm * (1 - ROUNDING * torch.finfo(norms.dtype).eps)
            factor = torch.where(norms.isfinite(), (target / norms.clamp_min(1e-30)).clamp(max=1.0), 0.0)
            gradients: dict[torch.Tensor, torch.Tensor] = {}
            for call, b in zip(self._calls, backward, strict=True):
                each = factor[call.units].unsqueeze(1)
                scaled = torch.where(each > 0, b, 0.0) * each
                gradients |= _linear_sum(call, scaled) if isinstance(call, _Linear) else _lookup_sum(call, scaled)
        self._calls = []
        return gradients, norms

    def add_linear(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        inputs: list[torch.Tensor],
        outputs: list[torch.Tensor],
        units: torch.Tensor,
    ) -> None:
        """Record a linear map that is no module of its own; pieces lie one after another, `units` over all of them."""
        self._calls.append(_Linear(weight, bias, [part.detach() for part in inputs], outputs, units))

    def _recorder(self, hook: Any) -> Any:
        def record(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            if self.rows is None:
                raise RuntimeError(
                    "no units were given for the rows of this layer; set tape.rows before the forward pass"
                )
            call = hook(module, args, kwargs, output, self.rows, self)
            self._calls += call if isinstance(call, list) else [] if call is None else [call]

        return record

    def _total_of(self, table: TokenTable) -> Any:
        """`TokenTable.total`, recorded: it is no forward pass, so no hook sees it."""

        def total(tokens: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
            found = TokenTable.total(table, tokens, weights)
            if self.rows is None:
                raise RuntimeError(
                    "no units were given for the rows of this layer; set tape.rows before the forward pass"
                )
            row = torch.arange(len(tokens), device=tokens.device).repeat_interleave(tokens.shape[1])
            self._calls += _table_lookups(table, tokens.flatten(), row, weights.flatten(), found, self.rows)
            return found

        return total

    def _check_complete(self) -> None:
        used: list[torch.Tensor] = []
        for call in self._calls:
            used += [call.weight] + ([call.bias] if isinstance(call, _Linear) and call.bias is not None else [])
            rows = sum(part.shape[:-1].numel() for part in call.outputs)
            if len(call.units) != rows:
                raise RuntimeError(f"a layer saw {rows} rows, but {len(call.units)} were given units")
        if len({id(p) for p in used}) < len(used):
            raise RuntimeError("a weight was used twice in one pass; its per-unit gradient would be wrong")
        known = {
            id(p) for module in self.net.modules() if type(module) in KNOWN for p in module.parameters(recurse=False)
        }
        strangers = [n for n, p in self.net.named_parameters() if p.requires_grad and id(p) not in known]
        if strangers:
            raise RuntimeError(f"weight {strangers[0]} belongs to no layer whose per-unit gradients are known")


class SteppedGRU(nn.Module):
    """A one-layer `nn.GRU` over packed sequences, step by step, so that a tape sees its products; same weights and names.

    It shares the weights of the GRU that it is made from.
    """

    weight_ih_l0: nn.Parameter
    weight_hh_l0: nn.Parameter
    bias_ih_l0: nn.Parameter
    bias_hh_l0: nn.Parameter

    def __init__(self, gru: nn.GRU) -> None:
        super().__init__()
        if gru.num_layers != 1 or gru.bidirectional or not gru.bias:
            raise ValueError("only a one-layer, one-way GRU with biases")
        self.hidden_size = gru.hidden_size
        for name, parameter in gru.named_parameters():
            self.register_parameter(name, parameter)
        self.trace: tuple[Any, ...] = ()

    def forward(self, packed: nn.utils.rnn.PackedSequence) -> tuple[nn.utils.rnn.PackedSequence, None]:
        """As `nn.GRU`, without the last state."""
        sizes = packed.batch_sizes.tolist()
        entering = nn.functional.linear(packed.data, self.weight_ih_l0, self.bias_ih_l0)
        state = packed.data.new_zeros(sizes[0], self.hidden_size)
        states, before, maps, begin = [], [], [], 0
        for size in sizes:
            state = state[:size]
            from_state = nn.functional.linear(state, self.weight_hh_l0, self.bias_hh_l0)
            before.append(state)
            maps.append(from_state)
            r_in, z_in, n_in = entering[begin : begin + size].chunk(3, dim=1)
            r_state, z_state, n_state = from_state.chunk(3, dim=1)
            reset, update = torch.sigmoid(r_in + r_state), torch.sigmoid(z_in + z_state)
            new = torch.tanh(n_in + reset * n_state)
            state = new + update * (state - new)
            states.append(state)
            begin += size
        self.trace = (packed.data, entering, before, maps)
        data = torch.cat(states)
        return nn.utils.rnn.PackedSequence(data, packed.batch_sizes), None


def _on_linear(module: nn.Linear, args: Any, kwargs: Any, output: Any, rows: torch.Tensor, tape: Tape) -> _Linear:
    return _Linear(module.weight, module.bias, [args[0].detach()], [output], rows)


def _on_embedding(module: nn.Embedding, args: Any, kwargs: Any, output: Any, rows: torch.Tensor, tape: Tape) -> _Lookup:
    index = args[0]
    units = rows if index.ndim == 1 else rows.repeat_interleave(index.shape[1])
    entries = torch.arange(index.numel(), device=index.device)
    return _Lookup(module.weight, index.flatten(), entries, None, [output], units)


def _on_bag(module: nn.EmbeddingBag, args: Any, kwargs: Any, output: Any, rows: torch.Tensor, tape: Tape) -> _Lookup:
    index = args[0]
    if index.ndim != 2 or module.mode != "sum":
        raise RuntimeError("only embedding bags that sum rows of equally many entries")
    scale = kwargs.get("per_sample_weights")
    row = torch.arange(len(index), device=index.device).repeat_interleave(index.shape[1])
    return _Lookup(module.weight, index.flatten(), row, None if scale is None else scale.flatten(), [output], rows)


def _on_table(module: TokenTable, args: Any, kwargs: Any, output: Any, rows: torch.Tensor, tape: Tape) -> list[_Lookup]:
    index = args[0]
    units = rows if index.ndim == 1 else rows.repeat_interleave(index.shape[1])
    entries = torch.arange(index.numel(), device=index.device)
    return _table_lookups(module, index.flatten(), entries, None, output, units)


def _table_lookups(
    table: TokenTable,
    index: torch.Tensor,
    row: torch.Tensor,
    scale: torch.Tensor | None,
    output: torch.Tensor,
    units: torch.Tensor,
) -> list[_Lookup]:
    """Tokens' own vectors, and for each column on a scale the two knots that each of its tokens lies between."""
    calls = [_Lookup(table.own, index, row, scale, [output], units)]
    for name, rows in table.scaled_rows.items():
        on_scale = table.scales[name]
        assert isinstance(on_scale, Scale)
        some = ((index >= rows.start) & (index < rows.stop)).nonzero().squeeze(1)
        if len(some):
            place = index[some] - rows.start
            share = on_scale.upper_share[place, 0]
            low, times = on_scale.lower_knot[place], 1.0 if scale is None else scale[some]
            knots, weights = torch.cat([low, low + 1]), torch.cat([(1 - share) * times, share * times])
            calls.append(_Lookup(on_scale.knots, knots, row[some].repeat(2), weights, [output], units))
    return calls


def _on_head(module: TokenHead, args: Any, kwargs: Any, output: Any, rows: torch.Tensor, tape: Tape) -> list[_Linear]:
    calls = [_Linear(module.weight, module.bias, [args[0].detach()], [output], rows)]
    if module.scale is not None:
        low, share = module.scale.lower_knot, module.scale.upper_share[:, 0]
        fold = torch.zeros(len(low), len(module.scale.knots), dtype=output.dtype, device=output.device)
        place = torch.arange(len(low), device=output.device)
        fold[place, low], fold[place, low + 1] = (1 - share).to(output.dtype), share.to(output.dtype)
        calls.append(_Linear(module.scale.knots, None, [args[0].detach()], [output], rows, fold))
    return calls


def _on_gru(module: SteppedGRU, args: Any, kwargs: Any, output: Any, rows: torch.Tensor, tape: Tape) -> None:
    inputs, entering, before, maps = module.trace
    module.trace = ()
    tape.add_linear(module.weight_ih_l0, module.bias_ih_l0, [inputs], [entering], rows)
    tape.add_linear(module.weight_hh_l0, module.bias_hh_l0, before, maps, rows)


HOOKS: dict[type, Any] = {
    nn.Linear: _on_linear,
    nn.Embedding: _on_embedding,
    nn.EmbeddingBag: _on_bag,
    SteppedGRU: _on_gru,
    TokenTable: _on_table,
    TokenHead: _on_head,
}
KNOWN = (*HOOKS, Scale)  # scales are recorded with the tables and heads that they belong to


def _rows_of(output: torch.Tensor, gradient: torch.Tensor | None) -> torch.Tensor:
    """float[rows, width]: the gradient at an output, zeros where the loss does not depend on it."""
    whole = torch.zeros_like(output) if gradient is None else gradient
    return whole.reshape(-1, output.shape[-1])


def _linear_squares(call: _Linear, b: torch.Tensor, units: int) -> torch.Tensor:
    """float[units]: squared norms of the gradients of weight and bias.

    Units are taken in groups of about equally many rows. Few rows: Gram matrices; many: the matrix itself, a few
    units at a time.
    """
    a, bias = torch.cat(call.inputs), float(call.bias is not None)
    squares = b.new_zeros(units)
    counts = torch.bincount(call.units, minlength=units)
    starts = counts.cumsum(0) - counts
    order = torch.argsort(call.units, stable=True)
    inputs, outputs = a.shape[1], b.shape[1]
    longest = int(counts.max()) if len(counts) else 0
    length = 1
    while length < 2 * longest:
        group = ((counts > length // 2) & (counts <= length)).nonzero().squeeze(1)
        by_gram = length * (inputs + outputs) <= inputs * outputs
        each = length * (inputs + outputs) + (length * length if by_gram else inputs * outputs)
        for some in group.split(max(1, MAX_NUMBERS_AT_ONCE // each)) if len(group) else ():
            place = torch.arange(length, device=b.device)
            inside = place < counts[some].unsqueeze(1)
            rows = order[torch.where(inside, starts[some].unsqueeze(1) + place, 0)]
            own_a, own_b = a[rows], torch.where(inside.unsqueeze(2), b[rows], 0.0)
            if by_gram:
                own_a, own_b = own_a.double(), own_b.double()  # large terms may cancel: a norm must not come out small
                gram = (own_a @ own_a.transpose(1, 2) + bias) * (own_b @ own_b.transpose(1, 2))
                squares[some] = gram.sum(dim=(1, 2)).clamp_min(0.0).to(b.dtype)
            else:
                matrix = own_b.transpose(1, 2) @ own_a
                squares[some] = matrix.square().sum(dim=(1, 2)) + bias * own_b.sum(1).square().sum(1)
        length *= 2
    return squares


def _lookup_squares(call: _Lookup, b: torch.Tensor, units: int) -> torch.Tensor:
    """float[units]: squared norms of the gradients of the table; entries of one unit at one index add up first."""
    size = call.weight.shape[0]
    pairs, place = torch.unique(call.units[call.row] * size + call.index, return_inverse=True)
    sums = b.new_zeros(len(pairs), b.shape[1]).index_add_(0, place, _entries(call, b))
    return b.new_zeros(units).index_add_(0, pairs // size, sums.square().sum(1))


def _entries(call: _Lookup, b: torch.Tensor) -> torch.Tensor:
    each = b[call.row]
    return each if call.scale is None else each * call.scale.to(b.dtype).unsqueeze(1)


def _linear_sum(call: _Linear, scaled: torch.Tensor) -> dict[torch.Tensor, torch.Tensor]:
    a = torch.cat(call.inputs)
    if not bool(a.isfinite().all()):  # rows of a unit that is left out: nothing times infinity would not be nothing
        a = torch.where((scaled != 0).any(1, keepdim=True), a, 0.0)
    found = {call.weight: scaled.T @ a}
    return found if call.bias is None else {**found, call.bias: scaled.sum(0)}


def _lookup_sum(call: _Lookup, scaled: torch.Tensor) -> dict[torch.Tensor, torch.Tensor]:
    return {call.weight: torch.zeros_like(call.weight).index_add_(0, call.index, _entries(call, scaled))}
