"""Every feature, from every client's dialect to every upstream's and back: equal on the far side, or named among the losses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.translation import matrix
from tests.translation.asked import ASKED
from tests.translation.dialects import SHORT, pairs
from tests.translation.faults import marks
from tests.translation.feature import Asked, Failed, Said
from tests.translation.said import FAILED, SAID


def cells(features: Iterable[Any]) -> Any:
    """Parametrize a test with every cell of some features."""
    found = [
        pytest.param(
            feature,
            client,
            upstream,
            stream,
            id=f"{feature.title}-{SHORT[client]}-{SHORT[upstream]}-{'stream' if stream else 'plain'}",
            marks=marks(feature, client, upstream, stream),
        )
        for feature in features
        for client, upstream in pairs()
        for stream in (False, True)
    ]
    return pytest.mark.parametrize(("feature", "client", "upstream", "stream"), found)


@cells(ASKED)
def test_what_a_client_asks_arrives_or_is_named_as_lost(feature: Asked, client: str, upstream: str, stream: bool) -> None:
    matrix.asked(feature, client, upstream, stream)


@cells(SAID)
def test_what_an_upstream_answers_arrives_or_is_named_as_lost(feature: Said, client: str, upstream: str, stream: bool) -> None:
    found = matrix.said(feature, client, upstream, stream)
    assert not stream or found.mark == matrix.said(feature, client, upstream, stream=False).mark


@cells(FAILED)
def test_an_error_reads_as_one_of_the_clients_own(feature: Failed, client: str, upstream: str, stream: bool) -> None:
    matrix.failed(feature, client, upstream, stream)
