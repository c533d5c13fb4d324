import gzip
import math
import os
import shutil
from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from torch_geometric.data import HeteroData

from graphmi.data import DataError, Interactions, read_interactions, read_table

ROWS = [("b", 7, 5.0, 30), ("a", 7, 4.0, 10), ("b", 3, 1.0, 20)]
NAMES = ["user_id", "item_id", "rating", "timestamp"]


def frame() -> pl.DataFrame:
    return pl.DataFrame(ROWS, schema=NAMES, orient="row")


def text(separator: str, header: str | None = None) -> str:
    lines = [header or separator.join(NAMES), *(separator.join(map(str, row)) for row in ROWS)]
    return "\n".join(lines) + "\n"


def check(interactions: Interactions) -> None:
    assert interactions.users.ids.to_list() == ["a", "b"]
    assert interactions.items.ids.to_list() == [3, 7]
    assert interactions.user.tolist() == [1, 0, 1]
    assert interactions.item.tolist() == [1, 1, 0]
    assert interactions.time.tolist() == [30, 10, 20]
    assert interactions.weight.tolist() == [5, 4, 1]
    assert interactions.weight.dtype == torch.float32


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::", " "])
def test_text_files(tmp_path, separator):
    path = tmp_path / "data.txt"
    path.write_text(text(separator))
    check(read_interactions(path))
    check(read_interactions(path, separator=separator))


@pytest.mark.parametrize("separator", [",", "::"])
def test_gzipped_text(tmp_path, separator):
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(text(separator).encode()))
    check(read_interactions(path))


def test_text_in_the_forms_that_other_programs_write(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text(",").replace("\n", "\r\n").encode() + b"\r\n")  # mark, CRLF, empty line
    check(read_interactions(path))
    path.write_text(text(", ").replace("user_id", '"user_id"').replace("b", '"b"'))  # quotes and blanks
    check(read_interactions(path))


def test_typed_headers_of_atomic_files(tmp_path):
    path = tmp_path / "data.inter"
    path.write_text(text("\t", "user_id:token\titem_id:token\trating:float\ttimestamp:float"))
    check(read_interactions(path))


def test_a_file_without_header(tmp_path):
    path = tmp_path / "ratings.dat"
    path.write_text(text("::").split("\n", 1)[1])
    check(read_interactions(path, columns=NAMES))
    with pytest.raises(DataError, match="has 4 columns; 'columns' must name each once"):
        read_interactions(path, columns=NAMES[:3])
    path.write_text(text("::"))
    with pytest.raises(DataError, match="'user_id::item_id::rating::timestamp', is a header of these names: leave out"):
        read_interactions(path, columns=NAMES)


def test_parquet_file_and_directory(tmp_path):
    frame().write_parquet(tmp_path / "data.parquet")
    check(read_interactions(tmp_path / "data.parquet"))
    parts = tmp_path / "parts"
    (parts / "more").mkdir(parents=True)
    frame()[:1].write_parquet(parts / "0.parquet")
    frame()[1:].write_parquet(parts / "more" / "1.parquet")
    check(read_interactions(parts))
    (parts / "more").rename(parts / "more.parquet")  # as Spark calls the folder of a table
    check(read_interactions(parts))
    (parts / "more.parquet").rename(tmp_path / "more")
    for link, of in (("link", tmp_path / "more"), ("again", tmp_path / "more"), ("self", parts)):
        (parts / link).symlink_to(of)
    check(read_interactions(parts))  # each folder once


def write_parts(folder, first, later):
    first.with_columns(note=1).write_parquet(folder / "0.parquet")
    later.select(reversed(later.columns)).with_columns(note=pl.lit([1])).write_parquet(folder / "1.parquet")


@pytest.mark.parametrize(
    "change",
    [
        {"item_id": pl.Int16},
        {"item_id": pl.UInt32, "rating": pl.Int8},
        {"user_id": pl.Categorical, "rating": pl.Float32},
    ],
)
def test_parts_of_a_folder_may_differ_in_order_and_width_of_their_columns(change, tmp_path):
    """And a column that nobody asks for may be of any type."""
    for first, later in ((frame()[:1], frame()[1:].cast(change)), (frame()[:1].cast(change), frame()[1:])):
        write_parts(tmp_path, first, later.with_columns(page=1))
        check(read_interactions(tmp_path))


@pytest.mark.parametrize(
    ("later", "message"),
    [
        (frame()[1:].drop("item_id"), r"column 'item_id' must have a value in every row \(got none in 2 rows"),
        (frame()[1:].drop("rating"), r"column 'rating' must have a value in every row \(got none in 2 rows"),
        *(
            (frame()[1:].with_columns(change), "the file cannot be read: data type mismatch for column")
            for change in (pl.lit([1]).alias("item_id"), pl.col("item_id", "timestamp").cast(pl.String))
        ),
        (frame()[1:].with_columns(pl.from_epoch("timestamp")), "data type mismatch for column timestamp"),  # no seconds
    ],
)
def test_parts_of_a_folder_must_have_the_same_columns(later, message, tmp_path):
    write_parts(tmp_path, frame()[:1], later)
    with pytest.raises(DataError, match=message):
        read_interactions(tmp_path)


def test_a_folder_that_cannot_be_opened_is_not_left_out(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    frame().write_parquet(tmp_path / "0.parquet")
    real = os.scandir

    def scandir(path):  # whoever runs this may be allowed all
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError, match=r"Permission denied: '.*closed'"):
        read_interactions(tmp_path)


def test_strings_of_digits_stay_strings_where_the_table_says_so(tmp_path):
    path = tmp_path / "data.parquet"
    pl.DataFrame({"user_id": ["1"], "item_id": [1]}).write_parquet(path)
    interactions = read_interactions(path)
    assert (interactions.users.ids.to_list(), interactions.items.ids.to_list()) == (["1"], [1])


@pytest.mark.parametrize("ids", [["007", "7"], ["-0", "0"], ["1a", "2"], ["1e3", "5"], ["1.5", "x"]])
def test_ids_in_text_that_are_not_integers_stay_strings(tmp_path, ids):
    path = tmp_path / "data.csv"
    path.write_text("user_id,item_id\n" + "".join(f"{value},1\n" for value in ids))
    assert read_interactions(path).users.ids.to_list() == sorted(ids)


def test_polars_and_pandas_tables():
    check(Interactions.from_frame(frame()))
    check(Interactions.from_frame(frame().lazy()))
    check(Interactions.from_frame(pd.DataFrame(ROWS, columns=NAMES)))
    typed = pd.DataFrame(ROWS, columns=NAMES).astype({"user_id": "category", "item_id": "Int64"})
    check(Interactions.from_frame(typed.assign(note=[1, "mixed", None])))


def test_columns_of_pandas_that_have_numbers_for_names():
    table = pd.DataFrame([("book", "a", 7, 5.0, 30), ("toy", "b", 7, 1.0, 20)])
    found = Interactions.from_frame(table, user=1, item=2, time=4, weight=3, category=0)
    assert (found.users.ids.to_list(), found.items.ids.to_list()) == (["a", "b"], [7])
    assert (found.time.tolist(), found.weight.tolist()) == ([30, 20], [5, 1])
    assert found.categories.names == ("book", "toy")
    with pytest.raises(DataError, match="no column '9' among '0', '1', '2', '3', '4'; name the user column"):
        Interactions.from_frame(table, user=9, item=2)


def test_two_columns_of_one_name():
    table = pd.DataFrame([(1, 2, 3, 4)], columns=["user_id", "item_id", "note", "note"])
    assert len(Interactions.from_frame(table)) == 1
    with pytest.raises(DataError, match="the table has several columns 'note'; rename or drop"):
        Interactions.from_frame(table, item="note")


def test_columns_under_other_names():
    renamed = frame().rename({"user_id": "who", "item_id": "what", "rating": "stars", "timestamp": "when"})
    check(Interactions.from_frame(renamed, user="who", item="what", time="when", weight="stars"))
    plain = Interactions.from_frame(renamed, user="who", item="what")
    assert plain.time is None
    assert plain.weight is None


def test_a_column_of_categories(tmp_path):
    # Item 1 has its category twice, item 2 has two, item 3 none.
    rows = [("a", 1, "toy"), ("b", 1, "toy"), ("a", 2, "toy"), ("b", 2, "book"), ("b", 3, None)]
    table = pl.DataFrame(rows, schema=["user_id", "item_id", "class"], orient="row")
    for path, write in ((tmp_path / "data.csv", table.write_csv), (tmp_path / "data.parquet", table.write_parquet)):
        write(path)
    pandas = pd.DataFrame(rows, columns=table.columns)
    lines = "\n".join("::".join(str(entry or "") for entry in row) for row in [tuple(table.columns), *rows])
    (tmp_path / "data.dat").write_text(lines)
    found = [read_interactions(path, category="class") for path in sorted(tmp_path.iterdir())]
    found += [Interactions.from_frame(frame, category="class") for frame in (table, table.lazy(), pandas)]
    for interactions in found:
        assert interactions.categories.names == ("book", "toy")
        assert interactions.categories.matrix(3).tolist() == [[0, 1], [1, 1], [0, 0]]
        assert len(interactions) == 5
    for numbers in ([7, 8, 7, 8, None], [7.0, 8.0, 7.0, 8.0, math.nan]):  # pandas makes the first like the second
        coded = Interactions.from_frame(pandas.assign(**{"class": numbers}), category="class")
        assert coded.categories.names == ("7", "8")
    beyond = Interactions.from_frame(
        table.with_columns(pl.Series("class", [1e30, 1e30, 7.0, 7.0, None])), category="class"
    )
    assert len(beyond.categories) == 2
    assert read_interactions(tmp_path / "data.csv").categories is None
    with pytest.raises(
        DataError, match=r"no column 'clas' among .*; name the category column, such as category='class'"
    ):
        read_interactions(tmp_path / "data.csv", category="clas")


def test_a_text_without_a_header(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("1,2,3\n1,3,5\n")
    for columns in (["user_id", "item_id", "time"], "user_id, item_id,time"):
        data = read_interactions(path, columns=columns)
        assert (data.items.ids.to_list(), data.time.tolist()) == ([2, 3], [3, 5])


@pytest.mark.parametrize("name", ["log [1]", "log *", "what?"])
def test_names_of_files_are_no_patterns(tmp_path, name):
    for other in ("log 1", "log 2", "what!"):
        (tmp_path / f"{other}.csv").write_text("user_id,item_id\n1,1\n")
    table = pl.DataFrame({"user_id": [7], "item_id": [8]})
    (tmp_path / f"{name}.csv").write_text(table.write_csv())
    (tmp_path / f"{name}.dat").write_text("user_id::item_id\n7::8\n")
    with (tmp_path / f"{name}.parquet").open("wb") as file:
        table.write_parquet(file)
    folder = tmp_path / f"{name} folder"
    folder.mkdir()
    shutil.copy(tmp_path / f"{name}.parquet", folder / "part.parquet")
    for path in (*(tmp_path / f"{name}.{kind}" for kind in ("csv", "dat", "parquet")), folder):
        assert read_interactions(path).items.ids.to_list() == [8]


def test_lists_of_categories(tmp_path):
    lists = [["toy", "book"], ["book"], [], None, ["toy"]]
    table = pl.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": [1, 2, 3, 4, 2], "genres": lists})
    table.write_parquet(tmp_path / "data.parquet")
    data = read_interactions(tmp_path / "data.parquet", category="genres")
    assert (len(data), data.categories.names) == (5, ("book", "toy"))
    assert data.categories.matrix(4).tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]
    with pytest.raises(DataError, match=r"categories must be text or numbers, or lists of them \(got Struct"):
        Interactions.from_frame(table.with_columns(pl.struct("user_id").alias("genres")), category="genres")
    for cells in ([{"toy"}, {"book"}, None], [b"\xff", b"a", None]):  # polars has no sets, and only some bytes are text
        kinds = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 2, 3], "genres": cells})
        with pytest.raises(
            DataError, match=r"categories must be text or numbers, or lists of them \(got (Object|Binary)"
        ):
            Interactions.from_frame(kinds, category="genres")
    with pytest.raises(DataError, match=r"'genres' must be numbers \(got List"):
        Interactions.from_frame(table.filter(pl.col("genres").is_not_null()), weight="genres")


def test_arrays_of_categories():
    cells = [np.array(["toy", "book"]), np.array(["book"]), np.array([]), None]
    table = pd.DataFrame({"user_id": [1, 1, 2, 2], "item_id": [1, 2, 3, 4], "genres": cells})
    data = Interactions.from_frame(table, category="genres")
    assert data.categories.names == ("book", "toy")
    assert data.categories.matrix(4).tolist() == [[1, 1], [1, 0], [0, 0], [0, 0]]


def test_labels_in_series_of_pandas():
    data = Interactions.from_frame(pd.DataFrame({"user_id": list("aab"), "item_id": list("xyx")}))
    items = pd.Series(["y", "x"])
    assert data.with_titles(items, pd.Series(["Y", "X"])).titles == ("X", "Y")
    labels = data.with_categories(items, pd.Series(["old", "new"]).astype("category")).categories
    assert labels.matrix(2).tolist() == [[1, 0], [0, 1]]
    with pytest.raises(DataError, match="the values must be a list"):
        data.with_titles(items, "YX")


def test_rows_of_large_files_keep_their_order(tmp_path):
    num_rows, draw = 300_000, torch.Generator().manual_seed(0)  # several parts of a file, read side by side
    user, item = (torch.randint(bound, (num_rows,), generator=draw).tolist() for bound in (5_000, 700))
    table = pl.DataFrame({"user_id": [f"u{n}" for n in user], "item_id": item, "time": range(num_rows)})
    table.write_csv(tmp_path / "data.csv")
    table.write_parquet(tmp_path / "data.parquet", row_group_size=10_000)
    for name in ("data.csv", "data.parquet"):
        data = read_interactions(tmp_path / name)
        assert data.users.ids.to_list() == sorted({f"u{n}" for n in user})
        assert data.users.decode(data.user) == table["user_id"].to_list()
        assert data.items.decode(data.item) == item
        assert data.time.tolist() == list(range(num_rows))


def test_a_column_in_two_roles(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("user_id,item_id,order\n3,3,2\n10,10,1.5\n")
    assert read_interactions(path, weight="item_id", time="user_id").weight.tolist() == [3, 10]
    with pytest.raises(DataError, match=r"'order' has a fraction, 1\.5"):
        read_interactions(path, weight="order")
    with pytest.raises(DataError, match="users and items cannot be one column, 'user_id'; name two"):
        read_interactions(path, item="user_id")
    data = read_interactions(path, time="user_id", category="user_id")
    assert data.user.tolist() == data.item.tolist() == [0, 1]
    assert (data.time.tolist(), data.categories.names) == ([3, 10], ("10", "3"))


def test_text_columns_of_parquet_files(tmp_path):
    path = tmp_path / "data.parquet"
    kinds = {"user_id": pl.Categorical, "rating": pl.String, "timestamp": pl.String}
    frame().cast(kinds).write_parquet(path)
    check(read_interactions(path))
    kinds["user_id"] = pl.Enum(["b", "a"])
    check(Interactions.from_frame(frame().cast(kinds)))


def test_dates_become_unix_seconds(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("user_id,item_id,time\n1,1,1970-01-02\n1,2,1970-01-01\n")
    assert read_interactions(path).time.tolist() == [86400, 0]
    dates = pd.DataFrame({"user_id": [1], "item_id": [1], "time": pd.to_datetime(["1970-01-01 00:01"])})
    assert Interactions.from_frame(dates).time.tolist() == [60]


@pytest.mark.parametrize(
    ("fractions", "expected"),
    [
        ((".0", ".000", ""), [7, 7, 7]),
        ((".9", "", ".3"), [7_900, 7_000, 7_300]),
        ((".9", ".500001", ".3"), [7_900_000, 7_500_001, 7_300_000]),
    ],
)
def test_dates_with_fractions_of_a_second_keep_their_order(tmp_path, fractions, expected):
    path = tmp_path / "data.csv"
    dates = [f"1970-01-01 00:00:07{fraction}" for fraction in fractions]
    path.write_text("user_id,item_id,time\n" + "".join(f"1,{item},{date}\n" for item, date in enumerate(dates)))
    assert read_interactions(path).time.tolist() == expected
    for unit in ("datetime64[us]", "datetime64[ns]"):  # the result does not depend on how a table holds them
        frame = pd.DataFrame({"user_id": 1, "item_id": range(3), "time": pd.Series(dates).astype(unit)})
        assert Interactions.from_frame(frame).time.tolist() == expected


def test_whole_seconds_of_pandas():
    times = pd.Series(["1970-01-02", "1970-01-01 00:01"]).astype("datetime64[s]")
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "time": times})
    assert Interactions.from_frame(frame).time.tolist() == [86_400, 60]
    with pytest.raises(DataError, match=r"'time' must have a value in every row \(got none in row 2\)"):
        Interactions.from_frame(frame.assign(time=times.where([True, False])))


def test_dates_that_differ_by_nanoseconds():
    frame = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "time": [2, -1]})
    dates = frame.with_columns(pl.col("time").cast(pl.Datetime("ns", "UTC")))
    assert Interactions.from_frame(dates).time.tolist() == [2, -1]


def test_times_beyond_float_precision(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(f"user_id,item_id,time\n1,1,{2**53 + 1}\n1,2,{2**53}\n")
    assert read_interactions(path).time.tolist() == [2**53 + 1, 2**53]
    table = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "time": [2**53 + 3, 2**53]})
    for part, kind in enumerate((pl.Int64, pl.Float64)):  # together they are floating-point numbers
        table[part:][:1].cast({"time": kind}).write_parquet(tmp_path / f"{part}.parquet")
    with pytest.raises(DataError, match="'time' has 9007199254740996 as a floating-point number, which loses"):
        read_interactions(tmp_path)
    table[1:].cast({"time": pl.Float64}).write_parquet(tmp_path / "0.parquet")
    assert read_interactions(tmp_path).time.tolist() == [2**53, 2**53]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("user_id,item_id\n", "the table has no rows"),
        ("user_id,item_id\r1,1\r", "its lines end with a carriage return alone"),
        (
            "1::7::5\n",
            "the first line, '1::7::5', is no header; name its 3 columns, as in columns='user_id,item_id,...'",
        ),
        ("a b b " + "b " * 100, r"the first line, 'a( b){29} \.\.\.', is no header"),
        ("user_id\n1\n", "only one column, 'user_id', was found .tried tab, '::', comma, semicolon, '|', space."),
        ("userId,item_id\n1,1\n", "no column 'user_id' among 'userId', 'item_id'; .* user='userId'"),
        ("user_id,movie\n1,1\n", "no column 'item_id' among 'user_id', 'movie'; name the item column"),
        ("user_id,item_id\n1,1\n,2\n", "'user_id' must have a value in every row .got none in row 2"),
        ("user_id,item_id\n1,1\n2\n", "'item_id' must have a value in every row .got none in row 2"),
        ("user_id,item_id\n1,1\n1,2,3\n", "a line has more fields than there are columns, or the first row has fewer"),
        ("user_id,item_id\n1\n2,3\n", "or the first row has fewer; quote fields that hold the separator"),
        ("user_id,item_id\n\n2,3\n", "the first row has fewer; .*, and write the separators of empty ones"),
        *(
            (f"user_id,item_id,title\n{rows}", 'a double quote within a field; quote such fields, and write each " in')
            for rows in ('1,2,5" disk\n2,3,x\n', '1,2,5" disk\n2,3,x\n3,4,7" disk\n4,5,z\n', '1,2,"x" y\n2,3,z\n')
        ),
        ('{"user_id": 1, "item_id": 2}\n', "it holds JSON and no table; convert it to CSV or Parquet"),
        ('[{"user_id": 1}]', "it holds JSON and no table"),
        ('user_id,item_id\n1,1\n"",2\n', "'user_id' must have a value in every row .got none in row 2"),
        ("user_id\titem_id\n1\ta\n2\t \n", "'item_id' must have a value in every row .got none in row 2"),
        ("user_id::item_id\n::1\n2::1\n", "'user_id' must have a value in every row .got none in row 1"),
        ("user_id::item_id\n1::1\n1::2::3\n", "more fields than the 2 columns of the first line, in 1 of the lines"),
        ("user_id,item_id\n1,1.5\n1,2\n", "'item_id' has floating-point ids such as 1.5"),
        ("user_id,item_id\n1,9223372036854775808\n1,2\n", "beyond 64-bit integers, 9223372036854775808"),
        ("user_id,item_id,rating\n1,1,nan\n", "'rating' has a non-finite value, nan, in row 1"),
        ("user_id,item_id,rating\n1,1,1e39\n", "'rating' has a non-finite value, inf"),
        ("user_id,item_id,rating\n1,1,good\n", "'rating' has a value that is no number: 'good'"),
        ("user_id,item_id,rating\n1,1,\n", "'rating' must have a value in every row"),
        ("user_id,item_id,time\n1,1,inf\n", "'time' has a non-finite value, inf, in row 1"),
        ("user_id,item_id,time\n1,1,1.5\n", "'time' has a fraction, 1.5"),
        ("user_id,item_id,time\n1,1,soon\n", "'time' has values that are neither numbers nor dates.*'soon'"),
        ("user_id,item_id,time\n1,1,01/02/2024\n", "neither numbers nor dates such as 2024-05-31: '01/02/2024'"),
        ("user_id,item_id,time\n1,1,02-01-2024 10:00\n", "neither numbers nor dates.*: '02-01-2024 10:00'"),
        ("user_id,item_id,time\n1,1,2024-05-31\n1,2,01/02/2024\n", "neither numbers nor dates.*: '01/02/2024'$"),
        ("user_id,item_id,time\n1,1,2024-05-31\n1,2,2024-13-01\n", "neither numbers nor dates.*'2024-13-01'$"),
    ],
)
def test_files_that_cannot_be_used_get_one_sentence(tmp_path, content, message):
    path = tmp_path / "data.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as error:
        read_interactions(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    with path.open(newline="") as file:
        assert file.read() == content


def test_a_pipe_is_refused_before_it_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # would be waited for
    with pytest.raises(DataError, match="pipe: it is a pipe or a device, and what is read more than once must be a f"):
        read_interactions(tmp_path / "pipe")


def test_separators_that_do_not_fit(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(text(","))
    with pytest.raises(DataError, match=r"separator ';' finds only one column, .* it looks like comma"):
        read_interactions(path, separator=";")
    path.write_text(text("@@"))
    with pytest.raises(DataError, match="only one column"):
        read_interactions(path)
    check(read_interactions(path, separator="@@"))


def test_other_files_that_cannot_be_used(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file or directory"):
        read_interactions(tmp_path / "absent.csv")
    with pytest.raises(DataError, match=r"no \.parquet files"):
        read_interactions(tmp_path)
    path = tmp_path / "data"
    path.write_bytes(b"user_id,item_id\n\xe9,1\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_interactions(path)
    path.write_bytes(b"\xff\x00\n")
    with pytest.raises(DataError, match="not utf-8 text"):
        read_interactions(path)
    for end in (-20, -9):
        path.write_bytes(gzip.compress(text(",").encode())[:end])
        with pytest.raises(DataError, match=r"the gzip file is damaged.*; fetch it again"):
            read_interactions(path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read"):
        read_interactions(path)
    with pytest.raises(DataError, match=r"polars or pandas DataFrame \(got list"):
        Interactions.from_frame([1, 2])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"user_id": [0.5, 1.0, 2.0]}, "floating-point ids such as 0.5"),
        ({"item_id": [1, None, 2]}, "'item_id' must have a value in every row .got none in row 2"),
        ({"item_id": [1, None, None]}, "every row .got none in 2 rows, first in row 2"),
        ({"timestamp": [1.0, float("nan"), 2.0]}, "'timestamp' has a non-finite value"),
        ({"rating": [1.0, 2.0, float("-inf")]}, "'rating' has a non-finite value, -inf, in row 3"),
        ({"timestamp": [Decimal("1.0"), Decimal("2.5"), Decimal("2.4")]}, r"'timestamp' has a fraction, 2\.5"),
        ({"rating": [date(2024, 5, 31)] * 3}, r"'rating' must be numbers \(got Date\)"),
        ({"rating": [b"1"] * 3}, r"'rating' must be numbers \(got Binary\)"),
    ],
)
def test_tables_that_cannot_be_used(column, message):
    with pytest.raises(DataError, match=message):
        Interactions.from_frame(frame().with_columns(**{name: pl.Series(values) for name, values in column.items()}))


def test_other_encodings(tmp_path):
    path = tmp_path / "items.txt"
    path.write_text("1|Amélie\n2|Léon\n", encoding="latin-1")
    table = read_table(path, columns=["item_id", "title"], encoding="latin-1").collect()
    assert table["title"].to_list() == ["Amélie", "Léon"]


def test_hetero_round_trip():
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = 3, 2
    data["user", "interacts", "item"].edge_index = torch.tensor([[2, 0], [1, 0]])
    data["user", "interacts", "item"].time = torch.tensor([5, 4])
    data["user", "interacts", "item"].weight = torch.tensor([0.5, 1.0])
    data["item"].category = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    interactions = Interactions.from_hetero(data)
    assert (interactions.num_users, interactions.num_items, len(interactions)) == (3, 2, 2)
    assert interactions.user.tolist() == [2, 0]
    assert interactions.time.tolist() == [5, 4]
    assert interactions.weight.tolist() == [0.5, 1.0]
    assert interactions.categories.names == ("0", "1")
    assert torch.equal(interactions.categories.matrix(2), data["item"].category)


def test_hetero_that_cannot_be_used():
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = 1, 1
    data["user", "buys", "item"].edge_index = torch.tensor([[0], [0]])
    with pytest.raises(DataError, match=r"no edges .*interacts.* .found: .*buys"):
        Interactions.from_hetero(data)
    data["user", "interacts", "item"].edge_index = torch.tensor([[0], [4]])
    with pytest.raises(DataError, match="edges name item 4, but the graph has 1 item nodes"):
        Interactions.from_hetero(data)


def test_categories_are_multi_label():
    base = Interactions.from_frame(frame())
    with_categories = base.with_categories([3, 7, 7, 7], ["x", "y", "x", "y"])
    assert with_categories.categories.names == ("x", "y")
    assert with_categories.categories.matrix(2).tolist() == [[1, 0], [1, 1]]
    with pytest.raises(DataError, match=r"99.*ignore_unknown"):
        base.with_categories([3, 99], ["x", "y"])
    assert base.with_categories([3, 99], ["x", "y"], ignore_unknown=True).categories.names == ("x",)
    with pytest.raises(DataError, match="missing value"):
        base.with_categories([3], [None])


def test_titles():
    base = Interactions.from_frame(frame())
    assert base.with_titles([7], ["seven"]).titles == ("3", "seven")
    with pytest.raises(DataError, match="8"):
        base.with_titles([8], ["eight"])


def test_take_and_compact():
    full = Interactions.from_frame(frame()).with_categories([3, 7], ["x", "y"]).with_titles([3, 7], ["t", "s"])
    part = full.take(torch.tensor([2]))
    assert (part.num_users, part.num_items, part.time.tolist()) == (2, 2, [20])
    small = part.compact()
    assert (small.users.ids.to_list(), small.items.ids.to_list()) == (["b"], [3])
    assert (small.user.tolist(), small.item.tolist(), small.titles) == ([0], [0], ("t",))
    assert small.categories.matrix(1).tolist() == [[1, 0]]


FINGERPRINT = "a2423a18a2f1568b5bd0dd4dc8f2e21120ccc0c8ce2b4f4bcb010919ab79ca9a"  # on every machine, in every version


def test_fingerprint():
    base = Interactions.from_frame(frame())
    assert base.fingerprint() == FINGERPRINT
    chunked = pl.concat([frame()[:1], frame()[1:]], rechunk=False)
    assert Interactions.from_frame(chunked).fingerprint() == FINGERPRINT
    others = [
        replace(base, time=base.time + 1),
        replace(base, time=None),
        replace(base, weight=None),
        base.take(torch.tensor([1, 0, 2])),
        base.with_categories([3], ["x"]),
        Interactions.from_frame(frame().with_columns(user_id=pl.Series(["bb", "a", "bb"]))),
    ]
    assert len({FINGERPRINT, *(other.fingerprint() for other in others)}) == len(others) + 1


def test_wrong_values_by_hand():
    base = Interactions.from_frame(frame())
    with pytest.raises(ValueError, match=r"'item' must be in \[0, 2\)"):
        replace(base, item=torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match=r"'time' must be torch\.int64 of shape"):
        replace(base, time=torch.tensor([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="'titles' must hold 2"):
        replace(base, titles=("one",))


def test_movielens_1m(shared_data):
    interactions = read_interactions(shared_data / "ml-1m" / "ratings.chronological.tsv.gz")
    assert (interactions.num_users, interactions.num_items, len(interactions)) == (6040, 3416, 999611)
    assert set(interactions.weight.unique().tolist()) == {1, 2, 3, 4, 5}
    assert int(interactions.time.min()) == 0


def test_movietweetings_without_header(shared_data):
    path = shared_data / "movietweetings-100k" / "ratings.dat"
    interactions = read_interactions(path, columns=NAMES)
    assert (interactions.num_users, interactions.num_items, len(interactions)) == (16554, 10506, 100000)


def test_amazon_toys_with_dates(shared_data):
    path = shared_data / "amazon-toys" / "interactions.csv.gz"
    interactions = read_interactions(path, time="reviewTime", weight="overall")
    assert (interactions.num_users, interactions.num_items, len(interactions)) == (19412, 11924, 167597)
    assert (int(interactions.time.min()), int(interactions.time.max())) == (964742400, 1406073600)  # from date(1)
