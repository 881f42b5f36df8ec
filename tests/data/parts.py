"""Small data sets for tests: episodes of the toy task, of three lengths, some of which end in termination."""

from robo_rl.data.features import dataset_name, features_of, serialize
from robo_rl.data.play import episode_seeds, play
from robo_rl.data.writer import DatasetWriter
from tests.toys import SPEC, ReachBatch


def toy_episodes(count=6, root=4):
    """So many episodes of uniform actions."""
    env = ReachBatch(count)
    return play(env, None, 0.0, episode_seeds(root, 0, count), "random")


def write(folder, episodes, spec=SPEC, shard_episodes=4, **metadata):
    """A data set of these episodes in `folder`."""
    features = features_of(spec)
    metadata = {"spec": spec.to_json(), **metadata}
    with DatasetWriter(folder, dataset_name(spec.name), features, metadata, shard_episodes) as writer:
        for episode in episodes:
            writer.add(serialize(features, spec, episode))
    return folder
