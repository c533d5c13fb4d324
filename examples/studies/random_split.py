"""Does a multi-interest graph model beat its single-interest backbone? MovieLens-100K, random 80/10/10 split.

Four arms, each tuned with the same number of trials by Optuna (TPE) on *validation* NDCG@20, then trained anew with
five seeds and tested once: LightGCN and its multi-interest form, with BPR as published, and with a full softmax on
cosines.

    python examples/studies/random_split.py tune ARM --trials 16    # resumes; an arm at a time, or several at once
    python examples/studies/random_split.py test ARM                # the best configuration, five seeds
    python examples/studies/random_split.py table                   # accuracy, spread, paired tests

``--train``, ``--valid`` and ``--test`` name the files of a given split (columns user_id, item_id); without them the
split is drawn anew with seed 0. Everything is kept under ``--out``.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import torch
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

from graphmi.config import experiment
from graphmi.experiment import Experiment
from graphmi.metrics import paired_tests
from graphmi.presets import preset_text
from graphmi.run import RunFolder

METRIC, SEEDS = "ndcg@20", 5
GROUPINGS = {"std": "diversity", "std, controlled": "diversity-controlled"}


def softmax(trial: optuna.Trial) -> dict[str, object]:
    """Ranges of the softmax arms."""
    return {
        "model__embedding_dim": trial.suggest_categorical("model__embedding_dim", [64, 128, 256]),
        "model__num_layers": trial.suggest_int("model__num_layers", 1, 3),
        "loss__objective__temperature": trial.suggest_float("loss__objective__temperature", 0.12, 0.25),
        "loss__user_balance": trial.suggest_float("loss__user_balance", 0.0, 1.0),
        "loader__users_per_batch": trial.suggest_categorical("loader__users_per_batch", [32, 64, 128]),
        "trainer__learning_rate": trial.suggest_float("trainer__learning_rate", 2e-3, 1e-2, log=True),
    }


def bpr(trial: optuna.Trial) -> dict[str, object]:
    """Ranges of the BPR arms; the penalty is the first regularizer of the presets."""
    penalty = trial.suggest_float("penalty", 1e-5, 1e-2, log=True)
    return {
        "model__num_layers": trial.suggest_int("model__num_layers", 2, 4),
        "loss__regularizers": [{"weight": penalty, "regularizer": {"class_path": "EmbeddingNorm"}}],
        "trainer__learning_rate": trial.suggest_float("trainer__learning_rate", 1e-3, 2e-2, log=True),
        "loader__batch_size": 8192,
        "trainer__epochs": 150,
        "trainer__validate_every": 2,
        "trainer__patience": 8,
    }


def interests(trial: optuna.Trial) -> dict[str, object]:
    """Ranges that only a multi-interest model has."""
    return {
        "model__num_interests": trial.suggest_categorical("model__num_interests", [2, 4, 8]),
        "model__temperature": trial.suggest_float("model__temperature", 0.1, 0.5, log=True),
        "model__center": trial.suggest_categorical("model__center", ["sum", "node_dot"]),
        "model__rescale": True,
    }


def _both(*spaces: Callable[[optuna.Trial], dict[str, object]]) -> Callable[[optuna.Trial], dict[str, object]]:
    return lambda trial: {name: value for space in spaces for name, value in space(trial).items()}


ARMS = {
    "lightgcn": ("lightgcn", bpr),
    "interest-gcn": ("interest-gcn", _both(bpr, interests)),
    "lightgcn-softmax": ("lightgcn-softmax", softmax),
    "interest-gcn-softmax": ("interest-gcn-softmax", _both(softmax, interests)),
}


def make(arm: str, arguments: argparse.Namespace, options: dict[str, object]) -> Experiment:
    """Return the experiment of an arm on the split that was asked for."""
    given = [getattr(arguments, part) for part in ("train", "valid", "test")]
    split = {"split": "RandomSplit"}
    if all(given):
        split = {
            "split": "GivenSplit",
            **{f"split__{p}": str(f) for p, f in zip(("train", "valid", "test"), given, strict=True)},
        }
    return experiment(ARMS[arm][0], "ml-100k", **split, **options)


def tune(arm: str, arguments: argparse.Namespace) -> None:
    """Search the ranges of an arm; what was done before counts."""
    dataset = make(arm, arguments, {}).dataset()

    def objective(trial: optuna.Trial) -> float:
        options = ARMS[arm][1](trial)
        trained = make(arm, arguments, {**options, "replicates": 0, "trainer__progress": False}).train(dataset)
        trial.set_user_attr("options", options)
        trial.set_user_attr("seconds", trained.history.seconds)
        trial.set_user_attr("best_epoch", trained.history.best_epoch)
        return trained.valid[METRIC]

    study = load(arm, arguments)
    if not study.trials:
        study.enqueue_trial(preset_values(arm))
    done = sum(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials)
    study.optimize(objective, n_trials=max(0, arguments.trials - done), catch=(FloatingPointError,))
    Console().print(f"{arm}: validation {METRIC} {study.best_value:.4f}", study.best_trial.user_attrs["options"])


def preset_values(arm: str) -> dict[str, object]:
    """Return what the preset itself has for the ranges, as the first trial."""
    trial = optuna.create_study().ask()
    ARMS[arm][1](trial)
    values = {}
    for name in trial.params:
        part = yaml.safe_load(preset_text(ARMS[arm][0]))
        for key in name.split("__"):
            part = part.get("init_args", part).get(key) if isinstance(part, dict) else None
        if part is not None:
            values[name] = part
    return values


def load(arm: str, arguments: argparse.Namespace) -> optuna.Study:
    """Open the study of an arm."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(arguments.out / f"{arm}.journal")))
    study = optuna.create_study(study_name=arm, storage=storage, direction="maximize", load_if_exists=True)
    # A resumed search must not draw what it drew before.
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials), n_startup_trials=6)
    return study


def test(arm: str, arguments: argparse.Namespace) -> None:
    """Train the best configuration with every seed and test it."""
    best = load(arm, arguments).best_trial
    for seed in range(SEEDS):
        folder = RunFolder(arguments.out / f"{arm}-seed{seed}")
        if (folder.path / "result.json").exists():
            continue
        one = make(arm, arguments, {**best.user_attrs["options"], "seed": seed})
        dataset = one.dataset()
        trained = one.train(dataset)
        groups = {name: value for name, value in trained.test.to_dict()["groups"].items() if name.endswith(METRIC)}
        folder.write_tensors("per_user", {"user": trained.test.users, **trained.test.per_user})
        folder.write_result(
            {
                "options": best.user_attrs["options"],
                "seed": seed,
                "fingerprint": dataset.fingerprint(),
                "valid": trained.valid,
                "metrics": trained.test.metrics,
                "groups": groups,
                "seconds": trained.history.seconds,
                "epochs": trained.history.epochs,
            }
        )


def results(arm: str, arguments: argparse.Namespace) -> Iterator[tuple[dict, dict[str, torch.Tensor]]]:
    for seed in range(SEEDS):
        folder = RunFolder(arguments.out / f"{arm}-seed{seed}")
        if (folder.path / "result.json").exists():
            yield folder.read_result(), folder.read_tensors("per_user")


def table(arguments: argparse.Namespace) -> None:
    """Print all arms that were tested, each against its single-interest form."""
    rows = Table(title="MovieLens-100K, random split, test", caption="mean and 95 % t interval over the seeds")
    for column in ("arm", "validation", METRIC, "recall@20", *GROUPINGS, "seconds"):
        rows.add_column(column, justify="left" if column == "arm" else "right")
    per_user = {}
    summary = {}
    for arm in ARMS:
        found = list(results(arm, arguments))
        if not found:
            continue
        values = {METRIC: [r["metrics"][METRIC] for r, _ in found]}
        values["recall@20"] = [r["metrics"]["recall@20"] for r, _ in found]
        for name, grouping in GROUPINGS.items():
            values[name] = [r["groups"][f"{grouping}/{METRIC}"]["std"] for r, _ in found]
        values["seconds"] = [r["seconds"] for r, _ in found]
        valid = interval([r["valid"][METRIC] for r, _ in found])
        seconds = f"{sum(values['seconds']) / len(found):.0f}"
        rows.add_row(arm, valid, *(interval(values[name]) for name in (METRIC, "recall@20", *GROUPINGS)), seconds)
        per_user[arm] = torch.stack([users[METRIC] for _, users in found]).mean(0)
        summary[arm] = {"options": found[0][0]["options"], "valid": [r["valid"][METRIC] for r, _ in found], **values}
    Console().print(rows)
    for single, multi in (("lightgcn", "interest-gcn"), ("lightgcn-softmax", "interest-gcn-softmax")):
        if single in per_user and multi in per_user:
            test = paired_tests(per_user[multi], per_user[single], generator=torch.Generator().manual_seed(0))["all"]
            text = f"{multi} less {single}, per user, mean of the seeds: {test.difference:+.4f} "
            Console().print(
                text + f"[{test.interval.low:+.4f}, {test.interval.high:+.4f}], Wilcoxon p {test.wilcoxon:.3g}",
                markup=False,
            )
            summary[f"{multi} less {single}"] = [test.difference, test.interval.low, test.interval.high, test.wilcoxon]
    (arguments.out / "summary.json").write_text(json.dumps(summary, indent=1))


def interval(values: list[float]) -> str:
    """Return mean and half-width of the 95 % t interval."""
    sample = torch.tensor(values, dtype=torch.double)
    if len(values) == 1:
        return f"{values[0]:.4f}"
    half = float(student.ppf(0.975, len(values) - 1) * sample.std() / len(values) ** 0.5)
    return f"{float(sample.mean()):.4f} ± {half:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("tune", "test", "table"))
    parser.add_argument("arm", choices=tuple(ARMS), nargs="?")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("runs/random-split"))
    for part in ("train", "valid", "test"):
        parser.add_argument(f"--{part}", type=Path)
    arguments = parser.parse_args()
    if arguments.step == "table":
        table(arguments)
    elif arguments.arm is None:
        parser.error(f"name an arm: {', '.join(ARMS)}")
    else:
        {"tune": tune, "test": test}[arguments.step](arguments.arm, arguments)


if __name__ == "__main__":
    main()
