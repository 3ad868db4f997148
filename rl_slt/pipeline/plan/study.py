"""What a study asks for: arms, seeds, training, and the settings of each stage, checked at once.

A study is one small TOML file; the presets are such files in `presets/`. Nothing heavy is imported
before a plan is made: the options of the command line are read off these classes.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, PrivateAttr, model_validator

from analysis import Hypothesis
from rl_slt.errors import InputError
from rl_slt.settings import (
    BatchSize,
    BurnIn,
    Chains,
    Draws,
    Entropy,
    Gauge,
    Localization,
    NBeta,
    Precision,
    PreconditionerRank,
    Seed,
    Settings,
    StepSize,
    Temperatures,
    TraceDraws,
)
from rl_slt.settings_model import SettingsModel

if TYPE_CHECKING:
    from agents import TrainConfig


class _TrainSettings:
    """In the JSON schema, a table of settings of `agents.TrainConfig`, none of them required.

    Args:
        more: schemas of settings beside them.
    """

    def __init__(self, **more: dict[str, str]) -> None:
        """See the class."""
        self.more = more

    def __get_pydantic_json_schema__(
        self, core: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        from agents import TrainConfig

        whole = handler.resolve_ref_schema(handler(TrainConfig.__pydantic_core_schema__))
        return {
            "type": "object", "properties": whole["properties"] | self.more,
            "additionalProperties": False,
        }  # fmt: skip


Count = Annotated[int, Field(ge=1)]
Share = Literal["last", "all"] | Count  # of the checkpoints of a run
Texts = Annotated[tuple[str, ...], Field(min_length=1)]
Changes = Annotated[dict[str, Any], _TrainSettings()]
ArmChanges = Annotated[dict[str, Any], _TrainSettings(dose={"type": "number"})]


class LLCPlan(SettingsModel):
    """Which LLC estimates to make of each checkpoint, and how.

    The defaults are those of `rl_slt.POLICY_CNN`, for networks of some 10^5 weights: the LLC at
    relative temperature 50, of balanced weights and distinct actions.
    """

    losses: Texts = ("kl",)
    """loss: kl, nll, regret[:clip=C,self-normalized], surrogate[:clip=C], value, \
rollout-regret[:temperature=TAU]; in a gridworld also exact-regret[:temperature=TAU] and \
return-error[:temperature=TAU]; repeatable"""
    states: Texts = ("frozen", "on-policy")
    """state set: on-policy, frozen or probe, then :PLACEMENT or /FILTER; repeatable"""
    n_states: Count = 2048
    """states in each set, N of the LLC"""
    reference: str = "self"
    """policy that the loss compares with: self, last, or RUN@STEP"""
    params: str = "all"
    """names of the parameters left free, as 'trunk.*,head.*'"""
    sampler: str = "auto"
    """one of auto, sgld, rmsprop_sgld, sgnht, baoab, mala, hmc, orthogonal_sgld"""
    step_size: StepSize | None = None
    """step size of the sampler; left out, adapted in burn-in"""
    nbeta: NBeta | None = "relative:50"
    """inverse temperature times the number of states N: relative:K as a rise by K under the \
localizer alone, a number, or none for N / log N"""
    localization: Localization = "relative:0.3"
    chains: Chains = 4
    draws: Draws = 200
    burn_in: BurnIn = 80
    batch_size: BatchSize = 64
    preconditioner_rank: PreconditionerRank | None = None
    """leading curvature directions to precondition; 0 is none, left out what suits the network"""
    precision: Precision = "auto"
    gauge: Gauge = "auto"
    orthogonal: bool = False
    """hold the weights orthogonal to the loss's gradient at w*, where that is no minimum"""
    actions: Literal["distinct", "all"] = "distinct"
    """distinct merges actions that do the same in the game before the loss; all keeps them apart"""
    match_entropy: tuple[Entropy, ...] = ()
    """mean entropies in nats at which the first state set is estimated again, as controls"""
    match_entropy_of: Share = "all"
    """checkpoints of each run that get these controls: the last, all, or so many evenly among \
them"""
    checkpoints: Count = 40
    """most checkpoints of a run to estimate at, evenly among those that it leaves"""
    profile: Temperatures = ()
    profile_of: Share = "last"
    """checkpoints of each run that get the profile: the last, all, or so many evenly among them"""
    traces: TraceDraws | None = None
    """keep the loss of every state at so many draws of each chain (RUN/traces, netCDF; needs the \
extra traces)"""
    device: str = "cpu"
    """where chains run: cpu, cuda, cuda:0, ...; a GPU has one worker if --workers is left out"""
    seed: Seed = 0
    """seed of the chains and of the state sets"""

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse what no estimate can use: nothing is trained or written before."""
        from rl_slt.pipeline.plan.by_name import build_loss, build_sampler, check_loss

        if self.batch_size > self.n_states:
            raise InputError.of("batch_size", self.batch_size, f"at most n_states={self.n_states}")
        if self.precision == "bfloat16" and self.device != "cpu":
            raise InputError.of(
                "precision", self.precision, f"auto or float32 on device {self.device!r}"
            )
        if self.profile and self.localization == 0:
            hint = "resolutions of a profile are relative to the localizer"
            raise InputError.of("localization", self.localization, "above 0 with a profile", hint)
        build_sampler(self.sampler, self.step_size)
        for states in self.states:
            for loss in self.losses:
                check_loss(loss, states, self.reference)
        for loss in self.losses:
            if build_loss(loss).population and "nbeta" not in self.model_fields_set:
                hint = "in units of 1 / loss, as 1000: levels are no sample (docs/regret.md)"
                raise InputError.of("nbeta", self.nbeta, f"given with loss {loss}", hint)
        return self

    def most(self, share: Share) -> int:
        """At most so many checkpoints of a run are meant by `profile_of` or `match_entropy_of`."""
        if isinstance(share, int):
            return share
        return 1 if share == "last" else self.checkpoints

    def settings(self) -> Settings:
        """The estimator's settings."""
        from rl_slt.pipeline.plan.by_name import build_sampler

        shared = Settings.model_fields.keys() & LLCPlan.model_fields.keys()
        return Settings(
            **{name: getattr(self, name) for name in shared}
            | {
                "sampler": build_sampler(self.sampler, self.step_size),
                "match_entropy": None,
                "params": None if self.params == "all" else tuple(self.params.split(",")),
            }
        )

    def values(self) -> dict[str, Any]:
        """All that the numbers depend on: the device only where it is no CPU, not which GPU."""
        values = self.as_dict()
        if not self.orthogonal:  # finished estimates were stored under keys without it
            del values["orthogonal"]
        device = values.pop("device").partition(":")[0]
        return values if device == "cpu" else values | {"device": device}


class ProbePlan(SettingsModel):
    """Which probes to run on each checkpoint."""

    suite: str = "standard"
    """suite of probes: standard or demo; a gridworld has its own"""
    levels: Count | None = None
    """held-out levels of each probe; left out, the suite's own number"""
    mode: Literal["sampled", "greedy"] = "sampled"
    """actions of the policy: sampled or greedy"""
    seed: Seed = 0
    """seed of the action noise"""
    time_limit: Count | None = None
    """steps of a probe episode; left out, the suite's own"""
    states: Annotated[int, Field(ge=0)] | None = None
    """held-out levels behind the fixed-state probes (counterfactual, linear probe), 0 for none; \
left out, as many as the suite has, at most 100"""
    checkpoints: Count = 40
    """most checkpoints of a run to probe, evenly among those that it leaves"""

    @model_validator(mode="after")
    def _check(self) -> Self:
        from analysis import probes

        if self.suite not in probes.SUITES:
            raise InputError.of("suite", self.suite, f"one of {', '.join(probes.SUITES)}")
        return self

    @property
    def probes(self) -> list[str]:
        """Names of all probes that the table `probes` will hold."""
        from analysis import probes

        fixed = probes.FIXED_STATE_PROBES if self.states != 0 else ()
        return [*probes.SUITES[self.suite].placements, "suite", *fixed]


class CompareSettings(SettingsModel):
    """How two agents are compared."""

    placements: Texts = ("end", "behind", "none@mid")
    """coin placement of levels where both play; repeatable"""
    n_states: Count = 1536
    """states to compare on, from the play of both in equal parts"""
    points: Annotated[int, Field(ge=3)] = 11
    """points on each line through the weights"""
    radius: Annotated[float, Field(gt=0)] = 0.1
    """reach of random and gradient lines, as a share of the norm of the first's weights"""
    episodes: Annotated[int, Field(ge=0)] = 32
    """episodes of the return at each point; 0 is none"""
    clips: Annotated[int, Field(ge=0)] = 2
    """levels of largest difference to film"""
    levels: Annotated[int, Field(ge=2)] = 200
    """levels of each placement that both play to the end, for bounds on their difference"""
    seed: Seed = 0
    """seed of levels, actions and random directions"""

    @model_validator(mode="after")
    def _check(self) -> Self:
        from envs import parse_placement

        for text in self.placements:
            parse_placement(text)
        return self


class BayesPlan(SettingsModel):
    """The posterior over weights of each arm in the place of LLC estimates: a phase diagram."""

    nbetas: Annotated[tuple[float, ...], Field(min_length=2)]
    """inverse temperatures of the soft regret, rising, from 0 (the prior) on"""
    prior_sd: Annotated[float, Field(gt=0)] = 1.0
    """standard deviation of each weight in the prior"""
    ladders: Annotated[int, Field(ge=2)] = 4
    """independent sets of replicas, one at each temperature"""
    draws: Annotated[int, Field(ge=8)] = 1000
    """kept at each temperature of a ladder, after a quarter as many to adapt"""
    leapfrog: Count = 8
    """mean number of steps in a trajectory"""
    seed: Seed = 0
    """of the chains"""


class StudyPlan(SettingsModel):
    """A whole study; `train` and each arm are in the names of `agents.TrainConfig`."""

    name: str
    """of the study, and of its folder"""
    question: str
    """what the study is to answer, for its report"""
    arms: Annotated[dict[str, ArmChanges], Field(min_length=1)]
    """what each arm changes of the training, by the arm's name, and its `dose` where it has one"""
    base_preset: str = "paper"
    """preset of settings that all arms build on: paper, demo, gridworld or gridworld-ppo"""
    train: Changes = Field(default_factory=dict)
    """what all arms change of the preset"""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    """seeds of training"""
    llc: LLCPlan = Field(default_factory=LLCPlan)
    """the LLC estimates"""
    probe: ProbePlan = Field(default_factory=ProbePlan)
    """the goal probes"""
    bayes: BayesPlan | None = None
    """the posterior over weights, for gridworlds trained by exact gradients; then nothing else"""
    hypothesis: tuple[Hypothesis, ...] = ()
    """what the study claims before there are data: one primary, others secondary"""

    _text: str = PrivateAttr("")  # of its file

    @model_validator(mode="after")
    def _check(self) -> Self:
        from agents import safe_name

        safe_name(self.name, "study")
        for arm, changes in self.arms.items():
            safe_name(arm, "arm")
            if "coin" not in self.train | changes:
                raise InputError(f'arms.{arm}.coin: missing; it must be given, as coin = "end"')
            dose = changes.get("dose", 0.0)
            if isinstance(dose, bool) or not isinstance(dose, int | float) or not isfinite(dose):
                raise InputError.of(f"arms.{arm}.dose", dose, "a finite number")
            for seed in self.seeds:
                self.train_config(arm, seed)
            if self.bayes is not None and self.train_config(arm, self.seeds[0]).trainer != "exact":
                raise InputError.of("bayes", "given", "left out but with trainer = 'exact'")
        self._check_game()
        if self.hypothesis:  # the kinds need what is slow to import
            from analysis import check_together

            check_together(self.hypothesis)
        for hypothesis in self.hypotheses:
            try:
                self._check_names(hypothesis)
            except InputError as error:
                raise InputError(f"hypothesis {hypothesis.name!r}: {error}") from None
        return self

    def _check_game(self) -> None:
        """Raise InputError for arms in different games, or states that the game does not have."""
        from rl_slt.pipeline.environments import environment_of

        trains = {arm: self.train_config(arm, self.seeds[0]) for arm in self.arms}
        (arm, first), *others = trains.items()
        for other, train in others:
            if train.game != first.game:
                raise InputError.of(f"arms.{other}.game", train.game, f"{first.game}, as of {arm}")
        here = environment_of(first)
        here.check_probe(self.probe)
        if self.bayes is None:
            here.check_llc(self.llc)
        for text in self.llc.states:
            here.states(first, text, self.placements, self.llc.n_states, 0)

    @property
    def probe_names(self) -> Sequence[str]:
        """Names of all probes that the table `probes` will hold."""
        return self.exact_probes or self.probe.probes

    @property
    def exact_probes(self) -> Sequence[str]:
        """Names of the probes that are exact in the study's game; none where they are played."""
        from rl_slt.pipeline.environments import environment_of

        return environment_of(self.train_config(next(iter(self.arms)), self.seeds[0])).probes or ()

    def _check_names(self, hypothesis: Hypothesis) -> None:
        """Raise InputError where a hypothesis names what this study will not have."""
        from analysis import measured_columns

        llc, more = map(measured_columns, ("llc", "covariates"))
        probe, _ = hypothesis.pair
        resolution = {hypothesis.relative_temperature} - {None}
        steps = {step for arm in self.arms
                 for step in self.train_config(arm, self.seeds[0]).checkpoint_steps}  # fmt: skip
        named: list[tuple[str, Iterable[Any], Collection[Any]]] = [
            ("arms", hypothesis.arms or (), self.arms),
            ("doses", hypothesis.doses or (), self.arms),
            ("series", filter(None, [hypothesis.series]), llc),
            ("given", hypothesis.given, [*llc, *more]),
            ("loss", filter(None, [hypothesis.loss]), self.llc.losses),
            ("matched_entropy", {hypothesis.matched_entropy} - {None}, self.llc.match_entropy),
            (
                "relative_temperature",
                map("{:.3g}".format, resolution),
                [f"{k:.3g}" for k in self.llc.profile],
            ),
            ("metric", filter(None, [probe]), self.probe_names),
            ("step", {hypothesis.step} - {"last"}, sorted(steps)),
        ]
        for name, values, known in named:
            for value in values:
                if value not in known:
                    what = "last or one of " if name == "step" else "of the study: "
                    raise InputError.of(name, value, what + ", ".join(map(str, known)))
        if hypothesis.kind == "dose" and len(set((hypothesis.doses or {}).values())) < 2:
            raise InputError.of("doses", hypothesis.doses, "two different numbers of arms",
                                "give each arm `dose = NUMBER`")  # fmt: skip

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The hypotheses, those of kind `dose` with the doses of the arms."""
        if not self.hypothesis:
            return ()
        from analysis import with_doses

        return with_doses(self.hypothesis, self.arms)

    @property
    def placements(self) -> list[str]:
        """Coin placements of the arms, in their order."""
        return [self.train_config(arm, self.seeds[0]).coin for arm in self.arms]

    @property
    def file_text(self) -> str:
        """The text of the study's file; of a plan made without one its settings as JSON."""
        return self._text or json.dumps(self.as_dict(), indent=1) + "\n"

    @property
    def sha256(self) -> str:
        """Hash of `file_text`: what was fixed before the data."""
        return hashlib.sha256(self.file_text.encode()).hexdigest()

    def changed(self, **stages: Mapping[str, Any]) -> Self:
        """A copy with some settings of stages changed, fixed by the same file.

        Args:
            stages: what changes of `llc` and `probe`.
        """
        found = self.replace(**{s: getattr(self, s).replace(**c) for s, c in stages.items() if c})
        found._text = self.file_text
        return found

    def part(self, seeds: str) -> Self:
        """The plan for some of its seeds alone, fixed by the same file.

        Args:
            seeds: half-open range `A:B`, of which the study has at least one.

        Raises:
            InputError: the study has none of them.
        """
        match = re.fullmatch(r"(\d+):(\d+)", seeds)
        low, high = map(int, match.groups()) if match else (0, 0)
        chosen = tuple(seed for seed in self.seeds if low <= seed < high)
        if not chosen:
            own = ", ".join(map(str, self.seeds))
            raise InputError.of("seeds", seeds, f"a range A:B with some of the study's {own}")
        found = self.replace(seeds=chosen)
        found._text = self.file_text
        return found

    def train_config(self, arm: str, seed: int) -> TrainConfig:
        """The training configuration of an arm and a seed."""
        from agents import TrainConfig, ppo_preset

        base = ppo_preset(self.base_preset).as_dict()
        own = {name: value for name, value in self.arms[arm].items() if name != "dose"}
        values = base | self.train | own | {"seed": seed}
        return TrainConfig.build(values, f"arms.{arm}")


_PRESETS = resources.files("rl_slt.pipeline.plan") / "presets"


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    return sorted(p.name.removesuffix(".toml") for p in _PRESETS.iterdir() if ".toml" in p.name)


def load_preset(name: str, seed: int | None = None) -> StudyPlan:
    """A preset by name.

    Args:
        name: one of `preset_names()`.
        seed: the one training seed, instead of the preset's own.

    Raises:
        InputError: there is no such preset.
    """
    if name not in preset_names():
        raise InputError.of("preset", name, f"one of {', '.join(preset_names())}")
    return parse_study((_PRESETS / f"{name}.toml").read_text(), name, seed)


def load_study(path: Path, seed: int | None = None) -> StudyPlan:
    """A study of one's own from a TOML file.

    Args:
        path: of the file; its name is the study's, unless `name` in it says otherwise.
        seed: the one training seed, instead of the file's.

    Raises:
        InputError: the file is missing, is no TOML, or a value in it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the study {path}: {error}") from None
    return parse_study(text, path.stem, seed)


def parse_study(text: str, name: str, seed: int | None = None) -> StudyPlan:
    """A study from the text of its TOML file; see `load_study`."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"study {name!r} is not valid TOML: {error}") from None
    seeds = {} if seed is None else {"seeds": [seed]}
    plan = StudyPlan.build({"name": name} | values | seeds, f"study {name!r}")
    plan._text = text
    return plan
