"""Our canonical JSON against the `rfc8785` package: doubles of every exponent, all of Unicode, the order of keys.

SWEEP says how many random doubles; `make fuzz` asks for millions. Where the two have to differ, the test says so: we
refuse what is an integer beyond 2^53, because its next reader may see another number.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import struct
from collections.abc import Iterable, Iterator

import pytest
import rfc8785

dpu_fastpath = pytest.importorskip("dpu_fastpath", reason="the Rust module is not built")

SWEEP = int(os.environ.get("SWEEP") or 60_000)
INTEGER_MAX = 2**53
EXPONENT_FROM = 1e21
BATCH = 500


def canonical(text: str) -> bytes:
    form: bytes = dpu_fastpath.canonical_json(text.encode())
    return form


def is_taken(value: float) -> bool:
    return abs(value) <= INTEGER_MAX or abs(value) >= EXPONENT_FROM


def double(bits: int) -> float:
    value: float = struct.unpack("<d", struct.pack("<Q", bits))[0]
    return value


def random_doubles() -> Iterator[float]:
    dice = random.Random(8785)
    found = (double(dice.getrandbits(64)) for _ in range(SWEEP))
    return (value for value in found if math.isfinite(value))


def every_exponent() -> Iterator[float]:
    """Subnormals are those of exponent 0."""
    dice = random.Random(1)
    for exponent in range(2047):
        mantissas = (0, 1, 2, (1 << 51), (1 << 52) - 2, (1 << 52) - 1, dice.getrandbits(52), dice.getrandbits(52))
        yield from (double(exponent << 52 | mantissa) for mantissa in mantissas)


def around_powers_of_ten() -> Iterator[float]:
    """Where the form changes (1e-7, 1e21) and where the shortest digits are hardest to find."""
    for power in range(-330, 309):
        for digits in ("1", "5", "9.5", "9.999999999999999", "2.2250738585072014", "1.7976931348623157"):
            value = float(f"{digits}e{power}")
            if math.isfinite(value):
                yield from (value, math.nextafter(value, math.inf), math.nextafter(value, 0.0))


def decimals() -> Iterator[float]:
    dice = random.Random(2)
    return (dice.randrange(-(10**9), 10**9) / 10 ** dice.randrange(12) for _ in range(SWEEP // 10))


def batches(values: Iterable[float]) -> Iterator[list[float]]:
    values = (value for value in values if math.isfinite(value))
    while batch := list(itertools.islice(values, BATCH)):
        yield batch


@pytest.mark.parametrize("source", [random_doubles, every_exponent, around_powers_of_ten, decimals])
@pytest.mark.parametrize("form", ["{!r}", "{:.17e}", "{:.25E}"], ids=["shortest", "17 digits", "26 digits"])
def test_doubles_have_the_same_form(source, form: str) -> None:  # type: ignore[no-untyped-def]  # a parameter
    for batch in batches(source()):
        taken = [value for value in batch if is_taken(value)]
        if taken:
            text = "[" + ",".join(form.format(value) for value in taken) + "]"
            assert canonical(text) == rfc8785.dumps(taken)
        for value in batch[:20]:
            if not is_taken(value):
                with pytest.raises(ValueError, match="json_number"):
                    canonical(form.format(value))


def test_form_of_a_double_is_the_same_double() -> None:
    for batch in batches(random_doubles()):
        taken = [value for value in batch if is_taken(value)]
        assert json.loads(canonical(json.dumps(taken))) == taken


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("-0", "0"),
        ("-0.0", "0"),
        ("1E+2", "100"),
        ("1e-7", "1e-7"),
        ("0.000001", "0.000001"),
        ("1e21", "1e+21"),
        ("4.9E-324", "5e-324"),
        ("1e-400", "0"),
        ("9007199254740991", "9007199254740991"),
        ("333333333.33333329", "333333333.3333333"),
    ],
)
def test_forms_by_hand(text: str, form: str) -> None:
    assert canonical(text) == form.encode()


@pytest.mark.parametrize(
    "text",
    [
        "9007199254740993",
        "9007199254740993.0",
        "-9007199254740992.5",
        "9007199254740993e0",
        "900719925474099300e-2",
        "123456789012345678901234567890",
        "1e20",
        "1e309",
    ],
)
def test_integers_beyond_two_to_the_53_are_refused_however_they_are_written(text: str) -> None:
    for document in (text, f'{{"a":[{text}]}}'):
        with pytest.raises(ValueError, match="json_number"):
            canonical(document)


def test_integers_up_to_two_to_the_53_keep_their_digits() -> None:
    dice = random.Random(3)
    edge = [sign * (INTEGER_MAX - less) for less in range(1, 1000) for sign in (1, -1)]
    values = edge + [dice.randrange(-INTEGER_MAX, INTEGER_MAX) >> dice.randrange(50) for _ in range(20_000)]
    assert canonical(json.dumps(values)) == rfc8785.dumps(values)


def code_points() -> Iterator[str]:
    """All of Unicode, in texts of 1,024 characters."""
    scalars = itertools.chain(range(0xD800), range(0xE000, 0x110000))
    while piece := list(itertools.islice(scalars, 1_024)):
        yield "".join(map(chr, piece))


def escaped(text: str, form: str) -> str:
    units = struct.unpack(f"<{len(text.encode('utf-16-le')) // 2}H", text.encode("utf-16-le"))
    return '"' + "".join(f"\\u{unit:{form}}" for unit in units) + '"'


def test_every_character_has_the_same_form_raw_and_escaped() -> None:
    for text in code_points():
        expected = rfc8785.dumps(text)
        assert canonical(json.dumps(text, ensure_ascii=False)) == expected
        assert canonical(escaped(text, "04x")) == canonical(escaped(text, "04X")) == expected


def test_half_of_a_pair_is_refused_wherever_it_stands() -> None:
    for unit in range(0xD800, 0xE000):
        for text in (f'"\\u{unit:04x}"', f'"\\u{unit:04X}a"', f'{{"\\u{unit:04x}":1}}', f'"\\u{unit:04x}\\n"'):
            with pytest.raises(ValueError, match="json_surrogate"):
                canonical(text)


def test_keys_are_in_the_order_of_their_utf16_units() -> None:
    """Code point order differs: U+E000 to U+FFFF stand after U+10000 and above, whose units begin with D8 to DB."""
    dice = random.Random(4)
    pools = [(0x20, 0x7E), (0xA0, 0x7FF), (0xD000, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF), (0, 0x1F)]

    def key() -> str:
        return "".join(chr(dice.randint(*dice.choice(pools))) for _ in range(dice.randrange(4)))

    for _ in range(max(500, SWEEP // 100)):
        document = {key(): number for number in range(dice.randrange(12))}
        items = list(document.items())
        dice.shuffle(items)
        expected = rfc8785.dumps(document)
        assert canonical(json.dumps(dict(items))) == expected
        assert canonical(json.dumps(dict(items), ensure_ascii=False)) == expected
