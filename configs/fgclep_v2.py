"""FG-CLEP, version 2 of arXiv 2505.11939: one statement, attention, FNM loss.

  tfds build tfds_builders/mimic_iv_ecg --config original --manual_dir RAW \
    --data_dir data --file_format array_record
  fgclep train --config configs/fgclep_v2.py:coarse --data-dir data \
    --workdir runs/fgclep_v2/coarse --model.text.pretrained WEIGHTS
  fgclep enhance --workdir runs/fgclep_v2/coarse --dataset mimic_iv_ecg \
    --data-dir data --backend openai --server URL --model NAME \
    --out runs/fgclep_v2/enhanced/enhanced.parquet
  FGCLEP_ENHANCED=runs/fgclep_v2/enhanced/enhanced.parquet \
    tfds build tfds_builders/mimic_iv_ecg --config enhanced \
    --manual_dir RAW --data_dir data --file_format array_record
  fgclep train --config configs/fgclep_v2.py:fine --data-dir data \
    --workdir runs/fgclep_v2/fine --model.text.pretrained WEIGHTS

WEIGHTS is a local folder of MedCPT's query encoder with its weights as
safetensors (any BERT of base size does; for a cased one, such as
Bio_ClinicalBERT, add `--model.text.lowercase false`).

One statement of each report is drawn for a batch and attends to the tokens of
its ECG; cosines of ECG and statements shall equal those among statements, of
the untouched text encoder: those of the trained one would be met by a
collapse of all embeddings.

Hardware: one GPU of 80 GB, or TPU v5e-8. By counted operations, at 40 % of
the peak in bfloat16, 800,000 records take 10 minutes (H100) or 7 (v5e-8) for
the ten epochs of `coarse`, a third of it for the three of `fine`; where reading
is slower, it decides.
Nothing has been measured: no such hardware and data set were at hand.
"""

from fgclep_jax import config as c


def get_config(arg=""):
  if arg not in ("", "coarse", "fine"):
    raise ValueError(f"fgclep_v2.py:{arg}: give coarse (the default) or fine")
  fine = arg == "fine"
  return c.TrainConfig(
    data=c.DataConfig(
      dataset="mimic_iv_ecg",
      config="enhanced" if fine else "original",
      batch_size=800,
      statements_per_record=1,
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
      alignment="attention",
    ),
    loss=c.LossConfig(name="fnm", similarity="frozen", rule="pair"),
    optim=c.OptimConfig(
      epochs=3 if fine else 10,
      learning_rate=2e-5,
      weight_decay=1e-4,
      freeze=(r"^text\.layers\.[0-8]\.",),
    ),
    init_from="runs/fgclep_v2/coarse" if fine else "",
    validate_every=1000,
  )
