"""Translations inside Blender: every name and tooltip has an entry, and the language can be switched."""

from types import SimpleNamespace
from unittest import mock

import bpy
import dsr_fit_body
from check_tools import FOLDER, RecordingLayout, check, fresh
from dsr_fit_body import i18n, panels, registration, session
from dsr_fit_body.core.messages import FIXES, message, sentence
from dsr_fit_body.languages import UNTRANSLATED, translations
from dsr_fit_body.operators.export import FORMATS

BLENDERS_PROPERTIES = {"rna_type", "name", "bl_idname"}


def names_of(properties):
    """Names, tooltips and items of properties that a user can see."""
    for one in properties:
        if one.identifier in BLENDERS_PROPERTIES or one.is_hidden:
            continue
        yield from (one.name, one.description)
        if one.type == "ENUM":
            for item in one.enum_items_static:
                yield from (item.name, item.description)


def visible_texts():
    """What Blender shows of our classes, taken from Blender itself."""
    for cls in registration.CLASSES:
        if issubclass(cls, bpy.types.Operator):
            rna = getattr(bpy.ops.fitbody, cls.bl_idname.split(".")[1]).get_rna_type()
            yield from (rna.name, rna.description)
            annotated = set(vars(cls).get("__annotations__", ())) - {"filepath"}
            yield from names_of(p for p in rna.properties if p.identifier in annotated)
        elif issubclass(cls, bpy.types.Panel):
            yield cls.bl_label
        else:
            yield from names_of(p for p in cls.bl_rna.properties if p.identifier in cls.__annotations__)
    yield from (label for label, _, _ in FORMATS.values())


@check
def every_name_and_tooltip_has_an_entry():
    fresh()
    texts = set(visible_texts()) - {""} - UNTRANSLATED
    assert len(texts) > 150 and {"Fit Body", "Min. Score", "At Most", "Export Body", "Everybody found"} <= texts
    for language, table in translations().items():
        missing = sorted(texts - set(table))
        assert not missing, (language, missing)


class Labels(RecordingLayout):
    """Keeps the texts that are drawn."""

    def operator(self, name, text="", **_):
        self.texts.append(text)
        return super().operator(name)


@check
def labels_of_panels_have_entries():
    fresh()
    bpy.ops.fitbody.import_result(filepath=str(FOLDER / "landscape" / "landscape.json"))
    session.STATE.warnings = []  # the worker's texts
    context = SimpleNamespace(
        window_manager=bpy.context.window_manager, active_object=bpy.context.view_layer.objects.active, scene=None
    )
    texts = set()
    with mock.patch.object(panels, "paragraph", lambda layout, text, icon: layout.label(text=text)):  # in one line
        for active in (context.active_object, None):
            context.active_object = active
            for panel in panels.CLASSES:
                layout = Labels()
                panel.draw(
                    SimpleNamespace(layout=layout, draw_content=lambda *a, p=panel: p.draw_content(None, *a)), context
                )
                texts |= set(layout.texts)
    plain = {text for text in texts if text and not any(c.isdigit() for c in text) and " bodies" not in text}
    assert {"Arm Span", "Select a fitted body", "Fit Body", "Parts"} <= plain
    for language, table in translations().items():
        assert not plain - set(table), (language, plain - set(table))


@check
def language_of_the_interface_is_followed():
    """Where Blender was built with languages; the wheel was not."""
    fresh()
    view = bpy.context.preferences.view
    summary = sentence("{bodies} in {seconds} s", bodies=sentence("{count} bodies", count=2), seconds="1.5")
    assert i18n.translate(summary) == "2 bodies in 1.5 s" and i18n.translate("as it is") == "as it is"
    tables = i18n.translations_dict()
    assert tables["de"]["Operator", "Fit Body"] == tables["de"]["*", "Fit Body"] == "Körper anpassen"
    if not bpy.app.build_options.international:
        return {"international": 0}
    iface = bpy.app.translations.pgettext_iface
    for language, operator, bodies, box in (
        ("de_DE", "Körper anpassen", "2 Körper in 1.5 s", "Niemand in „x.jpg“ gefunden"),
        ("fr_FR", "Ajuster le corps", "2 corps en 1.5 s", "Personne n'a été trouvé dans « x.jpg »"),
        ("en_US", "Fit Body", "2 bodies in 1.5 s", 'No person found in "x.jpg"'),
    ):
        view.language = language
        view.use_translate_interface = view.use_translate_tooltips = True
        assert iface("Fit Body", "Operator") == iface("Fit Body") == operator
        assert i18n.translate(summary) == bodies
        text = message("no_person", photo="/a/x.jpg").sentence
        assert i18n.translate(text).startswith(box)
        session.STATE.message = message("no_person", photo="/a/x.jpg")
        layout = Labels()
        panels._messages(layout)
        assert " ".join(layout.texts).startswith(box[:14]), layout.texts
        view.use_translate_interface = False
        assert i18n.translate(summary) == "2 bodies in 1.5 s"
    view.language = "de_DE"
    view.use_translate_interface = True
    assert {iface(label) for label in FIXES.values()} != set(FIXES.values())
    refusal = ""
    try:
        bpy.ops.fitbody.import_result(filepath="/no/such.json")
    except RuntimeError as error:
        refusal = str(error)
    assert "/no/such.json fehlt" in refusal, refusal
    dsr_fit_body.unregister()
    assert iface("Select a fitted body") == "Select a fitted body"
    dsr_fit_body.unregister()
    dsr_fit_body.register()
    dsr_fit_body.register()
    assert iface("Select a fitted body") == "Einen angepassten Körper auswählen"
    view.language = "en_US"
    return {"international": 1}
