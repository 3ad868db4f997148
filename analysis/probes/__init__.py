"""Goal probes: does a policy want the coin, or the right side?"""
