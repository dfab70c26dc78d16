"""ResNet-18, softmax loss, whole reports: like MERL (arXiv 2403.06659).

  tfds build tfds_builders/mimic_iv_ecg --config original --manual_dir RAW \
    --data_dir data --file_format array_record
  fgclep train --config configs/merl_like.py:coarse --data-dir data \
    --workdir runs/merl_like/coarse --model.text.pretrained WEIGHTS
  fgclep enhance --workdir runs/merl_like/coarse --dataset mimic_iv_ecg \
    --data-dir data --backend openai --server URL --model NAME \
    --out runs/merl_like/enhanced/enhanced.parquet
  FGCLEP_ENHANCED=runs/merl_like/enhanced/enhanced.parquet \
    tfds build tfds_builders/mimic_iv_ecg --config enhanced \
    --manual_dir RAW --data_dir data --file_format array_record
  fgclep train --config configs/merl_like.py:fine --data-dir data \
    --workdir runs/merl_like/fine --model.text.pretrained WEIGHTS

WEIGHTS is a local folder of MedCPT's query encoder with its weights as
safetensors (any BERT of base size does; for a cased one, such as
Bio_ClinicalBERT, add `--model.text.lowercase false`).

The baseline, on the data and with the budget of the other three: MERL's
encoder, loss and text length, not its optimizer, augmentation by dropout of
features, or checkpoint chosen on labelled data.

Hardware: one GPU of 80 GB, or TPU v5e-8. By counted operations, at 40 % of
the peak in bfloat16, 800,000 records take 50 minutes (H100) or 35 (v5e-8) for
the ten epochs of `coarse`, a third of it for the three of `fine`; where reading
is slower, it decides.
Nothing has been measured: no such hardware and data set were at hand.
"""

from fgclep_jax import config as c


def get_config(arg=""):
  if arg not in ("", "coarse", "fine"):
    raise ValueError(f"merl_like.py:{arg}: give coarse (the default) or fine")
  fine = arg == "fine"
  return c.TrainConfig(
    data=c.DataConfig(
      dataset="mimic_iv_ecg",
      config="enhanced" if fine else "original",
      batch_size=800,
      text="report",
      threads=8,
    ),
    model=c.ModelConfig(
      ecg=c.EcgConfig(name="resnet18"),
      text=c.TextConfig(
        width=768,
        depth=12,
        heads=12,
        mlp=3072,
        max_tokens=256,
        pretrained="weights/MedCPT-Query-Encoder",
      ),
    ),
    loss=c.LossConfig(name="softmax", rule="hard", scale=1 / 0.07),
    optim=c.OptimConfig(
      epochs=3 if fine else 10,
      learning_rate=2e-5,
      weight_decay=1e-4,
      freeze=(r"^text\.layers\.[0-8]\.",),
    ),
    init_from="runs/merl_like/coarse" if fine else "",
    validate_every=1000,
  )
