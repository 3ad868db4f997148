"""The games that there are; a new one is a module and an entry here."""

from envs import coinrun, maze
from envs.game import Game
from rl_slt import InputError

GAMES = {game.name: game for game in (coinrun.GAME, maze.GAME)}


def find_game(name: str) -> Game:
    """The game of this name.

    Raises:
        InputError: there is none.
    """
    if name not in GAMES:
        raise InputError.of("game", name, " or ".join(GAMES))
    return GAMES[name]
