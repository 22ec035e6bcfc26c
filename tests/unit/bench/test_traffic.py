"""What is sent is what it is said to be."""

import gzip
import json
from pathlib import Path

import pytest

from bench import ROOT
from bench.measuring.context import Bench
from bench.measuring.cores import Cores
from bench.measuring.failures import CannotMeasure
from bench.traffic.batches import batch, post, post_gzip
from bench.traffic.wrk import HOLE, REST_SECONDS, Answers, Script, filled, rotating


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(quick=True, cores=Cores.of({0, 1}), folder=tmp_path, report=print)


class TestBatches:
    def test_the_usual_one_is_five_events_in_one_and_a_half_kilobytes(self) -> None:
        body = batch("the-key")

        assert 1_450 <= len(body) <= 1_650
        assert json.loads(body)["writeKey"] == "the-key"
        assert len(json.loads(body)["batch"]) == 5

    @pytest.mark.parametrize("size", [64_000, 400_000])
    def test_large_ones_are_as_large_as_they_are_said_to_be(self, size: int) -> None:
        body = batch("the-key", events=100, event_bytes=size // 100)

        assert abs(len(body) - size) < size * 0.05

    def test_equal_seeds_make_equal_bytes_and_others_do_not(self) -> None:
        assert batch("k", seed=1) == batch("k", seed=1)
        assert batch("k", seed=1) != batch("k", seed=2)


class TestRequests:
    def test_the_length_is_that_of_the_body(self) -> None:
        head, _, body = post(b"{}", "a.b.c", {"X-More": "1"}).partition(b"\r\n\r\n")

        assert body == b"{}"
        assert b"\r\nContent-Length: 2" in head
        assert b"\r\nAuthorization: Bearer a.b.c\r\n" in head
        assert b"\r\nX-More: 1\r\n" in head

    def test_a_compressed_body_says_so(self) -> None:
        head, _, body = post_gzip(b"{}" * 99, "a.b.c").partition(b"\r\n\r\n")

        assert b"\r\nContent-Encoding: gzip\r\n" in head
        assert gzip.decompress(body) == b"{}" * 99


class TestLoads:
    def test_requests_in_turn_stand_behind_their_lengths(self, bench: Bench) -> None:
        load = rotating(bench, "two of them", [b"GET 1", b"GET\n22"])

        assert load.files[0].read_bytes() == b"5\nGET 16\nGET\n22"

    def test_fillings_stand_on_lines(self, bench: Bench) -> None:
        load = filled(bench, "two tokens", f"Bearer {HOLE}".encode(), ["a", "b"])

        assert [file.read_text() for file in load.files] == ["Bearer {hole}", "a\nb\n"]

    def test_a_pace_is_kept_by_the_number_of_connections(self, bench: Bench) -> None:
        load = filled(bench, "x", HOLE.encode(), ["a"]).paced(5_000)

        assert load.script is Script.PACED
        # Each sends once in its rest and the time that an answer takes.
        assert 5_000 * REST_SECONDS < load.connections < 1.2 * 5_000 * REST_SECONDS

    def test_the_pace_of_the_script_is_the_same(self) -> None:
        script = (ROOT / "bench/traffic/lua/paced.lua").read_text()

        assert f"REST = {REST_SECONDS * 1000:g} " in script

    def test_only_a_load_with_a_hole_is_paced(self, bench: Bench) -> None:
        with pytest.raises(ValueError, match="no hole"):
            rotating(bench, "x", [b"GET"]).paced(1)


class TestAnswers:
    @staticmethod
    def answers(refused: int = 0, failed: int = 0) -> Answers:
        return Answers(
            requests=100,
            microseconds=500_000,
            refused=refused,
            failed=failed,
            p50=1,
            p99=2,
        )

    def test_the_rate_is_a_second(self) -> None:
        assert self.answers().rate == 200.0

    def test_one_refusal_spoils_valid_traffic(self) -> None:
        assert self.answers().require_passed("x")
        with pytest.raises(CannotMeasure, match="x: 1 of 100 refused"):
            self.answers(refused=1).require_passed("x")

    def test_one_that_passes_spoils_a_flood(self) -> None:
        assert self.answers(refused=100).require_refused("x")
        with pytest.raises(CannotMeasure, match="x: 1 of 100 passed"):
            self.answers(refused=99).require_refused("x")

    def test_no_answer_is_neither(self) -> None:
        with pytest.raises(CannotMeasure, match="got no answer"):
            self.answers(failed=1).require_passed("x")
        with pytest.raises(CannotMeasure, match="got no answer"):
            self.answers(refused=100, failed=1).require_refused("x")
