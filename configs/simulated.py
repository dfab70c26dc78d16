"""The simulated cohort on a CPU: the demonstration, both stages.

  tfds build tfds_builders/simulated_ecg --config original \
    --data_dir data --file_format array_record
  fgclep train --config configs/simulated.py:coarse \
    --workdir runs/simulated/coarse --data-dir data
  fgclep enhance --workdir runs/simulated/coarse --dataset simulated_ecg \
    --data-dir data --backend rules \
    --out runs/simulated/enhanced/enhanced.parquet
  FGCLEP_ENHANCED=runs/simulated/enhanced/enhanced.parquet \
    tfds build tfds_builders/simulated_ecg --config enhanced \
    --data_dir data --file_format array_record
  fgclep train --config configs/simulated.py:fine \
    --init-from runs/simulated/coarse --workdir runs/simulated/fine \
    --data-dir data
  fgclep evaluate --workdir runs/simulated/fine --dataset simulated_ecg \
    --data-dir data --task simulated,features --probe-task simulated \
    --beside runs/simulated/coarse --probe 1.0 \
    --out runs/simulated/report

`fgclep demo` runs all of it. About three minutes of training for the coarse
model and two for the fine one, on two cores. Measured figures:
docs/RESULTS.md.
"""

from fgclep_jax import config as c


def get_config(arg=""):
  if arg not in ("", "coarse", "fine"):
    raise ValueError(f"simulated.py:{arg}: give coarse (the default) or fine")
  fine = arg == "fine"
  return c.TrainConfig(
    data=c.DataConfig(
      dataset="simulated_ecg",
      config="enhanced" if fine else "original",
      rate=100,
      batch_size=32,
    ),
    augment=c.AugmentConfig(shift_seconds=2.0, scale=0.1),
    model=c.ModelConfig(
      ecg=c.EcgConfig(
        name="resnet", width=16, stages=(1, 1, 1, 1), pool="mean_max"
      ),
      text=c.TextConfig(
        width=64, depth=2, heads=2, mlp=128, max_tokens=32, pool="mean"
      ),
      embedding=128,
      compute="float32",
    ),
    loss=c.LossConfig(rule="hard", bias=-4.0, multiplicity=0.0),
    optim=c.OptimConfig(
      epochs=3 if fine else 10,
      learning_rate=1e-3 if fine else 2e-3,
      weight_decay=0.05,
    ),
    init_from="runs/simulated/coarse" if fine else "",
    log_every=50,
    save_every=200,
  )
