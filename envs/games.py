"""The games that there are; a new one is a module and an entry here."""

from envs import coinrun, maze
from envs.game import Game, ProcgenGame
from envs.gridworld import game as gridworld
from rl_slt import InputError

GAMES: dict[str, Game] = {game.name: game for game in (coinrun.GAME, maze.GAME, gridworld.GAME)}
"""All games, by name."""


def find_game(name: str) -> Game:
    """The game of this name.

    Args:
        name: a key of `GAMES`.

    Raises:
        InputError: there is none.
    """
    if name not in GAMES:
        raise InputError.of("game", name, " or ".join(GAMES))
    return GAMES[name]


def find_procgen(name: str) -> ProcgenGame:
    """The game of procgen of this name.

    Args:
        name: a key of `GAMES` whose game is procgen's.

    Raises:
        InputError: there is none.
    """
    if not isinstance(game := GAMES.get(name), ProcgenGame):
        known = [name for name, game in GAMES.items() if isinstance(game, ProcgenGame)]
        raise InputError.of("game", name, " or ".join(known))
    return game
