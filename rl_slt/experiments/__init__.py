"""Published experiments of the field, made again by the public estimator."""
