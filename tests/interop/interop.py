"""The other side of interop_test.ts: timm, PEFT and transformers write files for geolora, and read its files.

  python interop.py make FOLDER     writes what geolora must load, with the embeddings that it must give
  python interop.py embed FOLDER    reads what geolora wrote there, and writes embeddings.safetensors

The folder `files` beside this script is in the repository, so that half of the test runs without Python; made with

  pip install -r requirements.txt && python interop.py make files

Weights follow the hash rule of ../golden/dinov3_reference.py.
"""
import json
import sys
from pathlib import Path

import peft
import timm
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "golden"))
from dinov3_reference import hashed, offset_scale  # noqa: E402

NAME = "vit_small_patch16_dinov3"
TINY = {"embed_dim": 64, "depth": 2, "num_heads": 1, "mlp_ratio": 8}
TARGETS = ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"]
LORA = {"r": 4, "lora_alpha": 6, "target_modules": TARGETS}


def build(hidden=None, dim=None, **size):
    """timm's model, with geolora's head where one is wanted."""
    model = timm.create_model(NAME, num_classes=0, **size)
    if hidden:
        model.head = nn.Sequential(nn.Linear(model.num_features, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, dim))
    return model.eval()


def fill(parameters, seed):
    for name, value in parameters:
        data = hashed(name, tuple(value.shape), seed, *offset_scale(name, value.shape))
        with torch.no_grad():
            value.copy_(torch.from_numpy(data).bfloat16())  # exact in a file of half the size


def normalised(pixels, model):
    """(n, height, width, 3) u8 as the model's input."""
    mean, std = (torch.tensor(model.pretrained_cfg[key]) for key in ("mean", "std"))
    return ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)


def embed(model, images):
    with torch.inference_mode():
        return nn.functional.normalize(model(images), dim=-1).contiguous()


def hugging_face(timm_model):
    """The same weights in transformers' model."""
    config = transformers.DINOv3ViTConfig(
        hidden_size=TINY["embed_dim"], num_hidden_layers=TINY["depth"], num_attention_heads=TINY["num_heads"],
        intermediate_size=TINY["embed_dim"] * TINY["mlp_ratio"], num_register_tokens=4)
    model = transformers.DINOv3ViTModel(config).eval()
    theirs = timm_model.state_dict()
    names = {"embeddings.cls_token": "cls_token", "embeddings.register_tokens": "reg_token",
             "embeddings.patch_embeddings.weight": "patch_embed.proj.weight",
             "embeddings.patch_embeddings.bias": "patch_embed.proj.bias"}
    parts = {"attention.o_proj": "attn.proj", "mlp.up_proj": "mlp.fc1", "mlp.down_proj": "mlp.fc2",
             "layer_scale1.lambda1": "gamma_1", "layer_scale2.lambda1": "gamma_2"}
    state = model.state_dict()
    for name, value in state.items():
        source = names.get(name, name.replace("model.layer.", "blocks."))
        for part, ours in parts.items():
            source = source.replace(part, ours)
        for row, part in enumerate(("q_proj", "k_proj", "v_proj")):
            if f"attention.{part}.weight" in name:
                qkv = theirs[source.replace(f"attention.{part}", "attn.qkv")]
                value.copy_(qkv.chunk(3)[row])
                break
        else:
            if name.endswith(("q_proj.bias", "v_proj.bias", "mask_token")):
                value.zero_()  # timm's model has none
            else:
                value.copy_(theirs[source])
    return model


def make(folder):
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    pixels = torch.randint(0, 256, (2, 48, 48, 3), dtype=torch.uint8)
    expected = {"pixels": pixels}

    model = build(**TINY)
    fill(model.named_parameters(), seed=0)
    images = normalised(pixels, model)
    expected["backbone"] = embed(model, images)
    half = {name: value.bfloat16() for name, value in model.state_dict().items()}
    save_file(half, folder / "timm.safetensors", {"format": "pt"})

    theirs = hugging_face(model)
    with torch.inference_mode():
        patches = theirs(images).last_hidden_state[:, 5:]  # after the class token and four registers
    torch.testing.assert_close(nn.functional.normalize(patches.mean(1), dim=-1), expected["backbone"])
    theirs.bfloat16().save_pretrained(folder / "hf")
    (folder / "hf" / "model.safetensors").replace(folder / "hugging_face.safetensors")
    (folder / "hf" / "config.json").unlink()
    (folder / "hf").rmdir()

    # An adapter that PEFT trains and writes, with every option that geolora takes.
    config = peft.LoraConfig(
        **LORA, lora_dropout=0.1, use_rslora=True, modules_to_save=["head"],
        rank_pattern={"1.mlp.fc2": 3, r".*\.attn\.qkv": 2}, alpha_pattern={"mlp.fc1": 5})
    base = build(32, 16, **TINY)
    base.load_state_dict(model.state_dict(), strict=False)
    tuned = peft.get_peft_model(base, config)
    optimiser = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=1e-2)
    tuned.train()
    for _ in range(3):
        optimiser.zero_grad()
        tuned(images).square().mean().backward()
        optimiser.step()
    expected["adapter"] = embed(tuned.eval(), images)
    tuned.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink()
    save_file(expected, folder / "expected.safetensors")

    # Configurations that PEFT writes for what geolora does not compute.
    refused = {
        "use_dora": peft.LoraConfig(**LORA, use_dora=True),
        "lora_bias": peft.LoraConfig(**LORA, lora_bias=True),
        "bias": peft.LoraConfig(**LORA, bias="lora_only"),
        "init_lora_weights": peft.LoraConfig(**LORA, init_lora_weights="pissa"),
        "layer_replication": peft.LoraConfig(**LORA, layer_replication=[(0, 2), (1, 2)]),
        "modules_to_save": peft.LoraConfig(**LORA, modules_to_save=["head", "norm"]),
        "peft_type": peft.LoHaConfig(r=4, target_modules=TARGETS),
    }
    configs = {}
    for option, config in refused.items():
        config.save_pretrained(folder)
        path = folder / "adapter_config.json"
        configs[option] = json.loads(path.read_text())
        path.unlink()
    (folder / "refused.json").write_text(json.dumps(configs, indent=1, sort_keys=True) + "\n")


def load_adapter(folder):
    """geolora's adapter on geolora's weights, as PEFT loads it into timm's model."""
    has_head = json.loads((folder / "adapter_config.json").read_text())["modules_to_save"]
    model = build(*([32, 16] if has_head else []))
    result = model.load_state_dict(load_file(folder.parent / "weights.safetensors"), strict=False)
    assert not result.unexpected_keys and all(key.startswith("head.") for key in result.missing_keys), result
    return peft.PeftModel.from_pretrained(model, folder).eval()


def load_merged(path):
    model = build(32, 16)
    model.load_state_dict(load_file(path))
    return model


def read(folder):
    models = {path.parent.name: load_adapter(path.parent) for path in folder.glob("*/adapter_config.json")}
    models |= {path.stem: load_merged(path) for path in folder.glob("merged.safetensors")}
    images = normalised(load_file(HERE / "files" / "expected.safetensors")["pixels"], build())
    save_file({name: embed(model, images) for name, model in models.items()}, folder / "embeddings.safetensors")


if __name__ == "__main__":
    command, target = sys.argv[1:]
    {"make": make, "embed": read}[command](Path(target))
