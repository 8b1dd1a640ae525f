from prefect.settings import get_current_settings


def test_the_server_waits_between_two_looks_at_its_queue():
    """Prefect cuts the seconds down to a whole number, and turns in a loop for 0."""
    assert int(get_current_settings().server.services.task_run_recorder.flush_interval) >= 1
