"""Load, decide, commit: one file a job."""
