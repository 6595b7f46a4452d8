"""Charts that only the documents show: functions from plain data to a matplotlib `Figure`."""
