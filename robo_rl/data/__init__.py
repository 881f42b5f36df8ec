"""Recorded episodes: RLDS data sets, written and read with tensorflow-datasets and array_record, no TensorFlow."""
