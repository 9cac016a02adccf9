"""The wing for many pictures: from files to label images, overlays and tables."""

from devotools.pipeline.runner import (
    Job,
    Outcome,
    find_jobs,
    prepare_results,
    segment_jobs,
    write_tables,
)

__all__ = ["Job", "Outcome", "find_jobs", "prepare_results", "segment_jobs", "write_tables"]
