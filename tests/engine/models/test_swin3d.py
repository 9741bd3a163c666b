"""The Swin3D adapter: torchvision's own features, depth, and what the bias does."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.video import SwinTransformer3d, swin3d_t

from engine.contract.models import Swin3dConfig
from engine.models.network import XrayNetwork
from engine.models.swin3d import Swin3dAdapter, Swin3dEncoder


@pytest.fixture(scope="module")
def small() -> SwinTransformer3d:
    """torchvision's class, a hundredth of swin3d_t."""
    torch.manual_seed(0)
    swin = SwinTransformer3d(
        patch_size=[2, 4, 4], embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8], window_size=[8, 7, 7]
    )
    return swin.eval()


def test_the_features_are_those_of_torchvisions_own_forward(networks: dict[str, XrayNetwork]) -> None:
    encoder = networks["swin3d_adapter"].eval().segmenter.encoder
    with torch.device("meta"):
        whole = swin3d_t(weights=None).eval()
    whole.head = nn.Identity()
    assert whole.load_state_dict(encoder.state_dict(), assign=True).missing_keys == []
    seen: dict[int, torch.Tensor] = {}
    for place in (0, 2, 4):
        whole.features[place].register_forward_hook(lambda _, __, out, place=place: seen.update({place: out}))
    volume = torch.rand(1, 3, 6, 64, 64)
    with torch.no_grad():
        maps = encoder(volume)
        pooled = whole(volume)
    assert [tuple(features.shape[1:]) for features in maps] == [
        (3, 16, 16, 96),
        (3, 8, 8, 192),
        (3, 4, 4, 384),
        (3, 2, 2, 768),
    ]
    for place, features in zip((0, 2, 4), maps, strict=False):
        assert torch.equal(features, seen[place])
    torch.testing.assert_close(maps[-1].mean((1, 2, 3)), pooled)


@pytest.mark.parametrize("depth", range(1, 6))
@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_every_depth_gives_a_mask(small: SwinTransformer3d, depth: int, reduce: str) -> None:
    config = Swin3dConfig(volume="dnp_plus", depth=depth, reduce=reduce, decoder_channels=8)
    adapter = Swin3dAdapter(Swin3dEncoder(small), config).eval()
    assert adapter.depth_bias.shape == ((depth + 1) // 2, 1, 1, 8)
    with torch.no_grad():
        assert adapter(torch.rand(1, 3, 32, 32)).shape == (1, 1, 32, 32)


def test_depth_is_taken_out_by_mean_or_max(small: SwinTransformer3d) -> None:
    features = torch.rand(2, 3, 4, 4, 8)
    for reduce, expected in (("mean", features.mean(1)), ("max", features.max(1).values)):
        adapter = Swin3dAdapter(Swin3dEncoder(small), Swin3dConfig(reduce=reduce, decoder_channels=8))
        assert torch.equal(adapter._flat(features), expected.permute(0, 3, 1, 2))


def test_only_a_bias_tells_the_depths_of_a_repeated_image_apart(small: SwinTransformer3d) -> None:
    encoder = Swin3dEncoder(small)
    volume = torch.rand(1, 3, 1, 32, 32).expand(-1, -1, 4, -1, -1)
    with torch.no_grad():
        alike = encoder(volume)[0]
        told = encoder(volume, torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 1, 8))[0]
    torch.testing.assert_close(alike[:, 0], alike[:, 1])
    assert (told[:, 0] - told[:, 1]).abs().max() > 0.1


def test_without_a_bias_there_is_no_parameter_for_it(small: SwinTransformer3d) -> None:
    adapter = Swin3dAdapter(Swin3dEncoder(small), Swin3dConfig(depth_bias=False, decoder_channels=8))
    assert "depth_bias" not in dict(adapter.named_parameters())
