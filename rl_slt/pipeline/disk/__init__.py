"""Runs and studies on disk: layout, finished work, locks, failures."""
