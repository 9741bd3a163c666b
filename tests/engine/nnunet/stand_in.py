"""Stands in for nnU-Net's commands: writes the files and says the lines of nnunetv2 2.8.1 that the engine relies on.

What it was told (arguments and environment) is appended to told.jsonl beside it. STAND_IN_FAILS_AT names an epoch
after which the training ends with an error; STAND_IN_SAYS is the error.
"""

import json
import os
import sys
from datetime import datetime
from pathlib import Path

NAME = Path(sys.argv[0]).name
RAW, PREPROCESSED, RESULTS = "nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"
VARIABLES = (RAW, PREPROCESSED, RESULTS, "nnUNet_compile", "nnUNet_n_proc_DA")


def option(name):
    return sys.argv[sys.argv.index(name) + 1]


def say(*words):
    print(f"{datetime.now()}:", *words)


def plan_and_preprocess():
    [dataset] = Path(os.environ[RAW]).glob("Dataset001_*")
    folder = Path(os.environ[PREPROCESSED]) / dataset.name
    cases = folder / "nnUNetPlans_2d"
    cases.mkdir(parents=True)
    (folder / "nnUNetPlans.json").write_text("{}")
    for label in (dataset / "labelsTr").iterdir():
        (cases / f"{label.stem}_seg.b2nd").touch()


def train():
    fold = Path(os.environ[RESULTS]) / sys.argv[1] / f"{option('-tr')}__{option('-p')}__2d" / f"fold_{sys.argv[3]}"
    fold.mkdir(parents=True, exist_ok=True)
    latest = fold / "checkpoint_latest.pth"
    first = int(latest.read_bytes()[22:]) if "--c" in sys.argv else 0
    epochs = int(option("-tr").split("_")[1].removesuffix("s").removesuffix("epoch"))
    (fold / "debug.json").write_text(json.dumps({"num_epochs": str(epochs)}))
    print("Using device: cpu")
    for epoch in range(first, epochs):
        say("")
        say(f"Epoch {epoch}")
        say(f"Current learning rate: {0.01 - epoch / 1000}")
        say("train_loss", round(0.1 - epoch / 10, 4))
        say("val_loss", round(0.2 - epoch / 10, 4))
        say(f"Pseudo dice [np.float32({epoch / 10})]")
        say("Epoch time: 2.0 s")
        if epoch % 2 == 0:
            say("Yayy! New best EMA pseudo Dice: 0.1")
        latest.write_bytes(b"PK\5\6" + bytes(18) + str(epoch + 1).encode())  # an empty zip with a comment
        if os.environ.get("STAND_IN_FAILS_AT") == str(epoch + 1):
            sys.exit(os.environ["STAND_IN_SAYS"])
    (fold / "checkpoint_final.pth").write_bytes(b"final")
    (fold / "checkpoint_best.pth").write_bytes(b"best")
    say("Training done.")
    say("predicting v1")
    say("Mean Validation Dice:  0.0")


def predict():
    import numpy as np
    from PIL import Image

    output = Path(option("-o"))
    output.mkdir()
    for path in Path(option("-i")).iterdir():
        case = path.name.removesuffix("_0000.png")
        bright = np.asarray(Image.open(path)).astype(np.float32) / 255
        chance = np.where(bright > 0.6, np.float32(0.4), bright / 10)
        if "--save_probabilities" in sys.argv:
            np.savez_compressed(output / f"{case}.npz", probabilities=np.stack([1 - chance, chance])[:, None])
        Image.fromarray((bright > 0.6).astype(np.uint8)).save(output / f"{case}.png")


told = {"command": NAME, "arguments": sys.argv[1:], **{name: os.environ.get(name) for name in VARIABLES}}
with Path(sys.argv[0]).with_name("told.jsonl").open("a") as file:
    file.write(json.dumps(told) + "\n")
{"plan_and_preprocess": plan_and_preprocess, "train": train, "predict": predict}[NAME.removeprefix("nnUNetv2_")]()
