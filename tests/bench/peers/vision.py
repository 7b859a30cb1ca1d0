"""CLIP image towers of other CPU runtimes, for tests/bench/tower.rs, which starts this and says when to run.

    python vision.py FOLDER --patch 16 --threads 2

FOLDER/tower.safetensors holds weights under Hugging Face's names and the pixels. The first line printed names the runtimes that
are installed: torch, and onnxruntime and openvino if onnx is there too. Then each line of input is answered by one: a runtime's
name by the wall and the CPU seconds of one call, `features NAME` by its features. `--graph class` gives every runtime the model whose last
block goes on with the class token alone, as ours does.
"""

import argparse
import importlib.util
import pathlib
import sys
import time

import torch
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection


def model(patch_px, tensors):
    """ViT-B/16 or B/32 of OpenAI's CLIP."""
    net = CLIPVisionModelWithProjection(CLIPVisionConfig(patch_size=patch_px, attn_implementation="sdpa"))
    net.load_state_dict(tensors, strict=True)
    return net.eval()


class Features(torch.nn.Module):
    """Pixels to unit-length features."""

    def __init__(self, tower):
        super().__init__()
        self.tower = tower

    def forward(self, pixels):
        features = self.tower(pixel_values=pixels).image_embeds
        return features / features.norm(dim=-1, keepdim=True)


class ClassOnly(Features):
    """The same features; in the last block only keys and values are computed for the patches."""

    def forward(self, pixels):
        vision = self.tower.vision_model
        x = vision.pre_layrnorm(vision.embeddings(pixels))
        for layer in vision.encoder.layers[:-1]:
            x = layer(x, attention_mask=None)
            x = x[0] if isinstance(x, tuple) else x
        last = vision.encoder.layers[-1]
        attention = last.self_attn
        hidden = last.layer_norm1(x)

        def split(y):
            return y.view(y.shape[0], y.shape[1], attention.num_heads, -1).transpose(1, 2)

        query = split(attention.q_proj(hidden[:, :1]))
        mixed = torch.nn.functional.scaled_dot_product_attention(
            query, split(attention.k_proj(hidden)), split(attention.v_proj(hidden))
        )
        mixed = mixed.transpose(1, 2).reshape(x.shape[0], 1, x.shape[2])
        x = x[:, :1] + attention.out_proj(mixed)
        x = x + last.mlp(last.layer_norm2(x))
        features = self.tower.visual_projection(vision.post_layernorm(x[:, 0]))
        return features / features.norm(dim=-1, keepdim=True)


def torch_runner(net, pixels, threads):
    """Eager PyTorch under inference mode."""
    torch.set_num_threads(threads)

    def run():
        with torch.inference_mode():
            return net(pixels).numpy()

    return run


def export(net, pixels, folder):
    """The model as an ONNX file of a fixed batch size."""
    path = str(pathlib.Path(folder) / "tower.onnx")
    with torch.inference_mode():
        torch.onnx.export(net, (pixels,), path, input_names=["pixels"], output_names=["features"], dynamo=False)
    return path


def onnxruntime_runner(path, pixels, threads):
    """ONNX Runtime's CPU provider, all graph optimisations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {"pixels": pixels.numpy()}
    return lambda: session.run(None, feed)[0]


def openvino_runner(path, pixels, threads):
    """OpenVINO's CPU plugin, f32, throughput of one request."""
    import openvino

    config = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(path, "CPU", config)
    request = compiled.create_infer_request()
    feed = pixels.numpy()
    return lambda: request.infer({0: feed})[compiled.output(0)]


def runners_of(net, pixels, folder, threads):
    """What is installed, by name."""
    runners = {"torch": torch_runner(net, pixels, threads)}
    others = {"onnxruntime": onnxruntime_runner, "openvino": openvino_runner}
    installed = [name for name in others if importlib.util.find_spec(name) and importlib.util.find_spec("onnx")]
    if installed:
        path = export(net, pixels, folder)
        runners.update({name: others[name](path, pixels, threads) for name in installed})
    return runners


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--patch", type=int, default=16, choices=[16, 32])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--graph", default="full", choices=["full", "class"])
    arguments = parser.parse_args()

    tensors = load_file(arguments.folder / "tower.safetensors")
    pixels = tensors.pop("pixels")
    net = (Features if arguments.graph == "full" else ClassOnly)(model(arguments.patch, tensors)).eval()
    runners = runners_of(net, pixels, arguments.folder, arguments.threads)
    results = {name: run() for name, run in runners.items()}
    print(*runners, flush=True)
    for line in sys.stdin:
        *ask, name = line.split()
        if ask:
            print(*results[name].ravel().tolist(), flush=True)
            continue
        wall, cpu = time.perf_counter(), time.process_time()
        runners[name]()
        print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)


if __name__ == "__main__":
    main()
