"""Files of measured sensitivities, good and bad."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.accuracy.measured import Sensitivities
from planner.errors import BadInputError
from profiles.sensitivities import read_sensitivities

ROWS = "layer,sparsity,loss\n"


def read(tmp_path: Path, content: str | bytes) -> Sensitivities:
    path = tmp_path / "s.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_sensitivities(path)


def test_rows_and_facts(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "\ufeff# by hand, one layer at a time\r\n# metric: top-1 in %: validation\r\n"
        '# Dense: 76.8\r\n#nodes: 2\r\n\r\nlayer, sparsity, loss\r\n"a,b",0.5,0.25\r\n'
        "_a,0.5,-0.1\r\na,1,1e-3\r\n#c,0,0\r\n",
    )
    assert found.metric == "top-1 in %: validation"
    assert (found.dense_value, found.nodes, found.source) == (76.8, 2, "s.csv")
    assert found.points == {
        "a,b": {0.5: 0.25},
        "_a": {0.5: -0.1},
        "a": {1.0: 0.001},
        "#c": {0.0: 0.0},
    }
    assert found.lines == {"a,b": 7, "_a": 8, "a": 9, "#c": 10}


def test_without_facts_nothing_is_made_up(tmp_path: Path) -> None:
    found = read(tmp_path, ROWS + "a,0.5,1")
    assert (found.metric, found.dense_value, found.nodes) == ("", None, None)


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "s.csv: no rows; give layer,sparsity,loss and a row per measurement"),
        (ROWS, "s.csv: no rows"),
        ("a,0.5,1\n", "s.csv, line 1: found 'a,0.5,1'; the first row must be layer,"),
        ("layer,loss,sparsity\n", "the first row must be layer,sparsity,loss"),
        (ROWS + "a,0.5\n", "s.csv, line 2: 2 values; give layer,sparsity,loss"),
        (ROWS + "a,0.5,1,2\n", "line 2: 4 values"),
        (ROWS + "a,90,1\n", "line 2, sparsity: found '90'; give S_comm from 0 to 1 (0.9, not 90)"),
        (ROWS + "a,-0.1,1\n", "line 2, sparsity: found '-0.1'"),
        (ROWS + "a,nan,1\n", "line 2, sparsity: found 'nan'"),
        (ROWS + "a,half,1\n", "line 2, sparsity: found 'half'"),
        (ROWS + "a,0.5,inf\n", "line 2, loss: found 'inf'; give points of the metric, finite"),
        (ROWS + "a,0.5,\n", "line 2, loss: found ''"),
        (ROWS + "a,0.5,=1+1\n", "line 2, loss: found '=1+1'"),
        (ROWS + "a,0,0.1\n", "line 2, loss: found '0.1' at sparsity 0; nothing is lost there"),
        (ROWS + "a,0.5,1\na,.5,1\n", "line 3: 'a' at sparsity 0.5 was given before"),
        (ROWS + '"a,0.5,1\n', "line 2: found"),
        ("# dense: many\n" + ROWS, "line 1, dense: found 'many'; give a finite number"),
        ("# nodes: 1\n" + ROWS, "line 1, nodes: found '1'; give 2 or more"),
        ("# nodes: 2\n# nodes: 3\n" + ROWS, "line 2: nodes was given before"),
        (b"\xff\xfe\x00", "is no UTF-8 text"),
        (b"\x00\x00\n", "line 1: found"),
        (ROWS + "a" * 200_000 + ",0.5,1\n", "line 2: found 'aaaa"),
        (ROWS + "a,0.5,1\n" * 3 + "\x1b[2J,7,7\n", "line 3: 'a' at sparsity 0.5"),
    ],
)
def test_one_line_for_every_bad_file(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(BadInputError) as caught:
        read(tmp_path, content)
    text = str(caught.value)
    assert message in text
    assert text.isprintable() and len(text) < 300


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no such file"):
        read_sensitivities(tmp_path / "none.csv")
    with pytest.raises(BadInputError, match="is a folder"):
        read_sensitivities(tmp_path)
