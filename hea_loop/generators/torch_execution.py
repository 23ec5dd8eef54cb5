"""Where and how small networks are computed: the device, and checkpoints of plain values."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from typing import Any

import torch

from hea_loop.errors import InputError

__all__ = ["chosen_device", "device_name", "packed", "unpacked"]


def chosen_device(device: str | None) -> Any:
    """CUDA if there, else the CPU; or the one asked for.

    Raises:
        InputError: A device that torch cannot use here.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(device)
        torch.empty(1, device=where)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            "device", device, f"cannot be used ({str(error).splitlines()[0]})", "leave it out, or give cpu"
        ) from None
    return where


def device_name(where: Any) -> str:
    """``cpu``, or the name of the GPU."""
    return str(torch.cuda.get_device_name(where)) if where.type == "cuda" else "cpu"


def packed(kind: str, values: Mapping[str, Any]) -> bytes:
    """Checkpoint of tensors and plain values.

    Args:
        kind: What it is of, with the version of its layout, as ``hea-loop cvae 1``.
        values: Tensors, numbers, texts, lists and dicts of them.
    """
    buffer = io.BytesIO()
    torch.save(_canonical({"format": kind, **values}), buffer)
    return buffer.getvalue()


def _canonical(value: Any) -> Any:
    """Equal texts made one object: pickle tells one object twice from two equal ones, and the bytes would differ."""
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, Mapping):
        return {_canonical(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return value


def unpacked(kind: str, content: bytes) -> dict[str, Any]:
    """Return the values of a checkpoint; only tensors and plain values are loaded, nothing is executed.

    Raises:
        InputError: Bytes that cannot be read, or a checkpoint of another kind.
    """
    mend = "train the model again"
    try:
        values = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:  # noqa: BLE001 - whatever torch's unpickler and zip reader raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError("checkpoint", f"{len(content)} bytes", f"cannot be read ({reason})", mend) from None
    if not isinstance(values, dict) or values.get("format") != kind:
        raise InputError("checkpoint", f"{len(content)} bytes", f"is not of the kind {kind!r}", mend)
    return values
