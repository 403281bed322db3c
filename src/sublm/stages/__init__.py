"""The stages of a run, one file each: functions from artefacts to artefacts, kept in the run directory."""
