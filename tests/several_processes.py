"""What each process does in test_several_processes.py: commands one after the other, then an evaluation in batches."""

import json
import sys
from pathlib import Path

import torch

from graphmi.cli import main
from graphmi.evaluator import Evaluator
from graphmi.restore import restore
from graphmi.run import RunFolder


def evaluate(folder):
    """Evaluate a run in batches of 150 users, shared out among the processes there are."""
    run = restore(RunFolder(folder))
    dataset, experiment = run.dataset, run.experiment
    diversity = experiment.groups.values(dataset.train)
    evaluator = Evaluator(
        dataset.targets("test"),
        dataset.known("test"),
        (5, 10),
        experiment.groups.cut(diversity, dataset.train),
        batch_size=150,
        replicates=20,
        history=experiment._evaluator(dataset, "test", (5,)).history,
        train=dataset.train,
        diversity=diversity,
        sharded=True,
    )
    evaluation = evaluator(run.model)
    return {
        **evaluation.to_dict(),
        "per_user": {name: values.tolist() for name, values in evaluation.per_user.items()},
        "diagnostics": {name: values.tolist() for name, values in evaluation.diagnostics.items()},
    }


if __name__ == "__main__":
    commands, folder, out = json.loads(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    status = [main(words) for words in commands]
    rank = torch.distributed.get_rank()
    (out / f"{rank}.json").write_text(json.dumps({"status": status, "evaluation": evaluate(folder)}))
