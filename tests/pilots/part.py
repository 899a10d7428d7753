"""The part of the contract that every further kind of cluster is held against.

The whole of it holds for workers on this machine; what may differ elsewhere is how workers come, find the
head, and are ended.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from hepflow.model.protocols import Executor
from tests.contract import test_executor as commands
from tests.contract import test_setting as settings
from tests.contract.loop import Loop
from tests.contract.test_executor import Bench

PART: Final[tuple[Callable[[Bench], None], ...]] = (
    commands.test_a_command_succeeds_and_its_output_is_digested,
    commands.test_an_exit_code_fails_the_attempt_with_the_last_line_of_stderr,
    commands.test_a_missing_output_is_told_with_what_is_there,
    commands.test_a_time_limit_ends_the_whole_group,
    commands.test_words_reach_the_program_as_they_are,
    commands.test_a_queued_attempt_is_cancelled_without_running,
    commands.test_a_running_attempt_gets_time_to_end_and_is_then_killed,
    commands.test_a_call_whose_worker_was_killed_is_lost,
    commands.test_files_are_arguments_by_path_and_outputs_by_name,
    commands.test_an_exception_is_told_with_its_place_and_the_users_frames,
    settings.test_an_output_may_be_a_file_or_a_directory,
)


def hold(executor: Executor, loop: Loop, folder: Path) -> None:
    """Hold the part against one executor, which lives through all of it."""
    for number, promise in enumerate(PART):
        place = folder / str(number)
        place.mkdir()
        promise(Bench(executor, loop, place))
        loop.forget()
