import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphmi.nn import GRUEncoder, IdentityEncoder, TransformerEncoder
from graphmi.nn.encode import transformer

LENGTHS = (4, 1, 0, 6)
ENCODERS = {
    "identity": lambda: IdentityEncoder(4, 6),
    "transformer": lambda: TransformerEncoder(4, 6, dropout=0.0),
    "transformer, two heads": lambda: TransformerEncoder(4, num_heads=2, hidden_dim=7, dropout=0.0, activation="gelu"),
    "gru": lambda: GRUEncoder(4, 6),
    "gru, two layers": lambda: GRUEncoder(4, 6, hidden_dim=5, num_layers=2),
}
all_encoders = pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS)


def made(make):
    torch.manual_seed(0)
    encoder = make().double()
    for parameter in encoder.parameters():  # so that biases and norms are not at their neutral start
        nn.init.normal_(parameter, std=0.7)
    return encoder


def histories(dim=4):
    x = torch.randn(4, 6, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(6) < torch.tensor(LENGTHS).unsqueeze(1)
    return x * mask.unsqueeze(-1), mask


class TestEveryEncoder:
    @all_encoders
    def test_a_position_depends_on_itself_and_earlier_ones_only(self, make):
        encoder, (x, mask) = made(make), histories()
        jacobian = torch.autograd.functional.jacobian(lambda row: encoder(row.unsqueeze(0), mask[3:]).squeeze(0), x[3])
        depends = jacobian.abs().sum((1, 3)) > 1e-12  # [position out, position in]
        expected = torch.eye(6) if isinstance(encoder, IdentityEncoder) else torch.ones(6, 6).tril()
        assert torch.equal(depends, expected.bool())

    @all_encoders
    def test_padding_changes_nothing(self, make):
        encoder, (x, mask) = made(make), histories()
        encoded = encoder(x, mask)
        assert encoded.shape == x.shape
        for row, length in enumerate(LENGTHS):
            if length:
                alone = encoder(x[row : row + 1, :length], mask[row : row + 1, :length])
                torch.testing.assert_close(encoded[row, :length], alone[0])

    @all_encoders
    def test_gradients_are_finite_beside_empty_histories(self, make):
        encoder, (x, mask) = made(make), histories()
        (encoder(x.requires_grad_(), mask) * mask.unsqueeze(-1)).sin().sum().backward()
        for tensor in (x, *encoder.parameters()):
            assert tensor.grad.isfinite().all()
        assert not x.grad[~mask].any()


class TestTransformerEncoder:
    @pytest.mark.parametrize(("num_heads", "activation"), [(1, "relu"), (2, "gelu")])
    def test_is_torchs_with_the_same_weights(self, num_heads, activation):
        encoder = made(lambda: TransformerEncoder(4, 6, 2, num_heads, 7, 0.0, activation))
        x, _ = histories()
        expected = 2 * x + encoder.position.weight  # the root of 4
        causal = torch.ones(6, 6, dtype=torch.bool).triu(1)
        for attention, feed_forward in zip(encoder.blocks[::2], encoder.blocks[1::2], strict=True):
            layer = nn.TransformerEncoderLayer(4, num_heads, 7, 0.0, activation, batch_first=True, norm_first=True)
            norm1, project, _ = attention.network
            norm2, linear1, _, _, linear2, _ = feed_forward.network
            parts = {
                "norm1": norm1,
                "norm2": norm2,
                "linear1": linear1,
                "linear2": linear2,
                "self_attn.out_proj": project.output,
            }
            weights = {
                f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()
            }
            weights |= {f"self_attn.in_proj_{key}": value for key, value in project.project.state_dict().items()}
            layer.double().load_state_dict(weights)
            expected = layer(expected, causal)
        mean, deviation = expected.mean(-1, keepdim=True), expected.var(-1, correction=0, keepdim=True).add(1e-5).sqrt()
        expected = (expected - mean) / deviation * encoder.norm.weight + encoder.norm.bias
        torch.testing.assert_close(encoder(x, torch.ones(4, 6, dtype=torch.bool)), expected)

    def test_attention_written_out(self):
        encoder, (x, _) = made(ENCODERS["transformer, two heads"]), histories()
        attention = encoder.blocks[0].network[1]
        query, key, value = attention.project(x[3]).detach().split(4, dim=-1)
        rows = []
        for t in range(6):
            heads = []
            for head in (slice(0, 2), slice(2, 4)):
                logits = [float(query[t, head] @ key[s, head]) / math.sqrt(2) for s in range(t + 1)]
                total = sum(map(math.exp, logits))
                heads.append(sum(math.exp(logit) / total * value[s, head] for s, logit in enumerate(logits)))
            rows.append(attention.output(torch.cat(heads)))
        torch.testing.assert_close(attention(x[3:])[0], torch.stack(rows))

    def test_order_counts_only_by_positions_and_by_what_is_earlier(self):
        x = torch.ones(1, 5, 4, dtype=torch.float64)
        mask = torch.ones(1, 5, dtype=torch.bool)
        without, with_positions = (made(lambda n=n: TransformerEncoder(4, n, dropout=0.0))(x, mask) for n in (None, 5))
        torch.testing.assert_close(without, without[:, :1].expand(-1, 5, -1))
        assert (with_positions[:, 1:] - with_positions[:, :1]).abs().amax(-1).min() > 1e-3

    def test_dropout_follows_the_seed_and_ends_with_training(self):
        encoder, (x, mask) = TransformerEncoder(4, 6, dropout=0.5).double(), histories()

        def encoded(seed):
            torch.manual_seed(seed)
            return encoder(x, mask)

        assert torch.equal(encoded(1), encoded(1))
        assert not torch.equal(encoded(1), encoded(2))
        encoder.eval()
        assert torch.equal(encoded(1), encoded(2))

    def test_dropout_begins_with_the_input(self):
        encoder, (x, mask) = TransformerEncoder(4, dropout=0.5), histories()
        encoder.blocks, encoder.norm = nn.Sequential(), nn.Identity()
        found = encoder(torch.ones_like(x), mask)
        assert set(found.unique().tolist()) == {0.0, 4.0}  # a root of 4, over what is kept

    @pytest.mark.parametrize("block", [1, 2, 4, 7, 100])
    def test_blocks_of_positions_attend_as_all_at_once(self, monkeypatch, block):
        monkeypatch.setattr(transformer, "_BLOCK", block)
        parts = [torch.randn(3, 2, 7, 5, dtype=torch.float64, requires_grad=True) for _ in range(3)]
        found = transformer._attention(*parts, 1e-9)  # so little that nothing is dropped
        expected = F.scaled_dot_product_attention(*parts, is_causal=True)
        torch.testing.assert_close(found, expected)
        direction = torch.randn_like(expected)
        gradients = (torch.autograd.grad(out, parts, direction) for out in (found, expected))
        for part, other in zip(*gradients, strict=True):
            torch.testing.assert_close(part, other)

    def test_attention_weights_are_dropped(self):
        torch.manual_seed(0)
        attention = TransformerEncoder(4, 6, dropout=0.5).blocks[0].network[1]
        x = torch.ones(200, 1, 4)  # one position: its weight is 1, kept (twice) or dropped
        value = attention.project(x)[0, 0, 8:]
        attended = attention(x)
        is_dropped, is_kept = (
            torch.isclose(attended, attention.output(weight * value), atol=1e-5).all(-1) for weight in (0, 2)
        )
        assert (is_dropped ^ is_kept).all()
        assert 60 < is_dropped.sum() < 140

    def test_is_sasrec_unless_told_otherwise(self):
        encoder = TransformerEncoder(64, 50)
        block = 4 * 64 * 64 + 4 * 64 + 2 * (64 * 64 + 64) + 4 * 64  # attention, feed-forward, norms
        assert sum(p.numel() for p in encoder.parameters()) == 50 * 64 + 2 * block + 2 * 64

    def test_a_history_may_not_be_longer_than_max_length(self):
        with pytest.raises(ValueError, match="the history has 3 positions, but 'max_length' is 2"):
            TransformerEncoder(2, 2)(torch.zeros(1, 3, 2), torch.ones(1, 3, dtype=torch.bool))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"embedding_dim": 0}, r"'embedding_dim' must be at least 1 \(got 0\)"),
            ({"num_layers": 0}, r"'num_layers' must be at least 1 \(got 0\)"),
            ({"num_heads": 0}, r"'num_heads' must be at least 1 \(got 0\)"),
            ({"hidden_dim": 0}, r"'hidden_dim' must be at least 1 \(got 0\)"),
            ({"num_heads": 3}, r"'embedding_dim' must be a multiple of 'num_heads', 3 \(got 4\)"),
            ({"dropout": 1.0}, r"'dropout' must be in \[0, 1\) \(got 1.0\)"),
            ({"dropout": math.nan}, r"'dropout' must be in \[0, 1\) \(got nan\)"),
            ({"activation": "tanh"}, r"'activation' must be 'relu' or 'gelu' \(got 'tanh'\)"),
        ],
    )
    def test_ranges(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            TransformerEncoder(**{"embedding_dim": 4, "max_length": 6} | arguments)


class TestGRUEncoder:
    @pytest.mark.parametrize("hidden_dim", [4, 5])
    def test_written_out(self, hidden_dim):
        encoder, (x, mask) = made(lambda: GRUEncoder(4, 6, hidden_dim)), histories()
        encoded = encoder(x, mask)
        weights_in, weights_state, bias_in, bias_state = encoder.gru.parameters()
        for row, length in enumerate(LENGTHS):
            state = torch.zeros(hidden_dim, dtype=torch.float64)
            for t in range(length):
                reset_in, update_in, new_in = (weights_in @ x[row, t] + bias_in).chunk(3)
                reset_state, update_state, new_state = (weights_state @ state + bias_state).chunk(3)
                update = (update_in + update_state).sigmoid()
                new = (new_in + (reset_in + reset_state).sigmoid() * new_state).tanh()
                state = (1 - update) * new + update * state
                torch.testing.assert_close(encoded[row, t], encoder.output(state))
        assert isinstance(encoder.output, nn.Identity) == (hidden_dim == 4)

    def test_dropout_follows_the_seed_and_ends_with_training(self):
        encoder, (x, mask) = GRUEncoder(4, 6, num_layers=2, dropout=0.5).double(), histories()
        assert encoder.gru.dropout == encoder.dropout.p == 0.5
        torch.manual_seed(1)
        once = encoder(x, mask)
        torch.manual_seed(1)
        assert torch.equal(encoder(x, mask), once)
        assert 0.2 < (once == 0).double().mean() < 0.8
        encoder.eval()
        torch.testing.assert_close(encoder(x, mask), encoder.gru(x)[0])

    @pytest.mark.parametrize("name", ["embedding_dim", "hidden_dim", "num_layers"])
    def test_ranges(self, name):
        with pytest.raises(ValueError, match=rf"'{name}' must be at least 1 \(got 0\)"):
            GRUEncoder(**{"embedding_dim": 4, name: 0})

    def test_dropout_is_a_share(self):
        with pytest.raises(ValueError, match=r"'dropout' must be in \[0, 1\) \(got -0.1\)"):
            GRUEncoder(4, dropout=-0.1)
