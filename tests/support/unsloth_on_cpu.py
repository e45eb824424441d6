"""`python -m trainers` with Unsloth on a CPU: its kernels in Triton's interpreter, its trainers as a GPU run gets them.

Unsloth has a switch for tests without a GPU (UNSLOTH_ALLOW_CPU, unsloth/device_type.py). It leaves three things to
do: names of devices that are written out in its sources are read as the CPU's while they are imported; bfloat16 is
there, as the capability that is pretended says; and the rewriting of TRL's trainers, which the switch turns off, is
called. The interpreter is hastened (triton_interpreter.py). Nothing else of Unsloth's or of ours is changed, and no
file is.
"""

import json
import os
import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import SimpleNamespace
from typing import Any

from tests.support.triton_interpreter import hasten

SWITCHES = {
    "UNSLOTH_ALLOW_CPU": "1",
    "TRITON_INTERPRET": "1",  # kernels run as Python over CPU tensors
    "UNSLOTH_COMPILE_DISABLE": "1",  # torch.compile on a CPU takes minutes and changes no figure
    "TORCHDYNAMO_DISABLE": "1",
    "UNSLOTH_ENABLE_FLEX_ATTENTION": "0",  # it has no backward pass on a CPU; Gemma 3 gets it on a GPU
}
_FIRST = ('f"{DEVICE_TYPE_TORCH}:0"', '"cpu:0"')
_CACHE = ("1, device = get_current_device()", '1, device = "cpu"')
CORRECTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "unsloth.models._utils": (("    SUPPORTS_BFLOAT16 = False\n", "    SUPPORTS_BFLOAT16 = True\n"),),
    "unsloth.models.llama": (
        _FIRST,
        _CACHE,
        ("torch.device(device_index)", 'torch.device("cpu", device_index)'),
        ("torch.device(DEVICE_TYPE_TORCH, index)", 'torch.device("cpu", index)'),
        ("    DEVICE_TYPE_TORCH,\n                offload_device", '    "cpu",\n                offload_device'),
    ),
    "unsloth.models.gemma": (_FIRST, _CACHE),
}
"""Module -> (what its source says of the device, what it says here); each must be there."""


class OnCpu(MetaPathFinder, SourceFileLoader):
    """Imports the modules of CORRECTIONS with what they say of devices corrected, and Unsloth as on a GPU."""

    def __init__(self) -> None:
        """Of no module yet; `find_spec` makes a loader of each."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """See MetaPathFinder."""
        spec = PathFinder.find_spec(name, path, target) if name in (*CORRECTIONS, "unsloth") else None
        if spec is not None:
            spec.loader = loader = OnCpu()
            loader.name, loader.path = name, spec.origin
        return spec

    def get_code(self, fullname: str) -> Any:
        """Compiled from the corrected source; never kept as a .pyc."""
        source = self.get_source(fullname)
        for old, new in CORRECTIONS.get(fullname, ()):
            assert old in source, f"{fullname} has no {old}: another version of Unsloth"
            source = source.replace(old, new)
        return compile(source, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: Any) -> None:
        """After Unsloth itself comes what its switch leaves out."""
        super().exec_module(module)
        if module.__name__ == "unsloth":
            _as_on_a_gpu(module)


def arm() -> None:
    """Make Unsloth the backend of this process, wherever it imports it."""
    os.environ.update(SWITCHES)
    import torch

    properties = SimpleNamespace(name="cpu", total_memory=8 << 30, major=8, minor=0, multi_processor_count=1)
    pretended = {
        "device_count": 1,
        "current_device": 0,
        "get_device_properties": properties,
        "get_device_capability": (8, 0),
        "get_device_name": "cpu",
        "mem_get_info": (4 << 30, 8 << 30),
    }
    for name, value in pretended.items():
        setattr(torch.cuda, name, lambda *_, value=value, **__: value)
    torch._C._cuda_getCurrentRawStream = lambda index: 0
    sys.meta_path.insert(0, OnCpu())
    from trainers.training import backends

    backends._has_gpu = lambda: True


def _as_on_a_gpu(unsloth: Any) -> None:
    os.environ["UNSLOTH_ALLOW_CPU"] = "0"  # a device was asked for before; what the switch leaves out is called here
    import_module("unsloth.models.rl").PatchFastRL()
    import_module("unsloth.trainer")._patch_trl_trainer()
    import_module("unsloth.context_parallel").patch_sft_trainer()
    import_module("unsloth_zoo.device_type").device_is_bf16_supported = lambda: True
    hasten()
    load = unsloth.FastLanguageModel.from_pretrained

    def on_cpu(**named: Any) -> Any:
        return load(**named, device_map={"": "cpu"})

    unsloth.FastLanguageModel.from_pretrained = staticmethod(on_cpu)


def serve() -> None:
    """Each line of the input is a JSON list: a file for what is said, then arguments of `python -m trainers`. They run
    in a fork of this process, which has imported Unsloth once for all; answered are the child's number and exit code.
    """
    import_module("unsloth")
    for line in sys.stdin:
        output, *arguments = json.loads(line)
        child = os.fork()
        if not child:
            with open(output, "ab", buffering=0) as stream:
                os.dup2(stream.fileno(), 1)
                os.dup2(stream.fileno(), 2)
            code = main(arguments)
            sys.stdout.flush()
            os._exit(code)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    arm()
    from trainers.__main__ import main

    if sys.argv[1:]:
        sys.exit(main())
    serve()
