from types import SimpleNamespace

import pytest
import torch

from toolkit.vlm.loading import placement


def test_bfloat16_is_the_default_on_a_gpu_for_folders_and_the_hub_but_not_for_embedded_models() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    for name in ("llava-hf/llava-1.5-7b-hf", "some/folder"):
        assert placement.choose_dtype(name, None, gpu) == torch.bfloat16
        assert placement.choose_dtype(name, None, cpu) == torch.float32
        assert placement.choose_dtype(name, "float32", gpu) == torch.float32
    assert placement.choose_dtype("tiny-llava-grounded", None, gpu) == torch.float32


def test_a_gpu_with_room_is_named_where_another_is_full(monkeypatch) -> None:
    monkeypatch.setattr(placement.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(placement, "free_bytes", lambda device: 1 << (40 if device.index == 1 else 10))
    source = SimpleNamespace(name="m", n_parameters=10**9)
    with pytest.raises(MemoryError, match="four_bit=True on a GPU, device='cuda:1', which has room, or a larger"):
        placement.check_memory(source, torch.float32, torch.device("cuda"))


def test_four_bits_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "check_bitsandbytes", lambda device, subject: None)
    monkeypatch.setattr(placement.transformers, "BitsAndBytesConfig", dict)
    with pytest.warns(UserWarning, match="the image tower and the projector.*'left_out_of_quantisation'"):
        assert placement.four_bit_options(torch.device("cuda"), torch.bfloat16)["quantization_config"]["load_in_4bit"]
