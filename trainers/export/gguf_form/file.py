"""A model folder written as GGUF, tensor by tensor, so that a large model needs no more memory than its largest one."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from gguf import GGML_QUANT_VERSION, MODEL_ARCH_NAMES, GGUFReader, GGUFWriter, get_tensor_name_map, quants
from safetensors import safe_open

from trainers.contract import BadRequest
from trainers.export.gguf_form.families import Array, change_of, family_of, rope_factors, write_sizes
from trainers.export.gguf_form.numbers import FILE_TYPES, encoded, number_of
from trainers.export.gguf_form.tokenizer import write_tokenizer


@dataclass(frozen=True)
class _Tensor:
    source: str
    """transformers' name; empty for what is made from the config."""
    name: str
    shape: tuple[int, ...]


class GgufSource:
    """A model folder, as GGUF sees it."""

    def __init__(self, folder: Path):
        self.folder = folder
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.config = config
        self.family = family_of(config)
        self.names = get_tensor_name_map(self.family.architecture, config["num_hidden_layers"])

    def name_of(self, source: str) -> str:
        """GGUF's name of the tensor that transformers calls so.

        Raises:
            BadRequest: the family has no such tensor in llama.cpp.
        """
        name = self.names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise BadRequest(f"recipe key export.gguf: llama.cpp has no place for the model's tensor {source}")
        return str(name)

    def write(self, form: str, path: Path, title: str, importance: Mapping[str, Array] | None = None) -> None:
        """Write one form: f16, q8_0 or q4_k_m.

        Args:
            importance: of the columns of tensors, by transformers' names.
        """
        factors = rope_factors(self.config)
        with ExitStack() as shards:
            opened = [shards.enter_context(safe_open(p, "pt")) for p in sorted(self.folder.glob("*.safetensors"))]
            where = {key: shard for shard in opened for key in shard.keys()}  # noqa: SIM118 - no mapping
            tensors = [_Tensor(key, self.name_of(key), tuple(s.get_slice(key).get_shape())) for key, s in where.items()]
            if factors is not None:
                tensors.insert(0, _Tensor("", "rope_freqs.weight", factors.shape))
            tied = all(tensor.name != "output.weight" for tensor in tensors)
            layers = int(self.config["num_hidden_layers"])
            numbers = {t.name: number_of(form, t.name, t.shape, layers, tied) for t in tensors}
            writer = GGUFWriter(path, MODEL_ARCH_NAMES[self.family.architecture])
            writer.add_name(title)
            writer.add_file_type(FILE_TYPES[form])
            writer.add_quantization_version(GGML_QUANT_VERSION)
            write_sizes(writer, self.config, self.family)
            write_tokenizer(writer, self.folder, self.config)
            for tensor in tensors:
                number = numbers[tensor.name]
                coded = quants.quant_shape_to_byte_shape(tensor.shape, number)
                size = int(numpy.prod(coded, dtype=numpy.int64))
                writer.add_tensor_info(tensor.name, tensor.shape, numpy.dtype(numpy.float32), size, number)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for tensor in tensors:
                weight = self._weight(where, tensor.source) if tensor.source else factors
                assert weight is not None
                writer.write_tensor_data(encoded(weight, numbers[tensor.name], (importance or {}).get(tensor.source)))
            writer.close()

    def _weight(self, where: dict[str, Any], source: str) -> Array:
        weight: Array = where[source].get_tensor(source).to(torch.float32).numpy()
        return change_of(source, self.config, self.family)[0](weight)

    def weights(self, path: Path, sources: list[str]) -> Iterator[tuple[str, Array]]:
        """(transformers' name, float32) of the tensors of a written file, as llama.cpp will see them."""
        written = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
        for source in sources:
            tensor = written[self.name_of(source)]
            weight = quants.dequantize(tensor.data, tensor.tensor_type)
            yield source, change_of(source, self.config, self.family)[1](weight)
