"""Forecast atmospheric CO2 at Mauna Loa: prepare, train, evaluate."""
