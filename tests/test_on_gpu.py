"""On a GPU everything gives what it gives on the CPU, or in double precision there."""

import copy
import csv
import math

import pytest
import torch
from torch.nn.functional import pad
from torch.overrides import TorchFunctionMode

from graphmi import cli
from graphmi.config import experiment
from graphmi.nn import Adjacency, CenterAggregator, GRUEncoder, propagate
from graphmi.nn.sparse import edge_dot
from graphmi.presets import preset_names
from graphmi.program import interests_program
from graphmi.recommender import Recommender
from graphmi.retrieval import top_k
from graphmi.sharding import owners

DEVICE = "cuda"
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
DATA = "planted:num_users=60,num_items=80,num_clusters=4,interactions_per_user=12"
MODELS = [name for name in preset_names() if name not in ("popularity", "ease", "item-knn")]
ENCODERS = ("sasrec", "sasrec-softmax", "gsasrec", "multi-interest-transformer")
NO_DROPOUT = {name: {"model__encoder__dropout": 0.0} for name in ENCODERS} | {"gru4rec": {"model__dropout": 0.0}}
NUM_SRC, NUM_DST, DIM = 500, 300, 64
# A difference, as a part of the largest number that is expected.
ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}
every_format = pytest.mark.parametrize("dtype", ROUNDING, ids=str)


@pytest.fixture
def full_float32(monkeypatch):
    """Keep cuDNN from computing float32 with the ten bits of TF32, as it does recurrent networks by itself."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def edges(dtype=torch.float32, num=6000):
    pairs = torch.randperm(NUM_SRC * NUM_DST)[:num]
    edge_index = torch.stack([pairs % NUM_SRC, pairs // NUM_SRC])
    return Adjacency.from_edge_index(edge_index, torch.rand(num).to(dtype), size=(NUM_SRC, NUM_DST))


def assert_rounded(found, expected, dtype):
    assert found.dtype == dtype
    assert found.device.type == DEVICE
    assert (found.cpu().double() - expected).abs().max() <= ROUNDING[dtype] * expected.abs().max()


@every_format
@pytest.mark.parametrize("num_interests", [(), (3,)], ids=["one", "three"])
def test_propagation_and_its_gradients_are_those_of_a_dense_product(dtype, num_interests):
    here = edges(dtype)
    x, grad = (torch.randn(*num_interests, size, DIM).to(dtype) for size in (NUM_SRC, NUM_DST))
    there = here.to(DEVICE)
    inputs = x.to(DEVICE).requires_grad_(), there.value.requires_grad_()
    out = propagate(there.with_value(inputs[1]), inputs[0])
    found = out.detach(), *torch.autograd.grad(out, inputs, grad.to(DEVICE))
    dst, src, x, grad = here.dst.long(), here.col.long(), x.double(), grad.double()
    dense = torch.zeros(NUM_DST, NUM_SRC, dtype=torch.float64).index_put((dst, src), here.value.double())
    by_edge = (grad[..., dst, :] * x[..., src, :]).sum(-1).view(-1, here.num_edges).sum(0)
    for one, expected in zip(found, (dense @ x, dense.T @ grad, by_edge), strict=True):
        assert_rounded(one, expected, dtype)


@every_format
@pytest.mark.parametrize("autocast", [False, True], ids=["plain", "autocast"])
def test_sampled_products_are_inner_products(dtype, autocast):
    here, left, right = edges(), torch.randn(NUM_DST, DIM).to(dtype), torch.randn(NUM_SRC, DIM).to(dtype)
    with torch.autocast(DEVICE, torch.bfloat16, enabled=autocast):
        found = edge_dot(here.to(DEVICE), left.to(DEVICE), right.to(DEVICE))
    expected = (left.double()[here.dst] * right.double()[here.col]).sum(1)
    wide = autocast and dtype != torch.float64
    assert_rounded(found, expected, torch.float32 if wide else dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_centers_chosen_edge_by_edge(dtype):
    here, virtual, center = edges(dtype), torch.randn(NUM_SRC, 4, DIM).to(dtype), torch.randn(NUM_DST, DIM).to(dtype)
    found = CenterAggregator("edge_dot")(virtual.to(DEVICE), center.to(DEVICE), here.to(DEVICE))
    dst, neighbors = here.dst.long(), virtual.double()[here.col.long()]
    best = torch.einsum("eid,ed->ei", neighbors, center.double()[dst]).argmax(1)
    carried = here.value.double().unsqueeze(1) * neighbors[torch.arange(here.num_edges), best]
    assert_rounded(found, torch.zeros(NUM_DST, DIM, dtype=torch.float64).index_add(0, dst, carried), dtype)


def test_a_graph_without_edges():
    there, x, y = edges(num=0).to(DEVICE), *(torch.randn(size, DIM, device=DEVICE) for size in (NUM_SRC, NUM_DST))
    out = propagate(there, x.requires_grad_())
    out.sum().backward()
    assert not out.any()
    assert not x.grad.any()
    assert edge_dot(there, y, x).shape == (0,)
    assert not CenterAggregator("edge_dot")(x.unsqueeze(1), y, there).any()


class DrawnOnTheCPU(TorchFunctionMode):
    """Takes the noise of models and losses from the CPU, so that both devices have the same."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.randn:
            return func(*args, **kwargs | {"device": "cpu"}).to(kwargs.get("device"))
        if func is torch.Tensor.exponential_:
            return args[0].copy_(torch.empty_like(args[0], device="cpu").exponential_())
        return func(*args, **kwargs)


def step(device, one, data):
    """Return the loss of the first batch, and its gradient in one row."""
    loader, sampler = one.loader(data.train), one.sampler(data.graph())
    model, loss = (part.to(device).train() for part in (one.build(data), copy.deepcopy(one.loss)))
    loader.generator = torch.Generator().manual_seed(0)
    loader.max_length = getattr(loader, "max_length", None) or getattr(model, "max_length", None)
    batch = next(iter(loader))
    negatives = sampler(batch.user, batch.positive, torch.Generator().manual_seed(1)).to(device)
    batch = batch.to(device)
    torch.manual_seed(2)
    with DrawnOnTheCPU():
        total = sum(loss.terms(model(batch), batch.positive, negatives, batch.row, owners(batch)).values())
    total.backward()
    gradients = [each.grad.flatten() for each in (*model.parameters(), *loss.parameters()) if each.grad is not None]
    return total.detach().cpu(), torch.cat(gradients).cpu()


@pytest.mark.parametrize("name", MODELS)
def test_a_step_of_every_preset_is_that_of_the_cpu(full_float32, name):
    one = experiment(name, DATA, trainer__accelerator="cpu", **NO_DROPOUT.get(name, {}))
    data = one.dataset()
    (here, expected), (there, found) = (step(device, one, data) for device in ("cpu", DEVICE))
    torch.testing.assert_close(there, here, rtol=1e-5, atol=0)
    assert (found - expected).norm() < 1e-4 * expected.norm()


def fit(name, epochs=2, **options):
    """Return the loss of every epoch."""
    settings = {"trainer__accelerator": DEVICE, "trainer__progress": False, "replicates": 0}
    one = experiment(name, DATA, trainer__epochs=epochs, **settings, **options)
    return torch.tensor([row["loss"] for row in one.fit(one.dataset()).history.rows])


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("name", MODELS)
def test_every_preset_trains_in_half_precision(name, precision):
    assert fit(name, trainer__precision=precision).isfinite().all()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_steps_have_the_losses_of_plain_ones(tmp_path, monkeypatch, mode):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    expected = fit("comirec-sa", loader__batch_size=17)
    found = fit("comirec-sa", loader__batch_size=17, trainer__compile=mode)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


def test_items_in_blocks_with_drawn_neighbors_are_learned():
    found = fit("lightgcn-softmax", 20, model__num_neighbors=3, sampler__block_size=16, trainer__learning_rate=0.02)
    assert found[-5:].mean() < 0.8 * found[:5].mean()


def test_a_gru_is_not_computed_in_fewer_bits_under_autocast_to_bfloat16(full_float32):
    encoder, x, mask = GRUEncoder(DIM), torch.randn(8, 50, DIM), torch.ones(8, 50, dtype=torch.bool)
    expected = copy.deepcopy(encoder).double()(x.double(), mask)
    with torch.autocast(DEVICE, torch.bfloat16):
        found = encoder.to(DEVICE)(x.to(DEVICE), mask.to(DEVICE))
    assert_rounded(found, expected, torch.float32)


@pytest.mark.parametrize("devices", [("cpu", DEVICE), (DEVICE, "cpu")], ids=" to ".join)
@pytest.mark.parametrize(("name", "rel"), [("lightgcn-softmax", 1e-4), ("mf", 0.05)], ids=["no draws", "other draws"])
def test_a_run_is_resumed_on_another_device(tmp_path, devices, name, rel):
    def train(folder, device, epochs, *words):
        options = ["--trainer.epochs", str(epochs), "--trainer.accelerator", device]
        assert cli.main(["train", *words, "--out", str(tmp_path / folder), *options]) == 0
        with (tmp_path / folder / "metrics.csv").open(newline="") as file:
            return [float(row["loss"]) for row in csv.DictReader(file)]

    begin = [name, "--data", DATA, "--replicates", "0"]
    expected = train("whole", "cpu", 4, *begin)
    half = train("parts", devices[0], 2, *begin)
    resumed = train("parts", devices[1], 4, "--resume")
    assert resumed[:2] == half
    assert resumed == pytest.approx(expected, rel=rel)


@pytest.mark.parametrize("block_size", [None, 500])
def test_ranking(block_size):
    # Whole numbers have exact products, and many ties.
    queries, items = torch.randint(-2, 3, (40, 3, 8)).float(), torch.randint(-2, 3, (700, 8)).float()
    active, known = torch.rand(40, 3).argsort(1) < 2, torch.rand(40, 700) < 0.1
    exclude = pad(known.sum(1).cumsum(0), (1, 0)).to(DEVICE), known.nonzero()[:, 1].to(DEVICE)
    asked = queries.to(DEVICE), items.to(DEVICE), 20
    found = top_k(*asked, exclude=exclude, interest_mask=active.to(DEVICE), block_size=block_size)
    scores, interest = (queries @ items.T).masked_fill(~active.unsqueeze(2), -math.inf).max(1)
    best = scores.masked_fill(known, -math.inf).sort(dim=1, descending=True, stable=True)
    expected = best.values[:, :20], best.indices[:, :20], interest.gather(1, best.indices[:, :20])
    assert all(torch.equal(one.cpu(), other) for one, other in zip(found, expected, strict=True))


def test_a_program_of_what_has_propagated_there_runs_on_the_cpu():
    one = experiment("interest-gcn", DATA)
    model = one.build(one.dataset()).eval()
    history, mask = torch.randint(80, (5, 4)), torch.ones(5, 4, dtype=torch.bool)
    expected = model.fold_in(history, mask).interests
    program = interests_program(model.to(DEVICE).propagated()).module()
    torch.testing.assert_close(program(history, mask), expected, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module", params=["interest-gcn", "comirec-sa", "mind", "gru4rec"])
def trained(request):
    """An experiment, its data, and its model after an epoch: on the CPU, and on the GPU."""
    one = experiment(request.param, DATA, trainer__accelerator="cpu", trainer__epochs=1, replicates=0)
    data = one.dataset()
    model = one.fit(data).model
    return one, data, model, copy.deepcopy(model).to(DEVICE)


def test_evaluation(trained, full_float32):
    one, data, *models = trained
    here, there = (one.evaluate(model, data, "test") for model in models)
    for name in ("metrics", "lists", "interests"):
        assert getattr(there, name) == pytest.approx(getattr(here, name), rel=1e-4, abs=1e-5, nan_ok=True)
    for name, group in here.groups.items():
        torch.testing.assert_close(there.groups[name].mean, group.mean, equal_nan=True)


def test_recommendations_for_known_users_and_for_new_ones(trained, full_float32):
    _, data, *models = trained
    users, items = data.train.users.ids, data.train.items.ids
    recommenders = [Recommender(data.train, model, k=6) for model in models]
    for ask in (lambda one: one(users[:20]), lambda one: one.for_histories([items[:9], items[20:23]])):
        here, there = ([each for row in ask(one) for each in row] for one in recommenders)
        assert [each._replace(score=0) for each in there] == [each._replace(score=0) for each in here]
        assert [each.score for each in there] == pytest.approx([each.score for each in here], rel=1e-4, abs=1e-5)
