"""A model of one's own, usually a trained one, from a .keras file."""

import zipfile
from pathlib import Path

import keras


def load(path: str | Path) -> keras.Model:
    """Load a `.keras` file, without optimizer and loss.

    Keras' safe mode is on: nothing in the file is run as code.

    Args:
        path: The file, as `model.save("name.keras")` writes it.

    Returns:
        The model, not compiled.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no `.keras` file, is damaged, or holds classes Keras does not know.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"model.path must be a .keras file; got path={path}, which is not a file."
        )
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(
            f"model.path must be a .keras file; got path={path}, which is of another format or "
            'truncated. Write one with model.save("name.keras").'
        )
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # What a damaged file raises depends on where the damage is.
        raise ValueError(
            f"model.path must be a .keras file that Keras loads in safe mode; got path={path}: "
            f"{error} A file with custom layers can be loaded in Python once their classes are "
            "registered (keras.saving.register_keras_serializable)."
        ) from error
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"model.path must hold a keras.Model; got path={path} with a {type(model).__name__}."
        )
    return model
