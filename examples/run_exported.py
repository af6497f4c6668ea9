"""Exported slices (`docs/runtime.md`) with ONNX Runtime and NumPy alone: a thread a node.

python run_exported.py FOLDER INPUTS.npz OUTPUTS.npz; on devices, put your network for `ways`.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import numpy as np
import onnxruntime


def run_node(folder, program, inputs, ways):
    """Do a node's actions in order and give every value that it has then."""
    node, values = program["node"], {name: inputs[name] for name in program["inputs"]}
    for action in program["actions"]:
        if action["do"] == "compute":
            session = onnxruntime.InferenceSession(folder / "segments" / action["segment"])
            names = [item.name for item in session.get_inputs()]
            reads = [values[name] for name in action["reads"]]
            made = session.run(None, dict(zip(names, reads, strict=True)))
            values.update(zip(action["makes"], made, strict=True))
        elif action["do"] == "post":
            ways[node, action["receiver"], action["message"]].put(values[action["value"]])
        else:
            way = ways[action["sender"], node, action["message"]]
            values[action["message"]] = way.get(timeout=300)
    return values


folder, given, outputs = Path(sys.argv[1]), dict(np.load(sys.argv[2])), {}
programs = {file.parent: json.loads(file.read_text()) for file in folder.glob("*/program.json")}
posts = [(p["node"], a) for p in programs.values() for a in p["actions"] if a["do"] == "post"]
ways = {(node, post["receiver"], post["message"]): Queue() for node, post in posts}
with ThreadPoolExecutor(len(programs)) as threads:
    runs = {p["node"]: threads.submit(run_node, at, p, given, ways) for at, p in programs.items()}
made = {node: run.result() for node, run in runs.items()}
for name, output in next(iter(programs.values()))["outputs"].items():
    whole = np.empty(np.prod(output["shape"], dtype=int), output["dtype"])
    for part in output["parts"]:
        places = [np.arange(first, behind) for first, behind in part["runs"]]
        whole[np.concatenate(places)] = made[part["node"]][part["value"]].ravel()
    outputs[name] = whole.reshape(output["shape"])
np.savez(sys.argv[3], **outputs)
