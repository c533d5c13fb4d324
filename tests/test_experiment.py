"""What an experiment asks of validation, beside what the evaluator says of all users."""

import pytest
import torch

from graphmi.experiment import Experiment
from graphmi.models import Popularity


class Recording(Popularity):
    """Popularity that knows for whom it was asked."""

    def forward(self, batch):
        self.asked = torch.cat([getattr(self, "asked", batch.user[:0]), batch.user])
        return super().forward(batch)


def fitted(**options):
    experiment = Experiment(
        data="planted:num_users=300,num_items=60,interactions_per_user=8", model=Recording, replicates=0, **options
    )
    dataset = experiment.dataset()
    found = experiment.fit(dataset)
    return found, found.model.asked, experiment.evaluate(Popularity(dataset.graph()), dataset, "valid")


def test_validation_ranks_for_the_same_random_users_every_time():
    found, asked, everyone = fitted(valid_users=50)
    assert len(asked) == 50
    assert found.valid["ndcg@20"] == pytest.approx(
        everyone.per_user["ndcg@20"][torch.isin(everyone.users, asked)].double().mean().item()
    )
    assert fitted(valid_users=50)[1].equal(asked)
    other = fitted(valid_users=50, seed=1)[1]
    assert 0 < torch.isin(other, asked).sum() < 50


@pytest.mark.parametrize("valid_users", [None, 300, 1000])
def test_validation_ranks_for_all_where_there_are_no_more(valid_users):
    found, asked, everyone = fitted(valid_users=valid_users)
    assert asked.equal(everyone.users)
    assert {name: found.valid[name] for name in everyone.metrics} == everyone.metrics


def test_a_sample_of_nobody_is_refused():
    with pytest.raises(ValueError, match=r"'valid_users' must be at least 1 \(got 0\)"):
        fitted(valid_users=0)
