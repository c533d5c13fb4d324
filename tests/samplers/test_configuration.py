from collections.abc import Callable

import jsonargparse
from torch_geometric.data import HeteroData

from graphmi.samplers import InBatchSampler, MixedSampler, PopularitySampler, Sampler, UniformSampler

MIXED = """
sampler:
  class_path: MixedSampler
  init_args:
    samplers:
      - class_path: UniformSampler
        init_args: {num_negatives: 4, shared: true}
      - class_path: InBatchSampler
"""


def test_samplers_are_configured_by_name(make_graph, tmp_path):
    graph = make_graph([[0], [1, 2]], 4)
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--sampler", type=Callable[[HeteroData], Sampler])
    config = parser.parse_args(["--sampler=PopularitySampler", "--sampler.power=0.5", "--sampler.num_negatives=3"])
    assert isinstance(parser.instantiate(config).sampler(graph), PopularitySampler)
    path = tmp_path / "sampler.yaml"
    path.write_text(MIXED)
    mixed = parser.instantiate(parser.parse_args(["--config", str(path)])).sampler(graph)
    assert isinstance(mixed, MixedSampler)
    assert [type(sampler) for sampler in mixed.samplers] == [UniformSampler, InBatchSampler]
    assert mixed.samplers[0].proposal.num_negatives == 4
