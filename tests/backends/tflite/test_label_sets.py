"""Label sets that are known by their labels, and what nobody knows."""

from __future__ import annotations

import pytest

from trapd.backends.tflite.labels import Labels, parse_label_file

BIRDS = [f"Corvus species{chr(97 + number)} (Crow)" for number in range(20)]
PLANTS = ["Quercus robur", "Rosa canina (dog rose)", "Acer rubrum"] * 7


@pytest.mark.parametrize("first", ["tench", "tench, Tinca tinca", "n01440764 tench", "n01440764"])
@pytest.mark.parametrize("background", [False, True])
def test_imagenet_is_known_by_its_first_class_and_its_length(first: str, background: bool) -> None:
    names = [*(["background"] if background else []), first, *(f"x{number}" for number in range(999))]
    labels = Labels.of(names)
    base = int(background)
    assert labels.meanings[base] == labels.meanings[base + 397] == "animal"
    assert labels.meanings[base + 398] == "nothing"  # an abacus
    assert labels.meanings[base + 779] == "vehicle"  # a school bus
    assert labels.meanings[base + 983] == "person"  # a scuba diver
    assert (labels.meanings[0] == "empty") is background
    assert Labels.of(names[:-1]).meanings[base + 398] == "unclassified"


def test_scientific_names_are_animals_but_for_plants() -> None:
    assert Labels.of([*BIRDS, "background"]).meanings == ("animal",) * 20 + ("empty",)
    assert set(Labels.of(PLANTS).meanings) == {"nothing"}
    assert set(Labels.of([*BIRDS, *PLANTS]).meanings) == {"animal", "nothing"}
    assert Labels.of([*BIRDS, "Homo sapiens"]).meanings[-1] == "person"
    assert Labels.of(["Corvus corax", "red ball"]).meanings == ("unclassified",) * 2  # too few to be a list


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ("0f2c;mammalia;carnivora;felidae;panthera;pardus;leopard", "animal"),
        ("0f2c;aves;;;;;bird", "animal"),
        ("0f2c;mammalia;primates;hominidae;homo;sapiens;human", "person"),
        ("0f2c;;;;;;blank", "empty"),
        ("0f2c;;;;;;vehicle", "vehicle"),
        ("00012_Animalia_Chordata_Aves_Passeriformes_Corvidae_Corvus_corax", "animal"),
        ("05123_Plantae_Tracheophyta_Magnoliopsida_Fagales_Fagaceae_Quercus_robur", "nothing"),
    ],
)
def test_lineages_are_read(label: str, wanted: str) -> None:
    assert Labels.of([label]).meanings == (wanted,)


def test_a_mouse_beside_a_keyboard_is_no_animal() -> None:
    assert Labels.of(["mouse", "keyboard"]).meanings == ("nothing", "nothing")
    assert Labels.of(["mouse", "vole"]).meanings == ("animal", "animal")


def test_what_the_user_says_goes_first_whatever_the_spelling() -> None:
    given = {"Amur Leopard": "animal", "person": "nothing", "*": "vehicle"}
    assert Labels.of(["amur-leopard", "Person", "blob", "dog"], given).meanings == (
        "animal",
        "nothing",
        "vehicle",
        "animal",
    )


def test_a_label_file_may_number_and_explain_its_labels() -> None:
    assert parse_label_file("0 leaf = nothing\n1 big = small\n2 Amba = animal\n* = person\n") == (
        ("leaf", "big = small", "Amba"),
        {"leaf": "nothing", "Amba": "animal", "*": "person"},
    )
