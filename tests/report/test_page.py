import base64
import hashlib
import math
import os
import re
import shlex
import shutil
import sys
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from graphmi import cli
from graphmi.comparison import Model, models_of, named
from graphmi.data import LeaveOneOut, Vocabulary, planted
from graphmi.estimates import Estimate, GroupEstimates
from graphmi.explain import Explainer, Explanation, Interest
from graphmi.metrics import Interval, PairedResult, by_group
from graphmi.models import ItemKNN
from graphmi.report import build, build_report, explorer, items, rendering, words
from graphmi.report.explorer import sample_users
from graphmi.report.items import _place, coloured_categories, item_category, map_items
from graphmi.report.sections import sections
from graphmi.report.summary import Summary, is_significant, p_text, signed
from graphmi.report.svg import SHAPES, mark
from graphmi.report.training import collapse_panels
from graphmi.report.words import findings, lead
from graphmi.restore import restore
from graphmi.run import RunFolder
from graphmi.typing import Batch, Representations

from .pages import Page

HOSTILE = "</script><script>alert(1)//<!--"


def summary_of(folders):
    return Summary(models_of(named(folders)), "ndcg@20")


def titled(entries, titles):
    """Return entries with the title of the item that each begins with."""
    return [(titles[item], *rest) for item, *rest in entries]


@pytest.fixture(scope="module")
def report(page):
    """Return the page of all runs."""
    return Page(page.read_text())


@pytest.fixture
def copy(trained, tmp_path):
    """Return a copy of a run whose result is changed."""

    def make(preset, name=None, **changes):
        folder = RunFolder(shutil.copytree(trained[preset].path, tmp_path / (name or preset)))
        folder.write_result({**folder.read_result(), **changes})
        return folder

    return make


@pytest.fixture
def plain(copy):
    """Return a run of which there is little to draw."""
    return copy("popularity", groups={})


class TestPage:
    def test_is_well_formed_and_has_each_id_once(self, report):
        assert not report.open
        ids = Counter(a["id"] for _, a in report.elements if "id" in a)
        assert {name for name, count in ids.items() if count > 1} == set()
        links = [a["href"][1:] for _, a in report.elements if a.get("href", "").startswith("#")]
        labels = [name for _, a in report.elements for name in a.get("aria-labelledby", "").split()]
        assert len(links) > 10
        assert set(links + labels) <= ids.keys()

    def test_asks_for_nothing_from_elsewhere(self, report):
        addresses = [a[key] for _, a in report.elements for key in ("src", "href", "action", "srcset") if key in a]
        assert {address for address in addresses if not address.startswith("#")} == {"data:,"}
        style = " ".join(report.text("style"))
        assert "url(" not in style
        assert "@import" not in style
        assert "&" not in style  # it is not escaped

    def test_allows_its_own_script_only(self, report):
        (policy,) = [a["content"] for a in report.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        (script,) = [report.texts[n] for n, (t, a) in enumerate(report.elements) if t == "script" and not a]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}';" in policy
        assert not [key for _, a in report.elements for key in a if key.startswith("on")]

    def test_has_headings_in_order_and_names_for_everything(self, report):
        levels = [int(tag[1]) for tag, _ in report.elements if re.fullmatch(r"h\d", tag)]
        assert report.text("title")[:1] == report.text("h1") == ["popularity, lightgcn-softmax and 3 more on planted"]
        parts = "Summary, Accuracy and spread, User groups, Training, Interests, Interests and taste, Over the epochs"
        assert report.text("nav") == [f"{parts}, Items, Users, How this was made".replace(",", "")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(later <= before + 1 for before, later in pairwise(levels))
        for picture in report.all("svg", role="img"):
            assert picture["aria-labelledby"].split()[0].endswith("-title")
        pictures = len(report.all("svg", role="img"))
        assert pictures == len(report.all("figure")) == len(report.all("details", **{"class": "numbers"})) >= 9
        fields = {a["id"] for t, a in report.elements if t in ("input", "select")}
        assert fields == {a["for"] for a in report.all("label")}
        assert report.all("html", lang="en")

    def test_shows_every_run_with_its_numbers(self, report, trained):
        rows = report.text("tr")
        for preset, folder in trained.items():
            told = folder.read_result()
            (row,) = [row for row in rows if row.startswith(f"{preset} {told['description']}")]
            assert f"{told['metrics']['ndcg@20']:.4f}" in row
            assert f"{told['groups']['diversity-controlled/ndcg@20']['std']:.4f}" in row
            assert f"{told['num_parameters']:,}" in row
        text = " ".join(report.text("section", id="made"))
        assert trained["popularity"].read_result()["data"]["fingerprint"] in text
        assert "leave-one-out" in text
        assert "num_interests: 4" in text
        assert "k 10, 20, 50" in text
        versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
        for folder in trained.values():
            assert f"{folder.path}; seed 0; {told['device']}; {versions}" in text
        assert "graphmi report" in text

    def test_marks_the_best_in_words(self, report, trained):
        best = report.text("td", **{"class": "best"})
        ndcg = max(folder.read_result()["metrics"]["ndcg@20"] for folder in trained.values())
        assert any(text.startswith(f"{ndcg:.4f} best") for text in best)

    def test_shows_what_the_lists_are_like(self, report, trained):
        told = trained["popularity"].read_result()["lists"]
        numbers = [f"{told[f'{name}@20']:.4f}" for name in ("coverage", "gini", "novelty", "entropy", "calibration")]
        assert " ".join(["popularity", *numbers]) in report.text("tr")
        assert "gini (1: few items are all that is seen)" in report.text("p", id="lists-note")[0]

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            ("a", "a"),
            ("ab", "a and b"),
            ("abc", "a, b and c"),
            ("abcd", "a, b and 2 more"),
            ("abcde", "a, b and 3 more"),
        ],
    )
    def test_is_called_by_its_models(self, names, said):
        summary = SimpleNamespace(models=[SimpleNamespace(name=name) for name in names], data_name="data")
        assert rendering._title(summary) == f"{said} on data"

    def test_writes_numbers_as_people_do(self):
        values = [None, 0.12345, -99.99, 100.0, -1234.56, 1234, "1234"]
        said = ["-", "0.1235", "-99.9900", "100.0", "-1,234.6", "1,234", "1234"]
        assert [rendering._cell(value) for value in values] == said

    def test_explains_what_its_table_has(self, trained, plain):
        runs = [trained["popularity"], trained["comirec-dr"]]
        one, two = (rendering._caption(summary_of(runs[:count])) for count in (1, 2))
        assert one.startswith("Test metrics, in brackets 95 % bootstrap intervals over users. Spread: ")
        assert "Best is" not in one
        assert rendering._caption(summary_of([plain])) == one[: one.index(" Spread: ")]
        assert "test against popularity on the same users, after Holm's correction for the number of runs;" in two
        assert two.endswith("may lie above it. Best is the best number, whether or not it is significantly so.")

    def test_says_where_a_validation_should_have_ended(self, copy, plain):
        for name, metrics in (("with", {"ndcg@20": 0.1}), ("without", {})):
            run = copy("lightgcn-softmax", name, groups={}, valid_metrics=metrics)
            for shown in ([run], [plain, run]):
                how = next(section.how for section in sections(summary_of(shown)) if section.name == "training")
                assert ("should have levelled off" in how) == bool(metrics)

    def test_leaves_out_lists_that_a_run_knows_nothing_of(self, trained, copy, tmp_path):
        runs = [trained["popularity"], copy("popularity", "older", lists={})]
        assert not Page(build_report(runs, tmp_path / "r.html", num_users=0).read_text()).all("p", id="lists-note")

    def test_draws_its_metric_in_small_pictures(self, trained):
        shown = list(sections(Summary(models_of(named([trained["lightgcn-softmax"]])), "recall@10")))
        said = {section.name: [picture.panel.description for picture in section.pictures] for section in shown}
        assert [len(told) for told in said.values()] == [2, 2, 2, 0, 0, 0]
        told = [*said["spread"], *said["groups"], said["training"][1], shown[1].heading]
        assert all("recall@10" in text for text in told)
        for section in shown:
            for n, picture in enumerate(section.pictures):
                name, panel = f"{section.name}-{n}", picture.panel
                assert f'<title id="{name}-title">{panel.title}</title>' in picture.svg
                assert f'<desc id="{name}-desc">{panel.description}</desc>' in picture.svg
                assert 'viewBox="0 0 316.8 237.6"' in picture.svg
                assert f">{panel.title}</text>" not in picture.svg

    def test_has_a_mark_for_each_run_and_numbers_that_do_not_break(self, page, report):
        text = page.read_text()
        places = [text.index(f"{mark(n)}<span>{run['name']}") for n, run in enumerate(report.data["runs"][:4])]
        assert places == sorted(places)
        assert report.data["shapes"] == list(SHAPES)
        assert " 95\xa0% bootstrap intervals over users" in text[: text.index('id="spread"')]
        assert " %" not in text[text.index('class="lead"') : text.index('id="spread"')]
        assert not [name for name in ("spread", "groups", "training") if "seeds" in report.text("section", id=name)[0]]

    def test_holds_users_and_items_unless_told_otherwise(self, report, plain, tmp_path):
        assert report.all("canvas")
        assert len(report.data["users"]) == 25
        said = "25 of the 100 users of the test, drawn evenly from the diversity groups, are on this page"
        assert said in report.text("section", id="users")[0]
        page = Page(build_report([plain], tmp_path / "none.html", num_users=0).read_text())
        assert page.text("p", **{"class": "nothing"}) == [
            "The runs have no user groups.",
            "The runs have no user groups.",
            "Nothing was trained.",
            "No run has several interests, or none recorded which of them filled the list.",
            "No run has several interests and user groups.",
            "No run recorded its interests during training.",
        ]
        assert not page.all("canvas")
        assert not page.all("script", id="data")


class TestExplorer:
    def test_tells_what_the_explainer_tells(self, report, restored):
        data = report.data
        for n, (preset, run) in enumerate(restored.items()):
            user, train = data["users"][3], run.dataset.train
            [told] = Explainer(run.dataset, run.model)(train.users.encode([user["id"]]), k=10)
            titles = [str(item) for item in train.items.decode(torch.arange(80))]
            shown, names = data["runs"][n]["told"][3], [title for title, _ in data["items"]]

            for told_here, shown_here, most in (
                (told.recommendations, shown["list"], 3),
                (told.interests, shown["interests"], 5),
            ):
                for one, entry in zip(told_here, shown_here, strict=True):
                    because = [(cause.item, round(100 * cause.weight)) for cause in one.causes[:most]]
                    assert titled(entry[-1], names) == titled(because, titles)
            said = [(one.item, one.interest, int(one.hit)) for one in told.recommendations]
            assert titled([entry[:3] for entry in shown["list"]], names) == titled(said, titles)
            for one, (active, nearest, _) in zip(told.interests, shown["interests"], strict=True):
                assert active == int(one.active)
                assert [names[item] for item in nearest] == [titles[item] for item in one.nearest]
            assert [names[item] for item in user["history"]] == [titles[item] for item in told.history]
            assert [names[item] for item in user["targets"]] == [titles[item] for item in told.targets]
            assert user["size"] == len(told.history)
            assert (data["runs"][n]["name"], data["runs"][n]["interests"]) == (preset, len(told.interests))

    def test_has_the_map_and_the_categories_of_its_items(self, report, restored):
        data, train = report.data, restored["popularity"].dataset.train
        ids = train.items.encode([title for title, _ in data["items"]])
        coloured = coloured_categories(train)
        assert data["coloured"] == coloured
        assert data["shown"] == item_category(train.categories, 80, coloured)[ids].tolist()
        assert [labels for _, labels in data["items"]] == [
            row.nonzero().flatten().tolist() for row in train.categories.matrix(80)[ids]
        ]
        for shown, run in zip(data["runs"], restored.values(), strict=False):
            if (found := map_items(run)) is not None:
                assert ids[shown["map"]["items"]].tolist() == found.item.tolist()
                place = torch.tensor([shown["map"]["x"], shown["map"]["y"]]).T
                assert place.tolist() == (1000 * found.place).round().tolist()
                assert shown["map"]["method"] == found.method
                assert shown["map"]["interest"] == (None if found.interest is None else found.interest.tolist())

    def test_says_of_which_group_a_user_is(self, report, trained, restored):
        per_user, users = trained["popularity"].read_tensors("per_user"), report.data["users"]
        train = restored["popularity"].dataset.train
        ids = train.users.encode([user["id"] for user in users]).tolist()
        groups = dict(zip(per_user["user"].tolist(), per_user["group/diversity"].tolist(), strict=True))
        assert [user["group"] for user in users] == [groups[user] for user in ids]
        assert report.data["groups"] == 5

    def test_a_run_that_recommends_known_items_shows_them(self, plain, tmp_path, monkeypatch):
        def repeating(folder):
            run = restore(folder)
            train = replace(run.dataset.train, items=Vocabulary.of(range(1000, 1080))).with_categories([], [])
            object.__setattr__(run.dataset, "train", train)
            return replace(run, experiment=replace(run.experiment, repeat=True))

        monkeypatch.setattr(explorer, "restore", repeating)
        page = Page(build_report([plain], tmp_path / "report.html", num_users=100).read_text())
        assert page.text("section", id="users")[0].startswith("Users, one by one All 100 users of the test are on this")
        data = page.data
        assert {title for title, _ in data["items"]} <= set(map(str, range(1000, 1080)))
        assert (data["categories"], data["coloured"], set(data["shown"])) == ([], [], {-1})
        assert any(
            entry[0] in user["history"]
            for user, told in zip(data["users"], data["runs"][0]["told"], strict=True)
            for entry in told["list"]
        )

    def test_says_how_many_users_of_all_runs_are_done(self, trained, restored, monkeypatch):
        said = []

        @contextmanager
        def counting(*words):
            said.append(words)
            yield said.append

        monkeypatch.setattr(build, "counting", counting)
        monkeypatch.setattr(explorer, "restore", lambda folder: restored[folder.path.name])
        monkeypatch.setattr(explorer, "_AT_ONCE", 2)
        runs = named([trained["popularity"], trained["lightgcn-softmax"]])
        data = build._explorer(models_of(runs), 3, False)["data"]
        assert [len(each) for each in (data["users"], *(run["told"] for run in data["runs"]))] == [3, 3, 3]
        assert said == [("users", 6, False), 2, 3, 5, 6]
        few = build._explorer(models_of(runs[:1]), 2, False)["data"]
        assert ({user["group"] for user in few["users"]}, few["groups"]) == ({0, 3}, 5)  # groups of all users

    @pytest.mark.parametrize(
        ("count", "total", "num_groups", "said"),
        [
            (1, 1, 1, "The only user of the test is"),
            (1, 2, 2, "1 of the 2 users of the test is"),
            (2, 2, 2, "All 2 users of the test are"),
            (1000, 2000, 1, "1,000 of the 2,000 users of the test are"),
            (2, 3, 2, "2 of the 3 users of the test, drawn evenly from the diversity groups, are"),
        ],
    )
    def test_says_who_is_shown(self, count, total, num_groups, said):
        assert build._who(count, total, num_groups) == said

    def test_what_is_long_is_cut(self, restored, monkeypatch):
        monkeypatch.setattr(explorer, "_HISTORY", 2)
        page = explorer.Explorer(torch.tensor([7]), None, 0)
        page._labels = {5: [3, 1], 6: [1, 2], 7: [2]}
        interests = (Interest(0, True, 2 / 3, (5, 7, 9), ()), Interest(1, False, 0.0, (9,), ()))
        told = Explanation(7, history=(5, 5, 6, 7), targets=(8, 6, 5), interests=interests, recommendations=())
        user = page._user(restored["popularity"], 0, told)
        assert list(page._local) == [6, 7, 8]
        assert (user["size"], user["history"], user["targets"]) == (4, [0, 1], [2, 0])
        assert user["categories"] == [[1, 3], [2, 2], [3, 2]]
        answer = page._told(told)
        assert list(page._local) == [6, 7, 8, 5, 9]
        assert answer == {"interests": [[1, [3, 1, 4], []], [0, [4], []]], "list": [], "known": [3]}
        monkeypatch.setattr(explorer, "restore", lambda _: restored["popularity"])
        monkeypatch.setattr(explorer, "Explainer", lambda *_, **__: lambda *_, **__: [told])
        page.add(SimpleNamespace(name="run", folder=None))
        assert page.data()["runs"][0]["interests"] == 2  # an interest that is not in use counts
        assert [explorer._short("x" * length) for length in (100, 101)] == ["x" * 100, "x" * 99 + "…"]

    def test_knows_what_the_history_of_the_page_leaves_out(self, trained, restored, tmp_path, monkeypatch):
        monkeypatch.setattr(explorer, "_HISTORY", 2)
        run = restored["interest-gcn-softmax"]
        data = Page(build_report([trained["interest-gcn-softmax"]], tmp_path / "r.html", num_users=9).read_text()).data
        names, marked = [title for title, _ in data["items"]], 0
        for user, told in zip(data["users"], data["runs"][0]["told"], strict=True):
            [said] = Explainer(run.dataset, run.model)(run.dataset.train.users.encode([user["id"]]))
            had = {str(item) for item in run.dataset.train.items.decode(torch.tensor(said.history))}
            known = {*user["history"], *told["known"]}
            nearest = {item for entry in told["interests"] for item in entry[1]}
            assert {names[item] for item in nearest & known} == {names[item] for item in nearest} & had
            marked += len(told["known"])
        assert marked > 9

    def test_counts_categories(self, report, restored):
        run = restored["popularity"]
        matrix = run.dataset.train.categories.matrix(80)
        user = report.data["users"][5]
        [number] = run.dataset.train.users.encode([user["id"]]).tolist()
        known = run.dataset.known("test")
        counts = matrix[known.item[known.user == number]].sum(0)
        assert dict(map(tuple, user["categories"])) == {c: int(n) for c, n in enumerate(counts.tolist()) if n}
        assert [n for _, n in user["categories"]] == sorted((int(n) for n in counts if n), reverse=True)

    def test_escapes_titles(self, plain, tmp_path, monkeypatch):
        def hostile(folder):
            run = restore(folder)
            train = replace(run.dataset.train, titles=(HOSTILE.ljust(101, "."),) * 80, categories=None)
            dataset = run.dataset
            object.__setattr__(dataset, "train", train)
            return run

        monkeypatch.setattr(explorer, "restore", hostile)
        text = build_report([plain], tmp_path / "report.html", num_users=5).read_text()
        assert text.count("<script") == 2
        data = Page(text).data
        assert data["items"][0] == [f"{HOSTILE.ljust(99, '.')}…", []]
        assert data["numItems"] == 80 > len(data["items"])
        assert (data["categories"], data["coloured"], set(data["shown"])) == ([], [], {-1})

    def test_escapes_names(self, report):
        assert not report.all("img")
        assert report.data["runs"][-1]["name"] == "<img src=x onerror=alert(1)>"
        assert "<img src=x onerror=alert(1)>" in " ".join(report.text("th", scope="row"))

    def test_users_come_evenly_from_the_groups(self, trained):
        (run,) = named([trained["popularity"]])
        users, groups = sample_users(run, 20)
        assert groups.bincount().tolist() == [4] * 5
        assert users.tolist() == sorted(set(users.tolist()))
        firsts = [run.per_user["user"][run.per_user["group/diversity"] == group][:4] for group in range(5)]
        assert users.tolist() != torch.cat(firsts).sort().values.tolist()  # they are drawn
        all_groups = dict(zip(run.per_user["user"].tolist(), run.per_user["group/diversity"].tolist(), strict=True))
        assert [all_groups[user] for user in users.tolist()] == groups.tolist()
        everyone, _ = sample_users(run, 1000)
        assert torch.equal(everyone, run.per_user["user"])

    def test_users_without_a_group_are_drawn_like_a_group(self):
        group = torch.tensor([-1, 0]).repeat_interleave(9)
        users, groups = sample_users(
            SimpleNamespace(per_user={"user": 7 + torch.arange(18), "group/diversity": group}), 6
        )
        assert groups.tolist() == group[users - 7].tolist() == [-1] * 3 + [0] * 3


class TestItemMap:
    def test_keeps_the_distances_of_two_dimensions(self, restored):
        run = restored["lightgcn-softmax"]
        found = map_items(run)
        vectors = run.model(Batch(user=torch.arange(1))).items.detach()[found.item].double()
        values = torch.linalg.svdvals(vectors - vectors.mean(0)) ** 2
        assert f"{100 * values[:2].sum() / values.sum():.0f} %" in found.method
        place = found.place - found.place.mean(0)
        # The singular values of the places are those of the vectors, up to one scale.
        ratio = torch.linalg.svdvals(place) ** 2 / values[:2]
        assert float(ratio[0]) == pytest.approx(float(ratio[1]), rel=1e-3)
        assert found.interest is None
        assert found.place.amin(0).tolist() == [0, 0]
        assert found.place.max() == 1
        assert found.item.tolist() == run.dataset.train.item.bincount().argsort(descending=True, stable=True).tolist()

    def test_is_the_same_picture_whatever_signs_the_directions_have(self, monkeypatch):
        vectors, eigh = torch.randn(20, 5), torch.linalg.eigh
        place, _ = _place(vectors)
        wide = vectors.repeat(1, 300)
        assert torch.equal(_place(wide)[0], _place(wide)[0])  # found from a start that is drawn
        monkeypatch.setattr(torch.linalg, "eigh", lambda square: (lambda value, way: (value, -way))(*eigh(square)))
        assert torch.equal(_place(vectors)[0], place)

    def test_finds_two_directions_of_wide_vectors_without_all_others(self, monkeypatch):
        dataset = LeaveOneOut()(planted(num_users=300, num_items=1100, num_clusters=6, interactions_per_user=20))
        model = ItemKNN(dataset.graph())
        vectors = model.weight[
            dataset.train.item.bincount(minlength=1100).argsort(descending=True, stable=True)
        ].double()
        centred = vectors - vectors.mean(0)
        value, direction = torch.linalg.eigh(centred.T @ centred)
        expected = centred @ direction[:, [-1, -2]]
        monkeypatch.delattr(torch.linalg, "eigh")  # it takes the third power of the width
        found = map_items(SimpleNamespace(dataset=dataset, model=model))
        assert f"{100 * value[-2:].sum() / value.sum():.0f} %" in found.method
        place = found.place - found.place.mean(0)
        for axis in (0, 1):
            assert abs(torch.cosine_similarity(place[:, axis], expected[:, axis], dim=0)) > 1 - 1e-5
        assert place.std(0).div(expected.std(0)).diff().abs() < 1e-5 * place.std(0).div(expected.std(0))[0]

    def test_places_are_those_of_umap_where_it_is_installed(self, monkeypatch):
        def umap(random_state, n_jobs):
            assert (random_state, n_jobs) == (0, 1)  # the same picture every time
            return SimpleNamespace(fit_transform=lambda vectors: vectors[:, [2, 0]])

        monkeypatch.setattr(items, "find_spec", lambda name: name == "umap")
        monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=umap))
        vectors = torch.arange(80.0).view(16, 5)
        place, method = _place(vectors)
        assert method == "UMAP"
        assert torch.equal(place, vectors[:, [0, 0]].double() / 75)
        assert "components" in _place(vectors[:15])[1]  # too few for it

    @pytest.mark.parametrize("width", [3, 1100])
    def test_vectors_that_are_all_alike_lie_in_one_place(self, width):
        place, method = _place(torch.full((20, width), 0.5))
        assert place.unique().tolist() == [0]
        assert "0 % of the variance" in method

    def test_interest_is_that_of_most_users(self, restored, monkeypatch):
        monkeypatch.setattr(items, "_BATCH", 30)
        run = restored["interest-gcn-softmax"]
        found, train = map_items(run), run.dataset.train
        out = run.model(Batch(user=torch.arange(100)))
        votes = torch.zeros(80, 4)
        for user, item in zip(train.user.tolist(), train.item.tolist(), strict=True):
            votes[item, int((out.interests[user] @ out.items[item]).argmax())] += 1
        clear = [item for item in range(80) if (votes[item] == votes[item].max()).sum() == 1]
        shown = dict(zip(found.item.tolist(), found.interest.tolist(), strict=True))
        assert len(clear) > 40
        assert [shown[item] for item in clear] == [int(votes[item].argmax()) for item in clear]
        monkeypatch.setattr(items, "_USERS", 3)  # evenly from first to last
        few = map_items(run)
        asked = set(train.item[torch.isin(train.user, torch.tensor([0, 50, 99]))].tolist())
        assert {item for item, one in zip(few.item.tolist(), few.interest.tolist(), strict=True) if one >= 0} == asked

    def test_only_active_interests_of_those_who_had_an_item_fit_it(self):
        class Two(nn.Module):
            def propagating_once(self):
                self.once = True
                return nullcontext()

            def forward(self, batch):
                assert not self.training
                assert batch.user.all()  # who had nothing is not asked
                assert self.once
                interests = torch.tensor([[1.0], [9.0]]).expand(len(batch.user), 2, 2)
                active = torch.tensor([True, False]).expand(len(batch.user), 2)
                return Representations(interests, torch.ones(40, 2), interest_mask=active)

        data = planted(num_users=30, num_items=40, num_clusters=4)
        short = torch.arange(len(data)) % data.user.clamp(min=1) == 0  # fewer items for some users than for others
        train = data.take(short & (data.user > 0) & (data.item % 39 > 0))
        found = map_items(SimpleNamespace(dataset=SimpleNamespace(train=train, num_items=40), model=Two()))
        had = set(train.item.tolist())
        assert sorted(found.item.tolist()) == list(range(40))
        assert found.interest.tolist() == [0 if item in had else -1 for item in found.item.tolist()]

    def test_an_item_of_several_categories_shows_the_rarest(self, restored):
        train = restored["popularity"].dataset.train
        popularity = train.item.bincount(minlength=80).double() @ train.categories.matrix(80).double()
        assert coloured_categories(train) == popularity.argsort(descending=True, stable=True).tolist()
        coloured = coloured_categories(train, 2)
        label = item_category(train.categories, 80, coloured)
        has = train.categories.matrix(80)[:, coloured].bool()
        size = has.sum(0).tolist()
        for item in range(80):
            held = [n for n in range(2) if has[item, n]]
            assert label[item] == (min(held, key=lambda n: size[n]) if held else -1)

    def test_of_two_categories_the_one_with_fewer_items_is_shown(self):
        data = planted(num_users=30, num_items=40, num_clusters=4)
        data = data.with_categories(data.items.ids.gather([0, 0, 1, 2, 3]), ["many", "few", "many", "many", "few"])
        many, few = map(data.categories.names.index, ("many", "few"))
        assert item_category(data.categories, 40, [many, few])[:5].tolist() == [1, 0, 0, 1, -1]
        labels = explorer._labels(SimpleNamespace(dataset=SimpleNamespace(train=data)))
        assert {item: sorted(found) for item, found in labels.items()} == {
            0: [few, many],
            1: [many],
            2: [many],
            3: [few],
        }

    def test_a_color_is_left_for_what_is_in_no_category(self):
        data = planted(num_users=30, num_items=40, num_clusters=4)
        data = data.with_categories(data.items.ids, [f"kind {n % 9}" for n in range(40)])
        assert len(coloured_categories(data)) == 6

    def test_a_number_per_item_makes_no_map(self, report, restored):
        assert map_items(restored["popularity"]) is None
        assert report.data["runs"][0]["map"] is None
        assert len(map_items(restored["comirec-dr"], 10).item) == 10


class TestWords:
    @pytest.mark.parametrize(("p", "low", "counts"), [(0.0499, 0.1, True), (0.04, -0.1, False), (0.05, 0.1, False)])
    def test_a_difference_counts_by_the_corrected_test_and_the_interval(self, p, low, counts):
        found = PairedResult(9, 0.2, Interval(low, 0.3), t=0.0, wilcoxon=0.0, t_holm=0.0, wilcoxon_holm=p)
        assert is_significant(found) == counts

    @pytest.mark.parametrize(("p", "said"), [(0.0009, "p < 0.001"), (0.001, "p = 0.001"), (math.nan, "no test")])
    def test_p_values_have_three_digits(self, p, said):
        assert p_text(p) == said

    @pytest.mark.parametrize(("name", "said"), [("/some/where/log.csv", "log.csv"), ("planted:num_users=9", "planted")])
    def test_data_is_named_without_folders_and_options(self, trained, copy, name, said):
        data = trained["popularity"].read_result()["data"]
        assert summary_of([copy("popularity", data={**data, "name": name})]).data_name == said

    def test_columns_are_metrics_of_the_same_length_that_all_have(self, trained, copy):
        one, other = trained["popularity"], trained["lightgcn-softmax"]
        few = copy("popularity", "few", metrics={"ndcg@20": 0.1})
        for runs, *metrics in (
            ([one, other], "recall@10", "ndcg@10"),
            ([one, other], "ndcg@20", "recall@20"),
            ([one, few], "ndcg@20"),
        ):
            header = Summary(models_of(named(runs)), metrics[0]).header()
            assert header[1 : len(metrics) + 2] == [*metrics, f"{metrics[0]} less popularity"]

    def test_what_is_not_known_of_a_list_is_a_dash(self, trained, copy):
        lists = trained["popularity"].read_result()["lists"]
        summary = summary_of([copy("popularity", lists={**lists, "novelty@20": None, "gini@20": 0.0})])
        told = {name: cell.text for name, cell in zip(summary.lists, summary.list_rows()[0], strict=True)}
        assert [name for name, text in told.items() if text == "-"] == ["novelty@20"]
        assert told["gini@20"] == "0.0000"

    def test_epochs_say_how_they_were_chosen(self, trained, copy):
        refitted, chosen = copy("lightgcn-softmax", valid_metrics={}), trained["comirec-dr"]
        summary = summary_of([refitted, chosen, trained["popularity"]])
        told = [row[summary.header().index("epochs") - 1] for row in summary.rows()]
        best = f"best: {chosen.read_result()['best_epoch']}"
        assert [(cell.text, cell.note) for cell in told] == [
            ("2", "validation trained on, too"), ("2", best), ("-", "not trained")
        ]  # fmt: skip

    def test_epochs_and_seconds_are_means_over_the_seeds(self, copy):
        told = ((3, 2, 1000.4), (5, 4, 2000.4))
        runs = [
            copy("lightgcn-softmax", f"seed{n}", seed=n, epochs=n, best_epoch=best, timings={"train_seconds": seconds})
            for n, best, seconds in told
        ]
        summary = Summary([Model("both", named(runs))], "ndcg@20")
        row = dict(zip(summary.header()[1:], summary.rows()[0], strict=True))
        assert (row["epochs"].text, row["epochs"].note, row["seconds"].text) == ("4", "best: 3", "1,500")

    def test_groups_are_those_that_all_have(self, trained, copy):
        groups = trained["popularity"].read_result()["groups"]
        plain = {name: found for name, found in groups.items() if name.startswith("diversity/")}
        runs = [trained["popularity"], copy("popularity", "plain", groups=plain), copy("popularity", "none", groups={})]
        found = [summary_of(runs[:count]).grouping for count in (1, 2, 3)]
        assert found == ["diversity-controlled", "diversity", None]

    def test_one_group_is_not_compared_to_itself(self, trained, copy):
        key = "diversity/ndcg@20"
        one = {**trained["popularity"].read_result()["groups"][key], "mean": [0.2, None], "count": [100, 0]}
        runs = [copy("popularity", name, groups={key: one}) for name in ("one", "other")]
        assert not [sentence for sentence in findings(summary_of(runs)) if "group" in sentence]

    def test_groups_of_one_user_are_not_spoken_of(self, trained, copy):
        key, told = "diversity/ndcg@20", []
        for count in (1, 2):
            values = {**trained["popularity"].read_result()["groups"][key], "mean": [0.1, 0.2], "count": [2, count]}
            run = copy("popularity", f"run{count}", groups={key: values})
            told.append(any(" taste" in sentence for sentence in findings(summary_of([run]))))
        assert told == [False, True]

    @pytest.mark.parametrize(("count", "told"), [(3, 3 + 2), (4, 0)])
    def test_groups_are_told_of_each_of_a_few_models(self, copy, count, told):
        runs = [copy("popularity", f"run{n}") for n in range(count)]
        found = [
            sentence for sentence in findings(summary_of(runs)) if "diversity group" in sentence or " taste" in sentence
        ]
        assert len(found) == told

    def test_the_best_of_one_seed_has_no_interval(self, copy):
        several, one = (
            Model(
                preset, named([copy(preset, f"{preset}{n}", seed=n, metrics={"ndcg@20": value}) for n in range(count)])
            )
            for preset, count, value in (("lightgcn-softmax", 2, 0.1), ("popularity", 1, 0.9))
        )
        assert "popularity has the highest test ndcg@20: 0.9000. " in lead(Summary([several, one], "ndcg@20"))

    def test_no_difference_is_called_one(self, trained):
        summary = summary_of([trained["lightgcn-softmax"], trained["interest-gcn-softmax"]])
        assert "does not differ significantly from lightgcn-softmax" in lead(summary)
        assert any("no clear difference" in sentence for sentence in findings(summary))

    def test_p_values_are_those_after_correction(self, trained):
        summary = summary_of([trained[name] for name in ("lightgcn-softmax", "interest-gcn-softmax", "comirec-dr")])
        told = lead(summary)
        for model, test in summary.differences:
            assert f"{model.name} ({signed(test)}, {p_text(test.wilcoxon_holm)})" in told
        assert any(p_text(test.wilcoxon_holm) != p_text(test.wilcoxon) for _, test in summary.differences)

    def test_seeds_of_one_model_are_said_to_be_taken_for_models(self, trained, copy):
        other = copy("popularity", "other", seed=1)
        told = [list(findings(summary_of(runs))) for runs in (
            [trained["popularity"], other], [trained["popularity"], trained["lightgcn-softmax"]]
        )]  # fmt: skip
        assert [any("--seeds takes them together" in sentence for sentence in each) for each in told] == [True, False]

    @pytest.mark.parametrize(("shift", "word"), [(0.1, "better"), (-0.1, "worse")])
    def test_a_difference_is(self, trained, copy, tmp_path, shift, word):
        other = copy("popularity", "other")
        values = other.read_tensors("per_user")
        noise = 0.01 * torch.randn(len(values["user"]), generator=torch.Generator().manual_seed(0))
        other.write_tensors("per_user", {**values, "ndcg@20": values["ndcg@20"] + shift + noise})
        summary = summary_of([trained["popularity"], other])
        assert f"is significantly {word} than popularity" in lead(summary)
        assert "p < 0.001, significant" in [cell.verdict for cell in summary.rows()[1]]
        another = RunFolder(shutil.copytree(other.path, tmp_path / "another"))
        assert f"are significantly {word} than" in lead(summary_of([trained["popularity"], other, another]))

    def test_a_difference_in_one_group_is_of_that_group(self, trained, copy):
        other = copy("popularity", "other")
        values = other.read_tensors("per_user")
        noise = 0.01 * torch.rand(len(values["user"]), generator=torch.Generator().manual_seed(0))
        third = values["group/diversity-controlled"] == 2
        other.write_tensors("per_user", {**values, "ndcg@20": values["ndcg@20"] + third * (0.1 + noise)})
        said = " ".join(findings(summary_of([trained["popularity"], other])))
        assert re.search(r"differs significantly from popularity in group 3 \(\+0\.10\d\d\)\.", said)

    @pytest.mark.parametrize(
        ("scale", "said"),
        [
            (1.0, "no clear difference in spread from"),
            (0.1, "clearly less spread than"),
            (3.0, "clearly more spread than"),
        ],
    )
    def test_spreads_differ_where_the_paired_bootstrap_says_so(self, trained, copy, scale, said):
        other, kind = copy("popularity", "other"), "diversity-controlled"
        values = other.read_tensors("per_user")
        group = values[f"group/{kind}"]
        told = {run: values["ndcg@20"] + 0.1 * factor * group for run, factor in (("one", 1.0), ("other", scale))}
        one = copy("popularity", "one")
        for run in (one, other):
            run.write_tensors("per_user", {**values, "ndcg@20": told[run.path.name]})
        sentence = next(s for s in findings(summary_of([one, other])) if "smallest spread" in s)
        difference = by_group(told["other"], group).std - by_group(told["one"], group).std
        assert f"{said} one: other ({difference:+.4f} [" in sentence
        summary = summary_of([one, other, RunFolder(shutil.copytree(one.path, one.path.with_name("same")))])
        cells = [row[summary.header().index("spread between groups") - 1] for row in summary.rows()]
        expected = ["", f"less one: {difference:+.4f}", "less one: +0.0000"]
        assert [cell.verdict.partition(" [")[0] for cell in cells] == expected
        assert ("+0.0000 [+0.0000, +0.0000]" in sentence) == (scale == 1.0)

    def test_the_smallest_spread_is_named(self, trained, copy):
        groups, key = trained["popularity"].read_result()["groups"], "diversity-controlled/ndcg@20"
        even = copy("popularity", "even", groups={**groups, key: {**groups[key], "std": 0.001}})
        summary = summary_of([trained["popularity"], even])
        assert "at equal activity is that of even (standard deviation 0.0010)" in " ".join(findings(summary))
        place = summary.header().index("spread between groups") - 1
        assert [row[place].best for row in summary.rows()] == [False, True]

    def test_one_run_is_the_best_of_nothing(self, trained):
        summary = summary_of([trained["comirec-dr"]])
        assert not [cell for row in summary.rows() for cell in row if cell.best]
        assert len(summary.header()) == 1 + len(summary.rows()[0])
        assert lead(summary).startswith("This page shows the run comirec-dr on planted, 100 users and 80 items.")

    @pytest.mark.parametrize(("users", "tested", "said"), [(1, 1, "1 user"), (1200, 2, "1,200 users")])
    def test_users_are_counted_in_the_data_and_in_the_test(self, copy, users, tested, said):
        run = copy("popularity", data={"name": "planted", "users": users, "items": 80})
        run.write_tensors("per_user", {name: values[:tested] for name, values in run.read_tensors("per_user").items()})
        told = (
            f"on planted, {said} and 80 items. Every number is a mean over the {tested} user{'s' * (tested > 1)} with"
        )
        assert told in lead(summary_of([run]))

    @pytest.mark.parametrize(
        ("rho", "controlled", "told"),
        [
            (0.3, None, "; more for users of broad taste (rank correlation +0.30)."),
            (-0.3, 0.2, "; fewer for users of broad taste (rank correlation -0.30), at equal activity +0.20."),
            (None, 0.2, " (effective number, a mean)."),
            (0.1, None, "; more for users of broad taste (rank correlation +0.10)."),
            (-0.09, None, "to do with how broad a user's taste is (rank correlation -0.09)."),
        ],
    )
    def test_interests_are_told_from_the_result(self, copy, rho, controlled, told):
        key = "effective-diversity correlation"
        interests = {key: rho, f"{key}, controlled": controlled, "effective@10": 2.5}
        run = copy("comirec-dr", interests=interests, interest_share=[[0.5, 0.5, 0.0]])
        said = " ".join(findings(summary_of([run])))
        assert "The top 10 of comirec-dr draws on 2.5 of 3 interests (effective number, a mean)" in said
        assert told in said
        assert "different lengths" not in said

    @pytest.mark.parametrize(
        ("narrow", "broad", "said"),
        [
            ((0.1, 0.2), (0.3, 0.4), "run serves users of broad taste better: 0.1500 in"),
            ((0.3, 0.4), (0.1, 0.2), "run serves users of broad taste worse: 0.3500 in"),
            ((0.1, 0.3), (0.2, 0.4), "; the intervals overlap, so this is no clear difference."),
            ((0.2, 0.4), (0.1, 0.3), "; the intervals overlap, so this is no clear difference."),
            ((0.1, 0.2), None, "run reaches 0.1500 in the group of the narrowest taste and 0.9000 in that"),
        ],
    )
    def test_groups_differ_where_their_intervals_do_not_overlap(self, narrow, broad, said):
        first, last = (
            Estimate(sum(ends) / 2, Interval(*ends)) if ends else Estimate(0.9, None) for ends in (narrow, broad)
        )
        groups = GroupEstimates([first, None, last, None], [9, 0, 9, 0], Estimate(0.0, None))
        run = SimpleNamespace(name="run")
        assert said in words._ends(run, groups, "")
        over_seeds = GroupEstimates([first, replace(last, of_seeds=True)], [9, 9], Estimate(0.0, None))
        assert words._ends(run, over_seeds, "").startswith("run reaches")

    def test_interests_in_lists_of_different_lengths_do_not_stand_side_by_side(self, copy):
        runs = [
            copy("comirec-dr", name, interests={f"effective@{k}": value}, interest_share=[[0.5, 0.5]])
            for name, k, value in (("short", 5, 1.5), ("long", 10, 1.8), ("longer", 10, 1.9))
        ]
        for some, column in ((runs, []), (runs[1:], ["of 2 in the top 10"] * 2)):
            summary = summary_of(some)
            assert [c.note for row in summary.rows() for c in row if c.note.startswith("of 2")] == column
            assert len(summary.header()) == 1 + len(summary.rows()[0])
            assert summary.header()[0] == "run"
            assert any("are not compared" in sentence for sentence in findings(summary)) == (not column)
        assert "The top 5 of short draws on 1.5 of 2 interests" in " ".join(findings(summary_of(runs)))


class TestRuns:
    def test_without_groups_and_diagnostics(self, copy, tmp_path):
        run = copy("lightgcn-softmax", groups={})
        values = run.read_tensors("per_user")
        run.write_tensors("per_user", {k: v for k, v in values.items() if not k.startswith(("group/", "diversity"))})
        page = Page(build_report([run], tmp_path / "report.html", num_users=5).read_text())
        assert "The runs have no user groups." in page.text("section", id="groups")[0]
        assert page.data["groups"] == 0
        assert {user["group"] for user in page.data["users"]} == {-1}
        assert "5 of the 100 users of the test are on this page" in page.text("section", id="users")[0]

    def test_all_that_was_recorded_of_interests_is_shown(self, trained):
        [model] = models_of(named([trained["comirec-dr"]]))
        recorded = [name for name in model.first.epochs[0] if name.startswith("interests/")]
        assert len(collapse_panels([model])) == len(recorded) == 3

    def test_of_one_name_and_one_run_twice(self, copy, trained, tmp_path):
        config = {**trained["popularity"].read_result()["config"], "data": "猫.csv"}
        one, other = copy("popularity", "a/run", groups={}, config=config), copy("popularity", "b/run", groups={})
        other.write_result({**other.read_result(), "description": "\udce9"})  # of a name that is not UTF-8
        runs, out = [one, other, RunFolder(one.path / ".." / "run")], tmp_path / "my report.html"
        text = build_report(runs, out, metric="recall@20", num_users=0).read_text(encoding="utf-8")
        page = Page(text)
        paths = [str(run.path) for run in runs]
        options = ["--out", str(out), "--metric", "recall@20", "--num_users", "0"]
        assert shlex.split(page.text("pre")[-1]) == ["graphmi", "report", *paths, *options]
        assert page.text("pre")[0].startswith("data: 猫.csv model: ")
        assert "\\udce9" in text
        assert [row.split()[0] for row in page.text("span", **{"class": "name"})] == ["a/run", "b/run"]

    def test_that_differ_are_refused(self, copy, trained, tmp_path):
        told = trained["popularity"].read_result()
        other = copy("popularity", "other", protocol={**told["protocol"], "split": "random"})
        with pytest.raises(ValueError, match="their protocols differ in 'split' \\(leave-one-out and random\\)"):
            build_report([trained["popularity"], other], tmp_path / "report.html")
        other.write_result({**told, "data": {**told["data"], "fingerprint": "0" * 64}})
        with pytest.raises(ValueError, match="their data differ"):
            build_report([trained["popularity"], other], tmp_path / "report.html")
        for runs, num_users in (([], 9), ([other], -1)):
            with pytest.raises(ValueError, match=f"at least 0 \\(got {len(runs)} and {num_users}\\)"):
                build_report(runs, tmp_path / "report.html", num_users=num_users)
        assert not (tmp_path / "report.html").exists()

    def test_that_have_not_ended_are_refused(self, copy, tmp_path):
        run = copy("popularity")
        (run.path / "result.json").unlink()
        with pytest.raises(FileNotFoundError, match="the run has not ended"):
            build_report([run], tmp_path / "report.html")


class TestCommand:
    def test_writes_a_report_over_a_report_only(self, plain, tmp_path, capsys):
        words = ["report", str(plain.path), "--num_users", "0", "--out", str(tmp_path / "r.html")]
        assert cli.main(words) == 0
        (tmp_path / "kept").hardlink_to(tmp_path / "r.html")
        assert cli.main(words) == 0
        assert not (tmp_path / "r.html").samefile(tmp_path / "kept")  # replaced when whole, not written over
        (tmp_path / "kept").unlink()
        assert "r.html (0." in capsys.readouterr().out
        (tmp_path / "r.html").write_text("my thesis")
        assert cli.main(words) == 1
        assert "is no report of graphmi" in capsys.readouterr().err
        assert (tmp_path / "r.html").read_text() == "my thesis"
        assert cli.main([*words[:-1], str(tmp_path)]) == 1
        assert "is a folder" in capsys.readouterr().err
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(FileExistsError, match="is no report of graphmi"):
            build_report([plain], tmp_path / "pipe", num_users=0)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "popularity", "r.html"]

    def test_knows_metrics(self, trained, tmp_path, capsys):
        words = ["report", str(trained["popularity"].path), "--out", str(tmp_path / "r.html"), "--metric"]
        assert cli.main([*words, "ndgc@10"]) == 2
        assert "did you mean ndcg@10" in capsys.readouterr().err

    def test_pages_are_equal_with_and_without_progress(self, plain, tmp_path, monkeypatch):
        shown, out = [], tmp_path / "r.html"
        monkeypatch.setattr(build, "counting", lambda *words: shown.append(words[-1]) or nullcontext(int))
        one, other = (
            build_report([plain], out, num_users=5, **words).read_text() for words in ({}, {"progress": False})
        )
        assert one == other
        assert shown == [True, False]
