"""The command line: what it prints, what an error looks like, and exit codes."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

import toolkit
from toolkit import environment
from toolkit.cli import app
from toolkit.environment import Check, Diagnosis
from toolkit.paths import models_dir
from toolkit.vlm.loading.integrity import check_model

COMMANDS = (
    "doctor store models explainers datasets explain maps sanity dial diagnose benchmark train validate report-card"
).split()


def invoke(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny LLaVA with random weights, saved as any checkpoint is."""
    from toolkit.scenes.training.tiny import build_tiny
    from toolkit.scenes.vocabulary import VOCABULARY

    folder = tmp_path_factory.mktemp("models") / "untrained"
    network, processor = build_tiny("llava", VOCABULARY, seed=0)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    drawn = Image.new("RGB", (160, 120), (240, 240, 230))
    ImageDraw.Draw(drawn).ellipse((20, 20, 70, 70), fill=(214, 40, 40))
    drawn.save(tmp_path / "drawn.png")
    return tmp_path / "drawn.png"


@pytest.mark.parametrize(
    "words",
    [
        "study pairs --model",
        "study pairs --explainers",
        "study orders --model",
        "study masking --fills",
        "sanity --explainers",
        "maps --models",
        "validate --metrics",
        "benchmark run --preset demo --models",
    ],
)
def test_a_list_without_a_name_is_refused_before_anything_is_loaded(words: str, tmp_path: Path) -> None:
    code, _, error = invoke(*words.split(), " , ", "--out", str(tmp_path / "out"))
    assert code != 0
    assert f"{words.split()[-1]} ' , ': expected names separated by commas" in error
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_help_lists_every_command_and_is_quick() -> None:
    code = (
        "import sys; from toolkit.cli import app;"
        "print([name for name in ('torch', 'numpy', 'pandas', 'matplotlib', 'PIL', 'pyarrow') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
    code, out, _ = invoke("--help")
    assert code == 0
    assert all(f"\n  {command} " in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    code, out, _ = invoke(command, "--help")
    assert code == 0
    assert len(out.splitlines()[2].split()) > 3


def test_version() -> None:
    assert invoke("--version") == (0, f"{toolkit.__version__}\n", "")


def test_lists() -> None:
    for command, names in (
        ("datasets", ("scenes-existence", "repope", "cv-bench", "mmstar", "folder:PATH")),
        ("explainers", ("integrated-gradients", "attn-lrp", "random", "oracle")),
        ("models", ("tiny-llava-grounded", "llava-hf/llava-1.5-7b-hf")),
    ):
        code, out, _ = invoke(command)
        assert code == 0
        assert all(any(line.startswith(name + " ") for line in out.splitlines()) for name in names)


def test_module_is_the_command_line() -> None:
    run = subprocess.run([sys.executable, "-m", "toolkit", "--version"], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == toolkit.__version__


def test_output_that_nobody_reads_any_more_ends_without_a_word() -> None:
    read, write = os.pipe()
    os.close(read)
    run = subprocess.run([sys.executable, "-m", "toolkit", "models"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (run.stderr, run.returncode) == ("", 141)


def test_a_closed_output_is_no_defect() -> None:
    run = subprocess.run(["sh", "-c", f"{sys.executable} -m toolkit models >&-"], capture_output=True, text=True)
    assert (run.stderr, run.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("explain", "gone.png", "is it ?"), "error: there is no picture 'gone.png'\n"),
        (
            ("explain", "gone.png", "is it ?", "--explainer", "integrated-gradient"),
            "Did you mean 'integrated-gradients'",
        ),
        (("train", "tiny-lava-grounded"), "Did you mean 'tiny-llava-grounded'?"),
        (("diagnose", "--dataset", "scene-choice"), "Did you mean 'scenes-choice'?"),
        (("diagnose", "--model", "tiny-lava"), "unknown model 'tiny-lava'. Did you mean"),
        (("diagnose", "--out", "gone/a.html"), "there is no folder 'gone'"),
        (("diagnose", "--baseline", "blurr"), "Did you mean 'blur'?"),
        (("explain", "http://a.b/c.png", "is it ?"), "'http://a.b/c.png' is an address"),
        (("report-card", "os:path"), "cannot use 'os:path': TypeError: expected an explainer's name"),
        (("train", "tiny-llava-grounded", "--device", "banana"), "unknown device 'banana'; expected 'cpu'"),
        (("train", "tiny-llava-grounded", "--out", __file__), "is a file; give a folder"),
        (("validate", "--out", __file__), "is a file; give a folder"),
        (("dial", "--out", __file__), "is a file; give a folder"),
        (("dial", "--biased", "tiny-internvl-biased"), "are no twins"),
        (("dial", "--biased", "tiny-internvl-biased", "--train-steps", "1"), "are no twins"),
        (("dial", "--grounded", "tiny-lava-grounded"), "Did you mean 'tiny-llava-grounded'?"),
        (("dial", "--grounded", "tiny-lava-grounded", "--train-steps", "9"), "unknown embedded model"),
        (("benchmark", "run", "--revision", "a", "--preset", "paper"), "--revision 'a': expected NAME=COMMIT"),
        (("benchmark", "run", "--preset", "paper", "--revision", "Qwen/Qwen2.5-VL-3B-Instruct=main"), "got 'main'"),
        (("benchmark", "run", "--preset", "paper"), "OpenGVLab/InternVL3_5-2B-HF' can move; a benchmark run needs"),
        (("benchmark", "run", "--preset", "demo", "--explainers", "randm", "--dry-run"), "Did you mean 'random'?"),
        (("benchmark", "compare", "a", "b", "--out", __file__), "ends in .html"),
        (("benchmark", "run", "--preset", "dem"), "unknown preset 'dem'. Did you mean 'demo'?"),
        (("benchmark", "run", "a.yaml", "--preset", "demo"), "not both"),
        (("benchmark", "report", "gone"), "gone"),
        (("validate", "--metrics", "f-sin"), "Did you mean 'f-syn'?"),
        (("models", "--evaluate", "tiny-lava-biased"), "Did you mean 'tiny-llava-biased'?"),
        (("benchmark", "run", "gone.yaml"), "cannot read the specification gone.yaml"),
        (("benchmark", "run", "--models", "a"), "datasets: is missing"),
    ],
)
def test_library_errors_are_one_line_and_exit_2(words: tuple[str, ...], message: str) -> None:
    code, out, err = invoke(*words)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert "Traceback" not in out + err


def test_usage_errors_exit_2_too() -> None:
    for words in (("explain", "gone.png"), ("nothing",), ("diagnose", "--samples", "many")):
        code, _, err = invoke(*words)
        assert code == 2
        assert "Error" in err


def test_debug_shows_the_traceback() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "toolkit", "--debug", "explain", "gone.png", "is it ?"], capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "Traceback" in run.stderr
    assert "FileNotFoundError: there is no picture 'gone.png'" in run.stderr


def test_defects_are_owned(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Diagnosis:
        raise TypeError("a\nb")

    monkeypatch.setattr("toolkit.environment.doctor", broken)
    code, _, err = invoke("doctor")
    assert code == 1
    assert err.startswith("error: TypeError: a b. This is a defect of the toolkit")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("where", "words", "said"),
    [
        ("toolkit.environment.doctor", ("doctor",), "interrupted\n"),
        (
            "toolkit.benchmark.run.runner.run_benchmark",
            ("benchmark", "run", "--preset", "demo"),
            "interrupted: what was recorded is kept, and the same command goes on with it\n",
        ),
        (
            "toolkit.scenes.training.train.train",
            ("train", "tiny-llava-grounded", "--out", "new/tiny"),
            "interrupted: the same command goes on from the last checkpoint in new/tiny.work\n",
        ),
    ],
)
def test_ctrl_c_is_one_line_and_exits_130(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str, words: tuple[str, ...], said: str
) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(where, interrupted)
    code, _, err = invoke(*words)
    assert code == 130
    assert err.endswith(said)
    assert "Traceback" not in err


@pytest.mark.parametrize(("state", "expected"), [("ok", 0), ("note", 0), ("problem", 1)])
def test_doctor_exits_non_zero_only_for_problems(monkeypatch: pytest.MonkeyPatch, state: str, expected: int) -> None:
    diagnosis = Diagnosis((Check("thing", state, "found", "mend it"),))  # type: ignore[arg-type]
    monkeypatch.setattr("toolkit.environment.doctor", lambda: diagnosis)
    code, out, _ = invoke("doctor")
    assert code == expected
    assert "mend it" in out


def test_explain_writes_a_page_that_needs_nothing_else(model: Path, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    question = "is there a red circle ?"
    code, said, err = invoke(
        "explain", str(picture), question, "--model", str(model), "--explainer", "occlusion", "--out", str(out),
        "--answer", "yes", "--steps", "4",
    )  # fmt: skip
    assert code == 0
    assert str(out) in said
    page = out.read_text(encoding="utf-8")
    cropped = "the model sees only the middle 75 % of this picture, the rest is cropped away"
    assert err.splitlines()[0] == f"note: {cropped}"
    assert all(line.startswith("note: ") for line in err.splitlines())
    assert f"Note: {cropped}." in page
    assert "picture, 6 x 6 cells; the frame shows what the model sees" in page
    assert "random, the control, 1 of 4: F_syn" in page
    assert "The right answer is <b>yes</b>" in page
    assert page.count("<figure>") == 6  # the picture, two maps and three charts
    assert page.count("<img ") == page.count(' alt="') == 6
    assert any(f"<p>{start}" in page for start in ("Yes:", "No:", "Not separated from random:", "It cannot be said"))
    assert "random, mean of 4" in page
    assert "4 random orderings are too few to tell at one in twenty; --random 19 can" in err
    assert "http" not in page.replace("http://www.w3.org", "")
    assert all(f">{word}</span>" in page for word in question.split())
    assert "row 1, column 1" in page or "row" in page
    again = invoke(
        "explain", str(picture), "is it red ?", "--model", str(model), "--explainer", "random", "--out", str(out)
    )
    assert again[0] == 0
    assert "is it red ?" in out.read_text(encoding="utf-8")


def test_explain_puts_models_and_explainers_side_by_side(tmp_path: Path) -> None:
    out, picture = tmp_path / "page.html", tmp_path / "photo.png"
    Image.radial_gradient("L").save(picture)
    models, words = "tiny-llava-grounded,tiny-llava-biased", ("--steps", "2", "--random", "2", "--no-cache")
    asked = ("explain", str(picture), "Is there a red circle?", "--model", models, "--out", str(out), *words)
    code, said, err = invoke(*asked, "--explainer", "occlusion,rollout")
    assert code == 0
    page = out.read_text(encoding="utf-8")
    assert [page.count(f"<h2>{model}</h2>") for model in models.split(",")] == [1, 1]
    assert page.count("occlusion: F_syn") == page.count("rollout: F_syn") == 2
    assert page.count("random, the control, 1 of 2: F_syn") == 2
    assert page.count("F_syn is its mean over a growing share k") == 2
    assert "the question was put into this model's spelling: “is there a red circle ?”" in err
    assert "outside the small world of this model" in err
    assert "llava-hf/llava-1.5-7b-hf" in page
    assert said.count(str(out)) == 2
    for wrong in ("a,b,c", "a,a"):
        assert "expected one model, or two" in invoke("explain", str(picture), "is it ?", "--model", wrong)[2]


def test_explain_opens_the_page_where_asked(
    model: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(opened.append(address)))
    out = tmp_path / "p.html"
    words = ("explain", str(picture), "is it red ?", "--model", str(model), "--steps", "2", "--out", str(out))
    code, _, err = invoke(*words, "--random", "1", "--open")
    assert (code, opened) == (0, [out.resolve().as_uri()])
    assert "no browser could be started" in err


def test_explain_shows_every_word_of_an_answer_that_is_given(model: Path, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "words.html"
    words = ("explain", str(picture), "what is there ?", "--model", str(model), "--explainer", "occlusion")
    said = ("--per", "word", "--given", "red circle left", "--steps", "2", "--no-cache", "--out", str(out))
    code, told, err = invoke(*words, *said)
    assert (code, err) == (0, "")
    assert "(given to the model and forced token by token (3 tokens); the model did not write it)" in told
    assert [line.split(":")[0] for line in told.splitlines()[1:]] == ["red", "circle", "left"]
    page = out.read_text(encoding="utf-8")
    assert page.count('type="radio"') == page.count("<label ") == page.count('class="panel"') == 4
    assert page.count(" checked") == 1
    assert "<script" not in page
    assert "f-syn-paper is defined for probabilities; the values of this game are in nats." in page
    for wrong, message in (
        (("--given", "red"), "--given goes with --per"),
        (("--per", "letter"), "unknown part of an answer 'letter'"),
        (("--per", "word", "--given", " "), "at least one word"),
        (("--per", "word", "--given", "unicorn"), "the vocabulary lacks 'unicorn'"),
    ):
        code, _, err = invoke(*words, *wrong, "--no-cache", "--out", str(out))
        assert code != 0
        assert message in err


def test_explain_takes_a_target_as_it_is_written(model: Path, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "odds.html"
    code, _, err = invoke(
        "explain", str(picture), "is there a red circle ?", "--model", str(model), "--explainer", "random", "--steps",
        "2", "--random", "2", "--no-cache", "--target", '"yes" rather than "no"', "--out", str(out),
    )  # fmt: skip
    assert code == 0, err
    page = out.read_text(encoding="utf-8")
    assert "Explained is &quot;yes&quot; rather than &quot;no&quot;." in page
    assert "value of the target, nats" in page


def test_explain_remembers_values_unless_told_not_to(
    model: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.vlm.forced_answer import ForcedAnswer

    evaluated: list[int] = []
    learn = ForcedAnswer.learn
    monkeypatch.setenv("SYNERGY_TOOLKIT_CACHE", str(tmp_path / "cache"))

    def counted(forced: ForcedAnswer, new: dict[bytes, tuple[float, ...]], **options: bool) -> None:
        evaluated.append(len(new))
        learn(forced, new, **options)

    monkeypatch.setattr(ForcedAnswer, "learn", counted)
    pages = []
    for number, extra in enumerate((["--no-cache"], [], [], ["--no-cache"])):
        evaluated.append(0)
        out = tmp_path / f"{number}.html"
        words = ("explain", str(picture), "is there a red circle ?", "--model", str(model), "--steps", "4")
        assert invoke(*words, "--explainer", "occlusion", "--out", str(out), *extra)[0] == 0
        pages.append(out.read_text(encoding="utf-8"))
        evaluated[number:] = [sum(evaluated[number:])]
        assert (tmp_path / "cache" / "coalitions").exists() == (number > 0)
    first, stored, again, anew = evaluated
    assert first == anew >= stored > 40  # the store also shares values between the explainer's game and the scored one
    assert again == 0
    assert pages[1] == pages[2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "Told: &ldquo;answer yes or no&rdquo;."),
        (("--instruction", "answer with one word"), "Told: &ldquo;answer with one word&rdquo;."),
        (("--instruction", ""), None),
    ],
)
def test_the_page_says_how_the_model_was_told_to_answer(
    model: Path, picture: Path, tmp_path: Path, words: tuple[str, ...], told: str | None
) -> None:
    out = tmp_path / "told.html"
    asked = ("explain", str(picture), "is there a red circle ?", "--model", str(model), "--explainer", "random")
    assert invoke(*asked, "--steps", "2", "--out", str(out), *words)[0] == 0
    page = out.read_text()
    assert told in page if told else "Told:" not in page


def test_explain_escapes_what_the_page_shows(model: Path, picture: Path, tmp_path: Path) -> None:
    code, _, err = invoke(
        "explain", str(picture), "is <b> & it ?", "--model", str(model), "--out", str(tmp_path / "p.html")
    )
    assert code == 2  # the tiny vocabulary has no such words, and the error names them
    assert "<b>" in err


def test_explain_refuses_what_does_not_fit_before_it_asks_for_a_coalition(
    model: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.vlm.sample_game import SampleGame

    asked, call = [], SampleGame.__call__
    monkeypatch.setattr(SampleGame, "__call__", lambda self, *what: asked.append(what) or call(self, *what))
    page = tmp_path / "p.html"
    words = ("explain", str(picture), "is there a red circle ?", "--model", str(model), "--out", str(page))
    assert invoke(*words, "--random", "1")[0] == 0
    assert asked
    asked.clear()
    page.unlink()
    monkeypatch.setattr("toolkit.explainers.internals.gradients.free_bytes", lambda device: 1000)
    code, _, err = invoke(*words, "--explainer", "occlusion,rollout")
    assert (code, asked) == (2, [])
    assert "error: rollout: the attention of one layer (" in err
    assert "or occlusion, which needs neither gradients nor attention weights" in err
    assert not page.exists()


def test_memory_that_the_system_refuses_is_told_with_what_helps(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under ``ulimit -v``, where a library of the loader cannot map a file."""

    def refuse(*about, **more):
        raise OSError("Cannot allocate memory (os error 12)")

    monkeypatch.setattr("toolkit.vlm.loading.load_checkpoint.find_source", refuse)
    code, _, err = invoke("explain", str(picture), "is there a red circle ?")
    assert code == 2
    assert "error: Cannot allocate memory (os error 12); memory ran out: close other programs, raise the limit" in err


def test_explain_refuses_before_it_computes(picture: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "thesis.html"
    foreign.write_text("<h1>My thesis</h1>")
    for out, message in (
        (tmp_path, "ends in .html"),
        (picture, "ends in .html"),
        (foreign, "was not written by the toolkit"),
        (tmp_path / "gone" / "a.html", "there is no folder"),
    ):
        code, _, err = invoke("explain", str(picture), "is it ?", "--model", "not-loaded", "--out", str(out))
        assert code == 2
        assert message in err
    assert foreign.read_text() == "<h1>My thesis</h1>"
    (tmp_path / "folder.html").mkdir()
    assert "is a folder" in invoke("explain", str(picture), "is it ?", "--out", str(tmp_path / "folder.html"))[2]


def test_every_help_line_is_whole_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words in ((), ("benchmark",)):
        lines = invoke(*words, "--help")[1].splitlines()
        assert [line for line in lines if line.endswith("...") and "COMMAND" not in line] == []
        assert max(map(len, lines)) <= 80


def test_the_store_tells_its_size_and_is_emptied(tmp_path, monkeypatch):
    from toolkit.vlm.engine.store import default_store

    monkeypatch.setenv("SYNERGY_TOOLKIT_CACHE", str(tmp_path))
    values = {number.to_bytes(4, "big"): (np.random.default_rng(number).random(),) for number in range(20_000)}
    default_store().keep({"name": "m"}, values)
    size = f"{default_store().size() / 1e6:.1f} MB"
    assert size != "0.0 MB"
    code, out, _ = invoke("store")
    assert (code, out) == (0, f"{size} of values in {tmp_path / 'coalitions'}, at most 1074 MB\n")
    assert size in environment.check_store().found
    code, out, _ = invoke("store", "--clear")
    assert (code, out) == (0, f"deleted {size} of values from {tmp_path / 'coalitions'}\n")
    assert default_store().size() == 0


@pytest.mark.parametrize("columns", ["80", "120"])
@pytest.mark.parametrize("command", ["models", "datasets", "explainers", "doctor"])
def test_lists_fit_the_window(monkeypatch: pytest.MonkeyPatch, command: str, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = invoke(command)[1].splitlines()
    assert len(lines) > 8
    assert max(map(len, lines)) <= int(columns)


def test_models_say_what_was_verified_and_what_is_pinned() -> None:
    from toolkit.vlm import CATALOGUE

    _, out, _ = invoke("models")
    for name in CATALOGUE:
        entry = CATALOGUE[name]
        (line,) = [line for line in out.splitlines() if line.startswith(name + " ")]
        revision, mark = line.split()[-2:]
        assert revision == ("embedded" if entry.source == "embedded" else (entry.revision or "unpinned")[:8])
        assert f"\n{mark} {entry.verified}\n" in out


def test_the_full_grid_is_planned_without_its_commits() -> None:
    code, out, err = invoke("benchmark", "run", "--preset", "paper", "--dry-run")
    assert (code, err) == (0, "")
    assert "before it can run: name a commit of OpenGVLab/InternVL3_5-2B-HF" in out
    pinned = ("--revision", f"OpenGVLab/InternVL3_5-2B-HF={'a' * 40}")
    assert "before it can run" not in invoke("benchmark", "run", "--preset", "paper", "--dry-run", *pinned)[1]


def test_evaluating_all_goes_on_after_a_missing_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from toolkit.scenes.training.recipes import RECIPES

    monkeypatch.setenv("SYNERGY_TOOLKIT_DATA", str(tmp_path))
    (tmp_path / "models").mkdir()
    code, _, err = invoke("models", "--evaluate", "all")
    assert code == 1
    assert all(f"{name!r} is not in" in err for name in RECIPES)
    assert "not as on the card: tiny-llava-grounded" in err
    code, _, err = invoke("models", "--evaluate", "tiny-llava-grounded")
    assert code == 2
    assert err.endswith("train it: python -m toolkit train tiny-llava-grounded\n")
    (tmp_path / "models" / "tiny-llava-grounded").mkdir()
    assert "has no evaluation.json" in invoke("models", "--evaluate", "tiny-llava-grounded")[2]


def test_evaluating_writes_card_numbers_and_seal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from toolkit.scenes.training import held_out

    (name, folder), size = ("tiny-llava-grounded", tmp_path / "models" / "tiny-llava-grounded"), 12
    shutil.copytree(models_dir() / name, folder)
    results = [
        held_out.FamilyResult(**{k: math.nan if v is None else v for k, v in row.items()} | {"n": size})
        for row in held_out.read_card_numbers(folder)
    ]
    monkeypatch.setenv("SYNERGY_TOOLKIT_DATA", str(tmp_path))
    monkeypatch.setattr(held_out, "evaluate", lambda vlm, recipe, n: results)
    code, out, _ = invoke("models", "--evaluate", name, "--write")
    assert (code, "card: every accuracy reproduced" in out) == (0, True)
    assert held_out.read_card_numbers(folder) == held_out.as_json(results)
    assert f"| scenes-existence existence | balanced | {size} |" in (folder / "README.md").read_text()
    assert check_model(folder) is None
    assert "leave out --n" in invoke("models", "--evaluate", name, "--write", "--n", "10")[2]


def test_diagnose_shows_numbers_and_writes_the_report(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    code, said, _ = invoke("diagnose", "--model", str(model), "--samples", "3", "--out", str(out))
    assert code == 0
    assert said.splitlines()[0].split() == ["quantity", "value", "95", "%", "interval", "unit"]
    assert "total interaction" in said
    assert "nan" not in said
    assert out.stat().st_size > 1000
    assert "nan" not in out.read_text(encoding="utf-8").split("<h2>Numbers")[1].lower()


def test_benchmark_run_writes_records(model: Path, tmp_path: Path) -> None:
    words = (
        "benchmark", "run", "--models", str(model), "--datasets", "scenes-existence",
        "--explainers", "random,occlusion",
        "--samples", "2", "--steps", "3", "--out", str(tmp_path / "run"),
    )  # fmt: skip
    code, said, _ = invoke(*words)
    assert code == 0
    assert "4 records" in said
    assert "4 ok, 0 failed, 0 skipped (4 new)" in said
    code, said, _ = invoke(*words)
    assert code == 0
    assert "(0 new)" in said
    code, said, _ = invoke("benchmark", "report", str(tmp_path / "run"))
    assert code == 0
    assert Path(said.strip()).stat().st_size > 10_000
    assert Path(said.strip()).suffix == ".html"


def test_validate_judges_on_games_alone(tmp_path: Path) -> None:
    code, said, err = invoke("validate", "--models", "", "--metrics", "f-syn", "--samples", "4", "--out", str(tmp_path))
    assert code == 0
    assert "games known by construction" in err
    assert any(line.startswith("f-syn passes") for line in said.splitlines())
    assert (tmp_path / "validity.html").is_file()


def test_a_budget_reaches_the_explainer_that_has_one(model: Path, picture: Path, tmp_path: Path) -> None:
    words = ("explain", str(picture), "is it red ?", "--model", str(model), "--steps", "2")
    out = ("--out", str(tmp_path / "p.html"))
    code, _, err = invoke(*words, *out, "--explainer", "kernel-shap", "--budget", "60")
    assert code == 2
    assert "a budget of 60 is too small for 40 players; expected at least 120" in err
    assert "'occlusion' has no budget" in invoke(*words, *out, "--explainer", "occlusion", "--budget", "60")[2]


def test_a_warning_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def warned() -> Diagnosis:
        warnings.warn("a\nb", RuntimeWarning, stacklevel=1)
        return Diagnosis(())

    monkeypatch.setattr("toolkit.environment.doctor", warned)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert invoke("doctor")[2] == "warning: a b\n"
