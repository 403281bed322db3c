"""What a person sees at the end of `sublm trim-vocabulary`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType


class TrimSummary(dict[str, Any]):
    """Sizes before and after, and what becomes of texts, as `sublm.vocabulary.trim_folder` reports them."""

    def __rich__(self) -> RenderableType:
        """The report in sentences."""
        from rich.text import Text

        tokens, size, share = self["tokens"], self["bytes"], self["share_of_embeddings"]
        lines = [
            f"{tokens['after']:,} of {tokens['before']:,} tokens are kept: {size['before'] / 1e6:.1f} MB become "
            f"{size['after'] / 1e6:.1f} MB, of whose parameters {share['after']:.0%} are embeddings "
            f"({share['before']:.0%} before).",
            self._texts("corpus", "the corpus"),
        ]
        if "check" in self:
            lines.append(self._texts("check", "the other texts"))
        return Text("\n".join([*lines, f"Model    {self['model']}"]))

    def _texts(self, key: str, name: str) -> str:
        """What became of some texts."""
        found = self[key]
        said = f"{found['changed']:.1%} of {name} ({found['texts']:,}) get other tokens"
        said += f", {found['tokens'] - 1:+.1%} in number" if found["changed"] else ""
        before, after = found["unknown_before"], found["unknown_after"]
        if after or before:
            said += f"; {after:.1%} of the tokens are unknown to the tokenizer ({before:.1%} before)"
        return said + "."
