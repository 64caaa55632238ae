"""Tests over real HTTP, with the command as a user has it, against a sandbox tenant on loopback."""
