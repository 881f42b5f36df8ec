"""What actor, learner and evaluator do; plain functions and visible loops, given what they use."""
