"""How large a served model is: read from its folder, and what a server of it needs."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.contract import BadData, DoesNotFit

GIB = 2**30
_RUNTIME = 5 * GIB
"""Of each GPU: CUDA context, CUDA graphs, NCCL, activations of a prefill batch."""
_CACHED_SEQUENCES = 8
"""Full-length sequences that the cache should hold at once; fewer would make requests wait while a GPU idles."""
_HOST = 16 * GIB
"""Memory of the server's own processes. Beside it lie the weights on their way from the disk to the GPU."""


@dataclass(frozen=True)
class ModelSize:
    """Weights and caches in bytes; positions in tokens."""

    weights: int
    dtype: str
    positions: int
    heads: int
    cache_of_token: int

    @classmethod
    def of(cls, folder: Path) -> "ModelSize":
        """The size of a model folder.

        Raises:
            BadData: it has no config, or one that does not name its sizes.
        """
        path = folder / "config.json"
        try:
            config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            config |= config.get("text_config") or {}
            heads = _number(config, "num_attention_heads", "n_head")
            width = config.get("head_dim") or _number(config, "hidden_size", "n_embd") // heads
            dtype = config.get("dtype") or config["torch_dtype"]
            bytes_of_number = 4 if dtype == "float32" else 2
            keys = 2 * (config.get("num_key_value_heads") or heads) * width  # and as many values
            return cls(
                weights=sum(file.stat().st_size for file in folder.glob("*.safetensors")),
                dtype=dtype,
                positions=_number(config, "max_position_embeddings", "n_positions"),
                heads=heads,
                cache_of_token=_number(config, "num_hidden_layers", "n_layer") * keys * bytes_of_number,
            )
        except (OSError, ValueError, LookupError) as error:
            raise BadData(f"{path} does not say how large its model is: {type(error).__name__}: {error}") from error

    @property
    def host_memory(self) -> int:
        """Bytes of a server's memory."""
        return _HOST + self.weights

    def cache(self, length: int) -> int:
        """Bytes of a cache that holds its sequences of `length` tokens."""
        return _CACHED_SEQUENCES * length * self.cache_of_token

    def gpus(self, memory: float, most: int, length: int) -> int:
        """The fewest GPUs over which the model is divided evenly, and that hold it with a cache for its sequences.

        Args:
            memory: bytes of one GPU.
            most: GPUs of a node.
            length: tokens of a sequence, at most.

        Raises:
            DoesNotFit: a whole node is too small.
        """
        needed = self.weights + self.cache(length)
        # vLLM uses 0.9 of a GPU, and divides the attention's heads over them.
        dividing = [count for count in range(1, most + 1) if self.heads % count == 0]
        for count in dividing:
            if needed / count + _RUNTIME <= 0.9 * memory:
                return count
        raise DoesNotFit(
            f"weights of {self.weights / GIB:,.1f} GiB and a cache of {_CACHED_SEQUENCES} x {length:,} tokens "
            f"({(needed - self.weights) / GIB:,.1f} GiB) do not fit on {max(dividing)} GPUs of {memory / GIB:,.0f} "
            "GiB; lower max_model_len in the serving settings, or serve on larger GPUs"
        )


def _number(config: dict[str, Any], usual: str, of_gpt2: str) -> int:
    return int(config[usual] if usual in config else config[of_gpt2])


def gibibytes(size: float) -> str:
    """A Kubernetes quantity, rounded up."""
    return f"{math.ceil(size / GIB)}Gi"
