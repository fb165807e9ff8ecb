"""What follows from a manifest alone: the experiment digest (section 13), and the schedule (section 12).

A manifest is read as the program writes it into a run's folder: resolved, one `key: value` a line, two spaces for each
level. Keys become dotted names and values stay texts. Lists of maps move no bits, and are skipped.
"""

import hashlib

from arithmetic import b32

# The keys that move bits, in the order of the digest, with the type of each.
KEYS = {
    "dataset.kind": str, "dataset.training_images": int, "dataset.train_sha256": str, "dataset.padding.pixels": int,
    "dataset.padding.mode": str, "dataset.normalization.kind": str, "dataset.normalization.mean": [float],
    "dataset.normalization.deviation": [float], "model.depth": int, "model.shortcut": str, "model.linear_bias": str,
    "model.final_batch_norm": str, "model.batch_norm.epsilon": float, "model.batch_norm.rate": float,
    "model.batch_norm.unbiased_variance": str, "model.batch_norm.initial_variance": float, "training.epochs": int,
    "training.steps": int, "training.batch_size": int, "training.last_batch": str, "training.optimizer.form": str,
    "training.optimizer.momentum": float, "training.optimizer.weight_decay": float,
    "training.schedule.learning_rate": float, "training.schedule.drop_factor": float,
    "training.schedule.drop_epochs": [int], "training.schedule.drop_steps": [int],
    "training.schedule.warmup.learning_rate": float, "training.schedule.warmup.epochs": int,
    "training.schedule.warmup.steps": int, "training.augmentation.crop": str, "training.augmentation.flip": str,
}
ARITHMETICS = {"exact": "exact-1", "exact-1": "exact-1", "exact-2": "exact-2"}


class Refused(Exception):
    """What is wrong with an input, in a sentence."""


def read_manifest(text):
    settings, path = {}, []
    skipped = None  # the indentation of a list that is being skipped
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.lstrip(" ")
        indent = len(line) - len(bare)
        if not bare or bare.startswith("#"):
            continue
        if skipped is not None and indent >= skipped:
            continue
        skipped = indent if bare.startswith("- ") else None
        if skipped is not None:
            continue
        key, colon, value = bare.partition(":")
        if not colon or indent % 2 or indent // 2 > len(path):
            raise Refused(f"manifest.yaml:{number}: not a resolved manifest")
        path[indent // 2:] = [key]
        if value:
            settings[".".join(path)] = value.strip()
    return settings


def real_text(value):
    """The shortest decimal that reads back."""
    if value == 0:
        return "0"
    text = next(t for t in (f"{value:.{digits}g}" for digits in range(1, 18)) if float(t) == value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


class Experiment:
    """The settings that move bits, and what section 12 makes of them."""

    def __init__(self, settings, seed):
        self.seed = seed
        self.values = {}
        try:
            for key, kind in KEYS.items():
                text = settings.get(key)
                if text is None:
                    continue
                if isinstance(kind, list):
                    entries = text.strip("[]").split(",") if text.strip("[] ") else []
                    self.values[key] = [kind[0](entry) for entry in entries]
                else:
                    self.values[key] = kind(text.strip("'\""))
            self.version = ARITHMETICS[settings.get("arithmetic", "exact")]
        except (ValueError, KeyError) as wrong:
            raise Refused(f"the manifest cannot be read: {wrong}") from None
        missing = [key for key in ("dataset.kind", "model.depth", "training.batch_size", "training.last_batch",
                                   "training.schedule.learning_rate") if key not in self.values]
        if missing or self.values["training.batch_size"] < 1:
            raise Refused("the manifest does not say " + ", ".join(missing or ["training.batch_size"]))

    def __getitem__(self, key):
        return self.values[key]

    def on(self, key):
        return self.values[key] == "true"

    def digest(self):
        lines = []
        for key, kind in KEYS.items():
            if key in self.values:
                value = self.values[key]
                entries = value if isinstance(kind, list) else [value]
                text = ", ".join(real_text(e) if isinstance(e, float) else str(e) for e in entries)
                lines.append(f"{key}={text}\n")
        lines += ["arithmetic=exact\n", f"seed={self.seed}\n", f"version={self.version}\n"]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    # ---- section 12 ----

    def first(self, epoch, images):
        batch = self["training.batch_size"]
        if self["training.last_batch"] == "continue":
            return -(-epoch * images // batch)
        return epoch * -(-images // batch)

    def total(self, images):
        return self.values.get("training.steps") or self.first(self["training.epochs"], images)

    def epoch_ends(self, images):
        """The step after the last one of every epoch."""
        ends, total = [], self.total(images)
        while not ends or ends[-1] < total:
            ends.append(min(self.first(len(ends) + 1, images), total))
        return ends

    def rate(self, step, images):
        value = self.values.get
        warmup = value("training.schedule.warmup.steps", 0)
        if "training.schedule.warmup.epochs" in self.values:
            warmup = self.first(value("training.schedule.warmup.epochs"), images)
        if step < warmup:
            return b32(value("training.schedule.warmup.learning_rate"))
        drops = value("training.schedule.drop_steps")
        if drops is None:
            drops = [self.first(epoch, images) for epoch in value("training.schedule.drop_epochs", [])]
        rate = value("training.schedule.learning_rate")
        for drop in drops:
            if step >= drop:
                rate = rate * value("training.schedule.drop_factor")
        return b32(rate)
