"""Tensors are read in blocks, each element once."""

import math

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.blocks import blocks


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (5, 7), (4, 1, 6), (2, 3, 4, 5), (1000,)])
@pytest.mark.parametrize("limit", [1, 2, 7, 24, 10_000])
def test_blocks_cover_every_element_once_in_order(shape, limit):
    position = 0
    for start, block in blocks(shape, limit):
        assert start == position
        assert 0 < math.prod(block) <= limit
        position += math.prod(block)
    assert position == math.prod(shape)
