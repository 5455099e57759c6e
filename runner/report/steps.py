"""The steps of a month beside the stages above them."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

from runner.show.rows import FunnelStep, PipelineStep
from runner.text.words import share


@dataclass(frozen=True)
class ComparedStep:
    """A step, and how many deals entered the stage above it in the same month.

    Args:
        step: The step.
        above: None of the first stage, and of what is no stage: a call happens beside the stages,
            often with deals that are past the one above.
    """

    step: FunnelStep | PipelineStep
    above: int | None

    @property
    def share(self) -> float | None:
        """Its deals for each of those above, 0 to 1; None where it has more: that is no share."""
        found = share(self.step.deals_count, self.above)
        return None if found is None or found > 1 else found


def compare_steps(
    steps: Sequence[FunnelStep | PipelineStep], parallel: Container[int]
) -> list[ComparedStep]:
    """Return the steps with the stages above; those whose step_order is `parallel` are no stage."""
    compared, above = [], None
    for step in steps:
        is_stage = step.step_order not in parallel
        compared.append(ComparedStep(step, above if is_stage else None))
        if is_stage:
            above = step.deals_count
    return compared
