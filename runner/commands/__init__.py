"""The commands of `funnel`: options in, one call into the domain, exit code out."""
