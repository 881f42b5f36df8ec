"""What the tests of the comparison share: workers that are no processes, and a population that goes step by step."""

from robo_rl import envs
from robo_rl.compare.crew import Crew, unit_kinds
from robo_rl.compare.population import Population, capacity, init_members
from robo_rl.experiment import build


class Inside:
    """The face of `simulations.Workers`, with the simulations in this process: toy tasks are known here alone."""

    def __init__(self, kinds, units, workers=1, environment=None):
        self.kinds, self.units = kinds, units
        self.made = {}
        self.closed = False

    def call(self, kind, method, arguments):
        results = {}
        for unit, args in arguments.items():
            if (kind, unit) not in self.made:
                self.made[kind, unit] = envs.make_batched(self.kinds[kind].config, self.kinds[kind].size)
            results[unit] = getattr(self.made[kind, unit], method)(*args)
        return results

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.closed = True


def population_of(config, seeds):
    """A fresh population and its crew, with the simulations in this process."""
    experiment = build(config)
    state = init_members(experiment.agent, experiment.spec, capacity(config), seeds)
    crew = Crew(experiment, seeds, Inside(unit_kinds(config), len(seeds)))
    return Population(experiment, seeds, state), crew


def turns(population, crew, chunk_steps, count):
    """Train for so many turns, and yield the chunks of the members that each brought."""
    for _ in range(count):
        chunks = crew.collect(population.acting_policy(), chunk_steps)
        population.insert(chunks)
        while population.may_update():
            population.update()
        yield chunks
