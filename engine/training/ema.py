"""The exponential moving average of a network's weights, which is what is validated and kept as the best."""

from __future__ import annotations

from timm.utils.model_ema import ModelEmaV3

from engine.models.network import XrayNetwork

_WARMUP_POWER = 3 / 4
"""timm's for trainings of less than a million updates."""


class Ema:
    """The average, in a network of its own that is always in eval mode.

    The decay warms up: after n updates it is the smaller of the config's and 1 - n^(-3/4), which is 0 at the first
    update, 0.97 at the hundredth and 0.994 at the thousandth. So the average forgets the random weights that a
    training began with, and a short one gets one over its last third or fifth. Batch norm's statistics are averaged
    like weights; counters are copied.

    timm's, because torch's AveragedModel copies its counter to the GPU at each update, which waits for the GPU.
    """

    def __init__(self, network: XrayNetwork, decay: float) -> None:
        """A copy of the network, where that lies already."""
        self._average = ModelEmaV3(network, decay=decay, use_warmup=True, warmup_power=_WARMUP_POWER)
        self._average.requires_grad_(False)

    @property
    def network(self) -> XrayNetwork:
        network = self._average.module
        assert isinstance(network, XrayNetwork)
        return network

    def update(self, network: XrayNetwork, updates: int) -> None:
        """Take in the weights behind an update; `updates` counts it. Does not wait for the device."""
        self._average.update(network, updates)

    def decay(self, updates: int) -> float:
        """What the average before that update still counts for."""
        return float(self._average.get_decay(updates))
