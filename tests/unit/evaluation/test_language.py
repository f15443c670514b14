from __future__ import annotations

import pytest

from broker.evaluation.language import looks_english

ENGLISH = [
    "Well, the pool closed down in 1967, a year after he passed away.",
    "A CI/CD pipeline helps software teams deliver code faster and more reliably.",
    "I\u2019d say it\u2019s about right, you know, but don\u2019t ask me.",
    "Yes!",
    "",
    "1967",
    "\U0001f600\U0001f600",
]
FOREIGN = [
    "Das Schwimmbad wurde im Jahr 1967 geschlossen, und es ist nicht mehr da.",
    "La piscine a été fermée en 1967 et le terrain a été vendu pour une bonne somme.",
    "La piscina se cerró en 1967 y el terreno fue vendido por la familia.",
    "La piscina è stata chiusa nel 1967 e il terreno è stato venduto.",
    "A piscina foi fechada em 1967 e o terreno foi vendido por uma empresa.",
    "Het zwembad werd in 1967 gesloten en het land is verkocht aan de stad.",
    "Бассейн закрыли давно, землю продали городу.",
    "游泳池于一九六七年关闭了。",
]


@pytest.mark.parametrize("text", ENGLISH)
def test_english(text: str) -> None:
    assert looks_english(text)


@pytest.mark.parametrize("text", FOREIGN)
def test_foreign(text: str) -> None:
    assert not looks_english(text)
