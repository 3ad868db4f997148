"""procgen's serialised game state, parsed strictly and edited in place.

Layout (all values little-endian, 4 bytes): version, game name, options and level range, two
random generators as text, step fields, entities of 31 fields each (entity 0 is the agent),
drawing fields, a third generator, world size, the grid, the game's own fields, end marker.
Source: procgen 0.10.7, `Game::serialize`, `BasicAbstractGame::serialize`, `Entity::serialize`.
"""

import struct
from collections.abc import Iterable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rl_slt import InputError

VERSION = 0
END_MARKER = struct.pack("<I", 0xCAFECAFE)
OWN_FIELDS: dict[str, int] = {}  # 4-byte fields after the grid, by game (see `envs.game`)
ENTITY_FIELDS = 31
OPTION_FIELDS = (
    *("paint_vel_info", "use_generated_assets", "use_monochrome_assets", "restrict_themes"),
    *("use_backgrounds", "center_agent", "debug_mode", "distribution_mode"),
    *("use_sequential_levels", "use_easy_jump", "plain_assets", "physics_mode", "grid_step"),
    *("level_seed_low", "level_seed_high", "game_type", "game_n"),
)
STEP_FIELDS = (
    *("reward", "done", "level_complete", "action", "timeout", "level_seed", "prev_level_seed"),
    *("episodes_remaining", "episode_done", "last_reward_timer", "last_reward", "default_action"),
    *("fixed_asset_seed", "time", "waiting"),
)
X, Y, VX, VY, RX, RY, TYPE = range(7)  # columns of an entity
_LOW = OPTION_FIELDS.index("level_seed_low")
_VISIBILITY = 7  # of the world fields
_DRAWING_FIELDS, _WORLD_FIELDS = 19, 9
_PLAYER = 0
UNSEEN = 0.5  # cells drawn where frames are unused: fewer can be slower
_INT = struct.Struct("<i").unpack_from
_TWO_INTS = struct.Struct("<2i").unpack_from
_THREE_INTS = struct.Struct("<3i").unpack_from
_TWO_FLOATS = struct.Struct("<2f").unpack_from
_FOUR_FLOATS = struct.Struct("<4f").unpack_from
_PUT_INT = struct.Struct("<i").pack_into
_PLACE_AND_KIND = struct.Struct(
    f"<2f{4 * (TYPE - 2)}xi{4 * (ENTITY_FIELDS - TYPE - 1)}x"
).iter_unpack
_ZEROS = b"0 " * 624 + b"624"
TRIVIAL = struct.pack("<i", len(_ZEROS)) + _ZEROS  # a generator of zeros: length and text


Motion = tuple[float, float, float, float]  # x, y (cells from the bottom left), and their change


class StateError(InputError):
    """A state that does not parse: another procgen version, another game or damaged bytes."""


def agent_motion(view: memoryview | bytes) -> Motion:
    """Centre of the agent and its velocity in cells per step, read without parsing the rest."""
    offset = 8 + int.from_bytes(view[4:8], "little") + 4 * len(OPTION_FIELDS)
    for _ in range(2):
        offset += 8 + int.from_bytes(view[offset + 4 : offset + 8], "little")
    motion: Motion = _FOUR_FLOATS(view, offset + 4 * len(STEP_FIELDS) + 8)
    return motion


class State:
    """One game's state; edits change `data`, and the arrays of `entities` and `grid` alias it.

    Where an episode begins no array is made: between two steps of procgen each of numpy's functions
    has to be fetched into the caches again, which takes longer than a look at some bytes.

    Raises StateError when an anchor is not where it must be.
    """

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self.data = bytearray(data)
        try:
            self._parse()
        except struct.error as error:
            raise self._refused("it is too short") from error

    def _int(self, offset: int) -> int:
        value: int = _INT(self.data, offset)[0]
        return value

    def _skip_generator(self, offset: int) -> int:
        length: int = _INT(self.data, offset + 4)[0]
        if not 0 < length < 8000:
            raise self._refused("a random generator is not where it should be")
        return offset + 8 + length

    def _parse(self) -> None:
        version, length = _TWO_INTS(self.data, 0)
        if version != VERSION or not 0 < length < 32:
            raise self._refused("its header is unknown")
        self.game = self.data[8 : 8 + length].decode("ascii", "replace")
        if self.game not in OWN_FIELDS:
            raise self._refused(f"it is of game {self.game!r}, known: {', '.join(OWN_FIELDS)}")
        self._options = 8 + length
        self._generator = self._options + 4 * len(OPTION_FIELDS)
        self._generator_end = self._skip_generator(self._generator)
        self._step = self._skip_generator(self._generator_end)
        self._entities_at = self._step + 4 * len(STEP_FIELDS) + 4
        cells, count = _TWO_INTS(self.data, self._entities_at - 4)
        if not 0 < count < 5000:
            raise self._refused(f"it has {count} entities")
        self._count = count
        self._drawing = self._entities_at + 4 + 4 * ENTITY_FIELDS * count
        self._asset = self._drawing + 4 * _DRAWING_FIELDS
        self._world = self._skip_generator(self._asset)
        self._check_grid(cells)
        if self._int(self._entities_at + 4 + 4 * TYPE) != _PLAYER:
            raise self._refused("its first entity is not the agent")

    def _check_grid(self, cells: int) -> None:
        width, height = _TWO_INTS(self.data, self._world)
        at = self._world + 4 * _WORLD_FIELDS
        shape = (width, height, width * height)
        if width < 1 or height < 1 or _THREE_INTS(self.data, at) != shape:
            raise self._refused("its grid is not where it should be")
        self.size = width, height
        self._grid = at + 12
        self._own = self._grid + 4 * width * height
        end = self._own + 4 * OWN_FIELDS[self.game]
        if cells != shape[2] or self.data[end:] != END_MARKER:
            raise self._refused("its end marker is missing")

    def _refused(self, why: str) -> StateError:
        version = self._int(0) if len(self.data) >= 4 else None
        return StateError(
            f"state of {len(self.data)} bytes, format version {version}, does not parse: {why} "
            f"(understood: version {VERSION} as written by procgen 0.10.7)"
        )

    @cached_property
    def entities(self) -> NDArray[np.float32]:
        """Float32 [n, 31], the agent first (alias of the data)."""
        shape = (self._count, ENTITY_FIELDS)
        return np.ndarray(shape, "<f4", self.data, self._entities_at + 4)

    @property
    def kinds(self) -> NDArray[np.int32]:
        """Types of the entities int32 [n] (alias of the data)."""
        kinds: NDArray[np.int32] = self.entities.view("<i4")[:, TYPE]
        return kinds

    @cached_property
    def grid(self) -> NDArray[np.int32]:
        """Int32 [height, width], row 0 at the bottom (alias of the data)."""
        return np.ndarray(self.size[::-1], "<i4", self.data, self._grid)

    def objects(self) -> Iterable[tuple[float, float, int]]:
        """Centre and type of each entity, the agent first."""
        found: Iterable[tuple[float, float, int]] = _PLACE_AND_KIND(
            memoryview(self.data)[self._entities_at + 4 : self._drawing]
        )
        return found

    @property
    def agent_xy(self) -> tuple[float, float]:
        """Centre of the agent (columns, rows from the bottom)."""
        x, y = _TWO_FLOATS(self.data, self._entities_at + 4)
        return x, y

    def cells(self) -> bytearray:
        """The grid's values, which are below 256, row by row from the bottom."""
        return self.data[self._grid : self._own : 4]

    def put(self, kind: int, cells: Iterable[tuple[int, int]], empty: int) -> None:
        """Let the grid hold `kind` in these cells alone; where it did before, `empty`."""
        values, width = self.cells(), self.size[0]
        at = values.find(kind)
        while at >= 0:
            _PUT_INT(self.data, self._grid + 4 * at, empty)
            at = values.find(kind, at + 1)
        for x, y in cells:
            _PUT_INT(self.data, self._grid + 4 * (y * width + x), kind)

    def step_field(self, name: str) -> int:
        """One of the integer STEP_FIELDS, such as `level_seed`, `time` or `timeout`."""
        return self._int(self._step + 4 * STEP_FIELDS.index(name))

    def set_step_field(self, name: str, value: int) -> None:
        """Write one of the STEP_FIELDS."""
        _PUT_INT(self.data, self._step + 4 * STEP_FIELDS.index(name), value)

    def option(self, name: str) -> int:
        """One of the OPTION_FIELDS."""
        return self._int(self._options + 4 * OPTION_FIELDS.index(name))

    def set_option(self, name: str, value: int) -> None:
        """Write one of the OPTION_FIELDS."""
        struct.pack_into("<i", self.data, self._options + 4 * OPTION_FIELDS.index(name), value)

    @property
    def visibility(self) -> float:
        """How many cells the view is wide; UNSEEN where frames are unused."""
        return float(struct.unpack_from("<f", self.data, self._world + 4 * _VISIBILITY)[0])

    @visibility.setter
    def visibility(self, cells: float) -> None:
        struct.pack_into("<f", self.data, self._world + 4 * _VISIBILITY, cells)

    def hide(self) -> None:
        """Draw as little as may be, for frames that are unused."""
        self.visibility = UNSEEN
        self.set_option("use_backgrounds", 0)
        self.set_option("use_monochrome_assets", 1)

    @property
    def level_range(self) -> tuple[int, int]:
        """Half-open range of the level seeds that procgen draws from."""
        return self.option("level_seed_low"), self.option("level_seed_high")

    @level_range.setter
    def level_range(self, value: tuple[int, int]) -> None:
        struct.pack_into("<2i", self.data, self.level_range_at, *value)

    @property
    def level_range_at(self) -> int:
        """Where in the bytes the level range stands, as two int32."""
        return self._options + 4 * _LOW

    @property
    def level_generator_at(self) -> int:
        """Where in the bytes the text of the generator of level seeds stands, its length first."""
        return self._generator + 4

    def forget_draw(self) -> None:
        """Blank the number that the step just taken has drawn; each step draws its own."""
        struct.pack_into("<i", self.data, self._asset - 4, 0)

    def own_floats(self) -> NDArray[np.float32]:
        """The game's own fields after the grid, as float32 (alias of the data)."""
        return np.frombuffer(self.data, "<f4", OWN_FIELDS[self.game], self._own)

    def with_trivial_generators(self) -> "State":
        """A copy whose three generators are all zeros.

        That of level seeds then always draws the low end of `level_range`; the level's own is
        seeded again with each level; that of assets is not used by games with drawn assets. Such a
        state is half as long, and quicker to read.
        """
        seeded = struct.pack("<i", 1)
        return State(
            self.data[: self._generator]
            + (seeded + TRIVIAL) * 2
            + self.data[self._step : self._asset + 4]
            + TRIVIAL
            + self.data[self._world :]
        )

    def without_generators(self) -> bytearray:
        """The bytes without the texts of the generators, for a game that keeps its own.

        A stream reads nothing from an empty text; reading them is half of the cost of taking a
        state. CoinRun and Maze draw nothing from the level's generator once the level is made.
        """
        view, empty, middle = memoryview(self.data), bytes(4), self._generator_end
        parts = (
            view[: self._generator + 4],
            view[middle : middle + 4],
            view[self._step : self._asset + 4],
            view[self._world :],
        )
        return bytearray(empty).join(parts)

    def with_entities(self, entities: NDArray[np.float32]) -> "State":
        """A copy with these entities [n, 31], the agent first."""
        block = struct.pack("<i", len(entities)) + entities.tobytes()
        return State(self.data[: self._entities_at] + block + self.data[self._drawing :])


def generator_words(generator: np.random.RandomState) -> tuple[NDArray[np.uint32], int]:
    """The 624 words of a Mersenne twister and its place in them."""
    inner = generator.get_state(legacy=False)["state"]
    return inner["key"], int(inner["pos"])


def level_generators(seed: int, num: int) -> list[np.random.RandomState]:
    """The level generators that procgen gives `num` environments for `rand_seed=seed`.

    procgen seeds one std::mt19937 with the seed and each environment's with one of its draws;
    numpy's legacy seeding is the same algorithm.
    """
    draws = np.random.RandomState(seed)._bit_generator.random_raw(num)
    return [np.random.RandomState(int(draw)) for draw in np.atleast_1d(draws)]
