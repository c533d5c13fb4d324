"""Names, options and paths."""

import shutil
from pathlib import Path

import pytest
import torch

from graphmi.data import DataError
from graphmi.data.sources import SOURCES, DownloadError, load, open_data

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHMI_DATA", str(tmp_path))
    return tmp_path


def test_all_sources_are_there():
    assert list(SOURCES) == [
        "ml-100k", "ml-1m", "movietweetings", "gowalla", "yelp2018", "amazon-book", "amazon", "retailrocket", "anime",
        "epinions", "cosmetics", "planted",
    ]  # fmt: skip
    assert all(SOURCES[name].name == name for name in SOURCES)


def test_a_name_opens_what_is_in_the_cache(cache):
    shutil.copytree(FIXTURES / "gowalla", cache / "gowalla")
    assert len(load("gowalla")) == len(open_data("gowalla")) == 5
    assert len(open_data("gowalla", part="test")) == len(open_data("gowalla:part=test")) == 1


def test_fetch_accepts_what_was_placed_by_hand(cache):
    for name in ("ml-100k", "ml-1m", "movietweetings", "retailrocket", "anime", "cosmetics", "epinions"):
        shutil.copytree(FIXTURES / name, cache / name)
        assert len(load(name)) >= 2


@pytest.mark.parametrize("name", ["anime", "retailrocket", "cosmetics"])
def test_sources_behind_an_account_say_where_to_put_the_file(cache, name):
    with pytest.raises(DownloadError, match="kaggle.*put it at " + str(cache / name)):
        load(name)


def test_options_of_a_name():
    world = open_data("planted:num_users=50, noise=0.0,seed=3")
    assert world.num_users == 50
    assert world.fingerprint() == load("planted", num_users=50, noise=0.0, seed=3).fingerprint()
    assert world.fingerprint() != load("planted", num_users=50, noise=0.0).fingerprint()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ml-100", "'ml-100' .did you mean ml-100k"),
        ("MovieTweeting", "did you mean movietweetings"),
        ("x", "known names: ml-100k, ml-1m"),
        ("no/such.csv", "no file and no data set is named 'no/such.csv'"),
        ("planted:users=3", "'planted' has no option 'users' .its options: num_users"),
        ("planted:seed=a", "option 'seed' of 'planted' must be of type int .got 'a'"),
        ("ml-1m:part=3", "'ml-1m' has no option 'part' .its options: none"),
    ],
)
def test_unknown_names_and_options(name, message):
    with pytest.raises(DataError, match=message):
        open_data(name)


def test_a_path_opens_a_file(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("who,item_id\na,1\nb,2\n")
    assert len(open_data(path, user="who")) == 2
    assert len(open_data(str(path), user="who")) == 2


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        (b"<html>\n", "anime in .*anime: there is no column 'user_id'"),
        (b"user_id,anime_id,rating\n1,x,3\n", "files of 'anime' in .* cannot be read .*; delete them to fetch"),
        (b"", "files of 'anime' in .* cannot be read .*; delete them to fetch"),
    ],
)
def test_a_damaged_file_is_one_sentence(cache, ratings, message):
    (cache / "anime").mkdir()
    (cache / "anime" / "anime.csv").write_text("anime_id,name,genre\n1,a,b\n")
    (cache / "anime" / "rating.csv").write_bytes(ratings)
    with pytest.raises(DataError, match=message):
        load("anime")


def test_verify_finds_a_changed_file(cache):
    shutil.copytree(FIXTURES / "gowalla", cache / "gowalla")
    SOURCES["gowalla"].verify()
    (cache / "gowalla" / "train.txt.sha256").write_text("0" * 64 + "  train.txt\n")
    with pytest.raises(DownloadError, match=r"train\.txt has sha256"):
        SOURCES["gowalla"].verify()


def test_options_may_come_as_text():
    assert (
        open_data("planted", num_users="50", noise="0.0").fingerprint()
        == open_data("planted:num_users=50,noise=0.0").fingerprint()
    )
    with pytest.raises(DataError, match=r"'num_users' of 'planted' must be of type int .got 'many'"):
        open_data("planted", num_users="many")


def test_attributes_go_with_names_too(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("item_id,category,title\n3,new,Three\n")
    named, plain = open_data("planted", num_users=50, attributes=path), open_data("planted:num_users=50")
    assert torch.equal(named.item, plain.item)
    assert named.titles[3] == "Three"
    assert named.categories.names == ("new",)
    assert plain.titles is None
