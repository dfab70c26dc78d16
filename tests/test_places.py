"""Lists of leads and names of regions are read as cardiologists write them."""

import pytest

from fgclep_jax.reports import places


def test_places():
  text, where = places.mark("inferior and lateral st elevation in v leads @1")
  assert text == "@0 st elevation in @1 1"
  assert where[0].leads == {"II", "III", "aVF", "I", "aVL", "V5", "V6"}
  assert where[0].ahead
  assert not where[1].ahead
  assert where[1].leads == set(places.LEADS[6:])
  for text in ("old inferior myocardial infarction", "sv1 + rv5", "avid",
               "left anterior fascicular block", "vi"):  # fmt: skip
    assert places.mark(text) == (text, ())


@pytest.mark.parametrize(
  ("region", "leads"),
  [
    ("septal", "V1 V2"),
    ("anteroseptal", "V1 V2 V3 V4"),
    ("infero-lateral", "II III aVF I aVL V5 V6"),
    ("anterolateral", "I aVL V3 V4 V5 V6"),
    ("high lateral", "I aVL"),
    ("left precordial", "V4 V5 V6"),
    ("right chest", "V1 V2 V3"),
    ("extremity", "I II III aVR aVL aVF"),
    ("inferior + septal", "II III aVF V1 V2"),
    ("posterior", ""),
  ],
)
def test_regions(region, leads):
  for text in (f"{region} st", f"st in {region} leads"):
    (place,) = places.mark(text)[1]
    assert place.leads == set(leads.split())
    assert place.ahead == text.endswith("st")
