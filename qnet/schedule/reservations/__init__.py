"""The book of a running network: named streams that are admitted, released and re-routed."""

from qnet.schedule.reservations.book import Answer, Changes, Reservations
from qnet.schedule.reservations.view import View

__all__ = ["Answer", "Changes", "Reservations", "View"]
