"""Deployments. Telemetry of the libraries is off, from before the first of them is imported: see `flows`."""

from importlib import import_module

import_module("flows")
