"""Every kind of pipeline goes on as without an interruption from each position, or says so."""

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pruneplug.training.feeds.datasets import DatasetFeed
from pruneplug.training.feeds.pipeline import Draw, Pipeline, read_pipeline

Dataset = tf.data.Dataset
ONE = tf.distribute.get_strategy()
INDEX = tf.constant(0, tf.int64)
POSITIONS = range(1, 7)  # two passes of most pipelines
AFTER = 6


def numbers(count: int = 10) -> Dataset:
    return Dataset.range(count)


def mixed(count: int = 10, seed: int | None = 1) -> Dataset:
    return numbers(count).shuffle(5, seed=seed)


def noise(count: int = 10) -> Dataset:
    return Dataset.random(seed=3, rerandomize_each_iteration=True).take(count)


def ten_more(start: tf.Tensor) -> Dataset:
    return numbers(3).map(lambda number: number + 10 * start)


def ten_more_mixed(start: tf.Tensor) -> Dataset:
    return ten_more(start).shuffle(3, seed=3)


def using(other: Dataset, at_once: int) -> Dataset:
    return numbers(3).interleave(lambda _: other, cycle_length=at_once)


def same_twice(other: Dataset) -> Dataset:
    return other.concatenate(other)


def generated() -> Iterator[int]:
    yield from range(10)


def python_code() -> Dataset:
    return Dataset.from_generator(generated, output_signature=tf.TensorSpec([], tf.int64))


SEEDED: dict[str, Callable[[], Dataset]] = {
    "batch": lambda: numbers().batch(4),
    "map": lambda: numbers().map(lambda number: number * number).batch(4),
    "shuffle, full batches": lambda: mixed(12).batch(4),
    "shuffle, short last batch": lambda: mixed().batch(4),
    "shuffle, short last batch dropped": lambda: mixed().batch(4, drop_remainder=True),
    "shuffle of all": lambda: numbers().shuffle(100, seed=1).batch(4),
    "shuffle of batches": lambda: numbers().batch(4).shuffle(2, seed=1),
    "the same shuffle each time": lambda: (
        numbers().shuffle(5, seed=1, reshuffle_each_iteration=False).batch(4)
    ),
    "two shuffles": lambda: mixed(12).shuffle(3, seed=2).batch(4),
    "shuffle, take": lambda: mixed().take(7).batch(4),
    "shuffle, skip": lambda: mixed().skip(1).batch(4),
    "shuffle, take_while": lambda: mixed().take_while(lambda number: number != 5).batch(4),
    "shuffle, filter": lambda: mixed().filter(lambda number: number % 3 > 0).batch(4),
    "shuffle, map in parallel": lambda: (
        mixed(12).map(lambda number: number * number, num_parallel_calls=2).batch(4)
    ),
    "shuffle, prefetch": lambda: mixed(12).batch(4).prefetch(2),
    "shuffle, repeat inside": lambda: mixed().repeat(2).batch(4),
    "shuffle, repeat without end": lambda: mixed().repeat().batch(4),
    "repeat, shuffle": lambda: numbers().repeat().shuffle(5, seed=1).batch(4),
    "shuffle, scan": lambda: (
        mixed().scan(np.int64(0), lambda total, one: (total + one, total + one)).batch(4)
    ),
    "shuffle, unbatch": lambda: numbers().batch(3).shuffle(3, seed=1).unbatch().batch(4),
    "shuffle, padded_batch": lambda: mixed().padded_batch(4),
    "shuffle, window": lambda: mixed().window(5).flat_map(lambda window: window).batch(4),
    "cache": lambda: numbers().cache().batch(4),
    "cache, shuffle": lambda: numbers().cache().shuffle(5, seed=1).batch(4),
    "shuffle, cache": lambda: mixed().cache().batch(4),
    "shuffle, cache never filled": lambda: mixed().cache().take(7).batch(4),
    "concatenate": lambda: mixed(6).concatenate(mixed(8, 2)).batch(4),
    "one data set twice": lambda: same_twice(mixed(6)).batch(4),
    "zip": lambda: (
        Dataset.zip(mixed(10), mixed(8, 2)).map(lambda one, two: 100 * one + two).batch(4)
    ),
    "enumerate": lambda: mixed().enumerate().map(lambda index, one: 100 * index + one).batch(4),
    "random": lambda: noise().batch(4),
    "random, zipped": lambda: Dataset.zip(noise(12), numbers(12)).map(lambda one, _: one).batch(4),
    "choose": lambda: Dataset.choose_from_datasets(
        [mixed(6), mixed(6, 2)], numbers(2).repeat(6)
    ).batch(4),
    "sample": lambda: (
        Dataset.sample_from_datasets(
            [mixed().repeat(), numbers().repeat()], seed=1, rerandomize_each_iteration=True
        )
        .take(10)
        .batch(4)
    ),
    "interleave": lambda: numbers(4).interleave(ten_more, cycle_length=2).batch(4),
    "shuffle, interleave": lambda: mixed(4).interleave(ten_more, cycle_length=2).batch(5),
    "shuffle within interleave": lambda: numbers(4).interleave(ten_more_mixed, 2).batch(4),
    "two iterators at once of a data set": lambda: using(mixed(5), 2).batch(4),
    "one iterator after the other of a data set": lambda: using(mixed(6), 1).batch(4),
    "a generator": lambda: python_code().batch(4),
}

UNSEEDED: dict[str, Callable[[], Dataset]] = {
    "shuffle": lambda: mixed(12, None).batch(4),
    "shuffle, short last batch": lambda: mixed(10, None).batch(4),
    "the same shuffle each time": lambda: (
        numbers().shuffle(5, reshuffle_each_iteration=False).batch(4)
    ),
    "random": lambda: Dataset.random().take(10).batch(4),
    "within interleave": lambda: (
        numbers(2).interleave(lambda _: numbers(6).shuffle(6), cycle_length=2).batch(4)
    ),
}


@pytest.fixture
def unseeded() -> None:
    tf.random.set_seed(None)  # with one, TensorFlow derives a seed for every operation


def draw(feed: DatasetFeed, count: int) -> list[list[int]]:
    return [feed.next(INDEX).numpy().tolist() for _ in range(count)]


def run_with_saves(make: Callable[[], Dataset], folder: Path) -> list[list[int]]:
    """Return all batches, having saved before each."""
    feed, batches = DatasetFeed(make(), "data", ONE, 3), []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The data cannot save its position")
        for position in range(POSITIONS.stop):
            (folder / str(position)).mkdir()
            feed.save(folder / str(position))
            batches += draw(feed, 1)
    return batches + draw(feed, AFTER)


@pytest.mark.parametrize("name", SEEDED)
def test_goes_on_as_without_an_interruption(name: str, tmp_path: Path) -> None:
    expected = run_with_saves(SEEDED[name], tmp_path)
    for position in POSITIONS:
        feed = DatasetFeed(SEEDED[name](), "data", ONE, 3)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* batches were read and dropped")
            feed.restore(position, tmp_path / str(position))
        after = draw(feed, AFTER)
        assert after == expected[position : position + AFTER], f"after {position} batches"


@pytest.mark.usefixtures("unseeded")
@pytest.mark.parametrize("name", UNSEEDED)
def test_says_where_another_process_draws_something_else(name: str, tmp_path: Path) -> None:
    run_with_saves(UNSEEDED[name], tmp_path)
    for position in POSITIONS:
        feed = DatasetFeed(UNSEEDED[name](), "data", ONE, 3)
        with pytest.warns(UserWarning, match=r"data draws at random without a seed|is exact only"):
            feed.restore(position, tmp_path / str(position))


@pytest.mark.usefixtures("unseeded")
def test_the_epoch_goes_on_where_it_was_without_a_seed(tmp_path: Path) -> None:
    feed = DatasetFeed(mixed(12, None).batch(4), "data", ONE)
    seen = draw(feed, 1)
    feed.save(tmp_path)
    feed = DatasetFeed(mixed(12, None).batch(4), "data", ONE)
    with pytest.warns(UserWarning, match="draws at random without a seed"):
        feed.restore(1, tmp_path)
    assert sorted(np.concatenate(seen + draw(feed, 2))) == list(range(12))


@pytest.mark.parametrize(
    ("name", "position"),
    [("shuffle, short last batch", 1), ("shuffle, full batches", 3), ("cache", 3), ("batch", 3)],
)
def test_reads_nothing_again_where_the_state_is_complete(
    name: str, position: int, tmp_path: Path
) -> None:
    run_with_saves(SEEDED[name], tmp_path)
    feed = DatasetFeed(SEEDED[name](), "data", ONE)
    feed.restore(position, tmp_path / str(position))  # a warning would be an error


def test_says_what_it_costs_to_find_a_shuffle_that_has_run_dry(tmp_path: Path) -> None:
    run_with_saves(SEEDED["shuffle, short last batch"], tmp_path)
    feed = DatasetFeed(SEEDED["shuffle, short last batch"](), "data", ONE)
    with pytest.warns(UserWarning, match="6 batches were read and dropped"):
        feed.restore(6, tmp_path / "6")


def test_reads_one_pass_at_most_of_what_repeats() -> None:
    feed = DatasetFeed(numbers().batch(4), "data", ONE)
    feed.restore(3000, None)
    assert draw(feed, 1) == [[0, 1, 2, 3]]
    with pytest.warns(UserWarning, match="data was not saved: 2 batches were read"):
        feed.restore(3002, None)


def test_a_cache_in_a_file_is_read_again(tmp_path: Path) -> None:
    def make() -> Dataset:  # a folder of its own: what a cut pass leaves there is TensorFlow's
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        (tmp_path / "cache").mkdir()
        return numbers().cache(str(tmp_path / "cache" / "data")).batch(4)

    feed = DatasetFeed(make(), "data", ONE)
    draw(feed, 4)
    (tmp_path / "saved").mkdir()
    feed.save(tmp_path / "saved")
    expected = draw(feed, 3)
    feed = DatasetFeed(make(), "data", ONE)
    with pytest.warns(UserWarning, match="1 batches were read and dropped"):
        feed.restore(4, tmp_path / "saved")
    assert draw(feed, 3) == expected


@pytest.mark.usefixtures("unseeded")
def test_reads_what_is_drawn() -> None:
    both = mixed().shuffle(5, reshuffle_each_iteration=False)
    expected = Pipeline((Draw(seeded=True, anew=True), Draw(seeded=False, anew=False)), True)
    assert read_pipeline(both) == expected
    assert read_pipeline(using(mixed(), 1)) == Pipeline((Draw(seeded=True, anew=True),), False)
    assert read_pipeline(python_code()) is None
    fixed = read_pipeline(numbers().shuffle(5, seed=1, reshuffle_each_iteration=False))
    assert fixed is not None
    assert fixed.repeats
