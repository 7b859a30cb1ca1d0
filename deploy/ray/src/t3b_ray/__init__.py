"""Workers of one t3b run as actors of a Ray cluster."""

from .pool import Fatal, Pool, Told, run

__all__ = ["Fatal", "Pool", "Told", "run"]
