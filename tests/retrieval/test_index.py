import torch

from graphmi.nn import InnerProduct
from graphmi.retrieval import ExactIndex


def test_search_is_the_similarity_of_training():
    generator = torch.Generator().manual_seed(0)
    queries, items = torch.randn(6, 3, 4, generator=generator), torch.randn(50, 8, generator=generator)
    index = ExactIndex(items)
    found = index.search(queries, 5)
    scores = InnerProduct()(queries, items)  # [batch, num_interests, num_items]
    values, ids = scores.amax(dim=1).topk(5)
    torch.testing.assert_close(found.scores, values)
    assert torch.equal(found.ids, ids)
    assert torch.equal(found.interest, scores.argmax(dim=1).gather(1, ids))
    assert len(index) == 50


def test_search_passes_its_arguments_on():
    index = ExactIndex(torch.tensor([[1.0], [2.0], [3.0]]))
    found = index.search(
        torch.tensor([[[1.0], [-1.0]]]),
        2,
        exclude=(torch.tensor([0, 1]), torch.tensor([2])),
        interest_mask=torch.tensor([[True, False]]),
    )
    assert found.ids.tolist() == [[1, 0]]
