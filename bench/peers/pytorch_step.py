"""PyTorch's time for what the step benchmark measures: embedding and LoRA step of ViT-S/16.

    python3 bench/peers/pytorch_step.py [--device cuda] [--precision f16] [--dropout 0.1]

Needs torch, timm and peft. Weights are random: kernels take the same time whatever the numbers.
Prints one line of JSON; times are in milliseconds, the fastest that were seen.
"""

import argparse
import contextlib
import json
import time

import peft
import timm
import torch
from torch import nn
from torch.nn import functional


class Embedder(nn.Module):
    """Backbone, mean of the patch tokens, head, unit length."""

    def __init__(self, size: int) -> None:
        super().__init__()
        name = "vit_small_patch16_dinov3"
        self.backbone = timm.create_model(name, num_classes=0, global_pool="avg", img_size=size)
        width = self.backbone.num_features
        self.head = nn.Sequential(
            nn.Linear(width, 2048), nn.ReLU(), nn.Dropout(0.0), nn.Linear(2048, 256)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.head(self.backbone(x)).float(), dim=-1)


def loss_of(embeddings: torch.Tensor, logit_scale: torch.Tensor) -> torch.Tensor:
    """Symmetric InfoNCE; the first half of the rows are queries."""
    query, reference = embeddings.chunk(2)
    logits = logit_scale.exp() * query @ reference.T
    labels = torch.arange(len(query), device=logits.device)
    both = [functional.cross_entropy(z, labels, label_smoothing=0.1) for z in (logits, logits.T)]
    return sum(both) / 2


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="f32", choices=["f32", "f16"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--size", type=int, default=256, help="px")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--rank", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=0, help="of each work, at least once")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = torch.device(args.device)
    half = args.precision == "f16"

    def synchronize() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def autocast() -> contextlib.AbstractContextManager:
        return torch.autocast(device.type, torch.float16) if half else contextlib.nullcontext()

    def milliseconds(work, calls: int = 1) -> float:
        synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            work()
        synchronize()
        return 1000 * (time.perf_counter() - start) / calls

    def fastest(work, seconds: float, calls: int = 1) -> float:
        """A GPU needs a while until its clock is up, and a small work more calls than one."""
        milliseconds(work)
        end = time.perf_counter() + seconds
        times = [milliseconds(work, calls)]
        while time.perf_counter() < end:
            times.append(milliseconds(work, calls))
        return min(times)

    images = torch.randn(args.images, 3, args.size, args.size, device=device)
    model = Embedder(args.size).to(device)
    m, n, k = 1044, 1152, 384
    a, b = torch.randn(m, k, device=device), torch.randn(k, n, device=device)

    def embed() -> None:
        with torch.inference_mode(), autocast():
            model(images)

    def gemm() -> None:
        a @ b

    times = {
        "gemm": fastest(gemm, max(0.2, args.seconds), calls=10),
        "embedding": fastest(embed, args.seconds),
    }

    lora = peft.LoraConfig(
        r=args.rank,
        lora_alpha=2 * args.rank,
        lora_dropout=args.dropout,
        target_modules=r"backbone\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))",
        modules_to_save=["head"],
    )
    model = peft.get_peft_model(model, lora)
    logit_scale = nn.Parameter(torch.tensor(2.66, device=device))
    trained = [p for p in model.parameters() if p.requires_grad] + [logit_scale]
    optimiser = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.01)
    scaler = torch.amp.GradScaler(device.type, enabled=half)
    model.train()

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with autocast():
            embeddings = model(images)
        scaler.scale(loss_of(embeddings, logit_scale)).backward()
        scaler.unscale_(optimiser)
        nn.utils.clip_grad_value_(trained, 100)
        scaler.step(optimiser)
        scaler.update()

    times["step"] = fastest(step, args.seconds)
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
                "trained": sum(p.numel() for p in trained),
                **times,
            }
        )
    )


if __name__ == "__main__":
    main()
