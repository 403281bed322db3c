"""Model cards."""

from sublm.export.card.hub import known_of
from sublm.export.card.model_card import ModelCard
from sublm.export.card.page import render_card, write_card

__all__ = ["ModelCard", "known_of", "render_card", "write_card"]
