"""Placements, level ranges and their texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import envs
from envs.placements import At, Behind, Both, End, Ground, Mix, Nowhere, Placement, Section
from rl_slt import InputError

LITERAL = {
    "end": End(),
    "end@mid": End(mid=True),
    "section": Section(),
    "ground@mid": Ground(mid=True),
    "ground=0.8-1.0": Ground(low=0.8),
    "ground=0.25-0.5@mid": Ground(low=0.25, high=0.5, mid=True),
    "none": Nowhere(),
    "both": Both(),
    "behind": Behind(low=2, high=6),
    "behind=3-9": Behind(low=3, high=9),
    "at=7,12": At(x=7, y=12),
    "mix:0.05:ground:end": Mix(p=0.05, a=Ground(), b=End()),
    "mix:0.5:behind=2-4:end@mid": Mix(p=0.5, a=Behind(low=2, high=4), b=End(mid=True)),
    "mix:0.5:mix:0.25:none:at=1,2@mid:end": Mix(
        p=0.5, a=Mix(p=0.25, a=Nowhere(), b=At(x=1, y=2, mid=True)), b=End()
    ),
}


@pytest.mark.parametrize("text", LITERAL)
def test_text_and_value(text: str) -> None:
    assert envs.parse_placement(text) == LITERAL[text]
    assert str(LITERAL[text]) == text


def test_other_spellings_of_the_same() -> None:
    assert envs.parse_placement("behind=2-6") == envs.parse_placement("behind@mid") == Behind()
    assert envs.parse_placement("end@spawn") == End()
    assert envs.parse_placement("ground=0-1") == Ground()
    assert envs.parse_placement("ground=.8-1") == Ground(low=0.8)
    assert envs.parse_placement(End()) == End()


mids = st.booleans()
leaves = st.one_of(
    st.builds(End, mid=mids),
    st.builds(Ground, mid=mids),
    st.tuples(st.floats(0, 1), st.floats(0, 1), mids).map(
        lambda three: Ground(low=min(three[:2]), high=max(three[:2]), mid=three[2])
    ),
    st.builds(Section, mid=mids),
    st.builds(Nowhere, mid=mids),
    st.builds(Both, mid=mids),
    st.builds(At, x=st.integers(0, 63), y=st.integers(0, 63), mid=mids),
    st.tuples(st.integers(1, 63), st.integers(1, 63)).map(
        lambda pair: Behind(low=min(pair), high=max(pair))
    ),
)
placements = st.recursive(
    leaves, lambda inner: st.builds(Mix, p=st.floats(0, 1), a=inner, b=inner), max_leaves=6
)


@given(placements)
def test_every_placement_survives_its_text(placement: Placement) -> None:
    assert envs.parse_placement(str(placement)) == placement


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("ending", "ending"),
        ("", "''"),
        ("end@middle", "middle"),
        ("at=64,1", "63,63"),
        ("at=3", "at=3"),
        ("behind=0-3", "MIN"),
        ("behind=5-3", "MIN"),
        ("behind@spawn", "@spawn"),
        ("ground=0.9-0.8", "LOW"),
        ("ground=0.5-1.5", "LOW"),
        ("ground=0.5", "ground=0.5"),
        ("mix:1.5:end:none", "1.5"),
        ("mix:nan:end:none", "nan"),
        ("mix:0.5:end", "two parts"),
        ("mix:0.5:end:none:both", "both"),
        ("mix:0.5:end:nowhere", "nowhere"),
    ],
)
def test_wrong_placements_name_the_wrong_part(text: str, part: str) -> None:
    with pytest.raises(InputError) as error:
        envs.parse_placement(text)
    assert part in str(error.value) and "\n" not in str(error.value)


def test_levels() -> None:
    assert envs.parse_levels("3:9") == envs.parse_levels((3, 9)) == (3, 9)
    assert envs.parse_levels(None) is None and envs.parse_levels("all") is None
    for wrong in ("9:3", "5:5", "-1:4", "five", (4,), (0, 2**31), 5, (0.5, 3), ("0", 3)):
        with pytest.raises(InputError, match="levels"):
            envs.parse_levels(wrong)  # type: ignore[arg-type]


def test_held_out_levels_must_not_overlap() -> None:
    envs.check_held_out((0, 500), (500, 600))
    for training in ("all", (0, 501), (550, 551)):
        with pytest.raises(InputError, match="held out"):
            envs.check_held_out(training, (500, 600))


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"num_envs": 0}, "num_envs"),
        ({"num_envs": 2.5}, "num_envs"),
        ({"threads": 0}, "threads"),
        ({"threads": "two"}, "threads"),
        ({"coin": "left"}, "left"),
        ({"levels": (5, 5)}, "levels"),
        ({"seed": -1}, "seed"),
        ({"time_limit": 0}, "time_limit"),
        ({"order": "random"}, "order"),
        ({"stop_at_end": True}, "track"),
        ({"game": "chess"}, "chess"),
        ({"game": "maze", "coin": "behind"}, "behind"),
        ({"game": "maze", "coin": "ground=0.8-1.0"}, "ground=0.8-1.0"),
        ({"coin": "at=40,40", "levels": (0, 1)}, "at=40,40"),
    ],
)
def test_wrong_arguments(wrong: dict[str, object], part: str) -> None:
    with pytest.raises(InputError) as error:
        envs.make_vec(**{"num_envs": 2, **wrong})  # type: ignore[arg-type]
    assert part in str(error.value) and "\n" not in str(error.value)


def test_wrong_settings() -> None:
    with pytest.raises(InputError, match="extreme"):
        envs.LevelSettings(distribution_mode="extreme")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="pits"):
        envs.LevelSettings(pits="no")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="memory"):
        envs.make_vec(1, settings=envs.LevelSettings(distribution_mode="memory"))


def test_wrong_actions() -> None:
    vector = envs.make_vec(2)
    vector.reset()
    for actions in ([1], [1, 15], [-1, 3]):
        with pytest.raises(InputError, match="actions"):
            vector.step(actions)
