"""RecBole's LightGCN as a process of its own, driven by ``benchmarks/lightgcn.py``.

Run by an interpreter with RecBole 1.2.1 (``process.py`` says which versions beside it). The arguments are the folder of
the atomic file ``ml-1m/ml-1m.inter`` and the number of threads. Each line of standard input is a request, each line of
standard output its answer; see :func:`serve`.

A shim outside of the training step: ``ray``, which RecBole imports for its tuner, is an empty module. Model, negatives,
loader and training loop are RecBole's. Its initial vectors are drawn with standard deviation 0.1, as by the authors of
LightGCN and by graphmi.
"""

import logging
import sys
import time
from itertools import cycle
from types import ModuleType

import numpy as np
import torch

for name in ("ray", "ray.tune"):
    sys.modules[name] = ModuleType(name)
sys.modules["ray"].tune = sys.modules["ray.tune"]

from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset, data_preparation  # noqa: E402
from recbole.model.general_recommender import LightGCN  # noqa: E402
from recbole.trainer import Trainer  # noqa: E402
from recbole.utils import init_seed  # noqa: E402


def make(folder: str, batch_size: int, learning_rate: float):
    """Return model, loader and trainer."""
    options = {
        "data_path": folder,
        "load_col": {"inter": ["user_id", "item_id"]},
        "eval_args": {"split": {"RS": [1, 0, 0]}, "order": "RO", "mode": "full"},
        "train_neg_sample_args": {"distribution": "uniform", "sample_num": 1, "dynamic": False},
        "train_batch_size": batch_size,
        "learning_rate": learning_rate,
        "embedding_size": 64,
        "n_layers": 3,
        "reg_weight": 1e-4,
        "require_pow": True,
        "use_gpu": False,
        "show_progress": False,
        "checkpoint_dir": folder,
    }
    config = Config(model="LightGCN", dataset="ml-1m", config_dict=options)
    init_seed(0, True)
    data = create_dataset(config)
    loader, _, _ = data_preparation(config, data)
    model = LightGCN(config, loader.dataset)
    for table in (model.user_embedding, model.item_embedding):
        torch.nn.init.normal_(table.weight, std=0.1)
    return model, loader, Trainer(config, model)


def steps(loader, model, trainer):
    """Yield the seconds of a step: batch with negatives, loss, backward pass, optimizer."""
    start = time.process_time()
    for batch in (batch for _ in cycle([0]) for batch in loader):
        trainer.optimizer.zero_grad()
        model.calculate_loss(batch.to(trainer.device)).backward()
        trainer.optimizer.step()
        yield time.process_time() - start
        start = time.process_time()


def save(model, data, path: str) -> None:
    """Write final vectors as ``users`` and ``items``, in the order of the ids in the atomic file."""
    with torch.no_grad():
        users, items = (part.numpy() for part in model.forward())
    for field, vectors in (("user_id", users), ("item_id", items)):
        tokens = data.field2id_token[field][1:].astype(np.int64)
        ordered = np.zeros((tokens.max() + 1, vectors.shape[1]), np.float32)
        ordered[tokens] = vectors[1:]
        np.save(f"{path}.{field}.npy", ordered)


def serve(folder: str) -> None:
    """Answer requests, one a line.

    ``time BATCH_SIZE`` takes a step, ``train BATCH_SIZE RATE EPOCHS PATH`` so many epochs more, after which the vectors
    lie at ``PATH``; the answers are CPU seconds.
    """
    timed, trained = {}, None
    for line in sys.stdin:
        task, *words = line.split()
        if task == "time":
            if words[0] not in timed:
                model, loader, trainer = make(folder, int(words[0]), 1e-3)
                model.train()
                timed[words[0]] = steps(loader, model, trainer)
            answer = next(timed[words[0]])
        else:
            model, loader, trainer = trained = trained or make(folder, int(words[0]), float(words[1]))
            model.train()
            start = time.process_time()
            for epoch in range(int(words[2])):
                trainer._train_epoch(loader, epoch)
            answer = time.process_time() - start
            model.eval()
            save(model, loader.dataset, words[3])
        print(answer, flush=True)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(int(sys.argv[2]))
    serve(sys.argv[1])
