from .branch import branch_config
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
from .files import (
    TEMPORARY,
    clean_dead,
    new_dir,
    publish_dir,
    read_json_object,
    write_atomic,
    write_bytes,
    write_json,
)
from .importing import import_agent
from .malloc import keep_freed_memory
from .networks import NETWORKS, build_network
from .run_folder import UNNAMED, safe_name
from .training import LOCK, train

__all__ = [
    "LOCK",
    "NETWORKS",
    "PPO_PRESETS",
    "TEMPORARY",
    "UNNAMED",
    "Checkpoint",
    "TrainConfig",
    "branch_config",
    "build_network",
    "check_device",
    "clean_dead",
    "find_checkpoint",
    "import_agent",
    "is_finished",
    "keep_freed_memory",
    "list_checkpoints",
    "load_policy",
    "new_dir",
    "ppo_preset",
    "publish_dir",
    "read_header",
    "read_json_object",
    "safe_name",
    "train",
    "write_atomic",
    "write_bytes",
    "write_json",
]
