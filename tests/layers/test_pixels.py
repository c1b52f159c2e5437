import pytest
import torch

from vireid_plugins.layers.pixels import in_rows, normalized_rows

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.120000000000005, 57.375]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(256, 1), (16, 16), (5, 7)])
def test_normalized_rows_equals_the_plain_form_to_the_bit(dtype: torch.dtype, size: tuple[int, int]) -> None:
    values = torch.arange(4 * size[0] * size[1] * 3).remainder(256).to(torch.uint8)
    images = values.view(4, *size, 3).permute(0, 3, 1, 2)
    kept = images.clone()
    mean, std = (torch.tensor(numbers, dtype=dtype).view(1, 3, 1, 1) for numbers in (MEAN, STD))
    assert in_rows(images)
    found = normalized_rows(images, MEAN, STD, dtype)
    assert torch.equal(found, (images.to(dtype) - mean) / std)
    assert found.stride() == ((images.to(dtype) - mean) / std).stride()
    assert torch.equal(images, kept)


def test_in_rows_is_for_bytes_that_are_channels_last() -> None:
    images = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
    assert not in_rows(images)
    assert not in_rows(images.float().to(memory_format=torch.channels_last))
