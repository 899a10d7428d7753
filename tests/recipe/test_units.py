"""Quantities as people write them."""

from __future__ import annotations

import pytest

from hepflow.recipe.units import mebibytes, seconds


@pytest.mark.parametrize(
    ("written", "mib"),
    [("1 GB", 954), ("512 MiB", 512), ("2G", 1908), (4096, 4096), ("1.5 GiB", 1536), ("1 kB", 1),
     ("0", 0), ("1 TiB", 1024**2), ("100 MB", 96), ("3gi", 3072), (0.5, 1)],
)  # fmt: skip
def test_memory(written: object, mib: int) -> None:
    assert mebibytes(written) == mib


@pytest.mark.parametrize(
    ("written", "time"),
    [("30 min", 1800), ("2 h", 7200), ("1:30:00", 5400), ("90 s", 90), (45, 45), ("1.5h", 5400),
     ("2-00:00:00", 172800), ("1 h 30 min", 5400), ("1d", 86400), ("0.5", 0.5)],
)  # fmt: skip
def test_time(written: object, time: float) -> None:
    assert seconds(written) == time


@pytest.mark.parametrize("written", ["lots", "1 parsec", "", "-1 GB", True, None, [1], "1 GB GB"])
def test_what_is_no_memory_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="is not an amount of memory; write '2 GB'"):
        mebibytes(written)


@pytest.mark.parametrize("written", ["soon", "1 parsec", "", "-1 s", True, None, "1..2 s", "."])
def test_what_is_no_time_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="is not a time; write '30 min'"):
        seconds(written)


def test_a_clock_with_two_parts_could_be_read_twofold() -> None:
    with pytest.raises(ValueError, match="hours or minutes"):
        seconds("1:30")
