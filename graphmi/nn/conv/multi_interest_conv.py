"""The multi-interest graph convolution: generator and aggregator in one layer."""

from torch import Tensor, nn

from graphmi.nn.adjacency import Adjacency
from graphmi.nn.conv.center_aggregator import Center, CenterAggregator
from graphmi.nn.conv.edges import node_pair, prepare
from graphmi.nn.conv.virtual_interest_generator import Attention, VirtualInterestGenerator

__all__ = ["MultiInterestConv"]


class MultiInterestConv(nn.Module):
    r"""Multi-interest graph convolution (`WWW 2024 <https://arxiv.org/abs/2402.13495>`_).

    A :class:`VirtualInterestGenerator` gives every node :math:`K` virtual interests, a :class:`CenterAggregator`
    chooses the center that the next layer sends on. With ``num_interests=1``, the default attention and a ``center``
    other than ``"edge_dot"`` the layer is :class:`torch_geometric.nn.LGConv`. A reconstruction: see the two layers.

    It returns a pair, which PyG's ``HeteroConv`` passes on where one relation ends in a node type. Where several do,
    put a :class:`VirtualInterestGenerator` under each relation, whose outputs it adds up, and a
    :class:`CenterAggregator` after it.

    Args:
        dim: Size of the vectors, at least 1.
        num_interests: Number of virtual interests, at least 1.
        attention: See :class:`VirtualInterestGenerator`.
        temperature: See :class:`VirtualInterestGenerator`.
        rescale: See :class:`VirtualInterestGenerator`.
        center: The aggregator's mode, see :class:`CenterAggregator`. ``"edge_dot"`` reads the neighbours' own virtual
            interests and so needs a single node set.
        normalize: Apply LightGCN's symmetric normalisation to the edges.

    Shapes:
        - **input:** as :class:`VirtualInterestGenerator`; ``"node_dot"`` needs vectors of the destinations
        - **output:** virtual interests ``[num_dst, num_interests, dim]`` and centers ``[num_dst, dim]``

    Raises:
        ValueError: If an argument is out of range or the input does not fit.

    Example:
        >>> import torch
        >>> conv = MultiInterestConv(dim=8, num_interests=4)
        >>> virtual, center = conv((torch.randn(5, 8), torch.randn(3, 8)), torch.tensor([[0, 4], [1, 2]]))
        >>> virtual.shape, center.shape
        (torch.Size([3, 4, 8]), torch.Size([3, 8]))
    """

    def __init__(
        self,
        dim: int,
        num_interests: int = 4,
        *,
        attention: Attention = "interest",
        temperature: float | None = None,
        rescale: bool = False,
        center: Center = "node_dot",
        normalize: bool = True,
    ) -> None:
        super().__init__()
        self.generator = VirtualInterestGenerator(
            dim,
            num_interests,
            attention=attention,
            temperature=temperature,
            rescale=rescale,
            normalize=normalize,
        )
        self.aggregator = CenterAggregator(center)

    @property
    def sums(self) -> bool:
        """Whether the next center is the sum of the virtual interests, as it is where there is one."""
        return self.aggregator.mode == "sum" or (
            self.generator.num_interests == 1 and self.aggregator.mode != "edge_dot"
        )

    def reset_parameters(self) -> None:
        """Draw the interest vectors anew."""
        self.generator.reset_parameters()

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor | None],
        edge_index: Tensor | Adjacency,
        edge_weight: Tensor | None = None,
        size: tuple[int, int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return virtual interests ``[num_dst, num_interests, dim]`` and centers ``[num_dst, dim]``."""
        _, destination = node_pair(x)
        adjacency = prepare(
            x, edge_index, edge_weight, dim=self.generator.dim, size=size, normalize=self.generator.normalize
        )
        if self.aggregator.mode == "edge_dot" and not isinstance(x, Tensor):
            raise ValueError(
                "center='edge_dot' reads the neighbours' virtual interests: pass one node matrix, or run the "
                "generator in both directions and give the sources' interests to CenterAggregator"
            )
        virtual = self.generator(x, adjacency, size=size)
        return virtual, self.aggregator(virtual, destination, adjacency)

    def carried(
        self, x: Tensor | tuple[Tensor, Tensor], adjacency: Adjacency, virtual: Tensor, entries: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what some edges carry: over all edges of a node they sum to what :meth:`forward` gives it.

        Args:
            x: Centers of the nodes, ``[num_nodes, dim]``, or of sources and destinations.
            adjacency: The edges.
            virtual: The virtual interests of all destinations that :meth:`forward` found.
            entries: Positions of the edges asked for, ``[num]``, see :meth:`graphmi.nn.Adjacency.entries`.

        Returns:
            To the virtual interests ``[num, num_interests, dim]``, and to the center ``[num, dim]``.
        """
        source, destination = x if isinstance(x, tuple) else (x, x)
        parts = self.generator.carried(source, adjacency, entries)
        return parts, self.aggregator.carried(parts, virtual, destination, adjacency, entries)
