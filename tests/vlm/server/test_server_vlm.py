"""A model behind a server is asked exactly, patiently and discreetly, and says what it cannot tell."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.chat_server import ChatServer

import toolkit
from toolkit.cli.app import app
from toolkit.datasets.sample import Sample
from toolkit.explainers import EXPLAINERS, get_explainer
from toolkit.explainers.plugin import check_explainer
from toolkit.games.game import UnscoredError
from toolkit.games.target import Contrast, TargetError
from toolkit.vlm.engine.store import CoalitionStore
from toolkit.vlm.partition import PlayersError
from toolkit.vlm.server import chat_client
from toolkit.vlm.server.address import OPTIONS, parse_address
from toolkit.vlm.server.chat_client import KEY_VARIABLE, NotConfirmedError, ServerError
from toolkit.vlm.server.chat_request import without_words
from toolkit.vlm.server.server_vlm import ServerVLM

KEY = "sk-5up3r-s3cr3t"


@pytest.fixture(scope="module")
def near() -> toolkit.vlm.model.LoadedVLM:
    return toolkit.load_vlm("tiny-llava-grounded", device="cpu")


@pytest.fixture(scope="module")
def sample() -> Sample:
    return toolkit.load_samples("scenes-existence", n=1)[0]


@pytest.fixture
def server(near, monkeypatch) -> Iterator[ChatServer]:
    monkeypatch.setattr(chat_client, "FIRST_PAUSE", 0.0)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with ChatServer(near) as found:
        yield found


def of(server: ChatServer, options: str = "", **more) -> ServerVLM:
    return toolkit.load_vlm(server.name.replace("#", f"?{options}#"), players="grid:6x6", **more)


def spoken(token: str, **message: str) -> bytes:
    """An answer that begins with a token, and what else its message has."""
    top = {"token": token, "logprob": -0.1, "top_logprobs": [{"token": token, "logprob": -0.1}]}
    return json.dumps({"choices": [{"message": message, "logprobs": {"content": [top]}}]}).encode()


def image_coalitions(n: int, n_players: int, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).random((n, n_players)) < 0.5
    found[:, 36:] = True
    return found


def test_with_all_words_the_values_are_those_of_the_model_in_memory(server, near, sample) -> None:
    far = of(server)
    here, there = near.game(sample), far.game(sample)
    assert far.answer(sample).by_choice == pytest.approx(near.answer(sample).by_choice, abs=1e-6)
    assert there.players == here.players
    asked = image_coalitions(6, 42)
    assert there(asked) == pytest.approx(here(asked), abs=1e-3)  # pixels of eight bits
    assert np.ptp(here(asked)) > 0.05


def test_a_removed_word_is_not_in_the_text_and_a_removed_cell_not_in_the_image(server, sample) -> None:
    far = of(server)
    game = far.game(sample, baseline="mean")
    coalition = np.ones((1, 42), dtype=np.bool_)
    coalition[0, [7, 39]] = False
    game(coalition)
    words = sample.question.split()
    text = server.asked[-1]["messages"][0]["content"][1]["text"]
    assert text == f"{' '.join(words[:3] + words[4:])}\n{sample.instruction}"
    shown = np.asarray(far.masked_image(sample, coalition[0], baseline="mean")).astype(int)
    differs = (shown != np.asarray(sample.image.convert("RGB"))).any(axis=-1)
    side = sample.image.width // 6
    assert differs[side : 2 * side, side : 2 * side].any()
    differs[side : 2 * side, side : 2 * side] = False
    assert not differs.any()


@given(st.lists(st.booleans(), min_size=6, max_size=6))
def test_kept_words_stand_in_order_and_apart(kept: list[bool]) -> None:
    question, spans = "is it red-hot ?", ((0, 2), (3, 5), (6, 9), (9, 10), (10, 13), (14, 15))
    found = without_words(question, spans, np.array(kept))
    wanted = [question[a:b] for (a, b), k in zip(spans, kept, strict=True) if k]
    assert found == question if all(kept) else found.replace(" ", "") == "".join(wanted)
    assert "redhot" not in found


def test_only_explainers_that_ask_the_game_explain_it(server, sample) -> None:
    far = of(server).with_players("grid:2x2")
    for name in EXPLAINERS:
        needs = get_explainer(name).needs
        if needs & {"gradients", "attention", "activations"}:
            with pytest.raises(ValueError, match="behind a server, which gives neither gradients"):
                toolkit.explain(name, far, sample)
        elif "interaction" not in name and name not in ("kernel-shap", "eagle"):
            assert toolkit.explain(name, far, sample).players == far.players(sample)
    assert all(check.passed for check in check_explainer("occlusion", far, sample))


def test_a_target_outside_the_top_tokens_is_unscored_with_its_reason_and_never_zero(server, sample) -> None:
    far = of(server, "top_logprobs=1")
    game = far.game(sample)
    everything, nothing = np.ones((1, 42), dtype=np.bool_), np.zeros((1, 42), dtype=np.bool_)
    other = next(choice for choice in sample.choices if choice != game.target)
    assert game(everything)[0] > 0.5
    with pytest.raises(UnscoredError, match="not among the 1 most probable"):
        far.game(sample, target=other)(everything)
    with pytest.raises(UnscoredError) as found:
        game(np.concatenate([everything, nothing]))
    assert found.value.values[0] > 0.5
    assert math.isnan(found.value.values[1])
    table = toolkit.measure(far, [sample], ["random"], ["f-syn", "total-interaction"])
    assert table["value"].isna().all()
    assert table["reason"].str.contains("not among the 1 most probable").all()
    score = toolkit.total_interaction(game)
    assert math.isnan(score.value)
    assert "most probable" in score.reason


def test_it_is_asked_again_after_a_passing_error_and_not_after_a_lasting_one(server, sample) -> None:
    server.fault = lambda number, _: (503, {"Retry-After": "0"}, b"busy") if number < 2 else None
    assert of(server).answer(sample).text in sample.choices
    assert len(server.asked) == 3
    server.fault = lambda *_: (400, {}, b"no images here")
    with pytest.raises(ServerError, match=r"HTTP status 400: no images here.*top_logprobs"):
        of(server).answer(sample)
    assert len(server.asked) == 4
    server.fault = lambda *_: (302, {"Location": "http://127.0.0.1:9/elsewhere"}, b"")
    with pytest.raises(ServerError, match="HTTP status 302"):
        of(server).answer(sample)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>hello</html>", "no JSON; give its address up to the version"),
        (b'{"choices": [{"message": {"content": "yes"}, "logprobs": null}]}', "gives no log-probabilities of 'tiny'"),
        (b'{"error": "what"}', "gives no log-probabilities"),
        (spoken("<think>"), "'tiny' at .* thinks before it answers.*enable_thinking"),
        (spoken("Okay", reasoning_content="Okay"), "thinks before it answers"),  # opened by the template
        (spoken("Okay", reasoning="Okay"), "thinks before it answers"),
    ],
)
def test_an_answer_of_another_kind_is_one_sentence(server, sample, body: bytes, message: str) -> None:
    server.fault = lambda *_: (200, {}, body)
    with pytest.raises(ServerError, match=message):
        of(server).answer(sample)
    assert len(server.asked) == 1


def test_a_slow_server_and_a_dead_one_are_given_up(server, sample, monkeypatch) -> None:
    server.pause = 1.5
    with pytest.raises(ServerError, match=r"did not answer in 2 tries \(no answer within 1 s"):
        of(server, "timeout=1&tries=2").answer(sample)
    with pytest.raises(ServerError, match="did not answer in 5 tries"):
        toolkit.load_vlm("api:http://127.0.0.1:9/v1#tiny").answer(sample)


def test_another_tokenizer_than_expected_is_named(server, sample) -> None:
    server.spell = lambda token: token[:1]
    with pytest.raises(UnscoredError, match=r"none of the choices 'yes', 'no'.*may split 'yes' after 'y'"):
        of(server).answer(sample)
    server.spell = lambda token: token.replace("no", "n")
    with pytest.raises(UnscoredError, match="not every one of the choices"):
        of(server).answer(sample)  # the answer is no
    server.spell = lambda token: f"Ġ{token.capitalize()}"
    assert of(server).game(sample, target="no").token == " No"


def test_choices_and_players_that_a_server_cannot_tell_apart_are_refused(server, sample) -> None:
    question = Sample("s", sample.image, "which one ?", choices=("red", "red circle"))
    with pytest.raises(ValueError, match="'red' begins 'red circle'"):
        of(server).answer(question)
    for players in ("tokens", "words"):
        with pytest.raises(PlayersError, match="not known here"):
            toolkit.load_vlm(server.name, players=players)
    with pytest.raises(TargetError, match="answers count by their first token"):
        of(server).game(sample, target=Contrast("yes", "no"))
    with pytest.raises(ValueError, match="dtype cannot be chosen"):
        toolkit.load_vlm(server.name, dtype="float32")


def test_a_free_answer_is_explained_by_its_token(server, sample) -> None:
    free = Sample("free", sample.image, sample.question, instruction=sample.instruction)
    far = of(server)
    assert far.answer(free).text == far.answer(sample).text
    assert far.game(free)(np.ones((1, 42), dtype=np.bool_)) == pytest.approx(far.answer(sample).probability, abs=1e-6)


def test_few_requests_are_open_at_the_same_time_but_several(server, sample) -> None:
    server.pause = 0.02
    of(server, "concurrency=3").game(sample)(image_coalitions(12, 42))
    assert server.most_open == 3


def test_what_was_answered_is_asked_once_and_an_interrupted_call_goes_on(server, sample, tmp_path: Path) -> None:
    store = CoalitionStore(tmp_path)
    coalitions = image_coalitions(12, 42)
    server.fault = lambda number, _: (500, {}, b"") if number >= 8 else None
    with pytest.raises(ServerError, match="what it answered so far is kept"):
        of(server, "tries=1", store=store).game(sample)(coalitions)
    server.fault = lambda *_: None
    before = len(server.asked)
    again = of(server, "tries=3&timeout=50", store=store).game(sample)
    values = again(np.concatenate([coalitions, coalitions]))
    assert len(server.asked) - before == 1 + 12 - 7  # the answer itself is asked again
    assert values[:12].tolist() == values[12:].tolist()
    other = Sample("other", sample.image.rotate(90), sample.question, sample.instruction, sample.choices)
    of(server, "tries=1", store=store).game(other)(coalitions[:2])
    assert len(server.asked) - before == 6 + 3


def test_repeat_noise_is_measured(server, sample) -> None:
    game = of(server).game(sample)
    assert game.provenance()["repeat_noise"] == 0.0
    noisy = of(server).game(sample)
    drawn = iter([0.0, -0.1, 0.0])
    client = noisy.vlm.client
    ask = client.top_tokens
    client.top_tokens = lambda bodies: (  # type: ignore[method-assign]
        (i, {token: value + shift for token, value in top.items()})
        for (i, top), shift in zip(ask(bodies), drawn, strict=True)
    )
    p = game(np.ones((1, 42), dtype=np.bool_))[0]
    assert noisy.provenance()["repeat_noise"] == pytest.approx(p - p * math.exp(-0.1))


def test_no_image_leaves_this_machine_unless_somebody_agrees(sample, monkeypatch, capsys) -> None:
    name = "api:https://example.org/v1#big"

    def send(*_: object) -> None:
        raise AssertionError("sent")

    monkeypatch.setattr(chat_client.ChatClient, "_send", send)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    with pytest.raises(NotConfirmedError, match=r"1 request to example.org.*384 x 384 pixels.*--yes"):
        toolkit.load_vlm(name).answer(sample)
    with pytest.raises(AssertionError, match="sent"):
        toolkit.load_vlm(name, yes=True).answer(sample)
    spec = toolkit.BenchmarkSpec(models=[name], datasets=["scenes-existence"], explainers=["random"], progress=False)
    with pytest.raises(NotConfirmedError, match="every image would be sent to example.org"):
        toolkit.run_benchmark(spec)
    with pytest.raises(SystemExit):
        app(["benchmark", "run", "--models", name, "--datasets", "scenes-existence", "--explainers", "occlusion"])
    told = capsys.readouterr().err
    assert "behind a server: at most 169 requests per sample, 3,380 in all" in told
    assert "send every image to example.org?" in told


@pytest.mark.slow
def test_the_key_goes_to_the_server_and_nowhere_else(server, monkeypatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setenv("SYNERGY_TOOLKIT_CACHE", str(tmp_path / "cache"))
    keys = []

    def echo(number: int, headers: dict) -> tuple[int, dict, bytes] | None:
        keys.append(headers.get("Authorization"))
        return (401, {}, f"wrong key {KEY}".encode()) if 4 < number < 8 else None  # of the first sample

    server.fault = echo
    spec = toolkit.BenchmarkSpec(
        models=[server.name], datasets=["scenes-existence"], explainers=["occlusion", "random"], samples=2, steps=2,
        players="grid:2x2", out=tmp_path / "run", progress=False, bootstrap=100,
    )  # fmt: skip
    summary = toolkit.run_benchmark(spec)
    from toolkit.benchmark.report.write_report import write_report

    write_report(tmp_path / "run")
    server.fault = lambda *_: (401, {}, f"wrong key {KEY}".encode())
    toolkit.load_samples("scenes-existence", n=1)[0].image.save(tmp_path / "a.png")
    with pytest.raises(SystemExit):
        app(["explain", str(tmp_path / "a.png"), "is it red ?", "--model", server.name, "--out", f"{tmp_path}/p.html"])
    assert set(keys) == {f"Bearer {KEY}"}
    shards = [path.read_text() for path in (tmp_path / "run" / "shards").iterdir()]
    lines = [json.loads(line) for shard in shards for line in shard.splitlines()]
    records = [line for line in lines if line.get("kind") == "record"]
    good = [record for record in records if record["status"] == "ok"]
    assert len(records) == 4
    assert len(good) == 2
    assert good[0]["top_logprobs"] == 20
    assert good[0]["repeat_noise"] == 0.0
    assert "words: deleted" in good[0]["operator"]
    failed = next(record for record in records if record["status"] == "failed")
    assert "wrong key (the key)" in failed["reason"]
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    out = capsys.readouterr()
    assert "HTTP status 401: wrong key (the key)" in out.err
    assert len(written) > 10
    assert not [
        text for text in (*written, str(summary).encode(), out.out.encode(), out.err.encode()) if KEY.encode() in text
    ]
    assert any(path.suffix == ".npz" for path in (tmp_path / "cache").rglob("*"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("api:localhost:8000#m", "expected api:ADDRESS#MODEL"),
        ("api:http://localhost:8000/v1", "expected api:ADDRESS#MODEL"),
        ("api:http://me:secret@localhost/v1#m", "holds a user or a password"),
        ("api:http://localhost/v1?key=secret#m", "option 'key'; known: top_logprobs, concurrency, timeout, tries"),
        ("api:http://localhost/v1?tries=0#m", "expected a whole number of at least 1"),
    ],
)
def test_a_name_that_is_none_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as found:
        parse_address(name)
    assert "secret" not in str(found.value)


@pytest.mark.parametrize(
    ("host", "is_here"),
    [("localhost", True), ("127.1.2.3", True), ("[::1]", True), ("10.0.0.1", False), ("localhost.org", False)],
)
def test_only_this_machine_is_here(host: str, is_here: bool) -> None:
    assert parse_address(f"api:http://{host}:8000/v1#m").is_here is is_here


def test_the_page_runs(server, tmp_path: Path, monkeypatch) -> None:
    page = (Path(__file__).parents[3] / "notebooks/site/servers_and_formats.md").read_text(encoding="utf-8")
    name = re.search(r'"(api:[^"]+)"', page)[1]
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code.replace(name, server.name), names)
    assert np.isfinite(names["score"].value)
    assert set(names["about"]) == {"operator", "top_logprobs", "repeat_noise"}
    assert names["samples"][0].answer == "yes"
    assert all(f"?{option}=" in page for option in OPTIONS)
