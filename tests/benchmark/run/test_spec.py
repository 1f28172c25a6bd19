"""A specification is checked before anything is computed."""

import pytest

from toolkit.benchmark.run.spec import EXECUTION_FIELDS, BenchmarkSpec, SpecError, changes, load_spec, make_spec

GOOD = {"models": ["m"], "datasets": ["d"], "explainers": ["random"]}


def test_round_trip_through_yaml(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text("models: [m]\ndatasets: [d]\nexplainers: [random, oracle]\nsamples: 3\nbaseline: mean\n")
    spec = load_spec(path)
    assert spec.explainers == ("random", "oracle")
    assert (spec.samples, spec.baseline, spec.version) == (3, "mean", 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"explainer": ["x"]}, "unknown key 'explainer'; did you mean 'explainers'?"),
        ({"zzz": 1}, "unknown key 'zzz'. Known: version"),
        ({"models": "m"}, "models: expected a list, for example [a, b] (got 'm')"),
        ({"models": None}, "models: expected a list, for example [a, b] (got None)"),
        ({"models": []}, "models: expected at least one (got [])"),
        ({"seeds": ["a"]}, "seeds.0: it must be a valid integer"),
        ({"seeds": [-1]}, "seeds.0: it must be greater than or equal to 0"),
        ({"seeds": [2**32]}, "seeds.0: it must be less than 4294967296"),
        ({"models": ["m", "m"]}, "listed more than once: m"),
        ({"samples": 0}, "samples"),
        ({"samples": "many"}, "got 'many'"),
        ({"version": 2}, "version"),
        ({"baseline": "blurr"}, "'blur', 'mean' or 'noise'"),
        ({"workers": 2}, "executor 'serial' has one worker"),
        ({"ray_address": "1.2.3.4:1"}, "need executor: ray"),
        ({"executor": "ray", "device": "cpu", "gpus_per_worker": 1}, "reserves GPUs that device: cpu does not use"),
        ({"executor": "ray", "device": "cuda"}, "device: cuda on Ray needs gpus_per_worker"),
        ({"executor": "ray", "device": "cuda:1", "gpus_per_worker": 1}, "workers see their own GPUs only"),
        ({"options": {"tam": {"layer": 1}}}, "options name tam, not evaluated here"),
        ({"revisions": {"m": "main"}}, "revisions.m: expected a commit of 40 hexadecimal digits, got 'main'"),
        ({"revisions": {"x": "0" * 40}}, "revisions name x, not evaluated here; known: m, d"),
        ({"device": "banana"}, "device: expected auto, cpu, cuda"),
        ({"headline": "f-sin"}, "headline 'f-sin' is not among the metrics"),
        ({"device": "cpu", "dtype": "float16"}, "no sound CPU arithmetic"),
        ({"device": "cpu", "four_bit": True}, "four_bit needs a GPU"),
        ({"sources": {"x": "here"}}, "sources name x, not evaluated here; known: d"),
        ({"sources": {"d": "here"}, "revisions": {"d": "0" * 40}}, "sources and revisions both name d"),
        ({"attention": "flash"}, "'sdpa' or 'eager'"),
        ({"max_pixels": 0}, "max_pixels"),
        ({"steps": 10.5}, "steps"),
        ({"instruction": "lava"}, "own has two words) 'lava'. Did you mean 'llava'?"),
        ({"instruction": 3}, "instruction: expected text (got 3)"),
        ({"instruction": "{question} or {question}"}, "the instruction has the question in 2 places"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(SpecError) as caught:
        make_spec({**GOOD, **fields})
    assert message in str(caught.value)


@pytest.mark.parametrize("instruction", [None, "", "llava", "by-model", "Say yes or no."])
def test_an_instruction_is_a_style_or_a_text_and_decides_numbers(instruction):
    spec, plain = make_spec({**GOOD, "instruction": instruction}), make_spec(GOOD)
    assert spec.instruction == instruction
    assert (spec.fingerprint == plain.fingerprint) == (instruction is None)


def test_a_list_of_wrong_entries_is_not_told_to_be_empty_too():
    with pytest.raises(SpecError) as caught:
        make_spec({**GOOD, "models": [1]})
    assert str(caught.value) == "specification: models.0: expected text (got 1)"


def test_datasets_have_revisions_too():
    assert make_spec({**GOOD, "revisions": {"d": "0" * 40}}).revisions == {"d": "0" * 40}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: [m\n: :", "spec.yaml, line 2, column 1 is not valid YAML: expected ',' or ']', but got ':'"),
        ("models:\n\t- a\n", "spec.yaml, line 2, column 1 is not valid YAML: found character '\\t'"),
        ("- a\n- b\n", "expected a mapping of fields, got list"),
        ("", "expected a mapping of fields, got NoneType"),
        ("models: [m]\nmodels: [n]\n", "key 'models' is given twice, the second time in line 2"),
        ("models: !!python/object/apply:os.system ['true']\n", "is not valid YAML"),
    ],
)
def test_broken_files_are_refused(tmp_path, text, message):
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match="spec.yaml") as caught:
        load_spec(path)
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SpecError, match="cannot read the specification"):
        load_spec(tmp_path / "none.yaml")


def test_content_leaves_out_how_to_run():
    how = {"workers": 4, "executor": "processes", "out": "a", "max_failed": 0.5, "sources": {"d": "x"}}
    one, two = make_spec({**GOOD, **how}), make_spec(GOOD)
    assert one.fingerprint == two.fingerprint
    assert one.content == two.content
    assert set(BenchmarkSpec.model_fields) >= EXECUTION_FIELDS


@pytest.mark.parametrize(
    "changed",
    [
        {"steps": 5}, {"baseline": "mean"}, {"seeds": [1]}, {"samples": 7}, {"dtype": "bfloat16"}, {"max_tokens": 64},
        {"four_bit": True}, {"attention": "eager"}, {"max_pixels": 9000}, {"max_tiles": 2},
    ],
)  # fmt: skip
def test_content_holds_what_decides_the_numbers(changed):
    one, two = make_spec(GOOD), make_spec({**GOOD, **changed})
    assert one.fingerprint != two.fingerprint
    (name,) = changed
    assert [line.split(":")[0] for line in changes(one.content, two.content)] == [name]
