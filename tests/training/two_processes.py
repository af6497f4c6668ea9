"""One of two processes that train one model together: ``RANK FOLDER`` (see test_pruner_loops)."""

import sys
from pathlib import Path

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.errors import BadInputError
from planner.training.pruner import Pruner
from tests.training.models import Attention, train


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/met", rank=rank, world_size=2
    )
    plan = Plan.model_validate_json((folder / "plan.json").read_bytes())
    profile = ModelProfile.model_validate_json((folder / "profile.json").read_bytes())
    torch.manual_seed(0)
    alone = Attention()
    pruner = Pruner(alone, plan, profile)
    model = DistributedDataParallel(alone)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for number, _ in enumerate(pruner.rounds(0.4)):
        train(model, optimizer, 3, seed=100 * number + 1000 * rank)  # other data on each
    torch.save(alone.state_dict(), folder / f"{rank}.pt")
    with pytest.raises(BadInputError, match="make the pruner first, and wrap the model then"):
        Pruner(model, plan, profile)
    torch.distributed.destroy_process_group()


main(int(sys.argv[1]), Path(sys.argv[2]))
