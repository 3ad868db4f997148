"""Shares of the localizer's mass that keep a policy, or a goal: free energy and local volume."""
