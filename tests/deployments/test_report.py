"""What a deployment says that it changed."""

import pytest

from deployments.apply import Change, print_table


def test_in_a_pipe_each_change_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    note = "not in the file any more; prefect deployment delete retrain/retrain-before-the-others"
    changes = [
        Change("deployment", "retrain/retrain-before-the-others", "skipped", note),
        Change("deployment", "retrain/retrain-weekly", "unchanged"),
    ]
    print_table(changes)
    first, second = capsys.readouterr().out.splitlines()
    assert first.rstrip().endswith(note)
    assert second.split() == ["retrain/retrain-weekly", "unchanged"]
