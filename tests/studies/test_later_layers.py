import torch

from graphmi.data import planted, to_graph
from graphmi.models import InterestGCN
from graphmi.typing import Batch


def test_items_are_those_of_four_rescaled_interests():
    from later_layers import LaterLayers

    graph = to_graph(planted(30, 20, 4, 2, 6))
    four = InterestGCN(graph, 4, 8, 3, center="sum", rescale=True, normalize=True)
    one = LaterLayers(graph, 1, 8, 3, normalize=True)
    one.load_state_dict({**one.state_dict(), "embedding.weight": four.embedding.weight})
    batch = Batch(user=torch.tensor([3, 0, 29]))
    found, expected = one(batch), four(batch)
    torch.testing.assert_close(found.items, expected.items)
    plain = InterestGCN(graph, 1, 8, 3, normalize=True)
    plain.load_state_dict(one.state_dict())
    assert not torch.allclose(found.items, plain(batch).items)
    # the user is the sum of all virtual interests of the four, before their length is brought to one
    virtuals, centers = one.propagate()
    others, _ = four.propagate()
    torch.testing.assert_close(centers[3], others[3].sum(1))
    assert virtuals[3].shape == (50, 1, 8)
