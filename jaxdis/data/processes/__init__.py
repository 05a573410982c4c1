"""Generating processes with known latents and causal graphs."""

from jaxdis.data.processes.dataset import CausalProcess
from jaxdis.data.processes.mechanisms import PROCESSES, Process

__all__ = ["PROCESSES", "CausalProcess", "Process"]
