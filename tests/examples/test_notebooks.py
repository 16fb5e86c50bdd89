"""The notebooks that ship are short, are kept without outputs, and run from the first cell to the last."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "notebooks"
MAX_CODE_LINES = 40


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    """`first_trace.ipynb` after all of its cells were run, in a folder of a user's; a cell that raises is an error."""
    notebook = nbformat.read(FOLDER / "first_trace.ipynb", 4)
    where = {"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}}
    NotebookClient(notebook, timeout=400, kernel_name="python3", resources=where).execute()
    return notebook


def shown(cell: NotebookNode, form: str = "text/plain") -> str:
    """What a cell has printed or displayed, in this form."""
    return "".join(output.get("text", "") or output.get("data", {}).get(form, "") for output in cell.outputs)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_it_is_short_and_holds_no_outputs(path: Path) -> None:
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    code = code_cells(notebook)
    assert sum(len([line for line in cell.source.splitlines() if line.strip()]) for cell in code) < MAX_CODE_LINES
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert {cell.cell_type for cell in notebook.cells[::2]} == {"markdown"}, "sentences between the cells of code"


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_it_goes_from_a_data_frame_to_a_report(executed: NotebookNode) -> None:
    code = code_cells(executed)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    (fitting,) = (cell for cell in code if ".fit(" in cell.source)
    (sampling,) = (cell for cell in code if ".sample(" in cell.source)
    for cell in (fitting, sampling):
        assert any(output.output_type in ("stream", "display_data") for output in cell.outputs), (
            "progress while it runs"
        )
    assert "step 150/150" in shown(fitting)
    assert "seed 1" in shown(sampling)
    assert "<th>src_ip</th>" in shown(sampling, "text/html"), "a data frame"
    report = shown(code[-1], "text/html")
    assert "Synthetic packet trace" in report
    assert all(heading in report for heading in ("Fidelity", "Copying", "Consistency"))
