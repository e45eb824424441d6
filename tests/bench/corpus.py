"""`make bench-corpus`: the corpus chain against its peers on the same file, one core each, as one JSON table.

    python -m tests.bench.corpus [--input FILE [--truth FILE]] [--big FILE [--big-truth FILE] [--grow GB ...]]

Rates are megabytes of the uncompressed file by CPU second, so that what else the machine does matters little.
"""

import argparse
import gzip
import json
import lzma
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import zstandard

from tests.bench.engines import engines, growth
from tests.bench.truth import read_truth, score
from trainers.contract import settings

ROOT = Path(__file__).parent.parent.parent
_MIDDLE_BYTES = 80_000_000
BENCH = (settings.TESTDATA.get() or ROOT.parent / "shared" / "data") / "bench"
_SMALL = BENCH / "bench_20mb.jsonl.xz"


def main() -> None:
    """Measure everything and print the table; or, as a child, one thing."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.corpus", description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, default=_SMALL, help="JSON lines (%(default)s)")
    parser.add_argument("--truth", type=Path, help="its known duplicates; without, nothing is scored")
    parser.add_argument("--big", type=Path, help="a file for the scaling rows, e.g. bench_200mb.jsonl.zst")
    parser.add_argument("--big-truth", type=Path, help="its known duplicates")
    parser.add_argument("--grow", nargs="*", type=float, default=[], help="gigabytes of the big file's edited copies")
    parser.add_argument("--only", nargs="*", help="rows to measure, e.g. near/ours filters/polars chain")
    parser.add_argument("--child", nargs=2, metavar=("ROW", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_measure(options.child[0], Path(options.child[1]))))
        return
    table: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        truth = options.truth or _truth_of(options.input)
        small = _unpacked(options.input, Path(folder) / "small.jsonl")
        for row in _rows():
            if not options.only or any(row.startswith(wanted) for wanted in options.only):
                table[row] = _child_or_why_not(row, small, truth)
                print(f"{row}: {table[row]}", file=sys.stderr, flush=True)
        if options.big:
            big = _unpacked(options.big, Path(folder) / "big.jsonl")
            for name, rows in (
                ("scaling", lambda: _scaling(small, big, options.big_truth or _truth_of(options.big))),
                ("engines", lambda: engines(small, big, _alone)),
                ("growth", lambda: growth(big, options.grow, _alone)),
            ):
                if not options.only or name in options.only:
                    table[name] = rows()
                    print(f"{name}: {table[name]}", file=sys.stderr, flush=True)
    print(json.dumps({"input": options.input.name, "table": table, **_ratios(table)}, indent=1))


def _rows() -> list[str]:
    from tests.bench.peers import FILTERS, NEAR_DEDUP
    from tests.bench.personal import FINDERS

    groups = {"near": NEAR_DEDUP, "filters": FILTERS, "personal": FINDERS}
    return [*(f"{kind}/{name}" for kind, names in groups.items() for name in names), "chain"]


def _truth_of(path: Path) -> Path | None:
    """The known duplicates of the test data's own files."""
    name = path.name.partition(".")[0]
    return next(BENCH.glob(f"{name}_truth.jsonl*"), None) if path.parent.resolve() == BENCH.resolve() else None


def _unpacked(path: Path, target: Path) -> Path:
    """The file as plain JSON lines with ids, which the peers need."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        data = lzma.decompress(data)
    elif path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(data).read()
    if "id" not in json.loads(data[: data.find(b"\n") + 1 or None]):
        rows = map(json.loads, data.splitlines())
        data = b"".join(json.dumps({"id": f"r{n}", **row}).encode() + b"\n" for n, row in enumerate(rows))
    target.write_bytes(data)
    return target


def _child(row: str, path: Path, truth: Path | None) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.bench.corpus", "--child", row, str(path)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{row}: {done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    dropped = result.pop("dropped", None)
    if dropped is not None and truth is not None:
        with path.open(encoding="utf-8") as stream:
            ids = [json.loads(line)["id"] for line in stream]
        result |= score(read_truth(truth), ids, set(dropped), BENCH / "bench_residual.jsonl", ("exact", "near")).row()
    return result


def _child_or_why_not(row: str, path: Path, truth: Path | None) -> dict[str, Any]:
    """A peer that cannot be had, or breaks, says so in its row; one of ours that does ends the bench."""
    try:
        return _child(row, path, truth)
    except RuntimeError as error:
        if row == "chain" or row.endswith("/ours"):
            raise
        return {"not measured": str(error).splitlines()[-1]}


def _alone(row: str, path: Path) -> dict[str, Any]:
    return _child(row, path, None)


def _cpu() -> float:
    """CPU seconds of this process and all below it, whether they have ended or run yet."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    spent = sum(one.ru_utime + one.ru_stime for one in usage)
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            spent += sum(child.cpu_times()[:4])
    return spent


def _measure(row: str, path: Path) -> dict[str, Any]:
    """One row, in this process; compiled code is warm, as it is after the first run on a machine."""
    from tests.bench.engines import measure
    from tests.bench.peers import FILTERS, NEAR_DEDUP, ON_RAY, filters_ours, ours, start_ray
    from trainers.contract.recipe.data import CorpusSection
    from trainers.runner.host_memory import most_resident, peak_bytes

    size = path.stat().st_size / 1e6
    kind, _, name = row.partition("/")
    if kind == "personal":
        from tests.bench import personal

        return personal.measure(name, [json.loads(line)["text"] for line in path.open(encoding="utf-8")])
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if kind == "filters":
            texts = [json.loads(line)["text"] for line in path.open(encoding="utf-8")]
            FILTERS[name](texts[:5])
            size = sum(len(text.encode()) for text in texts) / 1e6
            began, wall = _cpu(), time.monotonic()
            result: dict[str, Any] = {"kept": FILTERS[name](texts)}
        else:
            filters_ours(["가나다 라마바"])
            if name in ON_RAY:
                start_ray()
            began, wall = _cpu(), time.monotonic()
            if kind == "engine":
                result = measure(name, path, work)
            elif kind == "near":
                result = {"dropped": sorted(NEAR_DEDUP[name](path, work))}
            else:
                result = {"removed": len(ours(path, work, CorpusSection()))}
                result |= json.loads((work / "timings.json").read_text())
        spent = _cpu() - began
    peak = max(peak_bytes(), most_resident(resource.RUSAGE_CHILDREN)) / 1e6
    # datatrove's executor ends a process of Ray's for each step, and what those spent is counted nowhere.
    cpu = {} if name == "datatrove-ray" else {"MB/s per core": round(size / spent, 2), "cpu seconds": round(spent, 2)}
    return {
        **cpu,
        "wall seconds": round(time.monotonic() - wall, 2),
        "peak MB": round(peak),
        **result,
    }


def _scaling(small: Path, big: Path, truth: Path | None) -> dict[str, Any]:
    """The whole chain on the small file, the first 80 MB of the big one, and all of that."""
    paths = [small, big]
    if big.stat().st_size > _MIDDLE_BYTES:
        paths.insert(1, big.with_name("middle.jsonl"))
        with big.open("rb") as source, paths[1].open("wb") as target:
            data = source.read(_MIDDLE_BYTES)
            target.write(data[: data.rfind(b"\n") + 1])
    rows = {}
    for path in paths:
        rows[f"{path.stat().st_size / 1e6:.0f} MB"] = _alone("chain", path)
        print(f"scaling {path.name}: {rows}", file=sys.stderr, flush=True)
    costs = [1 / row["MB/s per core"] for row in rows.values()]
    rows["growth over linear"] = round(max(costs) / costs[0], 3)
    rows["near dedup"] = _child("near/ours", big, truth)
    return rows


def _ratios(table: dict[str, Any]) -> dict[str, Any]:
    """Our rate over each peer's."""
    ratios = {}
    for kind in ("near", "filters"):
        mine = table.get(f"{kind}/ours")
        for row, result in table.items():
            if mine and row.startswith(f"{kind}/") and row != f"{kind}/ours" and "MB/s per core" in result:
                ratios[f"{kind}: ours over {row.split('/')[1]}"] = round(
                    mine["MB/s per core"] / result["MB/s per core"], 2
                )
    datatrove = [table.get(f"{kind}/datatrove", {}).get("cpu seconds") for kind in ("filters", "near")]
    if (chain := table.get("chain")) and all(datatrove):
        theirs = sum(datatrove)
        ratios["whole chain: ours over datatrove's filters and near dedup"] = round(theirs / chain["cpu seconds"], 2)
    return {"ratios": ratios}


if __name__ == "__main__":
    main()
