"""The sub-samples of the study of REMI against what each says it keeps."""

import runpy
from pathlib import Path

import polars as pl
import pytest
import torch

from graphmi.data import Interactions, LeaveOneOut, category_entropy, planted

SubSample = runpy.run_path(str(Path(__file__).parents[2] / "examples/studies/subsamples.py"))["SubSample"]


@pytest.fixture(scope="module")
def interactions():
    """A planted data set with histories of different length."""
    whole = planted(num_users=80, num_items=160, interactions_per_user=20)
    kept = torch.rand(len(whole), generator=torch.Generator().manual_seed(0)) < (0.3 + 0.7 * whole.user / 80)
    return whole.take(kept).compact()


def _histories(part):
    """Return the item ids of every user in time order, by user id."""
    found = {}
    for row in torch.argsort(part.time, stable=True).tolist():
        found.setdefault(part.users.ids[int(part.user[row])], []).append(part.items.ids[int(part.item[row])])
    return found


class TestSubSample:
    @pytest.mark.parametrize("options", [{"share": 0.4}, {"last": 3}, {"users": "long"}, {"share": 0.5, "last": 4}])
    def test_the_targets_of_kept_users_stay(self, interactions, options):
        whole, part = LeaveOneOut()(interactions), SubSample(**options)(interactions)
        for name in ("valid", "test"):
            before, now = _histories(whole.targets(name)), _histories(part.targets(name))
            assert now.items() <= before.items()
            assert len(now) == (40 if "users" in options else len(before))

    def test_all_is_leave_one_out(self, interactions):
        assert SubSample()(interactions).fingerprint() == LeaveOneOut()(interactions).fingerprint()

    def test_the_last_are_the_latest(self, interactions):
        whole, part = _histories(LeaveOneOut()(interactions).train), _histories(SubSample(last=3)(interactions).train)
        assert part == {user: items[-3:] for user, items in whole.items()}

    def test_the_share(self, interactions):
        whole, part = LeaveOneOut()(interactions).train, SubSample(share=0.4)(interactions).train
        assert set(_histories(part)) == set(_histories(whole))
        free = len(whole) - whole.num_users  # of each user one training item is kept in any case
        assert len(part) - whole.num_users == pytest.approx(0.4 * free, rel=0.15)

    def test_halves_by_length(self, interactions):
        length = {
            half: [len(items) for items in _histories(SubSample(users=half)(interactions).train).values()]
            for half in ("short", "long")
        }
        assert max(length["short"]) <= min(length["long"])
        assert len(length["short"]) == len(length["long"]) == 40

    def test_halves_by_diversity_are_as_active(self, interactions):
        narrow, broad = (SubSample(users=half)(interactions).train for half in ("narrow", "broad"))
        assert category_entropy(narrow).mean() < category_entropy(broad).mean()
        assert len(narrow) == pytest.approx(len(broad), rel=0.1)

    def test_targets_do_not_choose_the_half(self):
        tastes = {"changes": "AAAA" + "BC", "stays": "ABAB" + "AA"}  # with the targets the first is the broader one
        rows = [(user, f"{label}{n}", n, label) for user, labels in tastes.items() for n, label in enumerate(labels)]
        table = pl.DataFrame(rows, schema=["user_id", "item_id", "time", "category"], orient="row")
        part = SubSample(users="broad")(Interactions.from_frame(table, category="category"))
        assert part.train.users.ids.to_list() == ["stays"]

    @pytest.mark.parametrize("options", [{"share": 0.0}, {"share": 1.5}, {"last": 0}])
    def test_out_of_range(self, options):
        with pytest.raises(ValueError, match="'share' must be in"):
            SubSample(**options)
