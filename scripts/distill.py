"""A smaller pair from a pair: a student generalist and a student expert of one architecture with fewer image blocks.

    python scripts/distill.py GENERALIST EXPERT IMAGES OUT [--layers N] [--steps N] [--batch N] [--lr X] [--seed N] [--threads N]

GENERALIST and EXPERT are CLIP models in Hugging Face's layout, IMAGES a folder of images without labels. Writes OUT/generalist and
OUT/expert, which `t3b` reads as it reads any pair (docs/small_machines.md). In this order:

1. The student generalist inherits the teacher's weights and some of its image blocks, evenly spaced (TinyCLIP, arXiv 2309.12314, inherits
   weights by hand in this way).
2. It is trained until its unit features approach those of the teacher generalist: the loss is 1 - cosine. Training a small model on the
   outputs of a large one is distillation (Hinton et al. 2015, arXiv 1503.02531). Teacher and student see the same crop of an image
   (Beyer et al. 2022, arXiv 2106.05237).
3. The student expert begins as the trained student generalist and is trained towards the teacher expert. Both lie in one basin then, as
   interpolation of weights wants it (Neyshabur et al. 2020, arXiv 2008.11687).
4. A tenth of the images is never trained on: the mean cosine of student and teacher on it is printed.

Text towers and logit_scale stay the teachers', tensor for tensor. Needs torch, torchvision, transformers, safetensors and pillow, as in
tests/bench/peers/requirements.txt. Two calls on one machine with the same arguments write the same files.
"""

import argparse
import copy
import json
import math
import pathlib
import random
import shutil

import torch
from PIL import Image, ImageEnhance
from safetensors.torch import save as serialised
from torch.nn.functional import cosine_similarity
from transformers import CLIPModel
from transformers.models.clip import CLIPImageProcessorPil

IMAGE = ("vision_model.", "visual_projection.")  # the tensors that are trained, by their names
ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
COPIED = [
    "merges.txt", "vocab.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "preprocessor_config.json", "processor_config.json",
]  # fmt: skip


def teacher_of(folder, device):
    """A whole CLIP model in f32. One with missing tensors is refused, for transformers would fill them with random numbers."""
    if json.loads((folder / "config.json").read_text()).get("model_type") != "clip":
        raise SystemExit(f"{folder}: no CLIP model in Hugging Face's layout")
    model, report = CLIPModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    if report["missing_keys"]:
        raise SystemExit(f"{folder} lacks {sorted(report['missing_keys'])[:3]}")
    return model.eval().requires_grad_(False).to(device)


def kept_blocks(n_teacher, n_student):
    """Indices of the teacher's blocks that a student begins with: evenly spaced, the first and the last among them."""
    if not 1 <= n_student <= n_teacher:
        raise SystemExit(f"--layers is from 1 to {n_teacher}, the teacher's image blocks")
    if n_student == 1:
        return [n_teacher - 1]
    return [round(n * (n_teacher - 1) / (n_student - 1)) for n in range(n_student)]


def student_of(teacher, kept):
    """A copy of the teacher with the kept image blocks alone; all else is the teacher's."""
    student = copy.deepcopy(teacher)
    encoder = student.vision_model.encoder
    encoder.layers = torch.nn.ModuleList(encoder.layers[n] for n in kept)
    student.config.vision_config.num_hidden_layers = len(kept)
    return student


def preprocessing(folder, side_px):
    """What the checkpoint's files say is done to pixels, by Pillow as t3b does it; CLIP's own way where no file says."""
    if (folder / "preprocessor_config.json").exists():
        return CLIPImageProcessorPil.from_pretrained(folder)
    return CLIPImageProcessorPil(size={"shortest_edge": side_px}, crop_size={"height": side_px, "width": side_px})


def augmented(image, rng):
    """Light augmentation: a crop of 70 to 100 % of either side, a flip, brightness and contrast within a fifth."""
    width, height = image.size
    share = rng.uniform(0.7, 1.0)
    kept_width, kept_height = max(1, round(width * share)), max(1, round(height * share))
    left, top = rng.randint(0, width - kept_width), rng.randint(0, height - kept_height)
    image = image.crop((left, top, left + kept_width, top + kept_height))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast):
        image = enhance(image).enhance(rng.uniform(0.8, 1.2))
    return image


def pixels_of(files, process, device, rng=None):
    """Images as a batch of a model's inputs, augmented where there is a source of chance."""
    images = [Image.open(file).convert("RGB") for file in files]
    images = images if rng is None else [augmented(image, rng) for image in images]
    return process(images, return_tensors="pt")["pixel_values"].to(device)


def features(model, pixels):
    """Image features in the space of the texts, not yet of unit length."""
    return model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)


def image_parameters(model):
    """What is trained, and all that is: the image tower and its projection."""
    return [*model.vision_model.parameters(), *model.visual_projection.parameters()]


def rate(step, n_steps):
    """Share of the learning rate at a step: a linear warm-up over a twentieth of the steps, then half a cosine to zero."""
    n_warm = max(1, n_steps // 20)
    if step < n_warm:
        return (step + 1) / n_warm
    return 0.5 * (1 + math.cos(math.pi * (step - n_warm) / max(1, n_steps - n_warm)))


def train(student, teacher, files, process, arguments):
    """Moves the student's unit features towards the teacher's: AdamW on 1 - cosine, images in an order drawn anew every epoch."""
    rng, order = random.Random(arguments.seed), []
    parameters = [parameter.requires_grad_(True) for parameter in image_parameters(student)]
    optimizer = torch.optim.AdamW(parameters, lr=arguments.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, arguments.steps))
    for step in range(arguments.steps):
        while len(order) < arguments.batch:
            order += rng.sample(files, len(files))
        batch, order = order[: arguments.batch], order[arguments.batch :]
        pixels = pixels_of(batch, process, arguments.device, rng)
        with torch.no_grad():
            wanted = features(teacher, pixels)
        loss = (1 - cosine_similarity(features(student, pixels), wanted)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"  step {step + 1} of {arguments.steps}, 1 - cosine {loss.item():.4f}", flush=True)
    for parameter in parameters:
        parameter.requires_grad_(False)


@torch.no_grad()
def mean_cosine(student, teacher, files, process, arguments):
    """Mean cosine of student and teacher over images as they are."""
    total = 0.0
    for start in range(0, len(files), arguments.batch):
        pixels = pixels_of(files[start : start + arguments.batch], process, arguments.device)
        total += cosine_similarity(features(student, pixels), features(teacher, pixels)).sum().item()
    return total / len(files)


def save(student, teacher, source, out):
    """A Hugging Face folder: the student's image tower, all else the teacher's, the small files of the teacher's folder copied."""
    tensors = {name: value for name, value in teacher.state_dict().items() if not name.startswith(IMAGE)}
    tensors |= {name: value for name, value in student.state_dict().items() if name.startswith(IMAGE)}
    config = json.loads((source / "config.json").read_text())
    n_layers = student.config.vision_config.num_hidden_layers
    config["vision_config"] = (config.get("vision_config") or {}) | {"num_hidden_layers": n_layers}
    if config.get("vision_config_dict"):  # of old exports; it wins over the other
        config["vision_config_dict"]["num_hidden_layers"] = n_layers
    config.pop("torch_dtype", None)
    config["dtype"] = "float32"
    out.mkdir(parents=True)
    tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
    (out / "model.safetensors").write_bytes(serialised(tensors, {"format": "pt"}))
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for name in COPIED:
        if (source / name).exists():
            shutil.copyfile(source / name, out / name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("generalist", "expert", "images", "out"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--layers", type=int, help="image blocks of the students; default: half of the teachers'")
    parser.add_argument("--steps", type=int, default=2000, help="steps of each of the two trainings; default: %(default)s")
    parser.add_argument("--batch", type=int, default=32, help="images a step; default: %(default)s")
    parser.add_argument("--lr", type=float, default=1e-4, help="highest learning rate; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of crops, flips and the order of images; default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="threads of a step; default: %(default)s")
    parser.add_argument("--device", default="cpu", help="as torch names it; default: %(default)s")
    arguments = parser.parse_args()
    if any((arguments.out / name).exists() for name in ("generalist", "expert")):
        raise SystemExit(f"{arguments.out} holds models already; name another folder")
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True)
    files = sorted(file for file in arguments.images.rglob("*") if file.suffix.lower() in ENDINGS)
    held_out, trained_on = files[::10], [file for n, file in enumerate(files) if n % 10]
    if not trained_on:
        raise SystemExit(f"{arguments.images} holds {len(files)} images; training and a held-out tenth take two at least")

    generalist, expert = (teacher_of(folder, arguments.device) for folder in (arguments.generalist, arguments.expert))
    vision = generalist.config.vision_config
    kept = kept_blocks(vision.num_hidden_layers, arguments.layers or max(1, vision.num_hidden_layers // 2))
    process = preprocessing(arguments.generalist, vision.image_size)
    student = student_of(generalist, kept)
    counts = [sum(parameter.numel() for parameter in image_parameters(model)) for model in (generalist, student)]
    print(f"blocks {kept} of {vision.num_hidden_layers}; parameters of the image tower: teacher {counts[0]}, students {counts[1]}")
    print(f"{len(trained_on)} images to train on, {len(held_out)} held out")
    for name, teacher in (("generalist", generalist), ("expert", expert)):
        before = mean_cosine(student, teacher, held_out, process, arguments)
        train(student, teacher, trained_on, process, arguments)
        after = mean_cosine(student, teacher, held_out, process, arguments)
        save(student, teacher, getattr(arguments, name), arguments.out / name)
        print(f"{name}: mean cosine to the teacher on held-out images {before:.4f} before, {after:.4f} after; {arguments.out / name}")


if __name__ == "__main__":
    main()
