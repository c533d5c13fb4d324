from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from weakref import ref

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from graphmi.asking import device_of, evaluating, propagating_once, question
from graphmi.data import Histories, LeaveOneOut, planted
from graphmi.evaluator import Evaluator
from graphmi.explain import Explainer
from graphmi.models import InterestGCN, Popularity, SeparateInterestGCN, SequenceModel, SideBySide
from graphmi.recommender import Recommender
from graphmi.typing import Batch
from graphmi.vectors import vectors


@pytest.fixture
def one_process():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def graph(num_users):
    return LeaveOneOut()(planted(num_users=num_users, num_items=40, num_clusters=4)).graph()


def test_who_leaves_first_does_not_put_others_into_training_mode():
    model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5)).train()
    model[1].eval()
    first_in, second_in, first_out = Event(), Event(), Event()

    def first():
        with evaluating(model):
            first_in.set()
            assert second_in.wait(10)
        first_out.set()

    def second():
        assert first_in.wait(10)
        with evaluating(model):
            second_in.set()
            assert first_out.wait(10)
            return [part.training for part in model.modules()]

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.submit(first), pool.submit(second)
    one.result()
    assert other.result() == [False, False, False]
    assert [part.training for part in model.modules()] == [True, True, False]


def test_a_part_that_is_asked_by_itself_stays_in_evaluation_mode():
    whole = nn.Sequential(nn.Dropout(0.5)).train()
    of_whole, of_part = evaluating(whole), evaluating(whole[0])
    of_whole.__enter__()
    of_part.__enter__()
    of_whole.__exit__(None, None, None)
    assert (whole.training, whole[0].training) == (True, False)
    of_part.__exit__(None, None, None)
    assert whole[0].training


def test_what_is_propagated_is_of_who_asks_and_gone_after_an_error():
    model = InterestGCN(graph(60)).eval()

    def asked():
        return model(Batch(torch.tensor([3]))).items

    before = asked()
    with suppress(KeyError), propagating_once(SideBySide([model])), ThreadPoolExecutor(1) as pool:
        model.embedding.weight = nn.Parameter(torch.ones_like(model.embedding.weight).cumsum(0))
        assert asked().equal(before)
        now = pool.submit(asked).result()
        raise KeyError
    assert asked().equal(now)
    assert not now.equal(before)


def test_a_model_that_was_asked_is_not_kept():
    model = nn.Linear(2, 2)
    with evaluating(model):
        pass
    asked = ref(model)
    del model
    assert asked() is None


def test_a_model_is_where_its_parameters_or_buffers_are():
    of_buffers, empty = nn.BatchNorm1d(3, affine=False, device="meta"), nn.Identity()
    assert [device_of(model).type for model in (nn.Linear(2, 2), of_buffers, empty)] == ["cpu", "meta", "cpu"]


@pytest.mark.parametrize(
    "make",
    [
        InterestGCN,
        SeparateInterestGCN,
        lambda graph: SideBySide([Popularity(graph), InterestGCN(graph)]),
        lambda known: nn.ModuleList([InterestGCN(graph(70)), InterestGCN(known)]),
    ],
)
def test_users_whom_a_graph_model_does_not_have_are_refused(make):
    model, device = make(graph(60)), torch.device("cpu")
    assert question(model, torch.tensor([59, 0]), None, device).user.tolist() == [59, 0]
    assert question(model, torch.tensor([], dtype=torch.int64), None, device).user.tolist() == []
    with pytest.raises(ValueError, match="the model has 60 users and the data one with the number 60, counted from 0"):
        question(model, torch.tensor([3, 60, 59]), None, device)


def test_models_without_users_of_their_own_are_asked_for_any():
    without_number = nn.Identity()
    without_number.num_users = lambda: 60
    for model in (Popularity(graph(60)), without_number):
        assert question(model, torch.tensor([99]), None, torch.device("cpu")).user.tolist() == [99]


@pytest.mark.parametrize(
    "wrap",
    [DistributedDataParallel, AveragedModel, lambda model: AveragedModel(DistributedDataParallel(model))],
)
@pytest.mark.usefixtures("one_process")
def test_models_in_wrappers_of_torch_answer_as_without(wrap):
    data = planted(num_users=20, num_items=40, num_clusters=4)
    dataset, users = LeaveOneOut()(data), data.users.ids[:3]
    model = SequenceModel(dataset.graph(), 8, 10)
    wrapped = wrap(model)
    evaluator = Evaluator(dataset.valid, dataset.valid_history, history=Histories(dataset.valid_history))
    assert evaluator(wrapped).metrics == evaluator(model).metrics
    assert Recommender(data, wrapped)(users) == Recommender(data, model)(users)
    assert Recommender(data, wrapped).for_histories([[1, 2]]) == Recommender(data, model).for_histories([[1, 2]])
    assert vectors(data, wrapped)[0].equals(vectors(data, model)[0])
    assert Explainer(dataset, wrapped)(torch.tensor([3])) == Explainer(dataset, model)(torch.tensor([3]))
