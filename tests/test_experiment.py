"""What an experiment asks of validation, beside what the evaluator says of all users."""

import re
from dataclasses import replace

import pytest
import torch

from graphmi.config import experiment
from graphmi.data import HeldOutUsers, Interactions, to_graph
from graphmi.evaluator import Evaluator
from graphmi.experiment import Experiment, Fitted
from graphmi.losses import BPRLoss, MultiInterestLoss
from graphmi.models import EASE, Popularity
from graphmi.nn import Cosine, SelectReadout
from graphmi.remarks import check_known_users, tell_once, tell_unread_vectors, tell_what_is_served
from graphmi.run import RunFolder


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


def test_refit_fits_on_validation_too_and_tests_the_same():
    made = Experiment(data="planted:num_users=80,num_items=160", model=EASE, replicates=0, refit=True)
    dataset = made.dataset()
    found = made.train(dataset)
    assert found.valid == {}
    plain = Experiment(data="planted:num_users=80,num_items=160", model=EASE, replicates=0).dataset()
    train, valid = plain.train, plain.valid
    both = Interactions(
        torch.cat([train.user, valid.user]), torch.cat([train.item, valid.item]), train.users, train.items
    )
    by_hand = EASE(to_graph(both))
    assert found.test.metrics == Evaluator(plain.test, plain.test_history)(by_hand).metrics
    assert found.test.metrics != Evaluator(plain.test, plain.test_history)(EASE(plain.graph())).metrics
    with pytest.raises(ValueError, match="validation items were trained on"):
        made.evaluate(found.model, dataset, "valid")


def test_refit_on_all_fits_on_the_test_too_and_measures_nothing():
    made = Experiment(data="planted:num_users=80,num_items=160", model=EASE, replicates=0, refit="all")
    dataset, data = made.dataset(), made.interactions()
    weights = EASE(to_graph(data)).state_dict()
    fitted = made.fit(dataset)
    assert type(fitted) is Fitted
    assert fitted.valid == {}
    for name, value in fitted.model.state_dict().items():
        torch.testing.assert_close(value, weights[name])
    for evaluate in (lambda: made.train(dataset), lambda: made.evaluate(fitted.model, dataset, "test")):
        with pytest.raises(ValueError, match="all items were trained on"):
            evaluate()


def test_refit_trains_all_epochs_on_pairs_of_validation(tmp_path):
    world = "planted:num_users=50,num_items=60,interactions_per_user=8"
    made = experiment("mf", world, refit=True, trainer__epochs=3, trainer__patience=1, trainer__progress=False)
    dataset = made.dataset()
    fitted = made.fit(dataset, RunFolder(tmp_path))
    assert (fitted.valid, fitted.history.epochs, fitted.history.best_epoch) == ({}, 3, 3)
    assert fitted.history.pairs == 3 * 50 * 7  # all but the item of the test
    drawn = made.sampler(dataset.graph())(dataset.valid.user.repeat(200), dataset.valid.item.repeat(200))
    own = dataset.valid.item[dataset.valid.user.argsort()]
    assert not (drawn.item.view(200, 50, -1) == own[dataset.valid.user].view(1, 50, 1)).any()
    assert not any("ndcg@20" in row for row in RunFolder(tmp_path).read_metrics())


@pytest.mark.parametrize(
    ("preset", "options", "said"),
    [
        ("mtmi", {}, None),
        ("mtmi", {"model__normalize": False}, "NegativeDistance"),
        ("lightgcn", {"loss__readout__similarity": "Cosine"}, "Cosine"),
        ("lightgcn", {"loss__readout__similarity": "NegativeDistance"}, "NegativeDistance"),
        ("lightgcn", {"loss__readout__similarity": "Cosine", "model__normalize": True}, None),
    ],
)
def test_a_loss_by_other_scores_than_those_of_lists_is_told(capsys, preset, options, said):
    tell_once.cache_clear()
    one = experiment(
        preset,
        "planted:num_users=60,num_items=80,num_clusters=4,interactions_per_user=10",
        trainer__epochs=1,
        trainer__accelerator="cpu",
        trainer__progress=False,
        **options,
    )
    dataset = one.dataset()
    tell_what_is_served(one.build(dataset), one.loss)
    told = rf"graphmi: the loss scores by {said}, and lists are made by inner products, .*\n" if said else ""
    assert re.fullmatch(told, capsys.readouterr().err)
    one.fit(dataset)
    assert "lists are made by inner products" not in capsys.readouterr().err  # once is enough


def test_a_model_that_cannot_normalize_is_not_told_to(capsys):
    tell_once.cache_clear()
    tell_what_is_served(torch.nn.Linear(2, 2), MultiInterestLoss(SelectReadout(similarity=Cosine()), BPRLoss()))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("preset", "options", "said"),
    [
        ("lightgcn", {}, True),
        ("sasrec", {}, True),
        ("sasrec", {"model__item_tower": "FeatureSum"}, False),
        ("lightgcn", {"model__item_tower": "FeatureSum"}, False),
        ("ease", {}, False),  # it could not read them
    ],
)
def test_vectors_that_a_model_could_read_are_told(capsys, preset, options, said):
    tell_once.cache_clear()
    one = experiment(preset, "planted:num_users=60,num_items=80,num_clusters=4,interactions_per_user=10", **options)
    data = one.interactions()
    bare, dataset = one.dataset(data), one.dataset(data.with_vectors(data.items.ids, torch.ones(len(data.items), 2)))
    tell_unread_vectors(one.build(bare), bare)
    assert not capsys.readouterr().err
    tell_unread_vectors(one.build(dataset), dataset)
    assert ("'--model.item_tower FeatureSum' adds them" in capsys.readouterr().err) == said


def test_unread_vectors_are_told_before_training(capsys):
    tell_once.cache_clear()
    one = experiment("mf", "planted:num_users=30", trainer__epochs=1, trainer__progress=False)
    data = one.interactions()
    one.fit(one.dataset(data.with_vectors(data.items.ids, torch.ones(len(data.items), 2))))
    assert "'--model.item_tower FeatureSum' adds them" in capsys.readouterr().err


def test_a_test_needs_one_user_of_training_if_any():
    dataset = Experiment(data="planted:num_users=30", model=Popularity, split=HeldOutUsers()).dataset()
    with pytest.raises(ValueError, match="no user of the test is in the training graph"):
        check_known_users(dataset)
    check_known_users(replace(dataset, test=dataset.test.take(torch.arange(0))))
    check_known_users(replace(dataset, train=dataset.train.followed_by(dataset.test.take(torch.arange(1)))))
