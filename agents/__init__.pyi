from .branch import branch_config, rest_config
from .checkpoints import (
    Checkpoint,
    find_checkpoint,
    is_finished,
    list_checkpoints,
    load_policy,
    read_header,
)
from .config import PPO_PRESETS, TrainConfig, ppo_preset
from .devices import check_device
from .environment import network_spec
from .files import (
    TEMPORARY,
    atomic_dir,
    make_folder,
    read_json_object,
    remove_leftovers,
    write_atomic,
    write_bytes,
    write_json,
)
from .importing import import_agent
from .networks import NETWORKS, ActorCritic, build_network
from .own import is_loader
from .run import FORMAT, LOCK, UNNAMED, Run, read_config, safe_name
from .schedule import SCHEDULES, checkpoint_steps
from .training import train, train_together

__all__ = [
    "FORMAT",
    "LOCK",
    "NETWORKS",
    "PPO_PRESETS",
    "SCHEDULES",
    "TEMPORARY",
    "UNNAMED",
    "ActorCritic",
    "Checkpoint",
    "Run",
    "TrainConfig",
    "atomic_dir",
    "branch_config",
    "build_network",
    "check_device",
    "checkpoint_steps",
    "find_checkpoint",
    "import_agent",
    "is_finished",
    "is_loader",
    "list_checkpoints",
    "load_policy",
    "make_folder",
    "network_spec",
    "ppo_preset",
    "read_config",
    "read_header",
    "read_json_object",
    "remove_leftovers",
    "rest_config",
    "safe_name",
    "train",
    "train_together",
    "write_atomic",
    "write_bytes",
    "write_json",
]
