"""One vector that is the mean of the latest positions."""

import pytest
import torch


def test_the_mean_of_the_latest_real_positions():
    from mean_of_latest import MeanOfLatest

    extractor = MeanOfLatest(num_positions=3)
    x, length = torch.randn(4, 5, 2), [5, 2, 1, 0]
    mask = torch.arange(5) < torch.tensor(length).unsqueeze(1)
    found = extractor(x, mask)
    assert found.interests.shape == (4, 1, 2)
    for row, size in enumerate(length):
        expected = x[row, max(0, size - 3) : size].mean(0) if size else torch.zeros(2)
        torch.testing.assert_close(found.interests[row, 0], expected)


def test_beginnings_alike():
    from mean_of_latest import MeanOfLatest

    extractor, x = MeanOfLatest(num_positions=2), torch.randn(2, 4, 3)
    mask, prefix = torch.ones(2, 4, dtype=torch.bool), torch.arange(8)
    alone = [extractor(x[p // 4 : p // 4 + 1, : p % 4 + 1], mask[:1, : p % 4 + 1]).interests[0] for p in range(8)]
    torch.testing.assert_close(extractor.prefixes(x, mask, prefix).interests, torch.stack(alone))


def test_no_position_is_refused():
    from mean_of_latest import MeanOfLatest

    with pytest.raises(ValueError, match="must be at least 1"):
        MeanOfLatest(num_positions=0)
