"""One experiment: data, model, loss and training as one typed value, which the command line and studies share."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Literal

import torch
from lightning_fabric.loggers.logger import Logger
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.data import (
    Dataset,
    DiversityGroups,
    Filter,
    Histories,
    InteractionLoader,
    Interactions,
    LeaveOneOut,
    open_data,
)
from graphmi.data.dataset import Part
from graphmi.data.loader import LoaderFactory
from graphmi.evaluator import Evaluation, Evaluator
from graphmi.history import History
from graphmi.losses import Loss
from graphmi.metrics import ranking_metrics
from graphmi.progress import counting
from graphmi.ranges import at_least
from graphmi.remarks import check_known_users, tell_once, tell_unread_vectors, tell_what_is_served
from graphmi.run import RunFolder
from graphmi.samplers import Sampler
from graphmi.seeds import check_seed, generator, seeded
from graphmi.trainer import Trainer
from graphmi.typing import HistoryReader

__all__ = ["Experiment", "Fitted", "Trained"]


@dataclass(frozen=True)
class Fitted:
    """A trained model and what validation says of it.

    Attributes:
        model: The model with the weights of its best epoch, or of the last where none was validated.
        history: Training, epoch by epoch.
        valid: Validation metrics of that epoch; none where validation was trained on.
    """

    model: nn.Module
    history: History
    valid: Mapping[str, float]


@dataclass(frozen=True)
class Trained(Fitted):
    """A trained model and its test.

    Attributes:
        test: Evaluation on the test.
        diversity: Diversity of each user, by which the groups were made, ``[num_users]`` float64; NaN for none.
    """

    test: Evaluation
    diversity: Tensor


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that decides the outcome of a run.

    Args:
        data: Name of ``graphmi data list``, or a file.
        model: Model class; it gets the training graph.
        sampler: Sampler class; it gets the training graph. Needed for a model with parameters.
        loss: Loss of a model with parameters.
        columns: Options of a named data set, or of a file: columns ``user``, ``item``, ``time``, ``weight`` and
            ``category``, and ``format`` (``sequences`` has one line per user). With either, ``attributes`` is a file
            with categories, titles and vectors of the items.
        filter: Which interactions are kept.
        split: How the interactions become training, validation and test.
        trainer: The training loop.
        loader: Training batches: ``InteractionLoader`` draws pairs, ``UserLoader`` users with all of their pairs;
            ``TargetLoader`` and ``PrefixLoader`` have histories, for models that read them.
        k: Lengths of the recommendation lists that are evaluated, each at least 1.
        groups: User groups by interest diversity.
        replicates: Bootstrap samples for the confidence intervals of the groups, at least 0.
        valid_users: Most users whom validation while training ranks for, at least 1: drawn at random by ``seed``, the
            same in every epoch. All when omitted; the test always takes all.
        refit: Train on the validation items too, for all epochs of the trainer, without validating: for the last run of
            a model whose epochs were chosen by validation. With ``"all"`` on the test items, too: for a model that is
            to be served, of which nothing can be measured any more.
        repeat: Rank items that a user knows too, in validation and test, as ComiRec and its successors do.
        seed: Seed of initial parameters, order of the data, negatives and dropout; in ``[0, 2**63)``.
        description: What this is, in a sentence.
        paper: Where it was published.

    Raises:
        ValueError: If a number is out of its range, or the metric that training monitors is not evaluated.

    Example:
        >>> from graphmi.models import Popularity
        >>> experiment = Experiment(data="planted", model=Popularity, replicates=0)
        >>> trained = experiment.train(experiment.dataset())
        >>> len(trained.test.users), "ndcg@20" in trained.test.metrics
        (1000, True)
    """

    data: str
    model: Callable[[HeteroData], nn.Module]
    sampler: Callable[[HeteroData], Sampler] | None = None
    loss: Loss | None = None
    columns: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    filter: Filter = field(default_factory=Filter)
    split: Callable[[Interactions], Dataset] = field(default_factory=LeaveOneOut)
    trainer: Trainer = field(default_factory=Trainer)
    loader: LoaderFactory = InteractionLoader
    k: Sequence[int] = (10, 20, 50)
    groups: DiversityGroups = field(default_factory=DiversityGroups)
    replicates: int = 1000
    valid_users: int | None = None
    refit: bool | Literal["all"] = False
    repeat: bool = False
    seed: int = 0
    description: str = ""
    paper: str = ""

    def __post_init__(self) -> None:
        at_least(1, k=min(self.k, default=0), valid_users=self.valid_users)
        at_least(0, replicates=self.replicates, seed=self.seed)
        check_seed(self.seed)
        evaluated, monitor = ranking_metrics(self.k), self.trainer.monitor
        if monitor not in evaluated:
            near = get_close_matches(monitor, evaluated, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(evaluated)}"
            raise ValueError(f"'monitor' is '{monitor}', which is not evaluated ({hint})")

    def interactions(self) -> Interactions:
        """Read and filter the data; in several processes all must call it.

        Raises:
            DataError: If the data is unknown or cannot be used.
        """
        with self.trainer.leading():
            return self.filter(open_data(self.data, **self.columns))

    def dataset(self, interactions: Interactions | None = None) -> Dataset:
        """Return what is trained on and tested; in several processes all must call it.

        Args:
            interactions: What :meth:`interactions` returned; read anew when omitted.

        Raises:
            DataError: If the data is unknown or cannot be used.
            ValueError: If a split of one's own returns something else.
        """
        dataset = self.split(self.interactions() if interactions is None else interactions)
        if not isinstance(dataset, Dataset):
            raise ValueError(f"{type(self.split).__name__} must return a Dataset (got a {type(dataset).__name__})")
        return dataset.refit(test=self.refit == "all") if self.refit else dataset

    def build(self, dataset: Dataset) -> nn.Module:
        """Return the untrained model of a dataset, on the device of the trainer."""
        with seeded(self.seed, "parameters"):
            return self.model(dataset.graph()).to(self.trainer.device)

    def evaluate(
        self,
        model: nn.Module,
        dataset: Dataset,
        part: Part,
        k: Sequence[int] | None = None,
        diversity: Tensor | None = None,
    ) -> Evaluation:
        """Rank all items for every user with a target; by diversity group too, cut among these users.

        Args:
            model: The model, trained.
            dataset: What :meth:`dataset` returned.
            part: ``"valid"`` or ``"test"``.
            k: Lengths of the recommendation lists, those of the experiment when omitted.
            diversity: Diversity of each user, ``groups.values(dataset.train)``, for who has it at hand.

        Raises:
            ValueError: If the part was trained on.
        """
        self.require_unseen(part)
        if diversity is None:
            diversity = self.groups.values(dataset.train)
        evaluator = self._evaluator(dataset, part, self.k if k is None else k, diversity)
        return _told(self._ranked(evaluator, model, part), diversity)

    def require_unseen(self, part: Part) -> None:
        """Check that a part was not trained on.

        Raises:
            ValueError: If it was.
        """
        if self.refit == "all":
            raise ValueError("all items were trained on ('refit' is 'all'), so that nothing is left to be found")
        if self.refit and part == "valid":
            raise ValueError("the validation items were trained on ('refit' is true): evaluate the test")

    def valid_protocol(self, dataset: Dataset) -> str:
        """Return in words whose mean the validation metrics of :meth:`fit` are."""
        if self.refit:
            return "none: the validation items were trained on"
        total = len(torch.unique(dataset.valid.user))
        if self.valid_users is None or self.valid_users >= total:
            return "mean over the users with a target"
        return f"mean over {self.valid_users:,} of the {total:,} users with a target, drawn at random"

    def fit(
        self,
        dataset: Dataset,
        folder: RunFolder | None = None,
        *,
        resume: bool = False,
        loggers: Sequence[Logger] = (),
        on_epoch: Callable[[int, Mapping[str, float]], None] | None = None,
    ) -> Fitted:
        """Train the model, and validate it where that is not trained on; the test is not looked at.

        A folder gets weights, metrics and the state to resume from, but no ``config.yaml``, because an experiment does
        not know what it was made of: ``build(dataset).load_state_dict(folder.read_tensors("model"))`` reads the weights
        again. :meth:`Config.run <graphmi.config.Config.run>` leaves a whole run folder, for the commands and
        ``graphmi.restore``.

        Args:
            dataset: What :meth:`dataset` returned.
            folder: As in :meth:`Trainer.fit <graphmi.trainer.Trainer.fit>`, like the arguments after it.
            resume: Whether to continue an interrupted run.
            loggers: Get one row per epoch.
            on_epoch: Called after every validation.

        Raises:
            ValueError: If the model has parameters, but loss or sampler is missing.
            FloatingPointError: If a loss term is not finite.
        """
        # First, so that what cannot be evaluated is not trained.
        validate = None if self.refit else self._validation(dataset)
        model, history = self.build(dataset), History()
        if any(parameter.requires_grad for parameter in model.parameters()):
            if self.loss is None or self.sampler is None:
                raise ValueError(f"a model with parameters ({type(model).__name__}) needs a 'loss' and a 'sampler'")
            if self.trainer.leads:
                tell_what_is_served(model, self.loss)
                tell_unread_vectors(model, dataset)
            loader = self.loader(dataset.train)
            loader.generator, loader.device = generator(self.seed, "loader"), self.trainer.batch_device
            if loader.left_out and self.trainer.progress and self.trainer.leads:
                tell_once(loader.left_out)
            if isinstance(model, HistoryReader):
                loader.max_length = loader.max_length or model.max_length
            else:
                check_known_users(dataset)
            history = self.trainer.fit(
                model,
                loader,
                self.sampler(dataset.graph()),
                copy.deepcopy(self.loss),  # it may have parameters, and the experiment is not changed by running it
                validate,
                seed=self.seed,
                folder=folder,
                resume=resume,
                loggers=loggers,
                on_epoch=on_epoch,
            )
        return Fitted(model, history, history.best_metrics or ({} if validate is None else validate(model)))

    def train(
        self,
        dataset: Dataset,
        folder: RunFolder | None = None,
        *,
        resume: bool = False,
        loggers: Sequence[Logger] = (),
        on_epoch: Callable[[int, Mapping[str, float]], None] | None = None,
    ) -> Trained:
        """Train the model and evaluate its best epoch on the test; a model without parameters is only evaluated.

        Args:
            dataset: As in :meth:`fit`, like the arguments after it.
            folder: As in :meth:`fit`: it becomes no whole run folder.
            resume: As in :meth:`fit`.
            loggers: As in :meth:`fit`.
            on_epoch: As in :meth:`fit`.

        Raises:
            ValueError: As :meth:`fit`, and if the test was trained on.
            FloatingPointError: As :meth:`fit`.
        """
        self.require_unseen("test")
        # The evaluator comes first, so that what cannot be evaluated is not trained.
        diversity = self.groups.values(dataset.train)
        test = self._evaluator(dataset, "test", self.k, diversity)
        fitted = self.fit(dataset, folder, resume=resume, loggers=loggers, on_epoch=on_epoch)
        found = _told(self._ranked(test, fitted.model, "test"), diversity)
        return Trained(fitted.model, fitted.history, fitted.valid, found, diversity)

    def _validation(self, dataset: Dataset) -> Callable[[nn.Module], Mapping[str, float]]:
        evaluator = self._evaluator(replace(dataset, valid=self._drawn(dataset.valid)), "valid", self.k)
        return lambda model: _flat(self._ranked(evaluator, model, "valid"))

    def _drawn(self, targets: Interactions) -> Interactions:
        if self.valid_users is None:
            return targets
        users = torch.unique(targets.user)
        order = torch.randperm(len(users), generator=generator(self.seed, "validation users"))
        return targets.take(torch.isin(targets.user, users[order[: self.valid_users]]))

    def _ranked(self, evaluator: Evaluator, model: nn.Module, part: Part) -> Evaluation:
        shows = self.trainer.progress and self.trainer.leads
        with counting(part, len(evaluator.users), shows) as shown:
            return evaluator(model, shown)

    def _evaluator(self, dataset: Dataset, part: Part, k: Sequence[int], diversity: Tensor | None = None) -> Evaluator:
        targets, known = dataset.targets(part), dataset.known(part)
        groups = None if diversity is None else self.groups.cut(diversity, dataset.train, targets.user)
        return Evaluator(
            targets,
            known,
            k,
            groups,
            history=Histories(known),
            train=None if diversity is None else dataset.train,
            diversity=diversity,
            quick=diversity is None,
            replicates=self.replicates,
            seed=self.seed,
            sharded=self.trainer.fabric.world_size > 1,
            repeat=self.repeat,
        )


def _flat(evaluation: Evaluation) -> dict[str, float]:
    """Return metrics, and of the interests what validation looks at, by the names of their columns."""
    return {**evaluation.metrics, **{f"interests/{name}": value for name, value in evaluation.interests.items()}}


def _told(found: Evaluation, diversity: Tensor) -> Evaluation:
    """Say in the protocol where groups were cut among some of the users only: among all they would be others."""
    if not found.groups or diversity.index_fill(0, found.users, torch.nan).isnan().all():
        return found
    return replace(found, protocol={**found.protocol, "group users": "those with a target"})
