"""What the report says a trace is good for: fresh real traffic for everything, shuffled traffic not for what it breaks."""

import pytest

from netshare.evaluation import Resampling, evaluate, split_by_flow
from netshare.postprocess import repair
from netshare.preprocess.trace import Trace
from tests.netshare.evaluation.evaluation_traces import shuffled


def uses(trace: Trace, broken: bool) -> dict[str, bool | None]:
    train, rest = split_by_flow(trace, 1 / 3, 0)
    holdout, synthetic = split_by_flow(rest, 0.5, 1)
    if broken:
        synthetic = repair(shuffled(synthetic).sorted_by_time())[0]
    report = evaluate(train, synthetic, holdout, resampling=Resampling(0, 5))
    return {use.use: use.good for use in report.uses()}


@pytest.mark.parametrize("name", ["isp_packets", "domain_packets", "netflow_records"])
def test_fresh_real_traffic_is_good_for_all_that_can_be_told(name, request):
    assert False not in uses(request.getfixturevalue(name), broken=False).values()


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("isp_packets", ["statistics of single fields", "analyses of TCP states", "anomaly detection"]),
        (
            "domain_packets",
            ["statistics of single fields", "analyses of TCP states", "comparing sketches for heavy hitters"],
        ),
        ("netflow_records", ["statistics of single fields"]),
    ],
)
def test_valid_traffic_whose_records_were_torn_apart_is_not(name, broken, request):
    verdicts = uses(request.getfixturevalue(name), broken=True)
    assert [use for use in (*broken, "analyses that relate fields") if verdicts[use] is not False] == []
    assert verdicts["feeding tools that expect valid traffic"] is True
