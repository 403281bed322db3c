from sublm.report.shapes import HALF, shape_pictures
from tests.report.sample import sample_front


def test_bars_are_shares_of_the_super_network():
    pictures = {picture.name: picture for picture in shape_pictures(sample_front())}
    first, last = pictures["m50"].layers[0], pictures["m10"].layers[5]
    assert (first.heads, first.neurons) == (HALF * 8 / 12, HALF * 896 / 1536)
    assert first.title == "Layer 1: 8 of 12 heads, 896 of 1536 neurons"
    assert last.heads == 0
    assert pictures["m50"].caption == "6 layers, hidden 384 of 384, head size 32"
    assert [name for name, picture in pictures.items() if picture.chosen] == ["m50"]


def test_without_the_super_networks_shape_bars_are_shares_of_the_largest_layer():
    front = sample_front()
    del front["shape"]
    picture = shape_pictures(front)[0]
    assert picture.layers[0].heads == picture.layers[0].neurons == HALF
    assert picture.caption == "6 layers, hidden 384, head size 32"


def test_units_given_by_index_are_counted_and_dropped_layers_named():
    front = sample_front()
    front["points"][0]["subnet"] |= {"heads": [[1, 3]] + [0] * 5, "neurons": [0, [5, 7, 9]] + [0] * 4}
    picture = shape_pictures(front)[0]
    assert "2 of 12 heads, 0 of 1536 neurons" in picture.layers[0].title
    assert "0 of 12 heads, 3 of 1536 neurons" in picture.layers[1].title
    assert picture.caption.startswith("2 of 6 layers")
