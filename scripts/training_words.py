"""What docs/training-results.md says besides its figures."""

from __future__ import annotations

from training_claims import percent
from training_results import CONFIDENCE, TaskResults
from training_rows import CLUSTER, NODES

OWN_MODEL = """## The same for a model of your own

`planner sensitivity --task digits-cnn -o digits.csv` trains one of the networks above and measures
what each of its layers alone loses; `--accuracy-model csv:digits.csv` plans with it
([accuracy.md](accuracy.md)). Ended with Ctrl-C, the same command goes on with the file: the network
is trained again, to the same weights, and rows that are there are kept. For a model of your own:

```python
from pathlib import Path

from planner.case import Case
from profiles.catalog import load_cluster
from profiles.from_torch.frontend import profile_module
from profiles.sensitivity_file import measure_to_file

profile = profile_module(model, {"image": (1, 3, 32, 32)}, name="mine")
case = Case(profile, load_cluster("small-nodes"))
measure_to_file(Path("mine.csv"), model, case, 2, evaluate, metric="top-1 accuracy in %")
```

`evaluate(model)` returns the metric, more is better. It gets a copy with one layer pruned, on which
it may train before it measures. `levels=(0.8, 0.9)` sets what is tried, `progress=print` shows how
many of how many are done. The file is written after every measurement; the same call goes on where
it was ended, and refuses a file of other weights, nodes or another dense value. Sparsities in it
are those that whole features reach."""


def introduction(everything: list[TaskResults]) -> str:
    """What was done, and how to do it again."""
    seeds = ", ".join(f"{results.name}: {len(results.seeds)} seeds" for results in everything)
    commands = "\n".join(
        f"python scripts/train_tasks.py --task {results.name} --seed "
        + " ".join(str(seed) for seed in results.seeds)
        for results in everything
    )
    return f"""# Trained, and measured

Networks that were trained, pruned to plans and fine-tuned, and what they are worth then. Qualities
are measured on data that nothing was trained on; latencies are derived by the cost model
([model.md](model.md)) for {NODES} nodes of the catalogue's `{CLUSTER}`. These are small networks on
small data: they try the method and this code, not the paper's figures, which stand in
[disco.md](disco.md) and [accuracy.md](accuracy.md).

```
{commands}
python scripts/build_training.py
```

The first commands train on one core ({seeds}; the packages of the extra `training` bring the data,
nothing is loaded from elsewhere). They write `benchmarks/training/`, one file per seed, after every
network, and go on where they were ended. The last one writes this page and its pictures; a test
holds both against the files. The minutes below are by the clock: seeds 0 to 2 ran several at a time
on less than one core, the others two at a time on two cores.

## How

All of this was fixed for a task before its first network was pruned, and is the same for all
strategies. Networks, noise and budgets were chosen by how dense networks alone learn (on the test
data too) and by the time that was there; nothing was chosen by how a pruned one fares.

- Per seed one dense network is trained. **Every row of the tables starts from those weights and
  gets the same further training**: as many steps, the same batches, the same learning rates, the
  same pruning rounds. *Dense* gets it too. Rows do not start from one another, so that no row has
  seen more than another.
- A row is pruned in rounds over the first half of that training, by `planner.training.pruner`, and
  trained on at its final counts in the second half. Which sub-rows go is decided at each round by
  the weights as they are then (*DISCO*, the splits, the plans per layer), or by chance (*random*).
- {NODES} nodes, as the published accuracies have. A node then holds 32 or more features of every
  layer that exchanges any (a block's last layers up to 64), so that 99 % can keep one of them and
  be more than 100 %. Counts are whole, at least one below 100 %, so that the sparsity that is
  reached stays below 99 %; the tables show it.
- The first layer reads the input, which every node has, and is never sparse. At 100 % DISCO and
  random keep the same (nothing), so that one row serves both; a transformer's layer norms exchange
  two numbers per token there too.
- *Per layer* is the planner's: of all plans that are no slower than uniform DISCO the one whose
  predicted drop is least. The prediction adds up the seed's own sensitivities
  (`planner sensitivity`): the dense network with one layer sparse and nothing fine-tuned, on
  validation data that is neither trained nor tested on.
- Seeds 0 to 2 were trained and read first. 3 to 7 were added later, for narrower intervals; how
  many was fixed before any of them was compared.
- Intervals are {percent(CONFIDENCE)} intervals of the mean paired difference (same seed, same dense
  weights, same batches) by Student's t. They hold for one comparison each, not for all at once."""
