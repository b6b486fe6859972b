from bench.cache import Record, ResultCache
from bench.peers import Identity


def test_records_come_back_and_scores_add_up(tmp_path):
    cache, codec = ResultCache(tmp_path / "new"), Identity()
    cache.append(codec, Record("a", 10, 0.1, 0.2, {"stoi": {"stoi": 1.0}}))
    cache.append(codec, Record("b", 20, 0.1, 0.2))
    cache.append(codec, Record("a", 10, 0.1, 0.2, {"mcd": {"mcd": 0.0}}))
    records = cache.load(codec)
    assert set(records) == {"a", "b"}
    assert records["a"].scores == {"stoi": {"stoi": 1.0}, "mcd": {"mcd": 0.0}}


def test_a_line_that_was_broken_off_costs_only_itself(tmp_path):
    cache, codec = ResultCache(tmp_path), Identity()
    cache.append(codec, Record("a", 10, 0.1, 0.2))
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text() + '\n{"clip": "b", "bi')
    cache.append(codec, Record("c", 30, 0.1, 0.2))
    assert set(cache.load(codec)) == {"a", "c"}


def test_another_version_starts_anew(tmp_path):
    cache, codec = ResultCache(tmp_path), Identity()
    cache.append(codec, Record("a", 10, 0.1, 0.2))
    changed = Identity()
    changed.version = "2"
    assert cache.load(changed) == {}


def test_codecs_in_the_making_and_no_folder_are_not_kept(tmp_path):
    codec = Identity()
    codec.cacheable = False
    cache = ResultCache(tmp_path)
    cache.append(codec, Record("a", 10, 0.1, 0.2))
    assert list(tmp_path.iterdir()) == []
    nowhere = ResultCache(None)
    nowhere.append(Identity(), Record("a", 10, 0.1, 0.2))
    assert nowhere.load(Identity()) == {}
