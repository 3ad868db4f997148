"""Policies without learning, as baselines and as teachers of clones.

Each is called with the observations [n, 64, 64, 3] and the vector environment that gave them and
returns actions int64 [n]. `CoinBlindPolicy` shows what "always right" earns by accident,
`CoinSeekerPolicy` what is possible. `WalkerPolicy` is a rule of what a frame shows, so that a
network can follow it: with and without the coin, all else equal.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from envs.actions import JUMP, LEFT, LEFT_JUMP, N_ACTIONS, NOOP, RIGHT, RIGHT_JUMP
from envs.coinrun import BARRIER, COIN, EMPTY
from envs.edit import agent_of, coins_of
from envs.games import find_procgen
from envs.policies import Actions, ScriptedPolicy
from envs.simulator import Simulator, shared_simulator
from envs.state import RY, State
from envs.vector import ProcgenVectorEnv
from rl_slt import InputError

_CLEAR = (COIN, EMPTY, BARRIER)  # cells that an agent passes through
_AHEAD = (0.6, 1.5)  # columns from its center at which the walker looks


@runtime_checkable
class Scripted(ScriptedPolicy, Protocol):
    """A scripted policy that can also play some environments on random numbers it is given.

    None looks at frames.
    """

    num_envs: int  # how many environments it had best play at once
    reads_state: bool  # whether it looks at the games' states
    deterministic: bool  # whether the state alone decides, where a plan is not gone on with

    def choose(
        self, noise: NDArray[np.float64], vector: ProcgenVectorEnv, indices: Sequence[int],
        episodes: Sequence[Hashable],
    ) -> Actions:  # fmt: skip
        """Actions [n] for some of the environments.

        Args:
            noise: uniform on [0, 1), `[n]`.
            vector: the environments.
            indices: which of them these n are.
            episodes: what each one's episode is named by, anything.
        """
        ...


class RandomPolicy:
    """Uniform over the 15 actions.

    Args:
        seed: of its actions.
    """

    name, num_envs, reads_state, deterministic = "random", 128, False, False

    def __init__(self, seed: int = 0) -> None:
        self._generator = np.random.default_rng(seed)

    def __call__(self, obs: NDArray[np.uint8], vector: ProcgenVectorEnv) -> Actions:
        """Actions [n] for the current step."""
        return self._generator.integers(0, N_ACTIONS, len(obs))

    def choose(self, noise: NDArray[np.float64], *_: object) -> Actions:
        """Actions [n], see `Scripted`."""
        return (noise * N_ACTIONS).astype(np.int64)


class CoinBlindPolicy:
    """Always right and jump, whatever it sees."""

    name, num_envs, reads_state, deterministic = "coin-blind", 128, False, True

    def __call__(self, obs: NDArray[np.uint8], vector: ProcgenVectorEnv) -> Actions:
        """Actions [n] for the current step."""
        return np.full(len(obs), RIGHT_JUMP, np.int64)

    def choose(self, noise: NDArray[np.float64], *_: object) -> Actions:
        """Actions [n], see `Scripted`."""
        return np.full(len(noise), RIGHT_JUMP, np.int64)


class CoinSeekerPolicy:
    """Walks and jumps to the coin, or to the end where there is none, looking ahead in a copy.

    Every `patience` steps it tries a few plans of `horizon` steps in a simulator from the same
    state and follows the first that gets the coin, to the end, or makes good way, else the best
    that survives. It needs CoinRun and a few milliseconds a plan.

    Args:
        horizon: steps of a plan.
        patience: steps between two times of planning.
    """

    name, num_envs, reads_state, deterministic = "coin-seeker", 8, True, True

    def __init__(self, horizon: int = 20, patience: int = 4) -> None:
        self.horizon, self.patience = horizon, patience
        self._plans: dict[Hashable, list[int]] = {}

    def __call__(self, obs: NDArray[np.uint8], vector: ProcgenVectorEnv) -> Actions:
        """Actions [n] for the current step."""
        names = [*enumerate(vector.episode_numbers().tolist())]
        return self.choose(np.zeros(len(names)), vector, range(len(names)), names)

    def choose(
        self, noise: NDArray[np.float64], vector: ProcgenVectorEnv, indices: Sequence[int],
        episodes: Sequence[Hashable],
    ) -> Actions:  # fmt: skip
        """Actions [n], see `Scripted`."""
        return np.array([self._act(vector, *of) for of in zip(indices, episodes, strict=True)])

    def _act(self, vector: ProcgenVectorEnv, index: int, episode: Hashable) -> int:
        if not self._plans.get(episode):
            simulator = shared_simulator(vector.config.game, vector.config.settings)
            self._plans[episode] = self._plan(vector.game_state(index), simulator)
        return self._plans[episode].pop(0)

    def _plan(self, state: bytes, simulator: Simulator) -> list[int]:
        """The next steps: the start of the best plan."""
        coins, (x, _) = coins_of(state), agent_of(state)
        target = coins[0] if coins else None
        rightward = target is None or target[0] + 0.5 >= x
        if target and abs(target[0] + 0.5 - x) > 0.5 * self.horizon:
            target = None  # out of a plan's reach: good way towards it is all that can be wanted
        best, plan = -np.inf, [NOOP]
        for candidate in self._candidates(rightward):
            score = self._score(state, candidate, simulator, target, rightward)
            if score > best:
                best, plan = score, candidate
            if best >= 1000 or (target is None and best > 0.38 * self.horizon):
                break
        return plan if best >= 1000 else plan[: self.patience]

    def _candidates(self, rightward: bool) -> list[list[int]]:
        """Plans in the order in which they are tried."""
        go, leap = (RIGHT, RIGHT_JUMP) if rightward else (LEFT, LEFT_JUMP)
        back, hop = (LEFT, LEFT_JUMP) if rightward else (RIGHT, RIGHT_JUMP)
        size = self.horizon
        delayed = [[go] * wait + [leap] * (size - wait) for wait in (2, 4, 6, 8)]
        return [
            [go] * size,
            [leap] * size,
            *delayed,
            [leap] + [go] * (size - 1),
            [leap] * 2 + [NOOP] * 4 + [go] * (size - 6),
            [JUMP] * 5 + [go] * (size - 5),
            [back] * 3 + [leap] * (size - 3),
            [back] * 6 + [leap] * (size - 6),
            [hop] * 4 + [leap] * (size - 4),
            [NOOP] * 4 + [leap] * (size - 4),
            [NOOP] * size,
        ]

    def _score(
        self,
        state: bytes,
        plan: list[int],
        simulator: Simulator,
        target: tuple[int, int] | None,
        rightward: bool,
    ) -> float:
        """1000 and more for the coin, the sooner the more; the way made; -1000 for a death."""
        x = agent_of(state)[0]
        reward, steps, end = simulator.rollout(state, plan)
        if end is None:
            return 2000.0 - steps if reward > 0 else steps - 1000.0
        way = end[0] - x if rightward else x - end[0]
        if target is None:
            return way
        return -abs(end[0] - target[0] - 0.5) - 0.5 * abs(end[1] - target[1] - 0.5)


class WalkerPolicy:
    """Walks to the right and jumps where a wall, a crate or a hazard stands in its way.

    With `sees_coin` it walks to the coin in just the same way, where the frame shows one, and jumps
    where the coin hangs above it. It reads neither speed nor what is out of view, and plans
    nothing: its action is a rule of the frame. For levels without pits.

    Args:
        sees_coin: whether it looks for the coin.
    """

    num_envs, reads_state, deterministic = 32, True, True

    def __init__(self, sees_coin: bool) -> None:
        self.name, self.sees_coin = "seeker" if sees_coin else "walker", sees_coin

    def __call__(self, obs: NDArray[np.uint8], vector: ProcgenVectorEnv) -> Actions:
        """Actions [n] for the current step."""
        return self.choose(np.zeros(len(obs)), vector, range(len(obs)))

    def choose(
        self, noise: NDArray[np.float64], vector: ProcgenVectorEnv, indices: Sequence[int],
        *_: object,
    ) -> Actions:  # fmt: skip
        """Actions [n], see `Scripted`."""
        return np.array([self._act(State(vector.game_state(index))) for index in indices])

    def _act(self, state: State) -> int:
        x, y = state.agent_xy
        offset = self._coin(state, x, y)
        if offset is not None and abs(offset) < 0.5:
            return JUMP
        side, walk, leap = (1, RIGHT, RIGHT_JUMP)
        if offset is not None and offset < 0:
            side, walk, leap = (-1, LEFT, LEFT_JUMP)
        feet = int(y - state.entities[0, RY] + 0.1)
        ahead = {(int(x + side * reach), feet) for reach in _AHEAD}
        firm = any(state.grid[row, column] not in _CLEAR for column, row in ahead)
        objects = {(int(left), int(bottom)) for left, bottom, _ in list(state.objects())[1:]}
        return leap if firm or ahead & objects else walk

    def _coin(self, state: State, x: float, y: float) -> float | None:
        """Columns from the agent to the coin in view, the nearest; None where it sees none."""
        if not self.sees_coin:
            return None
        reach = (find_procgen(state.game).view or 0) / 2 - 0.5  # the frame shows all of the cell
        offsets = [
            (column + 0.5 - x, row + 0.5 - y) for row, column in np.argwhere(state.grid == COIN)
        ]
        seen = [dx for dx, dy in offsets if max(abs(dx), abs(dy)) <= reach]
        return min(seen, key=abs, default=None)


BASELINES: dict[str, Callable[[int], Scripted]] = {
    "coin-blind": lambda seed: CoinBlindPolicy(),
    "random": RandomPolicy,
    "coin-seeker": lambda seed: CoinSeekerPolicy(),
}
"""The scripted policies that probes are compared with, by name, each a fresh one for a seed."""

SCRIPTED = BASELINES | {
    "walker": lambda seed: WalkerPolicy(sees_coin=False),
    "seeker": lambda seed: WalkerPolicy(sees_coin=True),
}
"""All scripted policies."""


def parse_teacher(text: str) -> dict[str, float]:
    """The scripted policies in a teacher, with their shares: `walker`, or `mix:P:A:B`.

    Args:
        text: a deterministic policy of `SCRIPTED`, or policy A with probability P at each step and
            else B.

    Raises:
        InputError: there is no such teacher.
    """
    known = [name for name, make in SCRIPTED.items() if make(0).deterministic]
    kind, *rest = text.split(":")
    try:
        shares = {text: 1.0}
        if kind == "mix":
            share, first, second = rest
            shares = {first: float(share), second: 1 - float(share)}
    except ValueError:
        shares = {}
    if (
        len(shares) != 1 + (kind == "mix")  # a policy mixed with itself is none of two
        or not shares.keys() <= set(known)
        or not all(0 <= s <= 1 for s in shares.values())
    ):
        allowed = f"one of {', '.join(known)}, or mix:P:A:B of two, as mix:0.5:seeker:walker"
        raise InputError.of("teacher", text, allowed)
    return shares
