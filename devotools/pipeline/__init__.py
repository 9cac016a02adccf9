"""The wing for many pictures: from files to label images, overlays and tables.

`jobs` lists the pictures, `settings` says how, `results` is the folder with its `journal` of what
is done, `runner` works through them: `segmenting` for ordinary pictures, `stack_job` and `mosaic`
for stacks and large ones, `cluster` for many machines. `states` brings what the wing
`classification` says of the nuclei into the tables. `outcome` and `report` tell the result.
"""

from devotools.exchange import read_pixel_size
from devotools.pipeline.cluster import connect, segment_on_cluster
from devotools.pipeline.jobs import Job, find_jobs, output_names
from devotools.pipeline.outcome import Outcome, table_rows, write_tables
from devotools.pipeline.report import NOTHING_FOUND, uncertainty
from devotools.pipeline.results import Results, open_results
from devotools.pipeline.runner import segment_jobs
from devotools.pipeline.segmenting import write_overlay
from devotools.pipeline.settings import Settings, scale_for, settings_for
from devotools.pipeline.states import count_states, with_states

__all__ = [
    "NOTHING_FOUND",
    "Job",
    "Outcome",
    "Results",
    "Settings",
    "connect",
    "count_states",
    "find_jobs",
    "open_results",
    "output_names",
    "read_pixel_size",
    "scale_for",
    "segment_jobs",
    "segment_on_cluster",
    "settings_for",
    "table_rows",
    "uncertainty",
    "with_states",
    "write_overlay",
    "write_tables",
]
