"""The simulated cohort on a CPU: the demonstration.

  tfds build tfds_builders/simulated_ecg --config original \
    --data_dir data --file_format array_record
  fgclep train --config configs/simulated.py --workdir runs/simulated \
    --data-dir data
"""

from fgclep_jax import config as c


def get_config(arg=""):
  del arg
  return c.TrainConfig(
    data=c.DataConfig(dataset="simulated_ecg", rate=100, batch_size=64),
    augment=c.AugmentConfig(shift_seconds=1.0, scale=0.1),
    model=c.ModelConfig(
      ecg=c.EcgConfig(width=96, depth=4, heads=3, mlp=384),
      text=c.TextConfig(width=128, depth=2, heads=2, mlp=256),
      embedding=128,
      compute="float32",
    ),
    optim=c.OptimConfig(epochs=20, learning_rate=1e-3, weight_decay=1e-2),
    log_every=20,
    save_every=200,
  )
