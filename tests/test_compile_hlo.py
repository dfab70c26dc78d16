"""Bytes, trips and cycles read from the text of a compiled program."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from fgclep_jax.compile import costs, hlo, program


def mesh_of(data=8, fsdp=1):
  return jax.make_mesh(
    (data, fsdp), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2
  )


def exchanged(function, shape, mesh, spec, out):
  """{kind: (devices, times, bytes)} of a compiled shard_map."""
  mapped = jax.shard_map(
    function, mesh=mesh, in_specs=spec, out_specs=out, check_vma=False
  )
  array = jax.ShapeDtypeStruct(
    shape, jnp.float32, sharding=NamedSharding(mesh, spec)
  )
  read = hlo.read(jax.jit(mapped).lower(array).compile().as_text())
  assert read.unknown_loops == ()
  found = program.table_of(costs.collectives(read))
  return {x["kind"]: (x["devices"], x["count"], x["bytes"]) for x in found}


ROW = 256 * 4  # bytes of a row of the arrays below
NEXT = [(i, (i + 1) % 8) for i in range(8)]


def gather_in_loop(x):
  def turn(x, _):
    return jax.lax.all_gather(x, "data", tiled=True)[2:4] * 2, None

  return jax.lax.scan(turn, x, length=5)[0]


@pytest.mark.parametrize(
  ("function", "out", "wanted"),
  [
    # x is 2 rows a device, 16 in all.
    (
      lambda x: jax.lax.all_gather(x, "data", tiled=True),
      P(),
      {"all-gather": (8, 1, 7 * 2 * ROW)},
    ),
    (
      lambda x: jax.lax.psum(x, "data"),
      P(),
      {"all-reduce": (8, 1, 2 * 7 * 2 * ROW / 8)},
    ),
    (
      lambda x: jax.lax.psum_scatter(jnp.tile(x, (4, 1)), "data", tiled=True),
      P("data"),
      {"reduce-scatter": (8, 1, 7 * ROW)},
    ),
    (
      lambda x: jax.lax.ppermute(x, "data", NEXT),
      P("data"),
      {"collective-permute": (8, 1, 2 * ROW)},
    ),
    (gather_in_loop, P("data"), {"all-gather": (8, 5, 5 * 7 * 2 * ROW)}),
    (
      lambda x: jax.lax.all_gather(
        x, "data", axis_index_groups=[[0, 1, 2, 3], [4, 5, 6, 7]], tiled=True
      ),
      P("data"),
      {"all-gather": (4, 1, 3 * 2 * ROW)},
    ),
  ],
)
def test_bytes_of_compiled_exchanges(function, out, wanted):
  found = exchanged(function, (16, 256), mesh_of(), P("data"), out)
  assert found == wanted


def test_bytes_over_one_of_two_axes():
  found = exchanged(
    lambda x: jax.lax.all_gather(x, "fsdp", tiled=True),
    (16, 256),
    mesh_of(2, 4),
    P(("data", "fsdp")),
    P("data"),
  )
  assert found == {"all-gather": (4, 1, 3 * 2 * ROW)}


# What the compiler for TPU writes: asynchronous chains, fused reductions,
# its own names of groups, loops without a trip count, cycles of a fusion.
TPU = """\
HloModule jit_f, is_scheduled=true, num_partitions=8

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  %b = f32[]{:T(128)} parameter(1)
  ROOT %sum = f32[]{:T(128)} add(%a, %b)
}

%start (p: bf16[2,128]) -> (bf16[2,128], bf16[8,128], u32[]) {
  %p = bf16[2,128]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %g0 = bf16[8,128]{1,0:T(8,128)(2,1)} all-gather(%p), replica_groups=\
mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, frontend_attributes={chain_id="7"}
  ROOT %t0 = (bf16[2,128]{1,0}, bf16[8,128]{1,0}, u32[]{:S(2)}) tuple(%p, %g0)
}

%async_collective_fusion (q: bf16[2,128]) -> bf16[8,128] {
  %q = bf16[2,128]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  ROOT %g1 = bf16[8,128]{1,0:T(8,128)(2,1)} all-gather(%q), replica_groups=\
mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, frontend_attributes={chain_id="7"}
}

%all-reduce-scatter (r: f32[8,128]) -> f32[2,128] {
  %r = f32[8,128]{1,0:T(8,128)} parameter(0)
  %reduced = f32[8,128]{1,0:T(8,128)} all-reduce(%r), replica_groups=\
{{0,1,2,3},{4,5,6,7}}, to_apply=%add
  ROOT %own = f32[2,128]{1,0:T(8,128)} dynamic-slice(%reduced), \
backend_config={"estimated_cycles":"90"}
}

%compare (s: s32[], bound: s32[]) -> pred[] {
  %bound = s32[]{:T(128)} parameter(1)
  %s = s32[]{:T(128)} parameter(0)
  ROOT %less = pred[]{:T(512)} compare(%s, %bound), direction=LT
}

%cond (c: (s32[], f32[8,128], s32[])) -> pred[] {
  %c = (s32[]{:T(128)}, f32[8,128]{1,0}, s32[]{:T(128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%c), index=0
  %n = s32[]{:T(128)} get-tuple-element(%c), index=2
  ROOT %go = pred[]{:T(512)} fusion(%i, %n), kind=kLoop, calls=%compare
}

%body (d: (s32[], f32[8,128], s32[])) -> (s32[], f32[8,128], s32[]) {
  %d = (s32[]{:T(128)}, f32[8,128]{1,0}, s32[]{:T(128)}) parameter(0)
  %x = f32[8,128]{1,0:T(8,128)} get-tuple-element(%d), index=1
  %f = f32[2,128]{1,0} fusion(%x), kind=kCustom, calls=%all-reduce-scatter, \
backend_config={"window_config":{"estimated_cycles":"100","x":["1"]}}
  ROOT %u = (s32[]{:T(128)}, f32[8,128]{1,0}, s32[]{:T(128)}) tuple(%d, %x, %d)
}

ENTRY %main (v: bf16[2,128], w: f32[8,128]) -> bf16[8,128] {
  %v = bf16[2,128]{1,0:T(8,128)(2,1)} parameter(0)
  %w = f32[8,128]{1,0:T(8,128)} parameter(1)
  %async-collective-start = (bf16[2,128]{1,0:T(8,128)(2,1)}, bf16[8,128]{1,0}, \
/*index=2*/u32[]{:S(2)}) fusion(%v), kind=kCustom, calls=%start
  %step = bf16[8,128]{1,0} fusion(%v), kind=kCustom, \
calls=%async_collective_fusion, backend_config={"estimated_cycles":"7"}
  %one = s32[]{:T(128)} constant(1)
  %six = s32[]{:T(128)} constant(6)
  %first = s32[]{:T(128)S(6)} copy(%one)
  %init = (s32[]{:T(128)}, f32[8,128]{1,0}, s32[]{:T(128)}) \
tuple(%first, %w, %six)
  %loop = (s32[]{:T(128)}, f32[8,128]{1,0}, s32[]{:T(128)}) while(%init), \
condition=%cond, body=%body
  %kernel = f32[8,128]{1,0} custom-call(%w), custom_call_target=\
"tpu_custom_call"
  %moved = f32[8,128]{1,0} collective-permute(%w), \
source_target_pairs={{0,1},{1,0}}
  %stays = f32[8,128]{1,0} collective-permute(%w), \
source_target_pairs={{0,0},{1,1}}
  ROOT %done = bf16[8,128]{1,0} copy(%step)
}
"""


def test_text_of_the_compiler_for_tpu():
  read = hlo.read(TPU)
  assert (read.devices, read.unknown_loops) == (8, ())
  found = {x["kind"]: x for x in program.table_of(costs.collectives(read))}
  assert found == {
    "all-gather": {  # once, though two fusions show it
      "kind": "all-gather", "devices": 4, "count": 1, "bytes": 3 * 2 * 128 * 2,
    },
    "reduce-scatter": {  # in a loop from 1 to 6
      "kind": "reduce-scatter", "devices": 4, "count": 5,
      "bytes": 5 * 3 / 4 * 8 * 128 * 4,
    },
    "collective-permute": {
      "kind": "collective-permute", "devices": 8, "count": 1,
      "bytes": 8 * 128 * 4,
    },
  }  # fmt: skip
  assert costs.cycles(read) == (5 * 100 + 7, 1)


def test_a_chain_without_a_start_counts_once():
  text = TPU.replace("%async-collective-start =", "%other =")
  found, wanted = (
    program.table_of(costs.collectives(hlo.read(x))) for x in (text, TPU)
  )
  assert found == wanted


def test_what_the_text_does_not_say_is_said():
  """A bound that is no constant: counted once, and named."""
  read = hlo.read(TPU.replace("constant(6)", "parameter(2)"))
  assert read.unknown_loops == ("loop",)
  assert costs.cycles(read) == (107, 1)
  with pytest.raises(ValueError, match="no ENTRY"):
    hlo.read("HloModule nothing")


@pytest.mark.parametrize(
  ("groups", "devices"),
  [
    ("mesh['a'=2,'b'=4] {'a'}", 2),
    ("mesh['a'=2,'b'=4] {'a','b'}", 8),
    ("mesh['a'=8] {'a':(2)4}", 4),
    ("[4,2]<=[2,4]T(1,0)", 2),
    ("{{0,2,4},{1,3,5}}", 3),
    ("{}", 8),
  ],
)
def test_spellings_of_groups(groups, devices):
  text = TPU.replace("{{0,1,2,3},{4,5,6,7}}", groups)
  found = costs.collectives(hlo.read(text))
  assert [x.devices for x in found if x.kind == "reduce-scatter"] == [devices]
