"""Tables of the HTML report."""

from netshare.evaluation.render.html_table import table


def test_cells_are_escaped_unless_they_are_markup():
    heads, rows = ["<a>", "n"], [["<b>x</b>", "1"]]
    assert "&lt;b&gt;x&lt;/b&gt;" in table(heads, rows, numeric_from=1)
    marked = table(heads, rows, numeric_from=1, is_markup=True)
    assert "<td><b>x</b></td>" in marked and "<th>&lt;a&gt;</th>" in marked


def test_numbers_are_aligned_right_and_texts_among_them_are_not():
    made = table(["", "n", "note"], [["row", "1", "text"]], numeric_from=1, texts=[2])
    assert '<td>row</td><td class="n">1</td><td>text</td>' in made


def test_a_table_without_heads_has_no_head():
    assert "<thead>" not in table(["", ""], [["a", "b"]], numeric_from=9)
