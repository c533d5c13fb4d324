import gzip

import pytest

from graphmi.data import DataError, LeaveOneOut, deduplicate, open_data, read_sequences
from graphmi.data.sequence_file import item_lists

TEXT = "7 30 10 20\n5 10 40\n9 20 10 30 20\n"
PACKED = gzip.compress(TEXT.encode(), mtime=0)
HISTORIES = {7: [30, 10, 20], 5: [10, 40], 9: [20, 10, 30, 20]}


def write(folder, text, name="sequences.txt"):
    content = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder / name


def histories(data):
    """The external ids of each user's items by time."""
    rows = zip(data.users.decode(data.user), data.time.tolist(), data.items.decode(data.item), strict=True)
    found = {}
    for user, time, item in sorted(rows):
        assert time == len(found.setdefault(user, []))  # positions 0, 1, 2, ...
        found[user].append(item)
    return found


@pytest.mark.parametrize("name", ["sequences.txt", "sequences.txt.gz", "gzip.txt"])
@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.rstrip("\n"),
        TEXT.replace("\n", " \r\n"),
        TEXT.replace(" ", "\t"),
        "\ufeff" + TEXT,
        TEXT.replace(" ", "\u2028\x0c"),
    ],
)
def test_items_come_in_the_order_of_their_line(tmp_path, name, text):
    content = gzip.compress(text.encode()) if name == "gzip.txt" else text  # the content counts, not the name
    data = read_sequences(write(tmp_path, content, name))
    assert histories(data) == HISTORIES
    assert data.weight is None
    assert data.categories is None


def test_ids_that_are_not_all_integers_stay_strings(tmp_path):
    data = read_sequences(write(tmp_path, "ann B01 7\nbob B01\n"))
    assert histories(data) == {"ann": ["B01", "7"], "bob": ["B01"]}
    assert histories(read_sequences(write(tmp_path, "007 1\n7 1\n"))) == {"007": [1], "7": [1]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("1 2 3\n\n2 3\n", "line 2 is empty; remove such lines"),
        ("1 2 3\n2 3\n  \n", "line 3 is empty"),
        ("1 2 3\n2\n", "line 2 has a user without items; remove such lines"),
        ("1 2\n2 2\n1 3\n", "line 3 repeats the user '1'; a user has one line"),
        ("1 2.5\n", "the list of items has floating-point ids such as 2.5"),
        ("1 9223372036854775808\n", "beyond 64-bit integers"),
        (b"\xff\xfe1 2\n", "the file is not UTF-8 text"),
        (PACKED[:-9], "the gzip file is damaged"),
        (PACKED[:-8] + bytes(8), "the gzip file is damaged"),  # its checksum
        (PACKED[:10] + bytes([255]) + PACKED[11:], "the gzip file is damaged"),  # its first block
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=rf"^{path}: .*{message}"):
        read_sequences(path)


def test_item_lists_may_be_empty_but_not_repeated(tmp_path):
    path = tmp_path / "lists.txt"
    path.write_text("7 3 1\n8\n9 1\n")
    assert item_lists(path).rows() == [(7, 3), (7, 1), (9, 1)]
    path.write_text("7 3\n\n")
    with pytest.raises(DataError, match=r"lists\.txt: line 2 is empty; remove such lines"):
        item_lists(path)
    path.write_text("7 3\n7 4\n")
    with pytest.raises(DataError, match="line 2 repeats the user '7'"):
        item_lists(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file"):
        read_sequences(tmp_path)


def test_open_data_knows_the_format(tmp_path):
    path, attributes = write(tmp_path, TEXT), write(tmp_path, '{"10": [1]}', "attributes.json")
    data = open_data(path, format="sequences", attributes=str(attributes))
    assert histories(data) == HISTORIES
    assert data.categories.names == ("1",)
    dataset = LeaveOneOut()(deduplicate(data))
    assert dataset.test.items.decode(dataset.test.item) == [20, 30]  # the last of users with three items or more
    assert len(open_data(write(tmp_path, "user_id,item_id\n1,1\n", "table.csv"), format="table")) == 1


def test_wrong_formats_and_options_say_what_there_is(tmp_path):
    path = write(tmp_path, TEXT)
    with pytest.raises(DataError, match=r"is no header; .* format='sequences' .*--columns\.format='sequences'"):
        open_data(path)
    with pytest.raises(DataError, match=r"'format' must be table or sequences .got 'lists'"):
        open_data(path, format="lists")
    with pytest.raises(DataError, match=r"format 'sequences' has no option 'user' .its options: attributes"):
        open_data(path, format="sequences", user="who")
    with pytest.raises(DataError, match=r"format 'table' has no option 'genre' .its options: user, .*, attributes"):
        open_data(path, genre="x")
