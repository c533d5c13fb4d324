"""The training loop against a hand-written one, and resumed runs against uninterrupted ones."""

import contextlib
import csv
import io
import math
import signal
import subprocess
import sys
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import Logger, TensorBoardLogger
from lightning_fabric.plugins import Precision
from rich.console import Console
from torch import nn
from torch.nn.functional import embedding, softplus

from graphmi import run, session
from graphmi.atomic import replacing
from graphmi.meter import LossMeter
from graphmi.progress import TrainingProgress, counting
from graphmi.run import RunFolder
from graphmi.seeds import check_seed, generator, seeded
from graphmi.step import Step, entries
from graphmi.trainer import Trainer
from graphmi.typing import Batch, Negatives, Representations

NUM_USERS, NUM_ITEMS, DIM = 12, 20, 4
USER = torch.arange(NUM_USERS).repeat_interleave(3)
ITEM = (USER * 7 + torch.arange(36) * 5) % NUM_ITEMS


class Factors(nn.Module):
    """Matrix factorisation with dropout, so that the noise of the loop counts too."""

    def __init__(self, dropout=0.0):
        super().__init__()
        draws = torch.Generator().manual_seed(1)
        self.users = nn.Parameter(torch.randn(NUM_USERS, DIM, generator=draws))
        self.items = nn.Parameter(torch.randn(NUM_ITEMS, DIM, generator=draws))
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch):
        return Representations(self.dropout(self.users[batch.user]).unsqueeze(1), self.items)


class Loader:
    def __init__(self, batch_size=10, seed=0):
        self.batch_size = batch_size
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self):
        return -(-len(USER) // self.batch_size)

    def __iter__(self):
        for rows in torch.randperm(len(USER), generator=self.generator).split(self.batch_size):
            yield Batch(USER[rows], ITEM[rows])


class Sampler(nn.Module):
    def forward(self, user, positive, generator=None):
        return Negatives(torch.randint(NUM_ITEMS, (len(user), 2), generator=generator))


class Loss(nn.Module):
    """BPR and a penalty, with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def terms(self, out, positive, negatives, row=None, user=None):
        user = out.interests[:, 0] * self.scale
        pos = (user * out.items[positive]).sum(-1, keepdim=True)
        neg = (user.unsqueeze(1) * out.items[negatives.item]).sum(-1)
        return {"bpr": softplus(neg - pos).mean(), "norm": 1e-3 * out.items.square().mean()}


def score(model):
    assert not model.training
    with torch.no_grad():
        scores = model.users @ model.items.t()
        return {"ndcg@20": torch.sigmoid(scores[USER, ITEM] - scores.mean()).mean().item()}


def fit(epochs, model=None, loss=None, **options):
    model = Factors(0.2) if model is None else model
    settings = {"learning_rate": 0.02, "patience": None, "accelerator": "cpu", **options.pop("settings", {})}
    trainer = Trainer(epochs=epochs, **settings)
    options.setdefault("validate", score)
    loader = options.pop("loader", None) or Loader()
    history = trainer.fit(model, loader, Sampler(), Loss() if loss is None else loss, seed=5, **options)
    return model, history


def numbers(history):
    """All rows without what a clock measured."""
    return [{k: v for k, v in row.items() if k not in ("seconds", "pairs_per_second")} for row in history.rows]


def test_without_validation_the_last_weights_are_kept(tmp_path):
    better = count()
    model, history = fit(4, validate=lambda model: {"ndcg@20": next(better)})  # the last epoch is the best
    assert history.best_epoch == 4
    other, without = fit(4, validate=None, settings={"patience": 1, "validate_every": 3}, folder=RunFolder(tmp_path))
    assert without.epochs == without.best_epoch == 4
    assert (without.best_metrics, without.stale) == ({}, 0)
    assert [row["loss"] for row in without.rows] == [row["loss"] for row in history.rows]
    saved = RunFolder(tmp_path).read_tensors("model")
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
        assert torch.equal(value, saved[name])
    longer, _ = fit(6, validate=None, folder=RunFolder(tmp_path), resume=True)
    whole, _ = fit(6, validate=None)
    assert all(torch.equal(value, longer.state_dict()[name]) for name, value in whole.state_dict().items())
    assert not torch.equal(longer.users, other.users)


def test_without_validation_an_average_is_kept():
    averaged, _ = fit(3, validate=None, settings={"weight_average": 0.9})
    better = count()
    validated, _ = fit(3, validate=lambda model: {"ndcg@20": next(better)}, settings={"weight_average": 0.9})
    plain, _ = fit(3, validate=None)
    assert torch.equal(averaged.users, validated.users)
    assert not torch.equal(averaged.users, plain.users)


def test_equals_a_loop_written_out():
    model, history = fit(3, Factors(), settings={"gradient_clip": 0.05, "weight_decay": 0.1})
    other, loss, loader = Factors(), Loss(), Loader()
    draws = generator(5, "sampler")
    optimizer = torch.optim.Adam([*other.parameters(), *loss.parameters()], lr=0.02, weight_decay=0.1, fused=True)
    best, kept = -1.0, {}
    for row in history.rows:
        total = 0.0
        for batch in loader:
            negatives = Sampler()(batch.user, batch.positive, draws)
            terms = loss.terms(other(batch), batch.positive, negatives)
            value = terms["bpr"] + terms["norm"]
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_([*other.parameters(), *loss.parameters()], 0.05)
            optimizer.step()
            total += value.item() * len(batch.user)
        assert row["loss"] == pytest.approx(total / len(USER), rel=1e-6)
        assert row["loss"] == pytest.approx(row["loss/bpr"] + row["loss/norm"])
        other.eval()
        assert row["ndcg@20"] == score(other)["ndcg@20"]
        other.train()
        if row["ndcg@20"] > best:
            best, kept = row["ndcg@20"], {name: value.clone() for name, value in other.state_dict().items()}
    assert history.best_metrics == {"ndcg@20": best}
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_the_best_epoch_is_kept_not_the_last():
    values = iter([0.1, 0.5, 0.2, 0.3])
    states = []

    def validate(model):
        states.append(model.users.detach().clone())
        return {"ndcg@20": next(values), "recall@20": 0.0}

    model, history = fit(4, validate=validate)
    assert (history.best_epoch, history.epochs, history.stale) == (2, 4, 2)
    assert history.best_metrics == {"ndcg@20": 0.5, "recall@20": 0.0}
    assert torch.equal(model.users, states[1])


def test_stops_after_patience_validations():
    values = iter([0.5, 0.4, 0.6, 0.5, 0.6, 0.1, 0.9])
    _, history = fit(7, validate=lambda model: {"ndcg@20": next(values)}, settings={"patience": 2})
    assert (history.epochs, history.best_epoch) == (5, 3)  # an equal value is no improvement


def test_validates_every_second_epoch_and_at_the_end():
    seen = []
    _, history = fit(5, settings={"validate_every": 2}, on_epoch=lambda epoch, metrics: seen.append(epoch))
    assert [row["epoch"] for row in history.rows if "ndcg@20" in row] == seen == [2, 4, 5]


def test_time_and_pairs_add_up(monkeypatch):
    means, now = LossMeter.means, [5.0]

    def wait(meter):
        now[0] += 2.0
        return means(meter)

    monkeypatch.setattr(LossMeter, "means", wait)  # for the device
    monkeypatch.setattr(session, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    _, history = fit(3)
    assert (history.seconds, history.pairs) == (6.0, 3 * len(USER))
    assert [(row["seconds"], row["pairs_per_second"]) for row in history.rows] == [(2.0, len(USER) / 2.0)] * 3


class Records(Loss):
    """Keeps what a loss is told of a batch."""

    def terms(self, out, positive, negatives, row=None, user=None):
        self.told = {"positive": positive, "row": row, "user": user, "negatives": negatives.item}
        return {"users": out.interests.sum()}


@pytest.mark.parametrize("more", [{}, {"row": torch.tensor([0, 0, 2])}, {"prefix": torch.arange(3)}], ids=str)
def test_a_loss_is_told_of_rows_and_whose_prefixes_are(more):
    batch, loss = Batch(USER[:3], ITEM[:3], **more), Records()
    step = Step(Factors(), loss, None)
    step(lambda: Sampler()(batch.user, batch.positive), entries(batch))
    assert loss.told["positive"] is batch.positive
    assert loss.told["row"] is batch.row
    assert (loss.told["user"] is batch.user) == ("prefix" in more)


def test_a_part_of_a_batch_has_its_rows_of_all_negatives_and_its_share():
    whole, row, loss = Batch(USER[:9], ITEM[:9]), torch.tensor([2, 7]), Records()
    drawn = Sampler()(whole.user, whole.positive).item
    step = Step(model := Factors(), loss, None)
    part = entries(Batch(USER[row], ITEM[row]))
    terms = step(lambda: Negatives(drawn), part, row, {"users": 0.25})
    assert torch.equal(loss.told["negatives"], drawn[row])
    assert terms["users"].item() == 0.25 * model.users[USER[row]].sum().item()


def test_a_loss_is_a_mean_over_positives_however_many_a_user_has():
    class Users(Loader):
        def __iter__(self):
            for users, each in ((torch.arange(3), 3), (torch.arange(3, 12), 1)):
                row = torch.arange(len(users)).repeat_interleave(each)
                yield Batch(users, ITEM[: len(row)], row=row)

    class NumUsers(Loss):
        def terms(self, out, positive, negatives, row=None, user=None):
            return {"users": len(out.interests) + 0 * out.interests.sum()}

    trainer = Trainer(epochs=1, accelerator="cpu")
    history = trainer.fit(Factors(), Users(), Sampler(), NumUsers(), score)
    assert history.rows[0]["loss"] == (9 * 3 + 9 * 9) / 18
    assert history.pairs == 18


@pytest.mark.parametrize(
    ("option", "wrong", "choices"),
    [
        ("accelerator", "gpu", "'auto', 'cpu' or 'cuda'"),
        ("precision", "bf16", "'32-true', '64-true', 'bf16-mixed' or '16-mixed'"),
        ("compile", "max-autotune", "'default' or 'reduce-overhead'"),
        ("kernels", "cuda", "'torch' or 'triton'"),
    ],
)
def test_a_word_that_is_no_choice_is_refused(option, wrong, choices):
    with pytest.raises(ValueError, match=rf"'{option}' must be {choices} \(got '{wrong}'\)"):
        Trainer(**{option: wrong})


def test_torch_is_left_as_it_was():
    before = torch.get_rng_state()
    fit(1)
    assert torch.equal(before, torch.get_rng_state())


def test_callback_sees_every_validation_and_can_end_training(tmp_path):
    seen = []

    def on_epoch(epoch, metrics):
        seen.append((epoch, metrics["ndcg@20"]))
        if epoch == 2:
            raise StopIteration

    with pytest.raises(StopIteration):
        fit(5, on_epoch=on_epoch, folder=(folder := RunFolder(tmp_path)), settings={"weight_average": 0.9})
    assert [epoch for epoch, _ in seen] == [1, 2]
    state, weights = folder.read_state(), folder.read_tensors("model")  # files of a run that has not ended
    assert (state["history"]["epochs"], len(folder.read_metrics())) == (2, 2)
    assert all(torch.equal(weights[name], best) for name, best in state["best"].items())


def test_unknown_monitor_gets_a_sentence():
    with pytest.raises(ValueError, match=r"'monitor' is 'ndgc@20', but validation gives ndcg@20"):
        fit(1, settings={"monitor": "ndgc@20"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("patience", 0), ("validate_every", 0), ("learning_rate", 0.0), ("learning_rate", float("nan")),
     ("gradient_clip", -1.0), ("weight_decay", -0.1), ("weight_decay", float("nan")),
     ("weight_average", 1.0), ("weight_average", 0.0)],
)  # fmt: skip
def test_bad_arguments_are_named(name, value):
    with pytest.raises(ValueError, match=rf"'{name}' must be .* \(got {value}\)"):
        Trainer(**{name: value})


@pytest.mark.parametrize(("name", "least"), [("weight_decay", "at least 0"), ("learning_rate", "positive")])
def test_infinite_numbers_are_told_from_small_ones(name, least):
    for value, more in ((math.inf, " and finite"), (-1.0, "")):
        with pytest.raises(ValueError, match=rf"^'{name}' must be {least}{more} \(got {value}\)$"):
            Trainer(**{name: value})


class Breaks(Loss):
    """The penalty is lost at one step; a step later everything is."""

    def __init__(self, at):
        super().__init__()
        self.at, self.steps = at, 0

    def terms(self, out, positive, negatives, row=None, user=None):
        self.steps += 1
        terms = super().terms(out, positive, negatives, row, user)
        if self.steps == self.at:
            terms["norm"] = terms["norm"] * torch.tensor(float("inf"))
        return terms


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_loss_that_is_not_finite_names_the_term_that_broke_first(tmp_path, clip):
    with pytest.raises(FloatingPointError, match=r"^the loss term 'norm' is not finite at step 2 of epoch 3"):
        fit(5, loss=Breaks(at=4 * 2 + 2), folder=RunFolder(tmp_path), settings={"gradient_clip": clip})
    assert RunFolder(tmp_path).read_state()["history"]["epochs"] == 2  # the last good epoch


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        (
            [[(1, 2), (3, 6)], [(10, 20), (10, 20)]],
            {"a": 12.5, "b": 25.0},
        ),  # three times the weight
        ([[(1, 1), (1, 1), (math.inf, 1)], [(1, 1), (1, math.nan), (1, 1)]], "'b' is not finite at step 2"),
        ([[(1, 1), (math.inf, 1)], [(1, 1), (1, math.nan)]], "'a' and 'b' is not finite at step 2"),
        ([[(1, 1), (1, 1)], [(math.inf, 1), (math.nan, math.nan)]], "'a' is not finite at step 1"),
    ],
)
def test_terms_of_several_processes_add_up(monkeypatch, parts, found):
    rows = []
    monkeypatch.setattr("graphmi.meter.gathered", lambda own, world: rows.append(own) or rows)
    meters = [LossMeter(Fabric(accelerator="cpu", devices=1)) for _ in parts]
    for meter, steps in zip(meters, parts, strict=True):
        for weight, (a, b) in zip((1, 3, 5), steps, strict=False):
            meter.update({"a": torch.tensor(float(a)), "b": torch.tensor(float(b))}, weight)
    with contextlib.suppress(FloatingPointError):
        meters[0].means()
    if isinstance(found, dict):
        assert meters[1].means() == found
        return
    with pytest.raises(FloatingPointError, match=f"^the loss term {found}"):
        meters[1].means()


def test_terms_are_averaged_in_double_precision_by_their_names():
    meter, value = LossMeter(Fabric(accelerator="cpu", devices=1)), torch.tensor(0.3, dtype=torch.bfloat16)
    term = value.clone().requires_grad_()
    meter.update({"a": term, "b": 2 * term}, 301)
    meter.update({"b": 4 * term, "a": 2 * term}, 8)
    mean = float(value) * (301 + 2 * 8) / 309
    assert meter.means() == pytest.approx({"a": mean, "b": 2 * mean}, rel=1e-12)
    assert not meter._sums.requires_grad  # nothing of a step is kept


def test_a_loss_without_scalars_by_name_gets_a_sentence():
    loss = Loss()
    for terms, got in (
        (torch.zeros(()), "a Tensor"),
        (None, "a NoneType"),
        ({}, "none"),
        ({"own": torch.zeros(1)}, r"'own' \[1\]"),
        ({"own": torch.zeros(()), "other": 0.5}, r"'own' \[\], 'other' a float"),
    ):
        loss.terms = lambda *_, terms=terms: terms
        with pytest.raises(ValueError, match=rf"'terms' of Loss must return a dictionary of scalars .*\(got {got}\)"):
            fit(1, loss=loss)


@pytest.mark.parametrize(("given", "got"), [((USER, ITEM), "tuple"), (Batch(USER), "Batch without positives")])
def test_a_loader_of_something_else_than_batches_gets_a_sentence(given, got):
    with pytest.raises(ValueError, match=rf"^list must give Batch\(user, positive\) \(got a {got}\)$"):
        fit(1, loader=[given])


def test_a_loader_that_gives_nothing_a_second_time_gets_a_sentence():
    class Once(Loader):
        def __iter__(self):
            self.batches = getattr(self, "batches", None) or super().__iter__()
            return self.batches

    with pytest.raises(ValueError, match=r"^Once gave no batch in epoch 2: it must give some"):
        fit(2, loader=Once())


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_precision(precision):
    model, history = fit(2, settings={"precision": precision})
    assert model.users.dtype == (torch.float64 if precision == "64-true" else torch.float32)
    assert history.rows[1]["loss"] < history.rows[0]["loss"]


def test_another_optimizer():
    model, _ = fit(1, settings={"optimizer": partial(torch.optim.SGD, momentum=0.9)})
    other, _ = fit(1)
    assert not torch.equal(model.users, other.users)


def test_the_scheduler_changes_the_rate_after_every_epoch():
    halved, later = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5), count()
    model, _ = fit(3, Factors(), validate=lambda _: {"ndcg@20": next(later)}, settings={"scheduler": halved})
    other, loss, loader, draws = Factors(), Loss(), Loader(), generator(5, "sampler")
    optimizer = torch.optim.Adam([*other.parameters(), *loss.parameters()])
    for rate in (0.02, 0.01, 0.005):
        optimizer.param_groups[0]["lr"] = rate
        for batch in loader:
            terms = loss.terms(other(batch), batch.positive, Sampler()(batch.user, batch.positive, draws))
            optimizer.zero_grad()
            sum(terms.values()).backward()
            optimizer.step()
    torch.testing.assert_close(model.items, other.items)


@pytest.mark.parametrize(
    "settings",
    [{"scheduler": partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=4)}, {"weight_average": 0.9}],
    ids=["schedule", "average"],
)
def test_schedule_and_average_survive_a_resume(tmp_path, settings):
    whole, through = fit(4, settings=settings)
    with pytest.raises(KeyboardInterrupt):
        fit(4, loss=interrupt_in_epoch(3), folder=RunFolder(tmp_path), settings=settings)
    resumed, history = fit(4, folder=RunFolder(tmp_path), settings=settings, resume=True)
    assert numbers(history) == numbers(through) != numbers(fit(4)[1])
    assert torch.equal(resumed.items, whole.items)


def test_the_scale_of_half_precision_survives_a_resume(tmp_path, monkeypatch):
    monkeypatch.setattr(Precision, "state_dict", lambda _: {"scale": 8.0})  # on the CPU there is none
    monkeypatch.setattr(Precision, "load_state_dict", load := Mock())
    for epochs in (1, 2):
        fit(epochs, folder=RunFolder(tmp_path), resume=True)
    load.assert_called_once_with({"scale": 8.0})


def test_a_scheduler_that_waits_for_a_metric_is_refused():
    with pytest.raises(ValueError, match="ReduceLROnPlateau waits for a metric"):
        fit(1, settings={"scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau})


@pytest.mark.parametrize(
    ("option", "kind", "said"),
    [
        ("optimizer", torch.optim.LBFGS, "weight_decay"),
        ("scheduler", partial(torch.optim.lr_scheduler.StepLR, step_size=0), "ZeroDivisionError"),
        ("scheduler", torch.optim.lr_scheduler.ChainedScheduler, "has no len"),
        ("optimizer", Mock(side_effect=RuntimeError("first line\nsecond")), "first line"),
    ],
)
def test_what_torch_refuses_is_named(option, kind, said):
    with pytest.raises(ValueError, match=rf"^'{option}' fails \(.*{said}.*\): change its options, or name another"):
        fit(1, settings={option: kind})


class Breaking(torch.optim.SGD):
    def step(self, closure=None):
        raise RuntimeError("the device is gone")


def test_what_options_cannot_help_is_said_as_it_is():
    def without_room(*_, **__):
        raise MemoryError("no room")

    for option in ("optimizer", "scheduler"):
        with pytest.raises(MemoryError, match="no room"):
            fit(1, settings={option: without_room})
    with pytest.raises(RuntimeError, match="the device is gone"):
        fit(1, settings={"optimizer": Breaking})


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.RMSprop])
def test_an_optimizer_that_takes_no_sparse_gradients_is_named(optimizer):
    class Sparse(Factors):
        def forward(self, batch):
            return Representations(embedding(batch.user, self.users, sparse=True).unsqueeze(1), self.items)

    with pytest.raises(ValueError, match="'optimizer' does not take the sparse gradients of the model: use LazyAdam"):
        fit(1, Sparse(), settings={"optimizer": optimizer})


def test_streams_of_numbers_are_told_apart_by_seed_and_name():
    def drawn(seed, name):
        with seeded(seed, name):
            noise = torch.rand(3)
        assert torch.equal(noise, torch.rand(3, generator=generator(seed, name)))
        return tuple(noise.tolist())

    assert len({drawn(seed, name) for seed in (0, 1) for name in ("noise", "loader")}) == 4


def test_seeds_that_no_generator_takes_are_refused():
    assert generator(2**63 - 1, "sampler").initial_seed() != generator(0, "sampler").initial_seed()
    check_seed(-(2**63))  # what splits and worlds take
    with pytest.raises(ValueError, match="'seed' must be below"):
        check_seed(-(2**63) - 1)
    for seed in (2**63, 2**64, -1):
        with pytest.raises(ValueError, match=rf"'seed' must be .* \(got {seed}\)"):
            generator(seed, "sampler")


def interrupt_in_epoch(epoch):
    """Ctrl-C in the middle of an epoch."""

    class Interrupts(Loss):
        steps = 0

        def terms(self, out, positive, negatives, row=None, user=None):
            self.steps += 1
            if self.steps == 4 * (epoch - 1) + 3:
                raise KeyboardInterrupt
            return super().terms(out, positive, negatives, row, user)

    return Interrupts()


def test_resumed_equals_uninterrupted(tmp_path):
    whole, through = fit(6, folder=RunFolder(tmp_path / "whole"))
    parts = RunFolder(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        fit(6, loss=interrupt_in_epoch(3), folder=parts)
    with pytest.raises(KeyboardInterrupt):
        fit(6, loss=interrupt_in_epoch(2), folder=parts, resume=True)  # the second epoch of this part is the fourth
    resumed, history = fit(6, folder=parts, resume=True)
    assert numbers(history) == numbers(through)
    assert history.best_epoch == through.best_epoch
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value)
    final, again = (RunFolder(tmp_path / name).read_state() for name in ("whole", "parts"))
    torch.testing.assert_close(again["optimizer"], final["optimizer"], rtol=0, atol=0)
    assert torch.equal(again["noise"][0]["cpu"], final["noise"][0]["cpu"])
    assert torch.equal(parts.read_tensors("model")["users"], whole.users)


def test_the_average_of_the_weights_is_validated_and_kept():
    plain, trained = fit(1, Factors())[1], []

    class Records(Loss):
        def terms(self, out, positive, negatives, row=None, user=None):
            trained.append(out.items.detach().clone())  # the weights before the step
            return super().terms(out, positive, negatives, row, user)

    model = Factors()
    model.kept = nn.Parameter(torch.arange(3), requires_grad=False)  # of integers there is no average
    _, history = fit(1, model, loss=Records(), settings={"weight_average": 0.6})
    _, after = fit(2, Factors(), loss=Records(), settings={"weight_average": 0.6})
    weights = [*trained[1:4], trained[8]]  # after each of the 4 steps; the first step of the second epoch starts there
    expected = trained[0]
    for step, items in enumerate(weights, start=1):
        decay = min(0.6, step / (step + 9))
        expected = decay * expected + (1 - decay) * items
    torch.testing.assert_close(model.items.detach(), expected)
    assert history.best_metrics == {"ndcg@20": score(model.eval())["ndcg@20"]}
    assert history.rows[0]["loss"] == after.rows[0]["loss"] == plain.rows[0]["loss"]  # it changes no step


def test_the_trained_weights_are_back_after_a_validation_that_was_interrupted():
    model = Factors()

    def validate(_):
        raise KeyboardInterrupt

    plain, _ = fit(1, Factors())
    with pytest.raises(KeyboardInterrupt):
        fit(1, model, validate=validate, settings={"weight_average": 0.9})
    assert torch.equal(model.items, plain.items)


def test_a_generator_of_another_device_goes_on_with_draws_of_its_own():
    def drawn(state):
        source = torch.Generator()
        session._put_back(source, state)
        return torch.rand(3, generator=source)

    own, other = torch.Generator().manual_seed(5), torch.arange(16, dtype=torch.uint8)  # as CUDA's, of 16 bytes
    assert torch.equal(drawn(own.get_state()), torch.rand(3, generator=own))
    assert torch.equal(drawn(other), drawn(other))
    assert not torch.equal(drawn(other), drawn(other + 1))


def test_early_stopping_survives_a_resume(tmp_path):
    values = [0.5, 0.4, 0.3, 0.2, 0.1]
    folder = RunFolder(tmp_path)

    def validate(model):
        return {"ndcg@20": values[len(folder.read_state()["history"]["rows"]) if folder.read_state() else 0]}

    with pytest.raises(KeyboardInterrupt):
        fit(5, loss=interrupt_in_epoch(3), folder=folder, validate=validate, settings={"patience": 3})
    _, history = fit(5, folder=folder, validate=validate, settings={"patience": 3}, resume=True)
    assert (history.epochs, history.best_epoch, history.stale) == (4, 1, 3)
    _, again = fit(5, folder=folder, validate=validate, settings={"patience": 3}, resume=True)
    assert again == history  # a finished run has nothing to resume


@pytest.mark.parametrize("source", [torch.Generator, lambda: None])  # without one the noise of the loop is drawn
def test_more_epochs_can_be_added(tmp_path, source):
    def loader():
        made = Loader()
        made.generator = source()
        return made

    _, through = fit(5, loader=loader())
    fit(3, folder=RunFolder(tmp_path), loader=loader())
    _, history = fit(5, folder=RunFolder(tmp_path), loader=loader(), resume=True)
    assert numbers(history) == numbers(through)


def test_an_average_and_a_schedule_may_begin_with_a_resume(tmp_path):
    fit(2, folder=(folder := RunFolder(tmp_path)))
    state = folder.read_state()
    folder.write_state({name: part for name, part in state.items() if name != "scheduler"})  # of an older version
    settings = {"weight_average": 0.9, "scheduler": partial(torch.optim.lr_scheduler.StepLR, step_size=1)}
    _, history = fit(3, folder=RunFolder(tmp_path), settings=settings, resume=True)
    assert history.epochs == 3


def test_more_processes_may_go_on_than_began(tmp_path):
    fit(2, folder=RunFolder(tmp_path))
    state = RunFolder(tmp_path).read_state()
    RunFolder(tmp_path).write_state({**state, "noise": []})  # this process was not there
    _, history = fit(3, folder=RunFolder(tmp_path), resume=True)
    assert history.epochs == 3


def test_each_process_goes_on_with_its_own_noise(tmp_path, monkeypatch):
    _, through = fit(3)
    fit(2, folder=(folder := RunFolder(tmp_path)))
    state = folder.read_state()
    folder.write_state({**state, "noise": [{"cpu": torch.get_rng_state()}, *state["noise"]]})
    monkeypatch.setattr(Fabric, "global_rank", 1)
    _, history = fit(3, folder=folder, resume=True)
    assert numbers(history) == numbers(through)


def test_a_finished_run_gets_back_its_lost_files(tmp_path):
    model, _ = fit(2, folder=RunFolder(tmp_path))
    kept = (tmp_path / "metrics.csv").read_text()
    for name in ("metrics.csv", "model.safetensors"):
        (tmp_path / name).unlink()
    fit(2, folder=RunFolder(tmp_path), resume=True)
    assert (tmp_path / "metrics.csv").read_text() == kept
    assert torch.equal(RunFolder(tmp_path).read_tensors("model")["users"], model.users)


def test_without_resume_or_a_state_training_starts(tmp_path):
    _, history = fit(2, folder=RunFolder(tmp_path), resume=True)
    assert history.epochs == 2
    _, history = fit(1, folder=RunFolder(tmp_path))  # nobody asked to resume
    assert history.epochs == 1


def test_a_state_that_does_not_fit_is_named(tmp_path):
    folder = RunFolder(tmp_path)
    fit(1, folder=folder)
    other = Factors(0.2)
    other.items = nn.Parameter(torch.zeros(NUM_ITEMS + 1, DIM))
    said = r"resume\.pt' is of another model or loss \(size mismatch for items.*\[21, 4\]\)\): resume with"
    with pytest.raises(ValueError, match=said):
        fit(2, other, folder=folder, resume=True)


def test_lack_of_memory_is_no_other_model(tmp_path, monkeypatch):
    fit(1, folder=RunFolder(tmp_path))
    said = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: you tried to allocate 3 bytes."
    monkeypatch.setattr(Factors, "load_state_dict", Mock(side_effect=RuntimeError(said)))
    with pytest.raises(RuntimeError, match="enforce fail"):
        fit(2, folder=RunFolder(tmp_path), resume=True)


class Dies:
    """In place of ``replacing``: ends in the middle of the ``at``-th write, with half a file on the disk."""

    def __init__(self, at, end):
        self.writes, self.at, self.end = 0, at, end

    def __call__(self, path):
        self.writes += 1
        if self.writes == self.at:
            path.with_name(f".{path.name}.part").write_bytes(b"half")
            self.end()
        return replacing(path)


def stop():
    raise KeyboardInterrupt


def check_resumed(path):
    _, through = fit(4)
    resumed, history = fit(4, folder=RunFolder(path), resume=True)
    assert numbers(history) == numbers(through)
    assert torch.equal(RunFolder(path).read_tensors("model")["users"], resumed.users)
    with (path / "metrics.csv").open() as file:
        assert len(file.readlines()) == 5


# resume.pt; resume.pt, metrics.csv, model.safetensors of epoch 2; the last two of epoch 4, with nothing left to train
@pytest.mark.parametrize("at", [1, 4, 5, 6, 11, 12])
def test_ended_while_writing_then_resumed(tmp_path, monkeypatch, at):
    monkeypatch.setattr(run, "replacing", Dies(at, stop))
    with pytest.raises(KeyboardInterrupt):
        fit(4, folder=RunFolder(tmp_path))
    monkeypatch.undo()
    check_resumed(tmp_path)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from test_trainer import Dies, RunFolder, fit, run
run.replacing = Dies(5, lambda: os.kill(os.getpid(), signal.SIGKILL))
fit(4, folder=RunFolder(sys.argv[2]))
"""


def test_killed_then_resumed(tmp_path):
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, here, str(tmp_path)], timeout=120)
    assert done.returncode == -signal.SIGKILL
    check_resumed(tmp_path)


def test_metrics_file_and_loggers(tmp_path):
    logger, told = TensorBoardLogger(tmp_path, name="tensorboard", version=""), Mock(Logger)
    _, history = fit(2, folder=RunFolder(tmp_path), loggers=[logger, told])
    assert [call.kwargs["step"] for call in told.log_metrics.call_args_list] == [1, 2]
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert rows == history.rows
    logger.finalize("success")
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_a_process_that_does_not_lead_writes_and_logs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Fabric, "is_global_zero", False)
    fit(1, folder=RunFolder(tmp_path), loggers=[logger := Mock(Logger)])
    assert not any(tmp_path.iterdir())
    logger.log_metrics.assert_not_called()


def test_progress_is_silent_away_from_a_terminal(capfd):
    fit(2)
    assert capfd.readouterr() == ("", "")


def test_the_loss_that_is_shown_is_the_mean_so_far(monkeypatch):
    shown = []
    monkeypatch.setattr("graphmi.session._CHECK_EVERY", 2)
    monkeypatch.setattr(TrainingProgress, "step", lambda _, *told: shown.append(told))
    _, history = fit(1)
    assert [steps for steps, _ in shown] == [2, 4]
    assert shown[1][1] == pytest.approx(history.rows[0]["loss"])


def test_progress_on_a_terminal_shows_what_matters():
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    with TrainingProgress(3, 4, finished=1, console=console) as shown:
        shown.step(2, 0.5)
        shown.validating()
        shown.epoch(2, "loss 0.5000  1,000 pairs/s")
    text = console.file.getvalue()
    assert "epochs" in text
    assert "2/3" in text
    assert "1,000 pairs/s" in text


def test_what_is_counted_while_bars_are_shown_is_one_more_of_them(capfd):
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    with TrainingProgress(3, 4, console=console), counting("valid", 100) as done:
        done(40)
        with counting("more", 5):  # draws all of them
            pass
        with counting("unseen", 5, enabled=False):
            pass
    with counting("after", 5):
        pass
    text = console.file.getvalue()
    assert "valid" in text
    assert "40/100" in text
    assert "unseen" not in text
    assert "after" not in text
    assert capfd.readouterr() == ("", "")  # where no terminal is


class Output(contextlib.nullcontext):
    """In place of the widget of a notebook: rich writes into it, and closes it when all is done."""

    closed = 0

    def clear_output(self, wait):
        pass

    def close(self):
        Output.closed += 1


def test_progress_in_a_notebook_shows_what_matters(monkeypatch):
    shown = []
    modules = {"IPython": {}, "IPython.display": {"display": shown.append}, "ipywidgets": {"Output": Output}}
    for name, content in modules.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**content))
    with TrainingProgress(3, 4, finished=1, console=Console(force_jupyter=True)):
        pass
    assert "1/3" in "".join(getattr(one, "text", "") for one in shown)
    assert Output.closed == 1


def test_a_notebook_without_widgets_trains_on_and_says_what_to_install():
    console = Console(force_jupyter=True)
    with pytest.warns(UserWarning, match="ipywidgets"), TrainingProgress(3, 4, console=console) as shown:
        shown.epoch(1, "loss 0.5000")
