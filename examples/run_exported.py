"""Exported slices (`docs/runtime.md`) with ONNX Runtime, NumPy and pipes alone: a process a node.

python run_exported.py FOLDER INPUTS.npz OUTPUTS.npz
"""

import json
import multiprocessing
import queue
import sys
import threading
from pathlib import Path

import numpy as np
import onnxruntime


def run_node(folder, program, inputs, pipes, parts):
    """What a node does, action by action; its parts of the outputs go to ``parts``."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    files = [item["segment"] for item in program["actions"] if item["do"] == "compute"]
    sessions = {
        file: onnxruntime.InferenceSession(str(folder / "segments" / Path(file).name), options)
        for file in files
    }
    inbox = queue.Queue()
    for sender, (_, pipe) in pipes.items():  # always emptied, so that no sender waits
        threading.Thread(target=empty, args=(pipe, sender, inbox), daemon=True).start()
    values, arrived = {name: inputs[name] for name in program["inputs"]}, {}
    for action in program["actions"]:
        if action["do"] == "compute":
            session = sessions[action["segment"]]
            names = [item.name for item in session.get_inputs()]
            reads = [values[name] for name in action["reads"]]
            made = session.run(None, dict(zip(names, reads, strict=True)))
            values.update(zip(action["makes"], made, strict=True))
        elif action["do"] == "post":
            content = action["message"].encode() + b"\0" + values[action["value"]].tobytes()
            pipes[action["receiver"]][0].send_bytes(content)
        else:
            while (action["sender"], action["message"]) not in arrived:
                sender, content = inbox.get()
                name, _, content = content.partition(b"\0")
                arrived[sender, name.decode()] = content
            content = arrived.pop((action["sender"], action["message"]))
            kind = program["values"][action["message"]]["dtype"]
            values[action["message"]] = np.frombuffer(content, kind)
    for name, output in program["outputs"].items():
        for part in output["parts"]:
            if part["node"] == program["node"]:
                parts.send_bytes(f"{name}\0".encode() + values[part["value"]].tobytes())
    parts.close()


def empty(pipe, sender, inbox):
    """Take everything in that comes through a pipe."""
    while True:
        try:
            inbox.put((sender, pipe.recv_bytes()))
        except EOFError:
            return


def collected(programs, made):
    """The model's outputs from the nodes' parts."""
    outputs = {}
    for name, output in next(iter(programs.values()))["outputs"].items():
        whole = np.empty(np.prod(output["shape"], dtype=int), output["dtype"])
        for part in output["parts"]:
            content, start = np.frombuffer(made[part["node"]][name], output["dtype"]), 0
            for first, behind in part["runs"]:
                whole[first:behind] = content[start : start + behind - first]
                start += behind - first
        outputs[name] = whole.reshape(output["shape"])
    return outputs


def main(folder, inputs, outputs):
    """Run all nodes' folders on one machine."""
    folders = sorted(path.parent for path in Path(folder).glob("*/program.json"))
    texts = [(path / "program.json").read_text(encoding="utf-8") for path in folders]
    programs = {program["node"]: program for program in map(json.loads, texts)}
    given = dict(np.load(inputs, allow_pickle=False))
    context = multiprocessing.get_context("fork")
    ways = {(a, b): context.Pipe(duplex=False) for a in programs for b in programs if a != b}
    made, readers = {}, {}
    for place, (node, program) in zip(folders, programs.items(), strict=True):
        others = [other for other in programs if other != node]
        pipes = {other: (ways[node, other][1], ways[other, node][0]) for other in others}
        readers[node], parts = context.Pipe(duplex=False)
        process = context.Process(target=run_node, args=(place, program, given, pipes, parts))
        process.start()
        parts.close()
    for node, program in programs.items():
        made[node] = {}
        for output in program["outputs"].values():
            for part in output["parts"]:
                if part["node"] == node:
                    name, _, content = readers[node].recv_bytes().partition(b"\0")
                    made[node][name.decode()] = content
    np.savez(outputs, **collected(programs, made))


if __name__ == "__main__":
    main(*sys.argv[1:])
