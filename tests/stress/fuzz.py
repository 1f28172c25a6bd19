"""Odd calls of the public API and of the command line: whatever is wrong gets an error of ours, in time.

An error is ours where the toolkit raised it on purpose: the last frame of its traceback is in the package and stands at
a ``raise``. Its message must name what was got, and what to do.
"""

from __future__ import annotations

import dis
import json
import re
import shlex
import signal
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from support.toy_bench import ToyBench, spec
from typer.testing import CliRunner

import toolkit
from toolkit.benchmark.report.write_report import write_report
from toolkit.benchmark.run.spec import load_spec, make_spec
from toolkit.cli import app
from toolkit.games.analytic import and_gate
from toolkit.synergy.f_syn import F_SYN
from toolkit.testing import FakeVLM, fake_sample

PACKAGE = Path(toolkit.__file__).parent
SECONDS = 120
"""So long a call may take on a busy machine; none of them needs one second."""

CURE = re.compile(
    r"say how|list each|"
    r"expected|must|needs?\b|give|choose|use\b|did you mean|known|at least|at most|one of|load|make|write|remove|"
    r"save|pass|call|ask|install|allow|leave|there is|end in|try|restore|move|shorten|missing|are for|not among|"
    r"different|same|explain|is not a|has no",
    re.IGNORECASE,
)


class Odd:
    """Something that nobody expects."""

    def __repr__(self) -> str:
        return "<odd>"


ODD: list[Callable[[], Any]] = [
    lambda: None, lambda: True, lambda: 0, lambda: -1, lambda: 10**30, lambda: 1.5, lambda: float("nan"),
    lambda: float("inf"), lambda: 1j, lambda: "", lambda: " ", lambda: "\x00", lambda: "\ud800", lambda: "x" * 9000,
    lambda: "no-such-name", lambda: "a:b", lambda: "../..", lambda: "/", lambda: "~", lambda: b"bytes", lambda: [],
    lambda: [None], lambda: ["blur", 3], lambda: (), lambda: {}, lambda: {"a": 1}, lambda: {1, 2}, lambda: iter([1]),
    Odd, lambda: Odd, lambda: len, lambda: Path("/nonexistent/file"), lambda: Path("."), lambda: np.zeros(0),
    lambda: np.zeros((3, 3)), lambda: np.array(["a"]), lambda: np.array([None]), lambda: np.float64(2.0),
    lambda: np.int64(3), lambda: range(3), lambda: Image.new("RGB", (3, 2)), lambda: and_gate(4, 2),
]  # fmt: skip


def odd_values() -> st.SearchStrategy[Any]:
    """Odd objects, and any text, number or list of them."""
    simple = st.one_of(st.text(max_size=30), st.integers(), st.floats(), st.booleans(), st.none())
    return st.one_of(st.sampled_from(ODD).map(lambda make: make()), simple, st.lists(simple, max_size=4))


def pictures() -> st.SearchStrategy[Any]:
    """Arrays of any form, images of any mode."""
    sizes = st.tuples(*[st.integers(0, 5)] * 2)
    arrays = st.builds(
        lambda shape, kind: np.zeros(shape, dtype=kind),
        st.lists(st.integers(0, 5), max_size=4).map(tuple),
        st.sampled_from(["u1", "f4", "f8", "i8", "?", "c8", "U1", "O", "M8[s]"]),
    )
    modes = st.sampled_from(["1", "L", "P", "RGB", "RGBA", "CMYK", "LAB", "HSV", "I", "F", "I;16", "LA", "PA", "YCbCr"])
    return st.one_of(arrays, st.builds(Image.new, modes, sizes))


GAME = and_gate(4, 3, image=[0], text=[1])
SAMPLE = fake_sample(grid=(2, 2), question="is it red ?", evidence=((0,), (2,)))
FIELDS_OF_A_SAMPLE: dict[str, Any] = {
    "id": "a", "image": lambda: Image.new("RGB", (8, 8)), "question": "is it red ?", "instruction": "",
    "choices": ("yes", "no"), "answer": "yes", "image_id": "i", "dataset": "d", "category": "c", "truth": None,
}  # fmt: skip
FOUR = and_gate(4, 4, image=[0], text=[2])
FOUND = toolkit.Attribution(np.arange(7.0), GAME.players, "mine", "yes")
SPEC = {"models": ["tiny-llava-grounded"], "datasets": ["scenes-existence"], "explainers": ["random"]}


@cache
def tiny() -> Any:
    """An embedded model."""
    return toolkit.load_vlm("tiny-llava-grounded", device="cpu")


@dataclass(frozen=True)
class Target:
    """A function with arguments that it accepts."""

    call: Callable[..., Any]
    fine: Mapping[str, Callable[[], Any]]
    odd: Mapping[str, st.SearchStrategy[Any]]


def target(call: Callable[..., Any], *, kinds: Mapping[str, Any] | None = None, **fine: Any) -> Target:
    """A target; fine arguments are values, or functions without arguments that make one."""
    made = {k: v if callable(v) and getattr(v, "__name__", "") == "<lambda>" else (lambda v=v: v)
            for k, v in fine.items()}  # fmt: skip
    return Target(call, made, kinds or {})


def run_toys(**fields: Any) -> object:
    """A run of the toy bench."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = spec(Path(folder) / "run", models=["gate-and"], samples=1, seeds=[0], **fields)
        return toolkit.run_benchmark(wanted, workspace=ToyBench)


def folder_samples(name: str, content: Any) -> object:
    """Samples of a folder with this question file."""
    with tempfile.TemporaryDirectory() as folder:
        Image.new("RGB", (8, 8)).save(Path(folder) / "a.png")
        (Path(folder) / "b.png").write_bytes(b"no picture")
        (Path(folder) / name).write_bytes(
            content if isinstance(content, bytes) else str(content).encode(errors="replace")
        )
        return toolkit.load_samples(f"folder:{folder}", n=None)


def spec_file(content: Any) -> object:
    """A specification read from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        path.write_bytes(content if isinstance(content, bytes) else str(content).encode(errors="replace"))
        return load_spec(path)


@cache
def finished() -> dict[str, bytes]:
    """Files of a finished run of the toy bench."""
    with tempfile.TemporaryDirectory() as folder:
        toolkit.run_benchmark(spec(Path(folder) / "run", models=["gate-and"], samples=1, seeds=[0]), workspace=ToyBench)
        run = Path(folder) / "run"
        return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def odd_run(name: str, content: Any, how: str) -> object:
    """The report of a run in whose folder a file has other content, or is a folder."""
    with tempfile.TemporaryDirectory() as folder:
        for path, data in finished().items():
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).write_bytes(data)
        names = sorted(finished())
        path = Path(folder) / (names[hash(name) % len(names)] if name not in names else name)
        data = content if isinstance(content, bytes) else str(content).encode(errors="replace")
        path.unlink()
        if how == "folder":
            path.mkdir()
        elif how != "gone":
            path.write_bytes(data if how == "content" else finished()[str(path.relative_to(folder))] + data)
        data = None
        return write_report(Path(folder))


def stored(content: Any, ending: str) -> object:
    """A result read from a file with this content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"found{ending}"
        path.write_bytes(content if isinstance(content, bytes) else str(content).encode(errors="replace"))
        return toolkit.load(path)


def saved(result: Any, name: Any) -> object:
    """A result written to a file."""
    with tempfile.TemporaryDirectory() as folder:
        return toolkit.save(result, f"{folder}/{name}" if isinstance(name, str) else name)


LISTING = st.one_of(
    st.binary(max_size=60),
    st.builds(lambda q, c, a: f"image,question,choices,answer\na.png,{q},{c},{a}\n", *[st.text(max_size=12)] * 3),
)
JSONL = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda image, question, choices, more: json.dumps(
            {"image": image, "question": question, "choices": choices, **more}
        ),
        st.sampled_from(["a.png", "b.png", "../a.png", "", "c.png", 3, None, "\x00", "a.png/", "x" * 300]),
        st.one_of(st.text(max_size=20), st.none(), st.integers(), st.just("\ud800")),
        st.one_of(st.none(), st.text(max_size=8), st.lists(st.one_of(st.text(max_size=3), st.integers()), max_size=3)),
        st.dictionaries(st.sampled_from(["answer", "id", "category", "extra"]), st.one_of(st.text(), st.integers())),
    ),
)
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
RESULT = st.one_of(
    st.binary(max_size=60),
    JSON_VALUES.map(json.dumps),
    st.builds(
        lambda kind, fields, arrays: json.dumps(
            {"file": "synergy-toolkit result", "schema": 1, "kind": kind, "fields": fields, "arrays": arrays}
        ),
        st.sampled_from(["attribution", "game values", "score", "", None, 3]), JSON_VALUES, JSON_VALUES,
    ),
)  # fmt: skip
FIELDS = st.sampled_from(sorted(toolkit.BenchmarkSpec.model_fields))
YAML = st.one_of(
    st.binary(max_size=60), st.text(max_size=60),
    st.builds(lambda field, value: json.dumps({**SPEC, field: value}), FIELDS, JSON_VALUES),
)  # fmt: skip
TEXTS = st.text(max_size=40)
PLAYERS = GAME.players


def spec_of(field: str, value: Any) -> object:
    """A specification with one other field, made in two ways."""
    make_spec({**SPEC, field: value})
    return toolkit.BenchmarkSpec(**{**SPEC, field: value})


TARGETS: dict[str, Target] = {
    "load_image_question": target(
        toolkit.load_image_question,
        image=lambda: np.zeros((8, 8), np.uint8),
        question="is it red ?",
        choices=("yes", "no"),
        answer="yes",
        instruction="Say yes or no.",
        kinds={"image": pictures(), "question": TEXTS},
    ),
    "load_samples": target(
        toolkit.load_samples,
        name="scenes-existence",
        split="test",
        n=1,
        seed=0,
        prior_strength=0.5,
        revision=None,
        source=None,
        instruction="scenes",
        streaming=False,
    ),
    "a folder in CSV": target(
        folder_samples, name="questions.csv", content="", kinds={"name": st.just("questions.csv"), "content": LISTING}
    ),
    "a folder in JSONL": target(
        folder_samples, name="questions.jsonl", content="", kinds={"name": st.just("questions.jsonl"), "content": JSONL}
    ),
    "load_vlm": target(
        toolkit.load_vlm,
        name="tiny-llava-grounded",
        device="cpu",
        dtype="float32",
        players="tokens",
        revision=None,
        attention="sdpa",
        max_tokens=4096,
        max_pixels=None,
        max_tiles=None,
        four_bit=False,
    ),
    "wrap": target(
        toolkit.wrap,
        model=lambda: tiny().model,
        processor=lambda: tiny().adapter.processor,
        name="n",
        players="tokens",
        max_tokens=None,
    ),
    "explain a fake": target(
        toolkit.explain,
        explainer="random",
        vlm=lambda: FakeVLM(FOUR),
        sample=SAMPLE,
        target="yes",
        baseline="blur",
        seed=0,
        players=None,
    ),
    "explain a model": target(
        toolkit.explain,
        explainer="random",
        vlm=lambda: tiny(),
        sample=SAMPLE,
        target="yes",
        baseline="blur",
        seed=0,
        players="tokens",
    ),
    "measure": target(
        toolkit.measure,
        vlm=lambda: FakeVLM(FOUR),
        samples=lambda: [SAMPLE],
        explainers=lambda: ["random"],
        metrics=lambda: ["f-syn"],
        steps=2,
        baseline="blur",
        seeds=(0,),
        watch=None,
    ),
    "diagnose": target(
        toolkit.diagnose,
        vlm=lambda: FakeVLM(FOUR),
        samples=lambda: [SAMPLE] * 2,
        baseline="blur",
        baselines=("blur", "mean"),
        seed=0,
        progress=None,
    ),
    "Sample": target(toolkit.Sample, **FIELDS_OF_A_SAMPLE | {"question": "is it ?"}),
    "ask an odd Sample": target(
        lambda **fields: toolkit.explain("occlusion", FakeVLM(FOUR), toolkit.Sample(**fields)), **FIELDS_OF_A_SAMPLE
    ),
    "Attribution": target(
        toolkit.Attribution,
        scores=lambda: np.zeros(7),
        players=PLAYERS,
        explainer="mine",
        target="yes",
        n_evaluations=0,
        n_gradients=0,
        seconds=0.0,
        convergence_delta=None,
        details=lambda: {},
    ),
    "Players": target(toolkit.Players, labels=("a", "b"), modality=("image", "text")),
    "Players.make": target(toolkit.Players.make, image=("a",), text=("b",)),
    "Corners": target(toolkit.Corners, both=1.0, image=0.5, text=0.5, empty=0.5),
    "Score": target(
        toolkit.Score,
        metric=F_SYN,
        value=0.5,
        fractions=lambda: np.zeros(2),
        curve=lambda: np.zeros(2),
        n_evaluations=0,
        reason=None,
    ),
    "synergistic_faithfulness": target(
        toolkit.synergistic_faithfulness, game=GAME, attribution=FOUND, steps=2, tie_seeds=(0,)
    ),
    "insertion_deletion": target(
        toolkit.insertion_deletion, game=GAME, attribution=FOUND, modality="image", steps=2, tie_seeds=(0,)
    ),
    "total_interaction": target(toolkit.total_interaction, game=GAME),
    "shapley_interaction_index": target(
        toolkit.shapley_interaction_index,
        game=GAME,
        group_a=lambda: [0],
        group_b=lambda: [4],
        groups="rest",
        budget=None,
        rng=None,
        estimator="shapiq",
    ),
    "a game": target(GAME, coalitions=lambda: np.ones((1, 7), dtype=bool)),
    "a model's game": target(
        lambda coalitions, target, baseline: tiny().game(SAMPLE, target=target, baseline=baseline)(coalitions),
        coalitions=lambda: np.ones((1, 40), dtype=bool),
        target="yes",
        baseline="blur",
    ),
    "GameValues.of": target(toolkit.GameValues.of, game=GAME, coalitions=lambda: np.ones((1, 7), dtype=bool)),
    "save": target(saved, result=FOUND, name="found.json"),
    "load": target(
        stored, content="", ending=".json", kinds={"content": RESULT, "ending": st.sampled_from([".json", ".npz"])}
    ),
    "load a path": target(toolkit.load, path="/nonexistent/found.json"),
    "to_frame": target(toolkit.to_frame, result=FOUND),
    "make_spec": target(
        spec_of,
        field="samples",
        value=1,
        kinds={"field": st.one_of(FIELDS, FIELDS, TEXTS), "value": st.one_of(odd_values(), JSON_VALUES)},
    ),
    "load_spec": target(spec_file, content="", kinds={"content": YAML}),
    "load_spec of a path": target(load_spec, path="/nonexistent/spec.yaml"),
    "run_benchmark": target(toolkit.run_benchmark, spec=None),
    "run_benchmark of names": target(
        toolkit.run_benchmark,
        spec=lambda: toolkit.BenchmarkSpec(**{**SPEC, "models": ["no-such-model"], "out": "/nonexistent/run"}),
    ),
    "a run's folder": target(
        odd_run,
        name="spec.json",
        content="x",
        how="content",
        kinds={
            "name": st.sampled_from(["spec.json", "records.parquet", "samples.parquet", "tables/corners.csv"]) | TEXTS,
            "content": st.one_of(st.binary(max_size=40), JSON_VALUES.map(json.dumps)),
            "how": st.sampled_from(["content", "content", "added", "folder", "gone"]),
        },
    ),
    "write_report": target(write_report, folder="/nonexistent/run"),
    "validate_metric": target(
        toolkit.validate_metric, metric="no-such-metric", models=lambda: [], plan=None, seed=0, workers=1
    ),
}

WORDS = {
    "explain @picture 'is it red ?' --explainer random --steps 1 --no-cache --out @page": "--model --explainer "
    "--choices --answer --baseline --steps --seed --budget --players --device --dtype --instruction --max-pixels --out "
    "--revision",
    "benchmark run --models tiny-llava-grounded --datasets scenes-existence --explainers random --samples 1 --dry-run":
    "--models --datasets --explainers --samples --seeds --steps --baseline --executor --workers --set --preset "
    "--source --max-failed --revision --players --device ''",
    "benchmark report": "''",
    "benchmark compare /nonexistent": "'' --out",
    "diagnose --model no-such-model --samples 2": "--dataset --split --baseline --seed --out --source "
    "--samples --model",
    "maps --models no-such-model": "--samples --explainers --out",
    "sanity --models no-such-model": "--samples --explainers --out",
    "dial --model no-such-model": "--samples --out --model",
    "validate --metrics no-such-metric": "--models --samples --out --seed --workers",
    "report-card no-such-explainer": "--model --samples --out ''",
    "train no-such-recipe": "--out --seed ''",
    "models": "--evaluate '' --no-such-option",
    "explainers": "''",
    "datasets": "''",
    "": "'' --debugg",
}  # fmt: skip
"""A command line that is quick, and the options (or '' for an argument) that get odd words."""

ODD_WORDS = [
    "", " ", "-1", "0", "1e9", "nan", "no-such-name", "a:b", "os:path", "json:loads", "/", "/nonexistent/x", ".", "..",
    "~nobody/x", "a,b,,c", ",", "=", "a=b", "samples=[", "steps=0", "x" * 3000, "\x00", "\ud800", "é", "--", "-",
    "yes,no", "yes", "grid:0x0", "grid:3x3", "segments:x", "words", "cuda", "cpu", "float99", "folder:/nonexistent",
    "tiny-llava", "https://example.org/a.png", "random,random", "oracle", "kernel-shap", "9" * 25, "@picture", "@page",
]  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One call: what is called, and with what."""

    name: str
    run: Callable[[], Any]
    shown: str


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """A call of the API or, once in four, of the command line."""
    if draw(st.integers(0, 3)) == 0:
        name = draw(st.sampled_from(sorted(WORDS)))
        words = shlex.split(name)
        for option in draw(st.lists(st.sampled_from(shlex.split(WORDS[name])), min_size=1, max_size=2)):
            word = draw(st.one_of(st.sampled_from(ODD_WORDS), st.text(max_size=12)))
            words += [word] if option == "" else [option, word]
        return Call(f"$ {words[0] if words else ''}", lambda: command(words), f"{words!r}")
    name = draw(st.sampled_from(sorted(TARGETS)))
    chosen = TARGETS[name]
    odd = draw(st.sets(st.sampled_from(sorted(chosen.fine)), min_size=1, max_size=2))
    if chosen.odd and not set(chosen.odd) & odd:
        odd |= set(chosen.odd)
    given = {key: draw(chosen.odd[key] if key in chosen.odd else odd_values()) for key in sorted(odd)}
    if name.startswith(("a folder", "a run", "load_spec")) and not name.endswith("path"):
        given = {key: draw(strategy) for key, strategy in chosen.odd.items()}
    fine = {key: make() for key, make in chosen.fine.items() if key not in given}
    return Call(name, lambda: chosen.call(**fine, **given), _shown(given))


def _shown(given: Mapping[str, Any]) -> str:
    try:
        return repr(given)[:300]
    except Exception as error:
        return f"{list(given)} ({type(error).__name__} in repr)"


class CommandError(AssertionError):
    """The command line said something that does not help."""


def command(words: list[str]) -> None:
    """Run the command line in this process.

    Raises:
        CommandError: A traceback, another status than 0 or 2, or no single line that says what to do.
    """
    with tempfile.TemporaryDirectory() as folder:
        Image.new("RGB", (48, 48), (200, 30, 30)).save(Path(folder) / "picture.png")
        places = {"@picture": f"{folder}/picture.png", "@page": f"{folder}/page.html"}
        result = CliRunner().invoke(app, [places.get(word, word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    said = result.stderr.replace(folder, "@folder")
    if result.exit_code not in (0, 2):
        raise CommandError(f"status {result.exit_code}: {said[:300]}")
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    if result.exit_code == 2 and "Usage:" not in said and (len(lines) != 1 or not CURE.search(lines[0])):
        raise CommandError(f"no single line with a cure: {said[:300]}")


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt the block after so many seconds."""

    def end(_number: int, _frame: object) -> None:
        raise TimeoutError(f"it hung for {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def is_ours(error: BaseException) -> bool:
    """Whether the toolkit raised it on purpose: its last frame is ours and stands at a ``raise``."""
    last = list(traceback.walk_tb(error.__traceback__))[-1][0]
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if at is None or not Path(last.f_code.co_filename).is_relative_to(PACKAGE):
        return False
    return dis.opname[last.f_code.co_code[at.tb_lasti]] == "RAISE_VARARGS"


def fault(call: Call) -> str | None:
    """What is wrong with how a call ends, in one line; None where nothing is."""
    try:
        with time_limit(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call.run()
    except CommandError as error:
        return f"{call.name}: {error}"
    except BaseException as error:
        said = str(error)
        if is_ours(error) and len(said.split()) >= 5 and CURE.search(said):
            return None
        frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(PACKAGE)]
        where = f"{Path(frames[-1].filename).relative_to(PACKAGE)}:{frames[-1].lineno}" if frames else "outside"
        why = "not a cure" if is_ours(error) else "not ours"
        return f"{call.name}: {type(error).__name__} at {where} ({why}): {said[:200]!r}"
    return None


def fuzz(n: int, *, number: int = 0) -> tuple[Counter[str], list[str]]:
    """Make so many calls by a seed: how many of what, and the faults."""
    made: Counter[str] = Counter()
    faults: list[str] = []

    @settings(
        max_examples=n, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @seed(number)
    @given(calls())
    def one(call: Call) -> None:
        made["command line" if call.name.startswith("$") else "public API"] += 1
        found = fault(call)
        if found is not None:
            faults.append(f"{found} <- {call.shown}")

    one()
    return made, faults
