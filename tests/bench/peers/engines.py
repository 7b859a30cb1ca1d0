"""T3_B on Ray Data or Daft, the method of pipeline.py in their batch inference: peers of tests/bench/peers/end_to_end.py.

    python engines.py ray|daft FOLDER --threads 2

Files are read, decoded and corrupted row by row; one process or thread that holds the models takes batches of 32 images. Prints what
pipeline.py prints. The engine's start and the seconds of loading the models are taken off, though the engine may have decoded in them.
"""

import argparse
import io
import os
import pathlib
import time

import numpy as np
import torch

import pipeline

SHAPE = (len(pipeline.CELLS), 3, pipeline.SIDE_PX, pipeline.SIDE_PX)


class Lane:
    """What both engines make once and give batches to. Its rows are lists of columns."""

    def __init__(self, folder, threads):
        began = time.perf_counter()
        self.scorer = pipeline.Scorer(folder, threads)
        self.load_s = time.perf_counter() - began

    def columns(self, index, images):
        rows = self.scorer.rows(index, torch.from_numpy(np.array(images)))
        row, cell, coefficient, pred, prob = zip(*rows)
        load_s = [self.load_s] * len(rows)
        return {"row": row, "cell": cell, "coefficient": coefficient, "pred": pred, "prob": prob, "load_s": load_s}


def on_ray(files, folder, threads):
    os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
    import ray

    here = str(pathlib.Path(__file__).parent)
    ray.init(num_cpus=threads, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": here}})
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False

    def decoded(row):
        return {"row": row["row"], "pixels": pipeline.pixels_of(row["file"])}

    class RayLane(Lane):
        def __call__(self, batch):
            return {key: np.array(column) for key, column in self.columns(batch["row"].tolist(), batch["pixels"]).items()}

    began = time.perf_counter()
    rows = ray.data.from_items([{"row": n, "file": str(file)} for n, file in enumerate(files)])
    scored = rows.map(decoded).map_batches(
        RayLane,
        fn_constructor_args=(folder, threads),
        batch_size=pipeline.BATCH,
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=1,
    )
    return began, scored.take_all(), ray.shutdown


def on_daft(files, folder, threads):
    os.environ["DAFT_PROGRESS_BAR"] = "0"
    import daft

    fields = {"row": "int64", "cell": "string", "coefficient": "float64", "pred": "int64", "prob": "float64", "load_s": "float64"}
    kinds = daft.DataType.struct({name: getattr(daft.DataType, kind)() for name, kind in fields.items()})

    @daft.func(return_dtype=daft.DataType.tensor(daft.DataType.uint8(), SHAPE))
    def decoded(content: bytes):
        return pipeline.pixels_of(io.BytesIO(content))

    @daft.cls(max_concurrency=1)
    class DaftLane(Lane):
        @daft.method.batch(return_dtype=daft.DataType.list(kinds), batch_size=pipeline.BATCH)
        def score(self, row, pixels):
            index = row.to_pylist()
            columns = self.columns(index, pixels.to_pylist())
            rows = [dict(zip(columns, values)) for values in zip(*columns.values())]
            return [[one for one in rows if one["row"] == n] for n in index]

    began = time.perf_counter()
    frame = daft.from_pydict({"row": list(range(len(files))), "file": [str(file) for file in files]})
    frame = frame.with_column("pixels", decoded(frame["file"].download()))
    frame = frame.select(DaftLane(folder, threads).score(frame["row"], frame["pixels"]).alias("rows"))
    rows = [row for rows in frame.to_pydict()["rows"] for row in rows]
    return began, rows, lambda: None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=["ray", "daft"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    files = sorted((folder / "images").iterdir())
    began, rows, end = {"ray": on_ray, "daft": on_daft}[arguments.engine](files, folder, arguments.threads)
    load_s = rows[0]["load_s"]
    keys = ("row", "cell", "coefficient", "pred", "prob")
    pipeline.report(folder, [[row[key] for key in keys] for row in rows], load_s, began + load_s)
    end()


if __name__ == "__main__":
    main()
