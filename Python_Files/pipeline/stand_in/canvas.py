"""A small canvas: convex shapes with smooth edges, written as a PNG.

A shape is a function of the height ``y`` that gives where the shape begins and ends there, or None. All lengths are
parts of the picture's side, so that one drawing serves every size.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from math import ceil, cos, floor, radians, sin, sqrt

Span = tuple[float, float]
Shape = Callable[[float], Span | None]
Colour = tuple[int, int, int]

_LINES = 4  # this many lines are looked at in every row of pixels


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0) -> Shape:
    """An ellipse around (x, y), turned by ``turn`` degrees."""
    c, s = cos(radians(turn)), sin(radians(turn))
    a = (c / rx) ** 2 + (s / ry) ** 2
    half_b = c * s * (1 / rx**2 - 1 / ry**2)
    d = (s / rx) ** 2 + (c / ry) ** 2

    def span(at: float) -> Span | None:
        up = at - y
        root = (half_b * up) ** 2 - a * (d * up * up - 1)
        if root <= 0:
            return None
        middle, reach = x - half_b * up / a, sqrt(root) / a
        return middle - reach, middle + reach

    return span


def polygon(*points: Span) -> Shape:
    """A convex polygon through the points."""

    def span(at: float) -> Span | None:
        crossings = []
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            if (y0 <= at) != (y1 <= at):
                crossings.append(x0 + (at - y0) * (x1 - x0) / (y1 - y0))
        return (min(crossings), max(crossings)) if crossings else None

    return span


def both(one: Shape, other: Shape) -> Shape:
    """Where two shapes overlap."""

    def span(at: float) -> Span | None:
        first, second = one(at), other(at)
        if first is None or second is None:
            return None
        begin, end = max(first[0], second[0]), min(first[1], second[1])
        return (begin, end) if begin < end else None

    return span


def above(shape: Shape, line: float) -> Shape:
    return lambda at: shape(at) if at < line else None


def below(shape: Shape, line: float) -> Shape:
    return lambda at: shape(at) if at > line else None


def blend(one: Colour, other: Colour, part: float) -> Colour:
    """``one`` with ``part`` of ``other`` (0 to 1) mixed in."""
    r, g, b = (round(a + (z - a) * part) for a, z in zip(one, other, strict=True))
    return r, g, b


class Canvas:
    """A square picture of ``size`` pixels a side, one colour at the top and another at the bottom."""

    def __init__(self, size: int, top: Colour, bottom: Colour) -> None:
        self.size = size
        self._rows = [bytearray(bytes(blend(top, bottom, row / size)) * size) for row in range(size)]

    def paint(self, shape: Shape, colour: Colour, opacity: float = 1) -> None:
        size = self.size
        for number, row in enumerate(self._rows):
            lines = []
            for line in range(_LINES):
                span = shape((number + (line + 0.5) / _LINES) / size)
                if span is not None:
                    begin, end = max(span[0] * size, 0), min(span[1] * size, size)
                    if begin < end:
                        lines.append((begin, end))
            if lines:
                self._fill(row, lines, colour, opacity)

    def _fill(self, row: bytearray, lines: list[Span], colour: Colour, opacity: float) -> None:
        left, right = floor(min(line[0] for line in lines)), ceil(max(line[1] for line in lines))
        whole_left, whole_right = ceil(max(line[0] for line in lines)), floor(min(line[1] for line in lines))
        if len(lines) == _LINES and opacity == 1 and whole_left < whole_right:
            row[3 * whole_left : 3 * whole_right] = bytes(colour) * (whole_right - whole_left)
        else:
            whole_left = whole_right = right
        for x in (*range(left, whole_left), *range(whole_right, right)):
            covered = sum(max(0.0, min(end, x + 1) - max(begin, x)) for begin, end in lines) / _LINES * opacity
            for channel in range(3):
                place = 3 * x + channel
                row[place] += round((colour[channel] - row[place]) * covered)

    def png(self) -> bytes:
        def chunk(kind: bytes, content: bytes) -> bytes:
            return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

        header = struct.pack(">IIBBBBB", self.size, self.size, 8, 2, 0, 0, 0)
        rows = b"".join(b"\0" + row for row in self._rows)
        return (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
        )
