import pytest
import torch
from torch_geometric.data import HeteroData

from graphmi.models import SequenceModel, comirec_weights
from graphmi.typing import Batch

NUM_ITEMS, DIM, LENGTH, INTERESTS = 30, 8, 6, 4


def weights(seed=0):
    """A state dict as other implementations of ComiRec-SA and BaM save it, padding first."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    return {
        "embeddings.weight": normal(NUM_ITEMS + 1, DIM),
        "position_embedding": normal(1, LENGTH, DIM),
        "linear1.0.weight": normal(4 * DIM, DIM),
        "linear2.weight": normal(INTERESTS, 4 * DIM),
    }


def published_interests(state, history):
    """ComiRec-SA as published: ids from 1, 0 at padding, whose logits are -2^32 + 1. ``[batch, interests, dim]``."""
    real = (history > 0).float()
    items = state["embeddings.weight"][history] * real[:, :, None]
    hidden = torch.tanh((items + state["position_embedding"][:, : history.shape[1]]) @ state["linear1.0.weight"].T)
    logits = (hidden @ state["linear2.weight"].T).permute(0, 2, 1)
    logits = torch.where(real[:, None, :] == 0, torch.tensor(-(2.0**32) + 1), logits)
    return torch.softmax(logits, 2) @ items


def published_histories():
    rows = [[3, 30, 7, 7, 1, 12], [5, 0, 0, 0, 0, 0], [9, 2, 30, 0, 0, 0], [0, 0, 0, 0, 0, 0]]
    return torch.tensor(rows)


def model(**options):
    graph = HeteroData({"user": {"num_nodes": 4}, "item": {"num_nodes": NUM_ITEMS}})
    return SequenceModel(graph, DIM, LENGTH, **options)


def test_weights_of_others_give_their_interests_and_scores():
    state, theirs = weights(), published_histories()
    ours = model()
    assert not any(ours.load_state_dict(comirec_weights(state)))
    out = ours(Batch(user=torch.arange(4), history=(theirs - 1).clamp_min(0), mask=theirs > 0))
    expected = published_interests(state, theirs)
    torch.testing.assert_close(out.interests, expected, rtol=0, atol=1e-5)
    scores = (expected @ state["embeddings.weight"].T).amax(1)[:, 1:]
    torch.testing.assert_close((out.interests @ out.items.T).amax(1), scores, rtol=0, atol=1e-4)


def test_also_in_one_pass_over_all_prefixes():
    state, theirs = weights(1), published_histories()[:3]
    ours = model()
    ours.load_state_dict(comirec_weights(state))
    mask = theirs > 0
    prefix = mask.flatten().nonzero().squeeze(1)
    batch = Batch(user=prefix, history=(theirs - 1).clamp_min(0), mask=mask, prefix=prefix)
    alone = theirs[prefix // LENGTH].where(torch.arange(LENGTH) <= (prefix % LENGTH).unsqueeze(1), 0)
    torch.testing.assert_close(ours(batch).interests, published_interests(state, alone), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"linear2.weight": None, "linear3.bias": torch.zeros(1)},
            r"must be .* \(missing: \['linear2.weight'\], unknown: \['linear3.bias'\]\)",
        ),
        ({"embeddings.weight": torch.zeros(9)}, r"'embeddings.weight' .* \[num_items \+ 1, dim\] \(got \[9\]\)"),
        (
            {"position_embedding": torch.zeros(2, 6, 8)},
            r"'position_embedding' .* \[1, max_length, 8\] \(got \[2, 6, 8\]\)",
        ),
        ({"position_embedding": torch.zeros(6, 8)}, r"'position_embedding' .* \[1, max_length, 8\] \(got \[6, 8\]\)"),
        ({"linear1.0.weight": torch.zeros(8, 32)}, r"'linear1.0.weight' .* \[hidden_dim, 8\] \(got \[8, 32\]\)"),
        ({"linear2.weight": torch.zeros(4, 31)}, r"'linear2.weight' .* \[num_interests, 32\] \(got \[4, 31\]\)"),
    ],
)
def test_what_does_not_fit_is_told(change, message):
    state = {key: value for key, value in (weights() | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        comirec_weights(state)
