"""The report as Markdown: whole tables with the report's figures."""

from netshare.commands.main import main


def test_the_command_writes_tables_with_every_distance(tmp_path, sample_netflow, capsys):
    path = tmp_path / "report.md"
    name = str(sample_netflow)
    assert main(["evaluate", "--train", name, "--synthetic", name, "--markdown", str(path), "-q"]) == 0
    text = path.read_text()
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 4
    assert all(len({line.count("|") for line in block}) == 1 for block in blocks)
    assert len(blocks[0]) > 15 and "five-tuples | 100.0%" in text
    assert main(["evaluate", "--train", name, "--synthetic", name, "--markdown", str(tmp_path / "no" / "x.md")]) == 2
    assert "cannot be written" in capsys.readouterr().err
