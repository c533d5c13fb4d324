"""Compiles every kernel for a GPU that need not be there, and prints registers spilled and shared memory as JSON.

Run ``python tests/kernels/compiled.py 90`` for compute capability 9.0.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from graphmi.kernels import closest, partition, programs

DUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
FORMATS = {torch.bfloat16: "bf16", torch.float32: "fp32"}
VECTORS = {"left", "right", "out", "partition", "slope", "center", "virtual"}  # at addresses that divide by 16


def usage(program, types, constants, capability, **options):
    """Return bytes of stack, where registers that do not fit go, and of shared memory."""
    signature = {name: types.get(name, "i32") for name in program.arg_names} | dict.fromkeys(constants, "constexpr")
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(program.arg_names) if name in VECTORS | {"dim"}}
    source = ASTSource(fn=program, signature=signature, constexprs=constants, attrs=aligned)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(made.asm["cubin"])
        shown = subprocess.run([DUMP, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    return {"stack": int(shown.split("STACK:")[1].split()[0]), "shared": made.metadata.shared}


def all_usages(capability):
    """Yield the name of every program, with format and size of vectors, and what it uses."""
    pointers = dict.fromkeys(("out", "partition", "slope"), "*fp32")
    more = {"hit": "*i64", "name": "*i64", "correction": ("*fp32", "i32", "i32", "i32"), "scale": "fp32", **pointers}
    for kind, dim in ((torch.bfloat16, 64), (torch.bfloat16, 128), (torch.bfloat16, 256), (torch.float32, 64)):
        rows, cols, warps = partition.tile(kind, dim)
        options = {"num_warps": warps, "num_stages": partition._STAGES}
        constants = {"width": dim, "block_rows": rows, "block_cols": cols, "precision": "tf32x3"}
        types = {"left": f"*{FORMATS[kind]}", "right": f"*{FORMATS[kind]}", **more}
        for program in (programs.forward, programs.backward_left, programs.backward_right):
            yield f"{program.__name__} {FORMATS[kind]} {dim}", usage(program, types, constants, capability, **options)
    for kind, name in FORMATS.items():
        types = {"dst": "*i32", "src": "*i32", "chosen": "*u8", "center": f"*{name}", "virtual": f"*{name}"}
        constants = {"edges": closest._HELD // 64, "width": 64}
        yield f"{closest._closest.__name__} {FORMATS[kind]} 64", usage(closest._closest, types, constants, capability)


if __name__ == "__main__":
    print(json.dumps(dict(all_usages(int(sys.argv[1])))))
