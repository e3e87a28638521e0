"""Translations of the add-on: every sentence has an entry, and placeholders agree."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest
from dsr_fit_body.core import messages
from dsr_fit_body.core.messages import Sentence, message, progress_sentence, sentence, warning_sentence
from dsr_fit_body.languages import FOLDER, UNTRANSLATED, read_po, translations

ADDON = Path(__file__).resolve().parents[2] / "blender_addon" / "dsr_fit_body"
LANGUAGES = translations()
SENTENCE_FUNCTIONS = ("sentence", "_bad_result")
"""Functions whose first argument is a sentence."""


GLOSSARY = {
    "de": {
        "bone": "knochen",
        "camera": "kamera",
        "cancel": "abbrechen|abgebrochen",
        "device": "gerät",
        "export": "export",
        "folder": "ordner",
        "frame": "bild",
        "gap": "lücke",
        "ground": "boden",
        "height": "größe|höhe",
        "image": "bild",
        "joint": "gelenk",
        "material": "material",
        "memory": "speicher",
        "metarig": "metarig",
        "opacity": "deckkraft",
        "people": "person|leute",
        "person": "person|niemand",
        "photo": "foto",
        "picture": "bild",
        "pose": "pose",
        "preferences": "einstellungen",
        "protocol": "protokoll",
        "python": "python",
        "result": "ergebnis",
        "rig": "rig",
        "score": "schwelle|wert",
        "shape": "form",
        "silhouette": "umriss",
        "size": "größe",
        "smoothing": "glätt",
        "video": "video",
        "worker": "arbeitsprozess|dsr",
    },
    "fr": {
        "bone": r"\bos\b",
        "camera": "caméra",
        "cancel": "annul",
        "device": "périph|appareil",
        "export": "export",
        "folder": "dossier",
        "frame": "image|cadence",
        "gap": "trou",
        "ground": "sol",
        "height": "hauteur|taille",
        "image": "image",
        "joint": "articul",
        "material": "matériau",
        "memory": "mémoire",
        "metarig": "métarig",
        "opacity": "opacité",
        "people": "person",
        "person": "person|corps",
        "photo": "photo",
        "picture": "image",
        "pose": "pose",
        "preferences": "préférences",
        "protocol": "protocole",
        "python": "python",
        "result": "résultat",
        "rig": "rig",
        "score": "score|seuil",
        "shape": "form",
        "silhouette": "silhouette",
        "size": "taille",
        "smoothing": "liss",
        "video": "vidéo",
        "worker": "processus|dsr",
    },
}
"""English term -> pattern of what stands for it, so that an entry with another entry's text is noticed."""


def texts(node: ast.AST):
    """Plain texts in an expression, without the pieces of f-strings."""
    if isinstance(node, ast.JoinedStr):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.Subscript):
        return
    else:
        for child in ast.iter_child_nodes(node):
            yield from texts(child)


def written() -> dict[str, str]:
    """Every sentence and label written into a call, and where."""
    places = {}
    for path in sorted(ADDON.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            arguments = [node.args[0]] if name in SENTENCE_FUNCTIONS and node.args else []
            if name not in ("Message", "translate"):
                arguments += [k.value for k in node.keywords if k.arg in ("text", "message")]
            for one in arguments:
                if not (isinstance(one, ast.Call) and getattr(one.func, "id", "") == "translate"):
                    places.update((text, f"{path.name}:{node.lineno}") for text in texts(one))
    return places


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_sentences_are_found_in_the_code():
    places = written()
    assert {"Export Body", "{bodies} in {seconds} s", "A fit is running", "Stopping"} <= set(places)
    assert len(places) > 50


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_has_an_entry(language):
    entries = LANGUAGES[language]
    expected = {**written(), **dict.fromkeys(messages.templates(), "messages.py")}
    missing = {text: where for text, where in expected.items() if text not in entries and text not in UNTRANSLATED}
    assert not missing


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_agree_and_nothing_is_left_in_english(language):
    for english, text in LANGUAGES[language].items():
        assert fields(english) == fields(text), english
        assert text == text.strip() and text
        assert not text.endswith(". ") and text.count('"') == 0, english
        if text == english:
            assert len(english.split()) == 1 or "{" in english, english


@pytest.mark.parametrize("language", GLOSSARY)
def test_terms_are_translated_as_in_the_glossary(language):
    checked = set()
    for term, pattern in GLOSSARY[language].items():
        entries = {
            english: text
            for english, text in LANGUAGES[language].items()
            if re.search(rf"\b{term}s?\b", re.sub(r"\{\w+\}", "", english), re.IGNORECASE)
        }
        assert entries, f"nothing is said about {term}"
        wrong = {english: text for english, text in entries.items() if not re.search(pattern, text, re.IGNORECASE)}
        assert not wrong, term
        checked |= set(entries)
    assert len(checked) > 120


def test_languages_have_the_same_entries():
    assert {"de", "fr"} <= set(LANGUAGES)
    first, *others = LANGUAGES.values()
    assert all(set(other) == set(first) for other in others)
    assert not UNTRANSLATED & set(first)


@pytest.mark.parametrize("language", LANGUAGES)
def test_files_are_plain_gettext(language):
    """What the small reader takes is what gettext takes: no text is lost, none is there twice."""
    path = FOLDER / f"{language}.po"
    lines = path.read_text(encoding="utf-8").splitlines()
    ids = [line for line in lines if line.startswith("msgid ")]
    assert len(set(ids)) == len(ids) == 1 + len(read_po(path))
    assert all(line == "" or line.startswith(("#", "msgid ", "msgstr ")) for line in lines)


def test_a_sentence_is_put_together_in_the_other_language():
    german = LANGUAGES["de"]

    def translate(text: str) -> str:
        return german.get(text, text)

    text = message("cannot_start", detail=sentence("there is no file {path}", path="/x/python")).sentence
    assert str(text) == "Could not start the worker: there is no file /x/python"
    assert text.translated(translate) == "Der Arbeitsprozess ließ sich nicht starten: es gibt keine Datei /x/python"
    assert "Niemand in „a.jpg“" in message("no_person", photo="/p/a.jpg").sentence.translated(translate)
    assert message("died").sentence.translated(translate).endswith("ohne Angabe von Gründen")
    braces = message("failed", detail="it said {this} and {").sentence
    assert braces.translated(translate).endswith("it said {this} and {")


def test_a_warning_of_the_worker_is_translated_to_the_other_language():
    skipped = warning_sentence("2 of 5 people skipped: score below 0.5.")
    assert str(skipped) == "2 of 5 people skipped: score below 0.5"
    german = skipped.translated(lambda t: LANGUAGES["de"].get(t, t))
    assert german == "2 von 5 Personen übergangen: unter der Schwelle 0.5"
    assert warning_sentence("another one") == "another one"


@pytest.mark.parametrize(
    ("text", "german"),
    [
        ("photo.jpg: people", "photo.jpg: Personen werden gesucht"),
        ("a: b.jpg: writing", "a: b.jpg: wird geschrieben"),
        ("clip: frame 12", "clip: Einzelbild 12"),
        ("loading models", "Modelle werden geladen"),
        ("something new: {x}", "something new: {x}"),
    ],
)
def test_what_the_worker_does_is_translated_to_the_other_language(text, german):
    activity = progress_sentence(text)
    assert str(activity) == text
    german_entries = LANGUAGES["de"]
    got = activity.translated(lambda t: german_entries.get(t, t)) if isinstance(activity, Sentence) else activity
    assert got == german


ROOM = {
    13: ("Reset Shape", "Reset Pose", "Update Joints", "Twist Bones", "Parts", "Skin"),  # buttons side by side
    15: ("Photo Opacity",),  # a slider beside a button
    19: ("Sex (man to woman)", "Leg Length (cm)", "Shoulders (cm)", "Hip Width (cm)", "Smoothing", "Fill Gaps up to"),
    22: (
        "Camera and Photo", "Pack Photo", "Use as Scene Camera", "Set Render Size", "Look Through Camera",
        "Place on Ground", "One Photo at a Time", "Pose Correctives", "Part Materials", "Fingers and Face",
        "Start at Current Frame", "Frame Rate from Source", "Keep Root Motion", "All Shape Values",
    ),
    26: ("Add Rigify Metarig", "Apply to Selected Armature", "Save Pose as Asset", "Make Pose Library"),
}  # fmt: skip
"""Characters that the panel of Blender 3.4 has room for at its first width, by what stands there."""


@pytest.mark.parametrize("language", LANGUAGES)
def test_labels_are_not_cut_at_the_sidebars_first_width(language):
    words = read_po(FOLDER / f"{language}.po")
    for room, labels in ROOM.items():
        for label in labels:
            assert len(words[label]) <= room, (label, words[label])
