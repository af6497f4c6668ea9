"""Rebuild the models that ship in ``profiles/library/models`` and ``profiles/library/language``.

Each one is an architecture on the meta device (`profiles.networks`), so nothing is downloaded and
no weights are held. Run it after a change of the front end, of the MAC formulas or of a pinned
tool; ``--check`` only says which files are stale.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from planner.domain.layer_profile import LayerProfile
from profiles.files import document_text, write_atomically
from profiles.from_hf.causal import language_model_of
from profiles.networks import ARCHITECTURES
from profiles.presets import PRESETS

MODELS_FOLDER = Path(__file__).parents[1] / "profiles" / "library" / "models"
LANGUAGE_FOLDER = MODELS_FOLDER.with_name("language")


def build_language(name: str) -> str:
    """Text of one language model's file, by its public configuration."""
    return document_text(language_model_of(PRESETS[name], name=name))


def build(name: str) -> str:
    """Text of one model's file, which leaves out of a layer what is at its default."""
    lines = document_text(ARCHITECTURES[name].profile(name)).splitlines()
    return "\n".join(map(_without_defaults, lines)) + "\n"


_DEFAULTS = {
    name: found.get_default(call_default_factory=True)
    for name, found in LayerProfile.model_fields.items()
    if not found.is_required()
}


def _without_defaults(line: str) -> str:
    if not line.startswith('  {"name": ') or '"feature_flow": ' not in line:
        return line
    layer = json.loads(line.rstrip(","))
    kept = {key: value for key, value in layer.items() if _DEFAULTS.get(key, ...) != value}
    return f"  {json.dumps(kept, ensure_ascii=False)}{',' if line.endswith(',') else ''}"


def main(
    arguments: list[str] | None = None,
    folder: Path = MODELS_FOLDER,
    language_folder: Path = LANGUAGE_FOLDER,
) -> int:
    """Rebuild what is stale; with ``--check`` write nothing and return 1 if anything is."""
    parser = argparse.ArgumentParser(description="Rebuild the shipped model profiles.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    check = parser.parse_args(arguments).check
    stale = 0
    made = [(folder / f"{name}.json", build, name) for name in ARCHITECTURES]
    made += [(language_folder / f"{name}.json", build_language, name) for name in PRESETS]
    for path, write, name in made:
        text = write(name)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if not check:
            write_atomically(path, text)
        print(f"{'stale' if check else 'wrote'}: {path.name}", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
