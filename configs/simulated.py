"""The simulated cohort on a CPU: the demonstration.

  tfds build tfds_builders/simulated_ecg --config original \
    --data_dir data --file_format array_record
  fgclep train --config configs/simulated.py --workdir runs/simulated \
    --data-dir data
  fgclep evaluate --workdir runs/simulated --dataset simulated_ecg \
    --data-dir data --task simulated --probe 1.0 --out runs/simulated/report

About three minutes of training on two cores. Measured figures:
docs/RESULTS.md.
"""

from fgclep_jax import config as c


def get_config(arg=""):
  del arg  # one form only
  return c.TrainConfig(
    data=c.DataConfig(dataset="simulated_ecg", rate=100, batch_size=64),
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
    loss=c.LossConfig(rule="hard", bias=-4.0),
    optim=c.OptimConfig(epochs=6, learning_rate=2e-3, weight_decay=0.05),
    log_every=20,
    save_every=200,
  )
