"""Which months to process and why: window, plan, run, backfill, verify, ledger."""
