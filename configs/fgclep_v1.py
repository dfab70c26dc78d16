"""FG-CLEP, version 1 of arXiv 2505.11939: pooled ECG, soft sigmoid loss.

  tfds build tfds_builders/mimic_iv_ecg --config original --manual_dir RAW \
    --data_dir data --file_format array_record
  fgclep train --config configs/fgclep_v1.py:coarse --data-dir data \
    --workdir runs/fgclep_v1/coarse --model.text.pretrained WEIGHTS
  fgclep enhance --workdir runs/fgclep_v1/coarse --dataset mimic_iv_ecg \
    --data-dir data --backend openai --server URL --model NAME \
    --out runs/fgclep_v1/enhanced/enhanced.parquet
  FGCLEP_ENHANCED=runs/fgclep_v1/enhanced/enhanced.parquet \
    tfds build tfds_builders/mimic_iv_ecg --config enhanced \
    --manual_dir RAW --data_dir data --file_format array_record
  fgclep train --config configs/fgclep_v1.py:fine --data-dir data \
    --workdir runs/fgclep_v1/fine --model.text.pretrained WEIGHTS

WEIGHTS is a local folder of MedCPT's query encoder with its weights as
safetensors (any BERT of base size does; for a cased one, such as
Bio_ClinicalBERT, add `--model.text.lowercase false`).

Each report is the set of its statements; the similarity of statements is the
label. What version 1 leaves open has version 3's constants.

Hardware: one GPU of 80 GB, or TPU v5e-8. By counted operations, at 40 % of
the peak in bfloat16, 800,000 records take 15 minutes (H100) or 10 (v5e-8) for
the ten epochs of `coarse`, a third of it for the three of `fine`; where reading
is slower, it decides.
Nothing has been measured: no such hardware and data set were at hand.
"""

from fgclep_jax import config as c


def get_config(arg=""):
  if arg not in ("", "coarse", "fine"):
    raise ValueError(f"fgclep_v1.py:{arg}: give coarse (the default) or fine")
  fine = arg == "fine"
  return c.TrainConfig(
    data=c.DataConfig(
      dataset="mimic_iv_ecg",
      config="enhanced" if fine else "original",
      batch_size=800,
      threads=8,
    ),
    model=c.ModelConfig(
      ecg=c.EcgConfig(name="st_vit_tiny"),
      text=c.TextConfig(
        width=768,
        depth=12,
        heads=12,
        mlp=3072,
        max_tokens=64,
        pretrained="weights/MedCPT-Query-Encoder",
      ),
    ),
    loss=c.LossConfig(rule="pair"),
    optim=c.OptimConfig(
      epochs=3 if fine else 10,
      learning_rate=2e-5,
      weight_decay=1e-4,
      freeze=(r"^text\.layers\.[0-8]\.",),
    ),
    init_from="runs/fgclep_v1/coarse" if fine else "",
    validate_every=1000,
  )
