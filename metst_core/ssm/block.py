"""The Mamba block: what stands around the selective scan (Mamba, arXiv 2312.00752, section 3.4)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metst_core.checks import whole_number
from metst_core.ssm.scan import selective_scan


class CausalConv(torch.autograd.Function):
    """Each channel's own causal convolution: y_t = bias + sum_k weight_k u_{t - (K - 1) + k}.

    u (B, L, D), weight (D, K), bias (D) -> y (B, L, D), as `nn.Conv1d(D, D, K, groups=D, padding=K - 1)` cut
    to L frames.  It keeps the layout of the projections around it; on a CPU its backward is several times
    faster than that of the general convolution.
    """

    @staticmethod
    def forward(ctx, u, weight, bias):
        ctx.save_for_backward(u, weight)
        y = u * weight[:, -1] + bias
        for back, tap in CausalConv.taps(u, weight):
            y[:, back:].addcmul_(u[:, :-back], tap)
        return y

    @staticmethod
    def backward(ctx, dy):
        u, weight = ctx.saved_tensors
        du, dweight = dy * weight[:, -1], [(dy * u).sum((0, 1))]
        for back, tap in CausalConv.taps(u, weight):
            du[:, :-back].addcmul_(dy[:, back:], tap)
            dweight.append((dy[:, back:] * u[:, :-back]).sum((0, 1)))
        beyond = weight.shape[1] - len(dweight)  # taps that look back further than the sequence is long
        dweight += [torch.zeros_like(dweight[0])] * beyond
        return du, torch.stack(dweight[::-1], dim=1), dy.sum((0, 1))

    @staticmethod
    def taps(u, weight):
        """How many frames each tap but the last looks back, and its weights (D)."""
        return [(back, weight[:, -1 - back]) for back in range(1, min(weight.shape[1], u.shape[1]))]


class Mamba(nn.Module):
    """The Mamba block (Mamba, section 3.4, figure 3): (B, L, d_model) -> (B, L, d_model), causal along L.

        u, z        = in_proj(x)
        u           = silu(conv1d(u))
        delta, B, C = x_proj(u)
        y           = selective_scan(u, dt_proj(delta), A, B, C, D) * silu(z)
        output      = out_proj(y)

    Parameters, names, shapes, initialisation and arithmetic are those of `mamba_ssm.Mamba`: state dicts go
    both ways.  `scan_backend` names the backend of `selective_scan`.
    """

    selective_scan = staticmethod(selective_scan)

    def __init__(
        self, d_model: int, d_state: int = 64, d_conv: int = 4, expand: int = 2, scan_backend: str = "auto"
    ) -> None:
        super().__init__()
        self.d_model = d_model = whole_number("d_model", d_model, 1)
        self.d_state = d_state = whole_number("d_state", d_state, 1)
        self.d_conv = d_conv = whole_number("d_conv", d_conv, 1)
        self.expand = whole_number("expand", expand, 1)
        self.d_inner = self.expand * d_model
        self.dt_rank = math.ceil(d_model / 16)
        self.scan_backend = scan_backend
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=False)
        self.conv1d = nn.Conv1d(self.d_inner, self.d_inner, d_conv, groups=self.d_inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(self.d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, self.d_inner)
        # S4D-real: state n forgets at rate n + 1, in every channel
        self.A_log = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(self.d_inner, 1))
        self.D = nn.Parameter(torch.ones(self.d_inner))
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=False)
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        self._init_step_sizes()

    @torch.no_grad()
    def _init_step_sizes(self, smallest: float = 0.001, largest: float = 0.1, floor: float = 1e-4) -> None:
        """softplus(dt bias) is log-uniform in [smallest, largest] (Mamba, section 3.6)."""
        low, high = math.log(smallest), math.log(largest)
        dt = torch.exp(torch.rand(self.d_inner) * (high - low) + low).clamp(min=floor)
        self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, d_model) -> (B, L, d_model)."""
        u, z = self.in_proj(x).chunk(2, dim=2)
        u = F.silu(CausalConv.apply(u, self.conv1d.weight[:, 0], self.conv1d.bias))
        delta, B, C = self._selection(u)
        u, delta, B, C, z = (t.transpose(1, 2) for t in (u, delta, B, C, z))
        y = self.selective_scan(
            u, delta, -torch.exp(self.A_log), B, C, self.D, z,
            self.dt_proj.bias, delta_softplus=True, backend=self.scan_backend,
        )  # fmt: skip
        return self.out_proj(cast(Tensor, y).transpose(1, 2))

    @torch.no_grad()
    def states(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the block remembers while x (B, L, d_model) passes through.

        The hidden states (B, d_inner, N, L) and the step sizes (B, d_inner, L), without gradients.
        """
        u, _ = self.in_proj(x).transpose(1, 2).chunk(2, dim=1)
        u = F.silu(self.conv1d(u)[:, :, : x.shape[1]])
        delta, B, C = self.x_proj(u.transpose(1, 2)).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        delta, B, C = (t.transpose(1, 2) for t in (F.softplus(self.dt_proj(delta)), B, C))
        _, states = selective_scan(u, delta, -torch.exp(self.A_log), B, C, return_states=True)
        return states, delta

    def _selection(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """delta (..., d_inner) without its bias, B and C (..., d_state), chosen from u (..., d_inner)."""
        delta, B, C = self.x_proj(u).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        return F.linear(delta, self.dt_proj.weight), B, C

    def allocate_inference_cache(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """The empty memory for `step`.

        Last inputs of the convolution (B, d_inner, d_conv), and state (B, d_inner, N).
        """
        conv_state = self.D.new_zeros(batch_size, self.d_inner, self.d_conv)
        return conv_state, self.A_log.new_zeros(batch_size, self.d_inner, self.d_state)

    def step(self, x: Tensor, conv_state: Tensor, ssm_state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One frame: x (B, 1, d_model) -> (output (B, 1, d_model), new conv_state, new ssm_state).

        Frame after frame this equals `forward`, without delay and in constant memory.
        """
        u, z = self.in_proj(x.squeeze(1)).chunk(2, dim=1)
        conv_state = torch.cat([conv_state[:, :, 1:], u[:, :, None]], dim=2)
        u = F.silu(
            torch.einsum("bdk,dk->bd", conv_state, self.conv1d.weight[:, 0]) + cast(Tensor, self.conv1d.bias)
        )
        delta, B, C = self._selection(u)
        dt = F.softplus(delta + self.dt_proj.bias)[:, :, None]
        ssm_state = torch.exp(dt * -torch.exp(self.A_log)) * ssm_state + dt * u[:, :, None] * B[:, None, :]
        y = (ssm_state @ C[:, :, None]).squeeze(2) + self.D * u
        return self.out_proj(y * F.silu(z))[:, None], conv_state, ssm_state


def compile_around_scans(network: nn.Module, **options: Any) -> Callable[..., Any]:
    """`torch.compile` of a network, with its options, that leaves the scans of its Mamba blocks as they are.

    Their kernels are compiled already, and choosing among them (modules are imported, kernels tried) is nothing
    to trace.
    """
    untraced = torch.compiler.disable(selective_scan)
    for block in network.modules():
        if isinstance(block, Mamba):
            block.selective_scan = untraced
    return torch.compile(network, **options)
