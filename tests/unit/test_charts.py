"""Charts: what is drawn is what was measured, and nothing is drawn that is not known."""

import xml.etree.ElementTree as ET
from datetime import timedelta

from support.records import START, WEEK

from monitor.charts import sparkline, studies_chart
from monitor.shapes import StudyPoint, TherapyMark


def study(week, sum_mm, response="SD", lesions=None):
    return StudyPoint(
        time=None if week is None else START + week * WEEK,
        series_instance_uid=f"1.{week}",
        sum_mm=sum_mm,
        probability=0.9,
        response=response,
        lesions=lesions or {},
    )


def parsed(svg):
    return ET.fromstring(svg)  # noqa: S314 -- our own


def drawn(svg, name):
    """Return the elements of a class."""
    return [e for e in parsed(svg).iter() if name in e.get("class", "").split()]


def points(element):
    return [tuple(map(float, point.split(","))) for point in element.get("points").split()]


def test_a_sparkline_goes_up_where_the_probability_does():
    svg = sparkline([0.0, 0.5, 1.0])
    (line,) = drawn(svg, "spark-line")
    (screen,) = drawn(svg, "spark-screen")
    (x0, y0), (x1, y1), (x2, y2) = points(line)
    assert x0 < x1 < x2
    assert y0 > y1 > y2
    assert float(screen.get("y1")) == y1  # the dashed line is where one half is
    assert "last 1.00, greatest 1.00" in parsed(svg).get("aria-label")


def test_a_sparkline_of_one_frame_or_none():
    assert len(drawn(sparkline([0.7]), "spark-last")) == 1
    assert drawn(sparkline([]), "spark-line") == []


def test_studies_lie_where_their_weeks_and_sums_are():
    svg = studies_chart([study(0, 20.0), study(6, 10.0), study(18, 40.0)], (), 20.0, 10.0)
    (line,) = drawn(svg, "sum")
    (x0, y0), (x1, y1), (x2, y2) = points(line)
    assert abs((x2 - x1) / (x1 - x0) - 2) < 0.01  # twelve weeks are twice six
    assert abs((y1 - y2) / (y1 - y0) - 3) < 0.05  # 30 mm are three times 10
    assert [e.text for e in drawn(svg, "sum-name")] == ["20.0 SD", "10.0 SD", "40.0 SD"]


def test_thresholds_are_those_of_recist():
    svg = studies_chart([study(0, 20.0), study(6, 12.0)], (), 20.0, 12.0)
    said = {e.text for e in drawn(svg, "limit-name")}
    assert said == {"PD from 17.0", "baseline 20.0", "nadir 12.0", "PR below 14.0"}


def test_without_a_comparison_there_are_no_thresholds():
    assert drawn(studies_chart([study(0, 20.0)], (), None, None), "limit") == []


def test_a_study_without_a_sum_breaks_the_line():
    svg = studies_chart([study(0, 20.0), study(6, None, "NE"), study(12, 21.0)], (), 20.0, 20.0)
    assert [len(points(line)) for line in drawn(svg, "sum")] == [1, 1]


def test_nothing_measured_is_said_so():
    assert "No measured study" in studies_chart([study(0, None), study(None, 12.0)], (), None, None)


def test_a_therapy_is_marked_and_its_name_is_text():
    mark = TherapyMark(
        start=START + timedelta(weeks=3), plan="<b>x & y</b>", flags=(), entered_by="nurse"
    )
    svg = studies_chart([study(0, 20.0), study(6, 20.0)], [mark], 20.0, 20.0)
    (line,) = drawn(svg, "therapy")
    (sums,) = drawn(svg, "sum")
    (x0, _), (x1, _) = points(sums)
    assert abs(float(line.get("x1")) - (x0 + x1) / 2) < 1
    assert drawn(svg, "therapy-name")[0].text == "<b>x & y</b>"


def test_each_lesion_has_a_line_of_its_own():
    svg = studies_chart(
        [study(0, 22.0, lesions={"L1": 12.0, "L2": 10.0}), study(6, 13.0, lesions={"L1": 13.0})],
        (),
        22.0,
        13.0,
    )
    assert [e.text for e in drawn(svg, "lesion-name")] == ["L1", "L2"]
    assert [len(points(line)) for line in drawn(svg, "lesion")] == [2, 1]


def test_names_of_lesions_lie_over_no_other_text():
    lesions = {"L1": 23.7, "L2": 4.7, "L3": 3.5, "L4": 14.4}
    svg = studies_chart(
        [study(0, 13.9, lesions={"L1": 13.9}), study(12, 23.7, "PD", lesions)], (), 13.9, 13.9
    )
    names = [(float(e.get("x")), float(e.get("y"))) for e in drawn(svg, "lesion-name")]
    sums = [(float(e.get("x")), float(e.get("y"))) for e in drawn(svg, "sum-name")]
    assert len(names) == 4
    for number, (x, y) in enumerate(names):
        others = names[:number] + sums
        assert all(abs(x - other) > 40 or abs(y - at) >= 12 for other, at in others)
