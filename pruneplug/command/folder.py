"""What the files in the folders of runs and sweeps are called."""

# Of a run.
CONFIG = "config.yaml"
JOURNAL = "journal.jsonl"
MODEL = "model.keras"
MLFLOW_MODEL = "mlflow_model"
SUMMARY = "summary.json"
LAYERS = "layers.csv"
CURVES = "sparsity_curves.png"
FINAL = "final_sparsity.png"
ERRORS = "errors.log"
# Of a run whose weights were pruned one by one.
SCAN, SCAN_PICTURE, SUGGESTION = "sensitivity.csv", "sensitivity.png", "sensitivity.yaml"
# Of a sweep, besides a config and a journal of its own, and of each job in it.
SWEEP = "sweep.csv"
JOB = "job.json"
HYDRA_SWEEP = "multirun.yaml"  # Hydra's own
REPORT = "report"
# In that folder.
PAGE = "report.html"
