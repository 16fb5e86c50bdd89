"""Tables of the report: sorted by a click on a column's head (again: the other way round), plain without JavaScript."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape

# Sorts by number where a cell begins with one, else by text; rows without a figure stay at the end. Opens folded parts
# for printing.
SCRIPT = """
(function () {
  function key(row, column) {
    var cell = row.cells[column], text = cell ? cell.textContent.trim() : '';
    var number = parseFloat(text.replace(/,/g, '').replace(/^</, ''));
    return isNaN(number) ? text : number;
  }
  function compare(a, b) {
    if (typeof a === 'number' && typeof b === 'number') return a - b;
    return String(a).localeCompare(String(b));
  }
  function sort(head) {
    var column = head.cellIndex, body = head.closest('table').tBodies[0];
    var down = head.getAttribute('aria-sort') === 'descending';
    var sign = down ? 1 : -1;
    var rows = Array.prototype.map.call(body.rows, function (row) { return [key(row, column), row]; });
    rows.sort(function (a, b) {
      if ((a[0] === '') !== (b[0] === '')) return a[0] === '' ? 1 : -1;
      return sign * compare(a[0], b[0]);
    });
    rows.forEach(function (pair) { body.appendChild(pair[1]); });
    head.parentNode.querySelectorAll('th').forEach(function (each) { each.setAttribute('aria-sort', 'none'); });
    head.setAttribute('aria-sort', down ? 'ascending' : 'descending');
  }
  document.querySelectorAll('thead th').forEach(function (head) {
    head.tabIndex = 0;
    head.title = 'Sort by this column';
    head.setAttribute('aria-sort', 'none');
    head.addEventListener('click', function () { sort(head); });
    head.addEventListener('keydown', function (event) {
      if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); sort(head); }
    });
  });
  window.addEventListener('beforeprint', function () {
    document.querySelectorAll('details').forEach(function (each) { each.open = true; });
  });
})();
"""


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numeric_from: int,
    texts: Collection[int] = (),
    is_markup: bool = False,
) -> str:
    """A table that scrolls sideways where it is too wide; columns from `numeric_from` on are aligned right, but `texts`.

    `is_markup` says that the rows' cells are HTML already; heads are always text.
    """

    def cell(tag: str, index: int, text: str) -> str:
        style = ' class="n"' if index >= numeric_from and index not in texts else ""
        return f"<{tag}{style}>{text if is_markup and tag == 'td' else escape(text)}</{tag}>"

    head = "".join(cell("th", i, text) for i, text in enumerate(heads)) if any(heads) else ""
    body = "".join("<tr>" + "".join(cell("td", i, text) for i, text in enumerate(row)) + "</tr>" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'
