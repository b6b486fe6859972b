"""Reading the integer prior out of a model file: every check that its arithmetic relies on.

A model file may come from anywhere. What passes here cannot overflow a sum, read beside an array
or make the coder allocate more than a real model would.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamcodec.core import integer_network as net
from streamcodec.core.integer_network import IntegerNetwork
from streamcodec.core.tables import FrequencyTables
from streamcodec.errors import ModelError

PRIOR_VERSION = 1
"""Version of the integer prior: any change of its arithmetic raises it."""

MAX_SHIFT = 40
MAX_MULTIPLIER = 1 << 30
MAX_OFFSET = 1 << 61
# With these limits |int32 * multiplier + offset| stays below 2**63, so the 64-bit products of
# the network cannot overflow.

MAX_CHANNELS = 4096
MAX_CONTEXT = 64
# Limits on what a model file can make us do; real models are far below.

LAYOUT_NAMES = (
    "version",
    "context_steps",
    "input_shift",
    "first_shift",
    "middle_shift",
    "output_shift",
    "scale_multiplier",
    "scales",
)
"""Names of the numbers of ``IntegerNetwork.layout`` in a model's metadata, in their order."""


def load_prior(
    tensors: Mapping[str, NDArray[np.integer]], metadata: Mapping[str, Any]
) -> tuple[IntegerNetwork, FrequencyTables]:
    """Network and tables of a model; see :class:`streamcodec.core.entropy.IntegerPrior`.

    Raises
    ------
    ModelError
        Something is missing or has a shape, type or value that no exported model has.
    """
    network = _network(tensors, _layout(metadata))
    tables = FrequencyTables(
        _array(tensors, "table_reach", np.uint16, 1),
        _array(tensors, "table_frequencies", np.uint16, 1),
    )
    if len(tables.reach) != network.layout[net.SCALES]:
        raise ModelError(
            f"expected tables for {network.layout[net.SCALES]} scales, found "
            f"{len(tables.reach)}; the model file is damaged"
        )
    return network, tables


def _array(
    tensors: Mapping[str, NDArray[np.integer]], name: str, dtype: type, dimensions: int
) -> NDArray:
    """Array ``name`` of the model, checked for type and number of dimensions."""
    array = tensors.get(name)
    if array is None:
        raise ModelError(f"expected a tensor {name!r}; this is no integer prior")
    if array.dtype != dtype or array.ndim != dimensions or array.size == 0:
        raise ModelError(
            f"expected {name} as {np.dtype(dtype)} with {dimensions} dimensions, found "
            f"{array.dtype} {array.shape}; the model file is damaged"
        )
    return np.ascontiguousarray(array)


def _layout(metadata: Mapping[str, Any]) -> NDArray[np.int64]:
    """The numbers of the layout, checked for being there and for the version."""
    numbers = []
    for name in LAYOUT_NAMES:
        number = metadata.get(name)
        if not isinstance(number, int) or not 0 <= number <= MAX_MULTIPLIER:
            raise ModelError(
                f"expected a number {name!r} of 0..{MAX_MULTIPLIER} in the prior's metadata, "
                f"found {number!r}; the model file is damaged"
            )
        numbers.append(number)
    if numbers[net.VERSION] != PRIOR_VERSION:
        raise ModelError(
            f"expected integer prior version {PRIOR_VERSION}, found {numbers[net.VERSION]}; "
            "use the release that the model was made with"
        )
    return np.array(numbers, np.int64)


def _network(tensors: Mapping[str, NDArray[np.integer]], layout: NDArray) -> IntegerNetwork:
    """The network of a model, after every check that its arithmetic relies on."""
    network = IntegerNetwork(
        layout=layout,
        context=_array(tensors, "context", np.int16, 2),
        current=_array(tensors, "current", np.int16, 2),
        middle=_array(tensors, "middle", np.int16, 2),
        output=_array(tensors, "output", np.int16, 2),
        first_bias=_array(tensors, "first_bias", np.int32, 2),
        middle_bias=_array(tensors, "middle_bias", np.int32, 1),
        output_bias=_array(tensors, "output_bias", np.int32, 1),
        input_multiplier=_array(tensors, "input_multiplier", np.int64, 1),
        location_multiplier=_array(tensors, "location_multiplier", np.int64, 1),
        scale_offset=_array(tensors, "scale_offset", np.int64, 1),
    )
    channels, hidden = network.current.shape
    rates, steps = len(network.first_bias), int(layout[net.CONTEXT_STEPS])
    shapes = {
        "context": (steps * channels, hidden),
        "middle": (hidden, hidden),
        "output": (hidden, 2 * channels),
        "first_bias": (rates, hidden),
        "middle_bias": (hidden,),
        "output_bias": (2 * channels,),
        "input_multiplier": (rates,),
        "location_multiplier": (rates,),
        "scale_offset": (rates,),
    }
    for name, shape in shapes.items():
        if getattr(network, name).shape != shape:
            raise ModelError(
                f"expected {name} of shape {shape}, found {getattr(network, name).shape}; "
                "the model file is damaged"
            )
    shifts = layout[net.INPUT_SHIFT : net.OUTPUT_SHIFT + 1]
    multipliers = np.concatenate(
        [network.input_multiplier, network.location_multiplier, layout[[net.SCALE_MULTIPLIER]]]
    )
    in_range = (
        hidden % channels == 0
        and channels <= MAX_CHANNELS
        and 1 <= steps <= MAX_CONTEXT
        and shifts.min() >= 1
        and shifts.max() <= MAX_SHIFT
        and multipliers.min() >= 1
        and multipliers.max() <= MAX_MULTIPLIER
        and network.scale_offset.min() >= -MAX_OFFSET
        and network.scale_offset.max() <= MAX_OFFSET
    )
    if not in_range or net.overflows(network):
        raise ModelError("a number of the integer prior is out of range; the model file is damaged")
    return network
