"""Deployments. Telemetry of the libraries is off, from before the first of them is imported: see `flows`."""

import flows  # noqa: F401
