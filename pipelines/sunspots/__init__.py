"""Forecast yearly sunspots: a small pipeline that shows DVC's templates at work."""
