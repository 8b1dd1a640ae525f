import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tasks import progress
from tasks.errors import SourceError, SourceUnreachableError
from tasks.ingest import download
from tasks.ingest.pace import Timings
from tests.unit.ingest import tiny
from tests.unit.ingest.hosts import Answer, Host, serving

SIZE = len(tiny.ARCHIVE)
WRONG = bytes(SIZE)
CUT = 50_000


def fetch(folder: Path, timings: Timings, *urls: str, idle_timeout_seconds: float = 5.0) -> Path:
    (folder / "locks").mkdir(exist_ok=True)
    (folder / "downloads").mkdir(exist_ok=True)
    return download.fetch(
        urls,
        tiny.PINNED,
        folder / "downloads",
        folder / "locks",
        idle_timeout_seconds=idle_timeout_seconds,
        timings=timings,
    )


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "downloads").iterdir())


def test_a_download_gives_the_whole_file_and_leaves_nothing_else(tmp_path, timings):
    with serving(tiny.ARCHIVE) as host:
        path = fetch(tmp_path, timings, host.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert left_over(tmp_path) == ["tiny.tar.gz"]
    assert host.requests[0]["accept-encoding"] == "identity"


def test_what_was_downloaded_is_not_asked_for_again(tmp_path, timings):
    with serving(tiny.ARCHIVE) as host:
        fetch(tmp_path, timings, host.url)
        fetch(tmp_path, timings, host.url)

    assert len(host.requests) == 1


def test_a_download_that_was_altered_on_disk_is_downloaded_again(tmp_path, timings):
    with serving(tiny.ARCHIVE) as host:
        fetch(tmp_path, timings, host.url).write_bytes(WRONG)
        path = fetch(tmp_path, timings, host.url)

    assert path.read_bytes() == tiny.ARCHIVE


def test_a_cut_connection_is_resumed_where_it_was_cut(tmp_path, timings):
    with serving(tiny.ARCHIVE, Answer(cut_after=CUT)) as host:
        path = fetch(tmp_path, timings, host.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert host.ranges == [None, f"bytes={CUT}-"]
    assert host.requests[1]["if-range"] == '"v1"'


def test_cuts_without_number_are_no_failure_while_each_attempt_gets_further(tmp_path, timings):
    cuts = [Answer(cut_after=20_000)] * 10
    with serving(tiny.ARCHIVE, *cuts) as host:
        path = fetch(tmp_path, replace(timings, attempts=2), host.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert len(host.requests) == 11


def test_a_weak_validator_does_not_stand_in_if_range(tmp_path, timings):
    with serving(tiny.ARCHIVE, Answer(cut_after=CUT, etag='W/"v1"')) as host:
        fetch(tmp_path, timings, host.url)

    assert "if-range" not in host.requests[1]


def test_a_file_that_changed_between_attempts_is_begun_anew(tmp_path, timings):
    with serving(tiny.ARCHIVE, Answer(body=WRONG, cut_after=CUT, etag='"v0"')) as host:
        path = fetch(tmp_path, timings, host.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert len(host.requests) == 2


def test_a_server_that_ignores_ranges_is_read_from_the_start(tmp_path, timings):
    with serving(tiny.ARCHIVE, Answer(cut_after=CUT), always=Answer(ignores_range=True)) as host:
        path = fetch(tmp_path, timings, host.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert host.ranges == [None, f"bytes={CUT}-"]


def test_a_server_that_ignores_ranges_and_always_cuts_is_given_up(tmp_path, timings):
    with (
        serving(tiny.ARCHIVE, always=Answer(ignores_range=True, cut_after=CUT)) as host,
        pytest.raises(SourceUnreachableError, match=r"3 attempts in a row"),
    ):
        fetch(tmp_path, timings, host.url)

    assert len(host.requests) == 4


def test_a_download_is_resumed_by_the_next_host(tmp_path, timings):
    with (
        serving(tiny.ARCHIVE, Answer(cut_after=CUT), always=Answer(status=503)) as first,
        serving(tiny.ARCHIVE) as second,
    ):
        path = fetch(tmp_path, timings, first.url, second.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert second.ranges == [f"bytes={CUT}-"]
    assert "if-range" not in second.requests[0]


def test_a_download_is_resumed_by_the_next_run(tmp_path, timings):
    with serving(tiny.ARCHIVE, Answer(cut_after=CUT), always=Answer(status=503)) as host:
        with pytest.raises(SourceUnreachableError, match=r"50,000 bytes are kept"):
            fetch(tmp_path, timings, host.url)
        assert left_over(tmp_path) == ["tiny.tar.gz.part"]
    with serving(tiny.ARCHIVE) as host:
        path = fetch(tmp_path, timings, host.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert host.ranges == [f"bytes={CUT}-"]


def test_a_partial_file_is_never_taken_for_the_whole(tmp_path, timings):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "tiny.tar.gz.part").write_bytes(WRONG)

    with serving(tiny.ARCHIVE) as host:
        path = fetch(tmp_path, timings, host.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert host.ranges == [None]


def test_wrong_bytes_of_an_earlier_run_are_not_held_against_the_host(tmp_path, timings):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "tiny.tar.gz.part").write_bytes(WRONG[:CUT])

    with serving(tiny.ARCHIVE) as host:
        path = fetch(tmp_path, timings, host.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert host.ranges == [f"bytes={CUT}-", None]


def test_a_wrong_digest_leads_to_the_next_host(tmp_path, timings):
    with serving(WRONG) as first, serving(tiny.ARCHIVE) as second:
        path = fetch(tmp_path, timings, first.url, second.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert second.ranges == [None]


def test_a_wrong_digest_everywhere_leaves_no_file(tmp_path, timings):
    with serving(WRONG) as host, pytest.raises(SourceError, match=r"gave a file with SHA-256 [0-9a-f]{64}"):
        fetch(tmp_path, timings, host.url)

    assert left_over(tmp_path) == []


def test_another_size_is_refused_before_anything_is_read(tmp_path, timings):
    with (
        serving(tiny.ARCHIVE + b"x") as host,
        pytest.raises(SourceError, match=rf"offers {SIZE + 1:,} bytes, expected {SIZE:,}"),
    ):
        fetch(tmp_path, timings, host.url)

    assert len(host.requests) == 1


def test_more_bytes_than_expected_stop_a_download_that_announced_none(tmp_path, timings):
    with (
        serving(tiny.ARCHIVE * 3, always=Answer(says_length=False)) as host,
        pytest.raises(SourceError, match=rf"sends more than the {SIZE:,} bytes"),
    ):
        fetch(tmp_path, timings, host.url)

    assert len(host.requests) == 1


def test_a_page_that_asks_for_a_login_is_not_written_over_what_was_kept(tmp_path, timings):
    page = Answer(body=b"<html>", says_length=False, ignores_range=True, content_type="text/html; charset=utf-8")
    with (
        serving(tiny.ARCHIVE, Answer(cut_after=CUT), always=page) as host,
        pytest.raises(SourceError, match=r"web page instead[\s\S]*50,000 bytes are kept"),
    ):
        fetch(tmp_path, timings, host.url)


def test_a_refused_range_is_begun_anew(tmp_path, timings):
    with serving(tiny.ARCHIVE, Answer(cut_after=CUT), Answer(status=416)) as host:
        path = fetch(tmp_path, timings, host.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert host.ranges == [None, f"bytes={CUT}-", None]


def test_a_host_that_lacks_the_file_is_asked_once_and_one_in_trouble_again(tmp_path, timings):
    with serving(b"", always=Answer(status=404)) as lacking, serving(tiny.ARCHIVE, Answer(status=503)) as troubled:
        path = fetch(tmp_path, timings, lacking.url, troubled.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert (len(lacking.requests), len(troubled.requests)) == (1, 2)


def test_a_host_that_hangs_is_left_after_the_idle_timeout(tmp_path, timings):
    with serving(tiny.ARCHIVE, always=Answer(hangs=True, cut_after=CUT)) as first, serving(tiny.ARCHIVE) as second:
        path = fetch(tmp_path, replace(timings, attempts=1), first.url, second.url, idle_timeout_seconds=2)

    assert path.read_bytes() == tiny.ARCHIVE
    assert second.ranges != [None]


def test_when_all_hosts_fail_each_is_named_with_its_cause_in_a_line(tmp_path, timings):
    with ExitStack() as stack:
        lacking, troubled, wrong = (
            stack.enter_context(serving(body, always=answer))
            for body, answer in ((b"", Answer(status=404)), (b"", Answer(status=503)), (WRONG, Answer()))
        )
        with serving(b"") as closed:
            pass
        with pytest.raises(SourceUnreachableError) as caught:
            fetch(tmp_path, timings, *(host.url for host in (lacking, troubled, wrong, closed)))

    lines = str(caught.value).splitlines()
    assert lines[1:5] == [
        f"  {lacking.name}: 404 Not Found;",
        f"  {troubled.name}: 503 Service Unavailable (3 attempts in a row);",
        f"  {wrong.name}: gave a file with SHA-256 {tiny.pinned_file(WRONG).sha256}, "
        f"expected {tiny.PINNED.archive.sha256};",
        lines[4],
    ]
    assert lines[4].startswith(f"  {closed.name}: ConnectError")
    assert "--source PATH" in lines[5]


def test_a_url_that_is_none_is_one_failed_host(tmp_path, timings):
    with serving(tiny.ARCHIVE) as host:
        path = fetch(tmp_path, timings, "http://[broken/", "gopher://old.example/x", host.url)

    assert path.read_bytes() == tiny.ARCHIVE


SLOW = Answer(pause_seconds=0.02)
IMPATIENT = Timings(first_delay_seconds=0.0, report_seconds=0.0, slow_window_seconds=0.1, slow_bytes_per_second=10e6)


def test_a_slow_host_is_left_while_another_remains_and_its_bytes_are_kept(tmp_path):
    with serving(tiny.ARCHIVE, always=SLOW) as slow, serving(tiny.ARCHIVE) as quick:
        path = fetch(tmp_path, IMPATIENT, slow.url, quick.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert len(slow.requests) == 1
    assert quick.ranges != [None]


def test_the_last_host_may_be_slow(tmp_path):
    with serving(tiny.ARCHIVE, always=Answer(pause_seconds=0.005)) as slow:
        path = fetch(tmp_path, IMPATIENT, slow.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert len(slow.requests) == 1


def test_a_slow_host_has_a_second_turn_when_the_others_have_failed(tmp_path):
    with serving(tiny.ARCHIVE, SLOW) as slow, serving(b"", always=Answer(status=404)) as lacking:
        path = fetch(tmp_path, IMPATIENT, slow.url, lacking.url)

    assert path.read_bytes() == tiny.ARCHIVE
    assert len(slow.requests) == 2


def test_a_last_host_that_only_trickles_is_given_up(tmp_path):
    stalled = replace(IMPATIENT, stalled_bytes_per_second=10e6)
    with serving(tiny.ARCHIVE, always=SLOW) as host, pytest.raises(SourceUnreachableError, match="too slow"):
        fetch(tmp_path, stalled, host.url)


def test_delays_grow_and_jitter_between_failures_in_a_row(tmp_path, monkeypatch):
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    timings = Timings(attempts=4, first_delay_seconds=8.0)

    with serving(b"", always=Answer(status=503)) as host, pytest.raises(SourceUnreachableError):
        fetch(tmp_path, timings, host.url)

    assert [8 * 2**number <= delay <= 12 * 2**number for number, delay in enumerate(waited)] == [True] * 3
    assert len(set(waited)) == 3


def test_progress_names_the_host_and_is_reported_at_intervals(tmp_path, timings):
    def reports(report_seconds: float, host: Host) -> list[progress.Progress]:
        seen: list[progress.Progress] = []
        with progress.listen(seen.append):
            fetch(tmp_path, replace(timings, report_seconds=report_seconds), host.url).unlink()
        return seen

    with serving(tiny.ARCHIVE) as host:
        often, seldom = reports(0.0, host), reports(60.0, host)

    assert often[-1].done == often[-1].total == SIZE
    assert often[-1].unit == "bytes"
    assert often[-1].note.endswith(f"from {host.name}")
    assert len(often) > len(seldom) == 1


PROCESS = """
import sys
from pathlib import Path
from tasks.ingest import download
from tests.unit.ingest import tiny
path = download.fetch([sys.argv[1]], tiny.PINNED, Path(sys.argv[2]), Path(sys.argv[2]), idle_timeout_seconds=10)
assert path.read_bytes() == tiny.ARCHIVE
"""


def test_of_two_processes_one_downloads_and_both_have_the_file(tmp_path):
    with serving(tiny.ARCHIVE, always=Answer(pause_seconds=0.01)) as host:
        command = [sys.executable, "-c", PROCESS, host.url, str(tmp_path)]
        processes = [subprocess.Popen(command) for _ in range(2)]
        codes = [process.wait(60) for process in processes]

    assert codes == [0, 0]
    assert len(host.requests) == 1
