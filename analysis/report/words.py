"""What a page calls the things of the game that its agents play: a record for each kind of game."""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.probes import FIXED_STATE_PROBES, GRID_PROBES


@dataclass(frozen=True)
class Words:
    """The words of a page.

    Attributes:
        title: its heading.
        deck: below it, where the study asks no question.
        goal: what a placement puts somewhere: a coin.
        most: reward of an episode, at most.
        steps: what steps of training are.
        script: the scripted policy that stands next to agents; empty where there is none.
        template: of the sections that say how to read the page, `NAME-TEMPLATE.html.jinja`.
        sight: heading of the section on fixed states.
        pictures: heading of the section with pictures of agents.
        fixed_states: probes of fixed states that there are.
        figures: by the id of a figure's record, its title and caption, and label of the x axis,
            where they are not the record's own; None: the game has no such figure.
    """

    title: str
    deck: str
    goal: str
    most: float
    steps: str
    script: str
    template: str
    sight: str
    pictures: str
    fixed_states: tuple[str, ...]
    figures: dict[str, tuple[str, str, str] | None] = field(default_factory=dict)


COINRUN = Words(
    title="Move right, or collect the coin?",
    deck="In training, running right and collecting the coin earn the same reward: which of the "
    "two did the agents learn, and does the local learning coefficient of their policies tell?",
    goal="coin",
    most=10.0,
    steps="environment steps",
    script="coin-blind script",
    template="coinrun",
    sight="Does the policy see the coin?",
    pictures="The same level, agent by agent",
    fixed_states=FIXED_STATE_PROBES,
)
GRIDWORLD = Words(
    title="To the corner, or to the cheese?",
    deck="In training the cheese mostly lies in the corner, so going to the corner and going for "
    "the cheese mostly earn the same reward: which of the two did the mice learn, when, and does "
    "the local learning coefficient of their policies tell?",
    goal="cheese",
    most=1.0,
    steps="gradient steps",
    script="",
    template="gridworld",
    sight="Does the policy see the cheese?",
    pictures="The policies, agent by agent",
    fixed_states=GRID_PROBES,
    figures={
        "goal": (
            "What the trained mice do when the cheese is moved",
            "At the last checkpoint: the probability that a mouse reaches the corner before the "
            "cheese, over starts from which they lie on different ways, and expected discounted "
            "returns. All values are exact; bars are 95 % intervals over seeds.",
            "probability, or expected discounted return",
        ),
        "coin": (
            "What the sight of the cheese changes, along training",
            "Dashed: zero, as if the mouse did not look at the cheese. All values are exact; bands "
            "are 95 % intervals over seeds where an arm has several.",
            "",
        ),
        "coin-distance": None,
    },
)
WORDS = {"gridworld": GRIDWORLD}  # by game; all others are CoinRun's kind


def words_of(game: str) -> Words:
    """The words for a game."""
    return WORDS.get(game, COINRUN)
