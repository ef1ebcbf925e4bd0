"""The 200 portraits of the stand-in: friendly drawn faces, each of its own, always the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import TypeVar

from pipeline.stand_in.canvas import Canvas, Colour, above, below, blend, both, ellipse, polygon

T = TypeVar("T")

PORTRAIT_TYPE = "image/png"
"""The content type of every portrait."""

KINDS = ("men", "women")
SIZES = {"large": 256, "medium": 144, "thumbnail": 96}

_SKINS: Sequence[Colour] = (
    *((255, 224, 196), (245, 205, 170), (232, 184, 143), (208, 155, 112), (168, 116, 79), (128, 84, 56), (94, 61, 43)),
)
_HAIRS: Sequence[Colour] = (
    *((35, 28, 26), (62, 42, 32), (98, 64, 40), (146, 92, 48), (196, 146, 78), (226, 188, 120), (150, 62, 36)),
)
_GREYS: Sequence[Colour] = ((150, 150, 152), (200, 200, 202), (228, 226, 222))
_GROUNDS: Sequence[Colour] = (
    *((154, 205, 222), (247, 200, 170), (183, 215, 172), (214, 188, 230), (250, 221, 143), (168, 184, 230)),
    *((240, 176, 184), (160, 214, 200), (205, 205, 214), (235, 210, 190)),
)
_CLOTHES: Sequence[Colour] = (
    *((52, 84, 138), (178, 58, 72), (64, 124, 96), (236, 236, 240), (70, 70, 82), (222, 150, 52), (120, 84, 150)),
    *((40, 130, 150), (196, 106, 140), (100, 110, 60)),
)
_IRISES: Sequence[Colour] = ((74, 48, 32), (92, 62, 34), (58, 96, 140), (76, 120, 78), (96, 110, 124), (40, 30, 26))
_WHITE: Colour = (252, 252, 252)
_DARK: Colour = (38, 30, 30)


def _pick(random: Random, choices: Sequence[T]) -> T:
    return choices[int(random.random() * len(choices))]


class _Looks:
    """What a face is made of; drawn by chance from the portrait's kind and number."""

    def __init__(self, kind: str, number: int) -> None:
        digest = hashlib.sha256(f"portrait {kind} {number}".encode()).digest()
        random = Random(int.from_bytes(digest))
        chance = random.random
        self.woman = kind == "women"
        self.skin = _pick(random, _SKINS)
        dark = self.skin[0] < 180
        self.old = chance() < 0.2
        self.hair = _pick(random, _GREYS) if self.old else _pick(random, _HAIRS[:3] if dark else _HAIRS)
        self.ground = _pick(random, _GROUNDS)
        self.clothes = _pick(random, _CLOTHES)
        self.iris = _pick(random, _IRISES[:2] if dark else _IRISES)
        self.wide = 0.178 + 0.022 * chance() + (0 if self.woman else 0.008)
        self.tall = 0.232 + 0.022 * chance()
        self.eyes = 0.083 + 0.012 * chance()  # from the middle of the face to the eye
        self.brow = -6 + 16 * chance()
        self.smile = 0.052 + 0.028 * chance()
        self.teeth = chance() < 0.5
        self.glasses = chance() < 0.22
        self.parting = -1 if chance() < 0.5 else 1
        self.style = _pick(
            random,
            ("long", "bob", "bun", "curls", "scarf", "tail", "long")
            if self.woman
            else ("short", "short", "curls", "bald", "quiff", "fringe"),
        )
        self.beard = not self.woman and chance() < 0.35
        self.moustache = not self.woman and (chance() < 0.15 or (self.beard and chance() < 0.7))
        self.earrings = self.woman and self.style in ("bun", "tail", "curls") and chance() < 0.6
        self.freckles = not dark and chance() < 0.15
        self.collar = _pick(random, ("round", "shirt", "v"))
        self.lips: Colour = (
            _pick(random, ((190, 60, 74), (204, 92, 96), (168, 50, 80))) if self.woman else (176, 92, 84)
        )
        self.scarf = _pick(random, _CLOTHES)


def _draw_behind(canvas: Canvas, looks: _Looks) -> None:
    """The hair that hangs behind the neck and shoulders."""
    hair = looks.hair
    if looks.style == "long":
        canvas.paint(ellipse(0.5, 0.45, looks.wide + 0.085, 0.30), hair)
        canvas.paint(
            polygon((0.5 - looks.wide - 0.083, 0.45), (0.5 + looks.wide + 0.083, 0.45), (0.80, 0.86), (0.20, 0.86)),
            hair,
        )
        canvas.paint(below(ellipse(0.5, 0.86, 0.30, 0.06), 0.86), hair)
    elif looks.style == "bob":
        canvas.paint(ellipse(0.5, 0.47, looks.wide + 0.095, 0.30), hair)
    elif looks.style == "bun":
        canvas.paint(ellipse(0.5, 0.155, 0.10, 0.085), hair)
    elif looks.style == "tail":
        canvas.paint(ellipse(0.5 + looks.parting * 0.245, 0.52, 0.07, 0.22, looks.parting * -14), hair)
    elif looks.style == "curls":
        reach = 0.34 if looks.woman else 0.13
        for step in range(-5, 6):
            side = step / 5
            canvas.paint(ellipse(0.5 + side * 0.235, 0.30 + abs(side) ** 2 * reach, 0.085, 0.085), hair)
    elif looks.style == "scarf":
        canvas.paint(ellipse(0.5, 0.47, looks.wide + 0.075, 0.315), looks.scarf)


def _draw_body(canvas: Canvas, looks: _Looks) -> None:
    shade = blend(looks.skin, (120, 60, 40), 0.22)
    broad = 0.315 if looks.woman else 0.375
    canvas.paint(ellipse(0.5, 1.08, broad, 0.33), looks.clothes)
    canvas.paint(polygon((0.425, 0.62), (0.575, 0.62), (0.59, 0.83), (0.41, 0.83)), shade)
    canvas.paint(below(ellipse(0.5, 0.80, 0.105, 0.075), 0.78), shade)
    if looks.collar == "v":
        canvas.paint(polygon((0.40, 0.795), (0.60, 0.795), (0.5, 0.94)), shade)
    elif looks.collar == "shirt":
        light = blend(looks.clothes, _WHITE, 0.45)
        canvas.paint(polygon((0.385, 0.765), (0.5, 0.885), (0.425, 0.935)), light)
        canvas.paint(polygon((0.615, 0.765), (0.5, 0.885), (0.575, 0.935)), light)
    if looks.style == "scarf":
        canvas.paint(ellipse(0.5, 0.80, 0.20, 0.13), looks.scarf)
        canvas.paint(ellipse(0.5, 0.87, 0.19, 0.05, -8), blend(looks.scarf, _DARK, 0.15))


def _draw_head(canvas: Canvas, looks: _Looks) -> None:
    skin, hair = looks.skin, looks.hair
    shade = blend(skin, (140, 60, 40), 0.20)
    if looks.style in ("short", "quiff", "fringe", "bun", "tail", "curls"):
        depth = 0.50 if looks.woman else 0.47
        canvas.paint(above(ellipse(0.5, 0.43, looks.wide + 0.032, 0.255), depth), hair)
    if looks.style not in ("long", "bob", "scarf"):
        for side in (-1, 1):
            canvas.paint(ellipse(0.5 + side * (looks.wide + 0.006), 0.505, 0.032, 0.05), skin)
            canvas.paint(ellipse(0.5 + side * (looks.wide + 0.008), 0.508, 0.016, 0.028), shade)
            if looks.earrings:
                canvas.paint(ellipse(0.5 + side * (looks.wide + 0.012), 0.572, 0.015, 0.015), (236, 196, 84))
    face = ellipse(0.5, 0.49, looks.wide, looks.tall)
    canvas.paint(face, skin)
    if looks.beard:
        canvas.paint(below(ellipse(0.5, 0.505, looks.wide + 0.006, looks.tall + 0.012), 0.545), hair)
        canvas.paint(above(ellipse(0.5, 0.545, looks.wide - 0.028, 0.085), 0.66), skin)
    for side in (-1, 1):
        canvas.paint(
            ellipse(0.5 + side * looks.wide * 0.6, 0.575, 0.042, 0.03),
            (236, 110, 100),
            0.22 if looks.skin[0] > 180 else 0.12,
        )
    _draw_hair_in_front(canvas, looks)


def _draw_hair_in_front(canvas: Canvas, looks: _Looks) -> None:
    hair, side = looks.hair, looks.parting
    crown = ellipse(0.5, 0.44, looks.wide + 0.034, 0.262)
    if looks.style in ("long", "bob", "tail"):
        canvas.paint(both(crown, ellipse(0.5 + side * 0.10, 0.27, 0.20, 0.115, side * 24)), hair)
        canvas.paint(both(crown, ellipse(0.5 - side * 0.15, 0.30, 0.085, 0.14, side * 22)), hair)
    elif looks.style == "bun":
        canvas.paint(both(crown, above(ellipse(0.5, 0.22, 0.26, 0.115), 0.4)), hair)
    elif looks.style == "short":
        canvas.paint(both(crown, ellipse(0.5 + side * 0.04, 0.245, 0.22, 0.085, side * 8)), hair)
    elif looks.style == "fringe":
        canvas.paint(both(crown, above(ellipse(0.5, 0.25, 0.25, 0.14), 0.37)), hair)
    elif looks.style == "quiff":
        canvas.paint(both(crown, ellipse(0.5, 0.24, 0.22, 0.075)), hair)
        canvas.paint(ellipse(0.5 + side * 0.03, 0.215, 0.155, 0.07, side * -10), hair)
    elif looks.style == "curls":
        for step in range(-3, 4):
            canvas.paint(ellipse(0.5 + step * 0.052, 0.245 + abs(step) * 0.016, 0.05, 0.05), hair)
    elif looks.style == "scarf":
        canvas.paint(
            both(ellipse(0.5, 0.47, looks.wide + 0.075, 0.315), above(ellipse(0.5, 0.20, 0.25, 0.115), 0.33)),
            looks.scarf,
        )
    elif looks.style == "bald":
        canvas.paint(ellipse(0.5 - side * 0.06, 0.315, 0.05, 0.022, side * -22), _WHITE, 0.22)


def _draw_features(canvas: Canvas, looks: _Looks) -> None:
    skin = looks.skin
    shade = blend(skin, (130, 50, 40), 0.30)
    brow = blend(looks.hair, _DARK, 0.35) if not looks.old else blend(looks.hair, _DARK, 0.2)
    for side in (-1, 1):
        x = 0.5 + side * looks.eyes
        if looks.glasses:
            canvas.paint(ellipse(x, 0.482, 0.068, 0.058), _DARK)
            canvas.paint(ellipse(x, 0.482, 0.058, 0.048), blend(skin, _WHITE, 0.28))
            canvas.paint(
                polygon(
                    (x + side * 0.06, 0.470),
                    (0.5 + side * looks.wide, 0.462),
                    (0.5 + side * looks.wide, 0.474),
                    (x + side * 0.06, 0.482),
                ),
                _DARK,
            )
        if looks.woman:
            canvas.paint(ellipse(x + side * 0.004, 0.474, 0.042, 0.026, side * -8), _DARK)
        canvas.paint(ellipse(x, 0.482, 0.037, 0.024), _WHITE)
        canvas.paint(ellipse(x, 0.482, 0.0205, 0.0225), looks.iris)
        canvas.paint(ellipse(x, 0.482, 0.0105, 0.0115), (16, 12, 12))
        canvas.paint(ellipse(x + 0.008, 0.474, 0.006, 0.006), _WHITE)
        thick = 0.009 if looks.woman else 0.0135
        canvas.paint(
            ellipse(x + side * 0.004, 0.425 if not looks.glasses else 0.412, 0.045, thick, side * looks.brow), brow
        )
        if looks.old:
            canvas.paint(ellipse(x, 0.522, 0.034, 0.005), shade, 0.5)
    if looks.glasses:
        canvas.paint(
            polygon(
                (0.5 - looks.eyes + 0.06, 0.474),
                (0.5 + looks.eyes - 0.06, 0.474),
                (0.5 + looks.eyes - 0.06, 0.484),
                (0.5 - looks.eyes + 0.06, 0.484),
            ),
            _DARK,
        )
    canvas.paint(ellipse(0.5, 0.548, 0.026, 0.019), shade, 0.75)
    canvas.paint(ellipse(0.5, 0.538, 0.021, 0.017), skin)
    if looks.freckles:
        for side in (-1, 1):
            for dx, dy in ((0.05, 0.545), (0.07, 0.553), (0.09, 0.543), (0.06, 0.565), (0.083, 0.566)):
                canvas.paint(ellipse(0.5 + side * dx, dy, 0.005, 0.005), shade, 0.7)
    if looks.moustache:
        for side in (-1, 1):
            canvas.paint(ellipse(0.5 + side * 0.036, 0.588, 0.046, 0.017, side * 16), looks.hair)
    _draw_mouth(canvas, looks)


def _draw_mouth(canvas: Canvas, looks: _Looks) -> None:
    smile = looks.smile
    if looks.teeth:
        canvas.paint(below(ellipse(0.5, 0.605, smile + 0.012, 0.058), 0.605), looks.lips)
        canvas.paint(below(ellipse(0.5, 0.610, smile, 0.042), 0.612), _WHITE)
    else:
        canvas.paint(below(ellipse(0.5, 0.600, smile + 0.006, 0.044), 0.606), looks.lips)
        canvas.paint(
            below(ellipse(0.5, 0.594, smile + 0.004, 0.030), 0.602),
            blend(looks.lips, _DARK, 0.35) if looks.woman else looks.skin if not looks.beard else looks.hair,
        )


@lru_cache(maxsize=256)
def portrait(kind: str, number: int, size: str = "large") -> bytes:
    """The picture of ``men`` or ``women`` 0 to 99, as PNG. Raises ValueError when there is none such."""
    if kind not in KINDS or not 0 <= number <= 99 or size not in SIZES:
        raise ValueError(f"there is no portrait {size} {kind} {number}")
    looks = _Looks(kind, number)
    canvas = Canvas(SIZES[size], blend(looks.ground, _WHITE, 0.45), looks.ground)
    _draw_behind(canvas, looks)
    _draw_body(canvas, looks)
    _draw_head(canvas, looks)
    _draw_features(canvas, looks)
    return canvas.png()
