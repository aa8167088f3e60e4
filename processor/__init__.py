"""The co-brand processor: it says what each card message earned, and keeps the books."""
