"""An ensemble of samplers that share one budget and one history."""

import math
from dataclasses import replace

from evertune.search.objective import Job, maximized_score
from evertune.search.samplers.base import SearchProblem, SpaceSampler
from evertune.search.study import Study
from evertune.trials import Trial

MEMBERS = ("tpe", "genetic", "cmaes", "skopt_forest")
WINDOW = 40  # latest proposals that count
EXPLORATION = 0.2


class MixtureSampler(SpaceSampler):
    """Several samplers; those whose proposals improved the best score get more of them.

    Each member learns from all trials, whoever proposed them. Who proposes next is decided by the
    bandit of OpenTuner (Ansel et al. 2014): the member with the greatest

        AUC + 0.2 * sqrt(2 * log2(H) / n)

    where H is the number of the latest proposals that count (40 at most) and n the member's among
    them. AUC is the area under the curve of its improvements, so that later ones weigh more:
    `sum(i * improved_i) / sum(i)` over its proposals i = 1...n. Each trial has its member's name,
    from which a search that is resumed knows the credit again.
    """

    def __init__(self, problem: SearchProblem) -> None:
        from evertune.search.samplers import SEARCHERS

        super().__init__(problem)
        self.members: dict[str, SpaceSampler] = {}
        for name in MEMBERS:
            member = SEARCHERS[name].sampler(problem)
            if not isinstance(member, SpaceSampler):
                raise TypeError(f"{name} cannot share a history.")
            member.waiting, member.pending = [], self.pending
            self.members[name] = member
        self._best, self._improved = -math.inf, set[int]()  # the numbers of trials that did
        for trial in problem.past_trials:
            self._note_score(trial)
        past = sorted((trial.number, trial.member) for trial in problem.past_trials if trial.member)
        self._uses = past[-WINDOW:]  # trial number and member

    def ask(self, study: Study, *, killable: bool) -> Job | None:
        """Return a first point, or what the member with the most credit proposes."""
        first = self.next_first_point()
        if first is not None:
            return self.new_job(study, first, "portfolio")
        name = max(self.members, key=self.credit)
        job = self.members[name].ask(study, killable=killable)
        if job is None:
            return None
        self._uses = [*self._uses, (job.number, name)][-WINDOW:]
        return replace(job, member=name)

    def tell(self, study: Study, number: int, trial: Trial | None) -> None:
        """Let all members learn, and give credit for a new best score."""
        for member in self.members.values():
            member.tell(study, number, trial)
        super().tell(study, number, trial)
        if trial is not None:
            self._note_score(trial)

    def learn_from_all(self) -> None:
        """Count trials outside the part of the space, too."""
        super().learn_from_all()
        for member in self.members.values():
            member.learn_from_all()

    def credit(self, name: str) -> float:
        """Return what the bandit expects of a member; infinite before its first proposal."""
        own = [number for number, member in self._uses if member == name]
        if not own:
            return math.inf
        gains = sum(i for i, number in enumerate(own, start=1) if number in self._improved)
        area = gains / (len(own) * (len(own) + 1) / 2)
        return area + EXPLORATION * math.sqrt(2 * math.log2(max(len(self._uses), 2)) / len(own))

    def _note_score(self, trial: Trial) -> None:
        if trial.status != "complete" or trial.score is None:
            return
        score = maximized_score(trial.score, self.metric)
        if score > self._best:
            self._best = score
            self._improved.add(trial.number)
