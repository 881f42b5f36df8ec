"""The evaluation fleet: follow checkpoints, judge them block by block, promote the best on evidence."""
