"""The reader against `wfdb`, and against headers that mean harm."""

import os
import resource
import sys
import time

import numpy as np
import pytest
import wfdb

from fgclep_jax.signals import header, leads, quality, reader
from tests.wfdb_files import random_adc, write_record

MICROVOLTS = {"mV": 1e3, "mv": 1e3, "uV": 1.0, "UV": 1.0, "V": 1e6}


def reference(path, unit="mV"):
  """(n, T) float64 microvolts by `wfdb`, NaN where there is no value."""
  record = wfdb.rdrecord(str(path).removesuffix(".hea"))
  return record.p_signal.T * MICROVOLTS[unit]


@pytest.mark.parametrize("seed", range(12))
def test_format_16_equals_wfdb(seed, tmp_path):
  rng = np.random.default_rng(seed)
  order = rng.permutation(12)
  names = [leads.LEADS[row] for row in order]
  unit = list(MICROVOLTS)[seed % 5]
  gain = rng.uniform(0.2, 5) * MICROVOLTS[unit]  # 3000 units below 32 mV
  token, suffix = [("16", "dat"), ("16+24", "mat"), ("16x1+24", "mat")][
    seed % 3
  ]
  gains = [f"{gain:.6f}({rng.integers(-90, 90)})/{unit}" for _ in names]
  path = write_record(
    tmp_path, "r-1", random_adc(rng), names, 250, gains, token, suffix
  )
  record = reader.read_record(path)
  assert record.signal.dtype == np.int16
  assert record.lead_names == leads.LEADS
  assert record.rate == 250
  assert record.quality.n_clipped == 0
  expected = reference(path, unit)
  error = np.abs(record.signal[order] - expected)
  assert np.isfinite(expected).all()
  assert error.max() <= 0.5 + 1e-6


@pytest.mark.parametrize("gain", [200, -200, 1000, 0.2, 500])
@pytest.mark.parametrize("extreme", [6553, -6554, 32767])
def test_whole_microvolts_a_unit(gain, extreme, tmp_path):
  """Gains as in MIMIC-IV-ECG: integers to the end, the range included."""
  adc = random_adc(np.random.default_rng(extreme % 100), high=5000)
  adc[3, 7] = extreme
  unit = "uV" if gain == 0.2 else "mV"
  path = write_record(tmp_path, "r", adc, gain=f"{gain}(0)/{unit}")
  expected = np.rint(reference(path, unit))
  record = reader.read_record(path)
  clipped = np.abs(expected) > 32767
  assert record.quality.n_clipped == clipped.sum()
  np.testing.assert_array_equal(record.signal, np.clip(expected, -32767, 32767))


@pytest.mark.parametrize("fmt", ["24", "32", "80", "212", "508", "516", "524"])
def test_other_formats_equal_wfdb(fmt, tmp_path):
  rng = np.random.default_rng(int(fmt))
  high = {"80": 120, "508": 120, "212": 2000}.get(fmt, 30000)
  adc = random_adc(rng, high=high).astype(np.int64).T
  adc[40:43, 5] = -{"80": 1 << 7, "508": 1 << 7, "212": 1 << 11}.get(
    fmt, 1 << {"24": 23, "524": 23, "32": 31}.get(fmt, 15)
  )
  wfdb.wrsamp(
    "other",
    fs=100,
    units=["mV"] * 12,
    sig_name=list(leads.LEADS),
    d_signal=adc,
    fmt=[fmt] * 12,
    adc_gain=[1000.0] * 12,
    baseline=[3] * 12,
    write_dir=str(tmp_path),
  )
  record = reader.read_record(tmp_path / "other")
  expected = reference(tmp_path / "other")
  known = np.isfinite(expected)
  assert (~known).sum() == 3
  assert np.abs(record.signal - expected)[known].max() <= 0.5 + 1e-6
  np.testing.assert_array_equal(record.quality.invalid_runs, [[5, 40, 3]])


def test_several_samples_per_frame_equal_wfdb(tmp_path):
  rng = np.random.default_rng(5)
  adc = random_adc(rng, 12, 600)
  path = write_record(tmp_path, "frames", adc)
  text = path.with_suffix(".hea").read_text().replace(" 16 1000", " 16x2 1000")
  text = text.replace("12 100 600", "12 100 300")
  lines = text.splitlines()
  frames = adc.T.reshape(300, 12, 2)  # as the file now lies in memory
  for row in range(12):
    fields = lines[row + 1].split()
    fields[5] = str(frames[0, row, 0])
    fields[6] = str(frames[:, row].sum() & 0xFFFF)
    lines[row + 1] = " ".join(fields)
  path.with_suffix(".hea").write_text("\n".join(lines))
  record = reader.read_record(path)
  assert record.signal.shape == (12, 300)
  assert np.abs(record.signal - reference(path)).max() <= 1 + 1e-6


def test_leads_in_two_files_equal_wfdb(tmp_path):
  rng = np.random.default_rng(6)
  adc = random_adc(rng)
  path = write_record(tmp_path, "two", adc)
  (tmp_path / "a.dat").write_bytes(adc[:8].T.tobytes())
  (tmp_path / "b.dat").write_bytes(adc[8:].T.tobytes())
  lines = path.with_suffix(".hea").read_text().splitlines()
  for row in range(12):
    lines[row + 1] = lines[row + 1].replace("two", "a" if row < 8 else "b")
  path.with_suffix(".hea").write_text("\n".join(lines))
  record = reader.read_record(path)
  np.testing.assert_array_equal(record.signal, adc)
  assert np.abs(record.signal - reference(path)).max() <= 1e-6


def test_every_real_record_equals_wfdb(shared):
  paths = sorted(shared.rglob("*.hea"))
  assert len(paths) == 1821
  for path in paths:
    record = reader.read_record(path)
    try:
      expected = reference(path)
    except wfdb.io.header.HeaderSyntaxError:
      # E00015 and E00793 are named `E00015.mat` in their record line.
      assert path.stem in ("E00015", "E00793")
      raw = np.fromfile(path.with_suffix(".mat"), "<i2", offset=24)
      expected = raw.reshape(-1, 12).T / 4.88
    assert np.abs(record.signal - expected).max() <= 0.5 + 1e-6, path
    assert record.quality.n_invalid == 0
  odd = {
    path.stem
    for path in (shared / "chapman_ningbo").rglob("*.hea")
    if reader.read_record(path).quality.lead_flat.any()
  }
  assert odd == {"JS20004", "JS20008", "JS45542", "JS45544"}


def test_real_records_with_a_wrong_gain_are_marked(shared):
  for name in ("georgia/E00015", "ptb-xl/HR00599"):
    record = reader.read_record(shared / "cinc2021" / name)
    assert "suspicious_gain" in record.quality.flags, name


def test_the_path_may_end_with_hea_and_comments_are_kept(tmp_path):
  adc = random_adc(np.random.default_rng(1))
  path = write_record(tmp_path, "a", adc, comments=["Age: 50", " Dx: 1,,2,"])
  record = reader.read_record(f"{path}.hea")
  assert record.comments == ("Age: 50", "Dx: 1,,2,")
  np.testing.assert_array_equal(record.signal, reader.read_record(path).signal)
  assert reader.read_header(path).length == 300


@pytest.mark.parametrize("newline", ["\r\n", "\r", "\n"])
def test_newlines_and_a_missing_last_one(newline, tmp_path):
  adc = random_adc(np.random.default_rng(2))
  path = write_record(tmp_path, "a", adc)
  text = path.with_suffix(".hea").read_text().strip()
  path.with_suffix(".hea").write_bytes(
    text.replace("\n", newline).encode() + b"\n# \xff\xfe"
  )
  np.testing.assert_array_equal(reader.read_record(path).signal, adc)


def test_short_gaps_are_repaired_and_long_ones_kept_or_dropped(tmp_path):
  adc = random_adc(np.random.default_rng(3), length=1000)
  holes = adc.copy()
  holes[4, 100:105] = -32768
  record = reader.read_record(write_record(tmp_path, "short", holes))
  line = np.linspace(adc[4, 99], adc[4, 105], 7)[1:-1]
  assert np.abs(record.signal[4, 100:105] - line).max() <= 0.5
  assert record.quality.flags == ("invalid_repaired",)
  assert record.quality.n_invalid == 5
  np.testing.assert_array_equal(record.quality.invalid_runs, [[4, 100, 5]])
  holes[6, 300:400] = -32768
  path = write_record(tmp_path, "long", holes)
  record = reader.read_record(path)
  assert not record.signal[6, 300:400].any()
  np.testing.assert_array_equal(record.signal[6, :300], adc[6, :300])
  assert record.quality.flags == ("invalid_repaired", "invalid_kept")
  with pytest.raises(reader.RecordError, match="V1") as caught:
    reader.read_record(path, quality.TRAINING)
  assert caught.value.reason == "invalid_dropped"


def test_absent_leads_are_derived_or_dropped(tmp_path):
  adc = random_adc(np.random.default_rng(4))
  rows = [0, 1, 2, 4, 5, 6, 7, 8, 9, 11]  # without aVR and V5
  names = [leads.LEADS[row] for row in rows]
  path = write_record(tmp_path, "a", adc[rows], names)
  record = reader.read_record(path)
  expected = -(adc[0].astype(float) + adc[1]) / 2
  assert np.abs(record.signal[3] - expected).max() <= 0.5
  assert not record.signal[10].any()
  assert leads.join(record.quality.lead_missing) == "V5"
  assert record.quality.flags == ("derived", "lead_missing")
  with pytest.raises(reader.RecordError, match="aVR V5") as caught:
    reader.read_record(path, quality.TRAINING)
  assert caught.value.reason == "lead_missing"


def test_flat_leads_are_marked(tmp_path):
  adc = random_adc(np.random.default_rng(5))
  adc[[7, 9]] = 12
  record = reader.read_record(write_record(tmp_path, "two", adc))
  assert leads.join(record.quality.lead_flat) == "V2 V4"
  path = write_record(tmp_path, "all", np.full((12, 200), 7, np.int16))
  assert "all_flat" in reader.read_record(path).quality.flags
  with pytest.raises(reader.RecordError) as caught:
    reader.read_record(path, quality.TRAINING)
  assert caught.value.reason == "all_flat"


def test_values_beyond_the_range_are_clipped_and_counted(tmp_path):
  adc = random_adc(np.random.default_rng(6), high=30000)
  path = write_record(tmp_path, "a", adc, gain="500/mV")
  record = reader.read_record(path)
  beyond = np.abs(adc.astype(int) * 2) > 32767
  assert record.quality.n_clipped == beyond.sum() > 0
  assert np.abs(record.signal[beyond].astype(int)).min() == 32767
  assert record.signal.min() == -32767
  assert "clipped" in record.quality.flags


GOOD = "1000(0)/mV"
BAD_HEADERS = [
  ("0/mV", "bad_gain"),
  ("0.0(0)/mV", "bad_gain"),
  ("nan/mV", "bad_gain"),
  ("1e999/mV", "bad_gain"),
  ("1e-300/mV", "bad_gain"),
  ("/mV", "bad_gain"),
  ("1000(0)", "bad_unit"),
  ("1000/mmHg", "bad_unit"),
  ("1000/mV/s", "bad_unit"),
]


@pytest.mark.parametrize(("gain", "reason"), BAD_HEADERS)
def test_bad_gains_and_units(gain, reason, tmp_path):
  adc = random_adc(np.random.default_rng(7))
  path = write_record(tmp_path, "a", adc, gain=[GOOD] * 11 + [gain])
  with pytest.raises(reader.RecordError) as caught:
    reader.read_record(path)
  assert caught.value.reason == reason
  assert "\n" not in str(caught.value)


EDITS = [
  # replaced in the header, by what, reason
  (" V6\n", " V7\n", "bad_lead_names"),
  (" V6\n", " v5\n", "bad_lead_names"),
  (" V6\n", "\n", "bad_lead_names"),
  ("a 12 100", "a 13 100", "bad_header"),
  ("a 12 100", "a 1000000000 100", "bad_header"),
  ("a 12 100", "a 0 100", "bad_header"),
  ("a 12 100", "a -12 100", "bad_header"),
  ("a 12 100", "a/3 12 100", "bad_header"),
  ("a 12 100", "a 12 0", "bad_header"),
  ("a 12 100", "a 12 nan", "bad_header"),
  ("a 12 100", "a 12 100" + 5000 * "0", "bad_header"),
  ("100 300\n", "100 1000000000000\n", "bad_length"),
  ("100 300\n", "100 299\n", "bad_length"),
  ("100 300\n", "100 3e2\n", "bad_header"),
  ("a.dat 16 ", "a.dat 16+1 ", "bad_length"),
  ("a.dat 16 ", "a.dat 17 ", "bad_header"),
  ("a.dat 16 ", "a.dat 212 ", "bad_length"),
  ("a.dat 16 ", "a.dat 16x999 ", "bad_length"),
  ("a.dat 16 ", "a.dat sixteen ", "bad_header"),
  ("a.dat 16 ", "b.dat 16 ", "missing_file"),
  ("a.dat 16 ", "../a.dat 16 ", "bad_header"),
  ("a.dat 16 ", "/etc/passwd 16 ", "bad_header"),
  ("a.dat 16 ", ".. 16 ", "bad_header"),
  ("a.dat 16 ", "sub\\a.dat 16 ", "bad_header"),
  ("a.dat 16 ", "a.dat\0 16 ", "bad_header"),
  ("a.dat 16 ", "- 16 ", "bad_header"),
  ("a.dat 16 ", "~ 16 ", "bad_header"),
  ("a.dat 16 ", "folder 16 ", "missing_file"),
  ("a.dat 16 ", "link.dat 16 ", "bad_header"),
]


@pytest.mark.parametrize(("old", "new", "reason"), EDITS)
def test_bad_headers_are_refused_with_a_reason(old, new, reason, tmp_path):
  outside = tmp_path / "outside.dat"
  adc = random_adc(np.random.default_rng(8))
  outside.write_bytes(adc.T.tobytes())
  path = write_record(tmp_path / "in", "a", adc)
  (tmp_path / "in" / "folder").mkdir()
  (tmp_path / "in" / "link.dat").symlink_to(outside)
  text = path.with_suffix(".hea").read_text()
  assert old in text
  path.with_suffix(".hea").write_text(text.replace(old, new))
  with pytest.raises(reader.RecordError) as caught:
    reader.read_record(path)
  assert caught.value.reason == reason, caught.value
  assert len(str(caught.value)) < 1000


def test_eleven_leads_in_a_twelve_lead_header(tmp_path):
  path = write_record(tmp_path, "a", random_adc(np.random.default_rng(9)))
  lines = path.with_suffix(".hea").read_text().splitlines()
  path.with_suffix(".hea").write_text("\n".join(lines[:-1]))
  with pytest.raises(reader.RecordError, match=r"12 .* 11 signal") as caught:
    reader.read_record(path)
  assert caught.value.reason == "bad_header"


def test_a_signal_line_without_gain(tmp_path):
  path = write_record(tmp_path, "a", random_adc(np.random.default_rng(9)))
  lines = path.with_suffix(".hea").read_text().splitlines()
  path.with_suffix(".hea").write_text("\n".join([*lines[:-1], "a.dat 16"]))
  with pytest.raises(reader.RecordError) as caught:
    reader.read_record(path)
  assert caught.value.reason == "bad_gain"


def test_missing_and_damaged_files(tmp_path):
  path = write_record(tmp_path, "a", random_adc(np.random.default_rng(10)))
  data = path.with_suffix(".dat")
  content = data.read_bytes()

  def reason():
    with pytest.raises(reader.RecordError) as caught:
      reader.read_record(path)
    return caught.value.reason

  data.write_bytes(content[:-1])
  assert reason() == "bad_length"
  data.write_bytes(content + b"\0\0")
  assert reason() == "bad_length"
  flipped = bytearray(content)
  flipped[777] ^= 1
  data.write_bytes(flipped)
  assert reason() == "bad_checksum"
  # The first two samples of lead I exchanged: the sum stays the same.
  data.write_bytes(content[24:26] + content[2:24] + content[:2] + content[26:])
  assert reason() == "bad_checksum"
  data.unlink()
  assert reason() == "missing_file"
  os.mkfifo(data)
  assert reason() == "missing_file"
  path.with_suffix(".hea").unlink()
  assert reason() == "missing_file"
  path.with_suffix(".hea").write_bytes(b"#" * (header.MAX_HEADER_BYTES + 1))
  assert reason() == "bad_header"


def test_a_record_under_a_second_is_too_short(tmp_path):
  adc = random_adc(np.random.default_rng(11), length=99)
  with pytest.raises(reader.RecordError) as caught:
    reader.read_record(write_record(tmp_path, "a", adc))
  assert caught.value.reason == "too_short"


def test_a_link_inside_the_folder_is_followed(tmp_path):
  adc = random_adc(np.random.default_rng(12))
  path = write_record(tmp_path, "a", adc)
  path.with_suffix(".dat").rename(tmp_path / "b.dat")
  path.with_suffix(".dat").symlink_to("b.dat")
  np.testing.assert_array_equal(reader.read_record(path).signal, adc)


def mutate(rng, text):
  """Changes a header in one to three of the ways files go wrong."""
  tokens = [
    b"0",
    b"-1",
    b"1000000000",
    b"1000000000000",
    b"9" * 400,
    b"nan/mV",
    b"1e400/mV",
    b"1e-12/V",
    b"0/mV",
    b"200",
    b"200/mV/s",
    b"16+24",
    b"212",
    b"16x3",
    b"16:7",
    b"516",
    b"8",
    b"../a.dat",
    b"/etc/passwd",
    b"a.dat\0",
    b"a.mat",
    b"I",
    b"\xff\xfe",
    b"x" * 5000,
    b"#",
    b"",
    b"\r\n",
    b"s3://bucket/a",
  ]
  for _ in range(rng.integers(1, 4)):
    kind = rng.integers(5)
    if kind == 0:  # another token
      words = text.split(b" ")
      words[rng.integers(len(words))] = tokens[rng.integers(len(tokens))]
      text = b" ".join(words)
    elif kind == 1:  # a byte
      place = rng.integers(len(text) + 1)
      text = text[:place] + rng.bytes(1) + text[place + 1 :]
    elif kind == 2:  # a token everywhere
      words = text.split(b" ")
      old = words[rng.integers(len(words))]
      text = text.replace(old, tokens[rng.integers(len(tokens))])[:300_000]
    elif kind == 3:  # a line lost or doubled
      lines = text.split(b"\n")
      place = rng.integers(len(lines))
      lines[place : place + 1] = [lines[place]] * int(rng.choice([0, 2]))
      text = b"\n".join(lines)
    else:  # cut
      text = text[: rng.integers(len(text) + 1)]
    text = text or b" "
  return text


@pytest.fixture
def opened():
  """Names of the files opened while the test runs."""
  names = []
  watching = True

  def watch(event, args):
    if watching and event == "open" and isinstance(args[0], str):
      names.append(args[0])

  sys.addaudithook(watch)  # cannot be removed, only silenced
  yield names
  watching = False


def test_hostile_headers_cost_little(tmp_path, opened):
  """10,000 mutations: a record or one typed error, in time and memory."""
  rng = np.random.default_rng(13)
  adc = random_adc(rng, length=120)
  path = write_record(tmp_path / "in", "a", adc, comments=["Dx: 1,,2,"])
  write_record(tmp_path, "a", adc)  # outside, must not be read
  head = path.with_suffix(".hea")
  original = head.read_bytes()
  opened.clear()
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  slowest, records, lines = 0.0, [], []
  for _ in range(10_000):
    mutated = mutate(rng, original)
    start = time.perf_counter()
    try:
      header.parse_header(mutated.decode("utf-8", "replace"))
      head.write_bytes(mutated)  # only what can be parsed: files are slow
      records.append(reader.read_record(path))
    except reader.RecordError as error:
      lines.append(str(error))
    slowest = max(slowest, time.perf_counter() - start)
  grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
  assert slowest < 1
  assert grown < 200 * 1024  # kB
  assert not any("\n" in line for line in lines)
  assert max(map(len, lines)) < 1000
  assert 100 < len(records) < 9000
  for record in records:
    assert record.signal.shape[0] == 12
    assert record.signal.dtype == np.int16
    assert record.signal.min() > -32768
  inside = str(tmp_path / "in") + os.sep
  strange = {name for name in opened if not name.startswith(inside)}
  assert not {name for name in strange if not name.endswith((".py", ".pyc"))}


def test_faster_than_wfdb(tmp_path):
  """About ten times faster, 12 x 5000; less when the machine is busy."""
  adc = random_adc(np.random.default_rng(14), length=5000)
  path = write_record(tmp_path, "a", adc)

  def seconds(function, times):
    best = float("inf")
    for _ in range(times):
      start = time.process_time()
      function(str(path))
      best = min(best, time.process_time() - start)
    return best

  ours = seconds(reader.read_record, 50)
  assert seconds(wfdb.rdrecord, 20) / ours > 5
