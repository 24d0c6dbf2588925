"""A part of a path that is any text; Starlette's own `path` matches no line breaks."""

from starlette.convertors import Convertor, register_url_convertor

ANY_TEXT = "any"


class _AnyText(Convertor[str]):
    regex = r"(?:.|\n)*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor(ANY_TEXT, _AnyText())
