"""A world of users with two interests in a space too small for one vector: several interests solve it."""

import pytest
import torch

from graphmi.data import RandomSplit, UserLoader, planted
from graphmi.evaluator import Evaluator
from graphmi.losses import MultiInterestLoss, SampledSoftmaxLoss
from graphmi.models import InterestGCN
from graphmi.nn import SelectReadout
from graphmi.samplers import AllItemsSampler


def train(num_interests, seed, epochs=60):
    """Train in the plane, where the vector between two of eight topics lies near others."""
    dataset = RandomSplit(seed=seed)(
        planted(num_users=400, num_items=200, num_clusters=8, interests_per_user=2, noise=0.0, seed=seed)
    )
    graph = dataset.graph()
    torch.manual_seed(seed)
    model = InterestGCN(graph, num_interests, 2, 2, temperature=0.1, rescale=True, center="sum", normalize=True)
    loss = MultiInterestLoss(SelectReadout(anchor="candidate"), SampledSoftmaxLoss(0.1))
    sampler, optimizer = AllItemsSampler(graph), torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(epochs):
        for batch in UserLoader(dataset.train, 64, torch.Generator().manual_seed(seed)):
            value = loss(model(batch), batch.positive, sampler(batch.user, batch.positive), batch.row)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    return model, dataset


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_several_interests_solve_what_one_cannot(seed):
    recall = {}
    for num_interests in (1, 4):
        model, dataset = train(num_interests, seed)
        recall[num_interests] = Evaluator(dataset.test, dataset.test_history, k=(20,))(model).metrics["recall@20"]
    left = 50 - dataset.test_history.user.bincount()  # of the items of two clusters: nothing says which comes next
    best = (20 / left).mean()
    assert recall[4] > 0.85 * best  # .92 to 1.05 over initial values
    assert recall[1] < 0.7 * best  # .38 to .63
