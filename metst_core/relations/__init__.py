"""How the ROIs of a face relate: in their motion, and in what a network makes of it.

`traces` holds the motion over whole videos, `correlation` says which ROIs move together, `timing` which first,
`prediction` what the fine ROIs add, `still` is the face on which nothing must be found, `attribution` what a network
uses, `units` whether that is where the action unit is.
"""

from metst_core.relations.attribution import (
    MeWindows,
    map_similarity,
    me_windows,
    pair_interaction,
    randomised,
    roi_ablation,
    roi_attribution,
    roi_shares,
    stem_mixing,
)
from metst_core.relations.correlation import (
    Relations,
    across_boxes,
    between_regions,
    difference,
    lagged_correlation,
    partial_correlation,
)
from metst_core.relations.prediction import (
    detection_gain,
    fine_unexplained,
)
from metst_core.relations.still import still_film, still_motion
from metst_core.relations.timing import (
    CANNOT_TELL,
    foresight,
    foresight_test,
    lead,
    with_planted_lead,
)
from metst_core.relations.traces import (
    COMPONENTS,
    REGIONS,
    Traces,
    region_members,
    roi_change,
    roi_displacement,
    spread_over_video,
)
from metst_core.relations.units import (
    action_unit_rois,
    focus,
    focus_table,
    lift_difference,
    moved_rois,
    parse_action_units,
    unit_motion,
    unit_targets,
)

__all__ = [
    "CANNOT_TELL",
    "COMPONENTS",
    "REGIONS",
    "MeWindows",
    "Relations",
    "Traces",
    "across_boxes",
    "action_unit_rois",
    "between_regions",
    "detection_gain",
    "difference",
    "fine_unexplained",
    "focus",
    "focus_table",
    "foresight",
    "foresight_test",
    "lagged_correlation",
    "lead",
    "lift_difference",
    "map_similarity",
    "me_windows",
    "moved_rois",
    "pair_interaction",
    "parse_action_units",
    "partial_correlation",
    "randomised",
    "region_members",
    "roi_ablation",
    "roi_attribution",
    "roi_change",
    "roi_displacement",
    "roi_shares",
    "spread_over_video",
    "stem_mixing",
    "still_film",
    "still_motion",
    "unit_motion",
    "unit_targets",
    "with_planted_lead",
]
