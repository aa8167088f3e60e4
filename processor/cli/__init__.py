"""The cobrand command."""
